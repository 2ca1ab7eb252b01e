"""What the numbers of each tensor are: range, mean, spread, and how many are NaN, infinite or zero."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ptformat.atomic import PathLike
from ptformat.dtypes import Array
from ptformat.tree import TensorInfo

from .content import Source
from .elements import elements, numbers
from .ends import opened


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """Of one tensor. Range, mean and spread are of the finite elements, and of moduli where they are complex.

    Attributes:
        path: Dotted path.
        dtype: Element type.
        shape: Dimensions, in elements.
        count: Number of elements.
        min: The smallest, or None where no element is finite.
        max: The largest.
        mean: Their mean, computed in float64.
        std: Their standard deviation, divided by the number of elements, not by one less.
        nan: How many are NaN.
        inf: How many are infinite.
        zero: How many are 0, of either sign.
    """

    path: str
    dtype: str
    shape: tuple[int, ...]
    count: int
    min: float | None
    max: float | None
    mean: float | None
    std: float | None
    nan: int
    inf: int
    zero: int

    @property
    def warnings(self) -> list[str]:
        """What is odd about it: `3 NaN`, `1 infinite`, `all 64 elements are zero`."""
        found = [f"{number:,} {what}" for number, what in ((self.nan, "NaN"), (self.inf, "infinite")) if number]
        if self.count > 1 and self.zero == self.count:
            found.append(f"all {self.count:,} elements are zero")
        return found


def statistics(source: PathLike | Source, *, progress: Callable[[int], None] | None = None) -> Iterator[Statistics]:
    """The statistics of every tensor, in order, each once; memory is bounded by a constant.

    Args:
        source: A file of any supported kind, or a `Source`.
        progress: Called with the bytes read since it was last called.

    Raises:
        FormatError: When the file cannot be understood, or its bytes are not what it says.
        OSError: When it cannot be read.
    """
    with opened(source) as held:
        for info in held.entries:
            if isinstance(info, TensorInfo):
                yield summary(info, told(held.pieces(info.path), progress))


def told(pieces: Iterable[Any], progress: Callable[[int], None] | None) -> Iterator[Any]:
    """The same pieces, telling `progress` the size of each."""
    for piece in pieces:
        yield piece
        if progress is not None:
            progress(memoryview(piece).nbytes)


def summary(info: TensorInfo, pieces: Iterable[Any]) -> Statistics:
    """The statistics of one tensor, given its bytes."""
    low, high, mean, squares = math.inf, -math.inf, 0.0, 0.0
    finite = nan = inf = zero = 0
    for band in elements(pieces, info):
        values = numbers(band)
        if values.dtype.kind == "c":
            values = _modulus(values)
        good = np.isfinite(values)
        if not good.all():
            nans = int(np.count_nonzero(np.isnan(values)))
            nan += nans
            inf += int(np.count_nonzero(~good)) - nans
            values = values[good]
        zero += int(np.count_nonzero(values == 0))
        if not values.size:
            continue
        low, high = min(low, float(values.min())), max(high, float(values.max()))
        # Chan, Golub and LeVeque's update: means and squared deviations of two parts give those of the whole
        with np.errstate(over="ignore", invalid="ignore"):
            own = float(values.mean())
            apart = own - mean
            total = finite + values.size
            mean += apart * (values.size / total)
            squares += float(np.square(values - own).sum()) + apart * apart * (finite * (values.size / total))
        finite = total
    return Statistics(
        path=info.path,
        dtype=info.dtype,
        shape=info.shape,
        count=info.count,
        min=low if finite else None,
        max=high if finite else None,
        mean=mean if finite else None,
        std=math.sqrt(squares / finite) if finite else None,
        nan=nan,
        inf=inf,
        zero=zero,
    )


def _modulus(values: Array) -> Array:
    """Moduli, NaN where either part is: NumPy says that of infinity and NaN is infinite."""
    modulus = np.abs(values)
    modulus[np.isnan(values)] = np.nan
    return modulus
