"""How facts are spelled on a terminal: sizes, durations, columns, text from a file."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence
from typing import Any

import click

from ..errors import plain as plain

UNITS = ("kB", "MB", "GB", "TB")


class Verb(click.Command):
    """A command whose help opens with an example."""

    def __init__(self, *args: Any, example: str, **options: Any) -> None:
        super().__init__(*args, **options)
        self.example = example

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The example, then what click says."""
        formatter.write(f"Example: {self.example}\n\n")
        super().format_help(ctx, formatter)


def size(nbytes: int) -> str:
    """Bytes in the largest unit that leaves a whole number before the point: `196 B`, `90.9 MB`."""
    if nbytes < 1000:
        return f"{nbytes} B"
    power = 1
    while power < len(UNITS) and nbytes >= 999.95 * 1000**power:
        power += 1
    return f"{nbytes / 1000**power:.1f} {UNITS[power - 1]}"


def file_bytes(path: str) -> int:
    """Bytes of a file, or of all files in a directory."""
    if not os.path.isdir(path):
        return os.path.getsize(path)
    return sum(
        os.path.getsize(name)
        for folder, _, names in os.walk(path)
        for name in (os.path.join(folder, each) for each in names)
        if os.path.isfile(name)
    )


def count(number: int, one: str) -> str:
    """A number with its noun: `1 tensor`, `104 tensors`, `2 aliases`."""
    many = one + ("es" if one.endswith("s") else "s")
    return f"{number:,} {one if number == 1 else many}"


class Stopwatch:
    """Seconds since it was made, as text."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    @property
    def seconds(self) -> float:
        """Seconds so far."""
        return time.monotonic() - self._start

    def __str__(self) -> str:
        return f"{self.seconds:.1f} s"


def columns(rows: Iterable[Sequence[str]]) -> list[str]:
    """Rows as lines with aligned columns. A row's last cell stretches no column: it may be of any length."""
    table = [[plain(cell) for cell in row] for row in rows]
    while table and all(len(row) > 1 and not row[-1] for row in table):
        table = [row[:-1] for row in table]
    widths: dict[int, int] = {}
    for row in table:
        for number, cell in enumerate(row[:-1]):
            widths[number] = max(widths.get(number, 0), len(cell))
    return ["  ".join(_padded(row, widths)).rstrip() for row in table]


def _padded(row: Sequence[str], widths: dict[int, int]) -> list[str]:
    return [*(cell.ljust(widths[number]) for number, cell in enumerate(row[:-1])), *row[-1:]]
