"""An answer against what the manifest says."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ptformat.errors import READ_CODES, bounded, shown

from .process import Reply, beyond
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


def judged(case: Listed, operation: str, reply: Reply, out: Path | None = None) -> Outcome:
    """The outcome of a reply.

    Args:
        case: The case.
        operation: What was asked.
        reply: What came back.
        out: Where `encode` was to write.
    """
    return outcome(operation, reply, lambda answer: _compared(case, operation, answer, out), case.memory_mib)


def outcome(
    operation: str,
    reply: Reply,
    compared: Callable[[dict[str, Any]], tuple[str, tuple[str, ...]]],
    memory_mib: int,
) -> Outcome:
    """The outcome of a reply.

    Args:
        operation: What was asked.
        reply: What came back.
        compared: What is wrong with an answer, or nothing; and what it leaves out.
        memory_mib: How much memory it may take.
    """
    lacking: tuple[str, ...] = ()
    if reply.answer is None:
        result, why = "failed", reply.fault
    elif reply.answer["result"] == "skipped":
        result, why = "skipped", told(reply.answer, "reason") or "no reason given"
    else:
        try:
            why, lacking = compared(reply.answer)
        except RecursionError:
            why = "an answer of too many levels"
        why = why or beyond(reply.memory, memory_mib)
        result = "failed" if why else "passed"
    return Outcome(operation, result, bounded(why), lacking, reply.seconds, reply.memory)


def told(answer: Mapping[str, Any], key: str) -> str:
    """What an answer says under a key that it may lack."""
    value = answer.get(key, "")
    return value if isinstance(value, str) else shown(value)


def _compared(case: Listed, operation: str, answer: dict[str, Any], out: Path | None) -> tuple[str, tuple[str, ...]]:
    """What is wrong with an answer, or nothing; and what it leaves out."""
    if answer["result"] == "reject":
        return _rejection(case, operation, answer), ()
    if answer["result"] != "ok":
        return f"result {shown(answer['result'])}, expected ok, reject or skipped", ()
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
    said = f" ({told(answer, 'message')})" if "message" in answer else ""
    if case.verdict == "accept" and not case.codes:
        return f"rejected with {code}{said}, expected to be accepted"
    if code not in case.codes:
        strange = "" if code in READ_CODES else ", which is no code of the specification"
        return f"rejected with {code}{strange}{said}, expected {' or '.join(case.codes)}"
    if phase not in PHASES:
        return f"phase {shown(phase)}, expected one of {', '.join(PHASES)}"
    if operation == "decode" and PHASES.index(phase) > PHASES.index(case.phase or "verify"):
        return f"rejected in phase {phase}, expected {case.phase}"
    return ""


def _written(case: Listed, out: Path | None) -> str:
    if out is None or not out.is_file():
        return "nothing was written"
    try:
        found = hashlib.sha256(out.read_bytes()).hexdigest()
    except OSError as error:
        return f"what was written cannot be read: {error.strerror}"
    return "" if found == case.raw_sha256 else f"wrote bytes of sha256 {found}, expected {case.raw_sha256}"


def compare(expected: dict[str, Any], found: Any) -> tuple[str, tuple[str, ...]]:
    """The first difference between two contents, or nothing; and what the second one leaves out."""
    if not isinstance(found, dict):
        return f"content {shown(found)}, expected an object", ()
    lacking = tuple(name for name in _MAY_LACK if name not in found or _skipped(found[name]))
    wanted = {name: value for name, value in expected.items() if name not in lacking}
    given = {name: value for name, value in found.items() if name not in lacking}
    return _difference("content", wanted, given), lacking


def _skipped(part: Any) -> bool:
    return isinstance(part, dict) and part.keys() == {"skipped"} and isinstance(part["skipped"], str)


def _difference(where: str, expected: Any, found: Any) -> str:
    if type(expected) is not type(found):
        return f"{where}: {shown(found)}, expected {shown(expected)}"
    if isinstance(expected, dict):
        for name in expected | found:
            if name not in found:
                return f"{where}: no {name!r}, expected {shown(expected[name])}"
            if name not in expected:
                return f"{where}: {name!r} {shown(found[name])}, expected none"
            if what := _difference(f"{where}.{name}", expected[name], found[name]):
                return what
        return ""
    if isinstance(expected, list):
        for place, (one, other) in enumerate(zip(expected, found, strict=False)):
            if what := _difference(f"{where}[{place}]", one, other):
                return what
        return "" if len(expected) == len(found) else f"{where}: {len(found)} items, expected {len(expected)}"
    return "" if expected == found else f"{where}: {shown(found)}, expected {shown(expected)}"
