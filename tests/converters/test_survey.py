"""A tree through a framework's table: modules, cells, magnitudes, layers of a stack, modules of several parts."""

from collections.abc import Mapping

import pytest
from sources import source

from ptformat.converters.conventions import LINEN, NNX, TORCH, Convention
from ptformat.converters.operations import Given, Index
from ptformat.converters.survey import Survey, Unstacked, assemblies, fits, node_of, seen, survey
from ptformat.paths import Segments
from ptformat.tree import Alias, Node, TensorInfo, Value

Shapes = Mapping[str, tuple[int, ...]]


def split(path: str) -> Segments:
    return tuple(path.split(".")) if path else ()


def surveyed(shapes: Shapes, table: Convention = TORCH, **options: object) -> Survey:
    return survey(source(shapes).entries, table, **options)  # type: ignore[arg-type]


def names(tree: Survey) -> dict[str, list[str]]:
    """Module -> its leaves, with the collection before a colon."""
    return {
        "/".join(path): [f"{collection}:{name}" if collection else name for collection, name in module.leaves]
        for path, module in tree.modules.items()
    }


@pytest.mark.parametrize(
    ("path", "table", "module", "name"),
    [
        ("", TORCH, "", ""),
        ("weight", TORCH, "", "weight"),
        ("a.b.weight", TORCH, "a.b", "weight"),
        ("rnn.weight_ih_l0", TORCH, "rnn.l0", "weight_ih"),
        ("rnn.weight_hh_l11", TORCH, "rnn.l11", "weight_hh"),
        ("rnn.bias_ih_l1_reverse", TORCH, "rnn.l1_reverse", "bias_ih"),
        ("rnn.weight_hr_l0", TORCH, "rnn.l0", "weight_hr"),
        ("weight_ih_l0", TORCH, "l0", "weight_ih"),
        ("cell.weight_ih", TORCH, "cell", "weight_ih"),
        ("rnn.weight_ih_l0_other", TORCH, "rnn", "weight_ih_l0_other"),
        ("rnn.weight_ih_l", TORCH, "rnn", "weight_ih_l"),
        ("rnn.weight_ih_l0", NNX, "rnn", "weight_ih_l0"),
    ],
)
def test_seen(path: str, table: Convention, module: str, name: str) -> None:
    assert seen(split(path), table) == (split(module), name)


@pytest.mark.parametrize(
    ("path", "module", "name"),
    [
        (("WeightNorm_0", "lin/kernel/scale"), ("lin",), "kernel/scale"),
        (("a", "WeightNorm_12", "Dense_0/kernel/scale"), ("a", "Dense_0"), "kernel/scale"),
        (("lin/kernel/scale",), (), "lin/kernel/scale"),
        (("lin", "kernel"), ("lin",), "kernel"),
        (("lin", "scale"), ("lin",), "scale"),
    ],
)
def test_a_magnitude_of_linen_belongs_to_its_layer(path: Segments, module: Segments, name: str) -> None:
    assert seen(path, LINEN) == (module, name)
    assert seen(path, NNX) == (path[:-1], path[-1])


def test_modules_and_what_is_of_no_kind() -> None:
    tree = surveyed({"a.weight": (3, 2), "a.bias": (3,), "token": (4,), "b.c.gamma": (2,), "a.own": (1,)})
    assert names(tree) == {"a": ["weight", "bias"]}
    assert [leaf.path for leaf in tree.loose] == ["token", "b.c.gamma", "a.own"]
    assert [leaf.path for leaf in tree.leaves] == ["a.weight", "a.bias", "token", "b.c.gamma", "a.own"]
    assert [(leaf.module, leaf.name) for leaf in tree.loose] == [((), "token"), (("b", "c"), "gamma"), (("a",), "own")]
    assert not tree.rooted


def test_collections_of_linen() -> None:
    shapes = {"params/bn/scale": (4,), "batch_stats/bn/mean": (4,), "batch_stats/bn/var": (4,), "buffers/ids": (3,)}
    tree = surveyed(shapes, LINEN)
    assert tree.rooted
    assert names(tree) == {"bn": ["params:scale", "batch_stats:mean", "batch_stats:var"]}
    assert [(leaf.collection, leaf.module, leaf.name) for leaf in tree.loose] == [("buffers", (), "ids")]


def test_statistics_alone_are_a_rooted_tree() -> None:
    tree = surveyed({"batch_stats/bn/mean": (4,), "batch_stats/bn/var": (4,)}, LINEN)
    assert tree.rooted
    assert names(tree) == {"bn": ["batch_stats:mean", "batch_stats:var"]}


def test_a_tree_that_begins_below_the_collection() -> None:
    tree = surveyed({"fc/kernel": (2, 3), "fc/bias": (3,)}, LINEN)
    assert not tree.rooted
    assert names(tree) == {"fc": ["params:kernel", "params:bias"]}


