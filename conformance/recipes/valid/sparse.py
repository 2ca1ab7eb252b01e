"""Sparse columns (spec section 3.2): rows, picks and tables."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..case import Case, accept
from ..draft import Draft


def cases() -> Iterator[Case]:
    """Each column alone, then which rows and which values of the table."""
    yield from _alone()
    yield from _rows()
    yield from _tables()


def _made(slug: str, comment: str, draft: Draft) -> Case:
    return accept(slug, draft, "3.2", comment)


def _alone() -> Iterator[Case]:
    for name, fact in (
        ("role", "parameter"),
        ("trainable", True),
        ("axes", ["a", "b"]),
        ("class", "C"),
        ("attrs", {"a": 1}),
    ):
        facts: dict[str, Any] = {name: fact}
        yield _made(f"{name}-of-a-tensor", "the one sparse column", Draft().tensor("x", **facts))
    for name, fact in (("role", "parameter"), ("trainable", False), ("axes", ["a", "b"])):
        facts = {name: fact}
        yield _made(f"{name}-of-an-alias", "the one sparse column", Draft().tensor("x").alias("y", "x", **facts))
    for name, fact in (("module", "m"), ("class", "C"), ("attrs", {"a": 1})):
        facts = {name: fact}
        yield _made(f"{name}-of-a-node", "the one sparse column", Draft().node("x", **facts).value("x.y"))
    yield _made("perm-alone", "the one sparse column", Draft().tensor("x").alias("y", "x", (1, 0)))
    yield _made("keys-alone", "the one sparse column", Draft().node("x", "keys", keys=[1]).value("x.1"))
    example = (
        Draft()
        .value("a")
        .tensor("b", role="parameter")
        .tensor("c", role="buffer")
        .value("d")
        .tensor("e", role="parameter")
    )
    yield _made("example", "rows 1 and 4 a parameter, row 2 a buffer: the example of section 3.2", example)


def _rows() -> Iterator[Case]:
    def tensors(slug: str, comment: str, count: int, *rows: int) -> Case:
        draft = Draft()
        for row in range(count):
            facts: dict[str, Any] = {"role": "parameter"} if row in rows else {}
            draft.tensor(f"t{row}", "int8", (1,), **facts)
        return _made(f"rows-{slug}", comment, draft)

    yield tensors("first", "the first row alone", 5, 0)
    yield tensors("last", "the last row alone", 5, 4)
    yield tensors("ends", "the first and the last row", 5, 0, 4)
    yield tensors("all", "every row", 5, *range(5))
    yield tensors("every-other", "rows apart", 9, *range(0, 9, 2))
    yield tensors("beyond-a-byte", "rows 255, 256 and 257", 300, 255, 256, 257)
    both = (
        Draft()
        .node("n", module="m", class_="A", attrs={"a": 1})
        .tensor("n.x", class_="B", attrs={"a": 1})
        .node("l", "list", class_="A")
    )
    yield _made("of-two-types", "nodes and tensors in one column", both)
    apart = (
        Draft()
        .tensor("a", "int8", (1,), axes=["x"])
        .tensor("b", "int8", (1,), role="r")
        .tensor("c", "int8", (1,), trainable=True)
    )
    yield _made("different-rows", "each column has a row of its own", apart)


def _tables() -> Iterator[Case]:
    def roles(slug: str, comment: str, *values: str) -> Case:
        draft = Draft()
        for row, value in enumerate(values):
            draft.tensor(f"t{row}", "int8", (1,), role=value)
        return _made(f"table-{slug}", comment, draft)

    yield roles("in-order-of-use", "no order by value", "z", "a", "m", "a", "z")
    yield roles("of-one-value", "picks are all 0", "r", "r", "r")
    yield roles("of-distinct-values", "each value once: picks ascend", *(f"r{n}" for n in range(20)))
    yield roles("of-300-values", "picks beyond a byte", *(f"r{n}" for n in range(300)))
    yield roles("back-to-the-first", "the last pick is 0", "a", "b", "c", "a")
    yield roles("of-like-values", "values that differ by a little", "a", "A", "a ", "\u00e9", "e\u0301", "aa")
    attrs: list[tuple[str, str, list[Any]]] = [
        ("of-types", "1, 1.0, true and text are different values", [1, 1.0, True, "1", b"1", [1]]),
        ("of-zeros", "0, 0.0, -0.0, false and null are different values", [0, 0.0, -0.0, False, None]),
        ("of-nan", "NaN is one value: its bytes are the same", [float("nan"), 1, float("nan")]),
        (
            "of-nested",
            "maps that differ deep within",
            [{"a": [1, {"b": 1}]}, {"a": [1, {"b": 1.0}]}, {"a": [1, {"b": 1}]}],
        ),
    ]
    for slug, comment, values in attrs:
        draft = Draft()
        for row, value in enumerate(values):
            draft.tensor(f"t{row}", "int8", (1,), attrs={"k": value})
        yield _made(f"table-{slug}", comment, draft)
    flags = Draft()
    for row, value in enumerate((False, True, True, False)):
        flags.tensor(f"t{row}", "int8", (1,), trainable=value)
    yield _made("table-false-first", "a table of false and true", flags)
    perms = Draft().tensor("a", "int8", (2, 3)).tensor("b", "int8", (2, 3, 4))
    perms.alias("c", "a", (1, 0)).alias("d", "b", (2, 1, 0)).alias("e", "a", (1, 0)).alias("f", "b", (1, 0, 2))
    yield _made("table-of-perms", "permutations of two ranks", perms)
    axes = Draft().tensor("a", axes=["x", "y"]).tensor("b", axes=["y", "x"]).tensor("c", "int8", (2,), axes=["x"])
    yield _made("table-of-axes", "the order of names counts", axes.tensor("d", axes=["x", "y"]))
