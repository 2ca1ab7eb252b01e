"""Recurrent layers and cells."""

import flax.linen as nn
import jax.numpy as jnp
import torch
from flax import nnx

from . import Row, normal

FEATURES, HIDDEN = 3, 5
TORCH = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "rnn": torch.nn.RNN}
CELLS = {"lstm": torch.nn.LSTMCell, "gru": torch.nn.GRUCell, "rnn": torch.nn.RNNCell}
LINEN = {"lstm": nn.LSTMCell, "gru": nn.GRUCell, "rnn": nn.SimpleCell, "optimized": nn.OptimizedLSTMCell}
NNX = {"lstm": nnx.LSTMCell, "gru": nnx.GRUCell, "rnn": nnx.SimpleCell, "optimized": nnx.OptimizedLSTMCell}


def run_torch(module, x):
    return module(x)[0]


def run_cell(module, *inputs):
    """torch's cell takes (x, h) or (x, h, c); an LSTM's gives (h, c)."""
    x, *state = inputs
    found = module(x, tuple(state) if len(state) > 1 else state[0])
    return torch.cat(found, -1) if len(state) > 1 else found


def run_flax_cell(module, *inputs):
    """Flax's takes (carry, x), an LSTM's carry is (c, h)."""
    x, *state = inputs
    carry, _ = module((state[1], state[0]) if len(state) > 1 else state[0], x)
    return jnp.concatenate([carry[1], carry[0]], -1) if len(state) > 1 else carry


def linen_layers(cell: str, layers: int, both: bool, facts) -> nn.Module:
    def rnn():
        return nn.RNN(LINEN[cell](HIDDEN, **facts))

    stack = [nn.Bidirectional(rnn(), rnn()) if both else rnn() for _ in range(layers)]
    return nn.Sequential(stack) if layers > 1 else stack[0]


def nnx_layers(cell: str, layers: int, both: bool, facts, rngs) -> nnx.Module:
    def rnn(features):
        return nnx.RNN(NNX[cell](features, HIDDEN, rngs=rngs, **facts), rngs=rngs)

    widths = [FEATURES, *[HIDDEN * (2 if both else 1)] * (layers - 1)]
    stack = [nnx.Bidirectional(rnn(n), rnn(n), rngs=rngs) if both else rnn(n) for n in widths]
    return nnx.Sequential(*stack) if layers > 1 else stack[0]


def layer(
    kind: str, *, cell: str = "", layers: int = 1, both: bool = False, relu: bool = False, bias: bool = True
) -> Row:
    cell = cell or kind
    own = {"activation_fn": nn.relu} if relu else {}
    torch_own = {"nonlinearity": "relu"} if relu else {}
    return Row(
        lambda: TORCH[kind](FEATURES, HIDDEN, layers, batch_first=True, bidirectional=both, bias=bias, **torch_own),
        4e-7 if kind == "rnn" else 2e-7,
        (normal(2, 6, FEATURES),),
        lambda: linen_layers(cell, layers, both, own),
        None if kind == "gru" else lambda rngs: nnx_layers(cell, layers, both, own, rngs),
        torch_run=run_torch,
        back="fn",
        styled=("linen", "nnx") if cell != "optimized" else ("linen",),  # nnx's usual cell has a layer for each gate
    )


def one(kind: str, *, cell: str = "", relu: bool = False) -> Row:
    cell = cell or kind
    own = {"activation_fn": nn.relu} if relu else {}
    torch_own = {"nonlinearity": "relu"} if relu else {}
    states = (normal(2, HIDDEN, seed=8), normal(2, HIDDEN, seed=9))[: 2 if kind == "lstm" else 1]
    return Row(
        lambda: CELLS[kind](FEATURES, HIDDEN, **torch_own),
        4e-7 if kind == "rnn" else 2e-7,
        (normal(2, FEATURES), *states),
        lambda: LINEN[cell](HIDDEN, **own),
        None if kind == "gru" else lambda rngs: NNX[cell](FEATURES, HIDDEN, rngs=rngs, **own),
        torch_run=run_cell,
        flax_run=run_flax_cell,
        back="fn",
        styled=("linen", "nnx") if cell != "optimized" else ("linen",),
    )


ROWS = {
    "LSTM": layer("lstm"),
    "LSTM, optimized": layer("lstm", cell="optimized"),
    "LSTM, 2 layers": layer("lstm", layers=2),
    "LSTM, 2 layers, both directions": layer("lstm", layers=2, both=True),
    "LSTM, optimized, 2 layers, both directions": layer("lstm", cell="optimized", layers=2, both=True),
    "GRU": layer("gru"),
    "GRU, 2 layers, both directions": layer("gru", layers=2, both=True),
    "RNN": layer("rnn"),
    "RNN, relu": layer("rnn", relu=True),
    "RNN, 2 layers, both directions": layer("rnn", layers=2, both=True),
    "LSTMCell": one("lstm"),
    "LSTMCell, optimized": one("lstm", cell="optimized"),
    "GRUCell": one("gru"),
    "RNNCell": one("rnn"),
    "RNNCell, relu": one("rnn", relu=True),
}
