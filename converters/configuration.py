"""What a conversion cannot carry because it is no weight: eps, padding, heads, in the words of the target's framework.

Only what the source records is said to be so; of what it does not record, the defaults that differ are told. Where a
template records the same, what agrees is not repeated and what contradicts is told apart.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ptformat.tree import Node

from .conventions import Convention
from .infer import Decision
from .plan import Plan
from .survey import Module, Survey

_NORMS = ("layer_norm", "layer_norm_spatial", "layer_norm_axes", "rms_norm", "group_norm", "instance_norm")
_CONVS = ("conv", "conv_transpose")
_FAST = ("layer_norm", "layer_norm_spatial", "layer_norm_axes", "group_norm", "instance_norm")
_TORCH_NONE_EPS = 2.0**-23  # what torch's RMSNorm takes for None in float32
_EPS = {"torch": 1e-5, "flax": 1e-6}
_MOMENTUM = {"torch": 0.1, "flax": 0.99}

# Neutral fact -> (what torch calls it, what Flax does, its value where both leave it out; None where that matters).
_WORDS: dict[str, tuple[str, str, Any]] = {
    "eps": ("eps", "epsilon", None),
    "momentum": ("momentum", "momentum", None),
    "num_groups": ("num_groups", "num_groups", None),
    "num_heads": ("num_heads", "num_heads", None),
    "stride": ("stride", "strides", 1),
    "padding": ("padding", "padding", None),
    "dilation": ("dilation", "kernel_dilation", 1),
    "groups": ("groups", "feature_group_count", 1),
    "transpose_kernel": ("", "transpose_kernel", False),
    "activation": ("nonlinearity", "activation_fn", "tanh"),
}


@dataclass(slots=True)
class _Found:
    """Lines in the making: what is to be said -> the modules of which it is."""

    set: dict[str, list[str]] = field(default_factory=dict)
    differs: dict[str, list[str]] = field(default_factory=dict)
    unknown: dict[str, list[str]] = field(default_factory=dict)


def configure(
    plan: Plan,
    decided: Iterable[tuple[Module, Decision, Module | None]],
    tree: Survey,
    source: Convention,
    goal: Convention,
) -> None:
    """Note in a plan what its target must be built with.

    Args:
        plan: Gets the lines.
        decided: Every module of the source, what it is, and its place in the template.
        tree: The source, whose nodes tell of layers without tensors too.
        source: Its table.
        goal: The target's table.
    """
    found = _Found()
    for module, decision, place in decided:
        if decision.choice is not None:
            name = source.separator.join(module.path) or "the model"
            _module(found, name, module, decision, place, (_framework(source), _framework(goal)))
    if _framework(goal) == "flax":
        for path, node in tree.nodes.items():
            _gelu(found, source.separator.join(path), node)
    plan.configuration = [f"{what} {_among(names)}" for what, names in found.set.items()]
    plan.configuration += [*found.unknown]
    plan.differs = [f"{what} {_among(names)}" for what, names in found.differs.items()]


def _framework(convention: Convention) -> str:
    return "torch" if convention.name == "torch" else "flax"


def _module(
    found: _Found, name: str, module: Module, decision: Decision, place: Module | None, sides: tuple[str, str]
) -> None:
    choice = decision.choice
    assert choice is not None
    kind = choice.kind.removeprefix("weight_norm_")
    sizes = _spatial(decision, sides[0])
    mine = _facts(module.node, sides[0], kind, sizes)
    if kind == "conv_transpose" and sides[1] == "flax":
        mine["transpose_kernel"] = choice.form.name == "transpose_kernel"
        mine.pop("groups", None)  # they are in the kernel
    if kind != choice.kind and (sides[1] == "torch" or mine.get("eps") == _usual_eps(choice.kind, "flax")):
        mine.pop("eps", None)  # that of a weight norm, which torch does without
    theirs = _facts(place.node, sides[1], kind, sizes) if place is not None else {}
    column = 0 if sides[1] == "torch" else 1
    said: list[str] = []
    for fact, value in mine.items():
        word = _WORDS[fact][column]
        if not word or value is None:
            continue
        if fact in theirs:
            if not _same(value, theirs[fact]):
                values = (_shown(fact, each, sides[1]) for each in (theirs[fact], value))
                text = "{} is {} in the template, {} in the source: {}".format(word, *values, kind)
                found.differs.setdefault(text, []).append(name)
            continue
        if not _usual(fact, value, sizes):
            padded = fact == "padding" and kind == "conv_transpose" and sides[1] == "torch"
            told = _untransposed(value, mine, sizes) if padded else f"{word}={_shown(fact, value, sides[1])}"
            said.append(told)
    defaults = _defaults(choice.kind, mine, theirs, sides[1])
    if sides == ("torch", "flax"):
        if kind in _FAST and mine and _attrs(place).get("use_fast_variance") is not False:
            said.append("use_fast_variance=False")  # the fast one loses what is far from 0
            defaults.append("use_fast_variance=True")
        _of_torch(found, name, kind, _attrs(module))
    if said:
        default = f" (by default {', '.join(defaults)})" if defaults else ""
        found.set.setdefault(f"{', '.join(said)}{default} for {kind}", []).append(name)
    _unknown(found, decision, kind, mine, theirs, sides)


def _usual(fact: str, value: Any, sizes: Sequence[int]) -> bool:
    """Whether both frameworks have it so unless told."""
    if fact == "padding":  # of a kernel of one place all are the same
        return all(size == 1 for size in sizes) and value == [(0, 0)] * len(sizes)
    usual = _WORDS[fact][2]
    return usual is not None and (value == usual or (isinstance(value, tuple) and set(value) == {usual}))


def _defaults(kind: str, mine: Mapping[str, Any], theirs: Mapping[str, Any], goal: str) -> list[str]:
    """What the target's framework takes where nothing is said, if it is something else."""
    told = []
    usual = _usual_eps(kind, goal)
    if mine.get("eps") is not None and "eps" not in theirs and mine["eps"] != usual:
        told.append(f"{_WORDS['eps'][0 if goal == 'torch' else 1]}={usual:g}")
    if mine.get("momentum") is not None and "momentum" not in theirs:
        other = _MOMENTUM[goal]
        if not _same(mine["momentum"], other if goal == "torch" else 1 - other):
            told.append(f"momentum={other:g}")
    return told


