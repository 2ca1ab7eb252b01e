"""What `torch.compile`, DataParallel and DistributedDataParallel put around a module, and before its names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from torch import nn
from torch.nn.modules.module import _IncompatibleKeys

from ..attrs import class_name

_PREFIXES = ("_orig_mod.", "module.")
_COMPILED = "torch._dynamo.eval_frame.OptimizedModule"  # by name: importing it takes seconds


class Loaded(_IncompatibleKeys):
    """What `load_model` returns: `missing_keys` and `unexpected_keys`, and what else there is to know.

    Attributes:
        stripped: The prefix taken off the file's names, or "".
        added: The prefix put before them, or "".
        on_meta: Parameters and buffers that are still without memory, on the meta device.
    """

    stripped: str
    added: str
    on_meta: tuple[str, ...]

    def __new__(
        cls, missing: list[str], unexpected: list[str], prefixes: tuple[str, str], on_meta: Iterable[str]
    ) -> Loaded:
        """From the names, the prefixes (stripped, added) and what has no memory."""
        made = super().__new__(cls, missing, unexpected)
        made.stripped, made.added = prefixes
        made.on_meta = tuple(on_meta)
        return made

    def __repr__(self) -> str:
        said = {"missing_keys": self.missing_keys, "unexpected_keys": self.unexpected_keys}
        more = {name: value for name in ("stripped", "added", "on_meta") if (value := getattr(self, name))}
        return f"Loaded({', '.join(f'{name}={value!r}' for name, value in {**said, **more}.items())})"


def inner(module: nn.Module) -> nn.Module:
    """The module without wrappers: what was compiled or made parallel."""
    while True:
        if class_name(module) == _COMPILED:
            module = module._modules["_orig_mod"]  # type: ignore[assignment]
        elif isinstance(module, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
            module = module.module
        else:
            return module


def prefixes(names: Iterable[str], expected: Iterable[str], prefix: str | None) -> tuple[str, str]:
    """What to take off the file's names, and what to put before them.

    By "auto" a wrapper's prefix, `_orig_mod.` or `module.` or several, counts where every single name carries it; it
    is taken off where only the file has it, and put on where only the module has it.
    """
    if prefix != "auto":
        return prefix or "", ""
    ours, theirs = _common(list(names)), _common(list(expected))
    return ("", "") if ours == theirs else (ours, theirs)


def _common(names: list[str]) -> str:
    """The wrappers' prefixes that all names carry."""
    found = ""
    while names and (step := next((p for p in _PREFIXES if all(n.startswith(found + p) for n in names)), None)):
        found += step
    return found


def renamed_modules(items: Mapping[str, Any], change: tuple[str, str]) -> dict[str, Any]:
    """Items by name of module, under their changed names: those of the wrappers that are taken off fall away."""
    stripped, added = change
    dotted = {f"{name}." if name else "": item for name, item in items.items()}
    return {
        (added + name.removeprefix(stripped)).removesuffix("."): item
        for name, item in dotted.items()
        if name.startswith(stripped)
    }
