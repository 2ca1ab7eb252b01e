"""Zip archives whose headers say what they are told, and npy headers likewise."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from dataclasses import dataclass, replace
from random import Random

from hostile.smashing import INTEGERS, TEXTS, smashed

LOCAL = struct.Struct("<4s5H3L2H")
CENTRAL = struct.Struct("<4s6H3L5H2L")
END = struct.Struct("<4s4H2LH")


@dataclass(frozen=True)
class Member:
    """A member, and what the directory says of it where that is not the truth."""

    name: bytes
    data: bytes
    deflated: bool = False
    flags: int = 0
    method: int | None = None
    crc: int | None = None
    stored: int | None = None
    nbytes: int | None = None
    offset: int | None = None
    extra: bytes = b""
    own_name: bytes | None = None


def members(data: bytes) -> list[Member]:
    """Those of a sound archive."""
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        deflated = [info.compress_type == zipfile.ZIP_DEFLATED for info in file.infolist()]
        return [
            Member(info.filename.encode(), file.read(info), flag)
            for info, flag in zip(file.infolist(), deflated, strict=True)
        ]


def packed(held: list[Member], comment: bytes = b"", **lies: int) -> bytes:
    """An archive of them; `lies` are of the end record: count, size, at, length."""
    body, directory = b"", b""
    for each in held:
        squeeze = zlib.compressobj(9, zlib.DEFLATED, -15)
        stored = squeeze.compress(each.data) + squeeze.flush() if each.deflated else each.data
        method = each.method if each.method is not None else 8 * each.deflated
        said = [each.crc, each.stored, each.nbytes, each.offset]
        crc, size, nbytes, offset = (
            truth if lie is None else lie
            for lie, truth in zip(said, (zlib.crc32(each.data), len(stored), len(each.data), len(body)), strict=True)
        )
        own = each.name if each.own_name is None else each.own_name
        body += LOCAL.pack(b"PK\3\4", 20, each.flags, method, 0, 33, crc, size, nbytes, len(own), 0) + own + stored
        lengths = len(each.name), len(each.extra), 0
        fields = 20, 20, each.flags, method, 0, 33, crc, size, nbytes, *lengths, 0, 0, 0, offset
        directory += CENTRAL.pack(b"PK\1\2", *fields) + each.name + each.extra
    truth = {"count": len(held), "size": len(directory), "at": len(body), "length": len(comment)}
    count, size, at, length = (truth | lies).values()
    return body + directory + END.pack(b"PK\5\6", 0, 0, count, count, size, at, length) + comment


def wide(**numbers: int) -> bytes:
    """The ZIP64 field of an entry."""
    return struct.pack(f"<2H{len(numbers)}Q", 1, 8 * len(numbers), *numbers.values())


def zip_smashed(rng: Random, held: list[Member]) -> bytes:
    """An archive of these members, with a lie in most cases."""
    at = rng.randrange(len(held))
    each = held[at]
    number = rng.choice(INTEGERS) & 0xFFFFFFFF
    # fmt: off
    kinds = (
        lambda: replace(each, flags=rng.choice((1, 8, 0x40, 0x800, 0x2001))),
        lambda: replace(each, method=rng.choice((0, 8, 1, 9, 12, 14, 93, 99))),
        lambda: replace(each, crc=number),
        lambda: replace(each, stored=number),
        lambda: replace(each, nbytes=number),
        lambda: replace(each, offset=number),
        lambda: replace(each, offset=0),
        lambda: replace(each, name=rng.choice(TEXTS).encode("utf-8", "surrogatepass")[:60000], flags=0x800),
        lambda: replace(each, name=held[0].name, own_name=each.name),
        lambda: replace(each, own_name=rng.choice(TEXTS).encode("utf-8", "surrogatepass")[:60000]),
        lambda: replace(each, nbytes=0xFFFFFFFF, extra=wide(nbytes=rng.choice(INTEGERS))),
        lambda: replace(each, stored=0xFFFFFFFF, nbytes=0xFFFFFFFF, offset=0xFFFFFFFF, extra=wide(a=1, b=2**63, c=3)),
        lambda: replace(each, extra=smashed(rng, wide(a=1, b=2))[:60000], nbytes=0xFFFFFFFF),
        lambda: replace(each, deflated=not each.deflated),
        lambda: replace(each, data=each.data + bytes(rng.choice((1, 1000, 10**6))), deflated=True),
    )
    # fmt: on
    made = list(held)
    if rng.random() < 0.6:
        made[at] = rng.choice(kinds)()
    if rng.random() < 0.15:
        made.insert(rng.randrange(len(made) + 1), rng.choice(made))
    lies = {rng.choice(("count", "size", "at", "length")): number & 0xFFFF} if rng.random() < 0.1 else {}
    comment = rng.choice((b"", b"", b"", b"note", END.pack(b"PK\5\6", 0, 0, 1, 1, 46, 0, 0), b"PK\6\7" + bytes(16)))
    data = packed(made, comment, **lies)
    return smashed(rng, data) if rng.random() < 0.2 else data


_DESCRS = (
    *("<f4", ">c16", "|b1", "|O", "O8", "|V4", "|S5", "<U3", "<M8[s]", "f4,f4", "(2,3)f4", "<i16", ""),
    *("nonsense", "?"),
)
_LITERALS = (
    *("(2,)", "()", "(-1,)", "(True,)", "(2.0,)", "[2]", "2", "None", "(2L,)", "(1,)*9", "(10**9,)"),
    "(" + "1," * 40 + ")",
    *(f"({2**62},{2**62},0)", f"({2**63},)", "(" + "9" * 4000 + ",)", "((((2,))))", "{1:2}", "'a'", "b'a'"),
    *("1j", "..."),
    *("__import__('os').system('id')", "open('/etc/passwd')", "(lambda: 1)()", "-" * 2000 + "1", "[" * 150, "f'{1}'"),
)


def npy_smashed(rng: Random, data: bytes) -> bytes:
    """A .npy whose header says something else."""
    size = int.from_bytes(data[8:10], "little")
    head, body = data[10 : 10 + size].decode("latin1"), data[10 + size :]
    descr, order, shape = repr(rng.choice(_DESCRS)), rng.choice(("True", "False", "1", "None")), rng.choice(_LITERALS)
    if rng.random() < 0.2:
        descr = rng.choice(("[('a','<f4')]", "[('a','O')]", "{'names':['a'],'formats':['O']}", "4", *_LITERALS))
    said = [f"'descr': {descr}", f"'fortran_order': {order}", f"'shape': {shape}"]
    kept = head.strip().strip("{}").split(", '")
    for at in rng.sample(range(3), rng.choice((1, 1, 2, 3))):
        kept[at : at + 1] = [said[at].removeprefix("'") if at else said[at]]
    text = "{" + ", '".join(kept) + "}\n"
    if rng.random() < 0.2:
        text = smashed(rng, text.encode("latin1")).decode("latin1")
    length = len(text) if rng.random() < 0.9 else rng.choice(INTEGERS) & 0xFFFF
    magic = rng.choice((data[:8],) * 8 + (b"\x93NUMPY\2\0", b"\x93NUMPY\3\0", b"\x93NUMPY\0\0", b"NUMPY\0\1\0"))
    wide_length = magic[6:7] in (b"\2", b"\3")
    return magic + (length & 0xFFFF).to_bytes(4 if wide_length else 2, "little") + text.encode("latin1") + body
