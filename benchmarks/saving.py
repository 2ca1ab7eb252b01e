"""Saving one model: in memory without fsync, and on disk with it."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import formats
import inputs
import safetensors.numpy
from report import Bar, Row
from settings import Settings
from timing import Contestant, race, speeds

import ptformat
import ptformat.torch

BARS = {
    "torch": (Bar("≥", 1.1, "safetensors.torch"), Bar("≥", 1.4, "zTensor")),
    "numpy": (Bar("≥", 1.1, "safetensors.numpy"), Bar("≥", 1.4, "zTensor")),
    "jax": (),
}


def rows(settings: Settings) -> Iterator[Row]:
    arrays = inputs.filled(model(settings))
    total = inputs.nbytes(arrays)
    size = f"{total / 1e9:.2f} GB of float32 in {len(arrays)} tensors"
    for framework, bars in BARS.items():
        tree = formats.into(framework, arrays)
        entrants = [
            contestant(name, save, formats.LOAD[framework][name], tree, arrays, settings.fast)
            for name, save in formats.SAVE[framework].items()
        ]
        times = race(entrants, settings.times(5 if framework == "jax" else 7))
        where = f"{size}; {settings.where(settings.fast)}, not durable (zTensor calls fsync, which costs nothing there)"
        said = f"{where}; a new file each time, removed outside the clock; ptformat takes checksums, zTensor too"
        yield Row("save", f"save raw from {framework}", "GB/s", speeds(times, total), bars, said)
        del tree, entrants
    yield from durable(settings, arrays, total, size)


def model(settings: Settings) -> inputs.Shapes:
    return inputs.decoder(2, 256, 704, 4000) if settings.quick else inputs.decoder()


def durable(settings: Settings, arrays: inputs.Arrays, total: int, size: str) -> Iterator[Row]:
    """On disk: ours as it is by default, the others followed by fsync of file and folder."""
    loads = formats.LOAD["numpy"]
    savers: dict[str, tuple[formats.Save, formats.Load]] = {
        "ptformat": (ptformat.save_file, loads["ptformat"]),
        "safetensors + fsync": (partial(formats.synced, safetensors.numpy.save_file), loads["safetensors.numpy"]),
        "zTensor + fsync": (partial(formats.synced, formats.ztensor_save), loads["zTensor"]),
    }
    entrants = [
        contestant(name, save, load, arrays, arrays, settings.disk, settle=True)
        for name, (save, load) in savers.items()
    ]
    times = race(entrants, settings.times(7))
    bars = (Bar("≥", 0.95, "safetensors + fsync"),)
    said = f"{size}; {settings.where(settings.disk)}; file and name on disk on return; the disk settles before each run"
    yield Row("save", "save raw on disk, durable", "GB/s", speeds(times, total), bars, said)


def contestant(
    name: str,
    save: formats.Save,
    load: formats.Load,
    tree: formats.Tree,
    arrays: inputs.Arrays,
    folder: Path,
    settle: bool = False,
) -> Contestant:
    """Saves to a new path; the first time it is loaded again and compared, every time removed."""

    def before() -> Path:
        if settle:
            os.sync()
        return folder / f"saved-{secrets.token_hex(4)}"

    def check(path: Path, _: Any) -> None:
        inputs.same(formats.viewed(load(path)), arrays)

    def after(path: Path, _: Any) -> None:
        formats.remove([path])

    return Contestant(name, lambda path: save(tree, path), before, check, after)
