"""Speech to text: two convolutions over time, an encoder, and a decoder with attention on it and a tied head.

The names are those of Hugging Face's Whisper. Only `k_proj` has no bias. The encoder's positions are computed
(torch keeps them in a buffer outside the state dict), the decoder's are learned. The second convolution steps by 2
with a padding of (1, 1): Flax's 'SAME' would be (0, 1) on the even length here.
"""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import torch
from flax import nnx
from torch.nn.functional import gelu, scaled_dot_product_attention

BANDS, FRAMES, VOCABULARY, WIDTH, INNER, HEADS, POSITIONS, LAYERS = 7, 26, 37, 24, 50, 3, 15, 2
EPSILON = 1e-3
RULES: dict = {}


def sinusoids(length):
    """float32 (length, WIDTH): sines in the first half of the features, cosines in the second."""
    rates = np.exp(-math.log(100.0) / (WIDTH // 2 - 1) * np.arange(WIDTH // 2))
    angles = np.arange(length)[:, None] * rates
    return np.concatenate((np.sin(angles), np.cos(angles)), axis=1).astype(np.float32)


def torch_norm():
    return torch.nn.LayerNorm(WIDTH, eps=EPSILON)


class TorchAttention(torch.nn.Module):
    def __init__(self, causal=False):
        super().__init__()
        self.causal = causal
        self.k_proj = torch.nn.Linear(WIDTH, WIDTH, bias=False)
        self.v_proj = torch.nn.Linear(WIDTH, WIDTH)
        self.q_proj = torch.nn.Linear(WIDTH, WIDTH)
        self.out_proj = torch.nn.Linear(WIDTH, WIDTH)

    def forward(self, x, context):
        q, k, v = (
            part.unflatten(-1, (HEADS, -1)).transpose(1, 2)
            for part in (self.q_proj(x), self.k_proj(context), self.v_proj(context))
        )
        mixed = scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        return self.out_proj(mixed.transpose(1, 2).flatten(2))


class TorchEncoderLayer(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.self_attn = TorchAttention()
        self.self_attn_layer_norm = torch_norm()
        self.fc1 = torch.nn.Linear(WIDTH, INNER)
        self.fc2 = torch.nn.Linear(INNER, WIDTH)
        self.final_layer_norm = torch_norm()

    def forward(self, x):
        y = self.self_attn_layer_norm(x)
        x = x + self.self_attn(y, y)
        return x + self.fc2(gelu(self.fc1(self.final_layer_norm(x))))


class TorchDecoderLayer(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.self_attn = TorchAttention(causal=True)
        self.self_attn_layer_norm = torch_norm()
        self.encoder_attn = TorchAttention()
        self.encoder_attn_layer_norm = torch_norm()
        self.fc1 = torch.nn.Linear(WIDTH, INNER)
        self.fc2 = torch.nn.Linear(INNER, WIDTH)
        self.final_layer_norm = torch_norm()

    def forward(self, x, heard):
        y = self.self_attn_layer_norm(x)
        x = x + self.self_attn(y, y)
        x = x + self.encoder_attn(self.encoder_attn_layer_norm(x), heard)
        return x + self.fc2(gelu(self.fc1(self.final_layer_norm(x))))


class TorchEncoder(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = torch.nn.Conv1d(BANDS, WIDTH, 3, padding=1)
        self.conv2 = torch.nn.Conv1d(WIDTH, WIDTH, 3, stride=2, padding=1)
        self.register_buffer("positions", torch.from_numpy(sinusoids(FRAMES // 2)), persistent=False)
        self.layers = torch.nn.ModuleList(TorchEncoderLayer() for _ in range(LAYERS))
        self.layer_norm = torch_norm()

    def forward(self, sound):
        x = gelu(self.conv2(gelu(self.conv1(sound)))).transpose(1, 2) + self.positions
        for layer in self.layers:
            x = layer(x)
        return self.layer_norm(x)


class TorchDecoder(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.embed_tokens = torch.nn.Embedding(VOCABULARY, WIDTH)
        self.embed_positions = torch.nn.Embedding(POSITIONS, WIDTH)
        self.layers = torch.nn.ModuleList(TorchDecoderLayer() for _ in range(LAYERS))
        self.layer_norm = torch_norm()

    def forward(self, ids, heard):
        x = self.embed_tokens(ids) + self.embed_positions(torch.arange(ids.shape[1]))
        for layer in self.layers:
            x = layer(x, heard)
        return self.layer_norm(x)


class TorchModel(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = TorchEncoder()
        self.decoder = TorchDecoder()

    def forward(self, sound, ids):
        return self.decoder(ids, self.encoder(sound))


class TorchWhisper(torch.nn.Module):
    """sound (batch, bands, frames), ids (batch, length) -> logits (batch, length, vocabulary)."""

    def __init__(self):
        super().__init__()
        self.model = TorchModel()
        self.proj_out = torch.nn.Linear(WIDTH, VOCABULARY, bias=False)
        self.proj_out.weight = self.model.decoder.embed_tokens.weight

    def forward(self, sound, ids):
        return self.proj_out(self.model(sound, ids))


def attend(q, k, v, causal):
    """q (batch, queries, WIDTH), k and v (batch, keys, WIDTH) -> as q."""
    split = (part.reshape(*part.shape[:2], HEADS, -1) for part in (q, k, v))
    return jax.nn.dot_product_attention(*split, is_causal=causal).reshape(q.shape)


def linen_norm():
    return nn.LayerNorm(epsilon=EPSILON, use_fast_variance=False)


class LinenAttention(nn.Module):
    causal: bool = False

    def setup(self):
        self.k_proj = nn.Dense(WIDTH, use_bias=False)
        self.v_proj = nn.Dense(WIDTH)
        self.q_proj = nn.Dense(WIDTH)
        self.out_proj = nn.Dense(WIDTH)

    def __call__(self, x, context):
        return self.out_proj(attend(self.q_proj(x), self.k_proj(context), self.v_proj(context), self.causal))


class LinenEncoderLayer(nn.Module):
    def setup(self):
        self.self_attn = LinenAttention()
        self.self_attn_layer_norm = linen_norm()
        self.fc1 = nn.Dense(INNER)
        self.fc2 = nn.Dense(WIDTH)
        self.final_layer_norm = linen_norm()

    def __call__(self, x):
        y = self.self_attn_layer_norm(x)
        x = x + self.self_attn(y, y)
        return x + self.fc2(nn.gelu(self.fc1(self.final_layer_norm(x)), approximate=False))


class LinenDecoderLayer(nn.Module):
    def setup(self):
        self.self_attn = LinenAttention(causal=True)
        self.self_attn_layer_norm = linen_norm()
        self.encoder_attn = LinenAttention()
        self.encoder_attn_layer_norm = linen_norm()
        self.fc1 = nn.Dense(INNER)
        self.fc2 = nn.Dense(WIDTH)
        self.final_layer_norm = linen_norm()

    def __call__(self, x, heard):
        y = self.self_attn_layer_norm(x)
        x = x + self.self_attn(y, y)
        x = x + self.encoder_attn(self.encoder_attn_layer_norm(x), heard)
        return x + self.fc2(nn.gelu(self.fc1(self.final_layer_norm(x)), approximate=False))


class LinenEncoder(nn.Module):
    def setup(self):
        self.conv1 = nn.Conv(WIDTH, (3,), padding=((1, 1),))
        self.conv2 = nn.Conv(WIDTH, (3,), strides=(2,), padding=((1, 1),))
        self.layers = [LinenEncoderLayer() for _ in range(LAYERS)]
        self.layer_norm = linen_norm()

    def __call__(self, sound):
        x = nn.gelu(self.conv1(sound), approximate=False)
        x = nn.gelu(self.conv2(x), approximate=False)
        x = x + sinusoids(x.shape[1])
        for layer in self.layers:
            x = layer(x)
        return self.layer_norm(x)


class LinenDecoder(nn.Module):
    def setup(self):
        self.embed_tokens = nn.Embed(VOCABULARY, WIDTH)
        self.embed_positions = nn.Embed(POSITIONS, WIDTH)
        self.layers = [LinenDecoderLayer() for _ in range(LAYERS)]
        self.layer_norm = linen_norm()

    def __call__(self, ids, heard):
        x = self.embed_tokens(ids) + self.embed_positions(jnp.arange(ids.shape[1]))
        for layer in self.layers:
            x = layer(x, heard)
        return self.embed_tokens.attend(self.layer_norm(x))


class LinenModel(nn.Module):
    def setup(self):
        self.encoder = LinenEncoder()
        self.decoder = LinenDecoder()

    def __call__(self, sound, ids):
        return self.decoder(ids, self.encoder(sound))


class LinenWhisper(nn.Module):
    """sound (batch, frames, bands), ids (batch, length) -> logits (batch, length, vocabulary)."""

    def setup(self):
        self.model = LinenModel()

    def __call__(self, sound, ids):
        return self.model(sound, ids)


def nnx_norm(rngs):
    return nnx.LayerNorm(WIDTH, epsilon=EPSILON, use_fast_variance=False, rngs=rngs)


class NnxAttention(nnx.Module):
    def __init__(self, rngs, causal=False):
        self.causal = causal
        self.k_proj = nnx.Linear(WIDTH, WIDTH, use_bias=False, rngs=rngs)
        self.v_proj = nnx.Linear(WIDTH, WIDTH, rngs=rngs)
        self.q_proj = nnx.Linear(WIDTH, WIDTH, rngs=rngs)
        self.out_proj = nnx.Linear(WIDTH, WIDTH, rngs=rngs)

    def __call__(self, x, context):
        return self.out_proj(attend(self.q_proj(x), self.k_proj(context), self.v_proj(context), self.causal))


class NnxEncoderLayer(nnx.Module):
    def __init__(self, rngs):
        self.self_attn = NnxAttention(rngs)
        self.self_attn_layer_norm = nnx_norm(rngs)
        self.fc1 = nnx.Linear(WIDTH, INNER, rngs=rngs)
        self.fc2 = nnx.Linear(INNER, WIDTH, rngs=rngs)
        self.final_layer_norm = nnx_norm(rngs)

    def __call__(self, x):
        y = self.self_attn_layer_norm(x)
        x = x + self.self_attn(y, y)
        return x + self.fc2(jax.nn.gelu(self.fc1(self.final_layer_norm(x)), approximate=False))


class NnxDecoderLayer(nnx.Module):
    def __init__(self, rngs):
        self.self_attn = NnxAttention(rngs, causal=True)
        self.self_attn_layer_norm = nnx_norm(rngs)
        self.encoder_attn = NnxAttention(rngs)
        self.encoder_attn_layer_norm = nnx_norm(rngs)
        self.fc1 = nnx.Linear(WIDTH, INNER, rngs=rngs)
        self.fc2 = nnx.Linear(INNER, WIDTH, rngs=rngs)
        self.final_layer_norm = nnx_norm(rngs)

    def __call__(self, x, heard):
        y = self.self_attn_layer_norm(x)
        x = x + self.self_attn(y, y)
        x = x + self.encoder_attn(self.encoder_attn_layer_norm(x), heard)
        return x + self.fc2(jax.nn.gelu(self.fc1(self.final_layer_norm(x)), approximate=False))


class NnxEncoder(nnx.Module):
    def __init__(self, rngs):
        self.conv1 = nnx.Conv(BANDS, WIDTH, (3,), padding=((1, 1),), rngs=rngs)
        self.conv2 = nnx.Conv(WIDTH, WIDTH, (3,), strides=(2,), padding=((1, 1),), rngs=rngs)
        self.layers = nnx.List([NnxEncoderLayer(rngs) for _ in range(LAYERS)])
        self.layer_norm = nnx_norm(rngs)

    def __call__(self, sound):
        x = jax.nn.gelu(self.conv1(sound), approximate=False)
        x = jax.nn.gelu(self.conv2(x), approximate=False)
        x = x + sinusoids(x.shape[1])
        for layer in self.layers:
            x = layer(x)
        return self.layer_norm(x)


class NnxDecoder(nnx.Module):
    def __init__(self, rngs):
        self.embed_tokens = nnx.Embed(VOCABULARY, WIDTH, rngs=rngs)
        self.embed_positions = nnx.Embed(POSITIONS, WIDTH, rngs=rngs)
        self.layers = nnx.List([NnxDecoderLayer(rngs) for _ in range(LAYERS)])
        self.layer_norm = nnx_norm(rngs)

    def __call__(self, ids, heard):
        x = self.embed_tokens(ids) + self.embed_positions(jnp.arange(ids.shape[1]))
        for layer in self.layers:
            x = layer(x, heard)
        return self.embed_tokens.attend(self.layer_norm(x))


class NnxModel(nnx.Module):
    def __init__(self, rngs):
        self.encoder = NnxEncoder(rngs)
        self.decoder = NnxDecoder(rngs)

    def __call__(self, sound, ids):
        return self.decoder(ids, self.encoder(sound))


class NnxWhisper(nnx.Module):
    def __init__(self, rngs):
        self.model = NnxModel(rngs)

    def __call__(self, sound, ids):
        return self.model(sound, ids)


def torch_net() -> torch.nn.Module:
    net = TorchWhisper().eval()
    torch.nn.init.normal_(net.proj_out.weight, std=0.3)  # also the embedding: logits of about 1
    return net


def linen_net() -> nn.Module:
    return LinenWhisper()


def nnx_net(rngs) -> nnx.Module:
    return NnxWhisper(rngs)


def inputs() -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(6)
    sound = rng.standard_normal((2, BANDS, FRAMES), dtype=np.float32)
    return sound, rng.integers(0, VOCABULARY, (2, 9), dtype=np.int32)


def linen_args():
    sound, ids = inputs()
    return (sound.transpose(0, 2, 1), ids), {}


def run_torch(net, sound, ids):
    with torch.no_grad():
        return net.eval()(torch.from_numpy(sound), torch.from_numpy(ids)).numpy()


def run_linen(net, variables, sound, ids):
    return net.apply(variables, sound.transpose(0, 2, 1), ids)


def run_nnx(net, sound, ids):
    return net(jnp.asarray(sound.transpose(0, 2, 1)), jnp.asarray(ids))
