"""Parameters of several dtypes: the embedding in float16, linear layers in bfloat16, norms in float32.

All arithmetic is in float32, so that outputs agree to float32's rounding: each side widens a weight as it uses it.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import torch
from flax import nnx
from torch.nn.functional import embedding, gelu, linear

VOCABULARY, WIDTH, INNER, CLASSES, LAYERS = 31, 14, 26, 6, 2
EPSILON = 1e-3
RULES: dict = {}


def torch_linear(layer, x):
    return linear(x, layer.weight.float(), layer.bias.float())


class TorchLayer(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = torch.nn.LayerNorm(WIDTH, eps=EPSILON)
        self.fc1 = torch.nn.Linear(WIDTH, INNER, dtype=torch.bfloat16)
        self.fc2 = torch.nn.Linear(INNER, WIDTH, dtype=torch.bfloat16)

    def forward(self, x):
        return x + torch_linear(self.fc2, gelu(torch_linear(self.fc1, self.norm(x)), approximate="tanh"))


class TorchMixed(torch.nn.Module):
    """ids (batch, length) -> (batch, classes)."""

    def __init__(self):
        super().__init__()
        self.embed = torch.nn.Embedding(VOCABULARY, WIDTH, dtype=torch.float16)
        self.layers = torch.nn.ModuleList(TorchLayer() for _ in range(LAYERS))
        self.norm = torch.nn.RMSNorm(WIDTH, eps=EPSILON)
        self.head = torch.nn.Linear(WIDTH, CLASSES, dtype=torch.bfloat16)

    def forward(self, ids):
        x = embedding(ids, self.embed.weight.float())
        for layer in self.layers:
            x = layer(x)
        return torch_linear(self.head, self.norm(x).mean(1))


def linen_dense(features):
    return nn.Dense(features, dtype=jnp.float32, param_dtype=jnp.bfloat16)


class LinenLayer(nn.Module):
    def setup(self):
        self.norm = nn.LayerNorm(epsilon=EPSILON, use_fast_variance=False)
        self.fc1 = linen_dense(INNER)
        self.fc2 = linen_dense(WIDTH)

    def __call__(self, x):
        return x + self.fc2(nn.gelu(self.fc1(self.norm(x)), approximate=True))


class LinenMixed(nn.Module):
    def setup(self):
        self.embed = nn.Embed(VOCABULARY, WIDTH, dtype=jnp.float32, param_dtype=jnp.float16)
        self.layers = [LinenLayer() for _ in range(LAYERS)]
        self.norm = nn.RMSNorm(epsilon=EPSILON, use_fast_variance=False)
        self.head = linen_dense(CLASSES)

    def __call__(self, ids):
        x = self.embed(ids)
        for layer in self.layers:
            x = layer(x)
        return self.head(self.norm(x).mean(1))


def nnx_linear(features, out, rngs):
    return nnx.Linear(features, out, dtype=jnp.float32, param_dtype=jnp.bfloat16, rngs=rngs)


class NnxLayer(nnx.Module):
    def __init__(self, rngs):
        self.norm = nnx.LayerNorm(WIDTH, epsilon=EPSILON, use_fast_variance=False, rngs=rngs)
        self.fc1 = nnx_linear(WIDTH, INNER, rngs)
        self.fc2 = nnx_linear(INNER, WIDTH, rngs)

    def __call__(self, x):
        return x + self.fc2(jax.nn.gelu(self.fc1(self.norm(x)), approximate=True))


class NnxMixed(nnx.Module):
    def __init__(self, rngs):
        self.embed = nnx.Embed(VOCABULARY, WIDTH, dtype=jnp.float32, param_dtype=jnp.float16, rngs=rngs)
        self.layers = nnx.List([NnxLayer(rngs) for _ in range(LAYERS)])
        self.norm = nnx.RMSNorm(WIDTH, epsilon=EPSILON, use_fast_variance=False, rngs=rngs)
        self.head = nnx_linear(WIDTH, CLASSES, rngs)

    def __call__(self, ids):
        x = self.embed(ids)
        for layer in self.layers:
            x = layer(x)
        return self.head(self.norm(x).mean(1))


def torch_net() -> torch.nn.Module:
    return TorchMixed().eval()


def linen_net() -> nn.Module:
    return LinenMixed()


def nnx_net(rngs) -> nnx.Module:
    return NnxMixed(rngs)


def inputs() -> tuple[np.ndarray, ...]:
    return (np.random.default_rng(8).integers(0, VOCABULARY, (3, 8), dtype=np.int32),)


def linen_args():
    return inputs(), {}


def run_torch(net, ids):
    with torch.no_grad():
        return net.eval()(torch.from_numpy(ids)).numpy()


def run_linen(net, variables, ids):
    return net.apply(variables, ids)


def run_nnx(net, ids):
    return net(jnp.asarray(ids))
