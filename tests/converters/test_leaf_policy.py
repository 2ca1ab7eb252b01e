"""What a template has and the source does not: filled, kept or refused, with the reason."""

import jax
import numpy as np
import pytest
import torch
from flax import nnx

from ptformat.converters import ConversionError, plan, source_of, torch_to_flax


class Decoder(nnx.Module):
    """Has a cache, random state, a constant of its own and a bias that the torch side lacks."""

    def __init__(self, rngs):
        self.fc = nnx.Linear(4, 8, rngs=rngs)
        self.dropout = nnx.Dropout(0.1, rngs=rngs)
        self.cache = nnx.Cache(np.full((2, 3), 5.0, "f"))
        self.attn = nnx.MultiHeadAttention(2, 8, rngs=rngs, decode=False)


def torch_state(bias=True):
    net = torch.nn.Module()
    net.fc = torch.nn.Linear(4, 8, bias=bias)
    net.attn = torch.nn.MultiheadAttention(8, 2)
    return net


def test_state_of_a_live_module_is_its_own():
    template = Decoder(nnx.Rngs(7))
    made = plan(source_of(torch_state()), to="nnx", template=source_of(template))
    assert made.kept == [
        "cache: a flax.nnx.Cache is no weight: the template's own is kept",
        "dropout/rngs/count: a flax.nnx.RngCount is no weight: the template's own is kept",
        "dropout/rngs/key: a flax.nnx.RngKey is no weight: the template's own is kept",
    ]
    state = torch_to_flax(torch_state(), template=template)
    assert np.array_equal(state["cache"][...], np.full((2, 3), 5.0, "f"))
    key = state["dropout"]["rngs"]["key"][...]
    assert np.array_equal(jax.random.key_data(key), jax.random.key_data(template.dropout.rngs.key[...]))
    assert state["dropout"]["rngs"]["count"][...].dtype == np.uint32


def test_an_abstract_module_has_no_key_to_keep():
    template = nnx.eval_shape(lambda: Decoder(nnx.Rngs(0)))
    with pytest.raises(ConversionError) as caught:
        plan(source_of(torch_state()), to="nnx", template=source_of(template))
    assert {(problem.kind, problem.path) for problem in caught.value.problems} == {
        ("missing", "cache"),
        ("missing", "dropout.rngs.key"),
    }


def test_a_counter_starts_at_nought_and_the_rest_is_filled_when_asked():
    template = nnx.eval_shape(lambda: Decoder(nnx.Rngs(0)))
    made = plan(
        source_of(torch_state()),
        to="nnx",
        template=source_of(template),
        missing=[("cache", "0"), ("dropout/rngs/key", "0")],
    )
    assert made.kept == [
        "cache: filled with 0: --missing 'cache=0'",
        "dropout/rngs/count: filled with 0: a flax.nnx.RngCount counts from 0",
        "dropout/rngs/key: filled with 0: --missing 'dropout/rngs/key=0'",
    ]


def test_an_absent_bias_is_refused_unless_it_may_be_filled():
    template = Decoder(nnx.Rngs(7))
    with pytest.raises(ConversionError) as caught:
        torch_to_flax(torch_state(bias=False), template=template)
    assert [(problem.kind, problem.path) for problem in caught.value.problems] == [("missing", "fc.bias")]
    state = torch_to_flax(torch_state(bias=False), template=template, missing=[("fc/bias", "0")])
    assert np.array_equal(state["fc"]["bias"][...], np.zeros(8, "f"))
    template.fc.bias[...] = np.arange(8, dtype="f")
    state = torch_to_flax(torch_state(bias=False), template=template, missing=[("fc/*", "keep")])
    assert np.array_equal(state["fc"]["bias"][...], np.arange(8, dtype="f"))


def test_a_policy_that_nothing_needs_is_a_mistake():
    with pytest.raises(
        ConversionError, match="--missing 'fc/bias=0' matches no tensor of the template that the source"
    ):
        torch_to_flax(torch_state(), template=Decoder(nnx.Rngs(7)), missing=[("fc/bias", "0")])


def test_what_an_abstract_template_cannot_keep():
    template = nnx.eval_shape(lambda: Decoder(nnx.Rngs(0)))
    with pytest.raises(ConversionError) as caught:
        plan(
            source_of(torch_state()),
            to="nnx",
            template=source_of(template),
            missing=[("cache", "keep"), ("dropout/rngs/key", "0")],
        )
    texts = [problem.text for problem in caught.value.problems]
    assert texts[0] == "cache (2, 3) is to be kept from the template, which has shapes only"


def test_state_is_no_weight_on_the_way_to_torch():
    made = plan(source_of(Decoder(nnx.Rngs(7))), to="torch")
    assert [*made.steps] == [
        "attn.in_proj_weight",
        "attn.in_proj_bias",
        "attn.out_proj.weight",
        "attn.out_proj.bias",
        "fc.weight",
        "fc.bias",
    ]
    assert made.dropped == [
        "cache: a flax.nnx.Cache is no weight",
        "dropout/rngs/count: a flax.nnx.RngCount is no weight",
        "dropout/rngs/key: a flax.nnx.RngKey is no weight",
    ]
