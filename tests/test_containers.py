import collections
import copy
import math
import pickle
import tracemalloc

import jax
import numpy as np
import pytest

import ptformat
from ptformat import Alias, Node, Record, TensorInfo, Value, containers
from ptformat.containers import _labels, assemble, flatten
from ptformat.errors import FormatError
from ptformat.reader import Reader

Moments = collections.namedtuple("Moments", ["mu", "nu"])
ONE = np.array([1.5], np.float32)


def trip(tree, tmp_path, **options):
    ptformat.save_file(tree, tmp_path / "t.ptf", **options)
    return ptformat.load_tree(tmp_path / "t.ptf")


def same(a, b):
    """Equal in value, type and order; floats by bits."""
    if isinstance(a, np.ndarray):
        return isinstance(b, np.ndarray) and (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())
    if isinstance(a, dict):
        return (
            type(b) is dict
            and [(type(k), k) for k in a] == [(type(k), k) for k in b]
            and all(same(a[k], b[k]) for k in a)
        )
    if isinstance(a, tuple) and hasattr(a, "_fields"):
        return isinstance(b, Record) and a._fields == b._fields and all(map(same, a, b))
    if isinstance(a, (list, tuple)):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, float):
        return type(b) is float and (a == b or a != a) and math.copysign(1, a) == math.copysign(1, b)
    return type(a) is type(b) and a == b


TREES = {
    "root tensor": ONE,
    "root scalar tensor": np.array(3, np.int16),
    "root None": None,
    "root number": 7,
    "root text": "",
    "root bytes": b"\0\xff",
    "empty dict": {},
    "empty list": [],
    "empty tuple": (),
    "empties": {"a": {}, "b": [], "c": (), "d": {"e": {}}, "f": [[], {}, ()]},
    "list": [ONE, [ONE + 1, None], {"x": ONE + 2}],
    "tuple": (1, (2, (3,)), [4]),
    "twelve": list(range(12)),
    "namedtuple": {"state": Moments(ONE, [Moments(1, 2)])},
    "ints": [0, -1, 127, 128, 2**53, 2**63, 2**64 - 1, -(2**63), True, False],
    "floats": [0.0, -0.0, 1.0, math.inf, -math.inf, math.nan, 5e-324, 1.7976931348623157e308],
    "texts": ["", "a", "ä\n\0", "\U0001f9e0"],
    "bytes": [b"", bytes(300)],
    "one and 1.0": {"a": 1, "b": 1.0, "c": True},
    "int keys": {0: ONE, 1: {"a": ONE + 1}},
    "mixed keys": {0: 1, "0": 2, None: 3, "null": 4, b"0": 5, "1.5": 6, 1.5: 7, True: 8, "true": 9, -1: 10},
    "tuple keys": {("a", 0): 1, ("a", ("b", None)): 2, (): 3, "": 4},
    "control characters in keys": {1: 1, "a\nb": 2, "\0": 3, "\x7f": 4, ("\t",): 5, "%00": 6},
    "keys in keys": {0: {1: {2: ONE}}},
    "optimizer": {"state": {0: {"step": 1, "exp_avg": ONE}, 1: {"step": 2}}, "param_groups": [{"lr": 1e-3}]},
    "flat": {"0.weight": ONE, "0.bias": ONE + 1, "step": 3},
    "flat beneath": {"model": {"x.weight": ONE, "x.weight.absmax": ONE + 1}, "step": 3},
    "flat in list": [{"a.b": 1}, {"a.b": {"c.d": {"e.f": 2}}}],
    "flat in flat": {"a.b": {"c.d": ONE}, "a.c": {}, "a.d": []},
    "containers in flat": {"a.b": {"c": {"d": {"e": 1}}}, "a.l": [ONE, {"x": 1}], "a.k": {0: 1}, "a.n": Moments(1, 2)},
    "map beside flat key": {"a": {"b": 1}, "a.b": 2, "a.c": {"b": 3}},
    "wild keys": {"": 1, ".": 2, ".x": 3, "x.": 4, "a..c": 5, "a...c": 6, r"w.\e": 7, "\\": 8, r"a\.b": 9, "~2": 10},
    "wild plain keys": {"": {"": {"\\": 1}}, "\\e": 2, "é": 3, " ": 4, "e\u0301": 5},
    "interleaved": {"a": {"x": 1}, "b": 2, "c": {"y": 3}},
}


