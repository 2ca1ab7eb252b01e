"""Convolutions, and transposed ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from .group import Group, group
from .layout import Layer, Leaf, Module, Sides, at, moves, paired
from .operations import Made
from .spelling import flip, index, join, pad, permute, reshape

_SPATIAL = ("z", "y", "x")


def conv(
    features: int, out: int, kernel: Sequence[int], *, groups: int = 1, stride: int = 1, padding: int = 0
) -> Layer:
    """A weight (out, in, places), which Flax keeps as (places, in, out); `in` is of one group."""
    rank = len(kernel)
    spatial = " ".join(_SPATIAL[-rank:])
    weight = (
        Leaf(name="weight", shape=(out, features // groups, *kernel), axes=f"out in {spatial}"),
        Leaf(name="kernel", shape=(*kernel, features // groups, out), axes=f"{spatial} in out"),
    )
    bias = Leaf(name="bias", shape=(out,), axes="out")
    torch = {
        "stride": [stride] * rank,
        "padding": [padding] * rank,
        "dilation": [1] * rank,
        "groups": groups,
        "padding_mode": "zeros",
    }
    flax = {
        "kernel_size": [*kernel],
        "strides": stride,
        "padding": [[padding, padding]] * rank,
        "input_dilation": 1,
        "kernel_dilation": 1,
        "feature_group_count": groups,
    }
    classes = (f"torch.nn.modules.conv.Conv{rank}d", "flax.linen.linear.Conv", "flax.nnx.Conv")
    return paired("conv", classes, (torch, flax, flax), weight, (bias, bias))


def conv_transpose(
    features: int, out: int, kernel: Sequence[int], *, groups: int = 1, kept: bool = False, plain: bool = False
) -> Layer:
    """A weight (groups · in, out, places).

    Flax keeps it as (places, groups · in, groups · out), the places backwards and nothing but zeros between groups; or
    with `transpose_kernel` as (places, out, in), nothing backwards.

    Args:
        features: Channels that go in.
        out: Channels that come out.
        kernel: Places.
        groups: Of the channels.
        kept: Whether Flax has `transpose_kernel`.
        plain: Whether torch's module is only known by its kind, as after a conversion.
    """
    rank = len(kernel)
    places = [*range(2, rank + 2)]
    shape = (*kernel, out, features) if kept else (*kernel, features, out)
    torch = {
        "stride": [2] * rank,
        "padding": [1] * rank,
        "output_padding": [0] * rank,
        "dilation": [1] * rank,
        "groups": groups,
    }
    flax = {
        "kernel_size": [*kernel],
        "strides": [2] * rank,
        "padding": [[size - 2, size - 2] for size in kernel],
        "kernel_dilation": None,
        "transpose_kernel": kept,
    }
    whole: Made = permute("weight", *places, *((1, 0) if kept else (0, 1)))
    back: Made = permute("kernel", rank + kept, rank + 1 - kept, *range(rank))
    if not kept:
        whole, back = flip(whole, *range(rank)), flip(back, *places)
    if groups > 1:
        whole = join(rank, *(_block(n, groups, features, out, kernel) for n in range(groups)))
    bias = Leaf(name="bias", shape=(out,))
    kernels = [Leaf(name="kernel", shape=shape), bias]
    facts: Any = {} if plain else torch
    sides: Sides = {
        "torch": [
            Module("", "conv_transpose", "" if plain else f"torch.nn.modules.conv.ConvTranspose{rank}d", facts),
            Leaf(name="weight", shape=(features, out // groups, *kernel)),
            bias,
        ],
        "linen": [Module("", "conv_transpose", "flax.linen.linear.ConvTranspose", flax), *kernels],
        "nnx": [Module("", "conv_transpose", "flax.nnx.ConvTranspose", flax), *kernels],
    }
    same = {"kernel": "kernel", "bias": "bias"}
    return Layer(sides, moves({"kernel": whole, "bias": "bias"}, {"weight": back, "bias": "bias"}, same, same))


def _block(number: int, groups: int, features: int, out: int, kernel: Sequence[int]) -> Made:
    """The rows of a dense kernel that belong to one group: its own block, zeros on either side."""
    rank, width = len(kernel), out // groups
    split = reshape("weight", groups, features // groups, width, *kernel)
    own = permute(index(split, 0, number), *range(2, rank + 2), 0, 1)
    return pad(flip(own, *range(rank)), rank + 1, number * width, (groups - 1 - number) * width)


def groups() -> Iterator[Group]:
    """Ten nets."""
    section = "1.4"
    yield group("conv-1d", [at(conv(3, 5, (4,), stride=2, padding=1), "conv")], section, "a convolution of one axis")
    yield group("conv-2d", [at(conv(3, 4, (2, 5), stride=2, padding=1), "conv")], section, "a convolution of two axes")
    yield group("conv-3d", [at(conv(2, 3, (2, 3, 4)), "conv")], section, "a convolution of three axes")
    net = [at(conv(4, 6, (2, 3), groups=2), "grouped"), at(conv(6, 6, (3, 2), groups=6), "depthwise")]
    yield group("conv-grouped", net, section, "convolutions in groups: two, then one for each channel")
    for slug, layer, comment in (
        ("1d", conv_transpose(3, 2, (4,)), "a transposed convolution: places backwards"),
        ("2d", conv_transpose(3, 2, (4, 3)), "a transposed convolution: both axes of places backwards"),
        ("square", conv_transpose(2, 2, (3, 3)), "a transposed convolution that fits in every layout"),
    ):
        yield group(f"conv-transpose-{slug}", [at(layer, "up")], section, comment)
    comment = "a transposed convolution whose kernel Flax keeps as torch does: nothing backwards"
    # From torch the usual layout is taken: that Flax's module is to have `transpose_kernel` is not in the file.
    none = ["torch-to-linen", "torch-to-nnx"]
    kept = conv_transpose(2, 3, (3, 4), kept=True)
    yield group("conv-transpose-kernel", [at(kept, "up")], section, comment, without=none)
    square = conv_transpose(3, 3, (3, 3), kept=True)
    yield group("conv-transpose-kernel-square", [at(square, "up")], section, f"{comment}; square", without=none)
    yield group(
        "conv-transpose-grouped",
        [at(conv_transpose(4, 6, (3, 2), groups=2), "up")],
        section,
        "a transposed convolution in two groups: in Flax one kernel with zeros, and back a dense one",
        back={"torch-back": [at(conv_transpose(4, 6, (3, 2), plain=True), "up")]},
    )
