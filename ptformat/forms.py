"""What the forms of nodes ask of their places and of what is beneath them (spec sections 3.5 and 4.2)."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence

import numpy as np

from . import paths, profile
from .columns import Index
from .errors import FormatError, shown
from .nesting import END, Nesting
from .tree import FORMS

_MAP, _LIST, _TUPLE, _NAMEDTUPLE, _FLAT, _KEYS, _PART = range(len(FORMS))
_SAYING = ("module", "class", "attrs")
_NUMBER_DIGITS = 7  # of a position in a list: there are no more entries


def check(index: Index, nesting: Nesting) -> None:
    """Check each node, then the children of those that list them, then maps, then flat maps; find `index.within`.

    Raises:
        FormatError: TREE or NONCANONICAL; the first rule broken, in the order of spec section 10.
    """
    escaped = "\\" in "".join(index.paths)
    if not escaped and not index.columns["form"].size:
        return
    forms = _Forms(index, nesting)
    index.within = forms.within
    forms.check_nodes()
    forms.check_children()
    if escaped:  # without a backslash both follow from the rest
        forms.check_maps()
        forms.check_flat()


class _Forms:
    """The nodes among the rows.

    Attributes:
        forms: Of each row, the code of its form, or -1.
        within: Of each row, the nearest node above it that is no part, or -1.
    """

    def __init__(self, index: Index, nesting: Nesting) -> None:
        self.index = index
        self.nesting = nesting
        self.codes = index.forms
        self.forms = array("q", self.codes.tobytes())
        self.within = nesting.within(((self.codes >= 0) & (self.codes != _PART)).tolist())

    def _tree(self, row: int, what: str) -> FormatError:
        return FormatError("TREE", f"{self.index.told(row)} {what}", path=self.index.paths[row])

    def _noncanonical(self, row: int, what: str) -> FormatError:
        return FormatError("NONCANONICAL", f"{self.index.told(row)}: {what}", path=self.index.paths[row])

    def check_nodes(self) -> None:
        """A part lies in a flat map, and it says something; so does a map that would be one without a node."""
        first = np.frombuffer(self.nesting.first, np.int64)
        maps = (self.codes == _MAP) & (first < first.size)
        for row in np.flatnonzero((self.codes == _PART) | maps).tolist():
            said = any(row in self.index.sparse.get(name, ()) for name in _SAYING)
            if self.forms[row] == _PART:
                if (within := self._around(row)) != _FLAT:
                    form = "none" if within < 0 else FORMS[within]
                    raise self._tree(row, f"is a part, but the container around it is {form}, not flat")
                if not said:
                    raise self._noncanonical(row, "a part that says nothing")
            elif not said and self._around(row) != _FLAT:
                raise self._noncanonical(row, "a map node that says nothing")

    def _around(self, row: int) -> int:
        """The form of the container around a row, all nodes above it being sound; -1 at the root.

        An inner path without a node is a plain map, unless it lies in a flat map: there it is a mere prefix.
        """
        outer = self.nesting.above[row]
        if outer < 0:
            return _MAP if self.nesting.keys[row] else -1
        form = self.forms[self.within[row]]
        direct = self.nesting.tail(row, outer).count(END) == 1
        return form if form == _FLAT or direct else _MAP

    def check_children(self) -> None:
        """The children of a list are 0, 1, 2, …; those of a map of keys are as many as these."""
        lists = np.isin(self.codes, (_LIST, _TUPLE))
        listing = lists | (self.codes == _KEYS)
        if not listing.any():
            return
        outer, numbers, appeared = map(np.array, self._children(listing.tolist()))
        order = np.lexsort((appeared, outer))
        groups = outer[order]
        wrong = lists[groups] & (numbers[order] != np.arange(groups.size) - np.searchsorted(groups, groups))
        stop = int(groups[wrong].min()) if wrong.any() else len(self.forms)
        counts = np.bincount(outer, minlength=len(self.forms))
        for row in np.flatnonzero(self.codes[:stop] == _KEYS).tolist():
            self._check_keys(row, int(counts[row]))
        if stop < len(self.forms):
            what = f"is a {FORMS[self.forms[stop]]} with children {shown(self._segments(stop))}"
            raise self._tree(stop, f"{what}, expected 0, 1, 2, … in order")

    def _children(self, listing: Sequence[bool]) -> tuple[array[int], array[int], array[int]]:
        """The children of these rows: row, the child's number (-1 for another segment), where it first appears."""
        rows, numbers, appeared = array("q"), array("q"), array("q")
        keys, above, first = self.nesting.keys, self.nesting.above, self.nesting.first
        places = array("q", [-1]) * len(keys)  # of the last child of a row, among all children
        lasts = array("q")  # a row at or beneath each child
        for row in self.nesting.order:
            outer = above[row]
            if outer < 0 or not listing[outer]:
                continue
            key, place, at = keys[row], places[outer], min(row, first[row])
            start = len(keys[outer])
            stop = key.index(END, start) + 1
            if place >= 0 and keys[lasts[place]].startswith(
                key[:stop]
            ):  # sorted, what is beneath a child stands together
                appeared[place] = min(appeared[place], at)
                continue
            places[outer] = len(rows)
            lasts.append(row)
            rows.append(outer)
            numbers.append(_number(key[start : stop - 1]))
            appeared.append(at)
        return rows, numbers, appeared

    def _segments(self, outer: int) -> list[str]:
        """The segments of the children, in order."""
        found: dict[str, int] = {}
        for row in np.flatnonzero(np.frombuffer(self.nesting.above, np.int64) == outer).tolist():
            segment = paths.plain(self.nesting.tail(row, outer).partition(END)[0])
            found[segment] = min(found.get(segment, row), row, self.nesting.first[row])
        return sorted(found, key=found.__getitem__)

    def _check_keys(self, row: int, children: int) -> None:
        keys = self.index.sparse["keys"][row]
        if len(keys) != children:
            raise self._tree(row, f"lists {len(keys)} keys for {children} children")
        if len(set(map(profile.again, keys))) != len(keys):
            raise self._tree(row, "lists a key twice")
        if all(type(key) is str for key in keys):
            raise self._noncanonical(row, "keys that are all strings")

    def check_maps(self) -> None:
        """No key of a map holds a dot; where one does, the map is flat."""
        for row, key in enumerate(self.nesting.keys):
            if "\3" not in key:
                continue
            outer = self.nesting.above[row]
            tail = self.nesting.tail(row, outer)  # what is above it has been looked at
            form = self.forms[self.within[row]] if self.within[row] >= 0 else _MAP
            free = tail.index(END) if form != _MAP else 0  # a label or field directly beneath a node may hold dots
            if form != _FLAT and (dot := tail.find("\3", free)) >= 0:
                depth = key.count(END, 0, len(key) - len(tail) + dot)
                above = paths.render(paths.segments(self.index.paths[row])[:depth])
                raise self._noncanonical(row, f"a key that holds a dot, but {above!r} is no flat map")

    def check_flat(self) -> None:
        """In each flat map: no two values have one key, and each key and each part is split as it must be.

        Without a backslash in its paths this follows from the rest: a key that should not have been split would have
        another key at an inner path, or an empty segment.
        """
        within = np.frombuffer(self.within, np.int64)
        rows = np.flatnonzero((within >= 0) & (self.codes[within] == _FLAT))
        rows = rows[np.argsort(within[rows], kind="stable")]
        starts = np.flatnonzero(np.diff(within[rows], prepend=-1))
        for held in np.split(rows, starts[1:]) if rows.size else ():
            flat = int(within[held[0]])
            tails = {row: self.nesting.tail(row, flat)[:-1] for row in held.tolist()}
            if any(sign in tail for tail in tails.values() for sign in "\2\3\\"):
                self._check_flat_keys(flat, tails)

    def _check_flat_keys(self, flat: int, tails: dict[int, str]) -> None:
        keys = {row: _joined(tail) for row, tail in tails.items()}
        taken: dict[str, int] = {}
        for row, key in keys.items():
            if self.forms[row] == _PART:
                continue
            if key in taken:
                names = self.index.paths[flat], self.index.paths[taken[key]]
                raise self._tree(row, f"is flat key {key!r} of {names[0]!r}, as is {names[1]!r}")
            taken[key] = row
        wrong = [row for row, ends in _ends(keys, taken) if not _is_split(tails[row], ends)]
        if wrong:
            row = min(wrong, key=lambda row: (self.forms[row] == _PART, row))
            split = paths.split_key(keys[row], taken)
            expected = paths.render((*paths.segments(self.index.paths[flat]), *split))
            raise self._noncanonical(row, f"flat key {keys[row]!r} is written {expected!r}")


