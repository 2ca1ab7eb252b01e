"""Files of flax.serialization that lie."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from typing import Any

import msgpack

from hostile.smashing import ESCAPE

Row = tuple[str, bytes, str]


def ext(shape: bytes, dtype: bytes, data: bytes, code: int = 1, lie: int = 0) -> bytes:
    """A flax array of these fields, as msgpack has them."""
    body = b"\x93" + shape + dtype + data
    return b"\xc9" + struct.pack(">Ib", len(body) + lie, code) + body


def held(item: bytes) -> bytes:
    """A map of one item."""
    return b"\x81\xa1a" + item


def _chunked(shape: Any, chunks: Any) -> bytes:
    parts = chunks
    if isinstance(chunks, list):
        parts = {str(n): msgpack.ExtType(1, msgpack.packb([[len(c)], "uint8", c])) for n, c in enumerate(chunks)}
    packed_map: bytes = msgpack.packb({"a": {"__msgpack_chunked_array__": True, "shape": shape, "chunks": parts}})
    return packed_map


def of_msgpack() -> Iterator[Row]:
    two, u8, ab = b"\x91\2", msgpack.packb("uint8"), b"\xc4\2ab"
    yield "10^6 maps in one another", b"\x81\xa1a" * 10**6 + b"\xc0", "LIMIT"
    yield "10^6 lists in one another", held(b"\x91" * 10**6 + b"\xc0"), "LIMIT"
    yield "10^6 arrays in one another's shapes", held(b"\xc9\0\x0f\0\0\1\x93" * 10**5), "TRUNCATED"
    yield "array32", held(b"\xdd\xff\xff\xff\xff"), "TRUNCATED"
    yield "map32", b"\xdf\xff\xff\xff\xff", "TRUNCATED"
    yield "bin32", held(b"\xc6\xff\xff\xff\xff"), "TRUNCATED"
    yield "str32", held(b"\xdb\xff\xff\xff\xff"), "MALFORMED"
    yield "ext32", held(b"\xc9\xff\xff\xff\xff\1"), "TRUNCATED"
    yield "3 million items", held(msgpack.packb([0] * 3 * 10**6)), "LIMIT"
    yield "a complex", held(b"\xd8\2" + bytes(16)), "TYPE"
    yield "ext 7", held(b"\xd4\7\0"), "TYPE"
    yield "a scalar that lies", held(ext(b"\x90", u8, ab, 3)), "EXTENT"
    yield "an array too short", held(ext(b"\x91\3", u8, ab)), "EXTENT"
    yield "an array too long", held(ext(two, u8, ab, lie=1) + b"\0"), "EXTENT"
    yield "an array beyond its own end", held(ext(two, u8, ab, lie=-1)), "EXTENT"
    yield "an array of no type", held(ext(two, msgpack.packb(ESCAPE), ab)), "DTYPE"
    yield "an array of objects", held(ext(two, msgpack.packb("object"), ab)), "DTYPE"
    yield "a negative size", held(ext(b"\x92\xff\xff", u8, b"\xc4\1a")), "MALFORMED"
    yield "sizes of 2^62", held(ext(msgpack.packb([2**62] * 3), u8, ab)), "EXTENT"
    yield "200000 sizes of 2^62", held(ext(msgpack.packb([2**62] * 200_000), u8, ab)), "SHAPE"
    yield "empty and huge", held(ext(msgpack.packb([2**62, 2**62, 0]), u8, b"\xc4\0")), "SHAPE"
    yield "chunks without a shape", msgpack.packb({"a": {"__msgpack_chunked_array__": True}}), "MALFORMED"
    yield "chunks of a size times a text", _chunked({"0": 10**9, "1": "ab"}, [b"ab"]), "MALFORMED"
    yield "chunks of 10^5 sizes", _chunked({str(n): 2**62 for n in range(10**5)}, [b"ab"]), "SHAPE"
    yield "chunks of numbers", _chunked({"0": 2}, {"0": 1}), "MALFORMED"
    yield "chunks with a gap", _chunked({"0": 4}, {"0": 1, "2": 1}), "MALFORMED"
    yield "chunks too short", _chunked({"0": 5}, [b"ab", b"cd"]), "EXTENT"
    yield "a key twice", b"\x82\xa1a\1\xa1a\2", "DUPLICATE"
    yield "a key with orders", msgpack.packb({ESCAPE: 1}), "PATH"
    yield "a key of an array", b"\x81\x90\1", "TYPE"
    yield "a key of a megabyte", msgpack.packb({"a" * 10**6: 1}), "PATH"
    yield "a key of dots", msgpack.packb({"a." * 10**5 + "a": 1, "a": 2}), "PATH"
    yield "100 long keys in one another", _deep("k" * 10**5, 100), "PATH"
    yield "bytes behind", msgpack.packb({"a": 1}) + b"\0", "MALFORMED"
    yield (
        "sound, 5000 keys of one text",
        held(b"\xde\x13\x88" + (b"\xcb" + struct.pack(">d", math.nan) + b"\1") * 5000),
        "read",
    )
    yield "sound, values with orders", msgpack.packb({"a": ESCAPE, "b": ESCAPE.encode()}), "read"


def _deep(key: str, depth: int) -> bytes:
    made: Any = 0
    for _ in range(depth):
        made = {key: made}
    packed_map: bytes = msgpack.packb(made)
    return packed_map
