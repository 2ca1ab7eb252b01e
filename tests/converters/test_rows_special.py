"""Rows of the table of layers that are no plain pair: no counterpart, something that would be lost, or must be said."""

import warnings
from contextlib import closing
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax import nnx
from rows import (
    NnxHolder,
    TorchHolder,
    attention,
    dense,
    flax_out,
    leaves,
    normal,
    randomize,
    template_of,
    torch_net,
)
from torch.nn.utils import parametrizations

import ptformat.flax
import ptformat.torch
from ptformat.converters import ConversionError, convert, flax_to_torch, plan, torch_to_flax
from ptformat.converters.objects import source_of
from ptformat.errors import FormatError


def problems(net: Any, to: str = "linen", **options: Any) -> list[tuple[str, str]]:
    with pytest.raises(ConversionError) as caught:
        torch_to_flax(net, to=to, **options)
    return [(problem.kind, problem.text) for problem in caught.value.problems]


def holder(module: torch.nn.Module) -> torch.nn.Module:
    return randomize(TorchHolder(module)).eval()


def run(module: torch.nn.Module, *inputs: Any) -> Any:
    with torch.no_grad():
        return module(*map(torch.from_numpy, inputs)).numpy()


# What has no counterpart: the class or leaf that is named, with the reason.
NONE = {
    "bias_k, bias_v": (
        lambda: torch.nn.MultiheadAttention(12, 3, add_bias_kv=True),
        "the target has no place for bias_k (extra_key)",
    ),
    "LSTM, proj_size": (
        lambda: torch.nn.LSTM(3, 5, proj_size=2),
        "a recurrent layer with a projection (proj_size), which Flax does not have",
    ),
    "EmbeddingBag": (lambda: torch.nn.EmbeddingBag(11, 4), "torch.nn.modules.sparse.EmbeddingBag"),
    "Bilinear": (lambda: torch.nn.Bilinear(3, 4, 5), "torch.nn.modules.linear.Bilinear"),
}


@pytest.mark.parametrize("to", ["linen", "nnx"])
@pytest.mark.parametrize("name", NONE)
def test_what_has_no_counterpart_is_refused_by_name(name: str, to: str) -> None:
    make, reason = NONE[name]
    found = problems(holder(make()), to)
    assert {kind for kind, _ in found} == {"unsupported"}
    assert any(text.startswith("m") and reason in text for _, text in found), found


def test_what_add_zero_attn_adds_is_refused() -> None:
    """It has no tensor, and changes every output: its class alone tells."""
    ((kind, text),) = problems(holder(torch.nn.MultiheadAttention(12, 3, add_zero_attn=True)))
    assert kind == "unsupported"
    assert text.startswith("m") and "add_zero_attn" in text


def test_one_slope_per_channel_has_no_place_in_linen() -> None:
    ((kind, text),) = problems(holder(torch.nn.PReLU(4)))
    assert kind == "unsupported"
    assert text.startswith("m has weight (4,)") and "flax.linen has no counterpart of prelu_channels" in text


def test_a_norm_of_several_axes_has_no_place_in_nnx() -> None:
    net = holder(torch.nn.LayerNorm((3, 4, 5)))
    ((kind, text),) = problems(net, "nnx", kinds=[("m", "layer_norm_spatial")])
    assert kind == "unsupported"
    assert "flax.nnx has no counterpart of layer_norm_spatial" in text


def test_other_widths_of_keys_and_values_have_no_place_in_nnx() -> None:
    net = holder(torch.nn.MultiheadAttention(12, 3, kdim=7, vdim=10))
    module = nnx.MultiHeadAttention(3, 12, in_kv_features=7, decode=False, rngs=nnx.Rngs(0))
    found = problems(net, "nnx", template=NnxHolder(module))
    assert [kind for kind, _ in found] == ["shape"]
    assert found[0][1].startswith(
        "m.v_proj_weight (12, 10), as (10, 3, 4), → m/value/kernel is (7, 3, 4) in the template"
    )


