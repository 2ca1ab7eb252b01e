"""Values (spec section 3.3): at the root, beneath it, and many of a kind."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ..blocks import squeezed
from ..case import Case, accept
from ..draft import Draft
from .metadata import FLOATS, INTEGERS, STRINGS

_SINGLE: list[tuple[str, Any, str]] = [
    ("true", True, "no integer"),
    ("false", False, "no integer"),
    ("integer-0", 0, "no bool"),
    ("integer-1", 1, "neither true nor 1.0"),
    ("integer-minus-1", -1, "a negative fixint"),
    ("integer-beyond-float64", 2**53 + 1, "no float64 holds it"),
    ("integer-least", -(2**63), "the least one"),
    ("integer-largest", 2**64 - 1, "the largest one"),
    ("float-1", 1.0, "no integer"),
    ("float-minus-0", -0.0, "neither 0.0 nor an integer"),
    ("float-nan", float("nan"), "the one NaN"),
    ("float-infinity", float("inf"), "allowed"),
    ("float-minus-infinity", float("-inf"), "allowed"),
    ("string-empty", "", "no null"),
    ("string", "text\nof two lines", "a line feed, which paths cannot hold"),
    ("string-nul", "a\0b", "U+0000 within"),
    ("string-byte-order-mark", "\ufefftext", "U+FEFF at the start is kept"),
    ("string-four-bytes", "\U0001f9ee", "beyond the basic plane"),
    ("bytes-empty", b"", "no string"),
    ("bytes", b"\x00\xff\x80", "no UTF-8"),
    ("bytes-of-text", b"text", "no string"),
]


def cases() -> Iterator[Case]:
    """Each type at the root; then all in one file."""
    for slug, value, comment in _SINGLE:
        yield accept(f"root-{slug}", Draft().value("", value), "3.3", comment)

    def many(slug: str, comment: str, values: Sequence[Any]) -> Case:
        draft = Draft()
        for i, value in enumerate(values):
            draft.value(f"v{i}", value)
        return accept(slug, draft, "3.3", comment)

    yield many("integers", "every end of a form", INTEGERS)
    yield many("floats", "numbers that are easily lost", [*FLOATS.values()])
    yield many("strings", "code points that are easily lost", [*STRINGS.values()])
    yield many("bytes", "byte strings of 0 to 256 bytes", [bytes(size) for size in (0, 1, 31, 32, 255, 256)])
    yield many("every-byte", "all 256 bytes", [bytes(range(256))])
    yield many(
        "equal-in-some-languages", "values that are easily taken for one", [1, 1.0, True, "1", b"1", 0, -0.0, False]
    )
    yield many("same", "the same value five times, each an entry of its own", ["twice"] * 5)
    sizes = ["x" * size for size in (31, 32, 255, 256)]
    yield many("strings-of-each-form", "strings of 31, 32, 255 and 256 bytes", sizes)
    long = Draft().value("a", "x" * 65536).value("b", bytes(65536)).tensor("c", "uint8", (600,))
    long.header["metadata"] = {"text": "".join(map(chr, range(32, 127))) * 6}
    yield accept("of-65536-bytes", long, "3.3", "a string and a byte string", long.file(stored=squeezed))
    scalar = Draft().value("value", 1).tensor("tensor", "int64", (), (1).to_bytes(8, "little"))
    yield accept("beside-rank-0", scalar, "3.3", "an integer and a tensor without axes are different things")
