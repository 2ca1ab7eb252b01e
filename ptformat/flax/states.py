"""nnx Variables and States <-> what a file says of them: class, role and metadata."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

import jax
import numpy as np
from flax import nnx
from jax.sharding import PartitionSpec

from .. import attrs
from ..tree import Attrs

Variable: TypeAlias = nnx.Variable[Any]
Types: TypeAlias = Iterable[type[Variable]]

STATE = "flax.nnx.State"
# The one child of a Variable whose value is no array, such as a number or a pytree.
VALUE = "value"

# What a tensor can stand for, or its shape and element type.
ARRAYS = (jax.Array, np.ndarray, np.generic, jax.ShapeDtypeStruct)
# Of these what has no elements yet.
ABSTRACT = (jax.ShapeDtypeStruct, jax.core.Tracer)
# No class is imported because a file names it: these are the ones that there are, and `types` the caller's own.
VARIABLES: dict[str, type[Variable]] = {
    f"flax.nnx.{name}": kind
    for name, kind in vars(nnx).items()
    if isinstance(kind, type) and issubclass(kind, nnx.Variable)
}
# Metadata that every Variable has, and how it has it unless somebody asks for more. Recorded where it differs.
_ALWAYS: dict[str, bool] = {"hijax": False, "ref": False, "eager_sharding": True}
_SPEC = "partition_spec"


def public_name(kind: type) -> str:
    """A class as text: as `flax.nnx` shows it, wherever flax keeps it, or by its own module."""
    if getattr(nnx, kind.__name__, None) is kind:
        return f"flax.nnx.{kind.__name__}"
    return f"{kind.__module__}.{kind.__qualname__}"


def role(kind: type[Variable]) -> str:
    """What Variables of this class are for: a Param is a parameter, a BatchStat a buffer, any other state."""
    if issubclass(kind, nnx.Param):
        return "parameter"
    return "buffer" if issubclass(kind, nnx.BatchStat) else "state"


def facts(variable: Variable) -> dict[str, Any]:
    """Class, role and attributes of the tensor that a Variable is.

    The attributes are its metadata as far as that is plain: names, numbers, tuples of these, a PartitionSpec; and for
    a class of the caller's own the nearest one of `flax.nnx` as `base`.
    """
    kind = variable.var_type
    name = public_name(kind)
    said: dict[str, Any] = {}
    if name not in VARIABLES:
        said["base"] = next(text for text in map(public_name, kind.__mro__) if text in VARIABLES)
    recorded = {key: _plain(value) for key, value in variable.get_metadata().items() if _ALWAYS.get(key) is not value}
    if kept := {key: value for key, value in recorded.items() if value is not NotImplemented}:
        said["metadata"] = kept
    return {"class_": name, "role": role(kind), "attrs": said or None}


def _plain(value: Any) -> Any:
    if isinstance(value, PartitionSpec):
        names = attrs.plain(tuple(value))
        return NotImplemented if names is NotImplemented else {_SPEC: names}
    return attrs.plain(value)


def _restored(value: Any) -> Any:
    if isinstance(value, Mapping):
        names = value.get(_SPEC)
        kind: Any = PartitionSpec  # without types in jax
        return kind(*_restored(names)) if isinstance(names, (list, tuple)) else value
    # Tuples, for a Variable's metadata is part of the graph, which is hashed.
    return tuple(map(_restored, value)) if isinstance(value, (list, tuple)) else value


def content(variable: Variable) -> Any:
    """What is in the Variable; of a Ref its array."""
    value: Any = variable.get_raw_value()
    return value[...] if isinstance(value, jax.Ref) else value


def holds_array(variable: Variable) -> bool:
    """Whether a tensor can stand for the Variable, or shape and element type of one: no number, no pytree."""
    return isinstance(content(variable), ARRAYS)


def variable_type(class_: str | None, said: Attrs | None, types: Types = ()) -> type[Variable] | None:
    """The class to make a Variable of, from what a file says; None where it says nothing of a Variable."""
    known = VARIABLES | {public_name(kind): kind for kind in types}
    base = (said or {}).get("base")
    return known.get(class_ or "") or (VARIABLES.get(base) if isinstance(base, str) else None)


def variable(kind: type[Variable], said: Attrs | None, value: Any) -> Variable:
    """A Variable of this class and value, with the metadata that a file records. No hook is run."""
    found = (said or {}).get("metadata")
    metadata = {key: _restored(item) for key, item in found.items()} if isinstance(found, Mapping) else {}
    # Hooks are functions, which no file holds: a name of one here is no metadata of a Variable that was saved.
    metadata = {key: item for key, item in metadata.items() if not key.startswith("on_")}
    metadata |= {key: bool(metadata.get(key, usual)) for key, usual in _ALWAYS.items()}
    if metadata["ref"]:
        value = jax.new_ref(value)
    made: Variable = kind.from_metadata(value, metadata)
    return made


def once(tree: Any) -> Any:
    """A tree of Variables as a State in which a shared one stands at its first path alone, as `nnx.state` gives it.

    Any other tree is given back as it is.
    """
    leaves = jax.tree.leaves(tree, is_leaf=lambda leaf: isinstance(leaf, nnx.Variable))
    if not any(isinstance(leaf, nnx.Variable) for leaf in leaves):
        return tree
    first: dict[int, Any] = {}
    for path, leaf in nnx.to_flat_state(tree if isinstance(tree, nnx.State) else nnx.State(tree)):
        first.setdefault(id(leaf), (path, leaf))
    return nnx.from_flat_state(dict(first.values()))
