"""A file that appears whole under its name or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Iterator
from typing import Any

from .pages import Pages

PathLike = str | os.PathLike[str]
SMALL_BYTES = 64 * 2**10  # what is smaller is held until there is enough for one call of the system
HELD_BYTES = 256 * 2**10
MAX_LINKS = 40  # Linux' own limit


class AtomicFile:
    """A temporary sibling of `path`, written front to back, that takes the name when it is committed.

    Symbolic links are followed: the file a link points to is replaced. The mode is that of the file replaced, or
    what the umask leaves of 0666.

    Args:
        path: The name it will have.
        durable: Whether file and name are on disk when it has been committed.
        ahead: Whether the writer leaves a core idle, on which pages can be made ahead (see `pages`).

    Raises:
        OSError: From the system call that failed, with `path` as its file name. IsADirectoryError for a directory,
            and OSError (EINVAL) for a target that exists and is no regular file.
    """

    def __init__(self, path: PathLike, *, durable: bool = True, ahead: bool = False) -> None:
        self.name = os.fspath(path)
        self.position = 0
        self._durable = durable
        self._open = True
        self._held = bytearray()
        with naming(self.name):
            self._target = followed(self.name)
            mode = self._replaced_mode()
            folder, base = os.path.split(self._target)
            self._temporary = os.path.join(folder, f".{base[:40]}.{secrets.token_hex(4)}.tmp")
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
            self._fd = os.open(self._temporary, flags, 0o666)
            self._pages = Pages(self._fd, ahead=ahead, durable=durable)
            try:
                if mode is not None:
                    os.chmod(self._temporary, mode)
            except OSError:
                self.abort()
                raise

    def _replaced_mode(self) -> int | None:
        try:
            found = os.stat(self._target)
        except FileNotFoundError:
            return None
        if stat.S_ISDIR(found.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "not a regular file")
        return stat.S_IMODE(found.st_mode)

    def write(self, data: Any) -> None:
        """Append all bytes of a buffer; small ones reach the system, and its errors the caller, by `commit`."""
        view = memoryview(data)
        if view.nbytes < SMALL_BYTES:
            if self._fd < 0:
                raise OSError(errno.EBADF, os.strerror(errno.EBADF), self.name)
            self._held += view
            if len(self._held) >= HELD_BYTES:
                self._flush()
        else:
            self._flush()
            self._append(view.cast("B"))
        self.position += view.nbytes

    def _flush(self) -> None:
        if self._held:
            held, self._held = self._held, bytearray()
            self._append(memoryview(held))

    def _append(self, view: memoryview) -> None:
        """Write all of it, however short the system's writes are."""
        with naming(self.name):
            while view:
                try:
                    written = os.write(self._fd, view)
                except OSError:
                    if not self._pages.stop():  # else those made ahead may be what there is no space for
                        raise
                    continue
                self._pages.advance(written)
                view = view[written:]

    def commit(self) -> None:
        """Give the file its name. With `durable`, its bytes and then its name are on disk on return.

        A failed fsync is not retried: the kernel may have dropped the pages (it would then report success).
        """
        try:
            with naming(self.name):
                self._flush()
                self._pages.stop()
                if self._durable:
                    os.fsync(self._fd)
                self._close()
                os.replace(self._temporary, self._target)
        except BaseException:
            self.abort()
            raise
        self._open = False
        if self._durable:
            with naming(self.name):
                _sync_folder(os.path.dirname(self._target))

    def abort(self) -> None:
        """Remove the temporary file; the target stays as it was. Does nothing after `commit`."""
        if not self._open:
            return
        self._open = False
        with contextlib.suppress(OSError):
            self._pages.stop()
        with contextlib.suppress(OSError):
            self._close()
        with contextlib.suppress(OSError):
            os.unlink(self._temporary)

    def _close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def __enter__(self) -> AtomicFile:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is None:
            self.commit()
        else:
            self.abort()


def followed(path: PathLike) -> str:
    """Where a name leads over symbolic links, as an absolute path; no file need be there.

    Unlike `os.path.realpath`, which takes what it cannot look at for no link: that link would be replaced.

    Raises:
        OSError: When a link cannot be read, or the links lead in a circle.
    """
    at = os.fspath(path)
    for _ in range(MAX_LINKS):
        folder, base = os.path.split(at)
        folder = os.path.realpath(folder, strict=True)
        if base in (os.curdir, os.pardir):
            return os.path.realpath(at, strict=True)
        at = os.path.join(folder, base)
        if not base:  # the name ends in a slash, and is that of a directory
            return at
        try:
            at = os.path.join(folder, os.readlink(at))
        except FileNotFoundError:
            return at
        except OSError as error:
            if error.errno == errno.EINVAL:  # no link
                return at
            raise
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), os.fspath(path))


@contextlib.contextmanager
def naming(path: PathLike, *, unless_named: bool = False) -> Iterator[None]:
    """Put the caller's file name into an OSError, in place of a temporary one.

    Args:
        path: The name.
        unless_named: Only into one that names no file.
    """
    try:
        yield
    except OSError as error:
        if not unless_named or (error.errno is not None and error.filename is None):
            error.filename, error.filename2 = os.fspath(path), None
        raise


def _sync_folder(folder: str) -> None:
    if os.name == "nt":  # a directory cannot be opened for fsync there
        return
    fd = os.open(folder, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
