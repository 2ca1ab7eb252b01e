"""Which torch tensors are one: ties found in memory, never by equal bytes (spec section 3.4)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch

from ..errors import several
from ..tree import Alias

_Axis = tuple[int, int]  # size, stride in elements
_BASE = 4096  # where the memory of what has none is taken to begin: NumPy takes 0 for no address
_Named = tuple[str, torch.Tensor]

OVERLAP = (
    "tensors that share memory without being the same, which a file cannot say; clone them, or save copies with "
    "copy_overlaps=True"
)


def find(tensors: Iterable[tuple[str, torch.Tensor]], *, copy_overlaps: bool = False) -> dict[str, Alias]:
    """Path -> alias of every tensor that is an earlier one again.

    Two tensors are tied when they have the same first element in memory, the same dtype and the same elements: equal
    sizes and strides up to the order of the axes. Axes of size 1 do not count, empty tensors are never tied.

    Args:
        tensors: Path and tensor, in file order. No fake or sparse ones; those on the meta device have no memory, but
            share a storage as others do.
        copy_overlaps: Let tensors that share some elements pass; they are then stored apart.

    Raises:
        FormatError: TIE with every pair that shares elements without being tied (a slice and its whole, a reshape).
    """
    held = [(path, tensor, _address(tensor)) for path, tensor in tensors if tensor.numel()]
    begin = Counter(address for _, _, address in held)
    firsts: dict[Any, tuple[str, torch.Tensor]] = {}
    aliases: dict[str, Alias] = {}
    for path, tensor, address in held:
        identity = address if begin[address] == 1 else _identity(tensor)
        first, target = firsts.setdefault(identity, (path, tensor))
        if first != path:
            aliases[path] = Alias(path, first, permutation(target, tensor))
    if not copy_overlaps and not _disjoint(tensor for _, tensor in firsts.values()):
        shared = [f"{a!r} {_shown(s)} and {b!r} {_shown(t)}" for (a, s), (b, t) in _overlaps(list(firsts.values()))]
        if shared:
            raise several("TIE", OVERLAP, shared)
    return aliases


def permutation(target: torch.Tensor, alias: torch.Tensor) -> tuple[int, ...] | None:
    """The `perm` with alias.shape[i] = target.shape[perm[i]] of two tied tensors; None for the identity."""
    free: dict[int, _Axis] = dict(enumerate(_axes(target)))
    perm = []
    for i, axis in enumerate(_axes(alias)):
        # Its own position first, so that the identity is found where two axes look alike.
        axis_of = i if free.get(i) == axis else next(j for j, other in free.items() if other == axis)
        del free[axis_of]
        perm.append(axis_of)
    return None if perm == sorted(perm) else tuple(perm)


def _axes(tensor: torch.Tensor) -> list[_Axis]:
    return [(n, 0 if n == 1 else stride) for n, stride in zip(tensor.shape, tensor.stride(), strict=True)]


def _identity(tensor: torch.Tensor) -> tuple[Any, ...]:
    # Addresses, not storages: two tensors made from one NumPy array have a storage each. A conjugate has the
    # same elements in memory, but other values.
    return (
        *_address(tensor),
        tensor.dtype,
        tensor.is_conj(),
        tensor.is_neg(),
        tuple(sorted(_axes(tensor))),
        # Where a byte holds two elements of the last axis, other orders of the axes have other elements.
        tuple(_axes(tensor)[-1:]) if tensor.dtype == getattr(torch, "float4_e2m1fn_x2", None) else None,
    )


def _address(tensor: torch.Tensor) -> tuple[torch.device | str, int]:
    """Which memory it lies in, and where in it its first element is, in bytes."""
    if tensor.is_meta:  # every address is 0; two views of one storage are told by its object
        return f"meta {tensor.untyped_storage()._cdata}", _BASE + int(tensor.storage_offset()) * tensor.element_size()
    return tensor.device, tensor.data_ptr()


def _disjoint(tensors: Iterable[torch.Tensor]) -> bool:
    """Whether no two surely share an element: none begins before another ends, on whatever device."""
    spans = np.array([_span(tensor) for tensor in tensors], np.uint64).reshape(-1, 2)
    starts, ends = spans[spans[:, 0].argsort()].T
    return bool((ends[:-1] <= starts[1:]).all())


def _overlaps(tensors: list[_Named]) -> list[tuple[_Named, _Named]]:
    """Pairs that share an element: a sweep over the memory of each device, then an exact test."""
    order = {path: i for i, (path, _) in enumerate(tensors)}
    spans = sorted(
        ((str(_address(tensor)[0]), *_span(tensor), path, tensor) for path, tensor in tensors),
        key=lambda span: span[:3],
    )
    running: list[tuple[str, int, int, str, torch.Tensor]] = []
    found = []
    for span in spans:
        device, start, _, path, tensor = span
        running = [other for other in running if other[0] == device and other[2] > start]
        for *_, other_path, other in running:
            if np.shares_memory(np.asarray(_Memory(tensor)), np.asarray(_Memory(other))):
                first, second = sorted([(path, tensor), (other_path, other)], key=lambda named: order[named[0]])
                found.append((first, second))
        running.append(span)
    return sorted(found, key=lambda pair: (order[pair[0][0]], order[pair[1][0]]))


def _span(tensor: torch.Tensor) -> tuple[int, int]:
    """Address of the first byte and of the first one behind the last."""
    start = _address(tensor)[1]
    if tensor.is_contiguous():
        return start, start + tensor.nbytes
    last = sum((n - 1) * stride for n, stride in zip(tensor.shape, tensor.stride(), strict=True))
    return start, start + (last + 1) * tensor.element_size()


class _Memory:
    """Where a tensor lies, for `numpy.shares_memory`, which reads addresses and strides but no element.

    So it may lie on any device.
    """

    def __init__(self, tensor: torch.Tensor) -> None:
        size = tensor.element_size()
        self.__array_interface__ = {
            "version": 3,
            "shape": tuple(tensor.shape),
            "typestr": f"|V{size}",
            "data": (_address(tensor)[1], True),
            "strides": tuple(stride * size for stride in tensor.stride()),
        }


def _shown(tensor: torch.Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}"
