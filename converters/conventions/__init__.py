"""The tables: neutral kinds, and how each framework keeps them."""

from .axes import SPATIAL, Axes, Sizes, parse, spelled
from .linen import LINEN
from .neutral import KINDS, RECURRENT, Convention, Form, Kind, Slot, slot
from .nnx import NNX
from .torch import TORCH

CONVENTIONS = {"torch": TORCH, "linen": LINEN, "nnx": NNX}  # by the name the user gives
BY_RECORDED = {convention.name: convention for convention in CONVENTIONS.values()}  # by the name in a file

__all__ = [
    "BY_RECORDED",
    "CONVENTIONS",
    "KINDS",
    "LINEN",
    "NNX",
    "RECURRENT",
    "SPATIAL",
    "TORCH",
    "Axes",
    "Convention",
    "Form",
    "Kind",
    "Sizes",
    "Slot",
    "parse",
    "slot",
    "spelled",
]
