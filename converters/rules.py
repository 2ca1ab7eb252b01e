"""Rules in a TOML file: a family's names and kinds, its dialects, and new kinds, forms and frameworks.

    name = "gpt2"
    drop = ["*.attn.bias"]

    [[kind]]
    modules = "*.c_attn"
    is = "linear:in_out"

What a file's rules match nothing with is no mistake, since a family has members; what the user says beside it is.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ptformat.atomic import PathLike
from ptformat.errors import FormatError

from .applied import parsed
from .conventions import CONVENTIONS, KINDS, Convention, Form, Kind, Slot, parse
from .kinds import said
from .stacks import Stack

Pairs = Sequence[tuple[str, str]]
_MAX_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Rules:
    """The rules of a family of models, or tables of one's own; see `Steering` for what each option means.

    Attributes:
        name: Of the family.
        kinds: (glob, kind) pairs.
        renames: (regex, new) pairs.
        drop: Globs.
        missing: (glob, policy) pairs.
        apply: (glob, operations) pairs.
        cast: (glob, dtype) pairs.
        fold: Globs.
        stacks: Lists that the target holds stacked.
        unstacks: (path, axis) pairs.
        dialects: Name of a dialect -> (glob, operations) pairs that turn its tensors into those of the first.
        tables: Name of a convention -> its table.
    """

    name: str = "rules"
    kinds: Pairs = ()
    renames: Pairs = ()
    drop: Sequence[str] = ()
    missing: Pairs = ()
    apply: Pairs = ()
    cast: Pairs = ()
    fold: Sequence[str] = ()
    stacks: Sequence[Stack] = ()
    unstacks: Sequence[tuple[str, int]] = ()
    dialects: Mapping[str, Pairs] = field(default_factory=dict)
    tables: Mapping[str, Convention] = field(default_factory=lambda: CONVENTIONS)


def load(path: PathLike) -> Rules:
    """The rules of a TOML file, or of a family by the name of it that comes with the library.

    Raises:
        FormatError: FORMAT, for what is no such file: which key, what it is, what was expected.
        OSError: When it cannot be read.
    """
    name = os.fspath(path)
    if name in families():
        text = resources.files(__package__).joinpath("families", f"{name}.toml").read_text("utf-8")
    else:
        raw = Path(path).read_bytes()
        if len(raw) > _MAX_BYTES:
            raise FormatError("FORMAT", f"{name}: {len(raw)} bytes of rules, at most {_MAX_BYTES}")
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError as error:
            raise FormatError("FORMAT", f"{name}: no UTF-8 at byte {error.start}") from None
    try:
        return parse_rules(tomllib.loads(text))
    except (tomllib.TOMLDecodeError, ValueError) as error:
        raise FormatError("FORMAT", f"{name}: {error}") from error


def families() -> list[str]:
    """Names of the families whose rules come with the library."""
    folder = resources.files(__package__).joinpath("families")
    return sorted(each.name.removesuffix(".toml") for each in folder.iterdir() if each.name.endswith(".toml"))


def parse_rules(document: Mapping[str, Any]) -> Rules:
    """Rules from the values of a TOML document.

    Raises:
        ValueError: Which key is wrong, what it is and what was expected.
    """
    top = _Table(document, "")
    rules = Rules(
        name=top.text("name", "rules"),
        drop=top.texts("drop"),
        fold=top.texts("fold"),
        kinds=[(each.text("modules"), each.checked("is", said)) for each in top.tables("kind")],
        renames=[(each.checked("match", _regex), each.text("to")) for each in top.tables("rename")],
        missing=[(each.text("tensors"), each.text("policy")) for each in top.tables("missing")],
        apply=[(each.text("tensors"), each.checked("operations", parsed)) for each in top.tables("apply")],
        cast=[(each.text("tensors"), each.text("dtype")) for each in top.tables("cast")],
        stacks=[_stack(each) for each in top.tables("stack")],
        unstacks=[(each.text("path"), each.number("axis", 0)) for each in top.tables("unstack")],
        dialects={
            name: [(each.text("tensors"), each.checked("operations", parsed)) for each in dialect.tables("apply")]
            for name, dialect in top.named("dialect")
        },
        tables=_tables(top),
    )
    top.done()
    return rules


def _stack(table: _Table) -> Stack:
    return Stack(
        table.text("list"),
        table.number("axis", 0),
        table.text("into", "") or None,
        table.number("cycle", 1),
        table.text("rest", "") or None,
    )


def _regex(text: str) -> object:
    import re

    try:
        return re.compile(text)
    except re.error as error:
        raise ValueError(f"{text!r} is no regular expression: {error}") from None


def _tables(top: _Table) -> Mapping[str, Convention]:
    """The library's tables with the file's kinds, frameworks and forms."""
    kinds = dict(KINDS)
    for name, table in top.named("kinds"):
        if name in kinds:
            raise ValueError(f"kinds.{name}: there is such a kind already")
        kinds[name] = _kind(name, table)
    tables = {name: replace(table, kinds=MappingProxyType(kinds)) for name, table in CONVENTIONS.items()}
    for name, table in top.named("conventions"):
        if name in tables:
            raise ValueError(f"conventions.{name}: there is such a convention already")
        tables[name] = _convention(name, table, tables)
    for table in top.tables("form"):
        name, kind = table.text("convention"), table.text("kind")
        if name not in tables or kind not in kinds:
            what = f"convention {name!r}" if name not in tables else f"kind {kind!r}"
            raise ValueError(f"{table.where}: there is no {what}")
        form = _form(table, kinds[kind])
        forms = dict(tables[name].forms)
        forms[kind] = (*(each for each in forms.get(kind, ()) if each.name != form.name), form)
        tables[name] = replace(tables[name], forms=forms)
    return tables if len(kinds) > len(KINDS) or tables.keys() != CONVENTIONS.keys() or top.has("form") else CONVENTIONS


def _kind(name: str, table: _Table) -> Kind:
    parameters = {key: tuple(value.split()) for key, value in table.strings("parameters").items()}
    if not parameters:
        raise ValueError(f"{table.where}: a kind without parameters")
    essential = tuple(table.texts("essential"))
    for each in essential:
        if each not in parameters:
            raise ValueError(f"{table.where}.essential: there is no parameter {each!r}")
    kind = Kind(
        name,
        parameters,
        essential,
        declared=table.truth("declared"),
        explicit=table.truth("explicit"),
        refines=table.text("refines", ""),
    )
    table.done()
    return kind


def _convention(name: str, table: _Table, tables: Mapping[str, Convention]) -> Convention:
    like = table.text("like", "")
    if like and like not in tables:
        raise ValueError(f"{table.where}.like: there is no convention {like!r}")
    base = tables[like] if like else None
    convention = Convention(
        name=table.text("name", name),
        separator=table.text("separator", base.separator if base else "."),
        namespace=table.text("namespace", base.namespace if base else f"{name}."),
        forms=dict(base.forms) if base else {},
        collections=tuple(table.texts("collections")) or (base.collections if base else ()),
        home=table.text("home", base.home if base else ""),
        facts=base.facts if base else {},
        kinds=next(iter(tables.values())).kinds,
    )
    table.done()
    return convention


def _form(table: _Table, kind: Kind) -> Form:
    slots = tuple(_slot(each, kind) for each in table.tables("slot"))
    held = {parameter for slot in slots for parameter in slot.holds}
    missing = set(kind.essential) - held
    if missing:
        raise ValueError(f"{table.where}: no slot holds {', '.join(sorted(missing))}, essential to {kind.name}")
    form = Form(
        slots,
        table.text("name", ""),
        table.truth("declared"),
        refine={key: tuple(value.split()) for key, value in table.strings("refine").items()},
        zero=tuple(table.texts("zero")),
        classes=tuple(table.texts("classes")),
    )
    table.done()
    return form


def _slot(table: _Table, kind: Kind) -> Slot:
    words = table.text("holds").split()
    holds = tuple(word.removeprefix("+") for word in words)
    for parameter in holds:
        if parameter not in kind.parameters:
            known = ", ".join(kind.parameters)
            raise ValueError(f"{table.where}.holds: {kind.name} has no parameter {parameter!r}, only {known}")
    axes = table.text("axes")
    if len(holds) > 1 and not any("*" in dim for dim in parse(axes)):
        raise ValueError(f"{table.where}.axes: {axes!r} has no '*', where its {len(holds)} parameters lie")
    slot = Slot(
        table.text("name"),
        holds,
        axes,
        collection=table.text("collection", ""),
        role=table.text("role", "parameter"),
        flip=tuple(table.texts("flip")),
        addends=frozenset(word[1:] for word in words if word.startswith("+")),
        variable=table.text("variable", "Param"),
    )
    table.done()
    return slot


class _Table:
    """A table of TOML: every value is checked as it is taken, and what is left over is an error."""

    def __init__(self, values: Mapping[str, Any], where: str) -> None:
        self.values = dict(values)
        self.where = where
        self.inner: list[_Table] = []

    def _take(self, key: str, kind: type, expected: str, usual: Any) -> Any:
        if key not in self.values:
            if usual is None:
                raise ValueError(f"{self._at(key)} is missing, expected {expected}")
            return usual
        value = self.values.pop(key)
        if type(value) is not kind:
            raise ValueError(f"{self._at(key)} is {value!r}, expected {expected}")
        return value

    def _at(self, key: str) -> str:
        return f"{self.where}.{key}" if self.where else key

    def has(self, key: str) -> bool:
        """Whether tables of that name were taken."""
        return any(table.where.startswith(f"{self._at(key)}[") for table in self.inner)

    def text(self, key: str, usual: str | None = None) -> str:
        taken: str = self._take(key, str, "text", usual)
        return taken

    def number(self, key: str, usual: int) -> int:
        taken: int = self._take(key, int, "an integer", usual)
        return taken

    def truth(self, key: str) -> bool:
        taken: bool = self._take(key, bool, "true or false", False)
        return taken

    def texts(self, key: str) -> list[str]:
        taken: list[Any] = self._take(key, list, "a list of texts", [])
        if not all(type(each) is str for each in taken):
            raise ValueError(f"{self._at(key)} is {taken!r}, expected a list of texts")
        return taken

    def strings(self, key: str) -> dict[str, str]:
        taken: dict[str, Any] = self._take(key, dict, "a table of texts", {})
        if not all(type(each) is str for each in taken.values()):
            raise ValueError(f"{self._at(key)} is {taken!r}, expected a table of texts")
        return taken

    def checked(self, key: str, check: Callable[[str], object]) -> str:
        """A text that a parser takes."""
        value = self.text(key)
        try:
            check(value)
        except ValueError as error:
            raise ValueError(f"{self._at(key)}: {error}") from None
        return value

    def tables(self, key: str) -> list[_Table]:
        """The tables of a list of tables."""
        taken: list[Any] = self._take(key, list, "a list of tables", [])
        if not all(type(each) is dict for each in taken):
            raise ValueError(f"{self._at(key)}, expected a list of tables")
        found = [_Table(each, f"{self._at(key)}[{i}]") for i, each in enumerate(taken)]
        self.inner += found
        return found

    def named(self, key: str) -> list[tuple[str, _Table]]:
        """The tables of a table, by name."""
        taken: dict[str, Any] = self._take(key, dict, "a table of tables", {})
        if not all(type(each) is dict for each in taken.values()):
            raise ValueError(f"{self._at(key)}, expected a table of tables")
        found = [(name, _Table(each, f"{self._at(key)}.{name}")) for name, each in taken.items()]
        self.inner += [table for _, table in found]
        return found

    def done(self) -> None:
        """Refuse what was not taken, in this table and those in it."""
        for name in self.values:
            raise ValueError(f"{self._at(name)} is no key of these rules")
        for table in self.inner:
            table.done()
