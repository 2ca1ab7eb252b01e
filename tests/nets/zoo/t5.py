"""T5: one embedding table in four places, relative positions as a table, norms without a mean, no biases.

The names are those of Hugging Face's checkpoints. torch lists the table as `shared`, `encoder.embed_tokens`,
`decoder.embed_tokens` and `lm_head`; linen holds it once, as `shared`; nnx shares one module, which its state
shows where it comes first, at `decoder/embed_tokens`.
"""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import torch
from flax import nnx
from torch.nn.functional import scaled_dot_product_attention

VOCABULARY, WIDTH, INNER, HEADS, HEAD, BLOCKS, BUCKETS, FARTHEST = 43, 18, 38, 3, 4, 2, 8, 12
EPSILON = 1e-3
RULES: dict = {}


def buckets(queries, keys, two_sided):
    """The bucket of every distance from a query to a key: int32 (queries, keys), exact near by, logarithmic far off."""
    distance = np.arange(keys)[None] - np.arange(queries)[:, None]
    count, first = (BUCKETS // 2, (distance > 0) * (BUCKETS // 2)) if two_sided else (BUCKETS, 0)
    distance = np.abs(distance) if two_sided else np.maximum(-distance, 0)
    near = count // 2
    far = np.log(np.maximum(distance, 1) / near) / math.log(FARTHEST / near) * (count - near)
    far = np.minimum(near + far.astype(np.int32), count - 1)
    return (first + np.where(distance < near, distance, far)).astype(np.int32)


class T5LayerNorm(torch.nn.Module):
    """RMS norm, in a class of its own as T5's code has it."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(WIDTH))

    def forward(self, x):
        return self.weight * x * torch.rsqrt(x.square().mean(-1, keepdim=True) + EPSILON)


class TorchAttention(torch.nn.Module):
    """Attention without scaling; the first block's has the table of relative positions."""

    def __init__(self, two_sided=None):
        super().__init__()
        self.two_sided = two_sided
        self.q = torch.nn.Linear(WIDTH, HEADS * HEAD, bias=False)
        self.k = torch.nn.Linear(WIDTH, HEADS * HEAD, bias=False)
        self.v = torch.nn.Linear(WIDTH, HEADS * HEAD, bias=False)
        self.o = torch.nn.Linear(HEADS * HEAD, WIDTH, bias=False)
        if two_sided is not None:
            self.relative_attention_bias = torch.nn.Embedding(BUCKETS, HEADS)

    def positions(self, length):
        places = torch.from_numpy(buckets(length, length, self.two_sided))
        bias = self.relative_attention_bias(places).permute(2, 0, 1)
        if not self.two_sided:
            bias = bias.masked_fill(torch.ones(length, length).triu(1).bool(), -math.inf)
        return bias

    def forward(self, x, context, bias):
        q, k, v = (
            part(y).unflatten(-1, (HEADS, HEAD)).transpose(1, 2)
            for part, y in ((self.q, x), (self.k, context), (self.v, context))
        )
        mixed = scaled_dot_product_attention(q, k, v, attn_mask=bias, scale=1.0)
        return self.o(mixed.transpose(1, 2).flatten(2))


class TorchSelf(torch.nn.Module):
    def __init__(self, two_sided):
        super().__init__()
        self.SelfAttention = TorchAttention(two_sided)
        self.layer_norm = T5LayerNorm()

    def forward(self, x, bias):
        y = self.layer_norm(x)
        return x + self.SelfAttention(y, y, bias)


class TorchCross(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.EncDecAttention = TorchAttention()
        self.layer_norm = T5LayerNorm()

    def forward(self, x, context):
        return x + self.EncDecAttention(self.layer_norm(x), context, None)


class TorchDense(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.wi = torch.nn.Linear(WIDTH, INNER, bias=False)
        self.wo = torch.nn.Linear(INNER, WIDTH, bias=False)

    def forward(self, x):
        return self.wo(torch.relu(self.wi(x)))


class TorchFeedForward(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.DenseReluDense = TorchDense()
        self.layer_norm = T5LayerNorm()

    def forward(self, x):
        return x + self.DenseReluDense(self.layer_norm(x))


class TorchBlock(torch.nn.Module):
    def __init__(self, two_sided, crossed):
        super().__init__()
        cross = [TorchCross()] if crossed else []
        self.layer = torch.nn.ModuleList([TorchSelf(two_sided), *cross, TorchFeedForward()])

    def forward(self, x, bias, context):
        x = self.layer[0](x, bias)
        for cross in self.layer[1:-1]:
            x = cross(x, context)
        return self.layer[-1](x)


class TorchStack(torch.nn.Module):
    def __init__(self, embed_tokens, two_sided, crossed):
        super().__init__()
        self.embed_tokens = embed_tokens
        self.block = torch.nn.ModuleList(
            TorchBlock(two_sided if number == 0 else None, crossed) for number in range(BLOCKS)
        )
        self.final_layer_norm = T5LayerNorm()

    def forward(self, ids, context=None):
        x = self.embed_tokens(ids)
        bias = self.block[0].layer[0].SelfAttention.positions(ids.shape[1])
        for block in self.block:
            x = block(x, bias, context)
        return self.final_layer_norm(x)


class TorchT5(torch.nn.Module):
    """ids of the text (batch, source), of the answer (batch, target) -> logits (batch, target, vocabulary)."""

    def __init__(self):
        super().__init__()
        self.shared = torch.nn.Embedding(VOCABULARY, WIDTH)
        self.encoder = TorchStack(self.shared, two_sided=True, crossed=False)
        self.decoder = TorchStack(self.shared, two_sided=False, crossed=True)
        self.lm_head = torch.nn.Linear(WIDTH, VOCABULARY, bias=False)
        self.lm_head.weight = self.shared.weight

    def forward(self, ids, answer):
        x = self.decoder(answer, self.encoder(ids))
        return self.lm_head(x * WIDTH**-0.5)


def position_bias(table, length, two_sided):
    """From the Embed `table`: (1, HEADS, length, length); where one sided, what comes later is out of sight."""
    bias = jnp.transpose(table(buckets(length, length, two_sided)), (2, 0, 1))
    if not two_sided:
        bias = jnp.where(np.tril(np.ones((length, length), bool)), bias, -jnp.inf)
    return bias[None]


def attend(q, k, v, bias):
    """q (batch, queries, HEADS * HEAD), k and v (batch, keys, HEADS * HEAD) -> as q."""
    split = (part.reshape(*part.shape[:2], HEADS, HEAD) for part in (q, k, v))
    return jax.nn.dot_product_attention(*split, bias=bias, scale=1.0).reshape(q.shape)


class LinenAttention(nn.Module):
    two_sided: bool | None = None

    def setup(self):
        self.q = nn.Dense(HEADS * HEAD, use_bias=False)
        self.k = nn.Dense(HEADS * HEAD, use_bias=False)
        self.v = nn.Dense(HEADS * HEAD, use_bias=False)
        self.o = nn.Dense(WIDTH, use_bias=False)
        if self.two_sided is not None:
            self.relative_attention_bias = nn.Embed(BUCKETS, HEADS)

    def positions(self, length):
        return position_bias(self.relative_attention_bias, length, self.two_sided)

    def __call__(self, x, context, bias):
        return self.o(attend(self.q(x), self.k(context), self.v(context), bias))


class LinenSelf(nn.Module):
    two_sided: bool | None

    def setup(self):
        self.SelfAttention = LinenAttention(self.two_sided)
        self.layer_norm = nn.RMSNorm(epsilon=EPSILON, use_fast_variance=False)

    def positions(self, length):
        return self.SelfAttention.positions(length)

    def __call__(self, x, bias):
        y = self.layer_norm(x)
        return x + self.SelfAttention(y, y, bias)


class LinenCross(nn.Module):
    def setup(self):
        self.EncDecAttention = LinenAttention()
        self.layer_norm = nn.RMSNorm(epsilon=EPSILON, use_fast_variance=False)

    def __call__(self, x, context):
        return x + self.EncDecAttention(self.layer_norm(x), context, None)


class LinenDense(nn.Module):
    def setup(self):
        self.wi = nn.Dense(INNER, use_bias=False)
        self.wo = nn.Dense(WIDTH, use_bias=False)

    def __call__(self, x):
        return self.wo(nn.relu(self.wi(x)))


class LinenFeedForward(nn.Module):
    def setup(self):
        self.DenseReluDense = LinenDense()
        self.layer_norm = nn.RMSNorm(epsilon=EPSILON, use_fast_variance=False)

    def __call__(self, x):
        return x + self.DenseReluDense(self.layer_norm(x))


class LinenBlock(nn.Module):
    two_sided: bool | None
    crossed: bool

    def setup(self):
        cross = [LinenCross()] if self.crossed else []
        self.layer = [LinenSelf(self.two_sided), *cross, LinenFeedForward()]

    def positions(self, length):
        return self.layer[0].positions(length)

    def __call__(self, x, bias, context):
        x = self.layer[0](x, bias)
        for cross in self.layer[1:-1]:
            x = cross(x, context)
        return self.layer[-1](x)


class LinenStack(nn.Module):
    embed_tokens: nn.Module
    two_sided: bool
    crossed: bool

    def setup(self):
        self.block = [LinenBlock(self.two_sided if number == 0 else None, self.crossed) for number in range(BLOCKS)]
        self.final_layer_norm = nn.RMSNorm(epsilon=EPSILON, use_fast_variance=False)

    def __call__(self, ids, context=None):
        x = self.embed_tokens(ids)
        bias = self.block[0].positions(ids.shape[1])
        for block in self.block:
            x = block(x, bias, context)
        return self.final_layer_norm(x)


class LinenT5(nn.Module):
    def setup(self):
        self.shared = nn.Embed(VOCABULARY, WIDTH)
        self.encoder = LinenStack(self.shared, two_sided=True, crossed=False)
        self.decoder = LinenStack(self.shared, two_sided=False, crossed=True)

    def __call__(self, ids, answer):
        x = self.decoder(answer, self.encoder(ids))
        return self.shared.attend(x * WIDTH**-0.5)


class NnxAttention(nnx.Module):
    def __init__(self, rngs, two_sided=None):
        self.two_sided = two_sided
        self.q = nnx.Linear(WIDTH, HEADS * HEAD, use_bias=False, rngs=rngs)
        self.k = nnx.Linear(WIDTH, HEADS * HEAD, use_bias=False, rngs=rngs)
        self.v = nnx.Linear(WIDTH, HEADS * HEAD, use_bias=False, rngs=rngs)
        self.o = nnx.Linear(HEADS * HEAD, WIDTH, use_bias=False, rngs=rngs)
        if two_sided is not None:
            self.relative_attention_bias = nnx.Embed(BUCKETS, HEADS, rngs=rngs)

    def positions(self, length):
        return position_bias(self.relative_attention_bias, length, self.two_sided)

    def __call__(self, x, context, bias):
        return self.o(attend(self.q(x), self.k(context), self.v(context), bias))


class NnxSelf(nnx.Module):
    def __init__(self, rngs, two_sided):
        self.SelfAttention = NnxAttention(rngs, two_sided)
        self.layer_norm = nnx.RMSNorm(WIDTH, epsilon=EPSILON, use_fast_variance=False, rngs=rngs)

    def __call__(self, x, bias):
        y = self.layer_norm(x)
        return x + self.SelfAttention(y, y, bias)


class NnxCross(nnx.Module):
    def __init__(self, rngs):
        self.EncDecAttention = NnxAttention(rngs)
        self.layer_norm = nnx.RMSNorm(WIDTH, epsilon=EPSILON, use_fast_variance=False, rngs=rngs)

    def __call__(self, x, context):
        return x + self.EncDecAttention(self.layer_norm(x), context, None)


class NnxDense(nnx.Module):
    def __init__(self, rngs):
        self.wi = nnx.Linear(WIDTH, INNER, use_bias=False, rngs=rngs)
        self.wo = nnx.Linear(INNER, WIDTH, use_bias=False, rngs=rngs)

    def __call__(self, x):
        return self.wo(jax.nn.relu(self.wi(x)))


class NnxFeedForward(nnx.Module):
    def __init__(self, rngs):
        self.DenseReluDense = NnxDense(rngs)
        self.layer_norm = nnx.RMSNorm(WIDTH, epsilon=EPSILON, use_fast_variance=False, rngs=rngs)

    def __call__(self, x):
        return x + self.DenseReluDense(self.layer_norm(x))


class NnxBlock(nnx.Module):
    def __init__(self, rngs, two_sided, crossed):
        cross = [NnxCross(rngs)] if crossed else []
        self.layer = nnx.List([NnxSelf(rngs, two_sided), *cross, NnxFeedForward(rngs)])

    def __call__(self, x, bias, context):
        x = self.layer[0](x, bias)
        for cross in self.layer[1:-1]:
            x = cross(x, context)
        return self.layer[-1](x)


class NnxStack(nnx.Module):
    def __init__(self, rngs, embed_tokens, two_sided, crossed):
        self.embed_tokens = embed_tokens
        self.block = nnx.List([NnxBlock(rngs, two_sided if number == 0 else None, crossed) for number in range(BLOCKS)])
        self.final_layer_norm = nnx.RMSNorm(WIDTH, epsilon=EPSILON, use_fast_variance=False, rngs=rngs)

    def __call__(self, ids, context=None):
        x = self.embed_tokens(ids)
        bias = self.block[0].layer[0].SelfAttention.positions(ids.shape[1])
        for block in self.block:
            x = block(x, bias, context)
        return self.final_layer_norm(x)


class NnxT5(nnx.Module):
    def __init__(self, rngs):
        self.shared = nnx.Embed(VOCABULARY, WIDTH, rngs=rngs)
        self.encoder = NnxStack(rngs, self.shared, two_sided=True, crossed=False)
        self.decoder = NnxStack(rngs, self.shared, two_sided=False, crossed=True)

    def __call__(self, ids, answer):
        x = self.decoder(answer, self.encoder(ids))
        return self.shared.attend(x * WIDTH**-0.5)


def torch_net() -> torch.nn.Module:
    return TorchT5().eval()


def linen_net() -> nn.Module:
    return LinenT5()


def nnx_net(rngs) -> nnx.Module:
    return NnxT5(rngs)


def inputs() -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(5)
    return tuple(rng.integers(0, VOCABULARY, (2, length), dtype=np.int32) for length in (17, 10))


def linen_args():
    return inputs(), {}


def run_torch(net, ids, answer):
    with torch.no_grad():
        return net.eval()(torch.from_numpy(ids), torch.from_numpy(answer)).numpy()


def run_linen(net, variables, ids, answer):
    return net.apply(variables, ids, answer)


def run_nnx(net, ids, answer):
    return net(jnp.asarray(ids), jnp.asarray(answer))
