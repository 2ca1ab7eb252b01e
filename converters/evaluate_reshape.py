"""A box of a reshaped tensor, from boxes of the tensor before."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from ptformat.dtypes import Array

Shape = tuple[int, ...]
Region = tuple[tuple[int, int], ...]  # (start, stop) of each axis


def is_split(old: Shape, new: Shape) -> bool:
    """Whether every new axis is a part of one old axis, so that the result is a view, whatever the strides."""
    if not math.prod(old):
        return True
    return all(sum(size > 1 for size in before) < 2 for before, _, _ in grouped(old, new))


def grouped(old: Shape, new: Shape) -> Iterator[tuple[Shape, Shape, int]]:
    """The smallest runs of axes that hold the same elements: (old sizes, new sizes, the first new axis).

    Args:
        old: Shape before; no size is 0.
        new: Shape after, of as many elements.
    """
    i = j = 0
    while i < len(old) and j < len(new):
        first, start = i, j
        before, after = old[i], new[j]
        i, j = i + 1, j + 1
        while before != after:
            if before < after:
                before *= old[i]
                i += 1
            else:
                after *= new[j]
                j += 1
        yield old[first:i], new[start:j], start
    if i < len(old) or j < len(new):  # axes of one element
        yield old[i:], new[j:], j


@dataclass(frozen=True, slots=True)
class Cover:
    """The flat range of one group in which a box lies.

    Attributes:
        start: Its first element.
        stop: The end.
        shape: The range, as the new axes.
        taken: What the box has of that.
        axis: Of the new shape: the first along which the box has more than one place.
        waste: How many times the box the range is.
    """

    start: int
    stop: int
    shape: Shape
    taken: tuple[slice, ...]
    axis: int
    waste: float


def cover_of(sizes: Shape, region: Region, first: int) -> Cover:
    """The cover of a box of one group, whose first axis is the `first` of the new shape."""
    at = 0
    for axis, ((start, stop), size) in enumerate(zip(region, sizes, strict=True)):
        at = at * size + start
        if stop - start > 1:
            rest = sizes[axis + 1 :]
            inner = math.prod(rest)
            shape = (*[1] * axis, stop - start, *rest)
            ends = region[axis + 1 :]
            taken = (*[slice(None)] * (axis + 1), *(slice(*one) for one in ends))
            waste = inner / math.prod(stop - start for start, stop in ends)
            return Cover(at * inner, (at + stop - start) * inner, shape, taken, first + axis, waste)
    return Cover(at, at + 1, (1,) * len(sizes), (slice(None),) * len(sizes), first, 1)


def box_of_reshape(old: Shape, new: Shape, region: Region, box: Callable[[Region], Array], limit: int | None) -> Array:
    """The elements of a box of the reshaped tensor.

    Args:
        old: Shape before.
        new: Shape after.
        region: The box.
        box: Gives boxes of the tensor before.
        limit: Elements to ask for at once, so as to take some of them; None where asking costs nothing.
    """
    groups = list(grouped(old, new))
    covers = [cover_of(after, region[at : at + len(after)], at) for _, after, at in groups]
    lengths = [cover.stop - cover.start for cover in covers]
    extents = tuple(stop - start for start, stop in region)
    if limit is not None and math.prod(lengths) > max(limit, math.prod(extents)):
        axis = max(covers, key=lambda cover: cover.waste).axis
        return _halved(old, new, region, box, limit, axis)
    boxes = [list(cut(before, one.start, one.stop)) for (before, _, _), one in zip(groups, covers, strict=True)]
    if all(len(one) == 1 for one in boxes):
        flat = box(tuple(itertools.chain.from_iterable(one[0] for one in boxes)))
    else:
        flat = _gathered(boxes, lengths, box)
    shape = tuple(itertools.chain.from_iterable(cover.shape for cover in covers))
    return flat.reshape(shape)[tuple(itertools.chain.from_iterable(cover.taken for cover in covers))]


def _gathered(boxes: list[list[Region]], lengths: list[int], box: Callable[[Region], Array]) -> Array:
    """All combinations of the groups' boxes, put together with one axis for each group."""
    made: Array | None = None
    ends = [list(_ends(one)) for one in boxes]
    for places in itertools.product(*(range(len(one)) for one in boxes)):
        region = tuple(itertools.chain.from_iterable(one[place] for one, place in zip(boxes, places, strict=True)))
        held = box(region)
        if made is None:
            made = np.empty(lengths, held.dtype)
        view = made[tuple(slice(*one[place]) for one, place in zip(ends, places, strict=True))]
        view[...] = held.reshape(view.shape)
    assert made is not None
    return made


def _ends(boxes: list[Region]) -> Iterator[tuple[int, int]]:
    at = 0
    for one in boxes:
        size = math.prod(stop - start for start, stop in one)
        yield at, at + size
        at += size


def _halved(old: Shape, new: Shape, region: Region, box: Callable[[Region], Array], limit: int, axis: int) -> Array:
    start, stop = region[axis]
    middle = (start + stop) // 2
    halves = [
        box_of_reshape(old, new, (*region[:axis], ends, *region[axis + 1 :]), box, limit)
        for ends in ((start, middle), (middle, stop))
    ]
    return np.concatenate(halves, axis)


def cut(sizes: Shape, start: int, stop: int) -> Iterator[Region]:
    """The boxes, in order, that hold the elements between two places of the flat tensor."""
    if not sizes:
        yield ()
        return
    inner = math.prod(sizes[1:])
    rest = tuple((0, size) for size in sizes[1:])
    first, last = start // inner, (stop - 1) // inner
    if first == last and stop - start < inner:
        for box in cut(sizes[1:], start - first * inner, stop - first * inner):
            yield ((first, first + 1), *box)
        return
    if start % inner:
        for box in cut(sizes[1:], start % inner, inner):
            yield ((first, first + 1), *box)
        first += 1
    if first < stop // inner:
        yield ((first, stop // inner), *rest)
    if stop % inner:
        for box in cut(sizes[1:], 0, stop % inner):
            yield ((last, last + 1), *box)
