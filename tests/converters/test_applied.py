"""Operations that a user asks for on source tensors."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from sources import read, same, source

from ptformat.converters import ConversionError, convert, plan
from ptformat.converters.applied import OPERATIONS, Applied, Rule, parsed, undone
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
        ("", "'': an operation is missing"),
        ("scale(2) |", "an operation is missing"),
        ("| scale(2)", "is no operation"),
        ("scale", "'scale' is no operation, expected NAME(NUMBERS) with permute, reshape, flip, part, truncate"),
        ("scale(2", "'scale(2' is no operation"),
        ("scale(2) add(1)", "is no operation"),
        ("nothing(1)", "'nothing(1)' is no operation"),
        ("scale(2) | nothing(1)", "'nothing(1)' is no operation"),
        ("scale(A)", "'A' is no number"),
        ("scale('x')", "\"'x'\" is no number"),
        ("__import__(os)", "is no operation"),
        ("truncate(0)", "truncate takes 2 arguments, not 1"),
        ("part(0, 1)", "part takes 3 arguments, not 2"),
        ("pad(0, 1)", "pad takes 3 to 4 arguments, not 2"),
        ("scale()", "scale takes 1 arguments, not 0"),
        ("scale(float32)", "scale takes a number, not 'float32'"),
        ("interleave(0, 2.0)", "interleave takes an integer, not 2.0"),
        ("permute(0, x)", "permute takes an integer, not 'x'"),
        ("cast(8)", "cast takes a dtype, not 8"),
        ("cast(nothing)", "nothing"),
        ("scale({a b})", "'{a b}' is no number"),
    ],
)
def test_what_is_no_operation(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=r"operation|number|takes|nothing") as caught:
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
    "repeat(1, 2, 3)": X[:, [0, 1, 2, 0, 1, 2, 3, 4, 5, 3, 4, 5]],
    "repeat(1, 2, 6)": np.tile(X, (1, 2)),
    "repeat(0, 3) | unrepeat(0, 3)": X,
    "repeat(1, 4, 2) | unrepeat(1, 4, 2)": X,
    "unrepeat(0, 2)": X[::2],
    "unrepeat(1, 3, 1)": X[:, ::3],
    "index(1, 4)": X[:, 4],
    "tile(1, 3) | truncate(1, 6)": X,
    "pad(0, 1, 2) | part(0, 1, 5)": X,
    "truncate(1, 4) | deinterleave(1, 2)": X[:, [0, 2, 1, 3]],  # in the order in which they stand
    "deinterleave(1, 2) | truncate(1, 4)": X[:, [0, 2, 4, 1]],
    "tile(0, 2)": np.tile(X, (2, 1)),
    "cast(float64)": X.astype(np.float64),
    "permute(1, 0) | truncate(0, 2) | scale(2)": X.T[:2] * 2,
}


@pytest.mark.parametrize("text", RESULTS)
def test_carried_out(text: str) -> None:
    made: Any = Given("x", X.shape, "float32")
    for name, arguments in parsed(text):
        made = OPERATIONS[name].make(made, *arguments)
    np.testing.assert_array_equal(whole(made, lambda given: X), RESULTS[text], strict=True)


def test_weaving_in_runs() -> None:
    """As the rows of one head each: heads stay where they are."""
    rows = np.arange(16, dtype=np.float32).reshape(16, 1)
    given = Given("x", rows.shape, "float32")
    made = OPERATIONS["deinterleave"].make(given, 0, 2, 8)
    expected = np.concatenate([rows[0:8:2], rows[1:8:2], rows[8::2], rows[9::2]])
    np.testing.assert_array_equal(whole(made, lambda given: rows), expected, strict=True)
    back = OPERATIONS["interleave"].make(made, 0, 2, 8)
    np.testing.assert_array_equal(whole(back, lambda given: rows), rows, strict=True)
    for axis, width in ((0, 5), (1, 2), (2, 1), (0, -8)):
        with pytest.raises(ValueError, match=f"axis {axis} of "):
            OPERATIONS["deinterleave"].make(given, axis, 2, width)


@pytest.mark.parametrize(
    "text",
    [
        "permute(1, 0)",
        "flip(0)",
        "interleave(0, 2)",
        "deinterleave(1, 2, 6)",
        "scale(4)",
        "add(0.5)",
        "permute(1, 0) | deinterleave(0, 3) | scale(0.5) | flip(1)",
    ],
)
def test_undone(text: str) -> None:
    """First there, then back, gives the tensor again, bit for bit: the numbers are small."""
    calls = parsed(text)
    made: Any = Given("x", X.shape, "float32")
    for name, arguments in [*calls, *undone(calls)]:
        made = OPERATIONS[name].make(made, *arguments)
    np.testing.assert_array_equal(whole(made, lambda given: X), X, strict=True)


@pytest.mark.parametrize("text", ["truncate(0, 2)", "reshape(24)", "cast(float64)", "scale(2) | pad(0, 0, 1)"])
def test_what_cannot_be_undone(text: str) -> None:
    with pytest.raises(ValueError, match="cannot be undone without more being said, expected permute, flip, inter"):
        undone(parsed(text))
    with pytest.raises(ValueError, match="factor 0"):
        undone(parsed("scale(0)"))


def test_facts_stand_in_the_text() -> None:
    assert parsed("deinterleave(0, 2, {head_dim})") == [("deinterleave", [0, 2, 1])]  # for checking
    assert parsed("repeat(0, {n}, {d})", {"n": "4", "d": 64}) == [("repeat", [0, 4, 64])]
    assert parsed("scale({f})", {"f": 0.125}) == [("scale", [0.125])]
    for facts in ({}, {"d": None}, {"d": "64) | scale(3"}, {"d": "x"}):
        with pytest.raises(LookupError, match=r"^d$"):
            parsed("repeat(0, 2, {d})", facts)


def applied(
    *rules: tuple[str, str] | Rule, ties: dict[str, str] | None = None, facts: Any = None
) -> tuple[dict[str, tuple[int, ...]], list[tuple[str, str, str]]]:
    """Shapes of the modules' and other leaves afterwards, and the problems."""
    shapes = {"a.weight": (4, 6), "a.bias": (4,), "b.weight": (4, 6), "own": (3,)}
    tree = survey(source(shapes, ties=ties).entries, TORCH)
    problems: list[tuple[str, str, str]] = []
    given = [rule if isinstance(rule, Rule) else Rule(*rule) for rule in rules]
    Applied(given, facts).to(tree, lambda path: path, lambda *told: problems.append(told))
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


@pytest.mark.parametrize(
    "text", ["truncate(0, 9)", "scale(0)", "cast(complex64)", "part(0, 3, 1)", "scale(inf)", "unrepeat(0, 0)"]
)
def test_arguments_that_do_not_fit_are_problems(text: str) -> None:
    _, problems = applied(("a.weight", text))
    ((kind, path, told),) = problems
    assert (kind, path) == ("shape", "a.weight")
    assert told.startswith(f"--apply 'a.weight={text}' on a.weight (4, 6): ")


def test_rules_of_a_family_need_not_match() -> None:
    assert applied(Rule("nobody.*", "scale(2)", "rules"))[1] == []
    shapes, problems = applied(Rule("*.weight", "permute(1, 0)", "rules"), ("a.weight", "truncate(0, 3)"))
    assert (shapes["a.weight"], shapes["b.weight"], problems) == ((3, 4), (6, 4), [])


def test_a_dialect_that_concerns_no_tensor_is_a_problem() -> None:
    rules = [Rule("*.q.weight", "scale(2)", "dialect b"), Rule("*/q/kernel", "scale(2)", "dialect b")]
    assert applied(*rules)[1] == [
        ("unused", "", "the dialect b concerns no tensor: none is called *.q.weight, */q/kernel")
    ]
    assert applied(*rules, Rule("b.weight", "scale(2)", "dialect b"))[1] == []


