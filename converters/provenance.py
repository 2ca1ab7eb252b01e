"""What a conversion records in a .ptf so that it can be undone, and the plan that undoes it."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from ptformat import index, profile
from ptformat.columns import Index, columns_of
from ptformat.dtypes import TABLE, named
from ptformat.limits import MAX_CHUNK_BYTES
from ptformat.tree import Alias, Entry, TensorInfo, Value

from . import operations, operations_json
from .content import Source
from .conventions import CONVENTIONS, Convention
from .inversion import Back, way_back
from .operations import Fill, Given, Operation
from .plan import Plan, Step

_LEFT_OUT = ("requires", "chunk", "codec", "stored", "sum")
_MAX_CHUNKS = 2**20  # of the largest size: 64 TiB


def record(plan: Plan, source: Source) -> dict[str, Any]:
    """The source's tree without its elements, and where each of its tensors went.

    Returns:
        `origin`: the convention's name for users; `tree`: the source's index map without chunks; `source` and
        `target`: the paths of the steps that only permute, U+000A between them; `perm`: their permutations; `made`:
        target path -> operations of the others; `zero`: what was found to be 0; `ties`: of the target's tree; `fill`:
        the values of dropped integers of one element, by path; `filled`: the paths of what was made from nothing;
        `dropped`: of what was left out. Empty where there is no way back.
    """
    steps = [step for step in plan.steps.values() if step.source is not None]
    filled = [path for path, step in plan.steps.items() if step.source is None]
    try:
        way_back({step.target.path: step.made for step in steps}, [each.made for each in plan.conditions])
    except ValueError:
        return {}  # a norm that was folded, rows that were cut off: there is no way back to record
    moved = [step for step in steps if step.perm is not None]
    made = {step.target.path: operations_json.to_json(step.made) for step in steps if step.perm is None}
    rows = {entry.path: row for row, entry in enumerate(source.entries)}
    tree = index.to_map(columns_of(source.header, MAX_CHUNK_BYTES, list(source.entries), rows, []))
    for key in _LEFT_OUT:
        del tree[key]
    tensors = {entry.path: entry for entry in source.entries if isinstance(entry, TensorInfo)}
    small = [tensors[path] for path in plan.dropped_paths if path in tensors and not tensors[path].shape]
    fill = {info.path: int(source.array(info.path)) for info in small if "int" in info.dtype}
    return {
        "origin": plan.origin,
        "tree": tree,
        "source": "\n".join(step.source or "" for step in moved),
        "target": "\n".join(step.target.path for step in moved),
        "perm": [list(step.perm or ()) for step in moved],
        **({"made": made} if made else {}),
        **({"ties": ties} if (ties := _ties(plan.entries)) else {}),
        **({"zero": [operations_json.to_json(each.made) for each in plan.conditions]} if plan.conditions else {}),
        **({"fill": fill} if fill else {}),
        **({"filled": sorted(filled)} if filled else {}),
        **({"dropped": sorted(plan.dropped_paths)} if plan.dropped_paths else {}),
    }


def undo(source: Source, goal: str, tables: Mapping[str, Convention] = CONVENTIONS) -> Plan | None:
    """The plan that gives back what a file was converted from, or None where its record does not fit its tensors.

    It needs no table of either convention, which may be a user's own: tables only say how paths are written. The
    file's tensors may have other values and types than when it was written, but must have the same names and shapes;
    a tensor more or less, and the record no longer tells the whole story.
    """
    record = source.header.provenance
    if record.get("origin") != goal:
        return None
    held = {entry.path: entry for entry in source.entries if isinstance(entry, TensorInfo)}
    if any(isinstance(entry, Value) for entry in source.entries):
        return None
    if _ties(source.entries) != record.get("ties", []):
        return None
    try:
        original = _tree(record["tree"])
        tensors = {info.path: info for info in original.entries() if isinstance(info, TensorInfo)}
        targets = _targets(record, tensors, held)
        fill = {path: operator.index(value) for path, value in record.get("fill", {}).items()}
        dropped, filled = set(record.get("dropped", ())), set(record.get("filled", ()))
        if held.keys() - filled != targets.keys():
            return None
        zero = [operations_json.from_json(made, _given(tensors)) for made in record.get("zero", ())]
        came = way_back(targets, zero)
    # A record may hold anything at all: an index's values of any type, and numbers that no tree bears out.
    except (LookupError, TypeError, AttributeError, ValueError, ArithmeticError, RecursionError):
        return None
    plan = _restore(source, goal, original, _Record(held, came, fill, dropped), tables)
    if plan is None or not came.keys() <= plan.steps.keys():
        return None
    plan.dropped = [f"{path}: the conversion that is undone made it" for path in held if path in filled]
    return plan


def _targets(
    record: dict[str, Any], tensors: dict[str, TensorInfo], held: dict[str, TensorInfo]
) -> dict[str, Operation]:
    """Target path -> how it was made, of tensors with the types that the file's have now."""
    targets: dict[str, Operation] = {}
    sources = record["source"].split("\n") if record["source"] else []
    names = record["target"].split("\n") if record["target"] else []
    for source, target, perm in zip(sources, names, record["perm"], strict=True):
        order = tuple(map(operator.index, perm))
        targets[target] = operations.permute(_given(tensors, held[target].dtype)(source), order)
    for target, made in record.get("made", {}).items():
        operation = operations_json.from_json(made, _given(tensors))
        dtype = held[target].dtype
        if operation.dtype != dtype:
            operation = operations_json.from_json(made, _given(tensors, dtype))
        targets[target] = operation
    for target, operation in targets.items():
        if (operation.shape, operation.dtype) != (held[target].shape, held[target].dtype):
            raise ValueError(f"{target} has another shape or type than recorded")
    return targets


