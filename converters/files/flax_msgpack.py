"""The msgpack file of `flax.serialization` as source and sink, without flax.

Layout, from flax/serialization.py: nested maps with string keys (those of an nnx pure dict may be integers, and msgpack
holds any scalar as a key); an array is ext type 1 holding the msgpack array
[shape, dtype name, bytes]; a NumPy scalar ext 3, likewise; a Python complex ext 2. An array of more than 2**30 bytes
is a map {"__msgpack_chunked_array__": true, "shape": {"0": n, …}, "chunks": {"0": array, …}}.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgpack
import numpy as np

from ptformat import dtypes, paths
from ptformat.atomic import AtomicFile, PathLike
from ptformat.backing import map_file
from ptformat.columns import Header
from ptformat.containers import build, placed
from ptformat.dtypes import BY_NAME, Array
from ptformat.errors import FormatError
from ptformat.paths import Segments
from ptformat.tree import Alias, Node, TensorInfo, Value

from ..content import Content, Entries, Pieces, Saving, check_shape, check_text, untied
from .flax_scan import CHUNKED, KEY_TYPES, Scanner, Span
from .spool import gather

CHUNK_BYTES = 2**30
_PIECE = 8 * 2**20
_Tensors = dict[str, tuple[TensorInfo, TensorInfo | Alias]]


def recognises(path: Path, head: bytes) -> bool:
    """Whether a file that begins so is one of these: a msgpack map."""
    return bool(head) and (0x80 <= head[0] <= 0x8F or head[0] in (0xDE, 0xDF))


class FlaxMsgpackSource:
    """A flax msgpack file, mapped: only its structure is read."""

    kind = "flax msgpack"
    notes: Sequence[str] = ()

    def __init__(self, path: PathLike) -> None:
        self.name = os.fspath(path)
        self._buffer = memoryview(map_file(path))
        tree, end = Scanner(self._buffer).value()
        if end != len(self._buffer):
            raise FormatError("MALFORMED", f"{len(self._buffer) - end} bytes follow the msgpack map, expected none")
        self._spans: dict[str, Span] = {}
        self._entries = Entries()
        self._enter((), tree)
        self.entries = self._entries.found
        self.header = Header()

    def _enter(self, at: Segments, tree: Any, in_flat: bool = False) -> None:
        path = paths.render(at)
        if isinstance(tree, Span):
            info = TensorInfo(path, tree.dtype, tree.shape)
            check_shape(info)
            self._entries.add(info)
            self._spans[path] = tree
        elif isinstance(tree, dict):
            paths.check(path)  # before longer ones are made of it
            form, places = placed(tree, path)
            if form == "keys":
                self._entries.add(Node(path, form, keys=tuple(tree)))
            elif form == "flat" or not tree or in_flat:
                self._entries.add(Node(path, form))
            for key, segments in places:
                self._enter((*at, *segments), tree[key], form == "flat")
        elif isinstance(tree, list):
            self._entries.add(Node(path, "list"))
            for number, item in enumerate(tree):
                self._enter((*at, str(number)), item)
        else:
            self._entries.add(Value(path, tree))

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


def write(content: Content, path: PathLike, saving: Saving) -> None:
    """Write nested maps of arrays and values; a tied tensor is written at each of its places, keys as they are.

    Lists and tuples become maps of "0", "1", …, as flax's own state dicts have them.

    Raises:
        FormatError: DTYPE for a sub-byte type, TYPE for keys that are tuples and for text that has no UTF-8 form.
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
        if isinstance(tree.value, str):
            check_text(tree.value, f"value {tree.path!r}")
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
    yield msgpack.packb(CHUNKED) + msgpack.packb(True)
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
