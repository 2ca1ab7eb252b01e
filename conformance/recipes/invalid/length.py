"""Files cut off, continued, or with bytes taken out (spec sections 2.2 and 10.2)."""

from __future__ import annotations

from collections.abc import Iterator

from ..case import Case, reject
from ..draft import MAGIC, Draft
from .base import put, sample

SHORT = (1, 2, 4, 7, 8, 9, 10, 12, 13, 32, 63, 64, 65, 100, 126, 127)  # below 128 bytes
LONGER = (128, 129, 191, 192)
CUT = (1, 2, 7, 8, 9, 15, 16, 17, 24, 48, 56, 63, 64, 65, 72, 100)  # bytes that are missing at the end
ZIP_END = b"PK\x05\x06" + bytes(18)
APPENDED = {
    "zero-byte": b"\0",
    "newline": b"\n",
    "carriage-return-and-newline": b"\r\n",
    "end-of-text": b"\x1a",
    "zeros-8": bytes(8),
    "zeros-64": bytes(64),
    "zeros-to-a-page": bytes(4096),
    "zip-end-record": ZIP_END,
    "text": b"appended",
    "half-of-the-magic": MAGIC[:4],
    "tag": b"TAG" + bytes(125),
}


def cases() -> Iterator[Case]:
    """Every kind of place where a file may end too early or too late."""
    yield reject("empty", b"", "MAGIC", "10.2", "no byte at all", step=1)
    yield from _cut()
    yield from _continued()
    yield from _holes()


def _cut() -> Iterator[Case]:
    whole = sample().file()
    for size in SHORT:
        comment = "as much of the magic as there is" if size <= 8 else "less than preamble and trailer"
        yield reject(f"truncated-to-{size}", whole[:size], "TRUNCATED", "10.2", comment, step=2)
    for size in LONGER:
        yield reject(f"truncated-to-{size}", whole[:size], "TRUNCATED", "2.2", "no trailer", step=5)
    for lost in CUT:
        yield reject(f"truncated-by-{lost}", whole[:-lost], "TRUNCATED", "2.2", "the end is missing", step=5)
    half = len(whole) // 2
    yield reject("truncated-to-half", whole[:half], "TRUNCATED", "2.2", "ends within the index", step=5)
    short = whole[:64] + whole[-63:]
    yield reject("preamble-and-63-bytes", short, "TRUNCATED", "2", "one byte short, and the magic at the end", step=2)
    last = put(whole, -1, b"\0")
    yield reject("last-byte-zero", last, "TRUNCATED", "2.2", "as a disk gives a byte that never arrived", step=5)
    last = put(whole, -64, bytes(64))
    yield reject("trailer-zero", last, "TRUNCATED", "2.2", "as a disk gives a block that never arrived", step=5)


def _continued() -> Iterator[Case]:
    whole = sample().file()
    for name, more in APPENDED.items():
        yield reject(f"appended-{name}", whole + more, "TRUNCATED", "2.2", "after a whole file", step=5)
    other = Draft().value("", 1).file()
    comment = "both are right by themselves; the trailer's length is that of the second"
    yield reject("concatenated-twice", whole + whole, "EXTENT", "2.2", comment, step=10)
    yield reject("concatenated-with-another", whole + other, "EXTENT", "2.2", comment, step=10)
    yield reject("concatenated-three", whole + other + whole, "EXTENT", "2.2", comment, step=10)
    data = whole + whole[-64:]
    yield reject("appended-its-trailer", data, "EXTENT", "2.2", "a second copy of the trailer", step=10)
    data = whole + MAGIC
    yield reject("appended-magic", data, "CHECKSUM", "2.2", "what ends with the magic is no trailer", step=6)
    yield reject(
        "appended-preamble",
        whole + whole[:64],
        "TRUNCATED",
        "2.2",
        "the beginning of another file",
        step=5,
    )
    outer = Draft().tensor("file", "uint8", (len(whole),), whole)
    data = outer.file()[: 64 + len(whole)]
    comment = "cut off within a tensor that holds a file: its trailer is valid, and the file longer than it says"
    yield reject("truncated-behind-inner-trailer", data, "EXTENT", "2.2", comment, step=10)


def _holes() -> Iterator[Case]:
    draft = sample()
    whole, start = draft.file(), len(draft.body())
    holes = {
        "first-of-tensor": (64, 1),
        "whole-tensor": (64, 24),
        "gap": (88, 40),
        "sixty-four": (64, 64),
        "first-of-index": (start, 1),
        "middle-of-index": (start + 100, 10),
        "whole-index": (start, len(whole) - start - 64),
        "last-before-trailer": (len(whole) - 65, 1),
    }
    for name, (at, size) in holes.items():
        data = whole[:at] + whole[at + size :]
        yield reject(f"lost-{name}", data, "TRUNCATED", "2.2", "the trailer is there, bytes before it are not", step=9)
    added = {
        "behind-preamble": (64, bytes(64)),
        "in-gap": (100, bytes(64)),
        "before-index": (start, bytes(64)),
        "in-index": (start + 100, b"\xc0"),
        "before-trailer": (len(whole) - 64, b"\0"),
        "before-trailer-zip-end-record": (len(whole) - 64, ZIP_END),
    }
    for name, (at, more) in added.items():
        data = whole[:at] + more + whole[at:]
        yield reject(f"added-{name}", data, "EXTENT", "2.2", "the trailer is there, and bytes too many", step=10)
