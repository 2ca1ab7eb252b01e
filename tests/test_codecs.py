import craft
import numpy as np
import pytest
import xxhash
import zstandard

import ptformat
from ptformat.codecs import MODULES, NAMES, planes, raw, zstd
from ptformat.errors import FormatError

SIZE = 4096
PLAIN = bytes(range(64)) * 64
FRAME = zstd.encode(memoryview(PLAIN))


def decoded(frame, size=SIZE):
    into = bytearray(size)
    zstd.decode(memoryview(frame), memoryview(into))
    return bytes(into)


def test_table():
    assert NAMES == {0: "raw", 1: "zstd", 2: "planes"}
    assert {0: raw, 1: zstd, 2: planes} == MODULES


def test_raw_copies():
    into = bytearray(3)
    raw.decode(memoryview(b"abc"), memoryview(into))
    assert into == b"abc"
    assert raw.encode(memoryview(b"abc")) == b"abc"
    with pytest.raises(FormatError, match="raw chunk of 2 bytes, 3 expected") as caught:
        raw.decode(memoryview(b"ab"), memoryview(into))
    assert caught.value.code == "CODEC"


def test_a_frame_declares_its_size_and_nothing_else():
    facts = zstandard.get_frame_parameters(FRAME)
    assert (facts.content_size, facts.dict_id, facts.has_checksum) == (SIZE, 0, False)
    assert decoded(FRAME) == PLAIN
    assert decoded(bytes.fromhex("28b52ffd 20 64 230300 2a"), 100) == b"\x2a" * 100  # the example of the spec


@pytest.mark.parametrize("options", [{"level": 19}, {"level": -5}, {"write_dict_id": True}])
def test_frames_of_other_settings_are_read(options):
    assert decoded(zstandard.ZstdCompressor(**options).compress(PLAIN)) == PLAIN


def test_a_frame_of_many_blocks():
    plain = np.random.default_rng(0).integers(0, 16, 2**20 + 17, dtype=np.uint8).tobytes()
    assert decoded(zstd.encode(memoryview(plain)), len(plain)) == plain


@pytest.mark.parametrize("plain", [b"", b"a", bytes(range(256)), np.random.default_rng(0).bytes(SIZE)])
def test_what_hardly_shrinks_is_left_raw(plain):
    assert zstd.encode(memoryview(plain)) is None


def test_what_shrinks_too_much_is_left_raw():
    assert zstd.encode(memoryview(bytes(2**26))) is None or 32768 * len(zstd.encode(memoryview(bytes(2**26)))) >= 2**26


def streamed(plain):
    """A frame without content size."""
    made = zstandard.ZstdCompressor(write_content_size=False).compressobj()
    return made.compress(plain) + made.flush()


def windowed(size, window_log):
    """A frame of one RLE block with a content size and a window of its own."""
    head = b"\x28\xb5\x2f\xfd\x80" + bytes([(window_log - 10) << 3]) + size.to_bytes(4, "little")
    return head + (size << 3 | 0b011).to_bytes(3, "little") + b"\0"


