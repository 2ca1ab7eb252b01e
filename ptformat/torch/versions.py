"""The `_metadata` of state dicts: which version of its layout each module wrote.

A file keeps it in its metadata, under `torch._metadata`: path of the state dict in the tree (`""` for the root) -> list
of [module, facts], such as ["0.1", {"version": 2}].
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from .. import containers, paths, profile
from ..limits import MAX_METADATA_BYTES

Versions: TypeAlias = "OrderedDict[str, dict[str, Any]]"

KEY = "torch._metadata"
_DEFAULT = {"version": 1}  # of a module that says nothing: no loading migrates from it
_BUDGET = MAX_METADATA_BYTES // 2


def stored(tree: Any, metadata: Mapping[str, Any] | None) -> dict[str, Any]:
    """A file's metadata with the versions of every state dict in the tree.

    Where they would take half of what the format allows, the entries that say just torch's default, version 1, are
    left out.
    """
    held = {
        paths.render(at): [[str(name), dict(facts)] for name, facts in versions.items()]
        for at, versions in _found(tree, ())
    }
    if held and len(profile.encode(held, f"metadata {KEY!r}")) > _BUDGET:
        held = {path: [entry for entry in entries if entry[1] != _DEFAULT] for path, entries in held.items()}
    return {**(metadata or {}), **({KEY: held} if held else {})}


def of(metadata: Mapping[str, Any]) -> dict[str, Versions]:
    """Path -> versions that a file's metadata holds. What is nothing of the kind is passed over: metadata is free."""
    held = metadata.get(KEY)
    found: dict[str, Versions] = {}
    for path, entries in held.items() if isinstance(held, dict) else ():
        if isinstance(entries, list) and all(map(_is_entry, entries)):
            found[path] = OrderedDict((name, dict(facts)) for name, facts in entries)
    return found


def put_back(tree: Any, held: Mapping[str, Versions], at: paths.Segments = ()) -> Any:
    """The tree with each state dict that has versions as an OrderedDict with `_metadata`."""
    if not held:
        return tree
    if type(tree) is dict:
        for key, segments in containers.placed(tree)[1]:
            tree[key] = put_back(tree[key], held, (*at, *segments))
        if (versions := held.get(paths.render(at))) is not None:
            tree = OrderedDict(tree)
            tree._metadata = versions  # torch's own place for it
    elif type(tree) in (list, tuple):
        tree = type(tree)(put_back(item, held, (*at, str(i))) for i, item in enumerate(tree))
    return tree


def _found(tree: Any, at: paths.Segments) -> Iterator[tuple[paths.Segments, Mapping[Any, Any]]]:
    if isinstance(tree, Mapping):
        if isinstance(versions := getattr(tree, "_metadata", None), Mapping):
            yield at, versions
        if any(isinstance(item, (dict, list, tuple, Mapping)) for item in tree.values()):
            for key, segments in containers.placed(tree)[1]:
                yield from _found(tree[key], (*at, *segments))
    elif type(tree) in (list, tuple):
        for i, item in enumerate(tree):
            yield from _found(item, (*at, str(i)))


def _is_entry(entry: Any) -> bool:
    return isinstance(entry, list) and len(entry) == 2 and isinstance(entry[0], str) and isinstance(entry[1], dict)
