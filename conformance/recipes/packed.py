"""Compressed blocks of Zstandard made by hand (RFC 8878, section 3.1.1.3).

The codes of the sequences stand in RLE mode, and Huffman trees are written directly: so no state of an entropy coder
has to be kept, and each bit can be chosen.
"""

from __future__ import annotations

from collections.abc import Sequence

AS_IT_IS, RLE, HUFFMAN, TREELESS = range(4)  # of the literals
PREDEFINED, CODE, TABLE, REPEAT = range(4)  # of the codes of sequences
Field = tuple[int, int]  # value, bits


def literals(size: int, content: bytes, kind: int = AS_IT_IS) -> bytes:
    """A literals section that is not compressed: with its size in 5, 12 or 20 bits."""
    if size < 32:
        return bytes([size << 3 | kind]) + content
    if size < 4096:
        return (size << 4 | 1 << 2 | kind).to_bytes(2, "little") + content
    return (size << 4 | 3 << 2 | kind).to_bytes(3, "little") + content


def huffman(
    size: int, tree: bytes, streams: bytes, *, four: bool = False, stored: int | None = None, kind: int = HUFFMAN
) -> bytes:
    """A compressed literals section of fewer than 1024 literals and bytes; `stored` in place of its own length."""
    taken = len(tree) + len(streams) if stored is None else stored
    return (kind | four << 2 | size << 4 | taken << 14).to_bytes(3, "little") + tree + streams


def bits(*fields: Field) -> bytes:
    """A bitstream of fields in the order in which they are read: backwards from the mark, its highest bit."""
    made, used = 1, 0
    for value, width in fields:
        made = made << width | value
        used += width
    return made.to_bytes(used // 8 + 1, "little")


def jumps(streams: Sequence[bytes]) -> bytes:
    """Four streams behind the lengths of the first three."""
    return b"".join(len(stream).to_bytes(2, "little") for stream in streams[:3]) + b"".join(streams)


def sequences(
    count: int, tables: bytes, stream: bytes, *, modes: tuple[int, int, int] = (CODE,) * 3, low: int = 0
) -> bytes:
    """A sequences section of fewer than 128: modes and tables of literal lengths, offsets, match lengths."""
    return bytes([count, modes[0] << 6 | modes[1] << 4 | modes[2] << 2 | low]) + tables + stream
