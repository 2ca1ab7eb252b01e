"""Faults of the trailer (spec section 2.2)."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from ..case import Case, reject
from ..draft import MAGIC, Draft
from ..xxh3 import xxh3_64
from .base import TRAILER, bounded, flipped, put, sample

LAST = 2**64 - 1


def cases() -> Iterator[Case]:
    """Each field, its checksum repaired unless that is the fault."""
    yield from _magic()
    yield from _checksums()
    yield from _versions_and_flags()
    yield from _lengths()
    yield from _extents()
    yield from _sizes()


def _spoilt(slug: str, code: str, step: int, comment: str, **facts: int) -> Case:
    return reject(slug, sample().file(trailer=facts), code, "2.2", comment, step=step)


def _magic() -> Iterator[Case]:
    whole = sample().file()
    yield reject("no-magic", whole[:-8] + bytes(8), "TRUNCATED", "2.2", "zeros where the magic stands", step=5)
    for at in range(8):
        data = flipped(whole, len(whole) - 8 + at, 7 - at)
        yield reject(f"magic-byte-{at}", data, "TRUNCATED", "2.2", "one bit of the magic", step=5)
    data = put(whole, -8, MAGIC.lower())
    yield reject("magic-lower-case", data, "TRUNCATED", "2.2", "the letters of the magic", step=5)


def _checksums() -> Iterator[Case]:
    draft = sample()
    whole, start = draft.file(), len(draft.body())
    yield _spoilt("own-checksum", "CHECKSUM", 6, "the trailer's own checksum", trailer_sum=0)
    yield _spoilt("index-checksum", "CHECKSUM", 15, "the checksum of the stored index", sum=0)
    own = whole[-16:-8]
    swapped = put(whole, -16, own[::-1])
    yield reject("own-checksum-big-endian", swapped, "CHECKSUM", "2.2", "the same number the wrong way", step=6)
    longer = put(whole, -16, struct.pack("<Q", xxh3_64(whole[-64:-8])))
    yield reject("own-checksum-of-56-bytes", longer, "CHECKSUM", "2.2", "taken over itself too", step=6)
    for name, (at, size) in TRAILER.items():
        for place, byte in (("first", at), ("last", at + size - 1)):
            data = flipped(whole, len(whole) - 64 + byte, 3)
            slug = f"flipped-{name}-{place}-byte"
            yield reject(slug, data, "CHECKSUM", "2.2", "one bit, the checksum as it was", step=6)
    for name, at in (("first", len(whole) - 16), ("last", len(whole) - 9)):
        data = flipped(whole, at, 5)
        yield reject(f"flipped-own-checksum-{name}-byte", data, "CHECKSUM", "2.2", "one bit of the checksum", step=6)
    held = xxh3_64(whole[start:-64])
    other = int.from_bytes(held.to_bytes(8, "big"), "little")
    yield _spoilt("index-checksum-big-endian", "CHECKSUM", 15, "the same number the wrong way", sum=other)
    yield _spoilt("index-checksum-low-half", "CHECKSUM", 15, "32 bits of it", sum=held & 2**32 - 1)
    yield _spoilt("index-checksum-of-none", "CHECKSUM", 15, "that of no bytes", sum=xxh3_64(b""))
    for name, at in (("first", start), ("middle", (start + len(whole)) // 2), ("last", len(whole) - 65)):
        data = flipped(whole, at, 1)
        yield reject(f"index-flipped-{name}-byte", data, "CHECKSUM", "2.2", "one bit of the stored index", step=15)


def _versions_and_flags() -> Iterator[Case]:
    for major in (0, 2, 256):
        yield _spoilt(f"major-{major}", "VERSION", 7, "the preamble says 1", major=major)
    for minor in (1, 256, 65535):
        yield _spoilt(f"minor-{minor}", "VERSION", 7, "the preamble says 0", minor=minor)
    later = Draft(minor=1).value("", 1)
    data = later.file(trailer={"minor": 0})
    yield reject("minor-behind-preamble", data, "VERSION", "2.2", "the preamble says 1.1, the trailer 1.0", step=7)
    data = later.file(trailer={"minor": 256})
    yield reject("minor-big-endian", data, "VERSION", "2.2", "the preamble says 1.1, the trailer 1.256", step=7)
    for bit in range(1, 32):
        facts = {"flags": 1 << bit}
        data = sample().file(trailer=facts)
        comment = "a flag that is not defined"
        yield reject(f"flag-{bit}", data, "FEATURE", "2.2", comment, step=8, readers="1.0")


def _lengths() -> Iterator[Case]:
    size = len(sample().file())
    for slug, length in (
        ("length-one-more", size + 1),
        ("length-64-more", size + 64),
        ("length-twice", 2 * size),
        ("length-2-to-32-more", size + 2**32),
        ("length-2-to-63", 2**63),
        ("length-all-ones", LAST),
    ):
        yield _spoilt(slug, "TRUNCATED", 9, "more than there is", length=length)
    for slug, length in (
        ("length-one-less", size - 1),
        ("length-64-less", size - 64),
        ("length-zero", 0),
        ("length-128", 128),
    ):
        yield _spoilt(slug, "EXTENT", 10, "fewer than there are", length=length)


def _extents() -> Iterator[Case]:
    """Step 11. Stored and decoded bytes stay equal, and the checksum is that of the bytes where they exist."""
    draft = sample()
    whole, start = draft.file(), len(draft.body())
    size = len(whole) - start - 64

    def moved(slug: str, comment: str, offset: int, stored: int) -> Case:
        held = xxh3_64(whole[offset : offset + stored]) if offset + stored <= len(whole) else 0
        return _spoilt(slug, "EXTENT", 11, comment, offset=offset, stored=stored, decoded=stored, sum=held)

    for slug, offset in (
        ("offset-one-more", start + 1),
        ("offset-one-less", start - 1),
        ("offset-64-less", start - 64),
        ("offset-at-trailer", len(whole) - 64),
        ("offset-at-end", len(whole)),
        ("offset-2-to-32-more", start + 2**32),
        ("offset-2-to-63-more", start + 2**63),
        ("offset-all-ones", LAST),
    ):
        yield moved(slug, "the stored bytes as they were", offset, size)
    for slug, stored in (
        ("stored-one-more", size + 1),
        ("stored-one-less", size - 1),
        ("stored-with-trailer", size + 64),
        ("stored-zero", 0),
    ):
        yield moved(slug, "the offset as it was", start, stored)
    for slug, stored in (
        ("stored-2-to-32-more", size + 2**32),
        ("stored-2-to-63-more", size + 2**63),
        ("stored-all-ones", LAST),
    ):
        data = draft.file(stored=bounded, trailer={"stored": stored})
        yield reject(slug, data, "EXTENT", "2.2", "of a compressed index, which no other limit bounds", step=11)
    for slug, offset in (("offset-0", 0), ("offset-1", 1), ("offset-63", 63)):
        stored = len(whole) - 64 - offset
        yield moved(slug, "within the preamble; the index ends at the trailer", offset, stored)
    for slug, offset in (("wraps-from-2-to-63", 2**63), ("wraps-from-all-ones", LAST)):
        end = len(draft.file(stored=bounded)) - 64
        data = draft.file(stored=bounded, trailer={"offset": offset, "stored": (end - offset) % 2**64})
        yield reject(slug, data, "EXTENT", "2.2", "offset and stored bytes add up only modulo 2^64", step=11)
    yield moved("wraps-by-32-bits", "offset and stored bytes add up only modulo 2^32", start + 2**31, size + 2**31)


def _sizes() -> Iterator[Case]:
    """Steps 12 to 14."""
    size = len(sample().file()) - len(sample().body()) - 64
    for slug, decoded in (("decoded-one-more", size + 1), ("decoded-one-less", size - 1), ("decoded-zero", 0)):
        yield _spoilt(slug, "EXTENT", 14, "of a raw index", decoded=decoded)
    draft = sample()
    for slug, decoded in (
        ("compressed-decoded-2-to-29", 2**29),
        ("compressed-decoded-2-to-32", 2**32),
        ("compressed-decoded-2-to-63", 2**63),
        ("compressed-decoded-all-ones", LAST),
    ):
        data = draft.file(stored=bounded, trailer={"decoded": decoded})
        yield reject(slug, data, "LIMIT", "2.2", "of a compressed index: nothing of that size is made", step=12)
