"""What is no weight: told in the target's words where it is recorded, and where the template says otherwise."""

import itertools
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax import linen as nn
from flax import nnx
from sources import source

from ptformat.converters import flax_to_torch, plan, torch_to_flax
from ptformat.converters.objects import source_of


def told(thing: Any, to: str, template: Any = None, **options: Any) -> list[str]:
    """The lines of the report about what is no weight."""
    there = None if template is None else source_of(template)
    report = plan(source_of(thing), to=to, template=there, **options).report()
    return [line for line in report if line.startswith(("set ", "differs "))]


def linen(module: nn.Module, *shape: int) -> tuple[nn.Module, tuple[np.ndarray]]:
    return module, (np.zeros(shape, np.float32),)


class Norms(torch.nn.Module):
    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.a = torch.nn.LayerNorm(6, **options)
        self.b = torch.nn.LayerNorm(6, **options)


class LinenNorms(nn.Module):
    a_eps: float = 1e-6
    fast: bool = False

    @nn.compact
    def __call__(self, x: Any) -> Any:
        x = nn.LayerNorm(epsilon=self.a_eps, use_fast_variance=self.fast, name="a")(x)
        return nn.LayerNorm(epsilon=1e-5, use_fast_variance=self.fast, name="b")(x)


def test_a_layer_norm() -> None:
    assert told(Norms(), "linen") == [
        "set       epsilon=1e-05, use_fast_variance=False (by default epsilon=1e-06, use_fast_variance=True) "
        "for layer_norm in a, b"
    ]
    assert told(Norms(eps=1e-6), "nnx") == [
        "set       epsilon=1e-06, use_fast_variance=False (by default use_fast_variance=True) for layer_norm in a, b"
    ]


def test_a_template_that_has_another_eps() -> None:
    there = linen(LinenNorms(), 2, 6)
    assert told(Norms(), "linen", there) == [
        "differs   epsilon is 1e-06 in the template, 1e-05 in the source: layer_norm in a"
    ]
    assert told(Norms(), "linen", linen(LinenNorms(1e-5), 2, 6)) == []
    assert told(Norms(), "linen", linen(LinenNorms(1e-5, fast=True), 2, 6)) == [
        "set       use_fast_variance=False (by default use_fast_variance=True) for layer_norm in a, b"
    ]


def test_where_nothing_is_recorded() -> None:
    held = source({"n.weight": (4,), "n.bias": (4,), "c.weight": (4, 3, 2, 2)}, convention="torch")
    assert [line for line in plan(held, to="linen").report() if line.startswith("set ")] == [
        "set       eps of norms is not in the file: torch's default is 1e-05, Flax's 1e-06",
        "set       strides and padding of conv are not in the file: torch's default is padding=0, "
        "Flax's padding='SAME'",
    ]
    held = source({"n.weight": (4,), "n.running_mean": (4,), "n.running_var": (4,)}, convention="torch")
    assert [line for line in plan(held, to="nnx", kinds=[("n", "batch_norm")]).report() if line.startswith("set ")] == [
        "set       eps and momentum of batch_norm are not in the file: torch's defaults are 1e-05 and 0.1, "
        "Flax's 1e-05 and 0.99; a momentum of 0.1 there is 0.9 here"
    ]


def test_a_batch_norm() -> None:
    assert told(torch.nn.Sequential(torch.nn.BatchNorm2d(3, eps=1e-3, momentum=0.2)), "linen") == [
        "set       epsilon=0.001, momentum=0.8 (by default epsilon=1e-05, momentum=0.99) for batch_norm in 0"
    ]
    norm = nnx.BatchNorm(3, momentum=0.8, rngs=nnx.Rngs(0))
    assert told(norm, "torch") == [
        "set       eps=1e-05, momentum=0.2 (by default momentum=0.1) for batch_norm in the model"
    ]


def test_an_rms_norm_without_eps() -> None:
    assert told(torch.nn.Sequential(torch.nn.RMSNorm(5)), "linen") == [
        "set       epsilon=1.19209e-07 (by default epsilon=1e-06) for rms_norm in 0"
    ]


def test_a_group_norm_and_an_instance_norm() -> None:
    assert told(torch.nn.Sequential(torch.nn.GroupNorm(2, 6)), "linen") == [
        "set       epsilon=1e-05, num_groups=2, use_fast_variance=False "
        "(by default epsilon=1e-06, use_fast_variance=True) for group_norm in 0"
    ]
    net = torch.nn.Sequential(torch.nn.InstanceNorm2d(3, affine=True, track_running_stats=True))
    (first, second) = told(net, "linen")
    assert first.startswith("set       BatchNorm with use_running_average=True, for running statistics in evaluation, ")
    assert second.startswith("set       epsilon=1e-05, momentum=0.9, use_fast_variance=False")


