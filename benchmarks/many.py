"""Many tensors: one out of 300, and 100,000 tiny ones opened, listed and read."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import formats
import inputs
import numpy as np
import safetensors
import safetensors.numpy
import safetensors.torch
import torch
import ztensor
from report import Bar, Row
from settings import Settings
from timing import Contestant, milliseconds, race

import ptformat
import ptformat.torch

ELEMENTS = 8
SKIP = formats.PAGE // (4 * ELEMENTS) // 2  # a page holds so many tensors, or twice as many
WANTED = 150  # which of the 300
IN_A_ROW = 20  # of what takes less than a millisecond: one alone tells what was in the processor's caches


def rows(settings: Settings) -> Iterator[Row]:
    yield one_of_many(settings)
    count = 2000 if settings.quick else 100_000
    rng = np.random.default_rng(0)
    arrays = {name: rng.standard_normal(ELEMENTS, np.float32) for name in inputs.tiny(count)}
    files: dict[str, Path] = {}
    for framework in ("numpy", "torch"):
        tree = formats.into(framework, arrays)
        for name, save in formats.SAVE[framework].items():
            # numpy.savez and zTensor make a file or a page of its own of every tensor, which says nothing here.
            if name in ("numpy.savez", "zTensor") or name in files:
                continue
            files[name] = settings.fast / f"many-{secrets.token_hex(4)}"
            save(tree, files[name])
    yield opened(settings, arrays, files)
    yield from read(settings, arrays, files)
    formats.remove(set(files.values()))


def one_of_many(settings: Settings) -> Row:
    """Open a file, take one tensor, touch it."""
    side = 32 if settings.quick else 314
    arrays = inputs.filled(dict.fromkeys(inputs.tiny(300), (side, side)))
    name = list(arrays)[WANTED]
    wanted = formats.touch({name: arrays[name]})
    tree = formats.into("torch", arrays)
    files = {peer: settings.fast / f"one-{secrets.token_hex(4)}" for peer in formats.SAVE["torch"]}
    for peer, save in formats.SAVE["torch"].items():
        save(tree, files[peer])

    def ours(path: Path) -> torch.Tensor:
        with ptformat.open(path) as file:
            return torch.from_dlpack(file[name])

    def theirs(path: Path) -> torch.Tensor:
        with safetensors.safe_open(path, framework="pt") as file:
            return file.get_tensor(name)

    def zt(path: Path) -> torch.Tensor:
        with ztensor.open(str(path)) as file:
            return torch.from_dlpack(file[name])

    takes: dict[str, Callable[[Path], torch.Tensor]] = {
        "ptformat": ours,
        "safetensors.torch": theirs,
        "zTensor": zt,
        "torch.save": lambda path: formats.torch_load(path)[name],
    }
    entrants = []
    for peer, take in takes.items():

        def work(_: None, take: Callable[[Path], torch.Tensor] = take, path: Path = files[peer]) -> Any:
            for _ in range(IN_A_ROW):
                tensor = take(path)
                touched = formats.touch({name: tensor})
            return tensor, touched

        def check(_: None, found: Any) -> None:
            inputs.same({name: found[0].numpy()}, {name: arrays[name]})
            assert found[1] == wanted

        entrants.append(Contestant(peer, work, check=check))
    times = race(entrants, settings.times(41))
    times = {peer: [seconds / IN_A_ROW for seconds in spent] for peer, spent in times.items()}
    formats.remove(files.values())
    said = (
        f"a torch tensor of {arrays[name].nbytes / 1e3:.0f} kB, {settings.where(settings.fast)}, in the page cache; "
        f"opening the file is included, every page of the tensor touched, {IN_A_ROW} times in a row; "
        "ptformat's and zTensor's are read-only views"
    )
    bars = (Bar("≤", 1.0, "safetensors.torch"),)
    return Row("many", "one tensor out of 300", "ms", milliseconds(times), bars, said)


def opened(settings: Settings, arrays: inputs.Arrays, files: dict[str, Path]) -> Row:
    """Open a file and list its names."""

    def ours(_: None) -> list[str]:
        with ptformat.open(files["ptformat"]) as file:
            return list(file)

    def theirs(_: None) -> list[str]:
        with safetensors.safe_open(files["safetensors.numpy"], framework="np") as file:
            return list(file.keys())

    def check(_: None, names: list[str]) -> None:
        assert sorted(names) == sorted(arrays)

    entrants = [Contestant("ptformat", ours, check=check), Contestant("safetensors", theirs, check=check)]
    times = race(entrants, settings.times(21))
    said = f"{tiny_said(settings)}; no tensor read; ptformat checks all of the index and its checksum"
    bars = (Bar("≤", 0.5, "safetensors"),)
    return Row("many", f"open {len(arrays):,} tensors and list them", "ms", milliseconds(times), bars, said)


def read(settings: Settings, arrays: inputs.Arrays, files: dict[str, Path]) -> Iterator[Row]:
    """Load all of them, into each framework."""
    wanted = touched(arrays, list(arrays)[::SKIP])
    for framework, peer in (("numpy", "safetensors.numpy"), ("torch", "safetensors.torch")):
        names = ["ptformat", peer, *(["torch.save"] if framework == "torch" else [])]
        entrants = []
        for name in names:

            def work(_: None, load: formats.Load = formats.LOAD[framework][name], path: Path = files[name]) -> Any:
                tree = load(path)
                return tree, touched(tree, list(arrays)[::SKIP])

            def check(_: None, found: Any) -> None:
                inputs.same(formats.viewed(found[0]), arrays)

            def after(_: None, found: Any) -> None:
                assert found[1] == wanted

            entrants.append(Contestant(name, work, check=check, after=after))
        times = race(entrants, settings.times(7))
        said = f"{tiny_said(settings)}; every {SKIP}th tensor, about one a page, read inside the clock"
        work_said = f"read all {len(arrays):,} into {framework}"
        yield Row("many", work_said, "ms", milliseconds(times), (Bar("≤", 0.8, peer),), said)


def touched(tree: formats.Tree, names: list[str]) -> int:
    """The sum of the first numbers of these, as integers."""
    return sum(int(np.asarray(tree[name]).view(np.int32)[0]) for name in names)


def tiny_said(settings: Settings) -> str:
    return f"tensors of {ELEMENTS} float32, {settings.where(settings.fast)}, in the page cache"
