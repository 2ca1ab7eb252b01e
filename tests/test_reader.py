import gc
import hashlib
import mmap
import os

import craft
import msgpack
import numpy as np
import pytest

import ptformat
from ptformat import Record, loading, reader
from ptformat.errors import FormatError
from ptformat.reader import Reader

BIG = np.arange(2**18, dtype=np.float32)  # 1 MiB: begins on a page
TREE = {"a": np.arange(3, dtype=np.int16), "big": BIG, "c": {"d": np.float64(2.5), "e": np.zeros((2, 0)), "v": "text"}}
CODECS = ["raw", "zstd"]


@pytest.fixture(params=CODECS)
def path(request, tmp_path):
    ptformat.save_file(TREE, tmp_path / "x.ptf", codec=request.param)
    return tmp_path / "x.ptf"


@pytest.fixture
def raw(tmp_path):
    ptformat.save_file(TREE, tmp_path / "x.ptf")
    return tmp_path / "x.ptf"


def flip(path, at):
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def address(array):
    return array.ctypes.data


def test_offsets_and_alignment_of_a_mapped_file(raw):
    with ptformat.open(raw) as file:
        assert file.index.layout == ([64, 4096, 4096 + 2**20, 4096 + 2**20 + 64], 4096 + 2**20 + 64)
        base = address(file["a"]) - 64
        assert base % mmap.PAGESIZE == 0
        starts = [address(file[name]) - base for name in ("a", "big", "c.d")]
        assert starts == [64, 4096, 4096 + 2**20]
    data = raw.read_bytes()
    assert data[64:70] == bytes.fromhex("000001000200")
    assert data[4096 : 4096 + 2**20] == BIG.tobytes()
    assert data[4096 + 2**20 :][:8] == bytes.fromhex("0000000000000440")


def test_every_array_is_aligned(path):
    for loaded in (ptformat.open(path), ptformat.load_file(path), ptformat.load(path.read_bytes())):
        assert [address(loaded[name]) % 64 for name in ("a", "big", "c.d")] == [0, 0, 0]


def test_a_reader_is_a_mapping_of_leaves(path):
    with ptformat.open(path) as file:
        assert list(file) == ["a", "big", "c.d", "c.e", "c.v"]
        assert (len(file), "a" in file, "c" in file, "x" in file) == (5, True, False, False)
        assert (file["c.v"], file["c.d"].shape, file["c.e"].shape) == ("text", (), (2, 0))
        assert np.array_equal(file["big"], BIG)
        assert file.get("x") is None
        assert [path for path, _ in file.walk()] == ["a", "big", "c.d", "c.e"]
        assert repr(file) == f"Reader({str(path)!r}, 5 leaves)"
        assert (file.convention, file.dialect, file.metadata, file.provenance, file.aliases) == (None, None, {}, {}, {})
        with pytest.raises(KeyError, match="no entry 'x' in"):
            file["x"]
        with pytest.raises(KeyError, match="no entry 'c' in"):
            file.info("c")


def test_a_node_is_no_leaf():
    file = Reader(ptformat.save({"l": [1]}))
    with pytest.raises(KeyError, match=r"'l' is an inner node; reader.tree\['l'\] shows it"):
        file["l"]
    assert (list(file), "l" in file) == (["l.0"], False)


def test_arrays_of_open_are_read_only(path):
    with ptformat.open(path) as file:
        for array in (file["a"], file["big"], *file.load().values()):
            if isinstance(array, np.ndarray):
                with pytest.raises(ValueError, match="read-only"):
                    array[...] = 0
    sub_byte = Reader(ptformat.save({"x": np.ones(3, np.int8).astype("int4")}))
    assert not sub_byte["x"].flags.writeable


def test_loaded_arrays_are_writable_and_the_file_stays(path):
    before = path.read_bytes()
    for loaded in (ptformat.load_file(path), ptformat.load_tree(path), ptformat.load(before)):
        for name in ("a", "big"):
            loaded[name][...] = 7
            assert (loaded[name] == 7).all()
    assert path.read_bytes() == before
    assert np.array_equal(ptformat.load_file(path)["big"], BIG)


def test_arrays_outlive_the_reader(path):
    file = ptformat.open(path)
    array = file["big"]
    file.close()
    del file
    gc.collect()
    os.unlink(path)
    assert np.array_equal(array, BIG)


def test_a_closed_reader_says_so(path):
    with ptformat.open(path) as file:
        pass
    assert list(file) == ["a", "big", "c.d", "c.e", "c.v"]
    with pytest.raises(ValueError, match=r"x\.ptf is closed"):
        file["a"]
    file.close()


def test_saving_over_a_mapped_file_does_not_damage_the_map(path):
    with ptformat.open(path) as file:
        mapped, private = file["big"], ptformat.load_file(path)["big"]
        ptformat.save_file({"a": np.zeros(1)}, path)
        assert np.array_equal(mapped, BIG)
        assert np.array_equal(private, BIG)
        assert np.array_equal(file["a"], TREE["a"])
    assert list(ptformat.load_file(path)) == ["a"]


