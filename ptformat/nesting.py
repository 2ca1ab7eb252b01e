"""What lies beneath what: the rows of an index, sorted by the segments of their paths (spec section 3.5).

So sorted, what is beneath a path follows it at once, and what is asked of an entry is asked of its neighbours, or of
the nearest entry above it. No inner path is built that is not an entry's: all prefixes together may be a hundred times
as long as the index.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence

from .errors import FormatError
from .limits import MAX_INNER_PATHS
from .paths import hidden

END = "\1"  # behind each segment of a key; the lowest character in it
_AT_ONCE = 1024  # paths


class Nesting:
    """The rows by their places in the tree.

    Attributes:
        keys: Of each row, its path with its escapes hidden and `END` behind each segment; the root's is empty.
        order: The rows, sorted by their keys.
        above: Of each row, the nearest entry above it, or -1.
        first: Of each row, the first row beneath it, or the number of rows.
        nested: Whether an entry lies beneath another.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.keys = _keys(names)
        self.order = sorted(range(len(names)), key=self.keys.__getitem__)
        self.above = array("q", [-1]) * len(names)
        self.first = array("q", [len(names)]) * len(names)
        ordered = list(map(self.keys.__getitem__, self.order))
        rooted = ordered[:1] == [""]
        beneath = ordered[1:] if rooted else ordered
        self._deep = any(map(str.startswith, beneath[1:], beneath))  # another entry than the root has some beneath it
        self.nested = self._deep or (rooted and len(ordered) > 1)

    def check_inner(self) -> None:
        """Check how many inner paths there are, the root included.

        Raises:
            FormatError: LIMIT, when there are more than `MAX_INNER_PATHS`.
        """
        # Each path names one less than it has segments.
        if "".join(self.keys).count(END) - len(self.keys) + 2 <= MAX_INNER_PATHS:
            return
        depths = [key.count(END) for key in self.keys]
        inner, before, last = 1, "", 0
        for row in self.order:
            key, depth = self.keys[row], depths[row]
            parent = key[: key.rfind(END, 0, -1) + 1]
            if len(before) <= len(parent) or not before.startswith(parent):
                # The inner paths of the one before have been counted, and it shares as many as any before it.
                inner += max(0, depth - 1 - min(_common(before, key), max(0, last - 1)))
            before, last = key, depth
        if inner > MAX_INNER_PATHS:
            raise FormatError("LIMIT", f"the paths name more than {MAX_INNER_PATHS} inner paths")

    def link(self) -> None:
        """Find `above` and `first`."""
        if not self.nested:
            return
        if not self._deep:
            root = self.order[0]
            self.above = self._all_but_root(root)
            self.first[root] = 0 if root else 1
            return
        keys, above = self.keys, self.above
        open_: list[int] = []  # rows, each beneath the one before
        for row in self.order:
            key = keys[row]
            while open_ and not key.startswith(keys[open_[-1]]):
                self._close(open_)
            if open_:
                above[row] = open_[-1]
            open_.append(row)
        while open_:
            self._close(open_)

    def _close(self, open_: list[int]) -> None:
        """Take the last row off: it and what is beneath it are beneath the row before."""
        row = open_.pop()
        if open_:
            outer = open_[-1]
            self.first[outer] = min(self.first[outer], self.first[row], row)

    def within(self, containers: Sequence[bool]) -> array[int]:
        """Of each row, the nearest of the rows above it that are `containers`, or -1."""
        if self.nested and not self._deep and containers[self.order[0]]:
            return self._all_but_root(self.order[0])
        found = array("q", [-1]) * len(self.keys)
        for row in self.order if self._deep else ():
            outer = self.above[row]
            if outer >= 0:
                found[row] = outer if containers[outer] else found[outer]
        return found

    def _all_but_root(self, root: int) -> array[int]:
        """Of each row the root's, but -1 of the root itself."""
        found = array("q", [root]) * len(self.keys)
        found[root] = -1
        return found

    def tail(self, row: int, outer: int) -> str:
        """The key of a row beneath an entry that is above it, or beneath the root for -1."""
        return self.keys[row][len(self.keys[outer]) :] if outer >= 0 else self.keys[row]


def _keys(names: Sequence[str]) -> list[str]:
    keys: list[str] = []
    for start in range(0, len(names), _AT_ONCE):
        joined = "\n".join(names[start : start + _AT_ONCE])
        if "\\" in joined:
            joined = hidden(joined)
        keys += (joined.replace(".", END).replace("\n", f"{END}\n") + END).split("\n")
    if END in keys:
        keys[keys.index(END)] = ""
    return keys


def _common(a: str, b: str) -> int:
    """How many segments two keys have in common at their beginning."""
    low, high = 0, min(len(a), len(b))
    while low < high:
        middle = (low + high + 1) // 2
        if b.startswith(a[:middle]):
            low = middle
        else:
            high = middle - 1
    return a.count(END, 0, low)
