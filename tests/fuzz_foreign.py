"""Attacks on the readers of foreign files, at random and without end.

    .venv/bin/python tests/fuzz_foreign.py --kind npz --seconds 60 --seed 1
    .venv/bin/python tests/fuzz_foreign.py                          every kind, 10 s each
    .venv/bin/python tests/fuzz_foreign.py --kind npz --seed 1 --first 4711 --count 1

Each attack is a sound read, or one error of one line, within 64 MiB and 5 s of the processor. What is not is told with
the command that repeats it, and kept in the folder `--keep`; what ends the process, or takes no end, is told likewise,
and the next attack is made in another process. Attack n of a seed is the same whenever it is run, but for what the
libraries that make the files put into them. The exit code is 0 where nothing was found.
"""

from __future__ import annotations

import argparse
import collections
import faulthandler
import json
import logging
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path
from random import Random

from hostile import texts
from hostile.attacks import attacked
from hostile.judge import measured
from hostile.seeds import KINDS as FILES
from hostile.seeds import seed

KINDS = (*FILES, *texts.SEEDS)
SCRIPT = "tests/fuzz_foreign.py"
HANGING = 120  # seconds, after which all threads are shown and the process ends


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kind", action="append", choices=sorted(KINDS), help="one or several; all by default")
    parser.add_argument("--seconds", type=float, default=10, help="for each kind")
    parser.add_argument("--count", type=int, default=sys.maxsize, help="of attacks for each kind, at most")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first attack")
    parser.add_argument("--keep", type=Path, default=Path("found"))
    parser.add_argument("--alone", nargs=2, type=float, help=argparse.SUPPRESS)  # in the process that may end
    given = parser.parse_args()
    if not given.alone:
        return 1 if watched(list(given.kind or KINDS), given) else 0
    logging.disable(logging.CRITICAL)  # of the library that makes files
    warnings.simplefilter("error")
    first, spent = given.alone
    for kind in given.kind:
        attempts(kind, given, int(first), spent)
        first, spent = given.first, 0.0
    return 0


def watched(kinds: list[str], given: argparse.Namespace) -> int:
    """The number of faults, in a process that is started again behind an attack that ended it."""
    faults, first, spent = 0, given.first, 0.0
    found = collections.Counter[str]()
    while kinds:
        start, begun = time.monotonic(), None
        said = [argument for kind in kinds for argument in ("--kind", kind)]
        said += ["--seed", given.seed, "--keep", given.keep, "--seconds", given.seconds]
        said += ["--first", given.first, "--count", given.count, "--alone", first, spent]
        with subprocess.Popen(
            [sys.executable, __file__, *map(str, said)], stdout=subprocess.PIPE, text=True
        ) as process:
            for line in process.stdout or ():
                match json.loads(line):
                    case ["begin", number]:
                        begun = number
                    case ["end", code, fault]:
                        found[code] += 1
                        if fault:
                            faults += 1
                            print(f"  {fault}\n    {again(kinds[0], given.seed, begun)}", flush=True)
                    case ["all"]:
                        seconds = spent + time.monotonic() - start
                        told = json.dumps(dict(found.most_common()))
                        print(f"{kinds.pop(0)}: {found.total()} attacks in {seconds:.0f} s: {told}", flush=True)
                        first, begun, spent, start = given.first, None, 0.0, time.monotonic()
                        found.clear()
        if process.returncode == 0:
            break
        faults += 1
        if begun is None:
            print(f"  the process ended with {process.returncode} before the first attack on {kinds[0]}", flush=True)
            break
        print(f"  the process ended with {process.returncode}\n    {again(kinds[0], given.seed, begun)}", flush=True)
        found["ended"] += 1
        first, spent = begun + 1, spent + time.monotonic() - start
    return faults


def again(kind: str, start: int, number: int) -> str:
    return f"{SCRIPT} --kind {kind} --seed {start} --first {number} --count 1"


def attempts(kind: str, given: argparse.Namespace, first: int, spent: float) -> None:
    """One attack after the other on one kind: a line of JSON as each begins, and one of what came of it."""
    sound = texts.SEEDS[kind]() if kind in texts.SEEDS else seed(kind)
    end = time.monotonic() + given.seconds - spent
    with tempfile.TemporaryDirectory() as folder:
        for number in range(first, given.first + given.count):
            if time.monotonic() > end:
                break
            print(json.dumps(["begin", number]), flush=True)
            attack = attacked(Random(f"{kind} {given.seed} {number}"), kind, sound)
            place = given.keep / f"{kind}-{given.seed}-{number}"
            code, fault = verdict(attack.write(Path(folder, "x")), Path(folder, "x"), place)
            print(json.dumps(["end", code, fault]), flush=True)
            shutil.rmtree(Path(folder, "x"))
    print(json.dumps(["all"]), flush=True)


def verdict(path: Path, folder: Path, place: Path) -> tuple[str, str]:
    """Of one attack: its code and what was wrong, in which case its files are kept."""
    faulthandler.dump_traceback_later(HANGING, exit=True)
    try:
        return measured(path), ""
    except Exception as error:
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(folder, place, symlinks=True, dirs_exist_ok=True, ignore=pipes)
        last = traceback.extract_tb(error.__traceback__)[-1]
        return "fault", f"{type(error).__name__}: {error!s:.300} ({last.filename}:{last.lineno})"
    finally:
        faulthandler.cancel_dump_traceback_later()


def pipes(folder: str, names: list[str]) -> list[str]:
    """What cannot be copied."""
    paths = [Path(folder, name) for name in names]
    return [path.name for path in paths if path.exists() and not path.is_file() and not path.is_dir()]


if __name__ == "__main__":
    sys.exit(main())
