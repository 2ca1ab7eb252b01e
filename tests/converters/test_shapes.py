"""Lists of shapes in JSON: what is accepted, what is refused and how, and any tree there and back."""

import json
from collections import namedtuple
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
import torch
from checks import raised
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st
from nets import deck

import ptformat
from ptformat import Alias, FormatError, Node, TensorInfo, Value
from ptformat.columns import Header
from ptformat.containers import flatten
from ptformat.converters import plan, shapes
from ptformat.converters.described import DescribedSource
from ptformat.converters.objects import source_of

FLAT = Node("", "flat")


def entries(document: Any) -> list[Any]:
    return list(shapes.parse(json.dumps(document)).entries)


def there_and_back(held: Any) -> Any:
    found = shapes.parse(json.dumps(shapes.to_json(held)), "x")
    assert list(found.entries) == list(held.entries)
    assert (found.header.convention, found.header.dialect) == (held.header.convention, held.header.dialect)
    return found


# What is accepted


def test_names_and_shapes() -> None:
    assert entries({"0.weight": [8, 4], "0.bias": [8], "scale": []}) == [
        FLAT,
        TensorInfo("0.weight", "float32", (8, 4)),
        TensorInfo("0.bias", "float32", (8,)),
        TensorInfo("scale", "float32", ()),
    ]


@pytest.mark.parametrize(
    ("said", "dtype"),
    [("int8", "int8"), ("torch.bfloat16", "bfloat16"), ("F8_E4M3", "float8_e4m3fn"), ("F4", "float4_e2m1fn")],
)
def test_element_types_by_each_of_their_names(said: str, dtype: str) -> None:
    assert entries({"w": {"shape": [2, 6], "dtype": said}}) == [TensorInfo("w", dtype, (2, 6))]


def test_nested_maps() -> None:
    nested = {
        "params": {"layers_0": {"kernel": [4, 8], "bias": {"shape": [8], "dtype": "float16"}}, "shape": {"w": [1]}}
    }
    assert entries(nested) == [
        TensorInfo("params.layers_0.kernel", "float32", (4, 8)),
        TensorInfo("params.layers_0.bias", "float16", (8,)),
        TensorInfo("params.shape.w", "float32", (1,)),
    ]


def test_a_list_with_a_header() -> None:
    listed = [
        {"path": "params.embed.embedding", "shape": [50, 6], "dtype": "bfloat16", "axes": ["num", "features"]},
        {"path": "params.head.kernel", "alias": "params.embed.embedding", "perm": [1, 0]},
    ]
    found = shapes.parse(json.dumps({"convention": "linen", "dialect": "d", "tensors": listed}), "x.json")
    assert found.header == Header(convention="flax.linen", dialect="d")
    assert (found.name, found.kind) == ("x.json", "shapes")
    assert list(found.entries) == [
        FLAT,
        TensorInfo("params.embed.embedding", "bfloat16", (50, 6), ("num", "features")),
        Alias("params.head.kernel", "params.embed.embedding", (1, 0), ("features", "num")),
    ]


def test_a_tie_may_stand_before_its_target() -> None:
    assert entries({"a.w": {"alias": "b.w"}, "b.w": [2], "c.w": {"alias": "b.w"}}) == [
        FLAT,
        TensorInfo("b.w", "float32", (2,)),
        Alias("c.w", "b.w"),
        Alias("a.w", "b.w"),
    ]


def test_keys_that_hold_dots_are_split_as_those_of_a_state_dict() -> None:
    expected = [FLAT, TensorInfo("x.weight", "float32", (1,)), TensorInfo(r"x.weight\.absmax", "uint8", (2,))]
    for key in ("x.weight.absmax", r"x.weight\.absmax"):
        assert entries({"x.weight": [1], key: {"shape": [2], "dtype": "uint8"}}) == expected
    tied = entries({"x.weight": [1], "x.weight.absmax": [2], "y.w": {"alias": "x.weight.absmax"}})
    assert tied[-1] == Alias("y.w", r"x.weight\.absmax")


