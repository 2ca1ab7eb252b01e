import json
import re
from pathlib import Path

import numpy as np
import pytest
import safetensors
import safetensors.numpy
from cli_files import arrays, deck_ptf, deck_safetensors, run, snapshot

import ptformat
from ptformat.dtypes import BY_NAME


def test_everything_at_once(tmp_path: Path) -> None:
    deck, out = deck_safetensors(tmp_path / "deck.safetensors"), tmp_path / "out.safetensors"
    changes = ["--rename", r"(\d)\.weight=layer\1.w", "--drop", "2.bias", "--cast", "0.*=bfloat16"]
    result = run("edit", deck, out, *changes, "--metadata", "note=a=b", "--metadata", "format")
    assert (result.exit_code, result.stderr) == (0, "")
    renamed, dropped, cast, written = result.stdout.splitlines()
    assert (renamed, dropped) == ("renamed   2 names", "dropped   1 name")
    rounded = sum(int((a.astype(BY_NAME["bfloat16"].numpy) != a).sum()) for n, a in arrays().items() if n[0] == "0")
    assert cast == f"cast      2 tensors float32 → bfloat16, {rounded} elements rounded"
    assert re.fullmatch(rf"{re.escape(str(out))}  \d+ B, 3 tensors, \d\.\d s", written)
    found = safetensors.numpy.load_file(out)
    assert sorted(found) == ["0.bias", "layer0.w", "layer2.w"]
    assert found["layer2.w"].tobytes() == arrays()["2.weight"].tobytes()
    assert found["layer0.w"].tobytes() == arrays()["0.weight"].astype(BY_NAME["bfloat16"].numpy).tobytes()
    with safetensors.safe_open(out, "numpy") as file:
        assert file.metadata()["note"] == "a=b"


def test_tie_and_untie(tmp_path: Path) -> None:
    deck = deck_ptf(tmp_path / "deck.ptf", shared=True)
    assert run("edit", deck, tmp_path / "apart.ptf", "--untie", "4.weight", "--untie", "4.bias").exit_code == 0
    with ptformat.open(tmp_path / "apart.ptf") as file:
        assert file.aliases == {}
    tied = ["--tie", "2.weight=4.weight", "--tie", "2.bias=4.bias"]
    assert run("edit", tmp_path / "apart.ptf", tmp_path / "tied.ptf", *tied, "--quiet").output == ""
    assert (tmp_path / "tied.ptf").read_bytes() == deck.read_bytes()


def test_what_a_cast_loses_is_said(tmp_path: Path) -> None:
    ptformat.save_file({"w": np.array([1e6, 1e-9, 3, np.inf], np.float32)}, tmp_path / "in.ptf")
    result = run("edit", tmp_path / "in.ptf", tmp_path / "out.ptf", "--cast", "w=float16")
    assert result.stdout.splitlines()[:2] == [
        "cast      1 tensor float32 → float16, 2 elements rounded",
        "warning   w: 1 element too large for float16, 1 element became 0 in float16",
    ]
    result = run("edit", tmp_path / "in.ptf", tmp_path / "out.ptf", "--cast", "w=float8_e4m3fn", "--json")
    facts = json.loads(result.stdout)
    assert facts.pop("seconds") >= 0
    assert facts == {
        "file": str(tmp_path / "out.ptf"),
        "bytes": (tmp_path / "out.ptf").stat().st_size,
        "tensors": 1,
        "repeated": 0,
        "renamed": {},
        "dropped": [],
        "casts": {
            "w": {
                "source": "float32",
                "target": "float8_e4m3fn",
                "rounded": 2,
                "overflowed": 1,
                "vanished": 1,
                "lost": 1,
            }
        },
        "notes": [],
    }


def test_compressed_on_request(tmp_path: Path) -> None:
    ptformat.save_file({"w": np.zeros(100_000, np.float32)}, tmp_path / "in.ptf")
    sizes = []
    for more in ([], ["--compress"]):
        assert run("edit", tmp_path / "in.ptf", tmp_path / "out.ptf", "--metadata", "a=b", *more).exit_code == 0
        sizes.append((tmp_path / "out.ptf").stat().st_size)
    assert sizes[0] > 400_000 > 10_000 > sizes[1]


def test_every_problem_and_no_file(tmp_path: Path) -> None:
    deck, out = deck_ptf(tmp_path / "deck.ptf"), tmp_path / "out.ptf"
    out.write_bytes(b"old")
    before = snapshot(tmp_path)
    changes = ["--drop", "7.*", "--cast", "*=int8", "--tie", "0.bias=2.bias", "--untie", "0.bias"]
    for more in ([], ["--json"], ["--quiet"]):
        result = run("edit", deck, out, *changes, *more)
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr.splitlines() == [
            "ptformat: 4 problems, nothing written",
            "  unused        --untie '0.bias': it is tied to nothing",
            "  shape         --tie '0.bias=2.bias': 0.bias is (8,) float32, 2.bias is (1,) float32",
            "  unused        --drop '7.*' matches no tensor and no value",
            "  dtype         --cast '*=int8': only between floating types; int8 is none",
        ]
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize(
    ("args", "says"),
    [
        ([], "nothing to change. For the same tree in another file: ptformat convert"),
        (["--cast", "float16"], "Invalid value for '--cast': 'float16' is not of the form GLOB=DTYPE"),
        (["--tie", "=a"], "Invalid value for '--tie': '=a' is not of the form A=B"),
        (["--rename", "(=x"], "Invalid value for '--rename': '(' is no regular expression"),
        (["--metadata", "=v"], "Invalid value for '--metadata': '=v' has no key, or one that was given before"),
    ],
)
def test_wrong_usage(args: list[str], says: str, tmp_path: Path) -> None:
    result = run("edit", deck_ptf(tmp_path / "deck.ptf"), tmp_path / "out.ptf", *args)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"ptformat: edit: {says}")
    assert not (tmp_path / "out.ptf").exists()


def test_ties_that_the_target_cannot_hold(tmp_path: Path) -> None:
    deck = deck_ptf(tmp_path / "deck.ptf", shared=True)
    note, *_ = run("edit", deck, tmp_path / "out.msgpack", "--drop", "0.*").stdout.splitlines()
    assert note == f"note      {tmp_path / 'out.msgpack'} cannot hold these ties: 2 tied tensors written again"
