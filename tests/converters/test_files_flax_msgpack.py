"""The msgpack file of flax.serialization: against flax, both ways, and malformed in every way."""

import collections
import math
import struct
from pathlib import Path
from typing import Any

import flax.serialization
import jax
import jax.numpy as jnp
import msgpack
import numpy as np
import pytest
from flax import nnx
from flax.core import freeze
from sources import bits, read, rewrite, same

import ptformat
from ptformat.converters import content
from ptformat.converters.content import MemorySource, Saving, whole
from ptformat.converters.files import flax_msgpack, open_source, write
from ptformat.converters.files.flax_msgpack import FlaxMsgpackSource
from ptformat.dtypes import TABLE
from ptformat.errors import MAX_LINE
from ptformat.tree import Node, TensorInfo, Value

SHAPES = [(3, 5), (), (0, 4), (1,), (7, 3, 2), (1, 64), (16, 16, 65)]
NUMPY = ["bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]
NUMPY += ["float16", "float32", "float64", "complex64", "complex128"]
ALL = [row.name for row in TABLE if row.bits >= 8]


def named(name: str) -> dict[str, Any]:
    return {"params": {f"t{number}": bits(name, shape) for number, shape in enumerate(SHAPES)}}


def restored(path: Path) -> Any:
    return flax.serialization.msgpack_restore(path.read_bytes())


@pytest.mark.parametrize("name", ALL)
def test_read_what_flax_wrote(name: str, tmp_path: Path) -> None:
    tree = named(name)
    (tmp_path / "x.msgpack").write_bytes(flax.serialization.msgpack_serialize(tree))
    found = read(tmp_path / "x.msgpack")
    assert {path: same(array, tree["params"][path[7:]]) for path, array in found.items()} == {
        f"params.{key}": True for key in tree["params"]
    }


@pytest.mark.parametrize("name", ALL)
def test_byte_for_byte_what_flax_writes(name: str, tmp_path: Path) -> None:
    tree = named(name)
    ptformat.save_file(tree, tmp_path / "x.ptf")
    rewrite(tmp_path / "x.ptf", tmp_path / "x.msgpack")
    assert (tmp_path / "x.msgpack").read_bytes() == flax.serialization.msgpack_serialize(tree)


@pytest.mark.parametrize("name", [*NUMPY, "bfloat16"])
def test_flax_restores_what_we_wrote(name: str, tmp_path: Path) -> None:
    tree = named(name)
    ptformat.save_file(tree, tmp_path / "x.ptf")
    rewrite(tmp_path / "x.ptf", tmp_path / "x.msgpack")
    found = restored(tmp_path / "x.msgpack")
    assert jax.tree.structure(found) == jax.tree.structure(tree)
    assert jax.tree.all(jax.tree.map(same, found, tree))


def test_from_bytes_into_variables(tmp_path: Path) -> None:
    variables = {"params": {"a": {"kernel": jnp.arange(6.0).reshape(2, 3), "bias": jnp.ones(3, jnp.bfloat16)}}}
    ptformat.save_file(jax.tree.map(np.asarray, variables), tmp_path / "x.ptf")
    rewrite(tmp_path / "x.ptf", tmp_path / "x.msgpack")
    empty = jax.tree.map(jnp.zeros_like, variables)
    for target in (empty, freeze(empty)):
        found = flax.serialization.from_bytes(target, (tmp_path / "x.msgpack").read_bytes())
        assert type(found) is type(target)
        assert all(same(*pair) for pair in zip(jax.tree.leaves(found), jax.tree.leaves(variables), strict=True))


def test_to_bytes_of_lists_tuples_frozen_dicts_and_values(tmp_path: Path) -> None:
    tree = {
        "list": [np.arange(3), np.arange(2.0)],
        "tuple": (np.float32(1.5), 7),
        "frozen": freeze({"a": jnp.ones(2)}),
        "none": None,
        "empty": {},
        "true": True,
        "negative": -70_000,
        "large": 2**53 - 1,
        "float": 0.1,
        "text": "ü" * 40,
    }
    data = flax.serialization.to_bytes(tree)
    (tmp_path / "x.msgpack").write_bytes(data)
    entries = {entry.path: entry for entry in open_source(tmp_path / "x.msgpack").entries}
    assert {path: entry.value for path, entry in entries.items() if isinstance(entry, Value)} == {
        "none": None,
        "true": True,
        "negative": -70_000,
        "large": 2**53 - 1,
        "float": 0.1,
        "text": "ü" * 40,
        "tuple.1": 7,
    }
    assert {path for path, entry in entries.items() if isinstance(entry, TensorInfo)} == {
        *("list.0", "list.1", "tuple.0", "frozen.a")
    }
    assert entries["empty"] == Node("empty", "map")
    assert entries["tuple.0"] == TensorInfo("tuple.0", "float32", ())
    rewrite(tmp_path / "x.msgpack", tmp_path / "y.ptf")
    rewrite(tmp_path / "y.ptf", tmp_path / "y.msgpack")
    found = restored(tmp_path / "y.msgpack")
    assert list(found) == list(tree)
    # Only the NumPy scalar changed: it is an array of no axes now.
    expected = flax.serialization.to_bytes({**tree, "tuple": (np.array(1.5, np.float32), 7)})
    assert (tmp_path / "y.msgpack").read_bytes() == expected


def test_lists_that_msgpack_holds_itself(tmp_path: Path) -> None:
    data = flax.serialization.msgpack_serialize({"a": [np.arange(3), None, [np.ones(2)]], "b": []})
    (tmp_path / "x.msgpack").write_bytes(data)
    opened = open_source(tmp_path / "x.msgpack")
    forms = {entry.path: entry.form for entry in opened.entries if isinstance(entry, Node)}
    assert forms == {"a": "list", "a.2": "list", "b": "list"}
    assert same(opened.array("a.0"), np.arange(3))
    assert same(opened.array("a.2.0"), np.ones(2))
    rewrite(tmp_path / "x.msgpack", tmp_path / "y.ptf")
    tree = ptformat.load_tree(tmp_path / "y.ptf")
    assert isinstance(tree["a"], list)
    assert tree["b"] == []


def there_and_back(data: bytes, folder: Path) -> bytes:
    """Through a .ptf file and back."""
    (folder / "x.msgpack").write_bytes(data)
    rewrite(folder / "x.msgpack", folder / "y.ptf")
    rewrite(folder / "y.ptf", folder / "y.msgpack")
    return (folder / "y.msgpack").read_bytes()


class Deep(nnx.Module):
    """Lists of layers: their places are integer keys in a pure dict."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        self.layers = nnx.List([nnx.Linear(3, 3, rngs=rngs) for _ in range(11)])
        self.norm = nnx.BatchNorm(3, rngs=rngs)


def test_the_pure_dict_of_an_nnx_state(tmp_path: Path) -> None:
    model = Deep(nnx.Rngs(0))
    state = nnx.state(model)
    pure = nnx.to_pure_dict(state)
    assert list(pure["layers"]) == list(range(11))
    data = flax.serialization.msgpack_serialize(jax.tree.map(np.asarray, pure))
    assert there_and_back(data, tmp_path) == data
    opened = open_source(tmp_path / "x.msgpack")
    assert [entry for entry in opened.entries if isinstance(entry, Node)] == [
        Node("layers", "keys", keys=tuple(range(11)))
    ]
    assert same(opened.array("layers.10.kernel"), np.asarray(model.layers[10].kernel[...]))
    tree = ptformat.load_tree(tmp_path / "y.ptf")
    assert list(tree["layers"]) == list(range(11))
    other = Deep(nnx.Rngs(1))
    back = nnx.state(other)
    nnx.replace_by_pure_dict(back, restored(tmp_path / "y.msgpack"))
    nnx.update(other, back)
    x = jnp.linspace(-1, 1, 6).reshape(2, 3)
    for left, right in zip(model.layers, other.layers, strict=True):
        assert same(left(x), right(x))


def test_keys_of_every_scalar_type(tmp_path: Path) -> None:
    one = part("uint8")
    tree = {
        "mixed": {"1": one, 1: one, 2.5: one, None: 3, b"1": {False: one}, "a.b": {"0": one, "1": {}}},
        "far": {-(2**63): one, 2**64 - 1: one, -1: {0: {1: {}}}},
        "order": {10: one, 9: one, 2: one},
        "flat.keys": {3: {"x.y": {"z": one}}},
    }
    data = msgpack.packb(tree)  # flax would have jax sort the keys
    assert there_and_back(data, tmp_path) == data
    assert list(restored(tmp_path / "y.msgpack")["mixed"]) == ["1", 1, 2.5, None, b"1", "a.b"]
    keys = {entry.path: entry.keys for entry in open_source(tmp_path / "x.msgpack").entries if isinstance(entry, Node)}
    assert keys["mixed"] == ("1", 1, 2.5, None, b"1", "a.b")
    assert [type(key) for key in keys["mixed"] or ()] == [str, int, float, type(None), bytes, str]
    assert keys["order"] == (10, 9, 2)


def test_keys_of_integers_at_the_root(tmp_path: Path) -> None:
    data = flax.serialization.msgpack_serialize({0: {"w": np.ones(2)}, 1: {"w": np.zeros(2)}})
    assert there_and_back(data, tmp_path) == data


def test_containers_within_a_flat_map(tmp_path: Path) -> None:
    data = flax.serialization.msgpack_serialize({"a.b": {"c": np.ones(2), "d": {}}, "a.e": {"f.g": {"h": 1}}})
    assert there_and_back(data, tmp_path) == data


def test_keys_with_dots_and_wild_keys(tmp_path: Path) -> None:
    tree = {
        "params": {"x.weight": np.ones(2), "x.weight.absmax": np.ones(1), "..": np.zeros(1), "": np.zeros(3)},
        "slash/slash": {"back\\slash": np.ones(1)},
        "0": {"10": np.ones(1), "9": np.ones(2)},
    }
    data = flax.serialization.msgpack_serialize(tree)
    (tmp_path / "x.msgpack").write_bytes(data)
    rewrite(tmp_path / "x.msgpack", tmp_path / "y.ptf")
    rewrite(tmp_path / "y.ptf", tmp_path / "y.msgpack")
    assert (tmp_path / "y.msgpack").read_bytes() == data


@pytest.mark.parametrize("count", [1, 2**8 - 1, 2**8, 2**16 - 1, 2**16, 2**16 + 40])
def test_every_width_of_the_length_fields(count: int, tmp_path: Path) -> None:
    # In the order of the keys, as flax writes them.
    tree = {f"k{extra:02}": bits("uint8", (count - extra,)) for extra in range(min(count, 40))}
    ptformat.save_file(tree, tmp_path / "x.ptf")
    rewrite(tmp_path / "x.ptf", tmp_path / "x.msgpack")
    assert (tmp_path / "x.msgpack").read_bytes() == flax.serialization.msgpack_serialize(tree)
    assert all(same(array, tree[path]) for path, array in read(tmp_path / "x.msgpack").items())


@pytest.mark.parametrize("chunk", [1, 7, 16, 100])
@pytest.mark.parametrize("name", ["uint8", "float32", "bfloat16", "complex128"])
def test_arrays_in_chunks_both_ways(name: str, chunk: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flax.serialization, "MAX_CHUNK_SIZE", chunk)
    monkeypatch.setattr(flax_msgpack, "CHUNK_BYTES", chunk)
    tree = {"params": {"e": bits(name, (0, 2)), "s": bits(name, ()), "w": bits(name, (5, 3))}}
    data = flax.serialization.msgpack_serialize(jax.tree.map(np.copy, tree))
    (tmp_path / "theirs.msgpack").write_bytes(data)
    found = read(tmp_path / "theirs.msgpack")
    assert {path: same(array, tree["params"][path[7:]]) for path, array in found.items()} == {
        "params.w": True,
        "params.s": True,
        "params.e": True,
    }
    ptformat.save_file(tree, tmp_path / "x.ptf")
    rewrite(tmp_path / "x.ptf", tmp_path / "ours.msgpack")
    assert (tmp_path / "ours.msgpack").read_bytes() == data


def test_an_array_in_chunks_is_written_from_small_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flax.serialization, "MAX_CHUNK_SIZE", 1000)
    monkeypatch.setattr(flax_msgpack, "CHUNK_BYTES", 1000)
    array = bits("float32", (63, 17))
    with ptformat.Writer(tmp_path / "x.ptf", chunk=64 * 7) as out:
        out.tensor("w", array)
    rewrite(tmp_path / "x.ptf", tmp_path / "x.msgpack")
    assert (tmp_path / "x.msgpack").read_bytes() == flax.serialization.msgpack_serialize({"w": array.copy()})


def test_the_real_chunk_size() -> None:
    assert flax_msgpack.CHUNK_BYTES == flax.serialization.MAX_CHUNK_SIZE == 2**30


def test_ties_are_spelled_out(tmp_path: Path) -> None:
    array = bits("float32", (2, 3))
    with ptformat.Writer(tmp_path / "x.ptf") as out:
        out.tensor("a", array)
        out.alias("b", "a")
        out.alias("c", "a", perm=(1, 0))
    rewrite(tmp_path / "x.ptf", tmp_path / "x.msgpack")
    found = restored(tmp_path / "x.msgpack")
    assert same(found["a"], array)
    assert same(found["b"], array)
    assert same(found["c"], array.T)


def test_what_the_file_cannot_hold(tmp_path: Path) -> None:
    for tree, code, path in (({"a": bits("int4", (3,))}, "DTYPE", "a"), ({"m": {(1, 2): np.ones(2)}}, "TYPE", "m")):
        ptformat.save_file(tree, tmp_path / "x.ptf")
        with pytest.raises(ptformat.FormatError) as caught:
            rewrite(tmp_path / "x.ptf", tmp_path / "x.msgpack")
        assert (caught.value.code, caught.value.path) == (code, path)
        assert [file.name for file in tmp_path.iterdir()] == ["x.ptf"]


def packed(value: Any) -> bytes:
    return msgpack.packb(value, strict_types=True)


def ext(code: int, *fields: Any, data: bytes | None = None) -> bytes:
    return msgpack.packb({"a": msgpack.ExtType(code, packed(list(fields)) if data is None else data)})


def chunked(shape: Any, chunks: Any) -> bytes:
    parts = chunks
    if isinstance(chunks, list):
        arrays = [msgpack.ExtType(1, packed([[len(part)], "uint8", part])) for part in chunks]
        parts = {str(number): part for number, part in enumerate(arrays)}
    return msgpack.packb({"a": {"__msgpack_chunked_array__": True, "shape": shape, "chunks": parts}})


def part(name: str) -> msgpack.ExtType:
    return msgpack.ExtType(1, packed([[2], name, b"ab"]))


def nested_ext(depth: int) -> bytes:
    inner = packed([])
    for _ in range(depth):
        body = b"\x93" + inner
        inner = b"\xc9" + struct.pack(">I", len(body)) + b"\x01" + body
    return b"\x81\xa1a" + inner


FAULTS: dict[str, tuple[bytes, str]] = {
    "bytes-behind": (packed({"a": 1}) + b"\0", "MALFORMED"),
    "second-map": (packed({"a": 1}) * 2, "MALFORMED"),
    "key-ext": (b"\x81" + packed(msgpack.ExtType(1, packed([[1], "uint8", b"a"]))) + b"\x01", "TYPE"),
    "key-int-twice": (b"\x82\x01\x01\x01\x02", "DUPLICATE"),
    "key-int-and-float": (b"\x82\x01\x01" + packed(1.0) + b"\x02", "DUPLICATE"),
    "key-int-and-true": (b"\x82\x01\x01\xc3\x02", "DUPLICATE"),
    "key-map": (b"\x81\x80\x01", "TYPE"),
    "key-array-below": (b"\x81\xa1a\x81\x90\x01", "TYPE"),
    "key-twice": (b"\x82\xa1a\x01\xa1a\x02", "DUPLICATE"),
    "key-no-utf8": (b"\x81\xa1\xff\x01", "MALFORMED"),
    "key-control": (ext(1, [0], "uint8", b"").replace(b"\xa1a", b"\xa1\n", 1), "PATH"),
    "byte-c1": (b"\x81\xa1a\xc1", "MALFORMED"),
    "complex": (flax.serialization.msgpack_serialize({"a": 1 + 2j}), "TYPE"),
    "timestamp": (msgpack.packb({"a": msgpack.Timestamp(1, 2)}), "TYPE"),
    "ext-unknown": (ext(7, 1), "TYPE"),
    "ext-empty": (ext(1, data=b""), "MALFORMED"),
    "ext-no-array": (ext(1, data=packed({"a": 1})), "MALFORMED"),
    "ext-two-fields": (ext(1, [2], "uint8"), "MALFORMED"),
    "ext-four-fields": (ext(1, [2], "uint8", b"ab", 0), "MALFORMED"),
    "ext-shape-number": (ext(1, 2, "uint8", b"ab"), "MALFORMED"),
    "ext-shape-negative": (ext(1, [-1, -2], "uint8", b"ab"), "MALFORMED"),
    "ext-shape-float": (ext(1, [2.0], "uint8", b"ab"), "MALFORMED"),
    "ext-shape-bool": (ext(1, [True, 2], "uint8", b"ab"), "MALFORMED"),
    "ext-dtype-unknown": (ext(1, [2], "object", b"ab"), "DTYPE"),
    "ext-dtype-sub-byte": (ext(1, [2], "int4", b"ab"), "DTYPE"),
    "ext-dtype-text": (ext(1, [2], "<U1", b"ab"), "DTYPE"),
    "ext-dtype-list": (ext(1, [2], ["uint8"], b"ab"), "DTYPE"),
    "ext-dtype-map": (ext(1, [2], {}, b"ab"), "DTYPE"),
    "ext-data-number": (ext(1, [2], "uint8", 5), "MALFORMED"),
    "ext-data-short": (ext(1, [3], "uint8", b"ab"), "EXTENT"),
    "ext-data-long": (ext(1, [1], "uint8", b"ab"), "EXTENT"),
    "ext-data-beyond-ext": (b"\x81\xa1a\xd6\x01\x93\x90\xa0\xc4\x7f" + bytes(127), "DTYPE"),
    "ext-room-left": (b"\x81\xa1a\xc7\x0d\x01\x93\x91\x01\xa5uint8\xc4\x01\x07\x00", "EXTENT"),
    "ext-longer-than-file": (b"\x81\xa1a\xc7\xff\x01\x93", "TRUNCATED"),
    "ext-in-ext": (nested_ext(5000), "MALFORMED"),
    "ext-dtype-no-utf8": (ext(1, data=b"\x93\x90\xa1\xff\xc4\x01a"), "MALFORMED"),
    "ext-shape-of-ext": (ext(1, [msgpack.ExtType(1, b"a")], "uint8", b"a"), "MALFORMED"),
    "ext-shape-of-text": (ext(1, ["1"], "uint8", b"a"), "MALFORMED"),
    "ext-shape-none": (ext(1, None, "uint8", b"a"), "MALFORMED"),
    "ext-rank-huge": (ext(1, [2**62] * 200_000, "uint8", b""), "SHAPE"),
    "value-control": (packed({"a\n": 1}), "PATH"),
    "node-control": (packed({"a": {"\x7f": {}}}), "PATH"),
    "keys-control": (b"\x81\xa1\n\x81\x01\x02", "PATH"),
    "value-too-long": (packed({"a" * 1025: 1}), "PATH"),
    "node-too-long": (packed({"a" * 600: {"b" * 600: {"c": {}}}}), "PATH"),
    "key-of-dots": (packed({"a." * 10**5 + "a": 1, "a": 1}), "PATH"),
    "items": (b"\x81\xa1a\xdd" + struct.pack(">I", 2**21) + bytes(2**21), "LIMIT"),
    "rank-too-large": (ext(1, [1] * 33, "uint8", b"a"), "SHAPE"),
    "empty-but-huge": (ext(1, [2**62, 2**62, 0], "uint8", b""), "SHAPE"),
    "deep-maps": (b"\x81\xa1a" * 5000 + b"\xc0", "LIMIT"),
    "deep-lists": (b"\x81\xa1a" + b"\x91" * 5000 + b"\xc0", "LIMIT"),
    "huge-map": (b"\xdf\xff\xff\xff\xff", "TRUNCATED"),
    "huge-list": (b"\x81\xa1a\xdd\xff\xff\xff\xff", "TRUNCATED"),
    "huge-bytes": (b"\x81\xa1a\xc6\xff\xff\xff\xff", "TRUNCATED"),
    "chunked-no-shape": (packed({"a": {"__msgpack_chunked_array__": True, "chunks": {}}}), "MALFORMED"),
    "chunked-no-chunks": (packed({"a": {"__msgpack_chunked_array__": True, "shape": {}}}), "MALFORMED"),
    "chunked-nothing": (chunked({"0": 2}, []), "MALFORMED"),
    "chunked-shape-list": (chunked([2], [b"ab"]), "MALFORMED"),
    "chunked-shape-gap": (chunked({"0": 2, "2": 1}, [b"ab"]), "MALFORMED"),
    "chunked-shape-negative": (chunked({"0": -1, "1": -2}, [b"ab"]), "MALFORMED"),
    "chunked-shape-float": (chunked({"0": 2.0}, [b"ab"]), "MALFORMED"),
    "chunked-shape-text": (chunked({"0": "a"}, [b"ab"]), "MALFORMED"),
    "chunked-shape-number-and-text": (chunked({"0": 10**9, "1": "ab"}, [b"ab"]), "MALFORMED"),
    "chunked-shape-none": (chunked(None, [b"ab"]), "MALFORMED"),
    "chunked-shape-bool": (chunked({"0": True}, [b"a"]), "MALFORMED"),
    "chunked-rank": (chunked({str(n): 2**62 for n in range(10**5)}, [b"ab"]), "SHAPE"),
    "chunked-chunks-list": (chunked({"0": 2}, ([b"ab"],)), "MALFORMED"),
    "chunked-part-number": (chunked({"0": 2}, {"0": 1}), "MALFORMED"),
    "chunked-part-none": (chunked({"0": 2}, {"0": None}), "MALFORMED"),
    "chunked-short": (chunked({"0": 5}, [b"ab", b"cd"]), "EXTENT"),
    "chunked-long": (chunked({"0": 3}, [b"ab", b"cd"]), "EXTENT"),
    "chunked-two-types": (chunked({"0": 4}, {"0": part("uint8"), "1": part("int8")}), "EXTENT"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_malformed(name: str, tmp_path: Path) -> None:
    data, code = FAULTS[name]
    (tmp_path / "x").write_bytes(data)
    with pytest.raises(ptformat.FormatError) as caught:
        open_source(tmp_path / "x")
    assert (caught.value.code, len(caught.value.message) <= MAX_LINE) == (code, True)


def test_names_of_types_as_bytes(tmp_path: Path) -> None:
    """As files of old have them, and a text where the elements are."""
    (tmp_path / "x").write_bytes(ext(1, data=b"\x93\x91\x02\xc4\x05uint8\xa2ab"))
    assert read(tmp_path / "x")["a"].tolist() == [97, 98]


def test_entries_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x").write_bytes(packed({"a": [0] * 7}))
    monkeypatch.setattr(content, "MAX_ENTRIES", 8)
    assert len(open_source(tmp_path / "x").entries) == 8
    monkeypatch.setattr(content, "MAX_ENTRIES", 7)
    with pytest.raises(ptformat.FormatError, match="more than 7 entries") as caught:
        open_source(tmp_path / "x")
    assert caught.value.code == "LIMIT"


def test_a_million_keys_of_one_text(tmp_path: Path) -> None:
    """Each NaN is a key of its own."""
    count = 100_000
    (tmp_path / "x").write_bytes(b"\x81\xa1a\xdf" + struct.pack(">I", count) + (packed(math.nan) + b"\1") * count)
    assert open_source(tmp_path / "x").entries[-1].path == f"a.nan~{count}"


def small() -> bytes:
    tree = {"params": {"w": np.arange(6.0).reshape(2, 3), "s": np.float32(2), "n": None, "x": 0.5, "t": "text"}}
    return bytes(flax.serialization.msgpack_serialize(tree))


def test_cut_at_every_length(tmp_path: Path) -> None:
    data = small()
    for length in range(1, len(data)):
        (tmp_path / "cut").write_bytes(data[:length])
        with pytest.raises(ptformat.FormatError) as caught:
            open_source(tmp_path / "cut")
        assert caught.value.code in ("TRUNCATED", "MALFORMED"), length


def test_a_source_in_memory_is_written(tmp_path: Path) -> None:
    array = bits("float32", (4, 3)).T  # not contiguous
    held = MemorySource([(Node("params", "map"), None), (TensorInfo("params.w", "float32", (3, 4)), array)])
    write(whole(held), tmp_path / "x.msgpack", Saving(durable=False))
    assert (tmp_path / "x.msgpack").read_bytes() == flax.serialization.msgpack_serialize({"params": {"w": array}})


def test_closing_lets_go_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "x.msgpack").write_bytes(small())
    opened = FlaxMsgpackSource(tmp_path / "x.msgpack")
    array = opened.array("params.w")
    opened.close()
    assert array.tolist() == [[0, 1, 2], [3, 4, 5]]


def test_sequences_become_maps(tmp_path: Path) -> None:
    """As flax's own state dicts have them: by number, a namedtuple by its fields."""
    point = collections.namedtuple("point", "x y")
    one = np.arange(2.0)
    ptformat.save_file({"l": [one, [], 3], "t": (one,), "p": point(one, None)}, tmp_path / "x.ptf")
    rewrite(tmp_path / "x.ptf", tmp_path / "x.msgpack")
    found = restored(tmp_path / "x.msgpack")
    assert [*found] == ["l", "t", "p"]
    assert (found["l"]["1"], found["l"]["2"], found["p"]["y"]) == ({}, 3, None)
    assert all(same(found[key][first], one) for key, first in (("l", "0"), ("t", "0"), ("p", "x")))
