"""The demo, run as `make demo` runs it: what it claims is in what it prints."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np

import ptformat
from ptformat.converters import copy

DEMO = Path(__file__).parent.parent / "demo" / "demo.py"


def demo(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(DEMO), *arguments], capture_output=True, text=True)


def test_the_main_job() -> None:
    done = demo()
    assert (done.returncode, done.stderr) == (0, "")
    assert "├─ 4  Linear  = 2" in done.stdout
    assert done.stdout.count("the same bytes") == 2
    assert "net[2].weight and net[4].weight are one parameter" in done.stdout
    assert "104 of 104 tensors came back from the .msgpack bit for bit" in done.stdout
    differences = [float(found) for found in re.findall(r"largest difference.*? (\d\.\de-\d+)", done.stdout)]
    assert len(differences) == 3
    assert max(differences) <= 1e-5


def test_a_file_of_ones_own(tmp_path: Path) -> None:
    variables = {"params": {"dense": {"kernel": np.ones((3, 5), np.float32), "bias": np.zeros(5, np.float32)}}}
    ptformat.save_file(variables, tmp_path / "own.ptf")
    copy(tmp_path / "own.ptf", tmp_path / "own.msgpack")
    done = demo(str(tmp_path / "own.msgpack"))
    assert (done.returncode, done.stderr) == (0, "")
    assert "2 of 2 tensors came back from the .safetensors bit for bit" in done.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == ["own.msgpack", "own.ptf"]


def test_a_file_that_is_none(tmp_path: Path) -> None:
    done = demo(str(tmp_path / "gone.safetensors"))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"demo: {tmp_path / 'gone.safetensors'} is not a file\n"
