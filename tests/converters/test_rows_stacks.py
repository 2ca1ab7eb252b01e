"""Lists of equal layers in torch, stacked in flax on any axis; narrow types to the bit."""

from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
import torch
from flax import nnx
from rows import leaves, normal, randomize, weights

import ptformat.flax
import ptformat.torch
from ptformat.converters import ConversionError, convert, flax_to_torch, plan, torch_to_flax
from ptformat.converters.objects import source_of
from ptformat.converters.stacks import Stack

WIDTH, LAYERS = 4, 5


class Layer(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = torch.nn.Linear(WIDTH, WIDTH)
        self.norm = torch.nn.LayerNorm(WIDTH, 1e-5)

    def forward(self, x: Any) -> Any:
        return self.norm(torch.tanh(self.fc(x)) + x)


class Deep(torch.nn.Module):
    def __init__(self, count: int = LAYERS) -> None:
        super().__init__()
        self.layers = torch.nn.ModuleList(Layer() for _ in range(count))

    def forward(self, x: Any) -> Any:
        for layer in self.layers:
            x = layer(x)
        return x


class LinenLayer(nn.Module):
    @nn.compact
    def __call__(self, x: Any, _: Any = None) -> Any:
        fc = nn.Dense(WIDTH, name="fc")
        return nn.LayerNorm(epsilon=1e-5, use_fast_variance=False, name="norm")(jnp.tanh(fc(x)) + x), None


class LinenDeep(nn.Module):
    axis: int

    def setup(self) -> None:
        self.layers = nn.scan(
            LinenLayer, variable_axes={"params": self.axis}, split_rngs={"params": True}, length=LAYERS
        )()

    def __call__(self, x: Any) -> Any:
        return self.layers(x, None)[0]


class NnxLayer(nnx.Module):
    def __init__(self, rngs: nnx.Rngs) -> None:
        self.fc = nnx.Linear(WIDTH, WIDTH, rngs=rngs)
        self.norm = nnx.LayerNorm(WIDTH, epsilon=1e-5, use_fast_variance=False, rngs=rngs)

    def __call__(self, x: Any) -> Any:
        return self.norm(jnp.tanh(self.fc(x)) + x)


class NnxDeep(nnx.Module):
    def __init__(self, axis: int, rngs: nnx.Rngs) -> None:
        self.axis = axis
        made = nnx.vmap(NnxLayer, in_axes=0, out_axes=axis)
        self.layers = made(rngs.split(LAYERS))

    def __call__(self, x: Any) -> Any:
        run = nnx.scan(lambda x, layer: layer(x), in_axes=(nnx.Carry, self.axis), out_axes=nnx.Carry)
        return run(x, self.layers)


X = normal(3, WIDTH)


@pytest.fixture(scope="module")
def net() -> torch.nn.Module:
    return randomize(Deep()).eval()


@pytest.fixture(scope="module")
def expected(net: torch.nn.Module) -> Any:
    with torch.no_grad():
        return net(torch.from_numpy(X)).numpy()


def run(to: str, axis: int, tree: Any) -> Any:
    if to == "linen":
        return np.asarray(jax.jit(LinenDeep(axis).apply)(tree, X))
    model = NnxDeep(axis, nnx.Rngs(0))
    nnx.update(model, tree)
    return np.asarray(model(jnp.asarray(X)))


def equal(found: dict[str, torch.Tensor], state: dict[str, torch.Tensor]) -> None:
    assert found.keys() == state.keys()
    for key, tensor in state.items():
        assert found[key].dtype == tensor.dtype and found[key].shape == tensor.shape, key
        left, right = (one.contiguous().reshape(-1).view(torch.uint8) for one in (found[key], tensor))
        assert torch.equal(left, right), key


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("to", ["linen", "nnx"])
def test_by_rule_and_by_template(to: str, axis: int, net: torch.nn.Module, expected: Any) -> None:
    ruled = torch_to_flax(net, to=to, stacks=[Stack("layers", axis)])
    template = (LinenDeep(axis), (jnp.asarray(X),)) if to == "linen" else NnxDeep(axis, nnx.Rngs(0))
    matched = torch_to_flax(net, template=template)
    shape = (LAYERS, WIDTH, WIDTH) if axis == 0 else (WIDTH, LAYERS, WIDTH)
    for tree in (ruled, matched):
        kernel = (tree["params"] if to == "linen" else tree)["layers"]["fc"]["kernel"]
        assert kernel.shape == shape
        assert np.abs(run(to, axis, tree) - expected).max() <= 4e-6
    assert all(np.array_equal(leaf, leaves(ruled)[path]) for path, leaf in leaves(matched).items())
    equal(flax_to_torch(matched, template=net), net.state_dict())
    equal(flax_to_torch(matched, unstacks=[("layers", axis)]), net.state_dict())


@pytest.mark.parametrize("axis", [0, 1])
def test_from_one_flavour_to_the_other(axis: int, net: torch.nn.Module, expected: Any, tmp_path: Path) -> None:
    """linen.scan's stack is nnx.vmap's, and becomes a list where the other holds one."""
    variables = torch_to_flax(net, stacks=[Stack("layers", axis)])
    ptformat.flax.save_file(variables, tmp_path / "linen.ptf")
    again = {"unstacks": [("layers", axis)], "stacks": [Stack("layers", axis)]}
    convert(tmp_path / "linen.ptf", tmp_path / "nnx.ptf", to="nnx", durable=False, **again)
    model = ptformat.flax.load_model(NnxDeep(axis, nnx.Rngs(0)), tmp_path / "nnx.ptf", rng_state="keep")
    assert np.abs(run("nnx", axis, weights(model)) - expected).max() <= 4e-6
    convert(tmp_path / "linen.ptf", tmp_path / "list.ptf", to="nnx", unstacks=[("layers", axis)], durable=False)
    listed = ptformat.flax.load_file(tmp_path / "list.ptf")
    assert sorted(listed["layers"]) == list(range(LAYERS))
    assert np.array_equal(listed["layers"][3]["fc"]["kernel"][...], net.layers[3].fc.weight.detach().numpy().T)


@pytest.mark.parametrize("axis", [0, 1])
def test_stacked_on_both_sides(axis: int, net: torch.nn.Module) -> None:
    """Two stacks find each other; where the axis is not the first, a user may have to say it."""
    variables = torch_to_flax(net, stacks=[Stack("layers", axis)])
    said = [("layers", axis)] if axis else []
    made = plan(
        source_of(variables), to="nnx", template=source_of(NnxDeep(axis, nnx.Rngs(0))), unstacks=said, strict=True
    )
    assert {step.source: path for path, step in made.steps.items()} == {f"params.{path}": path for path in made.steps}
    assert len(made.steps) == 4
    assert {step.operation for step in made.steps.values()} == {""}


def test_a_list_called_layers_is_no_sequential() -> None:
    """At the root, nnx's `layers/0` are the children of a Sequential unless its class or the user says otherwise."""

    class Listed(nnx.Module):
        def __init__(self) -> None:
            self.layers = nnx.List([nnx.Linear(2, 3, rngs=nnx.Rngs(0))])

    for model, key in ((Listed(), "layers.0.weight"), (nnx.Sequential(*Listed().layers), "0.weight")):
        assert next(iter(sorted(flax_to_torch(model), reverse=True))) == key


class Nested(torch.nn.Module):
    """Two blocks of three layers."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = torch.nn.ModuleList(Block() for _ in range(2))


class Block(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = torch.nn.ModuleList(torch.nn.Linear(3, 4) for _ in range(3))


def test_stacked_along_two_axes() -> None:
    """A scan in a scan: the template's tensors hold both lists."""
    net = randomize(Nested())
    shapes = {
        "kernel": jax.ShapeDtypeStruct((2, 3, 3, 4), jnp.float32),
        "bias": jax.ShapeDtypeStruct((2, 3, 4), jnp.float32),
    }
    variables = torch_to_flax(net, template={"params": {"blocks": {"inner": shapes}}}, kinds=[("blocks.*", "linear")])
    kernel = variables["params"]["blocks"]["inner"]["kernel"]
    for outer in range(2):
        for inner in range(3):
            weight = net.blocks[outer].inner[inner].weight.detach().numpy()
            assert np.array_equal(kernel[outer, inner], weight.T)
    equal(flax_to_torch(variables, template=net), net.state_dict())
    unstacks = [("blocks", 0), ("blocks/0/inner", 0), ("blocks/1/inner", 0)]
    equal(flax_to_torch(variables, unstacks=unstacks), net.state_dict())


def test_layers_that_take_turns_with_some_left_over(tmp_path: Path) -> None:
    """Five layers of two sorts in turns: two stacks of two, and one that is left."""
    net = randomize(Deep())
    ptformat.torch.save_model(net, tmp_path / "a.ptf")
    stack = Stack("layers", cycle=2, into="sort_{phase}", rest="rest_{n}")
    convert(tmp_path / "a.ptf", tmp_path / "b.ptf", to="linen", stacks=[stack], durable=False)
    params = ptformat.flax.load_file(tmp_path / "b.ptf")["params"]
    assert sorted(params) == ["rest_0", "sort_0", "sort_1"]
    weight = [layer.fc.weight.detach().numpy().T for layer in net.layers]
    for phase, numbers in ((0, (0, 2)), (1, (1, 3))):
        assert np.array_equal(params[f"sort_{phase}"]["fc"]["kernel"], np.stack([weight[n] for n in numbers]))
    assert np.array_equal(params["rest_0"]["fc"]["kernel"], weight[4])
    convert(tmp_path / "b.ptf", tmp_path / "c.ptf", to="torch", durable=False)  # as recorded
    equal(ptformat.torch.load_file(tmp_path / "c.ptf"), net.state_dict())


def test_layers_that_are_not_equal_are_no_stack() -> None:
    net = randomize(Deep(3))
    net.layers[1].fc = torch.nn.Linear(WIDTH, WIDTH, bias=False)
    with pytest.raises(ConversionError) as caught:
        torch_to_flax(net, stacks=[Stack("layers")])
    assert "params/layers/fc/bias cannot be stacked: layers [1] have none" in str(caught.value)


NARROW = {
    "bfloat16": (torch.bfloat16, ml_dtypes.bfloat16, torch.uint16),
    "float16": (torch.float16, np.float16, torch.uint16),
    "float8_e4m3fn": (torch.float8_e4m3fn, ml_dtypes.float8_e4m3fn, torch.uint8),
    "float8_e5m2": (torch.float8_e5m2, ml_dtypes.float8_e5m2, torch.uint8),
}


@pytest.mark.parametrize("to", ["linen", "nnx"])
@pytest.mark.parametrize("name", NARROW)
def test_every_bit_of_a_narrow_type(name: str, to: str) -> None:
    """NaNs with payloads, infinities, subnormals, both zeros: every pattern of 8 bits, or as many of 16."""
    dtype, numpy, unsigned = NARROW[name]
    patterns = torch.arange(256) * (257 if unsigned is torch.uint16 else 1)
    state = {"fc.weight": patterns.to(torch.int32).to(unsigned).view(dtype).reshape(8, 32)}
    tree = torch_to_flax(state, to=to, kinds=[("fc", "linear")])
    kernel = (tree["params"] if to == "linen" else tree)["fc"]["kernel"]
    kernel = np.asarray(kernel[...] if to == "nnx" else kernel)
    assert kernel.dtype == numpy
    raw = np.uint16 if unsigned is torch.uint16 else np.uint8
    assert np.array_equal(kernel.view(raw), state["fc.weight"].view(unsigned).numpy().T)
    back = flax_to_torch(tree)
    assert back["fc.weight"].dtype == dtype
    assert torch.equal(back["fc.weight"].contiguous().view(unsigned), state["fc.weight"].view(unsigned))
