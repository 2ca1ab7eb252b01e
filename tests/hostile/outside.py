"""Directories that ask for what lies outside them; what they ask for is sound, so that who follows reads it."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
import zstandard

from hostile.attacks import crc32c
from hostile.seeds import seed

OUTSIDE = "outside"


@dataclass(frozen=True)
class Case:
    """Makes a directory `inside`, beside which `outside` lies; returns what is opened.

    Attributes:
        kind: Of the seed.
        make: The case.
        code: Of the error.
    """

    kind: str
    make: Callable[[Path, Path], Path]
    code: str = "PATH"


def _moved_out(name: str) -> Callable[[Path, Path], Path]:
    """A file or folder of the directory is a link to its like outside."""

    def make(inside: Path, outside: Path) -> Path:
        (outside / name).parent.mkdir(parents=True, exist_ok=True)
        (inside / name).rename(outside / name)
        (inside / name).symlink_to(outside / name)
        return inside

    return make


def _index(name: str) -> Callable[[Path, Path], Path]:
    """The index of shards places a tensor outside; `{outside}` stands for the folder there."""

    def make(inside: Path, outside: Path) -> Path:
        (inside / "one.safetensors").rename(outside / "one.safetensors")
        path = next(inside.glob("*.index.json"))
        said = json.loads(path.read_bytes())
        said["weight_map"]["a.w"] = name.format(outside=outside)
        path.write_text(json.dumps(said))
        return path

    return make


def _named(name: str) -> Callable[[Path, Path], Path]:
    """An array of an orbax checkpoint, in a directory of its own, is called so."""

    def make(inside: Path, outside: Path) -> Path:
        (inside / "a.w").rename(outside / "a.w")
        said = json.loads((inside / "_METADATA").read_bytes())
        row = next(row for row in said["tree_metadata"].values() if row["key_metadata"][-1]["key"] == "w")
        row["key_metadata"] = [{"key": name.format(outside=outside), "key_type": 2}]
        said["tree_metadata"] = {"x": row}
        (inside / "_METADATA").write_text(json.dumps(said))
        return inside

    return make


def referring(name: str) -> Callable[[Path, Path], Path]:
    """The database of an orbax checkpoint has its data in a file outside, by what its manifest says."""

    def make(inside: Path, outside: Path) -> Path:
        (data,) = (inside / "d").iterdir()
        data.rename(outside / "data")
        manifest = (inside / "manifest.ocdbt").read_bytes()
        inner = zstandard.ZstdDecompressor().decompressobj().decompress(manifest[14:-4])
        old, new = f"d/{data.name}".encode(), name.format(outside=outside).encode()
        assert len(new) < 128
        # The length of the path, that of the part that is its base, the path.
        assert inner.count(bytes([len(old), 0]) + old) == 1
        inner = inner.replace(bytes([len(old), 0]) + old, bytes([len(new), 0]) + new)
        held = manifest[12:14] + zstandard.ZstdCompressor().compress(inner)
        made = manifest[:4] + struct.pack("<Q", len(held) + 16) + held
        (inside / "manifest.ocdbt").write_bytes(made + struct.pack("<L", crc32c(made)))
        return inside

    return make


def _item(inside: Path, outside: Path) -> Path:
    """A step of a manager, whose one item is a checkpoint elsewhere."""
    inside.rename(outside / "default")
    inside.mkdir()
    (inside / "default").symlink_to(outside / "default")
    return inside


def _cache(blobs: str, target: str) -> Callable[[Path, Path], Path]:
    """What looks like a cache of Hugging Face's, with a link of a snapshot to somewhere else."""

    def make(inside: Path, outside: Path) -> Path:
        safetensors.numpy.save_file({"w": np.ones(3, np.float32)}, outside / "blob")
        home = inside / "models--x"
        snapshot = home / "snapshots" / "0123"
        snapshot.mkdir(parents=True)
        if blobs:
            (home / "blobs").symlink_to(blobs.format(outside=outside))
        else:
            (home / "blobs").mkdir()
        (snapshot / "model.safetensors").symlink_to(target.format(outside=outside))
        return snapshot

    return make


CASES: dict[str, Case] = {
    "index up": Case("sharded", _index("../outside/one.safetensors")),
    "index absolute": Case("sharded", _index("{outside}/one.safetensors")),
    "index by a folder": Case("huggingface", _index("sub/../../outside/one.safetensors")),
    "index with backslashes": Case("sharded", _index("..\\outside\\one.safetensors")),
    "index of a URL": Case("sharded", _index("file://{outside}/one.safetensors")),
    "shard": Case("sharded", lambda inside, outside: _moved_out("one.safetensors")(inside, outside) / "x.index.json"),
    "shard of a directory": Case("huggingface", _moved_out("two.safetensors")),
    "index itself": Case("huggingface", _moved_out("model.safetensors.index.json")),
    "cache, beyond the blobs": Case("huggingface", _cache("", "../../blobs/../../../outside/blob")),
    "cache, absolute": Case("huggingface", _cache("", "{outside}/blob")),
    "cache, blobs elsewhere": Case("huggingface", _cache("{outside}", "../../blobs/blob")),
    "orbax metadata": Case("orbax", _moved_out("_METADATA")),
    "orbax manifest": Case("orbax", _moved_out("manifest.ocdbt")),
    "orbax texts": Case("orbax", _moved_out("_strings.json")),
    "orbax data": Case("orbax", _moved_out("d")),
    "orbax part of a process": Case("orbax", _moved_out("ocdbt.process_0")),
    "orbax array": Case("orbax-zarr", _moved_out("a.w")),
    "orbax array's metadata": Case("orbax-zarr", _moved_out("a.w/.zarray")),
    "orbax chunk": Case("orbax-zarr3", _moved_out("a.w/c/0/0")),
    "orbax item": Case("orbax", _item),
    "orbax name up": Case("orbax-zarr", _named("../outside/a.w")),
    "orbax name absolute": Case("orbax-zarr", _named("{outside}/a.w")),
    "orbax name with backslashes": Case("orbax-zarr", _named("..\\outside\\a.w")),
    "orbax data file up": Case("orbax", referring("../outside/data"), "DATA"),
    "orbax data file absolute": Case("orbax", referring("{outside}/data"), "DATA"),
    "orbax data file of a URL": Case("orbax", referring("file://{outside}/data"), "DATA"),
}


def built(name: str, folder: Path) -> Path:
    """A case in a folder; what is to be opened."""
    case = CASES[name]
    inside, outside = folder / "inside", folder / OUTSIDE
    outside.mkdir(parents=True)
    seed(case.kind).write(inside)
    return case.make(inside, outside)


def opened(log: str, *, to_write: bool = False) -> list[str]:
    """The files that a log of strace says were opened, or may have been."""
    found: list[Any] = []
    for line in log.splitlines():
        call, _, rest = line.partition("(")
        writing = "O_CREAT" in rest or "O_WRONLY" in rest or "O_RDWR" in rest
        if call.split()[-1] in ("open", "openat", "openat2", "creat") and " = -1 " not in rest and writing >= to_write:
            found.append(rest.split('"')[1])
    return found
