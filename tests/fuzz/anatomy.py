"""A file taken apart and put together: preamble, body, index, trailer, with all lengths, offsets and sums repaired."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Any

import msgpack
import xxhash
import zstandard

FRAME = 64  # bytes of the preamble and of the trailer
MAGIC = b"\x89PTF\r\n\x1a\n"
PREAMBLE = MAGIC + b"\x01\0\0\0" + bytes(52)
MOST_INDEX = 2**23  # bytes: a larger index is not taken apart
_TRAILER = struct.Struct("<4QI2HQ")
_NAMES = ("offset", "stored", "decoded", "sum", "flags", "major", "minor", "length")


@dataclass
class Parts:
    """A file in parts.

    Attributes:
        preamble: Its first 64 bytes.
        body: What stands between it and the index.
        index: The index, decoded.
        compressed: Whether the index is stored as a zstd frame.
        facts: Items of the trailer that are to be other than the parts say.
        frame: The stored index, where it is to be other than the index says.
        after: Bytes that follow the trailer.
    """

    preamble: bytes
    body: bytes
    index: bytes
    compressed: bool = False
    facts: dict[str, int] = field(default_factory=dict)
    frame: bytes | None = None
    after: bytes = b""


def apart(data: bytes) -> Parts | None:
    """The parts of a file whose trailer says where its index is; None where it says nothing of use."""
    if len(data) < 2 * FRAME:
        return None
    held = dict(zip(_NAMES, _TRAILER.unpack_from(data, len(data) - FRAME), strict=True))
    start, end = held["offset"], len(data) - FRAME
    if not FRAME <= start <= end:
        return None
    index = data[start:end]
    compressed = bool(held["flags"] & 1)
    if compressed:
        decoded = unzipped(index)
        if decoded is None:
            return None
        index = decoded
    minor = {"minor": held["minor"]} if held["minor"] else {}
    return Parts(data[:FRAME], data[FRAME:start], index, compressed, minor)


def unzipped(frame: bytes) -> bytes | None:
    """What a zstd frame holds, if it is a sound one of no more than `MOST_INDEX` bytes."""
    try:
        size = zstandard.frame_content_size(frame)
        return zstandard.ZstdDecompressor().decompress(frame) if 0 <= size <= MOST_INDEX else None
    except zstandard.ZstdError:
        return None


def together(parts: Parts) -> bytes:
    """The file of these parts; what `facts` does not name is as it must be."""
    stored = parts.frame
    if stored is None:
        stored = zstandard.compress(parts.index, 1) if parts.compressed else parts.index
    held = {
        "offset": FRAME + len(parts.body),
        "stored": len(stored),
        "decoded": len(parts.index),
        "sum": xxhash.xxh3_64_intdigest(stored),
        "flags": int(parts.compressed),
        "major": 1,
        "minor": 0,
        "length": 2 * FRAME + len(parts.body) + len(stored),
    }
    held.update(parts.facts)
    head = _TRAILER.pack(*(held[name] for name in _NAMES))
    total = parts.facts.get("own", xxhash.xxh3_64_intdigest(head))
    trailer = head + total.to_bytes(8, "little") + MAGIC
    return b"".join((parts.preamble, parts.body, stored, trailer, parts.after))


def content(index: bytes) -> dict[str, Any] | None:
    """The map that index bytes hold, read with leniency; None where they hold none, or one that is nested too deep."""
    try:
        found = msgpack.unpackb(index, strict_map_key=False, unicode_errors="surrogateescape", use_list=True)
    except (ValueError, TypeError, RecursionError, msgpack.UnpackException):
        return None
    if not isinstance(found, dict) or not all(isinstance(key, str) for key in found) or _deep(found):
        return None
    return found


def _deep(value: Any) -> bool:
    """Whether it is nested deeper than is built anew here, twice of what the profile allows."""
    layer = [value]
    for _ in range(64):
        layer = [child for held in layer for child in (held.values() if isinstance(held, dict) else held)]
        layer = [child for child in layer if isinstance(child, (dict, list))]
    return bool(layer)


def packed(value: Any) -> bytes:
    """msgpack with map keys in byte order, and no other rule of the profile."""
    result: bytes = msgpack.packb(_ordered(value), unicode_errors="surrogateescape")
    return result


def packed_pairs(pairs: list[tuple[Any, Any]]) -> bytes:
    """A map of these keys and values in this order, whether they may stand so or not."""
    packer = msgpack.Packer()
    return b"".join((packer.pack_map_header(len(pairs)), *(packed(part) for pair in pairs for part in pair)))


def _ordered(value: Any) -> Any:
    if isinstance(value, dict):
        keys = sorted(value, key=lambda key: key.encode(errors="surrogateescape") if isinstance(key, str) else b"")
        return {key: _ordered(value[key]) for key in keys}
    return [_ordered(item) for item in value] if isinstance(value, (list, tuple)) else value
