"""Files with two faults: the one that comes first in section 10.2 should decide the code."""

from __future__ import annotations

from collections.abc import Iterator

from .. import forms
from ..case import Case, reject
from ..draft import Draft, column
from ..spoilers import SPOILERS, spoilt
from .base import at_end, flipping, put, sample

UNKNOWN = (8, 19, 25, 28, 31, 37)  # steps that find what a later version may know
# A fault -> faults of later steps that can be in the same file: the nearest with other codes, and a few far away.
LATER: dict[str, tuple[str, ...]] = {
    "1": ("2", "3", "56"),
    "2": ("3", "4"),
    "3": ("4", "5", "41"),
    "4": ("5", "6"),
    "5": ("6", "7"),
    "6": ("7", "8", "15"),
    "7": ("8", "9"),
    "8": ("9", "10"),
    "9": ("11", "12"),
    "10": ("12",),
    "11": ("12", "15"),
    "12": ("15",),
    "13": ("15",),
    "14": ("15",),
    "15": ("16", "17", "42"),
    "16": ("17",),
    "17": ("18", "42"),
    "17-form": ("18", "19"),
    "18": ("21", "29"),
    "19": ("20", "21", "31"),
    "20": ("21", "29"),
    "21": ("22", "23"),
    "22": ("23",),
    "23": ("24", "29"),
    "24": ("25",),
    "25": ("29", "42"),
    "26": ("29",),
    "27": ("29",),
    "28": ("29",),
    "29": ("31",),
    "30": ("31",),
    "31": ("32", "33"),
    "32": ("35",),
    "33": ("35",),
    "34": ("36",),
    "35": ("36",),
    "36": ("37", "39"),
    "37": ("38", "39"),
    "38": ("39", "41"),
    "39": ("41",),
    "41": ("42", "43", "49"),
    "42": ("43", "45"),
    "43": ("45", "56"),
    "45": ("49",),
    "45-table": ("46",),
    "46": ("49",),
    "47": ("49",),
    "48": ("49",),
    "49": ("50",),
    "50": ("52",),
    "52": ("54",),
    "53": ("54",),
    "54": ("55",),
    "54-part": ("55-dot",),
    "55": ("56",),
    "55-dot": ("56-equal",),
}


def cases() -> Iterator[Case]:
    """Only recommended: the order is a SHOULD."""
    for first, second in ((first, second) for first, others in LATER.items() for second in others):
        one, two = SPOILERS[first], SPOILERS[second]
        comment = f"{one.code} comes before {two.code}"
        yield _case(f"step-{first}-before-{second}", spoilt(one, two), one.code, one.step, comment)
    yield from _heads()
    yield from _columns()
    yield from _nodes()
    yield from _verified()


def _case(slug: str, data: bytes, code: str, step: int, comment: str) -> Case:
    readers = "1.0" if step in UNKNOWN else "1.x"
    return reject(slug, data, code, "10.2", comment, step=step, level="recommended", readers=readers)


def _heads() -> Iterator[Case]:
    """Step 17: in byte order, and at each head as section 3.1 lists it."""
    wide, never = forms.integer(1, 1), b"\xc1"
    text = forms.text
    bad = text(b"a\xff")
    for slug, code, pairs in (
        ("form-before-later-c1", "NONCANONICAL", [(text("a"), wide), (text("b"), never)]),
        ("c1-before-later-form", "MALFORMED", [(text("a"), never), (text("b"), wide)]),
        ("duplicate-before-later-form", "DUPLICATE", [(text("a"), b"\1"), (text("a"), wide)]),
        ("duplicate-before-later-c1", "DUPLICATE", [(text("a"), b"\1"), (text("a"), b"\2"), (text("b"), never)]),
        ("order-before-value", "NONCANONICAL", [(text("b"), b"\1"), (text("a"), never)]),
        ("text-before-order", "MALFORMED", [(text("b"), b"\1"), (bad, b"\1")]),
        ("value-before-next-key", "MALFORMED", [(text("b"), never), (text("a"), b"\1")]),
        ("form-before-text-of-key", "NONCANONICAL", [(text(b"a\xff", 1), b"\1")]),
        ("form-before-text", "NONCANONICAL", [(text("a"), text(b"a\xff", 1))]),
    ):
        data = sample().file(keys={"metadata": forms.mapping(pairs)})
        yield _case(f"within-17-{slug}", data, code, 17, "in the metadata")
    deep = forms.head("array", 1)
    for slug, code, raw, comment in (
        ("length-before-form", "MALFORMED", b"\xda\x00", "a length of which one byte of two is there"),
        ("number-before-form", "MALFORMED", b"\xcd\x00", "a number of which one byte of two is there"),
        ("form-before-content", "NONCANONICAL", b"\xd9\x05ab", "a wide string of five bytes, of which two are there"),
        (
            "form-before-items",
            "NONCANONICAL",
            b"\xdc\x00\x03\x01",
            "a wide array of three items, of which one is there",
        ),
        (
            "form-before-pairs",
            "NONCANONICAL",
            b"\xdf\x00\x00\x00\x05",
            "a wide map of five keys, of which none is there",
        ),
        ("items-before-depth", "MALFORMED", deep * 30 + b"\x92\xc0", "nested too deep, and an item is missing"),
        ("forbidden-before-rest", "NONCANONICAL", b"\xca\x00", "a float32 of which one byte is there"),
        ("extension-before-rest", "NONCANONICAL", b"\xc9\xff\xff", "an extension of which three bytes are there"),
    ):
        yield _case(f"within-17-{slug}", sample().file(keys=at_end(raw)), code, 17, comment)


