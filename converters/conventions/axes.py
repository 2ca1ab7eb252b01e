"""Patterns of named axes, such as `(heads dim) in`, and the sizes that shapes give their names.

A pattern has an item for each axis of a tensor: a name; names in parentheses, laid one within the other; `1`; or a
name that stands for several axes (`*spatial`, `*axes`, `*1`). A single `*` is where a tensor holds several parameters:
first in its parentheses they lie one after the other, elsewhere they are interleaved there. `a|b` is the one of the
names that the parameter at hand has. A name that stands in two items is one of blocks on a diagonal.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Iterable, Mapping, Sequence

Axes = tuple[str, ...]
Dim = tuple[str, ...]  # names whose sizes are multiplied
Sizes = Mapping[str, int]
Equation = tuple[tuple[tuple[str, ...], ...], int]  # the products of the names add up to the number

SPATIAL = "*spatial"  # one to three axes
SPATIAL_AXES: dict[int, Axes] = {1: ("x",), 2: ("y", "x"), 3: ("z", "y", "x")}
ANY = "*axes"  # two axes or more
ONES = "*1"  # any number of axes of size 1
STAR = "*"
_ITEM = re.compile(r"\(([^()]*)\)|(\S+)")


@functools.cache
def parse(pattern: str) -> tuple[Dim, ...]:
    """The items of a pattern."""
    return tuple(
        tuple(group.split()) if name == "" else () if name == "1" else (name,)
        for group, name in _ITEM.findall(pattern.strip())
    )


def spelled(dims: Sequence[Dim], rank: int, sizes: Sizes) -> tuple[Dim, ...] | None:
    """The items with `*spatial` and the like spelled out for a tensor of that rank; None where the rank does not fit.

    Args:
        dims: Of a pattern.
        rank: Of the tensor.
        sizes: Known ones; they say which spatial axes an item in parentheses has.
    """
    result: list[Dim] = []
    for dim in dims:
        if len(dim) == 1 and dim[0] in (SPATIAL, ANY, ONES):
            names = several(dim[0], rank - len(dims) + 1)
            if names is None:
                return None
            result += [() if name == ONES else (name,) for name in names]
        elif SPATIAL in dim:
            names = tuple(name for name in SPATIAL_AXES[3] if name in sizes)
            if names not in SPATIAL_AXES.values():
                return None
            at = dim.index(SPATIAL)
            result.append((*dim[:at], *names, *dim[at + 1 :]))
        else:
            result.append(dim)
    return tuple(result) if len(result) == rank else None


def several(name: str, count: int) -> Axes | None:
    """The axes that a name for several stands for; None where it cannot be as many."""
    if name == SPATIAL:
        return SPATIAL_AXES.get(count)
    if name == ANY:
        return tuple(f"axis{i}" for i in range(count)) if count > 1 else None
    return (ONES,) * count if count >= 0 else None


def chosen(dim: Dim, own: Iterable[str]) -> Dim:
    """An item with each `a|b` replaced by the one among `own`, the names of the axes of one parameter."""
    held = set(own)
    return tuple(next((one for one in name.split("|") if one in held), name.split("|")[0]) for name in dim)


def solve(equations: Iterable[Equation], known: Sizes) -> dict[str, int] | None:
    """Sizes of names, as far as equations tell; None where they contradict each other."""
    sizes = dict(known)
    left = list(equations)
    while left:
        waiting: list[Equation] = []
        for terms, total in left:
            unknown = {name for term in terms for name in term if name not in sizes}
            if not unknown:
                if sum(product(term, sizes) for term in terms) != total:
                    return None
                continue
            name = min(unknown)
            having = [term for term in terms if name in term]
            factor = sum(
                product([other for other in term if other != name], sizes) for term in having if _once(term, name)
            )
            if len(unknown) > 1 or factor == 0 or not all(_once(term, name) for term in having):
                waiting.append((terms, total))
                continue
            rest = total - sum(product(term, sizes) for term in terms if name not in term)
            if rest < 0 or rest % factor:
                return None
            sizes[name] = rest // factor
        if len(waiting) == len(left):
            break
        left = waiting
    return sizes


def _once(term: Sequence[str], name: str) -> bool:
    return term.count(name) == 1


def product(names: Iterable[str], sizes: Sizes) -> int:
    """The product of the sizes; a name that is not known counts as 1."""
    return math.prod(sizes.get(name, 1) for name in names)
