"""Random values, keys, texts and paths as an index can hold them, and as it cannot; mostly near some limit."""

from __future__ import annotations

import math
from random import Random
from typing import Any

NUMBERS = [
    *(-(2**63), -(2**31) - 1, -129, -128, -33, -32, -1, 0, 1, 2, 7, 31, 32, 33, 63, 64, 65, 127, 128, 129, 255, 256),
    *(1023, 1024, 2**16 - 1, 2**16, 2**20, 2**20 + 1, 2**22, 2**26, 2**26 + 64, 2**31, 2**32 - 1, 2**32, 2**53 - 1),
    *(2**53, 2**62, 2**63 - 1, 2**63, 2**64 - 1),
]
FLOATS = [0.0, -0.0, 1.0, -2.5, 1e308, 5e-324, math.inf, -math.inf, math.nan]
# Segments before they are escaped.
SEGMENTS = ["a", "b", "ab", "0", "1", "2", "10", "weight", "bias", "x", "x.", ".x", "", ".", "..", "a.b", "a.b.c"]
SEGMENTS += [
    "\\",
    "\\e",
    "e",
    "é",
    "größe",
    " ",
    "~2",
    "null",
    "grad",
    "__class__",
    "count",
    "_fields",
    "日本",
    "\U0001f600",
]
TEXTS = [*SEGMENTS, "parameter", "buffer", "linear", "torch", "flax.nnx", "out", "in", "\0", "\x1f\x7f", "\n", "\udcff"]
# Text put into a joined column of paths, where it means something.
SIGNS = [
    ".",
    "\n",
    "\\",
    "\\.",
    "\\\\",
    "\\e",
    "\0",
    "\1",
    "\2",
    "\3",
    "\x1f",
    "\x7f",
    "\x80",
    "é",
    "\udcc3",
    "0",
    "a",
    "b.c",
]


def number(rng: Random) -> int:
    """An integer near a limit, or a small one."""
    if rng.random() < 0.5:
        return rng.randrange(12)
    return max(-(2**63), min(2**64 - 1, rng.choice(NUMBERS) + rng.choice((-1, 0, 0, 1))))


def text(rng: Random) -> str:
    """A string, seldom a long one."""
    if rng.random() < 0.9:
        return rng.choice(TEXTS)
    return rng.choice(TEXTS) * rng.choice((2, 8, 40, 300))


def scalar(rng: Random) -> Any:
    """What a value may be."""
    kind = rng.randrange(6)
    if kind == 0:
        return rng.choice((None, False, True))
    if kind == 1:
        return rng.choice(FLOATS)
    if kind == 2:
        return text(rng)
    return rng.randbytes(rng.choice((0, 1, 4, 8, 12, 33))) if kind == 3 else number(rng)


def anything(rng: Random, depth: int = 0) -> Any:
    """A value of any type, nested or not; seldom nested to about the limit."""
    if rng.random() < 0.01 and not depth:
        made: Any = []
        for _ in range(rng.choice((29, 30, 31, 32, 40))):
            made = [made] if rng.random() < 0.7 else {"k": made}
        return made
    if depth > 3 or rng.random() < 0.6:
        return scalar(rng)
    count = rng.choice((0, 1, 2, 3, 16))
    if rng.random() < 0.5:
        return [anything(rng, depth + 1) for _ in range(count)]
    return {text(rng): anything(rng, depth + 1) for _ in range(count)}


def key(rng: Random) -> Any:
    """A key of a map of form keys."""
    if rng.random() < 0.2:
        return [key(rng) for _ in range(rng.randrange(3))]
    return rng.choice((1, 1.0, True, 0, False, 0.0, None, scalar(rng)))


def facts(rng: Random) -> dict[str, Any]:
    """A map such as `attrs`, `metadata` or `provenance`."""
    return {text(rng): anything(rng, 2) for _ in range(rng.randrange(4))}


def segment(rng: Random) -> str:
    """A segment as it stands in a path, mostly escaped as it must be."""
    plain = rng.choice(SEGMENTS)
    if rng.random() < 0.05:
        return plain
    return plain.replace("\\", "\\\\").replace(".", "\\.") or "\\e"


def path(rng: Random, others: list[str]) -> str:
    """A path: near one of the others, most of the time."""
    if not others or rng.random() < 0.2:
        return ".".join(segment(rng) for _ in range(rng.randrange(4)))
    near = rng.choice(others)
    kind = rng.randrange(6)
    if kind == 0:  # beneath it
        return f"{near}.{segment(rng)}" if near else segment(rng)
    if kind == 1:  # above it
        return near.rpartition(".")[0]
    if kind == 2:
        return near
    if kind == 3:  # a dot that no longer divides, or that now does
        at = near.rfind(".")
        return (
            near
            if at < 0
            else near[: at - 1] + near[at:]
            if near[at - 1 : at] == "\\"
            else near[:at] + "\\" + near[at:]
        )
    if kind == 4:
        return near + rng.choice((segment(rng), rng.choice(SIGNS)))
    return f"{near.rpartition('.')[0]}.{segment(rng)}".lstrip(".")  # beside it
