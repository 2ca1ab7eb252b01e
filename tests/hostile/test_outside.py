"""Nothing outside a directory is read, and nothing outside a target is written: as the system saw it, by strace."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

import ptformat
from hostile.judge import verdict
from hostile.outside import CASES, OUTSIDE, built, opened, referring
from hostile.seeds import seed
from ptformat.converters import copy
from ptformat.converters.files import open_source
from ptformat.tree import TensorInfo

TESTS = Path(__file__).parents[1]
READ = """
import json, sys
from pathlib import Path
from hostile.judge import verdict

print(json.dumps([verdict(Path(path)) for path in sys.argv[1:]]))
"""
COPY = """
import sys
from ptformat.converters import copy

for target in sys.argv[2:]:
    copy(sys.argv[1], target, max_shard_bytes=40)
"""


def traced(folder: Path, code: str, *args: object, to_write: bool = False) -> tuple[str, set[Path]]:
    """What Python code prints, and the files that it, tensorstore's threads included, opened."""
    log = folder / "log"
    strace = ["strace", "-f", "-s", "4096", "-e", "trace=open,openat,openat2,creat", "-o", str(log)]
    command = [*strace, sys.executable, "-c", code, *map(str, args)]
    scratch = {**os.environ, "TMPDIR": str(folder)}
    done = subprocess.run(command, cwd=TESTS, capture_output=True, text=True, timeout=300, env=scratch)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout, {Path(name).resolve() for name in opened(log.read_text(), to_write=to_write)}


def test_nothing_outside_a_directory_is_read(tmp_path: Path) -> None:
    paths = {name: built(name, tmp_path / str(number)) for number, name in enumerate(CASES)}
    told, files = traced(tmp_path, READ, *paths.values())
    assert dict(zip(CASES, json.loads(told), strict=True)) == {name: case.code for name, case in CASES.items()}
    assert [path for path in files if OUTSIDE in path.parts] == []
    assert tmp_path / "0" / "inside" / "x.index.json" in files  # the log is one


def cache(folder: Path) -> tuple[Path, Path]:
    """A snapshot as huggingface_hub lays it out, and the blob of its weights."""
    snapshot, blobs = folder / "models--x" / "snapshots" / "0123", folder / "models--x" / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    safetensors.numpy.save_file({"w": np.ones(3, np.float32)}, blobs / "0a1b")
    (blobs / "2c3d").write_bytes(b"{}")
    for name, blob in (("model.safetensors", "0a1b"), ("config.json", "2c3d"), ("sub/vocab.txt", "2c3d")):
        (snapshot / name).parent.mkdir(exist_ok=True)
        (snapshot / name).symlink_to(os.path.relpath(blobs / blob, (snapshot / name).parent))
    return snapshot, blobs / "0a1b"


def test_the_blobs_of_a_cache_are_read(tmp_path: Path) -> None:
    """The links that Hugging Face's own downloads consist of; and the log shows where they lead."""
    snapshot, blob = cache(tmp_path)
    told, files = traced(tmp_path, READ, snapshot)
    assert (json.loads(told), blob in files) == (["read"], True)
    copy(snapshot, tmp_path / "copied", durable=False)
    found = sorted(path for path in (tmp_path / "copied").rglob("*") if path.is_file())
    assert [str(path.relative_to(tmp_path / "copied")) for path in found] == [
        *("config.json", "model.safetensors", "sub/vocab.txt")
    ]
    assert not any(path.is_symlink() for path in found)


def test_a_link_that_the_user_names_is_followed(tmp_path: Path) -> None:
    """What is given may lie anywhere: it is what lies in it that must not lead out."""
    inside = tmp_path / "far" / "inside"
    for kind in ("huggingface", "orbax", "safetensors"):
        path = seed(kind).write(inside / kind)
        (tmp_path / kind).symlink_to(path)
        assert verdict(tmp_path / kind) == "read"


def test_links_within_a_directory_are_followed(tmp_path: Path) -> None:
    seed("huggingface").write(tmp_path / "h")
    seed("orbax").write(tmp_path / "o")
    for path in (tmp_path / "h" / "one.safetensors", tmp_path / "o" / "d", tmp_path / "o" / "_METADATA"):
        path.rename(path.with_name("real"))
        path.symlink_to("real")
        path.with_name("real").rename(path.with_name(f"real-{path.name}"))
        path.unlink()
        path.symlink_to(f"real-{path.name}")
    assert [verdict(tmp_path / "h"), verdict(tmp_path / "o")] == ["read", "read"]


def test_a_hard_link_is_a_file_of_its_directory(tmp_path: Path) -> None:
    """The system knows no difference."""
    seed("huggingface").write(tmp_path / "h")
    (tmp_path / "h" / "one.safetensors").rename(tmp_path / "elsewhere")
    (tmp_path / "h" / "one.safetensors").hardlink_to(tmp_path / "elsewhere")
    assert verdict(tmp_path / "h") == "read"


def test_the_attack_on_the_database_is_one(tmp_path: Path) -> None:
    """A manifest that was written anew is read, where its data lie within."""
    (tmp_path / OUTSIDE).mkdir()
    seed("orbax").write(tmp_path / "inside")
    path = referring("e/other")(tmp_path / "inside", tmp_path / OUTSIDE)
    (path / "e").mkdir()
    (tmp_path / OUTSIDE / "data").rename(path / "e" / "other")
    assert verdict(path) == "read"


NAMES = (
    *("../up", "../../etc/up", "/etc/absolute", "a/b", "a\\b", "C:\\x", "~", "con", "aux.txt", ".hidden", "..", "."),
    *("x" * 255, "x" * 1000, "ü" * 200, " ", "a\u202eb", "*", "a:b", "<>|?", "-rf", "$(id)", "{0}", "%s"),
)
TARGETS = ("o.safetensors", "o.npz", "o.msgpack", "o.pt", "o.ptf", "o.orbax", "shards")


def test_nothing_outside_a_target_is_written(tmp_path: Path) -> None:
    """Names of tensors are no names of files."""
    tree = {name: np.full(2, number, np.float32) for number, name in enumerate(NAMES)}
    ptformat.save_file(tree, tmp_path / "x.ptf")
    before = set(tmp_path.rglob("*"))
    targets = [tmp_path / "out" / name for name in TARGETS]
    (tmp_path / "out").mkdir()
    _, files = traced(tmp_path, COPY, tmp_path / "x.ptf", *targets, to_write=True)
    beyond = [path for path in files if not path.is_relative_to(tmp_path / "out") and path != Path("/dev/null")]
    assert beyond == []
    assert {path for path in tmp_path.rglob("*") if not path.is_relative_to(tmp_path / "out")} == before | {
        tmp_path / "log"
    }
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(TARGETS)
    for target in targets:
        found = open_source(target)
        held = {entry.path: found.array(entry.path)[0] for entry in found.entries if isinstance(entry, TensorInfo)}
        assert sorted(held.values()) == sorted(map(float, range(len(NAMES)))), target


@pytest.mark.parametrize("name", ["a\0b", "a\nb", "x" * 1025])
def test_names_that_no_file_has(name: str, tmp_path: Path) -> None:
    with pytest.raises(ptformat.FormatError) as caught:
        ptformat.save_file({name: np.ones(2)}, tmp_path / "x.ptf")
    assert (caught.value.code, list(tmp_path.iterdir())) == ("PATH", [])
