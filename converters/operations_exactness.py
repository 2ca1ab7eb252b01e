"""What an operation is made of, and how exactly its result keeps what it was made of."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np

from ptformat.dtypes import named

from .casting import converted
from .operations_nodes import UNSIGNED, Add, Cast, Fold, Given, Operation, Scale, Sum, integer_range

EXACTNESS = ("bit", "function", "rounded", "lossy")  # from the best to the worst

_WIDER = {("float32", "float64"), ("complex64", "complex128"), ("int32", "float64"), ("uint32", "float64")}


def walked(op: Operation) -> Iterator[Operation]:
    """Every node of the tree in the order of evaluation, children first; what stands in it twice comes twice."""
    for child in op.children:
        yield from walked(child)
    yield op


def sources(op: Operation) -> tuple[Given, ...]:
    """The tensors it is made of, each once, in order."""
    return tuple(dict.fromkeys(one for one in walked(op) if isinstance(one, Given)))


def exactness(op: Operation) -> str:
    """The worst of the tree.

    Returns:
        `bit`: every bit of the elements is kept. `function`: the sources cannot be told apart again, but compute the
        same. `rounded`: to the nearest that the type holds. `lossy`: elements may be cut.
    """
    return max((_own(one) for one in walked(op)), key=EXACTNESS.index)


def _own(op: Operation) -> str:
    if isinstance(op, Cast):
        return cast_exactness(op.of.dtype, op.dtype)
    if isinstance(op, (Scale, Add, Fold)):
        return "rounded"
    return "function" if isinstance(op, Sum) else "bit"


@lru_cache
def cast_exactness(source: str, target: str) -> str:
    """`bit` where the target has every value of the source; else `rounded`, or `lossy` where values are cut."""
    old, new = named(source), named(target)
    if _holds(source, target):
        return "bit"
    return "rounded" if new.floating and target != UNSIGNED and old.components == new.components else "lossy"


def _holds(source: str, target: str) -> bool:
    old, new = named(source), named(target)
    if old.components != new.components or source == target:
        return source == target
    if not old.floating and not new.floating:
        (low, high), (least, most) = integer_range(source), integer_range(target)
        return least <= low and high <= most
    if not new.floating:
        return False
    if old.numpy.itemsize > 2:
        return (source, target) in _WIDER
    bits = np.arange(2 if source == "bool" else 2**old.bits).astype(f"<u{old.numpy.itemsize}").view(old.numpy)
    with np.errstate(all="ignore"):
        before = bits.astype(np.float32)  # has all values of 16 bits and fewer
        after = converted(before, target).astype(np.float64)
    same = (before == after) & (np.signbit(before) == np.signbit(after))
    return bool((same | (np.isnan(before) & np.isnan(after))).all())
