"""Compressed indexes whose frame breaks a rule (spec sections 2.2 and 6.2)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from .. import blocks, forms, spoilt
from ..case import Case, reject
from ..draft import Draft
from .base import bounded, index_of, sample
from .zstd_content import EIGHT, SEQUENCES

# Faults of `spoilt` that say something of their own when they are met in an index.
PICKED = (
    "skippable-alone",
    "skippable-before",
    "skippable-empty-before",
    "magic-big-endian",
    "magic-missing",
    "magic-zero",
    "magic-of-gzip",
    "size-missing",
    "size-one-more",
    "size-one-less",
    "size-twice",
    "size-terabyte",
    "size-all-ones",
    "size-none",
    "size-one-more-single-segment",
    "size-2-bytes-without-256",
    "checksum",
    "checksum-wrong",
    "checksum-missing",
    "reserved-bit",
    "dictionary-1",
    "dictionary-2-zero",
    "dictionary-4",
    "dictionary-4-zero",
    "window-72-mebibytes",
    "window-128-mebibytes",
    "window-largest",
)


def cases() -> Iterator[Case]:
    """Steps 13, 14 and 16. The index in the frame is right wherever there is one."""
    index = index_of(sample())
    for found in spoilt.headers(index):
        if found.slug in PICKED or found.rule == 2:
            yield _framed(found.slug, found.frame, found.code, found.comment)
    for found in [*spoilt.walks(index), *spoilt.wrong_content(index)]:
        yield _framed(found.slug, found.frame, found.code, found.comment)
    yield from _compressed(index)
    yield from _flags(index)
    yield from _bombs()


def _framed(slug: str, frame: bytes, code: str, comment: str, section: str = "6.2") -> Case:
    return reject(slug, sample().file(stored=_stored(frame)), code, section, comment, step=16)


def _stored(frame: bytes) -> Callable[[bytes], bytes]:
    return lambda index: frame


def _compressed(index: bytes) -> Iterator[Case]:
    """A block that is right with all but the last bytes of the index, and one that does not decode."""
    most = index[:-40]
    start = blocks.header(len(index)) + blocks.block(blocks.RAW, len(most), most, last=False)
    for slug in ("offset-code-255", "repeat-offsets", "stream-missing", "literals-run-out", "accuracy-largest"):
        section = EIGHT + SEQUENCES[slug][0]
        frame = start + blocks.block(blocks.COMPRESSED, len(section), section, last=True)
        yield _framed(f"sequences-{slug}", frame, "CODEC", SEQUENCES[slug][1])
    frame = start + blocks.block(blocks.COMPRESSED, 0, b"", last=True)
    yield _framed("compressed-of-0", frame, "CODEC", "the last block is compressed, and empty")


def _flags(index: bytes) -> Iterator[Case]:
    """Flag and frame that do not belong together."""
    draft = sample()
    data = draft.file(trailer={"flags": 1})
    yield reject("flag-of-raw-index", data, "CODEC", "2.2", "the index is raw", step=16)
    frame = spoilt.whole(index)
    data = draft.file(stored=_stored(frame), trailer={"flags": 0})
    yield reject("no-flag", data, "EXTENT", "2.2", "the index is a frame, and longer when decoded", step=14)
    data = draft.file(stored=_stored(frame), trailer={"flags": 0, "decoded": len(frame)})
    yield reject("no-flag-nor-length", data, "MALFORMED", "2.2", "a frame in place of a raw index", step=17)
    twice = spoilt.whole(frame)
    data = draft.file(stored=_stored(twice), trailer={"decoded": len(frame)})
    yield reject("compressed-twice", data, "MALFORMED", "2.2", "the frame holds a frame", step=17)
    for slug, decoded in (("one-more", len(index) + 1), ("one-less", len(index) - 1), ("zero", 0), ("one", 1)):
        data = draft.file(stored=_stored(frame), trailer={"decoded": decoded})
        comment = "the frame says otherwise and is right"
        yield reject(f"decoded-{slug}", data, "CODEC", "6.2", comment, step=16)
    for slug, decoded in (("2-to-16", 2**16), ("256-times", 256 * len(frame))):
        data = draft.file(stored=_stored(frame), trailer={"decoded": decoded})
        yield reject(f"decoded-{slug}", data, "CODEC", "6.2", "the frame says otherwise and is right", step=16)
    data = draft.file(stored=_stored(b""), trailer={"decoded": 0})
    yield reject("of-no-bytes", data, "CODEC", "6.2", "no byte of a frame", step=16)
    data = draft.file(
        stored=_stored(blocks.header(0) + blocks.block(blocks.RAW, 0, b"", last=True)), trailer={"decoded": 0}
    )
    yield reject("of-no-content", data, "MALFORMED", "3.1", "a frame without content is no index", step=17)


def _bombs() -> Iterator[Case]:
    """Indexes that are right but decode to more than 256 times as many bytes."""
    for slug, size in (("100-thousand", 100000), ("1-million", 10**6)):
        draft = Draft(metadata={"a": "0" * size}).value("", 1)
        data = draft.file(stored=lambda index: bounded(index, 10**6))
        yield reject(f"bomb-{slug}-of-few-bytes", data, "LIMIT", "2.2", "as few bytes as RLE blocks take", step=13)
    data = draft.file(stored=lambda index: bounded(index, 300))
    yield reject("bomb-just-too-small", data, "LIMIT", "2.2", "between 256 and 300 times its stored bytes", step=13)
    later = Draft(minor=1).value("", 1)
    data = later.file(keys={"zz": forms.binary(bytes(10**5))}, stored=lambda index: bounded(index, 10**6))
    yield reject("bomb-in-unknown-key", data, "LIMIT", "2.2", "in a key that a reader ignores", step=13)
    data = later.file(keys={"zz": forms.array([forms.NULL] * 65535)}, stored=lambda index: bounded(index, 10**6))
    yield reject("bomb-of-nulls", data, "LIMIT", "2.2", "65535 nulls in an array", step=13)
