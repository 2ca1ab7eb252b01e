"""Checkpoint directories of orbax: against orbax, both ways, and broken in every way."""

import errno
import json
import math
import os
import resource
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest
import safetensors.numpy
from cli_files import run
from flax import nnx
from flax.training.train_state import TrainState
from nets import deck, minilm
from sources import bits, read, rewrite, same

import ptformat
from ptformat.converters import convert, copy, plan
from ptformat.converters.content import MemorySource, Saving, whole
from ptformat.converters.files import open_source, orbax, orbax_write, write
from ptformat.dtypes import TABLE
from ptformat.errors import MissingPackage
from ptformat.tree import Alias, TensorInfo

MIB = 2**20
MISSING = ["uint2", "uint4", "float8_e4m3"]  # in tensorstore
ALL = [row.name for row in TABLE if row.name not in MISSING]
FORMATS: dict[str, dict[str, bool]] = {
    "ocdbt": {},
    "zarr": {"use_ocdbt": False},
    "ocdbt-zarr3": {"use_zarr3": True},
    "zarr3": {"use_ocdbt": False, "use_zarr3": True},
}


def save(path: Path, tree: Any, **options: bool) -> Path:
    """As orbax saves it."""
    if options:
        ocp.Checkpointer(ocp.PyTreeCheckpointHandler(**options)).save(path, tree)
        return path
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(path, tree)
    return path


def restore(path: Path, *target: Any) -> Any:
    """As orbax restores it."""
    with ocp.StandardCheckpointer() as checkpointer, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sharding info not provided", UserWarning)  # of orbax' own, without a target
        return checkpointer.restore(path, *target)


def packed(tree: Any, path: Path) -> Path:
    """A tree of NumPy arrays in an .orbax directory, by way of a .ptf file."""
    ptformat.save_file(tree, path.with_suffix(".ptf"))
    rewrite(path.with_suffix(".ptf"), path)
    return path


def equal(left: Any, right: Any) -> bool:
    """Whether two trees have the same containers, and arrays of the same bits."""
    if jax.tree.structure(left) != jax.tree.structure(right):
        return False
    return all(same(*pair) for pair in zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True))


def loaded(path: Path) -> Any:
    """What we read of a checkpoint, by way of a .ptf file."""
    target = path.parent / "loaded.ptf"
    rewrite(path, target)
    return ptformat.load_tree(target)


def test_every_type_is_told() -> None:
    import tensorstore as ts

    assert [row.name for row in TABLE if not hasattr(ts, row.name)] == MISSING


@pytest.mark.parametrize("layout", FORMATS)
def test_read_what_orbax_wrote(layout: str, tmp_path: Path) -> None:
    shapes = [(3, 5), (), (7, 3, 2), (1, 64)]
    names = [name for name in ALL if not (layout.startswith("zarr") and name.startswith(("int2", "float4")))]
    tree = {name: [bits(name, shape) for shape in shapes] for name in names}
    save(tmp_path / "x", tree, **FORMATS[layout])
    found = read(tmp_path / "x")
    assert len(found) == len(shapes) * len(names)
    for name, arrays in tree.items():
        for number, array in enumerate(arrays):
            assert same(found[f"{name}.{number}"], array), name
    assert open_source(tmp_path / "x").notes == []


@pytest.mark.parametrize("name", ALL)
def test_orbax_restores_what_we_wrote(name: str, tmp_path: Path) -> None:
    tree = {"params": {f"t{n}": bits(name, shape) for n, shape in enumerate([(3, 5), (), (7, 3, 2), (0, 4), (1,)])}}
    packed(tree, tmp_path / "x.orbax")
    assert equal(restore(tmp_path / "x.orbax"), tree)
    with ocp.PyTreeCheckpointer() as checkpointer:
        assert equal(checkpointer.restore(tmp_path / "x.orbax"), tree)
    assert equal(loaded(tmp_path / "x.orbax"), tree)


