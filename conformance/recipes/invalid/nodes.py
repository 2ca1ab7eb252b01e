"""One tree: leaves, nodes and what is beneath them (spec section 3.5)."""

from __future__ import annotations

from collections.abc import Iterator

from ..case import Case, reject
from ..draft import Draft

FORMS = ("map", "list", "tuple", "namedtuple", "flat", "keys", "part")


def cases() -> Iterator[Case]:
    """Steps 51 to 55, but for what only one form has."""
    yield from _nothing()
    yield from _leaves()
    yield from _late()
    yield from _silent()
    yield from _dots()


def _tree(slug: str, draft: Draft, step: int, comment: str) -> Case:
    return reject(slug, draft.file(), "TREE", "3.5", comment, step=step)


def _nothing() -> Iterator[Case]:
    for slug, draft, comment in (
        ("no-entries", Draft(), "an empty tree is one node"),
        ("no-entries-but-metadata", Draft(metadata={"a": 1}), "something is said all the same"),
        ("no-entries-but-convention", Draft(convention="torch"), "something is said all the same"),
        ("no-entries-with-small-chunks", Draft(chunk=64), "there is nothing to cut"),
    ):
        yield reject(slug, draft.file(), "TREE", "3.2", comment, step=51)


def _leaves() -> Iterator[Case]:
    """A path is a leaf's or an inner one, never both."""

    def leaf(kind: str, path: str, draft: Draft) -> Draft:
        if kind == "tensor":
            return draft.tensor(path, "int8", (1,))
        return draft.alias(path, "x") if kind == "alias" else draft.value(path, 1)

    for kind in ("tensor", "alias", "value"):
        above = leaf(kind, "a", Draft().tensor("x", "int8", (1,))).value("a.b", 2)
        yield _tree(f"leaf-{kind}-above-value", above, 52, "the leaf first")
        behind = leaf(kind, "a", Draft().tensor("x", "int8", (1,)).value("a.b", 2))
        yield _tree(f"leaf-{kind}-behind-value", behind, 52, "the leaf last")
    for kind in ("tensor", "alias", "node"):
        draft = Draft().tensor("x", "int8", (1,)).value("a", 1)
        below = draft.node("a.b", "list") if kind == "node" else leaf(kind, "a.b", draft)
        yield _tree(f"leaf-above-{kind}", below, 52, "a value with something beneath it")
    for slug, draft, comment in (
        ("leaf-at-root", Draft().value("", 1).value("a", 2), "the root is a value"),
        ("leaf-at-root-last", Draft().value("a", 2).value("", 1), "the root is a value, and stands last"),
        ("leaf-tensor-at-root", Draft().tensor("", "int8", (1,)).node("a", "list"), "the root is a tensor"),
        ("leaf-far-above", Draft().value("a", 1).value("a.b.c.d", 2), "three segments between them"),
        ("leaf-within", Draft().value("x.a", 1).value("x.a.b", 2), "within a map"),
        ("leaf-of-empty-segment", Draft().value("\\e", 1).value("\\e.a", 2), "the segment without characters"),
        ("leaf-above-empty-segment", Draft().value("a", 1).value("a.\\e", 2), "the segment without characters"),
        ("leaf-first-of-many", Draft().value("a", 1).value("b", 2).value("c", 3).value("a.z", 4), "others between"),
        (
            "leaf-with-neighbours",
            Draft().value("a", 1).value("a-b", 2).value("a.b", 3),
            "sorted, another stands between",
        ),
        ("leaf-in-list", Draft().node("l", "list").value("l.0", 1).value("l.0.a", 2), "an item of a list"),
        ("leaf-in-flat", Draft().node("", "flat").value("x.w", 1).value("x.w.m", 2), "its dot must be escaped"),
        ("leaf-in-flat-behind", Draft().node("", "flat").value("x.w.m", 1).value("x.w", 2), "its dot must be escaped"),
        (
            "leaf-with-escaped-dot",
            Draft().node("", "flat").value("a", 1).value("a\\.b", 2).value("a\\.b.c", 3),
            "a key",
        ),
        (
            "leaf-above-part",
            Draft().node("", "flat").value("a", 1).node("a.b", "part", module="relu"),
            "a part beneath",
        ),
    ):
        yield _tree(slug, draft, 52, comment)


