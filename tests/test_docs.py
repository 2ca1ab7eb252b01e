"""README and docs, executed block by block in a fresh folder: Python in one namespace, consoles command by command."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from nets import minilm

ROOT = Path(__file__).parent.parent
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
SECONDS = re.compile(r"\b\d+\.\d s\b")


def blocks(page: Path) -> list[tuple[str, str]]:
    return BLOCK.findall(page.read_text(encoding="utf-8"))


def test_the_pages_are_found() -> None:
    assert {page.name for page in PAGES} >= {"README.md", "archiving.md"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_block_does_what_it_shows(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model.safetensors").symlink_to(minilm.model_path())
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "__main__"}
    found = blocks(page)
    assert found
    for kind, body in found:
        assert kind in ("python", "console"), f"{page.name}: a block of kind {kind} is not executed"
        if kind == "python":
            exec(compile(body, page.name, "exec"), names)
        else:
            run(body, tmp_path)


def run(block: str, folder: Path) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for command, _, expected in (part.partition("\n") for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]):
        done = subprocess.run(
            shlex.split(command), cwd=folder, env={**os.environ, "PATH": path}, capture_output=True, text=True
        )
        assert (done.returncode, done.stderr) == (0, ""), command
        assert SECONDS.sub("… s", done.stdout) == SECONDS.sub("… s", expected), command
