"""The strict msgpack profile of the index (spec section 3.1): one byte string per value, bounded before it is built.

Shortest integer and length forms, non-negative integers unsigned, floats float64 with one NaN, map keys strings in
strictly ascending byte order, valid UTF-8, no ext, at most `MAX_DEPTH` nested containers.
"""

from __future__ import annotations

import codecs
import math
import struct
from collections.abc import Iterable, Mapping
from typing import Any

import msgpack

from .errors import FormatError, shown
from .limits import MAX_DEPTH, MAX_INDEX_VALUES

_NAN = struct.pack(">d", math.nan)
# Byte -> (kind, bytes of the number or length that follows, smallest one that needs this form).
_UNSIGNED = {
    0xC4: ("bin", 1, 0),
    0xC5: ("bin", 2, 1 << 8),
    0xC6: ("bin", 4, 1 << 16),
    0xCC: ("scalar", 1, 0x80),
    0xCD: ("scalar", 2, 1 << 8),
    0xCE: ("scalar", 4, 1 << 16),
    0xCF: ("scalar", 8, 1 << 32),
    0xD9: ("str", 1, 32),
    0xDA: ("str", 2, 1 << 8),
    0xDB: ("str", 4, 1 << 16),
    0xDC: ("array", 2, 16),
    0xDD: ("array", 4, 1 << 16),
    0xDE: ("map", 2, 16),
    0xDF: ("map", 4, 1 << 16),
}
# Byte -> (bytes of the number that follows, smallest one that needs no such form).
_SIGNED = {0xD0: (1, -0x20), 0xD1: (2, -(1 << 7)), 0xD2: (4, -(1 << 15)), 0xD3: (8, -(1 << 31))}
_STRINGS = [lead for lead, (kind, _, _) in _UNSIGNED.items() if kind == "str"]
_CONSTANTS = {0xC0: None, 0xC2: False, 0xC3: True}
_PART = 2**20  # bytes of a text that are made at once
_NEVER = 0xC1  # no value begins with this byte


class Text:
    """A string of an index that is known to be UTF-8, and is not made as a whole: one wide character widens all."""

    def __init__(self, raw: bytes) -> None:
        self.raw = raw

    def count(self) -> int:
        """The number of its lines; none if it is empty."""
        return self.raw.count(b"\n") + 1 if self.raw else 0

    def lines(self) -> list[str]:
        """Its lines."""
        found: list[str] = []
        start = 0
        while start < len(self.raw):
            stop = self.raw.find(b"\n", start + _PART) + 1 or len(self.raw) + 1
            found += str(self.raw[start : stop - 1], "utf-8").split("\n")
            start = stop
        if start == len(self.raw):  # nothing, or what follows the last line's end
            found.append("")
        return found


def decode(data: bytes | memoryview, late: str | None = None) -> Any:
    """The one value that `data` holds.

    Args:
        data: The bytes of the value.
        late: A key of the outermost map, a string under which is not made: a `Text` stands in its place.

    Returns:
        None, bool, int, float, str, bytes, list or dict (str keys), nested.

    Raises:
        FormatError: MALFORMED for what is no msgpack or has bytes left over, NONCANONICAL for another form of the
            same value, DUPLICATE for a repeated key, LIMIT for nesting beyond `MAX_DEPTH` or more than
            `MAX_INDEX_VALUES` items.
    """
    buffer = bytes(data)
    value, end = _Decoding(buffer, late).value(0, 0)
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
    if lead in _UNSIGNED:
        kind, width, least = _UNSIGNED[lead]
        number = _integer(buffer, at, width)
        if strict and number < least:
            what = f"{number} as a {width}-byte unsigned integer"
            if kind != "scalar":
                what = f"{kind} of length {number} in a {width}-byte length form"
            raise _noncanonical(at - 1, what)
        return kind, number, at + width
    if lead in _CONSTANTS:
        return "scalar", _CONSTANTS[lead], at
    if lead in _SIGNED:
        width, high = _SIGNED[lead]
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
    """One pass over a buffer. No container is built before its items are known to be there and to be few enough.

    There may be four million items: what takes one byte, and short strings, are taken where they stand.
    """

    __slots__ = ("budget", "buffer", "end", "key")

    def __init__(self, buffer: bytes, key: str | None) -> None:
        self.buffer = buffer
        self.key = key  # of the outermost map, whose string is left as a `Text`
        self.end = len(buffer)
        self.budget = MAX_INDEX_VALUES

    def value(self, at: int, depth: int) -> tuple[Any, int]:
        """The value whose head is at `at`, and where it ends."""
        kind, head, at = token(self.buffer, at)
        if kind == "scalar":
            return head, at
        items = 2 * head if kind == "map" else head
        if items > self.end - at:
            raise _malformed(at, f"{kind} of length {head} expected, {self.end - at} bytes are left")
        if kind == "str":
            return self.text(at, at + head), at + head
        if kind == "bin":
            return self.buffer[at : at + head], at + head
        if depth == MAX_DEPTH:
            raise FormatError("LIMIT", f"index byte {at}: nested deeper than {MAX_DEPTH}")
        self.budget -= items
        if self.budget < 0:
            raise FormatError("LIMIT", f"index byte {at}: more than {MAX_INDEX_VALUES} items in all arrays and maps")
        return self.array(at, head, depth + 1) if kind == "array" else self.map(at, head, depth + 1)

    def text(self, at: int, stop: int) -> str:
        """The string between these places, which are within the buffer."""
        try:
            return str(self.buffer[at:stop], "utf-8")
        except UnicodeDecodeError as error:
            raise _malformed(at + error.start, f"no valid UTF-8 ({error.reason})") from None

    def late(self, at: int) -> tuple[Any, int]:
        """As `value`, but of a string a `Text`, which is looked at by parts."""
        kind, size, start = token(self.buffer, at)
        stop = start + size if kind == "str" else at
        if kind != "str" or stop > self.end:
            return self.value(at, 1)
        part = start
        try:
            while part < stop:
                piece = self.buffer[part : min(part + _PART, stop)]
                part += codecs.utf_8_decode(piece, "strict", part + len(piece) == stop)[1]
        except UnicodeDecodeError as error:
            raise _malformed(part + error.start, f"no valid UTF-8 ({error.reason})") from None
        return Text(self.buffer[start:stop]), stop

    def array(self, at: int, count: int, depth: int) -> tuple[list[Any], int]:
        buffer, end, value = self.buffer, self.end, self.value
        items: list[Any] = [None] * count  # takes no more than it needs, as one that grows would
        for i in range(count):
            lead = buffer[at] if at < end else _NEVER
            if lead < 0x80:
                items[i] = lead
                at += 1
            elif lead in _CONSTANTS:
                items[i] = _CONSTANTS[lead]
                at += 1
            elif 0xA0 <= lead < 0xC0 and (stop := at + lead - 0x9F) <= end:
                items[i] = self.text(at + 1, stop)
                at = stop
            else:
                items[i], at = value(at, depth)
        return items, at

    def map(self, at: int, count: int, depth: int) -> tuple[dict[str, Any], int]:
        buffer, end, value = self.buffer, self.end, self.value
        late = self.key if depth == 1 else None
        members: dict[str, Any] = {}
        last: bytes | None = None
        for _ in range(count):
            start = at
            lead = buffer[at] if at < end else None
            if lead is not None and 0xA0 <= lead < 0xC0:  # a string of up to 31 bytes, as most keys are
                at += 1
                stop = at + lead - 0xA0
            else:
                # By its first byte: what follows a head that is no string's is not looked at.
                if lead is not None and lead not in _STRINGS:
                    code = "MALFORMED" if lead == _NEVER else "NONCANONICAL"
                    raise FormatError(code, f"index byte {start}: a map key that is no string")
                _, size, at = token(buffer, at)
                stop = at + size
            if stop > end:
                raise _malformed(at, f"a string of {stop - at} bytes expected, {end - at} are left")
            key = self.text(at, stop)
            raw = buffer[at:stop]
            if last is not None and raw <= last:
                code, what = ("DUPLICATE", "repeated") if raw == last else ("NONCANONICAL", "out of order")
                raise FormatError(code, f"index byte {start}: map key {shown(key)} is {what}")
            last = raw
            members[key], at = self.late(stop) if key == late else value(stop, depth)
        return members, at


