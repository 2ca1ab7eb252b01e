"""Codec 0: the stored bytes are the chunk."""

from ..dtypes import DType
from ..errors import FormatError


def encode(chunk: memoryview, dtype: DType | None = None) -> memoryview:
    """The chunk itself."""
    return chunk


def decode(stored: memoryview, into: memoryview, dtype: DType | None = None) -> None:
    """Copy. Raises `FormatError` CODEC when the lengths differ."""
    if len(stored) != len(into):
        raise FormatError("CODEC", f"raw chunk of {len(stored)} bytes, {len(into)} expected")
    into[:] = stored
