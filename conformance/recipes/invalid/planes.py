"""Chunks of planes that are none (spec section 6.3)."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

from .. import blocks, spoilt
from .. import planes as right
from ..case import Case, reject
from ..draft import PLANES, Chunk, Draft
from ..elements import BITS, nbytes
from .base import put
from .zstd_content import EIGHT, ONCE, SEQUENCES, framed

COUNT = 192  # elements
Stored = tuple[int, bytes]
# A value of the elements of each type tried, byte by byte: every plane is one byte many times.
TYPES = ("int16", "bfloat16", "float32", "float64", "complex64", "complex128", "uint32", "float16")
EVERY = (
    "int16",
    "int32",
    "int64",
    "uint16",
    "uint32",
    "uint64",
    "float16",
    "bfloat16",
    "float32",
    "float64",
    "complex64",
    "complex128",
)


def elements(dtype: str, count: int = COUNT) -> bytes:
    """Equal elements, no two of their bytes alike."""
    return bytes(range(1, 1 + BITS[dtype] // 8)) * count


def stored(dtype: str, data: bytes) -> list[Stored]:
    """Its planes as frames of ten or eleven bytes."""
    return [(right.ZSTD, blocks.rle_frame(plane[0], len(plane))) for plane in right.apart(dtype, data)]


def chunked(dtype: str, raw: bytes, count: int = COUNT, data: bytes | None = None) -> Draft:
    """A tensor of one chunk with these stored bytes, between two others."""
    draft = Draft().tensor("before", "int8", (3,))
    held = elements(dtype, count) if data is None else data
    return draft.tensor("a", dtype, (count,), held, chunks=[(PLANES, raw)]).tensor("behind", "int8", (3,))


def cases() -> Iterator[Case]:
    """All with the checksum of the stored bytes as they are."""
    yield from _heads()
    yield from _modes()
    yield from _rests()
    yield from _frames()
    yield from _sevens()
    yield from _positions()


def _refused(slug: str, draft: Draft, comment: str, code: str = "CODEC") -> Case:
    return reject(slug, draft.file(), code, "6.3", comment, phase="read")


def _heads() -> Iterator[Case]:
    """The first rule: there are five bytes for each plane."""
    for dtype in EVERY:
        planes = BITS[dtype] // 8
        whole = right.stored(stored(dtype, elements(dtype)))
        yield _refused(f"heads-of-{dtype}-one-byte-short", chunked(dtype, whole[: 5 * planes - 1]), f"{planes} planes")
    for size in (1, 4, 5, 6, 8):
        whole = right.stored(stored("int16", elements("int16")))
        yield _refused(f"heads-cut-to-{size}", chunked("int16", whole[:size]), "two planes have heads of ten bytes")
    whole = right.stored(stored("int16", elements("int16")))
    yield _refused("heads-alone", chunked("int16", whole[:10]), "no byte of a plane")


def _modes() -> Iterator[Case]:
    """The second rule, at the first, a middle and the last plane."""
    for dtype, at in (("int16", 0), ("int16", 1), ("float32", 2), ("float32", 3), ("complex128", 15)):
        for slug, mode, raw, comment in _wrong_modes(COUNT):
            made = stored(dtype, elements(dtype))
            made[at] = mode, raw
            if len(right.stored(made)) < nbytes(dtype, (COUNT,)):
                yield _refused(f"{slug}-of-{dtype}-plane-{at}", chunked(dtype, right.stored(made)), comment)


def _wrong_modes(n: int) -> Iterator[tuple[str, int, bytes, str]]:
    frame = blocks.rle_frame(9, n)
    ones = [right.sevens(bytes([0x49]) * k + bytes([9]) * (n - k)) for k in (5, 7)]
    pieces = [blocks.rle_blocks(9, n // 3, last=False)] * 3 + [blocks.block(blocks.RAW, 0, b"", last=False)] * 57
    full = blocks.header(n) + b"".join(pieces) + blocks.block(blocks.RAW, 0, b"", last=True)
    if (len(full), *map(len, ones)) != (n, n, n + 8):
        raise ValueError("lengths that are nothing special")
    for mode in (3, 4, 128, 255):
        yield f"mode-{mode}", mode, frame, "no such mode"
    yield "raw-one-short", right.RAW, bytes([9]) * (n - 1), "a plane as it is has as many bytes as there are elements"
    yield "raw-one-long", right.RAW, bytes([9]) * (n + 1), "a plane as it is has as many bytes as there are elements"
    yield "raw-of-none", right.RAW, b"", "a plane as it is has as many bytes as there are elements"
    yield "raw-of-a-frame", right.RAW, frame, "a frame under the mode of a plane as it is"
    yield "zstd-of-none", right.ZSTD, b"", "a frame has at least one byte"
    yield (
        "zstd-of-full-length",
        right.ZSTD,
        blocks.raw_frame(bytes([9]) * (n - 9)) + bytes(9),
        "as many bytes as the plane",
    )
    yield "zstd-longer", right.ZSTD, blocks.raw_frame(bytes([9]) * n), "more bytes than the plane"
    yield "sevens-of-none", right.SEVENS, b"", "the number of positions is not there"
    yield "sevens-of-full-length", right.SEVENS, ones[0], "as many bytes as the plane"
    yield "sevens-longer", right.SEVENS, ones[1], "more bytes than the plane"


def _rests() -> Iterator[Case]:
    """The third rule and the last: each plane is there whole, and nothing else is."""
    for dtype in ("int16", "float32", "complex64"):
        made = stored(dtype, elements(dtype))
        whole = right.stored(made)
        heads = 5 * len(made)
        for slug, raw, comment in (
            ("last-byte-missing", whole[:-1], "of the last plane"),
            ("last-plane-missing", whole[: -len(made[-1][1])], "its head announces it"),
            ("first-plane-cut", whole[: heads + 4], "and no other plane is there"),
            ("byte-behind", whole + b"\0", "after the last plane"),
            ("bytes-behind", whole + b"behind", "after the last plane"),
            ("plane-behind", whole + made[-1][1], "the last plane twice"),
        ):
            yield _refused(f"{slug}-of-{dtype}", chunked(dtype, raw), comment)
    for slug, length in (("one-more", 11), ("2-to-16-more", 65546), ("all-ones", 2**32 - 1), ("2-to-31", 2**31)):
        whole = right.stored(stored("int16", elements("int16")))
        for at in (0, 1):
            raw = put(whole, 5 * at + 1, struct.pack("<I", length))
            yield _refused(f"length-{slug}-of-plane-{at}", chunked("int16", raw), "the plane has ten bytes")
    made = stored("int16", elements("int16"))
    more, fewer = stored("float32", elements("float32")), right.stored(made[:1])
    yield _refused("planes-four-for-two", chunked("int16", right.stored(more)), "those of four bytes an element")
    yield _refused("planes-one-for-two", chunked("int16", fewer), "those of one byte an element")
    half = right.stored([(right.ZSTD, blocks.rle_frame(1, COUNT // 2))] * 4)
    yield _refused("planes-of-half-the-elements", chunked("int16", half), "four planes of half as many bytes")
    yield _refused(
        "planes-of-components", chunked("complex64", right.stored(more)), "a component's planes for an element's"
    )


def _frames() -> Iterator[Case]:
    """The rules of section 6.2 for a plane of mode 1."""
    dtype = "int16"
    picked = (
        *("skippable-before", "magic-zero", "cut-to-5", "cut-to-6-of-14", "size-missing", "size-one-more", "size-none"),
        *("size-one-less", "size-terabyte", "checksum", "reserved-bit", "dictionary-1", "dictionary-4-zero"),
        *("window-72-mebibytes", "window-largest", "no-block", "type-3", "last-missing", "larger-than-content"),
        *("larger-than-128-kib", "rle-byte-missing", "last-too-early", "behind-zero", "behind-empty-frame"),
        *("behind-skippable", "content-one-less", "content-one-more", "content-of-megabytes"),
    )
    for at in (0, 1):
        plane = right.apart(dtype, elements(dtype))[at]
        for found in [*spoilt.headers(plane), *spoilt.walks(plane), *spoilt.wrong_content(plane)]:
            if found.slug in picked:
                made = stored(dtype, elements(dtype))
                made[at] = right.ZSTD, found.frame
                slug = f"zstd-{found.slug}-of-plane-{at}"
                yield _refused(slug, chunked(dtype, right.stored(made)), found.comment, found.code)
    for slug in ("offset-beyond-by-one", "stream-missing", "literal-length-code-36", "match-one-shorter"):
        frame = framed(ONCE, EIGHT + SEQUENCES[slug][0])
        planes: Sequence[Stored] = [(right.ZSTD, frame), (right.ZSTD, blocks.rle_frame(2, 40))]
        data = bytes(byte for first in ONCE for byte in (2, first))
        yield _refused(f"zstd-sequences-{slug}", chunked(dtype, right.stored(planes), 40, data), SEQUENCES[slug][1])
    whole = blocks.rle_frame(7, 2 * COUNT)
    planes = [(right.ZSTD, whole), (right.ZSTD, blocks.rle_frame(2, COUNT))]
    yield _refused(
        "zstd-of-whole-chunk", chunked(dtype, right.stored(planes)), "the size is the chunk's, not the plane's"
    )
    for slug, size in (("10-bytes", 10), ("12-bytes", 12)):
        count = 32768 * size + 32
        frame = (blocks.header(count) + blocks.rle_blocks(1, count))[:size]
        rest = blocks.header(count) + blocks.rle_blocks(2, count)
        raw = right.stored([(right.ZSTD, frame), (right.ZSTD, rest)])
        data = b"\2\1" * count
        yield _refused(
            f"zstd-ratio-of-{slug}", chunked(dtype, raw, count, data), "more than 32768 times as much", "LIMIT"
        )


def _sevens() -> Iterator[Case]:
    """The rules of mode 2, for a plane of 205 bytes; the three behind them are among the bits that are spread."""
    n, part = 205, 26
    ones = (3, 50)
    plane = bytes(i % 64 | (i in ones) << 6 for i in range(n))
    good = right.sevens(plane)
    rest = good[12:]

    def seven(slug: str, raw: bytes, comment: str, at: int = 1) -> Case:
        if len(raw) >= n:
            raise ValueError(f"{slug}: {len(raw)} bytes")
        planes: list[Stored] = [(right.ZSTD, blocks.rle_frame(1, n))] * 2
        planes[at] = right.SEVENS, raw
        data = b"".join(bytes([1, byte] if at == 0 else [byte, 1]) for byte in plane)
        return _refused(f"sevens-{slug}-of-plane-{at}", chunked("int16", right.stored(planes), n, data), comment)

    def positions(*numbers: int, count: int | None = None) -> bytes:
        said = len(numbers) if count is None else count
        return struct.pack(f"<{1 + len(numbers)}I", said, *numbers) + rest

    if positions(*ones) != good or len(rest) != 7 * part:
        raise ValueError("not the plane that mode 2 gives")
    for at in (0, 1):
        for size in (1, 2, 3):
            yield seven(f"cut-to-{size}", good[:size], "the number of positions has four bytes", at)
        yield seven("one-short", good[:-1], "one byte of the rest is missing", at)
        yield seven("one-long", good + b"\0", "one byte follows the rest", at)
        yield seven("equal", positions(3, 3), "the same position twice", at)
        yield seven("beyond", positions(3, n), "as many as there are bytes", at)
    yield seven("count-alone", good[:4], "no position and nothing of the rest")
    yield seven("positions-alone", good[:12], "nothing of the rest")
    yield seven("a-position-short", good[4:], "the number is left out")
    for slug, count in (
        ("one-more", 3),
        ("one-less", 1),
        ("none", 0),
        ("as-many-as-bytes", n),
        ("2-to-30", 2**30),
        ("2-to-30-and-2", 2**30 + 2),
        ("2-to-31-and-2", 2**31 + 2),
        ("all-ones", 2**32 - 1),
    ):
        yield seven(f"count-{slug}", positions(*ones, count=count), "there are two positions")
    for slug, numbers, comment in (
        ("descending", (50, 3), "the second is the smaller one"),
        ("equal-last", (3, 50, 50), "the last position twice"),
        ("descending-last", (3, 50, 49), "the last is the smaller one"),
        ("only-beyond", (n,), "as many as there are bytes"),
        ("in-padding", (3, n + 2), "a place among the zeros behind"),
        ("behind-padding", (3, 8 * part), "a place behind all"),
        ("beyond-2-to-16", (3, 65536 + 50), "the low half is a place"),
        ("beyond-2-to-31", (3, 2**31), "negative if taken as signed"),
        ("beyond-all-ones", (3, 2**32 - 1), "minus one if taken as signed"),
        ("big-endian", (3 << 24,), "the number 3 the wrong way"),
    ):
        yield seven(slug, positions(*numbers), comment)
    for j in range(n - 7 * part, part):
        for bit in (0, 6):
            at = 12 + bit * part + j
            raw = put(good, at, bytes([good[at] | 0x40]))
            yield seven(f"padding-{7 * part + j}-bit-{bit + (bit == 6)}", raw, "behind the plane there are zeros")
    yield seven("of-a-frame", blocks.rle_frame(9, n), "a frame under the mode of seven bits")


def _positions() -> Iterator[Case]:
    """The same fault in the first, the second and the last of three chunks."""
    size = 64 * 2
    good: Chunk = (PLANES, right.stored(stored("int16", elements("int16", 64))))
    bad = [
        ("mode-3", b"\3" + good[1][1:]),
        ("byte-behind", good[1] + b"\0"),
        ("last-byte-missing", good[1][:-1]),
    ]
    for slug, raw in bad:
        for place, at in (("first", 0), ("middle", 1), ("last", 2)):
            chunks = [good] * 3
            chunks[at] = (PLANES, raw)
            draft = Draft(chunk=size).tensor("a", "int16", (192,), elements("int16", 192), chunks=chunks)
            yield _refused(f"{slug}-in-{place}-chunk", draft, "one of three chunks")
