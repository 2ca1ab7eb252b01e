"""What is made to fail: every call of a recorded save, with every error, once and for good, and a kill at each."""

from __future__ import annotations

import errno
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .tracing import Event

# Each call fails with these; one that takes a name also for want of permission.
ERRORS = ("ENOSPC", "EIO", "EDQUOT", "EINTR")
NAMED = ("EACCES",)
NAMING = {
    *("openat", "newfstatat", "statx", "access", "faccessat2", "readlink", "mkdir", "rename", "renameat", "renameat2"),
    *("unlink", "unlinkat", "rmdir", "chmod", "fchmodat", "symlink", "link", "linkat", "utimensat", "stat", "lstat"),
}
WRITES = ("write", "writev", "pwrite64", "pwritev", "pwritev2", "sendfile", "copy_file_range")
REMOVES = ("unlink", "unlinkat", "rmdir")
SYNCS = ("fsync", "fdatasync")
MOST = 30
# Interrupted for good, a call is tried again for good (PEP 475): three times in a row are enough.
INTERRUPTED = 3


@dataclass(frozen=True)
class Fault:
    """One fault of one run.

    Attributes:
        call: The system call that it strikes.
        nth: The how-manieth of its thread, from 1.
        how: The name of an error; `KILL`, before the call does anything; or `short`, a write of which half is done.
        lasting: Whether all further calls of that name fail too, or the disk stays full.
        limit: Of a short write, the length of the file at which it ends.
    """

    call: str
    nth: int
    how: str
    lasting: bool = False
    limit: int | None = None

    def __str__(self) -> str:
        return f"{self.call} #{self.nth} {self.how}{' for good' if self.lasting else ''}"

    @property
    def injections(self) -> list[str]:
        """What strace is told."""
        last = f"..{self.nth + INTERRUPTED - 1}" if self.how == "EINTR" else "+"
        when = f"when={self.nth}{last if self.lasting else ''}"
        if self.how == "short":  # stopped when half is written, until there is space again
            return [] if self.lasting else [f"{self.call}:signal=STOP:{when}"]
        return [f"{self.call}:signal=KILL:{when}" if self.how == "KILL" else f"{self.call}:error={self.how}:{when}"]


def every(events: Sequence[Event]) -> Iterator[Fault]:
    """All faults of the calls of a recorded save, call by call."""
    seen = set()
    for event, start in zip(events, starts(events), strict=True):
        if (event.call, event.nth) in seen:
            continue  # of another thread: strace strikes the nth call of each
        seen.add((event.call, event.nth))
        for how in (*ERRORS, *(NAMED if event.call in NAMING else ())):
            yield Fault(event.call, event.nth, how)
            yield Fault(event.call, event.nth, how, lasting=True)
        yield Fault(event.call, event.nth, "KILL")
        if start is not None and event.result and event.result > 1:  # a write that can end in its middle
            limit = start + event.result // 2
            yield from (Fault(event.call, event.nth, "short", lasting, limit) for lasting in (False, True))


def starts(events: Sequence[Event]) -> Iterator[int | None]:
    """Of each call that is a write, the place in its file where it begins: all writers write front to back."""
    positions: Counter[str] = Counter()
    for event in events:
        if event.call == "openat" and "O_CREAT" in event.text:
            positions[event.paths[-1]] = 0
        if event.call not in WRITES or event.result is None or event.result < 0:
            yield None
            continue
        path = written(event)
        yield positions[path]
        positions[path] += event.result


def written(event: Event) -> str:
    """The file that a write goes to."""
    return event.paths[-1 if event.call == "copy_file_range" else 0]


def sample(faults: Sequence[Fault], turn: int) -> list[Fault]:
    """For the short run: of up to `MOST` calls the kill and one of the others; which ones changes with the turn."""
    chosen = []
    calls: dict[tuple[str, int], list[Fault]] = {}
    for fault in faults:
        calls.setdefault((fault.call, fault.nth), []).append(fault)
    step = -(-len(calls) // MOST)
    for place, group in list(enumerate(calls.values()))[turn % step :: step]:
        others = [fault for fault in group if fault.how != "KILL"]
        chosen += [others[(place * 5 + turn) % len(others)], *(fault for fault in group if fault.how == "KILL")]
    return chosen


def strerror(how: str) -> str:
    """What the system says of an error; of a short write, what the next one gets."""
    return os.strerror(errno.EFBIG if how == "short" else getattr(errno, how))
