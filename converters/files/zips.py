"""Zip archives: where each member's bytes lie, and archives written front to back.

Layout from PKWARE's APPNOTE 6.3: members, each a local header and its bytes; then the central directory, which says
where they are; then the end record, in front of it the ZIP64 ones where 32 bits do not suffice.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ptformat.atomic import AtomicFile, PathLike
from ptformat.backing import map_file
from ptformat.dtypes import Array
from ptformat.errors import FormatError
from ptformat.limits import ALIGN, MAX_ENTRIES

from .spool import gather

MAGIC = b"PK\3\4"
STORED, DEFLATED = 0, 8
_PIECE = 8 * 2**20
_ZIP64_FROM = 0xFFFFFFFF  # a size or an offset from here on needs 64 bits
_COUNT64_FROM = 0xFFFF
_DATE = 0x21  # 1980-01-01, the first there is: the same content gives the same bytes

_LOCAL = struct.Struct("<4s5H3L2H")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_END = struct.Struct("<4s4H2LH")
_END64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR = struct.Struct("<4sLQL")


@dataclass(frozen=True, slots=True)
class Member:
    """One file of an archive.

    Attributes:
        name: As the directory has it.
        start: Where its stored bytes begin.
        stored: How many there are.
        nbytes: How many they hold.
        method: `STORED` or `DEFLATED`.
        crc: CRC-32 of what they hold.
    """

    name: str
    start: int
    stored: int
    nbytes: int
    method: int
    crc: int


class Archive:
    """A zip archive, mapped: only its directory is read.

    Attributes:
        members: By name, in the order of the directory.
    """

    def __init__(self, path: PathLike) -> None:
        self.name = os.fspath(path)
        self._buffer = memoryview(map_file(path))
        try:
            self.members = self._directory()
        except struct.error:
            raise FormatError("TRUNCATED", f"zip archive {self.name}: its directory ends early") from None

    def _directory(self) -> dict[str, Member]:
        count, at, end = self._extent()
        if count > 2 * MAX_ENTRIES:
            raise FormatError("LIMIT", f"zip archive {self.name}: {count} members, at most {2 * MAX_ENTRIES}")
        members: dict[str, Member] = {}
        for number in range(count):
            sign, _, _, flags, method, _, _, crc, stored, nbytes, *lengths, _, _, _, offset = _CENTRAL.unpack_from(
                self._buffer, at
            )
            if sign != b"PK\1\2":
                raise self._malformed(f"no directory entry at byte {at} (member {number} of {count})")
            at += _CENTRAL.size
            name, extra, _ = (bytes(self._buffer[a:b]) for a, b in _runs(at, lengths))
            at += sum(lengths)
            if at > end:
                raise self._malformed(f"the directory ends at byte {end}, within member {number} of {count}")
            nbytes, stored, offset = _wide(extra, [nbytes, stored, offset])
            text = _decoded(name, flags)
            if text in members:
                raise FormatError("DUPLICATE", f"zip archive {self.name}: member {text!r} stands twice")
            members[text] = self._member(text, flags, method, crc, stored, nbytes, offset)
        return members

    def _extent(self) -> tuple[int, int, int]:
        """How many members the directory has, where it begins, and where it ends at the latest."""
        tail = bytes(self._buffer[-(_END.size + 0xFFFF) :])
        found = tail.rfind(b"PK\5\6")
        if found < 0:
            what = "no end of a zip directory was found, so the file is cut off or no zip archive"
            raise FormatError("TRUNCATED", f"{self.name}: {what}")
        end = len(self._buffer) - len(tail) + found
        _, _, _, _, count, _, at, _ = _END.unpack_from(self._buffer, end)
        if end >= _LOCATOR.size and bytes(self._buffer[end - _LOCATOR.size :][:4]) == b"PK\6\7":
            _, _, end, _ = _LOCATOR.unpack_from(self._buffer, end - _LOCATOR.size)
            if end > len(self._buffer):
                raise self._malformed(f"the ZIP64 end record lies at byte {end} of {len(self._buffer)}")
            sign, *_, count, _, at = _END64.unpack_from(self._buffer, end)
            if sign != b"PK\6\6":
                raise self._malformed(f"no ZIP64 end record at byte {end}")
        if at > end:
            raise self._malformed(f"the directory begins at byte {at}, behind its end at byte {end}")
        return count, at, end

    def _member(self, name: str, flags: int, method: int, crc: int, stored: int, nbytes: int, offset: int) -> Member:
        if flags & 1:
            raise FormatError("FORMAT", f"zip archive {self.name}: member {name!r} is encrypted")
        if method not in (STORED, DEFLATED):
            what = f"member {name!r} is compressed by method {method}; stored and deflated ones are read"
            raise FormatError("CODEC", f"zip archive {self.name}: {what}")
        if offset + _LOCAL.size > len(self._buffer):
            raise FormatError("TRUNCATED", f"zip archive {self.name}: member {name!r} begins behind the file's end")
        sign, *_, name_size, extra_size = _LOCAL.unpack_from(self._buffer, offset)
        if sign != MAGIC:
            raise self._malformed(f"no header of member {name!r} at byte {offset}")
        start = offset + _LOCAL.size + name_size + extra_size
        if start + stored > len(self._buffer):
            what = f"member {name!r} needs bytes {start} to {start + stored}, the file has {len(self._buffer)}"
            raise FormatError("TRUNCATED", f"zip archive {self.name}: {what}")
        if method == STORED and stored != nbytes:
            raise self._malformed(f"member {name!r} is stored in {stored} bytes but said to hold {nbytes}")
        return Member(name, start, stored, nbytes, method, crc)

    def _malformed(self, what: str) -> FormatError:
        return FormatError("MALFORMED", f"zip archive {self.name}: {what}")

    def data(self, member: Member) -> Array:
        """What it holds as uint8: a view of the map, or inflated as `gather` does."""
        if member.method == STORED:
            return np.frombuffer(self._buffer[member.start : member.start + member.nbytes], np.uint8)
        return gather(self._inflated(member), member.nbytes)

    def start(self, member: Member, limit: int) -> bytes:
        """Its first bytes, at most `limit`; of a deflated one no more is inflated."""
        stored = self._buffer[member.start : member.start + min(member.stored, 2 * limit)]
        if member.method == STORED:
            return bytes(stored[:limit])
        try:
            return zlib.decompressobj(-15).decompress(stored, limit)
        except zlib.error as error:
            raise self._malformed(f"member {member.name!r} cannot be inflated ({error})") from None

    def read(self, member: Member, limit: int) -> bytes:
        """A small member in memory, its checksum verified; LIMIT where it holds more than `limit` bytes."""
        if member.nbytes > limit:
            what = f"member {member.name!r} holds {member.nbytes} bytes, at most {limit} are read"
            raise FormatError("LIMIT", f"zip archive {self.name}: {what}")
        data = self.data(member).tobytes()
        if zlib.crc32(data) != member.crc:
            raise FormatError("CHECKSUM", f"zip archive {self.name}: CRC-32 of member {member.name!r}")
        return data

    def _inflated(self, member: Member) -> Iterator[bytes]:
        inflate = zlib.decompressobj(-15)
        rest: Any = self._buffer[member.start : member.start + member.stored]
        left, crc = member.nbytes, 0
        try:
            while left:
                piece = inflate.decompress(rest[:_PIECE], min(left, _PIECE))
                rest = _behind(inflate.unconsumed_tail, rest)
                if not piece and not len(rest):
                    raise self._malformed(f"member {member.name!r} holds {left} bytes less than it says")
                left -= len(piece)
                crc = zlib.crc32(piece, crc)
                yield piece
        except zlib.error as error:
            raise self._malformed(f"member {member.name!r} cannot be inflated ({error})") from None
        if crc != member.crc:
            raise FormatError("CHECKSUM", f"zip archive {self.name}: CRC-32 of member {member.name!r}")

    def close(self) -> None:
        """Let go of the map."""
        self._buffer = memoryview(b"")


def _runs(at: int, lengths: Iterable[int]) -> Iterator[tuple[int, int]]:
    for length in lengths:
        yield at, at + length
        at += length


def _behind(tail: bytes, given: Any) -> Any:
    """What is still to be inflated: `given` from where its first piece was not consumed."""
    taken = len(given[:_PIECE]) - len(tail)
    return given[taken:]


def _decoded(name: bytes, flags: int) -> str:
    try:
        return name.decode("utf-8" if flags & 0x800 else "cp437")
    except UnicodeDecodeError:
        raise FormatError("MALFORMED", f"zip archive: the name {name[:40]!r} is no UTF-8") from None


def _wide(extra: bytes, numbers: list[int]) -> list[int]:
    """The numbers, those that did not fit 32 bits taken from the ZIP64 field of `extra`."""
    at = 0
    while at + 4 <= len(extra):
        code, size = struct.unpack_from("<2H", extra, at)
        if code == 1:
            wide = iter(struct.unpack_from(f"<{min(size, len(extra) - at - 4) // 8}Q", extra, at + 4))
            return [next(wide, n) if n == 0xFFFFFFFF else n for n in numbers]
        at += 4 + size
    return numbers


def names(path: Path) -> list[str]:
    """The names of the members; of an archive whose directory cannot be read, that of the first member."""
    try:
        return list(Archive(path).members)
    except FormatError:
        with open(path, "rb") as file:
            head = file.read(_LOCAL.size + 1024)
        if len(head) < _LOCAL.size:
            return []
        length = _LOCAL.unpack_from(head)[-2]
        return [head[_LOCAL.size : _LOCAL.size + length].decode("utf-8", "replace")]


class ZipOut:
    """A zip archive written front to back: members stored, their bytes at multiples of 64, as torch has them."""

    def __init__(self, file: AtomicFile) -> None:
        self._file = file
        self._directory = bytearray()
        self._count = 0

    def add(self, name: str, nbytes: int, pieces: Iterable[Any]) -> None:
        """A member of `nbytes`, its checksum behind it, as it is known only then."""
        offset, encoded = self._file.position, name.encode()
        wide = nbytes >= _ZIP64_FROM
        flags = 0x808 if nbytes else 0x800
        extra = struct.pack("<2H2Q", 1, 16, nbytes, nbytes) if wide else b""
        fill = -(offset + _LOCAL.size + len(encoded) + len(extra) + 4) % ALIGN
        extra += b"FB" + struct.pack("<H", fill) + b"Z" * fill
        said = 0xFFFFFFFF if wide else nbytes
        lengths = len(encoded), len(extra)
        version = 45 if wide else 20
        self._file.write(_LOCAL.pack(MAGIC, version, flags, STORED, 0, _DATE, 0, said, said, *lengths))
        self._file.write(encoded + extra)
        start, crc = self._file.position, 0
        for piece in pieces:
            crc = zlib.crc32(piece, crc)
            self._file.write(piece)
        assert self._file.position - start == nbytes
        if nbytes:
            self._file.write(struct.pack("<4sL2Q" if wide else "<4s3L", b"PK\7\x08", crc, nbytes, nbytes))
        self._enter(encoded, flags, crc, nbytes, offset)

    def _enter(self, name: bytes, flags: int, crc: int, nbytes: int, offset: int) -> None:
        wide = [number for number in (nbytes, nbytes, offset) if number >= _ZIP64_FROM]
        extra = struct.pack(f"<2H{len(wide)}Q", 1, 8 * len(wide), *wide) if wide else b""
        size, at = (0xFFFFFFFF if number >= _ZIP64_FROM else number for number in (nbytes, offset))
        version = 45 if wide else 20
        fields = version, version, flags, STORED, 0, _DATE, crc, size, size, len(name), len(extra), 0, 0, 0, 0, at
        self._directory += _CENTRAL.pack(b"PK\1\2", *fields) + name + extra
        self._count += 1

    def finish(self) -> None:
        """Write the directory."""
        at, size, count = self._file.position, len(self._directory), self._count
        self._file.write(self._directory)
        if max(at, size) >= _ZIP64_FROM or count >= _COUNT64_FROM:
            end = self._file.position
            self._file.write(_END64.pack(b"PK\6\6", 44, 45, 45, 0, 0, count, count, size, at))
            self._file.write(_LOCATOR.pack(b"PK\6\7", 0, end, 1))
        count = min(count, 0xFFFF)
        self._file.write(_END.pack(b"PK\5\6", 0, 0, count, count, min(size, 0xFFFFFFFF), min(at, 0xFFFFFFFF), 0))
