"""The operations of plans (README, "Operations"): what a target tensor is made of.

An operation is JSON: the path of a tensor of the source, or a map of its name, its numbers and what it is made `of`.
What an element is is left to an `Arithmetic`: bytes, so that files can be made; or names, so that two spellings of one
thing are equal.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Generic, Protocol, TypeVar

Made = Any  # JSON
Shape = tuple[int, ...]
E = TypeVar("E")
MAX_ELEMENTS = 2**20  # of a tensor of these plans
MAX_NESTING = 64


@dataclass(frozen=True)
class Array(Generic[E]):
    """A tensor: its element type, its shape, and its elements in row-major order."""

    dtype: str
    shape: Shape
    elements: tuple[E, ...]


class Arithmetic(Protocol[E]):
    """What makes elements of no source's elements."""

    def constant(self, dtype: str, value: float) -> E:
        """An element of this value."""

    def total(self, dtype: str, of: Sequence[E]) -> E:
        """The sum of elements, rounded once."""


class Named:
    """Elements are texts that say what they are: `0.weight[3]`, `0.0`, `a[1] + b[1]`."""

    def constant(self, dtype: str, value: float) -> str:
        """The number."""
        return repr(float(value))

    def total(self, dtype: str, of: Sequence[str]) -> str:
        """The members, in an order that does not depend on that in which they were given."""
        return " + ".join(sorted(of))


def named(path: str, dtype: str, shape: Shape) -> Array[str]:
    """A tensor of the source, its elements called by its path."""
    return Array(dtype, shape, tuple(f"{path}[{place}]" for place in range(math.prod(shape))))


def evaluate(made: Made, tensors: Mapping[str, Array[E]], arithmetic: Arithmetic[E], depth: int = 0) -> Array[E]:
    """What an operation makes of a source's tensors.

    Raises:
        ValueError: For what is no operation, or does not fit what it is made of.
    """
    if isinstance(made, str):
        if made not in tensors:
            raise ValueError(f"the source has no tensor {made!r}")
        return tensors[made]
    if depth >= MAX_NESTING:
        raise ValueError(f"more than {MAX_NESTING} operations in one another")
    if not isinstance(made, dict):
        raise ValueError(f"{made!r} is neither a path nor a map")
    name = made.get("op")
    known = _KNOWN.get(name) if isinstance(name, str) else None
    if known is None:
        raise ValueError(f"no operation is called {name!r}; there are {', '.join(_KNOWN)}")
    if made.keys() - {"op"} != known.keys.keys():
        raise ValueError(f"{name} has {', '.join(known.keys)}, not {', '.join(sorted(made.keys() - {'op'}))}")
    for key, check in known.keys.items():
        if not check(made[key]):
            raise ValueError(f"{name}: {key} is {made[key]!r}")
    of = made.get("of", [])
    members = [evaluate(one, tensors, arithmetic, depth + 1) for one in (of if isinstance(of, list) else [of])]
    return known.work(made, members, arithmetic)


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _are_ints(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_int, value))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_one(value: Any) -> bool:
    return isinstance(value, (str, dict))


def _are_many(value: Any) -> bool:
    return isinstance(value, list) and len(value) > 0


def _checked(shape: Sequence[int]) -> Shape:
    if math.prod(size or 1 for size in shape) > MAX_ELEMENTS:
        raise ValueError(f"{list(shape)} has more elements than these plans need")
    return tuple(shape)


def _taken(of: Array[E], shape: Sequence[int], where: Callable[[list[int]], Sequence[int]]) -> Array[E]:
    """The array of this shape whose element at each place is that of `of` at another."""
    made = []
    for place in product(*map(range, _checked(shape))):
        at = 0
        for size, step in zip(of.shape, where([*place]), strict=True):
            at = at * size + step
        made.append(of.elements[at])
    return Array(of.dtype, tuple(shape), tuple(made))


def _sized(shape: Shape, axis: int, size: int) -> Shape:
    return (*shape[:axis], size, *shape[axis + 1 :])


def _axis(made: Mapping[str, Any], of: Array[E]) -> int:
    axis: int = made["axis"]
    if axis >= len(of.shape):
        raise ValueError(f"{made['op']}: axis {axis} of {list(of.shape)}")
    return axis


def _alike(made: Mapping[str, Any], of: Sequence[Array[E]], *, but: int | None = None) -> None:
    """All of one type, and of one shape but for the size of one axis."""
    shapes = {one.shape if but is None else (len(one.shape), _sized(one.shape, but, 0)) for one in of}
    if len(shapes) > 1 or len({one.dtype for one in of}) > 1:
        raise ValueError(f"{made['op']}: {', '.join(f'{one.dtype} {list(one.shape)}' for one in of)}")


def _permute(made: Mapping[str, Any], members: Sequence[Array[E]], arithmetic: Arithmetic[E]) -> Array[E]:
    (of,) = members
    perm = made["perm"]
    if sorted(perm) != [*range(len(of.shape))]:
        raise ValueError(f"permute: {perm} is no order of the axes of {list(of.shape)}")
    return _taken(of, [of.shape[axis] for axis in perm], lambda place: [place[perm.index(i)] for i in range(len(perm))])


