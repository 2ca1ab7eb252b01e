import craft
import numpy as np
import pytest
from craft import ABSENT, column, sparse

import ptformat
from ptformat import columns, index, limits
from ptformat.errors import FormatError

DATA = craft.sample()
MAP = craft.index_map(DATA)


def changed(**changes):
    return craft.edit(DATA, **changes)


# Changes to the index of `craft.sample()` -> (code, what the message says), in the order of the spec's checks.
FAULTS = [
    ({"requires": ABSENT}, "SCHEMA", "'requires' must be an array of strings"),
    ({"requires": {}}, "SCHEMA", "'requires' must be an array of strings"),
    ({"requires": [1]}, "SCHEMA", "'requires' must be an array of strings"),
    ({"requires": ["b", "a"]}, "SCHEMA", "'requires' ['b', 'a'] is not in strictly ascending order"),
    ({"requires": ["a", "a"]}, "SCHEMA", "not in strictly ascending order"),
    ({"requires": ["boxes", "parts"]}, "FEATURE", "the file requires 'boxes', 'parts': not known"),
    ({"requires": ["\x1b[2J"]}, "FEATURE", r"the file requires '\x1b[2J': not known"),
    ({"requires": [f"{i:03}" for i in range(999)]}, "FEATURE", "'006', '007', …: not known"),
    *(({name: ABSENT}, "SCHEMA", f"key '{name}' is missing") for name in index.REQUIRED if name != "requires"),
    *(({name: None}, "SCHEMA", f"'{name}' is a NoneType") for name in index.REQUIRED if name != "requires"),
    *(({name: 1}, "SCHEMA", f"'{name}' is a int") for name in index.OPTIONAL),
    ({"chunk": True}, "SCHEMA", "'chunk' is a bool, expected int"),
    ({"path": b"a"}, "SCHEMA", "'path' is a bytes, expected str"),
    ({"convention": ""}, "NONCANONICAL", "'convention' is empty"),
    ({"dialect": ""}, "NONCANONICAL", "'dialect' is empty"),
    ({"metadata": {}}, "NONCANONICAL", "'metadata' is empty"),
    ({"provenance": {}}, "NONCANONICAL", "'provenance' is empty"),
    ({"metadata": {"a": bytes(2**20)}}, "LIMIT", "metadata takes more than 1048576 bytes"),
    ({"dims": bytes(23)}, "SCHEMA", "column 'dims' has 23 bytes, no multiple of 8"),
    ({"stored": bytes(7)}, "SCHEMA", "column 'stored' has 7 bytes, no multiple of 4"),
    ({"type": bytes([0, 0, 1, 2, 3, 4])}, "SCHEMA", "entry type 4, known are 0 to 3"),
    ({"path": "a\nb\nc\nv\nl"}, "SCHEMA", "column 'path' has 5 items, the entry types ask for 6"),
    ({"value": [1]}, "SCHEMA", "column 'value' has 1 items, the entry types ask for 2"),
    ({"dtype": b"\1"}, "SCHEMA", "column 'dtype' has 1 items, the entry types ask for 2"),
    ({"rank": b"\1\1\1"}, "SCHEMA", "column 'rank' has 3 items"),
    ({"alias": b""}, "SCHEMA", "column 'alias' has 0 items"),
    ({"form": b"\1\1"}, "SCHEMA", "column 'form' has 2 items"),
    ({"dims": column("u8", 2, 3)}, "SCHEMA", "column 'dims' has 2 items"),
    ({"form": b"\7"}, "SCHEMA", "node form 7, known are 0 to 6"),
    ({"value": [1, [2]]}, "SCHEMA", "a value is an array or a map"),
    ({"value": [1, {}]}, "SCHEMA", "a value is an array or a map"),
    *(({"chunk": size}, "CHUNK", f"chunk size {size}, expected a positive") for size in (0, -64, 63, 100)),
    *(({"chunk": size}, "LIMIT", f"chunk size {size}, at most 67108864") for size in (2**26 + 64, 2**63)),
    ({"dtype": b"\x0f\x1c"}, "DTYPE", "tensor 'b': type code 28 is not known"),
    ({"rank": b"\2\41", "dims": column("u8", 2, 3, *[1] * 33)}, "SHAPE", "tensor 'b': rank 33, at most 32"),
    ({"dims": column("u8", 2, 3, 2**53)}, "SHAPE", "tensor 'b': a dimension in (9007199254740992,) exceeds"),
    ({"dims": column("u8", 2**64 - 1, 3, 5)}, "SHAPE", "tensor 'a': a dimension in (18446744073709551615, 3)"),
    ({"dims": column("u8", 2**53 - 1, 2, 5)}, "SHAPE", "tensor 'a': (9007199254740991, 2) of 32 bits each exceeds"),
    ({"dims": column("u8", 2**31, 2**31, 5)}, "SHAPE", "tensor 'a': (2147483648, 2147483648) of 32 bits"),
    ({"rank": b"\x20\1", "dims": column("u8", *[2**53 - 1] * 32, 5)}, "SHAPE", "tensor 'a'"),  # beyond float64
    ({"dims": column("u8", 2**50, 1, 2**53 - 1)}, "LIMIT", "the tensors declare 13510798882111488 bytes together"),
    ({"codec": b"\0"}, "CHUNK", "column 'codec' has 1 items, shapes ask for 2 chunks"),
    ({"stored": column("u4", 24)}, "CHUNK", "column 'stored' has 1 items, shapes ask for 2 chunks"),
    ({"sum": column("u8", 1, 2, 3)}, "CHUNK", "column 'sum' has 3 items, shapes ask for 2 chunks"),
    ({"chunk": 64, "dims": column("u8", 2, 9, 5)}, "CHUNK", "shapes ask for 3 chunks"),
    ({"dims": column("u8", 2**50, 1, 5)}, "CHUNK", "shapes ask for 1073741825 chunks"),
    ({"codec": b"\0\3"}, "CODEC", "tensor 'b', chunk 0: codec 3 is not known"),
    ({"codec": b"\0\2"}, "CODEC", "tensor 'b', chunk 0: codec planes on elements without several bytes"),
    ({"stored": column("u4", 23, 5)}, "CHUNK", "tensor 'a', chunk 0: 23 stored bytes, expected exactly 24"),
    ({"codec": b"\0\1"}, "CHUNK", "tensor 'b', chunk 0: 5 stored bytes, expected 1 to 4"),
    ({"codec": b"\0\1", "stored": column("u4", 24, 0)}, "CHUNK", "0 stored bytes, expected 1 to 4"),
    ({"dims": column("u8", 2, 3, 200_000), "codec": b"\0\1"}, "LIMIT", "'b', chunk 0: 5 stored bytes declare 200000"),
    ({"dims": column("u8", 2, 3, 4), "stored": column("u4", 24, 4)}, "EXTENT", "end at byte 132, the index begins"),
    ({"dims": column("u8", 0, 3, 5), "stored": column("u4", 5), "sum": column("u8", 1), "codec": b"\0"}, None, ""),
    ({"path": "a\n\nc\nv\nl\nl.0"}, "TREE", "tensor '' (entry 1) has entries beneath it, such as 'a'"),
    ({"path": "a\n.\nc\nv\nl\nl.0"}, "PATH", "path '.': empty segment"),
    ({"path": "a\nb\tb\nc\nv\nl\nl.0"}, "PATH", "control character U+0009"),
    ({"path": "a\na\nc\nv\nl\nl.0"}, "DUPLICATE", "path 'a' stands twice"),
    ({"role": []}, "SCHEMA", "sparse column 'role' is not [rows bin, picks bin, table array]"),
    ({"role": [b"", b"", {}]}, "SCHEMA", "sparse column 'role' is not"),
    ({"role": [b"", b"", []]}, "SCHEMA", "sparse column 'role': rows of 0 bytes, picks of 0"),
    ({"role": [bytes(3), bytes(3), ["x"]]}, "SCHEMA", "rows of 3 bytes, picks of 3"),
    ({"role": [bytes(4), bytes(8), ["x"]]}, "SCHEMA", "rows of 4 bytes, picks of 8"),
    ({"role": sparse([1, 0], [0, 0], ["x"])}, "SCHEMA", "rows do not ascend within the 6 entries"),
    ({"role": sparse([1, 1], [0, 0], ["x"])}, "SCHEMA", "rows do not ascend"),
    ({"role": sparse([6], [0], ["x"])}, "SCHEMA", "rows do not ascend within the 6 entries"),
    *(
        ({name: sparse([3], [0], ["x"])}, "SCHEMA", f"sparse column '{name}' belongs to {' and '.join(kinds)} entries")
        for name, kinds in (
            ("attrs", ("tensor", "node")),
            ("axes", ("tensor", "alias")),
            ("class_", ("tensor", "node")),
            ("keys", ("node",)),
            ("module", ("node",)),
            ("perm", ("alias",)),
            ("role", ("tensor", "alias")),
            ("trainable", ("tensor", "alias")),
        )
        if name != "class_"
    ),
    ({"class_": sparse([2], [0], ["x"])}, "SCHEMA", "sparse column 'class' belongs to tensor and node entries only"),
    ({"role": sparse([0, 1], [1, 0], ["x", "y"])}, "NONCANONICAL", "table not in order of first use"),
    ({"role": sparse([0, 1], [0, 2], ["x", "y", "z"])}, "NONCANONICAL", "table not in order of first use"),
    ({"role": sparse([0], [0], ["x", "y"])}, "NONCANONICAL", "table not in order of first use, or not all used"),
    ({"role": sparse([0], [0], [])}, "NONCANONICAL", "or not all used"),
    ({"role": sparse([0, 1], [0, 1], ["x", "x"])}, "NONCANONICAL", "a table value stands twice"),
]


