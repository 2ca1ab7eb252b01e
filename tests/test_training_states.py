"""Training states of optax and flax: saved, restored in their own types, and trained on from there."""

import collections
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import optax
import pytest
from flax import linen as nn
from flax import struct
from flax.core import FrozenDict, freeze
from flax.training.dynamic_scale import DynamicScale
from flax.training.train_state import TrainState
from sources import bits, same

import ptformat
from ptformat.dtypes import BY_NAME
from ptformat.flax import load, load_file, restore, save, save_file
from ptformat.flax.arrays import is_key


def params_of() -> dict[str, Any]:
    generator = np.random.default_rng(5)
    return {
        "dense": {"kernel": jnp.asarray(generator.normal(size=(3, 4)), "float32"), "bias": jnp.zeros(4)},
        "scale": jnp.asarray(generator.normal(size=4), "bfloat16"),
    }


def loss_of(params: Any, step: int) -> jax.Array:
    x = jnp.asarray(np.random.default_rng(step).normal(size=(8, 3)), "float32")
    y = (jnp.tanh(x @ params["dense"]["kernel"]) + params["dense"]["bias"]) * params["scale"]
    return jnp.mean(jnp.square(y - 1).astype("float32"))


def assert_same(a: Any, b: Any) -> None:
    """Structure (the very types), and every leaf's type, element type and bits."""
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert type(x) is type(y)
        assert same(*(jax.random.key_data(leaf) if is_key(leaf) else leaf for leaf in (x, y)))


def masked(params: Any) -> Any:
    return jax.tree.map(lambda leaf: leaf.ndim > 1, params)


OPTIMIZERS: dict[str, Any] = {
    "sgd": lambda: optax.sgd(0.1),
    "momentum": lambda: optax.sgd(0.1, momentum=0.9, nesterov=True),
    "adam": lambda: optax.adam(optax.cosine_decay_schedule(0.1, 20)),
    "amsgrad": lambda: optax.amsgrad(0.1),
    "adamw of bfloat16": lambda: optax.adamw(0.1, mu_dtype="bfloat16"),
    "chain": lambda: optax.chain(optax.clip_by_global_norm(1.0), optax.add_decayed_weights(0.1), optax.lion(0.01)),
    "masked": lambda: optax.masked(optax.adam(0.1), masked),
    "inject_hyperparams": lambda: optax.inject_hyperparams(optax.adamw)(learning_rate=optax.linear_schedule(1, 0, 9)),
    "inject_hyperparams fixed": lambda: optax.inject_hyperparams(optax.sgd)(learning_rate=0.1, momentum=0.9),
    "multi_steps": lambda: optax.MultiSteps(optax.adam(0.1), every_k_schedule=2).gradient_transformation(),
    "partition": lambda: optax.partition(
        {"a": optax.adam(0.1), "b": optax.set_to_zero()}, {"dense": {"kernel": "a", "bias": "b"}, "scale": "a"}
    ),
    "adafactor": lambda: optax.adafactor(0.1),
    "apply_if_finite": lambda: optax.apply_if_finite(optax.rmsprop(0.1), 3),
    "lookahead of ema": lambda: optax.chain(optax.ema(0.9), optax.trace(0.9), optax.zero_nans()),
    "noise": lambda: optax.chain(optax.add_noise(0.1, 0.5, key=3), optax.adagrad(0.1)),
    "lbfgs": lambda: optax.lbfgs(0.1, linesearch=None),
}


