"""Codec zstd (spec section 6.2): frames by hand, and the frozen ones with compressed blocks."""

from __future__ import annotations

from collections.abc import Iterator

from .. import blocks, frames, frames_by_hand
from ..blocks import COMPRESSED, RAW, RLE, block, header, raw_blocks, rle_blocks
from ..case import Case, accept
from ..draft import Draft
from ..elements import ramp
from .base import held, zstd

_RUN = b"\x2a" * 100


def cases() -> Iterator[Case]:
    """Headers, blocks, compressed blocks, and chunks of tensors."""
    yield from _headers()
    yield from _blocks()
    yield from _tensors()
    for slug, frame in frames.FRAMES.items():
        yield _frame(f"libzstd-{slug}", frame.content, frame.stored, "a frame that libzstd made")
    for slug, frame in frames_by_hand.FRAMES.items():
        yield _frame(
            f"rfc-{slug}", frame.content, frame.stored, "compressed blocks that libzstd reads and does not make"
        )


def _frame(slug: str, content: bytes, frame: bytes, comment: str) -> Case:
    return accept(slug, held(content, zstd(frame)), "6.2", comment)


def _headers() -> Iterator[Case]:
    def run(
        slug: str, comment: str, count: int, width: int | None = None, window: int | None = None, descriptor: int = 0
    ) -> Case:
        frame = header(count, width=width, window=window, descriptor=descriptor) + rle_blocks(0x2A, count, 1024)
        return _frame(f"header-{slug}", b"\x2a" * count, frame, comment)

    yield _frame("example", _RUN, bytes.fromhex("28b52ffd 20 64 230300 2a"), "the example of section 6.2")
    yield run("size-255", "the most that 1 byte of content size holds", 255)
    yield run("size-256", "the least that 2 bytes hold, stored as 0", 256)
    yield run("size-511", "2 bytes, stored as 255", 511)
    yield run("size-512", "2 bytes, stored as 256", 512)
    yield run("size-65791", "the most that 2 bytes hold", 65791)
    yield run("size-65792", "the least that needs 4 bytes", 65792)
    yield run("size-in-4-bytes", "a small content in 4 bytes: no width is forbidden", 100, width=4)
    yield run("size-in-8-bytes", "a small content in 8 bytes", 100, width=8)
    for width in (2, 4, 8):
        yield run(f"window-size-in-{width}-bytes", "a byte for the window, then the size", 300, width=width, window=0)
    yield run("unused-bit", "bit 4 of the descriptor is to be ignored", 101, descriptor=0x10)
    yield run(
        "unused-bit-and-window", "bit 4 of the descriptor, without a single segment", 301, descriptor=0x10, window=0
    )
    yield run(
        "unused-bit-and-8-bytes", "bit 4 of the descriptor beside the longest size", 102, descriptor=0x10, width=8
    )
    yield run("window-of-1-kib", "the least window, and a content ten times as long", 10240, window=0)
    yield run("window-of-8-mib", "a window much larger than the content", 303, window=13 << 3)
    yield run("window-of-15-eighths", "exponent 3, mantissa 7: 15360 bytes", 304, window=3 << 3 | 7)


