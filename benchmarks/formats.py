"""Saving and loading with every peer: functions of (tree, path) and of (path), a table of them for each framework.

A tree is a flat dict of name -> array of its framework. Each peer has the settings it is fastest with.
"""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import flax.serialization
import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import safetensors.flax
import safetensors.numpy
import safetensors.torch
import torch
import ztensor
import ztensor.numpy

import ptformat
import ptformat.flax
import ptformat.torch

Tree = dict[str, Any]
Save = Callable[[Tree, Path], None]
Load = Callable[[Path], Tree]

ZTENSOR_TYPES = {"float32": "f32", "bfloat16": "bf16"}
PAGE = 4096


# Saving


def ztensor_save(tree: Tree, path: Path, encoding: str | None = None) -> None:
    """By its Writer, which calls fsync by itself; names in ascending order, as its canonical form wants them."""
    options: dict[str, Any] = {} if encoding is None else {"canonical": False, "align": PAGE}
    with ztensor.Writer(str(path), **options) as out:
        for name in sorted(tree):
            array = np.asarray(tree[name])
            data = array.reshape(-1).view(np.uint8)
            out.add(name, data, shape=list(array.shape), dtype=ZTENSOR_TYPES[array.dtype.name], encoding=encoding)
        out.finish()


def torch_save(tree: Tree, path: Path) -> None:
    torch.save(tree, path)


def savez(tree: Tree, path: Path) -> None:
    with open(path, "wb") as file:
        np.savez(file, **tree)


def msgpack_save(tree: Tree, path: Path) -> None:
    path.write_bytes(flax.serialization.msgpack_serialize(tree))


def orbax_save(tree: Tree, path: Path) -> None:
    with ocp.Checkpointer(ocp.PyTreeCheckpointHandler(use_compression=False)) as out:
        out.save(path.absolute(), tree)


def synced(save: Save, tree: Tree, path: Path) -> None:
    """Saved, and then file and name on disk, as a durable save leaves them."""
    save(tree, path)
    for target in (path, path.parent):
        fd = os.open(target, os.O_RDONLY)
        os.fsync(fd)
        os.close(fd)


SAVE: dict[str, dict[str, Save]] = {
    "torch": {
        "ptformat": partial(ptformat.torch.save_file, durable=False),
        "safetensors.torch": safetensors.torch.save_file,
        "zTensor": ztensor_save,
        "torch.save": torch_save,
    },
    "numpy": {
        "ptformat": partial(ptformat.save_file, durable=False),
        "safetensors.numpy": safetensors.numpy.save_file,
        "zTensor": ztensor_save,
        "numpy.savez": savez,
    },
    "jax": {
        "ptformat": partial(ptformat.flax.save_file, durable=False),
        "safetensors.flax": safetensors.flax.save_file,
        "zTensor": ztensor_save,
        "flax msgpack": msgpack_save,
        "orbax": orbax_save,
    },
}


# Loading


def ztensor_load(take: Callable[[Any], Any], path: Path) -> Tree:
    with ztensor.open(str(path)) as source:
        return {tensor.name: take(tensor) for tensor in source.values()}


def torch_load(path: Path) -> Tree:
    found: Tree = torch.load(path, mmap=True, weights_only=True)
    return found


def npz_load(path: Path) -> Tree:
    with np.load(path) as file:
        return dict(file)


def msgpack_load(path: Path) -> Tree:
    found: Tree = jax.tree.map(jnp.asarray, flax.serialization.msgpack_restore(path.read_bytes()))
    return found


def orbax_load(path: Path) -> Tree:
    with ocp.StandardCheckpointer() as source, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that no sharding was given: there is one device
        found: Tree = source.restore(path.absolute())
    return found


LOAD: dict[str, dict[str, Load]] = {
    "torch": {
        "ptformat": ptformat.torch.load_file,
        "safetensors.torch": safetensors.torch.load_file,
        "zTensor": partial(ztensor_load, torch.from_dlpack),
        "torch.save": torch_load,
    },
    "numpy": {
        "ptformat": ptformat.load_file,
        "safetensors.numpy": safetensors.numpy.load_file,
        "safetensors.numpy, pread": partial(safetensors.numpy.load_file, backend="pread"),
        "zTensor": partial(ztensor_load, np.from_dlpack),
        "numpy.savez": npz_load,
    },
    "jax": {
        "ptformat": ptformat.flax.load_file,
        "safetensors.flax": safetensors.flax.load_file,
        "safetensors.flax, pread": partial(safetensors.flax.load_file, backend="pread"),
        "zTensor": partial(ztensor_load, jnp.from_dlpack),
        "flax msgpack": msgpack_load,
        "orbax": orbax_load,
    },
}

VERIFYING: dict[str, Load] = {
    "torch": partial(ptformat.torch.load_file, verify=True),
    "numpy": partial(ptformat.load_file, verify=True),
    "jax": partial(ptformat.flax.load_file, verify=True),
}


# A framework's arrays, and NumPy's views of them


def into(framework: str, arrays: Tree) -> Tree:
    if framework == "torch":
        return {name: torch.from_numpy(array) for name, array in arrays.items()}
    if framework == "jax":
        return {name: jnp.asarray(array) for name, array in arrays.items()}
    return arrays


def viewed(tree: Tree) -> Tree:
    """The same memory as NumPy arrays."""
    return {name: np.asarray(array) for name, array in jax.block_until_ready(tree).items()}


def touch(tree: Tree) -> int:
    """Read one number of every 4096 bytes, and the last; their sum as integers, the same for the same bits."""
    total = 0
    for array in jax.block_until_ready(tree).values():
        numbers = np.asarray(array).reshape(-1).view(np.int32)
        total += int(numbers[:: PAGE // 4].sum(dtype=np.int64)) + int(numbers[-1])
    return total


def remove(paths: Iterable[Path]) -> None:
    for path in paths:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
