"""Linen variables <-> entries and arrays: boxes taken off and put on, jax arrays by their bytes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from dataclasses import fields as fields_of
from typing import Any

import jax
import numpy as np
from flax import linen as nn
from flax.core import FrozenDict, freeze
from flax.core.meta import AxisMetadata

from .. import containers, paths
from ..attrs import class_name
from ..dtypes import BY_NAME, Array
from ..errors import FormatError, several
from ..reader import Reader
from ..tree import Alias, Entry, Node, TensorInfo

Entries = Iterator[tuple[Entry, Array | None]]

# Collection -> role of what is in it.
ROLES: dict[str, str] = {"params": "parameter", "batch_stats": "buffer"}
# The boxes that can be put on again: their class as text -> how.
_BOXES: dict[str, type[nn.Partitioned[Any]]] = {
    "flax.core.meta.Partitioned": nn.Partitioned,
    "flax.linen.spmd.LogicallyPartitioned": nn.LogicallyPartitioned,
}
_FROZEN = "flax.core.frozen_dict.FrozenDict"
_KEY = "jax.dtypes.prng_key"
"""The class of a tensor that holds the data of PRNG keys; its attribute `impl` names the generator."""


@dataclass
class Facts:
    """What is said of entries besides what containers and arrays tell, by path.

    Attributes:
        nodes: Inner nodes that have a class, kind or attributes.
        tensors: Axes, role, class and attributes of tensors.
    """

    nodes: dict[str, Node] = field(default_factory=dict)
    tensors: dict[str, dict[str, Any]] = field(default_factory=dict)


def entries(variables: Any, facts: Facts | None = None) -> Entries:
    """The entries of nested collections. Arrays are fetched one at a time; NumPy arrays are tied by identity.

    Raises:
        FormatError: TYPE with every leaf that cannot be saved; as `containers.flatten`.
    """
    faults: list[str] = []
    said = facts or Facts()
    outermost = _fields(variables)
    named = variables if outermost is None else outermost
    roles = isinstance(named, Mapping) and any(name in ROLES for name in _roots(named))
    placeholder = np.empty(0)

    def note(leaf: Any, path: str) -> Array | dict[str, Any]:
        if (fields := _fields(leaf)) is not None:
            said.nodes.setdefault(path, Node(path, class_=class_name(leaf)))
            return fields
        if is_key(leaf):
            said.tensors.setdefault(path, {}).update(class_=_KEY, attrs={"impl": str(jax.random.key_impl(leaf))})
        if isinstance(leaf, AxisMetadata):
            said.tensors.setdefault(path, {}).update(_box_facts(leaf))
        if what := _fault(unboxed(leaf)):
            faults.append(f"{path or 'the root'!r}: {what}")
        role = ROLES.get(paths.parse(path)[0]) if roles and path else None
        said.tensors.setdefault(path, {})["role"] = role
        return placeholder

    for _ in containers.flatten(variables, note):
        pass
    if faults:
        raise several("TYPE", "what a file cannot hold", faults)
    for path in _frozen(variables):
        said.nodes.setdefault(path, Node(path, class_=_FROZEN))
    return _annotated(containers.flatten(variables, _convert), said)


def _roots(variables: Mapping[Any, Any]) -> Iterator[str]:
    return (key.partition(".")[0] for key in variables if isinstance(key, str))


def _fault(leaf: Any) -> str | None:
    if isinstance(leaf, jax.core.Tracer):
        return "a tracer, which has no elements yet; save outside of jit"
    if isinstance(leaf, jax.Array):
        if jax.numpy.issubdtype(leaf.dtype, jax.dtypes.extended) and not is_key(leaf):
            return f"an array of {leaf.dtype}"
        if leaf.is_deleted():
            return "an array whose memory was donated or deleted"
        if not leaf.is_fully_addressable:
            return "an array that is partly on other hosts; gather it first"
        return None
    if isinstance(leaf, np.ma.MaskedArray) or not isinstance(leaf, (np.ndarray, np.generic)):
        return f"a {class_name(leaf)} is no array, value or container"
    return None


def _convert(leaf: Any, path: str) -> Array | dict[str, Any]:
    if (fields := _fields(leaf)) is not None:
        return fields
    # A jax array has no identity to be tied by: an average that starts from the parameters shares their arrays.
    return np.asarray(jax.random.key_data(leaf) if is_key(leaf) else unboxed(leaf))


def _fields(leaf: Any) -> dict[str, Any] | None:
    """Name -> item of a flax dataclass, such as a TrainState, without what is no part of its tree; None of others."""
    if isinstance(leaf, (AxisMetadata, type)) or not hasattr(leaf, "_flax_dataclass"):
        return None
    return {f.name: getattr(leaf, f.name) for f in fields_of(leaf) if f.metadata.get("pytree_node", True)}


def is_key(leaf: Any) -> bool:
    """Whether it is an array of typed PRNG keys."""
    return isinstance(leaf, jax.Array) and jax.numpy.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def unboxed(leaf: Any) -> Any:
    """What is in the box; a leaf that is none as it is."""
    if isinstance(leaf, nn.Partitioned):
        return leaf.value  # not `unbox()`, which reshards the array under a mesh
    return leaf.unbox() if isinstance(leaf, AxisMetadata) else leaf


def _box_facts(box: AxisMetadata[Any]) -> dict[str, Any]:
    facts: dict[str, Any] = {"class_": class_name(box)}
    if isinstance(box, nn.Partitioned):
        facts["attrs"] = {"names": [list(name) if isinstance(name, tuple) else name for name in box.names]}
    return facts


def _frozen(tree: Any, at: tuple[str, ...] = ()) -> Iterator[str]:
    """Paths of the outermost FrozenDicts, as far as only plain maps are above them."""
    if isinstance(tree, FrozenDict):
        yield paths.render(at)
    elif isinstance(tree, Mapping) and all(type(key) is str and "." not in key for key in tree):
        for key, item in tree.items():
            yield from _frozen(item, (*at, key))


def _annotated(found: Entries, facts: Facts) -> Entries:
    """The entries with their facts, and the nodes that have facts, each before what is beneath it."""
    waiting = dict(facts.nodes)
    for entry, array in found:
        segments = paths.parse(entry.path) if waiting else ()
        for depth in range(len(segments)):
            if node := waiting.pop(paths.render(segments[:depth]), None):
                yield node, None
        if isinstance(entry, Node) and (node := waiting.pop(entry.path, None)):
            entry = replace(entry, module=node.module, class_=node.class_, attrs=node.attrs)
        elif isinstance(entry, TensorInfo):
            entry = replace(entry, **facts.tensors.get(entry.path, {}))
        elif isinstance(entry, Alias):
            said = facts.tensors.get(entry.path, {})
            entry = replace(entry, axes=said.get("axes"), role=said.get("role"))
        yield entry, array


def tree(reader: Reader, *, boxes: bool = False) -> Any:
    """The collections that were saved, of jax arrays on the default device.

    Raises:
        FormatError: DTYPE with every array that JAX would narrow or has no element type for.
    """
    leaves = arrays(reader, boxes=boxes)
    built = containers.build(reader.entries, leaves.__getitem__)
    for entry in reader.entries:
        if isinstance(entry, Node) and entry.class_ == _FROZEN and entry.form != "part":
            built = _refrozen(built, paths.parse(entry.path))
    return built


def _refrozen(tree: Any, at: tuple[str, ...]) -> Any:
    if not at:
        return freeze(tree) if isinstance(tree, dict) else tree
    if isinstance(tree, dict) and at[0] in tree:
        tree[at[0]] = _refrozen(tree[at[0]], at[1:])
    return tree


def arrays(reader: Reader, *, boxes: bool = False) -> dict[str, Any]:
    """Path -> jax array or value. On CPU raw arrays lie in the reader's own memory, a private map."""
    infos = {path: reader.info(path) for path in reader}
    narrowed = [
        f"{path!r}: {entry.dtype} would be {jax_dtype(entry.dtype) or 'nothing'}"
        for path, entry in infos.items()
        if isinstance(entry, TensorInfo) and jax_dtype(entry.dtype) != entry.dtype
    ]
    if narrowed:
        remedy = "jax.config.update('jax_enable_x64', True) keeps 64 bits, ptformat.load_tree gives NumPy arrays"
        raise several("DTYPE", f"what JAX would narrow; {remedy}", narrowed)
    loaded = reader.load()
    result: dict[str, Any] = {}
    for path, entry in infos.items():
        if isinstance(entry, Alias):
            target = unboxed(result[entry.target])
            result[path] = target if entry.perm is None else target.transpose(entry.perm)
        elif isinstance(entry, TensorInfo):
            # No device is named, so that the array is not bound to one. JAX keeps the NumPy array, and so the map.
            array = jax.device_put(loaded[path])
            box = _BOXES.get(entry.class_ or "") if boxes else None
            if entry.class_ == _KEY:
                array = _keys(array, entry)
            result[path] = box(array, names=_names(entry)) if box else array
        else:
            result[path] = loaded[path]
    return result


def _names(entry: TensorInfo) -> tuple[Any, ...]:
    names = (entry.attrs or {}).get("names", [])
    return tuple(tuple(name) if isinstance(name, (list, tuple)) else name for name in names)


def _keys(data: jax.Array, entry: TensorInfo) -> jax.Array:
    impl = (entry.attrs or {}).get("impl")
    try:
        keys: jax.Array = jax.random.wrap_key_data(data, impl=impl)
        return keys
    except (TypeError, ValueError) as error:
        what = f"{entry.path!r}: no PRNG keys of {impl!r} are {entry.dtype} {entry.shape}"
        raise FormatError("DTYPE", what, path=entry.path) from error


def jax_dtype(name: str) -> str | None:
    """What JAX makes of an element type, as it is set up: int64 is int32 without x64. None where it has none."""
    try:
        return str(jax.dtypes.canonicalize_dtype(BY_NAME[name].numpy))
    except TypeError:
        return None
