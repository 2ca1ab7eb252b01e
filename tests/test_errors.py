import pickle

import pytest

from ptformat.errors import CALL_CODES, MAX_LINE, READ_CODES, FormatError, several, shown


def test_is_a_value_error_with_its_facts():
    error = FormatError("SHAPE", "tensor 'a': too large", path="a")
    assert isinstance(error, ValueError)
    assert str(error) == "SHAPE: tensor 'a': too large"
    assert (error.code, error.message, error.path) == ("SHAPE", "tensor 'a': too large", "a")
    assert error.problems == ("tensor 'a': too large",)


def test_several_problems_are_one_error():
    error = several("MISMATCH", "2 entries do not fit", ["a is missing", "b is unexpected"])
    assert error.message == "2 entries do not fit\n  a is missing\n  b is unexpected"
    assert error.problems == ("a is missing", "b is unexpected")


@pytest.mark.parametrize("error", [FormatError("PATH", "bad", path="x"), several("TIE", "head", ["one", "two"])])
def test_survives_pickling(error):
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is FormatError
    assert (again.code, again.message, again.path, again.problems) == (
        error.code,
        error.message,
        error.path,
        error.problems,
    )
    assert str(again) == str(error)


def test_codes_are_distinct_upper_case_words():
    codes = READ_CODES + CALL_CODES
    assert len(set(codes)) == len(codes) == 24
    assert all(code.isalpha() and code.isupper() for code in codes)


@pytest.mark.parametrize("size", [MAX_LINE, MAX_LINE + 1, 10**6])
def test_a_line_is_of_bounded_length(size):
    """A bad file has names of any length: both ends of the line stay, where it is said what and what was expected."""
    line = "the shape" + "1" * (size - 18) + ", no map."
    error = several("SHAPE", line, ["short", line])
    first, second, third = error.message.split("\n")
    assert [len(first), second, len(third)] == [MAX_LINE, "  short", MAX_LINE]
    assert (first == line) == (size == MAX_LINE)
    assert first.startswith("the shape1") and first.endswith("1, no map.")
    assert str(error) == f"SHAPE: {error.message}"
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_what_is_found_in_a_file_is_shown_and_not_obeyed():
    """Neither a new line, which would look like another problem, nor what a terminal takes for an order."""
    error = FormatError("PATH", "name a\x1b[2J\n  b\u202e\ud800 é × \U0001f9e0")
    assert error.message == "name a\\x1b[2J\\n  b\\u202e\\ud800 é × \U0001f9e0"
    assert error.problems == (error.message,)
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
    assert several("TIE", "a\tb", ["c\x00"]).message == "a\\tb\n  c\\x00"
    long = FormatError("PATH", "\x00" * 10**6)
    assert (len(long.message), long.message[:8]) == (MAX_LINE, "\\x00\\x00")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "None"),
        (-(2**63), "-9223372036854775808"),
        ("a\nb\x1b[0m", r"'a\nb\x1b[0m'"),
        (b"\0", r"b'\x00'"),
        ("é" * 80, repr("é" * 80)),
        ("é" * 81, repr("é" * 80) + "…"),
        (bytes(81), repr(bytes(80)) + "…"),
        ([], "[]"),
        ((), "()"),
        ({}, "{}"),
        ([1, 1.0, True], "[1, 1.0, True]"),
        ((1,), "(1,)"),
        ([*range(8)], "[0, 1, 2, 3, 4, 5, 6, 7]"),
        ([*range(9)], "[0, 1, 2, 3, 4, 5, 6, 7, …]"),
        (dict.fromkeys("abcdefghi", "x"), "{" + ", ".join(f"'{n}': 'x'" for n in "abcdefgh") + ", …}"),
        ([[[[]]]], "[[[[]]]]"),
        ([[[[1], {2: 3}, (4,), ()]]], "[[[[…], {…}, (…), ()]]]"),
    ],
)
def test_a_value_is_shown_short(value, text):
    assert shown(value) == text


def test_a_value_that_is_shown_is_not_gone_through():
    """A message of a value with 2**60 leaves is made at once."""
    value = "x" * 200
    for _ in range(60):
        value = [value, value]
    assert shown(value) == "[[[[…], […]], [[…], […]]], [[[…], […]], [[…], […]]]]"
