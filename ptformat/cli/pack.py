"""`ptformat pack` and `ptformat unpack`: into a .ptf, compressed, and out of it."""

from __future__ import annotations

import os
from typing import Any

import click

from .failures import about, check_source, check_target
from .progress import Progress
from .shards import max_shard_size, options
from .text import Stopwatch, Verb, count, file_bytes, plain, size


@click.command(
    cls=Verb,
    example="ptformat pack model.safetensors model.ptf",
    short_help="Any supported file into a .ptf, compressed.",
)
@click.argument("source", metavar="SRC")
@click.argument("target", metavar="DST.ptf")
@click.option("--raw", is_flag=True, help="Leave tensors as they are: larger, and mapped instead of decoded.")
@click.option("--quiet", is_flag=True, help="Say nothing.")
def pack(source: str, target: str, *, raw: bool, quiet: bool) -> None:
    """Put the tree of SRC, of any supported kind, into a .ptf file, compressed without loss."""
    if os.path.splitext(target)[1].lower() != ".ptf" and not os.path.isdir(target):
        raise click.UsageError(f"{target}: pack writes a .ptf file. For another kind: ptformat convert")
    check_target(source, target)
    copied(source, target, codec="raw" if raw else "auto", quiet=quiet, compare=True)


@click.command(
    cls=Verb,
    example="ptformat unpack model.ptf model.safetensors",
    short_help="A .ptf into any supported file.",
)
@click.argument("source", metavar="SRC.ptf")
@click.argument("target", metavar="DST")
@max_shard_size
@click.option("--quiet", is_flag=True, help="Say nothing.")
def unpack(source: str, target: str, *, max_shard_bytes: int | None, quiet: bool) -> None:
    """Write the tree of a .ptf file to DST, in the form that its name asks for; without a suffix, a directory."""
    check_target(source, target)
    shards = options(target, max_shard_bytes)
    check_source(source)
    from ..loading import open as open_ptf

    with about(source):
        open_ptf(source).close()  # refuses what is no .ptf
    copied(source, target, codec="raw", quiet=quiet, **shards)


def copied(
    source: str, target: str, *, codec: str, quiet: bool, compare: bool = False, **shards: Any
) -> dict[str, object]:
    """Copy, with progress and a closing line; returns what was written, for a program to read.

    Args:
        source: A file of any supported kind.
        target: The file to write.
        codec: `raw` or `zstd`.
        quiet: Say nothing.
        compare: Say how large the result is beside the source.
        shards: `max_shard_bytes`, where it was given.
    """
    watch = Stopwatch()
    check_source(source)
    from ..converters import copy

    with about(source), Progress(plain(os.path.basename(os.path.normpath(target))), quiet=quiet) as progress:
        done = copy(source, target, codec=codec, **shards, progress=progress.advance, total=progress.total)
    if not quiet:
        for note in done.notes:
            click.echo(f"note      {plain(note)}")
        if done.repeated:
            what = count(done.repeated, "tied tensor")
            click.echo(f"note      {plain(target)} holds no such ties: {what} written again")
        click.echo(written(target, done.tensors, watch, source if compare else None))
    return {
        "file": target,
        "bytes": file_bytes(target),
        "tensors": done.tensors,
        "repeated": done.repeated,
        "notes": list(done.notes),
        "seconds": round(watch.seconds, 3),
    }


def written(target: str, tensors: int, watch: Stopwatch, source: str | None = None) -> str:
    """What was written: `model.ptf  74.4 MB, 81.9 % of 90.9 MB, 104 tensors, 0.1 s`.

    Args:
        target: The file, as the user called it.
        tensors: How many it holds.
        watch: Started when the work was.
        source: A file to compare its size with, where it has another.
    """
    nbytes = file_bytes(target)
    facts = [size(nbytes), count(tensors, "tensor"), str(watch)]
    if source is not None and (of := file_bytes(source)) and size(of) != size(nbytes):
        facts.insert(1, f"{100 * nbytes / of:.1f} % of {size(of)}")
    return f"{plain(target)}  {', '.join(facts)}"
