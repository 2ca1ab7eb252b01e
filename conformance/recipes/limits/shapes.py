"""Dimensions, ranks, and decoded bytes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .. import forms
from ..case import Case, accept, reject
from ..draft import Draft, u64
from .base import CHUNK, MOST


def cases() -> Iterator[Case]:
    """Row by row of the table."""
    yield from _integers()
    yield from _totals()
    yield from _ranks()
    yield from _chunk()


def _integers() -> Iterator[Case]:
    """MAX_INTEGER and MAX_TENSOR_BYTES: tensors without elements, but for those that only seem to have some."""

    def shape(slug: str, comment: str, step: int | None, dims: Sequence[int], dtype: str = "uint8") -> Case:
        draft = Draft().tensor("limit", dtype, dims)
        if step is None:
            return accept(slug, draft, "9", comment)
        return reject(slug, draft.file(), "SHAPE", "9", comment, step=step)

    yield shape("dim-at", "2^53 - 1", None, (MOST, 0))
    yield shape("dim-at-behind-zero", "2^53 - 1", None, (0, MOST))
    yield shape("dim-beyond", "2^53", 33, (MOST + 1, 0))
    yield shape("dim-beyond-behind-zero", "2^53", 33, (0, MOST + 1))
    yield shape("dim-of-2-to-63", "2^63 twice: no sign bit", 33, (2**63, 2**63, 0))
    yield shape("dim-largest", "2^64 - 1", 33, (2**64 - 1, 0))
    yield shape("product-at", "6361 * 69431 * 20394401 = 2^53 - 1", None, (6361, 0, 69431, 20394401))
    yield shape("product-beyond", "2^27 * 2^26 = 2^53", 34, (2**27, 2**26, 0))
    yield shape("product-beyond-around-zero", "2^27 * 2^26 = 2^53", 34, (2**27, 0, 2**26))
    yield shape("product-of-32-axes-at", "2^52 from thirty-one axes", None, (2**22, *[2] * 30, 0))
    yield shape("product-of-32-axes-beyond", "2^53 from thirty-one axes", 34, (2**23, *[2] * 30, 0))
    yield shape("product-wraps-to-0", "2^32 * 2^32 = 2^64", 34, (2**32, 2**32, 0))
    yield shape("product-wraps-to-1", "274177 * 67280421310721 = 2^64 + 1", 34, (274177, 67280421310721, 0))
    for dtype, bits in (("int2", 2), ("int4", 4), ("uint8", 8)):
        if bits < 8:
            yield shape(f"bytes-of-{bits}-bits-at", "2^53 - 1 elements in fewer bytes", None, (MOST, 0), dtype)
            yield shape(f"bytes-of-{bits}-bits-beyond", "2^53 elements in fewer bytes", 33, (MOST + 1, 0), dtype)
    for dtype, bits in (("float16", 16), ("float32", 32), ("float64", 64), ("complex64", 64), ("complex128", 128)):
        most = MOST * 8 // bits
        yield shape(f"bytes-of-{dtype}-at", f"{most} elements of {bits} bits", None, (most, 0), dtype)
        yield shape(f"bytes-of-{dtype}-beyond", f"{most + 1} elements of {bits} bits", 34, (most + 1, 0), dtype)
    wrapped = Draft().tensor("limit", "uint8", (1,)).file(columns={"rank": b"\2", "dims": u64(274177, 67280421310721)})
    comment = "2^64 + 1 elements, and one byte"
    yield reject("product-wraps-to-the-bytes", wrapped, ("SHAPE", "CHUNK"), "9", comment, step=34)


def _declared(*dims: int) -> bytes:
    """Tensors of these many bytes, of which the file has none."""
    count = len(dims)
    columns = {"type": bytes(count), "dtype": b"\x09" * count, "rank": b"\1" * count, "dims": u64(*dims)}
    names = forms.text("\n".join(f"limit{i}" for i in range(count)))
    return Draft().value("limit").file(columns=columns, keys={"path": names, "value": forms.array([])})


def _totals() -> Iterator[Case]:
    """MAX_TOTAL_BYTES, which no file reaches with its chunks: they are missing, and that may be told instead."""
    half = 2**52
    yield reject("total-beyond", _declared(half, half), ("LIMIT", "CHUNK"), "9", "2^53 bytes in two tensors", step=35)
    comment = "2^53 - 1 bytes in two tensors: it is the chunks that are missing"
    yield reject("total-at-without-chunks", _declared(half, half - 1), "CHUNK", "9", comment, step=36)
    wraps = _declared(*[MOST] * 2048, 2048)
    yield reject("total-wraps-to-0", wraps, ("LIMIT", "CHUNK"), "9", "2^64 bytes in 2049 tensors", step=35)


def _ranks() -> Iterator[Case]:
    yield accept("rank-at", Draft().tensor("limit", "uint8", (1,) * 32), "9", "thirty-two axes")
    for rank in (33, 64, 255):
        data = Draft().tensor("limit", "uint8", (1,) * rank).file()
        yield reject(f"rank-{rank}", data, "SHAPE", "9", "more than thirty-two axes", step=32)
    data = Draft().tensor("limit", "uint8", (1,) * 32 + (0,)).file()
    yield reject("rank-33-of-no-elements", data, "SHAPE", "9", "an empty tensor has no more axes either", step=32)


def _chunk() -> Iterator[Case]:
    """CHUNK_STEP and MAX_CHUNK_BYTES."""
    for size in (64, CHUNK):
        yield accept(
            f"chunk-{size}", Draft(chunk=size).tensor("limit", "uint8", (65,)), "3.2", "an end of what is allowed"
        )
    beyond = (CHUNK + 64, 2 * CHUNK, 2**32, 2**32 + 64, 2**63, 2**64 - 64)
    for size, code, step in (
        *((size, "CHUNK", 29) for size in (0, 1, 63, 65, 96, CHUNK - 1, CHUNK + 1, 2**32 - 1, 2**64 - 1)),
        *((size, "LIMIT", 30) for size in beyond),
    ):
        comment = "no positive multiple of 64" if code == "CHUNK" else "a multiple of 64 beyond 2^26"
        data = Draft().value("limit").file(keys={"chunk": forms.integer(size)})
        yield reject(f"chunk-{size}", data, code, "3.2", comment, step=step)
