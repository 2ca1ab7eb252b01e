"""A save in a process of its own: a fork of this one, in which everything is imported, that waits to be let go."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import secrets
import select
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NoReturn

from ptformat import FormatError

SUFFIX = "crash"  # of every temporary name in the child, so that its path is known before
NOBODY = 65534
SLOW = 60.0  # seconds after which a save hangs
_PIECE = 2**16
_PR_SET_PTRACER, _ANY = 0x59616D61, ctypes.c_ulong(-1)  # linux/prctl.h


@dataclass(frozen=True)
class Ended:
    """How a child ended.

    Attributes:
        code: Its exit code, or minus the number of the signal that ended it.
        said: What it wrote to stderr.
        hung: Whether it was still there after all the time it had, and was killed.
    """

    code: int
    said: str
    hung: bool = False


@dataclass
class Child:
    """A process that does `act` once `go` was called, with stdout dropped and stderr kept.

    Args:
        act: What it does. An OSError or FormatError is told as the command line tells it, with exit code 1; anything
            else it raises is a traceback.
        limit: No file becomes longer than so many bytes: a write across the limit is short, the next one fails.
        unprivileged: As a user who may write nothing, where this one may write everything.
        ready: What it does before it waits, such as to import what does not survive a fork.
    """

    act: Callable[[], None]
    limit: int | None = None
    unprivileged: bool = False
    ready: Callable[[], None] | None = None
    pid: int = field(init=False)

    def __post_init__(self) -> None:
        wait, self._go = os.pipe()
        self._said, said = socket.socketpair()
        waits, ready = os.pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if not self.pid:
            os.close(self._go)
            self._said.close()
            self._live(wait, said, ready)
        said.close()
        for end in (wait, ready):
            os.close(end)
        os.read(waits, 1)  # until it waits, or has ended
        os.close(waits)

    def _live(self, wait: int, said: socket.socket, ready: int) -> NoReturn:
        code = 70
        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            os.dup2(said.fileno(), 2)
            if self.ready:
                self.ready()
            secrets.token_hex = lambda nbytes=None: SUFFIX
            ctypes.CDLL(None).prctl(_PR_SET_PTRACER, _ANY)  # where only ancestors may trace
            if self.limit is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (self.limit, resource.RLIM_INFINITY))
            if self.unprivileged and not os.geteuid():
                os.setgroups([])
                os.setgid(NOBODY)
                os.setuid(NOBODY)
            os.close(ready)
            select.select([wait], [], [])
            code = _told(self.act, said)
            sys.stderr.flush()
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
        finally:
            os._exit(code)

    def go(self) -> None:
        """Let it begin."""
        os.close(self._go)

    def ended(self, seconds: float = SLOW) -> Ended:
        """Wait for its end, for so long, and take in what it says meanwhile."""
        said = bytearray()
        handle, end = os.pidfd_open(self.pid), time.monotonic() + seconds
        watched: list[int | socket.socket] = [handle, self._said]
        while ready := select.select(watched, [], [], max(0.0, end - time.monotonic()))[0]:
            if handle in ready:
                break
            said += (piece := self._said.recv(_PIECE))
            if not piece:
                watched.remove(self._said)
        os.close(handle)
        if not ready:
            os.kill(self.pid, signal.SIGKILL)
        code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        with self._said as rest, contextlib.suppress(BlockingIOError):
            rest.setblocking(False)
            while piece := rest.recv(_PIECE):
                said += piece
        return Ended(code, said.decode(errors="replace"), not ready)


def computed(work: Callable[[], str], seconds: float = SLOW) -> str:
    """What a function gives in a child, whose imports are its own.

    Raises:
        FormatError: For an error of the library's or of the system's in the child.
        RuntimeError: When it ends in any other way.
    """
    with open(os.memfd_create("result"), "w+b", buffering=0) as result:
        child = Child(lambda: result.write(work().encode()) and None)
        child.go()
        ended = child.ended(seconds)
        if ended.code == 1:
            raise FormatError("DATA", ended.said)
        if ended.code:
            raise RuntimeError(ended.said)
        result.seek(0)
        return result.read().decode()


def finished(act: Callable[..., None], *args: object) -> None:
    """Do something in a child, and wait for it."""
    child = Child(lambda: act(*args))
    child.go()
    ended = child.ended()
    if ended.code:
        raise RuntimeError(ended.said)


def _told(act: Callable[[], None], said: socket.socket) -> int:
    """Exit code of an act: 0 or 1, or the one it exits with itself."""
    try:
        act()
    except OSError as error:
        _say(said, f"{error.filename}: {error.strerror}")
        if error.filename is None:
            traceback.print_exc()
        return 1
    except FormatError as error:
        _say(said, f"{error.code}: {error.message}")
        return 1
    except SystemExit as done:
        return int(done.code or 0)
    return 0


def _say(said: socket.socket, what: str) -> None:
    said.sendall(f"ptformat: {what}\n".encode())  # a call that no save makes, and that is not traced
