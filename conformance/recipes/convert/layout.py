"""A module as a framework has it, and drafts of files of them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..draft import Draft
from .operations import Array, Made
from .spelling import permute
from .values import number, numbers, spread

CONVENTIONS = {"torch": "torch", "linen": "flax.linen", "nnx": "flax.nnx"}
SIDES = (*CONVENTIONS,)


@dataclass(frozen=True, kw_only=True)
class Leaf:
    """A tensor of a module.

    Attributes:
        name: Below the module.
        shape: Of the tensor.
        axes: Their names, or nothing where one of them is several.
        dtype: Of the elements.
        role: What the tensor is for.
        variable: Class of nnx's Variable; nothing where it is none.
        collection: Of linen's.
        path: The whole path, where it is not that of the module and the name.
        values: Of the elements: numbers, or one of `spread` and `positive`.
    """

    name: str
    shape: Sequence[int]
    axes: str = ""
    dtype: str = "float32"
    role: str = "parameter"
    variable: str = "Param"
    collection: str = "params"
    path: str = ""
    values: str | Sequence[float] = "spread"


@dataclass(frozen=True)
class Module:
    """A node: `at` is below the module that it belongs to, or the whole path where it stands alone."""

    at: str = ""
    kind: str = ""
    class_: str = ""
    attrs: Mapping[str, Any] = field(default_factory=dict)
    keys: Sequence[Any] = ()
    form: str = ""


@dataclass(frozen=True)
class Layer:
    """A module in each framework that has it, and what each of its tensors is made of in each other one.

    Attributes:
        sides: Framework -> nodes and tensors in order.
        moves: (from, to) -> name of a tensor -> what it is made of, in names of the other side's.
    """

    sides: Mapping[str, Sequence[Module | Leaf]]
    moves: Mapping[tuple[str, str], Mapping[str, Made]]

    def leaves(self, side: str) -> Iterator[Leaf]:
        """Its tensors."""
        return (one for one in self.sides[side] if isinstance(one, Leaf))


@dataclass(frozen=True)
class At:
    """A layer in a net, by its path in each framework."""

    layer: Layer
    torch: str
    linen: str
    nnx: str


@dataclass(frozen=True)
class Tie:
    """A tensor that is another one again, axes moved or not."""

    path: str
    target: str
    perm: Sequence[int] | None = None
    axes: str = ""


Item = At | Module | Tie
Sides = dict[str, list[Module | Leaf]]  # framework -> nodes and tensors in order


def at(layer: Layer, path: str) -> At:
    """A layer that every framework has under one name."""
    return At(layer, path, path, path)


def paired(
    kind: str,
    classes: tuple[str, str, str],
    attrs: tuple[Mapping[str, Any], Mapping[str, Any], Mapping[str, Any]],
    *pairs: tuple[Leaf, Leaf],
) -> Layer:
    """A layer each of whose tensors is one tensor in every framework, its axes in another order by their names."""
    torch, flax = [one for one, _ in pairs], [one for _, one in pairs]
    there = {b.name: _moved(a, b) for a, b in pairs}
    back = {a.name: _moved(b, a) for a, b in pairs}
    same = {one.name: one.name for one in flax}
    sides: Sides = {
        side: [Module("", kind, class_, facts), *(torch if side == "torch" else flax)]
        for side, class_, facts in zip(SIDES, classes, attrs, strict=True)
    }
    return Layer(sides, moves(there, back, same, same))


def _moved(of: Leaf, into: Leaf) -> Made:
    order, wanted = of.axes.split(), into.axes.split()
    return permute(of.name, *map(order.index, wanted)) if order else of.name


def moves(
    there: Mapping[str, Made],
    back: Mapping[str, Made],
    into_nnx: Mapping[str, Made],
    into_linen: Mapping[str, Made],
) -> dict[tuple[str, str], Mapping[str, Made]]:
    """Those of a layer that linen and nnx lay out alike."""
    return {
        ("torch", "linen"): there,
        ("torch", "nnx"): there,
        ("linen", "torch"): back,
        ("nnx", "torch"): back,
        ("linen", "nnx"): into_nnx,
        ("nnx", "linen"): into_linen,
    }


def only(layer: Layer, *sides: str) -> Layer:
    """The layer in these frameworks alone."""
    kept = {pair: made for pair, made in layer.moves.items() if {*pair} <= {*sides}}
    return replace(layer, sides={side: layer.sides[side] for side in sides}, moves=kept)


# ------------------------------------------------------------------------------------------------------- the files


def path_of(side: str, prefix: str, leaf: Leaf) -> str:
    """Where a tensor of a layer stands."""
    if leaf.path:
        return leaf.path
    collection = leaf.collection if side == "linen" else ""
    return ".".join(filter(None, (collection, prefix, leaf.name)))


def placed_leaves(side: str, items: Sequence[Item]) -> Iterator[tuple[str, Leaf, At]]:
    """Path, tensor and layer of every tensor, in order."""
    for item in items:
        if isinstance(item, At) and side in item.layer.sides:
            prefix = getattr(item, side)
            yield from ((path_of(side, prefix, leaf), leaf, item) for leaf in item.layer.leaves(side))


def valued(items: Sequence[Item], side: str = "torch") -> dict[str, Array[bytes]]:
    """The tensors of a net with numbers of their own, no two alike but where a leaf says which."""
    made = {}
    count = 0
    for path, leaf, _ in placed_leaves(side, items):
        size = math.prod(leaf.shape)
        given = leaf.values
        values = spread(leaf.dtype, count, size, positive=given == "positive") if isinstance(given, str) else given
        made[path] = Array(leaf.dtype, tuple(leaf.shape), tuple(number(leaf.dtype, value) for value in values))
        count += size
    return made


def drafted(side: str, items: Sequence[Item], held: Mapping[str, Array[bytes]]) -> Draft:
    """The file of a net, as the library writes it for the module."""
    made = Draft(convention=CONVENTIONS[side])
    if side == "torch" and not any(_is_root(item) for item in items):
        made.node("", "flat")
    for item in items:
        if isinstance(item, Tie):
            said = {"axes": item.axes.split()} if item.axes else {}
            made.alias(item.path, item.target, item.perm, **said)
        elif isinstance(item, Module):
            _node(made, side, item.at, item)
        else:
            _layer(made, side, item, held)
    for path, leaf, _ in placed_leaves(side, items):
        if side == "linen" and leaf.collection != "params":
            _tensor(made, side, path, leaf, held)
    return made


def _is_root(item: Item) -> bool:
    """Whether torch's root is a module that this says something of."""
    if isinstance(item, At):
        return not item.torch and any(isinstance(one, Module) and not one.at for one in item.layer.sides["torch"])
    return isinstance(item, Module) and not item.at


