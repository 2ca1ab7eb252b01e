"""Making a plan: by style or by template, all problems at once."""

from __future__ import annotations

from ptformat import paths
from ptformat.tree import Alias

from . import by_style, by_template
from .configuration import configure
from .content import Source
from .draft import Draft, Request
from .infer import convention_of
from .match import STYLES
from .plan import Plan, Step
from .problems import ConversionError, Problem


def make(source: Source, request: Request) -> Plan:
    """The plan for converting a source by its names, shapes and recorded facts.

    Raises:
        ConversionError: With every problem there is.
        ValueError: For a style or convention that does not exist.
    """
    if request.to not in request.tables:
        raise ValueError(f"cannot convert to {request.to!r}, only to {' or '.join(request.tables)}")
    if request.style not in STYLES:
        raise ValueError(f"style {request.style!r}, expected one of {', '.join(STYLES)}")
    if request.origin is not None and request.origin not in request.tables:
        raise ValueError(f"no convention {request.origin!r}, only {', '.join(request.tables)}")
    draft = Draft(source, request, _origin(source, request))
    if request.template is None:
        by_style.fill_in(draft)
    else:
        by_template.fill_in(draft, request.template)
    draft.check_rules()
    if request.strict:
        if draft.dialect_guess:
            text = f"{source.name}: nothing says its dialect; it may be {draft.dialect_guess}. Say --dialect"
            draft.problem("guess", source.name, text)
        for step in draft.made.values():
            if step.guess:
                draft.problem("guess", step.shown_source, _guess(draft, step))
    if draft.problems:
        raise ConversionError([*draft.problems])
    if draft.dialect_guess:
        draft.plan.notes.append(
            f"guess: {source.name} is taken to be in the dialect {draft.dialect}; it may be in {draft.dialect_guess}"
        )
    _tell_doubled(draft)
    configure(draft.plan, draft.known, draft.survey, draft.table, draft.goal)
    return draft.plan


def _origin(source: Source, request: Request) -> str:
    recorded = source.header.convention
    told = convention_of(source.entries, request.tables, recorded)
    if request.origin is not None and recorded and request.tables[request.origin].name != recorded:
        text = f"{source.name} is recorded as {recorded}, but --from says {request.origin}"
        raise ConversionError([Problem("contradiction", source.name, text)])
    origin = request.origin or told
    if origin is None and recorded:
        known = ", ".join(request.tables)
        text = f"{source.name} is recorded as {recorded}, for which there is no table ({known})"
        text += ". Give the --rules that have it"
        raise ConversionError([Problem("unsupported", source.name, text)])
    if origin is None:
        known = ", ".join(request.tables)
        text = (
            f"{source.name}: neither recorded nor plain from the leaf names whose layout this is. Say --from ({known})"
        )
        raise ConversionError([Problem("ambiguous", source.name, text)])
    if origin == request.to:
        text = f"{source.name} has {origin}'s layout already; leave --to out to copy it into another kind of file"
        raise ConversionError([Problem("ambiguous", source.name, text)])
    return origin


def _guess(draft: Draft, step: Step) -> str:
    segments = paths.parse(step.source or "")[1 if draft.survey.rooted else 0 : -1]
    glob = draft.table.separator.join(segments)
    return f"{step.shown_source} {step.source_shape}: {step.evidence}; it may be {step.guess}. Say --kind '{glob}=KIND'"


def _tell_doubled(draft: Draft) -> None:
    """A file without ties holds a tied tensor once under each name."""
    plan, sink = draft.plan, draft.request.sink
    if sink is None:
        return
    doubled = sum(sink.spells_out(entry) for entry in plan.entries if isinstance(entry, Alias))
    if doubled:
        again = f"{doubled} tied tensors are written" if doubled > 1 else "a tied tensor is written"
        ties = "ties of permuted axes" if sink.ties else "ties"
        plan.notes.append(f"a {sink.name} file holds no {ties}: {again} again")
