"""Element types (spec sections 5.1 to 5.3)."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from ..case import Case, accept
from ..draft import Draft
from ..elements import BITS

_PACKED = [name for name, bits in BITS.items() if bits < 8]
_BYTES = [name for name in BITS if name.startswith("float8")]

# Patterns of one component, as hexadecimal numbers, most significant digit first.
_PATTERNS = {
    "int16": "8000 8001 ffff 0000 0001 7fff 00ff ff00",
    "int32": "80000000 80000001 ffffffff 00000000 00000001 7fffffff 0000ffff",
    "int64": "8000000000000000 ffffffffffffffff 0000000000000000 7fffffffffffffff 0020000000000001 00000000ffffffff",
    "uint16": "0000 0001 7fff 8000 ffff 00ff ff00",
    "uint32": "00000000 00000001 7fffffff 80000000 ffffffff",
    "uint64": "0000000000000000 7fffffffffffffff 8000000000000000 ffffffffffffffff 0020000000000001",
    # ±0, least subnormal, largest subnormal, least normal, 1, largest, ±infinity, NaN quiet, signalling, with a
    # payload, negative, of all ones.
    "float16": "0000 8000 0001 8001 03ff 0400 3c00 7bff 7c00 fc00 7e00 7c01 7e55 fe00 fdff ffff",
    "bfloat16": "0000 8000 0001 8001 007f 0080 3f80 7f7f 7f80 ff80 7fc0 7f81 7fd5 ffc0 ffbf ffff",
    "float32": "00000000 80000000 00000001 80000001 007fffff 00800000 3f800000 7f7fffff 7f800000 ff800000 7fc00000 "
    "7f800001 7fd55555 ffc00000 ffbfffff ffffffff",
    "float64": "0000000000000000 8000000000000000 0000000000000001 8000000000000001 000fffffffffffff 0010000000000000 "
    "3ff0000000000000 7fefffffffffffff 7ff0000000000000 fff0000000000000 7ff8000000000000 7ff0000000000001 "
    "7ff8dead00beef00 fff8000000000000 fff7ffffffffffff ffffffffffffffff",
}
_PATTERNS["complex64"], _PATTERNS["complex128"] = _PATTERNS["float32"], _PATTERNS["float64"]


def cases() -> Iterator[Case]:
    """Every type: shapes, and the patterns that are easily lost; elements of less than a byte: every tail."""
    for name in BITS:
        slug = name.replace("_", "-")
        yield accept(f"{slug}-shapes", _shapes(name), "5.1", "rank 0, 1 and 2, and no elements")
    for name, text in _PATTERNS.items():
        patterns = [bytes.fromhex(number)[::-1] for number in text.split()]
        if name.startswith("complex"):  # each beside each of its neighbours, as real and as imaginary part
            patterns = [a + b for a, b in zip(patterns, patterns[1:] + patterns[:1], strict=True)]
        yield accept(
            f"{name}-patterns", _patterns(name, b"".join(patterns)), "5.1", _SPECIAL[name.rstrip("0123456789")]
        )
    for name in ("int8", "uint8", *_BYTES):
        section = "5.2" if name in _BYTES else "5.1"
        slug = name.replace("_", "-")
        yield accept(f"{slug}-patterns", _patterns(name, bytes(range(256))), section, "all 256 bytes")
    yield accept("bool-patterns", _patterns("bool", bytes([0, 1, 1, 0, 1])), "5.1", "both bytes")
    for name in _PACKED:
        slug = name.replace("_", "-")
        every = {2: "e4", 4: "1032547698badcfe"}[BITS[name]]
        yield accept(f"{slug}-patterns", _patterns(name, bytes.fromhex(every)), "5.3", "every pattern, in order")
        yield from _tails(name, slug)
    yield accept("examples", _examples(), "5.3", "the table of section 5.3")
    yield accept("all", _all(), "5.1", "a tensor of each type, in the order of the codes")
    yield accept("all-reversed", _all(reverse=True), "5.1", "the types against the order of their codes")


_SPECIAL = {
    "int": "least, largest and those that lose bits in a float64",
    "uint": "largest, and those with the highest bit",
    "float": "zeros, subnormal numbers, infinities, payloads of NaN",
    "bfloat": "zeros, subnormal numbers, infinities, payloads of NaN",
    "complex": "zeros, infinities and NaN in either part",
}


def _shapes(name: str) -> Draft:
    made = Draft()
    for path, shape in (("scalar", ()), ("vector", (3,)), ("matrix", (3, 5)), ("none", (0,)), ("flat", (2, 0, 3))):
        made.tensor(path, name, shape)
    return made


def _patterns(name: str, data: bytes) -> Draft:
    return Draft().tensor("x", name, (len(data) * 8 // BITS[name],), data)


def _tails(name: str, slug: str) -> Iterator[Case]:
    """Every count of elements in the last byte, with all their bits set: the others are zero."""
    per = 8 // BITS[name]
    for count in range(per + 1, 2 * per):
        used = (count - per) * BITS[name]
        draft = Draft().tensor("x", name, (count,), bytes([255, (1 << used) - 1]))
        yield accept(f"{slug}-tail-{count - per}", draft, "5.3", "ones, then zero bits up to the end of the byte")
    rows = Draft().tensor("x", name, (5, per - 1)).tensor("y", name, (3, 1, per + 1))
    yield accept(f"{slug}-rows", rows, "5.3", "rows begin within a byte")


def _examples() -> Draft:
    made = Draft().tensor("a", "int4", (3,), bytes.fromhex("e103")).tensor("b", "int2", (5,), bytes.fromhex("8d01"))
    return made.tensor("c", "uint4", (4,), struct.pack("<H", 0xA90F))


def _all(reverse: bool = False) -> Draft:
    made = Draft()
    for name in sorted(BITS, key=list(BITS).index, reverse=reverse):
        made.tensor(name, name, (2,))
    return made
