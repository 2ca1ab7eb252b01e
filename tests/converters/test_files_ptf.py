"""The .ptf file as source and sink, and which kind a file is of."""

from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from nets import minilm
from sources import bits, read, rewrite, same

import ptformat
from ptformat.converters import copy
from ptformat.converters.files import open_source, sink_of
from ptformat.converters.files.spool import IN_MEMORY_BYTES
from ptformat.dtypes import TABLE
from ptformat.tree import Alias


@pytest.mark.parametrize("codec", ["raw", "zstd"])
def test_every_type_and_codec(codec: str, tmp_path: Path) -> None:
    tree = {f"{row.name}.{rank}": bits(row.name, (3, 5, 7)[:rank]) for row in TABLE for rank in range(4)}
    tree |= {f"{row.name}.empty": bits(row.name, (0, 2)) for row in TABLE}
    ptformat.save_file(tree, tmp_path / "x.ptf", codec=codec)
    found = read(tmp_path / "x.ptf")
    assert {path: same(array, tree[path]) for path, array in found.items()} == dict.fromkeys(tree, True)


@pytest.mark.parametrize("codec", ["raw", "zstd"])
def test_everything_that_is_said_of_a_tree_stays(codec: str, tmp_path: Path) -> None:
    options = {"convention": "torch", "dialect": "d", "metadata": {"a": [1, None]}, "provenance": {"origin": "x"}}
    with ptformat.Writer(tmp_path / "x.ptf", **options) as out:  # type: ignore[arg-type]
        out.node("", "flat", class_="C")
        out.node("m", "part", module="linear", attrs={"eps": 1e-5})
        out.tensor("m.w", bits("bfloat16", (4, 3)), axes=("out", "in"), role="parameter", trainable=False)
        out.alias("n.w", "m.w", perm=(1, 0))
        out.value("v", "text")
    rewrite(tmp_path / "x.ptf", tmp_path / "y.ptf", codec=codec)
    with ptformat.open(tmp_path / "x.ptf") as old, ptformat.open(tmp_path / "y.ptf") as new:
        assert new.entries == old.entries
        assert new.index.header == old.index.header
        assert new.digest() == old.digest()


def test_a_large_compressed_tensor_is_decoded_into_a_file(tmp_path: Path) -> None:
    array = np.resize(bits("float32", (1000,)), (IN_MEMORY_BYTES // 4096 + 1, 1024))
    ptformat.save_file({"w": array}, tmp_path / "x.ptf", codec="zstd")
    opened = open_source(tmp_path / "x.ptf")
    found = opened.array("w")
    assert same(found, array)
    base = found
    while isinstance(base, np.ndarray) and base.base is not None:
        base = base.base
    assert type(base).__name__ in ("mmap", "memoryview")
    opened.close()
    assert same(found, array)


def test_checksums_are_verified_on_both_ways_of_reading(tmp_path: Path) -> None:
    for codec in ("raw", "zstd"):
        ptformat.save_file({"w": np.arange(1000)}, tmp_path / "x.ptf", codec=codec)
        data = bytearray((tmp_path / "x.ptf").read_bytes())
        data[100] ^= 1
        (tmp_path / "y.ptf").write_bytes(data)
        opened = open_source(tmp_path / "y.ptf")
        for reading in (opened.array, lambda path, opened=opened: list(opened.pieces(path))):
            with pytest.raises(ptformat.FormatError) as caught:
                reading("w")
            assert caught.value.code == "CHECKSUM"
        opened.close()


def test_a_flipped_bit_leaves_no_target(tmp_path: Path) -> None:
    ptformat.save_file({"w": np.arange(1000)}, tmp_path / "x.ptf")
    data = bytearray((tmp_path / "x.ptf").read_bytes())
    data[100] ^= 1
    (tmp_path / "x.ptf").write_bytes(data)
    (tmp_path / "y.safetensors").write_bytes(b"before")
    with pytest.raises(ptformat.FormatError):
        copy(tmp_path / "x.ptf", tmp_path / "y.safetensors")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["x.ptf", "y.safetensors"]
    assert (tmp_path / "y.safetensors").read_bytes() == b"before"


def test_a_kind_is_recognised_by_content_whatever_the_name(tmp_path: Path) -> None:
    array = np.arange(3.0)
    ptformat.save_file({"w": array}, tmp_path / "a.safetensors")
    safetensors.numpy.save_file({"w": array}, tmp_path / "b.msgpack")
    rewrite(tmp_path / "a.safetensors", tmp_path / "c.msgpack")
    (tmp_path / "c.ptf").write_bytes((tmp_path / "c.msgpack").read_bytes())
    for name in ("a.safetensors", "b.msgpack", "c.ptf"):
        assert same(read(tmp_path / name)["w"], array)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "the file is empty"),
        (
            b"PK\3\4 a zip",
            "the file begins with 504b03042061207a: none of ptf, safetensors, ",
        ),
        (b"\x80", None),
        (b"{", "the file begins with 7b: none of"),
        (b"\x93NUMPY\1\0", "the file begins with 934e554d50590100: none of"),
    ],
)
def test_what_is_none_of_them(data: bytes, words: str | None, tmp_path: Path) -> None:
    (tmp_path / "x.safetensors").write_bytes(data)
    if words is None:  # an empty msgpack map is a tree
        assert read(tmp_path / "x.safetensors") == {}
        return
    with pytest.raises(ptformat.FormatError) as caught:
        open_source(tmp_path / "x.safetensors")
    assert caught.value.code == "FORMAT"
    assert words in caught.value.message


