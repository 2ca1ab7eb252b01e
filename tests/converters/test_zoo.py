"""The zoo: 18 nets between torch, linen and nnx, by template, by style and by files: equal outputs, equal bits back."""

import contextlib
import functools
import importlib
import operator

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.torch
import torch
from flax import nnx

import ptformat.flax
import ptformat.torch
from ptformat.converters import ConversionError, convert, flax_to_torch, load_into, plan, torch_to_flax
from ptformat.converters.objects import source_of
from ptformat.flax.states import once
from ptformat.tree import Alias

NETS = (
    *("mlp", "cnn", "resnet", "unet", "vit", "clip", "lstm_classifier", "gru_classifier", "two_tower"),
    *("bert", "gpt2", "llama", "llama_scanned", "moe", "t5", "whisper_like", "lora", "mixed"),
)
SIDES = ("linen", "nnx")
BOUND = 1e-5  # of outputs, which are numbers of about 1; the largest difference that there is, is 3.2e-6
RECURRENT = ("lstm_classifier", "gru_classifier")  # torch has two biases where Flax has their sum
# What a state dict without classes leaves open where the net is converted by its names alone.
SAID = {
    "mlp": [("net.5", "prelu"), ("net.6", "linear"), ("net.7", "layer_norm")],
    "cnn": [("conv1", "conv")],
    "resnet": [("*conv[12]", "conv"), ("*downsample.0", "conv")],
    "unet": [("*.conv[12]", "conv"), ("up[12]", "conv_transpose")],
    "vit": [("blocks.?.attn", "attention(heads=3)"), ("patch_embed", "conv")],
    "clip": [("*patch_embedding", "conv")],
    "gpt2": [("*.w[tp]e", "embedding")],
    "moe": [("*router", "linear")],
    "t5": [("*relative_attention_bias", "embedding"), ("*.w[io]", "linear")],
    "whisper_like": [("*conv2", "conv")],
    "lora": [("*default", "linear")],
}
COMPILED = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}  # it runs but once


class Net:
    """One net of the zoo, for one of the two sides of Flax: made once, changed by no test."""

    def __init__(self, name, side):
        self.module = importlib.import_module(f"nets.zoo.{name}")
        self.side = side
        self.rules = getattr(self.module, f"RULES_{side.upper()}", self.module.RULES)
        self.torch = randomized(self.module.torch_net())
        if side == "nnx" and hasattr(self.module, "prepare_for_nnx"):
            self.torch = self.module.prepare_for_nnx(self.torch)
        self.inputs = self.module.inputs()
        with torch.no_grad():
            self.expected = outputs(self.module.run_torch(self.torch, *self.inputs))

    @functools.cached_property
    def abstract(self):
        """A template without elements: (linen module, its inputs), or an nnx module of shapes."""
        if self.side == "nnx":
            return nnx.eval_shape(lambda: self.module.nnx_net(nnx.Rngs(0)))
        positional, named = self.module.linen_args()
        return (self.module.linen_net(), positional, named) if named else (self.module.linen_net(), positional)

    @functools.cached_property
    def live(self):
        """A template with elements, all zero: linen variables, or an nnx module."""
        if self.side == "nnx":
            graph, state = nnx.split(self.abstract)
            return nnx.merge(graph, jax.tree.map(zeros, state))
        positional, named = self.module.linen_args()
        shapes = jax.eval_shape(
            lambda: self.module.linen_net().init(jax.random.key(0), *map(zeros, positional), **named)
        )
        return jax.tree.map(zeros, shapes)

    @functools.cached_property
    def missing(self):
        """What an abstract template cannot tell: the keys of random numbers, of which torch has none."""
        keys = self.side == "nnx" and any("rngs" in path for path in flat(nnx.state(self.live)))
        return {"missing": [("*rngs/key", "0")]} if keys else {}

    @functools.cached_property
    def converted(self):
        return torch_to_flax(self.torch, template=self.live, **self.rules)

    @functools.cached_property
    def filled(self):
        """The same as the framework's users hold it: linen variables, or an nnx module with what is tied in it."""
        if self.side == "linen":
            return self.converted
        module = nnx.merge(*nnx.split(self.live))
        nnx.update(module, self.converted)
        return module

    @functools.cached_property
    def function(self):
        """Variables or the State of a module -> outputs, compiled."""

        def linen(variables):
            return self.module.run_linen(self.module.linen_net(), variables, *self.inputs)

        def of_nnx(state):
            return self.module.run_nnx(nnx.merge(graph, state), *self.inputs)

        graph = nnx.graphdef(self.live) if self.side == "nnx" else None
        return jax.jit(linen if self.side == "linen" else of_nnx, compiler_options=COMPILED)

    @property
    def tree(self):
        """What `function` takes."""
        return self.filled if self.side == "linen" else nnx.state(self.filled)


