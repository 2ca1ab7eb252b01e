"""Norms of features, norms with statistics, and weight norm."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from .dense import LINEAR
from .group import Group, group
from .layout import Layer, Leaf, Module, Sides, at, moves, paired
from .spelling import fill, permute, reshape

EPS = 0.0078125
_FLAX = {"epsilon": EPS, "reduction_axes": -1, "feature_axes": -1, "use_fast_variance": False}
_SCALE = (("weight", "scale", "parameter"), ("bias", "bias", "parameter"))


def norm(
    kind: str,
    names: str,
    features: int,
    torch: dict[str, Any],
    linen: dict[str, Any],
    nnx: dict[str, Any] | None = None,
    *,
    bias: bool = True,
) -> Layer:
    """A scale and perhaps a bias; `names` are torch's class and Flax's."""
    own, other = names.split()
    leaves = []
    for ours, theirs, role in _SCALE[: 1 + bias]:
        facts: Any = {"shape": (features,), "axes": "features", "role": role}
        leaves.append((Leaf(name=ours, **facts), Leaf(name=theirs, **facts)))
    classes = (f"torch.nn.modules.{own}", f"flax.linen.normalization.{other}", f"flax.nnx.{other}")
    return paired(kind, classes, (torch, linen, nnx or linen), *leaves)


def layer_norm(features: int, *, bias: bool = True) -> Layer:
    """A norm over the last axis."""
    torch = {"normalized_shape": [features], "eps": EPS}
    return norm("layer_norm", "normalization.LayerNorm LayerNorm", features, torch, _FLAX, bias=bias)


def batch_norm(features: int, count: int = 7) -> Layer:
    """Statistics, of which Flax does not have the number of batches."""
    torch = {"eps": EPS, "momentum": 0.25}
    flax = {"epsilon": EPS, "momentum": 0.75, "axis": -1, "use_fast_variance": False}
    scale = norm("batch_norm", "batchnorm.BatchNorm2d BatchNorm", features, torch, flax)
    facts: Any = {"shape": (features,), "axes": "features", "role": "buffer"}
    flaxen: Any = {**facts, "collection": "batch_stats", "variable": "BatchStat"}
    running: Sequence[tuple[Leaf, Leaf]] = (
        (Leaf(name="running_mean", **facts), Leaf(name="mean", **flaxen)),
        (Leaf(name="running_var", values="positive", **facts), Leaf(name="var", **flaxen)),
    )
    counted = Leaf(name="num_batches_tracked", shape=(), dtype="int64", role="buffer", values=[count])
    sides = {
        side: [*held, *(one[side != "torch"] for one in running), *([counted] if side == "torch" else [])]
        for side, held in scale.sides.items()
    }
    there = {b.name: a.name for a, b in running}
    back = {a.name: b.name for a, b in running} | {"num_batches_tracked": fill("int64")}
    same = {b.name: b.name for _, b in running}
    more = moves(there, back, same, same)
    return Layer(sides, {pair: {**made, **more[pair]} for pair, made in scale.moves.items()})


def weight_norm(features: int, out: int) -> Layer:
    """A linear layer whose weight is a direction, stored beside its length.

    linen has the length in a module of its own, under a key with slashes; nnx in an array that is no Variable.
    """
    bias = Leaf(name="bias", shape=(out,), axes="out")
    kernel: Any = {"shape": (features, out), "axes": "in out"}
    made = "parametrizations.weight"
    length, weight = f"{made}.original0", f"{made}.original1"
    torch = "torch.nn"
    beside = "params.WeightNorm_0.lin/kernel/scale"
    sides: Sides = {
        "torch": [
            Module("", "weight_norm_linear", f"{torch}.utils.parametrize.ParametrizedLinear"),
            bias,
            Module("parametrizations", "", f"{torch}.modules.container.ModuleDict"),
            Module(made, "", f"{torch}.utils.parametrize.ParametrizationList"),
            Leaf(name=length, shape=(out, 1)),
            Leaf(name=weight, shape=(out, features), axes="out in"),
            Module(f"{made}.0", "", f"{torch}.utils.parametrizations._WeightNorm"),
        ],
        "linen": [
            Module("", "weight_norm_linear", LINEAR[1]),
            bias,
            Leaf(name="kernel", **kernel),
            Leaf(name="scale", path=beside, shape=(out,), axes="out"),
        ],
        "nnx": [
            Module("", "weight_norm_linear", "flax.nnx.WeightNorm", {"epsilon": 1e-12}),
            Module("layer_instance", "", LINEAR[2]),
            Leaf(name="layer_instance.bias", shape=(out,), axes="out"),
            Leaf(name="layer_instance.kernel", **kernel),
            Module("scales", keys=[["kernel"]]),
            Leaf(name="scales.kernel", shape=(out,), variable=""),
        ],
    }
    names = {"bias": "layer_instance.bias", "kernel": "layer_instance.kernel", "scale": "scales.kernel"}
    there = {"bias": "bias", "kernel": permute(weight, 1, 0), "scale": reshape(length, out)}
    back = {"bias": "bias", weight: permute("kernel", 1, 0), length: reshape("scale", out, 1)}
    made_of = {
        ("torch", "linen"): there,
        ("linen", "torch"): back,
        ("torch", "nnx"): {names[name]: of for name, of in there.items()},
        ("nnx", "torch"): {
            "bias": names["bias"],
            weight: permute(names["kernel"], 1, 0),
            length: reshape(names["scale"], out, 1),
        },
        ("linen", "nnx"): {there: name for name, there in names.items()},
        ("nnx", "linen"): names,
    }
    return Layer(sides, made_of)


def groups() -> Iterator[Group]:
    """Six nets."""
    section = "1.4"
    yield group(
        "layer-norm", [at(layer_norm(5), "norm"), at(layer_norm(5, bias=False), "plain")], section, "two layer norms"
    )
    rms = norm(
        "rms_norm",
        "normalization.RMSNorm RMSNorm",
        5,
        {"normalized_shape": [5], "eps": EPS},
        _FLAX,
        bias=False,
    )
    yield group("rms-norm", [at(rms, "norm")], section, "a norm without mean and bias")
    fast = {"epsilon": EPS, "use_fast_variance": False}
    of_groups = norm(
        "group_norm",
        "normalization.GroupNorm GroupNorm",
        6,
        {"num_groups": 3, "eps": EPS},
        {"num_groups": 3, "group_size": None, **fast},
        {"num_groups": 3, "group_size": 2, **fast},
    )
    yield group("group-norm", [at(of_groups, "norm")], section, "a norm over groups of channels")
    instance = norm(
        "instance_norm",
        "instancenorm.InstanceNorm2d InstanceNorm",
        5,
        {"eps": EPS, "momentum": 0.1, "affine": True, "track_running_stats": False},
        {"feature_axes": -1, **fast},
    )
    yield group("instance-norm", [at(instance, "norm")], section, "a norm of each channel by itself")
    comment = (
        "running statistics: a collection of their own in linen; the number of batches is dropped, and comes back as 0"
    )
    yield group(
        "batch-norm",
        [at(batch_norm(5), "norm")],
        section,
        comment,
        back={"torch-back": [at(batch_norm(5, count=0), "norm")]},
    )
    net = [at(weight_norm(5, 3), "lin")]
    beside = Module("params.WeightNorm_0", "", "flax.linen.normalization.WeightNorm")
    comment = "a weight norm: direction and length, in linen beside the layer"
    yield group("weight-norm", {"torch": net, "linen": [beside, *net], "nnx": net}, "4", comment)