@pytest.mark.parametrize("codec", ["raw", "zstd"])
@pytest.mark.parametrize("name", TREES)
def test_what_was_saved_comes_back(name, codec, tmp_path):
    assert same(TREES[name], trip(TREES[name], tmp_path, codec=codec))
    first = (tmp_path / "t.ptf").read_bytes()
    assert ptformat.save(ptformat.load_tree(tmp_path / "t.ptf"), codec=codec) == first
    ptformat.verify(first)


@pytest.mark.parametrize(
    ("tree", "entries"),
    [
        ({"a.b": ONE, "a.c": {"x": 1}}, [("", "flat"), ("a.b", None), ("a.c", "map"), ("a.c.x", None)]),
        ([ONE, ()], [("", "list"), ("0", None), ("1", "tuple")]),
        ({"m": Moments(1, 2)}, [("m", "namedtuple"), ("m.mu", None), ("m.nu", None)]),
        ({"a": {"b": 1}}, [("a.b", None)]),
        ({1: 2, "1": 3, (1, b"\x0f"): 4}, [("", "keys"), ("1", None), ("1~2", None), ("1,0f", None)]),
        (
            {1: 2, "a\n\0\x7f": 3, "a%0A%00%7F": 4},
            [("", "keys"), ("1", None), ("a%0A%00%7F", None), ("a%0A%00%7F~2", None)],
        ),
        ({(): 1, ("\t", ""): 2}, [("", "keys"), (r"\e", None), ("%09,", None)]),
        ({None: 1, True: 2, 1.5: 3}, [("", "keys"), ("null", None), ("true", None), (r"1\.5", None)]),
        ({}, [("", "map")]),
        (5, [("", None)]),
    ],
)
def test_entries_of_a_tree(tree, entries):
    found = [entry for entry, _ in flatten(tree)]
    assert [(entry.path, getattr(entry, "form", None)) for entry in found] == entries


def test_load_file_gives_a_flat_mapping_back(tmp_path):
    path = tmp_path / "f.ptf"
    keys = ["x.weight", "x.weight.absmax", "", ".x", "a..c", "\\"]
    ptformat.save_file({key: np.full(1, i, np.int8) for i, key in enumerate(keys)}, path)
    assert {key: int(array[0]) for key, array in ptformat.load_file(path).items()} == {
        key: i for i, key in enumerate(keys)
    }


def test_load_file_gives_paths_where_the_root_is_not_flat(tmp_path):
    path = tmp_path / "f.ptf"
    ptformat.save_file({"m": {"x.w": 1, "x.w.a": 2}}, path)
    assert ptformat.load_file(path) == {"m.x.w": 1, r"m.x.w\.a": 2}
    ptformat.save_file([{"x.w": 1, "x.w.a": 2}], path)
    assert ptformat.load_file(path) == {"0.x.w": 1, r"0.x.w\.a": 2}
    ptformat.save_file({"x.w": 1, "x.w.a": {"b": 2}}, path)
    assert ptformat.load_file(path) == {"x.w": 1, r"x.w\.a.b": 2}
    ptformat.save_file(ONE, path)
    assert ptformat.load_file(path)[""].tolist() == [1.5]


def test_a_record_is_a_tuple_with_names(tmp_path):
    found = trip({"m": Moments(ONE, 2)}, tmp_path)["m"]
    assert isinstance(found, tuple)
    assert (found._fields, found._class) == (("mu", "nu"), f"{__name__}.Moments")
    assert (found.nu, found[1]) == (2, 2)
    assert found.mu is found[0]
    assert repr(found) == f"Moments(mu={found.mu!r}, nu=2)"
    with pytest.raises(AttributeError, match="no field 'x', there are mu, nu"):
        _ = found.x
    for again in (copy.copy(found), pickle.loads(pickle.dumps(found))):
        assert isinstance(again, Record)
        assert type(again) is type(found)
        assert (again._fields, again._class, again.nu) == (found._fields, found._class, 2)


class Odd:
    pass


def nested(depth):
    tree = {}
    for _ in range(depth):
        tree = {"a": tree}
    return tree


CYCLE: list = []
CYCLE.append({"again": CYCLE})


