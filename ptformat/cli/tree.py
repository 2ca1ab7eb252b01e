"""`ptformat tree`: what a file holds, drawn as a tree of modules."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from .failures import about, check_source
from .text import Verb, columns, count, file_bytes, plain, size

if TYPE_CHECKING:
    from ..converters.content import Source
    from ..tree import Branch, Entry, Leaf

LONGEST_VALUE = 60  # characters of a text or bytes value that are shown


@click.command(cls=Verb, example="ptformat tree model.ptf", short_help="What a file holds, drawn as a tree.")
@click.argument("file", metavar="FILE")
@click.option("--json", "as_json", is_flag=True, help="Print every entry as JSON.")
def tree(file: str, *, as_json: bool) -> None:
    """Draw what FILE, of any supported kind, holds; only its structure is read."""
    check_source(file)
    from ..converters.files import open_source

    with about(file):
        source = open_source(file)
        facts = _facts(file, source)
        lines = (
            [json.dumps(facts, indent=2, allow_nan=False)]
            if as_json
            else [
                _head(facts),
                *(f"note      {plain(note)}" for note in source.notes),
                "",
                *Drawing(source).lines(),
            ]
        )
        source.close()
    for line in lines:
        click.echo(line)


def _facts(file: str, source: Source) -> dict[str, Any]:
    """All that is said of the file and its entries, as JSON can hold it."""
    from ..tree import TensorInfo

    version = None
    if source.kind == "ptf":
        with open(file, "rb") as opened:
            version = "{}.{}".format(*struct.unpack("<8x2H", opened.read(12)))
    tensors = [entry for entry in source.entries if isinstance(entry, TensorInfo)]
    return {
        "file": file,
        "format": source.kind,
        "version": version,
        "convention": source.header.convention,
        "dialect": source.header.dialect,
        "parameters": sum(entry.count for entry in tensors if entry.role in (None, "parameter")),
        "nbytes": sum(entry.nbytes for entry in tensors),
        "file_bytes": file_bytes(file),
        "metadata": _json(source.header.metadata),
        "notes": list(source.notes),
        "entries": [_entry(entry) for entry in source.entries],
    }


def _entry(entry: Entry) -> dict[str, Any]:
    """Its type and whatever it says; what it does not say is left out."""
    from ..tree import Alias, Node, TensorInfo, Value

    kinds = {TensorInfo: "tensor", Alias: "alias", Value: "value", Node: "node"}
    said: dict[str, Any] = {"path": entry.path, "type": kinds[type(entry)]}
    if isinstance(entry, Value):
        return said | {"value": _json(entry.value)}
    for name in (
        "dtype",
        "shape",
        "target",
        "perm",
        "form",
        "keys",
        "axes",
        "role",
        "trainable",
        "module",
        "class_",
        "attrs",
    ):
        value = getattr(entry, name, None)
        if value is not None:
            said[name.rstrip("_")] = _json(value)
    return said


def _json(value: Any) -> Any:
    """The value, or where JSON has no such thing, a map that says what it is."""
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": str(value)}
    if isinstance(value, dict):
        return {str(key): _json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_json(item) for item in value]
    return value


def _head(facts: dict[str, Any]) -> str:
    said = [facts["file"], facts["version"] or facts["format"], facts["convention"], facts["dialect"]]
    total = [count(facts["parameters"], "parameter"), size(facts["nbytes"])]
    return plain(" · ".join([*(fact for fact in said if fact), *total]))


class Drawing:
    """The tree of a source as lines.

    Args:
        source: Any source; its tensors are not read.
    """

    def __init__(self, source: Source) -> None:
        from ..tree import Alias, TensorInfo, grow

        self._tensors = {entry.path: entry for entry in source.entries if isinstance(entry, TensorInfo)}
        self._aliases = {entry.path: entry for entry in source.entries if isinstance(entry, Alias)}
        self._root = grow(source.entries, self._tensors.__getitem__)
        self._beneath: dict[str, list[str]] = {}  # path of a branch -> paths of the leaves beneath it

    def lines(self) -> Iterator[str]:
        """The root's line, then a line for every node and leaf beneath."""
        from ..tree import Branch

        if not isinstance(self._root, Branch):
            yield from columns([["(root)", *self._leaf(self._root)]])
            return
        said = self._branch(self._root)
        yield plain("  ".join(said)) if said else "."
        yield from self._children(self._root, "")

    def _children(self, branch: Branch, indent: str) -> Iterator[str]:
        from ..tree import Leaf

        leaves = {name: child for name, child in branch.items() if isinstance(child, Leaf)}
        rows = columns([_shown(name), *self._leaf(leaf)] for name, leaf in leaves.items())
        aligned = dict(zip(leaves, rows, strict=True))
        for number, (name, child) in enumerate(branch.items(), 1):
            last = number == len(branch)
            stem = indent + ("└─ " if last else "├─ ")
            if isinstance(child, Leaf):
                yield stem + aligned[name]
                continue
            tied = self._tied(child)
            said = self._branch(child)
            yield stem + plain("  ".join([_shown(name), *said, *([f"= {tied}"] if tied else [])]))
            if not tied:
                yield from self._children(child, indent + ("   " if last else "│  "))

    def _branch(self, branch: Branch) -> list[str]:
        """What follows a branch's name: the last part of its class, or its kind or form, and whether it is empty."""
        node = branch.node
        form = node.form if node else "map"
        named = (node.class_ or node.module) if node else None
        if named:
            return [named.rpartition(".")[2] or named, *([] if len(branch) else ["no parameters"])]
        if form in ("list", "tuple", "namedtuple"):
            return [f"{form} of {len(branch)}"]
        return [] if len(branch) else ["empty"]

    def _leaf(self, leaf: Leaf) -> list[str]:
        from ..tree import Alias, TensorInfo, Value

        entry = leaf.entry
        if isinstance(entry, TensorInfo):
            kept = "" if entry.role in (None, "parameter") else entry.role
            frozen = "frozen" if entry.trainable is False and not kept else ""
            return [_shape(entry.shape), entry.dtype, " × ".join(entry.axes or ()), kept or frozen]
        if isinstance(entry, Alias):
            perm = entry.perm
            held = self._tensors[entry.target].shape
            shape = tuple(held[i] for i in perm) if perm else held
            return [_shape(shape), f"= {entry.target}{f' permuted {_shape(perm)}' if perm else ''}"]
        assert isinstance(entry, Value)
        return [_value(entry.value)]

    def _tied(self, branch: Branch) -> str | None:
        """The branch whose leaves, by the same names, are the very tensors of this one's: they are all aliases."""
        own = self._leaves(branch)
        if not own or any(path not in self._aliases for path in own):
            return None
        for path in own:
            name = path[len(branch.path) :]
            target = self._aliases[path].target
            if not target.endswith(name) or target == name:
                continue
            other = self._find(target[: -len(name)])
            if other is not None and other.path != branch.path and self._same(own, branch, other):
                return other.path
        return None

    def _same(self, own: list[str], branch: Branch, other: Branch) -> bool:
        theirs = [path[len(other.path) :] for path in self._leaves(other)]
        if sorted(theirs) != sorted(path[len(branch.path) :] for path in own):
            return False
        return all(self._held(path) == self._held(other.path + path[len(branch.path) :]) for path in own)

    def _held(self, path: str) -> tuple[str, tuple[int, ...] | None]:
        """The tensor that stands behind a path, and how its axes are permuted there."""
        alias = self._aliases.get(path)
        return (alias.target, alias.perm) if alias else (path, None)

    def _find(self, path: str) -> Branch | None:
        from ..tree import Branch

        assert isinstance(self._root, Branch)
        try:
            found = self._root[path]
        except KeyError:
            return None
        return found if isinstance(found, Branch) else None

    def _leaves(self, branch: Branch) -> list[str]:
        from ..tree import Branch

        if branch.path not in self._beneath:
            paths: list[str] = []
            for _, child in branch.items():
                paths += self._leaves(child) if isinstance(child, Branch) else [child.path]
            self._beneath[branch.path] = paths
        return self._beneath[branch.path]


def _shown(segment: str) -> str:
    return segment or '""'


def _shape(shape: tuple[int, ...]) -> str:
    return str(tuple(shape))


def _value(value: Any) -> str:
    """A value as Python writes it; a long text or bytes is cut, with its length."""
    if isinstance(value, (str, bytes)) and len(value) > LONGEST_VALUE:
        unit = "characters" if isinstance(value, str) else "bytes"
        return f"{value[:LONGEST_VALUE]!r}… {len(value)} {unit}"
    return repr(value)
