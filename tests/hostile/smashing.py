"""Bytes and values changed at random, whatever they mean."""

from __future__ import annotations

import copy
import json
import math
import struct
from collections.abc import Callable
from random import Random
from typing import Any

ESCAPE = "\x1b[2J\x1b]0;owned\x07"  # clears a terminal and gives it a name
INTEGERS = (0, 1, 2, 3, 127, 128, 255, 256, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**53, 2**63 - 1, 2**64 - 1)
TEXTS = (
    *("", ".", "..", "../x", "../../etc/passwd", "/etc/passwd", "~", "a/b", "a\\b", "C:\\x", "con", "a.b"),
    *("a..b", ".a"),
    *("\0", "\n", ESCAPE, "\u202e", "\ud800", "é", "e\u0301", "x" * 300, "x" * 5000),
    *("a." * 600, "float32", "int4", "object", "F32", "<f4", "|O", "format", "__metadata__"),
    *("__import__('os')", "{0}", "%s", "-1"),
)
NUMBERS = (*INTEGERS, -1, -(2**31), -(2**63), 2**100, 10**400, 0.0, -0.0, 0.5, 1e308, math.inf, -math.inf, math.nan)
PLAIN = (*NUMBERS, *TEXTS, None, True, False)


def smashed(rng: Random, data: bytes) -> bytes:
    """The bytes after one change, or a few."""
    made = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        rng.choice(_SMASHES)(rng, made)
    return bytes(made)


def _place(rng: Random, data: bytearray) -> int:
    return rng.randrange(len(data)) if data else 0


def _flip(rng: Random, data: bytearray) -> None:
    if data:
        data[_place(rng, data)] ^= 1 << rng.randrange(8)


def _put(rng: Random, data: bytearray) -> None:
    if data:
        data[_place(rng, data)] = rng.choice((0, 1, 0x2E, 0x7F, 0x80, 0xC1, 0xFF, rng.randrange(256)))


def _integer(rng: Random, data: bytearray) -> None:
    width, form = rng.choice(((1, "B"), (2, "H"), (4, "I"), (8, "Q")))
    at = _place(rng, data)
    value = rng.choice(INTEGERS) + rng.choice((0, 0, 1, -1)) & (1 << 8 * width) - 1
    data[at : at + width] = struct.pack(rng.choice("<>") + form, value)


def _cut(rng: Random, data: bytearray) -> None:
    del data[_place(rng, data) :]


def _drop(rng: Random, data: bytearray) -> None:
    at = _place(rng, data)
    del data[at : at + rng.choice((1, 2, 8, 64))]


def _insert(rng: Random, data: bytearray) -> None:
    at = _place(rng, data)
    data[at:at] = rng.randbytes(rng.choice((1, 2, 8))) if rng.random() < 0.5 else bytes(rng.choice((1, 8, 64)))


def _repeat(rng: Random, data: bytearray) -> None:
    at = _place(rng, data)
    part = data[at : at + rng.choice((1, 4, 16, 64))]
    data[at:at] = part * rng.choice((1, 1, 2, 30))


def _move(rng: Random, data: bytearray) -> None:
    start, to = _place(rng, data), _place(rng, data)
    part = data[start : start + rng.choice((1, 4, 16, 64))]
    data[to : to + len(part)] = part


_SMASHES: tuple[Callable[[Random, bytearray], None], ...] = (
    *(_flip, _flip, _put, _put, _integer, _integer, _cut, _drop, _insert, _repeat, _move),
)


def changed(rng: Random, value: Any) -> Any:
    """A value of lists and dicts after one change somewhere in it, or a few."""
    made = [copy.deepcopy(value)]
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        if not (places := list(_places(made))):
            break
        whole, key = rng.choice(places)
        _CHANGES[rng.randrange(len(_CHANGES))](rng, whole, key)
    return made[0] if made else None


def _places(whole: Any) -> Any:
    """(container, key) of everything beneath."""
    for key in list(whole) if isinstance(whole, dict) else range(len(whole)):
        yield whole, key
        if isinstance(whole[key], (dict, list)):
            yield from _places(whole[key])


def _plain(rng: Random, whole: Any, key: Any) -> None:
    whole[key] = rng.choice(PLAIN)


def _near(rng: Random, whole: Any, key: Any) -> None:
    """The same with something added, where that goes."""
    value = whole[key]
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        _plain(rng, whole, key)
    else:
        whole[key] = value + (rng.choice(TEXTS) if isinstance(value, str) else rng.choice((1, -1, 8, 2**32)))


def _gone(rng: Random, whole: Any, key: Any) -> None:
    del whole[key]


def _renamed(rng: Random, whole: Any, key: Any) -> None:
    if isinstance(whole, dict):
        whole[rng.choice(TEXTS)] = whole.pop(key)
    else:
        whole.insert(key, whole[key])


def _wrapped(rng: Random, whole: Any, key: Any) -> None:
    for _ in range(rng.choice((1, 2, 40, 240, 300))):
        whole[key] = [whole[key]] if rng.random() < 0.5 else {"a": whole[key]}


def _many(rng: Random, whole: Any, key: Any) -> None:
    whole[key] = [whole[key]] * rng.choice((0, 2, 33, 1000))


def _swapped(rng: Random, whole: Any, key: Any) -> None:
    other = rng.choice(list(whole) if isinstance(whole, dict) else range(len(whole)))
    whole[key], whole[other] = whole[other], whole[key]


def _doubled(rng: Random, whole: Any, key: Any) -> None:
    if isinstance(whole[key], dict):
        whole[key] = _Doubled({**whole[key]})
    else:
        _plain(rng, whole, key)


class _Doubled(dict[Any, Any]):
    """A dict whose first key is written twice."""


_CHANGES: tuple[Callable[[Random, Any, Any], None], ...] = (
    *(_plain, _plain, _plain, _near, _near, _gone, _renamed, _wrapped, _many, _swapped, _doubled),
)


def json_text(value: Any) -> bytes:
    """JSON of what `changed` makes, NaN, lone surrogates and repeated keys included."""
    return _json(value).encode()


def _json(value: Any) -> str:
    if isinstance(value, dict):
        items = [f"{json.dumps(str(key))}:{_json(item)}" for key, item in value.items()]
        return "{" + ",".join([*items, *(items[:1] if isinstance(value, _Doubled) else [])]) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_json, value)) + "]"
    return json.dumps(value)


def json_smashed(rng: Random, text: bytes) -> bytes:
    """JSON text after a change of its values, or of its bytes."""
    return smashed(rng, text) if rng.random() < 0.15 else json_text(changed(rng, json.loads(text)))
