"""What the rows of an index must be to each other: sparse values, aliases, and one tree (spec sections 3.2 to 3.5)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from . import paths, profile
from .columns import ALIAS, NODE, TENSOR, TYPES, Index
from .errors import FormatError, shown
from .tree import FORMS, ORDERED_FORMS


def check(index: Index) -> None:
    """Check sparse values, then aliases, then the tree.

    Raises:
        FormatError: SCHEMA, ALIAS, NONCANONICAL, TREE, PATH; the first rule broken.
    """
    _check_values(index)
    if index.columns["alias"].size:
        _check_aliases(index)
        _check_inheritance(index)
    _Nesting(index).check()


def _check_values(index: Index) -> None:
    """Types of the sparse columns' values, and axes against ranks."""
    for name, held in index.sparse.items():
        faults = {key: _FAULTS[name](value) for key, value in {id(value): value for value in held.values()}.items()}
        if any(faults.values()):
            row, fault = next((row, faults[id(value)]) for row, value in held.items() if faults[id(value)])
            raise FormatError("SCHEMA", f"{name} of {_entry(index, row)}: {fault}", path=index.paths[row])
    for row, axes in index.sparse.get("axes", {}).items():
        rank = _rank(index, row)
        if rank is not None and rank != len(axes):
            what = f"axes of {_entry(index, row)}: {len(axes)} names for rank {rank}"
            raise FormatError("SCHEMA", what, path=index.paths[row])
    listed = index.sparse.get("keys", {})
    for row in np.flatnonzero(index.columns["type"] == NODE).tolist():
        if (form := _form(index, row)) != "keys" and row in listed:
            raise FormatError("SCHEMA", f"{_entry(index, row)} lists keys but its form is {form}")
        if form == "keys" and row not in listed:
            raise FormatError("SCHEMA", f"{_entry(index, row)} is of form keys but lists none")


def _rank(index: Index, row: int) -> int | None:
    """Rank of a tensor, or of an alias' target (None where the target is no earlier tensor: checked later)."""
    types = index.columns["type"]
    if types[row] == ALIAS:
        target = int(index.columns["alias"][index.ordinals[row]])
        if target >= row or types[target] != TENSOR:
            return None
        row = target
    return int(index.columns["rank"][index.ordinals[row]])


def _names(value: Any) -> str | None:
    good = type(value) is list and value and all(type(name) is str and name for name in value)
    return None if good else f"{shown(value)}, expected a list of names, not empty"


def _name(value: Any) -> str | None:
    return None if type(value) is str and value else f"{shown(value)}, expected a string, not empty"


def _map(value: Any) -> str | None:
    return None if type(value) is dict and value else f"{shown(value)}, expected a map, not empty"


def _flag(value: Any) -> str | None:
    return None if type(value) is bool else f"{shown(value)}, expected true or false"


def _key(key: Any) -> bool:
    return all(map(_key, key)) if type(key) is list else type(key) is not dict


def _keys(value: Any) -> str | None:
    good = type(value) is list and value and all(map(_key, value))
    return None if good else "expected a list of null, bool, int, float, string, bytes or lists of these, not empty"


def _perm(value: Any) -> str | None:
    good = type(value) is list and all(type(axis) is int for axis in value)
    return None if good else f"{shown(value)}, expected a list of axes"


_FAULTS = {
    "attrs": _map,
    "axes": _names,
    "class": _name,
    "keys": _keys,
    "module": _name,
    "perm": _perm,
    "role": _name,
    "trainable": _flag,
}


def _check_aliases(index: Index) -> None:
    types, targets = index.columns["type"], index.columns["alias"]
    perms = index.sparse.get("perm", {})
    for row, target in zip(np.flatnonzero(types == ALIAS).tolist(), targets.tolist(), strict=True):
        if target >= row:
            raise _alias(index, row, f"points at entry {target}, which does not stand earlier")
        if types[target] != TENSOR:
            raise _alias(index, row, f"points at entry {target}, which is no tensor")
        if (perm := perms.get(row)) is not None:
            rank = int(index.columns["rank"][index.ordinals[target]])
            if sorted(perm) != list(range(rank)):
                raise _alias(index, row, f"perm {shown(perm)} is no permutation of {rank} axes")
            if perm == sorted(perm):
                raise _alias(index, row, f"perm {shown(perm)} is the identity, which is not written")


