"""What moves between files: entries with their bytes. Sources give it, sinks take it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ptformat import paths
from ptformat.bands import byte_pieces
from ptformat.columns import Header
from ptformat.dtypes import Array, named
from ptformat.errors import FormatError
from ptformat.limits import MAX_ENTRIES, MAX_RANK, MAX_TENSOR_BYTES
from ptformat.tree import Alias, Entry, TensorInfo

Pieces = Iterator[Any]  # of buffers
MAX_SHARD_BYTES = 5 * 10**9  # as in transformers' save_pretrained
MAX_PATHS_BYTES = 64 * 2**20  # of all paths of a file: a key of a thousand bytes may stand in every one of them


class Source(Protocol):
    """A tree of tensors to read from: one file, several, or what is in memory.

    Attributes:
        name: What it is called in messages.
        kind: What kind of file it is, such as `safetensors`.
        header: Convention, metadata, provenance, as far as the source says.
        notes: What a user should know of how it is read, such as a wrapper that was taken off.
    """

    name: str
    kind: str
    header: Header
    notes: Sequence[str]

    @property
    def entries(self) -> Sequence[Entry]:
        """Every entry in order; aliases stand after their targets."""

    def array(self, path: str) -> Array:
        """The tensor at a dotted path, without holding its elements in anonymous memory where it is large."""

    def pieces(self, path: str) -> Pieces:
        """The stored bytes of a tensor, front to back, in bounded pieces."""

    def close(self) -> None:
        """Let go of files."""


class Entries:
    """The entries of a file of another kind as they are found: no path breaks a rule, and they are bounded.

    Args:
        most: How many there may be.

    Attributes:
        found: In order.
    """

    def __init__(self, most: int = MAX_ENTRIES) -> None:
        self.found: list[Entry] = []
        self._most = min(most, MAX_ENTRIES)
        self._left = MAX_PATHS_BYTES

    def add(self, entry: Entry) -> None:
        """Take one more.

        Raises:
            FormatError: PATH for its path, LIMIT where there are too many.
        """
        paths.check(entry.path)
        self._left -= len(entry.path)
        if len(self.found) == self._most:
            raise FormatError("LIMIT", f"more than {self._most} entries")
        if self._left < 0:
            raise FormatError("LIMIT", f"paths of more than {MAX_PATHS_BYTES} bytes all together")
        self.found.append(entry)


@dataclass(frozen=True, slots=True, kw_only=True)
class Saving:
    """How a sink writes; each kind of file heeds what concerns it.

    Attributes:
        codec: `raw` or `zstd`, of a .ptf.
        durable: Whether files and names are on disk on return.
        origin: The path that the content comes from, or None.
        max_shard_bytes: Bytes of tensors in one file of a directory of shards; a larger tensor has one of its own.
    """

    codec: str = "raw"
    durable: bool = True
    origin: str | None = None
    max_shard_bytes: int = MAX_SHARD_BYTES


@dataclass(frozen=True, slots=True)
class Content:
    """What a sink writes: entries in order, and where the bytes of each tensor, and of each alias by itself, are."""

    entries: Sequence[Entry]
    header: Header
    pieces: Callable[[TensorInfo | Alias], Pieces]

    @property
    def nbytes(self) -> int:
        """Decoded bytes of all tensors."""
        return sum(entry.nbytes for entry in self.entries if isinstance(entry, TensorInfo))


class MemorySource:
    """A tree in memory as a source: entries paired with their arrays."""

    kind = "memory"
    notes: Sequence[str] = ()

    def __init__(
        self, items: Iterable[tuple[Entry, Array | None]], header: Header | None = None, name: str = "tree"
    ) -> None:
        held = list(items)
        self.name = name
        self.header = header or Header()
        self.entries = [entry for entry, _ in held]
        self._arrays = {entry.path: (entry, array) for entry, array in held if array is not None}

    def array(self, path: str) -> Array:
        """The array itself."""
        return self._arrays[path][1]

    def pieces(self, path: str) -> Pieces:
        """Its bytes in logical order."""
        entry, array = self._arrays[path]
        assert isinstance(entry, TensorInfo)
        return byte_pieces(array, named(entry.dtype))

    def close(self) -> None:
        """Nothing to let go of."""


def whole(source: Source) -> Content:
    """All of a source, as it is."""
    dtypes = {entry.path: entry.dtype for entry in source.entries if isinstance(entry, TensorInfo)}

    def pieces(entry: TensorInfo | Alias) -> Pieces:
        if isinstance(entry, TensorInfo):
            return source.pieces(entry.path)
        return moved(source, entry.target, dtypes[entry.target], entry.perm)

    return Content(source.entries, source.header, pieces)


def moved(source: Source, path: str, dtype: str, perm: tuple[int, ...] | None) -> Pieces:
    """The bytes of a source's tensor with its axes permuted: the i-th axis is the source's `perm[i]`-th."""
    if perm is None or perm == tuple(sorted(perm)):
        return source.pieces(path)
    return byte_pieces(source.array(path).transpose(perm), named(dtype))


def straight(alias: Alias) -> bool:
    """Whether an alias has its target's axes in their order."""
    return alias.perm is None or alias.perm == tuple(sorted(alias.perm))


def untied(
    entries: Sequence[Entry], where: Callable[[Alias], bool] = lambda alias: True
) -> Iterator[tuple[TensorInfo, TensorInfo | Alias]]:
    """What a file without ties holds: (tensor, the entry whose bytes it has); an alias becomes a tensor.

    Args:
        entries: Of a tree.
        where: The aliases that become tensors; the others are left out.
    """
    tensors = {entry.path: entry for entry in entries if isinstance(entry, TensorInfo)}
    for entry in entries:
        if isinstance(entry, TensorInfo):
            yield entry, entry
        elif isinstance(entry, Alias) and where(entry):
            target = tensors[entry.target]
            order = entry.perm or tuple(range(len(target.shape)))
            yield TensorInfo(entry.path, target.dtype, tuple(target.shape[i] for i in order)), entry


def check_shape(info: TensorInfo) -> None:
    """Refuse (SHAPE) a shape beyond the format's limits, which NumPy may not be able to hold either."""
    if len(info.shape) > MAX_RANK:
        raise FormatError("SHAPE", f"tensor {info.path!r}: rank {len(info.shape)}, at most {MAX_RANK}", path=info.path)
    if math.prod(size for size in info.shape if size) * named(info.dtype).bits > 8 * MAX_TENSOR_BYTES:
        raise FormatError("SHAPE", f"tensor {info.path!r}: {info.shape} exceeds the largest tensor", path=info.path)


def check_text(text: str, where: str) -> None:
    """Refuse (TYPE) a text with a lone surrogate, which pickles and JSON can spell and no UTF-8 can."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise FormatError("TYPE", f"{where}: string {text!r} holds a lone surrogate") from None
