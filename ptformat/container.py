"""The container (spec section 2): preamble, trailer, and the offsets that follow from order and alignment."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import xxhash

from .errors import FormatError
from .limits import ALIGN, MAX_FILE_BYTES, PAGE_ALIGN, PAGE_ALIGN_FROM

MAGIC = b"\x89PTF\r\n\x1a\n"
MAJOR, MINOR = 1, 0
FRAME_BYTES = 64  # of the preamble and of the trailer
FLAG_ZSTD_INDEX = 1
_TRAILER = struct.Struct("<4QI2HQ")
PREAMBLE = struct.pack("<8s2H52x", MAGIC, MAJOR, MINOR)

checksum = xxhash.xxh3_64_intdigest
Checksum = xxhash.xxh3_64  # of bytes that come in pieces


@dataclass(frozen=True, slots=True)
class Trailer:
    """The facts of the last 64 bytes, all in bytes but for `index_sum`, `flags` and the version."""

    index_offset: int
    index_stored: int
    index_decoded: int
    index_sum: int
    flags: int
    file_length: int

    def pack(self) -> bytes:
        """The 64 bytes."""
        facts = (self.index_offset, self.index_stored, self.index_decoded, self.index_sum, self.flags)
        head = _TRAILER.pack(*facts, MAJOR, MINOR, self.file_length)
        return head + struct.pack("<Q8s", checksum(head), MAGIC)


class Bytes(Protocol):
    """The bytes of a whole file, in memory or to be read: what a memoryview has of them."""

    def __len__(self) -> int:
        """How many there are."""

    def __getitem__(self, part: slice, /) -> memoryview:
        """Those of a slice without steps."""


def parse_frame(data: Bytes) -> Trailer:
    """Check preamble and trailer of a whole file.

    Raises:
        FormatError: In this order: MAGIC, TRUNCATED, VERSION, NONZERO (preamble); TRUNCATED, CHECKSUM, VERSION,
            FEATURE, TRUNCATED, EXTENT (trailer).
    """
    size = len(data)
    if data[:8] != MAGIC[: min(8, size)] or size == 0:
        raise FormatError("MAGIC", f"the file begins with {bytes(data[:8]).hex() or 'nothing'}, not {MAGIC.hex()}")
    if size < 2 * FRAME_BYTES:
        raise FormatError("TRUNCATED", f"{size} bytes, a file has at least {2 * FRAME_BYTES}")
    version = struct.unpack("<2H", data[8:12])
    if version[0] != MAJOR:
        raise FormatError("VERSION", f"version {version[0]}.{version[1]}, this reader knows {MAJOR}.x")
    if data[12:FRAME_BYTES] != PREAMBLE[12:]:
        raise FormatError("NONZERO", "bytes 12 to 63 of the preamble are not all zero")
    return _parse_trailer(data, version)


def _parse_trailer(data: Bytes, version: tuple[int, ...]) -> Trailer:
    size = len(data)
    start = size - FRAME_BYTES
    tail = data[start:]
    if tail[56:] != MAGIC:
        raise FormatError("TRUNCATED", f"the last 8 bytes are {bytes(tail[56:]).hex()}, not the magic {MAGIC.hex()}")
    offset, held, decoded, index_sum, flags, major, minor, length = _TRAILER.unpack_from(tail)
    (stored,) = struct.unpack_from("<Q", tail, 48)
    computed = checksum(tail[:48])
    if stored != computed:
        raise FormatError("CHECKSUM", f"trailer: xxh3 {stored:016x} stored, {computed:016x} computed")
    if (major, minor) != version:
        raise FormatError("VERSION", f"trailer says {major}.{minor}, preamble {version[0]}.{version[1]}")
    trailer = Trailer(offset, held, decoded, index_sum, flags, length)
    if trailer.flags & ~FLAG_ZSTD_INDEX:
        raise FormatError("FEATURE", f"trailer flags {trailer.flags:#x}: only bit 0 is known")
    if length > size:
        raise FormatError("TRUNCATED", f"{size} bytes, the trailer says {length}")
    if length < size:
        raise FormatError("EXTENT", f"{size} bytes, the trailer says {length}: something was put before or after")
    if trailer.index_offset < FRAME_BYTES or trailer.index_offset + trailer.index_stored != start:
        where = f"offset {trailer.index_offset}, {trailer.index_stored} bytes"
        raise FormatError("EXTENT", f"index at {where} does not end at the trailer ({start})")
    return trailer


def align(position: int, decoded: int, coded: bool = False) -> int:
    """Where a tensor of `decoded` bytes starts if the bytes before it end at `position`.

    One whose first chunk is `coded`, which cannot be mapped, need not start on a page.
    """
    step = PAGE_ALIGN if decoded >= PAGE_ALIGN_FROM and not coded else ALIGN
    return (position + step - 1) & -step


def offsets(decoded: npt.ArrayLike, stored: npt.ArrayLike, coded: npt.ArrayLike) -> tuple[list[int], int]:
    """Start of every tensor, and where the last one ends.

    Args:
        decoded: Bytes of each, in index order.
        stored: Bytes it takes in the file.
        coded: Whether its first chunk has another codec than raw.

    Raises:
        FormatError: LIMIT, when the end passes the largest file.
    """
    sizes, held = np.asarray(decoded, np.int64), np.asarray(stored, np.int64)
    if not sizes.size:
        return [], FRAME_BYTES
    taken = (held + ALIGN - 1) & -ALIGN  # from a tensor's start to that of the next one, if that is a small one
    starts = taken.cumsum() - taken + FRAME_BYTES
    if (large := (sizes >= PAGE_ALIGN_FROM) & ~np.asarray(coded, bool)).any():
        gaps = np.zeros_like(starts)
        moved = 0
        for k in large.nonzero()[0].tolist():
            before = int(starts[k]) + moved
            gaps[k] = align(before, int(sizes[k])) - before
            moved += int(gaps[k])
        starts += gaps.cumsum()
    end = int(starts[-1] + held[-1])
    if end > MAX_FILE_BYTES:
        raise FormatError("LIMIT", f"the tensors end at {end}, a file has at most {MAX_FILE_BYTES} bytes")
    return starts.tolist(), end
