"""BERT: `bert_torch` and `bert_linen` (its layers in a list), and an nnx side here.

torch's buffer `embeddings.position_ids` is outside the state dict, as in checkpoints of today: no Flax side has it.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import torch
from flax import nnx

from .. import bert_linen, bert_torch
from ..minilm import BertConfig

CONFIG = BertConfig(
    vocab_size=53,
    hidden_size=24,
    intermediate_size=40,
    num_hidden_layers=3,
    num_attention_heads=4,
    max_position_embeddings=17,
    layer_norm_eps=1e-3,
)
RULES: dict = {}


def norm(rngs):
    return nnx.LayerNorm(CONFIG.hidden_size, epsilon=CONFIG.layer_norm_eps, use_fast_variance=False, rngs=rngs)


class Embeddings(nnx.Module):
    def __init__(self, rngs):
        self.word_embeddings = nnx.Embed(CONFIG.vocab_size, CONFIG.hidden_size, rngs=rngs)
        self.position_embeddings = nnx.Embed(CONFIG.max_position_embeddings, CONFIG.hidden_size, rngs=rngs)
        self.token_type_embeddings = nnx.Embed(CONFIG.type_vocab_size, CONFIG.hidden_size, rngs=rngs)
        self.LayerNorm = norm(rngs)

    def __call__(self, ids):
        positions = jnp.arange(ids.shape[1])[None]
        return self.LayerNorm(
            self.word_embeddings(ids)
            + self.position_embeddings(positions)
            + self.token_type_embeddings(jnp.zeros_like(ids))
        )


class SelfAttention(nnx.Module):
    def __init__(self, rngs):
        self.query = nnx.Linear(CONFIG.hidden_size, CONFIG.hidden_size, rngs=rngs)
        self.key = nnx.Linear(CONFIG.hidden_size, CONFIG.hidden_size, rngs=rngs)
        self.value = nnx.Linear(CONFIG.hidden_size, CONFIG.hidden_size, rngs=rngs)

    def __call__(self, x, keep):
        split = (*x.shape[:2], CONFIG.num_attention_heads, -1)
        q, k, v = (part(x).reshape(split) for part in (self.query, self.key, self.value))
        return nnx.dot_product_attention(q, k, v, mask=keep[:, None, None, :]).reshape(x.shape)


class Output(nnx.Module):
    def __init__(self, size, rngs):
        self.dense = nnx.Linear(size, CONFIG.hidden_size, rngs=rngs)
        self.LayerNorm = norm(rngs)

    def __call__(self, x, residual):
        return self.LayerNorm(self.dense(x) + residual)


class Attention(nnx.Module):
    def __init__(self, rngs):
        self.self = SelfAttention(rngs)
        self.output = Output(CONFIG.hidden_size, rngs)

    def __call__(self, x, keep):
        return self.output(self.self(x, keep), x)


class Intermediate(nnx.Module):
    def __init__(self, rngs):
        self.dense = nnx.Linear(CONFIG.hidden_size, CONFIG.intermediate_size, rngs=rngs)

    def __call__(self, x):
        return jax.nn.gelu(self.dense(x), approximate=False)


class Layer(nnx.Module):
    def __init__(self, rngs):
        self.attention = Attention(rngs)
        self.intermediate = Intermediate(rngs)
        self.output = Output(CONFIG.intermediate_size, rngs)

    def __call__(self, x, keep):
        x = self.attention(x, keep)
        return self.output(self.intermediate(x), x)


class Encoder(nnx.Module):
    def __init__(self, rngs):
        self.layer = nnx.List([Layer(rngs) for _ in range(CONFIG.num_hidden_layers)])

    def __call__(self, x, keep):
        for layer in self.layer:
            x = layer(x, keep)
        return x


class Pooler(nnx.Module):
    def __init__(self, rngs):
        self.dense = nnx.Linear(CONFIG.hidden_size, CONFIG.hidden_size, rngs=rngs)

    def __call__(self, x):
        return jnp.tanh(self.dense(x[:, 0]))


class Bert(nnx.Module):
    """ids, mask (batch, length), integers -> last hidden state (batch, length, hidden), pooled (batch, hidden)."""

    def __init__(self, rngs):
        self.embeddings = Embeddings(rngs)
        self.encoder = Encoder(rngs)
        self.pooler = Pooler(rngs)

    def __call__(self, ids, mask):
        hidden = self.encoder(self.embeddings(ids), mask.astype(bool))
        return hidden, self.pooler(hidden)


def torch_net() -> torch.nn.Module:
    net = bert_torch.Bert(CONFIG).eval()
    net.embeddings.register_buffer("position_ids", net.embeddings.position_ids, persistent=False)
    return net


def linen_net() -> nn.Module:
    return bert_linen.Bert(CONFIG, listed=True)


def nnx_net(rngs) -> nnx.Module:
    return Bert(rngs)


def inputs() -> tuple[np.ndarray, ...]:
    """Token ids and the mask of three sentences of different lengths."""
    ids = np.random.default_rng(1).integers(0, CONFIG.vocab_size, (3, 11), dtype=np.int32)
    mask = (np.arange(11) < np.array([[11], [7], [2]])).astype(np.int32)
    return ids, mask


def linen_args():
    return inputs(), {}


def run_torch(net, ids, mask):
    with torch.no_grad():
        hidden, pooled = net.eval()(torch.from_numpy(ids), torch.from_numpy(mask))
    return hidden.numpy(), pooled.numpy()


def run_linen(net, variables, ids, mask):
    hidden, pooled = net.apply(variables, ids, mask)
    return hidden, pooled


def run_nnx(net, ids, mask):
    hidden, pooled = net(jnp.asarray(ids), jnp.asarray(mask))
    return hidden, pooled
