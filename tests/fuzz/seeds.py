"""The files to begin with: of every element type, codec, mode, form and type of entry; and the conformance cases."""

from __future__ import annotations

import io
from collections import namedtuple
from random import Random
from typing import Any

import numpy as np

import ptformat
from ptformat import dtypes
from ptformat.codecs import RAW, ZSTD
from ptformat.conformance import suite

from .anatomy import PREAMBLE, Parts, apart, packed, together
from .rows import Chunk, Row, written
from .stored import fit, run

Point = namedtuple("Point", "x y")


def sound() -> list[bytes]:
    """Files that `verify` accepts."""
    made = [
        *(entries(codec=codec) for codec in ("raw", "zstd", "planes", "auto")),
        *(every_type(codec, chunk) for codec in ("raw", "zstd", "planes") for chunk in (64, 256, 2**22)),
        *(trained(name, size) for name in ("bfloat16", "float32", "complex64", "float16") for size in (2048, 2053)),
        *(every_mode(seed) for seed in range(12)),
        *(ptformat.save(tree, codec=codec) for tree in trees() for codec in ("raw", "zstd")),
        parts(),
        on_pages(),
    ]
    return [*made, *(zipped(data) for data in made[::3])]


def conformance(most: int) -> list[bytes]:
    """The files of the conformance cases, sound or not, that are not too long; not those that take long by design."""
    slow = {case.path for case in suite.listed() if case.memory_mib >= 128}
    found = sorted(set(suite.CASES.rglob("*.ptf")) - slow)
    return [path.read_bytes() for path in found if path.stat().st_size <= most]


def entries(**options: Any) -> bytes:
    """An entry of each type, and each thing that can be said of one."""
    buffer = io.BytesIO()
    weight = np.arange(12, dtype=np.float32).reshape(2, 3, 2)
    facts = {"eps": 1e-5, "heads": 2, "names": ["q", "k"], "none": None, "deep": {"a": [1, [2.5, b"b"]]}}
    header = {"convention": "torch", "dialect": "interleaved", "metadata": facts, "provenance": {"from": ["a", 1]}}
    with ptformat.Writer("", _output=buffer, **header, **options) as out:
        out.node("m", module="linear", class_="torch.nn.Linear", attrs=facts)
        out.tensor("m.weight", weight, axes=("out", "x", "in"), role="parameter", trainable=True, class_="P")
        out.tensor("m.bias", np.arange(5, dtype=np.int8), role="buffer", trainable=False, attrs={"a": 1})
        out.tensor("empty", np.zeros((0, 3), np.float16), axes=("a", "b"))
        out.alias("tied", "m.weight", (2, 0, 1))
        out.alias("again", "m.weight", role="state", trainable=False)
        out.alias("named", "m.weight", (1, 0, 2), axes=("a", "b", "c"))
        out.node("l", "list")
        for at, value in enumerate((None, True, 7, -(2**63), 2**64 - 1, -0.0, 1e300, "text", b"bytes", "")):
            out.value(f"l.{at}", value)
        out.node("e", "tuple")
        out.node("k", "keys", keys=(1, (2, "a"), None, 2.5, b"k"))
        for at in range(5):
            out.value(f"k.{at}", at)
        out.value(r"\e", 1)
    return buffer.getvalue()


def every_type(codec: str, chunk: int) -> bytes:
    """A tensor of each element type, of any bits."""
    rng = np.random.default_rng(0)
    tree = {}
    for row in dtypes.TABLE:
        bits = rng.integers(0, 2 if row.name == "bool" else 1 << min(row.bits, 8), 21 * row.numpy.itemsize, np.uint8)
        tree[row.name] = bits.view(row.numpy).reshape(3, 7)
    return ptformat.save({**tree, "": np.float32(1), "run": np.zeros((9, 100), "int16")}, codec=codec, chunk=chunk)


def trained(name: str, size: int) -> bytes:
    """Numbers as weights have them, so that planes of modes 0, 1 and 2 stand in the chunk."""
    numbers = np.random.default_rng(1).normal(0, 0.02, size)
    numbers[::500] *= 200
    return ptformat.save({"w": numbers.astype(dtypes.named(name).numpy)}, codec="planes")


def every_mode(seed: int) -> bytes:
    """Small tensors of several chunks, in codecs and modes drawn at random."""
    rng = Random(seed)
    rows = []
    for at in range(4):
        name = rng.choice(("bfloat16", "float32", "complex64", "float16", "int64", "complex128", "uint4", "bool"))
        rows.append(Row(0, str(at), dtype=dtypes.named(name).code, shape=[rng.choice((40, 65, 80, 200))]))
        fit(rng, rows[-1], 256)
    return _file(rows, 256)


def on_pages() -> bytes:
    """A tensor that begins on a page: large, though all of it but one chunk is a run."""
    first, last = Row(0, "a", dtype=9, shape=[3]), Row(0, "b", dtype=9, shape=[2**20 + 100])
    first.chunks = [Chunk(RAW, b"abc")]
    sizes = [4096] * 256 + [100]
    last.chunks = [Chunk(ZSTD, run(Random(at), size)) for at, size in enumerate(sizes)]
    last.chunks[0] = Chunk(RAW, bytes(range(256)) * 16)
    return _file([first, last], 4096)


def parts() -> bytes:
    """A flat map with parts, escapes, and containers as values."""
    buffer = io.BytesIO()
    with ptformat.Writer("", _output=buffer) as out:
        out.node("", "flat")
        out.node("0", "part", module="linear", class_="L")
        out.tensor("0.weight", np.zeros((2, 2), np.float32))
        out.tensor(r"0.weight\.absmax", np.ones(3, np.uint8))
        out.node("1.relu", "part", module="relu")
        out.node("m", "map")
        out.value("m.x.y", 1)
        out.node("a.l", "list")
        out.value("a.l.0", 2)
        out.value("w", 3)
        out.value(r"w\.b.c", 4)
        out.node("in", "flat")
        out.value(r"in.p", 5)
        out.value(r"in.p\.q", 6)
    return buffer.getvalue()


def trees() -> list[Any]:
    """Containers of every form, ties and odd keys."""
    weight = np.arange(6, dtype=np.int16).reshape(2, 3)
    return [
        {},
        7,
        weight,
        {"a": {"b": {"c": [1, (2, {})]}}, "t": (), "l": []},
        {"point": Point(weight, weight), "tied": [weight, {"w": weight}]},
        {1: "int", 1.5: "float", None: 0, (1, "a"): b"", b"k": -1, True + 1: {"x.y": weight}},
        {
            "x.weight": 1,
            "x.weight.absmax": 2,
            "a..c": 3,
            ".x": 4,
            "x.": 5,
            "": 6,
            "w.\\e": 7,
            "\\": 8,
            "deep": {"q.r": 9},
        },
        {"model": {"0.weight": weight, "0.bias": weight[0]}, "step": 3, "state": {0: {"exp_avg": weight}}},
        {f"k{at}": at for at in range(40)},
        [[[[[[[[weight]]]]]]]],
    ]


def zipped(data: bytes) -> bytes:
    """The file with its index compressed."""
    found = apart(data)
    assert found is not None
    found.compressed = True
    return together(found)


def _file(rows: list[Row], chunk: int) -> bytes:
    held, body = written({"requires": [], "chunk": chunk}, rows)
    return together(Parts(PREAMBLE, body, packed(held)))
