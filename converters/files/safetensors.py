"""The .safetensors file as source and sink, without the library of that name.

Layout, from the safetensors README: u64 little-endian header length, a JSON header of name -> dtype, shape,
data_offsets (and `__metadata__`, strings only), then the tensors' bytes without holes.

A tied tensor is stored once, as the library's `save_model` does: `__metadata__` says removed name -> kept name.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ptformat import dtypes, paths
from ptformat.atomic import AtomicFile, PathLike
from ptformat.backing import map_file
from ptformat.columns import Header
from ptformat.dtypes import Array
from ptformat.errors import FormatError
from ptformat.limits import MAX_PATH_BYTES
from ptformat.tree import Alias, Entry, Node, TensorInfo, Value

from .. import json_text
from ..content import Content, Entries, Pieces, Saving, check_shape, check_text, straight, untied

MAX_HEADER = 100_000_000  # the library's own limit
_PIECE = 8 * 2**20

# safetensors' name -> ours. F4 counts elements, two to a byte, low bits first.
DTYPES = {
    "BOOL": "bool",
    "U8": "uint8",
    "I8": "int8",
    "F8_E5M2": "float8_e5m2",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E8M0": "float8_e8m0fnu",
    "F8_E4M3FNUZ": "float8_e4m3fnuz",
    "F8_E5M2FNUZ": "float8_e5m2fnuz",
    "I16": "int16",
    "U16": "uint16",
    "F16": "float16",
    "BF16": "bfloat16",
    "I32": "int32",
    "U32": "uint32",
    "F32": "float32",
    "C64": "complex64",
    "F64": "float64",
    "I64": "int64",
    "U64": "uint64",
    "F4": "float4_e2m1fn",
}
_NAMES = {ours: theirs for theirs, ours in DTYPES.items()}
# A name that has another meaning in `__metadata__`.
_NOT_TIED = ("format",)
# The library writes wide types first, so that every tensor is aligned to its element.
_RANK = {ours: rank for rank, ours in enumerate(DTYPES.values())}


def recognises(path: Path, head: bytes) -> bool:
    """Whether a file that begins so is one of these: a header length within the file, then a brace."""
    if head[8:9] != b"{":
        return False
    return 2 <= int.from_bytes(head[:8], "little") <= min(path.stat().st_size, MAX_HEADER)


class SafetensorsSource:
    """A .safetensors file, mapped."""

    kind = "safetensors"
    notes: Sequence[str] = ()

    def __init__(self, path: PathLike) -> None:
        self.name = os.fspath(path)
        self._buffer = memoryview(map_file(path))
        header, self._start = _read_header(self._buffer)
        metadata = header.pop("__metadata__", {})
        tied = {name: metadata.pop(name) for name in _tied(metadata, header)}
        self._places: dict[str, tuple[TensorInfo, tuple[int, int]]] = {}
        self.entries = self._read_entries(header, tied)
        self.header = Header(metadata=metadata, convention="torch" if metadata.get("format") == "pt" else None)

    def _read_entries(self, header: dict[str, Any], tied: dict[str, str]) -> list[Entry]:
        entries = Entries()
        for root in root_of([*header, *tied]):
            entries.add(root)
        end = 0
        segments = paths.split_flat([*header, *tied])
        for name, said in sorted(header.items(), key=lambda item: _begin(item[1])):
            path = paths.render(segments[name])
            info, span = _tensor(name, path, said)
            if span[0] != end:
                raise _malformed(f"tensor {name!r} begins at byte {span[0]} of the data, expected {end}")
            end = span[1]
            self._places[path] = info, span
            entries.add(info)
        size = len(self._buffer) - self._start
        if end != size:
            raise FormatError(
                "TRUNCATED" if end > size else "EXTENT", f"the header describes {end} bytes, {size} follow"
            )
        for name, kept in tied.items():
            entries.add(Alias(paths.render(segments[name]), paths.render(segments[kept])))
        return entries.found

    def array(self, path: str) -> Array:
        """A view of the map."""
        info, _ = self._places[path]
        raw = np.frombuffer(self._bytes(path), np.uint8)
        return dtypes.unpack(raw, dtypes.named(info.dtype), info.shape)

    def _bytes(self, path: str) -> memoryview:
        _, (begin, end) = self._places[path]
        return self._buffer[self._start + begin : self._start + end]

    def pieces(self, path: str) -> Pieces:
        """Views of the map."""
        data = self._bytes(path)
        return (data[at : at + _PIECE] for at in range(0, len(data), _PIECE))

    def close(self) -> None:
        """Let go of the map."""
        self._buffer = memoryview(b"")


def root_of(names: Sequence[str]) -> list[Entry]:
    """The node of the root, where the names need one."""
    if any("." in name for name in names):
        return [Node("", "flat")]
    return [] if names else [Node("", "map")]


def _tied(metadata: Mapping[str, str], header: Mapping[str, Any]) -> list[str]:
    """The metadata keys that record a removed name: their value is a tensor's name, and they are none."""
    found = []
    for name, kept in sorted(metadata.items()):
        if name in header or kept not in header or name in _NOT_TIED or len(name) > MAX_PATH_BYTES:
            continue
        try:
            paths.check(paths.render(paths.split_key(name, ())))
        except FormatError:
            continue  # no name that a tensor could have
        found.append(name)
    return found


def _begin(said: Any) -> tuple[int, int]:
    """Sort key of a header entry: its data offsets."""
    try:
        begin, end = said["data_offsets"]
        return int(begin), int(end)
    except (TypeError, KeyError, ValueError, OverflowError):
        return 0, 0


def _malformed(what: str) -> FormatError:
    return FormatError("MALFORMED", f"safetensors header: {what}")