def _usual_eps(kind: str, framework: str) -> float:
    if kind == "rms_norm" and framework == "torch":
        return _TORCH_NONE_EPS
    if kind.startswith("weight_norm_"):
        return 1e-12
    return 1e-5 if kind == "batch_norm" else _EPS[framework]


def _unknown(
    found: _Found,
    decision: Decision,
    kind: str,
    mine: Mapping[str, Any],
    theirs: Mapping[str, Any],
    sides: tuple[str, str],
) -> None:
    """One line for each kind of whose modules the source does not record what matters."""
    source, goal = (each.replace("flax", "Flax") for each in sides)
    label = "norms" if len(decision.kinds) > 1 and kind in _NORMS else kind
    text = ""
    if kind in _NORMS and "eps" not in mine:
        other = f"the template has {theirs['eps']:g}" if "eps" in theirs else f"{goal}'s {_usual_eps(kind, sides[1]):g}"
        text = f"eps of {label} is not in the file: {source}'s default is {_usual_eps(kind, sides[0]):g}, {other}"
    elif kind == "batch_norm" and "eps" not in mine:
        usually, there = _MOMENTUM[sides[0]], _MOMENTUM[sides[1]]
        text = (
            f"eps and momentum of batch_norm are not in the file: {source}'s defaults are 1e-05 and {usually:g}, "
            f"{goal}'s 1e-05 and {there:g}; a momentum of {usually:g} there is {1 - usually:g} here"
        )
    elif kind in _CONVS and "padding" not in mine:
        usual = {"torch": "padding=0", "flax": "padding='SAME'"}
        other = "the template has its own" if "padding" in theirs else f"{goal}'s {usual[sides[1]]}"
        if sides[0] != sides[1]:
            text = (
                f"strides and padding of {kind} are not in the file: {source}'s default is {usual[sides[0]]}, {other}"
            )
    if text and (sides[0] != sides[1] or theirs):
        found.unknown.setdefault(text, [])


