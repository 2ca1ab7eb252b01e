"""Loading one model into each framework, every page touched."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import formats
import inputs
from report import Bar, Row
from saving import model
from settings import Settings
from timing import Contestant, Times, race, speeds

BARS = {
    "torch": (Bar("≥", 1.0, "safetensors.torch"),),
    "numpy": (),
    "jax": (Bar("≥", 4, "safetensors.flax"),),
}
VERIFIED = {"torch": (Bar("≥", 0.6, "safetensors.torch"),), "numpy": (), "jax": ()}


def rows(settings: Settings) -> Iterator[Row]:
    arrays = inputs.filled(model(settings))
    total, wanted = inputs.nbytes(arrays), formats.touch(arrays)
    for framework, bars in BARS.items():
        loads = dict(formats.LOAD[framework]) | {"ptformat, verified": formats.VERIFYING[framework]}
        values: Times = {name: [] for name in loads}
        for turn in (1, -1):
            files = saved(framework, arrays, settings.fast, turn)
            entrants = [
                contestant(name, load, files[name.partition(",")[0]], arrays, wanted) for name, load in loads.items()
            ]
            found = speeds(race(entrants, settings.times(3 if framework == "jax" else 5)), total)
            formats.remove(files.values())
            for name, each in found.items():
                values[name] += each
        verified = values.pop("ptformat, verified")
        size = f"{total / 1e9:.2f} GB of float32 in {len(arrays)} tensors"
        where = f"{size}; {settings.where(settings.fast)}, in the page cache"
        said = f"{where}; one number of every 4096 bytes read inside the clock, all values compared the first time"
        yield Row("load", f"load raw into {framework}", "GB/s", values, bars, said)
        peer = f"safetensors.{framework}".replace("jax", "flax")
        values = {"ptformat": verified, peer: values[peer]}
        work = f"load raw into {framework}, every checksum verified; the peer has none"
        yield Row("load", work, "GB/s", values, VERIFIED[framework], said)


def saved(framework: str, arrays: inputs.Arrays, folder: Path, turn: int) -> dict[str, Path]:
    """A file of every format, written in this order or with -1 in the other.

    On tmpfs what is written first gets the memory that was left over, in pieces: of two equal files the first loaded up
    to a quarter more slowly. So there are two turns, and in each a file that nobody reads comes before all.
    """
    tree = formats.into(framework, arrays)
    savers = dict([*formats.SAVE[framework].items()][::turn])
    files = {name: folder / f"load-{secrets.token_hex(4)}" for name in ("nobody's", *savers)}
    for name, path in files.items():
        savers.get(name, savers["ptformat"])(tree, path)
    formats.remove([files.pop("nobody's")])
    return files


def contestant(name: str, load: formats.Load, path: Path, arrays: inputs.Arrays, wanted: int) -> Contestant:
    def work(_: None) -> tuple[formats.Tree, int]:
        tree = load(path)
        return tree, formats.touch(tree)

    def check(_: None, found: tuple[formats.Tree, int]) -> None:
        inputs.same(formats.viewed(found[0]), arrays)

    def after(_: Any, found: tuple[formats.Tree, int]) -> None:
        assert found[1] == wanted, f"{name} loaded other numbers"

    return Contestant(name, work, check=check, after=after)
