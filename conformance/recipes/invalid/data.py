"""Elements with bits that their type does not allow (spec sections 5.1 and 5.3). Whoever verifies a file finds them."""

from __future__ import annotations

from collections.abc import Iterator

from .. import blocks
from ..case import Case, reject
from ..draft import RAW, ZSTD, Draft
from ..elements import BITS, ramp
from .base import put

BOOLS = (2, 3, 4, 16, 127, 128, 129, 254, 255)
PACKED = ("int2", "uint2", "int4", "uint4", "float4_e2m1fn")


def cases() -> Iterator[Case]:
    """No step: nothing of this is looked at when the file is opened."""
    yield from _bools()
    yield from _tails()


def _refused(slug: str, draft: Draft, section: str, comment: str) -> Case:
    return reject(slug, draft.file(), "DATA", section, comment, phase="verify")


def _bools() -> Iterator[Case]:
    for byte in BOOLS:
        made = Draft().tensor("a", "bool", (5,), b"\0\1" + bytes([byte]) + b"\1\0")
        yield _refused(f"bool-{byte}", made, "5.1", "neither false nor true")
    good = ramp("bool", (100,))
    for place, at in (("first", 0), ("second", 1), ("before-last", 98), ("last", 99)):
        made = Draft().tensor("a", "bool", (100,), good[:at] + b"\2" + good[at + 1 :])
        yield _refused(f"bool-{place}-element", made, "5.1", "one of a hundred")
    for place, at in (("first", 5), ("middle", 70), ("last", 149)):
        made = Draft(chunk=64).tensor("a", "bool", (150,), put(ramp("bool", (150,)), at, b"\x80"))
        yield _refused(f"bool-in-{place}-chunk", made, "5.1", "one of three chunks")
    for wrong in range(3):
        made = Draft()
        for number in range(3):
            made.tensor(f"t{number}", "bool", (3,), b"\0\xff\1" if number == wrong else b"\0\1\1")
        yield _refused(f"bool-in-tensor-{wrong}", made, "5.1", "one of three tensors")
    yield _refused("bool-scalar", Draft().tensor("a", "bool", (), b"\2"), "5.1", "a tensor without axes")
    made = Draft().tensor("a", "bool", (64,), b"\2" * 64, chunks=[(ZSTD, blocks.rle_frame(2, 64))])
    yield _refused("bool-compressed", made, "5.1", "in a frame that is right")
    runs = bytes(100) + b"\1" * 99 + b"\3"
    frame = blocks.header(200) + blocks.rle_blocks(0, 100, last=False) + blocks.rle_blocks(1, 99, last=False)
    frame += blocks.rle_blocks(3, 1)
    made = Draft().tensor("a", "bool", (200,), runs, chunks=[(ZSTD, frame)])
    yield _refused("bool-compressed-last-element", made, "5.1", "in a frame that is right")
    data = b"\1" * 64 + b"\2" + bytes(9)
    made = Draft(chunk=64).tensor("a", "bool", (74,), data, chunks=[(ZSTD, blocks.rle_frame(1, 64)), (RAW, data[64:])])
    yield _refused("bool-raw-behind-compressed", made, "5.1", "in the second chunk, which is raw")
    made = Draft().tensor("a", "bool", (2, 3, 4), b"\1" * 23 + b"\x11").alias("b", "a", (2, 1, 0))
    yield _refused("bool-with-alias", made, "5.1", "a tensor that stands at two paths")


def _tails() -> Iterator[Case]:
    """Each type, each number of elements in the last byte, the lowest and the highest bit after them."""
    for dtype in PACKED:
        bits = BITS[dtype]
        name = dtype.replace("_", "-")
        for count in range(1, 8 // bits):
            for place, bit in (("lowest", count * bits), ("highest", 7)):
                data = bytes([ramp(dtype, (count,))[0] | 1 << bit])
                comment = f"bit {bit} of the only byte"
                yield _refused(
                    f"tail-{name}-of-{count}-{place}-bit", Draft().tensor("a", dtype, (count,), data), "5.3", comment
                )
    for dtype, count in (("int4", 129), ("uint2", 257), ("float4_e2m1fn", 131)):
        data = ramp(dtype, (count,))
        made = Draft(chunk=64).tensor("a", dtype, (count,), data[:-1] + bytes([data[-1] | 0x80]))
        name = dtype.replace("_", "-")
        yield _refused(f"tail-{name}-in-last-chunk", made, "5.3", "the last chunk holds the rest")
    for wrong in range(3):
        made = Draft()
        for number in range(3):
            made.tensor(f"t{number}", "int4", (3,), b"\x21\x13" if number == wrong else b"\x21\x03")
        yield _refused(f"tail-in-tensor-{wrong}", made, "5.3", "one of three tensors")
    made = Draft().tensor("a", "int4", (3, 3), bytes.fromhex("2103540617")[:4] + b"\x19")
    yield _refused("tail-of-matrix", made, "5.3", "packing runs through the rows")
    made = Draft().tensor("a", "uint4", (), b"\xf1")
    yield _refused("tail-of-scalar", made, "5.3", "a tensor without axes")
    frame = blocks.header(64) + blocks.rle_blocks(0x11, 63, last=False) + blocks.rle_blocks(0x21, 1)
    made = Draft().tensor("a", "int4", (127,), b"\x11" * 63 + b"\x21", chunks=[(ZSTD, frame)])
    yield _refused("tail-compressed", made, "5.3", "in a frame that is right")
    made = Draft().tensor("a", "int2", (253,), b"\xff" * 64, chunks=[(ZSTD, blocks.rle_frame(0xFF, 64))])
    yield _refused("tail-compressed-sign", made, "5.3", "as if the last element went on")
