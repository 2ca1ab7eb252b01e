"""Names: styles both ways, renames, and which path of the source is which of the template."""

import pytest

from ptformat.converters.match import RenameError, Renames, match, numbered, to_flax, to_torch

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


@pytest.mark.parametrize(("torch", "linen"), NESTED)
def test_nested_both_ways(torch: str, linen: str) -> None:
    assert to_flax(split(torch, "."), "nested", ()) == split(linen, "/")
    assert to_torch(split(linen, "/"), "nested", False) == split(torch, ".")


@pytest.mark.parametrize(("torch", "linen"), LISTED)
def test_linen_list_both_ways(torch: str, linen: str) -> None:
    assert to_flax(split(torch, "."), "linen-list", ()) == split(linen, "/")
    assert to_torch(split(linen, "/"), "linen-list", False) == split(torch, ".")


def test_linen_list_takes_every_number_for_an_item() -> None:
    assert to_torch(("conv_1",), "linen-list", False) == ("conv", "1")


@pytest.mark.parametrize("style", ["nested", "linen-list"])
def test_a_root_of_integers(style: str) -> None:
    for number in ("0", "2", "10"):
        assert to_flax((number, "x"), style, {()}) == (f"layers_{number}", "x")
        assert to_torch((f"layers_{number}", "x"), style, True) == (number, "x")


def test_a_sequential_below_the_root() -> None:
    assert to_flax(("net", "0", "x"), "nested", {("net",)}) == ("net", "layers_0", "x")
    assert to_flax(("net", "0", "1"), "nested", {("net",), ("net", "0")}) == ("net", "layers_0", "layers_1")
    assert to_flax(("net", "0", "1"), "linen-list", {("net",)}) == ("net", "layers_0_1")
    assert to_torch(("net", "layers_0"), "nested", True) == ("net", "layers_0")


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