@functools.cache
def net(name, side):
    return Net(name, side)


def zeros(like):
    if jax.dtypes.issubdtype(like.dtype, jax.dtypes.prng_key):
        return jax.random.key(0)
    return jnp.zeros(like.shape, like.dtype)


def randomized(module):
    """Weights, biases and statistics that are all different from what an initialiser gives."""
    random = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for name, tensor in module.state_dict(keep_vars=True).items():
            if not tensor.is_floating_point():
                continue
            values = torch.randn(tensor.shape, generator=random)
            if name.endswith("running_var"):
                values = values.abs() + 0.5
            elif tensor.dim() > 1:
                values = values * tensor[0].numel() ** -0.5
            else:
                values = values * 0.3 + (1 if name.endswith("weight") else 0)
            tensor.copy_(values.to(tensor.dtype))
    return module.eval()


def outputs(given):
    return [np.asarray(one, np.float64) for one in (given if isinstance(given, (tuple, list)) else [given])]


def difference(given, expected):
    assert [one.shape for one in given] == [one.shape for one in expected]
    assert all(np.isfinite(one).all() for one in given)
    return max(float(np.abs(one - other).max()) for one, other in zip(given, expected, strict=True))


def flat(tree):
    """Path -> (dtype, shape, bytes) of every array; the random keys by what they are made of."""
    found = {}
    for path, leaf in jax.tree.leaves_with_path(tree):
        array = jax.random.key_data(leaf) if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf
        found[jax.tree_util.keystr(path, simple=True, separator="/")] = described(np.asarray(array))
    return found


def described(array):
    return str(array.dtype), array.shape, array.tobytes()


def bits(state):
    """Name -> (dtype, shape, bytes) of a state dict."""
    return {
        name: (
            str(tensor.dtype),
            tuple(tensor.shape),
            tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes(),
        )
        for name, tensor in state.items()
    }


def ties(state):
    """The names that share a tensor, as sets of their own."""
    groups = {}
    for name, tensor in state.items():
        groups.setdefault((tensor.data_ptr(), tensor.shape) if tensor.numel() else name, set()).add(name)
    return {frozenset(group) for group in groups.values() if len(group) > 1}


def without_counters(state):
    """What comes back: all bits, but for the counters of batch norm, which Flax does not have."""
    return {
        name: (dtype, shape, bytes(len(data)) if name.endswith("num_batches_tracked") else data)
        for name, (dtype, shape, data) in bits(state).items()
    }


def check_back(name, case, state):
    """A state dict that was to Flax and back: every bit, or the same function where biases were added up."""
    own = case.torch.state_dict()
    assert list(state) == list(own)
    assert ties(state) == ties(own)
    if name not in RECURRENT:
        assert bits(state) == without_counters(own)
        return
    rest = {key for key in own if "bias_ih" not in key and "bias_hh" not in key}
    assert {key: bits(state)[key] for key in rest} == {key: bits(own)[key] for key in rest}
    check_same_function(name, case, state)


