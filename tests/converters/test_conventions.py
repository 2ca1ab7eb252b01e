"""The tables of spec/conventions-1.0.md against those of the code."""

import re
from pathlib import Path

import flax.linen
import numpy as np
import pytest
import torch

import ptformat
from ptformat import paths
from ptformat.converters import plan
from ptformat.converters.conventions import BY_RECORDED, CONVENTIONS, ESSENTIAL, KINDS, LINEN, RIVALS, TORCH, spelled
from ptformat.converters.conventions.neutral import SPATIAL, SPATIAL_AXES, Convention
from ptformat.converters.match import STYLES
from ptformat.flax.modules import KINDS as LINEN_CLASSES
from ptformat.torch.modules import KINDS as CLASSES
from ptformat.tree import ROLES

TEXT = (Path(__file__).parents[2] / "spec" / "conventions-1.0.md").read_text("utf-8")
Rows = list[dict[str, str]]


def tables(number: str) -> list[Rows]:
    """The tables of a section, its subsections aside."""
    found = re.search(rf"^##+ {re.escape(number)} .*?(?=^##+ \d|\Z)", TEXT, re.M | re.S)
    assert found, number
    result = []
    for block in re.findall(r"(?:^\|.*\n)+", found[0], re.M):
        head, _, *rows = ([cell.strip() for cell in line.strip()[1:-1].split("|")] for line in block.splitlines())
        result.append([dict(zip(head, row, strict=True)) for row in rows])
    return result


def axes(cell: str) -> tuple[str, ...]:
    return tuple(SPATIAL if axis == f"*{SPATIAL}" else axis for axis in cell.split(", ")) if cell else ()


def test_neutral_kinds() -> None:
    (rows,) = tables("1")
    stated: dict[str, dict[str, tuple[str, ...]]] = {}
    for row in rows:
        stated.setdefault(row["kind"], {})[row["parameter"]] = axes(row["axes"])
    assert stated == KINDS
    assert [*stated] == [*KINDS]
    assert all([*stated[kind]] == [*KINDS[kind]] for kind in KINDS)


def test_roles() -> None:
    (rows,) = tables("1")
    for row in rows:
        assert row["role"] in ROLES
        for table in CONVENTIONS.values():
            if slot := table.slots[row["kind"]].get(row["parameter"]):
                assert slot.role == row["role"]


def test_essential_parameters() -> None:
    assert {
        kind: ("mean", "var") if kind == "batch_norm" else (next(iter(parameters)),)
        for kind, parameters in KINDS.items()
    } == ESSENTIAL
    assert "at least the first parameter of its kind, a `batch_norm` at least `mean` and `var`" in " ".join(
        TEXT.split()
    )


def test_spatial_axes() -> None:
    assert "`x`, or `y, x`, or `z, y, x`" in TEXT
    assert SPATIAL_AXES == {1: ("x",), 2: ("y", "x"), 3: ("z", "y", "x")}


@pytest.mark.parametrize(("number", "table"), [("3", TORCH), ("4", LINEN)])
def test_a_frameworks_table(number: str, table: Convention) -> None:
    rows, _ = tables(number)
    stated = [(row["kind"], row["parameter"], row["collection/name"], axes(row["axes"])) for row in rows]
    coded = [
        (kind, parameter, "/".join(filter(None, (slot.collection, slot.name))), slot.axes)
        for kind, slots in table.slots.items()
        for parameter, slot in slots.items()
    ]
    assert stated == coded
    assert f"## {number} {table.name}\n" in TEXT
    assert f"The convention `{table.name}`" in TEXT


def test_frameworks_permute_the_neutral_axes() -> None:
    for table in CONVENTIONS.values():
        for kind, slots in table.slots.items():
            for parameter, slot in slots.items():
                assert sorted(slot.axes) == sorted(KINDS[kind][parameter])


def test_classes_of_torch() -> None:
    _, rows = tables("3")
    stated = {name: row["kind"] for row in rows for name in row["classes of torch.nn"].split(", ")}
    assert stated == {class_.__name__: kind.name for class_, kind in CLASSES.items()}
    assert all(getattr(torch.nn, name).__module__.startswith(TORCH.namespace) for name in stated)


def test_classes_of_linen() -> None:
    _, rows = tables("4")
    stated = {name: row["kind"] for row in rows for name in row["classes of flax.linen"].split(", ")}
    assert stated == {class_.__name__: kind.name for class_, kind in LINEN_CLASSES.items()}
    assert all(getattr(flax.linen, name).__module__.startswith(LINEN.namespace) for name in stated)


def test_axes_that_modules_of_torch_are_saved_with() -> None:
    for class_, kind in CLASSES.items():
        for name, saved in kind.axes.items():
            slots = [slot for slot in TORCH.slots[kind.name].values() if slot.name == name]
            assert [spelled(slot.axes, len(saved)) for slot in slots] == [saved] * len(slots), (class_, name)


def test_names_of_conventions() -> None:
    assert {name: table.name for name, table in CONVENTIONS.items()} == {"torch": "torch", "linen": "flax.linen"}
    assert {name: table.name for name, table in BY_RECORDED.items()} == {"torch": "torch", "flax.linen": "flax.linen"}


def test_examples_of_names(tmp_path: Path) -> None:
    """The table of section 6.1, planned."""
    (rows,) = tables("6.1")
    assert len(rows) == 4
    for row in rows:
        name, linen = re.findall("`(.*?)`", row["torch"])[0], row["linen"].strip("`")
        sequential = re.search("`, `?(\\w+)`? a Sequential", row["torch"])
        collection, *segments = linen.split("/")
        module = name.split(".")[:-1]
        with ptformat.Writer(tmp_path / "x.ptf", convention="torch") as out:
            out.node("", "flat")
            if sequential:
                out.node(sequential[1], "part", class_="torch.nn.modules.container.Sequential")
            rank = 1 if name.endswith("running_mean") else 2
            out.tensor(name, np.zeros((2,) * rank, np.float32))
            if rank == 1:
                out.tensor(paths.render([*module, "running_var"]), np.zeros(2, np.float32))
        targets = [step.shown_target for step in plan(tmp_path / "x.ptf", to="linen").steps.values()]
        assert "/".join([collection, *segments]) in targets


def test_styles_stand_in_the_text() -> None:
    for style in STYLES:
        assert f"Style `{style}`" in TEXT


def test_spelled() -> None:
    assert spelled(("out", "in"), 2) == ("out", "in")
    assert spelled(("out", "in"), 3) is None
    assert spelled(("out", "in", SPATIAL), 3) == ("out", "in", "x")
    assert spelled((SPATIAL, "in", "out"), 5) == ("z", "y", "x", "in", "out")
    for rank in (0, 1, 2, 6):
        assert spelled((SPATIAL, "in", "out"), rank) is None


def test_rivals_are_kinds_without_a_rule() -> None:
    assert not {*RIVALS.values()} & {*KINDS}
    assert {*RIVALS} <= {*KINDS}
