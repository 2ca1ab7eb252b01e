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


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "batch_norm"])
def test_a_recorded_kind_is_no_guess(kind: str) -> None:
    rank = {"linear": 2, "embedding": 2, "conv": 4}.get(kind, 1)
    shapes = {"m.weight": (4, 2, 3, 3)[:rank]}
    nodes = [Node("m", "part", module=kind, class_="torch.nn.modules.X")]
    ((target, (_, guess)),) = told(shapes, nodes=nodes, strict=True).items()
    assert target == f"params/m/{CONVENTIONS['linen'].slots[kind][next(iter(KINDS[kind]))].name}"
    assert guess == ""


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
    ((kind, text),) = problems({"m.weight": (4, 2, 3)}, kinds=[("m", "conv_transpose")])
    assert kind == "unsupported"
    assert text == f"m: conv_transpose: --kind m=conv_transpose; there is no rule for it yet (known: {known})"


def test_a_rule_against_the_template() -> None:
    template = source({"params/m/embedding": (4, 2)})
    ((kind, text), *_) = problems({"m.weight": (4, 2)}, kinds=[("m", "linear")], template=template)
    assert kind in ("missing", "unexpected", "contradiction")
    assert "m.weight" in text


def test_a_template_against_the_names() -> None:
    template = source({"params/m/scale": (4,)})
    expected = "m has weight (4, 2), its place in the template scale (4,): no kind has both"
    assert problems({"m.weight": (4, 2)}, template=template) == [("contradiction", expected)]


UNSUPPORTED: dict[str, tuple[Shapes, str]] = {
    "packed attention": (
        {"a.in_proj_weight": (12, 4), "a.in_proj_bias": (12,), "a.out_proj.weight": (4, 4), "a.out_proj.bias": (4,)},
        "a.in_proj_weight (12, 4) belongs to packed attention: there is no rule for it yet",
    ),
    "attention of other widths": (
        {"a.q_proj_weight": (4, 4), "a.k_proj_weight": (4, 2), "a.v_proj_weight": (4, 2)},
        "a.q_proj_weight (4, 4) belongs to attention with other key and value widths: there is no rule for it yet",
    ),
    "LSTM": (
        {"r.weight_ih_l0": (8, 3), "r.weight_hh_l0": (8, 2), "r.bias_ih_l0": (8,), "r.bias_hh_l0": (8,)},
        "r.weight_ih_l0 (8, 3) belongs to a recurrent layer: there is no rule for it yet",
    ),
    "LSTMCell": (
        {"r.weight_ih": (8, 3), "r.weight_hh": (8, 2), "r.bias_ih": (8,), "r.bias_hh": (8,)},
        "r.weight_ih (8, 3) belongs to a recurrent cell: there is no rule for it yet",
    ),
    "weight norm": (
        {"l.parametrizations.weight.original0": (4, 1), "l.parametrizations.weight.original1": (4, 2), "l.bias": (4,)},
        "l.parametrizations.weight.original0 (4, 1) belongs to a parametrised layer: there is no rule for it yet",
    ),
    "old weight norm": (
        {"l.weight_g": (4, 1), "l.weight_v": (4, 2), "l.bias": (4,)},
        "l.weight_g (4, 1) belongs to a weight-normed layer: there is no rule for it yet",
    ),
    "spectral norm": (
        {"l.weight_orig": (4, 2), "l.weight_u": (4,), "l.weight_v": (2,), "l.bias": (4,)},
        "l.weight_orig (4, 2) belongs to a spectrally normed or pruned layer: there is no rule for it yet",
    ),
    "six axes": (
        {"m.weight": (2, 2, 2, 2, 2, 2)},
        "m has weight (2, 2, 2, 2, 2, 2): no kind with a rule has these names and ranks",
    ),
}


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_layers_of_torch_without_a_rule_are_named(name: str) -> None:
    shapes, text = UNSUPPORTED[name]
    assert ("unsupported", text) in problems(shapes)
    assert {kind for kind, _ in problems(shapes)} == {"unsupported"}


def test_real_modules_of_torch_without_a_rule() -> None:
    modules = {
        "mha": torch.nn.MultiheadAttention(4, 2),
        "lstm": torch.nn.LSTM(3, 2),
        "gru": torch.nn.GRUCell(3, 2),
        "normed": torch.nn.utils.parametrizations.weight_norm(torch.nn.Linear(3, 2)),
        "spectral": torch.nn.utils.parametrizations.spectral_norm(torch.nn.Linear(3, 2)),
    }
    for name, module in modules.items():
        shapes = {f"{name}.{key}": tuple(value.shape) for key, value in module.state_dict().items()}
        assert {kind for kind, _ in problems(shapes)} == {"unsupported"}, name


def linen_shapes(module: nn.Module, *inputs: Any) -> Shapes:
    tree = jax.eval_shape(lambda: module.init(jax.random.key(0), *inputs))
    return {
        "/".join(str(key.key) for key in path): leaf.shape for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }


def test_attention_of_linen() -> None:
    module = nn.MultiHeadDotProductAttention(2, qkv_features=4)
    found = problems(linen_shapes(nn.Sequential([module]), jnp.ones((1, 3, 4))), "torch")
    assert {kind for kind, _ in found} == {"unsupported"}
    assert ("unsupported", "layers_0/query belongs to attention: there is no rule for it yet") in found


@pytest.mark.parametrize("cell", [nn.LSTMCell, nn.GRUCell, nn.OptimizedLSTMCell])
def test_recurrent_cells_of_linen(cell: Any) -> None:
    found = problems(linen_shapes(nn.RNN(cell(5)), jnp.ones((1, 3, 4))), "torch")
    assert {kind for kind, _ in found} == {"unsupported"}
    assert all("belongs to a recurrent cell: there is no rule for it yet" in text for _, text in found)


def test_a_rule_says_that_three_convolutions_are_no_attention() -> None:
    shapes = {f"params/{name}/kernel": (1, 4, 4) for name in ("query", "key", "value")}
    found = told(shapes, "torch", kinds=[("*", "conv")], strict=True)
    assert found == {f"{name}.weight": ("(x, in, out) → (out, in, x)", "") for name in ("query", "key", "value")}


@pytest.mark.parametrize("name", ["ConvTranspose2d", "Bilinear", "PReLU", "EmbeddingBag", "InstanceNorm2d"])
def test_an_exact_class_of_torch_without_a_rule(name: str) -> None:
    path = f"torch.nn.modules.x.{name}"
    nodes = [Node("m", "part", class_=path)]
    expected = f"m is a {path}, for which there is no rule yet"
    assert problems({"m.weight": (4, 2, 3)}, nodes=nodes) == [("unsupported", expected)]


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
    assert problem.text == "tree: neither recorded nor plain from the leaf names whose layout this is (torch, linen)"


def test_the_layout_it_has_already() -> None:
    for to, shapes in (("torch", {"a.weight": (2, 2)}), ("linen", {"a/kernel": (2, 2)})):
        with pytest.raises(ConversionError) as caught:
            plan(source(shapes), to=to)
        (problem,) = caught.value.problems
        expected = f"tree has {to}'s layout already; leave --to out to copy it into another kind of file"
        assert problem.text == expected
