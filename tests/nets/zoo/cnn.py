"""An image classifier: convolutions with batch norm, then flatten -> linear, whose input axis each framework orders
its own way.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import torch
from flax import nnx

from nets.cnn import channels_last

EPS = 1e-3
MOMENTUM = 0.3  # torch's; flax counts the other way round
# (N, 3, 20, 28) -> conv1 (N, 6, 18, 28) -> pool (N, 6, 9, 14) -> conv2 (N, 8, 9, 12) -> pool (N, 8, 4, 6)
RULES: dict = {"kinds": [("fc1", "flatten_linear(channels=8,y=4,x=6)")]}


class TorchCNN(torch.nn.Module):
    """(N, 3, 20, 28) -> (N, 5)."""

    def __init__(self):
        super().__init__()
        self.conv1 = torch.nn.Conv2d(3, 6, (3, 5), padding=(0, 2), bias=False)
        self.bn1 = torch.nn.BatchNorm2d(6, eps=EPS, momentum=MOMENTUM)
        self.conv2 = torch.nn.Conv2d(6, 8, 3, padding=(1, 0))
        self.bn2 = torch.nn.BatchNorm2d(8, eps=EPS, momentum=MOMENTUM)
        self.pool = torch.nn.MaxPool2d(2)
        self.fc1 = torch.nn.Linear(8 * 4 * 6, 11)
        self.dropout = torch.nn.Dropout(0.2)
        self.fc2 = torch.nn.Linear(11, 5)

    def forward(self, x):
        x = self.pool(torch.relu(self.bn1(self.conv1(x))))
        x = self.pool(torch.relu(self.bn2(self.conv2(x))))
        x = torch.relu(self.fc1(torch.flatten(x, 1)))
        return self.fc2(self.dropout(x))


class LinenCNN(nn.Module):
    """(N, 20, 28, 3) -> (N, 5)."""

    @nn.compact
    def __call__(self, x, train=False):
        x = nn.Conv(6, (3, 5), padding=((0, 0), (2, 2)), use_bias=False, name="conv1")(x)
        x = nn.BatchNorm(not train, momentum=1 - MOMENTUM, epsilon=EPS, use_fast_variance=False, name="bn1")(x)
        x = nn.max_pool(nn.relu(x), (2, 2), strides=(2, 2))
        x = nn.Conv(8, (3, 3), padding=((1, 1), (0, 0)), name="conv2")(x)
        x = nn.BatchNorm(not train, momentum=1 - MOMENTUM, epsilon=EPS, use_fast_variance=False, name="bn2")(x)
        x = nn.max_pool(nn.relu(x), (2, 2), strides=(2, 2))
        x = nn.relu(nn.Dense(11, name="fc1")(x.reshape(x.shape[0], -1)))
        x = nn.Dropout(0.2, deterministic=not train)(x)
        return nn.Dense(5, name="fc2")(x)


class NnxCNN(nnx.Module):
    """(N, 20, 28, 3) -> (N, 5)."""

    def __init__(self, rngs):
        norm = {"momentum": 1 - MOMENTUM, "epsilon": EPS, "use_fast_variance": False, "rngs": rngs}
        self.conv1 = nnx.Conv(3, 6, (3, 5), padding=((0, 0), (2, 2)), use_bias=False, rngs=rngs)
        self.bn1 = nnx.BatchNorm(6, **norm)
        self.conv2 = nnx.Conv(6, 8, (3, 3), padding=((1, 1), (0, 0)), rngs=rngs)
        self.bn2 = nnx.BatchNorm(8, **norm)
        self.fc1 = nnx.Linear(4 * 6 * 8, 11, rngs=rngs)
        self.dropout = nnx.Dropout(0.2, rngs=rngs)
        self.fc2 = nnx.Linear(11, 5, rngs=rngs)

    def __call__(self, x):
        x = nnx.max_pool(nnx.relu(self.bn1(self.conv1(x))), (2, 2), strides=(2, 2))
        x = nnx.max_pool(nnx.relu(self.bn2(self.conv2(x))), (2, 2), strides=(2, 2))
        x = nnx.relu(self.fc1(x.reshape(x.shape[0], -1)))
        return self.fc2(self.dropout(x))


def torch_net():
    return TorchCNN()


def linen_net():
    return LinenCNN()


def nnx_net(rngs):
    return NnxCNN(rngs)


def inputs():
    return (np.random.default_rng(2).standard_normal((2, 3, 20, 28), np.float32),)


def linen_args():
    return (jax.ShapeDtypeStruct((2, 20, 28, 3), jnp.float32),), {}


def run_torch(net, x):
    with torch.no_grad():
        return net.eval()(torch.from_numpy(x)).numpy()


def run_linen(net, variables, x):
    return net.apply(variables, jnp.asarray(channels_last(x)))


def run_nnx(net, x):
    net.eval()
    return net(jnp.asarray(channels_last(x)))
