r"""Texts that are no paths, and paths that stand twice (spec sections 4.1 and 3.5)."""

from __future__ import annotations

from collections.abc import Iterator

from ..case import Case, reject
from ..draft import Draft, u32

BAD = {
    "dot": ".",
    "two-dots": "..",
    "leading-dot": ".a",
    "trailing-dot": "a.",
    "trailing-dot-after-two": "a.b.",
    "doubled-dot": "a..b",
    "doubled-dot-at-end": "a.b..",
    "trailing-backslash": "a\\",
    "lone-backslash": "\\",
    "three-backslashes": "\\\\\\",
    "backslash-before-boundary": "a.\\",
    "escaped-letter-x": "\\x",
    "escaped-letter-a": "a.\\ab",
    "escaped-letter-n": "a\\nb",
    "escaped-digit": "\\0",
    "escaped-slash": "a\\/b",
    "escaped-space": "a\\ b",
    "escaped-quote": 'a\\"b',
    "escaped-hex": "\\x2e",
    "escaped-unicode": "\\u002e",
    "escaped-capital-e": "\\E",
    "escaped-accent": "\\é",
    "empty-mark-after-text": "a\\e",
    "empty-mark-before-text": "\\ea",
    "empty-mark-within-text": "a\\eb",
    "empty-mark-twice": "\\e\\e",
    "empty-mark-before-escaped-dot": "\\e\\.",
    "empty-mark-after-escaped-dot": "\\.\\e",
    "empty-mark-before-escaped-backslash": "\\e\\\\",
    "empty-mark-after-escaped-backslash": "\\\\\\e",
    "empty-mark-in-middle-segment": "a.b\\e.c",
    "empty-mark-in-last-segment": "a.\\eb",
    "empty-mark-and-trailing-dot": "\\e.",
    "empty-mark-and-leading-dot": ".\\e",
    "nothing-between-empty-marks": "\\e..\\e",
    "escaped-dot-and-trailing-dot": "\\..",
    "escaped-dot-and-leading-dot": ".\\.",
    "escaped-backslash-and-trailing-dot": "a\\\\.",
    "escaped-backslash-and-doubled-dot": "a\\\\..b",
}
# Beyond a limit; the limit itself is tried in area `limits`.
LONG = {
    "too-long-1500": "a" * 1500,
    "too-long-in-two-byte-letters": "é" * 600,
    "too-long-in-four-byte-letters": "\U0001f600" * 300,
    "too-long-in-segments": ".".join(["a" * 30] * 40),
    "too-long-in-escapes": "\\." * 600,
    "too-long-5000": "a" * 5000,
    "too-deep-200": ".".join("a" * 200),
    "too-deep-500": ".".join("a" * 500),
    "too-deep-in-empty-segments": ".".join(["\\e"] * 200),
}


def cases() -> Iterator[Case]:
    """Steps 42 and 43."""
    yield from _grammar()
    yield from _controls()
    yield from _positions()
    yield from _twice()


def _refused(slug: str, draft: Draft, comment: str) -> Case:
    return reject(slug, draft.file(), "PATH", "4.1", comment, step=42)


def _grammar() -> Iterator[Case]:
    for name, path in BAD.items():
        yield _refused(name, _among(path), f'the path "{path}"')
    for name, path in LONG.items():
        yield _refused(name, _among(path), "far beyond the limit")


def _among(path: str) -> Draft:
    """A value at this path between two others; a segment may hold dots, for the root is a namedtuple."""
    return Draft().node("", "namedtuple").value("first", 1).value(path, 2).value("last", 3)


def _controls() -> Iterator[Case]:
    """Each that a path can be given: U+000A divides paths."""
    for code in (*range(0x0A), *range(0x0B, 0x20), 0x7F):
        draft = Draft().value("first", 1).value(f"a{chr(code)}b", 2).value("last", 3)
        yield _refused(f"control-{code:02x}", draft, f"U+{code:04X} within a segment")
    for name, path in (
        ("nul-alone", "\0"),
        ("nul-at-end", "a\0"),
        ("tab-at-start", "\ta"),
        ("carriage-return-at-end", "a\r"),
        ("escaped-tab", "a\\\t"),
        ("delete-alone", "\x7f"),
        ("escape-sequence", "\x1b[31mred"),
        ("nul-in-last-segment", "a.b.\0"),
    ):
        yield _refused(name, Draft().value("first", 1).value(path, 2).value("last", 3), "a control character")


