"""Values of the sparse columns: their types, axes against ranks, keys against forms (spec sections 3.2, 3.4, 3.5)."""

from __future__ import annotations

from collections.abc import Iterator

from .. import forms
from ..case import Case, reject
from ..draft import Draft, column
from .schema_types import VALUES

# Column -> (row of `entries` that may have it, the type of its values). The list is the last row.
COLUMNS = {
    "attrs": (0, "map"),
    "axes": (0, "array"),
    "class": (0, "string"),
    "keys": (5, "array"),
    "module": (7, "string"),
    "perm": (2, "array"),
    "role": (0, "string"),
    "trainable": (0, "bool"),
}
EMPTY = {
    "attrs": forms.mapping([]),
    "axes": forms.array([]),
    "class": forms.text(""),
    "keys": forms.array([]),
    "module": forms.text(""),
    "role": forms.text(""),
}
STRING, ONE = forms.text("out"), forms.integer(1)
FORMS = ("map", "list", "tuple", "namedtuple", "flat")


def entries(children: int = 1) -> Draft:
    """Two tensors of two axes, two aliases, a value, a node of form keys with its children, and a list."""
    made = Draft().tensor("a", "int8", (2, 3)).tensor("b", "int8", (3, 2)).alias("c", "a").alias("d", "b", (1, 0))
    made.value("e", 1).node("f", "keys", keys=[1])
    for number in range(children):
        made.value(f"f.{number}", number)
    return made.node("g", "list")


def cases() -> Iterator[Case]:
    """Steps 46 to 48."""
    yield from _types()
    yield from _items()
    yield from _axes()
    yield from _keys()


def _types() -> Iterator[Case]:
    """Every column with each other type, and with what is empty."""

    def refused(slug: str, key: str, raw: bytes, comment: str) -> Case:
        draft = entries(0 if slug == "keys-empty" else 1)
        row = len(draft.entries) - 1 if key == "module" else COLUMNS[key][0]
        data = draft.file(keys={key: column([row], [0], [raw])})
        return reject(slug, data, "SCHEMA", "3.2", comment, step=46)

    for key, (_, right) in COLUMNS.items():
        for name, raw in VALUES.items():
            if name != right:
                yield refused(f"{key}-{name}", key, raw, f"{name} where {right} is asked for")
    for key, raw in EMPTY.items():
        yield refused(f"{key}-empty", key, raw, "what says nothing is left out")
    yield refused("trainable-zero", "trainable", forms.integer(0), "0 is not false")
    yield refused("trainable-one", "trainable", forms.integer(1), "1 is not true")
    yield refused("trainable-text", "trainable", forms.text("true"), "the word is not the value")
    yield refused("role-list", "role", forms.packed(["parameter"]), "a role in an array")
    yield refused("attrs-pairs", "attrs", forms.packed([["a", 1]]), "pairs instead of a map")
    yield refused("axes-one-string", "axes", forms.text("out in"), "the names in one string")
    yield refused("perm-bytes", "perm", forms.binary(b"\1\0"), "the axes as bytes")


def _items() -> Iterator[Case]:
    """Arrays with items of another type, at the first and at the last place."""
    draft = entries()

    def refused(slug: str, key: str, items: list[bytes], comment: str) -> Case:
        made = entries(len(items)) if key == "keys" else draft
        data = made.file(keys={key: column([COLUMNS[key][0]], [0], [forms.array(items)])})
        return reject(slug, data, "SCHEMA", "3.2", comment, step=46)

    for name, raw in VALUES.items():
        if name != "string":
            yield refused(f"axes-first-{name}", "axes", [raw, STRING], "an axis whose name is no string")
        if name != "integer":
            zero = {"bool": forms.FALSE, "float": forms.real(0.0)}.get(name, raw)
            yield refused(f"perm-last-{name}", "perm", [ONE, zero], "an axis that is no integer")
    yield refused("axes-last-null", "axes", [STRING, forms.NULL], "an axis whose name is no string")
    yield refused("axes-first-empty", "axes", [forms.text(""), STRING], "an axis with an empty name")
    yield refused("axes-last-empty", "axes", [STRING, forms.text("")], "an axis with an empty name")
    yield refused("perm-first-bool", "perm", [forms.TRUE, forms.integer(0)], "true is not 1")
    yield refused("perm-bools", "perm", [forms.TRUE, forms.FALSE], "true and false are not 1 and 0")
    yield refused("perm-floats", "perm", [forms.real(1.0), forms.real(0.0)], "1.0 and 0.0 are not 1 and 0")
    some = forms.keyed({"a": ONE})
    yield refused("keys-first-map", "keys", [some, ONE], "a map is no key")
    yield refused("keys-last-map", "keys", [ONE, some], "a map is no key")
    yield refused("keys-empty-map", "keys", [forms.mapping([])], "a map is no key")
    yield refused("keys-map-in-tuple", "keys", [forms.array([ONE, some])], "nor a part of a tuple")
    nested = forms.array([forms.array([forms.array([some])])])
    yield refused("keys-map-in-inner-tuple", "keys", [nested], "nor a part of a tuple in a tuple")
    good, bad = forms.text("a"), forms.text("")
    for slug, table in (("first", [bad, good]), ("last", [good, bad])):
        data = draft.file(keys={"role": column([0, 1], [0, 1], table)})
        yield reject(f"role-empty-{slug}", data, "SCHEMA", "3.2", "one of two values", step=46)
    data = draft.file(keys={"trainable": column([0, 1, 2], [0, 1, 2], [forms.TRUE, forms.NULL, forms.FALSE])})
    yield reject("trainable-null-of-three", data, "SCHEMA", "3.2", "the second of three values", step=46)


