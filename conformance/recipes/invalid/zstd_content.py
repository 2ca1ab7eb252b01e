"""Chunks whose frames do not decode, or to other than they declare (spec section 6.2, the last rule).

Blocks and frames are in order: only who decodes finds the fault. What breaks a rule of RFC 8878 and decodes all the
same, such as a bitstream with bits left over, is left to the decoder and not among the cases.
"""

from __future__ import annotations

from collections.abc import Iterator

from .. import spoilt
from ..blocks import COMPRESSED, block, header
from ..case import Case, reject
from ..draft import ZSTD, Draft
from ..packed import CODE, PREDEFINED, REPEAT, RLE, TABLE, TREELESS, bits, huffman, jumps, literals, sequences
from .zstd_header import LONG, SIZE, chunked

# Eight literals, and one sequence: take them all, then copy 32 bytes from 8 back. Codes of literal length, offset and
# match length; the offset has three more bits.
PLAIN = b"abcdefgh"
EIGHT = literals(8, PLAIN)
CODES = bytes([8, 3, 29])
BACK = bits((3, 3))
ONCE = PLAIN * 5
# Codes of one bit for the literals 0 and 1: 64 of them are eight bytes and the mark.
TREE = bytes([128, 0x10])
PAIRS = [(0, 1), (1, 1)] * 32
BINARY = bytes([0, 1]) * 32
QUARTER = bits(*PAIRS[:16])


def packed_block(compressed: bytes) -> bytes:
    """A compressed block that is the last."""
    return block(COMPRESSED, len(compressed), compressed, last=True)