def test_an_embedding_has_no_place_for_these() -> None:
    net = torch.nn.Sequential(torch.nn.Embedding(5, 3, padding_idx=1, max_norm=2.0))
    assert told(net, "linen") == [
        "set       nothing for padding_idx=1, for which Flax has no place, of embedding in 0",
        "set       nothing for max_norm=2.0, for which Flax has no place, of embedding in 0",
    ]


def test_a_gelu() -> None:
    exact, tanh = torch.nn.GELU(), torch.nn.GELU(approximate="tanh")
    assert told(torch.nn.Sequential(torch.nn.Linear(2, 3), exact, tanh), "linen") == [
        "set       approximate=False (by default True) for jax.nn.gelu in 1"
    ]
    assert told(torch.nn.Sequential(torch.nn.Linear(2, 3), tanh), "nnx") == []


def test_attention_and_rnn() -> None:
    assert told(torch.nn.MultiheadAttention(6, 2), "linen") == ["set       num_heads=2 for attention in the model"]
    assert told(torch.nn.RNNCell(3, 5, nonlinearity="relu"), "linen") == [
        "set       activation_fn=jax.nn.relu for rnn in the model"
    ]
    assert told(torch.nn.RNNCell(3, 5), "linen") == []
    assert told(torch.nn.LSTMCell(3, 5), "linen") == []


# Convolutions


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"kernel_size": 1}, []),
        ({"kernel_size": 1, "stride": 2}, ["strides=(2, 2)"]),
        ({"kernel_size": 3}, ["padding='VALID'"]),
        ({"kernel_size": 3, "padding": 1}, ["padding=[(1, 1), (1, 1)]"]),
        ({"kernel_size": 7, "padding": 3, "stride": 2}, ["strides=(2, 2), padding=[(3, 3), (3, 3)]"]),
        ({"kernel_size": (2, 3), "dilation": 2}, ["padding='VALID', kernel_dilation=(2, 2)"]),
        ({"kernel_size": 3, "groups": 2}, ["padding='VALID', feature_group_count=2"]),
        ({"kernel_size": (2, 3), "padding": "same"}, ["padding=[(0, 1), (1, 1)]"]),
        ({"kernel_size": 3, "padding": 1, "padding_mode": "circular"}, ["padding='CIRCULAR'"]),
        (
            {"kernel_size": 3, "padding": 1, "padding_mode": "reflect"},
            ["padding=[1, 1], mode='reflect' by jax.numpy.pad before it"],
        ),
    ],
)
def test_a_convolution(options: dict[str, Any], says: list[str]) -> None:
    net = torch.nn.Sequential(torch.nn.Conv2d(4, 6, **options))
    assert told(net, "linen") == [f"set       {words} for conv in 0" for words in says]


def test_a_convolution_of_a_template() -> None:
    net = torch.nn.Conv2d(3, 4, 3, padding=1)
    assert told(net, "linen", linen(nn.Conv(4, (3, 3)), 1, 5, 5, 3)) == []  # 'SAME' is one on each side
    assert told(net, "linen", linen(nn.Conv(4, (3, 3), strides=2), 1, 5, 5, 3)) == [
        "differs   strides is (2, 2) in the template, (1, 1) in the source: conv in the model",
        "differs   padding is 'SAME' in the template, [(1, 1), (1, 1)] in the source: conv in the model",
    ]
    down = torch.nn.Conv2d(3, 4, 1, stride=2)
    assert told(down, "linen", linen(nn.Conv(4, (1, 1), strides=2), 1, 5, 5, 3)) == []


def test_a_convolution_of_flax_in_torchs_words() -> None:
    def words(**options: Any) -> list[str]:
        return told(nnx.Conv(3, 4, (3, 3), rngs=nnx.Rngs(0), **options), "torch")

    assert words() == ["set       padding=(1, 1) for conv in the model"]
    assert words(padding="VALID") == ["set       padding=(0, 0) for conv in the model"]
    assert words(strides=2) == [
        "set       stride=(2, 2), padding=SAME by torch.nn.functional.pad before it for conv in the model"
    ]
    assert words(padding=[(0, 1), (1, 1)]) == [
        "set       padding=[(0, 1), (1, 1)] by torch.nn.functional.pad before it for conv in the model"
    ]
    assert words(padding="CIRCULAR") == ["set       padding='same', padding_mode='circular' for conv in the model"]


