"""Paths (spec section 4.1): the grammar, and texts that are easily taken for others."""

from __future__ import annotations

from collections.abc import Iterator

from ..case import Case, accept
from ..draft import Draft
from .base import nulls

_NAMES: list[tuple[str, tuple[str, ...], str]] = [
    ("empty-segment", (r"\e",), r"\e is the segment without characters"),
    ("empty-segment-within", (r"a.\e.b",), r"\e between dots"),
    ("empty-segments", (r"\e.\e.\e",), "three segments without characters"),
    ("empty-segment-and-e", (r"\e", "e", r"\\e"), r"the empty segment, e, and a backslash before e"),
    ("backslash", (r"\\",), "a backslash alone"),
    ("backslashes", (r"\\\\", r"\\\\\\"), "two and three backslashes"),
    ("backslash-at-the-end", (r"a\\.b",), "the dot behind an escaped backslash is a boundary"),
    ("backslash-before-n", (r"a\\n", "an"), "no line feed"),
    ("umlaut", ("größe. x",), "the table's last row: two bytes a letter, a space at the start"),
    ("spaces", (" ", "  ", " a", "a ", "a b"), "spaces are kept"),
    ("punctuation", ("!\"#$%&'()*+,-/:;<=>?@[]^_`{|}~",), "all that is plain in ASCII and no letter or digit"),
    ("quotes", ('"', "'", "`", '"a"'), "quotes of every kind"),
    ("slashes", ("/", "a/b", "/etc/passwd", "C:\\\\x"), "no directories"),
    ("windows-names", ("CON", "nul", "aux", "COM1", "a:b", "a*?"), "paths are no file names"),
    ("shell", ("$HOME", "~", "`ls`", "%n%s", "-rf", "a;b", "a|b", "*"), "nothing is expanded"),
    ("html", ("<script>", "&amp;", "</a>"), "nothing is read as markup"),
    ("objects", ("__proto__", "constructor", "hasOwnProperty", "toString", "length"), "names that objects have"),
    ("objects-within", ("__proto__.a", "a.__proto__", "constructor.prototype.b"), "the same as inner paths"),
    ("dunder", ("__class__", "__init__", "self", "None", "class", "_"), "names that classes have"),
    ("digits", ("0", "1", "2"), "a map by the keys 0, 1, 2 is no list"),
    ("digits-descending", ("10", "9", "1", "a", "0"), "some languages put such keys into another order"),
    ("digits-with-zeros", ("00", "0", "01", "1", "001"), "texts, no numbers"),
    ("digits-signed", ("-1", "+1", "1e3", "0x10", "1_000", "4294967295"), "texts, no numbers"),
    ("digits-of-others", ("\u0661", "\u00b2", "\uff11"), "digits of other scripts"),
    ("words", ("true", "false", "null", "NaN", "undefined"), "texts, no values"),
    ("case", ("a", "A", "weight", "Weight", "WEIGHT"), "letters differ by case"),
    ("case-of-others", ("\u00df", "ss", "\u0130", "\u0131", "i", "I", "\u017f", "s"), "nothing is folded"),
    ("composed-and-not", ("\u00e9", "e\u0301"), "NFC and NFD of one letter are two paths"),
    ("compatible", ("\ufb01", "fi", "\u212b", "\u00c5", "A\u030a", "\u2126", "\u03a9"), "signs that NFKC makes one"),
    ("hangul", ("\uac00", "\u1100\u1161"), "a syllable and its parts"),
    ("combining-first", ("\u0301", "\u0301a"), "a segment that begins with a combining character"),
    ("right-to-left", ("\u202eabc", "abc", "\u05d0\u05d1", "\u200fa"), "marks of direction are kept"),
    ("zero-width", ("a\u200bb", "ab", "a\u00adb", "a\u2060b", "a\u200db"), "invisible characters are kept"),
    ("look-alikes", ("a", "\u0430", "\uff41"), "Latin, Cyrillic and full width"),
    ("upper-controls", ("\u0080", "\u0085", "\u009f"), "U+0080 to U+009F are plain"),
    ("separators", ("a\u2028b", "a\u2029b", "a\u0085b"), "they end no line: paths are split at U+000A alone"),
    ("separator-alone", ("\u2028", "\u2029", "\u00a0", "\u3000"), "white space of other kinds"),
    ("dots-of-others", ("a\u2024b", "a\u3002b", "a\uff0eb", "a\u2026", "a\u00b7b"), "only U+002E divides"),
    ("backslashes-of-others", ("a\uff3cb", "a\u2216b"), "only U+005C escapes"),
    ("byte-order-mark", ("\ufeffa", "a", "\ufeff"), "U+FEFF is kept, at the start of the key path too"),
    ("around-the-surrogates", ("\ud7ff", "\ue000"), "the code points on either side"),
    ("last-characters", ("\uffff", "\U0010ffff", "\ufdd0"), "noncharacters are plain"),
    ("private-use", ("\ue000", "\uf8ff", "\U000f0000"), "characters for private use"),
    ("four-bytes", ("\U0001f9ee", "a\U00010000"), "beyond the basic plane"),
    ("utf-16-order", ("\U00010000", "\uffff", "\ue000"), "row order is not changed"),
    ("replacement", ("\ufffd", "\ufffd\ufffd"), "U+FFFD itself"),
    ("prefixes", ("ab", "a-", "a b.c", "abc.d"), "texts that begin others, without a dot behind them"),
    ("prefixes-of-segments", ("a.b", "a-.b", "aa", "a!.c"), "inner paths are made of segments, not of text"),
]


