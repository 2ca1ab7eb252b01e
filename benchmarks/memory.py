"""Anonymous memory of what goes through a model piece by piece, whatever the size of model and tensors."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import inputs
import machine
import numpy as np
from report import Bar, Row
from settings import Settings

PROBE = Path(__file__).resolve().with_name("probe.py")
MIB = 2**20
GROWTH = 32  # MiB; how full the queues of the threads get is chance


@dataclass(frozen=True)
class Model:
    """Tensors of 64 MiB, and one that is larger. In the quick form all is 16 times smaller."""

    mebibytes: int
    largest: int

    def __str__(self) -> str:
        return f"{size(self.mebibytes)} with tensors of {size(self.largest)}"


def size(mebibytes: int) -> str:
    return f"{mebibytes / 1024:g} GiB" if mebibytes >= 1024 else f"{mebibytes} MiB"


MODELS = (Model(4096, 1024), Model(4096, 64), Model(1024, 64))
OPERATIONS = {
    "convert": (".safetensors", ".msgpack"),
    "pack": (".safetensors", ".ptf"),
    "unpack": (".ptf", ".safetensors"),
    "Writer": (".safetensors", ".ptf"),
    "Writer, planes": (".safetensors", ".ptf"),
}


def rows(settings: Settings) -> Iterator[Row]:
    models = [Model(model.mebibytes // 16, model.largest // 16) for model in MODELS] if settings.quick else MODELS
    room = 7 * models[0].mebibytes * MIB // 2  # the model raw, packed and as a result, and some to spare
    folder = settings.fast if machine.available() > room else settings.disk
    found: dict[str, dict[str, list[float]]] = {what: {} for what in OPERATIONS}
    for model in models:
        source = folder / "model.safetensors"
        write(source, model)
        packed = source.with_suffix(".ptf")
        subprocess.run([sys.executable, PROBE, "pack", source, packed], check=True, capture_output=True)
        for what, (suffix, target) in OPERATIONS.items():
            found[what][str(model)] = [above(what, source.with_suffix(suffix), folder / f"result{target}") / MIB]
        source.unlink()
        packed.unlink()
    said = (
        f"at its highest beyond what the imports took; one run each on {settings.where(folder)}, not durable; the two "
        "figures beside it are ptformat's own on smaller models"
    )
    for what, figures in found.items():
        values = {"ptformat" if name == str(models[0]) else name: value for name, value in figures.items()}
        yield Row("memory", f"{what}: {models[0]}", "MiB", values, (Bar("≤", 256),), said)
        peaks = [value for (value,) in figures.values()]
        growth = {"ptformat": [max(peaks) - min(peaks)]}
        yield Row("memory", f"{what}: most less least of the three", "MiB", growth, (Bar("≤", GROWTH),), said)


def above(what: str, source: Path, target: Path) -> int:
    """Bytes beyond the imports. The result must be as large as it has to be; it is removed."""
    done = subprocess.run([sys.executable, PROBE, what, source, target], check=True, capture_output=True, text=True)
    assert target.stat().st_size > 0.9 * source.stat().st_size * (0.8 if "planes" in what or what == "pack" else 1)
    target.unlink()
    return int(done.stdout)


def write(path: Path, model: Model) -> None:
    """A safetensors file of float32, front to back, without holding it."""
    side = 4096
    unit = min(64, model.largest) if model.largest >= 64 else 4
    shapes: inputs.Shapes = {}
    if model.largest > unit:
        shapes["head.weight"] = (model.largest * MIB // 4 // side, side)
    rest = (model.mebibytes - (model.largest if shapes else 0)) // unit
    shapes |= {f"fc.{number}.proj.weight": (unit * MIB // 4 // side, side) for number in range(rest)}
    header, at = {}, 0
    for name, shape in sorted(shapes.items()):
        end = at + 4 * shape[0] * shape[1]
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [at, end]}
        at = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    rng = np.random.default_rng(0)
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        block = (rng.standard_normal(4 * MIB, np.float32) * np.float32(0.02)).tobytes()
        for _ in range(at // len(block)):
            file.write(block)
        file.write(block[: at % len(block)])
