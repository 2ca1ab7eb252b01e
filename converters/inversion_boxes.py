"""What is known of a tensor box by box, and how it is put together."""

from __future__ import annotations

import itertools
import math
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from . import operations as o
from .evaluate_reshape import cover_of, cut, grouped

Shape = tuple[int, ...]
Box = tuple[tuple[int, int], ...]  # (start, stop) of each axis
Owners = npt.NDArray[Any]  # of each cell: the place of what is known of it, or -1
MAX_CELLS = 2**16  # into which the boxes divide a tensor
MAX_SCATTERED = 2**12  # boxes of a reshaped tensor that one box is


class Scattered(ValueError):
    """A box that is too many boxes."""


@dataclass(frozen=True, slots=True)
class Known:
    """What a box of some tensor is, said by the targets.

    Attributes:
        box: Where in the tensor.
        op: What it is, of the box' shape.
        grade: How exactly, as a place in `EXACTNESS`.
        sums: The sums that it was taken from, by number.
        place: Of the first target that says it.
    """

    box: Box
    op: o.Operation
    grade: int = 0
    sums: frozenset[int] = frozenset()
    place: int = 0


@dataclass(frozen=True, slots=True)
class Whole:
    """A tensor put together.

    Attributes:
        known: All of it.
        beaten: Sums that say something of it as well, and were not asked, for it is known without a sum.
        broken: Sums of which it is taken although something else is known of it, or not taken although another is:
            what they and the others are made of cannot all be had again.
    """

    known: Known
    beaten: frozenset[int] = frozenset()
    broken: frozenset[int] = frozenset()


def everything(shape: Shape) -> Box:
    """The box that is all of a tensor."""
    return tuple((0, size) for size in shape)


def shifted(box: Box, axis: int, by: int) -> Box:
    """The box moved along an axis."""
    start, stop = box[axis]
    return (*box[:axis], (start + by, stop + by), *box[axis + 1 :])


def put_together(node: o.Operation, known: Sequence[Known]) -> Whole | None:
    """All of a tensor from its boxes: the most exact of each place, then the first; None where a place is unknown."""
    if not node.count:
        return Whole(Known(everything(node.shape), o.Fill(node.shape, node.dtype, 1)))
    if len(known) == 1 and known[0].box == everything(node.shape):
        return Whole(known[0])
    cuts, owners = _owners(node.shape, known)
    if owners.size == 0 or (owners < 0).any():
        return None
    used = [known[place] for place in np.unique(owners)]
    op = _joined(known, cuts, owners, everything(owners.shape), 0)
    beaten, broken = _unasked(known, cuts, owners)
    grade = max(one.grade for one in used)
    sums = frozenset[int]().union(*(one.sums for one in used))
    first = min(one.place for one in used)
    return Whole(Known(everything(node.shape), op, grade, sums, first), beaten, broken)


def missing(shape: Shape, known: Sequence[Known]) -> Box | None:
    """The smallest box that holds all places of which nothing is known; None where that is all of them."""
    cuts, owners = _owners(shape, known)
    if not known or owners.size == 0 or not (owners < 0).any():
        return None
    places = np.argwhere(owners < 0)
    low, high = places.min(axis=0).tolist(), places.max(axis=0).tolist()
    return tuple((at[first], at[last + 1]) for at, first, last in zip(cuts, low, high, strict=True))


def _owners(shape: Shape, known: Sequence[Known]) -> tuple[list[list[int]], Owners]:
    """Where the boxes cut each axis, and whose each of the cells between is; no cells where they are too many."""
    cuts = [sorted({0, size}.union(*(one.box[axis] for one in known))) for axis, size in enumerate(shape)]
    cells = [len(at) - 1 for at in cuts]
    if math.prod(cells) > MAX_CELLS:
        return cuts, np.empty(0, np.int64)
    owners = np.full(cells, -1)
    order = sorted(range(len(known)), key=lambda at: (known[at].grade, known[at].place, at))
    for place in reversed(order):
        owners[_cells(known[place], cuts)] = place
    return cuts, owners