def test_the_header_of_a_safetensors_file() -> None:
    header = {
        "__metadata__": {"format": "pt"},
        "fc.weight": {"dtype": "BF16", "shape": [3, 5], "data_offsets": [0, 30]},
    }
    found = shapes.parse(json.dumps(header))
    assert found.header.convention == "torch"
    assert list(found.entries) == [FLAT, TensorInfo("fc.weight", "bfloat16", (3, 5))]


def test_a_tensor_called_tensors_or_shape() -> None:
    assert entries({"tensors": [3]}) == [TensorInfo("tensors", "float32", (3,))]
    assert entries({"tensors": {"shape": [3]}}) == [TensorInfo("tensors", "float32", (3,))]
    assert entries({"a.shape": [3]}) == [FLAT, TensorInfo("a.shape", "float32", (3,))]
    assert entries({"form": {"form": [3]}}) == [TensorInfo("form.form", "float32", (3,))]


def test_files(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"w": [3, 2]}')
    found = shapes.read(tmp_path / "a.json")
    assert found.name == str(tmp_path / "a.json")
    assert list(found.entries) == [TensorInfo("w", "float32", (3, 2))]
    error = raised("TYPE", lambda: found.array("w"))
    assert error.message.startswith(f"source {found.name!r} has shapes only: 'w' has no elements")
    raised("TYPE", lambda: found.pieces("w"))
    with pytest.raises(FileNotFoundError):
        shapes.read(tmp_path / "b.json")


def test_a_plan_of_shapes_alone() -> None:
    template = shapes.source({"params": {"fc": {"kernel": [4, 8], "bias": [8]}}})
    made = plan(shapes.source({"fc.weight": [8, 4], "fc.bias": [8]}), to="linen", template=template)
    assert "params/fc/kernel" in made.text()
    assert "(out, in) → (in, out)" in made.text()


