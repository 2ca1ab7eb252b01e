"""Every case put to an implementation, and what comes of it."""

from __future__ import annotations

import contextlib
import platform
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from . import conversions, derived
from .conversions import Conversion
from .derived import Derived
from .memory import MEASURABLE
from .process import Implementation
from .suite import Listed
from .verdict import Outcome, judged, operations

OWN = (sys.executable, "-m", "ptformat.conformance.adapter")


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
        derived: One for each family of each case that files are derived of, none where files are not verified; None
            where none were asked for.
        ending: What was wrong with how it ended; empty where all was well.
        measured: Whether memory can be measured on this system.
    """

    command: list[str]
    name: str
    version: str
    results: list[Result] = field(default_factory=list)
    derived: list[Derived] | None = None
    ending: str = ""
    measured: bool = MEASURABLE

    @property
    def tested(self) -> bool:
        """Whether anything was not skipped."""
        return any(result.result != "skipped" for result in self.results)

    @property
    def sound(self) -> bool:
        """Whether something was tested, nothing failed that was not known to, and nothing passed that was."""
        wrong = any(result.result in ("failed", "unexpected") for result in self.results)
        return self.tested and not wrong and not self.ending and not any(each.failed for each in self.derived or ())

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
            **({} if self.derived is None else {"derived": [asdict(each) for each in self.derived]}),
        }


def run(
    command: Sequence[str],
    cases: Iterable[Listed | Conversion],
    *,
    known: Iterable[str] = (),
    slower: float = 1.0,
    every: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> Run:
    """Put cases and conversions to an implementation, and then derived files.

    Args:
        command: The program and its arguments.
        cases: What to ask.
        known: Ids of cases that are known to fail.
        slower: Times as many seconds as the manifest allows.
        every: Put also the derived files 0, n, 2n, … of each family; None for none of them.
        progress: Called with 1 after each case and file.

    Raises:
        NoImplementation: When it cannot be started, or does not say hello.
    """
    tested = Implementation(command)
    try:
        greeting = tested.start()
        done = Run(list(command), greeting.name, greeting.version)
        listed = frozenset(known)
        for case in cases:
            outcomes = _asked(tested, case, greeting.operations, slower)
            done.results.append(Result(case, outcomes, case.id in listed))
            if progress:
                progress(1)
        if every is not None:
            verifies = "verify" in greeting.operations
            done.derived = [*derived.run(tested, every=every, slower=slower, progress=progress)] if verifies else []
        done.ending = tested.stop()
        return done
    finally:
        tested.kill()


def _asked(
    tested: Implementation, case: Listed | Conversion, offered: Sequence[str], slower: float
) -> tuple[Outcome, ...]:
    if isinstance(case, Conversion):
        with _new_file() as out:
            return conversions.asked(tested, case, offered, out, slower)
    outcomes = []
    for operation in operations(case):
        request = {"op": operation, "id": f"{operation} {case.id}", "file": str(case.path)}
        limits = slower * case.seconds, case.memory_mib
        if operation not in offered:
            outcomes.append(Outcome(operation, "skipped", "not offered"))
        elif operation == "encode":
            with _new_file() as out:
                reply = tested.ask({**request, "out": str(out)}, *limits)
                outcomes.append(judged(case, operation, reply, out))
        else:
            outcomes.append(judged(case, operation, tested.ask(request, *limits)))
    return tuple(outcomes)


@contextlib.contextmanager
def _new_file() -> Iterator[Path]:
    """Where a file may be written, in a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="conformance-", ignore_cleanup_errors=True) as folder:
        yield Path(folder) / "out.ptf"


def known_failures(text: str) -> list[str]:
    """The ids in the text of a file of known failures: one a line; `#` begins a comment."""
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    return [line for line in lines if line]
