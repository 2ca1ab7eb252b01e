"""Neutral module kinds, their parameters and what each axis means (spec/conventions-1.0.md); what tables consist of.

A framework's table says under which name and in which order of axes it keeps each parameter; a conversion goes from
table to table through these names.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .axes import ANY, SPATIAL, Axes, parse

_NORM: dict[str, Axes] = {"scale": ("features",), "bias": ("features",)}
_STATISTICS: dict[str, Axes] = {"mean": ("features",), "var": ("features",), "count": ()}
_LINEAR: dict[str, Axes] = {"weight": ("out", "in"), "bias": ("out",)}
_CONV: dict[str, Axes] = {"weight": ("out", "in", SPATIAL), "bias": ("out",)}
_CONV_TRANSPOSE: dict[str, Axes] = {"weight": ("groups", "in", "out", SPATIAL), "bias": ("groups", "out")}


def _gates(gates: str, biases: str) -> dict[str, Axes]:
    return {
        **{f"input.{gate}": ("hidden", "in") for gate in gates},
        **{f"hidden.{gate}": ("hidden", "inner") for gate in gates},
        **{f"bias.{bias}": ("hidden",) for bias in biases.split()},
    }


@dataclass(frozen=True)
class Kind:
    """What a module is, whatever the framework.

    Attributes:
        name: Of the kind.
        parameters: Neutral parameter -> what its axes mean.
        essential: Parameters that a module of the kind cannot be without; by default the first.
        rival: The kind whose names and shapes it has and which is far more common, or empty: chosen when it is said to
            be there or nothing else fits, but told as what else a module may be.
        declared: Whether it is never inferred where another kind fits, nor told.
        explicit: Whether names and shapes alone never show it: a user, a class or a template says so.
        refines: The kind of which it says more, which may be recorded of the same module; or empty.
        parts: Whether a module that is said to be of the kind may have any of its parameters and no others.
        serves: The kind as which another framework may keep it; or empty.
        same: Names of axes of one size.
        usual: Name of an axis -> the axis whose size it has, or its size, unless something says otherwise.
    """

    name: str
    parameters: Mapping[str, Axes]
    essential: Axes = ()
    rival: str = ""
    declared: bool = False
    explicit: bool = False
    refines: str = ""
    parts: bool = False
    serves: str = ""
    same: Axes = ()
    usual: Mapping[str, str | int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.essential:
            object.__setattr__(self, "essential", (next(iter(self.parameters)),))


def _weighted(parameters: Mapping[str, Axes]) -> Axes:
    return tuple(name for name in parameters if not name.startswith("bias"))


def _recurrent(name: str, parameters: dict[str, Axes]) -> Kind:
    return Kind(name, parameters, _weighted(parameters), same=("hidden", "inner"))


def _weight_norm(of: str, parameters: dict[str, Axes], rows: Axes, **facts: Any) -> Kind:
    held = {**parameters, "magnitude": rows}
    return Kind(f"weight_norm_{of}", held, ("weight", "magnitude"), refines=of, **facts)


_LORA: dict[str, Axes] = {**_LINEAR, "a": ("rank", "in"), "b": ("out", "rank")}
_ONE_GROUP = {"groups": 1}

KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("linear", _LINEAR),
        Kind("embedding", {"weight": ("num", "features")}),
        Kind("conv", _CONV),
        Kind("conv_transpose", _CONV_TRANSPOSE, rival="conv", usual=_ONE_GROUP),
        Kind("layer_norm", _NORM),
        Kind("rms_norm", {"scale": ("features",)}),
        Kind("group_norm", _NORM),
        Kind("instance_norm", {**_NORM, **_STATISTICS}, parts=True, serves="batch_norm"),  # with running statistics
        Kind("batch_norm", {**_NORM, **_STATISTICS}, ("mean", "var"), parts=True),
        Kind(
            "layer_norm_spatial",
            {"scale": ("channels", SPATIAL), "bias": ("channels", SPATIAL)},
            declared=True,
            refines="layer_norm",
        ),
        Kind("layer_norm_axes", {"scale": (ANY,), "bias": (ANY,)}, declared=True, explicit=True, refines="layer_norm"),
        Kind("prelu", {"slope": ()}),
        Kind("prelu_channels", {"slope": ("channels",)}, rival="rms_norm", refines="prelu"),
        Kind(
            "attention",
            {
                "query.weight": ("heads", "dim", "in"),
                "key.weight": ("kv_heads", "dim", "key_in"),
                "value.weight": ("kv_heads", "dim", "value_in"),
                "query.bias": ("heads", "dim"),
                "key.bias": ("kv_heads", "dim"),
                "value.bias": ("kv_heads", "dim"),
                "out.weight": ("out", "heads", "dim"),
                "out.bias": ("out",),
                "extra_key": ("features",),
                "extra_value": ("features",),
                "query_norm": ("dim",),
                "key_norm": ("dim",),
            },
            ("query.weight", "key.weight", "value.weight", "out.weight"),
            usual={"kv_heads": "heads"},
        ),
        _recurrent("lstm", _gates("ifgo", "i f g o")),
        _recurrent("gru", _gates("rzn", "r z in hn")),
        _recurrent("rnn", {"input": ("hidden", "in"), "hidden": ("hidden", "inner"), "bias": ("hidden",)}),
        Kind(
            "flatten_linear",
            {"weight": ("out", "channels", SPATIAL), "bias": ("out",)},
            declared=True,
            explicit=True,
            refines="linear",
        ),
        _weight_norm("linear", _LINEAR, ("out",)),
        _weight_norm("conv", _CONV, ("out",)),
        _weight_norm("conv_transpose", _CONV_TRANSPOSE, ("groups", "in"), usual=_ONE_GROUP),
        Kind("embedding_bag", {"weight": ("num", "features")}, declared=True, explicit=True, refines="embedding"),
        Kind("bilinear", {"weight": ("out", "in1", "in2"), "bias": ("out",)}, declared=True, explicit=True),
        Kind("lora_linear", _LORA, _weighted(_LORA), refines="linear"),
    )
}


RECURRENT = ("lstm", "gru", "rnn")


@dataclass(frozen=True, slots=True)
class Slot:
    """Where a framework keeps a parameter of a kind, or several in one tensor.

    Attributes:
        name: Leaf name; with dots, the path below the module.
        holds: Neutral parameters that lie in it, in order.
        axes: Its axes as a pattern (see `axes`).
        collection: The root it stands under in frameworks that have collections, else empty.
        role: `parameter` or `buffer`.
        fill: The value it gets where the source has none, or None if it must be there; then of type `dtype`.
        dtype: Of a slot that is filled.
        flip: Names of axes that run backwards.
        addends: Those of `holds` that another slot holds too: their sum is the parameter, and back they are zero.
        scale: Facts whose quotient the parameter is multiplied by, or empty.
        variable: Class of the Variable in frameworks that have such.
    """

    name: str
    holds: tuple[str, ...]
    axes: str
    collection: str = ""
    role: str = "parameter"
    fill: int | None = None
    dtype: str | None = None
    flip: Axes = ()
    addends: frozenset[str] = frozenset()
    scale: tuple[str, ...] = ()
    variable: str = "Param"

    @property
    def segments(self) -> Axes:
        """Of the name."""
        return tuple(self.name.split("."))

    @property
    def dims(self) -> tuple[Axes, ...]:
        """The items of its pattern."""
        return parse(self.axes)


@dataclass(frozen=True, slots=True)
class Form:
    """One way in which a framework keeps a kind.

    Attributes:
        slots: In the framework's order.
        name: Empty for the usual way, else what a user calls it.
        declared: Whether it is only considered when something says so.
        refine: Neutral axis -> finer axes that the slots have in its place.
        when: Facts that must be so for it to be chosen unasked.
        zero: Parameters for which it has no slot and which are nothing but zero in it.
        fold: Names of slots with u and v of a spectral norm that is folded into `weight`, and the axis of its rows.
        classes: Classes that are kept so, exactly.
    """

    slots: tuple[Slot, ...]
    name: str = ""
    declared: bool = False
    refine: Mapping[str, Axes] = field(default_factory=dict)
    when: Mapping[str, object] = field(default_factory=dict)
    zero: Axes = ()
    fold: tuple[str, str, int] | None = None
    classes: Axes = ()

    @property
    def whole(self) -> bool:
        """Whether its tensors stand below the module, in submodules that could be modules by themselves."""
        return any("." in slot.name for slot in self.slots)

    def holding(self, parameter: str) -> Slot | None:
        """The first slot of a parameter."""
        return next((slot for slot in self.slots if parameter in slot.holds), None)


@dataclass(frozen=True)
class Convention:
    """One framework's table.

    Attributes:
        name: As it stands in a file's index.
        separator: What its users write between the segments of a path.
        forms: Kind -> the forms it is kept in; as a target, the first that fits is taken.
        namespace: Classes whose name begins so are the framework's own: without a kind, they have no rule.
        collections: Roots of a tree that are no part of a module's path.
        home: The collection of parameters that belong to no kind.
        unsupported: Leaf names that show a layer without a rule, and what it is.
        refused: Recorded attributes that, where they are true, make of a layer one without a rule, and what they do.
        facts: Recorded attribute -> the fact or size it is.
        integers: Whether numbers among the segments are integers.
        kinds: The neutral kinds that its forms are of.
        follows: Whose way of naming lists, Sequentials and cells it has: `torch`, `linen` or `nnx`.
    """

    name: str
    separator: str
    forms: Mapping[str, tuple[Form, ...]]
    namespace: str
    unsupported: Mapping[str, str] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)
    collections: Axes = ()
    home: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)
    integers: bool = False
    kinds: Mapping[str, Kind] = field(default_factory=lambda: KINDS)
    follows: str = "linen"

    @functools.cached_property
    def names(self) -> frozenset[tuple[str, str]]:
        """(collection, name) of every slot of one segment."""
        return frozenset(
            (slot.collection, slot.name)
            for forms in self.forms.values()
            for form in forms
            for slot in form.slots
            if "." not in slot.name
        )

    @functools.cached_property
    def cell_names(self) -> frozenset[str]:
        """Names of tensors of a recurrent cell, also of one without a rule."""
        held = (form for kind in RECURRENT for form in self.forms.get(kind, ()))
        return frozenset(slot.name for form in held for slot in form.slots) | self.unsupported.keys()

    @functools.cached_property
    def fitting(self) -> dict[Any, Any]:
        """What was found of modules so far, by their names and shapes."""
        return {}

    @functools.cached_property
    def leaf_names(self) -> frozenset[str]:
        """The last segment of every slot's name."""
        return frozenset(slot.segments[-1] for forms in self.forms.values() for form in forms for slot in form.slots)


def slot(name: str, holds: str, axes: str, **facts: object) -> Slot:
    """A slot from text: `holds` has parameters separated by spaces, a `+` before each that is an addend."""
    words = holds.split()
    addends = frozenset(word[1:] for word in words if word.startswith("+"))
    return Slot(name, tuple(word.removeprefix("+") for word in words), axes, addends=addends, **facts)  # type: ignore[arg-type]
