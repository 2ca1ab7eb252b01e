"""Every bit of a narrow type comes through every kind of operation: NaN payloads, -0, subnormals; nothing is cast."""

import itertools

import jax
import ml_dtypes
import numpy as np
import pytest
import torch
from sources import bits, read, same

from ptformat.columns import Header
from ptformat.converters import ConversionError, convert, flax_to_torch, plan, torch_to_flax
from ptformat.converters.content import MemorySource, Saving, whole
from ptformat.converters.files import write
from ptformat.converters.stacks import Stack
from ptformat.tree import TensorInfo

NARROW = ("bfloat16", "float16", "float8_e4m3fn", "float8_e5m2")
TORCH = {
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
    "float8_e4m3fn": torch.float8_e4m3fn,
    "float8_e5m2": torch.float8_e5m2,
}
# Bits that arithmetic, or a way through another type, would not leave alone: -0, subnormals, quiet and signalling NaN
# with payloads, infinities.
ODD = {
    "bfloat16": [0x8000, 0x0001, 0x807F, 0x7FC1, 0xFFAB, 0x7F81, 0x7F80, 0xFF80],
    "float16": [0x8000, 0x0001, 0x83FF, 0x7E01, 0xFEAB, 0x7C01, 0x7C00, 0xFC00],
    "float8_e4m3fn": [0x80, 0x01, 0x87, 0x7F, 0xFF, 0x7E],
    "float8_e5m2": [0x80, 0x01, 0x83, 0x7D, 0xFE, 0x7F, 0x7C, 0xFC],
}
SHAPES = {
    "fc.weight": (16, 12),  # permuted
    "fc.bias": (16,),
    "words.weight": (17, 6),  # as it is
    "conv.weight": (5, 3, 2, 4),  # permuted
    "up.weight": (4, 6, 3, 2),  # permuted and flipped
    "up.bias": (6,),
    "attention.in_proj_weight": (24, 8),  # split
    "attention.in_proj_bias": (24,),
    "attention.out_proj.weight": (8, 8),
    "attention.out_proj.bias": (8,),
    "lstm.weight_ih_l0": (20, 7),  # split
    "lstm.weight_hh_l0": (20, 5),
    **{
        f"experts.{i}.{name}": shape for i in range(3) for name, shape in (("weight", (9, 4)), ("bias", (9,)))
    },  # stacked
    "image.weight": (10, 36),  # as (10, 4, 3, 3), permuted, as (36, 10)
}
RULES = {
    "kinds": [
        ("up", "conv_transpose"),
        ("conv", "conv"),
        ("words", "embedding"),
        ("attention", "attention(heads=2)"),
        ("image", "flatten_linear(channels=4,y=3,x=3)"),
        ("fc", "linear"),
        ("experts?*", "linear"),
    ],
    "stacks": [Stack("experts")],
}


def odd(dtype, shape, seed):
    """Random bits, all of the odd ones among them where there is room."""
    array = bits(dtype, shape, seed)
    flat = array.reshape(-1).view(f"u{array.dtype.itemsize}")
    flat[: len(ODD[dtype])] = ODD[dtype][: len(flat)]
    return array


def checkpoint(path, dtypes):
    """A file of torch's names; the types take turns, one for each module."""
    modules = list(dict.fromkeys(name.partition(".")[0] for name in SHAPES))
    turns = dict(zip(modules, itertools.cycle(dtypes), strict=False))
    arrays = {
        name: odd(turns[name.partition(".")[0]], shape, seed) for seed, (name, shape) in enumerate(SHAPES.items())
    }
    items = [(TensorInfo(name, str(array.dtype), array.shape), array) for name, array in arrays.items()]
    write(whole(MemorySource(items, Header(convention="torch"))), path, Saving(durable=False))
    return arrays


@pytest.mark.parametrize("goal", ["linen", "nnx"])
@pytest.mark.parametrize("dtypes", [*((one,) for one in NARROW), NARROW], ids="-".join)
def test_there_and_back(dtypes, goal, tmp_path):
    first, there, back, by_template = (
        tmp_path / name for name in ("first.safetensors", "there.ptf", "back.ptf", "template.safetensors")
    )
    arrays = checkpoint(first, dtypes)
    made = convert(first, there, to=goal, durable=False, **RULES)
    assert {step.exactness for step in made.steps.values()} == {"bit"}
    assert {step.operation.split("(")[0].split(" ")[0] for step in made.steps.values()} >= {"stack"}
    found = read(there)
    root = "params." if goal == "linen" else ""
    assert same(found[f"{root}fc.kernel"], arrays["fc.weight"].T)
    assert same(found[f"{root}conv.kernel"], arrays["conv.weight"].transpose(2, 3, 1, 0))
    assert same(found[f"{root}up.kernel"], arrays["up.weight"].transpose(2, 3, 0, 1)[::-1, ::-1])
    query, key, value = (part.T.reshape(8, 2, 4) for part in np.split(arrays["attention.in_proj_weight"], 3))
    for name, part in (("query", query), ("key", key), ("value", value)):
        assert same(found[f"{root}attention.{name}.kernel"], part)
    assert same(found[f"{root}experts.kernel"], np.stack([arrays[f"experts.{i}.weight"].T for i in range(3)]))
    image = arrays["image.weight"].reshape(10, 4, 3, 3).transpose(2, 3, 1, 0).reshape(36, 10)
    assert same(found[f"{root}image.kernel"], image)
    assert sum(array.nbytes for array in found.values()) == sum(array.nbytes for array in arrays.values())

    assert convert(there, back, to="torch", durable=False).undone
    rules = {"kinds": RULES["kinds"]}
    convert(there, by_template, to="torch", template=first, durable=False, **rules)
    for path in (back, by_template):
        again = read(path)
        assert list(again) == list(read(first))
        assert [name for name, array in arrays.items() if not same(again[name], array)] == []


