"""Live objects as sources: the entries of what saving them would write, with or without elements; objects by name."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import torch
from checks import raised
from flax import linen as nn
from flax import nnx
from flax.core import freeze
from flax.training.train_state import TrainState
from nets import cnn, deck
from sources import same

import ptformat
import ptformat.flax
import ptformat.torch
from ptformat import Alias, FormatError, Node, TensorInfo, Value
from ptformat.columns import Header
from ptformat.converters import plan
from ptformat.converters.content import Source
from ptformat.converters.objects import resolve, source_of


def saved(path: Path) -> tuple[list[Any], Header]:
    with ptformat.open(path) as file:
        return list(file.entries), file.index.header


def check(held: Source, path: Path, elements: bool) -> None:
    """Entries and header are the file's; the elements too, where there are any."""
    entries, header = saved(path)
    assert list(held.entries) == entries
    assert held.header == header
    with ptformat.open(path) as file:
        for entry in entries:
            if isinstance(entry, Alias):
                assert held.has_elements(entry.path) == elements
            if isinstance(entry, TensorInfo):
                assert held.has_elements(entry.path) == elements
                if elements:
                    assert same(held.array(entry.path), file[entry.path])
                    assert b"".join(map(bytes, held.pieces(entry.path))) == file[entry.path].tobytes()
                else:
                    error = raised("TYPE", lambda path=entry.path: held.array(path))
                    assert error.message.startswith(f"source {held.name!r} has shapes only: {entry.path!r} has no")
                    raised("TYPE", lambda path=entry.path: held.pieces(path))


# torch


