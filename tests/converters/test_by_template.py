"""Plans by template: exactly its structure, its order and its root; nothing missing, nothing left over."""

from pathlib import Path
from typing import Any

import flax.serialization
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
import torch
from nets import bert_linen, bert_torch, cnn, deck, minilm
from sources import bits, read, same, source

import ptformat
import ptformat.torch
from ptformat.converters import ConversionError, convert, plan
from ptformat.converters.content import MemorySource
from ptformat.converters.files import open_source
from ptformat.tree import Alias, Node, TensorInfo

Shapes = dict[str, tuple[int, ...]]


def problems(shapes: Shapes, template: Shapes, **options: Any) -> list[str]:
    dtypes = options.pop("dtypes", None)
    with pytest.raises(ConversionError) as caught:
        plan(
            source(shapes, convention="torch"),
            to="linen",
            template=source(template, dtypes=dtypes, convention="flax.linen"),
            **options,
        )
    return [f"{problem.kind}: {problem.text}" for problem in caught.value.problems]


def variables(pair: cnn.Pair) -> Any:
    """The zeros of a linen net's variables."""
    module, example = pair.make_linen(), jnp.asarray(pair.to_linen(pair.example))
    shapes = jax.eval_shape(lambda: module.init(jax.random.key(0), example))
    return jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes)


def structure(path: Path) -> list[tuple[str, str, tuple[int, ...]]]:
    """Every tensor in order."""
    entries = open_source(path).entries
    return [(entry.path, entry.dtype, entry.shape) for entry in entries if isinstance(entry, TensorInfo)]