def test_a_bias_of_the_users_own() -> None:
    tree = surveyed({"head.bias": (3,), "fc.weight": (3, 2)})
    assert names(tree) == {"fc": ["weight"]}
    assert [leaf.path for leaf in tree.loose] == ["head.bias"]


def test_aliases_are_made_of_their_target() -> None:
    entries = [
        TensorInfo("a.weight", "float32", (3, 2)),
        Alias("b.weight", "a.weight"),
        Alias("c.weight", "a.weight", (1, 0)),
    ]
    tree = survey(entries, TORCH)
    given, same, turned = tree.leaves
    assert given.made == Given("a.weight", (3, 2), "float32")
    assert same.made == given.made
    assert (turned.shape, turned.dtype, turned.path) == ((2, 3), "float32", "c.weight")
    assert [leaf.tied for leaf in tree.leaves] == [False, True, True]


def test_values_and_nodes() -> None:
    entries = [
        Node("", "flat"),
        Node("a", "part", module="linear", class_="torch.nn.modules.linear.Linear"),
        TensorInfo("a.weight", "float32", (3, 2)),
        Value("step", 7),
    ]
    tree = survey(entries, TORCH)
    assert [value.path for value in tree.values] == ["step"]
    assert {*tree.nodes} == {(), ("a",)}
    assert tree.modules["a",].node == entries[1]


def test_a_node_of_a_recurrent_layer_is_that_of_its_cells() -> None:
    layer = Node("rnn", "part", module="lstm")
    entries = [layer, *source({"rnn.weight_ih_l0": (8, 3), "rnn.weight_hh_l0_reverse": (8, 2)}).entries]
    tree = survey(entries, TORCH)
    assert node_of(tree, ("rnn", "l0")) == layer
    assert node_of(tree, ("rnn", "l0_reverse")) == layer
    assert node_of(tree, ("rnn", "x")) is None
    assert node_of(tree, ()) is None
    assert tree.modules["rnn", "l0"].node == layer


def test_layers_of_a_stack() -> None:
    shapes = {"h/fc/kernel": (3, 4, 5), "h/fc/bias": (3, 5), "h/ln/scale": (3, 4), "out/kernel": (4, 5)}
    tree = surveyed(shapes, NNX, stacked=[Unstacked(("h",))])
    assert names(tree) == {
        **{f"h/{i}/fc": ["kernel", "bias"] for i in range(3)},
        **{f"h/{i}/ln": ["scale"] for i in range(3)},
        "out": ["kernel"],
    }
    leaf = tree.modules["h", "1", "fc"].leaves["", "kernel"]
    assert leaf.made == Index(Given("h.fc.kernel", (3, 4, 5), "float32"), 0, 1)
    assert (leaf.shape, leaf.path) == ((4, 5), "h.fc.kernel")


