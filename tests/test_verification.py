import craft
import ml_dtypes
import numpy as np
import pytest
import xxhash

import ptformat
from ptformat import Verified
from ptformat.errors import READ_CODES, FormatError
from ptformat.reader import Reader

SMALL = {
    codec: craft.sample(codec=codec, chunk=64, metadata={"note": "a" * 400})
    if codec == "raw"
    else ptformat.save(
        {"a": np.zeros(200, np.float32), "b": [np.ones(3, bool), "text"], "c": np.ones(5, np.int8).astype("int4")},
        codec="zstd",
        chunk=128,
        metadata={"note": "a" * 400},
    )
    for codec in ("raw", "zstd")
}


def opened(data):
    reader = Reader(data)
    reader.load()
    reader.digest()
    list(reader.entries)


def outcome(by, data):
    """None where it passes, the code of its FormatError otherwise; any other exception is the test's failure."""
    try:
        by(data)
    except FormatError as error:
        assert error.code in READ_CODES
        assert len(error.message) > 20
        return error.code
    return None


def test_the_small_files_are_of_both_kinds():
    assert craft.trailer(SMALL["raw"])[4] == 0
    assert craft.trailer(SMALL["zstd"])[4] == 1
    assert 1 in Reader(SMALL["zstd"]).index.columns["codec"]
    assert all(len(data) < 1500 for data in SMALL.values())


def test_verified():
    assert ptformat.verify(SMALL["raw"]) == Verified(2, 1, 11, 29, len(SMALL["raw"]))
    assert ptformat.verify(SMALL["zstd"]) == Verified(3, 0, 208, 806, len(SMALL["zstd"]))


@pytest.mark.parametrize("codec", SMALL)
def test_every_truncation_is_found(codec):
    data = SMALL[codec]
    for length in range(len(data)):
        for by in (ptformat.verify, opened):
            assert outcome(by, data[:length]) is not None, length
    assert {outcome(ptformat.verify, data[:length]) for length in range(8, len(data))} == {"TRUNCATED"}


@pytest.mark.parametrize("codec", SMALL)
def test_every_flipped_bit_is_found(codec):
    data = bytearray(SMALL[codec])
    codes = set()
    for at in range(len(data)):
        for bit in range(8):
            data[at] ^= 1 << bit
            code = outcome(ptformat.verify, bytes(data))
            assert code is not None, (at, bit)
            codes.add(code)
            data[at] ^= 1 << bit
    assert codes == {"MAGIC", "VERSION", "NONZERO", "TRUNCATED", "CHECKSUM"}


@pytest.mark.parametrize("codec", SMALL)
def test_a_flipped_bit_raises_nothing_else_on_reading(codec):
    """Reading may miss a bit of mapped data or of a gap, never fail otherwise."""
    data = bytearray(SMALL[codec])
    for at in range(len(data)):
        for bit in (0, 5):
            data[at] ^= 1 << bit
            outcome(opened, bytes(data))
            data[at] ^= 1 << bit


@pytest.mark.parametrize("codec", SMALL)
def test_a_changed_index_with_its_checksum_repaired_raises_nothing_else(codec):
    """Each byte of the index in turn is 0, 255 or one more: then only the rules themselves stand guard."""
    data = SMALL[codec]
    index = bytearray(craft.index_bytes(data))
    accepted = 0
    for at in range(len(index)):
        kept = index[at]
        for byte in {0, 255, (kept + 1) % 256} - {kept}:
            index[at] = byte
            bad = craft.assemble(craft.body(data), bytes(index))
            accepted += outcome(ptformat.verify, bad) is None
            outcome(opened, bad)
        index[at] = kept
    assert 0 < accepted < 2 * len(index)  # a letter of the note may be another


