"""Faults of the trailer (spec section 2.2)."""

from __future__ import annotations

from collections.abc import Iterator

from ..case import Case, reject
from .base import sample


def cases() -> Iterator[Case]:
    """Each field, its checksum repaired unless that is the fault."""
    draft = sample()
    whole = draft.file()

    def spoilt(slug: str, code: str, step: int, comment: str, **facts: int) -> Case:
        return reject(slug, draft.file(trailer=facts), code, "2.2", comment, step=step)

    yield spoilt("own-checksum", "CHECKSUM", 6, "the trailer's own checksum", trailer_sum=0)
    yield spoilt("index-checksum", "CHECKSUM", 15, "the checksum of the stored index", sum=0)
    for bit in range(1, 32):
        yield spoilt(f"flag-{bit}", "FEATURE", 8, "a flag that is not defined", flags=1 << bit)
    yield reject("no-magic", whole[:-8] + bytes(8), "TRUNCATED", "2.2", "zeros where the magic stands", step=5)
