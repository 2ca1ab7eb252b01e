"""A tree in memory as a source, whose tensors may have a shape and an element type only."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from ptformat import paths, profile, structure
from ptformat.columns import Header, columns_of
from ptformat.dtypes import Array
from ptformat.errors import FormatError
from ptformat.limits import DEFAULT_CHUNK_BYTES, MAX_ENTRIES
from ptformat.tree import Alias, Entry, TensorInfo

from .content import MemorySource, Pieces, check_shape


class DescribedSource(MemorySource):
    """Entries as the file that holds them would give them, paired with the arrays that there are.

    Args:
        items: Entries in the order of the file; an array where a tensor has elements, of its type and shape.
        header: Convention, metadata.
        name: What it is called in messages.
        kind: What kind of source it is.

    Raises:
        FormatError: For entries that make no tree; as `settled`.
    """

    def __init__(
        self,
        items: Iterable[tuple[Entry, Array | None]],
        header: Header | None = None,
        name: str = "tree",
        kind: str = "memory",
    ) -> None:
        held = list(items)
        entries = settled([entry for entry, _ in held])
        super().__init__(zip(entries, [array for _, array in held], strict=True), header, name)
        self.kind = kind
        self._targets = {entry.path: entry.target for entry in entries if isinstance(entry, Alias)}

    def has_elements(self, path: str) -> bool:
        """Whether the tensor at a path, an alias' target too, has more than a shape."""
        return self._targets.get(path, path) in self._arrays

    def array(self, path: str) -> Array:
        """The tensor at a path.

        Raises:
            FormatError: TYPE, when it has a shape only.
        """
        self._check(path)
        return super().array(path)

    def pieces(self, path: str) -> Pieces:
        """Its bytes in logical order.

        Raises:
            FormatError: As `array`.
        """
        self._check(path)
        return super().pieces(path)

    def _check(self, path: str) -> None:
        if path not in self._arrays:
            what = f"source {self.name!r} has shapes only: {path!r} has no elements; a plan needs none, running it does"
            raise FormatError("TYPE", what, path=path)


def settled(entries: Sequence[Entry]) -> list[Entry]:
    """The entries as a file that holds them gives them back: checked, and what says nothing left out.

    Raises:
        FormatError: PATH, DUPLICATE, DTYPE, SHAPE, ALIAS, SCHEMA, TREE, …: what writing them would raise.
    """
    if len(entries) > MAX_ENTRIES:
        raise FormatError("LIMIT", f"{len(entries)} entries, at most {MAX_ENTRIES} are allowed")
    rows: dict[str, int] = {}
    found: list[Entry] = []
    for entry in entries:
        paths.check(entry.path)
        if entry.path in rows:
            raise FormatError("DUPLICATE", f"path {entry.path!r} stands twice", path=entry.path)
        if isinstance(entry, TensorInfo):
            check_shape(entry)
        elif isinstance(entry, Alias):
            entry = _tied(entry, found[rows[entry.target]] if entry.target in rows else None)
        rows[entry.path] = len(found)
        found.append(entry)
    index = columns_of(Header(), DEFAULT_CHUNK_BYTES, found, rows, [])
    for name in ("attrs", "keys"):  # the profile has no tuples, and refuses what a file cannot hold
        for row, said in index.sparse.get(name, {}).items():
            index.sparse[name][row] = profile.decode(profile.encode(said, f"{name} of {index.paths[row]!r}"))
    structure.check(index)
    return list(index.entries())


def _tied(alias: Alias, target: Entry | None) -> Alias:
    if not isinstance(target, TensorInfo):
        what = f"alias {alias.path!r}: its target {alias.target!r} is no tensor that stands before it"
        raise FormatError("ALIAS", what, path=alias.path)
    straight = tuple(range(len(target.shape)))
    if alias.perm is not None and tuple(sorted(alias.perm)) != straight:
        what = f"perm {alias.perm} is no permutation of the {len(straight)} axes of {alias.target!r}"
        raise FormatError("ALIAS", f"alias {alias.path!r}: {what}", path=alias.path)
    return replace(alias, perm=None) if alias.perm == straight else alias