def _of_torch(found: _Found, name: str, kind: str, attrs: Mapping[str, Any]) -> None:
    """What only torch has, or Flax does otherwise."""
    if kind == "embedding":
        for word in ("padding_idx", "max_norm"):
            if attrs.get(word) is not None:
                text = f"nothing for {word}={attrs[word]}, for which Flax has no place, of embedding"
                found.set.setdefault(text, []).append(name)
    if kind == "instance_norm" and attrs.get("track_running_stats"):
        text = "BatchNorm with use_running_average=True, for running statistics in evaluation, for instance_norm"
        found.set.setdefault(text, []).append(name)


def _attrs(module: Module | None) -> Mapping[str, Any]:
    """What is recorded of a module."""
    node = module.node if module is not None else None
    return (node.attrs if node is not None else None) or {}


def _gelu(found: _Found, name: str, node: Node) -> None:
    """Torch's GELU is exact unless it says tanh; jax.nn.gelu is tanh unless told."""
    if node.class_ == "torch.nn.modules.activation.GELU" and (node.attrs or {}).get("approximate") == "none":
        found.set.setdefault("approximate=False (by default True) for jax.nn.gelu", []).append(name)


def _spatial(decision: Decision, framework: str) -> tuple[int, ...]:
    """Sizes of a kernel's spatial axes."""
    assert decision.choice is not None
    fit = decision.choice.fit
    if fit.kind.name.removeprefix("weight_norm_") not in _CONVS:
        return ()
    shape = next((leaf.shape for slot, leaf in fit.held.items() if "weight" in slot.holds), ())
    return shape[2:] if framework == "torch" else shape[:-2]


# From what is recorded to neutral facts


def _facts(node: Node | None, framework: str, kind: str, sizes: Sequence[int]) -> dict[str, Any]:
    """Neutral facts of a module, as far as they are recorded; a padding as pairs where it can be told as such."""
    attrs = node.attrs if node is not None else None
    if not attrs:
        return {}
    column = 0 if framework == "torch" else 1
    found = {fact: attrs[words[column]] for fact, words in _WORDS.items() if words[column] and words[column] in attrs}
    if framework == "torch":
        if kind == "rms_norm" and "eps" in found and found["eps"] is None:
            found["eps"] = _TORCH_NONE_EPS
        if kind != "rnn":
            found.pop("activation", None)
    else:
        if isinstance(found.get("momentum"), float):
            found["momentum"] = 1 - found["momentum"]
        found.pop("activation", None)
    if kind in _CONVS:
        rank = len(sizes)
        found |= {name: _each(found.get(name), rank) for name in ("stride", "dilation") if name in attrs or found}
        found["padding"] = _padding(attrs, framework, kind, sizes, found)
    elif "padding" in found:
        del found["padding"]
    return found


def _each(value: Any, rank: int) -> tuple[int, ...]:
    if value is None:
        return (1,) * rank
    return (value,) * rank if isinstance(value, int) else tuple(value)


def _padding(
    attrs: Mapping[str, Any], framework: str, kind: str, sizes: Sequence[int], found: Mapping[str, Any]
) -> list[tuple[int, int]] | str:
    """What is put before and after each spatial axis, in Flax's sense; a word where sizes of inputs matter."""
    padding = attrs.get("padding")
    mode = attrs.get("padding_mode", "zeros")
    if framework == "torch" and mode != "zeros":
        return "CIRCULAR" if mode == "circular" and _is_same(padding, sizes, found) else f"{padding}, mode={mode!r}"
    wide = [dilation * (size - 1) for dilation, size in zip(found["dilation"], sizes, strict=True)]
    if framework == "torch" and kind == "conv_transpose":
        before = _each(0 if padding is None else padding, len(sizes))
        more = _each(attrs.get("output_padding", 0), len(sizes))
        return [(w - p, w - p + extra) for w, p, extra in zip(wide, before, more, strict=True)]
    if isinstance(padding, str):
        return _worded(padding.upper(), kind, wide, found["stride"])
    if padding is None:
        return _worded("SAME", kind, wide, found["stride"]) if framework == "flax" else [(0, 0)] * len(sizes)
    if isinstance(padding, int):
        return [(padding, padding)] * len(sizes)
    return [(one, one) if isinstance(one, int) else (one[0], one[1]) for one in padding]


