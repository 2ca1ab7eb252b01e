"""Ratio and window of zstd frames."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from .. import blocks
from ..blocks import RLE, header
from ..case import MEMORY_MIB, Case, accept, reject
from ..draft import PLANES, ZSTD, Draft, u64
from ..planes import stored
from .base import RATIO, WINDOW


def cases() -> Iterator[Case]:
    """Row by row of the table."""
    yield from _ratio()
    yield from _window()


def _declares(dtype: str, count: int, codec: int, chunk: bytes) -> bytes:
    """A file with a tensor of so many elements, stored as one chunk."""
    return Draft().tensor("limit", dtype, (1,), chunks=[(codec, chunk)]).file(columns={"dims": u64(count)})


def _ratio() -> Iterator[Case]:
    """MAX_ZSTD_RATIO, which no frame reaches: its blocks alone have 4 bytes for 131072."""
    highest = blocks.rle_frame(0x2A, 2**20)
    draft = Draft().tensor("limit", "uint8", (2**20,), b"\x2a" * 2**20, chunks=[(ZSTD, highest)])
    yield accept("ratio-of-rle-blocks", draft, "6.2", "41 bytes for 2^20: about as many as a frame can")
    memory = MEMORY_MIB + 1
    six = bytes.fromhex("28b52ffd a000")
    comment = "32768 times its 6 bytes are allowed; they are no frame"
    yield reject(
        "ratio-of-zstd-at",
        _declares("uint8", 6 * RATIO, ZSTD, six),
        "CODEC",
        "6.2",
        comment,
        phase="read",
        memory=memory,
    )
    comment = "32768 times its 6 bytes, and one"
    yield reject("ratio-of-zstd-beyond", _declares("uint8", 6 * RATIO + 1, ZSTD, six), "LIMIT", "6.2", comment, step=39)
    twelve = bytes([RLE, *bytes(11)])
    comment = "32768 times its 12 bytes are allowed; they are no planes"
    yield reject(
        "ratio-of-planes-at",
        _declares("int16", 6 * RATIO, PLANES, twelve),
        "CODEC",
        "6.3",
        comment,
        phase="read",
        memory=memory,
    )
    comment = "32768 times its 12 bytes, and one element"
    yield reject(
        "ratio-of-planes-beyond", _declares("int16", 6 * RATIO + 1, PLANES, twelve), "LIMIT", "6.3", comment, step=39
    )
    for slug, more, code in (("at", 0, "CODEC"), ("beyond", 1, "LIMIT")):
        count = 9 * RATIO + more
        plane = header(count)
        chunk = stored([(ZSTD, blocks.rle_frame(1, count)), (ZSTD, plane)])
        comment = f"32768 times the 9 bytes of a plane{', and one' * more}: a header without blocks"
        data = _declares("int16", count, PLANES, chunk)
        yield reject(f"ratio-of-a-plane-{slug}", data, code, "6.2", comment, phase="read", memory=memory)


def _window() -> Iterator[Case]:
    """MAX_ZSTD_WINDOW: exponent 16 is 2^26, and the least more is an eighth of it."""
    windows: list[tuple[str, int, bool]] = [
        ("at", 16 << 3, True),
        ("beyond", 16 << 3 | 1, False),
        ("of-128-mib", 17 << 3, False),
        ("largest", 0xFF, False),
    ]
    memory = MEMORY_MIB + WINDOW // 2**20  # for a decoder that allocates its window
    for slug, window, allowed in windows:
        comment = f"a window of {(1 << 10 + (window >> 3)) + (window & 7) * (1 << 7 + (window >> 3))} bytes"
        frame = blocks.rle_frame(7, 600, window=window)
        chunk = Draft().tensor("limit", "uint8", (600,), b"\7" * 600, chunks=[(ZSTD, frame)])
        parts = stored([(ZSTD, blocks.rle_frame(7, 600)), (ZSTD, frame)])
        plane = Draft().tensor("limit", "uint16", (600,), b"\7" * 1200, chunks=[(PLANES, parts)])
        index = Draft(metadata={"limit": "w" * 300}).value("x")
        held = index.file(stored=_windowed(window))
        for place, draft, data, phase, step in (
            ("chunk", chunk, chunk.file(), "read", None),
            ("plane", plane, plane.file(), "read", None),
            ("index", index, held, "open", 16),
        ):
            name = f"window-of-a-{place}-{slug}".replace("a-index", "an-index")
            if allowed:
                yield accept(name, draft, "6.2", comment, data, memory=memory)
            else:
                yield reject(name, data, "LIMIT", "6.2", comment, phase=phase, step=step)


def _windowed(window: int) -> Callable[[bytes], bytes]:
    return lambda index: blocks.raw_frame(index, window=window)
