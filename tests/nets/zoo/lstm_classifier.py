"""A text classifier: embedding, two layers of LSTM in both directions, linear.

Torch keeps all layers and directions in one module, gates stacked in the order i, f, g, o, and two biases which Flax
holds as their sum. Linen's cell has eight modules, nnx's two.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import torch
from flax import nnx

WORDS, FEATURES, HIDDEN, LAYERS, CLASSES = 23, 7, 5, 2, 3
RULES: dict = {}


class TorchClassifier(torch.nn.Module):
    """(N, T) ids -> (N, 3)."""

    def __init__(self):
        super().__init__()
        self.embedding = torch.nn.Embedding(WORDS, FEATURES)
        self.lstm = torch.nn.LSTM(FEATURES, HIDDEN, num_layers=LAYERS, batch_first=True, bidirectional=True)
        self.fc = torch.nn.Linear(2 * HIDDEN, CLASSES)

    def forward(self, ids):
        x, _ = self.lstm(self.embedding(ids))
        return self.fc(x.amax(1))


class LinenClassifier(nn.Module):
    """(N, T) ids -> (N, 3)."""

    def setup(self):
        self.embedding = nn.Embed(WORDS, FEATURES)
        self.lstm = [
            nn.Bidirectional(nn.RNN(nn.OptimizedLSTMCell(HIDDEN)), nn.RNN(nn.OptimizedLSTMCell(HIDDEN)))
            for _ in range(LAYERS)
        ]
        self.fc = nn.Dense(CLASSES)

    def __call__(self, ids):
        x = self.embedding(ids)
        for layer in self.lstm:
            x = layer(x)
        return self.fc(x.max(1))


class NnxClassifier(nnx.Module):
    """(N, T) ids -> (N, 3)."""

    def __init__(self, rngs):
        def rnn(features):
            return nnx.RNN(nnx.OptimizedLSTMCell(features, HIDDEN, rngs=rngs), rngs=rngs)

        widths = [FEATURES] + [2 * HIDDEN] * (LAYERS - 1)
        self.embedding = nnx.Embed(WORDS, FEATURES, rngs=rngs)
        self.lstm = nnx.List([nnx.Bidirectional(rnn(width), rnn(width), rngs=rngs) for width in widths])
        self.fc = nnx.Linear(2 * HIDDEN, CLASSES, rngs=rngs)

    def __call__(self, ids):
        x = self.embedding(ids)
        for layer in self.lstm:
            x = layer(x)
        return self.fc(x.max(1))


def torch_net():
    return TorchClassifier()


def linen_net():
    return LinenClassifier()


def nnx_net(rngs):
    return NnxClassifier(rngs)


def inputs():
    return (np.random.default_rng(7).integers(0, WORDS, (4, 6), np.int32),)


def linen_args():
    return (jax.ShapeDtypeStruct((4, 6), jnp.int32),), {}


def run_torch(net, ids):
    with torch.no_grad():
        return net.eval()(torch.from_numpy(ids)).numpy()


def run_linen(net, variables, ids):
    return net.apply(variables, jnp.asarray(ids))


def run_nnx(net, ids):
    net.eval()
    return net(jnp.asarray(ids))
