"""The layers of two models: which is which by name, and how far what they returned is apart."""

from __future__ import annotations

import difflib
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from ptformat.dtypes import Array
from ptformat.paths import Segments

from .match import match
from .proof_numbers import Apart, ProofError, measure_layouts


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer(Apart):
    """What a layer returned in both models.

    Attributes:
        torch: Its name in torch, dotted; "" for the model itself.
        flax: Its path in flax, with slashes.
        call: Which call of it, from 0.
        layout: How the axes stand in torch against flax; "" where they are the same.
    """

    torch: str
    flax: str
    call: int
    layout: str = ""

    def __str__(self) -> str:
        """Both names, and the call if it is not the first."""
        names = f"{self.torch} / {self.flax}" if self.torch or self.flax else "the model itself, behind its layers"
        return f"{names} (call {self.call + 1})" if self.call else names


@dataclass(frozen=True, slots=True)
class Call:
    """What a layer of the flax model returned when it was called."""

    path: Segments
    returned: tuple[Any, ...]


def paired(
    torch_names: Iterable[str], flax_calls: Mapping[Segments, int], pairs: Mapping[str, str]
) -> set[tuple[str, Segments]]:
    """Which layer of torch is which of flax.

    Args:
        torch_names: Dotted names of the modules, all names of a shared one.
        flax_calls: Path of a module, all paths of a shared one -> how often it was called.
        pairs: A name in torch -> a path in flax, for it and all that is below.

    Raises:
        ProofError: For a name or path in `pairs` that the model does not have.
    """
    renamed: dict[Segments, list[str]] = {}
    names = list(torch_names)
    for name in names:
        renamed.setdefault(_renamed(name, pairs), []).append(name)
    _check(pairs, names, flax_calls)
    found = match(renamed, flax_calls).pairs
    taken = set(found.values())
    free = {path: calls for path, calls in flax_calls.items() if path not in taken and calls > 1}
    found |= _stacked([path for path in renamed if path not in found], free)
    return {(name, path) for source, path in found.items() for name in renamed[source]}


def _split(path: str) -> Segments:
    return tuple(segment for segment in path.replace("/", ".").split(".") if segment)


def _renamed(name: str, pairs: Mapping[str, str]) -> Segments:
    """A torch name's segments, the longest beginning that is paired replaced."""
    segments = _split(name)
    goals = {_split(key): _split(goal) for key, goal in pairs.items()}
    for end in range(len(segments), -1, -1):
        if segments[:end] in goals:
            return goals[segments[:end]] + segments[end:]
    return segments


def _check(pairs: Mapping[str, str], names: Collection[str], flax_calls: Collection[Segments]) -> None:
    mine, theirs = [_split(name) for name in names], list(flax_calls)
    for name, path in pairs.items():
        for whose, said, known, mark in (("torch", name, mine, "."), ("flax", path, theirs, "/")):
            given = _split(said)
            if given and not any(each[: len(given)] == given for each in known):
                near = difflib.get_close_matches(mark.join(given), [mark.join(each) for each in known], 1)
                hint = f"; nearest: {near[0]}" if near else ""
                ran = "has no module" if whose == "torch" else "called no module"
                raise ProofError(f"pairs: the {whose} model {ran} {said!r}{hint}")


def _stacked(left: Iterable[Segments], free: Mapping[Segments, int]) -> dict[Segments, Segments]:
    """Layers that are numbered in torch, and in flax one module that was called as often: scanned ones."""
    groups: dict[tuple[int, Segments], list[Segments]] = {}
    for path in left:
        for i, segment in enumerate(path):
            if segment.isdigit():
                groups.setdefault((i, path[:i] + path[i + 1 :]), []).append(path)
    found = match({path for _, path in groups}, free).pairs
    result: dict[Segments, Segments] = {}
    for (_, path), members in groups.items():
        if path in found and len(members) == free[found[path]]:
            result |= dict.fromkeys(members, found[path])
    return result


