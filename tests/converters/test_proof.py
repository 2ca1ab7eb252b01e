"""Two models give the same outputs, or the layer that does not is named; nothing of the caller's is changed."""

from collections import OrderedDict
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
import torch
from flax import nnx
from nets import bert_linen, bert_torch, cnn, deck, minilm

from ptformat.converters import torch_to_flax
from ptformat.converters.proof import verify_conversion
from ptformat.converters.proof_layers import paired
from ptformat.converters.proof_numbers import AXIS_1_LAST, MERGED, ProofError, measure, measure_layouts

RNG = np.random.default_rng(5)
X = RNG.standard_normal((5, 4), np.float32)
IMAGES = ("cnn", "conv1d", "conv3d")


def of(net):
    return torch_to_flax(net)


def bert_pair(listed=False):
    net = bert_torch.bert(minilm.TINY)
    ids = RNG.integers(0, 53, (2, 9))
    mask = np.ones_like(ids)
    mask[1, 5:] = 0
    style = {"style": "linen-list"} if listed else {}
    variables = torch_to_flax(net, drop=["*position_ids"], **style)
    return net, bert_linen.bert(minilm.TINY, listed=listed), (ids, mask), variables


# The models of the repository.


@pytest.mark.parametrize("name", cnn.PAIRS)
def test_nets_are_equal_and_each_layer_is_compared(name):
    pair = cnn.PAIRS[name]
    net = pair.make_torch()
    layout = "channels_last" if name in IMAGES else "same"
    found = verify_conversion(net, pair.make_linen(), pair.example, variables=of(net), layout=layout)
    assert found.equal and found.first is None
    assert found.outputs[0].absolute <= 2e-6
    assert found.outputs[0].shape == tuple(net(torch.from_numpy(pair.example)).shape)
    held = {key.rpartition(".")[0] for key in net.state_dict()}
    assert [layer.torch for layer in found.layers] == [name for name, _ in net.named_modules() if name in held]
    assert all(layer.absolute <= 4e-6 for layer in found.layers)
    assert found.left_out == () and found.alone[1] == ()
    moved = {layer.layout for layer in found.layers}
    assert moved <= ({"", AXIS_1_LAST} if name in IMAGES else {""})


def test_a_shared_layer_is_compared_at_each_call():
    net = deck.shared_net()
    found = verify_conversion(net, deck.linen_shared_net(), X, variables=of(net))
    assert [(layer.torch, layer.flax, layer.call) for layer in found.layers] == [
        ("0", "layers_0", 0),
        ("2", "layers_2", 0),
        ("2", "layers_2", 1),
        ("6", "layers_6", 0),
    ]
    assert found.alone == (("1", "3", "5"), ())
    assert net.training


@pytest.mark.parametrize("listed", [False, True])
def test_an_encoder_and_the_one_square_kernel_that_is_not_transposed(listed):
    net, model, inputs, variables = bert_pair(listed)
    found = verify_conversion(net, model, *inputs, variables=variables)
    assert found.equal
    assert [output.path for output in found.outputs] == ["0", "1"]
    assert len(found.layers) == len([m for m in net.modules() if not isinstance(m, torch.nn.ModuleList)]) - 1
    place = variables["params"]["encoder"]
    layer = place["layer_3"] if listed else place["layer"]["3"]
    key = layer["attention"]["self"]["key"]
    key["kernel"] = key["kernel"].T
    found = verify_conversion(net, model, *inputs, variables=variables)
    assert not found.equal and found.first is not None
    assert found.first.torch == "encoder.layer.3.attention.self.key"
    assert found.first.flax == f"encoder/{'layer_3' if listed else 'layer/3'}/attention/self/key"
    assert found.first.absolute > 1
    assert found.first.shape == (2, 9, 24)
    # With the layers before it there is no difference: none of them is blamed.
    before = found.layers[: found.layers.index(found.first)]
    assert before and all(layer.equal and layer.absolute < 1e-5 for layer in before)


def test_a_bias_that_changed():
    net, model, inputs, variables = bert_pair()
    output = variables["params"]["encoder"]["layer"]["11"]["output"]["dense"]
    output["bias"] = output["bias"].at[7].add(0.01)
    found = verify_conversion(net, model, *inputs, variables=variables)
    assert found.first.torch == "encoder.layer.11.output.dense"
    assert found.first.absolute == pytest.approx(0.01, rel=1e-3)


def test_another_gelu_is_found_in_the_module_that_calls_it(monkeypatch):
    net, model, inputs, variables = bert_pair()
    tanh = torch.nn.GELU("tanh").forward
    monkeypatch.setattr(bert_torch.Intermediate, "forward", lambda self, x: tanh(self.dense(x)))
    found = verify_conversion(net, model, *inputs, variables=variables)
    assert found.first.torch == "encoder.layer.0.intermediate"
    assert 2e-5 < found.first.absolute < 1e-3
    assert all(layer.equal for layer in found.layers if layer.torch == "encoder.layer.0.intermediate.dense")
    assert verify_conversion(net, model, *inputs, variables=variables, tolerance=1e-2).equal


def test_another_eps_of_batch_norm():
    pair = cnn.PAIRS["cnn"]
    net = pair.make_torch()
    net.bn.eps = 1e-2
    found = verify_conversion(net, pair.make_linen(), pair.example, variables=of(net), layout="channels_last")
    assert (found.first.torch, found.first.flax, found.first.layout) == ("bn", "bn", AXIS_1_LAST)
    assert "the first layer where they part: bn / bn: " in found.text()


def test_layers_that_part_are_told_where_outputs_are_equal():
    pair = cnn.PAIRS["cnn"]
    net = pair.make_torch()
    net.bn.eps = 2e-3
    found = verify_conversion(net, pair.make_linen(), pair.example, variables=of(net), layout="channels_last")
    assert found.equal and found.first.torch == "bn"
    lines = found.text().splitlines()
    assert lines[2] == "equal within 1e-04; 6 calls of layers compared"
    assert lines[3].startswith("the first layer where they part: bn / bn: 0.0037 (output (2, 8, 7, 10), axis 1 of ")


