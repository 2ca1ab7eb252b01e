"""Elements as bytes: of numbers, spread so that no two of a file are alike, and their sums."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Sequence

from ..elements import BITS

_FORMATS = {"float32": "<f", "int64": "<q", "uint8": "<B", "bool": "<?"}
# Element type -> how many numbers there are, a prime, and what they are divided by: all are exact in the type.
_SPREAD = {"float32": (2039, 4096), "bfloat16": (127, 256)}


def number(dtype: str, value: float) -> bytes:
    """An element; what the type does not have is rounded to the nearest, ties to even."""
    if dtype == "bfloat16":
        (bits,) = struct.unpack("<I", struct.pack("<f", value))
        return struct.pack("<H", (bits + 0x7FFF + (bits >> 16 & 1)) >> 16)
    return struct.pack(_FORMATS[dtype], value if dtype.startswith("float") else int(value))


def value_of(dtype: str, element: bytes) -> float:
    """The number that an element is."""
    if dtype == "bfloat16":
        return float(struct.unpack("<f", bytes(2) + element)[0])
    return float(struct.unpack(_FORMATS[dtype], element)[0])


def numbers(dtype: str, data: bytes) -> tuple[bytes, ...]:
    """A tensor's bytes, cut into elements."""
    size = BITS[dtype] // 8
    return tuple(data[at : at + size] for at in range(0, len(data), size))


def spread(dtype: str, first: int, count: int, *, positive: bool = False) -> Iterator[float]:
    """So many numbers between -1/2 and 1/2, none of them 0, neighbours far apart; those after the first `first`.

    Positive ones lie between 1/2 and 1. None comes twice among the first 2039 (float32) or 127 (bfloat16).
    """
    size, unit = _SPREAD[dtype]
    for place in range(first, first + count):
        step = place * 37 % size
        yield (step / unit + 0.5) if positive else (2 * step - size) / unit


class Numbers:
    """Elements are the bytes of files."""

    def constant(self, dtype: str, value: float) -> bytes:
        """An element of this value."""
        return number(dtype, value)

    def total(self, dtype: str, of: Sequence[bytes]) -> bytes:
        """The sum, rounded once."""
        return number(dtype, math.fsum(value_of(dtype, one) for one in of))
