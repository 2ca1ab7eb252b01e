"""Whether an attack failed: a sound read, or one error of one line, in bounded time and memory."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

from hostile import texts
from ptformat.converters import ConversionError
from ptformat.converters.files import open_source
from ptformat.converters.statistics import statistics
from ptformat.errors import CALL_CODES, MAX_LINE, READ_CODES, FormatError
from ptformat.tree import TensorInfo

MEMORY = 64 * 2**20  # bytes beyond what there was
SECONDS = 5.0  # of the processor, so that a machine that is busy does no harm
_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")


class Fault(Exception):
    """What no file may cause."""


def verdict(path: Path) -> str:
    """Open a file and read every tensor in every way.

    Returns:
        `read`, or the code of the error: a `FormatError`'s, or the name of an `OSError`'s class.

    Raises:
        Fault: For an error of several lines, or without a code.
        Exception: Any other that reading raises.
    """
    try:
        texts.read(path) if path.name.endswith(texts.ENDINGS) else read(path)
    except ConversionError as error:
        if str(error).count("\n") != len(error.problems) or max(map(len, str(error).split("\n"))) > MAX_LINE + 20:
            raise Fault(f"a problem of several lines: {error}") from error
        return "ConversionError"
    except FormatError as error:
        if error.code not in (*READ_CODES, *CALL_CODES) or "\n" in str(error) or len(error.message) > MAX_LINE:
            raise Fault(f"an error of no known code, or of several lines: {error}") from error
        return error.code
    except OSError as error:
        if not error.errno or "\n" in str(error):
            raise Fault(f"an error of the system without a number: {error!r}") from error
        return type(error).__name__
    return "read"


def read(path: Path) -> None:
    """Every tensor as array and in pieces, and what its numbers are."""
    source = open_source(path)
    try:
        infos = [entry for entry in source.entries if isinstance(entry, TensorInfo)]
        for info in infos:
            held = source.array(info.path)
            if (held.shape, held.dtype.name) != (info.shape, info.dtype):
                raise Fault(f"{info} was read as {held.shape} {held.dtype}")
            nbytes = sum(memoryview(piece).nbytes for piece in source.pieces(info.path))
            if nbytes != info.nbytes:
                raise Fault(f"{info} came in {nbytes} bytes, not {info.nbytes}")
        if sum(1 for _ in statistics(source)) != len(infos):
            raise Fault("there are not as many statistics as tensors")
    finally:
        source.close()


def measured(path: Path) -> str:
    """The verdict, and a `Fault` where it took more memory or time than any file may."""
    with bounded(2 * _texts(path)):
        start = time.process_time()
        found = verdict(path)
        seconds = time.process_time() - start
    if seconds > SECONDS:
        raise Fault(f"{seconds:.1f} s ({found})")
    return found


@contextlib.contextmanager
def bounded(allowed: int = 0) -> Iterator[None]:
    """A `Fault` where memory was ever more than `MEMORY` and so many bytes beyond what it is at the beginning."""
    _CLEAR.write_text("5")  # from here on the highest mark counts anew
    before = _kibibytes("VmRSS")
    yield
    more = 1024 * (_kibibytes("VmHWM") - before)
    if more > MEMORY + allowed:
        raise Fault(f"{more / 2**20:.0f} MiB of memory")


def _texts(path: Path) -> int:
    """Bytes of the JSON that is read whole: once as bytes, once as text."""
    files = path.rglob("*") if path.is_dir() else path.parent.glob("*")
    return sum(file.stat().st_size for file in files if file.name.endswith(".json") and file.is_file())


def _kibibytes(key: str) -> int:
    with _STATUS.open() as status:
        return next(int(line.split()[1]) for line in status if line.startswith(f"{key}:"))
