"""Conversion between frameworks: planned before it runs, streamed, exact to the bit.

from ptformat.converters import convert

plan = convert("model.safetensors", "params.msgpack", to="linen")
print(plan.text())
"""

from .casting import Cast
from .compare import Difference, Measured, Odd, diff
from .draft import Steering
from .edit import Edited, edit
from .ends import Copied
from .live import flax_to_torch, torch_to_flax
from .plan import Plan, Step
from .problems import ConversionError, Problem
from .statistics import Statistics, statistics
from .verbs import convert, copy, plan

__all__ = [
    "Cast",
    "ConversionError",
    "Copied",
    "Difference",
    "Edited",
    "Measured",
    "Odd",
    "Plan",
    "Problem",
    "Statistics",
    "Steering",
    "Step",
    "convert",
    "copy",
    "diff",
    "edit",
    "flax_to_torch",
    "plan",
    "statistics",
    "torch_to_flax",
]
