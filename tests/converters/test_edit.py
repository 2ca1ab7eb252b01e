"""Edits of real files: names, ties, types and bytes of what comes out, and every problem at once."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_files import arrays, deck_ptf, deck_safetensors
from sources import bits, same, source

import ptformat
from ptformat.converters import ConversionError, edit
from ptformat.converters.casting import converted
from ptformat.dtypes import BY_NAME
from ptformat.tree import Alias, Node, TensorInfo


def leaves(path: Path) -> list[str]:
    with ptformat.open(path) as file:
        return [entry.path for entry in file.entries if not isinstance(entry, Node)]


def problems(*args: Any, **changes: Any) -> list[tuple[str, str]]:
    with pytest.raises(ConversionError) as caught:
        edit(*args, **changes)
    assert not Path(args[1]).exists()
    return [(problem.kind, problem.text) for problem in caught.value.problems]


def test_nothing_changed_is_the_same_file(tmp_path: Path) -> None:
    deck = deck_ptf(tmp_path / "deck.ptf", shared=True)
    done = edit(deck, tmp_path / "out.ptf")
    assert (done.tensors, done.nbytes, done.repeated, done.renamed, done.dropped) == (6, 484, 0, {}, [])
    assert (tmp_path / "out.ptf").read_bytes() == deck.read_bytes()


def test_rename_follows_modules_and_aliases(tmp_path: Path) -> None:
    deck = deck_ptf(tmp_path / "deck.ptf", shared=True)
    done = edit(deck, tmp_path / "out.ptf", rename=[("2", "body.first"), (r"(\d)\.bias", r"\1.b")], drop=["2.bias"])
    assert done.renamed == {
        "0.bias": "0.b",
        "2.weight": "body.first.weight",
        "4.bias": "4.b",
        "6.bias": "6.b",
    }
    with ptformat.open(deck) as before, ptformat.open(tmp_path / "out.ptf") as after:
        assert same(after["body.first.weight"], before["2.weight"])
        assert after["4.weight"] is after["body.first.weight"]
        assert after.aliases["4.weight"].target == "body.first.weight"
        node = after.info("body.first")
        assert isinstance(node, Node)
        assert (node.form, node.module) == ("part", "linear")
        assert same(after["4.b"], before["2.bias"])  # 2.bias went: its first other name has the tensor
        info = after.info("4.b")
        assert isinstance(info, TensorInfo)
        assert (info.axes, info.role, info.trainable) == (("out",), "parameter", True)
    ptformat.verify(tmp_path / "out.ptf")


def test_a_dropped_module_goes_and_an_empty_one_stays(tmp_path: Path) -> None:
    deck = deck_ptf(tmp_path / "deck.ptf")
    assert edit(deck, tmp_path / "out.ptf", drop=["0.*"]).dropped == ["0.weight", "0.bias"]
    with ptformat.open(tmp_path / "out.ptf") as file:
        assert [entry.path for entry in file.entries] == ["", "1", "2", "2.weight", "2.bias"]


def test_ties(tmp_path: Path) -> None:
    data = np.arange(6, dtype=np.float32).reshape(2, 3)
    ptformat.save_file({"z": data, "other": data + 1, "a": data.copy()}, tmp_path / "in.ptf")
    edit(tmp_path / "in.ptf", tmp_path / "tied.ptf", tie=[("z", "a")])
    with ptformat.open(tmp_path / "tied.ptf") as file:
        assert file.aliases == {"a": Alias("a", "z")}
        assert file["a"] is file["z"]
        assert same(file["a"], data)
    edit(tmp_path / "tied.ptf", tmp_path / "apart.ptf", untie=["a"])
    assert (tmp_path / "apart.ptf").read_bytes() == (tmp_path / "in.ptf").read_bytes()
    # the other way round the first in the file is still the tensor
    edit(tmp_path / "in.ptf", tmp_path / "turned.ptf", tie=[("a", "z")])
    assert (tmp_path / "turned.ptf").read_bytes() == (tmp_path / "tied.ptf").read_bytes()


def test_untying_the_tensor_itself_leaves_the_others_tied(tmp_path: Path) -> None:
    with ptformat.Writer(tmp_path / "in.ptf") as out:
        out.tensor("a", np.arange(6, dtype=np.int16).reshape(2, 3), axes=("out", "in"))
        out.alias("b", "a", perm=(1, 0))
        out.alias("c", "a", perm=(1, 0))
        out.alias("d", "a")
    edit(tmp_path / "in.ptf", tmp_path / "out.ptf", untie=["a"])
    with ptformat.open(tmp_path / "in.ptf") as before, ptformat.open(tmp_path / "out.ptf") as after:
        assert [type(entry).__name__ for entry in after.entries] == ["TensorInfo", "TensorInfo", "Alias", "Alias"]
        assert (after.aliases["c"].perm, after.aliases["d"].perm) == (None, (1, 0))
        assert after.info("b").axes == ("in", "out")  # type: ignore[union-attr]
        for path in "abcd":
            assert same(after[path], before[path])


def test_tying_two_that_are_permuted(tmp_path: Path) -> None:
    data = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    with ptformat.Writer(tmp_path / "in.ptf") as out:
        out.tensor("a", data)
        out.alias("a_t", "a", perm=(1, 2, 0))
        out.tensor("b", data.transpose(2, 1, 0))
        out.alias("b_t", "b", perm=(1, 0, 2))
    edit(tmp_path / "in.ptf", tmp_path / "out.ptf", tie=[("a_t", "b_t")])
    with ptformat.open(tmp_path / "in.ptf") as before, ptformat.open(tmp_path / "out.ptf") as after:
        assert sorted(after.aliases) == ["a_t", "b", "b_t"]
        assert {alias.target for alias in after.aliases.values()} == {"a"}
        for path in ("a", "a_t", "b", "b_t"):
            assert same(after[path], before[path])


@pytest.mark.parametrize("target", ["float16", "bfloat16", "float64", "float8_e4m3fn", "float8_e5m2"])
def test_cast_is_ml_dtypes_cast(target: str, tmp_path: Path) -> None:
    data = np.random.default_rng(0).standard_normal((3, 700_001)).astype(np.float32)
    ptformat.save_file({"w": data, "n": np.arange(5)}, tmp_path / "in.ptf")
    done = edit(tmp_path / "in.ptf", tmp_path / "out.ptf", cast=[("*", target)])
    expected = data.astype(BY_NAME[target].numpy)
    with ptformat.open(tmp_path / "out.ptf") as file:
        assert same(file["w"], expected)
        assert file["n"].dtype == np.int64
    assert list(done.casts) == ["w"]
    assert done.casts["w"].rounded == np.count_nonzero(expected.astype(np.float32) != data)
    assert done.casts["w"].overflowed == done.casts["w"].lost == 0
    assert done.casts["w"].vanished == np.count_nonzero(expected.astype(np.float32) == 0)


def test_what_is_too_large_is_counted(tmp_path: Path) -> None:
    data = np.array([1, 1e9, -1e9, np.inf, -np.inf, np.nan, 1e-30, 0, -0.0, 500], np.float32)
    ptformat.save_file({"w": data}, tmp_path / "in.ptf")
    counts = {}
    for target in ("float16", "bfloat16", "float8_e4m3fn", "float4_e2m1fn"):
        cast = edit(tmp_path / "in.ptf", tmp_path / f"{target}.ptf", cast=[("w", target)]).casts["w"]
        counts[target] = (cast.rounded, cast.overflowed, cast.vanished, cast.lost)
    assert counts == {
        "float16": (3, 2, 1, 0),
        "bfloat16": (3, 0, 0, 0),
        "float8_e4m3fn": (4, 3, 1, 2),  # it has no infinity: NaN instead
        "float4_e2m1fn": (4, 3, 1, 3),
    }
    with ptformat.open(tmp_path / "float16.ptf") as file:
        assert file["w"].tolist()[:5] == [1, math.inf, -math.inf, math.inf, -math.inf]


@pytest.mark.parametrize("target", ["bfloat16", "float8_e4m3fn", "float8_e5m2", "float8_e3m4", "float4_e2m1fn"])
def test_from_float64_is_rounded_once(target: str) -> None:
    dtype = BY_NAME[target].numpy
    codes = np.arange(0x3F00, 0x4100, dtype=np.uint16) if dtype.itemsize == 2 else np.arange(256, dtype=np.uint8)
    exact = (codes & 15 if "float4" in target else codes).view(dtype).astype(np.float64)
    exact = np.unique(exact[np.isfinite(exact)])
    middle = (exact[1:] + exact[:-1]) / 2
    for sign, expected in ((1, exact[1:]), (-1, exact[:-1])):  # a hair beside the middle, which float32 does not see
        near = middle + sign * np.abs(middle) * 2.0**-45
        assert np.array_equal(converted(near, target).astype(np.float64), expected)


def test_metadata(tmp_path: Path) -> None:
    deck = deck_safetensors(tmp_path / "deck.safetensors")
    edit(deck, tmp_path / "out.safetensors", metadata={"licence": "MIT"})
    edit(tmp_path / "out.safetensors", tmp_path / "out.ptf", metadata={"format": None, "step": 7})
    with ptformat.open(tmp_path / "out.ptf") as file:
        assert file.metadata == {"licence": "MIT", "step": 7}
        for name, array in arrays().items():
            assert same(file[name], array)


def test_the_record_of_a_conversion_goes_with_what_it_speaks_of(tmp_path: Path) -> None:
    from ptformat.converters import convert

    convert(deck_ptf(tmp_path / "deck.ptf"), tmp_path / "linen.ptf", to="linen")
    assert edit(tmp_path / "linen.ptf", tmp_path / "kept.ptf", metadata={"a": "b"}).notes == []
    done = edit(tmp_path / "linen.ptf", tmp_path / "gone.ptf", drop=["*.bias"])
    assert [note.partition(":")[0] for note in done.notes] == ["the record of a conversion is left out"]
    with ptformat.open(tmp_path / "kept.ptf") as kept, ptformat.open(tmp_path / "gone.ptf") as gone:
        assert (kept.provenance != {}, gone.provenance) == (True, {})


def test_lists_and_keys_fit_what_is_left(tmp_path: Path) -> None:
    one = np.zeros(1, np.float32)
    tree = {"list": [one, one + 1, one + 2], "keys": {3: one + 3, 5: one + 5, 7: {9: one + 9}}, "step": 4, "empty": {}}
    ptformat.save_file(tree, tmp_path / "in.ptf")
    done = edit(tmp_path / "in.ptf", tmp_path / "out.ptf", drop=["list.0", "keys.5", "step"])
    assert done.dropped == ["list.0", "keys.5", "step"]
    assert done.notes == ["list was a list and is a map now: its items are ['1', '2']"]
    loaded = ptformat.load_tree(tmp_path / "out.ptf")
    assert {key: value.tolist() for key, value in loaded["list"].items()} == {"1": [1], "2": [2]}
    assert {key: type(value) for key, value in loaded["keys"].items()} == {3: np.ndarray, 7: dict}
    assert (loaded["keys"][7][9].tolist(), loaded["empty"]) == ([9], {})
    ptformat.verify(tmp_path / "out.ptf")
    edit(tmp_path / "in.ptf", tmp_path / "short.ptf", drop=["list.2"])
    assert len(ptformat.load_tree(tmp_path / "short.ptf")["list"]) == 2


def test_flat_keys_are_split_anew(tmp_path: Path) -> None:
    import safetensors.numpy

    one = np.zeros(1, np.float32)
    safetensors.numpy.save_file({"x.weight": one, "x.weight.absmax": one + 1}, tmp_path / "in.safetensors")
    edit(tmp_path / "in.safetensors", tmp_path / "out.ptf", drop=["x.weight"])
    assert leaves(tmp_path / "out.ptf") == ["x.weight.absmax"]
    edit(tmp_path / "in.safetensors", tmp_path / "both.ptf", rename=[("x", "y")])
    assert leaves(tmp_path / "both.ptf") == ["y.weight", "y.weight\\.absmax"]


def test_every_problem_at_once(tmp_path: Path) -> None:
    deck = deck_ptf(tmp_path / "deck.ptf", shared=True)
    found = problems(
        deck,
        tmp_path / "out.ptf",
        rename=[("nothing", "x"), ("(0|6)", "one")],
        drop=["nowhere.*"],
        cast=[("*", "int8"), ("*", "float3"), ("absent", "float16"), ("2.weight", "float16"), ("4.*", "bfloat16")],
        metadata={"absent": None},
        tie=[("0.weight", "6.weight"), ("0.bias", "2.bias"), ("2.bias", "4.bias"), ("here", "there")],
        untie=["0.bias", "nobody"],
    )
    assert [kind for kind, _ in found] == [
        *("unused", "missing"),  # untie
        *("shape", "contradiction", "unused", "missing", "missing"),  # tie
        "unused",  # drop
        *("dtype", "dtype", "contradiction", "unused"),  # cast
        *("unused", "ambiguous", "ambiguous"),  # rename
        "unused",  # metadata
    ]
    texts = dict(reversed(found))
    assert texts["shape"] == "--tie '0.weight=6.weight': 0.weight is (8, 4) float32, 6.weight is (1, 8) float32"
    assert texts["contradiction"] == "--tie '0.bias=2.bias': their bytes differ, first at byte 0"
    assert texts["ambiguous"] == "0.weight and 6.weight would both be one.weight"
    assert "--cast '*=int8': only between floating types; int8 is none" in [text for _, text in found]


@pytest.mark.parametrize(
    ("changes", "kind", "says"),
    [
        ({"drop": ["*"]}, "unexpected", "nothing is left of the tree"),
        ({"cast": [("n", "float32")]}, "dtype", "n is int64, from which there is no cast to float32"),
        ({"cast": [("c", "float32")]}, "dtype", "c is complex64, from which there is no cast to float32"),
        ({"rename": [("n", "w.inner")]}, "unsupported", "the result would be no tree: tensor 'w'"),
        ({"rename": [("w", "a"), ("w", "b")]}, "ambiguous", "several renames match"),
    ],
)
def test_one_problem(changes: dict[str, Any], kind: str, says: str, tmp_path: Path) -> None:
    tree = {"w": np.zeros(2, np.float32), "n": np.zeros(2, np.int64), "c": np.zeros(2, np.complex64)}
    ptformat.save_file(tree, tmp_path / "in.ptf")
    ((found, text), *_) = problems(tmp_path / "in.ptf", tmp_path / "out.ptf", **changes)
    assert (found, says in text) == (kind, True), text


@pytest.mark.parametrize("name", list(BY_NAME))
def test_every_type_passes_by_bits(name: str, tmp_path: Path) -> None:
    data = bits(name, (3, 5))
    ptformat.save_file({"w": data, "v": data.copy()}, tmp_path / "in.ptf")
    edit(tmp_path / "in.ptf", tmp_path / "out.ptf", rename=[("w", "x")], tie=[("w", "v")])
    with ptformat.open(tmp_path / "out.ptf") as file:
        assert (file.aliases["v"].target, same(file["x"], data)) == ("x", True)


def test_a_target_that_is_the_source(tmp_path: Path) -> None:
    deck = deck_ptf(tmp_path / "deck.ptf")
    before = deck.read_bytes()
    with pytest.raises(ptformat.FormatError, match="is the source itself"):
        edit(deck, deck, drop=["0.*"])
    assert deck.read_bytes() == before


def test_a_source_in_memory(tmp_path: Path) -> None:
    held = source({"w": (2, 3), "b": (2,)}, ties={"v": "w"})
    with pytest.raises(ConversionError, match="matches no tensor"):
        edit(held, tmp_path / "out.ptf", drop=["x"])


def test_every_floating_type_becomes_every_other():
    """ml_dtypes casts between some of its own types only by way of float32."""
    names = [name for name, dtype in BY_NAME.items() if dtype.floating and not name.startswith("complex")]
    assert {"float8_e4m3fn", "float8_e8m0fnu", "float4_e2m1fn", "bfloat16", "float64"} <= set(names)
    for own in names:
        for target in names:
            ones = np.ones(3, BY_NAME[own].numpy)
            assert converted(ones, target).tobytes() == np.ones(3, BY_NAME[target].numpy).tobytes()
