"""Conversion of what is in memory: modules, state dicts, variables; nothing of the caller's is changed."""

import tempfile
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from nets import cnn, deck

import ptformat.torch
from ptformat import FormatError
from ptformat.converters import ConversionError, flax_to_torch, torch_to_flax


def shapes(tree):
    return jax.tree.map(lambda array: array.shape, tree)


def test_the_decks_net():
    net = deck.net()
    variables = torch_to_flax(net)
    assert shapes(variables) == deck.NET_TREE
    assert isinstance(variables["params"]["layers_0"]["kernel"], jax.Array)
    assert np.array_equal(variables["params"]["layers_0"]["kernel"], net[0].weight.detach().numpy().T)


def test_the_shared_layer_is_one_entry_and_one_tensor_again():
    net = deck.shared_net()
    variables = torch_to_flax(net)
    assert shapes(variables) == deck.SHARED_TREE
    assert len(variables["params"]) == 3
    state = flax_to_torch(variables, template=net)
    assert list(state) == list(net.state_dict())
    assert all(torch.equal(state[key], tensor) for key, tensor in net.state_dict().items())
    assert state["4.weight"] is state["2.weight"]
    state["2.weight"][0, 0] = 7.0
    assert state["4.weight"][0, 0].item() == 7.0
    assert net[2].weight[0, 0].item() != 7.0  # the caller's module is not the result's


def test_without_a_template_a_shared_layer_has_one_name():
    state = flax_to_torch(torch_to_flax(deck.shared_net()))
    assert list(state) == ["0.weight", "0.bias", "2.weight", "2.bias", "6.weight", "6.bias"]


@pytest.mark.parametrize("name", cnn.PAIRS)
def test_every_net_there_and_back(name):
    pair = cnn.PAIRS[name]
    net = pair.make_torch()
    before = {key: tensor.clone() for key, tensor in net.state_dict().items()}
    variables = torch_to_flax(net)
    with torch.no_grad():
        expected = net(torch.from_numpy(pair.example)).numpy()
    found = pair.from_linen(np.asarray(pair.make_linen().apply(variables, pair.to_linen(pair.example))))
    assert np.abs(found - expected).max() <= 4e-6
    state = flax_to_torch(variables, template=net)
    assert list(state) == list(before)
    for key, tensor in before.items():
        assert state[key].dtype == tensor.dtype
        back = torch.zeros_like(tensor) if key.endswith("num_batches_tracked") else tensor  # linen has no such tensor
        assert torch.equal(state[key], back), key
        assert torch.equal(net.state_dict()[key], tensor), key


def test_a_state_dict_has_no_classes_and_so_guesses():
    state = {"stem.weight": torch.zeros(4, 4, 3, 3)}
    assert shapes(torch_to_flax(state)) == {"params": {"stem": {"kernel": (3, 3, 4, 4)}}}
    with pytest.raises(ConversionError, match="conv_transpose"):
        torch_to_flax(state, strict=True)
    assert shapes(torch_to_flax(state, strict=True, kinds=[("stem", "conv")])) == {
        "params": {"stem": {"kernel": (3, 3, 4, 4)}}
    }


def test_variables_as_a_template():
    net = deck.net()
    template = {"params": {"first": {"kernel": jnp.zeros((4, 8)), "bias": jnp.zeros(8)}, "last": {}}}
    template["params"]["last"] = {"bias": jnp.zeros(1), "kernel": jnp.zeros((8, 1))}
    variables = torch_to_flax(net, template=template, renames=[("0", "first"), ("2", "last")])
    assert shapes(variables) == shapes(template)
    assert np.array_equal(variables["params"]["last"]["kernel"], net[2].weight.detach().numpy().T)


def test_files_on_either_side(tmp_path):
    net = deck.net()
    ptformat.torch.save_model(net, tmp_path / "net.ptf")
    variables = torch_to_flax(tmp_path / "net.ptf")
    state = flax_to_torch(variables, template=tmp_path / "net.ptf")
    assert all(torch.equal(state[key], tensor) for key, tensor in net.state_dict().items())
    assert [path.name for path in tmp_path.iterdir()] == ["net.ptf"]


def test_what_jax_would_narrow_is_refused_with_the_remedy():
    state = {"fc.weight": torch.zeros(2, 3), "fc.bias": torch.zeros(2), "steps": torch.tensor(2**40 + 5)}
    with pytest.raises(FormatError, match=r"steps.*int64|int64.*steps") as caught:
        torch_to_flax(state)
    assert caught.value.code == "DTYPE"
    assert shapes(torch_to_flax(state, drop=["steps"])) == {"params": {"fc": {"bias": (2,), "kernel": (3, 2)}}}


def test_bfloat16_keeps_its_bits():
    weight = torch.randn(5, 3, generator=torch.Generator().manual_seed(0)).to(torch.bfloat16)
    variables = torch_to_flax({"fc.weight": weight, "fc.bias": torch.zeros(5, dtype=torch.bfloat16)})
    kernel = variables["params"]["fc"]["kernel"]
    assert kernel.dtype == jnp.bfloat16
    assert np.array_equal(np.asarray(kernel).view(np.uint16), weight.view(torch.uint16).numpy().T)


def test_nothing_is_left_behind(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    variables = torch_to_flax(deck.net())
    assert list(Path(tmp_path).iterdir()) == []
    assert float(jnp.abs(variables["params"]["layers_0"]["kernel"]).sum()) > 0  # its memory outlives the file's name
