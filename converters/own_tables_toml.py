"""Kinds, forms and frameworks from a TOML file.

[kinds.gated]
parameters = { up = "out in", gate = "out in" }
essential = ["up", "gate"]

[conventions.mine]
like = "linen"

[[form]]
convention = "mine"
kind = "gated"
slot = [{ name = "kernel", holds = "up gate", axes = "in (out *)" }]
"""

from __future__ import annotations

from collections.abc import Iterator

from .conventions import CONVENTIONS, KINDS, Convention, Form, Kind, Slot
from .own_tables import Tables, convention_faults, extended, form_faults, kind_faults
from .toml_tables import Table


def tables_of(top: Table) -> Tables:
    """The library's tables with a file's kinds, frameworks and forms; the library's own where it has none.

    Raises:
        ValueError: Which key is wrong, what it is and what was expected.
    """
    given, frameworks, shapes = top.named("kinds"), top.named("conventions"), top.tables("form")
    if not given and not frameworks and not shapes:
        return CONVENTIONS
    kinds: list[Kind] = []
    for name, table in given:
        if name in KINDS:
            raise ValueError(f"{table.where}: there is such a kind already")
        kinds.append(_kind(name, table))
    known = {**KINDS, **{kind.name: kind for kind in kinds}}
    for kind, (_, table) in zip(kinds, given, strict=True):
        _refuse(table, kind_faults(kind, known))
    tables: Tables = extended(kinds=kinds)
    for name, table in frameworks:
        convention = _convention(name, table, tables)
        _refuse(table, convention_faults(name, convention, tables))
        tables = extended(conventions={name: convention}, tables=tables)
    forms: list[tuple[str, str, Form]] = []
    seen: set[tuple[str, str, str]] = set()
    for table in shapes:
        own, about = table.text("convention"), table.text("kind")
        for key, word, there in (("convention", own, tables), ("kind", about, known)):
            if word not in there:
                raise ValueError(f"{table.at(key)}: there is no {key} {word!r} (known: {', '.join(there)})")
        form = _form(table, tables[own])
        _refuse(table, form_faults(form, known[about], tables[own]))
        library = own in CONVENTIONS and any(each.name == form.name for each in tables[own].forms.get(about, ()))
        if library or (own, about, form.name) in seen:
            what = f"{own} has {about} in {f'the form {form.name!r}' if form.name else 'a form without a name'} already"
            raise ValueError(f"{table.at('name')}: {what}, expected another name")
        seen.add((own, about, form.name))
        forms.append((own, about, form))
    # Forms of the library's frameworks come after theirs; those of the file's own take the place of what they inherit.
    mine = {name for name, _ in frameworks}
    base = {name: table for name, table in tables.items() if name not in mine}
    late = {name: table for name, table in tables.items() if name in mine}
    return extended(conventions=late, forms=forms, tables=base)


def _refuse(table: Table, faults: Iterator[tuple[str, str]]) -> None:
    for key, text in faults:
        raise ValueError(f"{table.at(key)}: {text}" if not text.startswith("is ") else f"{table.at(key)} {text}")


def _kind(name: str, table: Table) -> Kind:
    parameters = {key: tuple(value.split()) for key, value in table.pairs("parameters").items()}
    if not parameters:
        raise ValueError(f"{table.at('parameters')} is missing, expected a table of texts: a parameter and its axes")
    return Kind(
        name,
        parameters,
        table.words("essential"),
        rival=table.text("rival", ""),
        declared=table.truth("declared"),
        explicit=table.truth("explicit"),
        refines=table.text("refines", ""),
        parts=table.truth("parts"),
        serves=table.text("serves", ""),
        same=table.words("same"),
        usual=table.pairs("usual", str, int),
    )


def _convention(name: str, table: Table, tables: Tables) -> Convention:
    like = table.text("like", "")
    if like and like not in tables:
        raise ValueError(f"{table.at('like')}: there is no convention {like!r} before it (known: {', '.join(tables)})")
    base = tables[like] if like else Convention("", ".", {}, f"{name}.")
    return Convention(
        name=table.text("name", name),
        separator=table.text("separator", base.separator),
        namespace=table.text("namespace", base.namespace),
        forms=dict(base.forms),
        collections=table.words("collections") or base.collections,
        home=table.text("home", base.home),
        facts={**base.facts, **table.pairs("facts")},
        unsupported={**base.unsupported, **table.pairs("unsupported")},
        integers=base.integers,
        follows=table.text("follows", base.follows),
    )


def _form(table: Table, convention: Convention) -> Form:
    return Form(
        tuple(_slot(each, convention) for each in table.tables("slot")),
        table.text("name", ""),
        table.truth("declared"),
        refine={key: tuple(value.split()) for key, value in table.pairs("refine").items()},
        when=table.pairs("when", bool, int, float, str),
        zero=table.words("zero"),
        classes=table.words("classes"),
    )


def _slot(table: Table, convention: Convention) -> Slot:
    words = table.text("holds").split()
    fill = table.number("fill", -1, -1)
    dtype = table.text("dtype", "")
    if (fill >= 0) != bool(dtype):
        raise ValueError(f"{table.at('fill')}: a slot that is filled has both a number from 0 on and a dtype")
    scale = table.words("scale")
    if len(scale) not in (0, 2):
        raise ValueError(f"{table.at('scale')} is {list(scale)}, expected the names of two facts, or none")
    axes = table.values.get("axes")
    return Slot(
        table.text("name"),
        tuple(word.removeprefix("+") for word in words),
        table.text("axes", "") if axes == "" else table.text("axes"),
        collection=table.text("collection", convention.home),
        role=table.text("role", "parameter"),
        fill=fill if fill >= 0 else None,
        dtype=dtype or None,
        flip=table.words("flip"),
        addends=frozenset(word[1:] for word in words if word.startswith("+")),
        scale=scale,
        variable=table.text("variable", "Param"),
    )
