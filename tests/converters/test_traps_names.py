"""Traps of names and of values: numbers that sort as text, suffixes, dots, what frameworks take without a word."""

from contextlib import closing
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax import nnx
from rows import randomize

import ptformat
import ptformat.flax
import ptformat.torch
from ptformat.converters import ConversionError, convert, flax_to_torch, plan, torch_to_flax
from ptformat.converters.live import load_into
from ptformat.converters.objects import source_of
from ptformat.converters.stacks import Stack
from ptformat.errors import FormatError


class TestTwelveLayers:
    """`layers_10` sorts before `layers_2`: twelve layers of one shape, told apart by their values alone."""

    def net(self) -> torch.nn.Module:
        return randomize(torch.nn.Sequential(*(torch.nn.Linear(3, 3) for _ in range(12))))

    def check(self, net: torch.nn.Module, kernel: Any) -> None:
        for number, layer in enumerate(net):
            assert np.array_equal(kernel(number), layer.weight.detach().numpy().T), number

    def test_by_style(self) -> None:
        net = self.net()
        params = torch_to_flax(net)["params"]
        assert [*params][:3] == ["layers_0", "layers_1", "layers_2"]
        self.check(net, lambda number: params[f"layers_{number}"]["kernel"])

    def test_into_a_linen_template(self) -> None:
        net = self.net()
        model = nn.Sequential([nn.Dense(3) for _ in range(12)])
        variables = torch_to_flax(net, template=(model, (jnp.zeros((1, 3)),)))
        self.check(net, lambda number: variables["params"][f"layers_{number}"]["kernel"])
        sorted_by_text = {"params": {name: variables["params"][name] for name in sorted(variables["params"])}}
        back = flax_to_torch(sorted_by_text)
        assert all(torch.equal(back[key], tensor) for key, tensor in net.state_dict().items())

    def test_into_an_nnx_template(self) -> None:
        net = self.net()
        state = torch_to_flax(net, template=nnx.Sequential(*(nnx.Linear(3, 3, rngs=nnx.Rngs(0)) for _ in range(12))))
        self.check(net, lambda number: state["layers"][number]["kernel"][...])

    def test_by_order(self) -> None:
        """A compact module numbers its layers too."""

        class Compact(nn.Module):
            @nn.compact
            def __call__(self, x: Any) -> Any:
                for _ in range(12):
                    x = nn.Dense(3)(x)
                return x

        net = self.net()
        variables = torch_to_flax(net, template=(Compact(), (jnp.zeros((1, 3)),)), by_order=True)
        self.check(net, lambda number: variables["params"][f"Dense_{number}"]["kernel"])

    def test_stacked(self) -> None:
        net = torch.nn.ModuleDict({"h": torch.nn.ModuleList(self.net())})
        kernel = torch_to_flax(net, stacks=[Stack("h")])["params"]["h"]["kernel"]
        self.check(net["h"], lambda number: kernel[number])


class TestWideIntegers:
    """int64 does not enter JAX unless it is told to: it would be narrowed without a word."""

    def test_refused(self) -> None:
        net = torch.nn.Linear(2, 3)
        net.register_buffer("ids", torch.tensor([2**40, -1]))
        with pytest.raises(FormatError) as caught:
            torch_to_flax(net)
        assert caught.value.code == "DTYPE"
        assert "ids" in str(caught.value) and "int64" in str(caught.value)

    def test_dropped_or_cast_on_purpose(self) -> None:
        net = torch.nn.Linear(2, 3)
        net.register_buffer("ids", torch.tensor([7, -1]))
        assert sorted(torch_to_flax(net, drop=["ids"])) == ["params"]
        ids = torch_to_flax(net, cast=[("buffers/ids", "int32")])["buffers"]["ids"]
        assert (ids.dtype, ids.tolist()) == (jnp.int32, [7, -1])

    def test_a_file_keeps_it(self, tmp_path: Path) -> None:
        net = torch.nn.Linear(2, 3)
        net.register_buffer("ids", torch.tensor([2**40, -1]))
        ptformat.torch.save_model(net, tmp_path / "a.ptf")
        convert(tmp_path / "a.ptf", tmp_path / "b.ptf", to="linen", durable=False)
        convert(tmp_path / "b.ptf", tmp_path / "c.ptf", to="torch", durable=False)
        assert torch.equal(ptformat.torch.load_file(tmp_path / "c.ptf")["ids"], net.ids)