def _alias(index: Index, row: int, what: str) -> FormatError:
    return FormatError("ALIAS", f"{_entry(index, row)} {what}", path=index.paths[row])


def _check_inheritance(index: Index) -> None:
    """An alias does not repeat what it takes over from its target."""
    aliases = np.flatnonzero(index.columns["type"] == ALIAS).tolist()
    for name in ("axes", "role", "trainable"):
        held = index.sparse.get(name, {})
        for row in aliases:
            if row not in held:
                continue
            value = held[row]
            perm = index.sparse.get("perm", {}).get(row)
            target = int(index.columns["alias"][index.ordinals[row]])
            inherited = index.inherited(target, tuple(perm) if perm else None).get(name)
            if inherited == (tuple(value) if name == "axes" else value):
                what = f"{_entry(index, row)}: {name} {shown(value)} is its target's and is not written again"
                raise FormatError("NONCANONICAL", what, path=index.paths[row])


def _form(index: Index, row: int) -> str:
    return FORMS[int(index.columns["form"][index.ordinals[row]])]


def _entry(index: Index, row: int) -> str:
    kind = TYPES[int(index.columns["type"][row])]
    return f"{kind} {index.paths[row]!r} (entry {row})"


def _first_beneath(joined: str) -> dict[int, int]:
    """Row of each path that has others beneath it -> the first row among those; `joined` is the paths, by lines.

    Sorted by segments, what is beneath a path follows it at once. No inner path is built that is not an entry's: all
    prefixes together may be a hundred times as long as the index.
    """
    if "\\" in joined:
        joined = joined.replace("\\\\", "\2").replace("\\.", "\3")
    # The dots that divide become the lowest character, and one ends each path.
    keys = (joined.replace(".", "\1").replace("\n", "\1\n") + "\1").split("\n")
    ordered = sorted(keys)
    first = {}
    if ordered[0] == "\1" and len(keys) > 1:
        root = keys.index("\1")
        first[root] = int(root == 0)
    if not any(map(str.startswith, ordered[1:], ordered)):
        return first
    above: list[int] = []  # rows, each beneath the one before
    for row in sorted(range(len(keys)), key=keys.__getitem__):
        while above and not keys[row].startswith(keys[above[-1]]):
            _close(above, first)
        above.append(row)
    while above:
        _close(above, first)
    return first


def _close(above: list[int], first: dict[int, int]) -> None:
    """Take the last row off; it and what is beneath it are beneath the row before."""
    row = above.pop()
    if above:
        outer = above[-1]
        first[outer] = min(first.get(outer, row), first.get(row, row), row)


