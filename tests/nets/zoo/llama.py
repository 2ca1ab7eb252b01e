"""Llama: RMS norms, grouped queries, rotary positions on halves, SwiGLU, no bias, a head of its own.

The names are those of Hugging Face's checkpoints. Heads are wider than WIDTH / HEADS, so that no kernel is square.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import torch
from flax import nnx
from torch.nn.functional import scaled_dot_product_attention, silu

VOCABULARY, WIDTH, INNER, HEADS, GROUPS, HEAD, LAYERS = 47, 20, 44, 4, 2, 6, 3
EPSILON, THETA = 1e-3, 500.0
RULES: dict = {}


class TorchRotary(torch.nn.Module):
    """The angles' cosines and sines, each (length, HEAD); its buffer is in no state dict."""

    def __init__(self):
        super().__init__()
        inverse = 1.0 / THETA ** (torch.arange(0, HEAD, 2) / HEAD)
        self.register_buffer("inv_freq", inverse, persistent=False)

    def forward(self, length):
        angles = torch.outer(torch.arange(length), self.inv_freq).repeat(1, 2)
        return angles.cos(), angles.sin()


def torch_rotate(x, cos, sin):
    low, high = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-high, low), dim=-1) * sin


class TorchAttention(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.q_proj = torch.nn.Linear(WIDTH, HEADS * HEAD, bias=False)
        self.k_proj = torch.nn.Linear(WIDTH, GROUPS * HEAD, bias=False)
        self.v_proj = torch.nn.Linear(WIDTH, GROUPS * HEAD, bias=False)
        self.o_proj = torch.nn.Linear(HEADS * HEAD, WIDTH, bias=False)

    def forward(self, x, cos, sin):
        batch, length, _ = x.shape
        q, k, v = (
            part(x).view(batch, length, -1, HEAD).transpose(1, 2) for part in (self.q_proj, self.k_proj, self.v_proj)
        )
        q, k = torch_rotate(q, cos, sin), torch_rotate(k, cos, sin)
        mixed = scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        return self.o_proj(mixed.transpose(1, 2).reshape(batch, length, -1))


class TorchMLP(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.gate_proj = torch.nn.Linear(WIDTH, INNER, bias=False)
        self.up_proj = torch.nn.Linear(WIDTH, INNER, bias=False)
        self.down_proj = torch.nn.Linear(INNER, WIDTH, bias=False)

    def forward(self, x):
        return self.down_proj(silu(self.gate_proj(x)) * self.up_proj(x))


class TorchLayer(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.self_attn = TorchAttention()
        self.mlp = TorchMLP()
        self.input_layernorm = torch.nn.RMSNorm(WIDTH, eps=EPSILON)
        self.post_attention_layernorm = torch.nn.RMSNorm(WIDTH, eps=EPSILON)

    def forward(self, x, cos, sin):
        x = x + self.self_attn(self.input_layernorm(x), cos, sin)
        return x + self.mlp(self.post_attention_layernorm(x))


class TorchModel(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.embed_tokens = torch.nn.Embedding(VOCABULARY, WIDTH)
        self.layers = torch.nn.ModuleList(TorchLayer() for _ in range(LAYERS))
        self.norm = torch.nn.RMSNorm(WIDTH, eps=EPSILON)
        self.rotary_emb = TorchRotary()

    def forward(self, ids):
        x = self.embed_tokens(ids)
        cos, sin = self.rotary_emb(ids.shape[1])
        for layer in self.layers:
            x = layer(x, cos, sin)
        return self.norm(x)


class TorchLlama(torch.nn.Module):
    """ids (batch, length) -> logits (batch, length, vocabulary)."""

    def __init__(self):
        super().__init__()
        self.model = TorchModel()
        self.lm_head = torch.nn.Linear(WIDTH, VOCABULARY, bias=False)

    def forward(self, ids):
        return self.lm_head(self.model(ids))


def rotary(length):
    """Cosines and sines of the angles, each (length, 1, HEAD)."""
    inverse = 1.0 / THETA ** (jnp.arange(0, HEAD, 2) / HEAD)
    angles = jnp.tile(jnp.outer(jnp.arange(length), inverse), (1, 2))[:, None]
    return jnp.cos(angles), jnp.sin(angles)


def rotate(x, cos, sin):
    low, high = jnp.split(x, 2, axis=-1)
    return x * cos + jnp.concatenate((-high, low), axis=-1) * sin


def attend(q, k, v, cos, sin):
    """q (batch, length, HEADS * HEAD), k and v (batch, length, GROUPS * HEAD) -> as q."""
    heads = (part.reshape(*part.shape[:2], -1, HEAD) for part in (q, k, v))
    split_q, split_k, split_v = heads
    split_q, split_k = rotate(split_q, cos, sin), rotate(split_k, cos, sin)
    return jax.nn.dot_product_attention(split_q, split_k, split_v, is_causal=True).reshape(q.shape)


class LinenAttention(nn.Module):
    def setup(self):
        self.q_proj = nn.Dense(HEADS * HEAD, use_bias=False)
        self.k_proj = nn.Dense(GROUPS * HEAD, use_bias=False)
        self.v_proj = nn.Dense(GROUPS * HEAD, use_bias=False)
        self.o_proj = nn.Dense(WIDTH, use_bias=False)

    def __call__(self, x, cos, sin):
        return self.o_proj(attend(self.q_proj(x), self.k_proj(x), self.v_proj(x), cos, sin))


class LinenMLP(nn.Module):
    def setup(self):
        self.gate_proj = nn.Dense(INNER, use_bias=False)
        self.up_proj = nn.Dense(INNER, use_bias=False)
        self.down_proj = nn.Dense(WIDTH, use_bias=False)

    def __call__(self, x):
        return self.down_proj(nn.silu(self.gate_proj(x)) * self.up_proj(x))


class LinenLayer(nn.Module):
    def setup(self):
        self.self_attn = LinenAttention()
        self.mlp = LinenMLP()
        self.input_layernorm = nn.RMSNorm(epsilon=EPSILON, use_fast_variance=False)
        self.post_attention_layernorm = nn.RMSNorm(epsilon=EPSILON, use_fast_variance=False)

    def __call__(self, x, cos, sin):
        x = x + self.self_attn(self.input_layernorm(x), cos, sin)
        return x + self.mlp(self.post_attention_layernorm(x))


class LinenModel(nn.Module):
    def setup(self):
        self.embed_tokens = nn.Embed(VOCABULARY, WIDTH)
        self.layers = [LinenLayer() for _ in range(LAYERS)]
        self.norm = nn.RMSNorm(epsilon=EPSILON, use_fast_variance=False)

    def __call__(self, ids):
        x = self.embed_tokens(ids)
        cos, sin = rotary(ids.shape[1])
        for layer in self.layers:
            x = layer(x, cos, sin)
        return self.norm(x)


class LinenLlama(nn.Module):
    def setup(self):
        self.model = LinenModel()
        self.lm_head = nn.Dense(VOCABULARY, use_bias=False)

    def __call__(self, ids):
        return self.lm_head(self.model(ids))


class NnxAttention(nnx.Module):
    def __init__(self, rngs):
        self.q_proj = nnx.Linear(WIDTH, HEADS * HEAD, use_bias=False, rngs=rngs)
        self.k_proj = nnx.Linear(WIDTH, GROUPS * HEAD, use_bias=False, rngs=rngs)
        self.v_proj = nnx.Linear(WIDTH, GROUPS * HEAD, use_bias=False, rngs=rngs)
        self.o_proj = nnx.Linear(HEADS * HEAD, WIDTH, use_bias=False, rngs=rngs)

    def __call__(self, x, cos, sin):
        return self.o_proj(attend(self.q_proj(x), self.k_proj(x), self.v_proj(x), cos, sin))


class NnxMLP(nnx.Module):
    def __init__(self, rngs):
        self.gate_proj = nnx.Linear(WIDTH, INNER, use_bias=False, rngs=rngs)
        self.up_proj = nnx.Linear(WIDTH, INNER, use_bias=False, rngs=rngs)
        self.down_proj = nnx.Linear(INNER, WIDTH, use_bias=False, rngs=rngs)

    def __call__(self, x):
        return self.down_proj(jax.nn.silu(self.gate_proj(x)) * self.up_proj(x))


class NnxLayer(nnx.Module):
    def __init__(self, rngs):
        self.self_attn = NnxAttention(rngs)
        self.mlp = NnxMLP(rngs)
        self.input_layernorm = nnx.RMSNorm(WIDTH, epsilon=EPSILON, use_fast_variance=False, rngs=rngs)
        self.post_attention_layernorm = nnx.RMSNorm(WIDTH, epsilon=EPSILON, use_fast_variance=False, rngs=rngs)

    def __call__(self, x, cos, sin):
        x = x + self.self_attn(self.input_layernorm(x), cos, sin)
        return x + self.mlp(self.post_attention_layernorm(x))


class NnxModel(nnx.Module):
    def __init__(self, rngs):
        self.embed_tokens = nnx.Embed(VOCABULARY, WIDTH, rngs=rngs)
        self.layers = nnx.List([NnxLayer(rngs) for _ in range(LAYERS)])
        self.norm = nnx.RMSNorm(WIDTH, epsilon=EPSILON, use_fast_variance=False, rngs=rngs)

    def __call__(self, ids):
        x = self.embed_tokens(ids)
        cos, sin = rotary(ids.shape[1])
        for layer in self.layers:
            x = layer(x, cos, sin)
        return self.norm(x)


class NnxLlama(nnx.Module):
    def __init__(self, rngs):
        self.model = NnxModel(rngs)
        self.lm_head = nnx.Linear(WIDTH, VOCABULARY, use_bias=False, rngs=rngs)

    def __call__(self, ids):
        return self.lm_head(self.model(ids))


def torch_net() -> torch.nn.Module:
    return TorchLlama().eval()


def linen_net() -> nn.Module:
    return LinenLlama()


def nnx_net(rngs) -> nnx.Module:
    return NnxLlama(rngs)


def inputs() -> tuple[np.ndarray, ...]:
    return (np.random.default_rng(3).integers(0, VOCABULARY, (2, 11), dtype=np.int32),)


def linen_args():
    return inputs(), {}


def run_torch(net, ids):
    with torch.no_grad():
        return net.eval()(torch.from_numpy(ids)).numpy()


def run_linen(net, variables, ids):
    return net.apply(variables, ids)


def run_nnx(net, ids):
    return net(jnp.asarray(ids))
