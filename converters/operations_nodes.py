"""The closed set of operations of which target tensors are made: immutable trees over the tensors of a source."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ptformat.dtypes import BY_NAME, named
from ptformat.errors import FormatError
from ptformat.limits import MAX_INTEGER, MAX_RANK

Shape = tuple[int, ...]
UNSIGNED = "float8_e8m0fnu"  # neither signs nor zero


class Operation:
    """A tensor that is made of others. Build it with the functions of `operations`, which normalise.

    Attributes:
        shape: Of the result.
        dtype: Name of the result's element type.
    """

    __slots__ = ()
    shape: Shape
    dtype: str

    @property
    def children(self) -> tuple[Operation, ...]:
        """What it is made of, in order."""
        of = getattr(self, "of", ())
        return of if isinstance(of, tuple) else (of,)

    @property
    def name(self) -> str:
        """The operation's name in plans and messages."""
        return type(self).__name__.lower()

    @property
    def count(self) -> int:
        """Number of elements of the result."""
        return math.prod(self.shape)


@dataclass(frozen=True, slots=True)
class Given(Operation):
    """A tensor of the source, or one of the target's template that is kept as it is."""

    path: str
    shape: Shape
    dtype: str
    kept: bool = False

    def __post_init__(self) -> None:
        _check_leaf(self, self.path)


@dataclass(frozen=True, slots=True)
class Fill(Operation):
    """One value everywhere."""

    shape: Shape
    dtype: str
    value: int | float

    def __post_init__(self) -> None:
        _check_leaf(self, "fill")
        _check_value(self, self.dtype, self.value)


@dataclass(frozen=True, slots=True)
class Arange(Operation):
    """`start`, `start + step`, ..., of one axis."""

    shape: Shape
    dtype: str
    start: int | float = 0
    step: int | float = 1

    def __post_init__(self) -> None:
        _check_leaf(self, "arange")
        if len(self.shape) != 1:
            raise _wrong(self, f"shape {self.shape}, expected one axis")
        for value in (self.start, self.start + self.step * max(0, self.shape[0] - 1)):
            _check_value(self, self.dtype, value)


