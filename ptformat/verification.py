"""The whole file against the whole spec: every byte is read, every chunk decoded (spec section 10.3)."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from . import dtypes
from .atomic import PathLike
from .columns import ALIAS, TENSOR
from .container import FRAME_BYTES
from .errors import FormatError
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


def verify(source: PathLike | bytes, *, progress: Callable[[int], None] | None = None) -> Verified:
    """Check a file, given by its path or its bytes, to the last bit.

    Args:
        source: The file.
        progress: Called after each chunk with the bytes of the file it takes.

    Returns:
        What the file holds.

    Raises:
        FormatError: The first rule it breaks; CHECKSUM names tensor, chunk and byte.
        OSError: When it cannot be read.
    """
    data = source if isinstance(source, bytes) else map_file(source)
    reader = Reader(data, "bytes" if isinstance(source, bytes) else os.fspath(source))
    index = reader.index
    end = FRAME_BYTES
    for k, start in enumerate(index.layout[0]):
        if any(reader.raw(end, start - end)):
            raise FormatError("NONZERO", f"bytes {end} to {start - 1}, before {index.named(k)}, are not all zero")
        _check_tensor(reader, k, progress)
        end = start + int(index.held[k])
    counts = np.bincount(index.columns["type"], minlength=4)
    parameters = sum(math.prod(index.shape(k)) for k in range(int(counts[TENSOR])))
    return Verified(int(counts[TENSOR]), int(counts[ALIAS]), parameters, int(index.nbytes.sum()), len(data))


def _check_tensor(reader: Reader, k: int, progress: Callable[[int], None] | None) -> None:
    """Decode the k-th tensor and check its elements' bits."""
    index = reader.index
    dtype = dtypes.TABLE[index.columns["dtype"][k]]
    left = int(index.nbytes[k])
    first, last = (int(n) for n in index.chunk_starts[k : k + 2])
    for stored, chunk in zip(index.columns["stored"][first:last].tolist(), reader.chunks(k), strict=True):
        left -= len(chunk)
        if fault := dtypes.fault(chunk, dtype, math.prod(index.shape(k)) if not left else None):
            path = index.paths[index.tensor_rows[k]]
            raise FormatError("DATA", f"tensor {path!r}: {fault}", path=path)
        if progress:
            progress(stored)
