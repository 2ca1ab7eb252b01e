"""Operations that a user asks for on source tensors, before their layout is changed, such as `scale(0.125)`."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any

from . import operations as ops
from .operations import Operation
from .survey import Leaf, Survey

_CALL = re.compile(r"\s*(\w+)\(([^()]*(?:\([^()]*\)[^()]*)*)\)\s*(?:\||$)")


def _within(weave: Callable[..., Operation], of: Operation, axis: int, parts: int, width: int) -> Operation:
    """Weave an axis, or each run of `width` of it by itself, such as the rows of one head."""
    if not width:
        return weave(of, axis, parts)
    shape = of.shape
    if not 0 <= axis < len(shape) or width < 1 or shape[axis] % width:
        raise ValueError(f"axis {axis} of {shape} has no whole number of runs of {width}")
    runs = ops.reshape(of, (*shape[:axis], shape[axis] // width, width, *shape[axis + 1 :]))
    return ops.reshape(weave(runs, axis + 1, parts), shape)


# Name -> what makes it of a tensor and the numbers in parentheses.
OPERATIONS: dict[str, Callable[..., Operation]] = {
    "permute": lambda of, *perm: ops.permute(of, perm),
    "reshape": lambda of, *shape: ops.reshape(of, shape),
    "part": ops.part,
    "truncate": lambda of, axis, stop: ops.part(of, axis, 0, stop),
    "flip": lambda of, *axes: ops.flip(of, axes),
    "scale": ops.scale,
    "add": ops.add,
    "interleave": lambda of, axis, parts, width=0: _within(ops.interleave, of, axis, parts, width),
    "deinterleave": lambda of, axis, parts, width=0: _within(ops.deinterleave, of, axis, parts, width),
    "pad": lambda of, axis, before, after, value=0: ops.pad(of, axis, before, after, value),
    "repeat": lambda of, axis, times: ops.repeat(of, axis, times, each=True),
    "tile": lambda of, axis, times: ops.repeat(of, axis, times, each=False),
    "cast": ops.cast,
}


def parsed(text: str) -> list[tuple[str, list[Any]]]:
    """Operations and their arguments from text such as `deinterleave(0, 2) | scale(0.125)`.

    Raises:
        ValueError: For what is no such text.
    """
    result = []
    at = 0
    while at < len(text):
        call = _CALL.match(text, at)
        if call is None or call[1] not in OPERATIONS:
            known = ", ".join(OPERATIONS)
            raise ValueError(f"{text!r}: {text[at:].strip()!r} is no operation, expected NAME(NUMBERS) with {known}")
        result.append((call[1], [_argument(text, item) for item in filter(None, map(str.strip, call[2].split(",")))]))
        at = call.end()
    if not result:
        raise ValueError("no operation given")
    return result


def _argument(text: str, item: str) -> int | float | str:
    for number in (int, float):
        try:
            return number(item)
        except ValueError:
            continue
    if re.fullmatch(r"[a-z]\w*", item):
        return item  # a dtype
    raise ValueError(f"{text!r}: {item!r} is no number")


class Applied:
    """(glob, operations) pairs, carried out on the leaves of a survey.

    Args:
        rules: The user's own.
        family: Those of a family's rules, which need not match anything.
        guess: What else the family's rules depend on, where that is not known.
    """

    def __init__(
        self, rules: Sequence[tuple[str, str]], family: Sequence[tuple[str, str]] = (), guess: str = ""
    ) -> None:
        self.own = {glob for glob, _ in rules}
        self.rules = [(glob, text, parsed(text)) for glob, text in (*rules, *family)]
        self.guess = guess

    def to(self, survey: Survey, shown: Callable[[str], str], problem: Callable[[str, str, str], None]) -> None:
        """Change how matching leaves are made; a rule without one, or that does not fit, is a problem."""
        if not self.rules:
            return
        used: set[str] = set()
        changed: dict[int, Leaf] = {}
        for leaf in survey.leaves:
            made = leaf.made
            for glob, text, calls in self.rules:
                if fnmatchcase(shown(leaf.path), glob):
                    used.add(glob)
                    try:
                        for name, arguments in calls:
                            made = OPERATIONS[name](made, *arguments)
                    except (ValueError, TypeError, KeyError) as error:
                        problem(
                            "shape", leaf.path, f"--apply '{glob}={text}' on {shown(leaf.path)} {leaf.shape}: {error}"
                        )
            changed[id(leaf)] = replace(leaf, made=made)
        survey.leaves = [changed[id(leaf)] for leaf in survey.leaves]
        survey.loose = [changed[id(leaf)] for leaf in survey.loose]
        for module in survey.modules.values():
            module.leaves = {at: changed[id(leaf)] for at, leaf in module.leaves.items()}
        for glob, text, _ in self.rules:
            if glob not in used and glob in self.own:
                problem("unused", glob, f"--apply '{glob}={text}' matches no tensor")
