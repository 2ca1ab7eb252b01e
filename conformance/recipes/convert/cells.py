"""Recurrent cells: gates in one tensor or in many, two biases or one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from .dense import LINEAR
from .layout import Layer, Leaf, Module, moves
from .operations import Made
from .spelling import add_up, fill, join, part, permute

_GATES = {"lstm": "ifgo", "gru": "rzn"}
CLASSES = {
    "lstm": ("torch.nn.modules.rnn.LSTM", "flax.linen.recurrent.LSTMCell", "flax.nnx.LSTMCell"),
    "gru": ("torch.nn.modules.rnn.GRU", "flax.linen.recurrent.GRUCell", "flax.nnx.GRUCell"),
    "rnn": ("torch.nn.modules.rnn.RNN", "flax.linen.recurrent.SimpleCell", "flax.nnx.SimpleCell"),
    "optimized": ("", "flax.linen.recurrent.OptimizedLSTMCell", "flax.nnx.OptimizedLSTMCell"),
}
Biases = tuple[str | Sequence[float], str | Sequence[float]]
_SPREAD: Biases = ("spread", "spread")


def _torch(
    gates: int,
    features: int,
    hidden: int,
    cell: str,
    biases: Biases = _SPREAD,
    axes: tuple[str, str, str] = ("", "", ""),
    dtype: str = "float32",
) -> list[Module | Leaf]:
    """Torch's four tensors of one cell, all gates of each in one; `cell` is `l0` or `l1_reverse`."""
    rows = gates * hidden
    return [
        Leaf(name=f"weight_ih_{cell}", shape=(rows, features), axes=axes[0], dtype=dtype),
        Leaf(name=f"weight_hh_{cell}", shape=(rows, hidden), axes=axes[1], dtype=dtype),
        Leaf(name=f"bias_ih_{cell}", shape=(rows,), values=biases[0], axes=axes[2], dtype=dtype),
        Leaf(name=f"bias_hh_{cell}", shape=(rows,), values=biases[1], axes=axes[2], dtype=dtype),
    ]


def _flax(kind: str, gates: Mapping[str, Sequence[Leaf]], dense: str, cell: str) -> list[Module | Leaf]:
    """A cell, and in it a layer for each gate."""
    attrs = {"residual": False} if kind == "rnn" else {}
    made: list[Module | Leaf] = [Module("", kind, cell, attrs)]
    for name, leaves in sorted(gates.items()):
        made += [Module(name, "linear" if dense in LINEAR else "", dense), *leaves]
    return made


def _gate(name: str, into: int, hidden: int, *, bias: bool, **facts: Any) -> list[Leaf]:
    """A layer of a cell."""
    axes = f"{'in' if name.startswith('i') else 'inner'} hidden"
    kernel = Leaf(name=f"{name}.kernel", shape=(into, hidden), axes=axes, **facts)
    return [Leaf(name=f"{name}.bias", shape=(hidden,), axes="hidden", **facts), kernel] if bias else [kernel]


