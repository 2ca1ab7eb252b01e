"""An orbax checkpoint directory as sink: written by tensorstore, a chunk at a time, without orbax and jax."""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ptformat import dtypes
from ptformat.atomic import PathLike, naming
from ptformat.containers import build
from ptformat.errors import FormatError
from ptformat.tree import Alias, Entry, TensorInfo, Value

from ..content import Content, Pieces, Saving, untied
from . import orbax_tree
from .folder import whole_folder
from .orbax import ITEMS, ONE_AT_A_TIME, STRINGS, TREE, VALUES, spec_of, tensorstore

CHUNK_BYTES = 16 * 2**20  # of a zarr chunk that is written
_OS_ERROR = re.compile(r"\bos_error_code='(\d+)'")
_HANDLER = "orbax.checkpoint._src.handlers.standard_checkpoint_handler.StandardCheckpointHandler"


def write(content: Content, path: PathLike, saving: Saving) -> None:
    """Write a directory that `StandardCheckpointer().restore` gives back as NumPy arrays.

    orbax tells keys as text, tuples as lists, namedtuples as dicts of their fields, and holds no ties: a tied tensor
    is written under each of its names.

    Raises:
        FormatError: DTYPE for a type that tensorstore lacks, TYPE for bytes, for integers beyond 64 bits and for a
            tree that is one value or nothing, DUPLICATE for two leaves of one name.
    """
    ts = tensorstore()
    tensors = {info.path: (info, entry) for info, entry in untied(content.entries)}
    rows, texts, arrays = _rows(ts, content, {path: info for path, (info, _) in tensors.items()})
    with whole_folder(path, _replaceable, durable=saving.durable) as made, _system_errors(made):
        context = ts.Context({**ONE_AT_A_TIME, "file_io_sync": False})  # all is put on disk at the end
        for name, leaf in arrays.items():
            if isinstance(leaf, Value):
                value = np.asarray(leaf.value, VALUES[type(leaf.value)])
                _store(ts, made, name, TensorInfo(leaf.path, value.dtype.name, ()), iter([value.tobytes()]), context)
            else:
                info, entry = tensors[leaf.path]
                _store(ts, made, name, info, content.pieces(entry), context)
        said: dict[str, Any] = {"tree_metadata": rows, "use_ocdbt": True, "use_zarr3": False}
        said |= {"store_array_data_equal_to_fill_value": True, "custom_metadata": None}
        if texts:
            _put(made / STRINGS, texts)
        _put(made / TREE, said)
        _put(made / ITEMS, {"item_handlers": _HANDLER, "metrics": {}, "custom_metadata": {}})


def _put(path: Path, said: Any) -> None:
    with naming(path):
        path.write_text(json.dumps(said), "utf-8")


@contextlib.contextmanager
def _system_errors(folder: Path) -> Iterator[None]:
    """What the system refused tensorstore, a full disk, as the OSError that it is."""
    try:
        yield
    except (ValueError, OSError, KeyError, NotImplementedError) as error:
        if found := _OS_ERROR.search(str(error)):
            number = int(found[1])
            raise OSError(number, os.strerror(number), str(folder)) from error
        raise


def _replaceable(folder: Path) -> bool:
    """One checkpoint; not a step of several items nor a directory of steps, in which more would be lost."""
    return (folder / TREE).is_file()


def losses(content: Content) -> list[str]:
    """A line for each thing that such a directory does not tell."""
    return orbax_tree.losses(build(content.entries, lambda path: path))


