"""Operations that a user asks for on source tensors, such as `deinterleave(0, 2, 128) | scale(0.125)`.

They are carried out one after the other on the tensor as the source has it, before its layout is changed: axes and
sizes are the source's. An axis is a number from 0 on. What stands in brackets may be left out.

    operation                          what it does                                         what undoes it
    permute(AXIS, ...)                 axes in another order; all of them are named         permute
    reshape(SIZE, ...)                 the same elements in the same order                  reshape
    flip(AXIS, ...)                    axes backwards                                       flip
    part(AXIS, START, STOP)            what lies between two places                         nothing
    truncate(AXIS, STOP)               the first places, such as rows of a vocabulary       nothing
    index(AXIS, AT)                    one place of an axis, which goes                     nothing
    pad(AXIS, BEFORE, AFTER[, VALUE])  0, or a value, before and after                      part, truncate
    repeat(AXIS, TIMES[, RUN])         each place, or run of places, beside its copies      unrepeat
    unrepeat(AXIS, TIMES[, RUN])       the first of every TIMES places or runs              repeat, where they are equal
    tile(AXIS, TIMES)                  all of an axis again                                 truncate
    interleave(AXIS, PARTS[, RUN])     a0 a1 ... b0 b1 ... becomes a0 b0 a1 b1 ...          deinterleave
    deinterleave(AXIS, PARTS[, RUN])   a0 b0 a1 b1 ... becomes a0 a1 ... b0 b1 ...          interleave
    scale(FACTOR)                      every element times a number: rounded                scale of 1 / FACTOR
    add(NUMBER)                        a number added to every element: rounded             add of -NUMBER
    cast(DTYPE)                        another element type: as exact as that is            cast

With RUN, each run of so many places is treated by itself, such as the rows of one head: `repeat(0, 4, 64)` gives each
head of 64 rows four times. `{name}` stands for a fact. What makes one tensor of several (joining, stacking, adding up)
belongs to kinds and stacks; constants for what a template has beside the source, to `missing`; ties, to the source.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any

from ptformat.dtypes import named
from ptformat.errors import FormatError
from ptformat.tree import Alias

from . import operations as ops
from .operations import Operation
from .survey import Leaf, Survey

Calls = list[tuple[str, list[Any]]]
Facts = Mapping[str, object]
Shown = Callable[[str], str]
Noted = Callable[[str, str, str], None]
_CALL = re.compile(r"\s*(\w+)\(([^()]*)\)\s*(?:\||$)")
_FACT = re.compile(r"\{(\w*)\}")
_NUMBER = (int, float)


def _runs(of: Operation, axis: int, run: int) -> Operation:
    """An axis as two: how many runs, and the places of one."""
    shape = of.shape
    if not 0 <= axis < len(shape) or run < 1 or shape[axis] % run:
        raise ValueError(f"axis {axis} of {shape} has no whole number of runs of {run}")
    return ops.reshape(of, (*shape[:axis], shape[axis] // run, run, *shape[axis + 1 :]))


def _weave(weave: Callable[..., Operation], of: Operation, axis: int, parts: int, run: int) -> Operation:
    return weave(of, axis, parts) if not run else ops.reshape(weave(_runs(of, axis, run), axis + 1, parts), of.shape)


def _repeat(of: Operation, axis: int, times: int, run: int = 1) -> Operation:
    if run == 1:
        return ops.repeat(of, axis, times, each=True)
    made = ops.repeat(_runs(of, axis, run), axis, times, each=True)
    return ops.reshape(made, (*of.shape[:axis], of.shape[axis] * times, *of.shape[axis + 1 :]))


def _unrepeat(of: Operation, axis: int, times: int, run: int = 1) -> Operation:
    if times < 1:
        raise ValueError(f"{times} times")
    made = ops.part(_runs(of, axis, times * run), axis + 1, 0, run)
    return ops.reshape(made, (*of.shape[:axis], of.shape[axis] // times, *of.shape[axis + 1 :]))


@dataclass(frozen=True, slots=True)
class _Named:
    """An operation: what makes it, the types of its arguments, how many there must be, what undoes it."""

    make: Callable[..., Operation]
    arguments: tuple[type | tuple[type, ...], ...]
    least: int
    undo: Callable[..., tuple[str, list[Any]]] | None = None


def _undone_permute(*perm: int) -> tuple[str, list[Any]]:
    if sorted(perm) != list(range(len(perm))):
        raise ValueError(f"permute: {perm} is no order of axes")
    return "permute", [perm.index(axis) for axis in range(len(perm))]


def _undone_scale(factor: float) -> tuple[str, list[Any]]:
    if not factor:
        raise ValueError("scale: factor 0")
    return "scale", [1 / factor]


_ANY: tuple[type, ...] = (int,) * 64  # as many axes as a file's tensors may have
OPERATIONS: dict[str, _Named] = {
    "permute": _Named(lambda of, *perm: ops.permute(of, perm), _ANY, 0, _undone_permute),
    "reshape": _Named(lambda of, *shape: ops.reshape(of, shape), _ANY, 0),
    "flip": _Named(lambda of, *axes: ops.flip(of, axes), _ANY, 0, lambda *axes: ("flip", [*axes])),
    "part": _Named(ops.part, (int, int, int), 3),
    "truncate": _Named(lambda of, axis, stop: ops.part(of, axis, 0, stop), (int, int), 2),
    "index": _Named(ops.index, (int, int), 2),
    "pad": _Named(ops.pad, (int, int, int, _NUMBER), 3),
    "repeat": _Named(_repeat, (int, int, int), 2),
    "unrepeat": _Named(_unrepeat, (int, int, int), 2),
    "tile": _Named(lambda of, axis, times: ops.repeat(of, axis, times, each=False), (int, int), 2),
    "interleave": _Named(
        lambda of, axis, parts, run=0: _weave(ops.interleave, of, axis, parts, run),
        (int, int, int),
        2,
        lambda *given: ("deinterleave", [*given]),
    ),
    "deinterleave": _Named(
        lambda of, axis, parts, run=0: _weave(ops.deinterleave, of, axis, parts, run),
        (int, int, int),
        2,
        lambda *given: ("interleave", [*given]),
    ),
    "scale": _Named(ops.scale, (_NUMBER,), 1, _undone_scale),
    "add": _Named(ops.add, (_NUMBER,), 1, lambda addend: ("add", [-addend])),
    "cast": _Named(ops.cast, (str,), 1),
}
_ELEMENTWISE = ("scale", "add", "cast")


def parsed(text: str, facts: Facts | None = None) -> Calls:
    """Operations and their arguments from text such as `deinterleave(0, 2) | scale(0.125)`.

    Args:
        text: The operations.
        facts: What stands in the text as `{name}`; without them 1 does, which is for checking the text.

    Raises:
        ValueError: For what is no such text: an unknown name, too few or too many arguments, or of another type.
        LookupError: With the first `{name}` that is no fact, or none that is a number.
    """
    text = _filled(text, facts)
    result: Calls = []
    at = 0
    while at < len(text):
        call = _CALL.match(text, at)
        if call is None or call[1] not in OPERATIONS:
            known = ", ".join(OPERATIONS)
            raise ValueError(f"{text!r}: {text[at:].strip()!r} is no operation, expected NAME(NUMBERS) with {known}")
        items = [_argument(text, item.strip()) for item in call[2].split(",")] if call[2].strip() else []
        _check(text, call[1], items)
        result.append((call[1], items))
        at = call.end()
    if not result or text.rstrip().endswith("|"):
        raise ValueError(f"{text!r}: an operation is missing")
    return result


def _argument(text: str, item: str) -> int | float | str:
    for number in (int, float):
        try:
            return number(item)
        except ValueError:
            continue
    if re.fullmatch(r"[a-z]\w*", item):
        return item  # a dtype
    raise ValueError(f"{text!r}: {item!r} is no number")


def _check(text: str, name: str, given: list[Any]) -> None:
    kinds, least = OPERATIONS[name].arguments, OPERATIONS[name].least
    if not least <= len(given) <= len(kinds):
        count = str(least) if least == len(kinds) else f"{least} to {len(kinds)}"
        raise ValueError(f"{text!r}: {name} takes {count} arguments, not {len(given)}")
    for value, kind in zip(given, kinds, strict=False):
        if not isinstance(value, kind):
            expected = "a dtype" if kind is str else "an integer" if kind is int else "a number"
            raise ValueError(f"{text!r}: {name} takes {expected}, not {value!r}")
    if name == "cast":
        try:
            named(given[0])
        except FormatError as error:
            raise ValueError(f"{text!r}: {error.message}") from None


def _filled(text: str, facts: Facts | None) -> str:
    def number(found: re.Match[str]) -> str:
        value = str((facts or {}).get(found[1]))
        if not re.fullmatch(r"[-+.\deE]+", value):  # a file's metadata may say anything at all
            raise LookupError(found[1])
        return value

    return _FACT.sub("1" if facts is None else number, text)


def undone(calls: Calls) -> Calls:
    """What undoes operations that keep every element.

    Raises:
        ValueError: With the first of them that does not tell how it is undone.
    """
    result: Calls = []
    for name, arguments in reversed(calls):
        undo = OPERATIONS[name].undo
        if undo is None:
            known = ", ".join(other for other, each in OPERATIONS.items() if each.undo)
            raise ValueError(f"{name} cannot be undone without more being said, expected {known}")
        result.append(undo(*arguments))
    return result


@dataclass(frozen=True, slots=True)
class Rule:
    """Operations for the tensors that a glob matches.

    Attributes:
        glob: Of paths as the source writes them.
        text: The operations.
        who: Who asks for them, in messages; `--apply` is the user.
        back: Whether they are to be undone instead.
    """

    glob: str
    text: str
    who: str = "--apply"
    back: bool = False

    def __str__(self) -> str:
        return f"{self.who} '{self.glob}={self.text}'{' undone' if self.back else ''}"


class Applied:
    """Rules, carried out on the leaves of a survey one after the other.

    Args:
        rules: Those of `--apply` must match something, and one of each dialect's.
        facts: What stands in their texts as `{name}`.

    Raises:
        ValueError: For a text that is no operations.
    """

    def __init__(self, rules: Sequence[Rule], facts: Facts | None = None) -> None:
        self.rules: list[tuple[Rule, Calls | str]] = []
        for rule in rules:
            parsed(rule.text)
            try:
                calls = parsed(rule.text, facts or {})
                self.rules.append((rule, undone(calls) if rule.back else calls))
            except LookupError as error:
                self.rules.append((rule, str(error.args[0])))

    def to(self, survey: Survey, shown: Shown, problem: Noted) -> None:
        """Change how matching leaves are made; what does not fit, or matches nothing, is a problem."""
        if not self.rules:
            return
        matching = {leaf.path: self._matching(shown(leaf.path)) for leaf in survey.leaves}
        changed = {id(leaf): self._changed(leaf, matching, shown, problem) for leaf in survey.leaves}
        survey.leaves = [changed[id(leaf)] for leaf in survey.leaves]
        survey.loose = [changed[id(leaf)] for leaf in survey.loose]
        for module in survey.modules.values():
            module.leaves = {at: changed[id(leaf)] for at, leaf in module.leaves.items()}
        used = {self.rules[row][0] for rows in matching.values() for row in rows}
        for rule, _ in self.rules:
            if rule.who == "--apply" and rule not in used:
                problem("unused", rule.glob, f"{rule} matches no tensor")
        for who in {rule.who: None for rule, _ in self.rules if rule.who.startswith("dialect")}:
            if not any(rule.who == who for rule in used):
                globs = ", ".join(rule.glob for rule, _ in self.rules if rule.who == who)
                problem("unused", "", f"the {who} concerns no tensor: none is called {globs}")

    def _matching(self, name: str) -> list[int]:
        return [row for row, (rule, _) in enumerate(self.rules) if fnmatchcase(name, rule.glob)]

    def _changed(self, leaf: Leaf, matching: Mapping[str, list[int]], shown: Shown, problem: Noted) -> Leaf:
        made, rows = leaf.made, matching[leaf.path]
        if isinstance(leaf.entry, Alias):
            own = [name for row in rows if isinstance(calls := self.rules[row][1], list) for name, _ in calls]
            moved = leaf.entry.perm is not None and any(name not in _ELEMENTWISE for name in own)
            if moved or rows != matching.get(leaf.entry.target, rows):
                both = f"{shown(leaf.path)} is tied to {shown(leaf.entry.target)}"
                rules = " and ".join(str(self.rules[row][0]) for row in {*rows, *matching.get(leaf.entry.target, ())})
                why = "whose axes are in another order" if moved else "and only one of them would be changed"
                problem("contradiction", leaf.path, f"{both}, {why}: {rules}")
                return leaf
        for rule, calls in (self.rules[row] for row in rows):
            if isinstance(calls, str):
                text = f"{rule} on {shown(leaf.path)}: nothing tells {calls}. Say --fact {calls}=N"
                problem("ambiguous", leaf.path, text)
                return leaf
            try:
                for name, arguments in calls:
                    made = OPERATIONS[name].make(made, *arguments)
            except ValueError as error:
                problem("shape", leaf.path, f"{rule} on {shown(leaf.path)} {leaf.shape}: {error}")
                return leaf
        return replace(leaf, made=made)
