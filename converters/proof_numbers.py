"""How far two arrays are apart, and what is an array in a model's output."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ptformat.dtypes import Array


class ProofError(ValueError):
    """Two models that cannot be compared; the message says where, and what either has there."""


_BAND = 1 << 16  # elements that are compared at a time


@dataclass(frozen=True, slots=True, kw_only=True)
class Apart:
    """How far two arrays of one shape are apart, in float64.

    Attributes:
        shape: Of both, as torch has it.
        absolute: The largest |a - b|; infinite where one of the two is.
        relative: The largest |a - b| / max(|a|, |b|, s), s being `largest`, but 1 at most: elements near 0 are
            measured against the size of the whole, and those of a large array each against its own.
        nan: Where one of the two is NaN and the other is not. They count in no other number.
        largest: The largest finite magnitude in either.
        equal: Whether no NaN stands against a number and `relative` is within the tolerance; of integers and
            truth values, whether all are the same.
    """

    shape: tuple[int, ...]
    absolute: float
    relative: float
    nan: int
    largest: float
    equal: bool


def measure(a: Array, b: Array, tolerance: float) -> Apart:
    """Compare two arrays of one shape and of any types, a band at a time."""
    whole = a.dtype.kind in "biu" and b.dtype.kind in "biu"
    first, second = a.reshape(-1), b.reshape(-1)
    bands = [slice(start, start + _BAND) for start in range(0, a.size, _BAND)]
    largest = max((_largest(each[band]) for each in (first, second) for band in bands), default=0.0)
    absolute = relative = 0.0
    nan = unlike = 0
    for band in bands:
        x, y = (each[band] if each.dtype.kind in "biufc" else _float64(each[band]) for each in (first, second))
        alike = x == y
        if alike.all():
            continue
        unlike += int(np.count_nonzero(~alike))
        x, y = _float64(x), _float64(y)
        x_lost, y_lost = np.isnan(x), np.isnan(y)
        nan += int(np.count_nonzero(x_lost != y_lost))
        with np.errstate(all="ignore"):
            apart = np.where(alike | x_lost | y_lost, 0.0, np.abs(x - y))
            apart[np.isnan(apart)] = np.inf  # complex numbers with infinite parts
            larger = np.maximum(np.maximum(np.abs(x), np.abs(y)), min(1.0, largest))
            ratio = np.where(apart > 0, np.where(np.isinf(apart), np.inf, apart / larger), 0.0)
        absolute, relative = max(absolute, float(apart.max())), max(relative, float(ratio.max()))
    return Apart(
        shape=a.shape,
        absolute=absolute,
        relative=relative,
        nan=nan,
        largest=largest,
        equal=unlike == 0 if whole else nan == 0 and relative <= tolerance,
    )


def _largest(array: Array) -> float:
    """The largest finite magnitude."""
    size = np.abs(_float64(array))
    return float(size.max(initial=0.0, where=np.isfinite(size)))


def _float64(array: Array) -> Array:
    return array.astype(np.complex128 if array.dtype.kind == "c" else np.float64)


def leaves(tree: Any, is_array: Callable[[Any], bool], path: str = "") -> Iterator[tuple[str, Any]]:
    """Path and leaf of all that a model returned, `None` left out; what is no array and no container is a leaf too.

    Maps (a dict, what a library derives from it) and dataclasses are opened by name, lists and tuples by number.
    """
    if tree is None:
        return
    if is_array(tree):
        yield path, tree
        return
    if isinstance(tree, Mapping):
        items = list(tree.items())
    elif dataclasses.is_dataclass(tree) and not isinstance(tree, type):
        items = [(field.name, getattr(tree, field.name)) for field in dataclasses.fields(tree)]
    elif isinstance(tree, (list, tuple)):
        items = list(enumerate(tree))
    else:
        yield path, tree
        return
    for key, item in items:
        yield from leaves(item, is_array, f"{path}.{key}" if path else str(key))


def arrays(tree: Any, is_array: Callable[[Any], bool], whose: str) -> dict[str, Any]:
    """Path -> array of all that a model returned; Python's numbers count as arrays.

    Raises:
        ProofError: For anything else.
    """
    found: dict[str, Any] = {}
    for path, leaf in leaves(tree, is_array):
        if isinstance(leaf, (bool, int, float, complex)):
            leaf = np.asarray(leaf)
        elif not is_array(leaf):
            where = f"output {path!r}" if path else "output"
            raise ProofError(f"the {whose} model's {where} is a {type(leaf).__name__}, no array; return arrays alone")
        found[path] = leaf
    return found


# How a layer's output may stand in torch against flax, besides as it is.
AXIS_1_LAST = "axis 1 of torch's is flax's last"
MERGED = "two last axes of one are one of the other"


def measure_layouts(a: Array, b: Array, tolerance: float) -> tuple[Apart, str] | None:
    """Compare a layer's output in torch and in flax, in whichever layout the shapes allow.

    Returns:
        How far apart and in which layout, "" where both have one; the nearer where several fit, as they do for a
        square array. None where the shapes allow none.
    """
    fitting: list[tuple[str, Array]] = []
    if a.shape == b.shape:
        fitting.append(("", b))
    if a.ndim >= 3 and np.moveaxis(a, 1, -1).shape == b.shape:
        fitting.append((AXIS_1_LAST, np.moveaxis(b, -1, 1)))
    if abs(a.ndim - b.ndim) == 1 and _merged(a.shape, b.shape):
        fitting.append((MERGED, b.reshape(a.shape)))
    found = [(measure(a, each, tolerance), layout) for layout, each in fitting]
    return min(found, key=lambda each: (each[0].nan, each[0].relative), default=None)


def _merged(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    """Whether the shorter is the longer with its two last axes as one."""
    short, long = sorted((a, b), key=len)
    return len(short) > 1 and short == (*long[:-2], long[-2] * long[-1])
