"""The zip form of `torch.save`, written without torch: what `torch.load(weights_only=True)` reads.

Layout as `torch_zip` has it. The pickle is of protocol 2 and remembers nothing: it is the same for the same tree.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ptformat import containers
from ptformat.atomic import AtomicFile, PathLike
from ptformat.dtypes import named
from ptformat.errors import FormatError, several
from ptformat.tree import Alias, Node, TensorInfo, Value

from ..content import Content, Saving
from .torch_objects import STORAGES, UNTYPED
from .zip_write import ZipOut

# The folder of the archive. torch takes the file's name; then equal content would not be equal bytes.
FOLDER = "archive"
_CLASSES = {ours: theirs for theirs, ours in STORAGES.items() if theirs != "UntypedStorage"}


def write(content: Content, path: PathLike, saving: Saving) -> None:
    """Write containers, values and tensors; tied tensors share a storage.

    Raises:
        FormatError: DTYPE with every tensor of a type that torch has not, TYPE for a namedtuple.
    """
    tensors = [entry for entry in content.entries if isinstance(entry, TensorInfo)]
    unknown = [f"{info.path!r}: {info.dtype}" for info in tensors if info.dtype not in (*_CLASSES, *UNTYPED)]
    if unknown:
        raise several("DTYPE", "element types that torch has not; cast them, or keep them in a .ptf", unknown)
    for entry in content.entries:
        if isinstance(entry, Node) and entry.form == "namedtuple":
            what = "a namedtuple cannot be loaded from a torch file without its class; keep it in a .ptf"
            raise FormatError("TYPE", f"{entry.path or 'the root'!r}: {what}", path=entry.path)
    pickled = _pickled(content)
    with AtomicFile(path, durable=saving.durable) as file:
        out = ZipOut(file)
        out.add(f"{FOLDER}/data.pkl", len(pickled), [pickled])
        out.add(f"{FOLDER}/byteorder", 6, [b"little"])
        for number, info in enumerate(tensors):
            out.add(f"{FOLDER}/data/{number}", info.nbytes, content.pieces(info))
        out.add(f"{FOLDER}/version", 2, [b"3\n"])
        out.finish()


@dataclass(frozen=True, slots=True)
class _Stored:
    """A tensor over all of a storage."""

    key: str
    dtype: str
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    count: int


def _pickled(content: Content) -> bytes:
    stored: dict[str, _Stored] = {}
    leaves: dict[str, Any] = {}
    for entry in content.entries:
        if isinstance(entry, TensorInfo):
            found = _Stored(str(len(stored)), entry.dtype, entry.shape, _strides(entry.shape), entry.count)
            stored[entry.path] = leaves[entry.path] = found
        elif isinstance(entry, Alias):
            target = stored[entry.target]
            order = entry.perm or range(len(target.shape))
            shape, strides = (tuple(of[axis] for axis in order) for of in (target.shape, target.strides))
            leaves[entry.path] = _Stored(target.key, target.dtype, shape, strides, target.count)
        elif isinstance(entry, Value):
            leaves[entry.path] = entry.value
    tree = containers.build(content.entries, leaves.__getitem__)
    return b"".join([b"\x80\x02", *_item(tree, root=True), b"."])


def _strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Of a contiguous tensor, as torch has them: an axis of size 0 counts as 1."""
    strides, step = [], 1
    for size in reversed(shape):
        strides.append(step)
        step *= max(size, 1)
    return tuple(reversed(strides))


def _item(item: Any, *, root: bool = False) -> Iterator[bytes]:
    if isinstance(item, _Stored):
        yield _tensor(item)
    elif isinstance(item, Mapping):
        # What Module.load_state_dict takes is an OrderedDict; containers around it are plain.
        state = item and all(isinstance(value, _Stored) for value in item.values())
        named_so = state and (root or any(isinstance(key, str) and "." in key for key in item))
        yield _ORDERED if named_so else b"}"
        if item:
            yield b"("
            for key, value in item.items():
                yield from _item(key)
                yield from _item(value)
            yield b"u"
    elif isinstance(item, list):
        yield b"]("
        for part in item:
            yield from _item(part)
        yield b"e"
    elif isinstance(item, tuple):
        yield b"("
        for part in item:
            yield from _item(part)
        yield b"t"
    else:
        yield _value(item)


def _value(value: Any) -> bytes:
    if value is None:
        return b"N"
    if isinstance(value, bool):
        return b"\x88" if value else b"\x89"
    if isinstance(value, int):
        return _integer(value)
    if isinstance(value, float):
        return b"G" + struct.pack(">d", value)
    if isinstance(value, str):
        return _text(value)
    # Protocol 2 has no bytes: `_codecs.encode(text, "latin1")`, as Python itself writes them.
    assert isinstance(value, bytes)
    return b"c_codecs\nencode\n(" + _text(value.decode("latin1")) + _text("latin1") + b"tR"


def _integer(value: int) -> bytes:
    if -(2**31) <= value < 2**31:
        return b"J" + struct.pack("<i", value)
    data = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(data)]) + data


def _text(text: str) -> bytes:
    data = text.encode("utf-8", "surrogatepass")
    return b"X" + struct.pack("<I", len(data)) + data


def _integers(numbers: tuple[int, ...]) -> bytes:
    return b"(" + b"".join(map(_integer, numbers)) + b"t"


_ORDERED = b"ccollections\nOrderedDict\n)R"


def _tensor(tensor: _Stored) -> bytes:
    """`_rebuild_tensor_v2(storage, 0, shape, strides, False, OrderedDict())`; v3 names the element type too."""
    untyped = tensor.dtype in UNTYPED
    version = b"3" if untyped else b"2"
    class_ = "torch.storage\nUntypedStorage" if untyped else f"torch\n{_CLASSES[tensor.dtype]}"
    count = tensor.count * named(tensor.dtype).numpy.itemsize if untyped else tensor.count
    storage = b"(" + _text("storage") + f"c{class_}\n".encode() + _text(tensor.key) + _text("cpu") + _integer(count)
    facts = _integers(tensor.shape) + _integers(tensor.strides) + b"\x89" + _ORDERED
    dtype = f"ctorch\n{tensor.dtype}\n".encode() if untyped else b""
    return (
        b"ctorch._utils\n_rebuild_tensor_v" + version + b"\n(" + storage + b"tQ" + _integer(0) + facts + dtype + b"tR"
    )
