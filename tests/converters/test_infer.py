"""From names and shapes to kinds: what is certain, what is a guess, what contradicts, what has no rule."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest
import torch
from sources import source

from ptformat.converters import ConversionError, plan
from ptformat.converters.conventions import CONVENTIONS, KINDS
from ptformat.converters.infer import convention_of
from ptformat.tree import Node

Shapes = dict[str, tuple[int, ...]]
IN_OUT, OUT_IN = "(in, out) → (out, in)", "(out, in) → (in, out)"


def told(shapes: Shapes, to: str = "linen", **options: Any) -> dict[str, tuple[str, str]]:
    """Target -> operation, and what else the module might be."""
    origin = {"linen": "torch", "torch": "flax.linen"}[to]
    nodes = options.pop("nodes", ())
    made = plan(source(shapes, nodes=nodes, convention=origin), to=to, **options)
    return {step.shown_target: (step.operation, step.guess) for step in made.steps.values()}


def problems(shapes: Shapes, to: str = "linen", **options: Any) -> list[tuple[str, str]]:
    """Kind and text of every problem."""
    with pytest.raises(ConversionError) as caught:
        told(shapes, to, **options)
    return [(problem.kind, problem.text) for problem in caught.value.problems]


CERTAIN: dict[str, tuple[Shapes, dict[str, str]]] = {
    "linear": (
        {"fc.weight": (4, 3), "fc.bias": (4,)},
        {"params/fc/kernel": "(out, in) → (in, out)", "params/fc/bias": ""},
    ),
    "linear without a hint": (
        {"x.weight": (4, 3), "x.bias": (4,)},
        {"params/x/kernel": "(out, in) → (in, out)", "params/x/bias": ""},
    ),
    "linear without bias": ({"q_proj.weight": (4, 4)}, {"params/q_proj/kernel": "(out, in) → (in, out)"}),
    "embedding": ({"embed.weight": (9, 4)}, {"params/embed/embedding": ""}),
    "conv 1d": (
        {"c.weight": (5, 3, 7), "c.bias": (5,)},
        {"params/c/kernel": "(out, in, x) → (x, in, out)", "params/c/bias": ""},
    ),
    "conv 2d": (
        {"c.weight": (5, 3, 7, 2), "c.bias": (5,)},
        {"params/c/kernel": "(out, in, y, x) → (y, x, in, out)", "params/c/bias": ""},
    ),
    "conv 3d": (
        {"c.weight": (5, 3, 7, 2, 1), "c.bias": (5,)},
        {"params/c/kernel": "(out, in, z, y, x) → (z, y, x, in, out)", "params/c/bias": ""},
    ),
    "layer norm": ({"ln.weight": (4,), "ln.bias": (4,)}, {"params/ln/scale": "", "params/ln/bias": ""}),
    "norm without a hint": ({"x.weight": (4,), "x.bias": (4,)}, {"params/x/scale": "", "params/x/bias": ""}),
    "norm without bias": ({"norm.weight": (4,)}, {"params/norm/scale": ""}),
    "batch norm": (
        {"bn.weight": (4,), "bn.bias": (4,), "bn.running_mean": (4,), "bn.running_var": (4,)},
        {"params/bn/scale": "", "params/bn/bias": "", "batch_stats/bn/mean": "", "batch_stats/bn/var": ""},
    ),
    "batch norm that counts, without affine": (
        {"x.running_mean": (4,), "x.running_var": (4,), "x.num_batches_tracked": ()},
        {"batch_stats/x/mean": "", "batch_stats/x/var": ""},
    ),
}


@pytest.mark.parametrize("name", CERTAIN)
def test_certain_from_torch(name: str) -> None:
    shapes, expected = CERTAIN[name]
    assert told(shapes, strict=True) == {target: (operation, "") for target, operation in expected.items()}


LINEN_CERTAIN: dict[str, tuple[Shapes, dict[str, str]]] = {
    "dense": ({"params/x/kernel": (3, 4), "params/x/bias": (4,)}, {"x.weight": IN_OUT, "x.bias": ""}),
    "dense without bias": ({"params/x/kernel": (3, 4)}, {"x.weight": IN_OUT}),
    "embed": ({"params/x/embedding": (9, 4)}, {"x.weight": ""}),
    "norm": ({"params/x/scale": (4,), "params/x/bias": (4,)}, {"x.weight": "", "x.bias": ""}),
    "norm without bias": ({"params/x/scale": (4,)}, {"x.weight": ""}),
    "batch norm": (
        {"params/x/scale": (4,), "params/x/bias": (4,), "batch_stats/x/mean": (4,), "batch_stats/x/var": (4,)},
        {
            "x.weight": "",
            "x.bias": "",
            "x.running_mean": "",
            "x.running_var": "",
            "x.num_batches_tracked": "filled with 0",
        },
    ),
    "statistics alone": (
        {"batch_stats/x/mean": (4,), "batch_stats/x/var": (4,)},
        {"x.running_mean": "", "x.running_var": "", "x.num_batches_tracked": "filled with 0"},
    ),
}


@pytest.mark.parametrize("name", LINEN_CERTAIN)
def test_certain_from_linen(name: str) -> None:
    shapes, expected = LINEN_CERTAIN[name]
    assert told(shapes, "torch", strict=True) == {target: (operation, "") for target, operation in expected.items()}


@pytest.mark.parametrize(
    "name",
    ["embed", "wte", "wpe", "tok_embeddings", "TokenEmbedding", "model.embed_tokens", "word_embeddings", "shared"],
)
def test_names_that_speak_for_an_embedding(name: str) -> None:
    target = f"params/{name.replace('.', '/')}/embedding"
    assert told({f"{name}.weight": (9, 4)}, strict=True) == {target: ("", "")}


@pytest.mark.parametrize(
    "name",
    ["head", "lm_head", "fc1", "out_proj", "OutputDense", "query", "mlp.up_proj", "classifier", "blocks.0.q"],
)
def test_names_that_speak_for_a_linear(name: str) -> None:
    target = f"params/{name.replace('.', '/')}/kernel"
    assert told({f"{name}.weight": (9, 4)}, strict=True) == {target: (OUT_IN, "")}


def test_a_word_is_a_whole_word() -> None:
    """`member` holds `emb` and `headline` holds `head`: neither says anything."""
    for name in ("member", "headline", "remap", "vocabulary"):
        assert told({f"{name}.weight": (9, 4)})[f"params/{name}/kernel"][1] == "embedding"


@pytest.mark.parametrize("name", ["mlp.3", "shared.0", "out.1", "decoder.2"])
def test_a_word_that_is_often_the_name_of_a_list_says_nothing_of_its_items(name: str) -> None:
    assert told({f"{name}.weight": (9, 4)})[f"params/{name.replace('.', '/')}/kernel"][1] == "embedding"


def test_a_strong_word_names_the_items_of_a_list() -> None:
    assert told({"embeddings.3.weight": (9, 4)}, strict=True) == {"params/embeddings/3/embedding": ("", "")}


def test_two_words_that_disagree_say_nothing() -> None:
    assert told({"embed_proj.weight": (9, 4)})["params/embed_proj/kernel"] == (OUT_IN, "embedding")


GUESSES: dict[str, tuple[Shapes, str, str]] = {
    "linear or embedding": ({"thing.weight": (9, 4)}, "params/thing/kernel", "embedding"),
    "square": ({"thing.weight": (4, 4)}, "params/thing/kernel", "embedding"),
    "conv, square": ({"c.weight": (4, 4, 3)}, "params/c/kernel", "conv_transpose"),
    "conv without bias": ({"c.weight": (6, 4, 3)}, "params/c/kernel", "conv_transpose"),
    "conv, bias a multiple": ({"c.weight": (6, 3, 3, 3), "c.bias": (6,)}, "params/c/kernel", "conv_transpose"),
    "depthwise": ({"c.weight": (6, 1, 3, 3), "c.bias": (6,)}, "params/c/kernel", "conv_transpose"),
    "norm or prelu": ({"act.weight": (6,)}, "params/act/scale", "prelu"),
    "norm or prelu, one slope": ({"act.weight": (1,)}, "params/act/scale", "prelu"),
}


@pytest.mark.parametrize("name", GUESSES)
def test_guesses(name: str) -> None:
    shapes, target, rival = GUESSES[name]
    assert told(shapes)[target][1] == rival
    ((kind, text),) = problems(shapes, strict=True)
    module = next(iter(shapes)).rpartition(".")[0]
    assert kind == "guess"
    assert f"it may be {rival}. Say --kind '{module}=KIND'" in text


@pytest.mark.parametrize("name", GUESSES)
def test_a_rule_ends_a_guess(name: str) -> None:
    shapes, target, _ = GUESSES[name]
    kind = {"kernel": "linear" if name in ("linear or embedding", "square") else "conv", "scale": "rms_norm"}
    found = told(shapes, strict=True, kinds=[("*", kind[target.rpartition("/")[2]])])
    assert found[target][1] == ""


def test_a_conv_of_linen_may_be_transposed() -> None:
    assert told({"params/c/kernel": (3, 4, 5), "params/c/bias": (5,)}, "torch")["c.weight"] == (
        "(x, in, out) → (out, in, x)",
        "conv_transpose",
    )


def test_a_rule_makes_an_embedding_of_a_linear() -> None:
    assert told({"head.weight": (9, 4)}, kinds=[("he*", "embedding")]) == {"params/head/embedding": ("", "")}


def test_a_rule_for_a_path_of_linen_has_slashes() -> None:
    shapes = {"params/a/c/kernel": (3, 4, 5)}
    assert told(shapes, "torch", strict=True, kinds=[("a/c", "conv")])["a.c.weight"][1] == ""
    expected = "--kind 'a.c=conv' matches no module with tensors"
    assert ("unused", expected) in problems(shapes, "torch", strict=True, kinds=[("a.c", "conv")])


CONV = "conv: recorded in the file"


# Kind -> what torch has of it, and what linen has then
RECORDED: dict[str, tuple[Shapes, Shapes]] = {
    "linear": ({"m.weight": (5, 3)}, {"params/m/kernel": (3, 5)}),
    "embedding": ({"m.weight": (9, 4)}, {"params/m/embedding": (9, 4)}),
    "conv": ({"m.weight": (5, 3, 7, 2)}, {"params/m/kernel": (7, 2, 3, 5)}),
    "conv_transpose": ({"m.weight": (5, 3, 7, 2)}, {"params/m/kernel": (7, 2, 5, 3)}),
    "layer_norm": ({"m.weight": (4,)}, {"params/m/scale": (4,)}),
    "rms_norm": ({"m.weight": (4,)}, {"params/m/scale": (4,)}),
    "group_norm": ({"m.weight": (4,)}, {"params/m/scale": (4,)}),
    "instance_norm": ({"m.weight": (4,)}, {"params/m/scale": (4,)}),
    "batch_norm": (
        {"m.running_mean": (4,), "m.running_var": (4,)},
        {"batch_stats/m/mean": (4,), "batch_stats/m/var": (4,)},
    ),
    "layer_norm_spatial": ({"m.weight": (3, 5, 7)}, {"params/m/scale": (5, 7, 3)}),
    "layer_norm_axes": ({"m.weight": (3, 5)}, {"params/m/scale": (3, 5)}),
    "prelu": ({"m.weight": (1,)}, {"params/m/negative_slope": ()}),
    "lstm": (
        {"m.weight_ih": (8, 3), "m.weight_hh": (8, 2)},
        {
            **{f"params/m/i{gate}/kernel": (3, 2) for gate in "ifgo"},
            **{f"params/m/h{gate}/kernel": (2, 2) for gate in "ifgo"},
        },
    ),
    "gru": (
        {"m.weight_ih": (6, 3), "m.weight_hh": (6, 2)},
        {
            **{f"params/m/i{gate}/kernel": (3, 2) for gate in "rzn"},
            **{f"params/m/h{gate}/kernel": (2, 2) for gate in "rzn"},
        },
    ),
    "rnn": (
        {"m.weight_ih": (2, 3), "m.weight_hh": (2, 2)},
        {"params/m/i/kernel": (3, 2), "params/m/h/kernel": (2, 2)},
    ),
    "weight_norm_linear": (
        {"m.weight_g": (4, 1), "m.weight_v": (4, 2)},
        {"params/WeightNorm_0/m/kernel/scale": (4,), "params/m/kernel": (2, 4)},
    ),
    "weight_norm_conv": (
        {"m.weight_g": (4, 1, 1), "m.weight_v": (4, 2, 3)},
        {"params/WeightNorm_0/m/kernel/scale": (4,), "params/m/kernel": (3, 2, 4)},
    ),
    "weight_norm_conv_transpose": (
        {"m.weight_g": (4, 1, 1), "m.weight_v": (4, 2, 3)},
        {"params/WeightNorm_0/m/kernel/scale": (4,), "params/m/kernel": (3, 4, 2)},
    ),
}
HEADED = {"m.in_proj_weight": (12, 4), "m.out_proj.weight": (4, 4)}
LORA = {"m.base_layer.weight": (5, 3), "m.lora_A.default.weight": (2, 3), "m.lora_B.default.weight": (5, 2)}
# Kinds that linen has no layer of, or that need more to be said: what torch has, and the text of the problem
RECORDED_BUT: dict[str, tuple[Shapes, str, str]] = {
    "prelu_channels": ({"m.weight": (4,)}, "unsupported", ": flax.linen has no counterpart of prelu_channels"),
    "lora_linear": (LORA, "unsupported", ": flax.linen has no counterpart of lora_linear"),
    "attention": (
        HEADED,
        "ambiguous",
        ": nothing tells the size of heads. Say --kind 'm=attention(heads=N)'",
    ),
    "flatten_linear": (
        {"m.weight": (2, 12)},
        "ambiguous",
        ": nothing tells the sizes of channels and spatial. Say --kind 'm=flatten_linear(channels=N,y=N,x=N)'",
    ),
}


def recorded(kind: str, **facts: Any) -> list[Node]:
    return [Node("m", "part", module=kind, class_="torch.nn.modules.X", **facts)]


@pytest.mark.parametrize("kind", [*RECORDED])
def test_a_recorded_kind_is_no_guess(kind: str) -> None:
    shapes, expected = RECORDED[kind]
    made = plan(source(shapes, nodes=recorded(kind), convention="torch"), to="linen", strict=True)
    assert {step.shown_target: step.target.shape for step in made.steps.values()} == expected
    assert {(step.evidence, step.guess, step.exactness) for step in made.steps.values()} == {
        (f"{kind}: recorded in the file", "", "bit")
    }


@pytest.mark.parametrize("kind", [*RECORDED_BUT])
def test_a_recorded_kind_that_needs_more(kind: str) -> None:
    shapes, problem, text = RECORDED_BUT[kind]
    ((found, told_),) = problems(shapes, nodes=recorded(kind))
    assert found == problem
    assert told_.startswith("m")
    assert f"{kind}: recorded in the file" in told_
    assert told_.endswith(text)


def test_every_kind_is_recorded_in_a_test() -> None:
    assert {*RECORDED, *RECORDED_BUT, "embedding_bag", "bilinear"} == {*KINDS}


@pytest.mark.parametrize(
    ("kind", "shapes", "target"),
    [
        ("embedding_bag", {"m.weight": (9, 4)}, ("params/m/embedding", (9, 4))),
        ("bilinear", {"m.weight": (4, 2, 3)}, ("params/m/kernel", (2, 3, 4))),
        ("flatten_linear(channels=3,y=2,x=4)", {"m.weight": (2, 24)}, ("params/m/kernel", (24, 2))),
        ("layer_norm_spatial", {"m.weight": (3, 5)}, ("params/m/scale", (5, 3))),
    ],
)
def test_kinds_for_a_module_of_the_users_own_are_taken_when_said(
    kind: str, shapes: Shapes, target: tuple[str, tuple[int, ...]]
) -> None:
    made = plan(source(shapes, convention="torch"), to="linen", strict=True, kinds=[("m", kind)])
    assert [(step.shown_target, step.target.shape) for step in made.steps.values()] == [target]


def test_recorded_heads() -> None:
    nodes = recorded("attention", attrs={"num_heads": 2})
    assert {target: operation for target, (operation, _) in told(HEADED, nodes=nodes, strict=True).items()} == {
        "params/m/query/kernel": "rows 0:4, as (2, 2, 4), (0, 1, 2) → (2, 0, 1)",
        "params/m/key/kernel": "rows 4:8, as (2, 2, 4), (0, 1, 2) → (2, 0, 1)",
        "params/m/value/kernel": "rows 8:12, as (2, 2, 4), (0, 1, 2) → (2, 0, 1)",
        "params/m/out/kernel": "as (4, 2, 2), (0, 1, 2) → (1, 2, 0)",
    }


@pytest.mark.parametrize("value", [[1, 2], {"a": 1}, "2", None, b"2"])
def test_a_recorded_fact_of_another_type_says_nothing(value: Any) -> None:
    ((kind, text),) = problems(HEADED, nodes=recorded("attention", attrs={"num_heads": value}))
    assert (kind, text.rpartition(": ")[2]) == (
        "ambiguous",
        "nothing tells the size of heads. Say --kind 'm=attention(heads=N)'",
    )


@pytest.mark.parametrize("heads", [3, -2])
def test_recorded_heads_against_the_shapes(heads: int) -> None:
    expected = "m: attention: recorded in the file, but it has in_proj_weight (12, 4), out_proj.weight (4, 4)"
    found = problems(HEADED, nodes=recorded("attention", attrs={"num_heads": heads}))
    assert found == [("contradiction", expected)]


def test_a_rule_against_a_recorded_kind() -> None:
    nodes = [Node("m", "part", module="linear")]
    expected = "m: embedding: --kind m=embedding but linear: recorded in the file"
    assert problems({"m.weight": (4, 2)}, nodes=nodes, kinds=[("m", "embedding")]) == [("contradiction", expected)]


def test_two_rules_that_disagree() -> None:
    found = problems({"m.weight": (4, 2)}, kinds=[("m", "embedding"), ("*", "linear")])
    assert found == [("contradiction", "m: embedding: --kind m=embedding but linear: --kind *=linear")]


def test_a_rule_against_names_and_shapes() -> None:
    expected = "m: conv: --kind m=conv, but it has weight (4, 2)"
    assert problems({"m.weight": (4, 2)}, kinds=[("m", "conv")]) == [("contradiction", expected)]


def test_a_recorded_kind_against_names_and_shapes() -> None:
    expected = "m: embedding: recorded in the file, but it has weight (4, 2), bias (4,)"
    nodes = [Node("m", "part", module="embedding")]
    assert problems({"m.weight": (4, 2), "m.bias": (4,)}, nodes=nodes) == [("contradiction", expected)]


def test_a_kind_that_no_table_has() -> None:
    known = ", ".join(KINDS)
    ((kind, text),) = problems({"m.weight": (4, 2, 3)}, kinds=[("m", "maxout")])
    assert kind == "unsupported"
    assert text == f"m: maxout: --kind m=maxout; there is no rule for it yet (known: {known})"


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (
            "linear:in_in",
            "linear has no form in_in (known: in_out, spectral_norm, spectral_norm_hook, split_out, split_in)",
        ),
        ("embedding:x", "embedding has no form x (known: none)"),
        ("linear(heads=2)", "linear has nothing called heads (known: out, in, out1, out2, in1, in2)"),
        ("flatten_linear(c=1,y=2,x=2)", "flatten_linear has nothing called c (known: out, channels, z, y, x)"),
        (
            "attention(head=2)",
            "attention has nothing called head (known: heads, dim, in, kv_heads, key_in, value_in, out, features)",
        ),
    ],
)
def test_a_form_or_fact_that_no_table_has(kind: str, text: str) -> None:
    found = problems({"m.weight": (4, 2)}, kinds=[("m", kind)])
    assert found == [("unsupported", f"m: {kind.partition('(')[0].partition(':')[0]}: --kind m={kind}; {text}")]


def test_a_rule_makes_a_transposed_convolution() -> None:
    """Spatial axes come first, and every one of them is flipped."""
    assert told({"m.weight": (4, 2, 3)}, kinds=[("m", "conv_transpose")], strict=True) == {
        "params/m/kernel": ("(0, 1, 2) → (2, 0, 1), flip axis 0", "")
    }


def test_a_rule_against_the_template() -> None:
    template = source({"params/m/embedding": (4, 2)})
    expected = (
        "m has weight (4, 2) (linear: --kind m=linear), its place in the template embedding (4, 2): no kind has both"
    )
    found = problems({"m.weight": (4, 2)}, kinds=[("m", "linear")], template=template)
    assert found == [("contradiction", expected)]


def test_a_template_against_the_names() -> None:
    template = source({"params/m/scale": (4,)})
    expected = "m has weight (4, 2), its place in the template scale (4,): no kind has both"
    assert problems({"m.weight": (4, 2)}, template=template) == [("contradiction", expected)]


UNSUPPORTED: dict[str, tuple[Shapes, list[tuple[str, str]]]] = {
    "attention without its last layer": (
        {"a.q_proj_weight": (4, 4), "a.k_proj_weight": (4, 2), "a.v_proj_weight": (4, 2)},
        [
            (
                "unsupported",
                "a has q_proj_weight (4, 4), k_proj_weight (4, 2), v_proj_weight (4, 2): "
                "no kind with a rule has these names and ranks",
            )
        ],
    ),
    "attention of unknown heads": (
        {"a.in_proj_weight": (12, 4), "a.in_proj_bias": (12,), "a.out_proj.weight": (4, 4), "a.out_proj.bias": (4,)},
        [
            (
                "ambiguous",
                "a has in_proj_weight (12, 4), in_proj_bias (12,), out_proj.weight (4, 4), out_proj.bias (4,): "
                "nothing tells the size of heads. Say --kind 'a=attention(heads=N)'",
            )
        ],
    ),
    "spectral norm": (
        {"l.weight_orig": (4, 2), "l.weight_u": (4,), "l.weight_v": (2,), "l.bias": (4,)},
        [
            (
                "lossy",
                "l has weight_orig (4, 2), weight_u (4,), weight_v (2,), bias (4,): its weight stands under a spectral "
                "norm; --fold 'l' divides it by the norm, which changes its bits",
            )
        ],
    ),
    "a pruned layer": (
        {"l.weight_orig": (4, 2), "l.weight_mask": (4, 2)},
        [
            ("unsupported", "l has weight_orig (4, 2): no kind with a rule has these names and ranks"),
            (
                "unsupported",
                "l.weight_mask (4, 2) belongs to a pruned layer: call torch.nn.utils.prune.remove first: "
                "there is no rule for it",
            ),
        ],
    ),
    "another parametrization": (
        {"l.parametrizations.weight.original": (4, 2)},
        [
            (
                "unsupported",
                "l.parametrizations.weight.original (4, 2) belongs to a parametrised layer: "
                "call torch.nn.utils.parametrize.remove_parametrizations first: there is no rule for it",
            )
        ],
    ),
    "a recurrent layer with a projection": (
        {"r.weight_ih_l0": (8, 3), "r.weight_hh_l0": (8, 1), "r.weight_hr_l0": (1, 2)},
        [
            (
                "unsupported",
                "r.l0 has weight_ih (8, 3), weight_hh (8, 1): no kind with a rule has these names and ranks",
            ),
            (
                "unsupported",
                "r.weight_hr_l0 (1, 2) belongs to a recurrent layer with a projection (proj_size), "
                "which Flax does not have: there is no rule for it",
            ),
        ],
    ),
    "six axes": (
        {"m.weight": (2, 2, 2, 2, 2, 2)},
        [("unsupported", "m has weight (2, 2, 2, 2, 2, 2): no kind with a rule has these names and ranks")],
    ),
}


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_layers_of_torch_without_a_rule_are_named(name: str) -> None:
    shapes, expected = UNSUPPORTED[name]
    assert problems(shapes) == expected


def shapes_of(prefix: str, module: torch.nn.Module) -> Shapes:
    return {f"{prefix}.{key}": tuple(value.shape) for key, value in module.state_dict().items()}


def gates(cell: str, names: str, inputs: int, hidden: int, biased: str) -> Shapes:
    """What linen keeps of a cell whose gates are called so."""
    return {
        **{f"{cell}/i{gate}/kernel": (inputs, hidden) for gate in names},
        **{f"{cell}/h{gate}/kernel": (hidden, hidden) for gate in names},
        **{f"{cell}/{gate}/bias": (hidden,) for gate in biased.split()},
    }


ATTENTION = {
    **{f"params/x/{name}/kernel": (4, 2, 2) for name in ("query", "key", "value")},
    **{f"params/x/{name}/bias": (2, 2) for name in ("query", "key", "value")},
    "params/x/out/kernel": (2, 2, 4),
    "params/x/out/bias": (4,),
}
NORMED = {"params/WeightNorm_0/x/kernel/scale": (2,), "params/x/kernel": (3, 2), "params/x/bias": (2,)}
REAL: dict[str, tuple[torch.nn.Module, dict[str, Any], Shapes]] = {
    "attention": (torch.nn.MultiheadAttention(4, 2), {"kinds": [("x", "attention(heads=2)")]}, ATTENTION),
    "attention of other widths": (
        torch.nn.MultiheadAttention(4, 2, kdim=3, vdim=5),
        {"kinds": [("x", "attention(heads=2)")]},
        {**ATTENTION, "params/x/key/kernel": (3, 2, 2), "params/x/value/kernel": (5, 2, 2)},
    ),
    "LSTM": (torch.nn.LSTM(3, 2), {}, gates("params/x/cell", "ifgo", 3, 2, "hi hf hg ho")),
    "LSTM of layers and directions": (
        torch.nn.LSTM(3, 2, num_layers=2, bidirectional=True),
        {},
        {
            path: shape
            for layer, inputs in ((0, 3), (1, 4))
            for way in ("forward", "backward")
            for path, shape in gates(
                f"params/x/layers_{layer}/{way}_rnn/cell", "ifgo", inputs, 2, "hi hf hg ho"
            ).items()
        },
    ),
    "LSTMCell": (torch.nn.LSTMCell(3, 2), {}, gates("params/x", "ifgo", 3, 2, "hi hf hg ho")),
    "GRU": (torch.nn.GRU(3, 2), {}, gates("params/x/cell", "rzn", 3, 2, "ir iz in hn")),
    "GRUCell": (torch.nn.GRUCell(3, 2), {}, gates("params/x", "rzn", 3, 2, "ir iz in hn")),
    "RNN": (
        torch.nn.RNN(3, 2),
        {},
        {"params/x/cell/i/kernel": (3, 2), "params/x/cell/h/kernel": (2, 2), "params/x/cell/i/bias": (2,)},
    ),
    "weight norm": (torch.nn.utils.parametrizations.weight_norm(torch.nn.Linear(3, 2)), {}, NORMED),
    "spectral norm": (
        torch.nn.utils.parametrizations.spectral_norm(torch.nn.Linear(3, 2)),
        {"fold": ["x"]},
        {"params/x/kernel": (3, 2), "params/x/bias": (2,)},
    ),
}


@pytest.mark.parametrize("name", REAL)
def test_real_modules_of_torch(name: str) -> None:
    module, options, expected = REAL[name]
    made = plan(source(shapes_of("x", module), convention="torch"), to="linen", strict=True, **options)
    assert {step.shown_target: step.target.shape for step in made.steps.values()} == expected


def test_weight_norm_by_hooks() -> None:
    shapes = {"x.weight_g": (2, 1), "x.weight_v": (2, 3), "x.bias": (2,)}
    made = plan(source(shapes, convention="torch"), to="linen", strict=True)
    assert {step.shown_target: step.target.shape for step in made.steps.values()} == NORMED


def test_the_two_biases_of_a_cell_are_added() -> None:
    """The sum is the same function, no longer the same bits; GRU's last gate keeps both."""
    shapes = {"r.weight_ih": (6, 3), "r.weight_hh": (6, 2), "r.bias_ih": (6,), "r.bias_hh": (6,)}
    made = plan(source(shapes, convention="torch"), to="linen")
    biases = {step.shown_target: step for step in made.steps.values() if step.shown_target.endswith("bias")}
    assert {target: (step.operation, step.exactness) for target, step in biases.items()} == {
        "params/r/ir/bias": ("each rows 0:2, sum of 2", "function"),
        "params/r/iz/bias": ("each rows 2:4, sum of 2", "function"),
        "params/r/in/bias": ("rows 4:6", "bit"),
        "params/r/hn/bias": ("rows 4:6", "bit"),
    }
    assert [given.path for given in biases["params/r/in/bias"].sources] == ["r.bias_ih"]
    assert [given.path for given in biases["params/r/hn/bias"].sources] == ["r.bias_hh"]
    assert made.report()[-1] == "of 10 steps 8 are exact, 2 are the same function of other tensors; nothing is guessed"


