"""Names: styles both ways, renames, cells, and which path of the source is which of the template."""

import itertools
import random

import pytest
from sources import source

from ptformat.converters.conventions import LINEN, NNX, TORCH
from ptformat.converters.match import (
    CANONICAL,
    RenameError,
    Renames,
    cell_form,
    cell_to_flax,
    cell_to_torch,
    from_hub,
    in_order,
    is_cell,
    match,
    natural,
    numbered,
    numbered_root,
    to_hub,
)
from ptformat.converters.survey import Module, survey

NESTED = [
    ("encoder.layer.0.attention.self.query", "encoder/layer/0/attention/self/query"),
    ("a.0.0", "a/0/0"),
    ("h.10.ln_1", "h/10/ln_1"),
    ("layers_2.x", "layers_2/x"),
    ("conv_1", "conv_1"),
    ("0x.1", "0x/1"),
    ("", ""),
]
LISTED = [
    ("encoder.layer.0.attention", "encoder/layer_0/attention"),
    ("a.0.0", "a_0_0"),
    ("a.0.b.1", "a_0/b_1"),
    ("blocks.10", "blocks_10"),
    ("x", "x"),
]


def split(path: str, mark: str) -> tuple[str, ...]:
    return tuple(path.split(mark)) if path else ()


@pytest.mark.parametrize(("torch", "flax"), NESTED)
@pytest.mark.parametrize("goal", ["linen", "nnx"])
def test_nested_both_ways(torch: str, flax: str, goal: str) -> None:
    assert from_hub(split(torch, "."), goal, "nested", ()) == split(flax, "/")
    assert to_hub(split(flax, "/"), goal, "nested", False) == split(torch, ".")


@pytest.mark.parametrize(("torch", "linen"), LISTED)
def test_linen_list_both_ways(torch: str, linen: str) -> None:
    assert from_hub(split(torch, "."), "linen", "linen-list", ()) == split(linen, "/")
    assert to_hub(split(linen, "/"), "linen", "linen-list", False) == split(torch, ".")


def test_linen_list_takes_every_number_for_an_item() -> None:
    assert to_hub(("conv_1",), "linen", "linen-list", False) == ("conv", "1")


def test_linen_list_is_a_style_of_linen_alone() -> None:
    assert from_hub(("blocks", "1"), "nnx", "linen-list", ()) == ("blocks", "1")
    assert to_hub(("blocks_1",), "nnx", "linen-list", False) == ("blocks_1",)


@pytest.mark.parametrize("style", ["nested", "linen-list"])
def test_a_root_of_integers(style: str) -> None:
    for number in ("0", "2", "10"):
        assert from_hub((number, "x"), "linen", style, {()}) == (f"layers_{number}", "x")
        assert to_hub((f"layers_{number}", "x"), "linen", style, True) == (number, "x")
        assert from_hub((number, "x"), "nnx", style, {()}) == ("layers", number, "x")
        assert to_hub(("layers", number, "x"), "nnx", style, True) == (number, "x")


def test_a_sequential_below_the_root() -> None:
    nested = {("net",), ("net", "0")}
    assert from_hub(("net", "0", "x"), "linen", "nested", {("net",)}) == ("net", "layers_0", "x")
    assert from_hub(("net", "0", "1"), "linen", "nested", nested) == ("net", "layers_0", "layers_1")
    assert from_hub(("net", "0", "1"), "linen", "linen-list", {("net",)}) == ("net", "layers_0_1")
    assert from_hub(("net", "0", "1"), "nnx", "nested", nested) == ("net", "layers", "0", "layers", "1")
    assert to_hub(("net", "layers_0"), "linen", "nested", True) == ("net", "layers_0")


@pytest.mark.parametrize("style", ["nested", "linen-list"])
def test_torch_is_the_hub(style: str) -> None:
    path = ("layers_0", "a", "1")
    assert to_hub(path, "torch", style, True) == path
    assert from_hub(path, "torch", style, {()}) == path


@pytest.mark.parametrize(
    ("origin", "paths", "found"),
    [
        ("torch", ["0", "2.x"], True),
        ("torch", ["0", "x"], False),
        ("torch", ["layers_0"], False),
        ("linen", ["layers_0", "layers_10.x"], True),
        ("linen", ["0"], False),
        ("linen", ["layers_0", "layers"], False),
        ("nnx", ["layers.0", "layers.10.x"], True),
        ("nnx", ["layers.0", "head"], False),
        ("nnx", ["layers"], False),
        ("nnx", ["layers.a"], False),
        ("nnx", [], False),
        ("torch", [], False),
    ],
)
def test_a_sequential_at_the_root_is_known_by_its_names(origin: str, paths: list[str], found: bool) -> None:
    assert numbered_root([split(path, ".") for path in paths], origin) is found


def test_numbered() -> None:
    assert numbered([("0",), ("2", "x")], r"\d+")
    assert not numbered([("0",), ("x",)], r"\d+")
    assert not numbered([("0",), ()], r"\d+")
    assert not numbered([], r"\d+")
    assert numbered([("layers_0",), ("layers_10",)], r"layers_\d+")


