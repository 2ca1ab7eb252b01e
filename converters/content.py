"""What moves between files: entries with their bytes. Sources give it, sinks take it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from ptformat.bands import byte_pieces
from ptformat.dtypes import Array, named
from ptformat.index import Header
from ptformat.tree import Alias, Entry, TensorInfo

Pieces = Iterator[Any]  # of buffers


class Source(Protocol):
    """A tree of tensors to read from: one file, several, or what is in memory.

    Attributes:
        name: What it is called in messages.
        entries: Every entry in order; aliases stand after their targets.
        header: Convention, metadata, provenance, as far as the source says.
    """

    name: str
    entries: Sequence[Entry]
    header: Header

    def array(self, path: str) -> Array:
        """The tensor at a dotted path, without holding its elements in anonymous memory where it is large."""

    def pieces(self, path: str) -> Pieces:
        """The stored bytes of a tensor, front to back, in bounded pieces."""

    def close(self) -> None:
        """Let go of files."""


@dataclass(frozen=True, slots=True)
class Content:
    """What a sink writes: entries in order, and where each tensor's bytes come from."""

    entries: Sequence[Entry]
    header: Header
    pieces: Callable[[TensorInfo], Pieces]

    @property
    def nbytes(self) -> int:
        """Decoded bytes of all tensors."""
        return sum(entry.nbytes for entry in self.entries if isinstance(entry, TensorInfo))


@dataclass(slots=True)
class MemorySource:
    """A tree in memory as a source: entries paired with their arrays."""

    items: Iterable[tuple[Entry, Array | None]]
    header: Header = field(default_factory=Header)
    name: str = "tree"
    entries: Sequence[Entry] = field(init=False)
    _arrays: dict[str, Array] = field(init=False)

    def __post_init__(self) -> None:
        items = list(self.items)
        self.entries = [entry for entry, _ in items]
        self._arrays = {entry.path: array for entry, array in items if array is not None}

    def array(self, path: str) -> Array:
        """The array itself."""
        return self._arrays[path]

    def pieces(self, path: str) -> Pieces:
        """Its bytes in logical order."""
        array = self._arrays[path]
        entry = next(entry for entry in self.entries if entry.path == path)
        assert isinstance(entry, TensorInfo)
        return byte_pieces(array, named(entry.dtype))

    def close(self) -> None:
        """Nothing to let go of."""


def whole(source: Source) -> Content:
    """All of a source, as it is."""
    return Content(source.entries, source.header, lambda info: source.pieces(info.path))


def repeated(content: Content) -> Iterator[tuple[TensorInfo, TensorInfo]]:
    """(tensor as a file without ties holds it, tensor that has its bytes): an alias becomes a tensor of its own.

    An alias with a permutation is not spelled out here: a sink without ties refuses it.
    """
    tensors = {entry.path: entry for entry in content.entries if isinstance(entry, TensorInfo)}
    for entry in content.entries:
        if isinstance(entry, TensorInfo):
            yield entry, entry
        elif isinstance(entry, Alias):
            target = tensors[entry.target]
            order = entry.perm or tuple(range(len(target.shape)))
            yield TensorInfo(entry.path, target.dtype, tuple(target.shape[i] for i in order)), target
