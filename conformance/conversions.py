"""Conversions put to an implementation: the file that comes of one, and its plan, against what they must be."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ptformat.errors import shown

from .process import Implementation
from .recipes.convert.operations import Array, Named, evaluate, named
from .suite import CASES, Listed, among, listed
from .verdict import Outcome, outcome, told

# Of a leaf; the rest is the converter's own.
_COMPARED = ("type", "dtype", "shape", "sha256", "target", "perm", "value")

Leaf = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Conversion:
    """A row of the manifest.

    Attributes:
        id: Such as `convert/deck-net/torch-to-linen`; never given to another conversion.
        source: The file that is converted, beneath the folder of cases.
        to: `torch`, `linen` or `nnx`.
        target: The file that it must become; None where it must be refused.
        plan: The plan; None where there is none.
        exactness: `bit` or `function`, the worst of its steps; None where there is none.
        section: Of the conventions.
        seconds: How long an answer may take.
        memory_mib: How much memory it may take.
        comment: What it is about.
    """

    id: str
    source: str
    to: str
    target: str | None
    plan: str | None
    exactness: str | None
    section: str
    seconds: float
    memory_mib: int
    comment: str

    def row(self) -> dict[str, Any]:
        """Its row of the manifest."""
        return asdict(self)

    @property
    def area(self) -> str:
        """All conversions are one."""
        return "convert"

    @property
    def level(self) -> str:
        """None is only recommended; whoever does not convert leaves the operation out."""
        return "required"

    @property
    def expected(self) -> str:
        """What is to come of it, in words."""
        return "refuse" if self.target is None else f"{self.to} ({self.exactness})"

    def steps(self) -> dict[str, dict[str, Any]]:
        """Target path -> step of the plan."""
        return {step["target"]: step for step in _json(self.plan)["steps"]} if self.plan else {}

    def leaves(self) -> dict[str, Leaf]:
        """Path -> leaf of the target."""
        return leaves(_content(self.target)) if self.target else {}

    def tensors(self) -> dict[str, Array[str]]:
        """Path -> tensor of the source, by names of its elements; what is tied has the names of what it is tied to."""
        found = leaves(_content(self.source))
        made = {
            path: named(path, leaf["dtype"], tuple(map(int, leaf["shape"])))
            for path, leaf in found.items()
            if leaf["type"] == "tensor"
        }
        tied = {path: leaf["target"] for path, leaf in found.items() if leaf["type"] == "alias" and "perm" not in leaf}
        return made | {path: made[target] for path, target in tied.items()}


def everything(
    chosen: Iterable[str] = (), *, levels: Iterable[str] = ("required", "recommended")
) -> list[Listed | Conversion]:
    """Cases and conversions whose id is one of those chosen or lies beneath one; all where none is chosen.

    Raises:
        LookupError: For a choice that nothing answers to.
    """
    rows: list[dict[str, Any]] = json.loads((CASES / "manifest.json").read_bytes())["conversions"]
    return among([*listed(levels=levels), *(Conversion(**row) for row in rows)], chosen)


def files_of(chosen: Iterable[Listed | Conversion]) -> list[Listed]:
    """The cases among these, and those that the conversions among them are from and to."""
    held = [*chosen]
    wanted = {name for one in held if isinstance(one, Conversion) for name in (one.source, one.target)}
    ids = {one.id for one in held if isinstance(one, Listed)}
    return [case for case in listed() if case.id in ids or case.file in wanted]


def leaves(content: Mapping[str, Any]) -> dict[str, Leaf]:
    """Path -> what is compared of each tensor, alias and value of a content."""
    return {
        entry["path"]: {key: entry[key] for key in _COMPARED if key in entry}
        for entry in content["entries"]
        if entry["type"] != "node"
    }


def asked(
    tested: Implementation, conversion: Conversion, offered: Sequence[str], out: Path, slower: float = 1.0
) -> tuple[Outcome, ...]:
    """Have a file converted, and what was written decoded.

    Args:
        tested: The implementation.
        conversion: What to ask.
        offered: The operations that it has.
        out: Where it is to write.
        slower: Times as many seconds as are allowed.
    """
    if "convert" not in offered:
        return (Outcome("convert", "skipped", "not offered"),)
    limits = slower * conversion.seconds, conversion.memory_mib
    request = {"op": "convert", "id": f"convert {conversion.id}", "file": str(CASES / conversion.source)}
    reply = tested.ask({**request, "to": conversion.to, "out": str(out)}, *limits)
    done = outcome("convert", reply, lambda answer: _converted(conversion, answer, out), conversion.memory_mib)
    if done.result != "passed" or conversion.target is None:
        return (done,)
    if "decode" not in offered:
        return done, Outcome("decode", "skipped", "not offered")
    reply = tested.ask({"op": "decode", "id": f"decode {conversion.id}", "file": str(out)}, *limits)
    return done, outcome("decode", reply, lambda answer: (_written(conversion, answer), ()), conversion.memory_mib)


def _converted(conversion: Conversion, answer: Mapping[str, Any], out: Path) -> tuple[str, tuple[str, ...]]:
    """What is wrong with the answer to a request to convert, or nothing; and what it leaves out."""
    result, said = answer["result"], f" ({told(answer, 'message')})" if "message" in answer else ""
    if result == "refuse":
        if conversion.target is not None:
            return f"refused{said}, expected {conversion.target}", ()
        return ("refused, but wrote a file" if out.exists() else ""), ()
    if result != "ok":
        return f"result {shown(result)}{said}, expected ok, refuse or skipped", ()
    if conversion.target is None:
        return f"converted, expected to be refused: {conversion.comment}", ()
    if not out.is_file():
        return "nothing was written", ()
    return (_planned(conversion, answer["plan"]), ()) if "plan" in answer else ("", ("plan",))


def _planned(conversion: Conversion, plan: Any) -> str:
    """The first difference between a plan's steps and what they must be; the order is free, and so is the spelling."""
    if not isinstance(plan, list) or not all(isinstance(step, dict) and step.keys() >= _STEP for step in plan):
        return "plan: expected an array of steps with target and made"
    found = {str(step["target"]): step for step in plan}
    if len(found) < len(plan):
        return "plan: two steps for one target"
    expected = conversion.steps()
    for path in [*expected, *found]:
        if path not in found or path not in expected:
            return f"plan: {'no step' if path not in found else 'a step'} for {path!r}"
    tensors = conversion.tensors()
    for path, step in expected.items():
        if what := _step(step, found[path], tensors):
            return f"plan: {path}: {what}"
    return ""


