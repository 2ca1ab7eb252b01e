"""What the rows of an index must be to each other: sparse values, aliases, and one tree (spec sections 3.2 to 3.5)."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import forms
from .columns import ALIAS, INHERITED, NODE, TENSOR, Column, Index
from .errors import FormatError, shown
from .nesting import Nesting
from .tree import FORMS

_KEYS = FORMS.index("keys")


def check(index: Index, nesting: Nesting | None = None) -> None:
    """Check sparse values, then aliases, then the tree; `nesting` is that of the paths, where it is there already.

    Raises:
        FormatError: SCHEMA, ALIAS, NONCANONICAL, TREE; the first rule broken.
    """
    _check_values(index)
    if "axes" in index.sparse:
        _check_axes(index)
    _check_listed(index)
    if index.columns["alias"].size:
        _check_aliases(index)
        _check_inheritance(index)
    _check_tree(index, nesting or Nesting(index.paths))


def _check_values(index: Index) -> None:
    """Types of the sparse columns' values; each value of a table is looked at once."""
    for name, held in index.sparse.items():
        faults = {key: _FAULTS[name](value) for key, value in {id(value): value for value in held.values()}.items()}
        if any(faults.values()):
            row, fault = next((row, faults[id(value)]) for row, value in held.items() if faults[id(value)])
            raise FormatError("SCHEMA", f"{name} of {index.told(row)}: {fault}", path=index.paths[row])


def _check_axes(index: Index) -> None:
    """As many axes as the rank, or as that of an alias' target; one whose target is no earlier tensor waits."""
    held = index.sparse["axes"]
    ranks = np.full(len(index.paths), -1, np.int64)
    ranks[index.tensor_rows] = index.columns["rank"]
    rows, targets, sound = _targets(index)
    ranks[rows[sound]] = ranks[targets[sound]]
    said = np.fromiter(held, np.int64, len(held))
    named = np.fromiter(map(len, held.values()), np.int64, len(held))
    for k in np.flatnonzero((ranks[said] >= 0) & (ranks[said] != named))[:1].tolist():
        row = int(said[k])
        what = f"axes of {index.told(row)}: {named[k]} names for rank {ranks[row]}"
        raise FormatError("SCHEMA", what, path=index.paths[row])


def _targets(index: Index) -> tuple[Column, Column, Column]:
    """Rows of the aliases, rows of their targets, and whether these are earlier tensors."""
    types = index.columns["type"]
    rows, targets = np.flatnonzero(types == ALIAS), index.columns["alias"].astype(np.int64)
    sound: Column = (targets < rows) & (types[np.minimum(targets, rows)] == TENSOR)
    return rows, targets, sound


def _check_listed(index: Index) -> None:
    """Exactly the nodes of form keys list keys."""
    nodes = np.flatnonzero(index.columns["type"] == NODE)
    lists = np.zeros(len(index.paths), bool)
    lists[list(index.sparse.get("keys", ()))] = True
    of_keys = index.columns["form"] == _KEYS
    for k in np.flatnonzero(lists[nodes] != of_keys)[:1].tolist():
        form = FORMS[index.columns["form"][k]]
        what = "is of form keys but lists none" if of_keys[k] else f"lists keys but its form is {form}"
        raise FormatError("SCHEMA", f"{index.told(int(nodes[k]))} {what}")


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
    """Each alias in row order: an earlier tensor, and a permutation that is not the identity."""
    rows, targets, sound = _targets(index)
    stop = int(sound.argmin()) if not sound.all() else sound.size
    said = index.sparse.get("perm", {})
    ranks = np.zeros(len(index.paths), np.int64)
    ranks[index.tensor_rows] = index.columns["rank"]
    good: set[tuple[int, int]] = set()  # a permutation of the table, a rank
    perms = zip(said.items(), np.searchsorted(rows, np.fromiter(said, np.int64, len(said))).tolist(), strict=True)
    for (row, perm), k in perms:
        if k >= stop:
            break
        rank = int(ranks[targets[k]])
        if (id(perm), rank) in good:
            continue
        if sorted(perm) != list(range(rank)):
            raise _alias(index, row, f"perm {shown(perm)} is no permutation of {rank} axes")
        if perm == sorted(perm):
            raise _alias(index, row, f"perm {shown(perm)} is the identity, which is not written")
        good.add((id(perm), rank))
    if stop < rows.size:
        row, target = int(rows[stop]), int(targets[stop])
        raise _alias(
            index,
            row,
            f"points at entry {target}, which {'is no tensor' if target < row else 'does not stand earlier'}",
        )


def _alias(index: Index, row: int, what: str) -> FormatError:
    return FormatError("ALIAS", f"{index.told(row)} {what}", path=index.paths[row])


def _check_inheritance(index: Index) -> None:
    """An alias does not repeat what it takes over from its target."""
    rows, targets, _ = _targets(index)
    perms = index.sparse.get("perm", {})
    for name in INHERITED:
        held = index.sparse.get(name, {})
        for row, target in zip(rows.tolist(), targets.tolist(), strict=True):
            if row not in held or target not in held:
                continue
            value, inherited = held[row], held[target]
            if name == "axes" and row in perms:
                inherited = [inherited[axis] for axis in perms[row]]
            if value == inherited:
                what = f"{index.told(row)}: {name} {shown(value)} is its target's and is not written again"
                raise FormatError("NONCANONICAL", what, path=index.paths[row])


def _check_tree(index: Index, nesting: Nesting) -> None:
    """Leaves have nothing beneath them, nodes stand before what is; then what the forms ask."""
    if not index.paths:
        raise FormatError("TREE", "no entry; an empty tree is one map node at the root")
    nesting.link()
    first = np.frombuffer(nesting.first, np.int64)
    rows = np.arange(first.size)
    leaves = index.columns["type"] != NODE
    for row in np.flatnonzero(leaves & (first < first.size))[:1].tolist():
        what = f"{index.told(row)} has entries beneath it, such as {index.paths[first[row]]!r}"
        raise FormatError("TREE", what, path=index.paths[row])
    for row in np.flatnonzero(first < rows)[:1].tolist():
        what = f"{index.told(row)} stands after {index.paths[first[row]]!r}, which is beneath it"
        raise FormatError("TREE", what, path=index.paths[row])
    forms.check(index, nesting)
