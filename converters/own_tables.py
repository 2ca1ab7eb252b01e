"""Kinds, forms and frameworks of a user's own beside the library's, and what is wrong with them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from .conventions import CONVENTIONS, SPATIAL, Convention, Form, Kind, Slot
from .conventions.axes import ANY, ONES, STAR, Axes, chosen

Tables = Mapping[str, Convention]
FOLLOWED = ("torch", "linen", "nnx")
_NAME = re.compile(r"[A-Za-z_]\w*")
_ONE = r"[A-Za-z_]\w*(?:\|[A-Za-z_]\w*)*|\*spatial|\*"
_ITEM = rf"(?:\((?:{_ONE})(?:\s+(?:{_ONE}))*\)|{_ONE}|1|\*axes|\*1)"
_PATTERN = re.compile(rf"\s*(?:{_ITEM}(?:\s+{_ITEM})*)?\s*")


def extended(
    *,
    kinds: Sequence[Kind] = (),
    conventions: Mapping[str, Convention] | None = None,
    forms: Iterable[tuple[str, str, Form]] = (),
    tables: Tables = CONVENTIONS,
) -> Tables:
    """The library's tables with one's own kinds, frameworks and forms, for `Rules(tables=...)`.

    Args:
        kinds: New neutral kinds.
        conventions: Name that a user gives -> table of a framework; its kinds need not be set.
        forms: (convention, kind, form): how a framework keeps a kind. In a new framework it takes the place of the
            form of the same name; in one that there was before, a form of that name is an error, and the new one is
            looked at last.
        tables: Those to begin with.

    Raises:
        ValueError: For what is there already, and for a kind or form that makes no sense.
    """
    own = dict(next(iter(tables.values())).kinds)
    for kind in kinds:
        if kind.name in own:
            raise ValueError(f"kind {kind.name}: there is such a kind already")
        own[kind.name] = kind
    for kind in kinds:
        for key, text in kind_faults(kind, own):
            raise ValueError(f"kind {kind.name}: {key}: {text}")
    frozen = MappingProxyType(own)
    made = {name: replace(table, kinds=frozen) for name, table in tables.items()}
    for name, table in (conventions or {}).items():
        for key, text in convention_faults(name, table, made):
            raise ValueError(f"convention {name}: {key}: {text}")
        made[name] = replace(table, kinds=frozen, forms=dict(table.forms))
    for name, table in (conventions or {}).items():
        for kind_name, held in table.forms.items():
            if kind_name not in own:
                raise ValueError(f"convention {name}: forms: there is no kind {kind_name!r}")
            inherited = [form for one in CONVENTIONS.values() for form in one.forms.get(kind_name, ())]
            for form in (each for each in held if each not in inherited):
                for key, text in form_faults(form, own[kind_name], table):
                    raise ValueError(f"convention {name}: {kind_name}: {key}: {text}")
    given: set[tuple[str, str, str]] = set()
    for name, kind_name, form in forms:
        what = f"form {name} {kind_name}{':' * bool(form.name)}{form.name}"
        if name not in made or kind_name not in own:
            wrong = f"convention {name!r}" if name not in made else f"kind {kind_name!r}"
            raise ValueError(f"{what}: there is no {wrong}")
        for key, text in form_faults(form, own[kind_name], made[name]):
            raise ValueError(f"{what}: {key}: {text}")
        here = made[name].forms.get(kind_name, ())
        names = [each.name for each in here]
        if (name, kind_name, form.name) in given or (form.name in names and name in tables):
            raise ValueError(f"{what}: name: there is such a form already, expected another name")
        given.add((name, kind_name, form.name))
        if form.name in names:
            at = names.index(form.name)
            new = (*here[:at], form, *here[at + 1 :])
        else:
            new = (*here, form)
        made[name] = replace(made[name], forms={**made[name].forms, kind_name: new})
    return made


def kind_faults(kind: Kind, kinds: Mapping[str, Kind]) -> Iterator[tuple[str, str]]:
    """(key, what is wrong there) of a kind."""
    if not _NAME.fullmatch(kind.name):
        yield "name", f"{kind.name!r} is no name"
    for parameter, axes in kind.parameters.items():
        for name in axes:
            if not _NAME.fullmatch(name) and name not in (SPATIAL, ANY):
                yield f"parameters.{parameter}", f"{name!r} is no name of an axis"
        if len(set(axes)) < len(axes):
            text = f"an axis twice in {' '.join(axes)!r}; give them two names, and say in 'same' that they are equal"
            yield f"parameters.{parameter}", text
    known = {name for axes in kind.parameters.values() for name in axes}
    for parameter in kind.essential:
        if parameter not in kind.parameters:
            yield "essential", f"there is no parameter {parameter!r}, only {', '.join(kind.parameters)}"
    for key, other in (("rival", kind.rival), ("refines", kind.refines), ("serves", kind.serves)):
        if other and (other not in kinds or other == kind.name):
            yield key, f"there is no other kind {other!r}"
    for name in (*kind.same, *kind.usual, *(value for value in kind.usual.values() if isinstance(value, str))):
        if name not in known:
            yield (
                "same" if name in kind.same else "usual",
                f"there is no axis {name!r}, only {', '.join(sorted(known))}",
            )


def convention_faults(name: str, table: Convention, tables: Tables) -> Iterator[tuple[str, str]]:
    """(key, what is wrong there) of a framework's table, its forms aside."""
    if name in tables:
        yield "name", "there is such a convention already"
    for other, held in tables.items():
        if held.name == table.name:
            yield "name", f"{table.name!r} is what files of {other} record"
    if not table.name:
        yield "name", "is empty, expected what files record"
    if table.separator not in (".", "/"):
        yield "separator", f"is {table.separator!r}, expected '.' or '/'"
    if table.follows not in FOLLOWED:
        yield "follows", f"is {table.follows!r}, expected one of {', '.join(FOLLOWED)}"
    if table.home and table.home not in table.collections:
        yield "home", f"{table.home!r} is none of the collections"
    if table.collections and not table.home:
        yield "home", f"is missing, expected one of {', '.join(table.collections)}"


