"""Chunks that are not what was written (spec section 8.1)."""

from __future__ import annotations

from collections.abc import Iterator

from .. import blocks, planes
from ..case import Case, reject
from ..draft import PLANES, RAW, ZSTD, Chunk, Draft, u64
from ..elements import ramp
from ..xxh3 import xxh3_64
from .base import flipped, flipping, put

RUNS = bytes([7]) * 64
FRAME = blocks.rle_frame(7, 64)


def raw() -> Draft:
    """Three tensors; the second has three chunks."""
    return Draft(chunk=64).tensor("a", "uint8", (10,)).tensor("b", "uint8", (150,)).tensor("c", "float32", (3,))


def packed() -> Draft:
    """A tensor of three frames."""
    return Draft(chunk=64).tensor("a", "uint8", (192,), RUNS * 3, chunks=[(ZSTD, FRAME)] * 3)


def apart() -> Draft:
    """A tensor of two chunks of planes."""
    halves = planes.apart("int16", b"\x01\x01" * 32)
    chunk: Chunk = (PLANES, planes.stored([(planes.RAW, halves[0]), (planes.ZSTD, blocks.rle_frame(1, 32))]))
    return Draft(chunk=64).tensor("a", "int16", (64,), b"\x01" * 128, chunks=[chunk] * 2)


def cases() -> Iterator[Case]:
    """What is raw is looked at when the file is verified, the rest when it is decoded."""
    yield from _bytes()
    yield from _sums()
    yield from _compressed()


def _bytes() -> Iterator[Case]:
    draft = raw()
    for slug, at, comment in (
        ("first-tensor-first-byte", 64, "the first byte after the preamble"),
        ("first-tensor-last-byte", 73, "before a gap"),
        ("first-chunk-first-byte", 128, "the first of three chunks"),
        ("middle-chunk-middle-byte", 220, "the second of three chunks"),
        ("last-chunk-last-byte", 277, "the third of three chunks"),
        ("last-tensor-last-byte", 331, "the last byte before the index"),
    ):
        data = draft.file(columns=draft.columns(), body=flipping(at, at % 8))
        yield reject(f"flipped-{slug}", data, "CHECKSUM", "8.1", comment, phase="verify")
    data = draft.file(body=lambda body: put(body, 64, bytes(10)))
    yield reject("zeroed-first-tensor", data, "CHECKSUM", "8.1", "as a disk gives what never arrived", phase="verify")
    data = draft.file(body=lambda body: put(body, 192, body[128:192]))
    yield reject("second-chunk-like-first", data, "CHECKSUM", "8.1", "the first chunk twice", phase="verify")
    two = Draft().tensor("a", "int8", (5,)).tensor("b", "int8", (5,), b"other")
    data = two.file(body=lambda body: put(put(body, 64, body[128:133]), 128, body[64:69]))
    yield reject("tensors-swapped", data, "CHECKSUM", "8.1", "each at the place of the other", phase="verify")


def _sums() -> Iterator[Case]:
    draft = raw()
    sums = draft.columns()["sum"]
    count = len(sums) // 8
    for place, at in (("first", 0), ("middle", count // 2), ("last", count - 1)):
        held = sums[8 * at : 8 * at + 8]
        for slug, other in (
            ("zero", bytes(8)),
            ("big-endian", held[::-1]),
            ("lowest-bit", flipped(held, 0, 0)),
            ("highest-bit", flipped(held, 7, 7)),
            ("low-half", held[:4] + bytes(4)),
        ):
            made = sums[: 8 * at] + other + sums[8 * at + 8 :]
            data = draft.file(columns={"sum": made})
            yield reject(f"sum-{slug}-{place}", data, "CHECKSUM", "8.1", "of one of five chunks", phase="verify")
    swapped = sums[8:16] + sums[:8] + sums[16:]
    data = draft.file(columns={"sum": swapped})
    yield reject("sums-swapped", data, "CHECKSUM", "8.1", "the first two of five", phase="verify")
    rotated = sums[8:] + sums[:8]
    data = draft.file(columns={"sum": rotated})
    yield reject("sums-rotated", data, "CHECKSUM", "8.1", "each is that of the next chunk", phase="verify")
    whole = Draft(chunk=64).tensor("a", "uint8", (128,))
    data = whole.file(columns={"sum": u64(*[xxh3_64(ramp("uint8", (128,)))] * 2)})
    yield reject("sum-of-whole-tensor", data, "CHECKSUM", "8.1", "of the tensor instead of each chunk", phase="verify")


def _compressed() -> Iterator[Case]:
    draft = packed()
    held = draft.columns()["sum"]
    decoded = u64(xxh3_64(RUNS))
    for place, at in (("first", 0), ("middle", 1), ("last", 2)):
        made = held[: 8 * at] + decoded + held[8 * at + 8 :]
        comment = "of the decoded bytes instead of the stored ones"
        yield reject(
            f"zstd-sum-of-decoded-{place}", draft.file(columns={"sum": made}), "CHECKSUM", "8.1", comment, phase="read"
        )
        data = draft.file(body=flipping(64 + 10 * at + 9, 1))
        comment = "the byte of the run: the frame decodes, to other elements"
        yield reject(f"zstd-flipped-content-{place}", data, "CHECKSUM", "8.1", comment, phase="read")
    data = draft.file(body=flipping(64, 0))
    yield reject("zstd-flipped-magic", data, "CHECKSUM", "10.3", "the checksum comes before the frame", phase="read")
    planar = apart()
    size = len(planar.entries[0].chunks[0][1])
    for place, at in (("first", 64 + 10), ("last", 64 + 2 * size - 1)):
        data = planar.file(body=flipping(at, 2))
        yield reject(f"planes-flipped-{place}-chunk", data, "CHECKSUM", "8.1", "a byte of a plane", phase="read")
    data = planar.file(body=flipping(64, 7))
    yield reject("planes-flipped-mode", data, "CHECKSUM", "10.3", "the checksum comes before the modes", phase="read")
    mixed = Draft(chunk=64).tensor("a", "uint8", (128,), RUNS * 2, chunks=[(ZSTD, FRAME), (RAW, RUNS)])
    data = mixed.file(body=flipping(80, 2))
    yield reject(
        "raw-chunk-behind-compressed",
        data,
        "CHECKSUM",
        "8.1",
        "a raw chunk of a tensor that is not mapped",
        phase="verify",
    )
