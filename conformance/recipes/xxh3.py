"""XXH3 with 64 bits of output, seed 0 and the default secret, in plain Python.

Written from the XXH3 specification (https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md), so that the
cases owe nothing to the library that a reader under test may use too.
"""

from __future__ import annotations

import struct

_SECRET = bytes.fromhex(
    "b8fe6c3923a44bbe7c01812cf721ad1cded46de9839097db7240a4a4b7b3671f"
    "cb79e64eccc0e578825ad07dccff7221b8084674f743248ee03590e6813a264c"
    "3c2852bb91c300cb88d0658b1b532ea371644897a20df94e3819ef46a9deacd8"
    "a8fa763fe39c343ff9dcbbc7c70b4f1d8a51e04bcdb45931c89f7ec9d9787364"
    "eac5ac8334d3ebc3c581a0fffa1363eb170ddd51b7f0da49d316552629d4689e"
    "2b16be587d47a1fc8ff8b8d17ad031ce45cb3a8f95160428afd7fbcabb4b407e"
)
_M32, _M64 = 2**32 - 1, 2**64 - 1
_P32 = 0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D
_P64 = 0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5
_MX1, _MX2 = 0x165667919E3779F9, 0x9FB21C651E98DF25
_STRIPE, _STEP = 64, 8  # bytes of input, and of secret, that one round consumes
_ROUNDS = (len(_SECRET) - _STRIPE) // _STEP  # in a block of 1024 bytes


def xxh3_64(data: bytes) -> int:
    """The checksum of section 1 of the specification, as an unsigned integer of 64 bits."""
    size = len(data)
    if size <= 16:
        return _short(data, size)
    if size <= 128:
        return _medium(data, size)
    if size <= 240:
        return _longer(data, size)
    return _long(data)


def _u32(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "little")


def _u64(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 8], "little")


def _secret(at: int) -> int:
    return _u64(_SECRET, at)


def _folded(a: int, b: int) -> int:
    """The halves of the product of 128 bits, joined."""
    product = a * b
    return (product ^ product >> 64) & _M64


def _avalanche(h: int) -> int:
    h ^= h >> 37
    h = h * _MX1 & _M64
    return h ^ h >> 32


def _avalanche64(h: int) -> int:
    """The last step of XXH64."""
    h ^= h >> 33
    h = h * _P64[1] & _M64
    h ^= h >> 29
    h = h * _P64[2] & _M64
    return h ^ h >> 32


def _rotated(x: int, by: int) -> int:
    return (x << by | x >> 64 - by) & _M64


def _short(data: bytes, size: int) -> int:
    if size > 8:
        low = _u64(data, 0) ^ _secret(24) ^ _secret(32)
        high = _u64(data, size - 8) ^ _secret(40) ^ _secret(48)
        return _avalanche(size + int.from_bytes(low.to_bytes(8, "big"), "little") + high + _folded(low, high) & _M64)
    if size >= 4:
        joined = _u32(data, size - 4) + (_u32(data, 0) << 32) ^ _secret(8) ^ _secret(16)
        h = joined ^ _rotated(joined, 49) ^ _rotated(joined, 24)
        h = h * _MX2 & _M64
        h ^= (h >> 35) + size
        h = h * _MX2 & _M64
        return h ^ h >> 28
    if size:
        joined = data[size - 1] | size << 8 | data[0] << 16 | data[size >> 1] << 24
        return _avalanche64(joined ^ _u32(_SECRET, 0) ^ _u32(_SECRET, 4))
    return _avalanche64(_secret(56) ^ _secret(64))


def _mixed(data: bytes, at: int, secret: int) -> int:
    return _folded(_u64(data, at) ^ _secret(secret), _u64(data, at + 8) ^ _secret(secret + 8))


def _medium(data: bytes, size: int) -> int:
    total = size * _P64[0]
    for pair in reversed(range((size - 1) // 32 + 1)):
        total += _mixed(data, 16 * pair, 32 * pair) + _mixed(data, size - 16 * pair - 16, 32 * pair + 16)
    return _avalanche(total & _M64)


def _longer(data: bytes, size: int) -> int:
    total = size * _P64[0]
    for part in range(8):
        total += _mixed(data, 16 * part, 16 * part)
    total = _avalanche(total & _M64)
    for part in range(8, size // 16):
        total += _mixed(data, 16 * part, 16 * (part - 8) + 3)
    return _avalanche(total + _mixed(data, size - 16, 136 - 17) & _M64)


def _long(data: bytes) -> int:
    lanes = [_P32[2], _P64[0], _P64[1], _P64[2], _P64[3], _P32[1], _P64[4], _P32[0]]
    words = struct.unpack(f"<{(len(data) - 1) // _STRIPE * 8}Q", data[: (len(data) - 1) // _STRIPE * _STRIPE])
    keys = [struct.unpack_from("<8Q", _SECRET, _STEP * round) for round in range(_ROUNDS)]
    scramble = struct.unpack_from("<8Q", _SECRET, len(_SECRET) - _STRIPE)
    for stripe in range(len(words) // 8):
        _accumulate(lanes, words[8 * stripe : 8 * stripe + 8], keys[stripe % _ROUNDS])
        if stripe % _ROUNDS == _ROUNDS - 1 and (stripe + 1) * _STRIPE < len(data):
            for i, key in enumerate(scramble):
                lanes[i] = (lanes[i] ^ lanes[i] >> 47 ^ key) * _P32[0] & _M64
    last = struct.unpack("<8Q", data[-_STRIPE:])
    _accumulate(lanes, last, struct.unpack_from("<8Q", _SECRET, len(_SECRET) - _STRIPE - 7))
    total = len(data) * _P64[0]
    for pair in range(4):
        total += _folded(lanes[2 * pair] ^ _secret(11 + 16 * pair), lanes[2 * pair + 1] ^ _secret(19 + 16 * pair))
    return _avalanche(total & _M64)


def _accumulate(lanes: list[int], words: tuple[int, ...], keys: tuple[int, ...]) -> None:
    for i, (word, key) in enumerate(zip(words, keys, strict=True)):
        keyed = word ^ key
        lanes[i ^ 1] = lanes[i ^ 1] + word & _M64
        lanes[i] = lanes[i] + (keyed & _M32) * (keyed >> 32) & _M64
