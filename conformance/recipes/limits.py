"""Limits (spec section 9): at the boundary, and one beyond."""

from __future__ import annotations

from collections.abc import Iterator

from .case import Case


def cases() -> Iterator[Case]:
    """None yet."""
    yield from ()
