"""A run as lines for a terminal: a table of areas, then what failed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from .derived import Derived
from .runner import Result, Run

_SHOWN = ("passed", "failed", "known", "unexpected", "skipped")
_HEADS = {"known": "known to fail", "unexpected": "passed, though listed as failing"}


def table(done: Run) -> list[Sequence[str]]:
    """Rows of cells: an area each, and all together; columns without a number in them are left out."""
    counted = {area: Counter(r.result for r in results) for area, results in _by_area(done.results)}
    total = sum(counted.values(), Counter[str]())
    shown = [name for name in _SHOWN if total[name] or name in ("passed", "failed")]
    rows: list[Sequence[str]] = [("area", "cases", *(_HEADS.get(name, name) for name in shown), "")]
    for area, counts in [*counted.items(), ("all", total)]:
        rows.append((area, f"{counts.total()}", *(f"{counts[name] or '–'}" for name in shown), ""))
    return rows


def _by_area(results: Sequence[Result]) -> Iterator[tuple[str, list[Result]]]:
    for area in dict.fromkeys(result.case.area for result in results):
        yield area, [result for result in results if result.case.area == area]


def failures(done: Run) -> list[str]:
    """A line for all that is not as it should be: requests, cases that passed though listed, files, the end."""
    lines = []
    for result in done.results:
        if result.result == "failed":
            wrong = (outcome for outcome in result.outcomes if outcome.result == "failed")
            lines += [f"{result.case.id}: {outcome.operation}: {outcome.why}" for outcome in wrong]
        elif result.result == "unexpected":
            lines.append(f"{result.case.id}: passed, though it is listed as failing")
    lines += _derived_failures(done.derived or ())
    lines += [f"at the end: {done.ending}"] if done.ending else []
    return lines if done.tested else [*lines, "nothing was tested"]


def notes(done: Run) -> list[str]:
    """What was not done: skipped requests and parts of contents, with how often, and memory where it is not known."""
    skipped = Counter(
        f"{outcome.operation}: {outcome.why}"
        for result in done.results
        for outcome in result.outcomes
        if outcome.result == "skipped"
    )
    lacking = Counter(name for result in done.results for outcome in result.outcomes for name in outcome.lacking)
    lines = [f"skipped   {count} × {why}" for why, count in skipped.items()]
    lines += [f"left out  {count} × {name}" for name, count in lacking.items()]
    lines += [] if done.derived != [] else ["skipped   derived files: verify: not offered"]
    return lines if done.measured else [*lines, "memory    not measured: only Linux tells it of another process"]


def slowest(done: Run) -> str:
    """The longest answer and the one that took most memory."""
    outcomes = [(outcome, result.case.id) for result in done.results for outcome in result.outcomes]
    longest, slow = max(outcomes, key=lambda pair: pair[0].seconds)
    largest, heavy = max(outcomes, key=lambda pair: pair[0].memory or 0)
    line = f"longest   {longest.seconds:.2f} s ({slow}, {longest.operation})"
    if largest.memory:
        line += f"; most memory {largest.memory / 2**20:.0f} MiB ({heavy}, {largest.operation})"
    return line


def derived_table(results: Iterable[Derived]) -> list[Sequence[str]]:
    """Rows of cells: a family each."""
    rows: list[Sequence[str]] = [("family", "files", "put", "failed", "skipped", "")]
    held = list(results)
    for family in dict.fromkeys(each.family for each in held):
        chosen = [each for each in held if each.family == family]
        numbers = (sum(getattr(each, name) for each in chosen) for name in ("count", "asked", "failed", "skipped"))
        rows.append((family, *map(str, numbers), ""))
    return rows


def _derived_failures(results: Iterable[Derived]) -> list[str]:
    """A line for each derived file that failed, the first ones of a family."""
    return [f"{each.seed}, {each.family} {number}: {why}" for each in results for number, why in each.failures]
