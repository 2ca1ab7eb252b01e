"""Faults of the steps of section 10.2 that can be put into one file together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from . import forms
from .draft import ZSTD, Draft, column, u32, u64
from .invalid.base import TRAILER, bounded, flipped, put

Columns = dict[str, bytes]
Keys = dict[str, bytes | None]


def _none(_: Draft) -> None:
    return None


def _same(data: bytes) -> bytes:
    return data


@dataclass(frozen=True)
class Spoiler:
    """One fault.

    Attributes:
        step: That finds it.
        code: It gives.
        entries: Adds the entries that the fault needs.
        columns: Changes the packed columns.
        keys: Keys of the index with other values, given the file's rows and columns.
        index: Changes the decoded index.
        compressed: Makes the stored index.
        body: Changes what stands before the index.
        trailer: Fields with other values, or what is to be added to them.
        whole: Changes the bytes of the file.
    """

    step: int
    code: str
    entries: Callable[[Draft], object] = _none
    columns: Callable[[Columns], Mapping[str, bytes]] | None = None
    keys: Callable[[Draft, Columns], Mapping[str, bytes | None]] | None = None
    index: Callable[[bytes], bytes] = _same
    compressed: Callable[[bytes], bytes] | None = None
    body: Callable[[bytes], bytes] = _same
    trailer: Mapping[str, int] = field(default_factory=dict)
    whole: Callable[[bytes], bytes] = _same


def base() -> Draft:
    """What the faults are put into: an entry of each type, and a root that is flat."""
    draft = Draft(chunk=64, convention="torch", metadata={"a": 1}).node("", "flat")
    draft.tensor("w", "int16", (2, 3), role="parameter").tensor("s", "int8", ())
    return draft.alias("t", "w", (1, 0)).value("v", 7)


def spoilt(*faults: Spoiler) -> bytes:
    """A file with these faults, in the order of their steps."""
    draft = base()
    for fault in faults:
        fault.entries(draft)
    columns = draft.columns()
    for fault in faults:
        if fault.columns:
            columns |= fault.columns(columns)
    keys: Keys = {}
    for fault in faults:
        if fault.keys:
            _add(keys, fault.keys(draft, columns))
    body, index = draft.body(), forms.keyed({k: v for k, v in {**draft.keys(columns), **keys}.items() if v is not None})
    trailer: dict[str, int] = {}
    compressed = None
    for fault in faults:
        body, index = fault.body(body), fault.index(index)
        _add(trailer, fault.trailer)
        if compressed and fault.compressed:
            raise ValueError("two ways to compress the index")
        compressed = compressed or fault.compressed
    made = draft.file(index=lambda _: index, stored=compressed, body=lambda _: body)
    if trailer:
        facts = {name: _field(made, name) + more for name, more in trailer.items()}
        made = draft.file(index=lambda _: index, stored=compressed, body=lambda _: body, trailer=facts)
    for fault in faults:
        made = fault.whole(made)
    return made


def _add(held: dict[str, Any], more: Mapping[str, Any]) -> None:
    if held.keys() & more.keys():
        raise ValueError(f"two faults of {sorted(held.keys() & more.keys())}")
    held |= more


def _field(data: bytes, name: str) -> int:
    at, size = TRAILER[name]
    start = len(data) - 64 + at
    return int.from_bytes(data[start : start + size], "little")


def _key(name: str, raw: bytes | None) -> Callable[[Draft, Columns], Mapping[str, bytes | None]]:
    return lambda draft, columns: {name: raw}


def _path_more(draft: Draft, columns: Columns) -> Mapping[str, bytes | None]:
    return {"path": forms.text("\n".join([*(entry.path for entry in draft.entries), "more"]))}


def _values(draft: Draft, columns: Columns) -> Mapping[str, bytes | None]:
    """One value fewer: that of an entry whose type is not known."""
    return {"value": forms.packed([entry.value for entry in draft.of_type("value")][:-1])}


def _sparse(name: str, kind: str, code: bytes) -> Callable[[Draft, Columns], Mapping[str, bytes | None]]:
    """A column of one value, at the first entry of a type."""

    def made(draft: Draft, columns: Columns) -> Mapping[str, bytes | None]:
        row = next(row for row, entry in enumerate(draft.entries) if entry.type == kind)
        return {name: column([row], [0], [code])}

    return made


SPOILERS: dict[str, Spoiler] = {
    "1": Spoiler(1, "MAGIC", whole=lambda data: put(data, 1, b"ptf")),
    "2": Spoiler(2, "TRUNCATED", whole=lambda data: data[:100]),
    "3": Spoiler(3, "VERSION", whole=lambda data: put(data, 8, b"\2")),
    "4": Spoiler(4, "NONZERO", whole=lambda data: put(data, 40, b"\1")),
    "5": Spoiler(5, "TRUNCATED", whole=lambda data: put(data, -8, bytes(8))),
    "6": Spoiler(6, "CHECKSUM", whole=lambda data: flipped(data, len(data) - 16)),
    "7": Spoiler(7, "VERSION", trailer={"minor": 1}),
    "8": Spoiler(8, "FEATURE", trailer={"flags": 2}),
    "9": Spoiler(9, "TRUNCATED", trailer={"length": 1}),
    "10": Spoiler(10, "EXTENT", trailer={"length": -1}),
    "11": Spoiler(11, "EXTENT", trailer={"offset": -1}),
    "12": Spoiler(12, "LIMIT", compressed=bounded, trailer={"decoded": 2**40}),
    "13": Spoiler(13, "LIMIT", compressed=bounded, trailer={"decoded": 2**27}),
    "14": Spoiler(14, "EXTENT", trailer={"decoded": 1}),
    "15": Spoiler(15, "CHECKSUM", trailer={"sum": -1}),
    "16": Spoiler(16, "CODEC", compressed=lambda index: bounded(index) + b"junk"),
    "17": Spoiler(17, "MALFORMED", keys=_key("metadata", b"\x81\xa1a\xc1")),
    "17-form": Spoiler(17, "NONCANONICAL", keys=_key("metadata", b"\x81\xa1a\xcc\x01")),
    "18": Spoiler(18, "SCHEMA", keys=_key("requires", None)),
    "19": Spoiler(19, "FEATURE", keys=_key("requires", forms.packed(["x"]))),
    "20": Spoiler(20, "SCHEMA", keys=_key("provenance", forms.integer(1))),
    "21": Spoiler(21, "NONCANONICAL", keys=_key("dialect", forms.text(""))),
    "22": Spoiler(22, "LIMIT", keys=_key("metadata", forms.packed({"a": "a" * 2**20})), compressed=bounded),
    "23": Spoiler(23, "SCHEMA", columns=lambda held: {"alias": held["alias"] + b"\0"}),
    "24": Spoiler(24, "LIMIT", columns=lambda held: {"type": held["type"] + b"\2" * 2**20}, compressed=bounded),
    "25": Spoiler(
        25,
        "SCHEMA",
        entries=lambda draft: draft.value("unknown", 1),
        columns=lambda held: {"type": held["type"][:-1] + b"\x09"},
        keys=_values,
    ),
    "26": Spoiler(26, "SCHEMA", keys=_path_more),
    "27": Spoiler(27, "SCHEMA", columns=lambda held: {"dims": held["dims"] + u64(1)}),
    "28": Spoiler(
        28,
        "SCHEMA",
        entries=lambda draft: draft.node("formless", "list"),
        columns=lambda held: {"form": held["form"][:-1] + b"\x09"},
    ),
    "29": Spoiler(29, "CHUNK", keys=_key("chunk", forms.integer(65))),
    "30": Spoiler(30, "LIMIT", keys=_key("chunk", forms.integer(2**27))),
    "31": Spoiler(31, "DTYPE", columns=lambda held: {"dtype": held["dtype"][:1] + b"\x1c" + held["dtype"][2:]}),
    "32": Spoiler(32, "SHAPE", entries=lambda draft: draft.tensor("many", "int8", (0,) * 33)),
    "33": Spoiler(33, "SHAPE", entries=lambda draft: draft.tensor("long", "int8", (2**53, 0))),
    "34": Spoiler(34, "SHAPE", entries=lambda draft: draft.tensor("wide", "int8", (2**32, 2**32, 0))),
    "35": Spoiler(
        35,
        "LIMIT",
        entries=lambda draft: draft.tensor("x", "int8", (1,), chunks=[]).tensor("y", "int8", (1,), chunks=[]),
        columns=lambda held: {"dims": held["dims"].replace(u64(1, 1), u64(2**52, 2**52))},
    ),
    "36": Spoiler(36, "CHUNK", columns=lambda held: {"sum": held["sum"][:-8]}),
    "37": Spoiler(37, "CODEC", columns=lambda held: {"codec": b"\x09" + held["codec"][1:]}),
    "38": Spoiler(38, "CHUNK", columns=lambda held: {"stored": u32(11) + held["stored"][4:]}),
    "39": Spoiler(
        39,
        "LIMIT",
        entries=lambda draft: draft.tensor("bomb", "uint8", (2**16,), bytes(2**16), chunks=[(ZSTD, b"\x28")]),
        keys=_key("chunk", forms.integer(2**16)),
    ),
    "41": Spoiler(41, "EXTENT", body=lambda body: body + b"\0"),
    "42": Spoiler(42, "PATH", entries=lambda draft: draft.value("a..b", 1)),
    "43": Spoiler(43, "DUPLICATE", entries=lambda draft: draft.value("twice", 1).value("twice", 2)),
    "45": Spoiler(45, "SCHEMA", keys=_sparse("module", "value", forms.text("linear"))),
    "45-table": Spoiler(45, "NONCANONICAL", keys=_key("class", column([1], [0], [forms.text("C"), forms.text("D")]))),
    "46": Spoiler(46, "SCHEMA", keys=_key("trainable", column([1], [0], [forms.integer(1)]))),
    "47": Spoiler(47, "SCHEMA", keys=_key("axes", column([1], [0], [forms.packed(["x"])]))),
    "48": Spoiler(48, "SCHEMA", entries=lambda draft: draft.node("keyless", "keys")),
    "49": Spoiler(
        49,
        "ALIAS",
        entries=lambda draft: draft.alias("self", "self"),
    ),
    "50": Spoiler(50, "NONCANONICAL", entries=lambda draft: draft.alias("same", "w", role="parameter")),
    "52": Spoiler(52, "TREE", entries=lambda draft: draft.value("leaf", 1).value("leaf.below", 2)),
    "53": Spoiler(53, "TREE", entries=lambda draft: draft.value("late.0", 1).node("late", "list")),
    "54": Spoiler(54, "NONCANONICAL", entries=lambda draft: draft.node("silent", "part")),
    "54-part": Spoiler(54, "TREE", entries=lambda draft: draft.node("l", "list").node("l.0", "part", module="m")),
    "55": Spoiler(55, "TREE", entries=lambda draft: draft.node("gap", "list").value("gap.1", 1)),
    "55-dot": Spoiler(55, "NONCANONICAL", entries=lambda draft: draft.node("map", "map").value("map.a\\.b", 1)),
    "56": Spoiler(56, "NONCANONICAL", entries=lambda draft: draft.value("joined\\.key", 1)),
    "56-equal": Spoiler(56, "TREE", entries=lambda draft: draft.value("equal.key", 1).value("equal\\.key", 2)),
}
