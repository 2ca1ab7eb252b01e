"""Neutral kinds, attributes and axes that are recorded of each layer of linen and nnx."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checks import entries
from flax import linen as nn
from flax import nnx

import ptformat
from ptformat.flax import load_model, save_model
from ptformat.flax.kinds import LINEN_KINDS, NNX_KINDS

Axes = dict[str, tuple[str, ...] | None]
Case = tuple[Any, tuple[int, ...], str | None, dict[str, Any] | None, Axes]

LINEAR: Axes = {"kernel": ("in", "out"), "bias": ("out",)}
NORM: Axes = {"scale": ("features",), "bias": ("features",)}
STATISTICS: Axes = {"mean": ("features",), "var": ("features",)}
ATTENTION: Axes = {
    "query.kernel": ("in", "heads", "dim"),
    "query.bias": ("heads", "dim"),
    "key.kernel": ("key_in", "kv_heads", "dim"),
    "key.bias": ("kv_heads", "dim"),
    "value.kernel": ("value_in", "kv_heads", "dim"),
    "value.bias": ("kv_heads", "dim"),
    "out.kernel": ("heads", "dim", "out"),
    "out.bias": ("out",),
}
LSTM: Axes = {
    **{f"i{gate}.kernel": ("in", "hidden") for gate in "ifgo"},
    **{f"h{gate}.kernel": ("inner", "hidden") for gate in "ifgo"},
    **{f"h{gate}.bias": ("hidden",) for gate in "ifgo"},
}
GRU: Axes = {
    **{f"i{gate}.kernel": ("in", "hidden") for gate in "rzn"},
    **{f"i{gate}.bias": ("hidden",) for gate in "rzn"},
    **{f"h{gate}.kernel": ("inner", "hidden") for gate in "rzn"},
    "hn.bias": ("hidden",),
}
CONV = {"strides": 1, "padding": "SAME", "input_dilation": 1, "kernel_dilation": 1, "feature_group_count": 1}
UP = {"strides": None, "padding": "SAME", "kernel_dilation": None, "transpose_kernel": False}
EPS = {"epsilon": 1e-6, "use_fast_variance": True}
AXES = {"reduction_axes": -1, "feature_axes": -1}
HEADS = {"num_heads": 2, "qkv_features": None, "out_features": None, "use_bias": True, "normalize_qk": False}
QKV = (2, 3, 4)  # the shape of an input of batch, places and features

LINEN: dict[str, Case] = {
    "dense": (nn.Dense(3), (2, 4), "linear", None, LINEAR),
    "general": (nn.DenseGeneral(3), QKV, "linear", {"features": 3, "axis": -1}, LINEAR),
    "split_out": (
        nn.DenseGeneral((2, 5)),
        QKV,
        "linear",
        {"features": [2, 5], "axis": -1},
        {"kernel": ("in", "out1", "out2"), "bias": ("out1", "out2")},
    ),
    "split_in": (
        nn.DenseGeneral((5,), axis=(-1, -2)),
        QKV,
        "linear",
        {"features": [5], "axis": [-1, -2]},
        {"kernel": ("in1", "in2", "out"), "bias": ("out",)},
    ),
    "split_both": (
        nn.DenseGeneral((2, 5), axis=(-2, -1)),
        QKV,
        None,
        {"features": [2, 5], "axis": [-2, -1]},
        dict.fromkeys(LINEAR),
    ),
    "split_in_three": (
        nn.DenseGeneral((2, 5, 1)),
        QKV,
        None,
        {"features": [2, 5, 1], "axis": -1},
        dict.fromkeys(LINEAR),
    ),
    "another_axis": (nn.DenseGeneral(3, axis=1), QKV, None, {"features": 3, "axis": 1}, dict.fromkeys(LINEAR)),
    "batched": (
        nn.DenseGeneral((3,), batch_dims=(0,)),
        QKV,
        None,
        {"features": [3], "axis": -1},
        dict.fromkeys(LINEAR),
    ),
    "conv": (
        nn.Conv(3, (2, 3)),
        (1, 4, 5, 2),
        "conv",
        {"kernel_size": [2, 3], **CONV},
        {
            "kernel": ("y", "x", "in", "out"),
            "bias": ("out",),
        },
    ),
    "conv_of_four_axes": (
        nn.Conv(3, (1, 1, 1, 2)),
        (1, 2, 2, 2, 2, 2),
        None,
        {"kernel_size": [1, 1, 1, 2], **CONV},
        {"kernel": None, "bias": None},
    ),
    "conv_transpose": (
        nn.ConvTranspose(3, (2, 3), strides=(2, 1)),
        (1, 4, 5, 2),
        "conv_transpose",
        {**UP, "kernel_size": [2, 3], "strides": [2, 1]},
        {"kernel": None, "bias": None},
    ),
    "conv_transpose_of_torch": (
        nn.ConvTranspose(3, 2, padding="VALID", transpose_kernel=True, use_bias=False),
        (1, 4, 2),
        "conv_transpose",
        {**UP, "kernel_size": 2, "padding": "VALID", "transpose_kernel": True},
        {"kernel": None},
    ),
    "layer_norm": (nn.LayerNorm(), QKV, "layer_norm", {**EPS, **AXES}, NORM),
    "layer_norm_of_two_axes": (
        nn.LayerNorm(reduction_axes=(-2, -1), feature_axes=(-2, -1)),
        QKV,
        None,
        {**EPS, "reduction_axes": [-2, -1], "feature_axes": [-2, -1]},
        dict.fromkeys(NORM),
    ),
    "rms_norm": (nn.RMSNorm(), QKV, "rms_norm", {**EPS, **AXES}, {"scale": ("features",)}),
    "group_norm": (
        nn.GroupNorm(2),
        QKV,
        "group_norm",
        {**EPS, "num_groups": 2, "group_size": None},
        NORM,
    ),
    "instance_norm": (
        nn.InstanceNorm(epsilon=0.5),
        QKV,
        "instance_norm",
        {"epsilon": 0.5, "feature_axes": -1, "use_fast_variance": True},
        NORM,
    ),
    "batch_norm": (
        nn.BatchNorm(use_running_average=True, axis=(-1,), momentum=0.5),
        QKV,
        "batch_norm",
        {"epsilon": 1e-5, "momentum": 0.5, "axis": [-1], "use_fast_variance": True},
        {**NORM, **STATISTICS},
    ),
    "embed": (nn.Embed(7, 4), (), "embedding", None, {"embedding": ("num", "features")}),
    "prelu": (nn.PReLU(), QKV, "prelu", None, {"negative_slope": None}),
    "attention": (
        nn.MultiHeadDotProductAttention(2, qkv_features=6, out_features=5),
        QKV,
        "attention",
        {**HEADS, "qkv_features": 6, "out_features": 5},
        ATTENTION,
    ),
    "multi_head_attention": (nn.MultiHeadAttention(2), QKV, "attention", HEADS, ATTENTION),
    "self_attention": (
        nn.SelfAttention(2, use_bias=False),
        QKV,
        "attention",
        {**HEADS, "use_bias": False},
        {name: axes for name, axes in ATTENTION.items() if name.endswith("kernel")},
    ),
    "attention_with_norms": (
        nn.MultiHeadAttention(2, normalize_qk=True),
        QKV,
        None,
        {**HEADS, "normalize_qk": True},
        {
            **{f"{name}.kernel": ("in", "out1", "out2") for name in ("query", "key", "value")},
            **{f"{name}.bias": ("out1", "out2") for name in ("query", "key", "value")},
            **{f"{name}_ln.scale": ("features",) for name in ("query", "key")},
            "out.kernel": ("in1", "in2", "out"),
            "out.bias": ("out",),
        },
    ),
}
CELLS: dict[str, tuple[Callable[[], nn.Module], str, dict[str, Any] | None, Axes]] = {
    "lstm": (lambda: nn.LSTMCell(3), "lstm", None, LSTM),
    "optimized_lstm": (lambda: nn.OptimizedLSTMCell(3), "lstm", None, LSTM),
    "gru": (lambda: nn.GRUCell(3), "gru", None, GRU),
    "simple": (
        lambda: nn.SimpleCell(3, residual=True),
        "rnn",
        {"residual": True},
        {"i.kernel": ("in", "hidden"), "i.bias": ("hidden",), "h.kernel": ("inner", "hidden")},
    ),
}


def recorded(path: Path, at: str) -> tuple[str | None, str | None, Any, Axes]:
    """Kind, class and attributes of what stands at a path, and the axes of the tensors below it."""
    found = entries(path)
    node = found[at]
    tensors = {name: entry for name, entry in found.items() if isinstance(entry, ptformat.TensorInfo)}
    prefixes = (f"{at}.", f"{at.replace('params', 'batch_stats', 1)}.") if at else ("",)
    axes = {
        name.removeprefix(prefix): entry.axes
        for prefix in prefixes
        for name, entry in tensors.items()
        if name.startswith(prefix)
    }
    return node.module, node.class_, node.attrs and dict(node.attrs), axes


@pytest.mark.filterwarnings("ignore:SelfAttention will be deprecated")
@pytest.mark.parametrize("name", LINEN)
def test_layers_of_linen(name: str, tmp_path: Path) -> None:
    layer, shape, kind, attrs, axes = LINEN[name]
    x = jnp.zeros(shape, jnp.int32 if name == "embed" else jnp.float32)
    module = nn.Sequential([layer])
    variables = module.init(jax.random.key(0), x)
    save_model(module, variables, tmp_path / "m.ptf", x)
    class_ = f"{type(layer).__module__}.{type(layer).__name__}"
    assert recorded(tmp_path / "m.ptf", "params.layers_0") == (kind, class_, attrs, axes)
    loaded = load_model(module, tmp_path / "m.ptf", x)
    assert jax.tree.all(jax.tree.map(np.array_equal, loaded, variables))


@pytest.mark.parametrize("name", CELLS)
def test_cells_of_linen(name: str, tmp_path: Path) -> None:
    make, kind, attrs, axes = CELLS[name]
    module, x = nn.Bidirectional(nn.RNN(make(), name="there"), nn.RNN(make())), jnp.ones(QKV)
    save_model(module, module.init(jax.random.key(0), x), tmp_path / "m.ptf", x)
    class_ = type(make()).__name__
    found = entries(tmp_path / "m.ptf")
    cells = [path for path, e in found.items() if e.class_ == f"flax.linen.recurrent.{class_}"]
    assert len(cells) == 2
    for at in cells:
        assert recorded(tmp_path / "m.ptf", at) == (kind, f"flax.linen.recurrent.{class_}", attrs, axes)


def test_every_class_of_linen_has_a_case() -> None:
    cases = {type(case[0]) for case in LINEN.values()} | {type(case[0]()) for case in CELLS.values()}
    assert cases == {*LINEN_KINDS}


class Normed(nn.Module):
    """Layers under norms of their kernels, other parameters, other axes."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        linear = nn.WeightNorm(nn.Dense(4, name="linear"))(x)
        conv = nn.WeightNorm(nn.Conv(3, 2, name="conv"), feature_axes=(2,))(x)
        up = nn.WeightNorm(nn.ConvTranspose(3, 2, name="up"), feature_axes=-2)(x)
        for name, layer, options in (
            ("wrong_up", nn.ConvTranspose, {}),
            ("kernel_up", nn.ConvTranspose, {"feature_axes": -2}),
            ("rows", nn.Dense, {"feature_axes": 0}),
            ("whole", nn.Dense, {"feature_axes": None}),
            ("all", nn.Dense, {"variable_filter": None}),
        ):
            given = {"kernel_size": 2} if layer is nn.ConvTranspose else {}
            if name == "kernel_up":
                given["transpose_kernel"] = True
            nn.WeightNorm(layer(3, name=name, **given), **options)(x)  # type: ignore[arg-type]
        nn.SpectralNorm(nn.Dense(3, name="spectral"))(x, update_stats=False)
        nn.WeightNorm(Inner(name="inner"))(x)
        return linear.sum() + conv.sum() + up.sum()


