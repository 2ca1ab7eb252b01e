"""Flat maps and their parts (spec sections 3.5 and 4.2)."""

from __future__ import annotations

from collections.abc import Iterator

from ..case import Case, accept
from ..draft import Draft
from .base import nulls

# Slug, the paths beneath the map, what is special.
_KEYS: list[tuple[str, tuple[str, ...], str]] = [
    ("plain", ("0.weight", "0.bias", "step"), "first row of the table"),
    ("key-before-a-dot", ("x.weight", r"x.weight\.absmax"), "second row: x.weight is a key, so no boundary behind it"),
    ("keys-within-keys", ("a", r"a\.b", r"a\.b\.c"), "third row: each is a key"),
    ("key-two-above", ("a", r"a\.b.c"), "fourth row: a.b is no key, a is"),
    ("empty-parts", (r"\e", r"\.x", r"x\.", r"\."), "fifth row: empty before or behind the dot"),
    ("dots-in-a-row", (r"a.\.c", r"a.\..c", r"\.\."), "sixth row: two, three and nothing but dots"),
    ("backslashes", (r"w.\\e", r"a\\.b", r"\\"), "seventh row: backslashes in keys"),
    ("order-reversed", (r"a\.b\.c", r"a\.b", "a"), "keys that come later count too"),
    ("one-dotted-key", ("x.y", "z"), "one dotted key is enough"),
    ("without-dots", ("a", "b"), "a flat map none of whose keys holds a dot"),
    ("one-key", ("a.b.c",), "one key of three segments"),
    ("three-dots", (r"\..\.",), "nothing but dots: the second is a boundary"),
    ("many-dots", (r"\..\..a",), "four dots before a letter: the second and the fourth are boundaries"),
    ("dots-at-the-end", (r"a.\.",), "the key a..: a boundary, then the dot at the end"),
    ("spaces", ("a. b", " . c", "d.e "), "a space is no empty segment"),
    ("escaped-e", (r"a.\\e.b", "e.f"), "a key with a backslash and an e"),
    ("digits", ("0.0", "0.10", "0.9", "1.0"), "numbers between dots are no floats and no order"),
    ("long", (".".join(f"s{i}" for i in range(100)),), "a hundred segments"),
    ("objects", ("__proto__.a", "constructor.b", "a.__proto__"), "names that objects have"),
    ("twins", ("a.\u00e9", "a.e\u0301"), "keys that differ by normalisation alone"),
]


def cases() -> Iterator[Case]:
    """Keys, what stands beneath them, and parts."""
    for slug, paths, comment in _KEYS:
        yield accept(f"keys-{slug}", _flat("", paths), "4.2", comment)
    for slug, paths, comment in _KEYS[:7]:
        yield accept(f"keys-{slug}-in-a-map", _flat("m.n", paths), "4.2", f"{comment}; beneath two maps")
        yield accept(
            f"keys-{slug}-in-a-list", _flat("0", paths, Draft().node("", "list")), "4.2", f"{comment}; in a list"
        )
        yield accept(
            f"keys-{slug}-in-a-flat-map", _flat("f.g", paths, Draft().node("", "flat")), "4.2", f"{comment}; nested"
        )
    yield from _within()
    yield from _parts()


def _flat(at: str, paths: tuple[str, ...], made: Draft | None = None) -> Draft:
    draft = (made or Draft()).node(at, "flat")
    return nulls(*(f"{at}.{path}" if at else path for path in paths), made=draft)


def _within() -> Iterator[Case]:
    def made(slug: str, comment: str, draft: Draft) -> Case:
        return accept(slug, draft, "3.5", comment)

    def root() -> Draft:
        return Draft().node("", "flat")

    yield made("empty", "a flat map without keys", Draft().node("a", "flat"))
    first = nulls("m.x.y", "n.y", made=root().node("m", "map"))
    yield made("with-a-map", "first row of section 3.5: m and m.x are maps, n is a prefix", first)
    yield made("with-prefixes", "second row of section 3.5: m and m.x are prefixes", nulls("m.x.y", "n.y", made=root()))
    third = nulls("a.l.0", "a.l.1.b", "c.d", made=root().node("a.l", "list"))
    yield made("with-a-list", "third row of section 3.5: a map within a list is no prefix", third)
    empty = root().node("a.m", "map").node("a.l", "list").value("b.c")
    yield made("with-empty-values", "an empty map and an empty list as values", empty)
    deep = root().node("a.m", "map").node("a.m.x", "flat").value("a.m.x.y.z").value("a.m.k.l")
    yield made("map-with-a-flat-map", "flat, map, flat", deep)
    tuples = root().node("a.t", "tuple").value("a.t.0").node("a.t.1", "tuple").value("a.t.1.0").value("b.c")
    yield made("with-tuples", "a tuple in a tuple", tuples)
    named = root().node("a.n", "namedtuple").value(r"a.n.x\.y").value("a.n.z").value("b.c")
    yield made("with-a-namedtuple", "its field names may hold dots, and are split nowhere", named)
    keyed = root().node("a.k", "keys", keys=[1, 2.5]).value("a.k.1").value(r"a.k.2\.5").value("b.c")
    yield made("with-keys", "labels may hold dots, and are split nowhere", keyed)
    container = root().node("a", "list").value("a.0").value(r"a\.b").value(r"a\.0")
    yield made("container-before-a-dot", "the key a is a list: a.b and a.0 are other keys", container)
    module = root().node("a", "map", module="linear").tensor("a.w").value("b.c")
    yield made("map-with-a-module", "a module that is a map, not a part", module)
    apart = root().node("a.m", "map").value("b.c").value("a.m.x").value("a.d").value("a.m.y.z")
    yield made("not-adjacent", "others stand between a map and what is beneath it", apart)
    twice = Draft().node("f", "flat").value("f.a.b").value("g.a.b").node("h", "flat").value("h.a.b")
    yield made("beside-maps", "only beneath a flat node are segments joined", twice)
    aliases = root().tensor("a.w").alias("b.w", "a.w").alias("a.v", "a.w", (1, 0))
    yield made("with-aliases", "aliases at flat keys", aliases)
    lists = Draft().node("", "list").node("0", "flat").value("0.a.b").node("1", "flat").value("1.a.b").value("1.c")
    yield made("several-in-a-list", "two flat maps with the same key", lists)
    inner = root().node("a.f", "flat").node("a.f.b.g", "flat").value("a.f.b.g.c.d").value("a.f.e.f").value("x.y")
    yield made("three-nested", "flat, flat, flat", inner)
    same = root().node("a.b", "flat").value("a.b.c.d").value("a.c.d")
    yield made("same-text-on-two-levels", "c.d beneath a.b, and a.c.d", same)
    shown = root().node("m", "map").node("m.n", "list").value("m.n.0.a.b").value("p.q")
    yield made("map-with-a-list-with-maps", "beneath a map nothing is joined, however deep", shown)
    cut = root().node("m", "map").value("m.a").value(r"m\.b")
    yield made("map-before-a-dot", "the key m is a map, m.b another key", cut)