@pytest.mark.parametrize("dtype", NARROW)
def test_live_arrays(dtype):
    """Through torch's tensors and JAX's arrays too."""
    arrays = {
        name: odd(dtype, shape, seed) for seed, (name, shape) in enumerate(SHAPES.items()) if "experts" not in name
    }
    state = {
        name: torch.from_numpy(array.view(f"u{array.dtype.itemsize}")).view(TORCH[dtype])
        for name, array in arrays.items()
    }
    rules = {"kinds": [pair for pair in RULES["kinds"] if "experts" not in pair[0]]}
    variables = torch_to_flax(state, **rules)
    leaves = jax.tree.leaves(variables)
    assert {leaf.dtype for leaf in leaves} == {np.dtype(getattr(ml_dtypes, dtype, dtype))}
    back = flax_to_torch(variables, template=state, **rules)
    assert list(back) == list(state)
    for name, array in arrays.items():
        assert back[name].dtype == TORCH[dtype]
        assert back[name].contiguous().view(torch.uint8).numpy().tobytes() == array.tobytes()


def linear(path, name, dtype, shape=(6, 4), names=("fc.weight",)):
    array = odd(dtype, shape, 1)
    items = [(TensorInfo(one, dtype, shape), array) for one in names]
    write(whole(MemorySource(items, Header(convention=name))), path, Saving(durable=False))
    return array


@pytest.mark.parametrize(
    ("dtype", "other"), [("bfloat16", "float32"), ("float16", "bfloat16"), ("float8_e4m3fn", "float16")]
)
def test_a_template_of_another_type_is_an_error_that_names_cast(dtype, other, tmp_path):
    source, template, target = (tmp_path / name for name in ("s.ptf", "t.ptf", "out.ptf"))
    linear(source, "torch", dtype)
    items = [(TensorInfo("params.fc.kernel", other, (4, 6)), np.zeros((4, 6), getattr(ml_dtypes, other, other)))]
    write(whole(MemorySource(items, Header(convention="flax.linen"))), template, Saving(durable=False))
    with pytest.raises(ConversionError) as caught:
        convert(source, target, to="linen", template=template, durable=False)
    (problem,) = caught.value.problems
    assert problem.kind == "dtype"
    assert problem.text == (
        f"fc.weight (6, 4) is {dtype} → params/fc/kernel is {other} in the template; nothing is cast without "
        f"--cast 'params/fc/kernel={other}'"
    )
    assert not target.exists()
    # What the message says is taken as it stands.
    convert(source, target, to="linen", template=template, cast=[("params/fc/kernel", other)], durable=False)
    assert read(target)["params.fc.kernel"].dtype == getattr(ml_dtypes, other, other)


@pytest.mark.parametrize(
    ("dtype", "other", "exactness"),
    [
        ("bfloat16", "float32", "bit"),
        ("float16", "float32", "bit"),
        ("float8_e4m3fn", "bfloat16", "bit"),
        ("float8_e5m2", "float16", "bit"),
        ("float16", "bfloat16", "rounded"),
        ("bfloat16", "float16", "rounded"),
        ("float16", "float8_e5m2", "rounded"),
        ("bfloat16", "float8_e4m3fn", "rounded"),
    ],
)
def test_casts_that_are_asked_for(dtype, other, exactness, tmp_path):
    source, target = tmp_path / "s.ptf", tmp_path / "out.ptf"
    array = linear(source, "torch", dtype, names=("fc.weight", "top.weight"))
    rules = {"cast": [("params/fc/*", other)], "kinds": [("*", "linear")]}
    planned = plan(source, to="linen", **rules)
    steps = {step.shown_target: step for step in planned.steps.values()}
    assert steps["params/fc/kernel"].exactness == exactness
    assert steps["params/fc/kernel"].operation.endswith(f"cast to {other}")
    assert steps["params/top/kernel"].exactness == "bit"
    summary = planned.report()[-1]
    assert ("of 2 steps 1 is exact, 1 is rounded" in summary) == (exactness == "rounded")
    assert ("all 2 steps are exact" in summary) == (exactness == "bit")
    convert(source, target, to="linen", durable=False, **rules)
    found = read(target)
    with np.errstate(all="ignore"):
        expected = array.T.astype(getattr(ml_dtypes, other, other))
    assert found["params.fc.kernel"].dtype == expected.dtype
    finite = ~np.isnan(expected.astype(np.float32))
    assert finite.sum() > 10
    assert same(np.ascontiguousarray(found["params.fc.kernel"][finite]), np.ascontiguousarray(expected[finite]))
    assert np.isnan(found["params.fc.kernel"].astype(np.float32)[~finite]).all()
    assert same(found["params.top.kernel"], array.T)
