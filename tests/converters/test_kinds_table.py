"""docs/kinds.md against the code and against a fresh run of one layer of each kind."""

import contextlib

import pytest
import torch
from kinds_table import HEADING, PAGE, bound, cases, graded, measured, structure, table
from torch.nn.utils import parametrizations

from ptformat.converters import source_of
from ptformat.converters.conventions import KINDS

ROWS = table(PAGE.read_text("utf-8"))
RUN = {kind: found[0] for kind, found in cases().items() if found}


def test_every_kind_has_its_row_and_classes():
    assert list(ROWS) == list(KINDS)
    found = structure()
    assert {kind: cells[:-1] for kind, cells in ROWS.items()} == found
    assert all(len(cells) == len(HEADING) for cells in ROWS.values())


def test_what_is_run_has_a_bound():
    assert {kind for kind, cells in ROWS.items() if cells[-1] == "not run"} == KINDS.keys() - RUN.keys()
    assert {"layer_norm_axes", "embedding_bag", "bilinear"} >= KINDS.keys() - RUN.keys()


@pytest.mark.parametrize("kind", RUN)
def test_the_difference_is_below_the_bound(kind):
    _, row = RUN[kind]
    found = measured(row, "linen" if row.linen else "nnx")
    assert found <= float(ROWS[kind][-1].removeprefix("≤ "))
    assert float(ROWS[kind][-1].removeprefix("≤ ")) <= 1e-5


def test_a_folded_norm_is_one_way():
    net = torch.nn.Sequential(parametrizations.spectral_norm(torch.nn.Linear(4, 3))).eval()
    with contextlib.closing(source_of(net)) as source:
        assert graded(source, "linen", {}) == "–"
        assert graded(source, "linen", {"fold": ["0"]}) == "one way"


@pytest.mark.parametrize(
    ("number", "shown"), [(0.0, "0"), (1.2e-7, "≤ 5e-07"), (5e-7, "≤ 1e-06"), (6e-8, "≤ 2e-07"), (2.6e-7, "≤ 1e-06")]
)
def test_bounds_are_round(number, shown):
    assert bound(number) == shown
