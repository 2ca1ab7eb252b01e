"""ptformat.flax: nnx States, Variables and modules."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import optax
import pytest
from checks import entries, raised
from flax import nnx
from jax.sharding import PartitionSpec

import ptformat
import ptformat.backing
from ptformat.flax import load, load_file, load_model, save, save_file, save_model
from ptformat.flax.placing import described_entries
from ptformat.flax.states import VARIABLES


def bits(leaf: Any) -> tuple[str, tuple[int, ...], bytes]:
    """Element type, shape and bytes; of keys those of their data."""
    name = str(leaf.dtype)
    array = np.asarray(jax.random.key_data(leaf) if name.startswith("key<") else leaf)
    return name, leaf.shape, array.tobytes()


def snapshot(module: Any) -> dict[tuple[Any, ...], Any]:
    """Path -> class, metadata and bits of every Variable, bits of every array."""
    found = {}
    for path, leaf in nnx.to_flat_state(nnx.state(module)):
        if isinstance(leaf, nnx.Variable):
            found[path] = leaf.var_type, leaf.get_metadata(), bits(leaf.get_value())
        else:
            found[path] = bits(leaf)
    return found


def sequential(seed: int = 0) -> nnx.Sequential:
    rngs = nnx.Rngs(seed)
    return nnx.Sequential(nnx.Linear(4, 8, rngs=rngs), nnx.relu, nnx.Linear(8, 1, rngs=rngs))


def shared(seed: int = 0) -> nnx.Sequential:
    """Positions 2 and 4 hold one and the same Linear."""
    rngs = nnx.Rngs(seed)
    twice = nnx.Linear(8, 8, rngs=rngs)
    first, last = nnx.Linear(4, 8, rngs=rngs), nnx.Linear(8, 1, rngs=rngs)
    return nnx.Sequential(first, nnx.relu, twice, nnx.relu, twice, nnx.relu, last)


class Net(nnx.Module):
    """One of each kind, a list, a dict, random and running state."""

    def __init__(self, seed: int, dtype: Any = jnp.float32) -> None:
        rngs = nnx.Rngs(seed, dropout=jax.random.key(seed + 1, impl="rbg"))
        self.embed = nnx.Embed(7, 4, rngs=rngs)
        self.conv = nnx.Conv(2, 4, (3, 5), strides=2, padding=((1, 1), (2, 2)), feature_group_count=2, rngs=rngs)
        self.flat = nnx.Conv(4, 3, (2,), padding="VALID", rngs=rngs)
        self.linear = nnx.Linear(4, 6, use_bias=False, param_dtype=dtype, rngs=rngs)
        self.layer = nnx.LayerNorm(6, epsilon=1e-3, use_bias=False, rngs=rngs)
        self.rms = nnx.RMSNorm(6, epsilon=1e-2, rngs=rngs)
        self.group = nnx.GroupNorm(4, num_groups=2, rngs=rngs)
        self.batch = nnx.BatchNorm(4, momentum=0.8, rngs=rngs)
        self.dropout = nnx.Dropout(0.5, rngs=rngs)
        self.blocks = nnx.List([nnx.Linear(2, 2, rngs=rngs) for _ in range(11)])
        self.heads = nnx.Dict({"a.b": nnx.Linear(1, 2, rngs=rngs), "c": nnx.Param(jnp.ones(3))})


# States


@pytest.mark.parametrize("codec", ["raw", "zstd"])
def test_a_state_comes_back_by_bits(codec: str, tmp_path: Path) -> None:
    net = Net(0, jnp.bfloat16)
    net.dropout(jnp.ones(2))
    state = nnx.state(net)
    save_file(state, tmp_path / "x.ptf", codec=codec)
    loaded = load_file(tmp_path / "x.ptf")
    assert type(loaded) is nnx.State
    assert snapshot(loaded) == snapshot(net)
    assert loaded["linear"]["kernel"].get_value().dtype == jnp.bfloat16
    assert loaded["dropout"]["rngs"]["count"].get_value() == 1
    assert list(loaded["blocks"]) == list(range(11))
    assert jax.tree.structure(loaded) == jax.tree.structure(state)
    with ptformat.open(tmp_path / "x.ptf") as file:
        assert file.convention == "flax.nnx"
    assert snapshot(load(save(state, codec=codec), verify=True)) == snapshot(net)
    nnx.update(other := Net(5, jnp.bfloat16), loaded)
    assert snapshot(other) == snapshot(net)
    assert other.dropout(jnp.ones(99)).tolist() == net.dropout(jnp.ones(99)).tolist()


def test_what_is_said_of_variables(tmp_path: Path) -> None:
    save_file(nnx.state(Net(0)), tmp_path / "x.ptf")
    found = entries(tmp_path / "x.ptf")
    assert found[""].class_ == "flax.nnx.State"
    assert (found["blocks"].form, found["blocks"].keys) == ("keys", tuple(range(11)))
    tensors = [entry for entry in found.values() if isinstance(entry, ptformat.TensorInfo)]
    said = {entry.path: (entry.class_, entry.role, entry.attrs) for entry in tensors}
    assert said["linear.kernel"] == ("flax.nnx.Param", "parameter", None)
    assert said["batch.mean"] == ("flax.nnx.BatchStat", "buffer", None)
    tag = {"metadata": {"tag": "dropout"}}
    assert said["dropout.rngs.count"] == ("flax.nnx.RngCount", "state", tag)
    assert said["dropout.rngs.key"] == ("flax.nnx.RngKey", "state", {"impl": "rbg", **tag})
    assert (found["dropout.rngs.key"].dtype, found["dropout.rngs.key"].shape) == ("uint32", (4,))


def test_pure_dicts_keep_integer_keys(tmp_path: Path) -> None:
    pure = nnx.to_pure_dict(nnx.state(Net(0)))
    save_file(pure, tmp_path / "x.ptf")
    loaded = load_file(tmp_path / "x.ptf")
    assert type(loaded) is dict
    assert jax.tree.structure(loaded) == jax.tree.structure(pure)
    assert list(map(bits, jax.tree.leaves(loaded))) == list(map(bits, jax.tree.leaves(pure)))
    assert [type(key) for key in loaded["blocks"]] == [int] * 11
    with ptformat.open(tmp_path / "x.ptf") as file:
        assert file.convention == "flax.nnx"
    save_file({"params": {"w": jnp.ones(1)}, "opt": {0: jnp.ones(1)}}, tmp_path / "x.ptf")
    with ptformat.open(tmp_path / "x.ptf") as file:
        assert file.convention == "flax.linen"


class Own(nnx.Cache):
    """A user's class of Variables."""


