"""Limits (spec section 9): at the boundary, and one beyond. Files too large to be kept are made by `large`."""

from __future__ import annotations

from collections.abc import Iterator

from ..case import Case
from . import codecs, index, inner, nesting, paths, shapes


def cases() -> Iterator[Case]:
    """Every row of the table but `MAX_FILE_BYTES`, which no index of 256 MiB can declare."""
    for rows in (shapes, index, inner, nesting, paths, codecs):
        yield from rows.cases()
