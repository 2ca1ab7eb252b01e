"""`ptformat info`: how much a file holds, of which types, and where; on request what the numbers are."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from ..errors import FormatError
from .failures import about, check_source
from .progress import Progress
from .text import Verb, columns, count, file_bytes, plain, size

if TYPE_CHECKING:
    from ..converters.content import Source
    from ..converters.statistics import Statistics

SHOWN = 10  # values of a tensor, where the user does not say how many


@click.command(
    cls=Verb, example="ptformat info model.safetensors", short_help="Parameters, bytes, types, ties, by module."
)
@click.argument("file", metavar="FILE")
@click.option("--stats", is_flag=True, help="Read every tensor: range, mean, deviation, NaN, Inf and zero counts.")
@click.option("--values", metavar="PATH[:N]", multiple=True, help="The first N values of a tensor; 10 without N.")
@click.option("--depth", metavar="N", type=click.IntRange(1), help="Join modules deeper than this.")
@click.option("--json", "as_json", is_flag=True, help="Print all of it as JSON.")
def info(file: str, *, stats: bool, values: tuple[str, ...], depth: int | None, as_json: bool) -> None:
    """Say what FILE, of any supported kind, holds: a line for the whole, types, ties, and a table of modules."""
    check_source(file)
    from ..converters.files import open_source
    from ..converters.statistics import statistics

    with about(file):
        source = open_source(file)
        facts = _facts(file, source, depth)
        first = [_values(source, text) for text in values]
        found = None
        if stats:
            with Progress(plain(os.path.basename(os.path.normpath(file)))) as progress:
                progress.total(facts["nbytes"])
                found = list(statistics(source, progress=progress.advance))
        source.close()
    if as_json:
        told = facts | {"statistics": None if found is None else [_told(each) for each in found], "values": first}
        click.echo(json.dumps(told, indent=2, allow_nan=False))
        return
    for line in _lines(facts, found, first):
        click.echo(line)


def _facts(file: str, source: Source, depth: int | None) -> dict[str, Any]:
    """All that is said of the whole, as JSON can hold it."""
    from .. import paths
    from ..tree import Alias, TensorInfo
    from .tree import _json

    tensors = [entry for entry in source.entries if isinstance(entry, TensorInfo)]
    dtypes: dict[str, dict[str, int]] = {}
    modules: dict[str, dict[str, int]] = {}
    for entry in tensors:
        module = paths.render(paths.parse(entry.path)[:-1][:depth])
        for table, key in ((dtypes, entry.dtype), (modules, module)):
            row = table.setdefault(key, {"tensors": 0, "parameters": 0, "nbytes": 0})
            row["tensors"] += 1
            row["parameters"] += entry.count
            row["nbytes"] += entry.nbytes
    return {
        "file": file,
        "format": source.kind,
        "convention": source.header.convention,
        "tensors": len(tensors),
        "parameters": sum(entry.count for entry in tensors if entry.role in (None, "parameter")),
        "nbytes": sum(entry.nbytes for entry in tensors),
        "file_bytes": file_bytes(file),
        "metadata": _json(source.header.metadata),
        "dtypes": dict(sorted(dtypes.items(), key=lambda item: (-item[1]["nbytes"], item[0]))),
        "ties": {entry.path: entry.target for entry in source.entries if isinstance(entry, Alias)},
        "modules": modules,
        "notes": list(source.notes),
    }


def _values(source: Source, text: str) -> dict[str, Any]:
    """The first values at a path, as `PATH` or `PATH:N` says, by way of the tensor's first bytes alone."""
    from ..converters.content import untied, whole
    from ..converters.elements import elements

    path, _, digits = text.rpartition(":")
    if not path or not digits.isdigit():
        path, digits = text, str(SHOWN)
    found = {each.path: (each, entry) for each, entry in untied(source.entries)}
    if path not in found:
        near = _near(path, found)
        raise FormatError("PATH", f"there is no tensor {path!r}{near}", path=path)
    each, entry = found[path]
    wanted = min(int(digits), each.count)
    shown: list[Any] = []
    for band in elements(whole(source).pieces(entry), each, step=8 * max(1, -(-wanted // 8))):
        shown = [_value(item) for item in band[:wanted]]
        break
    return {"path": path, "dtype": each.dtype, "shape": list(each.shape), "first": shown}


def _near(path: str, found: dict[str, Any]) -> str:
    import difflib

    near = difflib.get_close_matches(path, found, 1)
    return f"; nearest: {near[0]}" if near else ""


def _value(item: Any) -> Any:
    """An element as JSON can hold it: exact; what is no finite number, and what is complex, as text."""
    if item.dtype.kind == "b":
        return bool(item)
    if item.dtype.kind in "iu" or item.dtype.name.startswith(("int", "uint")):
        return int(item)
    if item.dtype.kind == "c":
        return str(complex(item))
    return _number(float(item))


def _number(value: float | None) -> float | str | None:
    import math

    return value if value is None or math.isfinite(value) else str(value)


def _told(found: Statistics) -> dict[str, Any]:
    from dataclasses import asdict

    said = asdict(found) | {"shape": list(found.shape), "warnings": found.warnings}
    return said | {name: _number(said[name]) for name in ("min", "max", "mean", "std")}


def _lines(facts: dict[str, Any], found: list[Statistics] | None, first: list[dict[str, Any]]) -> Iterator[str]:
    """The line of the whole, then the tables."""
    said = [facts["file"], facts["format"], facts["convention"], count(facts["parameters"], "parameter")]
    said += [count(facts["tensors"], "tensor"), size(facts["nbytes"])]
    yield plain(" · ".join(fact for fact in said if fact))
    yield ""
    rows = [["dtypes", name, *_row(row, facts["nbytes"])] for name, row in facts["dtypes"].items()]
    ties = [["ties", f"{path} = {target}"] for path, target in facts["ties"].items()]
    metadata = [["metadata", f"{key}: {value}"] for key, value in facts["metadata"].items()]
    notes = [["note", note] for note in facts["notes"]]
    for table in (rows, ties, metadata, notes):
        lines = [["" if number else row[0], *row[1:]] for number, row in enumerate(table)]
        yield from columns([line[0].ljust(8), *line[1:]] for line in lines)
    if facts["modules"]:
        yield ""
        head = ["module", "tensors", "parameters", "bytes", "share"]
        body = [[path or "(root)", *_cells(row, facts["nbytes"])] for path, row in facts["modules"].items()]
        yield from columns([head, *body])
    if found is not None:
        yield ""
        head = ["tensor", "shape", "dtype", "min", "max", "mean", "std", "NaN", "Inf", "zero"]
        yield from columns([head, *([each.path, str(each.shape), each.dtype, *_stats(each)] for each in found)])
        odd = [f"warning   {each.path}: {', '.join(each.warnings)}" for each in found if each.warnings]
        yield from map(plain, odd)
    for each in first:
        yield ""
        yield plain(f"{each['path']}  {tuple(each['shape'])}  {each['dtype']}")
        yield f"  {' '.join(map(_short, each['first'])) or '(none)'}"


def _cells(row: dict[str, int], nbytes: int) -> list[str]:
    share = f"{100 * row['nbytes'] / nbytes:.1f} %" if nbytes else ""
    return [f"{row['tensors']:,}", f"{row['parameters']:,}", size(row["nbytes"]), share]


def _row(row: dict[str, int], nbytes: int) -> list[str]:
    tensors, _, held, share = _cells(row, nbytes)
    return [f"{tensors} tensor{'' if row['tensors'] == 1 else 's'}", held, share]


def _stats(each: Statistics) -> list[str]:
    numbers = [_short(value) for value in (each.min, each.max, each.mean, each.std)]
    return [*numbers, *(f"{number:,}" for number in (each.nan, each.inf, each.zero))]


def _short(value: Any) -> str:
    """A number in six digits; - where there is none."""
    if value is None:
        return "-"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
