"""Crash safety: whatever fails in a save, and whenever it is killed, the old file is there, whole, or the new one.

    python tests/crash/run.py                     everything: every fault, 1,000 kills, full disks
    python tests/crash/run.py --quick             a sample in half a minute, another one for each --seed
    python tests/crash/run.py --only sharded      what has this in its name (--list shows all)
    python tests/crash/run.py --seconds 600       as much as fits into ten minutes
    python tests/crash/run.py --kills 10000       more kills

Needs Linux and strace. Three parts, each with rows in the table that is printed:

- Faults. A save (`saves.SAVES`) is run once under strace, and its system calls on its own files and directories are
  noted. Then it is run again for each of them, and strace makes that one call fail: with ENOSPC, EIO, EDQUOT, EINTR
  and, where it takes a name, EACCES, once and for good (EINTR: three times in a row); or kills the process at it. A
  write is also made short, by a limit on the length of files (RLIMIT_FSIZE): the kernel itself then writes half of it;
  once, with the limit lifted before the next write, and for good.
- `kill:` A save is killed with SIGKILL at a random time, uniform over how long it takes, without strace.
- `full:` A save goes to a tmpfs that has too little space, of 24 sizes up to one that has enough.

After each run, whatever happened: under the name is the old file or the new one, byte for byte (of a directory: all of
its files), and what both are `ptformat verify` finds fine; a process that was not killed has either succeeded, and the
new one is there, or told its failure in one line that names a path of the caller's, with exit code 1 and no traceback;
no other name is left, unless the process was killed or the removal itself was made to fail; the source is unchanged; a
failed fsync was not tried again. Of an undisturbed run that is to be durable: every file and directory was synced after
it was last written and before the rename that gives it its name, the directory of the name after it.

SIGKILL leaves the kernel's memory alone: that a power cut does no harm follows from this order of fsync and rename, and
is not tried.

Columns: calls of the save that are made to fail; runs; how many succeeded, failed, were killed; what stood under the
name after them; how many left temporary names behind; faults that hit another call than they were meant for; what was
not run for want of time; what was wrong. The exit code is 0 if nothing was, 1 if something was, 2 if it cannot run.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

if __package__ in (None, ""):  # run as a file
    sys.path.insert(0, str(Path(__file__).parent.parent))

from crash import full, kills, runs, tracing
from crash.runs import Tally
from crash.saves import SAVES

KILLS, QUICK_KILLS = 1000, 60
COLUMNS = ("calls", "runs", "succeeded", "failed", "killed", "old", "new", "nothing", "left", "missed", "not run")
Work = Callable[[], Tally]


def main(args: Sequence[str] | None = None) -> int:
    options = _parsed(args)
    found = [name for name in _work(options) if all(part in name for part in options.only)]
    if options.list:
        print(*found, sep="\n")
        return 0
    try:
        tracing.check()
        if any(name.startswith("full: ") for name in found):
            full.check()
    except (tracing.CannotTrace, full.CannotMount) as error:
        print(f"crash: {error}", file=sys.stderr)
        return 2
    start = time.monotonic()
    tallies = []
    print(_row("", (*COLUMNS, "wrong"), "seconds"), flush=True)
    with ProcessPoolExecutor(options.jobs, multiprocessing.get_context("fork")) as pool:
        for done in [pool.submit(_done, name, options) for name in found]:
            tallies.append(tally := done.result())
            numbers = [tally.counts[column] for column in COLUMNS]
            print(_row(tally.save, (*numbers, len(tally.wrong)), f"{tally.seconds:.0f}"), flush=True)
    total: Counter[str] = sum((tally.counts for tally in tallies), Counter())
    wrong = [(tally.save, *line) for tally in tallies for line in tally.wrong]
    print(_row("all", (*(total[column] for column in COLUMNS), len(wrong)), f"{time.monotonic() - start:.0f}"))
    for line in wrong:
        print(*line, sep=": ")
    return 1 if wrong else 0


def _done(name: str, options: argparse.Namespace) -> Tally:
    """A row of the table, in a process of its own."""
    try:
        return _work(options)[name]()
    except runs.Broken as error:
        return Tally(name, wrong=[("undisturbed", str(error))])
    except Exception:
        return Tally(name, wrong=[("not judged", traceback.format_exc())])


def _work(options: argparse.Namespace) -> dict[str, Work]:
    """What to do for each row of the table, by its name."""
    places = options.disk, options.memory
    turn = options.seed if options.quick else None
    count = options.kills or (QUICK_KILLS if options.quick else KILLS)
    each = -(-count // len(kills.KILLED))
    strikes = [save for save in SAVES if save.quick or not options.quick]
    return {
        **{save.name: partial(runs.strike, save, *places, turn, options.until) for save in strikes},
        **{f"kill: {save.name}": partial(kills.kill, save, *places, each, options.seed) for save in kills.KILLED},
        **{f"full: {save.name}": partial(full.fill, save, *places) for save in full.FULL if not options.quick},
    }


def _row(name: str, cells: Sequence[object], seconds: str) -> str:
    return f"{name:34}" + "".join(f"{cell!s:>10}" for cell in cells) + f"{seconds:>9}"


def _parsed(args: Sequence[str] | None) -> argparse.Namespace:
    about, _, rest = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(description=about, epilog=rest, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a sample of the faults of some saves, and 60 kills")
    parser.add_argument("--only", action="append", default=[], metavar="TEXT", help="rows with this in their name")
    parser.add_argument("--kills", type=int, metavar="N", help=f"how many ({KILLS}; {QUICK_KILLS} of --quick)")
    parser.add_argument("--seconds", type=float, default=float("inf"), metavar="N", help="begin no fault after these")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the kills' times, and of the sample")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)), metavar="N", help="rows at a time")
    parser.add_argument("--disk", type=Path, default=Path("/var/tmp"), metavar="DIR", help="a folder on a disk")
    parser.add_argument("--memory", type=Path, default=Path("/dev/shm"), metavar="DIR", help="a folder on tmpfs")
    parser.add_argument("--list", action="store_true", help="only print the names of the rows")
    options = parser.parse_args(args)
    options.until = time.monotonic() + options.seconds
    return options


if __name__ == "__main__":
    sys.exit(main())
