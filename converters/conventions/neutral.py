"""Neutral module kinds: their parameters and what each axis means (spec/conventions-1.0.md).

A framework's table says under which name and in which order of axes it keeps each parameter; a conversion goes from
table to table through these names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

SPATIAL = "spatial"  # stands for one to three axes
SPATIAL_AXES: dict[int, tuple[str, ...]] = {1: ("x",), 2: ("y", "x"), 3: ("z", "y", "x")}

Axes = tuple[str, ...]

# Kind -> parameter -> axes. The first parameter, or for batch_norm `mean`, makes the kind what it is.
KINDS: dict[str, dict[str, Axes]] = {
    "linear": {"weight": ("out", "in"), "bias": ("out",)},
    "embedding": {"weight": ("num", "features")},
    "conv": {"weight": ("out", "in", SPATIAL), "bias": ("out",)},
    "layer_norm": {"scale": ("features",), "bias": ("features",)},
    "rms_norm": {"scale": ("features",)},
    "group_norm": {"scale": ("features",), "bias": ("features",)},
    "batch_norm": {
        "scale": ("features",),
        "bias": ("features",),
        "mean": ("features",),
        "var": ("features",),
        "count": (),
    },
}
# What a module of the kind cannot be without.
ESSENTIAL: dict[str, tuple[str, ...]] = {
    **{kind: (next(iter(parameters)),) for kind, parameters in KINDS.items()},
    "batch_norm": ("mean", "var"),
}
# Kinds without a rule yet that have the names and shapes of one above: what a guess may get wrong.
RIVALS: dict[str, str] = {"conv": "conv_transpose", "rms_norm": "prelu"}


@dataclass(frozen=True, slots=True)
class Slot:
    """Where a framework keeps one parameter of a kind.

    Attributes:
        name: Leaf name.
        axes: Its axes in the framework's order.
        collection: The root it stands under in frameworks that have collections, else empty.
        role: `parameter` or `buffer`.
        fill: The value it gets where the source has none, or None if it must be there; then of type `dtype`.
    """

    name: str
    axes: Axes
    collection: str = ""
    role: str = "parameter"
    fill: int | None = None
    dtype: str | None = None


@dataclass(frozen=True, slots=True)
class Convention:
    """One framework's table.

    Attributes:
        name: As it stands in a file's index.
        separator: What its users write between the segments of a path.
        slots: Kind -> neutral parameter -> slot.
        namespace: Classes whose name begins so are the framework's own: without a kind, they have no rule.
        collections: Roots of a tree that are no part of a module's path.
        home: The collection of parameters that belong to no kind.
        unsupported: Leaf names that show a layer without a rule, and what it is.
    """

    name: str
    separator: str
    slots: Mapping[str, Mapping[str, Slot]]
    namespace: str
    unsupported: Mapping[str, str]
    collections: tuple[str, ...] = ()
    home: str = ""

    def owners(self, collection: str, name: str) -> dict[str, str]:
        """Kind -> neutral parameter of every kind that has a leaf of that name in that collection."""
        return {
            kind: parameter
            for kind, slots in self.slots.items()
            for parameter, slot in slots.items()
            if (slot.collection, slot.name) == (collection, name)
        }


def spelled(axes: Axes, rank: int) -> Axes | None:
    """The axes with `spatial` spelled out for a tensor of that rank; None where the rank does not fit."""
    if SPATIAL not in axes:
        return axes if len(axes) == rank else None
    spatial = SPATIAL_AXES.get(rank - len(axes) + 1)
    at = axes.index(SPATIAL)
    return None if spatial is None else axes[:at] + spatial + axes[at + 1 :]
