"""Saving a whole tree: to a file, or to bytes."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from typing import Any, TypedDict, Unpack

from .atomic import PathLike
from .containers import flatten
from .dtypes import Array
from .tree import Entry
from .writer import Writer


class Options(TypedDict, total=False):
    """The keyword options of `Writer`, which every saving function takes."""

    codec: str
    chunk: int
    level: int
    convention: str | None
    dialect: str | None
    metadata: Mapping[str, Any] | None
    provenance: Mapping[str, Any] | None
    durable: bool


def save_file(tree: Any, path: PathLike, **options: Unpack[Options]) -> None:
    """Save a tree of arrays, raw and mappable unless `codec="zstd"`.

    Args:
        tree: A flat dict of arrays, or dicts, lists, tuples and namedtuples nested in any way, of ndarrays and values
            (None, bool, int, float, str, bytes). A NumPy scalar is a 0-d tensor. The same array object at two
            places is stored once and tied.
        path: The file to write, replaced in one step.
        options: The keyword options of `Writer`.

    Raises:
        FormatError: TYPE, PATH, DTYPE, … for what the format cannot hold, naming the place.
        OSError: From the file system; the file that was there before is whole.
    """
    with Writer(path, **options) as out:
        put(out, flatten(tree))


def save(tree: Any, **options: Unpack[Options]) -> bytes:
    """`save_file` into bytes."""
    return to_bytes(flatten(tree), **options)


def put(out: Writer, entries: Iterable[tuple[Entry, Array | None]]) -> None:
    """Write entries, tensors with their arrays, which stay as they are until the writer is closed."""
    for entry, array in entries:
        out.add(entry, array, lasting=True)


def to_bytes(entries: Iterable[tuple[Entry, Array | None]], **options: Unpack[Options]) -> bytes:
    """The file that holds these entries, as bytes."""
    buffer = io.BytesIO()
    with Writer("", _output=buffer, **options) as out:
        put(out, entries)
    return buffer.getvalue()
