"""Layouts: what is read of a form is what is written in it, for every kind and form of every table."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ptformat.converters.conventions import CONVENTIONS, KINDS, LINEN, NNX, SPATIAL, TORCH, Convention, Form, Kind, Slot
from ptformat.converters.conventions.axes import ANY, SPATIAL_AXES
from ptformat.converters.evaluate import nonzero, whole
from ptformat.converters.layout import named_axes, read, sizes_of, unknown, written
from ptformat.converters.operations import Given, Operation, exactness

Array = npt.NDArray[Any]
Arrays = dict[str, Array]

FORMS = [
    (name, kind, form.name)
    for name, table in CONVENTIONS.items()
    for kind, forms in table.forms.items()
    for form in forms
    if not form.fold
]
FOLDED = [
    pytest.param(KINDS[kind], form, id=f"{kind}:{form.name}")
    for kind, forms in TORCH.forms.items()
    for form in forms
    if form.fold
]


def form_of(table: Convention, kind: str, name: str = "") -> Form:
    return next(form for form in table.forms[kind] if form.name == name)


def named(arrays: Arrays) -> dict[str, Operation]:
    return {name: Given(name, array.shape, array.dtype.name) for name, array in arrays.items()}


def values(op: Operation, arrays: Arrays) -> Array:
    return whole(op, lambda given: arrays[given.path])


def axes_of(kind: Kind, parameter: str, sizes: Mapping[str, int]) -> list[str]:
    """A parameter's axes with those that stand for several spelled out."""
    found: list[str] = []
    for name in kind.parameters[parameter]:
        if name == SPATIAL:
            found += [one for one in "zyx" if one in sizes]
        elif name == ANY:
            found += [one for one in sizes if one.startswith("axis")]
        else:
            found.append(name)
    return found


def alike(kind: Kind, form: Form) -> dict[str, str]:
    """Axes that have another's size in a form: those that share a place, and those of the kind's own that do."""
    found = dict(zip(kind.same[1:], kind.same[:1], strict=True))
    for slot in form.slots:
        for dim in slot.dims:
            for name in dim:
                first, *others = name.split("|")
                if others and (dim[0] != "*" or len(dim) == 1):
                    found.update(dict.fromkeys(others, first))
    return found


def sizes_for(data: st.DataObject, kind: Kind, form: Form) -> dict[str, int]:
    """A size for each name of an axis."""
    sizes: dict[str, int] = {}
    names = dict.fromkeys(name for axes in kind.parameters.values() for name in axes)
    for name in names:
        if name == SPATIAL:
            several: Any = SPATIAL_AXES[data.draw(st.integers(1, 3))]
        elif name == ANY:
            several = [f"axis{i}" for i in range(data.draw(st.integers(2, 3)))]
        else:
            several = form.refine.get(name, (name,))
        for one in several:
            sizes[one] = data.draw(st.integers(1, 4))
        if name in form.refine:
            sizes[name] = math.prod(sizes[one] for one in form.refine[name])
    for name, other in alike(kind, form).items():
        if name in sizes:
            sizes[name] = sizes[other]
    return sizes


def random_parameters(kind: Kind, form: Form, sizes: Mapping[str, int], seed: int, left_out: set[str]) -> Arrays:
    random = np.random.default_rng(seed)
    return {
        name: random.integers(-99, 100, [sizes[one] for one in axes_of(kind, name, sizes)]).astype(np.float32)
        for name in kind.parameters
        if form.holding(name) and (name in kind.essential or name not in left_out)
    }


def laid(kind: Kind, form: Form, parameters: Arrays, sizes: Mapping[str, Any]) -> dict[Slot, Array]:
    made = {slot: written(kind, form, slot, named(parameters), sizes) for slot in form.slots}
    return {slot: values(op, parameters) for slot, op in made.items() if op is not None}


def read_again(kind: Kind, form: Form, held: dict[Slot, Array], sizes: Mapping[str, Any]) -> tuple[Arrays, int]:
    """Neutral parameters, and how many elements are not zero that must be."""
    arrays = {slot.name: array for slot, array in held.items()}
    ops = named(arrays)
    reading = read(kind, form, {slot: ops[slot.name] for slot in held}, sizes)
    found = {name: values(op, arrays) for name, op in reading.parameters.items()}
    return found, sum(nonzero(each.made, lambda given: arrays[given.path]) for each in reading.conditions)


