"""Values in another form than the one that the profile allows (spec section 3.1)."""

from __future__ import annotations

from collections.abc import Iterator

from .. import forms
from ..case import Case, reject
from ..draft import Draft, column, u32
from .base import at_end, beside, bounded, full, giving, index_of, sample

# (value, bytes of the number, whether in a signed form): at the ends of what a shorter form holds.
INTEGERS = (
    (0, 1, False),
    (127, 1, False),
    (0, 2, False),
    (127, 2, False),
    (255, 2, False),
    (0, 4, False),
    (65535, 4, False),
    (0, 8, False),
    (255, 8, False),
    (2**32 - 1, 8, False),
    (0, 1, True),
    (127, 1, True),
    (-1, 1, True),
    (-32, 1, True),
    (0, 2, True),
    (127, 2, True),
    (255, 2, True),
    (32767, 2, True),
    (-1, 2, True),
    (-128, 2, True),
    (0, 4, True),
    (65536, 4, True),
    (2**31 - 1, 4, True),
    (-32, 4, True),
    (-32768, 4, True),
    (0, 8, True),
    (2**32, 8, True),
    (2**63 - 1, 8, True),
    (-1, 8, True),
    (-(2**31), 8, True),
)
# (kind, items, bytes of the length).
LENGTHS = (
    ("str", 0, 1),
    ("str", 1, 1),
    ("str", 31, 1),
    ("str", 0, 2),
    ("str", 31, 2),
    ("str", 255, 2),
    ("str", 0, 4),
    ("str", 255, 4),
    ("str", 65535, 4),
    ("bin", 0, 2),
    ("bin", 255, 2),
    ("bin", 0, 4),
    ("bin", 255, 4),
    ("bin", 65535, 4),
    ("array", 0, 2),
    ("array", 15, 2),
    ("array", 0, 4),
    ("array", 15, 4),
    ("array", 65535, 4),
    ("map", 0, 2),
    ("map", 15, 2),
    ("map", 0, 4),
    ("map", 15, 4),
    ("map", 16, 4),
)
FLOATS = {
    "float32-zero": b"\xca" + bytes(4),
    "float32-one": b"\xca\x3f\x80\x00\x00",
    "float32-nan": b"\xca\x7f\xc0\x00\x00",
    "float32-cut": b"\xca\x00",
    "nan-negative": forms.pattern(bytes.fromhex("fff8000000000000")),
    "nan-payload-1": forms.pattern(bytes.fromhex("7ff8000000000001")),
    "nan-payload-high": forms.pattern(bytes.fromhex("7ffc000000000000")),
    "nan-payload-all": forms.pattern(bytes.fromhex("7fffffffffffffff")),
    "nan-signalling": forms.pattern(bytes.fromhex("7ff0000000000001")),
    "nan-signalling-high": forms.pattern(bytes.fromhex("7ff4000000000000")),
    "nan-signalling-negative": forms.pattern(bytes.fromhex("fff7ffffffffffff")),
    "nan-all-ones": forms.pattern(b"\xff" * 8),
}
EXTENSIONS = {
    "fixext1": b"\xd4\x01a",
    "fixext2": b"\xd5\x01ab",
    "fixext4": b"\xd6\x01abcd",
    "fixext8": b"\xd7\x01abcdefgh",
    "fixext16": b"\xd8\x01abcdefghijklmnop",
    "ext8": b"\xc7\x03\x01abc",
    "ext8-empty": b"\xc7\x00\x01",
    "ext16": b"\xc8\x01\x00\x01" + b"a" * 256,
    "ext32": b"\xc9\x00\x01\x00\x00\x01" + b"a" * 65536,
    "ext32-bomb": b"\xc9\xff\xff\xff\xff\x01",
    "timestamp-32": b"\xd6\xff\x5f\x00\x00\x00",
    "timestamp-64": b"\xd7\xff" + bytes(7) + b"\x01",
    "timestamp-96": b"\xc7\x0c\xff" + bytes(11) + b"\x01",
}


def cases() -> Iterator[Case]:
    """Step 17, `NONCANONICAL` but for the map keys."""
    for n, width, signed in INTEGERS:
        name = f"{'int' if signed else 'uint'}{8 * width}-of-{'minus-' if n < 0 else ''}{abs(n)}"
        yield _refused(
            name, sample().file(keys=beside(forms.integer(n, width, signed=signed))), "a shorter form exists"
        )
    for kind, size, width in LENGTHS:
        data = sample().file(keys=beside(_sized(kind, size, width)), stored=bounded if size == 65535 else None)
        yield _refused(f"{kind}{8 * width}-of-{size}", data, "a shorter form exists")
    for name, raw in FLOATS.items():
        yield _refused(name, sample().file(keys=beside(raw)), "in the metadata")
    for name, raw in EXTENSIONS.items():
        data = sample().file(keys=beside(raw), stored=bounded if len(raw) > 1000 else None)
        yield _refused(name, data, "in the metadata")
    yield from _elsewhere()
    yield from _everywhere()


def _refused(slug: str, data: bytes, comment: str) -> Case:
    return reject(slug, data, "NONCANONICAL", "3.1", comment, step=17)


def _sized(kind: str, size: int, width: int) -> bytes:
    if kind == "map":
        return forms.mapping([(forms.text(f"{i:02}"), forms.integer(i)) for i in range(size)], width)
    content = forms.NULL if kind == "array" else b"a"
    return forms.head(kind, size, width) + content * size


