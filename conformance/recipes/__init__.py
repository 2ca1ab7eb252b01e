"""Assembles the committed cases from bytes, with the standard library alone: `python -m conformance.recipes`.

Nothing here imports the library, nor its codecs: the checksums are computed in `xxh3`, zstd frames are frozen bytes
(`frames`). An area is a module with a function `cases`; its name is the folder.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator

from .case import Case

_FOLDERS = ("valid", "invalid")
_SINGLE = ("limits", "forward")  # folders of one area each


def areas() -> list[str]:
    """Every area, such as `invalid/trailer`."""
    found = [
        f"{folder}/{module.name.replace('_', '-')}"
        for folder in _FOLDERS
        for module in pkgutil.iter_modules(importlib.import_module(f".{folder}", __name__).__path__)
        if module.name != "base"
    ]
    return [*found, *_SINGLE]


def cases(area: str) -> Iterator[Case]:
    """The cases of an area, in order of their slugs."""
    module = importlib.import_module("." + area.replace("/", ".").replace("-", "_"), __name__)
    made = list(module.cases())
    yield from sorted(made, key=lambda case: case.slug)
