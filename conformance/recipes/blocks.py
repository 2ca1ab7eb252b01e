"""Zstandard frames made by hand: headers of every kind, raw blocks and RLE blocks (spec section 6.2, RFC 8878).

Compressed blocks take an entropy coder: frames that have them are frozen bytes (`frames`).
"""

from __future__ import annotations

from collections.abc import Sequence

MAGIC = bytes.fromhex("28b52ffd")
RAW, RLE, COMPRESSED, RESERVED = range(4)
MAX_BLOCK = 2**17


def block(kind: int, size: int, content: bytes, *, last: bool) -> bytes:
    """A block: its 3 bytes, then what is given."""
    return (last | kind << 1 | size << 3).to_bytes(3, "little") + content


def raw_blocks(data: bytes, size: int = MAX_BLOCK, *, last: bool = True) -> bytes:
    """Blocks that hold the data as it is, one empty block for none; the last of them ends the frame if `last`."""
    starts = range(0, len(data), size) if data else [0]
    parts = [data[at : at + size] for at in starts]
    return b"".join(block(RAW, len(part), part, last=last and i == len(parts) - 1) for i, part in enumerate(parts))


def rle_blocks(byte: int, count: int, size: int = MAX_BLOCK, *, last: bool = True) -> bytes:
    """Blocks that hold one byte many times; the last of them ends the frame if `last`."""
    starts = range(0, count, size)
    return b"".join(block(RLE, min(size, count - at), bytes([byte]), last=last and at + size >= count) for at in starts)


def header(
    content: int | None,
    *,
    width: int | None = None,
    window: int | None = None,
    descriptor: int = 0,
    dictionary: bytes = b"",
) -> bytes:
    """A frame header.

    Args:
        content: Frame_Content_Size; None for none.
        width: Bytes of it: 1, 2, 4 or 8; the fewest by default. One of 1 byte needs a single segment.
        window: The byte that describes the window; None for a single segment.
        descriptor: Bits to set besides.
        dictionary: A dictionary id of 1, 2 or 4 bytes; its flag is set too.
    """
    single = window is None
    if content is None:
        code, field = 0, b""
        if single:
            raise ValueError("a single segment has a content size")
    else:
        if width is None:
            width = 1 if single and content < 256 else 2 if 256 <= content < 65792 else 4 if content < 2**32 else 8
        code = {1: 0, 2: 1, 4: 2, 8: 3}[width]
        field = (content - (256 if width == 2 else 0)).to_bytes(width, "little")
    flag = {0: 0, 1: 1, 2: 2, 4: 3}[len(dictionary)]
    first = descriptor | code << 6 | single << 5 | flag
    return MAGIC + bytes([first]) + (b"" if window is None else bytes([window])) + dictionary + field


def raw_frame(data: bytes, *, size: int = MAX_BLOCK, window: int | None = None, width: int | None = None) -> bytes:
    """A frame of raw blocks."""
    return header(len(data), window=window, width=width) + raw_blocks(data, size)


def rle_frame(byte: int, count: int, *, size: int = MAX_BLOCK, window: int | None = None) -> bytes:
    """A frame of RLE blocks: `rle_frame(0, 64)` is ten bytes."""
    return header(count, window=window) + rle_blocks(byte, count, size)


def runs_frame(runs: Sequence[tuple[int, int]]) -> bytes:
    """A frame of runs, each a byte and how often: one or more RLE blocks a run."""
    total = sum(count for _, count in runs)
    made = [rle_blocks(byte, count, last=i == len(runs) - 1) for i, (byte, count) in enumerate(runs)]
    return header(total) + b"".join(made)


def squeezed(data: bytes, least: int = 16) -> bytes:
    """A frame of RLE blocks for the runs of at least so many equal bytes, and raw blocks for the rest."""
    made, start, at = [], 0, 0
    while at < len(data):
        end = at
        while end < len(data) and data[end] == data[at]:
            end += 1
        if end - at >= least:
            if start < at:
                made.append((RAW, data[start:at]))
            made.append((RLE, data[at:end]))
            start = end
        at = end
    if start < len(data):
        made.append((RAW, data[start:]))
    body = b"".join(
        raw_blocks(part, last=i == len(made) - 1)
        if kind == RAW
        else rle_blocks(part[0], len(part), last=i == len(made) - 1)
        for i, (kind, part) in enumerate(made)
    )
    return header(len(data)) + body
