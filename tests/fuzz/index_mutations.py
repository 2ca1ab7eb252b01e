"""Mutations of the index as a map: keys, columns and their items, tables, the text of the paths; and of its bytes."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from ptformat.columns import PACKED, SPARSE

from . import values
from .anatomy import packed, packed_pairs
from .rows import column, items
from .stored import Plain

Content = dict[str, Any]
KNOWN = ["requires", "chunk", "path", "value", "convention", "dialect", "metadata", "provenance", *PACKED, *SPARSE]


def drop_key(rng: Random, content: Content) -> None:
    content.pop(rng.choice(sorted(content)), None)


def new_key(rng: Random, content: Content) -> None:
    content[rng.choice((*KNOWN, values.text(rng), "parts", "zzz"))] = values.anything(rng)


def swap(rng: Random, content: Content) -> None:
    a, b = (rng.choice(sorted(content)) for _ in range(2))
    content[a], content[b] = content[b], content[a]


def packed_items(rng: Random, content: Content) -> None:
    """Items of a packed column changed, added, taken out, in another order."""
    name = rng.choice(list(PACKED))
    held = content.get(name)
    if not isinstance(held, bytes):
        return
    found = items(name, held)
    kind = rng.randrange(7)
    at = rng.randrange(len(found)) if found else 0
    if kind <= 2 and found:
        found[at] = rng.choice((0, 1, found[at] + 1, found[at] - 1, rng.choice(found), abs(values.number(rng))))
    elif kind == 3:
        found.insert(at, rng.choice((0, 1, rng.choice(found or [0]), abs(values.number(rng)))))
    elif kind == 4 and found:
        found.pop(at)
    elif kind == 5 and found:
        other = rng.randrange(len(found))
        found[at], found[other] = found[other], found[at]
    else:
        content[name] = held[: rng.randrange(len(held) + 1)]
        return
    content[name] = column(name, found)


def text(rng: Random, content: Content) -> None:
    """The paths' one text: signs put in, taken out, a line again."""
    held = content.get("path")
    if not isinstance(held, str):
        return
    at = rng.randrange(len(held) + 1)
    kind = rng.randrange(5)
    if kind <= 1:
        content["path"] = held[:at] + rng.choice(values.SIGNS) + held[at + rng.randrange(2) :]
    elif kind == 2:
        content["path"] = held[:at] + held[at + 1 :]
    elif kind == 3:
        lines = held.split("\n")
        lines[rng.randrange(len(lines))] = rng.choice(lines)
        content["path"] = "\n".join(lines)
    else:
        part = held[at : at + rng.choice((1, 2, 8))] or "a."
        content["path"] = held[:at] + part * rng.choice((2, 16, 130, 520)) + held[at:]


def listed(rng: Random, content: Content) -> None:
    """Items of `value`, of `requires`, of a table."""
    name = rng.choice(("value", "value", "requires", *SPARSE))
    held = content.get(name)
    if name in SPARSE and isinstance(held, list) and len(held) == 3:
        held = held[2]
    if not isinstance(held, list):
        return
    at = rng.randrange(len(held) + 1)
    kind = rng.randrange(4)
    if kind == 0:
        held.insert(at, values.scalar(rng) if rng.random() < 0.8 else values.anything(rng))
    elif kind == 1 and held:
        held.pop(at - 1)
    elif kind == 2 and held:
        held[at - 1] = rng.choice((values.anything(rng), rng.choice(held)))
    elif held:
        held.insert(at, held[at - 1])


def sparse(rng: Random, content: Content) -> None:
    """Rows and picks of a sparse column, or its three parts."""
    name = rng.choice(list(SPARSE))
    held = content.get(name)
    if not isinstance(held, list) or not held:
        content[name] = [column("alias", [rng.randrange(4)]), column("alias", [0]), [values.anything(rng)]]
        return
    part = rng.randrange(len(held))
    if part < 2 and isinstance(held[part], bytes) and rng.random() < 0.9:
        inner = {"alias": held[part]}
        numbers = items("alias", inner["alias"])
        if numbers:
            at = rng.randrange(len(numbers))
            numbers[at] = max(0, numbers[at] + rng.choice((-1, 1, 2, 2**31)))
            if rng.random() < 0.3:
                numbers.insert(at, numbers[at])
        held[part] = column("alias", numbers)
    elif rng.random() < 0.5:
        held[part] = values.anything(rng)
    else:
        held.insert(part, held.pop(rng.randrange(len(held))) if rng.random() < 0.5 else values.scalar(rng))


def free(rng: Random, content: Content) -> None:
    """What is said of the whole file."""
    name = rng.choice(("metadata", "provenance", "convention", "dialect", "chunk", "requires"))
    if name in ("metadata", "provenance"):
        content[name] = values.facts(rng)
    elif name == "chunk":
        content[name] = rng.choice((64, 128, 0, 63, 65, 2**26, 2**26 + 64, values.number(rng)))
    elif name == "requires":
        content[name] = rng.choice(([], ["parts"], ["a", "b"], ["b", "a"], ["a", "a"], [1]))
    else:
        content[name] = values.text(rng)


MUTATIONS: tuple[Callable[[Random, Content], None], ...] = (
    *(
        drop_key,
        new_key,
        swap,
        packed_items,
        packed_items,
        packed_items,
        text,
        text,
        listed,
        listed,
        sparse,
        sparse,
        free,
    ),
)


def mutate(rng: Random, content: Content) -> bytes:
    """The index with one or two mutations of its map; seldom with keys out of order or repeated."""
    for _ in range(rng.choice((1, 1, 2))):
        if content:
            rng.choice(MUTATIONS)(rng, content)
    if rng.random() < 0.03:
        pairs = sorted(content.items())
        if pairs:
            pairs.insert(rng.randrange(len(pairs)), rng.choice(pairs))
        return packed_pairs(pairs)
    return packed(content)


def mutate_bytes(rng: Random, index: bytes, plain: Plain) -> bytes:
    """The bytes of the index changed: by the heads of msgpack, or by a mutation that knows nothing of them."""
    if rng.random() < 0.5 or not index:
        return plain(index)
    at = rng.randrange(len(index))
    kind = rng.randrange(5)
    if kind == 0:  # the same text or number in a longer form
        lead = index[at]
        if lead < 0x80:
            wide = b"\xcc" + bytes([lead])
        elif 0xA0 <= lead < 0xC0:
            wide = b"\xd9" + bytes([lead & 31])
        elif lead == 0xC4:
            wide = b"\xc5\0"
        else:
            wide = {8: b"\xde\0", 9: b"\xdc\0"}.get(lead >> 4, b"") + bytes([lead & 15])
        return index[:at] + wide + index[at + 1 :]
    if kind == 1:
        return (
            index[:at]
            + bytes([rng.choice((0xC1, 0xC0, 0xC6, 0xC7, 0xCA, 0xCB, 0xD4, 0xDB, 0xDD, 0xDF))])
            + index[at + 1 :]
        )
    if kind == 2:
        return index[:at] + packed(values.anything(rng)) + index[at:]
    if kind == 3:
        return index[:at] + index[at + rng.choice((1, 2, 4, 8)) :]
    return index + rng.choice((b"\0", b"\xc0", index[at:]))
