"""Zip archives written front to back. The layout is in `zips`."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable
from typing import Any

from ptformat.atomic import AtomicFile
from ptformat.limits import ALIGN

from .zips import CENTRAL, END, END64, LOCAL, LOCATOR, MAGIC, STORED

_ZIP64_FROM = 0xFFFFFFFF  # a size or an offset from here on needs 64 bits
_COUNT64_FROM = 0xFFFF
_DATE = 0x21  # 1980-01-01, the first there is: the same content gives the same bytes


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
        fill = -(offset + LOCAL.size + len(encoded) + len(extra) + 4) % ALIGN
        extra += b"FB" + struct.pack("<H", fill) + b"Z" * fill
        said = 0xFFFFFFFF if wide else nbytes
        lengths = len(encoded), len(extra)
        version = 45 if wide else 20
        self._file.write(LOCAL.pack(MAGIC, version, flags, STORED, 0, _DATE, 0, said, said, *lengths))
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
        self._directory += CENTRAL.pack(b"PK\1\2", *fields) + name + extra
        self._count += 1

    def finish(self) -> None:
        """Write the directory."""
        at, size, count = self._file.position, len(self._directory), self._count
        self._file.write(self._directory)
        if max(at, size) >= _ZIP64_FROM or count >= _COUNT64_FROM:
            end = self._file.position
            self._file.write(END64.pack(b"PK\6\6", 44, 45, 45, 0, 0, count, count, size, at))
            self._file.write(LOCATOR.pack(b"PK\6\7", 0, end, 1))
        count = min(count, 0xFFFF)
        self._file.write(END.pack(b"PK\5\6", 0, 0, count, count, min(size, 0xFFFFFFFF), min(at, 0xFFFFFFFF), 0))
