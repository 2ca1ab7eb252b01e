"""README and docs, executed block by block in a fresh folder: Python in one namespace, consoles command by command.

A block that begins with `# name.ext` is also a file of that name. A text block is what the Python above it prints. A
command whose output begins with `ptformat: ` fails, every other succeeds.
"""

from __future__ import annotations

import io
import os
import re
import shlex
import subprocess
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest
from nets import minilm

ROOT = Path(__file__).parent.parent
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
FILE = re.compile(r"# (\w+\.\w+)\n")
SECONDS = re.compile(r"\b\d+\.\d s\b")
APART = re.compile(r"\b\d(\.\d)?e-\d\d\b *")  # how far outputs are apart, on this machine


def blocks(page: Path) -> list[tuple[str, str]]:
    return BLOCK.findall(page.read_text(encoding="utf-8"))


def test_the_pages_are_found() -> None:
    assert {page.name for page in PAGES} >= {"README.md", "api.md", "archiving.md", "converting.md", "kinds.md"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_block_does_what_it_shows(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model.safetensors").symlink_to(minilm.model_path())
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "__main__"}
    found = blocks(page)
    assert found
    printed = ""
    for kind, body in found:
        assert kind in ("python", "console", "text", "toml"), f"{page.name}: a block of kind {kind} is not executed"
        if named := FILE.match(body):
            (tmp_path / named[1]).write_text(body, encoding="utf-8")
        if kind == "python":
            with redirect_stdout(io.StringIO()) as out:
                exec(compile(body, page.name, "exec"), names)
            printed += out.getvalue()
        elif kind == "console":
            run(body, tmp_path)
        elif kind == "text":
            assert printed == body
            printed = ""
        else:
            assert named, f"{page.name}: a block of kind {kind} without a name"
    assert printed == ""


def run(block: str, folder: Path) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for command, _, expected in (part.partition("\n") for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]):
        done = subprocess.run(
            shlex.split(command), cwd=folder, env={**os.environ, "PATH": path}, capture_output=True, text=True
        )
        fails = expected.startswith("ptformat: ")
        assert (done.returncode != 0, bool(done.stderr)) == (fails, fails), (command, done.stderr)
        assert shown(command, done.stderr or done.stdout) == shown(command, expected), command


def shown(command: str, text: str) -> str:
    """Output without what differs from run to run, and from machine to machine."""
    text = SECONDS.sub("… s", text)
    return APART.sub("…", text) if "--verify" in command else text
