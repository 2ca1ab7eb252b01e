"""What a process pays before it does anything: imports, and the command's help."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from report import Bar, Row
from settings import Settings
from timing import Contestant, milliseconds, race

NAMES = "load, load_file, load_tree, open, save, save_file, verify, Reader, Writer, FormatError"
CODE = {
    "numpy": "import numpy",
    "ptformat": f"import numpy\nfrom ptformat import {NAMES}",
    "safetensors": "import numpy\nimport safetensors.numpy",
    "zTensor": "import numpy\nimport ztensor",
}


def rows(settings: Settings) -> Iterator[Row]:
    commands: dict[str, list[str]] = {name: [sys.executable, "-c", code] for name, code in CODE.items()}
    commands["help"] = [str(Path(sys.executable).with_name("ptformat")), "--help"]
    commands["python"] = [sys.executable, "-c", "pass"]
    times = milliseconds(race([contestant(name, command) for name, command in commands.items()], settings.times(21)))
    beyond = [spent - base for spent, base in zip(times["ptformat"], times["numpy"], strict=True)]
    said = "whole processes, files in the page cache, modules compiled before"
    work = "import ptformat and its names, beyond numpy"
    own = f"{said}; each round's own `import numpy` is taken off"
    yield Row("start", work, "ms", {"ptformat": beyond}, (Bar("≤", 80),), own)
    values = {name: times[name] for name in ("ptformat", "safetensors", "zTensor")}
    yield Row("start", "the same with numpy, as a process", "ms", values, (), said)
    values = {"ptformat": times["help"], "python -c pass": times["python"]}
    yield Row("start", "ptformat --help", "ms", values, (Bar("≤", 250),), said)


def contestant(name: str, command: list[str]) -> Contestant:
    run = partial(subprocess.run, command, check=True, capture_output=True)

    def check(_: None, done: subprocess.CompletedProcess[bytes]) -> None:
        assert name != "help" or b"Usage" in done.stdout

    return Contestant(name, lambda _: run(), check=check)
