"""A linen module's variables, with what each submodule is; and a file checked against the module."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Unpack

import jax
import numpy as np
from flax import linen as nn
from flax.core.meta import AxisMetadata

from .. import attrs, paths
from ..atomic import PathLike
from ..errors import several
from ..reader import read
from ..saving import Options, put
from ..tree import Node
from ..writer import Writer
from .arrays import LINEN, Entries, Facts, arrays, entries, unboxed
from .fitting import described, headline, misfits
from .kinds import LINEN_KINDS as KINDS
from .kinds import Kind, normed, recorded


def save_model(
    module: nn.Module,
    variables: Any,
    path: PathLike,
    *inputs: Any,
    kwargs: Mapping[str, Any] | None = None,
    rngs: Any = None,
    **options: Unpack[Options],
) -> None:
    """Save a module's variables, and with them what each submodule is.

    Which submodule stands where is found by running the module on shapes alone. Recorded at `params.<path>`, and only
    where the submodule has something there: its class and, where it is known exactly, its neutral kind and attributes;
    and the axes of its leaves, in `batch_stats` too.

    Args:
        module: The module, not bound.
        variables: Its variables, as `save_file` takes them; not changed.
        path: The file to write, replaced in one step.
        inputs: Example inputs of the call: arrays, or `jax.ShapeDtypeStruct`; what is no array is passed as it is.
        kwargs: Keyword arguments of the call, passed as they are, such as `{"train": False}`.
        rngs: PRNG keys, where the call needs them.
        options: The keyword options of `ptformat.Writer`.

    Raises:
        FormatError: As `save_file`.
        flax.errors.FlaxError: From flax, where the variables are not the module's.
        OSError: From the file system; the file that was there before is whole.
    """
    found = described_entries(module, variables, inputs, kwargs or {}, rngs)
    options.setdefault("convention", LINEN)
    with Writer(path, **options) as out:
        put(out, found)


def described_entries(
    module: nn.Module,
    variables: Any,
    inputs: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    rngs: Any = None,
    *,
    shapes: bool = False,
) -> Entries:
    """The entries of a module's variables, with what each submodule is; `shapes` as `arrays.entries`."""
    facts = _facts(_submodules(module, variables, inputs, kwargs, rngs), variables)
    return entries(variables, facts, shapes=shapes)