def meta(case):
    with torch.device("meta"):
        return case.module.torch_net()


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("name", NETS)
def test_outputs_are_equal(name, side):
    case = net(name, side)
    found = difference(outputs(case.function(case.tree)), case.expected)
    print(f"{name} {side}: largest difference {found:.1e}")
    assert found <= BOUND
    assert all(0.05 < np.abs(one).max() < 20 for one in case.expected)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("name", NETS)
def test_a_template_of_shapes_gives_the_same(name, side):
    case = net(name, side)
    found = torch_to_flax(case.torch, template=case.abstract, **case.rules, **case.missing)
    assert flat(found) == flat(case.converted)


def test_random_keys_are_no_weights():
    """A live module keeps its own; one of shapes has none, and what to say is told."""
    case = net("gru_classifier", "nnx")
    with pytest.raises(ConversionError) as caught:
        torch_to_flax(case.torch, template=case.abstract, **case.rules)
    assert [problem.text for problem in caught.value.problems] == [
        "gru/rngs/key (2,) in the template has no source: a flax.nnx.RngKey is no weight. Give a template with "
        "values, or --missing 'gru/rngs/key=0'"
    ]
    assert case.missing


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("name", NETS)
def test_back_by_the_module_and_by_one_without_elements(name, side):
    case = net(name, side)
    check_back(name, case, flax_to_torch(case.filled, template=case.torch, **case.rules))
    check_back(name, case, flax_to_torch(case.filled, template=meta(case), **case.rules))


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("name", NETS)
def test_nothing_is_guessed_of_a_live_module(name, side):
    case = net(name, side)
    made = plan(source_of(case.torch), to=side, template=source_of(case.live), strict=True, **case.rules)
    assert [step.shown_target for step in made.guesses] == []


SHARED = {
    "two_tower": ("query_encoder", "document_encoder"),
    "t5": ("shared", "encoder.embed_tokens", "decoder.embed_tokens"),
}


@pytest.mark.parametrize("name", SHARED)
def test_live_models_are_filled_and_what_they_share_stays_shared(name):
    linen, case = net(name, "linen"), net(name, "nnx")
    module = nnx.merge(*nnx.split(case.live))
    assert load_into(module, case.torch, **case.rules) is module
    assert flat(nnx.state(module)) == flat(nnx.state(case.filled))
    first, *others = (operator.attrgetter(path)(module) for path in SHARED[name])
    assert all(other is first for other in others)
    assert len(jax.tree.leaves(nnx.state(module))) == len(jax.tree.leaves(case.converted))

    again = case.module.torch_net()
    load_into(again, module, **case.rules)
    assert bits(again.state_dict()) == bits(case.torch.state_dict())
    assert ties(again.state_dict()) == ties(case.torch.state_dict())
    assert flat(load_into(linen.live, again, **linen.rules)) == flat(linen.converted)


@pytest.mark.parametrize("name", [name for name in NETS if name != "lora"])  # linen's is three layers, nnx's one
def test_linen_and_nnx_into_each_other(name):
    linen, module = net(name, "linen"), net(name, "nnx")
    variables = torch_to_flax(module.torch, template=linen.live, **linen.rules)
    state = torch_to_flax(variables, to="nnx", template=module.live)
    assert flat(state) == flat(module.converted)
    assert flat(torch_to_flax(module.filled, to="linen", template=linen.live)) == flat(variables)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("suffix", ["safetensors", "pt"])
@pytest.mark.parametrize("name", NETS)
def test_state_dicts_in_files(name, suffix, side, tmp_path):
    case = net(name, side)
    path = tmp_path / f"net.{suffix}"
    if suffix == "pt":
        torch.save(case.torch.state_dict(), path)
    else:
        safetensors.torch.save_model(case.torch, path)
    convert(path, tmp_path / "out.ptf", to=side, template=source_of(case.live), durable=False, **case.rules)
    found = ptformat.flax.load_file(tmp_path / "out.ptf")
    # A file has what is shared at every path; what a live model takes has it at the first, as nnx.state does.
    assert flat(once(found)) == flat(case.converted)
    assert (flat(found) == flat(case.converted)) == (side == "linen" or name not in SHARED)


