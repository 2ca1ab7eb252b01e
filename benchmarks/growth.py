"""How time grows with the number of tensors and with their bytes: lines to be straight, drawn on logarithmic axes."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import drawing
import formats
import inputs
import machine
import numpy as np
import safetensors
import safetensors.numpy
import safetensors.torch
from report import Bar, Row
from settings import Settings
from timing import Contestant, Times, milliseconds, race, rotated, timed

import ptformat
import ptformat.torch

TENSORS = 64  # in the files that grow in bytes
PEER = "safetensors"
STEEPEST = Bar("≤", 1.15)  # n log n is about 1.1 here, a square 2
Lines = dict[str, list[tuple[float, float]]]


def rows(settings: Settings) -> Iterator[Row]:
    counts = (10, 100, 1000) if settings.quick else (10, 100, 1000, 10_000, 100_000)
    sizes = (10**5, 10**6, 10**7) if settings.quick else (10**6, 10**7, 10**8, 10**9, 8 * 10**9)
    lines: Lines = {}
    for count in counts:
        yield from kept(lines, count, by_count(settings, count), f"{count:,} tensors")
    yield from slopes(settings, lines, "tensors", "tensors of 8 float32")

    lines = {}
    for nbytes in sizes:
        folder = roomy(settings, nbytes)
        if folder is None:
            continue
        where = f"{nbytes / 1e6:g} MB, {settings.where(folder)}"
        yield from kept(lines, nbytes, by_bytes(settings, nbytes, folder), where)
    yield from slopes(settings, lines, "bytes", f"bytes of float32 in {TENSORS} tensors")


def kept(lines: Lines, x: int, times: dict[str, Times], what: str) -> Iterator[Row]:
    """The rows of one size; their medians become points of the lines."""
    for verb, spent in times.items():
        for name, seconds in spent.items():
            lines.setdefault(f"{name} {verb}", []).append((x, median(seconds)))
        yield Row("growth", f"{verb} {what}", "ms", milliseconds(spent))


def slopes(settings: Settings, lines: Lines, kind: str, axis: str) -> Iterator[Row]:
    """The drawing, and how steep each line is where fixed costs no longer hide it: over its last three points."""
    peers = [name for name in lines if name.startswith(PEER)]
    drawn = drawing.svg(f"How time grows with {kind}", axis, lines, dashed=peers)
    (settings.out / f"growth-{kind}.svg").write_text(drawn, encoding="utf-8")
    for name in lines:
        if name in peers:
            continue
        verb = name.removeprefix("ptformat ")
        steep = {who: [drawing.slope(lines[f"{who} {verb}"][-3:])] for who in ("ptformat", PEER)}
        said = (
            f"growth-{kind}.svg; the slope is that of the last three points on logarithmic axes, 1 is proportional; "
            "tmpfs where not said otherwise, in the page cache, not durable, every page touched, values compared"
        )
        yield Row("growth", f"{verb}, by {kind}: slope", "", steep, (STEEPEST,), said)


def by_count(settings: Settings, count: int) -> dict[str, Times]:
    """Saving, opening and reading so many tiny NumPy tensors."""
    rng = np.random.default_rng(0)
    arrays = {name: rng.standard_normal(8, np.float32) for name in inputs.tiny(count)}
    rounds = settings.times(7 if count > 1000 else 21)
    saves = {"ptformat": formats.SAVE["numpy"]["ptformat"], PEER: safetensors.numpy.save_file}
    loads = {"ptformat": ptformat.load_file, PEER: safetensors.numpy.load_file}
    files = {name: settings.fast / f"growth-{name}" for name in saves}

    def before() -> Path:
        return settings.fast / f"saved-{secrets.token_hex(4)}"

    def saver(name: str) -> Contestant:
        save = saves[name]
        return Contestant(name, lambda path: save(arrays, path), before, after=lambda path, _: path.unlink())

    def opener(name: str) -> Contestant:
        names = opened if name == "ptformat" else listed
        return Contestant(name, lambda _: names(files[name]), check=lambda _, found: check_names(found, arrays))

    def loader(name: str) -> Contestant:
        load = loads[name]
        return Contestant(name, lambda _: load(files[name]), check=lambda _, found: inputs.same(found, arrays))

    found = {"save": race([saver(name) for name in saves], rounds)}
    for name, save in saves.items():
        save(arrays, files[name])
    found["open"] = race([opener(name) for name in saves], rounds)
    found["read"] = race([loader(name) for name in saves], rounds)
    formats.remove(files.values())
    return found


def opened(path: Path) -> list[str]:
    with ptformat.open(path) as file:
        return list(file)


def listed(path: Path) -> list[str]:
    with safetensors.safe_open(path, framework="np") as file:
        return list(file.keys())


def check_names(found: list[str], arrays: inputs.Arrays) -> None:
    assert sorted(found) == sorted(arrays)


def by_bytes(settings: Settings, nbytes: int, folder: Path) -> dict[str, Times]:
    """Saving by the Writer and loading into torch, one after the other, so that one file is there at a time."""
    block = inputs.filled({"": (nbytes // TENSORS // 4,)})[""]
    arrays = {f"layer.{row}.weight": block.view() for row in range(TENSORS)}  # the same bytes, not the same array
    wanted = formats.touch(arrays)
    saves: dict[str, Callable[[Any, Path], None]] = {"ptformat": streamed, PEER: safetensors.numpy.save_file}
    loads = {"ptformat": ptformat.torch.load_file, PEER: safetensors.torch.load_file}
    saving: Times = {name: [] for name in saves}
    loading: Times = {name: [] for name in saves}

    def touched(load: Callable[[Path], Any], path: Path) -> tuple[Any, int]:
        tree = load(path)
        return tree, formats.touch(tree)

    def check(_: Any, found: tuple[Any, int]) -> None:
        assert found[1] == wanted
        inputs.same(formats.viewed(found[0]), arrays)

    for turn in range(settings.times(3 if nbytes > 10**9 else 5) + 1):
        for name in rotated(list(saves), turn):
            path = folder / f"grown-{secrets.token_hex(4)}"
            spent = timed(Contestant(name, lambda _, save=saves[name], path=path: save(arrays, path)))
            load = partial(touched, loads[name], path)
            read = timed(Contestant(name, lambda _, load=load: load(), check=check), check=turn == 0)
            path.unlink()
            if turn:
                saving[name].append(spent)
                loading[name].append(read)
    return {"save": saving, "load": loading}


def streamed(arrays: inputs.Arrays, path: Path) -> None:
    with ptformat.Writer(path, durable=False) as out:
        out.node("", "flat")
        for name, array in arrays.items():
            out.tensor(name, array)


def roomy(settings: Settings, nbytes: int) -> Path | None:
    """A folder with room for a file of this size: in memory if there is enough of that, on disk, or nowhere."""
    for folder in (settings.fast, settings.disk):
        if machine.is_memory(folder) and machine.available() < 1.25 * nbytes + 2**30:
            continue
        if machine.free(folder) > 1.1 * nbytes:
            return folder
    return None
