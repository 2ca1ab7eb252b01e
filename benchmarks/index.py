"""The index of a .ptf file: four shapes of the same facts, decoded and strictly checked.

Every entry has a path, a dtype, a shape, a codec, a stored length and a checksum (one chunk a tensor).
The shapes:

- maps     a list of maps, one map an entry
- arrays   a list of arrays, one array an entry
- columns  one map of columns, bulk numbers packed little-endian, paths as an array of strings
- joined   the same, with all paths in one string joined by U+000A (the form of the specification)

Each variant ends with the same result (a map from path to row, and the sum of the stored lengths),
compared before anything is timed. The variants run interleaved, in a new order every round, so that a
busy machine harms all alike; the cyclic collector is off while one is timed.

    python benchmarks/index.py [--entries 100000 300] [--rounds N] [--json]
"""

import argparse
import gc
import importlib.util
import json
import math
import os
import platform
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import zstandard

CHOSEN = "joined"
# Both ascending, as the profile wants map keys.
COLUMNS = ("codec", "dims", "dtype", "path", "rank", "stored", "sum")
FIELDS = ("codec", "dtype", "path", "shape", "stored", "sum")
WIDTHS = {"codec": "u1", "dims": "<u8", "dtype": "u1", "rank": "u1", "stored": "<u4", "sum": "<u8"}
DTYPES = 30  # how many dtypes there are
CODECS = 3
LIMIT = 2**53

Result = tuple[dict[str, int], int]
Facts = dict[str, list[Any]]


# The facts


