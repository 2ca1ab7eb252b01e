import pytest

from ptformat import limits, nesting, paths
from ptformat.errors import FormatError
from ptformat.nesting import Nesting


@pytest.mark.parametrize("names", [["a.b.c.d", "a.b.x.y", "p.q", ""], [r"a\.b.c.d", r"a\.b.\\.y", r"\e.q.r"]])
def test_inner_paths_are_counted_once(monkeypatch, names):
    inner = {""} | {paths.render(paths.parse(name)[:end]) for name in names for end in range(1, len(paths.parse(name)))}
    monkeypatch.setattr(nesting, "MAX_INNER_PATHS", len(inner))
    Nesting(names).check_inner()
    monkeypatch.setattr(nesting, "MAX_INNER_PATHS", len(inner) - 1)
    with pytest.raises(FormatError, match=f"^LIMIT: the paths name more than {len(inner) - 1} inner paths$"):
        Nesting(names).check_inner()


def test_no_more_inner_paths_than_the_limit():
    """As many as 8256 paths of 128 segments have, one of 64 and the root; then one more."""
    assert limits.MAX_INNER_PATHS == 8256 * 127 + 63 + 1
    deep = [".".join([f"{i:x}", *"a" * 127]) for i in range(8256)]
    names = [*deep, ".".join(["x", *"a" * 63]), *(f"{path}b" for path in deep)]
    Nesting(names).check_inner()
    with pytest.raises(FormatError, match=r"^LIMIT: the paths name more than 1048576 inner paths$"):
        Nesting([*names, "y.a"]).check_inner()


@pytest.mark.parametrize("name", ["a", "a.b", "a.b.c", "b", r"a\.b", ""])
def test_what_lies_above_and_beneath(name):
    """Against what the segments say, with the entries in two orders."""
    others = ["a.b.c.d", "a.b.x", "a", "a-b", "a.b", r"a\.b.c", "", r"\e", r"\e.\e", "b.c", "ab"]
    for names in ([name, *others], [*others[::-1], name]):
        names = list(dict.fromkeys(names))
        nesting = Nesting(names)
        nesting.link()
        segments = [paths.parse(one) for one in names]
        for row, own in enumerate(segments):
            above = [k for k, other in enumerate(segments) if len(other) < len(own) and own[: len(other)] == other]
            beneath = [k for k, other in enumerate(segments) if len(other) > len(own) and other[: len(own)] == own]
            assert nesting.above[row] == max(above, key=lambda k: len(segments[k]), default=-1)
            assert nesting.first[row] == min(beneath, default=len(names))
            even = [k for k in above if k % 2 == 0]
            within = nesting.within([k % 2 == 0 for k in range(len(names))])
            assert within[row] == max(even, key=lambda k: len(segments[k]), default=-1)
