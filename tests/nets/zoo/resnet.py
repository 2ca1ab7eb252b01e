"""A residual net with torchvision's names: a stem, two stages of basic blocks, a downsampling shortcut.

Padding is written out in Flax: its 'SAME' is not torch's padding=1 at stride 2.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import torch
from flax import nnx

from nets.cnn import channels_last

EPS = 2e-3
MOMENTUM = 0.2  # torch's; flax counts the other way round
ONE = ((1, 1), (1, 1))
RULES: dict = {}


class TorchBlock(torch.nn.Module):
    def __init__(self, features_in, features, stride=1):
        super().__init__()
        self.conv1 = torch.nn.Conv2d(features_in, features, 3, stride=stride, padding=1, bias=False)
        self.bn1 = torch.nn.BatchNorm2d(features, eps=EPS, momentum=MOMENTUM)
        self.relu = torch.nn.ReLU(inplace=True)
        self.conv2 = torch.nn.Conv2d(features, features, 3, padding=1, bias=False)
        self.bn2 = torch.nn.BatchNorm2d(features, eps=EPS, momentum=MOMENTUM)
        self.downsample = None
        if stride != 1 or features_in != features:
            self.downsample = torch.nn.Sequential(
                torch.nn.Conv2d(features_in, features, 1, stride=stride, bias=False),
                torch.nn.BatchNorm2d(features, eps=EPS, momentum=MOMENTUM),
            )

    def forward(self, x):
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(x)) + shortcut)


class TorchResNet(torch.nn.Module):
    """(N, 3, 37, 45) -> (N, 7)."""

    def __init__(self):
        super().__init__()
        self.conv1 = torch.nn.Conv2d(3, 6, 7, stride=2, padding=3, bias=False)
        self.bn1 = torch.nn.BatchNorm2d(6, eps=EPS, momentum=MOMENTUM)
        self.relu = torch.nn.ReLU(inplace=True)
        self.maxpool = torch.nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1 = torch.nn.Sequential(TorchBlock(6, 6), TorchBlock(6, 6))
        self.layer2 = torch.nn.Sequential(TorchBlock(6, 10, stride=2), TorchBlock(10, 10))
        self.avgpool = torch.nn.AdaptiveAvgPool2d(1)
        self.fc = torch.nn.Linear(10, 7)

    def forward(self, x):
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer2(self.layer1(x))
        return self.fc(torch.flatten(self.avgpool(x), 1))


def linen_norm():
    return nn.BatchNorm(momentum=1 - MOMENTUM, epsilon=EPS, use_fast_variance=False)


class LinenBlock(nn.Module):
    features: int
    stride: int = 1
    project: bool = False

    def setup(self):
        self.conv1 = nn.Conv(self.features, (3, 3), strides=self.stride, padding=ONE, use_bias=False)
        self.bn1 = linen_norm()
        self.conv2 = nn.Conv(self.features, (3, 3), padding=ONE, use_bias=False)
        self.bn2 = linen_norm()
        if self.project:
            self.downsample = [nn.Conv(self.features, (1, 1), strides=self.stride, use_bias=False), linen_norm()]

    def __call__(self, x, train):
        shortcut = x
        if self.project:
            conv, norm = self.downsample
            shortcut = norm(conv(x), use_running_average=not train)
        x = nn.relu(self.bn1(self.conv1(x), use_running_average=not train))
        return nn.relu(self.bn2(self.conv2(x), use_running_average=not train) + shortcut)


class LinenResNet(nn.Module):
    """(N, 37, 45, 3) -> (N, 7)."""

    def setup(self):
        self.conv1 = nn.Conv(6, (7, 7), strides=2, padding=((3, 3), (3, 3)), use_bias=False)
        self.bn1 = linen_norm()
        self.layer1 = [LinenBlock(6), LinenBlock(6)]
        self.layer2 = [LinenBlock(10, stride=2, project=True), LinenBlock(10)]
        self.fc = nn.Dense(7)

    def __call__(self, x, train=False):
        x = nn.relu(self.bn1(self.conv1(x), use_running_average=not train))
        x = nn.max_pool(x, (3, 3), strides=(2, 2), padding=ONE)
        for block in [*self.layer1, *self.layer2]:
            x = block(x, train)
        return self.fc(x.mean((1, 2)))


def nnx_norm(features, rngs):
    return nnx.BatchNorm(features, momentum=1 - MOMENTUM, epsilon=EPS, use_fast_variance=False, rngs=rngs)


class NnxBlock(nnx.Module):
    def __init__(self, features_in, features, stride=1, *, rngs):
        self.conv1 = nnx.Conv(features_in, features, (3, 3), strides=stride, padding=ONE, use_bias=False, rngs=rngs)
        self.bn1 = nnx_norm(features, rngs)
        self.conv2 = nnx.Conv(features, features, (3, 3), padding=ONE, use_bias=False, rngs=rngs)
        self.bn2 = nnx_norm(features, rngs)
        if stride != 1 or features_in != features:
            self.downsample = nnx.Sequential(
                nnx.Conv(features_in, features, (1, 1), strides=stride, use_bias=False, rngs=rngs),
                nnx_norm(features, rngs),
            )
        else:
            self.downsample = None

    def __call__(self, x):
        shortcut = x if self.downsample is None else self.downsample(x)
        x = nnx.relu(self.bn1(self.conv1(x)))
        return nnx.relu(self.bn2(self.conv2(x)) + shortcut)


class NnxResNet(nnx.Module):
    """(N, 37, 45, 3) -> (N, 7)."""

    def __init__(self, rngs):
        self.conv1 = nnx.Conv(3, 6, (7, 7), strides=2, padding=((3, 3), (3, 3)), use_bias=False, rngs=rngs)
        self.bn1 = nnx_norm(6, rngs)
        self.layer1 = nnx.List([NnxBlock(6, 6, rngs=rngs), NnxBlock(6, 6, rngs=rngs)])
        self.layer2 = nnx.List([NnxBlock(6, 10, stride=2, rngs=rngs), NnxBlock(10, 10, rngs=rngs)])
        self.fc = nnx.Linear(10, 7, rngs=rngs)

    def __call__(self, x):
        x = nnx.relu(self.bn1(self.conv1(x)))
        x = nnx.max_pool(x, (3, 3), strides=(2, 2), padding=ONE)
        for block in [*self.layer1, *self.layer2]:
            x = block(x)
        return self.fc(x.mean((1, 2)))


def torch_net():
    return TorchResNet()


def linen_net():
    return LinenResNet()


def nnx_net(rngs):
    return NnxResNet(rngs)


def inputs():
    return (np.random.default_rng(3).standard_normal((2, 3, 37, 45), np.float32),)


def linen_args():
    return (jax.ShapeDtypeStruct((2, 37, 45, 3), jnp.float32),), {}


def run_torch(net, x):
    with torch.no_grad():
        return net.eval()(torch.from_numpy(x)).numpy()


def run_linen(net, variables, x):
    return net.apply(variables, jnp.asarray(channels_last(x)))


def run_nnx(net, x):
    net.eval()
    return net(jnp.asarray(channels_last(x)))
