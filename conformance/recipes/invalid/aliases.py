"""Aliases with a wrong target or permutation, or that repeat their target (spec section 3.4)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from .. import forms
from ..case import Case, reject
from ..draft import Draft, column, u32

# Permutations that are none, of a target of two axes.
NO_PERMS: dict[str, list[Any]] = {
    "empty": [],
    "too-short": [0],
    "too-short-by-the-first": [1],
    "too-long": [1, 0, 2],
    "too-long-by-one-that-repeats": [1, 0, 0],
    "repeated-0": [0, 0],
    "repeated-1": [1, 1],
    "out-of-range-by-one": [2, 0],
    "out-of-range": [0, 255],
    "from-1": [2, 1],
    "out-of-range-2-to-32": [2**32 + 1, 0],
    "out-of-range-2-to-63": [2**63, 0],
    "out-of-range-all-ones": [2**64 - 1, 0],
    "negative": [-1, 0],
    "negative-both": [-1, -2],
    "negative-64-bits": [-(2**63), 0],
}
IDENTITIES = ((0, 1), (0, 1, 2), (0, 1, 2, 3), (0,), ())
# Of a target of three axes.
NO_PERMS_OF_3: dict[str, list[Any]] = {
    "repeated-last": [2, 1, 1],
    "repeated-apart": [1, 0, 1],
    "of-first-two": [1, 0],
    "out-of-range-last": [1, 0, 3],
    "negative-last": [1, 0, -1],
}


def cases() -> Iterator[Case]:
    """Steps 49 and 50."""
    yield from _targets()
    yield from _perms()
    yield from _identities()
    yield from _repeated()


def _refused(slug: str, data: bytes, comment: str) -> Case:
    return reject(slug, data, "ALIAS", "3.4", comment, step=49)


def _targets() -> Iterator[Case]:
    """Rows: a tensor, a value, a node, a tensor, three aliases, a tensor, a value, a list."""

    def made(*targets: int) -> bytes:
        draft = Draft().tensor("a", "int8", (2,)).value("b", 1).node("c", "list").tensor("d", "int8", (2,))
        for path in "efg":
            draft.alias(path, "a")
        draft.tensor("h", "int8", (2,)).value("i", 2).node("j", "list")
        return draft.file(columns={"alias": u32(*targets)})

    for slug, target, comment in (
        ("itself", 5, "its own row"),
        ("next-alias", 6, "an alias that stands later"),
        ("later-tensor", 7, "a tensor, but behind it"),
        ("later-value", 8, "a value behind it"),
        ("last-row", 9, "a node behind it"),
        ("beyond-by-one", 10, "as many as there are entries"),
        ("beyond", 1000, "no row"),
        ("beyond-2-to-16", 65536, "the low half is a tensor's row"),
        ("beyond-2-to-31", 2**31, "negative if taken as signed"),
        ("beyond-all-ones", 2**32 - 1, "minus one if taken as signed"),
        ("earlier-alias", 4, "an alias of a tensor"),
        ("value", 1, "a value before it"),
        ("node", 2, "a node before it"),
    ):
        yield _refused(f"target-{slug}", made(0, target, 3), comment)
    for slug, targets, comment in (
        ("first-itself", (4, 0, 3), "the first of three"),
        ("last-itself", (0, 3, 6), "the last of three"),
        ("first-value", (1, 0, 3), "the first of three"),
        ("last-value", (0, 3, 1), "the last of three"),
        ("first-forward", (7, 0, 3), "the first of three"),
        ("last-forward", (0, 3, 7), "the last of three"),
        ("chain", (0, 4, 5), "an alias of an alias of an alias"),
        ("circle", (5, 4, 0), "two aliases of each other"),
    ):
        yield _refused(f"target-{slug}", made(*targets), comment)
    nth = Draft().value("a", 1).tensor("b", "int8", (2,)).alias("c", "b")
    yield _refused("target-counted-among-tensors", nth.file(columns={"alias": u32(0)}), "0 is the value's row")
    only = Draft().tensor("a", "int8", (2,)).alias("b", "a")
    yield _refused("target-itself-only", only.file(columns={"alias": u32(1)}), "the only alias")
    first = Draft().tensor("b", "int8", (2,))
    first.entries.insert(0, Draft().alias("a", "b").entries[0])
    yield _refused("target-behind-first-row", first.file(), "the alias is the first entry")
    turned = Draft().tensor("a", "int8", (2, 3)).alias("b", "a", (1, 0)).alias("c", "a", (1, 0))
    yield _refused("target-turned-alias", turned.file(columns={"alias": u32(0, 1)}), "an alias of one that is turned")
    root = Draft().node("", "flat").tensor("a.b", "int8", (2,)).alias("c", "a.b")
    yield _refused("target-root-node", root.file(columns={"alias": u32(0)}), "row 0 is the root's node")


def _perms() -> Iterator[Case]:
    for slug, perm in NO_PERMS.items():
        yield _refused(f"perm-{slug}", _with_perm((2, 3), perm), "of two axes")
    for slug, perm in NO_PERMS_OF_3.items():
        yield _refused(f"perm-of-3-{slug}", _with_perm((2, 3, 4), perm), "of three axes")
    yield _refused("perm-of-square", _with_perm((3, 3), [1, 1]), "both axes are equally long")
    yield _refused("perm-of-rank-0", _with_perm((), [0]), "the target has no axes")
    yield _refused("perm-of-rank-1", _with_perm((3,), [1]), "the target has one axis")
    yield _refused("perm-of-rank-1-too-long", _with_perm((3,), [1, 0]), "the target has one axis")
    yield _refused("perm-of-no-elements", _with_perm((0, 3), [0, 0]), "the target has no elements")
    many = [*range(31, 0, -1), 1]
    yield _refused("perm-of-32-axes", _with_perm((1,) * 32, many), "one of 32 axes twice, one not at all")
    long = [1, 0, *range(2, 300)]
    yield _refused("perm-of-300-axes", _with_perm((2, 3), long), "no tensor has as many")
    right, wrong = forms.packed([1, 0]), forms.packed([1, 1])
    for slug, table in (("first", [wrong, right]), ("last", [right, wrong])):
        draft = Draft().tensor("a", "int8", (2, 3)).alias("b", "a", (1, 0)).alias("c", "a", (1, 0))
        data = draft.file(keys={"perm": column([1, 2], [0, 1], table)})
        yield _refused(f"perm-repeated-{slug}", data, "one of two aliases")
    other = Draft().tensor("a", "int8", (2, 3)).tensor("b", "int8", (2, 3, 4)).alias("c", "a", (1, 0)).alias("d", "b")
    data = other.file(keys={"perm": column([2, 3], [0, 0], [right])})
    yield _refused("perm-of-another-rank", data, "the same for targets of two and of three axes")


def _with_perm(shape: Sequence[int], perm: Sequence[int]) -> bytes:
    draft = Draft().tensor("a", "int8", shape).alias("b", "a").value("c", 1)
    return draft.file(keys={"perm": column([1], [0], [forms.packed(perm)])})


def _identities() -> Iterator[Case]:
    for perm in IDENTITIES:
        shape = range(2, 2 + len(perm))
        yield _refused(f"identity-of-rank-{len(perm)}", _with_perm(shape, perm), "left out instead")
    yield _refused("identity-of-rank-32", _with_perm((1,) * 32, range(32)), "left out instead")
    yield _refused("identity-of-square", _with_perm((3, 3), [0, 1]), "left out instead")
    yield _refused("identity-of-no-elements", _with_perm((0, 0), [0, 1]), "left out instead")
    draft = Draft().tensor("a", "int8", (2, 3)).alias("b", "a", (1, 0)).alias("c", "a", (0, 1))
    yield _refused("identity-last", draft.file(), "the second of two aliases")
    draft = Draft().tensor("a", "int8", (2, 3)).alias("b", "a", (0, 1)).alias("c", "a", (1, 0))
    yield _refused("identity-first", draft.file(), "the first of two aliases")


def _repeated() -> Iterator[Case]:
    """What an alias takes over from its target, said once more."""

    def refused(slug: str, draft: Draft, comment: str) -> Case:
        return reject(slug, draft.file(), "NONCANONICAL", "3.4", comment, step=50)

    facts: dict[str, Any] = {"axes": ["out", "in"], "role": "parameter", "trainable": False}
    for name, value in facts.items():
        said = {name: value}
        draft = Draft().tensor("a", "int8", (2, 3), **said).alias("b", "a", **said)
        yield refused(f"repeats-{name}", draft, "as its target says")
        if name != "axes":
            draft = Draft().tensor("a", "int8", (2, 3), **said).alias("b", "a", (1, 0), **said)
            yield refused(f"repeats-{name}-turned", draft, "with a permutation")
        draft = Draft().tensor("a", "int8", (2, 3), **said).alias("b", "a").alias("c", "a", **said)
        yield refused(f"repeats-{name}-last", draft, "the second of two aliases")
        draft = Draft().tensor("a", "int8", (2, 3), **facts).alias("b", "a", **{**facts, name: _other(name)})
        yield refused(f"repeats-all-but-{name}", draft, "one of three facts is another")
    yield refused("repeats-true", _bool(True), "trainable is true")
    yield refused("repeats-all", Draft().tensor("a", "int8", (2, 3), **facts).alias("b", "a", **facts), "all three")
    named = Draft().tensor("a", "int8", (2, 3), axes=["out", "in"]).alias("b", "a", (1, 0), axes=["in", "out"])
    yield refused("repeats-axes-turned", named, "in its own order")
    three = (
        Draft().tensor("a", "int8", (2, 3, 4), axes=["x", "y", "z"]).alias("b", "a", (2, 0, 1), axes=["z", "x", "y"])
    )
    yield refused("repeats-axes-of-3-turned", three, "in its own order")
    same = Draft().tensor("a", "int8", (2, 2), axes=["x", "x"]).alias("b", "a", (1, 0), axes=["x", "x"])
    yield refused("repeats-equal-axes-turned", same, "both axes have one name")
    far = Draft().tensor("a", "int8", (2,), role="buffer").tensor("b", "int8", (2,), role="parameter")
    yield refused("repeats-role-of-its-target", far.alias("c", "a", role="buffer"), "not that of the tensor before it")


def _other(name: str) -> Any:
    return {"axes": ["x", "y"], "role": "buffer", "trainable": True}[name]


def _bool(value: bool) -> Draft:
    return Draft().tensor("a", "int8", (2, 3), trainable=value).alias("b", "a", trainable=value)
