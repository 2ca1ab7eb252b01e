"""Codec 2: the bytes of the elements apart, one plane for each place in the element (spec section 6.3).

A trained weight's exponent takes few values and its mantissa is noise: apart, the one shrinks to less than half and the
other is left alone. Zstd's match finder only hurts on the exponents, so it is kept from finding short matches and its
entropy stage does the work. What was measured on MiniLM's weights, as bfloat16 and as float32, in one thread:

- With the first bit of the mantissa the exponent's plane comes to 66.20 % of bfloat16, without it to 66.51 %: that bit
  is 0 more often than 1, and zstd finds fewer of the matches that cost more than they save. The exponent's first bit,
  which takes its place, is 0 below 2.0: it is left out (mode SEVENS).
- A mantissa is tried on a sample: to compress all of it so as to learn that it does not shrink took as long as the
  exponents.
"""

from __future__ import annotations

import struct
import threading
from typing import Any

import numpy as np
import zstandard

from ..dtypes import Array, DType
from ..errors import FormatError
from . import zstd

RAW, ZSTD, SEVENS = 0, 1, 2  # modes of a plane
# Their exponent has 8 bits: they are regrouped, so that seven of them are in one byte.
REGROUPED = ("bfloat16", "float32", "complex64")
_HEAD = struct.Struct("<BI")
_COUNT = struct.Struct("<I")  # of the bytes whose bit 6 is 1
_PARAMETERS = zstandard.ZstdCompressionParameters.from_level(
    1, min_match=7, hash_log=6, write_content_size=True, write_checksum=False, write_dict_id=False
)
_LEAST = 4096  # bytes of a chunk: to take apart fewer takes longer than it is worth
_STEPS = np.arange(6, -1, -1, dtype=np.uint8)[:, None]  # how far each of seven bits is below bit 6
_KEPT = 2**23  # bytes of a buffer that a thread keeps for its next chunk
_SEVENTHS = 0.86  # where zstd leaves less of the second plane, it does better than to leave a bit out
_SAMPLE = 2**15  # bytes of a mantissa's plane that are tried before all are
_REST = np.uint16(0xC03F)  # of a bfloat16: the sign, the first bit of the exponent, all but the first of the mantissa
_threads = threading.local()  # a compressor and buffers serve one thread at a time


def suits(dtype: DType) -> bool:
    """Whether elements of the type have more than one byte to take apart."""
    return dtype.bits // dtype.components > 8


