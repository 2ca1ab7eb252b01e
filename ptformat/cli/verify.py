"""`ptformat verify`: whole files, .ptf against the whole specification, others as far as they say what they hold."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import click

from ..errors import FormatError
from .failures import check_source
from .progress import Progress
from .text import Stopwatch, Verb, count, file_bytes, plain

if TYPE_CHECKING:
    from ..converters.content import Source


@click.command(
    cls=Verb,
    example="ptformat verify model.ptf",
    short_help="Every byte of files, .ptf against the specification.",
)
@click.argument("files", metavar="FILE...", nargs=-1, required=True)
@click.option("--values", is_flag=True, help="Of .ptf too: warn of NaN, infinite and all-zero tensors.")
@click.option("--json", "as_json", is_flag=True, help="Print the verdicts as JSON.")
@click.pass_context
def verify(context: click.Context, files: tuple[str, ...], *, values: bool, as_json: bool) -> None:
    """Read every byte of FILEs: .ptf against their checksums and the specification, other kinds against what they say.

    Where a kind of file has no checksums, its completeness is what is checked, and its numbers for what is odd.
    Every file is checked; the exit code is 1 if one of them is not sound. A warning does not change it.
    """
    verdicts = []
    for path in files:
        verdicts.append(verdict := _checked(path, values))
        if not as_json:
            _show(path, verdict)
    if as_json:
        click.echo(json.dumps(verdicts, indent=2))
    context.exit(0 if all(verdict["fine"] for verdict in verdicts) else 1)


def _checked(path: str, values: bool) -> dict[str, Any]:
    watch = Stopwatch()
    try:
        check_source(path)
        with Progress(plain(os.path.basename(os.path.normpath(path)))) as progress:
            found = _sound(path, values, progress)
    except FormatError as error:
        return {"file": path, "fine": False, "code": error.code, "message": error.message}
    except OSError as error:
        if error.errno is None:
            raise
        return {"file": path, "fine": False, "code": None, "message": error.strerror}
    return {"file": path, "fine": True, **found, "seconds": round(watch.seconds, 3)}


def _sound(path: str, values: bool, progress: Progress) -> dict[str, Any]:
    """What a sound file holds; a `FormatError` where it is not."""
    from dataclasses import asdict

    from ..converters.files import kind_of
    from ..verification import verify as check

    if os.path.isdir(path) or kind_of(path).name != "ptf":
        return _read(path, progress)
    progress.total(file_bytes(path))
    found = asdict(check(path, progress=progress.advance))
    if values:
        found["warnings"] = _read(path, Progress("", quiet=True))["warnings"]
    return found


def _read(path: str, progress: Progress) -> dict[str, Any]:
    """Every byte of every tensor, and what is odd about the numbers."""
    from ..converters.ends import opened

    with opened(path) as source:
        return _told(path, source, progress)


def _told(path: str, source: Source, progress: Progress) -> dict[str, Any]:
    from ..converters.statistics import statistics
    from ..tree import Alias, TensorInfo

    tensors = [entry for entry in source.entries if isinstance(entry, TensorInfo)]
    progress.total(sum(entry.nbytes for entry in tensors))
    warnings = [
        f"{each.path}: {', '.join(each.warnings)}"
        for each in statistics(source, progress=progress.advance)
        if each.warnings
    ]
    return {
        "format": source.kind,
        "tensors": len(tensors),
        "aliases": sum(isinstance(entry, Alias) for entry in source.entries),
        "parameters": sum(entry.count for entry in tensors),
        "nbytes": sum(entry.nbytes for entry in tensors),
        "file_bytes": file_bytes(path),
        "warnings": warnings,
        "notes": list(source.notes),
    }


def _show(path: str, verdict: dict[str, Any]) -> None:
    """Fine on stdout, anything else on stderr."""
    if verdict["fine"]:
        held = f"{count(verdict['tensors'], 'tensor')}, {count(verdict['aliases'], 'alias')}"
        foreign = "format" in verdict
        held = f"{verdict['format']}, {held}, every byte read" if foreign else f"{held}, every byte checked"
        click.echo(plain(f"{path}: fine ({held}, {verdict['seconds']:.1f} s)"))
        for word in ("note", "warning"):
            for said in verdict.get(f"{word}s", ()):
                click.echo(plain(f"  {word:<9} {said}"))
        return
    code = f"{verdict['code']}: " if verdict["code"] else ""
    click.echo(plain(f"{path}: {code}{verdict['message']}"), err=True)
