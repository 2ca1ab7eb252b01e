"""Fuzz open, read and verify: `run.py --runs N | --seconds N [--jobs 2] [--corpus DIR]`. Exit 1 if anything is found.

The corpus and all that is found stay in the folder, so that a later run goes on where this one ended.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parents[1]
sys.path[0] = str(TESTS)  # not this folder: its modules are those of a package

from fuzz import cover, seeds  # noqa: E402

MOST_BYTES = 32_768  # of a file
MOST_MB = 2048  # resident: a file's bounds are held by the target, this is against a blow-up
HANGS = 60  # seconds: as above
MOST = 2**31 - 1  # that libFuzzer can count
MOST_ENDED = 20  # workers that end with an error, after which it is given up
TELL = 60  # seconds between two lines of progress


def main() -> int:
    """The command; 1 if anything was found."""
    options = arguments()
    folder = options.corpus.resolve()
    corpus, found = folder / "corpus", folder / "found"
    for made in (corpus, found):
        made.mkdir(parents=True, exist_ok=True)
    for data in (*seeds.sound(), *seeds.conformance(MOST_BYTES)):
        (corpus / hashlib.sha1(data).hexdigest()).write_bytes(data)
    for old in found.glob("worker-*.json"):
        old.unlink()
    start = time.monotonic()
    ended = fuzz(options, corpus, found)
    counted = counts(found)
    report(counted, time.monotonic() - start, len(list(corpus.iterdir())))
    print(f"coverage of the corpus: {cover.measured(corpus)}")
    print(f"found: {len(counted['found'])}", *(f"  {found / name}.ptf" for name in sorted(counted["found"])), sep="\n")
    return int(bool(counted["found"] or ended) or not counted["executions"])


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    length = parser.add_mutually_exclusive_group(required=True)
    length.add_argument("--runs", type=int, help="executions, of all jobs together")
    length.add_argument("--seconds", type=int)
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--corpus", type=Path, default=TESTS.parent / "build" / "fuzz", metavar="DIR")
    parser.add_argument("--seed", type=int, default=0, help="of the random numbers; 0 draws one")
    return parser.parse_args()


def fuzz(options: argparse.Namespace, corpus: Path, found: Path) -> int:
    """Run workers until there are executions or seconds enough. One that ends early has found something: go on.

    Returns:
        How many of them ended with an error.
    """
    start, number, ended, told = time.monotonic(), 0, 0, time.monotonic()
    running: list[subprocess.Popen[bytes]] = []
    try:
        while True:
            for one in [one for one in running if one.poll() is not None]:
                running.remove(one)
                if one.returncode:
                    print(f"a worker ended with {one.returncode}: see its log in {found}", flush=True)
                    ended += 1
            left = (options.runs or sys.maxsize) - counts(found)["executions"]
            seconds = (options.seconds or sys.maxsize) - (time.monotonic() - start)
            if not running and (left <= 0 or seconds <= 0 or ended >= MOST_ENDED):
                return ended
            while len(running) < options.jobs and left > 0 and seconds > 0 and ended < MOST_ENDED:
                number += 1
                share, seed = min(-(-left // options.jobs), MOST), options.seed and options.seed + number
                running.append(worker(corpus, found, number, share, seconds, seed))
            time.sleep(0.2)
            if time.monotonic() - told > TELL:
                told = time.monotonic()
                report(counts(found), told - start, len(list(corpus.iterdir())))
    finally:
        for one in running:
            one.terminate()


def worker(corpus: Path, found: Path, number: int, runs: int, seconds: float, seed: int) -> subprocess.Popen[bytes]:
    """A process that fuzzes; what it says goes into the log beside what it finds."""
    command = [
        sys.executable,
        str(TESTS / "fuzz" / "worker.py"),
        str(found),
        f"worker-{number}",
        str(runs),
        str(corpus),
    ]
    limits = [f"-max_len={MOST_BYTES}", f"-rss_limit_mb={MOST_MB}", f"-timeout={HANGS}", "-len_control=0", "-reload=30"]
    until = f"-max_total_time={max(1, min(int(seconds), MOST))}"
    with (found / f"worker-{number}.log").open("wb") as log:
        return subprocess.Popen(
            [*command, *limits, until, f"-artifact_prefix={found}/", f"-seed={seed}", "-print_final_stats=1"],
            stdout=log,
            stderr=subprocess.STDOUT,
        )


def counts(found: Path) -> dict[str, Any]:
    """What all workers have counted."""
    total: dict[str, Any] = {"executions": 0, "verdicts": Counter(), "found": set(), "slowest": 0.0, "largest": 0}
    for path in found.glob("worker-*.json"):
        facts = json.loads(path.read_text("utf-8"))
        total["executions"] += facts["executions"]
        total["verdicts"].update(facts["verdicts"])
        total["found"].update(facts["found"].values())
        for name in ("slowest", "largest"):
            total[name] = max(total[name], facts[name])
    return total


def report(counted: dict[str, Any], seconds: float, files: int) -> None:
    """What was counted so far."""
    verdicts = ", ".join(f"{name} {count}" for name, count in counted["verdicts"].most_common())
    speed = counted["executions"] / max(seconds, 1e-9)
    print(f"{counted['executions']} executions in {seconds:.0f} s, {speed:.0f}/s; {files} files in the corpus")
    print(f"  {verdicts}")
    print(f"  slowest {counted['slowest']} s, largest {counted['largest'] / 2**20:.0f} MiB", flush=True)


if __name__ == "__main__":
    sys.exit(main())