def _positions() -> Iterator[Case]:
    """One bad path of each kind at each place, and at each type of entry."""
    for name, path in (
        ("doubled-dot", "a..b"),
        ("bad-escape", "\\x"),
        ("control", "\x01"),
        ("too-deep", "x." * 150 + "x"),
    ):
        for place, at in (("first", 0), ("last", 2)):
            paths = ["p", "q", "r"]
            paths[at] = path
            made = Draft()
            for number, text in enumerate(paths):
                made.value(text, number)
            yield _refused(f"{name}-{place}", made, f"the {place} of three paths")
        yield _refused(f"{name}-only", Draft().value(path, 1), "the only path")
        yield _refused(f"{name}-of-tensor", Draft().tensor(path, "int8", (1,)), "a tensor's")
        yield _refused(f"{name}-of-alias", Draft().tensor("t", "int8", (1,)).alias(path, "t"), "an alias'")
        yield _refused(f"{name}-of-node", Draft().node(path, "list"), "a node's")
    yield _refused(
        "carriage-return-before-line-end", Draft().value("a\r", 1).value("b\r", 2), "lines of another system"
    )


def _twice() -> Iterator[Case]:
    """The same bytes twice. Two ways to write a letter are two paths: area `valid`."""

    def refused(slug: str, draft: Draft, comment: str) -> Case:
        return reject(slug, draft.file(), "DUPLICATE", "3.5", comment, step=43)

    yield refused("twice-beside", Draft().value("a", 1).value("a", 2).value("b", 3), "the first two of three")
    yield refused("twice-last", Draft().value("a", 1).value("b", 2).value("b", 3), "the last two of three")
    yield refused("twice-apart", Draft().value("a", 1).value("b", 2).value("a", 3), "the first and the last of three")
    yield refused("thrice", Draft().value("a", 1).value("a", 2).value("a", 3), "all three")
    yield refused("twice-same-value", Draft().value("a", 1).value("a", 1), "and with the same value")
    yield refused("twice-root", Draft().value("", 1).value("", 2), "the root")
    yield refused("twice-inner", Draft().value("a.b.c", 1).value("a.b.d", 2).value("a.b.c", 3), "within maps")
    yield refused("twice-empty-segment", Draft().value("\\e", 1).value("\\e", 2), "the segment without characters")
    yield refused("twice-escaped", Draft().node("", "flat").value("\\.", 1).value("\\.", 2), "an escaped dot")
    yield refused("twice-letter", Draft().value("é", 1).value("é", 2), "not ASCII")
    tensor = Draft().tensor("a", "int8", (2,))
    yield refused("tensor-twice", tensor.tensor("a", "int8", (3,)), "two tensors")
    tensor = Draft().tensor("a", "int8", (2,))
    yield refused("tensor-and-value", tensor.value("a", 1), "a tensor and a value")
    tensor = Draft().tensor("a", "int8", (2,))
    data = tensor.alias("a", "a").file(columns={"alias": u32(0)})
    comment = "an alias of the tensor at its own path"
    yield reject("alias-at-its-target", data, "DUPLICATE", "3.5", comment, step=43)
    tensor = Draft().tensor("a", "int8", (2,)).value("b", 1)
    yield refused("alias-at-value", tensor.alias("b", "a"), "an alias and a value")
    tensor = Draft().tensor("a", "int8", (2,)).alias("b", "a")
    yield refused("alias-twice", tensor.alias("b", "a"), "two aliases of one tensor")
    yield refused("node-twice", Draft().node("a", "list").node("a", "list"), "two nodes of one form")
    yield refused("node-twice-of-two-forms", Draft().node("a", "list").node("a", "tuple"), "a list and a tuple")
    yield refused("root-node-twice", Draft().node("", "flat").node("", "flat"), "two nodes of the root")
    yield refused("node-and-value", Draft().node("a", "list").value("a", 1), "a node and a value")
    yield refused("value-and-node", Draft().value("a", 1).node("a", "list"), "a value and a node")
    yield refused("list-item-twice", Draft().node("a", "list").value("a.0", 1).value("a.0", 2), "an item of a list")
    flat = Draft().node("", "flat").value("a.b", 1).value("c.d", 2).value("a.b", 3)
    yield refused("flat-key-twice", flat, "a key of a flat map")
    flat = Draft().node("", "flat").node("a", "part", module="relu").node("a", "part", module="gelu")
    yield refused("part-twice", flat, "two parts of one prefix")
    flat = Draft().node("", "flat").value("a.b", 1).node("a.b", "part", module="relu")
    yield refused("part-and-key", flat, "a prefix that is a key")
    far = Draft()
    for number in range(100):
        far.value(f"p{number}", number)
    yield refused("twice-far-apart", far.value("p0", 100), "the first and the last of a hundred")
