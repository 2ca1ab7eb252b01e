"""Two trees against each other: what is in one alone, what differs, and by how much."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ptformat.atomic import PathLike
from ptformat.dtypes import Array
from ptformat.tree import Alias, TensorInfo, Value

from .content import Content, Source, untied, whole
from .elements import elements, numbers
from .ends import opened
from .statistics import told


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """How far the numbers of one tensor are apart, in float64.

    Attributes:
        path: Dotted path.
        count: Number of elements.
        equal: How many are equal to the bit, or by value where the types differ.
        absolute: The largest |a - b|; infinite where one of the two is.
        relative: The largest |a - b| / max(|a|, |b|).
        cosine: Cosine similarity of the elements that are finite in both; None where one side has no length.
        nan: Where one of the two is NaN and the other is not. They count in no other number.
    """

    path: str
    count: int
    equal: int
    absolute: float
    relative: float
    cosine: float | None
    nan: int

    @property
    def same(self) -> bool:
        """Whether all elements are equal."""
        return self.equal == self.count

    @property
    def rank(self) -> tuple[int, float, float, int]:
        """The larger, the worse: NaN against a number, then the largest difference, then how many differ."""
        return self.nan, self.absolute, self.relative, self.count - self.equal


@dataclass(frozen=True, slots=True)
class Odd:
    """A difference that is not one of numbers.

    Attributes:
        kind: `missing` (not in the second), `unexpected` (not in the first), `shape`, `dtype`, `tie` or `value`.
        path: Dotted path.
        first: What the first has there, as text, or None.
        second: What the second has there, as text, or None.
    """

    kind: str
    path: str
    first: str | None
    second: str | None


@dataclass(frozen=True, slots=True)
class Difference:
    """All that differs between two trees. It is true when anything does.

    Attributes:
        odd: What is missing, unexpected, or of another shape, type, tie or value.
        measured: Every tensor that both have in one shape, the worst first.
    """

    odd: tuple[Odd, ...]
    measured: tuple[Measured, ...]

    @property
    def differing(self) -> tuple[Measured, ...]:
        """The tensors whose numbers differ, the worst first."""
        return tuple(each for each in self.measured if not each.same)

    def __bool__(self) -> bool:
        return bool(self.odd) or any(not each.same for each in self.measured)


ODD = ("missing", "unexpected", "shape", "dtype", "tie", "value")


def diff(
    a: PathLike | Source,
    b: PathLike | Source,
    *,
    progress: Callable[[int], None] | None = None,
    total: Callable[[int], None] | None = None,
) -> Difference:
    """Compare two trees by path: tensors under every name, values, ties. Memory is bounded by a constant.

    Forms of inner nodes, axes, roles and metadata are not compared.

    Args:
        a: A file of any supported kind, or a `Source`.
        b: The one to compare it with.
        progress: Called with the bytes of `a` compared since it was last called.
        total: Called once with all the bytes there are to compare.

    Raises:
        FormatError: When a file cannot be understood.
        OSError: When a file cannot be read.
    """
    with opened(a) as left, opened(b) as right:
        mine, theirs = _Held(left), _Held(right)
        odd = [*_presence(mine, theirs), *_kinds(mine, theirs), *_ties(mine, theirs)]
        odd.sort(key=lambda each: ODD.index(each.kind))
        paths = [path for path in mine.tensors if mine.shape(path) == theirs.shape(path)]
        once: dict[tuple[Any, Any], str] = {}  # what stands behind two names at once is compared once
        for path in paths:
            once.setdefault((mine.behind(path), theirs.behind(path)), path)
        if total is not None:
            total(sum(mine.tensors[path][0].nbytes for path in once.values()))
        found = [_measure(mine, theirs, path, progress) for path in once.values()]
    return Difference(tuple(odd), tuple(sorted(found, key=lambda each: each.rank, reverse=True)))


class _Held:
    """The leaves of a source by path."""

    def __init__(self, source: Source) -> None:
        self.content: Content = whole(source)
        self.tensors: Mapping[str, tuple[TensorInfo, TensorInfo | Alias]] = {
            info.path: (info, entry) for info, entry in untied(source.entries)
        }
        self.values = {entry.path: entry.value for entry in source.entries if isinstance(entry, Value)}

    def shape(self, path: str) -> tuple[int, ...] | None:
        return self.tensors[path][0].shape if path in self.tensors else None

    def behind(self, path: str) -> tuple[str, tuple[int, ...] | None]:
        """The tensor a path stands for, and how its axes are permuted there."""
        entry = self.tensors[path][1]
        return (entry.target, entry.perm) if isinstance(entry, Alias) else (path, None)

    def said(self, path: str) -> str | None:
        """What there is at a path, as text."""
        if path in self.tensors:
            info = self.tensors[path][0]
            return f"{info.shape} {info.dtype}"
        return repr(self.values[path]) if path in self.values else None

    def bands(self, path: str, progress: Callable[[int], None] | None) -> Any:
        info, entry = self.tensors[path]
        return elements(told(self.content.pieces(entry), progress), info)


def _presence(mine: _Held, theirs: _Held) -> list[Odd]:
    return [
        Odd(kind, path, mine.said(path), theirs.said(path))
        for kind, here, there in (("missing", mine, theirs), ("unexpected", theirs, mine))
        for path in [*here.tensors, *here.values]
        if there.said(path) is None
    ]


def _kinds(mine: _Held, theirs: _Held) -> list[Odd]:
    odd: list[Odd] = []
    for path in [*mine.tensors, *mine.values]:
        first, second = mine.said(path), theirs.said(path)
        if second is None:
            continue
        if path in mine.values or path in theirs.values:
            kind = "value" if path not in mine.values or path not in theirs.values or first != second else None
        elif mine.shape(path) != theirs.shape(path):
            kind = "shape"
        else:
            kind = "dtype" if mine.tensors[path][0].dtype != theirs.tensors[path][0].dtype else None
        if kind:
            odd.append(Odd(kind, path, first, second))
    return odd


def _ties(mine: _Held, theirs: _Held) -> list[Odd]:
    """Paths that share a tensor with an earlier path in one tree and not in the other."""
    common = [path for path in mine.tensors if path in theirs.tensors]
    heads: tuple[dict[Any, str], dict[Any, str]] = {}, {}
    odd = []
    for path in common:
        first, second = (
            None if (head := seen.setdefault(held.behind(path)[0], path)) == path else (head, held.behind(path)[1])
            for held, seen in ((mine, heads[0]), (theirs, heads[1]))
        )
        if (first and first[0]) != (second and second[0]):
            texts = [f"= {said[0]}" if said else "a tensor of its own" for said in (first, second)]
            odd.append(Odd("tie", path, *texts))
    return odd


def _measure(mine: _Held, theirs: _Held, path: str, progress: Callable[[int], None] | None) -> Measured:
    absolute = relative = dot = first = second = 0.0
    equal = nan = 0
    for a, b in zip(mine.bands(path, progress), theirs.bands(path, None), strict=True):
        alike = _alike(a, b)
        equal += int(np.count_nonzero(alike))
        x, y = numbers(a), numbers(b)
        if alike.all():
            x = y = x[np.isfinite(x)]
        else:
            nan += int(np.count_nonzero(np.isnan(x) != np.isnan(y)))
            apart, ratio = _apart(x, y)
            absolute, relative = max(absolute, apart), max(relative, ratio)
            good = np.isfinite(x) & np.isfinite(y)
            if not good.all():
                x, y = x[good], y[good]
        with np.errstate(over="ignore", invalid="ignore"):  # beyond float64 there is no cosine
            own = _dot(x, x)
            first += own
            second += own if x is y else _dot(y, y)
            dot += own if x is y else _dot(x, y)
    return Measured(
        path=path,
        count=mine.tensors[path][0].count,
        equal=equal,
        absolute=absolute,
        relative=relative,
        cosine=_cosine(dot, first, second),
        nan=nan,
    )


def _apart(x: Array, y: Array) -> tuple[float, float]:
    """The largest absolute and the largest relative difference, where neither is NaN."""
    with np.errstate(all="ignore"):
        apart = np.where(x == y, 0, np.abs(x - y))
        apart[np.isnan(apart)] = np.inf  # complex numbers with infinite parts
        apart[np.isnan(x) | np.isnan(y)] = 0
        larger = np.maximum(np.abs(x), np.abs(y))
        ratio = np.where(np.isinf(apart), np.inf, apart / np.where(larger > 0, larger, 1))
    ratio[apart == 0] = 0
    return float(apart.max()), float(ratio.max())


def _alike(a: Array, b: Array) -> Array:
    """Where two bands are equal: by bits where their types are the same, else by value."""
    if a.dtype == b.dtype:
        width = a.dtype.itemsize
        left, right = (np.ascontiguousarray(each).view(np.uint8).reshape(-1, width) for each in (a, b))
        if width <= 8:
            same: Array = left.view(f"u{width}")[:, 0] == right.view(f"u{width}")[:, 0]
        else:
            same = (left == right).all(axis=1)
        return same
    x, y = (each if each.dtype.kind in "iub" else numbers(each) for each in (a, b))
    with np.errstate(invalid="ignore"):
        values: Array = (x == y) | ((x != x) & (y != y))
    return values


def _dot(x: Array, y: Array) -> float:
    """The real part of the inner product. Without BLAS, whose threads wait for each other where cores are busy."""
    if "c" in (x.dtype.kind, y.dtype.kind):
        return float((x.real * y.real + x.imag * y.imag).sum())
    return float((x * y).sum())


def _cosine(dot: float, first: float, second: float) -> float | None:
    if not math.isfinite(first + second) or not math.isfinite(dot):
        return None
    length = first if first == second else math.sqrt(first) * math.sqrt(second)
    return max(-1.0, min(1.0, dot / length)) if length else None
