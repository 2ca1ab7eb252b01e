import struct

import craft
import numpy as np
import pytest
import xxhash

import ptformat
from ptformat import container, limits
from ptformat.errors import FormatError

DATA = craft.sample()
INDEX = craft.index_bytes(DATA)
BODY = craft.body(DATA)


def refused(data, code, message, by=ptformat.load):
    with pytest.raises(FormatError) as caught:
        by(data)
    assert caught.value.code == code, caught.value
    assert message in caught.value.message, caught.value
    return caught.value


def put(at, new, data=DATA):
    at %= len(data)
    return data[:at] + new + data[at + len(new) :]


def test_the_bytes_of_a_small_file():
    """Every byte outside the index by hand."""
    data = ptformat.save({"a": np.array([1, 2], np.uint16), "b": np.array([3], np.uint8)})
    assert data[:64] == bytes.fromhex("89505446 0d0a1a0a 0100 0000") + bytes(52)
    assert data[64:68] == bytes.fromhex("01000200")
    assert data[68:128] == bytes(60)
    assert data[128] == 3
    index = data[129:-64]
    assert index[0] == 0x8D  # a map of 13 keys begins right where the last tensor ends
    end = data[-64:]
    assert struct.unpack("<QQQQ", end[:32]) == (129, len(index), len(index), xxhash.xxh3_64_intdigest(index))
    assert end[32:40] == bytes.fromhex("00000000 0100 0000")
    assert struct.unpack("<Q", end[40:48]) == (len(data),)
    assert struct.unpack("<Q", end[48:56]) == (xxhash.xxh3_64_intdigest(end[:48]),)
    assert end[56:] == data[:8]


def test_crafting_without_a_fault_gives_the_same_file():
    assert craft.assemble(BODY, INDEX) == DATA
    assert craft.edit(DATA) == DATA


@pytest.mark.parametrize(
    ("data", "code", "message"),
    [
        (b"", "MAGIC", "begins with nothing, not 895054460d0a1a0a"),
        (b"PK\3\4" + bytes(200), "MAGIC", "begins with 504b030400000000"),
        (b"\x88" + DATA[1:], "MAGIC", "begins with 88505446"),
        (DATA[:4] + b"\n\x1a\n\0" + DATA[8:], "MAGIC", "895054460a1a0a00"),  # after a transfer as text
        (b"\x89PT", "TRUNCATED", "3 bytes, a file has at least 128"),
        (DATA[:127], "TRUNCATED", "127 bytes, a file has at least 128"),
        (put(8, b"\2"), "VERSION", "version 2.0, this reader knows 1.x"),
        (put(12, b"\1"), "NONZERO", "bytes 12 to 63 of the preamble"),
        (put(63, b"\1"), "NONZERO", "bytes 12 to 63 of the preamble"),
        (DATA[:-1], "TRUNCATED", "the last 8 bytes are"),
        (DATA + b"\0", "TRUNCATED", "the last 8 bytes are"),
        (put(-64, b"\0"), "CHECKSUM", "trailer: xxh3"),
        (put(-16, b"\0\0"), "CHECKSUM", "trailer: xxh3"),
        (put(10, b"\1"), "VERSION", "trailer says 1.0, preamble 1.1"),
        (craft.assemble(BODY, INDEX, major=2), "VERSION", "trailer says 2.0, preamble 1.0"),
        (craft.assemble(BODY, INDEX, flags=2), "FEATURE", "trailer flags 0x2: only bit 0 is known"),
        (craft.assemble(BODY, INDEX, length=len(DATA) + 1), "TRUNCATED", f"{len(DATA)} bytes, the trailer says"),
        (DATA + DATA, "EXTENT", f"{2 * len(DATA)} bytes, the trailer says {len(DATA)}"),
        (DATA[:64] + DATA, "EXTENT", f"{len(DATA) + 64} bytes, the trailer says {len(DATA)}"),
        (craft.assemble(BODY, INDEX, offset=63), "EXTENT", "index at offset 63"),
        (craft.assemble(BODY, INDEX, offset=len(BODY) + 1), "EXTENT", "does not end at the trailer"),
        (craft.assemble(BODY, INDEX, stored=len(INDEX) - 1), "EXTENT", "does not end at the trailer"),
        (craft.assemble(BODY, INDEX, offset=2**64 - 1, stored=2**64 - 1), "EXTENT", "index at offset 18446744"),
        (craft.assemble(BODY, INDEX, decoded=2**28 + 1), "LIMIT", "declares 268435457 bytes, at most 268435456"),
        (craft.assemble(BODY, INDEX, decoded=1), "EXTENT", f"a raw index of {len(INDEX)} bytes declares 1"),
        (
            craft.assemble(BODY, INDEX, decoded=257 * len(INDEX), compressed=True),
            "LIMIT",
            f"{len(INDEX)} stored index bytes declare {257 * len(INDEX)}, over 256 : 1",
        ),
        (craft.assemble(BODY, INDEX, sum=0), "CHECKSUM", "index: xxh3 0000000000000000 stored"),
        (craft.assemble(BODY, INDEX, compressed=True), "CODEC", "index: "),
        (craft.assemble(BODY, b""), "MALFORMED", "index byte 0: the bytes end"),
        (craft.assemble(BODY, b"\x90"), "SCHEMA", "index: a list, expected a map"),
    ],
)
@pytest.mark.parametrize("by", [ptformat.load, ptformat.verify])
def test_a_fault_of_the_frame(data, code, message, by):
    refused(data, code, message, by)


