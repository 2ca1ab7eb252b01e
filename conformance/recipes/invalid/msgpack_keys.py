"""Map keys that stand twice, in another order, or are no strings (spec section 3.1)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .. import forms
from ..case import Case, reject
from ..draft import Draft, column
from .base import beside, giving, sample

Pairs = Sequence[tuple[bytes, bytes]]
NOT_STRINGS = {
    "null": b"\xc0",
    "false": b"\xc2",
    "true": b"\xc3",
    "integer": b"\x01",
    "negative": b"\xff",
    "uint8": b"\xcc\x80",
    "int64": b"\xd3\x80\x00\x00\x00\x00\x00\x00\x00",
    "float": forms.real(1.0),
    "float32": b"\xca\x3f\x80\x00\x00",
    "binary": forms.binary(b"b"),
    "empty-binary": forms.binary(b""),
    "array": b"\x91\xa1b",
    "empty-array": b"\x90",
    "map": b"\x81\xa1b\x01",
    "empty-map": b"\x80",
    "extension": b"\xd4\x01b",
    "timestamp": b"\xd6\xff\x5f\x00\x00\x00",
}
# Two or more keys in an order that some program might give them.
ORDERS: dict[str, tuple[str, ...]] = {
    "first-pair": ("b", "a", "c", "d"),
    "middle-pair": ("a", "c", "b", "d"),
    "last-pair": ("a", "b", "d", "c"),
    "reversed": ("d", "c", "b", "a"),
    "case-folded": ("a", "B", "c"),
    "shorter-first": ("b", "aa"),
    "longer-first": ("ab", "a"),
    "empty-last": ("a", ""),
    "nul-first": ("a\0", "a"),
    "as-numbers": ("2", "10"),
    "utf-16": ("\U00010000", "\uffff"),
    "by-letter": ("é", "z"),
    "accent-as-letter": ("é", "f"),
    "signed-bytes": ("\u0080", "a"),
}


def cases() -> Iterator[Case]:
    """Step 17, in maps of every place."""
    yield from _twice()
    yield from _unordered()
    yield from _no_strings()


def _metadata(pairs: Pairs) -> bytes:
    return sample().file(keys={"metadata": forms.mapping(pairs)})


def _index(draft: Draft, change: Pairs | None = None, order: Sequence[int] | None = None) -> bytes:
    """The draft's file with pairs put before the others of its index, or these in another order."""
    pairs = [(forms.text(name), raw) for name, raw in sorted(draft.keys().items())]
    if order:
        pairs = [pairs[i] for i in order] + pairs[len(order) :]
    made = forms.mapping([*(change or ()), *pairs])
    return draft.file(index=giving(made))


def _twice() -> Iterator[Case]:
    def refused(slug: str, data: bytes, comment: str, code: str = "DUPLICATE") -> Case:
        return reject(slug, data, code, "3.1", comment, step=17)

    a, b, c = (forms.text(name) for name in "abc")
    one, two = b"\x01", b"\x02"
    yield refused("twice-first", _metadata([(a, one), (a, one), (b, two)]), "with the same value")
    yield refused("twice-other-value", _metadata([(a, one), (a, two), (b, two)]), "with two values")
    yield refused("twice-last", _metadata([(a, one), (b, one), (b, two)]), "with two values")
    yield refused("thrice", _metadata([(a, one)] * 3), "with the same value")
    yield refused("twice-empty", _metadata([(forms.text(""), one), (forms.text(""), two)]), "the empty key")
    long = forms.text("k" * 40)
    yield refused("twice-long", _metadata([(long, one), (long, two)]), "keys of more than 31 bytes")
    wide = forms.text("a", 1)
    comment = "the second one in a wide form, which is met first"
    yield refused("twice-fixstr-and-str8", _metadata([(a, one), (wide, two)]), comment, "NONCANONICAL")
    comment = "the first one in a wide form"
    yield refused("twice-str8-and-fixstr", _metadata([(wide, one), (a, two)]), comment, "NONCANONICAL")
    comment = "the second time it is out of order"
    yield refused("twice-not-beside", _metadata([(a, one), (b, one), (a, two)]), comment, "NONCANONICAL")
    yield refused("twice-around-two", _metadata([(b, one), (c, one), (b, one)]), comment, "NONCANONICAL")
    inner = forms.mapping([(a, one), (a, two)])
    yield refused("twice-in-inner-map", _metadata([(a, inner)]), "a map within the metadata")
    yield refused("twice-in-array", _metadata([(a, forms.array([one, inner]))]), "a map in an array")
    data = sample().file(keys={"provenance": inner})
    yield refused("twice-in-provenance", data, "the provenance")
    data = Draft().node("a", "list", attrs={"a": 1}).file(keys={"attrs": column([0], [0], [inner])})
    yield refused("twice-in-attrs", data, "an attribute")
    data = Draft(minor=1).value("", 1).file(keys={"zz": inner})
    yield refused("twice-in-unknown-key", data, "an ancillary key")
    draft = sample()
    for name in ("alias", "path", "value"):
        pairs: list[tuple[bytes, bytes]] = []
        for key, raw in sorted(draft.keys().items()):
            pairs += [(forms.text(key), raw)] * (2 if key == name else 1)
        data = draft.file(index=giving(forms.mapping(pairs)))
        yield refused(f"twice-{name}", data, "a key of the index")
    pairs = [(forms.text(key), raw) for key, raw in sorted({**draft.keys(), "zz": one}.items())]
    made = forms.mapping([*pairs, (forms.text("zz"), two)])
    yield refused("twice-unknown-key", draft.file(index=giving(made)), "an ancillary key of the index")


