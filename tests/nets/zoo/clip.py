"""Two towers, image and text, into one space, with the names of CLIP: attention of four linears, projections without
bias, a scalar `logit_scale`, quick gelu, the text read at its highest id (the end of the text).
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import torch
from flax import nnx

from nets.cnn import channels_last

EPS = 1e-4
WORDS, LENGTH = 31, 7
PATCH = (4, 5)
PLACES = 1 + (8 // 4) * (15 // 5)
SHARED = 10
RULES: dict = {}
# (features, heads, hidden, layers) of either tower
VISION = (20, 2, 28, 2)
TEXT = (18, 3, 26, 3)


class TorchAttention(torch.nn.Module):
    def __init__(self, features, heads):
        super().__init__()
        self.heads = heads
        self.k_proj = torch.nn.Linear(features, features)
        self.v_proj = torch.nn.Linear(features, features)
        self.q_proj = torch.nn.Linear(features, features)
        self.out_proj = torch.nn.Linear(features, features)

    def forward(self, x, causal):
        def split(y):
            return y.unflatten(-1, (self.heads, -1)).transpose(1, 2)

        q, k, v = split(self.q_proj(x)), split(self.k_proj(x)), split(self.v_proj(x))
        y = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=causal)
        return self.out_proj(y.transpose(1, 2).flatten(2))


class TorchMLP(torch.nn.Module):
    def __init__(self, features, hidden):
        super().__init__()
        self.fc1 = torch.nn.Linear(features, hidden)
        self.fc2 = torch.nn.Linear(hidden, features)

    def forward(self, x):
        x = self.fc1(x)
        return self.fc2(x * torch.sigmoid(1.702 * x))


class TorchLayer(torch.nn.Module):
    def __init__(self, features, heads, hidden):
        super().__init__()
        self.self_attn = TorchAttention(features, heads)
        self.layer_norm1 = torch.nn.LayerNorm(features, eps=EPS)
        self.mlp = TorchMLP(features, hidden)
        self.layer_norm2 = torch.nn.LayerNorm(features, eps=EPS)

    def forward(self, x, causal):
        x = x + self.self_attn(self.layer_norm1(x), causal)
        return x + self.mlp(self.layer_norm2(x))


class TorchEncoder(torch.nn.Module):
    def __init__(self, features, heads, hidden, layers):
        super().__init__()
        self.layers = torch.nn.ModuleList(TorchLayer(features, heads, hidden) for _ in range(layers))

    def forward(self, x, causal):
        for layer in self.layers:
            x = layer(x, causal)
        return x


class TorchVisionEmbeddings(torch.nn.Module):
    def __init__(self, features):
        super().__init__()
        self.class_embedding = torch.nn.Parameter(torch.randn(features))
        self.patch_embedding = torch.nn.Conv2d(3, features, PATCH, stride=PATCH, bias=False)
        self.position_embedding = torch.nn.Embedding(PLACES, features)

    def forward(self, pixels):
        x = self.patch_embedding(pixels).flatten(2).transpose(1, 2)
        first = self.class_embedding.expand(x.shape[0], 1, -1)
        return torch.cat([first, x], dim=1) + self.position_embedding(torch.arange(PLACES))


class TorchVision(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.embeddings = TorchVisionEmbeddings(VISION[0])
        self.pre_layernorm = torch.nn.LayerNorm(VISION[0], eps=EPS)
        self.encoder = TorchEncoder(*VISION)
        self.post_layernorm = torch.nn.LayerNorm(VISION[0], eps=EPS)

    def forward(self, pixels):
        x = self.encoder(self.pre_layernorm(self.embeddings(pixels)), causal=False)
        return self.post_layernorm(x[:, 0])


class TorchTextEmbeddings(torch.nn.Module):
    def __init__(self, features):
        super().__init__()
        self.token_embedding = torch.nn.Embedding(WORDS, features)
        self.position_embedding = torch.nn.Embedding(LENGTH, features)

    def forward(self, ids):
        return self.token_embedding(ids) + self.position_embedding(torch.arange(ids.shape[1]))


class TorchText(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.embeddings = TorchTextEmbeddings(TEXT[0])
        self.encoder = TorchEncoder(*TEXT)
        self.final_layer_norm = torch.nn.LayerNorm(TEXT[0], eps=EPS)

    def forward(self, ids):
        x = self.final_layer_norm(self.encoder(self.embeddings(ids), causal=True))
        return x[torch.arange(len(ids)), ids.argmax(-1)]


class TorchCLIP(torch.nn.Module):
    """Pixels (N, 3, 8, 15), ids (M, T) -> logits (N, M), image vectors (N, 10), text vectors (M, 10)."""

    def __init__(self):
        super().__init__()
        self.logit_scale = torch.nn.Parameter(torch.tensor(0.7))
        self.text_model = TorchText()
        self.vision_model = TorchVision()
        self.visual_projection = torch.nn.Linear(VISION[0], SHARED, bias=False)
        self.text_projection = torch.nn.Linear(TEXT[0], SHARED, bias=False)

    def forward(self, pixels, ids):
        image = self.visual_projection(self.vision_model(pixels))
        text = self.text_projection(self.text_model(ids))
        image = image / image.norm(dim=-1, keepdim=True)
        text = text / text.norm(dim=-1, keepdim=True)
        return self.logit_scale.exp() * image @ text.T, image, text


def unit(x):
    return x / jnp.linalg.norm(x, axis=-1, keepdims=True)


def quick_gelu(x):
    return x * jax.nn.sigmoid(1.702 * x)


def attend(q, k, v, heads, causal):
    """(N, T, E) three times -> (N, T, E)."""
    q, k, v = (y.reshape(*y.shape[:2], heads, -1) for y in (q, k, v))
    return jax.nn.dot_product_attention(q, k, v, is_causal=causal).reshape(*q.shape[:2], -1)


def at_end(x, ids):
    return x[jnp.arange(len(ids)), ids.argmax(-1)]


class LinenAttention(nn.Module):
    features: int
    heads: int

    def setup(self):
        self.k_proj = nn.Dense(self.features)
        self.v_proj = nn.Dense(self.features)
        self.q_proj = nn.Dense(self.features)
        self.out_proj = nn.Dense(self.features)

    def __call__(self, x, causal):
        return self.out_proj(attend(self.q_proj(x), self.k_proj(x), self.v_proj(x), self.heads, causal))


class LinenMLP(nn.Module):
    features: int
    hidden: int

    def setup(self):
        self.fc1 = nn.Dense(self.hidden)
        self.fc2 = nn.Dense(self.features)

    def __call__(self, x):
        return self.fc2(quick_gelu(self.fc1(x)))


class LinenLayer(nn.Module):
    features: int
    heads: int
    hidden: int

    def setup(self):
        self.self_attn = LinenAttention(self.features, self.heads)
        self.layer_norm1 = nn.LayerNorm(epsilon=EPS, use_fast_variance=False)
        self.mlp = LinenMLP(self.features, self.hidden)
        self.layer_norm2 = nn.LayerNorm(epsilon=EPS, use_fast_variance=False)

    def __call__(self, x, causal):
        x = x + self.self_attn(self.layer_norm1(x), causal)
        return x + self.mlp(self.layer_norm2(x))


class LinenEncoder(nn.Module):
    features: int
    heads: int
    hidden: int
    count: int

    def setup(self):
        self.layers = [LinenLayer(self.features, self.heads, self.hidden) for _ in range(self.count)]

    def __call__(self, x, causal):
        for layer in self.layers:
            x = layer(x, causal)
        return x


class LinenVisionEmbeddings(nn.Module):
    features: int

    def setup(self):
        self.class_embedding = self.param("class_embedding", nn.initializers.normal(0.02), (self.features,))
        self.patch_embedding = nn.Conv(self.features, PATCH, strides=PATCH, padding="VALID", use_bias=False)
        self.position_embedding = nn.Embed(PLACES, self.features)

    def __call__(self, pixels):
        x = self.patch_embedding(pixels).reshape(pixels.shape[0], -1, self.features)
        first = jnp.broadcast_to(self.class_embedding, (x.shape[0], 1, self.features))
        return jnp.concatenate([first, x], axis=1) + self.position_embedding(jnp.arange(PLACES))


class LinenVision(nn.Module):
    def setup(self):
        self.embeddings = LinenVisionEmbeddings(VISION[0])
        self.pre_layernorm = nn.LayerNorm(epsilon=EPS, use_fast_variance=False)
        self.encoder = LinenEncoder(*VISION)
        self.post_layernorm = nn.LayerNorm(epsilon=EPS, use_fast_variance=False)

    def __call__(self, pixels):
        x = self.encoder(self.pre_layernorm(self.embeddings(pixels)), causal=False)
        return self.post_layernorm(x[:, 0])


class LinenTextEmbeddings(nn.Module):
    features: int

    def setup(self):
        self.token_embedding = nn.Embed(WORDS, self.features)
        self.position_embedding = nn.Embed(LENGTH, self.features)

    def __call__(self, ids):
        return self.token_embedding(ids) + self.position_embedding(jnp.arange(ids.shape[1]))


class LinenText(nn.Module):
    def setup(self):
        self.embeddings = LinenTextEmbeddings(TEXT[0])
        self.encoder = LinenEncoder(*TEXT)
        self.final_layer_norm = nn.LayerNorm(epsilon=EPS, use_fast_variance=False)

    def __call__(self, ids):
        return at_end(self.final_layer_norm(self.encoder(self.embeddings(ids), causal=True)), ids)


class LinenCLIP(nn.Module):
    """Pixels (N, 8, 15, 3), ids (M, T) -> logits (N, M), image vectors (N, 10), text vectors (M, 10)."""

    def setup(self):
        self.logit_scale = self.param("logit_scale", nn.initializers.constant(0.7), ())
        self.text_model = LinenText()
        self.vision_model = LinenVision()
        self.visual_projection = nn.Dense(SHARED, use_bias=False)
        self.text_projection = nn.Dense(SHARED, use_bias=False)

    def __call__(self, pixels, ids):
        image = unit(self.visual_projection(self.vision_model(pixels)))
        text = unit(self.text_projection(self.text_model(ids)))
        return jnp.exp(self.logit_scale) * image @ text.T, image, text


class NnxAttention(nnx.Module):
    def __init__(self, features, heads, rngs):
        self.heads = heads
        self.k_proj = nnx.Linear(features, features, rngs=rngs)
        self.v_proj = nnx.Linear(features, features, rngs=rngs)
        self.q_proj = nnx.Linear(features, features, rngs=rngs)
        self.out_proj = nnx.Linear(features, features, rngs=rngs)

    def __call__(self, x, causal):
        return self.out_proj(attend(self.q_proj(x), self.k_proj(x), self.v_proj(x), self.heads, causal))


class NnxMLP(nnx.Module):
    def __init__(self, features, hidden, rngs):
        self.fc1 = nnx.Linear(features, hidden, rngs=rngs)
        self.fc2 = nnx.Linear(hidden, features, rngs=rngs)

    def __call__(self, x):
        return self.fc2(quick_gelu(self.fc1(x)))


def nnx_norm(features, rngs):
    return nnx.LayerNorm(features, epsilon=EPS, use_fast_variance=False, rngs=rngs)


class NnxLayer(nnx.Module):
    def __init__(self, features, heads, hidden, rngs):
        self.self_attn = NnxAttention(features, heads, rngs)
        self.layer_norm1 = nnx_norm(features, rngs)
        self.mlp = NnxMLP(features, hidden, rngs)
        self.layer_norm2 = nnx_norm(features, rngs)

    def __call__(self, x, causal):
        x = x + self.self_attn(self.layer_norm1(x), causal)
        return x + self.mlp(self.layer_norm2(x))


class NnxEncoder(nnx.Module):
    def __init__(self, features, heads, hidden, count, rngs):
        self.layers = nnx.List([NnxLayer(features, heads, hidden, rngs) for _ in range(count)])

    def __call__(self, x, causal):
        for layer in self.layers:
            x = layer(x, causal)
        return x


class NnxVisionEmbeddings(nnx.Module):
    def __init__(self, features, rngs):
        self.class_embedding = nnx.Param(0.02 * jax.random.normal(rngs.params(), (features,)))
        self.patch_embedding = nnx.Conv(3, features, PATCH, strides=PATCH, padding="VALID", use_bias=False, rngs=rngs)
        self.position_embedding = nnx.Embed(PLACES, features, rngs=rngs)

    def __call__(self, pixels):
        x = self.patch_embedding(pixels)
        x = x.reshape(x.shape[0], -1, x.shape[-1])
        first = jnp.broadcast_to(self.class_embedding[...], (x.shape[0], 1, x.shape[-1]))
        return jnp.concatenate([first, x], axis=1) + self.position_embedding(jnp.arange(PLACES))


class NnxVision(nnx.Module):
    def __init__(self, rngs):
        self.embeddings = NnxVisionEmbeddings(VISION[0], rngs)
        self.pre_layernorm = nnx_norm(VISION[0], rngs)
        self.encoder = NnxEncoder(*VISION, rngs)
        self.post_layernorm = nnx_norm(VISION[0], rngs)

    def __call__(self, pixels):
        x = self.encoder(self.pre_layernorm(self.embeddings(pixels)), causal=False)
        return self.post_layernorm(x[:, 0])


class NnxTextEmbeddings(nnx.Module):
    def __init__(self, features, rngs):
        self.token_embedding = nnx.Embed(WORDS, features, rngs=rngs)
        self.position_embedding = nnx.Embed(LENGTH, features, rngs=rngs)

    def __call__(self, ids):
        return self.token_embedding(ids) + self.position_embedding(jnp.arange(ids.shape[1]))


class NnxText(nnx.Module):
    def __init__(self, rngs):
        self.embeddings = NnxTextEmbeddings(TEXT[0], rngs)
        self.encoder = NnxEncoder(*TEXT, rngs)
        self.final_layer_norm = nnx_norm(TEXT[0], rngs)

    def __call__(self, ids):
        return at_end(self.final_layer_norm(self.encoder(self.embeddings(ids), causal=True)), ids)


class NnxCLIP(nnx.Module):
    """Pixels (N, 8, 15, 3), ids (M, T) -> logits (N, M), image vectors (N, 10), text vectors (M, 10)."""

    def __init__(self, rngs):
        self.logit_scale = nnx.Param(jnp.array(0.7))
        self.text_model = NnxText(rngs)
        self.vision_model = NnxVision(rngs)
        self.visual_projection = nnx.Linear(VISION[0], SHARED, use_bias=False, rngs=rngs)
        self.text_projection = nnx.Linear(TEXT[0], SHARED, use_bias=False, rngs=rngs)

    def __call__(self, pixels, ids):
        image = unit(self.visual_projection(self.vision_model(pixels)))
        text = unit(self.text_projection(self.text_model(ids)))
        return jnp.exp(self.logit_scale[...]) * image @ text.T, image, text


def torch_net():
    return TorchCLIP()


def linen_net():
    return LinenCLIP()


def nnx_net(rngs):
    return NnxCLIP(rngs)


def inputs():
    rng = np.random.default_rng(6)
    ids = rng.integers(0, WORDS - 1, (3, 6), np.int32)
    ids[[0, 1, 2], [5, 3, 4]] = WORDS - 1  # the end of each text
    return rng.standard_normal((2, 3, 8, 15), np.float32), ids


def linen_args():
    return (jax.ShapeDtypeStruct((2, 8, 15, 3), jnp.float32), jax.ShapeDtypeStruct((3, 6), jnp.int32)), {}


def run_torch(net, pixels, ids):
    with torch.no_grad():
        return tuple(y.numpy() for y in net.eval()(torch.from_numpy(pixels), torch.from_numpy(ids)))


def run_linen(net, variables, pixels, ids):
    return net.apply(variables, jnp.asarray(channels_last(pixels)), jnp.asarray(ids))


def run_nnx(net, pixels, ids):
    net.eval()
    return net(jnp.asarray(channels_last(pixels)), jnp.asarray(ids))
