"""What keeps a conversion from running: every problem of one plan, at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ptformat.errors import bounded


@dataclass(frozen=True, slots=True)
class Problem:
    """One reason.

    Attributes:
        kind: `missing`, `unexpected`, `shape`, `dtype`, `ambiguous`, `contradiction`, `unsupported`, `unused` or
            `guess`.
        path: The tensor or module concerned, as its framework writes it.
        text: What is wrong, what was found and expected, and what to try.
    """

    kind: str
    path: str
    text: str

    def __str__(self) -> str:
        return f"{self.kind:<13} {bounded(self.text)}"


class ConversionError(ValueError):
    """A conversion that cannot be planned.

    Attributes:
        problems: All of them.
    """

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        count = len(self.problems)
        head = f"{count} problem{'s' if count > 1 else ''}, nothing written"
        super().__init__("\n  ".join([head, *map(str, self.problems)]))

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle with the problems."""
        return ConversionError, (self.problems,)