def test_saving_a_file_over_itself(path):
    before = path.read_bytes()
    ptformat.save_file(ptformat.load_tree(path), path, codec="zstd" if before[-32] else "raw")
    assert path.read_bytes() == before


def test_opening_reads_no_tensor(path):
    """Damage in one tensor does not keep another from being read."""
    start = ptformat.open(path).index.layout[0][1]
    assert start == (128 if path.read_bytes()[-32] else 4096)  # the index of a compressed file is compressed
    flip(path, start + 100)
    with ptformat.open(path, verify=True) as file:
        assert file["a"].tolist() == [0, 1, 2]
        assert file["c.d"] == 2.5
        with pytest.raises(
            FormatError, match=rf"tensor 'big', chunk 0 at byte {start}: xxh3 [0-9a-f]{{16}} stored"
        ) as caught:
            file["big"]
    assert (caught.value.code, caught.value.path) == ("CHECKSUM", "big")


def test_a_compressed_tensor_is_always_checked(tmp_path):
    path = tmp_path / "x.ptf"
    ptformat.save_file(TREE, path, codec="zstd")
    flip(path, 4096 + 100)
    with ptformat.open(path) as file, pytest.raises(FormatError, match="tensor 'big', chunk 0"):
        file["big"]
    for load in (ptformat.load_file, ptformat.load_tree):
        with pytest.raises(FormatError, match="tensor 'big', chunk 0"):
            load(path)


def test_a_mapped_tensor_is_checked_when_asked(raw):
    flip(raw, 4096 + 100)
    assert (ptformat.load_file(raw)["big"] != BIG).sum() == 1
    for load, source in ((ptformat.load_file, raw), (ptformat.load_tree, raw), (ptformat.load, raw.read_bytes())):
        with pytest.raises(FormatError, match="tensor 'big', chunk 0 at byte 4096"):
            load(source, verify=True)


def test_the_damaged_chunk_is_named(tmp_path):
    path = tmp_path / "x.ptf"
    ptformat.save_file({"x": np.arange(1000, dtype=np.uint8)}, path, chunk=64)
    flip(path, 64 + 5 * 64 + 3)
    with pytest.raises(FormatError, match="tensor 'x', chunk 5 at byte 384"):
        ptformat.load_file(path, verify=True)


