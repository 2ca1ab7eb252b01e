"""A sample of what tests/crash/run.py does in full, and whether it finds what it is there to find."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from crash import bad, faults, kills, tracing
from crash.child import Ended
from crash.judging import unsynced
from crash.run import COLUMNS
from crash.runs import struck
from crash.saves import SAVES

HERE = Path(__file__).parent / "crash"
KINDS = ["new, raw", "new, planes", "old, raw", "old, behind links", "old, large, memory", "new, read-only"]
KINDS += ["unpack, safetensors", "old, sharded"]


def run(name: str, *args: str, **options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(HERE / f"{name}.py"), *args]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, env={**os.environ, **options})


def table(text: str) -> dict[str, dict[str, int]]:
    """Row -> column -> number."""
    found = {}
    for line in text.splitlines()[1:]:
        numbers = line.split()[-len(COLUMNS) - 2 : -1]
        found[line[:34].strip()] = dict(zip((*COLUMNS, "wrong"), map(int, numbers), strict=True))
    return found


def test_a_sample_of_saves_that_fail_and_that_are_killed() -> None:
    """Needs strace, and to be allowed to trace: what is missing fails here, with a line that says what to do."""
    done = run("run", "--quick")
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    rows = table(done.stdout)
    assert list(rows) == [*KINDS, *(f"kill: {save.name}" for save in kills.KILLED), "all"]
    whole = rows["all"]
    assert whole["wrong"] == whole["not run"] == 0
    assert whole["runs"] == whole["old"] + whole["new"] + whole["nothing"] >= 400
    assert min(row["killed"] for row in rows.values()) >= 5
    assert sum(rows[f"kill: {save.name}"]["killed"] for save in kills.KILLED) == 60
    threaded = rows["old, large, memory"]  # whose second thread does not make the same calls each time
    assert whole["missed"] == threaded["missed"] < threaded["runs"] // 2
    assert {row["nothing"] for name, row in rows.items() if name.startswith(("old", "kill: old"))} == {0}


def test_every_broken_promise_is_found() -> None:
    done = run("bad")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", f"{len(bad.BAD)} of {len(bad.BAD)} found\n")


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    done = run("run", "--quick", PATH=str(tmp_path))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "crash: strace is missing: install it (Debian, Ubuntu: apt-get install strace)\n"
    refusing = tmp_path / "strace"
    said = "strace: attach: ptrace(PTRACE_SEIZE, 7): Operation not permitted"
    refusing.write_text(f"#!/bin/sh\necho '{said}' >&2\nexit 1\n")
    refusing.chmod(0o755)
    done = run("run", "--quick", PATH=f"{tmp_path}:{os.environ['PATH']}")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert f"({said})" in done.stderr
    assert "SYS_PTRACE" in done.stderr


def python(code: str) -> subprocess.CompletedProcess[str]:
    """Code in a process of its own, which may fork."""
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=HERE.parent)


def test_a_disk_that_cannot_be_mounted_is_said() -> None:
    code = """
import os, sys
from crash import full, run

def refused(name, *args):
    raise OSError(1, os.strerror(1), name)

full._called = refused
sys.exit(run.main(["--only", "full: npz"]))
"""
    done = python(code)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(
        "crash: a file system cannot be mounted ([Errno 1] Operation not permitted: 'unshare'"
    )
    assert "SYS_ADMIN" in done.stderr
    assert done.stderr.count("\n") == 1


def test_what_fails_in_a_row_is_one_of_its_faults() -> None:
    code = """
import sys
from crash import kills, run

def failing(*args):
    raise KeyError("lost")

kills.kill = failing
sys.exit(run.main(["--only", "kill: old, raw"]))
"""
    done = python(code)
    assert (done.returncode, done.stderr) == (1, "")
    assert table(done.stdout.partition("kill: old, raw: not judged")[0])["kill: old, raw"]["wrong"] == 1
    assert "KeyError: 'lost'" in done.stdout


def test_a_child_says_and_computes_as_much_as_it_likes() -> None:
    code = """
import sys
from crash.child import Child, computed