FAULTS = {
    "empty": (b"", "CODEC", "chunk begins with , not a zstd frame's 28b52ffd"),
    "magic": (b"\x27" + FRAME[1:], "CODEC", "chunk begins with 27b52ffd"),
    "skippable": (b"\x50\x2a\x4d\x18" + FRAME[4:], "CODEC", "chunk begins with 502a4d18"),
    "five bytes": (FRAME[:5], "CODEC", "zstd frame of 5 bytes is cut short"),
    "header cut": (FRAME[:6], "CODEC", "zstd frame header of 7 bytes is cut short"),
    "reserved bit": (FRAME[:4] + bytes([FRAME[4] | 8]) + FRAME[5:], "CODEC", "low four bits must be zero"),
    "no size": (streamed(PLAIN), "CODEC", "does not declare its content size"),
    "other size": (zstd.encode(memoryview(PLAIN * 2)), "CODEC", "declares 8192 bytes, the index says 4096"),
    "dictionary": (
        FRAME[:4] + bytes([FRAME[4] | 1]) + b"\x07" + FRAME[5:],
        "CODEC",
        "low four bits must be zero",
    ),
    "window": (windowed(SIZE, 27), "LIMIT", "zstd window of 134217728 bytes, at most 67108864"),
    "trailing": (FRAME + b"\0", "CODEC", f"zstd frame ends at byte {len(FRAME)}, the chunk has {len(FRAME) + 1}"),
    "two frames": (FRAME + FRAME, "CODEC", f"zstd frame ends at byte {len(FRAME)}, the chunk has {2 * len(FRAME)}"),
    "cut": (FRAME[:-1], "CODEC", f"zstd frame ends at byte {len(FRAME)}, the chunk has {len(FRAME) - 1}"),
    "no last block": (bytes.fromhex("28b52ffd 60 000f 220000 2a"), "CODEC", "cut short at byte 11"),
    "reserved block": (
        bytes.fromhex("28b52ffd 60 000f 070000"),
        "CODEC",
        "zstd block at byte 7 is of the reserved type",
    ),
    "long RLE block": (
        bytes.fromhex("28b52ffd 60 000f 0b8000 2a"),
        "CODEC",
        "block at byte 7 of size 4097, at most 4096",
    ),
    "block over the window": (windowed(SIZE, 11), "CODEC", "block at byte 10 of size 4096, at most 2048 is allowed"),
    "largest window": (windowed(SIZE, 41), "LIMIT", "zstd window of 2199023255552 bytes, at most 67108864"),
    "short content": (bytes.fromhex("28b52ffd 60 000f 230000 2a"), "CODEC", "zstd frame: "),
    "checksum": (
        zstandard.ZstdCompressor(write_checksum=True).compress(PLAIN),
        "CODEC",
        "low four bits must be zero",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_a_frame(fault):
    frame, code, message = FAULTS[fault]
    with pytest.raises(FormatError) as caught:
        decoded(frame)
    assert (caught.value.code, message in caught.value.message) == (code, True), caught.value


@pytest.mark.parametrize(("size", "kind"), [(2**17, 0), (2**17, 1), (2**17 + 1, 0), (2**17 + 1, 1), (2**18, 2)])
def test_a_block_is_bounded(size, kind):
    """Of any type: at most 128 KiB, and at most the window."""
    body = b"\x2a" * (1 if kind == 1 else size)
    head = b"\x28\xb5\x2f\xfd\xa0" + size.to_bytes(4, "little")
    frame = head + (size << 3 | kind << 1 | 1).to_bytes(3, "little") + body
    if size <= 2**17:
        assert decoded(frame, size) == b"\x2a" * size
    else:
        with pytest.raises(FormatError, match=f"block at byte 9 of size {size}, at most 131072 is allowed") as caught:
            decoded(frame, size)
        assert caught.value.code == "CODEC"


@pytest.mark.parametrize(
    ("size", "header"),
    [
        (0, "20 00"),
        (255, "20 ff"),
        (256, "60 0000"),
        (300, "40 00 2c00"),  # a window of its own, and 2 bytes that count from 256
        (65791, "60 ffff"),
        (65792, "a0 00010100"),
        (300, "b0 2c010000"),  # bit 4 is unused and ignored
        (300, "c0 07 2c01000000000000"),
        (300, "e0 2c01000000000000"),
    ],
)
def test_headers_of_frames(size, header):
    """Of one RLE block."""
    frame = bytes.fromhex(f"28b52ffd {header}") + (size << 3 | 3).to_bytes(3, "little") + b"\x2a"
    assert decoded(frame, size) == b"\x2a" * size


def test_a_bomb_is_not_decoded():
    """13 bytes that declare 512 KiB are over the ratio; nothing is decoded."""
    frame = bytes.fromhex("28b52ffd a0 00000800 030040 2a")
    with pytest.raises(FormatError, match="13 stored bytes declare 524288, over 32768 : 1") as caught:
        decoded(frame, 2**19)
    assert caught.value.code == "LIMIT"


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault != "empty"])
def test_a_fault_in_a_file_names_tensor_and_chunk(fault):
    """With every checksum right: only the codec can tell."""
    frame, code, message = FAULTS[fault]
    if len(frame) >= SIZE:
        frame = frame[: SIZE - 1]
    start = craft.body(ptformat.save({"x": np.zeros(SIZE, np.uint8)}, codec="raw"))[:64] + frame
    content = craft.index_map(ptformat.save({"x": np.frombuffer(PLAIN, np.uint8)}))
    content |= {
        "codec": b"\1",
        "stored": craft.column("u4", len(frame)),
        "sum": craft.column("u8", xxhash.xxh3_64_intdigest(frame)),
    }
    data = craft.assemble(start, craft.packed(content))
    for by in (ptformat.load, ptformat.verify):
        with pytest.raises(FormatError) as caught:
            by(data)
        assert caught.value.code == code
        assert caught.value.message.startswith("tensor 'x', chunk 0: ")
        assert message in caught.value.message
        assert caught.value.path == "x"