def _worded(word: str, kind: str, wide: Sequence[int], strides: Sequence[int]) -> list[tuple[int, int]] | str:
    """`VALID`, and `SAME` where it does not depend on the input's size, as pairs."""
    if word not in ("SAME", "VALID"):
        return word
    if kind == "conv_transpose":  # as jax.lax.conv_transpose pads
        return [_transposed(word, size + 1, stride) for size, stride in zip(wide, strides, strict=True)]
    if word == "VALID":
        return [(0, 0)] * len(wide)
    if any(stride != 1 and size for size, stride in zip(wide, strides, strict=True)):
        return word
    return [(size // 2, size - size // 2) for size in wide]


def _transposed(word: str, size: int, stride: int) -> tuple[int, int]:
    if word == "VALID":
        total, before = size + stride - 2 + max(size - stride, 0), size - 1
    else:
        total = size + stride - 2
        before = size - 1 if stride > size - 1 else math.ceil(total / 2)
    return before, total - before


def _is_same(padding: Any, sizes: Sequence[int], found: Mapping[str, Any]) -> bool:
    wide = [dilation * (size - 1) for dilation, size in zip(found["dilation"], sizes, strict=True)]
    return padding == "same" or [2 * one for one in _each(padding, len(sizes))] == wide


# To the target's words


def _same(value: Any, other: Any) -> bool:
    if isinstance(value, float) and isinstance(other, float):
        return math.isclose(value, other, rel_tol=1e-9)
    return bool(value == other)


def _shown(fact: str, value: Any, goal: str) -> str:
    if fact == "momentum":
        return f"{value if goal == 'torch' else 1 - value:g}"
    if fact == "activation":
        return f"jax.nn.{value}" if goal == "flax" else repr(value)
    if isinstance(value, float):
        return f"{value:g}"
    if fact == "padding":
        return _shown_padding(value, goal)
    return repr(value)


def _shown_padding(value: list[tuple[int, int]] | str, goal: str) -> str:
    """Pairs and words as the target's layer takes them; else what it takes to pad before the layer."""
    if isinstance(value, str):
        known = goal == "flax" and value.isalpha()
        if goal == "torch" and value == "CIRCULAR":
            return "'same', padding_mode='circular'"
        pad = "jax.numpy.pad" if goal == "flax" else "torch.nn.functional.pad"
        return repr(value) if known else f"{value} by {pad} before it"
    if goal == "flax":
        return "'VALID'" if value and set(value) == {(0, 0)} else str(value)
    if all(low == high for low, high in value):
        return str(tuple(low for low, _ in value))
    return f"{value} by torch.nn.functional.pad before it"


def _untransposed(value: list[tuple[int, int]] | str, mine: Mapping[str, Any], sizes: Sequence[int]) -> str:
    """What a transposed convolution's padding in Flax's sense is in torch's words, if it has any."""
    if not isinstance(value, str):
        wide = [dilation * (size - 1) for dilation, size in zip(mine["dilation"], sizes, strict=True)]
        cropped = tuple(w - low for w, (low, _) in zip(wide, value, strict=True))
        more = tuple(high - low for low, high in value)
        if min(cropped) >= 0 and min(more) >= 0:
            return f"padding={cropped}" + (f", output_padding={more}" if any(more) else "")
    return f"what padding={value} of Flax gives, for which torch has no word,"


def _among(names: Sequence[str]) -> str:
    more = f"{', '.join(names[:2])} and {len(names) - 2} more" if len(names) > 3 else ", ".join(names)
    return f"in {more}"
