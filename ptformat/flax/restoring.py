"""A tree from a file in the caller's own types: optimizer states and TrainStates that go on training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np
from flax import nnx
from flax.core.meta import AxisMetadata

from .. import paths
from ..dtypes import BY_NAME
from ..errors import several
from . import states
from .arrays import is_key, unboxed

_At = tuple[Any, ...]


def restore(tree: Any, like: Any) -> Any:
    """The leaves of a tree in the structure, and so in the types, of another.

    restore(load_file("state.ptf"), TrainState.create(...))

    No type is taken from the file: dicts, lists, tuples and records are matched with the namedtuples, dataclasses,
    FrozenDicts, boxes, nnx Variables and other pytree nodes of `like` by keys, positions and field names. What in
    `like` is no leaf, such as a TrainState's `apply_fn` and `tx`, is taken from it. A Variable that is shared in `like`
    stays so.

    Args:
        tree: What `load_file` or `ptformat.load_tree` gives.
        like: A pytree: its arrays, or `jax.ShapeDtypeStruct`, say which shapes and element types are wanted; a Python
            number which kind of scalar. Nothing of it is changed. Where training changes an element type, the one to
            take is `jax.eval_shape` of a step.

    Returns:
        `like` with every leaf replaced. A leaf keeps the bits and type that it has in the file; only where `like` has
        an array of weak type it becomes one, so that what is computed with it has the type that it had.

    Raises:
        FormatError: MISMATCH with all problems: missing, unexpected, type, shape, dtype, tie.
    """
    wanted, structure = jax.tree.flatten_with_path(like, is_leaf=_is_leaf)
    found = dict(_leaves(tree, ()))
    places = [tuple(_key(step) for step in at) for at, _ in wanted]
    problems = [
        problem
        for at, (_, leaf) in zip(places, wanted, strict=True)
        for problem in _misfits(at, found.get(at), at in found, unboxed(leaf))
    ]
    firsts: dict[int, _At] = {}
    for at, (_, leaf) in zip(places, wanted, strict=True):
        first = firsts.setdefault(id(leaf), at) if isinstance(leaf, nnx.Variable) else at
        if found.get(at) is not found.get(first):
            problems.append(f"tie         {_shown_at(at)}: apart from {_shown_at(first)}, where one Variable is wanted")
    unknown = dict.fromkeys(found)
    for at in places:
        unknown.pop(at, None)
    problems += [f"unexpected  {_shown_at(at)}: {_shown(found[at])} in the file" for at in unknown]
    if problems:
        raise several("MISMATCH", f"the file does not fit the {type(like).__name__}, nothing was restored", problems)
    made = {at: _as(found[at], leaf) for at, (_, leaf) in zip(places, wanted, strict=True)}
    leaves = [made[firsts.get(id(leaf), at)] for at, (_, leaf) in zip(places, wanted, strict=True)]
    return jax.tree.unflatten(structure, leaves)


def _is_leaf(leaf: Any) -> bool:
    return isinstance(leaf, AxisMetadata) or (isinstance(leaf, nnx.Variable) and states.holds_array(leaf))


def _leaves(tree: Any, at: _At) -> Iterator[tuple[_At, Any]]:
    """The leaves by their keys, positions and field names. None is no leaf, as in jax."""
    fields = getattr(tree, "_fields", None) if isinstance(tree, tuple) else None
    if isinstance(tree, Mapping):
        inner = list(tree.items())
    elif fields is not None:
        inner = list(zip(fields, tree, strict=True))
    elif isinstance(tree, (list, tuple)):
        inner = list(enumerate(tree))
    else:
        if tree is not None:
            yield at, tree
        return
    for key, item in inner:
        yield from _leaves(item, (*at, key))


def _key(step: Any) -> Any:
    for name in ("key", "idx", "name"):  # of a mapping, of a list or tuple, of a dataclass or namedtuple
        if hasattr(step, name):
            return getattr(step, name)
    return step


def _misfits(at: _At, leaf: Any, there: bool, like: Any) -> Iterator[str]:
    if not there:
        yield f"missing     {_shown_at(at)}: {_shown(like)} is wanted"
        return
    stored, wanted = _shape_and_dtype(leaf), _shape_and_dtype(like)
    if stored is None or wanted is None:
        if type(leaf) is not type(like):
            yield f"type        {_shown_at(at)}: {_shown(leaf)} in the file, {_shown(like)} is wanted"
        return
    if stored[0] != wanted[0]:
        yield f"shape       {_shown_at(at)}: {stored[0]} in the file, {wanted[0]} is wanted"
    if stored[1] != wanted[1] and not _kinds_agree(leaf, like, stored[1], wanted[1]):
        yield f"dtype       {_shown_at(at)}: {stored[1]} in the file, {wanted[1]} is wanted"


def _kinds_agree(leaf: Any, like: Any, stored: str, wanted: str) -> bool:
    """Whether one is a Python number and the other a scalar array of the same kind: a step before and after jit."""
    kinds = {"bool": "bool", "int": "int", "uint": "int", "float": "float", "bfloat": "float", "complex": "complex"}
    numbers = isinstance(leaf, (bool, int, float)) or isinstance(like, (bool, int, float))
    first, second = (kinds.get(name.rstrip("0123456789")) for name in (stored, wanted))
    return numbers and first is not None and first == second


def _shape_and_dtype(leaf: Any) -> tuple[tuple[int, ...], str] | None:
    """Of an array or Python number; the element type of the latter is its kind. None for text, bytes and the like."""
    if isinstance(leaf, (bool, int, float)):
        return (), type(leaf).__name__
    if hasattr(leaf, "shape") and hasattr(leaf, "dtype"):
        return tuple(leaf.shape), str(leaf.dtype)
    return None


def _as(leaf: Any, like: Any) -> Any:
    """A leaf from the file as one for its place."""
    if isinstance(like, AxisMetadata):
        return like.replace_boxed(_as(leaf, unboxed(like)))
    if isinstance(like, nnx.Variable):
        return like.copy(_as(leaf, unboxed(like)))
    if not getattr(like, "weak_type", False) or np.shape(leaf) or is_key(leaf):
        return leaf
    # The number behind a scalar: from one of these jax makes an array of weak type.
    number = jax.numpy.asarray(np.asarray(leaf).item())
    return number if str(number.dtype) == str(like.dtype) else leaf


def _shown_at(at: _At) -> str:
    return repr(paths.render([str(key) for key in at]) or "the root")


def _shown(leaf: Any) -> str:
    found = _shape_and_dtype(leaf)
    if found is None:
        return f"the value {leaf!r:.40}"
    return f"{found[1]} {found[0]}" if found[1] in BY_NAME else f"{found[1]} {found[0] or leaf}"