def test_what_parts_behind_all_layers_is_the_model_itself():
    net = deck.net()
    variables = of(net)

    class Doubled(nn.Module):
        @nn.compact
        def __call__(self, x):
            return 2 * nn.Dense(1, name="layers_2")(nn.relu(nn.Dense(8, name="layers_0")(x)))

    found = verify_conversion(net, Doubled(), X, variables=variables)
    assert all(layer.equal for layer in found.layers) and len(found.layers) == 2
    assert (found.first.torch, found.first.flax) == ("", "")
    assert found.first.absolute == found.outputs[0].absolute
    assert found.outputs[0].relative == pytest.approx(0.5, abs=1e-4)
    assert "the first layer where they part: the model itself, behind its layers: " in found.text()


# nnx.


class Block(nnx.Module):
    def __init__(self, width, rngs):
        self.norm = nnx.LayerNorm(width, epsilon=1e-3, use_fast_variance=False, rngs=rngs)
        self.lin = nnx.Linear(width, width, rngs=rngs)

    def __call__(self, x):
        return x + jnp.tanh(self.lin(self.norm(x)))


class Net(nnx.Module):
    """(N, 5, 7, 3) -> (N, 4)."""

    def __init__(self, rngs, share=False):
        self.conv = nnx.Conv(3, 6, (2, 3), padding="VALID", rngs=rngs)
        self.bn = nnx.BatchNorm(6, epsilon=1e-2, use_running_average=False, rngs=rngs)
        first = Block(6, rngs)
        self.blocks = nnx.List([first, first if share else Block(6, rngs)])
        self.drop = nnx.Dropout(0.5, rngs=rngs)
        self.head = nnx.Linear(6, 4, rngs=rngs)

    def __call__(self, x):
        x = nnx.relu(self.bn(self.conv(x))).mean((1, 2))
        for block in self.blocks:
            x = block(x)
        return self.head(self.drop(x))


class TorchBlock(torch.nn.Module):
    def __init__(self, width):
        super().__init__()
        self.norm = torch.nn.LayerNorm(width, eps=1e-3)
        self.lin = torch.nn.Linear(width, width)

    def forward(self, x):
        return x + torch.tanh(self.lin(self.norm(x)))


class TorchNet(torch.nn.Module):
    def __init__(self, share=False):
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 6, (2, 3))
        self.bn = torch.nn.BatchNorm2d(6, eps=1e-2)
        self.act = torch.nn.ReLU(inplace=True)
        first = TorchBlock(6)
        self.blocks = torch.nn.ModuleList([first, first if share else TorchBlock(6)])
        self.drop = torch.nn.Dropout(0.5)
        self.head = torch.nn.Linear(6, 4)

    def forward(self, x):
        x = self.act(self.bn(self.conv(x))).mean((2, 3))
        for block in self.blocks:
            x = block(x)
        return self.head(self.drop(x))


def fill(layer, module):
    """The parameters of one layer, by hand."""
    weight = module.weight.detach().numpy()
    if weight.ndim == 1:
        layer.scale[...] = weight
    else:
        layer.kernel[...] = np.transpose(weight, (*range(2, weight.ndim), 1, 0))
    layer.bias[...] = module.bias.detach().numpy()
    if hasattr(layer, "mean"):
        layer.mean[...], layer.var[...] = module.running_mean.numpy(), module.running_var.numpy()


def nnx_pair(share=False, share_torch=None):
    net = cnn.randomize(TorchNet(share if share_torch is None else share_torch))
    if share and not share_torch:
        net.blocks[1].load_state_dict(net.blocks[0].state_dict())
    model = Net(nnx.Rngs(0), share)
    for name in ("conv", "bn", "head"):
        fill(getattr(model, name), getattr(net, name))
    for block, theirs in zip(model.blocks, net.blocks, strict=True):
        fill(block.norm, theirs.norm)
        fill(block.lin, theirs.lin)
    return net, model, RNG.standard_normal((2, 3, 5, 7), np.float32)


def test_nnx_is_equal_and_runs_in_evaluation_mode():
    net, model, images = nnx_pair()
    net.train()
    found = verify_conversion(net, model, images, layout="channels_last")
    assert found.equal and found.outputs[0].absolute < 2e-6
    names = ["conv", "bn", "blocks.0.norm", "blocks.0.lin", "blocks.0", "blocks.1.norm", "blocks.1.lin", "blocks.1"]
    assert [layer.torch for layer in found.layers] == [*names, "drop", "head"]
    assert [layer.flax for layer in found.layers][:4] == ["conv", "bn", "blocks/0/norm", "blocks/0/lin"]
    assert found.alone == (("act",), ()) and found.left_out == ()


def test_nnx_names_the_square_kernel_left_untransposed():
    net, model, images = nnx_pair()
    model.blocks[1].lin.kernel[...] = model.blocks[1].lin.kernel[...].T
    found = verify_conversion(net, model, images, layout="channels_last")
    assert (found.first.torch, found.first.flax) == ("blocks.1.lin", "blocks/1/lin")
    assert found.first.absolute > 0.1


@pytest.mark.parametrize(("share", "share_torch"), [(True, True), (True, False), (False, True)])
def test_a_layer_shared_in_one_model_or_both(share, share_torch):
    net, model, images = nnx_pair(share, share_torch)
    found = verify_conversion(net, model, images, layout="channels_last")
    assert found.equal and found.left_out == ()
    lins = [(layer.torch, layer.flax, layer.call) for layer in found.layers if layer.torch.endswith("lin")]
    second = {
        (True, True): ("blocks.0.lin", "blocks/0/lin", 1),
        (True, False): ("blocks.1.lin", "blocks/0/lin", 0),
        (False, True): ("blocks.1.lin", "blocks/1/lin", 0),
    }
    assert lins == [("blocks.0.lin", "blocks/0/lin", 0), second[share, share_torch]]


class Jitted(Net):
    @nnx.jit
    def __call__(self, x):
        return super().__call__(x)


