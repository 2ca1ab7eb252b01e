"""Zip archives, whose directory may say anything at all: each lie is one error, before any byte is inflated."""

import io
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from checks import raised

from ptformat.converters.files.zips import DEFLATED, Archive

CENTRAL = struct.Struct("<4s6H3L5H2L")
END = struct.Struct("<4s4H2LH")
Lie = Callable[[bytearray], object]


def archive(*members: tuple[str, bytes], method: int = zipfile.ZIP_STORED, comment: bytes = b"") -> bytearray:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as file:
        for name, data in members:
            file.writestr(name, data)
        file.comment = comment
    return bytearray(buffer.getvalue())


PAIR = archive(("a", b"12345678"), ("b", b"abcdefgh"))
DEFLATE = archive(("a", bytes(1000)), method=zipfile.ZIP_DEFLATED)


def central(data: bytes, number: int = 0) -> int:
    """Where an entry of the directory is."""
    at = -1
    for _ in range(number + 1):
        at = data.index(b"PK\1\2", at + 1)
    return at


def put(at: Callable[[bytearray], int], form: str, value: int) -> Lie:
    return lambda data: struct.pack_into(form, data, at(data), value)


def entry(field: int, form: str, value: int, number: int = 0) -> Lie:
    """An entry of the directory that says otherwise; `field` is its offset, APPNOTE 4.3.12."""
    return put(lambda data: central(data, number) + field, form, value)


def end(field: int, form: str, value: int) -> Lie:
    return put(lambda data: data.rindex(b"PK\5\6") + field, form, value)


def second_name(data: bytearray) -> None:
    """The directory's name of the second member, which its own header does not have."""
    data[central(data, 1) + CENTRAL.size] = ord("c")


def overlap(data: bytearray) -> None:
    """The first member is said to go on into the second."""
    for field in (20, 24):
        struct.pack_into("<L", data, central(data) + field, 20)


def hidden_end(data: bytearray) -> None:
    """A comment that holds an end record, of another directory."""
    inner = END.pack(b"PK\5\6", 0, 0, 0, 0, 0, 0, 0) + b"x"
    struct.pack_into("<H", data, data.rindex(b"PK\5\6") + 20, len(inner))
    data += inner


def wide(count: int, size: int, at: int, place: int = 0, sign: bytes = b"PK\6\6") -> Lie:
    """ZIP64 end records that say so in front of the plain one."""

    def change(data: bytearray) -> None:
        plain = data.rindex(b"PK\5\6")
        record = struct.pack("<4sQ2H2L4Q", sign, 44, 45, 45, 0, 0, count, count, size, at)
        locator = struct.pack("<4sLQL", b"PK\6\7", 0, place or plain, 1)
        data[plain:plain] = record + locator

    return change


