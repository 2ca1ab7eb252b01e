"""`--max-shard-size`: how large the files of a Hugging Face directory may be."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar

import click

UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}
Command = TypeVar("Command", bound=Callable[..., Any])


def parse(text: str) -> int:
    """The bytes of a size such as `200MB`, `1.5 GiB` or `4096`; 0 where it is none."""
    found = re.fullmatch(r"(\d{1,15}(?:\.\d{1,15})?) ?(|[kmgt]i?)b?", text, re.IGNORECASE | re.ASCII)
    return int(float(found[1]) * UNITS[found[2].lower()]) if found else 0


def _nbytes(context: click.Context, option: click.Parameter, given: str | None) -> int | None:
    if given is None:
        return None
    if not (nbytes := parse(given)):
        raise click.BadParameter(f"{given!r} is no size such as 5GB, 200MB or 1GiB", context, option)
    return nbytes


def max_shard_size(command: Command) -> Command:
    """Add the option; the command gets `max_shard_bytes`, None where it was not given."""
    return click.option(
        "--max-shard-size",
        "max_shard_bytes",
        metavar="SIZE",
        callback=_nbytes,
        help="The largest file of a Hugging Face directory, such as 200MB. Without it: 5GB.",
    )(command)


def options(target: str, max_shard_bytes: int | None) -> dict[str, Any]:
    """What `convert` and `copy` are to be told.

    Raises:
        click.UsageError: When the target is no Hugging Face directory.
    """
    if max_shard_bytes is None:
        return {}
    from ..converters.files import sink_of

    if sink_of(target).name != "huggingface":
        raise click.UsageError(f"--max-shard-size: {target} is no Hugging Face directory: a name without a suffix")
    return {"max_shard_bytes": max_shard_bytes}