_STEP = {"target", "made"}


def _step(expected: Mapping[str, Any], found: Mapping[str, Any], tensors: Mapping[str, Array[str]]) -> str:
    """The first element that two steps make of other elements, or nothing."""
    wanted = evaluate(expected["made"], tensors, Named())
    try:
        given = evaluate(found["made"], tensors, Named())
    except ValueError as error:
        return str(error)
    if (given.dtype, given.shape) != (wanted.dtype, wanted.shape):
        return f"{given.dtype} {list(given.shape)}, expected {wanted.dtype} {list(wanted.shape)}"
    for place, (one, other) in enumerate(zip(wanted.elements, given.elements, strict=True)):
        if one != other:
            return f"element {place} is {other}, expected {one}"
    exactness = found.get("exactness", expected["exactness"])
    return "" if exactness == expected["exactness"] else f"exactness {exactness}, expected {expected['exactness']}"


def _written(conversion: Conversion, answer: Mapping[str, Any]) -> str:
    """The first leaf of the file that was written that is not as it must be, or nothing."""
    if answer["result"] != "ok":
        return f"what was written is rejected with {answer.get('code')} ({answer.get('message', answer['result'])})"
    content = answer.get("content")
    entries = content.get("entries") if isinstance(content, dict) else None
    if not isinstance(entries, list) or not all(map(_is_entry, entries)):
        return "content: expected entries with type and path"
    expected, found = conversion.leaves(), leaves({"entries": entries})
    for path in [*expected, *found]:
        if path not in found:
            return f"no {path!r}, expected {expected[path]['type']}"
        if path not in expected:
            return f"{path!r} is {found[path]['type']}, expected none"
        for key in expected[path] | found[path]:
            if expected[path].get(key) != found[path].get(key):
                return f"{path}: {key} is {found[path].get(key)}, expected {expected[path].get(key)}"
    return ""


def _is_entry(entry: Any) -> bool:
    return isinstance(entry, dict) and all(isinstance(entry.get(key), str) for key in ("type", "path"))


def _content(file: str) -> dict[str, Any]:
    """What a case holds."""
    return _json(str(Path(file).with_suffix(".json")))


def _json(name: str) -> dict[str, Any]:
    made: dict[str, Any] = json.loads((CASES / name).read_bytes())
    return made