class Tied(torch.nn.Module):
    """A head that is the embedding, and one that is so turned; a buffer; a layer that stands at two places."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = torch.nn.Embedding(7, 4)
        self.head = torch.nn.Linear(4, 7)
        self.head.weight = self.embed.weight
        self.turned = torch.nn.Parameter(self.embed.weight.detach().T)
        self.twice = torch.nn.ModuleList([torch.nn.Linear(4, 4, dtype=torch.bfloat16)] * 2)
        self.frozen = torch.nn.Conv2d(2, 6, (3, 5), groups=2, bias=False).requires_grad_(False)
        self.act = torch.nn.ReLU()
        self.norm = torch.nn.BatchNorm2d(6, eps=1e-3)
        self.register_buffer("ids", torch.arange(5))


TORCH: dict[str, Callable[[], torch.nn.Module]] = {
    "tied": Tied,
    "deck": deck.shared_net,
    "wrapped": lambda: torch.nn.DataParallel(torch.nn.Linear(3, 2)),
    "empty": torch.nn.Sequential,
    **{name: pair.make_torch for name, pair in cnn.PAIRS.items()},
}


@pytest.mark.parametrize("name", TORCH)
def test_torch_modules(name: str, tmp_path: Path) -> None:
    module = TORCH[name]()
    ptformat.torch.save_model(module, tmp_path / "m.ptf")
    check(source_of(module), tmp_path / "m.ptf", elements=True)
    with torch.device("meta"):
        abstract = TORCH[name]()
        check(source_of(abstract, "m"), tmp_path / "m.ptf", elements=False)
    if name != "tied":  # `to` copies what is tied as a view
        check(source_of(TORCH[name]().to("meta")), tmp_path / "m.ptf", elements=False)
    state = module.state_dict()
    assert state.keys() == abstract.state_dict().keys()
    ptformat.torch.save_file(state, tmp_path / "s.ptf")
    check(source_of(state), tmp_path / "s.ptf", elements=True)
    check(source_of(abstract.state_dict()), tmp_path / "s.ptf", elements=False)


def test_some_tensors_have_elements_and_some_have_none() -> None:
    net = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Linear(2, 3, device="meta"))
    held = source_of(net, "half")
    assert [held.has_elements(path) for path in ("0.weight", "0.bias", "1.weight", "1.bias", "0")] == [
        *(True, True, False, False),
        False,
    ]
    assert np.array_equal(held.array("0.weight"), net[0].weight.detach().numpy())
    assert raised("TYPE", lambda: held.array("1.bias")).message.startswith("source 'half' has shapes only: '1.bias'")


def test_parts_of_a_meta_tensor_overlap_as_those_of_any() -> None:
    for device in ("cpu", "meta"):
        whole = torch.empty(6, 4, device=device)
        error = raised("TIE", lambda whole=whole: source_of({"whole": whole, "part": whole[2:5, :3]}))
        assert error.problems == ("'whole' float32 (6, 4) and 'part' float32 (3, 3)",)
        parts = source_of({"a": whole[:3], "b": whole[3:], "c": whole[:3]})
        assert parts.entries[2] == Alias("c", "a")
        assert isinstance(parts.entries[1], TensorInfo)


def test_a_lazy_module_is_to_be_run_first() -> None:
    net = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.LazyLinear(3), torch.nn.LazyBatchNorm1d(affine=False))
    error = raised("TYPE", lambda: source_of(net))
    assert error.problems == tuple(
        f"{path!r}: uninitialised; run a forward pass first"
        for path in ("1.weight", "1.bias", "2.running_mean", "2.running_var")
    )
    net(torch.zeros(4, 2))
    assert [entry.path for entry in source_of(net).entries if isinstance(entry, TensorInfo)][2:4] == [
        "1.weight",
        "1.bias",
    ]


def test_saving_still_refuses_what_has_no_elements(tmp_path: Path) -> None:
    module = torch.nn.Linear(2, 3, device="meta")
    raised("TYPE", lambda: ptformat.torch.save_model(module, tmp_path / "m.ptf"))
    abstract = jax.eval_shape(lambda: {"params": {"w": jnp.ones(3)}})
    error = raised("TYPE", lambda: ptformat.flax.save_file(abstract, tmp_path / "m.ptf"))
    assert error.problems[0].startswith("'params.w': a jax")
    net = nnx.eval_shape(lambda: nnx.Linear(2, 3, rngs=nnx.Rngs(0)))
    assert len(raised("TYPE", lambda: ptformat.flax.save_model(net, tmp_path / "m.ptf")).problems) == 2


# linen


class Net(nn.Module):
    """Boxes, statistics, a shared layer, a layer that is scanned, one that is a Dense and more."""

    @nn.compact
    def __call__(self, x: Any, train: bool = False) -> Any:
        boxed = nn.with_partitioning(nn.initializers.lecun_normal(), ("in", None))
        x = nn.Conv(4, (3, 5), name="conv")(x)
        x = nn.BatchNorm(use_running_average=not train, epsilon=1e-3, name="norm")(x)
        x = nn.Dense(6, kernel_init=boxed, name="boxed")(x.mean((1, 2)))
        twice = nn.Dense(6, use_bias=False, param_dtype=jnp.bfloat16, name="twice")
        return nn.Dropout(0.5, deterministic=not train)(twice(twice(x)))


EXAMPLE = jax.ShapeDtypeStruct((2, 8, 9, 3), jnp.float32)


@pytest.mark.parametrize("frozen", [False, True])
def test_linen_variables(frozen: bool, tmp_path: Path) -> None:
    variables = Net().init(jax.random.key(0), jnp.zeros(EXAMPLE.shape))
    variables = jax.tree.map(lambda leaf: leaf, variables)  # in the order of names, as jax gives trees back
    abstract = jax.eval_shape(Net().init, jax.random.key(0), EXAMPLE)
    if frozen:
        variables, abstract = freeze(variables), freeze(abstract)
    ptformat.flax.save_file(variables, tmp_path / "v.ptf")
    check(source_of(variables), tmp_path / "v.ptf", elements=True)
    held = source_of(abstract, "the net")
    check(held, tmp_path / "v.ptf", elements=False)
    boxed = next(entry for entry in held.entries if entry.path == "params.boxed.kernel")
    assert boxed == TensorInfo(
        "params.boxed.kernel",
        "float32",
        (4, 6),
        role="parameter",
        class_="flax.core.meta.Partitioned",
        attrs={"names": ["in", None]},
    )


def test_linen_modules_with_example_inputs(tmp_path: Path) -> None:
    variables = jax.tree.map(lambda leaf: leaf, Net().init(jax.random.key(0), jnp.zeros(EXAMPLE.shape)))
    ptformat.flax.save_model(Net(), variables, tmp_path / "m.ptf", EXAMPLE)
    check(source_of((Net(), (EXAMPLE,))), tmp_path / "m.ptf", elements=False)
    check(source_of((Net(), [np.zeros(EXAMPLE.shape, np.float32)], {})), tmp_path / "m.ptf", elements=False)
    check(source_of((Net(), (EXAMPLE,), {"train": True})), tmp_path / "m.ptf", elements=False)
    check(source_of((Net(), variables, (EXAMPLE,))), tmp_path / "m.ptf", elements=True)
    abstract = jax.eval_shape(Net().init, jax.random.key(0), EXAMPLE)
    check(source_of((Net(), abstract, (EXAMPLE,), {"train": False})), tmp_path / "m.ptf", elements=False)
    found = {entry.path: entry for entry in source_of((Net(), (EXAMPLE,))).entries}
    assert (found["params.conv"].module, found["params.twice"].class_) == ("conv", "flax.linen.linear.Dense")
    assert found["batch_stats.norm.mean"].axes == ("features",)


def test_a_bound_linen_module_is_its_variables(tmp_path: Path) -> None:
    variables = Net().init(jax.random.key(0), jnp.zeros(EXAMPLE.shape))
    ptformat.flax.save_file(variables, tmp_path / "v.ptf")
    check(source_of(Net().bind(variables)), tmp_path / "v.ptf", elements=True)


def test_a_linen_module_by_itself_has_no_variables() -> None:
    error = raised("TYPE", lambda: source_of(Net()))
    assert "Net by itself has no variables; give it with its example inputs, as (module, (x,))" in error.message
    for given in ((Net(),), (Net(), EXAMPLE), (Net(), {"params": {}}), (Net(), (EXAMPLE,), {}, 3), (Net(), (), 3)):
        assert (
            "Net in a tuple of another form than (module, (x,))" in raised("TYPE", lambda g=given: source_of(g)).message
        )


def test_training_states(tmp_path: Path) -> None:
    params = {"dense": {"bias": jnp.zeros(3), "kernel": jnp.ones((2, 3))}}

    def make() -> TrainState:
        return TrainState.create(apply_fn=None, params=params, tx=optax.adam(1e-3))

    ptformat.flax.save_file(make(), tmp_path / "t.ptf")
    check(source_of(make()), tmp_path / "t.ptf", elements=True)
    held = source_of(jax.eval_shape(make))
    entries, _ = saved(tmp_path / "t.ptf")
    assert [entry.path for entry in held.entries] == [entry.path for entry in entries]
    step = next(entry for entry in held.entries if entry.path == "step")
    assert step == TensorInfo("step", "int32", ())  # a number, which has no shape of its own until it is traced


def test_keys_and_types_that_no_file_holds() -> None:
    abstract = jax.eval_shape(
        lambda: {"rng": jax.random.key(0, impl="rbg"), "many": jax.random.split(jax.random.key(1), 3)}
    )
    found = {entry.path: entry for entry in source_of(abstract).entries}
    key = "jax.dtypes.prng_key"
    assert found["rng"] == TensorInfo("rng", "uint32", (4,), class_=key, attrs={"impl": "rbg"})
    assert found["many"] == TensorInfo("many", "uint32", (3, 2), class_=key, attrs={"impl": "threefry2x32"})
    abstract = {"a": jax.ShapeDtypeStruct((3,), jax.dtypes.float0)}
    assert raised("TYPE", lambda: source_of(abstract)).problems == ("'a': an array of [('float0', 'V')]",)


# nnx


class Own(nnx.Cache):
    """A class of Variables of the user's."""