@pytest.mark.parametrize(
    ("metadata", "convention"), [({"format": "pt"}, "torch"), ({"format": "np"}, None), ([1], None)]
)
def test_what_the_header_of_a_safetensors_file_says_of_names(metadata: Any, convention: str | None) -> None:
    header = {"__metadata__": metadata, "w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}
    found = shapes.source(header)
    assert (found.header.convention, found.entries) == (convention, [TensorInfo("w", "float32", (2,))])


# What is refused

BAD = {
    "no json": ("[1", "MALFORMED", "x is no JSON: Expecting"),
    "no utf-8": (b"\xff", "MALFORMED", "x is no JSON: 'utf-8' codec"),
    "digits": ('{"a":[' + "9" * 5000 + "]}", "MALFORMED", "x is no JSON: Exceeds the limit"),
    "twice": ('{"a":[1],"b":[1],"b":[2]}', "DUPLICATE", "x: key 'b' stands twice in one map"),
    "twice listed": ('[{"path":"a","shape":[]},{"path":"a","shape":[]}]', "DUPLICATE", "x: path 'a' stands twice"),
    "twice escaped": (r'{"x":[1],"x.a":[1],"x\\.a":[1]}', "DUPLICATE", "x: 'the root': 'x.a' stands twice"),
    "number": ("3", "SCHEMA", "x: a number, expected a map or a list of shapes"),
    "list of numbers": ("[3]", "SCHEMA", "x: item 0 is 3, expected a map with a path"),
    "item without path": ('[{"shape":[1]}]', "SCHEMA", "x: item 0 is {'shape': [1]}, expected a map with a path"),
    "number for a shape": ('{"a":3}', "SCHEMA", "x: 'a' is 3, expected a shape or a map"),
    "null": ('{"a":{"b":null}}', "SCHEMA", "x: 'a.b' is None, expected a shape or a map"),
    "neither": ('[{"path":"a","dtype":"int8"}]', "SCHEMA", "x: 'a': neither shape nor alias in {'dtype': 'int8'}"),
    "unknown key": ('{"a":{"shape":[1],"typ":"x"}}', "SCHEMA", "x: 'a': 'typ' beside 'shape', expected attrs, axes"),
    "beside tensors": ('{"tensors":{"a":[1]},"b":1}', "SCHEMA", "x: 'b' beside 'tensors', expected convention"),
    "convention": ('{"tensors":{"a":[1]},"convention":1}', "SCHEMA", "x: convention is 1, expected a name"),
    "negative": ('{"a":[2,-1]}', "SHAPE", "x: 'a': shape [2, -1], expected a list of integers of at least 0"),
    "float": ('{"a":[2.0]}', "SHAPE", "x: 'a': shape [2.0], expected a list of integers"),
    "bool": ('{"a":[true]}', "SHAPE", "x: 'a': shape [True], expected a list of integers"),
    "large": ('{"a":[9007199254740992]}', "SHAPE", "x: 'a': shape [9007199254740992], expected a list"),
    "large product": ('{"a":[9007199254740991,2]}', "SHAPE", "x: tensor 'a': (9007199254740991, 2) exceeds"),
    "rank": ('{"a":[' + ",".join("1" * 33) + "]}", "SHAPE", "x: 'a': rank 33, at most 32"),
    "type": ('{"a":{"shape":[1],"dtype":"f32"}}', "DTYPE", "x: 'a': no element type is called 'f32'; there are bool"),
    "type of type": ('{"a":{"shape":[1],"dtype":4}}', "DTYPE", "x: 'a': no element type is called 4; there are bool"),
    "no target": ('{"a":{"alias":"b"}}', "ALIAS", "x: alias 'a': its target 'b' is no tensor that stands before it"),
    "itself": ('{"a":{"alias":"a"}}', "ALIAS", "x: alias 'a': its target 'a' is no tensor"),
    "alias of a number": ('{"":{"form":"map"},"a":{"alias":3}}', "ALIAS", "x: 'a': alias 3, expected a path"),
    "perm": (
        '{"a":[2],"b":{"alias":"a","perm":[1]}}',
        "ALIAS",
        "x: alias 'b': perm (1,) is no permutation of the 1 axes",
    ),
    "perm text": ('{"a":[2],"b":{"alias":"a","perm":"0"}}', "ALIAS", "x: 'b': perm '0', expected a list of axes"),
    "axes": ('{"a":{"shape":[1],"axes":["a","b"]}}', "SCHEMA", "x: axes of tensor 'a' (entry 0): 2 names for rank 1"),
    "axes text": ('{"a":{"shape":[1],"axes":"o"}}', "SCHEMA", "x: 'a': axes 'o', expected a list of names"),
    "role": ('{"a":{"shape":[1],"role":3}}', "SCHEMA", "x: role of tensor 'a' (entry 0): 3, expected a string"),
    "form": ('{"a":{"form":"x"}}', "SCHEMA", "x: 'a': form 'x', expected one of map, list"),
    "keys": ('{"a":{"form":"keys","keys":3}}', "SCHEMA", "x: 'a': keys 3, expected a list"),
    "value": ('{"":{"form":"map"},"a":{"value":[1]}}', "SCHEMA", "x: 'a': value [1], expected none or one thing"),
    "list": ('{"a":{"form":"list"},"a.1":[1]}', "TREE", "x: node 'a' (entry 0) is a list with children ['1']"),
    "leaf above": ('{"":{"form":"map"},"a":[1],"a.b":[1]}', "TREE", "x: tensor 'a' (entry 0) has entries beneath it"),
    "hex": ('{"":{"form":"map"},"a":{"value":{"bytes":"x"}}}', "SCHEMA", "x: 'x', expected bytes in hex"),
    "control": (r'{"a\u0001":[1]}', "PATH", r"x: path 'a\x01': control character U+0001"),
    "surrogate": (r'{"\ud800":[1]}', "PATH", r"x: path '\ud800' holds a lone surrogate"),
    "escape": (r'{"a\\x":[1]}', "PATH", r"x: path 'a\\x': bad escape"),
    "deep": ('{"a":' * 200 + "[1]" + "}" * 200, "PATH", "x: nested deeper than 128 names"),
    "too deep": ("[" * 100_000, "LIMIT", "x: nested too deeply"),
    "weight_map": ('{"metadata":{},"weight_map":{"a":"b"}}', "FORMAT", "x: weight_map says which file holds a tensor"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_refused(name: str) -> None:
    text, code, message = BAD[name]
    error = raised(code, lambda: shapes.parse(text, "x"))
    assert error.message.startswith(message)


def test_sizes_are_bounded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps({f"w{i}": [1] for i in range(9)}))
    monkeypatch.setattr("ptformat.converters.shape_entries.MAX_ENTRIES", 8)
    assert raised("LIMIT", lambda: shapes.read(tmp_path / "a.json")).message.endswith("more than 8 tensors")
    monkeypatch.setattr(shapes, "MAX_BYTES", 60)
    assert raised("LIMIT", lambda: shapes.read(tmp_path / "a.json")).message.endswith("more than 60 bytes")


@settings(max_examples=300, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(
                st.text("ab.\\e\n", max_size=4)
                | st.sampled_from(
                    ["shape", "dtype", "alias", "perm", "axes", "tensors", "form", "keys", "value", "path", "class"]
                ),
                inner | st.sampled_from(["map", "flat", "part", "list", "float32", [1, 2], [0], "a"]),
                max_size=4,
            )
        ),
        max_leaves=12,
    )
)
def test_whatever_comes_is_a_tree_or_one_error(document: Any) -> None:
    try:
        found = shapes.parse(json.dumps(document))
    except FormatError:
        return
    there_and_back(found)