def test_stacks_on_another_axis_and_in_stacks() -> None:
    shapes = {"h/fc/kernel": (4, 2, 3, 5)}
    tree = surveyed(shapes, NNX, stacked=[Unstacked(("h",), 1), Unstacked(("h", "1"), 1, 3)])
    assert names(tree) == {"h/0/fc": ["kernel"], **{f"h/1/{i}/fc": ["kernel"] for i in range(3)}}
    assert tree.modules["h", "0", "fc"].leaves["", "kernel"].shape == (4, 3, 5)
    assert tree.modules["h", "1", "2", "fc"].leaves["", "kernel"].shape == (4, 5)


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (Unstacked(("h",), 2), r"h\.fc\.bias \(3, 5\) is no stack on axis 2"),
        (Unstacked(("h",), 0, 4), r"h\.fc\.kernel \(3, 4, 5\) is no stack of 4 layers on axis 0"),
    ],
)
def test_what_is_no_stack(rule: Unstacked, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        surveyed({"h/fc/kernel": (3, 4, 5), "h/fc/bias": (3, 5)}, NNX, stacked=[rule])


def kinds(shapes: Shapes, table: Convention, facts: Mapping[str, object] | None = None) -> list[str]:
    (module,) = surveyed(shapes, table).modules.values()
    return [f"{fit.kind.name}{fit.form.name and ':'}{fit.form.name}" for fit in fits(module, table, facts)]


@pytest.mark.parametrize(
    ("shapes", "table", "expected"),
    [
        ({"m.weight": (5, 3), "m.bias": (5,)}, TORCH, ["linear"]),
        ({"m.weight": (5, 3), "m.bias": (3,)}, TORCH, ["linear:in_out"]),
        ({"m.weight": (5, 3), "m.bias": (4,)}, TORCH, []),
        ({"m.weight": (4, 4), "m.bias": (4,)}, TORCH, ["linear", "linear:in_out"]),
        ({"m.weight": (5, 3, 3, 3), "m.bias": (5,)}, TORCH, ["conv"]),
        ({"m.weight": (5, 3, 3, 3), "m.bias": (3,)}, TORCH, ["conv_transpose"]),
        ({"m.weight": (6, 3, 3, 3), "m.bias": (6,)}, TORCH, ["conv", "conv_transpose"]),
        ({"m.weight_ih": (8, 3), "m.weight_hh": (8, 2)}, TORCH, ["lstm"]),
        ({"m.weight_ih": (6, 3), "m.weight_hh": (6, 2)}, TORCH, ["gru"]),
        ({"m.weight_ih": (2, 3), "m.weight_hh": (2, 2)}, TORCH, ["rnn"]),
        ({"m.weight_ih": (8, 3), "m.weight_hh": (8, 3)}, TORCH, []),
        ({"m.weight_ih": (8, 3)}, TORCH, []),
        ({"m.weight_orig": (5, 3), "m.weight_u": (5,), "m.weight_v": (3,)}, TORCH, ["linear:spectral_norm_hook"]),
        ({"m.weight_orig": (5, 3)}, TORCH, []),
        ({"m.weight_orig": (5, 3), "m.weight_u": (5,)}, TORCH, []),
        ({"m.weight_g": (5, 1), "m.weight_v": (5, 3)}, TORCH, ["weight_norm_linear:hook"]),
        ({"m/kernel": (3, 5), "m/bias": (5,)}, NNX, ["linear"]),
    ],
)
def test_fits(shapes: Shapes, table: Convention, expected: list[str]) -> None:
    found = [kind for kind in kinds(shapes, table) if not kind.startswith(("flatten", "bilinear", "embedding_bag"))]
    assert found == expected


def test_facts_rule_kinds_out() -> None:
    shapes = {"m.weight": (6, 3, 3, 3), "m.bias": (6,)}
    assert kinds(shapes, TORCH, {"groups": 2}) == ["conv", "conv_transpose"]
    assert kinds(shapes, TORCH, {"groups": 4}) == ["conv"]
    assert kinds(shapes, TORCH, {}) == kinds(shapes, TORCH)


def test_modules_of_equal_shapes_hold_their_own_leaves() -> None:
    """What fits is remembered by names and shapes, not the leaves."""
    tree = surveyed({"a.weight": (5, 3), "b.weight": (5, 3)})
    for name in ("a", "b"):
        for fit in fits(tree.modules[name,], TORCH):
            assert [leaf.path for leaf in fit.held.values()] == [f"{name}.weight"]


ATTENTION = {
    "a.in_proj_weight": (12, 4),
    "a.in_proj_bias": (12,),
    "a.out_proj.weight": (4, 4),
    "a.out_proj.bias": (4,),
}


def test_attention_is_one_module() -> None:
    tree = surveyed({"x.weight": (4, 4), **ATTENTION, "y.weight": (4, 4)})
    ((module, fit),) = assemblies(tree)
    assert (module.path, fit.kind.name, fit.form.name) == (("a",), "attention", "")
    assert [name for _, name in module.leaves] == [path.removeprefix("a.") for path in ATTENTION]
    tree.claim([module])
    assert [*tree.modules] == [("x",), ("a",), ("y",)]
    assert tree.loose == []


def test_attention_without_its_last_layer_is_none() -> None:
    assert [*assemblies(surveyed({"a.in_proj_weight": (12, 4)}))] == []


def test_packed_attention_is_found_but_has_to_be_said() -> None:
    tree = surveyed({"a.qkv.weight": (12, 4), "a.proj.weight": (4, 4)})
    assert {(module.path, fit.form.name, fit.form.declared) for module, fit in assemblies(tree)} == {
        (("a",), "qkv", True),
        (("a",), "heads_qkv", True),
    }


def test_cells_of_flax_are_modules_of_several() -> None:
    shapes = {f"params/r/cell/{way}{gate}/kernel": (n, 2) for way, n in (("i", 3), ("h", 2)) for gate in "ifgo"}
    tree = surveyed(shapes, LINEN)
    ((module, fit),) = assemblies(tree)
    assert (module.path, fit.kind.name) == (("r", "cell"), "lstm")
    tree.claim([module])
    assert [*tree.modules] == [("r", "cell")]


def test_what_stands_beside_a_module_of_several_is_left() -> None:
    tree = surveyed({**ATTENTION, "a.norm.weight": (4,), "a.norm.bias": (4,), "a.own": (2,)})
    ((module, _),) = assemblies(tree)
    tree.claim([module])
    assert [*tree.modules] == [("a",), ("a", "norm")]
    assert [leaf.path for leaf in tree.loose] == ["a.own"]
