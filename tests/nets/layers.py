"""Layers in torch, linen and nnx, and chains of them: each has a name, and takes what the one before it gives."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
import torch
from flax import nnx
from torch.nn.utils import parametrizations

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
