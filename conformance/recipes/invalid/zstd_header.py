"""Chunks whose frames have a wrong header (spec section 6.2, the first six rules)."""

from __future__ import annotations

from collections.abc import Iterator

from .. import spoilt
from ..blocks import RLE, block, header, rle_frame
from ..case import Case, reject
from ..draft import ZSTD, Chunk, Draft

SIZE = 192  # of each of three chunks
LONG = 3008  # the same, so that the size takes two bytes


def chunked(frame: bytes, at: int = 1, size: int = SIZE) -> Draft:
    """A tensor of three frames of one byte many times, one of them given, between two other tensors."""
    good: Chunk = (ZSTD, rle_frame(7, size))
    chunks = [good] * 3
    chunks[at] = (ZSTD, frame)
    draft = Draft(chunk=size).tensor("before", "int8", (3,))
    return draft.tensor("a", "uint8", (3 * size,), b"\7" * 3 * size, chunks=chunks).tensor("behind", "int8", (5,))


def cases() -> Iterator[Case]:
    """All with the checksum of the stored bytes as they are."""
    for found in spoilt.headers(b"\7" * SIZE):
        yield _refused(found.slug, chunked(found.frame), found.code, found.comment)
    for found in spoilt.headers(b"\7" * LONG):
        if found.slug.startswith(("size-", "cut-to-last")):
            yield _refused(f"long-{found.slug}", chunked(found.frame, size=LONG), found.code, found.comment)
    picked = (
        "skippable-before",
        "size-missing",
        "size-terabyte",
        "checksum",
        "dictionary-1-zero",
        "window-128-mebibytes",
    )
    for found in spoilt.headers(b"\7" * SIZE):
        if found.slug in picked:
            for place, at in (("first", 0), ("last", 2)):
                yield _refused(f"{place}-chunk-{found.slug}", chunked(found.frame, at), found.code, found.comment)
    tiny = header(2**40) + block(RLE, 2**17, b"\0", last=True)
    draft = Draft().tensor("a", "uint8", (2**17,), bytes(2**17), chunks=[(ZSTD, tiny)])
    yield _refused("terabyte-in-17-bytes", draft, "CODEC", "the index says 128 KiB, which the block holds")
    raw = Draft().tensor("a", "uint8", (100,), b"\7" * 100, chunks=[(ZSTD, b"\7" * 99)])
    yield _refused("no-frame", raw, "CODEC", "the elements themselves, but for the last")
    named = Draft().tensor("a", "uint8", (1000,), bytes(1000), chunks=[(ZSTD, b"\x28\xb5\x2f\xfd\x00\x50")])
    yield _refused("header-of-six-bytes", named, "CODEC", "whole, but without a size and a block")


def _refused(slug: str, draft: Draft, code: str, comment: str) -> Case:
    return reject(slug, draft.file(), code, "6.2", comment, phase="read")
