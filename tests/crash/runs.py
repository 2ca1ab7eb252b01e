"""One save, again and again, each time with one fault."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from ptformat.cli import commands

from . import faults, tracing
from .child import SLOW, Child, Ended, finished
from .faults import Fault
from .judging import Facts, Verdict, judged, names, unsynced
from .saves import Save, content
from .tracing import Event


@dataclass
class Tally:
    """What came of the runs of one save.

    Attributes:
        counts: How many runs ended how, by the columns of the table.
        wrong: What must not be: (fault, what).
        seconds: How long it took.
    """

    save: str
    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[tuple[str, str]] = field(default_factory=list)
    seconds: float = 0.0

    def add(self, what: str, ended: Ended, verdict: Verdict) -> None:
        """Count one run."""
        self.counts["runs"] += 1
        self.counts[verdict.state] += 1
        self.counts["killed" if ended.code < 0 else "failed" if ended.code else "succeeded"] += 1
        self.counts["left"] += bool(verdict.left)
        self.wrong += [(what, line) for line in verdict.wrong]


class Broken(Exception):
    """A save that fails, or is not what it should be, with nothing made to fail."""


class Stage:
    """The folder of a save, made anew for each run under the same path, from a copy that is made once."""

    def __init__(self, save: Save, base: Path) -> None:
        self.save = save
        self.folder = base / "run"
        self.log = base / "log"
        self._model = base / "model"
        save.prepare(self._model)
        self.facts = self._facts()

    def _facts(self) -> Facts:
        self.reset()
        before = names(self.folder / "to")
        old, source = self.save.identity(self.folder), content(self.folder / "from")
        ended = self.run()
        refused = self.save.readonly
        if (ended.code, ended.hung) != (int(refused), False) or bool(ended.said) != refused:
            raise Broken(f"{self.save.name}: exit code {ended.code}, {ended.said}")
        new = self.save.identity(self.folder)
        if new == old and not refused:
            raise Broken(f"{self.save.name}: the new file is the old one")
        facts = Facts(old, new, (before, names(self.folder / "to")), source)
        self._sound()
        return facts

    def _sound(self) -> None:
        """`ptformat verify` finds the old file fine, and the new one."""
        for folder in (self._model, self.folder):
            path = folder / "to" / self.save.target
            if path.exists():
                finished(commands.main, ["verify", str(path)])

    def reset(self) -> None:
        """As it was before the save."""
        if self.folder.exists():
            for folder in (self.folder / "to", self.folder / "from"):
                folder.chmod(0o755)
            shutil.rmtree(self.folder)
        shutil.copytree(self._model, self.folder, symlinks=True)

    def run(self, fault: Fault | None = None, paths: Sequence[str] | None = None) -> Ended:
        """One save, traced where paths are given, with a fault."""
        save, ready = self.save, self.save.ready
        child = Child(
            lambda: save.act(self.folder),
            limit=fault.limit if fault else None,
            unprivileged=save.readonly,
            ready=partial(ready, self.folder) if ready else None,
        )
        tracer = None
        try:
            if paths is not None:
                tracer = tracing.attach(child, self.log, paths, fault.injections if fault else ())
        finally:
            child.go()
        if fault and fault.how == "short" and not fault.lasting:
            self._make_room(child)
        ended = child.ended()
        if tracer:
            tracer.communicate(timeout=SLOW)
        return ended

    def _make_room(self, child: Child) -> None:
        """Lift the limit once the short write is done, at which the process is stopped."""
        status = Path(f"/proc/{child.pid}/stat")
        end = time.monotonic() + SLOW
        while time.monotonic() < end:
            stopped = "--- stopped by SIGSTOP ---" in self.log.read_text(errors="replace")
            if stopped or status.read_text().rpartition(")")[2].split()[0] == "Z":
                break
            time.sleep(0.001)
        if stopped:
            unlimited = resource.RLIM_INFINITY
            resource.prlimit(child.pid, resource.RLIMIT_FSIZE, (unlimited, unlimited))
            os.kill(child.pid, signal.SIGCONT)

    def events(self) -> list[Event]:
        """The calls of the last run on what lies in the folder."""
        return tracing.touching(tracing.read(self.log), self.folder)

    def unsynced(self, events: Sequence[Event]) -> list[str]:
        """What of a recorded save might not be on the disk, where it has to be."""
        target = os.path.realpath(self.folder / "to" / self.save.target)
        return unsynced(events, target) if self.save.durable and not self.save.readonly else []

    def recorded(self) -> tuple[list[Event], list[str]]:
        """The calls of an undisturbed save, as strace counts them, and the paths to restrict it to."""
        self.reset()
        self.run(paths=())
        first = self.events()
        if not self.save.fixed:
            return first, []
        paths = sorted({path for event in first for path in event.paths if path.startswith(str(self.folder))})
        self.reset()
        self.run(paths=paths)
        events = self.events()
        if {event.call for event in events} != {event.call for event in first}:
            raise Broken(f"{self.save.name}: its calls are not the same each time, or not all are found by their paths")
        return events, paths


@contextmanager
def staged(save: Save, disk: Path, memory: Path) -> Iterator[Stage]:
    """A stage on a disk or in memory, removed in the end."""
    base = Path(tempfile.mkdtemp(prefix="ptformat-crash-", dir=memory if save.memory else disk))
    base.chmod(0o755)
    try:
        yield Stage(save, base)
    finally:
        subprocess.run(["chmod", "-R", "u+w", str(base)], check=True)
        shutil.rmtree(base)


def strike(save: Save, disk: Path, memory: Path, turn: int | None = None, until: float = float("inf")) -> Tally:
    """All faults of a save, or those of the short run's `turn`."""
    start = time.monotonic()
    tally = Tally(save.name)
    with staged(save, disk, memory) as stage:
        events, paths = stage.recorded()
        tally.counts["calls"] = len(events)
        tally.wrong += [("undisturbed", line) for line in stage.unsynced(events)]
        chosen = list(faults.every(events))
        if turn is not None:
            chosen = faults.sample(chosen, turn)
        for fault, ended, verdict, struck in tried(stage, chosen, paths):
            tally.add(str(fault), ended, verdict)
            tally.counts["missed"] += not struck
            if time.monotonic() > until:
                break
        tally.counts["not run"] = len(chosen) - tally.counts["runs"]
    tally.seconds = time.monotonic() - start
    return tally


def tried(stage: Stage, chosen: Iterable[Fault], paths: Sequence[str]) -> Iterator[tuple[Fault, Ended, Verdict, bool]]:
    """Run a save with each of these faults: how it ended, what is thought of it, and whether it was struck."""
    for fault in chosen:
        stage.reset()
        ended = stage.run(fault, paths)
        seen = stage.events()
        verdict = judged(stage.save, stage.folder, stage.facts, ended, seen)
        yield fault, ended, verdict, struck(fault, ended, seen)


def struck(fault: Fault, ended: Ended, events: Sequence[Event]) -> bool:
    """Whether the fault came to be, on a call on the save's own files."""
    if fault.how == "KILL":
        return ended.code == -9
    if fault.how == "short":
        placed = zip(events, faults.starts(events), strict=True)
        return any(start is not None and start + (event.result or 0) == fault.limit for event, start in placed)
    return any(event.injected for event in events)
