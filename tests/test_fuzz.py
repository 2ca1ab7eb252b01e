"""A short run of tests/fuzz/run.py, and whether its target and its mutator do what they are there for."""

import collections
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from random import Random

import numpy as np
import pytest
from fuzz import seeds, target
from fuzz.anatomy import apart, together
from fuzz.mutator import Mutator

import ptformat
from ptformat.errors import FormatError
from ptformat.reader import Reader

TESTS = Path(__file__).parent
RUN = TESTS / "fuzz" / "run.py"
# Codes that the bytes of the index and of the data earn once all checksums are right.
BEHIND_CHECKSUMS = {"ALIAS", "CHUNK", "CODEC", "DUPLICATE", "MALFORMED", "NONCANONICAL", "PATH", "SCHEMA", "TREE"}


def test_nothing_is_found(tmp_path: Path) -> None:
    command = [sys.executable, RUN, "--runs", "6000", "--seed", "1", "--corpus", tmp_path]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=500)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    executions = int(re.search(r"^(\d+) executions in ", done.stdout, re.MULTILINE)[1])
    assert 6000 <= executions < 7000  # the seeds are among them
    assert re.search(r"^found: 0$", done.stdout, re.MULTILINE)
    lines, of_lines, branches, of_branches = map(
        int, re.search(r"(\d+) of (\d+) lines, (\d+) of (\d+) branches", done.stdout).groups()
    )
    assert lines / of_lines > 0.8 and branches / of_branches > 0.75  # the rest writes, or reads what is large


def test_what_is_found_is_told_each_time(tmp_path: Path) -> None:
    """The command twice over one corpus, with a reader that has no length: the second time finds the same files."""
    shutil.copytree(Path(ptformat.__file__).parent, tmp_path / "ptformat", ignore=shutil.ignore_patterns("__pycache__"))
    reader = tmp_path / "ptformat" / "reader.py"
    text = reader.read_text("utf-8")
    reader.write_text(re.sub(r"(def __len__\(self\) -> int:\n)", r"\1        return 7\n", text), "utf-8")
    code = f"""
import runpy, sys
from fuzz import cover, seeds

seeds.conformance = lambda most: []
cover.measured = lambda corpus: "not measured"
sys.argv = ["x", "--runs", "200", "--seed", "1", "--corpus", {str(tmp_path)!r}]
runpy.run_path({str(RUN)!r}, run_name="__main__")
"""
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            timeout=500,
            cwd=TESTS,
            env={**os.environ, "PYTHONPATH": str(tmp_path)},
        )
        assert (done.returncode, done.stderr) == (1, "")
        told = done.stdout.partition("found: ")[2].splitlines()
        assert len(told) == 1 + int(told[0]) > 1
        assert all(Path(line.strip()).is_file() for line in told[1:])


def test_mutations_get_past_the_checksums() -> None:
    """Of a thousand, most are refused for what was changed, and not for a checksum that does not match it."""
    mutator, rng, codes = Mutator(seeds.sound()), Random(1), collections.Counter()
    data = mutator.seed(rng)
    for seed in range(1000):
        mutated = mutator.mutate(data, 32_768, seed, lambda held: held[: len(held) // 2])
        assert len(mutated) <= 32_768
        codes[target.examine(mutated)] += 1
    assert codes.keys() >= BEHIND_CHECKSUMS
    assert codes["CHECKSUM"] + codes["MAGIC"] + codes["TRUNCATED"] < 200
    assert codes["SOUND"] > 50


def test_every_case_can_be_mutated_and_crossed() -> None:
    mutator, cases = Mutator(seeds.sound()), seeds.conformance(32_768)
    assert len(cases) > 4000
    for seed, (data, other) in enumerate(zip(cases, [*cases[1:], cases[0]], strict=True)):
        assert 0 < len(mutator.mutate(data, 32_768, seed, lambda held: held + b"x")) <= 32_768
        assert len(mutator.cross(data, other, 32_768, seed)) <= 32_768


def test_what_is_taken_apart_is_put_together() -> None:
    found = collections.Counter()
    for data in seeds.sound():
        parts = apart(data)
        found[parts.compressed] += 1
        assert parts.compressed or together(parts) == data
        assert target.examine(together(parts)) == "SOUND"  # zstd of another level
    assert min(found[True], found[False]) > 10


def examined(monkeypatch: pytest.MonkeyPatch, name: str, replaced: object) -> str:
    """The fault that is found in a sound file by a reader with this in place of what it has."""
    data = next(data for data in seeds.sound() if len(Reader(data)) > 1)
    assert target.examine(data) == "SOUND"
    monkeypatch.setattr(Reader, name, replaced)
    with pytest.raises(target.Fault) as found:
        target.examine(data)
    return str(found.value)


def test_a_reader_that_reads_something_else_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Reader.__getitem__

    def flat(held: object) -> object:
        return held.reshape(-1).copy() if isinstance(held, np.ndarray) else held

    told = examined(monkeypatch, "__getitem__", lambda self, path: flat(whole(self, path)))
    assert " loaded: " in told


def test_a_reader_that_forgets_a_leaf_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "the length" in examined(monkeypatch, "__len__", lambda self: 0)


def test_a_refusal_with_a_code_of_another_kind_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Reader, data: bytes) -> None:
        raise FormatError("TYPE", "not a file's")

    monkeypatch.setattr(Reader, "__init__", refuse)
    with pytest.raises(target.Fault, match="a code that is none of the spec's"):
        target.examine(b"")


def test_what_takes_too_long_or_too_much_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    bounds = target.Bounds()
    with pytest.raises(target.Fault, match="bytes of memory for 3 bytes"):
        bounds.call(lambda data: str(len(bytearray(b"x") * (80 * 2**20))), b"abc")
    with monkeypatch.context() as patched, pytest.raises(target.Fault, match="seconds for 3 bytes"):
        patched.setattr(target, "SECONDS", -1.0)
        bounds.call(lambda data: "SOUND", b"abc")


def test_what_a_process_takes_is_found_whatever_the_one_that_started_it_took() -> None:
    code = f"""
import sys
sys.path.insert(0, {str(TESTS)!r})
from fuzz import target
target.Bounds().call(lambda data: str(len(bytearray(b"x") * (200 * 2**20))), b"abc")
"""
    starts = """
import subprocess, sys
held = bytearray(b"x") * (600 * 2**20)
sys.exit(subprocess.run([sys.executable, "-c", sys.argv[1]]).returncode)
"""
    done = subprocess.run([sys.executable, "-c", starts, code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert re.search(r"Fault: \d+ bytes of memory for 3 bytes", done.stderr)
