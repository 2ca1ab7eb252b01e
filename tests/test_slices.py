"""Slices: what NumPy's indexing gives, from the chunks that hold it and no others."""

import io

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ptformat
from ptformat.codecs import planes
from ptformat.slices import runs, touched

CHUNK = 256


@pytest.fixture(autouse=True)
def no_chunk_is_too_small(monkeypatch):
    monkeypatch.setattr(planes, "_LEAST", 0)


CODECS = ("raw", "zstd", "planes")


def file(tree, codec="zstd", **options):
    return ptformat.Reader(ptformat.save(tree, codec=codec, chunk=CHUNK, **options))


def test_a_slice_says_what_it_is_of():
    assert repr(file({"w": np.zeros((2, 3), np.int8)}).slice("w")) == "Slice(shape=(2, 3), dtype=int8)"


@st.composite
def indexed(draw):
    shape = tuple(draw(st.lists(st.integers(0, 7), max_size=4)))
    part = st.one_of(
        st.builds(slice, *[st.one_of(st.none(), st.integers(-9, 9))] * 2, st.sampled_from([None, 1, 2, 3, -1, -2]))
    )
    given = draw(st.integers(0, len(shape)))
    front = draw(st.integers(0, given))
    axes = [*shape[:front], *shape[len(shape) - (given - front) :]]
    key = [draw(st.one_of(part, st.integers(-size, size - 1)) if size else part) for size in axes]
    if front < given or draw(st.booleans()):
        key.insert(front, ...)
    return shape, tuple(key)


@given(indexed(), st.sampled_from(CODECS))
@settings(deadline=None)
def test_what_numpy_selects(case, codec):
    shape, key = case
    array = np.arange(np.prod(shape, dtype=int), dtype=np.int64).reshape(shape)
    found = file({"w": array}, codec).slice("w")
    assert (found.shape, found.dtype) == (shape, np.dtype(np.int64))
    part = found[key]
    assert part.dtype == np.int64
    np.testing.assert_array_equal(part, array[key], strict=True)


@pytest.mark.parametrize("codec", CODECS)
def test_an_alias_is_sliced_in_its_own_order(codec):
    array = np.arange(24.0, dtype=np.float32).reshape(2, 3, 4)
    buffer = io.BytesIO()
    with ptformat.Writer("", codec=codec, chunk=64, _output=buffer) as out:
        out.tensor("a", array)
        out.alias("b", "a", (2, 0, 1))
        out.alias("c", "a")
    reader = ptformat.Reader(buffer.getvalue())
    assert reader.slice("b").shape == (4, 2, 3)
    assert np.array_equal(reader.slice("b")[1:3, 1], array.transpose(2, 0, 1)[1:3, 1])
    assert np.array_equal(reader.slice("c")[..., -1], array[..., -1])


class Counting(ptformat.Reader):
    """A reader that notes which chunks it reads."""

    def stored(self, k, c):
        self.__dict__.setdefault("seen", []).append(c)
        return super().stored(k, c)


@pytest.mark.parametrize("codec", ["zstd", "planes"])
@pytest.mark.parametrize(
    ("key", "chunks"),
    [
        # 64 rows of 128 bytes: two to a chunk, 32 chunks.
        (np.s_[0], [0]),
        (np.s_[10:20, :5], [5, 6, 7, 8, 9]),
        (np.s_[11:13], [5, 6]),
        (np.s_[::16, 3], [0, 8, 16, 24]),
        (np.s_[-1, -1], [31]),
        (np.s_[40:30:-5], [17, 20]),
        (np.s_[5:5], []),
        (np.s_[..., :1], list(range(32))),
    ],
)
def test_only_the_chunks_that_hold_it_are_read(codec, key, chunks):
    array = np.arange(64 * 32, dtype=np.float32).reshape(64, 32) // 64
    reader = Counting(ptformat.save({"first": np.zeros(5000), "w": array}, codec=codec, chunk=CHUNK))
    before = int(reader.index.chunk_starts[1])
    assert np.array_equal(reader.slice("w")[key], array[key])
    found = [c - before for c in reader.__dict__.get("seen", [])]
    if key == np.s_[40:30:-5]:  # one run from the lowest to the highest row of the leading axis
        assert set(chunks) <= set(found) <= set(range(17, 21))
    elif key == np.s_[::16, 3]:
        assert found == chunks
    else:
        assert found == chunks


