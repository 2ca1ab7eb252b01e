"""linen variables and nnx States <-> entries and arrays: boxes taken off and put on, jax arrays by their bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from dataclasses import fields as fields_of
from typing import Any

import jax
import numpy as np
from flax import linen as nn
from flax import nnx
from flax.core import FrozenDict, freeze
from flax.core.meta import AxisMetadata

from .. import collector, containers, paths
from ..attrs import class_name
from ..dtypes import BY_NAME, TABLE, Array
from ..errors import FormatError, several
from ..reader import Reader
from ..tree import Alias, Entry, Node, TensorInfo
from . import pages, states
from .fitting import described

Entries = Iterator[tuple[Entry, Array | None]]
# Gives the map that an object at a path stands for, or the leaf that it is.
Opened = Callable[[Any, str], Any]

LINEN, NNX = "flax.linen", "flax.nnx"

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
_TOGETHER = 64  # arrays handed to JAX at once


@dataclass
class Facts:
    """What is said of entries besides what containers and arrays tell, by path.

    Attributes:
        nodes: Inner nodes that have a class, kind or attributes.
        tensors: Axes, role, class and attributes of tensors.
        convention: Whose names these are; `flax.nnx` once a Variable, a State or nnx's integer keys are found.
    """

    nodes: dict[str, Node] = field(default_factory=dict)
    tensors: dict[str, dict[str, Any]] = field(default_factory=dict)
    convention: str = LINEN


def entries(
    variables: Any, facts: Facts | None = None, opened: Opened | None = None, *, shapes: bool = False
) -> Entries:
    """The entries of nested collections. Arrays are fetched one at a time.

    NumPy arrays and nnx Variables are tied by identity.

    Args:
        variables: The collections.
        facts: What is known of them; completed here.
        opened: Takes objects apart that are no containers.
        shapes: Let leaves pass that have a shape and an element type only, as `jax.eval_shape` gives them; they come
            without an array.

    Raises:
        FormatError: TYPE with every leaf that cannot be saved; as `containers.flatten`.
    """
    faults: list[str] = []
    said = facts or Facts()
    outermost = _fields(variables)
    named = variables if outermost is None else outermost
    roles = isinstance(named, Mapping) and any(name in ROLES for name in _roots(named))
    placeholder = np.empty(0)

    def note(leaf: Any, path: str) -> Array:
        found = said.tensors.setdefault(path, {})
        if isinstance(leaf, nnx.Variable):
            found.update(states.facts(leaf))
        else:
            found["role"] = ROLES.get(paths.parse(path)[0]) if roles and path else None
        if isinstance(leaf, AxisMetadata):
            found.update(_box_facts(leaf))
        bare = unboxed(leaf)
        if what := _fault(bare, shapes):
            faults.append(f"{path or 'the root'!r}: {what}")
        elif is_key(bare):
            found.setdefault("class_", _KEY)
            found["attrs"] = {**(found.get("attrs") or {}), **(described(path, bare).attrs or {})}
        return placeholder

    for _ in containers.flatten(variables, _Leaves(said, note, opened, faults)):
        pass
    if faults:
        raise several("TYPE", "what a file cannot hold", faults)
    if not roles and _integer_keys(variables):
        said.convention = NNX
    for path, class_ in _outermost(variables):
        said.nodes.setdefault(path, Node(path, class_=class_))
        said.convention = NNX if class_ == states.STATE else said.convention
    return _annotated(containers.flatten(variables, _Leaves(said, _convert, opened, [])), said)


class _Leaves:
    """What `containers.flatten` asks of a leaf: its array or shape, that it is an earlier one, what it stands for."""

    def __init__(self, said: Facts, array: Opened, opened: Opened | None, faults: list[str]) -> None:
        self.said = said
        self.array = array
        self.opened = opened
        self.faults = faults
        self.variables: dict[int, tuple[Any, str]] = {}  # id -> the Variable, kept alive, and its first place

    def __call__(self, leaf: Any, path: str) -> Any:
        leaf = self.opened(leaf, path) if self.opened else leaf
        if isinstance(leaf, Mapping):
            return leaf
        if (fields := _fields(leaf)) is not None:
            self.said.nodes.setdefault(path, Node(path, class_=class_name(leaf)))
            return fields
        if isinstance(leaf, nnx.Variable):
            self.said.convention = NNX
            first = self.variables.setdefault(id(leaf), (leaf, path))[1]
            if not states.holds_array(leaf):
                if first != path:
                    self.faults.append(f"{path!r}: the Variable at {first!r} again, and its value is no array")
                facts = states.facts(leaf)
                self.said.nodes.setdefault(path, Node(path, class_=facts["class_"], attrs=facts["attrs"]))
                return {states.VALUE: states.content(leaf)}
            if first != path:
                return Alias(path, first)
        return self.array(leaf, path)


def _integer_keys(tree: Any) -> bool:
    if isinstance(tree, Mapping):
        return any(type(key) is int or _integer_keys(item) for key, item in tree.items())
    return isinstance(tree, (list, tuple)) and any(map(_integer_keys, tree))


def _roots(variables: Mapping[Any, Any]) -> Iterator[str]:
    return (key.partition(".")[0] for key in variables if isinstance(key, str))


def _fault(leaf: Any, shapes: bool) -> str | None:
    if shapes and isinstance(leaf, states.ABSTRACT):
        return None if is_key(leaf) or str(leaf.dtype) in BY_NAME else f"an array of {leaf.dtype}"
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


def _convert(leaf: Any, path: str) -> Array | TensorInfo:
    # A jax array has no identity to be tied by: an average that starts from the parameters shares their arrays.
    bare = unboxed(leaf)
    if isinstance(bare, states.ABSTRACT):
        return replace(described(path, bare), attrs=None)
    return np.asarray(jax.random.key_data(bare) if is_key(bare) else bare)


def _fields(leaf: Any) -> dict[str, Any] | None:
    """Name -> item of a flax dataclass, such as a TrainState, without what is no part of its tree; None of others."""
    if isinstance(leaf, (AxisMetadata, type)) or not hasattr(leaf, "_flax_dataclass"):
        return None
    return {f.name: getattr(leaf, f.name) for f in fields_of(leaf) if f.metadata.get("pytree_node", True)}


def is_key(leaf: Any) -> bool:
    """Whether it is an array of typed PRNG keys, or the shape of one."""
    return isinstance(leaf, (jax.Array, jax.ShapeDtypeStruct)) and jax.numpy.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def unboxed(leaf: Any) -> Any:
    """What is in the box or Variable; a leaf that is none as it is."""
    if isinstance(leaf, nnx.Variable):
        return states.content(leaf)
    if isinstance(leaf, nn.Partitioned):
        return leaf.value  # not `unbox()`, which reshards the array under a mesh
    return leaf.unbox() if isinstance(leaf, AxisMetadata) else leaf


def _box_facts(box: AxisMetadata[Any]) -> dict[str, Any]:
    facts: dict[str, Any] = {"class_": class_name(box)}
    if isinstance(box, nn.Partitioned):
        facts["attrs"] = {"names": [list(name) if isinstance(name, tuple) else name for name in box.names]}
    return facts


def _outermost(tree: Any, at: tuple[str, ...] = ()) -> Iterator[tuple[str, str]]:
    """Path and class of the outermost FrozenDicts and States."""
    if isinstance(tree, (FrozenDict, nnx.State)):
        yield paths.render(at), _FROZEN if isinstance(tree, FrozenDict) else states.STATE
    elif isinstance(tree, Mapping):
        for key, segments in containers.placed(tree)[1]:
            yield from _outermost(tree[key], (*at, *segments))
    elif isinstance(tree, (list, tuple)):
        for label, item in zip(getattr(tree, "_fields", None) or map(str, range(len(tree))), tree, strict=True):
            yield from _outermost(item, (*at, label))


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


def tree(reader: Reader, *, boxes: bool = False, types: states.Types | None = ()) -> Any:
    """What was saved, of jax arrays on the default device; `boxes` and `types` as `arrays`.

    Raises:
        FormatError: DTYPE with every array that JAX would narrow or has no element type for.
    """

    def made(node: Node, whole: Any) -> Any:
        if not isinstance(whole, dict):
            return whole
        if node.class_ == _FROZEN:
            return freeze(whole)
        if types is not None and node.class_ == states.STATE:
            return nnx.State(whole)
        kind = None if types is None else states.variable_type(node.class_, node.attrs, types)
        return states.variable(kind, node.attrs, whole[states.VALUE]) if kind and [*whole] == [states.VALUE] else whole

    found = arrays(reader, boxes=boxes, types=types)
    return containers.assemble(reader.index, found.__getitem__, made)


def arrays(
    reader: Reader, wanted: Iterable[str] | None = None, *, boxes: bool = False, types: states.Types | None = None
) -> dict[str, Any]:
    """Path -> jax array or value. On CPU raw arrays lie in the reader's own memory, a private map.

    Args:
        reader: The file.
        wanted: The paths to load, and what they are aliases of; all by default.
        boxes: Put linen's boxes on again.
        types: Make Variables, of the classes of `flax.nnx` and these; None makes none.
    """
    names = list(reader if wanted is None else _closed(reader, wanted))
    _refuse_narrowed(reader, names)
    aliases, said = reader.aliases, reader.index.sparse
    classed = {reader.index.paths[row] for name in ("class", "attrs") for row in said.get(name, ())}
    result = reader.load(names)
    pages.find(array for array in result.values() if isinstance(array, np.ndarray))
    with collector.paused():
        _put(result, [path for path, leaf in result.items() if isinstance(leaf, np.ndarray) and path not in aliases])
    for path in names:
        if (alias := aliases.get(path)) is not None:
            target = result[alias.target]
            if alias.perm is None:
                result[path] = target if isinstance(target, nnx.Variable) else unboxed(target)
            else:
                result[path] = unboxed(target).transpose(alias.perm)
        elif path in classed and isinstance(entry := reader.info(path), TensorInfo):
            array = result[path]
            box = _BOXES.get(entry.class_ or "") if boxes else None
            kind = states.variable_type(entry.class_, entry.attrs, types or ())
            if entry.class_ == _KEY or ("impl" in (entry.attrs or {}) and (kind or entry.class_ in _BOXES)):
                array = _keys(array, entry)
            if types is not None and kind:
                result[path] = states.variable(kind, entry.attrs, array)
            else:
                result[path] = box(array, names=_names(entry)) if box else array
    return result


def _refuse_narrowed(reader: Reader, names: list[str]) -> None:
    codes = set(reader.index.columns["dtype"].tobytes())
    if all(jax_dtype(TABLE[code].name) == TABLE[code].name for code in codes):
        return
    narrowed = [
        f"{path!r}: {entry.dtype} would be {jax_dtype(entry.dtype) or 'nothing'}"
        for path in names
        if isinstance(entry := reader.info(path), TensorInfo) and jax_dtype(entry.dtype) != entry.dtype
    ]
    if narrowed:
        remedy = "jax.config.update('jax_enable_x64', True) keeps 64 bits, ptformat.load_tree gives NumPy arrays"
        raise several("DTYPE", f"what JAX would narrow; {remedy}", narrowed)


def _put(result: dict[str, Any], names: list[str]) -> None:
    """Replace the arrays of these paths by jax arrays, some at a time: faster than one by one, and than all at once.

    No device is named, so that an array is not bound to one. JAX keeps the NumPy array, and so the map.
    """
    for start in range(0, len(names), _TOGETHER):
        some = names[start : start + _TOGETHER]
        result.update(zip(some, jax.device_put([result[path] for path in some]), strict=True))


def _closed(reader: Reader, wanted: Iterable[str]) -> list[str]:
    """These paths and the targets of those that are aliases, in file order."""
    found = set(wanted)
    found |= {entry.target for path in found if isinstance(entry := reader.info(path), Alias)}
    return [path for path in reader if path in found]


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