RENAMES = [
    ([("encoder", "enc")], "model.encoder.x", "model.enc.x"),
    ([("encoder", "enc")], "my_encoder.encoders", "my_encoder.encoders"),
    ([("model", "")], "model.x", "x"),
    ([(r"model\.deep", "")], "model.deep.x.y", "x.y"),
    ([(r"module\.(.*)", r"\1")], "module.a.b", "a.b"),
    ([(r"h\.(\d+)", r"blocks_\1")], "h.10.ln", "blocks_10.ln"),
    ([(r"h\.(\d+)", r"blocks/\1")], "h.10.ln", "blocks.10.ln"),
    ([(r"h\.(\d+)", r"blocks.\1")], "h.10.ln", "blocks.10.ln"),
    ([("x", "y"), ("z", "w")], "a.z", "a.w"),
    ([("ln_1", "norm")], "h.0.ln_1", "h.0.norm"),
    ([("ln_1", "norm")], "h.0.ln_10", "h.0.ln_10"),
    ([(".*", "all")], "a.b", "all"),
    ([], "a.b", "a.b"),
]


@pytest.mark.parametrize(("rules", "path", "expected"), RENAMES)
def test_renames(rules: list[tuple[str, str]], path: str, expected: str) -> None:
    assert Renames(rules, ".")(split(path, ".")) == split(expected, ".")


def test_renames_of_linen_paths_are_anchored_at_slashes() -> None:
    assert Renames([("a/b", "c")], "/")(("x", "a", "b", "d.e")) == ("x", "c", "d.e")


@pytest.mark.parametrize(
    ("rules", "path"),
    [
        ([("a", "x"), ("a|b", "y")], "a"),
        ([("a", "x"), ("b", "y")], "a.b"),
        ([("a", "x")], "a.b.a"),
        ([(r"\w", "x")], "a.b"),
    ],
)
def test_several_matches_are_an_error(rules: list[tuple[str, str]], path: str) -> None:
    with pytest.raises(
        RenameError, match=r"^a(\.\w)*: several renames match: 'a' |^a\.b: several renames match: '.*\\w'"
    ):
        Renames(rules, ".")(split(path, "."))


def pairs(sources: list[str], targets: list[str]) -> dict[str, str]:
    found = match([split(path, ".") for path in sources], [split(path, "/") for path in targets])
    assert not found.ambiguous
    return {".".join(mine): "/".join(theirs) for mine, theirs in found.pairs.items()}


def test_equal_names_first() -> None:
    sources, targets = ["a.0", "a_0", "layers.1"], ["a/0", "a_0", "layers/1"]
    assert pairs(sources, targets) == dict(zip(sources, targets, strict=True))


def test_numbers_split_off() -> None:
    sources = [f"encoder.layer.{number}.x" for number in range(12)]
    targets = [f"encoder/layer_{number}/x" for number in sorted(range(12), key=str)]
    assert pairs(sources, targets) == {f"encoder.layer.{number}.x": f"encoder/layer_{number}/x" for number in range(12)}
    assert pairs(["a.0.1"], ["a_0_1"]) == {"a.0.1": "a_0_1"}


def test_layers_left_out() -> None:
    assert pairs(["0", "2", "net.0", "net.10"], ["layers_0", "layers_2", "net/layers_0", "net/layers_10"]) == {
        "0": "layers_0",
        "2": "layers_2",
        "net.0": "net/layers_0",
        "net.10": "net/layers_10",
    }


def test_each_path_is_paired_at_the_strictest_level() -> None:
    """`conv_1` is a name of its own, and `conv.1` the second item of a list."""
    assert pairs(["conv_1", "conv.1"], ["conv_1", "conv/1"]) == {"conv_1": "conv_1", "conv.1": "conv/1"}
    assert pairs(["conv_1", "conv.1"], ["conv_1", "conv/layers_1"]) == {"conv_1": "conv_1", "conv.1": "conv/layers_1"}


def test_what_has_no_partner_is_left() -> None:
    assert pairs(["a", "b"], ["a", "c"]) == {"a": "a"}


def test_ambiguity() -> None:
    found = match([("a", "0")], [("a_0",), ("a", "layers_0")])
    assert found.pairs == {("a", "0"): ("a_0",)}
    found = match([("x_0", "y"), ("x", "0_y")], [("x", "0", "y")])
    assert found.pairs == {("x_0", "y"): ("x", "0", "y")}
    found = match([("a_0_1",), ("a_0", "1")], [("a", "0", "1")])
    assert found.pairs == {}
    assert found.ambiguous == [([("a_0_1",), ("a_0", "1")], [("a", "0", "1")])]
    found = match([("a", "0", "1")], [("a_0_1",), ("a_0", "1")])
    assert found.ambiguous == [([("a", "0", "1")], [("a_0_1",), ("a_0", "1")])]


