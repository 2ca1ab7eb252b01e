"""Nodes of form keys whose keys are not those of their children (spec sections 3.5 and 4.3)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ..case import Case, reject
from ..draft import Draft


def cases() -> Iterator[Case]:
    """Step 55."""
    yield from _counts()
    yield from _twice()
    yield from _strings()


def keyed(keys: Sequence[Any], children: int, path: str = "k") -> Draft:
    """A node of these keys, with labels that mean nothing."""
    draft = Draft().node(path, "keys", keys=list(keys))
    for number in range(children):
        draft.value(f"{path}.c{number}", number)
    return draft


def _tree(slug: str, draft: Draft, comment: str) -> Case:
    return reject(slug, draft.file(), "TREE", "3.5", comment, step=55)


def _counts() -> Iterator[Case]:
    for keys, children in ((1, 0), (1, 2), (2, 1), (2, 3), (3, 0), (3, 2), (5, 20)):
        comment = f"{keys} keys for {children} children"
        yield _tree(f"count-{keys}-for-{children}", keyed(range(keys), children), comment)
    deep = Draft().node("k", "keys", keys=[1, 2]).value("k.1.a", 1).value("k.1.b", 2)
    yield _tree("count-of-leaves", deep, "two leaves, but one child: a map")
    none = Draft().node("k", "keys", keys=[None])
    yield _tree("count-null-for-none", none, "the key null, and no child")
    root = Draft().node("", "keys", keys=[1, 2]).value("1", 1)
    yield _tree("count-at-root", root, "the root")
    inner = Draft().node("k", "keys", keys=[1]).node("k.1", "keys", keys=[1]).value("k.1.1", 1).value("k.1.2", 2)
    yield _tree("count-of-inner", inner, "a node in another; the outer one is right")
    outer = Draft().node("k", "keys", keys=[1, 2]).node("k.1", "keys", keys=[3]).value("k.1.1", 1)
    yield _tree("count-of-outer", outer, "a node in another; the inner one is right")
    flat = Draft().node("", "flat").node("a.k", "keys", keys=[1, 2]).value("a.k.1", 1).value("b.c", 2)
    yield _tree("count-in-flat", flat, "a value of a flat map")
    for place in ("first", "last"):
        draft = Draft()
        for path in ("a", "b"):
            wrong = (path == "a") == (place == "first")
            draft.node(path, "keys", keys=[1, 2] if wrong else [3]).value(f"{path}.1", 1)
        yield _tree(f"count-{place}-of-two", draft, "the other node is right")
    nodes = Draft().node("k", "keys", keys=[1]).node("k.1", "list").node("k.2", "list")
    yield _tree("count-of-nodes", nodes, "one key for two empty lists")


def _twice() -> Iterator[Case]:
    for slug, keys, comment in (
        ("integer", [1, 1], "the integer 1"),
        ("first-two", [1, 1, 2], "the first two of three"),
        ("last-two", [1, 2, 2], "the last two of three"),
        ("apart", [1, 2, 1], "the first and the last of three"),
        ("null", [None, None], "null"),
        ("bool", [True, False, True], "true"),
        ("float", [1.5, 1.5], "the float 1.5"),
        ("nan", [float("nan"), float("nan")], "no NaN equals itself, but the bytes are the same"),
        ("negative-zero", [-0.0, -0.0], "the float -0.0"),
        ("large", [2**64 - 1, 2**64 - 1], "the largest integer"),
        ("string", ["a", 1, "a"], "a string, beside an integer"),
        ("empty-string", ["", 1, ""], "the string without characters"),
        ("binary", [b"a", b"a"], "a byte string"),
        ("empty-tuple", [[], []], "the tuple without parts"),
        ("tuple", [[1, "a"], [1, "a"]], "a tuple"),
        ("nested-tuple", [[1, [2, None]], 3, [1, [2, None]]], "a tuple in a tuple"),
        ("all-of-three", [7, 7, 7], "all three"),
    ):
        yield _tree(f"twice-{slug}", keyed(keys, len(keys)), comment)
    root = Draft().node("", "keys", keys=[1, 1]).value("1", 1).value("1~2", 2)
    yield _tree("twice-at-root", root, "the root, with the recommended labels")


def _strings() -> Iterator[Case]:
    def refused(slug: str, draft: Draft, comment: str) -> Case:
        return reject(slug, draft.file(), "NONCANONICAL", "3.5", comment, step=55)

    for slug, keys, comment in (
        ("one", ["a"], "one key"),
        ("two", ["a", "b"], "two keys"),
        ("empty", [""], "the string without characters"),
        ("with-dots", ["a.b", "a.c"], "they would make a flat map"),
        ("like-integers", ["1", "2"], "digits are no integers"),
        ("like-words", ["null", "true"], "words are no values"),
        ("with-control", ["a\nb"], "no path could hold it; no such map can be written"),
    ):
        yield refused(f"strings-{slug}", keyed(keys, len(keys)), comment)
    labels = Draft().node("", "keys", keys=["a", "b"]).value("a", 1).value("b", 2)
    yield refused("strings-at-root", labels, "the root, with the recommended labels")
    second = Draft().node("a", "keys", keys=[1]).value("a.1", 1).node("b", "keys", keys=["x"]).value("b.x", 2)
    yield refused("strings-last-of-two", second, "the first node has an integer")
