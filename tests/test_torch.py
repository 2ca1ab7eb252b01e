"""ptformat.torch: trees of tensors, their bits, and their ties."""

import collections
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

import ptformat
import ptformat.backing
from ptformat.torch import load, load_file, save, save_file
from ptformat.torch.tensors import DTYPES

ALL_DTYPES = [
    "bool",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "float16",
    "bfloat16",
    "float32",
    "float64",
    "complex64",
    "complex128",
    "float8_e4m3fn",
    "float8_e5m2",
    "float8_e4m3fnuz",
    "float8_e5m2fnuz",
    "float8_e8m0fnu",
]


def raw(tensor: torch.Tensor) -> bytes:
    """Its elements' bytes, in logical order."""
    if tensor.numel() == 0:
        return b""
    return tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def random_bits(name: str, shape: tuple[int, ...]) -> torch.Tensor:
    """Every bit random: NaN payloads, infinities and subnormals among them."""
    dtype = DTYPES[name]
    if 0 in shape:
        return torch.empty(shape, dtype=dtype)
    count = int(np.prod(shape)) * dtype.itemsize
    data = np.random.default_rng(count).integers(0, 2 if name == "bool" else 256, count, np.uint8)
    return torch.from_numpy(data).view(dtype).reshape(shape)


def complex_half() -> torch.Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch says, once, that it is experimental
        return torch.zeros(2, dtype=torch.complex32)


def trip(tree: Any, tmp_path: Path, **options: Any) -> Any:
    save_file(tree, tmp_path / "x.ptf", **options)
    return load_file(tmp_path / "x.ptf")


def test_every_dtype_of_torch_is_in_the_table() -> None:
    assert sorted(DTYPES) == sorted([*ALL_DTYPES, "float4_e2m1fn"])


@pytest.mark.parametrize("codec", ["raw", "zstd"])
@pytest.mark.parametrize("name", ALL_DTYPES)
def test_bits_of_every_dtype(name: str, codec: str, tmp_path: Path) -> None:
    shapes = [(3, 5), (), (0, 4), (1,), (64, 65)]
    tree = {f"t{i}": random_bits(name, shape) for i, shape in enumerate(shapes)}
    loaded = trip(tree, tmp_path, codec=codec)
    assert list(loaded) == list(tree)
    for key, tensor in tree.items():
        assert loaded[key].dtype == tensor.dtype
        assert loaded[key].shape == tensor.shape
        assert raw(loaded[key]) == raw(tensor)
    with ptformat.open(tmp_path / "x.ptf") as file:
        assert file["t0"].dtype.name == name
        assert file["t0"].tobytes() == raw(tree["t0"])
        assert file.convention == "torch"


@pytest.mark.parametrize("name", ["bfloat16", "float8_e4m3fn", "float32", "complex64"])
def test_any_strides_are_stored_in_logical_order(name: str, tmp_path: Path) -> None:
    base = random_bits(name, (4, 6, 2))
    for view in (base.permute(2, 0, 1), base[1:3, ::2], base[:, :, 1], base[0:1].expand(3, 6, 2)):
        loaded = trip(view, tmp_path)
        assert loaded.is_contiguous()
        assert raw(loaded) == raw(view)


def test_conjugate_and_negative_bits_are_resolved(tmp_path: Path) -> None:
    z = torch.tensor([1 + 2j, 3 - 4j])
    assert z.conj().is_conj()
    assert z.conj().imag.is_neg()
    loaded = trip({"conj": z.conj(), "neg": z.conj().imag.clone()}, tmp_path)
    assert loaded["conj"].tolist() == [1 - 2j, 3 + 4j]
    assert trip(torch.tensor([1 + 2j]).conj().imag, tmp_path).tolist() == [-2]


def test_parameters_and_graphs_are_detached(tmp_path: Path) -> None:
    weight = torch.nn.Parameter(torch.ones(2))
    loaded = trip({"w": weight, "y": weight * 2}, tmp_path)
    assert type(loaded["w"]) is torch.Tensor
    assert not loaded["w"].requires_grad
    assert loaded["y"].tolist() == [2, 2]


