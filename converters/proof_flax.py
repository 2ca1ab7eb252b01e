"""A flax model, linen or nnx, run once in evaluation mode, each layer seen; it works on a copy of an nnx module."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import torch
from flax import nnx
from flax.nnx import graphlib

from ptformat.dtypes import Array
from ptformat.paths import Segments
from ptformat.torch import tensors

from .proof_layers import Call
from .proof_numbers import ProofError, leaves
from .proof_torch import mapped

_PLACE = "_ptformat_place"  # the attribute by which the copies' modules know where they are


@dataclass(slots=True)
class Ran:
    """What a run gave.

    Attributes:
        output: What the model returned.
        calls: What its layers returned, in order of execution, the root left out.
        names: Every path of every module -> the one that its calls are noted under.
        unseen: Why some layers could not be watched, or empty.
    """

    output: Any
    calls: list[Call]
    names: dict[Segments, Segments]
    unseen: str = ""


def plain(value: Any) -> Any:
    """An argument with the arrays of either framework as NumPy's; keys of generators stay."""

    def convert(leaf: Any) -> Any:
        if isinstance(leaf, torch.Tensor):
            return tensors.to_array(leaf)
        if isinstance(leaf, jax.Array) and not jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            return np.asarray(leaf)
        return leaf

    return mapped(convert, value)


def given(value: Any) -> Any:
    """A plain argument as the model gets it: arrays as jax arrays, graph nodes (Rngs) as copies.

    Raises:
        ProofError: For integers that JAX would cut off.
    """

    def convert(leaf: Any) -> Any:
        if isinstance(leaf, np.ndarray):
            return _placed(leaf)
        return _copied(leaf) if isinstance(leaf, nnx.Pytree) else leaf

    return mapped(convert, value)


def _placed(array: Array) -> jax.Array:
    dtype = jax.dtypes.canonicalize_dtype(array.dtype)
    if array.dtype.kind in "iu" and dtype != array.dtype and array.size:
        low, high = int(array.min()), int(array.max())
        if low < np.iinfo(dtype).min or high > np.iinfo(dtype).max:
            raise ProofError(f"an input has integers from {low} to {high}, and JAX without x64 has {dtype} alone")
    return jnp.array(array.astype(dtype))


def is_array(leaf: Any) -> bool:
    """Whether a leaf of what a model returned is an array."""
    return isinstance(leaf, (jax.Array, np.ndarray))


def array(leaf: Any) -> Array:
    """An array as NumPy's."""
    return np.asarray(leaf)


def run(model: Any, variables: Any, inputs: tuple[Any, ...], kwargs: Mapping[str, Any], watch: bool) -> Ran:
    """What the model returns, and its layers.

    Args:
        model: A linen or nnx module.
        variables: Of a linen module.
        inputs: As `given` gives them.
        kwargs: The same, by name; for linen those of `apply` too.
        watch: Whether layers are to be seen.

    Raises:
        ProofError: When it is no such module, or has no values.
    """
    with jax.default_matmul_precision("highest"):
        if isinstance(model, nn.Module):
            return _run_linen(model, variables, inputs, kwargs, watch)
        if isinstance(model, nnx.Module):
            return _run_nnx(model, variables, inputs, kwargs, watch)
    raise ProofError(f"the flax model is a {type(model).__name__}, expected a linen or an nnx module")


def _run_linen(model: nn.Module, variables: Any, inputs: Any, kwargs: Mapping[str, Any], watch: bool) -> Ran:
    if variables is None and model.scope is not None:
        model, variables = model.unbind()
    if variables is None:
        raise ProofError("the flax model is a linen module: give its variables=")
    _check_values(variables, "the variables")

    def apply() -> Any:
        output = model.apply(variables, *inputs, **kwargs)
        changes = kwargs.get("mutable", False)
        return output if changes is False else output[0]

    def intercept(watch: _Watch) -> contextlib.AbstractContextManager[Any]:
        def seen(call: Any, args: Any, kwargs: Any, context: nn.module.InterceptorContext) -> Any:
            output = call(*args, **kwargs)
            if context.method_name == "__call__" and context.module.scope is not None:
                watch.note(context.module.path, output)
            return output

        return nn.intercept_methods(seen)

    output, seen = _watched(apply, intercept, watch)
    if watch and not _modules_of(variables) <= {call.path for call in seen.calls}:
        # What ran in nn.jit before is not traced again, and so not seen, unless nothing is compiled.
        with jax.disable_jit(), contextlib.suppress(Exception):
            seen = _watched(apply, intercept, watch)[1]
    return Ran(output, seen.calls, {call.path: call.path for call in seen.calls}, seen.unseen)


def _modules_of(variables: Mapping[str, Any]) -> set[Segments]:
    """Paths of the modules that hold parameters, the root left out."""
    flat = jax.tree.flatten_with_path(variables.get("params", {}))[0]
    return {tuple(str(getattr(key, "key", key)) for key in path[:-1]) for path, _ in flat} - {()}


