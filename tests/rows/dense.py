"""Linear layers, embeddings, PReLU and low-rank adapters."""

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
import torch
from flax import nnx
from transformers.pytorch_utils import Conv1D

from . import Row, first, last, normal

IDS = np.random.default_rng(1).integers(0, 11, (3, 5))
SLOPES = 4
RANK, ALPHA = 3, 6


class LoraLinear(torch.nn.Module):
    """As `peft.tuners.lora.Linear` is laid out."""

    def __init__(self, features, out):
        super().__init__()
        self.base_layer = torch.nn.Linear(features, out)
        self.lora_A = torch.nn.ModuleDict({"default": torch.nn.Linear(features, RANK, bias=False)})
        self.lora_B = torch.nn.ModuleDict({"default": torch.nn.Linear(RANK, out, bias=False)})

    def forward(self, x):
        return self.base_layer(x) + self.lora_B["default"](self.lora_A["default"](x)) * (ALPHA / RANK)


class Attend(torch.nn.Module):
    """An embedding whose weight is the head's."""

    def __init__(self):
        super().__init__()
        self.emb = torch.nn.Embedding(11, 4)
        self.head = torch.nn.Linear(4, 11, bias=False)
        self.head.weight = self.emb.weight

    def forward(self, ids):
        return self.head(torch.tanh(self.emb(ids)))


class LinenAttend(nn.Module):
    def setup(self):
        self.emb = nn.Embed(11, 4)

    def __call__(self, ids):
        return self.emb.attend(jnp.tanh(self.emb(ids)))


class NnxAttend(nnx.Module):
    def __init__(self, rngs):
        self.emb = nnx.Embed(11, 4, rngs=rngs)

    def __call__(self, ids):
        return self.emb.attend(jnp.tanh(self.emb(ids)))


class Flattened(torch.nn.Module):
    """conv → flatten → linear."""

    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 4, 3)
        self.fc = torch.nn.Linear(4 * 3 * 5, 7)

    def forward(self, x):
        return self.fc(torch.flatten(torch.relu(self.conv(x)), 1))


class LinenFlattened(nn.Module):
    def setup(self):
        self.conv = nn.Conv(4, (3, 3), padding="VALID")
        self.fc = nn.Dense(7)

    def __call__(self, x):
        return self.fc(nn.relu(self.conv(x)).reshape(x.shape[0], -1))


class NnxFlattened(nnx.Module):
    def __init__(self, rngs):
        self.conv = nnx.Conv(3, 4, (3, 3), padding="VALID", rngs=rngs)
        self.fc = nnx.Linear(3 * 5 * 4, 7, rngs=rngs)

    def __call__(self, x):
        return self.fc(nnx.relu(self.conv(x)).reshape(x.shape[0], -1))


ROWS = {
    "linear": Row(
        lambda: torch.nn.Linear(7, 4),
        2e-7,
        (normal(3, 7),),
        lambda: nn.Dense(4),
        lambda rngs: nnx.Linear(7, 4, rngs=rngs),
        kinds=(("m", "linear"),),
    ),
    "linear, square": Row(
        lambda: torch.nn.Linear(5, 5),
        2e-7,
        (normal(3, 5),),
        lambda: nn.Dense(5),
        lambda rngs: nnx.Linear(5, 5, rngs=rngs),
        kinds=(("m", "linear"),),
    ),
    "linear, no bias": Row(
        lambda: torch.nn.Linear(7, 4, bias=False),
        2e-7,
        (normal(3, 7),),
        lambda: nn.Dense(4, use_bias=False),
        lambda rngs: nnx.Linear(7, 4, use_bias=False, rngs=rngs),
        kinds=(("m", "linear"),),
    ),
    "Conv1D": Row(
        lambda: Conv1D(4, 7),
        1e-7,
        (normal(3, 7),),
        lambda: nn.Dense(4),
        lambda rngs: nnx.Linear(7, 4, rngs=rngs),
        kinds=(("m", "linear:in_out"),),
    ),
    "Conv1D, square": Row(
        lambda: Conv1D(5, 5),
        1e-7,
        (normal(3, 5),),
        lambda: nn.Dense(5),
        lambda rngs: nnx.Linear(5, 5, rngs=rngs),
        kinds=(("m", "linear:in_out"),),
    ),
    "embedding": Row(
        lambda: torch.nn.Embedding(11, 4, padding_idx=2),
        0,
        (IDS,),
        lambda: nn.Embed(11, 4),
        lambda rngs: nnx.Embed(11, 4, rngs=rngs),
        kinds=(("m", "embedding"),),
    ),
    "embedding, square": Row(
        lambda: torch.nn.Embedding(11, 11),
        0,
        (IDS,),
        lambda: nn.Embed(11, 11),
        lambda rngs: nnx.Embed(11, 11, rngs=rngs),
        kinds=(("m", "embedding"),),
    ),
    "tied": Row(
        Attend,
        1e-7,
        (IDS,),
        LinenAttend,
        NnxAttend,
        kinds=(("m.emb", "embedding"), ("m.head", "linear")),
        styled=("linen",),  # in nnx, where only Variables can be shared, the tie is kept by a template
    ),
    "conv, flatten, linear": Row(
        Flattened,
        2e-6,
        (normal(2, 3, 5, 7),),
        LinenFlattened,
        NnxFlattened,
        into=last,
        kinds=(("m.conv", "conv"),),
        options={"kinds": (("m?fc", "flatten_linear(channels=4,y=3,x=5)"),)},
    ),
    "PReLU": Row(
        torch.nn.PReLU,
        0,
        (normal(3, 7),),
        nn.PReLU,
        lambda rngs: nnx.PReLU(),
        kinds=(("m", "prelu"),),
    ),
    "PReLU of channels": Row(
        lambda: torch.nn.PReLU(SLOPES),
        0,
        (normal(3, SLOPES, 5),),
        None,
        lambda rngs: nnx.PReLU(jnp.full((SLOPES,), 0.25)),
        into=last,
        out=first,
        kinds=(("m", "prelu_channels"),),
    ),
    "LoRA": Row(
        lambda: LoraLinear(7, 4),
        2e-7,
        (normal(3, 7),),
        None,
        lambda rngs: nnx.LoRALinear(7, 4, lora_rank=RANK, rngs=rngs),
        options={"kinds": (("m", f"lora_linear(alpha={ALPHA})"),)},
    ),
}
