import json
import math
from pathlib import Path

import numpy as np
import pytest
from cli_files import arrays, deck_ptf, deck_safetensors, run

import ptformat

SHARED = """\
{path} · ptf · torch · 121 parameters · 6 tensors · 484 B

dtypes    float32  6 tensors  484 B  100.0 %
ties      4.weight = 2.weight
          4.bias = 2.bias

module  tensors  parameters  bytes  share
0       2        40          160 B  33.1 %
2       2        72          288 B  59.5 %
6       2        9           36 B   7.4 %
"""
MIXED = """\
{path} · ptf · 49 parameters · 4 tensors · 111 B

dtypes    float32   2 tensors  56 B  50.5 %
          bfloat16  1 tensor   50 B  45.0 %
          int4      1 tensor   5 B   4.5 %
metadata  licence: MIT
          step: 7

module  tensors  parameters  bytes  share
(root)  1        5           20 B   18.0 %
a       1        25          50 B   45.0 %
a.b     2        19          41 B   36.9 %
"""


def mixed(path: Path) -> Path:
    int4 = np.arange(10).astype(np.int8).astype(ptformat.dtypes.BY_NAME["int4"].numpy)
    weights = np.linspace(-1, 1, 25).astype(ptformat.dtypes.BY_NAME["bfloat16"].numpy)
    with ptformat.Writer(path, metadata={"licence": "MIT", "step": 7}) as out:
        out.tensor("top", np.array([0.5, math.nan, math.inf, 0, -2], np.float32))
        out.tensor("a.w", weights)
        out.tensor("a.b.w", np.arange(9, dtype=np.float32))
        out.tensor("a.b.q", int4)
    return path


def told(*args: str | Path) -> str:
    result = run("info", *args)
    assert (result.exit_code, result.stderr) == (0, "")
    return result.stdout


def test_ties_and_modules(tmp_path: Path) -> None:
    path = deck_ptf(tmp_path / "shared.ptf", shared=True)
    assert told(path) == SHARED.format(path=path)


def test_types_and_metadata(tmp_path: Path) -> None:
    path = mixed(tmp_path / "mixed.ptf")
    assert told(path) == MIXED.format(path=path)
    assert told(path, "--depth", "1").splitlines()[-2:] == [
        "(root)  1        5           20 B   18.0 %",
        "a       3        44          91 B   82.0 %",
    ]


def test_statistics(tmp_path: Path) -> None:
    lines = told(mixed(tmp_path / "mixed.ptf"), "--stats").splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("tensor"))
    assert [line.split() for line in lines[at:]] == [
        ["tensor", "shape", "dtype", "min", "max", "mean", "std", "NaN", "Inf", "zero"],
        ["top", "(5,)", "float32", "-2", "0.5", "-0.5", "1.08012", "1", "1", "1"],
        ["a.w", "(25,)", "bfloat16", "-1", "1", "0", "0.600956", "0", "0", "1"],
        ["a.b.w", "(9,)", "float32", "0", "8", "4", "2.58199", "0", "0", "1"],
        ["a.b.q", "(10,)", "int4", "-8", "7", "1.3", "4.85901", "0", "0", "1"],
        ["warning", "top:", "1", "NaN,", "1", "infinite"],
    ]


def test_first_values(tmp_path: Path) -> None:
    path = mixed(tmp_path / "mixed.ptf")
    lines = told(path, "--values", "top", "--values", "a.b.q:3", "--values", "a.w:0").splitlines()
    assert lines[-9:] == [
        *("", "top  (5,)  float32", "  0.5 nan inf 0 -2"),
        *("", "a.b.q  (10,)  int4", "  0 1 2"),
        *("", "a.w  (25,)  bfloat16", "  (none)"),
    ]


def test_first_values_of_an_alias_and_of_nothing(tmp_path: Path) -> None:
    path = deck_ptf(tmp_path / "shared.ptf", shared=True)
    with ptformat.open(path) as file:
        expected = file["2.weight"].ravel()[:4].tolist()
    (found,) = json.loads(told(path, "--values", "4.weight:4", "--json"))["values"]
    assert found == {"path": "4.weight", "dtype": "float32", "shape": [8, 8], "first": expected}
    result = run("info", path, "--values", "2.wieght")
    said = f"ptformat: {path}: PATH: there is no tensor '2.wieght'; nearest: 2.weight\n"
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", said)


def test_json(tmp_path: Path) -> None:
    path = mixed(tmp_path / "mixed.ptf")
    facts = json.loads(told(path, "--stats", "--values", "top:2", "--json"))
    first, *_ = facts.pop("statistics")
    assert (first["path"], first["min"], first["nan"], first["warnings"]) == ("top", -2, 1, ["1 NaN", "1 infinite"])
    assert facts == {
        "file": str(path),
        "format": "ptf",
        "convention": None,
        "tensors": 4,
        "parameters": 49,
        "nbytes": 111,
        "file_bytes": path.stat().st_size,
        "metadata": {"licence": "MIT", "step": 7},
        "dtypes": {
            "float32": {"tensors": 2, "parameters": 14, "nbytes": 56},
            "bfloat16": {"tensors": 1, "parameters": 25, "nbytes": 50},
            "int4": {"tensors": 1, "parameters": 10, "nbytes": 5},
        },
        "ties": {},
        "notes": [],
        "modules": {
            "": {"tensors": 1, "parameters": 5, "nbytes": 20},
            "a": {"tensors": 1, "parameters": 25, "nbytes": 50},
            "a.b": {"tensors": 2, "parameters": 19, "nbytes": 41},
        },
        "values": [{"path": "top", "dtype": "float32", "shape": [5], "first": [0.5, "nan"]}],
    }


def test_another_kind_of_file(tmp_path: Path) -> None:
    path = deck_safetensors(tmp_path / "deck.safetensors")
    head, *_ = told(path).splitlines()
    assert head == f"{path} · safetensors · torch · 49 parameters · 4 tensors · 196 B"
    (found,) = json.loads(told(path, "--values", "0.weight:32", "--json"))["values"]
    assert found["first"] == arrays()["0.weight"].ravel().tolist()


@pytest.mark.parametrize("depth", ["0", "-1", "one"])
def test_a_depth_that_is_none(depth: str, tmp_path: Path) -> None:
    result = run("info", tmp_path / "deck.ptf", "--depth", depth)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("ptformat: info: Invalid value for '--depth'")
