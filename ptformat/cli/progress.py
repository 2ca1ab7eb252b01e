"""One line on a terminal for work that takes a while; nothing anywhere else."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress as Line

DELAY = 0.3  # seconds: what is done sooner shows no line


class Progress:
    """Bytes or items done, rate and time left, on stderr when that is a terminal, erased at the end.

        with Progress("writing model.ptf") as progress:
            progress.total(1000)
            progress.advance(10)

    Args:
        what: What is being done.
        quiet: Show nothing.
        items: What is counted is items, not bytes.
    """

    def __init__(self, what: str, *, quiet: bool = False, items: bool = False) -> None:
        self._what = what
        self._items = items
        self._shown = not quiet and sys.stderr.isatty()
        self._start = time.monotonic()
        self._total: int | None = None
        self._done = 0
        self._line: Line | None = None

    def total(self, number: int) -> None:
        """How many there are in all."""
        self._total = number

    def advance(self, number: int) -> None:
        """So many more are done."""
        self._done += number
        if not self._shown:
            return
        if self._line is None:
            if time.monotonic() - self._start < DELAY:
                return
            self._line = _line(self._items)
            self._line.add_task(self._what, total=self._total, completed=self._done)
            self._line.start()
        else:
            self._line.update(self._line.task_ids[0], total=self._total, completed=self._done)

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._line is not None:
            self._line.stop()
            self._line = None


def _line(items: bool) -> Line:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        MofNCompleteColumn,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )
    from rich.progress import Progress as Line

    return Line(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        *([MofNCompleteColumn()] if items else [DownloadColumn(), TransferSpeedColumn()]),
        TimeRemainingColumn(compact=True),
        console=Console(file=sys.stderr),
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )
