"""Operations that a user asks for on source tensors."""

from typing import Any

import numpy as np
import pytest
from sources import source

from ptformat.converters.applied import OPERATIONS, Applied, parsed
from ptformat.converters.conventions import TORCH
from ptformat.converters.evaluate import whole
from ptformat.converters.operations import Given
from ptformat.converters.survey import survey

PARSED: dict[str, list[tuple[str, list[Any]]]] = {
    "scale(0.125)": [("scale", [0.125])],
    " scale( 2 ) ": [("scale", [2])],
    "deinterleave(0, 2) | scale(0.125)": [("deinterleave", [0, 2]), ("scale", [0.125])],
    "permute(1,0)|reshape(2, 3, 4)|flip(0)": [("permute", [1, 0]), ("reshape", [2, 3, 4]), ("flip", [0])],
    "cast(bfloat16)": [("cast", ["bfloat16"])],
    "pad(0, 0, 2, -1e3)": [("pad", [0, 0, 2, -1e3])],
    "flip()": [("flip", [])],
}


@pytest.mark.parametrize("text", PARSED)
def test_parsed(text: str) -> None:
    found = parsed(text)
    assert found == PARSED[text]
    assert [[type(each) for each in arguments] for _, arguments in found] == [
        [type(each) for each in arguments] for _, arguments in PARSED[text]
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no operation given"),
        ("scale", "'scale' is no operation, expected NAME(NUMBERS) with permute, reshape, part, truncate"),
        ("scale(2", "'scale(2' is no operation"),
        ("scale(2) add(1)", "is no operation"),
        ("nothing(1)", "'nothing(1)' is no operation"),
        ("scale(2) | nothing(1)", "'nothing(1)' is no operation"),
        ("scale(A)", "'A' is no number"),
        ("scale('x')", "\"'x'\" is no number"),
        ("__import__(os)", "is no operation"),
    ],
)
def test_what_is_no_operation(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=r"operation|number") as caught:
        parsed(text)
    assert words in str(caught.value)


X = np.arange(24, dtype=np.float32).reshape(4, 6)
RESULTS: dict[str, np.ndarray[Any, Any]] = {
    "permute(1, 0)": X.T,
    "reshape(2, 12)": X.reshape(2, 12),
    "part(1, 2, 5)": X[:, 2:5],
    "truncate(0, 3)": X[:3],
    "flip(0, 1)": X[::-1, ::-1],
    "scale(0.5)": X / 2,
    "add(1)": X + 1,
    "interleave(0, 2)": X[[0, 2, 1, 3]],
    "deinterleave(1, 2)": X[:, [0, 2, 4, 1, 3, 5]],
    "deinterleave(1, 3)": X[:, [0, 3, 1, 4, 2, 5]],
    "interleave(0, 2, 2)": X,
    "deinterleave(1, 3, 3)": X,
    "pad(0, 1, 0, 7)": np.concatenate([np.full((1, 6), 7, np.float32), X]),
    "pad(1, 0, 2)": np.concatenate([X, np.zeros((4, 2), np.float32)], 1),
    "repeat(0, 2)": X.repeat(2, 0),
    "tile(0, 2)": np.tile(X, (2, 1)),
    "cast(float64)": X.astype(np.float64),
    "permute(1, 0) | truncate(0, 2) | scale(2)": X.T[:2] * 2,
}


@pytest.mark.parametrize("text", RESULTS)
def test_carried_out(text: str) -> None:
    made: Any = Given("x", X.shape, "float32")
    for name, arguments in parsed(text):
        made = OPERATIONS[name](made, *arguments)
    np.testing.assert_array_equal(whole(made, lambda given: X), RESULTS[text], strict=True)


def test_weaving_in_runs() -> None:
    """As the rows of one head each: heads stay where they are."""
    rows = np.arange(16, dtype=np.float32).reshape(16, 1)
    given = Given("x", rows.shape, "float32")
    made = OPERATIONS["deinterleave"](given, 0, 2, 8)
    expected = np.concatenate([rows[0:8:2], rows[1:8:2], rows[8::2], rows[9::2]])
    np.testing.assert_array_equal(whole(made, lambda given: rows), expected, strict=True)
    back = OPERATIONS["interleave"](made, 0, 2, 8)
    np.testing.assert_array_equal(whole(back, lambda given: rows), rows, strict=True)
    for axis, width in ((0, 5), (1, 2), (2, 1), (0, -8)):
        with pytest.raises(ValueError, match=f"axis {axis} of "):
            OPERATIONS["deinterleave"](given, axis, 2, width)


def applied(*rules: tuple[str, str], **options: Any) -> tuple[dict[str, tuple[int, ...]], list[tuple[str, str, str]]]:
    """Shapes of the modules' and other leaves afterwards, and the problems."""
    tree = survey(source({"a.weight": (4, 6), "a.bias": (4,), "b.weight": (4, 6), "own": (3,)}).entries, TORCH)
    problems: list[tuple[str, str, str]] = []
    Applied(rules, **options).to(tree, lambda path: path, lambda *told: problems.append(told))
    leaves = [*(leaf for module in tree.modules.values() for leaf in module.leaves.values()), *tree.loose]
    assert {id(leaf) for leaf in leaves} == {id(leaf) for leaf in tree.leaves}
    return {leaf.path: leaf.shape for leaf in leaves}, problems


def test_applied_to_the_leaves_that_match() -> None:
    shapes, problems = applied(("a.*", "truncate(0, 2)"), ("own", "pad(0, 1, 0)"))
    assert shapes == {"a.weight": (2, 6), "a.bias": (2,), "b.weight": (4, 6), "own": (4,)}
    assert problems == []


def test_several_rules_one_after_the_other() -> None:
    shapes, problems = applied(("*.weight", "permute(1, 0)"), ("a.weight", "truncate(0, 5)"))
    assert (shapes["a.weight"], shapes["b.weight"]) == ((5, 4), (6, 4))
    assert problems == []


def test_what_does_not_fit_is_a_problem() -> None:
    _, problems = applied(("a.*", "permute(1, 0)"), ("nobody.*", "scale(2)"))
    (shape, unused) = problems
    assert shape[:2] == ("shape", "a.bias")
    assert shape[2].startswith("--apply 'a.*=permute(1, 0)' on a.bias (4,): ")
    assert unused == ("unused", "nobody.*", "--apply 'nobody.*=scale(2)' matches no tensor")


@pytest.mark.parametrize("text", ["truncate(0)", "scale()", "cast(nothing)", "part(0, 1)", "scale(float32)"])
def test_wrong_arguments_are_problems(text: str) -> None:
    _, problems = applied(("a.weight", text))
    ((kind, path, told),) = problems
    assert (kind, path) == ("shape", "a.weight")
    assert told.startswith(f"--apply 'a.weight={text}' on a.weight (4, 6): ")


def test_rules_of_a_family_need_not_match() -> None:
    assert applied(family=[("nobody.*", "scale(2)")])[1] == []
    shapes, problems = applied(("a.weight", "truncate(0, 3)"), family=[("*.weight", "permute(1, 0)")])
    assert (shapes["a.weight"], shapes["b.weight"], problems) == ((6, 3), (6, 4), [])