def _layer(made: Draft, side: str, item: At, held: Mapping[str, Array[bytes]]) -> None:
    prefix: str = getattr(item, side)
    for one in item.layer.sides.get(side, ()):
        if isinstance(one, Module):
            home = "params" if side == "linen" else ""
            _node(made, side, ".".join(filter(None, (home, prefix, one.at))), one)
        elif side != "linen" or one.collection == "params":
            _tensor(made, side, path_of(side, prefix, one), one, held)


def _node(made: Draft, side: str, path: str, node: Module) -> None:
    said: dict[str, Any] = {
        "module": node.kind,
        "class_": node.class_,
        "attrs": dict(node.attrs),
        "keys": [*node.keys],
    }
    usual = "keys" if node.keys else "map" if side != "torch" else "part" if path else "flat"
    made.node(path, node.form or usual, **{name: value for name, value in said.items() if value})


def _tensor(made: Draft, side: str, path: str, leaf: Leaf, held: Mapping[str, Array[bytes]]) -> None:
    said: dict[str, Any] = {"axes": leaf.axes.split(), "role": leaf.role}
    if side == "torch" and leaf.role == "parameter":
        said["trainable"] = True
    if side == "nnx":
        said |= {"class_": f"flax.nnx.{leaf.variable}"} if leaf.variable else {"role": ""}
    array = held[path]
    facts = {name: value for name, value in said.items() if value}
    made.tensor(path, array.dtype, array.shape, b"".join(array.elements), **facts)


def arrays(draft: Draft) -> dict[str, Array[bytes]]:
    """The tensors of a file, and those of its aliases without `perm`."""
    made: dict[str, Array[bytes]] = {}
    for entry in draft.of_type("tensor"):
        made[entry.path] = Array(entry.dtype, entry.shape, numbers(entry.dtype, entry.data))
    for entry in draft.of_type("alias"):
        if "perm" not in entry.facts:
            made[entry.path] = made[entry.target]
    return made