def test_restored_into_a_target(tmp_path: Path) -> None:
    variables = deck.linen_net().init(jax.random.key(0), jnp.ones((1, 4)))
    packed(jax.tree.map(np.asarray, variables), tmp_path / "x.orbax")
    found = restore(tmp_path / "x.orbax", jax.tree.map(jnp.zeros_like, variables))
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(found))
    assert equal(found, variables)
    shapes = jax.eval_shape(deck.linen_net().init, jax.random.key(0), jnp.ones((1, 4)))
    assert equal(restore(tmp_path / "x.orbax", shapes), variables)
    assert equal(restore(tmp_path / "x.orbax", jax.tree.map(np.zeros_like, variables)), variables)


class Convolving(nn.Module):
    @nn.compact
    def __call__(self, x: Any) -> Any:
        x = nn.Conv(4, (3, 3))(x)
        x = nn.BatchNorm(use_running_average=False)(x)
        return nn.Dense(2)(x.reshape(len(x), -1))


NETS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "net": (deck.linen_net, (1, 4)),
    "shared": (deck.linen_shared_net, (1, 4)),
    "conv": (Convolving, (1, 6, 6, 3)),
}


@pytest.mark.parametrize("name", NETS)
def test_linen_variables(name: str, tmp_path: Path) -> None:
    make, shape = NETS[name]
    variables = make().init(jax.random.key(1), jnp.ones(shape))
    save(tmp_path / "x", variables)
    assert equal(loaded(tmp_path / "x"), variables)
    rewrite(tmp_path / "x", tmp_path / "y.orbax")
    assert equal(restore(tmp_path / "y.orbax"), variables)


def test_converted_to_torch_and_back(tmp_path: Path) -> None:
    variables = deck.linen_net().init(jax.random.key(2), jnp.ones((1, 4)))
    save(tmp_path / "x", {"params": variables})
    made = convert(tmp_path / "x", tmp_path / "x.safetensors", to="torch", durable=False)
    assert made.notes[0] == "params/params: the outer params is a wrapper and left out"
    kernel = variables["params"]["layers_0"]["kernel"]
    assert same(safetensors.numpy.load_file(tmp_path / "x.safetensors")["0.weight"], np.asarray(kernel).T)
    convert(tmp_path / "x.safetensors", tmp_path / "y.orbax", to="linen", template=tmp_path / "x", durable=False)
    assert equal(restore(tmp_path / "y.orbax"), variables)


class Block(nnx.Module):
    def __init__(self, rngs: nnx.Rngs) -> None:
        self.conv = nnx.Conv(3, 4, (3, 3), rngs=rngs)
        self.norm = nnx.BatchNorm(4, rngs=rngs)
        self.layers = nnx.List([nnx.Linear(4, 4, rngs=rngs) for _ in range(11)])
        self.drop = nnx.Dropout(0.5, rngs=rngs)


def test_an_nnx_state(tmp_path: Path) -> None:
    state = nnx.state(Block(nnx.Rngs(0)))
    save(tmp_path / "x", state)
    opened = open_source(tmp_path / "x")
    assert opened.notes == [
        "…/value: 30 Variables of an nnx State (all) are read as their arrays",
        "PRNG keys are read as their data: drop.rngs.key.value (threefry2x32)",
    ]
    expected = jax.tree.map(
        lambda leaf: np.asarray(jax.random.key_data(leaf) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf),
        nnx.to_pure_dict(state),
    )
    expected["layers"] = {str(key): layer for key, layer in expected["layers"].items()}  # orbax holds text
    assert equal(loaded(tmp_path / "x"), expected)


def test_only_what_is_a_state_is_unwrapped(tmp_path: Path) -> None:
    state = nnx.state(nnx.Linear(2, 3, rngs=nnx.Rngs(0)))
    save(tmp_path / "x", {"model": state, "step": 3, "params": {"temperature": {"value": np.ones(1)}, "w": np.ones(2)}})
    assert open_source(tmp_path / "x").notes == [
        "…/value: 2 Variables of an nnx State (beneath model) are read as their arrays"
    ]
    found = loaded(tmp_path / "x")
    assert same(found["model"]["kernel"], np.asarray(state["kernel"][...]))
    assert found["step"] == 3
    assert same(found["params"]["temperature"]["value"], np.ones(1))