@pytest.mark.parametrize(("table", "of", "name"), FORMS)
@given(data=st.data())
@settings(max_examples=10, deadline=None)
def test_what_is_written_is_read_again(table: str, of: str, name: str, data: st.DataObject) -> None:
    kind, form = KINDS[of], form_of(CONVENTIONS[table], of, name)
    sizes: dict[str, Any] = sizes_for(data, kind, form)
    known = {**sizes, "alpha": sizes["rank"] * 4} if "rank" in sizes else sizes
    left_out = data.draw(st.sets(st.sampled_from([*kind.parameters])))
    parameters = random_parameters(kind, form, sizes, data.draw(st.integers(0, 9)), left_out)
    assert unknown(kind, form, parameters, known) == []
    held = laid(kind, form, parameters, known)
    found, left = read_again(kind, form, held, known)
    assert left == 0
    assert {*found} >= {*parameters}
    for name, array in found.items():
        expected = parameters.get(name, np.zeros_like(array))  # what lies beside others in one tensor is zero
        assert array.shape == tuple(sizes[one] for one in axes_of(kind, name, sizes))
        np.testing.assert_array_equal(array, expected, strict=True)


@pytest.mark.parametrize(("table", "of", "name"), FORMS)
@given(data=st.data())
@settings(max_examples=6, deadline=None)
def test_what_is_read_is_written_again(table: str, of: str, name: str, data: st.DataObject) -> None:
    """Bit for bit, but for tensors that are added up and blocks off the diagonal."""
    kind, form = KINDS[of], form_of(CONVENTIONS[table], of, name)
    sizes: dict[str, Any] = sizes_for(data, kind, form)
    if any("flip" in slot.axes or slot.axes.count("groups") > 1 for slot in form.slots):
        sizes["groups"] = 1
    known = {**sizes, "alpha": sizes["rank"] * 4} if "rank" in sizes else sizes
    random = np.random.default_rng(data.draw(st.integers(0, 9)))
    shapes = laid(kind, form, random_parameters(kind, form, sizes, 0, set()), known)
    held = {slot: random.standard_normal(like.shape).astype(np.float32) for slot, like in shapes.items()}
    for slot in held:
        if slot.addends:
            held[slot][...] = 0
    arrays = {slot.name: array for slot, array in held.items()}
    ops = named(arrays)
    reading = read(kind, form, {slot: ops[slot.name] for slot in held}, known)
    for slot, array in held.items():
        again = written(kind, form, slot, reading.parameters, known)
        assert again is not None
        if not any(one.addends & {*slot.holds} for one in form.slots):
            np.testing.assert_array_equal(values(again, arrays), array, strict=True)
            assert slot.scale or exactness(again) == "bit"


@pytest.mark.parametrize(("table", "of", "name"), FORMS)
@given(data=st.data())
@settings(max_examples=6, deadline=None)
def test_sizes_are_those_of_the_shapes(table: str, of: str, name: str, data: st.DataObject) -> None:
    kind, form = KINDS[of], form_of(CONVENTIONS[table], of, name)
    sizes: dict[str, Any] = sizes_for(data, kind, form)
    known = {**sizes, "alpha": sizes["rank"] * 4} if "rank" in sizes else sizes
    parameters = random_parameters(kind, form, sizes, 0, set())
    shapes = {slot: array.shape for slot, array in laid(kind, form, parameters, known).items()}
    found = sizes_of(kind, [(form, shapes)], known)
    assert found is not None
    assert {name: found[name] for name in known} == known
    within = any(len(dim) > 1 and SPATIAL in dim for slot in form.slots for dim in slot.dims)
    alone = sizes_of(kind, [(form, shapes)], {})
    if within:
        assert alone is None  # nothing says how many axes lie in one
    elif sizes.get("groups", 1) == 1 and sizes.get("kv_heads") == sizes.get("heads"):
        assert alone is not None
        assert {name: size for name, size in alone.items() if name in sizes and sizes[name] != size} == {}
    several = [slot for slot, shape in shapes.items() if shape]
    if not several:
        return
    slot = data.draw(st.sampled_from(several))
    axis = data.draw(st.integers(0, len(shapes[slot]) - 1))
    wrong = {**shapes, slot: tuple(size + (i == axis) for i, size in enumerate(shapes[slot]))}
    assert sizes_of(kind, [(form, wrong)], known) is None
    wrong = {**shapes, slot: (*shapes[slot], 2, 2, 2, 2)}
    assert form.slots[0].axes == "*axes" or sizes_of(kind, [(form, wrong)], known) is None


