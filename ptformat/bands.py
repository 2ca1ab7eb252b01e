"""An array's elements in logical (C) order, and any bytes, a bounded piece at a time."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from .dtypes import Array, DType, pack

BAND_BYTES = 8 * 2**20
_TILE = 1024, 16  # elements


def bands(array: Array, limit: int = BAND_BYTES) -> Iterator[Array]:
    """C-contiguous pieces of at most `limit` bytes that together are the array in logical order.

    Args:
        array: Any shape, any strides. A contiguous one is cut without a copy.
        limit: Bytes; a single element may exceed it.

    Yields:
        1-D arrays of the array's dtype.
    """
    if array.size == 0:
        return
    if array.flags.c_contiguous:
        flat = array.reshape(-1)
        step = max(1, limit // array.itemsize)
        for start in range(0, flat.size, step):
            yield flat[start : start + step]
    elif array.nbytes <= limit:
        yield contiguous(array).reshape(-1)
    else:
        row = array.nbytes // len(array)
        if row > limit:
            for k in range(len(array)):
                yield from bands(array[k, ...], limit)  # not `array[k]`: an element would come in the machine's order
        else:
            step = limit // row
            for start in range(0, len(array), step):
                yield contiguous(array[start : start + step]).reshape(-1)


def contiguous(array: Array) -> Array:
    """The array in C order, tile by tile where its axes are turned: else a cache line is fetched for each element.

    A tile takes about a cache line of each of its rows. float32 (1024, 4096) turned: 5.2 GB/s, at once 1.0.
    """
    if array.flags.c_contiguous:
        return array
    made = np.empty(array.shape, array.dtype)
    sizes = _coalesced(array)
    source, target = array.reshape(sizes), made.reshape(sizes)
    if array.dtype.kind == "V" or array.dtype.num >= 256:  # of ml_dtypes: as bits they are copied faster
        bits = f"u{array.itemsize}"
        source, target = source.view(bits), target.view(bits)
    last = len(sizes) - 1
    steps = [abs(step) if size > 1 else math.inf for step, size in zip(source.strides, sizes, strict=True)]
    near = steps.index(min(steps))  # the axis along which the array's elements lie beside each other
    if near == last or min(sizes[near], sizes[last]) <= _TILE[1]:
        target[...] = source
        return made
    source, target = (np.moveaxis(one, (near, last), (-2, -1)) for one in (source, target))
    rows, columns = _TILE
    for row in range(0, source.shape[-2], rows):
        for column in range(0, source.shape[-1], columns):
            tile = (..., slice(row, row + rows), slice(column, column + columns))
            target[tile] = source[tile]
    return made


def _coalesced(array: Array) -> tuple[int, ...]:
    """The shape in which axes that are steps of one are one; reshaping to it gives a view."""
    sizes: list[int] = []
    before = 0  # the step of the last axis taken
    for size, step in zip(array.shape, array.strides, strict=True):
        if size == 1:
            continue
        if sizes and before == step * size:
            sizes[-1] *= size
        else:
            sizes.append(size)
        before = step
    return tuple(sizes) or (1,)


def byte_pieces(array: Array, dtype: DType, limit: int = BAND_BYTES) -> Iterator[memoryview]:
    """The stored bytes of an array, in pieces of about `limit` bytes: little-endian, sub-byte elements packed."""
    if dtype.bits < 8:  # a band must end on a whole byte: at most 8 elements, and they take a byte each in memory
        flat = np.ascontiguousarray(array).reshape(-1)
        for start in range(0, flat.size, limit // 8 * 8):
            yield pack(flat[start : start + limit // 8 * 8], dtype).data
        return
    for band in bands(array, limit):
        if band.dtype != dtype.numpy:  # the other byte order
            band = band.astype(dtype.numpy)
        yield pack(band, dtype).data


def regrouped(pieces: Iterable[Any], size: int) -> Iterator[memoryview]:
    """The bytes of buffers in blocks of exactly `size`, the last one shorter; copied only where two buffers meet."""
    rest: memoryview | bytearray = bytearray()
    for piece in pieces:
        view = memoryview(piece)
        if not view.nbytes:
            continue
        view = view.cast("B")
        if rest:
            rest = rest if isinstance(rest, bytearray) else bytearray(rest)
            missing = size - len(rest)
            rest += view[:missing]
            view = view[missing:]
            if len(rest) < size:
                continue
            yield memoryview(rest)
        whole = len(view) - len(view) % size
        for start in range(0, whole, size):
            yield view[start : start + size]
        rest = view[whole:]
    if rest:
        yield memoryview(rest)
