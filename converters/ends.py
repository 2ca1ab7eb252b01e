"""Both ends of every verb: what is read is opened, what is written is checked, counted and named."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ptformat.atomic import PathLike
from ptformat.errors import FormatError
from ptformat.tree import TensorInfo

from .content import Content, Saving, Source, untied
from .execute import counted
from .files import Kind, open_source, sink_of, write

Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Copied:
    """What a copy wrote.

    Attributes:
        tensors: Number of tensors, under every name that the file holds.
        nbytes: Their decoded bytes.
        repeated: How many of them are tied in the source, and written again because the file cannot hold those ties.
        notes: What a user should know: how the source was read, and what else the file cannot tell.
    """

    tensors: int
    nbytes: int
    repeated: int = 0
    notes: tuple[str, ...] = ()


def write_content(
    content: Content,
    kind: Kind,
    target: PathLike,
    saving: Saving,
    progress: Progress | None,
    total: Progress | None,
) -> Copied:
    """Write, and say what: in a file without ties a tied tensor counts under each of its names."""
    once = [entry for entry in content.entries if isinstance(entry, TensorInfo)]
    written = [info for info, _ in untied(content.entries, kind.spells_out)]
    lost = tuple(f"{kind.name}: {line}" for line in kind.losses(content)) if kind.losses else ()
    done = Copied(len(written), sum(info.nbytes for info in written), len(written) - len(once), lost)
    if total is not None:
        total(done.nbytes)
    write(counted(content, progress), target, saving)
    return done


def check_target(source: PathLike, target: PathLike) -> Kind:
    """The kind of the target; FORMAT when it is the source itself or its suffix is not known."""
    kind = sink_of(target)
    if os.path.exists(target) and os.path.exists(source) and os.path.samefile(source, target):
        raise FormatError("FORMAT", f"{os.fspath(target)} is the source itself; give the result another name")
    return kind


@contextlib.contextmanager
def opened(source: PathLike | Source) -> Iterator[Source]:
    """A source as it is, or the file of that path as one, closed at the end."""
    if not isinstance(source, (str, os.PathLike)):
        yield source
        return
    with contextlib.closing(open_source(source)) as held:
        yield held