class Inner(nn.Module):
    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        return nn.LayerNorm(name="norm")(nn.Dense(3, name="deep")(x))


def test_normed_layers_of_linen(tmp_path: Path) -> None:
    module, x = Normed(), jnp.ones(QKV)
    save_model(module, module.init(jax.random.key(0), x), tmp_path / "m.ptf", x)
    found = entries(tmp_path / "m.ptf")
    kinds = {path.removeprefix("params."): e.module for path, e in found.items() if isinstance(e, ptformat.Node)}
    assert {path: kind for path, kind in kinds.items() if "WeightNorm" not in path} == {
        "params": None,
        "linear": "weight_norm_linear",
        "conv": "weight_norm_conv",
        "up": "weight_norm_conv_transpose",
        **dict.fromkeys(("wrong_up", "kernel_up", "rows", "whole", "all", "spectral", "inner")),
        "inner.deep": "weight_norm_linear",
        "inner.norm": "layer_norm",
    }
    axes = {path: e.axes for path, e in found.items() if isinstance(e, ptformat.TensorInfo)}
    assert axes["params.linear.kernel"] == ("in", "out")
    assert axes["params.conv.kernel"] == ("x", "in", "out")
    assert axes["params.WeightNorm_0.linear/kernel/scale"] == ("out",)
    assert axes["params.WeightNorm_1.conv/kernel/scale"] == ("out",)
    assert axes["params.WeightNorm_2.up/kernel/scale"] is None
    assert axes["params.WeightNorm_8.inner/deep/kernel/scale"] == ("out",)
    assert axes["params.spectral.kernel"] is None


