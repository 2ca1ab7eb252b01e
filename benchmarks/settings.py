"""How large and how often: what the command line decides and every group is given."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import machine


@dataclass(frozen=True)
class Settings:
    """One run's choices.

    Attributes:
        fast: A folder in memory (tmpfs) where there is one.
        disk: A folder on a disk.
        quick: Small inputs and three rounds: whether everything works, no measurement.
        rounds: So many rounds everywhere, where given.
        root: Of the checkout, with the environments.
        out: Where results go.
    """

    fast: Path
    disk: Path
    root: Path
    out: Path
    quick: bool = False
    rounds: int | None = None

    def times(self, usual: int, quick: int = 3) -> int:
        """How many rounds."""
        return self.rounds or (quick if self.quick else usual)

    def where(self, folder: Path) -> str:
        return machine.file_system(folder).partition(",")[0]
