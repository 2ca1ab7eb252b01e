"""Small real files for the tests of the command line, and ways to run it."""

import json
import os
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from click.testing import CliRunner, Result

import ptformat
from ptformat.cli import commands

LINEAR = "torch.nn.modules.linear.Linear"
RELU = "torch.nn.modules.activation.ReLU"
SEQUENTIAL = "torch.nn.modules.container.Sequential"
Args = Callable[[Path, Path], list[str]]

# Verb -> its arguments for a source and a target; the target's suffix is the verb's own.
READING: dict[str, Args] = {
    "convert": lambda source, folder: ["convert", str(source), str(folder / "out.msgpack"), "--to", "linen"],
    "dry-run": lambda source, folder: [*READING["convert"](source, folder), "--dry-run"],
    "recast": lambda source, folder: ["convert", str(source), str(folder / "out.safetensors")],
    "pack": lambda source, folder: ["pack", str(source), str(folder / "out.ptf")],
    "unpack": lambda source, folder: ["unpack", str(source), str(folder / "out.safetensors")],
    "edit": lambda source, folder: ["edit", str(source), str(folder / "out.ptf"), "--metadata", "a=b"],
    "diff": lambda source, folder: ["diff", str(source), str(source)],
    "info": lambda source, folder: ["info", str(source), "--stats"],
    "verify": lambda source, folder: ["verify", str(source)],
    "tree": lambda source, folder: ["tree", str(source)],
}
WRITING = ["convert", "recast", "edit", "pack", "unpack"]
PTF_ONLY = {"unpack"}


def arrays(seed: int = 0) -> dict[str, Any]:
    """The state dict of the deck's net: `Sequential(Linear(4, 8), ReLU(), Linear(8, 1))`."""
    rng = np.random.default_rng(seed)
    shapes = {"0.weight": (8, 4), "0.bias": (8,), "2.weight": (1, 8), "2.bias": (1,)}
    return {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}


def deck_ptf(path: Path, *, shared: bool = False, codec: str = "raw") -> Path:
    """The deck's net as a .ptf with its modules; with `shared`, one Linear(8, 8) stands at 2 and at 4."""
    layers = {0: (8, 4), 2: (8, 8), 4: (8, 8), 6: (1, 8)} if shared else {0: (8, 4), 2: (1, 8)}
    rng = np.random.default_rng(0)
    with ptformat.Writer(path, convention="torch", codec=codec) as out:
        out.node("", "flat", class_=SEQUENTIAL)
        for number in range(max(layers) + 1):
            if number not in layers:
                out.node(str(number), "part", class_=RELU)
                continue
            out.node(str(number), "part", module="linear", class_=LINEAR)
            if number == 4:
                out.alias("4.weight", "2.weight")
                out.alias("4.bias", "2.bias")
                continue
            rows, width = layers[number]
            for name, shape, axes in (("weight", (rows, width), ("out", "in")), ("bias", (rows,), ("out",))):
                data = rng.standard_normal(shape).astype(np.float32)
                out.tensor(f"{number}.{name}", data, axes=axes, role="parameter", trainable=True)
    return path


def deck_safetensors(path: Path) -> Path:
    safetensors.numpy.save_file(arrays(), path, metadata={"format": "pt"})
    return path


def crafted_safetensors(path: Path, header: dict[str, Any], data: bytes) -> Path:
    """A .safetensors file whose header says whatever it is told to say."""
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


def run(*args: str | os.PathLike[str]) -> Result:
    """The command in this process; a bug shows its traceback."""
    return CliRunner().invoke(commands, [os.fspath(arg) for arg in args], catch_exceptions=False)


def spawn(*args: str | os.PathLike[str], before: str = "", **options: Any) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, after the Python statements `before`."""
    start = ["-c", f"import sys\n{before}\nfrom ptformat.cli import main\nmain()"] if before else ["-m", "ptformat"]
    command = [sys.executable, *start, *map(os.fspath, args)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, **options)


def snapshot(folder: Path) -> dict[str, bytes | None]:
    """Every file beneath a folder with its bytes: what must not change."""
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}
