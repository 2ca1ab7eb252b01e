"""What a file records of layers by their class: neutral kind, attributes and axes, in linen and in nnx."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from flax import linen as nn
from flax import nnx

_SPATIAL = ("z", "y", "x")

Axes = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Kind:
    """What a file records of a layer.

    Attributes:
        name: Its neutral kind; None where it is nothing that has a kind.
        attrs: Attributes of the module that shapes do not tell.
        axes: Name of a leaf, with dots where it is a submodule's, -> what its axes mean; `(a b)` is a of b's.
    """

    name: str | None
    attrs: Axes
    axes: Mapping[str, Axes]


Of = Callable[[Any], Kind]  # a layer's kind


def recorded(axes: Axes) -> Axes | None:
    """What the column of axes holds: names, where each axis is one."""
    return None if not axes or any(name.startswith("(") for name in axes) else axes


def _by(name: str, attrs: Axes, axes: Callable[[Any], Mapping[str, Axes]]) -> Of:
    """A kind whose axes depend on the layer; without axes it is none."""

    def of(layer: Any) -> Kind:
        found = axes(layer)
        return Kind(name if found else None, attrs, found)

    return of


def _spatial(conv: Any) -> Axes | None:
    """The names of a convolution's spatial axes; None where there are more than three."""
    size = conv.kernel_size
    count = 1 if isinstance(size, int) else len(size)
    return _SPATIAL[-count:] if 0 < count <= len(_SPATIAL) else None


def _conv_axes(conv: nn.Conv | nnx.Conv) -> dict[str, Axes]:
    spatial = _spatial(conv)
    return {"kernel": (*spatial, "in", "out"), "bias": ("out",)} if spatial else {}


def _conv_transpose_axes(conv: nn.ConvTranspose | nnx.ConvTranspose) -> dict[str, Axes]:
    spatial = _spatial(conv)
    channels = ("(groups out)", "(groups in)") if conv.transpose_kernel else ("(groups in)", "(groups out)")
    return {"kernel": (*spatial, *channels), "bias": ("(groups out)",)} if spatial else {}


def _dense_axes(dense: nn.Dense | nnx.Linear) -> dict[str, Axes]:
    return {"kernel": ("in", "out"), "bias": ("out",)}


def _general_axes(dense: Any) -> dict[str, Axes]:
    """Those of a layer over the last axis or the last two, which makes one axis or two; none of any other."""
    features = dense.out_features if isinstance(dense, nnx.LinearGeneral) else dense.features
    made = 1 if isinstance(features, int) else len(features)
    seen = (dense.axis,) if isinstance(dense.axis, int) else tuple(sorted(dense.axis))
    batched = dense.batch_axis if isinstance(dense, nnx.LinearGeneral) else dense.batch_dims
    if seen not in ((-1,), (-2, -1)) or batched or not 2 <= made + len(seen) <= 3:
        return {}
    out = ("out",) if made == 1 else ("out1", "out2")
    return {"kernel": (*(("in",) if len(seen) == 1 else ("in1", "in2")), *out), "bias": out}


def _embed_axes(embed: nn.Embed | nnx.Embed) -> dict[str, Axes]:
    return {"embedding": ("num", "features")}


def _norm_axes(*names: str) -> Callable[[Any], dict[str, Axes]]:
    def axes(norm: Any) -> dict[str, Axes]:
        axis: Any = getattr(norm, "feature_axes", getattr(norm, "axis", -1))
        # Of several axes, which are channels and which are places the class does not tell.
        return dict.fromkeys(names, ("features",)) if isinstance(axis, int) or len(axis) == 1 else {}

    return axes


def _attention_axes(attention: Any) -> dict[str, Axes]:
    if attention.normalize_qk:  # no kind has the norms' parameters
        return {}
    inputs = {"query": ("in", "heads"), "key": ("key_in", "kv_heads"), "value": ("value_in", "kv_heads")}
    axes: dict[str, Axes] = {}
    for name, (width, heads) in inputs.items():
        axes |= {f"{name}.kernel": (width, heads, "dim"), f"{name}.bias": (heads, "dim")}
    return {**axes, "out.kernel": ("heads", "dim", "out"), "out.bias": ("out",)}


def _cell(name: str, gates: Mapping[str, str], attrs: Axes = (), hidden: str = "hidden") -> Of:
    """A recurrent cell: the name of each layer in it -> what it is over, and `bias` if it has one."""
    axes: dict[str, Axes] = {}
    for gate, words in gates.items():
        inputs, *bias = words.split()
        axes[f"{gate}.kernel"] = (inputs, hidden)
        if bias:
            axes[f"{gate}.bias"] = (hidden,)
    return lambda _: Kind(name, attrs, axes)


def _prelu(layer: Any) -> Kind:
    slope = layer.negative_slope if isinstance(layer, nnx.PReLU) else None
    if slope is not None and len(slope.shape) == 1:  # in nnx it has the shape of the value it starts from
        return Kind("prelu_channels", (), {"negative_slope": ("channels",)})
    return Kind("prelu", (), {"negative_slope": ()})


_LSTM = {**{f"i{gate}": "in" for gate in "ifgo"}, **{f"h{gate}": "inner bias" for gate in "ifgo"}}
_GRU = {"ir": "in bias", "iz": "in bias", "in": "in bias", "hr": "inner", "hz": "inner", "hn": "inner bias"}
_CONV: Axes = ("kernel_size", "strides", "padding", "input_dilation", "kernel_dilation", "feature_group_count")
_CONV_TRANSPOSE: Axes = ("kernel_size", "strides", "padding", "kernel_dilation", "transpose_kernel")
_NORM: Axes = ("epsilon", "reduction_axes", "feature_axes", "use_fast_variance")
_STATISTICS: Axes = ("scale", "bias", "mean", "var")
_attention = _by(
    "attention",
    (
        *("num_heads", "in_features", "qkv_features", "out_features", "in_kv_features", "num_kv_heads"),
        *("use_bias", "normalize_qk"),
    ),
    _attention_axes,
)