def test_metadata_classes_and_values_of_variables(tmp_path: Path) -> None:
    with nnx.use_eager_sharding(False):
        split = nnx.Param(jnp.ones((2, 3)), out_sharding=("data", None))
        spec = nnx.Param(jnp.ones((2, 3)), out_sharding=PartitionSpec(("a", "b"), None), note=print)
    tree = {
        "split": split,
        "spec": spec,
        "own": Own(jnp.ones(2), tag="x", count=3),
        "ref": nnx.Param(jnp.arange(3.0), ref=True),
        "hijax": nnx.Param(jnp.arange(4.0), hijax=True),
        "keys": nnx.Variable(jax.random.split(jax.random.key(3), (2, 2))),
        "number": nnx.Variable(3),
        "tree": nnx.Intermediate(({"a": jnp.ones(1)}, None, "text")),
        "numpy": nnx.Param(np.ones(2, ml_dtypes.bfloat16)),
    }
    save_file(tree, tmp_path / "x.ptf")
    found = entries(tmp_path / "x.ptf")
    assert found["spec"].attrs == {
        "metadata": {"out_sharding": {"partition_spec": [["a", "b"], None]}, "eager_sharding": False}
    }
    assert (found["own"].class_, found["own"].role) == (f"{__name__}.Own", "state")
    assert found["own"].attrs == {"base": "flax.nnx.Cache", "metadata": {"tag": "x", "count": 3}}
    assert found["number"].class_ == "flax.nnx.Variable"
    assert found["number.value"].value == 3
    loaded = load_file(tmp_path / "x.ptf")
    assert list(loaded) == list(tree)
    assert [leaf.var_type for leaf in loaded.values()] == [
        nnx.Cache if leaf.var_type is Own else leaf.var_type for leaf in tree.values()
    ]
    assert type(load_file(tmp_path / "x.ptf", types=[Own])["own"]) is Own
    assert loaded["split"].get_metadata() == split.get_metadata()
    assert loaded["spec"].out_sharding == PartitionSpec(("a", "b"), None)
    assert "note" not in loaded["spec"].get_metadata()
    assert isinstance(loaded["ref"].get_raw_value(), jax.Ref)
    assert loaded["ref"][...].tolist() == [0, 1, 2]
    assert loaded["hijax"].hijax
    assert loaded["hijax"][...].tolist() == [0, 1, 2, 3]
    assert bits(loaded["keys"].get_value()) == bits(tree["keys"].get_value())
    assert type(loaded["number"].get_value()) is int
    inner = loaded["tree"].get_value()
    assert (type(inner), inner[0]["a"].tolist(), inner[1:]) == (tuple, [1], (None, "text"))
    assert bits(loaded["numpy"].get_value()) == bits(tree["numpy"].get_value())


