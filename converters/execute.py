"""A plan over a source as content for a sink: streamed, in bands."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from ptformat.codecs import THREADS
from ptformat.dtypes import Array
from ptformat.tree import Alias, TensorInfo

from . import operations as ops
from .content import Content, Pieces, Source
from .evaluate import nonzero
from .evaluate import pieces as evaluated
from .operations import Given
from .plan import Plan
from .problems import ConversionError, Problem
from .provenance import record

BEGUN_BYTES = 64 * 2**20  # of a tensor that is begun while the one before it is written


def content_of(plan: Plan, source: Source, *, recorded: bool, template: Source | None = None) -> Content:
    """What a sink writes when a plan runs.

    Args:
        plan: A plan made for this source.
        source: Where the tensors are.
        recorded: Whether the target can hold the record by which the conversion is undone.
        template: Where the tensors are that the plan keeps of it.

    Raises:
        ConversionError: `lossy`, where the source holds something that the plan says is zero.
    """
    check(plan, source)
    pool = ThreadPoolExecutor(THREADS)  # it starts a thread when there is work for it, and ends with the content

    def begun(entry: TensorInfo | Alias) -> Pieces:
        made = plan.steps[entry.target if isinstance(entry, Alias) else entry.path].made
        if isinstance(entry, Alias) and entry.perm:
            made = ops.permute(made, entry.perm)
        if isinstance(made, Given):
            return _of(made, source, template).pieces(made.path)
        return evaluated(
            made,
            lambda given: _of(given, source, template).array(given.path),
            lambda given: _of(given, source, template).pieces(given.path),
            pool,
        )

    tensors = [entry for entry in plan.entries if isinstance(entry, TensorInfo)]
    after = dict(zip((entry.path for entry in tensors), tensors[1:], strict=False))
    next_one: dict[str, Pieces] = {}
    in_order = True  # whether the sink asks for tensors as they stand in the plan

    def pieces(entry: TensorInfo | Alias) -> Pieces:
        nonlocal in_order
        if isinstance(entry, Alias):
            return begun(entry)
        found = next_one.pop(entry.path, None) or begun(entry)
        in_order = in_order and not next_one
        next_one.clear()
        coming = after.get(entry.path)
        if in_order and coming is not None and coming.nbytes <= BEGUN_BYTES:
            next_one[coming.path] = begun(coming)
        return found

    header = plan.header
    if recorded and not plan.undone:
        header = replace(header, provenance=record(plan, source))
    return Content(plan.entries, header, pieces)


def _of(given: Given, source: Source, template: Source | None) -> Source:
    """Where a tensor is."""
    if not given.kept:
        return source
    if template is None:
        raise ValueError(f"{given.path} is kept from the template, which is not given")
    return template


def check(plan: Plan, source: Source) -> None:
    """Read what the plan says is zero; a problem for each tensor that has something else there."""

    def array(given: Given) -> Array:
        return source.array(given.path)

    problems = []
    for condition in plan.conditions:
        count = nonzero(condition.made, array)
        if count:
            path = ops.sources(condition.made)[0].path
            of = f"{count} of its {condition.made.count} elements are not 0"
            problems.append(Problem("lossy", path, f"{path}: {condition.text}, must be 0, but {of}"))
    if problems:
        raise ConversionError(problems)


def counted(content: Content, progress: Callable[[int], None] | None) -> Content:
    """The same content, telling `progress` the size of each piece as it is taken."""
    if progress is None:
        return content

    def pieces(entry: TensorInfo | Alias) -> Any:
        for piece in content.pieces(entry):
            yield piece
            progress(memoryview(piece).nbytes)

    return Content(content.entries, content.header, pieces)
