"""A mixture of experts: a list of small networks in torch, their kernels stacked on axis 0 on the Flax sides.

torch's `blocks.0.experts.2.up_proj.weight` (inner, width) is row 2 of `blocks_0/experts/up_proj/kernel`
(experts, width, inner) in linen, and of `blocks/0/experts/up_proj/kernel` in nnx.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import torch
from flax import nnx
from torch.nn.functional import silu

FEATURES, WIDTH, INNER, CLASSES, EXPERTS, CHOSEN, BLOCKS = 9, 14, 22, 7, 5, 2, 2
EPSILON = 1e-2
RULES: dict = {}


class TorchExpert(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.up_proj = torch.nn.Linear(WIDTH, INNER)
        self.down_proj = torch.nn.Linear(INNER, WIDTH)

    def forward(self, x):
        return self.down_proj(silu(self.up_proj(x)))


class TorchBlock(torch.nn.Module):
    """Each token goes to the two experts that the router prefers, and is added to what they say."""

    def __init__(self):
        super().__init__()
        self.norm = torch.nn.LayerNorm(WIDTH, eps=EPSILON)
        self.router = torch.nn.Linear(WIDTH, EXPERTS, bias=False)
        self.experts = torch.nn.ModuleList(TorchExpert() for _ in range(EXPERTS))

    def forward(self, x):
        y = self.norm(x)
        chances, chosen = self.router(y).softmax(-1).topk(CHOSEN)
        chances = chances / chances.sum(-1, keepdim=True)
        shares = torch.zeros(*y.shape[:-1], EXPERTS).scatter(-1, chosen, chances)
        for number, expert in enumerate(self.experts):
            taken = shares[..., number] > 0  # an expert sees only its own tokens
            x = x.index_put((taken,), shares[..., number][taken][:, None] * expert(y[taken]), accumulate=True)
        return x


class TorchMixture(torch.nn.Module):
    """(batch, length, features) -> (batch, length, classes)."""

    def __init__(self):
        super().__init__()
        self.embed = torch.nn.Linear(FEATURES, WIDTH)
        self.blocks = torch.nn.ModuleList(TorchBlock() for _ in range(BLOCKS))
        self.head = torch.nn.Linear(WIDTH, CLASSES)

    def forward(self, x):
        x = self.embed(x)
        for block in self.blocks:
            x = block(x)
        return self.head(x)


def mixed(logits, every):
    """The router's logits (batch, length, experts) and what every expert says (experts, batch, length, width)."""
    chances, chosen = jax.lax.top_k(jax.nn.softmax(logits), CHOSEN)
    chances = chances / chances.sum(-1, keepdims=True)
    shares = (jax.nn.one_hot(chosen, EXPERTS) * chances[..., None]).sum(-2)
    return jnp.einsum("ble,eblw->blw", shares, every)


class LinenExpert(nn.Module):
    def setup(self):
        self.up_proj = nn.Dense(INNER)
        self.down_proj = nn.Dense(WIDTH)

    def __call__(self, x):
        return self.down_proj(nn.silu(self.up_proj(x)))


class LinenBlock(nn.Module):
    def setup(self):
        self.norm = nn.LayerNorm(epsilon=EPSILON, use_fast_variance=False)
        self.router = nn.Dense(EXPERTS, use_bias=False)
        stacked = nn.vmap(
            LinenExpert, in_axes=None, axis_size=EXPERTS, variable_axes={"params": 0}, split_rngs={"params": True}
        )
        self.experts = stacked()

    def __call__(self, x):
        y = self.norm(x)
        return x + mixed(self.router(y), self.experts(y))


class LinenMixture(nn.Module):
    def setup(self):
        self.embed = nn.Dense(WIDTH)
        self.blocks = [LinenBlock() for _ in range(BLOCKS)]
        self.head = nn.Dense(CLASSES)

    def __call__(self, x):
        x = self.embed(x)
        for block in self.blocks:
            x = block(x)
        return self.head(x)


class NnxExpert(nnx.Module):
    def __init__(self, rngs):
        self.up_proj = nnx.Linear(WIDTH, INNER, rngs=rngs)
        self.down_proj = nnx.Linear(INNER, WIDTH, rngs=rngs)

    def __call__(self, x):
        return self.down_proj(jax.nn.silu(self.up_proj(x)))


class NnxBlock(nnx.Module):
    def __init__(self, rngs):
        self.norm = nnx.LayerNorm(WIDTH, epsilon=EPSILON, use_fast_variance=False, rngs=rngs)
        self.router = nnx.Linear(WIDTH, EXPERTS, use_bias=False, rngs=rngs)

        @nnx.split_rngs(splits=EXPERTS)
        @nnx.vmap(in_axes=0, out_axes=0)
        def experts(rngs):
            return NnxExpert(rngs)

        self.experts = experts(rngs)

    def __call__(self, x):
        y = self.norm(x)
        every = nnx.vmap(lambda expert, tokens: expert(tokens), in_axes=(0, None))(self.experts, y)
        return x + mixed(self.router(y), every)


class NnxMixture(nnx.Module):
    def __init__(self, rngs):
        self.embed = nnx.Linear(FEATURES, WIDTH, rngs=rngs)
        self.blocks = nnx.List([NnxBlock(rngs) for _ in range(BLOCKS)])
        self.head = nnx.Linear(WIDTH, CLASSES, rngs=rngs)

    def __call__(self, x):
        x = self.embed(x)
        for block in self.blocks:
            x = block(x)
        return self.head(x)


def torch_net() -> torch.nn.Module:
    return TorchMixture().eval()


def linen_net() -> nn.Module:
    return LinenMixture()


def nnx_net(rngs) -> nnx.Module:
    return NnxMixture(rngs)


def inputs() -> tuple[np.ndarray, ...]:
    """Enough tokens that every expert is chosen, in every block."""
    return (np.random.default_rng(4).standard_normal((3, 16, FEATURES), dtype=np.float32),)


def linen_args():
    return inputs(), {}


def run_torch(net, x):
    with torch.no_grad():
        return net.eval()(torch.from_numpy(x)).numpy()


def run_linen(net, variables, x):
    return net.apply(variables, x)


def run_nnx(net, x):
    return net(jnp.asarray(x))