@pytest.mark.parametrize(("changes", "code", "message"), FAULTS, ids=[f"{c}-{i}" for i, (_, c, _) in enumerate(FAULTS)])
def test_a_fault_of_the_index(changes, code, message):
    if code is None:  # a sound shape of no elements: only the extent is wrong then
        code, message = "EXTENT", "end at byte 69, the index begins at 133"
    for by in (ptformat.load, ptformat.verify):
        with pytest.raises(FormatError) as caught:
            by(changed(**changes))
        assert (caught.value.code, message in caught.value.message) == (code, True), caught.value


def test_the_first_fault_is_reported():
    """All faults at once; each repaired in turn uncovers the next, in the order of the spec."""
    steps = [
        ({"requires": ["x"]}, "FEATURE"),
        ({"path": 1}, "SCHEMA"),
        ({"convention": ""}, "NONCANONICAL"),
        ({"metadata": {"a": bytes(2**20)}}, "LIMIT"),
        ({"value": []}, "SCHEMA"),
        ({"chunk": 1}, "CHUNK"),
        ({"dtype": b"\x40\3"}, "DTYPE"),
        ({"dims": column("u8", 2**60, 3, 5)}, "SHAPE"),
        ({"sum": b""}, "CHUNK"),
        ({"codec": b"\7\0"}, "CODEC"),
        ({"stored": column("u4", 1, 5)}, "CHUNK"),
        ({"path": "a\n.\nc\nv\nl\nl"}, "PATH"),
        ({"path": "a\na\nc\nv\nl\nl.0"}, "DUPLICATE"),
        ({"role": []}, "SCHEMA"),
        ({"trainable": sparse([0], [0], [1])}, "SCHEMA"),
        ({"alias": column("u4", 2)}, "ALIAS"),
        ({"axes": sparse([0, 2], [0, 1], [["a", "b"], ["b", "a"]])}, "NONCANONICAL"),
        ({"path": "a\nb\nc\nv\nl\na.b"}, "TREE"),
    ]
    for at, (_, code) in enumerate(steps):
        changes = {}
        for change, _ in reversed(steps[at:]):
            changes |= change
        with pytest.raises(FormatError) as caught:
            ptformat.load(changed(**changes))
        assert caught.value.code == code, (at, caught.value)