def _columns() -> Iterator[Case]:
    """Step 45: column by column, in each the parts before the table."""
    draft = Draft().tensor("a", "int8", (2,)).tensor("b", "int8", (2,))
    unused = column([0], [0], [forms.text("x"), forms.text("y")])
    unsorted = column([1, 0], [0, 0], [forms.text("x")])
    both = column([1, 0], [0, 0], [forms.text("x"), forms.text("y")])
    for slug, code, keys in (
        ("class-before-role", "NONCANONICAL", {"class": unused, "role": unsorted}),
        ("rows-of-class-before-role", "SCHEMA", {"class": unsorted, "role": unused}),
        ("rows-before-table", "SCHEMA", {"role": both}),
    ):
        yield _case(f"within-45-{slug}", draft.file(keys=keys), code, 45, "two faults of sparse columns")


def _nodes() -> Iterator[Case]:
    """Steps 54 to 56: node by node, in row order; at the end of step 55 path by path."""
    flat = Draft().node("", "flat").node("l", "list").node("l.0", "part", module="m").node("p", "part")
    yield _case("within-54-outside-before-silent", flat.file(), "TREE", 54, "by their rows")
    flat = Draft().node("", "flat").node("p", "part").node("l", "list").node("l.0", "part", module="m")
    yield _case("within-54-silent-before-outside", flat.file(), "NONCANONICAL", 54, "by their rows")
    flat = Draft().node("", "flat").node("l", "list").node("l.0", "part")
    yield _case("within-54-outside-and-silent", flat.file(), "TREE", 54, "of one part: where it lies comes first")
    two = Draft().node("k", "keys", keys=["x"]).value("k.x", 1).node("l", "list").value("l.1", 2)
    yield _case("within-55-keys-before-list", two.file(), "NONCANONICAL", 55, "by their rows")
    two = Draft().node("l", "list").value("l.1", 2).node("k", "keys", keys=["x"]).value("k.x", 1)
    yield _case("within-55-list-before-keys", two.file(), "TREE", 55, "by their rows")
    dot = Draft().value("a\\.b", 1).node("l", "list").value("l.1", 2)
    yield _case("within-55-list-before-dot", dot.file(), "TREE", 55, "all nodes come before the paths")
    keys = Draft().node("k", "keys", keys=["x"]).value("k.x", 1).value("k.y", 2)
    yield _case("within-55-count-before-strings", keys.file(), "TREE", 55, "of one node")
    keys = Draft().node("k", "keys", keys=["x", "x"]).value("k.x", 1).value("k.y", 2)
    yield _case("within-55-twice-before-strings", keys.file(), "TREE", 55, "of one node")
    maps = Draft().node("a", "flat").value("a.x\\.y", 1).node("b", "flat").value("b.x.y", 2).value("b.x\\.y", 3)
    yield _case("within-56-split-before-next-map", maps.file(), "NONCANONICAL", 56, "by the rows of the flat maps")
    same = Draft().node("", "flat").value("p\\.q", 0).value("x.y", 1).value("x\\.y", 2)
    yield _case("within-56-equal-before-split", same.file(), "TREE", 56, "of one flat map")


def _verified() -> Iterator[Case]:
    """Section 10.3: tensor by tensor the gap, then chunk by chunk its checksum, its codec, its elements."""

    def refused(slug: str, data: bytes, code: str, comment: str) -> Case:
        return reject(slug, data, code, "10.3", comment, phase="verify", level="recommended")

    two = Draft().tensor("a", "int8", (10,)).tensor("b", "bool", (3,), b"\0\1\2")
    data = two.file(body=flipping(100), columns=two.columns())
    yield refused("verify-gap-before-elements", data, "NONZERO", "of one tensor")
    spoiled = Draft().tensor("a", "bool", (3,), b"\0\1\2").tensor("b", "int8", (10,))
    data = spoiled.file(body=flipping(100))
    yield refused("verify-elements-before-next-gap", data, "DATA", "of the first tensor, and of the second")
    data = two.file(body=lambda body: put(put(body, 64, b"\x7f"), 100, b"\1"))
    yield refused("verify-checksum-before-next-gap", data, "CHECKSUM", "of the first tensor, and of the second")
    one = Draft().tensor("a", "bool", (3,))
    data = one.file(body=lambda body: put(body, 64, b"\2"))
    yield refused("verify-checksum-before-elements", data, "CHECKSUM", "of one chunk")