def form_faults(form: Form, kind: Kind, table: Convention) -> Iterator[tuple[str, str]]:
    """(key, what is wrong there) of a form: names, parameters and axes that there are not, or that are left out."""
    if form.name and not re.fullmatch(r"\w+", form.name):
        yield "name", f"{form.name!r} is no name"
    if not form.slots:
        yield "slot", "is missing, expected a slot for each tensor"
    known = {name for axes in kind.parameters.values() for name in axes}
    finer = Counter(name for names in form.refine.values() for name in names)
    for name, names in form.refine.items():
        if name not in known or name in (SPATIAL, ANY):
            yield f"refine.{name}", f"{kind.name} has no axis {name!r}, only {', '.join(sorted(known))}"
        if len(names) < 2 or any(not _NAME.fullmatch(each) or each in known or finer[each] > 1 for each in names):
            yield f"refine.{name}", f"is {' '.join(names)!r}, expected two new names or more"
    held: Counter[str] = Counter()
    added: set[str] = set()
    seen: set[tuple[str, str]] = set()
    for i, slot in enumerate(form.slots):
        where = f"slot[{i}]"
        if (slot.collection, slot.name) in seen:
            yield f"{where}.name", f"{slot.name!r} is there twice"
        seen.add((slot.collection, slot.name))
        yield from ((f"{where}.{key}", text) for key, text in _slot_faults(slot, form, kind, table))
        held.update(set(slot.holds) - slot.addends)
        added |= slot.addends
    for parameter, count in held.items():
        if count > 1:
            yield (
                "slot",
                f"{count} slots hold {parameter}; where their sum is meant, write '+{parameter}' in all but one",
            )
    for parameter in added - held.keys():
        yield "slot", f"'+{parameter}' adds to what no slot holds"
    for parameter in form.zero:
        if parameter not in kind.parameters or parameter in held:
            yield "zero", f"{parameter!r} is no parameter of {kind.name} without a slot"
    missing = [parameter for parameter in kind.essential if parameter not in held and parameter not in form.zero]
    if missing:
        yield "slot", f"none holds {', '.join(missing)}, essential to {kind.name}"


