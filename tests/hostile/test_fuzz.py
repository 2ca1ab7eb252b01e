"""A short run of tests/fuzz_foreign.py, over every kind."""

import json
import re
import subprocess
import sys
from pathlib import Path

from hostile import texts
from hostile.seeds import KINDS

SCRIPT = Path(__file__).parents[1] / "fuzz_foreign.py"
COUNT = 100


def test_nothing_is_found(tmp_path: Path) -> None:
    said = ["--count", COUNT, "--seconds", 500, "--keep", tmp_path / "found"]
    done = subprocess.run([sys.executable, SCRIPT, *map(str, said)], capture_output=True, text=True, timeout=600)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    told = dict(line.split(": ", 1) for line in done.stdout.splitlines())
    assert [*told] == [*KINDS, *texts.SEEDS]
    for kind, line in told.items():
        assert line.startswith(f"{COUNT} attacks in "), kind
        verdicts = json.loads(line.split(": ", 1)[1])
        assert sum(verdicts.values()) == COUNT, kind
        assert len(verdicts) >= (2 if kind == "rules" else 3), kind  # rules are refused with one code
    assert not (tmp_path / "found").exists()


def run_with(fault: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """The command on two attacks, with a reader that does this."""
    code = f"""
import os, runpy, sys
from hostile import judge

def read(path):
    {fault}

judge.read = read
sys.argv = ["x", "--kind", "npz", "--first", "7", "--count", "2", "--keep", {str(folder)!r}, "--alone"]
runpy.run_path({str(SCRIPT)!r}, run_name="__main__")
"""
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, cwd=SCRIPT.parent, timeout=120)


def test_what_is_found_is_told_and_kept(tmp_path: Path) -> None:
    """A reader that raises what it must not stands for a fault."""
    done = run_with("raise KeyError('lost')", tmp_path / "found")
    *faults, last = map(json.loads, done.stdout.splitlines())
    assert [fault[:2] for fault in faults] == [["npz", 7], ["npz", 8]]
    assert all(fault[2].startswith("KeyError: 'lost' (") for fault in faults)
    assert last[2].endswith('{"fault": 2}')
    assert sorted(path.name for path in (tmp_path / "found").iterdir()) == ["npz-0-7", "npz-0-8"]
    assert (tmp_path / "found" / "npz-0-7" / "x.npz").is_file()


def test_what_takes_too_much_is_found(tmp_path: Path) -> None:
    done = run_with("held = b'x' * (80 * 2**20)", tmp_path / "found")
    assert done.stdout.count("Fault: 80 MiB of memory") == 2
    done = run_with(
        "judge.SECONDS = 0.1; start = os.times().user\n    while os.times().user < start + 0.3: pass", tmp_path
    )
    assert len(re.findall(r"Fault: 0\.[3-9] s \(read\)", done.stdout)) == 2