class _Nesting:
    """The tree that the paths span, checked against its nodes."""

    def __init__(self, index: Index) -> None:
        self.index = index
        joined = "\n".join(index.paths)
        self.escaped = "\\" in joined
        self.nodes = {index.paths[r]: r for r in np.flatnonzero(index.columns["type"] == NODE).tolist()}
        self.first = _first_beneath(joined)  # row of an inner path's entry -> row of the first entry beneath it

    def check(self) -> None:
        index, first = self.index, self.first
        if not index.paths:
            raise FormatError("TREE", "no entry; an empty tree is one map node at the root")
        types = index.columns["type"]
        for row in sorted(first):
            if types[row] != NODE:
                raise self._tree(row, f"has entries beneath it, such as {index.paths[first[row]]!r}")
        for row in self.nodes.values():
            if first.get(row, row) < row:
                raise self._tree(row, f"stands after {index.paths[first[row]]!r}, which is beneath it")
        self._check_nodes()

    def parent(self, path: str) -> str:
        return paths.parent(path) if self.escaped else path.rpartition(".")[0]

    def upwards(self, path: str) -> Iterator[tuple[str, str]]:
        """(inner path, its child towards `path`), from the parent of `path` up to the root."""
        while path:
            above = self.parent(path)
            yield above, path
            path = above

    def _tree(self, row: int, what: str) -> FormatError:
        return FormatError("TREE", f"{_entry(self.index, row)} {what}", path=self.index.paths[row])

    def _check_nodes(self) -> None:
        listed: list[str] = []
        for path, row in self.nodes.items():
            form = _form(self.index, row)
            said = any(row in self.index.sparse.get(name, ()) for name in ("module", "class", "attrs"))
            if form == "part":
                if (within := self._container(path)) != "flat":
                    raise self._tree(row, f"is a part, but the container around it is {within or 'none'}, not flat")
                if not said:
                    raise FormatError("NONCANONICAL", f"{_entry(self.index, row)}: a part that says nothing", path=path)
            elif form == "map" and row in self.first and not said and self._container(path) != "flat":
                raise FormatError("NONCANONICAL", f"{_entry(self.index, row)}: a map node that says nothing", path=path)
            elif form in ORDERED_FORMS or form == "keys":
                listed.append(path)
        if listed:
            self._check_children(listed)
        if self.escaped:  # without a backslash both follow from the rest
            self._check_maps()
            self._check_flat()

    def _container(self, path: str) -> str | None:
        """Form of the nearest container node around `path`, parts left aside; None at the root.

        An inner path without a node is a plain map, unless it lies in a flat map: there it is a mere prefix.
        """
        plain = False
        for above, _ in self.upwards(path):
            row = self.nodes.get(above)
            if row is None:
                plain = True
            elif (form := _form(self.index, row)) != "part":
                return form if form == "flat" or not plain else "map"
        return "map" if plain else None

    def _check_children(self, listed: list[str]) -> None:
        children: dict[str, dict[str, None]] = {path: {} for path in listed}
        for path in self.index.paths:
            for above, child in self.upwards(path):
                if above in children:
                    children[above].setdefault(child)
        for path in listed:
            row = self.nodes[path]
            form, found = _form(self.index, row), [paths.parse(child)[-1] for child in children[path]]
            if form in ("list", "tuple") and found != [str(i) for i in range(len(found))]:
                raise self._tree(row, f"is a {form} with children {shown(found)}, expected 0, 1, 2, … in order")
            if form == "keys":
                keys = self.index.sparse["keys"][row]
                if len(keys) != len(found):
                    raise self._tree(row, f"lists {len(keys)} keys for {len(found)} children")
                if len({profile.encode(key) for key in keys}) != len(keys):
                    raise self._tree(row, "lists a key twice")
                if all(type(key) is str for key in keys):
                    raise FormatError(
                        "NONCANONICAL", f"{_entry(self.index, row)}: keys that are all strings", path=path
                    )

    def _check_maps(self) -> None:
        """No key of a map holds a dot; where one does, the map is flat."""
        for row, path in enumerate(self.index.paths):
            if r"\." not in path:
                continue
            nearest = "map"  # form of the last node on the way down that is no part
            for above, child in reversed([*self.upwards(path)]):
                node = self.nodes.get(above)
                form = None if node is None else _form(self.index, node)
                nearest = nearest if form in (None, "part") else form
                if (form == "map" or (form is None and nearest != "flat")) and "." in child[len(above) + bool(above) :]:
                    what = f"{_entry(self.index, row)}: a key that holds a dot, but {above!r} is no flat map"
                    raise FormatError("NONCANONICAL", what, path=path)

    def _check_flat(self) -> None:
        """In each flat map: no two values have one key, and each key and each part is split as it must be.

        Without a backslash in any path this follows from the rest: a key that should not have been split would have
        another key at an inner path, or an empty segment.
        """
        values: dict[str, list[tuple[str, int]]] = {}  # path of a flat map -> key and row of each value
        parts: dict[str, list[tuple[str, int]]] = {}
        for path, row in self.nodes.items():
            if _form(self.index, row) == "flat":
                values[path], parts[path] = [], []
        for row, path in enumerate(self.index.paths):
            held = parts if path in self.nodes and _form(self.index, self.nodes[path]) == "part" else values
            for above, _ in self.upwards(path):
                if (node := self.nodes.get(above)) is None or _form(self.index, node) == "part":
                    continue
                if above in held:
                    held[above].append((paths.join_flat(paths.parse(path[len(above) + bool(above) :])), row))
                break
        for flat in values:
            self._check_keys(flat, values[flat], parts[flat])

    def _check_keys(self, flat: str, values: list[tuple[str, int]], parts: list[tuple[str, int]]) -> None:
        taken: dict[str, int] = {}
        for key, row in values:
            if key in taken:
                raise self._tree(row, f"is flat key {key!r} of {flat!r}, as is {self.index.paths[taken[key]]!r}")
            taken[key] = row
        for key, row in values + parts:
            path = self.index.paths[row]
            if (expected := paths.render((*paths.parse(flat), *paths.split_key(key, taken)))) != path:
                what = f"{_entry(self.index, row)}: flat key {key!r} is written {expected!r}"
                raise FormatError("NONCANONICAL", what, path=path)
