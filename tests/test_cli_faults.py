"""What can go wrong outside the program, for every verb it can happen to: one line, no change, the right exit code."""

import errno
import os
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import flax.serialization
import numpy as np
import pytest
import safetensors.numpy
from cli_files import (
    PTF_ONLY,
    READING,
    WRITING,
    arrays,
    crafted_safetensors,
    deck_ptf,
    deck_safetensors,
    run,
    snapshot,
    spawn,
)

import ptformat

Make = Callable[[Path], Path]


def missing(folder: Path) -> Path:
    return folder / "missing.ptf"


def directory(folder: Path) -> Path:
    (folder / "models.ptf").mkdir()
    return folder / "models.ptf"


def beneath_a_file(folder: Path) -> Path:
    deck_ptf(folder / "deck.ptf")
    return folder / "deck.ptf" / "inner.ptf"


def pipe(folder: Path) -> Path:
    os.mkfifo(folder / "pipe.ptf")
    return folder / "pipe.ptf"


def empty(folder: Path) -> Path:
    (folder / "empty.ptf").write_bytes(b"")
    return folder / "empty.ptf"


def wrong_magic(folder: Path) -> Path:
    (folder / "text.ptf").write_bytes(b"Not a model\n" * 20)
    return folder / "text.ptf"


def changed(path: Path, change: Callable[[bytearray], object]) -> Path:
    data = bytearray(path.read_bytes())
    change(data)
    path.write_bytes(data)
    return path


