"""A part of a tensor, read without the rest of it."""

from __future__ import annotations

import mmap
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from .dtypes import Array

Ranges = tuple[range, ...]


class Slice:
    """A tensor to be indexed: `file.slice("w")[10:20, :5]` reads the chunks that hold those elements, and no others.

    Attributes:
        shape: Of the whole tensor.
        dtype: The NumPy type of its elements.
    """

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype[Any], read: Callable[[Ranges], Array]) -> None:
        self.shape = shape
        self.dtype = dtype
        self._read = read

    def __getitem__(self, key: Any) -> Array:
        """A new array of the elements that basic indexing selects: integers, slices with any step, `...`.

        Raises:
            IndexError: For too many axes or an integer out of range.
            TypeError: For an index of another kind, such as an array or None.
        """
        index = _whole(key, len(self.shape))
        ranges = tuple(_range(one, size, axis) for axis, (one, size) in enumerate(zip(index, self.shape, strict=True)))
        return np.array(self._read(ranges)[index])

    def __repr__(self) -> str:
        return f"Slice(shape={self.shape}, dtype={self.dtype})"


def _whole(key: Any, rank: int) -> tuple[Any, ...]:
    """One index for each axis."""
    index = key if isinstance(key, tuple) else (key,)
    if sum(one is Ellipsis for one in index) > 1:
        raise IndexError("an index can only have a single ellipsis ('...')")
    given = sum(one is not Ellipsis for one in index)
    if given > rank:
        raise IndexError(f"too many indices: {given} for a tensor of {rank} axes")
    at = next((place for place, one in enumerate(index) if one is Ellipsis), len(index))
    return (*index[:at], *[slice(None)] * (rank - given), *index[at + 1 :])


def _range(one: Any, size: int, axis: int) -> range:
    if isinstance(one, slice):
        return range(size)[one]
    try:
        number = operator.index(one)
    except TypeError:
        raise TypeError(f"axis {axis}: a {type(one).__name__}; a slice takes integers, slices and '...'") from None
    if not -size <= number < size:
        raise IndexError(f"index {number} is out of bounds for axis {axis} with size {size}")
    return range(number % size, number % size + 1)


def runs(shape: tuple[int, ...], ranges: Ranges) -> tuple[Array, int]:
    """Where the selected elements lie: the starts of runs in logical order, not sorted, and how long each run is.

    Args:
        shape: Of the tensor.
        ranges: What is selected of each axis; none is empty.

    Returns:
        (int64 starts in elements, elements per run). A run may hold elements between selected ones of its axis.
    """
    starts = np.zeros(1, np.int64)
    stride, length = 1, 1
    joined = True
    for size, chosen in zip(reversed(shape), reversed(ranges), strict=True):
        low, high = min(chosen[0], chosen[-1]), max(chosen[0], chosen[-1])
        if joined:  # the axes behind this one are selected whole: its part is one run
            starts = starts + low * stride
            length = (high - low) * stride + length
            joined = len(chosen) == size
        else:
            starts = np.add.outer(np.arange(chosen.start, chosen.stop, chosen.step) * stride, starts).reshape(-1)
        stride *= size
    return starts, length


def touched(starts: Array, length: int, itemsize: int, chunk: int) -> Array:
    """The chunks, in order, in which runs of elements lie."""
    first = starts * itemsize // chunk
    last = ((starts + length) * itemsize - 1) // chunk
    found = [np.unique(first)]
    for step in range(1, int((last - first).max()) + 1):
        found.append(np.unique(np.minimum(first + step, last)))
    return np.unique(np.concatenate(found))


def reserve(nbytes: int) -> Array:
    """Zero bytes of which only those that are written take memory."""
    flags = getattr(mmap, "MAP_PRIVATE", 0) | getattr(mmap, "MAP_ANONYMOUS", 0) | getattr(mmap, "MAP_NORESERVE", 0)
    held = mmap.mmap(-1, nbytes, flags=flags) if flags else mmap.mmap(-1, nbytes)
    return np.frombuffer(held, np.uint8)
