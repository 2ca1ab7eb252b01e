"""The README's snippets, executed: Python in one namespace, consoles command by command, both in a fresh folder."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from nets import minilm

TEXT = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)
SECONDS = re.compile(r"\b\d+\.\d s\b")


def blocks(language: str) -> list[str]:
    return [body for kind, body in BLOCKS if kind == language]


def test_every_block_is_of_a_kind_that_is_executed() -> None:
    assert {kind for kind, _ in BLOCKS} == {"python", "console"}
    assert (len(blocks("python")), len(blocks("console"))) == (4, 2)


def test_the_python_snippets_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    # Each in a process of its own would load torch and jax four times; they build on each other as they stand.
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", "\n".join(blocks("python"))], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert {path.name for path in tmp_path.iterdir()} == {
        *("net.ptf", "shared.ptf", "shared_linen.ptf", "back.ptf", "template.ptf")
    }


def test_the_console_snippets_print_what_they_show(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").symlink_to(minilm.model_path())
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for block in blocks("console"):
        commands = re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]
        for command, _, expected in (part.partition("\n") for part in commands):
            done = subprocess.run(
                shlex.split(command), cwd=tmp_path, env={**os.environ, "PATH": path}, capture_output=True, text=True
            )
            assert (done.returncode, done.stderr) == (0, ""), command
            assert SECONDS.sub("… s", done.stdout) == SECONDS.sub("… s", expected), command
