"""One layer as torch, linen and nnx have it, with the bound that was measured: what the tests of every rule run.

Every net here is a holder whose one child `m` is the layer, so that the layer has a name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import torch
from flax import nnx

import ptformat.flax

Array = Any
SLACK = 4  # times the bound in the table of layers, which was measured on other shapes


def same(array: Array) -> Array:
    return array


def last(array: Array) -> Array:
    """(N, C, ...) -> (N, ..., C)."""
    return np.moveaxis(array, 1, -1)


def first(array: Array) -> Array:
    """(N, ..., C) -> (N, C, ...)."""
    return np.moveaxis(array, -1, 1)


def call(module: Any, *inputs: Array) -> Array:
    return module(*inputs)


@dataclass(frozen=True)
class Row:
    """A layer and its counterparts.

    Attributes:
        torch: Makes torch's layer.
        bound: The largest difference of outputs that was measured.
        inputs: As torch takes them.
        linen: Makes linen's layer, or None.
        nnx: Makes nnx's, or None.
        torch_run: (layer, inputs) -> output.
        flax_run: Likewise for either of Flax's.
        into: An input as flax takes it.
        out: An output of flax's as torch gives it.
        kinds: What a user says of a bare state dict, whose names and shapes leave it open.
        options: Rules that every conversion between torch and flax needs.
        back: `bit`, or `fn` where only the function comes back.
        styled: The flavours whose layer has what a style alone gives.
        own: Whether any leaves of flax's layer are ones that torch's may have.
    """

    torch: Callable[[], torch.nn.Module]
    bound: float
    inputs: tuple[Array, ...]
    linen: Callable[[], nn.Module] | None = None
    nnx: Callable[[nnx.Rngs], Any] | None = None
    torch_run: Callable[..., Any] = call
    flax_run: Callable[..., Any] = call
    into: Callable[[Array], Array] = same
    out: Callable[[Array], Array] = same
    kinds: tuple[tuple[str, str], ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    back: str = "bit"
    styled: tuple[str, ...] = ("linen", "nnx")
    own: bool = True


def normal(*shape: int, seed: int = 7) -> Array:
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


class TorchHolder(torch.nn.Module):
    def __init__(self, m: torch.nn.Module) -> None:
        super().__init__()
        self.m = m


class LinenHolder(nn.Module):
    m: nn.Module
    run: Callable[..., Any] = call

    def __call__(self, *inputs: Array) -> Array:
        return self.run(self.m, *inputs)


class NnxHolder(nnx.Module):
    def __init__(self, m: Any) -> None:
        self.m = m


def randomize(module: torch.nn.Module, seed: int = 3) -> torch.nn.Module:
    """Every parameter and every running statistic random; variances above 0."""
    made = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for key, tensor in module.state_dict(keep_vars=True).items():
            if not tensor.is_floating_point() or key.endswith(("_u", "_v", "weight_u", "weight_v")):
                continue
            drawn = torch.randn(tensor.shape, generator=made)
            if key.endswith("running_var"):
                drawn = drawn.abs() + 0.5
            elif tensor.dim() > 1 and tensor[0].numel() > 1:
                drawn = drawn * tensor[0].numel() ** -0.5
            tensor.copy_(drawn.to(tensor.dtype))
    return module


def torch_net(row: Row, seed: int = 3) -> torch.nn.Module:
    return randomize(TorchHolder(row.torch()), seed).eval()


def torch_out(row: Row, net: torch.nn.Module) -> Array:
    with torch.no_grad():
        return row.torch_run(net.m, *(torch.from_numpy(np.asarray(one)) for one in row.inputs)).numpy()


def flax_inputs(row: Row) -> tuple[Array, ...]:
    return tuple(jnp.asarray(row.into(one)) for one in row.inputs)


def linen_net(row: Row) -> nn.Module:
    return LinenHolder(row.linen(), row.flax_run)


def linen_shapes(row: Row) -> Any:
    return jax.eval_shape(lambda: linen_net(row).init(jax.random.key(0), *flax_inputs(row)))


_NETS: dict[int, Any] = {}  # nnx's layers, by id of the row: making one takes long
_KEPT: list[Row] = []  # rows by whose id something is held: another one would be given the id


def nnx_net(row: Row, state: Any = None) -> Any:
    """The one layer of nnx, which is good until it is asked for with another state."""
    if id(row) not in _NETS:
        _NETS[id(row)] = NnxHolder(row.nnx(nnx.Rngs(0)))
        _KEPT.append(row)
    if state is not None:
        nnx.update(_NETS[id(row)], state)
    return _NETS[id(row)]


def flax_net(row: Row, to: str, tree: Any) -> Any:
    """What is live of either flavour, with its classes: (module, variables, inputs), or the module."""
    return (linen_net(row), tree, flax_inputs(row)) if to == "linen" else nnx_net(row, tree)


def template_of(row: Row, to: str) -> Any:
    return (linen_net(row), flax_inputs(row)) if to == "linen" else nnx_net(row)


_RUN: dict[tuple[int, str], Callable[[Any], Any]] = {}  # compiled, by id of the row


def flax_out(row: Row, to: str, tree: Any) -> Array:
    """The output of linen's layer on variables, or of nnx's with a State."""
    if to == "nnx":
        graph, *tree = nnx.split(flax_net(row, to, tree), nnx.Not(nnx.RngState), ...)
    if (id(row), to) not in _RUN:
        if to == "linen":
            run = linen_net(row).apply
        else:

            def run(states: Any, *inputs: Any) -> Any:
                return row.flax_run(nnx.merge(graph, *states).m, *inputs)

        _RUN[id(row), to] = jax.jit(run)
        _KEPT.append(row)
    with jax.default_matmul_precision("highest"):
        return row.out(np.asarray(_RUN[id(row), to](tree, *flax_inputs(row))))


def drawn(tree: Any, seed: int = 5) -> Any:
    """The tree with every floating leaf random; variances above 0."""
    made = np.random.default_rng(seed)

    def leaf(path: Any, value: Any) -> Any:
        value = getattr(value, "value", value)
        if not jnp.issubdtype(value.dtype, jnp.floating):
            return value
        found = made.standard_normal(value.shape)
        if "var" in jax.tree_util.keystr(path).replace("variables", ""):
            found = np.abs(found) + 0.5
        return jnp.asarray(found / max(1, int(np.prod(value.shape[:-1]))) ** 0.5, value.dtype)

    return jax.tree_util.tree_map_with_path(leaf, tree)


def drawn_state(row: Row, seed: int = 5) -> Any:
    """A State of nnx's layer, all of it random."""
    return drawn(weights(nnx_net(row)), seed)