class TestSilence:
    """`nnx.update` takes wrong shapes, missing and unknown names without a word; what loads here does not."""

    @pytest.mark.parametrize(
        ("wrong", "kind"),
        [
            ({"weight": (3, 5), "bias": (3,)}, "shape"),
            ({"weight": (3, 2)}, "missing"),
            ({"weight": (3, 2), "bias": (3,), "more": (3,)}, "unexpected"),
        ],
    )
    def test_of_update(self, wrong: dict[str, tuple[int, ...]], kind: str) -> None:
        model = nnx.Dict(fc=nnx.Linear(2, 3, rngs=nnx.Rngs(0)))
        state = torch_to_flax(
            {f"fc.{name}": torch.ones(shape) for name, shape in wrong.items()},
            to="nnx",
            kinds=[("fc", "linear")] if kind != "unexpected" else (),
        )
        other = nnx.Dict(fc=nnx.Linear(2, 3, rngs=nnx.Rngs(0)))
        nnx.update(other, state)  # without a word
        before = np.asarray(model.fc.kernel[...])
        with pytest.raises(ConversionError) as caught:
            load_into(model, {f"fc.{name}": torch.ones(shape) for name, shape in wrong.items()})
        assert kind in {problem.kind for problem in caught.value.problems}
        assert np.array_equal(model.fc.kernel[...], before)

    def test_of_apply(self) -> None:
        """linen takes leaves that it has no use for; a template does not."""
        model = nn.Dense(3)
        params = {"kernel": jnp.ones((2, 3)), "bias": jnp.ones(3)}
        model.apply({"params": {**params, "more": jnp.ones(3)}}, jnp.ones((1, 2)))  # without a word
        state = {"weight": torch.ones(3, 2), "bias": torch.ones(3), "more": torch.ones(3)}
        with pytest.raises(ConversionError) as caught:
            torch_to_flax(state, template={"params": params})
        assert "more (3,) has no target" in str(caught.value)


def test_a_weight_beside_what_was_made_of_it(tmp_path: Path) -> None:
    """bitsandbytes: `fc.weight` is a tensor, and `fc.weight.absmax` one too."""
    state = {
        "fc.weight": torch.zeros(6, 1, dtype=torch.uint8),
        "fc.weight.absmax": torch.ones(2),
        "a.weight": torch.ones(3, 2),
    }
    ptformat.torch.save_file(state, tmp_path / "a.ptf")
    found = ptformat.torch.load_file(tmp_path / "a.ptf")
    assert [*found] == [*state]
    made = plan(tmp_path / "a.ptf", to="linen", drop=["fc.*"], kinds=[("a", "linear")])
    assert [*made.steps] == ["params.a.kernel"]
    convert(
        tmp_path / "a.ptf",
        tmp_path / "b.ptf",
        to="linen",
        drop=["fc.weight.absmax"],
        kinds=[("*", "linear")],
        durable=False,
    )
    assert ptformat.flax.load_file(tmp_path / "b.ptf")["params"]["fc"]["kernel"].shape == (1, 6)


def test_keys_with_dots() -> None:
    """A dot within a key is one of torch's boundaries; where it cannot be, that is said, not split in silence."""
    layer = {"kernel": jnp.ones((2, 3))}
    assert [*flax_to_torch({"params": {"a.b": layer, "c.d": layer}})] == ["a.b.weight", "c.d.weight"]
    with pytest.raises(ConversionError) as caught:
        flax_to_torch({"params": {"a": layer, "a.b": layer}})
    assert [problem.kind for problem in caught.value.problems] == ["unsupported"]
    assert "would be a.b.weight, a name with a dot in it" in str(caught.value)
    found = flax_to_torch({"params": {"a": layer, "a.b": layer}}, renames=[("a.b", "c")])
    assert sorted(found) == ["a.weight", "c.weight"]


