"""Cases of the limits whose files are too large to be kept: made on demand, in no manifest.

Where an accepted file would say what it holds in hundreds of megabytes of JSON, the file at the limit has another fault
instead, which section 10.2 finds later: a reader that reports it has let the limit pass.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

from . import forms, logical
from .blocks import header, raw_blocks, rle_frame
from .case import MEMORY_MIB, Case, accept, reject
from .draft import ZSTD, Draft
from .limits.base import CHUNK, ENTRIES, INDEX_BYTES, LATER, METADATA, WINDOW, metadata, run_behind

SECONDS = 60.0
MIB = 2**20
EMPTY_BLOCKS_SUM = 0x4EAA816866AC7EFD  # xxh3-64 of 256 MiB, which takes minutes in plain Python
# All that `cases` makes, in order: known before it is made.
SLUGS = (
    "attrs-of-2-mib",
    "chunk-of-64-mib",
    "entries-at",
    "entries-beyond",
    "index-bytes-at",
    "index-bytes-beyond",
    "index-stored-bytes-beyond",
    "map-of-65535",
    "map-of-65536",
    "metadata-at",
    "provenance-of-2-mib",
    "tensors-without-elements",
    "window-at-with-single-segment",
    "window-at-with-window-byte",
    "window-beyond-the-content",
)


def cases() -> Iterator[Case]:
    """Up to 256 MiB each, most of them some tens of megabytes, one after the other."""
    for case in _all():
        yield dataclasses.replace(case, seconds=SECONDS)


def _all() -> Iterator[Case]:
    yield from _index()
    yield from _maps()
    yield from _window()
    yield from _metadata()
    yield from _entries()
    yield from _chunks()


def _index() -> Iterator[Case]:
    """MAX_INDEX_BYTES: 256 MiB from 1 MiB; a reader may hold the index, the value in it, and a copy of either."""
    draft = Draft(minor=1).value("large")
    memory = MEMORY_MIB + 3 * INDEX_BYTES // MIB
    rest = INDEX_BYTES - _around(draft)
    at = run_behind(draft, forms.head("bin", rest), 0, rest)
    yield _accept("index-bytes-at", draft, "2.2", "256 MiB of index, most of it in an unknown key", at, memory)
    beyond = run_behind(draft, forms.head("bin", rest + 1), 0, rest + 1)
    yield reject("index-bytes-beyond", beyond, "LIMIT", "2.2", "256 MiB and one byte, all there", step=12)
    comment = "256 MiB and one byte stored, in empty blocks, of an index of 110 bytes"
    yield reject("index-stored-bytes-beyond", _empty_blocks(INDEX_BYTES + 1), "LIMIT", "2.2", comment, step=12)


def _empty_blocks(stored: int) -> bytes:
    """A file whose index is so many stored bytes: empty blocks, each three zeros, then the index itself."""
    draft = Draft().value("stored")

    def frame(index: bytes) -> bytes:
        start, end = header(len(index)), raw_blocks(index)
        blocks, rest = divmod(stored - len(start) - len(end), 3)
        if rest:
            raise ValueError(f"{rest} bytes more than {blocks} empty blocks")
        return start + bytes(3 * blocks) + end

    return draft.file(stored=frame, trailer={"sum": EMPTY_BLOCKS_SUM})


def _maps() -> Iterator[Case]:
    """A map at the end of a form; distinct keys are not to be had from runs."""
    for size in (65535, 65536):
        draft = Draft(minor=1).value("large")
        held = forms.keyed({f"{i:05}": forms.NULL for i in range(size)})
        yield accept(f"map-of-{size}", draft, "3.1", "keys of a map, in an unknown key", draft.file(keys={LATER: held}))


def _around(draft: Draft) -> int:
    """Bytes of an index that ends with the head of a long byte string, without the string."""
    return len(forms.keyed({**draft.keys(), LATER: forms.head("bin", INDEX_BYTES)}))


def _window() -> Iterator[Case]:
    """MAX_ZSTD_WINDOW where the content is longer: 72 MiB of index."""
    draft = Draft(minor=1).value("large")
    size = WINDOW + WINDOW // 8
    rest = size - _around(draft)
    memory = MEMORY_MIB + 3 * size // MIB
    for slug, window, comment in (
        ("single-segment", None, "the window is the content: 72 MiB"),
        ("window-byte", 16 << 3 | 1, "a window of 72 MiB, as long as the content"),
    ):
        data = run_behind(draft, forms.head("bin", rest), 0, rest, window=window)
        yield _accept(f"window-at-with-{slug}", draft, "6.2", comment, data, memory)
    data = run_behind(draft, forms.head("bin", rest - 1), 0, rest - 1, window=16 << 3 | 1)
    comment = "a window of 72 MiB, one byte longer than the content"
    yield reject("window-beyond-the-content", data, "LIMIT", "6.2", comment, step=16, memory=memory)


def _metadata() -> Iterator[Case]:
    """MAX_METADATA_BYTES, and what has no limit of its own."""
    yield accept("metadata-at", metadata(METADATA), "3.2", "2^20 bytes of metadata")
    draft = Draft(provenance={"large": "p" * (2 * METADATA)}).value("x")
    yield accept("provenance-of-2-mib", draft, "9", "MAX_METADATA_BYTES is of metadata alone")
    draft = Draft().tensor("x", "int8", (1,), attrs={"large": "a" * (2 * METADATA)})
    yield accept("attrs-of-2-mib", draft, "9", "MAX_METADATA_BYTES is of metadata alone")


def _entries() -> Iterator[Case]:
    """MAX_ENTRIES: 64 bytes each for an entry, its path, its value, and its places in two tables of paths."""
    memory = MEMORY_MIB + 5 * 64 * ENTRIES // MIB
    names = [f"{i:x}" for i in range(ENTRIES - 1)]
    comment = "2^20 entries are allowed, but the last one lies beneath the first"
    yield reject("entries-at", _values([*names, "0.0"]), "TREE", "3.5", comment, step=52, memory=memory)
    names.append("0.0")
    yield reject("entries-beyond", _values([*names, "x"]), "LIMIT", "9", "2^20 + 1 entries", step=24, memory=memory)
    tensors = Draft()
    for i in range(300_000):
        tensors.tensor(f"t{i}", "uint8", (0,))
    # Path, shape and facts of each tensor, and as much again for the tree.
    memory = MEMORY_MIB + 1024
    yield accept("tensors-without-elements", tensors, "2.3", "300,000 tensors, no bytes", memory=memory)


def _values(paths: Sequence[str]) -> bytes:
    """A file with a null at each path."""
    held = forms.array([forms.NULL] * len(paths))
    keys = {"path": forms.text("\n".join(paths)), "value": held}
    return Draft().value("x").file(columns={"type": b"\2" * len(paths)}, keys=keys)


def _chunks() -> Iterator[Case]:
    """MAX_CHUNK_BYTES: chunks of 64 MiB, and one of a byte."""
    size = CHUNK + 1
    chunks = [(ZSTD, rle_frame(0, CHUNK)), (0, b"\0")]
    draft = Draft(chunk=CHUNK).tensor("large", "uint8", (size,), bytes(size), chunks=chunks)
    memory = MEMORY_MIB + 2 * CHUNK // MIB
    yield _accept("chunk-of-64-mib", draft, "6.2", "2057 stored bytes for 2^26", draft.file(), memory)


def _accept(slug: str, draft: Draft, section: str, comment: str, data: bytes, memory: int) -> Case:
    """An accepted case without its raw twin, whose checksums would take minutes."""
    content = logical.content(draft)
    return Case(slug=slug, data=data, section=section, comment=comment, content=content, memory=memory)