def test_a_training_state(tmp_path: Path) -> None:
    """namedtuples are told as dicts, tuples as lists, empty namedtuples as None: orbax stores no more."""
    net = deck.linen_net()
    params = net.init(jax.random.key(0), jnp.ones((1, 4)))["params"]
    tx = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(1e-3))
    state = TrainState.create(apply_fn=net.apply, params=params, tx=tx)
    state = state.apply_gradients(grads=jax.tree.map(jnp.ones_like, params))
    save(tmp_path / "x", state)
    found = loaded(tmp_path / "x")
    moments = state.opt_state[1][0]
    assert list(found) == ["step", "params", "opt_state"]
    assert found["step"] == 1
    assert found["opt_state"][0] is None
    assert found["opt_state"][1][1:] == [None, None]
    assert list(found["opt_state"][1][0]) == ["count", "mu", "nu"]
    for name in ("count", "mu", "nu"):
        assert equal(found["opt_state"][1][0][name], getattr(moments, name))
    assert equal(found["params"], state.params)
    rewrite(tmp_path / "x", tmp_path / "y.orbax")
    # Into a state of the same type: everything is back in its own containers.
    empty = jax.tree.map(lambda leaf: jnp.zeros_like(leaf) if isinstance(leaf, jax.Array) else 0, state)
    back = restore(tmp_path / "y.orbax", empty)
    assert equal(back, state)


class Pair(NamedTuple):
    left: Any
    right: Any


def test_containers_and_values(tmp_path: Path) -> None:
    one = np.arange(2.0)
    tree = {
        "list": [one, [], {}, [one]],
        "tuple": (one, ()),
        "pair": Pair(one, None),
        "keys": {3: one, 10: one},
        "values": {"i": -(2**63), "f": 0.1, "b": True, "t": "ü", "n": None},
        "a.b": {"c.d": one},
        "slash/x": one,
        "": one,
    }
    path = packed(tree, tmp_path / "x.orbax")
    expected = {
        **tree,
        "tuple": [one, ()],
        "pair": {"left": one, "right": None},
        "keys": {"3": one, "10": one},
    }
    assert equal(restore(path), expected)
    assert restore(path)["values"] == tree["values"]
    assert equal(loaded(path), expected)
    told = copy(tmp_path / "x.ptf", tmp_path / "y.orbax", durable=False).notes
    assert told == (
        "orbax: 1 keys that are no text become text",
        "orbax: 1 tuples become lists",
        "orbax: 1 namedtuples become dicts",
    )


def test_values_as_orbax_writes_them(tmp_path: Path) -> None:
    values = {"i": 2**40, "f": 0.1, "b": False, "n": None}
    save(tmp_path / "x", {**values, "a": np.float32(2)})
    assert loaded(tmp_path / "x") == {**values, "a": np.float32(2)}
    save(tmp_path / "y", {"t": "text", "a": np.ones(1)}, use_ocdbt=True)
    assert loaded(tmp_path / "y")["t"] == "text"


@pytest.mark.parametrize("tree", [np.arange(3), [np.ones(2)], [[np.ones(1)] * 12]])
def test_roots(tree: Any, tmp_path: Path) -> None:
    save(tmp_path / "x", tree)
    assert equal(loaded(tmp_path / "x"), tree)
    rewrite(tmp_path / "x", tmp_path / "y.orbax")
    assert equal(restore(tmp_path / "y.orbax"), tree)


def test_ties_are_written_again(tmp_path: Path) -> None:
    array = bits("float32", (2, 3))
    entries = [(TensorInfo("a", "float32", (2, 3)), array), (Alias("b", "a"), None), (Alias("c", "a", (1, 0)), None)]
    write(whole(MemorySource(entries)), tmp_path / "x.ptf", Saving(durable=False))
    done = copy(tmp_path / "x.ptf", tmp_path / "x.orbax", durable=False)
    assert (done.tensors, done.repeated) == (3, 2)
    assert equal(restore(tmp_path / "x.orbax"), {"a": array, "b": array, "c": array.T})


