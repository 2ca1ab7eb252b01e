"""The tree that an orbax checkpoint's `_METADATA` describes, and the wrappers that people's trees come in.

Layout, from orbax's checkpoint format guide: `tree_metadata` maps the text of a tuple of keys to the typed keys
(`key_type` 1 in a list, 2 in a dict) and to what the leaf is: an array, a scalar, a string, or an empty container.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ptformat import paths
from ptformat.containers import Record
from ptformat.errors import FormatError
from ptformat.limits import MAX_PATH_DEPTH

SEQUENCE, DICT = 1, 2
_EMPTY: dict[str, Any] = {"None": None, "NamedTuple": None, "Dict": {}, "List": [], "Tuple": ()}


@dataclass(frozen=True, slots=True)
class Leaf:
    """A leaf that lies outside `_METADATA`.

    Attributes:
        name: Under which it is stored: its keys joined with dots.
        kind: orbax's name of its type, such as `jax.Array`, `np.ndarray`, `scalar`, `string`.
    """

    name: str
    kind: str


def parse(metadata: Any) -> Any:
    """Nested dicts and lists of `Leaf` and of empty containers.

    Raises:
        FormatError: MALFORMED for what is no such metadata, DUPLICATE for two leaves that orbax stores in one place.
    """
    try:
        rows = [
            ([_key(key) for key in row["key_metadata"]], _text(row["value_metadata"]["value_type"]))
            for row in metadata["tree_metadata"].values()
        ]
    except (TypeError, KeyError, AttributeError):
        raise FormatError("MALFORMED", "_METADATA has no tree_metadata of keys and value types") from None
    if not rows:
        raise FormatError("MALFORMED", "_METADATA describes no leaves")
    taken: set[str] = set()
    root: _Growing | Leaf | None = None
    for keys, kind in rows:
        if len(keys) > MAX_PATH_DEPTH:
            raise FormatError("LIMIT", f"_METADATA: {len(keys)} keys lead to a leaf, at most {MAX_PATH_DEPTH}")
        paths.check(paths.render(key for key, _ in keys))
        leaf: Any = Leaf(".".join(key for key, _ in keys), kind)
        if kind in _EMPTY:
            leaf = _EMPTY[kind]
        elif leaf.name in taken:
            raise FormatError("DUPLICATE", f"two leaves are stored as {leaf.name!r}; orbax kept only one of them")
        else:
            taken.add(leaf.name)
        root = _grow(root, keys, leaf)
    return root.finish("") if isinstance(root, _Growing) else root


def _key(said: Any) -> tuple[str, int]:
    kind = said["key_type"]
    if type(kind) is not int:
        raise TypeError
    return _text(said["key"]), kind


def _text(said: Any) -> str:
    if type(said) is not str:
        raise TypeError
    return said


def some(names: Sequence[str]) -> str:
    """The first of them, in a message."""
    return ", ".join(names[:8]) + (", …" if len(names) > 8 else "")


class _Growing:
    def __init__(self, kind: int) -> None:
        self.kind = kind
        self.children: dict[str, Any] = {}

    def finish(self, where: str) -> Any:
        done = {
            key: child.finish(f"{where}/{key}") if isinstance(child, _Growing) else child
            for key, child in self.children.items()
        }
        if self.kind == DICT:
            return done
        try:
            return [done[str(number)] for number in range(len(done))]
        except KeyError:
            what = f"the list at {where or 'the root'!r} has items {some(list(done))}"
            raise FormatError("MALFORMED", f"_METADATA: {what}, expected 0 to {len(done) - 1}") from None


def _grow(root: Any, keys: list[tuple[str, int]], leaf: Any) -> Any:
    if root is not None and (not keys or not isinstance(root, _Growing)):
        raise FormatError("MALFORMED", "_METADATA: the root is a leaf and has leaves")
    if not keys:
        return leaf
    at = root = root or _Growing(keys[0][1])
    for depth, (key, kind) in enumerate(keys):
        if kind not in (SEQUENCE, DICT):
            raise FormatError("MALFORMED", f"_METADATA: key {key!r} is of type {kind}, expected 1 or 2")
        if at.kind != kind:
            raise FormatError("MALFORMED", f"_METADATA: key {key!r} is of type {kind}, its siblings of {at.kind}")
        last = depth == len(keys) - 1
        child = at.children.get(key)
        if key in at.children and (last or not isinstance(child, _Growing)):
            where = "/".join(name for name, _ in keys[: depth + 1])
            raise FormatError("MALFORMED", f"_METADATA: {where!r} stands twice, or is a leaf and has leaves")
        if last:
            at.children[key] = leaf
        else:
            at = at.children.setdefault(key, _Growing(keys[depth + 1][1]))
    return root


def unwrap(tree: Any) -> tuple[Any, list[str]]:
    """The tree without the wrappers that people's checkpoints have, and a line for each that was taken off.

    `params/params`: linen variables saved as {"params": variables}. `…/value`: an nnx State, whose Variables orbax
    holds as {"value": array}; told by every leaf beneath the root, or beneath one of its children, being such.
    """
    notes = []
    if (
        isinstance(tree, dict)
        and isinstance(inner := tree.get("params"), dict)
        and isinstance(inner.get("params"), dict)
    ):
        if len(tree) == 1:
            tree = inner
            notes.append("params/params: the outer params is a wrapper and left out")
        elif len(inner) == 1:
            tree = {**tree, "params": inner["params"]}
            notes.append("params/params: the outer params is a wrapper and left out")
    if isinstance(tree, dict):
        wrapped = {key: child for key, child in tree.items() if key != "value" and _all_values(child)}
        if wrapped:
            count = sum(1 for child in wrapped.values() for _ in leaves(child))
            where = "all" if len(wrapped) == len(tree) else f"beneath {some(list(wrapped))}"
            tree = {key: _without_values(child) if key in wrapped else child for key, child in tree.items()}
            notes.append(f"…/value: {count} Variables of an nnx State ({where}) are read as their arrays")
    return tree, notes


def _is_value(tree: Any) -> bool:
    return isinstance(tree, dict) and len(tree) == 1 and isinstance(tree.get("value"), Leaf)


def _all_values(tree: Any) -> bool:
    """Whether it has leaves, and each is the `value` of a dict that holds nothing else."""
    if _is_value(tree):
        return True
    children = list(_children(tree))
    full = [child for child in children if isinstance(child, Leaf) or any(True for _ in leaves(child))]
    return bool(full) and all(_all_values(child) for child in full)


def _without_values(tree: Any) -> Any:
    if _is_value(tree):
        return tree["value"]
    if isinstance(tree, dict):
        return {key: _without_values(child) for key, child in tree.items()}
    return [_without_values(child) for child in tree] if isinstance(tree, list) else tree


def _children(tree: Any) -> Iterator[Any]:
    if isinstance(tree, dict):
        yield from tree.values()
    elif isinstance(tree, list):
        yield from tree


def leaves(tree: Any) -> Iterator[Leaf]:
    """Every `Leaf` beneath, in order."""
    if isinstance(tree, Leaf):
        yield tree
    for child in _children(tree):
        yield from leaves(child)


def told(tree: Any, keys: tuple[tuple[str, int], ...] = ()) -> Iterator[tuple[tuple[tuple[str, int], ...], Any]]:
    """(typed keys, leaf) of a tree of containers as orbax tells it.

    All keys become text, a tuple is told as a list, a namedtuple as a dict of its fields. An empty container is a
    leaf, and so is None; an empty namedtuple is None.
    """
    if isinstance(tree, tuple) and (fields := getattr(tree, "_fields", None)) is not None:
        tree = dict(zip(fields, tree, strict=True)) or None
    if isinstance(tree, Mapping) and tree:
        for key, child in tree.items():
            yield from told(child, (*keys, (str(key), DICT)))
    elif isinstance(tree, (list, tuple)) and tree:
        for number, child in enumerate(tree):
            yield from told(child, (*keys, (str(number), SEQUENCE)))
    else:
        yield keys, tree


def losses(tree: Any) -> list[str]:
    """A line for each thing in a tree of containers that orbax does not tell."""
    found = {"keys that are no text": 0, "tuples": 0, "namedtuples": 0}

    def walk(at: Any) -> None:
        if isinstance(at, Record) or hasattr(at, "_fields"):
            found["namedtuples"] += 1
        elif isinstance(at, tuple) and at:
            found["tuples"] += 1
        if isinstance(at, Mapping):
            found["keys that are no text"] += any(type(key) is not str for key in at)
        for child in at.values() if isinstance(at, Mapping) else at if isinstance(at, (list, tuple)) else ():
            walk(child)

    walk(tree)
    becomes = {"keys that are no text": "text", "tuples": "lists", "namedtuples": "dicts"}
    return [f"{count} {what} become {becomes[what]}" for what, count in found.items() if count]
