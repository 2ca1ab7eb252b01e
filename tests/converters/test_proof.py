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
from ptformat.converters.proof import Verified, verify_conversion
from ptformat.converters.proof_numbers import AXIS_1_LAST, ProofError

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
    assert verify_conversion(net, model, *inputs, variables=variables, tolerance=0).first is not None


def test_another_eps_of_batch_norm():
    pair = cnn.PAIRS["cnn"]
    net = pair.make_torch()
    net.bn.eps = 1e-2
    found = verify_conversion(net, pair.make_linen(), pair.example, variables=of(net), layout="channels_last")
    assert (found.first.torch, found.first.flax, found.first.layout) == ("bn", "bn", AXIS_1_LAST)
    assert "the first layer where they part: bn / bn: " in found.text()


@pytest.mark.parametrize("name", cnn.PAIRS)
def test_whichever_leaf_changes_its_layer_is_named(name):
    pair = cnn.PAIRS[name]
    net, model = pair.make_torch(), pair.make_linen()
    variables = jax.tree.map(np.array, of(net))
    layout = "channels_last" if name in IMAGES else "same"
    leaves = jax.tree.leaves_with_path(variables)
    for path, leaf in leaves:
        before = leaf.copy()
        leaf += RNG.uniform(0.1, 0.3, leaf.shape)
        result = verify_conversion(net, model, pair.example, variables=variables, layout=layout)
        leaf[...] = before
        assert not result.equal
        assert result.first.flax == "/".join(key.key for key in path[1:-1]), path
    assert len(leaves) > 2


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
    pair = cnn.PAIRS["cnn"]
    net, images = pair.make_torch().train(), pair.to_linen(pair.example)
    net.bn.eval()
    before = facts_of(net)
    with pytest.raises(RuntimeError, match="expected input") as caught:
        verify_conversion(
            *(net, pair.make_linen(), pair.example[:, :2]), variables=of(net), to_flax_inputs=lambda x: images
        )
    assert caught.value.__notes__ == ["(while the torch model ran)"]
    same_facts(before, facts_of(net))


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
        kwargs={"by": np.full(4, 2.0), "flag": "x"},
        torch_kwargs={"scale": np.full(4, 2.0), "flag": True},
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
    with pytest.raises(ProofError, match="neither model returns an array"):
        both(None, (None,))
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


def test_bfloat16_outputs_are_compared_by_value():
    x = np.array([1.0, 2.0], ml_dtypes.bfloat16)
    assert both(torch.tensor([1.0, 2.0], dtype=torch.bfloat16), jnp.asarray(x)).outputs[0].absolute == 0
    assert both(torch.tensor([1.0, 2.0]), jnp.asarray(x)).equal
    assert both(torch.tensor([1 + 2j]), jnp.array([1 + 2j])).equal
    assert both(torch.tensor([1, 2]), jnp.array([1, 2])).equal
    assert not both(torch.tensor([1, 2]), jnp.array([1, 3])).equal


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
    assert both(torch.zeros(3, 0), jnp.zeros((3, 0))).text().splitlines()[1].endswith(" empty: this proves nothing")
    found = both(torch.tensor([1.0, float("nan")]), jnp.ones(2))
    many = Verified(outputs=found.outputs, layers=(), left_out=tuple("abcdefg"), tolerance=1)
    assert many.text().splitlines()[-2:] == ["not compared: e", "not compared: 2 more"]
    assert "1 NaN against a number\nnot equal within 1e-04; no layer was compared" in found.text()