def _malformed(at: int, what: str) -> FormatError:
    return FormatError("MALFORMED", f"index byte {at}: {what}")


def _noncanonical(at: int, what: str) -> FormatError:
    return FormatError("NONCANONICAL", f"index byte {at}: {what}, not the one form the profile allows")


def again(value: Any) -> bytes:
    """The bytes of a value that `decode` gave: nothing of it needs to be looked at."""
    packed: bytes = msgpack.packb(value, use_bin_type=True, strict_types=True)
    return packed


class _Unfit(Exception):
    """A value that cannot be written; the steps to it are gathered on the way out."""

    def __init__(self, code: str, what: str) -> None:
        self.code = code
        self.what = what
        self.steps: list[str] = []


def encode(value: Any, where: str = "value") -> bytes:
    """The profile's bytes of a value; `where` names it in an error.

    Args:
        value: None, bool, int in int64 or uint64, float, str, bytes, and lists, tuples and str-keyed mappings of
            these. A tuple is written as an array.
        where: What the value is called in an error.

    Raises:
        FormatError: TYPE for anything else, LIMIT for an integer out of range or too deep a nesting.
    """
    try:
        return again(_canonical(value, 0))
    except _Unfit as unfit:
        place = where + "".join(reversed(unfit.steps))
        raise FormatError(unfit.code, f"{place}: {unfit.what}") from None


def _canonical(value: Any, depth: int) -> Any:
    kind = type(value)
    if value is None or kind in (bool, bytes):
        return value
    if kind is int:
        if not -(2**63) <= value < 2**64:
            raise _Unfit("LIMIT", f"integer {value} does not fit int64 or uint64")
        return value
    if kind is float:
        return math.nan if value != value else value
    if kind is str:
        return _text(value)
    if depth == MAX_DEPTH:
        raise _Unfit("LIMIT", f"nested deeper than {MAX_DEPTH}")
    if kind in (list, tuple):
        return _array(value, depth + 1)
    if isinstance(value, Mapping):
        return _map(value, depth + 1)
    raise _Unfit("TYPE", f"a {kind.__name__} cannot stand in the index")


def _text(value: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise _Unfit("TYPE", f"string {value!r} holds a lone surrogate") from None
    return value


def _array(value: Iterable[Any], depth: int) -> list[Any]:
    items: list[Any] = []
    try:
        for item in value:
            items.append(_canonical(item, depth))
    except _Unfit as unfit:
        unfit.steps.append(f"[{len(items)}]")
        raise
    return items


def _map(value: Mapping[Any, Any], depth: int) -> dict[str, Any]:
    for key in value:
        if type(key) is not str:
            raise _Unfit("TYPE", f"map key {key!r} is no string")
    members: dict[str, Any] = {}
    for key in sorted(value, key=lambda key: key.encode(errors="surrogatepass")):
        _text(key)
        try:
            members[key] = _canonical(value[key], depth)
        except _Unfit as unfit:
            unfit.steps.append(f"[{key!r}]")
            raise
    return members
