"""A file that is read and not mapped: the same arrays, and an error where a map would end the process."""

import errno
import gc
import os
import threading
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import craft
import numpy as np
import pytest

import ptformat
from ptformat import backing, reader, verification
from ptformat.backing import File
from ptformat.errors import FormatError

MIB = 2**20
RNG = np.random.default_rng(0)
TREE = {
    "a": np.arange(3, dtype=np.int16),
    "big": RNG.standard_normal((1500, 1000)).astype(np.float32) * np.float32(0.02),
    "bits": RNG.integers(-8, 8, 1001, np.int8).astype("int4"),
    "c": {"d": np.float64(2.5), "e": np.zeros((2, 0)), "v": "text", "f": np.array([True, False])},
}
FLAT = ["a", "big", "bits", "c.d", "c.e", "c.v", "c.f"]


@pytest.fixture(params=["raw", "zstd", "planes"])
def path(request, tmp_path):
    ptformat.save_file(TREE, tmp_path / "x.ptf", codec=request.param)
    return tmp_path / "x.ptf"


@pytest.fixture
def raw(tmp_path):
    ptformat.save_file(TREE, tmp_path / "x.ptf")
    return tmp_path / "x.ptf"


@pytest.fixture
def reads(monkeypatch):
    """(start, bytes) of every read of a file."""
    seen, real = [], os.preadv

    def preadv(fd, buffers, start):
        done = real(fd, buffers, start)
        seen.append((start, done))
        return done

    monkeypatch.setattr(os, "preadv", preadv)
    return seen


def same(left, right):
    assert left.keys() == right.keys()
    for name, leaf in left.items():
        if isinstance(leaf, np.ndarray):
            other = right[name]
            assert (leaf.dtype, leaf.shape, leaf.tobytes()) == (other.dtype, other.shape, other.tobytes())
        else:
            assert leaf == right[name]


@pytest.mark.parametrize("verify", [False, True])
def test_the_same_is_read(path, verify):
    expected = ptformat.load_file(path)
    same(ptformat.load_file(path, mapped=False, verify=verify), expected)
    tree = ptformat.load_tree(path, mapped=False, verify=verify)
    assert list(tree) == list(TREE)
    same(tree["c"], ptformat.load_tree(path)["c"])
    with ptformat.open(path, mapped=False, verify=verify) as file, ptformat.open(path) as mapped:
        assert list(file) == FLAT
        same({name: file[name] for name in FLAT}, expected)
        same(file.load(["big", "c.v"]), {name: expected[name] for name in ("big", "c.v")})
        assert np.array_equal(file.slice("big")[700:720, ::7], expected["big"][700:720, ::7])
        assert np.array_equal(file.slice("bits")[-3:], expected["bits"][-3:])
        assert file.slice("big")[3:3].shape == (0, 1000)
        assert (file.digest(), file.tensor_digests()) == (mapped.digest(), mapped.tensor_digests())


def test_arrays_are_aligned_and_belong_to_whom_they_are_given(path):
    before = path.read_bytes()
    for load in (ptformat.load_file, ptformat.load_tree):
        loaded = load(path, mapped=False)
        for name in ("a", "big"):
            assert loaded[name].ctypes.data % 64 == 0
            loaded[name][...] = 7
    with ptformat.open(path, mapped=False) as file:
        for name in ("a", "big", "bits"):
            with pytest.raises(ValueError, match="read-only"):
                file[name][...] = 0
    assert path.read_bytes() == before


def test_ties_are_one_array(tmp_path):
    with ptformat.Writer(tmp_path / "x.ptf") as out:
        out.tensor("a", np.arange(24, dtype=np.float32).reshape(4, 6))
        out.alias("b", "a")
        out.alias("c", "a", (1, 0))
    loaded = ptformat.load_file(tmp_path / "x.ptf", mapped=False)
    assert loaded["a"] is loaded["b"]
    loaded["c"][5, 3] = 99
    assert loaded["a"][3, 5] == 99
    with ptformat.open(tmp_path / "x.ptf", mapped=False) as file:
        held = file["a"]
        assert file["b"] is held
        assert np.shares_memory(file["c"], held)


def test_opening_reads_the_index_alone(raw, reads):
    index = raw.stat().st_size - ptformat.open(raw).index.layout[1]
    with ptformat.open(raw, mapped=False) as file:
        assert sum(size for _, size in reads) == 64 + index
        reads.clear()
        assert file["a"].tolist() == [0, 1, 2]
        assert reads == [(64, 6)]
        assert file.info("big").shape == (1500, 1000)
        assert len(reads) == 1