SIZE = len(PAIR) - END.size - central(PAIR)
LIES: dict[str, tuple[bytearray, Lie, str, str]] = {
    "no end": (
        PAIR,
        lambda data: data.__delitem__(slice(-22, None)),
        "TRUNCATED",
        "no end of a zip directory was found",
    ),
    "bytes behind": (PAIR, lambda data: data.extend(b"x"), "MALFORMED", "1 bytes follow the end record, which says 0"),
    "comment cut": (PAIR, end(20, "<H", 3), "MALFORMED", "0 bytes follow the end record, which says 3"),
    "second end record": (PAIR, hidden_end, "MALFORMED", "1 bytes follow the end record, which says 0"),
    "fewer members": (PAIR, end(10, "<H", 1), "MALFORMED", "after 1 members, not at byte"),
    "more members": (PAIR, end(10, "<H", 3), "MALFORMED", "within member 2 of 3"),
    "directory short": (PAIR, end(12, "<L", SIZE - 1), "MALFORMED", "its end record begins at byte"),
    "directory long": (PAIR, end(12, "<L", SIZE + 1), "MALFORMED", "its end record begins at byte"),
    "directory elsewhere": (PAIR, end(16, "<L", 0), "MALFORMED", "its end record begins at byte"),
    "name runs out": (PAIR, entry(28, "<H", 0xFFFF, 1), "MALFORMED", "within member 1 of 2"),
    "name runs into the end": (PAIR, entry(28, "<H", SIZE), "MALFORMED", "within member 0 of 2"),
    "entry has no sign": (PAIR, entry(0, "<B", 0), "MALFORMED", "no directory entry at byte"),
    "encrypted": (PAIR, entry(8, "<H", 1), "FORMAT", "member 'a' is encrypted"),
    "method": (PAIR, entry(10, "<H", 12), "CODEC", "member 'a' is compressed by method 12"),
    "name no UTF-8": (
        archive(("é", b"")),
        lambda data: data.__setitem__(central(data) + CENTRAL.size, 0xFF),
        "MALFORMED",
        "is no UTF-8",
    ),
    "same name": (
        archive(("a", b""), ("b", b"")),
        lambda data: data.__setitem__(-23, ord("a")),
        "DUPLICATE",
        "'a' stands",
    ),
    "another name": (PAIR, second_name, "MALFORMED", "no header of member 'c' at byte"),
    "no header": (PAIR, entry(42, "<L", 1), "MALFORMED", "no header of member 'a' at byte 1"),
    "header behind the file": (
        PAIR,
        entry(42, "<L", 0xFFFFFFF0),
        "TRUNCATED",
        "'a' begins behind the file's end",
    ),
    "data behind the file": (PAIR, entry(20, "<L", 1000), "TRUNCATED", "the file has"),
    "stored shorter": (PAIR, entry(24, "<L", 9), "MALFORMED", "is stored in 8 bytes but said to hold 9"),
    "overlap": (PAIR, overlap, "MALFORMED", "two members overlap at byte 39"),
    "into the directory": (
        PAIR,
        lambda data: [struct.pack_into("<L", data, central(data, 1) + field, 9) for field in (20, 24)],
        "MALFORMED",
        "within the last member",
    ),
    "more than deflate can": (
        DEFLATE,
        entry(24, "<L", 2**31),
        "MALFORMED",
        "cannot hold 2147483648 bytes, deflated",
    ),
    "wide count": (PAIR, wide(2**40, SIZE, central(PAIR)), "LIMIT", "1099511627776 members, at most 2097152"),
    "wide size": (PAIR, wide(2, 2**63, central(PAIR)), "MALFORMED", "its end record begins at byte"),
    "wide place": (PAIR, wide(2, SIZE, 2**63), "MALFORMED", "its end record begins at byte"),
    "wide elsewhere": (PAIR, wide(2, SIZE, central(PAIR), 2**63), "MALFORMED", "the ZIP64 end record lies at byte"),
    "wide without sign": (
        PAIR,
        wide(2, SIZE, central(PAIR), sign=b"PK\6\0"),
        "MALFORMED",
        "no ZIP64 end record at byte",
    ),
    "wide cut": (PAIR, wide(2, SIZE, central(PAIR), len(PAIR) + 60), "TRUNCATED", "its directory ends early"),
}


@pytest.mark.parametrize("name", LIES)
def test_lies(name: str, tmp_path: Path) -> None:
    sound, lie, code, message = LIES[name]
    data = bytearray(sound)
    (tmp_path / "x").write_bytes(data)
    Archive(tmp_path / "x").close()
    lie(data)
    (tmp_path / "x").write_bytes(data)
    assert message in raised(code, lambda: Archive(tmp_path / "x")).message


def test_what_is_no_lie(tmp_path: Path) -> None:
    """A comment; ZIP64 records that agree; names of any kind, which are names of tensors and not of files."""
    names = ["../up", "/etc/passwd", "a/b", ".", "C:\\x", "con", "ü", "x" * 1000]
    members = [(name, name.encode()) for name in names]
    for data in (archive(*members, comment=b"a comment"), archive(*members)):
        (tmp_path / "x").write_bytes(data)
        held = Archive(tmp_path / "x")
        assert {name: held.read(member, 2000).decode() for name, member in held.members.items()} == {
            name: name for name in names
        }
    data = bytearray(PAIR)
    wide(2, SIZE, central(PAIR))(data)
    (tmp_path / "x").write_bytes(data)
    assert [*Archive(tmp_path / "x").members] == ["a", "b"]


