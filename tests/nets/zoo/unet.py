"""A U-net: group norms, two steps down by pooling, two steps up by transposed convolutions of stride 2.

Flax's ConvTranspose has its default transpose_kernel=False here: kernels are flipped. `up2` needs torch's
output_padding, which Flax's padding holds as (k - 1 - p, k - 1 - p + output_padding).
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import torch
from flax import nnx

from nets.cnn import channels_first, channels_last

EPS = 1e-3
ONE = ((1, 1), (1, 1))
RULES: dict = {}


class TorchDouble(torch.nn.Module):
    """Two convolutions, each with a group norm."""

    def __init__(self, features_in, features, groups):
        super().__init__()
        self.conv1 = torch.nn.Conv2d(features_in, features, 3, padding=1)
        self.norm1 = torch.nn.GroupNorm(groups, features, eps=EPS)
        self.conv2 = torch.nn.Conv2d(features, features, 3, padding=1, bias=False)
        self.norm2 = torch.nn.GroupNorm(groups, features, eps=EPS)

    def forward(self, x):
        x = torch.nn.functional.silu(self.norm1(self.conv1(x)))
        return torch.nn.functional.silu(self.norm2(self.conv2(x)))


class TorchUNet(torch.nn.Module):
    """(N, 3, 12, 20) -> (N, 5, 12, 20)."""

    def __init__(self):
        super().__init__()
        self.down1 = TorchDouble(3, 6, 2)
        self.down2 = TorchDouble(6, 9, 3)
        self.pool = torch.nn.MaxPool2d(2)
        self.middle = TorchDouble(9, 12, 4)
        self.up2 = torch.nn.ConvTranspose2d(12, 9, (3, 4), stride=2, padding=1, output_padding=(1, 0))
        self.dec2 = TorchDouble(18, 9, 3)
        self.up1 = torch.nn.ConvTranspose2d(9, 6, 2, stride=2, bias=False)
        self.dec1 = TorchDouble(12, 6, 2)
        self.out = torch.nn.Conv2d(6, 5, 1)

    def forward(self, x):
        first = self.down1(x)
        second = self.down2(self.pool(first))
        x = self.middle(self.pool(second))
        x = self.dec2(torch.cat([self.up2(x), second], dim=1))
        x = self.dec1(torch.cat([self.up1(x), first], dim=1))
        return self.out(x)


class LinenDouble(nn.Module):
    features: int
    groups: int

    def setup(self):
        self.conv1 = nn.Conv(self.features, (3, 3))
        self.norm1 = nn.GroupNorm(self.groups, epsilon=EPS, use_fast_variance=False)
        self.conv2 = nn.Conv(self.features, (3, 3), use_bias=False)
        self.norm2 = nn.GroupNorm(self.groups, epsilon=EPS, use_fast_variance=False)

    def __call__(self, x):
        x = nn.silu(self.norm1(self.conv1(x)))
        return nn.silu(self.norm2(self.conv2(x)))


class LinenUNet(nn.Module):
    """(N, 12, 20, 3) -> (N, 12, 20, 5)."""

    def setup(self):
        self.down1 = LinenDouble(6, 2)
        self.down2 = LinenDouble(9, 3)
        self.middle = LinenDouble(12, 4)
        self.up2 = nn.ConvTranspose(9, (3, 4), strides=(2, 2), padding=((1, 2), (2, 2)))
        self.dec2 = LinenDouble(9, 3)
        self.up1 = nn.ConvTranspose(6, (2, 2), strides=(2, 2), use_bias=False)
        self.dec1 = LinenDouble(6, 2)
        self.out = nn.Conv(5, (1, 1))

    def __call__(self, x):
        first = self.down1(x)
        second = self.down2(nn.max_pool(first, (2, 2), strides=(2, 2)))
        x = self.middle(nn.max_pool(second, (2, 2), strides=(2, 2)))
        x = self.dec2(jnp.concatenate([self.up2(x), second], axis=-1))
        x = self.dec1(jnp.concatenate([self.up1(x), first], axis=-1))
        return self.out(x)


class NnxDouble(nnx.Module):
    def __init__(self, features_in, features, groups, rngs):
        norm = {"num_groups": groups, "epsilon": EPS, "use_fast_variance": False, "rngs": rngs}
        self.conv1 = nnx.Conv(features_in, features, (3, 3), padding=ONE, rngs=rngs)
        self.norm1 = nnx.GroupNorm(features, **norm)
        self.conv2 = nnx.Conv(features, features, (3, 3), padding=ONE, use_bias=False, rngs=rngs)
        self.norm2 = nnx.GroupNorm(features, **norm)

    def __call__(self, x):
        x = nnx.silu(self.norm1(self.conv1(x)))
        return nnx.silu(self.norm2(self.conv2(x)))


class NnxUNet(nnx.Module):
    """(N, 12, 20, 3) -> (N, 12, 20, 5)."""

    def __init__(self, rngs):
        self.down1 = NnxDouble(3, 6, 2, rngs)
        self.down2 = NnxDouble(6, 9, 3, rngs)
        self.middle = NnxDouble(9, 12, 4, rngs)
        self.up2 = nnx.ConvTranspose(12, 9, (3, 4), strides=(2, 2), padding=((1, 2), (2, 2)), rngs=rngs)
        self.dec2 = NnxDouble(18, 9, 3, rngs)
        self.up1 = nnx.ConvTranspose(9, 6, (2, 2), strides=(2, 2), use_bias=False, rngs=rngs)
        self.dec1 = NnxDouble(12, 6, 2, rngs)
        self.out = nnx.Conv(6, 5, (1, 1), rngs=rngs)

    def __call__(self, x):
        first = self.down1(x)
        second = self.down2(nnx.max_pool(first, (2, 2), strides=(2, 2)))
        x = self.middle(nnx.max_pool(second, (2, 2), strides=(2, 2)))
        x = self.dec2(jnp.concatenate([self.up2(x), second], axis=-1))
        x = self.dec1(jnp.concatenate([self.up1(x), first], axis=-1))
        return self.out(x)


def torch_net():
    return TorchUNet()


def linen_net():
    return LinenUNet()


def nnx_net(rngs):
    return NnxUNet(rngs)


def inputs():
    return (np.random.default_rng(4).standard_normal((2, 3, 12, 20), np.float32),)


def linen_args():
    return (jax.ShapeDtypeStruct((2, 12, 20, 3), jnp.float32),), {}


def run_torch(net, x):
    with torch.no_grad():
        return net.eval()(torch.from_numpy(x)).numpy()


def run_linen(net, variables, x):
    return channels_first(net.apply(variables, jnp.asarray(channels_last(x))))


def run_nnx(net, x):
    net.eval()
    return channels_first(net(jnp.asarray(channels_last(x))))
