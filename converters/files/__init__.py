"""Files as sources and sinks: recognised by their content when read, by their suffix when written."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Protocol

from ptformat.atomic import PathLike
from ptformat.errors import FormatError

from ..content import Content, Source
from . import flax_msgpack, ptf, safetensors

_SOURCES: tuple[tuple[ModuleType, Callable[[PathLike], Source]], ...] = (
    (ptf, ptf.PtfSource),
    (safetensors, safetensors.SafetensorsSource),
    (flax_msgpack, flax_msgpack.FlaxMsgpackSource),
)


class _Write(Protocol):
    def __call__(self, content: Content, path: PathLike, *, durable: bool = True) -> None: ...


def open_source(path: PathLike) -> Source:
    """The file as a source, by what it holds, whatever it is called.

    Raises:
        FormatError: FORMAT when it is none of the supported kinds, or what its own kind refuses.
        OSError: When it cannot be read.
    """
    with open(path, "rb") as file:
        head = file.read(16)
        size = os.fstat(file.fileno()).st_size
    if not size:
        raise FormatError("FORMAT", "the file is empty")
    for module, source in _SOURCES:
        if module.recognises(head, size):
            return source(path)
    kinds = ", ".join(module.NAME for module, _ in _SOURCES)
    raise FormatError("FORMAT", f"the file begins with {head[:8].hex()}: none of {kinds}")


def sink_of(path: PathLike) -> str:
    """The kind of file that a name's suffix asks for: `ptf`, `safetensors` or `flax msgpack`.

    Raises:
        FormatError: FORMAT for a suffix that is not known.
    """
    suffix = Path(path).suffix.lower()
    for module, _ in _SOURCES:
        if suffix in module.SUFFIXES:
            return str(module.NAME)
    known = ", ".join(suffix for module, _ in _SOURCES for suffix in module.SUFFIXES)
    raise FormatError(
        "FORMAT", f"cannot tell what to write from the name {os.fspath(path)!r}: it ends in none of {known}"
    )


def write(content: Content, path: PathLike, *, codec: str = "raw", durable: bool = True) -> None:
    """Write content in the form that the name asks for; `codec` is for .ptf.

    Raises:
        FormatError: For what that kind of file cannot hold; nothing is written.
        OSError: From the file system; the file that was there before is whole.
    """
    kind = sink_of(path)
    if kind == ptf.NAME:
        ptf.write(content, path, codec=codec, durable=durable)
        return
    sinks: dict[str, _Write] = {safetensors.NAME: safetensors.write, flax_msgpack.NAME: flax_msgpack.write}
    sinks[kind](content, path, durable=durable)
