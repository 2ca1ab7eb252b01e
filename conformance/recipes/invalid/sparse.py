"""Sparse columns that are no column: their three parts (spec section 3.2)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .. import forms
from ..case import Case, reject
from ..draft import Draft, column, u32

A, B, C = (forms.text(name) for name in ("parameter", "buffer", "gradient"))
TABLE = forms.array([A, B])
LAST = 2**32 - 1
# Rows of the entries of `entries`.
TENSORS, ALIASES, VALUES, NODES = (0, 1, 2, 3), (4, 5), (6,), (7, 8)
# Column -> types of entry that must not have it, and a value that others may have.
WRONG = {
    "attrs": (("alias", "value"), forms.keyed({"a": forms.integer(1)})),
    "axes": (("value", "node"), forms.array([forms.text("out")])),
    "class": (("alias", "value"), forms.text("C")),
    "keys": (("tensor", "alias", "value"), forms.array([forms.integer(1)])),
    "module": (("tensor", "alias", "value"), forms.text("linear")),
    "perm": (("tensor", "value", "node"), forms.array([forms.integer(1), forms.integer(0)])),
    "role": (("value", "node"), A),
    "trainable": (("value", "node"), forms.TRUE),
}
ROWS = {"tensor": 1, "alias": 5, "value": 6, "node": 8}


def entries() -> Draft:
    """Four tensors, two aliases, a value and two nodes, of which nothing is said."""
    made = Draft()
    for name in "abcd":
        made.tensor(name, "int8", (1, 2))
    return made.alias("e", "a").alias("f", "b").value("g", 1).node("h", "list").node("i", "tuple")


def cases() -> Iterator[Case]:
    """Step 45, in the column `role` where nothing else is said."""
    yield from _shapes()
    yield from _parts()
    yield from _rows()
    yield from _entry_types()
    yield from _tables()


def _said(slug: str, raw: bytes, comment: str, code: str = "SCHEMA", key: str = "role") -> Case:
    return reject(slug, entries().file(keys={key: raw}), code, "3.2", comment, step=45)


def _three(rows: bytes, picks: bytes, table: bytes = TABLE) -> bytes:
    return forms.array([forms.binary(rows), forms.binary(picks), table])


def _shapes() -> Iterator[Case]:
    rows, picks = forms.binary(u32(0, 1)), forms.binary(u32(0, 1))
    yield _said("of-no-parts", forms.array([]), "an empty array")
    yield _said("of-one-part", forms.array([rows]), "rows alone")
    yield _said("of-two-parts", forms.array([rows, TABLE]), "no picks")
    yield _said("of-four-parts", forms.array([rows, picks, TABLE, forms.NULL]), "a null behind the table")
    yield _said("of-six-parts", forms.array([rows, picks, TABLE] * 2), "the column twice")
    yield _said("of-values", forms.array([A, A, A]), "a value for each of three rows")
    yield _said("of-pairs", forms.array([forms.array([forms.integer(0), A])] * 2), "rows and values in pairs")
    for key in ("attrs", "axes", "class", "keys", "module", "perm", "trainable"):
        yield _said(f"{key}-of-no-parts", forms.array([]), "an empty array", key=key)


def _parts() -> Iterator[Case]:
    """Each of the three parts with each other type."""
    good = {"rows": forms.binary(u32(0, 1)), "picks": forms.binary(u32(0, 1)), "table": TABLE}
    others = {
        "null": forms.NULL,
        "bool": forms.TRUE,
        "integer": forms.integer(0),
        "float": forms.real(0.0),
        "string": forms.text("\0\0\0\0\1\0\0\0"),
        "map": forms.keyed({"a": A}),
    }
    for name in good:
        instead = {**others, "array": forms.array([forms.integer(0), forms.integer(1)])}
        if name == "table":
            instead = {**others, "binary": forms.binary(b"")}
        for kind, raw in instead.items():
            yield _said(f"{name}-{kind}", forms.array({**good, name: raw}.values()), "a part of another type")
    yield _said("table-first", forms.array([TABLE, good["rows"], good["picks"]]), "the parts in another order")


def _rows() -> Iterator[Case]:
    two = u32(0, 1)
    for slug, rows, picks, comment in (
        ("rows-and-picks-one-byte-more", two + b"\0", two + b"\0", "no multiple of 4 bytes"),
        ("rows-and-picks-one-byte-less", two[:-1], two[:-1], "no multiple of 4 bytes"),
        ("rows-of-one-byte", b"\0", b"\0", "no multiple of 4 bytes"),
        ("rows-of-six-bytes", two[:6], two[:6], "no multiple of 4 bytes"),
        ("picks-one-fewer", two, u32(0), "one pick for two rows"),
        ("picks-one-more", two, u32(0, 1, 0), "three picks for two rows"),
        ("picks-one-byte-more", two, two + b"\0", "no multiple of 4 bytes"),
        ("picks-one-byte-less", two, two[:-1], "no multiple of 4 bytes"),
        ("picks-none", two, b"", "no pick for two rows"),
    ):
        yield _said(slug, _three(rows, picks), comment)
    yield _said("empty", _three(b"", b"", forms.array([])), "no rows at all")
    yield _said("no-rows-but-picks", _three(b"", two), "picks and a table")
    for key in ("attrs", "axes", "class", "keys", "module", "perm", "trainable"):
        yield _said(f"{key}-empty", _three(b"", b"", forms.array([])), "no rows at all", key=key)
    table = [A, B]
    for slug, numbers, comment in (
        ("rows-descend-first", (1, 0, 2), "the first two the other way round"),
        ("rows-descend-last", (0, 2, 1), "the last two the other way round"),
        ("rows-reversed", (3, 2, 1, 0), "all the other way round"),
        ("rows-equal-first", (0, 0, 1), "the first row twice"),
        ("rows-equal-last", (0, 1, 1), "the last row twice"),
        ("rows-equal-apart", (0, 1, 0), "the first row once more"),
        ("rows-of-256-descend", (1, 0), "in the order of big-endian numbers"),
        ("rows-beyond-by-one", (0, 9), "as many as there are entries"),
        ("rows-beyond-only", (9,), "the one row"),
        ("rows-beyond-2-to-16", (0, 65536), "the low half is a row"),
        ("rows-beyond-2-to-31", (0, 2**31), "negative if taken as signed"),
        ("rows-beyond-all-ones", (0, LAST), "negative if taken as signed"),
        ("rows-minus-one-first", (LAST, 0), "ascending if taken as signed"),
    ):
        used = [min(i, 1) for i in range(len(numbers))]
        yield _said(slug, column(numbers, used, table[: len(numbers)]), comment)
    yield _said("rows-big-endian", _three(b"\0\0\0\1\0\0\0\2", two), "rows 1 and 2 the wrong way")


def _entry_types() -> Iterator[Case]:
    """A value of the right type at an entry that may not have it; alone, and after one that may."""
    for key, (kinds, raw) in WRONG.items():
        for kind in kinds:
            slug = f"{key}-at-{kind}"
            yield _said(slug, column([ROWS[kind]], [0], [raw]), "the type of entry may not have it", key=key)
    for slug, key, rows in (
        ("role-at-last-value", "role", (0, 4, 6)),
        ("trainable-at-first-value", "trainable", (6, 7)),
        ("class-at-middle-alias", "class", (0, 4, 7)),
        ("attrs-at-middle-alias", "attrs", (3, 5, 8)),
    ):
        yield _said(slug, column(rows, [0] * len(rows), [WRONG[key][1]]), "others may have it", key=key)


def _tables() -> Iterator[Case]:
    def refused(slug: str, picks: Sequence[int], table: Sequence[bytes], comment: str, key: str = "role") -> Case:
        return _said(slug, column(range(len(picks)), picks, table), comment, "NONCANONICAL", key)

    for slug, picks, table, comment in (
        ("pick-beyond-by-one", (0, 1), [A], "as many as the table has values"),
        ("pick-beyond-only", (0,), [], "the table is empty"),
        ("pick-beyond-first", (2, 0), [A, B], "the first one"),
        ("pick-beyond-2-to-16", (0, 65536), [A, B], "the low half is a pick"),
        ("pick-beyond-all-ones", (0, LAST), [A, B], "minus one if taken as signed"),
        ("pick-minus-one-only", (LAST,), [A], "minus one if taken as signed"),
        ("order-of-two", (1, 0), [A, B], "the second value is used first"),
        ("order-of-last-two", (0, 2, 1), [A, B, C], "the third value is used before the second"),
        ("order-skips-one", (0, 2, 2, 1), [A, B, C], "the second value is used last"),
        ("order-sorted", (1, 0), [B, A], "the table in the order of its bytes"),
        ("unused-first", (1, 1), [A, B], "only the second value is used"),
        ("unused-middle", (0, 2), [A, B, C], "the second of three is not used"),
        ("unused-last", (0, 0), [A, B], "the second of two is not used"),
        ("unused-two-last", (0,), [A, B, C], "the first of three alone is used"),
        ("repeated-first", (0, 1, 2), [A, A, B], "one value twice"),
        ("repeated-last", (0, 1, 2), [A, B, B], "one value twice"),
        ("repeated-apart", (0, 1, 2), [A, B, A], "one value twice"),
        ("repeated-for-each", (0, 1, 2, 3), [A] * 4, "a table that names a value for each row"),
    ):
        yield refused(slug, picks, table, comment)
    one = forms.keyed({"a": forms.integer(1), "b": forms.integer(2)})
    yield refused("repeated-maps", (0, 1), [one, one], "equal maps", "attrs")
    nan = forms.keyed({"a": forms.real(float("nan"))})
    yield refused("repeated-nan", (0, 1), [nan, nan], "no NaN equals itself, but the bytes are the same", "attrs")
    names = forms.packed(["out", "in"])
    yield refused("repeated-axes", (0, 1), [names, names], "equal arrays", "axes")
    yield refused("repeated-bools", (0, 1), [forms.TRUE, forms.TRUE], "true twice", "trainable")
    yield refused(
        "repeated-bools-of-three", (0, 1, 2), [forms.TRUE, forms.FALSE, forms.TRUE], "true twice", "trainable"
    )
    yield refused("unused-class", (0,), [forms.text("C"), forms.text("D")], "the second is not used", "class")
    swap = forms.packed([1, 0])
    data = entries().file(keys={"perm": column([4, 5], [0, 1], [swap, swap])})
    yield reject("repeated-perms", data, "NONCANONICAL", "3.2", "equal permutations", step=45)
    keys = forms.packed([1])
    draft = Draft().node("a", "keys", keys=[1]).value("a.1").node("b", "keys", keys=[1]).value("b.1")
    data = draft.file(keys={"keys": column([0, 2], [0, 1], [keys, keys])})
    yield reject("repeated-keys", data, "NONCANONICAL", "3.2", "equal lists of keys", step=45)
    data = draft.file(keys={"module": column([0, 2], [0, 2], [A, B, C])})
    yield reject("unused-module", data, "NONCANONICAL", "3.2", "the second is not used", step=45)
