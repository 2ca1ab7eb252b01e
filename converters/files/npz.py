"""The .npz file of NumPy as source and sink. Object arrays, which are pickles, are refused.

Layout, from numpy/lib/format.py: a zip archive of members `<name>.npy`, each a magic, a version, a header (a Python
literal: type, order, shape), and the elements.
"""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy

from ptformat import dtypes, paths
from ptformat.atomic import AtomicFile, PathLike
from ptformat.bands import byte_pieces
from ptformat.columns import Header
from ptformat.dtypes import BY_NAME, Array
from ptformat.errors import FormatError, several
from ptformat.tree import Node, TensorInfo, Value

from ..content import Content, Entries, Pieces, Saving, check_shape, untied
from . import zips
from .spool import gather
from .zip_write import ZipOut
from .zips import Archive, Member

SUFFIX = ".npy"
_HEAD = 2**14  # bytes, in which magic, version and header lie: NumPy reads headers of at most 10000


def recognises(path: Path, head: bytes) -> bool:
    """Whether a file that begins so is one of these: a zip archive of .npy members only, or of none."""
    if head[:4] == b"PK\5\6":
        return True
    if head[:4] != zips.MAGIC:
        return False
    names = zips.names(path)
    return bool(names) and all(name.endswith(SUFFIX) for name in names)


@dataclass(frozen=True, slots=True)
class _Placed:
    info: TensorInfo
    member: Member
    start: int  # of the elements, within the member
    numpy: np.dtype[Any]
    fortran: bool


class NpzSource:
    """A .npz file: stored members are views of the map, deflated ones are gathered."""

    kind = "npz"
    notes: Sequence[str] = ()

    def __init__(self, path: PathLike) -> None:
        self.name = os.fspath(path)
        self._archive = Archive(path)
        self.header = Header()
        entries = Entries()
        self._places: dict[str, _Placed] = {}
        names = {_name(member): member for member in self._archive.members.values()}
        if any("." in name for name in names):
            entries.add(Node("", "flat"))
        elif not names:
            entries.add(Node("", "map"))
        for name, segments in paths.split_flat(names).items():
            tensor = paths.render(segments)
            placed = self._places[tensor] = self._place(tensor, names[name])
            entries.add(placed.info)
        self.entries = entries.found

    def _place(self, path: str, member: Member) -> _Placed:
        # The header is all that is needed of a deflated member.
        head = self._archive.start(member, _HEAD)
        shape, fortran, numpy, start = _header(head, path)
        info = TensorInfo(path, dtypes.of(numpy, path).name, shape)
        check_shape(info)
        if start + info.nbytes != member.nbytes:
            what = f"{info.dtype} {shape} needs {info.nbytes} bytes, {member.nbytes - start} follow its header"
            raise FormatError("EXTENT", f"array {path!r}: {what}", path=path)
        return _Placed(info, member, start, numpy, fortran)

    def _view(self, path: str) -> Array:
        placed = self._places[path]
        data = self._archive.data(placed.member)[placed.start :].view(placed.numpy)
        shape = placed.info.shape
        return data.reshape(shape[::-1]).T if placed.fortran else data.reshape(shape)

    def array(self, path: str) -> Array:
        """A view of the map where it is stored and little-endian."""
        view = self._view(path)
        dtype = BY_NAME[self._places[path].info.dtype]
        if view.dtype == dtype.numpy:
            return view
        return dtypes.unpack(gather(byte_pieces(view, dtype), view.nbytes), dtype, view.shape)

    def pieces(self, path: str) -> Pieces:
        """Its elements in C order, little-endian."""
        return byte_pieces(self._view(path), BY_NAME[self._places[path].info.dtype])

    def close(self) -> None:
        """Let go of the map."""
        self._archive.close()


def _name(member: Member) -> str:
    if not member.name.endswith(SUFFIX):
        raise FormatError("FORMAT", f"npz archive: member {member.name!r} is no {SUFFIX}")
    return member.name.removesuffix(SUFFIX)


def _header(head: bytes, path: str) -> tuple[tuple[int, ...], bool, np.dtype[Any], int]:
    """Shape, whether in Fortran order, NumPy type, and where the elements begin."""
    file = io.BytesIO(head)
    try:
        version = npy.read_magic(file)
        if version not in ((1, 0), (2, 0)):
            raise FormatError("VERSION", f"array {path!r}: .npy version {version}, 1.0 and 2.0 are read", path=path)
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        with warnings.catch_warnings():  # of headers that Python 2 wrote, which are read all the same
            warnings.simplefilter("ignore")
            shape, fortran, numpy = read(file)
    except FormatError:
        raise
    except Exception as error:  # a literal is parsed: what it may raise is not said anywhere
        what = str(error).partition("\n")[0]
        raise FormatError("MALFORMED", f"array {path!r}: no .npy header ({what:.200})", path=path) from None
    if numpy.hasobject:
        what = "an array of pickled Python objects; load it with NumPy in a process you trust and save numbers"
        raise FormatError("TYPE", f"array {path!r}: {what}", path=path)
    if numpy.kind == "V":
        what = "NumPy wrote it without its type, as bytes (it may be a bfloat16 or float8); save its bits as integers"
        raise FormatError("DTYPE", f"array {path!r}: {what}", path=path)
    if any(type(size) is not int or size < 0 for size in shape):
        raise FormatError("SHAPE", f"array {path!r}: shape {shape}", path=path)
    return shape, fortran, numpy, file.tell()


def write(content: Content, path: PathLike, saving: Saving) -> None:
    """Write the tensors, stored; a tied one under each of its names.

    Raises:
        FormatError: TYPE for values, DTYPE with every tensor of a type that NumPy lacks.
    """
    tensors = list(untied(content.entries))
    if values := [entry.path for entry in content.entries if isinstance(entry, Value)]:
        what = f"{len(values)} values that are no tensors, such as {values[0]!r}"
        raise FormatError("TYPE", f"a .npz file cannot hold {what}; keep them in a .ptf", path=values[0])
    unknown = [f"{info.path!r}: {info.dtype}" for info, _ in tensors if BY_NAME[info.dtype].numpy.isbuiltin == 2]
    if unknown:
        raise several("DTYPE", "types that a .npz would lose; cast them, or keep them in a .ptf", unknown)
    names = [paths.join_flat(paths.parse(info.path)) for info, _ in tensors]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise FormatError("DUPLICATE", f"two tensors would be called {twice!r}")
    with AtomicFile(path, durable=saving.durable) as file:
        out = ZipOut(file)
        for (info, entry), name in zip(tensors, names, strict=True):
            head = _head(info)
            nbytes = len(head) + info.nbytes
            out.add(name + SUFFIX, nbytes, (part for source in ([head], content.pieces(entry)) for part in source))
        out.finish()


def _head(info: TensorInfo) -> bytes:
    said = {"descr": BY_NAME[info.dtype].numpy.str, "fortran_order": False, "shape": info.shape}
    file = io.BytesIO()
    npy.write_array_header_1_0(file, said)
    return file.getvalue()
