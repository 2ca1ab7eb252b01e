"""The converters' verbs: plan, convert, run, copy."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Unpack

from ptformat.atomic import PathLike

from . import plan_json
from .content import MAX_SHARD_BYTES, Saving, Source, whole
from .draft import Request, Steering
from .drafting import make
from .ends import Copied, Progress, check_target, opened, write_content
from .execute import content_of
from .files import sink_of
from .plan import Plan
from .provenance import undo


def plan(
    source: PathLike | Source,
    *,
    to: str,
    template: PathLike | Source | None = None,
    target: PathLike | None = None,
    **steering: Unpack[Steering],
) -> Plan:
    """Plan a conversion from the source's names and shapes; no tensor is read.

    A .ptf that records how it was converted is converted back as recorded, unless a rule or a template is given.

    Args:
        source: A file of any supported kind, or a `Source`.
        to: `torch`, `linen` or `nnx`.
        template: A file or `Source` whose structure the result gets, exactly: names, order, root; `source_of` makes one
            of a live or abstract object.
        target: Where the result would be written; what that kind of file cannot hold is then noted.
        steering: The rules of `Steering`.

    Returns:
        A plan without problems.

    Raises:
        ConversionError: With every problem at once.
        FormatError: When a file cannot be understood.
        OSError: When a file cannot be read.
    """
    sink = None if target is None else sink_of(target)
    request = Request(to=to, sink=sink, **steering)
    with opened(source) as held:
        if template is None:
            return _planned(held, request)
        with opened(template) as model:
            return _planned(held, replace(request, template=model))


def _planned(source: Source, request: Request) -> Plan:
    plain = not request.steered
    back = undo(source, request.to, request.tables) if plain and source.header.provenance else None
    made = back or make(source, request)
    made.given_header, made.given = source.header, list(source.entries)
    made.template = None if request.template is None else request.template.name
    made.notes[:0] = source.notes
    if back is not None:
        return back
    if source.header.provenance.get("origin") == request.to:
        why = "a rule or template was given" if not plain else "its tensors are no longer those it was converted to"
        made.notes.append(f"the conversion recorded in {source.name} is not undone: {why}")
    return made


def convert(
    source: PathLike,
    target: PathLike,
    *,
    to: str,
    template: PathLike | Source | None = None,
    codec: str = "raw",
    max_shard_bytes: int = MAX_SHARD_BYTES,
    durable: bool = True,
    progress: Progress | None = None,
    total: Progress | None = None,
    **steering: Unpack[Steering],
) -> Plan:
    """Convert a file: plan, then write. Memory is bounded by a constant, whatever the model.

    Args:
        source: A file of any supported kind, recognised by what it holds.
        target: The file to write, of the kind its suffix says, replaced in one step; without a suffix a directory.
        to: `torch`, `linen` or `nnx`.
        template: A file or `Source` whose structure the result gets, exactly.
        codec: `raw` or `zstd`, for a .ptf.
        max_shard_bytes: Bytes of tensors in one file of a Hugging Face directory.
        durable: Whether the file is on disk on return.
        progress: Called with the bytes written since it was last called.
        total: Called once with all the bytes there are to write.
        steering: The rules of `Steering`.

    Returns:
        The plan that was run.

    Raises:
        ConversionError: With every problem at once; nothing is written.
        FormatError: When a file cannot be understood, or cannot hold the result.
        OSError: From the file system.
    """
    kind = check_target(source, target)
    with contextlib.ExitStack() as stack:
        held = stack.enter_context(opened(source))
        model = None if template is None else stack.enter_context(opened(template))
        made = plan(held, to=to, template=model, target=target, **steering)
        saving = Saving(codec=codec, durable=durable, origin=os.fspath(source), max_shard_bytes=max_shard_bytes)
        content = content_of(made, held, recorded=kind.records, template=model)
        write_content(content, kind, target, saving, progress, total)
    return made


def run(
    plan: Plan | Mapping[str, Any] | PathLike,
    source: PathLike | Source,
    target: PathLike,
    *,
    template: PathLike | Source | None = None,
    codec: str = "raw",
    max_shard_bytes: int = MAX_SHARD_BYTES,
    durable: bool = True,
    progress: Progress | None = None,
    total: Progress | None = None,
) -> Plan:
    """Run a plan: one that was made before, was saved, was changed by hand, or is the inverse of another.

    Args:
        plan: A `Plan`, what its `to_json` gave, or the path of that as JSON.
        source: A file or `Source` of the names, shapes and types that the plan is for; no tensor more or less.
        target: The file to write, of the kind its suffix says; without a suffix a directory.
        template: Where the tensors are that the plan keeps of its template.
        codec: `raw` or `zstd`, for a .ptf.
        max_shard_bytes: Bytes of tensors in one file of a Hugging Face directory.
        durable: Whether the file is on disk on return.
        progress: Called with the bytes written since it was last called.
        total: Called once with all the bytes there are to write.

    Returns:
        The plan that was run.

    Raises:
        ConversionError: With every tensor that cannot be made as the plan says; nothing is written.
        FormatError: When the plan is none or a file cannot be understood, or cannot hold the result.
        OSError: From the file system.
    """
    origin = os.fspath(source) if isinstance(source, (str, os.PathLike)) else None
    kind = sink_of(target) if origin is None else check_target(origin, target)
    with contextlib.ExitStack() as stack:
        held = stack.enter_context(opened(source))
        model = None if template is None else stack.enter_context(opened(template))
        if isinstance(plan, (str, os.PathLike)):
            made = plan_json.read(plan, held, model)
        else:
            made = plan_json.from_json(plan.to_json() if isinstance(plan, Plan) else plan, held, model)
        saving = Saving(codec=codec, durable=durable, origin=origin, max_shard_bytes=max_shard_bytes)
        content = content_of(made, held, recorded=kind.records, template=model)
        write_content(content, kind, target, saving, progress, total)
    return made


def copy(
    source: PathLike,
    target: PathLike,
    *,
    codec: str = "raw",
    max_shard_bytes: int = MAX_SHARD_BYTES,
    durable: bool = True,
    progress: Progress | None = None,
    total: Progress | None = None,
) -> Copied:
    """Write the same tree into another kind of file, or another codec.

    Args:
        source: A file of any supported kind.
        target: The file to write, of the kind its suffix says; without a suffix a directory.
        codec: `raw` or `zstd`, for a .ptf.
        max_shard_bytes: Bytes of tensors in one file of a Hugging Face directory.
        durable: Whether the file is on disk on return.
        progress: Called with the bytes written since it was last called.
        total: Called once with all the bytes there are to write.

    Raises:
        FormatError: When the source cannot be understood, or the target cannot hold it.
        OSError: From the file system.
    """
    kind = check_target(source, target)
    with opened(source) as held:
        saving = Saving(codec=codec, durable=durable, origin=os.fspath(source), max_shard_bytes=max_shard_bytes)
        done = write_content(whole(held), kind, target, saving, progress, total)
        return replace(done, notes=(*held.notes, *done.notes))
