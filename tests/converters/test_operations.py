"""Operations: what fits, what vanishes, how exact, in words, and as JSON."""

import json
import math
import pickle
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trees import trees

from ptformat.converters import operations as o
from ptformat.converters.operations_json import MAX_NESTING, from_json, to_json
from ptformat.dtypes import TABLE

X = o.Given("x", (8, 4), "float32")
Y = o.Given("y", (8, 4), "float32")
Z = o.Given("z", (2, 3, 5), "float32")


def test_a_tree_is_a_fact() -> None:
    op = o.reshape(o.permute(o.part(X, 0, 0, 4), (1, 0)), (4, 2, 2))
    again = o.reshape(o.permute(o.part(o.Given("x", (8, 4), "float32"), 0, 0, 4), [1, 0]), [4, 2, 2])
    assert op == again
    assert hash(op) == hash(again)
    assert pickle.loads(pickle.dumps(op)) == op
    assert pickle.loads(pickle.dumps(op)).shape == (4, 2, 2)
    assert (op.shape, op.dtype, op.count, op.name) == ((4, 2, 2), "float32", 16, "reshape")
    assert [one.name for one in o.walked(op)] == ["given", "part", "permute", "reshape"]


def test_sources_come_once_and_in_order() -> None:
    kept = o.Given("x", (8, 4), "float32", kept=True)
    op = o.join([Y, o.permute(o.permute(X, (1, 0)), (1, 0)), o.flip(Y, (0,)), kept], 0)
    assert o.sources(op) == (Y, X, kept)
    assert o.sources(o.Fill((3,), "float32", 0)) == ()


VANISH: dict[str, tuple[o.Operation, o.Operation]] = {
    "permute": (o.permute(X, (0, 1)), X),
    "permute twice": (o.permute(o.permute(Z, (2, 0, 1)), (1, 2, 0)), Z),
    "two permutes": (o.permute(o.permute(Z, (2, 0, 1)), (2, 0, 1)), o.permute(Z, (1, 2, 0))),
    "reshape": (o.reshape(X, (8, 4)), X),
    "reshape twice": (o.reshape(o.reshape(X, (4, 8)), (8, 4)), X),
    "reshape, permute and back": (
        o.reshape(o.permute(o.permute(o.reshape(X, (2, 4, 4)), (2, 1, 0)), (2, 1, 0)), (8, 4)),
        X,
    ),
    "an axis of one element that comes and goes": (
        o.reshape(o.flip(o.permute(o.reshape(Z, (1, 2, 3, 5)), (3, 1, 0, 2)), (0,)), (5, 2, 3)),
        o.flip(o.permute(Z, (2, 0, 1)), (0,)),
    ),
    "it comes where another is": (
        o.reshape(o.permute(o.reshape(o.Given("x", (6, 1, 1), "float32"), (1, 6, 1, 1)), (2, 3, 0, 1)), (1, 1, 6)),
        o.permute(o.Given("x", (6, 1, 1), "float32"), (1, 2, 0)),
    ),
    "only axes of one element move": (o.reshape(o.permute(o.reshape(X, (8, 1, 4)), (1, 0, 2)), (8, 4)), X),
    "flip": (o.flip(o.flip(Z, (0, 2)), (2, 0)), Z),
    "two flips": (o.flip(o.flip(Z, (0, 2)), (1, 2)), o.flip(Z, (0, 1))),
    "flip of one element": (o.flip(o.part(X, 0, 2, 3), (0,)), o.part(X, 0, 2, 3)),
    "part": (o.part(X, 0, 0, 8), X),
    "two parts": (o.part(o.part(X, 0, 2, 7), 0, 1, 3), o.part(X, 0, 3, 5)),
    "parts joined": (o.join([o.part(X, 0, 0, 4), o.part(X, 0, 4, 8)], 0), X),
    "some of the parts": (o.join([o.part(X, 1, 1, 2), o.part(X, 1, 2, 4)], 1), o.part(X, 1, 1, 4)),
    "join of one": (o.join([X], 1), X),
    "join of joins": (o.join([o.join([X, Y], 0), X], 0), o.join([X, Y, X], 0)),
    "part of a join": (o.part(o.join([X, Y], 0), 0, 8, 16), Y),
    "part across a join": (o.part(o.join([X, Y, X], 0), 0, 4, 12), o.join([o.part(X, 0, 4, 8), o.part(Y, 0, 0, 4)], 0)),
    "index of a join": (o.index(o.join([X, Y], 0), 0, 9), o.index(Y, 0, 1)),
    "stack of all": (o.stack([o.index(Z, 1, at) for at in range(3)], 1), Z),
    "stack of some": (o.stack([o.index(Z, 1, at) for at in (1, 2)], 1), o.part(Z, 1, 1, 3)),
    "stack of one": (o.index(o.stack([X], 1), 1, 0), X),
    "index of a stack": (o.index(o.stack([X, Y], 2), 2, 1), Y),
    "part of a stack": (o.part(o.stack([X, Y, X], 0), 0, 1, 3), o.stack([Y, X], 0)),
    "index of a part": (o.index(o.part(X, 0, 3, 6), 0, 1), o.index(X, 0, 4)),
    "interleave": (o.interleave(o.deinterleave(X, 0, 4), 0, 4), X),
    "deinterleave": (o.deinterleave(o.interleave(X, 0, 2), 0, 2), X),
    "interleave of one": (o.interleave(o.interleave(X, 0, 1), 0, 8), X),
    "pad": (o.pad(X, 0, 0, 0, 7), X),
    "part of a pad": (o.part(o.pad(X, 0, 2, 3), 0, 2, 10), X),
    "repeat": (o.repeat(X, 0, 1, each=True), X),
    "sum of one": (o.add_up([X]), X),
    "scale": (o.scale(X, 1), X),
    "add": (o.add(X, 0), X),
    "cast": (o.cast(X, "float32"), X),
    "fill": (
        o.join([o.Fill((2, 4), "float32", 0), o.permute(o.Fill((4, 6), "float32", 0), (1, 0))], 0),
        o.Fill((8, 4), "float32", 0),
    ),
}


