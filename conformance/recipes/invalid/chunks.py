"""The chunk size and the chunk columns (spec sections 2.3, 3.2 and 6)."""

from __future__ import annotations

from collections.abc import Iterator

from .. import blocks, forms
from ..case import Case, reject
from ..draft import PLANES, RAW, ZSTD, Chunk, Draft, u32, u64
from ..elements import nbytes, ramp

# No multiple of 64, or none that is positive.
SIZES = {
    "zero": 0,
    "one": 1,
    "32": 32,
    "63": 63,
    "65": 65,
    "96": 96,
    "100": 100,
    "one-more-than-usual": 4194305,
    "decimal-hundred-thousand": 100000,
    "minus-1": -1,
    "minus-64": -64,
    "minus-4194304": -4194304,
    "smallest": -(2**63),
    "2-to-63-and-1": 2**63 + 1,
    "all-ones": 2**64 - 1,
    "of-32-bits-all-ones": 2**32 - 1,
}
LARGE = {
    "twice-the-limit": 2**27,
    "2-to-32": 2**32,
    "2-to-32-and-64": 2**32 + 64,
    "2-to-63": 2**63,
    "largest": 2**64 - 64,
}
NO_PLANES = (
    "bool",
    "int2",
    "int4",
    "int8",
    "uint2",
    "uint4",
    "uint8",
    "float8_e4m3fn",
    "float8_e5m2",
    "float8_e4m3fnuz",
    "float8_e5m2fnuz",
    "float8_e4m3b11fnuz",
    "float8_e8m0fnu",
    "float8_e3m4",
    "float8_e4m3",
    "float4_e2m1fn",
)
FRAME = blocks.rle_frame(7, 64)  # of the whole chunk of 64 bytes


def three() -> Draft:
    """Three tensors of one, three and two chunks of at most 64 bytes; the fourth and fifth are compressed."""
    made = Draft(chunk=64).tensor("a", "uint8", (10,))
    runs = bytes([7]) * 64
    data = ramp("uint8", (64,)) * 2 + runs[:20]
    made.tensor("b", "uint8", (148,), data)
    return made.tensor("c", "uint8", (128,), runs * 2, chunks=[(ZSTD, FRAME), (ZSTD, FRAME)])


def cases() -> Iterator[Case]:
    """Steps 29, 30 and 36 to 39."""
    yield from _size()
    yield from _counts()
    yield from _codecs()
    yield from _lengths()
    yield from _ratio()


def _size() -> Iterator[Case]:
    draft = Draft().tensor("a", "int8", (3,)).tensor("b", "int8", (1,))
    for name, size in SIZES.items():
        data = draft.file(keys={"chunk": forms.integer(size)})
        yield reject(f"size-{name}", data, "CHUNK", "3.2", f"the chunk size is {size}", step=29)
    for name, size in LARGE.items():
        data = draft.file(keys={"chunk": forms.integer(size)})
        yield reject(f"size-{name}", data, "LIMIT", "9", f"the chunk size is {size}", step=30)
    data = Draft().value("", 1).file(keys={"chunk": forms.integer(0)})
    yield reject("size-zero-without-tensors", data, "CHUNK", "3.2", "there is nothing to cut", step=29)
    data = Draft().tensor("a", "int8", (0,)).file(keys={"chunk": forms.integer(0)})
    yield reject("size-zero-without-elements", data, "CHUNK", "3.2", "there is nothing to cut", step=29)


