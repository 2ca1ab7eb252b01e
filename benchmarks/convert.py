"""BERT-large from safetensors to a Flax msgpack file, as whole commands."""

from __future__ import annotations

import json
import math
import os
import secrets
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import commands
import formats
import inputs
import numpy as np
import xxhash
from flax.serialization import msgpack_restore
from flax.traverse_util import flatten_dict
from report import Bar, Row
from safetensors.numpy import save_file
from settings import Settings
from timing import Contestant, race, speeds

HERE = Path(__file__).resolve().parent
TRANSFORMERS = """
import sys
from transformers import FlaxBertModel
FlaxBertModel.from_pretrained(sys.argv[1], from_pt=True).save_pretrained(sys.argv[2])
"""
BARS = (Bar("≥", 15, "transformers"), Bar("≥", 5, "script"))

Digests = dict[str, tuple[str, tuple[int, ...], str]]


def rows(settings: Settings) -> Iterator[Row]:
    sizes = {"layers": 2, "hidden": 128, "words": 1000} if settings.quick else {}
    shapes = inputs.bert(**sizes)
    model = settings.fast / "bert"
    model.mkdir()
    source = model / "model.safetensors"
    save_file(inputs.filled(shapes), source, metadata={"format": "pt"})
    (model / "config.json").write_text(json.dumps(inputs.config(**sizes)), encoding="utf-8")

    transformers = settings.root / ".venv-transformers" / "bin" / "python"
    if not transformers.exists():
        raise FileNotFoundError(f"{transformers}: `make bench` makes it")
    ways: dict[str, Callable[[Path], list[str | Path]]] = {
        "ptformat": lambda out: [Path(sys.executable).with_name("ptformat"), "convert", source, out, "--to", "linen"],
        "transformers": lambda out: [transformers, "-c", TRANSFORMERS, model, out],
        "script": lambda out: [sys.executable, HERE / "throwaway.py", source, out],
    }
    wanted = expected(source)
    finished: dict[str, list[commands.Finished]] = {name: [] for name in ways}
    entrants = [
        contestant(name, command, settings.fast, wanted, finished[name].append) for name, command in ways.items()
    ]
    rounds = settings.times(5, quick=1)
    times = race(entrants, rounds, warm=not settings.quick)
    formats.remove([model])

    total = 4 * sum(math.prod(shape) for shape in shapes.values())
    said = (
        f"safetensors to msgpack, {total / 1e9:.2f} GB of float32 in {len(shapes)} tensors; whole commands with their "
        f"start, {settings.where(settings.fast)}; all results compared bit for bit, name by name, with the source as "
        "Flax wants it: transformers and the script leave out the root `params`, and nothing else differs"
    )
    yield Row("convert", "BERT to Flax, over the model's bytes", "GB/s", speeds(times, total), BARS, said)
    yield Row("convert", "the same in seconds", "s", times, (), said)
    measured = {name: done[-rounds:] for name, done in finished.items()}
    resident = {name: [done.resident / 2**20 for done in runs] for name, runs in measured.items()}
    anonymous = {name: [done.anonymous / 2**20 for done in runs] for name, runs in measured.items()}
    said = (
        "at its highest; resident memory counts pages of mapped files, which the system takes back when it needs them"
    )
    yield Row("convert", "its resident memory", "MiB", resident, (), said)
    yield Row("convert", "its anonymous memory", "MiB", anonymous, (), said)


def contestant(
    name: str,
    command: Callable[[Path], list[str | Path]],
    folder: Path,
    wanted: Digests,
    keep: Callable[[commands.Finished], None],
) -> Contestant:
    suffix = "" if name == "transformers" else ".msgpack"  # a folder; ptformat knows the kind of file by its name

    def before() -> Path:
        return folder / f"converted-{secrets.token_hex(4)}{suffix}"

    def work(out: Path) -> commands.Finished:
        return commands.run(command(out), {**os.environ, "JAX_PLATFORMS": "cpu"})

    def check(out: Path, _: Any) -> None:
        found = digests(out / "flax_model.msgpack" if out.is_dir() else out)
        assert {path.removeprefix("params/"): digest for path, digest in found.items()} == wanted, name

    def after(out: Path, done: commands.Finished) -> None:
        keep(done)
        formats.remove([out])

    return Contestant(name, work, before, check, after)


def digests(path: Path) -> Digests:
    """Element type, shape and checksum of every array in a Flax msgpack file."""
    tree = flatten_dict(msgpack_restore(path.read_bytes()), sep="/")
    return {name: digest(np.asarray(array)) for name, array in tree.items()}


def digest(array: inputs.Array) -> tuple[str, tuple[int, ...], str]:
    return array.dtype.name, array.shape, xxhash.xxh3_128_hexdigest(np.ascontiguousarray(array))


def expected(source: Path) -> Digests:
    """What the conversion must give, by the rules of the frameworks' documents: dense kernels transposed."""
    found: Digests = {}
    for name, array in inputs.load_file(source).items():
        *parents, leaf = name.split(".")
        if leaf == "weight" and "embeddings" in parents[-1]:
            leaf = "embedding"
        elif leaf == "weight":
            leaf, array = ("scale", array) if parents[-1] == "LayerNorm" else ("kernel", array.T)
        found["/".join((*parents, leaf))] = digest(array)
    return found
