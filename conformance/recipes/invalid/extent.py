"""Tensors that end elsewhere than where the index begins, and gaps (spec section 2.3)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .. import blocks, forms
from ..case import Case, reject
from ..draft import MAGIC, RAW, ZSTD, Chunk, Draft, assembled
from ..elements import nbytes, ramp
from .base import flipping, giving, index_of, putting, sample

PAGE = 4096
LARGE = 2**20


def laid_out(draft: Draft, starts: Sequence[int], end: int | None = None) -> bytes:
    """The draft's file with each tensor where it is told to be, and the index at `end`."""
    made = bytearray(MAGIC + b"\1" + bytes(55))
    for entry, start in zip(draft.of_type("tensor"), starts, strict=True):
        made += bytes(start - len(made)) + b"".join(stored for _, stored in entry.chunks)
    if end is not None:
        made += bytes(end - len(made))
    return assembled(bytes(made), index_of(draft))


def cases() -> Iterator[Case]:
    """Step 41, and gaps that are not zero, which only who verifies a file looks at."""
    yield from _index()
    yield from _alignment()
    yield from _pages()
    yield from _gaps()


def _refused(slug: str, data: bytes, comment: str) -> Case:
    return reject(slug, data, "EXTENT", "2.3", comment, step=41)


def _index() -> Iterator[Case]:
    draft = sample()
    for more in (1, 2, 8, 59, 64, 4096):
        data = draft.file(body=giving(draft.body() + bytes(more)))
        yield _refused(f"index-{more}-behind", data, "bytes between the last tensor and the index")
    head = forms.head("map", len(Draft().tensor("a", "int8", (3,)).keys())) + forms.text("alias")
    for size in (1, 2, 3):
        last = Draft().tensor("a", "uint8", (size + 2,), b"\x01\x02" + head[:size])
        data = last.file(body=giving(last.body()[:-size]))
        yield _refused(f"index-{size}-early", data, "the last tensor ends with the first bytes of the index")
    whole = Draft().tensor("a", "uint8", (len(head),), head)
    data = whole.file(body=giving(whole.body()[: -len(head)]))
    yield _refused("index-over-tensor", data, "the whole tensor lies within the index")
    nothing = Draft().value("", 1)
    for more in (1, 64, 4032):
        data = nothing.file(body=giving(nothing.body() + bytes(more)))
        yield _refused(f"index-at-{64 + more}-without-tensors", data, "64 is where it begins")
    data = draft.file(body=giving(draft.body()[:64]))
    yield _refused("no-tensor-bytes", data, "the tensors' bytes are not there")
    data = draft.file(body=giving(draft.body() + draft.body()[64:]))
    yield _refused("tensor-bytes-twice", data, "the tensors' bytes are there twice")


def _alignment() -> Iterator[Case]:
    two = Draft().tensor("a", "int8", (10,)).tensor("b", "int8", (5,))
    for slug, starts, comment in (
        ("second-without-gap", (64, 74), "it follows at once"),
        ("second-at-8", (64, 80), "at a multiple of 8"),
        ("second-at-32", (64, 96), "at a multiple of 32"),
        ("second-64-further", (64, 192), "a multiple of 64, but not the next one"),
        ("second-at-a-page", (64, PAGE), "small, yet at a page"),
        ("first-64-further", (128, 192), "the first does not follow the preamble"),
        ("first-at-a-page", (PAGE, PAGE + 64), "small, yet at a page"),
    ):
        yield _refused(slug, laid_out(two, starts), comment)
    full = Draft().tensor("a", "int8", (64,)).tensor("b", "int8", (5,))
    yield _refused("gap-after-64-bytes", laid_out(full, (64, 192)), "the position is a multiple of 64 already")
    three = Draft().tensor("a", "int8", (10,)).tensor("b", "int8", (0,)).tensor("c", "int8", (5,))
    yield _refused("gap-for-no-elements", laid_out(three, (64, 128, 192)), "the position is aligned already")
    last = Draft().tensor("a", "int8", (10,)).tensor("b", "int8", (0,))
    yield _refused("no-gap-for-no-elements", laid_out(last, (64, 74)), "a tensor without elements is aligned too")
    only = Draft().tensor("a", "int8", (0,))
    yield _refused("gap-behind-no-elements", laid_out(only, (64,), 128), "nothing to skip")
    yield _refused("index-aligned", laid_out(two, (64, 128), 192), "no gap stands before the index")
    yield _refused("index-at-a-page", laid_out(two, (64, 128), PAGE), "no gap stands before the index")
    yield _refused("index-aligned-to-8", laid_out(two, (64, 128), 136), "no gap stands before the index")
    data = ramp("uint8", (128,))
    cut = Draft(chunk=64).tensor("a", "uint8", (128,), data, chunks=[(RAW, data[:64] + bytes(64)), (RAW, data[64:])])
    columns = Draft(chunk=64).tensor("a", "uint8", (128,), data).columns()
    yield _refused("gap-between-chunks", cut.file(columns=columns), "chunks follow without a gap")
    frame = blocks.rle_frame(7, 64)
    packed = Draft(chunk=64).tensor(
        "a", "uint8", (128,), bytes([7]) * 128, chunks=[(ZSTD, frame + bytes(54)), (ZSTD, frame)]
    )
    columns = Draft(chunk=64).tensor("a", "uint8", (128,), bytes([7]) * 128, chunks=[(ZSTD, frame)] * 2).columns()
    yield _refused("compressed-chunks-aligned", packed.file(columns=columns), "chunks follow without a gap")


