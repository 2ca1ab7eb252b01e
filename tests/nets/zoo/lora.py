"""Linear layers with low-rank adapters: peft's layout in torch, nnx.LoRALinear, three Dense in linen.

torch computes base(x) + B(A(x)) * ALPHA / RANK. nnx has no place for the factor: there lora_b is B.T * ALPHA / RANK.
linen has no adapters: the module here keeps A and B as they are and the factor in its code. The head has no adapter.
"""

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
import torch
from flax import nnx

FEATURES, WIDTH, INNER, CLASSES, RANK, ALPHA = 11, 16, 21, 5, 3, 6
SCALING = ALPHA / RANK
RULES: dict = {}
RULES_NNX: dict = {"kinds": [("fc*", f"lora_linear(alpha={ALPHA})")]}  # no tensor tells the factor


class TorchLoraLinear(torch.nn.Module):
    """As `peft.tuners.lora.Linear` is laid out, with one adapter, named `default`."""

    def __init__(self, features, out):
        super().__init__()
        self.base_layer = torch.nn.Linear(features, out)
        self.lora_A = torch.nn.ModuleDict({"default": torch.nn.Linear(features, RANK, bias=False)})
        self.lora_B = torch.nn.ModuleDict({"default": torch.nn.Linear(RANK, out, bias=False)})
        self.scaling = {"default": SCALING}

    def forward(self, x):
        adapted = self.lora_B["default"](self.lora_A["default"](x)) * self.scaling["default"]
        return self.base_layer(x) + adapted


class TorchAdapted(torch.nn.Module):
    """(batch, features) -> (batch, classes)."""

    def __init__(self):
        super().__init__()
        self.fc1 = TorchLoraLinear(FEATURES, WIDTH)
        self.fc2 = TorchLoraLinear(WIDTH, INNER)
        self.head = torch.nn.Linear(INNER, CLASSES)

    def forward(self, x):
        return self.head(torch.tanh(self.fc2(torch.tanh(self.fc1(x)))))


class LinenAdapter(nn.Module):
    features: int

    def setup(self):
        self.default = nn.Dense(self.features, use_bias=False)

    def __call__(self, x):
        return self.default(x)


class LinenLoraDense(nn.Module):
    features: int

    def setup(self):
        self.base_layer = nn.Dense(self.features)
        self.lora_A = LinenAdapter(RANK)
        self.lora_B = LinenAdapter(self.features)

    def __call__(self, x):
        return self.base_layer(x) + self.lora_B(self.lora_A(x)) * SCALING


class LinenAdapted(nn.Module):
    def setup(self):
        self.fc1 = LinenLoraDense(WIDTH)
        self.fc2 = LinenLoraDense(INNER)
        self.head = nn.Dense(CLASSES)

    def __call__(self, x):
        return self.head(nn.tanh(self.fc2(nn.tanh(self.fc1(x)))))


class NnxAdapted(nnx.Module):
    def __init__(self, rngs):
        self.fc1 = nnx.LoRALinear(FEATURES, WIDTH, lora_rank=RANK, rngs=rngs)
        self.fc2 = nnx.LoRALinear(WIDTH, INNER, lora_rank=RANK, rngs=rngs)
        self.head = nnx.Linear(INNER, CLASSES, rngs=rngs)

    def __call__(self, x):
        return self.head(nnx.tanh(self.fc2(nnx.tanh(self.fc1(x)))))


def torch_net() -> torch.nn.Module:
    return TorchAdapted().eval()


def linen_net() -> nn.Module:
    return LinenAdapted()


def nnx_net(rngs) -> nnx.Module:
    return NnxAdapted(rngs)


def inputs() -> tuple[np.ndarray, ...]:
    return (np.random.default_rng(7).standard_normal((4, FEATURES), dtype=np.float32),)


def linen_args():
    return inputs(), {}


def run_torch(net, x):
    with torch.no_grad():
        return net.eval()(torch.from_numpy(x)).numpy()


def run_linen(net, variables, x):
    return net.apply(variables, x)


def run_nnx(net, x):
    return net(jnp.asarray(x))