def test_arrays_of_several_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orbax_write, "CHUNK_BYTES", 1000)
    monkeypatch.setattr(orbax, "_BAND_BYTES", 3000)
    tree = {"a": bits("float32", (63, 17)), "b": bits("uint8", (3, 5, 700)), "c": bits("bfloat16", (2, 1500))}
    packed(tree, tmp_path / "x.orbax")
    assert equal(restore(tmp_path / "x.orbax"), tree)
    assert all(same(array, tree[name]) for name, array in read(tmp_path / "x.orbax").items())


def manager(path: Path, tree: Any, *steps: int) -> Path:
    with ocp.CheckpointManager(path) as kept:
        for step in steps:
            kept.save(step, args=ocp.args.StandardSave(tree))
        kept.wait_until_finished()
    return path


def test_a_step_of_a_manager(tmp_path: Path) -> None:
    variables = deck.linen_net().init(jax.random.key(2), jnp.ones((1, 4)))
    manager(tmp_path / "run", {"params": variables, "step": 7}, 0, 20)
    opened = open_source(tmp_path / "run" / "20")
    assert opened.notes == [
        "default: the tree is this item of the checkpoint directory",
        "params/params: the outer params is a wrapper and left out",
    ]
    assert equal(loaded(tmp_path / "run" / "20"), {**variables, "step": 7})
    with pytest.raises(ptformat.FormatError, match=r"holds 2 checkpoints \(0, 20\); give one, such as .*/20$"):
        open_source(tmp_path / "run")


def test_a_step_of_several_items(tmp_path: Path) -> None:
    with ocp.CheckpointManager(tmp_path / "run") as kept:
        items = {"model": ocp.args.StandardSave({"a": np.ones(2)}), "opt": ocp.args.StandardSave({"b": np.ones(3)})}
        kept.save(1, args=ocp.args.Composite(**items))
        kept.wait_until_finished()
    with pytest.raises(ptformat.FormatError, match=r"holds 2 trees \(model, opt\); give one, such as .*/model$"):
        open_source(tmp_path / "run" / "1")
    assert list(read(tmp_path / "run" / "1" / "opt")) == ["b"]


def test_on_the_command_line(tmp_path: Path) -> None:
    variables = deck.linen_net().init(jax.random.key(2), jnp.ones((1, 4)))
    save(tmp_path / "x", {"params": variables})
    note = "note      params/params: the outer params is a wrapper and left out\n"
    result = run("tree", tmp_path / "x")
    assert (result.exit_code, result.stderr) == (0, "")
    assert note in result.stdout
    assert json.loads(run("tree", tmp_path / "x", "--json").stdout)["notes"] == [note[10:-1]]
    result = run("convert", tmp_path / "x", tmp_path / "y.orbax")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith(note)
    assert equal(restore(tmp_path / "y.orbax"), variables)
    result = run("convert", tmp_path / "x", tmp_path / "y.safetensors", "--to", "torch")
    assert (result.exit_code, note in result.stdout) == (0, True)
    assert plan(tmp_path / "x", to="torch").notes == [note[10:-1]]


def test_replaced_as_a_whole(tmp_path: Path) -> None:
    path = packed({"a": np.ones(3)}, tmp_path / "x.orbax")
    packed({"b": np.zeros(2)}, path)
    assert equal(restore(path), {"b": np.zeros(2)})
    assert sorted(child.name for child in tmp_path.iterdir()) == ["x.orbax", "x.ptf"]
    (tmp_path / "notes.orbax").mkdir()
    rewrite(path, tmp_path / "notes.orbax")  # an empty directory gives way
    shutil.rmtree(tmp_path / "notes.orbax")
    (tmp_path / "notes.orbax").mkdir()
    (tmp_path / "notes.orbax" / "mine.txt").write_text("mine")
    with pytest.raises(ptformat.FormatError, match="a directory of another kind and not empty"):
        rewrite(path, tmp_path / "notes.orbax")
    assert (tmp_path / "notes.orbax" / "mine.txt").read_text() == "mine"
    manager(tmp_path / "run.orbax", {"a": np.ones(2)}, 0, 1)
    with pytest.raises(ptformat.FormatError, match="a directory of another kind and not empty"):
        rewrite(path, tmp_path / "run.orbax")
    assert list(read(tmp_path / "run.orbax" / "1")) == ["a"]