@pytest.mark.parametrize("lazy", [torch.nn.LazyLinear(4), torch.nn.LazyConv2d(4, 3), torch.nn.LazyBatchNorm1d()])
def test_a_layer_that_has_no_tensors_yet_is_refused(lazy: torch.nn.Module) -> None:
    with pytest.raises(FormatError) as caught:
        torch_to_flax(TorchHolder(lazy))
    assert "'m.weight': uninitialised; run a forward pass first" in str(caught.value)


class TestGRU:
    """nnx's cell has no place for b_hn: what stands there must be 0, and is looked at, never dropped."""

    inputs = normal(2, 6, 3)

    def net(self, zero: bool) -> torch.nn.Module:
        net = holder(torch.nn.GRU(3, 5, batch_first=True))
        if zero:
            with torch.no_grad():
                net.m.bias_hh_l0[10:] = 0
        return net

    def template(self) -> Any:
        rngs = nnx.Rngs(0)
        return NnxHolder(nnx.RNN(nnx.GRUCell(3, 5, rngs=rngs), rngs=rngs))

    @pytest.mark.parametrize("by", ["style", "template"])
    def test_without_b_hn_it_is_the_same(self, by: str) -> None:
        net = self.net(zero=True)
        template = self.template()
        state = torch_to_flax(net, to="nnx", template=template if by == "template" else None)
        nnx.update(template, state)
        found = np.asarray(template.m(jnp.asarray(self.inputs)))
        with torch.no_grad():
            expected = net.m(torch.from_numpy(self.inputs))[0].numpy()
        assert np.abs(found - expected).max() <= 8e-7
        back = flax_to_torch(state, template=net)
        assert not back["m.bias_hh_l0"].any()
        other = self.net(zero=True)
        other.load_state_dict(back)
        with torch.no_grad():
            assert np.abs(other.m(torch.from_numpy(self.inputs))[0].numpy() - expected).max() <= 8e-7

    @pytest.mark.parametrize("by", ["style", "template"])
    def test_with_b_hn_it_is_lossy(self, by: str) -> None:
        found = problems(self.net(zero=False), "nnx", template=self.template() if by == "template" else None)
        text = "m.bias_hh_l0: bias_hh: bias.hn, for which the target has no place, must be 0, but"
        assert found == [("lossy", f"{text} 5 of its 5 elements are not 0")]

    def test_one_element_is_enough(self) -> None:
        net = self.net(zero=True)
        with torch.no_grad():
            net.m.bias_hh_l0[12] = 1e-30
        ((kind, text),) = problems(net, "nnx")
        assert (kind, text.endswith("but 1 of its 5 elements are not 0")) == ("lossy", True)

    @pytest.mark.parametrize("zero", [True, False])
    def test_from_linen(self, zero: bool, tmp_path: Path) -> None:
        """linen's cell has the place: what stands there decides whether nnx's can have it."""
        variables = torch_to_flax(self.net(zero))
        ptformat.flax.save_file(variables, tmp_path / "a.ptf")
        options = {"to": "nnx", "template": source_of(self.template()), "durable": False}
        if not zero:
            with pytest.raises(ConversionError) as caught:
                convert(tmp_path / "a.ptf", tmp_path / "b.ptf", **options)
            assert [problem.kind for problem in caught.value.problems] == ["lossy"]
            assert not (tmp_path / "b.ptf").exists()
            return
        convert(tmp_path / "a.ptf", tmp_path / "b.ptf", **options)
        template = self.template()
        found = np.asarray(
            ptformat.flax.load_model(template, tmp_path / "b.ptf", rng_state="keep").m(jnp.asarray(self.inputs))
        )
        expected = nn.RNN(nn.GRUCell(5)).apply({"params": variables["params"]["m"]}, jnp.asarray(self.inputs))
        assert np.abs(found - np.asarray(expected)).max() <= 8e-7
        template = {"params": jax.tree.map(jnp.zeros_like, variables["params"])}
        convert(tmp_path / "b.ptf", tmp_path / "c.ptf", to="linen", template=source_of(template), durable=False)
        back = leaves(ptformat.flax.load_file(tmp_path / "c.ptf"))
        assert {path: leaf.tobytes() for path, leaf in leaves(variables).items()} == {
            path: leaf.tobytes() for path, leaf in back.items()
        }


