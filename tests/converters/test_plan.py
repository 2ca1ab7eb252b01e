"""Plans by style: the deck's nets in full, ties, what stands aside, and all problems at once."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
from nets import deck
from sources import source

import ptformat.torch
from ptformat import FormatError
from ptformat.columns import Header
from ptformat.converters import ConversionError, Plan, convert, plan
from ptformat.converters.content import MemorySource
from ptformat.converters.operations import Fill
from ptformat.converters.plan import compose, identity, inverse
from ptformat.tree import Alias, Entry, Node, TensorInfo

SEQUENTIAL = "torch.nn.modules.container.Sequential"
SHARED = """\
target                  shape   source    shape   operation              because
params/layers_0/kernel  (4, 8)  0.weight  (8, 4)  (out, in) → (in, out)  linear: recorded in the file
params/layers_0/bias    (8,)    0.bias    (8,)
params/layers_2/kernel  (8, 8)  2.weight  (8, 8)  (out, in) → (in, out)
params/layers_2/bias    (8,)    2.bias    (8,)
params/layers_6/kernel  (8, 1)  6.weight  (1, 8)  (out, in) → (in, out)
params/layers_6/bias    (1,)    6.bias    (1,)
tied      4.weight, 4.bias are layer 2 again: one entry in linen
all 6 steps are exact; nothing is guessed"""
NET = """\
target                  shape   source    shape   operation              because
params/layers_0/bias    (8,)    0.bias    (8,)                           linear: bias (8,), weight (8, 4)
params/layers_0/kernel  (4, 8)  0.weight  (8, 4)  (out, in) → (in, out)
params/layers_2/bias    (1,)    2.bias    (1,)                           linear: bias (1,), weight (1, 8)
params/layers_2/kernel  (8, 1)  2.weight  (1, 8)  (out, in) → (in, out)
all 4 steps are exact; nothing is guessed"""


def torch_tree(shapes: dict[str, tuple[int, ...]], **options: Any) -> MemorySource:
    return source(shapes, convention="torch", **options)


def entries(*held: Entry, convention: str = "flax.linen") -> MemorySource:
    return MemorySource([(entry, None) for entry in held], Header(convention=convention))


def problems(held: MemorySource, **options: Any) -> list[str]:
    with pytest.raises(ConversionError) as caught:
        plan(held, **options)
    return [f"{problem.kind}: {problem.text}" for problem in caught.value.problems]


def aliases(made: Plan) -> list[Alias]:
    return [entry for entry in made.entries if isinstance(entry, Alias)]


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    ptformat.torch.save_model(deck.shared_net(), tmp_path / "shared.ptf")
    return tmp_path / "shared.ptf"


def test_the_shared_net(shared: Path) -> None:
    made = plan(shared, to="linen")
    assert made.text() == SHARED
    assert [entry.path for entry in made.entries if isinstance(entry, TensorInfo)] == [
        f"params.layers_{number}.{name}" for number in (0, 2, 6) for name in ("kernel", "bias")
    ]
    assert aliases(made) == []
    assert [alias.path for alias in made.collapsed] == ["4.weight", "4.bias"]
    assert made.nbytes == 4 * (32 + 8 + 64 + 8 + 8 + 1)


def test_the_shared_net_with_its_modules_and_roles(shared: Path) -> None:
    made = plan(shared, to="linen")
    assert made.entries[0] == Node("params.layers_0", module="linear")
    assert made.entries[1] == TensorInfo("params.layers_0.kernel", "float32", (4, 8), ("in", "out"), "parameter", True)
    with ptformat.open(shared) as file:  # the versions of the state dict come along, for the way back
        assert made.header == Header(convention="flax.linen", metadata=file.metadata)
        assert list(file.metadata) == ["torch._metadata"]


def test_what_a_bare_file_loses_is_told(shared: Path) -> None:
    note = "note      the tie is not in a flax msgpack file: a .ptf records it; else give a template on the way back"
    assert note in plan(shared, to="linen", target="x.msgpack").text().splitlines()
    assert plan(shared, to="linen", target="x.ptf").notes == []


def test_the_plain_net_from_its_state_dict(tmp_path: Path) -> None:
    safetensors.torch.save_file(deck.net().state_dict(), tmp_path / "net.safetensors", metadata={"format": "pt"})
    assert plan(tmp_path / "net.safetensors", to="linen").text() == NET


def test_the_deck_from_linen() -> None:
    shapes = {"params/layers_0/kernel": (4, 8), "params/layers_0/bias": (8,), "params/layers_2/kernel": (8, 1)}
    made = plan(source(shapes), to="torch")
    assert {path: step.target.shape for path, step in made.steps.items()} == {
        "0.weight": (8, 4),
        "0.bias": (8,),
        "2.weight": (1, 8),
    }
    assert made.entries[0] == Node("", "flat")
    assert made.header.convention == "torch"


def test_a_guess_is_told_in_the_table_and_counted() -> None:
    made = plan(torch_tree({"x.weight": (4, 2), "norm.weight": (4,)}), to="linen")
    assert made.text().splitlines()[1].endswith("guess: linear: weight (4, 2); it may be embedding")
    assert made.report() == [
        "set       eps of norms is not in the file: torch's default is 1e-05, Flax's 1e-06",
        "all 2 steps are exact; 1 of them rests on a guess",
    ]
    assert plan(torch_tree({"x.weight": (4, 2)}), to="linen").report() == ["the step is exact; it rests on a guess"]
    assert [step.shown_source for step in made.guesses] == ["x.weight"]


def test_a_guess_is_not_repeated_over_a_certain_step() -> None:
    made = plan(torch_tree({"x.weight": (4,), "norm.weight": (4,)}), to="linen")
    because = [row[-1] for row in made.table()[1:]]
    assert because[0].startswith("guess: norm ")
    assert because[1].startswith("norm ")


# Ties


def test_a_tie_stays_tied_in_torch() -> None:
    held = entries(TensorInfo("params.a.kernel", "float32", (3, 2)), Alias("params.b.kernel", "params.a.kernel"))
    made = plan(held, to="torch", kinds=[("*", "linear")])
    assert aliases(made) == [Alias("b.weight", "a.weight")]
    assert made.tied == ["b.weight is a.weight again"]


def test_embedding_and_head_from_torch() -> None:
    held = torch_tree({"emb.weight": (9, 4), "head.bias": (9,)}, ties={"head.weight": "emb.weight"})
    made = plan(held, to="linen", strict=True)
    assert {path: step.target.shape for path, step in made.steps.items()} == {
        "params.emb.embedding": (9, 4),
        "params.head.bias": (9,),
    }
    assert made.tied == ["head.weight is emb.weight again: one entry in linen"]


def test_embedding_and_head_into_a_template_with_a_place_for_it() -> None:
    held = torch_tree({"emb.weight": (9, 4)}, ties={"head.weight": "emb.weight"})
    template = source({"params/emb/embedding": (9, 4), "params/head/kernel": (4, 9)})
    made = plan(held, to="linen", template=template)
    assert aliases(made) == [Alias("params.head.kernel", "params.emb.embedding", (1, 0))]
    assert made.tied == ["params/head/kernel is params/emb/embedding again"]


def test_embedding_and_head_into_a_template_without() -> None:
    held = torch_tree({"emb.weight": (9, 4), "head.bias": (9,)}, ties={"head.weight": "emb.weight"})
    template = source({"params/emb/embedding": (9, 4), "params/head/bias": (9,)})
    made = plan(held, to="linen", template=template, strict=True)
    assert [*made.steps] == ["params.emb.embedding", "params.head.bias"]
    assert aliases(made) == []
    back = torch_tree({"emb.weight": (9, 4), "head.bias": (9,)}, ties={"head.weight": "emb.weight"})
    undone = plan(source({"params/emb/embedding": (9, 4), "params/head/bias": (9,)}), to="torch", template=back)
    assert [*undone.steps] == ["emb.weight", "head.bias"]
    assert aliases(undone) == [Alias("head.weight", "emb.weight")]


def test_embedding_and_head_from_linen() -> None:
    """linen's kernel is the embedding transposed; torch's weight is the embedding again."""
    held = entries(
        TensorInfo("params.emb.embedding", "float32", (9, 4)),
        Alias("params.head.kernel", "params.emb.embedding", (1, 0)),
    )
    made = plan(held, to="torch")
    assert aliases(made) == [Alias("head.weight", "emb.weight")]


def test_a_tie_of_one_layout_in_linen_is_permuted_in_torch() -> None:
    held = entries(
        TensorInfo("params.emb.embedding", "float32", (4, 9)),
        Alias("params.head.kernel", "params.emb.embedding"),
    )
    made = plan(held, to="torch")
    assert aliases(made) == [Alias("head.weight", "emb.weight", (1, 0))]


@pytest.mark.parametrize(("own", "expected"), [((1, 2, 0), (2, 1, 0)), ((2, 0, 1), (0, 2, 1)), (None, None)])
def test_a_permuted_tie_of_two_convolutions(own: tuple[int, ...] | None, expected: tuple[int, ...] | None) -> None:
    held = entries(
        TensorInfo("params.a.kernel", "float32", (3, 3, 3)), Alias("params.b.kernel", "params.a.kernel", own)
    )
    made = plan(held, to="torch", kinds=[("*", "conv")])
    # torch's (out, in, x) is linen's (x, in, out) backwards, on both sides of the tie.
    back = (2, 1, 0)
    worked = None if own is None else compose(compose(inverse(back), own), back)
    assert aliases(made) == [Alias("b.weight", "a.weight", worked)]
    assert worked == expected or own is not None


def test_ties_are_spelled_out_where_the_file_holds_none(tmp_path: Path) -> None:
    held = entries(TensorInfo("params.a.kernel", "float32", (3, 2)), Alias("params.b.kernel", "params.a.kernel"))
    for target, notes in (
        ("x.msgpack", ["a flax msgpack file holds no ties: a tied tensor is written again"]),
        ("x.safetensors", []),
        ("x.ptf", []),
        (None, []),
    ):
        assert plan(held, to="torch", kinds=[("*", "linear")], target=target).notes == notes


def test_a_tie_of_permuted_axes_is_spelled_out_where_the_file_holds_none(tmp_path: Path) -> None:
    held = entries(
        TensorInfo("params.a.kernel", "float32", (3, 2)), Alias("params.b.kernel", "params.a.kernel", (1, 0))
    )
    for target, notes in (
        ("x.safetensors", ["a safetensors file holds no ties of permuted axes: a tied tensor is written again"]),
        ("x.ptf", []),
    ):
        assert plan(held, to="torch", kinds=[("*", "linear")], target=target).notes == notes


def test_what_is_tied_to_something_dropped_goes_with_it() -> None:
    held = torch_tree({"a.weight": (3, 2), "a.bias": (3,)}, ties={"b.weight": "a.weight", "b.bias": "a.bias"})
    made = plan(held, to="linen", drop=["a.*"])
    assert made.steps == {}
    assert made.dropped == [
        "a.weight: --drop a.*",
        "a.bias: --drop a.*",
        "b.weight: tied to a.weight, which is dropped",
        "b.bias: tied to a.bias, which is dropped",
    ]


# Asides, drops, batch norm


BATCH_NORM = {"bn.running_mean": (2,), "bn.running_var": (2,), "bn.num_batches_tracked": ()}


def test_buffers_stand_aside_and_come_back() -> None:
    dtypes = {"pos.position_ids": "int64", "bn.num_batches_tracked": "int64"}
    shapes = {"a.weight": (3, 2), "a.bias": (3,), "pos.position_ids": (1, 5), "rot.inv_freq": (4,), **BATCH_NORM}
    made = plan(torch_tree(shapes, dtypes=dtypes), to="linen")
    assert [*made.steps] == [
        "params.a.kernel",
        "params.a.bias",
        "batch_stats.bn.mean",
        "batch_stats.bn.var",
        "buffers.pos.position_ids",
        "buffers.rot.inv_freq",
    ]
    assert made.kept == [
        "pos.position_ids stands aside as buffers/pos/position_ids",
        "rot.inv_freq stands aside as buffers/rot/inv_freq",
    ]
    assert made.dropped == ["bn.num_batches_tracked: linen has no such tensor; it comes back as 0"]
    tensors = [entry for entry in made.entries if isinstance(entry, TensorInfo)]
    back = plan(entries(*tensors), to="torch")
    assert {path: step.target.shape for path, step in back.steps.items()} == shapes
    assert {path: step.made for path, step in back.steps.items() if step.source is None} == {
        "bn.num_batches_tracked": Fill((), "int64", 0)
    }
    assert back.steps["bn.num_batches_tracked"].target.dtype == "int64"
    assert back.steps["pos.position_ids"].target.dtype == "int64"


def test_a_recorded_buffer_of_floats_stands_aside() -> None:
    held = entries(
        TensorInfo("m.scale", "float32", (3,), role="buffer"),
        TensorInfo("m.gain", "float32", (3,), role="parameter"),
        convention="torch",
    )
    assert [*plan(held, to="linen").steps] == ["params.m.gain", "buffers.m.scale"]


def test_many_drops_of_one_reason_take_one_line() -> None:
    shapes = {
        f"bn{number}.{name}": shape
        for number in range(5)
        for name, shape in (("running_mean", (2,)), ("running_var", (2,)), ("num_batches_tracked", ()))
    }
    made = plan(torch_tree(shapes), to="linen")
    assert len(made.dropped) == 5
    expected = (
        "bn0.num_batches_tracked, bn1.num_batches_tracked and 3 more: linen has no such tensor; it comes back as 0"
    )
    assert f"dropped   {expected}" in made.report()


def test_drop() -> None:
    held = torch_tree({"a.weight": (3, 2), "a.bias": (3,), "b.in_proj_weight": (3, 3), "b.out": (2,)})
    made = plan(held, to="linen", drop=["b.*"])
    assert [*made.steps] == ["params.a.kernel", "params.a.bias"]
    assert made.dropped == ["b.in_proj_weight: --drop b.*", "b.out: --drop b.*"]
    assert made.dropped_paths == ["b.in_proj_weight", "b.out"]


def test_gradients_are_left_behind() -> None:
    held = entries(
        TensorInfo("a.bias", "float32", (3,)),
        TensorInfo("a.weight", "float32", (3, 2)),
        TensorInfo("grad.a.weight", "float32", (3, 2), role="gradient"),
        convention="torch",
    )
    made = plan(held, to="linen")
    assert [*made.steps] == ["params.a.kernel", "params.a.bias"] or [*made.steps] == [
        "params.a.bias",
        "params.a.kernel",
    ]
    assert made.dropped == ["grad.a.weight: a gradient"]


def test_other_collections_of_linen() -> None:
    held = source({"params/a/kernel": (3, 2), "cache/k": (3,)})
    expected = "unexpected: cache/k (3,): torch has no place for the collection cache. Try --drop 'cache/*'"
    assert problems(held, to="torch") == [expected]
    assert [*plan(held, to="torch", drop=["cache/*"]).steps] == ["a.weight"]


def test_without_the_root_params() -> None:
    made = plan(source({"emb/embedding": (9, 4), "c/d/kernel": (2, 3), "own": (3, 3)}), to="torch")
    assert [*made.steps] == ["emb.weight", "c.d.weight", "own"]


def test_values_are_problems() -> None:
    held = MemorySource([(TensorInfo("a.weight", "float32", (2, 2)), None), (ptformat.Value("step", 3), None)])
    assert problems(held, to="linen") == ["unexpected: step is a value, no tensor. Try --drop 'step'"]
    assert plan(held, to="linen", drop=["step"]).dropped == ["step: --drop step"]


# Names


def test_a_sequential_below_the_root_is_told_to_lose_its_name() -> None:
    held = torch_tree(
        {"net.0.weight": (3, 2), "head.weight": (3, 2)},
        nodes=[Node("", "flat"), Node("net", "part", class_=SEQUENTIAL)],
    )
    made = plan(held, to="linen", target="x.msgpack")
    assert [*made.steps] == ["params.net.layers_0.kernel", "params.head.kernel"]
    lost = "the way back would call net.0 net.layers_0: a .ptf records it; else give a template on the way back"
    assert made.notes == [lost]
    assert plan(held, to="linen", target="x.ptf").notes == []


@pytest.mark.parametrize(
    ("name", "style", "lost"),
    [
        ("layers_0", "nested", "the way back would call layers_0 0"),
        ("conv_1", "linen-list", "the way back would call conv_1 conv.1"),
        ("conv_1", "nested", None),
        ("a.b.0.c", "nested", None),
        ("a.b.0.c", "linen-list", None),
        ("0.1", "nested", None),
    ],
)
def test_names_that_would_not_come_back(name: str, style: str, lost: str | None) -> None:
    held = torch_tree({f"{name}.weight": (3, 2), f"{name}.bias": (3,)})
    notes = plan(held, to="linen", style=style, target="x.msgpack").notes
    assert notes == ([f"{lost}: a .ptf records it; else give a template on the way back"] if lost else [])


def test_twelve_layers_keep_their_order() -> None:
    held = torch_tree({f"h.{number}.weight": (2, 2) for number in range(12)})
    for style, mark in (("nested", "."), ("linen-list", "_")):
        made = plan(held, to="linen", style=style, kinds=[("h.*", "linear")])
        assert [*made.steps] == [f"params.h{mark}{number}.kernel" for number in range(12)]


def test_renames() -> None:
    held = torch_tree({"module.h.0.ln.weight": (3,), "module.h.10.ln.weight": (3,)})
    made = plan(held, to="linen", renames=[(r"module\.h\.(\d+)", r"block_\1")])
    assert [*made.steps] == ["params.block_0.ln.scale", "params.block_10.ln.scale"]


def test_two_that_get_one_name() -> None:
    held = torch_tree({"a.weight": (3, 2), "a.bias": (3,), "b.weight": (3, 2), "b.bias": (3,)})
    assert problems(held, to="linen", renames=[("b", "a")]) == [
        "ambiguous: a.weight and b.weight both become params/a/kernel",
        "ambiguous: a.bias and b.bias both become params/a/bias",
    ]


# Problems


def test_all_problems_at_once() -> None:
    shapes = {"a.weight": (3, 2), "b.in_proj_weight": (3, 3), "r.weight_hr_l0": (3, 3), "c.weight": (3, 2)}
    held = torch_tree({**shapes, "h.h.weight": (3, 2), "p.in_proj_weight": (6, 2), "p.out_proj.weight": (2, 2)})
    found = problems(
        held,
        to="linen",
        kinds=[("c", "conv"), ("nothing", "linear"), ("h.h", "linear")],
        renames=[("h", "x"), ("nobody", "y")],
        drop=["none.*"],
        strict=True,
    )
    assert found == [
        "unused: --drop 'none.*' matches no tensor",
        "unsupported: b has in_proj_weight (3, 3): no kind with a rule has these names and ranks",
        "contradiction: c: conv: --kind c=conv, but it has weight (3, 2)",
        "ambiguous: p has in_proj_weight (6, 2), out_proj.weight (2, 2): nothing tells the size of heads. "
        "Say --kind 'p=attention(heads=N)'",
        "ambiguous: h.h: several renames match: 'h' (at 'h') and 'h' (at 'h')",
        "unsupported: r.weight_hr_l0 (3, 3) belongs to a recurrent layer with a projection (proj_size), "
        "which Flax does not have: there is no rule for it",
        "unused: --kind 'nothing=linear' matches no module with tensors",
        "unused: --rename 'nobody=y' matches no run of whole segments",
        "guess: a.weight (3, 2): linear: weight (3, 2); it may be embedding. Say --kind 'a=KIND'",
    ]


def test_the_error_lists_them() -> None:
    with pytest.raises(ConversionError) as caught:
        plan(torch_tree({"a.in_proj_weight": (3, 3), "b.weight_mask": (3, 3)}), to="linen")
    assert str(caught.value) == (
        "2 problems, nothing written\n"
        "  unsupported   a has in_proj_weight (3, 3): no kind with a rule has these names and ranks\n"
        "  unsupported   b.weight_mask (3, 3) belongs to a pruned layer: call torch.nn.utils.prune.remove first: "
        "there is no rule for it"
    )


def test_unknown_style_and_convention() -> None:
    held = torch_tree({"a.weight": (3, 2)})
    with pytest.raises(ValueError, match="style 'x', expected one of nested, linen-list, linen-compact"):
        plan(held, to="linen", style="x")
    with pytest.raises(ValueError, match="cannot convert to 'jax', only to torch or linen or nnx"):
        plan(held, to="jax")


def test_target_equals_source_and_unknown_suffix(shared: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.ptf"
    link.symlink_to(shared)
    before = shared.read_bytes()
    for target, words in (
        (shared, "is the source itself"),
        (link, "is the source itself"),
        (tmp_path / "x.unknown", "it ends in none of .ptf, .safetensors, "),
    ):
        with pytest.raises(FormatError) as caught:
            convert(shared, target, to="linen")
        assert caught.value.code == "FORMAT"
        assert words in caught.value.message
    assert shared.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link.ptf", "shared.ptf"]


def test_a_plan_reads_no_tensor() -> None:
    """The sources of these tests have none."""
    with pytest.raises(KeyError):
        torch_tree({"a.weight": (3, 2)}).array("a.weight")


def test_permutations() -> None:
    assert identity(3) == (0, 1, 2)
    assert inverse((2, 0, 1)) == (1, 2, 0)
    assert compose((2, 0, 1), (1, 2, 0)) == (0, 1, 2)


def test_a_recorded_convention_without_a_table(tmp_path: Path) -> None:
    tree = {"fc": {"kernel": np.zeros((4, 8), np.float32), "bias": np.zeros(8, np.float32)}}
    ptformat.save_file(tree, tmp_path / "x.ptf", convention="haiku")
    with pytest.raises(ConversionError) as caught:
        plan(tmp_path / "x.ptf", to="torch")
    (problem,) = caught.value.problems
    assert problem.kind == "unsupported"
    what = "is recorded as haiku, for which there is no table (torch, linen, nnx). Give the --rules that have it"
    assert problem.text == f"{tmp_path / 'x.ptf'} {what}"
    ptformat.save_file(tree, tmp_path / "n.ptf", convention="flax.nnx")
    made = plan(tmp_path / "n.ptf", to="torch")
    assert (made.origin, {path: step.target.shape for path, step in made.steps.items()}) == (
        "nnx",
        {"fc.weight": (8, 4), "fc.bias": (8,)},
    )


@pytest.mark.parametrize("to", ["torch", "linen", "nnx"])
def test_a_convention_that_is_said_against_the_recorded_one(to: str) -> None:
    recorded, other = ("torch", "linen") if to != "torch" else ("flax.linen", "nnx")
    held = source({"a.weight": (3, 2)} if to != "torch" else {"params/a/kernel": (2, 3)}, convention=recorded)
    if other == to:
        other = "nnx"
    found = problems(held, to=to, origin=other)
    assert found == [f"contradiction: tree is recorded as {recorded}, but --from says {other}"]
    with pytest.raises(ValueError, match="no convention 'jax', only torch, linen, nnx"):
        plan(held, to=to, origin="jax")


def test_statistics_among_parameters_are_not_taken_for_parameters(tmp_path: Path) -> None:
    arrays = {name: np.zeros(8, np.float32) for name in ("scale", "bias", "mean", "var")}
    ptformat.save_file({"bn": arrays, "mean": np.zeros(2, np.float32)}, tmp_path / "x.ptf")
    with pytest.raises(ConversionError) as caught:
        plan(tmp_path / "x.ptf", to="torch")
    assert [(problem.kind, problem.path) for problem in caught.value.problems] == [
        ("unsupported", "bn.mean"),
        ("unsupported", "bn.var"),
    ]
    assert "a batch norm whose statistics stand among its parameters, as nnx keeps them" in str(caught.value)