# What is wrong with the one sequence: its section.
SEQUENCES: dict[str, tuple[bytes, str]] = {
    "count-missing": (b"", "the block ends with its literals"),
    "count-cut": (b"\x80", "a count of two bytes, of which one is there"),
    "count-cut-of-three": (b"\xff\x00", "a count of three bytes, of which two are there"),
    "modes-missing": (b"\x01", "the block ends with the count"),
    "codes-missing": (sequences(1, b"", b""), "the block ends with the modes"),
    "codes-cut": (sequences(1, CODES[:2], b""), "the code of the match length is not there"),
    "literal-length-code-36": (sequences(1, bytes([36, 3, 29]), BACK), "35 is the last"),
    "literal-length-code-255": (sequences(1, bytes([255, 3, 29]), BACK), "35 is the last"),
    "offset-code-32": (sequences(1, bytes([8, 32, 29]), bits((0, 32))), "no decoder has as many bits"),
    "offset-code-255": (sequences(1, bytes([8, 255, 29]), BACK), "no decoder has as many bits"),
    "match-length-code-53": (sequences(1, bytes([8, 3, 53]), bits((3, 3), (0, 16))), "52 is the last"),
    "match-length-code-255": (sequences(1, bytes([8, 3, 255]), BACK), "52 is the last"),
    "repeat-literal-lengths": (sequences(1, CODES[1:], BACK, modes=(REPEAT, CODE, CODE)), "no block is before it"),
    "repeat-offsets": (sequences(1, CODES[::2], BACK, modes=(CODE, REPEAT, CODE)), "no block is before it"),
    "repeat-match-lengths": (sequences(1, CODES[:2], BACK, modes=(CODE, CODE, REPEAT)), "no block is before it"),
    "accuracy-of-literal-lengths": (
        sequences(1, b"\x05" + b"\xff" * 8, b"\1", modes=(TABLE, CODE, CODE)),
        "an accuracy of 10 bits, 9 is the most",
    ),
    "accuracy-of-offsets": (
        sequences(1, b"\x08\x04" + b"\xff" * 8, b"\1", modes=(CODE, TABLE, CODE)),
        "an accuracy of 9 bits, 8 is the most",
    ),
    "accuracy-of-match-lengths": (
        sequences(1, b"\x08\x03\x05" + b"\xff" * 8, b"\1", modes=(CODE, CODE, TABLE)),
        "an accuracy of 10 bits, 9 is the most",
    ),
    "accuracy-largest": (
        sequences(1, b"\x0f" + b"\xff" * 8, b"\1", modes=(TABLE, CODE, CODE)),
        "an accuracy of 20 bits, 9 is the most",
    ),
    "table-missing": (sequences(1, b"", b"", modes=(TABLE, CODE, CODE)), "the block ends with the modes"),
    "table-cut": (sequences(1, b"\x00", b"", modes=(TABLE, CODE, CODE)), "the block ends within the table"),
    "offset-beyond-by-one": (sequences(1, CODES, bits((4, 3))), "9 back where 8 bytes are"),
    "offset-beyond": (sequences(1, CODES, bits((7, 3))), "12 back where 8 bytes are"),
    "offset-far-beyond": (sequences(1, bytes([8, 20, 29]), bits((5, 20))), "a mebibyte back where 8 bytes are"),
    "offset-of-31-bits-beyond": (sequences(1, bytes([8, 31, 29]), bits((2**31 - 1, 31))), "4 GiB back"),
    "stream-missing": (sequences(1, CODES, b""), "no bits for the offset"),
    "stream-without-mark": (sequences(1, CODES, b"\0"), "the last byte is zero"),
    "stream-with-zero-behind": (sequences(1, CODES, BACK + b"\0"), "the last byte is zero"),
    "stream-one-bit-short": (sequences(1, CODES, bits((3, 2))), "two bits of three"),
    "predefined-stream-short": (sequences(1, b"", bits((0, 6)), modes=(PREDEFINED,) * 3), "17 bits begin the states"),
    "stream-for-one-of-two": (sequences(2, bytes([4, 3, 13]), bits((1, 3))), "no bits for the second offset"),
    "literals-run-out": (sequences(1, bytes([9, 3, 28]), BACK), "9 literals where 8 are"),
    "literals-run-out-at-second": (
        sequences(2, bytes([8, 3, 9]), bits((3, 3), (3, 3))),
        "the first of two took them all",
    ),
    "match-one-longer": (sequences(1, bytes([8, 3, 30]), BACK), "41 bytes where 40 are declared"),
    "match-one-shorter": (sequences(1, bytes([8, 3, 28]), BACK), "39 bytes where 40 are declared"),
    "match-longest": (sequences(1, bytes([8, 3, 52]), bits((3, 3), (2**16 - 1, 16))), "131081 bytes where 40 are"),
}
# What is wrong with 64 literals of one bit each: the whole block.
LITERALS: dict[str, tuple[bytes, str]] = {
    "raw-cut": (literals(31, PLAIN), "8 of 31 literals"),
    "raw-cut-of-12-bits": (literals(64, PLAIN), "8 of 64 literals"),
    "raw-larger-than-128-kib": (literals(2**20 - 1, PLAIN), "all bits of the size"),
    "head-cut": (b"\x0c\x00", "two bytes of three"),
    "rle-without-byte": (literals(64, b"", RLE), "the byte that is repeated"),
    "rle-larger-than-128-kib": (literals(2**20 - 1, b"\1", RLE) + b"\0", "all bits of the size"),
    "rle-one-more": (literals(65, b"\1", RLE) + b"\0", "65 bytes where 64 are declared"),
    "rle-one-less": (literals(63, b"\1", RLE) + b"\0", "63 bytes where 64 are declared"),
    "treeless": (huffman(64, b"", bits(*PAIRS), kind=TREELESS) + b"\0", "no tree is before it"),
    "weights-zero": (huffman(64, bytes([128, 0x00]), bits(*PAIRS)) + b"\0", "no literal has a code"),
    "weight-12": (huffman(64, bytes([128, 0xC0]), bits(*PAIRS)) + b"\0", "11 bits are the most"),
    "weight-15": (huffman(64, bytes([128, 0xF0]), bits(*PAIRS)) + b"\0", "11 bits are the most"),
    "weights-without-power": (
        huffman(64, bytes([130, 0x22, 0x10]), bits(*PAIRS)) + b"\0",
        "3 of 8 are left for the last",
    ),
    "tree-missing": (huffman(64, b"", b"") + b"\0", "no byte of it"),
    "tree-cut": (huffman(64, b"\xff\x11", b"") + b"\0", "128 weights, of which two are there"),
    "tree-of-no-bytes": (huffman(64, b"\x00", bits(*PAIRS)) + b"\0", "compressed weights in no bytes"),
    "tree-compressed-cut": (
        huffman(64, b"\x20\x10", bits(*PAIRS)) + b"\0",
        "32 bytes of weights, of which ten are there",
    ),
    "tree-accuracy": (
        huffman(64, b"\x08\x02" + b"\xff" * 7, bits(*PAIRS)) + b"\0",
        "an accuracy of 7 bits, 6 is the most",
    ),
    "tree-accuracy-largest": (huffman(64, b"\x08\x0f" + b"\xff" * 7, bits(*PAIRS)) + b"\0", "an accuracy of 20 bits"),
    "stream-missing": (huffman(64, TREE, b"") + b"\0", "no bits behind the tree"),
    "stream-without-mark": (huffman(64, TREE, bytes(9)) + b"\0", "the last byte is zero"),
    "stream-one-bit-short": (huffman(64, TREE, bits(*PAIRS[:63])) + b"\0", "63 literals are there"),
    "stream-one-byte-short": (huffman(64, TREE, bits(*PAIRS[:56])) + b"\0", "56 literals are there"),
    "stored-beyond-block": (huffman(64, TREE, bits(*PAIRS), stored=200) + b"\0", "more bytes than the block has"),
    "stored-zero": (huffman(64, TREE, bits(*PAIRS), stored=0) + b"\0", "not even a tree"),
    "stored-one": (huffman(64, TREE, bits(*PAIRS), stored=1) + b"\0", "half of the tree"),
    "jumps-cut": (huffman(64, TREE, b"\1\0\1", four=True) + b"\0", "three of six bytes"),
    "jumps-beyond": (
        huffman(64, TREE, b"\xff\xff\3\0\3\0" + QUARTER * 4, four=True) + b"\0",
        "the first stream is too long",
    ),
    "jumps-leave-nothing": (huffman(64, TREE, b"\3\0\3\0\3\0" + QUARTER * 3, four=True) + b"\0", "no fourth stream"),
    "jumps-first-empty": (huffman(64, TREE, b"\0\0\3\0\6\0" + QUARTER * 4, four=True) + b"\0", "no first stream"),
    "fourth-stream-short": (
        huffman(64, TREE, jumps([QUARTER] * 3 + [bits(*PAIRS[:15])]), four=True) + b"\0",
        "15 of 16",
    ),
    "size-one-more": (huffman(65, TREE, bits(*PAIRS, (0, 1))) + b"\0", "65 bytes where 64 are declared"),
    "size-one-less": (huffman(63, TREE, bits(*PAIRS[:63])) + b"\0", "63 bytes where 64 are declared"),
}


