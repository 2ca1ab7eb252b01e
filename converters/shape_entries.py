"""What a list of shapes says of one entry, and the other way round."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ptformat import containers, paths
from ptformat.dtypes import BY_NAME
from ptformat.errors import FormatError
from ptformat.limits import MAX_ENTRIES, MAX_INTEGER, MAX_PATH_DEPTH, MAX_RANK
from ptformat.tree import FORMS, Alias, Entry, Node, TensorInfo, Value

from .files import safetensors

_FACTS = ("axes", "role", "trainable", "class", "attrs")


def is_shape(said: Any) -> bool:
    """Whether it is a list of integers."""
    return isinstance(said, list) and all(type(size) is int for size in said)


def is_leaf(said: Any) -> bool:
    """Whether it describes one tensor or tie, not what is beneath a name."""
    if not isinstance(said, Mapping):
        return True
    if "shape" in said:
        return not isinstance(said["shape"], Mapping)
    return any(type(said.get(name)) is str for name in ("alias", "dtype"))  # else these are names of what is beneath


def entry_of(path: str, said: Any) -> Entry:
    """One entry of the tree, from what a list says of it.

    Raises:
        FormatError: SCHEMA, SHAPE, DTYPE, ALIAS, with what was found and what is expected.
    """
    if isinstance(said, list):
        said = {"shape": said}
    if not isinstance(said, Mapping):
        raise FormatError("SCHEMA", f"{path!r} is {shown(said)}, expected a shape or a map", path=path)
    for first, (known, made) in _MADE.items():
        if first in said:
            if unknown := sorted(said.keys() - known):
                what = f"{path!r}: {unknown[0]!r} beside {first!r}, expected {', '.join(sorted(known))}"
                raise FormatError("SCHEMA", what, path=path)
            return made(path, said)
    raise FormatError("SCHEMA", f"{path!r}: neither shape nor alias in {shown(said)}", path=path)


def _tensor(path: str, said: Mapping[str, Any]) -> TensorInfo:
    shape, dtype = said["shape"], said.get("dtype", "float32")
    if not is_shape(shape) or any(not 0 <= size <= MAX_INTEGER for size in shape):
        what = f"{path!r}: shape {shown(shape)}, expected a list of integers of at least 0 and at most 2**53 - 1"
        raise FormatError("SHAPE", what, path=path)
    if len(shape) > MAX_RANK:
        raise FormatError("SHAPE", f"{path!r}: rank {len(shape)}, at most {MAX_RANK}", path=path)
    known = dtype.removeprefix("torch.") if type(dtype) is str else ""
    known = safetensors.DTYPES.get(known, known)
    if known not in BY_NAME:
        what = f"{path!r}: no element type is called {shown(dtype)}; there are {', '.join(BY_NAME)}"
        raise FormatError("DTYPE", what, path=path)
    return TensorInfo(path, known, tuple(shape), **_facts(path, said, _FACTS))


def _alias(path: str, said: Mapping[str, Any]) -> Alias:
    target, perm = said["alias"], said.get("perm")
    if type(target) is not str:
        raise FormatError("ALIAS", f"{path!r}: alias {shown(target)}, expected a path", path=path)
    if perm is not None and not is_shape(perm):
        raise FormatError("ALIAS", f"{path!r}: perm {shown(perm)}, expected a list of axes", path=path)
    return Alias(path, target, tuple(perm) if perm is not None else None, **_facts(path, said, _FACTS[:3]))


def _value(path: str, said: Mapping[str, Any]) -> Value:
    value = bytes_back(said["value"])
    if isinstance(value, (list, dict)):
        raise FormatError("SCHEMA", f"{path!r}: value {shown(value)}, expected none or one thing", path=path)
    return Value(path, value)


def _node(path: str, said: Mapping[str, Any]) -> Node:
    form, keys = said["form"], said.get("keys")
    if form not in FORMS:
        raise FormatError("SCHEMA", f"{path!r}: form {shown(form)}, expected one of {', '.join(FORMS)}", path=path)
    if keys is not None and not isinstance(keys, list):
        raise FormatError("SCHEMA", f"{path!r}: keys {shown(keys)}, expected a list", path=path)
    listed = None if keys is None else tuple(map(bytes_back, keys))
    return Node(path, form, listed, module=said.get("module"), **_facts(path, said, ("class", "attrs")))


def _facts(path: str, said: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """The facts that are said, by the names of their fields; their types are the tree's to check, but for axes."""
    found = {name: bytes_back(said[name]) for name in names if said.get(name) is not None}
    if "axes" in found:
        if type(found["axes"]) is not list:
            raise FormatError("SCHEMA", f"{path!r}: axes {shown(found['axes'])}, expected a list of names", path=path)
        found["axes"] = tuple(found["axes"])
    if "class" in found:
        found["class_"] = found.pop("class")
    return found


