"""The way back: every bit of every source again, whatever was done, and what has no way back said."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sources import same
from trees import ALL, MORE, ONE_TO_ONE, Tree, trees
from trees import given as source

from ptformat.converters import operations as o
from ptformat.converters.evaluate import whole
from ptformat.converters.inversion import inverse, way_back

MANY = settings(max_examples=150, deadline=None)


def check(targets: dict[str, o.Operation], arrays: dict[str, Any]) -> None:
    """There and back, every source bit for bit."""
    made = {path: whole(op, lambda one: arrays[one.path]) for path, op in targets.items()}
    back = inverse(targets)
    assert list(back) == list(dict.fromkeys(one.path for op in targets.values() for one in o.sources(op)))
    for path, op in back.items():
        assert {one.path for one in o.sources(op)} <= set(targets)
        assert same(whole(op, lambda one: made[one.path]), arrays[path]), path


@given(st.data(), st.sampled_from([True, False]))
@MANY
def test_one_to_one_trees_have_a_way_back(data: st.DataObject, spelled: bool) -> None:
    arrays: dict[str, Any] = {}
    found = [data.draw(trees(arrays, kinds=(*ONE_TO_ONE, *MORE))) for _ in range(data.draw(st.integers(1, 2)))]
    check({f"t{at}": tree.raw if spelled else tree.op for at, tree in enumerate(found)}, arrays)


@given(st.data())
@MANY
def test_parts_spread_over_targets_are_joined_again(data: st.DataObject) -> None:
    arrays: dict[str, Any] = {}
    tree = data.draw(trees(arrays, kinds=ONE_TO_ONE, size=3))
    targets = {}
    left = [tree]
    for _ in range(data.draw(st.integers(1, 3))):
        tree = left.pop(data.draw(st.integers(0, len(left) - 1)))
        if not tree.op.shape:
            left.append(tree)
            continue
        axis = data.draw(st.integers(0, len(tree.op.shape) - 1))
        n = tree.op.shape[axis]
        if data.draw(st.booleans()) and n > 0:
            left += [Tree(o.index(tree.op, axis, at), None, tree.value.take(at, axis)) for at in range(n)]
        else:
            at = data.draw(st.integers(0, n))
            for ends in ((0, at), (at, n)):
                value = tree.value[(*[slice(None)] * axis, slice(*ends))]
                left.append(Tree(o.part(tree.op, axis, *ends), None, value))
    for at, tree in enumerate(left):
        raw = Tree(tree.op, tree.op, tree.value)
        grown = data.draw(trees(arrays, kinds=(*ONE_TO_ONE, *MORE), size=2, leaf=raw))
        targets[f"t{at}"] = grown.op
    check(targets, arrays)


@given(st.data())
@MANY
def test_any_tree_has_a_way_back_or_says_why_not(data: st.DataObject) -> None:
    arrays: dict[str, Any] = {}
    source(arrays, (2,), "uint16")
    found = [data.draw(trees(arrays, kinds=ALL)) for _ in range(data.draw(st.integers(1, 3)))]
    targets = {f"t{at}": tree.op for at, tree in enumerate(found)}
    try:
        check(targets, arrays)
    except ValueError as error:
        head, *lines = str(error).split("\n")
        assert head == "there is no way back"
        assert lines
        assert all(line.startswith("  s") and ("is in no target" in line or "scattered" in line) for line in lines)


@st.composite
def summed(draw: Any, pool: list[o.Operation], depth: int = 2) -> o.Operation:
    """Of shape (4,): parts, turned parts, paddings and joins of a few sources, and sums of such."""
    what = draw(st.sampled_from(["whole", "flip", "pad", "join", "weave", "fill"] + ["sum"] * 3 * bool(depth)))
    one = draw(st.sampled_from(pool))
    if what == "sum":
        return o.add_up([draw(summed(pool, depth - 1)) for _ in range(draw(st.integers(2, 3)))])
    if what == "pad":
        start = draw(st.integers(0, 2))
        return o.pad(o.part(one, 0, start, start + 2), 0, 2 - start, start)
    if what == "join":
        start = draw(st.integers(0, 2))
        return o.join([o.part(one, 0, 2, 4), o.part(draw(st.sampled_from(pool)), 0, start, start + 2)], 0)
    if what == "fill":
        return o.Fill((4,), "float32", draw(st.integers(0, 1)))
    return {"whole": one, "flip": o.flip(one, (0,)), "weave": o.interleave(one, 0, 2)}[what]


@given(st.data())
@settings(max_examples=400, deadline=None)
def test_sums_of_anything_are_the_same_function_again(data: st.DataObject) -> None:
    """What comes of the way back need not be the sources, but makes the same targets."""
    pool: list[o.Operation] = [given_of(name, 4) for name in "abc"]
    targets = {f"t{at}": data.draw(summed(pool)) for at in range(data.draw(st.integers(1, 3)))}
    arrays = {
        name: np.array([1, 10, 100, 1000], np.float32) * factor for name, factor in zip("abc", (1, 2, 5), strict=True)
    }
    made = {path: whole(op, lambda one: arrays[one.path]) for path, op in targets.items()}
    try:
        back = way_back(targets)
    except ValueError:
        return
    again = {path: whole(one.op, lambda one: made[one.path]) for path, one in back.items()}
    for path, op in targets.items():
        assert same(whole(op, lambda one: again[one.path]), made[path]), path
    for path, one in back.items():
        assert one.exactness != "bit" or same(again[path], arrays[path])


def given_of(path: str, *shape: int, dtype: str = "float32") -> o.Given:
    return o.Given(path, shape, dtype)


def test_packed_projections_are_joined_again() -> None:
    weight, width, heads = given_of("in_proj", 36, 12), 12, (3, 4)
    targets = {
        name: o.reshape(o.permute(o.part(weight, 0, at * width, (at + 1) * width), (1, 0)), (width, *heads))
        for at, name in enumerate("qkv")
    }
    (back,) = inverse(targets).values()
    assert o.described(back) == "each as (12, 12), (0, 1) → (1, 0), concatenate 3 on axis 0"
    by_head = o.reshape(weight, (3, 3, 4, 12))
    (back,) = inverse({name: o.permute(o.index(by_head, 1, at), (2, 0, 1)) for at, name in enumerate("qkv")}).values()
    assert o.described(back) == "each (0, 1, 2) → (1, 2, 0), stack 3 on axis 1, as (36, 12)"


def test_layers_are_stacked_and_unstacked() -> None:
    layers = [given_of(f"layers.{at}.weight", 4, 3) for at in range(5)]
    back = inverse({"kernel": o.stack([o.permute(one, (1, 0)) for one in layers], 1)})
    kernel = given_of("kernel", 3, 5, 4)
    assert back == {one.path: o.permute(o.index(kernel, 1, at), (1, 0)) for at, one in enumerate(layers)}
    stacked = given_of("kernel", 5, 3, 4)
    back = inverse({one.path: o.permute(o.index(stacked, 0, at), (1, 0)) for at, one in enumerate(layers)})
    assert back == {"kernel": o.stack([o.permute(one, (1, 0)) for one in layers], 0)}


def test_of_a_sum_the_first_gets_all() -> None:
    a, b = given_of("b_ih", 8), given_of("b_hh", 8)
    gates = {f"h{at}": o.add_up([o.part(one, 0, 2 * at, 2 * at + 2) for one in (a, b)]) for at in range(4)}
    back = way_back(gates)
    assert {path: one.exactness for path, one in back.items()} == {"b_ih": "function", "b_hh": "function"}
    assert back["b_ih"].op == o.join([given_of(f"h{at}", 2) for at in range(4)], 0)
    assert back["b_hh"].op == o.Fill((8,), "float32", 0)
    padded = o.pad(given_of("p", 4), 0, 2, 2)
    assert inverse({"t": o.add_up([padded, a])}) == {"p": o.Fill((4,), "float32", 0), "b_ih": given_of("t", 8)}


def test_numbers_are_undone() -> None:
    x = given_of("x", 4)
    half = given_of("h", 4, dtype="float16")
    back = way_back({"s": o.scale(x, 0.125), "a": o.add(given_of("y", 4), 1), "c": o.cast(half, "float32")})
    assert back["x"].op == o.scale(given_of("s", 4), 8)
    assert back["y"].op == o.add(given_of("a", 4), -1)
    assert back["h"].op == o.cast(given_of("c", 4), "float16")
    assert [one.exactness for one in back.values()] == ["rounded", "rounded", "bit"]
    assert way_back({"c": o.cast(x, "bfloat16")})["x"].exactness == "rounded"


def test_the_most_exact_copy_is_taken() -> None:
    x, y = given_of("x", 4), given_of("y", 4)
    assert inverse({"a": o.scale(x, 2), "b": o.flip(x, (0,)), "c": x})["x"] == o.flip(given_of("b", 4), (0,))
    back = way_back({"a": o.cast(x, "float16"), "b": o.part(x, 0, 1, 3)})["x"]
    wide = o.cast(o.Given("a", (4,), "float16"), "float32")
    assert back.op == o.join([o.part(wide, 0, 0, 1), given_of("b", 2), o.part(wide, 0, 3, 4)], 0)
    assert back.exactness == "rounded"
    back = way_back({"sum": o.add_up([x, y]), "a": x, "b": y})
    assert [(one.op, one.exactness) for one in back.values()] == [(given_of("a", 4), "bit"), (given_of("b", 4), "bit")]


def test_copies_are_cut_away() -> None:
    x = given_of("x", 4, 3)
    assert inverse({"t": o.repeat(x, 0, 3, each=False)})["x"] == o.part(given_of("t", 12, 3), 0, 0, 4)
    assert inverse({"t": o.pad(x, 0, 1, 2)})["x"] == o.part(given_of("t", 7, 3), 0, 1, 5)
    found = inverse({"t": o.repeat(x, 0, 2, each=True)})["x"]
    assert o.described(found) == "as (4, 2, 3), number 0 on axis 1"


def test_what_is_kept_of_the_template_needs_no_way_back() -> None:
    kept = o.Given("rope", (4,), "float32", kept=True)
    assert inverse({"a": kept, "b": o.Fill((3,), "float32", 0), "c": given_of("x", 2)}) == {"x": given_of("c", 2)}


X, A, B = given_of("x", 8, 4), given_of("a", 8), given_of("b", 8)
SPECTRAL = "divided by its spectral norm, which has no way back"
U, V = given_of("u", 8), given_of("v", 4)
SUMMED = "summed with others of which some are in several targets"
NO_WAY: dict[str, tuple[dict[str, o.Operation], list[str]]] = {
    "a part": ({"t": o.part(X, 0, 2, 4)}, ["x: (0:8, 0:4) of (8, 4) is in no target"]),
    "rows": ({"t": o.part(X, 0, 0, 6)}, ["x: (6:8, 0:4) of (8, 4) is in no target"]),
    "two sources": (
        {"t": o.index(X, 1, 0), "s": o.index(A, 0, 7)},
        ["x: (0:8, 1:4) of (8, 4) is in no target", "a: (0:7) of (8,) is in no target"],
    ),
    "folded": (
        {"t": o.fold(X, U, V)},
        [f"{one}: {SPECTRAL}" for one in "xuv"],
    ),
    "cut": ({"t": o.cast(A, "int8")}, ["a: cast from float32 to int8, which cuts"]),
    "both": ({"t": o.add_up([A, B]), "s": B}, [f"a: {SUMMED}", f"b: {SUMMED}"]),
    "twice": ({"t": o.add_up([A, A])}, [f"a: {SUMMED}"]),
    "turned": ({"t": o.add_up([A, o.flip(A, (0,))])}, [f"a: {SUMMED}"]),
    "two sums": (
        {"t": o.add_up([A, B]), "s": o.add_up([A, given_of("c", 8)])},
        [f"a: {SUMMED}", f"b: {SUMMED}", f"c: {SUMMED}"],
    ),
    "filled": (
        {"t": o.add_up([A, o.Fill((8,), "float32", 1)])},
        ["a: summed with what is no source, or no longer whole"],
    ),
    "far": ({"t": o.scale(A, 5e-324)}, ["a: times 5e-324, which has no way back"]),
    "scattered": (
        {"t": o.index(o.reshape(given_of("w", 10000), (5000, 2)), 1, 0)},
        ["w: what the targets have of it lies too scattered"],
    ),
}


@pytest.mark.parametrize("name", NO_WAY)
def test_no_way_back(name: str) -> None:
    targets, expected = NO_WAY[name]
    with pytest.raises(ValueError) as caught:
        inverse(targets)
    head, *lines = str(caught.value).split("\n")
    assert head == "there is no way back"
    assert sorted(lines) == sorted(f"  {line}" for line in expected)


def test_of_a_plan_of_many() -> None:
    """A mixture of experts: 24 layers of 64 experts, stacked and taken apart."""
    experts = [[given_of(f"{layer}.{at}", 16, 8) for at in range(64)] for layer in range(24)]
    targets = {str(at): o.stack([o.permute(one, (1, 0)) for one in held], 0) for at, held in enumerate(experts)}
    back = inverse(targets)
    assert len(back) == 24 * 64
    assert inverse(back) == targets
