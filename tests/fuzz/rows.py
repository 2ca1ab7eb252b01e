"""The rows of an index with their stored bytes, out of its columns and into them: mutations keep a whole file so."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Any

import xxhash

from ptformat.codecs import RAW
from ptformat.columns import ALIAS, NODE, PACKED, SPARSE, TENSOR, VALUE
from ptformat.container import align
from ptformat.dtypes import TABLE

from .anatomy import FRAME, packed

FORMATS = {name: kind.replace("<u1", "B").replace("<u4", "I").replace("<u8", "Q") for name, kind in PACKED.items()}
MOST_ROWS = 2000
MOST_CHUNKS = 4000


@dataclass(slots=True)
class Chunk:
    """A chunk: its codec and stored bytes. `sum` stands in the index in place of their checksum."""

    codec: int
    stored: bytes
    sum: int | None = None


@dataclass(slots=True)
class Row:
    """An entry and all that is said of it. `said` has its values in the sparse columns."""

    kind: int
    path: str
    said: dict[str, Any] = field(default_factory=dict)
    dtype: int = 0
    shape: list[int] = field(default_factory=list)
    chunks: list[Chunk] = field(default_factory=list)
    target: Row | None = None
    value: Any = None
    form: int = 0

    def copy(self) -> Row:
        """A copy whose facts can be changed; the target is the same."""
        made = Row(self.kind, self.path, dict(self.said), self.dtype, list(self.shape))
        made.chunks = [Chunk(chunk.codec, chunk.stored) for chunk in self.chunks]
        made.target, made.value, made.form = self.target, self.value, self.form
        return made


def nbytes(row: Row) -> int:
    """Decoded bytes of a tensor."""
    count = 1
    for size in row.shape:
        count *= size
    return TABLE[row.dtype].nbytes(count)


def items(name: str, column: bytes) -> list[int]:
    """The items of a packed column."""
    kind = FORMATS[name]
    size = struct.calcsize(kind)
    return list(struct.unpack(f"<{len(column) // size}{kind}", column[: len(column) // size * size]))


def column(name: str, numbers: list[int]) -> bytes:
    """The packed column of these items, each cut to what an item can hold."""
    kind = FORMATS[name]
    most = 256 ** struct.calcsize(kind) - 1
    return struct.pack(f"<{len(numbers)}{kind}", *(number & most for number in numbers))


def rows_of(content: dict[str, Any], body: bytes) -> list[Row] | None:
    """The rows that an index speaks of, with their stored bytes; None where its columns do not fit each other."""
    try:
        return _rows_of(content, body)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, struct.error, StopIteration):
        return None


def _rows_of(content: dict[str, Any], body: bytes) -> list[Row] | None:
    held = {name: iter(items(name, content[name])) for name in PACKED}
    types = items("type", content["type"])
    paths = content["path"].split("\n")
    chunk = content["chunk"]
    if len(types) > MOST_ROWS or len(types) != len(paths) or type(chunk) is not int or chunk <= 0:
        return None
    values = iter(content["value"])
    rows = [Row(kind, path) for kind, path in zip(types, paths, strict=True)]
    position, left = FRAME, MOST_CHUNKS
    for row in rows:
        if row.kind == TENSOR:
            row.dtype = next(held["dtype"])
            row.shape = [next(held["dims"]) for _ in range(next(held["rank"]))]
            count = -(-nbytes(row) // chunk)
            left -= count
            if left < 0:
                return None
            lengths = [(next(held["codec"]), next(held["stored"]), next(held["sum"])) for _ in range(count)]
            position = align(position, nbytes(row), bool(lengths and lengths[0][0] != RAW))
            for codec, length, _ in lengths:
                row.chunks.append(Chunk(codec, body[position - FRAME : position - FRAME + length]))
                position += length
        elif row.kind == ALIAS:
            row.target = rows[next(held["alias"])]
        elif row.kind == VALUE:
            row.value = next(values)
        elif row.kind == NODE:
            row.form = next(held["form"])
        else:
            return None
    for name in SPARSE:
        if name in content:
            at, picks, table = content[name]
            for place, pick in zip(items("alias", at), items("alias", picks), strict=True):
                rows[place].said[name] = table[pick]
    return rows


def facts_of(content: dict[str, Any]) -> dict[str, Any]:
    """What an index says beside its rows: chunk size, convention, metadata, keys that nobody knows."""
    return {key: value for key, value in content.items() if key not in {*PACKED, *SPARSE, "path", "value"}}


def written(facts: dict[str, Any], rows: list[Row]) -> tuple[dict[str, Any], bytes]:
    """The content of the index, and the body, of these rows. An alias of a row that is gone points nowhere."""
    body = bytearray()
    columns: dict[str, list[int]] = {name: [] for name in PACKED}
    places = {id(row): at for at, row in enumerate(rows)}
    for row in rows:
        columns["type"].append(row.kind)
        if row.kind == TENSOR:
            columns["dtype"].append(row.dtype)
            columns["rank"].append(len(row.shape))
            columns["dims"] += row.shape
            coded = bool(row.chunks and row.chunks[0].codec != RAW)
            position = FRAME + len(body)
            body += bytes(min(align(position, nbytes(row), coded) - position, 4095))
            for chunk in row.chunks:
                columns["codec"].append(chunk.codec)
                columns["stored"].append(len(chunk.stored))
                columns["sum"].append(xxhash.xxh3_64_intdigest(chunk.stored) if chunk.sum is None else chunk.sum)
                body += chunk.stored
        elif row.kind == ALIAS:
            columns["alias"].append(places.get(id(row.target), len(rows)))
        elif row.kind == NODE:
            columns["form"].append(row.form)
    content = {name: column(name, numbers) for name, numbers in columns.items()}
    content["path"] = "\n".join(row.path for row in rows)
    content["value"] = [row.value for row in rows if row.kind == VALUE]
    for name in SPARSE:
        if found := [(at, row.said[name]) for at, row in enumerate(rows) if name in row.said]:
            content[name] = sparse(found)
    return {**facts, **content}, bytes(body)


def sparse(found: list[tuple[int, Any]]) -> list[Any]:
    """A sparse column in its one form."""
    picks: list[int] = []
    known: dict[bytes, int] = {}
    table: list[Any] = []
    for _, value in found:
        form = packed(value)
        if form not in known:
            known[form] = len(table)
            table.append(value)
        picks.append(known[form])
    return [column("alias", [at for at, _ in found]), column("alias", picks), table]