def test_a_transposed_convolution_of_flax_in_torchs_words() -> None:
    def words(**options: Any) -> list[str]:
        return told(nnx.ConvTranspose(3, 4, (3, 3), rngs=nnx.Rngs(0), **options), "torch")

    assert words() == ["set       padding=(1, 1) for conv_transpose in the model"]
    assert words(padding="VALID") == ["set       padding=(0, 0) for conv_transpose in the model"]
    assert words(strides=2, padding=[(1, 2), (1, 1)]) == [
        "set       stride=(2, 2), padding=(1, 1), output_padding=(1, 0) for conv_transpose in the model"
    ]
    assert words(padding=[(1, 0), (1, 1)]) == [
        "set       what padding=[(1, 0), (1, 1)] of Flax gives, for which torch has no word, for conv_transpose in the "
        "model"
    ]


TRANSPOSED = [
    {"stride": s, "padding": p, "output_padding": o, "dilation": d}
    for s, p, o, d in itertools.product((1, 2, 3), (0, 1), (0, 1), (1, 2))
    if o < max(s, d)
]


@pytest.mark.parametrize("options", TRANSPOSED)
def test_what_is_said_of_a_transposed_convolution_makes_the_same_outputs(options: dict[str, int]) -> None:
    torch.manual_seed(0)
    net = torch.nn.ConvTranspose2d(3, 4, (3, 4), **options)
    (line,) = told(net, "linen")
    words = line.removeprefix("set       ").partition(" for conv_transpose")[0]
    said = eval(f"dict({words})", {"__builtins__": {"dict": dict}})
    if "strides" not in said:
        said["strides"] = (1, 1)
    model = nn.ConvTranspose(4, (3, 4), **said)
    x = np.random.default_rng(0).standard_normal((2, 3, 5, 6)).astype(np.float32)
    got = model.apply(torch_to_flax(net), jnp.asarray(x.transpose(0, 2, 3, 1)))
    with torch.no_grad():
        expected = net(torch.from_numpy(x)).numpy()
    assert float(np.abs(np.asarray(got).transpose(0, 3, 1, 2) - expected).max()) < 1e-5


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize("stride", [1, 2, 3, 5])
def test_the_words_of_flax_are_told_as_numbers(padding: str, stride: int) -> None:
    """What is said in torch's words of a transposed convolution of Flax, where torch has words for it."""
    model = nnx.ConvTranspose(3, 4, (3, 3), strides=(stride, stride), padding=padding, rngs=nnx.Rngs(0))
    same = nnx.ConvTranspose(3, 4, (3, 3), strides=(stride, stride), rngs=nnx.Rngs(0))
    pairs = [line for line in told(model, "linen") if "padding=" in line]
    text = pairs[0].partition("padding=")[2].partition(" for ")[0]
    same.padding = eval(text, {})
    x = jnp.ones((1, 6, 7, 3))
    np.testing.assert_array_equal(np.asarray(model(x)), np.asarray(same(x)))


def test_the_form_of_a_transposed_kernel() -> None:
    net = torch.nn.ConvTranspose2d(3, 4, 3)
    there = linen(nn.ConvTranspose(4, (3, 3), padding="VALID", transpose_kernel=True), 1, 5, 5, 3)
    assert told(net, "linen", there) == []
    assert told(net, "linen", kinds=[("*", "conv_transpose:transpose_kernel")]) == [
        "set       padding=[(2, 2), (2, 2)], transpose_kernel=True for conv_transpose in the model"
    ]


def test_flax_has_no_groups_in_a_transposed_convolution() -> None:
    net = torch.nn.ConvTranspose2d(4, 6, (3, 2), 2, 1, groups=2)
    assert told(net, "linen") == ["set       strides=(2, 2), padding=[(1, 1), (0, 0)] for conv_transpose in the model"]


def test_epsilon_of_a_weight_norm_is_no_eps_of_torchs() -> None:
    def normed(epsilon: float) -> nnx.Dict:
        rngs = nnx.Rngs(0)
        return nnx.Dict(a=nnx.WeightNorm(nnx.Linear(3, 4, rngs=rngs), epsilon=epsilon, rngs=rngs))

    assert told(normed(1e-12), "torch") == []
    assert told(normed(1e-12), "linen") == []
    assert told(normed(1e-3), "torch") == []
    assert told(normed(1e-3), "linen") == ["set       epsilon=0.001 (by default epsilon=1e-12) for linear in a"]


def test_lists_of_many_modules() -> None:
    net = torch.nn.Sequential(*(torch.nn.Conv1d(3, 3, 3) for _ in range(5)))
    assert told(net, "linen") == ["set       padding='VALID' for conv in 0, 1 and 3 more"]


def test_the_way_back_by_provenance_says_nothing(tmp_path: Any) -> None:
    variables = torch_to_flax(Norms())
    assert told(variables, "torch", kinds=[("*", "layer_norm")]) == [
        "set       eps of layer_norm is not in the file: Flax's default is 1e-06, torch's 1e-05"
    ]
    assert [*flax_to_torch(variables, kinds=[("*", "layer_norm")])] == ["a.weight", "a.bias", "b.weight", "b.bias"]
