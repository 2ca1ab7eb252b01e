"""Rows of figures, what they are held against, and the tables made of them."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

BEGIN = "<!-- the last run: written by run.py -->"
END = "<!-- end of the last run -->"


@dataclass(frozen=True)
class Bar:
    """What is to be reached: a ratio to a peer, or without one a figure in the row's own unit."""

    sign: str  # ≥ or ≤
    limit: float
    peer: str | None = None

    def met(self, value: float) -> bool:
        return value >= self.limit if self.sign == "≥" else value <= self.limit

    def __str__(self) -> str:
        return f"{self.sign} {self.limit:g}"


@dataclass(frozen=True)
class Row:
    """One piece of work: the figures of every contestant, ours first, one a round.

    Attributes:
        group: The module that measured it.
        work: What was done, in a few words.
        unit: GB/s, ms, s, MiB or %; none of a plain number.
        values: Contestant -> figures.
        bars: What is to be reached.
        remarks: File system, threads, durable or not, what was touched and checked.
    """

    group: str
    work: str
    unit: str
    values: dict[str, list[float]]
    bars: tuple[Bar, ...] = ()
    remarks: str = ""


def number(value: float, digits: int = 3) -> str:
    """So many digits that count, never fewer than the whole ones."""
    decimals = digits - 1 - math.floor(math.log10(abs(value))) if value else 0
    return f"{value:,.{max(0, decimals)}f}"


def spread(values: Sequence[float], digits: int = 3) -> str:
    """Median, and in brackets the least and the greatest where they differ."""
    median, low, high = (number(value, digits) for value in (statistics.median(values), min(values), max(values)))
    return median if low == high else f"{median} ({low}–{high})"


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """Ours over theirs, round by round: what slows the machine for a while slows both."""
    return [a / b for a, b in zip(ours, theirs, strict=True)]


def as_row(data: dict[str, Any]) -> Row:
    """A row from what `asdict` made of it."""
    return Row(**{**data, "bars": tuple(Bar(**bar) for bar in data["bars"])})


def as_json(rows: Iterable[Row]) -> list[dict[str, Any]]:
    return [asdict(row) for row in rows]


def lines(row: Row) -> list[tuple[str, ...]]:
    """Of one row: figure, peer, its figure, ratio, bar, met; a line for each bar of the figure itself, then peers."""
    name, *peers = row.values
    ours = row.values[name]
    digits = 4 if row.unit == "%" else 3
    figure = f"{spread(ours, digits)} {row.unit}".rstrip()
    found = [
        (figure, "–", "–", "–", f"{bar} {row.unit}".rstrip(), reached(bar, statistics.median(ours)))
        for bar in row.bars
        if bar.peer is None
    ]
    for peer in peers:
        theirs = row.values[peer]
        ratio = ratios(ours, theirs)
        bars = [bar for bar in row.bars if bar.peer == peer]
        wanted = ", ".join(map(str, bars)) or "–"
        met = ", ".join(reached(bar, statistics.median(ratio)) for bar in bars) or "–"
        found.append((figure, peer, spread(theirs, digits), spread(ratio, digits), wanted, met))
    return found or [(figure, "–", "–", "–", "–", "–")]


def reached(bar: Bar, value: float) -> str:
    return "yes" if bar.met(value) else "**no**"


def unmet(rows: Iterable[Row]) -> list[str]:
    """The bars that were not reached, one line each."""
    found = []
    for row in rows:
        name = next(iter(row.values))
        for bar in row.bars:
            ours = row.values[name]
            median = statistics.median(ratios(ours, row.values[bar.peer]) if bar.peer else ours)
            if not bar.met(median):
                what = f"× {bar.peer}" if bar.peer else row.unit
                found.append(f"{row.work}: {number(median, 4)} {what}, the bar is {bar} {what}".rstrip())
    return found


def table(rows: Sequence[Row]) -> str:
    """Every group's table in Markdown, with the remarks beneath."""
    parts = []
    for group in dict.fromkeys(row.group for row in rows):
        mine = [row for row in rows if row.group == group]
        parts.append(f"### {group.capitalize()}\n")
        parts.append("| work | ptformat | peer | its figure | ratio to it | bar | met |")
        parts.append("|---|---|---|---|---|---|---|")
        for row in mine:
            for place, cells in enumerate(lines(row)):
                head = (row.work, cells[0]) if place == 0 else ("", "")
                parts.append(f"| {' | '.join((*head, *cells[1:]))} |")
        parts.append("")
        remarks: dict[str, list[str]] = {}
        for row in mine:
            if row.remarks:
                remarks.setdefault(row.remarks, []).append(row.work)
        for text, works in remarks.items():
            label = "" if len(works) == len(mine) else f"*{'; '.join(works)}*: "
            parts.append(f"{label}{text}\n")
    return "\n".join(parts)


def put_between(text: str, new: str) -> str:
    """The text with what stands between the two markers replaced.

    Raises:
        ValueError: a marker is missing.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"no {BEGIN} … {END}")
    return f"{before}{BEGIN}\n\n{new.strip()}\n\n{END}{after}"