def _number(segment: str) -> int:
    """The position that a segment is, or -1."""
    if not (segment.isascii() and segment.isdecimal() and len(segment) <= _NUMBER_DIGITS):
        return -1
    return int(segment) if segment[0] != "0" or segment == "0" else -1


def _joined(tail: str) -> str:
    """The flat key of segments, hidden and with `END` between each two."""
    if "\\" in tail:
        return paths.join_flat(map(paths.plain, tail.split(END)))
    return tail.replace(END, ".").replace("\3", ".").replace("\2", "\\")


def _ends(keys: dict[int, str], taken: dict[str, int]) -> Iterable[tuple[int, set[int]]]:
    """Each row, and the lengths of its key's beginnings that are keys and end before a dot."""
    # Sorted by what its dots divide, a key that another one continues stands before all such.
    divided = {row: key.replace(".", "\0") + "\0" for row, key in keys.items()}
    open_: list[str] = []  # keys, each a beginning of the next one
    ends: set[int] = set()
    for row in sorted(divided, key=divided.__getitem__):
        key = divided[row]
        while open_ and not key.startswith(open_[-1]):
            ends.discard(len(open_.pop()) - 1)
        own = len(key) - 1
        yield row, ends - {own} if own in ends else ends
        if own not in ends and taken.get(keys[row]) is not None:
            open_.append(key)
            ends.add(own)


def _is_split(tail: str, ends: set[int]) -> bool:
    """Whether a key is split as it must be, where such beginnings of it are keys; `tail` is its segments, hidden.

    A dot is a boundary unless it begins a segment, ends the key, or stands behind a beginning that is a key.
    """
    if "\\" in tail:  # an empty segment is right alone
        return tail == "\\e"
    dots = tail.count("\3")
    if not dots and not ends:
        return True
    free = f"{END}{tail}".count(f"{END}\3")
    last = len(tail) - 1
    if tail.endswith("\3") and last and tail[last - 1] != END:
        free += 1
    for at in ends:
        if tail[at] == END:
            return False
        free += 0 < at < last and tail[at - 1] != END
    return dots == free