def _blocks() -> Iterator[Case]:
    def made(slug: str, comment: str, content: bytes, body: bytes, window: int | None = None) -> Case:
        return _frame(f"blocks-{slug}", content, header(len(content), window=window) + body, comment)

    text = bytes(range(1, 41))
    stars = block(RLE, 100, b"\x2a", last=True)
    yield made("raw-then-rle", "two types", text + _RUN, block(RAW, 40, text, last=False) + stars)
    run = block(RLE, 100, b"\x2a", last=False)
    yield made("rle-then-raw", "two types, the raw one last", _RUN + text, run + block(RAW, 40, text, last=True))
    long = block(RLE, 300, b"\x2a", last=True)
    pieces = b"".join(block(RAW, 1, bytes([n]), last=False) for n in text)
    yield made("of-1-byte", "forty raw blocks of a byte", text + _RUN * 3, pieces + long)
    ones = b"".join(block(RLE, 1, bytes([n]), last=False) for n in text)
    yield made("rle-of-1-byte", "forty RLE blocks of a byte", text + _RUN * 3, ones + long)
    first = block(RAW, 40, text, last=False)
    nothing = block(RAW, 0, b"", last=True)
    yield made("last-empty", "a raw block of no bytes ends the frame", text + _RUN, first + run + nothing)
    none = block(RAW, 0, b"", last=False)
    yield made("first-empty", "a raw block of no bytes begins it", text + _RUN, none + first + stars)
    yield made("middle-empty", "a raw block of no bytes in it", text + _RUN, first + none + none + stars)
    nil = block(RLE, 0, b"\x23", last=False)
    yield made("rle-empty", "an RLE block of no bytes has its byte all the same", text + _RUN, first + nil + stars)
    whole = ramp("uint8", (100,))
    body = block(RAW, 100, whole, last=False) + block(RLE, 400, b"\0", last=True)
    yield made("raw-then-long-rle", "a raw block, and an RLE block four times as long", whole + bytes(400), body)
    body = block(RAW, 40, text, last=False) + block(RLE, 14, b"\7", last=True)
    yield made("one-byte-saved", "53 stored bytes for 54", text + b"\7" * 14, body)
    kib = ramp("uint8", (1024,))
    body = block(RAW, 1024, kib, last=False) + block(RLE, 1024, b"\x2a", last=True)
    yield made("of-the-window", "blocks as long as the window of 1 KiB", kib + b"\x2a" * 1024, body, window=0)
    body = rle_blocks(0, 1152 * 3, 1152)
    yield made(
        "of-a-window-of-1152", "blocks as long as a window that is no power of two", bytes(1152 * 3), body, window=1
    )
    body = rle_blocks(7, 131072 * 2 + 1, 131072)
    yield made("of-131072", "the longest blocks, and one byte", b"\7" * (131072 * 2 + 1), body)
    zeros = rle_blocks(0, 300, last=False) + raw_blocks(text, 7)
    yield made("many", "seven in a row", bytes(300) + text, zeros)
    # Literals: raw, none; LL, OF and ML RLE; 1 sequence: the 131 bytes at a distance of 3500.
    match = block(COMPRESSED, 9, bytes.fromhex("000154000b2b80d706"), last=True)
    content = b"".join(bytes([n]) * 1024 for n in (1, 2, 3, 4)) + b"\1" * 131
    runs = b"".join(rle_blocks(n, 1024, last=False) for n in (1, 2, 3, 4))
    yield accept(
        "match-beyond-the-window",
        held(content, zstd(header(len(content), window=0) + runs + match)),
        "6.2",
        "a match reaches back 3500 bytes, the window is 1024: refused, or copied from there",
        codes=("CODEC",),
    )


def _tensors() -> Iterator[Case]:
    """Frames as chunks of tensors of every width."""
    zeros = zstd(blocks.rle_frame(0, 64))
    ones = zstd(blocks.rle_frame(1, 64))
    for name, shape in (
        ("bool", (64,)),
        ("int4", (128,)),
        ("uint2", (256,)),
        ("float8_e8m0fnu", (64,)),
        ("float16", (32,)),
        ("int32", (4, 4)),
        ("float64", (8,)),
        ("complex128", (2, 2)),
    ):
        slug = name.replace("_", "-")
        yield accept(f"of-{slug}", held(b"\1" * 64, ones, dtype=name, shape=shape), "6.2", "one chunk")
    tail = zstd(blocks.runs_frame([(255, 20), (1, 1)]))
    yield accept(
        "tail", held(b"\xff" * 20 + b"\1", tail, dtype="int4", shape=(41,)), "5.3", "a half byte ends the frame"
    )

    def mixed(slug: str, comment: str, draft: Draft) -> Case:
        return accept(slug, draft, "6.2", comment)

    two = Draft(chunk=64).tensor("x", "uint8", (128,), bytes(64) + b"\1" * 64, chunks=[zeros, ones])
    yield mixed("two-chunks", "a frame for each chunk", two)
    raw = ramp("uint8", (64,))
    turns = Draft(chunk=64).tensor(
        "x", "uint8", (256,), raw + bytes(64) + raw + b"\1" * 64, chunks=[(0, raw), zeros, (0, raw), ones]
    )
    yield mixed("raw-and-zstd-in-turn", "each chunk has its own codec", turns)
    last = Draft(chunk=64).tensor(
        "x", "uint8", (96,), raw + bytes(32), chunks=[(0, raw), zstd(blocks.rle_frame(0, 32))]
    )
    yield mixed("short-last-chunk", "the content size is that of the last chunk", last)
    first = Draft(chunk=64).tensor("x", "uint8", (66,), bytes(64) + b"ab", chunks=[zeros, (0, b"ab")])
    yield mixed("raw-last-chunk", "a last chunk that is too small to shrink", first)
    same = Draft(chunk=64).tensor("x", "uint8", (640,), bytes(640), chunks=[zeros] * 10)
    yield mixed("same-frames", "ten chunks of the same stored bytes", same)
    many = Draft(chunk=64)
    for i in range(5):
        many.tensor(f"t{i}", "uint8", (64,), bytes([i]) * 64, chunks=[zstd(blocks.rle_frame(i, 64))])
    yield mixed("several-tensors", "frames with gaps between them", many)