def across(
    kind: str, origin: Form, goal: Form, arrays: Arrays, **facts: Any
) -> tuple[dict[str, Array], list[tuple[str, int]]]:
    """A module from one form to another: its tensors, and how many elements of what must be zero are not."""
    neutral = KINDS[kind]
    slots = {slot: arrays[slot.name] for slot in origin.slots if slot.name in arrays}
    shapes = {slot: array.shape for slot, array in slots.items()}
    sizes = sizes_of(neutral, [(origin, shapes), (goal, {})], facts)
    assert sizes is not None
    sizes = {**facts, **sizes}
    ops = named(arrays)
    reading = read(neutral, origin, {slot: ops[slot.name] for slot in slots}, sizes)
    made = {slot.name: written(neutral, goal, slot, reading.parameters, sizes) for slot in goal.slots}
    left = [(each.text, nonzero(each.made, lambda given: arrays[given.path])) for each in reading.conditions]
    return {name: values(op, arrays) for name, op in made.items() if op is not None}, left


def draw_array(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(np.float32)


def check(made: dict[str, Array], expected: dict[str, Array]) -> None:
    assert [*made] == [*expected]
    for name, array in expected.items():
        np.testing.assert_array_equal(made[name], array, strict=True)


def test_attention() -> None:
    """Queries, keys and values lie one after the other; a head's rows are neighbours."""
    arrays = {
        "in_proj_weight": draw_array(3 * 6, 5),
        "in_proj_bias": draw_array(3 * 6),
        "out_proj.weight": draw_array(5, 6),
        "out_proj.bias": draw_array(5),
    }
    weights, biases = np.split(arrays["in_proj_weight"], 3), np.split(arrays["in_proj_bias"], 3)
    expected: dict[str, Array] = {}
    for name, weight, bias in zip(("query", "key", "value"), weights, biases, strict=True):
        expected[f"{name}.kernel"] = weight.T.reshape(5, 2, 3)
        expected[f"{name}.bias"] = bias.reshape(2, 3)
    expected["out.kernel"] = arrays["out_proj.weight"].T.reshape(2, 3, 5)
    expected["out.bias"] = arrays["out_proj.bias"]
    for goal in (LINEN, NNX):
        made, left = across("attention", form_of(TORCH, "attention"), form_of(goal, "attention"), arrays, heads=2)
        assert left == []
        check(made, expected)
        back, _ = across("attention", form_of(goal, "attention"), form_of(TORCH, "attention"), made)
        check(back, arrays)


@pytest.mark.parametrize("name", ["qkv", "heads_qkv"])
def test_packed_attention(name: str) -> None:
    """What is right for one packing is wrong for the other, though every shape fits."""
    weight = draw_array(3 * 6, 5)
    arrays = {"qkv.weight": weight, "proj.weight": draw_array(5, 6)}
    order = (3, 2, 3, 5) if name == "qkv" else (2, 3, 3, 5)
    split = weight.reshape(order) if name == "qkv" else weight.reshape(order).transpose(1, 0, 2, 3)
    made, _ = across("attention", form_of(TORCH, "attention", name), form_of(LINEN, "attention"), arrays, heads=2)
    for i, part in enumerate(("query", "key", "value")):
        np.testing.assert_array_equal(made[f"{part}.kernel"], split[i].transpose(2, 0, 1), strict=True)
    other = "heads_qkv" if name == "qkv" else "qkv"
    wrong, _ = across("attention", form_of(TORCH, "attention", other), form_of(LINEN, "attention"), arrays, heads=2)
    assert wrong["query.kernel"].shape == made["query.kernel"].shape
    assert np.abs(wrong["query.kernel"] - made["query.kernel"]).max() > 1


@pytest.mark.parametrize("goal", [LINEN, NNX], ids=["linen", "nnx"])
def test_lstm(goal: Convention) -> None:
    arrays = {
        "weight_ih": draw_array(4 * 2, 3),
        "weight_hh": draw_array(4 * 2, 2),
        "bias_ih": draw_array(8),
        "bias_hh": draw_array(8, seed=1),
    }
    made, _ = across("lstm", form_of(TORCH, "lstm"), form_of(goal, "lstm"), arrays)
    bias = arrays["bias_ih"] + arrays["bias_hh"]
    for i, gate in enumerate("ifgo"):
        rows = slice(2 * i, 2 * i + 2)
        name = "if_" if goal is NNX and gate == "f" else f"i{gate}"
        np.testing.assert_array_equal(made[f"{name}.kernel"], arrays["weight_ih"][rows].T, strict=True)
        np.testing.assert_array_equal(made[f"h{gate}.kernel"], arrays["weight_hh"][rows].T, strict=True)
        np.testing.assert_array_equal(made[f"h{gate}.bias"], bias[rows], strict=True)
    back, _ = across("lstm", form_of(goal, "lstm"), form_of(TORCH, "lstm"), made)
    check(back, {**arrays, "bias_ih": bias, "bias_hh": np.zeros_like(bias)})


def test_the_optimized_lstm_of_nnx() -> None:
    arrays = {"weight_ih": draw_array(8, 3), "weight_hh": draw_array(8, 2), "bias_ih": draw_array(8)}
    made, _ = across("lstm", form_of(TORCH, "lstm"), form_of(NNX, "lstm", "optimized"), arrays)
    check(
        made,
        {
            "dense_i.kernel": arrays["weight_ih"].T,
            "dense_h.kernel": arrays["weight_hh"].T,
            "dense_h.bias": arrays["bias_ih"],
        },
    )


def test_gru() -> None:
    arrays = {
        "weight_ih": draw_array(3 * 2, 3),
        "weight_hh": draw_array(3 * 2, 2),
        "bias_ih": draw_array(6),
        "bias_hh": draw_array(6, seed=1),
    }
    made, _ = across("gru", form_of(TORCH, "gru"), form_of(LINEN, "gru"), arrays)
    bias = arrays["bias_ih"] + arrays["bias_hh"]
    for i, gate in enumerate("rzn"):
        rows = slice(2 * i, 2 * i + 2)
        np.testing.assert_array_equal(made[f"i{gate}.kernel"], arrays["weight_ih"][rows].T, strict=True)
        np.testing.assert_array_equal(made[f"h{gate}.kernel"], arrays["weight_hh"][rows].T, strict=True)
        expected = arrays["bias_ih"][rows] if gate == "n" else bias[rows]
        np.testing.assert_array_equal(made[f"i{gate}.bias"], expected, strict=True)
    np.testing.assert_array_equal(made["hn.bias"], arrays["bias_hh"][4:], strict=True)
    back, _ = across("gru", form_of(LINEN, "gru"), form_of(TORCH, "gru"), made)
    zeros = np.zeros(4, np.float32)
    check(
        back,
        {
            **arrays,
            "bias_ih": np.concatenate([bias[:4], arrays["bias_ih"][4:]]),
            "bias_hh": np.concatenate([zeros, arrays["bias_hh"][4:]]),
        },
    )


@pytest.mark.parametrize("shape", [(4, 3, 5), (4, 3, 5, 2), (4, 3, 5, 2, 6)])
def test_transposed_convolutions(shape: tuple[int, ...]) -> None:
    """All spatial axes are reversed, but where flax transposes the kernel itself."""
    arrays = {"weight": draw_array(*shape), "bias": draw_array(3)}
    spatial = range(2, len(shape))
    origin = form_of(TORCH, "conv_transpose")
    for goal in (LINEN, NNX):
        made, left = across("conv_transpose", origin, form_of(goal, "conv_transpose"), arrays)
        assert left == []
        expected = np.flip(arrays["weight"].transpose(*spatial, 0, 1), range(len(shape) - 2))
        check(made, {"kernel": expected, "bias": arrays["bias"]})
        plain, _ = across("conv_transpose", origin, form_of(goal, "conv_transpose", "transpose_kernel"), arrays)
        check(plain, {"kernel": arrays["weight"].transpose(*spatial, 1, 0), "bias": arrays["bias"]})


def test_transposed_convolutions_of_groups_are_blocks_on_a_diagonal() -> None:
    arrays = {"weight": draw_array(4, 3, 5), "bias": draw_array(6)}  # two groups of two and three
    origin, goal = form_of(TORCH, "conv_transpose"), form_of(LINEN, "conv_transpose")
    made, left = across("conv_transpose", origin, goal, arrays, groups=2)
    assert left == []
    expected = np.zeros((5, 4, 6), np.float32)
    for group in range(2):
        rows = arrays["weight"][2 * group : 2 * group + 2]
        expected[:, 2 * group : 2 * group + 2, 3 * group : 3 * group + 3] = rows.transpose(2, 0, 1)[::-1]
    check(made, {"kernel": expected, "bias": arrays["bias"]})
    back, left = across("conv_transpose", goal, origin, made, groups=2)
    check(back, arrays)
    text = "kernel, of which a layer with 2 groups has only the blocks on the diagonal"
    assert left == [(text, 0), (text, 0)]
    made["kernel"][0, 0, 5] = 1
    _, left = across("conv_transpose", goal, origin, made, groups=2)
    assert sum(count for _, count in left) == 1


def test_flattened_axes() -> None:
    arrays = {"weight": draw_array(7, 2 * 3 * 5), "bias": draw_array(7)}
    sizes = {"channels": 2, "y": 3, "x": 5}
    made, _ = across(
        "flatten_linear", form_of(TORCH, "flatten_linear"), form_of(LINEN, "flatten_linear"), arrays, **sizes
    )
    expected = arrays["weight"].reshape(7, 2, 3, 5).transpose(2, 3, 1, 0).reshape(30, 7)
    check(made, {"kernel": expected, "bias": arrays["bias"]})
    back, _ = across(
        "flatten_linear", form_of(LINEN, "flatten_linear"), form_of(TORCH, "flatten_linear"), made, **sizes
    )
    check(back, arrays)


def test_several_axes_in_a_dense_layer() -> None:
    arrays = {"weight": draw_array(6, 4), "bias": draw_array(6)}
    made, _ = across("linear", form_of(TORCH, "linear"), form_of(LINEN, "linear", "split_out"), arrays, out1=2)
    check(made, {"kernel": arrays["weight"].T.reshape(4, 2, 3), "bias": arrays["bias"].reshape(2, 3)})
    made, _ = across("linear", form_of(TORCH, "linear"), form_of(LINEN, "linear", "split_in"), arrays, in2=4)
    check(made, {"kernel": arrays["weight"].T.reshape(1, 4, 6), "bias": arrays["bias"]})


@pytest.mark.parametrize("name", ["", "hook"])
@pytest.mark.parametrize(("of", "rank"), [("linear", 2), ("conv", 3), ("conv", 4), ("conv_transpose", 4)])
def test_weight_norm(of: str, rank: int, name: str) -> None:
    """The magnitude has one number for each row of the direction, in any of torch's two forms."""
    kind = f"weight_norm_{of}"
    origin = form_of(TORCH, kind, name)
    shape = (4, 3, 5, 2)[:rank]
    arrays = {origin.slots[0].name: draw_array(4, *[1] * (rank - 1)), origin.slots[1].name: draw_array(*shape)}
    for goal in (LINEN, NNX):
        made, _ = across(kind, origin, form_of(goal, kind), arrays)
        magnitude = next(array for key, array in made.items() if key in ("kernel/scale", "scales.kernel"))
        np.testing.assert_array_equal(magnitude, arrays[origin.slots[0].name].reshape(4), strict=True)
        back, _ = across(kind, form_of(goal, kind), origin, made)
        check(back, arrays)


def test_low_rank_adapters() -> None:
    arrays = {
        "base_layer.weight": draw_array(5, 3),
        "lora_A.default.weight": draw_array(2, 3),
        "lora_B.default.weight": draw_array(5, 2),
    }
    made, _ = across("lora_linear", form_of(TORCH, "lora_linear"), form_of(NNX, "lora_linear"), arrays, alpha=8)
    a, b = arrays["lora_A.default.weight"], arrays["lora_B.default.weight"]
    check(made, {"kernel": arrays["base_layer.weight"].T, "lora.lora_a": a.T, "lora.lora_b": b.T * np.float32(4)})
    back, _ = across("lora_linear", form_of(NNX, "lora_linear"), form_of(TORCH, "lora_linear"), made, alpha=8)
    check(back, arrays)


@pytest.mark.parametrize(("kind", "form"), FOLDED)
def test_a_spectral_norm_is_divided_by(kind: Kind, form: Form) -> None:
    assert form.fold is not None
    axis = form.fold[2]
    shape = (4, 3) if kind.name == "linear" else (4, 3, 5)
    weight = draw_array(*shape)
    matrix = np.moveaxis(weight, axis, 0).reshape(shape[axis], -1).astype(np.float64)
    u, v = draw_array(matrix.shape[0]), draw_array(matrix.shape[1])
    arrays = {slot.name: array for slot, array in zip(form.slots, (weight, u, v), strict=False)}
    ops = named(arrays)
    sizes = sizes_of(kind, [(form, {form.slots[0]: shape})], {})
    assert sizes is not None
    reading = read(kind, form, {slot: ops[slot.name] for slot in form.slots[:3]}, sizes)
    (made,) = reading.parameters.values()
    sigma = u.astype(np.float64) @ matrix @ v.astype(np.float64)
    expected = (weight / sigma).reshape(made.shape)
    np.testing.assert_allclose(values(made, arrays), expected, rtol=1e-5)
    assert exactness(made) == "rounded"


def test_forms_that_have_no_place_for_a_parameter() -> None:
    for goal, zero in ((NNX, ("bias.hn",)), (LINEN, ())):
        target = form_of(goal, "gru")
        assert target.zero == zero
        assert (target.holding("bias.hn") is None) == bool(zero)


def test_what_no_shape_tells() -> None:
    origin = form_of(TORCH, "attention")
    kind = KINDS["attention"]
    shapes = dict(zip(origin.slots, [(12, 4)], strict=False))
    sizes = sizes_of(kind, [(origin, shapes)], {})
    assert sizes is not None
    assert unknown(kind, origin, ["query.weight"], sizes)[0] == "heads"
    assert unknown(kind, origin, ["query.weight"], {**sizes, "heads": 2, "dim": 2, "in": 4}) == []
    told = sizes_of(kind, [(origin, shapes)], {"heads": 2})
    assert told is not None
    assert {name: told[name] for name in ("heads", "kv_heads", "dim", "in")} == {
        "heads": 2,
        "kv_heads": 2,
        "dim": 2,
        "in": 4,
    }
    assert sizes_of(kind, [(origin, shapes)], {"heads": 3}) is None  # 12 / 3 / 3
    assert sizes_of(kind, [(origin, shapes)], {"heads": -2}) is None
    assert sizes_of(kind, [(origin, shapes)], {"heads": 2, "kv_heads": 1}) is not None  # (2 + 1 + 1) * 3


def test_both_sides_tell_sizes() -> None:
    origin, goal = form_of(TORCH, "attention"), form_of(LINEN, "attention")
    by_name = {slot.name: slot for slot in (*origin.slots, *goal.slots)}
    mine = {by_name["in_proj_weight"]: (12, 4)}
    sizes = sizes_of(KINDS["attention"], [(origin, mine), (goal, {by_name["query.kernel"]: (4, 2, 2)})], {})
    assert sizes is not None
    assert (sizes["heads"], sizes["dim"], sizes["in"]) == (2, 2, 4)
    assert sizes_of(KINDS["attention"], [(origin, mine), (goal, {by_name["query.kernel"]: (5, 2, 2)})], {}) is None


def test_hidden_sizes_are_one() -> None:
    origin = form_of(TORCH, "lstm")
    slots = dict(zip(("weight_ih", "weight_hh"), origin.slots, strict=False))
    kind = KINDS["lstm"]
    assert sizes_of(kind, [(origin, {slots["weight_ih"]: (8, 3), slots["weight_hh"]: (8, 2)})], {}) is not None
    assert sizes_of(kind, [(origin, {slots["weight_ih"]: (8, 3), slots["weight_hh"]: (8, 3)})], {}) is None
    assert sizes_of(kind, [(origin, {slots["weight_ih"]: (9, 3), slots["weight_hh"]: (9, 2)})], {}) is None


@pytest.mark.parametrize(
    ("table", "kind", "slot", "rank", "axes"),
    [
        (TORCH, "linear", "weight", 2, ("out", "in")),
        (TORCH, "conv", "weight", 4, ("out", "in", "y", "x")),
        (LINEN, "conv", "kernel", 5, ("z", "y", "x", "in", "out")),
        (LINEN, "attention", "query.kernel", 3, ("in", "heads", "dim")),
        (TORCH, "attention", "in_proj_weight", 2, None),
        (TORCH, "batch_norm", "num_batches_tracked", 0, ()),
        (TORCH, "conv_transpose", "weight", 3, None),
        (TORCH, "conv", "weight", 2, None),
    ],
)
def test_named_axes(table: Convention, kind: str, slot: str, rank: int, axes: tuple[str, ...] | None) -> None:
    (found,) = (one for one in table.forms[kind][0].slots if one.name == slot)
    assert (named_axes(found, rank) or None) == (axes or None)
