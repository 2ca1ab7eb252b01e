"""The targets' names: by style, by the user's rules, by a template."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from ptformat.paths import Segments

from .conventions import Convention
from .survey import Module, fits

STYLES = ("nested", "linen-list", "linen-compact")
_NUMBERED = re.compile(r"(.+?)((?:_\d+)+)")
_LAYER = re.compile(r"layers_(\d+)")
_CELL = re.compile(r"l(\d+)(_reverse)?")
_DIRECTIONS = {"forward_rnn": "forward", "backward_rnn": "backward"}


class RenameError(ValueError):
    """A path that several rules match, or one rule at several places."""


@dataclass(frozen=True, slots=True)
class Renames:
    r"""The user's rules: (regex, replacement), anchored at whole segments; at most one may match a path.

    Args:
        rules: Pairs; the replacement may use `\1`, and `.` or `/` between segments; empty, it removes them.
        separator: What stands between the segments that the regex sees.
    """

    rules: Sequence[tuple[str, str]]
    separator: str
    used: set[str] = field(default_factory=set)  # the regexes that matched something

    def __call__(self, path: Segments) -> Segments:
        """The path after the rule that matches it.

        Raises:
            RenameError: When more than one match is found.
        """
        text = self.separator.join(path)
        mark = re.escape(self.separator)
        found = [
            (regex, new, match)
            for regex, new in self.rules
            for match in re.finditer(rf"(?:(?<=^)|(?<={mark}))(?:{regex})(?={mark}|$)", text)
            if match[0]
        ]
        if len(found) > 1:
            self.used.update(regex for regex, _, _ in found)
            rules = " and ".join(f"{regex!r} (at {match[0]!r})" for regex, _, match in found)
            raise RenameError(f"{text}: several renames match: {rules}")
        if not found:
            return path
        regex, new, match = found[0]
        self.used.add(regex)
        middle = re.split(r"[./]", match.expand(new))
        before, after = text[: match.start()].split(self.separator), text[match.end() :].split(self.separator)
        return tuple(segment for segment in [*before, *middle, *after] if segment)


def to_hub(path: Segments, origin: str, style: str, numbered_root: bool) -> Segments:
    """A module path as torch would have it: names of lists and Sequentials with numbers as segments of their own.

    Args:
        path: Segments, numbers as digits.
        origin: The convention whose path it is, as users name it.
        style: `nested` keeps segments; `linen-list` splits numbers off linen's (`a_0_0` -> `a.0.0`).
        numbered_root: Whether the root is a Sequential: its children are all `layers_N`, in nnx `layers/N`.
    """
    if origin == "torch":
        return path
    if origin == "nnx":
        return path[1:] if numbered_root else path
    result: list[str] = []
    for depth, segment in enumerate(path):
        layer = _LAYER.fullmatch(segment)
        numbers = _NUMBERED.fullmatch(segment)
        if depth == 0 and numbered_root and layer:
            result.append(layer[1])
        elif style == "linen-list" and numbers:
            result += [numbers[1], *numbers[2][1:].split("_")]
        else:
            result.append(segment)
    return tuple(result)


def from_hub(path: Segments, goal: str, style: str, sequences: Collection[Segments]) -> Segments:
    """A path as `to_hub` gives it, as the goal's framework would have it.

    Args:
        path: Segments, numbers as digits.
        goal: The convention, as users name it.
        style: `nested` keeps segments; `linen-list` joins a number to the name before it (`layer.0` -> `layer_0`).
        sequences: Paths of the modules whose numbered children are `layers_N` in linen and `layers/N` in nnx: every
            Sequential, and the root if all its children are numbers.
    """
    if goal == "torch":
        return path
    result: list[str] = []
    for depth, segment in enumerate(path):
        if segment.isdigit() and path[:depth] in sequences:
            result += ["layers", segment] if goal == "nnx" else [f"layers_{segment}"]
        elif segment.isdigit() and result and style == "linen-list" and goal == "linen":
            result[-1] += f"_{segment}"
        else:
            result.append(segment)
    return tuple(result)


def numbered_root(paths: Iterable[Segments], origin: str) -> bool:
    """Whether all paths begin as the children of a Sequential at the root do, and there is one."""
    found = list(paths)
    if origin == "nnx":
        return bool(found) and all(path[:1] == ("layers",) and path[1:2] and path[1].isdigit() for path in found)
    return numbered(found, r"\d+" if origin == "torch" else r"layers_\d+")


def cell_to_flax(path: Segments, cells: Collection[Segments], goal: str) -> Segments:
    """A cell of a recurrent layer of torch (`rnn.l0_reverse`) where flax's RNN and Bidirectional hold it.

    Args:
        path: The layer's path as the goal has it, and the cell.
        cells: Those of all cells.
        goal: The convention, as users name it.
    """
    layer, backward = _cell(path[-1])
    own = {_cell(other[-1]) for other in cells if other[:-1] == path[:-1]}
    result = path[:-1]
    if len({number for number, _ in own}) > 1:
        result += ("layers", str(layer)) if goal == "nnx" else (f"layers_{layer}",)
    if any(reverse for _, reverse in own):
        result += ("backward_rnn" if backward else "forward_rnn",)
    return (*result, "cell")


def cell_to_torch(path: Segments) -> Segments:
    """The inverse of `cell_to_flax`; a path that holds no `cell` is a cell by itself, and stays."""
    if path[-1:] != ("cell",):
        return path
    *rest, _ = path
    backward = bool(rest) and rest[-1] == "backward_rnn"
    if rest and rest[-1] in ("forward_rnn", "backward_rnn"):
        rest.pop()
    layer = "0"
    if rest and (found := _LAYER.fullmatch(rest[-1])):
        layer = found[1]
        rest.pop()
    elif len(rest) > 1 and rest[-1].isdigit() and rest[-2] == "layers":
        layer = rest.pop()
        rest.pop()
    return (*rest, f"l{layer}{'_reverse' if backward else ''}")


def is_cell(path: Segments) -> bool:
    """Whether a path ends in a cell of a recurrent layer of torch."""
    return bool(path) and _CELL.fullmatch(path[-1]) is not None


def _cell(name: str) -> tuple[int, bool]:
    found = _CELL.fullmatch(name)
    assert found is not None
    return int(found[1]), bool(found[2])


def numbered(paths: Iterable[Segments], pattern: str) -> bool:
    """Whether the first segment of every path fits the pattern, and there is one."""
    firsts = {path[0] if path else "" for path in paths}
    return bool(firsts) and all(re.fullmatch(pattern, first) for first in firsts)


def _exact(path: Segments) -> Segments:
    return path


def _split(path: Segments) -> Segments:
    """Numbers behind an underscore as segments of their own."""
    result: list[str] = []
    for segment in path:
        found = _NUMBERED.fullmatch(segment)
        result += [found[1], *found[2][1:].split("_")] if found else [segment]
    return tuple(result)


def _bare(path: Segments) -> Segments:
    """The same without `layers` before a number: what a Sequential's child is called in linen."""
    parts = _split(path)
    return tuple(
        part for i, part in enumerate(parts) if not (part == "layers" and i + 1 < len(parts) and parts[i + 1].isdigit())
    )


