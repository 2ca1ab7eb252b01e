import contextlib
import subprocess
import sys

import craft
import numpy as np
import pytest

import ptformat
from ptformat import Alias, Node, TensorInfo, Value, writer
from ptformat.bands import regrouped
from ptformat.container import checksum
from ptformat.errors import FormatError
from ptformat.reader import Reader

ROWS = np.arange(12, dtype=np.float32).reshape(3, 4)


@contextlib.contextmanager
def raises(code, message):
    with pytest.raises(FormatError) as caught:
        yield
    assert (caught.value.code, message in caught.value.message) == (code, True), caught.value


def test_every_fact_comes_back():
    facts = {"axes": ("out", "in"), "role": "parameter", "trainable": False, "class_": "P", "attrs": {"x": [1.5, None]}}
    with craft.memory(convention="torch", dialect="d", metadata={"m": 1}, provenance={"p": [2]}) as out:
        out.node("", "flat", module="net", class_="Net", attrs={"heads": 2})
        out.tensor("a", ROWS, **facts)
        out.alias("b", "a", axes=("x", "y"), role="buffer", trainable=True)
        out.alias("c", "a", [1, 0])
        out.value("v", 2**64 - 1)
        out.node("k", "keys", keys=[1, (2, "x")])
        out.value("k.1", None)
        out.value("k.2", b"")
    file = Reader(out.getvalue())
    assert file.entries == (
        Node("", "flat", None, "net", "Net", {"heads": 2}),
        TensorInfo("a", "float32", (3, 4), ("out", "in"), "parameter", False, "P", {"x": [1.5, None]}),
        Alias("b", "a", None, ("x", "y"), "buffer", True),
        Alias("c", "a", (1, 0), ("in", "out"), "parameter", False),
        Value("v", 2**64 - 1),
        Node("k", "keys", (1, (2, "x"))),
        Value("k.1", None),
        Value("k.2", b""),
    )
    assert (file.convention, file.dialect, file.metadata, file.provenance) == ("torch", "d", {"m": 1}, {"p": [2]})


def test_copying_entries_gives_the_same_bytes():
    data = craft.sample()
    source = Reader(data)
    with craft.memory() as out:
        for entry in source.entries:
            out.add(entry, source[entry.path] if isinstance(entry, TensorInfo) else None)
    assert out.getvalue() == data


@pytest.mark.parametrize("codec", ["raw", "zstd"])
@pytest.mark.parametrize("sizes", [[4096], [1] * 4096, [63, 1, 0, 64, 65, 3903], [4000, 96], [0, 4096, 0]])
def test_pieces_of_any_size(codec, sizes):
    plain = (bytes(range(256)) * 4 + bytes(3072))[:4096]
    ends = np.cumsum(sizes)
    pieces = [plain[end - size : end] for end, size in zip(ends, sizes, strict=True)]
    with craft.memory(codec=codec, chunk=128) as out:
        out.pieces(TensorInfo("x", "uint8", (4096,)), iter(pieces))
    with craft.memory(codec=codec, chunk=128) as whole:
        whole.tensor("x", np.frombuffer(plain, np.uint8))
    assert out.getvalue() == whole.getvalue()
    assert ptformat.load(out.getvalue())["x"].tobytes() == plain


def test_pieces_are_any_buffers():
    pieces = [ROWS[0], memoryview(ROWS[1]), ROWS[2].tobytes()[:3], bytearray(ROWS[2].tobytes()[3:]), np.empty((0, 2))]
    with craft.memory() as out:
        out.pieces(TensorInfo("x", "float32", (3, 4)), pieces)
    assert np.array_equal(ptformat.load(out.getvalue())["x"], ROWS)


@pytest.mark.parametrize("codec", ["raw", "zstd"])
@pytest.mark.parametrize("held", [0, 47, 49, 4096])
def test_a_wrong_number_of_bytes_leaves_nothing(codec, held, tmp_path):
    with (
        raises("CHUNK", f"tensor 'x': float32 (3, 4) needs 48 bytes, the pieces hold {held}"),
        ptformat.Writer(tmp_path / "x.ptf", codec=codec) as out,
    ):
        out.pieces(TensorInfo("x", "float32", (3, 4)), [bytes(held)])
    assert list(tmp_path.iterdir()) == []


