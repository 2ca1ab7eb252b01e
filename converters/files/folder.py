"""A directory that appears whole under its name or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn, Protocol, TypeVar

from ptformat.atomic import PathLike, followed, naming
from ptformat.errors import FormatError

from .exchange import exchange

_TRIES = 20
_WINDOWS = os.name == "nt"  # there a directory cannot be opened, and so not put on disk


class _Closed(Protocol):
    def close(self) -> None:
        """Let go of what is open."""


Opened = TypeVar("Opened", bound=_Closed)


@contextlib.contextmanager
def whole_folder(path: PathLike, replaceable: Callable[[Path], bool], *, durable: bool = True) -> Iterator[Path]:
    """A temporary sibling directory to fill, that takes the name `path` at the end, or is removed after an error.

    One that has the name is replaced in one step, by an exchange of names. Where the file system has none, such as NFS,
    it is moved aside first: of a process that is killed in between it is left as `.<name>.<random>.old`.

    Args:
        path: The name. A directory of that name that is not empty gives way only if it is `replaceable`.
        replaceable: Whether a directory is of the kind that is written, and may be replaced as a whole.
        durable: Whether files and names are on disk on return.

    Raises:
        FormatError: FORMAT when another directory, not empty, has the name.
        OSError: From the system call that failed, with the caller's name for the directory and what is in it;
            NotADirectoryError for a file of that name.
    """
    name = os.fspath(path)
    with naming(name):
        target = Path(followed(str(Path(name))))
        made = target.with_name(f".{target.name[:40]}.{secrets.token_hex(4)}.tmp")
        if target.is_dir():
            if any(target.iterdir()) and not replaceable(target):
                raise FormatError("FORMAT", f"{name} is a directory of another kind and not empty; give another name")
        elif os.path.lexists(target):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        made.mkdir()
    try:
        yield made
        if durable:
            _sync(made)
        with naming(name):
            replaced = _put(made, target)
    except BaseException as error:
        _remove(made)
        if isinstance(error, OSError) and str(error.filename).startswith(str(made)):
            # The caller's name instead of the temporary one.
            error.filename, error.filename2 = os.path.normpath(name + str(error.filename)[len(str(made)) :]), None
        raise
    try:
        if durable:
            with naming(name):
                _sync_one(target.parent)
    finally:  # not before: after a power cut, what was removed and what has the name must not be the same
        if replaced is not None:
            _remove(replaced)


def settled(folder: Path, opening: Callable[[], Opened]) -> Opened:
    """What is opened of a folder's files, all of one folder: once more where another one took its name meanwhile.

    Raises:
        FormatError: What is wrong with files of one folder; FORMAT when it never stays the same for long enough.
        OSError: When they cannot be read.
    """
    for _ in range(_TRIES):
        with _held(folder) as same:
            try:
                opened = opening()
            except (FormatError, OSError):
                if same():
                    raise
                continue
            if same():
                return opened
            opened.close()
    raise FormatError("FORMAT", f"{folder} was replaced {_TRIES} times while it was being opened")


@contextlib.contextmanager
def _held(folder: Path) -> Iterator[Callable[[], bool]]:
    """Tells whether the name is still that of the directory it is now, which is held: no other gets its number."""
    if _WINDOWS:  # nor can one be replaced while files in it are open
        yield lambda: True
        return
    fd = os.open(folder, os.O_RDONLY)
    try:
        yield lambda: os.path.samestat(os.fstat(fd), os.stat(folder))
    finally:
        os.close(fd)


def _put(made: Path, target: Path) -> Path | None:
    """Give a directory its name; where the one that had it is now, if one had it."""
    if not target.is_dir():
        try:
            made.rename(target)
            return None
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):  # else another save was first
                raise
    if exchange(str(made), str(target)):
        return made
    old = made.with_suffix(".old")
    target.rename(old)
    try:
        made.rename(target)
    except OSError as error:
        try:
            old.rename(target)
        except OSError:
            raise OSError(error.errno, f"{error.strerror}; what was there is now {old}") from error
        raise
    return old


def _remove(folder: Path) -> None:
    with contextlib.suppress(OSError):  # some errors, such as of `close`, are not ignored
        shutil.rmtree(folder, ignore_errors=True)


def walk(folder: Path) -> Iterator[tuple[str, list[str], list[str]]]:
    """`os.walk`, but what cannot be listed is an error, and not left out."""

    def raised(error: OSError) -> NoReturn:
        raise error

    return os.walk(folder, onerror=raised)


def _sync(folder: Path) -> None:
    """Put every file and every name beneath on disk."""
    for at, _, files in walk(folder):
        for name in files:
            _sync_one(Path(at, name))
        _sync_one(Path(at))


def _sync_one(path: Path) -> None:
    """Put a file, or the names in a directory, on disk."""
    if _WINDOWS:
        return
    with naming(path, unless_named=True):
        fd = os.open(path, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