def _pages() -> Iterator[Case]:
    """A tensor of 1048576 bytes of which only the first chunk may be raw, so that the files are small."""
    step = 4096
    count = LARGE // step
    raw: Chunk = (RAW, ramp("uint8", (step,)))
    frame: Chunk = (ZSTD, blocks.rle_frame(0, step))

    def large(first: Chunk, last: Chunk, dtype: str = "uint8", elements: int = LARGE) -> Draft:
        chunks = [first, *[frame] * (count - 2), last]
        return Draft(chunk=step).tensor("a", dtype, (elements,), bytes(nbytes(dtype, (elements,))), chunks=chunks)

    for slug, start, comment in (
        ("large-at-64", 64, "its first chunk is raw: it starts on a page"),
        ("large-at-2048", 2048, "its first chunk is raw: at half a page"),
        ("large-at-second-page", 2 * PAGE, "the first page is the next"),
    ):
        yield _refused(slug, laid_out(large(raw, frame), (start,)), comment)
    comment = "its first chunk is compressed: it starts at 64"
    yield _refused("large-compressed-at-a-page", laid_out(large(frame, frame), (PAGE,)), comment)
    yield _refused("large-last-chunk-raw-at-a-page", laid_out(large(frame, raw), (PAGE,)), comment)
    short: Chunk = (ZSTD, blocks.rle_frame(0, step - 1))
    small = large(raw, short, elements=LARGE - 1)
    yield _refused("one-byte-less-at-a-page", laid_out(small, (PAGE,)), "one byte too small for a page")
    bits = large(raw, short, "int4", 2 * LARGE - 2)
    yield _refused("elements-counted-at-a-page", laid_out(bits, (PAGE,)), "2097150 elements in 1048575 bytes")


def _gaps() -> Iterator[Case]:
    """`NONZERO`, found when the file is verified."""

    def spoilt(slug: str, draft: Draft, at: int, comment: str) -> Case:
        data = draft.file(body=flipping(at, at % 8))
        return reject(slug, data, "NONZERO", "2.3", comment, phase="verify")

    two = Draft().tensor("a", "int8", (10,)).tensor("b", "int8", (5,))
    for place, at in (("first", 74), ("second", 75), ("middle", 100), ("last", 127)):
        yield spoilt(f"gap-{place}-byte", two, at, "the gap goes from 74 to 127")
    one = Draft().tensor("a", "int8", (63,)).tensor("b", "int8", (5,))
    yield spoilt("gap-only-byte", one, 127, "the gap is one byte")
    four = Draft()
    for name in "abcd":
        four.tensor(name, "int8", (10,))
    for place, at in (("first", 100), ("middle", 160), ("last", 230)):
        yield spoilt(f"{place}-gap", four, at, "one of three gaps")
    empty = Draft().tensor("a", "int8", (10,)).tensor("b", "int8", (0,))
    yield spoilt("gap-before-no-elements", empty, 127, "the last bytes before the index")
    both = Draft().tensor("a", "int8", (10,)).value("v", 1).tensor("b", "int8", (0,)).tensor("c", "int8", (1,))
    yield spoilt("gap-before-two", both, 90, "of the tensor without elements and of the next")
    frame = blocks.rle_frame(7, 64)
    packed = Draft().tensor("a", "uint8", (64,), bytes([7]) * 64, chunks=[(ZSTD, frame)]).tensor("b", "int8", (3,))
    yield spoilt("gap-behind-compressed", packed, 74, "the gap follows a frame")
    data = two.file(body=putting(74, b"\xff" * 54))
    yield reject("gap-all-set", data, "NONZERO", "2.3", "all of the gap", phase="verify")
    data = two.file(body=putting(74, b"hidden in the gap"))
    yield reject("gap-text", data, "NONZERO", "2.3", "a text in the gap", phase="verify")
    step = 4096
    first = ramp("uint8", (step,))
    chunks: list[Chunk] = [(RAW, first)] + [(ZSTD, blocks.rle_frame(0, step))] * (LARGE // step - 1)
    large = Draft(chunk=step).tensor("a", "uint8", (LARGE,), first + bytes(LARGE - step), chunks=chunks)
    for place, at in (("first", 64), ("middle", 2000), ("last", PAGE - 1)):
        yield spoilt(f"page-gap-{place}-byte", large, at, "the gap from the preamble to the first page")