def _slot_faults(slot: Slot, form: Form, kind: Kind, table: Convention) -> Iterator[tuple[str, str]]:
    if not slot.name or not all(slot.segments):
        yield "name", f"{slot.name!r} is no name"
    for parameter in slot.holds:
        if parameter not in kind.parameters:
            yield "holds", f"{kind.name} has no parameter {parameter!r}, only {', '.join(kind.parameters)}"
            return
    folded = form.fold is not None and slot.name in form.fold[:2]
    if (not slot.holds and not folded) or len(set(slot.holds)) < len(slot.holds):
        yield "holds", f"is {' '.join(slot.holds)!r}, expected parameters, each once"
        return
    if slot.collection not in (table.collections or ("",)):
        expected = f"one of {', '.join(table.collections)}" if table.collections else "none"
        yield "collection", f"is {slot.collection!r}, expected {expected}"
    if slot.role not in ("parameter", "buffer"):
        yield "role", f"is {slot.role!r}, expected parameter or buffer"
    if not _PATTERN.fullmatch(slot.axes):
        yield "axes", f"{slot.axes!r} is no pattern of names, names in parentheses, 1, *spatial, *axes, *1 and *"
    elif not folded:
        yield from (("axes", text) for text in _axes_faults(slot, form, kind))
    dims = {name for dim in slot.dims for name in dim}
    for name in slot.flip:
        if name not in dims:
            yield "flip", f"{name!r} is none of the axes {slot.axes!r}"


def _axes_faults(slot: Slot, form: Form, kind: Kind) -> Iterator[str]:
    stars = [name for dim in slot.dims for name in dim].count(STAR)
    if len(slot.holds) > 1 and stars != 1:
        yield f"{slot.axes!r} has {'several' if stars else 'no'} '*', where its {len(slot.holds)} parameters lie"
    if len(slot.holds) == 1 and stars:
        yield f"{slot.axes!r} has a '*' for several parameters, but it holds one"
    weight = form.holding("weight")
    if any(dim == (ONES,) for dim in slot.dims) and (weight is None or weight is slot):
        yield "'*1' has as many axes as a weight's slot, which there is not"
    fine = {parameter: _fine(form, kind.parameters[parameter]) for parameter in slot.holds}
    every = {name for names in fine.values() for name in names}
    for name in (one for dim in slot.dims for either in dim for one in either.split("|")):
        if name not in (*every, STAR, ONES):
            verb = "have" if len(slot.holds) > 1 else "has"
            only = ", ".join(sorted(every)) or "none at all"
            yield f"{slot.axes!r}: {' and '.join(slot.holds)} {verb} no axis {name!r}, only {only}"
            return
    for parameter, names in fine.items():
        count = Counter(one for dim in slot.dims for one in chosen(dim, names) if one not in (STAR, ONES))
        strange = sorted(count.keys() - set(names))
        missing = [name for name in names if name not in count]
        twice = [name for name, times in count.items() if times > 1]
        if strange or missing:
            wrong = f"no axis {strange[0]!r}" if strange else f"the axis {missing[0]!r} too"
            yield f"{slot.axes!r}: {parameter} has {wrong} ({' '.join(names) or 'it is a single number'})"
        elif len(twice) > 1 or (twice and (count[twice[0]] > 2 or _within_one(slot, twice[0]))):
            yield f"{slot.axes!r}: {twice[0]!r} may stand in two items, of one parameter's blocks on a diagonal"


def _within_one(slot: Slot, name: str) -> bool:
    return name == SPATIAL or any(dim.count(name) > 1 for dim in slot.dims)


def _fine(form: Form, axes: Axes) -> Axes:
    return tuple(one for name in axes for one in form.refine.get(name, (name,)))
