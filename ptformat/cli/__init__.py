"""The command line: one group of verbs, and the one place where an error becomes a line and an exit code."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import click

from .. import __version__
from ..errors import FormatError
from .conformance import conformance
from .convert import convert
from .diff import diff
from .edit import edit
from .failures import Failure
from .info import info
from .pack import pack, unpack
from .plan import plan
from .text import plain
from .tree import tree
from .verify import verify

FAILED, USAGE = 1, 2
INTERRUPTED = 128 + signal.SIGINT
CLOSED_PIPE = 128 + 13  # what a shell sees of a program that SIGPIPE ended


class Commands(click.Group):
    """The verbs. Whatever goes wrong in one leaves here as one line on stderr and an exit code.

    What a user can do nothing about is a fault of this program, and keeps its traceback.
    """

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Run the verb and exit; click's own way would print usage over several lines."""
        try:
            code = self._run(sys.argv[1:] if args is None else list(args), extra)
            sys.stdout.flush()
        except KeyboardInterrupt:
            code = _say(INTERRUPTED, "interrupted")
        except click.UsageError as error:
            verb = error.ctx.command_path.partition(" ")[2] if error.ctx else ""
            what = error.format_message().strip().rstrip(".")
            what += "" if what.endswith("?") else "."  # click may guess at what was meant
            code = _say(USAGE, f"{verb + ': ' if verb else ''}{what} Try 'ptformat {verb + ' ' if verb else ''}--help'")
        except Failure as error:
            code = _say(FAILED, *error.lines)
        except FormatError as error:
            code = _say(FAILED, f"{error.code}: {error.message}")
        except BrokenPipeError:
            _discard_output()
            code = CLOSED_PIPE
        except OSError as error:
            if error.errno is None:
                raise
            code = _say(FAILED, _system(error))
        sys.exit(code)

    def _run(self, args: list[str], extra: dict[str, Any]) -> int:
        try:
            with self.make_context("ptformat", args, **extra) as context:
                return self.invoke(context) or 0
        except click.exceptions.Exit as done:
            return done.exit_code


def _say(code: int, *lines: str) -> int:
    first, *rest = lines
    with contextlib.suppress(BrokenPipeError):
        print(
            f"ptformat: {plain(first)}", *(f"  {plain(line)}" for line in rest), sep="\n", file=sys.stderr, flush=True
        )
    return code


def _system(error: OSError) -> str:
    what = error.strerror or str(error)
    return what if error.filename is None else f"{os.fsdecode(error.filename)}: {what}"


def _discard_output() -> None:
    """Nobody reads stdout any more: what is still buffered must not raise again at exit."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@click.group(
    cls=Commands,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, message="ptformat %(version)s")
@click.pass_context
def commands(context: click.Context) -> None:
    """Parameters of neural networks: one file of no framework, and the way between torch and Flax.

    Files are told apart by their content when read and by their name when written: .ptf, .safetensors, .pt, .pth, .bin,
    .msgpack, .npz, .orbax; a name without a suffix is a Hugging Face directory.
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help(), err=True)
        context.exit(USAGE)


for verb in (convert, plan, pack, unpack, verify, tree, info, diff, edit, conformance):
    commands.add_command(verb)


def main() -> NoReturn:
    """What the command `ptformat` runs: the verbs, in a process of their own."""
    for name in ("SIGTERM", "SIGHUP"):  # unwound like an error, so that no temporary file is left
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), _terminate)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal without × shows ? and not a traceback
    sys.exit(commands.main())


def _terminate(number: int, _frame: object) -> NoReturn:
    sys.exit(128 + number)
