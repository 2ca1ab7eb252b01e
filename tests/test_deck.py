"""The deck's nets, to the letter, through the adapters: torch -> .ptf -> torch and linen -> .ptf -> linen."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from nets import deck

import ptformat
import ptformat.flax
import ptformat.torch


def untied_net() -> torch.nn.Sequential:
    """The shared net's shapes, without a shared layer."""
    sizes = [(4, 8), (8, 8), (8, 8), (8, 1)]
    layers = [layer for size in sizes for layer in (torch.nn.Linear(*size), torch.nn.ReLU())]
    return torch.nn.Sequential(*layers[:-1])


def shapes(variables: Any) -> Any:
    return jax.tree.map(np.shape, variables)


def test_the_file_of_the_net_reads_as_the_deck_says(tmp_path: Path) -> None:
    net = deck.net()
    path = tmp_path / "net.ptf"
    ptformat.torch.save_model(net, path)
    weight = net[2].weight.detach().numpy()
    with ptformat.open(path) as file:
        for leaf in (file.tree[2]["weight"], file.tree[2].weight, file.tree["2.weight"]):
            assert np.array_equal(leaf.data, weight)
            assert leaf.grad is None
        assert np.array_equal(file["2.weight"], weight)
        assert [(name, tensor.shape) for name, tensor in file.walk()] == [
            ("0.weight", (8, 4)),
            ("0.bias", (8,)),
            ("2.weight", (1, 8)),
            ("2.bias", (1,)),
        ]
        assert [(name, tensor.shape) for name, tensor in file.walk()] == [
            (name, tuple(parameter.shape)) for name, parameter in net.named_parameters()
        ]
        assert list(file.tree) == ["0", "1", "2"]
        assert len(file.tree[1]) == 0
        assert file.tree[1].node.class_ == "torch.nn.modules.activation.ReLU"
        assert sum(tensor.size for _, tensor in file.walk()) == 49


def test_gradients_stand_beside_the_data_once_there_are_any(tmp_path: Path) -> None:
    net = deck.net()
    path = tmp_path / "net.ptf"
    ptformat.torch.save_model(net, path, gradients=True)
    with ptformat.open(path) as file:
        assert file.tree[2].weight.grad is None
    net(torch.ones(3, 4)).sum().backward()
    ptformat.torch.save_model(net, path, gradients=True)
    with ptformat.open(path) as file:
        assert file.tree[2].weight.grad.tobytes() == net[2].weight.grad.numpy().tobytes()
        assert file.tree[0].bias.grad.shape == (8,)
        assert [name for name, _ in file.walk()][4:] == ["grad.0.weight", "grad.0.bias", "grad.2.weight", "grad.2.bias"]


def test_the_net_comes_back_in_torch(tmp_path: Path) -> None:
    net, fresh = deck.net(), deck.net(seed=1)
    ptformat.torch.save_model(net, tmp_path / "net.ptf")
    x = torch.arange(8.0).reshape(2, 4)
    assert not torch.equal(net(x), fresh(x))
    ptformat.torch.load_model(fresh, tmp_path / "net.ptf")
    assert torch.equal(net(x), fresh(x))
    ptformat.torch.save_model(fresh, tmp_path / "again.ptf")
    assert (tmp_path / "again.ptf").read_bytes() == (tmp_path / "net.ptf").read_bytes()


