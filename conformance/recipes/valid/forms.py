"""Nodes, their forms and the tree (spec sections 3.5 and 3.6)."""

from __future__ import annotations

from collections.abc import Iterator

from ..case import Case, accept
from ..draft import Draft
from .base import nulls

_FIELDS: list[tuple[str, tuple[str, ...], str]] = [
    ("plain", ("mean", "var", "count"), "in the order of the file, not of the alphabet"),
    ("digits", ("1", "0", "10"), "field names are no positions"),
    ("objects", ("__class__", "__dict__", "_fields", "_asdict", "__proto__", "constructor"), "names that classes have"),
    ("keywords", ("class", "def", "None", "function", "self"), "words that languages reserve"),
    ("methods", ("count", "index", "length"), "names of a tuple's methods"),
    ("private", ("_a", "__b", "_"), "names that begin with an underscore"),
    ("spaces", (" ", "a b", "a-b", "é"), "no names of variables"),
    ("empty-name", (r"\e", "a"), "a field without a name"),
    ("dots", (r"a\.b", r"\.", "c"), "field names may hold dots"),
    ("backslashes", (r"\\", r"a\\b"), "field names may hold backslashes"),
    ("one", ("a",), "one field"),
]


def cases() -> Iterator[Case]:
    """Form by form, then where nodes stand and in which order children come."""
    yield from _sequences()
    for slug, fields, comment in _FIELDS:
        draft = Draft().node("n", "namedtuple", class_="optax.State")
        yield accept(f"namedtuple-{slug}", nulls(*(f"n.{name}" for name in fields), made=draft), "3.5", comment)
    yield from _maps()
    yield from _order()
    yield from _deep()


def _made(slug: str, comment: str, draft: Draft, section: str = "3.5") -> Case:
    return accept(slug, draft, section, comment)


def _sequences() -> Iterator[Case]:
    for form in ("list", "tuple"):
        for count in (1, 2, 10, 11, 101):
            draft = nulls(*(f"x.{i}" for i in range(count)), made=Draft().node("x", form))
            yield _made(f"{form}-of-{count}", "positions in order: 10 behind 9, 100 behind 99", draft)
        yield _made(f"{form}-empty", "nothing beneath it", Draft().node("x", form))
        nested = Draft().node("", form).node("0", form).node("1", form).value("1.0").node("2", form).node("2.0", form)
        yield _made(f"{form}-nested", "empty ones within", nested)
        maps = Draft().node("x", form).value("x.0.a").value("x.1.a").value("x.1.b").value("x.2")
        yield _made(f"{form}-of-maps", "maps without nodes as items", maps)
        both = Draft().node("x", form).node("x.0", "map").value("x.1").node("x.2", "list").node("x.3", "tuple")
        yield _made(f"{form}-of-empty-ones", "an empty map, list and tuple as items", both)
        said = Draft().node("x", form, module="stack", class_="C", attrs={"a": 1}).tensor("x.0")
        yield _made(f"{form}-with-facts", "module, class and attrs of a container that is no map", said)
        leaves = Draft().node("x", form).tensor("x.0").alias("x.1", "x.0").value("x.2").node("x.3", "map")
        yield _made(f"{form}-of-every-type", "tensor, alias, value and node as items", leaves)
    yield _made("namedtuple-empty", "no fields", Draft().node("x", "namedtuple"))
    yield _made(
        "namedtuple-nested",
        "one within another",
        nulls("x.a.b", made=Draft().node("x", "namedtuple").node("x.a", "namedtuple")),
    )
    mixed = (
        Draft()
        .node("", "tuple")
        .node("0", "list")
        .node("0.0", "namedtuple")
        .node("0.0.f", "keys", keys=[0])
        .value("0.0.f.0")
    )
    yield _made("each-in-each", "tuple, list, namedtuple, keys", mixed)
    listed = nulls("x.0", "x.1", "x.2")
    yield _made("digits-without-a-node", "a map with the keys 0, 1 and 2, not a list", listed)


