"""Chunks and offsets (spec section 2.3)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .. import blocks
from ..case import Case, accept
from ..draft import PLANES, RAW, ZSTD, Chunk, Draft
from ..elements import BITS, ramp
from ..planes import stored

LARGE = 2**20  # decoded bytes from which a raw tensor starts on a page
_ONES = b"\1" * 4096


def cases() -> Iterator[Case]:
    """Sizes around whole chunks, then where tensors start."""
    yield from _sizes()
    yield from _packed()
    yield from _gaps()
    yield from _pages()
    yield accept("six-tensors", _six(), "2.3", "the example of section 2.3, to the byte")


def _sizes() -> Iterator[Case]:
    for chunk, counts in ((64, (1, 2, 10)), (128, (1, 3)), (192, (1, 2)), (4096, (1, 2))):
        for count in counts:
            for more, what in ((-1, "less-1"), (0, "exactly"), (1, "more-1")):
                draft = Draft(chunk=chunk).tensor("x", "uint8", (chunk * count + more,))
                comment = f"{chunk * count + more} bytes: the last chunk has {(chunk * count + more - 1) % chunk + 1}"
                yield accept(f"of-{chunk}-times-{count}-{what}", draft, "2.3", comment)
    for chunk in (2**22 + 64, 2**26 - 64, 2**26):
        yield accept(
            f"of-{chunk}", Draft(chunk=chunk).tensor("x"), "2.3", "one chunk, much smaller than the size allows"
        )
    yield accept("hundred", Draft(chunk=64).tensor("x", "uint8", (80, 80)), "2.3", "a hundred chunks")
    several = Draft(chunk=64).tensor("a", "uint8", (130,)).tensor("b", "float32", (3,)).tensor("c", "uint8", (0,))
    several.tensor("d", "int64", (9,)).tensor("e", "bool", (64,))
    yield accept("of-several-tensors", several, "2.3", "3, 1, 0, 2 and 1 chunks in one column")
    wide = Draft(chunk=64).tensor("x", "complex128", (9,)).tensor("y", "float64", (3, 7)).tensor("z", "bool", (100,))
    yield accept("of-wide-elements", wide, "2.3", "chunks that hold whole elements of 16 and 8 bytes")
    odd = Draft(chunk=192).tensor("x", "complex128", (13,)).tensor("y", "float16", (97,))
    yield accept("of-192-bytes", odd, "2.3", "a chunk size that is no power of two")


def _packed() -> Iterator[Case]:
    """Elements of less than a byte, 128 or 256 in a chunk."""
    for name, per in (("int4", 128), ("uint4", 128), ("float4_e2m1fn", 128), ("int2", 256), ("uint2", 256)):
        slug = name.replace("_", "-")
        for count in (per - 1, per, per + 1, 3 * per + 3):
            draft = Draft(chunk=64).tensor("x", name, (count,))
            yield accept(
                f"{slug}-{count}", draft, "5.3", f"chunks of {per} elements; zero bits at the tensor's end alone"
            )


def _gaps() -> Iterator[Case]:
    def sizes(slug: str, comment: str, *counts: int) -> Case:
        draft = Draft(chunk=256)
        for i, count in enumerate(counts):
            draft.tensor(f"t{i}", "uint8", (count,))
        return accept(f"gap-{slug}", draft, "2.3", comment)

    yield sizes("none", "tensors that end on multiples of 64", 64, 128, 640, 64)
    yield sizes("of-63", "tensors that end one byte past a multiple of 64", 1, 65, 129, 1)
    yield sizes("of-1", "tensors that end one byte before a multiple of 64", 63, 127, 255, 63)
    yield sizes("before-empty", "an empty tensor is aligned too: the index begins at 128", 10, 0)
    yield sizes("before-several-empty", "one gap, then nothing to skip", 10, 0, 0, 0)
    yield sizes("between-empty", "empty tensors between others", 0, 10, 0, 64, 0, 1, 0)
    yield sizes("of-empty-alone", "no bytes at all: the index begins at 64", 0, 0)
    yield sizes("not-behind-the-last", "the index follows the last tensor without a gap", 64, 1)
    mixed = Draft().value("v", 1).tensor("a", "uint8", (10,)).node("n").alias("b", "a").value("w", 2)
    mixed.tensor("c", "uint8", (1,)).value("x", "text")
    yield accept("gap-past-other-entries", mixed, "2.3", "values, nodes and aliases take no bytes")
    short = Draft(chunk=128).tensor("x", "uint8", (300,), bytes(300), chunks=_zeros(300, 128)).tensor("y")
    yield accept("gap-behind-compressed", short, "2.3", "the next tensor starts by the stored bytes, not the decoded")


def _zeros(size: int, chunk: int, first: Sequence[Chunk] = ()) -> list[Chunk]:
    """Chunks of zeros as short frames, behind the first ones."""
    starts = range(chunk * len(first), size, chunk)
    return [*first, *((ZSTD, blocks.rle_frame(0, min(chunk, size - at))) for at in starts)]


def _large(size: int, dtype: str = "uint8", before: int = 10) -> Draft:
    """A tensor of these many bytes in a small file, one before it and one behind it; its first chunk is raw."""
    data = _ONES + bytes(size - len(_ONES))
    made = Draft(chunk=len(_ONES))
    if before:
        made.tensor("before", "uint8", (before,))
    made.tensor("x", dtype, (size * 8 // BITS[dtype],), data, chunks=_zeros(size, len(_ONES), [(RAW, _ONES)]))
    return made.tensor("y", "uint8", (3,))


def _led(*first: Chunk, dtype: str = "uint8", data: bytes) -> Draft:
    """A tensor of 1 MiB that begins with these chunks of 4096 bytes and this data."""
    whole = data + bytes(LARGE - len(data))
    made = Draft(chunk=4096).tensor("before", "uint8", (10,))
    shape = (LARGE * 8 // BITS[dtype],)
    return made.tensor("x", dtype, shape, whole, chunks=_zeros(LARGE, 4096, first)).tensor("y", "uint8", (3,))


def _pages() -> Iterator[Case]:
    """Tensors of about 1 MiB, all chunks but the first compressed, so that their files are small."""

    def page(slug: str, draft: Draft, comment: str) -> Case:
        return accept(f"page-{slug}", draft, "2.3", comment)

    yield page("from-1-mib", _large(LARGE), "1048576 bytes, the first chunk raw: offset 4096")
    yield page("not-below-1-mib", _large(LARGE - 1), "1048575 bytes: offset 128")
    yield page("first-in-the-file", _large(LARGE, before=0), "a gap of 4032 zeros behind the preamble")
    yield page("without-a-gap", _large(LARGE, before=4032), "the tensor before it ends at 4096")
    yield page("one-byte-past", _large(LARGE, before=4033), "the tensor before it ends at 4097: offset 8192")
    sevens = ZSTD, blocks.rle_frame(7, 4096)
    draft = _led(sevens, data=b"\7" * 4096)
    yield page("not-where-the-first-is-zstd", draft, "1048576 bytes, the first chunk compressed: offset 128")
    draft = _led(sevens, (RAW, _ONES), data=b"\7" * 4096 + _ONES)
    yield page("not-where-the-second-is-raw", draft, "the second chunk is raw, the first is not: offset 128")
    parts = stored([(1, blocks.rle_frame(9, 1024)), *[(1, blocks.rle_frame(0, 1024))] * 3])
    draft = _led((PLANES, parts), dtype="uint32", data=b"\0\0\0\x09" * 1024)
    yield page("not-where-the-first-is-planes", draft, "1048576 bytes, the first chunk planes: offset 128")
    for name in ("int2", "int4", "bool", "float32", "complex128"):
        yield page(f"of-{name}", _large(LARGE, name), "it is the bytes that count, not the elements")
    yield page("not-of-a-million-int4", _large(2**19, "int4"), "2^20 elements in 2^19 bytes: offset 128")
    two = Draft(chunk=16384).tensor("before", "uint8", (10,))
    for path in ("x", "y"):
        ones = b"\1" * 16384
        two.tensor(path, "uint8", (LARGE,), ones + bytes(LARGE - 16384), chunks=_zeros(LARGE, 16384, [(RAW, ones)]))
    yield page("twice", two.tensor("z", "uint8", (3,)), "each large tensor starts on a page")
    yield page("not-for-an-empty-one", _empty_large(), "2^26 rows of no elements have no bytes: offset 128")


def _empty_large() -> Draft:
    return Draft().tensor("a", "uint8", (10,)).tensor("b", "float64", (2**26, 0)).tensor("c", "uint8", (3,))


def _six() -> Draft:
    made = Draft().tensor("a", "uint8", (10,)).tensor("b", "uint8", (0,)).tensor("c", "uint8", (LARGE,))
    made.tensor("d", "uint8", (4,))
    lead = ramp("uint8", (1424,))
    rest = 2 * LARGE - len(lead)  # zeros
    frame = blocks.header(2 * LARGE) + blocks.block(blocks.RAW, len(lead), lead, last=False)
    frame += blocks.rle_blocks(0, rest, size=131072)
    made.tensor("e", "uint8", (2 * LARGE,), lead + bytes(rest), chunks=[(ZSTD, frame)])
    made.tensor("f", "uint8", (100,))
    if len(frame) != 1500 or len(made.body()) != 1054372:
        raise ValueError("not the table of section 2.3")
    return made
