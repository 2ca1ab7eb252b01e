"""The tables of docs/ against the code: public names, kinds of files with the types they refuse, rules, problems."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

import ptformat
from ptformat import dtypes
from ptformat.cli.plan import plan as verb
from ptformat.converters import Steering, copy
from ptformat.converters.applied import OPERATIONS
from ptformat.converters.files import KINDS
from ptformat.converters.rules import families

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
CONVERTING = (ROOT / "docs" / "converting.md").read_text(encoding="utf-8")


def rows(heading: str, text: str = TEXT, head: str = "") -> list[list[str]]:
    """The cells of the table beneath a heading, of that whose head begins so, without its head."""
    section = text.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    lines = section[section.index(f"\n| {head}") + 1 :].split("\n\n")[0].strip().split("\n")
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def words(cell: str) -> list[str]:
    """What stands in backticks."""
    return re.findall(r"`([^`]*)`", cell)


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


def test_every_rule_has_its_row_and_its_flag() -> None:
    table = rows("With rules", CONVERTING, "Option")
    assert sorted(name for row in table for name in words(row[0])) == sorted(Steering.__annotations__)
    flags = {flag: param.name for param in verb.params for flag in param.opts}
    for row in table:
        assert [flags[flag].rstrip("s") for flag in words(row[1])] == [name.rstrip("s") for name in words(row[0])]


def test_every_operation_has_its_row() -> None:
    table = rows("With rules", CONVERTING, "Operation")
    assert sorted(word.partition("(")[0] for row in table for word in words(row[0])) == sorted(OPERATIONS)


def test_every_family_is_named() -> None:
    sentence = CONVERTING.split("The library has ")[1].split(";")[0]
    assert words(sentence) == families()


def test_every_kind_of_problem_is_explained() -> None:
    sources = (path.read_text(encoding="utf-8") for path in (ROOT / "converters").rglob("*.py"))
    raised = {kind for text in sources for kind in re.findall(r'[Pp]roblem\(\s*"([a-z]+)"', text)}
    assert {words(row[0])[0] for row in rows("What the errors mean", CONVERTING, "Kind")} == raised
