"""The plan of a conversion: a step per target tensor, made before anything is read, printed, saved."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ptformat.columns import Header
from ptformat.tree import Alias, Entry, TensorInfo

from . import operations_json
from .conventions import Axes
from .layout import Condition
from .operations import Given, Operation, Permute, described, exactness, sources


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
    """

    target: TensorInfo
    made: Operation
    evidence: str
    shown_target: str
    shown_source: str
    source_axes: Axes | None = None
    guess: str = ""

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
        return exactness(self.made)

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
            return "nothing is guessed"
        if len(self.steps) == 1:
            return "it rests on a guess"
        return f"{guesses} of them {'rests' if guesses == 1 else 'rest'} on a guess"

    def text(self) -> str:
        """Table and report in aligned columns."""
        rows = self.table()
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
        return "\n".join([line.rstrip() for line in [*lines, *self.report()]])

    def to_json(self) -> dict[str, Any]:
        """The plan as JSON values: what a program needs to know of every step."""
        steps = [
            {
                "target": step.target.path,
                "dtype": step.target.dtype,
                "shape": list(step.target.shape),
                "sources": {given.path: list(given.shape) for given in step.sources},
                "made": operations_json.to_json(step.made),
                "exactness": step.exactness,
                "evidence": step.evidence,
                "guess": step.guess or None,
            }
            for step in self.steps.values()
        ]
        aliases = [
            {"target": entry.path, "of": entry.target, "perm": entry.perm and list(entry.perm)}
            for entry in self.entries
            if isinstance(entry, Alias)
        ]
        return {
            "source": self.source,
            "from": self.origin,
            "to": self.goal,
            "undone": self.undone,
            "conditions": [{"zero": operations_json.to_json(each.made), "why": each.text} for each in self.conditions],
            "configuration": self.configuration,
            "steps": steps,
            "aliases": aliases,
            "tied": self.tied,
            "kept": self.kept,
            "dropped": self.dropped,
            "notes": self.notes,
        }


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
