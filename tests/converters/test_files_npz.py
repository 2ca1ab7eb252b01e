"""The .npz file: against NumPy, both ways, and malformed in every way."""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nets import minilm
from sources import bits, read, rewrite, same

import ptformat
from ptformat.converters import copy
from ptformat.converters.files import npz, open_source, zip_write
from ptformat.converters.files.npz import NpzSource
from ptformat.dtypes import TABLE
from ptformat.tree import Node

SHAPES = [(3, 5), (), (0, 4), (1,), (7, 3, 2)]
NUMPY = [row.name for row in TABLE if row.numpy.isbuiltin != 2]
OTHERS = [row.name for row in TABLE if row.numpy.isbuiltin == 2]
SAVERS = pytest.mark.parametrize("save", [np.savez, np.savez_compressed])


def test_the_types() -> None:
    assert len(NUMPY) == 14
    assert {"bfloat16", "float8_e4m3fn", "float8_e5m2", "int4"} < set(OTHERS)


@SAVERS
@pytest.mark.parametrize("name", NUMPY)
def test_read_what_numpy_wrote(name: str, save: Any, tmp_path: Path) -> None:
    arrays = {f"m.t{number}": bits(name, shape) for number, shape in enumerate(SHAPES)}
    save(tmp_path / "x.npz", **arrays)
    found = read(tmp_path / "x.npz")
    assert {key: same(array, arrays[key]) for key, array in found.items()} == dict.fromkeys(arrays, True)


@pytest.mark.parametrize("name", NUMPY)
def test_numpy_reads_what_we_wrote(name: str, tmp_path: Path) -> None:
    arrays = {f"m.t{number}": bits(name, shape) for number, shape in enumerate(SHAPES)}
    ptformat.save_file(arrays, tmp_path / "x.ptf")
    rewrite(tmp_path / "x.ptf", tmp_path / "x.npz")
    with np.load(tmp_path / "x.npz", allow_pickle=False) as found:
        assert found.files == list(arrays)
        assert all(same(found[key], array) for key, array in arrays.items())
    with zipfile.ZipFile(tmp_path / "x.npz") as file:
        assert file.testzip() is None


@SAVERS
def test_orders_of_bytes_and_axes(save: Any, tmp_path: Path) -> None:
    array = bits("float32", (3, 4, 5))
    kinds = {"fortran": np.asfortranarray(array), "big": array.astype(">f4"), "both": np.asfortranarray(array, ">f4")}
    kinds |= {"turned": array.transpose(2, 0, 1), "steps": array[::2, ::-1]}
    save(tmp_path / "x", **kinds)
    found = read(tmp_path / "x.npz")
    assert same(found["fortran"], array)
    assert same(found["turned"], array.transpose(2, 0, 1))
    assert same(found["steps"], array[::2, ::-1])
    for key in ("big", "both"):
        assert same(found[key], kinds[key].astype("<f4"))
    rewrite(tmp_path / "x.npz", tmp_path / "y.npz")
    with np.load(tmp_path / "y.npz") as again:
        assert all(same(again[key], value) for key, value in found.items())


def test_complex_of_the_other_byte_order(tmp_path: Path) -> None:
    array = np.arange(6).reshape(2, 3) * (1 + 2j)
    np.savez(tmp_path / "x", a=array.astype(">c16"))
    assert same(read(tmp_path / "x.npz")["a"], array)


def test_stored_members_are_mapped(tmp_path: Path) -> None:
    array = bits("float32", (1000, 3))
    np.savez(tmp_path / "x", a=array)
    np.savez_compressed(tmp_path / "y", a=array)
    stored, deflated = NpzSource(tmp_path / "x.npz"), NpzSource(tmp_path / "y.npz")
    assert not stored.array("a").flags.writeable
    assert same(deflated.array("a"), array)
    rewrite(tmp_path / "y.npz", tmp_path / "z.npz")
    ours = NpzSource(tmp_path / "z.npz")
    assert ours.array("a").ctypes.data % 64 == 0


def test_a_large_deflated_member_is_gathered_in_a_file(tmp_path: Path) -> None:
    array = np.zeros(5 * 2**20)
    array[::1000] = np.arange(array[::1000].size)
    np.savez_compressed(tmp_path / "x", a=array)
    assert (tmp_path / "x.npz").stat().st_size < 2**20
    assert same(NpzSource(tmp_path / "x.npz").array("a"), array)


def test_names_and_their_tree(tmp_path: Path) -> None:
    names = ["x.weight", "x.weight.absmax", ".", "a..b", "sl/ash", "été", "q q"]
    arrays = {name: np.full(2, number) for number, name in enumerate(names)}
    np.savez(tmp_path / "x", **arrays)
    opened = open_source(tmp_path / "x.npz")
    assert opened.entries[0] == Node("", "flat")
    rewrite(tmp_path / "x.npz", tmp_path / "x.ptf")
    assert list(ptformat.load_file(tmp_path / "x.ptf")) == names
    rewrite(tmp_path / "x.ptf", tmp_path / "y.npz")
    with np.load(tmp_path / "y.npz") as found:
        assert {key: value.tolist() for key, value in found.items()} == {
            key: value.tolist() for key, value in arrays.items()
        }


