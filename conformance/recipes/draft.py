"""A file before its bytes are put together: entries in order, and every place where it can be spoilt.

    Draft().tensor("w", "float32", (2, 3), data).alias("t", "w", (1, 0)).file()

What is not spoilt is right: lengths, offsets and checksums follow from the rest.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

from . import forms
from .elements import BITS, CODES, nbytes, ramp
from .xxh3 import xxh3_64

MAGIC = b"\x89PTF\r\n\x1a\n"
CHUNK = 4194304
RAW, ZSTD, PLANES = 0, 1, 2
TYPES = ("tensor", "alias", "value", "node")
FORMS = ("map", "list", "tuple", "namedtuple", "flat", "keys", "part")
SPARSE = ("attrs", "axes", "class", "keys", "module", "perm", "role", "trainable")
PACKED = ("type", "dtype", "rank", "dims", "codec", "stored", "sum", "alias", "form")
HEADER = ("convention", "dialect", "metadata", "provenance")

Chunk = tuple[int, bytes]  # codec, stored bytes
Facts = dict[str, Any]


@dataclass(frozen=True)
class Entry:
    """One entry.

    Attributes:
        type: One of `TYPES`.
        path: Its path, as text or as bytes that need not be UTF-8.
        facts: What the sparse columns say of it.
        dtype: Of a tensor.
        shape: Of a tensor.
        data: A tensor's decoded bytes.
        chunks: How they are stored.
        target: Path of an alias' target.
        value: Of a value.
        form: Of a node.
    """

    type: str
    path: str
    facts: Facts = field(default_factory=dict)
    dtype: str = ""
    shape: tuple[int, ...] = ()
    data: bytes = b""
    chunks: tuple[Chunk, ...] = ()
    target: str = ""
    value: Any = None
    form: str = ""


class Draft:
    """A file to be written."""

    def __init__(self, chunk: int = CHUNK, *, minor: int = 0, **header: Any) -> None:
        self.chunk = chunk
        self.minor = minor
        self.header = header  # convention, dialect, metadata, provenance
        self.entries: list[Entry] = []

    def tensor(
        self,
        path: str,
        dtype: str = "float32",
        shape: Sequence[int] = (2, 3),
        data: bytes | None = None,
        *,
        chunks: Sequence[Chunk] | None = None,
        **facts: Any,
    ) -> Self:
        """Add a tensor, of raw chunks where none are given; `class_` is the fact `class`."""
        held = ramp(dtype, shape) if data is None else data
        if len(held) != nbytes(dtype, shape):
            raise ValueError(f"{path}: {len(held)} bytes for {dtype} {tuple(shape)}")
        if chunks is None:
            chunks = [(RAW, held[at : at + self.chunk]) for at in range(0, len(held), self.chunk)]
        entry = Entry("tensor", path, _facts(facts), dtype, tuple(shape), held, tuple(chunks))
        self.entries.append(entry)
        return self

    def alias(self, path: str, target: str, perm: Sequence[int] | None = None, **facts: Any) -> Self:
        """Add an alias of a path."""
        said = facts if perm is None else {**facts, "perm": list(perm)}
        self.entries.append(Entry("alias", path, _facts(said), target=target))
        return self

    def value(self, path: str, value: Any = None) -> Self:
        """Add a value."""
        self.entries.append(Entry("value", path, value=value))
        return self

    def node(self, path: str, form: str = "map", **facts: Any) -> Self:
        """Add a node."""
        self.entries.append(Entry("node", path, _facts(facts), form=form))
        return self

    def raw(self) -> Draft:
        """The same content as section 8.3 has it: every chunk raw, the lowest minor version."""
        made = Draft(self.chunk, **self.header)
        for entry in self.entries:
            cuts = range(0, len(entry.data), self.chunk)
            made.entries.append(replace(entry, chunks=tuple((RAW, entry.data[at : at + self.chunk]) for at in cuts)))
        return made

    # ---------------------------------------------------------------------------------------------- the parts

    def of_type(self, kind: str) -> list[Entry]:
        """The entries of one type, in row order."""
        return [entry for entry in self.entries if entry.type == kind]

    def rows(self) -> dict[str, int]:
        """Path -> row."""
        return {entry.path: row for row, entry in enumerate(self.entries)}

    def body(self) -> bytes:
        """Preamble, chunks and gaps (sections 2.1 and 2.3)."""
        made = bytearray(MAGIC + struct.pack("<2H", 1, self.minor) + bytes(52))
        for entry in self.of_type("tensor"):
            whole = entry.dtype in BITS and nbytes(entry.dtype, entry.shape) >= 2**20
            step = 4096 if whole and entry.chunks and entry.chunks[0][0] == RAW else 64
            made += bytes(-len(made) % step)
            made += b"".join(stored for _, stored in entry.chunks)
        return bytes(made)

    def columns(self) -> dict[str, bytes]:
        """The packed columns (section 3.2)."""
        tensors = self.of_type("tensor")
        chunks = [chunk for entry in tensors for chunk in entry.chunks]
        rows = self.rows()
        return {
            "type": bytes(TYPES.index(entry.type) for entry in self.entries),
            "dtype": bytes(CODES[entry.dtype] for entry in tensors),
            "rank": bytes(len(entry.shape) for entry in tensors),
            "dims": u64(*(n for entry in tensors for n in entry.shape)),
            "codec": bytes(codec for codec, _ in chunks),
            "stored": u32(*(len(stored) for _, stored in chunks)),
            "sum": u64(*(xxh3_64(stored) for _, stored in chunks)),
            "alias": u32(*(rows[entry.target] for entry in self.of_type("alias"))),
            "form": bytes(FORMS.index(entry.form) for entry in self.of_type("node")),
        }

    def keys(self, columns: Mapping[str, bytes] | None = None) -> dict[str, bytes]:
        """The index: key -> msgpack; `columns` in place of the packed columns that follow from the entries."""
        made = {name: forms.binary(raw) for name, raw in {**self.columns(), **(columns or {})}.items()}
        made["requires"] = forms.array([])
        made["chunk"] = forms.integer(self.chunk)
        made["path"] = forms.text("\n".join(entry.path for entry in self.entries))
        made["value"] = forms.array(forms.packed(entry.value) for entry in self.of_type("value"))
        made |= {name: forms.packed(value) for name, value in self.header.items()}
        for name in SPARSE:
            said = {row: forms.packed(e.facts[name]) for row, e in enumerate(self.entries) if name in e.facts}
            if said:
                made[name] = sparse(said)
        return made

    def file(
        self,
        *,
        columns: Mapping[str, bytes] | None = None,
        keys: Mapping[str, bytes | None] | None = None,
        index: Callable[[bytes], bytes] | None = None,
        stored: Callable[[bytes], bytes] | None = None,
        body: Callable[[bytes], bytes] | None = None,
        trailer: Mapping[str, int] | None = None,
    ) -> bytes:
        """The file.

        Args:
            columns: Packed columns in place of those that follow from the entries.
            keys: Keys of the index with the msgpack of their values; None takes a key out.
            index: Changes the bytes of the whole index.
            stored: Makes the stored bytes of the index, a zstd frame.
            body: Changes preamble, chunks and gaps.
            trailer: Fields of the trailer in place of those that follow from the rest.
        """
        given = {**self.keys(columns), **(keys or {})}
        decoded = forms.keyed({name: value for name, value in given.items() if value is not None})
        if index:
            decoded = index(decoded)
        held = stored(decoded) if stored else decoded
        start = self.body()
        if body:
            start = body(start)
        facts = {"decoded": len(decoded), "flags": int(stored is not None), "minor": self.minor, **(trailer or {})}
        return assembled(start, held, **facts)


def assembled(start: bytes, index: bytes, **facts: int) -> bytes:
    """A file of what stands before the index, the stored index, and a trailer (section 2.2) with these facts."""
    held = {
        "offset": len(start),
        "stored": len(index),
        "decoded": len(index),
        "sum": facts["sum"] if "sum" in facts else xxh3_64(index),
        "flags": 0,
        "major": 1,
        "minor": 0,
        "length": len(start) + len(index) + 64,
    }
    own = facts.pop("trailer_sum", None)
    if unknown := facts.keys() - held.keys():
        raise ValueError(f"no fields of the trailer: {sorted(unknown)}")
    head = struct.pack("<4QI2HQ", *(held | facts).values())
    return start + index + head + struct.pack("<Q", xxh3_64(head) if own is None else own) + MAGIC


def sparse(said: Mapping[int, bytes]) -> bytes:
    """A sparse column: row -> msgpack of its value (section 3.2)."""
    table = list(dict.fromkeys(said[row] for row in sorted(said)))
    picks = [table.index(said[row]) for row in sorted(said)]
    return column(sorted(said), picks, table)


def column(rows: Sequence[int], picks: Sequence[int], table: Sequence[bytes]) -> bytes:
    """A sparse column of these three parts, right or not."""
    return forms.array([forms.binary(u32(*rows)), forms.binary(u32(*picks)), forms.array(table)])


def u32(*numbers: int) -> bytes:
    """Numbers as the packed columns hold them."""
    return struct.pack(f"<{len(numbers)}I", *numbers)


def u64(*numbers: int) -> bytes:
    """Numbers as the packed columns hold them."""
    return struct.pack(f"<{len(numbers)}Q", *numbers)


def _facts(said: Mapping[str, Any]) -> Facts:
    return {name.rstrip("_"): value for name, value in said.items()}