def test_the_bias_that_nnx_has_no_place_for_must_be_zero() -> None:
    shapes = {"r.weight_ih": (6, 3), "r.weight_hh": (6, 2), "r.bias_ih": (6,), "r.bias_hh": (6,)}
    made = plan(source(shapes, convention="torch"), to="nnx")
    assert [(condition.text, condition.made.shape) for condition in made.conditions] == [
        ("bias_hh: bias.hn, for which the target has no place", (2,))
    ]


def linen_shapes(module: nn.Module, *inputs: Any) -> Shapes:
    tree = jax.eval_shape(lambda: module.init(jax.random.key(0), *inputs))
    return {
        "/".join(str(key.key) for key in path): leaf.shape for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }


def test_attention_of_linen() -> None:
    module = nn.MultiHeadDotProductAttention(2, qkv_features=4)
    shapes = linen_shapes(nn.Sequential([module]), jnp.ones((1, 3, 4)))
    made = plan(source(shapes, convention="flax.linen"), to="torch", strict=True)
    assert {step.shown_target: step.target.shape for step in made.steps.values()} == {
        "0.in_proj_weight": (12, 4),
        "0.in_proj_bias": (12,),
        "0.out_proj.weight": (4, 4),
        "0.out_proj.bias": (4,),
    }
    assert {step.exactness for step in made.steps.values()} == {"bit"}