def test_positional_arrays_and_none(tmp_path: Path) -> None:
    np.savez(tmp_path / "x", np.ones(2), np.zeros(3))
    assert list(read(tmp_path / "x.npz")) == ["arr_0", "arr_1"]
    np.savez(tmp_path / "y")
    assert open_source(tmp_path / "y.npz").entries == [Node("", "map")]
    rewrite(tmp_path / "y.npz", tmp_path / "z.npz")
    with np.load(tmp_path / "z.npz") as found:
        assert found.files == []


def test_ties_are_written_under_each_name(tmp_path: Path) -> None:
    array = bits("float32", (2, 3))
    with ptformat.Writer(tmp_path / "x.ptf") as out:
        out.tensor("a", array)
        out.alias("b", "a")
        out.alias("c", "a", perm=(1, 0))
    rewrite(tmp_path / "x.ptf", tmp_path / "x.npz")
    with np.load(tmp_path / "x.npz") as found:
        assert [same(found[key], value) for key, value in (("a", array), ("b", array), ("c", array.T))] == [True] * 3


def test_sizes_beyond_32_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ZIP64 records, at sizes a test can hold."""
    monkeypatch.setattr(zip_write, "_ZIP64_FROM", 1000)
    arrays = {"a": np.arange(3), "b": np.arange(500.0), "c": np.arange(4)}
    ptformat.save_file(arrays, tmp_path / "x.ptf")
    rewrite(tmp_path / "x.ptf", tmp_path / "x.npz")
    assert b"PK\6\6" in (tmp_path / "x.npz").read_bytes()
    with np.load(tmp_path / "x.npz") as found:
        assert all(same(found[key], array) for key, array in arrays.items())
    assert all(same(array, arrays[key]) for key, array in read(tmp_path / "x.npz").items())


def test_equal_content_is_equal_bytes(tmp_path: Path) -> None:
    np.savez(tmp_path / "x", a=np.arange(3), b=np.zeros((0, 2)))
    rewrite(tmp_path / "x.npz", tmp_path / "y.npz")
    rewrite(tmp_path / "y.npz", tmp_path / "z.npz")
    assert (tmp_path / "y.npz").read_bytes() == (tmp_path / "z.npz").read_bytes()


# --- what is refused


def test_types_that_numpy_has_not(tmp_path: Path) -> None:
    arrays = {"ok": bits("int8", (2,)), **{name: bits(name, (3,)) for name in OTHERS}}
    ptformat.save_file(arrays, tmp_path / "x.ptf")
    with pytest.raises(ptformat.FormatError, match=r"a \.npz would lose; cast them, or keep them in a \.ptf") as caught:
        rewrite(tmp_path / "x.ptf", tmp_path / "x.npz")
    assert caught.value.code == "DTYPE"
    assert caught.value.problems == tuple(f"{name!r}: {name}" for name in OTHERS)
    assert [file.name for file in tmp_path.iterdir()] == ["x.ptf"]


def test_values(tmp_path: Path) -> None:
    ptformat.save_file({"a": np.ones(2), "epoch": 3}, tmp_path / "x.ptf")
    with pytest.raises(ptformat.FormatError, match="1 values that are no tensors, such as 'epoch'"):
        rewrite(tmp_path / "x.ptf", tmp_path / "x.npz")


REFUSED: dict[str, tuple[Any, str, str]] = {
    "objects": (np.array([{}, None], object), "TYPE", "pickled Python objects; load it with NumPy"),
    "structure-of-objects": (np.zeros(2, [("a", "O")]), "TYPE", "pickled Python objects"),
    "structure": (np.zeros(2, [("a", "f4")]), "DTYPE", "save its bits as integers"),
    "bfloat16": (bits("bfloat16", (3,)), "DTYPE", "it may be a bfloat16 or float8"),
    "text": (np.array(["a"]), "DTYPE", "NumPy type <U1"),
    "time": (np.zeros(1, "M8[s]"), "DTYPE", "datetime64"),
    "long-double": (np.zeros(1, np.longdouble), "DTYPE", "128"),
    "latin-field": (np.zeros(1, [("é", "f4")]), "DTYPE", "save its bits"),
    "greek-field": (np.zeros(1, [("ω", "f4")]), "VERSION", "3"),
}


@SAVERS
@pytest.mark.filterwarnings("ignore:Stored array in format 3.0")
@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_place(name: str, save: Any, tmp_path: Path) -> None:
    array, code, said = REFUSED[name]
    save(tmp_path / "x", a=array)
    with pytest.raises(ptformat.FormatError, match=said) as caught:
        open_source(tmp_path / "x.npz")
    assert (caught.value.code, caught.value.path) == (code, "a")


def member(header: str | bytes, data: bytes = bytes(8), magic: bytes = b"\x93NUMPY\1\0") -> bytes:
    text = header if isinstance(header, bytes) else header.encode()
    return magic + len(text).to_bytes(2, "little") + text + data


def header(descr: str = "'<f4'", order: str = "False", shape: str = "(2,)") -> str:
    return f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}\n"


FAULTS: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "MALFORMED"),
    "magic": (member(header(), magic=b"\x93NUMPX\1\0"), "MALFORMED"),
    "version-9": (member(header(), magic=b"\x93NUMPY\x09\0"), "VERSION"),
    "header-cut": (member(header())[:30], "MALFORMED"),
    "header-code": (member("__import__('os').system('true')"), "MALFORMED"),
    "header-list": (member("[1]"), "MALFORMED"),
    "header-deep": (member("(" * 9000), "MALFORMED"),
    "header-long": (member(header() + " " * 12_000), "MALFORMED"),
    "header-key": (member("{'descr': '<f4', 'shape': (2,)}"), "MALFORMED"),
    "descr-unknown": (member(header("'<q9'")), "MALFORMED"),
    "descr-number": (member(header("4.5")), "MALFORMED"),
    "order-number": (member(header(order="3")), "MALFORMED"),
    "shape-list": (member(header(shape="[2]")), "MALFORMED"),
    "shape-float": (member(header(shape="(2.0,)")), "MALFORMED"),
    "shape-negative": (member(header(shape="(-2,)")), "SHAPE"),
    "shape-bool": (member(header(shape="(True, 2)")), "SHAPE"),
    "shape-huge": (member(header(shape="(2**62,)".replace("2**62", str(2**62)))), "SHAPE"),
    "shape-empty-huge": (member(header(shape=f"({2**62}, {2**62}, 0)"), b""), "SHAPE"),
    "rank": (member(header(shape=f"({'1,' * 40})"), bytes(4)), "SHAPE"),
    "data-short": (member(header(), bytes(7)), "EXTENT"),
    "data-long": (member(header(), bytes(9)), "EXTENT"),
}


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("name", FAULTS)
def test_malformed(name: str, method: int, tmp_path: Path) -> None:
    data, code = FAULTS[name]
    with zipfile.ZipFile(tmp_path / "x", "w", method) as file:
        file.writestr("a.npy", data)
    with pytest.raises(ptformat.FormatError) as caught:
        open_source(tmp_path / "x")
    assert caught.value.code == code
    assert len(str(caught.value)) < 500


def test_headers_that_python_2_wrote(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x", "w") as file:
        file.writestr("a.npy", member(header(shape="(2L,)"), np.ones(2, np.float32).tobytes()))
    assert read(tmp_path / "x")["a"].tolist() == [1, 1]


def test_a_member_that_is_no_array(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x", "w") as file:
        file.writestr("a.npy", member(header()))
        file.writestr("readme", b"")
    with pytest.raises(ptformat.FormatError, match="'readme' is no"):
        NpzSource(tmp_path / "x")


def test_a_deflated_member_that_lies(tmp_path: Path) -> None:
    """Its data's checksum is verified, as its bytes pass by."""
    np.savez_compressed(tmp_path / "x", a=np.arange(1000.0))
    data = bytearray((tmp_path / "x.npz").read_bytes())
    at = data.index(b"PK\1\2") + 16
    data[at] ^= 1
    (tmp_path / "x.npz").write_bytes(data)
    with pytest.raises(ptformat.FormatError, match="CRC-32"):
        read(tmp_path / "x.npz")