def cell_form(path: Segments) -> Segments:
    """One form for the cells of recurrent layers: the layer's path without `rnn`, the layer's number, the direction."""
    if is_cell(path):
        layer, backward = _cell(path[-1])
        rest = [part for part in _bare(path[:-1]) if part != "rnn"]
        return (*rest, str(layer), "backward" if backward else "forward")
    parts = [part for part in _bare(path) if part not in ("cell", "rnn")]
    found = {_DIRECTIONS[part] for part in parts if part in _DIRECTIONS}
    parts = [part for part in parts if part not in _DIRECTIONS]
    layer_ = parts.pop() if parts and parts[-1].isdigit() else "0"
    return (*parts, layer_, *(found or {"forward"}))


# From strict to lenient; a pair found by a stricter form is not looked at again.
CANONICAL: tuple[Callable[[Segments], Segments], ...] = (_exact, _split, _bare)


@dataclass(frozen=True, slots=True)
class Matching:
    """Which path of the source is which of the template.

    Attributes:
        pairs: Source -> template.
        ambiguous: (source paths, template paths) that have one canonical form and are not one to one.
    """

    pairs: dict[Segments, Segments]
    ambiguous: list[tuple[list[Segments], list[Segments]]]


def match(
    sources: Iterable[Segments],
    targets: Iterable[Segments],
    forms: Sequence[Callable[[Segments], Segments]] = CANONICAL,
) -> Matching:
    """Pair paths by name: equal as they stand, then with numbers split off, then without `layers` before a number."""
    left, right = list(sources), list(targets)
    pairs: dict[Segments, Segments] = {}
    ambiguous: list[tuple[list[Segments], list[Segments]]] = []
    for canonical in forms:
        groups: dict[Segments, tuple[list[Segments], list[Segments]]] = {}
        for path in left:
            groups.setdefault(canonical(path), ([], []))[0].append(path)
        for path in right:
            groups.setdefault(canonical(path), ([], []))[1].append(path)
        for mine, theirs in groups.values():
            if len(mine) == 1 and len(theirs) == 1:
                pairs[mine[0]] = theirs[0]
            elif mine and theirs:
                ambiguous.append((mine, theirs))
        taken = set(pairs) | {path for mine, _ in ambiguous for path in mine}
        given = set(pairs.values()) | {path for _, theirs in ambiguous for path in theirs}
        left = [path for path in left if path not in taken]
        right = [path for path in right if path not in given]
    return Matching(pairs, ambiguous)


def natural(path: Segments) -> tuple[tuple[int, str, int], ...]:
    """A key that sorts `Dense_2` before `Dense_10`."""
    parts = (part for segment in path for part in re.split(r"(\d+)", segment))
    return tuple((1, "", int(part)) if part.isdigit() else (0, part, 0) for part in parts)


def in_order(
    left: Sequence[Module], right: Sequence[Module], table: Convention, goal: Convention
) -> Iterator[tuple[Module, Module]]:
    """Pairs of modules that may be of one kind, each with the first of the others that is left.

    Args:
        left: Of the source, in its order.
        right: Of the template, in the order of their numbers.
        table: The source's convention.
        goal: The template's.
    """
    free = [(module, {fit.kind.name for fit in fits(module, goal)}) for module in right]
    for module in left:
        kinds = {fit.kind.name for fit in fits(module, table)}
        for place in free:
            if kinds & place[1]:
                free.remove(place)
                yield module, place[0]
                break
