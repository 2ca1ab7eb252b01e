"""The values of metadata and provenance (spec sections 3.1 and 3.2): every form of msgpack at the ends of its range."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..blocks import squeezed
from ..case import Case, accept
from ..draft import Draft

# The ends of the ranges of section 3.1.
INTEGERS = [
    *(0, 1, 127, 128, 2**8 - 1, 2**8, 2**16 - 1, 2**16, 2**31 - 1, 2**31, 2**32 - 1, 2**32),
    *(2**53 - 1, 2**53, 2**53 + 1, 2**63 - 1, 2**63, 2**64 - 1),
    *(-1, -32, -33, -(2**7), -(2**7) - 1, -(2**15), -(2**15) - 1, -(2**31), -(2**31) - 1, -(2**53) - 1, -(2**63)),
]
FLOATS = {
    "zero": 0.0,
    "minus-zero": -0.0,
    "one": 1.0,
    "minus-one": -1.0,
    "tenth": 0.1,
    "infinity": float("inf"),
    "minus-infinity": float("-inf"),
    "nan": float("nan"),
    "least-subnormal": 5e-324,
    "largest-subnormal": 2.225073858507201e-308,
    "least-normal": 2.2250738585072014e-308,
    "largest": 1.7976931348623157e308,
    "two-to-53": 2.0**53,
    "two-to-64": 2.0**64,
    "float32": 0.5,
}
STRINGS = {
    "nul": "a\0b",
    "controls": "".join(map(chr, range(1, 32))) + "\x7f",
    "upper-controls": "".join(map(chr, range(0x80, 0xA0))),
    "two-bytes": "\u0080߿é",
    "three-bytes": "\u0800\uffff€",
    "four-bytes": "\U00010000\U0010ffff\U0001f9ee",
    "around-the-surrogates": "\ud7ff\ue000",
    "byte-order-mark": "\ufeffa",
    "byte-order-mark-within": "a\ufeff",
    "swapped-byte-order-mark": "\ufffea",
    "noncharacters": "\ufdd0\uffff\U0001ffff",
    "private-use": "\ue000\uf8ff\U000f0000",
    "line-separators": "a\u2028b\u2029c\u0085d\r\ne",
    "combining": "e\u0301",
    "composed": "é",
    "right-to-left": "\u202eabc\u202c\u05d0",
    "zero-width": "a\u200bb\u200dc\u2060",
    "quotes": "\"'`\\/<>&${}%s",
    "emoji-of-several": "\U0001f469\u200d\U0001f4bb",
    "spaces": "  \t a\u00a0\u3000 ",
    "replacement": "\ufffd",
}
_PLAIN = "abcdefghijklmnopqrstuvwxyz"


def cases() -> Iterator[Case]:
    """One fact in metadata each, then some in provenance."""
    for n in INTEGERS:
        yield _one(
            f"integer-{'minus-' * (n < 0)}{abs(n)}", n, "an integer at the end of a form or of a language's range"
        )
    for slug, number in FLOATS.items():
        yield _one(f"float-{slug}", number, "a float64, never an integer")
    for slug, text in STRINGS.items():
        yield _one(f"string-{slug}", text, "code points that are easily lost")
    yield from _sizes()
    yield from _nested()
    yield from _keys()
    for slug, value in (("null", None), ("false", False), ("true", True)):
        yield _one(slug, value, "no integer")
    twins = {"a": 1, "b": 1.0, "c": True, "d": "1", "e": b"1", "f": [1], "g": {"1": 1}, "h": 0, "i": 0.0, "j": False}
    yield _one("equal-in-some-languages", twins, "values of different types that are easily taken for one")
    every = {"integers": INTEGERS, "floats": [*FLOATS.values()], "strings": STRINGS, "rest": [None, True, False, b"\0"]}
    yield accept("provenance", Draft(provenance=every).tensor("x"), "3.1", "everything in provenance")
    both = Draft(metadata={"a": {"b": 1}}, provenance={"a": {"b": 1}}).tensor("x")
    yield accept("in-both", both, "3.2", "the same map in metadata and in provenance")


def _one(slug: str, value: Any, comment: str) -> Case:
    return accept(slug, Draft(metadata={"k": value}).value(""), "3.1", comment)


def _text(size: int) -> str:
    return (_PLAIN * (size // 26 + 1))[:size]


def _sizes() -> Iterator[Case]:
    for size in (0, 1, 31, 32, 255, 256):
        yield _one(f"string-of-{size}", _text(size), "bytes of a string")
    for size in (0, 1, 31, 32, 255, 256):
        yield _one(f"bytes-of-{size}", bytes(range(size)) if size < 256 else bytes(size), "bytes of a byte string")
    for size in (65535, 65536):
        for kind, value in (("string", "a" * size), ("bytes", bytes(size))):
            # The frame has 256 bytes and more, so that the index is at most 256 times as long.
            draft = Draft(metadata={"k": value, "text": _text(150)}).value("")
            yield accept(f"{kind}-of-{size}", draft, "3.1", "its length at a form's end", draft.file(stored=squeezed))
    yield _one("string-of-31-characters", "é" * 31, "62 bytes: it is the bytes that count")
    for size in (0, 1, 15, 16, 255, 256):
        yield _one(f"array-of-{size}", list(range(size)), "items of an array")
    for size in (0, 1, 15, 16, 255, 256):
        yield _one(f"map-of-{size}", {f"{i:03}": i for i in range(size)}, "keys of a map")
    for size in (15, 16):
        draft = Draft(metadata={f"k{i:02}": i for i in range(size)}).value("")
        yield accept(f"of-{size}-keys", draft, "3.1", "keys of metadata itself")


def _nested() -> Iterator[Case]:
    """The index is at depth 1, metadata at depth 2, its value at depth 3."""
    arrays: Any = []
    maps: Any = {}
    mixed: Any = {}
    for depth in range(29):
        arrays = [arrays]
        maps = {"k": maps}
        mixed = {"k": mixed} if depth % 2 else [mixed]
    yield _one("arrays-32-deep", arrays, "thirty arrays: the last one at depth 32")
    yield _one("maps-32-deep", maps, "thirty maps: the last one at depth 32")
    yield _one("mixed-32-deep", mixed, "arrays and maps in turn: the last one at depth 32")
    yield _one("shallow-behind-deep", [arrays[0], [[]], arrays[0]], "depth goes down again behind what was deep")
    yield _one("wide", [[[], [[]], []], {"a": {}, "b": [{}]}, [{}] * 3], "many at few depths")


def _keys() -> Iterator[Case]:
    """Keys in the order of their UTF-8 bytes."""
    for slug, keys, comment in (
        ("empty", ("", "a"), "the empty key comes first"),
        ("empty-alone", ("",), "the empty key"),
        ("prefix", ("a", "a\0", "aa", "ab", "b"), "a key that begins the next"),
        ("case", ("A", "B", "a", "b"), "upper case comes first"),
        ("digits", ("1", "10", "2", "9"), "no numbers"),
        ("utf-16-order", ("\ue000", "\uffff", "\U00010000", "\U0010ffff"), "other than the order of UTF-16"),
        ("utf-16-order-within", ("a\uff5e", "a\U0001f600", "b"), "other than the order of UTF-16, behind a letter"),
        ("lengths", ("a" * 31, "a" * 32, "a" * 256, "b"), "keys of each form: bytes are compared, not heads"),
        ("long-before-short", ("a" * 40, "b"), "the form of a key does not count"),
        ("twins", ("e\u0301", "é"), "a letter in its two forms"),
        ("controls", ("\0", "\n", "\x1f", " "), "keys of metadata may hold control characters"),
        (
            "of-objects",
            ("__proto__", "constructor", "hasOwnProperty", "length", "toString", "valueOf"),
            "names that objects of a language have",
        ),
        ("dots", (".", "..", "a.b", "a/b", "a\\b"), "no paths"),
        ("of-the-index", ("chunk", "path", "requires", "type"), "names of the index's own keys"),
    ):
        yield _one(f"keys-{slug}", {key: i for i, key in enumerate(keys)}, comment)
        if list(keys) != sorted(keys, key=str.encode):
            raise ValueError(slug)
    own = {"__proto__": {"a": 1}, "b": 2}
    yield accept(
        "keys-of-metadata", Draft(metadata=own).value(""), "3.1", "a name that objects of a language have, on top"
    )
