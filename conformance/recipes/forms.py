"""msgpack, form by form: the profile's forms (spec section 3.1) and every other form of the same values.

Each function gives bytes. Where a `width` or `lead` may be given, that form is used whether the profile allows it or
not.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from typing import Any

NULL, FALSE, TRUE = b"\xc0", b"\xc2", b"\xc3"
NAN = bytes.fromhex("7ff8000000000000")

# Kind -> (first byte of the short form, longest in it, [(lead, bytes of the length), …]).
_SIZED = {
    "str": (0xA0, 31, ((0xD9, 1), (0xDA, 2), (0xDB, 4))),
    "bin": (0, -1, ((0xC4, 1), (0xC5, 2), (0xC6, 4))),
    "array": (0x90, 15, ((0xDC, 2), (0xDD, 4))),
    "map": (0x80, 15, ((0xDE, 2), (0xDF, 4))),
}
_UNSIGNED = {1: 0xCC, 2: 0xCD, 4: 0xCE, 8: 0xCF}
_SIGNED = {1: 0xD0, 2: 0xD1, 4: 0xD2, 8: 0xD3}


def integer(n: int, width: int | None = None, *, signed: bool = False) -> bytes:
    """An integer: the profile's form, or that of `width` bytes (1, 2, 4 or 8)."""
    if width is None:
        if -32 <= n < 128:
            return struct.pack("b", n)
        signed = n < 0
        width = next(w for w in (1, 2, 4, 8) if n < 1 << 8 * w and (not signed or n >= -(1 << 8 * w - 1)))
    return bytes([(_SIGNED if signed else _UNSIGNED)[width]]) + n.to_bytes(width, "big", signed=signed)


def real(value: float) -> bytes:
    """A float64; a NaN in the profile's pattern."""
    return pattern(NAN if value != value else struct.pack(">d", value))


def pattern(bits: bytes) -> bytes:
    """A float64 of these 8 bytes, most significant first."""
    return b"\xcb" + bits


def head(kind: str, size: int, width: int | None = None) -> bytes:
    """The head of a `str`, `bin`, `array` or `map`: the shortest, or the one with a length of `width` bytes.

    A width of 0 is the form whose first byte holds the length.
    """
    short, most, wide = _SIZED[kind]
    if width == 0 or (width is None and size <= most):
        return bytes([short + size])
    lead, taken = next((lead, w) for lead, w in wide if (size < 1 << 8 * w if width is None else w == width))
    return bytes([lead]) + size.to_bytes(taken, "big")


def text(value: str | bytes, width: int | None = None) -> bytes:
    """A string; bytes are taken as they are, UTF-8 or not."""
    raw = value.encode() if isinstance(value, str) else value
    return head("str", len(raw), width) + raw


def binary(value: bytes, width: int | None = None) -> bytes:
    """A byte string."""
    return head("bin", len(value), width) + value


def array(items: Iterable[bytes], width: int | None = None) -> bytes:
    """An array of items that are msgpack already."""
    held = list(items)
    return head("array", len(held), width) + b"".join(held)


def mapping(members: Iterable[tuple[bytes, bytes]], width: int | None = None) -> bytes:
    """A map of keys and values that are msgpack already, in the order given."""
    held = list(members)
    return head("map", len(held), width) + b"".join(key + value for key, value in held)


def packed(value: Any) -> bytes:
    """A Python value in the profile's form; map keys in the order of their UTF-8 bytes, a tuple as an array."""
    if value is None:
        return NULL
    if isinstance(value, bool):
        return TRUE if value else FALSE
    if isinstance(value, int):
        return integer(value)
    if isinstance(value, float):
        return real(value)
    if isinstance(value, str):
        return text(value)
    if isinstance(value, bytes):
        return binary(value)
    if isinstance(value, Mapping):
        return keyed({key: packed(item) for key, item in value.items()})
    return array(map(packed, value))


def keyed(members: Mapping[str, bytes]) -> bytes:
    """A map of values that are msgpack already, its keys in the profile's order."""
    return mapping((text(key), members[key]) for key in sorted(members, key=str.encode))