class Compared:
    """The comparison while the torch model runs: what each layer returned against flax's, in torch's order.

    Names that are paired with one another, as those of a layer that is shared in one model and stands twice in the
    other, are one group: the n-th call within it is compared with the n-th.

    Args:
        torch_names: Name -> the first name of that module.
        flax_names: Path -> the path under which calls of that module are noted.
        calls: What the layers of the flax model returned, in order of execution.
        pairs: As for `paired`.
        tolerance: As for `measure`.
        array: Makes an array, as `measure` takes it, of what a layer of flax returned.
    """

    def __init__(
        self,
        torch_names: Mapping[str, str],
        flax_names: Mapping[Segments, Segments],
        calls: Sequence[Call],
        pairs: Mapping[str, str],
        tolerance: float,
        array: Callable[[Any], Array],
    ) -> None:
        counts: dict[Segments, int] = {}
        for call in calls:
            counts[call.path] = counts.get(call.path, 0) + 1
        paths = {path: counts[first] for path, first in flax_names.items() if first in counts}
        edges = paired(torch_names, paths, pairs)
        groups = _groups((torch_names[name], flax_names[path]) for name, path in edges)
        self.tolerance, self.array = tolerance, array
        self.group_of_torch = {name: group for name, group in groups.items() if isinstance(name, str)}
        self.names: dict[tuple[str, Segments], str] = {}  # the name of torch's that belongs to a path of flax's
        for name, path in sorted(edges):
            self.names.setdefault((torch_names[name], flax_names[path]), name)
        self.waiting: dict[int, deque[Call]] = {}
        alone: dict[Segments, None] = {}
        for call in calls:
            if call.path in groups:
                self.waiting.setdefault(groups[call.path], deque()).append(call)
            else:
                alone[call.path] = None
        self.alone: tuple[dict[str, None], dict[Segments, None]] = ({}, alone)
        self.called: dict[tuple[str, str], int] = {}
        self.layers: list[Layer] = []
        self.left_out: list[str] = []

    def __call__(self, name: str, returned: tuple[Array, ...]) -> None:
        """Compare what a module of torch, by its first name, has returned."""
        group = self.group_of_torch.get(name)
        if group is None:
            self.alone[0][name] = None
            return
        waiting = self.waiting[group]
        if not waiting:
            self.left_out.append(f"{name}: called more often in torch than in flax")
            return
        call = waiting.popleft()
        path = "/".join(call.path)
        name = self.names.get((name, call.path), name)
        nth = self.called[name, path] = self.called.get((name, path), -1) + 1
        found = _worst(returned, tuple(map(self.array, call.returned)), self.tolerance)
        if isinstance(found, str):
            self.left_out.append(f"{name} / {path}: {found}")
            return
        apart, layout = found
        facts = {field.name: getattr(apart, field.name) for field in fields(Apart)}
        self.layers.append(Layer(torch=name, flax=path, call=nth, layout=layout, **facts))

    def finish(self) -> None:
        """Note what was called in flax and not in torch."""
        for waiting in self.waiting.values():
            paths = dict.fromkeys("/".join(call.path) for call in waiting)
            self.left_out += [f"{path}: called more often in flax than in torch" for path in paths]


def _groups(edges: Iterable[tuple[str, Segments]]) -> dict[str | Segments, int]:
    """Node -> number of its connected component."""
    group: dict[str | Segments, int] = {}
    members: dict[int, list[str | Segments]] = {}
    for number, edge in enumerate(edges):
        known = {group[node] for node in edge if node in group}
        together = [node for old in known for node in members.pop(old)]
        members[number] = list(dict.fromkeys([*together, *edge]))
        group.update(dict.fromkeys(members[number], number))
    return group


def _worst(a: tuple[Array, ...], b: tuple[Array, ...], tolerance: float) -> tuple[Apart, str] | str:
    """The pair of arrays that are furthest apart, or why they cannot be compared.

    Where one model returns one array and the other several (attention's weights, a state), the first is compared.
    """
    if not a or not b:
        return "returned no array"
    if len(a) != len(b):
        if 1 not in (len(a), len(b)):
            return f"returned {len(a)} arrays against {len(b)}"
        a, b = a[:1], b[:1]
    found: list[tuple[Apart, str]] = []
    for x, y in zip(a, b, strict=True):
        measured = measure_layouts(x, y, tolerance)
        if measured is None:
            return f"{x.shape} against {y.shape}"
        found.append(measured)
    return max(found, key=lambda each: (each[0].nan, each[0].relative))