class Model(nnx.Module):
    """One of most things: kinds, a list, a dict, random and running state, a shared Variable, a submodule twice."""

    def __init__(self, seed: int = 0) -> None:
        rngs = nnx.Rngs(seed, dropout=jax.random.key(seed + 1, impl="rbg"))
        self.embed = nnx.Embed(7, 4, rngs=rngs)
        self.conv = nnx.Conv(2, 4, (3, 5), strides=2, feature_group_count=2, rngs=rngs)
        self.norm = nnx.BatchNorm(4, momentum=0.8, rngs=rngs)
        self.dropout = nnx.Dropout(0.5, rngs=rngs)
        self.blocks = nnx.List([nnx.Linear(2, 3, use_bias=i > 5, rngs=rngs) for i in range(11)])
        self.heads = nnx.Dict({"a.b": nnx.Linear(1, 2, rngs=rngs), "c": nnx.Param(jnp.ones(3))})
        self.tied = self.embed.embedding
        self.again = self.conv
        self.own = Own(jnp.zeros((2, 2), jnp.bfloat16), note="x")
        self.table = nnx.data(jnp.arange(4))


def model() -> Model:
    return Model()


@pytest.mark.parametrize("make", [model, lambda: nnx.Sequential(nnx.Linear(2, 3, rngs=nnx.Rngs(0)), nnx.relu)])
def test_nnx_modules_and_states(make: Callable[[], Any], tmp_path: Path) -> None:
    module, abstract = make(), nnx.eval_shape(make)
    ptformat.flax.save_model(module, tmp_path / "m.ptf")
    check(source_of(module), tmp_path / "m.ptf", elements=True)
    check(source_of(abstract), tmp_path / "m.ptf", elements=False)
    state = nnx.state(module)
    ptformat.flax.save_file(state, tmp_path / "s.ptf")
    check(source_of(state), tmp_path / "s.ptf", elements=True)
    check(source_of(nnx.eval_shape(lambda: nnx.state(make()))), tmp_path / "s.ptf", elements=False)
    if make is not model:  # an array in no Variable is no part of an abstract module's state
        check(source_of(nnx.state(abstract)), tmp_path / "s.ptf", elements=False)
    pure = jax.tree.map(lambda leaf: leaf, nnx.to_pure_dict(state))
    ptformat.flax.save_file(pure, tmp_path / "p.ptf")
    check(source_of(pure), tmp_path / "p.ptf", elements=True)
    check(source_of(jax.eval_shape(lambda: nnx.to_pure_dict(nnx.state(make())))), tmp_path / "p.ptf", elements=False)


