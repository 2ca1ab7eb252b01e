import re
import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ptformat
from ptformat import paths
from ptformat.errors import FormatError

# Path text -> segments, from the table of the spec and beyond.
PATHS = {
    "": (),
    "0.weight": ("0", "weight"),
    r"a\.b.0": ("a.b", "0"),
    r"\e": ("",),
    r"\e.\e": ("", ""),
    r"a.\e.b": ("a", "", "b"),
    r"\\e": (r"\e",),
    r"a\\.b": ("a\\", "b"),
    r"a\\\.b": (r"a\.b",),
    r"\.": (".",),
    r"\.\.": ("..",),
    r"\\": ("\\",),
    "größe. x": ("größe", " x"),
    "\U0001f9e0.\u0085": ("\U0001f9e0", "\u0085"),
}
NOT_PATHS = {
    ".": "empty segment",
    ".a": "empty segment",
    "a.": "empty segment",
    "a..b": "empty segment",
    "a\\": "bad escape",
    r"\x": "bad escape",
    r"a\e": "bad escape",
    r"\ea": "bad escape",
    r"\e\e": "bad escape",
    "a\nb": "control character U+000A",
    "\0": "control character U+0000",
    "a\x7f": "control character U+007F",
    "a\x1f.b": "control character U+001F",
    "\ud800": "lone surrogate",
}


@pytest.mark.parametrize(("path", "segments"), PATHS.items())
def test_parse_and_render(path, segments):
    assert paths.parse(path) == segments
    assert paths.render(segments) == path
    assert paths.parent(path) == paths.render(segments[:-1])


@pytest.mark.parametrize(("path", "fault"), NOT_PATHS.items())
def test_no_path(path, fault):
    with pytest.raises(FormatError, match=re.escape(fault)) as caught:
        paths.parse(path)
    assert caught.value.code == "PATH"


def test_limits_are_in_bytes_and_segments():
    assert len(paths.parse("ä" * 512)[0]) == 512
    with pytest.raises(FormatError, match="has 1025 bytes, at most 1024"):
        paths.check("ä" * 512 + "a")
    assert len(paths.parse(".".join("a" * 128))) == 128
    with pytest.raises(FormatError, match="has 129 segments, at most 128"):
        paths.check(".".join("a" * 129))
    paths.check(r"\." * 129)  # one segment


@pytest.mark.parametrize("path", [path for path in NOT_PATHS if "\n" not in path and "\ud800" not in path])
def test_check_all_finds_what_check_finds(path):
    names = ["x", path, "y"]
    with pytest.raises(FormatError):
        paths.check_all(names)


@pytest.mark.parametrize("path", ["a" * 1025, ".".join("a" * 129)])
def test_check_all_finds_what_is_too_long(path):
    with pytest.raises(FormatError, match="at most"):
        paths.check_all(["x", path])


def test_check_all_accepts_every_path():
    names = [*PATHS, "x", r"\." * 129]
    paths.check_all(names)


# Keys of one map -> their paths: wild keys of real files.
FLAT = {
    ("0.weight", "0.bias", "step"): ("0.weight", "0.bias", "step"),
    ("x.weight", "x.weight.absmax"): ("x.weight", r"x.weight\.absmax"),
    ("x.weight.absmax", "x.weight"): (r"x.weight\.absmax", "x.weight"),
    ("a", "a.b", "a.b.c"): ("a", r"a\.b", r"a\.b\.c"),
    ("a", "a.b.c"): ("a", r"a\.b.c"),
    ("", ".x", "x.", "."): (r"\e", r"\.x", r"x\.", r"\."),
    ("a..c", "a...c", ".."): (r"a.\.c", r"a.\..c", r"\.\."),
    (r"w.\e", r"a\.b", "\\"): (r"w.\\e", r"a\\.b", r"\\"),
}


@pytest.mark.parametrize(("keys", "expected"), FLAT.items())
def test_split_flat(keys, expected):
    split = paths.split_flat(keys)
    assert tuple(map(paths.render, split.values())) == expected
    assert tuple(map(paths.join_flat, split.values())) == keys


WILD = st.text(st.sampled_from("ab.\\e~0 é"), max_size=8)


@given(st.sets(WILD, min_size=1, max_size=12))
def test_split_flat_is_injective_and_never_leaf_and_inner(keys):
    split = paths.split_flat(keys)
    assert {key: paths.join_flat(segments) for key, segments in split.items()} == {key: key for key in keys}
    rendered = [paths.render(segments) for segments in split.values()]
    assert len(set(rendered)) == len(keys)
    inner = {segments[:end] for segments in split.values() for end in range(len(segments))}
    assert inner.isdisjoint(split.values())
    for path, segments in zip(rendered, split.values(), strict=True):
        assert paths.parse(path) == segments


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=5), max_size=6))
def test_render_and_parse_are_inverse(segments):
    assert paths.parse(paths.render(segments)) == tuple(segments)


@pytest.mark.parametrize("path", PATHS)
def test_a_parent_is_the_path_without_its_last_segment(path):
    assert paths.parent(path) == paths.render(paths.parse(path)[:-1])


def test_two_normal_forms_are_two_keys():
    composed, decomposed = "caf\u00e9", unicodedata.normalize("NFD", "caf\u00e9")
    tree = {composed: np.zeros(1, np.int8), decomposed: np.ones(1, np.int8)}
    loaded = ptformat.load(ptformat.save(tree))
    assert list(loaded) == [composed, decomposed]
    assert (loaded[composed][0], loaded[decomposed][0]) == (0, 1)


@given(st.lists(st.text(".ab\\\0\n", max_size=6)))
def test_flat_keys_are_split_as_each_by_itself(keys):
    assert paths.split_flat(keys) == {key: paths.split_key(key, set(keys)) for key in keys}


@given(st.lists(st.text(".a\\", max_size=4), max_size=4))
def test_paths_are_rendered_segment_by_segment(segments):
    assert paths.render(iter(segments)) == ".".join(map(paths.escape, segments))


@pytest.mark.parametrize("path", ["a" * 256, ".".join("a" * 128), "a" * 1024, "ä" * 512])
def test_long_paths_among_others(path):
    paths.check_all(["a", path, "", "b.c"])


@pytest.mark.parametrize("path", ["a" * 1025, ".".join("a" * 129), "ä" * 513, "a..b", "a.", ".a", "a\x7f", "\\a"])
def test_a_bad_path_among_others(path):
    with pytest.raises(FormatError) as caught:
        paths.check_all(["a", path, "", "b.c"])
    with pytest.raises(FormatError) as alone:
        paths.check(path)
    assert (caught.value.code, caught.value.message) == ("PATH", alone.value.message)


@pytest.mark.parametrize("keys", [["a." * 512 + "a", "a"], ["a" * 1025]])
def test_a_key_that_is_longer_than_any_path(keys):
    """Told before it is divided, which takes the square of its length where another key is its beginning."""
    with pytest.raises(FormatError, match="has 1025 characters, at most 1024 fit a path") as caught:
        paths.split_flat(keys)
    assert caught.value.code == "PATH"
    assert len(paths.split_flat([keys[0][1:]])) == 1
