"""Lists of layers and stacks of them: which layer goes where, and where a template has stacks."""

import numpy as np
import pytest
from sources import source

from ptformat.converters import ConversionError, plan, shapes, source_of
from ptformat.converters.conventions import LINEN, NNX
from ptformat.converters.evaluate import whole
from ptformat.converters.stacks import Stack, bare, found_in, stacked_in
from ptformat.converters.survey import Unstacked, survey


def split(path: str) -> tuple[str, ...]:
    return tuple(path.split("/")) if path else ()


PLACES: dict[str, tuple[Stack, int, dict[str, tuple[str, int | None] | None]]] = {
    "numbers apart": (
        Stack("enc/layer"),
        3,
        {
            "enc/layer/0/fc": ("enc/layer/fc", 0),
            "enc/layer/2": ("enc/layer", 2),
            "enc/layer/1/a/b": ("enc/layer/a/b", 1),
        },
    ),
    "numbers joined": (
        Stack("enc/layer"),
        3,
        {"enc/layer_0/fc": ("enc/layer/fc", 0), "enc/layer_2": ("enc/layer", 2), "enc/layers_2": None},
    ),
    "dots between": (Stack("enc.layer"), 2, {"enc/layer/1/fc": ("enc/layer/fc", 1)}),
    "nothing of the list": (
        Stack("enc/layer"),
        3,
        {"enc": None, "enc/layer": None, "enc/layer/norm": None, "dec/layer/0": None, "enc/layer_norm": None, "": None},
    ),
    "any segment": (
        Stack("*/layer"),
        2,
        {"enc/layer/0": ("enc/layer", 0), "dec/layer_1/x": ("dec/layer/x", 1), "a/b/layer/0": None},
    ),
    "into": (Stack("h", into="blocks/block"), 2, {"h/1/ln": ("blocks/block/ln", 1)}),
    "two kinds in turn": (
        Stack("h", cycle=2),
        4,
        {"h/0/x": ("h_0/x", 0), "h/1/x": ("h_1/x", 0), "h/2/x": ("h_0/x", 1), "h/3/x": ("h_1/x", 1)},
    ),
    "two kinds in turn, into": (
        Stack("h", into="group/{phase}", cycle=2),
        4,
        {"h/2": ("group/0", 1), "h/3/x": ("group/1/x", 1)},
    ),
    "what is left over": (
        Stack("h", cycle=3),
        8,
        {
            "h/0": ("h_0", 0),
            "h/5": ("h_2", 1),
            "h/6/x": ("h_rest_0/x", None),
            "h/7/x": ("h_rest_1/x", None),
        },
    ),
    "what is left over, by name": (
        Stack("h", into="g/{phase}", cycle=3, rest="tail/{n}"),
        4,
        {"h/2": ("g/2", 0), "h/3/x": ("tail/0/x", None)},
    ),
    "fewer than a cycle": (Stack("h", cycle=3), 2, {"h/0": ("h_rest_0", None), "h/1": ("h_rest_1", None)}),
}


@pytest.mark.parametrize("name", PLACES)
def test_places(name: str) -> None:
    rule, count, expected = PLACES[name]
    for path, place in expected.items():
        found = rule.place(split(path), count)
        assert found == (None if place is None else (split(place[0]), place[1])), path


