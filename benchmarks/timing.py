"""Interleaved timing: in each round every contestant once, in an order that rotates."""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")
Times = dict[str, list[float]]


def nothing(*_: Any) -> None:
    """What most contestants need before and after the clock."""


@dataclass(frozen=True)
class Contestant:
    """One way to do a piece of work. Only `work` is timed.

    Attributes:
        name: What the table calls it.
        work: Takes what `before` gave.
        before: Makes what one run needs, such as a fresh path.
        check: Takes what `before` gave and what `work` gave; raises when that is wrong. In the warm-up round only.
        after: Takes the same after every run, and removes what was written.
    """

    name: str
    work: Callable[[Any], Any]
    before: Callable[[], Any] = nothing
    check: Callable[[Any, Any], None] = nothing
    after: Callable[[Any, Any], None] = nothing


def race(contestants: Sequence[Contestant], rounds: int, *, warm: bool = True) -> Times:
    """Seconds of each contestant in each round; a first round that only warms caches and checks is not among them.

    Without `warm` there is no such round, and every run is checked: for work that takes minutes.
    """
    times: Times = {contestant.name: [] for contestant in contestants}
    assert len(times) == len(contestants), "two contestants have one name"
    for turn in range(rounds + warm):
        for contestant in rotated(contestants, turn):
            seconds = timed(contestant, check=not warm or turn == 0)
            if turn or not warm:
                times[contestant.name].append(seconds)
        print(".", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return times


def rotated(items: Sequence[T], turn: int) -> list[T]:
    """All of them, the turn-th first: each is first, last and in between equally often."""
    start = turn % len(items)
    return [*items[start:], *items[:start]]


def timed(contestant: Contestant, *, check: bool = False) -> float:
    """Seconds of one run. The cyclic collector stays on, as in any program, and has just run."""
    given = contestant.before()
    gc.collect()
    start = time.perf_counter()
    result = contestant.work(given)
    seconds = time.perf_counter() - start
    if check:
        contestant.check(given, result)
    contestant.after(given, result)
    return seconds


def speeds(times: Times, nbytes: int) -> Times:
    """GB/s of each run over so many bytes."""
    return {name: [nbytes / seconds / 1e9 for seconds in spent] for name, spent in times.items()}


def milliseconds(times: Times) -> Times:
    """Milliseconds of each run."""
    return {name: [1000 * seconds for seconds in spent] for name, spent in times.items()}
