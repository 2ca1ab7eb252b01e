"""XXH64 with seed 0, of which a Zstandard frame's own checksum is the low half (RFC 8878, section 3.1.1)."""

from __future__ import annotations

import struct

_P1, _P2, _P3 = 0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9
_P4, _P5 = 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5
_M = 2**64 - 1


def xxh64(data: bytes) -> int:
    """The checksum as an unsigned integer of 64 bits."""
    at, size = 0, len(data)
    if size >= 32:
        lanes = [_P1 + _P2 & _M, _P2, 0, -_P1 & _M]
        while at + 32 <= size:
            lanes = [_round(lane, word) for lane, word in zip(lanes, struct.unpack_from("<4Q", data, at), strict=True)]
            at += 32
        made = sum(_turned(lane, by) for lane, by in zip(lanes, (1, 7, 12, 18), strict=True)) & _M
        for lane in lanes:
            made = ((made ^ _round(0, lane)) * _P1 + _P4) & _M
    else:
        made = _P5
    made = made + size & _M
    while at + 8 <= size:
        made = (_turned(made ^ _round(0, *struct.unpack_from("<Q", data, at)), 27) * _P1 + _P4) & _M
        at += 8
    if at + 4 <= size:
        made = (_turned(made ^ int.from_bytes(data[at : at + 4], "little") * _P1 & _M, 23) * _P2 + _P3) & _M
        at += 4
    for byte in data[at:]:
        made = _turned(made ^ byte * _P5 & _M, 11) * _P1 & _M
    made = (made ^ made >> 33) * _P2 & _M
    made = (made ^ made >> 29) * _P3 & _M
    return made ^ made >> 32


def _round(lane: int, word: int) -> int:
    return _turned(lane + word * _P2 & _M, 31) * _P1 & _M


def _turned(word: int, by: int) -> int:
    return (word << by | word >> 64 - by) & _M