def test_a_fact_that_nothing_tells_is_a_problem() -> None:
    rule = ("a.weight", "repeat(0, {times}, 2)")
    told = "--apply 'a.weight=repeat(0, {times}, 2)' on a.weight: nothing tells times. Say --fact times=N"
    assert applied(rule)[1] == [("ambiguous", "a.weight", told)]
    shapes, problems = applied(rule, facts={"times": 3})
    assert (shapes["a.weight"], problems) == ((12, 6), [])


def test_a_tie_is_changed_on_both_sides_or_not_at_all() -> None:
    ties = {"c.weight": "a.weight"}
    assert applied(("*.weight", "scale(2)"), ties=ties)[1] == []
    for glob in ("a.weight", "c.weight"):
        ((kind, path, text),) = applied((glob, "scale(2)"), ties=ties)[1]
        assert (kind, path) == ("contradiction", "c.weight")
        assert text == f"c.weight is tied to a.weight, and only one of them would be changed: --apply '{glob}=scale(2)'"


def test_exactness_shows_in_the_plan() -> None:
    tree = source({"a.weight": (4, 6), "b.weight": (4, 6), "c.weight": (4, 6)}, dtypes={"b.weight": "bfloat16"})
    rules = [("a.weight", "repeat(0, 2)"), ("b.weight", "scale(0.5)"), ("c.weight", "cast(bfloat16)")]
    made = plan(tree, to="linen", kinds=[("*", "linear")], apply=rules)
    found = {path: (step.exactness, step.operation) for path, step in made.steps.items()}
    assert found == {
        "params.a.kernel": ("bit", "repeat each of axis 0 2 times, (0, 1) → (1, 0)"),
        "params.b.kernel": ("rounded", "× 0.5, (0, 1) → (1, 0)"),
        "params.c.kernel": ("rounded", "cast to bfloat16, (0, 1) → (1, 0)"),
    }
    assert made.report()[-1] == "of 3 steps 1 is exact, 2 are rounded; nothing is guessed"
    with pytest.raises(ConversionError) as caught:
        plan(tree, to="linen", kinds=[("*", "linear")], apply=[("a.weight", "truncate(0, 9)"), ("z", "scale(2)")])
    assert [each.kind for each in caught.value.problems] == ["shape", "unused"]


def test_rows_of_a_vocabulary_and_heads_of_keys_with_their_inverse(tmp_path: Path) -> None:
    """A padded vocabulary and repeated heads come back by what the table calls their inverse, bit for bit."""
    rng = np.random.default_rng(0)
    wide = {"tok_emb.weight": rng.standard_normal((5, 3)), "k_proj.weight": rng.standard_normal((4, 3))}
    tensors = {name: torch.from_numpy(array.astype(np.float32)) for name, array in wide.items()}
    safetensors.torch.save_file(tensors, tmp_path / "a.safetensors")
    there = [("tok_emb.weight", "pad(0, 0, 3)"), ("k_proj.weight", "repeat(0, 3, 2)")]
    convert(tmp_path / "a.safetensors", tmp_path / "b.msgpack", to="linen", apply=there)
    found = read(tmp_path / "b.msgpack")
    np.testing.assert_array_equal(found["params.tok_emb.embedding"][:5], tensors["tok_emb.weight"].numpy())
    np.testing.assert_array_equal(found["params.tok_emb.embedding"][5:], np.zeros((3, 3), np.float32))
    heads = np.repeat(tensors["k_proj.weight"].numpy().reshape(2, 2, 3), 3, 0).reshape(12, 3)
    np.testing.assert_array_equal(found["params.k_proj.kernel"], heads.T)
    back = [("tok_emb/embedding", "truncate(0, 5)"), ("k_proj/kernel", "unrepeat(1, 3, 2)")]
    back = [(f"params/{glob}", text) for glob, text in back]
    convert(tmp_path / "b.msgpack", tmp_path / "c.safetensors", to="torch", apply=back)
    again = read(tmp_path / "c.safetensors")
    assert all(same(again[name], tensor.numpy()) for name, tensor in tensors.items())