def _cells(known: Known, cuts: list[list[int]]) -> tuple[slice, ...]:
    return tuple(
        slice(bisect_left(at, start), bisect_left(at, stop)) for (start, stop), at in zip(known.box, cuts, strict=True)
    )


def _unasked(known: Sequence[Known], cuts: list[list[int]], owners: Owners) -> tuple[frozenset[int], frozenset[int]]:
    """The sums beaten by what is known without a sum, and those taken where something else is known as well."""
    beaten: set[int] = set()
    broken: set[int] = set()
    if any(one.sums for one in known):
        for place, one in enumerate(known):
            for owner in np.unique(owners[_cells(one, cuts)]):
                taken = known[owner].sums
                if owner != place and taken:
                    broken |= taken | one.sums
                elif owner != place:
                    beaten |= one.sums
    return frozenset(beaten), frozenset(broken)


def _joined(known: Sequence[Known], cuts: list[list[int]], owners: Owners, cells: Box, axis: int) -> o.Operation:
    """What a box of cells is: equal slabs of an axis together, and within each the next axis."""
    held = owners[tuple(slice(*ends) for ends in cells)]
    first = known[int(held.flat[0])]
    if (held == held.flat[0]).all():
        op = first.op
        for place, ((low, high), at) in enumerate(zip(cells, cuts, strict=True)):
            start = first.box[place][0]
            op = o.part(op, place, at[low] - start, at[high] - start)
        return op
    slabs = np.moveaxis(held, axis, 0)
    changes = [at for at in range(1, len(slabs)) if (slabs[at] != slabs[at - 1]).any()]
    start = cells[axis][0]
    ends = itertools.pairwise([start, *(start + at for at in changes), cells[axis][1]])
    return o.join(
        [_joined(known, cuts, owners, (*cells[:axis], one, *cells[axis + 1 :]), axis + 1) for one in ends], axis
    )


def through_reshape(old: Shape, new: Shape, known: Known) -> Iterator[Known]:
    """What a box of a reshaped tensor says of the tensor before.

    Raises:
        Scattered: Where it says it of more than `MAX_SCATTERED` boxes.
    """
    for count, (box, op) in enumerate(_reshaped(old, new, known.box, known.op)):
        if count >= MAX_SCATTERED:
            raise Scattered
        yield replace(known, box=box, op=op)


def _reshaped(old: Shape, new: Shape, box: Box, op: o.Operation) -> Iterator[tuple[Box, o.Operation]]:
    if box == everything(new):
        yield everything(old), o.reshape(op, old)
        return
    groups = list(grouped(old, new))
    covers = [cover_of(after, box[first : first + len(after)], first) for _, after, first in groups]
    wasteful = max(covers, key=lambda cover: cover.waste)
    if wasteful.waste > 1:
        axis = wasteful.axis
        start, stop = box[axis]
        for at in range(start, stop):
            inner = (*box[:axis], (at, at + 1), *box[axis + 1 :])
            yield from _reshaped(old, new, inner, o.part(op, axis, at - start, at - start + 1))
        return
    flat = o.reshape(op, [cover.stop - cover.start for cover in covers])
    runs = [list(_runs(before, one.start, one.stop)) for (before, _, _), one in zip(groups, covers, strict=True)]
    for chosen in itertools.product(*runs):
        held = flat
        for place, (ends, _) in enumerate(chosen):
            held = o.part(held, place, *ends)
        whole = tuple(itertools.chain.from_iterable(inner for _, inner in chosen))
        yield whole, o.reshape(held, [stop - start for start, stop in whole])


def _runs(sizes: Shape, start: int, stop: int) -> Iterator[tuple[tuple[int, int], Box]]:
    """(places in the flat range, the box that they are) of each box of the range."""
    at = 0
    for box in cut(sizes, start, stop):
        size = math.prod(high - low for low, high in box)
        yield (at, at + size), box
        at += size
