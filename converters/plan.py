"""The plan of a conversion: a step per target tensor, made before anything is read, printed, saved."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ptformat.columns import Header
from ptformat.tree import Alias, Entry, TensorInfo

from .conventions import Axes
from .layout import Condition
from .operations import EXACTNESS, Given, Operation, Permute, described, exactness, sources


@dataclass(frozen=True, slots=True)
class Step:
    """How one target tensor is made.

    Attributes:
        target: The tensor as it will be.
        made: The operations on source tensors that make it.
        evidence: Why it is made so.
        shown_target: The target's path as its framework writes it.
        shown_source: The source's; of several, the first and how many more.
        source_axes: What the axes of the one source mean, where known.
        guess: What else the module might be; empty where nothing else fits.
        grade: How exact it is at best, where its operations do not tell: zeros stand for what was added to another.
    """

    target: TensorInfo
    made: Operation
    evidence: str
    shown_target: str
    shown_source: str
    source_axes: Axes | None = None
    guess: str = ""
    grade: str = "bit"

    @property
    def sources(self) -> tuple[Given, ...]:
        """The tensors that it is made of, without those that are kept from the template."""
        return tuple(given for given in sources(self.made) if not given.kept)

    @property
    def source(self) -> str | None:
        """Path of the first tensor that it is made of, or None where there is none."""
        return next((given.path for given in self.sources), None)

    @property
    def source_shape(self) -> tuple[int, ...]:
        """Shape of the first tensor that it is made of."""
        return next((given.shape for given in self.sources), ())

    @property
    def perm(self) -> tuple[int, ...] | None:
        """The permutation of axes that is all that happens to its one source, or None where more does."""
        if isinstance(self.made, Given):
            return identity(len(self.made.shape))
        return self.made.perm if isinstance(self.made, Permute) and isinstance(self.made.of, Given) else None

    @property
    def exactness(self) -> str:
        """`bit`, `function` (the same function of other tensors), `rounded` or `lossy`."""
        return max(self.grade, exactness(self.made), key=EXACTNESS.index)

    @property
    def operation(self) -> str:
        """Such as `(out, in) → (in, out)`; empty where nothing moves."""
        return described(self.made, self.source_axes)


@dataclass(slots=True)
class Plan:
    """A conversion that can be run.

    Attributes:
        source: What is converted, by name.
        origin: The convention it comes from, as the user names it.
        goal: The convention it goes to.
        entries: The target's entries in order.
        steps: Target path -> step, for every tensor among them.
        header: What is said of the whole target file.
        tied: A line for every tie that is collapsed, kept or spelled out.
        kept: A line for every tensor kept aside in `buffers`.
        dropped: A line for every tensor that is not carried over, and why.
        notes: Further lines.
        dropped_paths: Source paths of what is dropped.
        collapsed: Source aliases that have no entry of their own in the target.
        undone: Whether the plan undoes a recorded conversion.
        conditions: What must be zero in the source, or nothing is written.
        configuration: A line for everything that is no weight and that the target must be built with.
        differs: A line for everything of that which the template says otherwise.
        template: The template, by name, or None.
        given_header: What is said of the whole source.
        given: The source's entries, for the way back; empty where nobody said.
    """

    source: str
    origin: str
    goal: str
    entries: list[Entry] = field(default_factory=list)
    steps: dict[str, Step] = field(default_factory=dict)
    header: Header = field(default_factory=Header)
    tied: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    dropped_paths: list[str] = field(default_factory=list)
    collapsed: list[Alias] = field(default_factory=list)
    undone: bool = False
    conditions: list[Condition] = field(default_factory=list)
    configuration: list[str] = field(default_factory=list)
    differs: list[str] = field(default_factory=list)
    template: str | None = None
    given_header: Header = field(default_factory=Header)
    given: list[Entry] = field(default_factory=list)

    @property
    def nbytes(self) -> int:
        """Bytes of all target tensors."""
        return sum(step.target.nbytes for step in self.steps.values())

    @property
    def guesses(self) -> list[Step]:
        """The steps whose module might be something else."""
        return [step for step in self.steps.values() if step.guess]

    def table(self) -> list[tuple[str, ...]]:
        """Rows of text, headings first: target, shape, source, shape, operation, because."""
        rows: list[tuple[str, ...]] = [("target", "shape", "source", "shape", "operation", "because")]
        told = ""
        for step in self.steps.values():
            because = f"guess: {step.evidence}; it may be {step.guess}" if step.guess else step.evidence
            because, told = "" if because == told else because, because
            shape = str(step.source_shape) if len(step.sources) == 1 else ""
            rows.append((step.shown_target, str(step.target.shape), step.shown_source, shape, step.operation, because))
        return rows

    def report(self) -> list[str]:
        """The lines after the table: ties, what is kept aside or dropped, notes, and how sure it all is."""
        lines = [f"{'tied':<10}{line}" for line in self.tied]
        lines += [f"{'kept':<10}{line}" for line in self.kept]
        lines += [f"{'dropped':<10}{line}" for line in _grouped(self.dropped)]
        lines += [f"{'note':<10}{line}" for line in self.notes]
        lines += [f"{'only if':<10}{line}" for line in dict.fromkeys(c.text for c in self.conditions)]
        lines += [f"{'set':<10}{line}" for line in self.configuration]
        lines += [f"{'differs':<10}{line}" for line in self.differs]
        return [*lines, f"{self._exact()}; {self._guessed()}"]

    def _exact(self) -> str:
        """How exact the steps are, in words."""
        count = len(self.steps)
        counts = Counter(step.exactness for step in self.steps.values())
        if counts["bit"] == count:
            return "the step is exact" if count == 1 else f"all {count} steps are exact"
        words = {
            "bit": "exact",
            "function": "the same function of other tensors",
            "rounded": "rounded",
            "lossy": "lossy",
        }
        return f"of {count} steps " + ", ".join(
            f"{counts[each]} {'is' if counts[each] == 1 else 'are'} {word}"
            for each, word in words.items()
            if counts[each]
        )

    def _guessed(self) -> str:
        guesses = len(self.guesses)
        if not guesses:
            noted = any(note.startswith("guess: ") for note in self.notes)
            return "the dialect is a guess" if noted else "nothing is guessed"
        if len(self.steps) == 1:
            return "it rests on a guess"
        return f"{guesses} of them {'rests' if guesses == 1 else 'rest'} on a guess"

    def text(self) -> str:
        """Table and report in aligned columns."""
        rows = self.table()
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
        return "\n".join([line.rstrip() for line in [*lines, *self.report()]])

    def inverse(self) -> Plan:
        """The plan that makes the source of what this one makes.

        What was dropped does not come back, and is told; torch's count of batches comes back as 0. Two tensors that
        were added come back as their sum and zeros: the same function, which the steps' evidence says.

        Returns:
            A plan over the tensors that this one makes.

        Raises:
            ConversionError: `lossy`, with each tensor of the source that they do not give back, and why.
        """
        from .plan_inverse import inverse_of

        return inverse_of(self)

    def to_json(self) -> dict[str, Any]:
        """The whole plan as JSON values, to be looked at, changed and run again: see `plan_json`."""
        from .plan_json import to_json

        return to_json(self)


def _grouped(lines: Sequence[str]) -> list[str]:
    """Lines of the form `what: why`, those of one reason in one line where there are more than three."""
    groups: dict[str, list[str]] = {}
    for line in lines:
        what, _, why = line.partition(": ")
        groups.setdefault(why, []).append(what)
    return [
        line
        for why, what in groups.items()
        for line in (
            [f"{', '.join(what[:2])} and {len(what) - 2} more: {why}"]
            if len(what) > 3
            else [f"{one}: {why}" for one in what]
        )
    ]


def identity(rank: int) -> tuple[int, ...]:
    """The permutation that moves nothing."""
    return tuple(range(rank))


def inverse(perm: Sequence[int]) -> tuple[int, ...]:
    """The permutation that undoes `perm`."""
    result = [0] * len(perm)
    for place, axis in enumerate(perm):
        result[axis] = place
    return tuple(result)


def compose(first: Sequence[int], then: Sequence[int]) -> tuple[int, ...]:
    """The permutation that is `first`, then `then`."""
    return tuple(first[axis] for axis in then)
