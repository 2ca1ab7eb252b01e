"""What fits every shape and is wrong: each done wrongly by hand is far off, and the library does it right.

The outputs of the right conversion are within the bound of its row; the wrong ones miss it by orders of magnitude, so
that the tests of rows could not pass on them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.torch
import torch
from nets import bert_linen, bert_torch, minilm
from rows import (
    Row,
    attention,
    close,
    conv,
    dense,
    first,
    flax_out,
    last,
    linen_net,
    norm,
    normal,
    recurrent,
    template_of,
    torch_net,
    torch_out,
)

from ptformat.converters import flax_to_torch, torch_to_flax


@dataclass(frozen=True)
class Trap:
    """A row, what is done wrongly to its converted leaves, and how far off the outputs are at least."""

    row: Row
    wrong: Callable[[Any], Any]
    off: float


def swapped(params: Any) -> Any:
    return {**params, "kernel": params["kernel"].swapaxes(-1, -2)}


def flattened(params: Any) -> Any:
    """The rows of the kernel as torch has them: channels first."""
    kernel = params["fc"]["kernel"]
    return {
        **params,
        "fc": {**params["fc"], "kernel": kernel.reshape(3, 5, 4, -1).transpose(2, 0, 1, 3).reshape(kernel.shape)},
    }


def unflipped(params: Any) -> Any:
    return {**params, "kernel": params["kernel"][::-1, ::-1]}


def regrouped(params: Any) -> Any:
    """What is packed (H, 3, D) read as (3, H, D), the other parts as they are."""
    heads, inner = attention.HEADS, attention.INNER
    names = ("query", "key", "value")
    found = dict(params)
    for leaf in ("kernel", "bias"):
        rows = jnp.stack([params[name][leaf] for name in names], -2)  # (..., H, 3, D)
        packed = rows.reshape(*rows.shape[:-3], 3, heads, inner)
        for i, name in enumerate(names):
            found[name] = {**found[name], leaf: packed[..., i, :, :]}
    return found


def reversed_axes(params: Any) -> Any:
    """(O, I, z, y, x).T is (x, y, z, I, O)."""
    return {**params, "kernel": params["kernel"].transpose(2, 1, 0, 3, 4)}


def gates(order: str) -> Callable[[Any], Any]:
    """The gates' blocks of torch's tensors taken to be in another order."""

    def wrong(params: Any) -> Any:
        cell = dict(params["cell"])
        for side in "ih":
            for old, new in zip("ifgo", order, strict=True):
                cell[f"{side}{old}"] = params["cell"][f"{side}{new}"]
        return {"cell": cell}

    return wrong


def one_bias(params: Any) -> Any:
    """Only the first of torch's two biases carried over."""
    second = torch_net(recurrent.ROWS["LSTM"]).m.bias_hh_l0.detach().numpy().reshape(4, -1)
    cell = {name: dict(leaves) for name, leaves in params["cell"].items()}
    for gate, bias in zip("ifgo", second, strict=True):
        cell[f"h{gate}"]["bias"] = cell[f"h{gate}"]["bias"] - bias
    return {"cell": cell}


def depthwise(params: Any) -> Any:
    """The channels of a depthwise kernel in the other order of (multiplier, group)."""
    kernel = params["kernel"]
    return {**params, "kernel": kernel.reshape(*kernel.shape[:-1], 3, 2).swapaxes(-1, -2).reshape(kernel.shape)}


CUBIC = Row(
    lambda: torch.nn.Conv3d(4, 4, 3),
    4e-6,
    (normal(2, 4, 5, 6, 7),),
    lambda: nn.Conv(4, (3, 3, 3), padding="VALID"),
    into=last,
    out=first,
)
TRAPS = {
    "square Linear left untransposed": Trap(dense.ROWS["linear, square"], swapped, 1),
    "square embedding transposed": Trap(
        dense.ROWS["embedding, square"], lambda params: {"embedding": params["embedding"].T}, 0.5
    ),
    "Conv1D transposed like a Linear": Trap(dense.ROWS["Conv1D, square"], swapped, 1),
    "flattened axis not reordered": Trap(dense.ROWS["conv, flatten, linear"], flattened, 1),
    "square convolution with channels swapped": Trap(conv.ROWS["conv2d, square"], swapped, 1),
    "Conv3d by .T": Trap(CUBIC, reversed_axes, 1),
    "depthwise channels in another order": Trap(conv.ROWS["conv2d, depthwise, several"], depthwise, 1),
    "square ConvTranspose not flipped": Trap(conv.ROWS["conv_transpose2d, square"], unflipped, 1),
    "square ConvTranspose flipped under transpose_kernel": Trap(
        conv.ROWS["conv_transpose2d, square, transpose_kernel"], unflipped, 1
    ),
    "square ConvTranspose with channels swapped": Trap(conv.ROWS["conv_transpose2d, square"], swapped, 1),
    "(H, 3, D) read as (3, H, D)": Trap(attention.ROWS["packed (H, 3, D)"], regrouped, 0.5),
    "LSTM gates i, f, o, g": Trap(recurrent.ROWS["LSTM"], gates("ifog"), 0.1),
    "LSTM gates i, g, f, o": Trap(recurrent.ROWS["LSTM"], gates("igfo"), 0.1),
    "one of the two biases": Trap(recurrent.ROWS["LSTM"], one_bias, 0.1),
}


