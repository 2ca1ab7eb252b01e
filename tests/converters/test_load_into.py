"""Any source into a live model of any framework: converted on the way, checked before anything is written."""

import jax
import numpy as np
import pytest
import safetensors.torch
import torch
from flax import linen, nnx
from nets.zoo import mlp, two_tower, vit

import ptformat.flax
import ptformat.torch
from ptformat import FormatError
from ptformat.converters import ConversionError, load_into, torch_to_flax


def state_of(net):
    return {name: tensor.clone() for name, tensor in net.state_dict().items()}


def same(left, right):
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def zeros(abstract):
    return jax.numpy.zeros(abstract.shape, abstract.dtype)


def leaves_of(module):
    return {path: np.asarray(leaf[...]) for path, leaf in nnx.to_flat_state(nnx.state(module, nnx.Param))}


@pytest.fixture(scope="module")
def trained():
    torch.manual_seed(3)
    return vit.torch_net()


@pytest.mark.parametrize("suffix", ["pt", "safetensors", "ptf"])
def test_a_torch_file_into_nnx(trained, suffix, tmp_path):
    path = tmp_path / f"trained.{suffix}"
    if suffix == "pt":
        torch.save(trained.state_dict(), path)
    elif suffix == "safetensors":
        safetensors.torch.save_file(trained.state_dict(), path)
    else:
        ptformat.torch.save_model(trained, path)
    net = vit.nnx_net(nnx.Rngs(9))
    assert load_into(net, path) is net
    images = vit.inputs()
    assert np.abs(vit.run_nnx(net, *images) - vit.run_torch(trained, *images)).max() < 1e-5


def test_linen_variables_into_torch(trained):
    args, kwargs = vit.linen_args()
    variables = torch_to_flax(trained, template=(vit.linen_net(), args, kwargs))
    torch.manual_seed(4)
    fresh = vit.torch_net()
    assert not same(state_of(fresh), state_of(trained))
    identities = {name: id(parameter) for name, parameter in fresh.named_parameters()}
    assert load_into(fresh, variables) is fresh
    assert same(state_of(fresh), state_of(trained))
    assert identities == {name: id(parameter) for name, parameter in fresh.named_parameters()}


def test_nnx_into_linen_variables_leaves_both_as_they_were(trained):
    args, kwargs = vit.linen_args()
    net = vit.nnx_net(nnx.Rngs(9))
    load_into(net, trained)
    abstract = jax.eval_shape(lambda: vit.linen_net().init(jax.random.key(1), *map(zeros, args), **kwargs))
    variables = jax.tree.map(zeros, abstract)
    before = jax.tree.map(np.asarray, variables)
    held = leaves_of(net)
    made = load_into(variables, net)
    assert jax.tree.structure(made) == jax.tree.structure(variables)
    assert all(jax.tree.leaves(jax.tree.map(np.array_equal, before, variables)))
    assert all(np.array_equal(held[path], leaf) for path, leaf in leaves_of(net).items())
    images = vit.inputs()
    got = vit.run_linen(vit.linen_net(), made, *images)
    assert np.abs(got - vit.run_torch(trained, *images)).max() < 1e-5


def test_the_same_framework_needs_no_conversion(trained, tmp_path):
    ptformat.torch.save_file(trained.state_dict(), tmp_path / "trained.ptf")
    torch.manual_seed(4)
    fresh = vit.torch_net()
    load_into(fresh, tmp_path / "trained.ptf")
    assert same(state_of(fresh), state_of(trained))


def test_ties_of_the_model_stay_tied():
    torch.manual_seed(3)
    trained = two_tower.torch_net()
    net = two_tower.nnx_net(nnx.Rngs(9))
    load_into(net, trained)
    assert net.query_encoder is net.document_encoder
    torch.manual_seed(4)
    fresh = two_tower.torch_net()
    load_into(fresh, net)
    assert fresh.query_encoder is fresh.document_encoder
    assert same(state_of(fresh), state_of(trained))
    towers = two_tower.inputs()
    for one, other in zip(two_tower.run_nnx(net, *towers), two_tower.run_torch(fresh, *towers), strict=True):
        assert np.abs(np.asarray(one) - np.asarray(other)).max() < 1e-5


class Short(nnx.Module):
    def __init__(self, rngs):
        self.fc = nnx.Linear(4, 8, rngs=rngs)


@pytest.mark.parametrize(
    ("state", "kind"),
    [
        ({"fc.weight": (7, 4), "fc.bias": (7,)}, "shape"),
        ({"fc.weight": (8, 4), "fc.bias": (8,), "more.weight": (2, 2)}, "unexpected"),
        ({"fc.weight": (8, 4)}, "missing"),
    ],
)
def test_nothing_is_written_when_something_is_wrong(state, kind):
    """`nnx.update` takes all of these in silence."""
    net = Short(nnx.Rngs(0))
    before = leaves_of(net)
    with pytest.raises(ConversionError) as caught:
        load_into(net, {name: torch.ones(shape) for name, shape in state.items()})
    assert kind in {problem.kind for problem in caught.value.problems}
    after = leaves_of(net)
    assert before.keys() == after.keys()
    assert all(np.array_equal(before[path], after[path]) for path in before)


def test_a_torch_module_is_left_alone_too():
    net = torch.nn.Sequential(torch.nn.Linear(4, 8))
    before = state_of(net)
    variables = linen.Dense(8).init(jax.random.key(0), np.ones((1, 5), "f"))
    with pytest.raises(ConversionError):
        load_into(net, variables)
    assert same(before, state_of(net))


def test_only_a_model_can_be_loaded_into(tmp_path):
    with pytest.raises(FormatError, match="no torch module, nnx module or linen variables"):
        load_into({"a": np.ones(3, "f")}, mlp.torch_net())


def test_a_state_for_a_live_module_can_be_merged():
    torch.manual_seed(3)
    trained = two_tower.torch_net()
    net = two_tower.nnx_net(nnx.Rngs(9))
    graph, held = nnx.split(net)
    state = torch_to_flax(trained, template=net)
    paths = [path for path, _ in nnx.to_flat_state(state)]
    assert paths == [path for path, _ in nnx.to_flat_state(held)]
    merged = nnx.merge(graph, state)
    towers = two_tower.inputs()
    for one, other in zip(two_tower.run_nnx(merged, *towers), two_tower.run_torch(trained, *towers), strict=True):
        assert np.abs(np.asarray(one) - np.asarray(other)).max() < 1e-5
