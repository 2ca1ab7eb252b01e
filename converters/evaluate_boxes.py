"""Boxes of a result: what an operation does to a box is asked of its children as boxes of theirs.

A box is a range of every axis. Moves of axes, parts and flips are NumPy views of the mapped source all the way down.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ptformat import dtypes
from ptformat.dtypes import Array, DType, named

from .evaluate_reshape import Region, box_of_reshape, is_split
from .evaluate_values import cast_band, divided, moved_by, scalar, summed, times
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

Arrays = Callable[[Given], Array]
BOX_BYTES = 2**20  # of what is computed: small enough to stay in a cache while it is put together
COVER_BYTES = 8 * 2**20  # of what is computed of a child so as to take some of it


def is_view(op: Operation) -> bool:
    """Whether any box of the result is a view of an array."""
    if isinstance(op, (Permute, Part, Index, Flip)):
        return is_view(op.of)
    if isinstance(op, Reshape):
        return is_split(op.of.shape, op.shape) and is_view(op.of)
    return isinstance(op, (Given, Fill))


def whole_region(shape: tuple[int, ...]) -> Region:
    """All of every axis."""
    return tuple((0, size) for size in shape)


def boxes(shape: tuple[int, ...], limit: int) -> Iterator[Region]:
    """Boxes of at most `limit` elements that follow each other in logical order."""
    inner, axis = 1, len(shape)
    while axis and inner * shape[axis - 1] <= limit:
        axis -= 1
        inner *= shape[axis]
    rest = whole_region(shape[axis:])
    if not axis:
        yield rest
        return
    step = max(1, limit // inner)
    for place in itertools.product(*map(range, shape[: axis - 1])):
        for start in range(0, shape[axis - 1], step):
            last = (start, min(start + step, shape[axis - 1]))
            yield (*((at, at + 1) for at in place), last, *rest)


class Evaluation:
    """The arrays and numbers that the boxes of one result share."""

    def __init__(self, array: Arrays) -> None:
        self._array = array
        self._arrays: dict[Given, Array] = {}
        self._norms: dict[int, float] = {}

    def box(self, op: Operation, region: Region) -> Array:
        """The elements of a box, which is not empty: a view where that can be, and not to be written to."""
        match op:
            case Given():
                places: tuple[Any, ...] = (*(slice(*ends) for ends in region), ...)  # an array, without axes too
                view: Array = self._given(op)[places]
                return view
            case Fill():
                return np.broadcast_to(scalar(op.value, op.dtype), _extents(region))
            case Arange():
                return _counting(op, region)
            case Permute():
                inner: list[tuple[int, int]] = [(0, 0)] * len(region)
                for ends, axis in zip(region, op.perm, strict=True):
                    inner[axis] = ends
                return self.box(op.of, tuple(inner)).transpose(op.perm)
            case Reshape():
                limit = None if is_view(op) else COVER_BYTES // named(op.dtype).numpy.itemsize
                return box_of_reshape(op.of.shape, op.shape, region, lambda one: self.box(op.of, one), limit)
            case Part():
                start, stop = region[op.axis]
                return self.box(op.of, _with(region, op.axis, (start + op.start, stop + op.start)))
            case Index():
                place = (op.at, op.at + 1)
                held = self.box(op.of, (*region[: op.axis], place, *region[op.axis :]))
                return held.squeeze(op.axis)
            case Flip():
                sizes = op.shape
                for axis in op.axes:
                    start, stop = region[axis]
                    region = _with(region, axis, (sizes[axis] - stop, sizes[axis] - start))
                return np.flip(self.box(op.of, region), op.axes)
            case Join():
                return self._joined(op, region)
            case Stack():
                return self._stacked(op, region)
            case Sum():
                return summed((self.box(one, region) for one in op.of), op.dtype)
            case Scale():
                return times(self.box(op.of, region), op.factor, op.dtype)
            case Add():
                return moved_by(self.box(op.of, region), op.addend, op.dtype)
            case Interleave():
                return self._interleaved(op, region)
            case Deinterleave():
                return self._deinterleaved(op, region)
            case Pad():
                return self._padded(op, region)
            case Repeat():
                return self._repeated(op, region)
            case Cast():
                return cast_band(self.box(op.of, region), op.of.dtype, op.dtype)
            case Fold():
                return divided(self.box(op.of, region), self._norm(op), op.dtype)
        raise TypeError(f"no operation: {type(op).__name__}")

    def _given(self, op: Given) -> Array:
        if op not in self._arrays:
            found = self._array(op)
            name = dtypes.of(found.dtype, op.path).name
            if (found.shape, name) != (op.shape, op.dtype):
                what = f"tensor {op.path!r}: {found.shape} {name}"
                raise ValueError(f"{what}; the plan was made for {op.shape} {op.dtype}")
            self._arrays[op] = found
        return self._arrays[op]

    def _joined(self, op: Join, region: Region) -> Array:
        start, stop = region[op.axis]
        at = 0
        made: Array | None = None
        for member in op.of:
            size = member.shape[op.axis]
            low, high = max(start - at, 0), min(stop - at, size)
            if low < high:
                held = self.box(member, _with(region, op.axis, (low, high)))
                if high - low == stop - start:
                    return held
                if made is None:
                    made = _empty(op, region)
                _into(made, op.axis, at + low - start, at + high - start)[...] = held
            at += size
        assert made is not None
        return made

    def _stacked(self, op: Stack, region: Region) -> Array:
        start, stop = region[op.axis]
        inner = region[: op.axis] + region[op.axis + 1 :]
        if stop - start == 1:
            return np.expand_dims(self.box(op.of[start], inner), op.axis)
        if op.axis == len(inner):  # together first: element by element, a cache line would be fetched for each
            members = np.empty((stop - start, *_extents(inner)), named(op.dtype).numpy)
            for place in range(start, stop):
                members[place - start] = self.box(op.of[place], inner)
            return np.moveaxis(members, 0, op.axis)
        made = _empty(op, region)
        for place in range(start, stop):
            _into(made, op.axis, place - start, place - start + 1)[...] = np.expand_dims(
                self.box(op.of[place], inner), op.axis
            )
        return made

    def _interleaved(self, op: Interleave, region: Region) -> Array:
        start, stop = region[op.axis]
        block = op.shape[op.axis] // op.parts
        low, high = start // op.parts, -(-stop // op.parts)
        wide = _extents(_with(region, op.axis, (low * op.parts, high * op.parts)))
        made = np.empty(wide, named(op.dtype).numpy)
        for number in range(op.parts):
            ends = (number * block + low, number * block + high)
            made[_along(op.axis, slice(number, None, op.parts))] = self.box(op.of, _with(region, op.axis, ends))
        return _into(made, op.axis, start - low * op.parts, stop - low * op.parts)

    def _deinterleaved(self, op: Deinterleave, region: Region) -> Array:
        start, stop = region[op.axis]
        block = op.shape[op.axis] // op.parts
        extents = _extents(region)
        cover = math.prod(extents) * op.parts * named(op.dtype).numpy.itemsize
        if cover > COVER_BYTES and max(extents) > 1 and not is_view(op.of):
            return self._halved(op, region)
        made = _empty(op, region)
        for number in range(start // block, -(-stop // block)):
            low, high = max(start - number * block, 0), min(stop - number * block, block)
            ends = (low * op.parts + number, (high - 1) * op.parts + number + 1)
            held = self.box(op.of, _with(region, op.axis, ends))[_along(op.axis, slice(None, None, op.parts))]
            _into(made, op.axis, number * block + low - start, number * block + high - start)[...] = held
        return made

    def _halved(self, op: Operation, region: Region) -> Array:
        """The box made of its halves."""
        extents = _extents(region)
        axis = extents.index(max(extents))
        start, stop = region[axis]
        middle = (start + stop) // 2
        made = _empty(op, region)
        _into(made, axis, 0, middle - start)[...] = self.box(op, _with(region, axis, (start, middle)))
        _into(made, axis, middle - start, stop - start)[...] = self.box(op, _with(region, axis, (middle, stop)))
        return made

    def _padded(self, op: Pad, region: Region) -> Array:
        start, stop = (end - op.before for end in region[op.axis])
        low, high = max(start, 0), min(stop, op.of.shape[op.axis])
        if (low, high) == (start, stop):
            return self.box(op.of, _with(region, op.axis, (low, high)))
        made = _empty(op, region)
        made[...] = scalar(op.value, op.dtype)
        if low < high and op.of.count:
            _into(made, op.axis, low - start, high - start)[...] = self.box(op.of, _with(region, op.axis, (low, high)))
        return made

    def _repeated(self, op: Repeat, region: Region) -> Array:
        start, stop = region[op.axis]
        if op.each:
            low, high = start // op.times, -(-stop // op.times)
            held = self.box(op.of, _with(region, op.axis, (low, high)))
            places = np.arange(start, stop) // op.times - low
            return held.take(places, op.axis)
        size = op.of.shape[op.axis]
        first = start % size
        if first + stop - start <= size:
            return self.box(op.of, _with(region, op.axis, (first, first + stop - start)))
        if stop - start >= size:
            held = self.box(op.of, _with(region, op.axis, (0, size)))
            return held.take(np.arange(start, stop) % size, op.axis)
        made = _empty(op, region)
        _into(made, op.axis, 0, size - first)[...] = self.box(op.of, _with(region, op.axis, (first, size)))
        ends = (0, first + stop - start - size)
        _into(made, op.axis, size - first, stop - start)[...] = self.box(op.of, _with(region, op.axis, ends))
        return made

    def _norm(self, op: Fold) -> float:
        """`u @ M @ v`, in float64."""
        if id(op) not in self._norms:
            rest = (*op.of.shape[: op.axis], 1, *op.of.shape[op.axis + 1 :])
            total = 0.0
            right = Reshape(op.v, rest)
            for region in boxes(op.of.shape, BOX_BYTES // 8):
                weight = self.box(op.of, region).astype(np.float64)
                across = self.box(right, _with(region, op.axis, (0, 1))).astype(np.float64)
                left = self.box(op.u, (region[op.axis],)).astype(np.float64)
                axes = tuple(axis for axis in range(weight.ndim) if axis != op.axis)
                with np.errstate(all="ignore"):
                    total += float(((weight * across).sum(axes) * left).sum())
            self._norms[id(op)] = total
        return self._norms[id(op)]


def _counting(op: Arange, region: Region) -> Array:
    ((start, stop),) = region
    kind: DType = named(op.dtype)
    if not kind.floating:
        return np.array([op.start + op.step * place for place in range(start, stop)], _exact(kind)).astype(kind.numpy)
    values = op.start + op.step * np.arange(start, stop, dtype=np.float64)
    return cast_band(values, "float64", op.dtype) if kind.components == 1 else values.astype(kind.numpy)


def _exact(kind: DType) -> Any:
    return np.uint64 if kind.name == "uint64" else np.int64


def _extents(region: Region) -> tuple[int, ...]:
    return tuple(stop - start for start, stop in region)


def _with(region: Region, axis: int, ends: tuple[int, int]) -> Region:
    return (*region[:axis], ends, *region[axis + 1 :])


def _empty(op: Operation, region: Region) -> Array:
    return np.empty(_extents(region), named(op.dtype).numpy)


def _along(axis: int, ends: slice) -> tuple[slice, ...]:
    return (*[slice(None)] * axis, ends)


def _into(made: Array, axis: int, start: int, stop: int) -> Array:
    """The view between two places of an axis."""
    view: Array = made[_along(axis, slice(start, stop))]
    return view
