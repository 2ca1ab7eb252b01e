"""An implementation as a child process: one request, one answer, or what became of it."""

from __future__ import annotations

import json
import math
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ptformat.errors import bounded, shown

from .child import TICK, Child
from .memory import Memory

OPERATIONS = ("decode", "verify", "encode", "convert")
PROTOCOL = 1
STARTING_SECONDS = 60.0
ENDING_SECONDS = 5.0


class NoImplementation(Exception):
    """A command that cannot be started, or does not answer the first request as the protocol says."""


@dataclass(frozen=True, slots=True)
class Greeting:
    """How an implementation says hello.

    Attributes:
        name: What it calls itself.
        version: The version it gives.
        operations: Those of `OPERATIONS` that it has.
    """

    name: str
    version: str
    operations: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Reply:
    """What came of a request.

    Attributes:
        answer: The JSON object, with a `result` and without its `id`; or None.
        fault: Why there is none: a crash, a time-out, too much memory, no JSON; empty where there is one.
        seconds: How long it took.
        memory: Bytes that the process took beyond what it had before, at the peak; None where that is not known.
    """

    answer: dict[str, Any] | None
    fault: str
    seconds: float
    memory: int | None


class Implementation:
    """A command that answers requests. It is started when first asked, and again when it had to be ended.

    Args:
        command: The program and its arguments.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self.command = list(command)
        self._child: Child | None = None
        self._missing = ""  # why there is none, once it could not be started

    def start(self) -> Greeting:
        """Start it and have it say hello.

        Raises:
            NoImplementation: When it cannot be started, or says something else.
        """
        self.kill()
        try:
            self._child = Child(self.command)
        except OSError as error:
            raise NoImplementation(f"{self.command[0]}: {error.strerror}") from error
        reply = self._put(self._child, {"op": "hello", "id": "hello", "protocol": PROTOCOL}, STARTING_SECONDS, None)
        answer = reply.answer or {}
        fault = reply.fault or _wrong_hello(answer)
        if fault:
            self.kill()
            raise NoImplementation(f"{self.command[0]}: {bounded(fault)} where it should say hello")
        name, version = (answer.get(key, "?") for key in ("name", "version"))
        return Greeting(_text(name), _text(version), tuple(answer["operations"]))

    def ask(self, request: Mapping[str, Any], seconds: float, memory_mib: int | None = None) -> Reply:
        """Send one request and wait so long for its answer; whatever gives none is ended.

        Args:
            request: What to ask.
            seconds: How long it may take to read the request and to answer.
            memory_mib: How much memory it may take.
        """
        if self._child is None and not self._missing:
            try:
                self.start()
            except NoImplementation as error:
                self._missing = f"not started: {error}"
        if self._child is None:
            return Reply(None, self._missing, 0.0, None)
        return self._put(self._child, request, seconds, memory_mib)

    def _put(self, child: Child, request: Mapping[str, Any], seconds: float, memory_mib: int | None) -> Reply:
        child.exchange(0)
        if child.unread:
            return self._failed(_unasked(child), 0.0, None)
        memory = Memory(child.pid)
        began = time.perf_counter()
        child.send(json.dumps(request).encode() + b"\n")
        looked = took = 0.0
        while (line := child.line()) is None:
            took = time.perf_counter() - began
            if took >= seconds:
                return self._failed(f"no answer within {seconds:g} s", took, memory.highest())
            if child.closed or (child.code is not None and not child.exchange(0)):
                return self._failed(_ending(child), took, memory.highest())
            if took - looked >= TICK:
                looked = took
                if fault := beyond(memory.highest(), memory_mib):
                    return self._failed(fault, took, memory.highest())
            child.exchange(min(TICK, seconds - took))
        took = time.perf_counter() - began
        highest = memory.highest()
        answer = _parsed(line)
        if answer is None:
            return self._failed(f"no answer but {shown(line)}", took, highest)
        if (ident := answer.pop("id", None)) != request.get("id"):
            return self._failed(f"id {shown(ident)}, expected {request.get('id')!r}", took, highest)
        return Reply(answer, "", took, highest)

    def stop(self) -> str:
        """Ask it to stop; what is wrong with how it ended, or nothing."""
        child = self._child
        if child is None:
            return ""
        child.exchange(0)
        fault = _unasked(child) if child.unread else ""
        if child.code is not None:
            fault = f"ended with {_how(child.code)} before it was asked to stop"
        child.send(b'{"op": "stop"}\n')
        child.close_input()
        code = child.wait(ENDING_SECONDS)
        self.kill()
        if code is None:
            return fault or "did not stop when asked to"
        return fault or (f"ended with {_how(code)} when asked to stop" if code else "")

    def kill(self) -> None:
        """End it and all that it has started."""
        child, self._child = self._child, None
        if child is not None:
            child.end()

    def _failed(self, fault: str, seconds: float, memory: int | None) -> Reply:
        self.kill()
        return Reply(None, fault, seconds, memory)


def beyond(memory: int | None, allowed_mib: int | None) -> str:
    """What is wrong with an amount of memory, or nothing."""
    if memory is None or allowed_mib is None or memory <= allowed_mib * 2**20:
        return ""
    return f"took {math.ceil(memory / 2**20)} MiB, {allowed_mib} are allowed"


def _parsed(line: bytes) -> dict[str, Any] | None:
    """The answer in a line, or None where it holds none."""
    try:
        answer = json.loads(line.decode())
    except (ValueError, RecursionError):
        return None
    return answer if isinstance(answer, dict) and isinstance(answer.get("result"), str) else None


def _wrong_hello(answer: Mapping[str, Any]) -> str:
    if answer["result"] != "ok":
        return shown(answer)
    found = answer.get("operations")
    if isinstance(found, list) and all(each in OPERATIONS for each in found):
        return ""
    return f"operations {shown(found)}, expected an array of {', '.join(OPERATIONS)}"


def _text(value: Any) -> str:
    return bounded(value) if isinstance(value, str) else shown(value)


def _unasked(child: Child) -> str:
    return f"answered before it was asked: {shown(child.unread)}"


def _ending(child: Child) -> str:
    """How a process ended that was to answer."""
    code = child.wait(ENDING_SECONDS)
    if code is None:
        return "closed its output without an answer"
    return f"ended with {_how(code)}" + (f": {child.told}" if child.told else "")


def _how(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"signal {signal.Signals(-code).name}"
    except ValueError:  # a signal for real-time use has no name
        return f"signal {-code}"