def test_truncated_at_every_length(tmp_path: Path) -> None:
    ptformat.save_file({"w": np.arange(3.0)}, tmp_path / "x.ptf")
    data = (tmp_path / "x.ptf").read_bytes()
    for length in range(len(data)):
        (tmp_path / "y.ptf").write_bytes(data[:length])
        with pytest.raises(ptformat.FormatError) as caught:
            open_source(tmp_path / "y.ptf")
        assert caught.value.code in (("FORMAT",) if not length else ("TRUNCATED", "MAGIC"))


def test_missing_file_and_directory(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        open_source(tmp_path / "none.ptf")
    with pytest.raises(IsADirectoryError):
        open_source(tmp_path)


def test_the_suffix_says_what_is_written() -> None:
    names = {"a.ptf": "ptf", "a.PTF": "ptf", "a.b.safetensors": "safetensors", "a.msgpack": "flax msgpack"}
    names |= dict.fromkeys(["a", "a/", "a.ptf/", "x.y/a"], "huggingface")
    assert {name: sink_of(name).name for name in names} == names
    for name in ("a.xyz", "a.safetensors.bak", ".ptf", "", ".", ".."):
        with pytest.raises(ptformat.FormatError) as caught:
            sink_of(name)
        assert caught.value.code == "FORMAT"
        assert "it ends in none of .ptf, .safetensors, " in caught.value.message


def test_aliases_are_read_as_such(tmp_path: Path) -> None:
    array = np.ones((2, 3))
    ptformat.save_file({"a": array, "b": array}, tmp_path / "x.ptf")
    assert open_source(tmp_path / "x.ptf").entries[1] == Alias("b", "a")


@pytest.mark.parametrize("codec", ["raw", "zstd"])
def test_the_checkpoint_comes_back_as_the_very_same_file(codec: str, tmp_path: Path) -> None:
    origin = minilm.model_path()
    done = copy(origin, tmp_path / "m.ptf", codec=codec, durable=False)
    assert done.tensors == 104
    assert ptformat.verify(tmp_path / "m.ptf").tensors == 104
    copy(tmp_path / "m.ptf", tmp_path / "back.safetensors", durable=False)
    assert (tmp_path / "back.safetensors").read_bytes() == origin.read_bytes()