def test_cells_that_are_stacked_have_no_kind(tmp_path: Path) -> None:
    class Stack(nn.Module):
        @nn.compact
        def __call__(self, x: jax.Array) -> jax.Array:
            over = nn.vmap(nn.GRUCell, variable_axes={"params": 0}, split_rngs={"params": True}, axis_size=3)
            cell = over(2, name="cells")
            return cell((jnp.ones((3, 4, 2))), x)[1]

    module, x = Stack(), jnp.ones((3, 4, 2))
    save_model(module, module.init(jax.random.key(0), x), tmp_path / "m.ptf", x)
    kind, _, _, axes = recorded(tmp_path / "m.ptf", "params.cells")
    assert (kind, {*axes.values()}) == (None, {None})


RNGS = nnx.Rngs(0)
WIDE = {"in_features": 4, "in_kv_features": 4, "num_kv_heads": 2}
NNX: dict[str, tuple[Callable[[], nnx.Module], str | None, dict[str, Any] | None, Axes]] = {
    "linear": (lambda: nnx.Linear(2, 3, rngs=RNGS), "linear", None, LINEAR),
    "split_out": (
        lambda: nnx.LinearGeneral(4, (2, 5), rngs=RNGS),
        "linear",
        {"in_features": [4], "out_features": [2, 5], "axis": [-1]},
        {"kernel": ("in", "out1", "out2"), "bias": ("out1", "out2")},
    ),
    "split_in": (
        lambda: nnx.LinearGeneral((2, 5), 4, axis=(-2, -1), rngs=RNGS),
        "linear",
        {"in_features": [2, 5], "out_features": [4], "axis": [-2, -1]},
        {"kernel": ("in1", "in2", "out"), "bias": ("out",)},
    ),
    "batched": (
        lambda: nnx.LinearGeneral(2, 4, batch_axis={0: 3}, rngs=RNGS),
        None,
        {"in_features": [2], "out_features": [4], "axis": [-1]},
        dict.fromkeys(LINEAR),
    ),
    "embed": (lambda: nnx.Embed(7, 4, rngs=RNGS), "embedding", None, {"embedding": ("num", "features")}),
    "conv": (
        lambda: nnx.Conv(2, 3, (2, 3, 1), rngs=RNGS),
        "conv",
        {**CONV, "kernel_size": [2, 3, 1]},
        {"kernel": ("z", "y", "x", "in", "out"), "bias": ("out",)},
    ),
    "conv_transpose": (
        lambda: nnx.ConvTranspose(2, 3, 2, transpose_kernel=True, rngs=RNGS),
        "conv_transpose",
        {**UP, "kernel_size": [2], "transpose_kernel": True},
        {"kernel": None, "bias": None},
    ),
    "layer_norm": (lambda: nnx.LayerNorm(4, rngs=RNGS), "layer_norm", {**EPS, **AXES}, NORM),
    "rms_norm": (lambda: nnx.RMSNorm(4, rngs=RNGS), "rms_norm", {**EPS, **AXES}, {"scale": ("features",)}),
    "group_norm": (
        lambda: nnx.GroupNorm(4, 2, rngs=RNGS),
        "group_norm",
        {**EPS, "num_groups": 2, "group_size": 2},
        NORM,
    ),
    "instance_norm": (
        lambda: nnx.InstanceNorm(4, rngs=RNGS),
        "instance_norm",
        {**EPS, "feature_axes": -1},
        NORM,
    ),
    "batch_norm": (
        lambda: nnx.BatchNorm(4, rngs=RNGS),
        "batch_norm",
        {"epsilon": 1e-5, "momentum": 0.99, "axis": -1, "use_fast_variance": True},
        {**NORM, **STATISTICS},
    ),
    "prelu": (lambda: nnx.PReLU(), "prelu", None, {"negative_slope": None}),
    "prelu_channels": (
        lambda: nnx.PReLU(jnp.ones(3)),  # type: ignore[arg-type]
        "prelu_channels",
        None,
        {"negative_slope": ("channels",)},
    ),
    "attention": (
        lambda: nnx.MultiHeadAttention(2, 4, qkv_features=6, out_features=5, rngs=RNGS),
        "attention",
        {**HEADS, **WIDE, "qkv_features": 6, "out_features": 5},
        ATTENTION,
    ),
    "attention_with_norms": (
        lambda: nnx.MultiHeadAttention(2, 4, normalize_qk=True, use_bias=False, rngs=RNGS),
        None,
        {**HEADS, **WIDE, "qkv_features": 4, "out_features": 4, "normalize_qk": True, "use_bias": False},
        {
            **{f"{name}.kernel": ("in", "out1", "out2") for name in ("query", "key", "value")},
            **{f"{name}_ln.scale": ("features",) for name in ("query", "key")},
            "out.kernel": ("in1", "in2", "out"),
        },
    ),
    "lstm": (
        lambda: nnx.LSTMCell(2, 3, rngs=RNGS),
        "lstm",
        None,
        {name.replace("if.", "if_."): axes for name, axes in LSTM.items()},
    ),
    "optimized_lstm": (
        lambda: nnx.OptimizedLSTMCell(2, 3, rngs=RNGS),
        "lstm",
        None,
        {"dense_i.kernel": None, "dense_h.kernel": None, "dense_h.bias": None},
    ),
    "gru": (
        lambda: nnx.GRUCell(2, 3, rngs=RNGS),
        "gru",
        None,
        {"dense_i.kernel": None, "dense_i.bias": None, "dense_h.kernel": None},
    ),
    "simple": (
        lambda: nnx.SimpleCell(2, 3, rngs=RNGS),
        "rnn",
        {"residual": False},
        {"dense_i.kernel": ("in", "hidden"), "dense_i.bias": ("hidden",), "dense_h.kernel": ("inner", "hidden")},
    ),
    "lora": (
        lambda: nnx.LoRALinear(2, 3, lora_rank=1, rngs=RNGS),
        "lora_linear",
        None,
        {**LINEAR, "lora.lora_a": ("in", "rank"), "lora.lora_b": ("rank", "out")},
    ),
    "weight_norm": (
        lambda: nnx.WeightNorm(nnx.Linear(2, 3, rngs=RNGS), rngs=RNGS),
        "weight_norm_linear",
        {"epsilon": 1e-12},
        {"layer_instance.kernel": ("in", "out"), "layer_instance.bias": ("out",), "scales.kernel": None},
    ),
    "weight_norm_of_a_convolution": (
        lambda: nnx.WeightNorm(nnx.Conv(2, 3, 2, use_bias=False, rngs=RNGS), rngs=RNGS),
        "weight_norm_conv",
        {"epsilon": 1e-12},
        {"layer_instance.kernel": ("x", "in", "out"), "scales.kernel": None},
    ),
    "weight_norm_of_a_transposed_convolution": (
        lambda: nnx.WeightNorm(nnx.ConvTranspose(2, 3, 2, rngs=RNGS), feature_axes=-2, rngs=RNGS),
        "weight_norm_conv_transpose",
        {"epsilon": 1e-12},
        {"layer_instance.kernel": None, "layer_instance.bias": None, "scales.kernel": None},
    ),
    "weight_norm_over_rows": (
        lambda: nnx.WeightNorm(nnx.Linear(2, 3, rngs=RNGS), feature_axes=0, rngs=RNGS),
        None,
        None,
        {"layer_instance.kernel": None, "layer_instance.bias": None, "scales.kernel": None},
    ),
    "weight_norm_of_an_embedding": (
        lambda: nnx.WeightNorm(nnx.Embed(2, 3, rngs=RNGS), variable_filter=nnx.PathContains("embedding"), rngs=RNGS),
        None,
        None,
        {"layer_instance.embedding": None, "scales.embedding": None},
    ),
}


@pytest.mark.parametrize("name", NNX)
def test_layers_of_nnx(name: str, tmp_path: Path) -> None:
    make, kind, attrs, axes = NNX[name]
    layer: Any = make()
    save_model(nnx.List([layer]), tmp_path / "m.ptf")
    assert recorded(tmp_path / "m.ptf", "0") == (kind, f"flax.nnx.{type(layer).__name__}", attrs, axes)
    save_model(layer, tmp_path / "m.ptf")
    assert recorded(tmp_path / "m.ptf", "") == (kind, f"flax.nnx.{type(layer).__name__}", attrs, axes)
    if name.startswith("weight_norm"):
        inner = entries(tmp_path / "m.ptf")["layer_instance"]
        assert inner.module is None
        assert (inner.attrs is None) == isinstance(layer.layer_instance, nnx.Linear | nnx.Embed)
    load_model(make(), tmp_path / "m.ptf")


def test_every_class_of_nnx_has_a_case() -> None:
    assert {type(case[0]()) for case in NNX.values()} == {*NNX_KINDS}
