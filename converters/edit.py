"""A tree changed on its way into a new file: renamed, dropped, cast, tied, untied; its metadata set."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any

import numpy as np

from ptformat import structure
from ptformat.atomic import PathLike
from ptformat.bands import byte_pieces, regrouped
from ptformat.columns import Header, columns_of
from ptformat.dtypes import BY_NAME, named
from ptformat.errors import FormatError
from ptformat.tree import Alias, Entry, TensorInfo

from .casting import Cast, cast_pieces
from .content import MAX_SHARD_BYTES, Content, Pieces, Saving, Source, moved
from .ends import check_target, opened, write_content
from .problems import ConversionError, Problem
from .reshape import Leaves, Shared, emitted

Pairs = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Edited:
    """What an edit wrote.

    Attributes:
        tensors: Number of tensors, under every name that the file holds.
        nbytes: Their decoded bytes.
        repeated: How many are tied, and written again because the file cannot hold those ties.
        renamed: Old path -> new path of every leaf that has another.
        dropped: The leaves left out, by their old paths.
        casts: New path -> what was rounded, of every tensor that was cast.
        notes: How the source was read, what else changed, such as a list that lost an item and is a map now, and what
            the file cannot tell.
    """

    tensors: int
    nbytes: int
    repeated: int
    renamed: Mapping[str, str]
    dropped: Sequence[str]
    casts: Mapping[str, Cast]
    notes: Sequence[str]


@dataclass(slots=True)
class _Changes:
    """What was asked for, and what is wrong with it."""

    rename: Pairs
    drop: Sequence[str]
    cast: Pairs
    metadata: Mapping[str, Any]
    tie: Pairs
    untie: Sequence[str]
    problems: dict[Problem, None] = field(default_factory=dict)  # in order, each once

    def problem(self, kind: str, path: str, text: str) -> None:
        self.problems[Problem(kind, path, text)] = None


def edit(
    source: PathLike | Source,
    target: PathLike,
    *,
    rename: Pairs = (),
    drop: Sequence[str] = (),
    cast: Pairs = (),
    metadata: Mapping[str, Any] | None = None,
    tie: Pairs = (),
    untie: Sequence[str] = (),
    codec: str = "raw",
    max_shard_bytes: int = MAX_SHARD_BYTES,
    durable: bool = True,
    progress: Callable[[int], None] | None = None,
    total: Callable[[int], None] | None = None,
) -> Edited:
    """Write a changed tree into a new file, streamed; the source is only read.

    All paths and globs are of the source as it is. It is untied first, then tied, dropped, cast, and renamed last.

    Args:
        source: A file of any supported kind, or a `Source`.
        target: The file to write, of the kind its suffix says.
        rename: (regex, new) pairs on whole dotted paths, anchored at whole segments; at most one may match a path.
        drop: Globs of tensors and values to leave out. Where a tied tensor goes, its first other name gets it.
        cast: (glob, dtype) pairs, between floating types alone; the first that matches decides. Other tensors that a
            wildcard matches stay as they are.
        metadata: Key -> value to set, or None to remove the key.
        tie: (a, b) pairs to make one tensor of, if shape, type and bits are equal; what stands second is the alias.
        untie: Paths that get a tensor of their own.
        codec: As of `Writer`, for a .ptf.
        max_shard_bytes: Bytes of tensors in one file of a Hugging Face directory.
        durable: Whether the file is on disk on return.
        progress: Called with the bytes written since it was last called.
        total: Called once with all the bytes there are to write.

    Returns:
        What changed.

    Raises:
        ConversionError: With every problem at once; nothing is written.
        FormatError: When a file cannot be understood, or cannot hold the result.
        OSError: From the file system.
    """
    asked = _Changes(rename, drop, cast, metadata or {}, tie, untie)
    origin = os.fspath(source) if isinstance(source, (str, os.PathLike)) else source.name
    kind = check_target(origin, target)
    with opened(source) as held:
        leaves = Leaves(held.entries)
        _untie(leaves, asked)
        _tie(leaves, asked, held)
        dropped = _drop(leaves, asked)
        kinds = _cast(leaves, asked)
        renamed, entries = emitted(leaves, asked.rename, kinds, asked.problem)
        header = _header(held.header, asked)
        if not asked.problems:
            _check(entries, header, asked)
        if asked.problems:
            raise ConversionError([*asked.problems])
        notes = [*held.notes, *leaves.notes]
        if header.provenance and (renamed or dropped or kinds or tie or untie):
            header.provenance.clear()
            notes.append("the record of a conversion is left out: what it says of the tensors no longer holds")
        casts: dict[str, Cast] = {}
        content = _content(held, leaves, entries, renamed, kinds, header, casts)
        saving = Saving(codec=codec, durable=durable, origin=origin, max_shard_bytes=max_shard_bytes)
        done = write_content(content, kind, target, saving, progress, total)
        notes += done.notes
    return Edited(
        tensors=done.tensors,
        nbytes=done.nbytes,
        repeated=done.repeated,
        renamed=renamed,
        dropped=dropped,
        casts=casts,
        notes=notes,
    )


def _untie(leaves: Leaves, asked: _Changes) -> None:
    for path in asked.untie:
        if path not in leaves.shared:
            asked.problem("missing", path, f"--untie '{path}': there is no such tensor")
        elif len(leaves.names(path)) == 1:
            asked.problem("unused", path, f"--untie '{path}': it is tied to nothing")
        else:
            leaves.shared[path] = leaves.shared[path].apart(path)


def _tie(leaves: Leaves, asked: _Changes, source: Source) -> None:
    for left, right in asked.tie:
        text = f"--tie '{left}={right}'"
        absent = [path for path in (left, right) if path not in leaves.shared]
        if absent:
            for path in absent:
                asked.problem("missing", path, f"{text}: there is no tensor {path!r}")
            continue
        a, b = leaves.shared[left], leaves.shared[right]
        if a.key == b.key:
            asked.problem("unused", right, f"{text}: they are one tensor already")
            continue
        kinds = [f"{leaves.shape(path)} {leaves.shared[path].info.dtype}" for path in (left, right)]
        if kinds[0] != kinds[1]:
            asked.problem("shape", right, f"{text}: {left} is {kinds[0]}, {right} is {kinds[1]}")
        elif at := _unequal(source, a, b):
            asked.problem("contradiction", right, f"{text}: their bytes differ, first at byte {at - 1:,}")
        else:
            leaves.join(left, right)


def _unequal(source: Source, a: Shared, b: Shared) -> int:
    """One more than the first byte in which two tensors differ; 0 where they are equal."""
    size, at = 2**22, 0
    streams = (regrouped(moved(source, each.info.path, each.info.dtype, each.perm), size) for each in (a, b))
    for left, right in zip(*streams, strict=True):
        differs = np.frombuffer(left, np.uint8) != np.frombuffer(right, np.uint8)
        if differs.any():
            return at + int(differs.argmax()) + 1
        at += len(left)
    return 0


def _drop(leaves: Leaves, asked: _Changes) -> list[str]:
    dropped = []
    unused = dict.fromkeys(asked.drop)
    for path in leaves.paths:
        found = [glob for glob in asked.drop if fnmatchcase(path, glob)]
        for glob in found:
            unused.pop(glob, None)
        if found:
            dropped.append(path)
    for glob in unused:
        asked.problem("unused", glob, f"--drop '{glob}' matches no tensor and no value")
    leaves.remove(dropped)
    if dropped and not leaves.paths:
        asked.problem("unexpected", asked.drop[0], "nothing is left of the tree")
    return dropped


def _cast(leaves: Leaves, asked: _Changes) -> dict[str, str]:
    """Key of a shared tensor -> its new type."""
    rules = []
    for glob, dtype in asked.cast:
        if dtype not in BY_NAME:
            asked.problem("dtype", glob, f"--cast '{glob}={dtype}': there is no type {dtype!r}")
        elif not BY_NAME[dtype].floating:
            asked.problem("dtype", glob, f"--cast '{glob}={dtype}': only between floating types; {dtype} is none")
        else:
            rules.append((glob, dtype))
    unused = dict.fromkeys(rules)
    kinds: dict[str, str] = {}
    deciding: dict[str, str] = {}
    for path, shared in leaves.shared.items():
        rule = next((rule for rule in rules if fnmatchcase(path, rule[0])), None)
        if rule is None:
            continue
        glob, dtype = rule
        text = f"--cast '{glob}={dtype}'"
        old, new = named(shared.info.dtype), named(dtype)
        if not old.floating and glob != path:
            continue
        unused.pop(rule, None)
        if not old.floating or old.components != new.components:
            asked.problem("dtype", path, f"{text}: {path} is {old.name}, from which there is no cast to {dtype}")
        elif kinds.setdefault(shared.key, dtype) != dtype:
            text = f"{path} is tied to {deciding[shared.key]}, which becomes {kinds[shared.key]}, not {dtype}"
            asked.problem("contradiction", path, text)
        else:
            deciding[shared.key] = path
    for glob, dtype in unused:
        asked.problem("unused", glob, f"--cast '{glob}={dtype}' matches no floating tensor")
    of = {shared.key: shared.info.dtype for shared in leaves.shared.values()}
    return {key: dtype for key, dtype in kinds.items() if of[key] != dtype}


def _header(header: Header, asked: _Changes) -> Header:
    metadata = dict(header.metadata)
    for key, value in asked.metadata.items():
        if value is not None:
            metadata[key] = value
        elif metadata.pop(key, None) is None:
            asked.problem("unused", key, f"--metadata '{key}': there is no such key to remove")
    return replace(header, metadata=metadata, provenance=dict(header.provenance))


def _check(entries: list[Entry], header: Header, asked: _Changes) -> None:
    """Whether what comes out is one tree, before a byte of it is written."""
    rows = {entry.path: row for row, entry in enumerate(entries)}
    try:
        structure.check(columns_of(header, 0, entries, rows, []))
    except FormatError as error:
        asked.problem("unsupported", error.path or "", f"the result would be no tree: {error.message}")


def _content(
    source: Source,
    leaves: Leaves,
    entries: list[Entry],
    renamed: Mapping[str, str],
    kinds: Mapping[str, str],
    header: Header,
    casts: dict[str, Cast],
) -> Content:
    by_path = {renamed.get(path, path): shared for path, shared in leaves.shared.items()}

    def pieces(entry: TensorInfo | Alias) -> Pieces:
        shared = by_path[entry.path]
        info, perm = shared.info, shared.perm
        if shared.key not in kinds:
            return moved(source, info.path, info.dtype, perm)
        stored = moved(source, info.path, info.dtype, perm)
        shape = info.shape if perm is None else tuple(info.shape[i] for i in perm)
        cast = casts[entry.path] = Cast(info.dtype, kinds[shared.key])
        flat = TensorInfo(info.path, info.dtype, shape)
        return (
            piece for band in cast_pieces(stored, flat, cast) for piece in byte_pieces(band, named(kinds[shared.key]))
        )

    return Content(entries, header, pieces)