def test_what_is_said_of_an_abstract_nnx_module() -> None:
    held = source_of(nnx.eval_shape(model))
    assert held.header == Header(convention="flax.nnx")
    found = {entry.path: entry for entry in held.entries}
    assert found["blocks"] == Node("blocks", "keys", tuple(range(11)), class_="flax.nnx.List")
    assert found["conv"].module == "conv"
    assert found["conv"].attrs["strides"] == 2
    assert found["conv.kernel"] == Alias("conv.kernel", "again.kernel", axes=("y", "x", "in", "out"), role="parameter")
    assert found["tied"] == Alias("tied", "embed.embedding", axes=("num", "features"), role="parameter")
    assert found["norm.mean"] == TensorInfo(
        "norm.mean", "float32", (4,), ("features",), "buffer", class_="flax.nnx.BatchStat"
    )
    assert found["own"].attrs == {"base": "flax.nnx.Cache", "metadata": {"note": "x"}}
    assert not held.has_elements("tied")


# Containers, files, the rest


def test_pure_dicts_without_numbers_and_numpy_arrays() -> None:
    pure = {"linear": {"kernel": jnp.ones((2, 3))}}
    assert source_of(pure).header.convention == "flax.linen"
    assert source_of(pure, convention="nnx").header.convention == "flax.nnx"
    held = source_of({"fc.weight": np.zeros((3, 2))}, "mine")
    assert (held.header, held.name) == (Header(), "mine")
    assert list(held.entries) == [Node("", "flat"), TensorInfo("fc.weight", "float64", (3, 2))]
    assert source_of({"fc.weight": np.zeros((3, 2))}, convention="torch").header.convention == "torch"
    linen = source_of({"params": {"w": np.zeros(2)}}, convention="linen")
    assert linen.header.convention == "flax.linen"
    assert list(linen.entries) == [TensorInfo("params.w", "float64", (2,), role="parameter")]
    assert list(source_of({"a": 1, "b": [None]}).entries) == [Value("a", 1), Node("b", "list"), Value("b.0", None)]


