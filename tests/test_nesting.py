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
    """Two leaves beneath each: with the root one too many, in a file of 18 MB."""
    pairs = [f"{i:x}.{leaf}" for i in range(limits.MAX_INNER_PATHS) for leaf in "ab"]
    Nesting(pairs[:-2]).check_inner()
    with pytest.raises(FormatError, match=r"^LIMIT: the paths name more than 1048576 inner paths$"):
        Nesting(pairs).check_inner()
