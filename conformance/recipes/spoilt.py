"""Zstandard frames that break one rule of the table in section 6.2, of whatever content is given."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from .blocks import COMPRESSED, MAGIC, RAW, RESERVED, RLE, block, header
from .xxh64 import xxh64

SKIPPABLE = bytes.fromhex("502a4d18")
# Descriptors of windows above 67108864 bytes.
WINDOWS = {"72-mebibytes": 0x81, "120-mebibytes": 0x87, "128-mebibytes": 0x88, "2-gibibytes": 0xA8, "largest": 0xFF}
WINDOW = 0x58  # 2 MiB: any content given here fits


@dataclass(frozen=True)
class Spoilt:
    """A frame with a fault.

    Attributes:
        rule: The row of the table, from 1.
        slug: The fault.
        frame: The bytes.
        code: Of the error.
        comment: What is special.
    """

    rule: int
    slug: str
    frame: bytes
    code: str
    comment: str


def blocks_of(data: bytes, *, last: bool = True) -> bytes:
    """The data as one block, short where it is one byte many times."""
    if len(set(data)) == 1:
        return block(RLE, len(data), data[:1], last=last)
    return block(RAW, len(data), data, last=last)


def whole(data: bytes) -> bytes:
    """The frame that is right."""
    return header(len(data)) + blocks_of(data)


def headers(data: bytes) -> Iterator[Spoilt]:
    """Rules 1 to 6."""
    for slug, frame, comment in _magics(data):
        yield Spoilt(1, slug, frame, "CODEC", comment)
    for slug, frame, comment in _cut(data):
        yield Spoilt(1 if len(frame) < 4 else 2, slug, frame, "CODEC", comment)
    unsized = header(None, window=WINDOW) + blocks_of(data)
    yield Spoilt(3, "size-missing", unsized, "CODEC", "no Frame_Content_Size")
    for slug, frame, comment in _sizes(data):
        yield Spoilt(4, slug, frame, "CODEC", comment)
    for slug, frame, comment in _descriptors(data):
        yield Spoilt(5, slug, frame, "CODEC", comment)
    for slug, window in WINDOWS.items():
        frame = header(len(data), window=window, width=8) + blocks_of(data)
        yield Spoilt(6, f"window-{slug}", frame, "LIMIT", "a decoder would reserve as much")


def _magics(data: bytes) -> Iterator[tuple[str, bytes, str]]:
    frame = whole(data)
    rest = frame[4:]
    skipped = SKIPPABLE + (8).to_bytes(4, "little") + b"skipped!"
    yield "skippable-alone", skipped, "a skippable frame and no other"
    yield "skippable-empty-alone", SKIPPABLE + bytes(4), "a skippable frame of no bytes"
    yield "skippable-before", skipped + frame, "many decoders pass over it"
    yield "skippable-empty-before", SKIPPABLE + bytes(4) + frame, "many decoders pass over it"
    yield "skippable-last-kind-before", b"\x5f" + skipped[1:] + frame, "the last of sixteen magic numbers"
    yield "magic-big-endian", MAGIC[::-1] + rest, "the magic number the wrong way"
    yield "magic-missing", rest, "the format without magic that some decoders know"
    yield "magic-of-version-0-7", b"\x27" + frame[1:], "an older format"
    yield "magic-of-version-0-1", bytes.fromhex("fd2fb51e") + rest, "an older format"
    yield "magic-of-dictionary", bytes.fromhex("37a430ec") + rest, "what begins a dictionary"
    yield "magic-of-lz4", bytes.fromhex("04224d18") + rest, "another format"
    yield "magic-of-gzip", bytes.fromhex("1f8b0800") + rest, "another format"
    yield "magic-zero", bytes(4) + rest, "zeros"
    yield "magic-last-byte", MAGIC[:3] + b"\xfc" + rest, "one bit"
    yield "zero-byte-before", b"\0" + frame, "one byte before the frame"


def _cut(data: bytes) -> Iterator[tuple[str, bytes, str]]:
    single, windowed = whole(data), header(len(data), window=WINDOW, width=8)
    for size in range(1, 6):
        yield f"cut-to-{size}", single[:size], "fewer than 6 bytes"
    for size in range(6, len(windowed)):
        yield f"cut-to-{size}-of-{len(windowed)}", windowed[:size], "within a header of window and 8 bytes of size"
    for width in (2, 4, 8):
        if width == 2 and not 256 <= len(data) < 65792:
            continue
        made = header(len(data), width=width)
        if len(made) > 6:
            yield f"cut-to-last-of-{len(made)}", made[:-1], f"within a size of {width} bytes"


def _sizes(data: bytes) -> Iterator[tuple[str, bytes, str]]:
    size, rest = len(data), blocks_of(data)
    for slug, said in (
        ("one-more", size + 1),
        ("one-less", size - 1),
        ("twice", 2 * size),
        ("256-more", size + 256),
        ("2-to-32-more", size + 2**32),
        ("terabyte", 2**40),
        ("2-to-63", 2**63),
        ("all-ones", 2**64 - 1),
        ("none", 0),
    ):
        comment = "the header says another size"
        yield f"size-{slug}", header(said, window=WINDOW, width=8) + rest, comment
        if slug in ("one-more", "one-less", "terabyte", "none"):
            yield f"size-{slug}-single-segment", header(said) + rest, comment
    if size >= 256:
        wrong = MAGIC + bytes([0x60]) + size.to_bytes(2, "little")
        yield "size-2-bytes-without-256", wrong + rest, "256 is added to a size of two bytes"


def _descriptors(data: bytes) -> Iterator[tuple[str, bytes, str]]:
    size, rest = len(data), blocks_of(data)
    right = (xxh64(data) & 2**32 - 1).to_bytes(4, "little")
    yield "checksum", header(size, descriptor=4) + rest + right, "the frame's own checksum, which is right"
    yield "checksum-wrong", header(size, descriptor=4) + rest + bytes(4), "the frame's own checksum, which is wrong"
    yield "checksum-missing", header(size, descriptor=4) + rest, "announced, but not there"
    yield "checksum-windowed", header(size, descriptor=4, window=WINDOW, width=8) + rest + right, "with a window"
    yield "reserved-bit", header(size, descriptor=8) + rest, "bit 3 of the descriptor"
    yield "reserved-bit-windowed", header(size, descriptor=8, window=WINDOW, width=8) + rest, "bit 3, with a window"
    for width in (1, 2, 4):
        number = (0x41 + 0x100 * (width > 1)).to_bytes(width, "little")
        yield f"dictionary-{width}", header(size, dictionary=number) + rest, f"a dictionary id of {width} bytes"
        zero = header(size, dictionary=bytes(width)) + rest
        yield f"dictionary-{width}-zero", zero, "the id 0, which means none"
    both = header(size, descriptor=4, dictionary=bytes(4)) + rest + right
    yield "checksum-and-dictionary", both, "two of the four bits"


def walks(data: bytes) -> Iterator[Spoilt]:
    """Rules 8 and 9: block by block, and where the frame ends."""
    for slug, frame, comment in _blocks(data):
        yield Spoilt(8, slug, frame, "CODEC", comment)
    for slug, frame, comment in _ends(data):
        yield Spoilt(9, slug, frame, "CODEC", comment)


def _blocks(data: bytes) -> Iterator[tuple[str, bytes, str]]:
    size, half = len(data), len(data) // 2
    head, wide = header(size), header(size, window=WINDOW, width=8)
    first, second = blocks_of(data[:half], last=False), blocks_of(data[half:])
    yield "no-block", head, "the frame ends behind its header"
    yield "no-block-windowed", wide, "the frame ends behind its header"
    for cut in (1, 2):
        yield f"head-cut-to-{cut}", head + blocks_of(data)[:cut], "the first block's three bytes"
        yield f"last-head-cut-to-{cut}", head + first + second[:cut], "the last block's three bytes"
    yield "last-missing", head + blocks_of(data, last=False), "no block says that it is the last"
    yield "last-missing-of-two", head + first + blocks_of(data[half:], last=False), "no block is the last"
    yield "type-3", head + block(RESERVED, size, data[:1], last=True), "the reserved type"
    yield (
        "type-3-empty",
        head + blocks_of(data, last=False) + block(RESERVED, 0, b"", last=True),
        "of size 0, at the end",
    )
    yield "type-3-first", head + block(RESERVED, 0, b"", last=False) + blocks_of(data), "of size 0, in front"
    yield "larger-than-content", head + block(RLE, size + 1, data[:1], last=True), "the window is the content"
    yield "larger-than-128-kib", wide + block(RLE, 2**17 + 1, data[:1], last=True), "the window would allow it"
    yield "largest-size", wide + block(RLE, 2**21 - 1, data[:1], last=True), "all bits of the size"
    yield "largest-size-raw", wide + block(RAW, 2**21 - 1, data[:9], last=True), "all bits of the size"
    yield "largest-size-compressed", wide + block(COMPRESSED, 2**21 - 1, data[:9], last=True), "all bits of the size"


def _ends(data: bytes) -> Iterator[tuple[str, bytes, str]]:
    size, half = len(data), len(data) // 2
    head, frame = header(size), whole(data)
    first, second = blocks_of(data[:half], last=False), blocks_of(data[half:])
    yield "rle-byte-missing", head + block(RLE, size, b"", last=True), "the byte that is repeated"
    yield "raw-cut", head + block(RAW, size, data[: min(50, size - 1)], last=True), "not all of a raw block"
    yield "raw-cut-to-nothing", head + block(RAW, size, b"", last=True), "nothing of a raw block"
    yield "raw-of-two-cut", head + first + block(RAW, size - half, data[half : half + 30], last=True), "the last block"
    yield "compressed-cut", head + block(COMPRESSED, 50, data[:40], last=True), "not all of a compressed block"
    early = blocks_of(data[:half]) + second
    yield "last-too-early", head + early, "the first of two blocks says that it is the last"
    yield "block-behind-last", frame + block(RAW, 0, b"", last=True), "an empty block behind the last"
    skipped = SKIPPABLE + (4).to_bytes(4, "little") + b"skip"
    for slug, more, comment in (
        ("zero", b"\0", "one byte"),
        ("zeros", bytes(8), "zeros"),
        ("text", b"junk", "a text"),
        ("magic", MAGIC, "the beginning of another frame"),
        ("empty-frame", header(0) + block(RAW, 0, b"", last=True), "a second frame, without content"),
        ("one-byte-frame", header(1) + block(RAW, 1, b"!", last=True), "a second frame of one byte"),
        ("skippable", skipped, "many decoders pass over it"),
        ("skippable-empty", SKIPPABLE + bytes(4), "many decoders pass over it"),
        ("checksum", (xxh64(data) & 2**32 - 1).to_bytes(4, "little"), "the checksum that no flag announces"),
    ):
        yield f"behind-{slug}", frame + more, comment
    if len(frame) < 40:
        yield "behind-same-frame", frame + frame, "the frame twice"


def wrong_content(data: bytes) -> Iterator[Spoilt]:
    """Rule 10, for frames without compressed blocks."""
    size = len(data)
    head, wide = header(size), header(size, window=WINDOW, width=8)
    for slug, frame, comment in (
        ("content-one-less", head + blocks_of(data[:-1]), "one byte is missing"),
        ("content-none", head + block(RAW, 0, b"", last=True), "the only block is empty"),
        ("content-one", head + blocks_of(data[:1]), "one byte is there"),
        ("content-half", head + blocks_of(data[: size // 2]), "half is there"),
        ("content-one-more", wide + blocks_of(data + data[:1]), "one byte too many, which the window allows"),
        ("content-one-more-block", head + blocks_of(data, last=False) + blocks_of(data[:1]), "one byte too many"),
        ("content-none-rle", head + block(RLE, 0, b"\7", last=True), "an RLE block of size 0"),
    ):
        yield Spoilt(10, slug, frame, "CODEC", comment)
    if len(whole(data)) < 40:
        more = head + blocks_of(data, last=False) * 9 + blocks_of(data)
        yield Spoilt(10, "content-tenfold", more, "CODEC", "ten times as much")
        bomb = wide + block(RLE, 2**17, data[:1], last=False) * 20 + block(RLE, 2**17, data[:1], last=True)
        yield Spoilt(10, "content-of-megabytes", bomb, "CODEC", "2.6 MiB, and the header says otherwise")
