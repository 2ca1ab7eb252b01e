"""The whole file against the whole spec: every byte is read, every chunk decoded (spec section 10.3)."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np

from .atomic import PathLike
from .container import FRAME_BYTES
from .dtypes import TABLE
from .errors import FormatError
from .index import ALIAS, TENSOR
from .reader import Reader, map_file


@dataclass(frozen=True, slots=True)
class Verified:
    """What a sound file holds.

    Attributes:
        tensors: Number of tensors.
        aliases: Number of aliases.
        parameters: Elements of all tensors.
        nbytes: Decoded bytes of all tensors.
        file_bytes: Bytes of the file.
    """

    tensors: int
    aliases: int
    parameters: int
    nbytes: int
    file_bytes: int


def verify(source: PathLike | bytes) -> Verified:
    """Check a file, given by its path or its bytes, to the last bit.

    Returns:
        What the file holds.

    Raises:
        FormatError: The first rule it breaks; CHECKSUM names tensor, chunk and byte.
        OSError: When it cannot be read.
    """
    if isinstance(source, bytes):
        reader = Reader(source)
    else:
        reader = Reader(map_file(source), os.fspath(source))
    index = reader.index
    buffer = reader._buffer
    end = FRAME_BYTES
    for k, start in enumerate(index.layout[0]):
        _check_zero(buffer, end, start)
        end = start + _check_tensor(reader, k)
    counts = np.bincount(index.columns["type"], minlength=4)
    parameters = sum(_count(index.shape(k)) for k in range(int(counts[TENSOR])))
    return Verified(int(counts[TENSOR]), int(counts[ALIAS]), parameters, int(index.nbytes.sum()), len(buffer))


def _count(shape: tuple[int, ...]) -> int:
    return int(np.prod(shape, dtype=object))


def _check_zero(buffer: memoryview, start: int, end: int) -> None:
    if any(buffer[start:end]):
        raise FormatError("NONZERO", f"bytes {start} to {end - 1}, before a tensor, are not all zero")


def _check_tensor(reader: Reader, k: int) -> int:
    """Decode the k-th tensor, check its elements' bits, and return its stored bytes."""
    index = reader.index
    dtype = TABLE[index.columns["dtype"][k]]
    path = index.paths[index.tensor_rows[k]]
    last = 0
    for chunk in reader.chunks(k):
        if dtype.name == "bool" and (np.frombuffer(chunk, np.uint8) > 1).any():
            raise FormatError("DATA", f"tensor {path!r}: a bool byte other than 0 and 1", path=path)
        last = chunk[-1] if len(chunk) else 0
    used = _count(index.shape(k)) * dtype.bits % 8
    if used and last >> used:
        raise FormatError(
            "DATA", f"tensor {path!r}: the {8 - used} bits after the last element are not zero", path=path
        )
    first, end = (int(n) for n in index.chunk_starts[k : k + 2])
    return int(index.columns["stored"][first:end].sum(dtype=np.int64))
