"""Stored bytes of chunks: sound frames and planes of every form, and ones with a fault at a place that matters."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from random import Random

import numpy as np
import zstandard

from ptformat.codecs import PLANES, RAW, ZSTD
from ptformat.codecs.planes import suits
from ptformat.dtypes import TABLE

from .rows import Chunk, Row, nbytes

Plain = Callable[[bytes], bytes]  # a mutation of bytes that knows nothing of them
MAGIC = b"\x28\xb5\x2f\xfd"
MOST_PLAIN = 2**14  # decoded bytes of a tensor whose elements are spelled out
_BLOCK = 2**17


def header(rng: Random, size: int) -> bytes:
    """A frame header that declares `size`, in one of its forms."""
    widths = [
        width for width, low, high in ((1, 0, 256), (2, 256, 65792), (4, 0, 2**32), (8, 0, 2**64)) if low <= size < high
    ]
    width = rng.choice(widths)
    single = width == 1 or rng.random() < 0.5
    descriptor = {1: 0, 2: 1, 4: 2, 8: 3}[width] << 6 | single << 5
    window = b"" if single else bytes([rng.choice((0x38, 0x3F, 0x80, *([0] if size <= 1024 else [])))])
    return MAGIC + bytes([descriptor]) + window + (size - 256 * (width == 2)).to_bytes(width, "little")


def block(kind: int, size: int, held: bytes, last: bool) -> bytes:
    """A block of a frame with its 3 bytes of head."""
    return (int(last) | kind << 1 | (size & 0x1FFFFF) << 3).to_bytes(3, "little") + held


def frame(rng: Random, decoded: bytes) -> bytes:
    """A frame of these bytes: by the encoder, or of raw and run-length blocks."""
    if rng.random() < 0.5:
        return zstandard.compress(decoded, rng.choice((1, 3, 19)))
    made, at = [header(rng, len(decoded))], 0
    step = rng.choice((1, 16, 512, 1024, _BLOCK)) if len(decoded) < 256 else rng.choice((512, 1024, _BLOCK))
    while at < len(decoded) or len(made) == 1:
        part = decoded[at : at + step]
        at += step
        same = part[:1] * len(part) == part and len(part) > 0
        made.append(block(int(same), len(part), part[:1] if same else part, at >= len(decoded)))
    return b"".join(made)


def run(rng: Random, size: int) -> bytes:
    """A frame of `size` equal bytes in as few bytes as there can be."""
    made = [header(rng, size)]
    for start in range(0, max(size, 1), _BLOCK):
        part = min(_BLOCK, size - start)
        made.append(block(1, part, bytes([rng.choice((0, 1, 64, 255))]), start + part >= size))
    return b"".join(made)


def sevens(plane: bytes) -> bytes:
    """A plane in mode 2, as section 6.3 describes it."""
    held = np.frombuffer(plane, np.uint8).copy()
    ones = np.flatnonzero(held & 64).astype("<u4")
    held &= 0xBF
    part = -(-held.size // 8)
    whole = np.zeros(8 * part, np.uint8)
    whole[: held.size] = held
    last = whole[7 * part :]
    bits = last & 0x3F | (last >> 1) & 0x40
    for i in range(7):
        whole[i * part : (i + 1) * part] |= (bits >> i & 1) << 6
    return len(ones).to_bytes(4, "little") + ones.tobytes() + whole[: 7 * part].tobytes()


def planes(rng: Random, decoded: bytes, row: Row) -> bytes:
    """The chunk as planes, each in a mode that makes it smaller, or raw. The bits are not regrouped: any will do."""
    count = TABLE[row.dtype].bits // 8
    heads, parts = [], []
    for number in range(count):
        plane = decoded[number::count]
        mode = rng.randrange(3)
        held = frame(rng, plane) if mode == 1 else sevens(plane) if mode == 2 else plane
        if len(held) >= len(plane):
            mode, held = 0, plane
        heads.append(struct.pack("<BI", mode, len(held)))
        parts.append(held)
    return b"".join((*heads, *parts))


def fit(rng: Random, row: Row, chunk: int) -> None:
    """Give a tensor chunks that are those of its type and shape: of its old bytes, of new ones, or runs."""
    size = nbytes(row)
    count = -(-size // chunk)
    if count > 64 or size > 2**23:
        return
    if size > MOST_PLAIN:
        sizes = [min(chunk, size - at * chunk) for at in range(count)]
        row.chunks = [Chunk(ZSTD, run(rng, part)) for part in sizes]
        return
    old = b"".join(one.stored for one in row.chunks if one.codec == RAW)
    if not old or rng.random() < 0.3:
        old = rng.choice((bytes(1), b"\1", rng.randbytes(7), rng.randbytes(64), rng.randbytes(max(size, 1))))
    decoded = (old * (size // len(old) + 1))[:size]
    if TABLE[row.dtype].name == "bool":
        decoded = bytes(byte & 1 for byte in decoded)
    if used := math.prod(row.shape) * TABLE[row.dtype].bits % 8:
        decoded = decoded[:-1] + bytes([decoded[-1] & (1 << used) - 1])
    row.chunks = [coded(rng, decoded[at : at + chunk], row) for at in range(0, size, chunk)]


def coded(rng: Random, decoded: bytes, row: Row) -> Chunk:
    """A chunk of these bytes, by some codec if that makes them fewer, or raw."""
    codec = rng.choice((RAW, ZSTD, PLANES) if suits(TABLE[row.dtype]) else (RAW, ZSTD))
    stored = decoded if codec == RAW else frame(rng, decoded) if codec == ZSTD else planes(rng, decoded, row)
    return Chunk(codec, stored) if len(stored) < len(decoded) else Chunk(RAW, decoded)


def recode(rng: Random, row: Row, chunk: int, plain: Plain) -> None:
    """Store the chunks of a tensor in another way."""
    fit(rng, row, chunk)


def spoil(rng: Random, row: Row, chunk: int, plain: Plain) -> None:
    """A fault in one chunk of a tensor, under a checksum that is right."""
    if not row.chunks:
        return
    one = rng.choice(row.chunks)
    if rng.random() < 0.03:
        one.sum = rng.getrandbits(64)
    elif rng.random() < 0.05:
        one.codec = rng.choice((RAW, ZSTD, PLANES, 3))
    elif one.codec == ZSTD:
        one.stored = spoiled_frame(rng, one.stored, plain)
    elif one.codec == PLANES:
        one.stored = spoiled_planes(rng, one.stored, max(1, TABLE[row.dtype].bits // 8), plain)
    else:
        held = bytearray(one.stored)
        if held:
            held[rng.choice((0, -1, rng.randrange(len(held))))] = rng.randrange(256)
        one.stored = bytes(held)


def spoiled_frame(rng: Random, held: bytes, plain: Plain) -> bytes:
    """A zstd frame with a fault."""
    kind = rng.randrange(9)
    if kind == 0:
        return held + rng.choice((b"\0", held, b"\x50\x2a\x4d\x18\x04\0\0\0junk", rng.randbytes(3)))
    if kind == 1:
        return held[: rng.randrange(len(held) + 1)]
    if kind == 2 and len(held) > 6:  # magic, descriptor, window, content size
        at = rng.choice((0, 4, 4, 5, 5, 6, min(7, len(held) - 1)))
        return held[:at] + bytes([rng.choice((0, held[at] ^ 1 << rng.randrange(8), 255))]) + held[at + 1 :]
    blocks = _blocks(held)
    if kind <= 6 and blocks:
        start, end = rng.choice(blocks)
        head = int.from_bytes(held[start : start + 3], "little")
        if kind == 3:  # its type, its size, whether it is the last
            head ^= 1 << rng.randrange(24)
            return held[:start] + head.to_bytes(3, "little") + held[start + 3 :]
        if kind == 4:  # once more, or an empty one before it
            return held[:start] + rng.choice((held[start:end], b"\0\0\0", b"\2\0\0\0")) + held[start:]
        if kind == 5:
            return held[:start] + held[end:]
        if end > start + 3:
            inner = plain(held[start + 3 : end])[: end - start - 3 + rng.choice((0, 8))]
            size = (len(inner) if head >> 1 & 3 != 1 else head >> 3) << 3
            return held[:start] + (head & 7 | size & 0xFFFFF8).to_bytes(3, "little") + inner + held[end:]
    return plain(held)


def _blocks(held: bytes) -> list[tuple[int, int]]:
    """Start and end of each block that is there."""
    if len(held) < 6:
        return []
    single = held[4] >> 5 & 1
    at = 6 - single + (0, 1, 2, 4)[held[4] & 3] + (single, 2, 4, 8)[held[4] >> 6]
    found = []
    while at + 3 <= len(held) and len(found) < 64:
        head = int.from_bytes(held[at : at + 3], "little")
        end = at + 3 + (1 if head >> 1 & 3 == 1 else head >> 3)
        found.append((at, min(end, len(held))))
        if head & 1:
            break
        at = end
    return found


def spoiled_planes(rng: Random, held: bytes, count: int, plain: Plain) -> bytes:
    """A chunk of planes with a fault: a mode, a length, the bytes of a plane; the lengths follow or not."""
    if len(held) < 5 * count or rng.random() < 0.1:
        return plain(held)
    heads = [list(struct.unpack_from("<BI", held, 5 * at)) for at in range(count)]
    at, parts = 5 * count, []
    for _, length in heads:
        parts.append(held[at : at + length])
        at += length
    number = rng.randrange(count)
    kind = rng.randrange(6)
    if kind == 0:
        heads[number][0] = rng.choice((0, 1, 2, 3, 255))
    elif kind == 1:
        heads[number][1] = max(0, min(2**32 - 1, rng.choice((0, 1, heads[number][1] + rng.choice((-1, 1)), 2**32 - 1))))
    elif kind == 2:
        parts.append(rng.randbytes(rng.randrange(1, 4)))
    else:
        mode = heads[number][0]
        parts[number] = _spoiled_plane(rng, mode, parts[number], plain)
        if rng.random() < 0.8:
            heads[number][1] = len(parts[number])
    return b"".join((*(struct.pack("<BI", *head) for head in heads), *parts))


def _spoiled_plane(rng: Random, mode: int, held: bytes, plain: Plain) -> bytes:
    if mode == 1:
        return spoiled_frame(rng, held, plain)
    if mode != 2 or len(held) < 4:
        return plain(held)
    count = int.from_bytes(held[:4], "little")
    ones = list(struct.unpack(f"<{count}I", held[4 : 4 + 4 * count])) if 4 + 4 * count <= len(held) else []
    rest = held[4 + 4 * len(ones) :]
    kind = rng.randrange(5)
    if kind == 0:
        ones.append(rng.choice((0, max(ones, default=0) + 1, 8 * len(rest) // 7, 2**32 - 1)))
    elif kind == 1 and ones:
        ones[rng.randrange(len(ones))] = rng.randrange(2 * len(rest) + 2)
    elif kind == 2 and ones:
        ones.pop(rng.randrange(len(ones)))
    elif kind == 3:
        rest = plain(rest)
    else:
        count += rng.choice((-1, 1, 2**31))
        return (count & 0xFFFFFFFF).to_bytes(4, "little") + held[4:]
    return len(ones).to_bytes(4, "little") + struct.pack(f"<{len(ones)}I", *ones) + rest
