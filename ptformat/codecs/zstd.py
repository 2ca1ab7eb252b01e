"""Codec 1: one zstandard frame (RFC 8878) that declares its content size.

A frame is walked block by block before it is decoded: python-zstandard's one-call decoder ignores what follows a
frame and believes any declared size.
"""

from __future__ import annotations

import threading

import zstandard

from ..dtypes import DType
from ..errors import FormatError
from ..limits import MAX_ZSTD_RATIO, MAX_ZSTD_WINDOW

LEVEL = 3
KEEP = 0.99  # a chunk that does not shrink below this share is stored raw
_MAGIC = b"\x28\xb5\x2f\xfd"
_MAX_BLOCK = 2**17  # content of a block, unless the window is smaller (RFC 8878, 3.1.1.2.3)
_contexts = threading.local()  # a zstandard context serves one thread at a time


def encode(chunk: memoryview, dtype: DType | None = None, level: int = LEVEL) -> bytes | None:
    """One frame with content size, without checksum or dictionary id; None when the chunk hardly shrinks."""
    key = f"compressor{level}"
    if not hasattr(_contexts, key):
        made = zstandard.ZstdCompressor(level, write_content_size=True, write_checksum=False, write_dict_id=False)
        setattr(_contexts, key, made)
    frame: bytes = getattr(_contexts, key).compress(chunk)
    return frame if shrunk(frame, chunk) else None


def shrunk(stored: bytes, chunk: memoryview) -> bool:
    """Whether stored bytes are enough smaller than a chunk, and not by more than a reader believes."""
    return len(stored) < KEEP * len(chunk) and len(stored) * MAX_ZSTD_RATIO >= len(chunk)


def decode(stored: memoryview, into: memoryview, dtype: DType | None = None) -> None:
    """Decode the one frame in `stored` into exactly `into`.

    Raises:
        FormatError: CODEC for anything but one whole frame of that content size, LIMIT for its window or ratio.
    """
    check_frame(stored, len(into))
    if not hasattr(_contexts, "decompressor"):
        _contexts.decompressor = zstandard.ZstdDecompressor(max_window_size=MAX_ZSTD_WINDOW)
    made, fault = -1, "it ends before all that it declares"
    try:
        # Without a buffer of its own: the frame is there whole and the output has room for all that it declares.
        made = _contexts.decompressor.stream_reader(stored).readinto(into)
    except zstandard.ZstdError as error:
        fault = str(error)
    if made != len(into):
        raise FormatError("CODEC", f"zstd frame: {fault}")


def check_frame(stored: memoryview, size: int) -> None:
    """Check, without decoding, that `stored` is one frame that declares `size` bytes of content."""
    if stored[:4] != _MAGIC:
        raise FormatError("CODEC", f"chunk begins with {bytes(stored[:4]).hex()}, not a zstd frame's {_MAGIC.hex()}")
    if len(stored) < 6:
        raise FormatError("CODEC", f"zstd frame of {len(stored)} bytes is cut short")
    content, window, start = _header(stored)
    if content is None:
        raise FormatError("CODEC", "zstd frame does not declare its content size")
    if content != size:
        raise FormatError("CODEC", f"zstd frame declares {content} bytes, the index says {size}")
    if stored[4] & 0b1111:  # a reserved bit, a checksum that not every decoder checks, a dictionary id
        raise FormatError("CODEC", f"zstd frame descriptor {stored[4]:#04x}: its low four bits must be zero")
    if window > max(MAX_ZSTD_WINDOW, size):
        raise FormatError("LIMIT", f"zstd window of {window} bytes, at most {MAX_ZSTD_WINDOW} are allowed")
    if size > MAX_ZSTD_RATIO * len(stored):
        raise FormatError("LIMIT", f"{len(stored)} stored bytes declare {size}, over {MAX_ZSTD_RATIO} : 1")
    _walk(stored, start, min(window, _MAX_BLOCK))


def _header(stored: memoryview) -> tuple[int | None, int, int]:
    """Content size, window in bytes, and where the frame header ends (RFC 8878, 3.1.1.1)."""
    descriptor = stored[4]
    single = descriptor >> 5 & 1
    width = (single, 2, 4, 8)[descriptor >> 6]
    start = 5 + (1 - single) + (0, 1, 2, 4)[descriptor & 3]
    end = start + width
    if end > len(stored):
        raise FormatError("CODEC", f"zstd frame header of {end} bytes is cut short")
    content = int.from_bytes(stored[start:end], "little") + (256 if width == 2 else 0) if width else None
    base = 1 << (10 + (stored[5] >> 3))
    window = (content or 0) if single else base + base // 8 * (stored[5] & 7)
    return content, window, end


def _walk(stored: memoryview, at: int, most: int) -> None:
    """Follow the blocks (RFC 8878, 3.1.1.2) from `at` to the frame's end, which must be the end of `stored`."""
    last = False
    while not last:
        if at + 3 > len(stored):
            raise FormatError("CODEC", f"zstd frame is cut short at byte {at}")
        head = int.from_bytes(stored[at : at + 3], "little")
        last = bool(head & 1)
        kind, size = head >> 1 & 3, head >> 3
        if kind == 3:
            raise FormatError("CODEC", f"zstd block at byte {at} is of the reserved type")
        if size > most:
            raise FormatError("CODEC", f"zstd block at byte {at} of size {size}, at most {most} is allowed")
        at += 3 + (1 if kind == 1 else size)
    if at != len(stored):
        raise FormatError("CODEC", f"zstd frame ends at byte {at}, the chunk has {len(stored)}")
