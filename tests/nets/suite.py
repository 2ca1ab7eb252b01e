"""The nets whose tensors lie in `conformance/cases/convert`, in torch, linen and nnx: the table `NETS`, by slug."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
import torch
from flax import nnx

from . import deck
from .layers import (
    Array,
    LinenChain,
    Net,
    NnxChain,
    TorchChain,
    attention,
    batch_norm,
    chain,
    conv,
    conv_transpose,
    embedding,
    first,
    group_norm,
    half,
    instance_norm,
    last,
    layer_norm,
    linear,
    normal,
    prelu,
    recurrent,
    rms_norm,
    weight_norm,
)


class Tied(torch.nn.Module):
    """An embedding whose weight is the head's."""

    def __init__(self, words: int = 11) -> None:
        super().__init__()
        self.embed = torch.nn.Embedding(words, 4)
        self.head = torch.nn.Linear(4, words, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.head(torch.tanh(self.embed(ids)))
        return out


class TiedAsItIs(torch.nn.Module):
    """A head whose weight is the embedding's with its axes moved."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = torch.nn.Embedding(4, 9)
        self.head = torch.nn.Linear(4, 9, bias=False)
        self.head.weight = torch.nn.Parameter(self.embed.weight.detach().T)


class LinenTied(nn.Module):
    def setup(self) -> None:
        self.embed = nn.Embed(11, 4)

    def __call__(self, ids: Array) -> Array:
        return self.embed.attend(jnp.tanh(self.embed(ids)))


class NnxTied(nnx.Module):
    def __init__(self, rngs: nnx.Rngs) -> None:
        self.embed = nnx.Embed(11, 4, rngs=rngs)

    def __call__(self, ids: Array) -> Array:
        return self.embed.attend(jnp.tanh(self.embed(ids)))


LAYERS = 11


class Tower(torch.nn.Module):
    """A list beneath a module, long enough that names do not sort as numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = torch.nn.ModuleDict(
            {"layers": torch.nn.ModuleList(torch.nn.Linear(3, 3) for _ in range(LAYERS))}
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.encoder["layers"]:
            x = torch.tanh(layer(x))
        return x


class LinenNumbered(nn.Module):
    """Items named `0`, `1`, …: a name that is no identifier needs `name=` in a compact method."""

    @nn.compact
    def __call__(self, x: Array) -> Array:
        for number in range(LAYERS):
            x = jnp.tanh(nn.Dense(3, name=str(number))(x))
        return x


class LinenEncoder(nn.Module):
    def setup(self) -> None:
        self.layers = LinenNumbered()

    def __call__(self, x: Array) -> Array:
        return self.layers(x)


class LinenTower(nn.Module):
    def setup(self) -> None:
        self.encoder = LinenEncoder()

    def __call__(self, x: Array) -> Array:
        return self.encoder(x)


class NnxTower(nnx.Module):
    def __init__(self, rngs: nnx.Rngs) -> None:
        self.encoder = nnx.Dict(layers=nnx.List([nnx.Linear(3, 3, rngs=rngs) for _ in range(LAYERS)]))

    def __call__(self, x: Array) -> Array:
        for layer in self.encoder["layers"]:
            x = jnp.tanh(layer(x))
        return x


class Buffered(torch.nn.Module):
    """Tensors that are no weights: flax has no place for them."""

    def __init__(self) -> None:
        super().__init__()
        self.proj = torch.nn.Linear(3, 5)
        self.register_buffer("mask", torch.tensor([[True, False, True], [False, True, True]]))
        self.register_buffer("position_ids", torch.arange(7).reshape(1, 7))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.proj(x)


def sequential_torch() -> torch.nn.Module:
    return torch.nn.Sequential(torch.nn.Linear(4, 6), torch.nn.ReLU(), torch.nn.Linear(6, 3))


def sequential_linen(name: str) -> nn.Module:
    return nn.Sequential([nn.Dense(6, parent=None), nn.relu, nn.Dense(3, parent=None)], name=name)


def sequential_nnx(rngs: nnx.Rngs) -> Any:
    return nnx.Sequential(nnx.Linear(4, 6, rngs=rngs), nnx.relu, nnx.Linear(6, 3, rngs=rngs))


def nnx_net(rngs: nnx.Rngs) -> Any:
    return nnx.Sequential(nnx.Linear(4, 8, rngs=rngs), nnx.relu, nnx.Linear(8, 1, rngs=rngs))


def nnx_shared(rngs: nnx.Rngs) -> Any:
    shared = nnx.Linear(8, 8, rngs=rngs)
    first_, last_ = nnx.Linear(4, 8, rngs=rngs), nnx.Linear(8, 1, rngs=rngs)
    return nnx.Sequential(first_, nnx.relu, shared, nnx.relu, shared, nnx.relu, last_)


IDS = np.random.default_rng(1).integers(0, 11, (3, 5))
IMAGE = {"into": last, "out": first}
ATTENTION = (normal(2, 5, 6), normal(2, 4, 6, seed=4), normal(2, 4, 6, seed=5))
TIMES = normal(2, 4, 3)

# Slug -> net; those that only torch has, and that are refused, are not among them.
NETS: dict[str, Net] = {
    "deck-net": Net((normal(3, 4),), deck.net, deck.linen_net(), nnx_net),
    "deck-shared": Net((normal(3, 4),), deck.shared_net, deck.linen_shared_net(), nnx_shared),
    "sequential-inside": Net(
        (normal(3, 4),),
        lambda: TorchChain({"net": sequential_torch}),
        LinenChain((("net", sequential_linen),)),
        lambda rngs: NnxChain({"net": sequential_nnx}, rngs),
    ),
    "list-of-eleven": Net((normal(2, 3),), Tower, LinenTower(), NnxTower),
    "tied-embedding-head": Net((IDS,), Tied, LinenTied(), NnxTied),
    "tied-permuted": Net((IDS % 9,), lambda: Tied(9)),
    "tied-as-it-is": Net((IDS % 4,), TiedAsItIs),
    "buffers": Net((normal(2, 3),), Buffered, LinenChain((("proj", linear(3, 5).linen),))),
    "linear-square": chain(normal(3, 6), mix=linear(6, 6)),
    "linear-at-root": Net(
        (normal(3, 5),), lambda: torch.nn.Linear(5, 3), nn.Dense(3), lambda rngs: nnx.Linear(5, 3, rngs=rngs)
    ),
    "linear-empty": chain(normal(2, 0), none=linear(0, 3)),
    "linear-no-bias": chain(normal(3, 5), proj=linear(5, 3, bias=False)),
    "linear-bfloat16": chain(half(normal(3, 5)), proj=linear(5, 3, half=True)),
    "embedding": chain(IDS, words=embedding(11, 4)),
    "prelu": chain(normal(3, 5), act=prelu()),
    "prelu-channels": chain(normal(3, 4, 5), act=prelu(4), **IMAGE),
    "conv-1d": chain(normal(2, 3, 13), conv=conv(3, 5, (4,), stride=2, pad=1), **IMAGE),
    "conv-2d": chain(normal(2, 3, 9, 11), conv=conv(3, 4, (2, 5), stride=2, pad=1), **IMAGE),
    "conv-3d": chain(normal(2, 2, 5, 6, 7), conv=conv(2, 3, (2, 3, 4)), **IMAGE),
    "conv-grouped": chain(
        normal(2, 4, 7, 8), grouped=conv(4, 6, (2, 3), groups=2), depthwise=conv(6, 6, (3, 2), groups=6), **IMAGE
    ),
    "conv-transpose-1d": chain(normal(2, 3, 5), up=conv_transpose(3, 2, (4,)), **IMAGE),
    "conv-transpose-2d": chain(normal(2, 3, 4, 5), up=conv_transpose(3, 2, (4, 3)), **IMAGE),
    "conv-transpose-square": chain(normal(2, 2, 4, 5), up=conv_transpose(2, 2, (3, 3)), **IMAGE),
    "conv-transpose-kernel": chain(normal(2, 2, 4, 5), up=conv_transpose(2, 3, (3, 4), kept=True), **IMAGE),
    "conv-transpose-kernel-square": chain(normal(2, 3, 4, 5), up=conv_transpose(3, 3, (3, 3), kept=True), **IMAGE),
    "conv-transpose-grouped": chain(normal(2, 4, 4, 5), up=conv_transpose(4, 6, (3, 2), groups=2), **IMAGE),
    "layer-norm": chain(normal(3, 5), norm=layer_norm(5), plain=layer_norm(5, bias=False)),
    "rms-norm": chain(normal(3, 5), norm=rms_norm(5)),
    "group-norm": chain(normal(2, 6, 4, 3), norm=group_norm(6, 3), **IMAGE),
    "instance-norm": chain(normal(2, 5, 4, 3), norm=instance_norm(5), **IMAGE),
    "batch-norm": chain(normal(2, 5, 4, 3), norm=batch_norm(5), **IMAGE),
    "weight-norm": chain(normal(3, 5), lin=weight_norm(5, 3)),
    "attention": chain(*ATTENTION, attn=attention(6, 3)),
    "attention-widths": chain(ATTENTION[0], *(one[..., :5] for one in ATTENTION[1:]), attn=attention(6, 3, 5, 5)),
    "attention-two-widths": chain(
        ATTENTION[0], ATTENTION[1][:, :3, :5], ATTENTION[2][:, :3, :4], attn=attention(6, 3, 5, 4)
    ),
    "lstm": chain(TIMES, lstm=recurrent("lstm", 3, 2)),
    "lstm-optimized": chain(TIMES[..., :2], lstm=recurrent("optimized", 2, 3)),
    "lstm-layers": chain(TIMES, lstm=recurrent("lstm", 3, 2, layers=2, both=True)),
    "gru": chain(TIMES, gru=replace(recurrent("gru", 3, 2), nnx=None)),
    "gru-zeros": chain(TIMES[..., :2], gru=recurrent("gru", 2, 3)),
    "rnn": chain(TIMES, rnn=recurrent("rnn", 3, 4)),
    "rnn-bfloat16": chain(half(TIMES[..., :2]), rnn=recurrent("rnn", 2, 4, half=True)),
}