def test_scalars_and_what_is_empty(tmp_path: Path) -> None:
    """() stays (), and a tensor without elements keeps its shape, transposed where it is a kernel."""

    class Odd(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gain = torch.nn.Parameter(torch.tensor(2.5))
            self.fc = torch.nn.Linear(2, 3)
            self.fc.weight = torch.nn.Parameter(torch.empty(0, 2))
            self.fc.bias = torch.nn.Parameter(torch.empty(0))

    net = Odd()
    for to in ("linen", "nnx"):
        tree = torch_to_flax(net, to=to)
        params = tree["params"] if to == "linen" else tree
        gain, kernel = params["gain"][...], params["fc"]["kernel"][...]
        assert (gain.shape, float(gain)) == ((), 2.5)
        assert (kernel.shape, params["fc"]["bias"].shape) == ((2, 0), (0,))
        back = flax_to_torch(tree)
        assert {key: tensor.shape for key, tensor in back.items()} == {
            key: tensor.shape for key, tensor in net.state_dict().items()
        }
        assert float(back["gain"]) == 2.5


@pytest.mark.parametrize("shape", [(), (3,), (3, 4)])
@pytest.mark.parametrize("name", ["scale", "kernel", "embedding"])
def test_a_tensor_of_the_users_own_by_the_name_of_a_kinds(name: str, shape: tuple[int, ...]) -> None:
    """Such as the scale of a layer's output: in torch no kind has that name, in flax a norm does."""
    net = torch.nn.ModuleDict({"fc": torch.nn.Linear(2, 3), "own": torch.nn.Module()})
    net["own"].register_parameter(name, torch.nn.Parameter(torch.randn(shape)))
    tree = torch_to_flax(net)
    assert np.array_equal(tree["params"]["own"][name], net["own"].state_dict()[name].numpy())
    again = torch_to_flax(net, template=tree)
    assert np.array_equal(again["params"]["own"][name], tree["params"]["own"][name])
    found = flax_to_torch(tree, template=net)
    assert all(torch.equal(found[key], tensor) for key, tensor in net.state_dict().items())


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod."])
def test_a_wrapper_around_the_net(prefix: str) -> None:
    """Every name begins with what DataParallel or torch.compile puts before it."""
    state = {f"{prefix}{key}": tensor for key, tensor in torch.nn.Linear(2, 3).state_dict().items()}
    params = torch_to_flax(state, prefix=(prefix.strip("."), "net"), kinds=[("*", "linear")])["params"]
    assert params["net"]["kernel"].shape == (2, 3)


def test_batches_are_not_counted_in_flax() -> None:
    net = torch.nn.Sequential(torch.nn.BatchNorm1d(3))
    net(torch.randn(4, 3))
    assert int(net[0].num_batches_tracked) == 1
    with closing(source_of(net)) as held:
        made = plan(held, to="linen")
    assert made.dropped == ["0.num_batches_tracked: linen has no such tensor; it comes back as 0"]
    back = flax_to_torch(torch_to_flax(net))
    assert back["0.num_batches_tracked"].dtype == torch.int64
    assert int(back["0.num_batches_tracked"]) == 0


def test_a_subclass_may_mean_something_else() -> None:
    """It has a Linear's names and shapes, and another layout: as its class is not Linear's, nothing is granted."""

    class Transposed(torch.nn.Linear):
        def forward(self, x: Any) -> Any:
            return x @ self.weight + self.bias

    net = torch.nn.ModuleDict({"m": Transposed(3, 3)})
    with pytest.raises(ConversionError) as caught:
        torch_to_flax(net, strict=True)
    assert {problem.kind for problem in caught.value.problems} == {"guess"}
    kernel = torch_to_flax(net, kinds=[("m", "linear:in_out")], strict=True)["params"]["m"]["kernel"]
    assert np.array_equal(kernel, net["m"].weight.detach().numpy())
