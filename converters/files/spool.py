"""Large tensors in a nameless temporary file, so that they take no anonymous memory."""

from __future__ import annotations

import mmap
import tempfile
from collections.abc import Iterable
from typing import Any

import numpy as np

from ptformat.backing import aligned
from ptformat.dtypes import Array

IN_MEMORY_BYTES = 16 * 2**20


def gather(pieces: Iterable[Any], nbytes: int) -> Array:
    """The bytes of the pieces in one uint8 array, made as `room` does."""
    into = room(nbytes)
    at = 0
    for piece in pieces:
        part = np.frombuffer(piece, np.uint8)
        into[at : at + part.size] = part
        at += part.size
    return into


def room(nbytes: int) -> Array:
    """A uint8 array to be filled.

    In memory up to 16 MiB, else in a file of the system's temporary directory that is gone when the array is.

    Raises:
        OSError: Where no file is as large.
    """
    if nbytes <= IN_MEMORY_BYTES:
        return aligned(nbytes)
    with tempfile.TemporaryFile(prefix="ptformat-") as file:
        file.truncate(nbytes)
        return np.frombuffer(mmap.mmap(file.fileno(), nbytes), np.uint8)