def encode(chunk: memoryview, dtype: DType) -> bytes | None:
    """Modes and lengths of the planes, then the planes; None when the chunk hardly shrinks."""
    if len(chunk) < _LEAST:
        return None
    heads: list[bytes] = []
    parts: list[Any] = []
    for number, plane in enumerate(_apart(chunk, dtype)):
        if dtype.name not in REGROUPED:
            mode, made = _pressed(plane)
        else:
            mode, made = _chosen(plane, number % (dtype.bits // 8 // dtype.components))
        heads.append(_HEAD.pack(mode, sum(map(len, made))))
        parts += made
    stored = b"".join([*heads, *parts])
    return stored if zstd.shrunk(stored, chunk) else None


def decode(stored: memoryview, into: memoryview, dtype: DType) -> None:
    """Put the planes of `stored` together into exactly `into`.

    Raises:
        FormatError: CODEC for modes, lengths or frames that are not those of the chunk, LIMIT as for `zstd`.
    """
    count = dtype.bits // 8
    size = len(into) // count
    at = count * _HEAD.size
    if len(stored) < at:
        raise FormatError("CODEC", f"planes: {len(stored)} stored bytes, the modes and lengths take {at}")
    planes = []
    for number, (mode, length) in enumerate(_HEAD.iter_unpack(stored[:at])):
        if not (mode == RAW and length == size) and not (mode in (ZSTD, SEVENS) and 0 < length < size):
            raise FormatError("CODEC", f"plane {number}: mode {mode} with {length} bytes for {size} elements")
        part = stored[at : at + length]
        at += length
        if len(part) != length:
            raise FormatError("CODEC", f"plane {number} of {length} bytes, {len(part)} are left")
        if mode == SEVENS:
            planes.append(_eights(part, size, number))
        else:
            plane = np.frombuffer(part, np.uint8)
            if mode == ZSTD:
                plane = _warm(f"plane {number}", size)
                zstd.decode(part, plane.data)
            planes.append(plane)
    if at != len(stored):
        raise FormatError("CODEC", f"the planes end at byte {at}, the chunk has {len(stored)}")
    _together(planes, into, dtype)


# ------------------------------------------------------------------------------------------ elements <-> planes


def _apart(chunk: memoryview, dtype: DType) -> list[Array]:
    """The planes: component by component, most significant byte first."""
    count = dtype.bits // 8
    width = count // dtype.components
    size = len(chunk) // count
    planes = [_warm(f"plane {number}", size) for number in range(count)]
    if dtype.name not in REGROUPED:
        elements = np.frombuffer(chunk, np.uint8).reshape(size, count)
        for number, plane in enumerate(planes):
            plane[:] = elements[:, _place(number, width)]
        return planes
    words = np.frombuffer(chunk, f"<u{width}").reshape(size, dtype.components)
    half, turned = _words("half", size), _words("turned", size)
    for component in range(dtype.components):
        coded, rest, *low = planes[component * width : (component + 1) * width]
        word = words[:, component]
        if low:  # the upper half of a float32 is a bfloat16
            np.right_shift(word, np.uint32(16), out=half, casting="unsafe")
        else:
            half = word
        np.right_shift(half, np.uint16(6), out=turned)
        coded[:] = turned
        np.bitwise_and(half, _REST, out=turned)
        np.multiply(turned, np.uint16(0x101), out=turned)  # its upper byte is now both bytes together
        np.right_shift(turned, np.uint16(8), out=turned)
        rest[:] = turned
        if low:
            np.copyto(turned, word, casting="unsafe")
            low[1][:] = turned
            np.right_shift(turned, np.uint16(8), out=turned)
            low[0][:] = turned
    return planes


def _together(planes: list[Array], into: memoryview, dtype: DType) -> None:
    count = len(planes)
    width = count // dtype.components
    size = len(into) // count
    elements = np.frombuffer(into, np.uint8).reshape(size, count)
    if dtype.name not in REGROUPED:
        for number, plane in enumerate(planes):
            elements[:, _place(number, width)] = plane
        return
    words = np.frombuffer(into, f"<u{width}").reshape(size, dtype.components)
    half, turned = _words("half", size), _words("turned", size)
    for component in range(dtype.components):
        coded, rest, *low = planes[component * width : (component + 1) * width]
        word = words[:, component]
        if not low:
            half = word
        half[:] = coded
        np.left_shift(half, np.uint16(6), out=half)
        turned[:] = rest
        np.multiply(turned, np.uint16(0x101), out=turned)
        np.bitwise_and(turned, _REST, out=turned)
        np.bitwise_or(half, turned, out=half)
        if low:
            word[:] = half
            np.left_shift(word, np.uint32(16), out=word)
            half[:] = low[0]
            np.left_shift(half, np.uint16(8), out=half)
            turned[:] = low[1]
            np.bitwise_or(half, turned, out=half)
            np.bitwise_or(word, half, out=word)


def _place(plane: int, width: int) -> int:
    """Byte of the element that a plane holds."""
    return plane // width * width + width - 1 - plane % width


def _words(name: str, size: int) -> Array:
    return _warm(name, 2 * size).view(np.uint16)


def _warm(name: str, nbytes: int) -> Array:
    """Bytes for the time being, the same for each chunk: new ones are pages that the kernel would have to clear."""
    if nbytes > _KEPT:
        return np.empty(nbytes, np.uint8)
    held: dict[str, Array] = _threads.__dict__
    if name not in held or held[name].size < nbytes:
        held[name] = np.empty(nbytes, np.uint8)
    return held[name][:nbytes]


# ------------------------------------------------------------------------------------------- planes <-> their bytes


def _chosen(plane: Array, place: int) -> tuple[int, list[Any]]:
    """Mode and stored bytes of a plane at a place of a regrouped component."""
    if place == 0:
        return _pressed(plane)
    tried = plane
    if plane.size > _SAMPLE:  # four parts of it, evenly spaced
        part = _SAMPLE // 4
        starts = np.linspace(0, plane.size - part, 4, dtype=int).tolist()
        tried = np.concatenate([plane[at : at + part] for at in starts])
    share = len(_compressed(tried)) / tried.size
    if place == 1 and share > _SEVENTHS and (found := _sevens(plane)):
        return found
    return _pressed(plane) if share < zstd.KEEP else (RAW, [plane.data])


def _pressed(plane: Array) -> tuple[int, list[Any]]:
    """Mode and stored bytes: a frame where that is smaller."""
    frame = _compressed(plane)
    return (ZSTD, [frame]) if zstd.shrunk(frame, plane.data) else (RAW, [plane.data])


def _compressed(plane: Array) -> bytes:
    if not hasattr(_threads, "compressor"):
        _threads.compressor = zstandard.ZstdCompressor(compression_params=_PARAMETERS)
    frame: bytes = _threads.compressor.compress(plane.data)
    return frame


def _sevens(plane: Array) -> tuple[int, list[Any]] | None:
    """Mode and stored bytes without bit 6, which is 0 but where the positions say; None where that is no smaller.

    The plane is worked on in place.
    """
    part = -(-plane.size // 8)
    masked = _warm("masked", plane.size)
    np.bitwise_and(plane, np.uint8(0x40), out=masked)
    ones = np.flatnonzero(masked.astype(bool)).astype("<u4") if masked.max() else np.empty(0, "<u4")
    if _COUNT.size + ones.nbytes + 7 * part >= zstd.KEEP * plane.size:
        return None
    if ones.size:
        np.bitwise_xor(plane, masked, out=plane)
    if plane.size % 8:
        plane = np.concatenate([plane, np.zeros(8 * part - plane.size, np.uint8)])
    last = plane[7 * part :]
    spread = (last >> np.uint8(1)) & np.uint8(0x40) | last & np.uint8(0x3F)  # seven bits beside each other
    bits = _warm("masked", 7 * part).reshape(7, part)
    np.multiply(spread, np.uint8(1) << _STEPS, out=bits)  # NumPy has no fast shift to the left of bytes
    np.bitwise_and(bits, np.uint8(0x40), out=bits)
    rows = plane[: 7 * part].reshape(7, part)
    np.bitwise_or(rows, bits, out=rows)
    return SEVENS, [_COUNT.pack(ones.size), ones.view(np.uint8).data, plane[: 7 * part].data]


def _eights(stored: memoryview, size: int, number: int) -> Array:
    """The plane of mode SEVENS."""
    part = -(-size // 8)
    count = int.from_bytes(stored[: _COUNT.size], "little")
    start = _COUNT.size + 4 * count
    if len(stored) != start + 7 * part:
        what = f"{len(stored)} bytes, {count} positions and {size} elements take {start + 7 * part}"
        raise FormatError("CODEC", f"plane {number}: {what}")
    ones = np.frombuffer(stored[_COUNT.size : start], "<u4")
    if (ones[1:] <= ones[:-1]).any() or (ones[-1:] >= size).any():
        raise FormatError("CODEC", f"plane {number}: the positions do not ascend below {size}")
    rows = np.frombuffer(stored[start:], np.uint8)
    whole = _warm(f"plane {number}", 8 * part)
    np.bitwise_and(rows, np.uint8(0xBF), out=whole[: 7 * part])
    bits = _warm("masked", 7 * part).reshape(7, part)
    np.bitwise_and(rows.reshape(7, part), np.uint8(0x40), out=bits)
    np.right_shift(bits, _STEPS, out=bits)
    last = np.bitwise_or.reduce(bits, axis=0, out=whole[7 * part :])
    np.add(last, last & np.uint8(0x40), out=last)  # its bit 6 goes up to bit 7
    if whole[size:].any():
        raise FormatError("CODEC", f"plane {number}: what follows its last element is not zero")
    plane = whole[:size]
    plane[ones] |= np.uint8(0x40)
    return plane
