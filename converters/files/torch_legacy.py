"""What `torch.save` wrote before torch 1.6: pickles in a row, then the storages.

Layout, from torch/serialization.py (`_legacy_save`): the pickled magic number, protocol version (1001) and facts of
the system; the object, in which a storage is a persistent id; the list of the storages' keys; of each storage, in
that order, u64 elements and then their bytes. Numbers are little-endian, whatever the system.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ptformat.atomic import PathLike
from ptformat.backing import map_file
from ptformat.dtypes import BY_NAME, Array
from ptformat.errors import FormatError

from .pickles import Machine
from .torch_objects import Storage, StorageType, View, find, key_is_plain, whole

MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
MAGIC = b"\x8a\x0a" + MAGIC_NUMBER.to_bytes(10, "little")
VERSION = 1001


def load(path: PathLike) -> tuple[Any, int, Any]:
    """The object in the file, its tensors as `Tensor`; how many steps it took; what lets go of the file."""
    held = _Legacy(memoryview(map_file(path)))
    return *held.load(), held.close


class _Legacy:
    def __init__(self, buffer: memoryview) -> None:
        self.buffer = buffer
        self.storages: dict[str, Storage] = {}

    def load(self) -> tuple[Any, int]:
        machine = Machine(self.buffer, find, self.persistent)
        magic, version, _ = machine.load(), machine.load(), machine.load()
        if magic != MAGIC_NUMBER:
            raise FormatError("MAGIC", "a legacy torch file with another magic number")
        if version != VERSION:
            shown = version if type(version) is int else f"a {type(version).__name__}"
            raise FormatError("VERSION", f"a legacy torch file of version {shown}, {VERSION} is read")
        tree = machine.load()
        keys = machine.load()
        at = machine.at
        # Not str of just anything: what holds itself many times over has no end.
        listed = type(keys) is list and all(type(key) in (str, int) for key in keys)
        if not listed or sorted(map(str, keys)) != sorted(self.storages):
            raise FormatError("MALFORMED", "the legacy torch file's list of storages is not that of its tensors")
        for key in keys:
            at = self._place(self.storages[str(key)], at)
        if at != len(self.buffer):
            raise FormatError("EXTENT", f"{len(self.buffer) - at} bytes follow the last storage")
        return tree, machine.steps

    def _place(self, storage: Storage, at: int) -> int:
        itemsize = BY_NAME[storage.dtype].numpy.itemsize
        start = at + 8
        if start + storage.nbytes > len(self.buffer):
            what = f"storage {storage.key!r} needs bytes {at} to {start + storage.nbytes}"
            raise FormatError("TRUNCATED", f"{what}, the file has {len(self.buffer)}")
        count = int.from_bytes(self.buffer[at:start], "little")
        if count * itemsize != storage.nbytes:
            what = f"{count} elements, its tensors say {storage.nbytes // itemsize}"
            raise FormatError("EXTENT", f"storage {storage.key!r} has {what}")

        def memory() -> Array:
            return np.frombuffer(self.buffer[start : start + storage.nbytes], np.uint8)

        storage.memory = memory
        return start + storage.nbytes

    def persistent(self, said: Any) -> Storage | View:
        kind, type_, key, _, count, part = said
        if kind != "storage" or type(type_) is not StorageType or not key_is_plain(key):
            raise FormatError("MALFORMED", "a persistent id that is no storage")
        itemsize = BY_NAME[type_.dtype].numpy.itemsize
        storage = self.storages.setdefault(str(key), Storage(str(key), type_.dtype, whole(count)[0] * itemsize))
        if part is None:
            return storage
        _, offset, _ = part
        return View(storage, type_.dtype, whole(offset)[0] * itemsize)

    def close(self) -> None:
        self.buffer = memoryview(b"")