REFUSED: dict[str, tuple[Any, str, str]] = {
    "bytes": ({"a": b"x"}, "TYPE", "bytes value"),
    "integer": ({"a": 2**63}, "TYPE", "int value 9223372036854775808"),
    "empty": ({}, "TYPE", "no tree that is one value, or empty"),
    "value": (3, "TYPE", "no tree that is one value, or empty"),
    "same-name": ({"k": {"a": {"b": np.ones(1)}, "a.b": np.ones(1)}}, "DUPLICATE", "called 'k.a.b'"),
    "same-key": ({"k": {1: np.ones(1), "1": np.ones(1)}}, "DUPLICATE", "called 'k.1'"),
    **{name: ({"a": bits(name, (3,))}, "DTYPE", f"tensorstore, and so orbax, has no {name}") for name in MISSING},
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_orbax_cannot_hold(name: str, tmp_path: Path) -> None:
    tree, code, message = REFUSED[name]
    with pytest.raises(ptformat.FormatError, match=message) as caught:
        packed(tree, tmp_path / "x.orbax")
    assert caught.value.code == code
    assert [file.name for file in tmp_path.iterdir()] == ["x.ptf"]


def test_nothing_is_left_of_a_write_that_fails(tmp_path: Path) -> None:
    def pieces(path: str) -> Any:
        raise OSError("the source is gone")

    held = MemorySource([(TensorInfo("a", "float32", (2,)), np.ones(2, np.float32))])
    held.pieces = pieces  # type: ignore[method-assign]
    with pytest.raises(OSError, match="the source is gone"):
        write(whole(held), tmp_path / "x.orbax", Saving(durable=False))
    assert list(tmp_path.iterdir()) == []


def test_what_the_system_refuses_is_an_error_of_the_system(tmp_path: Path) -> None:
    """The writer is tensorstore, whose errors are no OSError; the file is longer than this process may write."""
    held = MemorySource([(TensorInfo("a", "float64", (9000,)), np.random.default_rng(0).random(9000))])
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        with pytest.raises(OSError, match=os.strerror(errno.EFBIG)) as caught:
            write(whole(held), tmp_path / "x.orbax", Saving(durable=False))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert (caught.value.errno, caught.value.filename) == (errno.EFBIG, str(tmp_path / "x.orbax"))
    assert list(tmp_path.iterdir()) == []


def _metadata(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    def fault(path: Path) -> None:
        said = json.loads((path / "_METADATA").read_text())
        (path / "_METADATA").write_text(json.dumps(change(said)))

    return fault


def _row(path: str, *keys: tuple[Any, Any], kind: Any = "np.ndarray") -> dict[str, Any]:
    told = {"value_type": kind, "skip_deserialize": False}
    return {path: {"key_metadata": [{"key": key, "key_type": number} for key, number in keys], "value_metadata": told}}


def _rows(*rows: dict[str, Any]) -> Callable[[Path], None]:
    return _metadata(lambda said: {**said, "tree_metadata": {key: row for each in rows for key, row in each.items()}})


def _texts(texts: str) -> Callable[[Path], None]:
    """Says of the one leaf that it is a text, and gives these."""

    def fault(path: Path) -> None:
        _rows(_row("a", ("a", 2), kind="string"))(path)
        (path / "_strings.json").write_text(texts)

    return fault


def _arrays(path: Path, said: str) -> None:
    """What is said of the arrays beside the tree."""
    (path / "array_metadatas").mkdir(exist_ok=True)
    (path / "array_metadatas" / "process_0").write_text(said)


def _largest(path: Path) -> Path:
    return max((file for file in path.rglob("*") if file.is_file()), key=lambda file: file.stat().st_size)


FAULTS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no-metadata": (lambda path: (path / "_METADATA").unlink(), "MALFORMED"),
    "no-manifest": (lambda path: (path / "manifest.ocdbt").unlink(), "TRUNCATED"),
    "manifest-cut": (lambda path: (path / "manifest.ocdbt").write_bytes(b"\x0c\xdb"), "DATA"),
    "metadata-cut": (lambda path: (path / "_METADATA").write_text('{"tree'), "MALFORMED"),
    "metadata-list": (lambda path: (path / "_METADATA").write_text("[]"), "MALFORMED"),
    "metadata-empty": (_rows(), "MALFORMED"),
    "metadata-deep": (lambda path: (path / "_METADATA").write_text("[" * 10**6), "LIMIT"),
    "no-values": (lambda path: shutil.rmtree(path / "ocdbt.process_0"), "DATA"),
    "value-cut": (lambda path: _largest(path).write_bytes(_largest(path).read_bytes()[:1000]), "TRUNCATED"),
    "value-changed": (lambda path: _largest(path).write_bytes(bytes(_largest(path).stat().st_size)), "DATA"),
    "array-missing": (_rows(_row("b", ("b", 2))), "TRUNCATED"),
    "not-finished": (lambda path: [(path / n).unlink() for n in ("_METADATA", "manifest.ocdbt")], "MALFORMED"),
    "key-type": (_rows(_row("a", ("a", 3))), "MALFORMED"),
    "list-gap": (_rows(_row("0", ("0", 1)), _row("2", ("2", 1))), "MALFORMED"),
    "list-and-dict": (_rows(_row("0", ("0", 1)), _row("a", ("a", 2))), "MALFORMED"),
    "leaf-and-branch": (_rows(_row("a", ("a", 2)), _row("ab", ("a", 2), ("b", 2))), "MALFORMED"),
    "root-and-leaf": (_rows(_row("()"), _row("a", ("a", 2))), "MALFORMED"),
    "same-place": (_rows(_row("1", ("a.b", 2)), _row("2", ("a", 2), ("b", 2))), "DUPLICATE"),
    "deep": (_rows(_row("a", *[("a", 2)] * 5000)), "LIMIT"),
    "control-in-key": (_rows(_row("a", ("a\n", 2), kind="None")), "PATH"),
    "text-missing": (_rows(_row("a", ("a", 2), kind="string")), "TRUNCATED"),
    "texts-without-it": (_texts('{"b": "x"}'), "MALFORMED"),
    "texts-a-list": (_texts("[]"), "MALFORMED"),
    "key-type-infinite": (_rows(_row("a", ("a", math.inf))), "MALFORMED"),
    "key-a-number": (_rows(_row("a", (3, 2))), "MALFORMED"),
    "kind-a-list": (_rows(_row("a", ("a", 2), kind=["x"])), "MALFORMED"),
    "keys-of-arrays": (lambda path: _arrays(path, "["), "MALFORMED"),
    "pipe": (lambda path: os.mkfifo(path / "d" / "x"), "FORMAT"),
    "link-to-itself": (lambda path: (path / "x").symlink_to("x"), "FORMAT"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_faults(name: str, tmp_path: Path) -> None:
    path = save(tmp_path / "x", {"a": bits("float32", (700, 7))})
    fault, code = FAULTS[name]
    fault(path)
    with pytest.raises(ptformat.FormatError) as caught:
        read(path)
    assert (caught.value.code, "\n" in caught.value.message) == (code, False)
    result = run("convert", path, tmp_path / "y.ptf")
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert not (tmp_path / "y.ptf").exists()


ARRAYS = ["[]", "{}", '{"array_metadatas": 3}', '{"array_metadatas": [1, {"array_metadata": []}]}']


@pytest.mark.parametrize("said", ARRAYS)
def test_what_arrays_are_said_to_be(said: str, tmp_path: Path) -> None:
    """Beside the tree, and only for a note: whatever it is, it tells of no keys."""
    path = save(tmp_path / "x", {"a": np.ones(2)})
    _arrays(path, said)
    assert open_source(path).notes == []


def test_notes_are_of_bounded_length(tmp_path: Path) -> None:
    path = save(tmp_path / "x", {"a": np.ones(2)})
    said = {"array_metadata": {"param_name": "n" * 5000, "ext_metadata": {"random_key_impl": "k" * 5000}}}
    _arrays(path, json.dumps({"array_metadatas": [said] * 20}))
    key = f"{'n' * 99} ({'k' * 99})"
    assert open_source(path).notes == [f"PRNG keys are read as their data: {', '.join([key] * 8)}, …"]


def test_metadata_that_are_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path / "x", {"a": np.ones(2)})
    monkeypatch.setattr(orbax, "_MAX_JSON", 100)
    with pytest.raises(ptformat.FormatError, match=r"_METADATA has \d+ bytes, at most 100 are read") as caught:
        open_source(path)
    assert caught.value.code == "LIMIT"


def _zarr(path: Path, **changes: Any) -> None:
    said = json.loads((path / "a" / ".zarray").read_text())
    (path / "a" / ".zarray").write_text(json.dumps({**said, **changes}))


def test_chunks_that_are_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where very many would be asked for, they are counted first."""
    path = save(tmp_path / "x", {"a": np.arange(6.0).reshape(2, 3)}, use_ocdbt=False)
    _zarr(path, shape=[2, 2**40])
    with pytest.raises(ptformat.FormatError, match="366503875926 chunks are needed, at most 2 are there") as caught:
        read(path)
    assert caught.value.code == "TRUNCATED"
    monkeypatch.setattr(orbax_write, "CHUNK_BYTES", 8)
    monkeypatch.setattr(orbax, "_MANY_CHUNKS", 4)
    tree = {"a": bits("uint8", (9, 8))}
    packed(tree, tmp_path / "y.orbax")
    assert same(read(tmp_path / "y.orbax")["a"], tree["a"])


def test_a_chunk_that_no_memory_holds(tmp_path: Path) -> None:
    path = save(tmp_path / "x", {"a": np.arange(6.0).reshape(2, 3)}, use_ocdbt=False)
    for rows in (2**44, 2**57):
        _zarr(path, chunks=[rows, 3])
        with pytest.raises(ptformat.FormatError, match=f"a chunk of {24 * rows} bytes, too large for memory") as caught:
            read(path)
        assert caught.value.code == "LIMIT"


def test_a_chunk_that_no_process_can_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system would be asked for it, it refuses."""
    path = save(tmp_path / "x", {"a": np.arange(6.0).reshape(2, 3)}, use_ocdbt=False)
    _zarr(path, chunks=[2**44, 3])
    monkeypatch.setattr(orbax, "_ADDRESSABLE", 2**60)
    with pytest.raises(ptformat.FormatError, match=f"a chunk of {24 * 2**44} bytes, too large for memory"):
        read(path)


def test_a_wrapper_that_is_none(tmp_path: Path) -> None:
    """Both maps called params have more in them: nothing is taken off."""
    tree = {"params": {"params": {"w": np.ones(2)}, "v": np.ones(1)}, "step": np.ones(3)}
    opened = open_source(save(tmp_path / "x", tree))
    assert opened.notes == []
    assert [entry.path for entry in opened.entries] == ["params.params.w", "params.v", "step"]


def test_lists_and_empty_leaves_within_a_state(tmp_path: Path) -> None:
    one = {"value": np.ones(2)}
    opened = open_source(save(tmp_path / "x", {"model": {"l": [one, one], "e": {}, "n": None}, "o": np.ones(1)}))
    assert opened.notes == ["…/value: 2 Variables of an nnx State (beneath model) are read as their arrays"]
    assert equal(loaded(tmp_path / "x"), {"model": {"l": [np.ones(2)] * 2, "e": {}, "n": None}, "o": np.ones(1)})


def test_without_tensorstore_in_this_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path / "x", {"a": np.ones(3)})
    monkeypatch.setitem(sys.modules, "tensorstore", None)
    with pytest.raises(MissingPackage, match="needs orbax-checkpoint and tensorstore: pip install"):
        open_source(path)


def test_what_an_unfinished_save_left(tmp_path: Path) -> None:
    path = save(tmp_path / "x", {"a": np.ones(2)})
    left = tmp_path / "x.orbax-checkpoint-tmp"
    path.rename(left)
    (left / "_METADATA").unlink()
    with pytest.raises(ptformat.FormatError, match="what an unfinished save left") as caught:
        open_source(left)
    assert caught.value.code == "TRUNCATED"


def test_another_directory(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "notes.txt").write_text("none")
    assert not orbax.recognises(tmp_path / "x", b"")
    result = run("tree", tmp_path / "x")
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)