def test_layers_within_jit_are_seen_each_time():
    net, model, images = nnx_pair()
    jitted = Jitted(nnx.Rngs(0))
    nnx.update(jitted, nnx.state(model))
    jitted.eval()
    jitted(np.moveaxis(images, 1, -1))  # traced before
    for _ in range(2):
        found = verify_conversion(net, jitted, images, layout="channels_last")
        assert found.equal and len(found.layers) == 10 and found.left_out == ()
    jitted.blocks[0].norm.bias[...] += 0.1
    found = verify_conversion(net, jitted, images, layout="channels_last")
    assert found.first.torch == "blocks.0.norm"
    assert found.first.absolute == pytest.approx(0.1, rel=1e-3)


class Scanned(nnx.Module):
    def __init__(self, rngs):
        @nnx.split_rngs(splits=3)
        @nnx.vmap(in_axes=0, out_axes=0)
        def make(rngs):
            return Block(6, rngs)

        self.layers = make(rngs)

    def __call__(self, x):
        @nnx.scan(in_axes=(0, nnx.Carry), out_axes=nnx.Carry)
        def step(block, x):
            return block(x)

        return step(self.layers, x)


class TorchStack(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = torch.nn.ModuleList(TorchBlock(6) for _ in range(3))

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


class LinenBlock(nn.Module):
    def setup(self):
        self.norm = nn.LayerNorm(epsilon=1e-3, use_fast_variance=False)
        self.lin = nn.Dense(6)

    def __call__(self, x, _):
        return x + jnp.tanh(self.lin(self.norm(x))), None


class LinenScanned(nn.Module):
    @nn.compact
    def __call__(self, x):
        stack = nn.scan(LinenBlock, variable_axes={"params": 0}, split_rngs={"params": True}, length=3)
        return stack(name="layers")(x, None)[0]


def stacked(net):
    def stack(get):
        return np.stack([get(layer).detach().numpy() for layer in net.layers])

    return {
        "norm": {"scale": stack(lambda layer: layer.norm.weight), "bias": stack(lambda layer: layer.norm.bias)},
        "lin": {"kernel": stack(lambda layer: layer.lin.weight.T), "bias": stack(lambda layer: layer.lin.bias)},
    }


SCANNED = [f"layers.{i}{part}" for i in range(3) for part in (".norm", ".lin", "")]


def test_scanned_layers_of_nnx_are_torchs_numbered_ones():
    net = cnn.randomize(TorchStack())
    model = Scanned(nnx.Rngs(0))
    for name, leaves in stacked(net).items():
        for leaf, array in leaves.items():
            getattr(getattr(model.layers, name), leaf)[...] = array
    x = RNG.standard_normal((2, 6), np.float32)
    found = verify_conversion(net, model, x)
    assert found.equal and found.left_out == ()
    assert [layer.torch for layer in found.layers] == SCANNED
    assert {layer.flax for layer in found.layers} == {"layers", "layers/norm", "layers/lin"}
    model.layers.lin.kernel[...] = model.layers.lin.kernel[...].at[1].set(model.layers.lin.kernel[1].T)
    assert verify_conversion(net, model, x).first.torch == "layers.1.lin"


def test_scanned_layers_of_linen_too():
    net = cnn.randomize(TorchStack())
    params = {"layers": stacked(net)}
    x = RNG.standard_normal((2, 6), np.float32)
    found = verify_conversion(net, LinenScanned(), x, variables={"params": params})
    assert found.equal
    assert [layer.torch for layer in found.layers if layer.torch.count(".") == 2] == [
        name for name in SCANNED if name.count(".") == 2
    ]
    params["layers"]["norm"]["bias"][2] += 0.1
    found = verify_conversion(net, LinenScanned(), x, variables={"params": params})
    assert found.first.torch == "layers.2.norm"


def test_a_linen_module_that_was_compiled_before_is_seen_all_the_same():
    net = deck.net()
    variables = of(net)
    model = nn.jit(nn.Sequential)([nn.Dense(8), nn.relu, nn.Dense(1)])
    model.apply(variables, X)
    for _ in range(2):
        found = verify_conversion(net, model, X, variables=variables)
        assert [layer.flax for layer in found.layers] == ["layers_0", "layers_2"]


def test_what_runs_in_vmap_is_told_as_not_seen():
    class Experts(nn.Module):
        @nn.compact
        def __call__(self, x):
            dense = nn.vmap(nn.Dense, variable_axes={"params": 0}, split_rngs={"params": True}, in_axes=0)
            return dense(4, name="experts")(x)

    class TorchExperts(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.experts = torch.nn.ModuleList(torch.nn.Linear(3, 4) for _ in range(2))

        def forward(self, x):
            return torch.stack([expert(one) for expert, one in zip(self.experts, x, strict=True)])

    net = TorchExperts()
    stack = {
        "kernel": np.stack([one.weight.detach().numpy().T for one in net.experts]),
        "bias": np.stack([one.bias.detach().numpy() for one in net.experts]),
    }
    x = RNG.standard_normal((2, 5, 3), np.float32)
    found = verify_conversion(net, Experts(), x, variables={"params": {"experts": stack}})
    assert found.equal and found.layers == ()
    assert found.left_out == ("what runs in vmap was not seen",)
    stack["bias"] += 1
    found = verify_conversion(net, Experts(), x, variables={"params": {"experts": stack}})
    assert not found.equal and found.first is None
    assert "no layer was compared\nnot compared: what runs in vmap was not seen" in found.text()


def test_when_layers_cannot_be_watched_the_outputs_are_compared_all_the_same():
    class Touchy(nnx.Module):
        def __init__(self, rngs):
            self.lin = nnx.Linear(4, 2, rngs=rngs)

        def __call__(self, x):
            if "_ptformat_place" in vars(self):
                raise RuntimeError("watched")
            return self.lin(x)

    net = torch.nn.ModuleDict({"lin": torch.nn.Linear(4, 2)})
    net.forward = lambda x: net["lin"](x)
    model = Touchy(nnx.Rngs(0))
    fill(model.lin, net["lin"])
    found = verify_conversion(net, model, X)
    assert found.equal and found.layers == ()
    assert found.left_out == ("no layer of flax was seen: RuntimeError while they were watched",)
    assert nnx.Linear.__call__.__qualname__ == "Linear.__call__"


# Attention: a tuple in torch; heads apart in flax.


def test_attention_returns_a_tuple_in_torch():
    class Attends(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.attn = torch.nn.MultiheadAttention(6, 2, batch_first=True)

        def forward(self, x):
            return self.attn(x, x, x)[0]

    class LinenAttends(nn.Module):
        @nn.compact
        def __call__(self, x):
            return nn.MultiHeadDotProductAttention(2, name="attn")(x)

    net = cnn.randomize(Attends())
    weight, bias = (each.detach().numpy() for each in (net.attn.in_proj_weight, net.attn.in_proj_bias))
    attn = {
        name: {"kernel": weight[at : at + 6].T.reshape(6, 2, 3), "bias": bias[at : at + 6].reshape(2, 3)}
        for name, at in (("query", 0), ("key", 6), ("value", 12))
    }
    out = net.attn.out_proj
    attn["out"] = {"kernel": out.weight.detach().numpy().T.reshape(2, 3, 6), "bias": out.bias.detach().numpy()}
    x = RNG.standard_normal((2, 5, 6), np.float32)
    found = verify_conversion(net, LinenAttends(), x, variables={"params": {"attn": attn}})
    assert found.equal
    assert [(layer.torch, layer.flax) for layer in found.layers] == [("attn", "attn")]
    assert found.alone[1] == ("attn/query", "attn/key", "attn/value", "attn/out")
    attn["key"]["kernel"] = attn["key"]["kernel"][:, ::-1]
    assert verify_conversion(net, LinenAttends(), x, variables={"params": {"attn": attn}}).first.torch == "attn"


def test_projections_with_heads_apart_are_compared_too():
    class TorchHeads(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.query = torch.nn.Linear(4, 6)

        def forward(self, x):
            return self.query(x)

    class Heads(nn.Module):
        @nn.compact
        def __call__(self, x):
            return nn.DenseGeneral((2, 3), name="query")(x).reshape(*x.shape[:-1], 6)

    net = TorchHeads()
    params = {
        "kernel": net.query.weight.detach().numpy().T.reshape(4, 2, 3),
        "bias": net.query.bias.detach().numpy().reshape(2, 3),
    }
    found = verify_conversion(net, Heads(), X, variables={"params": {"query": params}})
    assert [layer.layout for layer in found.layers] == [MERGED]


# Nothing of the caller's is changed.


def facts_of(net):
    return (
        [(name, module.training) for name, module in net.named_modules()],
        {key: (id(tensor), tensor.clone()) for key, tensor in net.state_dict(keep_vars=True).items()},
        [len(module._forward_hooks) for module in net.modules()],
        torch.random.get_rng_state(),
    )


def same_facts(before, after):
    assert before[0] == after[0] and before[2] == after[2] and torch.equal(before[3], after[3])
    assert before[1].keys() == after[1].keys()
    for key, (identity, tensor) in before[1].items():
        assert after[1][key][0] == identity and torch.equal(after[1][key][1], tensor), key


class Counting(torch.nn.Module):
    """Writes to its buffers in every mode, and puts another in the place of one."""

    def __init__(self):
        super().__init__()
        self.lin = torch.nn.Linear(4, 2)
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))
        self.register_buffer("last", torch.full((2,), float("nan")))
        self.register_buffer("cache", None)

    def forward(self, x):
        self.seen += 1
        self.last = x.sum(0)[:2]
        self.register_buffer("more", torch.ones(1))
        return self.lin(x.add_(1)) + torch.rand(())


def test_torch_keeps_flags_buffers_hooks_and_generator():
    net = Counting()
    net.lin.eval()  # the model itself trains
    before, x = facts_of(net), X.copy()
    seeds = []

    class Plain(nn.Module):
        @nn.compact
        def __call__(self, x):
            seeds.append(x)
            return nn.Dense(2, name="lin")(x + 1)

    variables = {"params": {"lin": {"kernel": net.lin.weight.detach().numpy().T, "bias": np.zeros(2, np.float32)}}}
    tree = jax.tree.map(np.copy, variables)
    first = verify_conversion(net, Plain(), x, variables=variables)
    again = verify_conversion(net, Plain(), x, variables=variables)
    other = verify_conversion(net, Plain(), x, variables=variables, seed=1)
    assert first.outputs == again.outputs != other.outputs  # seeded
    after = facts_of(net)
    same_facts((before[0], {}, *before[2:]), (after[0], {}, *after[2:]))
    assert list(net.state_dict()) == ["seen", "last", "lin.weight", "lin.bias"]
    assert net.seen.item() == 0 and net.last.isnan().all() and net.cache is None
    assert id(net._buffers["seen"]) == before[1]["seen"][0] and id(net._buffers["last"]) == before[1]["last"][0]
    assert np.array_equal(x, X)  # add_ wrote to a copy
    assert jax.tree.all(jax.tree.map(np.array_equal, tree, variables))
    assert all(parameter.grad is None and parameter.requires_grad for parameter in net.parameters())


def test_torch_is_put_back_when_the_model_fails():
    net, model, images = nnx_pair()
    net.train()
    net.bn.eval()
    before = facts_of(net)
    with pytest.raises(RuntimeError, match="expected input") as caught:
        verify_conversion(net, model, images, to_flax_inputs=lambda x: np.moveaxis(x, 1, -1), torch_kwargs={})
        verify_conversion(net, model, images[:, :2], to_flax_inputs=lambda x: np.moveaxis(images, 1, -1))
    assert caught.value.__notes__ == ["(while the torch model ran)"]
    same_facts(before, facts_of(net))


class Stateful(nnx.Module):
    """Counts its calls, in a Variable, a Ref and an array of NumPy's; takes a key for its noise."""

    def __init__(self, rngs):
        self.lin = nnx.Linear(4, 2, rngs=rngs)
        self.count = nnx.Variable(jnp.zeros((), jnp.int32))
        self.ref = nnx.Variable(jnp.zeros(()), use_ref=True)
        self.host = nnx.Variable(np.zeros(2))
        self.rngs = rngs
        self.drop = nnx.Dropout(0.5, deterministic=False)
        self.mode = "train"

    def __call__(self, x, rngs):
        self.count[...] += 1
        self.ref[...] = self.ref[...] + 1
        self.host[0] = 7
        self.mode = "called"
        jax.random.uniform(self.rngs.params())
        jax.random.uniform(rngs.noise())
        return self.lin(self.drop(x, rngs=rngs))


def values(state):
    def value(leaf):
        return np.array(jax.random.key_data(leaf) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf)

    return jax.tree.map(value, nnx.to_pure_dict(state))


def test_an_nnx_module_keeps_state_flags_counts_and_classes():
    model = Stateful(nnx.Rngs(0))
    net = torch.nn.Sequential(OrderedDict(lin=torch.nn.Linear(4, 2)))
    fill(model.lin, net.lin)
    given = nnx.Rngs(noise=3)
    graphdef, state = nnx.split((model, given))
    state = values(state)
    calls = {cls: vars(cls).get("__call__") for cls in (Stateful, nnx.Linear, nnx.Dropout, nnx.Rngs)}
    found = verify_conversion(net, model, X, kwargs={"rngs": given})
    assert found.equal and [layer.torch for layer in found.layers] == ["lin"]
    after, now = nnx.split((model, given))
    assert after == graphdef
    assert jax.tree.all(jax.tree.map(np.array_equal, state, values(now)))
    assert (model.mode, model.drop.deterministic, model.count[...], model.host[0], model.ref[...]) == (
        "train",
        False,
        0,
        0,
        0,
    )
    assert given.noise.count[...] == 0
    assert {cls: vars(cls).get("__call__") for cls in calls} == calls
    assert not any("_ptformat_place" in vars(module) for _, module in nnx.iter_modules(model))


def test_classes_are_put_back_when_the_model_fails():
    net, model, images = nnx_pair()
    call = vars(nnx.Conv)["__call__"]
    with pytest.raises(ValueError, match="feature_group_count") as caught:
        verify_conversion(net, model, images)  # in torch's layout
    assert "(while the flax model ran)" in caught.value.__notes__
    assert vars(nnx.Conv)["__call__"] is call


def test_a_class_that_inherits_its_call_gets_none():
    class Heir(nnx.Linear):
        pass

    class One(nnx.Module):
        def __init__(self, rngs):
            self.a = nnx.Linear(4, 2, rngs=rngs)
            self.b = Heir(2, 3, rngs=rngs)

        def __call__(self, x):
            return self.b(self.a(x))

    net = torch.nn.Sequential(OrderedDict(a=torch.nn.Linear(4, 2), b=torch.nn.Linear(2, 3)))
    model = One(nnx.Rngs(0))
    fill(model.a, net.a)
    fill(model.b, net.b)
    found = verify_conversion(net, model, X)
    assert [(layer.torch, layer.call) for layer in found.layers] == [("a", 0), ("b", 0)]  # each once
    assert "__call__" not in vars(Heir)


# What goes in.


class Identity(torch.nn.Module):
    def __init__(self, f=None):
        super().__init__()
        self.f = f or (lambda *args, **kwargs: args[0] if len(args) == 1 else args)

    def forward(self, *args, **kwargs):
        return self.f(*args, **kwargs)


class LinenIdentity(nn.Module):
    f: object = None

    def __call__(self, *args, **kwargs):
        if self.f is None:
            return args[0] if len(args) == 1 else args
        return self.f(*args, **kwargs)


def both(torch_output, flax_output, *inputs, **options):
    """Models that return what they are told."""
    net = Identity(lambda *_: torch_output)
    return verify_conversion(net, LinenIdentity(lambda *_: flax_output), *inputs, variables={}, **options)


def dtypes_given(value, net=None):
    seen = []
    net = net or Identity()
    net.f = lambda x: seen.append(str(x.dtype)) or x
    verify_conversion(net, LinenIdentity(lambda x: seen.append(str(x.dtype)) or x), value, variables={})
    return seen


def test_numbers_go_in_as_both_can_take_them():
    assert dtypes_given(np.ones(2)) == ["float32", "torch.float32"]
    assert dtypes_given(np.ones(2, np.float16)) == ["float16", "torch.float16"]
    assert dtypes_given(np.ones(2, ml_dtypes.bfloat16)) == ["bfloat16", "torch.bfloat16"]
    assert dtypes_given(np.arange(2)) == ["int32", "torch.int64"]
    assert dtypes_given(np.arange(2, dtype=np.uint8)) == ["uint8", "torch.uint8"]
    assert dtypes_given(np.array([True])) == ["bool", "torch.bool"]
    assert dtypes_given(torch.ones(2, dtype=torch.bfloat16)) == ["bfloat16", "torch.bfloat16"]
    assert dtypes_given(jnp.ones(2, jnp.float16)) == ["float16", "torch.float16"]
    wide = Identity()
    wide.weight = torch.nn.Parameter(torch.ones(1, dtype=torch.float64))
    assert dtypes_given(np.full(3, 1 / 3), wide) == ["float32", "torch.float64"]


def test_a_float64_model_gets_the_very_numbers_that_flax_gets():
    net = Identity()
    net.weight = torch.nn.Parameter(torch.ones(1, dtype=torch.float64))
    found = verify_conversion(net, LinenIdentity(), np.full(3, 1 / 3), variables={})
    assert found.outputs[0].absolute == 0


def test_integers_that_jax_would_cut_are_refused():
    with pytest.raises(ProofError, match="integers from 0 to 4294967296, and JAX without x64 has int32 alone"):
        dtypes_given(np.array([0, 2**32]))


def test_inputs_in_containers_by_name_and_other_values():
    def torch_model(pair, factor, *, scale, flag):
        assert flag is True
        return (pair["a"] + pair["b"][0]) * factor * scale

    x, y = X, X + 1
    found = verify_conversion(
        Identity(torch_model),
        LinenIdentity(lambda pair, factor, *, by, flag: (pair["a"] + pair["b"][0]) * factor * by),
        {"a": x, "b": [torch.from_numpy(y)]},
        3,
        variables={},
        kwargs={"by": np.float32(2) * np.ones(4, np.float32), "flag": "x"},
        torch_kwargs={"scale": 2 * jnp.ones(4), "flag": True},
    )
    assert found.equal and found.outputs[0].largest == pytest.approx(np.abs(6 * (x + y)).max())


def test_keys_of_generators_pass():
    class Noisy(nn.Module):
        @nn.compact
        def __call__(self, x, key, train):
            jax.random.uniform(key)
            return nn.Dropout(0.5, deterministic=not train)(x)

    with pytest.raises(TypeError, match="train"):
        verify_conversion(Identity(), Noisy(), X, variables={}, kwargs={"key": jax.random.key(0)})
    kwargs = {"key": jax.random.key(0), "train": False, "rngs": {"dropout": jax.random.key(1)}}
    assert verify_conversion(Identity(), Noisy(), X, variables={}, kwargs=kwargs).outputs[0].absolute == 0
    kwargs |= {"mutable": ["batch_stats"]}
    assert verify_conversion(Identity(), Noisy(), X, variables={}, kwargs=kwargs).equal


def test_a_bound_linen_module_has_its_variables():
    net = deck.net()
    found = verify_conversion(net, deck.linen_net().bind(of(net)), X)
    assert found.equal and len(found.layers) == 2


# What comes out.


class Pair(NamedTuple):
    a: object
    b: object


ONE, TWO = np.arange(6, dtype=np.float32).reshape(2, 3), np.ones((4,), np.float32)


@pytest.mark.parametrize(
    ("mine", "theirs", "paths"),
    [
        (ONE, ONE, [""]),
        ((ONE, TWO), [ONE, TWO], ["0", "1"]),
        ({"x": ONE, "y": (TWO, None, TWO)}, {"y": [TWO, None, TWO], "x": ONE}, ["x", "y.0", "y.2"]),
        (OrderedDict(logits=ONE), ONE, ["logits"]),
        ({"a": ONE, "b": TWO}, (ONE, TWO), ["a", "b"]),
        (Pair(ONE, TWO), (ONE, TWO), ["0", "1"]),
        ((ONE, (TWO, TWO)), (ONE, TWO, TWO), ["0", "1.0", "1.1"]),
        ((ONE, 3), (ONE, 3), ["0", "1"]),
    ],
)
def test_outputs_are_paired(mine, theirs, paths):
    mine = jax.tree.map(lambda leaf: torch.from_numpy(leaf) if isinstance(leaf, np.ndarray) else leaf, mine)
    found = both(mine, jax.tree.map(jnp.asarray, theirs))
    assert found.equal
    assert [output.path for output in found.outputs] == paths


def test_outputs_by_name_come_in_torchs_order():
    found = both({"b": torch.ones(1), "a": torch.ones(2)}, {"a": jnp.ones(2), "b": jnp.ones(1)})
    assert [output.path for output in found.outputs] == ["b", "a"]


def test_outputs_that_are_not_the_same_ones():
    with pytest.raises(ProofError) as caught:
        both((ONE, TWO), ONE)
    assert str(caught.value) == "the models return different outputs: torch 0 (2, 3), 1 (4,); flax (2, 3)"
    with pytest.raises(ProofError, match=r"torch a \(2, 3\); flax b \(2, 3\)"):
        both({"a": ONE}, {"b": ONE})
    with pytest.raises(ProofError, match="the torch model's output 'cache' is a object, no array; return arrays alone"):
        both({"x": ONE, "cache": object()}, ONE)
    with pytest.raises(ProofError, match="the flax model's output is a str"):
        both(ONE, "x")


def test_shapes_that_differ_are_all_told():
    image = np.zeros((2, 3, 4, 5), np.float32)
    with pytest.raises(ProofError) as caught:
        both((ONE, image), (ONE.T, np.moveaxis(image, 1, -1)))
    assert str(caught.value) == (
        "output '0': torch returned (2, 3), flax (3, 2)\n"
        "output '1': torch returned (2, 3, 4, 5), flax (2, 4, 5, 3); try layout='channels_last'"
    )


def test_channels_last_moves_images_alone():
    shapes = []
    net = Identity(lambda *args: args)
    inputs = [RNG.standard_normal(range(2, 2 + ndim)) for ndim in range(1, 7)]
    model = LinenIdentity(lambda *args: shapes.extend(x.shape for x in args) or args)
    found = verify_conversion(net, model, *inputs, variables={}, layout="channels_last")
    assert shapes == [(2,), (2, 3), (2, 4, 3), (2, 4, 5, 3), (2, 4, 5, 6, 3), (2, 3, 4, 5, 6, 7)]
    assert found.equal and all(output.absolute == 0 for output in found.outputs)
    # What has torch's shape only as it is stays: tokens of a net that reads images.
    assert both(torch.ones(2, 5, 7), jnp.ones((2, 5, 7)), layout="channels_last").equal
    with pytest.raises(ProofError, match="layout is 'last', expected 'same' or 'channels_last'"):
        both(ONE, ONE, layout="last")


def test_callables_in_place_of_layouts():
    x = RNG.standard_normal((3, 4, 5), np.float32)
    found = verify_conversion(
        Identity(lambda x, y: {"z": x + y}),
        LinenIdentity(lambda x: x),
        x,
        x,
        variables={},
        to_flax_inputs=lambda x, y: (x + y).T,
        to_torch_output=lambda out: {"z": out.T},
        layout="channels_last",
    )
    assert found.equal and found.outputs[0].path == "z" and found.outputs[0].shape == (3, 4, 5)


# The numbers.


def numbers(a, b, tolerance=1e-4):
    found = measure(np.array(a), np.array(b), tolerance)
    return found.absolute, found.relative, found.nan, found.largest, found.equal


def test_differences():
    inf, nan = np.inf, np.nan
    assert numbers([1.0, 2.0], [1.0, 2.0]) == (0, 0, 0, 2, True)
    assert numbers([0.0, 4.0], [0.5, 2.0]) == (2, 0.5, 0, 4, False)
    assert numbers([1000.0], [1000.05]) == (pytest.approx(0.05), pytest.approx(5e-5, rel=1e-3), 0, 1000.05, True)
    # An element near 0 is measured against 1 at most, and against the whole where that is small.
    assert numbers([1.0, 1e-6], [1.0, 2e-6]) == (pytest.approx(1e-6), pytest.approx(1e-6), 0, 1, True)
    assert numbers([1e-6, 0], [2e-6, 0]) == (pytest.approx(1e-6), pytest.approx(0.5), 0, 2e-6, False)
    assert numbers([1e-6, 1e-12], [1e-6, 0])[1:] == (pytest.approx(1e-6), 0, 1e-6, True)
    assert numbers([0.0], [0.0]) == (0, 0, 0, 0, True)
    assert numbers([0.0], [1e-30]) == (1e-30, 1, 0, 1e-30, False)
    assert numbers([nan, 1.0], [nan, 1.0]) == (0, 0, 0, 1, True)
    assert numbers([nan, 1.0], [2.0, 1.0]) == (0, 0, 1, 2, False)
    assert numbers([inf, -inf], [inf, -inf]) == (0, 0, 0, 0, True)
    assert numbers([inf, 1.0], [-inf, 1.0]) == (inf, inf, 0, 1, False)
    assert numbers([inf], [1.0]) == (inf, inf, 0, 1, False)
    assert numbers([1e6 + 1], [1e6])[4] and not numbers([10**6 + 1], [10**6])[4]
    assert numbers([True, False], [True, True]) == (1, 1, 0, 1, False)
    assert numbers([1 + 1j], [1 - 1j]) == (2, pytest.approx(2**0.5), 0, pytest.approx(2**0.5), False)
    assert numbers([], []) == (0, 0, 0, 0, True)
    assert numbers(1.0, 1.0) == (0, 0, 0, 1, True)


def test_layouts_of_layers():
    a = RNG.standard_normal((2, 3, 3))
    moved = measure_layouts(a, np.moveaxis(a, 1, -1), 1e-4)
    assert moved[1] == AXIS_1_LAST and moved[0].absolute == 0 and moved[0].shape == (2, 3, 3)
    assert measure_layouts(a, a, 1e-4)[1] == ""
    b = RNG.standard_normal((2, 3, 4, 5))
    assert measure_layouts(b, np.moveaxis(b, 1, -1), 1e-4)[0].equal
    assert measure_layouts(b.reshape(2, 3, 20), b, 1e-4)[1] == MERGED
    assert measure_layouts(b, b.reshape(2, 3, 20), 1e-4)[1] == MERGED
    assert measure_layouts(b, b.reshape(6, 4, 5), 1e-4) is None
    assert measure_layouts(a, a[:1], 1e-4) is None


def test_bfloat16_outputs_are_compared_by_value():
    x = np.array([1.0, 2.0], ml_dtypes.bfloat16)
    assert both(torch.tensor([1.0, 2.0], dtype=torch.bfloat16), jnp.asarray(x)).outputs[0].absolute == 0
    assert both(torch.tensor([1.0, 2.0]), jnp.asarray(x)).equal
    assert both(torch.tensor([1 + 2j]), jnp.array([1 + 2j])).equal
    assert both(torch.tensor([1, 2]), jnp.array([1, 2])).equal
    assert not both(torch.tensor([1, 2]), jnp.array([1, 3])).equal


# Which layer is which.


def test_pairs_by_name_and_by_word():
    names = ["encoder", "encoder.layer.0.q", "encoder.layer.1.q", "encoder.layer.1", "0", "x"]
    paths = {("enc",): 1, ("enc", "layer_0", "q"): 1, ("enc", "layer_1", "q"): 1, ("layers_0",): 1, ("y", "z"): 1}
    assert paired(names, paths, {}) == {("0", ("layers_0",))}
    found = paired(names, paths, {"encoder": "enc", "x": "y/z"})
    assert found == {
        ("encoder", ("enc",)),
        ("encoder.layer.0.q", ("enc", "layer_0", "q")),
        ("encoder.layer.1.q", ("enc", "layer_1", "q")),
        ("0", ("layers_0",)),
        ("x", ("y", "z")),
    }
    assert ("encoder.layer.0.q", ("enc", "layer_1", "q")) in paired(
        names, paths, {"encoder": "enc", "encoder.layer.0": "enc/layer_1", "encoder.layer.1": "enc/layer_0"}
    )
    assert paired(["a.q"], {("model", "a", "q"): 1}, {"": "model"}) == {("a.q", ("model", "a", "q"))}
    with pytest.raises(ProofError, match="pairs: the torch model has no module 'encoda'; nearest: encoder"):
        paired(names, paths, {"encoda": "enc"})
    with pytest.raises(ProofError, match="pairs: the flax model called no module 'ecn'; nearest: enc"):
        paired(names, paths, {"encoder": "ecn"})


def test_numbered_layers_are_a_scanned_one_only_if_as_many():
    names = ["h.0.q", "h.1.q", "h.0", "h.1"]
    assert paired(names, {("h",): 2, ("h", "q"): 2}, {}) == {
        ("h.0.q", ("h", "q")),
        ("h.1.q", ("h", "q")),
        ("h.0", ("h",)),
        ("h.1", ("h",)),
    }
    assert paired(names, {("h", "q"): 3}, {}) == set()


def test_other_names_need_pairs():
    net = deck.net()

    class Named(nn.Module):
        @nn.compact
        def __call__(self, x):
            return nn.Dense(1, name="out")(nn.relu(nn.Dense(8, name="hidden")(x)))

    params = of(net)["params"]
    variables = {"params": {"hidden": params["layers_0"], "out": params["layers_2"]}}
    found = verify_conversion(net, Named(), X, variables=variables)
    assert found.equal and found.layers == () and found.alone == (("0", "1", "2"), ("hidden", "out"))
    pairs = {"0": "hidden", "2": "out"}
    found = verify_conversion(net, Named(), X, variables=variables, pairs=pairs)
    assert [(layer.torch, layer.flax) for layer in found.layers] == [("0", "hidden"), ("2", "out")]
    variables["params"]["out"] = {"kernel": params["layers_2"]["kernel"], "bias": params["layers_2"]["bias"] + 1}
    assert verify_conversion(net, Named(), X, variables=variables, pairs=pairs).first.flax == "out"
    with pytest.raises(ProofError, match="pairs: the torch model has no module '3'"):
        verify_conversion(net, Named(), X, variables=variables, pairs={"3": "out"})


def test_what_cannot_be_compared_is_told():
    class Folded(nn.Module):
        @nn.compact
        def __call__(self, x):
            dense = nn.Dense(8, name="layers_0")
            return nn.Dense(1, name="layers_2")(nn.relu(dense(x.reshape(5, 1, 1, 4)).reshape(5, 8)) + 0 * dense(x))

    net = deck.net()
    variables = of(net)
    found = verify_conversion(net, Folded(), X, variables=variables)
    assert found.equal and [layer.torch for layer in found.layers] == ["2"]
    assert found.left_out == (
        "0 / layers_0: (5, 8) against (5, 1, 1, 8)",
        "layers_0: called more often in flax than in torch",
    )
    again = torch.nn.Sequential(*[deck.net()[0]] * 1, torch.nn.ReLU(), deck.net()[2])
    again.forward = lambda x: (again[2](again[1](again[0](x))), again[0](x))[0]
    found = verify_conversion(again, deck.linen_net(), X, variables=variables)
    assert found.equal and found.left_out == ("0: called more often in torch than in flax",)


def test_layers_may_be_left_alone():
    net = deck.net()
    found = verify_conversion(net, deck.linen_net(), X, variables=of(net), layers=False)
    assert found.equal and found.layers == () and found.alone == ((), ())


# What is no pair of models.


def test_models_that_are_none():
    net, variables = deck.net(), of(deck.net())
    with pytest.raises(ProofError, match=r"the torch model is a dict, expected a torch.nn.Module"):
        verify_conversion({}, deck.linen_net(), X, variables=variables)
    with pytest.raises(ProofError, match="the flax model is a function, expected a linen or an nnx module"):
        verify_conversion(net, of, X)
    with pytest.raises(ProofError, match="the flax model is a linen module: give its variables="):
        verify_conversion(net, deck.linen_net(), X)
    with pytest.raises(ProofError, match="an nnx module has its own"):
        verify_conversion(net, nnx.Linear(4, 1, rngs=nnx.Rngs(0)), X, variables=variables)
    with pytest.raises(ProofError, match="a List, has no __call__"):
        verify_conversion(net, nnx.List([]), X)


def test_models_without_values():
    net = deck.net()
    with torch.device("meta"):
        empty = torch.nn.Linear(4, 1)
    with pytest.raises(ProofError, match="the torch model's weight is on the meta device"):
        verify_conversion(empty, deck.linen_net(), X, variables=of(net))
    with pytest.raises(ProofError, match="the torch model's weight is uninitialised; run the model once"):
        verify_conversion(torch.nn.LazyLinear(1), deck.linen_net(), X, variables=of(net))
    shapes = jax.eval_shape(lambda: deck.linen_net().init(jax.random.key(0), X))
    with pytest.raises(ProofError, match="the variables of the flax model: abstract, without values"):
        verify_conversion(net, deck.linen_net(), X, variables=shapes)
    abstract = nnx.eval_shape(lambda: nnx.Linear(4, 1, rngs=nnx.Rngs(0)))
    with pytest.raises(ProofError, match="the nnx module of the flax model: abstract, without values"):
        verify_conversion(net, abstract, X)


def test_wrappers_of_torch_are_taken_off():
    net = deck.net()
    compiled = torch.compile(net, backend="eager")
    for model in (compiled, torch.nn.DataParallel(net)):
        found = verify_conversion(model, deck.linen_net(), X, variables=of(net))
        assert [layer.torch for layer in found.layers] == ["0", "2"]
    parts = torch.nn.Sequential(torch.compile(net[0], backend="eager"), net[1], net[2])
    parts(torch.from_numpy(X))
    found = verify_conversion(parts, deck.linen_net(), X, variables=of(net))
    assert found.equal and [layer.torch for layer in found.layers] == ["0", "2"]


# What a person reads.


def test_the_text():
    net, model, inputs, variables = bert_pair()
    bias = variables["params"]["pooler"]["dense"]["bias"]
    found = verify_conversion(net, model, *inputs, variables=variables)
    lines = found.text().splitlines()
    assert lines[0] == "output  shape       largest  max abs  max rel"
    assert lines[1].startswith("0       (2, 9, 24)  ")
    assert lines[3].startswith("equal within 1e-04; 176 calls of layers compared, ")
    variables["params"]["pooler"]["dense"]["bias"] = bias + 1
    lines = verify_conversion(net, model, *inputs, variables=variables, tolerance=1.5e-4).text().splitlines()
    assert lines[3] == "not equal within 1.5e-04; 176 calls of layers compared"
    assert lines[4] == "the first layer where they part: pooler.dense / pooler/dense: 1 (output (2, 24))"
    assert lines[5:] == []


def test_the_text_says_what_proves_nothing():
    assert both(torch.zeros(3), jnp.zeros(3)).text() == (
        "output  shape  largest  max abs  max rel\n"
        "-       (3,)   0        0        0        nothing but 0 or NaN: this proves nothing\n"
        "equal within 1e-04"
    )
    found = both(torch.tensor([1.0, float("nan")]), jnp.ones(2))
    assert "1 NaN against a number\nnot equal within 1e-04; no layer was compared" in found.text()
