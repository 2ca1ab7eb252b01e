"""Every verb on every kind of file: the same tree, whatever holds it."""

import json
from pathlib import Path

import numpy as np
import pytest
from cli_files import arrays, deck_safetensors, run
from sources import read

from ptformat.dtypes import BY_NAME

KINDS = {
    "x.ptf": "ptf",
    "x.safetensors": "safetensors",
    "x.msgpack": "flax msgpack",
    "x.npz": "npz",
    "x.pt": "torch",
    "folder": "huggingface",
    "x.orbax": "orbax",
}


def held(folder: Path, name: str) -> Path:
    """The deck's net in this kind of file."""
    assert run("convert", deck_safetensors(folder / "deck.safetensors"), folder / name, "--quiet").exit_code == 0
    return folder / name


@pytest.mark.parametrize("name", KINDS)
def test_info_and_verify(name: str, tmp_path: Path) -> None:
    path = held(tmp_path, name)
    facts = json.loads(run("info", path, "--stats", "--values", "2.bias", "--json").stdout)
    size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file()) or path.stat().st_size
    assert (facts["format"], facts["tensors"], facts["parameters"]) == (KINDS[name], 4, 49)
    assert (facts["nbytes"], facts["file_bytes"]) == (196, size)
    assert facts["values"][0]["first"] == arrays()["2.bias"].tolist()
    assert {each["path"]: each["max"] for each in facts["statistics"]} == {
        path: float(array.max()) for path, array in arrays().items()
    }
    (verdict,) = json.loads(run("verify", path, "--json").stdout)
    assert (verdict["fine"], verdict["tensors"], verdict["parameters"], verdict["nbytes"]) == (True, 4, 49, 196)
    assert verdict.get("format", "ptf") == KINDS[name]


@pytest.mark.parametrize("name", KINDS)
def test_diff_and_edit(name: str, tmp_path: Path) -> None:
    path = held(tmp_path, name)
    same = run("diff", path, tmp_path / "deck.safetensors")
    assert (same.exit_code, "are the same: 4 tensors, every element equal" in same.stdout) == (0, True)
    out = tmp_path / f"out{path.suffix}"
    result = run("edit", path, out, "--rename", "0=first", "--drop", "2.bias", "--cast", "first.*=float16")
    assert (result.exit_code, "matches no floating tensor" in result.stderr) == (1, True)  # paths are those of SRC
    assert not out.exists()
    result = run("edit", path, out, "--rename", "0=first", "--drop", "2.bias", "--cast", "0.*=float16")
    assert (result.exit_code, result.stderr) == (0, "")
    found = read(out)
    assert sorted(found) == ["2.weight", "first.bias", "first.weight"]
    assert found["first.weight"].dtype == BY_NAME["float16"].numpy
    assert np.array_equal(found["first.weight"], arrays()["0.weight"].astype(np.float16))
    assert np.array_equal(found["2.weight"], arrays()["2.weight"])
    different = run("diff", path, out)
    assert (different.exit_code, " differ: 3 missing, 2 unexpected, 1 tensor equal, " in different.stdout) == (1, True)


def test_a_shard_that_is_missing(tmp_path: Path) -> None:
    source = deck_safetensors(tmp_path / "deck.safetensors")
    assert run("convert", source, tmp_path / "folder", "--max-shard-size", "100", "--quiet").exit_code == 0
    assert run("verify", tmp_path / "folder").exit_code == 0
    lost = sorted((tmp_path / "folder").glob("model-*.safetensors"))[0]
    lost.unlink()
    result = run("verify", tmp_path / "folder")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"{tmp_path / 'folder'}: TRUNCATED: the file '{lost.name}' is missing")
