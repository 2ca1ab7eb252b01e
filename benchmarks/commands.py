"""A command as a process: how long it takes, and how much memory it has at its highest."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

EVERY = 0.004  # seconds from one look at its memory to the next


@dataclass(frozen=True)
class Finished:
    """What one run of a command took.

    Attributes:
        seconds: From its start to its end.
        resident: Bytes of memory at the highest, mapped files among them.
        anonymous: Bytes of memory at the highest that no file backs.
    """

    seconds: float
    resident: int
    anonymous: int


def run(command: Sequence[str | Path], environment: Mapping[str, str] | None = None) -> Finished:
    """Run it to its end.

    Raises:
        RuntimeError: it failed; with the end of what it said.
    """
    with tempfile.TemporaryFile() as said:
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=said, stderr=said, env=environment)
        resident = anonymous = 0
        while process.poll() is None:
            held = memory(process.pid)
            resident = max(resident, held.get("VmHWM", 0))
            anonymous = max(anonymous, held.get("RssAnon", 0))
            time.sleep(EVERY)
        seconds = time.perf_counter() - start
        if process.returncode:
            said.seek(0)
            raise RuntimeError(f"{command}: {said.read().decode(errors='replace')[-2000:]}")
    return Finished(seconds, resident, anonymous)


def memory(pid: int | str = "self") -> dict[str, int]:
    """VmHWM and RssAnon of a process in bytes; nothing of one that has ended."""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return {}
    fields = (line.split() for line in text.splitlines() if line.startswith(("VmHWM:", "RssAnon:")))
    return {name.rstrip(":"): int(size) * 1024 for name, size, *_ in fields}