# Any source there and back


def test_a_torch_module() -> None:
    found = there_and_back(source_of(deck.shared_net()))
    listed = shapes.to_json(found)
    assert listed["convention"] == "torch"
    assert listed["tensors"]["2.weight"] == {
        "shape": [8, 8],
        "dtype": "float32",
        "axes": ["out", "in"],
        "role": "parameter",
        "trainable": True,
    }
    assert listed["tensors"]["4.weight"]["alias"] == "2.weight"
    assert listed["tensors"]["0"] == {"form": "part", "module": "linear", "class": "torch.nn.modules.linear.Linear"}


def test_a_transposed_tie() -> None:
    weight = torch.zeros(5, 3)
    found = there_and_back(source_of({"embed.weight": weight, "head.weight": weight.T}))
    assert shapes.to_json(found)["tensors"]["head.weight"] == {"alias": "embed.weight", "perm": [1, 0]}


def test_linen_variables_and_nnx_modules() -> None:
    there_and_back(source_of({"params": {"a": {"kernel": jnp.ones((2, 3))}}, "batch_stats": {"m": jnp.ones(3)}}))
    rngs = nnx.Rngs(0)
    found = there_and_back(
        source_of(nnx.Sequential(nnx.Linear(2, 3, rngs=rngs), nnx.relu, nnx.Dropout(0.5, rngs=rngs)))
    )
    assert shapes.to_json(found)["tensors"]["layers"] == {"form": "keys", "keys": [0, 2], "class": "flax.nnx.List"}


Point = namedtuple("Point", "x y")


def test_every_form_and_value() -> None:
    tree = {
        "a.b": np.zeros((2, 3), np.int8),
        "list": [np.zeros(1), {"in": np.zeros(2)}, None],
        "tuple": (np.zeros((), np.float16), (), {}),
        "point": Point(1, 2.5),
        "keys": {0: np.zeros(1), (1, b"\xff"): True, "": "text", b"k": b"\0\xfe"},
        "": np.zeros((0, 4)),
    }
    items = list(flatten(tree))
    items.append((Node("attrs", attrs={"eps": 1e-5, "names": ["a", None, [b"x"]]}), None))
    there_and_back(DescribedSource(items, Header(convention="torch", dialect="d")))
    for alone in (np.zeros((2, 3)), 3, b"\1", {}, [], {"": np.zeros(1), "a": 1}):
        there_and_back(DescribedSource(flatten(alone)))


def test_files_there_and_back(tmp_path: Path) -> None:
    ptformat.save_file({"a": [np.zeros((3, 2), np.int16), 7]}, tmp_path / "a.ptf", convention="own")
    (tmp_path / "a.json").write_text(json.dumps(shapes.to_json(source_of(tmp_path / "a.ptf"))))
    found = shapes.read(tmp_path / "a.json")
    assert found.header.convention == "own"
    assert list(found.entries) == [Node("a", "list"), TensorInfo("a.0", "int16", (3, 2)), Value("a.1", 7)]
