"""Codec planes (spec section 6.3): every type, every mode at every place, every size of mode 2."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .. import blocks, frames, frames_by_hand
from ..case import Case, accept
from ..draft import RAW, Draft
from ..elements import BITS, COMPONENTS, REGROUPED, ramp
from ..planes import SEVENS, ZSTD, Stored, apart, sevens, stored, together
from .base import held, planes, zstd

_TYPES = [name for name, bits in BITS.items() if bits // COMPONENTS.get(name, 1) >= 16]


def cases() -> Iterator[Case]:
    """By type, by mode and by size; then beside other codecs."""
    yield from _types()
    yield from _modes()
    yield from _sevens()
    yield from _frames()
    yield from _every_number()
    yield from _chunks()


def _chunk(dtype: str, parts: Sequence[tuple[bytes, Stored]]) -> tuple[bytes, bytes]:
    """Decoded and stored bytes of a chunk of planes, each with how it is stored."""
    raw = [plane for plane, _ in parts]
    data = together(dtype, raw)
    if apart(dtype, data) != raw:
        raise ValueError(f"{dtype}: taken apart the planes are others")
    return data, stored([how for _, how in parts])


def _case(slug: str, dtype: str, parts: Sequence[tuple[bytes, Stored]], comment: str) -> Case:
    data, chunk = _chunk(dtype, parts)
    draft = held(data, planes(chunk), dtype=dtype, shape=(len(parts[0][0]),))
    return accept(slug, draft, "6.3", comment)


def _run(byte: int, count: int) -> tuple[bytes, Stored]:
    return bytes([byte]) * count, (ZSTD, blocks.rle_frame(byte, count))


def _as_is(plane: bytes) -> tuple[bytes, Stored]:
    return plane, (RAW, plane)


def _seven(plane: bytes) -> tuple[bytes, Stored]:
    return plane, (SEVENS, sevens(plane))


def _low(count: int, ones: Sequence[int] = (), first: int = 3) -> bytes:
    """A plane that has bit 6 at these places alone; its other bits are all sorts."""
    return bytes(byte & 0xBF | 0x40 * (place in ones) for place, byte in enumerate(ramp("uint8", (count,), first)))


def _types() -> Iterator[Case]:
    for name in _TYPES:
        size = BITS[name] // 8
        note = "regrouped" if name in REGROUPED else "not regrouped"
        runs = [_run(0xA5 ^ 17 * i, 40) for i in range(size)]
        yield _case(f"{name}-zstd", name, runs, f"each plane another byte; {note}")
        least = [_run(0x5A ^ 13 * i, 16) for i in range(size)]
        yield _case(f"{name}-least", name, least, "16 elements: with fewer, planes are longer than the chunk")
        parts = [_run(i, 90) if i % 2 else _as_is(ramp("uint8", (90,), i)) for i in range(size)]
        yield _case(f"{name}-in-turn", name, parts, "raw planes and zstd planes in turn")
        small = [_seven(_low(80, first=i)) for i in range(size)]
        yield _case(f"{name}-sevens", name, small, "mode 2 alone: one byte fewer than the chunk for each plane")


def _modes() -> Iterator[Case]:
    """Each mode at each place, the other planes being runs."""
    for name in ("bfloat16", "int16", "float32", "uint32", "float64", "complex64"):
        size = BITS[name] // 8
        for place in range(size):
            for mode, part in (("raw", _as_is(ramp("uint8", (120,)))), ("sevens", _seven(_low(120, (7, 110))))):
                parts = [part if i == place else _run(0x3C + i, 120) for i in range(size)]
                yield _case(f"{name}-{mode}-at-{place}", name, parts, f"plane {place} of {size}")
    for place in (0, 7, 8, 15):
        parts = [_seven(_low(120, (0, 119))) if i == place else _run(i, 120) for i in range(16)]
        yield _case(f"complex128-sevens-at-{place}", "complex128", parts, f"plane {place} of 16")
    three = [_run(0x7F, 200), _seven(_low(200, (5, 6, 199))), _as_is(ramp("uint8", (200,))), _run(0, 200)]
    yield _case("all-modes", "float32", three, "all three modes in a chunk")
    backward = [_as_is(ramp("uint8", (200,), 9)), _run(1, 200), _seven(_low(200)), _run(2, 200)]
    yield _case("all-modes-in-another-order", "int32", backward, "all three modes in a chunk, raw first")
    one = [_run(0, 64), _as_is(ramp("uint8", (64,)))]
    yield _case("same-bytes-as-without-planes", "uint16", one, "a plane that is raw among shorter ones")


def _sevens() -> Iterator[Case]:
    """Mode 2: every remainder by 8, and the exceptions at every end."""

    def made(slug: str, plane: bytes, comment: str) -> Case:
        return _case(f"sevens-{slug}", "bfloat16", [_run(0x7E, len(plane)), _seven(plane)], comment)

    for n in range(160, 168):
        comment = f"{n % 8} more than a multiple of 8"
        yield made(f"of-{n}", _low(n), comment)
        yield made(f"of-{n}-all-ones", bytes([0xBF]) * n, f"{comment}; all bits but bit 6")
        yield made(f"of-{n}-exceptions", _low(n, (0, n - 1)), f"{comment}; bit 6 in the first and in the last byte")
    for n, left in ((40, 0), (47, 7), (54, 6), (61, 5), (68, 4), (75, 3), (82, 2), (89, 1)):
        yield made(
            f"least-of-{n}", _low(n, first=n), f"{left} more than a multiple of 8: one byte fewer than the plane"
        )
    part = 125
    for slug, ones, comment in (
        ("first", (0,), "the first byte alone"),
        ("last", (999,), "the last byte alone, which is spread over others"),
        ("ends-of-a-part", (part - 1, part), "the end of a part and the begin of the next"),
        ("the-spread-part", (7 * part, 7 * part + 1, 999), "bytes that are spread over others"),
        ("before-the-spread-part", (7 * part - 1,), "the last byte that is not spread"),
        ("neighbours", tuple(range(500, 510)), "ten in a row"),
        ("most", tuple(range(0, 990, 33)), "thirty: one more would be as long as the plane"),
    ):
        yield made(f"exceptions-{slug}", _low(1000, ones), comment)
    example = bytes.fromhex(
        "01000000 09000000 00410243044506470 8c9 4a4b0c0d4e4f10115253 54551617181 95a5b5c5d 1e5f6061626364656667"
        "28692a2b2c2d2e2f3031 32733435363738393a3b 3c7d3e3f000102030405".replace(" ", "")
    )
    plane = bytearray([*range(64), *range(16)])
    plane[9], plane[71] = 0xC9, 0xBF
    yield _case("example", "uint16", [_run(0, 80), (bytes(plane), (SEVENS, example))], "the example of section 6.3")


def _frames() -> Iterator[Case]:
    """Mode 1: frames of other kinds than RLE."""
    kept = {**frames.FRAMES, **frames_by_hand.FRAMES}
    for slug in (
        "weights-fse",
        "four-streams-14-bits",
        "treeless-one-stream",
        "ml-repeat",
        "words-level-3",
        "tree-kept",
    ):
        frame = kept[slug]
        count = len(frame.content)
        parts = [_run(1, count), (frame.content, (ZSTD, frame.stored))]
        yield _case(f"frame-{slug}", "int16", parts, "a plane with compressed blocks")
    both = kept["one-stream"], kept["weights-odd"]
    parts = [(frame.content, (ZSTD, frame.stored)) for frame in both]
    yield _case("frame-in-both-planes", "bfloat16", parts, "both planes with compressed blocks")
    text = ramp("uint8", (40,))
    body = blocks.block(blocks.RAW, 40, text, last=False) + blocks.block(blocks.RLE, 14, b"\7", last=True)
    tight = text + b"\7" * 14, (ZSTD, blocks.header(54) + body)
    yield _case("frame-one-byte-saved", "uint16", [tight, _run(0, 54)], "a plane of 54 bytes in 53")
    windowed = b"\7" * 2000, (ZSTD, blocks.rle_frame(7, 2000, size=1024, window=0))
    yield _case("frame-with-a-window", "uint16", [windowed, _as_is(ramp("uint8", (2000,)))], "a window of 1 KiB")
    unused = b"\7" * 100, (ZSTD, blocks.header(100, descriptor=0x10) + blocks.rle_blocks(7, 100))
    yield _case("frame-with-the-unused-bit", "uint16", [unused, _run(3, 100)], "bit 4 of the descriptor")


def _every_number() -> Iterator[Case]:
    """All 65536 patterns of the upper 16 bits, in the order of the regrouped ones."""
    high = b"".join(bytes([n]) * 256 for n in range(256))
    first = high, (ZSTD, blocks.runs_frame([(n, 256) for n in range(256)]))
    frame = frames_by_hand.FRAMES["every-byte-256-times"]
    second = frame.content, (ZSTD, frame.stored)
    for name in ("bfloat16", "float16", "float32"):
        rest = [_run(0, 65536)] * (BITS[name] // 8 - 2)
        comment = "every pattern of the upper 16 bits, NaN and subnormal numbers too"
        yield _case(f"every-{name}", name, [first, second, *rest], comment)


def _chunks() -> Iterator[Case]:
    """Chunks of planes beside others."""
    data, chunk = _chunk("float16", [_run(0x3C, 32), _run(7, 32)])
    small = Draft(chunk=64).tensor("x", "float16", (64,), data * 2, chunks=[planes(chunk)] * 2)
    yield accept("chunks-of-64", small, "6.3", "32 elements of 2 bytes in a chunk")
    quads, chunk = _chunk("int32", [_run(i, 16) for i in range(4)])
    draft = Draft(chunk=64).tensor("x", "int32", (4, 4), quads, chunks=[planes(chunk)])
    yield accept("chunk-of-64-of-int32", draft, "6.3", "16 elements of 4 bytes: 60 stored bytes for 64")
    long, first = _chunk("float32", [_run(0x7E, 64), _seven(_low(64)), _run(1, 64), _run(2, 64)])
    short, last = _chunk("float32", [_run(0x7D + i, 20) for i in range(4)])
    draft = Draft(chunk=256).tensor("x", "float32", (84,), long + short, chunks=[planes(first), planes(last)])
    yield accept("short-last-chunk", draft, "6.3", "the last chunk has fewer elements, and other modes")
    raw = ramp("float32", (64,))
    zeros = zstd(blocks.rle_frame(0, 256))
    chunks = [planes(first), (RAW, raw), zeros, planes(first), (RAW, raw[:8])]
    mixed = Draft(chunk=256).tensor("x", "float32", (258,), long + raw + bytes(256) + long + raw[:8], chunks=chunks)
    yield accept("all-codecs", mixed, "6", "planes, raw and zstd in the chunks of one tensor")
    turned = Draft(chunk=256).tensor(
        "x", "float32", (192,), raw + bytes(256) + long, chunks=[(RAW, raw), zeros, planes(first)]
    )
    yield accept("all-codecs-raw-first", turned, "6", "raw, zstd and planes in the chunks of one tensor")
    wide, both = _chunk("complex128", [_run(i, 16) for i in range(16)])
    draft = Draft(chunk=256).tensor("x", "complex128", (2, 16), wide * 2, chunks=[planes(both)] * 2)
    draft.tensor("y", "float32", (64,), long, chunks=[planes(first)]).tensor("z", "bool", (3,))
    yield accept("several-tensors", draft, "6.3", "elements of 16 and of 4 bytes, and one that has no planes")
    rank = Draft().tensor("x", "float32", (4, 4, 4), long, chunks=[planes(first)])
    yield accept("of-a-cube", rank, "6.3", "the planes know no axes")
