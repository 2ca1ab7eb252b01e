"""What a user says of a module: its kind, the form it is kept in, and facts such as the number of heads."""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

_SAID = re.compile(r"(?P<kind>\w+)(?::(?P<form>\w+))?(?:\((?P<facts>[^()]*)\))?")


@dataclass(frozen=True)
class Said:
    """A kind as a user gives it: `attention:qkv(heads=12)`.

    Attributes:
        kind: Neutral kind.
        form: Name of a form of it, of the source's or the target's framework; or empty.
        facts: Sizes of axes (integers), factors, and what is true or false.
        text: As it was given.
    """

    kind: str
    form: str = ""
    facts: Mapping[str, int | float | bool] = field(default_factory=dict)
    text: str = ""


def said(text: str) -> Said:
    """Parse `KIND[:FORM][(NAME=VALUE, …)]`; values are integers, finite floats, `true` or `false`.

    Raises:
        ValueError: For anything else.
    """
    match = _SAID.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is no kind: expected KIND, KIND:FORM or KIND(NAME=VALUE, …)")
    facts: dict[str, int | float | bool] = {}
    for item in filter(None, (part.strip() for part in (match["facts"] or "").split(","))):
        name, equals, value = (part.strip() for part in item.partition("="))
        if not equals or not name.isidentifier() or name in facts:
            raise ValueError(f"{text!r}: {item!r} is not of the form NAME=VALUE, each name once")
        facts[name] = _value(text, value)
    return Said(match["kind"], match["form"] or "", facts, text)


def _value(text: str, value: str) -> int | float | bool:
    if value in ("true", "false"):
        return value == "true"
    for number in (int, float):
        with contextlib.suppress(ValueError):
            if math.isfinite(found := number(value)):
                return found
    raise ValueError(f"{text!r}: {value!r} is neither a number nor true or false")
