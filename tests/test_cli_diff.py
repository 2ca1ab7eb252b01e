import json
import math
import re
from pathlib import Path

import numpy as np
from cli_files import deck_ptf, deck_safetensors, run

import ptformat

SECONDS = re.compile(r"\d+\.\d s\n")


def different(folder: Path) -> tuple[Path, Path]:
    base = {name: np.arange(1, 5, dtype=np.float32) for name in ("same", "near", "far")}
    mine = {**base, "typed": np.ones(2, np.float32), "turned": np.zeros((2, 3), np.int8), "gone": np.zeros(2)}
    changed = {"near": base["near"] + np.float32(0.5), "far": np.array([1, 2, 3, math.nan], np.float32)}
    theirs = {**base, **changed, "typed": np.ones(2, np.float16), "turned": np.zeros((3, 2), np.int8), "new": True}
    ptformat.save_file(mine, folder / "a.ptf")
    ptformat.save_file(theirs, folder / "b.ptf")
    return folder / "a.ptf", folder / "b.ptf"


def test_the_same_tree(tmp_path: Path) -> None:
    a, b = deck_ptf(tmp_path / "deck.ptf"), deck_safetensors(tmp_path / "deck.safetensors")
    result = run("diff", a, b)
    assert (result.exit_code, result.stderr) == (0, "")
    assert SECONDS.sub("… s\n", result.stdout) == f"{a} and {b} are the same: 4 tensors, every element equal, … s\n"
    lines = run("diff", a, b, "--all").stdout.splitlines()
    assert [line.split() for line in lines[:2]] == [
        ["tensor", "largest", "difference", "relative", "cosine", "equal", "elements"],
        ["0.weight", "0", "0", "1.000000000", "32", "of", "32"],
    ]


def test_a_table_the_worst_first(tmp_path: Path) -> None:
    a, b = different(tmp_path)
    result = run("diff", a, b)
    assert (result.exit_code, result.stderr) == (1, "")
    *table, summary, end = SECONDS.sub("… s\n", result.stdout).split("\n")
    assert table == [
        "missing     gone    (2,) float64",
        "unexpected  new     True",
        "shape       turned  (2, 3) int8 against (3, 2) int8",
        "dtype       typed   (2,) float32 against (2,) float16",
        "tensor  largest difference  relative  cosine       equal elements",
        "far     0                   0         1.000000000  3 of 4, 1 NaN in one",
        "near    0.5                 0.333     0.997965410  0 of 4",
    ]
    kinds = "1 missing, 1 unexpected, 1 shape, 1 dtype, 2 of 4 tensors unequal, by 0.5 at most"
    assert (summary, end) == (f"{a} and {b} differ: {kinds}, … s", "")


def test_json(tmp_path: Path) -> None:
    a, b = different(tmp_path)
    result = run("diff", a, b, "--json")
    facts = json.loads(result.stdout)
    assert (result.exit_code, facts["same"], facts["files"]) == (1, False, [str(a), str(b)])
    assert facts["odd"][0] == {"kind": "missing", "path": "gone", "first": "(2,) float64", "second": None}
    assert [each["path"] for each in facts["tensors"]] == ["far", "near", "same", "typed"]
    assert facts["tensors"][2] == {
        "path": "same",
        "count": 4,
        "equal": 4,
        "absolute": 0.0,
        "relative": 0.0,
        "cosine": 1.0,
        "nan": 0,
    }
    assert facts["seconds"] >= 0
    ptformat.save_file({"w": np.array([math.inf], np.float32)}, a)
    ptformat.save_file({"w": np.array([1], np.float32)}, b)
    (found,) = json.loads(run("diff", a, b, "--json").stdout)["tensors"]
    assert (found["absolute"], found["relative"], found["cosine"]) == ("inf", "inf", None)


def test_ties(tmp_path: Path) -> None:
    a = deck_ptf(tmp_path / "a.ptf", shared=True)
    assert run("edit", a, tmp_path / "b.ptf", "--untie", "4.bias").exit_code == 0
    result = run("diff", a, tmp_path / "b.ptf")
    first, summary = result.stdout.splitlines()
    assert (result.exit_code, first) == (1, "tie  4.bias  = 2.bias against a tensor of its own")
    assert " differ: 1 tie, 7 tensors equal, " in summary


def test_a_fault_is_said_of_the_file_that_has_it(tmp_path: Path) -> None:
    good, bad = deck_ptf(tmp_path / "good.ptf"), deck_ptf(tmp_path / "bad.ptf")
    data = bytearray(bad.read_bytes())
    data[70] ^= 4
    bad.write_bytes(data)
    for pair in ((good, bad), (bad, good), (good, tmp_path / "none.ptf"), (tmp_path / "none.ptf", good)):
        result = run("diff", *pair)
        wrong = next(path for path in pair if path != good)
        assert (result.exit_code, result.stdout) == (1, "")
        what = "CHECKSUM: tensor '0.weight', chunk 0" if wrong == bad else "No such file or directory\n"
        assert result.stderr.startswith(f"ptformat: {wrong}: {what}")
