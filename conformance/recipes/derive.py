"""Many more files made of a few: every truncation, every flipped bit, every field replaced with the checksums repaired.

They are made when they are asked for, always the same ones in the same order. What is expected of them:

- `truncated`, `flipped`: to be rejected by whoever verifies; with which code is left open;
- `replaced`, `rebuilt`: what `derived.json` beside the cases lists, since a replaced field may happen to be right.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator

from .draft import assembled
from .xxh3 import xxh3_64

# Ids of valid cases, small ones, that together have everything a file can have. None has a block that is entropy-coded:
# of those that are changed, decoders refuse more or fewer (section 6.2).
SEEDS = (
    "valid/aliases/own-all",
    "valid/aliases/of-int4",
    "valid/chunks/gap-of-63",
    "valid/chunks/of-64-times-2-more-1",
    "valid/deck/linen",
    "valid/deck/net",
    "valid/deck/shared",
    "valid/dtypes/bool-patterns",
    "valid/dtypes/int2-rows",
    "valid/flat/keys-backslashes",
    "valid/flat/part-beneath-a-part",
    "valid/flat/with-keys",
    "valid/forms/each-in-each",
    "valid/index/compressed-raw-block",
    "valid/index/every-key",
    "valid/keys/of-every-type",
    "valid/planes/all-modes",
    "valid/planes/bfloat16-sevens",
    "valid/values/same",
    "valid/zstd/blocks-rle-then-raw",
)
_NUMBERS = (0, 1, 63, 64, 65, 255, 256, 2**16, 2**31, 2**32 - 1, 2**53 - 1, 2**53, 2**63 - 1, 2**63, 2**64 - 1)
_BYTES = (0x01, 0x80, 0xFF)  # by which a byte is changed, bit by bit; beside them it is set to 0 and to its neighbour's


def truncated(data: bytes) -> Iterator[bytes]:
    """Every proper prefix."""
    for size in range(len(data)):
        yield data[:size]


def flipped(data: bytes) -> Iterator[bytes]:
    """Every single bit."""
    for at in range(len(data)):
        for bit in range(8):
            yield data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]


def replaced(data: bytes) -> Iterator[bytes]:
    """Every byte of preamble, chunks and index, and every field of the trailer; checksums are right again."""
    offset, stored, decoded, total, flags, major, minor, length = _trailer(data)
    start, index = data[:offset], data[offset : offset + stored]
    sums = _sums(start, index) if not flags & 1 else []
    for at in range(8, offset):
        for byte in _others(start, at):
            changed = start[:at] + bytes([byte]) + start[at + 1 :]
            yield assembled(changed, _summed(changed, index, sums), decoded=decoded, flags=flags, minor=minor)
    for at in range(stored):
        for byte in _others(index, at):
            changed = index[:at] + bytes([byte]) + index[at + 1 :]
            yield assembled(start, changed, decoded=decoded, flags=flags, minor=minor)
    facts = {"offset": offset, "stored": stored, "decoded": decoded, "sum": total, "flags": flags}
    facts |= {"major": major, "minor": minor, "length": length}
    for name, held in facts.items():
        bits = {"flags": 32, "major": 16, "minor": 16}.get(name, 64)
        for number in sorted({*_NUMBERS, held - 64, held - 1, held + 1, held + 64, length}):
            if number != held and 0 <= number < 1 << bits:
                yield assembled(start, index, **(facts | {name: number}))


def rebuilt(data: bytes) -> Iterator[bytes]:
    """The keys of the index one by one: left out, twice, changed with the next one, its value that of every other."""
    offset, stored, _, _, flags, _, minor, _ = _trailer(data)
    if flags & 1:
        return
    start, index = data[:offset], data[offset : offset + stored]
    members = _members(index)
    for at in range(len(members)):
        others = members[:at] + members[at + 1 :]
        yield _put_together(start, others, minor)
        yield _put_together(start, [*members[: at + 1], *members[at:]], minor)
        yield _put_together(start, [*others[: at + 1], members[at], *others[at + 1 :]], minor)
        for key, value in members:
            if value != members[at][1]:
                yield _put_together(start, [*members[:at], (members[at][0], value), *members[at + 1 :]], minor)
            if key == members[at][0]:
                for cut in (value[:-1], value + b"\0", value + value):
                    yield _put_together(start, [*members[:at], (key, cut), *members[at + 1 :]], minor)


FAMILIES: dict[str, Callable[[bytes], Iterator[bytes]]] = {
    "truncated": truncated,
    "flipped": flipped,
    "replaced": replaced,
    "rebuilt": rebuilt,
}
LISTED = ("replaced", "rebuilt")  # families whose verdicts are listed; the others are all to be rejected


def _trailer(data: bytes) -> tuple[int, ...]:
    return struct.unpack_from("<4QI2HQ", data, len(data) - 64)


def _others(data: bytes, at: int) -> list[int]:
    """Bytes to put in the place of one."""
    held = data[at]
    made = {held ^ by for by in _BYTES} | {0, data[at - 1], (held + 1) % 256, (held - 1) % 256}
    return sorted(made - {held})


def _put_together(start: bytes, members: list[tuple[bytes, bytes]], minor: int) -> bytes:
    size = len(members)
    lead = bytes([0x80 + size]) if size < 16 else b"\xde" + size.to_bytes(2, "big")
    return assembled(start, lead + b"".join(key + value for key, value in members), minor=minor)


def _members(index: bytes) -> list[tuple[bytes, bytes]]:
    """The keys and values of the index map, as bytes."""
    count, at = (index[0] & 0xF, 1) if index[0] < 0x90 else (int.from_bytes(index[1:3], "big"), 3)
    found = []
    for _ in range(count):
        middle = _end(index, at)
        end = _end(index, middle)
        found.append((index[at:middle], index[middle:end]))
        at = end
    return found


def _end(data: bytes, at: int) -> int:
    """Where the value that begins at a byte ends."""
    lead = data[at]
    if lead < 0x80 or lead >= 0xE0 or lead in (0xC0, 0xC2, 0xC3):
        return at + 1
    if 0xCA <= lead <= 0xD3:
        return at + 1 + {0xCA: 4, 0xCB: 8}.get(lead, 1 << (lead & 3))
    if lead < 0xA0:
        items, at = (lead & 0xF) * (2 if lead < 0x90 else 1), at + 1
    elif lead < 0xC0:
        return at + 1 + (lead & 0x1F)
    else:
        width = {0xC4: 1, 0xC5: 2, 0xC6: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4, 0xDC: 2, 0xDD: 4, 0xDE: 2, 0xDF: 4}[lead]
        size = int.from_bytes(data[at + 1 : at + 1 + width], "big")
        at += 1 + width
        if lead < 0xDC:
            return at + size
        items = size * (2 if lead >= 0xDE else 1)
    for _ in range(items):
        at = _end(data, at)
    return at


def _sums(start: bytes, index: bytes) -> list[tuple[int, int, int]]:
    """Of each chunk: where its checksum stands in the index, and where it begins and ends in the file."""
    columns = dict(_members(index))
    stored = _items(columns[b"\xa6stored"], "I")
    at = index.index(columns[b"\xa3sum"], index.index(b"\xa3sum")) + len(columns[b"\xa3sum"]) - 8 * len(stored)
    found, position = [], 64
    for k, size in enumerate(stored):
        place = at + 8 * k
        total = struct.unpack_from("<Q", index, place)[0]
        begin = next(p for p in range(position, len(start)) if xxh3_64(start[p : p + size]) == total)
        found.append((place, begin, begin + size))
        position = begin + size
    return found


def _items(binary: bytes, kind: str) -> tuple[int, ...]:
    raw = binary[{0xC4: 2, 0xC5: 3, 0xC6: 5}[binary[0]] :]
    return struct.unpack(f"<{len(raw) // struct.calcsize(kind)}{kind}", raw)


def _summed(start: bytes, index: bytes, sums: list[tuple[int, int, int]]) -> bytes:
    """The index with the checksums of these chunks."""
    made = bytearray(index)
    for place, begin, end in sums:
        struct.pack_into("<Q", made, place, xxh3_64(start[begin:end]))
    return bytes(made)
