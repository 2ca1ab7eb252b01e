"""Columns of another length, unknown codes, and values that are containers (spec section 3.2)."""

from __future__ import annotations

from collections.abc import Iterator

from .. import forms
from ..case import Case, reject
from ..draft import Draft, u32, u64

WIDTHS = {"dims": 8, "stored": 4, "sum": 8, "alias": 4}
UNKNOWN_TYPES = (4, 5, 127, 128, 255)
UNKNOWN_FORMS = (7, 8, 127, 128, 255)
CONTAINERS = {
    "empty-array": forms.array([]),
    "array": forms.array([forms.integer(1)]),
    "empty-map": forms.mapping([]),
    "map": forms.keyed({"a": forms.integer(1)}),
}


def columns() -> Draft:
    """Two entries of each type and more; the last tensor has no axis, so that `rank` can change alone."""
    return (
        Draft()
        .tensor("a", "int8", (5,))
        .tensor("b", "float32", ())
        .alias("c", "a")
        .alias("d", "a")
        .value("e", 1)
        .value("f", 2)
        .value("g", 3)
        .node("h", "list")
        .node("i", "list")
        .node("j", "list")
    )


def cases() -> Iterator[Case]:
    """Steps 23 and 25 to 28."""
    yield from _multiples()
    yield from _types()
    yield from _counts()
    yield from _forms_and_values()


def _refused(slug: str, data: bytes, step: int, comment: str, **facts: str) -> Case:
    return reject(slug, data, "SCHEMA", "3.2", comment, step=step, **facts)


def _multiples() -> Iterator[Case]:
    draft = columns()
    for name, width in WIDTHS.items():
        raw = draft.columns()[name]
        for slug, made in (
            ("one-byte-more", raw + b"\0"),
            ("one-byte-less", raw[:-1]),
            ("half-an-item-more", raw + bytes(width // 2)),
            ("one-byte", b"\0"),
        ):
            data = draft.file(columns={name: made})
            yield _refused(f"{name}-{slug}", data, 23, f"its items have {width} bytes")


def _types() -> Iterator[Case]:
    """An entry of an unknown type asks for no item of any column."""
    for code in UNKNOWN_TYPES:
        for place, at in (("first", 0), ("middle", 1), ("last", 2)):
            types = [2, 2, 2]
            types[at] = code
            draft = Draft().value("a", 1).value("b", 2).value("c", 3)
            data = draft.file(columns={"type": bytes(types)}, keys={"value": forms.packed([1, 2])})
            yield _refused(f"type-{code}-{place}", data, 25, "no such type of entry", readers="1.0")


def _counts() -> Iterator[Case]:
    draft = columns()
    held = draft.columns()
    paths = [entry.path for entry in draft.entries]
    for name, more in (("dtype", b"\x03"), ("rank", b"\0"), ("alias", u32(0)), ("form", b"\1")):
        raw, size = held[name], len(more)
        data = draft.file(columns={name: raw[:-size]})
        yield _refused(f"{name}-one-fewer", data, 26, "one item fewer than entries")
        yield _refused(f"{name}-one-more", draft.file(columns={name: raw + more}), 26, "one item more than entries")
        yield _refused(f"{name}-empty", draft.file(columns={name: b""}), 26, "no item at all")
    for slug, values in (("one-fewer", [1, 2]), ("one-more", [1, 2, 3, 4]), ("empty", [])):
        yield _refused(
            f"value-{slug}", draft.file(keys={"value": forms.packed(values)}), 26, "entries of type value: 3"
        )
    for slug, lines in (
        ("one-fewer", paths[:-1]),
        ("one-more", [*paths, "z"]),
        ("empty-line-behind", [*paths, ""]),
        ("one-more-in-front", ["z", *paths]),
        ("one", ["a"]),
    ):
        yield _refused(f"path-{slug}", draft.file(keys={"path": forms.text("\n".join(lines))}), 26, "entries: 10")
    yield _refused("path-empty", draft.file(keys={"path": forms.text("")}), 26, "one path, the root's")
    for slug, made in (
        ("one-fewer", held["type"][:-1]),
        ("one-more", held["type"] + b"\3"),
        ("value-for-node", held["type"][:-1] + b"\2"),
    ):
        yield _refused(f"type-{slug}", draft.file(columns={"type": made}), 26, "what it asks for is not there")
    nothing = Draft()
    for slug, text in (("one-path", "a"), ("two-roots", "\n")):
        yield _refused(f"no-entries-but-{slug}", nothing.file(keys={"path": forms.text(text)}), 26, "no entry type")
    data = nothing.file(keys={"value": forms.packed([1])})
    yield _refused("no-entries-but-value", data, 26, "no entry type")
    yield from _dims()


def _dims() -> Iterator[Case]:
    draft = columns()
    for slug, dims in (("one-fewer", u64()), ("one-more", u64(5, 1)), ("zero-more", u64(5, 0))):
        yield _refused(f"dims-{slug}", draft.file(columns={"dims": dims}), 27, "the ranks ask for one")
    for slug, ranks in (("first-more", b"\2\0"), ("first-less", b"\0\0"), ("last-more", b"\1\1"), ("255", b"\1\xff")):
        yield _refused(f"dims-rank-{slug}", draft.file(columns={"rank": ranks}), 27, "one dimension is there")
    two = Draft().tensor("a", "int8", (2, 3)).tensor("b", "int8", (4, 1))
    data = two.file(columns={"dims": u64(2, 3)})
    yield _refused("dims-of-last-tensor-missing", data, 27, "the dimensions of the first tensor alone")
    data = two.file(columns={"dims": u32(2, 3, 4, 1)})
    yield _refused("dims-of-32-bits", data, 27, "half as many as it takes")


def _forms_and_values() -> Iterator[Case]:
    for code in UNKNOWN_FORMS:
        for place, at in (("first", 0), ("middle", 1), ("last", 2)):
            made = [1, 1, 1]
            made[at] = code
            data = columns().file(columns={"form": bytes(made)})
            yield _refused(f"form-{code}-{place}", data, 28, "no such form", readers="1.0")
    for name, raw in CONTAINERS.items():
        for place, at in (("first", 0), ("middle", 1), ("last", 2)):
            items = [forms.integer(1), forms.integer(2), forms.integer(3)]
            items[at] = raw
            data = columns().file(keys={"value": forms.array(items)})
            yield reject(f"value-{name}-{place}", data, "SCHEMA", "3.3", "no container is a value", step=28)