@pytest.mark.parametrize("assign", [False, True])
@pytest.mark.parametrize("make", [untied_net, deck.shared_net])
def test_the_shared_layer_is_one_after_the_trip(
    make: Callable[[], torch.nn.Sequential], assign: bool, tmp_path: Path
) -> None:
    net = deck.shared_net()
    path = tmp_path / "net.ptf"
    ptformat.torch.save_model(net, path)
    with ptformat.open(path) as file:
        assert {name: alias.target for name, alias in file.aliases.items()} == {
            "4.weight": "2.weight",
            "4.bias": "2.bias",
        }
        assert file["4.weight"] is file["2.weight"]
    fresh = make()
    with torch.no_grad():
        for parameter in fresh.parameters():
            parameter.zero_()
    ptformat.torch.load_model(fresh, path, assign=assign)
    assert fresh[2].weight is fresh[4].weight
    assert fresh[2].bias is fresh[4].bias
    assert len(list(fresh.parameters())) == 6
    x = torch.arange(8.0).reshape(2, 4)
    assert torch.equal(fresh(x), net(x))
    ptformat.torch.save_model(fresh, tmp_path / "again.ptf")
    assert (tmp_path / "again.ptf").read_bytes() == path.read_bytes()
    with torch.no_grad():
        fresh[2].weight[3, 4] = 42
    assert fresh[4].weight[3, 4] == 42
    fresh(x).sum().backward()
    assert fresh[2].weight.grad is fresh[4].weight.grad
    assert path.read_bytes() == (tmp_path / "again.ptf").read_bytes()


def test_the_gradient_of_the_shared_layer_is_stored_once(tmp_path: Path) -> None:
    net, fresh = deck.shared_net(), untied_net()
    net(torch.ones(2, 4)).sum().backward()
    ptformat.torch.save_model(net, tmp_path / "net.ptf", gradients=True)
    with ptformat.open(tmp_path / "net.ptf") as file:
        assert file.aliases["grad.4.weight"].target == "grad.2.weight"
        assert file.tree[4].weight.grad is file.tree[2].weight.grad
    ptformat.torch.load_model(fresh, tmp_path / "net.ptf", gradients=True)
    assert torch.equal(fresh[4].weight.grad, net[2].weight.grad)


def test_the_shared_tensors_of_a_state_dict_are_one_object(tmp_path: Path) -> None:
    state = deck.shared_net().state_dict()
    ptformat.torch.save_file(state, tmp_path / "net.ptf")
    loaded = ptformat.torch.load_file(tmp_path / "net.ptf")
    assert list(loaded) == list(state)
    assert loaded["2.weight"] is loaded["4.weight"]
    assert loaded["2.bias"] is loaded["4.bias"]
    loaded["2.weight"][0, 0] = 42
    assert loaded["4.weight"][0, 0] == 42
    fresh = untied_net()
    ptformat.torch.load_model(fresh, tmp_path / "net.ptf")
    assert fresh[2].weight is fresh[4].weight


@pytest.mark.parametrize(("make", "tree"), [(deck.linen_net, deck.NET_TREE), (deck.linen_shared_net, deck.SHARED_TREE)])
def test_the_linen_trees_are_the_decks(make: Callable[[], Any], tree: dict[str, Any], tmp_path: Path) -> None:
    module, x = make(), jnp.arange(8.0).reshape(2, 4)
    variables = module.init(jax.random.key(0), x)
    assert shapes(variables) == tree
    path = tmp_path / "net.ptf"
    ptformat.flax.save_model(module, variables, path, x)
    for loaded in (ptformat.flax.load_file(path), ptformat.flax.load_model(module, path, x)):
        assert shapes(loaded) == tree
        assert np.array_equal(module.apply(loaded, x), module.apply(variables, x))
    with ptformat.open(path) as file:
        assert not file.aliases
        assert [file.tree["params"][name].node.module for name in tree["params"]] == ["linear"] * len(tree["params"])
        assert file["params.layers_0.kernel"].shape == (4, 8)
    ptformat.flax.save_model(module, loaded, tmp_path / "again.ptf", x)
    assert ptformat.verify(tmp_path / "again.ptf").tensors == 2 * len(tree["params"])


def test_three_entries_for_the_shared_net(tmp_path: Path) -> None:
    module, x = deck.linen_shared_net(), jnp.ones((1, 4))
    path = tmp_path / "net.ptf"
    ptformat.flax.save_file(module.init(jax.random.key(0), x), path)
    params = ptformat.flax.load_file(path)["params"]
    assert sorted(params) == ["layers_0", "layers_2", "layers_6"]
