"""An index that is no msgpack, or goes on behind it (spec section 3.1)."""

from __future__ import annotations

from collections.abc import Iterator

from .. import forms
from ..case import Case, reject
from ..draft import Draft
from .base import at_end, beside, bounded, giving, index_of, sample

# First byte -> the bytes of its number or length.
NUMBERS = {
    "uint8": (0xCC, 1),
    "uint16": (0xCD, 2),
    "uint32": (0xCE, 4),
    "uint64": (0xCF, 8),
    "int8": (0xD0, 1),
    "int16": (0xD1, 2),
    "int32": (0xD2, 4),
    "int64": (0xD3, 8),
    "float64": (0xCB, 8),
    "str8": (0xD9, 1),
    "str16": (0xDA, 2),
    "str32": (0xDB, 4),
    "bin8": (0xC4, 1),
    "bin16": (0xC5, 2),
    "bin32": (0xC6, 4),
    "array16": (0xDC, 2),
    "array32": (0xDD, 4),
    "map16": (0xDE, 2),
    "map32": (0xDF, 4),
}
# What announces more than there is, one byte or item short.
CONTENTS = {
    "fixstr-of-1": b"\xa1",
    "fixstr-of-31": b"\xbf" + b"a" * 30,
    "str8": forms.head("str", 32) + b"a" * 31,
    "str16": forms.head("str", 256) + b"a" * 255,
    "bin8": forms.head("bin", 5) + b"abcd",
    "bin8-of-1": forms.head("bin", 1),
    "bin16": forms.head("bin", 256) + b"a" * 255,
    "fixarray-of-1": b"\x91",
    "fixarray": b"\x93\x01\x02",
    "fixarray-of-15": b"\x9f" + bytes(14),
    "array16": forms.head("array", 16) + bytes(15),
    "nested-array": b"\x92\x01\x91",
    "fixmap-of-1": b"\x81",
    "fixmap-without-value": b"\x81\xa1a",
    "fixmap-without-second-value": b"\x82\xa1a\x01\xa1b",
    "fixmap-without-second-pair": b"\x82\xa1a\x01",
    "map16": forms.head("map", 16) + b"".join(bytes([0xA1, 0x61 + i, i]) for i in range(15)) + b"\xa1z",
    "nested-map": b"\x92\x01\x81\xa1a",
}
# Lengths that only a bomb has: each head, followed by nothing.
BOMBS = {
    "str16": b"\xda\xff\xff",
    "str32": b"\xdb\xff\xff\xff\xff",
    "str32-2-to-31": b"\xdb\x80\x00\x00\x00",
    "bin16": b"\xc5\xff\xff",
    "bin32": b"\xc6\xff\xff\xff\xff",
    "bin32-2-to-31": b"\xc6\x80\x00\x00\x00",
    "array16": b"\xdc\xff\xff",
    "array32": b"\xdd\xff\xff\xff\xff",
    "array32-2-to-31": b"\xdd\x80\x00\x00\x00",
    "array32-2-to-29": b"\xdd\x20\x00\x00\x00",
    "array32-4-million": b"\xdd\x00\x40\x00\x00",
    "map16": b"\xde\xff\xff",
    "map32": b"\xdf\xff\xff\xff\xff",
    "map32-2-to-31": b"\xdf\x80\x00\x00\x00",
    "arrays-within": b"\x9f" + b"\xdd\xff\xff\xff\xff" * 15,
    "arrays-nested": b"\xdc\x40\x00" * 16,
}
BEHIND = {
    "zero": b"\0",
    "null": b"\xc0",
    "never-used-byte": b"\xc1",
    "newline": b"\n",
    "empty-map": b"\x80",
    "zeros-64": bytes(64),
    "string": b"\xa5after",
}


def cases() -> Iterator[Case]:
    """Step 17, `MALFORMED` and the nesting."""
    yield from _never_used()
    yield from _cut()
    yield from _behind()
    yield from _deep()


def _malformed(slug: str, data: bytes, comment: str) -> Case:
    return reject(slug, data, "MALFORMED", "3.1", comment, step=17)


def _never_used() -> Iterator[Case]:
    draft = sample()
    never = b"\xc1"
    yield _malformed("c1-in-map", draft.file(keys=beside(never)), "a value of the metadata")
    yield _malformed("c1-in-array", draft.file(keys=beside(b"\x92\x01" + never)), "an item of an array")
    yield _malformed("c1-as-last-value", draft.file(keys=at_end(never)), "the last byte of the index")
    yield _malformed("c1-as-index", draft.file(index=giving(never)), "the whole index")
    yield _malformed("c1-as-unknown-key", Draft(minor=1).value("", 1).file(keys={"zz": never}), "an ancillary key")
    yield _malformed("c1-before-rest", draft.file(index=giving(never + index_of(draft))), "before the index")
    columns = ("alias", "chunk", "path", "requires")
    for name in columns:
        yield _malformed(f"c1-as-{name}", draft.file(keys={name: never}), "the value of this key")


