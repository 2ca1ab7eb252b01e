"""Codec planes: bytes on disk by hand, every element type by bits, every fault, sizes on a real model."""

import struct

import ml_dtypes
import numpy as np
import pytest
import zstandard
from nets import minilm

import ptformat
from ptformat import FormatError, dtypes
from ptformat.codecs import PLANES, RAW, ZSTD, choose, planes

SUITED = [row for row in dtypes.TABLE if row.bits // row.components >= 16]


def regrouped(word: int, bits: int) -> int:
    """Sign, exponent e7 to e0, mantissa -> e6 to e0, the mantissa's first bit, sign, e7, the mantissa's other bits."""
    sign, exponent, mantissa = word >> (bits - 1), word >> (bits - 9) & 0xFF, word & (1 << bits - 9) - 1
    first, others = mantissa >> (bits - 10), mantissa & (1 << bits - 10) - 1
    whole = f"{exponent & 0x7F:07b}{first:b}{sign:b}{exponent >> 7:b}{others:0{bits - 10}b}"
    assert len(whole) == bits
    return int(whole, 2)


def taken_apart(data: bytes, row: dtypes.DType) -> list[bytes]:
    """The planes, from the text of the spec, element by element."""
    width, count = row.bits // row.components // 8, row.bits // 8
    words = [int.from_bytes(data[at : at + width], "little") for at in range(0, len(data), width)]
    if row.name in ("bfloat16", "float32", "complex64"):
        words = [regrouped(word, 8 * width) for word in words]
    turned = b"".join(word.to_bytes(width, "little") for word in words)
    places = [i // width * width + (width - 1 - i % width) for i in range(count)]
    return [turned[place::count] for place in places]


def eights(stored: bytes, size: int) -> bytes:
    """A plane of mode 2, from the text of the spec."""
    count = int.from_bytes(stored[:4], "little")
    ones = struct.unpack_from(f"<{count}I", stored, 4)
    rows, part = stored[4 + 4 * count :], -(-size // 8)
    assert len(rows) == 7 * part
    low = [byte & 0xBF for byte in rows]
    for j in range(part):
        bits = sum((rows[i * part + j] >> 6 & 1) << i for i in range(7))
        low.append(bits & 0x3F | bits >> 6 << 7)
    assert not any(low[size:])
    for place in ones:
        assert not low[place] & 0x40
        low[place] |= 0x40
    return bytes(low[:size])


def stored_planes(stored: bytes, count: int, size: int) -> list[bytes]:
    heads = [struct.unpack_from("<BI", stored, 5 * i) for i in range(count)]
    at, found = 5 * count, []
    for mode, length in heads:
        part = stored[at : at + length]
        if mode == 2:
            found.append(eights(part, size))
        else:
            found.append(zstandard.ZstdDecompressor().decompress(part) if mode else part)
        assert len(found[-1]) == size
        at += length
    assert at == len(stored)
    return found


def modes(stored: bytes, count: int) -> list[int]:
    return [stored[5 * i] for i in range(count)]


@pytest.mark.parametrize("row", SUITED, ids=lambda row: row.name)
@pytest.mark.parametrize("size", [3001, 3008])
def test_every_type_by_bits(row, size):
    data = np.random.default_rng(row.code).integers(0, 4, size * row.bits // 8, dtype=np.uint8)
    stored = planes.encode(data.data, row)
    assert stored is not None
    assert stored_planes(stored, row.bits // 8, size) == taken_apart(data.tobytes(), row)
    into = bytearray(data.size)
    planes.decode(memoryview(stored), memoryview(into), row)
    assert into == data.tobytes()


@pytest.mark.parametrize("row", [row for row in SUITED if row.name in planes.REGROUPED], ids=lambda row: row.name)
@pytest.mark.parametrize("size", [2**15 - 1, 2**15, 2**15 + 5, 2**17])
@pytest.mark.parametrize("large", [0, 1, 60])
def test_weights_of_every_size(row, size, large):
    """Below 2.0 the exponent's first bit is 0; `large` elements have a 1 there."""
    rng = np.random.default_rng(size)
    weights = (rng.standard_normal(size * row.components) * 0.02).astype(np.float32)
    places = rng.choice(weights.size, large, replace=False)
    weights[places] = rng.choice([2.0, -3e38, np.inf, np.nan, -2.5], large)
    data = (weights.astype(row.numpy) if row.name == "bfloat16" else weights).view(np.uint8)
    stored = planes.encode(data.data, row)
    assert stored is not None
    assert modes(stored, row.bits // 8) == [1, 2, 0, 0][: row.bits // 8 // row.components] * row.components
    assert stored_planes(stored, row.bits // 8, size) == taken_apart(data.tobytes(), row)
    into = bytearray(data.size)
    planes.decode(memoryview(stored), memoryview(into), row)
    assert into == data.tobytes()


def test_a_plane_takes_the_smallest_mode():
    rng = np.random.default_rng(0)
    size = 2**16
    # Of weights on both sides of 2.0 the bit is no constant; where it is often the same, zstd sees that.
    mixed = rng.standard_normal(size, np.float32).astype(ml_dtypes.bfloat16)
    assert modes(planes.encode(mixed.view(np.uint8).data, dtypes.named("bfloat16")), 2) == [1, 1]
    mixed[::2] *= 1000
    assert modes(planes.encode(mixed.view(np.uint8).data, dtypes.named("bfloat16")), 2) == [1, 0]
    few = np.repeat(rng.standard_normal(16, np.float32), size // 16).astype(ml_dtypes.bfloat16)
    assert modes(planes.encode(few.view(np.uint8).data, dtypes.named("bfloat16")), 2) == [1, 1]
    # float32 that was bfloat16 has nothing but zeros in its lower half.
    wide = (0.02 * rng.standard_normal(size)).astype(ml_dtypes.bfloat16).astype(np.float32)
    stored = planes.encode(wide.view(np.uint8).data, dtypes.named("float32"))
    assert modes(stored, 4) == [1, 2, 1, 1]
    assert len(stored) < 0.34 * wide.nbytes


@pytest.mark.parametrize("size", [1024, 2**15, 2**16])
def test_what_is_all_the_same_takes_next_to_nothing(size):
    for array in (np.zeros(size, np.float32), np.ones(2 * size, ml_dtypes.bfloat16)):
        stored = planes.encode(array.view(np.uint8).data, dtypes.named(str(array.dtype)))
        assert set(modes(stored, array.itemsize)) == {1}
        assert len(stored) < 200


def test_what_is_tiny_is_left_raw():
    zeros = np.zeros(4096, np.uint8)
    assert planes.encode(zeros[:4092].data, dtypes.named("float32")) is None
    assert planes.encode(zeros.data, dtypes.named("float32")) is not None


def test_the_specs_example():
    data = np.array([1.0, -2.0], ml_dtypes.bfloat16).tobytes()
    assert data == bytes.fromhex("803f00c0")
    assert taken_apart(data, dtypes.named("bfloat16")) == [bytes.fromhex("fe00"), bytes.fromhex("00c0")]
    into = bytearray(4)
    stored = bytes.fromhex("0002000000 0002000000 fe00 00c0")
    planes.decode(memoryview(stored), memoryview(into), dtypes.named("bfloat16"))
    assert into == data


def test_what_does_not_shrink_is_left_raw():
    noise = np.random.default_rng(0).integers(0, 256, 4096, dtype=np.uint8)
    assert planes.encode(noise.data, dtypes.named("float32")) is None


def test_one_plane_alone_may_shrink():
    weights = 0.02 * np.random.default_rng(0).standard_normal(10_000, np.float32)
    stored = planes.encode(weights.view(np.uint8).data, dtypes.named("float32"))
    assert stored is not None
    assert modes(stored, 4) == [1, 2, 0, 0]
    assert [struct.unpack_from("<BI", stored, 5 * i)[1] for i in range(2, 4)] == [10_000] * 2


def made(*heads: tuple[int, int], rest: bytes = b"") -> bytes:
    return b"".join(struct.pack("<BI", *head) for head in heads) + rest


FRAME = zstandard.ZstdCompressor(write_checksum=False).compress(bytes(100))
FAULTS = {
    "empty": (b"", "0 stored bytes, the modes and lengths take 10"),
    "heads cut": (bytes(9), "9 stored bytes, the modes and lengths take 10"),
    "mode": (made((3, 99), (0, 100), rest=bytes(199)), "plane 0: mode 3 with 99 bytes for 100 elements"),
    "sevens too long": (made((2, 100), (0, 100), rest=bytes(200)), "plane 0: mode 2 with 100 bytes for 100 elements"),
    "sevens of none": (made((2, 0), (0, 100), rest=bytes(100)), "plane 0: mode 2 with 0 bytes"),
    "sevens without a count": (
        made((2, 3), (0, 100), rest=bytes(103)),
        "3 bytes, 0 positions and 100 elements take 95",
    ),
    "sevens short": (made((2, 94), (0, 100), rest=bytes(194)), "94 bytes, 0 positions and 100 elements take 95"),
    "sevens long": (made((2, 96), (0, 100), rest=bytes(196)), "96 bytes, 0 positions and 100 elements take 95"),
    "sevens of more": (
        made((2, 95), (0, 100), rest=b"\xff\xff\xff\xff" + bytes(191)),
        "95 bytes, 4294967295 positions and 100 elements take 17179869275",
    ),
    "position beyond": (
        made((2, 99), (0, 100), rest=struct.pack("<II", 1, 100) + bytes(191)),
        "plane 0: the positions do not ascend below 100",
    ),
    "positions descend": (
        made((0, 100), (2, 99), rest=bytes(100) + struct.pack("<II", 1, 2**32 - 1) + bytes(91)),
        "plane 1: the positions do not ascend below 100",
    ),
    "after the last": (
        made((2, 95), (0, 100), rest=bytes(4 + 12) + b"\x40" + bytes(178)),
        "plane 0: what follows its last element is not zero",
    ),
    "raw short": (made((0, 99), (0, 100), rest=bytes(199)), "plane 0: mode 0 with 99 bytes for 100 elements"),
    "raw long": (made((0, 100), (0, 101), rest=bytes(201)), "plane 1: mode 0 with 101 bytes for 100 elements"),
    "frame of none": (made((1, 0), (0, 100), rest=bytes(100)), "plane 0: mode 1 with 0 bytes"),
    "frame too long": (made((1, 100), (0, 100), rest=bytes(200)), "plane 0: mode 1 with 100 bytes"),
    "cut": (made((0, 100), (0, 100), rest=bytes(199)), "plane 1 of 100 bytes, 99 are left"),
    "no frame": (made((1, 20), (0, 100), rest=bytes(120)), "not a zstd frame's"),
    "other size": (made((1, len(FRAME)), (0, 100), rest=FRAME + bytes(100)), None),
    "left over": (made((0, 100), (0, 100), rest=bytes(201)), "the planes end at byte 210, the chunk has 211"),
    "huge": (made((0, 2**32 - 1), (0, 100), rest=bytes(200)), "mode 0 with 4294967295 bytes"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults(fault):
    stored, message = FAULTS[fault]
    into = bytearray(200)
    if message is None:  # the frame is sound; one element more and it no longer is the plane
        planes.decode(memoryview(stored), memoryview(into), dtypes.named("float16"))
        message, into, stored = "declares 100 bytes, the index says 101", bytearray(202), stored + b"\0"
        stored = made((1, len(FRAME)), (0, 101), rest=FRAME + bytes(101))
    with pytest.raises(FormatError) as caught:
        planes.decode(memoryview(stored), memoryview(into), dtypes.named("float16"))
    assert caught.value.code == "CODEC"
    assert message in caught.value.message


def test_a_flipped_bit_in_a_file_names_tensor_and_chunk():
    data = bytearray(ptformat.save({"w": np.zeros(5000, np.float32), "x": np.arange(9)}, codec="planes"))
    data[70] ^= 1
    with pytest.raises(FormatError, match=r"tensor 'w', chunk 0 at byte 64: xxh3") as caught:
        ptformat.verify(bytes(data))
    assert caught.value.code == "CHECKSUM"


def test_the_codec_is_chosen_by_what_it_saves():
    rng = np.random.default_rng(0)
    weights = rng.standard_normal(100_000, np.float32)
    text = np.frombuffer(b"the same words again and again " * 4000, np.uint16)
    assert choose(weights.view(np.uint8).data, dtypes.named("float32")) == PLANES
    assert choose(text.view(np.uint8).data, dtypes.named("uint16")) == ZSTD
    assert choose(text.view(np.uint8).data, dtypes.named("uint8")) == ZSTD


@pytest.mark.parametrize("codec", ["planes", "auto"])
def test_trees_come_back(codec):
    rng = np.random.default_rng(0)
    tree = {row.name: np.frombuffer(rng.bytes(row.bits // 8 * 501), row.numpy) for row in SUITED}
    tree |= {"bool": np.ones(77, bool), "int4": np.arange(7).astype(ml_dtypes.int4)}
    tree |= {"empty": np.zeros((0, 3)), "scalar": np.float32(2)}
    tree |= {f"zero {name}": np.zeros(3000, name) for name in ("int64", "float32", "complex64", "uint8")}
    data = ptformat.save(tree, codec=codec, chunk=1024)
    found = ptformat.load(data, verify=True)
    for name, array in tree.items():
        assert found[name].tobytes() == np.asarray(array).tobytes(), name
    assert ptformat.verify(data).tensors == len(tree)


def test_one_digest_whatever_the_codec():
    tree = {"w": np.random.default_rng(0).standard_normal((300, 70), np.float32)}
    found = {ptformat.Reader(ptformat.save(tree, codec=codec)).digest() for codec in ("raw", "zstd", "planes", "auto")}
    assert len(found) == 1


def test_sizes_on_a_real_model(tmp_path):
    arrays = {}
    from ptformat.converters import copy

    copy(minilm.model_path(), tmp_path / "m.ptf", durable=False)
    arrays = {key: array for key, array in ptformat.load_file(tmp_path / "m.ptf").items() if array.dtype == np.float32}
    shares = {}
    for name, dtype in (("float32", np.float32), ("bfloat16", ml_dtypes.bfloat16)):
        cast = {key: array.astype(dtype) for key, array in arrays.items()}
        nbytes = sum(array.nbytes for array in cast.values())
        shares[name] = len(ptformat.save(cast, codec="auto")) / nbytes
        shares[f"{name} zstd"] = len(ptformat.save(cast, codec="zstd")) / nbytes
    # Measured: 0.8175, 0.9152, 0.6625, 0.7808; the file's index and alignment included.
    assert shares["float32"] == pytest.approx(0.8175, abs=0.001)
    assert shares["bfloat16"] == pytest.approx(0.6625, abs=0.001)
    assert shares["float32"] < shares["float32 zstd"] - 0.09
    assert shares["bfloat16"] < shares["bfloat16 zstd"] - 0.11


def test_raw_is_what_it_was():
    assert RAW == 0
    data = ptformat.save({"w": np.zeros(64, np.float32)})
    assert data[64 : 64 + 256] == bytes(256)


def test_a_plane_larger_than_what_a_thread_keeps():
    """Planes of more than 8 MiB: their memory is not kept, and their bytes are the same."""
    array = np.zeros(9 * 2**20, np.uint16)
    array[::100_000] = np.arange(array[::100_000].size, dtype=np.uint16)
    data = ptformat.save({"a": array}, codec="planes", chunk=2**25)
    assert len(data) < array.nbytes / 100
    assert np.array_equal(ptformat.load(data)["a"], array)
    kept = [held.nbytes for held in planes._threads.__dict__.values() if isinstance(held, np.ndarray)]
    assert max(kept, default=0) <= planes._KEPT == 2**23
