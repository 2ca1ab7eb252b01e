"""Plans as JSON: saved, changed by hand, and run again on any source of the same names and shapes.

    {"version": 1, "from": "torch", "to": "linen",
     "entries": [
        {"path": "params.layers_0", "form": "map", "module": "linear"},
        {"path": "params.layers_0.kernel", "shape": [4, 8], "dtype": "float32",
         "made": {"op": "permute", "perm": [1, 0], "of": "0.weight"}}],
     "dropped_paths": [], …}

`entries` is the target's tree in order: a tensor with how it is `made` (see `operations_json`), an `alias`, or a node
with its `form`, in the words of a list of shapes. Every tensor of the source must be in some entry or among
`dropped_paths`. `sources` and `exactness` beside a tensor are for the reader; `made` tells them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ptformat import paths
from ptformat.atomic import PathLike
from ptformat.columns import Header
from ptformat.errors import FormatError
from ptformat.limits import MAX_ENTRIES
from ptformat.tree import Alias, Entry, Node, TensorInfo, Value

from . import json_text, operations_json
from . import operations as ops
from .content import Source
from .conventions import CONVENTIONS
from .described import settled
from .layout import Condition
from .operations import Given
from .plan import Plan, Step
from .problems import ConversionError, Problem
from .shape_entries import as_json, bytes_back, entry_of, said_of, shown

VERSION = 1
MAX_BYTES = 256 * 2**20
_LINES = ("tied", "kept", "dropped", "notes", "configuration", "differs", "dropped_paths")
_TOLD = ("sources", "exactness")  # for the reader
_STEP = ("made", "evidence", "guess", "source_axes", "grade")
_HEADER = ("convention", "dialect", "metadata", "provenance")
_KEYS = {
    *("version", "source", "template", "from", "to", "undone", "header", "entries", "conditions", "collapsed", "given"),
    *_LINES,
}


def to_json(plan: Plan) -> dict[str, Any]:
    """The whole plan as JSON values, as `from_json` reads them."""
    return {
        "version": VERSION,
        "source": plan.source,
        "template": plan.template,
        "from": plan.origin,
        "to": plan.goal,
        "undone": plan.undone,
        "header": _header_json(plan.header),
        "entries": [_entry_json(entry, plan) for entry in plan.entries],
        "conditions": [{"zero": operations_json.to_json(each.made), "why": each.text} for each in plan.conditions],
        **{name: list(getattr(plan, name)) for name in _LINES},
        "collapsed": [{"path": alias.path, **said_of(alias)} for alias in plan.collapsed],
        "given": {
            "header": _header_json(plan.given_header),
            "entries": [{"path": entry.path, **said_of(entry)} for entry in plan.given],
        },
    }


def _entry_json(entry: Entry, plan: Plan) -> dict[str, Any]:
    said = {"path": entry.path, **said_of(entry)}
    step = plan.steps.get(entry.path)
    if step is None:
        return said
    return {
        **said,
        "made": operations_json.to_json(step.made),
        "sources": {given.path: list(given.shape) for given in step.sources},
        "exactness": step.exactness,
        "evidence": step.evidence,
        "guess": step.guess or None,
        "source_axes": step.source_axes and list(step.source_axes),
        **({} if step.grade == "bit" else {"grade": step.grade}),
    }


def _header_json(header: Header) -> dict[str, Any]:
    return {name: as_json(getattr(header, name)) for name in _HEADER if getattr(header, name)}


def read(path: PathLike, source: Source, template: Source | None = None) -> Plan:
    """The plan in a file, for a source: `from_json` of it.

    Raises:
        FormatError: MALFORMED for what is no JSON, LIMIT for more than 256 MiB; and as `from_json`.
        ConversionError: As `from_json`.
        OSError: When it cannot be read.
    """
    name = os.fspath(path)
    with open(path, "rb") as file:
        text = file.read(MAX_BYTES + 1)
    if len(text) > MAX_BYTES:
        raise FormatError("LIMIT", f"{name}: more than {MAX_BYTES} bytes")
    data = json_text.parse(text, name)
    return from_json(data, source, template, name=name)


def write(plan: Plan, path: PathLike) -> None:
    """Save a plan: one entry on a line, so that it can be read and changed."""
    Path(path).write_text(as_text(plan.to_json()), "utf-8")


def as_text(data: Mapping[str, Any]) -> str:
    """JSON of a plan with one entry on a line."""
    parts = []
    for key, value in data.items():
        if isinstance(value, list) and value:
            inner = ",\n".join(f"    {json.dumps(item, ensure_ascii=False)}" for item in value)
            parts.append(f"  {json.dumps(key)}: [\n{inner}\n  ]")
        elif key == "given":
            lines = ",\n".join(f"      {json.dumps(item, ensure_ascii=False)}" for item in value["entries"])
            entries = f"[\n{lines}\n    ]" if lines else "[]"
            head = json.dumps(value["header"], ensure_ascii=False)
            parts.append(f'  "given": {{\n    "header": {head},\n    "entries": {entries}\n  }}')
        else:
            parts.append(f"  {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def from_json(data: Any, source: Source, template: Source | None = None, *, name: str = "the plan") -> Plan:
    """The plan that JSON values say, checked against the source that it is to run on.

    Args:
        data: As of `to_json`.
        source: Its names, shapes and types must be those that the plan uses.
        template: Where tensors are kept of it.
        name: What the plan is called in messages.

    Raises:
        FormatError: SCHEMA, and the codes of a file's tree, for what is no plan: where and what was expected.
        ConversionError: With every tensor that cannot be made as it says: `missing`, `unexpected`, `shape`, `dtype`.
    """
    return _Parsing(data, source, template, name).plan()


class _Parsing:
    """One plan's JSON against one source."""

    def __init__(self, data: Any, source: Source, template: Source | None, name: str) -> None:
        self.data, self.source, self.template, self.name = data, source, template, name
        self.problems: list[Problem] = []
        self.tensors = _tensors(source)
        self.kept = _tensors(template) if template is not None else {}

    def plan(self) -> Plan:
        data = self.data
        if not isinstance(data, dict):
            raise self.wrong("$", "a plan: a map", data)
        if data.get("version") != VERSION or isinstance(data.get("version"), bool):
            raise self.wrong("version", f"{VERSION}, the plans that this library knows", data.get("version"))
        for key in data:
            if key not in _KEYS:
                raise FormatError("SCHEMA", f"{self.name}: a plan has no {shown(key)}")
        plan = Plan(
            self.text(data, "source", self.source.name),
            self.text(data, "from"),
            self.text(data, "to"),
            header=self.header(data.get("header", {}), "header"),
            undone=self.flag(data, "undone"),
            template=None if data.get("template") is None else self.text(data, "template"),
            collapsed=[one for one in self.tree(data.get("collapsed", []), "collapsed") if isinstance(one, Alias)],
        )
        for line in _LINES:
            setattr(plan, line, self.texts(data, line))
        self.given(plan, data.get("given", {}))
        self.entries(plan, data.get("entries"))
        self.conditions(plan, data.get("conditions", []))
        if not self.problems:
            self.left_over(plan)
        if self.problems:
            raise ConversionError(self.problems)
        return plan

    # What is said, and of the type that it must be

    def wrong(self, where: str, expected: str, found: Any) -> FormatError:
        return FormatError("SCHEMA", f"{self.name}: {where} is {shown(found)}, expected {expected}")

    def text(self, data: Mapping[str, Any], key: str, usual: str | None = None) -> str:
        value = data.get(key, usual)
        if not isinstance(value, str):
            raise self.wrong(key, "a text", value)
        return value

    def flag(self, data: Mapping[str, Any], key: str) -> bool:
        value = data.get(key, False)
        if not isinstance(value, bool):
            raise self.wrong(key, "true or false", value)
        return value

    def texts(self, data: Mapping[str, Any], key: str) -> list[str]:
        return [
            one if isinstance(one, str) else self.text({key: one}, key) for one in self.listed(data.get(key, []), key)
        ]

    def listed(self, value: Any, where: str) -> list[Any]:
        if not isinstance(value, list):
            raise self.wrong(where, "a list", value)
        if len(value) > MAX_ENTRIES:
            raise FormatError("LIMIT", f"{self.name}: {where} has {len(value):,} items, at most {MAX_ENTRIES:,}")
        return value

    def mapped(self, value: Any, where: str, known: Sequence[str] | None = None) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise self.wrong(where, "a map", value)
        for key in value:
            if known is not None and key not in known:
                raise FormatError("SCHEMA", f"{self.name}: {where} has no {shown(key)}, only {', '.join(known)}")
        return value

    def header(self, value: Any, where: str) -> Header:
        said = self.mapped(value, where, _HEADER)
        return Header(
            convention=self.text(said, "convention") if "convention" in said else None,
            dialect=self.text(said, "dialect") if "dialect" in said else None,
            metadata=bytes_back(self.mapped(said.get("metadata", {}), f"{where}.metadata")),
            provenance=bytes_back(self.mapped(said.get("provenance", {}), f"{where}.provenance")),
        )

    def tree(self, value: Any, where: str) -> list[Entry]:
        """Entries as a list of shapes says them."""
        return [self.entry(item, f"{where}[{row}]")[0] for row, item in enumerate(self.listed(value, where))]

    def entry(self, item: Any, where: str) -> tuple[Entry, dict[str, Any]]:
        """An entry, and what is said of how it is made."""
        said = dict(self.mapped(item, where))
        path = self.text({f"{where}.path": said.pop("path", None)}, f"{where}.path")
        step = {key: said.pop(key) for key in (*_STEP, *_TOLD) if key in said}
        try:
            paths.check(path)
            entry = entry_of(path, said)
        except FormatError as error:
            raise FormatError(error.code, f"{self.name}: {where}: {error.message}", path=error.path) from None
        if isinstance(entry, Node) and entry.keys is not None:
            entry = replace(entry, keys=tuple(map(_as_key, entry.keys)))
        return entry, step

    # What it says of the source

    def given(self, plan: Plan, value: Any) -> None:
        """The tree that the plan was made for: what is of another shape now is a problem."""
        said = self.mapped(value, "given", ("header", "entries"))
        plan.given_header = self.header(said.get("header", {}), "given.header")
        plan.given = self.tree(said.get("entries", []), "given.entries")
        for entry in plan.given:
            here = self.tensors.get(entry.path)
            if not isinstance(entry, TensorInfo) or here is None:
                continue
            if here.shape != entry.shape:
                text = f"{entry.path} is {here.shape} in {self.source.name}, {entry.shape} in {self.name}"
                self.problems.append(Problem("shape", entry.path, text))
            elif here.dtype != entry.dtype:
                text = f"{entry.path} is {here.dtype} in {self.source.name}, {entry.dtype} in {self.name}"
                self.problems.append(Problem("dtype", entry.path, text))
        if self.problems:
            raise ConversionError(self.problems)

    def operation(self, data: Any, where: str) -> ops.Operation | None:
        """What is made of the source's tensors, or None after noting the problem."""
        missing: list[str] = []

        def find(path: str) -> Given:
            if path not in self.tensors:
                missing.append(f"{where} is made of {path}, which {self.source.name} does not have")
            return self.tensors[path]

        def keep(path: str) -> Given:
            if path not in self.kept:
                missing.append(f"{where} keeps {path}, which the template does not have")
            return self.kept[path]

        try:
            return operations_json.from_json(data, find, keep if self.template is not None else None)
        except ValueError as error:
            kind = "missing" if missing or "no template" in str(error) else "shape"
            text = missing[0] if missing else f"{where}: {str(error).removeprefix('$: ').removeprefix('$.')}"
            self.problems.append(Problem(kind, where, text))
            return None

    def entries(self, plan: Plan, value: Any) -> None:
        ours, theirs = (_separator(name) for name in (plan.goal, plan.origin))
        for row, item in enumerate(self.listed(value, "entries")):
            entry, said = self.entry(item, f"entries[{row}]")
            plan.entries.append(entry)
            if isinstance(entry, TensorInfo):
                self.step(plan, entry, said, f"entries[{row}]", (ours, theirs))
            elif isinstance(entry, Value):
                raise self.wrong(f"entries[{row}]", "a tensor, an alias or a node: values are not converted", item)
            elif said:
                raise FormatError("SCHEMA", f"{self.name}: {entry.path!r} is no tensor, and has {', '.join(said)}")
        try:
            settled(plan.entries)
        except FormatError as error:
            raise FormatError(error.code, f"{self.name}: {error.message}", path=error.path) from None

    def step(
        self, plan: Plan, target: TensorInfo, said: Mapping[str, Any], where: str, separators: tuple[str, str]
    ) -> None:
        if "made" not in said:
            raise FormatError("SCHEMA", f"{self.name}: {target.path!r} does not say how it is made")
        made = self.operation(said["made"], target.path)
        if made is None:
            return
        if made.shape != target.shape:
            text = f"{target.path} is {target.shape}, but is made as {made.shape}"
            self.problems.append(Problem("shape", target.path, text))
        if made.dtype != target.dtype:
            text = f"{target.path} is {target.dtype}, but is made as {made.dtype}; a cast says so in 'made'"
            self.problems.append(Problem("dtype", target.path, text))
        axes = said.get("source_axes")
        guess = said.get("guess")
        grade = said.get("grade", "bit")
        if grade not in ops.EXACTNESS:
            raise self.wrong(f"{where}.grade", f"one of {', '.join(ops.EXACTNESS)}", grade)
        plan.steps[target.path] = Step(
            target,
            made,
            self.text({f"{where}.evidence": said.get("evidence", "")}, f"{where}.evidence"),
            shown_path(target.path, separators[0]),
            shown_sources(made, separators[1]),
            None if axes is None else tuple(self.texts({f"{where}.source_axes": axes}, f"{where}.source_axes")),
            "" if guess is None else self.text({f"{where}.guess": guess}, f"{where}.guess"),
            grade,
        )

    def conditions(self, plan: Plan, value: Any) -> None:
        for row, item in enumerate(self.listed(value, "conditions")):
            where = f"conditions[{row}]"
            said = self.mapped(item, where, ("zero", "why"))
            made = self.operation(said.get("zero"), where)
            if made is not None:
                plan.conditions.append(Condition(made, self.text({f"{where}.why": said.get("why")}, f"{where}.why")))

    def left_over(self, plan: Plan) -> None:
        """Every tensor of the source is used or dropped; what is dropped is there."""
        held = {entry.path for entry in self.source.entries}
        used = {given.path for step in plan.steps.values() for given in step.sources}
        used |= {given.path for each in plan.conditions for given in ops.sources(each.made)}
        used |= {*plan.dropped_paths}
        for entry in self.source.entries:
            if isinstance(entry, TensorInfo) and entry.path not in used:
                text = (
                    f"{entry.path} {entry.shape} has no target in {self.name}; 'dropped_paths' lists what is left out"
                )
                self.problems.append(Problem("unexpected", entry.path, text))
        for path in plan.dropped_paths:
            if path not in held:
                text = f"{path} is among 'dropped_paths', but not in {self.source.name}"
                self.problems.append(Problem("missing", path, text))


def _tensors(source: Source) -> dict[str, Given]:
    """Every tensor of a source by its path, and those of straight aliases."""
    found = {
        entry.path: Given(entry.path, entry.shape, entry.dtype)
        for entry in source.entries
        if isinstance(entry, TensorInfo)
    }
    for entry in source.entries:
        if isinstance(entry, Alias) and entry.perm is None:
            found[entry.path] = found[entry.target]
    return found


def _separator(convention: str) -> str:
    table = CONVENTIONS.get(convention)
    return "/" if table is None else table.separator


def shown_path(path: str, separator: str) -> str:
    """A path as its framework writes it."""
    return separator.join(paths.parse(path))


def shown_sources(made: ops.Operation, separator: str) -> str:
    """The first of the source's tensors that something is made of, and how many more."""
    given = [one for one in ops.sources(made) if not one.kept]
    if not given:
        return ""
    first = shown_path(given[0].path, separator)
    return f"{first} and {len(given) - 1} more" if len(given) > 1 else first


def _as_key(key: Any) -> Any:
    return tuple(map(_as_key, key)) if isinstance(key, list) else key
