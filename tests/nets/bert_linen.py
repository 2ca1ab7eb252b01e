"""A compact BERT encoder in linen; its variables are the nested names of the MiniLM checkpoint.

`params/encoder/layer/0/attention/self/query/kernel`, or with `listed=True` the names that a list in linen's
`setup` gives: `params/encoder/layer_0/attention/self/query/kernel`.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from .minilm import BertConfig


class Embeddings(nn.Module):
    """Word, position and token type embeddings, summed and normalised."""

    config: BertConfig

    def setup(self) -> None:
        c = self.config
        self.word_embeddings = nn.Embed(c.vocab_size, c.hidden_size)
        self.position_embeddings = nn.Embed(c.max_position_embeddings, c.hidden_size)
        self.token_type_embeddings = nn.Embed(c.type_vocab_size, c.hidden_size)
        self.LayerNorm = nn.LayerNorm(epsilon=c.layer_norm_eps, use_fast_variance=False)

    def __call__(self, ids: jax.Array) -> jax.Array:
        positions = jnp.arange(ids.shape[1])[None]
        summed: jax.Array = (
            self.word_embeddings(ids)
            + self.position_embeddings(positions)
            + self.token_type_embeddings(jnp.zeros_like(ids))
        )
        out: jax.Array = self.LayerNorm(summed)
        return out


class SelfAttention(nn.Module):
    """Multi-head attention without its output projection."""

    config: BertConfig

    def setup(self) -> None:
        self.query = nn.Dense(self.config.hidden_size)
        self.key = nn.Dense(self.config.hidden_size)
        self.value = nn.Dense(self.config.hidden_size)

    def __call__(self, x: jax.Array, keep: jax.Array) -> jax.Array:
        split = (*x.shape[:2], self.config.num_attention_heads, -1)
        q, k, v = (part(x).reshape(split) for part in (self.query, self.key, self.value))
        mixed: jax.Array = nn.dot_product_attention(q, k, v, mask=keep[:, None, None, :])
        return mixed.reshape(x.shape)


class Output(nn.Module):
    """A projection, added to the residual and normalised."""

    config: BertConfig

    def setup(self) -> None:
        self.dense = nn.Dense(self.config.hidden_size)
        self.LayerNorm = nn.LayerNorm(epsilon=self.config.layer_norm_eps, use_fast_variance=False)

    def __call__(self, x: jax.Array, residual: jax.Array) -> jax.Array:
        out: jax.Array = self.LayerNorm(self.dense(x) + residual)
        return out


class Attention(nn.Module):
    """Self-attention and its output projection."""

    config: BertConfig

    def setup(self) -> None:
        self.self = SelfAttention(self.config)
        self.output = Output(self.config)

    def __call__(self, x: jax.Array, keep: jax.Array) -> jax.Array:
        return self.output(self.self(x, keep), x)


class Intermediate(nn.Module):
    """The widening half of the feed-forward block, with the exact gelu."""

    config: BertConfig

    def setup(self) -> None:
        self.dense = nn.Dense(self.config.intermediate_size)

    def __call__(self, x: jax.Array) -> jax.Array:
        return nn.gelu(self.dense(x), approximate=False)


class Layer(nn.Module):
    """Attention, then the feed-forward block."""

    config: BertConfig

    def setup(self) -> None:
        self.attention = Attention(self.config)
        self.intermediate = Intermediate(self.config)
        self.output = Output(self.config)

    def __call__(self, x: jax.Array, keep: jax.Array) -> jax.Array:
        x = self.attention(x, keep)
        return self.output(self.intermediate(x), x)


class NumberedLayers(nn.Module):
    """All layers, named `0`, `1`, …: a name that is no identifier needs `name=` in a compact method."""

    config: BertConfig

    @nn.compact
    def __call__(self, x: jax.Array, keep: jax.Array) -> jax.Array:
        for number in range(self.config.num_hidden_layers):
            x = Layer(self.config, name=str(number))(x, keep)
        return x


class Encoder(nn.Module):
    """All layers beneath one module named `layer`."""

    config: BertConfig

    def setup(self) -> None:
        self.layer = NumberedLayers(self.config)

    def __call__(self, x: jax.Array, keep: jax.Array) -> jax.Array:
        return self.layer(x, keep)


class ListedEncoder(nn.Module):
    """All layers in a list named `layer`, which linen writes as `layer_0`, `layer_1`, …"""

    config: BertConfig

    def setup(self) -> None:
        self.layer = [Layer(self.config) for _ in range(self.config.num_hidden_layers)]

    def __call__(self, x: jax.Array, keep: jax.Array) -> jax.Array:
        for layer in self.layer:
            x = layer(x, keep)
        return x


class Pooler(nn.Module):
    """A projection of the first token, through tanh."""

    config: BertConfig

    def setup(self) -> None:
        self.dense = nn.Dense(self.config.hidden_size)

    def __call__(self, x: jax.Array) -> jax.Array:
        return jnp.tanh(self.dense(x[:, 0]))


class Bert(nn.Module):
    """ids, mask (batch, length), integers -> last hidden state (batch, length, hidden), pooled (batch, hidden)."""

    config: BertConfig
    listed: bool = False

    def setup(self) -> None:
        self.embeddings = Embeddings(self.config)
        self.encoder = ListedEncoder(self.config) if self.listed else Encoder(self.config)
        self.pooler = Pooler(self.config)

    def __call__(self, ids: jax.Array, mask: jax.Array) -> tuple[jax.Array, jax.Array]:
        hidden = self.encoder(self.embeddings(ids), mask.astype(bool))
        return hidden, self.pooler(hidden)


def bert(config: BertConfig, *, listed: bool = False) -> Bert:
    """The linen twin of `bert_torch.bert`; it takes the same ids and mask."""
    return Bert(config, listed=listed)
