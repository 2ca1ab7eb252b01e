"""Operations as JSON values, for plans that are saved and edited by hand.

A tensor of the source is its path. Any other operation is a map of its name, its numbers and what it is made of:
`{"op": "permute", "perm": [1, 0], "of": "0.weight"}`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ptformat.limits import MAX_RANK

from . import operations as o

MAX_NESTING = 64
MAX_NODES = 2**16
_MAX_NUMBER = 2**64  # beyond every place, size and integer element


@dataclass(frozen=True, slots=True)
class _Form:
    """How one operation is spelled.

    Attributes:
        fields: Key -> what it holds: `int`, `ints`, `number`, `flag`, `text`, `one` or `many` operations.
        make: Called with them in order.
        optional: Value of a key that may be left out.
    """

    fields: Mapping[str, str]
    make: Callable[..., o.Operation]
    optional: Mapping[str, Any]


def _form(make: Callable[..., o.Operation], optional: Mapping[str, Any] | None = None, **fields: str) -> _Form:
    return _Form(fields, make, optional or {})


_FORMS: dict[str, _Form] = {
    "fill": _form(o.Fill, shape="ints", dtype="text", value="number"),
    "arange": _form(o.Arange, {"start": 0, "step": 1}, shape="ints", dtype="text", start="number", step="number"),
    "permute": _form(o.permute, of="one", perm="ints"),
    "reshape": _form(o.reshape, of="one", shape="ints"),
    "part": _form(o.part, of="one", axis="int", start="int", stop="int"),
    "index": _form(o.index, of="one", axis="int", at="int"),
    "join": _form(o.join, of="many", axis="int"),
    "stack": _form(o.stack, of="many", axis="int"),
    "flip": _form(o.flip, of="one", axes="ints"),
    "sum": _form(o.add_up, of="many"),
    "scale": _form(o.scale, of="one", factor="number"),
    "add": _form(o.add, of="one", addend="number"),
    "interleave": _form(o.interleave, of="one", axis="int", parts="int"),
    "deinterleave": _form(o.deinterleave, of="one", axis="int", parts="int"),
    "pad": _form(o.pad, {"value": 0}, of="one", axis="int", before="int", after="int", value="number"),
    "repeat": _form(
        lambda of, axis, times, each: o.repeat(of, axis, times, each=each),
        of="one",
        axis="int",
        times="int",
        each="flag",
    ),
    "cast": _form(o.cast, of="one", dtype="text"),
    "fold": _form(o.fold, {"axis": 0}, of="one", u="one", v="one", axis="int"),
}


def to_json(op: o.Operation) -> Any:
    """The operation as JSON values."""
    if isinstance(op, o.Given):
        return {"op": "kept", "of": op.path} if op.kept else op.path
    found: dict[str, Any] = {"op": op.name}
    for key, kind in sorted(_FORMS[op.name].fields.items(), key=lambda item: item[1] in ("one", "many")):
        value = getattr(op, key)
        if kind == "one":
            found[key] = to_json(value)
        elif kind == "many":
            found[key] = [to_json(one) for one in value]
        else:
            found[key] = list(value) if kind == "ints" else value
    return found


def from_json(data: Any, given: Callable[[str], o.Given], kept: Callable[[str], o.Given] | None = None) -> o.Operation:
    """The operation that JSON values say.

    Args:
        data: As of `to_json`.
        given: Gives the source's tensor of a path; raises `KeyError` or `ValueError` where there is none.
        kept: Gives the template's, where there is a template.

    Raises:
        ValueError: What is wrong, and where, for anything that is no operation.
    """
    return _Parsing(given, kept).operation(data, "$", 0)


class _Parsing:
    def __init__(self, given: Callable[[str], o.Given], kept: Callable[[str], o.Given] | None) -> None:
        self._given = given
        self._kept = kept
        self._count = 0

    def operation(self, data: Any, where: str, depth: int) -> o.Operation:
        self._count += 1
        if depth >= MAX_NESTING:
            raise ValueError(f"{where}: more than {MAX_NESTING} operations in one another")
        if self._count > MAX_NODES:
            raise ValueError(f"{where}: more than {MAX_NODES:,} operations")
        if isinstance(data, str):
            return _found(self._given, data, where, "source")
        if not isinstance(data, dict):
            raise _unexpected(where, "a path or a map", data)
        name = data.get("op")
        if name == "kept":
            return self._template(data, where)
        form = _FORMS.get(name) if isinstance(name, str) else None
        if form is None:
            raise ValueError(f"{where}: no operation is called {_shown(name)}; there are {', '.join(sorted(_FORMS))}")
        for key in data:
            if key != "op" and key not in form.fields:
                raise ValueError(f"{where}: {name} has no {_shown(key)}")
        values = [self._value(data, key, kind, form, where, depth) for key, kind in form.fields.items()]
        try:
            return form.make(*values)
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from None

    def _template(self, data: dict[str, Any], where: str) -> o.Given:
        path = data.get("of")
        if set(data) != {"op", "of"} or not isinstance(path, str):
            raise ValueError(f"{where}: kept takes a path as `of`, and nothing else")
        if self._kept is None:
            raise ValueError(f"{where}: {_shown(path)} is kept, but there is no template")
        return replace(_found(self._kept, path, where, "template"), kept=True)

    def _value(self, data: dict[str, Any], key: str, kind: str, form: _Form, where: str, depth: int) -> Any:
        place = f"{where}.{key}"
        if key not in data:
            if key in form.optional:
                return form.optional[key]
            raise ValueError(f"{where}: {data['op']} needs {key!r}")
        value = data[key]
        if kind == "one":
            return self.operation(value, place, depth + 1)
        if kind == "many":
            if not isinstance(value, list):
                raise _unexpected(place, "a list of operations", value)
            return [self.operation(one, f"{place}[{at}]", depth + 1) for at, one in enumerate(value)]
        return _plain(value, kind, place)


def _plain(value: Any, kind: str, where: str) -> Any:
    if kind == "ints":
        if not isinstance(value, list) or len(value) > MAX_RANK or not all(map(_is_int, value)):
            raise _unexpected(where, f"a list of at most {MAX_RANK} integers", value)
        return tuple(value)
    if kind == "int" and not _is_int(value):
        raise _unexpected(where, "an integer", value)
    if kind == "flag" and not isinstance(value, bool):
        raise _unexpected(where, "true or false", value)
    if kind == "text" and not isinstance(value, str):
        raise _unexpected(where, "a text", value)
    if kind == "number" and not _is_int(value) and not (isinstance(value, float) and math.isfinite(value)):
        raise _unexpected(where, "a number", value)
    return value


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= _MAX_NUMBER


def _found(given: Callable[[str], o.Given], path: str, where: str, what: str) -> o.Given:
    try:
        return given(path)
    except (KeyError, ValueError):
        raise ValueError(f"{where}: the {what} has no tensor {_shown(path)}") from None


def _unexpected(where: str, expected: str, value: Any) -> ValueError:
    return ValueError(f"{where}: expected {expected}, got {_shown(value)}")


def _shown(value: Any) -> str:
    """The value, cut short; only its kind where it is large."""
    if isinstance(value, str):
        return repr(value if len(value) <= 60 else value[:57] + "...")
    if value is None or isinstance(value, (bool, float)) or _is_int(value):
        return repr(value)
    return {"list": "a list", "dict": "a map", "int": "an integer too large"}.get(type(value).__name__, "no JSON value")
