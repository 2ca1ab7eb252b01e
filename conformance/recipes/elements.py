"""The element types (spec section 5.1), and small patterns of bytes to fill tensors with."""

from __future__ import annotations

import math
from collections.abc import Sequence

BITS = {
    "bool": 8,
    "int2": 2,
    "int4": 4,
    "int8": 8,
    "int16": 16,
    "int32": 32,
    "int64": 64,
    "uint2": 2,
    "uint4": 4,
    "uint8": 8,
    "uint16": 16,
    "uint32": 32,
    "uint64": 64,
    "float16": 16,
    "bfloat16": 16,
    "float32": 32,
    "float64": 64,
    "complex64": 64,
    "complex128": 128,
    "float8_e4m3fn": 8,
    "float8_e5m2": 8,
    "float8_e4m3fnuz": 8,
    "float8_e5m2fnuz": 8,
    "float8_e4m3b11fnuz": 8,
    "float8_e8m0fnu": 8,
    "float8_e3m4": 8,
    "float8_e4m3": 8,
    "float4_e2m1fn": 4,
}
CODES = {name: code for code, name in enumerate(BITS)}
COMPONENTS = {"complex64": 2, "complex128": 2}  # of an element; 1 for others
REGROUPED = ("bfloat16", "float32", "complex64")  # types whose bits codec planes regroups (section 6.3)


def nbytes(dtype: str, shape: Sequence[int]) -> int:
    """Decoded bytes of a tensor."""
    return (math.prod(shape) * BITS[dtype] + 7) // 8


def ramp(dtype: str, shape: Sequence[int], first: int = 1) -> bytes:
    """Decoded bytes of a tensor, no two neighbours alike: `first`, `first + 7`, …, bools in turn, tails zero."""
    size = nbytes(dtype, shape)
    if dtype == "bool":
        return bytes((first + i) % 2 for i in range(size))
    made = bytearray((first + 7 * i) % 256 for i in range(size))
    used = math.prod(shape) * BITS[dtype] % 8
    if used:
        made[-1] &= (1 << used) - 1
    return bytes(made)


def turned(dtype: str, shape: Sequence[int], data: bytes, perm: Sequence[int]) -> bytes:
    """The tensor's elements in the order of an alias with this perm (section 3.4), laid out as a tensor's."""
    bits = BITS[dtype]
    whole = int.from_bytes(data, "little")
    count = math.prod(shape)
    if not count:
        return b""
    mask = (1 << bits) - 1
    steps = [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
    sizes = [shape[axis] for axis in perm]
    strides = [steps[axis] for axis in perm]
    made = 0
    for at in range(count):
        rest, source = at, 0
        for size, stride in zip(reversed(sizes), reversed(strides), strict=True):
            rest, index = divmod(rest, size)
            source += index * stride
        made |= (whole >> source * bits & mask) << at * bits
    return made.to_bytes(len(data), "little")