def test_every_class_of_variable_is_known() -> None:
    tree = {name: kind(jnp.ones(1)) for name, kind in VARIABLES.items()}
    loaded = load(save({f"v{i}": variable for i, variable in enumerate(tree.values())}))
    assert [type(variable) for variable in loaded.values()] == list(VARIABLES.values())
    assert {"flax.nnx.Param", "flax.nnx.BatchStat", "flax.nnx.Cache", "flax.nnx.RngKey"} <= set(VARIABLES)


def test_shared_variables_stay_shared(tmp_path: Path) -> None:
    one, array = nnx.Param(jnp.ones(2)), jnp.zeros(3)
    tree = {"a": one, "b": [one, nnx.Param(array)], "c": nnx.Param(array), "d": nnx.State({"e": {0: one}})}
    save_file(tree, tmp_path / "x.ptf")
    found = entries(tmp_path / "x.ptf")
    aliases = {path: entry.target for path, entry in found.items() if isinstance(entry, ptformat.Alias)}
    assert aliases == {"b.0": "a", "d.e.0": "a"}
    loaded = load_file(tmp_path / "x.ptf")
    assert loaded["a"] is loaded["b"][0]
    assert loaded["a"] is loaded["d"]["e"][0]
    assert loaded["c"] is not loaded["b"][1]
    assert type(loaded["d"]) is nnx.State
    loaded["a"][...] = jnp.full(2, 7.0)
    assert loaded["b"][0][...].tolist() == [7, 7]


def test_an_optimizer_state(tmp_path: Path) -> None:
    def made(seed: int) -> nnx.Optimizer[Any]:
        return nnx.Optimizer(sequential(seed), optax.adam(1e-2), wrt=nnx.Param)

    model, optimizer = sequential(), made(0)
    optimizer.update(model, jax.tree.map(jnp.ones_like, nnx.state(model)))
    save_file({"model": nnx.state(model), "opt": nnx.state(optimizer), "epoch": 3}, tmp_path / "x.ptf")
    loaded = load_file(tmp_path / "x.ptf")
    assert loaded["epoch"] == 3
    assert snapshot(loaded["opt"]) == snapshot(optimizer)
    assert snapshot(loaded["model"]) == snapshot(model)
    save_model(optimizer, tmp_path / "o.ptf")
    assert snapshot(load_model(made(1), tmp_path / "o.ptf")) == snapshot(optimizer)
    assert entries(tmp_path / "o.ptf")["opt_state.0.mu.layers.0.kernel"].class_ == "flax.nnx.OptVariable"


def test_a_state_is_restored_in_the_types_of_another(tmp_path: Path) -> None:
    def tree(seed: int) -> dict[str, Any]:
        state = nnx.state(Net(seed))
        return {
            "state": state,
            "again": state["linear"]["kernel"],
            "own": Own(jnp.full(2, seed)),
            "n": nnx.Variable(seed),
        }

    save_file(tree(0), tmp_path / "x.ptf")
    like = tree(1)
    loaded = load_file(tmp_path / "x.ptf", like=like)
    assert snapshot(loaded["state"]) == snapshot(tree(0)["state"])
    assert type(loaded["state"]) is nnx.State
    assert loaded["again"] is loaded["state"]["linear"]["kernel"]
    assert (type(loaded["own"]), loaded["own"][...].tolist()) == (Own, [0, 0])
    assert loaded["n"].get_value() == 0
    assert snapshot(like["state"]) == snapshot(tree(1)["state"])
    apart = {**tree(0), "again": nnx.Param(jnp.ones((4, 6)))}
    save_file(apart, tmp_path / "x.ptf")
    error = raised("MISMATCH", lambda: load_file(tmp_path / "x.ptf", like=like))
    assert len(error.problems) == 1
    assert error.problems[0].startswith("tie ")


