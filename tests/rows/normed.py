"""Layers whose weight a weight norm makes."""

import warnings

import flax.linen as nn
import torch
from flax import nnx
from torch.nn.utils import parametrizations

from . import Row, first, last, normal, same


def old_norm(module: torch.nn.Module) -> torch.nn.Module:
    """torch's hook of former times, which warns."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return torch.nn.utils.weight_norm(module)


SPELLINGS = {"": parametrizations.weight_norm, ", old hook": old_norm}


class LinenNormed(nn.Module):
    """A layer `lin` under a WeightNorm, as a module has it in setup."""

    made: str

    def setup(self):
        if self.made == "linear":
            self.lin = nn.Dense(4)
        elif self.made == "conv":
            self.lin = nn.Conv(4, (3, 2), padding="VALID")
        else:
            self.lin = nn.ConvTranspose(4, (3, 2), padding="VALID")
        self.norm = nn.WeightNorm(self.lin, feature_axes=-2 if self.made == "conv_transpose" else -1, epsilon=1e-12)

    def __call__(self, x):
        return self.norm(x)


class LinenInline(nn.Module):
    """The same where the norm has no name of its own."""

    made: str

    @nn.compact
    def __call__(self, x):
        lin = {
            "linear": lambda: nn.Dense(4, name="lin"),
            "conv": lambda: nn.Conv(4, (3, 2), padding="VALID", name="lin"),
            "conv_transpose": lambda: nn.ConvTranspose(4, (3, 2), padding="VALID", name="lin"),
        }[self.made]()
        axes = -2 if self.made == "conv_transpose" else -1
        return nn.WeightNorm(lin, feature_axes=axes, epsilon=1e-12)(x)


class NnxNormed(nnx.Module):
    def __init__(self, made, rngs):
        lin = {
            "linear": lambda: nnx.Linear(6, 4, rngs=rngs),
            "conv": lambda: nnx.Conv(6, 4, (3, 2), padding="VALID", rngs=rngs),
            "conv_transpose": lambda: nnx.ConvTranspose(6, 4, (3, 2), padding="VALID", rngs=rngs),
        }[made]()
        axes = -2 if made == "conv_transpose" else -1
        self.lin = nnx.WeightNorm(lin, feature_axes=axes, epsilon=1e-12, rngs=rngs)

    def __call__(self, x):
        return self.lin(x)


class TorchNormed(torch.nn.Module):
    def __init__(self, made, spelling):
        super().__init__()
        lin = {
            "linear": lambda: torch.nn.Linear(6, 4),
            "conv": lambda: torch.nn.Conv2d(6, 4, (3, 2)),
            "conv_transpose": lambda: torch.nn.ConvTranspose2d(6, 4, (3, 2)),
        }[made]()
        self.lin = SPELLINGS[spelling](lin)

    def forward(self, x):
        return self.lin(x)


def normed(made: str, spelling: str) -> Row:
    return Row(
        lambda: TorchNormed(made, spelling),
        2e-7,
        (normal(3, 6) if made == "linear" else normal(2, 6, 5, 4),),
        lambda: LinenInline(made),
        lambda rngs: NnxNormed(made, rngs),
        into=same if made == "linear" else last,
        out=same if made == "linear" else first,
        kinds=(("m.lin", f"weight_norm_{made}"),),
    )


ROWS = {
    f"weight_norm, {made}{spelling}": normed(made, spelling)
    for made in ("linear", "conv", "conv_transpose")
    for spelling in SPELLINGS
}
