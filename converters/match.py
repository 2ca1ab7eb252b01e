"""The targets' names: by style, by the user's rules, by a template."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field

from ptformat.paths import Segments

STYLES = ("nested", "linen-list")
_NUMBERED = re.compile(r"(.+?)((?:_\d+)+)")
_LAYER = re.compile(r"layers_(\d+)")


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


def to_flax(path: Segments, style: str, sequences: Collection[Segments]) -> Segments:
    """A module path of torch as linen would have it.

    Args:
        path: Segments, numbers as digits.
        style: `nested` keeps segments; `linen-list` joins a number to the name before it (`layer.0` -> `layer_0`).
        sequences: Paths of the modules whose numbered children are `layers_N` in linen: every Sequential, and the
            root if all its children are numbers.
    """
    result: list[str] = []
    for depth, segment in enumerate(path):
        if segment.isdigit() and path[:depth] in sequences:
            result.append(f"layers_{segment}")
        elif segment.isdigit() and result and style == "linen-list":
            result[-1] += f"_{segment}"
        else:
            result.append(segment)
    return tuple(result)


def to_torch(path: Segments, style: str, numbered_root: bool) -> Segments:
    """A module path of linen as torch would have it: the inverse of `to_flax`.

    Args:
        path: Segments.
        style: `nested` keeps segments; `linen-list` splits numbers off (`a_0_0` -> `a.0.0`).
        numbered_root: Whether the root's children are all `layers_N`, which stand for N.
    """
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


def match(sources: Iterable[Segments], targets: Iterable[Segments]) -> Matching:
    """Pair paths by name: equal as they stand, then with numbers split off, then without `layers` before a number."""
    left, right = list(sources), list(targets)
    pairs: dict[Segments, Segments] = {}
    ambiguous: list[tuple[list[Segments], list[Segments]]] = []
    for canonical in CANONICAL:
        forms: dict[Segments, tuple[list[Segments], list[Segments]]] = {}
        for path in left:
            forms.setdefault(canonical(path), ([], []))[0].append(path)
        for path in right:
            forms.setdefault(canonical(path), ([], []))[1].append(path)
        for mine, theirs in forms.values():
            if len(mine) == 1 and len(theirs) == 1:
                pairs[mine[0]] = theirs[0]
            elif mine and theirs:
                ambiguous.append((mine, theirs))
        taken = set(pairs) | {path for mine, _ in ambiguous for path in mine}
        given = set(pairs.values()) | {path for _, theirs in ambiguous for path in theirs}
        left = [path for path in left if path not in taken]
        right = [path for path in right if path not in given]
    return Matching(pairs, ambiguous)