def _run_nnx(model: nnx.Module, variables: Any, inputs: Any, kwargs: Mapping[str, Any], watch: bool) -> Ran:
    if variables is not None:
        raise ProofError("variables are those of a linen module; an nnx module has its own")
    if not callable(model):
        raise ProofError(f"the flax model, a {type(model).__name__}, has no __call__")
    _check_values(nnx.state(model), "the nnx module")
    names: dict[Segments, Segments] = {}
    watched: list[Any] = []  # the copy that knows its places

    def copied() -> Any:
        copy = _copied(model)
        copy.eval()
        return copy

    def apply() -> Any:
        return (watched.pop() if watched else copied())(*inputs, **kwargs)

    def intercept(watch: _Watch) -> contextlib.AbstractContextManager[Any]:
        watched.append(copied())
        names.update(_place(watched[0], watch))
        return _wrapped({type(module) for _, module in nnx.iter_modules(watched[0], graph=True)})

    output, seen = _watched(apply, intercept, watch)
    return Ran(output, seen.calls, names, seen.unseen)


def _copied(node: Any) -> Any:
    """A copy of a graph node that shares nothing that can be written to."""
    graphdef, state = nnx.split(node, graph=True)
    state = jax.tree.map(lambda leaf: leaf.copy() if isinstance(leaf, np.ndarray) else leaf, state)
    return nnx.merge(graphdef, state)


def _check_values(tree: Any, whose: str) -> None:
    if any(isinstance(leaf, jax.ShapeDtypeStruct) for leaf in jax.tree.leaves(tree)):
        raise ProofError(f"{whose} of the flax model: abstract, without values")


@dataclass(slots=True, eq=False)
class _Watch:
    """Notes what layers return while it is open, also within jit and scan, where arrays come when it runs."""

    calls: list[Call] = field(default_factory=list)
    unseen: str = ""
    open: bool = True
    traced: bool = False

    def note(self, path: Segments, output: Any) -> None:
        if not path:
            return
        arrays = [leaf for _, leaf in leaves(output, is_array) if is_array(leaf)]
        if any(type(leaf).__name__ == "BatchTracer" for leaf in arrays):
            self.unseen = "what runs in vmap was not seen"
        elif any(isinstance(leaf, jax.core.Tracer) for leaf in arrays):
            self.traced = True
            jax.debug.callback(functools.partial(self.keep, path), *arrays, ordered=True)
        else:
            if self.traced:
                jax.effects_barrier()  # type: ignore[no-untyped-call]  # what ran before comes before
            self.keep(path, *arrays)

    def keep(self, path: Segments, *arrays: Any) -> None:
        # A trace may outlive the run in a cache of jit's.
        if self.open:
            self.calls.append(Call(path, tuple(arrays)))


def _watched(
    apply: Callable[[], Any], intercept: Callable[[_Watch], contextlib.AbstractContextManager[Any]], watch: bool
) -> tuple[Any, _Watch]:
    """What a model returns, and its layers, if they can be watched; if that fails, it runs unwatched."""
    unseen = ""
    if watch:
        seen = _Watch()
        try:
            with intercept(seen):
                output = apply()
            jax.block_until_ready(jax.tree.leaves(output))  # type: ignore[no-untyped-call]
            jax.effects_barrier()  # type: ignore[no-untyped-call]
        except Exception as error:
            unseen = f"no layer of flax was seen: {type(error).__name__} while they were watched"
        else:
            return output, _Watch(list(seen.calls), seen.unseen)
        finally:
            seen.open = False
            seen.calls.clear()
    return apply(), _Watch(unseen=unseen)


@dataclass(frozen=True, slots=True, eq=False)
class _Place:
    """Where a module stands. Equal to itself alone, so that nothing traced before is taken for it."""

    path: Segments
    watch: _Watch


def _place(root: nnx.Module, watch: _Watch) -> dict[Segments, Segments]:
    """Tell every module its place, the first where it is shared.

    Returns:
        Every path -> the first path of the module.
    """
    first: dict[int, Segments] = {}
    names: dict[Segments, Segments] = {}

    def walk(node: Any, path: Segments, above: frozenset[int]) -> None:
        if id(node) in above:
            return
        if isinstance(node, nnx.Module):
            if id(node) not in first:
                first[id(node)] = path
                setattr(node, _PLACE, _Place(path, watch))
            names[path] = first[id(node)]
        impl: Any = graphlib.get_node_impl(node)
        for key, child in impl.node_dict(node).items():
            if graphlib.is_node(child) and not isinstance(child, nnx.Variable):
                walk(child, (*path, str(key)), above | {id(node)})

    walk(root, (), frozenset())
    names.pop((), None)
    return names


@contextlib.contextmanager
def _wrapped(classes: set[type]) -> Iterator[None]:
    """Let calls of modules that know their place be noted; the classes are put back when this closes.

    nnx has no interceptors; `nnx.capture` also wraps the classes, but not calls that they inherit, nor what runs in
    jit and scan.
    """
    # Not by getattr alone: a class without one answers with its metaclass's.
    callables = {cls: cls.__call__ for cls in classes if any("__call__" in vars(base) for base in cls.__mro__)}
    own = {cls: vars(cls).get("__call__") for cls in callables}
    try:
        for cls, call in callables.items():
            type.__setattr__(cls, "__call__", _noting(cls, call))
        yield
    finally:
        for cls, mine in own.items():
            if mine is not None:
                type.__setattr__(cls, "__call__", mine)
            elif "__call__" in vars(cls):
                type.__delattr__(cls, "__call__")


def _noting(cls: type, call: Any) -> Any:
    @functools.wraps(call)
    def noting(self: Any, *args: Any, **kwargs: Any) -> Any:
        output = call(self, *args, **kwargs)
        place = getattr(self, _PLACE, None)
        if place is not None and type(self) is cls:  # not again in what calls super()
            place.watch.note(place.path, output)
        return output

    return noting
