"""What a file's bytes are read from: a map of it, or the file itself, part by part."""

from __future__ import annotations

import errno
import mmap
import os
import stat
import threading
import weakref
from io import FileIO

import numpy as np

from .atomic import PathLike, naming
from .dtypes import Array
from .errors import FormatError
from .limits import ALIGN

_MOST_AT_ONCE = 2**30  # bytes; some systems refuse to read 2^31


class File:
    """A file to be read like a memoryview of its bytes: a slice is read when it is taken, into memory of its own.

    A map of a file that becomes shorter ends the process (SIGBUS) where its pages are touched; this raises.

    Args:
        path: The file. It stays open, whatever becomes of the name.
        readonly: Whether the memory of the slices is.

    Attributes:
        close: Lets go of the file; what was read stays.

    Raises:
        OSError: As `open` raises it; IsADirectoryError for a directory, EINVAL for what is no regular file.
    """

    def __init__(self, path: PathLike, *, readonly: bool = True) -> None:
        self.name = os.fspath(path)
        self.readonly = readonly
        self._file = _opened(path)
        self.close = weakref.finalize(self, self._file.close)  # at the latest when nobody has it any more
        self._lock = threading.Lock()
        with naming(self.name):
            self._size = os.fstat(self._file.fileno()).st_size

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, part: slice) -> memoryview:
        start, stop, step = part.indices(self._size)
        if step != 1:
            raise ValueError(f"a file is read without gaps, not in steps of {step}")
        held = aligned(max(0, stop - start)).data
        self.fill(held, start)
        return held.toreadonly() if self.readonly else held

    def fill(self, into: memoryview, start: int) -> None:
        """Read as many bytes as there is room for.

        Raises:
            FormatError: TRUNCATED, where the file has become shorter.
            OSError: From the system call, with the file's name.
        """
        at = 0
        with naming(self.name):
            while at < len(into):
                if not (read := self._read(into[at : at + _MOST_AT_ONCE], start + at)):
                    what = f"nothing is at byte {start + at} of {self._size}"
                    raise FormatError("TRUNCATED", f"{what}: the file was cut after it had been opened")
                at += read

    def _read(self, into: memoryview, start: int) -> int:
        """Some bytes from `start` on. Where the system has no positioned read, one thread after the other."""
        if hasattr(os, "preadv"):
            return os.preadv(self._file.fileno(), [into], start)
        with self._lock:
            self._file.seek(start)
            return self._file.readinto(into)


Buffer = bytes | bytearray | memoryview | mmap.mmap | File


def backing(path: PathLike, *, mapped: bool = True, private: bool = False) -> Buffer:
    """The bytes of a file, mapped or to be read; `private` ones may be written to, which never changes the file."""
    return map_file(path, private=private) if mapped else File(path, readonly=not private)


def map_file(path: PathLike, *, private: bool = False) -> mmap.mmap | bytes:
    """The whole file as a map: read-only, or a private writable one whose changes never reach the file.

    Raises:
        OSError: As `open` raises it; IsADirectoryError for a directory, EINVAL for what is no regular file.
    """
    with naming(path, unless_named=True), _opened(path) as file:
        if os.fstat(file.fileno()).st_size == 0:
            return b""
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY if private else mmap.ACCESS_READ)


def _opened(path: PathLike) -> FileIO:
    """A regular file; a pipe, which might never be written to, is not waited for."""
    file = open(path, "rb", buffering=0, opener=_open)  # noqa: SIM115
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "not a regular file", os.fspath(path))
    return file


def _open(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def aligned(nbytes: int) -> Array:
    """A new uint8 array at a multiple of 64: JAX on CPU takes such memory without a copy."""
    whole = np.empty(nbytes + ALIGN, np.uint8)
    start = -whole.ctypes.data % ALIGN
    return whole[start : start + nbytes]
