"""Trees whose keys are integers too, as nnx's are: the entries that a file needs so that they come back as integers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, TypeAlias

from ptformat import containers, paths
from ptformat.errors import FormatError
from ptformat.tree import Alias, Entry, Node, TensorInfo

Keys: TypeAlias = tuple[str | int, ...]

STATE = "flax.nnx.State"


def numbered(segments: Iterable[str]) -> Keys:
    """The keys that nnx has for these segments: what is a number is an integer there, as in lists of modules."""
    return tuple(int(text) if text.isdecimal() and str(int(text)) == text else text for text in segments)


def path_of(keys: Keys) -> str:
    """The path at which `entries` has the leaf of these keys."""
    return paths.render(map(str, keys))


def entries(leaves: Mapping[Keys, TensorInfo | Alias], nodes: Iterable[Node] = ()) -> list[Entry]:
    """The entries of a tree of these leaves in a file's order: what is beneath one key stands together.

    Args:
        leaves: Keys from the root -> the tensor, whose path is left aside, or the alias, which stands behind its target
            and names it as `path_of` does.
        nodes: What is said of inner places, by path: class, kind and attributes; their form and keys are left aside.
            The root's class is `flax.nnx.State` where none is said: `ptformat.flax.load_file` then gives a State.

    Returns:
        The leaves, a node of form `keys` for each map that has an integer among its keys, and those of `nodes` that
        have a leaf beneath them.

    Raises:
        FormatError: TREE for a leaf that has others beneath it, and for a number and its text in one map.
    """
    said = {"": Node("", class_=STATE), **{node.path: node for node in nodes}}
    said[""] = replace(said[""], class_=said[""].class_ or STATE)
    result: list[Entry] = []
    for entry, _ in containers.flatten(_nested(leaves), lambda leaf, path: replace(leaf, path=path)):
        segments = paths.parse(entry.path)
        for depth in range(len(segments)):
            if node := said.pop(paths.render(segments[:depth]), None):
                result.append(replace(node, form="map", keys=None))
        if isinstance(entry, Node) and (node := said.pop(entry.path, None)):
            entry = replace(entry, module=node.module, class_=node.class_, attrs=node.attrs)
        result.append(entry)
    return result


def _nested(leaves: Mapping[Keys, TensorInfo | Alias]) -> dict[str | int, Any]:
    root: dict[str | int, Any] = {}
    keyed: dict[str, Keys] = {}
    for keys, leaf in leaves.items():
        at = root
        for depth, key in enumerate(keys, 1):
            path = path_of(keys[:depth])
            if keyed.setdefault(path, keys[:depth])[-1] != key:
                raise FormatError("TREE", f"{path!r}: a number and its text in one map", path=path)
            last = depth == len(keys)
            held = at.setdefault(key, leaf if last else {})
            if isinstance(held, dict) == last:
                raise FormatError("TREE", f"{path!r}: a leaf that has others beneath it", path=path)
            at = held
    return root
