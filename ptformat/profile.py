"""The strict msgpack profile of the index (spec section 3.1): one byte string per value, bounded before it is built.

Shortest integer and length forms, non-negative integers unsigned, floats float64 with one NaN, map keys strings in
strictly ascending byte order, valid UTF-8, no ext, at most `MAX_DEPTH` nested containers.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from typing import Any

import msgpack

from .errors import FormatError, shown
from .limits import MAX_DEPTH, MAX_INDEX_VALUES

_NAN = struct.pack(">d", math.nan)
_UINT = {0xCC: (1, 0x80), 0xCD: (2, 1 << 8), 0xCE: (4, 1 << 16), 0xCF: (8, 1 << 32)}
_INT = {0xD0: (1, -0x20), 0xD1: (2, -(1 << 7)), 0xD2: (4, -(1 << 15)), 0xD3: (8, -(1 << 31))}
# Byte -> (kind, bytes of the length, smallest length that needs this form).
_SIZED = {
    0xC4: ("bin", 1, 0),
    0xC5: ("bin", 2, 1 << 8),
    0xC6: ("bin", 4, 1 << 16),
    0xD9: ("str", 1, 32),
    0xDA: ("str", 2, 1 << 8),
    0xDB: ("str", 4, 1 << 16),
    0xDC: ("array", 2, 16),
    0xDD: ("array", 4, 1 << 16),
    0xDE: ("map", 2, 16),
    0xDF: ("map", 4, 1 << 16),
}
_STRINGS = [lead for lead, (kind, _, _) in _SIZED.items() if kind == "str"]
_CONSTANTS = {0xC0: None, 0xC2: False, 0xC3: True}


def decode(data: bytes | memoryview) -> Any:
    """The one value that `data` holds.

    Returns:
        None, bool, int, float, str, bytes, list or dict (str keys), nested.

    Raises:
        FormatError: MALFORMED for what is no msgpack or has bytes left over, NONCANONICAL for another form of the
            same value, DUPLICATE for a repeated key, LIMIT for nesting beyond `MAX_DEPTH` or more than
            `MAX_INDEX_VALUES` items.
    """
    buffer = bytes(data)
    value, end = _Decoding(buffer).value(0, 0)
    if end != len(buffer):
        raise _malformed(end, f"{len(buffer) - end} bytes follow the value, expected none")
    return value


def token(buffer: bytes | memoryview, at: int, *, strict: bool = True) -> tuple[str, Any, int]:
    """Read one head at `at`: (kind, value or length, position after it).

    Kind is `scalar` (None, bool, int, float), `str`, `bin`, `array`, `map`, or, only when not strict, `ext` with
    the value (type, length). Other msgpack files are read with `strict=False`, which admits wide forms.
    """
    if at >= len(buffer):
        raise _malformed(at, "the bytes end where a value should begin")
    lead = buffer[at]
    at += 1
    if lead < 0x80:
        return "scalar", lead, at
    if lead >= 0xE0:
        return "scalar", lead - 0x100, at
    if lead < 0xC0:
        kind, mask = ("map", 0x0F) if lead < 0x90 else ("array", 0x0F) if lead < 0xA0 else ("str", 0x1F)
        return kind, lead & mask, at
    if lead in _CONSTANTS:
        return "scalar", _CONSTANTS[lead], at
    if lead in _SIZED:
        kind, width, least = _SIZED[lead]
        size = _integer(buffer, at, width)
        if strict and size < least:
            raise _noncanonical(at - 1, f"{kind} of length {size} in a {width}-byte length form")
        return kind, size, at + width
    if lead in _UINT:
        width, low = _UINT[lead]
        value = _integer(buffer, at, width)
        if strict and value < low:
            raise _noncanonical(at - 1, f"{value} as a {width}-byte unsigned integer")
        return "scalar", value, at + width
    if lead in _INT:
        width, high = _INT[lead]
        value = _integer(buffer, at, width, signed=True)
        if strict and value >= high:
            raise _noncanonical(at - 1, f"{value} as a {width}-byte signed integer")
        return "scalar", value, at + width
    if lead == 0xCB or (lead == 0xCA and not strict):
        return _float(buffer, at, lead, strict)
    if not strict and (0xC7 <= lead <= 0xC9 or 0xD4 <= lead <= 0xD8):
        return _ext(buffer, at, lead)
    what = {0xCA: "float32", 0xC1: "the byte c1, which is never used"}.get(lead, f"an ext type ({lead:02x})")
    raise FormatError("MALFORMED" if lead == 0xC1 else "NONCANONICAL", f"index byte {at - 1}: {what} is not allowed")


def _integer(buffer: bytes | memoryview, at: int, width: int, *, signed: bool = False) -> int:
    raw = buffer[at : at + width]
    if len(raw) < width:
        raise _malformed(at, f"{width} bytes of an integer expected, {len(raw)} are left")
    return int.from_bytes(raw, "big", signed=signed)


def _float(buffer: bytes | memoryview, at: int, lead: int, strict: bool) -> tuple[str, float, int]:
    width, form = (8, ">d") if lead == 0xCB else (4, ">f")
    raw = bytes(buffer[at : at + width])
    if len(raw) < width:
        raise _malformed(at, f"{width} bytes of a float expected, {len(raw)} are left")
    value: float = struct.unpack(form, raw)[0]
    if strict and value != value and raw != _NAN:
        raise _noncanonical(at - 1, f"NaN {raw.hex()}, only {_NAN.hex()} is allowed")
    return "scalar", value, at + width


def _ext(buffer: bytes | memoryview, at: int, lead: int) -> tuple[str, tuple[int, int], int]:
    if lead >= 0xD4:
        size = 1 << (lead - 0xD4)
    else:
        width = 1 << (lead - 0xC7)
        size = _integer(buffer, at, width)
        at += width
    return "ext", (_integer(buffer, at, 1, signed=True), size), at + 1


def text(buffer: bytes | memoryview, at: int, size: int) -> str:
    """The UTF-8 string of `size` bytes at `at`; MALFORMED when it is cut short or no UTF-8."""
    raw = bytes(buffer[at : at + size])
    if len(raw) < size:
        raise _malformed(at, f"a string of {size} bytes expected, {len(raw)} are left")
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise _malformed(at + error.start, f"no valid UTF-8 ({error.reason})") from None


class _Decoding:
    """One pass over a buffer. No container is built before its items are known to be there and to be few enough."""

    __slots__ = ("budget", "buffer")

    def __init__(self, buffer: bytes) -> None:
        self.buffer = buffer
        self.budget = MAX_INDEX_VALUES

    def value(self, at: int, depth: int) -> tuple[Any, int]:
        """The value whose head is at `at`, and where it ends."""
        buffer = self.buffer
        kind, head, at = token(buffer, at)
        if kind == "scalar":
            return head, at
        items = 2 * head if kind == "map" else head
        if items > len(buffer) - at:
            raise _malformed(at, f"{kind} of length {head} expected, {len(buffer) - at} bytes are left")
        if kind == "bin":
            return buffer[at : at + head], at + head
        if kind == "str":
            return text(buffer, at, head), at + head
        if depth == MAX_DEPTH:
            raise FormatError("LIMIT", f"index byte {at}: nested deeper than {MAX_DEPTH}")
        self.budget -= items
        if self.budget < 0:
            raise FormatError("LIMIT", f"index byte {at}: more than {MAX_INDEX_VALUES} items in all arrays and maps")
        return self.array(at, head, depth) if kind == "array" else self.map(at, head, depth)

    def array(self, at: int, count: int, depth: int) -> tuple[list[Any], int]:
        items = []
        for _ in range(count):
            item, at = self.value(at, depth + 1)
            items.append(item)
        return items, at

    def map(self, at: int, count: int, depth: int) -> tuple[dict[str, Any], int]:
        members: dict[str, Any] = {}
        last: bytes | None = None
        for _ in range(count):
            start = at
            lead = self.buffer[at] if at < len(self.buffer) else None
            if lead is not None and 0xA0 <= lead < 0xC0:  # a string of up to 31 bytes, as most keys are
                size, at = lead & 0x1F, at + 1
            else:
                # By its first byte: what follows a head that is no string's is not looked at.
                if lead is not None and lead not in _STRINGS:
                    code = "MALFORMED" if lead == 0xC1 else "NONCANONICAL"
                    raise FormatError(code, f"index byte {start}: a map key that is no string")
                _, size, at = token(self.buffer, at)
            key = text(self.buffer, at, size)
            raw = self.buffer[at : at + size]
            if last is not None and raw <= last:
                code, what = ("DUPLICATE", "repeated") if raw == last else ("NONCANONICAL", "out of order")
                raise FormatError(code, f"index byte {start}: map key {shown(key)} is {what}")
            last = raw
            members[key], at = self.value(at + size, depth + 1)
        return members, at


def _malformed(at: int, what: str) -> FormatError:
    return FormatError("MALFORMED", f"index byte {at}: {what}")


def _noncanonical(at: int, what: str) -> FormatError:
    return FormatError("NONCANONICAL", f"index byte {at}: {what}, not the one form the profile allows")


def encode(value: Any, where: str = "value") -> bytes:
    """The profile's bytes of a value; `where` names it in an error.

    Args:
        value: None, bool, int in int64 or uint64, float, str, bytes, and lists, tuples and str-keyed mappings of
            these. A tuple is written as an array.
        where: What the value is called in an error.

    Raises:
        FormatError: TYPE for anything else, LIMIT for an integer out of range or too deep a nesting.
    """
    packed: bytes = msgpack.packb(_canonical(value, where, 0), use_bin_type=True, strict_types=True)
    return packed


def _canonical(value: Any, where: str, depth: int) -> Any:
    kind = type(value)
    if value is None or kind in (bool, bytes):
        return value
    if kind is int:
        if not -(2**63) <= value < 2**64:
            raise FormatError("LIMIT", f"{where}: integer {value} does not fit int64 or uint64")
        return value
    if kind is float:
        return math.nan if value != value else value
    if kind is str:
        try:
            value.encode()
        except UnicodeEncodeError:
            raise FormatError("TYPE", f"{where}: string {value!r} holds a lone surrogate") from None
        return value
    if depth == MAX_DEPTH:
        raise FormatError("LIMIT", f"{where}: nested deeper than {MAX_DEPTH}")
    if kind in (list, tuple):
        return [_canonical(item, f"{where}[{i}]", depth + 1) for i, item in enumerate(value)]
    if isinstance(value, Mapping):
        if odd := next((key for key in value if type(key) is not str), None):
            raise FormatError("TYPE", f"{where}: map key {odd!r} is no string")
        return {
            _canonical(key, where, depth): _canonical(value[key], f"{where}[{key!r}]", depth + 1)
            for key in sorted(value, key=lambda key: key.encode(errors="surrogatepass"))
        }
    raise FormatError("TYPE", f"{where}: a {kind.__name__} cannot stand in the index")