def _axes() -> Iterator[Case]:
    """As many as the rank, and for an alias as many as its target's."""

    def refused(slug: str, draft: Draft, comment: str, section: str = "3.2") -> Case:
        return reject(slug, draft.file(), "SCHEMA", section, comment, step=47)

    three = [str(i) for i in range(3)]
    for slug, shape, axes in (
        ("one-fewer", (2, 3), three[:1]),
        ("one-more", (2, 3), three),
        ("for-rank-1", (6,), three[:2]),
        ("for-rank-0", (), three[:1]),
        ("for-rank-3", (1, 2, 3), three[:2]),
        ("for-no-elements", (0, 3), three[:1]),
    ):
        yield refused(f"count-{slug}", Draft().tensor("a", "int8", shape, axes=axes), "names for other axes")
    first = Draft().tensor("a", "int8", (2, 3), axes=three).tensor("b", "int8", (2, 3), axes=three[:2])
    yield refused("count-first-of-two", first, "the second tensor's are right")
    last = Draft().tensor("a", "int8", (2, 3), axes=three[:2]).tensor("b", "int8", (3,), axes=three[:2])
    yield refused("count-last-of-two", last, "the same names as the first tensor's")
    for slug, names in (("one-fewer", three[:1]), ("one-more", three)):
        plain = Draft().tensor("a", "int8", (2, 3)).alias("b", "a", axes=names)
        yield refused(f"alias-count-{slug}", plain, "its target has two", "3.4")
        turned = Draft().tensor("a", "int8", (2, 3)).alias("b", "a", (1, 0), axes=names)
        yield refused(f"alias-with-perm-count-{slug}", turned, "its target has two", "3.4")
        named = Draft().tensor("a", "int8", (2, 3), axes=["x", "y"]).alias("b", "a", axes=names)
        yield refused(f"alias-of-named-count-{slug}", named, "its target has two, with names", "3.4")
    scalar = Draft().tensor("a", "int8", ()).alias("b", "a", axes=["x"])
    yield refused("alias-of-rank-0", scalar, "its target has none", "3.4")
    other = Draft().tensor("a", "int8", (2,)).tensor("b", "int8", (2, 3)).alias("c", "a", axes=["x", "y"])
    yield refused("alias-count-of-other-tensor", other, "as many as the tensor before it has", "3.4")


def _keys() -> Iterator[Case]:
    def refused(slug: str, draft: Draft, comment: str) -> Case:
        return reject(slug, draft.file(), "SCHEMA", "3.5", comment, step=48)

    for form in FORMS:
        yield refused(f"keys-of-{form}", Draft().node("a", form, keys=[1]), "a form that has none")
    flat = Draft().node("", "flat").node("a", "part", module="relu", keys=[1]).value("b", 1)
    yield refused("keys-of-part", flat, "a form that has none")
    full = Draft().node("a", "list", keys=[0, 1]).value("a.0", 1).value("a.1", 2)
    yield refused("keys-of-list-with-children", full, "as many as it has children")
    yield refused("no-keys", Draft().node("a", "keys").value("a.1", 1), "no node has any")
    yield refused("no-keys-nor-children", Draft().node("a", "keys"), "nor anything beneath it")
    for slug, first, last in (("first", None, [1]), ("last", [1], None)):
        made = Draft()
        for path, keys in (("a", first), ("b", last)):
            made.node(path, "keys", **({"keys": keys} if keys else {})).value(f"{path}.1", 1)
        yield refused(f"no-keys-{slug}", made, "one of two nodes of form keys")
    other = Draft().node("a", "keys").value("a.1", 1).node("b", "list", keys=[1])
    yield refused("keys-of-wrong-node", other, "the list has those of the node of form keys")
