import ml_dtypes
import numpy as np
import pytest

import ptformat
from ptformat import dtypes
from ptformat.dtypes import TABLE
from ptformat.errors import FormatError

# Elements -> their stored bytes, by hand.
BITS = {
    "bool": ([True, False, True], "010001"),
    "int2": ([1, -1, 0, -2, 1], "8d01"),
    "int4": ([1, -2, 3], "e103"),
    "int8": ([1, -2], "01fe"),
    "int16": ([1, -2], "0100feff"),
    "int32": ([1, -2], "01000000feffffff"),
    "int64": ([-2], "feffffffffffffff"),
    "uint2": ([3, 0, 1, 2, 3], "9303"),
    "uint4": ([15, 0, 9], "0f09"),
    "uint8": ([255, 0], "ff00"),
    "uint16": ([0x1234], "3412"),
    "uint32": ([0x12345678], "78563412"),
    "uint64": ([2**64 - 2], "feffffffffffffff"),
    "float16": ([1.0, -2.0], "003c00c0"),
    "bfloat16": ([1.0, -2.0], "803f00c0"),
    "float32": ([1.0, -0.0], "0000803f00000080"),
    "float64": ([1.0], "000000000000f03f"),
    "complex64": ([1 - 2j], "0000803f000000c0"),
    "complex128": ([1j], "0000000000000000000000000000f03f"),
    "float8_e4m3fn": ([1.0, 448.0], "387e"),
    "float8_e5m2": ([1.0, -2.0], "3cc0"),
    "float8_e4m3fnuz": ([1.0, 240.0], "407f"),
    "float8_e5m2fnuz": ([1.0, -2.0], "40c4"),
    "float8_e4m3b11fnuz": ([1.0, 30.0], "587f"),
    "float8_e8m0fnu": ([1.0, 2.0], "7f80"),
    "float8_e3m4": ([1.0, 15.5], "306f"),
    "float8_e4m3": ([1.0, 240.0], "3877"),
    "float4_e2m1fn": ([1.0, -6.0, 0.5], "f201"),
}


def typed(name, elements):
    return np.array(elements).astype(dtypes.BY_NAME[name].numpy)


def test_every_row_has_its_bits_here():
    assert set(BITS) == {row.name for row in TABLE}
    assert [row.code for row in TABLE] == list(range(28))


@pytest.mark.parametrize("name", BITS)
def test_bits_both_ways(name):
    elements, form = BITS[name]
    row = dtypes.BY_NAME[name]
    array = typed(name, elements)
    assert dtypes.of(array.dtype, "x") is row
    assert dtypes.pack(array, row).tobytes().hex() == form
    assert row.nbytes(len(elements)) == len(form) // 2
    back = dtypes.unpack(np.frombuffer(bytes.fromhex(form), np.uint8), row, (len(elements),))
    assert back.dtype == array.dtype
    assert back.tolist() == array.tolist()


@pytest.mark.parametrize("name", BITS)
@pytest.mark.parametrize("codec", ["raw", "zstd"])
def test_every_bit_pattern_survives_a_file(name, codec):
    row = dtypes.BY_NAME[name]
    if row.bits <= 8:
        patterns = np.arange(2 if name == "bool" else 2**row.bits, dtype=np.uint8)
    else:
        random = np.random.default_rng(row.code)
        patterns = random.integers(0, 256, 999 * row.bits // 8, dtype=np.uint8)  # NaN payloads among them
    array = patterns.view(row.numpy)[: -1 if row.bits == 4 else None]  # an odd count
    back = ptformat.load(ptformat.save({"x": array}, codec=codec))["x"]
    assert back.dtype == array.dtype
    assert back.tobytes() == array.tobytes()


@pytest.mark.parametrize("name", ["int2", "int4", "uint2", "uint4", "float4_e2m1fn"])
@pytest.mark.parametrize("count", range(9))
def test_packing_low_bits_first_with_a_zero_tail(name, count):
    row = dtypes.BY_NAME[name]
    patterns = np.arange(1, count + 1, dtype=np.uint8) & (2**row.bits - 1)
    number = sum(int(pattern) << (row.bits * i) for i, pattern in enumerate(patterns))
    expected = number.to_bytes((count * row.bits + 7) // 8, "little")
    assert dtypes.pack(patterns.view(row.numpy), row).tobytes() == expected
    back = dtypes.unpack(np.frombuffer(expected, np.uint8), row, (count,))
    assert back.view(np.uint8).tolist() == patterns.tolist()


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.array(["a"]), "<U1"),
        (np.array([None]), "object"),
        (np.array([b"ab"]), "S2"),
        (np.zeros(2, "M8[s]"), "datetime64"),
        (np.zeros(2, "f4,i4"), "f0"),
    ],
    ids=str,
)
def test_types_without_a_place(array, message):
    with pytest.raises(FormatError, match=r"tensor\.x: NumPy type") as caught:
        ptformat.save({"tensor": {"x": array}})
    assert caught.value.code == "DTYPE"
    assert caught.value.path == "tensor.x"
    assert message in caught.value.message


def test_named():
    assert dtypes.named("bfloat16").numpy == ml_dtypes.bfloat16
    with pytest.raises(FormatError, match="no element type is called 'float7'") as caught:
        dtypes.named("float7")
    assert caught.value.code == "DTYPE"


@pytest.mark.parametrize("kind", [">f4", ">f8", ">f2", ">i2", ">u8", ">c8", ">c16"])
def test_big_endian_is_stored_little_endian(kind):
    array = np.arange(5).astype(kind)
    back = ptformat.load(ptformat.save({"x": array}))["x"]
    assert back.dtype == array.dtype.newbyteorder("<")
    assert back.tobytes() == array.astype(back.dtype).tobytes()


def test_a_bool_of_other_bytes_is_stored_as_one():
    array = np.array([0, 1, 2, 255], np.uint8).view(bool)
    data = ptformat.save({"x": array})
    ptformat.verify(data)
    assert ptformat.load(data)["x"].view(np.uint8).tolist() == [0, 1, 1, 1]


@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (2**53 - 1, 0), (1,) * 32, (2, 3)])
def test_shapes(shape):
    array = np.zeros(shape, np.int8)
    back = ptformat.load(ptformat.save({"x": array}))["x"]
    assert back.shape == shape
    assert back.tobytes() == array.tobytes()


@pytest.mark.parametrize("name", ["float32", "int4", "bool"])
def test_strided_arrays_are_stored_in_logical_order(name):
    base = typed(name, np.arange(48) % 2).reshape(2, 4, 6)
    views = {
        "fortran": np.asfortranarray(base),
        "transposed": base.transpose(2, 0, 1),
        "stepped": base[:, ::2, ::-3],
        "broadcast": np.broadcast_to(base[0, 0], (3, 6)),
        "zero": base[0, 0, 0],
    }
    loaded = ptformat.load(ptformat.save(views))
    for key, view in views.items():
        assert loaded[key].shape == np.shape(view)
        assert loaded[key].tobytes() == np.ascontiguousarray(view).tobytes()
