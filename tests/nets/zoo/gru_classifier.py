"""A text classifier: embedding, one layer of GRU, linear.

Torch's GRU has two biases per gate. Those of the reset and update gates add up, those of the new gate do not: its
second one stands inside the product with the reset gate. Linen's cell has a place for it, nnx's has none.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import torch
from flax import nnx

WORDS, FEATURES, HIDDEN, CLASSES = 19, 7, 6, 4
RULES: dict = {}


class TorchClassifier(torch.nn.Module):
    """(N, T) ids -> (N, 4)."""

    def __init__(self):
        super().__init__()
        self.embedding = torch.nn.Embedding(WORDS, FEATURES)
        self.gru = torch.nn.GRU(FEATURES, HIDDEN, batch_first=True)
        self.fc = torch.nn.Linear(HIDDEN, CLASSES)

    def forward(self, ids):
        _, last = self.gru(self.embedding(ids))
        return self.fc(last[0])


class LinenClassifier(nn.Module):
    """(N, T) ids -> (N, 4)."""

    def setup(self):
        self.embedding = nn.Embed(WORDS, FEATURES)
        self.gru = nn.RNN(nn.GRUCell(HIDDEN), return_carry=True)
        self.fc = nn.Dense(CLASSES)

    def __call__(self, ids):
        last, _ = self.gru(self.embedding(ids))
        return self.fc(last)


class NnxClassifier(nnx.Module):
    """(N, T) ids -> (N, 4)."""

    def __init__(self, rngs):
        self.embedding = nnx.Embed(WORDS, FEATURES, rngs=rngs)
        self.gru = nnx.RNN(nnx.GRUCell(FEATURES, HIDDEN, rngs=rngs), return_carry=True, rngs=rngs)
        self.fc = nnx.Linear(HIDDEN, CLASSES, rngs=rngs)

    def __call__(self, ids):
        last, _ = self.gru(self.embedding(ids))
        return self.fc(last)


def torch_net():
    return TorchClassifier()


def linen_net():
    return LinenClassifier()


def nnx_net(rngs):
    return NnxClassifier(rngs)


def prepare_for_nnx(net):
    """Sets torch's b_hn, which nnx's cell cannot hold, to 0, in place."""
    with torch.no_grad():
        net.gru.bias_hh_l0[2 * HIDDEN :].zero_()
    return net


def inputs():
    return (np.random.default_rng(8).integers(0, WORDS, (3, 5), np.int32),)


def linen_args():
    return (jax.ShapeDtypeStruct((3, 5), jnp.int32),), {}


def run_torch(net, ids):
    with torch.no_grad():
        return net.eval()(torch.from_numpy(ids)).numpy()


def run_linen(net, variables, ids):
    return net.apply(variables, jnp.asarray(ids))


def run_nnx(net, ids):
    net.eval()
    return net(jnp.asarray(ids))