def test_every_layer_has_a_place_of_its_own() -> None:
    for cycle in (1, 2, 3, 5):
        for count in range(1, 12):
            found = [Stack("h", cycle=cycle).place(("h", str(i)), count) for i in range(count)]
            assert None not in found
            assert len({*found}) == count
            stacked = [place for place in found if place and place[1] is not None]
            assert len(stacked) == count - count % cycle
            for path in {place[0] for place in stacked}:
                assert [place[1] for place in stacked if place[0] == path] == [*range(count // cycle)]


def test_split() -> None:
    assert Stack("a/h").split(("a", "h", "3", "x")) == (("a", "h"), 3, ("x",))
    assert Stack("a/h").split(("a", "h_3", "x", "y")) == (("a", "h"), 3, ("x", "y"))
    assert Stack("*/h").split(("b", "h_12")) == (("b", "h"), 12, ())
    assert Stack("h").split(("h", "x")) is None


def test_bare() -> None:
    assert bare(("a", "layers_0", "x")) == ("a", "layers", "0", "x")
    assert bare(("nest_0_12",)) == ("nest", "0", "12")
    assert bare(("0", "a_b", "_1")) == ("0", "a_b", "_1")


def test_stacked_in() -> None:
    assert stacked_in([("enc/layer", 1), ("h", 0)], "/") == [Unstacked(("enc", "layer"), 1), Unstacked(("h",), 0)]
    assert stacked_in([("enc.layer", 0)], ".") == [Unstacked(("enc", "layer"), 0)]


LAYERS = [("h", str(i), "fc") for i in range(3)]


def test_a_template_with_a_stack_is_found_by_the_lists_of_the_source() -> None:
    template = survey(source({"params/h/fc/kernel": (3, 4, 5), "params/h/fc/bias": (3, 5)}).entries, LINEN)
    assert [(each.path, each.axis, each.count) for each in found_in(template, LAYERS)] == [(("h",), 0, 3)]


def test_a_stack_on_another_axis() -> None:
    template = survey(source({"h/fc/kernel": (4, 3, 5), "h/fc/bias": (5, 4)}).entries, NNX)
    assert found_in(template, LAYERS) == []
    template = survey(source({"h/fc/kernel": (4, 3, 5), "h/fc/bias": (5, 3)}).entries, NNX)
    assert [(each.path, each.axis, each.count) for each in found_in(template, LAYERS)] == [(("h",), 1, 3)]


@pytest.mark.parametrize(
    "shapes",
    [
        {"h/fc/kernel": (4, 4, 5)},
        {f"h/{i}/fc/kernel": (3, 5) for i in range(3)},
        {"other/fc/kernel": (3, 4, 5)},
        {"h/fc/kernel": (3, 4, 5), "h/fc/bias": (4, 5)},
        {},
    ],
)
def test_what_is_no_stack(shapes: dict[str, tuple[int, ...]]) -> None:
    assert found_in(survey(source(shapes).entries, NNX), LAYERS) == []


def test_a_list_with_gaps_is_no_stack() -> None:
    template = survey(source({"h/fc/kernel": (2, 4, 5)}).entries, NNX)
    assert found_in(template, [("h", "0", "fc"), ("h", "2", "fc")]) == []
    assert found_in(template, [("0", "fc"), ("1", "fc")]) == []


def test_a_stack_that_is_not_there_is_told():
    """The inner one goes first: once the outer is taken apart, the inner has another path."""
    tensors = {"params": {"groups": {"layers": {"fc": {"kernel": [2, 3, 4, 8]}}}}}
    stacked = shapes.source({"convention": "flax.linen", "tensors": tensors}, "stacked")
    made = plan(stacked, to="torch", unstacks=[("groups/layers", 1), ("groups", 0)], kinds=[("*fc", "linear")])
    assert [*made.steps] == [f"groups.{i}.layers.{j}.fc.weight" for j in range(3) for i in range(2)]
    with pytest.raises(ConversionError) as caught:
        plan(stacked, to="torch", unstacks=[("groups", 0), ("groups/layers", 1)], kinds=[("*fc", "linear")])
    text = "--unstack 'groups/layers=1' matches no module with tensors; a stack within another goes first"
    assert ("unused", text) in [(problem.kind, problem.text) for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("rules", "shape", "at"),
    [
        ([Stack("layers"), Stack("layers/experts")], (3, 2, 4, 8), lambda layer, expert: (expert, layer)),
        ([Stack("layers/*/experts"), Stack("layers")], (2, 3, 4, 8), lambda layer, expert: (layer, expert)),
        (
            [Stack("layers/*/experts", 2), Stack("layers", 1)],
            (4, 2, 8, 3),
            lambda layer, expert: (slice(None), layer, slice(None), expert),
        ),
    ],
)
def test_stacks_of_stacks(rules, shape, at):
    """Two axes: each rule stacks what those before it made."""
    state = {
        f"layers.{layer}.experts.{expert}.weight": np.random.default_rng(10 * layer + expert).random((8, 4), np.float32)
        for layer in range(2)
        for expert in range(3)
    }
    held = source_of(state, convention="torch")
    made = plan(held, to="linen", stacks=rules, kinds=[("*", "linear")])
    (step,) = made.steps.values()
    assert (step.target.path, step.target.shape) == ("params.layers.experts.kernel", shape)
    array = whole(step.made, lambda given: state[given.path])
    for layer in range(2):
        for expert in range(3):
            assert np.array_equal(array[at(layer, expert)], state[f"layers.{layer}.experts.{expert}.weight"].T)
