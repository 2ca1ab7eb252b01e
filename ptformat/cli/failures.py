"""What can be refused before any work, and whose fault an error is."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator

import click

from ..errors import FormatError, MissingPackage


class Failure(Exception):
    """A command that failed.

    Attributes:
        lines: What to say: one line, and one more for each problem where there are several.
    """

    def __init__(self, *lines: str) -> None:
        super().__init__(*lines)
        self.lines = lines


@contextlib.contextmanager
def about(path: str) -> Iterator[None]:
    """Name the file in the errors that do not name it themselves."""
    try:
        yield
    except FormatError as error:
        first, *rest = error.message.split("\n")  # several problems: a head and a line for each
        raise Failure(f"{path}: {error.code}: {first}", *(line.strip() for line in rest)) from error
    except MissingPackage as error:
        raise Failure(f"{path}: {error}") from error
    except OSError as error:
        if error.errno is not None and error.filename is None and error.errno != errno.EPIPE:
            error.filename = path
        raise


def check_source(path: str) -> None:
    """A source must be there, and be a file or a directory: reading a pipe or a device might never end.

    Raises:
        OSError: With the path as its file name.
    """
    mode = os.stat(path).st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise OSError(errno.EINVAL, "not a regular file", path)


def check_target(source: str, target: str) -> None:
    """Refuse a target that is the source or whose name does not say what to write.

    Raises:
        click.UsageError: For both.
        IsADirectoryError: When the target is one and a file is to be written.
    """
    if _same(source, target):
        raise click.UsageError(f"{target}: source and target are the same file")
    from ..converters.files import sink_of

    kind, why = None, ""
    try:
        kind = sink_of(target)
    except FormatError as error:
        why = error.message
    if os.path.isdir(target) and not (kind and kind.folder):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), target)
    if kind is None:
        raise click.UsageError(why)


def _same(source: str, target: str) -> bool:
    try:
        return os.path.samefile(source, target)  # hard links too
    except OSError:
        return os.path.realpath(source) == os.path.realpath(target)