SPECTRAL = {
    "linear": (lambda: torch.nn.Linear(6, 4), nn.Dense(4), normal(3, 6)),
    "conv": (lambda: torch.nn.Conv2d(6, 4, (3, 2)), nn.Conv(4, (3, 2), padding="VALID"), normal(2, 6, 5, 4)),
    "conv_transpose": (
        lambda: torch.nn.ConvTranspose2d(6, 4, (3, 2)),
        nn.ConvTranspose(4, (3, 2), padding="VALID"),
        normal(2, 6, 5, 4),
    ),
}


class TestSpectralNorm:
    """Folded into the weight when asked for, which changes its bits; else refused."""

    def net(self, name: str, spelling: str) -> torch.nn.Module:
        layer = SPECTRAL[name][0]()
        if spelling == "hook":
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)
                layer = torch.nn.utils.spectral_norm(layer)
            layer(torch.from_numpy(SPECTRAL[name][2]))  # a step of the power iteration
        else:
            layer = parametrizations.spectral_norm(layer)
        return TorchHolder(layer).eval()

    @pytest.mark.parametrize("by", ["style", "template"])
    @pytest.mark.parametrize("spelling", ["parametrization", "hook"])
    @pytest.mark.parametrize("name", SPECTRAL)
    def test_folded(self, name: str, spelling: str, by: str) -> None:
        net = self.net(name, spelling)
        _, layer, x = SPECTRAL[name]
        flat = x.ndim == 2
        into = jnp.asarray(x if flat else np.moveaxis(x, 1, -1))
        template = None
        if by == "template":
            shapes = jax.eval_shape(lambda: layer.init(jax.random.key(0), into))
            template = {"params": {"m": shapes["params"]}}
        variables = torch_to_flax(net, to="linen", template=template, fold=["m"])
        found = np.asarray(layer.apply({"params": variables["params"]["m"]}, into))
        found = found if flat else np.moveaxis(found, -1, 1)
        assert np.abs(found - run(net.m, x)).max() <= 4e-6
        with closing(source_of(net)) as held:
            made = plan(held, to="linen", fold=["m"])
        exact = {step.target.path.rpartition(".")[2]: step.exactness for step in made.steps.values()}
        assert exact == {"kernel": "rounded", "bias": "bit"}

    @pytest.mark.parametrize("spelling", ["parametrization", "hook"])
    def test_refused_unless_it_is_asked_for(self, spelling: str) -> None:
        ((kind, text),) = problems(self.net("linear", spelling))
        assert kind == "lossy"
        assert (
            "its weight stands under a spectral norm; --fold 'm' divides it by the norm, which changes its bits" in text
        )


class TestLosses:
    """Losses with weights are in a state dict, and of no kind: buffers stand aside, and come back."""

    def test_there_and_back(self, tmp_path: Path) -> None:
        net = torch.nn.ModuleDict(
            {
                "fc": torch.nn.Linear(3, 4),
                "ce": torch.nn.CrossEntropyLoss(weight=torch.rand(4)),
                "bce": torch.nn.BCEWithLogitsLoss(weight=torch.rand(4), pos_weight=torch.rand(4)),
            }
        )
        variables = torch_to_flax(net)
        assert sorted(variables) == ["buffers", "params"]
        assert sorted(variables["params"]) == ["fc"]
        assert leaves(variables["buffers"]).keys() == {"['bce']['pos_weight']", "['bce']['weight']", "['ce']['weight']"}
        ptformat.torch.save_model(net, tmp_path / "a.ptf")
        convert(tmp_path / "a.ptf", tmp_path / "b.ptf", to="linen", durable=False)
        convert(tmp_path / "b.ptf", tmp_path / "c.ptf", to="torch", durable=False)
        found = ptformat.torch.load_file(tmp_path / "c.ptf")
        assert {key: torch.equal(found[key], tensor) for key, tensor in net.state_dict().items()} == dict.fromkeys(
            net.state_dict(), True
        )


