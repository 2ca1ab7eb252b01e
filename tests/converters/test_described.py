"""Trees in memory of which some tensors have a shape only, checked as a file would be."""

import numpy as np
import pytest
from checks import raised
from sources import same

from ptformat.converters import described
from ptformat.converters.described import DescribedSource, settled
from ptformat.tree import Alias, TensorInfo, Value

W = np.arange(6, dtype=np.float32).reshape(2, 3)
HELD = DescribedSource(
    [
        (TensorInfo("w", "float32", (2, 3)), W),
        (TensorInfo("s", "float32", (9,)), None),
        (Alias("t", "w"), None),
        (Alias("u", "s"), None),
    ],
    name="held",
    kind="test",
)


def test_what_has_elements() -> None:
    assert {path: HELD.has_elements(path) for path in "wstu"} == {"w": True, "s": False, "t": True, "u": False}
    assert same(HELD.array("w"), W)
    assert b"".join(bytes(piece) for piece in HELD.pieces("w")) == W.tobytes()
    assert HELD.kind == "test"


def test_what_has_none() -> None:
    for call in (lambda: HELD.array("s"), lambda: HELD.pieces("s")):
        error = raised("TYPE", call)
        assert error.message.startswith("source 'held' has shapes only: 's' has no elements")


def test_entries_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = [Value(str(number), number) for number in range(4)]
    assert len(settled(entries)) == 4
    monkeypatch.setattr(described, "MAX_ENTRIES", 3)
    assert raised("LIMIT", lambda: settled(entries)).message == "4 entries, at most 3 are allowed"


def test_an_order_of_axes_that_says_nothing_is_left_out() -> None:
    given = [TensorInfo("w", "float32", (2, 3)), Alias("a", "w", (0, 1)), Alias("b", "w", (1, 0)), Alias("c", "w")]
    assert settled(given) == [given[0], Alias("a", "w"), *given[2:]]
