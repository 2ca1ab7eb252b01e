"""Operations carried out on the tensors of a source: any result in bounded pieces, no tensor ever whole."""

from __future__ import annotations

import itertools
import math
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from ptformat.bands import BAND_BYTES, contiguous
from ptformat.bands import bands as bands_of
from ptformat.codecs import THREADS
from ptformat.dtypes import Array, DType, named, pack

from .evaluate_boxes import BOX_BYTES, Arrays, Evaluation, boxes, is_view, whole_region
from .evaluate_values import counted
from .operations_exactness import sources
from .operations_nodes import Given, Join, Operation, Reshape, Stack

TURNED_BYTES = 2**21  # that one thread turns at a time


def pieces(
    op: Operation,
    array: Arrays,
    stored: Callable[[Given], Iterable[Any]] | None = None,
    pool: ThreadPoolExecutor | None = None,
) -> Iterator[Any]:
    """The stored bytes of the result in logical order: little-endian, sub-byte elements packed.

    Args:
        op: How it is made.
        array: Gives the tensors it is made of, mapped where they are large. Asked once for each, and at most as many
            are held at once as are needed for one box.
        stored: Gives their stored bytes in pieces, for those that go into the result as they are; None to take them of
            the array as well.
        pool: Threads that turn axes, from the call on, while what they turned before is being used.

    Returns:
        Buffers of at most some 8 MiB, but for what `stored` gives. Anonymous memory is bounded by a constant, whatever
        the sizes.

    Raises:
        ValueError: For an array of another shape or type than the operation says.
    """
    op = _flat(op)
    if pool and is_view(op) and not isinstance(op, Given) and op.count and named(op.dtype).bits >= 8:
        held = Evaluation(array).box(op, whole_region(op.shape))
        if held.nbytes > TURNED_BYTES and not held.flags.c_contiguous:
            return _stored(_turned(held, pool), named(op.dtype))
    return _pieces(op, array, stored, pool)


def _pieces(
    op: Operation,
    array: Arrays,
    stored: Callable[[Given], Iterable[Any]] | None,
    pool: ThreadPoolExecutor | None,
) -> Iterator[Any]:
    dtype = named(op.dtype)
    if stored is not None and isinstance(op, Given):
        yield from stored(op)
    elif stored is not None and _in_order(op) and dtype.bits >= 8:
        several = _several(op.children, array)
        for member in op.children:
            yield from pieces(member, several, stored, pool)
    else:
        found = bands(op, array)
        yield from _stored(found if dtype.bits >= 8 else _whole_bytes(found), dtype)


def _stored(found: Iterable[Array], dtype: DType) -> Iterator[Any]:
    for band in found:
        if band.dtype != dtype.numpy:  # the other byte order
            band = band.astype(dtype.numpy)
        yield pack(band, dtype).data


def bands(op: Operation, array: Arrays) -> Iterator[Array]:
    """The elements of the result in logical order, as 1-D arrays of at most some 8 MiB."""
    op = _flat(op)
    if not op.count:
        return
    if _in_order(op):
        several = _several(op.children, array)
        for member in op.children:
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


def _turned(array: Array, pool: ThreadPoolExecutor) -> Iterator[Array]:
    """An array in logical order, by threads that begin at once and stay a few parts ahead."""
    regions = boxes(array.shape, TURNED_BYTES // array.itemsize)

    def begun(count: int) -> Iterator[Future[Array]]:
        for region in itertools.islice(regions, count):
            yield pool.submit(contiguous, array[tuple(slice(*ends) for ends in region)])

    ahead = deque(begun(THREADS + 2))

    def parts() -> Iterator[Array]:
        while ahead:
            part = ahead.popleft().result()
            ahead.extend(begun(1))
            yield part.reshape(-1)

    return parts()


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


def _flat(op: Operation) -> Operation:
    """What has the same elements in the same order."""
    while isinstance(op, Reshape):
        op = op.of
    return op


def _in_order(op: Operation) -> bool:
    """Whether the elements are those of its children, one after the other."""
    return isinstance(op, (Join, Stack)) and math.prod(op.shape[: op.axis]) == 1


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
