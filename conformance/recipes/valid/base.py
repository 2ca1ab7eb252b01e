"""What several areas share: tensors of one chunk, and paths that hold nothing but null."""

from __future__ import annotations

from collections.abc import Sequence

from ..draft import PLANES, ZSTD, Chunk, Draft


def held(data: bytes, *chunks: Chunk, dtype: str = "uint8", shape: Sequence[int] | None = None) -> Draft:
    """One tensor `x`, stored as these chunks."""
    return Draft().tensor("x", dtype, (len(data),) if shape is None else shape, data, chunks=chunks)


def zstd(frame: bytes) -> Chunk:
    """A chunk of codec zstd."""
    return ZSTD, frame


def planes(stored: bytes) -> Chunk:
    """A chunk of codec planes."""
    return PLANES, stored


def nulls(*paths: str, made: Draft | None = None) -> Draft:
    """A null at each of these paths."""
    made = made or Draft()
    for path in paths:
        made.value(path)
    return made
