"""Files of later versions (spec section 11)."""

from __future__ import annotations

from collections.abc import Iterator

from .case import Case


def cases() -> Iterator[Case]:
    """None yet."""
    yield from ()