@dataclass(frozen=True, slots=True)
class _Node(Operation):
    shape: Shape = field(init=False, compare=False, repr=False)
    dtype: str = field(init=False, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Permute(_Node):
    """Axes moved: the i-th axis of the result is the `perm[i]`-th of `of`."""

    of: Operation
    perm: tuple[int, ...]

    def __post_init__(self) -> None:
        shape = self.of.shape
        if sorted(self.perm) != list(range(len(shape))):
            raise _wrong(self, f"{self.perm} is no order of the axes of {shape}")
        _made(self, tuple(shape[axis] for axis in self.perm), self.of.dtype)


@dataclass(frozen=True, slots=True)
class Reshape(Operation):
    """The same elements in the same (C) order under another shape."""

    of: Operation
    shape: Shape
    dtype: str = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        _check_shape(self, self.shape)
        if self.of.count != math.prod(self.shape):
            raise _wrong(self, f"{self.of.shape} has {self.of.count:,} elements, {self.shape} {self.count:,}")
        _made(self, self.shape, self.of.dtype)


@dataclass(frozen=True, slots=True)
class Part(_Node):
    """What lies between two places of one axis."""

    of: Operation
    axis: int
    start: int
    stop: int

    def __post_init__(self) -> None:
        size = _axis(self, self.of.shape, self.axis)
        if not 0 <= self.start <= self.stop <= size:
            raise _wrong(self, f"{self.start}:{self.stop} on axis {self.axis} of {self.of.shape}")
        _made(self, replaced(self.of.shape, self.axis, self.stop - self.start), self.of.dtype)


@dataclass(frozen=True, slots=True)
class Index(_Node):
    """One place of an axis, which goes."""

    of: Operation
    axis: int
    at: int

    def __post_init__(self) -> None:
        size = _axis(self, self.of.shape, self.axis)
        if not 0 <= self.at < size:
            raise _wrong(self, f"{self.at} on axis {self.axis} of {self.of.shape}")
        _made(self, self.of.shape[: self.axis] + self.of.shape[self.axis + 1 :], self.of.dtype)


@dataclass(frozen=True, slots=True)
class Join(_Node):
    """Tensors one after the other along an axis that they have."""

    of: tuple[Operation, ...]
    axis: int

    def __post_init__(self) -> None:
        first = _alike(self, self.of)
        _axis(self, first.shape, self.axis)
        for one in self.of:
            if len(one.shape) != len(first.shape) or replaced(one.shape, self.axis, 0) != replaced(
                first.shape, self.axis, 0
            ):
                raise _wrong(self, f"{first.shape} and {one.shape} on axis {self.axis}")
        total = sum(one.shape[self.axis] for one in self.of)
        _made(self, replaced(first.shape, self.axis, total), first.dtype)


@dataclass(frozen=True, slots=True)
class Stack(_Node):
    """Tensors of one shape along a new axis."""

    of: tuple[Operation, ...]
    axis: int

    def __post_init__(self) -> None:
        first = _same_shape(self, self.of)
        if not 0 <= self.axis <= len(first.shape):
            raise _wrong(self, f"axis {self.axis} among those of {first.shape}")
        _made(self, (*first.shape[: self.axis], len(self.of), *first.shape[self.axis :]), first.dtype)


@dataclass(frozen=True, slots=True)
class Flip(_Node):
    """Axes reversed."""

    of: Operation
    axes: tuple[int, ...]

    def __post_init__(self) -> None:
        for axis in self.axes:
            _axis(self, self.of.shape, axis)
        if len(set(self.axes)) != len(self.axes):
            raise _wrong(self, f"axes {self.axes}, one of them twice")
        _made(self, self.of.shape, self.of.dtype)


@dataclass(frozen=True, slots=True)
class Sum(_Node):
    """Tensors of one shape added."""

    of: tuple[Operation, ...]

    def __post_init__(self) -> None:
        first = _same_shape(self, self.of)
        _check_floating(self, first.dtype)
        _made(self, first.shape, first.dtype)


@dataclass(frozen=True, slots=True)
class Scale(_Node):
    """Every element times a number."""

    of: Operation
    factor: float

    def __post_init__(self) -> None:
        _check_floating(self, self.of.dtype)
        if not math.isfinite(self.factor) or not self.factor:
            raise _wrong(self, f"factor {self.factor}")
        _made(self, self.of.shape, self.of.dtype)


@dataclass(frozen=True, slots=True)
class Add(_Node):
    """A number added to every element."""

    of: Operation
    addend: float

    def __post_init__(self) -> None:
        _check_floating(self, self.of.dtype)
        if not math.isfinite(self.addend):
            raise _wrong(self, f"addend {self.addend}")
        _made(self, self.of.shape, self.of.dtype)


@dataclass(frozen=True, slots=True)
class _Woven(_Node):
    of: Operation
    axis: int
    parts: int

    def __post_init__(self) -> None:
        size = _axis(self, self.of.shape, self.axis)
        if self.parts < 1 or size % self.parts:
            raise _wrong(self, f"{self.parts} parts on axis {self.axis} of {self.of.shape}")
        _made(self, self.of.shape, self.of.dtype)


@dataclass(frozen=True, slots=True)
class Interleave(_Woven):
    """An axis that is `parts` blocks a0 a1 ... b0 b1 ... becomes a0 b0 a1 b1 ..."""


@dataclass(frozen=True, slots=True)
class Deinterleave(_Woven):
    """An axis that is a0 b0 a1 b1 ... becomes `parts` blocks a0 a1 ... b0 b1 ..."""


@dataclass(frozen=True, slots=True)
class Pad(_Node):
    """A value put before and after what an axis has."""

    of: Operation
    axis: int
    before: int
    after: int
    value: int | float = 0

    def __post_init__(self) -> None:
        size = _axis(self, self.of.shape, self.axis)
        if self.before < 0 or self.after < 0:
            raise _wrong(self, f"{self.before} before and {self.after} after, on axis {self.axis} of {self.of.shape}")
        _check_value(self, self.of.dtype, self.value)
        _made(self, replaced(self.of.shape, self.axis, self.before + size + self.after), self.of.dtype)


@dataclass(frozen=True, slots=True)
class Repeat(_Node):
    """An axis several times: each element beside its copies (`numpy.repeat`), or all of it again (`numpy.tile`)."""

    of: Operation
    axis: int
    times: int
    each: bool

    def __post_init__(self) -> None:
        size = _axis(self, self.of.shape, self.axis)
        if self.times < 1:
            raise _wrong(self, f"{self.times} times")
        _made(self, replaced(self.of.shape, self.axis, size * self.times), self.of.dtype)


@dataclass(frozen=True, slots=True)
class Cast(Operation):
    """Another element type: rounded to the nearest; what no integer holds is truncated, and cut at the ends."""

    of: Operation
    dtype: str
    shape: Shape = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        _check_dtype(self, self.dtype)
        if BY_NAME[self.dtype].components != BY_NAME[self.of.dtype].components:
            raise _wrong(self, f"from {self.of.dtype} to {self.dtype}")
        _made(self, self.of.shape, self.dtype)


@dataclass(frozen=True, slots=True)
class Fold(_Node):
    """A weight divided by its spectral norm `u @ M @ v`, where M is the weight with `axis` first and the rest flat.

    As `torch.nn.utils.spectral_norm` computes it. There is no way back.
    """

    of: Operation
    u: Operation
    v: Operation
    axis: int = 0

    def __post_init__(self) -> None:
        size = _axis(self, self.of.shape, self.axis)
        _alike(self, self.children)
        _check_floating(self, self.of.dtype)
        rest = math.prod(replaced(self.of.shape, self.axis, 1))
        if BY_NAME[self.of.dtype].components > 1 or (self.u.shape, self.v.shape) != ((size,), (rest,)):
            what = f"{self.of.shape} {self.of.dtype} on axis {self.axis}"
            raise _wrong(self, f"{what} with u {self.u.shape}, v {self.v.shape}; expected {(size,)}, {(rest,)}")
        _made(self, self.of.shape, self.of.dtype)

    @property
    def children(self) -> tuple[Operation, ...]:
        """The weight, u, v."""
        return self.of, self.u, self.v


def replaced(shape: Shape, axis: int, size: int) -> Shape:
    """The shape with another size of one axis."""
    return (*shape[:axis], size, *shape[axis + 1 :])


def _wrong(op: Operation, what: str) -> ValueError:
    return ValueError(f"{op.name}: {what}")


def _made(op: Operation, shape: Shape, dtype: str) -> None:
    _check_shape(op, shape)
    object.__setattr__(op, "shape", shape)
    object.__setattr__(op, "dtype", dtype)


def _check_shape(op: Operation, shape: Shape) -> None:
    if len(shape) > MAX_RANK or any(size < 0 for size in shape) or math.prod(n or 1 for n in shape) > MAX_INTEGER // 16:
        raise _wrong(op, f"shape {shape} is beyond what a file holds")


def _check_dtype(op: Operation, dtype: str) -> None:
    try:
        named(dtype)
    except FormatError as error:
        raise _wrong(op, error.message) from None


def _check_leaf(op: Operation, what: str) -> None:
    if len(op.shape) > MAX_RANK or any(size < 0 for size in op.shape):
        raise ValueError(f"{what}: shape {op.shape}")
    _check_shape(op, op.shape)
    _check_dtype(op, op.dtype)


def _axis(op: Operation, shape: Shape, axis: int) -> int:
    """The size of an axis."""
    if not 0 <= axis < len(shape):
        raise _wrong(op, f"axis {axis} of {shape}")
    return shape[axis]


def _alike(op: Operation, members: Sequence[Operation]) -> Operation:
    """The first of the members, all of one type."""
    if not members:
        raise _wrong(op, "of nothing")
    for one in members:
        if one.dtype != members[0].dtype:
            raise _wrong(op, f"{members[0].dtype} and {one.dtype}")
    return members[0]


def _same_shape(op: Operation, members: Sequence[Operation]) -> Operation:
    first = _alike(op, members)
    for one in members:
        if one.shape != first.shape:
            raise _wrong(op, f"{first.shape} and {one.shape}")
    return first


def _check_floating(op: Operation, dtype: str) -> None:
    if not BY_NAME[dtype].floating or dtype == UNSIGNED:
        raise _wrong(op, f"of {dtype}")


def _check_value(op: Operation, dtype: str, value: int | float) -> None:
    """Refuse a value that the type does not have; a floating one is rounded."""
    kind = BY_NAME[dtype]
    held = False
    if kind.floating and abs(value) < 2**1024 and math.isfinite(value):
        with np.errstate(all="ignore"):
            near = complex(np.float64(value).astype(kind.numpy))
        held = math.isfinite(near.real) and (near.real != 0) == (value != 0) and (near.real < 0) == (value < 0)
    elif not kind.floating and isinstance(value, int):
        low, high = integer_range(dtype)
        held = low <= value <= high
    if not held:
        raise _wrong(op, f"{dtype} has no {value}")


def integer_range(dtype: str) -> tuple[int, int]:
    """The smallest and the largest of an integer type; 0 and 1 of bool."""
    kind = BY_NAME[dtype]
    if kind.name == "bool":
        return 0, 1
    if kind.name.startswith("u"):
        return 0, 2**kind.bits - 1
    return -(2 ** (kind.bits - 1)), 2 ** (kind.bits - 1) - 1
