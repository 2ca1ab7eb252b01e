"""The columns of an index in memory: what a file says, one array or list per fact (spec section 3.2)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from operator import attrgetter
from typing import Any

import numpy as np
import numpy.typing as npt

from . import collector, dtypes
from .codecs import RAW
from .container import offsets
from .dtypes import TABLE
from .errors import FormatError
from .limits import MAX_INTEGER, MAX_TENSOR_BYTES
from .tree import FORMS, Alias, Entry, Node, TensorInfo, Value

TENSOR, ALIAS, VALUE, NODE = range(4)
TYPES = ("tensor", "alias", "value", "node")

# Column -> little-endian NumPy type, for the columns packed in one `bin`.
PACKED = {
    "type": "<u1",
    "dtype": "<u1",
    "rank": "<u1",
    "dims": "<u8",
    "codec": "<u1",
    "stored": "<u4",
    "sum": "<u8",
    "alias": "<u4",
    "form": "<u1",
}
# Sparse column -> the types of entry that may have it.
SPARSE = {
    "attrs": (TENSOR, NODE),
    "axes": (TENSOR, ALIAS),
    "class": (TENSOR, NODE),
    "keys": (NODE,),
    "module": (NODE,),
    "perm": (ALIAS,),
    "role": (TENSOR, ALIAS),
    "trainable": (TENSOR, ALIAS),
}

Column = npt.NDArray[Any]
_BITS = np.array([row.bits for row in TABLE], np.int64)


@dataclass(slots=True, kw_only=True)
class Header:
    """What the index says of the whole file. `provenance` is what a conversion recorded so as to be undone."""

    convention: str | None = None
    dialect: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)


class Index:
    """The columns of one file, checked.

    Attributes:
        header: What is said of the whole file.
        chunk: Decoded bytes per chunk.
        paths: One per entry.
        columns: The packed columns by name, as read-only arrays.
        values: One per entry of type value.
        sparse: Column -> row -> value.
        within: Of each row, the nearest node above it that is no part, or -1; None where that was not looked for.
    """

    within: Sequence[int] | None = None

    def __init__(
        self,
        header: Header,
        chunk: int,
        paths: list[str],
        columns: dict[str, Column],
        values: list[Any],
        sparse: dict[str, dict[int, Any]],
    ) -> None:
        self.header = header
        self.chunk = chunk
        self.paths = paths
        self.columns = columns
        self.values = values
        self.sparse = sparse

    @cached_property
    def ordinals(self) -> Column:
        """Of each row, its place among the rows of its type."""
        types = self.columns["type"]
        result = np.zeros(types.size, np.int64)
        for kind in set(types.tobytes()):
            rows = (types == kind).nonzero()[0]
            result[rows] = np.arange(rows.size)
        return result

    @cached_property
    def tensor_rows(self) -> Column:
        """The rows that are tensors."""
        return np.flatnonzero(self.columns["type"] == TENSOR)

    @property
    def forms(self) -> Column:
        """Of each row, the code of its form, or -1 for what is no node."""
        forms = np.full(len(self.paths), -1, np.int64)
        forms[self.columns["type"] == NODE] = self.columns["form"]
        return forms

    @cached_property
    def rows(self) -> dict[str, int]:
        """Path -> row."""
        return dict(zip(self.paths, range(len(self.paths)), strict=True))

    @cached_property
    def dim_starts(self) -> Column:
        """Where each tensor's dimensions start in `dims`, and where the last one's end."""
        return _starts(self.columns["rank"])

    @cached_property
    def nbytes(self) -> Column:
        """Decoded bytes of each tensor; SHAPE for a product beyond the limit, zero dimensions left aside."""
        bits = _BITS[self.columns["dtype"]]
        dims = np.ones(self.columns["dims"].size + 1)  # one more: a tensor without dimensions may stand last
        dims[:-1] = self.columns["dims"]
        filled = dims.all()
        # float64 decides what is surely within bounds; what is near or above them is multiplied exactly.
        with np.errstate(over="ignore"):
            sizes = self._products(dims if filled else np.maximum(dims, 1)) * bits
        if (near := sizes > MAX_INTEGER).any():
            for k in near.nonzero()[0].tolist():  # NumPy and torch refuse [2**62, 2**62, 0]
                self._check_size(k, int(bits[k]))
        if not filled:
            sizes[self._products(dims > 0) == 0] = 0
        result: Column = (sizes.astype(np.int64) + 7) >> 3  # an integer up to 2**53, times a power of 2: exact
        return result

    def _products(self, dims: Column) -> Column:
        products = np.multiply.reduceat(dims, self.dim_starts[:-1])
        if not self.columns["rank"].all():
            products[self.columns["rank"] == 0] = 1
        return products

    def _check_size(self, k: int, bits: int) -> None:
        shape = self.shape(k)
        count = math.prod(n or 1 for n in shape)
        if count * bits > 8 * MAX_TENSOR_BYTES or count > MAX_INTEGER:
            raise FormatError("SHAPE", f"{self.named(k)}: {shape} of {bits} bits each exceeds the largest tensor")

    def named(self, k: int) -> str:
        """The k-th tensor as a message names it."""
        return f"tensor {self.paths[int(self.tensor_rows[k])]!r}"

    def told(self, row: int) -> str:
        """An entry as a message names it."""
        return f"{TYPES[int(self.columns['type'][row])]} {self.paths[row]!r} (entry {row})"

    @cached_property
    def chunk_starts(self) -> Column:
        """Where each tensor's chunks start in the chunk columns, and where the last one's end."""
        return _starts(-(-self.nbytes // self.chunk))

    @cached_property
    def chunk_sizes(self) -> Column:
        """Decoded bytes of each chunk."""
        starts = self.chunk_starts
        sizes = np.full(int(starts[-1]), self.chunk, np.int64)
        filled = self.nbytes.nonzero()[0]
        sizes[starts[filled + 1] - 1] = self.nbytes[filled] - (starts[filled + 1] - starts[filled] - 1) * self.chunk
        return sizes

    @cached_property
    def held(self) -> Column:
        """Stored bytes of each tensor."""
        if self.raw:
            return self.nbytes
        starts, ends = self.chunk_starts, self._stored_ends
        return ends[starts[1:]] - ends[starts[:-1]]

    @cached_property
    def layout(self) -> tuple[list[int], int]:
        """Start of each tensor in the file, and where the last one ends, in bytes."""
        if self.raw:
            return offsets(self.nbytes, self.held, False)
        coded = np.append(self.columns["codec"] != RAW, False)[self.chunk_starts[:-1]] & (self.nbytes > 0)
        return offsets(self.nbytes, self.held, coded)

    @cached_property
    def chunk_offsets(self) -> Column:
        """Start of each chunk in the file."""
        counts = np.diff(self.chunk_starts)
        before = self._stored_ends[:-1]
        starts = np.array(self.layout[0], np.int64)
        return np.repeat(starts - self._stored_ends[self.chunk_starts[:-1]], counts) + before

    @cached_property
    def _stored_ends(self) -> Column:
        return _starts(self.columns["stored"])

    @cached_property
    def raw(self) -> bool:
        """Whether all chunks are stored raw."""
        return bool((self.columns["codec"] == RAW).all())

    @cached_property
    def coded(self) -> Column:
        """Whether a chunk of each tensor is stored by another codec than raw."""
        if self.raw:
            return np.zeros(self.nbytes.size, bool)
        before = _starts(self.columns["codec"] != RAW)
        coded: Column = before[self.chunk_starts[1:]] > before[self.chunk_starts[:-1]]
        return coded

    @cached_property
    def shapes(self) -> list[tuple[int, ...]]:
        """Shape of every tensor."""
        dims, starts = self.columns["dims"].tolist(), self.dim_starts.tolist()
        return [tuple(dims[start:end]) for start, end in pairwise(starts)]

    def shape(self, k: int) -> tuple[int, ...]:
        """Shape of the k-th tensor."""
        start, end = self.dim_starts[k : k + 2]
        return tuple(self.columns["dims"][start:end].tolist())

    def entry(self, row: int) -> Entry:
        """The entry of a row."""
        return self._entry(row, int(self.columns["type"][row]), int(self.ordinals[row]))

    def _entry(self, row: int, kind: int, k: int) -> Entry:
        path = self.paths[row]
        said = {name: held[row] for name, held in self.sparse.items() if row in held}
        if "class" in said:
            said["class_"] = said.pop("class")
        if "axes" in said:
            said["axes"] = tuple(said["axes"])
        if kind == TENSOR:
            return TensorInfo(path, TABLE[self.columns["dtype"][k]].name, self.shape(k), **said)
        if kind == VALUE:
            return Value(path, self.values[k])
        if kind == NODE:
            if "keys" in said:
                said["keys"] = tuple(map(_as_key, said["keys"]))
            return Node(path, FORMS[self.columns["form"][k]], **said)
        perm = tuple(said.pop("perm")) if "perm" in said else None
        target = int(self.columns["alias"][k])
        return Alias(path, self.paths[target], perm, **{**self.inherited(target, perm), **said})

    def of_type(self, kind: int) -> dict[str, Any]:
        """The entries of one type by path."""
        with collector.paused():
            return {entry.path: entry for entry in self._entries(np.flatnonzero(self.columns["type"] == kind))}

    def node(self, row: int) -> Node:
        """What is said of the inner node of a row."""
        said = self.entry(row)
        assert isinstance(said, Node)
        return said

    @property
    def nodes(self) -> dict[str, Node]:
        """What is said of inner nodes, by path."""
        return self.of_type(NODE)

    def inherited(self, target: int, perm: tuple[int, ...] | None) -> dict[str, Any]:
        """What an alias of row `target` takes over where it says nothing itself."""
        said = {name: self.sparse[name][target] for name in INHERITED if target in self.sparse.get(name, ())}
        if "axes" in said:
            axes = said["axes"]
            said["axes"] = tuple(axes[i] for i in perm) if perm else tuple(axes)
        return said

    def entries(self) -> tuple[Entry, ...]:
        """Every entry, in order."""
        with collector.paused():
            return tuple(self._entries(np.arange(len(self.paths))))

    def _entries(self, rows: Column) -> Iterator[Entry]:
        """The entries of these rows, some thousands at once: to index an array by one number takes long."""
        for start in range(0, rows.size, _AT_ONCE):
            some = rows[start : start + _AT_ONCE]
            yield from map(
                self._entry, some.tolist(), self.columns["type"][some].tolist(), self.ordinals[some].tolist()
            )


def _starts(counts: Column) -> Column:
    """Where each of the parts begins that have these sizes, and where the last one ends."""
    starts = np.zeros(counts.size + 1, np.int64)
    np.cumsum(counts, out=starts[1:])
    return starts


_AT_ONCE = 4096  # rows
INHERITED = ("axes", "role", "trainable")
_SAID = attrgetter("axes", "role", "trainable", "class_", "attrs")  # of a tensor
_NOTHING = (None,) * 5


def _as_key(key: Any) -> Any:
    return tuple(map(_as_key, key)) if isinstance(key, list) else key


def columns_of(
    header: Header,
    chunk: int,
    entries: list[Entry],
    rows: Mapping[str, int],
    chunks: list[tuple[int, int, int]],
) -> Index:
    """The columns of these entries."""
    kinds = {TensorInfo: TENSOR, Alias: ALIAS, Value: VALUE, Node: NODE}
    tensors = [entry for entry in entries if isinstance(entry, TensorInfo)]
    raw: dict[str, list[int]] = {
        "type": [kinds[type(entry)] for entry in entries],
        "dtype": [dtypes.named(entry.dtype).code for entry in tensors],
        "rank": [len(entry.shape) for entry in tensors],
        "dims": [n for entry in tensors for n in entry.shape],
        "codec": [codec for codec, _, _ in chunks],
        "stored": [stored for _, stored, _ in chunks],
        "sum": [total for _, _, total in chunks],
        "alias": [rows[entry.target] for entry in entries if isinstance(entry, Alias)],
        "form": [FORMS.index(entry.form) for entry in entries if isinstance(entry, Node)],
    }
    columns = {name: np.array(raw[name], kind) for name, kind in PACKED.items()}
    sparse: dict[str, dict[int, Any]] = {}
    for row, entry in enumerate(entries):
        if type(entry) is TensorInfo and _SAID(entry) == _NOTHING:
            continue
        for name, value in _said(entry, entries, rows):
            sparse.setdefault(name, {})[row] = value
    values = [entry.value for entry in entries if isinstance(entry, Value)]
    return Index(header, chunk, [entry.path for entry in entries], columns, values, sparse)


def _said(entry: Entry, entries: list[Entry], rows: Mapping[str, int]) -> Iterator[tuple[str, Any]]:
    """What goes into the sparse columns: all but None, and for an alias all but what it takes over."""
    if isinstance(entry, Value):
        return
    inherited: dict[str, Any] = {}
    if isinstance(entry, Alias):
        target = entries[rows[entry.target]]
        assert isinstance(target, TensorInfo)  # `Writer._tied` refuses all else
        axes = target.axes
        if axes and entry.perm:
            axes = tuple(axes[i] for i in entry.perm)
        inherited = {"axes": axes, "role": target.role, "trainable": target.trainable}
    for name in ("axes", "role", "trainable", "class_", "attrs", "module", "keys", "perm"):
        value = getattr(entry, name, None)
        if value is None or value == inherited.get(name) or (name in ("attrs", "keys") and not value):
            continue
        if name == "axes" and not value:
            continue
        yield name.rstrip("_"), _plain(value)


def _plain(value: Any) -> Any:
    return [_plain(item) for item in value] if isinstance(value, (tuple, list)) else value
