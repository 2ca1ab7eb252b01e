"""Frames and planes that break two rules: the first one decides (spec sections 6.2, 6.3 and 10.3)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from .. import blocks, planes, spoilt
from ..blocks import MAGIC, RAW, RESERVED, RLE, block, header
from ..case import Case, reject
from ..draft import u64
from .base import index_of, sample
from .planes import chunked as planar
from .planes import elements, stored
from .zstd_header import SIZE, chunked

OVER = 0x88  # a window of 128 MiB


@dataclass(frozen=True)
class Both:
    """Two faults, of which the first decides, and the frame that has them."""

    slug: str
    code: str
    frame: bytes


def windowed(data: bytes) -> Iterator[Both]:
    """Faults before and behind a window that is too large, for any content."""
    size, rest = len(data), spoilt.blocks_of(data)
    head = header(size, window=OVER, width=8)
    yield Both("magic-before-window", "CODEC", b"\0" + head[1:] + rest)
    yield Both("skippable-before-window", "CODEC", spoilt.SKIPPABLE + bytes(4) + head + rest)
    yield Both("header-cut-before-window", "CODEC", head[:-1])
    yield Both("no-size-before-window", "CODEC", header(None, window=OVER) + rest)
    yield Both("size-before-window", "CODEC", header(size + 1, window=OVER, width=8) + rest)
    yield Both("checksum-before-window", "CODEC", header(size, window=OVER, width=8, descriptor=4) + rest + bytes(4))
    yield Both("reserved-bit-before-window", "CODEC", header(size, window=OVER, width=8, descriptor=8) + rest)
    named = header(size, window=OVER, width=8, dictionary=bytes(4))
    yield Both("dictionary-before-window", "CODEC", named + rest)
    yield Both("window-before-no-block", "LIMIT", head)
    yield Both("window-before-type-3", "LIMIT", head + block(RESERVED, size, data[:1], last=True))
    yield Both("window-before-block-size", "LIMIT", head + block(RLE, 2**17 + 1, data[:1], last=True))
    yield Both("window-before-last-missing", "LIMIT", head + spoilt.blocks_of(data, last=False))
    yield Both("window-before-junk", "LIMIT", head + rest + b"junk")
    yield Both("window-before-second-frame", "LIMIT", head + rest + header(0) + block(RAW, 0, b"", last=True))
    yield Both("window-before-content", "LIMIT", head + spoilt.blocks_of(data[:-1]))
    yield Both("window-before-corrupt-block", "LIMIT", head + block(blocks.COMPRESSED, 2, b"\xff\xff", last=True))


def cases() -> Iterator[Case]:
    """In a chunk, in a plane, in the index; then what planes alone have."""
    for both in windowed(b"\7" * SIZE):
        data = chunked(both.frame).file()
        yield reject(both.slug, data, both.code, "6.2", "in a chunk", phase="read")
    first, second = (bytes([n]) * 192 for n in (2, 1))
    for both in windowed(first):
        raw = planes.stored([(planes.ZSTD, both.frame), (planes.ZSTD, spoilt.whole(second))])
        data = planar("int16", raw).file()
        yield reject(f"plane-{both.slug}", data, both.code, "6.2", "in a plane", phase="read")
    for both in windowed(index_of(sample())):
        data = sample().file(stored=_giving(both.frame))
        yield reject(f"index-{both.slug}", data, both.code, "6.2", "in the index", step=16)
    yield from _sums()
    yield from _planes()
    yield from _ratio()


def _giving(frame: bytes) -> Callable[[bytes], bytes]:
    return lambda index: frame


def _sums() -> Iterator[Case]:
    """The checksum of a chunk comes before its frame or planes."""
    over = header(SIZE, window=OVER, width=8) + spoilt.blocks_of(b"\7" * SIZE)
    for slug, draft, section in (
        ("sum-before-window", chunked(over), "6.2"),
        ("sum-before-frame", chunked(MAGIC[::-1] + bytes(8)), "6.2"),
        ("sum-before-heads", planar("int16", b"\3" * 9), "6.3"),
    ):
        sums = draft.columns()["sum"]
        wrong = sums[:-16] + u64(0) + sums[-8:] if section == "6.3" else sums[:16] + u64(0) + sums[24:]
        comment = "the checksum of the stored bytes is wrong too"
        yield reject(slug, draft.file(columns={"sum": wrong}), "CHECKSUM", "10.3", comment, phase="read")


def _planes() -> Iterator[Case]:
    """Plane by plane: of each its mode and length, whether it is there, and its content."""
    n = 192
    good = stored("int16", elements("int16"))
    over = header(n, window=OVER, width=8) + blocks.rle_blocks(2, n)
    limit = planes.ZSTD, over
    long = header(n, window=OVER, width=8) + block(RLE, n, b"\2", last=False) + block(RAW, 0, b"", last=False) * 57
    full = planes.ZSTD, long + block(RAW, 0, b"", last=True)
    if len(full[1]) != n:
        raise ValueError(f"{len(full[1])} bytes")
    whole = planes.stored([limit, good[1]])
    for slug, code, raw in (
        ("window-of-plane-0-before-mode-of-plane-1", "LIMIT", planes.stored([limit, (3, b"frame")])),
        ("window-of-plane-0-before-length-of-plane-1", "LIMIT", planes.stored([limit, (planes.RAW, b"short")])),
        ("window-of-plane-0-before-missing-plane-1", "LIMIT", whole[: -len(good[1][1])]),
        ("window-of-plane-0-before-frame-of-plane-1", "LIMIT", planes.stored([limit, (planes.ZSTD, b"no frame")])),
        ("window-of-plane-0-before-positions-of-plane-1", "LIMIT", planes.stored([limit, (planes.SEVENS, b"\1")])),
        ("window-of-plane-0-before-bytes-behind", "LIMIT", whole + b"behind"),
        ("window-of-plane-1-before-bytes-behind", "LIMIT", planes.stored([good[0], limit]) + b"behind"),
        ("mode-of-plane-0-before-window-of-plane-1", "CODEC", planes.stored([(3, good[0][1]), limit])),
        ("length-of-plane-0-before-window-of-plane-1", "CODEC", planes.stored([(planes.RAW, b"short"), limit])),
        ("frame-of-plane-0-before-window-of-plane-1", "CODEC", planes.stored([(planes.ZSTD, b"no frame"), limit])),
        ("positions-of-plane-0-before-window-of-plane-1", "CODEC", planes.stored([(planes.SEVENS, b"\1"), limit])),
        ("length-before-window", "CODEC", planes.stored([full, good[1]])),
        ("mode-before-window", "CODEC", planes.stored([(3, over), good[1]])),
        ("missing-before-window", "CODEC", planes.stored([good[0], limit])[:-1]),
    ):
        yield reject(slug, planar("int16", raw).file(), code, "6.3", "two faults in planes", phase="read")


def _ratio() -> Iterator[Case]:
    """Only a plane can be told to be so long: of a chunk the index says it. No frame decodes to as much."""
    count = 32768 * 20
    other = planes.ZSTD, header(count) + blocks.rle_blocks(1, count)
    rest = block(RLE, 2**17, b"\2", last=True)
    for slug, code, frame in (
        ("size-before-ratio", "CODEC", header(count + 1) + rest),
        ("no-size-before-ratio", "CODEC", header(None, window=0x58) + rest),
        ("magic-before-ratio", "CODEC", b"\0" + header(count)[1:] + rest),
        ("reserved-bit-before-ratio", "CODEC", header(count, descriptor=8) + rest),
        ("dictionary-before-ratio", "CODEC", header(count, dictionary=b"\1") + rest),
        ("ratio-before-type-3", "LIMIT", header(count) + block(RESERVED, 9, b"\2", last=True)),
        ("ratio-before-no-block", "LIMIT", header(count)),
        ("ratio-before-junk", "LIMIT", header(count) + rest + b"\0"),
    ):
        data = planar("int16", planes.stored([(planes.ZSTD, frame), other]), count, elements("int16", count)).file()
        yield reject(slug, data, code, "6.2", "more than 32768 times as much", phase="read")
