"""Nets in the layouts of torch, linen and nnx, and the plans from each to each (README, "Conversions")."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from ..case import Case
from . import attention, conv, dense, names, norm, recurrent, refused
from .group import Group

_MODULES = (names, dense, conv, norm, attention, recurrent, refused)


@cache
def groups() -> dict[str, Group]:
    """Slug -> the files and conversions of a net."""
    made: dict[str, Group] = {}
    for module in _MODULES:
        for one in module.groups():
            if one.slug in made:
                raise ValueError(f"two nets {one.slug}")
            made[one.slug] = one
    return dict(sorted(made.items()))


def cases(slug: str) -> Iterator[Case]:
    """The files of a net."""
    return groups()[slug].cases()
