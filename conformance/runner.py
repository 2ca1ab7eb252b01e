"""Every case put to an implementation, and what comes of it."""

from __future__ import annotations

import platform
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from . import conversions
from .conversions import Conversion
from .process import Implementation
from .suite import Listed
from .verdict import Outcome, judged, operations

OWN = (sys.executable, "-m", "ptformat.conformance.adapter")
PROTOCOL = 1
STARTING_SECONDS = 60.0


class NoImplementation(Exception):
    """A command that cannot be started, or does not answer the first request as the protocol says."""


@dataclass(frozen=True, slots=True)
class Result:
    """What one case or conversion showed.

    Attributes:
        case: The case or conversion.
        outcomes: One for each request.
        known: Whether it was listed as a known failure.
    """

    case: Listed | Conversion
    outcomes: tuple[Outcome, ...]
    known: bool = False

    @property
    def result(self) -> str:
        """`passed`, `failed`, `known` (failed, as listed), `unexpected` (passed, though listed) or `skipped`."""
        results = Counter(outcome.result for outcome in self.outcomes)
        if results["failed"]:
            return "known" if self.known else "failed"
        if results["passed"]:
            return "unexpected" if self.known else "passed"
        return "skipped"


@dataclass(slots=True)
class Run:
    """A whole run.

    Attributes:
        command: What was run.
        name: What the implementation calls itself.
        version: The version it gives.
        results: One for each case and conversion.
        ending: What was wrong with how it ended; empty where all was well.
    """

    command: list[str]
    name: str
    version: str
    results: list[Result] = field(default_factory=list)
    ending: str = ""

    @property
    def sound(self) -> bool:
        """Whether nothing failed that was not known to, and nothing passed that was."""
        return not self.ending and not any(result.result in ("failed", "unexpected") for result in self.results)

    def as_json(self) -> dict[str, Any]:
        """The report."""
        return {
            "implementation": {"command": self.command, "name": self.name, "version": self.version},
            "machine": {"system": platform.platform(), "python": platform.python_version()},
            "summary": Counter(result.result for result in self.results),
            "ending": self.ending,
            "cases": [
                {
                    "id": result.case.id,
                    "level": result.case.level,
                    "result": result.result,
                    "outcomes": [asdict(outcome) for outcome in result.outcomes],
                }
                for result in self.results
            ],
        }


def run(
    command: Sequence[str],
    cases: Iterable[Listed | Conversion],
    *,
    known: Iterable[str] = (),
    slower: float = 1.0,
    progress: Callable[[], None] | None = None,
) -> Run:
    """Put cases and conversions to an implementation.

    Args:
        command: The program and its arguments.
        cases: What to ask.
        known: Ids of cases that are known to fail.
        slower: Times as many seconds as the manifest allows.
        progress: Called after each case.

    Raises:
        NoImplementation: When it cannot be started, or does not say hello.
    """
    tested = Implementation(command)
    with tempfile.TemporaryDirectory(prefix="conformance-") as folder:
        try:
            held = _greeted(tested)
            done = Run(list(command), str(held.get("name", "?")), str(held.get("version", "?")))
            offered = held.get("operations", [])
            listed = frozenset(known)
            for case in cases:
                outcomes = _asked(tested, case, offered, Path(folder) / "out.ptf", slower)
                done.results.append(Result(case, outcomes, case.id in listed))
                if progress:
                    progress()
            done.ending = tested.stop()
            return done
        finally:
            tested.kill()


def _greeted(tested: Implementation) -> dict[str, Any]:
    try:
        reply = tested.ask({"op": "hello", "protocol": PROTOCOL}, STARTING_SECONDS)
    except OSError as error:
        raise NoImplementation(f"{tested.command[0]}: {error.strerror}") from error
    if reply.answer is None or reply.answer["result"] != "ok":
        raise NoImplementation(f"{tested.command[0]}: {reply.fault or reply.answer} where it should say hello")
    return reply.answer


def _asked(
    tested: Implementation, case: Listed | Conversion, offered: Sequence[str], out: Path, slower: float
) -> tuple[Outcome, ...]:
    if isinstance(case, Conversion):
        return conversions.asked(tested, case, offered, out, slower)
    outcomes = []
    for operation in operations(case):
        if operation not in offered:
            outcomes.append(Outcome(operation, "skipped", "not offered"))
            continue
        request = {"op": operation, "id": case.id, "file": str(case.path)}
        if operation == "encode":
            out.unlink(missing_ok=True)
            request["out"] = str(out)
        reply = tested.ask(request, slower * case.seconds)
        outcomes.append(judged(case, operation, reply, out, slower))
    return tuple(outcomes)


def known_failures(text: str) -> list[str]:
    """The ids in the text of a file of known failures: one a line; `#` begins a comment."""
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    return [line for line in lines if line]