def test_of_a_slice_its_chunks_are_read(tmp_path, reads):
    for codec in ("raw", "zstd"):
        array = np.zeros((64, 1024), np.float32)
        ptformat.save_file({"w": array}, tmp_path / "x.ptf", chunk=4096, codec=codec)
        with ptformat.open(tmp_path / "x.ptf", mapped=False) as file:
            stored = file.index.columns["stored"].tolist()
            start = int(file.index.chunk_offsets[0])
            reads.clear()
            assert file.slice("w")[10:12, 5].tolist() == [0, 0]
            assert reads == [(start + sum(stored[:10]), stored[10]), (start + sum(stored[:11]), stored[11])]


def test_with_checksums_a_byte_is_read_once_and_what_was_checked_is_given(raw, reads):
    with ptformat.open(raw, mapped=False, verify=True) as file:
        reads.clear()
        assert np.array_equal(file["big"], TREE["big"])
        assert reads == [(file.index.layout[0][1], 6_000_000)]
    data = bytearray(raw.read_bytes())
    data[5_000_000] ^= 1
    raw.write_bytes(data)
    same({"x": ptformat.load_file(raw, mapped=False)["a"]}, {"x": TREE["a"]})
    for load in (ptformat.load_file, ptformat.load_tree):
        with pytest.raises(FormatError, match="tensor 'big', chunk 1 at byte 4198400: xxh3") as caught:
            load(raw, mapped=False, verify=True)
        assert (caught.value.code, caught.value.path) == ("CHECKSUM", "big")


def test_a_file_that_is_cut_while_it_is_open(path):
    with ptformat.open(path, mapped=False) as file:
        size = path.stat().st_size
        os.truncate(path, 3000)
        assert file["a"].tolist() == [0, 1, 2]
        for take in (lambda: file["big"], lambda: file.slice("big")[1200], file.load, file.digest):
            with pytest.raises(FormatError, match=rf"nothing is at byte \d+ of {size}: the file was") as caught:
                take()
            assert caught.value.code == "TRUNCATED"


@pytest.mark.parametrize("by", [ptformat.verify, lambda path: ptformat.load_file(path, mapped=False)])
def test_a_file_that_is_cut_while_it_is_read(by, path, monkeypatch):
    real = os.preadv

    def preadv(fd, buffers, start):
        if 64 < start < 2**19:
            os.truncate(path, 3000)
        return real(fd, buffers, start)

    monkeypatch.setattr(os, "preadv", preadv)
    with pytest.raises(FormatError, match=r"nothing is at byte \d+ of \d+: the file was cut") as caught:
        by(path)
    assert caught.value.code == "TRUNCATED"


def test_a_file_that_grows_while_it_is_open(raw):
    with ptformat.open(raw, mapped=False) as file:
        with open(raw, "ab") as more:
            more.write(bytes(1000))
        assert file["a"].tolist() == [0, 1, 2]
        assert np.array_equal(file["big"], TREE["big"])


def test_a_file_that_is_replaced_while_it_is_open(path):
    with ptformat.open(path, mapped=False) as file:
        ptformat.save_file({"a": np.zeros(1)}, path)
        assert np.array_equal(file["big"], TREE["big"])
    assert list(ptformat.load_file(path, mapped=False)) == ["a"]


@pytest.mark.parametrize("by", [ptformat.verify, lambda path: ptformat.load_file(path, mapped=False)])
def test_what_the_system_refuses_names_the_file(by, raw, monkeypatch):
    real = os.preadv

    def preadv(fd, buffers, start):
        if start >= 4096 and start < 2**22:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(fd, buffers, start)

    monkeypatch.setattr(os, "preadv", preadv)
    with pytest.raises(OSError, match="Input/output error") as caught:
        by(raw)
    assert caught.value.filename == str(raw)


