"""Keys of flat maps that are equal, or split otherwise than they must be (spec section 4.2)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..case import Case, reject
from ..draft import Draft

# Paths of the values of a flat map at the root, two of which are one key.
EQUAL: dict[str, tuple[str, ...]] = {
    "of-two": ("a.b", "a\\.b"),
    "the-other-way": ("a\\.b", "a.b"),
    "of-three-segments": ("a.b.c", "a\\.b\\.c"),
    "split-before-and-behind": ("a\\.b.c", "a.b\\.c"),
    "with-others-between": ("a.b", "x.y", "z", "a\\.b"),
    "last-two-of-three": ("x.y", "a.b", "a\\.b"),
    "of-dots": ("\\.", "\\e.\\e"),
    "of-leading-dot": ("\\.a", "\\e.a"),
    "of-trailing-dot": ("a\\.", "a.\\e"),
    "of-two-dots": ("a.\\.b", "a\\..b"),
    "of-backslashes": ("a\\\\.b", "a\\\\\\.b"),
}
# Paths of values of which one is not where its key is split to: (paths, the wrong one, where it should stand).
SPLIT: dict[str, tuple[tuple[str, ...], str]] = {
    "joined": (("a\\.b",), "a.b"),
    "joined-of-three": (("a\\.b\\.c",), "a.b.c"),
    "joined-first": (("a\\.b.c",), "a.b.c"),
    "joined-last": (("a.b\\.c",), "a.b.c"),
    "joined-beside-others": (("x.y", "a\\.b", "z"), "a.b"),
    "joined-as-last": (("x.y", "z", "a\\.b"), "a.b"),
    "joined-as-first": (("a\\.b", "x.y", "z"), "a.b"),
    "joined-behind-key": (("a", "a\\.b\\.c"), "a\\.b.c"),
    "joined-behind-two-keys": (("a", "a\\.b", "a\\.b\\.c\\.d"), "a\\.b\\.c.d"),
    "of-a-key-of-another-map": (("b", "a\\.b"), "a.b"),
    "leading-dot": (("\\e.x",), "\\.x"),
    "leading-dot-of-two": (("\\e.x.y",), "\\.x.y"),
    "leading-dot-joined": (("\\.x\\.y",), "\\.x.y"),
    "trailing-dot": (("x.\\e",), "x\\."),
    "trailing-dot-of-two": (("x.y.\\e",), "x.y\\."),
    "trailing-dot-joined": (("x\\.y\\.",), "x.y\\."),
    "one-dot": (("\\e.\\e",), "\\."),
    "two-dots-in-three": (("\\e.\\e.\\e",), "\\.\\."),
    "two-dots-first": (("\\e.\\.",), "\\.\\."),
    "two-dots-last": (("\\..\\e",), "\\.\\."),
    "doubled-dot-first": (("a\\..c",), "a.\\.c"),
    "doubled-dot-joined": (("a\\.\\.c",), "a.\\.c"),
    "doubled-dot-in-three": (("a.\\e.c",), "a.\\.c"),
    "tripled-dot": (("a\\..\\.c",), "a.\\..c"),
    "backslash-joined": (("a\\\\\\.b",), "a\\\\.b"),
    "empty-key-as-prefix": (("\\e", "x\\.y"), "x.y"),
}


def flat(paths: Sequence[str], root: str = "") -> Draft:
    """A flat map of these values."""
    draft = Draft().node(root, "flat")
    for number, path in enumerate(paths):
        draft.value(f"{root}.{path}" if root else path, number)
    return draft


def cases() -> Iterator[Case]:
    """Step 56, but for the parts."""
    for slug, paths in EQUAL.items():
        yield _tree(f"equal-{slug}", flat(paths), "two paths, one key")
    for slug, (paths, right) in SPLIT.items():
        yield _split(f"split-{slug}", flat(paths), f'"{right}" is right')
    yield from _equal()
    yield from _places()


def _tree(slug: str, draft: Draft, comment: str) -> Case:
    return reject(slug, draft.file(), "TREE", "4.2", comment, step=56)


def _split(slug: str, draft: Draft, comment: str) -> Case:
    return reject(slug, draft.file(), "NONCANONICAL", "4.2", comment, step=56)


def _equal() -> Iterator[Case]:
    """Of other values than plain ones, and in other maps than the root's."""
    tensors = Draft().node("", "flat").tensor("a.b", "int8", (1,)).tensor("a\\.b", "int8", (1,))
    yield _tree("equal-of-tensors", tensors, "two tensors")
    aliases = Draft().node("", "flat").tensor("a.b", "int8", (1,)).alias("a\\.b", "a.b")
    yield _tree("equal-of-alias", aliases, "a tensor and its alias")
    lists = Draft().node("", "flat").node("a.l", "list").value("a.l.0", 1).node("a\\.l", "list")
    yield _tree("equal-of-lists", lists, "two lists")
    mixed = Draft().node("", "flat").node("a.l", "list").value("a\\.l", 1)
    yield _tree("equal-of-list-and-value", mixed, "a list and a value")
    maps = Draft().node("", "flat").node("a.m", "map").value("a.m.x", 1).node("a\\.m", "map").value("a\\.m.x", 2)
    yield _tree("equal-of-maps", maps, "two maps with a child each")
    inner = Draft().node("", "flat").node("a.f", "flat").value("a.f.x", 1).node("a\\.f", "flat").value("a\\.f.x", 2)
    yield _tree("equal-of-flat-maps", inner, "two flat maps")
    yield _tree("equal-within-map", flat(("a.b", "a\\.b"), "x"), "a flat map in a map")
    listed = Draft().node("l", "list").node("l.0", "flat").value("l.0.a.b", 1).value("l.0.a\\.b", 2)
    yield _tree("equal-within-list", listed, "a flat map in a list")
    keyed = Draft().node("k", "keys", keys=[1]).node("k.1", "flat").value("k.1.a.b", 1).value("k.1.a\\.b", 2)
    yield _tree("equal-within-keys", keyed, "a flat map under a key that is no string")
    second = Draft().node("a", "flat").value("a.x\\.", 1).node("b", "flat").value("b.x.y", 2).value("b.x\\.y", 3)
    yield _tree("equal-in-second-map", second, "the first flat map is right")
    within = Draft().node("", "flat").node("a.f", "flat").value("a.f.x.y", 1).value("a.f.x\\.y", 2)
    yield _tree("equal-in-flat-in-flat", within, "a flat map that is a value of another")


