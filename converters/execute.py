"""A plan over a source as content for a sink: streamed, in bands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from ptformat.bands import byte_pieces
from ptformat.dtypes import named
from ptformat.tree import Alias, TensorInfo

from .content import Content, Pieces, Source, moved
from .plan import Plan, compose
from .provenance import record


def content_of(plan: Plan, source: Source, *, recorded: bool) -> Content:
    """What a sink writes when a plan runs.

    Args:
        plan: A plan made for this source.
        source: Where the tensors are.
        recorded: Whether the target can hold the record by which the conversion is undone.
    """

    def pieces(entry: TensorInfo | Alias) -> Pieces:
        step = plan.steps[entry.target if isinstance(entry, Alias) else entry.path]
        dtype = named(step.target.dtype)
        if step.source is None:
            return byte_pieces(np.full(step.target.shape, step.fill, dtype.numpy), dtype)
        perm = step.perm
        if isinstance(entry, Alias) and entry.perm:
            perm = compose(perm, entry.perm)
        return moved(source, step.source, dtype.name, perm)

    header = plan.header
    if recorded and not plan.undone:
        header = replace(header, provenance=record(plan, source))
    return Content(plan.entries, header, pieces)


def counted(content: Content, progress: Callable[[int], None] | None) -> Content:
    """The same content, telling `progress` the size of each piece as it is taken."""
    if progress is None:
        return content

    def pieces(entry: TensorInfo | Alias) -> Any:
        for piece in content.pieces(entry):
            yield piece
            progress(memoryview(piece).nbytes)

    return Content(content.entries, content.header, pieces)
