"""Recurrent layers, of one cell or of several."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .cells import CLASSES, gru, lstm, lstm_optimized, rnn
from .group import Group, group
from .layout import At, Item, Layer, Module

_RNN = {"linen": "flax.linen.recurrent.RNN", "nnx": "flax.nnx.RNN"}


def net(kind: str, features: int, hidden: int, layer: Layer) -> dict[str, list[Item]]:
    """One layer of one direction, called by its kind."""
    cell = At(layer, kind, f"{kind}.cell", f"{kind}.cell")
    return {
        "torch": [_module(kind, features, hidden), cell],
        "linen": [Module(f"params.{kind}", "", _RNN["linen"]), cell],
        "nnx": [Module(kind, "", _RNN["nnx"]), cell],
    }


def _module(kind: str, features: int, hidden: int, **facts: Any) -> Module:
    attrs: dict[str, Any] = {
        "input_size": features,
        "hidden_size": hidden,
        "num_layers": 1,
        "bidirectional": False,
        "batch_first": True,
        "proj_size": 0,
    }
    if kind == "rnn":
        attrs["nonlinearity"] = "tanh"
    return Module(kind, kind, CLASSES[kind][0], attrs | facts)


def stacked(features: int, hidden: int) -> dict[str, list[Item]]:
    """An LSTM of two layers in both directions."""
    torch: list[Item] = [_module("lstm", features, hidden, num_layers=2, bidirectional=True)]
    linen: list[Item] = [Module("params.lstm", "", "flax.linen.combinators.Sequential")]
    nnx: list[Item] = [
        Module("lstm", "", "flax.nnx.Sequential"),
        Module("lstm.layers", "", "flax.nnx.List", keys=[0, 1]),
    ]
    for number, width in enumerate((features, 2 * hidden)):
        linen.append(Module(f"params.lstm.layers_{number}", "", "flax.linen.recurrent.Bidirectional"))
        nnx.append(Module(f"lstm.layers.{number}", "", "flax.nnx.Bidirectional"))
        for direction, suffix in (("forward", ""), ("backward", "_reverse")):
            at = (f"lstm.layers_{number}.{direction}_rnn", f"lstm.layers.{number}.{direction}_rnn")
            cell = At(lstm(width, hidden, f"l{number}{suffix}"), "lstm", f"{at[0]}.cell", f"{at[1]}.cell")
            torch.append(cell)
            linen += [Module(f"params.{at[0]}", "", _RNN["linen"]), cell]
            nnx += [Module(at[1], "", _RNN["nnx"]), cell]
    return {"torch": torch, "linen": linen, "nnx": nnx}


def groups() -> Iterator[Group]:
    """Seven nets."""
    section = "1.4"
    held = net("lstm", 3, 2, lstm(3, 2))
    comment = "an LSTM: torch's two biases are one in Flax, and come back as the first"
    yield group("lstm", held, section, comment, back={"torch-back": held["torch"]})
    held = net("lstm", 2, 3, lstm_optimized(2, 3))
    comment = "an LSTM whose cell in nnx keeps all gates in one tensor"
    # What a conversion to nnx takes is the plain cell.
    none = ["torch-to-nnx", "linen-to-nnx"]
    yield group("lstm-optimized", held, section, comment, back={"torch-back": held["torch"]}, without=none)
    held = stacked(3, 2)
    comment = "an LSTM of two layers in both directions: four cells"
    # Between linen and nnx `layers_0` is a name like any other.
    none = ["linen-to-nnx", "nnx-to-linen"]
    yield group("lstm-layers", held, "3", comment, back={"torch-back": held["torch"]}, without=none)
    held = net("gru", 3, 2, gru(3, 2))
    refused = dict.fromkeys(
        ("torch-to-nnx", "linen-to-nnx"), "nnx's GRU has no second bias of the new gate; it is not 0"
    )
    comment = "a GRU whose new gate has two biases"
    del held["nnx"]
    yield group("gru", held, section, comment, back={"torch-back": held["torch"]}, refused=refused)
    held = net("gru", 2, 3, gru(2, 3, ("spread", [0.25, -0.5, 0.125, -0.375, 0.0625, 0.75, 0, 0, 0])))
    comment = "a GRU whose new gate has zeros for a second bias"
    yield group("gru-zeros", held, section, comment, back={"torch-back": held["torch"]})
    unit = 2.0**-24
    ties = ([1.0, 1 + 2 * unit, -0.25, 0.375], [unit, 5 * unit, 0.125, -0.0625])
    held = net("rnn", 3, 4, rnn(3, 4, ties))
    comment = "a simple recurrent layer; two sums of biases lie midway between two numbers"
    yield group("rnn", held, section, comment, back={"torch-back": held["torch"]})
    unit = 2.0**-8
    ties = ([1.0, 1 + 2 * unit, -0.25, 0.375], [unit, 5 * unit, 0.125, -0.0625])
    held = net("rnn", 2, 4, rnn(2, 4, ties, "bfloat16"))
    yield group("rnn-bfloat16", held, section, f"{comment} of bfloat16", back={"torch-back": held["torch"]})