def test_an_error_that_is_swallowed_still_leaves_nothing(tmp_path):
    with pytest.raises(ValueError, match="an error has ended it"), ptformat.Writer(tmp_path / "x.ptf") as out:
        with raises("CHUNK", "needs 48 bytes"):
            out.pieces(TensorInfo("x", "float32", (3, 4)), [bytes(47)])
        with pytest.raises(ValueError, match="an error has ended it"):
            out.value("v", 1)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("dtype", "count", "data", "message"),
    [
        ("bool", 3, b"\0\1\2", "a bool byte other than 0 and 1"),
        ("int4", 3, b"\x21\x13", "the 4 bits after the last element are not zero"),
        ("uint2", 5, b"\xff\x07", "the 6 bits after the last element are not zero"),
    ],
)
def test_bits_that_the_type_does_not_allow(dtype, count, data, message):
    with raises("DATA", f"tensor 'x': {message}"), craft.memory() as out:
        out.pieces(TensorInfo("x", dtype, (count,)), [data])


@pytest.mark.parametrize(
    ("write", "code", "message"),
    [
        (lambda out: out.value("a", 1), "DUPLICATE", "path 'a' was written before"),
        (lambda out: out.value("b..c", 1), "PATH", "empty segment"),
        (lambda out: out.value("a.b", 1), "TREE", "has entries beneath it, such as 'a.b'"),
        (lambda out: out.value("v", 2**64), "LIMIT", "does not fit"),
        (lambda out: out.value("v", [1]), "SCHEMA", "a value is an array or a map"),
        (lambda out: out.value("v", object()), "TYPE", "cannot stand in the index"),
        (lambda out: out.alias("b", "x"), "ALIAS", "alias 'b': 'x' was not written before it"),
        (lambda out: (out.alias("b", "a"), out.alias("c", "b")), "ALIAS", "'b' is a Alias, not a tensor"),
        (lambda out: out.alias("b", "a", (0, 0)), "ALIAS", "perm (0, 0) is no permutation of the 2 axes of 'a'"),
        (lambda out: out.alias("b", "a", (2, 0)), "ALIAS", "perm (2, 0) is no permutation"),
        (lambda out: out.alias("b", "a", ()), "ALIAS", "perm () is no permutation"),
        (lambda out: out.alias("b", "a", axes=("x",)), "SCHEMA", "1 names for rank 2"),
        (lambda out: out.tensor("b", ROWS, axes=("x",)), "SCHEMA", "1 names for rank 2"),
        (lambda out: out.tensor("b", ROWS, role=""), "SCHEMA", "role of tensor 'b'"),
        (lambda out: out.tensor("b", ROWS, attrs={"x": {1}}), "TYPE", "a set cannot stand"),
        (lambda out: out.tensor("b", np.array(["x"])), "DTYPE", "NumPy type <U1"),
        (lambda out: out.tensor("b", np.ma.MaskedArray([1], [True])), "TYPE", "a masked array"),
        (lambda out: out.pieces(TensorInfo("b", "float7", ()), []), "DTYPE", "called 'float7'"),
        (lambda out: out.pieces(TensorInfo("b", "int8", (2**62, 2**62, 0)), []), "SHAPE", "tensor 'b'"),
        (lambda out: out.tensor("b", np.zeros((1,) * 33, np.int8)), "SHAPE", "tensor 'b': rank 33, at most 32"),
        (
            lambda out: out.add(TensorInfo("b", "float32", (3, 4)), ROWS.astype(np.float64)),
            "SHAPE",
            "is float64 (3, 4)",
        ),
        (lambda out: out.add(TensorInfo("b", "float32", (4, 3)), ROWS), "SHAPE", "the array is float32 (3, 4)"),
        (lambda out: out.node("", "list"), "TREE", "stands after 'a'"),
        (lambda out: (out.node("l", "list"), out.value("l.1", 0)), "TREE", "is a list with children ['1']"),
        (lambda out: out.node("k", "keys", keys=["x"]), "TREE", "lists 1 keys for 0 children"),
    ],
)
def test_what_a_reader_would_refuse_is_not_written(write, code, message, tmp_path):
    path = tmp_path / "x.ptf"
    path.write_bytes(b"old")
    with raises(code, message), ptformat.Writer(path) as out:
        out.tensor("a", ROWS)
        write(out)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_metadata_has_a_limit():
    with raises("LIMIT", "metadata takes more than 1048576 bytes"), craft.memory(metadata={"a": bytes(2**20)}) as out:
        out.value("", 1)
    with raises("TYPE", "metadata['a']: a set"), craft.memory(metadata={"a": {1}}) as out:
        out.value("", 1)


def test_an_empty_file_needs_a_node():
    with raises("TREE", "no entry; an empty tree is one map node at the root"), craft.memory():
        pass


@pytest.mark.parametrize("options", [{"codec": "lz4"}, {"chunk": 0}, {"chunk": 100}, {"chunk": -64}, {"chunk": 2**27}])
def test_wrong_options(options, tmp_path):
    with pytest.raises(ValueError, match="expected"):
        ptformat.Writer(tmp_path / "x.ptf", **options)
    assert list(tmp_path.iterdir()) == []


