"""Operations carried out on the tensors of a source: any result in bounded pieces, no tensor ever whole."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator

import numpy as np

from ptformat.bands import BAND_BYTES
from ptformat.bands import bands as bands_of
from ptformat.dtypes import Array, named, pack

from .evaluate_boxes import BOX_BYTES, Arrays, Evaluation, boxes, contiguous, is_view, whole_region
from .evaluate_values import counted
from .operations_exactness import sources
from .operations_nodes import Given, Join, Operation, Reshape, Stack


def pieces(op: Operation, array: Arrays) -> Iterator[memoryview]:
    """The stored bytes of the result in logical order: little-endian, sub-byte elements packed.

    Args:
        op: How it is made.
        array: Gives the tensors it is made of, mapped where they are large. Asked once for each, and at most as many
            are held at once as are needed for one box.

    Yields:
        Buffers of at most some 8 MiB. Anonymous memory is bounded by a constant, whatever the sizes.

    Raises:
        ValueError: For an array of another shape or type than the operation says.
    """
    dtype = named(op.dtype)
    found = bands(op, array)
    for band in found if dtype.bits >= 8 else _whole_bytes(found):
        if band.dtype != dtype.numpy:  # the other byte order
            band = band.astype(dtype.numpy)
        yield pack(band, dtype).data


def bands(op: Operation, array: Arrays) -> Iterator[Array]:
    """The elements of the result in logical order, as 1-D arrays of at most some 8 MiB."""
    while isinstance(op, Reshape):  # the same elements in the same order
        op = op.of
    if not op.count:
        return
    if isinstance(op, (Join, Stack)) and math.prod(op.shape[: op.axis]) == 1:
        several = _several(op.of, array)
        for member in op.of:
            yield from bands(member, several)
        return
    evaluation = Evaluation(array)
    limit = BOX_BYTES
    if is_view(op):
        held = evaluation.box(op, whole_region(op.shape))
        if held.flags.c_contiguous:
            yield from bands_of(held)
            return
        limit = BAND_BYTES  # of all the pages that a turned source has, each band touches many
    for region in boxes(op.shape, limit // named(op.dtype).numpy.itemsize):
        yield contiguous(evaluation.box(op, region)).reshape(-1)


def whole(op: Operation, array: Arrays) -> Array:
    """The result as one new array."""
    made = np.empty(op.count, named(op.dtype).numpy)
    at = 0
    for band in bands(op, array):
        made[at : at + band.size] = band
        at += band.size
    return made.reshape(op.shape)


def nonzero(op: Operation, array: Arrays) -> int:
    """How many elements are not 0; NaN is not, zero of either sign is."""
    return sum(counted(band) for band in bands(op, array))


def _several(members: tuple[Operation, ...], array: Arrays) -> Arrays:
    """The same arrays, of which those that several members are made of are kept."""
    uses = Counter(one for member in members for one in sources(member))
    kept: dict[Given, Array] = {}

    def remembered(op: Given) -> Array:
        if uses[op] == 1:
            return array(op)
        if op not in kept:
            kept[op] = array(op)
        return kept[op]

    return remembered


def _whole_bytes(found: Iterable[Array]) -> Iterator[Array]:
    """The same elements in bands of a multiple of 8, but for the last."""
    held: Array | None = None
    for band in found:
        if held is not None and held.size:
            band = np.concatenate([held, band])
        cut = band.size - band.size % 8
        if cut:
            yield band[:cut]
        held = band[cut:].copy()
    if held is not None and held.size:
        yield held
