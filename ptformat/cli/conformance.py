"""`ptformat conformance`: any implementation against the cases of the conformance suite."""

from __future__ import annotations

import contextlib
import json
import tempfile
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .failures import Failure
from .progress import Progress
from .text import Stopwatch, Verb, columns, count, plain

if TYPE_CHECKING:
    from ..conformance.conversions import Conversion
    from ..conformance.runner import Run
    from ..conformance.suite import Listed

SLOWEST = 1000


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
@click.option("--slower", type=float, default=1.0, help="Times as many seconds.")
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
    from ..conformance import conversions, process, runner, suite

    if not 0 < slower <= SLOWEST:
        raise click.UsageError(f"--slower: {slower:g}, expected more than 0, {SLOWEST:,} at the most")
    cases = _chosen(chosen, level)
    known = _known(known_failures) if known_failures else []
    if damaged := suite.damaged(conversions.files_of(cases)):
        raise Failure(f"{damaged[0]}: not the file that the manifest lists; {count(len(damaged), 'case')} like this")
    watch = Stopwatch()
    with contextlib.ExitStack() as stack:
        written = stack.enter_context(report.open("w", encoding="utf-8")) if report else None
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="conformance-")))
        progress = stack.enter_context(Progress("conformance", items=True))
        if not derived:
            progress.total(len(cases) + (len(suite.LARGE) if large else 0))
        try:
            done = runner.run(
                command or runner.OWN,
                chain(cases, suite.large(folder) if large else ()),
                known=known,
                slower=slower,
                every=every if derived else None,
                progress=progress.advance,
            )
        except process.NoImplementation as error:
            raise Failure(str(error)) from error
        text = json.dumps(done.as_json(), indent=1)
        if written:
            written.write(text + "\n")
    if as_json:
        click.echo(text)
    else:
        _show(done, watch)
    context.exit(0 if done.sound else 1)


def _chosen(chosen: tuple[str, ...], level: str) -> list[Listed | Conversion]:
    from ..conformance import conversions

    levels = ("required",) if level == "required" else ("required", "recommended")
    try:
        return conversions.everything(chosen, levels=levels)
    except LookupError as error:
        raise click.UsageError(str(error.args[0])) from error


def _known(path: Path) -> list[str]:
    from ..conformance import conversions, runner, suite

    try:
        known = runner.known_failures(path.read_text("utf-8"))
    except UnicodeDecodeError as error:
        raise Failure(f"{path}: not text in UTF-8, at byte {error.start}") from error
    if strange := sorted({*known} - {case.id for case in conversions.everything()} - {*suite.LARGE}):
        raise click.UsageError(f"{path}: no case {strange[0]!r}")
    return known


def _show(done: Run, watch: Stopwatch) -> None:
    from ..conformance import report

    click.echo(plain(f"{done.name} {done.version}"))
    for line in columns(report.table(done)):
        click.echo(line)
    for line in [*report.notes(done), report.slowest(done)]:
        click.echo(plain(line))
    if done.derived:
        for line in columns(report.derived_table(done.derived)):
            click.echo(line)
    wrong = report.failures(done)
    for line in wrong:
        click.echo(plain(line), err=True)
    if not wrong:
        click.echo(f"all is as it should be, {watch}")
