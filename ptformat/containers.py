"""Python containers <-> entries: what a dict, list, tuple or namedtuple is in the tree (spec sections 3.5 and 4.2)."""

from __future__ import annotations

import functools
import operator
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import repeat
from typing import Any

import numpy as np

from . import collector, dtypes, paths
from .columns import Index
from .dtypes import Array
from .errors import FormatError, shown
from .limits import MAX_PATH_DEPTH
from .nesting import Nesting
from .paths import Segments
from .tree import FORMS, Alias, Entry, Node, TensorInfo, Value

# Gives a leaf's array or entry, a container to walk in its place, or NotImplemented for an object that is no tensor.
AsArray = Callable[[Any, str], Any]
# Makes an object of a node and the container read for it, or returns the container.
Made = Callable[[Node, Any], Any]
_MAP, _LIST, _TUPLE, _NAMEDTUPLE, _FLAT, _, _PART = range(len(FORMS))
_TOO_LARGE = "does not fit int64 or uint64; save it as text, `str(n)`, or as bytes, `n.to_bytes(16, 'little')`"


class Record(tuple[Any, ...]):
    """A namedtuple as read from a file: a tuple whose items have names too. No class is imported to make it.

    Records of the same names and class have one Python type, called with the items like any namedtuple's: so
    `jax.tree.map` and its like take a record for the namedtuple that it is.

    Attributes:
        _fields: The names, in order.
        _class: The class it was saved from, as text, or None.
    """

    _fields: tuple[str, ...] = ()
    _class: str | None = None

    def __new__(cls, fields: Sequence[str], items: Sequence[Any], class_: str | None = None) -> Record:
        """A record of `items` called `fields`."""
        if len(fields) != len(items):
            raise ValueError(f"{len(items)} items for {len(fields)} fields")
        return tuple.__new__(_record_type(tuple(fields), class_), items)

    def _replace(self, **changes: Any) -> Record:
        """The record with some items replaced, as a namedtuple's `_replace`."""
        if unknown := changes.keys() - set(self._fields):
            raise ValueError(f"no fields {sorted(unknown)}, there are {', '.join(self._fields)}")
        return Record(self._fields, [changes.get(name, item) for name, item in self._asdict().items()], self._class)

    def _asdict(self) -> dict[str, Any]:
        """Name -> item."""
        return dict(zip(self._fields, self, strict=True))

    def __reduce__(self) -> tuple[Any, ...]:
        return Record, (self._fields, tuple(self), self._class)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"no field {name!r}, there are {', '.join(self._fields)}")

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={item!r}" for name, item in self._asdict().items())
        return f"{(self._class or 'Record').rpartition('.')[2]}({shown})"


class _Made(Record):
    """What the types of records share: they are called with the items."""

    def __new__(cls, *items: Any) -> _Made:
        if len(items) != len(cls._fields):
            raise TypeError(f"{len(items)} items, expected {', '.join(cls._fields) or 'none'}")
        return tuple.__new__(cls, items)


@functools.lru_cache(maxsize=1024)
def _record_type(fields: tuple[str, ...], class_: str | None) -> type[Record]:
    # The names come from a file: what Python gives a meaning to stays as it is. `count` and `index` are fields.
    items = {name: property(operator.itemgetter(i)) for i, name in enumerate(fields) if not name.startswith("_")}
    return type("Record", (_Made,), {**items, "_fields": fields, "_class": class_, "__module__": __name__})


def numpy_array(leaf: Any, where: str) -> Any:
    """An ndarray or NumPy scalar as an array; NotImplemented for anything else.

    Raises:
        FormatError: TYPE for a masked array, which the format cannot hold.
    """
    if isinstance(leaf, np.ma.MaskedArray):
        raise FormatError("TYPE", f"{where}: a masked array; save its data and its mask", path=where)
    return np.asarray(leaf) if isinstance(leaf, (np.ndarray, np.generic)) else NotImplemented


def flatten(tree: Any, as_array: AsArray = numpy_array) -> Iterator[tuple[Entry, Array | None]]:
    """The entries of a tree of containers, with the array of each tensor.

    A mapping whose keys hold dots is flat; one whose keys are not all strings lists them. One array object at two
    places is a tie: the second is an alias. Equal arrays are not.

    Raises:
        FormatError: TYPE for an object that is neither container, tensor nor value; PATH for a key that no path can
            hold.
    """
    yield from _Flattening(as_array).walk(tree, "")


