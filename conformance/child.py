"""A process that is written to and read from without waiting for it in vain (POSIX)."""

from __future__ import annotations

import contextlib
import itertools
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Sequence
from typing import IO

TICK = 0.03  # seconds: how often one looks whether a process lives, and what it takes
MAX_LINE = 256 * 2**20
_PIECE = 2**20  # as much as a pipe holds
_TOLD = 400  # bytes of the end of standard error that are kept
_ENDING_SECONDS = 5.0
_LOOK_SECONDS = 0.02  # between two looks at what is left of it
_UNSEEN = 5  # looks that find nothing, after which nothing is left: a program just being started has no environment
_MARK = "PTFORMAT_CONFORMANCE"  # begins a name in the environment of all that a process starts
_numbers = itertools.count()


class Child:
    """A process in a session of its own.

    Args:
        command: The program and its arguments.

    Raises:
        OSError: When it cannot be started.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self._mark = f"{_MARK}_{os.getpid()}_{next(_numbers)}"
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(
            command,
            bufsize=0,
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            env=os.environ | {self._mark: ""},
            start_new_session=True,
        )
        self._in, self._out, self._err = (
            _unblocked(stream) for stream in (self._process.stdin, self._process.stdout, self._process.stderr)
        )
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._out, selectors.EVENT_READ, self._take)
        self._selector.register(self._err, selectors.EVENT_READ, self._listen)
        self._unsent = b""
        self._read = bytearray()
        self._searched = 0  # bytes of what was read in which no line ends
        self._told = b""
        self.closed = False  # whether its standard output has an end

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    @property
    def code(self) -> int | None:
        """What it ended with, negative for a signal; None while it lives."""
        return self._process.poll()

    @property
    def unread(self) -> bytes:
        """The beginning of what it wrote and `line` has not given yet."""
        return bytes(self._read[:100])

    @property
    def told(self) -> str:
        """The end of what it wrote to standard error."""
        return self._told.decode(errors="replace").strip()

    def send(self, line: bytes) -> None:
        """Write a line; what there is no room for is written by `exchange`."""
        self._unsent += line
        self._write()

    def line(self) -> bytes | None:
        """The next line that was read, or as much as there may be of one; None where there is none yet."""
        end = self._read.find(b"\n", self._searched) + 1
        if not end and len(self._read) < MAX_LINE:
            self._searched = len(self._read)
            return None
        end = end or MAX_LINE
        line = bytes(self._read[:end])
        del self._read[:end]
        self._searched = 0
        return line

    def exchange(self, seconds: float) -> bool:
        """Write and read what can be, and wait at most so long for anything; whether there was anything."""
        ready = self._selector.select(seconds)
        for key, _ in ready:
            key.data()
        return bool(ready)

    def wait(self, seconds: float) -> int | None:
        """What it ends with; None where it has not after so many seconds."""
        end = time.monotonic() + seconds
        while self.code is None and time.monotonic() < end:
            self.exchange(TICK)
        self.exchange(0)
        return self.code

    def close_input(self) -> None:
        """Say that nothing more will be asked."""
        self._unsent = b""
        self._watch_input()
        self._in.close()

    def end(self) -> None:
        """Kill it and all that it has started: its group, and on Linux whoever has its environment."""
        with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS: the group is all zombies
            os.killpg(self.pid, signal.SIGKILL)
        end, unseen = time.monotonic() + _ENDING_SECONDS, 0
        while unseen < _UNSEEN and time.monotonic() < end:
            found = _having(self._mark)
            for pid in found:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            unseen = 0 if found else unseen + 1
            time.sleep(_LOOK_SECONDS)
        self._process.wait()
        self._selector.close()
        for stream in (self._in, self._out, self._err):
            stream.close()

    def _write(self) -> None:
        try:
            written = os.write(self._in.fileno(), self._unsent)
        except BlockingIOError:
            written = 0
        except BrokenPipeError:  # how it ended shows in what it answers
            written = len(self._unsent)
        self._unsent = self._unsent[written:]
        self._watch_input()

    def _watch_input(self) -> None:
        watched = self._in in self._selector.get_map()
        if self._unsent and not watched:
            self._selector.register(self._in, selectors.EVENT_WRITE, self._write)
        elif watched and not self._unsent:
            self._selector.unregister(self._in)

    def _take(self) -> None:
        data = os.read(self._out.fileno(), _PIECE)
        self._read += data[: MAX_LINE - len(self._read)]
        if not data:
            self.closed = True
            self._selector.unregister(self._out)

    def _listen(self) -> None:
        data = os.read(self._err.fileno(), _PIECE)
        self._told = (self._told + data)[-_TOLD:]
        if not data:
            self._selector.unregister(self._err)


def _unblocked(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None
    os.set_blocking(stream.fileno(), False)
    return stream


def _having(mark: str) -> list[int]:
    """The processes with this name in their environment, where the system tells it."""
    found, name = [], f"{mark}=".encode()
    with contextlib.suppress(FileNotFoundError):
        for pid in filter(str.isdecimal, os.listdir("/proc")):
            with contextlib.suppress(OSError), open(f"/proc/{pid}/environ", "rb") as environment:
                if any(each.startswith(name) for each in environment.read().split(b"\0")):
                    found.append(int(pid))
    return found