def cases() -> Iterator[Case]:
    """A null at each path of a row."""
    for slug, names, comment in _NAMES:
        yield accept(slug, nulls(*names), "4.1", comment)
    yield from _dotted()
    yield from _lengths()
    yield from _root()
    every = nulls(*(chr(n) for n in range(0x20, 0x7F) if chr(n) not in ".\\"))
    yield accept("every-plain-of-ascii", every, "4.1", "ninety-three paths of one character")
    twins = Draft().tensor("a", "int8", (1,)).tensor("A", "int8", (1,)).value("\u00e4").value("a\u0308")
    yield accept("tensors-and-values", twins, "4.1", "twins among tensors and values")


def _dotted() -> Iterator[Case]:
    """Segments that hold dots: field names of a namedtuple, since no key of a map does."""
    for slug, node, path, comment in (
        ("dot", "", r"a\.b.0", "segments a.b and 0"),
        ("backslash-and-dot", "", r"a\\\.b", r"the segment a\.b"),
        ("dot-alone", "", r"\.", "the segment that is a dot"),
        ("dots-alone", "", r"\.\.", "two dots, no directory above"),
        ("dot-at-the-end", "", r"a\..b", "segments a. and b"),
        ("dot-at-the-start", "", r"\.a.b", "segments .a and b"),
        ("dot-behind-a-boundary", r"a\\", r"a\\.b\.c", r"segments a\ and b.c: the first dot divides"),
        ("dots-and-backslashes", "", r"\\\.\\\\\.", "backslash, dot, two backslashes, dot"),
    ):
        draft = Draft().node(node, "namedtuple").value(path)
        yield accept(f"escaped-{slug}", draft, "4.1", comment)


def _lengths() -> Iterator[Case]:
    many = nulls(*(f"p{i}" for i in range(300)))
    yield accept("three-hundred", many, "4.1", "more paths than a byte counts")
    yield accept("of-one-byte", nulls("a", "b"), "4.1", "the shortest paths")
    yield accept("deep", nulls(".".join("abcdefghijklmnopqrst")), "4.1", "twenty segments")
    broad = nulls(*(f"a.b{i}.c" for i in range(20)))
    yield accept("broad", broad, "4.1", "twenty inner paths beneath one")
    shared = nulls("a.b.c.d", "a.b.c.e", "a.b.f", "a.g", "h")
    yield accept("shared-prefixes", shared, "3.6", "containers without nodes are made once")


def _root() -> Iterator[Case]:
    full = Draft().tensor("", axes=["out", "in"], role="parameter", trainable=True, class_="C", attrs={"a": 1})
    yield accept("root-tensor", full, "3.6", "the root is a tensor, with all a tensor may have")
    yield accept("root-tensor-of-rank-0", Draft().tensor("", "int8", ()), "3.6", "the root is a tensor without axes")
    yield accept("root-value", Draft(metadata={"a": 1}).value("", 5), "3.6", "the root is a value")
    for form in ("list", "tuple", "namedtuple", "flat"):
        yield accept(f"root-{form}", Draft().node("", form), "3.5", "the root is empty")
    module = Draft().node("", "map", module="linear", class_="C", attrs={"a": 1}).tensor("weight")
    yield accept("root-module", module, "3.5", "the root is a map with a module")
    beside = Draft().node("", "list").value("0").node("1", "list").value("1.0")
    yield accept("root-list-of-list", beside, "3.5", "the root is a list with a list in it")
