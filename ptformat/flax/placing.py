"""An nnx module saved with what each submodule is, and loaded in place once the whole file fits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Literal, TypeVar, Unpack

import jax
import numpy as np
from flax import nnx

from .. import containers, paths
from ..atomic import PathLike
from ..dtypes import BY_NAME
from ..errors import several
from ..reader import Reader, read
from ..saving import Options, put
from ..tree import Alias, Node, TensorInfo, Value
from ..writer import Writer
from . import states
from .arrays import NNX, Entries, Facts, arrays, entries, unboxed
from .fitting import described, headline, misfits, stored
from .graphs import Graph, Slot

Module = TypeVar("Module", bound=nnx.Pytree)
Kept = Literal["keep", "drop"]
Loaded = Literal["load", "keep"]


def save_model(
    module: nnx.Pytree, path: PathLike, *, rng_state: Kept = "keep", cache: Kept = "keep", **options: Unpack[Options]
) -> None:
    """`ptformat.flax.save_model` of an nnx module."""
    found = described_entries(module, _kinds({"rng_state": rng_state, "cache": cache}, "drop", "keep"))
    options.setdefault("convention", NNX)
    with Writer(path, **options) as out:
        put(out, found)


def described_entries(
    module: nnx.Pytree, dropped: tuple[type[states.Variable], ...] = (), *, shapes: bool = False
) -> Entries:
    """The entries of an nnx module, with what each submodule is; `shapes` as `arrays.entries`."""
    facts = Facts(convention=NNX)
    graph = Graph(facts, dropped)
    return entries(graph.part(module), facts, graph.opened, shapes=shapes)


def load_model(
    module: Module,
    path: PathLike,
    *,
    rng_state: Loaded = "load",
    cache: Loaded = "load",
    verify: bool = False,
    mapped: bool = True,
) -> Module:
    """`ptformat.flax.load_model` of an nnx module."""
    kept = _kinds({"rng_state": rng_state, "cache": cache}, "keep", "load")
    reader = read(path, verify=verify, mapped=mapped, private=True)
    places = Places(module)
    if problems := list(places.problems(reader, kept)):
        raise several("MISMATCH", headline(reader, module, NNX), problems)
    if places.abstract:
        module = nnx.clone(module)
        places = Places(module)
    # Every array is there, and checked, before the first of them is written.
    for leaf, value in places.values(reader, kept):
        _set(leaf, value)
    return module


def _set(leaf: states.Variable | Slot, value: Any) -> None:
    """Put a value in its place; a Variable keeps its identity, class and metadata."""
    old = leaf.value if isinstance(leaf, Slot) else leaf.get_raw_value()
    if isinstance(old, jax.Ref):
        old[...] = value
    elif isinstance(leaf, Slot):
        leaf.set(value)
    else:
        leaf.set_raw_value(value)


def _kinds(policies: Mapping[str, str], chosen: str, other: str) -> tuple[type[states.Variable], ...]:
    """The classes of Variables whose policy is `chosen`."""
    for name, policy in policies.items():
        if policy not in (chosen, other):
            raise ValueError(f"{name}={policy!r}, expected {other!r} or {chosen!r}")
    classes: dict[str, type[states.Variable]] = {"rng_state": nnx.RngState, "cache": nnx.Cache}
    return tuple(classes[name] for name, policy in policies.items() if policy == chosen)


class Places:
    """What a module expects of a file, by path.

    Attributes:
        expected: Shape and element type of each tensor, type of each value.
        tied: A Variable's second and further places -> its first.
        leaves: The Variables and slots; those beneath whose path is more than a tensor too.
    """

    def __init__(self, module: nnx.Pytree) -> None:
        self.expected: dict[str, TensorInfo | Value] = {}
        self.tied: dict[str, str] = {}
        self.leaves: dict[str, states.Variable | Slot] = {}
        self.firsts: dict[int, str] = {}
        self.graph = Graph(Facts())
        for entry, _ in containers.flatten(self.graph.part(module), self._leaf):
            if isinstance(entry, Alias):
                self.tied[entry.path] = entry.target
            elif isinstance(entry, Value):
                self.expected[entry.path] = entry

    def _leaf(self, leaf: Any, path: str) -> Any:
        inner = self.graph.opened(leaf, path)
        if isinstance(leaf, (Slot, nnx.Variable)):
            first = self.firsts.setdefault(id(leaf), path)
            if first != path:
                return Alias(path, first)
            self.leaves[path] = leaf
        if isinstance(leaf, nnx.Variable) and not states.holds_array(leaf):
            return {states.VALUE: states.content(leaf)}
        if isinstance(inner, Mapping):
            return inner
        bare = unboxed(inner)
        if not isinstance(bare, states.ARRAYS):
            return NotImplemented
        info = self.expected[path] = described(path, bare)
        return np.broadcast_to(np.empty((), BY_NAME[info.dtype].numpy), info.shape)

    def content(self, path: str) -> Any:
        """What the module holds at the place of a Variable or slot."""
        leaf = self.leaves[path]
        return leaf.content if isinstance(leaf, Slot) else states.content(leaf)

    @property
    def abstract(self) -> list[str]:
        """Paths of the leaves that have shape and element type only."""
        return [path for path in self.leaves if isinstance(self.content(path), states.ABSTRACT)]

    def of_kinds(self, kinds: tuple[type[states.Variable], ...]) -> list[str]:
        """Paths of the Variables of these classes."""
        leaves = self.leaves.items()
        return [path for path, leaf in leaves if isinstance(leaf, nnx.Variable) and issubclass(leaf.var_type, kinds)]

    def problems(self, reader: Reader, kept: tuple[type[states.Variable], ...]) -> Iterator[str]:
        """All that keeps the file from being loaded, where Variables of the classes `kept` stay as they are."""
        mine = self.of_kinds(kept)
        aside = {*mine, *_recorded(reader, kept)}
        expected = {path: entry for path, entry in self.expected.items() if not _beneath(path, aside)}
        tied = {path: first for path, first in self.tied.items() if first not in aside}
        yield from misfits(reader, expected, tied, lambda path: _beneath(path, aside))
        abstract = set(self.abstract)
        for path in (path for path in mine if path in abstract):
            yield f"abstract    {path!r}: to be kept from the module, which has only its shape"
        for path, leaf in self.leaves.items():
            if isinstance(leaf, Slot) and not leaf.settable:
                yield f"fixed       {path!r}: the module holds it in a {type(leaf.node).__name__}, not in a Variable"

    def values(
        self, reader: Reader, kept: tuple[type[states.Variable], ...]
    ) -> list[tuple[states.Variable | Slot, Any]]:
        """Each Variable and slot with its value from the file, on the devices that the module has it on."""
        aside = set(self.of_kinds(kept))
        wanted = [path for path, entry in self.expected.items() if not _beneath(path, aside)]
        plain = {path for path in self.leaves if isinstance(self.content(path), np.ndarray)}
        found = arrays(reader, [path for path in wanted if path not in plain]) | reader.load(plain)
        return [
            (leaf, _placed(found[path], self.content(path)) if path in found else _value(reader, path, found))
            for path, leaf in self.leaves.items()
            if path not in aside
        ]


def _recorded(reader: Reader, kinds: tuple[type[states.Variable], ...]) -> Iterator[str]:
    """Paths of the Variables of these classes in a file, by what it says of them."""
    for entry in reader.entries:
        if isinstance(entry, (TensorInfo, Node)):
            kind = states.variable_type(entry.class_, entry.attrs)
            if kind and issubclass(kind, kinds):
                yield entry.path
        elif isinstance(entry, Alias):
            target = stored(reader, entry.path)
            kind = states.variable_type(target.class_, target.attrs) if isinstance(target, TensorInfo) else None
            if kind and issubclass(kind, kinds):
                yield entry.path


def _beneath(path: str, tops: set[str]) -> bool:
    """Whether a path is one of these or beneath one."""
    while path and path not in tops:
        path = paths.parent(path)
    return path in tops


def _value(reader: Reader, path: str, found: Mapping[str, Any]) -> Any:
    """The value of a Variable that is no array: what the file has beneath its path."""
    top = paths.render((*paths.parse(path), states.VALUE))
    inner = [replace(entry, path=entry.path[len(top) + 1 :]) for entry in reader.entries if _beneath(entry.path, {top})]
    return containers.build(inner, lambda rest: found[f"{top}.{rest}" if rest else top])


def _placed(array: Any, old: Any) -> Any:
    """A jax array on the devices of the one that it replaces, where that one is bound to some."""
    if isinstance(old, jax.ShapeDtypeStruct):
        sharding = old.sharding
    else:
        concrete = isinstance(old, jax.Array) and not isinstance(old, jax.core.Tracer)
        sharding = old.sharding if concrete and old.committed else None
    return array if sharding is None else jax.device_put(array, sharding)