def test_closing_lets_go_of_the_file(tmp_path: Path) -> None:
    np.savez(tmp_path / "x", a=np.arange(3))
    opened = NpzSource(tmp_path / "x.npz")
    array = opened.array("a")
    opened.close()
    assert array.tolist() == [0, 1, 2]


def test_recognised_by_content(tmp_path: Path) -> None:
    np.savez(tmp_path / "x", a=np.arange(3))
    assert open_source((tmp_path / "x.npz").rename(tmp_path / "model.pt")).kind == "npz"
    assert not npz.recognises(tmp_path / "model.pt", b"\x80\x02")


def test_minilm_there_and_back(tmp_path: Path) -> None:
    origin = minilm.model_path()
    copy(origin, tmp_path / "m.npz", durable=False)
    with np.load(tmp_path / "m.npz") as found:
        assert len(found.files) == 104
        np.savez(tmp_path / "theirs.npz", **found)
    copy(tmp_path / "theirs.npz", tmp_path / "back.safetensors", durable=False)
    left, right = read(tmp_path / "back.safetensors"), read(origin)
    assert left.keys() == right.keys()
    assert all(same(left[key], right[key]) for key in right)


def test_two_paths_of_one_name(tmp_path: Path) -> None:
    """A nested tensor, and one whose key holds the dot."""
    ptformat.save_file({"a": {"b": np.ones(2)}, "a.b": np.zeros(2)}, tmp_path / "x.ptf")
    with pytest.raises(ptformat.FormatError, match=r"two tensors would be called 'a\.b'") as caught:
        rewrite(tmp_path / "x.ptf", tmp_path / "x.npz")
    assert (caught.value.code, [path.name for path in tmp_path.iterdir()]) == ("DUPLICATE", ["x.ptf"])
