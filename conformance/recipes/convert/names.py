"""Names: the deck's nets, lists, Sequentials, shared layers and tensors, buffers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .dense import embedding, linear
from .group import Group, group
from .layout import At, Item, Layer, Leaf, Module, Tie, at, moves

_SEQUENTIAL = ("torch.nn.modules.container.Sequential", "flax.linen.combinators.Sequential", "flax.nnx.Sequential")
_RELU = "torch.nn.modules.activation.ReLU"
_LIST = "flax.nnx.List"
_LAYERS = 11


def sequence(layers: Mapping[int, Layer], length: int, name: str = "") -> dict[str, list[Item]]:
    """A Sequential of these layers and ReLUs between them, at the root or beneath a name."""
    head, home = (f"{name}.", f"params.{name}") if name else ("", "params")
    torch: list[Item] = [Module(name, "", _SEQUENTIAL[0])]
    linen: list[Item] = [Module(home, "", _SEQUENTIAL[1])]
    nnx: list[Item] = [Module(name, "", _SEQUENTIAL[2]), Module(f"{head}layers", "", _LIST, keys=[*layers])]
    for place in range(length):
        if place not in layers:
            torch.append(Module(f"{head}{place}", "", _RELU))
            continue
        here = At(layers[place], f"{head}{place}", f"{head}layers_{place}", f"{head}layers.{place}")
        for items in (torch, linen, nnx):
            items.append(here)
    return {"torch": torch, "linen": linen, "nnx": nnx}


def shared() -> dict[str, list[Item]]:
    """One layer at the positions 2 and 4 of a Sequential: torch and nnx have it at both, linen at the first."""
    made = sequence({0: linear(4, 8), 2: linear(8, 8), 6: linear(8, 1)}, 7)
    again = [Module("4", "linear", "torch.nn.modules.linear.Linear")]
    made["torch"][5:6] = [*again, Tie("4.weight", "2.weight"), Tie("4.bias", "2.bias")]
    names = [f"layers.{{}}.{leaf}" for leaf in ("bias", "kernel")]
    ties = [Tie(name.format(4), name.format(2)) for name in names]
    made["nnx"][1] = Module("layers", "", _LIST, keys=[0, 2, 4, 6])
    made["nnx"][4:4] = [Module("layers.4", "linear", "flax.nnx.Linear"), *ties]
    return made


def eleven() -> dict[str, list[Item]]:
    """A list long enough that its numbers do not sort as text."""
    path = "encoder.layers"
    layers = [at(linear(3, 3), f"{path}.{number}") for number in range(_LAYERS)]
    torch = [Module("encoder", "", "torch.nn.modules.container.ModuleDict")]
    return {
        "torch": [*torch, Module(path, "", "torch.nn.modules.container.ModuleList"), *layers],
        "linen": [*layers],
        "nnx": [Module("encoder", "", "flax.nnx.Dict"), Module(path, "", _LIST, keys=[*range(_LAYERS)]), *layers],
    }


def _buffer(name: str, shape: Sequence[int], dtype: str, values: Sequence[float]) -> At:
    """A tensor that is no weight: torch has it where it is, Flax aside."""
    facts: Any = {"shape": shape, "dtype": dtype, "role": "buffer"}
    aside = Leaf(name=name, path=f"buffers.{name}", variable="BatchStat", **facts)
    same = {name: name}
    sides = {"torch": [Leaf(name=name, values=values, **facts)], "linen": [aside], "nnx": [aside]}
    return at(Layer(sides, moves(same, same, same, same)), "")


def groups() -> Iterator[Group]:
    """Eight nets."""
    comment = "the root's names are integers: `layers_0` in linen, a list `layers` in nnx"
    yield group("deck-net", sequence({0: linear(4, 8), 2: linear(8, 1)}, 3), "6.1", comment)
    held = shared()
    comment = "one layer at two positions: linen has it once, and the second comes back from no bare file of linen's"
    once: list[Item] = [Module("", "", _SEQUENTIAL[0]), *(one for one in held["linen"] if isinstance(one, At))]
    once_nnx = sequence({0: linear(4, 8), 2: linear(8, 8), 6: linear(8, 1)}, 7)["nnx"]
    ways = {"torch-from-linen": once, "nnx-from-linen": once_nnx}
    yield group("deck-shared", held, "7", comment, back=ways)
    held = sequence({0: linear(4, 6), 2: linear(6, 3)}, 3, "net")
    comment = "a Sequential below the root; `layers` and `layers_0` stay as they are on the way back"
    ways = {
        f"torch-from-{side}": [At(one.layer, getattr(one, side), "", "") for one in held[side] if isinstance(one, At)]
        for side in ("linen", "nnx")
    }
    none = ["linen-to-nnx", "nnx-to-linen"]
    yield group("sequential-inside", held, "6.1", comment, back=ways, without=none)
    yield group("list-of-eleven", eleven(), "6.1", "a list of eleven layers: 10 comes after 9")
    words = at(embedding(11, 4), "embed")
    head: list[Item] = [Module("head", "linear", "torch.nn.modules.linear.Linear")]
    tie = Tie("head.weight", "embed.weight", axes="out in")
    comment = "a head whose weight is the embedding's: Flax keeps the two in different layouts, and has it once"
    net: dict[str, list[Item]] = {"torch": [words, *head, tie], "linen": [words], "nnx": [words]}
    yield group("tied-embedding-head", net, "7", comment, back={"torch-back": [words]})
    words = at(embedding(9, 4), "embed")
    kernel = Tie("params.head.kernel", "params.embed.embedding", (1, 0), "in out")
    own: list[Item] = [Module("params.head", "linear", "flax.linen.linear.Dense")]
    comment = "an embedding, and a kernel that is the same with its axes moved: in torch both have one layout"
    net = {"torch": [words, *head, tie], "linen": [words, *own, kernel]}
    yield group("tied-permuted", net, "7", comment, without=["torch-to-linen"])
    words = at(embedding(4, 9), "embed")
    kernel = Tie("params.head.kernel", "params.embed.embedding", axes="in out")
    comment = "a kernel that is the embedding as it is: in torch the axes are moved"
    net = {
        "torch": [words, *head, Tie("head.weight", "embed.weight", (1, 0), "out in")],
        "linen": [words, *own, kernel],
    }
    yield group("tied-as-it-is", net, "7", comment, without=["torch-to-linen"])
    comment = "tensors that are no weights: in Flax they stand aside"
    aside = [_buffer("mask", (2, 3), "bool", (1, 0, 1, 0, 1, 1)), _buffer("position_ids", (1, 7), "int64", range(7))]
    yield group("buffers", [*aside, at(linear(3, 5), "proj")], "4", comment)