def _cut() -> Iterator[Case]:
    draft = sample()
    for name, (lead, width) in NUMBERS.items():
        for left in {0, width - 1}:
            data = draft.file(keys=at_end(bytes([lead]) + b"\x7f" * left))
            yield _malformed(f"cut-{name}-after-{left}", data, "the index ends within the number or length")
    for name, raw in CONTENTS.items():
        yield _malformed(f"cut-{name}", draft.file(keys=at_end(raw)), "the index ends one byte early")
    whole = index_of(draft)
    for name, keep in (
        ("0", 0),
        ("1", 1),
        ("2", 2),
        ("3", 3),
        ("4", 4),
        ("half", len(whole) // 2),
        ("all-but-last", len(whole) - 1),
    ):
        data = draft.file(index=giving(whole[:keep]))
        yield _malformed(f"cut-index-to-{name}", data, "the trailer says that this is all")
    yield _malformed("cut-compressed-index", draft.file(index=giving(whole[:-1]), stored=bounded), "a whole frame")
    for name, raw in BOMBS.items():
        yield _malformed(f"bomb-{name}", draft.file(keys=at_end(raw)), "nothing follows")
    for name in ("array32", "map32", "bin32", "str32"):
        data = draft.file(keys=beside(BOMBS[name]))
        yield _malformed(f"bomb-{name}-in-middle", data, "the rest of the index follows")
    for name in ("map16", "map32"):
        data = draft.file(index=giving(BOMBS[name] + whole[3:]))
        yield _malformed(f"bomb-{name}-as-index", data, "the index map announces more keys than there are bytes")


def _behind() -> Iterator[Case]:
    draft = sample()
    whole = index_of(draft)
    for name, more in BEHIND.items():
        data = draft.file(index=giving(whole + more))
        yield _malformed(f"behind-{name}", data, "after the index map, within its stored bytes")
    yield _malformed("behind-same-map", draft.file(index=giving(whole + whole)), "the index twice")
    data = draft.file(index=giving(whole + b"\0"), stored=bounded)
    yield _malformed("behind-compressed", data, "after the index map, within its frame")
    data = draft.file(index=giving(forms.head("map", len(draft.keys()) - 1) + whole[3:]))
    yield _malformed("behind-last-pair", data, "the index map has one key fewer than there are")
    for name, raw in (("null", b"\xc0"), ("integer", b"\x01"), ("empty-array", b"\x90"), ("empty-map", b"\x80")):
        data = draft.file(index=giving(raw + whole))
        yield _malformed(f"before-{name}", data, "a value before the index map, which so follows it")


def _deep() -> Iterator[Case]:
    """Far beyond the limit; the limit itself is tried in area `limits`."""
    for name, levels in (("100", 100), ("1000", 1000), ("million", 10**6)):
        raw = b"\x91" * (levels - 1) + b"\x90"
        data = sample().file(keys=beside(raw), stored=bounded)
        yield reject(f"deep-arrays-{name}", data, "LIMIT", "3.1", "nested in the metadata", step=17)
    data = sample().file(keys=beside(b"\x81\xa0" * 999 + b"\x80"))
    yield reject("deep-maps-1000", data, "LIMIT", "3.1", "nested in the metadata", step=17)
    data = sample().file(keys=beside(b"\x91\x81\xa1a" * 500 + b"\x80"))
    yield reject("deep-mixed-1000", data, "LIMIT", "3.1", "arrays and maps in turn", step=17)
    data = sample().file(keys=beside(b"\x91" * 1000))
    yield reject("deep-unfinished-1000", data, "LIMIT", "3.1", "the rest of the index is the innermost item", step=17)
    data = Draft(minor=1).value("", 1).file(keys={"zz": b"\x91" * 999 + b"\xc0"})
    yield reject("deep-in-unknown-key", data, "LIMIT", "3.1", "an ancillary key is no exception", step=17)
    keys = [forms.NULL]
    for _ in range(99):
        keys = [forms.array(keys)]
    data = (
        Draft()
        .node("", "keys", keys=[1])
        .value("1")
        .file(keys={"keys": forms.array([b"\xc4\x04" + bytes(4)] * 2 + [forms.array([forms.array(keys)])])})
    )
    yield reject("deep-tuple-key", data, "LIMIT", "3.1", "a key of a keys node", step=17)