def _places() -> Iterator[Case]:
    yield _split("split-within-map", flat(("a\\.b",), "x"), "a flat map in a map")
    listed = Draft().node("l", "list").node("l.0", "flat").value("l.0.a\\.b", 1)
    yield _split("split-within-list", listed, "a flat map in a list")
    within = Draft().node("", "flat").node("a.f", "flat").value("a.f.x\\.y", 1)
    yield _split("split-in-flat-in-flat", within, "the keys of the inner map")
    outer = Draft().node("", "flat").node("a\\.f", "flat").value("a\\.f.x.y", 1)
    yield _split("split-of-flat-map", outer, "the key of the inner map")
    mapped = Draft().node("", "flat").node("a\\.m", "map").value("a\\.m.x", 1)
    yield _split("split-of-map", mapped, "the key of a map")
    empty = Draft().node("", "flat").node("a\\.m", "map")
    yield _split("split-of-empty-map", empty, "the key of a map without children")
    lists = Draft().node("", "flat").node("a\\.l", "list").value("a\\.l.0", 1)
    yield _split("split-of-list", lists, "the key of a list")
    tensor = Draft().node("", "flat").tensor("a\\.b", "int8", (1,))
    yield _split("split-of-tensor", tensor, "the key of a tensor")
    alias = Draft().node("", "flat").tensor("a.b", "int8", (1,)).alias("c\\.d", "a.b")
    yield _split("split-of-alias", alias, "the key of an alias")
    second = Draft().node("a", "flat").value("a.x\\.", 1).node("b", "flat").value("b.x\\.y", 2)
    yield _split("split-in-second-map", second, "the first flat map is right")
    other = Draft().node("", "flat").node("a", "list").value("a.0", 1).value("c\\.d", 2)
    yield _split("split-beside-list", other, "beside a list")
    keyed = Draft().node("", "flat").value("x.0", 1).node("a", "map").value("a.b", 1).value("x\\.b", 2)
    yield _split("split-by-key-of-inner-map", keyed, "the text before the dot is no key of the same map")
    behind = Draft().node("", "flat").value("a\\.b", 1).node("z", "list")
    yield _split("split-before-list", behind, "the first of two values")
    parted = Draft().node("", "flat").node("a", "part", module="m").value("a\\.b", 1)
    yield _split("split-by-part", parted, "a part is no key")
