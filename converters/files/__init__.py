"""Files as sources and sinks: recognised by their content when read, by their name when written."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ptformat.atomic import PathLike, naming
from ptformat.errors import FormatError
from ptformat.tree import Alias

from ..content import Content, Saving, Source, straight
from . import flax_msgpack, huggingface, npz, orbax, orbax_write, ptf, safetensors, sharded, torch_write, torch_zip
from .folder import settled


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of file, or of directory.

    Attributes:
        name: What it is called in messages.
        suffixes: Of the names under which it is written, `/` for a directory; empty where it is only read.
        recognises: Whether a path is of this kind, from the path and the first 16 bytes (none of a directory).
        open: Makes the source.
        write: Writes content under a path; None where it is only read.
        ties: Whether it holds ties; else a tied tensor is written under each of its names.
        turned: Whether it holds ties of permuted axes too.
        records: Whether it holds what a conversion records so as to be undone.
        folder: Whether it is written as a directory.
        losses: A line for each thing in content that it cannot tell; None where there are none but ties.
    """

    name: str
    suffixes: tuple[str, ...]
    recognises: Callable[[Path, bytes], bool]
    open: Callable[[PathLike], Source]
    write: Callable[[Content, PathLike, Saving], None] | None = None
    ties: bool = False
    turned: bool = False
    records: bool = False
    folder: bool = False
    losses: Callable[[Content], list[str]] | None = None

    def spells_out(self, alias: Alias) -> bool:
        """Whether an alias becomes a tensor of its own in such a file."""
        return not (self.ties if straight(alias) else self.turned)


# In the order in which they are tried.
KINDS: tuple[Kind, ...] = (
    Kind("ptf", (".ptf",), ptf.recognises, ptf.PtfSource, ptf.write, ties=True, turned=True, records=True),
    Kind(
        "safetensors",
        (".safetensors",),
        safetensors.recognises,
        safetensors.SafetensorsSource,
        safetensors.write,
        ties=True,
    ),
    Kind("sharded", (), sharded.recognises, sharded.opened),
    Kind(
        "huggingface",
        ("/",),
        huggingface.recognises,
        huggingface.HuggingFaceSource,
        huggingface.write,
        ties=True,
        folder=True,
    ),
    Kind(
        "torch",
        (".pt", ".pth", ".bin"),
        torch_zip.recognises,
        torch_zip.TorchSource,
        torch_write.write,
        ties=True,
        turned=True,
    ),
    Kind(
        "orbax",
        (".orbax",),
        orbax.recognises,
        orbax.OrbaxSource,
        orbax_write.write,
        losses=orbax_write.losses,
        folder=True,
    ),
    Kind("npz", (".npz",), npz.recognises, npz.NpzSource, npz.write),
    # Behind torch, whose legacy form begins with what would be an empty msgpack map.
    Kind("flax msgpack", (".msgpack",), flax_msgpack.recognises, flax_msgpack.FlaxMsgpackSource, flax_msgpack.write),
)


def open_source(path: PathLike) -> Source:
    """The file as a source, by what it holds, whatever it is called.

    Raises:
        FormatError: FORMAT when it is none of the supported kinds, or what its own kind refuses.
        OSError: When it cannot be read; EINVAL for what is neither file nor directory.
    """
    with naming(path, unless_named=True):
        if os.path.isdir(path):
            return settled(Path(path), lambda: kind_of(path).open(path))
        return kind_of(path).open(path)


def kind_of(path: PathLike) -> Kind:
    """The kind of a file, by what it holds.

    Raises:
        FormatError: FORMAT when it is none of the supported kinds.
        OSError: When it cannot be read.
    """
    head = b""
    with naming(path, unless_named=True):
        if not (folder := os.path.isdir(path)):
            if not stat.S_ISREG(os.stat(path).st_mode):  # a pipe might never end, nor even begin
                raise OSError(errno.EINVAL, "not a regular file", os.fspath(path))
            with open(path, "rb") as file:
                head = file.read(16)
            if not head:
                raise FormatError("FORMAT", "the file is empty")
        for kind in KINDS:
            if kind.recognises(Path(path), head):
                return kind
        if folder:
            open(path, "rb").close()  # raises what the system says of a directory
    names = ", ".join(kind.name for kind in KINDS)
    raise FormatError("FORMAT", f"the file begins with {head[:8].hex()}: none of {names}")


def sink_of(path: PathLike) -> Kind:
    """The kind of file that a name asks for, by its suffix; without one, or with a slash at its end, a directory's.

    Raises:
        FormatError: FORMAT for a suffix that is not known.
    """
    name = Path(path).name
    suffix = Path(path).suffix.lower()
    if os.fspath(path).endswith(("/", os.sep)) or (name and not suffix and not name.startswith(".")):
        suffix = "/"
    for kind in KINDS:
        if suffix in kind.suffixes:
            return kind
    known = ", ".join(suffix for kind in KINDS for suffix in kind.suffixes)
    raise FormatError(
        "FORMAT", f"cannot tell what to write from the name {os.fspath(path)!r}: it ends in none of {known}"
    )


def write(content: Content, path: PathLike, saving: Saving | None = None) -> None:
    """Write content in the form that the name asks for.

    Raises:
        FormatError: For what that kind of file cannot hold; nothing is written.
        OSError: From the file system; the file that was there before is whole.
    """
    kind = sink_of(path)
    assert kind.write is not None  # what has a suffix can be written
    kind.write(content, path, saving or Saving())