class _Flattening:
    def __init__(self, as_array: AsArray) -> None:
        self.as_array = as_array
        self.seen: dict[int, tuple[Any, str]] = {}  # id -> the object, kept alive so that ids stay unique
        self.open: set[int] = set()

    def walk(self, tree: Any, path: str, depth: int = 0, in_flat: bool = False) -> Iterator[tuple[Entry, Array | None]]:
        if tree is None or type(tree) in (bool, int, float, str, bytes):
            if type(tree) is int and not -(2**63) <= tree < 2**64:
                raise FormatError("LIMIT", f"{path or 'the root'!r}: integer {tree} {_TOO_LARGE}", path=path)
            yield Value(path, tree), None
            return
        whole = tree
        if not isinstance(tree, (dict, list, tuple, Mapping)):
            given = self.as_array(tree, path)
            if isinstance(given, (np.ndarray, TensorInfo, Alias)) or not isinstance(given, (Mapping, list, tuple)):
                yield self.leaf(tree, given, path)
                return
            tree = given
        if depth > MAX_PATH_DEPTH:  # before Python's own limit of nesting is met
            raise FormatError("PATH", f"path {path[:40]!r}… has more than {MAX_PATH_DEPTH} segments", path=path)
        if id(whole) in self.open:
            raise FormatError("TYPE", f"{path or 'the root'!r}: a container that contains itself", path=path)
        self.open.add(id(whole))
        if isinstance(tree, Mapping):
            yield from self.mapping(tree, path, depth, in_flat)
        else:
            yield from self.sequence(tree, path, depth)
        self.open.discard(id(whole))

    def leaf(self, leaf: Any, array: Any, path: str) -> tuple[Entry, Array | None]:
        if array is NotImplemented:
            kind = f"{type(leaf).__module__}.{type(leaf).__qualname__}"
            raise FormatError("TYPE", f"{path or 'the root'!r}: a {kind} is no tensor, value or container", path=path)
        if isinstance(array, (Alias, TensorInfo)):  # a tie, or a tensor that has a shape and no elements
            return array, None
        if isinstance(leaf, np.ndarray):
            if id(leaf) in self.seen:
                return Alias(path, self.seen[id(leaf)][1]), None
            self.seen[id(leaf)] = leaf, path
        return TensorInfo(path, dtypes.of(array.dtype, path).name, array.shape), array

    def mapping(
        self, tree: Mapping[Any, Any], path: str, depth: int, in_flat: bool
    ) -> Iterator[tuple[Entry, Array | None]]:
        form, places = placed(tree, path)
        if form == "keys":
            yield Node(path, form, keys=tuple(_plain_key(key, path) for key in tree)), None
        elif form == "flat" or not tree or in_flat:
            yield Node(path, form), None
        above = path and f"{path}."
        for key, segments in places:
            below = above + paths.render(segments)
            yield from self.walk(tree[key], below, depth + len(segments), form == "flat")

    def sequence(self, tree: Sequence[Any], path: str, depth: int) -> Iterator[tuple[Entry, Array | None]]:
        fields = getattr(tree, "_fields", None)
        if isinstance(tree, list):
            yield Node(path, "list"), None
        elif fields is None:
            yield Node(path, "tuple"), None
        else:
            kind = type(tree)
            name = tree._class if isinstance(tree, Record) else f"{kind.__module__}.{kind.__qualname__}"
            yield Node(path, "namedtuple", class_=name), None
        above = path and f"{path}."
        for label, item in zip(fields or map(str, range(len(tree))), tree, strict=True):
            yield from self.walk(item, above + paths.escape(label), depth + 1)


def placed(tree: Mapping[Any, Any], path: str = "") -> tuple[str, list[tuple[Any, Segments]]]:
    """The form of a mapping, and where beneath it each key's item stands: keys, flat or map."""
    if not all(type(key) is str for key in tree):
        labels = _labels([_plain_key(key, path) for key in tree])
        return "keys", [(key, (label,)) for key, label in zip(tree, labels, strict=True)]
    if any("." in key for key in tree):
        return "flat", list(paths.split_flat(tree).items())
    return "map", [(key, (key,)) for key in tree]


def _plain_key(key: Any, path: str) -> Any:
    if key is None or type(key) in (bool, int, float, str, bytes):
        return key
    if type(key) is tuple:
        return tuple(_plain_key(part, path) for part in key)
    raise FormatError("TYPE", f"{path or 'the root'!r}: key {key!r} of type {type(key).__name__}", path=path)


def _labels(keys: Sequence[Any]) -> list[str]:
    """A unique segment for each key: its text, and `~2`, `~3`, … behind one that is taken."""
    taken: set[str] = set()
    counts: dict[str, int] = {}  # text -> how far was counted: a file may have a million keys of one text, such as NaN
    result = []
    for key in keys:
        text = label = _label(key)
        while label in taken:
            counts[text] = counts.get(text, 1) + 1
            label = f"{text}~{counts[text]}"
        taken.add(label)
        result.append(label)
    return result


def _label(key: Any) -> str:
    if isinstance(key, tuple):
        return ",".join(map(_label, key))
    if isinstance(key, bytes):
        return key.hex()
    if key is None or isinstance(key, bool):
        return {None: "null", False: "false", True: "true"}[key]
    # A path holds no control characters.
    return re.sub(r"[\x00-\x1f\x7f]", lambda found: f"%{ord(found[0]):02X}", str(key))