@pytest.mark.parametrize("codec", ["raw", "zstd"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optax_state_goes_on_as_if_it_never_stopped(name: str, codec: str, tmp_path: Path) -> None:
    optimizer = OPTIMIZERS[name]()

    @jax.jit
    def advance(params: Any, state: Any, grads: Any) -> Any:
        updates, state = optimizer.update(grads, state, params)
        return optax.apply_updates(params, updates), state

    def train(params: Any, state: Any, steps: range) -> Any:
        for step in steps:
            params, state = advance(params, state, jax.grad(loss_of)(params, step))
        return params, state

    fresh = params_of(), optimizer.init(params_of())
    stopped = train(*fresh, range(3))
    save_file(stopped, tmp_path / "t.ptf", codec=codec)
    like = fresh
    if name.startswith("inject"):
        # With the rate an array, updates of bfloat16 become float32, and the state with them: not as `init` made it.
        with pytest.raises(ptformat.FormatError, match="float32 in the file, bfloat16 is wanted"):
            load_file(tmp_path / "t.ptf", like=fresh)
        like = jax.eval_shape(advance, *fresh, fresh[0])
    restored = load_file(tmp_path / "t.ptf", like=like)
    assert_same(restored, stopped)
    assert_same(train(*restored, range(3, 6)), train(*stopped, range(3, 6)))


def test_what_is_recorded_of_an_optax_state(tmp_path: Path) -> None:
    state = optax.chain(optax.clip(1.0), optax.masked(optax.scale_by_adam(), masked)).init(params_of())
    save_file(state, tmp_path / "t.ptf")
    with ptformat.open(tmp_path / "t.ptf") as file:
        forms = {e.path: (e.form, e.class_) for e in file.entries if isinstance(e, ptformat.Node)}
        assert forms[""] == ("tuple", None)
        assert forms["0"][0] == forms["1.inner_state.mu.scale"][0] == "namedtuple"
        assert forms["0"][1].endswith(".EmptyState")
        assert forms["1.inner_state"][1].endswith(".ScaleByAdamState")
        assert forms["1.inner_state.mu.scale"][1].endswith(".MaskedNode")
        assert file["1.inner_state.count"].dtype == "int32"
    loaded = load_file(tmp_path / "t.ptf")
    assert isinstance(loaded[1].inner_state, ptformat.Record)
    assert loaded[1].inner_state.count == 0
    assert loaded[1].inner_state.mu["scale"] == ()
    # Records are namedtuples to jax: what is loaded without `like` can be mapped over as it is.
    doubled = jax.tree.map(lambda leaf: leaf * 2 + 1, loaded)
    assert doubled[1].inner_state.count == 1
    assert_same(restore(loaded, state), state)


# TrainState


class Net(nn.Module):
    @nn.compact
    def __call__(self, x: Any, train: bool = True) -> Any:
        x = nn.BatchNorm(use_running_average=not train)(nn.Dense(5)(x))
        return nn.Dense(1)(nn.relu(x))


class State(TrainState):  # type: ignore[misc]
    batch_stats: Any
    key: Any
    scale: DynamicScale


def state_of(optimizer: Any, seed: int) -> State:
    net = Net()
    variables = net.init(jax.random.key(seed), jnp.ones((2, 3)))
    created = State.create(
        apply_fn=net.apply,
        params=variables["params"],
        tx=optimizer,
        batch_stats=freeze(variables["batch_stats"]),
        key=jax.random.key(seed, impl="rbg"),
        scale=DynamicScale(growth_interval=2),
    )
    assert isinstance(created, State)
    return created


def step_of(state: State, seed: int) -> State:
    x = jnp.asarray(np.random.default_rng(seed).normal(size=(4, 3)), "float32")
    key, noise = jax.random.split(state.key)

    def loss(params: Any) -> Any:
        variables = {"params": params, "batch_stats": state.batch_stats}
        y, changed = state.apply_fn(variables, x + jax.random.normal(noise, x.shape), mutable=["batch_stats"])
        return jnp.mean(y**2), changed

    scale, _, (_, changed), grads = state.scale.value_and_grad(loss, has_aux=True)(state.params)
    after = state.apply_gradients(grads=grads, batch_stats=freeze(changed["batch_stats"]), key=key, scale=scale)
    assert isinstance(after, State)
    return after


def test_a_train_state_goes_on_as_if_it_never_stopped(tmp_path: Path) -> None:
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.inject_hyperparams(optax.adamw)(learning_rate=0.01))
    stopped = state_of(optimizer, 1)
    for seed in range(3):
        stopped = step_of(stopped, seed)
    save_file(stopped, tmp_path / "t.ptf")
    fresh = state_of(optimizer, 2)
    restored = load_file(tmp_path / "t.ptf", like=fresh)
    assert type(restored) is State
    assert type(restored.scale) is DynamicScale
    assert type(restored.batch_stats) is FrozenDict
    assert (restored.apply_fn, restored.tx, restored.scale.growth_interval) == (fresh.apply_fn, optimizer, 2)
    assert restored.step == 3
    assert jax.random.key_impl(restored.key) == jax.random.key_impl(stopped.key)
    on, ahead = step_of(restored, 7), step_of(stopped, 7)
    for got, expected in ((restored, stopped), (on, ahead)):
        for name in ("step", "params", "batch_stats", "opt_state"):
            assert_same(getattr(got, name), getattr(expected, name))
        assert same(jax.random.key_data(got.key), jax.random.key_data(expected.key))
        assert_same(got.scale, expected.scale)


def test_what_is_recorded_of_a_train_state(tmp_path: Path) -> None:
    state = state_of(optax.adam(0.1), 0)
    save_file(state, tmp_path / "t.ptf")
    with ptformat.open(tmp_path / "t.ptf") as file:
        root = file.info("")
        assert (root.form, root.class_) == ("map", f"{__name__}.State")
        assert file.info("scale").class_ == "flax.training.dynamic_scale.DynamicScale"
        assert file.info("params.Dense_0.kernel").role == "parameter"
        assert file.info("opt_state.0.mu.Dense_0.kernel").role is None
        assert (file["key"].dtype, file["key"].shape) == ("uint32", (4,))
        assert file.info("key").attrs == {"impl": "rbg"}
        assert file["step"] == 0
    loaded = load_file(tmp_path / "t.ptf")
    assert list(loaded) == ["step", "params", "opt_state", "batch_stats", "key", "scale"]
    assert loaded["opt_state"][0].count == 0
    assert loaded["key"] == state.key


@struct.dataclass
class Empty:
    pass


@struct.dataclass
class Inner:
    a: Any
    name: str = struct.field(pytree_node=False)


def test_dataclasses_anywhere(tmp_path: Path) -> None:
    tree = {"x.y": Inner(jnp.ones(2), "n"), "list": [Empty(), Inner({3: jnp.zeros(1)}, "m")]}
    save_file(tree, tmp_path / "t.ptf")
    assert_same(load_file(tmp_path / "t.ptf", like=tree), tree)
    loaded = load_file(tmp_path / "t.ptf")
    assert loaded["list"] == [{}, {"a": {3: loaded["list"][1]["a"][3]}}]


# PRNG keys


@pytest.mark.parametrize("impl", ["threefry2x32", "rbg", "unsafe_rbg"])
def test_keys_come_back_as_keys(impl: str) -> None:
    tree = {"one": jax.random.key(3, impl=impl), "many": jax.random.split(jax.random.key(4, impl=impl), (2, 3))}
    loaded = load(save(tree))
    for name, keys in tree.items():
        assert loaded[name].dtype == keys.dtype
        assert loaded[name].shape == keys.shape
        assert same(jax.random.key_data(loaded[name]), jax.random.key_data(keys))
    assert same(jax.random.normal(loaded["one"], (3,)), jax.random.normal(tree["one"], (3,)))
    assert_same(load(save(tree), like=tree)["many"].shape, (2, 3))


@pytest.mark.parametrize(("impl", "shape"), [("nothing", (2,)), ("rbg", (2,)), ("rbg", ()), (None, (2,))])
def test_keys_of_no_generator(impl: str | None, shape: tuple[int, ...], tmp_path: Path) -> None:
    with ptformat.Writer(tmp_path / "t.ptf") as out:
        attrs = {"impl": impl}
        out.tensor("key", np.zeros(shape, np.uint32), class_="jax.dtypes.prng_key", attrs=attrs)
    if impl is None:
        assert load_file(tmp_path / "t.ptf")["key"].dtype == jax.random.key(0).dtype
        return
    with pytest.raises(ptformat.FormatError, match=rf"'key': no PRNG keys of '{impl}' are uint32") as caught:
        load_file(tmp_path / "t.ptf")
    assert (caught.value.code, caught.value.path) == ("DTYPE", "key")


# What restore refuses, and what it takes

Pair = collections.namedtuple("Pair", ["count", "mu"])


def test_restore_says_all_problems_at_once() -> None:
    tree = {
        "a": jnp.ones(2),
        "b": [jnp.ones(3), 1],
        "c": ptformat.Record(["count", "mu"], [1, None], "Pair"),
        "name": "x",
        "e": 3,
        "f": jnp.ones(()),
        "more.dots": {"x": b"1"},
    }
    like = {
        "a": jnp.ones((2, 1)),
        "b": (jnp.ones(3, "int32"), "one"),
        "c": Pair(1.5, jnp.ones(2)),
        "name": "y",
        "e": jnp.ones(1),
        "f": 1,
        "gone": jax.ShapeDtypeStruct((4,), "bfloat16"),
    }
    with pytest.raises(ptformat.FormatError) as caught:
        restore(tree, like)
    assert caught.value.code == "MISMATCH"
    assert caught.value.problems == (
        "shape       'a': (2,) in the file, (2, 1) is wanted",
        "dtype       'b.0': float32 in the file, int32 is wanted",
        "type        'b.1': int 1 in the file, the value 'one' is wanted",
        "dtype       'c.count': int in the file, float is wanted",
        "missing     'c.mu': float32 (2,) is wanted",
        "shape       'e': () in the file, (1,) is wanted",
        "dtype       'e': int in the file, float32 is wanted",
        "dtype       'f': float32 in the file, int is wanted",
        "missing     'gone': bfloat16 (4,) is wanted",
        "unexpected  'more\\\\.dots.x': the value b'1' in the file",
    )


def test_a_step_may_be_a_number_or_a_scalar() -> None:
    assert restore({"step": jnp.asarray(3)}, {"step": 0})["step"].dtype == "int32"
    assert restore({"step": 3}, {"step": jax.ShapeDtypeStruct((), "uint32")}) == {"step": 3}
    assert restore({"x": 0.5}, {"x": jnp.asarray(1, "bfloat16")}) == {"x": 0.5}


def test_weak_types_follow_the_pattern() -> None:
    """A float32 scalar of weak type times bfloat16 is bfloat16."""
    like = {"lr": jnp.asarray(0.1), "n": jnp.asarray(1)}
    assert like["lr"].weak_type
    saved = {"lr": jnp.asarray(0.25), "n": jnp.asarray(7)}
    restored = load(save(saved), like=like)
    assert (restored["lr"] * jnp.ones((), "bfloat16")).dtype == "bfloat16"
    assert (restored["lr"].item(), restored["n"].item()) == (0.25, 7)
    assert not load(save(saved), like={"lr": np.zeros((), "float32"), "n": 0})["lr"].weak_type


def test_boxes_are_put_on_again() -> None:
    like = {"params": {"w": nn.Partitioned(jnp.ones((2, 3)), ("a", None))}}
    restored = load(save({"params": {"w": nn.Partitioned(jnp.zeros((2, 3)), ("b", "c"))}}), like=like)
    assert restored["params"]["w"].names == ("a", None)
    assert same(restored["params"]["w"].value, np.zeros((2, 3), np.float32))


def test_restore_of_numpy_trees_and_roots() -> None:
    assert same(restore(np.ones(2, np.float64), np.zeros(2)), np.ones(2))
    assert restore([], []) == []
    assert restore({"a": None}, {"a": None}) == {"a": None}
    assert restore({"a": {}}, {"a": optax.EmptyState()}) == {"a": optax.EmptyState()}


# NumPy and ml_dtypes, by bits


@pytest.mark.parametrize("codec", ["raw", "zstd"])
@pytest.mark.parametrize("name", BY_NAME)
def test_every_dtype_of_numpy_by_bits(name: str, codec: str, tmp_path: Path) -> None:
    shapes = [(3, 5), (), (0, 4), (7,), (64, 65)]
    tree = {"list": [bits(name, shape) for shape in shapes], "fortran": np.asfortranarray(bits(name, (5, 3)))}
    ptformat.save_file(tree, tmp_path / "t.ptf", codec=codec)
    loaded = ptformat.load_tree(tmp_path / "t.ptf")
    assert all(map(same, loaded["list"], tree["list"]))
    assert same(loaded["fortran"], tree["fortran"])


def no_place() -> list[str]:
    """What this release of ml_dtypes has besides the format's types, such as those of six bits."""
    known = [name for name in dir(ml_dtypes) if isinstance(getattr(ml_dtypes, name), type)]
    types = {name for name in known if issubclass(getattr(ml_dtypes, name), np.generic)}
    assert len(types & set(BY_NAME)) >= 14
    return sorted(types - set(BY_NAME))


@pytest.mark.parametrize("name", [*no_place(), "longdouble", "datetime64[s]", "S3", "object"])
def test_types_without_a_place_are_named(name: str, tmp_path: Path) -> None:
    dtype = np.dtype(getattr(ml_dtypes, name, name))
    with pytest.raises(ptformat.FormatError, match=r"a\.b: NumPy type .* has no place") as caught:
        ptformat.save_file({"a": {"b": np.empty(2, dtype)}}, tmp_path / "t.ptf")
    assert (caught.value.code, caught.value.path) == ("DTYPE", "a.b")


# NumPy's random state


def test_a_numpy_random_state_goes_on(tmp_path: Path) -> None:
    generator = np.random.RandomState(3)
    generator.normal(size=7)
    ptformat.save_file({"numpy": generator.get_state()}, tmp_path / "t.ptf")
    again = np.random.RandomState()
    again.set_state(ptformat.load_tree(tmp_path / "t.ptf")["numpy"])
    assert same(again.normal(size=5), generator.normal(size=5))


def test_a_bit_generator_of_128_bits_is_refused_and_says_what_to_do(tmp_path: Path) -> None:
    state = np.random.default_rng(0).bit_generator.state
    with pytest.raises(ptformat.FormatError, match=r"'rng\.state\.state': integer \d+ does not fit int64 or uint64"):
        ptformat.save_file({"rng": state}, tmp_path / "t.ptf")
    as_text = {**state, "state": {name: str(number) for name, number in state["state"].items()}}
    ptformat.save_file({"rng": as_text}, tmp_path / "t.ptf")
    loaded = ptformat.load_tree(tmp_path / "t.ptf")["rng"]
    loaded["state"] = {name: int(text) for name, text in loaded["state"].items()}
    again = np.random.default_rng()
    again.bit_generator.state = loaded
    assert again.random() == np.random.default_rng(0).random()


@pytest.mark.parametrize("kind", [np.random.MT19937, np.random.Philox, np.random.SFC64])
def test_other_bit_generators_go_on(kind: Any, tmp_path: Path) -> None:
    generator = np.random.Generator(kind(5))
    generator.random(3)
    ptformat.save_file(generator.bit_generator.state, tmp_path / "t.ptf")
    again = np.random.Generator(kind())
    again.bit_generator.state = ptformat.load_tree(tmp_path / "t.ptf")
    assert same(again.random(5), generator.random(5))
