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
from timing import Contestant, race, speeds

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
        files = saved(framework, arrays, settings.fast)
        loads = dict(formats.LOAD[framework]) | {"ptformat, verified": formats.VERIFYING[framework]}
        entrants = [
            contestant(name, load, files[name.partition(",")[0]], arrays, wanted) for name, load in loads.items()
        ]
        values = speeds(race(entrants, settings.times(5 if framework == "jax" else 9)), total)
        formats.remove(files.values())
        verified = values.pop("ptformat, verified")
        size = f"{total / 1e9:.2f} GB of float32 in {len(arrays)} tensors"
        where = f"{size}; {settings.where(settings.fast)}, in the page cache"
        said = f"{where}; one number of every 4096 bytes read inside the clock, all values compared the first time"
        yield Row("load", f"load raw into {framework}", "GB/s", values, bars, said)
        peer = f"safetensors.{framework}".replace("jax", "flax")
        values = {"ptformat": verified, peer: values[peer]}
        work = f"load raw into {framework}, every checksum verified; the peer has none"
        yield Row("load", work, "GB/s", values, VERIFIED[framework], said)


def saved(framework: str, arrays: inputs.Arrays, folder: Path) -> dict[str, Path]:
    """A file of every format.

    On tmpfs the file that is written first gets what memory was left over, in pieces: of two equal ones it loaded up to
    a quarter more slowly. So one is written before them that nobody reads.
    """
    tree = formats.into(framework, arrays)
    files = {name: folder / f"load-{secrets.token_hex(4)}" for name in ("nobody's", *formats.SAVE[framework])}
    for name, path in files.items():
        formats.SAVE[framework].get(name, formats.SAVE[framework]["ptformat"])(tree, path)
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