def test_short_reads_are_repeated(path, monkeypatch):
    real = os.preadv
    monkeypatch.setattr(os, "preadv", lambda fd, into, at: real(fd, [into[0][: max(1, len(into[0]) // 3)]], at))
    same(ptformat.load_file(path, mapped=False), ptformat.load_file(path))
    assert ptformat.verify(path).tensors == 6


def test_without_positioned_reads_threads_take_turns(raw, monkeypatch):
    """As on Windows, where a file has one position."""
    monkeypatch.delattr(os, "preadv")
    data = raw.read_bytes()
    file = File(raw)
    with ThreadPoolExecutor(8) as pool:
        parts = [slice(start, start + 777) for start in range(0, 600_000, 500)]
        assert [bytes(part) for part in pool.map(file.__getitem__, parts)] == [data[part] for part in parts]
    file.close()
    assert ptformat.verify(raw).tensors == 6


def test_slices_are_those_of_a_memoryview(raw):
    data, file = memoryview(raw.read_bytes()), File(raw)
    assert len(file) == len(data)
    parts = [slice(8), slice(-64, None), slice(5, 5), slice(9, 3), slice(len(data) - 3, len(data) + 9), slice(None)]
    for part in parts:
        assert file[part] == data[part]
        assert file[part].readonly
    assert not File(raw, readonly=False)[:8].readonly


def descriptors(path):
    found = []
    for fd in os.listdir("/proc/self/fd"):
        try:
            found.append(os.readlink(f"/proc/self/fd/{fd}"))
        except FileNotFoundError:  # that of the listing
            continue
    return found.count(str(path))


def test_files_are_closed(path):
    with ptformat.open(path, mapped=False) as file:
        assert descriptors(path) == 1
        array = file["big"]
    assert descriptors(path) == 0
    assert array.shape == (1500, 1000)
    with pytest.raises(ValueError, match=r"x\.ptf is closed"):
        file["a"]
    file.close()
    file = ptformat.open(path, mapped=False)
    del file
    gc.collect()
    ptformat.load_file(path, mapped=False)
    ptformat.verify(path)
    assert descriptors(path) == 0
    path.write_bytes(b"no file at all, but long enough for a preamble and a trailer: " * 3)
    for by in (ptformat.verify, lambda path: ptformat.open(path, mapped=False)):
        with pytest.raises(FormatError, match="begins with"):
            by(path)
    gc.collect()
    assert descriptors(path) == 0


@pytest.mark.parametrize("mapped", [True, False])
def test_what_is_no_file(mapped, tmp_path):
    for by in (ptformat.open, ptformat.load_file, ptformat.load_tree):
        with pytest.raises(FileNotFoundError) as caught:
            by(tmp_path / "missing.ptf", mapped=mapped)
        assert caught.value.filename == str(tmp_path / "missing.ptf")
        with pytest.raises(IsADirectoryError):
            by(tmp_path, mapped=mapped)
        (tmp_path / "empty.ptf").touch()
        with pytest.raises(FormatError, match="begins with nothing"):
            by(tmp_path / "empty.ptf", mapped=mapped)


def test_a_file_that_cannot_be_mapped_is_named(raw, monkeypatch):
    def refused(*args, **options):
        raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))

    monkeypatch.setattr(backing.mmap, "mmap", refused)
    with pytest.raises(OSError, match="No such device") as caught:
        ptformat.open(raw)
    assert caught.value.filename == str(raw)
    assert ptformat.load_file(raw, mapped=False)["a"].tolist() == [0, 1, 2]


def outcome(by):
    try:
        by()
    except FormatError as error:
        return error.code, error.message, error.path
    return None


def test_every_fault_is_told_alike(tmp_path):
    """Every truncation and a flipped bit in every byte: from bytes, mapped, read, and by `verify` of a path."""
    data, path = craft.sample(codec="raw", chunk=64), tmp_path / "x.ptf"
    faults = [data[:size] for size in range(len(data))]
    faults += [data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :] for at in range(len(data))]
    found = set()
    for fault in faults:
        path.write_bytes(fault)
        told = outcome(lambda: ptformat.verify(path))
        assert told == outcome(lambda fault=fault: ptformat.verify(fault))
        assert told is not None
        opened = outcome(lambda: ptformat.load_file(path, verify=True))
        assert outcome(lambda: ptformat.load_file(path, verify=True, mapped=False)) == opened
        found.add(told[0])
    assert {"MAGIC", "TRUNCATED", "CHECKSUM", "NONZERO"} <= found


def test_the_first_fault_of_a_file_is_told_whichever_thread_is_first(tmp_path, monkeypatch):
    """Large chunks wait for small ones and for gaps: the order is that of the file."""
    path = tmp_path / "x.ptf"
    tree = {f"{i}": np.full(300_000 if i % 2 else 10, i, np.uint8) for i in range(20)}
    ptformat.save_file(tree, path, chunk=2**17)
    monkeypatch.setattr(verification, "POOL_BYTES", 2**16)
    index = ptformat.open(path).index
    starts, held = index.layout[0], index.held.tolist()
    data, threads = bytearray(path.read_bytes()), threading.active_count()

    def told(at):
        """What is told when this byte is damaged too, and those after it were before."""
        data[at] ^= 1
        path.write_bytes(data)
        with pytest.raises(FormatError) as caught:
            ptformat.verify(path)
        return caught.value.message.partition(" at byte")[0].partition(": xxh3")[0]

    for k in range(19, 0, -1):
        gap = starts[k - 1] + held[k - 1], starts[k]
        assert told(starts[k]) == f"tensor '{k}', chunk 0"
        if k % 2:  # before it is one of 10 bytes
            assert gap[1] - gap[0] == 54
            assert told(gap[1] - 1) == f"bytes {gap[0]} to {gap[1] - 1}, before tensor '{k}', are not all zero"
    assert threading.active_count() == threads


def test_progress_is_told_in_order(tmp_path, monkeypatch):
    monkeypatch.setattr(verification, "POOL_BYTES", 100)
    tree = {"a": np.zeros(1000, np.uint8), "b": np.zeros(30, np.uint8), "c": np.zeros(0), "d": np.zeros(500, np.uint8)}
    ptformat.save_file(tree, tmp_path / "x.ptf", chunk=320)
    told = []
    ptformat.verify(tmp_path / "x.ptf", progress=told.append)
    assert told == [320, 320, 320, 40, 30, 320, 180]


def test_a_file_is_verified_in_little_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(verification, "THREADS", 2)
    ptformat.save_file({f"{i}": np.ones((16, MIB), np.uint8) for i in range(4)}, tmp_path / "x.ptf", durable=False)
    tracemalloc.start()
    try:
        ptformat.verify(tmp_path / "x.ptf")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 * MIB  # of 64: a block for each thread


def test_small_parts_are_read_together(tmp_path, reads):
    tree = {f"{i}": np.full(20, i, np.int32) for i in range(10_000)}
    ptformat.save_file(tree, tmp_path / "x.ptf")
    assert ptformat.verify(tmp_path / "x.ptf").tensors == 10_000
    size = (tmp_path / "x.ptf").stat().st_size
    assert len(reads) < 12 + size // verification.WINDOW_BYTES
    assert max(done for _, done in reads) < 2 * verification.WINDOW_BYTES


def test_blocks_are_of_one_size(raw, monkeypatch):
    monkeypatch.setattr(reader, "BLOCK_BYTES", 1000)
    data = raw.read_bytes()
    for file in (ptformat.open(raw), ptformat.open(raw, mapped=False), ptformat.Reader(data)):
        found = [bytes(block) for block in file.blocks(64, 5064 + 7)]
        assert [len(block) for block in found] == [1000] * 5 + [7]
        assert b"".join(found) == data[64:5071]
        assert [bytes(block) for block in file.blocks(64, 70)] == [data[64:70]]


@pytest.mark.parametrize("mapped", [True, False])
def test_a_pipe_is_refused_and_not_waited_for(tmp_path, mapped):
    os.mkfifo(tmp_path / "x.ptf")
    with pytest.raises(OSError, match="not a regular file") as caught:
        ptformat.load_file(tmp_path / "x.ptf", mapped=mapped)
    assert (caught.value.errno, caught.value.filename) == (errno.EINVAL, str(tmp_path / "x.ptf"))


def test_verify_refuses_a_pipe(tmp_path):
    os.mkfifo(tmp_path / "x.ptf")
    with pytest.raises(OSError, match="not a regular file"):
        ptformat.verify(tmp_path / "x.ptf")


def test_a_part_has_no_gaps(raw):
    held = File(raw)
    assert bytes(held[5:3]) == b""
    assert bytes(held[-8:]) == raw.read_bytes()[-8:]
    with pytest.raises(ValueError, match="steps of 2"):
        held[0:10:2]


def test_large_parts_are_read_piece_by_piece(raw, reads, monkeypatch):
    monkeypatch.setattr(backing, "_MOST_AT_ONCE", 1000)
    data = raw.read_bytes()
    assert bytes(File(raw)[100:3500]) == data[100:3500]
    assert reads == [(100, 1000), (1100, 1000), (2100, 1000), (3100, 400)]