def test_deflated_members_that_lie(tmp_path: Path) -> None:
    """What it holds is less, or more, or other than it says: told when it is read."""
    for lie, code, message in (
        (entry(24, "<L", 1001), "MALFORMED", "member 'a' holds 1 bytes less than it says"),
        (entry(24, "<L", 999), "CHECKSUM", "CRC-32 of member 'a'"),
        (entry(16, "<L", 0), "CHECKSUM", "CRC-32 of member 'a'"),
        (lambda data: data.__setitem__(31, 0xFF), "MALFORMED", "member 'a' cannot be inflated"),
    ):
        data = bytearray(DEFLATE)
        lie(data)
        (tmp_path / "x").write_bytes(data)
        held = Archive(tmp_path / "x")
        member = held.members["a"]
        assert member.method == DEFLATED
        assert message in raised(code, lambda held=held, member=member: held.data(member)).message
        assert message in raised(code, lambda held=held, member=member: held.read(member, 2000)).message


def test_the_beginning_of_a_member_that_cannot_be_inflated(tmp_path: Path) -> None:
    data = bytearray(DEFLATE)
    data[31] = 0xFF
    (tmp_path / "x").write_bytes(data)
    held = Archive(tmp_path / "x")
    assert "cannot be inflated" in raised("MALFORMED", lambda: held.start(held.members["a"], 10)).message


def test_what_is_read_into_memory_is_bounded(tmp_path: Path) -> None:
    """By the caller, and by sixteen times what is stored."""
    (tmp_path / "x").write_bytes(archive(("a", bytes(2**18)), ("b", bytes(2**18 + 1)), method=zipfile.ZIP_DEFLATED))
    held = Archive(tmp_path / "x")
    assert len(held.read(held.members["a"], 2**20)) == 2**18
    for name, limit in (("a", 2**18 - 1), ("b", 2**20)):
        error = raised("LIMIT", lambda name=name, limit=limit: held.read(held.members[name], limit))
        assert f"at most {min(limit, 2**18)} are read" in error.message


def test_fields_that_are_not_those_of_zip64(tmp_path: Path) -> None:
    """Each entry has a list of them; what is wide is in the one of type 1, wherever it stands."""
    info = zipfile.ZipInfo("a")
    info.extra = struct.pack("<2H5s", 0x5455, 5, bytes(5)) + struct.pack("<2HQ", 1, 8, 8)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("b", b"12345678")
    data = bytearray(buffer.getvalue())
    at = central(data)
    data[at + CENTRAL.size + 1 : at + CENTRAL.size + 1] = info.extra
    struct.pack_into("<H", data, at + 30, len(info.extra))
    struct.pack_into("<L", data, at + 24, 0xFFFFFFFF)
    struct.pack_into("<L", data, data.rindex(b"PK\5\6") + 12, len(data) - END.size - at)
    (tmp_path / "x").write_bytes(data)
    (member,) = Archive(tmp_path / "x").members.values()
    assert (member.nbytes, member.stored) == (8, 8)
    data[at + CENTRAL.size + 1 + 9] = 2  # of another type, it says nothing
    (tmp_path / "x").write_bytes(data)
    assert (
        "is stored in 8 bytes but said to hold 4294967295"
        in raised("MALFORMED", lambda: Archive(tmp_path / "x")).message
    )


def test_a_stored_member_that_is_read_whole_is_verified(tmp_path: Path) -> None:
    data = archive(("a", b"12345678"))
    data[31] ^= 1
    (tmp_path / "x").write_bytes(data)
    held = Archive(tmp_path / "x")
    assert bytes(held.data(held.members["a"])) != b"12345678"
    assert raised("CHECKSUM", lambda: held.read(held.members["a"], 100)).message.endswith("CRC-32 of member 'a'")