def weights(net: Any) -> Any:
    """The state of an nnx module without the state of its random numbers."""
    _, state, _ = nnx.split(net, nnx.Not(nnx.RngState), ...)
    return state


def leaves(tree: Any) -> dict[str, Array]:
    """Path -> array of every leaf but keys and counts of random numbers."""
    found = jax.tree_util.tree_leaves_with_path(tree)
    named = {jax.tree_util.keystr(path): leaf for path, leaf in found}
    return {name: np.asarray(leaf) for name, leaf in named.items() if "rngs" not in name}


def close(row: Row, found: Array, expected: Array) -> None:
    """Outputs that differ by no more than the bound, and are something."""
    assert found.shape == expected.shape
    largest = float(np.abs(expected).max())
    assert largest > 0.05
    assert float(np.abs(found - expected).max()) <= SLACK * row.bound * max(1.0, largest)


def equal_bits(found: Mapping[str, torch.Tensor], expected: Mapping[str, torch.Tensor]) -> None:
    """The same keys and every bit; what counts batches is 0."""
    assert list(found) == list(expected)
    for key, tensor in expected.items():
        wanted = torch.zeros_like(tensor) if key.endswith("num_batches_tracked") else tensor
        assert found[key].dtype == wanted.dtype, key
        assert found[key].shape == wanted.shape, key
        left, right = (one.detach().contiguous().reshape(-1).view(torch.uint8) for one in (found[key], wanted))
        assert torch.equal(left, right), key


def saved(row: Row, to: str, tree: Any, path: Path) -> Path:
    """A flax layer in a file, with its classes."""
    if to == "linen":
        ptformat.flax.save_model(linen_net(row), tree, path, *flax_inputs(row))
    else:
        ptformat.flax.save_model(nnx_net(row, tree), path)
    return path
