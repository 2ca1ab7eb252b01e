"""Keys of the index that are missing, or say nothing, and features (spec sections 3.2, 3.7 and 11)."""

from __future__ import annotations

from collections.abc import Iterator

from .. import forms
from ..case import Case, reject
from ..draft import HEADER, PACKED, Draft
from .base import full, giving, index_of, sample

REQUIRED = ("chunk", "path", "value", *PACKED)
ROOTS = {
    "null": forms.NULL,
    "true": forms.TRUE,
    "integer": forms.integer(1),
    "float": forms.real(1.0),
    "string": forms.text("index"),
    "binary": forms.binary(b"index"),
    "empty-array": forms.array([]),
}
NO_NAMES = {
    "null": forms.NULL,
    "bool": forms.TRUE,
    "integer": forms.integer(1),
    "float": forms.real(1.0),
    "binary": forms.binary(b"x"),
    "array": forms.array([forms.text("x")]),
    "map": forms.keyed({"x": forms.integer(1)}),
}
UNSORTED = {
    "reversed": ("b", "a"),
    "longer-first": ("ab", "a"),
    "case-folded": ("a", "B"),
    "equal": ("a", "a"),
    "equal-empty": ("", ""),
    "last-two": ("a", "c", "b"),
    "not-beside": ("a", "b", "a"),
}
FEATURES = {
    "of-one-letter": ("x",),
    "without-a-name": ("",),
    "two": ("x", "y"),
    "many": tuple(f"feature-{i:02}" for i in range(20)),
    "in-capitals": ("PARTS",),
    "with-a-null-byte": ("parts\0",),
    "like-a-path": ("../parts",),
    "of-this-version": ("1.0",),
    "of-1000-letters": ("x" * 1000,),
}


def cases() -> Iterator[Case]:
    """Steps 18 to 21."""
    yield from _root()
    yield from _requires()
    yield from _missing()
    yield from _empty()


def _root() -> Iterator[Case]:
    draft = sample()
    for name, raw in ROOTS.items():
        data = draft.file(index=giving(raw))
        yield reject(f"index-{name}", data, "SCHEMA", "3", "the whole index", step=18)
    data = draft.file(index=giving(b"\x91" + index_of(draft)))
    yield reject("index-in-array", data, "SCHEMA", "3", "the index map as the one item of an array", step=18)
    pairs = [item for name, raw in sorted(draft.keys().items()) for item in (forms.text(name), raw)]
    data = draft.file(index=giving(forms.array(pairs)))
    yield reject("index-as-array", data, "SCHEMA", "3", "keys and values in turn", step=18)
    data = draft.file(index=giving(forms.binary(index_of(draft))))
    yield reject("index-in-binary", data, "SCHEMA", "3", "msgpack within a byte string", step=18)
    data = draft.file(index=giving(forms.mapping([])))
    yield reject("index-empty-map", data, "SCHEMA", "3", "no key at all", step=18)


def _requires() -> Iterator[Case]:
    draft = sample()
    data = draft.file(keys={"requires": None})
    yield reject("missing-requires", data, "SCHEMA", "3.2", "one required key is left out", step=18)
    for name, raw in NO_NAMES.items():
        data = draft.file(keys={"requires": forms.array([raw])})
        yield reject(f"requires-of-{name}", data, "SCHEMA", "3.2", "an item that is no string", step=18)
    data = draft.file(keys={"requires": forms.array([forms.text("x"), forms.integer(1)])})
    yield reject("requires-last-integer", data, "SCHEMA", "3.2", "the last item is no string", step=18)
    data = draft.file(keys={"requires": forms.array([forms.NULL, forms.text("x")])})
    yield reject("requires-first-null", data, "SCHEMA", "3.2", "the first item is no string", step=18)
    for name, names in UNSORTED.items():
        data = draft.file(keys={"requires": forms.packed(names)})
        yield reject(f"requires-{name}", data, "SCHEMA", "3.2", "names that do not strictly ascend", step=18)
    for name, names in FEATURES.items():
        data = draft.file(keys={"requires": forms.packed(names)})
        yield reject(f"feature-{name}", data, "FEATURE", "11", "not known", step=19, readers="1.0")


def _missing() -> Iterator[Case]:
    draft, small = sample(), Draft().value("", 1)
    for name in REQUIRED:
        data = draft.file(keys={name: None})
        yield reject(f"missing-{name}", data, "SCHEMA", "3.2", "one required key is left out", step=20)
    for name in ("alias", "codec", "dims", "dtype", "form", "rank", "stored", "sum"):
        data = small.file(keys={name: None})
        comment = "left out where it is empty: required all the same"
        yield reject(f"missing-empty-{name}", data, "SCHEMA", "3.2", comment, step=20)
    data = Draft().node("").file(keys={"value": None})
    yield reject("missing-empty-value", data, "SCHEMA", "3.2", "left out where it is empty", step=20)
    for name, other in (("chunk", "Chunk"), ("path", "paths"), ("sum", "sums"), ("type", "type ")):
        data = draft.file(keys={name: None, other: draft.keys()[name]})
        yield reject(f"renamed-{name}", data, "SCHEMA", "3.2", "stands there by another name", step=20)


def _empty() -> Iterator[Case]:
    for name in HEADER:
        raw = forms.text("") if name in ("convention", "dialect") else forms.mapping([])
        data = full().file(keys={name: raw})
        yield reject(f"empty-{name}", data, "NONCANONICAL", "3.7", "what says nothing is left out", step=21)
        data = Draft().value("", 1).file(keys={name: raw})
        yield reject(f"only-empty-{name}", data, "NONCANONICAL", "3.7", "nothing else is said", step=21)