def test_containers_and_values_come_back_the_same(tmp_path: Path) -> None:
    tree = {
        "model": collections.OrderedDict({"0.weight": torch.ones(2), "0.bias": torch.zeros(1)}),
        "optimizer": {
            "state": {0: {"step": torch.tensor(3.0)}, 1: {}},
            "param_groups": [{"lr": 0.1, "betas": (0.9, 0.999)}],
        },
        "step": 3,
        "note": None,
        "done": False,
        "name": "ä",
        "rng": b"\x00\x01",
    }
    loaded = trip(tree, tmp_path)
    assert list(loaded) == list(tree)
    assert list(loaded["model"]) == ["0.weight", "0.bias"]
    assert type(loaded["model"]) is dict
    assert loaded["model"]["0.weight"].tolist() == [1, 1]
    assert loaded["optimizer"]["state"][0]["step"].shape == ()
    assert loaded["optimizer"]["state"][1] == {}
    assert loaded["optimizer"]["param_groups"] == [{"lr": 0.1, "betas": (0.9, 0.999)}]
    assert {key: loaded[key] for key in ("step", "note", "done", "name", "rng")} == {
        key: tree[key] for key in ("step", "note", "done", "name", "rng")
    }


def test_wild_flat_keys_come_back(tmp_path: Path) -> None:
    keys = ["x.weight", "x.weight.absmax", ".a", "b.", "c..d", "e\\f.g", "plain"]
    loaded = trip({key: torch.full((1,), i) for i, key in enumerate(keys)}, tmp_path)
    assert {key: tensor.item() for key, tensor in loaded.items()} == {key: i for i, key in enumerate(keys)}


def test_bytes_have_the_same_verbs() -> None:
    tensor = torch.arange(6.0).reshape(2, 3).T
    data = save({"a.b": tensor, "a.c": tensor}, metadata={"by": "test"})
    loaded = load(data, verify=True)
    assert loaded["a.b"] is loaded["a.c"]
    assert loaded["a.b"].tolist() == tensor.tolist()
    loaded["a.b"].zero_()
    assert load(data)["a.b"].tolist() == tensor.tolist()
    assert ptformat.load(data)["a.c"].tolist() == tensor.tolist()


def test_saving_twice_gives_equal_bytes(tmp_path: Path) -> None:
    tree = {"a.w": torch.arange(6.0), "a.n": 1, "b.w": torch.ones(2, dtype=torch.bfloat16)}
    save_file(tree, tmp_path / "x.ptf")
    assert (tmp_path / "x.ptf").read_bytes() == save(tree)


# Zero copy


