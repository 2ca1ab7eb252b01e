"""`ptformat convert`: from one framework's names and layouts to another's, or from one kind of file to another."""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING, Any

import click

from .failures import Failure, about, check_source, check_target
from .pack import copied, written
from .progress import Progress
from .shards import max_shard_size
from .shards import options as shard_options
from .text import Stopwatch, Verb, columns, count, file_bytes, plain, size

if TYPE_CHECKING:
    from ..converters import Plan

STYLES = ("nested", "linen-list")  # the converters' own; they are imported only when there is work
NOT_WRITTEN = "nothing was written (--dry-run)"


def _pairs(context: click.Context, option: click.Parameter, given: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """`A=B` as pairs. The last `=` divides: a regular expression may hold one, a name or kind does not."""
    for text in given:
        if not text.partition("=")[0] or "=" not in text:
            raise click.BadParameter(f"{text!r} is not of the form {option.make_metavar(context)}", context, option)
    return tuple((left, right) for left, _, right in (text.rpartition("=") for text in given))


def _renames(context: click.Context, option: click.Parameter, given: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    pairs = _pairs(context, option, given)
    for pattern, _ in pairs:
        try:
            re.compile(pattern)
        except re.error as error:
            raise click.BadParameter(f"{pattern!r} is no regular expression: {error}", context, option) from None
    return pairs


@click.command(
    cls=Verb,
    example="ptformat convert model.safetensors params.msgpack --to linen",
    short_help="Between torch and Flax, or from one kind of file to another.",
)
@click.argument("source", metavar="SRC")
@click.argument("target", metavar="DST")
@click.option("--to", type=click.Choice(["linen", "torch"]), help="Whose names and layouts DST has. Without it: SRC's.")
@click.option("--template", metavar="FILE", help="Take DST's names, structure and shapes from this file.")
@click.option("--kind", "kinds", metavar="GLOB=KIND", multiple=True, callback=_pairs, help="What these modules are.")
@click.option("--rename", "renames", metavar="REGEX=NEW", multiple=True, callback=_renames, help="Name modules anew.")
@click.option(
    "--style", type=click.Choice(STYLES), metavar="NAME", help=f"How names are joined: {' or '.join(STYLES)}."
)
@click.option("--drop", metavar="GLOB", multiple=True, help="Leave these tensors out.")
@click.option("--strict", is_flag=True, help="Refuse to guess.")
@max_shard_size
@click.option("--dry-run", is_flag=True, help="Show the plan and write nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print plan and result as JSON.")
@click.option("--quiet", is_flag=True, help="Say nothing but guesses.")
def convert(
    source: str,
    target: str,
    *,
    to: str | None,
    template: str | None,
    style: str | None,
    max_shard_bytes: int | None,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
    **rules: Any,
) -> None:
    """Convert SRC to DST without loss.

    With --to, tensors get the other framework's names and layouts, as planned before anything is written; without, DST
    holds the same tree in another kind of file. A DST without a suffix is a Hugging Face directory. --kind, --rename
    and --drop may be repeated.
    """
    check_target(source, target)
    shards = shard_options(target, max_shard_bytes)
    given = [f"--{name.rstrip('s')}" for name, value in rules.items() if value and name != "strict"]
    given += [
        name for name, value in (("--template", template), ("--style", style), ("--strict", rules["strict"])) if value
    ]
    if to is None and given:
        raise click.UsageError(f"{', '.join(given)}: only with --to linen or --to torch")
    check_source(source)
    if to is None:
        _recast(source, target, shards, dry_run=dry_run, as_json=as_json, quiet=quiet)
        return
    options = {"to": to, "template": template, "style": style or "nested", **rules}
    _converted(source, target, options, shards, dry_run=dry_run, as_json=as_json, quiet=quiet)


def _recast(source: str, target: str, shards: dict[str, Any], *, dry_run: bool, as_json: bool, quiet: bool) -> None:
    """The same tree in another kind of file."""
    if not dry_run:
        result = copied(source, target, codec="raw", quiet=quiet or as_json, **shards)
        if as_json:
            click.echo(json.dumps({"plan": None, "written": result}, indent=2))
        return
    tensors, nbytes = _held(source)
    if as_json:
        click.echo(json.dumps({"plan": None, "written": None}, indent=2))
    elif not quiet:
        held = f"{count(tensors, 'tensor')}, {size(nbytes)}"
        click.echo(f"{plain(target)}  {held}, the same tree; {NOT_WRITTEN}")


def _held(source: str) -> tuple[int, int]:
    """Tensors and their bytes in a file."""
    from ..converters.content import whole
    from ..converters.files import open_source
    from ..tree import TensorInfo

    with about(source):
        opened = open_source(source)
        tensors = sum(isinstance(entry, TensorInfo) for entry in opened.entries)
        nbytes = whole(opened).nbytes
        opened.close()
    return tensors, nbytes


def _converted(
    source: str,
    target: str,
    options: dict[str, Any],
    shards: dict[str, Any],
    *,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    from .. import converters

    watch = Stopwatch()
    _check_template(options["template"])
    try:
        if dry_run:
            with about(source):
                plan = converters.plan(source, **options)
        else:
            with about(source), Progress(plain(os.path.basename(os.path.normpath(target))), quiet=quiet) as progress:
                plan = converters.convert(
                    source, target, **options, **shards, progress=progress.advance, total=progress.total
                )
    except converters.ConversionError as error:
        head = f"{count(len(error.problems), 'problem')}, nothing written"
        raise Failure(head, *(str(problem) for problem in error.problems)) from error
    if as_json:
        result = None if dry_run else _result(target, plan, watch)
        click.echo(json.dumps({"plan": plan.to_json(), "written": result}, indent=2))
        return
    for line in _guesses(plan):
        click.echo(plain(line), err=quiet)  # never unsaid; with --quiet apart from what a script may read
    if quiet:
        return
    if dry_run:
        for line in columns(plan.table()):
            click.echo(line)
    *facts, sure = plan.report()
    for line in [*facts, f"{sure}; {NOT_WRITTEN}" if dry_run else sure]:
        click.echo(plain(line))
    if not dry_run:
        click.echo(written(target, len(plan.steps), watch))


def _check_template(template: str | None) -> None:
    """What is wrong with the template is said of the template, not of the source."""
    if template is None:
        return
    check_source(template)
    from ..converters.files import open_source

    with about(template):
        open_source(template).close()


def _guesses(plan: Plan) -> list[str]:
    """A line for each guess, with the tensors that rest on it."""
    resting: dict[tuple[str, str], list[str]] = {}
    for step in plan.guesses:
        resting.setdefault((step.evidence, step.guess), []).append(step.shown_source)
    return [
        f"guess     {first}{f' and {len(rest)} more' if rest else ''}: {evidence}; it may be {rival}"
        for (evidence, rival), (first, *rest) in resting.items()
    ]


def _result(target: str, plan: Plan, watch: Stopwatch) -> dict[str, Any]:
    return {
        "file": target,
        "bytes": file_bytes(target),
        "tensors": len(plan.steps),
        "seconds": round(watch.seconds, 3),
    }