def test_a_compressed_index_is_one_frame():
    data = craft.sample(metadata={"note": "a" * 500}, codec="zstd")
    offset, stored, size, _, flags, *_ = craft.trailer(data)
    assert (flags, stored < size) == (1, True)
    frame = data[offset : offset + stored]
    for bad, message in (
        (frame + b"\0", "index: zstd frame ends at byte"),
        (frame[:-1], "index: zstd frame ends at byte"),
        (b"\0" + frame[1:], "index: chunk begins with 00b52ffd"),
    ):
        with pytest.raises(FormatError) as caught:
            ptformat.load(craft.assemble(data[:offset], bad, decoded=size, compressed=True))
        assert (caught.value.code, message in caught.value.message) == ("CODEC", True), caught.value
    with pytest.raises(FormatError, match=f"index: zstd frame declares {size} bytes, the index says {size + 1}"):
        ptformat.load(craft.assemble(data[:offset], frame, decoded=size + 1, compressed=True))


@pytest.mark.parametrize("blocks", ["150000ffff", "0900002a", "0b00002a"], ids=["compressed", "raw", "run"])
def test_a_frame_of_nothing_is_decoded_too(blocks):
    """An index of no bytes is no index; what stands in its frame is looked at before."""
    frame = bytes.fromhex("28b52ffd803800000000" + blocks)
    with pytest.raises(FormatError) as caught:
        ptformat.load(craft.assemble(craft.body(craft.sample()), frame, decoded=0, compressed=True))
    assert (caught.value.code, caught.value.message[:18]) == ("CODEC", "index: zstd frame:"), caught.value
    sound = bytes.fromhex("28b52ffd803800000000010000")
    with pytest.raises(FormatError, match=r"^MALFORMED: index byte 0: the bytes end"):
        ptformat.load(craft.assemble(craft.body(craft.sample()), sound, decoded=0, compressed=True))


def test_a_bomb_of_an_index_is_not_decoded():
    """Within 256 : 1 by its trailer, but the frame itself declares more."""
    frame = zstandard.ZstdCompressor().compress(bytes(2**24))
    with pytest.raises(FormatError, match="over 256 : 1") as caught:
        ptformat.load(craft.assemble(craft.body(craft.sample()), frame, decoded=2**24, compressed=True))
    assert caught.value.code == "LIMIT"
    with pytest.raises(FormatError, match="zstd frame declares 16777216 bytes, the index says 1000") as caught:
        ptformat.load(craft.assemble(craft.body(craft.sample()), frame, decoded=1000, compressed=True))
    assert caught.value.code == "CODEC"