def test_attention_of_linen_where_keys_are_of_another_width() -> None:
    module = nn.MultiHeadDotProductAttention(2, qkv_features=4)
    shapes = linen_shapes(module, jnp.ones((1, 3, 4)), jnp.ones((1, 3, 5)), jnp.ones((1, 3, 5)))
    shapes = {path.replace("params/", "params/a/"): shape for path, shape in shapes.items()}
    made = plan(source(shapes, convention="flax.linen"), to="torch", strict=True)
    assert {step.shown_target: step.target.shape for step in made.steps.values()} == {
        "a.q_proj_weight": (4, 4),
        "a.k_proj_weight": (4, 5),
        "a.v_proj_weight": (4, 5),
        "a.in_proj_bias": (12,),
        "a.out_proj.weight": (4, 4),
        "a.out_proj.bias": (4,),
    }


@pytest.mark.parametrize(
    ("cell", "rows"), [(nn.LSTMCell, 20), (nn.GRUCell, 15), (nn.OptimizedLSTMCell, 20), (nn.SimpleCell, 5)]
)
def test_recurrent_cells_of_linen(cell: Any, rows: int) -> None:
    shapes = linen_shapes(nn.RNN(cell(5)), jnp.ones((1, 3, 4)))
    shapes = {path.replace("params/", "params/r/"): shape for path, shape in shapes.items()}
    made = plan(source(shapes, convention="flax.linen"), to="torch", strict=True)
    assert {step.shown_target: step.target.shape for step in made.steps.values()} == {
        "r.weight_ih_l0": (rows, 4),
        "r.weight_hh_l0": (rows, 5),
        "r.bias_ih_l0": (rows,),
        "r.bias_hh_l0": (rows,),
    }


