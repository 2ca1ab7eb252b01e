"""Small real files of every kind, made by the libraries whose kinds they are, as name -> bytes."""

from __future__ import annotations

import functools
import io
import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import flax.serialization
import ml_dtypes
import numpy as np
import orbax.checkpoint as ocp
import pytest
import safetensors.numpy
import torch

import ptformat

ROWS = np.arange(6, dtype=np.float32).reshape(2, 3)
HALF = np.array([0.5, -2, 65504], np.float16)
BYTES = np.array([1, 2, 255], np.uint8)


@dataclass(frozen=True)
class Link:
    """A symbolic link in a directory."""

    target: str


@dataclass(frozen=True)
class Seed:
    """A file, or a directory.

    Attributes:
        files: Name, relative to a folder -> bytes, a link, or None for a pipe.
        opened: What of it is opened; `.` for the folder.
    """

    files: dict[str, Any]
    opened: str

    def write(self, folder: Path) -> Path:
        """Put it into a folder; returns what is to be opened."""
        for name, data in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(data, Link):
                path.symlink_to(data.target)
            elif data is None:
                os.mkfifo(path)
            else:
                path.write_bytes(data)
        return folder / self.opened

    def changed(self, **files: Any) -> Seed:
        """The same with other files."""
        return replace(self, files={**self.files, **files})


def _file(name: str, data: bytes) -> Seed:
    return Seed({name: data}, name)


def _safetensors() -> Seed:
    tree = {"a.weight": ROWS, "a.bias": HALF, "b": BYTES[:0]}
    return _file("x.safetensors", safetensors.numpy.save(tree, {"format": "pt", "c.tied": "b"}))


def _npz(save: Callable[..., None]) -> Seed:
    buffer = io.BytesIO()
    save(buffer, **{"a.w": np.asfortranarray(ROWS), "b": HALF.astype(">f2")})
    return _file("x.npz", buffer.getvalue())


def _torch(zipped: bool) -> Seed:
    rows = torch.from_numpy(ROWS.copy())
    tree = {"m": {"a.w": rows, "a.t": rows.T}, 3: [1, None, 0.5, "t", b"b"], "h": torch.ones(2).bfloat16()}
    buffer = io.BytesIO()
    torch.save(tree, buffer, _use_new_zipfile_serialization=zipped)
    return _file("x.pt", buffer.getvalue())


def _msgpack() -> Seed:
    tree: dict[str, Any] = {"params": {"w": ROWS.copy(), "s": np.float32(2), "c": BYTES.copy(), "n": None, "t": "text"}}
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(flax.serialization, "MAX_CHUNK_SIZE", 16)  # the rows are in chunks
        return _file("x.msgpack", flax.serialization.msgpack_serialize({**tree, "l": {"0": {}, "1": 0.5}}))


def _ptf(codec: str) -> Seed:
    tree = {"a": {"w": np.tile(ROWS, (20, 1)), "b": HALF.astype(ml_dtypes.bfloat16)}, "l": [1, "x", {}], "t": ()}
    return _file("x.ptf", ptformat.save(tree, codec=codec, convention="torch", metadata={"k": "v"}))


def _shards() -> dict[str, Any]:
    return {
        "one.safetensors": safetensors.numpy.save({"a.w": ROWS}, {"format": "pt"}),
        "two.safetensors": safetensors.numpy.save({"a.b": HALF, "c": BYTES}, {"format": "pt"}),
    }


def _index() -> bytes:
    places = {"a.w": "one.safetensors", "a.b": "two.safetensors", "c": "two.safetensors"}
    return json.dumps({"metadata": {"total_size": 33}, "weight_map": places}).encode()


def _sharded() -> Seed:
    return Seed({"x.index.json": _index(), **_shards()}, "x.index.json")


def _huggingface() -> Seed:
    beside = {"config.json": b'{"model_type": "none"}', "sub/vocab.txt": b"a\nb\n"}
    return Seed({"model.safetensors.index.json": _index(), **_shards(), **beside}, ".")


def _orbax(**options: bool) -> Seed:
    tree = {"a": {"w": ROWS, "k": BYTES}, "l": [HALF, 3, {}], "t": "text"}
    with tempfile.TemporaryDirectory() as folder:
        ocp.Checkpointer(ocp.PyTreeCheckpointHandler(**options)).save(Path(folder, "x"), tree)
        found = [path for path in sorted(Path(folder, "x").rglob("*")) if path.is_file()]
        return Seed({str(path.relative_to(Path(folder, "x"))): path.read_bytes() for path in found}, ".")


KINDS: dict[str, Callable[[], Seed]] = {
    "safetensors": _safetensors,
    "npz": functools.partial(_npz, np.savez),
    "npz-deflated": functools.partial(_npz, np.savez_compressed),
    "torch": functools.partial(_torch, True),
    "torch-legacy": functools.partial(_torch, False),
    "msgpack": _msgpack,
    "ptf": functools.partial(_ptf, "raw"),
    "ptf-zstd": functools.partial(_ptf, "zstd"),
    "sharded": _sharded,
    "huggingface": _huggingface,
    "orbax": _orbax,
    "orbax-zarr": functools.partial(_orbax, use_ocdbt=False),
    "orbax-zarr3": functools.partial(_orbax, use_ocdbt=False, use_zarr3=True),
}


@functools.cache
def seed(kind: str) -> Seed:
    """The file of a kind; the same every time but where its library puts a time or a name of its own into it."""
    return KINDS[kind]()
