"""The way back: from how each target is made of the sources, how each source is made of the targets."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from . import operations as o
from .inversion_boxes import Known, Scattered, everything, missing, put_together, shifted, through_reshape

_ZERO = "\\zero "  # begins what stands for a zero among the targets; no path begins so
_FUNCTION, _ROUNDED = o.EXACTNESS.index("function"), o.EXACTNESS.index("rounded")


@dataclass(frozen=True, slots=True)
class Back:
    """How a source is made of the targets.

    Attributes:
        op: The operation; its `Given` are targets.
        exactness: Of the way there and back: `bit`, `function` (a sum was taken apart), or `rounded`.
    """

    op: o.Operation
    exactness: str


def inverse(targets: Mapping[str, o.Operation]) -> dict[str, o.Operation]:
    """For each source, how it is made of the targets: `way_back` without the exactness."""
    return {path: back.op for path, back in way_back(targets).items()}


def way_back(targets: Mapping[str, o.Operation], zero: Sequence[o.Operation] = ()) -> dict[str, Back]:
    """For each source, how it is made of the targets, and how exactly.

    Parts that are spread over several targets are joined again. Of copies, the most exact, then the first is taken. Of
    a sum, the first member that can hold it gets all of it, and the others are filled with 0.

    Args:
        targets: Path of each target -> how it is made.
        zero: What of the sources is known to be 0, and need not be in any target.

    Returns:
        Path of each source, tensors kept of a template aside, in the order in which they are first used.

    Raises:
        ValueError: With a line for each source that the targets do not give back, and why.
    """
    found = _Inversion({**targets, **{f"{_ZERO}{row}": made for row, made in enumerate(zero)}}).run()
    return {path: Back(_zeroed(back.op), back.exactness) for path, back in found.items()} if zero else found


def _zeroed(op: o.Operation) -> o.Operation:
    """An operation with zeros where it takes what a condition says is zero."""
    if isinstance(op, o.Given):
        return o.Fill(op.shape, op.dtype, 0) if op.path.startswith(_ZERO) else op
    changed: dict[str, o.Operation | tuple[o.Operation, ...]] = {}
    for name in ("of", "u", "v"):
        inner = getattr(op, name, None)
        if isinstance(inner, tuple):
            changed[name] = tuple(map(_zeroed, inner))
        elif inner is not None:
            changed[name] = _zeroed(inner)
    return replace(op, **changed) if changed else op  # type: ignore[type-var]


class _Inversion:
    """What is known of every node, from the targets down to the sources."""

    def __init__(self, targets: Mapping[str, o.Operation]) -> None:
        self.targets = targets
        self.known: dict[o.Operation, list[Known]] = {}
        self.reasons: dict[o.Operation, list[str]] = {}
        self.sums: list[o.Operation] = []
        self.beaten: set[int] = set()  # sums of which a member was taken from elsewhere
        self.broken: set[int] = set()  # and those that do not go together

    def run(self) -> dict[str, Back]:
        for place, (path, op) in enumerate(self.targets.items()):
            self._learn(op, Known(everything(op.shape), o.Given(path, op.shape, op.dtype), place=place))
        found: dict[o.Operation, Known] = {}
        for node in _parents_first(self.targets.values()):
            if not node.children and (not isinstance(node, o.Given) or node.kept):
                continue
            whole = self._whole(node)
            if isinstance(node, o.Given) and whole is not None:
                found[node] = whole
            if node.count:
                for known in [whole] if whole is not None else self.known.get(node, []):
                    self._descend(node, known)
        leaves = dict.fromkeys(one for op in self.targets.values() for one in o.sources(op) if not one.kept)
        problems = {leaf: self._reason(leaf) for leaf in leaves if leaf not in found}
        used = frozenset[int]().union(*(found[leaf].sums for leaf in leaves if leaf in found))
        for leaf in leaves:
            if leaf in found and leaf in self.reasons:  # a target that would not be what it is
                self.broken |= found[leaf].sums
        for number in sorted(self.broken | self.beaten & used):
            for leaf in o.sources(self.sums[number]):
                problems.setdefault(leaf, "summed with others of which some are in several targets")
        if problems:
            lines = [f"  {leaf.path}: {why}" for leaf, why in problems.items() if isinstance(leaf, o.Given)]
            raise ValueError("\n".join(["there is no way back", *lines]))
        return {leaf.path: Back(found[leaf].op, o.EXACTNESS[found[leaf].grade]) for leaf in leaves}

    def _learn(self, node: o.Operation, known: Known) -> None:
        if known.op.count:
            self.known.setdefault(node, []).append(known)

    def _whole(self, node: o.Operation) -> Known | None:
        made = put_together(node, self.known.get(node, []))
        if made is None:
            return None
        self.beaten |= made.beaten
        self.broken |= made.broken
        return made.known

    def _reason(self, leaf: o.Operation) -> str:
        if reasons := self.reasons.get(leaf):
            return "; ".join(dict.fromkeys(reasons))
        box = missing(leaf.shape, self.known.get(leaf, []))
        if box is None:
            return "it is in no target"
        return f"({', '.join(f'{start}:{stop}' for start, stop in box)}) of {leaf.shape} is in no target"

    def _one_way(self, node: o.Operation, known: Known, why: str) -> None:
        self.beaten |= known.sums
        for leaf in o.sources(node):
            self.reasons.setdefault(leaf, []).append(why)

    def _descend(self, node: o.Operation, known: Known) -> None:
        """What a box of a node says of its children."""
        match node:
            case o.Fold():
                self._one_way(node, known, "divided by its spectral norm, which has no way back")
            case o.Cast() if o.cast_exactness(node.of.dtype, node.dtype) == "lossy":
                self._one_way(node, known, f"cast from {node.of.dtype} to {node.dtype}, which cuts")
            case o.Sum():
                self._summed(node, known)
            case o.Scale() if not math.isfinite(1 / node.factor):
                self._one_way(node, known, f"times {node.factor}, which has no way back")
            case _:
                try:
                    for child, below in _below(node, known):
                        self._learn(child, below)
                except Scattered:
                    self._one_way(node, known, "what the targets have of it lies too scattered")

    def _summed(self, node: o.Sum, known: Known) -> None:
        at = next((at for at in range(len(node.of)) if _holds(node.of, at)), None)
        if at is None:
            self._one_way(node, known, "summed with what is no source, or no longer whole")
            return
        if node not in self.sums:
            self.sums.append(node)
        sums = known.sums | {self.sums.index(node)}
        grade = max(known.grade, _FUNCTION)
        zero = o.Fill(known.op.shape, node.dtype, 0)
        for place, member in enumerate(node.of):
            self._learn(member, Known(known.box, known.op if place == at else zero, grade, sums, known.place))


def _holds(members: tuple[o.Operation, ...], at: int) -> bool:
    """Whether one member can hold the whole sum while the sources of the others are 0, and then give it again."""
    bijective = (o.Permute, o.Reshape, o.Part, o.Index, o.Flip, o.Interleave, o.Deinterleave, o.Join, o.Stack, o.Given)
    if any(not isinstance(one, bijective) or _kept(one) for one in o.walked(members[at])):
        return False
    others = (one for place, member in enumerate(members) if place != at for one in o.walked(member))
    return not any(
        isinstance(one, (o.Arange, o.Add, o.Fold))
        or _kept(one)
        or (isinstance(one, (o.Fill, o.Pad)) and one.value != 0)
        for one in others
    )


def _kept(op: o.Operation) -> bool:
    return isinstance(op, o.Given) and op.kept


def _below(node: o.Operation, known: Known) -> Iterator[tuple[o.Operation, Known]]:
    """(child, what a box of the node says of it)."""
    box, op = known.box, known.op
    match node:
        case o.Permute():
            back = tuple(node.perm.index(axis) for axis in range(len(node.perm)))
            yield node.of, replace(known, box=tuple(box[axis] for axis in back), op=o.permute(op, back))
        case o.Reshape():
            for below in through_reshape(node.of.shape, node.shape, known):
                yield node.of, below
        case o.Part():
            yield node.of, replace(known, box=shifted(box, node.axis, node.start))
        case o.Index():
            place = (node.at, node.at + 1)
            shape = (*op.shape[: node.axis], 1, *op.shape[node.axis :])
            yield node.of, replace(known, box=(*box[: node.axis], place, *box[node.axis :]), op=o.reshape(op, shape))
        case o.Flip():
            ends = [(n - stop, n - start) for (start, stop), n in zip(box, node.shape, strict=True)]
            flipped = tuple(ends[axis] if axis in node.axes else one for axis, one in enumerate(box))
            yield node.of, replace(known, box=flipped, op=o.flip(op, node.axes))
        case o.Join():
            at = 0
            for member in node.of:
                yield from _taken(known, node.axis, at, member)
                at += member.shape[node.axis]
        case o.Stack():
            start, stop = box[node.axis]
            for at in range(start, stop):
                inner = box[: node.axis] + box[node.axis + 1 :]
                yield node.of[at], replace(known, box=inner, op=o.index(op, node.axis, at - start))
        case o.Interleave() | o.Deinterleave():
            yield from _unwoven(node, known)
        case o.Pad():
            yield from _taken(known, node.axis, node.before, node.of)
        case o.Repeat():
            yield from _once(node, known)
        case o.Scale():
            yield node.of, replace(known, op=o.scale(op, 1 / node.factor), grade=max(known.grade, _ROUNDED))
        case o.Add():
            yield node.of, replace(known, op=o.add(op, -node.addend), grade=max(known.grade, _ROUNDED))
        case o.Cast():
            grade = o.EXACTNESS.index(o.cast_exactness(node.of.dtype, node.dtype))
            yield node.of, replace(known, op=o.cast(op, node.of.dtype), grade=max(known.grade, grade))


def _unwoven(node: o.Interleave | o.Deinterleave, known: Known) -> Iterator[tuple[o.Operation, Known]]:
    axis, parts = node.axis, node.parts
    if known.box[axis] == (0, node.shape[axis]):
        undo = o.deinterleave if isinstance(node, o.Interleave) else o.interleave
        yield node.of, replace(known, op=undo(known.op, axis, parts))
        return
    block = node.shape[axis] // parts
    rows = (block, parts) if isinstance(node, o.Interleave) else (parts, block)
    around = (node.shape[:axis], node.shape[axis + 1 :])
    perm = list(range(len(node.shape) + 1))
    perm[axis : axis + 2] = axis + 1, axis
    for split in through_reshape((*around[0], *rows, *around[1]), node.shape, known):
        moved = replace(split, box=tuple(split.box[place] for place in perm), op=o.permute(split.op, perm))
        for below in through_reshape(node.of.shape, (*around[0], *rows[::-1], *around[1]), moved):
            yield node.of, below


def _once(node: o.Repeat, known: Known) -> Iterator[tuple[o.Operation, Known]]:
    """The copies that are known of each element; the first where all are."""
    axis, size = node.axis, node.of.shape[node.axis]
    if not node.each:
        start, stop = known.box[axis]
        first, last = start // size, -(-stop // size)
        if start % size == 0 and stop - start >= size:
            last = first + 1
        for copy in range(first, last):
            yield from _taken(known, axis, copy * size, node.of)
        return
    wide = (*node.shape[:axis], size, node.times, *node.shape[axis + 1 :])
    for split in through_reshape(wide, node.shape, known):
        box = split.box[: axis + 1] + split.box[axis + 2 :]
        yield node.of, replace(split, box=box, op=o.index(split.op, axis + 1, 0))


def _taken(known: Known, axis: int, at: int, child: o.Operation) -> Iterator[tuple[o.Operation, Known]]:
    """What is known of a child that lies from `at` on along an axis."""
    start, stop = known.box[axis]
    low, high = max(start, at), min(stop, at + child.shape[axis])
    if low < high:
        box = (*known.box[:axis], (low - at, high - at), *known.box[axis + 1 :])
        yield child, replace(known, box=box, op=o.part(known.op, axis, low - start, high - start))


def _parents_first(targets: Iterable[o.Operation]) -> list[o.Operation]:
    """Every node once, before what it is made of."""
    seen: dict[o.Operation, None] = {}

    def visit(node: o.Operation) -> None:
        if node not in seen:
            for child in node.children:
                visit(child)
            seen[node] = None

    for op in targets:
        visit(op)
    return list(reversed(seen))
