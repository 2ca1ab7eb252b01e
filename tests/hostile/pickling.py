"""Pickles changed opcode by opcode, and opcodes that no file of tensors has."""

from __future__ import annotations

import io
import pickletools
import struct
from collections.abc import Callable
from random import Random

from hostile.smashing import INTEGERS, TEXTS, smashed


def number(value: int) -> bytes:
    """LONG1 of an integer."""
    data = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(data)]) + data


def text(value: str) -> bytes:
    """BINUNICODE of a text."""
    data = value.encode("utf-8", "surrogatepass")
    return b"X" + struct.pack("<I", len(data)) + data


def laughs(start: bytes, twice: bytes, levels: int) -> bytes:
    """What holds twice what holds twice … `start`."""
    return start + b"q\x000" + (twice + b"q\x000") * levels + b"h\0"


ORDERED = b"ccollections\nOrderedDict\n)R"


def storage(key: str, count: int, kind: str = "FloatStorage", legacy: bool = False) -> bytes:
    """A persistent id of a storage, as the zip form has it or the legacy one."""
    items = (
        text("storage"),
        f"ctorch\n{kind}\n".encode(),
        text(key),
        text("cpu"),
        number(count),
        b"N" if legacy else b"",
    )
    return b"(" + b"".join(items) + b"tQ"


def tensor(held: bytes, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> bytes:
    """A call of `_rebuild_tensor_v2`."""
    sizes, steps = (b"(" + b"".join(map(number, each)) + b"t" for each in (shape, strides))
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + held + number(offset) + sizes + steps + b"\x89" + ORDERED + b"tR"


# Every opcode that imports, calls, builds or asks; and what grows, recurs or lies.
SNIPPETS: tuple[bytes, ...] = (
    *(b"cos\nsystem\n(X\2\0\0\0idtR", b"cposix\nsystem\n(X\2\0\0\0idtR", b"cbuiltins\neval\n(X\1\0\0\x001tR"),
    *(b"\x8c\2os\x8c\6system\x93(X\2\0\0\0idtR", b"(ios\nsystem\n", b"(cos\nsystem\nX\2\0\0\0ido"),
    *(b"cbuiltins\ngetattr\n", b"ctorch\nload\n", b"ctorch._utils\n_import_dotted_name\n", b"ctorch.hub\nload\n"),
    *(b"ccollections\nOrderedDict\n)\x81", b"ccollections\nOrderedDict\n)}\x92", b"\x82\1", b"\x83\1\0"),
    b"\x84\1\0\0\0",
    *(b"}b", b"}}b", b"NNb", b"Pabc\n", b"NQ", b"K\1Q", b"(X\6\0\0\0moduletQ"),
    *(laughs(b")", b"h\0h\0\x86", 60), laughs(b"]", b"](h\0h\0e", 60), laughs(b"}", b"}(K\1h\0K\2h\0u", 60)),
    *(b"]q\0h\0a", b"}q\0K\1h\0s", b"]" * 300 + b"a" * 299, b")" + b"\x85" * 300, b"(" * 300),
    *(b"Nr\xff\xff\xff\xff", b"h\xff", b"j\xff\xff\xff\xff", b"\x94" * 5, b"\x8b\xff\xff\xff\x7f"),
    b"\x8a\xff" + b"\x7f" * 255,
    *(b"X\xff\xff\xff\xff", b"\x8d" + b"\xff" * 8, b"B\xff\xff\xff\xff", b"\x8e" + b"\xff" * 8, b"T\xff\xff\xff\x7f"),
    *(b"I123\n", b"L123L\n", b"F1.5\n", b"S'a'\n", b"Va\n", b"\x95" + b"\xff" * 8, b"\x80\0", b"\x80\xff"),
    b"\x96" + bytes(8),
    *(b"2", b"1", b"0", b"\x8f", b"\x90", b"\x91", b"\x97", b"\x98", b".", b"R", b"t", b"u", b"s", b"a"),
    *(b"e", b"d", b"l"),
    *(b"ctorch\nSize\n]R", b"ctorch\nSize\n(J\xff\xff\xff\xfftR", b"c_codecs\nencode\n(X\1\0\0\0aX\6\0\0\0latin1tR"),
    *(storage("0", 6), storage("0", 2**40), storage("9", 1), storage("0", 6, "DoubleStorage")),
    storage("0", 3, legacy=True),
    tensor(storage("0", 6), 1, (6,), (1,)),
    tensor(storage("0", 6), 0, (2**50,), (0,)),
    tensor(storage("0", 6), 0, (2**26,), (0,)),
    tensor(storage("0", 6), 5, (6,), (-1,)),
    tensor(storage("0", 6), 0, (3, 3), (1, 1)),
    tensor(storage("0", 6), 0, (2**50, 2**50, 0), (0, 0, 0)),
)


def opcodes(data: bytes) -> list[bytes]:
    """A pickle as its opcodes with their arguments; what follows it is the last."""
    file = io.BytesIO(data)
    starts = []
    for _, _, at in pickletools.genops(file):
        starts.append(at)
    ends = [*starts[1:], file.tell()]
    parts = [data[start:end] for start, end in zip(starts, ends, strict=True)]
    return [*parts, *([data[file.tell() :]] if file.tell() < len(data) else [])]


def pickle_smashed(rng: Random, data: bytes) -> bytes:
    """A pickle after one change of its opcodes, or a few."""
    parts = opcodes(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        rng.choice(_CHANGES)(rng, parts)
    return b"".join(parts)


def _gone(rng: Random, parts: list[bytes]) -> None:
    del parts[rng.randrange(len(parts))]
    parts.append(b"")


def _again(rng: Random, parts: list[bytes]) -> None:
    at = rng.randrange(len(parts))
    parts[at:at] = parts[at : at + rng.choice((1, 1, 3, 10))] * rng.choice((1, 1, 2, 50))


def _moved(rng: Random, parts: list[bytes]) -> None:
    parts.insert(rng.randrange(len(parts)), parts.pop(rng.randrange(len(parts))))


def _inserted(rng: Random, parts: list[bytes]) -> None:
    parts.insert(rng.randrange(len(parts)), rng.choice(SNIPPETS))


def _replaced(rng: Random, parts: list[bytes]) -> None:
    """One item by another: what takes nothing from the stack and leaves one thing there."""
    at = rng.choice([at for at, part in enumerate(parts) if part[:1] in _ITEMS] or [0])
    value = rng.choice((*INTEGERS, -1, -(2**63), 2**200, 2**600))
    other = (
        number(value) if value < 2**1000 else b"N",
        text(rng.choice(TEXTS)),
        rng.choice(SNIPPETS),
        b"N",
        b"}",
        b"]",
        b")",
    )
    parts[at] = rng.choice(other)


_ITEMS = [bytes([code]) for code in b"KMJ\x8aGXN})]\x88\x89UTBC\x8c\x8d\x8eh"]


def _argument(rng: Random, parts: list[bytes]) -> None:
    at = rng.randrange(len(parts))
    parts[at] = parts[at][:1] + smashed(rng, parts[at][1:])


def _code(rng: Random, parts: list[bytes]) -> None:
    at = rng.randrange(len(parts))
    parts[at] = bytes([rng.randrange(256)]) + parts[at][1:]


_CHANGES: tuple[Callable[[Random, list[bytes]], None], ...] = (
    *(_gone, _again, _moved, _inserted, _inserted, _replaced, _replaced, _replaced, _argument, _code),
)
