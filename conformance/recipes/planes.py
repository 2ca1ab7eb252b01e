"""Codec planes: elements taken apart, and planes put into stored bytes (spec section 6.3)."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from .elements import BITS, COMPONENTS, REGROUPED

RAW, ZSTD, SEVENS = 0, 1, 2
Stored = tuple[int, bytes]  # mode, stored bytes


def apart(dtype: str, data: bytes) -> list[bytes]:
    """The planes of a chunk, one for each byte of an element."""
    size = BITS[dtype] // 8
    width = size // COMPONENTS.get(dtype, 1)
    if dtype in REGROUPED:
        data = b"".join(_regrouped(data[at : at + width]) for at in range(0, len(data), width))
    return [data[place::size] for place in (i // width * width + width - 1 - i % width for i in range(size))]


def _regrouped(component: bytes) -> bytes:
    """Sign, e7, e6 to e0, m, rest becomes e6 to e0, m, sign, e7, rest."""
    bits = 8 * len(component)
    word = int.from_bytes(component, "little")
    sign, exponent = word >> bits - 1, word >> bits - 9 & 0xFF
    first, rest = word >> bits - 10 & 1, word & (1 << bits - 10) - 1
    made = (exponent & 0x7F) << bits - 7 | first << bits - 8 | sign << bits - 9 | exponent >> 7 << bits - 10 | rest
    return made.to_bytes(len(component), "little")


def together(dtype: str, planes: Sequence[bytes]) -> bytes:
    """The chunk of which these are the planes."""
    size = BITS[dtype] // 8
    width = size // COMPONENTS.get(dtype, 1)
    parts = [planes[i : i + width] for i in range(0, size, width)]  # of the planes, a component's
    words = ((int.from_bytes(bytes(word), "big") for word in zip(*part, strict=True)) for part in parts)
    ordered = [word for element in zip(*words, strict=True) for word in element]
    bits = 8 * width
    if dtype in REGROUPED:
        ordered = [_ungrouped(word, bits) for word in ordered]
    return b"".join(word.to_bytes(width, "little") for word in ordered)


def _ungrouped(word: int, bits: int) -> int:
    """e6 to e0, m, sign, e7, rest becomes sign, e7, e6 to e0, m, rest."""
    low, first = word >> bits - 7, word >> bits - 8 & 1
    sign, high, rest = word >> bits - 9 & 1, word >> bits - 10 & 1, word & (1 << bits - 10) - 1
    return sign << bits - 1 | high << bits - 2 | low << bits - 9 | first << bits - 10 | rest


def sevens(plane: bytes) -> bytes:
    """A plane without bit 6 of its bytes: mode 2."""
    ones = [place for place, byte in enumerate(plane) if byte & 0x40]
    part = -(-len(plane) // 8)
    v = bytes(byte & 0xBF for byte in plane) + bytes(8 * part - len(plane))
    made = bytearray(v[: 7 * part])
    for j in range(part):
        byte = v[7 * part + j]
        bits = byte & 0x3F | byte >> 1 & 0x40
        for i in range(7):
            made[i * part + j] |= (bits >> i & 1) << 6
    return struct.pack(f"<{1 + len(ones)}I", len(ones), *ones) + bytes(made)


def stored(planes: Sequence[Stored]) -> bytes:
    """Modes and lengths, then the planes."""
    heads = b"".join(struct.pack("<BI", mode, len(data)) for mode, data in planes)
    return heads + b"".join(data for _, data in planes)
