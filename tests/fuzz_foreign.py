"""Attacks on the readers of foreign files, at random and without end.

    .venv/bin/python tests/fuzz_foreign.py --kind npz --seconds 60 --seed 1
    .venv/bin/python tests/fuzz_foreign.py                          every kind, 10 s each
    .venv/bin/python tests/fuzz_foreign.py --kind npz --seed 1 --first 4711 --count 1

Each attack is a sound read, or one error of one line, within 64 MiB and 5 s of the processor. What is not is told with
the command that repeats it, and kept in the folder `--keep`; what ends the process, or takes no end, is told. Attack n
of a seed is the same whenever it is run, but for what the libraries that make the files put into them. The exit code is
0 where nothing was found.
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
HANGING = 120  # seconds, after which all threads are shown and the process ends


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kind", action="append", choices=sorted(KINDS), help="one or several; all by default")
    parser.add_argument("--seconds", type=float, default=10, help="for each kind")
    parser.add_argument("--count", type=int, default=sys.maxsize, help="of attacks for each kind, at most")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first attack")
    parser.add_argument("--keep", type=Path, default=Path("found"))
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)  # in the process that may end
    given = parser.parse_args()
    if given.alone:
        logging.disable(logging.CRITICAL)  # of the library that makes files
        warnings.simplefilter("error")
        for kind in given.kind:
            attempts(kind, given)
            given.first = 0
        return 0
    return 1 if watched(list(given.kind or KINDS), given) else 0


def watched(kinds: list[str], given: argparse.Namespace) -> int:
    """The number of faults, in a process that is started again behind an attack that ended it."""
    faults, first = 0, given.first
    while kinds:
        told = False
        said = [argument for kind in kinds for argument in ("--kind", kind)]
        said += ["--seed", given.seed, "--keep", given.keep, "--seconds", given.seconds]
        said += ["--first", first, "--count", given.count, "--alone"]
        with subprocess.Popen(
            [sys.executable, __file__, *map(str, said)], stdout=subprocess.PIPE, text=True
        ) as process:
            for line in process.stdout or ():
                kind, number, verdict = json.loads(line)
                told = True
                if number is None:
                    print(f"{kind}: {verdict}", flush=True)
                    kinds.remove(kind)
                    first = 0
                    continue
                first = number + 1
                if verdict:
                    faults += 1
                    print(f"  {verdict}\n    {again(kind, given.seed, number)}", flush=True)
        if process.returncode == 0:
            break
        faults += 1
        if process.returncode > 0 and not told:  # it never began
            break
        print(f"  the process ended with {process.returncode}\n    {again(kinds[0], given.seed, first)}", flush=True)
        first += 1
    return faults


def again(kind: str, start: int, number: int) -> str:
    return f"--kind {kind} --seed {start} --first {number} --count 1"


def attempts(kind: str, given: argparse.Namespace) -> None:
    """One attack after the other on one kind: each a line of JSON, with what was wrong, and at last what all were."""
    sound = texts.SEEDS[kind]() if kind in texts.SEEDS else seed(kind)
    started, found = time.monotonic(), collections.Counter[str]()
    with tempfile.TemporaryDirectory() as folder:
        for number in range(given.first, given.first + given.count):
            if (seconds := time.monotonic() - started) > given.seconds:
                break
            attack = attacked(Random(f"{kind} {given.seed} {number}"), kind, sound)
            place = given.keep / f"{kind}-{given.seed}-{number}"
            code, fault = verdict(attack.write(Path(folder, "x")), Path(folder, "x"), place)
            found[code] += 1
            print(json.dumps([kind, number, fault]), flush=True)
            shutil.rmtree(Path(folder, "x"))
    told = json.dumps(dict(found.most_common()))
    print(json.dumps([kind, None, f"{found.total()} attacks in {seconds:.0f} s: {told}"]), flush=True)


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