@pytest.mark.parametrize("name", ["float32", "bfloat16", "float8_e5m2", "bool", "uint16", "complex128"])
def test_tensors_lie_in_the_private_map(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_file({"a": random_bits(name, (5, 7)), "b": random_bits(name, (2,))}, tmp_path / "x.ptf")
    before = (tmp_path / "x.ptf").read_bytes()
    maps = []
    original = ptformat.backing.map_file

    def spy(*args: Any, **kwargs: Any) -> Any:
        maps.append(original(*args, **kwargs))
        return maps[-1]

    monkeypatch.setattr("ptformat.backing.map_file", spy)
    loaded = load_file(tmp_path / "x.ptf")
    start = np.frombuffer(maps[0], np.uint8).ctypes.data
    assert loaded["a"].data_ptr() == start + 64
    assert loaded["b"].data_ptr() == start + 64 + -(-35 * DTYPES[name].itemsize // 64) * 64
    loaded["a"].zero_()
    assert not loaded["a"].view(torch.uint8).any()
    assert (tmp_path / "x.ptf").read_bytes() == before


def test_device_is_where_the_tensors_go(tmp_path: Path) -> None:
    tensor = torch.ones(2, 3)
    save_file({"a.w": tensor, "b.w": tensor, "c.w": tensor.T}, tmp_path / "x.ptf")
    loaded = load_file(tmp_path / "x.ptf", device="meta")
    assert loaded["a.w"] is loaded["b.w"]
    assert loaded["c.w"].device.type == "meta"
    assert loaded["c.w"].shape == (3, 2)


def test_verify_checks_mapped_tensors(tmp_path: Path) -> None:
    save_file({"a.w": torch.ones(2)}, tmp_path / "x.ptf")
    data = bytearray((tmp_path / "x.ptf").read_bytes())
    data[64] ^= 1
    (tmp_path / "x.ptf").write_bytes(data)
    assert load_file(tmp_path / "x.ptf")["a.w"][1] == 1
    for read in (lambda: load_file(tmp_path / "x.ptf", verify=True), lambda: load(bytes(data), verify=True)):
        with pytest.raises(ptformat.FormatError) as caught:
            read()
        assert (caught.value.code, caught.value.path) == ("CHECKSUM", "a.w")


# Ties


def aliases(path: Path) -> dict[str, tuple[str, tuple[int, ...] | None]]:
    with ptformat.open(path) as file:
        return {name: (alias.target, alias.perm) for name, alias in file.aliases.items()}


def test_one_tensor_at_two_places_is_one_object_again(tmp_path: Path) -> None:
    weight = torch.arange(6.0).reshape(2, 3)
    loaded = trip({"2.weight": weight, "4.weight": weight, "6.weight": weight.clone()}, tmp_path)
    assert loaded["2.weight"] is loaded["4.weight"]
    assert loaded["6.weight"] is not loaded["2.weight"]
    assert aliases(tmp_path / "x.ptf") == {"4.weight": ("2.weight", None)}
    loaded["4.weight"][0, 0] = 7
    assert loaded["2.weight"][0, 0] == 7


def test_equal_bytes_are_no_tie(tmp_path: Path) -> None:
    trip([torch.ones(3), torch.ones(3)], tmp_path)
    assert aliases(tmp_path / "x.ptf") == {}


def test_a_view_of_the_same_elements_is_a_tie(tmp_path: Path) -> None:
    weight = torch.nn.Parameter(torch.ones(2, 3))
    trip([weight, weight.data, weight.detach(), weight.view(2, 3), weight.view(6).view(2, 3)], tmp_path)
    assert aliases(tmp_path / "x.ptf") == {str(i): ("0", None) for i in range(1, 5)}


def test_tensors_of_one_numpy_array_are_tied(tmp_path: Path) -> None:
    array = np.ones(4, np.float32)
    trip([torch.from_numpy(array), torch.from_numpy(array)], tmp_path)
    assert aliases(tmp_path / "x.ptf") == {"1": ("0", None)}


def test_permuted_strides_are_a_tie_with_perm(tmp_path: Path) -> None:
    w = torch.arange(24.0).reshape(2, 3, 4)
    tree = {"w": w, "t": w.permute(2, 0, 1), "again": w.permute(2, 0, 1), "back": w.permute(2, 0, 1).permute(1, 2, 0)}
    loaded = trip(tree, tmp_path)
    assert aliases(tmp_path / "x.ptf") == {
        "t": ("w", (2, 0, 1)),
        "again": ("w", (2, 0, 1)),
        "back": ("w", None),
    }
    assert loaded["t"].tolist() == tree["t"].tolist()
    assert loaded["t"] is loaded["again"]
    assert loaded["w"] is loaded["back"]
    loaded["t"][3, 1, 2] = -1
    assert loaded["w"][1, 2, 3] == -1


def test_a_tie_whose_first_is_not_contiguous(tmp_path: Path) -> None:
    w = torch.arange(6.0).reshape(2, 3)
    loaded = trip({"t": w.T, "w": w}, tmp_path)
    assert aliases(tmp_path / "x.ptf") == {"w": ("t", (1, 0))}
    assert loaded["w"].tolist() == w.tolist()
    assert loaded["t"].is_contiguous()


def test_axes_of_size_one_do_not_count(tmp_path: Path) -> None:
    w = torch.arange(4.0).reshape(1, 4)
    loaded = trip({"w": w, "same": w.as_strided((1, 4), (99, 1)), "t": w.T}, tmp_path)
    assert aliases(tmp_path / "x.ptf") == {"same": ("w", None), "t": ("w", (1, 0))}
    assert loaded["t"].shape == (4, 1)


def test_empty_tensors_are_never_tied(tmp_path: Path) -> None:
    empty = torch.empty(0, 3)
    loaded = trip({"a": empty, "b": empty}, tmp_path)
    assert aliases(tmp_path / "x.ptf") == {}
    assert loaded["a"].shape == (0, 3)


def test_disjoint_parts_of_one_storage_are_no_tie(tmp_path: Path) -> None:
    base = torch.arange(24.0).reshape(4, 6)
    # The halves by columns interleave in memory: their byte ranges overlap, their elements do not.
    tree = {"left": base[:, :3], "right": base[:, 3:]}
    loaded = trip(tree, tmp_path)
    assert aliases(tmp_path / "x.ptf") == {}
    assert loaded["right"].tolist() == tree["right"].tolist()


def test_overlaps_are_refused_with_both_names(tmp_path: Path) -> None:
    base = torch.arange(12.0).reshape(3, 4)
    other = torch.arange(4.0)
    z = torch.ones(2, dtype=torch.complex64)
    tree = {
        "whole": base,
        "row": base[1],
        "flat": base.reshape(12),
        "o": {"head": other[:3], "tail": other[2:]},
        "bits": [other[3:].view(torch.int32), z, z.conj()],
        "apart": torch.ones(3),
    }
    with pytest.raises(ptformat.FormatError) as caught:
        save_file(tree, tmp_path / "x.ptf")
    assert caught.value.code == "TIE"
    assert caught.value.problems == (
        "'whole' float32 (3, 4) and 'row' float32 (4,)",
        "'whole' float32 (3, 4) and 'flat' float32 (12,)",
        "'row' float32 (4,) and 'flat' float32 (12,)",
        "'o.head' float32 (3,) and 'o.tail' float32 (2,)",
        "'o.tail' float32 (2,) and 'bits.0' int32 (1,)",
        "'bits.1' complex64 (2,) and 'bits.2' complex64 (2,)",
    )
    assert "copy_overlaps=True" in caught.value.message
    assert list(tmp_path.iterdir()) == []
    loaded = trip(tree, tmp_path, copy_overlaps=True)
    assert aliases(tmp_path / "x.ptf") == {}
    assert loaded["row"].tolist() == base[1].tolist()
    assert save(tree, copy_overlaps=True) == (tmp_path / "x.ptf").read_bytes()


# What cannot be saved


def test_one_error_names_all_that_cannot_be_saved(tmp_path: Path) -> None:
    with warnings.catch_warnings(), FakeTensorMode():
        fake = torch.empty(3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch announces the end of these itself
        quantised = torch.quantize_per_tensor(torch.ones(2), 1.0, 0, torch.qint8)
        nested = torch.nested.nested_tensor([torch.ones(2), torch.ones(3)])
        jagged = torch.nested.nested_tensor([torch.ones(2), torch.ones(3)], layout=torch.jagged)
        csr = torch.eye(2).to_sparse_csr()
    tree = {
        "fine": torch.ones(2),
        "bad": {
            "sparse": torch.eye(2).to_sparse(),
            "csr": csr,
            "quantised": quantised,
            "nested": nested,
            "jagged": jagged,
            "meta": torch.empty(2, device="meta"),
            "fake": fake,
            "fake_parameter": torch.nn.Parameter(fake),
            "lazy": torch.nn.LazyLinear(2).weight,
            "half": complex_half(),
            "array": np.array([None]),
            "masked": np.ma.masked_array([1], [True]),
            "device": torch.device("cpu"),
        },
    }
    with pytest.raises(ptformat.FormatError) as caught:
        save_file(tree, tmp_path / "x.ptf")
    assert caught.value.code == "TYPE"
    fake_tensor = "torch._subclasses.fake_tensor.FakeTensor"
    assert caught.value.problems == (
        "'bad.sparse': sparse_coo; save its `to_dense()` or its parts",
        "'bad.csr': sparse_csr; save its `to_dense()` or its parts",
        "'bad.quantised': quantised; save its `int_repr()`, scale and zero point",
        "'bad.nested': nested; save its `unbind()`",
        "'bad.jagged': nested; save its `unbind()`",
        "'bad.meta': on the meta device, without elements",
        f"'bad.fake': a {fake_tensor}, which has no memory of its own that holds its elements",
        f"'bad.fake_parameter': a {fake_tensor}, which has no memory of its own that holds its elements",
        "'bad.lazy': uninitialised; run a forward pass first",
        "'bad.half': torch.complex32 has no place in a file; save its `torch.view_as_real`",
        "'bad.array': NumPy type object has no place in the format",
        "'bad.masked': a masked array; save its data and its mask",
        "'bad.device': a torch.device is no torch tensor, value or container",
    )
    assert list(tmp_path.iterdir()) == []


def test_a_root_that_is_no_tensor() -> None:
    with pytest.raises(ptformat.FormatError, match=r"'the root': a builtins\.object is no torch tensor"):
        save(object())


def test_every_dtype_of_torch_has_a_place_or_is_named() -> None:
    """What torch lists besides the format's types: names that have no arithmetic, and the quantised ones."""
    dtypes = {dtype for dtype in vars(torch).values() if isinstance(dtype, torch.dtype)} - set(DTYPES.values())
    assert {torch.complex32, torch.uint4, torch.int4, torch.quint8, torch.bits8} <= dtypes
    for dtype in dtypes - {torch.complex32, torch.bits16, torch.qint32}:
        with pytest.raises(ptformat.FormatError, match=rf"'x': {dtype} has no place .*view\(torch\.uint8\)") as caught:
            save({"x": torch.zeros(2, dtype=torch.uint8).view(dtype)})
        assert caught.value.code == "DTYPE"
    with pytest.raises(ptformat.FormatError, match=r"'x': torch\.complex32 has no place .*view_as_real") as caught:
        save({"x": complex_half()})
    assert load(save({"x": torch.view_as_real(complex_half())}))["x"].shape == (2, 2)
    assert caught.value.code == "DTYPE"


# Two elements of float4 in a byte


def pairs(*shape: int) -> torch.Tensor:
    data = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    return torch.from_numpy(data).view(torch.float4_e2m1fn_x2)


@pytest.mark.parametrize("codec", ["raw", "zstd"])
@pytest.mark.parametrize("shape", [(3, 5), (7,), (2, 0), (2, 3, 4), (64, 65)])
def test_pairs_of_float4_have_the_last_axis_twice(shape: tuple[int, ...], codec: str, tmp_path: Path) -> None:
    tensor = pairs(*shape)
    loaded = trip({"a.b": tensor}, tmp_path, codec=codec)["a.b"]
    assert (loaded.dtype, loaded.shape) == (torch.float4_e2m1fn_x2, shape)
    assert loaded.view(torch.uint8).tolist() == tensor.view(torch.uint8).tolist()
    with ptformat.open(tmp_path / "x.ptf") as file:
        assert (file["a.b"].dtype, file["a.b"].shape) == ("float4_e2m1fn", (*shape[:-1], 2 * shape[-1]))
        low = file["a.b"].view(np.uint8)[..., ::2]
        assert low.tolist() == (tensor.view(torch.uint8) & 15).tolist()


def test_strides_and_ties_of_pairs(tmp_path: Path) -> None:
    whole = pairs(2, 3, 4)
    tree = {"w": whole, "again": whole.view(2, 3, 4), "t": whole.permute(1, 0, 2)}
    loaded = trip(tree, tmp_path)
    assert aliases(tmp_path / "x.ptf") == {"again": ("w", None), "t": ("w", (1, 0, 2))}
    assert loaded["t"].view(torch.uint8).tolist() == tree["t"].contiguous().view(torch.uint8).tolist()
    # With its last axis elsewhere the pairs are of other elements: no tie, and not in silence.
    turned = {"w": whole, "t": whole.permute(0, 2, 1)}
    with pytest.raises(ptformat.FormatError, match="share memory") as caught:
        save(turned)
    assert caught.value.code == "TIE"
    copied = load(save(turned, copy_overlaps=True))
    assert copied["t"].view(torch.uint8).tolist() == whole.view(torch.uint8).permute(0, 2, 1).tolist()


def test_float4_that_torch_cannot_pair() -> None:
    import ml_dtypes

    odd = np.zeros((4, 3), ml_dtypes.float4_e2m1fn)
    with pytest.raises(ptformat.FormatError) as caught:
        load(ptformat.save({"odd": odd, "none": odd[0, 0], "even": odd.T}))
    assert caught.value.problems == ("'odd': float4_e2m1fn", "'none': float4_e2m1fn")
    with pytest.raises(ptformat.FormatError, match=r"'x': torch\.float4_e2m1fn_x2 without an axis.*reshape\(1\)"):
        save({"x": pairs(1).reshape(())})


# Arrays of NumPy's among the tensors


def test_numpy_arrays_and_scalars_stay_what_they_are(tmp_path: Path) -> None:
    import ml_dtypes

    array = np.arange(6, dtype=np.uint32).reshape(2, 3)
    tree = {
        "a": array,
        "again": array,
        "half": np.ones(3, ml_dtypes.int4),
        "scalar": np.float64(0.1),
        "none": np.array(2, np.int16),
        "t": torch.ones(2),
    }
    loaded = trip(tree, tmp_path)
    assert loaded["a"] is loaded["again"]
    for name in ("a", "half", "scalar", "none"):
        assert type(loaded[name]) is type(tree[name])
        assert (loaded[name].dtype, loaded[name].tolist()) == (tree[name].dtype, tree[name].tolist())
    assert type(loaded["t"]) is torch.Tensor


def test_element_types_that_torch_has_not() -> None:
    import ml_dtypes

    strange = {"a.x": np.zeros(3, ml_dtypes.int4), "a.y": np.zeros(3, ml_dtypes.float8_e3m4), "a.z": np.ones(2)}
    with pytest.raises(ptformat.FormatError) as caught:
        load(ptformat.save(strange))
    assert caught.value.code == "DTYPE"
    assert caught.value.problems == ("'a.x': int4", "'a.y': float8_e3m4")
    assert "load_tree" in caught.value.message


def test_without_torch_the_error_says_what_to_install() -> None:
    program = "import sys; sys.modules['torch'] = None; import ptformat.torch"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 1
    assert (
        done.stderr.splitlines()[-1]
        == "ptformat.errors.MissingPackage: ptformat.torch needs torch: pip install 'ptformat[torch]'"
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.bool])
def test_each_tensor_has_a_storage_of_its_own(dtype: torch.dtype, tmp_path: Path) -> None:
    save_file({f"l.{i}.w": torch.ones(3, 5, dtype=dtype) for i in range(100)}, tmp_path / "x.ptf")
    loaded = load_file(tmp_path / "x.ptf")
    assert {tensor.untyped_storage().nbytes() for tensor in loaded.values()} == {15 * dtype.itemsize}
    assert len({tensor.untyped_storage().data_ptr() for tensor in loaded.values()}) == 100
    torch.save(loaded["l.50.w"], tmp_path / "one.pt")
    assert (tmp_path / "one.pt").stat().st_size < 4096
    loaded["l.50.w"].zero_()
    assert sum(int(tensor.sum()) for tensor in loaded.values()) == 99 * 15


def test_numpy_arrays_among_tensors_keep_their_ties(tmp_path: Path) -> None:
    array, scalar = np.arange(6.0).reshape(2, 3), np.float32(2)
    save_file({"a": array, "t": torch.ones(2), "b": array, "s": scalar, "u": 3}, tmp_path / "x.ptf")
    loaded = load_file(tmp_path / "x.ptf")
    assert list(loaded) == ["a", "t", "b", "s", "u"]
    assert loaded["a"] is loaded["b"]
    assert (type(loaded["s"]), loaded["s"], loaded["u"]) == (np.float32, 2, 3)


def test_tensors_that_touch_do_not_overlap(tmp_path: Path) -> None:
    whole = torch.arange(12.0)
    parts = {"a": whole[:5], "b": whole[5:8], "c": whole[8:], "d": whole[12:]}
    save_file(parts, tmp_path / "x.ptf")
    assert all(torch.equal(tensor, parts[name]) for name, tensor in load_file(tmp_path / "x.ptf").items())
    interleaved = whole.reshape(6, 2)
    save_file({"even": interleaved[:, 0], "odd": interleaved[:, 1]}, tmp_path / "y.ptf")
    with pytest.raises(ptformat.FormatError, match=r"'a' float32 \(7,\) and 'b' float32 \(7,\)"):
        save({"a": whole[:7], "b": whole[5:]})