@pytest.mark.parametrize("name", VANISH)
def test_what_does_nothing_vanishes(name: str) -> None:
    found, expected = VANISH[name]
    assert found == expected
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)


def test_what_does_something_stays() -> None:
    for op in (
        o.join([o.part(X, 0, 4, 8), o.part(X, 0, 0, 4)], 0),
        o.join([o.part(X, 0, 0, 4), o.part(Y, 0, 4, 8)], 0),
        o.stack([o.index(X, 0, at) for at in reversed(range(8))], 0),
        o.interleave(o.interleave(X, 0, 2), 0, 2),
        o.deinterleave(o.interleave(X, 0, 2), 0, 4),
        o.scale(o.scale(X, 2), 0.5),  # may overflow between
        o.cast(o.cast(X, "float16"), "float32"),
        o.permute(o.Given("x", (1, 8), "float32"), (1, 0)),
    ):
        assert len(list(o.walked(op))) > 1


REFUSED: dict[str, tuple[Any, str]] = {
    "permute": (lambda: o.permute(X, (1, 1)), "permute: (1, 1) is no order of the axes of (8, 4)"),
    "permute rank": (lambda: o.permute(X, (0,)), "permute: (0,) is no order of the axes of (8, 4)"),
    "reshape": (lambda: o.reshape(X, (5, 6)), "reshape: (8, 4) has 32 elements, (5, 6) 30"),
    "negative": (lambda: o.reshape(X, (-4, -8)), "reshape: shape (-4, -8) is beyond what a file holds"),
    "part": (lambda: o.part(X, 0, 2, 9), "part: 2:9 on axis 0 of (8, 4)"),
    "part backwards": (lambda: o.part(X, 0, 3, 2), "part: 3:2 on axis 0 of (8, 4)"),
    "axis": (lambda: o.part(X, 2, 0, 1), "part: axis 2 of (8, 4)"),
    "negative axis": (lambda: o.index(X, -1, 0), "index: axis -1 of (8, 4)"),
    "index": (lambda: o.index(X, 1, 4), "index: 4 on axis 1 of (8, 4)"),
    "join of nothing": (lambda: o.join([], 0), "join: of nothing"),
    "join": (lambda: o.join([X, Z], 0), "join: (8, 4) and (2, 3, 5) on axis 0"),
    "join types": (lambda: o.join([X, o.cast(X, "float16")], 0), "join: float32 and float16"),
    "stack": (lambda: o.stack([X, o.part(X, 0, 0, 4)], 0), "stack: (8, 4) and (4, 4)"),
    "stack axis": (lambda: o.stack([X, X], 3), "stack: axis 3 among those of (8, 4)"),
    "flip": (lambda: o.flip(X, (0, 0)), "flip: axes (0, 0), one of them twice"),
    "sum": (lambda: o.add_up([X, o.permute(X, (1, 0))]), "sum: (8, 4) and (4, 8)"),
    "sum of integers": (lambda: o.add_up([o.Given("i", (3,), "int32")] * 2), "sum: of int32"),
    "scale": (lambda: o.scale(X, 0), "scale: factor 0.0"),
    "scale by nan": (lambda: o.scale(X, math.nan), "scale: factor nan"),
    "add": (lambda: o.add(X, math.inf), "add: addend inf"),
    "interleave": (lambda: o.interleave(X, 0, 3), "interleave: 3 parts on axis 0 of (8, 4)"),
    "deinterleave": (lambda: o.deinterleave(X, 0, 0), "deinterleave: 0 parts on axis 0 of (8, 4)"),
    "pad": (lambda: o.pad(X, 0, -1, 0), "pad: -1 before and 0 after, on axis 0 of (8, 4)"),
    "repeat": (lambda: o.repeat(X, 0, 0, each=True), "repeat: 0 times"),
    "cast": (lambda: o.cast(X, "float31"), "cast: no element type is called 'float31'"),
    "cast to complex": (lambda: o.cast(X, "complex64"), "cast: from float32 to complex64"),
    "fill": (lambda: o.Fill((3,), "uint8", 256), "fill: uint8 has no 256"),
    "fill with a fraction": (lambda: o.Fill((3,), "int8", 0.5), "fill: int8 has no 0.5"),
    "fill beyond": (lambda: o.Fill((3,), "float16", 1e5), "fill: float16 has no 100000.0"),
    "fill below": (lambda: o.Fill((3,), "float16", 1e-9), "fill: float16 has no 1e-09"),
    "fill without a zero": (lambda: o.Fill((3,), "float8_e8m0fnu", 0), "fill: float8_e8m0fnu has no 0"),
    "fill huge": (lambda: o.Fill((3,), "float64", 10**400), "fill: float64 has no 1000"),
    "large": (lambda: o.Fill((2**40, 2**40), "int8", 0), "fill: shape (1099511627776, 1099511627776) is beyond"),
    "arange": (lambda: o.Arange((300,), "uint8"), "arange: uint8 has no 299"),
    "arange of two axes": (lambda: o.Arange((3, 2), "int64"), "arange: shape (3, 2), expected one axis"),
    "fold": (
        lambda: o.fold(X, o.Given("u", (8,), "float32"), o.Given("v", (5,), "float32")),
        "fold: (8, 4) float32 on axis 0 with u (8,), v (5,); expected (8,), (4,)",
    ),
    "given": (lambda: o.Given("a.b", (1,) * 40, "float32"), "a.b: shape (1, 1"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_fit_is_refused(name: str) -> None:
    make, expected = REFUSED[name]
    with pytest.raises(ValueError) as caught:
        make()
    assert str(caught.value).startswith(expected)


def test_exactness_is_the_worst_of_the_tree() -> None:
    half = o.Given("h", (3,), "float16")
    u, v = o.Given("u", (8,), "float32"), o.Given("v", (4,), "float32")
    every = o.repeat(
        o.pad(o.flip(o.interleave(o.permute(o.stack([X, Y], 1), (2, 1, 0)), 2, 2), (0,)), 0, 1, 1), 1, 2, each=False
    )
    found = {
        "bit": [X, every, o.cast(half, "float32"), o.Fill((3,), "float32", 0), o.Arange((3,), "int64")],
        "function": [o.permute(o.add_up([X, Y]), (1, 0))],
        "rounded": [o.scale(X, 0.5), o.add(X, 1), o.fold(X, u, v), o.cast(X, "bfloat16"), o.add_up([o.scale(X, 2), Y])],
        "lossy": [o.cast(X, "int8"), o.cast(o.scale(X, 2), "bool"), o.cast(X, "float8_e8m0fnu")],
    }
    for expected, ops in found.items():
        assert [o.exactness(op) for op in ops] == [expected] * len(ops)


def test_casts_that_keep_every_value() -> None:
    """A table of types of at most 16 bits is tried out; these are known."""
    holds = {(a.name, b.name) for a in TABLE for b in TABLE if o.cast_exactness(a.name, b.name) == "bit"}
    for narrow, wide in (
        ("float16", "float32"), ("bfloat16", "float32"), ("float32", "float64"), ("int8", "int32"), ("bool", "uint8"),
        ("uint8", "int16"), ("float8_e5m2", "float16"), ("float8_e4m3fn", "bfloat16"), ("int8", "bfloat16"),
        ("float4_e2m1fn", "float8_e4m3fn"), ("uint32", "float64"), ("complex64", "complex128"),
    ):  # fmt: skip
        assert (narrow, wide) in holds
        assert (wide, narrow) not in holds
    for one, other in (("float16", "bfloat16"), ("int8", "uint8"), ("int64", "float64"), ("int16", "float16")):
        assert {(one, other), (other, one)}.isdisjoint(holds)
    assert o.cast_exactness("int64", "float64") == "rounded"
    assert o.cast_exactness("int64", "int32") == "lossy"


TEXTS: dict[str, tuple[o.Operation, tuple[str, ...] | None]] = {
    "": (X, None),
    "the target's own": (o.Given("x", (2,), "float32", kept=True), None),
    "(0, 1) → (1, 0)": (o.permute(X, (1, 0)), None),
    "(out, in) → (in, out)": (o.permute(X, (1, 0)), ("out", "in")),
    "rows 0:4, (0, 1) → (1, 0), as (4, 2, 2)": (o.reshape(o.permute(o.part(X, 0, 0, 4), (1, 0)), (4, 2, 2)), None),
    "out 0:4, (out, in) → (in, out)": (o.permute(o.part(X, 0, 0, 4), (1, 0)), ("out", "in")),
    "columns 1:3": (o.part(X, 1, 1, 3), None),
    "axis 2 0:4": (o.part(Z, 2, 0, 4), None),
    "number 1 on axis 0": (o.index(Z, 0, 1), None),
    "concatenate 2 on axis 0": (o.join([X, Y], 0), None),
    "each (0, 1) → (1, 0), stack 2 on axis 0": (o.stack([o.permute(X, (1, 0)), o.permute(Y, (1, 0))], 0), None),
    "[rows 0:2; as it is], concatenate 2 on axis 0": (o.join([o.part(X, 0, 0, 2), Y], 0), None),
    "stack 4 on axis 0": (o.stack([X, Y, X, o.flip(Y, (0,))], 0), None),
    "flip axes 0, 1": (o.flip(X, (0, 1)), None),
    "flip axis 1": (o.flip(X, (1,)), None),
    "sum of 2": (o.add_up([X, Y]), None),
    "× 0.125": (o.scale(X, 0.125), None),
    "+ 1": (o.add(X, 1), None),
    "− 1": (o.add(X, -1), None),
    "interleave 2 on axis 0": (o.interleave(X, 0, 2), None),
    "deinterleave 2 on axis 0": (o.deinterleave(X, 0, 2), None),
    "filled with 0": (o.Fill((3,), "int64", 0), None),
    "counted from 0 to 511": (o.Arange((512,), "int64"), None),
    "pad axis 0 with 0 + 6 of 0": (o.pad(X, 0, 0, 6), None),
    "repeat each of axis 0 2 times": (o.repeat(X, 0, 2, each=True), None),
    "repeat all of axis 0 2 times": (o.repeat(X, 0, 2, each=False), None),
    "cast to float16": (o.cast(X, "float16"), None),
}


@pytest.mark.parametrize("text", TEXTS)
def test_words(text: str) -> None:
    op, axes = TEXTS[text]
    assert o.described(op, axes) == text


def again(data: Any) -> o.Operation:
    held = {"x": X, "y": Y}
    return from_json(json.loads(json.dumps(data)), held.__getitem__, {"k": Y}.__getitem__)


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_json_there_and_back(data: st.DataObject) -> None:
    arrays: dict[str, Any] = {}
    op = data.draw(trees(arrays)).op
    given = {path: o.Given(path, array.shape, "uint16") for path, array in arrays.items()}
    assert from_json(json.loads(json.dumps(to_json(op))), given.__getitem__) == op


def test_json_of_the_others() -> None:
    kept = o.Given("k", (8, 4), "float32", kept=True)
    u, v = o.index(X, 1, 0), o.index(X, 0, 0)
    for op in (
        o.add_up([X, Y]), o.scale(X, 0.3), o.add(X, -1), o.cast(X, "int8"), o.fold(X, u, v),
        o.Arange((3,), "int64", 5, -1), o.Fill((2,), "float32", 0.1),
    ):  # fmt: skip
        assert again(to_json(op)) == op
    held = from_json(to_json(kept), {}.__getitem__, {"k": Y}.__getitem__)
    assert held == o.Given("y", (8, 4), "float32", kept=True)
    assert to_json(o.permute(X, (1, 0))) == {"op": "permute", "perm": [1, 0], "of": "x"}
    assert again({"op": "pad", "of": "x", "axis": 0, "before": 1, "after": 0}) == o.pad(X, 0, 1, 0, 0)


FAULTS: list[tuple[Any, str]] = [
    (1, "$: expected a path or a map, got 1"),
    ([], "$: expected a path or a map, got a list"),
    ("z", "$: the source has no tensor 'z'"),
    ({}, "$: no operation is called None; there are add, arange, cast"),
    ({"op": ["permute"]}, "$: no operation is called a list"),
    ({"op": "transpose", "of": "x"}, "$: no operation is called 'transpose'"),
    ({"op": "permute", "of": "x"}, "$: permute needs 'perm'"),
    ({"op": "permute", "of": "x", "perm": [1, 0], "why": 1}, "$: permute has no 'why'"),
    ({"op": "permute", "of": "x", "perm": [1, 1]}, "$: permute: (1, 1) is no order"),
    ({"op": "permute", "of": "x", "perm": [True, 0]}, "$.perm: expected a list of at most 32 integers, got a list"),
    ({"op": "reshape", "of": "x", "shape": [1] * 33}, "$.shape: expected a list of at most 32 integers"),
    ({"op": "stack", "of": ["x", {"op": "flip", "of": "z", "axes": [0]}], "axis": 0}, "$.of[1].of: the source has no"),
    ({"op": "stack", "of": "x", "axis": 0}, "$.of: expected a list of operations, got 'x'"),
    ({"op": "index", "of": "x", "axis": 0, "at": 1.0}, "$.at: expected an integer, got 1.0"),
    ({"op": "index", "of": "x", "axis": 10**30, "at": 1}, "$.axis: expected an integer, got an integer too large"),
    ({"op": "scale", "of": "x", "factor": math.inf}, "$.factor: expected a number, got inf"),
    ({"op": "scale", "of": "x", "factor": None}, "$.factor: expected a number, got None"),
    ({"op": "cast", "of": "x", "dtype": 3}, "$.dtype: expected a text, got 3"),
    ({"op": "repeat", "of": "x", "axis": 0, "times": 2, "each": 1}, "$.each: expected true or false, got 1"),
    ({"op": "fill", "shape": [2**60, 2**60], "dtype": "int8", "value": 0}, "$: fill: shape"),
    ({"op": "kept", "of": "q"}, "$: the template has no tensor 'q'"),
    ({"op": "kept"}, "$: kept takes a path as `of`, and nothing else"),
]


@pytest.mark.parametrize(("data", "expected"), FAULTS)
def test_json_that_is_no_operation(data: Any, expected: str) -> None:
    with pytest.raises(ValueError) as caught:
        from_json(data, {"x": X}.__getitem__, {"k": Y}.__getitem__)
    assert str(caught.value).startswith(expected)


def test_json_is_bounded() -> None:
    deep: Any = "x"
    for _ in range(MAX_NESTING - 1):
        deep = {"op": "scale", "factor": 2, "of": deep}
    assert len(list(o.walked(again(deep)))) == MAX_NESTING
    with pytest.raises(ValueError, match="more than 64 operations in one another"):
        again({"op": "scale", "factor": 2, "of": deep})
    with pytest.raises(ValueError, match="more than 65,536 operations"):
        again({"op": "join", "axis": 0, "of": ["x"] * 2**16})
    with pytest.raises(ValueError, match="'k' is kept, but there is no template"):
        from_json({"op": "kept", "of": "k"}, {}.__getitem__)


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["x", "float16", "q"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.fixed_dictionaries(
            {
                "op": st.sampled_from(
                    ["permute", "reshape", "join", "pad", "fill", "arange", "fold", "repeat", "interleave"]
                )
            },
            optional=dict.fromkeys(
                (
                    "of",
                    "perm",
                    "shape",
                    "axis",
                    "value",
                    "dtype",
                    "u",
                    "v",
                    "times",
                    "each",
                    "parts",
                    "start",
                ),
                inner,
            ),
        )
    ),
    max_leaves=12,
)


@given(JUNK)
@settings(max_examples=300, deadline=None)
def test_nothing_but_a_value_error(data: Any) -> None:
    try:
        assert isinstance(from_json(data, {"x": X}.__getitem__), o.Operation)
    except ValueError as error:
        assert str(error).startswith("$")
