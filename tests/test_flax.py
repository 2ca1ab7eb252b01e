"""ptformat.flax: linen variables, and the modules they belong to."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from checks import entries, raised
from flax import linen as nn
from flax.core import FrozenDict, freeze
from flax.core.meta import AxisMetadata
from flax.traverse_util import flatten_dict
from nets import bert_linen, cnn, minilm

import ptformat
import ptformat.backing
from ptformat.dtypes import BY_NAME
from ptformat.flax import load, load_file, load_model, save, save_file, save_model

WIDE = ["int64", "uint64", "float64", "complex128"]


def trip(tree: Any, tmp_path: Path, **options: Any) -> Any:
    save_file(tree, tmp_path / "x.ptf", **options)
    return load_file(tmp_path / "x.ptf")


def assert_same(a: Any, b: Any) -> None:
    """Structure, element types and bytes."""
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert (np.shape(x), np.asarray(x).dtype) == (np.shape(y), np.asarray(y).dtype)
        assert np.asarray(x).tobytes() == np.asarray(y).tobytes()


def random_bits(name: str, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    row = BY_NAME[name]
    count = int(np.prod(shape)) * row.numpy.itemsize
    top = 2 if name == "bool" else 1 << min(row.bits, 8)
    return np.random.default_rng(count).integers(0, top, count, np.uint8).view(row.numpy).reshape(shape)


def variables_of(module: nn.Module, *inputs: Any) -> Any:
    """Random variables of the module's shapes; much quicker than to run `init`."""
    generator = np.random.default_rng(0)
    shapes = jax.eval_shape(module.init, jax.random.key(0), *inputs)
    return jax.tree.map(lambda leaf: jnp.asarray(generator.random(leaf.shape), leaf.dtype), shapes)


# Arrays


@pytest.mark.parametrize("codec", ["raw", "zstd"])
@pytest.mark.parametrize("name", [name for name in BY_NAME if name not in WIDE])
def test_bits_of_every_dtype(name: str, codec: str, tmp_path: Path) -> None:
    shapes = [(3, 5), (), (0, 4), (64, 65)]
    tree = {"params": {f"p{i}": jax.device_put(random_bits(name, shape)) for i, shape in enumerate(shapes)}}
    assert all(leaf.dtype == name for leaf in jax.tree.leaves(tree))
    loaded = trip(tree, tmp_path, codec=codec)
    assert list(loaded["params"]) == list(tree["params"])
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(loaded))
    assert_same(loaded, tree)
    with ptformat.open(tmp_path / "x.ptf") as file:
        assert file.convention == "flax.linen"


