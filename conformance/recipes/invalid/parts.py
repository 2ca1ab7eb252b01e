"""Parts outside a flat map, that say nothing, or at another place than their prefix is split to (spec section 3.5)."""

from __future__ import annotations

from collections.abc import Iterator

from ..case import Case, reject
from ..draft import Draft


def flat() -> Draft:
    """A flat map at the root."""
    return Draft().node("", "flat")


def cases() -> Iterator[Case]:
    """Steps 54 and 56."""
    yield from _outside()
    yield from _silent()
    yield from _split()


def _outside() -> Iterator[Case]:
    """The nearest container above a part has the form flat."""
    for slug, draft, comment in (
        ("at-root", Draft().node("", "part", module="m"), "nothing is around the root"),
        ("at-root-with-children", Draft().node("", "part", module="m").value("a", 1), "nothing is around the root"),
        ("in-root-map", Draft().node("a", "part", module="m"), "the root without a node is a map"),
        ("in-root-map-with-children", Draft().node("a", "part", module="m").value("a.b", 1), "nor is it flat"),
        ("in-root-map-node", Draft().node("", "map", class_="C").node("a", "part", module="m"), "a map with a node"),
        ("in-map", Draft().node("x", "map", class_="C").node("x.a", "part", module="m"), "a map with a node"),
        ("in-map-without-node", Draft().value("x.b", 1).node("x.a", "part", module="m"), "a map without a node"),
        ("in-list", Draft().node("l", "list").node("l.0", "part", module="m"), "a list"),
        ("in-tuple", Draft().node("l", "tuple").node("l.0", "part", module="m"), "a tuple"),
        ("in-namedtuple", Draft().node("n", "namedtuple").node("n.x", "part", module="m"), "a namedtuple"),
        ("in-keys", Draft().node("k", "keys", keys=[1]).node("k.1", "part", module="m"), "a map of other keys"),
        ("in-list-in-flat", flat().node("l", "list").node("l.0", "part", module="m"), "a list in a flat map"),
        ("in-map-in-flat", flat().node("m", "map").node("m.x", "part", module="m"), "a map in a flat map"),
        ("below-map-in-flat", flat().node("m", "map").node("m.x.y", "part", module="m"), "a map without a node"),
        ("below-list-in-flat", flat().node("l", "list").node("l.0.y", "part", module="m"), "a map without a node"),
        ("beside-flat", Draft().node("f", "flat").node("a", "part", class_="C"), "beside a flat map"),
        (
            "last-of-two",
            flat().node("a", "part", module="m").node("l", "list").node("l.0", "part", module="m"),
            "the second",
        ),
        ("with-attrs", Draft().node("a", "part", attrs={"a": 1}), "whatever it says"),
    ):
        yield reject(slug, draft.file(), "TREE", "3.5", comment, step=54)


def _silent() -> Iterator[Case]:
    for slug, draft, comment in (
        ("silent", flat().node("a", "part"), "without anything beneath it"),
        ("silent-with-children", flat().node("a", "part").value("a.b", 1), "a mere prefix needs no node"),
        ("silent-of-three-segments", flat().node("a.b.c", "part"), "three segments"),
        (
            "silent-below-part",
            flat().node("a", "part", module="m").node("a.b", "part"),
            "the part above it says something",
        ),
        (
            "silent-above-part",
            flat().node("a", "part").node("a.b", "part", module="m"),
            "the part below it says something",
        ),
        (
            "silent-last-of-three",
            flat().node("a", "part", module="m").node("b", "part", class_="C").node("c", "part"),
            "the third",
        ),
        ("silent-in-inner-flat", Draft().node("x", "flat").node("x.a", "part"), "a flat map in a map"),
        ("silent-in-flat-in-flat", flat().node("f", "flat").node("f.a", "part"), "a flat map in a flat map"),
    ):
        yield reject(slug, draft.file(), "NONCANONICAL", "3.5", comment, step=54)


def _split() -> Iterator[Case]:
    for slug, draft, comment in (
        ("split-joined", flat().node("a\\.b", "part", module="m"), '"a.b" is right'),
        ("split-joined-with-keys", flat().value("a.b.c", 1).node("a\\.b", "part", module="m"), '"a.b" is right'),
        ("split-joined-of-three", flat().node("a\\.b\\.c", "part", module="m"), '"a.b.c" is right'),
        ("split-joined-first", flat().node("a\\.b.c", "part", module="m"), '"a.b.c" is right'),
        ("split-joined-last", flat().node("a.b\\.c", "part", module="m"), '"a.b.c" is right'),
        ("split-leading-dot", flat().node("\\e.a", "part", module="m"), '"\\.a" is right'),
        ("split-trailing-dot", flat().node("a.\\e", "part", module="m"), '"a\\." is right'),
        ("split-doubled-dot", flat().node("a\\..b", "part", module="m"), '"a.\\.b" is right'),
        ("split-one-dot", flat().node("\\e.\\e", "part", module="m"), '"\\." is right'),
        ("split-behind-key", flat().value("a", 1).node("a\\.b\\.c", "part", module="m"), '"a\\.b.c" is right'),
        ("split-is-a-key", flat().value("a.b", 1).node("a\\.b", "part", module="m"), "its prefix is a key"),
        ("split-is-a-list", flat().node("a.l", "list").node("a\\.l", "part", module="m"), "its prefix is a key"),
        ("split-of-last", flat().node("a", "part", module="m").node("b\\.c", "part", module="m"), "the second of two"),
        ("split-of-first", flat().node("b\\.c", "part", module="m").node("d", "part", module="m"), "the first of two"),
        ("split-in-map", Draft().node("x", "flat").node("x.a\\.b", "part", module="m"), "a flat map in a map"),
        ("split-in-flat", flat().node("f", "flat").node("f.a\\.b", "part", module="m"), "a flat map in a flat map"),
        (
            "split-twice",
            flat().node("a.b", "part", module="m").node("a\\.b", "part", module="n"),
            "two parts, one prefix",
        ),
    ):
        yield reject(slug, draft.file(), "NONCANONICAL", "4.2", comment, step=56)
