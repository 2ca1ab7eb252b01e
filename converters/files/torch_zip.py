"""The .pt, .pth and .bin files of `torch.save` as sources, without torch: no code in them is ever run.

Layout of the zip form, from torch/serialization.py: members beneath one folder, `data.pkl` (a pickle in which a
storage is a persistent id), `byteorder`, and `data/<key>` with each storage's bytes. The legacy form is in
`torch_legacy`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ptformat import containers
from ptformat.atomic import PathLike
from ptformat.columns import Header
from ptformat.dtypes import BY_NAME, Array
from ptformat.errors import FormatError
from ptformat.tree import Alias, TensorInfo, Value

from ..content import Entries, Pieces
from . import torch_legacy, zips
from .pickles import MAX_BYTES, Machine
from .torch_objects import Storage, StorageType, Tensor, find, key_is_plain, whole
from .zips import Archive

# Views may repeat elements, texts may stand in many places: all together hold at most so many times the file's bytes.
MAX_RATIO = 256
MAX_REPEATED = 16 * 2**20
MAX_SHARED = 2**14  # entries of containers that stand in several places


def recognises(path: Path, head: bytes) -> bool:
    """Whether a file that begins so is one of these: a zip archive with a `data.pkl`, or the legacy magic."""
    if torch_legacy.MAGIC[:5] in head:
        return True
    return head[:4] == zips.MAGIC and any(f"/{name}".endswith("/data.pkl") for name in zips.names(path))


class TorchSource:
    """What `torch.save` wrote: tensors are views of the map, with their offsets and strides."""

    kind = "torch"

    def __init__(self, path: PathLike) -> None:
        self.name = os.fspath(path)
        tree, steps, self._close = load(path)
        self.header = Header(convention="torch")
        self._held = Tree(tree, steps, os.path.getsize(path))
        self.entries = self._held.entries
        self.notes: Sequence[str] = self._held.notes()

    def array(self, path: str) -> Array:
        """A view; numbers of the other byte order are gathered."""
        return self._held.tensors[path].array()

    def pieces(self, path: str) -> Pieces:
        """Views of the map where the elements follow each other."""
        return self._held.tensors[path].pieces()

    def close(self) -> None:
        """Let go of the map."""
        self._close()


class Tree:
    """The entries of an object that was unpickled, and its tensors by path.

    Raises:
        FormatError: TYPE for what is no container, tensor or value, LIMIT for more than a file can hold.
    """

    def __init__(self, tree: Any, steps: int, size: int) -> None:
        self.tensors: dict[str, Tensor] = {}
        self._firsts: dict[Any, str] = {}
        self._inflated: set[int] = set()
        self._left = max(MAX_REPEATED, MAX_RATIO * size)
        entries = Entries(steps + MAX_SHARED)  # lists in lists may repeat each other without end
        for entry, _ in containers.flatten(tree, self._leaf):
            entries.add(entry)
            if isinstance(entry, Value) and isinstance(entry.value, (str, bytes)):
                self._charge(len(entry.value), entry.path)
        self.entries = entries.found

    def _charge(self, nbytes: int, path: str) -> None:
        self._left -= nbytes
        if self._left < 0:
            raise FormatError("LIMIT", f"{path!r}: all together, views or texts repeat too much", path=path)

    def notes(self) -> list[str]:
        """A line where views of one storage overlap and are no ties: each is read as a tensor of its own."""
        spans = sorted(
            (id(tensor.storage), *tensor.span, path) for path, tensor in self.tensors.items() if 0 not in tensor.shape
        )
        shared: dict[str, None] = {}
        last: tuple[int, int, str] = (0, 0, "")  # storage, end, path of what reaches furthest so far
        for storage, start, end, path in spans:
            if storage == last[0] and start < last[1]:
                shared |= {last[2]: None, path: None}
            last = (storage, end, path) if storage != last[0] or end > last[1] else last
        if not shared:
            return []
        names = ", ".join([*sorted(shared)[:2], *["…"] * (len(shared) > 2)])
        return [f"{len(shared)} tensors share memory without being ties, and become copies: {names}"]

    def _leaf(self, leaf: Any, path: str) -> Any:
        if type(leaf) is not Tensor:
            return NotImplemented
        info = leaf.check(path)
        if info.count:
            first = self._firsts.setdefault(leaf.identity, path)
            if first != path:
                return Alias(path, first, leaf.permutation(self.tensors[first]))
        self._charge(info.nbytes, path)
        if leaf.storage.inflated:
            again = id(leaf.storage) in self._inflated
            self._charge(leaf.storage.nbytes if again else 0, path)
            self._inflated.add(id(leaf.storage))
        self.tensors[path] = leaf
        return _Shaped(info)


class _Shaped:
    """Type and shape of an array, which is what `flatten` asks for."""

    def __init__(self, info: TensorInfo) -> None:
        self.dtype = BY_NAME[info.dtype].numpy
        self.shape = info.shape


def load(path: PathLike) -> tuple[Any, int, Any]:
    """The object in a file of either form, with tensors as `Tensor`; the steps it took; what lets go of the file."""
    with open(path, "rb") as file:
        head = file.read(16)
    if torch_legacy.MAGIC[:5] in head:
        return torch_legacy.load(path)
    archive = Archive(path)
    return *_Zipped(archive).load(), archive.close


class _Zipped:
    def __init__(self, archive: Archive) -> None:
        self.archive = archive
        self.storages: dict[str, Storage] = {}
        self.prefix = self._prefix()
        self.big = self._big()

    def _prefix(self) -> str:
        found = [name for name in self.archive.members if f"/{name}".endswith("/data.pkl")]
        if len(found) != 1:
            what = f"{len(found)} members called data.pkl, expected one"
            raise FormatError("MALFORMED", f"{self.archive.name}: {what}")
        prefix = found[0].removesuffix("data.pkl")
        if prefix + "constants.pkl" in self.archive.members:
            what = "a TorchScript archive, which holds code; load it with torch.jit.load and save its state_dict()"
            raise FormatError("TYPE", f"{self.archive.name}: {what}")
        return prefix

    def _big(self) -> bool:
        said = self.archive.members.get(self.prefix + "byteorder")
        order = self.archive.read(said, 64) if said else b"little"
        if order not in (b"little", b"big"):
            raise FormatError("MALFORMED", f"{self.archive.name}: byte order {order!r}, expected little or big")
        return order == b"big"

    def load(self) -> tuple[Any, int]:
        data = memoryview(self.archive.read(self.archive.members[self.prefix + "data.pkl"], MAX_BYTES))
        machine = Machine(data, find, self.persistent)
        tree = machine.load()
        if machine.at != len(data):
            raise FormatError("MALFORMED", f"data.pkl: {len(data) - machine.at} bytes follow the pickle")
        return tree, machine.steps

    def persistent(self, said: Any) -> Storage:
        kind, type_, key, _, count = said
        if kind != "storage" or type(type_) is not StorageType or not key_is_plain(key):
            raise FormatError("MALFORMED", "data.pkl: a persistent id that is no storage")
        key = str(key)
        if key not in self.storages:
            nbytes = whole(count)[0] * BY_NAME[type_.dtype].numpy.itemsize
            self.storages[key] = self._storage(key, type_.dtype, nbytes)
        return self.storages[key]

    def _storage(self, key: str, dtype: str, nbytes: int) -> Storage:
        member = self.archive.members.get(f"{self.prefix}data/{key}")
        held = member.nbytes if member else 0
        if held != nbytes:
            raise FormatError("EXTENT", f"storage {key!r}: its member of data/ holds {held} bytes, expected {nbytes}")

        def memory() -> Array:
            return self.archive.data(member) if member else np.empty(0, np.uint8)

        inflated = member is not None and member.method != zips.STORED
        return Storage(key, dtype, nbytes, memory, self.big, inflated)
