"""Faults of the preamble (spec section 2.1)."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from ..case import Case, reject
from ..draft import MAGIC
from .base import flipped, flipping, put, putting, sample

# What stands before the file.
PREFIXES = {
    "utf-8-mark": (b"\xef\xbb\xbf", "as an editor puts it before a text"),
    "utf-16-mark": (b"\xff\xfe", "as an editor puts it before a text"),
    "zip-entry": (b"PK\x03\x04\x14\0\0\0\0\0" + bytes(20), "the head of a ZIP entry, as in a .pt file"),
    "pickle-protocol-2": (b"\x80\x02", "the head of a pickle"),
    "pickle-protocol-4": (b"\x80\x04\x95\x40\0\0\0\0\0\0\0", "the head of a pickle and of its first frame"),
    "pdf-head": (b"%PDF-1.7\n", "the head of a PDF"),
    "gzip-head": (b"\x1f\x8b\x08\0\0\0\0\0\0\xff", "the head of a gzip file"),
    "safetensors-head": (b"\x40\0\0\0\0\0\0\0{}", "the length and the beginning of a header"),
    "script-head": (b"#!/bin/sh\n", "the head of a script"),
    "newline": (b"\n", "one byte, so that nothing is aligned"),
    "zero-byte": (b"\0", "one byte, so that nothing is aligned"),
    "zeros-64": (bytes(64), "64 bytes, so that all is aligned"),
}
# What stands in place of the magic.
INSTEAD = {
    "lower-case": b"\x89ptf\r\n\x1a\n",
    "png": b"\x89PNG\r\n\x1a\n",
    "high-bit-cleared": b"\x09PTF\r\n\x1a\n",
    "reversed": MAGIC[::-1],
    "zeros": bytes(8),
    "carriage-return-lost": b"\x89PTF\n\x1a\n\0",
    "carriage-return-added": b"\x89PTF\r\r\n\x1a",
    "numpy": b"\x93NUMPY\x01\0",
    "zip": b"PK\x03\x04\x14\0\0\0",
    "zstd-frame": b"\x28\xb5\x2f\xfd\x04\0\0\0",
}
MAJORS = (0, 2, 3, 255, 256, 257, 65535)


def cases() -> Iterator[Case]:
    """Steps 1, 3 and 4; what is short is in area `length`."""
    draft = sample()
    whole = draft.file()
    for name, (before, comment) in PREFIXES.items():
        yield reject(f"prefix-{name}", before + whole, "MAGIC", "2.1", comment, step=1)
    for name, magic in INSTEAD.items():
        yield reject(f"magic-{name}", put(whole, 0, magic), "MAGIC", "2.1", "other bytes for the magic", step=1)
    for at in range(8):
        yield reject(f"magic-byte-{at}", flipped(whole, at, at), "MAGIC", "2.1", "one bit of the magic", step=1)
    yield reject("magic-twice", MAGIC + whole, "VERSION", "2.1", "a magic stands where the version is", step=3)
    yield reject("magic-shifted", whole[1:], "MAGIC", "2.1", "the first byte of the file is missing", step=1)
    for size in (1, 3, 7):
        data = whole[: size - 1] + bytes([whole[size - 1] ^ 0x20])
        comment = "shorter than the magic, and not its beginning: only the last byte there is wrong"
        yield reject(f"magic-wrong-in-{size}", data, "MAGIC", "10.2", comment, step=1)
    for major in MAJORS:
        data = draft.file(body=putting(8, struct.pack("<H", major)), trailer={"major": major})
        yield reject(f"major-{major}", data, "VERSION", "2.1", "the trailer says the same", step=3)
    for at in range(12, 64):
        data = draft.file(body=flipping(at, at % 8))
        yield reject(f"zeros-byte-{at}", data, "NONZERO", "2.1", "one bit of the zeros", step=4)
    data = draft.file(body=putting(12, b"\xff" * 52))
    yield reject("zeros-all-set", data, "NONZERO", "2.1", "all of the zeros", step=4)
