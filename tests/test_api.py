"""docs/api.md against the code: every public name in its table, every kind of file with the types it refuses."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

import ptformat
from ptformat import dtypes
from ptformat.converters import copy
from ptformat.converters.files import KINDS

TEXT = (Path(__file__).parent.parent / "docs" / "api.md").read_text(encoding="utf-8")


def rows(heading: str) -> list[list[str]]:
    """The cells of the table beneath a heading, without its head."""
    section = TEXT.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.split("\n") if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


@pytest.mark.parametrize("module", ["ptformat", "ptformat.torch", "ptformat.flax", "ptformat.converters"])
def test_every_public_name_has_its_row(module: str) -> None:
    named = [re.match(r"`(\w+)", row[0])[1] for row in rows(f"`{module}`")]
    assert sorted(named) == sorted(import_module(module).__all__)


def kinds() -> dict[str, list[str]]:
    return {row[0].strip("`"): row for row in rows("Kinds of files")}


def test_every_kind_of_file_has_its_row() -> None:
    suffixes = {name: tuple(re.findall(r"`(\S+)`", row[1])) for name, row in kinds().items()}
    assert suffixes == {kind.name: kind.suffixes for kind in KINDS}


def elements(row: dtypes.DType) -> np.ndarray:
    rng = np.random.default_rng(row.code)
    if row.bits < 8 or row.name == "bool":
        return rng.integers(0, 2 if row.name == "bool" else 1 << row.bits, 10).astype(np.uint8).view(row.numpy)
    return np.frombuffer(rng.bytes(10 * row.bits // 8), row.numpy)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.suffixes], ids=lambda kind: kind.name)
def test_a_kind_of_file_keeps_every_bit_or_refuses_the_type(kind, tmp_path: Path) -> None:
    refused = []
    for row in dtypes.TABLE:
        array = elements(row)
        ptformat.save_file({"w": array}, tmp_path / "a.ptf")
        target = str(tmp_path / row.name) + kind.suffixes[0]
        try:
            copy(tmp_path / "a.ptf", target, durable=False)
        except ptformat.FormatError as error:
            assert error.code == "DTYPE"
            assert row.name in error.message
            refused.append(row.name)
            continue
        copy(target, tmp_path / "b.ptf", durable=False)
        found = ptformat.load_file(tmp_path / "b.ptf")["w"]
        assert found.dtype == array.dtype
        assert found.tobytes() == array.tobytes(), row.name
    assert refused == [row.name for row in dtypes.TABLE if row.name in kinds()[kind.name][4].split(", ")]
    assert sorted(refused) == sorted(filter(None, kinds()[kind.name][4].split(", ")))
