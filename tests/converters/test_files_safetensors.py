"""The .safetensors file: against the library of that name, both ways, and malformed in every way."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors
import safetensors.numpy
import safetensors.torch
import torch
from sources import bits, read, rewrite, safetensors_bytes, said, same

import ptformat
import ptformat.torch
from ptformat.converters import convert
from ptformat.converters.files import open_source
from ptformat.converters.files.safetensors import DTYPES, MAX_HEADER, SafetensorsSource
from ptformat.dtypes import BY_NAME
from ptformat.errors import MAX_LINE
from ptformat.torch.tensors import DTYPES as TORCH_DTYPES
from ptformat.tree import Alias

SHAPES = [(3, 5), (), (0, 4), (1,), (7, 3, 2)]
NUMPY = [name for name in DTYPES.values() if name not in ("float4_e2m1fn",)]
TORCH = sorted(set(NUMPY) & set(TORCH_DTYPES))


def by_numpy(name: str) -> dict[str, np.ndarray]:
    return {f"m.t{number}": bits(name, shape) for number, shape in enumerate(SHAPES)}


def as_torch(array: np.ndarray) -> torch.Tensor:
    name = array.dtype.name
    if not array.size:
        return torch.empty(array.shape, dtype=TORCH_DTYPES[name])
    return torch.from_numpy(array.reshape(-1).view(np.uint8).copy()).view(TORCH_DTYPES[name]).reshape(array.shape)


def test_every_type_that_the_library_gives_torch_is_known() -> None:
    assert set(safetensors.torch._TYPES) <= set(DTYPES)


@pytest.mark.parametrize("name", TORCH)
def test_read_what_the_library_wrote(name: str, tmp_path: Path) -> None:
    tensors = by_numpy(name)
    safetensors.torch.save_file({key: as_torch(array) for key, array in tensors.items()}, tmp_path / "x.safetensors")
    found = read(tmp_path / "x.safetensors")
    assert found.keys() == tensors.keys()
    assert all(same(found[key], tensors[key]) for key in tensors)


@pytest.mark.parametrize("name", TORCH)
def test_the_library_reads_what_we_wrote(name: str, tmp_path: Path) -> None:
    tensors = by_numpy(name)
    ptformat.save_file(tensors, tmp_path / "x.ptf")
    rewrite(tmp_path / "x.ptf", tmp_path / "x.safetensors")
    found = safetensors.torch.load_file(tmp_path / "x.safetensors")
    assert found.keys() == tensors.keys()
    for key, array in tensors.items():
        assert found[key].dtype == TORCH_DTYPES[name]
        assert tuple(found[key].shape) == array.shape
        assert torch.equal(found[key].reshape(-1).view(torch.uint8), as_torch(array).reshape(-1).view(torch.uint8))


@pytest.mark.parametrize("name", ["bool", "uint8", "int16", "uint32", "float16", "float64", "complex64", "int64"])
def test_numpy_side_of_the_library_both_ways(name: str, tmp_path: Path) -> None:
    tensors = by_numpy(name)
    safetensors.numpy.save_file(tensors, tmp_path / "theirs.safetensors")
    assert all(same(array, tensors[key]) for key, array in read(tmp_path / "theirs.safetensors").items())
    rewrite(tmp_path / "theirs.safetensors", tmp_path / "ours.safetensors")
    found = safetensors.numpy.load_file(tmp_path / "ours.safetensors")
    assert {key: same(array, tensors[key]) for key, array in found.items()} == dict.fromkeys(tensors, True)


@pytest.mark.parametrize("count", [1, 2, 5, 8])
def test_float4_keeps_its_packed_bytes(count: int, tmp_path: Path) -> None:
    array = bits("float4_e2m1fn", (count,), seed=3)
    ptformat.save_file({"t": array}, tmp_path / "x.ptf")
    rewrite(tmp_path / "x.ptf", tmp_path / "x.safetensors")
    assert same(read(tmp_path / "x.safetensors")["t"], array)
    rewrite(tmp_path / "x.safetensors", tmp_path / "y.ptf")
    assert same(ptformat.load_file(tmp_path / "y.ptf")["t"], array)


@pytest.mark.parametrize("count", [2, 8])
def test_the_library_reads_our_float4(count: int, tmp_path: Path) -> None:
    array = bits("float4_e2m1fn", (count,), seed=3)
    ptformat.save_file({"t": array}, tmp_path / "x.ptf")
    rewrite(tmp_path / "x.ptf", tmp_path / "x.safetensors")
    with safetensors.safe_open(tmp_path / "x.safetensors", "pt") as file:
        assert file.get_slice("t").get_dtype() == "F4"
        assert file.get_slice("t").get_shape() == [count]
    packed = array.view(np.uint8).reshape(-1, 2)
    assert (tmp_path / "x.safetensors").read_bytes()[-count // 2 :] == bytes(packed[:, 0] | packed[:, 1] << 4)


MIXED = {
    "b.weight": bits("float32", (4, 3)),
    "a.weight": bits("float16", (3, 3)),
    "a.bias": bits("float32", ()),
    "flag": bits("bool", (5,)),
    "count": bits("int64", ()),
    "empty": bits("uint8", (0, 3)),
    "été.ü": bits("int8", (3,)),
    'quo"te\\back': bits("uint16", (2,)),
}


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}, {"format": "np"}, {"who": 'ü"\\/\n\x7f'}])
def test_byte_for_byte_what_the_library_writes(metadata: dict[str, str] | None, tmp_path: Path) -> None:
    safetensors.numpy.save_file(MIXED, tmp_path / "theirs.safetensors", metadata=metadata)
    rewrite(tmp_path / "theirs.safetensors", tmp_path / "x.ptf", codec="zstd")
    rewrite(tmp_path / "x.ptf", tmp_path / "ours.safetensors")
    assert (tmp_path / "ours.safetensors").read_bytes() == (tmp_path / "theirs.safetensors").read_bytes()


def test_byte_for_byte_with_every_type(tmp_path: Path) -> None:
    tensors = {f"{key}.{name}": as_torch(array) for name in TORCH for key, array in by_numpy(name).items()}
    safetensors.torch.save_file(tensors, tmp_path / "theirs.safetensors", metadata={"format": "pt"})
    rewrite(tmp_path / "theirs.safetensors", tmp_path / "ours.safetensors")
    assert (tmp_path / "ours.safetensors").read_bytes() == (tmp_path / "theirs.safetensors").read_bytes()


def test_empty_dict_both_ways(tmp_path: Path) -> None:
    safetensors.numpy.save_file({}, tmp_path / "theirs.safetensors")
    rewrite(tmp_path / "theirs.safetensors", tmp_path / "ours.safetensors")
    assert (tmp_path / "ours.safetensors").read_bytes() == (tmp_path / "theirs.safetensors").read_bytes()


def test_order_is_that_of_the_bytes_not_of_the_header(tmp_path: Path) -> None:
    header = {"b": said("U8", [1], 1, 2), "z": said("U8", [0], 1, 1), "a": said("U8", [1], 0, 1)}
    (tmp_path / "x").write_bytes(safetensors_bytes(header, b"\7\x09"))
    assert [(path, array.tolist()) for path, array in read(tmp_path / "x").items()] == [
        ("a", [7]),
        ("z", []),
        ("b", [9]),
    ]


def test_metadata_and_what_it_says_of_the_names(tmp_path: Path) -> None:
    for metadata, convention in (({"format": "pt", "by": "x"}, "torch"), ({"format": "np"}, None), (None, None)):
        safetensors.numpy.save_file({"w": np.zeros(2)}, tmp_path / "x.safetensors", metadata=metadata)
        header = open_source(tmp_path / "x.safetensors").header
        assert (header.metadata, header.convention) == (metadata or {}, convention)


def test_names_that_only_escapes_can_hold(tmp_path: Path) -> None:
    names = ["x.weight", "x.weight.absmax", ".", "..", "a..b", "a.", ".a", "\\e", "back\\slash", "sl/ash", "q q"]
    tensors = {name: np.full(2, number) for number, name in enumerate(names)}
    safetensors.numpy.save_file(tensors, tmp_path / "theirs.safetensors")
    rewrite(tmp_path / "theirs.safetensors", tmp_path / "x.ptf")
    rewrite(tmp_path / "x.ptf", tmp_path / "ours.safetensors")
    assert (tmp_path / "ours.safetensors").read_bytes() == (tmp_path / "theirs.safetensors").read_bytes()


class Tied(torch.nn.Module):
    """Three names for one weight, two for one bias; `free` stands alone."""

    def __init__(self) -> None:
        super().__init__()
        self.z = torch.nn.Linear(3, 2)
        self.a, self.free = torch.nn.Linear(3, 2), torch.nn.Linear(3, 2)
        self.m = torch.nn.Linear(3, 2, bias=False)
        self.a.weight = self.m.weight = self.z.weight
        self.a.bias = self.z.bias


TIES = {("a.weight", "m.weight", "z.weight"), ("a.bias", "z.bias")}


def ties(path: Path) -> set[tuple[str, ...]]:
    """Every group of names of one tensor."""
    groups: dict[str, list[str]] = {}
    for entry in open_source(path).entries:
        if isinstance(entry, Alias):
            groups.setdefault(entry.target, [entry.target]).append(entry.path)
    return {tuple(sorted(group)) for group in groups.values()}


def test_the_record_of_removed_names_is_read_as_ties(tmp_path: Path) -> None:
    module = Tied()
    safetensors.torch.save_model(module, str(tmp_path / "x.safetensors"), metadata={"who": "me"})
    opened = open_source(tmp_path / "x.safetensors")
    assert [entry for entry in opened.entries if isinstance(entry, Alias)] == [
        Alias("m.weight", "a.weight"),
        Alias("z.bias", "a.bias"),
        Alias("z.weight", "a.weight"),
    ]
    assert opened.header.metadata == {"who": "me"}
    assert ties(tmp_path / "x.safetensors") == TIES
    assert len(read(tmp_path / "x.safetensors")) == 4
    rewrite(tmp_path / "x.safetensors", tmp_path / "x.ptf")
    state = ptformat.torch.load_file(tmp_path / "x.ptf")
    assert sorted(state) == sorted(module.state_dict())
    assert all(torch.equal(state[name], tensor) for name, tensor in module.state_dict().items())
    assert state["z.weight"] is state["a.weight"] is state["m.weight"]


@pytest.mark.parametrize("through", [".ptf", ".safetensors"])
def test_the_library_loads_the_ties_that_we_wrote(through: str, tmp_path: Path) -> None:
    module, fresh = Tied(), Tied()
    ptformat.torch.save_model(module, tmp_path / "x.ptf")
    rewrite(tmp_path / "x.ptf", tmp_path / f"x{through}2{through}")
    rewrite(tmp_path / f"x{through}2{through}", tmp_path / "y.safetensors")
    with safetensors.safe_open(tmp_path / "y.safetensors", "pt") as file:
        assert sorted(file.keys()) == ["free.bias", "free.weight", "z.bias", "z.weight"]
        record = {"a.weight": "z.weight", "m.weight": "z.weight", "a.bias": "z.bias"}
        assert file.metadata() == record | {"format": "pt"}
    assert safetensors.torch.load_model(fresh, str(tmp_path / "y.safetensors")) == (set(), [])
    for name, tensor in module.state_dict().items():
        assert torch.equal(fresh.state_dict()[name], tensor)
    assert ties(tmp_path / "y.safetensors") == TIES


def test_metadata_that_are_no_record_stay_metadata(tmp_path: Path) -> None:
    tensors = {"a.w": np.zeros(2), "b.w": np.ones(2), "pt": np.ones(1)}
    metadata = {"who": "me", "b.w": "a.w", "c.w": "gone.w", "a\nb": "a.w", "x" * 2000: "a.w", "format": "pt"}
    safetensors.numpy.save_file(tensors, tmp_path / "x.safetensors", metadata=metadata)
    opened = open_source(tmp_path / "x.safetensors")
    assert opened.header.metadata == metadata
    assert not [entry for entry in opened.entries if isinstance(entry, Alias)]


@pytest.mark.parametrize(("name", "metadata"), [("b.w", {"b.w": "taken"}), ("format", {})])
def test_a_tie_whose_name_the_metadata_use_is_spelled_out(name: str, metadata: dict[str, str], tmp_path: Path) -> None:
    array = bits("float32", (2, 3))
    with ptformat.Writer(tmp_path / "x.ptf", metadata=metadata) as out:
        out.tensor("a", array)
        out.alias(name, "a")
    rewrite(tmp_path / "x.ptf", tmp_path / "x.safetensors")
    found = safetensors.numpy.load_file(tmp_path / "x.safetensors")
    assert sorted(found) == sorted(["a", name])
    assert same(found[name], array)
    assert open_source(tmp_path / "x.safetensors").header.metadata == metadata


def test_ties_in_a_tree_that_is_not_flat(tmp_path: Path) -> None:
    array = bits("float32", (2, 3))
    ptformat.save_file({"a": array, "b": array}, tmp_path / "x.ptf")
    rewrite(tmp_path / "x.ptf", tmp_path / "x.safetensors")
    rewrite(tmp_path / "x.safetensors", tmp_path / "y.ptf")
    assert (tmp_path / "y.ptf").read_bytes() == (tmp_path / "x.ptf").read_bytes()


def test_a_tie_beneath_a_tensor_of_its_name(tmp_path: Path) -> None:
    header = {"__metadata__": {"x.w.s": "x.w"}, "x.w": said("U8", [1], 0, 1)}
    (tmp_path / "x").write_bytes(safetensors_bytes(header, b"\7"))
    assert open_source(tmp_path / "x").entries[-1] == Alias("x.w\\.s", "x.w")


def test_a_permuted_tie_is_spelled_out_permuted(tmp_path: Path) -> None:
    array = bits("float32", (2, 3, 4))
    with ptformat.Writer(tmp_path / "x.ptf") as out:
        out.tensor("a", array)
        out.alias("b", "a", perm=(2, 0, 1))
    rewrite(tmp_path / "x.ptf", tmp_path / "x.safetensors")
    assert same(safetensors.numpy.load_file(tmp_path / "x.safetensors")["b"], array.transpose(2, 0, 1))


@pytest.mark.parametrize(
    ("tree", "code", "words"),
    [
        ({"a": np.zeros(2), "b": 3}, "TYPE", "1 values that are no tensors, such as 'b'"),
        ({"a": bits("complex128", (2,))}, "DTYPE", "tensor 'a': safetensors has no complex128"),
        ({"a": bits("int4", (2,))}, "DTYPE", "tensor 'a': safetensors has no int4"),
        ({"__metadata__": np.zeros(2)}, "PATH", "'__metadata__' is no name that safetensors can give a tensor"),
        ({"a.b": {"c": np.zeros(2)}, "a": {"b.c": np.zeros(2)}}, "DUPLICATE", "two tensors would be called 'a.b.c'"),
    ],
)
def test_what_the_file_cannot_hold(tree: Any, code: str, words: str, tmp_path: Path) -> None:
    ptformat.save_file(tree, tmp_path / "x.ptf")
    with pytest.raises(ptformat.FormatError) as caught:
        rewrite(tmp_path / "x.ptf", tmp_path / "x.safetensors")
    assert caught.value.code == code
    assert words in caught.value.message
    assert [file.name for file in tmp_path.iterdir()] == ["x.ptf"]


def small(tmp_path: Path) -> bytes:
    safetensors.numpy.save_file({"a.w": np.arange(6.0), "a.b": np.ones((2, 2), np.int8)}, tmp_path / "s")
    return (tmp_path / "s").read_bytes()


def test_cut_at_every_length(tmp_path: Path) -> None:
    data = small(tmp_path)
    for length in range(len(data)):
        (tmp_path / "cut").write_bytes(data[:length])
        with pytest.raises(ptformat.FormatError) as caught:
            open_source(tmp_path / "cut")
        expected = "TRUNCATED" if length > 8 and length >= data[0] else "FORMAT"  # recognised by its header's length
        assert caught.value.code == expected, length
        if length:
            with pytest.raises(ptformat.FormatError) as caught:
                SafetensorsSource(tmp_path / "cut")
            assert caught.value.code == "TRUNCATED", length


def test_every_byte_of_the_header_changed_gives_no_other_error(tmp_path: Path) -> None:
    data = small(tmp_path)
    for at in range(len(data) - 52):
        for change in (0x01, 0x20, 0x80, 0xFF):
            (tmp_path / "x").write_bytes(data[:at] + bytes([data[at] ^ change]) + data[at + 1 :])
            try:
                opened = SafetensorsSource(tmp_path / "x")
            except ptformat.FormatError:
                continue
            assert sum(entry.nbytes for entry in opened.entries if isinstance(entry, ptformat.TensorInfo)) == 52


def nested(depth: int) -> list[Any]:
    return [nested(depth - 1)] if depth else []


ONE = said("U8", [4], 0, 4)
HUGE = "9" * 5000
FAULTS: dict[str, tuple[bytes, str]] = {
    "no-json": (safetensors_bytes(b'{"a":'), "MALFORMED"),
    "no-utf8": (safetensors_bytes(b'{"\xff":1}'), "MALFORMED"),
    "utf16": (safetensors_bytes('{"a":1}'.encode("utf-16-le")), "MALFORMED"),
    "array-in-header": (safetensors_bytes({"a": [1]}), "MALFORMED"),
    "text-behind": (safetensors_bytes(b"{} x"), "MALFORMED"),
    "deep": (safetensors_bytes(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"), "LIMIT"),
    "shape-deep": (safetensors_bytes({"a": {**ONE, "shape": nested(250)}}, bytes(4)), "MALFORMED"),
    "shape-long": (safetensors_bytes({"a": {**ONE, "shape": [-1] * 10**5}}, bytes(4)), "MALFORMED"),
    "dtype-long": (safetensors_bytes({"a": said("U" * 10**5, [4], 0, 4)}, bytes(4)), "DTYPE"),
    "name-of-dots": (safetensors_bytes({"a." * 10**5 + "a": ONE, "a": said("U8", [1], 4, 5)}, bytes(5)), "PATH"),
    "no-dtype": (safetensors_bytes({"a": {"shape": [4], "data_offsets": [0, 4]}}, bytes(4)), "MALFORMED"),
    "no-shape": (safetensors_bytes({"a": {"dtype": "U8", "data_offsets": [0, 4]}}, bytes(4)), "MALFORMED"),
    "no-offsets": (safetensors_bytes({"a": {"dtype": "U8", "shape": [4]}}, bytes(4)), "MALFORMED"),
    "unknown-dtype": (safetensors_bytes({"a": said("F6_E3M2", [4], 0, 4)}, bytes(4)), "DTYPE"),
    "dtype-no-string": (safetensors_bytes({"a": said(["U8"], [4], 0, 4)}, bytes(4)), "DTYPE"),  # type: ignore[arg-type]
    "shape-negative": (safetensors_bytes({"a": said("U8", [-2, -2], 0, 4)}, bytes(4)), "MALFORMED"),
    "shape-float": (safetensors_bytes({"a": said("U8", [4.0], 0, 4)}, bytes(4)), "MALFORMED"),
    "shape-bool": (safetensors_bytes({"a": said("U8", [True, 4], 0, 4)}, bytes(4)), "MALFORMED"),
    "shape-too-large": (safetensors_bytes({"a": said("U8", [2**53], 0, 4)}, bytes(4)), "MALFORMED"),
    "shape-no-list": (safetensors_bytes({"a": {**ONE, "shape": "4"}}, bytes(4)), "MALFORMED"),
    "shape-needs-more": (safetensors_bytes({"a": said("U8", [5], 0, 4)}, bytes(4)), "EXTENT"),
    "shape-overflows": (safetensors_bytes({"a": said("U8", [2**32, 2**32, 4], 0, 4)}, bytes(4)), "SHAPE"),
    "offsets-three": (safetensors_bytes({"a": {**ONE, "data_offsets": [0, 4, 4]}}, bytes(4)), "MALFORMED"),
    "offsets-text": (safetensors_bytes({"a": {**ONE, "data_offsets": "04"}}, bytes(4)), "MALFORMED"),
    "offsets-object": (safetensors_bytes({"a": {**ONE, "data_offsets": {"0": 1, "4": 2}}}, bytes(4)), "MALFORMED"),
    "offsets-infinite": (
        safetensors_bytes(b'{"a":{"dtype":"U8","shape":[4],"data_offsets":[Infinity,1e999]}}'),
        "MALFORMED",
    ),
    "offsets-nan": (safetensors_bytes(b'{"a":{"dtype":"U8","shape":[4],"data_offsets":[NaN,NaN]}}'), "MALFORMED"),
    "offsets-of-5000-digits": (
        safetensors_bytes(b'{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,%s]}}' % HUGE.encode()),
        "MALFORMED",
    ),
    "offsets-backwards": (safetensors_bytes({"a": said("U8", [4], 4, 0)}, bytes(4)), "EXTENT"),
    "overlap": (safetensors_bytes({"a": ONE, "b": said("U8", [4], 2, 6)}, bytes(6)), "MALFORMED"),
    "same-place": (safetensors_bytes({"a": ONE, "b": ONE}, bytes(4)), "MALFORMED"),
    "hole": (safetensors_bytes({"a": ONE, "b": said("U8", [1], 5, 6)}, bytes(6)), "MALFORMED"),
    "hole-in-front": (safetensors_bytes({"a": said("U8", [4], 1, 5)}, bytes(5)), "MALFORMED"),
    "bytes-behind": (safetensors_bytes({"a": ONE}, bytes(5)), "EXTENT"),
    "bytes-missing": (safetensors_bytes({"a": ONE}, bytes(3)), "TRUNCATED"),
    "name-twice": (safetensors_bytes(b'{"a":1,"a":1}'), "DUPLICATE"),
    "name-with-control": (safetensors_bytes({"a\nb": ONE}, bytes(4)), "PATH"),
    "name-too-long": (safetensors_bytes({"a" * 1025: ONE}, bytes(4)), "PATH"),
    "name-too-deep": (safetensors_bytes({".".join("a" * 129): ONE}, bytes(4)), "PATH"),
    "name-with-surrogate": (safetensors_bytes({"\ud800": ONE}, bytes(4)), "PATH"),
    "metadata-number": (safetensors_bytes({"__metadata__": {"a": 1}}), "MALFORMED"),
    "metadata-list": (safetensors_bytes({"__metadata__": ["a"]}), "MALFORMED"),
    "header-longer-than-file": (b"\xff\0\0\0\0\0\0\0{}", "TRUNCATED"),
    "header-huge": ((MAX_HEADER + 1).to_bytes(8, "little") + b"{}", "LIMIT"),
    "header-length-all-ones": (b"\xff" * 8 + b"{}", "LIMIT"),
    "entry-no-object": (safetensors_bytes({"a": 1}), "MALFORMED"),
    "rank-too-large": (safetensors_bytes({"a": said("U8", [1] * 33, 0, 1)}, bytes(1)), "SHAPE"),
    "empty-but-huge": (safetensors_bytes({"a": said("U8", [2**52, 2**52, 0], 0, 0)}), "SHAPE"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_malformed(name: str, tmp_path: Path) -> None:
    data, code = FAULTS[name]
    (tmp_path / "x").write_bytes(data)
    with pytest.raises(ptformat.FormatError) as caught:
        SafetensorsSource(tmp_path / "x")
    assert (caught.value.code, len(caught.value.message) <= MAX_LINE) == (code, True)
    with pytest.raises(ptformat.FormatError):
        open_source(tmp_path / "x")


def test_what_the_library_takes_for_valid_is_read(tmp_path: Path) -> None:
    """Padding, keys it does not know, and metadata that is null."""
    (tmp_path / "x").write_bytes(safetensors_bytes(b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}    ', b"\1"))
    assert safetensors.numpy.load_file(tmp_path / "x")["a"].tolist() == [1]
    assert read(tmp_path / "x")["a"].tolist() == [1]


def test_bits_per_element_agree_with_the_table() -> None:
    assert all(BY_NAME[ours].bits == 4 for theirs, ours in DTYPES.items() if theirs.startswith("F4"))


def test_metadata_that_look_like_a_tie_of_an_endless_name(tmp_path: Path) -> None:
    """No tensor is called so; to divide the name would take the square of its length."""
    name = "a." * 10**6 + "a"
    (tmp_path / "x").write_bytes(safetensors_bytes({"__metadata__": {name: "a"}, "a": ONE}, bytes(4)))
    opened = open_source(tmp_path / "x")
    assert (len(opened.entries), opened.header.metadata) == (1, {name: "a"})


def test_a_header_that_is_no_object(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(safetensors_bytes([1]))
    with pytest.raises(ptformat.FormatError, match="safetensors header: a list, expected an object") as caught:
        SafetensorsSource(tmp_path / "x")
    assert caught.value.code == "MALFORMED"


def test_what_torchs_readers_look_for_is_said_of_torchs_names_alone(tmp_path: Path) -> None:
    tensors = {"fc.weight": np.ones((3, 2), np.float32), "fc.bias": np.ones(3, np.float32)}
    safetensors.numpy.save_file(tensors, tmp_path / "x.safetensors", {"format": "pt", "who": "me"})
    convert(tmp_path / "x.safetensors", tmp_path / "y.safetensors", to="linen", durable=False)
    with safetensors.safe_open(tmp_path / "y.safetensors", "np") as file:
        assert file.metadata() == {"who": "me"}
    convert(tmp_path / "y.safetensors", tmp_path / "z.safetensors", to="torch", durable=False)
    with safetensors.safe_open(tmp_path / "z.safetensors", "np") as file:
        assert file.metadata() == {"who": "me", "format": "pt"}
    ptformat.save_file(tensors, tmp_path / "x.ptf", metadata={"format": "pt", "who": "me"})
    rewrite(tmp_path / "x.ptf", tmp_path / "x.safetensors")
    with safetensors.safe_open(tmp_path / "x.safetensors", "np") as file:
        assert file.metadata() == {"who": "me"}
