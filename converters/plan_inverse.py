"""The plan back: over the tensors that a plan makes, for those that it makes them of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ptformat import paths
from ptformat.columns import Header
from ptformat.tree import Alias, Entry, Node, TensorInfo

from . import operations as ops
from .conventions import CONVENTIONS
from .inversion import Back, way_back
from .operations import Operation
from .plan import Plan, Step
from .plan_json import shown_path, shown_sources
from .problems import ConversionError, Problem

_WORDS = {
    "bit": "the way back",
    "function": "the way back: the same function of other tensors",
    "rounded": "the way back, rounded",
    "lossy": "the way back, with loss",
}


def inverse_of(plan: Plan) -> Plan:
    """See `Plan.inverse`."""
    table, theirs = CONVENTIONS.get(plan.origin), CONVENTIONS.get(plan.goal)
    ours, separator = (each.separator if each else "/" for each in (table, theirs))
    source = f"the result of {plan.source}"
    back = _back(plan)
    header = plan.given_header if plan.given else Header(convention=table.name if table else None)
    made = Plan(source, plan.goal, plan.origin, header=header, undone=True)
    made.given_header, made.given = plan.header, list(plan.entries)
    made.notes.append(f"the inverse of the plan for {plan.source}")
    held = {entry.path: entry for entry in plan.entries}
    for entry in plan.given or _entries(plan):
        if isinstance(entry, TensorInfo):
            step = _step(entry, back, plan, ours, separator)
            if step is None:
                made.dropped.append(f"{shown_path(entry.path, ours)}: dropped on the way there, it does not come back")
                continue
            axes = [held[given.path] for given in step.sources]
            if len(axes) == 1 and isinstance(axes[0], TensorInfo):
                step = replace(step, source_axes=axes[0].axes)
            made.steps[entry.path] = step
            made.entries.append(step.target)
        elif not isinstance(entry, Alias) or entry.target in made.steps:
            made.entries.append(entry)
            if isinstance(entry, Alias):
                again = shown_path(entry.target, ours)
                made.tied.append(f"{shown_path(entry.path, ours)} is {again} again, as in {plan.source}")
    used = {given.path for step in made.steps.values() for given in step.sources}
    for path in plan.steps:
        if path not in used:
            made.dropped.append(f"{shown_path(path, separator)}: nothing of {plan.source} is in it")
            made.dropped_paths.append(path)
    other = sum(one.exactness == "function" for one in back.values())
    if other:
        tensors = "1 tensor comes" if other == 1 else f"{other} tensors come"
        made.notes.append(f"{tensors} back with other elements that give the same function: a sum and zeros")
    return made


def _back(plan: Plan) -> dict[str, Back]:
    """How each source is made of the targets; what conditions say is zero, is zero."""
    targets: dict[str, Operation] = {path: step.made for path, step in plan.steps.items() if step.sources}
    try:
        return way_back(targets, [condition.made for condition in plan.conditions])
    except ValueError as error:
        _, *lines = str(error).split("\n")
        raise ConversionError([_problem(line.strip()) for line in lines]) from None


def _problem(line: str) -> Problem:
    path, _, why = line.partition(": ")
    return Problem("lossy", path, f"{path} has no way back: {why}")


def _entries(plan: Plan) -> list[Entry]:
    """The source's entries as far as a plan's steps tell them."""
    given = {one.path: one for step in plan.steps.values() for one in step.sources}
    root: list[Entry] = [Node("", "flat")] if plan.origin == "torch" else []
    return [*root, *(TensorInfo(one.path, one.dtype, one.shape) for one in given.values()), *plan.collapsed]


def _step(info: TensorInfo, back: Mapping[str, Back], plan: Plan, ours: str, separator: str) -> Step | None:
    """How a tensor of the source is made; None where it does not come back."""
    shown = shown_path(info.path, ours)
    if info.path in back:
        made, exactness = back[info.path].op, back[info.path].exactness
        target = info if made.dtype == info.dtype else replace(info, dtype=made.dtype)
        return Step(target, made, _WORDS[exactness], shown, shown_sources(made, separator), grade=exactness)
    table = CONVENTIONS.get(plan.origin)
    last = paths.parse(info.path)[-1:]
    for form in (form for forms in (table.forms.values() if table else ()) for form in forms):
        for slot in form.slots:
            if slot.fill is not None and (slot.name,) == last and (info.shape, info.dtype) == ((), slot.dtype):
                made = ops.Fill((), info.dtype, slot.fill)
                return Step(info, made, f"{plan.origin}'s own, from {slot.fill}", shown, "")
    return None
