"""Shapes (spec sections 3.2 and 5.1): ranks, ones, zeros, and dimensions that meet no memory."""

from __future__ import annotations

from collections.abc import Iterator

from ..case import Case, accept
from ..draft import Draft

_ROWS: list[tuple[str, tuple[int, ...], str]] = [
    *((f"rank-{n}", (2, *[1] * (n - 2), 3), "two and three at the ends, ones between") for n in (2, 3, 4, 5, 6, 8)),
    ("rank-16", (1,) * 7 + (2,) + (1,) * 8, "one dimension that is no one"),
    ("rank-31", (1,) * 30 + (3,), "the last dimension is no one"),
    ("rank-32", (1,) * 32, "the most axes, of one element"),
    ("rank-32-first", (3,) + (1,) * 31, "the first of the most axes is no one"),
    ("rank-32-last", (1,) * 31 + (3,), "the last of the most axes is no one"),
    ("rank-32-twos", (2,) * 5 + (1,) * 22 + (2,) * 5, "1024 elements of 32 axes"),
    ("rank-32-zeros", (0,) * 32, "the most axes, all zero"),
    ("one", (1,), "one element and an axis: not rank 0"),
    ("ones", (1, 1, 1), "ones alone"),
    ("zero", (0,), "no elements"),
    ("zeros", (0, 0, 0), "zeros alone"),
    *((f"zero-at-{at}", tuple(0 if i == at else i + 2 for i in range(4)), "a zero among others") for at in range(4)),
    ("zero-beside-one", (1, 0), "no elements, not one"),
    ("zero-of-rank-32", (1,) * 31 + (0,), "a zero behind ones"),
    ("large-beside-zero", (2**26, 0), "2^26 beside zero: no bytes"),
    ("zero-beside-large", (0, 2**26), "zero beside 2^26: no bytes"),
    ("more-than-u32-beside-zero", (2**32 + 1, 0), "more than a u32 holds"),
    ("near-the-limit-beside-zero", (2**52, 1, 0), "half of the largest product"),
    ("large-square-beside-zero", (2**25, 2**25, 0), "a product of 2^50 and a zero"),
    ("prime", (7, 11, 13), "no power of two"),
    ("long", (1021,), "more elements than fit a byte"),
    ("wide", (2, 300), "a dimension that needs two bytes"),
]


def cases() -> Iterator[Case]:
    """A tensor of each shape, then several in one file."""
    for slug, shape, comment in _ROWS:
        yield accept(slug, Draft().tensor("x", "uint8", shape), "3.2", comment)
    every = Draft()
    for rank in range(33):
        every.tensor(f"r{rank}", "uint8", (1,) * (rank - 1) + (2,) * (rank > 0))
    yield accept("every-rank", every, "3.2", "a tensor of each rank from 0 to 32")
    many = Draft()
    for i, shape in enumerate(((), (2,), (), (3, 1), (0, 5), (), (1, 2, 3, 4), ())):
        many.tensor(f"t{i}", "int16", shape)
    yield accept("ranks-mixed", many, "3.2", "dims of many ranks in one column, of rank 0 none")
    yield accept(
        "rank-0-alone", Draft().tensor("x", "float64", ()), "3.2", "the column dims is empty, the chunk is not"
    )
    scalars = Draft()
    for i in range(20):
        scalars.tensor(f"s{i}", "int8", (), bytes([i]))
    yield accept("scalars", scalars, "5.1", "twenty tensors of rank 0")
    twins = Draft().tensor("a", "int8", (2, 3)).tensor("b", "int8", (3, 2)).tensor("c", "int8", (6,))
    yield accept("same-bytes", twins, "3.4", "equal bytes make no alias")
    sub = Draft().tensor("x", "int2", (3, 3, 3)).tensor("y", "uint4", (1, 7, 1))
    yield accept("packed", sub, "5.3", "elements of less than a byte and several axes")
