"""`ptformat verify`: whole files against the whole specification."""

from __future__ import annotations

import json
import os
from typing import Any

import click

from ..errors import FormatError
from .failures import check_source
from .progress import Progress
from .text import Stopwatch, Verb, count, plain


@click.command(
    cls=Verb,
    example="ptformat verify model.ptf",
    short_help="Every byte of .ptf files against the specification.",
)
@click.argument("files", metavar="FILE...", nargs=-1, required=True)
@click.option("--json", "as_json", is_flag=True, help="Print the verdicts as JSON.")
@click.pass_context
def verify(context: click.Context, files: tuple[str, ...], *, as_json: bool) -> None:
    """Read every byte of .ptf FILEs and check them against their checksums and the specification.

    Every file is checked; the exit code is 1 if one of them is not sound.
    """
    verdicts = []
    for path in files:
        verdicts.append(verdict := _checked(path))
        if not as_json:
            _show(path, verdict)
    if as_json:
        click.echo(json.dumps(verdicts, indent=2))
    context.exit(0 if all(verdict["fine"] for verdict in verdicts) else 1)


def _checked(path: str) -> dict[str, Any]:
    from ..verification import verify as check

    watch = Stopwatch()
    try:
        check_source(path)
        with Progress(plain(os.path.basename(path))) as progress:
            progress.total(os.path.getsize(path))
            found = check(path, progress=progress.advance)
    except FormatError as error:
        return {"file": path, "fine": False, "code": error.code, "message": error.message}
    except OSError as error:
        if error.errno is None:
            raise
        return {"file": path, "fine": False, "code": None, "message": error.strerror}
    return {
        "file": path,
        "fine": True,
        "tensors": found.tensors,
        "aliases": found.aliases,
        "parameters": found.parameters,
        "nbytes": found.nbytes,
        "file_bytes": found.file_bytes,
        "seconds": round(watch.seconds, 3),
    }


def _show(path: str, verdict: dict[str, Any]) -> None:
    """Fine on stdout, anything else on stderr."""
    if verdict["fine"]:
        held = f"{count(verdict['tensors'], 'tensor')}, {count(verdict['aliases'], 'alias')}"
        click.echo(plain(f"{path}: fine ({held}, every byte checked, {verdict['seconds']:.1f} s)"))
        return
    code = f"{verdict['code']}: " if verdict["code"] else ""
    click.echo(plain(f"{path}: {code}{verdict['message']}"), err=True)
