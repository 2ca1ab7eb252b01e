"""Operations built so that what does nothing vanishes: the functions by which all expression trees are made.

Every function refuses (`ValueError`) what does not fit, and gives a tree of the same value as the one it was asked
for, but no larger.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .operations_exactness import EXACTNESS, cast_exactness, exactness, sources, walked
from .operations_nodes import (
    Add,
    Arange,
    Cast,
    Deinterleave,
    Fill,
    Flip,
    Fold,
    Given,
    Index,
    Interleave,
    Join,
    Operation,
    Pad,
    Part,
    Permute,
    Repeat,
    Reshape,
    Scale,
    Stack,
    Sum,
)
from .operations_text import described

__all__ = [
    "EXACTNESS",
    "Add",
    "Arange",
    "Cast",
    "Deinterleave",
    "Fill",
    "Flip",
    "Fold",
    "Given",
    "Index",
    "Interleave",
    "Join",
    "Operation",
    "Pad",
    "Part",
    "Permute",
    "Repeat",
    "Reshape",
    "Scale",
    "Stack",
    "Sum",
    "add",
    "add_up",
    "cast",
    "cast_exactness",
    "deinterleave",
    "described",
    "exactness",
    "flip",
    "fold",
    "index",
    "interleave",
    "join",
    "pad",
    "part",
    "permute",
    "repeat",
    "reshape",
    "scale",
    "sources",
    "stack",
    "walked",
]


def permute(of: Operation, perm: Sequence[int]) -> Operation:
    """The axes in another order: the i-th of the result is the `perm[i]`-th of `of`."""
    made = Permute(of, tuple(perm))
    if isinstance(of, Permute):
        return permute(of.of, [of.perm[axis] for axis in made.perm])
    if isinstance(of, Fill):
        return Fill(made.shape, of.dtype, of.value)
    return of if made.perm == tuple(range(len(of.shape))) else made


def reshape(of: Operation, shape: Sequence[int]) -> Operation:
    """The same elements in the same order under another shape."""
    made = Reshape(of, tuple(shape))
    if isinstance(of, Fill):
        return Fill(made.shape, of.dtype, of.value)
    if isinstance(of, Reshape):
        return reshape(of.of, made.shape)
    if made.shape == of.shape:
        return of
    if (plain := _without_ones(of, made.shape)) is not None:
        return plain
    if isinstance(of, Permute) and isinstance(of.of, Reshape) and _stays(of):
        return reshape(of.of, made.shape)
    return made


def _without_ones(of: Operation, shape: tuple[int, ...]) -> Operation | None:
    """The same without axes of one element that are inserted, moved about and taken out; None where there are none."""
    chain: list[Permute | Flip] = []
    while isinstance(of, (Permute, Flip)):
        chain.append(of)
        of = of.of
    if not chain or not isinstance(of, Reshape):
        return None
    given, left = of.of, len(of.of.shape)
    axes: list[int | None] = []  # of what is given, None for one that is inserted
    for size in reversed(of.shape):
        if left and given.shape[left - 1] == size:
            left -= 1
            axes.insert(0, left)
        elif size == 1:
            axes.insert(0, None)
        else:
            return None
    flipped: set[int | None] = set()
    for one in reversed(chain):
        if isinstance(one, Permute):
            axes = [axes[axis] for axis in one.perm]
        else:
            flipped ^= {axes[axis] for axis in one.axes}
    kept = [axis for axis in axes if axis is not None]
    if left or tuple(given.shape[axis] for axis in kept) != shape:
        return None
    return flip(permute(given, kept), [place for place, axis in enumerate(kept) if axis in flipped])


def _stays(op: Permute) -> bool:
    """Whether only axes of one element move."""
    moved = [axis for axis in op.perm if op.of.shape[axis] != 1]
    return moved == sorted(moved)


def part(of: Operation, axis: int, start: int, stop: int) -> Operation:
    """What lies between `start` and `stop` on an axis."""
    made = Part(of, axis, start, stop)
    if made.shape == of.shape:
        return of
    if isinstance(of, Fill):
        return Fill(made.shape, of.dtype, of.value)
    if isinstance(of, Part) and of.axis == axis:
        return part(of.of, axis, of.start + start, of.start + stop)
    if isinstance(of, Stack) and of.axis == axis and start < stop:
        return stack(of.of[start:stop], axis)
    if isinstance(of, Join) and of.axis == axis and start < stop:
        return join(_within(of, start, stop), axis)
    if isinstance(of, Pad) and of.axis == axis and of.before <= start and stop <= of.before + of.of.shape[axis]:
        return part(of.of, axis, start - of.before, stop - of.before)
    return made


def _within(of: Join, start: int, stop: int) -> list[Operation]:
    """What of each member lies between two places of the join."""
    found = []
    at = 0
    for member in of.of:
        size = member.shape[of.axis]
        low, high = max(start - at, 0), min(stop - at, size)
        if low < high:
            found.append(part(member, of.axis, low, high))
        at += size
    return found


def index(of: Operation, axis: int, at: int) -> Operation:
    """One place of an axis, which goes."""
    made = Index(of, axis, at)
    if isinstance(of, Fill):
        return Fill(made.shape, of.dtype, of.value)
    if isinstance(of, Stack) and of.axis == axis:
        return of.of[at]
    if isinstance(of, Part) and of.axis == axis:
        return index(of.of, axis, of.start + at)
    if isinstance(of, Join) and of.axis == axis:
        for member in of.of:
            if at < member.shape[axis]:
                return index(member, axis, at)
            at -= member.shape[axis]
    return reshape(of, made.shape) if of.shape[axis] == 1 else made


def join(of: Sequence[Operation], axis: int) -> Operation:
    """Tensors one after the other along an axis; parts that follow each other are one part again."""
    made = Join(tuple(of), axis)
    members: list[Operation] = []
    for one in made.of:
        for member in one.of if isinstance(one, Join) and one.axis == axis else (one,):
            if members and (grown := _grown(members[-1], member, axis)) is not None:
                members[-1] = grown
            else:
                members.append(member)
    if len(members) == 1:
        return members[0]
    if (filled := _filled(made)) is not None:
        return filled
    stacked = [one.of for one in members if isinstance(one, Reshape) and _inserts(one, axis)]
    if len(stacked) == len(members) and len({one.shape for one in stacked}) == 1:
        return stack(stacked, axis)
    return Join(tuple(members), axis)


def _grown(left: Operation, right: Operation, axis: int) -> Operation | None:
    """The part that two parts are together, or None."""
    if not isinstance(left, Part) or not isinstance(right, Part) or (left.axis, right.axis) != (axis, axis):
        return None
    if left.stop != right.start or left.of != right.of:
        return None
    return part(left.of, axis, left.start, right.stop)


def _filled(made: Join | Stack) -> Fill | None:
    """One value everywhere, where that is what all members are."""
    values = {repr(one.value) if isinstance(one, Fill) else None for one in made.of}
    first = made.of[0]
    return Fill(made.shape, made.dtype, first.value) if isinstance(first, Fill) and len(values) == 1 else None


def _inserts(op: Reshape, axis: int) -> bool:
    """Whether all that is done is to insert this axis, of one element."""
    return op.shape[axis] == 1 and op.shape[:axis] + op.shape[axis + 1 :] == op.of.shape


def stack(of: Sequence[Operation], axis: int) -> Operation:
    """Tensors of one shape along a new axis; all places of one tensor in order are that tensor again."""
    made = Stack(tuple(of), axis)
    first = made.of[0]
    if len(made.of) == 1:
        return reshape(first, made.shape)
    if (filled := _filled(made)) is not None:
        return filled
    if isinstance(first, Index) and first.axis == axis:
        wanted = tuple(range(first.at, first.at + len(made.of)))
        found = [one.at for one in made.of if isinstance(one, Index) and one.axis == axis and one.of == first.of]
        if tuple(found) == wanted:
            return part(first.of, axis, first.at, first.at + len(found))
    return made


def flip(of: Operation, axes: Sequence[int]) -> Operation:
    """Axes reversed."""
    made = Flip(of, tuple(axes))
    if isinstance(of, Fill):
        return of
    if isinstance(of, Flip):
        return flip(of.of, sorted(set(of.axes) ^ set(made.axes)))
    moved = tuple(sorted(axis for axis in made.axes if of.shape[axis] > 1))
    return Flip(of, moved) if moved else of


def add_up(of: Sequence[Operation]) -> Operation:
    """Tensors of one shape added, and rounded once."""
    made = Sum(tuple(of))
    return made.of[0] if len(made.of) == 1 else made


def scale(of: Operation, factor: float) -> Operation:
    """Every element times a finite number other than 0."""
    made = Scale(of, float(factor))
    return of if made.factor == 1 else made


def add(of: Operation, addend: float) -> Operation:
    """A finite number added to every element."""
    made = Add(of, float(addend))
    return of if made.addend == 0 else made


def interleave(of: Operation, axis: int, parts: int) -> Operation:
    """`parts` blocks of an axis, a0 a1 ... b0 b1 ..., as a0 b0 a1 b1 ..."""
    return _woven(Interleave(of, axis, parts), Deinterleave)


def deinterleave(of: Operation, axis: int, parts: int) -> Operation:
    """What undoes `interleave`: a0 b0 a1 b1 ... as `parts` blocks."""
    return _woven(Deinterleave(of, axis, parts), Interleave)


def _woven(made: Interleave | Deinterleave, undoes: type[Any]) -> Operation:
    of = made.of
    if made.parts in (1, of.shape[made.axis]):
        return of
    if isinstance(of, undoes) and (of.axis, of.parts) == (made.axis, made.parts):
        inner: Operation = of.of
        return inner
    return made


def pad(of: Operation, axis: int, before: int, after: int, value: int | float = 0) -> Operation:
    """A value put before and after what an axis has."""
    made = Pad(of, axis, before, after, value)
    return made if before or after else of


def repeat(of: Operation, axis: int, times: int, *, each: bool) -> Operation:
    """An axis several times: each element beside its copies, or all of it again."""
    made = Repeat(of, axis, times, each)
    return of if times == 1 else made


def cast(of: Operation, dtype: str) -> Operation:
    """Another element type."""
    return of if dtype == of.dtype else Cast(of, dtype)


def fold(of: Operation, u: Operation, v: Operation, axis: int = 0) -> Operation:
    """A weight divided by its spectral norm, which the vectors of the power iteration give."""
    return Fold(of, u, v, axis)
