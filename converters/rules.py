"""Rules in a TOML file: a family's names and kinds, its dialects, and new kinds, forms and frameworks.

name = "gpt2"
drop = ["*.attn.bias"]

[[kind]]
modules = "*.c_attn"
is = "linear:in_out"

What a file's rules match nothing with is no mistake, since a family has members; what the user says beside it is.
"""

from __future__ import annotations

import errno
import os
import re
import string
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from ptformat.atomic import PathLike
from ptformat.dtypes import named
from ptformat.errors import FormatError

from .applied import parsed, undone
from .conventions import CONVENTIONS, Convention
from .kinds import said
from .own_tables_toml import tables_of
from .stacks import Stack
from .toml_tables import Table

Pairs = Sequence[tuple[str, str]]
_MAX_BYTES = 1 << 20
_MAX_LINE = 1 << 14  # bytes: the time that tomllib takes for a key is the square of its length


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
        facts: Numbers that stand in operations as `{name}`.
        dialects: Name of a dialect -> (glob, operations) pairs that turn its tensors into those of the first. The globs
            are of names as the source writes them, so that there is a pair for each framework's names and axes.
        tables: Name of a convention -> its table; see `own_tables.extended`.
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
    facts: Mapping[str, int | float] = field(default_factory=dict)
    dialects: Mapping[str, Pairs] = field(default_factory=dict)
    tables: Mapping[str, Convention] = field(default_factory=lambda: CONVENTIONS)

    @property
    def steers(self) -> bool:
        """Whether there is more to them than tables: a recorded conversion is undone whatever tables there are."""
        names = ("kinds", "renames", "drop", "missing", "apply", "cast", "fold", "stacks", "unstacks", "dialects")
        return any(getattr(self, name) for name in names)


def load(path: PathLike) -> Rules:
    """The rules of a TOML file, or of a family by the name of it that comes with the library.

    Raises:
        FormatError: FORMAT, for what is no such file: which key, what it is, what was expected.
        OSError: When it cannot be read; for a name that is no file, with the names of the families.
    """
    name = os.fspath(path)
    if os.path.isfile(name) or name not in families():
        text = _read(name)
    else:
        text = resources.files(__package__).joinpath("families", f"{name}.toml").read_text("utf-8")
    try:
        return parse_rules(tomllib.loads(text))
    except ValueError as error:
        raise FormatError("FORMAT", f"{name}: {error}") from error
    except RecursionError:
        raise FormatError("FORMAT", f"{name}: nested too deeply") from None


def _read(name: str) -> str:
    if not os.path.exists(name):
        what = f"no such file, and no family of that name ({', '.join(families())})"
        raise FileNotFoundError(errno.ENOENT, what, name)
    with Path(name).open("rb") as file:
        raw = file.read(_MAX_BYTES + 1)
    if len(raw) > _MAX_BYTES:
        raise FormatError("FORMAT", f"{name}: more than {_MAX_BYTES} bytes of rules")
    if max(map(len, raw.split(b"\n"))) > _MAX_LINE:
        raise FormatError("FORMAT", f"{name}: a line of more than {_MAX_LINE} bytes")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise FormatError("FORMAT", f"{name}: no UTF-8 at byte {error.start}") from None


def families() -> list[str]:
    """Names of the families whose rules come with the library."""
    folder = resources.files(__package__).joinpath("families")
    return sorted(each.name.removesuffix(".toml") for each in folder.iterdir() if each.name.endswith(".toml"))


def parse_rules(document: Mapping[str, Any]) -> Rules:
    """Rules from the values of a TOML document.

    Raises:
        ValueError: Which key is wrong, what it is and what was expected.
    """
    top = Table(document)
    tables = tables_of(top)
    rules = Rules(
        name=top.text("name", "rules"),
        drop=top.words("drop"),
        fold=top.words("fold"),
        kinds=tuple((each.text("modules"), _kind(each, tables)) for each in top.tables("kind")),
        renames=tuple((each.checked("match", _regex), each.text("to", "")) for each in top.tables("rename")),
        missing=tuple((each.text("tensors"), each.checked("policy", _policy)) for each in top.tables("missing")),
        apply=tuple((each.text("tensors"), each.checked("operations", parsed)) for each in top.tables("apply")),
        cast=tuple((each.text("tensors"), each.checked("dtype", _dtype)) for each in top.tables("cast")),
        stacks=tuple(_stack(each) for each in top.tables("stack")),
        unstacks=tuple((each.text("path"), each.number("axis", 0)) for each in top.tables("unstack")),
        facts=top.pairs("facts", int, float),
        dialects={
            name: [(each.text("tensors"), each.checked("operations", _both_ways)) for each in dialect.tables("apply")]
            for name, dialect in top.named("dialect")
        },
        tables=tables,
    )
    top.done()
    for first in list(rules.dialects)[:1]:
        if rules.dialects[first]:
            text = "is the first dialect, into which the others are turned, and has operations; expected none"
            raise ValueError(f"dialect.{first} {text}")
    return rules


def _kind(table: Table, tables: Mapping[str, Convention]) -> str:
    """What a user may say of a module: a kind that there is, in a form that some framework has."""
    text = table.checked("is", said)
    asked = said(text)
    held = [each.forms.get(asked.kind, ()) for each in tables.values()]
    if not any(held):
        known = ", ".join(sorted({name for each in tables.values() for name in each.forms}))
        raise ValueError(f"{table.at('is')}: there is no kind {asked.kind!r} (known: {known})")
    names = dict.fromkeys(form.name for forms in held for form in forms if form.name)
    if asked.form and asked.form not in names:
        known = ", ".join(names) or "none"
        raise ValueError(f"{table.at('is')}: {asked.kind} has no form {asked.form!r} (known: {known})")
    return text


def _stack(table: Table) -> Stack:
    stack = Stack(
        table.text("list"),
        table.number("axis", 0),
        table.text("into", "") or None,
        table.number("cycle", 1, 1),
        table.text("rest", "") or None,
    )
    for key, text, name in (("into", stack.into, "phase"), ("rest", stack.rest, "n")):
        if not _numbered(text or "", name):
            raise ValueError(f"{table.at(key)} is {text!r}, expected a path with {{{name}}}")
    return stack


def _numbered(text: str, name: str) -> bool:
    """Whether it is a path with a number in it; a format can reach attributes, and be a billion characters wide."""
    try:
        return all(
            field in (None, name) and not width and not kind for _, field, width, kind in string.Formatter().parse(text)
        )
    except ValueError:
        return False


def _regex(text: str) -> None:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"{text!r} is no regular expression: {error}") from None


def _policy(text: str) -> None:
    try:
        if text != "keep":
            float(text)
    except ValueError:
        raise ValueError(f"{text!r}, expected keep or a number") from None


def _dtype(text: str) -> None:
    try:
        named(text)
    except FormatError as error:
        raise ValueError(error.message) from None


def _both_ways(text: str) -> None:
    undone(parsed(text))