def test_wrong_calls():
    out = craft.memory()
    with pytest.raises(TypeError, match="tensor 'x' needs its data"):
        out.add(TensorInfo("x", "int8", ()))
    with pytest.raises(ValueError, match="node form 'set', expected one of map, list"):
        out.node("x", "set")
    out.value("v", 1)
    out.close()
    size = len(out.getvalue())
    out.close()
    assert len(out.getvalue()) == size
    with pytest.raises(ValueError, match="the writer is closed"):
        out.value("w", 1)


def test_abort_within_the_block(tmp_path):
    with ptformat.Writer(tmp_path / "x.ptf") as out:
        out.value("v", 1)
        out.abort()
    assert list(tmp_path.iterdir()) == []


def test_an_identity_perm_is_not_written():
    with craft.memory() as out:
        out.tensor("a", ROWS, axes=("x", "y"))
        out.alias("b", "a", (0, 1))
        out.add(Alias("c", "a", (0, 1)))
        out.alias("d", "a", (1, 0))
    file = Reader(out.getvalue())
    assert [file.info(name).perm for name in "bcd"] == [None, None, (1, 0)]
    assert "perm" in craft.index_map(out.getvalue())


def test_an_alias_writes_only_what_differs():
    with craft.memory() as out:
        out.tensor("a", ROWS, axes=("x", "y"), role="parameter", trainable=True)
        out.alias("b", "a", (1, 0), axes=("y", "x"), role="parameter", trainable=True)
        out.alias("c", "a", (1, 0), axes=("x", "y"), role="buffer", trainable=False)
    content = craft.index_map(out.getvalue())
    assert content["axes"] == craft.sparse([0, 2], [0, 0], [["x", "y"]])
    assert content["role"] == craft.sparse([0, 2], [0, 1], ["parameter", "buffer"])
    assert content["trainable"] == craft.sparse([0, 2], [0, 1], [True, False])


@pytest.mark.parametrize("codec", ["raw", "zstd"])
def test_chunks(codec):
    """Per chunk raw where it does not shrink, whatever the codec asked for."""
    noise = np.random.default_rng(0).integers(0, 256, 4096, dtype=np.uint8)
    tensor = np.concatenate([np.zeros(4096, np.uint8), noise, np.zeros(100, np.uint8)])
    with craft.memory(codec=codec, chunk=4096) as out:
        out.tensor("x", tensor)
    columns = Reader(out.getvalue()).index.columns
    assert columns["codec"].tolist() == ([0, 0, 0] if codec == "raw" else [1, 0, 1])
    stored = columns["stored"].tolist()
    assert stored == [4096, 4096, 100] if codec == "raw" else stored[1] == 4096 and stored[0] < 50 and stored[2] < 50
    assert np.array_equal(ptformat.load(out.getvalue())["x"], tensor)


def test_large_tensors_are_compressed_by_threads():
    big = np.arange(2**20, dtype=np.uint32) // 1000
    assert big.nbytes > writer.POOL_BYTES
    data = ptformat.save({"big": big, "small": big[:100]}, codec="zstd", chunk=2**16)
    assert len(data) < big.nbytes // 4
    assert np.array_equal(ptformat.load(data)["big"], big)
    ptformat.verify(data)


@pytest.mark.parametrize("nbytes", [writer.BLOCK_BYTES - 1, writer.BLOCK_BYTES, 3 * writer.BLOCK_BYTES + 1])
def test_a_chunk_is_summed_in_blocks(nbytes):
    data = np.random.default_rng(0).integers(0, 256, nbytes, np.uint8)
    with craft.memory() as out:
        out.tensor("x", data)
    assert Reader(out.getvalue()).index.columns["sum"].tolist() == [checksum(data)]


def test_pieces_are_copied_only_where_two_meet():
    data = np.arange(100, dtype=np.uint8)
    assert [np.shares_memory(block, data) for block in regrouped([data], 64)] == [True, True]
    blocks = list(regrouped([data[:30], data[30:90], data[90:]], 40))
    assert b"".join(blocks) == data.tobytes()
    assert [(len(block), np.shares_memory(block, data)) for block in blocks] == [(40, False), (40, True), (20, False)]


MEMORY = """
import sys, numpy as np, ptformat
from ptformat import TensorInfo

def anonymous():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("RssAnon"))

codec, path, megabytes = sys.argv[1], sys.argv[2], int(sys.argv[3])
piece = np.random.default_rng(0).integers(0, 64, 2**20, dtype=np.uint8)
peak = 0

def pieces():
    global peak
    for _ in range(megabytes):
        yield piece
        peak = max(peak, anonymous())

with ptformat.Writer(path, codec=codec, durable=False, chunk=2**20) as out:
    out.pieces(TensorInfo("x", "uint8", (megabytes * 2**20,)), pieces())
print(peak)
"""


