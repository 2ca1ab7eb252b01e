"""What changes the numbers of a band: computed in float32 (float64 where the type is), rounded once to the type."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ptformat.dtypes import Array, named

from .casting import converted
from .operations_nodes import integer_range

_DIRECT = ("float32", "float64")  # NumPy rounds any integer to these once


def scalar(value: int | float, dtype: str) -> Array:
    """A value as an array without axes."""
    kind = named(dtype)
    if kind.floating:
        return (
            cast_band(np.array(float(value)), "float64", dtype) if kind.components == 1 else np.array(value, kind.numpy)
        )
    return np.array(value, np.uint64 if dtype == "uint64" else np.int64).astype(kind.numpy)


def summed(members: Iterable[Array], dtype: str) -> Array:
    """Arrays of one shape and type added."""
    with np.errstate(all="ignore"):
        total: Array | None = None
        for one in members:
            total = _wide(one, dtype) if total is None else total + _wide(one, dtype)
    assert total is not None
    return _rounded(total, dtype)


def times(band: Array, factor: float, dtype: str) -> Array:
    """Every element times a number."""
    wide = _wide(band, dtype)
    with np.errstate(all="ignore"):
        return _rounded(wide * wide.dtype.type(factor), dtype)


def moved_by(band: Array, addend: float, dtype: str) -> Array:
    """A number added to every element."""
    wide = _wide(band, dtype)
    with np.errstate(all="ignore"):
        return _rounded(wide + wide.dtype.type(addend), dtype)


def divided(band: Array, divisor: float, dtype: str) -> Array:
    """Every element divided by a number."""
    wide = _wide(band, dtype)
    with np.errstate(all="ignore"):
        return _rounded(wide / wide.dtype.type(divisor), dtype)


def _wide(band: Array, dtype: str) -> Array:
    kind: Any = named(dtype).numpy if dtype == "float64" or dtype.startswith("complex") else np.float32
    with np.errstate(all="ignore"):
        return np.asarray(band.astype(kind))


def _rounded(wide: Array, dtype: str) -> Array:
    wide = np.asarray(wide)  # an operation on an array without axes gives a scalar
    return wide if wide.dtype == named(dtype).numpy else converted(wide.reshape(-1), dtype).reshape(wide.shape)


def cast_band(band: Array, source: str, target: str) -> Array:
    """The elements in another type of as many components: nearest, ties to even; integers cut at the ends, NaN as 0."""
    return _cast(band.reshape(-1), source, target).reshape(band.shape)


def _cast(band: Array, source: str, target: str) -> Array:
    old, new = named(source), named(target)
    with np.errstate(all="ignore"):
        if old.floating and new.floating:
            return converted(band, target)
        if new.floating:
            return band.astype(new.numpy) if target in _DIRECT else converted(band.astype(np.float64), target)
        low, high = integer_range(target)
        wide: Any = np.uint64 if (target if old.floating else source) == "uint64" else np.int64
        if old.floating:
            values = np.trunc(band.astype(np.float64))
            inside = (values > low) & (values < high)
            result = np.where(inside, values, 0).astype(wide)
            result[values >= high] = high
            result[values <= low] = low
            return result.astype(new.numpy)
        ends = np.iinfo(wide)
        clipped = band.astype(wide).clip(max(low, int(ends.min)), min(high, int(ends.max)))
        return clipped.astype(new.numpy)


def counted(band: Array) -> int:
    """How many elements are not 0."""
    if band.dtype.kind not in "biufc":  # of ml_dtypes, at most 16 bits
        with np.errstate(all="ignore"):
            band = band.astype(np.float32)
    return int(np.count_nonzero(band))
