"""A short run of tests/fuzz_foreign.py, over every kind."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

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


def run_with(fault: str, folder: Path, *said: str) -> subprocess.CompletedProcess[str]:
    """The command on two attacks, with a reader that does this."""
    folder.mkdir(exist_ok=True)
    code = f"""
import faulthandler, os, signal, sys, time
sys.path.insert(0, {str(SCRIPT.parent)!r})
from hostile import judge

def read(path):
    {fault}

judge.read = read
"""
    (folder / "sitecustomize.py").write_text(code)
    command = [
        sys.executable,
        SCRIPT,
        "--kind",
        "npz",
        "--first",
        "7",
        "--count",
        "2",
        *said,
        "--keep",
        folder / "found",
    ]
    return subprocess.run(
        list(map(str, command)),
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": str(folder)},
    )


def again(number: int) -> str:
    return f"    tests/fuzz_foreign.py --kind npz --seed 0 --first {number} --count 1"


def test_what_is_found_is_told_and_kept(tmp_path: Path) -> None:
    """A reader that raises what it must not stands for a fault."""
    done = run_with("raise KeyError('lost')", tmp_path)
    assert (done.returncode, done.stderr) == (1, "")
    *told, last = done.stdout.splitlines()
    assert told[1::2] == [again(7), again(8)]
    assert all(line.startswith("  KeyError: 'lost' (") for line in told[::2])
    assert re.fullmatch(r'npz: 2 attacks in \d+ s: {"fault": 2}', last)
    assert sorted(path.name for path in (tmp_path / "found").iterdir()) == ["npz-0-7", "npz-0-8"]
    assert (tmp_path / "found" / "npz-0-7" / "x.npz").is_file()


HANG = "faulthandler.dump_traceback_later(1, exit=True); time.sleep(60)"  # sooner than the command's own limit


@pytest.mark.parametrize(
    ("fault", "code"), [(HANG, 1), ("os.kill(os.getpid(), signal.SIGKILL)", -9)], ids=["hangs", "ends"]
)
def test_what_takes_no_end_or_ends_the_process_is_told(fault: str, code: int, tmp_path: Path) -> None:
    """Each attack does so, the first of a process too; another kind comes after it."""
    done = run_with(fault, tmp_path, "--kind", "rules", "--seconds", "60")
    assert done.returncode == 1
    *told, npz, rules = done.stdout.splitlines()
    assert told == [line for number in (7, 8) for line in (f"  the process ended with {code}", again(number))]
    assert re.fullmatch(r'npz: 2 attacks in \d+ s: {"ended": 2}', npz)
    assert rules.startswith("rules: 2 attacks in ")
    assert done.stderr.count("Timeout") == (2 if code == 1 else 0)


def test_a_process_that_never_begins_is_told(tmp_path: Path) -> None:
    done = run_with("pass\n\nif '--alone' in sys.orig_argv: os._exit(3)", tmp_path)
    assert (done.returncode, done.stdout) == (1, "  the process ended with 3 before the first attack on npz\n")


def test_what_takes_too_much_is_found(tmp_path: Path) -> None:
    done = run_with("held = b'x' * (80 * 2**20)", tmp_path)
    assert done.stdout.count("Fault: 80 MiB of memory") == 2
    done = run_with(
        "judge.SECONDS = 0.02; start = os.times().user\n    while os.times().user < start + 0.1: pass", tmp_path
    )
    assert len(re.findall(r"Fault: \d\.\d s \(read\)", done.stdout)) == 2
