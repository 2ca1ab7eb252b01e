"""strace: the system calls of a process, and those that are made to fail."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from .child import Child

ATTACH = 20.0  # seconds
_LINE = re.compile(r"^(\d+) +(.*)$")
_CALL = re.compile(r"^(\w+)\((.*)$")
_RESUMED = re.compile(r"^<\.\.\. (\w+) resumed>(.*)$")
_UNFINISHED = " <unfinished ...>"
_RESULT = re.compile(r"\)\s+= (-?\w+)(?:<[^>]*>)?(?: (E\w+))?")
_PATHS = re.compile(r'[\w]+<(/[^>]*)>|"([^"]*)"')


class CannotTrace(Exception):
    """strace is missing, or may not trace."""


@dataclass(frozen=True)
class Event:
    """One system call of the traced process.

    Attributes:
        thread: The number of the thread, in order of appearance.
        call: Its name.
        nth: The how-manieth of that name in its thread, from 1; what strace counts.
        paths: Of the files that it names or whose descriptors it has, the target of a rename last.
        result: What it returned, -1 after an error; None where the process ended in it.
        text: The line of the trace.
        injected: Whether strace made it fail.
    """

    thread: int
    call: str
    nth: int
    paths: tuple[str, ...]
    result: int | None
    text: str
    injected: bool = False


def check() -> None:
    """Raise `CannotTrace`, with what to do, where strace is missing or may not trace."""
    if shutil.which("strace") is None:
        raise CannotTrace("strace is missing: install it (Debian, Ubuntu: apt-get install strace)")
    child = Child(lambda: None)
    try:
        tracer = attach(child, Path("/dev/null"), ())
    finally:
        child.go()
        child.ended()
    tracer.wait()


def attach(child: Child, log: Path, paths: Iterable[str], injections: Iterable[str] = ()) -> subprocess.Popen[str]:
    """Trace a child that waits: its calls on these paths (all where there are none) go into the log.

    Args:
        child: What to trace, threads to come included.
        log: A file for the trace.
        paths: Files and directories; calls on others are neither noted, nor counted, nor made to fail.
        injections: What strace takes behind `inject=`, such as `write:error=EIO:when=2`.
    """
    command = ["strace", "-f", "-y", "-qq", "-s0", "-e", "trace=%file,%desc", "-o", str(log), "-p", str(child.pid)]
    command += [part for path in paths for part in ("-P", path)]
    command += [part for one in injections for part in ("-e", f"inject={one}")]
    tracer = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    status, end = Path(f"/proc/{child.pid}/status"), time.monotonic() + ATTACH
    while "TracerPid:\t0\n" in status.read_text():
        if tracer.poll() is not None or time.monotonic() > end:
            tracer.kill()
            said = tracer.communicate()[1].strip()
            raise CannotTrace(
                f"strace cannot trace a process of this user ({said}): a container needs the capability SYS_PTRACE "
                "(docker run --cap-add=SYS_PTRACE), a host kernel.yama.ptrace_scope of at most 1"
            )
        time.sleep(0.001)
    return tracer


def read(log: Path) -> list[Event]:
    """The calls in a trace, in the order in which they began."""
    events: list[Event] = []
    threads: dict[str, int] = {}
    open_calls: dict[str, int] = {}
    counts: Counter[tuple[str, str]] = Counter()
    for line in log.read_text(errors="replace").splitlines():
        found = _LINE.match(line)
        if found is None:
            continue
        pid, text = found.groups()
        if (resumed := _RESUMED.match(text)) and pid in open_calls:
            place = open_calls.pop(pid)
            events[place] = _finished(events[place], events[place].text + resumed[2])
        elif called := _CALL.match(text):
            counts[pid, called[1]] += 1
            thread = threads.setdefault(pid, len(threads))
            unfinished = text.endswith(_UNFINISHED)
            text = text.removesuffix(_UNFINISHED)
            event = Event(thread, called[1], counts[pid, called[1]], _paths(text), None, text)
            if unfinished:
                open_calls[pid] = len(events)
            events.append(event if unfinished else _finished(event, text))
    return events


def _finished(event: Event, text: str) -> Event:
    found = _RESULT.search(text)
    result = None if found is None or found[1] == "?" else int(found[1], 0)
    return replace(event, text=text, result=result, paths=_paths(text), injected="(INJECTED)" in text)


def _paths(text: str) -> tuple[str, ...]:
    """Of the descriptors and names in a call; a name that follows a directory's descriptor is joined to it."""
    found: list[str] = []
    text = text.partition(") = ")[0] if ") = " in text else text
    before = ""
    for described, name in _PATHS.findall(text):
        if described:
            found.append(described)
            before = described
        elif name:
            path = name if name.startswith("/") else f"{before}/{name}"
            if found and found[-1] == before:
                found.pop()  # the descriptor only says where the name begins
            found.append(path)
    return tuple(found)


def touching(events: Sequence[Event], folder: Path) -> list[Event]:
    """The calls on what lies in a folder."""
    beneath = f"{folder}/"
    return [event for event in events if any(path == str(folder) or path.startswith(beneath) for path in event.paths)]
