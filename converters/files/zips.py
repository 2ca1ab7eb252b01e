"""Zip archives: where each member's bytes lie.

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

from ptformat.atomic import PathLike
from ptformat.backing import map_file
from ptformat.dtypes import Array
from ptformat.errors import FormatError
from ptformat.limits import MAX_ENTRIES

from .spool import gather

MAGIC = b"PK\3\4"
STORED, DEFLATED = 0, 8
_PIECE = 8 * 2**20
_MAX_RATIO = 1032  # of deflate: two bits can stand for 258 bytes
# What is read into memory is a pickle: of real ones deflate makes a fifth, of a million empty dicts a thousandth.
_MAX_READ_RATIO = 16
_READ_BYTES = 2**18  # that may be any number of times what is stored

LOCAL = struct.Struct("<4s5H3L2H")
CENTRAL = struct.Struct("<4s6H3L5H2L")
END = struct.Struct("<4s4H2LH")
END64 = struct.Struct("<4sQ2H2L4Q")
LOCATOR = struct.Struct("<4sLQL")


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
        count, begin, end = self._extent()
        if count > 2 * MAX_ENTRIES:
            raise FormatError("LIMIT", f"zip archive {self.name}: {count} members, at most {2 * MAX_ENTRIES}")
        members: dict[str, Member] = {}
        places: list[tuple[int, int]] = []
        at = begin
        for number in range(count):
            within = f"the directory ends at byte {end}, within member {number} of {count}"
            if at + CENTRAL.size > end:
                raise self._malformed(within)
            sign, _, _, flags, method, _, _, crc, stored, nbytes, *lengths, _, _, _, offset = CENTRAL.unpack_from(
                self._buffer, at
            )
            if sign != b"PK\1\2":
                raise self._malformed(f"no directory entry at byte {at} (member {number} of {count})")
            at += CENTRAL.size
            name, extra, _ = (bytes(self._buffer[a:b]) for a, b in _runs(at, lengths))
            at += sum(lengths)
            if at > end:
                raise self._malformed(within)
            nbytes, stored, offset = _wide(extra, [nbytes, stored, offset])
            text = _decoded(name, flags)
            if text in members:
                raise FormatError("DUPLICATE", f"zip archive {self.name}: member {text!r} stands twice")
            members[text] = self._member(text, name, flags, method, crc, stored, nbytes, offset)
            places.append((offset, members[text].start + stored))
        if at != end:
            raise self._malformed(f"the directory ends at byte {at} after {count} members, not at byte {end}")
        self._check_apart(sorted(places), begin)
        return members

    def _check_apart(self, places: list[tuple[int, int]], begin: int) -> None:
        """No two members share bytes: a small archive could be inflated to any size that way."""
        reached = 0
        for start, end in places:
            if start < reached:
                raise self._malformed(f"two members overlap at byte {start}")
            reached = end
        if reached > begin:
            raise self._malformed(f"the directory begins at byte {begin}, within the last member")

    def _extent(self) -> tuple[int, int, int]:
        """How many members the directory has, where it begins and where it ends."""
        tail = bytes(self._buffer[-(END.size + 0xFFFF) :])
        found = tail.rfind(b"PK\5\6")
        if found < 0:
            what = "no end of a zip directory was found, so the file is cut off or no zip archive"
            raise FormatError("TRUNCATED", f"{self.name}: {what}")
        end = len(self._buffer) - len(tail) + found
        _, _, _, _, count, size, at, comment = END.unpack_from(self._buffer, end)
        if end + END.size + comment != len(self._buffer):
            behind = len(self._buffer) - end - END.size
            raise self._malformed(f"{behind} bytes follow the end record, which says {comment}")
        if end >= LOCATOR.size and bytes(self._buffer[end - LOCATOR.size :][:4]) == b"PK\6\7":
            _, _, end, _ = LOCATOR.unpack_from(self._buffer, end - LOCATOR.size)
            if end > len(self._buffer):
                raise self._malformed(f"the ZIP64 end record lies at byte {end} of {len(self._buffer)}")
            sign, *_, count, size, at = END64.unpack_from(self._buffer, end)
            if sign != b"PK\6\6":
                raise self._malformed(f"no ZIP64 end record at byte {end}")
        if at + size != end:
            raise self._malformed(f"the directory ends at byte {at + size}, its end record begins at byte {end}")
        return count, at, end

    def _member(
        self, name: str, raw: bytes, flags: int, method: int, crc: int, stored: int, nbytes: int, offset: int
    ) -> Member:
        if flags & 1:
            raise FormatError("FORMAT", f"zip archive {self.name}: member {name!r} is encrypted")
        if method not in (STORED, DEFLATED):
            what = f"member {name!r} is compressed by method {method}; stored and deflated ones are read"
            raise FormatError("CODEC", f"zip archive {self.name}: {what}")
        if offset + LOCAL.size > len(self._buffer):
            raise FormatError("TRUNCATED", f"zip archive {self.name}: member {name!r} begins behind the file's end")
        sign, *_, name_size, extra_size = LOCAL.unpack_from(self._buffer, offset)
        here = self._buffer[offset + LOCAL.size :][:name_size]
        if sign != MAGIC or here != raw:
            raise self._malformed(f"no header of member {name!r} at byte {offset}")
        start = offset + LOCAL.size + name_size + extra_size
        if start + stored > len(self._buffer):
            what = f"member {name!r} needs bytes {start} to {start + stored}, the file has {len(self._buffer)}"
            raise FormatError("TRUNCATED", f"zip archive {self.name}: {what}")
        if method == STORED and stored != nbytes:
            raise self._malformed(f"member {name!r} is stored in {stored} bytes but said to hold {nbytes}")
        if nbytes > _MAX_RATIO * stored:
            raise self._malformed(f"member {name!r} cannot hold {nbytes} bytes, deflated to {stored}")
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
        """A small member in memory, its checksum verified.

        Raises:
            FormatError: LIMIT where it holds more than `limit` bytes, or was deflated to next to nothing; CHECKSUM.
        """
        limit = min(limit, max(_READ_BYTES, _MAX_READ_RATIO * member.stored))
        if member.nbytes > limit:
            what = f"member {member.name!r} holds {member.nbytes} bytes in {member.stored}, at most {limit} are read"
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
            head = file.read(LOCAL.size + 1024)
        if len(head) < LOCAL.size:
            return []
        length = LOCAL.unpack_from(head)[-2]
        return [head[LOCAL.size : LOCAL.size + length].decode("utf-8", "replace")]