def _parts() -> Iterator[Case]:
    def made(slug: str, comment: str, *rows: tuple[str, str], section: str = "4.2") -> Case:
        draft = Draft().node("", "flat")
        for kind, path in rows:
            if kind == "part":
                draft.node(path, "part", module="linear")
            elif kind == "null":
                draft.value(path)
            else:
                draft.node(path, kind)
        return accept(f"part-{slug}", draft, section, comment)

    weight = ("null", "0.weight")
    yield made("of-a-key", "first row of the second table", ("part", "0"), weight)
    yield made("of-no-key", "second row: no key begins with it", weight, ("part", "1.relu"))
    yield made(
        "within-a-dotted-key",
        "third row: where the split puts it",
        ("part", r"a\.b"),
        ("null", "a"),
        ("null", r"a\.b.c"),
    )
    yield made("alone", "a flat map of parts without keys", ("part", "0"), ("part", "1"))
    yield made(
        "beneath-a-part",
        "three parts beneath one another",
        ("part", "a"),
        ("part", "a.b"),
        ("part", "a.b.c"),
        ("null", "a.b.c.w"),
    )
    yield made("above-without-a-part", "a part beneath a prefix without one", ("part", "a.b"), ("null", "a.b.w"))
    yield made("beneath-a-key", "beneath a key nothing is split", ("null", "a"), ("part", r"a\.b"))
    yield made("of-the-empty-prefix", "the prefix without characters", ("part", r"\e"), weight)
    yield made("of-a-dot", "a prefix that is a dot", ("part", r"\."), weight)
    yield made("of-dots-in-a-row", "a prefix with an empty segment", ("part", r"a.\.b"), weight)
    yield made("of-a-dot-at-the-end", "a prefix that ends with a dot", ("part", r"a\."), weight)
    yield made("of-a-backslash", "a prefix with a backslash", ("part", r"a\\"), ("null", r"a\\.w"))
    yield made("of-many-segments", "a prefix of four segments", ("part", "a.b.c.d"), ("null", "a.b.c.d.e.f"))
    yield made(
        "not-adjacent",
        "others between a part and what is beneath it",
        ("part", "0"),
        ("part", "1"),
        ("null", "1.w"),
        weight,
    )
    yield made(
        "in-a-flat-map-within",
        "a part of the inner flat map",
        ("flat", "f"),
        ("part", "f.a"),
        ("null", "f.a.b"),
        ("null", "x.y"),
    )
    yield made("above-a-container", "a part above a list", ("part", "a"), ("list", "a.l"), ("null", "a.l.0"))
    yield made("beside-a-longer-key", "a key begins with the text, but without a dot", ("part", "a"), ("null", "ab.c"))
    yield made(
        "before-a-flat-map",
        "a part above a flat map",
        ("part", "a"),
        ("flat", "a.f"),
        ("part", "a.f.b"),
        ("null", "a.f.b.c"),
    )
    said = Draft().node("", "flat").node("a", "part", class_="C").node("b", "part", attrs={"eps": 1e-5})
    said.node("c", "part", module="norm", class_="D", attrs={"n": [1, {}]}).value("c.w")
    yield accept("part-with-each-fact", said, "3.5", "class alone, attrs alone, all three")
    whole = Draft().node("", "flat", module="m").node("l", "list").node("l.0", "flat").node("l.0.a", "part", module="n")
    yield accept(
        "part-in-a-flat-map-in-a-list", whole.value("l.0.a.b"), "3.5", "flat, list, flat: the nearest one counts"
    )
