"""Lists of equal layers that one framework holds as a list and the other stacked in tensors."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from ptformat.paths import Segments

from . import operations as ops
from .conventions import LINEN, NNX, Convention
from .operations import Operation
from .survey import Leaf, Module, Survey, Unstacked, fits


@dataclass(frozen=True, slots=True)
class Stack:
    """A list of layers that the target holds stacked.

    Attributes:
        list: Path of the list's module in the target's names, were it not stacked; `*` is any one segment.
        axis: Along which the layers of one tensor are stacked.
        into: Path of the stacked module; `{phase}` is the layer's number modulo `cycle`. None for that of the list,
            with `_{phase}` where `cycle` is more than 1.
        cycle: How many kinds of layers take turns: layer i is number i // cycle of stack i % cycle.
        rest: Path of the layers that are left over where the list is no multiple of the cycle; `{n}` counts them.
    """

    list: str
    axis: int = 0
    into: str | None = None
    cycle: int = 1
    rest: str | None = None

    def place(self, path: Segments, count: int) -> tuple[Segments, int | None] | None:
        """Where a layer's module goes: (its path, its number in the stack or None); None where it is not of the list.

        Args:
            path: The module's path as the target would have it.
            count: Of the layers in the list.
        """
        mark = self.split(path)
        if mark is None:
            return None
        head, number, tail = mark
        whole = count - count % self.cycle
        if number >= whole:
            rest = self.rest or f"{'/'.join(head)}_rest_{{n}}"
            return (*_segments(rest.format(n=number - whole)), *tail), None
        phase = number % self.cycle
        into = self.into or ("/".join(head) + ("_{phase}" if self.cycle > 1 else ""))
        return (*_segments(into.format(phase=phase)), *tail), number // self.cycle

    def split(self, path: Segments) -> tuple[Segments, int, Segments] | None:
        """(the list's path, the layer's number, the path below it) of a module of the list, else None."""
        wanted = _segments(self.list)
        if len(path) < len(wanted):
            return None
        head, rest = path[: len(wanted)], path[len(wanted) :]
        if rest and rest[0].isdigit() and _alike(wanted, head):
            return head, int(rest[0]), rest[1:]
        joined = re.fullmatch(r"(.+)_(\d+)", head[-1])  # linen's `layers_0`
        if joined and _alike(wanted, (*head[:-1], joined[1])):
            return (*head[:-1], joined[1]), int(joined[2]), rest
        return None


def _segments(text: str) -> Segments:
    return tuple(re.split(r"[./]", text))


def _alike(wanted: Segments, path: Segments) -> bool:
    return all(want in ("*", segment) for want, segment in zip(wanted, path, strict=True))


def stacked_in(rules: Iterable[tuple[str, int]], separator: str) -> list[Unstacked]:
    """The user's (path, axis) pairs as rules of a survey."""
    return [Unstacked(tuple(path.split(separator)), axis) for path, axis in rules]


def found_in(template: Survey, names: Sequence[Segments]) -> list[Unstacked]:
    """Where a template holds stacked what another tree has as lists.

    Args:
        template: The tree that may hold stacks.
        names: Module paths of the other tree, as the template's framework would write them with numbers apart.
    """
    lists: dict[Segments, set[int]] = {}
    for path in names:
        for depth, segment in enumerate(path):
            if segment.isdigit():
                lists.setdefault(path[:depth], set()).add(int(segment))
    found: list[Unstacked] = []
    inside: dict[Segments, list[Leaf]] = {}
    for leaf in template.leaves:
        path = bare(leaf.module)
        for depth in range(1, len(path) + 1):
            if path[:depth] in lists:
                inside.setdefault(path[:depth], []).append(leaf)
    for head, numbers in sorted(lists.items(), key=lambda item: len(item[0])):
        count = len(numbers)
        if not head or numbers != set(range(count)):
            continue
        below = inside.get(head, [])
        if not below or any("".join(bare(leaf.module)[len(head) : len(head) + 1]).isdigit() for leaf in below):
            continue
        where = {leaf.module[: _length(leaf.module, head)] for leaf in below}
        axes = [
            axis
            for axis in range(max(len(leaf.shape) for leaf in below))
            if all(len(leaf.shape) > axis and leaf.shape[axis] == count for leaf in below)
        ]
        if len(where) == 1 and axes:
            found.append(Unstacked(where.pop(), axes[0], count, tuple(axes[1:])))
    return found


def stacked_alike(source: Survey, template: Survey, renamed: Callable[[Segments], Segments]) -> list[Unstacked]:
    """Where both trees hold layers stacked on the first axis, as scanned layers of linen and of nnx are.

    Such a layer's tensors have an axis more than any layer has; without that, they are what a layer has. Of torch's no
    stacks are looked for: a norm over two axes of one size would be taken for one.

    Args:
        source: The tree whose modules are looked at.
        template: The tree that must have as many layers in the same place.
        renamed: From a module path of the source to that in the template.
    """
    found: dict[Segments, Unstacked] = {}
    if not {source.convention.name, template.convention.name} <= {LINEN.name, NNX.name}:
        return []
    for path, module in source.modules.items():
        if any(path[: len(head)] == head for head in found) or _usual(module, source.convention):
            continue
        layer = Module(path, {at: replace(leaf, made=_first(leaf)) for at, leaf in module.leaves.items()})
        if not all(leaf.shape for leaf in module.leaves.values()) or not _usual(layer, source.convention):
            continue
        there = bare(renamed(path))
        for depth in range(1, len(path) + 1):
            head, below = path[:depth], bare(path[depth:])
            counts = _counts(source, head)
            place = there[: len(there) - len(below)]
            if len(counts) == 1 and -1 not in counts and counts == _counts(template, place):
                (count,) = counts
                found[head] = Unstacked(head, 0, count)
                break
    return list(found.values())


def _usual(module: Module, convention: Convention) -> bool:
    """Whether the leaves are what a layer has, without more axes than that."""
    return any(not (fit.kind.declared or fit.form.declared) for fit in fits(module, convention))


def _first(leaf: Leaf) -> Operation:
    return ops.index(leaf.made, 0, 0) if leaf.shape and leaf.shape[0] else leaf.made


def _counts(tree: Survey, head: Segments) -> set[int]:
    """The sizes of the first axes of all tensors below a module; -1 for a tensor without one."""
    below = [leaf for leaf in tree.leaves if head in (leaf.module[: len(head)], bare(leaf.module)[: len(head)])]
    return {leaf.shape[0] if leaf.shape else -1 for leaf in below}


@functools.lru_cache(100_000)
def bare(path: Segments) -> Segments:
    """Segments with numbers split off (`layers_0` is `layers`, `0`)."""
    result: list[str] = []
    for segment in path:
        joined = re.fullmatch(r"(.+?)((?:_\d+)+)", segment)
        result += [joined[1], *joined[2][1:].split("_")] if joined else [segment]
    return tuple(result)


def _length(path: Segments, head: Segments) -> int:
    """How many of a path's segments make up the head, once numbers are split off."""
    for length in range(len(path) + 1):
        if bare(path[:length]) == head:
            return length
    return len(head)