def build(entries: Sequence[Entry], read: Callable[[str], Any], made: Made | None = None) -> Any:
    """The containers that were saved: the inverse of `flatten`. `read` gives a leaf's object by its path.

    `made` is asked about the container of each node, the inner ones first.
    """
    names = [entry.path for entry in entries]
    nodes = {row: entry for row, entry in enumerate(entries) if isinstance(entry, Node)}
    forms = [FORMS.index(nodes[row].form) if row in nodes else -1 for row in range(len(names))]
    nesting = Nesting(names)
    nesting.link()
    within = nesting.within([form not in (-1, _PART) for form in forms])
    return _built(names, forms, within, read, nodes.__getitem__, made)


def assemble(index: Index, read: Callable[[str], Any], made: Made | None = None) -> Any:
    """`build` of the entries of a checked index."""
    within = repeat(-1, len(index.paths)) if index.within is None else index.within
    return _built(index.paths, index.forms.tolist(), within, read, index.node, made)


def _built(
    names: Sequence[str],
    forms: Sequence[int],
    within: Iterable[int],
    read: Callable[[str], Any],
    node: Callable[[int], Node],
    made: Made | None,
) -> Any:
    """Of each row its path, its form (-1 for a leaf), the row of the nearest container node above it (-1 for none)."""
    assert names  # the index check refuses a file without entries
    if not names[0] and forms[0] < 0:
        return read("")
    with collector.paused():
        growing = _Growing(read)
        for row, (name, form, outer) in enumerate(zip(names, forms, within, strict=True)):
            if form != _PART:
                growing.put(row, name, form, outer)
        return growing.finish(node, made)


class _Growing:
    """The containers while their children are still coming: each a dict until all are there."""

    def __init__(self, read: Callable[[str], Any]) -> None:
        self.read = read
        self.whole: dict[str, Any] = {"": {}}  # the root, so that it is a child too
        # Row of a container node -> its children, where the keys of these begin in their paths, whether it is flat.
        self.held: dict[int, tuple[dict[str, Any], int, bool]] = {-1: (self.whole[""], 0, False)}
        self.last: tuple[int, str, dict[str, Any]] = -1, "", self.whole[""]
        # Row of a container node, its form, the container around it, its key there.
        self.placed: list[tuple[int, int, dict[str, Any], str]] = []

    def put(self, row: int, name: str, form: int, outer: int) -> None:
        """Put the leaf or the empty container of a path into the container around it."""
        at, key = self.place(name, outer) if name else (self.whole, "")
        if form < 0:
            at[key] = self.read(name)
            return
        children = at.setdefault(key, {})
        self.held[row] = children, len(name) + bool(name), form == _FLAT
        self.placed.append((row, form, at, key))

    def place(self, name: str, outer: int) -> tuple[dict[str, Any], str]:
        """The container around a path, and the key of the path in it; plain maps between are made here."""
        at, start, flat = self.held[outer]
        rest = name[start:]
        if flat:
            return at, paths.join_flat(paths.segments(rest)) if "\\" in rest else rest
        if "\\" in rest:
            *above, key = paths.segments(rest)
            return _beneath(at, above), key
        parent, _, key = rest.rpartition(".")
        if parent and self.last[:2] != (outer, parent):  # else where the leaf before it was put
            self.last = outer, parent, _beneath(at, parent.split("."))
        return self.last[2] if parent else at, key

    def finish(self, node: Callable[[int], Node], made: Made | None) -> Any:
        """Make of each dict what its node says; the inner ones first, which stand behind the outer ones."""
        for row, form, at, key in reversed(self.placed):
            if form not in (_MAP, _FLAT):
                at[key] = _whole(form, at[key], row, node)
            if made is not None:
                at[key] = made(node(row), at[key])
        return self.whole[""]


def _beneath(at: dict[str, Any], segments: Sequence[str]) -> dict[str, Any]:
    """The plain map at these segments beneath a container."""
    for segment in segments:
        inner = at.get(segment)
        if inner is None:
            inner = at[segment] = {}
        at = inner
    return at


def _whole(form: int, children: dict[str, Any], row: int, node: Callable[[int], Node]) -> Any:
    """The container of a node that is no map, all of whose children are there."""
    if form == _LIST:
        return list(children.values())
    if form == _TUPLE:
        return tuple(children.values())
    said = node(row)
    if form == _NAMEDTUPLE:
        return Record(list(children), list(children.values()), said.class_)
    keyed = dict(zip(said.keys or (), children.values(), strict=True))
    if len(keyed) != len(children):  # the file may tell 1, 1.0 and true apart
        keys = shown(list(said.keys or ()))
        what = f"{said.path or 'the root'!r}: keys {keys} are not distinct in Python"
        raise FormatError("TYPE", what, path=said.path)
    return keyed