@pytest.mark.parametrize("kind", ["msgpack", "safetensors", "ptf"])
@pytest.mark.parametrize("name", cnn.PAIRS)
def test_exactly_the_templates_structure(name: str, kind: str, tmp_path: Path) -> None:
    pair = cnn.PAIRS[name]
    template, origin = tmp_path / f"template.{kind}", tmp_path / "origin.safetensors"
    tree = variables(pair)
    if kind == "msgpack":
        template.write_bytes(flax.serialization.msgpack_serialize(tree))
    elif kind == "ptf":
        ptformat.save_file(tree, template, convention="flax.linen")
    else:
        flat = {".".join(key.key for key in path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}
        safetensors.numpy.save_file(flat, template)
    ptformat.torch.save_file(pair.make_torch().state_dict(), tmp_path / "origin.ptf")
    convert(tmp_path / "origin.ptf", origin, to="linen", durable=False, kinds=())
    for suffix in (".msgpack", ".ptf", ".safetensors"):
        target = tmp_path / f"target{suffix}"
        convert(tmp_path / "origin.ptf", target, to="linen", template=template, durable=False)
        if suffix == f".{kind}":
            assert structure(target) == structure(template)
        assert {*structure(target)} == {*structure(template)}
        assert {path: same(array, read(origin)[path]) for path, array in read(target).items()} == dict.fromkeys(
            read(template), True
        )
    if kind == "msgpack":
        found = flax.serialization.msgpack_restore((tmp_path / "target.msgpack").read_bytes())
        assert jax.tree.structure(found) == jax.tree.structure(tree)


@pytest.mark.parametrize("name", cnn.PAIRS)
def test_back_into_the_state_dict(name: str, tmp_path: Path) -> None:
    pair = cnn.PAIRS[name]
    state = pair.make_torch().state_dict()
    ptformat.torch.save_file(state, tmp_path / "origin.ptf")
    convert(tmp_path / "origin.ptf", tmp_path / "linen.msgpack", to="linen", durable=False)
    convert(
        tmp_path / "linen.msgpack", tmp_path / "back.ptf", to="torch", template=tmp_path / "origin.ptf", durable=False
    )
    found = ptformat.torch.load_file(tmp_path / "back.ptf")
    assert [*found] == [*state]
    for key, tensor in state.items():
        assert torch.equal(found[key], torch.zeros_like(tensor) if key.endswith("tracked") else tensor)


def test_the_root_params_as_the_template_has_it() -> None:
    held = source({"a.weight": (3, 2), "a.bias": (3,)}, convention="torch")
    for root in ("params/", ""):
        template = source({f"{root}a/bias": (3,), f"{root}a/kernel": (2, 3)})
        made = plan(held, to="linen", template=template)
        assert [*made.steps] == [f"{root}a/bias".replace("/", "."), f"{root}a/kernel".replace("/", ".")]


def test_the_root_of_the_source_does_not_matter() -> None:
    template = source({"a.weight": (3, 2), "a.bias": (3,)}, convention="torch")
    for root in ("params/", ""):
        held = source({f"{root}a/bias": (3,), f"{root}a/kernel": (2, 3)})
        assert [*plan(held, to="torch", template=template).steps] == ["a.weight", "a.bias"]


def test_nodes_and_facts_of_the_template_are_kept() -> None:
    template = MemorySource(
        [
            (Node("params", "map", class_="my.Net", attrs={"x": 1}), None),
            (Node("params.a", "map", module="linear"), None),
            (TensorInfo("params.a.kernel", "float32", (2, 3), ("rows", "columns"), "parameter", False), None),
        ]
    )
    held = source({"a.weight": (3, 2)}, convention="torch")
    made = plan(held, to="linen", template=template)
    assert made.entries == template.entries


def test_names_of_lists() -> None:
    held = source({f"h.{number}.fc.weight": (2, 2) for number in range(12)}, convention="torch")
    template = source({f"params/h_{number}/fc/kernel": (2, 2) for number in sorted(range(12), key=str)})
    made = plan(held, to="linen", template=template, strict=True)
    assert {step.source: path for path, step in made.steps.items()} == {
        f"h.{number}.fc.weight": f"params.h_{number}.fc.kernel" for number in range(12)
    }
    assert [*made.steps] == [f"params.h_{number}.fc.kernel" for number in sorted(range(12), key=str)]


def test_a_bert_with_lists_from_shapes_alone() -> None:
    module = bert_torch.bert(minilm.TINY)
    held = source(
        {key: tuple(value.shape) for key, value in module.state_dict().items()},
        dtypes={"embeddings.position_ids": "int64"},
        convention="torch",
    )
    ids = jnp.zeros((1, 4), jnp.int32)
    for listed in (False, True):
        net = bert_linen.bert(minilm.TINY, listed=listed)
        tree = jax.eval_shape(lambda net=net: net.init(jax.random.key(0), ids, ids))
        shapes = {
            "/".join(key.key for key in path): leaf.shape for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
        }
        made = plan(held, to="linen", template=source(shapes), strict=True, drop=["embeddings.position_ids"])
        assert {path.replace(".", "/"): step.target.shape for path, step in made.steps.items()} == shapes
        back = plan(source(shapes), to="torch", template=held_without_ids(held), strict=True)
        assert {*back.steps} == {entry.path for entry in held.entries} - {"embeddings.position_ids"}


def held_without_ids(held: MemorySource) -> MemorySource:
    return MemorySource(
        [(entry, None) for entry in held.entries if not entry.path.endswith("position_ids")], held.header
    )


def test_a_buffer_without_a_place_is_a_problem_that_says_drop() -> None:
    held = source({"a.weight": (3, 2), "ids": (4,)}, dtypes={"ids": "int64"}, convention="torch")
    template = source({"params/a/kernel": (2, 3)})
    with pytest.raises(ConversionError) as caught:
        plan(held, to="linen", template=template)
    assert [problem.text for problem in caught.value.problems] == ["ids (4,) has no target. Try --drop 'ids'"]
    assert [*plan(held, to="linen", template=template, drop=["ids"]).steps] == ["params.a.kernel"]


def test_a_buffer_with_a_place_goes_there() -> None:
    held = source({"a.weight": (3, 2), "m.ids": (4,)}, dtypes={"m.ids": "int64"}, convention="torch")
    template = source({"params/a/kernel": (2, 3), "buffers/m/ids": (4,)}, dtypes={"buffers/m/ids": "int64"})
    assert [*plan(held, to="linen", template=template).steps] == ["params.a.kernel", "buffers.m.ids"]


def test_shape() -> None:
    found = problems({"fc.weight": (2, 16), "fc.bias": (2,)}, {"params/fc/kernel": (16, 3), "params/fc/bias": (3,)})
    assert found == [
        "shape: fc.weight (2, 16), as (16, 2), → params/fc/kernel is (16, 3) in the template",
        "shape: fc.bias (2,) → params/fc/bias is (3,) in the template",
    ]


def test_a_square_kernel_is_still_transposed() -> None:
    held = source({"fc.weight": (4, 4)}, convention="torch")
    (step,) = plan(held, to="linen", template=source({"params/fc/kernel": (4, 4)}), strict=True).steps.values()
    assert step.perm == (1, 0)
    (step,) = plan(held, to="linen", template=source({"params/fc/embedding": (4, 4)}), strict=True).steps.values()
    assert step.perm == (0, 1)


def steps(shapes: dict[str, tuple[int, ...]], template: dict[str, tuple[int, ...]], **options: Any) -> dict[str, Any]:
    """Target -> (operation, guess), to linen, or to torch where the template has its names."""
    to = "torch" if any(path.endswith("weight") for path in template) else "linen"
    origin = {"torch": "flax.linen", "linen": "torch"}[to]
    made = plan(source(shapes, convention=origin), to=to, template=source(template), **options)
    return {step.shown_target: (step.operation, step.guess) for step in made.steps.values()}


def test_the_templates_shape_shows_a_kernel_that_is_not_transposed() -> None:
    assert steps({"a.weight": (3, 2)}, {"params/a/kernel": (3, 2)}, strict=True) == {"params/a/kernel": ("", "")}
    assert steps({"params/a/kernel": (3, 2)}, {"a.weight": (3, 2)}, strict=True) == {"a.weight": ("", "")}


@pytest.mark.parametrize("to", ["linen", "torch"])
def test_where_one_kernel_is_not_transposed_a_square_one_is_a_guess(to: str) -> None:
    """Every shape would fit either way."""
    shapes, template = {"a.weight": (3, 2), "b.weight": (4, 4)}, {"params/a/kernel": (3, 2), "params/b/kernel": (4, 4)}
    if to == "torch":
        shapes, template = template, shapes
    turned = "(out, in) → (in, out)" if to == "linen" else "(in, out) → (out, in)"
    name = "params/b/kernel" if to == "linen" else "b.weight"
    assert steps(shapes, template)[name] == (turned, "linear:in_out")
    with pytest.raises(ConversionError, match=r"guess .* it may be linear:in_out\. Say --kind 'b=KIND'"):
        steps(shapes, template, strict=True)
    said = steps(shapes, template, strict=True, kinds=[("b", "linear:in_out")])
    assert said[name] == ("", "")
    plain = {path: shape[::-1] for path, shape in template.items()}
    assert steps(shapes, plain, strict=True)[name] == (turned, "")


def test_axes_that_the_template_splits() -> None:
    """Of which none is ambiguous: the sizes of the source and of the template tell."""
    shape = {"fc.weight": (6, 12)}
    assert steps(shape, {"params/fc/kernel": (12, 2, 3)}, strict=True) == {
        "params/fc/kernel": ("as (2, 3, 12), (0, 1, 2) → (2, 0, 1)", "")
    }
    assert steps(shape, {"params/fc/kernel": (3, 4, 6)}, strict=True) == {
        "params/fc/kernel": ("as (6, 3, 4), (0, 1, 2) → (1, 2, 0)", "")
    }


def test_dtype() -> None:
    found = problems({"fc.weight": (2, 16)}, {"params/fc/kernel": (16, 2)}, dtypes={"params/fc/kernel": "bfloat16"})
    expected = "fc.weight (2, 16) is float32 → params/fc/kernel is bfloat16 in the template; nothing is cast"
    assert found == [f"dtype: {expected} without --cast 'params/fc/kernel=bfloat16'"]
    held = source({"fc.weight": (2, 16)}, convention="torch")
    template = source({"params/fc/kernel": (16, 2)}, dtypes={"params/fc/kernel": "bfloat16"})
    made = plan(held, to="linen", template=template, cast=[("params/fc/kernel", "bfloat16")])
    (step,) = made.steps.values()
    assert (step.target.dtype, step.operation, step.exactness) == (
        "bfloat16",
        "(out, in) → (in, out), cast to bfloat16",
        "rounded",
    )


def test_missing_and_unexpected_with_the_nearest_and_a_rename() -> None:
    found = problems(
        {"encoder.fc1.weight": (16, 8), "encoder.fc1.bias": (16,)},
        {"params/encoder/dense1/kernel": (8, 16), "params/encoder/dense1/bias": (16,)},
    )
    assert [text for text in found if text.startswith("unexpected")] == [
        "unexpected: encoder.fc1.weight (16, 8) has no target; nearest: params/encoder/dense1/bias (16,)."
        " Try --rename 'fc1=dense1'",
        "unexpected: encoder.fc1.bias (16,) has no target; nearest: params/encoder/dense1/bias (16,)."
        " Try --rename 'fc1=dense1'",
    ]
    assert [text.partition(" in the template")[0] for text in found if text.startswith("missing")] == [
        "missing: params/encoder/dense1/kernel (8, 16)",
        "missing: params/encoder/dense1/bias (16,)",
    ]
    held = source({"encoder.fc1.weight": (16, 8)}, convention="torch")
    template = source({"params/encoder/dense1/kernel": (8, 16)})
    assert len(plan(held, to="linen", template=template, renames=[("fc1", "dense1")]).steps) == 1


def test_the_only_two_modules_left_over_are_named_to_each_other() -> None:
    found = problems(
        {"zz.weight": (3, 2), "a.weight": (2, 2)}, {"params/Dense_0/kernel": (2, 3), "params/a/kernel": (2, 2)}
    )
    assert found == [
        "unexpected: zz.weight (3, 2) has no target. Try --rename 'zz=Dense_0'",
        "missing: params/Dense_0/kernel (2, 3) in the template has no source",
    ]


def test_never_by_shape_alone() -> None:
    shapes = {"one.weight": (3, 2), "two.weight": (5, 4)}
    template = {"params/eins/kernel": (2, 3), "params/zwei/kernel": (4, 5)}
    assert {text.partition(":")[0] for text in problems(shapes, template)} == {"unexpected", "missing"}
    assert len(problems(shapes, template)) == 4


def test_all_problems_at_once() -> None:
    found = problems(
        {"a.weight": (3, 2), "b.weight": (3, 2), "c.weight": (3, 2), "d.weight": (4, 4)},
        {"params/a/kernel": (3, 5), "params/b/kernel": (2, 3), "params/c/scale": (3,), "params/e/kernel": (4, 4)},
        dtypes={"params/b/kernel": "float16"},
    )
    assert [text.partition(":")[0] for text in found] == ["shape", "dtype", "contradiction", "unexpected", "missing"]


def test_values_on_either_side() -> None:
    weight = TensorInfo("a.weight", "float32", (3, 2)), None
    kernel = TensorInfo("params.a.kernel", "float32", (2, 3)), None
    with pytest.raises(ConversionError) as caught:
        plan(
            MemorySource([weight, (ptformat.Value("step", 3), None)]),
            to="linen",
            template=MemorySource([kernel, (ptformat.Value("params.rate", 0.5), None)]),
        )
    assert [problem.text for problem in caught.value.problems] == [
        "params/rate is a value in the template, for which the source has none",
        "step is a value, no tensor. Try --drop 'step'",
    ]


def test_ambiguous_names() -> None:
    held = source({"a_0_1.weight": (2, 2), "a_0.1.weight": (2, 2)}, convention="torch")
    with pytest.raises(ConversionError) as caught:
        plan(held, to="linen", template=source({"params/a/0/1/kernel": (2, 2)}))
    first = caught.value.problems[0]
    assert first.kind == "ambiguous"
    expected = "a_0_1, a_0.1 may be any of a/0/1 in the template. Say --rename 'REGEX=NEW'"
    assert first.text == expected


def test_a_template_with_a_shared_module(tmp_path: Path) -> None:
    """linen holds the shared layer once; the torch template says that position 4 is position 2 again."""
    ptformat.torch.save_model(deck.shared_net(), tmp_path / "origin.ptf")
    convert(tmp_path / "origin.ptf", tmp_path / "linen.msgpack", to="linen", durable=False)
    made = convert(
        tmp_path / "linen.msgpack", tmp_path / "back.ptf", to="torch", template=tmp_path / "origin.ptf", durable=False
    )
    assert {entry.path for entry in made.entries if isinstance(entry, Alias)} == {"4.weight", "4.bias"}
    assert made.tied == [
        "4.weight is 2.weight again, as in the template",
        "4.bias is 2.bias again, as in the template",
    ]
    with ptformat.open(tmp_path / "origin.ptf") as old, ptformat.open(tmp_path / "back.ptf") as new:
        assert new.entries == old.entries
        assert all(same(new[path], old[path]) for path in old)


def test_a_tie_whose_target_comes_later_in_the_template() -> None:
    held = source({"emb.weight": (9, 4)}, ties={"head.weight": "emb.weight"}, convention="torch")
    template = source({"params/head/kernel": (4, 9), "params/emb/embedding": (9, 4)})
    made = plan(held, to="linen", template=template)
    assert made.entries == [
        TensorInfo("params.emb.embedding", "float32", (9, 4), ("num", "features"), "parameter"),
        Alias("params.head.kernel", "params.emb.embedding", (1, 0)),
    ]


def test_a_tie_of_the_template_without_a_source() -> None:
    template = source({"params/a/kernel": (2, 3)}, ties={"params/b/kernel": "params/a/kernel"})
    held = source({"c.weight": (3, 2)}, convention="torch")
    with pytest.raises(ConversionError) as caught:
        plan(held, to="linen", template=template)
    assert {problem.kind for problem in caught.value.problems} == {"unexpected", "missing"}


def test_untied_in_the_source_and_tied_in_the_template(tmp_path: Path) -> None:
    """Two tensors for one place, and their values may differ."""
    ptformat.save_file(
        {"a.weight": bits("int32", (3, 2)), "b.weight": bits("int32", (3, 2), 1)},
        tmp_path / "origin.ptf",
        convention="torch",
    )
    kernel = np.zeros((2, 3), np.int32)
    ptformat.save_file({"params": {"a": {"kernel": kernel}, "b": {"kernel": kernel}}}, tmp_path / "template.ptf")
    with pytest.raises(ConversionError) as caught:
        convert(
            tmp_path / "origin.ptf", tmp_path / "x.ptf", to="linen", template=tmp_path / "template.ptf", durable=False
        )
    text = "params/b/kernel is params/a/kernel again in the template, but not in the source"
    assert [problem.text for problem in caught.value.problems] == [f"b.weight → {text}. Try --drop 'b.weight'"]
    assert not (tmp_path / "x.ptf").exists()
    options = {"template": tmp_path / "template.ptf", "drop": ["b.*"]}
    made = convert(tmp_path / "origin.ptf", tmp_path / "x.ptf", to="linen", durable=False, **options)
    assert [*made.steps] == ["params.a.kernel"]
    with ptformat.open(tmp_path / "x.ptf") as file:
        assert same(file["params.b.kernel"], bits("int32", (3, 2)).T)


def test_tied_to_another_tensor_than_in_the_template() -> None:
    held = source({"a.weight": (2, 2), "b.weight": (2, 2)}, ties={"c.weight": "a.weight"}, convention="torch")
    kernels = {"params/a/kernel": (2, 2), "params/b/kernel": (2, 2)}
    for target, fits in (("a", True), ("b", False)):
        template = source(kernels, ties={"params/c/kernel": f"params/{target}/kernel"})
        if fits:
            made = plan(held, to="linen", template=template)
            assert Alias("params.c.kernel", "params.a.kernel") in made.entries
            continue
        with pytest.raises(ConversionError) as caught:
            plan(held, to="linen", template=template)
        assert [problem.kind for problem in caught.value.problems] == ["unexpected"]


def test_no_file_is_written_when_the_template_does_not_fit(tmp_path: Path) -> None:
    ptformat.save_file({"a.weight": np.zeros((3, 2))}, tmp_path / "a.ptf", convention="torch")
    ptformat.save_file({"params": {"a": {"kernel": np.zeros((3, 3))}}}, tmp_path / "t.ptf")
    with pytest.raises(ConversionError):
        convert(tmp_path / "a.ptf", tmp_path / "x.msgpack", to="linen", template=tmp_path / "t.ptf")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.ptf", "t.ptf"]


RECURRENT: dict[str, dict[str, tuple[int, ...]]] = {
    "linen": {
        **{f"params/rnn/cell/i{gate}/kernel": (3, 2) for gate in "ifgo"},
        **{f"params/rnn/cell/h{gate}/kernel": (2, 2) for gate in "ifgo"},
        **{f"params/rnn/cell/h{gate}/bias": (2,) for gate in "ifgo"},
    },
    "nnx": {"rnn/cell/dense_i/kernel": (3, 8), "rnn/cell/dense_h/kernel": (2, 8), "rnn/cell/dense_h/bias": (8,)},
}


@pytest.mark.parametrize("to", RECURRENT)
def test_a_recurrent_layer_called_rnn(to: str) -> None:
    """In Flax it is also what its class calls what it holds, such as `forward_rnn`."""
    shapes = {"rnn.weight_ih_l0": (8, 3), "rnn.weight_hh_l0": (8, 2), "rnn.bias_ih_l0": (8,), "rnn.bias_hh_l0": (8,)}
    template = source(RECURRENT[to], convention=f"flax.{to}")
    made = plan(source(shapes, convention="torch"), to=to, template=template, strict=True)
    assert {step.shown_target: step.target.shape for step in made.steps.values()} == RECURRENT[to]
    back = plan(template, to="torch", template=source(shapes, convention="torch"), strict=True)
    assert {step.shown_target: step.target.shape for step in back.steps.values()} == shapes
