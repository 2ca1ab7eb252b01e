"""Small nets of one or several layer kinds, each in torch and in linen, and the table `PAIRS` of them all.

The linen names are the torch names, segment by segment; a root Sequential gives `layers_N`. Kernels, strides,
paddings and inputs are not square, eps and momentum not the defaults, biases and running statistics random.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import numpy as np
import numpy.typing as npt
import torch

Array = npt.NDArray[Any]

MOMENTUM = 0.3
"""Torch's; flax counts the other way round, 1 - 0.3."""


class Pair(NamedTuple):
    """One net in both frameworks."""

    make_torch: Callable[[], torch.nn.Module]
    """A fresh module in eval mode, always with the same random tensors."""
    make_linen: Callable[[], nn.Module]
    example: Array
    """An input in torch's layout."""
    to_linen: Callable[[Array], Array]
    """Torch's layout of the input -> linen's."""
    from_linen: Callable[[Array], Array]
    """Linen's layout of the output -> torch's."""


class TorchCNN(torch.nn.Module):
    """(N, 3, 13, 17) -> (N, 5): plain, grouped and depthwise convolutions, two norms, a head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = torch.nn.Conv2d(3, 8, (3, 5), stride=2, padding=(1, 3))
        self.bn = torch.nn.BatchNorm2d(8, eps=1e-3, momentum=MOMENTUM)
        self.grouped = torch.nn.Conv2d(8, 12, (2, 3), padding=(0, 1), groups=4, bias=False)
        self.gn = torch.nn.GroupNorm(3, 12, eps=1e-2)
        self.depthwise = torch.nn.Conv2d(12, 12, (3, 2), stride=(1, 2), padding=(2, 1), groups=12)
        self.head = torch.nn.Linear(12, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.bn(self.stem(x)))
        x = torch.relu(self.gn(self.grouped(x)))
        x = torch.relu(self.depthwise(x))
        out: torch.Tensor = self.head(x.mean((2, 3)))
        return out


class LinenCNN(nn.Module):
    """(N, 13, 17, 3) -> (N, 5): the twin of `TorchCNN`."""

    def setup(self) -> None:
        self.stem = nn.Conv(8, (3, 5), strides=2, padding=((1, 1), (3, 3)))
        self.bn = nn.BatchNorm(use_running_average=True, epsilon=1e-3, momentum=1 - MOMENTUM)
        self.grouped = nn.Conv(12, (2, 3), padding=((0, 0), (1, 1)), feature_group_count=4, use_bias=False)
        self.gn = nn.GroupNorm(3, epsilon=1e-2, use_fast_variance=False)
        self.depthwise = nn.Conv(12, (3, 2), strides=(1, 2), padding=((2, 2), (1, 1)), feature_group_count=12)
        self.head = nn.Dense(5)

    def __call__(self, x: jax.Array) -> jax.Array:
        x = nn.relu(self.bn(self.stem(x)))
        x = nn.relu(self.gn(self.grouped(x)))
        x = nn.relu(self.depthwise(x))
        out: jax.Array = self.head(x.mean((1, 2)))
        return out


class TorchVolume(torch.nn.Module):
    """(N, 2, 5, 7, 6) -> (N, 6, 3, 7, 3): three spatial axes; the second norm has statistics only."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv3d(2, 6, (2, 3, 4), stride=(2, 1, 2), padding=(1, 1, 2), groups=2)
        self.norm = torch.nn.BatchNorm3d(6, eps=1e-2, momentum=MOMENTUM)
        self.mix = torch.nn.Conv3d(6, 6, (1, 3, 2), padding=(0, 1, 0))
        self.plain = torch.nn.BatchNorm3d(6, affine=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.plain(self.mix(torch.relu(self.norm(self.conv(x)))))
        return out


class LinenVolume(nn.Module):
    """(N, 5, 7, 6, 2) -> (N, 3, 7, 3, 6): the twin of `TorchVolume`."""

    def setup(self) -> None:
        self.conv = nn.Conv(6, (2, 3, 4), strides=(2, 1, 2), padding=((1, 1), (1, 1), (2, 2)), feature_group_count=2)
        self.norm = nn.BatchNorm(use_running_average=True, epsilon=1e-2, momentum=1 - MOMENTUM)
        self.mix = nn.Conv(6, (1, 3, 2), padding=((0, 0), (1, 1), (0, 0)))
        self.plain = nn.BatchNorm(use_running_average=True, epsilon=1e-5, momentum=0.9, use_scale=False, use_bias=False)

    def __call__(self, x: jax.Array) -> jax.Array:
        out: jax.Array = self.plain(self.mix(nn.relu(self.norm(self.conv(x)))))
        return out


class TorchWords(torch.nn.Module):
    """(N, T) ids -> (N, T, 4)."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = torch.nn.Embedding(11, 6)
        self.out = torch.nn.Linear(6, 4)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.out(self.embedding(ids))
        return out


class LinenWords(nn.Module):
    """(N, T) ids -> (N, T, 4): the twin of `TorchWords`."""

    def setup(self) -> None:
        self.embedding = nn.Embed(11, 6)
        self.out = nn.Dense(4)

    def __call__(self, ids: jax.Array) -> jax.Array:
        out: jax.Array = self.out(self.embedding(ids))
        return out


def randomize(module: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    """Gives every parameter and running statistic random values, in place, and sets eval mode."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
            if name.endswith("num_batches_tracked"):
                tensor.fill_(7)
            elif name.endswith("running_var") or (tensor.ndim == 1 and name.endswith("weight")):
                # Variances and norms' scales stay away from 0, so that no error is hidden.
                tensor.uniform_(0.5, 2.0, generator=generator)
            else:
                fan_in = tensor[0].numel() if tensor.ndim > 1 else 1
                tensor.normal_(0.0, fan_in**-0.5, generator=generator)
    return module.eval()


def channels_last(array: Array) -> Array:
    """NC… -> N…C."""
    return np.moveaxis(array, 1, -1)


def channels_first(array: Array) -> Array:
    """N…C -> NC…."""
    return np.moveaxis(array, -1, 1)


def _same(array: Array) -> Array:
    return array


def _normal(*shape: int) -> Array:
    return np.random.default_rng(len(shape)).standard_normal(shape, np.float32)


def _cnn() -> torch.nn.Module:
    return randomize(TorchCNN())


def _conv1d() -> torch.nn.Module:
    return randomize(
        torch.nn.Sequential(
            torch.nn.Conv1d(4, 6, 5, stride=2, padding=3, dilation=2),
            torch.nn.BatchNorm1d(6, eps=1e-3, momentum=MOMENTUM),
            torch.nn.ReLU(),
            torch.nn.Conv1d(6, 9, 4, padding=1, groups=3),
        )
    )


def _linen_conv1d() -> nn.Module:
    return nn.Sequential(
        [
            nn.Conv(6, (5,), strides=2, padding=((3, 3),), kernel_dilation=2),
            nn.BatchNorm(use_running_average=True, epsilon=1e-3, momentum=1 - MOMENTUM),
            nn.relu,
            nn.Conv(9, (4,), padding=((1, 1),), feature_group_count=3),
        ]
    )


def _conv3d() -> torch.nn.Module:
    return randomize(TorchVolume())


def _embedding() -> torch.nn.Module:
    return randomize(TorchWords())


def _layer_norm() -> torch.nn.Module:
    return randomize(
        torch.nn.Sequential(
            torch.nn.Linear(5, 7),
            torch.nn.LayerNorm(7, eps=1e-2),
            torch.nn.ReLU(),
            torch.nn.LayerNorm(7, eps=1e-3, bias=False),
        )
    )


def _linen_layer_norm() -> nn.Module:
    return nn.Sequential(
        [
            nn.Dense(7),
            nn.LayerNorm(epsilon=1e-2, use_fast_variance=False),
            nn.relu,
            nn.LayerNorm(epsilon=1e-3, use_bias=False, use_fast_variance=False),
        ]
    )


def _rms_norm() -> torch.nn.Module:
    return randomize(
        torch.nn.Sequential(torch.nn.Linear(5, 7, bias=False), torch.nn.RMSNorm(7, eps=1e-2), torch.nn.Linear(7, 7))
    )


def _linen_rms_norm() -> nn.Module:
    return nn.Sequential([nn.Dense(7, use_bias=False), nn.RMSNorm(epsilon=1e-2), nn.Dense(7)])


PAIRS: dict[str, Pair] = {
    "cnn": Pair(_cnn, LinenCNN, _normal(2, 3, 13, 17), channels_last, _same),
    "conv1d": Pair(_conv1d, _linen_conv1d, _normal(2, 4, 19), channels_last, channels_first),
    "conv3d": Pair(_conv3d, LinenVolume, _normal(2, 2, 5, 7, 6), channels_last, channels_first),
    "embedding": Pair(_embedding, LinenWords, np.array([[1, 4, 10], [0, 2, 7]], np.int32), _same, _same),
    "layer_norm": Pair(_layer_norm, _linen_layer_norm, _normal(3, 5), _same, _same),
    "rms_norm": Pair(_rms_norm, _linen_rms_norm, _normal(3, 4, 5), _same, _same),
}
