"""Convolutions, and transposed ones in both of flax's layouts."""

import math

import flax.linen as nn
import torch
from flax import nnx

from . import Row, first, last, normal

_CONV = {1: torch.nn.Conv1d, 2: torch.nn.Conv2d, 3: torch.nn.Conv3d}
_TRANSPOSE = {1: torch.nn.ConvTranspose1d, 2: torch.nn.ConvTranspose2d, 3: torch.nn.ConvTranspose3d}
SIZES = {1: (13,), 2: (9, 11), 3: (6, 7, 8)}
KERNELS = {1: (5,), 2: (3, 4), 3: (2, 3, 4)}


def conv(spatial: int, features: int, out: int, *, groups: int = 1, dilation: int = 1, stride: int = 1, pad: int = 1):
    kernel = KERNELS[spatial]
    facts = {"padding": [(pad, pad)] * spatial, "strides": stride, "kernel_dilation": dilation}
    return Row(
        lambda: _CONV[spatial](features, out, kernel, stride, pad, dilation, groups),
        4e-6,
        (normal(2, features, *SIZES[spatial]),),
        lambda: nn.Conv(out, kernel, feature_group_count=groups, **facts),
        lambda rngs: nnx.Conv(features, out, kernel, feature_group_count=groups, rngs=rngs, **facts),
        into=last,
        out=first,
        kinds=(("m", "conv"),),
    )


def transposed(
    spatial: int, features: int, out: int, *, kept: bool, groups: int = 1, dilation: int = 1, square: int = 0
):
    """torch's `padding` p is flax's (d(k-1)-p, d(k-1)-p+op) in the default layout of either kernel."""
    kernel = (square,) * spatial if square else KERNELS[spatial]
    stride, pad, extra = 2, 1, 1
    sides = [(dilation * (k - 1) - pad, dilation * (k - 1) - pad + extra) for k in kernel]
    facts = {
        "strides": (stride,) * spatial,
        "padding": sides,
        "kernel_dilation": (dilation,) * spatial,
        "transpose_kernel": kept,
    }
    return Row(
        lambda: _TRANSPOSE[spatial](features, out, kernel, stride, pad, extra, groups, True, dilation),
        1e-6,
        (normal(2, features, *SIZES[spatial]),),
        lambda: nn.ConvTranspose(out, kernel, **facts),
        lambda rngs: nnx.ConvTranspose(features, out, kernel, rngs=rngs, **facts),
        into=last,
        out=first,
        kinds=(("m", f"conv_transpose(groups={groups})"),),
        options={"kinds": (("m", f"conv_transpose(groups={groups})"),)} if groups > 1 else {},
        styled=() if kept else ("linen", "nnx"),  # a style gives the default layout
        own=groups == 1,
    )


ROWS = {
    **{f"conv{n}d": conv(n, 3, 5) for n in (1, 2, 3)},
    "conv2d, grouped": conv(2, 4, 6, groups=2),
    "conv1d, grouped": conv(1, 6, 9, groups=3, stride=2),
    "conv2d, depthwise": conv(2, 5, 5, groups=5),
    "conv2d, depthwise, several": conv(2, 3, 6, groups=3),
    "conv2d, dilated": conv(2, 3, 4, dilation=2, pad=2),
    "conv2d, square": conv(2, 4, 4),
    **{
        f"conv_transpose{n}d{', transpose_kernel' if kept else ''}": transposed(n, 3, 5, kept=kept)
        for n in (1, 2, 3)
        for kept in (False, True)
    },
    "conv_transpose2d, dilated": transposed(2, 3, 5, kept=False, dilation=2),
    "conv_transpose2d, square": transposed(2, 4, 4, kept=False, square=3),
    "conv_transpose2d, square, transpose_kernel": transposed(2, 4, 4, kept=True, square=3),
    "conv_transpose2d, grouped": transposed(2, 4, 6, kept=False, groups=2),
    "conv_transpose2d, grouped, transpose_kernel": transposed(2, 4, 6, kept=True, groups=2),
    "conv_transpose1d, grouped": transposed(1, 6, 9, kept=False, groups=3),
}
assert math.prod(KERNELS[3]) == 24
