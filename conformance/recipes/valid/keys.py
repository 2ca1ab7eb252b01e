"""Maps with keys that are no strings (spec section 4.3)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ..case import Case, accept
from ..draft import Draft
from .metadata import INTEGERS, STRINGS

_TUPLES = [[], [1], [[], [[]]], [1, "a"], ["1", b"a"], [None, True, 1.5], [[1, 2], [3, [4]]]]

# Slug, keys with the labels that section 4.3 recommends, what is special.
_ROWS: list[tuple[str, list[tuple[Any, str]], str]] = [
    ("example", [(1, "1"), ([1, "a"], "1,a"), ("x.y", "x\\.y")], "the example of section 4.3"),
    ("integer", [(1, "1")], "one integer"),
    ("integers", [(n, str(n)) for n in INTEGERS], "every end of a form"),
    ("integers-descending", [(10, "10"), (9, "9"), (1, "1"), (0, "0"), (-1, "-1")], "no order by size"),
    ("null", [(None, "null")], "a null as a key"),
    ("bools", [(True, "true"), (False, "false")], "bools as keys"),
    ("bytes", [(b"", "\\e"), (b"\x00\xff", "00ff"), (b"a", "61")], "byte strings, labelled in hexadecimal"),
    ("strings-beside-null", [("a", "a"), (None, "null"), ("b", "b")], "one key is no string, so all are listed"),
    ("string-like-integer", [(1, "1"), ("1", "1~2"), (b"1", "31")], "a label that is taken gets ~2"),
    ("strings-like-labels", [("1~2", "1~2"), (1, "1"), ("1", "1~3")], "a label with ~2 is taken too"),
    ("strings-like-words", [(None, "null"), ("null", "null~2"), (True, "true"), ("true", "true~2")], "labels twice"),
    ("tuple", [([1, 2], "1,2")], "a tuple"),
    ("tuple-empty", [([], "\\e")], "the empty tuple"),
    ("tuple-nested", [([[1], [2, [3]]], "1,2,3"), ([1, 2, 3], "1,2,3~2")], "two tuples with one text"),
    ("tuple-of-each-type", [([None, True, 1, "s", b"\1", []], "null,true,1,s,01,")], "all types in one tuple"),
    ("string-with-controls", [("a\nb", "a%0Ab"), ("\0", "%00"), ("\x7f", "%7F"), (0, "0")], "what no path can hold"),
    ("string-with-percent", [("a%0Ab", "a%0Ab"), ("a\nb", "a%0Ab~2"), (0, "0")], "a percent sign is not escaped"),
    ("string-empty", [("", "\\e"), (0, "0")], "the empty string as a key"),
    (
        "string-with-dots",
        [(".", "\\."), ("a.b", "a\\.b"), ("..", "\\.\\."), (0, "0")],
        "dots are escaped, split nowhere",
    ),
    (
        "string-of-objects",
        [("__proto__", "__proto__"), (0, "0"), ("constructor", "constructor")],
        "names that objects have",
    ),
    ("strings-of-all-sorts", [(0, "0"), *((text, f"s{i}") for i, text in enumerate(STRINGS.values()))], "code points"),
    ("floats", [(1.5, "1\\.5"), (0.1, "0\\.1"), (1e300, "1e+300"), (-2.25, "-2\\.25")], "floats, labelled as text"),
    ("float-nan", [(float("nan"), "nan")], "NaN, which in most languages equals nothing"),
    ("float-infinities", [(float("inf"), "inf"), (float("-inf"), "-inf")], "infinities"),
    ("float-zero", [(0.0, "0\\.0")], "a zero that is no integer"),
    ("float-minus-zero", [(-0.0, "-0\\.0")], "minus zero"),
    ("float-integral", [(1.0, "1\\.0"), (2.0, "2\\.0")], "floats that a language may write as integers"),
    (
        "integers-beyond-float64",
        [(2**53, "a"), (2**53 + 1, "b"), (2**64 - 1, "c"), (2**64 - 2, "d")],
        "one float64 each two",
    ),
    ("labels-arbitrary", [(1, "x"), (2, "a b"), (3, "\\\\"), (4, "\\e"), (5, "é")], "labels may be any texts"),
    ("labels-exchanged", [(1, "2"), (2, "1")], "no meaning is taken from labels"),
    ("labels-with-dots", [(1, "a\\.b"), (2, "\\."), (3, "a")], "labels may hold dots"),
    ("labels-twins", [(1, "\u00e9"), (2, "e\u0301"), (3, "A"), (4, "a")], "labels that differ by a little"),
    ("labels-of-objects", [(1, "__proto__"), (2, "constructor")], "labels that objects have"),
    ("keys-composed-and-not", [("\u00e9", "a"), ("e\u0301", "b"), (0, "c")], "NFC and NFD of one letter are two keys"),
    ("many", [(i, str(i)) for i in range(300)], "more than a fixarray holds"),
    ("tuples", [(key, f"t{i}") for i, key in enumerate(_TUPLES)], "tuples of all sorts"),
]

# Different by their msgpack bytes, equal in some languages: a reader of such a language builds no tree of them.
_EQUAL: list[tuple[str, list[Any], str]] = [
    ("one-as-integer-float-and-bool", [1, 1.0, True], "1, 1.0 and true are three keys"),
    ("zero-as-integer-float-and-bool", [0, 0.0, -0.0, False], "0, 0.0, -0.0 and false are four keys"),
    ("zeros", [0.0, -0.0], "0.0 and -0.0 are two keys"),
    ("within-tuples", [[1], [1.0], [True], ["1"]], "tuples of values that some languages take for one"),
    ("two-to-53", [2**53, 2.0**53], "an integer and a float of the same size"),
    ("text-and-bytes", ["a", b"a", 0], "a string and its bytes are two keys"),
    ("null-and-text", [None, "null", "None", "undefined"], "null and its names"),
    ("number-and-text", [1, "1", "1.0", "true"], "a number and texts"),
]


def cases() -> Iterator[Case]:
    """Each row at the root, then where keys nodes stand."""
    for slug, rows, comment in _ROWS:
        yield accept(slug, _keyed("", rows), "4.3", comment)
    for slug, keys, comment in _EQUAL:
        yield accept(f"equal-{slug}", _keyed("", [(key, f"k{i}") for i, key in enumerate(keys)]), "4.3", comment)
    yield from _places()


def _keyed(at: str, rows: Sequence[tuple[Any, str]], made: Draft | None = None) -> Draft:
    draft = (made or Draft()).node(at, "keys", keys=[key for key, _ in rows])
    for i, (_, label) in enumerate(rows):
        draft.value(f"{at}.{label}" if at else label, i)
    return draft


def _places() -> Iterator[Case]:
    def made(slug: str, comment: str, draft: Draft) -> Case:
        return accept(slug, draft, "4.3", comment)

    two: list[tuple[Any, str]] = [(0, "0"), (1, "1")]
    yield made("in-a-map", "beneath two maps", _keyed("a.b", two))
    yield made("in-a-list", "an item of a list", _keyed("0", two, Draft().node("", "list")))
    nested = Draft().node("", "keys", keys=[0]).node("0", "keys", keys=[1, [2]]).value("0.1").value("0.2")
    yield made("in-keys", "one within another", nested)
    state = Draft().node("state", "keys", keys=[0, 1])
    for i in range(2):
        state.value(f"state.{i}.step", 3).tensor(f"state.{i}.exp_avg", role="state")
    state.node("param_groups", "list").value("param_groups.0.lr", 0.001).node("param_groups.0.betas", "tuple")
    state.value("param_groups.0.betas.0", 0.9).value("param_groups.0.betas.1", 0.999)
    yield made("of-an-optimiser", "maps without nodes beneath keys", state)
    children = (
        Draft()
        .node("", "keys", keys=[1, 2, 3, 4, 5])
        .tensor("a")
        .alias("b", "a")
        .value("c")
        .node("d", "list")
        .value("e.f")
    )
    yield made("of-every-type", "tensor, alias, value, node and a map without a node", children)
    order = Draft().node("", "keys", keys=["b", 1, None]).value("x.p").value("y").value("x.q").value("z")
    yield made("order-interleaved", "keys go with the order of first appearance", order)
    apart = Draft().node("k", "keys", keys=[1, 2]).value("a").value("k.x").value("b").value("k.y")
    yield made("not-adjacent", "others stand between its children", apart)
    facts = Draft().node("k", "keys", keys=[7], module="m", class_="C", attrs={"a": [7]}).value("k.7")
    yield made("with-facts", "module, class and attrs", facts)
    same = Draft()
    for path in ("a", "b", "c"):
        same.node(path, "keys", keys=[1, 2] if path != "b" else [2, 1]).value(f"{path}.1").value(f"{path}.2")
    yield made("same-lists", "two nodes share one value of the table, a third has its own", same)
    dotted = Draft().node("", "keys", keys=[1]).value(r"a\.b.c")
    yield made("label-with-a-dot-above-a-map", "a map without a node beneath a label that holds a dot", dotted)
