"""The msgpack file of `flax.serialization` as source and sink, without flax.

Layout, from flax/serialization.py: nested maps with string keys (those of an nnx pure dict may be integers, and msgpack
holds any scalar as a key); an array is ext type 1 holding the msgpack array
[shape, dtype name, bytes]; a NumPy scalar ext 3, likewise; a Python complex ext 2. An array of more than 2**30 bytes
is a map {"__msgpack_chunked_array__": true, "shape": {"0": n, …}, "chunks": {"0": array, …}}.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgpack
import numpy as np

from ptformat import dtypes, paths, profile
from ptformat.atomic import AtomicFile, PathLike
from ptformat.backing import map_file
from ptformat.columns import Header
from ptformat.containers import build, placed
from ptformat.dtypes import BY_NAME, Array
from ptformat.errors import FormatError
from ptformat.limits import MAX_PATH_DEPTH
from ptformat.paths import Segments
from ptformat.tree import Alias, Entry, Node, TensorInfo, Value

from ..content import Content, Pieces, Saving, check_shape, untied
from .spool import gather

CHUNK_BYTES = 2**30
KEY_TYPES = (str, int, float, bool, bytes, type(None))
_CHUNKED = "__msgpack_chunked_array__"
_PIECE = 8 * 2**20
_Tensors = dict[str, tuple[TensorInfo, TensorInfo | Alias]]


def recognises(path: Path, head: bytes) -> bool:
    """Whether a file that begins so is one of these: a msgpack map."""
    return bool(head) and (0x80 <= head[0] <= 0x8F or head[0] in (0xDE, 0xDF))


@dataclass(frozen=True, slots=True)
class _Span:
    """An array found in the file: type, shape, and where its bytes lie."""

    dtype: str
    shape: tuple[int, ...]
    spans: tuple[tuple[int, int], ...]  # (start, length), in bytes


class FlaxMsgpackSource:
    """A flax msgpack file, mapped: only its structure is read."""

    kind = "flax msgpack"
    notes: Sequence[str] = ()

    def __init__(self, path: PathLike) -> None:
        self.name = os.fspath(path)
        self._buffer = memoryview(map_file(path))
        tree, end = _Scanner(self._buffer).value(0, 0)
        if end != len(self._buffer):
            raise FormatError("MALFORMED", f"{len(self._buffer) - end} bytes follow the msgpack map, expected none")
        self._spans: dict[str, _Span] = {}
        self.entries: list[Entry] = []
        self._enter((), tree)
        self.header = Header()

    def _enter(self, at: Segments, tree: Any, in_flat: bool = False) -> None:
        path = paths.render(at)
        if isinstance(tree, _Span):
            paths.check(path)
            self._spans[path] = tree
            info = TensorInfo(path, tree.dtype, tree.shape)
            check_shape(info)
            self.entries.append(info)
        elif isinstance(tree, dict):
            form, places = placed(tree, path)
            if form == "keys":
                self.entries.append(Node(path, form, keys=tuple(tree)))
            elif form == "flat" or not tree or in_flat:
                self.entries.append(Node(path, form))
            for key, segments in places:
                self._enter((*at, *segments), tree[key], form == "flat")
        elif isinstance(tree, list):
            self.entries.append(Node(path, "list"))
            for number, item in enumerate(tree):
                self._enter((*at, str(number)), item)
        else:
            self.entries.append(Value(path, tree))

    def array(self, path: str) -> Array:
        """A view of the map; an array in chunks is gathered in a temporary file."""
        span = self._spans[path]
        dtype = dtypes.named(span.dtype)
        if len(span.spans) == 1:
            ((start, length),) = span.spans
            return np.frombuffer(self._buffer[start : start + length], dtype.numpy).reshape(span.shape)
        nbytes = sum(length for _, length in span.spans)
        return gather(self.pieces(path), nbytes).view(dtype.numpy).reshape(span.shape)

    def pieces(self, path: str) -> Pieces:
        """Views of the map."""
        for start, length in self._spans[path].spans:
            for at in range(start, start + length, _PIECE):
                yield self._buffer[at : min(at + _PIECE, start + length)]

    def close(self) -> None:
        """Let go of the map."""
        self._buffer = memoryview(b"")


class _Scanner:
    """Reads structure and values, and only finds where arrays lie."""

    def __init__(self, buffer: memoryview) -> None:
        self.buffer = buffer

    def value(self, at: int, depth: int) -> tuple[Any, int]:
        start = at
        kind, head, at = profile.token(self.buffer, at, strict=False)
        if kind == "scalar":
            return head, at
        if kind == "ext":
            return self.ext(head[0], head[1], at, depth)
        if kind == "str":
            return profile.text(self.buffer, at, head), at + head
        if kind == "bin":
            self.reach(at, head, "bytes")
            return bytes(self.buffer[at : at + head]), at + head
        if depth > MAX_PATH_DEPTH:
            raise FormatError("LIMIT", f"msgpack byte {start}: nested deeper than {MAX_PATH_DEPTH}")
        self.reach(at, head, "items")
        if kind == "array":
            items = []
            for _ in range(head):
                item, at = self.value(at, depth + 1)
                items.append(item)
            return items, at
        return self.map(at, head, depth)

    def map(self, at: int, count: int, depth: int) -> tuple[Any, int]:
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
        return (_unchunk(members) if _CHUNKED in members else members), at

    def ext(self, code: int, size: int, at: int, depth: int) -> tuple[Any, int]:
        self.reach(at, size, "bytes of an extension")
        if depth > MAX_PATH_DEPTH:  # a shape may hold another extension
            raise FormatError("LIMIT", f"msgpack byte {at}: nested deeper than {MAX_PATH_DEPTH}")
        end = at + size
        if code not in (1, 3):
            what = "a Python complex" if code == 2 else f"extension type {code}"
            raise FormatError("TYPE", f"msgpack byte {at}: {what} has no place in the format")
        kind, count, at = profile.token(self.buffer, at, strict=False)
        if (kind, count) != ("array", 3):
            raise FormatError(
                "MALFORMED", f"msgpack byte {at}: an array is [shape, dtype, bytes], found {kind} {count}"
            )
        shape, at = self.value(at, depth + 1)
        name, at = self.value(at, depth + 1)
        kind, length, at = profile.token(self.buffer, at, strict=False)
        name = name.decode(errors="replace") if isinstance(name, bytes) else name
        if type(name) is not str or name not in BY_NAME or BY_NAME[name].bits < 8:
            raise FormatError("DTYPE", f"msgpack byte {at}: array of type {name!r}, which is not read")
        if kind not in ("bin", "str") or type(shape) is not list or any(type(n) is not int or n < 0 for n in shape):
            raise FormatError("MALFORMED", f"msgpack byte {at}: array of shape {shape} with {kind} data")
        needed = TensorInfo("", name, tuple(shape)).nbytes
        if needed != length or at + length != end:
            raise FormatError(
                "EXTENT", f"msgpack byte {at}: {name} {tuple(shape)} needs {needed} bytes, found {length}"
            )
        return _Span(name, tuple(shape), ((at, length),)), end

    def reach(self, at: int, count: int, what: str) -> None:
        left = len(self.buffer) - at
        if count > left:
            raise FormatError("TRUNCATED", f"msgpack byte {at}: {count} {what} expected, {left} bytes are left")


def _unchunk(members: dict[str, Any]) -> _Span:
    try:
        shape = tuple(members["shape"][str(i)] for i in range(len(members["shape"])))
        parts = [members["chunks"][str(i)] for i in range(len(members["chunks"]))]
        found = _Span(parts[0].dtype, shape, tuple(span for part in parts for span in part.spans))
        needed = TensorInfo("", found.dtype, shape).nbytes
        if any(type(n) is not int or n < 0 for n in shape):
            raise TypeError
    except (KeyError, TypeError, AttributeError, IndexError):
        raise FormatError("MALFORMED", "a chunked array without its shape and chunks") from None
    held = sum(length for _, length in found.spans)
    if held != needed or any(part.dtype != found.dtype for part in parts):
        raise FormatError("EXTENT", f"a chunked array {found.dtype} {shape} needs {needed} bytes, found {held}")
    return found


def write(content: Content, path: PathLike, saving: Saving) -> None:
    """Write nested maps of arrays and values; a tied tensor is written at each of its places, keys as they are.

    Lists and tuples become maps of "0", "1", …, as flax's own state dicts have them.

    Raises:
        FormatError: DTYPE for a sub-byte type, TYPE for keys that are tuples.
    """
    tensors = {info.path: (info, entry) for info, entry in untied(content.entries)}
    root = _nested(content)
    with AtomicFile(path, durable=saving.durable) as file:
        for part in _stream(root, tensors, content):
            file.write(part)


def _nested(content: Content) -> Any:
    """Nested containers whose leaves are entries."""
    for node in content.entries:
        if isinstance(node, Node) and any(type(key) not in KEY_TYPES for key in node.keys or ()):
            what = "a map whose keys are tuples cannot stand in a flax msgpack file"
            raise FormatError("TYPE", f"{node.path!r}: {what}", path=node.path)
    return build(content.entries, {entry.path: entry for entry in content.entries}.__getitem__)


def _stream(tree: Any, tensors: _Tensors, content: Content) -> Iterator[Any]:
    if isinstance(tree, (list, tuple)):
        fields = getattr(tree, "_fields", None) or map(str, range(len(tree)))
        tree = dict(zip(fields, tree, strict=True))
    if isinstance(tree, dict):
        yield msgpack.Packer().pack_map_header(len(tree))
        for key, child in tree.items():
            yield msgpack.packb(key)
            yield from _stream(child, tensors, content)
    elif isinstance(tree, Value):
        yield msgpack.packb(tree.value)
    else:
        info, entry = tensors[tree.path]
        if BY_NAME[info.dtype].bits < 8:
            raise FormatError("DTYPE", f"tensor {info.path!r}: {info.dtype} in a flax msgpack file", path=info.path)
        yield from _stream_array(info, content.pieces(entry))


def _stream_array(info: TensorInfo, pieces: Pieces) -> Iterator[Any]:
    itemsize = BY_NAME[info.dtype].bits // 8
    if info.nbytes <= CHUNK_BYTES:
        yield _array_head(info.shape, info.dtype, info.nbytes)
        yield from pieces
        return
    per = max(1, CHUNK_BYTES // itemsize)
    count = -(-info.count // per)
    yield msgpack.Packer().pack_map_header(3)
    yield msgpack.packb(_CHUNKED) + msgpack.packb(True)
    yield msgpack.packb("shape") + msgpack.packb({str(i): n for i, n in enumerate(info.shape)})
    yield msgpack.packb("chunks") + msgpack.Packer().pack_map_header(count)
    rest = memoryview(b"")
    for number in range(count):
        elements = min(per, info.count - number * per)
        yield msgpack.packb(str(number)) + _array_head((elements,), info.dtype, elements * itemsize)
        missing = elements * itemsize
        while missing:
            rest = rest or memoryview(next(pieces)).cast("B")
            yield rest[:missing]
            taken = min(missing, len(rest))
            rest, missing = rest[taken:], missing - taken


def _array_head(shape: tuple[int, ...], dtype: str, nbytes: int) -> bytes:
    """Everything before an array's bytes: the ext header, shape, type name, and the head of the bytes."""
    inner = msgpack.Packer().pack_array_header(3) + msgpack.packb(shape) + msgpack.packb(dtype)
    width, lead = (1, 0xC4) if nbytes < 1 << 8 else (2, 0xC5) if nbytes < 1 << 16 else (4, 0xC6)
    inner += bytes([lead]) + nbytes.to_bytes(width, "big")
    head: bytes = _ext_head(len(inner) + nbytes) + inner
    return head


def _ext_head(size: int) -> bytes:
    if size in (1, 2, 4, 8, 16):
        return bytes([0xD4 + size.bit_length() - 1, 1])
    width, lead = (1, 0xC7) if size < 1 << 8 else (2, 0xC8) if size < 1 << 16 else (4, 0xC9)
    return bytes([lead]) + size.to_bytes(width, "big") + b"\x01"