def framed(content: bytes, compressed: bytes) -> bytes:
    """A frame of one compressed block."""
    return header(len(content)) + packed_block(compressed)


def cases() -> Iterator[Case]:
    """Frames without compressed blocks, then sequences, then literals."""
    for found in spoilt.wrong_content(b"\7" * SIZE):
        yield _refused(found.slug, chunked(found.frame), found.comment)
    for found in spoilt.wrong_content(b"\7" * LONG):
        if found.slug in ("content-one-less", "content-one-more"):
            for place, at in (("first", 0), ("last", 2)):
                slug = f"{place}-chunk-{found.slug}"
                yield _refused(slug, chunked(found.frame, at, LONG), found.comment)
    for size in (0, 1):
        yield _refused(
            f"compressed-of-{size}", _chunk(ONCE, bytes(size)), "a block that has no room for its two sections"
        )
    for slug, (section, comment) in SEQUENCES.items():
        yield _refused(f"sequences-{slug}", _chunk(ONCE, EIGHT + section), comment)
    for slug, (compressed, comment) in LITERALS.items():
        yield _refused(f"literals-{slug}", _chunk(BINARY, compressed), comment)


def _refused(slug: str, draft: Draft, comment: str) -> Case:
    return reject(slug, draft.file(), "CODEC", "6.2", comment, phase="read")


def _chunk(content: bytes, compressed: bytes) -> Draft:
    """A tensor of one chunk, of which the frame has one compressed block; it is as long as the content if need be."""
    frame = framed(content, compressed)
    if len(frame) >= len(content):
        raise ValueError(f"a frame of {len(frame)} bytes")
    return Draft().tensor("a", "uint8", (len(content),), content, chunks=[(ZSTD, frame)])