@pytest.mark.parametrize("name", ["float32", "bfloat16", "float8_e4m3fn", "uint32", "complex64"])
def test_arrays_lie_in_the_private_map(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_file({"params": {"a": random_bits(name, (5, 7)), "b": random_bits(name, (3,))}}, tmp_path / "x.ptf")
    maps = []
    original = ptformat.backing.map_file

    def spy(*args: Any, **kwargs: Any) -> Any:
        maps.append(original(*args, **kwargs))
        return maps[-1]

    monkeypatch.setattr("ptformat.backing.map_file", spy)
    loaded = load_file(tmp_path / "x.ptf")["params"]
    start = np.frombuffer(maps[0], np.uint8).ctypes.data
    second = 64 + -(-35 * BY_NAME[name].numpy.itemsize // 64) * 64
    assert loaded["a"].unsafe_buffer_pointer() == start + 64
    assert loaded["b"].unsafe_buffer_pointer() == start + second
    assert not loaded["a"].committed


def test_a_donated_map_leaves_the_file_alone(tmp_path: Path) -> None:
    save_file({"params": {"w": np.ones((64, 64), np.float32)}}, tmp_path / "x.ptf")
    before = (tmp_path / "x.ptf").read_bytes()
    double = jax.jit(lambda w: w * 2, donate_argnums=0)
    assert double(load_file(tmp_path / "x.ptf")["params"]["w"]).sum() == 2 * 64 * 64
    assert (tmp_path / "x.ptf").read_bytes() == before


def test_what_jax_would_narrow_is_refused(tmp_path: Path) -> None:
    tree = {"params": {name: np.ones(2, name) for name in [*WIDE, "float32"]}, "step": 2**40}
    save_file(tree, tmp_path / "x.ptf")
    error = raised("DTYPE", lambda: load_file(tmp_path / "x.ptf"))
    assert error.problems == (
        "'params.int64': int64 would be int32",
        "'params.uint64': uint64 would be uint32",
        "'params.float64': float64 would be float32",
        "'params.complex128': complex128 would be complex64",
    )
    assert "jax_enable_x64" in error.message
    assert "load_tree" in error.message
    with jax.enable_x64(True):
        loaded = load_file(tmp_path / "x.ptf")
        assert loaded["step"] == 2**40
        assert [str(leaf.dtype) for leaf in loaded["params"].values()] == [*WIDE, "float32"]


def test_jax_arrays_are_never_tied(tmp_path: Path) -> None:
    w = jnp.arange(3.0)
    loaded = trip({"params": {"w": w}, "ema": {"w": w}}, tmp_path)
    assert not [entry for entry in entries(tmp_path / "x.ptf").values() if isinstance(entry, ptformat.Alias)]
    assert loaded["params"]["w"] is not loaded["ema"]["w"]


def test_numpy_arrays_are_tied_by_identity(tmp_path: Path) -> None:
    w = np.arange(6, dtype=np.float32).reshape(2, 3)
    loaded = trip({"params": {"a": w, "b": w, "c": w.copy()}}, tmp_path)
    assert entries(tmp_path / "x.ptf")["params.b"].target == "params.a"
    assert loaded["params"]["a"] is loaded["params"]["b"]
    assert loaded["params"]["c"] is not loaded["params"]["a"]


def test_a_permuted_tie_is_the_transposed_array(tmp_path: Path) -> None:
    w = np.arange(6, dtype=np.float32).reshape(2, 3)
    with ptformat.Writer(tmp_path / "x.ptf") as out:
        out.tensor("params.a", w)
        out.alias("params.b", "params.a", (1, 0))
    assert load_file(tmp_path / "x.ptf")["params"]["b"].tolist() == w.T.tolist()


def test_sharded_arrays_are_gathered() -> None:
    # Two CPU devices exist only if asked for before JAX starts.
    program = """
import jax, numpy as np
from jax.sharding import NamedSharding, PartitionSpec
from ptformat.flax import load, save
mesh = jax.make_mesh((2,), ("data",))
w = jax.device_put(np.arange(8.0, dtype=np.float32), NamedSharding(mesh, PartitionSpec("data")))
assert len(w.sharding.device_set) == 2
print(load(save({"params": {"w": w}}))["params"]["w"].tolist())
"""
    environment = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env={**os.environ, **environment}
    )
    assert done.stdout.strip() == str([float(i) for i in range(8)]), done.stderr


def test_one_error_names_all_that_cannot_be_saved(tmp_path: Path) -> None:
    deleted = jnp.ones(2) + 1
    deleted.delete()
    tree = {
        "params": {"fine": jnp.ones(2), "deleted": deleted, "shape": jax.ShapeDtypeStruct((2,), np.float32)},
        "rng": {"key": jax.random.key(0)},
        "masked": np.ma.masked_array([1, 2], [0, 1]),
        "box": nn.Partitioned(object(), ("a",)),
    }
    error = raised("TYPE", lambda: save_file(tree, tmp_path / "x.ptf"))
    assert error.problems == (
        "'params.deleted': an array whose memory was donated or deleted",
        "'params.shape': a jax.ShapeDtypeStruct is no array, value or container",
        "'masked': a numpy.ma.MaskedArray is no array, value or container",
        "'box': a builtins.object is no array, value or container",
    )
    assert list(tmp_path.iterdir()) == []


def test_tracers_cannot_be_saved() -> None:
    error = raised("TYPE", lambda: jax.jit(lambda w: save({"w": w}))(jnp.ones(2)))
    assert error.problems == ("'w': a tracer, which has no elements yet; save outside of jit",)


# Containers


def test_roles_follow_from_the_collection(tmp_path: Path) -> None:
    one = np.ones(1, np.float32)
    save_file({"params": {"a": one}, "batch_stats": {"b": one.copy()}, "cache": {"c": one.copy()}}, tmp_path / "x.ptf")
    assert {path: entry.role for path, entry in entries(tmp_path / "x.ptf").items()} == {
        "params.a": "parameter",
        "batch_stats.b": "buffer",
        "cache.c": None,
    }
    save_file({"params.a": one, "x": one}, tmp_path / "x.ptf")
    found = entries(tmp_path / "x.ptf")
    assert (found["params.a"].role, found["x"].role) == ("parameter", "parameter")  # a tie takes over its target's
    save_file({"layers_0": {"kernel": one}}, tmp_path / "x.ptf")
    assert entries(tmp_path / "x.ptf")["layers_0.kernel"].role is None


def test_values_and_containers_come_back(tmp_path: Path) -> None:
    tree = {
        "params": {"Dense_0": {"kernel": jnp.ones((2, 3))}},
        "opt": (jnp.zeros(2), {"count": 3, "lr": 1e-3, "none": None}),
        "empty": {},
        "name": "x",
        "flags": [True, b"\x00"],
    }
    loaded = trip(tree, tmp_path)
    assert_same(loaded, tree)
    assert loaded["opt"][1] == {"count": 3, "lr": 1e-3, "none": None}
    assert (loaded["name"], loaded["flags"], loaded["empty"]) == ("x", [True, b"\x00"], {})


def test_flat_dicts_come_back_flat(tmp_path: Path) -> None:
    nested = {"params": {"Dense_0": {"kernel": jnp.ones(2), "bias": jnp.zeros(1)}}}
    for flat in (flatten_dict(nested, sep="."), flatten_dict(nested, sep="/"), flatten_dict(nested)):
        assert_same(trip(flat, tmp_path), flat)


@pytest.mark.parametrize("codec", ["raw", "zstd"])
def test_frozen_dicts_come_back_frozen(codec: str, tmp_path: Path) -> None:
    variables = {"params": {"Dense_0": {"kernel": jnp.ones((2, 3))}}, "batch_stats": {}}
    loaded = trip(freeze(variables), tmp_path, codec=codec)
    assert type(loaded) is FrozenDict
    assert_same(loaded, freeze(variables))
    assert list(loaded) == ["params", "batch_stats"]
    assert entries(tmp_path / "x.ptf")[""].class_ == "flax.core.frozen_dict.FrozenDict"
    mixed = {"params": freeze(variables["params"]), "batch_stats": freeze({}), "other": {"w": jnp.ones(1)}}
    loaded = trip(mixed, tmp_path)
    assert [type(loaded[key]) for key in mixed] == [FrozenDict, FrozenDict, dict]
    assert type(loaded) is dict


def test_boxes_are_taken_off_and_put_on_again(tmp_path: Path) -> None:
    tree = {
        "params": {
            "a": nn.Partitioned(jnp.ones((2, 3)), ("data", None)),
            "b": nn.Partitioned(np.ones((2,), ml_dtypes.bfloat16), (("data", "model"),)),
            "c": nn.LogicallyPartitioned(jnp.ones(2), ("embed",)),
            "d": jnp.ones(2),
        }
    }
    loaded = trip(tree, tmp_path)
    assert all(isinstance(leaf, jax.Array) for leaf in loaded["params"].values())
    found = entries(tmp_path / "x.ptf")
    assert found["params.a"].class_ == "flax.core.meta.Partitioned"
    assert found["params.a"].attrs == {"names": ["data", None]}
    assert found["params.b"].attrs == {"names": [["data", "model"]]}
    boxed = load_file(tmp_path / "x.ptf", boxes=True)
    assert_same(boxed, tree)
    assert type(boxed["params"]["c"]) is nn.LogicallyPartitioned
    assert boxed["params"]["b"].names == (("data", "model"),)
    assert_same(load(save(tree), boxes=True), tree)


class OwnBox(AxisMetadata[Any]):
    """A user's box: taken off, with its class recorded."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def unbox(self) -> Any:
        return self.value

    def replace_boxed(self, val: Any) -> "OwnBox":
        return OwnBox(val)

    def add_axis(self, index: int, params: dict[Any, Any]) -> "OwnBox":
        return self

    def remove_axis(self, index: int, params: dict[Any, Any]) -> "OwnBox":
        return self


def test_a_box_of_another_class_is_taken_off(tmp_path: Path) -> None:
    save_file({"params": {"a": OwnBox(jnp.ones(2))}}, tmp_path / "x.ptf")
    info = entries(tmp_path / "x.ptf")["params.a"]
    assert (info.class_, info.attrs) == (f"{__name__}.OwnBox", None)
    assert load_file(tmp_path / "x.ptf", boxes=True)["params"]["a"].tolist() == [1, 1]


def test_bytes_have_the_same_verbs(tmp_path: Path) -> None:
    tree = {"params": {"w": jnp.arange(6.0).reshape(2, 3)}}
    data = save(tree, metadata={"by": "test"})
    assert_same(load(data, verify=True), tree)
    save_file(tree, tmp_path / "x.ptf", metadata={"by": "test"})
    assert (tmp_path / "x.ptf").read_bytes() == data
    broken = bytearray(data)
    broken[64] ^= 1
    assert raised("CHECKSUM", lambda: load(bytes(broken), verify=True)).path == "params.w"
    (tmp_path / "x.ptf").write_bytes(broken)
    raised("CHECKSUM", lambda: load_file(tmp_path / "x.ptf", verify=True))
    module = nn.Dense(3, use_bias=False)
    save_model(module, {"params": {"kernel": jnp.ones((2, 3))}}, tmp_path / "x.ptf", jnp.ones((1, 2)))
    broken = bytearray((tmp_path / "x.ptf").read_bytes())
    broken[64] ^= 1
    (tmp_path / "x.ptf").write_bytes(broken)
    load_model(module, tmp_path / "x.ptf", jnp.ones((1, 2)))
    raised("CHECKSUM", lambda: load_model(module, tmp_path / "x.ptf", jnp.ones((1, 2)), verify=True))


def test_a_module_is_loaded_without_a_map(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = nn.Dense(3, use_bias=False)
    save_model(module, {"params": {"kernel": jnp.full((2, 3), 7.0)}}, tmp_path / "x.ptf", jnp.ones((1, 2)))
    monkeypatch.setattr("ptformat.backing.map_file", pytest.fail)
    loaded = load_model(module, tmp_path / "x.ptf", jnp.ones((1, 2)), mapped=False)
    os.truncate(tmp_path / "x.ptf", 100)
    assert loaded["params"]["kernel"].tolist() == [[7.0] * 3] * 2


# Modules


class Everything(nn.Module):
    """One of each kind; names given by flax."""

    @nn.compact
    def __call__(self, ids: jax.Array, image: jax.Array, train: bool = True) -> jax.Array:
        x = nn.Embed(7, 4)(ids)
        x = nn.RMSNorm(epsilon=1e-2)(nn.LayerNorm(epsilon=1e-3, use_bias=False)(nn.Dense(6)(x)))
        y = nn.Conv(4, (3, 5), strides=2, padding=((1, 1), (2, 2)), feature_group_count=2)(image)
        y = nn.BatchNorm(use_running_average=not train, momentum=0.8)(nn.GroupNorm(num_groups=2)(y))
        z = nn.Conv(3, 2, padding="VALID")(x)
        return nn.relu(x.sum() + y.sum() + z.sum())


INPUTS = (np.zeros((2, 3), np.int32), np.zeros((1, 8, 9, 2), np.float32))


def test_kinds_attributes_and_axes_are_recorded(tmp_path: Path) -> None:
    module = Everything()
    variables = variables_of(module, *INPUTS)
    save_model(module, variables, tmp_path / "m.ptf", *INPUTS)
    found = entries(tmp_path / "m.ptf")
    nodes = {p: (e.module, e.class_, e.attrs) for p, e in found.items() if isinstance(e, ptformat.Node)}
    conv = {"input_dilation": 1, "kernel_dilation": 1}
    norm = {"reduction_axes": -1, "feature_axes": -1, "use_fast_variance": True}
    assert nodes == {
        "params": (None, f"{__name__}.Everything", None),
        "params.Embed_0": ("embedding", "flax.linen.linear.Embed", None),
        "params.Dense_0": ("linear", "flax.linen.linear.Dense", None),
        "params.LayerNorm_0": ("layer_norm", "flax.linen.normalization.LayerNorm", {"epsilon": 1e-3, **norm}),
        "params.RMSNorm_0": ("rms_norm", "flax.linen.normalization.RMSNorm", {"epsilon": 1e-2, **norm}),
        "params.Conv_0": (
            "conv",
            "flax.linen.linear.Conv",
            {
                "kernel_size": [3, 5],
                "strides": 2,
                "padding": [[1, 1], [2, 2]],
                "feature_group_count": 2,
                **conv,
            },
        ),
        "params.Conv_1": (
            "conv",
            "flax.linen.linear.Conv",
            {"kernel_size": 2, "strides": 1, "padding": "VALID", "feature_group_count": 1, **conv},
        ),
        "params.GroupNorm_0": (
            "group_norm",
            "flax.linen.normalization.GroupNorm",
            {"num_groups": 2, "group_size": None, "epsilon": 1e-6, "use_fast_variance": True},
        ),
        "params.BatchNorm_0": (
            "batch_norm",
            "flax.linen.normalization.BatchNorm",
            {"epsilon": 1e-5, "momentum": 0.8, "axis": -1, "use_fast_variance": True},
        ),
    }
    assert {p: e.axes for p, e in found.items() if isinstance(e, ptformat.TensorInfo)} == {
        "params.Embed_0.embedding": ("num", "features"),
        "params.Dense_0.kernel": ("in", "out"),
        "params.Dense_0.bias": ("out",),
        "params.LayerNorm_0.scale": ("features",),
        "params.RMSNorm_0.scale": ("features",),
        "params.Conv_0.kernel": ("y", "x", "in", "out"),
        "params.Conv_0.bias": ("out",),
        "params.Conv_1.kernel": ("x", "in", "out"),
        "params.Conv_1.bias": ("out",),
        "params.GroupNorm_0.scale": ("features",),
        "params.GroupNorm_0.bias": ("features",),
        "params.BatchNorm_0.scale": ("features",),
        "params.BatchNorm_0.bias": ("features",),
        "batch_stats.BatchNorm_0.mean": ("features",),
        "batch_stats.BatchNorm_0.var": ("features",),
    }
    assert found["batch_stats.BatchNorm_0.mean"].role == "buffer"
    assert_same(load_file(tmp_path / "m.ptf"), variables)
    assert_same(load_model(module, tmp_path / "m.ptf", *INPUTS), variables)
    # The flag reaches the module as it is, by position and by name; a shape will do for an array.
    shapes = [jax.ShapeDtypeStruct(array.shape, array.dtype) for array in INPUTS]
    assert_same(load_model(module, tmp_path / "m.ptf", *shapes, False), variables)
    assert_same(load_model(module, tmp_path / "m.ptf", *shapes, train=False), variables)
    before = (tmp_path / "m.ptf").read_bytes()
    save_model(module, variables, tmp_path / "m.ptf", *shapes, kwargs={"train": False})
    assert (tmp_path / "m.ptf").read_bytes() == before


def test_a_subclass_and_a_lifted_layer_have_no_kind(tmp_path: Path) -> None:
    class Own(nn.Dense):
        pass

    class Block(nn.Module):
        @nn.compact
        def __call__(self, x: jax.Array, _: None) -> tuple[jax.Array, None]:
            return nn.Dense(4, name="inner")(x), None

    class Stack(nn.Module):
        @nn.compact
        def __call__(self, x: jax.Array) -> jax.Array:
            scan = nn.scan(Block, variable_axes={"params": 0}, split_rngs={"params": True}, length=3)
            x, _ = scan(name="scan")(x, None)
            return Own(2, name="own")(nn.remat(nn.Dense)(4, name="remat")(x))

    module, x = Stack(), jnp.ones((1, 4))
    variables = variables_of(module, x)
    assert variables["params"]["scan"]["inner"]["kernel"].shape == (3, 4, 4)
    save_model(module, variables, tmp_path / "m.ptf", x)
    found = entries(tmp_path / "m.ptf")
    assert found["params.scan.inner"].class_ == "flax.linen.linear.Dense"
    assert found["params.own"].class_ == f"{__name__}.{Own.__qualname__}"
    assert found["params.remat"].module == "linear"
    for path in ("params.scan.inner", "params.own"):
        assert found[path].module is None
        assert found[f"{path}.kernel"].axes is None
    assert_same(load_model(module, tmp_path / "m.ptf", x), variables)


def test_a_call_that_needs_randomness(tmp_path: Path) -> None:
    class Noisy(nn.Module):
        @nn.compact
        def __call__(self, x: jax.Array, deterministic: bool) -> jax.Array:
            return nn.Dropout(0.5, deterministic=deterministic)(nn.Dense(2)(x))

    module, x = Noisy(), jnp.ones((1, 4))
    variables = module.init(jax.random.key(0), x, True)
    save_model(module, variables, tmp_path / "m.ptf", x, False, rngs={"dropout": jax.random.key(2)})
    assert entries(tmp_path / "m.ptf")["params.Dense_0"].module == "linear"
    assert_same(load_model(module, tmp_path / "m.ptf", x, deterministic=False), variables)


@pytest.mark.parametrize("codec", ["raw", "zstd"])
@pytest.mark.parametrize("name", cnn.PAIRS)
def test_a_module_comes_back(name: str, codec: str, tmp_path: Path) -> None:
    pair = cnn.PAIRS[name]
    module, x = pair.make_linen(), pair.to_linen(pair.example)
    variables = variables_of(module, x)
    path = tmp_path / "m.ptf"
    save_model(module, variables, path, x, codec=codec)
    loaded = load_model(module, path, x)
    assert_same(loaded, variables)
    apply = jax.jit(module.apply)
    assert np.array_equal(apply(loaded, x), apply(variables, x))
    before = path.read_bytes()
    save_model(module, load_file(path), path, x, codec=codec)
    assert path.read_bytes() == before


def test_twelve_layers_of_bert(tmp_path: Path) -> None:
    module = bert_linen.bert(minilm.TINY)
    ids = np.ones((2, 5), np.int32)
    variables = variables_of(module, ids, ids)
    save_model(module, variables, tmp_path / "m.ptf", ids, ids)
    assert_same(load_model(module, tmp_path / "m.ptf", ids, ids), variables)


def test_loaded_boxes_are_those_of_the_module(tmp_path: Path) -> None:
    init = nn.with_partitioning(nn.initializers.ones_init(), ("in", "out"))
    module, x = nn.Dense(3, kernel_init=init), jnp.ones((1, 2))
    variables = module.init(jax.random.key(0), x)
    save_model(module, variables, tmp_path / "m.ptf", x)
    found = entries(tmp_path / "m.ptf")
    assert (found["params"].module, found["params.kernel"].axes) == ("linear", ("in", "out"))
    loaded = load_model(module, tmp_path / "m.ptf", x)
    assert_same(loaded, variables)
    assert loaded["params"]["kernel"].names == ("in", "out")
    assert isinstance(load_file(tmp_path / "m.ptf")["params"]["kernel"], jax.Array)


def test_all_problems_in_one_error(tmp_path: Path) -> None:
    tree = {
        "params": {
            "layers_0": {"kernel": jnp.ones((4, 9)), "bias": jnp.ones(8, jnp.bfloat16)},
            "layers_2": {"kernel": 3.5},
            "layers_9": {"kernel": jnp.ones(1), "note": "text"},
        },
        "cache": {"index": jnp.zeros((), jnp.int32)},
    }
    save_file(tree, tmp_path / "m.ptf")
    module = nn.Sequential([nn.Dense(8), nn.relu, nn.Dense(1)])
    error = raised("MISMATCH", lambda: load_model(module, tmp_path / "m.ptf", jnp.ones((1, 4))))
    assert error.problems == (
        "dtype       'params.layers_0.bias': bfloat16 in the file, float32 in the module",
        "shape       'params.layers_0.kernel': (4, 9) in the file, (4, 8) in the module",
        "missing     'params.layers_2.bias': float32 (1,) in the module, not in the file",
        "type        'params.layers_2.kernel': the value 3.5 in the file, float32 (8, 1) in the module",
        "unexpected  'params.layers_9.kernel': float32 (1,) in the file, not in the module",
        "unexpected  'params.layers_9.note': the value 'text' in the file, not in the module",
        "unexpected  'cache.index': int32 () in the file, not in the module",
    )
    assert error.message.startswith(f"{tmp_path / 'm.ptf'} does not fit Sequential\n")


def test_an_alias_fits_in_its_own_shape(tmp_path: Path) -> None:
    w = np.arange(6, dtype=np.float32).reshape(3, 2)
    with ptformat.Writer(tmp_path / "m.ptf", convention="torch") as out:
        out.tensor("w", w)
        out.alias("params.kernel", "w", (1, 0))
    module = nn.Dense(3, use_bias=False)
    error = raised("MISMATCH", lambda: load_model(module, tmp_path / "m.ptf", jnp.ones((1, 2))))
    assert error.problems == ("unexpected  'w': float32 (3, 2) in the file, not in the module",)
    assert "its convention is torch, not flax.linen: convert it first" in error.message


@pytest.mark.parametrize("missing", ["jax", "flax"])
def test_without_jax_or_flax_the_error_says_what_to_install(missing: str) -> None:
    program = f"import sys; sys.modules[{missing!r}] = None; import ptformat.flax"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 1
    assert (
        done.stderr.splitlines()[-1]
        == "ptformat.errors.MissingPackage: ptformat.flax needs jax and flax: pip install 'ptformat[flax]'"
    )
