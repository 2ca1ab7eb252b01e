"""Codec 0: the stored bytes are the chunk."""

from ..errors import FormatError


def encode(chunk: memoryview) -> memoryview:
    """The chunk itself."""
    return chunk


def decode(stored: memoryview, into: memoryview) -> None:
    """Copy. Raises `FormatError` CODEC when the lengths differ."""
    if len(stored) != len(into):
        raise FormatError("CODEC", f"raw chunk of {len(stored)} bytes, {len(into)} expected")
    into[:] = stored