# What an entry has that is of each type -> what else it may say, and how it is made.
_MADE: dict[str, tuple[set[str], Callable[[str, Mapping[str, Any]], Entry]]] = {
    "form": ({"form", "keys", "module", "class", "attrs"}, _node),
    "alias": ({"alias", "perm", "axes", "role", "trainable"}, _alias),
    "value": ({"value"}, _value),
    "shape": ({"shape", "dtype", "data_offsets", *_FACTS}, _tensor),
}


@dataclass(slots=True)
class Tree:
    """Shapes under names, nested or flat, which become the entries that saving such a tree would give."""

    tensors: Mapping[str, Any]
    leaves: int = 0
    aliases: list[Alias] = field(default_factory=list)

    def entries(self) -> list[Entry]:
        """Tensors where they stand, ties behind them all if any stands before its target."""
        tree = self._inner(self.tensors, ())
        found = [entry for entry, _ in containers.flatten(tree, self._made)]
        names: dict[str, str] = {}
        for entry in found:
            if isinstance(entry, TensorInfo):
                names.setdefault(paths.join_flat(paths.parse(entry.path)), entry.path)
        known = {entry.path for entry in found if isinstance(entry, TensorInfo)}
        done: list[Entry] = []
        behind: list[Entry] = []
        seen: set[str] = set()
        for entry in found:
            if isinstance(entry, Alias):
                if entry.target not in known:
                    entry = replace(entry, target=names.get(entry.target, entry.target))
                (done if entry.target in seen else behind).append(entry)
            else:
                seen.add(entry.path)
                done.append(entry)
        return done + behind

    def _inner(self, said: Mapping[str, Any], at: paths.Segments) -> dict[str, Any]:
        if len(at) > MAX_PATH_DEPTH:
            raise FormatError("PATH", f"nested deeper than {MAX_PATH_DEPTH} names")
        inner: dict[str, Any] = {}
        for key, item in said.items():
            name = paths.join_flat(paths.parse(key)) if "\\" in key else key
            if name in inner:
                raise FormatError("DUPLICATE", f"{paths.render(at) or 'the root'!r}: {name!r} stands twice")
            inner[name] = _Leaf(item) if is_leaf(item) else self._inner(item, (*at, name))
        return inner

    def _made(self, leaf: Any, path: str) -> TensorInfo | Alias:
        self.leaves += 1
        if self.leaves > MAX_ENTRIES:
            raise FormatError("LIMIT", f"more than {MAX_ENTRIES} tensors")
        made = entry_of(path, leaf.said)
        assert isinstance(made, (TensorInfo, Alias))  # a leaf says a shape or an alias, and no form
        return made


@dataclass(frozen=True, slots=True)
class _Leaf:
    said: Any


def said_of(entry: Entry) -> dict[str, Any]:
    """What a list says of an entry, in JSON's types; bytes as `{"bytes": hex}`."""
    if isinstance(entry, TensorInfo):
        said: dict[str, Any] = {"shape": list(entry.shape), "dtype": entry.dtype}
    elif isinstance(entry, Alias):
        said = {"alias": entry.target}
    else:
        said = {"value": entry.value} if isinstance(entry, Value) else {"form": entry.form}
    for name in ("perm", "keys", "module", "axes", "role", "trainable", "class_", "attrs"):
        if (fact := getattr(entry, name, None)) is not None:
            said[name.rstrip("_")] = fact
    return {name: as_json(fact) for name, fact in said.items()}


def as_json(fact: Any) -> Any:
    """A recorded fact as a JSON value: bytes are a map with their hex digits."""
    if isinstance(fact, bytes):
        return {"bytes": fact.hex()}
    if isinstance(fact, Mapping):
        return {key: as_json(value) for key, value in fact.items()}
    return [as_json(item) for item in fact] if isinstance(fact, (list, tuple)) else fact


def bytes_back(fact: Any) -> Any:
    """The inverse of `as_json`: bytes from their hex digits."""
    if isinstance(fact, Mapping):
        if [*fact] == ["bytes"] and type(fact["bytes"]) is str:
            try:
                return bytes.fromhex(fact["bytes"])
            except ValueError:
                raise FormatError("SCHEMA", f"{shown(fact['bytes'])}, expected bytes in hex") from None
        return {key: bytes_back(value) for key, value in fact.items()}
    return [bytes_back(item) for item in fact] if isinstance(fact, list) else fact


def shown(found: Any) -> str:
    """What was found, as a message shows it."""
    text = repr(found)
    return text if len(text) <= 60 else f"{text[:60]}…"
