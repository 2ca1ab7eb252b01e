"""Attention: packed by torch, packed in one Linear, with other widths of keys and values."""

import flax.linen as nn
import torch
from flax import nnx

from . import Row, normal

WIDTH, HEADS, INNER = 12, 3, 4
KEYS, VALUES = 7, 10


def run_torch(module, query, key, value):
    return module(query, key, value, need_weights=False)[0]


def run_flax(module, query, key, value):
    return module(query, key, value)


def attention(*, kdim=None, vdim=None, bias=True) -> Row:
    facts = {"num_heads": HEADS, "qkv_features": WIDTH, "out_features": WIDTH, "use_bias": bias}
    key_in, value_in = kdim or WIDTH, vdim or WIDTH
    nnx_facts = {**facts, "decode": False, **({"in_kv_features": kdim} if kdim else {})}
    return Row(
        lambda: torch.nn.MultiheadAttention(WIDTH, HEADS, bias=bias, kdim=kdim, vdim=vdim, batch_first=True),
        2e-6,
        (normal(2, 5, WIDTH), normal(2, 6, key_in, seed=8), normal(2, 6, value_in, seed=9)),
        lambda: nn.MultiHeadDotProductAttention(**facts),
        (lambda rngs: nnx.MultiHeadAttention(in_features=WIDTH, rngs=rngs, **nnx_facts)) if kdim == vdim else None,
        torch_run=run_torch,
        flax_run=run_flax,
        kinds=(("m", f"attention(heads={HEADS})"),),
    )


class Packed(torch.nn.Module):
    """Self-attention whose three projections are one Linear, in either of the usual orders."""

    def __init__(self, order):
        super().__init__()
        self.order = order
        self.qkv = torch.nn.Linear(WIDTH, 3 * WIDTH)
        self.proj = torch.nn.Linear(WIDTH, WIDTH)

    def forward(self, x):
        n, length, _ = x.shape
        packed = self.qkv(x)
        if self.order == "qkv":
            q, k, v = packed.reshape(n, length, 3, HEADS, INNER).permute(2, 0, 3, 1, 4)
        else:
            q, k, v = packed.reshape(n, length, HEADS, 3, INNER).permute(3, 0, 2, 1, 4)
        mixed = torch.softmax(q @ k.transpose(-1, -2) * INNER**-0.5, -1) @ v
        return self.proj(mixed.transpose(1, 2).reshape(n, length, WIDTH))


def packed(order: str) -> Row:
    return Row(
        lambda: Packed(order),
        2e-6,
        (normal(2, 5, WIDTH),),
        lambda: nn.MultiHeadDotProductAttention(num_heads=HEADS, qkv_features=WIDTH, out_features=WIDTH),
        lambda rngs: nnx.MultiHeadAttention(
            num_heads=HEADS, in_features=WIDTH, qkv_features=WIDTH, decode=False, rngs=rngs
        ),
        options={"kinds": (("m", f"attention:{order}(heads={HEADS})"),)},
    )


class LinenBlock(nn.Module):
    """What torch's encoder or decoder layer is made of, by its names, norms after."""

    decoder: bool = False

    def setup(self):
        self.self_attn = nn.MultiHeadDotProductAttention(num_heads=HEADS, qkv_features=WIDTH)
        self.linear1, self.linear2 = nn.Dense(17), nn.Dense(WIDTH)
        norms = [nn.LayerNorm(epsilon=1e-5, use_fast_variance=False) for _ in range(3 if self.decoder else 2)]
        self.norm1, self.norm2 = norms[:2]
        if self.decoder:
            self.multihead_attn = nn.MultiHeadDotProductAttention(num_heads=HEADS, qkv_features=WIDTH)
            self.norm3 = norms[2]

    def __call__(self, x, memory=None):
        return block(self, x, memory)


class NnxBlock(nnx.Module):
    def __init__(self, decoder, rngs):
        facts = {"num_heads": HEADS, "in_features": WIDTH, "decode": False, "rngs": rngs}
        self.decoder = decoder
        self.self_attn = nnx.MultiHeadAttention(**facts)
        self.linear1, self.linear2 = nnx.Linear(WIDTH, 17, rngs=rngs), nnx.Linear(17, WIDTH, rngs=rngs)
        norms = [nnx.LayerNorm(WIDTH, epsilon=1e-5, use_fast_variance=False, rngs=rngs) for _ in range(3)]
        self.norm1, self.norm2 = norms[:2]
        if decoder:
            self.multihead_attn = nnx.MultiHeadAttention(**facts)
            self.norm3 = norms[2]

    def __call__(self, x, memory=None):
        return block(self, x, memory)


def block(layer, x, memory):
    x = layer.norm1(x + layer.self_attn(x))
    if layer.decoder:
        x = layer.norm2(x + layer.multihead_attn(x, memory))
    norm = layer.norm3 if layer.decoder else layer.norm2
    return norm(x + layer.linear2(nn.relu(layer.linear1(x))))


def transformer(decoder: bool) -> Row:
    made = torch.nn.TransformerDecoderLayer if decoder else torch.nn.TransformerEncoderLayer
    return Row(
        lambda: made(WIDTH, HEADS, 17, batch_first=True),
        1e-6,
        (normal(2, 5, WIDTH), *([normal(2, 6, WIDTH, seed=8)] if decoder else [])),
        lambda: LinenBlock(decoder),
        lambda rngs: NnxBlock(decoder, rngs),
        kinds=(("m.*attn", f"attention(heads={HEADS})"), ("m.linear*", "linear")),
    )


ROWS = {
    "attention": attention(),
    "attention, no bias": attention(bias=False),
    "attention, kdim = vdim": attention(kdim=KEYS, vdim=KEYS),
    "attention, kdim = vdim, no bias": attention(kdim=KEYS, vdim=KEYS, bias=False),
    "attention, kdim, vdim": attention(kdim=KEYS, vdim=VALUES),
    "packed (3, H, D)": packed("qkv"),
    "packed (H, 3, D)": packed("heads_qkv"),
    "TransformerEncoderLayer": transformer(False),
    "TransformerDecoderLayer": transformer(True),
}
