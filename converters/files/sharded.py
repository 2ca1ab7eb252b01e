"""Tensors in several files, and the index.json that says which file holds which.

Read for files of any kind, written as .safetensors.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ptformat import paths
from ptformat.atomic import AtomicFile, PathLike
from ptformat.columns import Header
from ptformat.dtypes import Array
from ptformat.errors import FormatError
from ptformat.tree import Alias, Entry, Node

from .. import json_text
from ..content import Content, Entries, Pieces, Source
from . import safetensors
from .folder import settled
from .safetensors import Holding, name_of, root_of

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
MAX_INDEX = 100_000_000  # bytes
_MAX_NAME = 255  # bytes of a file's name, on any system
_WEIGHT_MAP = b'"weight_map"'


def recognises(path: Path, head: bytes) -> bool:
    """Whether a file is an index of shards: JSON that holds a weight_map."""
    if head.lstrip()[:1] != b"{" or path.stat().st_size > MAX_INDEX:
        return False
    return _WEIGHT_MAP in path.read_bytes()


def inside(folder: Path, path: Path) -> Path:
    """A file in a folder that is safe to read: it is there, regular, and no link leads out.

    Links of a Hugging Face cache are followed: from snapshots/<revision> to the blobs of the same model.

    Raises:
        FormatError: PATH for a link that leads out, TRUNCATED where there is no file, FORMAT for what is no file.
    """
    shown = path.relative_to(folder)
    home, real = Path(os.path.realpath(folder)), Path(os.path.realpath(path))
    cached = home.parent.name == "snapshots" and real.parent == home.parent.parent / "blobs"
    if not (real.is_relative_to(home) or cached):
        raise FormatError("PATH", f"{str(shown)!r} is a link that leads out of {folder}")
    if not real.exists():
        raise FormatError("TRUNCATED", f"the file {str(shown)!r} is missing from {folder}")
    if not real.is_file():
        raise FormatError("FORMAT", f"{str(shown)!r} in {folder} is no regular file")
    return path


def opened(path: PathLike) -> Source:
    """The shards behind an index."""
    return settled(Path(path).parent, lambda: ShardedSource(path))


class ShardedSource:
    """Several files behind one index.json. A tensor that is missing, unplaced or there twice is an error."""

    kind = "sharded"
    notes: Sequence[str] = ()

    def __init__(self, path: PathLike) -> None:
        self.name = os.fspath(path)
        self._places: dict[str, tuple[Source, str]] = {}
        self._shards: list[Source] = []
        said, weight_map = _read(Path(path))
        folder = Path(path).parent
        placed: dict[str, list[str]] = {}
        for key, name in weight_map.items():
            placed.setdefault(name, []).append(key)
        # Every name is looked at before any file is.
        files = {name: _plain(folder, name) for name in sorted(placed)}
        held: list[tuple[str, Entry, Source]] = []
        metadata = {key: value for key, value in said.items() if isinstance(value, str)}
        try:
            for name, file in files.items():
                shard = _open(inside(folder, file))
                self._shards.append(shard)
                held += ((key, entry, shard) for key, entry in _checked(name, shard, placed[name], weight_map))
                metadata = {**shard.header.metadata, **metadata}
            self.entries = self._gather(held)
        except BaseException:
            self.close()
            raise
        conventions = {shard.header.convention for shard in self._shards}
        self.header = Header(metadata=metadata, convention=conventions.pop() if len(conventions) == 1 else None)

    def _gather(self, held: Sequence[tuple[str, Entry, Source]]) -> list[Entry]:
        seen: set[str] = set()
        for name, _, _ in held:
            if name in seen:
                raise FormatError("DUPLICATE", f"the tensor {name!r} is in two shards", path=paths.render([name]))
            seen.add(name)
        segments = paths.split_flat(seen)
        entries, aliases = Entries(), []
        for root in root_of([*seen]):
            entries.add(root)
        for name, entry, shard in held:
            path = paths.render(segments[name])
            if isinstance(entry, Alias):
                target = paths.render(segments[name_of(entry.target)])
                aliases.append(replace(entry, path=path, target=target))
                continue
            entries.add(replace(entry, path=path))
            self._places[path] = shard, entry.path
        for alias in aliases:
            entries.add(alias)
        return entries.found

    def array(self, path: str) -> Array:
        """The tensor as its file gives it."""
        shard, own = self._places[path]
        return shard.array(own)

    def pieces(self, path: str) -> Pieces:
        """Its bytes as its file gives them."""
        shard, own = self._places[path]
        return shard.pieces(own)

    def close(self) -> None:
        """Let go of every file."""
        for shard in self._shards:
            shard.close()


def _open(path: Path) -> Source:
    from . import open_source

    with open(path, "rb") as file:
        if recognises(path, file.read(16)):
            raise _malformed(f"the shard {path.name!r} is an index itself")
    try:
        return open_source(path)
    except FormatError as error:
        raise FormatError(error.code, f"{path.name}: {error.message}", path=error.path) from error


def _checked(
    shard: str, source: Source, placed: Sequence[str], weight_map: dict[str, str]
) -> Iterator[tuple[str, Entry]]:
    """(name, entry) of all that a shard holds, which must be what the index places there; ties may go unsaid."""
    found: dict[str, Entry] = {}
    for entry in source.entries:
        if isinstance(entry, Node):
            continue
        if (name := name_of(entry.path)) in found:
            raise FormatError("DUPLICATE", f"two tensors of the shard {shard!r} are called {name!r}", path=entry.path)
        found[name] = entry
    if missing := [name for name in placed if name not in found]:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise _malformed(f"the shard {shard!r} does not hold {missing[0]!r}{more}")
    here = set(placed)
    for name, entry in found.items():
        if name not in here and not isinstance(entry, Alias):
            if name in weight_map:
                raise FormatError("DUPLICATE", f"the tensor {name!r} is in {weight_map[name]!r} and in {shard!r}")
            raise _malformed(f"the shard {shard!r} holds {name!r}, of which the index says nothing")
    yield from found.items()


def _plain(folder: Path, name: str) -> Path:
    """The path of a shard, whose name must be one of a file beside the index."""
    try:
        size = len(name.encode())
    except UnicodeEncodeError:  # a lone surrogate, which JSON can spell
        size = 0
    if not 0 < size <= _MAX_NAME or name in (".", "..") or any(sign in name for sign in "/\\:\0"):
        raise FormatError("PATH", f"index of shards: {name!r} is not the name of a file beside it")
    return folder / name


def _malformed(what: str) -> FormatError:
    return FormatError("MALFORMED", f"index of shards: {what}")


def _read(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """Metadata and weight_map."""
    if path.stat().st_size > MAX_INDEX:
        raise FormatError("LIMIT", f"index of shards of {path.stat().st_size} bytes, at most {MAX_INDEX} are allowed")
    said = json_text.parse(path.read_bytes(), "index of shards")
    weight_map = said.get("weight_map") if isinstance(said, dict) else None
    if not isinstance(weight_map, dict) or not all(isinstance(name, str) for name in weight_map.values()):
        raise _malformed("weight_map is not an object of strings")
    metadata = said.get("metadata")
    return metadata if isinstance(metadata, dict) else {}, weight_map


def write(held: Holding, content: Content, folder: Path, max_shard_bytes: int) -> None:
    """Write model.safetensors, or its shards and their index where one file would exceed `max_shard_bytes`."""
    shards = split([info.nbytes for info, _ in held.tensors], max_shard_bytes)
    if len(shards) < 2:
        safetensors.write_file(held, content, folder / SINGLE, durable=False)
        return
    weight_map: dict[str, str] = {}
    for number, shard in enumerate(shards, 1):
        name = f"model-{number:05}-of-{len(shards):05}.safetensors"
        tensors = [held.tensors[i] for i in shard]
        names = {name_of(info.path) for info, _ in tensors}
        tied = {gone: kept for gone, kept in held.tied.items() if kept in names}
        safetensors.write_file(Holding(tensors, tied, held.metadata), content, folder / name, durable=False)
        weight_map |= dict.fromkeys(names, name)
    total = sum(info.nbytes for info, _ in held.tensors)
    text = json.dumps({"metadata": {"total_size": total}, "weight_map": weight_map}, indent=2, sort_keys=True)
    with AtomicFile(folder / INDEX, durable=False) as file:
        file.write(text.encode() + b"\n")


def split(sizes: Sequence[int], limit: int) -> list[list[int]]:
    """Places of the sizes, in order, in groups of at most `limit`; what is larger has a group of its own."""
    groups: list[list[int]] = []
    room = 0
    for i, size in enumerate(sizes):
        if not groups or size > room:
            groups.append([])
            room = limit
        groups[-1].append(i)
        room -= size
    return groups


def is_ours(name: str) -> bool:
    """Whether a file of this name is one that `write` may have written."""
    return name in (SINGLE, INDEX) or (name.startswith("model-") and name.endswith(".safetensors"))