def test_a_rule_says_that_three_convolutions_are_no_attention() -> None:
    shapes = {f"params/{name}/kernel": (1, 4, 4) for name in ("query", "key", "value")}
    found = told(shapes, "torch", kinds=[("*", "conv")], strict=True)
    assert found == {f"{name}.weight": ("(x, in, out) → (out, in, x)", "") for name in ("query", "key", "value")}


@pytest.mark.parametrize("name", ["linear.Bilinear", "sparse.EmbeddingBag", "x.ConvTranspose2d", "x.PReLU"])
def test_an_exact_class_of_torch_without_a_rule(name: str) -> None:
    path = f"torch.nn.modules.{name}"
    nodes = [Node("m", "part", class_=path)]
    expected = f"m is a {path}, for which there is no rule yet"
    assert problems({"m.weight": (4, 2, 3)}, nodes=nodes) == [("unsupported", expected)]


@pytest.mark.parametrize(
    ("name", "shape", "target", "to"),
    [
        ("conv.ConvTranspose1d", (4, 2, 3), ("params/m/kernel", (3, 4, 2)), "linen"),
        ("instancenorm.InstanceNorm2d", (4,), ("params/m/scale", (4,)), "linen"),
        ("activation.PReLU", (1,), ("params/m/negative_slope", ()), "linen"),
        ("activation.PReLU", (4,), ("m/negative_slope", (4,)), "nnx"),
        ("normalization.LayerNorm", (4,), ("params/m/scale", (4,)), "linen"),
        ("normalization.RMSNorm", (4,), ("params/m/scale", (4,)), "linen"),
    ],
)
def test_an_exact_class_of_torch_is_a_kind(
    name: str, shape: tuple[int, ...], target: tuple[str, tuple[int, ...]], to: str
) -> None:
    nodes = [Node("m", "part", class_=f"torch.nn.modules.{name}")]
    made = plan(source({"m.weight": shape}, nodes=nodes, convention="torch"), to=to, strict=True)
    assert [(step.shown_target, step.target.shape) for step in made.steps.values()] == [target]


