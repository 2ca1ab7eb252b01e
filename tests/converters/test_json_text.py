"""JSON of unknown origin: one value, no key twice, bounded in depth and in containers."""

import json
from typing import Any

import pytest
from checks import raised

from ptformat.converters import json_text
from ptformat.converters.json_text import MAX_NESTING, parse


@pytest.mark.parametrize(
    "text", ["3", "null", '"a"', "[]", '{"a": [1, {"b": 2.5}], "é": "\\ud83d\\ude00"}', "[[[]]]", "{}"]
)
def test_what_json_reads(text: str) -> None:
    assert (
        parse(text, "x") == parse(text.encode(), "x") == parse(b"\xef\xbb\xbf" + text.encode(), "x") == json.loads(text)
    )


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        ("", "MALFORMED", "x is no JSON: Expecting value"),
        (b"", "MALFORMED", "x is no JSON: Expecting value"),
        ("[1", "MALFORMED", "x is no JSON: Expecting"),
        ("[1] 2", "MALFORMED", "x is no JSON: Extra data"),
        (b"\xff", "MALFORMED", "x is no JSON: 'utf-8' codec"),
        ("9" * 5000, "MALFORMED", "x is no JSON: Exceeds the limit"),
        ('[{"a":1,"b":1,"b":2}]', "DUPLICATE", "x: key 'b' stands twice in one map"),
        ("[" * 100_000, "LIMIT", "x: nested too deeply, at most 256 maps and lists in one another are read"),
    ],
)
def test_what_is_no_json(text: Any, code: str, message: str) -> None:
    assert raised(code, lambda: parse(text, "x")).message.startswith(message)


@pytest.mark.parametrize(("left", "right"), [("[", "]"), ('{"a":', "}"), ('[1,{"a":', ',"b":2},3]')])
def test_the_depth_that_is_read(left: str, right: str) -> None:
    depth = MAX_NESTING // (1 + ("[" in left and "{" in left))
    for one, inner in (("0", depth), ("[]", depth - 1)):
        parse(left * inner + one + right * inner, "x")
    for one, inner in (("0", depth + 1), ("[]", depth)):
        text = left * inner + one + right * inner
        assert raised("LIMIT", lambda text=text: parse(text, "x")).message.startswith("x: nested too deeply")


def test_containers_are_counted_before_they_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_text, "MAX_CONTAINERS", 4)
    assert parse("[[],{},[]]", "x") == [[], {}, []]
    assert raised("LIMIT", lambda: parse("[[],{},[],{}]", "x")).message == "x: more than 4 maps and lists"