@pytest.mark.parametrize("codec", ["raw", "zstd"])
def test_memory_does_not_grow_with_the_tensor(codec, tmp_path):
    """Anonymous memory of a process that writes 32 and then 128 MiB, in KiB."""
    peaks = []
    for megabytes in (32, 128):
        command = [sys.executable, "-c", MEMORY, codec, str(tmp_path / "x.ptf"), str(megabytes)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        peaks.append(int(done.stdout))
    assert peaks[1] - peaks[0] < 16 * 1024


@pytest.mark.parametrize("codec", ["raw", "zstd", "planes", "auto"])
def test_an_array_may_change_once_it_is_written(codec, tmp_path):
    """Threads have done with it when `tensor` returns."""
    rng = np.random.default_rng(0)
    array = np.zeros(200_000, np.float32)
    kept = []
    with ptformat.Writer(tmp_path / "x.ptf", codec=codec, chunk=2**18) as out:
        for step in range(6):
            array[:] = rng.standard_normal(array.size) * 0.02
            kept.append(array.copy())
            out.tensor(str(step), array)
    with ptformat.open(tmp_path / "x.ptf", verify=True) as file:
        assert [file[str(step)].tobytes() for step in range(6)] == [array.tobytes() for array in kept]


@pytest.mark.parametrize("codec", ["raw", "zstd", "planes", "auto"])
def test_lasting_pieces_make_the_same_file(codec, tmp_path):
    """Chunks of several tensors compressed at once are written in their order, empty and tiny ones between."""
    rng = np.random.default_rng(0)
    sizes = [70_000, 3, 0, 400_000, 1000, 0, 0, 2_000_000, 90_000, 1]
    tree = {f"{i}": (rng.standard_normal(size) * 0.02).astype(np.float32) for i, size in enumerate(sizes)}
    tree |= {"noise": rng.integers(0, 256, 500_000, dtype=np.uint8), "zeros": np.zeros(2**20), "last": np.zeros(0)}
    for lasting in (False, True):
        with ptformat.Writer(tmp_path / f"{lasting}.ptf", codec=codec, chunk=2**16) as out:
            for name, array in tree.items():
                info = ptformat.TensorInfo(name, str(array.dtype), array.shape)
                out.pieces(info, iter([array.view(np.uint8).data]), lasting=lasting)
    data = (tmp_path / "True.ptf").read_bytes()
    assert data == (tmp_path / "False.ptf").read_bytes() == ptformat.save(tree, codec=codec, chunk=2**16)
    found = ptformat.load(data, verify=True)
    assert all(found[name].tobytes() == array.tobytes() for name, array in tree.items())
    assert ptformat.verify(data).tensors == len(tree)


def test_what_numpy_makes_an_array_of_can_be_written():
    with craft.memory() as out:
        out.tensor("a", [[1.5, 2.5]], axes=())
        out.tensor("b", 3, axes=())
    file = Reader(out.getvalue())
    assert (file["a"].tolist(), file["b"].shape, int(file["b"])) == ([[1.5, 2.5]], (), 3)
    assert file.info("b").axes is None


def test_a_source_that_ends_the_writer(tmp_path):
    out = ptformat.Writer(tmp_path / "x.ptf")

    def pieces():
        yield bytes(100)
        out.abort()
        yield bytes(100)

    with pytest.raises(ValueError, match="the writer is closed, or an error has ended it"):
        out.pieces(TensorInfo("a", "uint8", (200,)), pieces())
    assert list(tmp_path.iterdir()) == []


def test_an_index_beyond_the_limit_is_not_written(monkeypatch, tmp_path):
    monkeypatch.setattr(writer, "MAX_INDEX_BYTES", 1000)
    fitting = 1000 - len(craft.index_bytes(ptformat.save({"": 1}, metadata={"a": "x" * 300}))) + 300
    ptformat.save_file({"": 1}, tmp_path / "x.ptf", metadata={"a": "x" * fitting})
    before = (tmp_path / "x.ptf").read_bytes()
    with pytest.raises(FormatError, match=r"^LIMIT: the index takes 1001 bytes, at most 1000 are allowed$"):
        ptformat.save_file({"": 2}, tmp_path / "x.ptf", metadata={"a": "x" * (fitting + 1)})
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"x.ptf": before}


@pytest.mark.parametrize(("length", "compressed"), [(2000, True), (1_000_000, False)])
def test_an_index_that_shrinks_too_much_is_left_raw(length, compressed):
    """A reader believes 256 : 1."""
    data = ptformat.save({"": 1}, codec="zstd", metadata={"a": "x" * length})
    assert craft.trailer(data)[4] == compressed
    assert (craft.trailer(data)[1] == craft.trailer(data)[2]) == (not compressed)
    assert Reader(data).metadata == {"a": "x" * length}
