"""The elements of a tensor as a stream of equal bands: what comparing, counting and casting read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from ptformat.bands import regrouped
from ptformat.dtypes import Array, named, unpack
from ptformat.errors import FormatError
from ptformat.tree import TensorInfo

STEP = 2**16  # elements per band: a multiple of 8, so that a band of a sub-byte type ends on a whole byte


def elements(pieces: Iterable[Any], info: TensorInfo, step: int = STEP) -> Iterator[Array]:
    """The elements in logical order, `step` at a time and the rest last; memory is bounded by a few bands.

    Args:
        pieces: The stored bytes, front to back, cut anywhere.
        info: Type and shape.
        step: Elements per band, a multiple of 8.

    Yields:
        1-D arrays of the tensor's type.

    Raises:
        FormatError: EXTENT when there are more or fewer bytes than type and shape need.
    """
    dtype = named(info.dtype)
    left = info.count
    held = 0
    for block in regrouped(pieces, step * dtype.bits // 8):
        held += len(block)
        count = min(left, step)
        if len(block) != dtype.nbytes(count):
            break
        left -= count
        yield unpack(np.frombuffer(block, np.uint8), dtype, (count,))
    if left or held != info.nbytes:
        what = f"{info.dtype} {info.shape} needs {info.nbytes} bytes"
        raise FormatError("EXTENT", f"tensor {info.path!r}: {what}, the file gives others", path=info.path)


def numbers(band: Array) -> Array:
    """The band in float64, or complex128 where it is complex: exact but for integers beyond 2**53."""
    with np.errstate(invalid="ignore"):  # a signalling NaN becomes a quiet one
        return band.astype(np.complex128 if band.dtype.kind == "c" else np.float64)
