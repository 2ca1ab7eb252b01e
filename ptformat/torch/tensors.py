"""torch tensors <-> entries and arrays, element for element, by bits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

import torch

from ..attrs import class_name
from ..containers import flatten
from ..dtypes import BY_NAME, Array
from ..errors import several
from ..reader import Reader
from ..tree import Alias, Entry, TensorInfo
from . import ties

Device: TypeAlias = str | int | torch.device

# The format's names of torch's element types. torch's int4, uint2 and the like are names without tensors.
DTYPES: dict[str, torch.dtype] = {
    name: found
    for name, row in BY_NAME.items()
    if row.bits >= 8 and isinstance(found := getattr(torch, name, None), torch.dtype)
}
NAMES: dict[torch.dtype, str] = {dtype: name for name, dtype in DTYPES.items()}

# Types that torch does not hand to NumPy: they go over as integers of their width.
_CARRIERS: dict[str, torch.dtype] = {
    name: torch.int16 if dtype.itemsize == 2 else torch.uint8
    for name, dtype in DTYPES.items()
    if name == "bfloat16" or name.startswith("float8")
}


def to_array(tensor: torch.Tensor) -> Array:
    """Its elements in host memory, without a copy where they are there: any strides, conjugation resolved."""
    plain = tensor.detach().resolve_conj().resolve_neg().cpu()
    name = NAMES[tensor.dtype]
    if name in _CARRIERS:
        return plain.view(_CARRIERS[name]).numpy().view(BY_NAME[name].numpy)
    array: Array = plain.numpy()
    return array


def from_array(array: Array, name: str) -> torch.Tensor:
    """A tensor over the array's own memory; `name` is the format's name of its element type."""
    if name not in _CARRIERS:
        return torch.from_numpy(array)
    carrier = _CARRIERS[name]
    return torch.from_numpy(array.view(str(carrier).removeprefix("torch."))).view(DTYPES[name])


def fault(tensor: torch.Tensor) -> tuple[str, str] | None:
    """Code and reason why a tensor cannot be saved, or None."""
    if torch.nn.parameter.is_lazy(tensor):
        return "TYPE", "uninitialised; run the module once"
    if tensor.is_nested:
        return "TYPE", "nested; save its `unbind()`"
    if tensor.layout != torch.strided:
        return "TYPE", f"{str(tensor.layout).removeprefix('torch.')}; save its `to_dense()` or its parts"
    if type(tensor).__torch_dispatch__ is not torch.Tensor.__torch_dispatch__:
        return "TYPE", f"a {class_name(tensor)}, which has no memory of its own that holds its elements"
    if tensor.is_meta:
        return "TYPE", "on the meta device, without elements"
    if tensor.is_quantized:
        return "TYPE", "quantised; save its `int_repr()`, scale and zero point"
    if tensor.dtype not in NAMES:
        hint = "; save its `view(torch.uint8)`" if tensor.dtype.itemsize == 1 else ""
        return "DTYPE", f"{tensor.dtype} has no place in a file yet{hint}"
    return None


def entries(tree: Any, *, copy_overlaps: bool = False) -> Iterator[tuple[Entry, Array | None]]:
    """The entries of containers that hold tensors and values; ties as aliases. Arrays are made one at a time.

    Raises:
        FormatError: TYPE or DTYPE with every leaf that cannot be saved, TIE with every pair that overlaps, as
            `ties.find`; TYPE and PATH as `containers.flatten`.
    """
    tensors: list[tuple[str, torch.Tensor]] = []
    faults: list[tuple[str, str]] = []
    placeholder = torch.empty(0).numpy()

    def note(leaf: Any, path: str) -> Array:
        where = repr(path or "the root")
        if not isinstance(leaf, torch.Tensor):
            faults.append(("TYPE", f"{where}: a {class_name(leaf)} is no torch tensor, value or container"))
        elif found := fault(leaf):
            faults.append((found[0], f"{where}: {found[1]}"))
        else:
            tensors.append((path, leaf))
        return placeholder

    for _ in flatten(tree, note):
        pass
    if faults:
        code = "TYPE" if any(code == "TYPE" for code, _ in faults) else "DTYPE"
        raise several(code, "what a file cannot hold", [what for _, what in faults])
    aliases = ties.find(tensors, copy_overlaps=copy_overlaps)

    def convert(leaf: torch.Tensor, path: str) -> Array | Alias:
        return aliases[path] if path in aliases else to_array(leaf)

    return flatten(tree, convert)


def leaves(reader: Reader, paths: Iterable[str] | None = None, device: Device = "cpu") -> dict[str, Any]:
    """Path -> tensor or value of these paths (all by default). Paths of a tied tensor give one object.

    On the CPU the tensors lie in the reader's own memory, a private map or decoded chunks.

    Raises:
        FormatError: DTYPE with every tensor whose element type torch has not.
    """
    wanted = list(reader if paths is None else paths)
    found = {path: reader.info(path) for path in wanted}
    sources = {path: reader.info(entry.target) if isinstance(entry, Alias) else entry for path, entry in found.items()}
    unknown = [
        f"{path!r}: {entry.dtype}"
        for path, entry in sources.items()
        if isinstance(entry, TensorInfo) and entry.dtype not in DTYPES
    ]
    if unknown:
        raise several("DTYPE", "element types that torch has not; ptformat.load_tree gives NumPy arrays", unknown)
    loaded = reader.load(dict.fromkeys(entry.path for entry in sources.values()))
    tensors: dict[tuple[str, tuple[int, ...] | None], torch.Tensor] = {}
    result: dict[str, Any] = {}
    for path, source in sources.items():
        if not isinstance(source, TensorInfo):
            result[path] = loaded[path]
            continue
        if (source.path, None) not in tensors:
            tensors[source.path, None] = from_array(loaded[source.path], source.dtype).to(device)
        entry = found[path]
        perm = entry.perm if isinstance(entry, Alias) else None
        if (source.path, perm) not in tensors:
            assert perm is not None
            tensors[source.path, perm] = tensors[source.path, None].permute(perm)
        result[path] = tensors[source.path, perm]
    return result


def shape_and_dtype(reader: Reader, entry: Entry) -> tuple[tuple[int, ...], str] | None:
    """Shape and element type behind a path, an alias' through its target; None for a value or node."""
    if isinstance(entry, Alias):
        target = reader.info(entry.target)
        assert isinstance(target, TensorInfo)  # the index check refuses anything else
        shape = target.shape if entry.perm is None else tuple(target.shape[i] for i in entry.perm)
        return shape, target.dtype
    return (entry.shape, entry.dtype) if isinstance(entry, TensorInfo) else None