@pytest.mark.parametrize("name", ["../secret", "/etc", "a/../../secret"])
def test_names_that_lead_out(name: str, tmp_path: Path) -> None:
    save(tmp_path / "secret", {"": np.ones(3)}, use_ocdbt=False)
    path = save(tmp_path / "x", {"a": np.ones(3)}, use_ocdbt=False)
    _rows(_row(name, (name, 2)))(path)
    with pytest.raises(ptformat.FormatError) as caught:
        open_source(path)
    assert caught.value.code == "PATH"


def test_links_that_lead_out(tmp_path: Path) -> None:
    path = save(tmp_path / "x", {"a": np.ones(3)}, use_ocdbt=False)
    (path / "a").rename(tmp_path / "elsewhere")
    (path / "a").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ptformat.FormatError, match="a link that leads out") as caught:
        open_source(path)
    assert caught.value.code == "PATH"


def test_without_tensorstore(tmp_path: Path) -> None:
    save(tmp_path / "x", {"a": np.ones(3)})
    code = "import sys; sys.modules['tensorstore'] = None\nfrom ptformat.converters import copy\ncopy(*sys.argv[1:])"
    for pair in ((tmp_path / "x", tmp_path / "y.ptf"), (minilm.model_path(), tmp_path / "y.orbax")):
        done = subprocess.run([sys.executable, "-c", code, *map(str, pair)], capture_output=True, text=True)
        error, what = done.stderr.strip().splitlines()[-1].split(": ", 1)
        assert error == "ptformat.errors.MissingPackage"
        assert what == "an orbax checkpoint needs orbax-checkpoint and tensorstore: pip install 'ptformat[orbax]'"
        assert not pair[1].exists()


