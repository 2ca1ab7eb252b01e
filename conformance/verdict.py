"""An answer against what the manifest says."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ptformat.errors import READ_CODES

from .process import Reply
from .recipes.case import PHASES
from .suite import Listed

OPERATIONS = ("decode", "verify", "encode")
_MAY_LACK = ("tree", "digest")  # parts of the content that an implementation may leave out


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one request for one case showed.

    Attributes:
        operation: `decode`, `verify`, `encode` or `convert`.
        result: `passed`, `failed` or `skipped`.
        why: Of a failure or a skip.
        lacking: What of the content was left out.
        seconds: How long it took.
        memory: Bytes it took, where known.
    """

    operation: str
    result: str
    why: str = ""
    lacking: tuple[str, ...] = ()
    seconds: float = 0.0
    memory: int | None = None


def operations(case: Listed) -> tuple[str, ...]:
    """What is asked of a case: a file that is rejected is not written anew."""
    return OPERATIONS if case.raw_sha256 is not None else OPERATIONS[:2]


def judged(case: Listed, operation: str, reply: Reply, out: Path, slower: float = 1.0) -> Outcome:
    """The outcome of a reply.

    Args:
        case: The case.
        operation: What was asked.
        reply: What came back.
        out: Where `encode` was to write.
        slower: Times as many seconds as the manifest allows.
    """
    return outcome(
        operation,
        reply,
        lambda answer: _compared(case, operation, answer, out),
        seconds=slower * case.seconds,
        memory_mib=case.memory_mib,
    )


def outcome(
    operation: str,
    reply: Reply,
    compared: Callable[[dict[str, Any]], tuple[str, tuple[str, ...]]],
    *,
    seconds: float,
    memory_mib: int,
) -> Outcome:
    """The outcome of a reply.

    Args:
        operation: What was asked.
        reply: What came back.
        compared: What is wrong with an answer, or nothing; and what it leaves out.
        seconds: How long it may take.
        memory_mib: How much memory it may take.
    """
    result, why = "passed", ""
    lacking: tuple[str, ...] = ()
    if reply.answer is None:
        result, why = "failed", reply.fault
    elif reply.answer["result"] == "skipped":
        result, why = "skipped", str(reply.answer.get("reason", "no reason given"))
    else:
        why, lacking = compared(reply.answer)
        if not why and reply.memory is not None and reply.memory > memory_mib * 2**20:
            why = f"took {reply.memory / 2**20:.0f} MiB, {memory_mib} are allowed"
        if not why and reply.seconds > seconds:
            why = f"took {reply.seconds:.1f} s, {seconds:g} are allowed"
        result = "failed" if why else "passed"
    return Outcome(operation, result, why, lacking, reply.seconds, reply.memory)


def _compared(case: Listed, operation: str, answer: dict[str, Any], out: Path) -> tuple[str, tuple[str, ...]]:
    """What is wrong with an answer, or nothing; and what it leaves out."""
    if answer["result"] == "reject":
        return _rejection(case, operation, answer), ()
    if answer["result"] != "ok":
        return f"result {answer['result']!r}, expected ok, reject or skipped", ()
    if case.verdict == "reject":
        if operation == "decode" and case.phase == "verify":
            return "", ()
        return f"accepted, expected {' or '.join(case.codes)}", ()
    if operation == "decode":
        return compare(case.content(), answer.get("content"))
    if operation == "encode":
        return _written(case, out), ()
    return "", ()


def _rejection(case: Listed, operation: str, answer: dict[str, Any]) -> str:
    code, phase = answer.get("code"), answer.get("phase", "open")
    said = f" ({answer['message']})" if "message" in answer else ""
    if case.verdict == "accept" and not case.codes:
        return f"rejected with {code}{said}, expected to be accepted"
    if code not in case.codes:
        strange = "" if code in READ_CODES else ", which is no code of the specification"
        return f"rejected with {code}{strange}{said}, expected {' or '.join(case.codes)}"
    if phase not in PHASES:
        return f"phase {phase!r}, expected one of {', '.join(PHASES)}"
    if operation == "decode" and PHASES.index(phase) > PHASES.index(case.phase or "verify"):
        return f"rejected in phase {phase}, expected {case.phase}"
    return ""


def _written(case: Listed, out: Path) -> str:
    if not out.is_file():
        return "nothing was written"
    found = hashlib.sha256(out.read_bytes()).hexdigest()
    return "" if found == case.raw_sha256 else f"wrote bytes of sha256 {found}, expected {case.raw_sha256}"


def compare(expected: dict[str, Any], found: Any) -> tuple[str, tuple[str, ...]]:
    """The first difference between two contents, or nothing; and what the second one leaves out."""
    if not isinstance(found, dict):
        return f"content {_shown(found)}, expected an object", ()
    lacking = tuple(name for name in _MAY_LACK if name not in found or "skipped" in found[name])
    wanted = {name: value for name, value in expected.items() if name not in lacking}
    given = {name: value for name, value in found.items() if name not in lacking}
    return _difference("content", wanted, given), lacking


def _difference(where: str, expected: Any, found: Any) -> str:
    if type(expected) is not type(found):
        return f"{where}: {_shown(found)}, expected {_shown(expected)}"
    if isinstance(expected, dict):
        for name in expected | found:
            if name not in found:
                return f"{where}: no {name!r}, expected {_shown(expected[name])}"
            if name not in expected:
                return f"{where}: {name!r} {_shown(found[name])}, expected none"
            if what := _difference(f"{where}.{name}", expected[name], found[name]):
                return what
        return ""
    if isinstance(expected, list):
        for place, (one, other) in enumerate(zip(expected, found, strict=False)):
            if what := _difference(f"{where}[{place}]", one, other):
                return what
        return "" if len(expected) == len(found) else f"{where}: {len(found)} items, expected {len(expected)}"
    return "" if expected == found else f"{where}: {_shown(found)}, expected {_shown(expected)}"


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:97]}..."