@pytest.mark.parametrize("shape", [(2**62, 2**62, 0), (2**52, 2**6, 0), (2**51, 2**2, 0), (0, 2**50, 2**50, 2**50)])
def test_zero_dimensions_do_not_hide_the_others(shape):
    data = craft.edit(
        ptformat.save({"x": np.zeros(0, np.float32)}), rank=bytes([len(shape)]), dims=column("u8", *shape)
    )
    with pytest.raises(FormatError, match="tensor 'x': ") as caught:
        ptformat.load(data)
    assert caught.value.code == "SHAPE"


def test_the_largest_tensor():
    empty = ptformat.save({"x": np.zeros(0, np.int8)})
    rank = {"rank": b"\2"}
    assert ptformat.load(craft.edit(empty, **rank, dims=column("u8", 2**53 - 1, 0)))["x"].shape == (2**53 - 1, 0)
    wide = {"dtype": b"\x0f", **rank}  # float32
    assert ptformat.load(craft.edit(empty, **wide, dims=column("u8", 2**51 - 1, 0)))["x"].shape == (2**51 - 1, 0)
    with pytest.raises(FormatError, match="of 32 bits each exceeds the largest tensor"):
        ptformat.load(craft.edit(empty, **wide, dims=column("u8", 2**51, 0)))


