"""Random trees of operations, with what NumPy makes of each: for the tests of building, evaluating and inverting."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st
from sources import bits

from ptformat.converters import operations as o
from ptformat.converters import operations_nodes as nodes
from ptformat.dtypes import named


@dataclass
class Tree:
    """An operation as the functions build it, the same spelled out, and its value; and the sources by path."""

    op: o.Operation
    raw: o.Operation
    value: Any


ONE_TO_ONE = ("permute", "reshape", "flip", "interleave", "deinterleave", "split", "unstack", "join", "stack")
MORE = ("pad", "repeat", "fill")  # the sources are still there
ALL = (*ONE_TO_ONE, *MORE, "part", "index")


@st.composite
def trees(
    draw: Any, arrays: dict[str, Any], dtype: str = "uint16", kinds: Any = ALL, size: int = 6, leaf: Any = None
) -> Tree:
    """A tree of at most `size` operations that keep every bit; the sources that it draws are put into `arrays`."""
    tree = leaf or _leaf(draw, arrays, dtype)
    for _ in range(draw(st.integers(0, size))):
        tree = _grown(draw, tree, arrays, dtype, kinds)
    return tree


def _leaf(draw: Any, arrays: dict[str, Any], dtype: str) -> Tree:
    shape = tuple(draw(st.lists(st.integers(0 if draw(st.integers(0, 9)) == 0 else 1, 6), max_size=3)))
    return given(arrays, shape, dtype)


def given(arrays: dict[str, Any], shape: tuple[int, ...], dtype: str) -> Tree:
    path = f"s{len(arrays)}"
    arrays[path] = bits(dtype, shape, len(arrays))
    leaf = o.Given(path, shape, dtype)
    return Tree(leaf, leaf, arrays[path])


def _grown(draw: Any, tree: Tree, arrays: dict[str, Any], dtype: str, kinds: Any) -> Tree:
    shape = tree.op.shape
    axis = draw(st.integers(0, len(shape) - 1)) if shape else 0
    what = draw(st.sampled_from(kinds))
    if not shape and what not in ("reshape", "stack", "permute"):
        what = "stack"
    n = shape[axis] if shape else 1
    if what == "permute":
        perm = tuple(draw(st.permutations(range(len(shape)))))
        return Tree(o.permute(tree.op, perm), nodes.Permute(tree.raw, perm), tree.value.transpose(perm))
    if what == "reshape":
        new = draw(shapes_of(math.prod(shape)))
        return Tree(o.reshape(tree.op, new), nodes.Reshape(tree.raw, new), tree.value.reshape(new))
    if what == "flip":
        axes = tuple(draw(st.sets(st.integers(0, len(shape) - 1))))
        return Tree(o.flip(tree.op, axes), nodes.Flip(tree.raw, axes), np.flip(tree.value, axes))
    if what in ("interleave", "deinterleave"):
        parts = draw(st.sampled_from([p for p in range(1, max(n, 1) + 1) if n % p == 0]))
        raw = (nodes.Interleave if what == "interleave" else nodes.Deinterleave)(tree.raw, axis, parts)
        rows = (parts, n // parts) if what == "interleave" else (n // parts, parts)
        value = tree.value.reshape(*shape[:axis], *rows, *shape[axis + 1 :]).swapaxes(axis, axis + 1).reshape(shape)
        return Tree(getattr(o, what)(tree.op, axis, parts), raw, value)
    if what == "split":  # in two, and together again in either order
        at = draw(st.integers(0, n))
        order = draw(st.permutations([(0, at), (at, n)]))
        op = o.join([o.part(tree.op, axis, *ends) for ends in order], axis)
        raw = nodes.Join(tuple(nodes.Part(tree.raw, axis, *ends) for ends in order), axis)
        value = np.concatenate([tree.value[(*[slice(None)] * axis, slice(*ends))] for ends in order], axis)
        return Tree(op, raw, value)
    if what == "unstack":
        if not 0 < n < 6:
            return tree
        to = draw(st.integers(0, len(shape) - 1))
        order = draw(st.permutations(range(n)))
        op = o.stack([o.index(tree.op, axis, at) for at in order], to)
        raw = nodes.Stack(tuple(nodes.Index(tree.raw, axis, at) for at in order), to)
        return Tree(op, raw, np.stack([tree.value.take(at, axis) for at in order], to))
    return _other(draw, tree, arrays, dtype, what, axis)


def _other(draw: Any, tree: Tree, arrays: dict[str, Any], dtype: str, what: str, axis: int) -> Tree:
    shape = tree.op.shape
    n = shape[axis] if shape else 1
    if what == "part":
        start = draw(st.integers(0, n))
        stop = draw(st.integers(start, n))
        value = tree.value[(*[slice(None)] * axis, slice(start, stop))]
        return Tree(o.part(tree.op, axis, start, stop), nodes.Part(tree.raw, axis, start, stop), value)
    if what == "index":
        if not n:
            return tree
        at = draw(st.integers(0, n - 1))
        return Tree(o.index(tree.op, axis, at), nodes.Index(tree.raw, axis, at), tree.value.take(at, axis))
    if what == "join":
        other = given(arrays, (*shape[:axis], draw(st.integers(0, 4)), *shape[axis + 1 :]), dtype)
        members = draw(st.permutations([tree, other]))
        op, raw = o.join([one.op for one in members], axis), nodes.Join(tuple(one.raw for one in members), axis)
        return Tree(op, raw, np.concatenate([one.value for one in members], axis))
    if what == "stack":
        others = [given(arrays, shape, dtype) for _ in range(draw(st.integers(0, 2)))]
        members = draw(st.permutations([tree, *others]))
        to = draw(st.integers(0, len(shape)))
        op, raw = o.stack([one.op for one in members], to), nodes.Stack(tuple(one.raw for one in members), to)
        return Tree(op, raw, np.stack([one.value for one in members], to))
    if what == "pad":
        before, after = draw(st.integers(0, 3)), draw(st.integers(0, 3))
        widths = [(0, 0)] * len(shape)
        widths[axis] = (before, after)
        value = 0 if named(dtype).floating else draw(st.integers(0, 1))
        padded = np.full([n + sum(w) for n, w in zip(shape, widths, strict=True)], value, named(dtype).numpy)
        padded[tuple(slice(w[0], w[0] + n) for n, w in zip(shape, widths, strict=True))] = tree.value
        raw = nodes.Pad(tree.raw, axis, before, after, value)
        return Tree(o.pad(tree.op, axis, before, after, value), raw, padded)
    if what == "repeat":
        times, each = draw(st.integers(1, 3)), draw(st.booleans())
        reps = [1] * len(shape)
        reps[axis] = times
        value = tree.value.repeat(times, axis) if each else np.tile(tree.value, reps)
        return Tree(o.repeat(tree.op, axis, times, each=each), nodes.Repeat(tree.raw, axis, times, each), value)
    filled = nodes.Fill(shape, dtype, 1)
    value = np.ones(shape, np.float32).astype(named(dtype).numpy)
    members = (Tree(filled, filled, value), tree)
    op, raw = o.join([one.op for one in members], axis), nodes.Join(tuple(one.raw for one in members), axis)
    return Tree(op, raw, np.concatenate([one.value for one in members], axis))


@st.composite
def shapes_of(draw: Any, count: int) -> tuple[int, ...]:
    """A shape of so many elements."""
    if count == 0:
        return draw(st.sampled_from([(0,), (0, 3), (2, 0)]))
    sizes = []
    while count > 1:
        size = draw(st.sampled_from([n for n in range(2, count + 1) if count % n == 0]))
        sizes.append(size)
        count //= size
    for _ in range(draw(st.integers(0, 2))):
        sizes.insert(draw(st.integers(0, len(sizes))), 1)
    return tuple(sizes)
