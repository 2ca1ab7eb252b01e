"""`ptformat edit`: a changed tree, into a new file."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import click

from .failures import Failure, about, check_source, check_target
from .pack import written
from .progress import Progress
from .shards import max_shard_size
from .shards import options as shard_options
from .steering import pairs, renames
from .text import Stopwatch, Verb, count, file_bytes, plain

if TYPE_CHECKING:
    from ..converters.edit import Edited


def _metadata(context: click.Context, option: click.Parameter, given: tuple[str, ...]) -> dict[str, str | None]:
    """`K=V` sets, `K` alone removes. The first `=` divides: a value may hold one."""
    said: dict[str, str | None] = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not key or key in said:
            raise click.BadParameter(f"{text!r} has no key, or one that was given before", context, option)
        said[key] = value if equals else None
    return said


@click.command(
    cls=Verb,
    example="ptformat edit model.safetensors edited.safetensors --cast '*=bfloat16'",
    short_help="Rename, drop, cast, tie: into a new file.",
)
@click.argument("source", metavar="SRC")
@click.argument("target", metavar="DST")
@click.option("--rename", metavar="REGEX=NEW", multiple=True, callback=renames, help="Name whole segments anew.")
@click.option("--drop", metavar="GLOB", multiple=True, help="Leave these tensors and values out.")
@click.option("--cast", metavar="GLOB=DTYPE", multiple=True, callback=pairs, help="Floating types only; rounds.")
@click.option("--metadata", metavar="K=V", multiple=True, callback=_metadata, help="Set; K alone removes.")
@click.option("--tie", metavar="A=B", multiple=True, callback=pairs, help="Make B an alias of A, if they are equal.")
@click.option("--untie", metavar="PATH", multiple=True, help="Give this path a tensor of its own.")
@click.option("--compress", is_flag=True, help="Compress a .ptf.")
@max_shard_size
@click.option("--json", "as_json", is_flag=True, help="Print what changed as JSON.")
@click.option("--quiet", is_flag=True, help="Say nothing.")
def edit(
    source: str,
    target: str,
    *,
    compress: bool,
    max_shard_bytes: int | None,
    as_json: bool,
    quiet: bool,
    **changes: Any,
) -> None:
    """Write SRC, changed, to DST; SRC itself is never touched.

    Paths and globs are of SRC as it is, dotted and whole; renames come last. The options that change something
    may be repeated. If anything does not work out, every problem is said and nothing is written.
    """
    check_target(source, target)
    shards = shard_options(target, max_shard_bytes)
    if not any(changes.values()):
        raise click.UsageError("nothing to change. For the same tree in another file: ptformat convert")
    check_source(source)
    from .. import converters

    watch = Stopwatch()
    try:
        with (
            about(source),
            Progress(plain(os.path.basename(os.path.normpath(target))), quiet=quiet or as_json) as progress,
        ):
            done = converters.edit(
                source,
                target,
                codec="auto" if compress else "raw",
                progress=progress.advance,
                total=progress.total,
                **shards,
                **changes,
            )
    except converters.ConversionError as error:
        head = f"{count(len(error.problems), 'problem')}, nothing written"
        raise Failure(head, *(str(problem) for problem in error.problems)) from error
    if as_json:
        click.echo(json.dumps(_told(target, done, watch), indent=2))
    elif not quiet:
        for line in _lines(target, done):
            click.echo(plain(line))
        click.echo(written(target, done.tensors, watch))


def _lines(target: str, done: Edited) -> list[str]:
    lines = [f"note      {note}" for note in done.notes]
    if done.repeated:
        lines.append(f"note      {target} cannot hold these ties: {count(done.repeated, 'tied tensor')} written again")
    if done.renamed:
        lines.append(f"renamed   {count(len(done.renamed), 'name')}")
    if done.dropped:
        lines.append(f"dropped   {count(len(done.dropped), 'name')}")
    groups: dict[tuple[str, str], list[Any]] = {}
    for path, cast in done.casts.items():
        groups.setdefault((cast.source, cast.target), []).append((path, cast))
    for (old, new), casts in groups.items():
        rounded = sum(cast.rounded for _, cast in casts)
        lines.append(f"cast      {count(len(casts), 'tensor')} {old} → {new}, {count(rounded, 'element')} rounded")
    for path, cast in done.casts.items():
        said = {"too large for": cast.overflowed, "became 0 in": cast.vanished, "(NaN, Inf) not in": cast.lost}
        found = [f"{count(number, 'element')} {what} {cast.target}" for what, number in said.items() if number]
        if found:
            lines.append(f"warning   {path}: {', '.join(found)}")
    return lines


def _told(target: str, done: Edited, watch: Stopwatch) -> dict[str, Any]:
    from dataclasses import asdict

    return {
        "file": target,
        "bytes": file_bytes(target),
        "tensors": done.tensors,
        "repeated": done.repeated,
        "renamed": dict(done.renamed),
        "dropped": list(done.dropped),
        "casts": {path: asdict(cast) for path, cast in done.casts.items()},
        "notes": list(done.notes),
        "seconds": round(watch.seconds, 3),
    }
