"""Assembles the committed cases from bytes, with the standard library alone: `python -m conformance.recipes`.

Nothing here imports the library, nor its codecs: the checksums are computed in `xxh3`, zstd frames are frozen bytes
(`frames`). An area is a module with a function `cases`; its name is the folder. Those of `convert` are nets.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator

from . import convert
from .case import Case

_FOLDERS = ("valid", "invalid")
_SINGLE = ("limits", "forward")  # folders of one area each
_NETS = "convert"  # the folder of areas that are nets


def areas() -> list[str]:
    """Every area, such as `invalid/trailer`."""
    found = [
        f"{folder}/{module.name.replace('_', '-')}"
        for folder in _FOLDERS
        for module in pkgutil.iter_modules(importlib.import_module(f".{folder}", __name__).__path__)
        if module.name != "base"
    ]
    return [*found, *_SINGLE, *(f"{_NETS}/{slug}" for slug in convert.groups())]


def cases(area: str) -> Iterator[Case]:
    """The cases of an area, in order of their slugs."""
    folder, _, name = area.partition("/")
    if folder == _NETS:
        made = list(convert.cases(name))
    else:
        module = importlib.import_module("." + area.replace("/", ".").replace("-", "_"), __name__)
        made = list(module.cases())
    yield from sorted(made, key=lambda case: case.slug)
