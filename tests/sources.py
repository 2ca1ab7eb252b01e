"""Trees without tensors for the tests of planning, and files that hold what they are told."""

import json
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ptformat.columns import Header
from ptformat.converters.content import MemorySource, Saving, Source, whole
from ptformat.converters.files import open_source, write
from ptformat.dtypes import BY_NAME
from ptformat.tree import Alias, Entry, Node, TensorInfo

Array = npt.NDArray[Any]


def source(
    shapes: Mapping[str, tuple[int, ...]],
    *,
    ties: Mapping[str, str] | None = None,
    nodes: Sequence[Node] = (),
    dtypes: Mapping[str, str] | None = None,
    convention: str | None = None,
    **header: Any,
) -> MemorySource:
    """A tree that has no elements: path -> shape. Slashes in a path stand for dots; ties come last, nodes first."""
    entries: list[Entry] = [*nodes]
    for name, shape in shapes.items():
        path = name.replace("/", ".")
        entries.append(TensorInfo(path, (dtypes or {}).get(name, "float32"), shape))
    for name, target in (ties or {}).items():
        entries.append(Alias(name.replace("/", "."), target.replace("/", ".")))
    return MemorySource([(entry, None) for entry in entries], Header(convention=convention, **header))


def bits(name: str, shape: tuple[int, ...], seed: int = 0) -> Array:
    """Every bit random, NaN payloads, infinities and subnormals among them."""
    dtype = BY_NAME[name]
    count = int(np.prod(shape)) * dtype.numpy.itemsize
    top = {"bool": 2}.get(name, 1 << min(dtype.bits, 8))
    data = np.random.default_rng([seed, count]).integers(0, top, count, np.uint8)
    return data.view(dtype.numpy).reshape(shape)


def same(left: Array, right: Array) -> bool:
    """Whether type, shape and every bit are the same."""
    left, right = np.asarray(left), np.asarray(right)
    return (left.dtype, left.shape, left.tobytes()) == (right.dtype, right.shape, right.tobytes())


def read(path: Path) -> dict[str, Array]:
    """Path -> a copy of every tensor of a file of any kind; aliases are left out."""
    opened = open_source(path)
    found = {entry.path: _array(opened, entry) for entry in opened.entries if isinstance(entry, TensorInfo)}
    opened.close()
    return found


def _array(opened: Source, info: TensorInfo) -> Array:
    """A tensor, which must be the same from `array` and from `pieces`."""
    array = np.array(opened.array(info.path))
    assert array.dtype == BY_NAME[info.dtype].numpy
    assert array.shape == info.shape
    streamed = b"".join(bytes(piece) for piece in opened.pieces(info.path))
    assert len(streamed) == info.nbytes
    if BY_NAME[info.dtype].bits >= 8:
        assert streamed == array.tobytes()
    return array


def rewrite(origin: Path, target: Path, **options: Any) -> None:
    """The same tree in the kind of file that the target's name asks for."""
    opened = open_source(origin)
    write(whole(opened), target, Saving(durable=False, **options))
    opened.close()


def safetensors_bytes(header: Any, data: bytes = b"") -> bytes:
    """A .safetensors file whose header is this JSON value, or this text."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def said(dtype: str, shape: Sequence[Any], begin: Any, end: Any) -> dict[str, Any]:
    """What a safetensors header says of one tensor."""
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}