# By exact class: a subclass may change the layout or the meaning.
LINEN_KINDS: dict[type[nn.Module], Of] = {
    nn.Dense: _by("linear", (), _dense_axes),
    nn.DenseGeneral: _by("linear", ("features", "axis"), _general_axes),
    nn.Embed: _by("embedding", (), _embed_axes),
    nn.Conv: _by("conv", _CONV, _conv_axes),
    nn.ConvTranspose: _by("conv_transpose", _CONV_TRANSPOSE, _conv_transpose_axes),
    nn.LayerNorm: _by("layer_norm", _NORM, _norm_axes("scale", "bias")),
    nn.RMSNorm: _by("rms_norm", _NORM, _norm_axes("scale")),
    nn.GroupNorm: _by(
        "group_norm", ("num_groups", "group_size", "epsilon", "use_fast_variance"), _norm_axes("scale", "bias")
    ),
    nn.InstanceNorm: _by("instance_norm", ("epsilon", "feature_axes", "use_fast_variance"), _norm_axes(*_STATISTICS)),
    nn.BatchNorm: _by("batch_norm", ("epsilon", "momentum", "axis", "use_fast_variance"), _norm_axes(*_STATISTICS)),
    nn.PReLU: _prelu,
    nn.MultiHeadDotProductAttention: _attention,
    nn.MultiHeadAttention: _attention,
    nn.SelfAttention: _attention,
    nn.LSTMCell: _cell("lstm", _LSTM),
    nn.OptimizedLSTMCell: _cell("lstm", _LSTM),
    nn.GRUCell: _cell("gru", _GRU),
    nn.SimpleCell: _cell("rnn", {"i": "in bias", "h": "inner"}, ("residual",)),
}


def normed(kind: Kind, layer: nn.Module | nnx.Pytree, norm: nn.WeightNorm | nnx.WeightNorm) -> Kind:
    """The kind of a layer whose kernel a WeightNorm makes, with the axes of the magnitude as `magnitude`.

    It is none where the norm is over other axes than the kind's, or has no scale.
    """
    nothing = replace(kind, name=None, axes={})
    if type(layer) not in _NORMED or "kernel" not in kind.axes or not norm.use_scale:
        return nothing
    if getattr(layer, "transpose_kernel", False):
        return nothing
    kernel = kind.axes["kernel"]
    axis = len(kernel) - (2 if kind.name == "conv_transpose" else 1)
    given = norm.feature_axes
    features = (given,) if isinstance(given, int) else tuple(given or ())
    if [one % len(kernel) for one in features] != [axis]:
        return nothing
    return replace(kind, name=f"weight_norm_{kind.name}", axes={**kind.axes, "magnitude": (kernel[axis],)})


_NORMED = (nn.Dense, nn.Conv, nn.ConvTranspose, nnx.Linear, nnx.Conv, nnx.ConvTranspose)


def _weight_norm(norm: nnx.WeightNorm) -> Kind:
    """A WeightNorm of nnx, which holds its layer."""
    layer: Any = norm.layer_instance
    of = NNX_KINDS.get(type(layer))
    kind = normed(of(layer), layer, norm) if of else Kind(None, (), {})
    if kind.name is None or set(norm.scales or ()) != {("kernel",)}:
        return Kind(None, (), {})
    axes = {f"layer_instance.{name}": axes for name, axes in kind.axes.items() if name != "magnitude"}
    return replace(kind, attrs=("epsilon",), axes={**axes, "scales.kernel": kind.axes["magnitude"]})


def _lora(layer: nnx.LoRALinear) -> Kind:
    axes = {**_dense_axes(layer), "lora.lora_a": ("in", "rank"), "lora.lora_b": ("rank", "out")}
    return Kind("lora_linear", (), axes)


# Most have the attributes and axes of their namesakes in linen.
NNX_KINDS: dict[type[nnx.Pytree], Of] = {
    nnx.Linear: LINEN_KINDS[nn.Dense],
    nnx.LinearGeneral: _by("linear", ("in_features", "out_features", "axis"), _general_axes),
    nnx.Embed: LINEN_KINDS[nn.Embed],
    nnx.Conv: LINEN_KINDS[nn.Conv],
    nnx.ConvTranspose: LINEN_KINDS[nn.ConvTranspose],
    nnx.LayerNorm: LINEN_KINDS[nn.LayerNorm],
    nnx.RMSNorm: LINEN_KINDS[nn.RMSNorm],
    nnx.GroupNorm: LINEN_KINDS[nn.GroupNorm],
    nnx.InstanceNorm: LINEN_KINDS[nn.InstanceNorm],
    nnx.BatchNorm: LINEN_KINDS[nn.BatchNorm],
    nnx.PReLU: _prelu,
    nnx.MultiHeadAttention: _attention,
    nnx.LSTMCell: _cell("lstm", {"if_" if gate == "if" else gate: words for gate, words in _LSTM.items()}),
    nnx.OptimizedLSTMCell: _cell("lstm", {"dense_i": "in", "dense_h": "inner bias"}, hidden="(gates hidden)"),
    nnx.GRUCell: _cell("gru", {"dense_i": "in bias", "dense_h": "inner"}, hidden="(gates hidden)"),
    nnx.SimpleCell: _cell("rnn", {"dense_i": "in bias", "dense_h": "inner"}, ("residual",)),
    nnx.WeightNorm: _weight_norm,
    nnx.LoRALinear: _lora,
}