def test_order_of_the_frame_checks():
    """A file with a fault in every place: each repaired in turn uncovers the next."""
    facts = {"major": 2, "flags": 2, "length": 1, "offset": 1, "decoded": 2**40, "sum": 0}
    broken = craft.assemble(BODY, b"\xc1" + INDEX[1:], **facts)
    broken = put(-24, b"\2", put(-1, b"\0", put(20, b"\1", put(8, b"\2", put(0, b"\0", broken)))))
    seen = []
    repairs = [(0, b"\x89"), (8, b"\1"), (20, b"\0"), (-1, b"\n")]
    for at, byte in repairs:
        with pytest.raises(FormatError) as caught:
            ptformat.verify(broken)
        seen.append(caught.value.code)
        broken = put(at, byte, broken)
    with pytest.raises(FormatError) as caught:
        ptformat.verify(broken)
    seen.append(caught.value.code)
    for fact in [None, "major", "flags", "length", "offset", "decoded", "sum"]:
        facts.pop(fact, None)
        with pytest.raises(FormatError) as caught:
            ptformat.verify(craft.assemble(BODY, b"\xc1" + INDEX[1:], **facts))
        seen.append(caught.value.code)
    assert seen == [
        *("MAGIC", "VERSION", "NONZERO", "TRUNCATED", "CHECKSUM"),
        *("VERSION", "FEATURE", "EXTENT", "EXTENT", "LIMIT", "CHECKSUM", "MALFORMED"),
    ]


@pytest.mark.parametrize("minor", [1, 65535])
def test_a_later_minor_version_is_read(minor):
    later = put(10, struct.pack("<H", minor), BODY)
    assert ptformat.load(craft.assemble(later, INDEX, minor=minor))["v"] == 7


@pytest.mark.parametrize(
    ("position", "decoded", "start"),
    [
        (64, 0, 64),
        (65, 0, 128),
        (128, 1, 128),
        (129, 2**20 - 1, 192),
        (129, 2**20, 4096),
        (4096, 2**20, 4096),
        (4097, 2**30, 8192),
    ],
)
def test_alignment(position, decoded, start):
    assert container.align(position, decoded) == start


def test_offsets_of_a_small_file():
    tree = {"a": np.ones(3, np.uint8), "b": np.ones(0), "c": np.ones(2**20, np.uint8), "d": np.ones(1, np.uint8)}
    data = ptformat.save(tree)
    end = 4096 + 2**20
    assert craft.trailer(data)[0] == end + 1
    assert data[64:67] == b"\1\1\1"
    assert not any(data[67:4096])
    assert data[4096 : end + 1] == b"\1" * (2**20 + 1)
    starts, ends = container.offsets([3, 0, 2**20, 1], [3, 0, 2**20, 1], [False] * 4)
    assert (starts, ends) == ([64, 128, 4096, end], end + 1)


def test_what_cannot_be_mapped_needs_no_page():
    """A tensor whose first chunk is raw starts on a page, whatever follows; any other at a multiple of 64."""
    noise = np.random.default_rng(0).integers(0, 256, 2**19, dtype=np.uint8)
    zeros = np.zeros(2**19, np.uint8)
    tree = {"a": np.ones(3, np.uint8), "b": np.append(zeros, noise), "c": np.append(noise, zeros), "d": zeros[:100]}
    reader = ptformat.Reader(ptformat.save(tree, codec="zstd", chunk=2**19))
    assert (reader.index.columns["codec"] != 0).tolist() == [False, True, False, False, True, True]
    starts, end = reader.index.layout
    assert starts[:2] == [64, 128]
    assert starts[2] == -(-(128 + int(reader.index.held[1])) // 4096) * 4096
    assert starts[3] == -(-(starts[2] + int(reader.index.held[2])) // 64) * 64
    assert container.offsets(reader.index.nbytes, reader.index.held, [False, True, False, True]) == (starts, end)
    assert all(np.array_equal(reader[name], array) for name, array in tree.items())
    assert ptformat.verify(ptformat.save(tree, codec="zstd", chunk=2**19)).tensors == 4


def test_offsets_beyond_the_largest_file():
    with pytest.raises(FormatError, match=f"at most {limits.MAX_FILE_BYTES} bytes") as caught:
        container.offsets([1, 1], [2**53 - 65, 1], [False, False])
    assert caught.value.code == "LIMIT"


@pytest.mark.parametrize("seed", range(20))
def test_offsets_follow_one_after_the_other(seed):
    rng = np.random.default_rng(seed)
    decoded = rng.choice([0, 1, 63, 64, 65, 4096, 2**20 - 1, 2**20, 2**20 + 1, 2**32], int(rng.integers(0, 40)))
    stored = [int(rng.integers(0, size + 1)) for size in decoded.tolist()]
    coded = rng.random(len(stored)) < 0.3
    starts, position = [], 64
    for size, held, packed in zip(decoded.tolist(), stored, coded.tolist(), strict=True):
        starts.append(container.align(position, size, packed))
        position = starts[-1] + held
    assert container.offsets(decoded, stored, coded) == (starts, position)
