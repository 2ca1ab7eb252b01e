"""The element types: one table of code, name, bits and NumPy type (spec section 5)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt

from .errors import FormatError

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class DType:
    """One element type.

    Attributes:
        code: Its byte in the index.
        name: NumPy's or ml_dtypes' name.
        bits: Bits per element on disk.
        numpy: The little-endian NumPy type in memory (one byte per element for the sub-byte types).
        components: 2 for complex types, 1 for others.
        floating: Whether it is a real or complex floating-point type.
    """

    code: int
    name: str
    bits: int
    numpy: np.dtype[Any]
    components: int
    floating: bool

    def nbytes(self, count: int) -> int:
        """Bytes on disk of `count` elements; the last byte of a sub-byte type may be part filled."""
        return (count * self.bits + 7) // 8


def _row(code: int, name: str, bits: int, components: int = 1, floating: bool = False) -> DType:
    numpy = np.dtype(getattr(ml_dtypes, name)) if hasattr(ml_dtypes, name) else np.dtype(name).newbyteorder("<")
    return DType(code, name, bits, numpy, components, floating)


TABLE: tuple[DType, ...] = (
    _row(0, "bool", 8),
    _row(1, "int2", 2),
    _row(2, "int4", 4),
    _row(3, "int8", 8),
    _row(4, "int16", 16),
    _row(5, "int32", 32),
    _row(6, "int64", 64),
    _row(7, "uint2", 2),
    _row(8, "uint4", 4),
    _row(9, "uint8", 8),
    _row(10, "uint16", 16),
    _row(11, "uint32", 32),
    _row(12, "uint64", 64),
    _row(13, "float16", 16, floating=True),
    _row(14, "bfloat16", 16, floating=True),
    _row(15, "float32", 32, floating=True),
    _row(16, "float64", 64, floating=True),
    _row(17, "complex64", 64, components=2, floating=True),
    _row(18, "complex128", 128, components=2, floating=True),
    _row(19, "float8_e4m3fn", 8, floating=True),
    _row(20, "float8_e5m2", 8, floating=True),
    _row(21, "float8_e4m3fnuz", 8, floating=True),
    _row(22, "float8_e5m2fnuz", 8, floating=True),
    _row(23, "float8_e4m3b11fnuz", 8, floating=True),
    _row(24, "float8_e8m0fnu", 8, floating=True),
    _row(25, "float8_e3m4", 8, floating=True),
    _row(26, "float8_e4m3", 8, floating=True),
    _row(27, "float4_e2m1fn", 4, floating=True),
)
BY_NAME: dict[str, DType] = {row.name: row for row in TABLE}
_BY_NUMPY: dict[np.dtype[Any], DType] = {row.numpy: row for row in TABLE}


def named(name: str) -> DType:
    """The type of that name; `FormatError` DTYPE where there is none."""
    try:
        return BY_NAME[name]
    except KeyError:
        raise FormatError("DTYPE", f"no element type is called {name!r}") from None


def of(numpy: np.dtype[Any], where: str) -> DType:
    """The table's row for a NumPy type of either byte order; DTYPE, naming `where`, where there is none."""
    found = _BY_NUMPY.get(numpy)
    if found is None and numpy.kind in "iufc":  # big-endian input is stored little-endian
        found = _BY_NUMPY.get(numpy.newbyteorder("<"))
    if found is None:
        raise FormatError("DTYPE", f"{where}: NumPy type {numpy} has no place in the format", path=where)
    return found


def fault(chunk: memoryview, dtype: DType, count: int | None = None) -> str | None:
    """What is wrong with the bits of a chunk, or None; `count` is the tensor's elements where the chunk is its last."""
    if dtype.name == "bool" and (np.frombuffer(chunk, np.uint8) > 1).any():
        return "a bool byte other than 0 and 1"
    used = (count or 0) * dtype.bits % 8
    if used and chunk[-1] >> used:
        return f"the {8 - used} bits after the last element are not zero"
    return None


def pack(array: Array, dtype: DType) -> Array:
    """The bytes of a 1-D array: a uint8 view, or packed low bits first with a zero tail for sub-byte types."""
    if dtype.name == "bool":  # a view of other bytes as bool may hold any of them
        canonical: Array = (array.view(np.uint8) != 0).view(np.uint8)
        return canonical
    if dtype.bits >= 8:
        return array.view(np.uint8)
    per = 8 // dtype.bits
    elements = array.view(np.uint8) & np.uint8((1 << dtype.bits) - 1)
    padded = np.zeros((-(-elements.size // per), per), np.uint8)
    padded.reshape(-1)[: elements.size] = elements
    shifts = np.arange(per, dtype=np.uint8) * np.uint8(dtype.bits)
    packed: Array = np.bitwise_or.reduce(padded << shifts, axis=1)
    return packed


def unpack(stored: Array, dtype: DType, shape: tuple[int, ...]) -> Array:
    """The array of `shape` held by a uint8 array: a view, or one byte per element for sub-byte types."""
    if dtype.bits >= 8:
        return stored.view(dtype.numpy).reshape(shape)
    per = 8 // dtype.bits
    shifts = np.arange(per, dtype=np.uint8) * np.uint8(dtype.bits)
    elements = (stored[:, None] >> shifts) & np.uint8((1 << dtype.bits) - 1)
    elements = elements.reshape(-1)[: math.prod(shape)]
    result: Array = elements.view(dtype.numpy).reshape(shape)
    return result