@pytest.mark.parametrize(
    ("name", "shape", "text"),
    [
        ("activation.PReLU", (4, 2, 3), "m is a {}, but it has weight (4, 2, 3), for which there is no rule"),
        (
            "linear.Linear",
            (4, 2, 3),
            "m: linear: the class {}, but it has weight (4, 2, 3), for which there is no rule",
        ),
        ("conv.Conv2d", (4,), "m: conv: the class {}, but it has weight (4,), for which there is no rule"),
    ],
)
def test_an_exact_class_against_names_and_shapes(name: str, shape: tuple[int, ...], text: str) -> None:
    path = f"torch.nn.modules.{name}"
    found = problems({"m.weight": shape}, nodes=[Node("m", "part", class_=path)])
    assert found == [("unsupported", text.format(path))]


def test_slopes_of_channels_have_no_place_in_linen() -> None:
    nodes = [Node("m", "part", class_="torch.nn.modules.activation.PReLU")]
    expected = "m has weight (4,): flax.linen has no counterpart of prelu_channels"
    assert problems({"m.weight": (4,)}, nodes=nodes) == [("unsupported", expected)]


def test_a_rule_names_the_kind_of_an_exact_class_without_one() -> None:
    nodes = [Node("m", "part", class_="torch.nn.modules.x.Other")]
    found = told({"m.weight": (4, 2)}, nodes=nodes, kinds=[("m", "linear")], strict=True)
    assert found == {"params/m/kernel": (OUT_IN, "")}


