"""An nnx module taken apart: what it holds as Variables and arrays, where, and what each submodule is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np
from flax import nnx
from flax.nnx import graphlib

from .. import attrs, paths
from ..tree import Node
from . import states
from .arrays import Facts, unboxed
from .kinds import NNX_KINDS, recorded


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """A module, or a container within one, that is still to be taken apart."""

    node: Any


@dataclass(frozen=True, slots=True, eq=False)
class Slot:
    """What a module holds as data in no Variable, and where."""

    node: Any
    key: Any
    value: Any

    @property
    def content(self) -> Any:
        """The value; of a Ref its array."""
        return self.value[...] if isinstance(self.value, jax.Ref) else self.value

    def opened(self) -> Any:
        """Its array, or the map in which any other value stands, as a Variable's does."""
        return self.content if isinstance(self.content, states.ARRAYS) else {states.VALUE: self.content}

    @property
    def settable(self) -> bool:
        """Whether its node takes another value, as a tuple does not."""
        impl: Any = graphlib.get_node_impl(self.node)
        return isinstance(self.value, jax.Ref) or impl.set_key is not None

    def set(self, value: Any) -> None:
        """Put another value in its place."""
        impl: Any = graphlib.get_node_impl(self.node)
        static = isinstance(self.node, nnx.Pytree) and isinstance(self.value, states.ABSTRACT)
        impl.set_key(self.node, self.key, nnx.data(value) if static else value)


class Graph:
    """A module taken apart, one node at a time: what holds no Variable and no array is left out, as nnx.state does."""

    def __init__(self, facts: Facts, dropped: tuple[type[states.Variable], ...] = ()) -> None:
        self.facts = facts
        self.dropped = dropped
        self.parts: dict[int, Part] = {}  # by id of the node, so that a module that contains itself is seen
        self.filled: dict[int, bool] = {}
        self.normed: set[int] = set()  # ids of layers whose tensors a norm makes

    def part(self, node: Any) -> Part:
        """The one part that stands for this node."""
        return self.parts.setdefault(id(node), Part(node))

    def opened(self, leaf: Any, path: str) -> Any:
        """The map that a part or slot stands for, or the leaf; what a module is goes to the facts."""
        if isinstance(leaf, Slot):
            return leaf.opened()
        if not isinstance(leaf, Part):
            return leaf
        inner = dict(self.children(leaf.node))
        if isinstance(leaf.node, nnx.Pytree):
            self.note(leaf.node, path, inner)
        return {key: self.part(item) if _is_node(item) else item for key, item in inner.items()}

    def children(self, node: Any) -> Iterator[tuple[Any, Any]]:
        """Key and Variable, slot or node of all that is to be saved."""
        for key, item in _items(node):
            if isinstance(item, nnx.Variable):
                if not issubclass(item.var_type, self.dropped):
                    yield key, item
            elif isinstance(item, Slot) or self.holds(item):
                yield key, item

    def holds(self, node: Any) -> bool:
        """Whether anything is to be saved of a node."""
        if id(node) not in self.filled:
            self.part(node)  # keeps the node alive, and so its id its own
            self.filled[id(node)] = False
            self.filled[id(node)] = any(True for _ in self.children(node))
        return self.filled[id(node)]

    def note(self, module: nnx.Pytree, path: str, inner: Mapping[Any, Any]) -> None:
        """Class, kind and attributes of a module, and the axes of its Variables."""
        of = NNX_KINDS.get(type(module))
        kind = of(module) if of else None
        if kind and id(module) in self.normed:
            kind = replace(kind, name=None, axes={})
        if isinstance(module, (nnx.WeightNorm, nnx.SpectralNorm)):
            self.normed.add(id(module.layer_instance))  # by itself it is no such layer
        found = {name: _reached(inner, name) for name in kind.axes} if kind else {}
        held = {name: leaf for name, leaf in found.items() if isinstance(leaf, nnx.Variable)}
        # Under nnx.vmap Variables have an axis more, and the kind's layout does not hold.
        if kind and all(len(np.shape(unboxed(leaf))) == len(kind.axes[name]) for name, leaf in held.items()):
            for name in held:  # a module's word goes before that of one within it
                at = paths.render((*paths.parse(path), *name.split(".")))
                self.facts.tensors.setdefault(at, {}).setdefault("axes", recorded(kind.axes[name]))
        else:
            kind = None
        self.facts.nodes[path] = Node(
            path,
            module=kind.name if kind else None,
            class_=states.public_name(type(module)),
            attrs=attrs.of(module, kind.attrs) if kind else None,
        )


def _reached(inner: Mapping[Any, Any], name: str) -> Any:
    """What stands at dotted names below a module; None where nothing does."""
    first, *rest = name.split(".")
    item = inner.get(first)
    for attribute in rest:
        item = getattr(item, attribute, None)
    return item


def _is_node(item: Any) -> bool:
    return not isinstance(item, Slot) and graphlib.is_node(item)


def _items(node: Any) -> Iterator[tuple[Any, Any]]:
    """Key and Variable, slot or node of all that a node holds, in nnx's order; not what is static."""
    impl = graphlib.get_node_impl(node)
    assert impl is not None  # only nodes are taken apart
    for key, item in impl.flatten(node)[0]:
        # `nnx.eval_shape` makes of an array in no Variable a static tracer that has outlived its trace.
        if isinstance(item, graphlib.StaticElem) and not isinstance(item.value, states.ABSTRACT):
            continue
        data = isinstance(item, graphlib.DataElem)
        item = item.value if isinstance(item, (graphlib.DataElem, graphlib.StaticElem)) else item
        if isinstance(item, nnx.Variable) or graphlib.is_node(item):
            yield key, item
        elif data or isinstance(item, (*states.ARRAYS, jax.Ref)):
            yield key, Slot(node, key, item)
