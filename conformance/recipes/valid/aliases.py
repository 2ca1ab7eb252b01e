"""Aliases (spec section 3.4)."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from ..blocks import rle_frame, runs_frame
from ..case import Case, accept
from ..draft import Draft
from ..elements import BITS, ramp
from ..planes import stored

_SHAPES = {2: (2, 3), 3: (2, 3, 4), 4: (2, 1, 3, 2), 5: (2, 1, 3, 1, 2)}


def cases() -> Iterator[Case]:
    """Permutations, types, what is taken over, and where aliases stand."""
    yield from _perms()
    yield from _types()
    yield from _facts()
    yield from _places()


def _made(slug: str, comment: str, draft: Draft) -> Case:
    return accept(slug, draft, "3.4", comment)


def _perms() -> Iterator[Case]:
    yield _made("plain", "no perm: the target's shape", Draft().tensor("a").alias("b", "a"))
    for rank in (2, 3):
        for perm in itertools.permutations(range(rank)):
            if list(perm) != sorted(perm):
                draft = Draft().tensor("a", "int16", _SHAPES[rank]).alias("b", "a", perm)
                yield _made(f"perm-{''.join(map(str, perm))}", "shape[i] = target.shape[perm[i]]", draft)
    for perm in ((3, 2, 1, 0), (1, 2, 3, 0), (3, 0, 1, 2), (2, 0, 3, 1), (0, 2, 1, 3), (1, 0, 3, 2)):
        draft = Draft().tensor("a", "int16", _SHAPES[4]).alias("b", "a", perm)
        yield _made(f"perm-{''.join(map(str, perm))}", "four axes, one of them of size 1", draft)
    five = Draft().tensor("a", "int16", _SHAPES[5]).alias("b", "a", (4, 0, 2, 1, 3))
    yield _made("perm-40213", "five axes, no inverse of itself", five)
    most = Draft().tensor("a", "int8", (2,) + (1,) * 30 + (3,)).alias("b", "a", range(31, -1, -1))
    yield _made("perm-of-32-axes", "the most axes, reversed", most)
    turned = Draft().tensor("a", "int8", (2,) * 6 + (1,) * 26).alias("b", "a", [*range(1, 32), 0])
    yield _made("perm-of-32-axes-turned", "the most axes, turned by one", turned)
    for slug, shape, perm, comment in (
        ("ones", (1, 1), (1, 0), "axes of size 1 alone: the bytes stay, the perm is said"),
        ("of-size-1", (1, 5), (1, 0), "an axis of size 1"),
        ("empty", (0, 3), (1, 0), "no elements: shape (3, 0)"),
        ("empty-within", (2, 0, 3), (2, 0, 1), "no elements, three axes"),
        ("square", (3, 3), (1, 0), "a square: the shape stays, the elements do not"),
        ("cube", (2, 2, 2), (1, 2, 0), "a cube, turned by one"),
        ("large-empty", (2**26, 0), (1, 0), "2^26 rows without elements"),
    ):
        yield _made(f"perm-{slug}", comment, Draft().tensor("a", "uint8", shape).alias("b", "a", perm))
    both = Draft().tensor("a", "int8", (2, 3, 4)).alias("b", "a", (1, 2, 0)).alias("c", "a", (2, 0, 1)).alias("d", "a")
    yield _made("perm-and-its-inverse", "two that are each other's inverse, and one without", both)


def _types() -> Iterator[Case]:
    for name in BITS:
        slug = name.replace("_", "-")
        draft = Draft().tensor("a", name, (3, 5)).alias("b", "a", (1, 0)).alias("c", "a")
        comment = "elements change bytes, the last half of a byte too" if BITS[name] < 8 else "whole elements are moved"
        yield _made(f"of-{slug}", comment, draft)
    for name in ("int2", "int4", "float4_e2m1fn"):
        slug = name.replace("_", "-")
        draft = Draft().tensor("a", name, (3, 1, 3)).alias("b", "a", (2, 0, 1)).alias("c", "a", (1, 2, 0))
        yield _made(f"of-{slug}-of-rank-3", "nine elements in packed bytes", draft)
        chunked = Draft(chunk=64).tensor("a", name, (7, 43)).alias("b", "a", (1, 0))
        yield _made(f"of-{slug}-in-chunks", "301 elements in several chunks", chunked)
    scalar = Draft().tensor("a", "float32", ()).alias("b", "a")
    yield _made("of-rank-0", "no axes, so never a perm", scalar)
    vector = Draft().tensor("a", "float32", (4,)).alias("b", "a")
    yield _made("of-rank-1", "one axis, so never a perm", vector)
    zeros = Draft(chunk=64).tensor(
        "a", "uint8", (8, 16), bytes(64) + b"\1" * 64, chunks=[(1, rle_frame(n, 64)) for n in (0, 1)]
    )
    yield _made("of-zstd", "of a compressed tensor", zeros.alias("b", "a", (1, 0)))
    rows = ramp("uint8", (100,))
    runs = Draft().tensor(
        "a",
        "uint8",
        (100, 40),
        b"".join(bytes([n]) * 40 for n in rows),
        chunks=[(1, runs_frame([(n, 40) for n in rows]))],
    )
    yield _made("of-zstd-in-runs", "rows that become columns", runs.alias("b", "a", (1, 0)))
    parts = stored([(1, rle_frame(i + 1, 64)) for i in range(4)])
    planes = Draft().tensor("a", "uint32", (8, 8), bytes([4, 3, 2, 1]) * 64, chunks=[(2, parts)])
    yield _made("of-planes", "of a tensor of planes", planes.alias("b", "a", (1, 0)))
    long = Draft(chunk=64).tensor("a", "float64", (5, 9)).alias("b", "a", (1, 0))
    yield _made("of-many-chunks", "rows that cross chunks", long)
    none = Draft().tensor("a", "float32", (0,)).alias("b", "a")
    yield _made("of-an-empty-tensor", "an alias takes no bytes, nor does its target", none)


def _facts() -> Iterator[Case]:
    """What an alias says of its own, and what it takes over."""

    def full() -> Draft:
        return Draft().tensor("a", axes=["out", "in"], role="parameter", trainable=True)

    yield _made("takes-over-all", "axes, role and trainable of the target", full().alias("b", "a"))
    yield _made("takes-over-axes-in-its-order", "axes[i] = target.axes[perm[i]]", full().alias("b", "a", (1, 0)))
    three = (
        Draft()
        .tensor("a", "int8", (2, 3, 4), axes=["x", "y", "z"])
        .alias("b", "a", (1, 2, 0))
        .alias("c", "a", (2, 0, 1))
    )
    yield _made("takes-over-three-axes", "perm and not its inverse", three)
    yield _made("own-role", "another role, the rest taken over", full().alias("b", "a", role="buffer"))
    yield _made("own-trainable", "another trainable, the rest taken over", full().alias("b", "a", trainable=False))
    yield _made("own-axes", "other axes, the rest taken over", full().alias("b", "a", axes=["num", "features"]))
    swapped = full().alias("b", "a", (1, 0), axes=["out", "in"])
    yield _made(
        "own-axes-as-the-target-says", "the target's axes as they are, where its own order would be the other", swapped
    )
    exchanged = full().alias("b", "a", axes=["in", "out"])
    yield _made("own-axes-exchanged", "the names exchanged, without a perm", exchanged)
    own = full().alias("b", "a", (1, 0), axes=["p", "q"], role="state", trainable=False)
    yield _made("own-all", "axes, role and trainable of its own", own)
    bare = Draft().tensor("a").alias("b", "a", (1, 0), axes=["in", "out"], role="parameter", trainable=True)
    yield _made("says-what-the-target-does-not", "the target says nothing", bare)
    false = Draft().tensor("a", trainable=False).alias("b", "a", role="parameter")
    yield _made("takes-over-false", "trainable false is taken over too", false)
    repeated = Draft().tensor("a", axes=["d", "d"]).alias("b", "a", (1, 0))
    yield _made("axes-of-one-name", "the same name twice: the order is not to be seen", repeated)
    classes = Draft().tensor("a", class_="C", attrs={"a": 1}, role="parameter").alias("b", "a")
    yield _made("not-class-and-attrs", "class and attrs are not taken over", classes)
    three = full().alias("b", "a").alias("c", "a", role="buffer").alias("d", "a", (1, 0))
    yield _made("of-one-target", "each takes over from the target, not from one another", three)
    columns = (
        Draft()
        .tensor("a", role="parameter")
        .tensor("b", role="buffer")
        .alias("c", "b", role="parameter")
        .alias("d", "a", role="buffer")
    )
    yield _made("exchanged-roles", "each says the other's role", columns)


def _places() -> Iterator[Case]:
    far = Draft().tensor("a", "int8", (2, 2))
    for i in range(300):
        far.value(f"v{i}")
    yield _made("of-a-row-far-above", "300 entries between", far.alias("b", "a", (1, 0)))
    rows = Draft().value("v").node("n").value("w").tensor("a").value("x").tensor("b", "int8", (5,)).alias("c", "b")
    yield _made("of-a-row-not-a-tensor-number", "row 5 is the second tensor", rows)
    listed = Draft().node("", "list").tensor("0").alias("1", "0").alias("2", "0", (1, 0))
    yield _made("in-a-list", "items of a list", listed)
    deep = Draft().tensor("a.b.c").alias("d.e.f", "a.b.c").alias("a.b.d", "a.b.c")
    yield _made("at-inner-paths", "elsewhere in the tree, and beside its target", deep)
    many = Draft().tensor("a", "int8", (2, 3))
    for i in range(20):
        many.alias(f"b{i}", "a", (1, 0) if i % 2 else None)
    yield _made("twenty", "twenty of one tensor, half of them with a perm", many)
    between = (
        Draft().tensor("a", "int8", (10,)).alias("b", "a").tensor("c", "int8", (10,)).alias("d", "a").alias("e", "c")
    )
    yield _made("between-tensors", "they move no offsets", between)
    same = Draft().tensor("a", "int8", (4,)).tensor("b", "int8", (4,)).alias("c", "b")
    yield _made("of-one-of-two-equal-tensors", "equal bytes, but the alias is of the second", same)
    rooted = Draft().node("", "keys", keys=[0, 1]).tensor("0").alias("1", "0")
    yield _made("in-keys", "the child of a key", rooted)
