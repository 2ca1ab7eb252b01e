"""What a file records of layers by their class: neutral kind, attributes and axes, in linen and in nnx."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from flax import linen as nn
from flax import nnx

_SPATIAL = ("z", "y", "x")


@dataclass(frozen=True, slots=True)
class Kind:
    """What a file records of a class of layers.

    Attributes:
        name: Its neutral kind.
        attrs: Attributes of the module that shapes do not tell.
        axes: Name of a leaf -> what its axes mean, of this module.
    """

    name: str
    attrs: tuple[str, ...]
    axes: Callable[[Any], Mapping[str, tuple[str, ...]]]


def _conv_axes(conv: nn.Conv | nnx.Conv) -> dict[str, tuple[str, ...]]:
    size = conv.kernel_size
    spatial = 1 if isinstance(size, int) else len(size)
    return {"kernel": (*_SPATIAL[-spatial:], "in", "out"), "bias": ("out",)} if spatial <= len(_SPATIAL) else {}


def _dense_axes(dense: nn.Dense | nnx.Linear) -> dict[str, tuple[str, ...]]:
    return {"kernel": ("in", "out"), "bias": ("out",)}


def _embed_axes(embed: nn.Embed | nnx.Embed) -> dict[str, tuple[str, ...]]:
    return {"embedding": ("num", "features")}


def _norm_axes(norm: Any) -> dict[str, tuple[str, ...]]:
    axis: Any = getattr(norm, "feature_axes", getattr(norm, "axis", -1))
    one = isinstance(axis, int) or len(axis) == 1
    return dict.fromkeys(("scale", "bias", "mean", "var"), ("features",)) if one else {}


# By exact class: a subclass may change the layout or the meaning.
LINEN_KINDS: dict[type[nn.Module], Kind] = {
    nn.Dense: Kind("linear", (), _dense_axes),
    nn.Embed: Kind("embedding", (), _embed_axes),
    nn.Conv: Kind(
        "conv",
        ("kernel_size", "strides", "padding", "input_dilation", "kernel_dilation", "feature_group_count"),
        _conv_axes,
    ),
    nn.LayerNorm: Kind("layer_norm", ("epsilon", "reduction_axes", "feature_axes", "use_fast_variance"), _norm_axes),
    nn.RMSNorm: Kind("rms_norm", ("epsilon", "reduction_axes", "feature_axes", "use_fast_variance"), _norm_axes),
    nn.GroupNorm: Kind("group_norm", ("num_groups", "group_size", "epsilon", "use_fast_variance"), _norm_axes),
    nn.BatchNorm: Kind("batch_norm", ("epsilon", "momentum", "axis", "use_fast_variance"), _norm_axes),
}
# The same kinds with the same attributes and axes: nnx names a Dense Linear, and keeps mean and var with the rest.
NNX_KINDS: dict[type[nnx.Pytree], Kind] = {
    nnx.Linear: LINEN_KINDS[nn.Dense],
    nnx.Embed: LINEN_KINDS[nn.Embed],
    nnx.Conv: LINEN_KINDS[nn.Conv],
    nnx.LayerNorm: LINEN_KINDS[nn.LayerNorm],
    nnx.RMSNorm: LINEN_KINDS[nn.RMSNorm],
    nnx.GroupNorm: LINEN_KINDS[nn.GroupNorm],
    nnx.BatchNorm: LINEN_KINDS[nn.BatchNorm],
}
