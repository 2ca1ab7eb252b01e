"""Pieces of arrays: together they are the array in logical order, each within its limit."""

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ptformat import dtypes
from ptformat.bands import bands, byte_pieces, contiguous, regrouped


@st.composite
def strided(draw):
    """Any element type, any order of axes, any steps."""
    shape = tuple(draw(st.lists(st.integers(0, 7), min_size=0, max_size=4)))
    kind = draw(st.sampled_from(["u1", "<f4", ">i2", "bfloat16", "complex64"]))
    dtype = np.dtype(ml_dtypes.bfloat16) if kind == "bfloat16" else np.dtype(kind)
    count = int(np.prod(shape))
    array = np.arange(count * dtype.itemsize, dtype=np.uint8).view(dtype).reshape(shape)
    array = array.transpose(draw(st.permutations(range(len(shape)))))
    return array[tuple(slice(None, None, draw(st.sampled_from([1, 2, -1]))) for _ in shape)]


@given(strided(), st.integers(1, 64))
def test_bands_are_the_array(array, limit):
    found = list(bands(array, limit))
    assert b"".join(band.tobytes() for band in found) == array.tobytes()
    assert all(band.ndim == 1 and band.flags.c_contiguous and band.dtype == array.dtype for band in found)
    assert all(band.nbytes <= max(limit, array.itemsize) for band in found)


@given(strided())
def test_contiguous_is_the_array_in_c_order(array):
    made = contiguous(array)
    assert made.flags.c_contiguous and made.dtype == array.dtype and made.tobytes() == array.tobytes()
    assert (made is array) == bool(array.flags.c_contiguous)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "complex128"])
@pytest.mark.parametrize("shape", [(2100, 70), (3, 40, 1100), (17, 17), (16, 2000), (1500, 33, 2)])
def test_turned_axes_are_copied_tile_by_tile(shape, dtype):
    kind = dtypes.named(dtype).numpy
    count = int(np.prod(shape)) * kind.itemsize
    array = np.random.default_rng(0).integers(0, 256, count, np.uint8).view(kind).reshape(shape)
    for turned in (array.T, np.moveaxis(array, 0, -1), array[::-1].T):
        bits = np.ascontiguousarray(turned.view(f"V{kind.itemsize}"))
        assert contiguous(turned).tobytes() == bits.tobytes()


@pytest.mark.parametrize(("name", "limit"), [("int4", 8), ("uint2", 16), ("float4_e2m1fn", 64)])
def test_pieces_of_packed_elements_end_on_whole_bytes(name, limit):
    row = dtypes.named(name)
    bits = (np.arange(1001) % (1 << row.bits)).astype(np.uint8)
    array = bits.view(row.numpy).reshape(7, 143).T
    pieces = [bytes(piece) for piece in byte_pieces(array, row, limit)]
    assert b"".join(pieces) == bytes(dtypes.pack(np.ascontiguousarray(array).reshape(-1), row))
    assert all(len(piece) == limit // 8 * row.bits for piece in pieces[:-1])


def test_pieces_of_the_other_byte_order_are_turned():
    array = np.array([[1, 2], [3, 4]], ">u4")
    pieces = list(byte_pieces(array, dtypes.named("uint32"), 8))
    assert [bytes(piece) for piece in pieces] == [bytes([1, 0, 0, 0, 2, 0, 0, 0]), bytes([3, 0, 0, 0, 4, 0, 0, 0])]


@given(st.lists(st.binary(max_size=9), max_size=8), st.integers(1, 7))
def test_regrouped_bytes_are_in_blocks_of_one_size(pieces, size):
    blocks = list(regrouped([bytearray(piece) for piece in pieces], size))
    assert b"".join(blocks) == b"".join(pieces)
    assert [len(block) for block in blocks[:-1]] == [size] * (len(blocks) - 1)
    assert not blocks or 0 < len(blocks[-1]) <= size


def test_a_block_is_copied_only_where_two_pieces_meet():
    first, second = bytearray(b"abcdefgh"), bytearray(b"ijkl")
    blocks = list(regrouped([first, second], 4))
    first[:], second[:] = b"ABCDEFGH", b"IJKL"
    assert [bytes(block) for block in blocks] == [b"ABCD", b"EFGH", b"IJKL"]
    blocks = list(regrouped([b"", np.zeros(0), bytearray(b"abc"), bytearray(b"def")], 4))
    assert [bytes(block) for block in blocks] == [b"abcd", b"ef"]


def test_elements_beyond_the_limit_keep_their_byte_order():
    array = np.arange(6, dtype=">i2").reshape(2, 3).T
    found = list(bands(array, 1))
    assert [band.dtype.str for band in found] == [">i2"] * 6
    assert b"".join(band.tobytes() for band in found) == array.tobytes() == bytes([0, 0, 0, 3, 0, 1, 0, 4, 0, 2, 0, 5])
