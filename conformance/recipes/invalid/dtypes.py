"""Unknown element types, and bytes that are not those of the type and shape (spec sections 5.1 and 6.1)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..case import Case, reject
from ..draft import RAW, Draft
from ..elements import BITS, nbytes, ramp

UNKNOWN = (28, 29, 31, 64, 127, 128, 254, 255)
# Shapes whose bytes are counted wrong: type -> shape.
SHAPES: dict[str, tuple[int, ...]] = dict.fromkeys(BITS, (3, 5))
# What a program might take for the size: type, shape, bytes.
COUNTED: tuple[tuple[str, str, tuple[int, ...], int], ...] = (
    ("int4-a-byte-each", "int4", (4,), 4),
    ("int4-rounded-down", "int4", (3,), 1),
    ("int4-rows-padded", "int4", (3, 3), 6),
    ("int2-rounded-down", "int2", (5,), 1),
    ("int2-rows-padded", "int2", (2, 3), 3),
    ("uint2-a-byte-each", "uint2", (4,), 4),
    ("float4-a-byte-each", "float4_e2m1fn", (6,), 6),
    ("bool-packed", "bool", (16,), 2),
    ("complex64-of-one-float", "complex64", (2,), 8),
    ("complex128-of-one-float", "complex128", (2,), 16),
    ("float16-of-4-bytes", "float16", (3,), 12),
    ("float64-of-4-bytes", "float64", (3,), 12),
    ("scalar-without-bytes", "float32", (), 0),
    ("scalar-of-two", "float32", (), 8),
    ("shape-added", "int8", (3, 5), 8),
    ("first-axis-only", "int8", (3, 5), 3),
    ("padded-to-64", "int8", (5,), 64),
    ("padded-to-8", "int8", (5,), 8),
)


def cases() -> Iterator[Case]:
    """Step 31, and step 38 for raw chunks."""
    yield from _unknown()
    yield from _bytes()


def _unknown() -> Iterator[Case]:
    for code in UNKNOWN:
        for place, at in (("first", 0), ("middle", 1), ("last", 2)):
            yield _coded(f"code-{code}-{place}", code, at, (2, 2), "no such type")
    for code in (28, 255):
        yield _coded(f"code-{code}-without-elements", code, 1, (0,), "no such type, and no bytes that need it")
        yield _coded(f"code-{code}-scalar", code, 2, (), "no such type, and no axes")
    data = Draft().tensor("a", "int8", (1,)).file(columns={"dtype": b"\x1c"})
    yield reject("code-28-only", data, "DTYPE", "5.1", "the only tensor", step=31, readers="1.0")


def _coded(slug: str, code: int, at: int, shape: Sequence[int], comment: str) -> Case:
    """Three tensors, one of them of an unknown type and as large as one of int8."""
    draft = Draft()
    for name in "abc":
        draft.tensor(name, "int8", shape)
    held = bytearray(draft.columns()["dtype"])
    held[at] = code
    data = draft.file(columns={"dtype": bytes(held)})
    return reject(slug, data, "DTYPE", "5.1", comment, step=31, readers="1.0")


def _bytes() -> Iterator[Case]:
    def stored(slug: str, dtype: str, shape: Sequence[int], size: int, comment: str) -> Case:
        raw = (ramp(dtype, shape) + bytes(64))[:size]
        draft = Draft().tensor("a", dtype, shape, chunks=[(RAW, raw)]).tensor("b", "int8", (3,))
        return reject(slug, draft.file(), "CHUNK", "6.1", comment, step=38)

    for dtype, shape in SHAPES.items():
        size = nbytes(dtype, shape)
        name = dtype.replace("_", "-")
        yield stored(f"{name}-one-byte-fewer", dtype, shape, size - 1, f"{size} are right")
        yield stored(f"{name}-one-byte-more", dtype, shape, size + 1, f"{size} are right")
    for slug, dtype, shape, size in COUNTED:
        yield stored(slug, dtype, shape, size, f"{nbytes(dtype, shape)} bytes are right, {size} are stored")
