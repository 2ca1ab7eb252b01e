"""An orbax checkpoint directory as source and sink: by tensorstore alone, without a mesh, the model, or jax.

Layout, from orbax's checkpoint format guide: `_METADATA` (JSON) describes the tree; each array is a zarr array (2, or
3 where it says `use_zarr3`) called by its keys joined with dots, within one OCDBT database (`manifest.ocdbt`) or, where
it does not `use_ocdbt`, in a directory each; texts stand in `_strings.json`. A directory of several items, such as a
step of a CheckpointManager, has `_CHECKPOINT_METADATA` and a directory for each item.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ptformat import dtypes
from ptformat.atomic import PathLike
from ptformat.bands import byte_pieces
from ptformat.columns import Header
from ptformat.containers import flatten
from ptformat.dtypes import Array
from ptformat.errors import FormatError, MissingPackage
from ptformat.tree import TensorInfo

from .. import json_text
from ..content import Entries, Pieces, check_shape
from . import orbax_tree
from .orbax_tree import Leaf, some
from .spool import gather, room

TREE, ITEMS, STRINGS, OCDBT, ARRAYS = (
    "_METADATA",
    "_CHECKPOINT_METADATA",
    "_strings.json",
    "manifest.ocdbt",
    "array_metadatas",
)
_BAND_BYTES = 8 * 2**20
_MANY_CHUNKS = 2**14
_ADDRESSABLE = 2**46  # bytes; a process has 2^47 addresses on x86-64
_MAX_JSON = 100_000_000  # bytes
# Each thread of tensorstore's keeps an allocation arena of its own, with the largest chunk that passed through it.
ONE_AT_A_TIME = {"data_copy_concurrency": {"limit": 1}, "file_io_concurrency": {"limit": 1}}
VALUES: dict[type, str] = {bool: "bool", int: "int64", float: "float64"}


def recognises(path: Path, head: bytes) -> bool:
    """Whether a directory is one of these: a checkpoint, whole or half, a step, or a directory of steps."""
    if head or not path.is_dir():
        return False
    return any((path / name).is_file() for name in (TREE, ITEMS, OCDBT)) or bool(_within(path))


def _within(folder: Path) -> list[Path]:
    """The checkpoints, or steps, in a directory, by number where they have one."""
    found = [child for child in folder.iterdir() if (child / TREE).is_file() or (child / ITEMS).is_file()]
    return sorted(found, key=lambda child: (int(child.name) if child.name.isdecimal() else -1, child.name))


def tensorstore() -> Any:
    """The module; ImportError, saying how to install it, where it is missing."""
    try:
        import tensorstore as ts
    except ImportError as error:
        what = "an orbax checkpoint needs orbax-checkpoint and tensorstore: pip install 'ptformat[orbax]'"
        raise MissingPackage(what) from error
    return ts


class _Stored:
    """A tensor in the checkpoint: `dtype` and `shape` as arrays have them."""

    def __init__(self, store: Any) -> None:
        self.store = store
        self.dtype: np.dtype[Any] = store.dtype.numpy_dtype
        self.shape: tuple[int, ...] = tuple(store.shape)

    def check_chunks(self, path: str) -> None:
        """Refuse what it needs and cannot have: tensorstore would ask for it, and end the process.

        Raises:
            FormatError: TRUNCATED for fewer chunks than are needed, where those are very many; LIMIT for a chunk that
                memory cannot hold.
        """
        layout = self.store.chunk_layout
        sizes = layout.write_chunk.shape or self.shape  # none where there are no axes
        needed = math.prod(-(-size // chunk) for size, chunk in zip(self.shape, sizes, strict=True))
        if needed > _MANY_CHUNKS:
            found = len(_wait(self.store.kvstore.list(), path))
            if found < needed:
                what = f"array {path!r}: {needed} chunks are needed, at most {found} are there"
                raise FormatError("TRUNCATED", what, path=path)
        nbytes = math.prod(layout.read_chunk.shape or ()) * self.dtype.itemsize
        try:
            fits = nbytes <= _ADDRESSABLE and np.empty(nbytes, np.uint8).nbytes == nbytes  # touches none of it
        except MemoryError:
            fits = False
        if not fits:
            raise FormatError("LIMIT", f"array {path!r}: a chunk of {nbytes} bytes, too large for memory")


class OrbaxSource:
    """An orbax checkpoint, read a chunk at a time. orbax makes one chunk of what one device has of an array.

    Attributes:
        notes: What wrappers were taken off, and what is not told by the tree.
    """

    kind = "orbax"

    def __init__(self, path: PathLike) -> None:
        self.name = os.fspath(path)
        self.header = Header()
        _check_inside(Path(path))
        self._root, notes = _item(Path(path))
        metadata = _json(self._root / TREE)
        tree, unwrapped = orbax_tree.unwrap(orbax_tree.parse(metadata))
        self.notes: Sequence[str] = [*notes, *unwrapped, *_keys(self._root)]
        stored = self._open(metadata, list(orbax_tree.leaves(tree)))
        entries = Entries()
        self._stored: dict[str, _Stored] = {}
        for entry, array in flatten(_filled(tree, stored), lambda leaf, where: leaf):
            entries.add(entry)
            if isinstance(entry, TensorInfo):
                check_shape(entry)
                held: Any = array
                self._stored[entry.path] = held
        self.entries = entries.found

    def _open(self, metadata: Any, leaves: list[Leaf]) -> dict[str, Any]:
        """Name -> tensor, scalar or text. Only the arrays' own metadata and the scalars are read."""
        ts = tensorstore()
        ocdbt, zarr3 = bool(metadata.get("use_ocdbt", True)), bool(metadata.get("use_zarr3", False))
        if ocdbt and not (self._root / OCDBT).is_file():
            raise FormatError("TRUNCATED", f"{self._root} has no {OCDBT}: the checkpoint was never finished")
        if not ocdbt:
            _check_names([leaf.name for leaf in leaves])
        texts = _json(self._root / STRINGS) if any(leaf.kind == "string" for leaf in leaves) else {}
        context = ts.Context(ONE_AT_A_TIME)
        opening = {}
        for leaf in leaves:
            if leaf.kind != "string":
                spec = spec_of(self._root, leaf.name, ocdbt=ocdbt, zarr3=zarr3)
                opening[leaf] = ts.open(spec, open=True, read=True, context=context)
        found: dict[str, Any] = {}
        for leaf in leaves:
            if leaf.kind == "string":
                if not isinstance(texts, dict) or type(texts.get(leaf.name)) is not str:
                    raise FormatError("MALFORMED", f"{STRINGS} has no text {leaf.name!r}")
                found[leaf.name] = texts[leaf.name]
                continue
            store = _wait(opening[leaf], leaf.name)
            scalar = leaf.kind == "scalar" and store.dtype.name in VALUES.values() and store.rank == 0
            # A scalar of another type, such as NumPy's float32, stays a tensor of no axes: its type would be lost.
            found[leaf.name] = _wait(store.read(), leaf.name).item() if scalar else _Stored(store)
        return found

    def array(self, path: str) -> Array:
        """The tensor, in memory up to 16 MiB, else in a temporary file."""
        info = self._info(path)
        if dtypes.named(info.dtype).bits < 8:
            return self._read(path)
        return dtypes.unpack(gather(self.pieces(path), info.nbytes), dtypes.named(info.dtype), info.shape)

    def pieces(self, path: str) -> Pieces:
        """Its bytes, read in bands of whole chunks along the first axis."""
        info = self._info(path)
        dtype = dtypes.named(info.dtype)
        store = self._stored[path].store
        if not info.shape or not info.count or dtype.bits < 8:
            yield from byte_pieces(self._read(path), dtype)
            return
        chunk = int(store.chunk_layout.read_chunk.shape[0])
        rows = chunk * max(1, _BAND_BYTES * info.shape[0] // (info.nbytes * chunk))
        for start in range(0, info.shape[0], rows):
            for piece in byte_pieces(self._read(path, slice(start, start + rows)), dtype):
                yield bytes(piece)  # a sink may hold a piece, and a view would hold all of a large band

    def _info(self, path: str) -> TensorInfo:
        """What is to be read, once it is known that it can be."""
        held = self._stored[path]
        held.check_chunks(path)
        return TensorInfo(path, dtypes.of(held.dtype, path).name, held.shape)

    def _read(self, path: str, rows: slice | None = None) -> Array:
        """A tensor, or a band of it, in room of our own: tensorstore ends the process where it finds none."""
        held = self._stored[path]
        store = held.store
        if rows is not None:
            store = store[rows.start : min(rows.stop, store.shape[0])]
        into = room(math.prod(store.shape) * held.dtype.itemsize).view(held.dtype).reshape(store.shape)
        _wait(tensorstore().array(into, copy=False, write=True).write(store), path)
        return into

    def close(self) -> None:
        """Let go of the stores."""
        self._stored = {}


def _item(path: Path) -> tuple[Path, list[str]]:
    """The directory that holds the tree, and a note where it is not the one given."""
    if (path / TREE).is_file():
        return path, []
    if path.name.endswith(".orbax-checkpoint-tmp") or ".orbax-checkpoint-tmp-" in path.name:
        raise FormatError("TRUNCATED", f"{path} is what an unfinished save left: it has no {TREE}")
    inside = _within(path)
    items = [child for child in inside if (child / TREE).is_file()]
    names = some([child.name for child in inside])
    if len(items) == 1 and len(inside) == 1:
        return items[0], [f"{items[0].name}: the tree is this item of the checkpoint directory"]
    if items:
        raise FormatError("FORMAT", f"{path} holds {len(items)} trees ({names}); give one, such as {items[0]}")
    if inside:
        raise FormatError("FORMAT", f"{path} holds {len(inside)} checkpoints ({names}); give one, such as {inside[-1]}")
    raise FormatError("MALFORMED", f"{path} has no {TREE}: half of a checkpoint, or one of an older orbax")


def _json(path: Path) -> Any:
    try:
        if (size := path.stat().st_size) > _MAX_JSON:
            raise FormatError("LIMIT", f"{path.name} has {size} bytes, at most {_MAX_JSON} are read")
        return json_text.parse(path.read_bytes(), path.name)
    except FileNotFoundError:
        raise FormatError("TRUNCATED", f"{path.parent} has no {path.name}") from None


def _keys(root: Path) -> list[str]:
    """A note for PRNG keys: orbax holds their data, and beside it what they are."""
    found = []
    for path in sorted((root / ARRAYS).glob("process_*")):
        rows = _held(_json(path), "array_metadatas")
        for row in rows if isinstance(rows, list) else []:
            held = _held(row, "array_metadata")
            if kind := _held(_held(held, "ext_metadata"), "random_key_impl"):
                found.append(f"{_held(held, 'param_name')!s:.99} ({kind!s:.99})")
    return [f"PRNG keys are read as their data: {some(found)}"] if found else []


def _held(whole: Any, key: str) -> Any:
    """What stands under a key of a map; None of anything else."""
    return whole.get(key) if isinstance(whole, dict) else None


def _check_inside(path: Path) -> None:
    """Refuse links that lead out of the directory, and what is no file, before anything is read."""
    home = os.path.realpath(path)
    for at, folders, files in os.walk(path):
        for name in (*folders, *files):
            found = os.path.join(at, name)
            if os.path.islink(found) and not Path(os.path.realpath(found)).is_relative_to(home):
                raise FormatError("PATH", f"{found!r} is a link that leads out of the checkpoint")
            if name in files and not os.path.isfile(found):
                raise FormatError("FORMAT", f"{found!r} is no regular file")


def _check_names(names: Sequence[str]) -> None:
    """Refuse names that lead out of the directory, where each array has one of its own."""
    for name in names:
        if os.path.isabs(name) or ".." in name.replace("\\", "/").split("/"):
            raise FormatError("PATH", f"the array {name!r} would lie outside the checkpoint")


def spec_of(root: Path, name: str, *, ocdbt: bool, zarr3: bool) -> dict[str, Any]:
    """Where tensorstore finds an array."""
    folder: dict[str, Any] = {"driver": "file", "path": f"{root.absolute().as_posix()}/"}
    key = f"{name}/" if name else ""
    store = {"driver": "ocdbt", "base": folder, "path": key} if ocdbt else folder | {"path": folder["path"] + key}
    return {
        "driver": "zarr3" if zarr3 else "zarr",
        "kvstore": store,
        "recheck_cached_data": False,
        "recheck_cached_metadata": False,
        "fill_missing_data_reads": False,
    }


def _wait(future: Any, name: str) -> Any:
    """What tensorstore gives; what it finds wrong, as one of our errors."""
    try:
        return future.result()
    except (ValueError, OSError, KeyError, NotImplementedError) as error:
        first = str(error).split(" [")[0][:400]
        code = "TRUNCATED" if str(error).startswith(("NOT_FOUND", "OUT_OF_RANGE")) else "DATA"
        raise FormatError(code, f"array {name!r}: {first}", path=name) from error


def _filled(tree: Any, found: dict[str, Any]) -> Any:
    if isinstance(tree, Leaf):
        return found[tree.name]
    if isinstance(tree, dict):
        return {key: _filled(child, found) for key, child in tree.items()}
    return [_filled(child, found) for child in tree] if isinstance(tree, list) else tree
