"""Mutations of the rows: what the file says changes, and how it says so stays sound, but for what the change breaks."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from ptformat import paths
from ptformat.columns import ALIAS, NODE, SPARSE, TENSOR, VALUE
from ptformat.dtypes import TABLE
from ptformat.tree import FORMS

from . import values
from .rows import Chunk, Row
from .stored import Plain, fit, recode, spoil

MAP, LIST, TUPLE, NAMEDTUPLE, FLAT, KEYS, PART = range(len(FORMS))
SHAPES = [
    [],
    [0],
    [1],
    [2, 3],
    [3, 2],
    [8],
    [1, 1],
    [2, 0, 3],
    [4, 4, 4],
    [16, 5],
    [2**53, 0],
    [1] * 32,
    [2] * 5,
    [2048],
]

Rows = list[Row]
Mutation = Callable[[Random, Rows, int, Plain], None]


def drop(rng: Random, rows: Rows, chunk: int, plain: Plain) -> None:
    del rows[rng.randrange(len(rows))]


def twice(rng: Random, rows: Rows, chunk: int, plain: Plain) -> None:
    made = rng.choice(rows).copy()
    if rng.random() < 0.9:
        made.path = values.path(rng, [row.path for row in rows])
    rows.insert(rng.randrange(len(rows) + 1), made)


def move(rng: Random, rows: Rows, chunk: int, plain: Plain) -> None:
    rows.insert(rng.randrange(len(rows)), rows.pop(rng.randrange(len(rows))))


def repath(rng: Random, rows: Rows, chunk: int, plain: Plain) -> None:
    rng.choice(rows).path = values.path(rng, [row.path for row in rows])


def rename(rng: Random, rows: Rows, chunk: int, plain: Plain) -> None:
    """A place gets another name, with all that is beneath it."""
    old = rng.choice(rows).path
    for _ in range(rng.randrange(3)):
        old = paths.parent(old)
    new = values.path(rng, [row.path for row in rows])
    for row in rows:
        if row.path == old:
            row.path = new
        elif not old or row.path.startswith(f"{old}."):
            row.path = f"{new}.{row.path[len(old) + bool(old) :]}".strip(".")


def fresh(rng: Random, rows: Rows, chunk: int, plain: Plain) -> None:
    """A new entry of any type."""
    row = Row(rng.choice((TENSOR, TENSOR, ALIAS, VALUE, NODE)), values.path(rng, [row.path for row in rows]))
    become(rng, row, rows, chunk)
    rows.insert(rng.randrange(len(rows) + 1), row)


def retype(rng: Random, rows: Rows, chunk: int, plain: Plain) -> None:
    row = rng.choice(rows)
    row.kind = rng.choice((TENSOR, ALIAS, VALUE, NODE))
    row.said = {name: said for name, said in row.said.items() if row.kind in SPARSE[name] or rng.random() < 0.05}
    become(rng, row, rows, chunk)


def become(rng: Random, row: Row, rows: Rows, chunk: int) -> None:
    """The facts that a row of its type has."""
    if row.kind == TENSOR:
        row.dtype, row.shape = rng.randrange(len(TABLE)), list(rng.choice(SHAPES))
        fit(rng, row, chunk)
    elif row.kind == ALIAS:
        tensors = [one for one in rows if one.kind == TENSOR]
        row.target = rng.choice(tensors) if tensors else None
    elif row.kind == VALUE:
        row.value = values.scalar(rng)
    else:
        row.form = rng.randrange(len(FORMS))


def retarget(rng: Random, rows: Rows, chunk: int, plain: Plain) -> None:
    """An alias of another row, another permutation, facts that its target has."""
    aliases = [row for row in rows if row.kind == ALIAS]
    if not aliases:
        return fresh(rng, rows, chunk, plain)
    row = rng.choice(aliases)
    if rng.random() < 0.4:
        row.target = rng.choice(rows)
    rank = len(row.target.shape) if row.target else 0
    if rng.random() < 0.5:
        perm = list(range(rank))
        rng.shuffle(perm)
        row.said["perm"] = perm
        if rng.random() < 0.2:
            row.said["perm"] = [rng.choice((0, -1, rank, value, 2**63)) for value in perm]
    else:
        row.said.pop("perm", None)
    if row.target and rng.random() < 0.5:
        for name in ("axes", "role", "trainable"):
            if name in row.target.said and rng.random() < 0.5:
                row.said[name] = row.target.said[name]
    return None


def reshape(rng: Random, rows: Rows, chunk: int, plain: Plain) -> None:
    """Another element type or shape; its chunks mostly follow."""
    tensors = [row for row in rows if row.kind == TENSOR]
    if not tensors:
        return fresh(rng, rows, chunk, plain)
    row = rng.choice(tensors)
    kind = rng.randrange(4)
    if kind == 0:
        row.dtype = rng.randrange(len(TABLE))
    elif kind == 1:
        row.shape = list(rng.choice(SHAPES))
    elif kind == 2:
        row.shape.insert(
            rng.randrange(len(row.shape) + 1), rng.choice((0, 1, 2, 3, 64, 1000, 2**20, abs(values.number(rng))))
        )
    elif row.shape:
        row.shape.pop(rng.randrange(len(row.shape)))
    if rng.random() < 0.9:
        fit(rng, row, chunk)
    return None


def rechunk(rng: Random, rows: Rows, chunk: int, plain: Plain) -> None:
    """Other stored bytes for one tensor: sound ones, or with a fault."""
    tensors = [row for row in rows if row.kind == TENSOR and row.chunks]
    if tensors:
        rng.choice((recode, spoil, spoil))(rng, rng.choice(tensors), chunk, plain)
    else:
        fresh(rng, rows, chunk, plain)


def say(rng: Random, rows: Rows, chunk: int, plain: Plain) -> None:
    """A fact of a sparse column: of the right type mostly, at an entry that may have it."""
    name = rng.choice(list(SPARSE))
    fitting = [row for row in rows if row.kind in SPARSE[name]]
    row = rng.choice(fitting) if fitting and rng.random() < 0.97 else rng.choice(rows)
    if name in row.said and rng.random() < 0.3:
        del row.said[name]
    else:
        row.said[name] = values.anything(rng) if rng.random() < 0.1 else fact(rng, name, row)


def fact(rng: Random, name: str, row: Row) -> Any:
    if name == "attrs":
        return values.facts(rng)
    if name == "axes":
        rank = len(row.target.shape if row.kind == ALIAS and row.target else row.shape)
        return [rng.choice(("out", "in", "x", "")) for _ in range(rank + (rng.random() < 0.1))]
    if name == "keys":
        return [values.key(rng) for _ in range(rng.randrange(1, 5))]
    if name == "perm":
        rank = len(row.target.shape) if row.target else 2
        return [*range(rank)][::-1]
    return rng.random() < 0.5 if name == "trainable" else values.text(rng)


def reform(rng: Random, rows: Rows, chunk: int, plain: Plain) -> None:
    """A node of another form."""
    nodes = [row for row in rows if row.kind == NODE]
    if not nodes:
        return fresh(rng, rows, chunk, plain)
    row = rng.choice(nodes)
    row.form = rng.randrange(len(FORMS))
    if row.form == KEYS and rng.random() < 0.9:
        count = len({one.path[len(row.path) :].split(".")[1] for one in rows if one.path.startswith(f"{row.path}.")})
        row.said["keys"] = [values.key(rng) for _ in range(max(count, 1))]
    elif row.form == PART and rng.random() < 0.9:
        row.said["module"] = "linear"
    elif row.form != KEYS:
        row.said.pop("keys", None)
    return None


def revalue(rng: Random, rows: Rows, chunk: int, plain: Plain) -> None:
    held = [row for row in rows if row.kind == VALUE]
    if held:
        rng.choice(held).value = values.scalar(rng) if rng.random() < 0.97 else values.anything(rng)
    else:
        fresh(rng, rows, chunk, plain)


def container(rng: Random, rows: Rows, chunk: int, plain: Plain) -> None:
    """A whole container of some form with children, sound by itself, at a new place."""
    at = values.path(rng, [row.path for row in rows])
    form = rng.randrange(len(FORMS))
    node = Row(NODE, at, form=form)
    if form == FLAT:
        keys = {rng.choice(values.SEGMENTS) + rng.choice(("", ".", ".w", "..c")) for _ in range(rng.randrange(1, 6))}
        split = paths.split_flat(keys)
        found = [paths.render(segments) for segments in split.values()]
        if rng.random() < 0.5:  # a part for a prefix of them
            prefix = rng.choice(sorted(keys)).rpartition(".")[0]
            found.append(paths.render(paths.split_key(prefix, keys)))
    elif form in (LIST, TUPLE):
        found = [str(i) for i in range(rng.randrange(4))]
    else:
        found = list(dict.fromkeys(values.segment(rng) for _ in range(rng.randrange(1, 4))))
    made = [Row(VALUE, f"{at}.{one}" if at else one, value=values.scalar(rng)) for one in found]
    if form == FLAT and len(found) > len(keys):
        made[-1] = Row(NODE, made[-1].path, {"module": "norm"}, form=PART)
    if form == KEYS:
        node.said["keys"] = [values.key(rng) for _ in made]
    place = rng.randrange(len(rows) + 1)
    rows[place:place] = [node, *made]


MUTATIONS: tuple[Mutation, ...] = (
    *(drop, twice, move, repath, repath, rename, fresh, retype, retarget, reshape),
    *(rechunk, rechunk, rechunk, say, say, reform, revalue, container),
)


def mutate(rng: Random, rows: Rows, chunk: int, plain: Plain) -> None:
    """One to three mutations."""
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        if rows:
            rng.choice(MUTATIONS)(rng, rows, chunk, plain)
        else:
            rows.append(Row(VALUE, ""))


def rechunked(rng: Random, rows: Rows) -> int:
    """Another size of chunks for all tensors."""
    chunk = rng.choice((64, 64, 128, 256, 1024, 4096, 2**17, 2**22, 2**26))
    for row in rows:
        if row.kind == TENSOR:
            fit(rng, row, chunk)
    return chunk


def spliced(rng: Random, rows: Rows, others: Rows) -> None:
    """Entries of another file among these, at their own paths or beneath one place."""
    if not others:
        return
    start = rng.randrange(len(others))
    taken = [row.copy() for row in others[start : start + rng.randrange(1, 8)]]
    made = {id(old): new for old, new in zip(others[start:], taken, strict=False)}
    above = rng.choice(("", "", rng.choice(rows).path if rows else "", values.segment(rng)))
    for row in taken:
        if above:
            row.path = f"{above}.{row.path}".strip(".")
        row.target = made.get(id(row.target), rng.choice(rows) if rows and row.target else row.target)
        row.chunks = [Chunk(one.codec, one.stored) for one in row.chunks]
    place = rng.randrange(len(rows) + 1)
    rows[place:place] = taken