def _elsewhere() -> Iterator[Case]:
    """Extensions and floats at other places than in the metadata."""
    draft = sample()
    whole = index_of(draft)
    for name in ("fixext1", "ext8", "timestamp-32"):
        yield _refused(f"{name}-as-value", draft.file(keys=at_end(EXTENSIONS[name])), "an entry of type value")
    for lead in (0xC7, 0xC8, 0xC9, 0xD4, 0xD8):
        data = draft.file(keys=at_end(bytes([lead])))
        yield _refused(f"ext-{lead:x}-alone", data, "the index ends with the first byte of an extension")
    yield _refused("fixext1-as-index", draft.file(index=giving(b"\xd4\x01a")), "the whole index")
    yield _refused(
        "ext32-around-index",
        draft.file(index=giving(b"\xc9" + len(whole).to_bytes(4, "big") + b"\x01" + whole)),
        "the index within an extension",
    )
    unknown = Draft(minor=1).value("", 1)
    yield _refused("timestamp-32-in-unknown-key", unknown.file(keys={"zz": EXTENSIONS["timestamp-32"]}), "ancillary")
    yield _refused("float32-in-unknown-key", unknown.file(keys={"zz": FLOATS["float32-one"]}), "ancillary")
    yield _refused("uint8-of-1-in-unknown-key", unknown.file(keys={"zz": forms.integer(1, 1)}), "ancillary")
    yield _refused("float32-as-value", draft.file(keys=at_end(FLOATS["float32-one"])), "an entry of type value")
    yield _refused("nan-payload-1-as-value", draft.file(keys=at_end(FLOATS["nan-payload-1"])), "an entry of type value")
    data = (
        Draft()
        .node("a", "list", attrs={"x": 1})
        .file(keys={"attrs": column([0], [0], [b"\x81\xa1x" + FLOATS["nan-negative"]])})
    )
    yield _refused("nan-negative-in-attrs", data, "an attribute")
    data = (
        Draft()
        .node("", "keys", keys=[1])
        .value("1")
        .file(keys={"keys": column([0], [0], [b"\x91" + FLOATS["nan-signalling"]])})
    )
    yield _refused("nan-signalling-as-key", data, "a key of a keys node")


def _everywhere() -> Iterator[Case]:
    """One wide form at each place of the index."""
    draft = full()
    keys = draft.keys()
    rows, one = forms.binary(u32(0)), [forms.binary(u32(0))] * 2
    wide: dict[str, tuple[str, bytes]] = {
        "chunk": ("chunk", forms.integer(draft.chunk, 8)),
        "chunk-signed": ("chunk", forms.integer(draft.chunk, 4, signed=True)),
        "requires": ("requires", forms.array([], 2)),
        "path": ("path", forms.text("\n".join(entry.path for entry in draft.entries), 2)),
        "value": ("value", forms.array([forms.integer(7), forms.text("text")], 2)),
        "value-item": ("value", forms.array([forms.integer(7, 1), forms.text("text")])),
        "last-value-item": ("value", forms.array([forms.integer(7), forms.text("text", 1)])),
        "convention": ("convention", forms.text("torch", 1)),
        "dialect": ("dialect", forms.text("plain", 1)),
        "metadata": ("metadata", forms.mapping([(forms.text("a"), forms.integer(1))], 2)),
        "provenance": ("provenance", forms.mapping([(forms.text("b"), forms.integer(2))], 4)),
        "sparse-column": ("keys", forms.array([forms.binary(u32(3)), rows, forms.array([forms.array([b"\x01"])])], 2)),
        "rows": ("class", forms.array([forms.binary(u32(0, 3), 2), forms.binary(u32(0, 1)), _two("W", "M")])),
        "picks": ("class", forms.array([forms.binary(u32(0, 3)), forms.binary(u32(0, 1), 4), _two("W", "M")])),
        "table": ("attrs", forms.array([*one, forms.array([forms.keyed({"c": b"\x03"})], 2)])),
        "axes": ("axes", forms.array([*one, forms.array([forms.array([forms.text("out"), forms.text("in")], 2)])])),
        "axis": ("axes", forms.array([*one, forms.array([forms.array([forms.text("out"), forms.text("in", 1)])])])),
        "attribute": ("attrs", forms.array([*one, forms.array([forms.keyed({"c": forms.integer(3, 1)})])])),
        "permuted-axis": ("perm", column([1], [0], [forms.array([forms.integer(1), forms.integer(0, 1)])])),
        "permuted-axis-signed": ("perm", column([1], [0], [forms.array([forms.integer(1, 1, signed=True), b"\0"])])),
        "true-key": ("keys", column([3], [0], [forms.array([forms.integer(1, 2)])])),
        "role": ("role", column([0, 1], [0, 1], [forms.text("parameter", 1), forms.text("buffer")])),
        "module": ("module", column([3], [0], [forms.text("linear", 1)])),
    }
    for name in ("type", "dtype", "rank", "dims", "codec", "stored", "sum", "alias", "form"):
        raw = draft.columns()[name]
        wide[name] = name, forms.binary(raw, 2)
    for place, (key, raw) in wide.items():
        if raw == keys[key]:
            raise ValueError(f"{place} is not wide")
        yield _refused(f"wide-{place}", draft.file(keys={key: raw}), "wider than need be")
    data = draft.file(index=giving(forms.head("map", len(keys), 4) + index_of(draft)[3:]))
    yield _refused("wide-index-map", data, "the head of the index")
    small = Draft().value("", 1)
    data = small.file(index=giving(forms.head("map", 13, 2) + index_of(small)[1:]))
    yield _refused("wide-index-map-of-13", data, "the head of the index")


def _two(first: str, second: str) -> bytes:
    return forms.array([forms.text(first), forms.text(second)])
