"""What a conversion must tell as a guess or refuse, in cases that invite a wrong one."""

import time

import numpy as np
import pytest
import torch
from flax import nnx

import ptformat.flax
import ptformat.torch
from ptformat.converters import ConversionError, convert, flax_to_torch, plan, torch_to_flax
from ptformat.converters.objects import source_of


def source(convention, **shapes):
    """Arrays of float32 by path, `/` between segments where the framework nests."""
    tree = {}
    for path, shape in shapes.items():
        inner = tree
        *above, last = [path] if convention == "torch" else path.split("/")
        for segment in above:
            inner = inner.setdefault(segment, {})
        inner[last] = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    return source_of(tree, convention=convention)


def layers(name, shape, count=3):
    return source("torch", **{f"layers.{i}.{name}": shape for i in range(count)})


def test_axis_of_a_stack_that_another_axis_may_be_is_a_guess():
    template = source("linen", **{"params/layers/lin/kernel": (3, 3, 4)})
    made = plan(layers("lin.weight", (4, 3)), to="linen", template=template)
    assert [step.guess for step in made.steps.values()] == ["stacked on axis 1"]
    with pytest.raises(ConversionError, match="stacked on axis 1"):
        plan(layers("lin.weight", (4, 3)), to="linen", template=template, strict=True)
    back = plan(template, to="torch", template=layers("lin.weight", (4, 3)))
    assert {step.guess for step in back.steps.values()} == {"stacked on axis 1"}


def test_axis_of_a_stack_that_one_axis_alone_can_be_is_no_guess():
    template = source("linen", **{"params/layers/lin/kernel": (3, 5, 4), "params/layers/lin/bias": (3, 4)})
    lists = {f"layers.{i}.lin.{name}": shape for i in range(3) for name, shape in (("weight", (4, 5)), ("bias", (4,)))}
    assert not plan(source("torch", **lists), to="linen", template=template, strict=True).guesses
    assert not plan(template, to="torch", template=source("torch", **lists), strict=True).guesses


def test_guess_of_layers_stays_one_where_a_template_stacks_them():
    template = source("linen", **{"params/layers/conv/kernel": (2, 3, 5, 5)})
    made = plan(layers("conv.weight", (5, 5, 3), count=2), to="linen", template=template)
    assert [step.guess for step in made.steps.values()] == ["conv_transpose"]


def test_stack_of_one_layer():
    template = source("linen", **{"params/layers/lin/kernel": (1, 5, 4)})
    made = plan(layers("lin.weight", (4, 5), count=1), to="linen", template=template)
    (step,) = made.steps.values()
    assert (step.target.shape, step.guess) == ((1, 5, 4), "")
    back = plan(template, to="torch", template=layers("lin.weight", (4, 5), count=1))
    assert [step.target.shape for step in back.steps.values()] == [(4, 5)]


def test_cell_of_a_recurrent_layer_and_of_a_submodule_called_as_it_are_not_mixed_up():
    cells = {"weight_ih": (12, 5), "weight_hh": (12, 3)}
    held = {f"rnn.{name}_l0": shape for name, shape in cells.items()}
    with pytest.raises(ConversionError, match=r"ih_l0 and rnn\.l0\.weight_ih are both weight_ih of rnn\.l0"):
        plan(source("torch", **held, **{f"rnn.l0.{name}": shape for name, shape in cells.items()}), to="linen")


def test_parameters_of_a_module_called_buffers_keep_its_name():
    class Inner(nnx.Module):
        def __init__(self):
            self.gain = nnx.Param(np.ones(3, np.float32))

    class Net(nnx.Module):
        def __init__(self):
            self.buffers = Inner()

    assert [*flax_to_torch(Net())] == ["buffers.gain"]


def test_buffers_stand_aside_in_nnx_as_nothing_that_is_trained():
    net = torch.nn.Module()
    net.register_buffer("table", torch.arange(4.0))
    state = torch_to_flax(net, to="nnx")
    assert isinstance(state["buffers"]["table"], nnx.BatchStat)
    assert {name: value.tolist() for name, value in flax_to_torch(state).items()} == {"table": [0.0, 1.0, 2.0, 3.0]}


def test_a_weight_norm_that_is_the_whole_model_has_no_place_in_linen():
    net = torch.nn.utils.parametrizations.weight_norm(torch.nn.Linear(3, 4))
    text = "the whole model is a weight_norm_linear; linen keeps the magnitude under the layer's name, and it has none"
    with pytest.raises(ConversionError, match=text):
        plan(source_of(net), to="linen")
    assert [*plan(source_of(net), to="nnx").steps] == ["layer_instance.bias", "scales.kernel", "layer_instance.kernel"]


def test_a_layer_that_is_the_whole_model_goes_on_from_a_state(tmp_path):
    """The root of a State of one layer has the State's class, and is a layer all the same."""
    layer = nnx.Linear(3, 4, rngs=nnx.Rngs(0))
    assert [*plan(source_of(nnx.state(layer)), to="torch").steps] == ["weight", "bias"]
    net = torch.nn.Linear(3, 3)
    ptformat.torch.save_model(net, tmp_path / "a.ptf", durable=False)
    convert(tmp_path / "a.ptf", tmp_path / "b.ptf", to="nnx", durable=False)
    assert isinstance(ptformat.flax.load_file(tmp_path / "b.ptf"), nnx.State)
    on = plan(tmp_path / "b.ptf", to="linen", strict=True)
    assert {path: step.evidence for path, step in on.steps.items()} == {
        "params.kernel": "linear: recorded in the file",
        "params.bias": "linear: recorded in the file",
    }


def test_what_is_not_trained_in_nnx_is_no_parameter_of_linens():
    class Net(nnx.Module):
        def __init__(self):
            self.gain = nnx.Param(np.ones(3, np.float32))
            self.seen = nnx.BatchStat(np.ones(2, np.float32))

    found = plan(source_of(Net()), to="linen")
    assert [*found.steps] == ["params.gain", "buffers.seen"]
    net = torch.nn.Module()
    net.register_buffer("mask", torch.ones(3, dtype=torch.bool))
    aside = torch_to_flax(net, to="nnx")
    assert [*plan(source_of(aside), to="linen").steps] == ["buffers.mask"]


def test_planning_takes_time_that_grows_with_the_tree():
    def seconds(count):
        names = {"query": (4, 2, 2), "key": (4, 2, 2), "value": (4, 2, 2), "out": (2, 2, 4)}
        held = source("linen", **{f"params/l{i}/{n}/kernel": shape for i in range(count) for n, shape in names.items()})
        started = time.process_time()
        plan(held, to="torch")
        return time.process_time() - started

    seconds(10)
    assert seconds(1600) < 8 * seconds(400)  # that of a loop over all modules in each would be 16 times as long
