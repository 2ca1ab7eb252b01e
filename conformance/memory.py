"""Resident memory of a process and of what it has started, as Linux tells it in /proc (proc(5))."""

from __future__ import annotations

import contextlib
from pathlib import Path

MEASURABLE = Path("/proc/self/clear_refs").exists()
_GONE = (FileNotFoundError, ProcessLookupError)


class Memory:
    """What a process and its descendants take beyond what they have now, for as long as it is looked at.

    Args:
        pid: The process.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._before: dict[int, int] = {}
        self._highest: int | None = 0 if MEASURABLE else None
        try:
            for each in family(pid):
                with contextlib.suppress(*_GONE):
                    Path(f"/proc/{each}/clear_refs").write_bytes(b"5")  # the peak begins anew
                    self._before[each] = _bytes(each, "VmRSS")
        except OSError:
            self._highest = None

    def highest(self) -> int | None:
        """The most bytes until now, or None where that is not known.

        Of a process that has ended between two calls nothing is known.
        """
        if self._highest is not None:
            try:
                now = sum(max(0, _bytes(each, "VmHWM") - self._before.get(each, 0)) for each in family(self._pid))
                self._highest = max(self._highest, now)
            except OSError:
                self._highest = None
        return self._highest


def family(pid: int) -> list[int]:
    """The process and its descendants."""
    found = [pid]
    for each in found:
        with contextlib.suppress(*_GONE):
            for task in Path(f"/proc/{each}/task").iterdir():
                found += map(int, (task / "children").read_text().split())
    return found


def _bytes(pid: int, name: str) -> int:
    """A figure of a process; 0 where it has ended, or is a thread of the kernel."""
    with contextlib.suppress(*_GONE):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return 1024 * int(line.split()[1])
    return 0