def _ties(entries: Iterable[Entry]) -> list[list[Any]]:
    """Path, target and order of axes of every tie of a tree."""
    ties = [each for each in entries if isinstance(each, Alias)]
    return sorted([each.path, each.target, list(each.perm) if each.perm else []] for each in ties)


def _given(tensors: Mapping[str, TensorInfo], dtype: str | None = None) -> Callable[[str], Given]:
    """The source's tensors by path, in another type where one is given."""
    return lambda path: Given(path, tensors[path].shape, dtype or tensors[path].dtype)


class _Record:
    def __init__(
        self, held: dict[str, TensorInfo], came: dict[str, Back], fill: dict[str, int], dropped: set[str]
    ) -> None:
        self.held, self.came, self.fill, self.dropped = held, came, fill, dropped


def _restore(
    source: Source, goal: str, original: Index, record: _Record, tables: Mapping[str, Convention]
) -> Plan | None:
    theirs = source.header.convention or "?"
    origin = next((name for name, table in tables.items() if table.name == theirs), theirs)
    plan = Plan(source.name, origin, goal, header=original.header, undone=True)
    plan.notes.append(f"undoes the conversion recorded in {source.name}")
    ours, separator = (tables[name].separator if name in tables else "/" for name in (goal, origin))
    for entry in original.entries():
        if isinstance(entry, TensorInfo):
            step = _step(entry, record, ours, separator)
            if step is None and entry.path in record.dropped:
                continue
            if step is None:
                return None
            plan.steps[entry.path] = step
            plan.entries.append(step.target)
        elif entry.path not in record.dropped:
            plan.entries.append(entry)
    aliases = [entry for entry in plan.entries if isinstance(entry, Alias)]
    plan.tied = [f"{alias.path} is {alias.target} again, as recorded" for alias in aliases]
    return plan


def _step(info: TensorInfo, record: _Record, ours: str, theirs: str) -> Step | None:
    if info.path not in record.came:
        value = record.fill.get(info.path)
        if value is None or info.shape or "int" not in info.dtype:
            return None
        bits = np.iinfo(named(info.dtype).numpy) if named(info.dtype).bits >= 8 else None
        if bits is None or not bits.min <= value <= bits.max:
            return None
        return Step(info, Fill((), info.dtype, value), "recorded in the file", info.path, "")
    made = record.came[info.path].op  # of the recorded shape, with which the way there was made
    given = operations.sources(made)
    first = given[0].path.replace(".", theirs) if given else ""
    shown = f"{first} and {len(given) - 1} more" if len(given) > 1 else first
    axes = record.held[given[0].path].axes if len(given) == 1 else None
    target = replace(info, dtype=made.dtype)
    grade = record.came[info.path].exactness
    return Step(target, made, "recorded in the file", info.path.replace(".", ours), shown, axes, grade=grade)


def _tree(tree: dict[str, Any]) -> Index:
    """The recorded tree, checked like any index; its chunk columns are made up."""
    ranks = np.frombuffer(tree["rank"], "<u1").tolist()
    dims = np.frombuffer(tree["dims"], "<u8").tolist()
    codes = np.frombuffer(tree["dtype"], "<u1").tolist()
    stored: list[int] = []
    at = 0
    for rank, code in zip(ranks, codes, strict=True):
        size = TABLE[code].nbytes(math.prod(dims[at : at + rank]))
        at += rank
        whole, rest = divmod(size, MAX_CHUNK_BYTES)
        if len(stored) + whole > _MAX_CHUNKS:
            raise ValueError("a tree of more chunks than can be")
        stored += [MAX_CHUNK_BYTES] * whole + [rest] * bool(rest)
    columns: dict[str, Any] = {
        "requires": [],
        "chunk": MAX_CHUNK_BYTES,
        "codec": bytes(len(stored)),
        "stored": np.array(stored, "<u4").tobytes(),
        "sum": bytes(8 * len(stored)),
    }
    return index.decode(profile.encode({**tree, **columns}, "provenance"))
