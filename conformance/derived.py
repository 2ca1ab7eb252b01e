"""Derived files put to an implementation: some hundred thousand, made on demand (see `recipes.derive`)."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .process import Implementation
from .recipes.derive import FAMILIES, LISTED, SEEDS
from .suite import CASES, ROOT
from .verdict import Outcome, outcome, told

VERDICTS = ROOT / "derived.json"
SECONDS = 5.0
MEMORY_MIB = 64
_SHOWN = 20  # failures of a family that are kept


@dataclass(slots=True)
class Derived:
    """What the files of one family that are derived of one case showed.

    Attributes:
        seed: Id of the case.
        family: One of `FAMILIES`.
        count: How many there are.
        asked: How many were put.
        skipped: How many of these were skipped.
        failures: The first ones that failed: number and why.
        failed: How many did.
    """

    seed: str
    family: str
    count: int = 0
    asked: int = 0
    skipped: int = 0
    failures: list[tuple[int, str]] = field(default_factory=list)
    failed: int = 0

    def fail(self, number: int, why: str) -> None:
        """Keep a failure."""
        self.failed += 1
        if self.failed <= _SHOWN:
            self.failures.append((number, why))


def made(seed: str, family: str) -> Iterator[bytes]:
    """The files of a family."""
    return FAMILIES[family]((CASES / f"{seed}.ptf").read_bytes())


def run(
    tested: Implementation, *, every: int = 1, slower: float = 1.0, progress: Callable[[int], None] | None = None
) -> Iterator[Derived]:
    """Have an implementation verify derived files, each one or every n-th.

    Args:
        tested: The implementation.
        every: Put the files 0, n, 2n, … of each family.
        slower: Times as many seconds as are allowed.
        progress: Called with 1 after each file.
    """
    listed: dict[str, Any] = json.loads(VERDICTS.read_bytes())
    for seed in SEEDS:
        for family in FAMILIES:
            done = Derived(seed, family)
            accepted = _accepted(listed, seed, family)
            for number, data in enumerate(made(seed, family)):
                done.count += 1
                if number % every:
                    continue
                done.asked += 1
                request = {"op": "verify", "id": f"{seed} {family} {number}", "data": base64.b64encode(data).decode()}
                found = _asked(tested, request, bool(accepted >> number & 1), slower)
                done.skipped += found.result == "skipped"
                if found.result == "failed":
                    done.fail(number, found.why)
                if progress:
                    progress(1)
            yield done


def _accepted(listed: dict[str, Any], seed: str, family: str) -> int:
    """A bit for each file: whether it is to be accepted."""
    return int(listed[seed][family], 16) if family in LISTED else 0


def _asked(tested: Implementation, request: Mapping[str, str], accepted: bool, slower: float) -> Outcome:
    def compared(answer: Mapping[str, Any]) -> tuple[str, tuple[str, ...]]:
        found, expected = answer["result"], "ok" if accepted else "reject"
        said = f"{found} {told(answer, 'code')}".rstrip()
        return "" if found == expected else f"{said}, expected {expected}", ()

    return outcome("verify", tested.ask(request, slower * SECONDS, MEMORY_MIB), compared, MEMORY_MIB)


def verdicts(verify: Callable[[bytes], bool], seeds: Sequence[str] = SEEDS) -> dict[str, Any]:
    """What `derived.json` holds, for a function that tells whether a file is accepted.

    Seed -> family -> a number in hexadecimal, whose bit `n` says whether file `n` is accepted.
    """
    return {seed: {family: _bits(map(verify, made(seed, family))) for family in LISTED} for seed in seeds}


def _bits(accepted: Iterable[bool]) -> str:
    return f"{sum(1 << number for number, one in enumerate(accepted) if one):x}"
