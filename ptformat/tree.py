"""The tree in memory: the four types of entry, and the tree to walk through (spec section 3.2)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from . import collector, paths
from .dtypes import BY_NAME, Array

# Container forms, in the order of their codes.
FORMS: tuple[str, ...] = ("map", "list", "tuple", "namedtuple", "flat", "keys", "part")
ORDERED_FORMS = ("list", "tuple", "namedtuple")
ROLES: tuple[str, ...] = ("parameter", "buffer", "gradient", "state")

Attrs: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """What a file says of one tensor besides its elements.

    Attributes:
        path: Dotted path.
        dtype: NumPy's or ml_dtypes' name, such as `bfloat16`.
        shape: Dimensions, in elements.
        axes: What each axis means, such as `("out", "in")`, or None.
        role: `parameter`, `buffer`, `gradient`, `state`, or None.
        trainable: Whether an optimiser may change it, or None where the file does not say.
        class_: The class it came from, as text; never imported.
        attrs: Further facts, or None.
    """

    path: str
    dtype: str
    shape: tuple[int, ...]
    axes: tuple[str, ...] | None = None
    role: str | None = None
    trainable: bool | None = None
    class_: str | None = None
    attrs: Attrs | None = None

    @property
    def count(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Decoded bytes in the file."""
        return BY_NAME[self.dtype].nbytes(self.count)


@dataclass(frozen=True, slots=True)
class Alias:
    """A second path of a tensor: `shape[i] = target.shape[perm[i]]`, or the target's shape where `perm` is None.

    `axes`, `role` and `trainable` are its own or, where it has none, the target's (axes in the alias' order).
    """

    path: str
    target: str
    perm: tuple[int, ...] | None = None
    axes: tuple[str, ...] | None = None
    role: str | None = None
    trainable: bool | None = None


@dataclass(frozen=True, slots=True)
class Value:
    """A leaf that is no tensor: None, bool, int, float, str or bytes."""

    path: str
    value: Any


@dataclass(frozen=True, slots=True)
class Node:
    """What a file says of an inner node.

    Attributes:
        path: Dotted path.
        form: One of `FORMS`. A `part` is a prefix of flat keys that only carries the facts below.
        keys: The true keys of a node of form `keys`, in child order.
        module: Neutral module kind, such as `linear`.
        class_: The class it came from, as text; never imported.
        attrs: Facts such as heads, groups, eps.
    """

    path: str
    form: str = "map"
    keys: tuple[Any, ...] | None = None
    module: str | None = None
    class_: str | None = None
    attrs: Attrs | None = None


Entry: TypeAlias = TensorInfo | Alias | Value | Node


class Leaf:
    """A tensor or value in the tree: `tree[2]["weight"].data`.

    Attributes:
        entry: Its entry: `TensorInfo`, `Alias` or `Value`.
    """

    __slots__ = ("_read", "entry")

    def __init__(self, entry: Entry, read: Callable[[str], Any]) -> None:
        self.entry = entry
        self._read = read

    @property
    def path(self) -> str:
        """Its dotted path."""
        return self.entry.path

    @property
    def data(self) -> Any:
        """The array, or the value."""
        return self._read(self.path)

    @property
    def grad(self) -> Array | None:
        """The gradient stored with it under `grad.<path>`, or None."""
        try:
            gradient: Array = self._read(f"grad.{self.path}")
        except KeyError:
            return None
        return gradient

    @property
    def shape(self) -> tuple[int, ...]:
        """Dimensions of the tensor, in elements."""
        shape: tuple[int, ...] = self.entry.shape if isinstance(self.entry, TensorInfo) else self.data.shape
        return shape

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        import numpy as np

        return np.array(self.data, dtype=dtype, copy=copy)

    def __repr__(self) -> str:
        return f"Leaf({self.entry!r})"


class Branch:
    """An inner node. Children by segment, by number, by dotted path or as attributes.

    `tree[2]["weight"]`, `tree["2.weight"]` and `tree[2].weight` are the same leaf. Iteration gives the children's
    segments; `walk` gives every leaf beneath with its path.
    """

    __slots__ = ("_above", "_children", "_node", "_read", "_segment")

    def __init__(self, above: Branch | None, segment: str, read: Callable[[str], Any]) -> None:
        self._above = above
        self._segment = segment
        self._read = read
        self._node: Node | None = None
        self._children: dict[str, Branch | Leaf] = {}

    @property
    def path(self) -> str:
        """Its dotted path; the root's is empty."""
        segments = []
        at = self
        while at._above is not None:
            segments.append(at._segment)
            at = at._above
        return paths.render(reversed(segments))

    @property
    def node(self) -> Node | None:
        """What the file says of this node: form, module kind, class, attributes; None where it says nothing."""
        return self._node

    def __getitem__(self, key: str | int) -> Branch | Leaf:
        if isinstance(key, int):
            key = str(key)
        if key in self._children:
            return self._children[key]
        at: Branch | Leaf = self
        for segment in paths.parse(key):
            if not isinstance(at, Branch) or segment not in at._children:
                raise KeyError(f"no {key!r} beneath {self.path or 'the root'!r}")
            at = at._children[segment]
        return at

    def __getattr__(self, name: str) -> Branch | Leaf:
        if name.startswith("_"):
            raise AttributeError(name)
        if name in self._children:
            return self._children[name]
        raise AttributeError(f"no {name!r} beneath {self.path or 'the root'!r}")

    def __contains__(self, key: object) -> bool:
        try:
            self[key]  # type: ignore[index]
        except (KeyError, ValueError, TypeError, AttributeError):
            return False
        return True

    def __iter__(self) -> Iterator[str]:
        return iter(self._children)

    def __len__(self) -> int:
        return len(self._children)

    def items(self) -> Iterator[tuple[str, Branch | Leaf]]:
        """The children with their segments, in order."""
        return iter(self._children.items())

    def walk(self) -> Iterator[tuple[str, Any]]:
        """(path, array or value) of every leaf beneath, depth first, children in order of first appearance."""
        for child in self._children.values():
            if isinstance(child, Branch):
                yield from child.walk()
            else:
                yield child.path, child.data

    def __repr__(self) -> str:
        return f"Branch({self.path!r}, children={list(self._children)})"


def grow(entries: Sequence[Entry], read: Callable[[str], Any]) -> Branch | Leaf:
    """The tree of these entries, in their order; `read` gives a leaf's array or value by its path."""
    with collector.paused():
        return _grown(entries, read)


def _grown(entries: Sequence[Entry], read: Callable[[str], Any]) -> Branch | Leaf:
    root = Branch(None, "", read)
    within, above = root, ""  # the branch of the last leaf, and its path
    for entry in entries:
        if isinstance(entry, Node):
            _branch(root, entry.path, read)._node = entry
            continue
        if not entry.path:
            return Leaf(entry, read)
        if (outer := paths.parent(entry.path)) != above:
            within, above = _branch(root, outer, read), outer
        within._children[_last(entry.path, outer)] = Leaf(entry, read)
    return root


def _branch(root: Branch, path: str, read: Callable[[str], Any]) -> Branch:
    """The branch at a path; made here, with those above it, where there is none."""
    at = root
    for segment in paths.segments(path):
        child = at._children.get(segment)
        if child is None:
            child = at._children[segment] = Branch(at, segment, read)
        assert isinstance(child, Branch)  # the index check refuses a leaf with children
        at = child
    return at


def _last(path: str, parent: str) -> str:
    segment = path[len(parent) + bool(parent) :]
    return paths.segments(segment)[0] if "\\" in segment else segment
