"""Layers of two models: nnx, what is shared, scanned or compiled, and which is which; nothing is changed."""

from collections import OrderedDict

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax import nnx
from nets import cnn, deck

from ptformat.converters import torch_to_flax
from ptformat.converters.proof import verify_conversion
from ptformat.converters.proof_numbers import MERGED, ProofError

RNG = np.random.default_rng(5)
X = RNG.standard_normal((5, 4), np.float32)


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
    variables = torch_to_flax(net)
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


def test_a_class_that_cannot_be_called_stays_so():
    class Holder(nnx.Module):
        def __init__(self, rngs):
            self.lin = nnx.Linear(4, 2, rngs=rngs)

    class Asks(nnx.Module):
        def __init__(self, rngs):
            self.holder = Holder(rngs)

        def __call__(self, x):
            assert not callable(self.holder)
            return self.holder.lin(x)

    net = torch.nn.Sequential(OrderedDict(lin=torch.nn.Linear(4, 2)))
    model = Asks(nnx.Rngs(0))
    fill(model.holder.lin, net.lin)
    found = verify_conversion(net, model, X, pairs={"": "holder"})
    assert found.equal and [layer.flax for layer in found.layers] == ["holder/lin"]


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


def test_other_names_need_pairs():
    net = deck.net()

    class Named(nn.Module):
        @nn.compact
        def __call__(self, x):
            return nn.Dense(1, name="out")(nn.relu(nn.Dense(8, name="hidden")(x)))

    params = torch_to_flax(net)["params"]
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
    variables = torch_to_flax(net)
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


def test_a_layer_whose_output_has_no_array():
    class Empty(torch.nn.Module):
        def forward(self, x):
            return torch.empty(2, device="meta")

    class Holds(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.q = Empty()

        def forward(self, x):
            self.q(x)
            return x

    class LinenQ(nn.Module):
        def __call__(self, x):
            return x

    class LinenQuantised(nn.Module):
        @nn.compact
        def __call__(self, x):
            return LinenQ(name="q")(x)

    found = verify_conversion(Holds(), LinenQuantised(), X, variables={})
    assert found.equal and found.left_out == ("q / q: returned no array",)


def test_layers_may_be_left_alone():
    net = deck.net()
    found = verify_conversion(net, deck.linen_net(), X, variables=torch_to_flax(net), layers=False)
    assert found.equal and found.layers == () and found.alone == ((), ())
