"""`ptformat conformance`: any implementation against the cases of the conformance suite."""

from __future__ import annotations

import json
import tempfile
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .failures import Failure
from .text import Stopwatch, Verb, columns, count, plain

if TYPE_CHECKING:
    from ..conformance.conversions import Conversion
    from ..conformance.derived import Derived
    from ..conformance.runner import Run
    from ..conformance.suite import Listed


class Verbs(click.Group):
    """A group of verbs whose help opens with an example."""

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The example, then what click says."""
        formatter.write("Example: ptformat conformance run --case invalid/aliases\n\n")
        super().format_help(ctx, formatter)


@click.group(cls=Verbs, short_help="Any implementation of the format against the conformance suite.")
def conformance() -> None:
    """Hold an implementation of the format, in any language, to the cases of the conformance suite.

    An implementation is a command that answers JSON lines, such as `run -- node my_reader.js`; `copy` brings the
    protocol with the cases. Without a command this library is tested.
    """


@conformance.command("list", cls=Verb, example="ptformat conformance list invalid/aliases")
@click.argument("chosen", metavar="[CASE]...", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="Print the rows of the manifest.")
def list_cases(chosen: tuple[str, ...], *, as_json: bool) -> None:
    """List cases and conversions: all, or those of these ids and areas."""
    cases = _chosen(chosen, "all")
    if as_json:
        click.echo(json.dumps([case.row() for case in cases], indent=1))
        return
    rows = [("case", "expected", "where", "about")]
    rows += [(case.id, case.expected, case.section, case.comment) for case in cases]
    for line in columns(rows):
        click.echo(line)


@conformance.command("copy", cls=Verb, example="ptformat conformance copy suite")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))
def copy_cases(folder: Path) -> None:
    """Copy the cases, their manifest and the protocol to DIR, which must be new or empty."""
    from ..conformance import suite

    click.echo(f"{plain(str(folder))}: {count(suite.copy(folder), 'file')}")


@conformance.command("run", cls=Verb, example="ptformat conformance run -- node my_reader.js")
@click.option("--case", "chosen", metavar="CASE", multiple=True, help="Only this case or area; may be repeated.")
@click.option("--level", type=click.Choice(["required", "all"]), default="all", show_default=True, help="Which cases.")
@click.option("--known-failures", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Ids, one a line.")
@click.option("--report", type=click.Path(dir_okay=False, path_type=Path), help="Write the whole result as JSON.")
@click.option("--json", "as_json", is_flag=True, help="Print the whole result as JSON.")
@click.option("--slower", type=click.FloatRange(min=0, min_open=True), default=1.0, help="Times as many seconds.")
@click.option("--large", is_flag=True, help="Also the cases that are too large to be kept.")
@click.option("--derived", is_flag=True, help="Then some hundred thousand files that are derived of the cases.")
@click.option("--every", type=click.IntRange(min=1), default=1, help="With --derived: every n-th of them.")
@click.argument("command", metavar="[-- COMMAND...]", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def run_cases(
    context: click.Context,
    chosen: tuple[str, ...],
    level: str,
    known_failures: Path | None,
    report: Path | None,
    *,
    as_json: bool,
    slower: float,
    large: bool,
    derived: bool,
    every: int,
    command: tuple[str, ...],
) -> None:
    """Put every case to COMMAND, or to this library, and show what comes of it.

    A crash, a time-out and too much memory are failures too, whatever the file. A case that is listed in a file of
    known failures may fail, but not pass. The exit code is 1 if anything failed.
    """
    from ..conformance import conversions, runner, suite

    cases = _chosen(chosen, level)
    known = runner.known_failures(known_failures.read_text("utf-8")) if known_failures else []
    if strange := sorted({*known} - {case.id for case in conversions.everything()}):
        raise click.UsageError(f"{known_failures}: no case {strange[0]!r}")
    if damaged := suite.damaged(conversions.files_of(cases)):
        raise Failure(f"{damaged[0]}: not the file that the manifest lists; {count(len(damaged), 'case')} like this")
    watch = Stopwatch()
    try:
        with tempfile.TemporaryDirectory(prefix="conformance-") as folder:
            put = chain(cases, suite.large(Path(folder)) if large else ())
            done = runner.run(command or runner.OWN, put, known=known, slower=slower)
        more = _derived(command or runner.OWN, every, slower) if derived else []
    except runner.NoImplementation as error:
        raise Failure(str(error)) from error
    whole = _report(done, more)
    if report:
        report.write_text(json.dumps(whole, indent=1) + "\n", "utf-8")
    if as_json:
        click.echo(json.dumps(whole, indent=1))
    else:
        _show(done, more, watch)
    context.exit(0 if done.sound and not any(each.failed for each in more) else 1)


def _chosen(chosen: tuple[str, ...], level: str) -> list[Listed | Conversion]:
    from ..conformance import conversions

    levels = ("required",) if level == "required" else ("required", "recommended")
    try:
        return conversions.everything(chosen, levels=levels)
    except LookupError as error:
        raise click.UsageError(str(error.args[0])) from error


def _derived(command: tuple[str, ...], every: int, slower: float) -> list[Derived]:
    from ..conformance import derived
    from ..conformance.process import Implementation

    tested = Implementation(command)
    try:
        return list(derived.run(tested, every=every, slower=slower))
    finally:
        tested.kill()


def _report(done: Run, more: list[Derived]) -> dict[str, Any]:
    from dataclasses import asdict

    return done.as_json() | ({"derived": [asdict(each) for each in more]} if more else {})


def _show(done: Run, more: list[Derived], watch: Stopwatch) -> None:
    from ..conformance import report

    click.echo(plain(f"{done.name} {done.version}"))
    for line in columns(report.table(done)):
        click.echo(line)
    for line in [*report.notes(done), report.slowest(done)]:
        click.echo(plain(line))
    if more:
        for line in columns(report.derived_table(more)):
            click.echo(line)
    wrong = [*report.failures(done), *report.derived_failures(more)]
    for line in wrong:
        click.echo(plain(line), err=True)
    if not wrong:
        click.echo(f"all is as it should be, {watch}")
