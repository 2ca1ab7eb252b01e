"""Patterns of axes, and the sizes that shapes give their names."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ptformat.converters.conventions import CONVENTIONS
from ptformat.converters.conventions.axes import Equation, chosen, parse, product, several, solve, spelled


@pytest.mark.parametrize(
    ("pattern", "dims"),
    [
        ("", ()),
        ("out in", (("out",), ("in",))),
        ("  out   in ", (("out",), ("in",))),
        ("(heads dim) in", (("heads", "dim"), ("in",))),
        ("1 1 features", ((), (), ("features",))),
        ("()", ((),)),
        ("(* hidden) in", (("*", "hidden"), ("in",))),
        ("(heads|kv_heads * dim)", (("heads|kv_heads", "*", "dim"),)),
        ("out *1", (("out",), ("*1",))),
        ("*spatial (groups in) (groups out)", (("*spatial",), ("groups", "in"), ("groups", "out"))),
        ("(*spatial channels) out", (("*spatial", "channels"), ("out",))),
        ("a(b c)d", (("a(b",), ("c)d",))),
    ],
)
def test_parse(pattern: str, dims: tuple[tuple[str, ...], ...]) -> None:
    assert parse(pattern) == dims


def test_every_pattern_has_words_alone() -> None:
    for table in CONVENTIONS.values():
        for forms in table.forms.values():
            for slot in (slot for form in forms for slot in form.slots):
                for name in (name for dim in slot.dims for one in dim for name in one.split("|")):
                    assert name.lstrip("*").isidentifier() or name in ("*", "*1"), slot


@pytest.mark.parametrize(
    ("pattern", "rank", "sizes", "found"),
    [
        ("out in", 2, {}, "out in"),
        ("out in", 3, {}, None),
        ("out in", 1, {}, None),
        ("", 0, {}, ""),
        ("", 1, {}, None),
        ("out in *spatial", 3, {}, "out in x"),
        ("out in *spatial", 4, {}, "out in y x"),
        ("*spatial in out", 5, {}, "z y x in out"),
        ("*spatial in out", 2, {}, None),
        ("*spatial in out", 6, {}, None),
        ("*spatial in out", 0, {}, None),
        ("*axes", 2, {}, "axis0 axis1"),
        ("*axes", 4, {}, "axis0 axis1 axis2 axis3"),
        ("*axes", 1, {}, None),
        ("*axes", 0, {}, None),
        ("out *1", 1, {}, "out"),
        ("out *1", 4, {}, "out 1 1 1"),
        ("out *1", 0, {}, None),
        ("out (channels *spatial)", 2, {}, None),
        ("out (channels *spatial)", 2, {"x": 3}, "out (channels x)"),
        ("out (channels *spatial)", 2, {"x": 3, "y": 2}, "out (channels y x)"),
        ("(*spatial channels) out", 2, {"z": 1, "x": 3, "y": 2}, "(z y x channels) out"),
        ("out (channels *spatial)", 2, {"y": 2}, None),
        ("out (channels *spatial)", 2, {"z": 2, "x": 2}, None),
        ("out (channels *spatial)", 3, {"x": 3}, None),
        ("1 1 features", 3, {}, "1 1 features"),
        ("1 1 features", 1, {}, None),
    ],
)
def test_spelled(pattern: str, rank: int, sizes: dict[str, int], found: str | None) -> None:
    assert spelled(parse(pattern), rank, sizes) == (None if found is None else parse(found))


def test_several() -> None:
    assert several("*spatial", 2) == ("y", "x")
    assert several("*axes", 2) == ("axis0", "axis1")
    assert several("*1", 0) == ()
    assert several("*1", 2) == ("*1", "*1")
    for name, count in (("*spatial", 0), ("*spatial", 4), ("*axes", 1), ("*1", -1)):
        assert several(name, count) is None


def test_chosen() -> None:
    dim = ("*", "heads|kv_heads", "dim")
    assert chosen(dim, ("kv_heads", "dim", "key_in")) == ("*", "kv_heads", "dim")
    assert chosen(dim, ("heads", "dim", "in")) == ("*", "heads", "dim")
    assert chosen(("in|key_in|value_in",), ("value_in",)) == ("value_in",)
    assert chosen(("in|key_in",), ("neither",)) == ("in",)


def test_product() -> None:
    assert product([], {}) == 1
    assert product(["a", "b", "b"], {"a": 2, "b": 3}) == 18
    assert product(["a", "unknown"], {"a": 2}) == 2


A, B, C = ("a",), ("b",), ("c",)
SOLVED: dict[str, tuple[list[Equation], dict[str, int], dict[str, int] | None]] = {
    "one name": ([((A,), 3)], {}, {"a": 3}),
    "nothing": ([], {"a": 2}, {"a": 2}),
    "a product and a factor": ([((("a", "b"),), 12), ((B,), 4)], {}, {"a": 3, "b": 4}),
    "in the other order": ([((B,), 4), ((("a", "b"),), 12)], {}, {"a": 3, "b": 4}),
    "through two": ([((("a", "b"),), 12), ((("b", "c"),), 20), ((C,), 5)], {}, {"a": 3, "b": 4, "c": 5}),
    "a sum": ([((A, B, B), 11), ((A,), 3)], {}, {"a": 3, "b": 4}),
    "a sum of products": ([((("a", "c"), ("b", "c"), ("b", "c")), 24)], {"a": 2, "b": 1}, {"a": 2, "b": 1, "c": 6}),
    "the same several times": ([((A, A, A), 12)], {}, {"a": 4}),
    "what is known": ([((A,), 3)], {"a": 3}, {"a": 3}),
    "too little": ([((("a", "b"),), 12)], {}, {}),
    "two sums": ([((A, B), 12)], {}, {}),
    "a square": ([((("a", "a"),), 9)], {}, {}),
    "size one": ([(((),), 1)], {}, {}),
    "no size": ([((A,), 0)], {}, {"a": 0}),
    "two of a kind against each other": ([((A,), 3), ((A,), 4)], {}, None),
    "known otherwise": ([((A,), 3)], {"a": 4}, None),
    "no whole number": ([((("a", "b"),), 12)], {"b": 5}, None),
    "less than nothing": ([((A, B), 3)], {"b": 5}, None),
    "more than one": ([(((),), 2)], {}, None),
    "a factor of none, that is not so": ([((("a", "b"),), 12)], {"b": 0}, {"b": 0}),
    "a sum against": ([((A, B), 7)], {"a": 3, "b": 5}, None),
}


@pytest.mark.parametrize("name", SOLVED)
def test_solve(name: str) -> None:
    equations, known, found = SOLVED[name]
    before = dict(known)
    assert solve(equations, known) == found
    assert known == before


@given(
    st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 9), min_size=1),
    st.lists(st.lists(st.lists(st.sampled_from("abcdef"), max_size=3), min_size=1, max_size=3), max_size=6),
    st.randoms(use_true_random=False),
)
def test_what_is_solved_is_true(sizes: dict[str, int], sums: list[list[list[str]]], random: Random) -> None:
    """Equations that hold give no other size than the true one, in whatever order they stand."""
    names = [tuple(tuple(name for name in term if name in sizes) for term in terms) for terms in sums]
    equations = [(terms, sum(product(term, sizes) for term in terms)) for terms in names]
    solved = solve(equations, {})
    assert solved is not None
    assert solved.items() <= sizes.items()
    assert solve(equations, sizes) == sizes
    again = [*equations]
    random.shuffle(again)
    assert solve(again, {}) == solved
    for terms, total in equations:
        assert solve([*equations, (terms, total + 1)], sizes) is None
