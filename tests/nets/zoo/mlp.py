"""A perceptron: linears, a layer norm, gelu (tanh) and prelu, all in one Sequential."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import torch
from flax import nnx

EPS = 1e-3
RULES: dict = {}


class TorchMLP(torch.nn.Module):
    """(N, 7) -> (N, 5)."""

    def __init__(self):
        super().__init__()
        self.net = torch.nn.Sequential(
            torch.nn.Linear(7, 12),
            torch.nn.GELU(approximate="tanh"),
            torch.nn.LayerNorm(12, eps=EPS),
            torch.nn.Dropout(0.1),
            torch.nn.Linear(12, 12),
            torch.nn.PReLU(),
            torch.nn.Linear(12, 9, bias=False),
            torch.nn.LayerNorm(9, eps=EPS, bias=False),
        )
        self.head = torch.nn.Linear(9, 5)

    def forward(self, x):
        return self.head(self.net(x))


class LinenMLP(nn.Module):
    """(N, 7) -> (N, 5)."""

    def setup(self):
        self.net = nn.Sequential(
            [
                nn.Dense(12),
                nn.gelu,  # the tanh one unless told otherwise
                nn.LayerNorm(epsilon=EPS, use_fast_variance=False),
                nn.Dropout(0.1, deterministic=True),
                nn.Dense(12),
                nn.PReLU(),
                nn.Dense(9, use_bias=False),
                nn.LayerNorm(epsilon=EPS, use_bias=False, use_fast_variance=False),
            ]
        )
        self.head = nn.Dense(5)

    def __call__(self, x):
        return self.head(self.net(x))


class NnxMLP(nnx.Module):
    """(N, 7) -> (N, 5)."""

    def __init__(self, rngs):
        self.net = nnx.Sequential(
            nnx.Linear(7, 12, rngs=rngs),
            nnx.gelu,
            nnx.LayerNorm(12, epsilon=EPS, use_fast_variance=False, rngs=rngs),
            nnx.Dropout(0.1, rngs=rngs),
            nnx.Linear(12, 12, rngs=rngs),
            nnx.PReLU(),
            nnx.Linear(12, 9, use_bias=False, rngs=rngs),
            nnx.LayerNorm(9, epsilon=EPS, use_bias=False, use_fast_variance=False, rngs=rngs),
        )
        self.head = nnx.Linear(9, 5, rngs=rngs)

    def __call__(self, x):
        return self.head(self.net(x))


def torch_net():
    return TorchMLP()


def linen_net():
    return LinenMLP()


def nnx_net(rngs):
    return NnxMLP(rngs)


def inputs():
    return (np.random.default_rng(1).standard_normal((4, 7), np.float32),)


def linen_args():
    return (jax.ShapeDtypeStruct((4, 7), jnp.float32),), {}


def run_torch(net, x):
    with torch.no_grad():
        return net.eval()(torch.from_numpy(x)).numpy()


def run_linen(net, variables, x):
    return net.apply(variables, jnp.asarray(x))


def run_nnx(net, x):
    net.eval()
    return net(jnp.asarray(x))