def facts(count: int) -> Facts:
    """`count` entries of transformer layers, sixteen a layer, with random checksums and stored lengths."""
    layer = [
        *((f"attention.self.{name}.weight", [384, 384]) for name in ("query", "key", "value")),
        *((f"attention.self.{name}.bias", [384]) for name in ("query", "key", "value")),
        ("attention.output.dense.weight", [384, 384]),
        ("attention.output.dense.bias", [384]),
        ("attention.output.LayerNorm.weight", [384]),
        ("attention.output.LayerNorm.bias", [384]),
        ("intermediate.dense.weight", [1536, 384]),
        ("intermediate.dense.bias", [1536]),
        ("output.dense.weight", [384, 1536]),
        ("output.dense.bias", [384]),
        ("output.LayerNorm.weight", [384]),
        ("output.LayerNorm.bias", [384]),
    ]
    rng = random.Random(0)
    found: Facts = {name: [] for name in FIELDS}
    for row in range(count):
        name, shape = layer[row % len(layer)]
        decoded = 4 * math.prod(shape)
        found["path"].append(f"encoder.layer.{row // len(layer)}.{name}")
        found["dtype"].append(12)
        found["shape"].append(shape)
        found["codec"].append(1)
        found["stored"].append(decoded - rng.randrange(decoded // 8))
        found["sum"].append(rng.getrandbits(64))
    return found


# Writing


def write_maps(f: Facts) -> bytes:
    return packed([dict(zip(FIELDS, row, strict=True)) for row in entries_of(f)])


def write_arrays(f: Facts) -> bytes:
    return packed(list(entries_of(f)))


def entries_of(f: Facts) -> Iterable[tuple[Any, ...]]:
    return zip(*(f[name] for name in FIELDS), strict=True)


def write_columns(f: Facts) -> bytes:
    numbers = {
        "codec": f["codec"],
        "dims": [size for shape in f["shape"] for size in shape],
        "dtype": f["dtype"],
        "rank": [len(shape) for shape in f["shape"]],
        "stored": f["stored"],
        "sum": f["sum"],
    }
    columns: dict[str, Any] = {k: np.array(v, WIDTHS[k]).tobytes() for k, v in numbers.items()}
    columns["path"] = f["path"]
    return packed({name: columns[name] for name in COLUMNS})


def write_joined(f: Facts) -> bytes:
    columns = msgpack.unpackb(write_columns(f))
    columns["path"] = "\n".join(columns["path"])
    return packed(columns)


def packed(value: object) -> bytes:
    out = msgpack.packb(value)
    assert isinstance(out, bytes)
    return out


# Reading: msgpack's C decoder, then the check


def read_maps(data: bytes, count: int) -> Result:
    entries = unpacked(data)
    need(type(entries) is list and len(entries) == count, "count")
    keys, rows, total = list(FIELDS), {}, 0
    for row, entry in enumerate(entries):
        need(type(entry) is dict and list(entry) == keys, "keys")  # these keys, in ascending order
        check_entry(*entry.values())
        rows[entry["path"]] = row
        total += entry["stored"]
    need(len(rows) == count, "unique")
    return rows, total


def read_arrays(data: bytes, count: int) -> Result:
    entries = unpacked(data)
    need(type(entries) is list and len(entries) == count, "count")
    rows, total = {}, 0
    for row, entry in enumerate(entries):
        need(type(entry) is list and len(entry) == len(FIELDS), "fields")
        check_entry(*entry)
        rows[entry[2]] = row
        total += entry[4]
    need(len(rows) == count, "unique")
    return rows, total


def check_entry(codec: Any, dtype: Any, path: Any, shape: Any, stored: Any, checksum: Any) -> None:
    # One condition an entry: a call or a message for each field would be timed as well.
    if not (
        type(path) is str
        and type(dtype) is int
        and 0 <= dtype < DTYPES
        and type(codec) is int
        and 0 <= codec < CODECS
        and type(stored) is int
        and 0 <= stored < 2**32
        and type(checksum) is int
        and checksum >= 0
        and type(shape) is list
    ):
        raise ValueError("entry")
    for size in shape:
        if type(size) is not int or not 0 <= size < LIMIT:
            raise ValueError("shape")


def read_columns(data: bytes, count: int) -> Result:
    columns = checked_columns(data, count)
    paths = columns["path"]
    need(type(paths) is list, "path")
    need(all(type(path) is str for path in paths), "path")
    return checked_rows(paths, count), int(columns["stored"].sum(dtype=np.uint64))


def read_joined(data: bytes, count: int) -> Result:
    columns = checked_columns(data, count)
    need(type(columns["path"]) is str, "path")
    return checked_rows(columns["path"].split("\n"), count), int(columns["stored"].sum(dtype=np.uint64))


def checked_columns(data: bytes, count: int) -> dict[str, Any]:
    columns: dict[str, Any] = unpacked(data)
    need(type(columns) is dict and list(columns) == list(COLUMNS), "keys")
    for name, width in WIDTHS.items():
        need(type(columns[name]) is bytes and len(columns[name]) % int(width[-1]) == 0, name)
        columns[name] = np.frombuffer(columns[name], width)
    need(all(len(columns[name]) == count for name in ("codec", "dtype", "rank", "stored", "sum")), "count")
    need(len(columns["dims"]) == int(columns["rank"].sum(dtype=np.uint64)), "rank")
    need(bool((columns["dtype"] < DTYPES).all() and (columns["codec"] < CODECS).all()), "range")
    need(bool((columns["dims"] < LIMIT).all()), "dims")
    return columns


def checked_rows(paths: list[str], count: int) -> dict[str, int]:
    need(len(paths) == count, "count")
    rows = dict(zip(paths, range(count), strict=True))
    need(len(rows) == count, "unique")
    return rows


def unpacked(data: bytes) -> Any:
    return msgpack.unpackb(data, raw=False, strict_map_key=True)


def need(ok: bool, what: str) -> None:
    if not ok:
        raise ValueError(what)


# Measuring

SHAPES: dict[str, tuple[Callable[[Facts], bytes], Callable[[bytes, int], Result]]] = {
    "maps": (write_maps, read_maps),
    "arrays": (write_arrays, read_arrays),
    "columns": (write_columns, read_columns),
    "joined": (write_joined, read_joined),
}


@dataclass(frozen=True)
class Line:
    """One row of the table: times in milliseconds, sizes in bytes (None for safetensors)."""

    entries: int
    shape: str
    rounds: int
    median: float
    low: float
    high: float
    ratio: float
    size: int | None
    zstd: int | None


def measure(count: int, rounds: int, folder: Path) -> list[Line]:
    found = facts(count)
    encoded = {name: write(found) for name, (write, _) in SHAPES.items()}
    results = [read(encoded[name], count) for name, (_, read) in SHAPES.items()]
    assert all(result == results[0] for result in results), "the shapes do not say the same"

    jobs: dict[str, Callable[[], object]] = {
        name: partial(read, encoded[name], count) for name, (_, read) in SHAPES.items()
    }
    peer = opener(found["path"], folder / f"{count}.safetensors")
    if peer is not None:
        jobs["safetensors"] = peer
    times: dict[str, list[float]] = {name: [] for name in jobs}
    order = random.Random(1)
    for turn in range(rounds + 1):  # the first round only warms up
        for name in order.sample(list(jobs), len(jobs)):
            milliseconds = 1000 * timed(jobs[name])
            if turn:
                times[name].append(milliseconds)

    base = statistics.median(times[CHOSEN])
    lines = []
    for name, spent in times.items():
        middle = statistics.median(spent)
        data = encoded.get(name)
        sizes = (None, None) if data is None else (len(data), len(zstandard.compress(data, 3)))
        lines.append(Line(count, name, rounds, middle, min(spent), max(spent), middle / base, *sizes))
    return lines


def timed(job: Callable[[], object]) -> float:
    gc.collect()
    gc.disable()
    start = time.perf_counter()
    job()
    spent = time.perf_counter() - start
    gc.enable()
    return spent


def opener(paths: list[str], file: Path) -> Callable[[], object] | None:
    """Opens a safetensors file of as many tensors of one element; None where it is not installed."""
    if importlib.util.find_spec("safetensors") is None:
        return None
    from safetensors import safe_open
    from safetensors.numpy import save_file

    one = np.zeros(1, np.float32)
    save_file(dict.fromkeys(paths, one), file)

    def job() -> object:
        with safe_open(file, framework="np") as opened:
            return opened.keys()

    return job


# Reporting


def machine() -> dict[str, str]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    names = ["msgpack", "numpy", "zstandard"]
    names += ["safetensors"] if importlib.util.find_spec("safetensors") else []
    return {
        "machine": f"{cores} cores, {platform.machine()}, {platform.system()}",
        "python": platform.python_version(),
        **{name: version(name) for name in names},
    }


def show(lines: list[Line], about: dict[str, str]) -> None:
    print(", ".join([about.pop("machine"), *(f"{name} {number}" for name, number in about.items())]))
    for count in dict.fromkeys(line.entries for line in lines):
        mine = [line for line in lines if line.entries == count]
        print(f"\n{count:,} entries, {mine[0].rounds} rounds: decode and strict check\n")
        print(f"| shape | median ms | min–max ms | ratio to {CHOSEN} | bytes | with zstd |")
        print("|---|---:|---:|---:|---:|---:|")
        for x in mine:
            sizes = " | ".join("–" if size is None else f"{size:,}" for size in (x.size, x.zstd))
            print(f"| {x.shape} | {x.median:.3f} | {x.low:.3f}–{x.high:.3f} | {x.ratio:.2f} | {sizes} |")


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare four shapes of the index.")
    parser.add_argument("--entries", type=int, nargs="+", default=[100_000, 300], metavar="N")
    parser.add_argument("--rounds", type=int, help="rounds (default: 21, and 301 below 10,000 entries)")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args()
    lines: list[Line] = []
    with tempfile.TemporaryDirectory() as folder:
        for count in options.entries:
            lines += measure(count, options.rounds or (21 if count >= 10_000 else 301), Path(folder))
    if options.json:
        json.dump({"about": machine(), "lines": [asdict(line) for line in lines]}, sys.stdout, indent=2)
        print()
    else:
        show(lines, machine())


if __name__ == "__main__":
    main()
