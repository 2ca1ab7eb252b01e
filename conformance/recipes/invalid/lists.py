"""Children of lists and tuples that are not numbered 0, 1, 2, … (spec section 3.5)."""

from __future__ import annotations

from collections.abc import Iterator

from ..case import Case, reject
from ..draft import Draft

# Segments of the children, in the order in which they stand.
WRONG: dict[str, tuple[str, ...]] = {
    "from-1": ("1", "2"),
    "only-1": ("1",),
    "gap": ("0", "2"),
    "gap-before-last": ("0", "1", "3"),
    "swapped": ("1", "0"),
    "last-two-swapped": ("0", "2", "1"),
    "reversed": ("2", "1", "0"),
    "sorted-as-text": ("0", "1", "10", "2", "3", "4", "5", "6", "7", "8", "9"),
    "leading-zero": ("00", "01"),
    "leading-zero-last": ("0", "01"),
    "padded": tuple(f"{i:02}" for i in range(12)),
    "plus-sign": ("0", "+1"),
    "minus-zero": ("-0",),
    "minus-1": ("0", "-1"),
    "point": ("0", "1\\.0"),
    "exponent": ("0", "1e0"),
    "hexadecimal": ("0", "0x1"),
    "space-before": ("0", " 1"),
    "space-behind": ("0", "1 "),
    "separator": ("0", "1_"),
    "wide-digits": ("\uff10", "\uff11"),
    "arabic-digits": ("\u0660", "\u0661"),
    "superscript": ("0", "\u00b9"),
    "names": ("a", "b"),
    "name-last": ("0", "1", "c"),
    "name-between": ("0", "x", "1"),
    "empty-name": ("\\e",),
    "empty-name-last": ("0", "\\e"),
    "brackets": ("[0]", "[1]"),
    "far": ("0", "4294967296"),
    "wraps-64-bits": ("18446744073709551616",),
    "backslash": ("0", "\\\\1"),
}


def cases() -> Iterator[Case]:
    """Step 55, for both forms."""
    for form in ("list", "tuple"):
        for slug, segments in WRONG.items():
            draft = Draft().node("l", form)
            for number, segment in enumerate(segments):
                draft.value(f"l.{segment}", number)
            yield _refused(f"{form}-{slug}", draft, f"children {', '.join(segments[:4])}")
    yield from _elsewhere()


def _refused(slug: str, draft: Draft, comment: str) -> Case:
    return reject(slug, draft.file(), "TREE", "3.5", comment, step=55)


def _elsewhere() -> Iterator[Case]:
    """At other places, and with other children than values."""
    root = Draft().node("", "list").value("0", 1).value("2", 2)
    yield _refused("root", root, "the root is a list")
    deep = Draft().node("a.b", "list").value("a.b.1", 1)
    yield _refused("within-maps", deep, "two segments down")
    inner = Draft().node("l", "list").node("l.0", "list").value("l.0.0", 1).value("l.0.2", 2)
    yield _refused("inner-of-two", inner, "a list in a list")
    outer = Draft().node("l", "list").node("l.1", "list").value("l.1.0", 1)
    yield _refused("outer-of-two", outer, "the one item of a list is a list")
    maps = Draft().node("l", "list").value("l.0.a", 1).value("l.2.a", 2)
    yield _refused("of-maps", maps, "the items are maps without a node")
    maps = Draft().node("l", "list").value("l.1.a", 1).value("l.0.a", 2).value("l.1.b", 3)
    yield _refused("of-maps-swapped", maps, "the first entry beneath an item decides")
    tensors = Draft().node("l", "list").tensor("l.0", "int8", (1,)).tensor("l.2", "int8", (1,))
    yield _refused("of-tensors", tensors, "two tensors")
    aliases = Draft().tensor("x", "int8", (1,)).node("l", "list").alias("l.1", "x")
    yield _refused("of-aliases", aliases, "one alias")
    nodes = Draft().node("l", "list").node("l.a", "list")
    yield _refused("of-nodes", nodes, "an empty list")
    flat = Draft().node("", "flat").node("a.l", "list").value("a.l.0", 1).value("a.l.2", 2).value("c.d", 3)
    yield _refused("in-flat", flat, "a list that is a value of a flat map")
    keyed = Draft().node("k", "keys", keys=[1]).node("k.1", "list").value("k.1.1", 1)
    yield _refused("in-keys", keyed, "a list under a key that is no string")
    second = Draft().node("a", "list").value("a.0", 1).node("b", "list").value("b.1", 2)
    yield _refused("second-of-two", second, "the first list is right")
    first = Draft().node("a", "list").value("a.1", 1).node("b", "list").value("b.0", 2)
    yield _refused("first-of-two", first, "the second list is right")
    apart = Draft().node("a", "list").node("b", "list").value("b.0", 1).value("a.0", 2).value("b.2", 3).value("a.1", 4)
    yield _refused("interleaved", apart, "the items of two lists in turn")
    long = Draft().node("l", "list")
    for number in (*range(99), 100):
        long.value(f"l.{number}", number)
    yield _refused("hundred-items", long, "99 is missing before the last")