def _unordered() -> Iterator[Case]:
    def refused(slug: str, data: bytes, comment: str) -> Case:
        return reject(slug, data, "NONCANONICAL", "3.1", comment, step=17)

    for name, keys in ORDERS.items():
        pairs = [(forms.text(key), b"\x01") for key in keys]
        yield refused(f"order-{name}", _metadata(pairs), "keys of the metadata")
    swapped = forms.mapping([(forms.text("b"), b"\x01"), (forms.text("a"), b"\x01")])
    yield refused("order-in-inner-map", _metadata([(forms.text("a"), swapped)]), "a map within the metadata")
    yield refused("order-in-provenance", sample().file(keys={"provenance": swapped}), "the provenance")
    data = Draft().node("a", "list", attrs={"a": 1}).file(keys={"attrs": column([0], [0], [swapped])})
    yield refused("order-in-attrs", data, "an attribute")
    yield refused("order-in-unknown-key", Draft(minor=1).value("", 1).file(keys={"zz": swapped}), "an ancillary key")
    draft = sample()
    last = len(draft.keys()) - 1
    yield refused("order-of-index-first", _index(draft, order=[1, 0]), "the first two keys of the index")
    yield refused("order-of-index-last", _index(draft, order=[*range(last - 1), last, last - 1]), "the last two keys")
    yield refused("order-of-index-reversed", _index(draft, order=range(last, -1, -1)), "all keys of the index")
    yield refused(
        "order-of-index-rotated", _index(draft, order=[last, *range(last)]), "the last key of the index first"
    )
    names = [*draft.keys()]
    order = [sorted(names).index(name) for name in names]
    yield refused("order-of-index-as-listed", _index(draft, order=order), "as the specification lists them")
    unknown = [(forms.text("zz"), b"\x01")]
    yield refused("order-unknown-key-first", _index(Draft(minor=1).value("", 1), unknown), "an ancillary key, in front")


def _no_strings() -> Iterator[Case]:
    def refused(slug: str, data: bytes, comment: str, code: str = "NONCANONICAL") -> Case:
        return reject(slug, data, code, "3.1", comment, step=17)

    draft = sample()
    for name, key in NOT_STRINGS.items():
        yield refused(f"key-{name}", draft.file(keys=beside(forms.mapping([(key, b"\x01")]))), "a map in the metadata")
    for name in ("null", "integer", "binary", "array", "map", "extension"):
        yield refused(f"index-key-{name}", _index(draft, [(NOT_STRINGS[name], b"\x01")]), "the first key of the index")
    for name in ("true", "float"):
        data = _metadata([(forms.text("a"), b"\x01"), (NOT_STRINGS[name], b"\x02")])
        yield refused(f"second-key-{name}", data, "after a key that is a string")
    never = b"\xc1"
    data = draft.file(keys=beside(forms.mapping([(never, b"\x01")])))
    yield refused("key-c1", data, "a map in the metadata", "MALFORMED")
    yield refused("index-key-c1", _index(draft, [(never, b"\x01")]), "the first key of the index", "MALFORMED")
    wide = forms.text("a", 1)
    yield refused("key-wide-str8", draft.file(keys=beside(forms.mapping([(wide, b"\x01")]))), "a wide form")
    yield refused(
        "key-wide-str16", draft.file(keys=beside(forms.mapping([(forms.text("a" * 40, 2), b"\x01")]))), "a wide form"
    )
    yield refused(
        "key-wide-str32", draft.file(keys=beside(forms.mapping([(forms.text("", 4), b"\x01")]))), "a wide form"
    )
    pairs = [(forms.text(name, 1), raw) for name, raw in sorted(draft.keys().items())]
    made = forms.mapping(pairs)
    yield refused("index-keys-wide", draft.file(index=giving(made)), "all keys of the index in a wide form")
    tail = forms.text("zz") + b"\xc0"
    longer = forms.keyed({**draft.keys(), "zz": b"\xc0"})
    data = draft.file(index=giving(longer[:-1]))
    yield refused("cut-key-value", data, "the index ends with a key", "MALFORMED")
    for name, keep in (("head", 1), ("half", 2)):
        data = draft.file(index=giving(longer[: keep - len(tail)]))
        yield refused(f"cut-key-after-{name}", data, "the index ends within a key", "MALFORMED")
    data = draft.file(index=giving(longer[: -len(tail)]))
    yield refused("cut-key", data, "the index ends where a key should begin", "MALFORMED")