def _maps() -> Iterator[Case]:
    yield _made("map-empty", "a node without anything beneath it", Draft().node("x", "map"))
    yield _made("map-empty-beneath-map", "an empty map at an inner path", Draft().node("a.b.c", "map"))
    yield _made("map-with-module", "module alone", nulls("x.a", made=Draft().node("x", module="linear")))
    yield _made("map-with-class", "class alone", nulls("x.a", made=Draft().node("x", class_="C")))
    yield _made("map-with-attrs", "attrs alone", nulls("x.a", made=Draft().node("x", attrs={"a": None})))
    every = Draft().node("x", module="linear", class_="torch.nn.Linear", attrs={"bias": False}).tensor("x.weight")
    yield _made("map-with-all", "module, class and attrs", every)
    yield _made("map-empty-with-module", "a module without parameters", Draft().node("relu", module="relu"))
    nested = Draft().node("a", module="m").node("a.b", module="m").node("a.b.c", module="m").tensor("a.b.c.w")
    yield _made("map-in-map", "three modules within one another", nested)
    skipped = Draft().node("a", module="m").node("a.b.c", module="n").tensor("a.b.c.w").tensor("a.b.v")
    yield _made("map-between-without-node", "a map without a node between two with one", skipped)
    empty = Draft().node("a", "map").node("b", "list").node("c", "tuple").node("d", "namedtuple").node("e", "flat")
    yield _made("empty-of-each-form", "five containers with nothing in them", empty)


def _order() -> Iterator[Case]:
    """Children come in the order in which the first entry at or beneath each of them appears."""
    yield _made("order-interleaved", "a, then b, though a goes on behind b", nulls("a.x", "b", "a.y"), "3.6")
    yield _made("order-of-inner", "b.x before a, beneath two maps", nulls("m.b.x", "m.a", "m.b.y", "m.a2"), "3.6")
    ahead = Draft().node("b", module="m").value("a").value("b.x")
    yield _made("order-by-node", "b stands first through its node", ahead, "3.6")
    late = Draft().value("a.x").value("c").node("a.b", "list").value("d").value("a.b.0").value("a.y").value("a.b.1")
    yield _made("order-of-a-list-apart", "others stand between the items of a list", late, "3.6")
    twisted = (
        Draft().node("l", "list").value("l.0.a").value("l.1").value("l.0.b").value("l.2.a").value("m").value("l.2.b")
    )
    yield _made("order-of-items", "an item goes on behind the next one", twisted, "3.6")
    modules = (
        Draft().node("a", module="m").node("b", module="n").tensor("b.w").tensor("a.w").tensor("b.v").tensor("a.v")
    )
    yield _made("order-of-modules", "the tensors of two modules in turn", modules, "3.6")
    nodes = (
        Draft()
        .node("a", module="m")
        .node("a.b", module="n")
        .node("c", "list")
        .value("c.0")
        .tensor("a.b.w")
        .value("a.c")
    )
    yield _made("nodes-first", "all nodes stand before all leaves they hold", nodes, "3.5")
    root = Draft().node("", module="m").value("z").value("y.x").value("a").value("y.b")
    yield _made("order-beneath-a-root-node", "no order by name", root, "3.6")
    behind = Draft().node("", module="m").node("q", "list").value("p")
    yield _made("order-of-an-empty-list", "an empty container is a child too", behind, "3.6")
    inner = nulls("a.b.c", "a.d", "e", "a.b.f", "g.h", "a.i", "g.j")
    yield _made("order-on-three-levels", "containers without nodes, each going on later", inner, "3.6")
    fields = Draft().node("n", "namedtuple").value("n.b.x").value("n.a").value("n.b.y").value("n.c")
    yield _made("order-of-fields", "a field goes on behind the next one", fields, "3.6")


def _deep() -> Iterator[Case]:
    lists = Draft().node("", "list")
    for depth in range(1, 128):
        lists.node(".".join(["0"] * depth), "list")
    yield _made(
        "deep-lists", "128 lists within one another, and a null: 128 segments", lists.value(".".join(["0"] * 128))
    )
    yield _made("deep-maps", "128 maps without nodes", nulls(".".join(["a"] * 128)))
    flats = Draft().node("", "flat").value(".".join(["a"] * 128))
    yield _made("deep-key", "one flat key of 128 segments", flats)
    turns = Draft()
    path = ""
    for depth in range(60):
        turns.node(path, ("list", "namedtuple")[depth % 2])
        step = ("0", "f")[depth % 2]
        path = f"{path}.{step}" if path else step
    yield _made("deep-in-turn", "sixty containers of two forms", turns.value(path))
