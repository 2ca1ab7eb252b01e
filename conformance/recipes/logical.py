"""What a file holds, as JSON: integers as decimal strings, floats as patterns of bits (README, "Content")."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping, Sequence
from typing import Any

from . import forms
from .draft import Draft, Entry
from .elements import turned

Segments = tuple[str, ...]
_TAKEN_OVER = ("axes", "role", "trainable")
_LAYOUT = ("requires", "chunk", "codec", "stored", "sum")


def content(draft: Draft) -> dict[str, Any]:
    """The content of the file that a draft makes."""
    made: dict[str, Any] = {"minor": str(draft.minor), "chunk": str(draft.chunk)}
    for name in ("convention", "dialect"):
        if name in draft.header:
            made[name] = draft.header[name]
    for name in ("metadata", "provenance"):
        if name in draft.header:
            made[name] = as_json(draft.header[name])
    by_path = {entry.path: entry for entry in draft.entries}
    made["entries"] = [_ENTRIES[entry.type](entry, by_path) for entry in draft.entries]
    made["tree"] = tree(draft.entries)
    made["digest"] = digest(draft)
    return made


def as_json(value: Any) -> Any:
    """A value of the index."""
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int):
        return {"int": str(value)}
    if isinstance(value, float):
        return {"float": (forms.NAN if value != value else struct.pack(">d", value)).hex()}
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    if isinstance(value, Mapping):
        return {"map": [[key, as_json(value[key])] for key in sorted(value, key=str.encode)]}
    return [as_json(item) for item in value]


def _decimals(numbers: Sequence[int]) -> list[str]:
    return [str(n) for n in numbers]


def _said(entry: Entry, *names: str) -> dict[str, Any]:
    plain = ("axes", "role", "trainable", "class", "module")
    return {
        name: entry.facts[name] if name in plain else as_json(entry.facts[name])
        for name in names
        if name in entry.facts
    }


def _tensor(entry: Entry, by_path: Mapping[str, Entry]) -> dict[str, Any]:
    return {
        "type": "tensor",
        "path": entry.path,
        "dtype": entry.dtype,
        "shape": _decimals(entry.shape),
        "sha256": hashlib.sha256(entry.data).hexdigest(),
        **_said(entry, *_TAKEN_OVER, "class", "attrs"),
    }


def _alias(entry: Entry, by_path: Mapping[str, Entry]) -> dict[str, Any]:
    """Section 3.4."""
    target = by_path[entry.target]
    perm = entry.facts.get("perm")
    order = perm or range(len(target.shape))
    data = turned(target.dtype, target.shape, target.data, order)
    said = {name: target.facts[name] for name in _TAKEN_OVER if name in target.facts}
    if "axes" in said:
        said["axes"] = [said["axes"][axis] for axis in order]
    return {
        "type": "alias",
        "path": entry.path,
        "target": entry.target,
        **({"perm": _decimals(perm)} if perm else {}),
        "shape": _decimals([target.shape[axis] for axis in order]),
        "sha256": hashlib.sha256(data).hexdigest(),
        **said,
        **_said(entry, *_TAKEN_OVER),
    }


def _value(entry: Entry, by_path: Mapping[str, Entry]) -> dict[str, Any]:
    return {"type": "value", "path": entry.path, "value": as_json(entry.value)}


def _node(entry: Entry, by_path: Mapping[str, Entry]) -> dict[str, Any]:
    said = _said(entry, "keys", "module", "class", "attrs")
    return {"type": "node", "path": entry.path, "form": entry.form, **said}


_ENTRIES = {"tensor": _tensor, "alias": _alias, "value": _value, "node": _node}


# ---------------------------------------------------------------------------------------------------- the tree


class _Container:
    """A container while its children are still coming."""

    def __init__(self, form: str, keys: Sequence[Any] = ()) -> None:
        self.form = form
        self.keys = keys
        self.children: dict[str, _Container | str] = {}  # key -> container, or the path of a leaf

    def as_json(self) -> dict[str, Any]:
        done = [
            (key, {"leaf": child} if isinstance(child, str) else child.as_json())
            for key, child in self.children.items()
        ]
        if self.form in ("list", "tuple"):
            return {self.form: [child for _, child in done]}
        if self.form == "keys":
            return {"keys": [[as_json(key), child] for key, (_, child) in zip(self.keys, done, strict=True)]}
        return {self.form: [[key, child] for key, child in done]}


def tree(entries: Sequence[Entry]) -> dict[str, Any]:
    """The tree of these entries, built as section 3.6 says."""
    nodes = {segments(entry.path): entry for entry in entries if entry.type == "node"}
    if any(entry.path == "" and entry.type != "node" for entry in entries):
        return {"leaf": ""}
    root = _made(nodes.get(()))
    for entry in entries:
        if (entry.type == "node" and entry.form == "part") or not entry.path:
            continue
        _put(root, entry, nodes)
    return root.as_json()


def _put(root: _Container, entry: Entry, nodes: Mapping[Segments, Entry]) -> None:
    parts = segments(entry.path)
    at, start = root, 0
    for end in range(1, len(parts)):
        node = nodes.get(parts[:end])
        if at.form == "flat" and (node is None or node.form == "part"):
            continue
        inner = at.children.setdefault(".".join(parts[start:end]), _Container("map"))
        if isinstance(inner, str):
            raise ValueError(f"{entry.path}: beneath the leaf {inner}")
        at, start = inner, end
    at.children[".".join(parts[start:])] = _made(entry) if entry.type == "node" else entry.path


def _made(node: Entry | None) -> _Container:
    return _Container("map") if node is None else _Container(node.form, node.facts.get("keys", ()))


def segments(path: str) -> Segments:
    r"""The segments of a path (section 4.1): `segments(r"a\.b.0") == ("a.b", "0")`."""
    if not path:
        return ()
    found, held, at = [], "", 0
    while at < len(path):
        if path[at] == "\\":
            held += "" if path[at + 1] == "e" else path[at + 1]
            at += 2
        elif path[at] == ".":
            found.append(held)
            held = ""
            at += 1
        else:
            held += path[at]
            at += 1
    return (*found, held)


# -------------------------------------------------------------------------------------------------- the digest


def digest(draft: Draft) -> str:
    """Content digest (section 8.2)."""
    kept = {name: value for name, value in draft.keys().items() if name not in _LAYOUT}
    sums = (hashlib.sha256(entry.data).digest() for entry in draft.of_type("tensor"))
    kept["sha256"] = forms.binary(b"".join(sums))
    return hashlib.sha256(forms.keyed(kept)).hexdigest()
