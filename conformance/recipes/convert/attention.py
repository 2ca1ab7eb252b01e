"""Attention: queries, keys and values in one tensor or in three."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .group import Group, group
from .layout import Layer, Leaf, Module, at, moves, only
from .operations import Made
from .spelling import join, part, permute, reshape

_TORCH = "torch.nn.modules.activation.MultiheadAttention"
_OUT = "torch.nn.modules.linear.NonDynamicallyQuantizableLinear"
_PARTS = ("query", "key", "value")


def attention(width: int, heads: int, key_in: int, value_in: int) -> Layer:
    """Torch packs three projections in one weight where all take what the queries do; Flax has an axis of heads."""
    dim = width // heads
    into = {"query": width, "key": key_in, "value": value_in}
    packed = key_in == value_in == width
    there: dict[str, Made] = {}
    back: dict[str, Made] = {}
    for n, name in enumerate(_PARTS):
        rows = (n * width, (n + 1) * width)
        own = part("in_proj_weight", 0, *rows) if packed else f"{name[0]}_proj_weight"
        there[f"{name}.kernel"] = permute(reshape(own, heads, dim, into[name]), 2, 0, 1)
        there[f"{name}.bias"] = reshape(part("in_proj_bias", 0, *rows), heads, dim)
        if not packed:
            back[own] = reshape(permute(f"{name}.kernel", 1, 2, 0), width, into[name])
    if packed:
        three = (reshape(permute(f"{name}.kernel", 1, 2, 0), width, width) for name in _PARTS)
        back["in_proj_weight"] = join(0, *three)
    back["in_proj_bias"] = join(0, *(reshape(f"{name}.bias", width) for name in _PARTS))
    there["out.kernel"] = permute(reshape("out_proj.weight", width, heads, dim), 1, 2, 0)
    there["out.bias"] = "out_proj.bias"
    back["out_proj.weight"] = reshape(permute("out.kernel", 2, 0, 1), width, width)
    back["out_proj.bias"] = "out.bias"
    sides = {
        "torch": _torch(width, heads, into, packed),
        "linen": _flax("linen", width, heads, into),
        "nnx": _flax("nnx", width, heads, into),
    }
    same = {name: name for name in there}
    return Layer(sides, moves(there, back, same, same))


def _torch(width: int, heads: int, into: dict[str, int], packed: bool) -> list[Module | Leaf]:
    attrs = {
        "num_heads": heads,
        "embed_dim": width,
        "kdim": into["key"],
        "vdim": into["value"],
        "batch_first": True,
        "add_zero_attn": False,
    }
    if packed:
        weights = [Leaf(name="in_proj_weight", shape=(3 * width, width))]
    else:
        weights = [Leaf(name=f"{name[0]}_proj_weight", shape=(width, into[name])) for name in _PARTS]
    return [
        Module("", "attention", _TORCH, attrs),
        *weights,
        Leaf(name="in_proj_bias", shape=(3 * width,)),
        Module("out_proj", "", _OUT),
        Leaf(name="out_proj.weight", shape=(width, width)),
        Leaf(name="out_proj.bias", shape=(width,), axes="out"),
    ]


def _flax(side: str, width: int, heads: int, into: dict[str, int]) -> list[Module | Leaf]:
    dim = width // heads
    attrs: dict[str, Any] = {
        "num_heads": heads,
        "qkv_features": width,
        "out_features": width,
        "use_bias": True,
        "normalize_qk": False,
    }
    if side == "nnx":
        attrs |= {"in_features": width, "in_kv_features": into["key"], "num_kv_heads": heads}
    cell = "flax.nnx.MultiHeadAttention" if side == "nnx" else "flax.linen.attention.MultiHeadDotProductAttention"
    dense = "flax.nnx.LinearGeneral" if side == "nnx" else "flax.linen.linear.DenseGeneral"
    made: list[Module | Leaf] = [Module("", "attention", cell, attrs)]
    for name, axes in zip(_PARTS, ("in heads", "key_in kv_heads", "value_in kv_heads"), strict=True):
        facts: dict[str, Any] = {"axis": -1, "features": [heads, dim]}
        if side == "nnx":
            facts = {"axis": [-1], "in_features": [into[name]], "out_features": [heads, dim]}
        made += [
            Module(name, "linear", dense, facts),
            Leaf(name=f"{name}.kernel", shape=(into[name], heads, dim), axes=f"{axes} dim"),
            Leaf(name=f"{name}.bias", shape=(heads, dim), axes=f"{axes.split()[1]} dim"),
        ]
    facts = {"axis": [-2, -1], "features": width}
    if side == "nnx":
        facts = {"axis": [-2, -1], "in_features": [heads, dim], "out_features": [width]}
    return [
        *made,
        Module("out", "linear", dense, facts),
        Leaf(name="out.kernel", shape=(heads, dim, width), axes="heads dim out"),
        Leaf(name="out.bias", shape=(width,), axes="out"),
    ]


def groups() -> Iterator[Group]:
    """Three nets."""
    comment = "attention of three heads, queries, keys and values packed in one tensor by torch"
    yield group("attention", [at(attention(6, 3, 6, 6), "attn")], "1.4", comment)
    comment = "attention whose keys and values have a width of their own: three tensors in torch too"
    yield group("attention-widths", [at(attention(6, 3, 5, 5), "attn")], "1.4", comment)
    comment = "attention whose keys and values have two widths, which nnx does not have"
    two = only(attention(6, 3, 5, 4), "torch", "linen")
    yield group("attention-two-widths", [at(two, "attn")], "1.4", comment)
