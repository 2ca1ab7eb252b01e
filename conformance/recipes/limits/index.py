"""The size of the index, and what it holds."""

from __future__ import annotations

from collections.abc import Iterator

from .. import forms
from ..blocks import squeezed
from ..case import MEMORY_MIB, Case, accept, reject
from ..draft import Draft
from .base import ENTRIES, INDEX_BYTES, INDEX_RATIO, INDEX_VALUES, LATER, METADATA, metadata, run_behind


def cases() -> Iterator[Case]:
    """Row by row of the table."""
    yield from _index()
    yield from _values()
    yield from _entries()
    yield from _metadata()


def _index() -> Iterator[Case]:
    """MAX_INDEX_BYTES and MAX_INDEX_RATIO."""
    draft = Draft(metadata={"limit": "index"}).tensor("x", "uint8", (3,))
    for slug, size, code, step, comment in (
        ("index-bytes-beyond", INDEX_BYTES + 1, "LIMIT", 12, "as the trailer says"),
        ("index-bytes-largest", 2**64 - 1, "LIMIT", 12, "as the trailer says"),
        ("index-bytes-at-but-not-there", INDEX_BYTES, "EXTENT", 14, "256 MiB are allowed, but the index is shorter"),
    ):
        yield reject(slug, draft.file(trailer={"decoded": size}), code, "2.2", comment, step=step)
    compressed = draft.file(stored=squeezed, trailer={"decoded": INDEX_BYTES + 1})
    yield reject("index-bytes-beyond-compressed", compressed, "LIMIT", "2.2", "of a compressed index", step=12)
    for slug, more in (("index-ratio-at", 0), ("index-ratio-beyond", 1)):
        filled, data = _filled(more)
        if more:
            yield reject(slug, data, "LIMIT", "2.2", "256 times its stored bytes and one", step=13)
        else:
            yield accept(slug, filled, "2.2", "256 times its stored bytes", data)


def _filled(more: int) -> tuple[Draft, bytes]:
    """A file whose index is 256 times as long as it is stored, and so many bytes more."""
    count = 2**15
    while True:
        draft = Draft(metadata={"limit": "a" * count}).value("x")
        sizes: list[int] = []

        def frame(index: bytes, sizes: list[int] = sizes) -> bytes:
            held = squeezed(index)
            sizes[:] = [len(index), len(held)]
            return held

        data = draft.file(stored=frame)
        missing = INDEX_RATIO * sizes[1] + more - sizes[0]
        if not missing:
            return draft, data
        count += missing


def _values() -> Iterator[Case]:
    """MAX_INDEX_VALUES: the index map of 14 keys has 28 items, `requires` none, `value` one."""
    draft = Draft(minor=1).value("limit")
    rest = INDEX_VALUES - 28 - 1
    memory = MEMORY_MIB + 64 * INDEX_VALUES // 2**20  # an object of 64 bytes for each item
    at = run_behind(draft, forms.head("array", rest), 0xC0, rest)
    comment = "2^22 items, most of them in one array; 64 bytes of memory and 3 microseconds for each"
    yield accept("index-values-at", draft, "3.1", comment, at, memory=memory, seconds=15.0)
    beyond = run_behind(draft, forms.head("array", rest + 1), 0xC0, rest + 1)
    yield reject("index-values-beyond", beyond, "LIMIT", "3.1", "one item more", step=17, memory=memory)
    # `[[], nulls]`: an array of two, so three items less.
    nested = forms.head("array", 2) + forms.head("array", 0) + forms.head("array", rest - 1)
    two = run_behind(draft, nested, 0xC0, rest - 1)
    comment = "no array has that many: it is the sum"
    yield reject("index-values-beyond-in-nested-arrays", two, "LIMIT", "3.1", comment, step=17, memory=memory)
    maps = run_behind(draft, forms.head("array", rest + 1), 0x80, rest + 1)
    yield reject(
        "index-values-beyond-of-maps", maps, "LIMIT", "3.1", "empty maps are items too", step=17, memory=memory
    )


def _entries() -> Iterator[Case]:
    """MAX_ENTRIES, by the entry types alone: paths for all of them would be megabytes."""
    draft = Draft().value("limit")
    for slug, count, code, step, comment in (
        ("entries-beyond-by-type", ENTRIES + 1, "LIMIT", 24, "2^20 + 1 entry types, and one path"),
        ("entries-at-by-type", ENTRIES, "SCHEMA", 26, "2^20 entry types are allowed, but there is one path"),
    ):
        yield reject(slug, _types(draft, count), code, "9", comment, step=step)


def _types(draft: Draft, count: int) -> bytes:
    text = forms.text("".join(map(chr, range(0x21, 0x7F))) * (count // 256 // 94 + 1))
    return draft.file(columns={"type": b"\2" * count}, keys={LATER: text}, stored=squeezed)


def _metadata() -> Iterator[Case]:
    """MAX_METADATA_BYTES; the file that is right is made by `large`."""
    for slug, size, spoilt, code, step, comment in (
        ("metadata-beyond", METADATA + 1, {}, "LIMIT", 22, "2^20 + 1 bytes"),
        (
            "metadata-at-before-another-fault",
            METADATA,
            {"sum": b"\0"},
            "SCHEMA",
            23,
            "2^20 bytes; a column has one byte",
        ),
    ):
        columns: dict[str, bytes] = dict(spoilt)
        data = metadata(size).file(columns=columns, stored=squeezed)
        yield reject(slug, data, code, "3.2", comment, step=step)
