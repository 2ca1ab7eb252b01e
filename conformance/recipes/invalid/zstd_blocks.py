"""Chunks whose frames have blocks that are none, end early or go on (spec section 6.2, rules 8 and 9)."""

from __future__ import annotations

from collections.abc import Iterator

from .. import spoilt
from ..blocks import COMPRESSED, RAW, RESERVED, RLE, block, header
from ..case import Case, reject
from ..draft import ZSTD, Draft
from .zstd_header import LONG, SIZE, chunked

KIB = 0x00  # the byte that describes a window of 1 KiB


def cases() -> Iterator[Case]:
    """All with the checksum of the stored bytes as they are."""
    for found in spoilt.walks(b"\7" * SIZE):
        yield _refused(found.slug, chunked(found.frame), found.comment)
    picked = ("type-3", "last-missing", "behind-zero", "behind-empty-frame", "last-head-cut-to-2", "rle-byte-missing")
    for found in spoilt.walks(b"\7" * SIZE):
        if found.slug in picked:
            for place, at in (("first", 0), ("last", 2)):
                yield _refused(f"{place}-chunk-{found.slug}", chunked(found.frame, at), found.comment)
    yield from _sizes()
    yield from _several()


def _refused(slug: str, draft: Draft, comment: str) -> Case:
    return reject(slug, draft.file(), "CODEC", "6.2", comment, phase="read")


def _sizes() -> Iterator[Case]:
    """Blocks larger than they may be, in frames that decode to the right content."""
    head = header(LONG, window=KIB, width=8)

    def frame(*blocks: bytes) -> Draft:
        return chunked(head + b"".join(blocks), size=LONG)

    yield _refused(
        "rle-over-window-first", frame(block(RLE, 1025, b"\7", last=False), *_cut(LONG - 1025)), "1025 of 1024"
    )
    yield _refused(
        "rle-over-window-last",
        frame(block(RLE, 1024, b"\7", last=False), block(RLE, LONG - 1024, b"\7", last=True)),
        "1984 of 1024",
    )
    yield _refused("rle-over-window-only", frame(block(RLE, LONG, b"\7", last=True)), "3008 of 1024")
    raw = block(RAW, 1025, b"\7" * 1025, last=False)
    yield _refused("raw-over-window", frame(raw, *_cut(LONG - 1025)), "1025 of 1024")
    # Literals as they are, in a section of three bytes, and no sequences: 1021 bytes in a block of 1025.
    section = (1021 << 4 | 3 << 2).to_bytes(3, "little") + b"\7" * 1021 + b"\0"
    packed = block(COMPRESSED, len(section), section, last=False)
    yield _refused("compressed-over-window", frame(packed, *_cut(LONG - 1021)), "a block of 1025 bytes, window 1024")
    large = 2**17 + 64
    one = header(large) + block(RLE, large, b"\7", last=True)
    draft = Draft(chunk=large).tensor("a", "uint8", (large,), b"\7" * large, chunks=[(ZSTD, one)])
    yield _refused("rle-over-128-kib", draft, "131136 of 131072, in a frame whose window is larger")
    two = header(large) + block(RLE, 2**17 + 1, b"\7", last=False) + block(RLE, 63, b"\7", last=True)
    draft = Draft(chunk=large).tensor("a", "uint8", (large,), b"\7" * large, chunks=[(ZSTD, two)])
    yield _refused("rle-over-128-kib-by-one", draft, "131073 of 131072")


def _cut(size: int) -> list[bytes]:
    """Blocks of at most a kibibyte."""
    starts = range(0, size, 1024)
    return [block(RLE, min(1024, size - at), b"\7", last=at + 1024 >= size) for at in starts]


def _several() -> Iterator[Case]:
    """Frames of many blocks with one fault among them."""
    head = header(SIZE)
    good = [block(RLE, 16, b"\7", last=i == 11) for i in range(12)]
    for place, at in (("first", 0), ("middle", 6), ("last", 11)):
        reserved = [*good]
        reserved[at] = block(RESERVED, 16, b"\7", last=at == 11)
        yield _refused(f"type-3-{place}-of-12", chunked(head + b"".join(reserved)), "blocks of 16 bytes")
        if at < 11:
            early = [*good]
            early[at] = block(RLE, 16, b"\7", last=True)
            yield _refused(f"last-{place}-of-12", chunked(head + b"".join(early)), "it says that it is the last")
    yield _refused("last-missing-of-12", chunked(head + b"".join(good[:11])), "the twelfth is not there")
    empty = block(RAW, 0, b"", last=False)
    yield _refused("only-empty-blocks", chunked(head + empty * 20), "and none is the last")