@pytest.mark.parametrize("name", NETS)
def test_without_classes_a_wrong_guess_is_told_and_what_is_said_is_taken(name):
    case = net(name, "linen")
    source = source_of(case.torch.state_dict(), convention="torch")
    right = made(plan(source_of(case.torch), to="linen", **case.rules))
    rules = [*case.rules.get("kinds", []), *(SAID[name][:1] if name == "vit" else [])]
    guessed = plan(source, to="linen", kinds=rules)
    doubtful = {step.made for step in guessed.guesses}
    assert set(made(guessed)) - set(right) <= doubtful
    told = {*case.rules.get("kinds", []), *SAID.get(name, [])}
    assert made(plan(source, to="linen", kinds=sorted(told), strict=True)) == right
    if doubtful:
        with pytest.raises(ConversionError, match="it may be"):
            plan(source, to="linen", kinds=rules, strict=True)


def made(planned):
    """How the targets are made, whatever their names are."""
    return {step.made: step.target.path.rpartition(".")[2] for step in planned.steps.values() if step.sources}


@pytest.mark.parametrize("name", NETS)
def test_every_leaf_counts(name):
    """Outputs that are equal say something of a leaf only if they change with it."""
    case = net(name, "linen")
    random = np.random.default_rng(9)
    base = outputs(case.function(case.tree))
    leaves, tree = jax.tree.flatten(case.tree)
    names = list(flat(case.converted))
    silent = set()
    for place, leaf in enumerate(leaves):
        array = np.asarray(leaf)
        noise = 0.5 * random.standard_normal(array.shape)
        if names[place].endswith("var"):
            noise = np.abs(noise)
        changed = [*leaves[:place], (array.astype(np.float64) + noise).astype(array.dtype), *leaves[place + 1 :]]
        if difference(outputs(case.function(jax.tree.unflatten(tree, changed))), base) < 100 * BOUND:
            silent.add(names[place])
    assert silent == {one for one in names if one.endswith(("key/bias", "k_proj/bias"))}  # softmax takes no notice


@pytest.mark.parametrize(("side", "style"), [("linen", "nested"), ("linen", "linen-list"), ("nnx", "nested")])
@pytest.mark.parametrize("name", NETS)
def test_by_style_and_back_as_recorded(name, side, style, tmp_path):
    case = net(name, side)
    first, there, back = (tmp_path / f"{which}.ptf" for which in ("first", "there", "back"))
    ptformat.torch.save_model(case.torch, first)
    made = convert(first, there, to=side, style=style, durable=False, **case.rules)
    assert made.guesses == []
    assert convert(there, back, to="torch", durable=False).undone
    check_same_function(name, case, ptformat.torch.load_file(back))
    check_same_tree(first, back)


def check_same_function(name, case, state):
    own = case.torch.state_dict()
    assert list(state) == list(own)
    assert ties(state) == ties(own)
    if name not in RECURRENT:
        assert bits(state) == bits(own)
        return
    again = case.module.torch_net()
    again.load_state_dict(state)
    assert difference(outputs(case.module.run_torch(again, *case.inputs)), case.expected) <= BOUND


def check_same_tree(first, back):
    with contextlib.closing(source_of(first)) as one, contextlib.closing(source_of(back)) as other:
        assert [type(entry) for entry in other.entries] == [type(entry) for entry in one.entries]
        assert [entry.path for entry in other.entries] == [entry.path for entry in one.entries]
        aliases = [entry for entry in one.entries if isinstance(entry, Alias)]
        assert [entry for entry in other.entries if isinstance(entry, Alias)] == aliases
