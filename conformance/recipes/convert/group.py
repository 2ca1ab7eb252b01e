"""The files of one net, and the conversions between them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import permutations
from typing import Any

from ..case import MEMORY_MIB, Case, accept
from ..draft import Draft
from .layout import SIDES, At, Item, arrays, drafted, placed_leaves, valued
from .operations import Array, Made, evaluate
from .spelling import exactness, placed
from .values import Numbers

Tensors = Mapping[str, Array[bytes]]
_SECONDS = 10.0  # a converter may be loaded when it is first asked


@dataclass(frozen=True, kw_only=True)
class Move:
    """One conversion.

    Attributes:
        source: Name of the file.
        to: The framework that it goes to.
        target: Name of the file that it must become; None where it must be refused.
        steps: Target path -> what it is made of.
        dropped: Paths of the source that are not carried over.
        section: Of the conventions.
        comment: What it is about.
    """

    source: str
    to: str
    target: str | None
    steps: Mapping[str, Made] = field(default_factory=dict)
    dropped: Sequence[str] = ()
    section: str
    comment: str

    @property
    def slug(self) -> str:
        """`torch-to-linen`."""
        return f"{self.source}-to-{self.to}"

    def plan(self, sides: Mapping[str, str]) -> bytes:
        """The plan as JSON, a step on a line."""
        steps = [
            json.dumps({"target": path, "made": made, "exactness": exactness(made)})
            for path, made in self.steps.items()
        ]
        head = f'"from": "{sides[self.source]}", "to": "{self.to}"'
        dropped = f',\n "dropped": {json.dumps([*self.dropped])}' if self.dropped else ""
        lines = ",\n  ".join(steps)
        return f'{{{head},\n "steps": [\n  {lines}\n ]{dropped}}}\n'.encode()

    def exactness(self) -> str | None:
        """The worst of its steps: `bit` or `function`; None where it is refused."""
        if self.target is None:
            return None
        return "function" if any(exactness(made) == "function" for made in self.steps.values()) else "bit"


@dataclass(frozen=True, kw_only=True)
class Group:
    """The files of one net.

    Attributes:
        slug: Of the net.
        files: Name -> the file.
        sides: Name -> the framework that it is of.
        moves: The conversions.
        comment: What the net is.
    """

    slug: str
    files: Mapping[str, Draft]
    sides: Mapping[str, str]
    moves: Sequence[Move]
    comment: str

    def cases(self) -> Iterator[Case]:
        """Each file as one that every reader accepts."""
        for name, draft in self.files.items():
            yield accept(name, draft, "7", f"{self.comment}, as {self.sides[name]} has it")

    def rows(self) -> Iterator[dict[str, Any]]:
        """The conversions' rows of the manifest."""
        at = f"convert/{self.slug}"
        for move in self.moves:
            refused = move.target is None
            yield {
                "id": f"{at}/{move.slug}",
                "source": f"{at}/{move.source}.ptf",
                "to": move.to,
                "target": None if refused else f"{at}/{move.target}.ptf",
                "plan": None if refused else f"{at}/{move.slug}.json",
                "exactness": move.exactness(),
                "section": move.section,
                "seconds": _SECONDS,
                "memory_mib": MEMORY_MIB,
                "comment": move.comment,
            }

    def plans(self) -> dict[str, bytes]:
        """Path -> bytes of the plans."""
        moves = (move for move in self.moves if move.target is not None)
        return {f"convert/{self.slug}/{move.slug}.json": move.plan(self.sides) for move in moves}


def group(
    slug: str,
    items: Sequence[Item] | Mapping[str, Sequence[Item]],
    section: str,
    comment: str,
    *,
    back: Mapping[str, Sequence[Item]] | None = None,
    without: Sequence[str] = (),
    refused: Mapping[str, str] | None = None,
) -> Group:
    """The files of a net and all conversions between them.

    What a conversion makes is compared with the file that is there. Where it is another, as the way back of what was
    added up, the file must be among those of `back`.

    Args:
        slug: Of the net.
        items: The net; of each framework where they differ in more than the layers' names.
        section: Of the conventions, for the conversions.
        comment: What the net is.
        back: Name such as `torch-back` or `torch-from-linen` -> the net of a file that a conversion makes.
        without: Conversions such as `linen-to-nnx` that are left out.
        refused: Conversions that must be refused, and why.
    """
    nets = dict(items) if isinstance(items, Mapping) else {side: items for side in SIDES if _has(items, side)}
    held: dict[str, Tensors] = {"torch": valued(nets["torch"])} if "torch" in nets else {}
    for side in nets:
        if side not in held:
            held[side] = _made(_steps(nets["torch"], nets[side], "torch", side), held["torch"])
    files = {side: drafted(side, net, held[side]) for side, net in nets.items()}
    held = {side: arrays(files[side]) for side in files}
    sides = {side: side for side in files}
    moves = []
    for source, to in permutations(SIDES, 2):
        name = f"{source}-to-{to}"
        if source not in nets or name in without:
            continue
        facts: Any = {"source": source, "to": to, "section": section}
        if refused and name in refused:
            moves.append(Move(**facts, target=None, comment=refused[name]))
            continue
        if to not in nets:
            continue
        target, net = to, nets[to]
        for own in (f"{to}-from-{source}", f"{to}-back"):
            if back and own in back:
                target, net = own, back[own]
                break
        steps = _steps(nets[source], net, source, to)
        found = _made(steps, held[source])
        if target not in files:
            files[target], sides[target] = drafted(to, net, found), to
        if found != {path: array for path, array in arrays(files[target]).items() if path in steps}:
            raise ValueError(f"convert/{slug}/{name}: what is made is not {target}")
        used = {path for made in steps.values() for path in _paths(made)}
        dropped = [entry.path for entry in files[source].of_type("tensor") if entry.path not in used]
        moves.append(Move(**facts, target=target, steps=steps, dropped=dropped, comment=comment))
    return Group(slug=slug, files=files, sides=sides, moves=moves, comment=comment)


def _has(items: Sequence[Item], side: str) -> bool:
    return all(side in item.layer.sides for item in items if isinstance(item, At))


def _steps(source: Sequence[Item], target: Sequence[Item], a: str, b: str) -> dict[str, Made]:
    """Target path -> what it is made of, for every tensor of the target's net, in the source's paths.

    A layer of the target is made of the source's layer that is the same object, or stands at the same number.
    """
    theirs = [item for item in source if isinstance(item, At)]
    paths: dict[int, dict[str, str]] = {}
    for path, leaf, item in placed_leaves(a, source):
        paths.setdefault(id(item), {})[leaf.name] = path
    made = {}
    ours = [item for item in target if isinstance(item, At)]
    for path, leaf, item in placed_leaves(b, target):
        of = theirs[next(n for n, one in enumerate(ours) if one is item)]
        made[path] = placed(item.layer.moves[a, b][leaf.name], paths[id(of)])
    return made


def _made(steps: Mapping[str, Made], held: Tensors) -> dict[str, Array[bytes]]:
    return {path: evaluate(made, held, Numbers()) for path, made in steps.items()}


def _paths(made: Made) -> Iterator[str]:
    if isinstance(made, str):
        yield made
    else:
        of = made.get("of", [])
        for one in of if isinstance(of, list) else [of]:
            yield from _paths(one)