def test_raw_chunks_are_checked_when_asked():
    data = bytearray(ptformat.save({"w": np.zeros(1000, np.float32)}, chunk=CHUNK))
    data[64 + 2 * CHUNK] ^= 1
    assert ptformat.Reader(bytes(data)).slice("w")[:].size == 1000
    checked = ptformat.Reader(bytes(data), verify=True).slice("w")
    assert checked[: 2 * 64].size == 128  # the chunks before the damage
    with pytest.raises(ptformat.FormatError, match=r"tensor 'w', chunk 2 at byte 576"):
        checked[130]


def test_the_part_is_a_new_array(tmp_path):
    ptformat.save_file({"w": np.arange(12).reshape(3, 4)}, tmp_path / "w.ptf")
    reader = ptformat.open(tmp_path / "w.ptf")
    part = reader.slice("w")[1]
    part[:] = 0
    assert np.array_equal(reader["w"][1], [4, 5, 6, 7])


@pytest.mark.parametrize("codec", CODECS)
def test_small_elements(codec):
    array = np.arange(-8, 8).astype(ml_dtypes.int4).repeat(20)
    assert np.array_equal(file({"w": array}, codec).slice("w")[33:77:3], array[33:77:3])
    bits = np.arange(300, dtype=np.uint16).view(ml_dtypes.bfloat16)
    assert file({"w": bits}, codec).slice("w")[10:20].tobytes() == bits[10:20].tobytes()


def test_wrong_indices():
    part = file({"w": np.zeros((3, 4)), "v": 1, "l": []}).slice("w")
    with pytest.raises(IndexError, match="too many indices: 3 for a tensor of 2 axes"):
        part[0, 0, 0]
    with pytest.raises(IndexError, match="index 3 is out of bounds for axis 0 with size 3"):
        part[3]
    with pytest.raises(IndexError, match="single ellipsis"):
        part[..., ...]
    for wrong in (None, [0, 1], np.arange(2), 1.0):
        with pytest.raises(TypeError, match="a slice takes integers"):
            part[wrong]
    with pytest.raises(ValueError, match="slice step cannot be zero"):
        part[::0]
    reader = file({"w": np.zeros((3, 4)), "v": 1, "l": []})
    for path in ("v", "l", "none"):
        with pytest.raises(KeyError):
            reader.slice(path)


def test_memory_follows_the_part():
    # 2 GiB of zeros declared; two chunks of it read. `reserve` takes pages only where chunks are decoded.
    array = np.broadcast_to(np.float32(0), (2**29,))
    buffer = io.BytesIO()
    with ptformat.Writer("", codec="zstd", chunk=2**26, _output=buffer) as out:
        info = ptformat.TensorInfo("w", "float32", array.shape)
        out.pieces(info, (bytes(2**26) for _ in range(32)))
    before = anonymous()
    part = ptformat.Reader(buffer.getvalue()).slice("w")[2**28 : 2**28 + 3]
    assert part.tolist() == [0, 0, 0]
    assert anonymous() - before < 2**27


def anonymous() -> int:
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("RssAnon"))


def test_runs_and_chunks_by_hand():
    starts, length = runs((4, 10), (range(1, 3), range(2, 5)))
    assert (starts.tolist(), length) == ([12, 22], 3)
    assert touched(starts, length, 4, 64).tolist() == [0, 1]
    starts, length = runs((4, 10), (range(1, 3), range(10)))
    assert (starts.tolist(), length) == ([10], 20)
    starts, length = runs((), ())
    assert (starts.tolist(), length) == ([0], 1)
