"""The tables: neutral kinds, and how each framework keeps them."""

from .linen import LINEN
from .neutral import ESSENTIAL, KINDS, RIVALS, Axes, Convention, Slot, spelled
from .torch import TORCH

CONVENTIONS = {"torch": TORCH, "linen": LINEN}  # by the name the user gives
BY_RECORDED = {convention.name: convention for convention in CONVENTIONS.values()}  # by the name in a file

__all__ = [
    "BY_RECORDED",
    "CONVENTIONS",
    "ESSENTIAL",
    "KINDS",
    "LINEN",
    "RIVALS",
    "TORCH",
    "Axes",
    "Convention",
    "Slot",
    "spelled",
]
