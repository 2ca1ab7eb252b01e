"""The whole file against the whole spec: every byte is read, every chunk decoded (spec section 10.3)."""

from __future__ import annotations

import math
import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np

from . import dtypes
from .atomic import PathLike
from .backing import File
from .codecs import RAW, THREADS
from .columns import ALIAS, TENSOR
from .container import FRAME_BYTES, Checksum
from .errors import FormatError
from .reader import Reader

WINDOW_BYTES = 2**18  # read at once, of a file of many small tensors
POOL_BYTES = 2**18  # a smaller chunk is checked at once: handing it to a thread would cost more


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
    """Check a file, given by its path or its bytes, to the last bit. Read chunk by chunk, and never mapped.

    Args:
        source: The file.
        progress: Called after each chunk with the bytes of the file it takes.

    Returns:
        What the file holds.

    Raises:
        FormatError: The first rule it breaks; CHECKSUM names tensor, chunk and byte.
        OSError: When it cannot be read.
    """
    data = source if isinstance(source, bytes) else _InWindows(source)
    with Reader(data, "bytes" if isinstance(source, bytes) else os.fspath(source)) as reader:
        return _verified(reader, len(data), progress)


def _verified(reader: Reader, size: int, progress: Callable[[int], None] | None) -> Verified:
    """All checks, large chunks in a few threads; the first fault in the order of the file is the one that is told."""
    index = reader.index
    waiting: deque[tuple[int, Future[None] | Callable[[], None]]] = deque()

    def settle(most: int) -> None:
        while len(waiting) > most:
            stored, check = waiting.popleft()
            check.result() if isinstance(check, Future) else check()
            if progress and stored:
                progress(stored)

    pool = ThreadPoolExecutor(THREADS)
    try:
        for stored, check in _checks(reader):
            waiting.append((stored, pool.submit(check) if stored >= POOL_BYTES else check))
            settle(THREADS)
        settle(0)
    finally:
        pool.shutdown(cancel_futures=True)
    counts = np.bincount(index.columns["type"], minlength=4)
    parameters = sum(math.prod(index.shape(k)) for k in range(int(counts[TENSOR])))
    return Verified(int(counts[TENSOR]), int(counts[ALIAS]), parameters, int(index.nbytes.sum()), size)


def _checks(reader: Reader) -> Iterator[tuple[int, Callable[[], None]]]:
    """(stored bytes, what checks them) of every chunk, and the gap before it, in the order of the file."""
    index = reader.index
    held, starts, taken = index.columns["stored"].tolist(), index.chunk_starts.tolist(), index.held.tolist()
    end = FRAME_BYTES
    for k, start in enumerate(index.layout[0]):
        gap = start - end
        for c in range(starts[k], starts[k + 1]):
            yield held[c], partial(_check_chunk, reader, k, c, gap)
            gap = 0
        if gap:  # before a tensor without elements
            yield 0, partial(_check_gap, reader, start, gap, k)
        end = start + taken[k]


def _check_gap(reader: Reader, stop: int, gap: int, k: int) -> None:
    if any(reader.raw(stop - gap, gap)):
        what = f"bytes {stop - gap} to {stop - 1}, before {reader.index.named(k)}, are not all zero"
        raise FormatError("NONZERO", what)


def _check_chunk(reader: Reader, k: int, c: int, gap: int) -> None:
    """Decode a chunk of the k-th tensor, a large raw one in blocks, and check its elements' bits."""
    index = reader.index
    if gap:
        _check_gap(reader, int(index.chunk_offsets[c]), gap, k)
    dtype = dtypes.TABLE[index.columns["dtype"][k]]
    count = math.prod(index.shape(k)) if c + 1 == index.chunk_starts[k + 1] else None
    if index.columns["codec"][c] != RAW or index.columns["stored"][c] < POOL_BYTES:
        fault = dtypes.fault(reader.chunk(k, c), dtype, count)
    else:
        total, fault = Checksum(), None
        start, left = int(index.chunk_offsets[c]), int(index.columns["stored"][c])
        for block in reader.blocks(start, start + left):
            left -= len(block)
            total.update(block)
            fault = fault or dtypes.fault(block, dtype, count if not left else None)
        reader.compare(k, c, total.intdigest())
    if fault:
        path = index.paths[index.tensor_rows[k]]
        raise FormatError("DATA", f"tensor {path!r}: {fault}", path=path)


class _InWindows(File):
    """A file of which small parts, read one after the other, are views of larger ones."""

    def __init__(self, path: PathLike) -> None:
        super().__init__(path)
        self._window = 0, memoryview(b"")

    def __getitem__(self, part: slice) -> memoryview:
        start, stop, _ = part.indices(len(self))
        begin, held = self._window
        if not begin <= start <= stop <= begin + len(held):
            if stop - start > WINDOW_BYTES // 4:
                return super().__getitem__(part)
            begin, held = self._window = start, super().__getitem__(slice(start, start + WINDOW_BYTES))
        return held[start - begin : stop - begin]
