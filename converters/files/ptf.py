"""The .ptf file as source and sink."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from ptformat.atomic import PathLike
from ptformat.backing import map_file
from ptformat.codecs import RAW
from ptformat.container import MAGIC
from ptformat.dtypes import Array, named, unpack
from ptformat.reader import Reader
from ptformat.tree import TensorInfo
from ptformat.writer import Writer

from ..content import Content, Pieces, Saving
from .spool import gather


def recognises(path: Path, head: bytes) -> bool:
    """Whether a file that begins so is one of these: the magic, or as much of it as there is."""
    return bool(head) and head[:8] == MAGIC[: len(head[:8])]


class PtfSource:
    """A .ptf file. Raw tensors are views of the map; large compressed ones are decoded into a temporary file."""

    kind = "ptf"
    notes: Sequence[str] = ()

    def __init__(self, path: PathLike) -> None:
        self.name = os.fspath(path)
        self._reader = Reader(map_file(path), self.name)
        self.entries = self._reader.entries
        self.header = self._reader.index.header

    def _place(self, path: str) -> tuple[TensorInfo, int]:
        info = self._reader.info(path)
        assert isinstance(info, TensorInfo)
        index = self._reader.index
        return info, int(index.ordinals[index.rows[path]])

    def array(self, path: str) -> Array:
        """The tensor, its checksums verified."""
        info, k = self._place(path)
        index = self._reader.index
        first, end = (int(n) for n in index.chunk_starts[k : k + 2])
        if (index.columns["codec"][first:end] == RAW).all():
            for c in range(first, end):
                self._reader.stored(k, c)
            array: Array = self._reader[path]
            return array
        return unpack(gather(self._reader.chunks(k), info.nbytes), named(info.dtype), info.shape)

    def pieces(self, path: str) -> Pieces:
        """Its decoded chunks, each one new: a sink may hold several."""
        _, k = self._place(path)
        return (bytes(chunk) for chunk in self._reader.chunks(k))

    def close(self) -> None:
        """Let go of the map."""
        self._reader.close()


def write(content: Content, path: PathLike, saving: Saving) -> None:
    """Write entries and header as they are."""
    header = content.header
    with Writer(
        path,
        codec=saving.codec,
        durable=saving.durable,
        convention=header.convention,
        dialect=header.dialect,
        metadata=header.metadata,
        provenance=header.provenance,
    ) as out:
        for entry in content.entries:
            if isinstance(entry, TensorInfo):
                out.pieces(entry, content.pieces(entry), lasting=True)
            else:
                out.add(entry)