@pytest.mark.parametrize("name", TRAPS)
def test_fits_every_shape_and_is_wrong(name: str) -> None:
    trap = TRAPS[name]
    row = trap.row
    net = torch_net(row)
    expected = torch_out(row, net)
    variables = torch_to_flax(net, template=template_of(row, "linen"), **row.options)
    wrong = {"params": {"m": trap.wrong(variables["params"]["m"])}}
    assert jax.tree.map(jnp.shape, wrong) == jax.tree.map(jnp.shape, variables)
    close(row, flax_out(row, "linen", variables), expected)
    off = float(np.abs(flax_out(row, "linen", wrong) - expected).max())
    assert off >= trap.off, off
    assert off > 1e5 * row.bound


class TestMiniLM:
    """The real checkpoint: 25 of its 37 Linear kernels are square. Every shape fits without transposing them."""

    def run(self, params: Any) -> Any:
        ids, mask = minilm.batch()
        model = bert_linen.bert(minilm.config())
        hidden, _ = jax.jit(model.apply)({"params": params}, jnp.asarray(ids, jnp.int32), jnp.asarray(mask, jnp.int32))
        return minilm.mean_pool(np.asarray(hidden), mask)

    def test_square_kernels_left_untransposed(self) -> None:
        ids, mask = minilm.batch()
        model = bert_torch.bert(minilm.config())
        model.load_state_dict(safetensors.torch.load_file(minilm.model_path()))
        with torch.no_grad():
            expected = minilm.mean_pool(model(torch.from_numpy(ids), torch.from_numpy(mask))[0].numpy(), mask)
        params = torch_to_flax(minilm.model_path(), drop=["*position_ids"], strict=True)["params"]
        count = 0

        def wrong(path: Any, leaf: Any) -> Any:
            nonlocal count
            square = path[-1].key == "kernel" and leaf.shape[0] == leaf.shape[1]
            count += square
            return leaf.T if square else leaf

        spoiled = jax.tree_util.tree_map_with_path(wrong, params)
        assert count == 25
        assert jax.tree.map(jnp.shape, spoiled) == jax.tree.map(jnp.shape, params)
        right = (self.run(params) * expected).sum(1)
        assert np.abs(right - 1).max() < 1e-6
        cosines = (self.run(spoiled) * expected).sum(1)
        assert np.abs(cosines).max() < 0.15  # 0.05 to 0.11 of these sentences


# Differences that are no weights: the same weights, and outputs that part.
SETTINGS = {
    "eps of LayerNorm": (norm.ROWS["LayerNorm"], lambda: nn.LayerNorm(use_fast_variance=False), 1e-2),
    "eps of RMSNorm": (
        norm.ROWS["RMSNorm, eps of the type"],
        lambda: nn.RMSNorm(use_fast_variance=False),
        1e-2,
    ),
    "the padding of a convolution with strides": (
        Row(
            lambda: torch.nn.Conv2d(3, 5, 7, 2, 3),
            4e-6,
            (normal(2, 3, 12, 14),),
            lambda: nn.Conv(5, (7, 7), strides=2, padding=3),
            into=last,
            out=first,
        ),
        lambda: nn.Conv(5, (7, 7), strides=2, padding="SAME"),
        0.5,
    ),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_what_is_no_weight_tells_too(name: str) -> None:
    row, other, off = SETTINGS[name]
    small = Row(**{**vars(row), "inputs": tuple(one * 0.03 for one in row.inputs)}) if "eps" in name else row
    net = torch_net(small)
    expected = torch_out(small, net)
    variables = torch_to_flax(net, template=template_of(small, "linen"))
    close(small, flax_out(small, "linen", variables), expected)
    wrong = Row(**{**vars(small), "linen": other})
    found = flax_out(wrong, "linen", variables)
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() > off


def test_the_variance_that_is_fast_is_wrong_far_from_zero() -> None:
    """LayerNorm at a mean of 3000."""
    row = Row(
        lambda: torch.nn.LayerNorm(64),
        4e-7,
        (normal(3, 64) + 3000,),
        lambda: nn.LayerNorm(epsilon=1e-5, use_fast_variance=False),
    )
    net = torch_net(row)
    expected = torch_out(row, net)
    variables = torch_to_flax(net, template=template_of(row, "linen"))
    assert np.abs(flax_out(row, "linen", variables) - expected).max() < 5e-3
    fast = Row(**{**vars(row), "linen": lambda: nn.LayerNorm(epsilon=1e-5)})
    assert np.abs(flax_out(fast, "linen", variables) - expected).max() > 0.05


def test_the_carry_is_the_other_way_round() -> None:
    """flax's is (c, h), torch's (h, c); both have one shape."""
    row = recurrent.ROWS["LSTMCell"]
    net = torch_net(row)
    variables = torch_to_flax(net, template=template_of(row, "linen"))
    cell = linen_net(row).m
    x, h, c = (jnp.asarray(one) for one in row.inputs)
    params = {"params": variables["params"]["m"]}
    (new_c, new_h), _ = cell.apply(params, (c, h), x)
    close(row, np.concatenate([new_h, new_c], -1), torch_out(row, net))
    (wrong, _), _ = cell.apply(params, (h, c), x)
    assert np.abs(wrong - new_c).max() > 0.1


def test_a_module_that_keeps_both_kinds_of_kernels_back_to_torch() -> None:
    """Back, too: the kernel under transpose_kernel is not flipped, the other is, and both are square."""
    for name in ("conv_transpose2d, square", "conv_transpose2d, square, transpose_kernel"):
        row = conv.ROWS[name]
        net = torch_net(row)
        variables = torch_to_flax(net, template=template_of(row, "linen"))
        live = linen_net(row), variables, (jnp.asarray(row.into(row.inputs[0])),)
        assert torch.equal(flax_to_torch(live, template=net)["m.weight"], net.m.weight)