def test_minilm(tmp_path: Path) -> None:
    """The real checkpoint, through orbax' own hands and ours."""
    origin = safetensors.numpy.load_file(minilm.model_path())
    copy(minilm.model_path(), tmp_path / "x.orbax", durable=False)
    theirs = restore(tmp_path / "x.orbax")
    assert theirs.keys() == origin.keys()
    assert all(same(theirs[name], array) for name, array in origin.items())
    save(tmp_path / "y", theirs)
    copy(tmp_path / "y", tmp_path / "y.safetensors", durable=False)
    back = safetensors.numpy.load_file(tmp_path / "y.safetensors")
    assert len(back) == 104
    assert all(same(back[name], array) for name, array in origin.items())


MEASURE = """
import sys, threading
import numpy, msgpack, tensorstore, ptformat.converters
from ptformat.converters import copy

def anonymous():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("RssAnon"))

peak, done = 0, threading.Event()

def sample():
    global peak
    while not done.wait(0.002):
        peak = max(peak, anonymous())

before = anonymous()
thread = threading.Thread(target=sample)
thread.start()
copy(*sys.argv[1:], durable=False)
done.set()
thread.join()
assert not {"jax", "flax", "orbax"} & sys.modules.keys()
print(peak - before)
"""


def test_memory_is_that_of_a_few_chunks(tmp_path: Path) -> None:
    """256 MiB in 8 arrays, which compress to 92 %: each of them is one chunk as orbax writes it."""
    rng = np.random.default_rng(0)
    tree = {f"w{number}": rng.standard_normal((2048, 4096), np.float32) for number in range(8)}
    ptformat.save_file(tree, tmp_path / "x.ptf")
    save(tmp_path / "theirs", tree)
    del tree
    steps = [("x.ptf", "ours.orbax"), ("ours.orbax", "y.safetensors"), ("theirs", "z.safetensors")]
    peaks = []
    for source, target in steps:
        command = [sys.executable, "-W", "error", "-c", MEASURE, str(tmp_path / source), str(tmp_path / target)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        peaks.append(int(done.stdout) / MIB)
    assert all(20 < peak < 200 for peak in peaks), peaks
    assert (tmp_path / "y.safetensors").read_bytes() == (tmp_path / "z.safetensors").read_bytes()
    shutil.rmtree(tmp_path)
