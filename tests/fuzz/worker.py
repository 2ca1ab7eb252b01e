"""One process that fuzzes: atheris with the mutator, over the target. Started by run.py."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import Any

import atheris
from atheris.import_hook import HookManager

sys.path[0] = str(Path(__file__).resolve().parents[1])  # not this folder: its modules are those of a package

# As `atheris.instrument_imports(include=["ptformat"])`, but comparisons are not traced: the mutator knows what the
# format compares, and tracing takes a quarter of the time.
with HookManager({"ptformat"}, set(), False, False):
    import ptformat.containers
    import ptformat.loading
    import ptformat.saving
    import ptformat.verification  # noqa: F401

from fuzz import seeds  # noqa: E402
from fuzz.mutator import Mutator  # noqa: E402
from fuzz.target import Bounds, examine  # noqa: E402

EVERY = 1000  # executions, after which what was counted is written down


class Worker:
    """Counts executions by their verdict, and keeps the bytes of what is found, each fault once.

    Args:
        folder: Where the counts and the files found go.
        name: Of this process, among those that share the folder.
        last: The number of executions after which libFuzzer ends the process.
    """

    def __init__(self, folder: Path, name: str, last: int) -> None:
        self.last = last
        self.mutator = Mutator(seeds.sound())
        self.bounds = Bounds()
        self.verdicts: Counter[str] = Counter()
        self.found: dict[str, str] = {}
        self.executions = 0
        self.folder = folder
        self.facts = folder / f"{name}.json"
        self.start = time.monotonic()

    def one(self, data: bytes) -> None:
        """One execution. A fault is written down, and fuzzing goes on."""
        self.executions += 1
        try:
            verdict = self.bounds.call(examine, data)
        except Exception as error:
            verdict = "FAULT"
            self._keep(data, error)
        self.verdicts[verdict] += 1
        if verdict == "SOUND" and len(data) < 4096:
            self.mutator.sound.append(data)
        if self.executions % EVERY == 0 or self.executions >= self.last:
            self.write()

    def _keep(self, data: bytes, error: Exception) -> None:
        frames = [f"{Path(frame.filename).name}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)]
        place = f"{type(error).__name__} at {' '.join(frames[-3:])}"
        if place not in self.found:
            name = f"fault-{hashlib.sha256(data).hexdigest()[:16]}"
            (self.folder / f"{name}.ptf").write_bytes(data)
            (self.folder / f"{name}.txt").write_text("".join(traceback.format_exception(error))[-20_000:], "utf-8")
            self.found[place] = name
            self.write()

    def write(self) -> None:
        """Write down what was counted."""
        facts: dict[str, Any] = {
            "executions": self.executions,
            "seconds": round(time.monotonic() - self.start, 1),
            "verdicts": dict(self.verdicts.most_common()),
            "slowest": round(self.bounds.slowest, 3),
            "largest": self.bounds.largest,
            "found": self.found,
        }
        part = self.facts.with_suffix(".part")
        part.write_text(json.dumps(facts, indent=1), "utf-8")
        os.replace(part, self.facts)

    def mutate(self, data: bytes, most: int, seed: int) -> bytes:
        """For libFuzzer: its own mutations stand in where the bytes are not looked into."""
        return self.mutator.mutate(data, most, seed, lambda held: atheris.Mutate(held, len(held) + 64))

    def cross(self, data: bytes, other: bytes, most: int, seed: int) -> bytes:
        """For libFuzzer."""
        return self.mutator.cross(data, other, most, seed)


def main() -> None:
    """`worker.py FOLDER NAME RUNS [options of libFuzzer]`."""
    runs = int(sys.argv[3])
    worker = Worker(Path(sys.argv[1]), sys.argv[2], runs)
    options = [sys.argv[0], *sys.argv[4:], f"-runs={runs}"]
    atheris.Setup(options, worker.one, custom_mutator=worker.mutate, custom_crossover=worker.cross)
    worker.write()
    atheris.Fuzz()


if __name__ == "__main__":
    main()
