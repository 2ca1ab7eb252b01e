"""Two names exchanged in one step, where the system has a call for it."""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from functools import cache
from typing import Any

_HERE = -100  # AT_FDCWD, linux/fcntl.h
_EXCHANGE = 2  # RENAME_EXCHANGE, linux/fs.h
_UNKNOWN = {errno.ENOSYS, errno.EINVAL, errno.ENOTSUP}  # to the kernel, or to the file system


def exchange(first: str, second: str) -> bool:
    """Give two files or directories each other's names; False where that cannot be done in one step.

    Linux can, on ext4, XFS, Btrfs, tmpfs and overlayfs among others; NFS cannot.

    Raises:
        OSError: From the system call.
    """
    call = _renameat2()
    if call is None:
        return False
    if call(_HERE, os.fsencode(first), _HERE, os.fsencode(second), _EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in _UNKNOWN:
        return False
    raise OSError(number, os.strerror(number), first)


@cache
def _renameat2() -> Any:
    return getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None) if sys.platform == "linux" else None