@pytest.mark.parametrize(
    ("tree", "code", "message"),
    [
        ({"a": {"b": Odd()}}, "TYPE", "'a.b'"),
        (Odd(), "TYPE", "'the root': a"),
        ({"a": {1, 2}}, "TYPE", "a builtins.set is no tensor, value or container"),
        ({"a": bytearray(1)}, "TYPE", "builtins.bytearray"),
        ({"a": 1j}, "TYPE", "builtins.complex"),
        ({"a": np.ma.MaskedArray([1, 2], [True, False])}, "TYPE", "a: a masked array; save its data and its mask"),
        ({frozenset(): 1}, "TYPE", "'the root': key frozenset() of type frozenset"),
        ({"m": {(1, Odd): 1}}, "TYPE", "'m': key"),
        (CYCLE, "TYPE", "a container that contains itself"),
        ({"a": 2**64}, "LIMIT", "integer 18446744073709551616 does not fit"),
        ({"a": "\ud800"}, "TYPE", "lone surrogate"),
        ({"a": {"\ud800": 1}}, "PATH", "lone surrogate"),
        ({"a\nb": 1}, "PATH", "control character U+000A"),
        ({"a" * 1025: 1}, "PATH", "has 1025 bytes, at most 1024"),
        (nested(129), "PATH", "has more than 128 segments"),
        (nested(5000), "PATH", "has more than 128 segments"),
    ],
)
def test_what_the_format_cannot_hold(tree, code, message, tmp_path):
    path = tmp_path / "x.ptf"
    with pytest.raises(FormatError) as caught:
        ptformat.save_file(tree, path)
    assert (caught.value.code, message in caught.value.message) == (code, True), caught.value
    assert list(tmp_path.iterdir()) == []


def test_the_deepest_tree(tmp_path):
    assert same(nested(128), trip(nested(128), tmp_path))


def test_a_numpy_scalar_is_a_tensor_without_axes(tmp_path):
    back = trip({"a": np.float64(1.5), "b": np.int8(3), "c": np.bool_(True), "d": 1.5}, tmp_path)
    assert [back[key].shape for key in "abc"] == [(), (), ()]
    assert [back[key].dtype for key in "abc"] == [np.float64, np.int8, np.bool_]
    assert type(back["d"]) is float


def test_one_container_at_two_places_is_two(tmp_path):
    shared = {"x": ONE}
    back = trip({"a": shared, "b": [shared, shared]}, tmp_path)
    assert back["a"] is not back["b"][0]
    assert back["a"]["x"] is back["b"][0]["x"] is back["b"][1]["x"]  # the array is tied


def test_ties_are_by_identity_never_by_bytes(tmp_path):
    path = tmp_path / "t.ptf"
    equal = ONE.copy()
    ptformat.save_file(
        {"a": ONE, "b": {"c": ONE}, "d": equal, "e": ONE[:], "f": np.float32(1), "g": np.float32(1)}, path
    )
    with ptformat.open(path) as file:
        assert {name: alias.target for name, alias in file.aliases.items()} == {"b.c": "a"}
        assert file.index.columns["stored"].tolist() == [4, 4, 4, 4, 4]
    back = ptformat.load_tree(path)
    assert back["a"] is back["b"]["c"]
    back["a"][0] = 9
    assert (back["b"]["c"][0], back["d"][0], back["e"][0]) == (9, 1.5, 1.5)
    flat = ptformat.load_file(path)
    assert flat["a"] is flat["b.c"]
    assert flat["a"] is not flat["d"]


def test_records_under_jax_tree():
    record = Record(["count", "mu"], [ONE, {"a": ONE + 1}], "optax.ScaleByAdamState")
    doubled = jax.tree.map(lambda leaf: leaf * 2, record)
    assert isinstance(doubled, Record)
    assert (doubled._fields, doubled._class) == (("count", "mu"), "optax.ScaleByAdamState")
    assert doubled.count.tolist() == [3]
    assert doubled.mu["a"].tolist() == [5]
    assert jax.tree.structure(record) == jax.tree.structure(Record(["count", "mu"], [1, {"a": 2}], record._class))
    assert jax.tree.structure(record) != jax.tree.structure(Record(["count", "mu"], [1, {"a": 2}], None))
    assert [jax.tree_util.keystr(at) for at, _ in jax.tree_util.tree_leaves_with_path(record)] == [
        ".count",
        ".mu['a']",
    ]
    empty = Record([], [], "optax.EmptyState")
    assert jax.tree.map(str, [empty]) == [empty]
    assert jax.tree.map(str, [empty])[0]._class == "optax.EmptyState"


def test_a_record_does_what_namedtuples_do():
    record = Record(["index", "nu", "_x", "__len__"], [1, 2, 3, 4])
    assert (record.index, record.nu, len(record)) == (1, 2, 4)
    assert record._asdict() == {"index": 1, "nu": 2, "_x": 3, "__len__": 4}
    assert record._replace(nu=5) == (1, 5, 3, 4)
    assert type(record._replace(nu=5)) is type(record)
    with pytest.raises(ValueError, match=r"no fields \['mu'\], there are index, nu"):
        record._replace(mu=1)
    with pytest.raises(TypeError, match="1 items, expected index, nu"):
        type(record)(1)
    with pytest.raises(ValueError, match="1 items for 2 fields"):
        Record(["a", "b"], [1])


