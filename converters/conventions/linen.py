"""How Flax linen names and lays out each kind (`flax.linen`, 0.12)."""

from __future__ import annotations

from typing import Any

from .axes import SPATIAL
from .neutral import Convention, Form, Slot, slot


def _param(name: str, holds: str, axes: str, **facts: Any) -> Slot:
    return slot(name, holds, axes, collection="params", **facts)


def _form(*slots: Slot, classes: str = "", **facts: Any) -> Form:
    return Form(slots, classes=tuple(f"flax.linen.{name}" for name in classes.split()), **facts)


def _norm(axes: str = "features") -> tuple[Slot, Slot]:
    return _param("scale", "scale", axes), _param("bias", "bias", axes)


_STATISTICS = (
    slot("mean", "mean", "features", collection="batch_stats", role="buffer", variable="BatchStat"),
    slot("var", "var", "features", collection="batch_stats", role="buffer", variable="BatchStat"),
)
_BIAS = _param("bias", "bias", "out")
_LINEAR = (_param("kernel", "weight", "in out"), _BIAS)
_CONV = (_param("kernel", "weight", "*spatial in out"), _BIAS)
_CONV_TRANSPOSE = (
    _param("kernel", "weight", "*spatial (groups in) (groups out)", flip=(SPATIAL,)),
    _param("bias", "bias", "(groups out)"),
)
_MAGNITUDE = "kernel/scale"  # the end of the key under which a WeightNorm keeps it, after the layer's name


def _gate(name: str, weight: str, inputs: str, bias: str = "") -> tuple[Slot, ...]:
    kernel = _param(f"{name}.kernel", weight, f"{inputs} hidden")
    return (kernel, _param(f"{name}.bias", bias, "hidden")) if bias else (kernel,)


LINEN = Convention(
    name="flax.linen",
    separator="/",
    namespace="flax.linen.",
    collections=("params", "batch_stats", "buffers"),
    home="params",
    forms={
        "linear": (
            _form(*_LINEAR, classes="linear.Dense"),
            _form(
                _param("kernel", "weight", "in out1 out2"),
                _param("bias", "bias", "out1 out2"),
                name="split_out",
                declared=True,
                refine={"out": ("out1", "out2")},
            ),
            _form(
                _param("kernel", "weight", "in1 in2 out"),
                _BIAS,
                name="split_in",
                declared=True,
                refine={"in": ("in1", "in2")},
            ),
        ),
        "embedding": (_form(_param("embedding", "weight", "num features"), classes="linear.Embed"),),
        "conv": (_form(*_CONV, classes="linear.Conv"),),
        "conv_transpose": (
            _form(*_CONV_TRANSPOSE, when={"transpose_kernel": False}, classes="linear.ConvTranspose"),
            _form(
                _param("kernel", "weight", "*spatial (groups out) (groups in)"),
                _CONV_TRANSPOSE[1],
                name="transpose_kernel",
                when={"transpose_kernel": True},
                classes="linear.ConvTranspose",
            ),
        ),
        "layer_norm": (_form(*_norm(), classes="normalization.LayerNorm"),),
        "rms_norm": (_form(_norm()[0], classes="normalization.RMSNorm"),),
        "group_norm": (_form(*_norm(), classes="normalization.GroupNorm"),),
        "instance_norm": (_form(*_norm(), *_STATISTICS, classes="normalization.InstanceNorm"),),
        "batch_norm": (_form(*_norm(), *_STATISTICS, classes="normalization.BatchNorm"),),
        "layer_norm_spatial": (_form(*_norm("*spatial channels")),),
        "layer_norm_axes": (_form(*_norm("*axes")),),
        "prelu": (_form(_param("negative_slope", "slope", ""), classes="activation.PReLU"),),
        "attention": (
            _form(
                _param("query.kernel", "query.weight", "in heads dim"),
                _param("query.bias", "query.bias", "heads dim"),
                _param("key.kernel", "key.weight", "key_in kv_heads dim"),
                _param("key.bias", "key.bias", "kv_heads dim"),
                _param("value.kernel", "value.weight", "value_in kv_heads dim"),
                _param("value.bias", "value.bias", "kv_heads dim"),
                _param("out.kernel", "out.weight", "heads dim out"),
                _param("out.bias", "out.bias", "out"),
                _param("query_ln.scale", "query_norm", "dim"),
                _param("key_ln.scale", "key_norm", "dim"),
                classes="attention.MultiHeadDotProductAttention attention.MultiHeadAttention attention.SelfAttention",
            ),
        ),
        "lstm": (
            _form(
                *(slot for gate in "ifgo" for slot in _gate(f"i{gate}", f"input.{gate}", "in")),
                *(slot for gate in "ifgo" for slot in _gate(f"h{gate}", f"hidden.{gate}", "inner", f"bias.{gate}")),
                classes="recurrent.LSTMCell recurrent.OptimizedLSTMCell",
            ),
        ),
        "gru": (
            _form(
                *_gate("ir", "input.r", "in", "bias.r"),
                *_gate("iz", "input.z", "in", "bias.z"),
                *_gate("in", "input.n", "in", "bias.in"),
                *_gate("hr", "hidden.r", "inner"),
                *_gate("hz", "hidden.z", "inner"),
                *_gate("hn", "hidden.n", "inner", "bias.hn"),
                classes="recurrent.GRUCell",
            ),
        ),
        "rnn": (
            _form(*_gate("i", "input", "in", "bias"), *_gate("h", "hidden", "inner"), classes="recurrent.SimpleCell"),
        ),
        "flatten_linear": (_form(_param("kernel", "weight", "(*spatial channels) out"), _BIAS, declared=True),),
        "weight_norm_linear": (_form(*_LINEAR, _param(_MAGNITUDE, "magnitude", "out")),),
        "weight_norm_conv": (_form(*_CONV, _param(_MAGNITUDE, "magnitude", "out")),),
        "weight_norm_conv_transpose": (_form(*_CONV_TRANSPOSE, _param(_MAGNITUDE, "magnitude", "(groups in)")),),
        "embedding_bag": (_form(_param("embedding", "weight", "num features"), declared=True),),
        "bilinear": (_form(_param("kernel", "weight", "in1 in2 out"), _BIAS, declared=True),),
    },
    facts={"num_heads": "heads", "transpose_kernel": "transpose_kernel"},
)
