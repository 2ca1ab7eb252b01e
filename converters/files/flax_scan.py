"""Finds the arrays in the msgpack file of `flax.serialization`: structure and values are read, elements are not.

What is declared is bounded before it is built: items by the bytes that are left and by `MAX_ENTRIES`, an array's
sizes by the rank that a tensor may have.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ptformat import profile
from ptformat.dtypes import BY_NAME
from ptformat.errors import FormatError
from ptformat.limits import MAX_ENTRIES, MAX_PATH_DEPTH, MAX_RANK
from ptformat.tree import TensorInfo

KEY_TYPES = (str, int, float, bool, bytes, type(None))
CHUNKED = "__msgpack_chunked_array__"


@dataclass(frozen=True, slots=True)
class Span:
    """An array found in the file.

    Attributes:
        dtype: Element type.
        shape: Dimensions, in elements.
        spans: (start, length) of its bytes in the file; several where it is in chunks.
    """

    dtype: str
    shape: tuple[int, ...]
    spans: tuple[tuple[int, int], ...]


class Scanner:
    """Reads structure and values, and only finds where arrays lie."""

    def __init__(self, buffer: memoryview) -> None:
        self._buffer = buffer
        self._left = 2 * MAX_ENTRIES  # items: a byte, such as that of an empty map, can become 100 in memory

    def value(self, at: int = 0, depth: int = 0) -> tuple[Any, int]:
        """The value at a byte, its arrays as `Span`, and the byte behind it.

        Raises:
            FormatError: TRUNCATED, MALFORMED, LIMIT, TYPE, DTYPE, SHAPE, EXTENT, DUPLICATE.
        """
        start = at
        kind, head, at = profile.token(self._buffer, at, strict=False)
        if kind == "scalar":
            return head, at
        if kind == "ext":
            return self._ext(head[0], head[1], at)
        if kind == "str":
            return profile.text(self._buffer, at, head), at + head
        if kind == "bin":
            self._reach(at, head, "bytes")
            return bytes(self._buffer[at : at + head]), at + head
        if depth > MAX_PATH_DEPTH:
            raise FormatError("LIMIT", f"msgpack byte {start}: nested deeper than {MAX_PATH_DEPTH}")
        self._reach(at, head, "items")
        self._left -= head
        if self._left < 0:
            raise FormatError(
                "LIMIT", f"msgpack byte {start}: more than {2 * MAX_ENTRIES} items in all arrays and maps"
            )
        return self._array(at, head, depth) if kind == "array" else self._map(at, head, depth)

    def _array(self, at: int, count: int, depth: int) -> tuple[list[Any], int]:
        items = []
        for _ in range(count):
            item, at = self.value(at, depth + 1)
            items.append(item)
        return items, at

    def _map(self, at: int, count: int, depth: int) -> tuple[Any, int]:
        members: dict[Any, Any] = {}
        for _ in range(count):
            start = at
            key, at = self.value(at, depth + 1)
            if type(key) not in KEY_TYPES:
                what = f"a map key of type {type(key).__name__}, expected text, bytes, a number, a bool or nil"
                raise FormatError("TYPE", f"msgpack byte {start}: {what}")
            if key in members:  # 1, 1.0 and true are one key, in Python
                raise FormatError("DUPLICATE", f"msgpack byte {start}: map key {key!r} is repeated")
            members[key], at = self.value(at, depth + 1)
        return (_unchunk(members) if CHUNKED in members else members), at

    def _ext(self, code: int, size: int, at: int) -> tuple[Span, int]:
        self._reach(at, size, "bytes of an extension")
        end = at + size
        if code not in (1, 3):
            what = "a Python complex" if code == 2 else f"extension type {code}"
            raise FormatError("TYPE", f"msgpack byte {at}: {what} has no place in the format")
        kind, count, at = profile.token(self._buffer, at, strict=False)
        if (kind, count) != ("array", 3):
            raise _malformed(at, f"an array is [shape, dtype, bytes], found {kind} {count}")
        shape, at = self._shape(at)
        kind, size, at = profile.token(self._buffer, at, strict=False)
        # Bytes, in files of old.
        name = profile.text(self._buffer, at, size) if kind in ("str", "bin") else f"({kind})"
        if name not in BY_NAME or BY_NAME[name].bits < 8:
            raise FormatError("DTYPE", f"msgpack byte {at}: array of type {name!r}, which is not read")
        kind, length, at = profile.token(self._buffer, at + size, strict=False)
        if kind not in ("bin", "str"):
            raise _malformed(at, f"array of shape {shape} with {kind} data")
        needed = TensorInfo("", name, shape).nbytes
        if needed != length or at + length != end:
            raise FormatError("EXTENT", f"msgpack byte {at}: {name} {shape} needs {needed} bytes, found {length}")
        return Span(name, shape, ((at, length),)), end

    def _shape(self, at: int) -> tuple[tuple[int, ...], int]:
        start = at
        kind, rank, at = profile.token(self._buffer, at, strict=False)
        if kind != "array":
            raise _malformed(start, f"array whose shape is {kind}")
        sizes = []
        for _ in range(_known_rank(rank, f"msgpack byte {start}: an array")):
            kind, size, at = profile.token(self._buffer, at, strict=False)
            if type(size) is not int or kind != "scalar" or size < 0:
                raise _malformed(start, f"array whose shape holds {kind if kind != 'scalar' else size}")
            sizes.append(size)
        return tuple(sizes), at

    def _reach(self, at: int, count: int, what: str) -> None:
        left = len(self._buffer) - at
        if count > left:
            raise FormatError("TRUNCATED", f"msgpack byte {at}: {count} {what} expected, {left} bytes are left")


def _malformed(at: int, what: str) -> FormatError:
    return FormatError("MALFORMED", f"msgpack byte {at}: {what}")


def _known_rank(rank: int, what: str) -> int:
    """The rank, if a tensor may have it: before the product of so many sizes is taken."""
    if rank > MAX_RANK:
        raise FormatError("SHAPE", f"{what} of rank {rank}, at most {MAX_RANK}")
    return rank


def _unchunk(members: dict[Any, Any]) -> Span:
    """An array in chunks, from the map that holds them."""
    sizes, chunks = members.get("shape"), members.get("chunks")
    if not isinstance(sizes, dict) or not isinstance(chunks, dict) or not chunks:
        raise FormatError("MALFORMED", "a chunked array without its shape and chunks")
    shape: list[Any] = [sizes.get(str(i)) for i in range(_known_rank(len(sizes), "a chunked array"))]
    parts: list[Any] = [chunks.get(str(i)) for i in range(len(chunks))]
    for what, numbered, kind in (("sizes", shape, int), ("chunks", parts, Span)):
        if any(type(each) is not kind for each in numbered):
            raise FormatError("MALFORMED", f"a chunked array whose {what} are not numbered from 0 on")
    if any(size < 0 for size in shape):
        raise FormatError("MALFORMED", f"a chunked array of shape {shape}")
    found = Span(parts[0].dtype, tuple(shape), tuple(span for part in parts for span in part.spans))
    needed = TensorInfo("", found.dtype, found.shape).nbytes
    held = sum(length for _, length in found.spans)
    if held != needed or any(part.dtype != found.dtype for part in parts):
        raise FormatError("EXTENT", f"a chunked array {found.dtype} {found.shape} needs {needed} bytes, found {held}")
    return found
