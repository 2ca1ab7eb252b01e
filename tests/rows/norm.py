"""Normalisations, with their running statistics and an eps that is nobody's default."""

import flax.linen as nn
import numpy as np
import torch
from flax import nnx

from . import Row, first, last, normal

EPS = 3e-3
SIZES = {1: (6,), 2: (4, 3), 3: (2, 3, 4)}
_BATCH = {1: torch.nn.BatchNorm1d, 2: torch.nn.BatchNorm2d, 3: torch.nn.BatchNorm3d}
_INSTANCE = {1: torch.nn.InstanceNorm1d, 2: torch.nn.InstanceNorm2d, 3: torch.nn.InstanceNorm3d}
EXACT = {"epsilon": EPS, "use_fast_variance": False}


def batch(spatial: int) -> Row:
    facts = {"use_running_average": True, "momentum": 0.7, **EXACT}
    return Row(
        lambda: _BATCH[spatial](5, EPS, 0.3),
        5e-7,
        (normal(3, 5, *SIZES[spatial]) * 2 + 1,),
        lambda: nn.BatchNorm(**facts),
        lambda rngs: nnx.BatchNorm(5, rngs=rngs, **facts),
        into=last,
        out=first,
    )


def instance(spatial: int) -> Row:
    return Row(
        lambda: _INSTANCE[spatial](5, EPS, affine=True),
        2e-7,
        (normal(3, 5, *SIZES[spatial]) * 2 + 1,),
        lambda: nn.InstanceNorm(**EXACT),
        lambda rngs: nnx.InstanceNorm(5, rngs=rngs, **EXACT),
        into=last,
        out=first,
        kinds=(("m", "instance_norm"),),
    )


def tracking(spatial: int) -> Row:
    facts = {"use_running_average": True, **EXACT}
    return Row(
        lambda: _INSTANCE[spatial](5, EPS, affine=True, track_running_stats=True),
        2e-7,
        (normal(3, 5, *SIZES[spatial]),),
        lambda: nn.BatchNorm(**facts),
        lambda rngs: nnx.BatchNorm(5, rngs=rngs, **facts),
        into=last,
        out=first,
        kinds=(("m", "instance_norm"),),
    )


ROWS = {
    **{f"BatchNorm{n}d": batch(n) for n in (1, 2, 3)},
    "SyncBatchNorm": Row(
        lambda: torch.nn.SyncBatchNorm(5, EPS),
        5e-7,
        (normal(3, 5, 4),),
        lambda: nn.BatchNorm(use_running_average=True, **EXACT),
        lambda rngs: nnx.BatchNorm(5, use_running_average=True, rngs=rngs, **EXACT),
        into=last,
        out=first,
    ),
    "BatchNorm without scale": Row(
        lambda: torch.nn.BatchNorm2d(5, EPS, affine=False),
        5e-7,
        (normal(3, 5, 4, 3),),
        lambda: nn.BatchNorm(use_running_average=True, use_bias=False, use_scale=False, **EXACT),
        lambda rngs: nnx.BatchNorm(5, use_running_average=True, use_bias=False, use_scale=False, rngs=rngs, **EXACT),
        into=last,
        out=first,
    ),
    "LayerNorm": Row(
        lambda: torch.nn.LayerNorm(6, EPS),
        4e-7,
        (normal(3, 5, 6) * 3 + 1,),
        lambda: nn.LayerNorm(**EXACT),
        lambda rngs: nnx.LayerNorm(6, rngs=rngs, **EXACT),
    ),
    "LayerNorm without bias": Row(
        lambda: torch.nn.LayerNorm(6, EPS, bias=False),
        4e-7,
        (normal(3, 5, 6),),
        lambda: nn.LayerNorm(use_bias=False, **EXACT),
        lambda rngs: nnx.LayerNorm(6, use_bias=False, rngs=rngs, **EXACT),
        kinds=(("m", "layer_norm"),),
    ),
    "LayerNorm((C, H, W))": Row(
        lambda: torch.nn.LayerNorm((3, 4, 5), EPS),
        4e-7,
        (normal(2, 3, 4, 5),),
        lambda: nn.LayerNorm(reduction_axes=(1, 2, 3), feature_axes=(1, 2, 3), **EXACT),
        into=last,
        out=first,
        kinds=(("m", "layer_norm_spatial"),),
        options={"kinds": (("m", "layer_norm_spatial"),)},
    ),
    "RMSNorm": Row(
        lambda: torch.nn.RMSNorm(6, EPS),
        1e-7,
        (normal(3, 5, 6) * 3,),
        lambda: nn.RMSNorm(**EXACT),
        lambda rngs: nnx.RMSNorm(6, rngs=rngs, **EXACT),
        kinds=(("m", "rms_norm"),),
    ),
    "RMSNorm, eps of the type": Row(
        lambda: torch.nn.RMSNorm(6),
        1e-7,
        (normal(3, 5, 6) * 1e-3,),
        lambda: nn.RMSNorm(epsilon=float(np.finfo(np.float32).eps), use_fast_variance=False),
        lambda rngs: nnx.RMSNorm(6, epsilon=float(np.finfo(np.float32).eps), use_fast_variance=False, rngs=rngs),
        kinds=(("m", "rms_norm"),),
    ),
    "GroupNorm": Row(
        lambda: torch.nn.GroupNorm(3, 6, EPS),
        2e-7,
        (normal(2, 6, 4, 5) * 2 + 1,),
        lambda: nn.GroupNorm(3, **EXACT),
        lambda rngs: nnx.GroupNorm(6, 3, rngs=rngs, **EXACT),
        into=last,
        out=first,
        kinds=(("m", "group_norm"),),
    ),
    **{f"InstanceNorm{n}d": instance(n) for n in (1, 2, 3)},
    **{f"InstanceNorm{n}d, running statistics": tracking(n) for n in (1, 2, 3)},
}