def _rows(
    ts: Any, content: Content, tensors: dict[str, TensorInfo]
) -> tuple[dict[str, Any], dict[str, str], dict[str, Entry]]:
    """Of `_METADATA`, of `_strings.json`, and name -> entry of what becomes an array; all that is refused is."""
    entries = {entry.path: entry for entry in content.entries}
    rows: dict[str, Any] = {}
    texts: dict[str, str] = {}
    arrays: dict[str, Entry] = {}
    for keys, leaf in orbax_tree.told(build(content.entries, entries.__getitem__)):
        path = leaf.path if isinstance(leaf, (TensorInfo, Alias, Value)) else ""
        if isinstance(leaf, Value) and leaf.value is None:
            leaf = None
        if not keys and not isinstance(leaf, (TensorInfo, Alias)):
            raise FormatError("TYPE", "an orbax checkpoint holds no tree that is one value, or empty", path="")
        name, shown = ".".join(key for key, _ in keys), str(tuple(key for key, _ in keys))
        if shown in rows or name in arrays or name in texts:
            raise FormatError("DUPLICATE", f"two leaves would be called {name!r} in an orbax checkpoint", path=path)
        if isinstance(leaf, Value) and type(leaf.value) is str:
            kind, texts[name] = "string", leaf.value
        elif isinstance(leaf, Value):
            kind, arrays[name] = "scalar", leaf
            if type(leaf.value) not in VALUES or (type(leaf.value) is int and not -(2**63) <= leaf.value < 2**63):
                what = f"{type(leaf.value).__name__} value {str(leaf.value)[:40]}"
                raise FormatError("TYPE", f"{path!r}: an orbax checkpoint cannot hold the {what}", path=path)
        elif isinstance(leaf, (TensorInfo, Alias)):
            kind, arrays[name] = "np.ndarray", leaf
            _check_type(ts, tensors[path])
        else:
            kind = "None" if leaf is None else type(leaf).__name__.capitalize()
        told = {
            "value_type": kind,
            "skip_deserialize": leaf is None or not isinstance(leaf, (TensorInfo, Alias, Value)),
        }
        rows[shown] = {"key_metadata": [{"key": k, "key_type": t} for k, t in keys], "value_metadata": told}
    return rows, texts, arrays


def _check_type(ts: Any, info: TensorInfo) -> None:
    try:
        ts.dtype(info.dtype)
    except (ValueError, TypeError):
        what = f"tensor {info.path!r}: tensorstore, and so orbax, has no {info.dtype}"
        raise FormatError("DTYPE", what, path=info.path) from None


def _store(ts: Any, root: Path, name: str, info: TensorInfo, pieces: Pieces, context: Any) -> None:
    """Write one array, a chunk after the other: what is not on disk is one chunk and what OCDBT makes of it."""
    dtype = dtypes.named(info.dtype)
    chunk = _chunk(info, dtype.numpy.itemsize)
    spec = spec_of(root, name, ocdbt=True, zarr3=False) | {"store_data_equal_to_fill_value": True}
    spec["metadata"] = {"compressor": {"id": "zstd", "level": 1}, "chunks": [max(1, size) for size in chunk]}
    store = ts.open(
        spec, create=True, open=True, dtype=ts.dtype(info.dtype), shape=info.shape, context=context
    ).result()
    if dtype.bits < 8:
        packed = np.frombuffer(b"".join(bytes(piece) for piece in pieces), np.uint8)
        pieces = iter([dtypes.unpack(packed, dtype, (info.count,)).view(np.uint8)])
    if not info.count:
        return
    rest = memoryview(b"")
    for at in _boxes(info.shape, chunk):
        shape = tuple(part.stop - part.start for part in at)
        band = np.empty(math.prod(shape) * dtype.numpy.itemsize, np.uint8)
        filled = 0
        while filled < band.size:
            rest = rest or memoryview(next(pieces)).cast("B")
            taken = min(band.size - filled, len(rest))
            band[filled : filled + taken] = np.frombuffer(rest[:taken], np.uint8)
            rest, filled = rest[taken:], filled + taken
        store[at].write(band.view(dtype.numpy).reshape(shape), can_reference_source_data_indefinitely=True).result()


def _chunk(info: TensorInfo, itemsize: int) -> tuple[int, ...]:
    """The largest box of at most `CHUNK_BYTES` whose elements stand together in the tensor."""
    shape = list(info.shape)
    for axis, size in enumerate(info.shape):
        row = math.prod(shape[axis + 1 :]) * itemsize
        if size * row <= CHUNK_BYTES:
            break
        shape[axis] = max(1, CHUNK_BYTES // max(1, row))
        if shape[axis] > 1:
            break
    return tuple(shape)


def _boxes(shape: tuple[int, ...], chunk: tuple[int, ...]) -> Iterator[tuple[slice, ...]]:
    """The chunks' places, in the order of the elements."""
    counts = [-(-size // part) for size, part in zip(shape, chunk, strict=True)]
    for index in np.ndindex(*counts):
        yield tuple(
            slice(i * part, min((i + 1) * part, size)) for i, part, size in zip(index, chunk, shape, strict=True)
        )