@pytest.mark.parametrize("number", [2**64, -(2**63) - 1, 2**127])
def test_integers_that_no_file_can_hold(number, tmp_path):
    with pytest.raises(FormatError, match=rf"'rng\.state\.inc': integer {number} does not fit .*`str\(n\)`") as caught:
        trip({"rng": {"state": {"inc": number}}}, tmp_path)
    assert (caught.value.code, caught.value.path) == ("LIMIT", "rng.state.inc")
    assert list(tmp_path.iterdir()) == []


def test_prefixes_of_flat_keys_are_not_kept():
    """All prefixes of these keys together are some 60 times as long as they are."""
    keys = [".".join(f"{'s' * 7}{number:03}" for _ in range(90)) + f".{number}" for number in range(400)]
    tree = {**{key: len(key) for key in keys}, "m": {"a": 3}}
    index = Reader(ptformat.save(tree)).index
    tracemalloc.start()
    try:
        made = assemble(index, len)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert made == tree
    assert peak < 2**20  # with them 20 MB


def test_labels_of_many_keys_of_one_text():
    """Each NaN is a key of its own, and finds its label without trying those of all before it."""
    count = 200_000
    labels = _labels([*(float("nan") for _ in range(count)), "nan~7", "nan", "nan"])
    assert labels[:3] == ["nan", "nan~2", "nan~3"]
    assert labels[count - 1 :] == [f"nan~{count}", "nan~7~2", f"nan~{count + 1}", f"nan~{count + 2}"]


class Holder:
    """An object that an adapter knows."""

    def __init__(self, held):
        self.held = held


def test_an_adapter_gives_containers_ties_and_bare_shapes_for_its_objects():
    def as_array(leaf, path):
        return leaf.held if isinstance(leaf, Holder) else containers.numpy_array(leaf, path)

    weight = np.zeros((2, 3), np.float32)
    tree = {
        "a": Holder({"w": weight, "n": Holder([1, Holder(None)])}),
        "b": Holder(Alias("b", "a.w")),
        "c": Holder(TensorInfo("c", "int8", (4,))),
        "d": Holder(weight),
    }
    tree["a"].held["n"].held[1].held = (2,)
    found = list(flatten(tree, as_array))
    assert found[0] == (TensorInfo("a.w", "float32", (2, 3)), weight) and found[0][1] is weight
    assert found[1:] == [
        (Node("a.n", "list"), None),
        (Value("a.n.0", 1), None),
        (Node("a.n.1", "tuple"), None),
        (Value("a.n.1.0", 2), None),
        (Alias("b", "a.w"), None),
        (TensorInfo("c", "int8", (4,)), None),
        (TensorInfo("d", "float32", (2, 3)), weight),  # another object holds it: that is no tie
    ]


def test_containers_of_entries():
    """`build` needs no file: parts carry facts alone, plain maps need no node, the inner ones are asked about first."""
    entries = [
        Node("f", "flat"),
        Node("f.0", "part", module="linear"),
        Value("f.0.weight", 1),
        Node("f.l", "list", class_="L"),
        Value("f.l.0", 2),
        Value("p.q.r", 3),
        Value(r"p.\e.s", 4),
        Node("f.l.1", "tuple", class_="T"),
        Value("p.q.t", 5),
        Value("u", 6),
        Value("p.v", 7),
        Value(r"p.\e.x\\y", 8),
    ]
    values = {entry.path: entry.value for entry in entries if isinstance(entry, Value)}
    asked = []

    def made(node, whole):
        asked.append((node.path, whole))
        return {"class": node.class_, "held": whole} if node.class_ else whole

    tuple_ = {"class": "T", "held": ()}
    list_ = {"class": "L", "held": [2, tuple_]}
    expected = {
        "f": {"0.weight": 1, "l": list_},
        "p": {"q": {"r": 3, "t": 5}, "": {"s": 4, "x\\y": 8}, "v": 7},
        "u": 6,
    }
    assert containers.build(entries, values.__getitem__, made) == expected
    assert asked == [("f.l.1", ()), ("f.l", [2, tuple_]), ("f", expected["f"])]
    assert containers.build([Value("", 1)], {"": 1}.__getitem__) == 1
    assert containers.build([Node("", "tuple"), Value("0", 1)], {"0": 1}.__getitem__) == (1,)