def _counts() -> Iterator[Case]:
    draft = three()
    held = draft.columns()
    more = {"codec": b"\0", "stored": u32(0), "sum": u64(0)}
    for name, item in more.items():
        raw = held[name]
        for slug, made in (
            ("one-fewer", raw[: -len(item)]),
            ("one-more", raw + item),
            ("first-missing", raw[len(item) :]),
            ("empty", b""),
        ):
            data = draft.file(columns={name: made})
            yield reject(f"{name}-{slug}", data, "CHUNK", "3.2", "there are six chunks", step=36)

    def counted(slug: str, made: Draft, comment: str) -> Case:
        return reject(slug, made.file(), "CHUNK", "2.3", comment, step=36)

    whole = ramp("uint8", (128,))
    halves = [(RAW, whole[:64]), (RAW, whole[64:])]
    for slug, chunks, comment in (
        ("count-one-for-two", [(RAW, whole)], "both chunks in one"),
        ("count-three-for-two", [*halves, (RAW, b"")], "an empty chunk behind two whole ones"),
        ("count-first-empty", [(RAW, b""), *halves], "an empty chunk in front"),
        ("count-none-for-two", [], "no chunk at all"),
        ("count-four-for-two", [(RAW, whole[at : at + 32]) for at in range(0, 128, 32)], "chunks of half the size"),
    ):
        yield counted(slug, Draft(chunk=64).tensor("a", "uint8", (128,), whole, chunks=chunks), comment)
    empty = Draft().tensor("a", "int8", (0,), b"", chunks=[(RAW, b"")])
    yield counted("count-one-for-none", empty, "an empty chunk of a tensor without elements")
    scalar = Draft().tensor("a", "float32", (), chunks=[])
    yield counted("count-none-for-scalar", scalar, "a tensor without axes has one element")


def _codecs() -> Iterator[Case]:
    draft = three()
    codecs = draft.columns()["codec"]
    for code in (3, 4, 64, 127, 128, 255):
        for place, at in (("first", 0), ("middle", 2), ("last", len(codecs) - 1)):
            made = codecs[:at] + bytes([code]) + codecs[at + 1 :]
            data = draft.file(columns={"codec": made})
            slug = f"codec-{code}-{place}"
            yield reject(slug, data, "CODEC", "6", "no such codec", step=37, readers="1.0")
    for dtype in NO_PLANES:
        count = 64 * 8 // {"int2": 2, "uint2": 2, "int4": 4, "uint4": 4, "float4_e2m1fn": 4}.get(dtype, 8)
        stored = b"\1" + (10).to_bytes(4, "little") + blocks.rle_frame(1, 64)
        single = Draft().tensor("a", dtype, (count,), b"\1" * 64, chunks=[(PLANES, stored)])
        comment = "an element has one byte or less: one plane, which would decode"
        yield reject(f"planes-of-{dtype.replace('_', '-')}", single.file(), "CODEC", "6.3", comment, step=37)
    mixed = (
        Draft(chunk=64)
        .tensor("a", "int16", (32,))
        .tensor("b", "uint8", (128,), bytes(128), chunks=[(RAW, bytes(64)), (PLANES, stored)])
    )
    yield reject("planes-of-last-chunk", mixed.file(), "CODEC", "6.3", "the last chunk of an uint8 tensor", step=37)


