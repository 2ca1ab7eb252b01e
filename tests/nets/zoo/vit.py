"""A vision transformer: patch convolution, class token and position table as bare parameters, pre-norm blocks.

Torch's attention packs query, key and value in one matrix; Flax keeps four modules. gelu is erf's, which is not jax's
default.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import torch
from flax import nnx

from nets.cnn import channels_last

EPS = 1e-4
PATCH = (4, 5)
FEATURES, HEADS, HIDDEN, LAYERS = 24, 3, 40, 3
TOKENS = 1 + (12 // 4) * (20 // 5)
RULES: dict = {}


class TorchMlp(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = torch.nn.Linear(FEATURES, HIDDEN)
        self.fc2 = torch.nn.Linear(HIDDEN, FEATURES)

    def forward(self, x):
        return self.fc2(torch.nn.functional.gelu(self.fc1(x)))


class TorchBlock(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.norm1 = torch.nn.LayerNorm(FEATURES, eps=EPS)
        self.attn = torch.nn.MultiheadAttention(FEATURES, HEADS, batch_first=True)
        self.norm2 = torch.nn.LayerNorm(FEATURES, eps=EPS)
        self.mlp = TorchMlp()

    def forward(self, x):
        y = self.norm1(x)
        x = x + self.attn(y, y, y, need_weights=False)[0]
        return x + self.mlp(self.norm2(x))


class TorchViT(torch.nn.Module):
    """(N, 3, 12, 20) -> (N, 7)."""

    def __init__(self):
        super().__init__()
        self.patch_embed = torch.nn.Conv2d(3, FEATURES, PATCH, stride=PATCH)
        self.cls_token = torch.nn.Parameter(torch.randn(1, 1, FEATURES) * 0.02)
        self.pos_embed = torch.nn.Parameter(torch.randn(1, TOKENS, FEATURES) * 0.02)
        self.blocks = torch.nn.ModuleList(TorchBlock() for _ in range(LAYERS))
        self.norm = torch.nn.LayerNorm(FEATURES, eps=EPS)
        self.head = torch.nn.Linear(FEATURES, 7)

    def forward(self, x):
        x = self.patch_embed(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls_token.expand(x.shape[0], -1, -1), x], dim=1) + self.pos_embed
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x)[:, 0])


class LinenMlp(nn.Module):
    def setup(self):
        self.fc1 = nn.Dense(HIDDEN)
        self.fc2 = nn.Dense(FEATURES)

    def __call__(self, x):
        return self.fc2(nn.gelu(self.fc1(x), approximate=False))


class LinenBlock(nn.Module):
    def setup(self):
        self.norm1 = nn.LayerNorm(epsilon=EPS, use_fast_variance=False)
        self.attn = nn.MultiHeadDotProductAttention(HEADS)
        self.norm2 = nn.LayerNorm(epsilon=EPS, use_fast_variance=False)
        self.mlp = LinenMlp()

    def __call__(self, x):
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class LinenViT(nn.Module):
    """(N, 12, 20, 3) -> (N, 7)."""

    def setup(self):
        self.patch_embed = nn.Conv(FEATURES, PATCH, strides=PATCH, padding="VALID")
        self.cls_token = self.param("cls_token", nn.initializers.normal(0.02), (1, 1, FEATURES))
        self.pos_embed = self.param("pos_embed", nn.initializers.normal(0.02), (1, TOKENS, FEATURES))
        self.blocks = [LinenBlock() for _ in range(LAYERS)]
        self.norm = nn.LayerNorm(epsilon=EPS, use_fast_variance=False)
        self.head = nn.Dense(7)

    def __call__(self, x):
        x = self.patch_embed(x).reshape(x.shape[0], -1, FEATURES)
        cls = jnp.broadcast_to(self.cls_token, (x.shape[0], 1, FEATURES))
        x = jnp.concatenate([cls, x], axis=1) + self.pos_embed
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x)[:, 0])


class NnxMlp(nnx.Module):
    def __init__(self, rngs):
        self.fc1 = nnx.Linear(FEATURES, HIDDEN, rngs=rngs)
        self.fc2 = nnx.Linear(HIDDEN, FEATURES, rngs=rngs)

    def __call__(self, x):
        return self.fc2(nnx.gelu(self.fc1(x), approximate=False))


class NnxBlock(nnx.Module):
    def __init__(self, rngs):
        self.norm1 = nnx.LayerNorm(FEATURES, epsilon=EPS, use_fast_variance=False, rngs=rngs)
        self.attn = nnx.MultiHeadAttention(HEADS, FEATURES, decode=False, rngs=rngs)
        self.norm2 = nnx.LayerNorm(FEATURES, epsilon=EPS, use_fast_variance=False, rngs=rngs)
        self.mlp = NnxMlp(rngs)

    def __call__(self, x):
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class NnxViT(nnx.Module):
    """(N, 12, 20, 3) -> (N, 7)."""

    def __init__(self, rngs):
        self.patch_embed = nnx.Conv(3, FEATURES, PATCH, strides=PATCH, padding="VALID", rngs=rngs)
        self.cls_token = nnx.Param(0.02 * jax.random.normal(rngs.params(), (1, 1, FEATURES)))
        self.pos_embed = nnx.Param(0.02 * jax.random.normal(rngs.params(), (1, TOKENS, FEATURES)))
        self.blocks = nnx.List([NnxBlock(rngs) for _ in range(LAYERS)])
        self.norm = nnx.LayerNorm(FEATURES, epsilon=EPS, use_fast_variance=False, rngs=rngs)
        self.head = nnx.Linear(FEATURES, 7, rngs=rngs)

    def __call__(self, x):
        x = self.patch_embed(x).reshape(x.shape[0], -1, FEATURES)
        cls = jnp.broadcast_to(self.cls_token[...], (x.shape[0], 1, FEATURES))
        x = jnp.concatenate([cls, x], axis=1) + self.pos_embed[...]
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x)[:, 0])


def torch_net():
    return TorchViT()


def linen_net():
    return LinenViT()


def nnx_net(rngs):
    return NnxViT(rngs)


def inputs():
    return (np.random.default_rng(5).standard_normal((2, 3, 12, 20), np.float32),)


def linen_args():
    return (jax.ShapeDtypeStruct((2, 12, 20, 3), jnp.float32),), {}


def run_torch(net, x):
    with torch.no_grad():
        return net.eval()(torch.from_numpy(x)).numpy()


def run_linen(net, variables, x):
    return net.apply(variables, jnp.asarray(channels_last(x)))


def run_nnx(net, x):
    net.eval()
    return net(jnp.asarray(channels_last(x)))
