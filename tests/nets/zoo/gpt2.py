"""GPT-2: linear layers whose weight is (in, out), queries, keys and values packed in one, the head tied to `wte`.

The names are those of Hugging Face's checkpoints. The Flax sides have no `lm_head`: they attend with `wte`.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import torch
from flax import nnx
from torch.nn.functional import gelu, scaled_dot_product_attention
from transformers.pytorch_utils import Conv1D

VOCABULARY, POSITIONS, WIDTH, INNER, HEADS, LAYERS = 41, 19, 20, 52, 5, 3
EPSILON = 1e-4
RULES: dict = {"kinds": [("*c_attn", "linear:in_out"), ("*c_fc", "linear:in_out"), ("*c_proj", "linear:in_out")]}


class TorchAttention(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.c_attn = Conv1D(3 * WIDTH, WIDTH)
        self.c_proj = Conv1D(WIDTH, WIDTH)

    def forward(self, x):
        batch, length, _ = x.shape
        q, k, v = (part.view(batch, length, HEADS, -1).transpose(1, 2) for part in self.c_attn(x).split(WIDTH, dim=2))
        mixed = scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.c_proj(mixed.transpose(1, 2).reshape(x.shape))


class TorchMLP(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.c_fc = Conv1D(INNER, WIDTH)
        self.c_proj = Conv1D(WIDTH, INNER)

    def forward(self, x):
        return self.c_proj(gelu(self.c_fc(x), approximate="tanh"))


class TorchBlock(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.ln_1 = torch.nn.LayerNorm(WIDTH, eps=EPSILON)
        self.attn = TorchAttention()
        self.ln_2 = torch.nn.LayerNorm(WIDTH, eps=EPSILON)
        self.mlp = TorchMLP()

    def forward(self, x):
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class TorchTransformer(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.wte = torch.nn.Embedding(VOCABULARY, WIDTH)
        self.wpe = torch.nn.Embedding(POSITIONS, WIDTH)
        self.h = torch.nn.ModuleList(TorchBlock() for _ in range(LAYERS))
        self.ln_f = torch.nn.LayerNorm(WIDTH, eps=EPSILON)

    def forward(self, ids):
        x = self.wte(ids) + self.wpe(torch.arange(ids.shape[1]))
        for block in self.h:
            x = block(x)
        return self.ln_f(x)


class TorchGPT2(torch.nn.Module):
    """ids (batch, length) -> logits (batch, length, vocabulary)."""

    def __init__(self):
        super().__init__()
        self.transformer = TorchTransformer()
        self.lm_head = torch.nn.Linear(WIDTH, VOCABULARY, bias=False)
        self.lm_head.weight = self.transformer.wte.weight

    def forward(self, ids):
        return self.lm_head(self.transformer(ids))


def attend(packed):
    """Queries, keys and values side by side (batch, length, 3 * width) -> (batch, length, width)."""
    batch, length, _ = packed.shape
    q, k, v = (part.reshape(batch, length, HEADS, -1) for part in jnp.split(packed, 3, axis=-1))
    return jax.nn.dot_product_attention(q, k, v, is_causal=True).reshape(batch, length, WIDTH)


class LinenAttention(nn.Module):
    def setup(self):
        self.c_attn = nn.Dense(3 * WIDTH)
        self.c_proj = nn.Dense(WIDTH)

    def __call__(self, x):
        return self.c_proj(attend(self.c_attn(x)))


class LinenMLP(nn.Module):
    def setup(self):
        self.c_fc = nn.Dense(INNER)
        self.c_proj = nn.Dense(WIDTH)

    def __call__(self, x):
        return self.c_proj(nn.gelu(self.c_fc(x), approximate=True))


class LinenBlock(nn.Module):
    def setup(self):
        self.ln_1 = nn.LayerNorm(epsilon=EPSILON, use_fast_variance=False)
        self.attn = LinenAttention()
        self.ln_2 = nn.LayerNorm(epsilon=EPSILON, use_fast_variance=False)
        self.mlp = LinenMLP()

    def __call__(self, x):
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class LinenTransformer(nn.Module):
    def setup(self):
        self.wte = nn.Embed(VOCABULARY, WIDTH)
        self.wpe = nn.Embed(POSITIONS, WIDTH)
        self.h = [LinenBlock() for _ in range(LAYERS)]
        self.ln_f = nn.LayerNorm(epsilon=EPSILON, use_fast_variance=False)

    def __call__(self, ids):
        x = self.wte(ids) + self.wpe(jnp.arange(ids.shape[1]))
        for block in self.h:
            x = block(x)
        return self.wte.attend(self.ln_f(x))


class LinenGPT2(nn.Module):
    def setup(self):
        self.transformer = LinenTransformer()

    def __call__(self, ids):
        return self.transformer(ids)


class NnxAttention(nnx.Module):
    def __init__(self, rngs):
        self.c_attn = nnx.Linear(WIDTH, 3 * WIDTH, rngs=rngs)
        self.c_proj = nnx.Linear(WIDTH, WIDTH, rngs=rngs)

    def __call__(self, x):
        return self.c_proj(attend(self.c_attn(x)))


class NnxMLP(nnx.Module):
    def __init__(self, rngs):
        self.c_fc = nnx.Linear(WIDTH, INNER, rngs=rngs)
        self.c_proj = nnx.Linear(INNER, WIDTH, rngs=rngs)

    def __call__(self, x):
        return self.c_proj(jax.nn.gelu(self.c_fc(x), approximate=True))


class NnxBlock(nnx.Module):
    def __init__(self, rngs):
        self.ln_1 = nnx.LayerNorm(WIDTH, epsilon=EPSILON, use_fast_variance=False, rngs=rngs)
        self.attn = NnxAttention(rngs)
        self.ln_2 = nnx.LayerNorm(WIDTH, epsilon=EPSILON, use_fast_variance=False, rngs=rngs)
        self.mlp = NnxMLP(rngs)

    def __call__(self, x):
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class NnxTransformer(nnx.Module):
    def __init__(self, rngs):
        self.wte = nnx.Embed(VOCABULARY, WIDTH, rngs=rngs)
        self.wpe = nnx.Embed(POSITIONS, WIDTH, rngs=rngs)
        self.h = nnx.List([NnxBlock(rngs) for _ in range(LAYERS)])
        self.ln_f = nnx.LayerNorm(WIDTH, epsilon=EPSILON, use_fast_variance=False, rngs=rngs)

    def __call__(self, ids):
        x = self.wte(ids) + self.wpe(jnp.arange(ids.shape[1]))
        for block in self.h:
            x = block(x)
        return self.wte.attend(self.ln_f(x))


class NnxGPT2(nnx.Module):
    def __init__(self, rngs):
        self.transformer = NnxTransformer(rngs)

    def __call__(self, ids):
        return self.transformer(ids)


def torch_net() -> torch.nn.Module:
    net = TorchGPT2().eval()
    for module in net.modules():  # Conv1D's own start, 0.02, is so small that a layer gone wrong would hardly show
        if isinstance(module, Conv1D | torch.nn.Embedding):
            torch.nn.init.normal_(module.weight, std=0.25)
    return net


def linen_net() -> nn.Module:
    return LinenGPT2()


def nnx_net(rngs) -> nnx.Module:
    return NnxGPT2(rngs)


def inputs() -> tuple[np.ndarray, ...]:
    return (np.random.default_rng(2).integers(0, VOCABULARY, (2, 13), dtype=np.int32),)


def linen_args():
    return inputs(), {}


def run_torch(net, ids):
    with torch.no_grad():
        return net.eval()(torch.from_numpy(ids)).numpy()


def run_linen(net, variables, ids):
    return net.apply(variables, ids)


def run_nnx(net, ids):
    return net(jnp.asarray(ids))
