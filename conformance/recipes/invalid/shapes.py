"""Shapes beyond the limits (spec section 9).

Dimensions of zero are left aside in the products. A tensor that has one takes no chunk, so that nothing else is wrong;
without one there are as many chunks as a product that wraps would ask for, and a reader may as well miss the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..case import Case, reject
from ..draft import RAW, Draft, u64

M = 2**53  # one more than the largest
# Dimensions, each too large by itself (step 33).
DIMENSIONS: dict[str, tuple[int, ...]] = {
    "2-to-53-and-0": (M, 0),
    "0-and-2-to-53": (0, M),
    "2-to-63-twice-and-0": (2**63, 2**63, 0),
    "0-and-2-to-63-twice": (0, 2**63, 2**63),
    "2-to-62-twice-and-0": (2**62, 2**62, 0),
    "2-to-63-less-1-and-0": (2**63 - 1, 0),
    "2-to-64-less-1-and-0": (2**64 - 1, 0),
    "2-to-64-less-64-and-0": (2**64 - 64, 0),
    "0-and-2-to-64-less-1": (0, 2**64 - 1),
    "middle-2-to-53": (0, M, 1),
    "all-2-to-64-less-1-and-0": (2**64 - 1,) * 5 + (0,),
}
# Products that are too large (step 34): type, dimensions.
PRODUCTS: dict[str, tuple[str, tuple[int, ...]]] = {
    "2-to-26-times-2-to-27": ("int8", (2**26, 2**27, 0)),
    "2-to-32-twice": ("int8", (2**32, 2**32, 0)),
    "0-between": ("int8", (2**32, 0, 2**32)),
    "0-first": ("int8", (0, 2**32, 2**32)),
    "2-to-53-and-1": ("int8", (3, 107, 28059810762433, 0)),
    "2-to-52-times-2": ("bool", (2**52, 2, 0)),
    "largest-times-2": ("int8", (M - 1, 2, 0)),
    "largest-times-largest": ("int8", (M - 1, M - 1, 0)),
    "of-32-axes": ("int8", (4,) * 31 + (0,)),
    "wraps-to-1": ("int8", (274177, 67280421310721, 0)),
    "int2": ("int2", (2**27, 2**26, 0)),
    "int4": ("uint4", (2**27, 2**26, 0)),
    "float4": ("float4_e2m1fn", (2**50, 8, 0)),
}
# Products that are not too large before they are multiplied by the bits (step 34).
BITS: dict[str, tuple[str, tuple[int, ...]]] = {
    "float16-2-to-52": ("float16", (2**52, 0)),
    "bfloat16-in-two-axes": ("bfloat16", (2**26, 2**26, 0)),
    "float32-2-to-51": ("float32", (2**51, 0)),
    "float32-largest": ("float32", (M - 1, 0)),
    "float64-2-to-50": ("float64", (2**50, 0)),
    "int64-largest": ("int64", (M - 1, 0)),
    "complex64-2-to-50": ("complex64", (2**50, 0)),
    "complex128-2-to-49": ("complex128", (0, 2**49)),
    "complex128-largest": ("complex128", (M - 1, 0)),
    "uint16-one-over": ("uint16", (2**52, 1, 0)),
}
# Without a zero: type, dimensions, and the bytes that arithmetic of 64 bits would find.
WRAPPED: dict[str, tuple[str, tuple[int, ...], int]] = {
    "2-to-32-twice-to-0": ("int8", (2**32, 2**32), 0),
    "2-to-63-times-2-to-0": ("int8", (2**63, 2), 0),
    "2-to-61-floats-to-0": ("float64", (2**61,), 0),
    "2-to-60-complex-to-0": ("complex128", (2**60,), 0),
    "to-8-bytes": ("int8", (8, 2**61 + 1), 8),
    "to-12-bytes-of-float32": ("float32", (2**62 + 3,), 12),
    "to-1-byte-of-int4": ("int4", (2**63 + 2,), 1),
}


def cases() -> Iterator[Case]:
    """Steps 32 to 35."""
    yield from _rank()
    for slug, shape in DIMENSIONS.items():
        yield from _empty(f"dimension-{slug}", "int8", shape, 33, "each dimension has a limit")
    for slug, (dtype, shape) in PRODUCTS.items():
        yield from _empty(f"product-{slug}", dtype, shape, 34, "the product without the zero")
    for slug, (dtype, shape) in BITS.items():
        yield from _empty(f"bits-{slug}", dtype, shape, 34, "the product times the bits")
    yield from _positions()
    yield from _filled()


def _rank() -> Iterator[Case]:
    for rank in (34, 64, 128, 255):
        for name, shape in (("ones", (1,) * rank), ("zeros", (0,) * rank)):
            draft = Draft().tensor("a", "int8", shape).tensor("b", "int8", (2,))
            yield reject(f"rank-{rank}-of-{name}", draft.file(), "SHAPE", "9", "at most 32", step=32)
    draft = Draft().tensor("a", "int8", (2,)).tensor("b", "int8", (1,) * 40)
    yield reject("rank-40-of-last-tensor", draft.file(), "SHAPE", "9", "at most 32", step=32)
    draft = Draft().tensor("a", "int8", (2,)).tensor("b", "int8", (1,) * 40).tensor("c", "int8", (2,))
    yield reject("rank-40-of-middle-tensor", draft.file(), "SHAPE", "9", "at most 32", step=32)


def _empty(slug: str, dtype: str, shape: Sequence[int], step: int, comment: str) -> Iterator[Case]:
    draft = Draft().tensor("a", dtype, shape).tensor("b", "int8", (2,))
    yield reject(slug, draft.file(), "SHAPE", "9", comment, step=step)


def _positions() -> Iterator[Case]:
    for slug, shape, step in (("dimension", (2**53, 0), 33), ("product", (2**32, 2**32, 0), 34)):
        for place, at in (("middle", 1), ("last", 2)):
            draft = Draft()
            for number, name in enumerate("abc"):
                draft.tensor(name, "int8", shape if number == at else (2,))
            yield reject(f"{slug}-of-{place}-tensor", draft.file(), "SHAPE", "9", "of three", step=step)


def _filled() -> Iterator[Case]:
    """No reader may work in proportion to them; whether it counts the chunks first is its own affair."""
    comment = "64 bits would wrap: the file has what they would ask for"
    for slug, (dtype, shape, size) in WRAPPED.items():
        draft = Draft().tensor(
            "a", dtype, (size * 8 // {"int8": 8, "int4": 4, "float32": 32}.get(dtype, 8),) if size else (0,)
        )
        columns = {"rank": bytes([len(shape)]), "dims": u64(*shape)}
        data = draft.file(columns=columns)
        yield reject(f"wraps-{slug}", data, ("SHAPE", "CHUNK"), "9", comment, step=33 if max(shape) >= M else 34)
    for slug, shapes in (
        ("two-halves", ((2**52,), (2**52,))),
        ("largest-twice", ((M - 1,), (M - 1,))),
        ("largest-and-one", ((M - 1,), (1,))),
        ("hundred", ((2**47,),) * 100),
    ):
        draft = Draft(chunk=67108864)
        for number in range(len(shapes)):
            draft.tensor(str(number), "int8", (1,), chunks=[(RAW, b"\1")])
        data = draft.file(columns={"dims": u64(*(n for shape in shapes for n in shape))})
        comment = "all tensors together; no file can have as many chunks as this takes"
        yield reject(f"total-{slug}", data, ("LIMIT", "CHUNK"), "9", comment, step=35)
