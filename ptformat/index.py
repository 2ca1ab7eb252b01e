"""Index bytes <-> columns, and every check on them, in one pass (spec sections 3 and 10)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from . import paths, profile, structure
from .codecs import NAMES as CODEC_NAMES
from .codecs import RAW
from .container import offsets
from .dtypes import TABLE
from .errors import FormatError
from .limits import (
    CHUNK_STEP,
    MAX_CHUNK_BYTES,
    MAX_ENTRIES,
    MAX_INTEGER,
    MAX_METADATA_BYTES,
    MAX_RANK,
    MAX_TENSOR_BYTES,
    MAX_TOTAL_BYTES,
    MAX_ZSTD_RATIO,
)
from .tree import FORMS, Alias, Entry, Node, TensorInfo, Value

TENSOR, ALIAS, VALUE, NODE = range(4)
TYPES = ("tensor", "alias", "value", "node")
FEATURES: frozenset[str] = frozenset()  # the names in `requires` that this reader knows

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
REQUIRED = {"requires": list, "chunk": int, "path": str, "value": list, **dict.fromkeys(PACKED, bytes)}
OPTIONAL = {
    "convention": str,
    "dialect": str,
    "metadata": dict,
    "provenance": dict,
    **dict.fromkeys(SPARSE, list),
}
# What the content digest leaves out: how the same content happens to be stored.
LAYOUT_KEYS = ("requires", "chunk", "codec", "stored", "sum")

Column = npt.NDArray[Any]


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
    """

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
        for kind in range(len(TYPES)):
            chosen = types == kind
            result[chosen] = np.arange(np.count_nonzero(chosen))
        return result

    @cached_property
    def tensor_rows(self) -> Column:
        """The rows that are tensors."""
        return np.flatnonzero(self.columns["type"] == TENSOR)

    @cached_property
    def rows(self) -> dict[str, int]:
        """Path -> row."""
        return {path: row for row, path in enumerate(self.paths)}

    @cached_property
    def dim_starts(self) -> Column:
        """Where each tensor's dimensions start in `dims`, and where the last one's end."""
        return np.concatenate(([0], np.cumsum(self.columns["rank"], dtype=np.int64)))

    @cached_property
    def nbytes(self) -> Column:
        """Decoded bytes of each tensor; SHAPE for a product beyond the limit, zero dimensions left aside."""
        rank, dims, starts = self.columns["rank"], self.columns["dims"], self.dim_starts
        bits = np.array([row.bits for row in TABLE], np.int64)[self.columns["dtype"]]
        result = np.zeros(rank.size, np.int64)
        for width in np.unique(rank):
            chosen = np.flatnonzero(rank == width)
            shape = dims[starts[chosen][:, None] + np.arange(width)]
            apart = np.where(shape == 0, 1, shape)  # NumPy and torch refuse [2**62, 2**62, 0]
            # float64 decides what is surely within bounds; what is near or above them is multiplied exactly.
            with np.errstate(over="ignore"):
                near = apart.astype(np.float64).prod(axis=1) * bits[chosen] > MAX_INTEGER
            for k in chosen[near]:
                self._check_size(int(k), int(bits[k]))
            result[chosen] = (shape.astype(np.int64).prod(axis=1) * bits[chosen] + 7) // 8
        return result

    def _check_size(self, k: int, bits: int) -> None:
        shape = self.shape(k)
        count = math.prod(n or 1 for n in shape)
        if count * bits > 8 * MAX_TENSOR_BYTES or count > MAX_INTEGER:
            raise FormatError("SHAPE", f"{self.named(k)}: {shape} of {bits} bits each exceeds the largest tensor")

    def named(self, k: int) -> str:
        """The k-th tensor as a message names it."""
        return f"tensor {self.paths[int(self.tensor_rows[k])]!r}"

    @cached_property
    def chunk_starts(self) -> Column:
        """Where each tensor's chunks start in the chunk columns, and where the last one's end."""
        return np.concatenate(([0], np.cumsum(-(-self.nbytes // self.chunk))))

    @cached_property
    def chunk_sizes(self) -> Column:
        """Decoded bytes of each chunk."""
        starts = self.chunk_starts
        sizes = np.full(int(starts[-1]), self.chunk, np.int64)
        filled = np.flatnonzero(self.nbytes)
        sizes[starts[filled + 1] - 1] = self.nbytes[filled] - (starts[filled + 1] - starts[filled] - 1) * self.chunk
        return sizes

    @cached_property
    def held(self) -> Column:
        """Stored bytes of each tensor."""
        starts, ends = self.chunk_starts, self._stored_ends
        return ends[starts[1:]] - ends[starts[:-1]]

    @cached_property
    def layout(self) -> tuple[list[int], int]:
        """Start of each tensor in the file, and where the last one ends, in bytes."""
        return offsets(self.nbytes.tolist(), self.held.tolist())

    @cached_property
    def chunk_offsets(self) -> Column:
        """Start of each chunk in the file."""
        counts = np.diff(self.chunk_starts)
        before = self._stored_ends[:-1]
        starts = np.array(self.layout[0], np.int64)
        return np.repeat(starts - self._stored_ends[self.chunk_starts[:-1]], counts) + before

    @cached_property
    def _stored_ends(self) -> Column:
        return np.concatenate(([0], np.cumsum(self.columns["stored"], dtype=np.int64)))

    @cached_property
    def coded(self) -> Column:
        """Whether a chunk of each tensor is stored by another codec than raw."""
        before = np.concatenate(([0], np.cumsum(self.columns["codec"] != RAW)))
        coded: Column = before[self.chunk_starts[1:]] > before[self.chunk_starts[:-1]]
        return coded

    @cached_property
    def _shapes(self) -> list[tuple[int, ...]]:
        dims, starts = self.columns["dims"].tolist(), self.dim_starts.tolist()
        return [tuple(dims[start:end]) for start, end in pairwise(starts)]

    def shape(self, k: int) -> tuple[int, ...]:
        """Shape of the k-th tensor."""
        return self._shapes[k]

    def entry(self, row: int) -> Entry:
        """The entry of a row."""
        kind, path, k = int(self.columns["type"][row]), self.paths[row], int(self.ordinals[row])
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

    def inherited(self, target: int, perm: tuple[int, ...] | None) -> dict[str, Any]:
        """What an alias of row `target` takes over where it says nothing itself."""
        said = {name: self.sparse[name][target] for name in _INHERITED if target in self.sparse.get(name, ())}
        if "axes" in said:
            axes = said["axes"]
            said["axes"] = tuple(axes[i] for i in perm) if perm else tuple(axes)
        return said

    def entries(self) -> Iterator[Entry]:
        """Every entry, in order."""
        return map(self.entry, range(len(self.paths)))


_INHERITED = ("axes", "role", "trainable")


def _as_key(key: Any) -> Any:
    return tuple(map(_as_key, key)) if isinstance(key, list) else key


def encode(index: Index) -> bytes:
    """The index in the profile's bytes.

    Raises:
        FormatError: TYPE or LIMIT, for metadata, attributes or values that the profile cannot hold.
    """
    return profile.encode(to_map(index), "index")


def to_map(index: Index) -> dict[str, Any]:
    """The index as the one map that is encoded."""
    header = index.header
    if len(profile.encode(header.metadata, "metadata")) > MAX_METADATA_BYTES:
        raise FormatError("LIMIT", f"metadata takes more than {MAX_METADATA_BYTES} bytes")
    result: dict[str, Any] = {
        "requires": [],
        "chunk": index.chunk,
        "path": "\n".join(index.paths),
        "value": index.values,
        **{name: column.tobytes() for name, column in index.columns.items()},
    }
    for name in ("convention", "dialect", "metadata", "provenance"):
        if said := getattr(header, name):
            result[name] = said
    for name, held in index.sparse.items():
        if held:
            result[name] = _pack_sparse(name, held)
    return result


def _pack_sparse(name: str, held: dict[int, Any]) -> list[Any]:
    picks: list[int] = []
    known: dict[bytes, int] = {}
    table: list[Any] = []
    for row in sorted(held):
        form = profile.encode(held[row], name)
        if form not in known:
            known[form] = len(table)
            table.append(held[row])
        picks.append(known[form])
    return [np.array(sorted(held), "<u4").tobytes(), np.array(picks, "<u4").tobytes(), table]


def decode(data: bytes, end: int | None = None) -> Index:
    """Check index bytes and make them columns.

    Args:
        data: The decoded index.
        end: Where the tensors must end: the index offset. None leaves the extent unchecked.

    Raises:
        FormatError: The first rule broken, in the order of spec section 10.
    """
    content = profile.decode(data)
    _check_schema(content)
    columns = {name: np.frombuffer(content[name], kind) for name, kind in PACKED.items()}
    _check_counts(content, columns)
    names: list[str] = content["path"].split("\n") if columns["type"].size else []
    header = Header(**{n: content[n] for n in ("convention", "dialect", "metadata", "provenance") if n in content})
    index = Index(header, content["chunk"], names, columns, content["value"], {})
    _check_tensors(index)
    if end is not None and index.layout[1] != end:
        raise FormatError("EXTENT", f"the tensors end at byte {index.layout[1]}, the index begins at {end}")
    paths.check_all(content["path"], names)
    if len(index.rows) != len(names):
        twice = next(path for row, path in enumerate(names) if index.rows[path] != row)
        raise FormatError("DUPLICATE", f"path {twice!r} stands twice", path=twice)
    for name in SPARSE:
        if name in content:
            index.sparse[name] = _unpack_sparse(name, content[name], columns["type"])
    structure.check(index)
    return index


def _schema(what: str) -> FormatError:
    return FormatError("SCHEMA", f"index: {what}")


def _check_schema(content: Any) -> None:
    """Presence and types of the keys; `requires` before all others."""
    if type(content) is not dict:
        raise _schema(f"a {type(content).__name__}, expected a map")
    requires = content.get("requires")
    if type(requires) is not list or any(type(name) is not str for name in requires):
        raise _schema("'requires' must be an array of strings")
    if any(a.encode() >= b.encode() for a, b in pairwise(requires)):
        raise _schema(f"'requires' {requires} is not in strictly ascending order")
    if unknown := [name for name in requires if name not in FEATURES]:
        raise FormatError("FEATURE", f"the file requires {', '.join(unknown)}: not known to this reader")
    for name in REQUIRED:
        if name not in content:
            raise _schema(f"key {name!r} is missing")
    for name, kind in {**REQUIRED, **OPTIONAL}.items():
        if name in content and type(content[name]) is not kind:
            raise _schema(f"{name!r} is a {type(content[name]).__name__}, expected {kind.__name__}")
    for name in ("convention", "dialect", "metadata", "provenance"):
        if name in content and not content[name]:
            raise FormatError("NONCANONICAL", f"index: {name!r} is empty; what says nothing is left out")
    if len(profile.encode(content.get("metadata", {}))) > MAX_METADATA_BYTES:
        raise FormatError("LIMIT", f"metadata takes more than {MAX_METADATA_BYTES} bytes")
    for name, layout in PACKED.items():
        width = np.dtype(layout).itemsize
        if len(content[name]) % width:
            raise _schema(f"column {name!r} has {len(content[name])} bytes, no multiple of {width}")


def _check_counts(content: dict[str, Any], columns: dict[str, Column]) -> None:
    """Equal lengths, known codes, the chunk size. Counted before anything is built per entry."""
    types = columns["type"]
    if types.size > MAX_ENTRIES:
        raise FormatError("LIMIT", f"{types.size} entries, at most {MAX_ENTRIES} are allowed")
    if types.size and types.max() >= len(TYPES):
        raise _schema(f"entry type {types.max()}, known are 0 to {len(TYPES) - 1}")
    tensors, aliases, values, nodes = (int(np.count_nonzero(types == kind)) for kind in range(len(TYPES)))
    expected = {"dtype": tensors, "rank": tensors, "alias": aliases, "form": nodes}
    count = content["path"].count("\n") + 1 if types.size or content["path"] else 0
    found = {"path": count, "value": len(content["value"])} | {name: columns[name].size for name in expected}
    expected |= {"path": types.size, "value": values}
    for name, count in found.items():
        if count != expected[name]:
            raise _schema(f"column {name!r} has {count} items, the entry types ask for {expected[name]}")
    if columns["dims"].size != int(columns["rank"].sum(dtype=np.int64)):
        raise _schema(f"column 'dims' has {columns['dims'].size} items, the ranks ask for another number")
    if columns["form"].size and columns["form"].max() >= len(FORMS):
        raise _schema(f"node form {columns['form'].max()}, known are 0 to {len(FORMS) - 1}")
    for value in content["value"]:
        if isinstance(value, (list, dict)):
            raise _schema("a value is an array or a map; values are null, bool, int, float, string or bytes")
    chunk = content["chunk"]
    if chunk <= 0 or chunk % CHUNK_STEP:
        raise FormatError("CHUNK", f"chunk size {chunk}, expected a positive multiple of {CHUNK_STEP}")
    if chunk > MAX_CHUNK_BYTES:
        raise FormatError("LIMIT", f"chunk size {chunk}, at most {MAX_CHUNK_BYTES} bytes are allowed")


def _check_tensors(index: Index) -> None:
    """Types, shapes, chunks."""
    columns = index.columns
    if columns["dtype"].size:
        k = int(columns["dtype"].argmax())
        if columns["dtype"][k] >= len(TABLE):
            raise FormatError("DTYPE", f"{index.named(k)}: type code {columns['dtype'][k]} is not known")
        k = int(columns["rank"].argmax())
        if columns["rank"][k] > MAX_RANK:
            raise FormatError("SHAPE", f"{index.named(k)}: rank {columns['rank'][k]}, at most {MAX_RANK}")
    if columns["dims"].size and columns["dims"].max() > MAX_INTEGER:
        k = int(np.searchsorted(index.dim_starts, columns["dims"].argmax(), "right")) - 1
        raise FormatError("SHAPE", f"{index.named(k)}: a dimension in {index.shape(k)} exceeds {MAX_INTEGER}")
    total = float(index.nbytes.astype(np.float64).sum())
    if total > MAX_TOTAL_BYTES:
        raise FormatError("LIMIT", f"the tensors declare {total:.0f} bytes together, at most {MAX_TOTAL_BYTES}")
    _check_chunks(index)


def _check_chunks(index: Index) -> None:
    columns = index.columns
    count = int(index.chunk_starts[-1])
    for name in ("codec", "stored", "sum"):
        if columns[name].size != count:
            raise FormatError("CHUNK", f"column {name!r} has {columns[name].size} items, shapes ask for {count} chunks")
    if not count:
        return
    codec, stored, sizes = columns["codec"], columns["stored"].astype(np.int64), index.chunk_sizes
    if (unknown := ~np.isin(codec, list(CODEC_NAMES))).any():
        c = int(unknown.argmax())
        raise FormatError("CODEC", f"{_chunk(index, c)}: codec {codec[c]} is not known")
    wrong = np.where(codec == RAW, stored != sizes, (stored == 0) | (stored >= sizes))
    if wrong.any():
        c = int(wrong.argmax())
        rule = f"exactly {sizes[c]}" if codec[c] == RAW else f"1 to {sizes[c] - 1}"
        raise FormatError("CHUNK", f"{_chunk(index, c)}: {stored[c]} stored bytes, expected {rule}")
    if (bomb := (codec != RAW) & (sizes > MAX_ZSTD_RATIO * stored)).any():
        c = int(bomb.argmax())
        what = f"{stored[c]} stored bytes declare {sizes[c]}, over {MAX_ZSTD_RATIO} : 1"
        raise FormatError("LIMIT", f"{_chunk(index, c)}: {what}")


def _chunk(index: Index, c: int) -> str:
    k = int(np.searchsorted(index.chunk_starts, c, "right")) - 1
    return f"{index.named(k)}, chunk {c - int(index.chunk_starts[k])}"


def _unpack_sparse(name: str, content: list[Any], types: Column) -> dict[int, Any]:
    if [type(part) for part in content] != [bytes, bytes, list]:
        raise _schema(f"sparse column {name!r} is not [rows bin, picks bin, table array]")
    raw_rows, raw_picks, table = content
    if not raw_rows or len(raw_rows) % 4 or len(raw_rows) != len(raw_picks):
        raise _schema(f"sparse column {name!r}: rows of {len(raw_rows)} bytes, picks of {len(raw_picks)}")
    rows, picks = (np.frombuffer(raw, "<u4").astype(np.int64) for raw in (raw_rows, raw_picks))
    if (np.diff(rows) <= 0).any() or rows[-1] >= types.size:
        raise _schema(f"sparse column {name!r}: rows do not ascend within the {types.size} entries")
    if not np.isin(types[rows], SPARSE[name]).all():
        allowed = " and ".join(TYPES[kind] for kind in SPARSE[name])
        raise _schema(f"sparse column {name!r} belongs to {allowed} entries only")
    first_use = np.maximum.accumulate(np.concatenate(([-1], picks)))
    if (picks > first_use[:-1] + 1).any() or int(first_use[-1]) + 1 != len(table):
        raise FormatError("NONCANONICAL", f"sparse column {name!r}: table not in order of first use, or not all used")
    if len({profile.encode(value) for value in table}) != len(table):
        raise FormatError("NONCANONICAL", f"sparse column {name!r}: a table value stands twice")
    return {row: table[pick] for row, pick in zip(rows.tolist(), picks.tolist(), strict=True)}
