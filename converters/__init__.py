"""Conversion between frameworks: planned before it runs, streamed, exact to the bit.

from ptformat.converters import convert

plan = convert("model.safetensors", "params.msgpack", to="linen")
print(plan.text())
"""

from .draft import Steering
from .live import flax_to_torch, torch_to_flax
from .plan import Plan, Step
from .problems import ConversionError, Problem
from .verbs import Copied, convert, copy, plan

__all__ = [
    "ConversionError",
    "Copied",
    "Plan",
    "Problem",
    "Steering",
    "Step",
    "convert",
    "copy",
    "flax_to_torch",
    "plan",
    "torch_to_flax",
]