class Bagged(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.bag = torch.nn.EmbeddingBag(11, 4, mode="sum")
        self.mix = torch.nn.Bilinear(3, 4, 5)


def test_layers_of_the_users_own_by_explicit_rules() -> None:
    """EmbeddingBag, Bilinear: flax has none, so the user's own module takes the tensors."""
    net = randomize(Bagged())
    ids, x = np.random.default_rng(0).integers(0, 11, (2, 6)), normal(2, 3)
    variables = torch_to_flax(net, kinds=[("bag", "embedding_bag"), ("mix", "bilinear")])
    bag, mix = variables["params"]["bag"], variables["params"]["mix"]
    assert mix["kernel"].shape == (3, 4, 5)
    pooled = jnp.take(bag["embedding"], ids, axis=0).sum(1)
    found = jnp.einsum("ni,ijo,nj->no", x, mix["kernel"], pooled) + mix["bias"]
    with torch.no_grad():
        expected = net.mix(torch.from_numpy(x), net.bag(torch.from_numpy(ids))).numpy()
    assert np.abs(np.asarray(found) - expected).max() <= 2e-6 * np.abs(expected).max()
    back = flax_to_torch(variables, template=net, kinds=[("bag", "embedding_bag"), ("mix", "bilinear")])
    assert all(torch.equal(back[key], tensor) for key, tensor in net.state_dict().items())


def test_the_parts_of_an_adaptive_softmax() -> None:
    """Flax has none; its Linear layers go into the user's own."""
    net = holder(torch.nn.AdaptiveLogSoftmaxWithLoss(16, 12, [4, 8], head_bias=True))
    parts = torch_to_flax(net, strict=True)["params"]["m"]
    x = normal(3, 16)
    head = jax.nn.log_softmax(x @ parts["head"]["kernel"] + parts["head"]["bias"])
    columns = [head[:, :4]]
    for i in ("0", "1"):
        tail = [parts["tail"][i][f"layers_{place}"]["kernel"] for place in (0, 1)]
        columns.append(jax.nn.log_softmax(x @ tail[0] @ tail[1]) + head[:, 4 + int(i), None])
    with torch.no_grad():
        expected = net.m.log_prob(torch.from_numpy(x)).numpy()
    assert np.abs(np.concatenate(columns, 1) - expected).max() <= 4e-6


@pytest.mark.parametrize("to", ["linen", "nnx"])
def test_a_key_bias_changes_its_leaf_and_never_the_output(to: str) -> None:
    row = attention.ROWS["attention"]
    net = torch_net(row)
    before = torch_to_flax(net, template=template_of(row, to))
    expected = flax_out(row, to, before)
    with torch.no_grad():
        net.m.in_proj_bias[12:24] += 1.5
    after = torch_to_flax(net, template=template_of(row, to))
    changed = [path for path, leaf in leaves(after).items() if not np.array_equal(leaf, leaves(before)[path])]
    assert changed == ["['params']['m']['key']['bias']" if to == "linen" else "['m']['key']['bias'].value"]
    assert np.abs(flax_out(row, to, after) - expected).max() <= 4e-6


@pytest.mark.parametrize("order", ["qkv", "heads_qkv"])
def test_a_packed_order_has_to_be_said(order: str) -> None:
    row = attention.ROWS["packed (3, H, D)" if order == "qkv" else "packed (H, 3, D)"]
    found = problems(torch_net(row), template=template_of(row, "linen"), strict=True)
    assert {kind for kind, _ in found} == {"guess"}
    assert all("it may be attention:" in text for _, text in found), found


def test_lora_without_alpha_is_told() -> None:
    ((kind, text),) = problems(torch_net(dense.ROWS["LoRA"]), "nnx")
    assert kind == "ambiguous"
    assert "nothing tells the size of alpha. Say --kind 'm=lora_linear(alpha=N)'" in text