def _reshape(made: Mapping[str, Any], members: Sequence[Array[E]], arithmetic: Arithmetic[E]) -> Array[E]:
    (of,) = members
    if math.prod(made["shape"]) != len(of.elements):
        raise ValueError(f"reshape: {list(of.shape)} as {made['shape']}")
    return Array(of.dtype, _checked(made["shape"]), of.elements)


def _part(made: Mapping[str, Any], members: Sequence[Array[E]], arithmetic: Arithmetic[E]) -> Array[E]:
    (of,) = members
    axis, start, stop = _axis(made, of), made["start"], made["stop"]
    if not start <= stop <= of.shape[axis]:
        raise ValueError(f"part: {start} to {stop} on axis {axis} of {list(of.shape)}")
    shape = _sized(of.shape, axis, stop - start)
    return _taken(of, shape, lambda place: [n + start if i == axis else n for i, n in enumerate(place)])


def _index(made: Mapping[str, Any], members: Sequence[Array[E]], arithmetic: Arithmetic[E]) -> Array[E]:
    (of,) = members
    axis, at = _axis(made, of), made["at"]
    if at >= of.shape[axis]:
        raise ValueError(f"index: {at} on axis {axis} of {list(of.shape)}")
    shape = of.shape[:axis] + of.shape[axis + 1 :]
    return _taken(of, shape, lambda place: [*place[:axis], at, *place[axis:]])


def _join(made: Mapping[str, Any], members: Sequence[Array[E]], arithmetic: Arithmetic[E]) -> Array[E]:
    axis = _axis(made, members[0])
    _alike(made, members, but=axis)
    outer = math.prod(members[0].shape[:axis])
    runs = [len(one.elements) // outer if outer else 0 for one in members]
    elements = (
        one.elements[row * run : (row + 1) * run]
        for row in range(outer)
        for one, run in zip(members, runs, strict=True)
    )
    shape = _checked(_sized(members[0].shape, axis, sum(one.shape[axis] for one in members)))
    return Array(members[0].dtype, shape, tuple(each for run in elements for each in run))


def _stack(made: Mapping[str, Any], members: Sequence[Array[E]], arithmetic: Arithmetic[E]) -> Array[E]:
    _alike(made, members)
    axis, shape = made["axis"], members[0].shape
    if axis > len(shape):
        raise ValueError(f"stack: axis {axis} among those of {list(shape)}")
    one = (*shape[:axis], 1, *shape[axis:])
    return _join(made, [Array(each.dtype, one, each.elements) for each in members], arithmetic)


def _flip(made: Mapping[str, Any], members: Sequence[Array[E]], arithmetic: Arithmetic[E]) -> Array[E]:
    (of,) = members
    axes = made["axes"]
    if len({*axes}) < len(axes) or any(axis >= len(of.shape) for axis in axes):
        raise ValueError(f"flip: axes {axes} of {list(of.shape)}")
    return _taken(of, of.shape, lambda place: [of.shape[i] - 1 - n if i in axes else n for i, n in enumerate(place)])


def _pad(made: Mapping[str, Any], members: Sequence[Array[E]], arithmetic: Arithmetic[E]) -> Array[E]:
    (of,) = members
    axis = _axis(made, of)
    value = arithmetic.constant(of.dtype, made["value"])
    sides = []
    for size in (made["before"], made["after"]):
        shape = _checked(_sized(of.shape, axis, size))
        sides.append(Array(of.dtype, shape, (value,) * math.prod(shape)))
    return _join({"op": "pad", "axis": axis}, [sides[0], of, sides[1]], arithmetic)


def _sum(made: Mapping[str, Any], members: Sequence[Array[E]], arithmetic: Arithmetic[E]) -> Array[E]:
    _alike(made, members)
    first = members[0]
    each = zip(*(one.elements for one in members), strict=True)
    return Array(first.dtype, first.shape, tuple(arithmetic.total(first.dtype, of) for of in each))


def _fill(made: Mapping[str, Any], members: Sequence[Array[E]], arithmetic: Arithmetic[E]) -> Array[E]:
    shape = _checked(made["shape"])
    return Array(made["dtype"], shape, (arithmetic.constant(made["dtype"], made["value"]),) * math.prod(shape))


@dataclass(frozen=True)
class _Known:
    """An operation: a check of each of its keys, and what it does."""

    keys: Mapping[str, Callable[[Any], bool]]
    work: Callable[[Mapping[str, Any], Sequence[Array[Any]], Arithmetic[Any]], Array[Any]]


_KNOWN = {
    "permute": _Known({"perm": _are_ints, "of": _is_one}, _permute),
    "reshape": _Known({"shape": _are_ints, "of": _is_one}, _reshape),
    "part": _Known({"axis": _is_int, "start": _is_int, "stop": _is_int, "of": _is_one}, _part),
    "index": _Known({"axis": _is_int, "at": _is_int, "of": _is_one}, _index),
    "join": _Known({"axis": _is_int, "of": _are_many}, _join),
    "stack": _Known({"axis": _is_int, "of": _are_many}, _stack),
    "flip": _Known({"axes": _are_ints, "of": _is_one}, _flip),
    "pad": _Known({"axis": _is_int, "before": _is_int, "after": _is_int, "value": _is_number, "of": _is_one}, _pad),
    "sum": _Known({"of": _are_many}, _sum),
    "fill": _Known({"shape": _are_ints, "dtype": _is_text, "value": _is_number}, _fill),
}
OPERATIONS = tuple(_KNOWN)
