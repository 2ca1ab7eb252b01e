"""The mutator: a file, from libFuzzer's corpus or sound by itself, in parts, changed at one of its layers."""

from __future__ import annotations

from collections import deque
from itertools import accumulate
from random import Random

import zstandard

from . import index_mutations, row_mutations, values
from .anatomy import Parts, apart, content, packed, together
from .rows import Row, facts_of, rows_of, written
from .stored import Plain, spoiled_frame

_LAYERS = {"rows": 50, "splice": 10, "chunks": 5, "index": 20, "bytes": 8, "frame": 4, "plain": 3}


class Mutator:
    """Mutates files. Sound files are kept, so as to begin again from one where a mutation has led nowhere.

    Args:
        seeds: Sound files.
    """

    def __init__(self, seeds: list[bytes]) -> None:
        self.seeds = seeds
        self.weights = list(accumulate(1 / (500 + len(seed)) for seed in seeds))  # the small ones are the fast ones
        self.sound: deque[bytes] = deque(maxlen=512)  # ones that `verify` has accepted

    def seed(self, rng: Random) -> bytes:
        """A sound file."""
        return rng.choices(self.seeds, cum_weights=self.weights)[0]

    def mutate(self, data: bytes, most: int, seed: int, plain: Plain) -> bytes:
        """A file of at most `most` bytes that is like `data`; `plain` mutates bytes whatever they are."""
        rng = Random(seed)
        for _ in range(4):
            draw = rng.random()
            if draw < 0.15:
                data = self.seed(rng)
            elif draw < 0.3 and self.sound:
                data = rng.choice(self.sound)
            made = self._mutated(rng, data, plain)
            if len(made) <= most:
                return made
        return made[:most]

    def cross(self, data: bytes, other: bytes, most: int, seed: int) -> bytes:
        """A file with entries of both."""
        rng = Random(seed)
        parts, donor = apart(data), apart(other)
        made = _spliced(rng, parts, donor) if parts and donor else data
        return made if len(made) <= most else data[:most]

    def _mutated(self, rng: Random, data: bytes, plain: Plain) -> bytes:
        parts = apart(data)
        layer = rng.choices(list(_LAYERS), list(_LAYERS.values()))[0]
        if parts is None or layer == "plain":
            return plain(data)
        if layer == "frame":
            return _framed(rng, parts, plain)
        if layer == "splice":
            return _spliced(rng, parts, apart(self.seed(rng)))
        if rng.random() < 0.05:
            parts.compressed = not parts.compressed
        held = None if layer == "bytes" else content(parts.index)
        if held is None:
            parts.index = index_mutations.mutate_bytes(rng, parts.index, plain)
            return together(parts)
        if layer in ("rows", "chunks") and (rows := rows_of(held, parts.body)) is not None:
            facts = facts_of(held)
            if layer == "chunks":
                facts["chunk"] = row_mutations.rechunked(rng, rows)
            else:
                row_mutations.mutate(rng, rows, facts["chunk"], plain)
            return _made(parts, facts, rows)
        parts.index = index_mutations.mutate(rng, held)
        return together(parts)


def _made(parts: Parts, facts: dict[str, object], rows: list[Row]) -> bytes:
    held, parts.body = written(facts, rows)
    parts.index = packed(held)
    return together(parts)


def _spliced(rng: Random, parts: Parts, donor: Parts | None) -> bytes:
    held = content(parts.index)
    given = content(donor.index) if donor else None
    if held is None or not given or donor is None:
        return together(parts)
    rows, others = rows_of(held, parts.body), rows_of(given, donor.body)
    if rows is None or others is None or rng.random() < 0.1:
        name = rng.choice(sorted(given))
        held[name] = given[name]
        parts.index = packed(held)
        return together(parts)
    row_mutations.spliced(rng, rows, others)
    facts = facts_of(held)
    if len(parts.index) % 2:  # else its chunks may be of another size than the file says
        facts["chunk"] = row_mutations.rechunked(rng, rows)
    return _made(parts, facts, rows)


def _framed(rng: Random, parts: Parts, plain: Plain) -> bytes:
    """A fault of the preamble, the trailer, a gap or the frame of the index; the sums are right."""
    kind = rng.randrange(6)
    if kind == 0:
        held = bytearray(parts.preamble)
        held[rng.randrange(len(held))] ^= 1 << rng.randrange(8)
        parts.preamble = bytes(held)
    elif kind == 1:
        name = rng.choice(("offset", "stored", "decoded", "sum", "flags", "major", "minor", "length", "own"))
        width = {"flags": 32, "major": 16, "minor": 16}.get(name, 64)
        parts.facts[name] = (parts.facts.get(name, 0) + abs(values.number(rng))) % 2**width
    elif kind == 2:
        parts.facts["minor"] = minor = rng.randrange(2**16)
        parts.preamble = parts.preamble[:10] + minor.to_bytes(2, "little") + parts.preamble[12:]
    elif kind == 3:
        parts.body = plain(parts.body)
    elif kind == 4:
        parts.compressed = True
        parts.frame = spoiled_frame(rng, zstandard.compress(parts.index, 1), plain)
    else:
        parts.after = rng.choice((b"\0", rng.randbytes(8), together(parts)))
    return together(parts)
