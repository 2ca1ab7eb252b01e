"""Strings that are no UTF-8 (spec section 3.1)."""

from __future__ import annotations

from collections.abc import Iterator

from .. import forms
from ..case import Case, reject
from ..draft import Draft, column
from .base import at_end, beside, full, sample

BAD = {
    "lone-continuation-80": "80",
    "lone-continuation-bf": "bf",
    "continuation-after-letter": "61 80",
    "continuation-too-many": "c3 a9 a9",
    "overlong-2-nul": "c0 80",
    "overlong-2-slash": "c0 af",
    "overlong-2-last": "c1 bf",
    "overlong-3-first": "e0 80 80",
    "overlong-3-slash": "e0 80 af",
    "overlong-3-last": "e0 9f bf",
    "overlong-4-first": "f0 80 80 80",
    "overlong-4-last": "f0 8f bf bf",
    "surrogate-high-first": "ed a0 80",
    "surrogate-high-last": "ed af bf",
    "surrogate-low-first": "ed b0 80",
    "surrogate-low-last": "ed bf bf",
    "surrogate-pair": "ed a0 bd ed b8 80",
    "above-first": "f4 90 80 80",
    "above-f5": "f5 80 80 80",
    "above-f7": "f7 bf bf bf",
    "five-bytes": "f8 88 80 80 80",
    "six-bytes": "fc 84 80 80 80 80",
    "byte-fe": "fe",
    "byte-ff": "ff",
    "utf-16-mark": "ff fe 61 00",
    "latin-1": "e9",
    "latin-1-between": "61 e9 62",
    "cut-2-of-1": "c3",
    "cut-3-of-1": "e2",
    "cut-3-of-2": "e2 82",
    "cut-4-of-1": "f0",
    "cut-4-of-2": "f0 9f",
    "cut-4-of-3": "f0 9f 98",
    "letter-in-2": "c3 28",
    "letter-in-3": "e2 28 a1",
    "letter-ends-3": "e2 82 28",
    "letter-in-4": "f0 28 8c bc",
    "letter-ends-4": "f0 9f 98 28",
    "lead-in-3": "e2 c3 a9",
    "lead-in-4": "f0 9f c3 a9",
}
OVERLONG, SURROGATE, CUT = bytes.fromhex("c0ae"), bytes.fromhex("eda080"), bytes.fromhex("e282")


def cases() -> Iterator[Case]:
    """Step 17. Each sequence in the metadata, three of them at each place where text may stand."""
    for name, raw in BAD.items():
        data = sample().file(keys=beside(forms.text(bytes.fromhex(raw))))
        yield _refused(name, data, "a string of the metadata")
    yield from _positions()
    for name, bad in (("overlong", OVERLONG), ("surrogate", SURROGATE), ("cut", CUT)):
        yield from _places(name, bad)


def _refused(slug: str, data: bytes, comment: str) -> Case:
    return reject(slug, data, "MALFORMED", "3.1", comment, step=17)


def _positions() -> Iterator[Case]:
    for place, text in (
        ("first", b"\xff" + b"a" * 99),
        ("middle", b"a" * 50 + b"\xff" + b"a" * 49),
        ("last", b"a" * 99 + b"\xff"),
        ("after-31", b"a" * 31 + b"\xff"),
        ("after-255", b"a" * 255 + b"\xff"),
        ("cut-at-64", b"a" * 62 + b"\xe2\x82"),
    ):
        yield _refused(f"long-{place}", sample().file(keys=beside(forms.text(text))), "in a long string")
    joined = b"\x92" + forms.text(b"\xc3") + b"\xa9abcdefghi"
    comment = "the head of the next string reads as the missing continuation"
    yield _refused("cut-before-next-head", sample().file(keys=beside(joined)), comment)
    yield _refused("cut-at-end-of-index", sample().file(keys=at_end(forms.text(CUT))), "nothing follows")


def _places(name: str, bad: bytes) -> Iterator[Case]:
    """The same bytes at each place."""
    draft = full()
    text = forms.text(b"a" + bad)
    paths = [entry.path.encode() for entry in draft.entries]
    at = {
        "value": ("value", forms.array([forms.integer(7), text])),
        "first-path": ("path", forms.text(b"\n".join([bad, *paths[1:]]))),
        "middle-path": ("path", forms.text(b"\n".join([*paths[:2], bad, *paths[3:]]))),
        "last-path": ("path", forms.text(b"\n".join([*paths[:-1], bad]))),
        "convention": ("convention", text),
        "dialect": ("dialect", text),
        "provenance": ("provenance", forms.mapping([(forms.text("b"), text)])),
        "metadata-key": ("metadata", forms.mapping([(text, forms.integer(1))])),
        "attrs-key": ("attrs", column([0], [0], [forms.mapping([(text, forms.integer(1))])])),
        "attribute": ("attrs", column([0], [0], [forms.mapping([(forms.text("c"), text)])])),
        "axis": ("axes", column([0], [0], [forms.array([text, forms.text("in")])])),
        "class": ("class", column([0, 3], [0, 1], [forms.text("W"), text])),
        "true-key": ("keys", column([3], [0], [forms.array([forms.array([text])])])),
        "module": ("module", column([3], [0], [text])),
        "role": ("role", column([0, 1], [0, 1], [text, forms.text("buffer")])),
        "feature": ("requires", forms.array([text])),
    }
    for place, (key, raw) in at.items():
        yield _refused(f"{name}-in-{place}", draft.file(keys={key: raw}), "the same bytes at another place")
    later = Draft(minor=1).value("", 1)
    keys = [(forms.text(key), raw) for key, raw in sorted(later.keys().items())] + [(forms.text(b"z" + bad), b"\x01")]
    data = later.file(index=lambda index: forms.mapping(keys))
    yield _refused(f"{name}-in-unknown-key", data, "the name of an ancillary key")
