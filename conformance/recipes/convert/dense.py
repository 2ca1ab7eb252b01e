"""Linear layers, embeddings and PReLU."""

from __future__ import annotations

from collections.abc import Iterator

from .group import Group, group
from .layout import Layer, Leaf, Module, Sides, at, moves, only, paired
from .spelling import reshape

LINEAR = ("torch.nn.modules.linear.Linear", "flax.linen.linear.Dense", "flax.nnx.Linear")
EMBEDDING = ("torch.nn.modules.sparse.Embedding", "flax.linen.linear.Embed", "flax.nnx.Embed")
PRELU = ("torch.nn.modules.activation.PReLU", "flax.linen.activation.PReLU", "flax.nnx.PReLU")


def linear(features: int, out: int, dtype: str = "float32", *, bias: bool = True) -> Layer:
    """A weight (out, in), which Flax keeps as (in, out)."""
    weight = (
        Leaf(name="weight", shape=(out, features), axes="out in", dtype=dtype),
        Leaf(name="kernel", shape=(features, out), axes="in out", dtype=dtype),
    )
    other = Leaf(name="bias", shape=(out,), axes="out", dtype=dtype)
    return paired("linear", LINEAR, ({}, {}, {}), weight, *([(other, other)] if bias else []))


def embedding(num: int, features: int, padding: int | None = None) -> Layer:
    """A table of rows, the same everywhere."""
    table = (
        Leaf(name="weight", shape=(num, features), axes="num features"),
        Leaf(name="embedding", shape=(num, features), axes="num features"),
    )
    return paired("embedding", EMBEDDING, ({"padding_idx": padding, "max_norm": None}, {}, {}), table)


def prelu() -> Layer:
    """One slope: an axis of one element in torch, no axis in Flax."""
    slope = Leaf(name="negative_slope", shape=())
    same = {"negative_slope": "negative_slope"}
    torch, linen, nnx = (Module("", "prelu", class_) for class_ in PRELU)
    sides: Sides = {"torch": [torch, Leaf(name="weight", shape=(1,))], "linen": [linen, slope], "nnx": [nnx, slope]}
    there, back = {"negative_slope": reshape("weight")}, {"weight": reshape("negative_slope", 1)}
    return Layer(sides, moves(there, back, same, same))


def prelu_channels(channels: int) -> Layer:
    """A slope for each channel, which linen does not have."""
    pair = (
        Leaf(name="weight", shape=(channels,), axes="channels"),
        Leaf(name="negative_slope", shape=(channels,), axes="channels"),
    )
    return only(paired("prelu_channels", PRELU, ({}, {}, {}), pair), "torch", "nnx")


def groups() -> Iterator[Group]:
    """Eight nets."""
    yield group(
        "linear-square", [at(linear(6, 6), "mix")], "1.4", "a square weight, which fits without being transposed"
    )
    yield group("linear-at-root", [at(linear(5, 3), "")], "3", "a layer that is the whole model")
    yield group("linear-empty", [at(linear(0, 3), "none")], "1.4", "a layer of no inputs: tensors without elements")
    yield group("linear-no-bias", [at(linear(5, 3, bias=False), "proj")], "1.4", "a layer without bias")
    yield group("linear-bfloat16", [at(linear(5, 3, "bfloat16"), "proj")], "1.4", "a layer of bfloat16, bit for bit")
    yield group("embedding", [at(embedding(11, 4, padding=2), "words")], "1.4", "an embedding, which is not transposed")
    yield group("prelu", [at(prelu(), "act")], "1.4", "a slope of one element: one axis in torch, none in Flax")
    why = "linen has one slope for all channels: there is no place for these"
    yield group(
        "prelu-channels",
        [at(prelu_channels(4), "act")],
        "1.4",
        "a slope for each channel",
        refused={"torch-to-linen": why, "nnx-to-linen": why},
    )