def lstm(features: int, hidden: int, cell: str = "l0") -> Layer:
    """Four gates; Flax has one bias for each, beside the weights of the state."""
    gates = _GATES["lstm"]
    ih, hh, b_ih, b_hh = (f"{name}_{cell}" for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
    there: dict[str, Made] = {}
    for n, gate in enumerate(gates):
        rows = (n * hidden, (n + 1) * hidden)
        there[f"i{gate}.kernel"] = permute(part(ih, 0, *rows), 1, 0)
        there[f"h{gate}.kernel"] = permute(part(hh, 0, *rows), 1, 0)
        there[f"h{gate}.bias"] = add_up(part(b_ih, 0, *rows), part(b_hh, 0, *rows))
    back = {
        ih: join(0, *(permute(f"i{gate}.kernel", 1, 0) for gate in gates)),
        hh: join(0, *(permute(f"h{gate}.kernel", 1, 0) for gate in gates)),
        b_ih: join(0, *(f"h{gate}.bias" for gate in gates)),
        b_hh: fill("float32", 4 * hidden),
    }
    layers = {f"i{gate}": _gate(f"i{gate}", features, hidden, bias=False) for gate in gates}
    layers |= {f"h{gate}": _gate(f"h{gate}", hidden, hidden, bias=True) for gate in gates}
    same = {name: name for name in there}
    sides = {
        "torch": _torch(4, features, hidden, cell),
        "linen": _flax("lstm", layers, LINEAR[1], CLASSES["lstm"][1]),
        "nnx": [_if(one) for one in _flax("lstm", layers, LINEAR[2], CLASSES["lstm"][2])],
    }
    made = moves(there, back, same, same)
    made["torch", "nnx"] = {_word(name): of for name, of in there.items()}
    made["linen", "nnx"] = {_word(name): name for name in there}
    made["nnx", "linen"] = {name: _word(name) for name in there}
    into = (f"{'if_' if gate == 'f' else f'i{gate}'}.kernel" for gate in gates)
    made["nnx", "torch"] = {**back, ih: join(0, *(permute(name, 1, 0) for name in into))}
    return Layer(sides, made)


def _word(name: str) -> str:
    """A name as nnx has it: `if` is a word of Python's."""
    return f"if_{name[2:]}" if name == "if" or name.startswith("if.") else name


def _if(one: Module | Leaf) -> Module | Leaf:
    return replace(one, at=_word(one.at)) if isinstance(one, Module) else replace(one, name=_word(one.name))


def lstm_optimized(features: int, hidden: int) -> Layer:
    """The same with nnx's cell that keeps all gates in one tensor."""
    plain = lstm(features, hidden)
    dense = {
        "dense_h": [
            Leaf(name="dense_h.bias", shape=(4 * hidden,)),
            Leaf(name="dense_h.kernel", shape=(hidden, 4 * hidden)),
        ],
        "dense_i": [Leaf(name="dense_i.kernel", shape=(features, 4 * hidden))],
    }
    gates = {name: [leaf for leaf in plain.leaves("linen") if leaf.name.startswith(f"{name}.")] for name in _INNER}
    sides = {
        "torch": plain.sides["torch"],
        "linen": _flax("lstm", gates, "flax.linen.recurrent.DenseParams", CLASSES["optimized"][1]),
        "nnx": _flax("lstm", dense, LINEAR[2], CLASSES["optimized"][2]),
    }
    made = dict(plain.moves)
    into_linen: dict[str, Made] = {}
    made["torch", "nnx"] = {
        "dense_i.kernel": permute("weight_ih_l0", 1, 0),
        "dense_h.kernel": permute("weight_hh_l0", 1, 0),
        "dense_h.bias": add_up("bias_ih_l0", "bias_hh_l0"),
    }
    made["nnx", "torch"] = {
        "weight_ih_l0": permute("dense_i.kernel", 1, 0),
        "weight_hh_l0": permute("dense_h.kernel", 1, 0),
        "bias_ih_l0": "dense_h.bias",
        "bias_hh_l0": fill("float32", 4 * hidden),
    }
    for n, gate in enumerate(_GATES["lstm"]):
        columns = (n * hidden, (n + 1) * hidden)
        into_linen |= {
            f"i{gate}.kernel": part("dense_i.kernel", 1, *columns),
            f"h{gate}.kernel": part("dense_h.kernel", 1, *columns),
            f"h{gate}.bias": part("dense_h.bias", 0, *columns),
        }
    made["nnx", "linen"] = into_linen
    return Layer(sides, made)


_INNER = [f"{side}{gate}" for side in "hi" for gate in _GATES["lstm"]]


def gru(features: int, hidden: int, biases: Biases = _SPREAD) -> Layer:
    """Three gates; the new one keeps its two biases apart, and nnx has no place for the second."""
    gates = _GATES["gru"]
    rows = {gate: (n * hidden, (n + 1) * hidden) for n, gate in enumerate(gates)}
    ih, hh, b_ih, b_hh = (f"{name}_l0" for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
    summed = {gate: add_up(part(b_ih, 0, *rows[gate]), part(b_hh, 0, *rows[gate])) for gate in "rz"}
    there = {f"i{gate}.kernel": permute(part(ih, 0, *rows[gate]), 1, 0) for gate in gates}
    there |= {f"h{gate}.kernel": permute(part(hh, 0, *rows[gate]), 1, 0) for gate in gates}
    there |= {f"i{gate}.bias": made for gate, made in summed.items()}
    there |= {"in.bias": part(b_ih, 0, *rows["n"]), "hn.bias": part(b_hh, 0, *rows["n"])}
    layers = {f"i{gate}": _gate(f"i{gate}", features, hidden, bias=True) for gate in gates}
    layers |= {f"h{gate}": _gate(f"h{gate}", hidden, hidden, bias=gate == "n") for gate in gates}
    dense = {
        "dense_h": [Leaf(name="dense_h.kernel", shape=(hidden, 3 * hidden))],
        "dense_i": [
            Leaf(name="dense_i.bias", shape=(3 * hidden,)),
            Leaf(name="dense_i.kernel", shape=(features, 3 * hidden)),
        ],
    }
    sides = {
        "torch": _torch(3, features, hidden, "l0", biases),
        "linen": _flax("gru", layers, LINEAR[1], CLASSES["gru"][1]),
        "nnx": _flax("gru", dense, LINEAR[2], CLASSES["gru"][2]),
    }
    into_linen: dict[str, Made] = {"hn.bias": fill("float32", hidden)}
    for gate in gates:
        into_linen[f"i{gate}.kernel"] = part("dense_i.kernel", 1, *rows[gate])
        into_linen[f"h{gate}.kernel"] = part("dense_h.kernel", 1, *rows[gate])
        into_linen[f"i{gate}.bias"] = part("dense_i.bias", 0, *rows[gate])
    return Layer(
        sides,
        {
            ("torch", "linen"): there,
            ("linen", "torch"): {
                ih: join(0, *(permute(f"i{gate}.kernel", 1, 0) for gate in gates)),
                hh: join(0, *(permute(f"h{gate}.kernel", 1, 0) for gate in gates)),
                b_ih: join(0, *(f"i{gate}.bias" for gate in gates)),
                b_hh: join(0, fill("float32", 2 * hidden), "hn.bias"),
            },
            ("torch", "nnx"): {
                "dense_i.kernel": permute(ih, 1, 0),
                "dense_h.kernel": permute(hh, 1, 0),
                "dense_i.bias": join(0, summed["r"], summed["z"], there["in.bias"]),
            },
            ("nnx", "torch"): {
                ih: permute("dense_i.kernel", 1, 0),
                hh: permute("dense_h.kernel", 1, 0),
                b_ih: "dense_i.bias",
                b_hh: fill("float32", 3 * hidden),
            },
            ("linen", "nnx"): {
                "dense_i.kernel": join(1, *(f"i{gate}.kernel" for gate in gates)),
                "dense_h.kernel": join(1, *(f"h{gate}.kernel" for gate in gates)),
                "dense_i.bias": join(0, *(f"i{gate}.bias" for gate in gates)),
            },
            ("nnx", "linen"): into_linen,
        },
    )


def rnn(features: int, hidden: int, biases: Biases, dtype: str = "float32") -> Layer:
    """One gate, and one bias in Flax for torch's two."""
    facts = {"dtype": dtype}
    layers = {
        "i": _gate("i", features, hidden, bias=True, **facts),
        "h": _gate("h", hidden, hidden, bias=False, **facts),
    }
    named = {
        f"dense_{name}": [replace(leaf, name=f"dense_{leaf.name}") for leaf in leaves]
        for name, leaves in layers.items()
    }
    sides = {
        "torch": _torch(1, features, hidden, "l0", biases, ("hidden in", "hidden inner", "hidden"), dtype),
        "linen": _flax("rnn", layers, LINEAR[1], CLASSES["rnn"][1]),
        "nnx": _flax("rnn", named, LINEAR[2], CLASSES["rnn"][2]),
    }
    there = {
        "i.kernel": permute("weight_ih_l0", 1, 0),
        "h.kernel": permute("weight_hh_l0", 1, 0),
        "i.bias": add_up("bias_ih_l0", "bias_hh_l0"),
    }

    def back(prefix: str) -> dict[str, Made]:
        return {
            "weight_ih_l0": permute(f"{prefix}i.kernel", 1, 0),
            "weight_hh_l0": permute(f"{prefix}h.kernel", 1, 0),
            "bias_ih_l0": f"{prefix}i.bias",
            "bias_hh_l0": fill(dtype, hidden),
        }

    return Layer(
        sides,
        {
            ("torch", "linen"): there,
            ("torch", "nnx"): {f"dense_{name}": made for name, made in there.items()},
            ("linen", "torch"): back(""),
            ("nnx", "torch"): back("dense_"),
            ("linen", "nnx"): {f"dense_{name}": name for name in there},
            ("nnx", "linen"): {name: f"dense_{name}" for name in there},
        },
    )