# torch's cells of recurrent layers -> where linen and nnx have them
CELLS: dict[str, tuple[list[str], list[str], list[str]]] = {
    "one": (["l0"], ["cell"], ["cell"]),
    "both directions": (
        ["l0", "l0_reverse"],
        ["forward_rnn/cell", "backward_rnn/cell"],
        ["forward_rnn/cell", "backward_rnn/cell"],
    ),
    "several layers": (
        ["l0", "l1", "l10"],
        ["layers_0/cell", "layers_1/cell", "layers_10/cell"],
        ["layers/0/cell", "layers/1/cell", "layers/10/cell"],
    ),
    "several layers, both directions": (
        ["l0", "l0_reverse", "l1", "l1_reverse"],
        [f"layers_{n}/{way}_rnn/cell" for n in (0, 1) for way in ("forward", "backward")],
        [f"layers/{n}/{way}_rnn/cell" for n in (0, 1) for way in ("forward", "backward")],
    ),
}


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("layer", ["", "a.rnn"])
def test_cells_both_ways(name: str, layer: str) -> None:
    head = split(layer, ".")
    cells = {(*head, cell) for cell in CELLS[name][0]} | {("another", "l7_reverse"), ("another", "l8")}
    for goal, expected in zip(("linen", "nnx"), CELLS[name][1:], strict=True):
        for cell, there in zip(CELLS[name][0], expected, strict=True):
            found = cell_to_flax((*head, cell), cells, goal)
            assert found == (*head, *split(there, "/"))
            assert cell_to_torch(found) == (*head, cell)
            assert cell_form(found) == cell_form((*head, cell))


def test_a_cell_by_itself_stays_in_torch() -> None:
    for path in ("", "step", "cell.x", "layers_0"):
        assert cell_to_torch(split(path, ".")) == split(path, ".")


def test_is_cell() -> None:
    assert [
        is_cell(split(path, ".")) for path in ("r.l0", "l10_reverse", "r.l0.x", "lx", "l0_", "l0_reverse_", "")
    ] == [
        *(True, True),
        *[False] * 5,
    ]


@pytest.mark.parametrize(
    ("path", "form"),
    [
        ("rnn.l0", "0.forward"),
        ("a.l2", "a.2.forward"),
        ("b.rnn.l1_reverse", "b.1.backward"),
        ("layers_1.cell", "1.forward"),
        ("lstm.layers.1.backward_rnn.cell", "lstm.1.backward"),
        ("lstm_1.rnn.cell", "lstm.1.forward"),
        ("cell", "0.forward"),
        ("lstm.cell", "lstm.0.forward"),
        ("encoder.lstm.backward_rnn.cell", "encoder.lstm.0.backward"),
    ],
)
def test_cell_form(path: str, form: str) -> None:
    assert cell_form(split(path, ".")) == split(form, ".")


def test_cells_are_matched_by_their_form() -> None:
    mine = [("lstm", cell) for cell in ("l0", "l0_reverse", "l1", "l1_reverse")]
    theirs = [(*head, way, "cell") for head in (("lstm_0",), ("lstm_1",)) for way in ("forward_rnn", "backward_rnn")]
    assert match(mine, theirs).pairs == {}
    assert match(mine, theirs, (*CANONICAL, cell_form)).pairs == dict(zip(mine, theirs, strict=True))


def test_natural() -> None:
    wanted = [("Conv_0",), ("Dense_0",), ("Dense_1",), ("Dense_2", "a"), ("Dense_10",), ("Dense_10", "b")]
    for seed in range(20):
        shuffled = random.Random(seed).sample(wanted, len(wanted))
        assert sorted(shuffled, key=natural) == wanted
    mixed = [("0",), ("a", "1"), ("a", "b"), ("a1b2",), ("a1b10",), ()]
    for left, right in itertools.product(mixed, mixed):
        assert (natural(left) < natural(right)) + (natural(right) < natural(left)) == (left != right)


def modules(shapes: dict[str, tuple[int, ...]], table: str) -> list[Module]:
    return [*survey(source(shapes).entries, {"torch": TORCH, "linen": LINEN, "nnx": NNX}[table]).modules.values()]


def test_in_order() -> None:
    """Each with the first of its kinds that is left: kinds alternate, and one has no partner."""
    mine = {
        "c1.weight": (8, 3, 3, 3),
        "n1.weight": (8,),
        "n1.bias": (8,),
        "c2.weight": (9, 8, 3, 3),
        "fc.weight": (2, 9),
    }
    theirs = {
        "params/Conv_0/kernel": (3, 3, 3, 8),
        "params/Conv_1/kernel": (3, 3, 8, 9),
        "params/LayerNorm_0/scale": (8,),
        "params/LayerNorm_0/bias": (8,),
        "params/Conv_2/kernel": (3, 3, 9, 9),
        "params/Dense_0/kernel": (9, 2),
    }
    found = in_order(modules(mine, "torch"), modules(theirs, "linen"), TORCH, LINEN)
    assert [(left.path, right.path) for left, right in found] == [
        (("c1",), ("Conv_0",)),
        (("n1",), ("LayerNorm_0",)),
        (("c2",), ("Conv_1",)),
        (("fc",), ("Dense_0",)),
    ]
    left_over = in_order(modules(mine, "torch"), modules({"Dense_0/kernel": (9, 2)}, "nnx"), TORCH, NNX)
    assert [(left.path, right.path) for left, right in left_over] == [(("fc",), ("Dense_0",))]