def resident():
    """KiB of the process' mapped files in memory."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("RssFile"))


def test_pages_are_read_when_touched(tmp_path):
    path = tmp_path / "x.ptf"
    ptformat.save_file({f"{i}": np.ones(2**21, np.uint8) for i in range(32)}, path, durable=False)
    before = resident()
    with ptformat.open(path) as file:
        arrays = dict(file.walk())
        assert resident() - before < 8 * 1024  # of 64 MiB
        total = sum(int(array.sum()) for array in arrays.values())
        assert total == 32 * 2**21
        assert resident() - before > 48 * 1024


def test_all_paths_of_a_tensor_are_one_array(tmp_path):
    path = tmp_path / "x.ptf"
    with ptformat.Writer(path, codec="zstd") as out:
        out.tensor("a", np.zeros((4, 6), np.float32))
        out.alias("b", "a")
        out.alias("c", "a", (1, 0))
        out.alias("d", "a", (1, 0))
    with ptformat.open(path) as file:
        a, c = file["a"], file["c"]
        assert file["b"] is a
        assert file["d"] is c
        assert (c.shape, c.strides) == ((6, 4), (4, 24))
        assert np.shares_memory(a, c)
    loaded = ptformat.load_file(path)
    loaded["c"][5, 3] = 9
    assert loaded["a"][3, 5] == loaded["b"][3, 5] == loaded["d"][5, 3] == 9
    assert loaded["a"] is loaded["b"]


def test_load_some(path):
    with ptformat.open(path) as file:
        some = file.load(["big", "c.v"])
        assert list(some) == ["big", "c.v"]
        assert np.array_equal(some["big"], BIG)
        with pytest.raises(KeyError, match="no entry 'x'"):
            file.load(["a", "x"])


@pytest.mark.parametrize("codec", ["raw", "zstd"])
def test_what_is_still_held_is_given_again(codec, tmp_path):
    tree = {"a": np.zeros((40, 6), np.float32), "b": np.ones(300, np.int8), "v": 1}
    ptformat.save_file(tree, tmp_path / "x.ptf", codec=codec)
    with ptformat.open(tmp_path / "x.ptf") as file:
        loaded = file.load()
        assert file["a"] is loaded["a"]
        if codec == "raw":
            assert file.load(["a"])["a"] is loaded["a"]
        del loaded
        gc.collect()
        assert np.array_equal(file["b"], tree["b"])
        assert file.load().keys() == tree.keys()
    with pytest.raises(ValueError, match="is closed"):
        file.load()
    assert file.load(["v"]) == {"v": 1}


def test_arrays_loaded_together_are_apart(tmp_path):
    tree = {f"a.{i}": np.full(3, i, np.int16) for i in range(5)}
    ptformat.save_file(tree, tmp_path / "x.ptf")
    loaded = ptformat.load_file(tmp_path / "x.ptf")
    loaded["a.1"][:] = 9
    assert all(array.flags.writeable and array.flags.aligned for array in loaded.values())
    assert [array[0] for array in loaded.values()] == [0, 9, 2, 3, 4]
    with ptformat.open(tmp_path / "x.ptf") as file:
        assert not any(array.flags.writeable for array in file.load().values())


def test_many_chunks_are_decoded_in_parallel(tmp_path):
    tree = {f"{i}": np.arange(i * 1000, dtype=np.int32) for i in range(20)}
    ptformat.save_file(tree, tmp_path / "x.ptf", codec="zstd", chunk=4096)
    loaded = ptformat.load_file(tmp_path / "x.ptf")
    assert all(np.array_equal(loaded[name], array) for name, array in tree.items())


def digest(data):
    """The content digest, from the text of the spec: msgpack, the index map and the arrays."""
    content = craft.index_map(data)
    arrays = [array for _, array in Reader(data).walk()]
    for name in ("requires", "chunk", "codec", "stored", "sum"):
        del content[name]
    content["sha256"] = b"".join(hashlib.sha256(array.tobytes()).digest() for array in arrays)
    return hashlib.sha256(msgpack.packb({key: content[key] for key in sorted(content)})).hexdigest()


def test_digest_is_of_the_content_alone():
    written = {
        (codec, chunk): ptformat.save(TREE, codec=codec, chunk=chunk, metadata={"by": "me"})
        for codec in CODECS
        for chunk in (64, 2**16, 2**22)
    }
    assert len(set(written.values())) == 6
    assert {Reader(data).digest() for data in written.values()} == {digest(written["raw", 64])}
    sums = Reader(written["raw", 64]).tensor_digests()
    assert sums["a"] == hashlib.sha256(bytes.fromhex("000001000200")).hexdigest()
    assert sums["c.e"] == hashlib.sha256(b"").hexdigest()
    assert list(sums) == ["a", "big", "c.d", "c.e"]


@pytest.mark.parametrize(
    ("tree", "options"),
    [
        ({**TREE, "a": np.arange(1, 4, dtype=np.int16)}, {}),
        ({**TREE, "a": TREE["a"].astype(np.uint16)}, {}),
        ({"big": BIG, **TREE}, {}),
        (TREE, {"metadata": {"x": 1}}),
        (TREE, {"convention": "torch"}),
    ],
)
def test_digest_tells_contents_apart(tree, options):
    assert Reader(ptformat.save(tree, **options)).digest() != Reader(ptformat.save(TREE)).digest()


@pytest.mark.parametrize("by", [ptformat.open, ptformat.load_file, ptformat.load_tree, ptformat.verify])
def test_what_is_no_file(by, tmp_path):
    with pytest.raises(FileNotFoundError):
        by(tmp_path / "missing.ptf")
    with pytest.raises(IsADirectoryError):
        by(tmp_path)
    (tmp_path / "empty.ptf").touch()
    with pytest.raises(FormatError, match="begins with nothing") as caught:
        by(tmp_path / "empty.ptf")
    assert caught.value.code == "MAGIC"


def test_aligned():
    for size in (1, 63, 64, 1000):
        array = reader.aligned(size)
        assert (array.size, array.ctypes.data % 64, array.dtype) == (size, 0, np.uint8)


def test_a_record_from_a_file_without_a_class():
    with craft.memory() as out:
        out.node("", "namedtuple")
        out.value("mu", 1)
    tree = loading.tree(Reader(out.getvalue()))
    assert isinstance(tree, Record)
    assert repr(tree) == "Record(mu=1)"


def test_bytes_are_loaded_into_memory_of_ones_own():
    """Compressed or raw, an array is aligned, writable, and neither the bytes' nor another array's memory."""
    rng = np.random.default_rng(0)
    tree = {f"{i}": (rng.standard_normal(size) * 0.02).astype(np.float32) for i, size in enumerate((9000, 3, 70_001))}
    tree |= {"noise": rng.integers(0, 256, 100_003, dtype=np.uint8), "large": np.zeros(2**22, np.float32)}
    data = ptformat.save(tree, codec="planes")
    before = bytes(bytearray(data))
    reader = ptformat.Reader(data)
    assert sorted(set(reader.index.columns["codec"].tolist())) == [0, 2]
    found = ptformat.load(data)
    for name, array in found.items():
        assert array.tobytes() == tree[name].tobytes()
        assert array.ctypes.data % 64 == 0
        array[...] = array + array.dtype.type(1)
    assert all(np.array_equal(array, tree[name] + tree[name].dtype.type(1)) for name, array in found.items())
    assert data == before
    assert all(array.tobytes() == tree[name].tobytes() for name, array in ptformat.load(data).items())