def test_paths_and_sources(tmp_path: Path) -> None:
    ptformat.save_file({"w": np.ones(3)}, tmp_path / "a.ptf")
    for given in (tmp_path / "a.ptf", str(tmp_path / "a.ptf")):
        held = source_of(given)
        assert (held.kind, list(held.entries)) == ("ptf", [TensorInfo("w", "float64", (3,))])
        held.close()
    held = source_of({"w": np.ones(3)})
    assert source_of(held) is held


@pytest.mark.parametrize("thing", [3, None, object(), print, torch.float32, torch.nn.Linear, nnx.Linear, {1, 2}])
def test_what_is_no_source(thing: Any) -> None:
    error = raised("TYPE", lambda: source_of(thing))
    assert "is no source, expected a torch module or state dict, linen variables" in error.message


def test_what_no_file_holds_is_named() -> None:
    assert raised("TYPE", lambda: source_of({"a": torch.ones(1), "b": object()})).problems == (
        "'b': a builtins.object is no torch tensor, value or container",
    )
    assert raised("TYPE", lambda: source_of({"a": jnp.ones(1), "b": object()})).problems == (
        "'b': a builtins.object is no array, value or container",
    )
    held: list[Any] = [np.ones(1)]
    held.append(held)
    raised("TYPE", lambda: source_of(held))


def test_a_plan_between_modules_without_elements() -> None:
    with torch.device("meta"):
        net = deck.net()
    rngs = jax.ShapeDtypeStruct((1, 4), jnp.float32)
    template = source_of((nn.Sequential([nn.Dense(8), nn.relu, nn.Dense(1)]), (rngs,)))
    made = plan(source_of(net), to="linen", template=template, strict=True)
    assert "params/layers_2/kernel" in made.text()


def loaded(code: str, folder: Path) -> set[str]:
    command = [sys.executable, "-c", f"import sys\n{code}\nprint(*sys.modules)"]
    run = subprocess.run(command, capture_output=True, text=True, check=True, cwd=folder)
    return {name.partition(".")[0] for name in run.stdout.split()}


def test_only_the_framework_of_the_object_is_imported(tmp_path: Path) -> None:
    start = "import numpy as np\nfrom ptformat.converters.objects import source_of\n"
    seen = loaded(start + "source_of({'a': np.ones(1), 'b': [{'c': (1, None)}]})", tmp_path)
    assert seen.isdisjoint({"torch", "jax", "flax"})
    seen = loaded(start + "import torch\nsource_of([torch.nn.Linear(1, 1).state_dict()])", tmp_path)
    assert seen.isdisjoint({"jax", "flax"})
    seen = loaded(start + "from flax import nnx\nsource_of(nnx.Linear(1, 1, rngs=nnx.Rngs(0)))", tmp_path)
    assert "torch" not in seen


# By name

