"""What a file records of a torch module by its class: neutral kind, attributes and axes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import nn
from torch.nn.utils import parametrizations, parametrize
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

Axes = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Kind:
    """What a file records of a torch class.

    Attributes:
        name: Its neutral kind; None where a module of the class is nothing that has a kind.
        attrs: Attributes of the module that shapes do not tell.
        axes: Name of a parameter or buffer, with dots where it is a submodule's, -> what its axes mean, or None where
            one of them is more than one axis, or as many as there are layers of it.
    """

    name: str | None
    attrs: Axes
    axes: Mapping[str, Axes | None]


def _conv(*spatial: str) -> Kind:
    axes = {"weight": ("out", "in", *spatial), "bias": ("out",)}
    return Kind("conv", ("stride", "padding", "dilation", "groups", "padding_mode"), axes)


def _cells(name: str, **axes: Axes | None) -> Kind:
    """A recurrent layer, whose tensors' names here lack what the layer's number and direction add, or a cell."""
    attrs = ("input_size", "hidden_size", "num_layers", "bidirectional", "batch_first", "nonlinearity", "proj_size")
    return Kind(name, attrs, axes)


_SCALE: Mapping[str, Axes | None] = {"weight": ("features",), "bias": ("features",)}
_STATISTICS: Mapping[str, Axes | None] = {
    "running_mean": ("features",),
    "running_var": ("features",),
    "num_batches_tracked": None,
}
_BATCH_NORM = Kind("batch_norm", ("eps", "momentum"), {**_SCALE, **_STATISTICS})
_INSTANCE_NORM = Kind("instance_norm", ("eps", "momentum", "affine", "track_running_stats"), {**_SCALE, **_STATISTICS})
_CONV_TRANSPOSE = Kind(  # the groups are in its axes
    "conv_transpose",
    ("stride", "padding", "output_padding", "dilation", "groups"),
    {"weight": None, "bias": None},
)
_ATTENTION = Kind(
    "attention",
    ("num_heads", "embed_dim", "kdim", "vdim", "batch_first", "add_zero_attn"),
    {
        **dict.fromkeys(("in_proj_weight", "in_proj_bias", "q_proj_weight", "k_proj_weight", "v_proj_weight")),
        **dict.fromkeys(("bias_k", "bias_v", "out_proj.weight")),
        "out_proj.bias": ("out",),
    },
)
_GATES: dict[str, Axes | None] = dict.fromkeys(("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
_LSTM, _GRU = _cells("lstm", **_GATES), _cells("gru", **_GATES)
_RNN = _cells(
    "rnn", weight_ih=("hidden", "in"), weight_hh=("hidden", "inner"), bias_ih=("hidden",), bias_hh=("hidden",)
)
_CELL = re.compile(r"_l\d+(_reverse)?$")

# By exact class: a subclass may change the layout, or the meaning.
KINDS: dict[type[nn.Module], Kind] = {
    nn.Linear: Kind("linear", (), {"weight": ("out", "in"), "bias": ("out",)}),
    nn.Embedding: Kind("embedding", ("padding_idx", "max_norm"), {"weight": ("num", "features")}),
    nn.Conv1d: _conv("x"),
    nn.Conv2d: _conv("y", "x"),
    nn.Conv3d: _conv("z", "y", "x"),
    nn.ConvTranspose1d: _CONV_TRANSPOSE,
    nn.ConvTranspose2d: _CONV_TRANSPOSE,
    nn.ConvTranspose3d: _CONV_TRANSPOSE,
    nn.LayerNorm: Kind("layer_norm", ("normalized_shape", "eps"), _SCALE),
    nn.RMSNorm: Kind("rms_norm", ("normalized_shape", "eps"), {"weight": ("features",)}),
    nn.GroupNorm: Kind("group_norm", ("num_groups", "eps"), _SCALE),
    nn.InstanceNorm1d: _INSTANCE_NORM,
    nn.InstanceNorm2d: _INSTANCE_NORM,
    nn.InstanceNorm3d: _INSTANCE_NORM,
    nn.BatchNorm1d: _BATCH_NORM,
    nn.BatchNorm2d: _BATCH_NORM,
    nn.BatchNorm3d: _BATCH_NORM,
    nn.SyncBatchNorm: _BATCH_NORM,
    nn.PReLU: Kind("prelu", (), {"weight": None}),
    nn.GELU: Kind(None, ("approximate",), {}),
    nn.MultiheadAttention: _ATTENTION,
    nn.LSTM: _LSTM,
    nn.LSTMCell: _LSTM,
    nn.GRU: _GRU,
    nn.GRUCell: _GRU,
    nn.RNN: _RNN,
    nn.RNNCell: _RNN,
}
# What a norm of the weight can be over, and the axis of the weight whose rows a spectral norm is of.
_NORMED = {"linear": 0, "conv": 0, "conv_transpose": 1}


def kind_of(module: nn.Module) -> Kind | None:
    """The kind of a module, by exact class and only where its tensors have the names and ranks of the kind."""
    kind = KINDS.get(parametrize.type_before_parametrizations(module))
    if kind is None:
        return None
    kind = _of_instance(kind, module)
    if kind.name in _NORMED:
        kind = _normed(kind, module)
    elif parametrize.is_parametrized(module):
        kind = None
    held = [name for name, tensor in [*module._parameters.items(), *module._buffers.items()] if tensor is not None]
    return kind if kind and all(name in kind.axes for name in held) else None


def _of_instance(kind: Kind, module: nn.Module) -> Kind:
    """The kind with what depends on more than the class."""
    if isinstance(module, nn.PReLU) and module.num_parameters != 1:
        return replace(kind, name="prelu_channels", axes={"weight": ("channels",)})
    if isinstance(module, (nn.LayerNorm, nn.RMSNorm)) and len(module.normalized_shape) != 1:
        # Whether these are channels and their places, or all alike, the class does not tell.
        return replace(kind, name=None, axes=dict.fromkeys(kind.axes))
    if isinstance(module, nn.RNNBase):
        stems = {name: _CELL.sub("", name) for name in module._parameters}
        axes = {name: kind.axes[stem] for name, stem in stems.items() if stem in kind.axes}
        if module.proj_size:  # no kind has the projection's weight
            return replace(kind, name=None, axes=dict.fromkeys(stems))
        return replace(kind, axes=axes)
    return kind


def _normed(kind: Kind, module: nn.Module) -> Kind | None:
    """The kind of a layer whose weight a norm makes: a kind of its own for a weight norm, its own for a spectral norm.

    None where anything else makes a tensor of it, or the norm is over other axes than the kind's.
    """
    new, old = _parametrization(module), _hook(module)
    if new is None and old is None:
        return kind if not parametrize.is_parametrized(module) else None
    weight = kind.axes["weight"]
    rest = {name: axes for name, axes in kind.axes.items() if name != "weight"}
    name, axes = kind.name, {}
    if isinstance(new, parametrizations._WeightNorm) and new.dim == 0:
        name = f"weight_norm_{kind.name}"
        axes = {"parametrizations.weight.original0": None, "parametrizations.weight.original1": weight}
    elif isinstance(old, WeightNorm) and old.dim == 0:
        name = f"weight_norm_{kind.name}"
        axes = {"weight_g": None, "weight_v": weight}
    elif isinstance(new, parametrizations._SpectralNorm) and new.dim == _NORMED[str(kind.name)]:
        at = "parametrizations.weight"
        axes = {f"{at}.original": weight, f"{at}.0._u": ("u",), f"{at}.0._v": ("v",)}
    elif isinstance(old, SpectralNorm) and old.dim == _NORMED[str(kind.name)]:
        axes = {"weight_orig": weight, "weight_u": ("u",), "weight_v": ("v",)}
    else:
        return None
    return replace(kind, name=name, axes={**axes, **rest})


def _parametrization(module: nn.Module) -> Any:
    """The one thing that makes the weight, if nothing else of the module is made."""
    if not parametrize.is_parametrized(module):
        return None
    made: Any = module.parametrizations
    one = len(made) == 1 and "weight" in made and len(made.weight) == 1
    known = (parametrizations._WeightNorm, parametrizations._SpectralNorm)
    return made.weight[0] if one and type(made.weight[0]) in known else None


def _hook(module: nn.Module) -> Any:
    """The one hook of the old kind that makes the weight."""
    known = (WeightNorm, SpectralNorm)
    found: list[Any] = [hook for hook in module._forward_pre_hooks.values() if type(hook) in known]
    return found[0] if len(found) == 1 and found[0].name == "weight" else None
