"""What a conversion records in a .ptf so that it can be undone, and the plan that undoes it."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

from ptformat import index, profile
from ptformat.columns import Index, columns_of
from ptformat.dtypes import TABLE, named
from ptformat.limits import MAX_CHUNK_BYTES
from ptformat.tree import Alias, TensorInfo, Value

from .content import Source
from .conventions import CONVENTIONS
from .plan import Plan, Step, identity, inverse

_LEFT_OUT = ("requires", "chunk", "codec", "stored", "sum")
_MAX_CHUNKS = 2**20  # of the largest size: 64 TiB


def record(plan: Plan, source: Source) -> dict[str, Any]:
    """The source's tree without its elements, and where each of its tensors went.

    Returns:
        `origin`: the convention's name for users; `tree`: the source's index map without chunks; `source` and
        `target`: the paths of the steps, U+000A between them; `perm`: their permutations; `fill`: the values of
        dropped integers of one element, by path; `filled`: the paths of what was made from nothing; `dropped`: of
        what was left out.
    """
    steps = [step for step in plan.steps.values() if step.source is not None]
    filled = [path for path, step in plan.steps.items() if step.source is None]
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
        "source": "\n".join(step.source or "" for step in steps),
        "target": "\n".join(step.target.path for step in steps),
        "perm": [list(step.perm) for step in steps],
        **({"fill": fill} if fill else {}),
        **({"filled": sorted(filled)} if filled else {}),
        **({"dropped": sorted(plan.dropped_paths)} if plan.dropped_paths else {}),
    }


def undo(source: Source, goal: str) -> Plan | None:
    """The plan that gives back what a file was converted from, or None where its record does not fit its tensors.

    The file's tensors may have other values and types than when it was written, but must have the same names and
    shapes; a tensor more or less, and the record no longer tells the whole story.
    """
    record = source.header.provenance
    if record.get("origin") != goal:
        return None
    try:
        original = _tree(record["tree"])
        came = dict(zip(record["source"].split("\n"), record["target"].split("\n"), strict=True))
        perms = dict(zip(came, [tuple(map(operator.index, perm)) for perm in record["perm"]], strict=True))
        fill = {path: operator.index(value) for path, value in record.get("fill", {}).items()}
        dropped, filled = set(record.get("dropped", ())), set(record.get("filled", ()))
    # A record may hold anything at all: an index's values of any type, and numbers that no tree bears out.
    except (LookupError, TypeError, AttributeError, ValueError, ArithmeticError):
        return None
    held = {entry.path: entry for entry in source.entries if isinstance(entry, TensorInfo)}
    if held.keys() - filled != set(came.values()) or any(isinstance(entry, Value) for entry in source.entries):
        return None
    plan = _restore(source, goal, original, _Record(held, came, perms, fill, dropped))
    if plan is None or not came.keys() <= plan.steps.keys():
        return None
    plan.dropped = [f"{path}: the conversion that is undone made it" for path in held if path in filled]
    return plan


class _Record:
    def __init__(
        self,
        held: dict[str, TensorInfo],
        came: dict[str, str],
        perms: dict[str, tuple[int, ...]],
        fill: dict[str, int],
        dropped: set[str],
    ) -> None:
        self.held, self.came, self.perms, self.fill, self.dropped = held, came, perms, fill, dropped


def _restore(source: Source, goal: str, original: Index, record: _Record) -> Plan | None:
    ours, theirs = CONVENTIONS[goal], source.header.convention
    names = {table.name: name for name, table in CONVENTIONS.items()}
    plan = Plan(source.name, names.get(theirs or "", "?"), goal, header=original.header, undone=True)
    plan.notes.append(f"undoes the conversion recorded in {source.name}")
    for entry in original.entries():
        if isinstance(entry, TensorInfo):
            step = _step(
                entry, record, ours.separator, CONVENTIONS[plan.origin].separator if plan.origin != "?" else "/"
            )
            if step is None and entry.path in record.dropped:
                continue
            if step is None:
                return None
            plan.steps[entry.path] = step
            plan.entries.append(step.target)
        elif isinstance(entry, Alias) and entry.target not in plan.steps:
            continue
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
        return Step(info, None, (), (), "recorded in the file", info.path, "", fill=value)
    held = record.held[record.came[info.path]]
    perm = record.perms[info.path]
    if sorted(perm) != list(identity(len(info.shape))) or held.shape != tuple(info.shape[i] for i in perm):
        return None
    target = TensorInfo(
        info.path, held.dtype, info.shape, info.axes, info.role, info.trainable, info.class_, info.attrs
    )
    shown = info.path.replace(".", ours), held.path.replace(".", theirs)
    back = inverse(perm)
    return Step(target, held.path, held.shape, back, "recorded in the file", *shown, held.axes)


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