def _read_header(buffer: memoryview) -> tuple[dict[str, Any], int]:
    size = len(buffer)
    if size < 8:
        raise FormatError("TRUNCATED", f"{size} bytes, a safetensors file has at least 8")
    (length,) = struct.unpack_from("<Q", buffer)
    if length > MAX_HEADER:
        raise FormatError("LIMIT", f"safetensors header of {length} bytes, at most {MAX_HEADER} are allowed")
    if 8 + length > size:
        raise FormatError("TRUNCATED", f"safetensors header of {length} bytes, {size - 8} follow")
    header = json_text.parse(bytes(buffer[8 : 8 + length]), "safetensors header")
    if not isinstance(header, dict):
        raise _malformed(f"a {type(header).__name__}, expected an object")
    metadata = header.get("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise _malformed("__metadata__ is not an object of strings")
    return header, 8 + length


def _tensor(name: str, path: str, said: Any) -> tuple[TensorInfo, tuple[int, int]]:
    if not isinstance(said, dict) or not {"dtype", "shape", "data_offsets"} <= said.keys():
        raise _malformed(f"tensor {name!r} has no dtype, shape and data_offsets")
    if not isinstance(said["dtype"], str) or said["dtype"] not in DTYPES:
        raise FormatError("DTYPE", f"tensor {name!r}: safetensors type {said['dtype']!r} is not known", path=path)
    for key in ("shape", "data_offsets"):
        if not isinstance(said[key], list) or any(type(n) is not int or not 0 <= n < 2**53 for n in said[key]):
            raise _malformed(f"{key} of tensor {name!r} is {said[key]!r}")
    if len(said["data_offsets"]) != 2:
        raise _malformed(f"data_offsets of tensor {name!r} are {said['data_offsets']!r}")
    info = TensorInfo(path, DTYPES[said["dtype"]], tuple(said["shape"]))
    check_shape(info)
    begin, end = said["data_offsets"]
    if end - begin != info.nbytes:
        what = f"{info.dtype} {info.shape} needs {info.nbytes} bytes, data_offsets hold {end - begin}"
        raise FormatError("EXTENT", f"tensor {name!r}: {what}", path=path)
    return info, (begin, end)


@dataclass(frozen=True, slots=True)
class Holding:
    """What one file, or several, are to hold.

    Attributes:
        tensors: (tensor, the entry whose bytes it has), in the tree's order.
        tied: Removed name -> the name under which its tensor is kept.
        metadata: Strings.
    """

    tensors: list[tuple[TensorInfo, TensorInfo | Alias]]
    tied: dict[str, str]
    metadata: dict[str, str]


def holding(content: Content) -> Holding:
    """What content comes to in this format; inner nodes are left out.

    A tie is recorded, unless its axes are permuted or the metadata already use its name: it then becomes a tensor.

    Raises:
        FormatError: TYPE for a value, DTYPE for a type that safetensors lacks, DUPLICATE for two paths of one name.
    """
    if values := [entry.path for entry in content.entries if isinstance(entry, Value)]:
        what = f"{len(values)} values that are no tensors, such as {values[0]!r}"
        raise FormatError("TYPE", f"a .safetensors file cannot hold {what}; keep them in a .ptf", path=values[0])
    held = Holding([], {}, _strings(content.header.metadata, content.header.convention))
    seen: set[str] = set()
    for info, entry in untied(content.entries):
        name = name_of(info.path)
        if name == "__metadata__":
            raise FormatError("PATH", f"{name!r} is no name that safetensors can give a tensor", path=info.path)
        if name in seen:
            raise FormatError("DUPLICATE", f"two tensors would be called {name!r}", path=info.path)
        seen.add(name)
        if isinstance(entry, Alias) and straight(entry) and name not in held.metadata and name not in _NOT_TIED:
            held.tied[name] = name_of(entry.target)
        else:
            _known(info)
            held.tensors.append((info, entry))
    return held


def write(content: Content, path: PathLike, saving: Saving) -> None:
    """Write the tensors, a tied one once with the record of its other names.

    Raises:
        FormatError: What `holding` refuses.
    """
    write_file(holding(content), content, path, durable=saving.durable)


def write_file(held: Holding, content: Content, path: PathLike, *, durable: bool) -> None:
    """Write one file of tensors whose bytes the content has."""
    tensors = sorted(held.tensors, key=lambda pair: (-_RANK[pair[0].dtype], name_of(pair[0].path)))
    header: dict[str, Any] = {}
    if metadata := held.metadata | held.tied:
        header["__metadata__"] = metadata
    end = 0
    for info, _ in tensors:
        span = [end, end + info.nbytes]
        header[name_of(info.path)] = {"dtype": _NAMES[info.dtype], "shape": list(info.shape), "data_offsets": span}
        end = span[1]
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    with AtomicFile(path, durable=durable) as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for info, entry in tensors:
            start = file.position
            for piece in content.pieces(entry):
                file.write(piece)
            assert file.position - start == info.nbytes


def _known(info: TensorInfo) -> None:
    if info.dtype not in _NAMES:
        raise FormatError("DTYPE", f"tensor {info.path!r}: safetensors has no {info.dtype}", path=info.path)


def name_of(path: str) -> str:
    """The name of the tensor at a path: what stands between the dots of a flat key may hold dots itself."""
    return paths.join_flat(paths.parse(path))


def _strings(metadata: Mapping[str, Any], convention: str | None) -> dict[str, str]:
    """Metadata of strings only. What torch's readers look for is said when the names are torch's."""
    kept = {key: value for key, value in metadata.items() if isinstance(value, str)}
    for key, value in kept.items():
        check_text(key + value, f"metadata {key!r}")
    if convention == "torch":
        kept.setdefault("format", "pt")
    elif kept.get("format") == "pt":
        del kept["format"]
    return kept
