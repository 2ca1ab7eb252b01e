"""Entries of trees with integers among their keys, and what nnx makes of the files that hold them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checks import raised
from flax import nnx

from ptformat import Alias, Node, TensorInfo, Writer
from ptformat.converters.content import MemorySource
from ptformat.converters.described import settled
from ptformat.converters.keyed import entries, numbered, path_of
from ptformat.flax import load_file, load_model


class Net(nnx.Module):
    """Numbers with a gap, running statistics, a Variable at two places, a generator."""

    def __init__(self, seed: int = 0) -> None:
        rngs = nnx.Rngs(seed)
        self.seq = nnx.Sequential(nnx.Linear(4, 8, rngs=rngs), nnx.relu, nnx.Linear(8, 8, use_bias=False, rngs=rngs))
        self.norm = nnx.BatchNorm(8, use_scale=False, use_bias=False, rngs=rngs)
        self.tied = nnx.Linear(8, 8, use_bias=False, rngs=rngs)
        self.tied.kernel = self.seq.layers[2].kernel
        self.drop = nnx.Dropout(0.5, rngs=rngs)


def param(*shape: int) -> TensorInfo:
    return TensorInfo("", "float32", shape, role="parameter", class_="flax.nnx.Param")


def stat(*shape: int) -> TensorInfo:
    return TensorInfo("", "float32", shape, role="buffer", class_="flax.nnx.BatchStat")


LEAVES: dict[tuple[str | int, ...], Any] = {
    ("seq", "layers", 0, "kernel"): param(4, 8),
    ("norm", "mean"): stat(8),
    ("seq", "layers", 0, "bias"): param(8),
    ("seq", "layers", 2, "kernel"): param(8, 8),
    ("norm", "var"): stat(8),
    ("tied", "kernel"): Alias("", "seq.layers.2.kernel"),
}


def write(path: Path, made: list[Any]) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    arrays = {e.path: rng.normal(size=e.shape).astype("f4") for e in made if isinstance(e, TensorInfo)}
    with Writer(path, convention="flax.nnx") as out:
        for entry in made:
            out.add(entry, arrays.get(entry.path))
    return arrays


def test_the_entries() -> None:
    made = entries(
        LEAVES, [Node("norm", module="batch_norm", class_="flax.nnx.BatchNorm"), Node("nothing", class_="x")]
    )
    assert [(entry.path, type(entry).__name__) for entry in made] == [
        ("", "Node"),
        ("seq.layers", "Node"),
        ("seq.layers.0.kernel", "TensorInfo"),
        ("seq.layers.0.bias", "TensorInfo"),
        ("seq.layers.2.kernel", "TensorInfo"),
        ("norm", "Node"),
        ("norm.mean", "TensorInfo"),
        ("norm.var", "TensorInfo"),
        ("tied.kernel", "Alias"),
    ]
    assert made[:2] == [Node("", class_="flax.nnx.State"), Node("seq.layers", "keys", keys=(0, 2))]
    assert made[5] == Node("norm", module="batch_norm", class_="flax.nnx.BatchNorm")
    assert [entry.path for entry in settled(made)] == [entry.path for entry in made]
    assert entries({(0, "w"): param(1), ("a", 3): param(2)}, [Node("", class_="flax.nnx.List")])[0] == Node(
        "", "keys", (0, "a"), class_="flax.nnx.List"
    )


def test_a_state_for_update(tmp_path: Path) -> None:
    arrays = write(tmp_path / "n.ptf", entries(LEAVES))
    state = load_file(tmp_path / "n.ptf")
    assert type(state) is nnx.State
    assert list(state["seq"]["layers"]) == [0, 2]
    assert type(state["norm"]["mean"]) is nnx.BatchStat
    assert state["tied"]["kernel"] is state["seq"]["layers"][2]["kernel"]
    net = Net()
    nnx.update(net, state)
    assert np.array_equal(net.seq.layers[2].kernel[...], arrays["seq.layers.2.kernel"])
    assert np.array_equal(net.norm.var[...], arrays["norm.var"])
    assert net.tied.kernel is net.seq.layers[2].kernel


@pytest.mark.parametrize("classes", [True, False])
def test_a_module_takes_them(classes: bool, tmp_path: Path) -> None:
    leaves = dict(LEAVES)
    if not classes:  # a module asks for names, shapes and types only, and for ties that are its own
        leaves = {k: TensorInfo("", v.dtype, v.shape) if isinstance(v, TensorInfo) else v for k, v in leaves.items()}
    arrays = write(tmp_path / "n.ptf", entries(leaves))
    net = load_model(Net(3), tmp_path / "n.ptf", rng_state="keep")
    assert np.array_equal(net.seq.layers[0].kernel[...], arrays["seq.layers.0.kernel"])
    assert net.tied.kernel is net.seq.layers[2].kernel
    assert raised("MISMATCH", lambda: load_model(Net(3), tmp_path / "n.ptf")).problems == (
        "missing     'drop.rngs.count': uint32 () in the module, not in the file",
        "missing     'drop.rngs.key': uint32 (2,) in the module, not in the file",
    )
    apart = entries(leaves | {("tied", "kernel"): param(8, 8)})
    write(tmp_path / "n.ptf", apart)
    assert (
        raised("MISMATCH", lambda: load_model(Net(3), tmp_path / "n.ptf", rng_state="keep"))
        .problems[0]
        .startswith("tie         'tied.kernel': apart from 'seq.layers.2.kernel' in the file")
    )


def test_keys_of_segments() -> None:
    assert numbered(("layers", "0", "10", "01", "-1", "²", "a1")) == ("layers", 0, 10, "01", "-1", "²", "a1")
    assert path_of(("a.b", 0, "w")) == r"a\.b.0.w"


def test_keys_with_dots_come_back(tmp_path: Path) -> None:
    made = entries({("heads", "a.b", 0): param(2), ("heads", "c", 0): param(1)})
    write(tmp_path / "n.ptf", made)
    state = load_file(tmp_path / "n.ptf")
    assert {key: list(inner) for key, inner in state["heads"].items()} == {"a.b": [0], "c": [0]}


def test_what_is_no_tree() -> None:
    for leaves in ({("a",): param(1), ("a", "b"): param(1)}, {("a", "b"): param(1), ("a",): param(1)}):
        assert "a leaf that has others beneath it" in raised("TREE", lambda given=leaves: entries(given)).message
    for beneath in ((), ("w",)):
        leaves = {("a", 0, *beneath): param(1), ("a", "0", "v"): param(2)}
        twice = raised("TREE", lambda given=leaves: entries(given))
        assert twice.message == "'a.0': a number and its text in one map"
    assert MemorySource([(entry, None) for entry in entries({})]).entries == [Node("", "map", class_="flax.nnx.State")]
