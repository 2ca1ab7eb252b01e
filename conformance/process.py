"""An implementation as a child process: one request, one answer, or what became of it."""

from __future__ import annotations

import contextlib
import io
import json
import os
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

MAX_ANSWER = 256 * 2**20
_ENDING_SECONDS = 5.0
_TOLD = 400  # characters of what a process wrote to standard error before it ended


@dataclass(frozen=True, slots=True)
class Reply:
    """What came of a request.

    Attributes:
        answer: The JSON object, or None.
        fault: Why there is none, or what is wrong with it: a crash, a time-out, no JSON; empty where all is well.
        seconds: How long it took.
        memory: Bytes that the process took beyond what it had before, at the peak; None where that is not known.
    """

    answer: dict[str, Any] | None
    fault: str
    seconds: float
    memory: int | None


class Implementation:
    """A command that answers requests. It is started when first asked, and again after a crash or a time-out.

    Args:
        command: The program and its arguments.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self.command = list(command)
        self._child: subprocess.Popen[bytes] | None = None
        self._lines: queue.Queue[bytes] = queue.Queue()
        self._said: _Tail | None = None

    def ask(self, request: Mapping[str, Any], seconds: float) -> Reply:
        """Send one request and wait so long for its answer.

        Raises:
            OSError: When the command cannot be started.
        """
        child = self._child or self._start()
        memory = _Memory(child.pid)
        started = time.perf_counter()
        try:
            assert child.stdin is not None
            child.stdin.write(json.dumps(request).encode() + b"\n")
            child.stdin.flush()
            line = self._lines.get(timeout=seconds)
        except BrokenPipeError:
            line = b""
        except queue.Empty:
            self.kill()
            return Reply(None, f"no answer within {seconds:g} s", time.perf_counter() - started, None)
        took = time.perf_counter() - started
        if not line:
            return Reply(None, self._ended(), took, None)
        peak = memory.peak()
        try:
            answer = json.loads(line)
        except ValueError:
            answer = None
        if not isinstance(answer, dict) or "result" not in answer:
            self.kill()
            return Reply(None, f"no answer but {line[:80]!r}", took, peak)
        return Reply(answer, "", took, peak)

    def stop(self) -> str:
        """Ask it to stop; what is wrong with how it ended, or nothing."""
        if self._child is None:
            return ""
        child = self._child
        try:
            assert child.stdin is not None
            child.stdin.write(b'{"op": "stop"}\n')
            child.stdin.close()
            code = child.wait(timeout=_ENDING_SECONDS)
        except (BrokenPipeError, subprocess.TimeoutExpired):
            code = None
        self.kill()
        if code is None:
            return "did not stop when asked to"
        return "" if code == 0 else f"ended with exit code {code} when asked to stop"

    def kill(self) -> None:
        """End it and all that it has started."""
        child, self._child = self._child, None
        if child is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        assert child.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # what was not written any more
            child.stdin.close()

    def _start(self) -> subprocess.Popen[bytes]:
        pipe = subprocess.PIPE
        child = subprocess.Popen(self.command, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True)
        assert child.stdout is not None and child.stderr is not None
        self._child, self._lines, self._said = child, queue.Queue(), _Tail(child.stderr)
        threading.Thread(target=_read_lines, args=(child.stdout, self._lines), daemon=True).start()
        return child

    def _ended(self) -> str:
        """How a process ended that was to answer."""
        assert self._child is not None
        try:
            code = self._child.wait(timeout=_ENDING_SECONDS)
        except subprocess.TimeoutExpired:
            return "closed its output without an answer"
        finally:
            self.kill()
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        told = self._said.text() if self._said else ""
        return f"ended with {how}" + (f": {told}" if told else "")


def _read_lines(stream: IO[bytes], lines: queue.Queue[bytes]) -> None:
    """Put each line into the queue, and nothing at the end."""
    while line := stream.readline(MAX_ANSWER):
        lines.put(line)
    lines.put(b"")
    stream.close()


class _Tail:
    """The last of what a process writes to standard error."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._kept = b""
        self._stream = stream
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        while data := self._stream.read1(4096) if isinstance(self._stream, io.BufferedReader) else b"":
            self._kept = (self._kept + data)[-_TOLD:]
        self._stream.close()

    def text(self) -> str:
        """What was kept, once the process has ended."""
        self._thread.join(timeout=1)  # what the process has started may still hold the stream
        return self._kept.decode(errors="replace").strip()


class _Memory:
    """Resident memory of a process and its descendants, between now and `peak`. Known on Linux alone."""

    def __init__(self, pid: int) -> None:
        self._before: dict[int, int] | None = {}
        try:
            for each in _family(pid):
                Path(f"/proc/{each}/clear_refs").write_bytes(b"5")  # the peak begins anew (proc(5))
                self._before[each] = _kilobytes(each, "VmRSS")
        except OSError:
            self._before = None
        self._pid = pid

    def peak(self) -> int | None:
        """Bytes at the peak beyond those at the beginning."""
        if self._before is None:
            return None
        try:
            peaks = {each: _kilobytes(each, "VmHWM") for each in _family(self._pid)}
        except OSError:
            return None
        return 1024 * sum(max(0, peak - self._before.get(each, 0)) for each, peak in peaks.items())


def _family(pid: int) -> list[int]:
    """The process and its descendants."""
    found = [pid]
    for each in found:
        for task in Path(f"/proc/{each}/task").iterdir():
            found += map(int, (task / "children").read_text().split())
    return found


def _kilobytes(pid: int, name: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    return 0  # it has ended, or is a thread of the kernel
