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
from .live import flax_to_torch, load_into, torch_to_flax
from .objects import resolve, source_of
from .plan import Plan, Step
from .problems import ConversionError, Problem
from .proof import Verified, verify_conversion
from .proof_layers import Layer
from .proof_numbers import ProofError
from .rules import Rules
from .stacks import Stack
from .statistics import Statistics, statistics
from .verbs import convert, copy, plan, run

__all__ = [
    "Cast",
    "ConversionError",
    "Copied",
    "Difference",
    "Edited",
    "Layer",
    "Measured",
    "Odd",
    "Plan",
    "Problem",
    "ProofError",
    "Rules",
    "Stack",
    "Statistics",
    "Steering",
    "Step",
    "Verified",
    "convert",
    "copy",
    "diff",
    "edit",
    "flax_to_torch",
    "load_into",
    "plan",
    "resolve",
    "run",
    "source_of",
    "statistics",
    "torch_to_flax",
    "verify_conversion",
]
