"""Keys of the index with values of another type (spec section 3.2)."""

from __future__ import annotations

from collections.abc import Iterator

from .. import forms
from ..case import Case, reject
from .base import full

SPARSE = ("attrs", "axes", "class", "keys", "module", "perm", "role", "trainable")
TYPES = {
    "requires": "array",
    "chunk": "integer",
    "path": "string",
    "value": "array",
    **dict.fromkeys(("type", "dtype", "rank", "dims", "codec", "stored", "sum", "alias", "form"), "binary"),
    **dict.fromkeys(("convention", "dialect"), "string"),
    **dict.fromkeys(("metadata", "provenance"), "map"),
    **dict.fromkeys(SPARSE, "array"),
}
VALUES = {
    "null": forms.NULL,
    "bool": forms.TRUE,
    "integer": forms.integer(64),
    "float": forms.real(64.0),
    "string": forms.text("a"),
    "binary": forms.binary(b"a"),
    "array": forms.array([forms.text("a")]),
    "map": forms.keyed({"a": forms.integer(1)}),
}


def cases() -> Iterator[Case]:
    """Steps 18 and 20: every known key with a value of each other type, and with what says the same otherwise."""
    draft = full()
    for key, right in TYPES.items():
        step = 18 if key == "requires" else 20
        for name, raw in VALUES.items():
            if name != right:
                comment = f"{name} where {right} is asked for"
                yield reject(f"{key}-{name}", draft.file(keys={key: raw}), "SCHEMA", "3.2", comment, step=step)
    yield from _alike()


def _alike() -> Iterator[Case]:
    draft = full()
    columns, paths = draft.columns(), [entry.path for entry in draft.entries]
    alike = {
        "path-lines-as-array": ("path", forms.array(map(forms.text, paths))),
        "path-lines-as-binary": ("path", forms.binary("\n".join(paths).encode())),
        "type-codes-as-array": ("type", forms.array(map(forms.integer, columns["type"]))),
        "dims-as-array": ("dims", forms.array(map(forms.integer, (2, 3)))),
        "dims-of-each-as-array": ("dims", forms.array([forms.array(map(forms.integer, (2, 3)))])),
        "sum-as-array": ("sum", forms.array([forms.integer(int.from_bytes(columns["sum"], "little"))])),
        "codec-code-as-integer": ("codec", forms.integer(0)),
        "rank-bytes-as-string": ("rank", forms.text(columns["rank"])),
        "chunk-as-text": ("chunk", forms.text("4194304")),
        "chunk-whole-float": ("chunk", forms.real(4194304.0)),
        "chunk-negative-float": ("chunk", forms.real(-64.0)),
        "value-as-map": ("value", forms.keyed({"m.1": forms.text("text"), "v": forms.integer(7)})),
        "requires-empty-map": ("requires", forms.mapping([])),
        "requires-empty-string": ("requires", forms.text("")),
        "role-of-each-path": ("role", forms.keyed({"w": forms.text("parameter")})),
        "convention-as-binary": ("convention", forms.binary(b"torch")),
        "metadata-as-pairs": ("metadata", forms.array([forms.array([forms.text("a"), forms.integer(1)])])),
        "dtype-name": ("dtype", forms.text("float32")),
        "chunk-false": ("chunk", forms.FALSE),
        "path-empty-binary": ("path", forms.binary(b"")),
        "form-empty-array": ("form", forms.array([])),
    }
    for slug, (key, raw) in alike.items():
        step = 18 if key == "requires" else 20
        yield reject(slug, draft.file(keys={key: raw}), "SCHEMA", "3.2", "the same in another type", step=step)