@pytest.mark.parametrize("codec", SMALL)
def test_a_shortened_index_with_its_checksum_repaired_raises_nothing_else(codec):
    data = SMALL[codec]
    index = craft.index_bytes(data)
    for length in range(len(index)):
        assert outcome(opened, craft.assemble(craft.body(data), index[:length])) in ("MALFORMED", "SCHEMA"), length


def test_random_compressed_bytes_with_checksums_repaired_raise_nothing_else():
    """Each byte of each frame in turn changed, and its checksum with it."""
    data = SMALL["zstd"]
    index = Reader(data).index
    content = craft.index_map(data)
    start = bytearray(craft.body(data))
    for c in np.flatnonzero(index.columns["codec"]):
        sums = index.columns["sum"].copy()
        offset, size = int(index.chunk_offsets[c]), int(index.columns["stored"][c])
        for at in range(offset, offset + size):
            start[at] ^= 0x55
            sums[c] = xxhash.xxh3_64_intdigest(bytes(start[offset : offset + size]))
            bad = craft.assemble(bytes(start), craft.packed(content | {"sum": sums.tobytes()}))
            assert outcome(ptformat.verify, bad) in (None, "CODEC", "LIMIT")
            outcome(opened, bad)
            start[at] ^= 0x55


@pytest.mark.parametrize(
    ("array", "at", "byte", "message"),
    [
        (np.ones(3, bool), 1, 2, "tensor 'x': a bool byte other than 0 and 1"),
        (np.ones(3, ml_dtypes.int4), 1, 0x11, "tensor 'x': the 4 bits after the last element are not zero"),
        (np.ones(5, ml_dtypes.uint2), 1, 0x05, "tensor 'x': the 6 bits after the last element are not zero"),
        (np.ones(1, ml_dtypes.int2), 0, 0x81, "tensor 'x': the 6 bits after the last element are not zero"),
    ],
)
def test_bits_that_the_type_does_not_allow(array, at, byte, message):
    """With the checksum repaired: a mapped read passes, `verify` does not."""
    data = ptformat.save({"x": array})
    start = bytearray(craft.body(data))
    start[64 + at] = byte
    total = xxhash.xxh3_64_intdigest(bytes(start[64:]))
    bad = craft.assemble(bytes(start), craft.packed(craft.index_map(data) | {"sum": craft.column("u8", total)}))
    assert ptformat.load(bad, verify=True)["x"].shape == array.shape
    with pytest.raises(FormatError) as caught:
        ptformat.verify(bad)
    assert (caught.value.code, caught.value.message, caught.value.path) == ("DATA", message, "x")


def test_a_gap_that_is_not_zero():
    data = bytearray(ptformat.save({"x": np.ones(1, np.uint8), "y": np.ones(1, np.uint8)}))
    data[100] = 1
    assert list(ptformat.load(bytes(data), verify=True)) == ["x", "y"]
    with pytest.raises(FormatError, match="bytes 65 to 127, before tensor 'y', are not all zero") as caught:
        ptformat.verify(bytes(data))
    assert caught.value.code == "NONZERO"


def test_a_gap_before_an_empty_tensor_is_checked():
    data = bytearray(ptformat.save({"x": np.ones(1, np.uint8), "y": np.ones(0, np.uint8)}))
    assert craft.trailer(bytes(data))[0] == 128
    data[127] = 1
    assert outcome(ptformat.verify, bytes(data)) == "NONZERO"


def test_by_path_and_by_bytes(tmp_path):
    path = tmp_path / "x.ptf"
    path.write_bytes(SMALL["raw"])
    assert ptformat.verify(path) == ptformat.verify(str(path)) == ptformat.verify(SMALL["raw"])


def test_progress_is_told_of_each_chunk():
    tree = {"a": np.zeros(200, np.int8), "b": np.arange(64, dtype=np.int8), "c": np.zeros(0), "v": 1}
    told = []
    ptformat.verify(ptformat.save(tree, chunk=64), progress=told.append)
    assert told == [64, 64, 64, 8, 64]