child = Child(lambda: print("x" * 10**6, file=sys.stderr))
child.go()
ended = child.ended(20)
print(ended.code, len(ended.said), ended.hung, len(computed(lambda: "y" * 10**6, 20)))
"""
    done = python(code)
    assert (done.stdout, done.stderr) == ("0 1000001 False 1000000\n", "")


def test_every_row_has_a_name_of_its_own() -> None:
    names = run("run", "--list").stdout.splitlines()
    assert len(names) == len(set(names)) == len(SAVES) + 6 + 5
    assert run("run", "--list", "--only", "kill", "--only", "sharded").stdout.splitlines() == [
        "kill: new, sharded",
        "kill: old, sharded",
    ]


TRACE = """\
11    openat(AT_FDCWD</w>, "/d/to/.x.tmp", O_RDWR|O_CREAT|O_EXCL|O_CLOEXEC, 0666) = 5</d/to/.x.tmp>
11    write(5</d/to/.x.tmp>, ""..., 1000 <unfinished ...>
12    mmap(NULL, 4096, PROT_READ, MAP_SHARED|MAP_POPULATE, 5</d/to/.x.tmp>, 0) = 0x7f6d40200000
11    <... write resumed>)            = 600
12    write(5</d/to/.x.tmp>, ""..., 400) = -1 ENOSPC (No space left on device) (INJECTED)
11    write(5</d/to/.x.tmp>, ""..., 400) = 400
11    unlinkat(6</d/to>, "old", AT_REMOVEDIR) = 0
11    fsync(5</d/to/.x.tmp>) = 0
11    rename("/d/to/.x.tmp", "/d/to/x") = 0
11    fsync(7</d/to>) = ?
11    +++ killed by SIGKILL +++
"""


@pytest.fixture
def events(tmp_path: Path) -> list[tracing.Event]:
    (tmp_path / "log").write_text(TRACE)
    return tracing.read(tmp_path / "log")


def test_a_trace_is_read(events: list[tracing.Event]) -> None:
    told = [(event.thread, event.call, event.nth, event.paths, event.result, event.injected) for event in events]
    temporary = ("/d/to/.x.tmp",)
    assert told == [
        (0, "openat", 1, ("/d/to/.x.tmp",), 5, False),
        (0, "write", 1, temporary, 600, False),
        (1, "mmap", 1, temporary, 0x7F6D40200000, False),
        (1, "write", 1, temporary, -1, True),
        (0, "write", 2, temporary, 400, False),
        (0, "unlinkat", 1, ("/d/to/old",), 0, False),
        (0, "fsync", 1, temporary, 0, False),
        (0, "rename", 1, ("/d/to/.x.tmp", "/d/to/x"), 0, False),
        (0, "fsync", 2, ("/d/to",), None, False),
    ]
    assert [event.call for event in tracing.touching(events, Path("/d/to/.x.tmp"))] == [
        *("openat", "write", "mmap", "write", "write", "fsync", "rename")
    ]


def test_every_call_fails_in_every_way(events: list[tracing.Event]) -> None:
    found = [str(fault) for fault in faults.every(events)]
    assert len(found) == len(set(found))
    assert [line for line in found if line.startswith("write")] == [
        *(f"write #1 {error}{more}" for error in faults.ERRORS for more in ("", " for good")),
        *("write #1 KILL", "write #1 short", "write #1 short for good"),
        *(f"write #2 {error}{more}" for error in faults.ERRORS for more in ("", " for good")),
        *("write #2 KILL", "write #2 short", "write #2 short for good"),
    ]
    limits = {str(fault): fault.limit for fault in faults.every(events) if fault.how == "short"}
    assert (limits["write #1 short"], limits["write #2 short"]) == (300, 800)
    assert sum(line.startswith("rename") for line in found) == 11
    told = {str(fault): fault.injections for fault in faults.every(events)}
    assert told["fsync #2 EIO"] == ["fsync:error=EIO:when=2"]
    assert told["fsync #2 EIO for good"] == ["fsync:error=EIO:when=2+"]
    assert told["fsync #2 EINTR for good"] == ["fsync:error=EINTR:when=2..4"]
    assert told["fsync #2 KILL"] == ["fsync:signal=KILL:when=2"]
    assert told["write #1 short"] == ["write:signal=STOP:when=1"]
    assert told["write #1 short for good"] == []


PLACED = """\
11    openat(AT_FDCWD</w>, "/d/x", O_RDWR|O_CREAT|O_CLOEXEC, 0666) = 5</d/x>
11    pwrite64(5</d/x>, ""..., 600, 0) = {}
11    copy_file_range(6</d/from>, NULL, 5</d/x>, NULL, 800, 0) = 400
11    close(5</d/x>) = 0
11    openat(AT_FDCWD</w>, "/d/x", O_WRONLY|O_CREAT|O_CLOEXEC, 0666) = 5</d/x>
11    writev(5</d/x>, [...], 2) = 50
"""


def test_a_short_write_strikes_where_it_ends_at_the_limit(tmp_path: Path) -> None:
    (tmp_path / "log").write_text(PLACED.format(600))
    whole = tracing.read(tmp_path / "log")
    assert list(faults.starts(whole)) == [None, 0, 600, None, None, 0]
    short = [fault for fault in faults.every(whole) if fault.how == "short"]
    assert [fault.limit for fault in short[::2]] == [300, 800, 25]
    assert not any(struck(fault, Ended(0, ""), whole) for fault in short)
    (tmp_path / "log").write_text(PLACED.format(300))
    assert struck(short[0], Ended(0, ""), tracing.read(tmp_path / "log"))


def test_what_is_not_synced_is_told(events: list[tracing.Event]) -> None:
    assert unsynced(events[:-1], "/d/to/x") == [f"not synced at the end: {events[-2].text}"]
    without = [event for event in events if event.call != "fsync"]
    assert unsynced(without, "/d/to/x")[0] == f"not synced before the rename: {events[4].text}"


def test_a_sample_is_another_one_for_each_turn(events: list[tracing.Event]) -> None:
    every = list(faults.every(events))
    samples = [{str(fault) for fault in faults.sample(every, turn)} for turn in range(11)]
    assert all("write #1 KILL" in sample for sample in samples)
    assert set().union(*samples) == set(map(str, every))
