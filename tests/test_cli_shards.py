"""Hugging Face directories on the command line: --max-shard-size, what is copied along, what is refused."""

import errno
import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from cli_files import arrays, deck_ptf, deck_safetensors, run, snapshot, spawn

import ptformat
from ptformat.cli import shards

INDEX = "model.safetensors.index.json"
SHARDS = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]


def model_directory(folder: Path) -> Path:
    folder.mkdir()
    deck_safetensors(folder / "model.safetensors")
    (folder / "config.json").write_text("{}")
    return folder


def held(folder: Path) -> dict[str, bytes]:
    """Name -> bytes of every tensor of every file."""
    found: dict[str, bytes] = {}
    for path in folder.glob("*.safetensors"):
        found |= {name: array.tobytes() for name, array in safetensors.numpy.load_file(path).items()}
    return found


ALL = {name: array.tobytes() for name, array in arrays().items()}


def test_convert_into_shards_and_back(tmp_path: Path) -> None:
    source, target = deck_safetensors(tmp_path / "deck.safetensors"), tmp_path / "model"
    result = run("convert", source, target, "--max-shard-size", "160B")
    assert (result.exit_code, result.stderr) == (0, "")
    assert re.fullmatch(rf"{re.escape(str(target))}  [\d.]+ k?B, 4 tensors, \d+\.\d s\n", result.stdout)
    assert sorted(path.name for path in target.iterdir()) == [*SHARDS, INDEX]
    assert held(target) == ALL
    for path in (target, target / INDEX):
        back = tmp_path / "back.safetensors"
        assert run("convert", path, back, "--quiet").output == ""
        assert {name: array.tobytes() for name, array in safetensors.numpy.load_file(back).items()} == ALL


def test_unpack_into_shards(tmp_path: Path) -> None:
    source, target = deck_ptf(tmp_path / "deck.ptf"), tmp_path / "model"
    assert run("unpack", source, target, "--max-shard-size", "0.16kB", "--quiet").output == ""
    assert sorted(path.name for path in target.iterdir()) == [*SHARDS, INDEX]
    result = run("unpack", source, f"{target}/")
    assert (result.exit_code, result.stderr) == (0, "")
    assert [path.name for path in target.iterdir()] == ["model.safetensors"]


def test_pack_a_directory(tmp_path: Path) -> None:
    source, target = model_directory(tmp_path / "model"), tmp_path / "model.ptf"
    assert run("pack", source, target, "--quiet").output == ""
    assert run("unpack", target, tmp_path / "out", "--quiet").output == ""
    assert (tmp_path / "out" / "model.safetensors").read_bytes() == (source / "model.safetensors").read_bytes()


def test_there_and_back_between_frameworks(tmp_path: Path) -> None:
    source = model_directory(tmp_path / "model")
    linen, back = tmp_path / "linen.ptf", tmp_path / "back"
    assert run("convert", source, linen, "--to", "linen").exit_code == 0
    result = run("convert", linen, back, "--to", "torch", "--max-shard-size", "160", "--json")
    written = json.loads(result.stdout)["written"]
    assert written["bytes"] == sum(path.stat().st_size for path in back.iterdir())
    assert (written["file"], written["tensors"]) == (str(back), 4)
    assert held(back) == ALL


def test_other_files_come_along(tmp_path: Path) -> None:
    source = model_directory(tmp_path / "model")
    assert run("convert", source, tmp_path / "copy").exit_code == 0
    assert snapshot(tmp_path / "copy") == snapshot(source)


def test_the_tree_of_a_directory(tmp_path: Path) -> None:
    source = model_directory(tmp_path / "model")
    head, *_ = run("tree", source).stdout.splitlines()
    assert head == f"{source} · huggingface · torch · 49 parameters · 196 B"


@pytest.mark.parametrize(
    ("given", "nbytes"),
    [("5GB", 5 * 10**9), ("200mb", 200 * 10**6), ("1.5 GiB", 3 * 2**29), ("7", 7), ("1k", 1000), ("2TiB", 2**41)],
)
def test_sizes(given: str, nbytes: int) -> None:
    assert shards.parse(given) == nbytes


@pytest.mark.parametrize("given", ["", "0", "-5", "5 gigs", "GB", "0.1B", "1e9", "٣GB", "nan", "9" * 16])
def test_what_is_no_size(given: str, tmp_path: Path) -> None:
    source = deck_safetensors(tmp_path / "deck.safetensors")
    result = run("convert", source, tmp_path / "m", "--max-shard-size", given)
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    assert "is no size such as 5GB, 200MB or 1GiB" in result.stderr
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize("verb", ["convert", "unpack"])
def test_a_file_has_no_shards(verb: str, tmp_path: Path) -> None:
    source, target = deck_ptf(tmp_path / "deck.ptf"), tmp_path / "out.safetensors"
    result = run(verb, source, target, "--max-shard-size", "1GB")
    what = f"--max-shard-size: {target} is no Hugging Face directory: a name without a suffix"
    assert (result.exit_code, result.stderr) == (2, f"ptformat: {verb}: {what}. Try 'ptformat {verb} --help'\n")
    assert not target.exists()


def test_a_directory_that_holds_more_is_not_replaced(tmp_path: Path) -> None:
    source, target = deck_ptf(tmp_path / "deck.ptf"), model_directory(tmp_path / "model")
    before = snapshot(tmp_path)
    result = run("unpack", source, target)
    what = f"FORMAT: {target} holds 'config.json', which would be lost; give another name"
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", f"ptformat: {source}: {what}\n")
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("before", [True, False])
def test_a_disk_that_fills_up(before: bool, tmp_path: Path) -> None:
    source, target = tmp_path / "large.ptf", tmp_path / "model"
    ptformat.save_file({"a.w": np.zeros(1000), "b.w": np.zeros(200_000)}, source)
    if before:
        assert run("convert", deck_ptf(tmp_path / "deck.ptf"), target).exit_code == 0
    held_before = snapshot(tmp_path)
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))"
    done = spawn("convert", source, target, "--max-shard-size", "20kB", before=limit)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"ptformat: {target / SHARDS[1]}: {os.strerror(errno.EFBIG)}\n"
    assert snapshot(tmp_path) == held_before


@pytest.mark.parametrize("verb", ["convert", "pack", "tree"])
def test_a_shard_that_is_missing(verb: str, tmp_path: Path) -> None:
    source = tmp_path / "model"
    source.mkdir()
    (source / INDEX).write_text(json.dumps({"weight_map": {"a": "gone.safetensors"}}))
    more = {"convert": [tmp_path / "out"], "pack": [tmp_path / "out.ptf"], "tree": []}[verb]
    result = run(verb, source, *more)
    what = f"TRUNCATED: the file 'gone.safetensors' is missing from {source}"
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", f"ptformat: {source}: {what}\n")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