def _lengths() -> Iterator[Case]:
    """Stored bytes that the codec cannot have; the file holds as many as the column says."""
    data = bytes([7]) * 64 + ramp("uint8", (64,)) + bytes([7]) * 40

    def stored(slug: str, at: int, chunk: Chunk, comment: str) -> Case:
        chunks: list[Chunk] = [(RAW, data[:64]), (RAW, data[64:128]), (RAW, data[128:])]
        chunks[at] = chunk
        made = Draft(chunk=64).tensor("a", "uint8", (168,), data, chunks=chunks).tensor("b", "int8", (3,))
        return reject(slug, made.file(), "CHUNK", "6.1" if chunk[0] == RAW else "6.2", comment, step=38)

    for place, at, size in (("first", 0, 64), ("middle", 1, 64), ("last", 2, 40)):
        for slug, length in (("one-fewer", size - 1), ("one-more", size + 1), ("none", 0), ("twice", 2 * size)):
            raw = (data[64 * at :] + bytes(128))[:length]
            yield stored(f"raw-{place}-{slug}", at, (RAW, raw), f"of {size} bytes")
        frame = blocks.rle_frame(7, size)
        padded = blocks.raw_frame(data[64 * at : 64 * at + size])
        for slug, raw in (("none", b""), ("as-many", (frame + bytes(size))[:size]), ("longer", padded)):
            yield stored(f"zstd-{place}-{slug}", at, (ZSTD, raw), f"of {size} bytes")
    yield stored("last-raw-of-whole-size", 2, (RAW, data[64:128]), "the last chunk is shorter")
    for slug, dtype, shape in (("int16", "int16", (32,)), ("complex128", "complex128", (4,))):
        size = nbytes(dtype, shape)
        for name, raw in (("none", b""), ("as-many", bytes(size)), ("more", bytes(size + 1))):
            made = Draft().tensor("a", dtype, shape, bytes(size), chunks=[(PLANES, raw)])
            yield reject(f"planes-{slug}-{name}", made.file(), "CHUNK", "6.3", f"of {size} bytes", step=38)
    for slug, dtype, shape in (
        ("one-byte", "uint8", (1,)),
        ("two-bytes", "uint8", (2,)),
        ("seven-bytes", "uint8", (7,)),
    ):
        size = nbytes(dtype, shape)
        made = Draft().tensor("a", dtype, shape, bytes(size), chunks=[(ZSTD, blocks.rle_frame(0, size))])
        yield reject(f"zstd-of-{slug}", made.file(), "CHUNK", "6.2", "a frame is longer than that", step=38)
    one = Draft().tensor("a", "uint8", (100,), bytes(100), chunks=[(ZSTD, blocks.rle_frame(0, 100))])
    for slug, number in (("one-less", 9), ("one-more", 11)):
        made_of = one.file(columns={"stored": u32(number)})
        yield reject(f"stored-bytes-{slug}", made_of, "EXTENT", "2.3", "10 are there", step=41)
    for slug, number in (("zero", 0), ("2-to-31", 2**31), ("all-ones", 2**32 - 1)):
        made_of = one.file(columns={"stored": u32(number)})
        comment = "10 are there: neither a length of the chunk nor one that fits the file"
        yield reject(f"stored-bytes-{slug}", made_of, ("CHUNK", "EXTENT"), "2.3", comment, step=38)


def _ratio() -> Iterator[Case]:
    """No frame can hold so much; what the columns say is refused before it is looked at."""
    bomb = blocks.header(2**20) + blocks.block(blocks.RLE, 2**20, b"\0", last=True)
    made = Draft().tensor("a", "uint8", (2**20,), bytes(2**20), chunks=[(ZSTD, bomb)])
    yield reject("ratio-zstd", made.file(), "LIMIT", "9", "a mebibyte in one RLE block of a lenient decoder", step=39)
    size = 32768 * len(bomb) + 1
    made = Draft().tensor("a", "uint8", (size,), bytes(size), chunks=[(ZSTD, bomb)])
    yield reject("ratio-zstd-one-more", made.file(), "LIMIT", "9", "one byte more than 32768 times", step=39)
    stored = (b"\1" + (5).to_bytes(4, "little")) * 2 + b"frame" * 2
    made = Draft().tensor("a", "int16", (2**19,), bytes(2**20), chunks=[(PLANES, stored)])
    yield reject("ratio-planes", made.file(), "LIMIT", "9", "a mebibyte in 20 bytes", step=39)
    made = Draft().tensor("a", "uint8", (40000,), bytes(40000), chunks=[(ZSTD, b"\x28")])
    yield reject("ratio-one-byte", made.file(), "LIMIT", "9", "40000 bytes in one", step=39)
    draft = Draft(chunk=65536).tensor(
        "a", "uint8", (131072,), bytes(131072), chunks=[(ZSTD, blocks.rle_frame(0, 65536)), (ZSTD, b"\x28")]
    )
    yield reject("ratio-last-chunk", draft.file(), "LIMIT", "9", "the second of two chunks", step=39)
    whole = Draft(chunk=67108864).tensor("a", "uint8", (1,), chunks=[(ZSTD, bytes(2047))])
    data = whole.file(columns={"dims": u64(67108864)})
    yield reject("ratio-largest-chunk", data, "LIMIT", "9", "one byte fewer than 64 MiB need", step=39)
