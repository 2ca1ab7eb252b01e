"""Llama with scanned layers: torch's `model.layers.0` to `.2` are one stack on the Flax sides, `model/layers`."""

import flax.linen as nn
from flax import nnx

from .llama import (
    EPSILON,
    LAYERS,
    VOCABULARY,
    WIDTH,
    LinenLayer,
    NnxLayer,
    inputs,
    linen_args,
    rotary,
    run_linen,
    run_nnx,
    run_torch,
    torch_net,
)

__all__ = [
    "RULES",
    "inputs",
    "linen_args",
    "linen_net",
    "nnx_net",
    "run_linen",
    "run_nnx",
    "run_torch",
    "torch_net",
]

RULES: dict = {}


class LinenStep(LinenLayer):
    """A layer as nn.scan wants it: what it carries comes back first."""

    def __call__(self, x, cos, sin):
        return super().__call__(x, cos, sin), None


class LinenModel(nn.Module):
    def setup(self):
        self.embed_tokens = nn.Embed(VOCABULARY, WIDTH)
        scanned = nn.scan(
            LinenStep,
            variable_axes={"params": 0},
            split_rngs={"params": True},
            in_axes=(nn.broadcast, nn.broadcast),
            length=LAYERS,
        )
        self.layers = scanned()
        self.norm = nn.RMSNorm(epsilon=EPSILON, use_fast_variance=False)

    def __call__(self, ids):
        cos, sin = rotary(ids.shape[1])
        x, _ = self.layers(self.embed_tokens(ids), cos, sin)
        return self.norm(x)


class LinenLlama(nn.Module):
    def setup(self):
        self.model = LinenModel()
        self.lm_head = nn.Dense(VOCABULARY, use_bias=False)

    def __call__(self, ids):
        return self.lm_head(self.model(ids))


class NnxModel(nnx.Module):
    def __init__(self, rngs):
        self.embed_tokens = nnx.Embed(VOCABULARY, WIDTH, rngs=rngs)

        @nnx.split_rngs(splits=LAYERS)
        @nnx.vmap(in_axes=0, out_axes=0)
        def layers(rngs):
            return NnxLayer(rngs)

        self.layers = layers(rngs)
        self.norm = nnx.RMSNorm(WIDTH, epsilon=EPSILON, use_fast_variance=False, rngs=rngs)

    def __call__(self, ids):
        cos, sin = rotary(ids.shape[1])

        @nnx.scan(in_axes=(nnx.Carry, 0), out_axes=nnx.Carry)
        def forward(x, layer):
            return layer(x, cos, sin)

        return self.norm(forward(self.embed_tokens(ids), self.layers))


class NnxLlama(nnx.Module):
    def __init__(self, rngs):
        self.model = NnxModel(rngs)
        self.lm_head = nnx.Linear(WIDTH, VOCABULARY, use_bias=False, rngs=rngs)

    def __call__(self, ids):
        return self.lm_head(self.model(ids))


def linen_net() -> nn.Module:
    return LinenLlama()


def nnx_net(rngs) -> nnx.Module:
    return NnxLlama(rngs)
