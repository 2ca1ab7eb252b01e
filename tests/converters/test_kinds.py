"""What a user says of a module: its kind, form and facts."""

import pytest

from ptformat.converters.kinds import Said, said


@pytest.mark.parametrize(
    ("text", "kind", "form", "facts"),
    [
        ("linear", "linear", "", {}),
        (" linear ", "linear", "", {}),
        ("linear:in_out", "linear", "in_out", {}),
        ("attention()", "attention", "", {}),
        ("attention(heads=12)", "attention", "", {"heads": 12}),
        ("attention:qkv( heads = 12 , kv_heads=4 )", "attention", "qkv", {"heads": 12, "kv_heads": 4}),
        ("lora_linear(alpha=0.5)", "lora_linear", "", {"alpha": 0.5}),
        ("x(a=1e-3,b=-2)", "x", "", {"a": 1e-3, "b": -2}),
        ("conv_transpose(transpose_kernel=true)", "conv_transpose", "", {"transpose_kernel": True}),
        ("conv_transpose(transpose_kernel=false,)", "conv_transpose", "", {"transpose_kernel": False}),
    ],
)
def test_said(text: str, kind: str, form: str, facts: dict[str, int | float | bool]) -> None:
    found = said(text)
    assert found == Said(kind, form, facts, text)
    assert {name: type(value) for name, value in found.facts.items()} == {
        name: type(value) for name, value in facts.items()
    }


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "'' is no kind: expected KIND, KIND:FORM or KIND(NAME=VALUE, …)"),
        ("a b", "'a b' is no kind"),
        ("a:", "'a:' is no kind"),
        ("a(b=1", "is no kind"),
        ("a(b=1)c", "is no kind"),
        ("a(b=(1))", "is no kind"),
        ("a(b)", "'b' is not of the form NAME=VALUE, each name once"),
        ("a(b=)", "'' is neither a number nor true or false"),
        ("a(=1)", "'=1' is not of the form NAME=VALUE"),
        ("a(1b=1)", "'1b=1' is not of the form NAME=VALUE"),
        ("a(b=1,b=1)", "'b=1' is not of the form NAME=VALUE, each name once"),
        ("a(b=x)", "'x' is neither a number nor true or false"),
        ("a(b=True)", "'True' is neither a number nor true or false"),
    ],
)
def test_what_is_no_kind(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=r"kind|NAME|number") as caught:
        said(text)
    assert words in str(caught.value)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize("number", ["nan", "inf", "-inf", "1e999"])
def test_a_fact_is_a_finite_number(number: str) -> None:
    with pytest.raises(ValueError, match="neither a number nor true or false"):
        said(f"lora_linear(alpha={number})")
