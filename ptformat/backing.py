"""What a file's bytes are read from: a map of it, or the file itself, part by part."""

from __future__ import annotations

import mmap
import os
import threading
import weakref

import numpy as np

from .atomic import PathLike, naming
from .dtypes import Array
from .errors import FormatError
from .limits import ALIGN


class File:
    """A file to be read like a memoryview of its bytes: a slice is read when it is taken, into memory of its own.

    A map of a file that becomes shorter ends the process (SIGBUS) where its pages are touched; this raises.

    Args:
        path: The file. It stays open, whatever becomes of the name.
        readonly: Whether the memory of the slices is.

    Attributes:
        close: Lets go of the file; what was read stays.

    Raises:
        OSError: As `open` raises it; IsADirectoryError for a directory.
    """

    def __init__(self, path: PathLike, *, readonly: bool = True) -> None:
        self.name = os.fspath(path)
        self.readonly = readonly
        self._file = open(path, "rb", buffering=0)  # noqa: SIM115
        self.close = weakref.finalize(self, self._file.close)  # at the latest when nobody has it any more
        self._lock = threading.Lock()
        with naming(self.name):
            self._size = os.fstat(self._file.fileno()).st_size

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, part: slice) -> memoryview:
        start, stop, _ = part.indices(self._size)
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
                if not (read := self._read(into[at:], start + at)):
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
        OSError: As `open` raises it; IsADirectoryError for a directory.
    """
    with naming(path, unless_named=True), open(path, "rb", buffering=0) as file:
        if os.fstat(file.fileno()).st_size == 0:
            return b""
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY if private else mmap.ACCESS_READ)


def aligned(nbytes: int) -> Array:
    """A new uint8 array at a multiple of 64: JAX on CPU takes such memory without a copy."""
    whole = np.empty(nbytes + ALIGN, np.uint8)
    start = -whole.ctypes.data % ALIGN
    return whole[start : start + nbytes]