def _late() -> Iterator[Case]:
    """A node stands before all that is beneath it."""
    for form in FORMS:
        keys = {"keys": [1]} if form == "keys" else {}
        facts = {"module": "m"} if form in ("map", "part") else {}
        draft = Draft().node("", "flat") if form == "part" else Draft()
        made = draft.value("a.0", 1).node("a", form, **keys, **facts)
        yield _tree(f"late-{form}", made, 53, "behind the only entry beneath it")
    for slug, draft, comment in (
        ("late-root", Draft().value("a.b", 1).node("", "flat"), "the root's node stands last"),
        ("late-root-map", Draft().value("a", 1).node("", "map", module="m"), "the root's node stands last"),
        ("late-far-above", Draft().value("a.b.0", 1).node("a", "map", module="m"), "two segments between them"),
        ("late-between", Draft().value("l.0", 1).node("l", "list").value("l.1", 2), "between two of its children"),
        ("late-behind-others", Draft().value("l.0", 1).value("x", 2).node("l", "list"), "another entry between"),
        ("late-inner-of-two", Draft().node("a", "list").value("a.0.x", 1).node("a.0", "map", module="m"), "the inner"),
        ("late-outer-of-two", Draft().node("a.0", "list").node("a", "list"), "behind a node"),
        ("late-behind-tensor", Draft().tensor("a.w", "int8", (1,)).node("a", "map", module="m"), "behind a tensor"),
        (
            "late-behind-alias",
            Draft().tensor("w", "int8", (1,)).alias("a.w", "w").node("a", "map", module="m"),
            "behind an alias",
        ),
        ("late-part-behind-part", _flat().node("a.b", "part", module="x").node("a", "part", module="y"), "two parts"),
        (
            "late-last-of-three",
            Draft().node("a", "list").node("b", "list").value("c.0", 1).node("c", "list"),
            "the last",
        ),
    ):
        yield _tree(slug, draft, 53, comment)


def _flat() -> Draft:
    return Draft().node("", "flat")


def _silent() -> Iterator[Case]:
    """A map node is written only where it says something."""

    def refused(slug: str, draft: Draft, comment: str) -> Case:
        return reject(slug, draft.file(), "NONCANONICAL", "3.5", comment, step=54)

    for slug, draft, comment in (
        ("silent-map", Draft().node("a", "map").value("a.b", 1), "it has a child"),
        ("silent-map-at-root", Draft().node("", "map").value("a", 1), "the root"),
        ("silent-map-above-node", Draft().node("a", "map").node("a.b", "list"), "a node is beneath it"),
        ("silent-map-above-tensor", Draft().node("a", "map").tensor("a.w", "int8", (1,)), "a tensor is beneath it"),
        ("silent-map-far-above", Draft().node("a", "map").value("a.b.c", 1), "what it holds is two segments down"),
        ("silent-map-in-map", Draft().node("a", "map", module="m").node("a.b", "map").value("a.b.c", 1), "a map says"),
        ("silent-map-in-list", Draft().node("l", "list").node("l.0", "map").value("l.0.a", 1), "an item of a list"),
        ("silent-map-in-tuple", Draft().node("l", "tuple").node("l.0", "map").value("l.0.a", 1), "an item of a tuple"),
        ("silent-map-in-namedtuple", Draft().node("l", "namedtuple").node("l.x", "map").value("l.x.a", 1), "a field"),
        (
            "silent-map-in-keys",
            Draft().node("k", "keys", keys=[1]).node("k.1", "map").value("k.1.a", 1),
            "a value of a map of other keys",
        ),
        (
            "silent-map-below-map-in-flat",
            _flat().node("m", "map").node("m.x", "map").value("m.x.y", 1),
            "the map around it is a map, which lies in a flat one",
        ),
        (
            "silent-map-below-list-in-flat",
            _flat().node("a.l", "list").node("a.l.0", "map").value("a.l.0.x", 1),
            "the list around it is a value of the flat map",
        ),
        (
            "silent-map-last-of-three",
            Draft().node("a", "map", class_="C").value("a.x", 1).node("b", "map").node("c", "map").value("c.x", 1),
            "the third; the second is empty, the first says something",
        ),
        ("silent-map-of-escaped-name", Draft().node("a\\\\b", "map").value("a\\\\b.c", 1), "a backslash in its name"),
    ):
        yield refused(slug, draft, comment)


