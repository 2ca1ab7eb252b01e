"""Files of later versions (spec section 11): what a reader of 1.0 has to accept, and what it has to refuse."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from typing import Any

from . import forms
from .blocks import raw_frame, squeezed
from .case import Case, accept, reject
from .draft import MAGIC, Draft

RESERVED = ("base", "boxes", "offsets", "parts")
_TEXT = "".join(map(chr, range(0x21, 0x7F)))

# The value of an unknown key, by what it is.
_VALUES: dict[str, Any] = {
    "null": None,
    "bool": True,
    "integer": 2**64 - 1,
    "negative-integer": -(2**63),
    "float": -0.0,
    "nan": float("nan"),
    "string": "later",
    "bytes": b"\x00\xff",
    "array": [1, [2.0, ["3"]]],
    "map": {"a": {"b": [None]}},
    "empty-array": [],
    "empty-map": {},
    "empty-string": "",
    "like-a-packed-column": bytes(16),
    "like-a-sparse-column": [b"\0\0\0\0", b"\0\0\0\0", ["x"]],
    "like-a-broken-sparse-column": [b"\0\0\0", b"\1\0\0\0", ["x", "x"], 5],
    "of-100-keys": {f"{i:03}": i for i in range(100)},
}

# An unknown key, by where it stands.
_KEYS = {
    "before-all": "aaa",
    "empty": "",
    "behind-all": "zzz",
    "between": "column",
    "shorter-than-a-known-one": "pat",
    "longer-than-a-known-one": "paths",
    "of-another-case": "Path",
    "with-nul": "path\0",
    "with-space": "path ",
    "not-ascii": "größe",
    "of-four-bytes": "\U0001f9ee",
    "beyond-utf-16-order": "\uffff",
    "of-objects": "__proto__",
    "of-32-bytes": "k" * 32,
    "of-300-bytes": "k" * 300,
    "like-a-path": "a.b\\.c",
    "of-a-digest": "sha256",
}


def cases() -> Iterator[Case]:
    """Minor versions, unknown keys and words; then features, codes and major versions."""
    yield from _minor()
    yield from _unknown()
    yield from _words()
    yield from _features()
    yield from _codes()
    yield from _major()


def _draft(minor: int = 1) -> Draft:
    made = Draft(minor=minor, convention="torch", metadata={"a": 1}).node("", "flat").node("l", "part", module="linear")
    made.tensor("l.w", "float32", (2, 3), axes=["out", "in"], role="parameter").alias("t", "l.w", (1, 0))
    return made.value("v", 7)


def _minor() -> Iterator[Case]:
    for minor in (1, 2, 255, 256, 65535):
        yield accept(f"minor-{minor}", _draft(minor), "11", "a reader accepts any minor version")
    packed = _draft(3)
    yield accept("minor-compressed", packed, "11", "with a compressed index", packed.file(stored=raw_frame))


def _with(slug: str, keys: Mapping[str, bytes], comment: str, minor: int = 1, *, small: bool = False) -> Case:
    draft = _draft(minor)
    held = draft.file(keys=keys, stored=squeezed if small else None)
    return accept(slug, draft, "11", comment, held)


def _unknown() -> Iterator[Case]:
    """Keys that are ancillary: they are no content, and whoever writes the file anew drops them."""
    for slug, value in _VALUES.items():
        yield _with(f"key-of-{slug}", {"later": forms.packed(value)}, "what the key holds is not looked at")
    for slug, key in _KEYS.items():
        yield _with(f"key-{slug}", {key: forms.integer(7)}, "known keys are found by name, not by place")
    for name in RESERVED:
        yield _with(f"key-named-{name}", {name: forms.TRUE}, "the name of a reserved feature, as a mere key")
    later = {f"later{i:02}": forms.integer(i) for i in range(40)}
    yield _with("keys-forty", later, "more unknown keys than known ones")
    yield _with("key-in-minor-0", {"later": forms.TRUE}, "ignored whatever the minor version says", 0)
    yield _with("keys-in-minor-0", later, "ignored whatever the minor version says", 0)
    yield _with("key-in-minor-65535", {"later": forms.TRUE}, "the last minor version", 65535)
    deep: Any = []
    maps: Any = {}
    for _ in range(30):
        deep, maps = [deep], {"k": maps}
    yield _with("key-32-deep", {"later": forms.packed(deep)}, "thirty-one arrays: the last one at depth 32")
    yield _with("key-of-maps-32-deep", {"later": forms.packed(maps)}, "thirty-one maps: the last one at depth 32")
    for size in (65535, 65536):
        # The text keeps the index within 256 times its stored bytes.
        text = {"text": forms.text(_TEXT * 4)}
        nulls = forms.array([forms.NULL] * size)
        yield _with(f"key-of-{size}-nulls", {"later": nulls, **text}, "an array at the end of a form", small=True)
        yield _with(f"key-of-{size}-bytes", {"later": forms.binary(bytes(size)), **text}, "a byte string", small=True)
        long = forms.text("a" * size)
        yield _with(f"key-of-{size}-characters", {"later": long, **text}, "a string at the end of a form", small=True)
    for slug, spoilt, code in (
        ("float32", bytes.fromhex("ca3f800000"), "NONCANONICAL"),
        ("a-wide-integer", forms.integer(7, 1), "NONCANONICAL"),
        ("an-extension", bytes.fromhex("d40000"), "NONCANONICAL"),
        ("no-utf-8", forms.text(b"\xff"), "MALFORMED"),
        ("keys-descending", forms.mapping([(forms.text(key), forms.NULL) for key in "ba"]), "NONCANONICAL"),
    ):
        data = _draft().file(keys={"later": spoilt})
        comment = "an unknown key is ignored once it has passed section 3.1"
        yield reject(f"key-of-{slug}", data, code, "3.1", comment, step=17)
    numbers = forms.keyed({f"{i:03}": forms.integer(i) for i in range(256)})
    yield _with("key-of-a-map-of-256", {"later": numbers}, "a map with a length of two bytes")


def _words() -> Iterator[Case]:
    """A minor version may add strings in open vocabularies."""
    made: dict[str, Draft] = {
        "role": Draft(minor=1).tensor("x", role="later.role"),
        "module": Draft(minor=1).node("n", module="later.kind").tensor("n.x"),
        "convention": Draft(minor=1, convention="later.framework").tensor("x"),
        "dialect": Draft(minor=1, convention="torch", dialect="later.dialect").tensor("x"),
        "axes": Draft(minor=1).tensor("x", axes=["later.axis", "out"]),
        "class": Draft(minor=1).tensor("x", class_="later.Class"),
        "attrs": Draft(minor=1).tensor("x", attrs={"later": [1]}),
        "metadata": Draft(minor=1, metadata={"later": {"a": 1}}).tensor("x"),
    }
    for slug, draft in made.items():
        yield accept(f"word-in-{slug}", draft, "11", "treated as unknown, and kept")


def _features() -> Iterator[Case]:
    def refused(slug: str, names: list[str], comment: str, *, minor: int = 1, readers: str = "1.x") -> Case:
        data = _draft(minor).file(keys={"requires": forms.packed(names)})
        return reject(slug, data, "FEATURE", "11", comment, step=19, readers=readers)

    for name in RESERVED:
        yield refused(f"feature-{name}", [name], "a reserved name", readers="1.0")
    yield refused("feature-unknown", ["conformance.unknown"], "a name that no version defines")
    yield refused("feature-unknown-in-minor-0", ["conformance.unknown"], "whatever the minor version says", minor=0)
    yield refused("feature-empty-name", [""], "the empty name is a name")
    yield refused("feature-not-ascii", ["größe", "\U0001f9ee"], "names in the order of their bytes")
    yield refused("features-two", ["conformance.a", "conformance.b"], "two names that no version defines")
    yield refused("features-all-reserved", sorted(RESERVED), "all reserved names", readers="1.0")
    yield refused("features-twenty", [f"conformance.{i:02}" for i in range(20)], "more names than a fixarray holds")
    yield refused("feature-of-1000-bytes", ["conformance." + "x" * 988], "a long name")
    yield refused("feature-like-a-key", ["axes"], "the name of a key is no feature")
    flags = Draft(minor=1).value("")
    for slug, bits in (("flag-1", 2), ("flag-1-and-0", 3), ("flag-31-and-1", 2**31 + 2)):
        stored = raw_frame if bits & 1 else None
        data = flags.file(stored=stored, trailer={"flags": bits})
        yield reject(slug, data, "FEATURE", "2.2", "a flag of a later version", step=8, readers="1.0")


def _codes() -> Iterator[Case]:
    """Codes that this version does not list, without the feature that has to come with them and with it."""
    tensor = Draft(minor=1).tensor("x", "uint8", (64,))
    shrunk = Draft(minor=1).tensor("x", "uint8", (64,), chunks=[(1, b"stored")])
    node = Draft(minor=1).node("x", "list")
    value = Draft(minor=1).value("x", 1)
    for slug, draft, column, codes, code, step, section in (
        ("dtype", tensor, "dtype", (28, 255), "DTYPE", 31, "5.1"),
        ("codec", shrunk, "codec", (3, 255), "CODEC", 37, "6"),
        ("form", node, "form", (7, 255), "SCHEMA", 28, "3.5"),
        ("entry-type", value, "type", (4, 255), "SCHEMA", 25, "3.2"),
    ):
        for number in codes:
            columns = {column: bytes([number])}
            data = draft.file(columns=columns)
            comment = "a code of a later version"
            yield reject(f"{slug}-{number}", data, code, section, comment, step=step, readers="1.0")
            named = draft.file(columns=columns, keys={"requires": forms.packed([f"conformance.{slug}"])})
            comment = "the feature is refused before its codes are looked at"
            yield reject(f"{slug}-{number}-with-feature", named, "FEATURE", "11", comment, step=19)


def _major() -> Iterator[Case]:
    for major in (0, 2, 3, 255, 256, 257, 65535):
        for minor in (0, 1) if major == 2 else (0,):
            draft = _draft(minor)

            def versioned(body: bytes, number: int = major) -> bytes:
                return MAGIC + struct.pack("<H", number) + body[10:]

            data = draft.file(body=versioned, trailer={"major": major})
            slug = f"major-{major}" + "-minor-1" * minor
            yield reject(slug, data, "VERSION", "2.1", "another major version, in preamble and trailer", step=3)
