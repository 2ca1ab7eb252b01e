"""`ptformat plan`: what a conversion would do, as a table or as JSON to be changed and run."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

import click

from .failures import Failure, about
from .steering import NAMES, OUTPUT, Option, Steered, opened, steered, steering, to_option
from .text import columns, count, plain

if TYPE_CHECKING:
    from ..converters import ConversionError, Plan


@click.command(
    cls=Steered,
    example="ptformat plan model.safetensors --to linen -o plan.json",
    short_help="What a conversion would do; saved, it can be changed and run.",
)
@click.argument("source", metavar="SRC")
@click.argument("target", metavar="[DST]", required=False)
@to_option(required=True)
@steering
@click.option(
    "--shapes",
    cls=Option,
    group=NAMES,
    is_flag=True,
    help="SRC, and a template that is JSON, are lists of shapes: a plan needs no weights.",
)
@click.option("-o", "--output", cls=Option, group=OUTPUT, metavar="FILE", help="Save the plan, as JSON.")
@click.option("--json", "as_json", is_flag=True, help="Print the plan as JSON.")
@click.pass_context
def plan(
    context: click.Context,
    /,
    source: str,
    target: str | None,
    *,
    template: str | None,
    shapes: bool,
    output: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Plan the conversion of SRC from its names and shapes: no tensor is read, nothing is converted.

    The table has a line for each tensor of the result: what it is made of, how, and why. With DST, what that kind of
    file cannot hold is told. SRC may be package.module:function too, which returns a model. A saved plan is run by
    ptformat convert SRC DST --plan FILE.
    """
    said = steered(context, options)
    if target is not None:
        _check_name(target)
    from .. import converters

    try:
        with contextlib.ExitStack() as stack:
            held = stack.enter_context(opened(source, shapes=shapes, convention=options["origin"]))
            if template is not None:
                said["template"] = stack.enter_context(opened(template, shapes=shapes, convention=options["to"]))
            with about(source):
                made = converters.plan(held, target=target, **said)
    except converters.ConversionError as error:
        raise refused(error, "no plan") from error
    if output is not None:
        _save(made, output)
    if as_json:
        click.echo(text_of(made), nl=False)
        return
    for line in [*guesses(made), *(table(made) if output is None else []), *map(plain, made.report())]:
        click.echo(line)
    if output is not None:
        click.echo(f"{plain(output)}  {count(len(made.steps), 'step')}")


def _check_name(target: str) -> None:
    from ..converters.files import sink_of
    from ..errors import FormatError

    try:
        sink_of(target)
    except FormatError as error:
        raise click.UsageError(error.message) from None


def _save(made: Plan, path: str) -> None:
    from ..atomic import AtomicFile

    with AtomicFile(path) as file:
        file.write(text_of(made).encode())


def text_of(made: Plan) -> str:
    """A plan's JSON, one entry on a line."""
    from ..converters.plan_json import as_text

    return as_text(made.to_json())


def as_value(made: Plan) -> Any:
    """A plan as JSON values."""
    return json.loads(text_of(made))


def refused(error: ConversionError, nothing: str = "nothing written") -> Failure:
    """Every problem of a conversion in a line of its own."""
    return Failure(f"{count(len(error.problems), 'problem')}, {nothing}", *(str(problem) for problem in error.problems))


def table(made: Plan) -> list[str]:
    """The plan's table in lines."""
    return columns(made.table())


def guesses(made: Plan) -> list[str]:
    """A line for each guess, with the tensors that rest on it."""
    resting: dict[tuple[str, str], list[str]] = {}
    for step in made.guesses:
        resting.setdefault((step.evidence, step.guess), []).append(step.shown_source)
    return [
        plain(f"guess     {first}{f' and {len(rest)} more' if rest else ''}: {evidence}; it may be {rival}")
        for (evidence, rival), (first, *rest) in resting.items()
    ]