def abstract_entries(module: nn.Module, inputs: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Entries:
    """The entries of the variables that `module.init` would give, without arrays, with what each submodule is."""
    found: dict[tuple[str, ...], nn.Module] = {}

    def init(*inputs: Any) -> Any:
        with nn.intercept_methods(_noting(found)):
            return module.init(jax.random.key(0), *inputs, **kwargs)

    variables = _on_shapes(init, *inputs)
    return entries(variables, _facts(found, variables), shapes=True)


def _submodules(
    module: nn.Module, variables: Any, inputs: tuple[Any, ...], kwargs: Mapping[str, Any], rngs: Any
) -> dict[tuple[str, ...], nn.Module]:
    """Path -> module of all that one call of the module runs through."""
    found: dict[tuple[str, ...], nn.Module] = {}

    def run(variables: Any, *inputs: Any) -> Any:
        with nn.intercept_methods(_noting(found)):
            return module.apply(variables, *inputs, rngs=rngs, mutable=True, **kwargs)

    _on_shapes(run, variables, *inputs)
    return found


def _noting(found: dict[tuple[str, ...], nn.Module]) -> Callable[..., Any]:
    """What flax calls in place of every method of a module: it notes the module by its path."""

    def note(call: Any, args: Any, kwargs: Any, context: Any) -> Any:
        found.setdefault(context.module.path, context.module)
        return call(*args, **kwargs)

    return note


def _on_shapes(function: Callable[..., Any], *args: Any) -> Any:
    """The shapes and element types that a function returns. Only arrays are abstract: a flag stays a flag."""
    leaves, structure = jax.tree.flatten(args)
    abstract = {i: leaf for i, leaf in enumerate(leaves) if hasattr(leaf, "shape") and hasattr(leaf, "dtype")}

    def run(given: dict[int, Any]) -> Any:
        return function(*jax.tree.unflatten(structure, [given.get(i, leaf) for i, leaf in enumerate(leaves)]))

    return jax.eval_shape(run, abstract)


def _facts(submodules: Mapping[tuple[str, ...], nn.Module], variables: Any) -> Facts:
    facts = Facts()
    norms = _norms(submodules, variables)
    for at, module in submodules.items():
        held = {c: _within(variables, (c, *at)) for c in ("params", "batch_stats")}
        of = KINDS.get(type(module))
        kind = of(module) if of else None
        if kind and at in norms:
            kind, magnitude = _under(kind, module, norms[at])
            if magnitude and (axes := recorded(kind.axes["magnitude"])):
                facts.tensors[paths.render(magnitude)] = {"axes": axes}
        if kind:
            # Under nn.scan or nn.vmap leaves have an axis more, and the kind's layout does not hold.
            leaves = {
                (c, *at, *name.split(".")): (leaf, axes)
                for c, inner in held.items()
                for name, axes in kind.axes.items()
                if (leaf := _leaf(inner, name)) is not None
            }
            if all(len(np.shape(unboxed(leaf))) == len(axes) for leaf, axes in leaves.values()):
                for path, (_, axes) in leaves.items():  # a module's word goes before that of one within it
                    facts.tensors.setdefault(paths.render(path), {"axes": recorded(axes)})
            else:
                kind = None
        if held["params"]:
            node = paths.render(("params", *at))
            facts.nodes[node] = Node(
                node,
                module=kind.name if kind else None,
                class_=attrs.class_name(module),
                attrs=attrs.of(module, kind.attrs) if kind else None,
            )
    return facts


def _norms(
    submodules: Mapping[tuple[str, ...], nn.Module], variables: Any
) -> dict[tuple[str, ...], tuple[nn.WeightNorm, tuple[str, ...]] | None]:
    """Path of each layer whose tensors a norm makes -> the WeightNorm that makes its kernel, and the magnitude's path.

    None where it is another norm, or makes something else.
    """
    found: dict[tuple[str, ...], tuple[nn.WeightNorm, tuple[str, ...]] | None] = {}
    for at, module in submodules.items():
        if not isinstance(module, (nn.WeightNorm, nn.SpectralNorm)):
            continue
        for collection in ("params", "batch_stats"):
            for key in _within(variables, (collection, *at)):
                *within, _ = layer = tuple(key.split("/"))[:-1]  # a key is the tensor's path and what is kept of it
                path = (*at[:-1], *within)
                if isinstance(module, nn.WeightNorm) and layer[-1] == "kernel" and path not in found:
                    found[path] = module, (collection, *at, key)
                else:
                    found[path] = None
    return found


def _under(
    kind: Kind, layer: nn.Module, norm: tuple[nn.WeightNorm, tuple[str, ...]] | None
) -> tuple[Kind, tuple[str, ...]]:
    """The kind of a layer under a norm, and the path of its magnitude, empty where it has none."""
    kind = normed(kind, layer, norm[0]) if norm else Kind(None, kind.attrs, {})
    return kind, norm[1] if norm and kind.name else ()


def _leaf(tree: Any, name: str) -> Any:
    """What stands at dotted names; None where nothing does."""
    for key in name.split("."):
        if not isinstance(tree, Mapping) or key not in tree:
            return None
        tree = tree[key]
    return tree


def _within(tree: Any, at: tuple[str, ...]) -> Mapping[str, Any]:
    """The map at this path; empty where there is none."""
    for key in at:
        if not isinstance(tree, Mapping) or key not in tree:
            return {}
        tree = tree[key]
    return tree if isinstance(tree, Mapping) else {}


def load_model(
    module: nn.Module, path: PathLike, *inputs: Any, verify: bool = False, mapped: bool = True, **init_kwargs: Any
) -> Any:
    """The variables of a file, in the structure that `module.init` gives, boxes included.

    Nothing is initialised: shapes and element types come from `jax.eval_shape`.

    Args:
        module: The module, not bound.
        path: The .ptf file.
        inputs: Example inputs of `init`: arrays, or `jax.ShapeDtypeStruct`; what is no array is passed as it is.
        verify: Check the checksums of raw arrays too.
        mapped: Map the file rather than read it: see `ptformat.open`.
        init_kwargs: Keyword arguments of `init`, passed as they are, such as `train=False`.

    Returns:
        Variables of jax arrays, on CPU without a copy.

    Raises:
        FormatError: MISMATCH with all problems: missing, unexpected (extra collections too), shape, dtype. As
            `load_file`.
        OSError: When it cannot be read.
    """
    reader = read(path, verify=verify, mapped=mapped, private=True)

    def init(*inputs: Any) -> Any:
        return module.init(jax.random.key(0), *inputs, **init_kwargs)

    leaves, structure = jax.tree.flatten_with_path(
        _on_shapes(init, *inputs), is_leaf=lambda leaf: isinstance(leaf, AxisMetadata)
    )
    expected = {paths.render(map(_segment, at)): leaf for at, leaf in leaves}
    if problems := list(misfits(reader, {path: described(path, unboxed(leaf)) for path, leaf in expected.items()})):
        raise several("MISMATCH", headline(reader, module, LINEN), problems)
    found = arrays(reader)
    boxed = [
        leaf.replace_boxed(found[path]) if isinstance(leaf, AxisMetadata) else found[path]
        for path, leaf in expected.items()
    ]
    return jax.tree.unflatten(structure, boxed)


def _segment(key: Any) -> str:
    for name in ("key", "idx", "name"):  # of a dict, of a list or tuple, of a dataclass
        if hasattr(key, name):
            return str(getattr(key, name))
    return str(key)