def test_one_error_names_all_that_cannot_be_saved(tmp_path: Path) -> None:
    number, deleted = nnx.Variable(3), nnx.Param(jnp.ones(2) + 1)
    deleted.get_raw_value().delete()
    tree = {
        "deleted": deleted,
        "number": number,
        "again": number,
        "shape": nnx.Param(jax.ShapeDtypeStruct((2,), np.float32)),
        "module": nnx.Linear(1, 1, rngs=nnx.Rngs(0)),
        "object": nnx.Variable(object()),
    }
    error = raised("TYPE", lambda: save_file(tree, tmp_path / "x.ptf"))
    assert error.problems == (
        "'deleted': an array whose memory was donated or deleted",
        "'again': the Variable at 'number' again, and its value is no array",
        "'shape': a jax.ShapeDtypeStruct is no array, value or container",
        "'module': a flax.nnx.nn.linear.Linear is no array, value or container",
        "'object.value': a builtins.object is no array, value or container",
    )
    assert list(tmp_path.iterdir()) == []


def test_arrays_lie_in_the_private_map(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = sequential()
    save_model(module, tmp_path / "m.ptf")
    before = (tmp_path / "m.ptf").read_bytes()
    maps = []
    original = ptformat.backing.map_file

    def spy(*args: Any, **kwargs: Any) -> Any:
        maps.append(original(*args, **kwargs))
        return maps[-1]

    monkeypatch.setattr("ptformat.backing.map_file", spy)
    kernels = [
        load_file(tmp_path / "m.ptf")["layers"][0]["kernel"],
        load_model(module, tmp_path / "m.ptf").layers[0].kernel,
    ]
    for buffer, kernel in zip(maps, kernels, strict=True):
        start = np.frombuffer(buffer, np.uint8).ctypes.data
        assert kernel.get_raw_value().unsafe_buffer_pointer() == start + 128
        assert not kernel.get_raw_value().committed
    double = jax.jit(lambda w: w * 2, donate_argnums=0)
    double(module.layers[0].kernel.get_raw_value())
    assert (tmp_path / "m.ptf").read_bytes() == before


def test_a_module_is_loaded_without_a_map(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module, fresh = sequential(), sequential(1)
    save_model(module, tmp_path / "m.ptf")
    monkeypatch.setattr("ptformat.backing.map_file", pytest.fail)
    load_model(fresh, tmp_path / "m.ptf", mapped=False)
    os.truncate(tmp_path / "m.ptf", 100)
    assert snapshot(fresh) == snapshot(module)


# Modules


def test_kinds_attributes_and_axes_are_recorded(tmp_path: Path) -> None:
    save_model(Net(0), tmp_path / "m.ptf")
    found = entries(tmp_path / "m.ptf")
    nodes = {p: (e.module, e.class_, e.attrs) for p, e in found.items() if isinstance(e, ptformat.Node)}
    conv = {"input_dilation": 1, "kernel_dilation": 1}
    norm = {"reduction_axes": -1, "feature_axes": -1, "use_fast_variance": True}
    blocks = {f"blocks.{i}": ("linear", "flax.nnx.Linear", None) for i in range(11)}
    assert nodes == {
        "": (None, f"{__name__}.Net", None),
        "embed": ("embedding", "flax.nnx.Embed", None),
        "conv": (
            "conv",
            "flax.nnx.Conv",
            {"kernel_size": [3, 5], "strides": 2, "padding": [[1, 1], [2, 2]], "feature_group_count": 2, **conv},
        ),
        "flat": (
            "conv",
            "flax.nnx.Conv",
            {"kernel_size": [2], "strides": 1, "padding": "VALID", "feature_group_count": 1, **conv},
        ),
        "linear": ("linear", "flax.nnx.Linear", None),
        "layer": ("layer_norm", "flax.nnx.LayerNorm", {"epsilon": 1e-3, **norm}),
        "rms": ("rms_norm", "flax.nnx.RMSNorm", {"epsilon": 1e-2, **norm}),
        "group": (
            "group_norm",
            "flax.nnx.GroupNorm",
            {"num_groups": 2, "group_size": 2, "epsilon": 1e-6, "use_fast_variance": True},
        ),
        "batch": (
            "batch_norm",
            "flax.nnx.BatchNorm",
            {"epsilon": 1e-5, "momentum": 0.8, "axis": -1, "use_fast_variance": True},
        ),
        "dropout": (None, "flax.nnx.Dropout", None),
        "dropout.rngs": (None, "flax.nnx.RngStream", None),
        "blocks": (None, "flax.nnx.List", None),
        **blocks,
        "heads": (None, "flax.nnx.Dict", None),
        "heads.a.b": ("linear", "flax.nnx.Linear", None),
    }
    axes = {p: e.axes for p, e in found.items() if isinstance(e, ptformat.TensorInfo) and e.axes}
    assert {p: a for p, a in axes.items() if not p.startswith("blocks")} == {
        "embed.embedding": ("num", "features"),
        "conv.kernel": ("y", "x", "in", "out"),
        "conv.bias": ("out",),
        "flat.kernel": ("x", "in", "out"),
        "flat.bias": ("out",),
        "linear.kernel": ("in", "out"),
        "layer.scale": ("features",),
        "rms.scale": ("features",),
        "group.scale": ("features",),
        "group.bias": ("features",),
        "batch.scale": ("features",),
        "batch.bias": ("features",),
        "batch.mean": ("features",),
        "batch.var": ("features",),
        "heads.a.b.kernel": ("in", "out"),
        "heads.a.b.bias": ("out",),
    }
    assert found["blocks"].keys == tuple(range(11))
    assert found["heads"].form == "flat"


def test_the_exact_tree_of_the_nets(tmp_path: Path) -> None:
    save_model(sequential(), tmp_path / "m.ptf")
    leaves = {path: e.shape for path, e in entries(tmp_path / "m.ptf").items() if isinstance(e, ptformat.TensorInfo)}
    assert leaves == {
        "layers.0.bias": (8,),
        "layers.0.kernel": (4, 8),
        "layers.2.bias": (1,),
        "layers.2.kernel": (8, 1),
    }
    save_model(shared(), tmp_path / "m.ptf")
    found = entries(tmp_path / "m.ptf")
    assert list(found) == [
        "",
        "layers",
        "layers.0",
        "layers.0.bias",
        "layers.0.kernel",
        "layers.2",
        "layers.2.bias",
        "layers.2.kernel",
        "layers.4",
        "layers.4.bias",
        "layers.4.kernel",
        "layers.6",
        "layers.6.bias",
        "layers.6.kernel",
    ]
    assert found["layers"].keys == (0, 2, 4, 6)
    assert [found[f"layers.4.{name}"].target for name in ("bias", "kernel")] == ["layers.2.bias", "layers.2.kernel"]
    assert found["layers.4"].module == "linear"
    assert found["layers.4.kernel"].axes == ("in", "out")


def test_a_shared_layer_stays_shared(tmp_path: Path) -> None:
    module, x = shared(0), jnp.linspace(-1, 1, 8).reshape(2, 4)
    save_model(module, tmp_path / "m.ptf")
    other = shared(1)
    variable = other.layers[2].kernel
    assert not np.array_equal(other(x), module(x))
    assert load_model(other, tmp_path / "m.ptf") is other
    assert np.array_equal(other(x), module(x))
    assert snapshot(other) == snapshot(module)
    assert other.layers[4] is other.layers[2]
    assert other.layers[4].kernel is variable  # in place
    other.layers[4].kernel[...] = jnp.zeros((8, 8))
    assert not other.layers[2].kernel[...].any()
    abstract = nnx.eval_shape(lambda: shared(1))
    made = load_model(abstract, tmp_path / "m.ptf")
    assert np.array_equal(made(x), module(x))
    assert made.layers[4] is made.layers[2]
    assert isinstance(abstract.layers[0].kernel.get_raw_value(), jax.ShapeDtypeStruct)
    # A State holds a shared Variable once, and that will do.
    save_file(nnx.state(module), tmp_path / "s.ptf")
    assert snapshot(load_model(shared(2), tmp_path / "s.ptf")) == snapshot(module)


@pytest.mark.parametrize("codec", ["raw", "zstd"])
@pytest.mark.parametrize("abstract", [False, True])
def test_a_module_comes_back(codec: str, abstract: bool, tmp_path: Path) -> None:
    net = Net(0, jnp.bfloat16)
    net.dropout(jnp.ones(3))
    save_model(net, tmp_path / "m.ptf", codec=codec, metadata={"by": "test"})
    target = nnx.eval_shape(lambda: Net(1, jnp.bfloat16)) if abstract else Net(1, jnp.bfloat16)
    loaded = load_model(target, tmp_path / "m.ptf", verify=True)
    assert (loaded is target) == (not abstract)
    assert snapshot(loaded) == snapshot(net)
    before = (tmp_path / "m.ptf").read_bytes()
    save_model(loaded, tmp_path / "m.ptf", codec=codec, metadata={"by": "test"})
    assert (tmp_path / "m.ptf").read_bytes() == before
    assert snapshot(nnx.State(load_file(tmp_path / "m.ptf"))) == snapshot(net)


def test_random_state_is_kept_or_dropped(tmp_path: Path) -> None:
    net = Net(0)
    net.dropout(jnp.ones(3))
    save_model(net, tmp_path / "with.ptf")
    save_model(net, tmp_path / "without.ptf", rng_state="drop")
    gone = {"dropout", "dropout.rngs", "dropout.rngs.count", "dropout.rngs.key"}
    assert set(entries(tmp_path / "with.ptf")) - set(entries(tmp_path / "without.ptf")) == gone
    error = raised("MISMATCH", lambda: load_model(Net(1), tmp_path / "without.ptf"))
    assert error.problems == (
        "missing     'dropout.rngs.count': uint32 () in the module, not in the file",
        "missing     'dropout.rngs.key': uint32 (4,) in the module, not in the file",
    )
    for name in ("with.ptf", "without.ptf"):
        other = Net(1)
        rngs = snapshot(other.dropout)
        load_model(other, tmp_path / name, rng_state="keep")
        assert snapshot(other.dropout) == rngs
        assert snapshot(other.blocks) == snapshot(net.blocks)
    error = raised(
        "MISMATCH", lambda: load_model(nnx.eval_shape(lambda: Net(1)), tmp_path / "with.ptf", rng_state="keep")
    )
    assert error.problems == (
        "abstract    'dropout.rngs.count': to be kept from the module, which has only its shape",
        "abstract    'dropout.rngs.key': to be kept from the module, which has only its shape",
    )


def attention(seed: int) -> nnx.MultiHeadAttention:
    return nnx.MultiHeadAttention(num_heads=2, in_features=6, decode=True, rngs=nnx.Rngs(seed))


def test_a_cache_is_kept_or_dropped(tmp_path: Path) -> None:
    module, x = attention(0), jnp.linspace(0, 1, 12).reshape(2, 1, 6)
    module.init_cache((2, 5, 6))
    module(x)
    save_model(module, tmp_path / "with.ptf")
    save_model(module, tmp_path / "without.ptf", cache="drop")
    found = entries(tmp_path / "with.ptf")
    caches = {path for path, entry in found.items() if getattr(entry, "class_", "") == "flax.nnx.Cache"}
    assert caches == {"cache_index", "cached_key", "cached_value"}
    assert found["cached_key"].role == "state"
    assert set(found) - set(entries(tmp_path / "without.ptf")) == caches
    assert found["query"].class_ == "flax.nnx.LinearGeneral"
    other = attention(1)
    other.init_cache((2, 5, 6))
    load_model(other, tmp_path / "with.ptf")
    assert other.cache_index[...] == 1
    assert np.array_equal(other(x), module(x))
    fresh = attention(1)
    fresh.init_cache((3, 4, 6))
    load_model(fresh, tmp_path / "with.ptf", cache="keep")
    assert (fresh.cache_index[...], fresh.cached_key.get_value().shape) == (0, (3, 4, 2, 3))
    assert np.array_equal(fresh.query.kernel[...], module.query.kernel[...])
    bare = attention(1)  # without a cache of its own
    load_model(bare, tmp_path / "with.ptf", cache="keep")
    assert np.array_equal(bare.query.kernel[...], module.query.kernel[...])
    error = raised("MISMATCH", lambda: load_model(fresh, tmp_path / "without.ptf"))
    assert [problem.split()[1] for problem in error.problems] == ["'cache_index':", "'cached_key':", "'cached_value':"]


def test_unknown_policies_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="rng_state='load', expected 'keep' or 'drop'"):
        save_model(sequential(), tmp_path / "m.ptf", rng_state="load")
    save_model(sequential(), tmp_path / "m.ptf")
    with pytest.raises(ValueError, match="cache='drop', expected 'load' or 'keep'"):
        load_model(sequential(), tmp_path / "m.ptf", cache="drop")
    with pytest.raises(TypeError):
        load_model(sequential(), tmp_path / "m.ptf", jnp.ones((1, 4)))


class Odd(nnx.Module):
    """Arrays and values in and out of Variables."""

    def __init__(self, seed: int) -> None:
        generator = np.random.default_rng(seed)
        self.raw = jnp.asarray(generator.random(3, np.float32))
        self.wide = generator.random(2)  # float64: a NumPy array stays one
        self.listed = nnx.data([nnx.Param(jnp.full(2, seed)), {3: jnp.full(1, seed)}])
        self.number = nnx.Variable(seed)
        self.pytree = nnx.Variable({"a": (jnp.full(2, seed), seed), "b": {7: None}})
        self.ref = nnx.Param(jnp.full(2, float(seed)), ref=True)
        self.data = nnx.data(seed)
        self.size = 4


def test_arrays_and_values_of_a_module(tmp_path: Path) -> None:
    save_model(Odd(5), tmp_path / "m.ptf")
    odd = Odd(6)
    ref = odd.ref.get_raw_value()
    load_model(odd, tmp_path / "m.ptf")
    wanted = Odd(5)
    assert bits(odd.raw) == bits(wanted.raw)
    assert type(odd.wide) is np.ndarray
    assert bits(odd.wide) == bits(wanted.wide)
    assert odd.listed[0][...].tolist() == [5, 5]
    assert odd.listed[1][3].tolist() == [5]
    assert (odd.number.get_value(), odd.data, odd.size) == (5, 5, 4)
    value = odd.pytree.get_value()
    assert (value["a"][0].tolist(), value["a"][1], value["b"]) == ([5, 5], 5, {7: None})
    assert odd.ref.get_raw_value() is ref
    assert ref[...].tolist() == [5, 5]


def test_an_abstract_module_with_an_array_of_its_own(tmp_path: Path) -> None:
    class Small(nnx.Module):
        def __init__(self) -> None:
            self.raw = jnp.arange(3)
            self.weight = nnx.Param(jnp.ones(2))

    save_model(Small(), tmp_path / "m.ptf")
    abstract = nnx.eval_shape(Small)
    made = load_model(abstract, tmp_path / "m.ptf")
    assert made.raw.tolist() == [0, 1, 2]
    assert snapshot(made) == snapshot(Small())
    found = [entry for entry, _ in described_entries(abstract, shapes=True)]
    said = [(entry.path, entry.dtype, entry.shape) for entry in found if isinstance(entry, ptformat.TensorInfo)]
    assert said == [("raw", "int32", (3,)), ("weight", "float32", (2,))]
    assert len(raised("TYPE", lambda: save_model(abstract, tmp_path / "m.ptf")).problems) == 2


def test_a_subclass_and_stacked_layers_have_no_kind(tmp_path: Path) -> None:
    class Sub(nnx.Linear):
        pass

    @nnx.vmap(in_axes=0)
    def stacked(key: Any) -> nnx.Linear:
        return nnx.Linear(2, 3, rngs=nnx.Rngs(key))

    class Both(nnx.Module):
        def __init__(self, seed: int) -> None:
            self.sub = Sub(2, 3, rngs=nnx.Rngs(seed))
            self.stack = stacked(jax.random.split(jax.random.key(seed), 4))

    save_model(Both(0), tmp_path / "m.ptf")
    found = entries(tmp_path / "m.ptf")
    assert found["stack.kernel"].shape == (4, 2, 3)
    assert (found["stack"].class_, found["stack"].module, found["stack.kernel"].axes) == ("flax.nnx.Linear", None, None)
    assert (found["sub"].class_, found["sub"].module) == (f"{__name__}.{Sub.__qualname__}", None)
    assert snapshot(load_model(Both(1), tmp_path / "m.ptf")) == snapshot(Both(0))


def test_a_module_without_variables(tmp_path: Path) -> None:
    save_model(nnx.Sequential(nnx.relu), tmp_path / "m.ptf")
    assert list(entries(tmp_path / "m.ptf")) == [""]
    load_model(nnx.Sequential(nnx.relu), tmp_path / "m.ptf")


def test_a_module_that_contains_itself_is_refused(tmp_path: Path) -> None:
    class Node(nnx.Module):
        def __init__(self) -> None:
            self.weight = nnx.Param(jnp.ones(1))
            self.me = self

    raised("TYPE", lambda: save_model(Node(), tmp_path / "m.ptf"))
    assert list(tmp_path.iterdir()) == []


# Files that do not fit


def test_all_problems_in_one_error_and_nothing_written(tmp_path: Path) -> None:
    tree = {
        "layers": {
            0: {"kernel": jnp.ones((4, 9)), "bias": jnp.ones(8, jnp.bfloat16)},
            2: {"kernel": 3.5, "bias": jnp.ones(8)},
            4: {"bias": jnp.ones(8)},
            6: {"kernel": jnp.ones((8, 1))},
            9: {"kernel": jnp.ones(1), "note": "text"},
        },
    }
    save_file(tree, tmp_path / "m.ptf", convention="torch")
    module = shared()
    before, variables = snapshot(module), [leaf.get_raw_value() for _, leaf in nnx.to_flat_state(nnx.state(module))]
    error = raised("MISMATCH", lambda: load_model(module, tmp_path / "m.ptf"))
    assert error.problems == (
        "dtype       'layers.0.bias': bfloat16 in the file, float32 in the module",
        "shape       'layers.0.kernel': (4, 9) in the file, (4, 8) in the module",
        "type        'layers.2.kernel': the value 3.5 in the file, float32 (8, 8) in the module",
        "missing     'layers.6.bias': float32 (1,) in the module, not in the file",
        "tie         'layers.4.bias': apart from 'layers.2.bias' in the file, one with it in the module",
        "unexpected  'layers.9.kernel': float32 (1,) in the file, not in the module",
        "unexpected  'layers.9.note': the value 'text' in the file, not in the module",
    )
    head = f"{tmp_path / 'm.ptf'} does not fit Sequential; its convention is torch, not flax.nnx: convert it first\n"
    assert error.message.startswith(head)
    assert snapshot(module) == before
    assert all(
        leaf.get_raw_value() is raw
        for (_, leaf), raw in zip(nnx.to_flat_state(nnx.state(module)), variables, strict=True)
    )


def test_a_damaged_file_writes_nothing(tmp_path: Path) -> None:
    save_model(sequential(0), tmp_path / "m.ptf", codec="raw")
    broken = bytearray((tmp_path / "m.ptf").read_bytes())
    broken[64 * 4] ^= 1  # of the last tensor
    (tmp_path / "m.ptf").write_bytes(broken)
    module = sequential(1)
    before = snapshot(module)
    raised("CHECKSUM", lambda: load_model(module, tmp_path / "m.ptf", verify=True))
    assert snapshot(module) == before


def test_keys_of_another_generator_are_refused(tmp_path: Path) -> None:
    def stream(impl: str) -> nnx.Rngs:
        return nnx.Rngs(jax.random.key(0, impl=impl))

    save_model(stream("rbg"), tmp_path / "m.ptf")
    error = raised("MISMATCH", lambda: load_model(stream("unsafe_rbg"), tmp_path / "m.ptf"))
    assert error.problems == ("keys        'default.key': generator rbg in the file, unsafe_rbg in the module",)
    error = raised("MISMATCH", lambda: load_model(stream("threefry2x32"), tmp_path / "m.ptf"))
    assert error.problems == (
        "shape       'default.key': (4,) in the file, (2,) in the module",
        "keys        'default.key': generator rbg in the file, threefry2x32 in the module",
    )


def test_values_of_other_types_and_fixed_arrays_are_refused(tmp_path: Path) -> None:
    class Fixed(nnx.Module):
        def __init__(self, number: Any) -> None:
            self.number = nnx.Variable(number)
            self.pair = nnx.data((jnp.ones(1), 1))

    save_model(Fixed(3), tmp_path / "m.ptf")
    module = Fixed(3.5)
    error = raised("MISMATCH", lambda: load_model(module, tmp_path / "m.ptf"))
    assert error.problems == (
        "type        'number.value': the value 3 in the file, the value 3.5 in the module",
        "fixed       'pair.0': the module holds it in a tuple, not in a Variable",
    )
    assert module.number.get_value() == 3.5


def test_what_jax_would_narrow_is_refused(tmp_path: Path) -> None:
    with jax.enable_x64(True):
        wide = nnx.Param(jnp.ones(2, jnp.float64))
        save_file(nnx.State({"w": wide}), tmp_path / "x.ptf")
        assert load_file(tmp_path / "x.ptf")["w"].get_value().dtype == np.float64
    error = raised("DTYPE", lambda: load_file(tmp_path / "x.ptf"))
    assert error.problems == ("'w': float64 would be float32",)


def test_arrays_go_where_the_module_has_them(tmp_path: Path) -> None:
    # Two CPU devices exist only if asked for before JAX starts.
    program = """
import sys, jax, numpy as np
from flax import nnx
from jax.sharding import NamedSharding, PartitionSpec
from ptformat.flax import load_model, save_model
mesh = jax.make_mesh((2,), ("data",))
module = nnx.Linear(4, 2, rngs=nnx.Rngs(0))
save_model(module, sys.argv[1])
kernel = np.asarray(module.kernel[...])
module.kernel.set_value(jax.device_put(kernel * 0, NamedSharding(mesh, PartitionSpec("data"))))
load_model(module, sys.argv[1])
print(len(module.kernel.get_value().sharding.device_set), np.array_equal(module.kernel[...], kernel))
"""
    environment = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "m.ptf")],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )
    assert done.stdout.strip() == "2 True", done.stderr
