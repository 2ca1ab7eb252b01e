"""Conversion of what is in memory: a torch module or state dict, linen variables."""

from __future__ import annotations


def torch_to_flax() -> None: ...
def flax_to_torch() -> None: ...
