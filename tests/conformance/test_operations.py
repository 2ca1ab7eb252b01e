"""The operations of plans, as the runner evaluates them."""

import re

import numpy as np
import pytest

from ptformat.conformance import suite
from ptformat.conformance.recipes.convert.operations import OPERATIONS, Array, Named, evaluate, named

RNG = np.random.default_rng(3)
ARRAY = RNG.integers(0, 1000, (2, 3, 4))
OTHER = RNG.integers(0, 1000, (2, 3, 4))


def as_named(array):
    return Array("int64", array.shape, tuple(map(str, array.reshape(-1).tolist())))


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        ("a", ARRAY),
        ({"op": "permute", "perm": [2, 0, 1], "of": "a"}, ARRAY.transpose(2, 0, 1)),
        ({"op": "reshape", "shape": [4, 6], "of": "a"}, ARRAY.reshape(4, 6)),
        ({"op": "part", "axis": 1, "start": 1, "stop": 3, "of": "a"}, ARRAY[:, 1:3]),
        ({"op": "part", "axis": 2, "start": 2, "stop": 2, "of": "a"}, ARRAY[:, :, 2:2]),
        ({"op": "index", "axis": 1, "at": 2, "of": "a"}, ARRAY[:, 2]),
        ({"op": "join", "axis": 1, "of": ["a", "b"]}, np.concatenate([ARRAY, OTHER], 1)),
        ({"op": "stack", "axis": 2, "of": ["a", "b", "a"]}, np.stack([ARRAY, OTHER, ARRAY], 2)),
        ({"op": "stack", "axis": 3, "of": ["a", "b"]}, np.stack([ARRAY, OTHER], 3)),
        ({"op": "flip", "axes": [0, 2], "of": "a"}, ARRAY[::-1, :, ::-1]),
    ],
)
def test_operations_do_what_numpy_does(made, expected):
    assert evaluate(made, {"a": as_named(ARRAY), "b": as_named(OTHER)}, Named()) == as_named(expected)


def test_operations_that_make_elements():
    tensors = {"a": named("a", "float32", (2, 2)), "b": named("b", "float32", (2, 2))}
    padded = evaluate({"op": "pad", "axis": 1, "before": 1, "after": 2, "value": 0, "of": "a"}, tensors, Named())
    rows = [("0.0", "a[0]", "a[1]", "0.0", "0.0"), ("0.0", "a[2]", "a[3]", "0.0", "0.0")]
    assert padded == Array("float32", (2, 5), rows[0] + rows[1])
    one = evaluate({"op": "sum", "of": ["a", "b"]}, tensors, Named())
    assert one == evaluate({"op": "sum", "of": ["b", "a"]}, tensors, Named())
    assert one.elements[3] == "a[3] + b[3]"
    filled = evaluate({"op": "fill", "shape": [], "dtype": "int64", "value": 7}, tensors, Named())
    assert filled == Array("int64", (), ("7.0",))


@pytest.mark.parametrize(
    ("made", "why"),
    [
        ({"op": "reshape", "shape": [5], "of": "a"}, r"reshape: \[2, 2\] as \[5\]"),
        ({"op": "part", "axis": 2, "start": 0, "stop": 1, "of": "a"}, r"part: axis 2 of \[2, 2\]"),
        ({"op": "part", "axis": 0, "start": 1, "stop": 3, "of": "a"}, r"part: 1 to 3 on axis 0 of \[2, 2\]"),
        ({"op": "index", "axis": 0, "at": 2, "of": "a"}, r"index: 2 on axis 0"),
        ({"op": "join", "axis": 0, "of": ["a", "c"]}, r"join: float32 \[2, 2\], float32 \[3\]"),
        ({"op": "join", "axis": 0, "of": []}, r"join: of is \[\]"),
        ({"op": "stack", "axis": 3, "of": ["a"]}, r"stack: axis 3"),
        ({"op": "sum", "of": ["a", "c"]}, "sum: "),
        ({"op": "flip", "axes": [0, 0], "of": "a"}, r"flip: axes \[0, 0\]"),
        ({"op": "pad", "axis": 0, "before": 2**30, "after": 0, "value": 0, "of": "a"}, "more elements than"),
        ({"op": "fill", "shape": [2**30, 2**30], "dtype": "float32", "value": 0}, "more elements than"),
        ({"op": "fill", "shape": [-1], "dtype": "float32", "value": 0}, r"fill: shape is \[-1\]"),
        ({"op": "fill", "shape": [1], "dtype": "float32", "value": float("nan")}, "fill: value is nan"),
        ({"op": "fill", "shape": [1], "dtype": "float32", "value": 10**400}, "fill: value is 1000"),
        ({"op": ["x"]}, "no operation is called"),
        (7, "7 is neither a path nor a map"),
    ],
)
def test_what_is_no_operation_is_told(made, why):
    tensors = {"a": named("a", "float32", (2, 2)), "c": named("c", "float32", (3,))}
    with pytest.raises(ValueError, match=why):
        evaluate(made, tensors, Named())


def test_operations_do_not_nest_without_end():
    made = "a"
    for _ in range(65):
        made = {"op": "flip", "axes": [], "of": made}
    with pytest.raises(ValueError, match="more than 64 operations in one another"):
        evaluate(made, {"a": named("a", "float32", ())}, Named())


def test_readme_defines_them_all():
    text = (suite.ROOT / "README.md").read_text("utf-8").partition("### Operations")[2]
    assert re.findall(r"^\| `(\w+)` \|", text.partition("## ")[0], re.MULTILINE) == ["op", *OPERATIONS]
