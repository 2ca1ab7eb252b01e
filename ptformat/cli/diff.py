"""`ptformat diff`: what two files hold, against each other."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from .failures import about, check_source
from .progress import Progress
from .text import Stopwatch, Verb, columns, count, plain

if TYPE_CHECKING:
    from ..converters.compare import Difference, Measured
    from ..converters.content import Source
    from ..dtypes import Array

HEAD = ["tensor", "largest difference", "relative", "cosine", "equal elements"]


@click.command(
    cls=Verb,
    example="ptformat diff model.safetensors model.ptf",
    short_help="What two files hold, against each other.",
)
@click.argument("first", metavar="A")
@click.argument("second", metavar="B")
@click.option("--all", "everything", is_flag=True, help="Show the tensors that are equal too.")
@click.option("--json", "as_json", is_flag=True, help="Print the differences as JSON.")
@click.pass_context
def diff(context: click.Context, first: str, second: str, *, everything: bool, as_json: bool) -> None:
    """Compare A with B, of any supported kinds, by path: tensors, values and ties, the worst first.

    What a file says of inner nodes, axes and metadata is not compared. The exit code is 1 when they differ.
    """
    from ..converters.compare import diff as compare
    from ..converters.files import open_source

    watch = Stopwatch()
    opened = []
    for path in (first, second):
        check_source(path)
        with about(path):
            opened.append(_Named(path, open_source(path)))
    with Progress(plain(os.path.basename(os.path.normpath(first)))) as progress:
        found = compare(*opened, progress=progress.advance, total=progress.total)
    for source in opened:
        source.close()
    if as_json:
        click.echo(json.dumps(_told(first, second, found, watch), indent=2, allow_nan=False))
    else:
        rows = [[each.kind, each.path, _sides(each.first, each.second)] for each in found.odd]
        shown = found.measured if everything else found.differing
        for lines in (columns(rows), columns([HEAD, *map(_row, shown)]) if shown else []):
            for line in lines:
                click.echo(line)
        click.echo(plain(f"{first} and {second} {_summary(found)}, {watch}"))
    context.exit(1 if found else 0)


class _Named:
    """A source that names its file in the errors of reading it: here two are read at once."""

    def __init__(self, file: str, source: Source) -> None:
        self.name, self.kind, self.header, self.notes = source.name, source.kind, source.header, source.notes
        self.entries = source.entries
        self._file = file
        self._source = source

    def array(self, path: str) -> Array:
        with about(self._file):
            return self._source.array(path)

    def pieces(self, path: str) -> Iterator[Any]:
        with about(self._file):
            yield from self._source.pieces(path)

    def close(self) -> None:
        self._source.close()


def _sides(first: str | None, second: str | None) -> str:
    if first is None or second is None:
        return first or second or ""
    return f"{first} against {second}"


def _row(each: Measured) -> list[str]:
    differing = f"{each.equal:,} of {each.count:,}"
    nan = f", {each.nan:,} NaN in one" if each.nan else ""
    cosine = "-" if each.cosine is None else f"{each.cosine:.9f}"
    return [each.path, f"{each.absolute:.3g}", f"{each.relative:.3g}", cosine, differing + nan]


def _summary(found: Difference) -> str:
    """`are the same: 104 tensors`, or what differs, in numbers."""
    tensors = count(len(found.measured), "tensor")
    if not found:
        return f"are the same: {tensors}, every element equal"
    kinds: dict[str, int] = {}
    for each in found.odd:
        kinds[each.kind] = kinds.get(each.kind, 0) + 1
    said = [f"{number:,} {kind}" for kind, number in kinds.items()]
    if worst := found.differing:
        largest = max(each.absolute for each in worst)
        said.append(f"{len(worst):,} of {tensors} unequal, by {largest:.3g} at most")
    else:
        said.append(f"{tensors} equal")
    return f"differ: {', '.join(said)}"


def _told(first: str, second: str, found: Difference, watch: Stopwatch) -> dict[str, Any]:
    from dataclasses import asdict

    def number(value: float | None) -> float | str | None:
        return value if value is None or math.isfinite(value) else str(value)

    names = ("absolute", "relative", "cosine")
    return {
        "files": [first, second],
        "same": not found,
        "odd": [asdict(each) for each in found.odd],
        "tensors": [asdict(each) | {name: number(getattr(each, name)) for name in names} for each in found.measured],
        "seconds": round(watch.seconds, 3),
    }
