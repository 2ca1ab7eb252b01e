"""Codec 1: one zstandard frame (RFC 8878) that declares its content size.

A frame is walked block by block before it is decoded: python-zstandard's one-call decoder ignores what follows a
frame and believes any declared size.
"""

from __future__ import annotations

import threading

import zstandard

from ..errors import FormatError
from ..limits import MAX_ZSTD_RATIO, MAX_ZSTD_WINDOW

LEVEL = 3
KEEP = 0.99  # a chunk that does not shrink below this share is stored raw
_MAGIC = b"\x28\xb5\x2f\xfd"
_contexts = threading.local()  # a zstandard context serves one thread at a time


def encode(chunk: memoryview, level: int = LEVEL) -> bytes | None:
    """One frame with content size, without checksum or dictionary id; None when the chunk hardly shrinks."""
    key = f"compressor{level}"
    if not hasattr(_contexts, key):
        made = zstandard.ZstdCompressor(level, write_content_size=True, write_checksum=False, write_dict_id=False)
        setattr(_contexts, key, made)
    frame: bytes = getattr(_contexts, key).compress(chunk)
    small = len(frame) < KEEP * len(chunk) and len(frame) * MAX_ZSTD_RATIO >= len(chunk)
    return frame if small else None


def decode(stored: memoryview, into: memoryview) -> None:
    """Decode the one frame in `stored` into exactly `into`.

    Raises:
        FormatError: CODEC for anything but one whole frame of that content size, LIMIT for its window or ratio.
    """
    check_frame(stored, len(into))
    if not hasattr(_contexts, "decompressor"):
        _contexts.decompressor = zstandard.ZstdDecompressor(max_window_size=MAX_ZSTD_WINDOW)
    try:
        into[:] = _contexts.decompressor.decompress(stored)
    except zstandard.ZstdError as error:
        raise FormatError("CODEC", f"zstd frame: {error}") from None


def check_frame(stored: memoryview, size: int) -> None:
    """Check, without decoding, that `stored` is one frame that declares `size` bytes of content."""
    if stored[:4] != _MAGIC:
        raise FormatError("CODEC", f"chunk begins with {bytes(stored[:4]).hex()}, not a zstd frame's {_MAGIC.hex()}")
    if len(stored) < 6:
        raise FormatError("CODEC", f"zstd frame of {len(stored)} bytes is cut short")
    try:
        frame = zstandard.get_frame_parameters(stored)
    except zstandard.ZstdError as error:
        raise FormatError("CODEC", f"zstd frame header: {error}") from None
    if frame.content_size == zstandard.CONTENTSIZE_UNKNOWN:
        raise FormatError("CODEC", "zstd frame does not declare its content size")
    if frame.content_size != size:
        raise FormatError("CODEC", f"zstd frame declares {frame.content_size} bytes, the index says {size}")
    if stored[4] & 0b1111:  # a reserved bit, a checksum that not every decoder checks, a dictionary id
        raise FormatError("CODEC", f"zstd frame descriptor {stored[4]:#04x}: its low four bits must be zero")
    if frame.window_size > max(MAX_ZSTD_WINDOW, size):
        raise FormatError("LIMIT", f"zstd window of {frame.window_size} bytes, at most {MAX_ZSTD_WINDOW} are allowed")
    if size > MAX_ZSTD_RATIO * len(stored):
        raise FormatError("LIMIT", f"{len(stored)} stored bytes declare {size}, over {MAX_ZSTD_RATIO} : 1")
    _walk(stored)


def _walk(stored: memoryview) -> None:
    """Follow the block headers (RFC 8878, 3.1.1.2) to the frame's end, which must be the end of `stored`."""
    descriptor = stored[4]
    single = descriptor >> 5 & 1
    at = 5 + (1 - single) + (single, 2, 4, 8)[descriptor >> 6]
    last = False
    while not last:
        if at + 3 > len(stored):
            raise FormatError("CODEC", f"zstd frame is cut short at byte {at}")
        head = int.from_bytes(stored[at : at + 3], "little")
        last = bool(head & 1)
        kind = head >> 1 & 3
        at += 3 + (1 if kind == 1 else head >> 3)
    if at != len(stored):
        raise FormatError("CODEC", f"zstd frame ends at byte {at}, the chunk has {len(stored)}")
