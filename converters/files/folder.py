"""A directory that appears whole under its name or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from ptformat.atomic import PathLike
from ptformat.errors import FormatError

_SYNCED = os.name != "nt"  # there a directory cannot be opened for fsync


@contextlib.contextmanager
def whole_folder(path: PathLike, replaceable: Callable[[Path], bool], *, durable: bool = True) -> Iterator[Path]:
    """A temporary sibling directory to fill, that takes the name `path` at the end, or is removed after an error.

    Args:
        path: The name. A directory of that name that is not empty gives way only if it is `replaceable`.
        replaceable: Whether a directory is of the kind that is written, and may be replaced as a whole.
        durable: Whether files and names are on disk on return.

    Raises:
        FormatError: FORMAT when another directory, not empty, has the name.
        OSError: From the system call that failed; NotADirectoryError for a file of that name.
    """
    name = os.fspath(path)
    target = Path(os.path.realpath(name))
    if target.is_dir():
        if any(target.iterdir()) and not replaceable(target):
            raise FormatError("FORMAT", f"{name} is a directory of another kind and not empty; give another name")
    elif target.exists():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), name)
    made = target.with_name(f".{target.name[:40]}.{secrets.token_hex(4)}.tmp")
    old = made.with_suffix(".old")
    try:
        made.mkdir()
    except OSError as error:
        error.filename = name
        raise
    try:
        yield made
        if durable and _SYNCED:
            _sync(made)
        if target.is_dir():
            target.rename(old)  # a directory that is not empty cannot be replaced in one step
        try:
            made.rename(target)
        except BaseException:
            if old.exists():
                old.rename(target)
            raise
    except BaseException as error:
        shutil.rmtree(made, ignore_errors=True)
        if isinstance(error, OSError) and str(error.filename).startswith(str(made)):
            # The caller's name instead of the temporary one.
            error.filename, error.filename2 = os.path.normpath(name + str(error.filename)[len(str(made)) :]), None
        raise
    shutil.rmtree(old, ignore_errors=True)
    if durable and _SYNCED:
        _sync_one(target.parent)


def _sync(folder: Path) -> None:
    """Put every file and every name beneath on disk."""
    for at, _, files in os.walk(folder):
        for name in files:
            _sync_one(Path(at, name))
        _sync_one(Path(at))


def _sync_one(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