def half(data: bytearray) -> None:
    del data[len(data) // 2 :]


def flip(data: bytearray, at: int) -> None:
    data[at] ^= 0x04


def truncated(folder: Path) -> Path:
    return changed(deck_ptf(folder / "half.ptf"), half)


def truncated_safetensors(folder: Path) -> Path:
    return changed(deck_safetensors(folder / "half.safetensors"), lambda data: data.__delitem__(slice(-100, None)))


def truncated_msgpack(folder: Path) -> Path:
    path = folder / "half.msgpack"
    path.write_bytes(flax.serialization.msgpack_serialize({"params": {"w": np.zeros(100, np.float32)}}))
    return changed(path, half)


def flipped_index(folder: Path) -> Path:
    return changed(deck_ptf(folder / "index.ptf"), lambda data: flip(data, -100))


def flipped_data(folder: Path) -> Path:
    return changed(deck_ptf(folder / "data.ptf"), lambda data: flip(data, 70))


def flipped_packed(folder: Path) -> Path:
    path = folder / "packed.ptf"
    with ptformat.Writer(path, codec="zstd", convention="torch") as out:
        out.tensor("0.weight", np.zeros((50, 40), np.float32))
        out.tensor("0.bias", np.zeros(50, np.float32))
    return changed(path, lambda data: flip(data, 70))


def unknown_dtype(folder: Path) -> Path:
    header = {"w": {"dtype": "F6_E2M3", "shape": [4], "data_offsets": [0, 3]}}
    return crafted_safetensors(folder / "new.safetensors", header, bytes(3))


SOURCES: list[tuple[Make, str, set[str]]] = [
    (missing, "No such file or directory", set()),
    (directory, "Is a directory", set()),
    (beneath_a_file, "Not a directory", set()),
    (pipe, "not a regular file", set()),
    (empty, "(FORMAT: the file is empty|MAGIC: the file begins with nothing, not 895054460d0a1a0a)", set()),
    (wrong_magic, "(FORMAT: the file begins with|MAGIC: the file begins with) 4e6f742061206d6f[:,] .*", set()),
    (truncated, "TRUNCATED: the last 8 bytes are [0-9a-f]{16}, not the magic 895054460d0a1a0a", set()),
    (truncated_safetensors, "TRUNCATED: the header describes 196 bytes, 96 follow", PTF_ONLY),
    (truncated_msgpack, r"TRUNCATED: msgpack byte \d+: \d+ bytes .*expected, \d+ bytes are left", PTF_ONLY),
    (flipped_index, "CHECKSUM: index: xxh3 [0-9a-f]{16} stored, [0-9a-f]{16} computed", set()),
    (
        flipped_data,
        r"CHECKSUM: tensor '0\.weight', chunk 0 at byte 64: xxh3 .* stored, .* computed",
        {"tree", "dry-run"},
    ),
    (
        flipped_packed,
        r"CHECKSUM: tensor '0\.weight', chunk 0 at byte 64: xxh3 .* stored, .* computed",
        {"tree", "dry-run"},
    ),
    (unknown_dtype, "DTYPE: tensor 'w': safetensors type 'F6_E2M3' is not known", PTF_ONLY),
]


@pytest.mark.parametrize(
    ("verb", "make", "says"),
    [
        pytest.param(verb, make, says, id=f"{make.__name__}-{verb}")
        for make, says, not_for in SOURCES
        for verb in READING
        if verb not in not_for
    ],
)
def test_a_bad_source(verb: str, make: Make, says: str, tmp_path: Path) -> None:
    source = make(tmp_path)
    args = READING[verb](source, tmp_path)
    for target in (arg for arg in args if arg.startswith(str(tmp_path / "out."))):
        Path(target).write_bytes(b"old")
    before = snapshot(tmp_path)
    result = run(*args)
    assert (result.exit_code, result.stdout) == (1, "")
    program = "" if verb == "verify" else "ptformat: "
    assert re.fullmatch(f"{program}{re.escape(str(source))}: {says}\n", result.stderr)
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("verb", READING)
def test_a_source_that_may_not_be_read(verb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = deck_ptf(tmp_path / "deck.ptf")
    before = snapshot(tmp_path)
    real = open

    def refusing(path: object, *args: object, **options: object) -> object:
        if path == str(source):  # as the system does, for all but root
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return real(path, *args, **options)  # type: ignore[call-overload]

    with monkeypatch.context() as patched:
        patched.setattr("builtins.open", refusing)
        result = run(*READING[verb](source, tmp_path))
    assert (result.exit_code, result.stdout) == (1, "")
    program = "" if verb == "verify" else "ptformat: "
    assert result.stderr == f"{program}{source}: Permission denied\n"
    assert snapshot(tmp_path) == before


def failed(
    verb: str, folder: Path, *, target: Path | None = None, fault: AbstractContextManager[object] | None = None
) -> tuple[Path, str]:
    """Run a writing verb, which must fail and change nothing; returns its target and its line."""
    source = deck_ptf(folder / "deck.ptf")
    args = READING[verb](source, folder)
    if target is None:
        Path(args[2]).write_bytes(b"old")
    else:
        args[2] = str(target)
    before = snapshot(folder)
    with fault or nullcontext():
        result = run(*args)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.count("\n") == 1
    assert snapshot(folder) == before
    return Path(args[2]), result.stderr


@contextmanager
def refusal(name: str, number: int) -> Iterator[None]:
    """Let a system call that writing makes fail; `write` takes half of what it gets first."""
    real = getattr(os, name)
    calls = []

    def refusing(*args: Any, **options: Any) -> object:
        if name == "open" and not args[1] & os.O_CREAT:
            return real(*args, **options)
        calls.append(args)
        if name == "write" and len(calls) == 1:
            return real(args[0], args[1][: len(args[1]) // 2])
        raise OSError(number, os.strerror(number))

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(os, name, refusing)
        yield
    assert calls


@pytest.mark.parametrize("verb", WRITING)
@pytest.mark.parametrize(
    ("call", "number"),
    [
        ("open", errno.EACCES),
        ("write", errno.ENOSPC),
        ("write", errno.EDQUOT),
        ("fsync", errno.EIO),
        ("replace", errno.EPERM),
    ],
    ids=["no permission", "disk full", "quota", "disk broken", "name taken"],
)
def test_a_system_that_refuses(verb: str, call: str, number: int, tmp_path: Path) -> None:
    target, line = failed(verb, tmp_path, fault=refusal(call, number))
    assert line == f"ptformat: {target}: {os.strerror(number)}\n"


@pytest.mark.parametrize("verb", WRITING)
def test_a_disk_that_fills_up(verb: str, tmp_path: Path) -> None:
    source = tmp_path / "large.ptf"
    with ptformat.Writer(source, convention="torch") as out:
        noise = np.random.default_rng(0).standard_normal((1000, 500)).astype(np.float32)
        out.tensor("0.weight", noise)
        out.tensor("0.bias", noise[:, 0])
    args = READING[verb](source, tmp_path)
    Path(args[2]).write_bytes(b"old")
    before = snapshot(tmp_path)
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))"
    done = spawn(*args, before=limit)  # of 2 MB the first half fits
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"ptformat: {args[2]}: {os.strerror(errno.EFBIG)}\n"
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("verb", WRITING)
def test_a_target_beneath_a_file(verb: str, tmp_path: Path) -> None:
    suffix = Path(READING[verb](tmp_path, tmp_path)[2]).suffix
    target, line = failed(verb, tmp_path, target=tmp_path / "deck.ptf" / f"out{suffix}")
    assert line == f"ptformat: {target}: Not a directory\n"


@pytest.mark.parametrize("verb", WRITING)
def test_a_target_in_a_folder_that_is_not_there(verb: str, tmp_path: Path) -> None:
    suffix = Path(READING[verb](tmp_path, tmp_path)[2]).suffix
    target, line = failed(verb, tmp_path, target=tmp_path / "nowhere" / f"out{suffix}")
    assert line == f"ptformat: {target}: No such file or directory\n"


@pytest.mark.parametrize("verb", WRITING)
def test_a_target_that_is_a_directory(verb: str, tmp_path: Path) -> None:
    suffix = Path(READING[verb](tmp_path, tmp_path)[2]).suffix
    (tmp_path / f"folder{suffix}").mkdir()
    target, line = failed(verb, tmp_path, target=tmp_path / f"folder{suffix}")
    assert line == f"ptformat: {target}: Is a directory\n"


def same(folder: Path, suffix: str) -> Path:
    return folder / f"deck{suffix}"


def spelled_otherwise(folder: Path, suffix: str) -> Path:
    (folder / "sub").mkdir()
    return folder / "sub" / ".." / f"deck{suffix}"


def symbolic_link(folder: Path, suffix: str) -> Path:
    (folder / f"link{suffix}").symlink_to(folder / f"deck{suffix}")
    return folder / f"link{suffix}"


def hard_link(folder: Path, suffix: str) -> Path:
    (folder / f"hard{suffix}").hardlink_to(folder / f"deck{suffix}")
    return folder / f"hard{suffix}"


@pytest.mark.parametrize("verb", [*WRITING, "dry-run"])
@pytest.mark.parametrize("make", [same, spelled_otherwise, symbolic_link, hard_link])
def test_a_target_that_is_the_source(
    verb: str, make: Callable[[Path, str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    args = READING[verb](tmp_path, tmp_path)
    suffix = Path(args[2]).suffix
    args[1] = str(deck_ptf(tmp_path / f"deck{suffix}"))
    args[2] = str(make(tmp_path, suffix))
    before = snapshot(tmp_path)
    monkeypatch.setattr("ptformat.backing.map_file", pytest.fail)  # refused before anything is read
    result = run(*args)
    assert (result.exit_code, result.stdout) == (2, "")
    verb = args[0]
    what = f"{args[2]}: source and target are the same file"
    assert result.stderr == f"ptformat: {verb}: {what}. Try 'ptformat {verb} --help'\n"
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("name", ["out.xyz", ".out", "out.ptf.gz"])
@pytest.mark.parametrize("verb", [*WRITING, "dry-run"])
def test_a_target_whose_name_says_nothing(verb: str, name: str, tmp_path: Path) -> None:
    args = READING[verb](tmp_path / "missing.ptf", tmp_path)  # known before the source is looked for
    args[2] = str(tmp_path / name)
    result = run(*args)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.count("\n") == 1
    assert str(tmp_path / name) in result.stderr
    assert ".ptf" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_pack_writes_a_ptf_alone(tmp_path: Path) -> None:
    source, target = deck_safetensors(tmp_path / "deck.safetensors"), tmp_path / "out.safetensors"
    result = run("pack", source, target)
    what = f"{target}: pack writes a .ptf file. For another kind: ptformat convert. Try 'ptformat pack --help'"
    assert (result.exit_code, result.stderr) == (2, f"ptformat: pack: {what}\n")


@pytest.mark.parametrize("verb", sorted(PTF_ONLY))
def test_a_file_of_another_kind(verb: str, tmp_path: Path) -> None:
    source = deck_safetensors(tmp_path / "deck.ptf")
    result = run(*READING[verb](source, tmp_path))
    assert (result.exit_code, result.stdout) == (1, "")
    assert re.fullmatch(rf"(ptformat: )?{re.escape(str(source))}: MAGIC: the file begins with .*\n", result.stderr)


def test_a_value_that_a_safetensors_file_cannot_hold(tmp_path: Path) -> None:
    source = tmp_path / "values.ptf"
    ptformat.save_file({"w": np.zeros(3, np.float32), "step": 7}, source)
    before = snapshot(tmp_path)
    result = run("unpack", source, tmp_path / "out.safetensors")
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert result.stderr.startswith(f"ptformat: {source}: TYPE: a .safetensors file cannot hold 1 value")
    assert snapshot(tmp_path) == before


def model(folder: Path, **shapes: tuple[int, ...]) -> Path:
    """A template: a flax file with tensors of these shapes beneath `params`."""
    tree: dict[str, dict[str, np.ndarray]] = {}
    for name, shape in shapes.items():
        module, _, leaf = name.partition("__")
        tree.setdefault(module, {})[leaf] = np.zeros(shape, np.float32)
    path = folder / "template.msgpack"
    path.write_bytes(flax.serialization.msgpack_serialize({"params": tree}))
    return path


def refused(folder: Path, template: Path, *more: str) -> list[str]:
    """Lines of a conversion of the deck that cannot be planned, dry or not; the first is the head."""
    source, target = deck_safetensors(folder / "deck.safetensors"), folder / "out.msgpack"
    target.write_bytes(b"old")
    before = snapshot(folder)
    args = ["convert", source, target, "--to", "linen", "--template", template, *more]
    result, dry, told = run(*args), run(*args, "--dry-run"), run(*args, "--json", "--quiet")
    assert (result.exit_code, result.stdout) == (1, "")
    assert (dry.exit_code, dry.stdout, dry.stderr) == (1, "", result.stderr)
    assert (told.exit_code, told.stdout, told.stderr) == (1, "", result.stderr)
    assert snapshot(folder) == before
    return result.stderr.splitlines()


def test_a_shape_that_does_not_fit_the_template(tmp_path: Path) -> None:
    shapes = {"layers_0__kernel": (4, 16), "layers_0__bias": (8,), "layers_2__kernel": (8, 1), "layers_2__bias": (1,)}
    head, problem = refused(tmp_path, model(tmp_path, **shapes))
    assert head == "ptformat: 1 problem, nothing written"
    assert re.match(r"  shape +0\.weight \(8, 4\)", problem)
    assert "(4, 16)" in problem
    assert "layers_0/kernel" in problem


def test_names_that_match_nothing(tmp_path: Path) -> None:
    shapes = {"body__kernel": (4, 8), "body__bias": (8,), "layers_2__kernel": (8, 1), "layers_2__bias": (1,)}
    head, *problems = refused(tmp_path, model(tmp_path, **shapes))
    assert head == f"ptformat: {len(problems)} problems, nothing written"
    assert all(re.match(r"  (missing|unexpected) +\S", line) for line in problems)
    text = "\n".join(problems)
    assert "0.weight (8, 4)" in text
    assert "body/kernel" in text
    assert "Try --" in text


def test_a_template_with_a_fault_of_its_own(tmp_path: Path) -> None:
    source = deck_safetensors(tmp_path / "deck.safetensors")
    args = ["convert", source, tmp_path / "out.msgpack", "--to", "linen", "--template"]
    for template, says in [
        (tmp_path / "missing.msgpack", "No such file or directory"),
        (tmp_path, "Is a directory"),
        (empty(tmp_path), "FORMAT: the file is empty"),
    ]:
        result = run(*args, template)
        assert (result.exit_code, result.stderr) == (1, f"ptformat: {template}: {says}\n")
    assert not (tmp_path / "out.msgpack").exists()


def test_names_that_become_one(tmp_path: Path) -> None:
    source = deck_safetensors(tmp_path / "deck.safetensors")
    result = run("convert", source, tmp_path / "o.msgpack", "--to", "linen", "--rename", "(0|2)=one")
    head, *problems = result.stderr.splitlines()
    assert (result.exit_code, head) == (1, "ptformat: 2 problems, nothing written")
    assert all(line.startswith("  ambiguous ") for line in problems)
    assert not (tmp_path / "o.msgpack").exists()


def test_the_source_of_a_failure_is_whole(tmp_path: Path) -> None:
    source = deck_safetensors(tmp_path / "deck.safetensors")
    assert run("convert", source, tmp_path / "nowhere" / "o.ptf").exit_code == 1
    np.testing.assert_array_equal(safetensors.numpy.load_file(source)["0.weight"], arrays()["0.weight"])
