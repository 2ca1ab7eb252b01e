"""How small real weights become: each codec of a .ptf, and ZipNN, on MiniLM as float32 and cast to bfloat16.

Run by `make bench-sizes`, which installs ZipNN. The .ptf sizes are those of whole files, index and alignment included;
ZipNN's are of one blob of the same bytes without names. Speeds are of one run each in memory, on all cores, and only an
indication: every page is read and every result compared.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import zipnn

import ptformat
from ptformat.codecs import THREADS
from ptformat.converters import files

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from nets import minilm

ROUNDS = 3


def best(work: Callable[[], Any]) -> tuple[float, Any]:
    times, result = [], None
    for _ in range(ROUNDS):
        start = time.perf_counter()
        result = work()
        times.append(time.perf_counter() - start)
    return min(times), result


def ours(arrays: dict[str, np.ndarray[Any, Any]], codec: str) -> tuple[int, float, float]:
    packing, data = best(lambda: ptformat.save(arrays, codec=codec))
    unpacking, found = best(lambda: ptformat.load(data))
    assert all(found[key].tobytes() == array.tobytes() for key, array in arrays.items())
    return len(data), packing, unpacking


def theirs(arrays: dict[str, np.ndarray[Any, Any]], dtype: str) -> tuple[int, float, float]:
    blob = b"".join(array.tobytes() for array in arrays.values())
    codec = zipnn.ZipNN(bytearray_dtype=dtype, input_format="byte", threads=THREADS)
    # It changes the buffer that it is given.
    packing, data = best(lambda: codec.compress(bytearray(blob)))
    unpacking, found = best(lambda: codec.decompress(data))
    assert bytes(found) == blob
    return len(data), packing, unpacking


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    as_json = parser.parse_args().json
    source = files.open_source(minilm.model_path())
    arrays = {
        entry.path: source.array(entry.path)
        for entry in source.entries
        if isinstance(entry, ptformat.TensorInfo) and entry.dtype == "float32"
    }
    rows = []
    for name, dtype in (("bfloat16", ml_dtypes.bfloat16), ("float32", np.float32)):
        cast = {key: np.ascontiguousarray(array.astype(dtype)) for key, array in arrays.items()}
        nbytes = sum(array.nbytes for array in cast.values())
        for label, measured in (
            *((f"ptformat {codec}", ours(cast, codec)) for codec in ("zstd", "planes", "auto")),
            ("ZipNN", theirs(cast, name)),
        ):
            size, packing, unpacking = measured
            rows.append((name, label, 100 * size / nbytes, nbytes / packing / 1e9, nbytes / unpacking / 1e9))
    if as_json:
        keys = ("dtype", "what", "percent", "pack_gb_s", "unpack_gb_s")
        print(json.dumps([dict(zip(keys, row, strict=True)) for row in rows], indent=2))
        return
    versions = ", ".join(f"{name} {version(name)}" for name in ("numpy", "zstandard", "zipnn"))
    print(f"{THREADS} threads, Python {platform.python_version()}, {versions}; MiniLM, {len(arrays)} tensors\n")
    print("| dtype | what | size | pack GB/s | unpack GB/s |\n|---|---|---|---|---|")
    for dtype_name, label, percent, packing, unpacking in rows:
        print(f"| {dtype_name} | {label} | {percent:.2f} % | {packing:.2f} | {unpacking:.2f} |")


if __name__ == "__main__":
    main()
