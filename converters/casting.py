"""From one floating type to another, in bands, with what is lost counted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ptformat.dtypes import Array, named
from ptformat.tree import TensorInfo

from .elements import elements, numbers

FLOAT4_MAX = 6.0  # of float4_e2m1fn


@dataclass(slots=True)
class Cast:
    """A cast of one tensor, and how it went.

    Attributes:
        source: The type it had.
        target: The type it has.
        rounded: How many finite numbers are not the same any more, those below among them.
        overflowed: How many finite numbers were too large, and are infinite, NaN, or the largest there is.
        vanished: How many numbers other than 0 became 0.
        lost: How many infinities and NaN the new type does not have.
    """

    source: str
    target: str
    rounded: int = 0
    overflowed: int = 0
    vanished: int = 0
    lost: int = 0


def cast_pieces(pieces: Iterable[Any], info: TensorInfo, cast: Cast) -> Iterator[Array]:
    """The elements in the new type, band by band, rounded to the nearest, ties to even; `cast` counts.

    Args:
        pieces: The stored bytes of the tensor.
        info: Its type and shape as stored.
        cast: The types; its counts are advanced.

    Yields:
        1-D arrays of the new type.
    """
    for band in elements(pieces, info):
        result = converted(band, cast.target)
        before, after = numbers(band), numbers(result)
        finite, kept = np.isfinite(before), np.isfinite(after)
        with np.errstate(invalid="ignore"):
            cast.rounded += int(np.count_nonzero(finite & (before != after)))
        cast.overflowed += int(np.count_nonzero(finite & (~kept | _beyond(before, cast.target))))
        cast.vanished += int(np.count_nonzero((before != 0) & (after == 0) & finite))
        gone = ~finite & (kept | (np.isnan(before) != np.isnan(after)))
        cast.lost += int(np.count_nonzero(gone))
        yield result


def converted(band: Array, target: str) -> Array:
    """The band in another floating type, rounded once: to the nearest, ties to even."""
    dtype = named(target)
    if band.dtype == np.float64 and dtype.name.startswith(("bfloat", "float8", "float4")):
        band = _odd(band)
    elif band.dtype.itemsize <= 2:  # ml_dtypes has no cast between some of its types; float32 has all their values
        band = band.astype(np.float32)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        result: Array = band.astype(dtype.numpy)
    return result


def _odd(band: Array) -> Array:
    """float64 in float32, rounded to odd, so that rounding again is as if once (ml_dtypes goes by way of float32).

    Boldo and Melquiond, "Emulation of FMA and correctly rounded sums: proved algorithms using rounding to odd", 2008.
    """
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        near = band.astype(np.float32)
    bits = near.view(np.uint32)
    inexact = np.isfinite(band) & (near != band)
    outward = inexact & (np.abs(near) > np.abs(band))
    bits = bits - outward.astype(np.uint32)  # towards zero
    result: Array = np.where(inexact, bits | 1, bits).astype(np.uint32).view(np.float32)
    return result


def _beyond(before: Array, target: str) -> Array:
    """Where numbers lie beyond a type that has neither infinity nor NaN, and were cut to its largest."""
    if target != "float4_e2m1fn":
        return np.zeros(before.shape, bool)
    far: Array = np.abs(before) > FLOAT4_MAX
    return far