MODULE = """
import torch
from flax import linen, nnx
import jax
import jax.numpy as jnp
import numpy as np

net = torch.nn.Linear(2, 3)
state = {"w": torch.ones(2)}
number = 3
file = "a.ptf"

def make():
    return torch.nn.Linear(2, 3, device="meta")

def template():
    return linen.Dense(3), (jnp.ones((1, 2)),)

def abstract():
    return nnx.eval_shape(lambda: nnx.Linear(2, 3, rngs=nnx.Rngs(0)))

class Net(torch.nn.Sequential):
    inner = net

    @classmethod
    def small(cls):
        return cls(net)

def late():
    import ends_of_tests_late
    return ends_of_tests_late.tree

def needs(path):
    return path

def fails():
    raise RuntimeError("no weights here\\nat all")

def leaves():
    raise SystemExit(3)

def nothing():
    pass
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "ends_of_tests.py").write_text(MODULE)
    (tmp_path / "ends_of_tests_late.py").write_text("tree = {'w': [1.0]}")
    (tmp_path / "ends_of_tests_broken.py").write_text("import no_such_package.inner")
    (tmp_path / "ends_of_tests_wrong.py").write_text("1 +")
    monkeypatch.chdir(tmp_path)
    for name in ("", "_late", "_broken", "_wrong"):
        monkeypatch.delitem(sys.modules, f"ends_of_tests{name}", raising=False)
    return tmp_path


def test_objects_by_name(folder: Path) -> None:
    before = list(sys.path)
    net = resolve("ends_of_tests:net")
    assert isinstance(net, torch.nn.Linear)
    assert resolve("ends_of_tests:Net.inner") is net
    assert list(resolve("ends_of_tests:state")) == ["w"]
    assert resolve("ends_of_tests:make").weight.is_meta
    assert len(source_of(resolve("ends_of_tests:template")).entries) == 3
    assert source_of(resolve("ends_of_tests:abstract")).header.convention == "flax.nnx"
    assert len(resolve("ends_of_tests:Net")) == 0
    assert len(resolve("ends_of_tests:Net.small")) == 1
    assert resolve("ends_of_tests:late") == {"w": [1.0]}
    assert resolve("ends_of_tests:file") == "a.ptf"
    assert sys.path == before
    assert os.getcwd() == str(folder)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("ends_of_tests", "'ends_of_tests', expected package.module:name"),
        ("ends_of_tests:", "'ends_of_tests:', expected package.module:name"),
        (":net", "':net', expected package.module:name"),
        ("ends_of_nothing:net", "ends_of_nothing:net: there is no module 'ends_of_nothing'"),
        ("ends_of_nothing.b:net", "ends_of_nothing.b:net: there is no module 'ends_of_nothing'"),
        ("flax.nothing:net", "flax.nothing:net: there is no module 'flax.nothing'"),
        (
            "ends_of_tests_broken:net",
            "ends_of_tests_broken:net: importing ends_of_tests_broken raised ModuleNotFoundError: "
            "No module named 'no_such_package'",
        ),
        ("ends_of_tests_wrong:x", "ends_of_tests_wrong:x: importing ends_of_tests_wrong raised SyntaxError: "),
        ("ends_of_tests:nett", "ends_of_tests:nett: ends_of_tests has no 'nett'; nearest: net"),
        ("ends_of_tests:Net.outer", "ends_of_tests:Net.outer: ends_of_tests.Net has no 'outer'"),
        ("ends_of_tests:fails", "ends_of_tests:fails: calling it raised RuntimeError: no weights here"),
        ("ends_of_tests:leaves", "ends_of_tests:leaves: calling it raised SystemExit: 3"),
        ("ends_of_tests:needs", "ends_of_tests:needs: calling it raised TypeError: needs() missing 1 required"),
        ("ends_of_tests:nothing", "ends_of_tests:nothing is a builtins.NoneType, expected a torch module"),
        ("ends_of_tests:number", "ends_of_tests:number is a builtins.int, expected a torch module"),
        ("ends_of_tests:torch", "ends_of_tests:torch is a builtins.module, expected a torch module"),
    ],
)
def test_names_that_stand_for_nothing(target: str, message: str, folder: Path) -> None:
    before = list(sys.path)
    error = raised("TYPE", lambda: resolve(target))
    assert error.message.startswith(message)
    assert "\n" not in error.message
    assert sys.path == before
    assert isinstance(error, FormatError)