def test_too_many_entries(monkeypatch):
    monkeypatch.setattr(index, "MAX_ENTRIES", 5)
    with pytest.raises(FormatError, match="6 entries, at most 5 are allowed") as caught:
        ptformat.load(DATA)
    assert caught.value.code == "LIMIT"
    assert limits.MAX_ENTRIES == 2**20


def test_unknown_keys_are_ignored_and_not_digested():
    more = changed(aside={"later": [1.5, None]})
    assert ptformat.load(more)["v"] == 7
    read, plain = (ptformat.reader.Reader(data) for data in (more, DATA))
    assert read.digest() == plain.digest()
    assert "aside" not in index.to_map(read.index)


def test_the_index_of_the_sample_byte_for_byte():
    decoded = index.decode(craft.index_bytes(DATA))
    assert index.encode(decoded) == craft.index_bytes(DATA) == craft.packed(MAP)
    assert decoded.paths == ["a", "b", "c", "v", "l", "l.0"]
    assert decoded.columns["dims"].tolist() == [2, 3, 5]
    assert decoded.nbytes.tolist() == [24, 5]
    assert decoded.chunk_sizes.tolist() == [24, 5]
    assert decoded.layout == ([64, 128], 133)
    assert decoded.sparse["trainable"] == {0: True}


def test_chunks_are_counted_from_shapes():
    tree = {"a": np.zeros(130, np.int8), "b": np.zeros(0), "c": np.zeros(64, np.int8), "d": np.zeros((), np.int8)}
    decoded = index.decode(craft.index_bytes(ptformat.save(tree, chunk=64)))
    assert decoded.chunk_starts.tolist() == [0, 3, 3, 4, 5]
    assert decoded.chunk_sizes.tolist() == [64, 64, 2, 64, 1]
    assert decoded.layout[0] == [64, 256, 256, 320]
    assert decoded.chunk_offsets.tolist() == [64, 128, 192, 256, 320]


def test_columns_are_little_endian():
    assert {name: np.dtype(kind).str for name, kind in columns.PACKED.items()} == {
        **dict.fromkeys(("type", "dtype", "rank", "codec", "form"), "|u1"),
        **dict.fromkeys(("stored", "alias"), "<u4"),
        **dict.fromkeys(("dims", "sum"), "<u8"),
    }
