import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
from cli_files import deck_ptf, deck_safetensors, run

import ptformat
from ptformat.converters import copy

FINE = r"{}: fine \({}, every byte checked, \d+\.\d s\)"


def flipped(path: Path, byte: int) -> Path:
    data = bytearray(path.read_bytes())
    data[byte] ^= 0x10
    path.write_bytes(data)
    return path


def test_a_sound_file(tmp_path: Path) -> None:
    path = deck_ptf(tmp_path / "deck.ptf")
    result = run("verify", path)
    assert (result.exit_code, result.stderr) == (0, "")
    assert re.fullmatch(FINE.format(re.escape(str(path)), "4 tensors, 0 aliases") + "\n", result.stdout)


def test_aliases_are_counted_apart(tmp_path: Path) -> None:
    result = run("verify", deck_ptf(tmp_path / "shared.ptf", shared=True))
    assert "6 tensors, 2 aliases" in result.stdout


def test_every_file_is_checked_and_one_bad_one_decides(tmp_path: Path) -> None:
    good, last = deck_ptf(tmp_path / "good.ptf"), deck_ptf(tmp_path / "last.ptf", codec="zstd")
    broken, other = flipped(deck_ptf(tmp_path / "broken.ptf"), 70), tmp_path / "other.ptf"
    other.write_bytes(b"Not a model")
    result = run("verify", good, broken, tmp_path / "missing.ptf", other, last)
    assert result.exit_code == 1
    assert [line.partition(": fine")[0] for line in result.stdout.splitlines()] == [str(good), str(last)]
    checksum, missing, begins = result.stderr.splitlines()
    pattern = (
        r"{}: CHECKSUM: tensor '0\.weight', chunk 0 at byte 64: xxh3 [0-9a-f]{{16}} stored, [0-9a-f]{{16}} computed"
    )
    assert re.fullmatch(pattern.format(re.escape(str(broken))), checksum)
    assert missing == f"{tmp_path / 'missing.ptf'}: No such file or directory"
    assert begins.startswith(f"{other}: FORMAT: the file begins with 4e6f7420")


def test_json(tmp_path: Path) -> None:
    good, broken = deck_ptf(tmp_path / "good.ptf", shared=True), flipped(deck_ptf(tmp_path / "broken.ptf"), 70)
    result = run("verify", good, broken, tmp_path, "--json")
    assert (result.exit_code, result.stderr) == (1, "")
    fine, bad, folder = json.loads(result.stdout)
    assert fine.pop("seconds") >= 0
    assert fine == {
        "file": str(good),
        "fine": True,
        "tensors": 6,
        "aliases": 2,
        "parameters": 121,
        "nbytes": 484,
        "file_bytes": good.stat().st_size,
    }
    assert (bad["fine"], bad["code"]) == (False, "CHECKSUM")
    assert folder == {"file": str(tmp_path), "fine": False, "code": None, "message": "Is a directory"}


def test_a_file_of_another_kind_by_its_content(tmp_path: Path) -> None:
    path = deck_safetensors(tmp_path / "deck.ptf")
    result = run("verify", path)
    assert (result.exit_code, result.stderr) == (0, "")
    said = r"fine \(safetensors, 4 tensors, 0 aliases, every byte read, \d+\.\d s\)"
    assert re.fullmatch(f"{re.escape(str(path))}: {said}\n", result.stdout)
    (verdict,) = json.loads(run("verify", path, "--json").stdout)
    assert verdict.pop("seconds") >= 0
    assert verdict == {
        "file": str(path),
        "fine": True,
        "format": "safetensors",
        "tensors": 4,
        "aliases": 0,
        "parameters": 49,
        "nbytes": 196,
        "file_bytes": path.stat().st_size,
        "warnings": [],
        "notes": [],
    }


ODD = {
    "nan": np.array([1, math.nan, math.nan], np.float32),
    "inf": np.array([math.inf, -math.inf, math.nan], np.float16),
    "zero": np.zeros((2, 3), np.float32),
    "fine": np.ones(3, np.float32),
    "scalar": np.zeros((), np.float32),
}
WARNINGS = {"nan": "2 NaN", "inf": "1 NaN, 2 infinite", "zero": "all 6 elements are zero"}


@pytest.mark.parametrize("suffix", [".ptf", ".safetensors", ".msgpack"])
def test_odd_numbers_are_warned_of(suffix: str, tmp_path: Path) -> None:
    ptformat.save_file(ODD, tmp_path / "odd.ptf")
    path = tmp_path / f"odd{suffix}"
    if suffix != ".ptf":
        copy(tmp_path / "odd.ptf", path)
    result = run("verify", path, "--values")
    assert (result.exit_code, result.stderr) == (0, "")
    head, *warnings = result.stdout.splitlines()
    assert ": fine (" in head
    assert sorted(warnings) == sorted(f"  warning   {name}: {text}" for name, text in WARNINGS.items())
    assert run("verify", path).stdout.count("\n") == (1 if suffix == ".ptf" else 4)


def test_a_foreign_file_that_is_cut_short(tmp_path: Path) -> None:
    path = deck_safetensors(tmp_path / "deck.safetensors")
    path.write_bytes(path.read_bytes()[:-1])
    result = run("verify", path)
    said = f"{path}: TRUNCATED: the header describes 196 bytes, 195 follow\n"
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", said)
