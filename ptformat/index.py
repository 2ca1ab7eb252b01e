"""Index bytes <-> columns, and every check on them, in one pass (spec sections 3 and 10)."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

from . import collector, paths, profile, structure
from .codecs import NAMES as CODEC_NAMES
from .codecs import PLANES, RAW, planes
from .columns import PACKED, SPARSE, TYPES, Column, Index
from .columns import Header as Header
from .dtypes import TABLE
from .errors import FormatError, shown
from .limits import (
    CHUNK_STEP,
    MAX_CHUNK_BYTES,
    MAX_ENTRIES,
    MAX_INTEGER,
    MAX_METADATA_BYTES,
    MAX_RANK,
    MAX_TOTAL_BYTES,
    MAX_ZSTD_RATIO,
)
from .nesting import Nesting
from .tree import FORMS

FEATURES: frozenset[str] = frozenset()  # the names in `requires` that this reader knows
REQUIRED = {"requires": list, "chunk": int, "path": str, "value": list, **dict.fromkeys(PACKED, bytes)}
OPTIONAL = {
    "convention": str,
    "dialect": str,
    "metadata": dict,
    "provenance": dict,
    **dict.fromkeys(SPARSE, list),
}
_NAMED = {name: kind.__name__ for name, kind in {**REQUIRED, **OPTIONAL}.items()}
_KINDS = {**REQUIRED, **OPTIONAL, "path": profile.Text}
_WIDTHS = {name: np.dtype(layout).itemsize for name, layout in PACKED.items()}
# What the content digest leaves out: how the same content happens to be stored.
LAYOUT_KEYS = ("requires", "chunk", "codec", "stored", "sum")


def encode(index: Index) -> bytes:
    """The index in the profile's bytes.

    Raises:
        FormatError: TYPE or LIMIT, for metadata, attributes or values that the profile cannot hold.
    """
    return profile.encode(to_map(index), "index")


def to_map(index: Index, *, read: bool = False) -> dict[str, Any]:
    """The index as the one map that is encoded; what was `read` from a file is known to be as it must be."""
    header = index.header

    def encoded(value: Any, name: str) -> bytes:
        return profile.again(value) if read else profile.encode(value, name)

    if len(encoded(header.metadata, "metadata")) > MAX_METADATA_BYTES:
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
        result[name] = _pack_sparse(name, held, encoded)
    return result


def _pack_sparse(name: str, held: dict[int, Any], encoded: Callable[[Any, str], bytes] = profile.encode) -> list[Any]:
    picks: list[int] = []
    known: dict[bytes, int] = {}
    places: dict[int, int] = {}  # of an object in the table
    table: list[Any] = []
    for row in sorted(held):
        value = held[row]
        if id(value) not in places:
            places[id(value)] = known.setdefault(encoded(value, name), len(table))
            if len(known) > len(table):
                table.append(value)
        picks.append(places[id(value)])
    return [np.array(sorted(held), "<u4").tobytes(), np.array(picks, "<u4").tobytes(), table]


def decode(data: bytes, end: int | None = None) -> Index:
    """Check index bytes and make them columns.

    Args:
        data: The decoded index.
        end: Where the tensors must end: the index offset. None leaves the extent unchecked.

    Raises:
        FormatError: The first rule broken, in the order of spec section 10.
    """
    with collector.paused():
        content = profile.decode(data, "path")
        del data
        return _decoded(content, end)


def _decoded(content: Any, end: int | None) -> Index:
    _check_schema(content)
    columns = {name: np.frombuffer(content[name], kind) for name, kind in PACKED.items()}
    _check_counts(content, columns)
    names: list[str] = content.pop("path").lines() if columns["type"].size else []
    header = Header(**{n: content[n] for n in ("convention", "dialect", "metadata", "provenance") if n in content})
    index = Index(header, content["chunk"], names, columns, content["value"], {})
    _check_tensors(index)
    if end is not None and index.layout[1] != end:
        raise FormatError("EXTENT", f"the tensors end at byte {index.layout[1]}, the index begins at {end}")
    paths.check_all(names)
    if len(index.rows) != len(names):
        twice = next(path for row, path in enumerate(names) if index.rows[path] != row)
        raise FormatError("DUPLICATE", f"path {twice!r} stands twice", path=twice)
    nesting = Nesting(names)
    nesting.check_inner()
    for name in SPARSE:
        if name in content:
            index.sparse[name] = _unpack_sparse(name, content[name], columns["type"])
    structure.check(index, nesting)
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
        raise _schema(f"'requires' {shown(requires)} is not in strictly ascending order")
    if unknown := [name for name in requires if name not in FEATURES]:
        raise FormatError("FEATURE", f"the file requires {shown(unknown)[1:-1]}: not known to this reader")
    for name in REQUIRED:
        if name not in content:
            raise _schema(f"key {name!r} is missing")
    for name, kind in _KINDS.items():
        if name in content and type(content[name]) is not kind:
            raise _schema(f"{name!r} is a {type(content[name]).__name__}, expected {_NAMED[name]}")
    for name in ("convention", "dialect", "metadata", "provenance"):
        if name in content and not content[name]:
            raise FormatError("NONCANONICAL", f"index: {name!r} is empty; what says nothing is left out")
    if "metadata" in content and len(profile.again(content["metadata"])) > MAX_METADATA_BYTES:
        raise FormatError("LIMIT", f"metadata takes more than {MAX_METADATA_BYTES} bytes")
    for name, width in _WIDTHS.items():
        if len(content[name]) % width:
            raise _schema(f"column {name!r} has {len(content[name])} bytes, no multiple of {width}")


def _check_counts(content: dict[str, Any], columns: dict[str, Column]) -> None:
    """Equal lengths, known codes, the chunk size. Counted before anything is built per entry."""
    types = columns["type"]
    if types.size > MAX_ENTRIES:
        raise FormatError("LIMIT", f"{types.size} entries, at most {MAX_ENTRIES} are allowed")
    if types.size and types.max() >= len(TYPES):
        raise _schema(f"entry type {types.max()}, known are 0 to {len(TYPES) - 1}")
    tensors, aliases, values, nodes = np.bincount(types, minlength=len(TYPES)).tolist()
    counted = (
        ("path", content["path"].count() or min(types.size, 1), types.size),
        ("value", len(content["value"]), values),
        ("dtype", columns["dtype"].size, tensors),
        ("rank", columns["rank"].size, tensors),
        ("alias", columns["alias"].size, aliases),
        ("form", columns["form"].size, nodes),
    )
    for name, count, expected in counted:
        if count != expected:
            raise _schema(f"column {name!r} has {count} items, the entry types ask for {expected}")
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
    total = float(index.nbytes.sum(dtype=np.float64))
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
    codec, stored, sizes = columns["codec"], columns["stored"], index.chunk_sizes
    if not index.raw:
        if (unknown := ~np.isin(codec, list(CODEC_NAMES))).any():
            c = int(unknown.argmax())
            raise FormatError("CODEC", f"{_chunk(index, c)}: codec {codec[c]} is not known")
        if (apart := codec == PLANES).any():
            suited = np.array([planes.suits(row) for row in TABLE])[columns["dtype"]]
            if (misplaced := apart & ~np.repeat(suited, np.diff(index.chunk_starts))).any():
                c = int(misplaced.argmax())
                raise FormatError("CODEC", f"{_chunk(index, c)}: codec planes on elements without several bytes")
    wrong = stored != sizes
    if not index.raw:
        wrong = np.where(codec == RAW, wrong, (stored == 0) | (stored >= sizes))
    if wrong.any():
        c = int(wrong.argmax())
        rule = f"exactly {sizes[c]}" if codec[c] == RAW else f"1 to {sizes[c] - 1}"
        raise FormatError("CHUNK", f"{_chunk(index, c)}: {stored[c]} stored bytes, expected {rule}")
    if not index.raw and (bomb := (codec != RAW) & (sizes > MAX_ZSTD_RATIO * stored.astype(np.int64))).any():
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
    if len(set(map(profile.again, table))) != len(table):
        raise FormatError("NONCANONICAL", f"sparse column {name!r}: a table value stands twice")
    return {row: table[pick] for row, pick in zip(rows.tolist(), picks.tolist(), strict=True)}
