"""torch tensors <-> entries and arrays, element for element, by bits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
import torch

from .. import collector, dtypes
from ..attrs import class_name
from ..containers import flatten, numpy_array
from ..dtypes import BY_NAME, Array, pack
from ..errors import FormatError, several
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
# Two elements of the last axis in a byte, the first one in the low bits, as in a file.
PAIRS = "float4_e2m1fn"
if isinstance(_pairs := getattr(torch, "float4_e2m1fn_x2", None), torch.dtype):
    DTYPES[PAIRS] = _pairs
NAMES: dict[torch.dtype, str] = {dtype: name for name, dtype in DTYPES.items()}
_ALWAYS = DTYPES.keys() - {PAIRS}  # what torch has tensors of in any shape

# Types that torch does not hand to NumPy: they go over as integers of their width.
_CARRIERS: dict[str, torch.dtype] = {
    name: torch.int16 if dtype.itemsize == 2 else torch.uint8
    for name, dtype in DTYPES.items()
    if name in ("bfloat16", PAIRS) or name.startswith("float8")
}
_ARRAYS = {"numpy.ndarray", "numpy.generic"}  # the class of a tensor that was no torch tensor


def to_array(tensor: torch.Tensor) -> Array:
    """Its elements in host memory, without a copy where they are there: any strides, conjugation resolved."""
    plain = tensor.detach().resolve_conj().resolve_neg().cpu()
    name = NAMES[tensor.dtype]
    if name == PAIRS:
        pairs = plain.view(torch.uint8).numpy()
        return np.stack([pairs & 15, pairs >> 4], -1).reshape(stored_shape(tensor)).view(BY_NAME[PAIRS].numpy)
    if name in _CARRIERS:
        return plain.view(_CARRIERS[name]).numpy().view(BY_NAME[name].numpy)
    array: Array = plain.numpy()
    return array


def from_array(array: Array, name: str) -> torch.Tensor:
    """A tensor over the array's own memory; `name` is the format's name of its element type."""
    if name == PAIRS:
        packed = pack(np.ascontiguousarray(array).reshape(-1), BY_NAME[PAIRS])
        return torch.from_numpy(packed.reshape(*array.shape[:-1], array.shape[-1] // 2)).view(DTYPES[PAIRS])
    if name not in _CARRIERS:
        return torch.from_numpy(array)
    return torch.from_numpy(array.view("i2" if array.itemsize == 2 else "u1")).view(DTYPES[name])


def as_tensor(leaf: Any) -> Any:
    """A NumPy array from a file as a tensor; anything else as it is."""
    if not isinstance(leaf, (np.ndarray, np.generic)):
        return leaf
    return from_array(np.asarray(leaf), dtypes.of(leaf.dtype, "an array").name)


def stored_shape(tensor: torch.Tensor) -> tuple[int, ...]:
    """Its shape in a file: twice the last axis where a byte holds two elements."""
    shape = tuple(tensor.shape)
    return (*shape[:-1], 2 * shape[-1]) if NAMES.get(tensor.dtype) == PAIRS and shape else shape


def fault(tensor: torch.Tensor, *, shapes: bool = False) -> tuple[str, str] | None:
    """Code and reason why a tensor cannot be saved, or None; with `shapes` one on the meta device can be described."""
    if torch.nn.parameter.is_lazy(tensor):
        return "TYPE", "uninitialised; run a forward pass first"
    if tensor.is_nested:
        return "TYPE", "nested; save its `unbind()`"
    if tensor.layout != torch.strided:
        return "TYPE", f"{str(tensor.layout).removeprefix('torch.')}; save its `to_dense()` or its parts"
    if type(tensor).__torch_dispatch__ is not torch.Tensor.__torch_dispatch__:
        return "TYPE", f"a {class_name(tensor)}, which has no memory of its own that holds its elements"
    if tensor.is_meta and not shapes:
        return "TYPE", "on the meta device, without elements"
    if tensor.is_quantized:
        return "TYPE", "quantised; save its `int_repr()`, scale and zero point"
    if tensor.dtype not in NAMES:
        hint = "; save its `view(torch.uint8)`" if tensor.dtype.itemsize == 1 else ""
        hint = "; save its `torch.view_as_real`" if tensor.dtype.is_complex else hint
        return "DTYPE", f"{tensor.dtype} has no place in a file{hint}"
    if NAMES[tensor.dtype] == PAIRS and not tensor.ndim:
        return "DTYPE", f"{tensor.dtype} without an axis: which would hold the two elements? save its `reshape(1)`"
    return None


def entries(tree: Any, *, copy_overlaps: bool = False, shapes: bool = False) -> Iterator[tuple[Entry, Array | None]]:
    """The entries of containers that hold tensors and values; ties as aliases. Arrays are made one at a time.

    Args:
        tree: The containers.
        copy_overlaps: Let tensors that share some elements pass; they are then stored apart.
        shapes: Let tensors on the meta device pass, which come without an array.

    Raises:
        FormatError: TYPE or DTYPE with every leaf that cannot be saved, TIE with every pair that overlaps, as
            `ties.find`; TYPE and PATH as `containers.flatten`.
    """
    tensors: dict[str, torch.Tensor] = {}
    classes: dict[str, str] = {}  # path -> class of what is no tensor of torch's
    faults: list[tuple[str, str]] = []
    placeholder = np.empty(0)

    def note(leaf: Any, path: str) -> Array | TensorInfo:
        where = repr(path or "the root")
        if isinstance(leaf, torch.Tensor):
            if found := fault(leaf, shapes=shapes):
                faults.append((found[0], f"{where}: {found[1]}"))
                return placeholder
            tensors[path] = leaf
            return TensorInfo(path, NAMES[leaf.dtype], stored_shape(leaf))
        if not isinstance(leaf, (np.ndarray, np.generic)):
            faults.append(("TYPE", f"{where}: a {class_name(leaf)} is no torch tensor, value or container"))
            return placeholder
        classes[path] = "numpy.ndarray" if isinstance(leaf, np.ndarray) else "numpy.generic"
        try:
            array: Array = numpy_array(leaf, where)
            dtypes.of(array.dtype, where)
        except FormatError as error:
            faults.append((error.code, error.message))
            return placeholder
        return array

    with collector.paused():
        found = [*flatten(tree, note)]
        if faults:
            code = "TYPE" if any(code == "TYPE" for code, _ in faults) else "DTYPE"
            raise several(code, "what a file cannot hold", [what for _, what in faults])
        aliases = ties.find(tensors.items(), copy_overlaps=copy_overlaps)
    return _with_arrays(found, tensors, classes, aliases)


def _with_arrays(
    found: list[tuple[Entry, Array | None]],
    tensors: dict[str, torch.Tensor],
    classes: dict[str, str],
    aliases: dict[str, Alias],
) -> Iterator[tuple[Entry, Array | None]]:
    for entry, array in found:
        if (alias := aliases.get(entry.path)) is not None:
            yield alias, None
        elif (tensor := tensors.get(entry.path)) is not None:
            yield entry, None if tensor.is_meta else to_array(tensor)
        elif isinstance(entry, TensorInfo):
            yield replace(entry, class_=classes[entry.path]), array
        else:
            yield entry, array


def leaves(reader: Reader, paths: Iterable[str] | None = None, device: Device = "cpu") -> dict[str, Any]:
    """Path -> tensor or value of these paths (all by default). Paths of a tied tensor give one object.

    On the CPU the tensors lie in the reader's own memory, a private map or decoded chunks. What was saved from NumPy
    is NumPy's again, an array or a scalar.

    Raises:
        FormatError: DTYPE with every tensor whose element type torch has not.
    """
    wanted = list(reader if paths is None else paths)
    aliases = reader.aliases
    _refuse_unknown(reader, wanted, aliases)
    loaded = reader.load(dict.fromkeys(aliases[path].target if path in aliases else path for path in wanted))
    index = reader.index
    classes = {index.paths[row]: class_ for row, class_ in index.sparse.get("class", {}).items() if class_ in _ARRAYS}
    on_cpu = torch.device(device) == torch.device("cpu")
    with collector.paused():
        for path, leaf in loaded.items():
            if not isinstance(leaf, np.ndarray):
                continue
            if path not in classes:
                tensor = from_array(leaf, dtypes.of(leaf.dtype, path).name)
                loaded[path] = tensor if on_cpu else tensor.to(device)
            elif classes[path] == "numpy.generic" and not leaf.ndim:
                loaded[path] = leaf[()]
    return {path: _tied(aliases[path], loaded) if path in aliases else loaded[path] for path in wanted}


def _tied(alias: Alias, loaded: dict[Any, Any]) -> Any:
    """What an alias stands for; its permutation is made once and kept."""
    if alias.perm is None:
        return loaded[alias.target]
    key = alias.target, alias.perm
    if key not in loaded:
        whole = loaded[alias.target]
        loaded[key] = whole.transpose(alias.perm) if isinstance(whole, np.ndarray) else whole.permute(alias.perm)
    return loaded[key]


def _refuse_unknown(reader: Reader, wanted: list[str], aliases: Mapping[str, Alias]) -> None:
    if all(dtypes.TABLE[code].name in _ALWAYS for code in set(reader.index.columns["dtype"].tobytes())):
        return
    found = {path: reader.info(path) for path in wanted}
    sources = {path: reader.info(aliases[path].target) if path in aliases else entry for path, entry in found.items()}
    unknown = [
        f"{path!r}: {entry.dtype}"
        for path, entry in sources.items()
        if isinstance(entry, TensorInfo) and entry.class_ not in _ARRAYS and not _held(entry, found[path])
    ]
    if unknown:
        raise several("DTYPE", "what torch has no tensors for; ptformat.load_tree gives NumPy arrays", unknown)


def _held(source: TensorInfo, entry: Entry) -> bool:
    """Whether torch has tensors of this element type and, where a byte holds two elements, of this shape and order."""
    last = source.shape and source.shape[-1] % 2 == 0
    perm = entry.perm if isinstance(entry, Alias) else None
    whole = last and (perm is None or perm[-1] == len(perm) - 1)
    return source.dtype in DTYPES and (source.dtype != PAIRS or bool(whole))


def shape_and_dtype(reader: Reader, entry: Entry) -> tuple[tuple[int, ...], str] | None:
    """Shape and element type behind a path, an alias' through its target; None for a value or node."""
    if isinstance(entry, Alias):
        target = reader.info(entry.target)
        assert isinstance(target, TensorInfo)  # the index check refuses anything else
        shape = target.shape if entry.perm is None else tuple(target.shape[i] for i in entry.perm)
        return shape, target.dtype
    return (entry.shape, entry.dtype) if isinstance(entry, TensorInfo) else None
