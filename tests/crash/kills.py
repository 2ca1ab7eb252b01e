"""Saves that are killed at random times, without strace: as they run in life."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

from .child import Child
from .judging import judged
from .runs import Stage, Tally, staged
from .saves import SAVES, Save

# New names and old ones, single files and directories.
NAMES = ("new, planes", "old, raw", "old, auto", "old, large, memory", "new, sharded", "old, sharded")
KILLED = tuple(save for save in SAVES if save.name in NAMES)
_TIMED = 7
_LONGER = 1.05  # than the slowest of those that were timed: some kills come too late


def kill(save: Save, disk: Path, memory: Path, count: int, seed: int) -> Tally:
    """Kill a save `count` times, at times uniform over how long it takes; runs that end before are extra."""
    start = time.monotonic()
    tally = Tally(f"kill: {save.name}")
    times = random.Random(f"{seed} {save.name}")
    with staged(save, disk, memory) as stage:
        longest = max(_timed(stage) for _ in range(_TIMED)) * _LONGER
        tally.counts["microseconds"] = int(longest * 1e6)
        while tally.counts["killed"] < count:
            stage.reset()
            after = times.uniform(0, longest)
            child = Child(lambda: save.act(stage.folder))
            child.go()
            time.sleep(after)
            os.kill(child.pid, signal.SIGKILL)  # it is there, if only as a zombie, until it is waited for
            ended = child.ended()
            tally.add(f"killed after {after * 1e3:.3f} ms", ended, judged(save, stage.folder, stage.facts, ended))
    tally.seconds = time.monotonic() - start
    return tally


def _timed(stage: Stage) -> float:
    stage.reset()
    child = Child(lambda: stage.save.act(stage.folder))
    start = time.monotonic()
    child.go()
    child.ended()
    return time.monotonic() - start
