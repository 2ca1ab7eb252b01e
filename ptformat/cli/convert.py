"""`ptformat convert`: from one framework's names and layouts to another's, or from one kind of file to another."""

from __future__ import annotations

import contextlib
import json
import os
from typing import TYPE_CHECKING, Any

import click

from . import proving
from .failures import Failure, about, check_source, check_target
from .pack import copied, written
from .plan import as_value, guesses, refused, table
from .progress import Progress
from .shards import max_shard_size
from .shards import options as shard_options
from .steering import OUTPUT, Option, Steered, given, is_object, opened, steered, steering, to_option
from .text import Stopwatch, count, file_bytes, plain, size

if TYPE_CHECKING:
    from ..converters import Plan
    from ..converters.proof import Verified

NOT_WRITTEN = "nothing was written (--dry-run)"


@click.command(
    cls=Steered,
    example="ptformat convert model.safetensors params.msgpack --to linen",
    short_help="Between torch and Flax, or from one kind of file to another.",
)
@click.argument("source", metavar="SRC")
@click.argument("target", metavar="DST")
@to_option(required=False)
@steering
@click.option("--plan", "plan_file", cls=Option, group=OUTPUT, metavar="FILE", help="Run this plan of ptformat plan.")
@click.option(
    "--verify",
    cls=Option,
    group=OUTPUT,
    metavar="MODULE:FUNCTION",
    help="Write DST only if the models that the function returns give equal outputs.",
)
@max_shard_size
@click.option("--dry-run", is_flag=True, help="Show the plan and write nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print plan and result as JSON.")
@click.option("--quiet", is_flag=True, help="Say nothing but guesses.")
@click.pass_context
def convert(
    context: click.Context,
    /,
    source: str,
    target: str,
    *,
    template: str | None,
    plan_file: str | None,
    verify: str | None,
    max_shard_bytes: int | None,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
    **options: Any,
) -> None:
    """Convert SRC to DST without loss.

    With --to, tensors get the other framework's names and layouts, as planned before anything is written; without, DST
    holds the same tree in another kind of file. A DST without a suffix is a Hugging Face directory. Options with a
    GLOB, REGEX or PATH may be repeated.

    The function of --verify returns (torch model, flax model, inputs), and behind them a dict of options of
    verify_conversion, such as layout or kwargs, where some are needed. The models get the weights of SRC and of DST.
    """
    check_target(source, target)
    shards = shard_options(target, max_shard_bytes)
    to, asked = options["to"], given(context)
    if plan_file is not None:
        others = [*(["--to"] if to else []), *(name for name in asked if name != "--template")]
        if others:
            raise click.UsageError(f"{', '.join(others)}: not with --plan, which says all of it")
    elif to is None and asked:
        raise click.UsageError(f"{', '.join(asked)}: only with --to linen, --to nnx or --to torch")
    elif to is None and verify:
        raise click.UsageError("--verify: only with --to or --plan")
    if verify and dry_run:
        raise click.UsageError("--verify: not with --dry-run, which converts nothing")
    if verify and not is_object(verify):
        raise click.UsageError(f"--verify: {verify!r} is not of the form package.module:function")
    said = steered(context, options)
    check_source(source)
    if to is None and plan_file is None:
        _recast(source, target, shards, dry_run=dry_run, as_json=as_json, quiet=quiet)
        return
    work = _Work(source, target, plan_file, said, shards)
    _converted(work, template, verify, dry_run=dry_run, as_json=as_json, quiet=quiet)


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


class _Work:
    """One conversion: what it starts from, and what is said of it."""

    def __init__(
        self, source: str, target: str, plan_file: str | None, options: dict[str, Any], shards: dict[str, Any]
    ) -> None:
        self.source, self.target, self.plan_file = source, target, plan_file
        self.options, self.shards = options, shards

    def planned(self) -> Plan:
        """The plan alone."""
        from .. import converters

        if self.plan_file is None:
            return converters.plan(self.source, **self.options)
        from ..converters import plan_json
        from ..converters.files import open_source

        with contextlib.closing(open_source(self.source)) as held:
            return plan_json.read(self.plan_file, held, self.options.get("template"))

    def written(self, target: str, progress: Progress | None) -> Plan:
        """Convert, into a file of any name."""
        from .. import converters

        told: dict[str, Any] = {}
        if progress is not None:
            told = {"progress": progress.advance, "total": progress.total}
        if self.plan_file is None:
            return converters.convert(self.source, target, **self.options, **self.shards, **told)
        from ..converters.verbs import run

        model = self.options.get("template")
        return run(self.plan_file, self.source, target, template=model, **self.shards, **told)


def _converted(
    work: _Work, template: str | None, verify: str | None, *, dry_run: bool, as_json: bool, quiet: bool
) -> None:
    from .. import converters

    watch = Stopwatch()
    verified: Verified | None = None
    if work.plan_file is not None:
        check_source(work.plan_file)
    models = proving.Models(verify) if verify else None
    try:
        with contextlib.ExitStack() as stack:
            if template is not None:
                convention = work.options.get("to")
                work.options["template"] = stack.enter_context(opened(template, convention=convention))
            stack.enter_context(about(work.source))
            if dry_run:
                plan = work.planned()
            else:
                name = plain(os.path.basename(os.path.normpath(work.target)))
                progress = stack.enter_context(Progress(name, quiet=quiet))
                if models is None:
                    plan = work.written(work.target, progress)
                else:
                    plan, verified = _proven(work, models, progress)
    except converters.ConversionError as error:
        raise refused(error) from error
    if as_json:
        found = None if dry_run else _result(work.target, plan, watch)
        proof = {} if verified is None else {"verified": {"equal": verified.equal, "text": verified.text()}}
        click.echo(json.dumps({"plan": as_value(plan), "written": found, **proof}, indent=2))
        return
    for line in [*guesses(plan), *(f"{'differs':<10}{plain(line)}" for line in plan.differs if quiet)]:
        click.echo(line, err=quiet)  # never unsaid; with --quiet apart from what a script may read
    if quiet:
        return
    for line in table(plan) if dry_run else []:
        click.echo(line)
    *facts, sure = plan.report()
    for line in [*facts, f"{sure}; {NOT_WRITTEN}" if dry_run else sure]:
        click.echo(plain(line))
    for line in proving.told(verified) if verified is not None else []:
        click.echo(line)
    if not dry_run:
        click.echo(written(work.target, len(plan.steps), watch))


def _proven(work: _Work, models: proving.Models, progress: Progress) -> tuple[Plan, Verified]:
    """Convert under another name, compare the models, and only then give the result its name."""
    with proving.unproven(work.target) as path:
        plan = work.written(path, progress)
        verified = models.verified(plan, work.source, path)
        if not verified.equal:
            raise Failure(f"{work.target} was not written: the models are not equal", *proving.told(verified))
        proving.settle(path, work.target, lambda: work.written(work.target, None))
    return plan, verified


def _result(target: str, plan: Plan, watch: Stopwatch) -> dict[str, Any]:
    return {
        "file": target,
        "bytes": file_bytes(target),
        "tensors": len(plan.steps),
        "seconds": round(watch.seconds, 3),
    }