def _dots() -> Iterator[Case]:
    """A segment directly beneath a map holds no dot: such a map is flat."""

    def refused(slug: str, draft: Draft, comment: str) -> Case:
        return reject(slug, draft.file(), "NONCANONICAL", "3.5", comment, step=55)

    named = Draft().node("n", "namedtuple")
    for slug, draft, comment in (
        ("dot-at-root", Draft().value("a\\.b", 1), "the root without a node is a map"),
        ("dot-alone", Draft().value("\\.", 1), "the key is one dot"),
        ("dot-at-start", Draft().value("\\.a", 1), "the key begins with a dot"),
        ("dot-at-end", Draft().value("a\\.", 1), "the key ends with a dot"),
        ("dot-behind-backslash", Draft().value("a\\\\\\.b", 1), "the key holds a backslash too"),
        ("dot-in-map-without-node", Draft().value("a.b\\.c", 1), "a map without a node"),
        ("dot-in-map-with-node", Draft().node("a", "map", module="m").value("a.b\\.c", 1), "a map with a node"),
        ("dot-at-root-with-node", Draft().node("", "map", module="m").value("a\\.b", 1), "the root with a node"),
        ("dot-in-inner-path", Draft().value("a\\.b.c", 1), "a key whose value is a map"),
        ("dot-in-path-of-node", Draft().node("a\\.b", "list"), "a key whose value is a list"),
        ("dot-in-path-of-tensor", Draft().tensor("a\\.b", "int8", (1,)), "a tensor"),
        ("dot-in-path-of-alias", Draft().tensor("a", "int8", (1,)).alias("b\\.c", "a"), "an alias"),
        ("dot-in-item-of-list", Draft().node("l", "list").value("l.0.a\\.b", 1), "a map that is an item of a list"),
        ("dot-in-field", named.value("n.x.a\\.b", 1), "a map that is a field"),
        ("dot-in-value-of-keys", Draft().node("k", "keys", keys=[1]).value("k.1.a\\.b", 1), "a map under another key"),
        ("dot-in-map-in-flat", _flat().node("m", "map").value("m.a\\.b", 1), "a map that lies in a flat one"),
        (
            "dot-below-map-in-flat",
            _flat().node("m", "map").value("m.x.a\\.b", 1),
            "a map without a node, beneath a map that lies in a flat one",
        ),
        (
            "dot-below-list-in-flat",
            _flat().node("l", "list").value("l.0.a\\.b", 1),
            "a map without a node, in a list that lies in a flat map",
        ),
        ("dot-last-of-three", Draft().value("a", 1).value("b", 2).value("c\\.d", 3), "the last of three keys"),
        ("dot-middle-of-three", Draft().value("a", 1).value("b\\.x", 2).value("c", 3), "the second of three keys"),
        ("dot-beside-flat", Draft().node("f", "flat").value("f.a\\.", 1).value("g.b\\.c", 2), "beside a flat map"),
        ("dot-above-flat", Draft().node("a\\.b", "flat").value("a\\.b.c", 1), "a flat map as its value"),
    ):
        yield refused(slug, draft, comment)
