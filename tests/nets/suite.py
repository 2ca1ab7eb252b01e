"""The nets whose tensors lie in `conformance/cases/convert`, in torch, linen and nnx: the table `NETS`, by slug.

A net is a chain: each layer has the name that it is given here, and takes what the one before it gives.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
import torch
from flax import nnx
from torch.nn.utils import parametrizations

from . import deck

Array = Any


def same(array: Array) -> Array:
    return array


def last(array: Array) -> Array:
    """(N, C, ...) -> (N, ..., C)."""
    return np.moveaxis(array, 1, -1)


def first(array: Array) -> Array:
    """(N, ..., C) -> (N, C, ...)."""
    return np.moveaxis(array, -1, 1)


@dataclass(frozen=True)
class Net:
    """A net in each framework that has it.

    Attributes:
        inputs: As torch takes them.
        torch: Makes torch's.
        linen: linen's, not bound.
        nnx: Makes nnx's.
        into: An input as flax takes it.
        out: An output of flax's as torch gives it.
    """

    inputs: tuple[Array, ...]
    torch: Callable[[], torch.nn.Module] | None = None
    linen: nn.Module | None = None
    nnx: Callable[[nnx.Rngs], Any] | None = None
    into: Callable[[Array], Array] = same
    out: Callable[[Array], Array] = same


class TorchChain(torch.nn.Module):
    def __init__(self, layers: dict[str, Callable[[], torch.nn.Module]]) -> None:
        super().__init__()
        self.names = list(layers)
        for name, make in layers.items():
            setattr(self, name, make())

    def forward(self, *x: torch.Tensor) -> torch.Tensor:
        for name in self.names:
            made = getattr(self, name)(*x)
            x = made[:1] if isinstance(made, tuple) else (made,)
        return x[0]


class LinenChain(nn.Module):
    layers: tuple[tuple[str, Callable[[str], nn.Module]], ...]

    @nn.compact
    def __call__(self, *x: Array) -> Array:
        for name, make in self.layers:
            x = (make(name)(*x),)
        return x[0]


class NnxChain(nnx.Module):
    def __init__(self, layers: dict[str, Callable[[nnx.Rngs], Any]], rngs: nnx.Rngs) -> None:
        self.names = tuple(layers)
        for name, make in layers.items():
            setattr(self, name, make(rngs))

    def __call__(self, *x: Array) -> Array:
        for name in self.names:
            x = (getattr(self, name)(*x),)
        return x[0]


@dataclass(frozen=True)
class Layer:
    """One layer: how each framework that has it makes it."""

    torch: Callable[[], torch.nn.Module] | None
    linen: Callable[[str], nn.Module] | None
    nnx: Callable[[nnx.Rngs], Any] | None


def chain(*inputs: Array, into: Any = same, out: Any = same, **layers: Layer) -> Net:
    of = {side: {name: getattr(layer, side) for name, layer in layers.items()} for side in ("torch", "linen", "nnx")}
    has = {side: all(made.values()) for side, made in of.items()}
    return Net(
        inputs,
        (lambda: TorchChain(of["torch"])) if has["torch"] else None,
        LinenChain(tuple(of["linen"].items())) if has["linen"] else None,
        (lambda rngs: NnxChain(of["nnx"], rngs)) if has["nnx"] else None,
        into,
        out,
    )


def normal(*shape: int, seed: int = 7) -> Array:
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


# ---------------------------------------------------------------------------------------------------------- layers


def half(array: Array) -> Array:
    """Numbers that bfloat16 has."""
    return np.asarray(jnp.asarray(array, jnp.bfloat16))


def linear(features: int, out: int, *, bias: bool = True, half: bool = False) -> Layer:
    kept: dict[str, Any] = {"param_dtype": jnp.bfloat16, "dtype": jnp.bfloat16} if half else {}
    if not features:  # what Flax usually begins with is divided by their number
        kept["kernel_init"] = nn.initializers.zeros

    def torch_linear() -> torch.nn.Module:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Initializing zero-element tensors", UserWarning)
            return torch.nn.Linear(features, out, bias, dtype=torch.bfloat16 if half else None)

    return Layer(
        torch_linear,
        lambda name: nn.Dense(out, use_bias=bias, name=name, **kept),
        lambda rngs: nnx.Linear(features, out, use_bias=bias, rngs=rngs, **kept),
    )


_CONV = {1: torch.nn.Conv1d, 2: torch.nn.Conv2d, 3: torch.nn.Conv3d}
_TRANSPOSE = {1: torch.nn.ConvTranspose1d, 2: torch.nn.ConvTranspose2d, 3: torch.nn.ConvTranspose3d}


def conv(features: int, out: int, kernel: tuple[int, ...], *, groups: int = 1, stride: int = 1, pad: int = 0) -> Layer:
    facts: dict[str, Any] = {"strides": stride, "padding": [(pad, pad)] * len(kernel), "feature_group_count": groups}
    return Layer(
        lambda: _CONV[len(kernel)](features, out, kernel, stride, pad, groups=groups),
        lambda name: nn.Conv(out, kernel, name=name, **facts),
        lambda rngs: nnx.Conv(features, out, kernel, rngs=rngs, **facts),
    )


def conv_transpose(features: int, out: int, kernel: tuple[int, ...], *, kept: bool = False, groups: int = 1) -> Layer:
    """Torch's padding p is flax's k - 1 - p on either side."""
    facts: dict[str, Any] = {
        "strides": (2,) * len(kernel),
        "padding": [(k - 2, k - 2) for k in kernel],
        "transpose_kernel": kept,
    }
    return Layer(
        lambda: _TRANSPOSE[len(kernel)](features, out, kernel, 2, 1, groups=groups),
        lambda name: nn.ConvTranspose(out, kernel, name=name, **facts),
        lambda rngs: nnx.ConvTranspose(features, out, kernel, rngs=rngs, **facts),
    )


def embedding(num: int, features: int) -> Layer:
    return Layer(
        lambda: torch.nn.Embedding(num, features, padding_idx=2),
        lambda name: nn.Embed(num, features, name=name),
        lambda rngs: nnx.Embed(num, features, rngs=rngs),
    )


EPS = 0.0078125
EXACT = {"epsilon": EPS, "use_fast_variance": False}
STATISTICS = {"use_running_average": True, "momentum": 0.75, **EXACT}


def layer_norm(features: int, *, bias: bool = True) -> Layer:
    return Layer(
        lambda: torch.nn.LayerNorm(features, EPS, bias=bias),
        lambda name: nn.LayerNorm(name=name, use_bias=bias, **EXACT),
        lambda rngs: nnx.LayerNorm(features, use_bias=bias, rngs=rngs, **EXACT),
    )


def rms_norm(features: int) -> Layer:
    return Layer(
        lambda: torch.nn.RMSNorm(features, EPS),
        lambda name: nn.RMSNorm(name=name, **EXACT),
        lambda rngs: nnx.RMSNorm(features, rngs=rngs, **EXACT),
    )


def group_norm(features: int, groups: int) -> Layer:
    return Layer(
        lambda: torch.nn.GroupNorm(groups, features, EPS),
        lambda name: nn.GroupNorm(groups, name=name, **EXACT),
        lambda rngs: nnx.GroupNorm(features, groups, rngs=rngs, **EXACT),
    )


def batch_norm(features: int) -> Layer:
    return Layer(
        lambda: torch.nn.BatchNorm2d(features, EPS, 0.25),
        lambda name: nn.BatchNorm(name=name, **STATISTICS),
        lambda rngs: nnx.BatchNorm(features, rngs=rngs, **STATISTICS),
    )


def instance_norm(features: int) -> Layer:
    return Layer(
        lambda: torch.nn.InstanceNorm2d(features, EPS, affine=True),
        lambda name: nn.InstanceNorm(name=name, **EXACT),
        lambda rngs: nnx.InstanceNorm(features, rngs=rngs, **EXACT),
    )


def prelu(channels: int = 1) -> Layer:
    slopes = jnp.full((channels,), 0.25) if channels > 1 else 0.25
    return Layer(
        lambda: torch.nn.PReLU(channels),
        None if channels > 1 else lambda name: nn.PReLU(name=name),
        lambda rngs: nnx.PReLU(slopes),
    )


def attention(width: int, heads: int, kdim: int | None = None, vdim: int | None = None) -> Layer:
    facts: dict[str, Any] = {"num_heads": heads, "qkv_features": width, "out_features": width}
    own = {"in_kv_features": kdim} if kdim else {}
    return Layer(
        lambda: torch.nn.MultiheadAttention(width, heads, kdim=kdim, vdim=vdim, batch_first=True),
        lambda name: nn.MultiHeadDotProductAttention(name=name, **facts),
        None
        if kdim != vdim
        else lambda rngs: nnx.MultiHeadAttention(in_features=width, decode=False, rngs=rngs, **facts, **own),
    )


_CELLS = {
    "lstm": (torch.nn.LSTM, nn.LSTMCell, nnx.LSTMCell),
    "optimized": (torch.nn.LSTM, nn.OptimizedLSTMCell, nnx.OptimizedLSTMCell),
    "gru": (torch.nn.GRU, nn.GRUCell, nnx.GRUCell),
    "rnn": (torch.nn.RNN, nn.SimpleCell, nnx.SimpleCell),
}


def recurrent(
    cell: str, features: int, hidden: int, *, layers: int = 1, both: bool = False, half: bool = False
) -> Layer:
    made, linen_cell, nnx_cell = _CELLS[cell]
    kept: dict[str, Any] = {}
    if half:  # and jax makes no orthogonal matrix of this type
        kept = {"param_dtype": jnp.bfloat16, "dtype": jnp.bfloat16, "recurrent_kernel_init": nn.initializers.normal()}

    def linen_one(name: str | None = None) -> nn.Module:
        parent = {} if name else {"parent": None}
        return nn.RNN(linen_cell(hidden, parent=None, **kept), name=name, **parent)

    def linen_layers(name: str) -> nn.Module:
        if layers == 1 and not both:
            return linen_one(name)
        return nn.Sequential(
            [nn.Bidirectional(linen_one(), linen_one(), parent=None) for _ in range(layers)], name=name
        )

    def nnx_one(width: int, rngs: nnx.Rngs) -> nnx.RNN:
        return nnx.RNN(nnx_cell(width, hidden, rngs=rngs, **kept), rngs=rngs)

    def nnx_layers(rngs: nnx.Rngs) -> Any:
        if layers == 1 and not both:
            return nnx_one(features, rngs)
        widths = [features, *[2 * hidden] * (layers - 1)]
        return nnx.Sequential(*(nnx.Bidirectional(nnx_one(n, rngs), nnx_one(n, rngs), rngs=rngs) for n in widths))

    dtype = torch.bfloat16 if half else None
    return Layer(
        lambda: made(features, hidden, layers, batch_first=True, bidirectional=both, dtype=dtype),
        linen_layers,
        nnx_layers,
    )


def weight_norm(features: int, out: int) -> Layer:
    def linen_normed(name: str) -> nn.Module:
        return nn.WeightNorm(nn.Dense(out, name=name), feature_axes=-1, epsilon=1e-12)

    return Layer(
        lambda: parametrizations.weight_norm(torch.nn.Linear(features, out)),
        linen_normed,
        lambda rngs: nnx.WeightNorm(nnx.Linear(features, out, rngs=rngs), feature_axes=-1, epsilon=1e-12, rngs=rngs),
    )


# ------------------------------------------------------------------------------------------- nets that are no chain


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