def test_a_class_of_the_users_own_is_inferred_with_doubt_about_its_layout() -> None:
    nodes = [Node("m", "part", class_="my.Conv1D"), Node("n", "part", class_="my.RMSNorm")]
    found = told({"m.weight": (4, 2), "m.bias": (2,), "n.weight": (4,)}, nodes=nodes)
    assert found["params/m/kernel"][1] == "something else in a my.Conv1D"
    assert found["params/n/scale"][1] == ""


def test_parameters_and_buffers_of_the_users_own() -> None:
    shapes = {"cls_token": (1, 1, 4), "m.gamma": (4,), "m.bias": (4,), "scale.bias": (3,)}
    assert told(shapes) == {
        "params/cls_token": ("", ""),
        "params/m/gamma": ("", ""),
        "params/m/bias": ("", ""),
        "params/scale/bias": ("", ""),
    }


@pytest.mark.parametrize(
    ("names", "recorded", "found"),
    [
        (["a.weight", "a.bias"], None, "torch"),
        (["a.kernel", "a.bias"], None, "linen"),
        (["params.a.embedding"], None, "linen"),
        (["a.bias"], None, None),
        (["a.bias"], "torch", "torch"),
        (["a.bias"], "flax.linen", "linen"),
        (["a.weight", "a.kernel"], None, None),
        (["a.weight", "a.kernel"], "torch", "torch"),
        (["a.running_mean"], None, "torch"),
        (["batch_stats.a.mean", "params.a.scale"], None, "linen"),
        (["a.in_proj_weight"], None, "torch"),
        (["a.weight_ih_l0"], None, "torch"),
        (["a.weight_hr_l0"], None, "torch"),
        (["a.kernel"], "flax.nnx", "nnx"),
        (["a.weight"], "someone else's", None),
        (["x", "y"], None, None),
    ],
)
def test_whose_names_they_are(names: list[str], recorded: str | None, found: str | None) -> None:
    held = source(dict.fromkeys(names, (2, 2)))
    assert convention_of(held.entries, CONVENTIONS, recorded) == found


def test_names_that_are_nobodys() -> None:
    with pytest.raises(ConversionError) as caught:
        plan(source({"x": (2,)}), to="linen")
    (problem,) = caught.value.problems
    assert problem.kind == "ambiguous"
    assert problem.text == (
        "tree: neither recorded nor plain from the leaf names whose layout this is. Say --from (torch, linen, nnx)"
    )


def test_the_layout_it_has_already() -> None:
    for to, shapes in (("torch", {"a.weight": (2, 2)}), ("linen", {"a/kernel": (2, 2)})):
        with pytest.raises(ConversionError) as caught:
            plan(source(shapes), to=to)
        (problem,) = caught.value.problems
        expected = f"tree has {to}'s layout already; leave --to out to copy it into another kind of file"
        assert problem.text == expected
