"""A directory appears whole under its name or not at all, and one that gives way comes back after an error."""

import errno
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

import ptformat
from ptformat.converters.files import folder
from ptformat.converters.files.folder import whole_folder


def anything(path: Path) -> bool:
    return True


def held(path: Path) -> dict[str, str]:
    return {str(each.relative_to(path)): each.read_text() for each in sorted(path.rglob("*")) if each.is_file()}


@pytest.fixture
def old(tmp_path: Path) -> Path:
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "old").write_text("old")
    return tmp_path / "x"


@pytest.mark.parametrize("durable", [False, True])
def test_a_new_name(durable: bool, tmp_path: Path) -> None:
    with whole_folder(tmp_path / "x", anything, durable=durable) as made:
        (made / "sub").mkdir()
        (made / "sub" / "new").write_text("new")
        assert not (tmp_path / "x").exists()
    assert held(tmp_path) == {"x/sub/new": "new"}


@pytest.mark.parametrize("durable", [False, True])
def test_one_that_gives_way(durable: bool, old: Path) -> None:
    with whole_folder(old, anything, durable=durable) as made:
        (made / "new").write_text("new")
        assert held(old) == {"old": "old"}
    assert held(old.parent) == {"x/new": "new"}


def test_one_that_does_not_give_way(old: Path) -> None:
    with (
        pytest.raises(ptformat.FormatError, match="of another kind and not empty") as caught,
        whole_folder(old, lambda path: not (path / "old").exists()),
    ):
        raise AssertionError("never entered")
    assert (caught.value.code, held(old.parent)) == ("FORMAT", {"x/old": "old"})


@pytest.mark.parametrize("there", [False, True])
def test_a_rename_that_fails(there: bool, old: Path) -> None:
    """Whoever fills the directory takes it away: the error names the target, and what was there is there again."""
    if not there:
        shutil.rmtree(old)
    with pytest.raises(FileNotFoundError) as caught, whole_folder(old, anything, durable=False) as made:
        shutil.rmtree(made)
    assert (caught.value.filename, caught.value.filename2) == (str(old), None)
    assert held(old.parent) == ({"x/old": "old"} if there else {})


def test_an_error_within_names_the_target(old: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught, whole_folder(old, anything) as made:
        (made / "sub" / "new").write_text("new")
    assert caught.value.filename == str(old / "sub" / "new")
    with pytest.raises(FileNotFoundError) as caught, whole_folder(old, anything) as made:
        (old.parent / "elsewhere").read_text()
    assert caught.value.filename == str(old.parent / "elsewhere")
    assert [each.name for each in old.parent.iterdir()] == ["x"]


def test_a_file_of_that_name_and_a_parent_that_is_not_there(old: Path) -> None:
    for path, number in ((old / "old", errno.ENOTDIR), (old / "none" / "x", errno.ENOENT)):
        with pytest.raises(OSError) as caught, whole_folder(path, anything):
            raise AssertionError("never entered")
        assert (caught.value.errno, caught.value.filename) == (number, str(path))
    assert held(old.parent) == {"x/old": "old"}


@pytest.mark.parametrize("synced", [True, False])
def test_names_are_put_on_disk_where_a_directory_can_be(
    synced: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each file, each directory, and the one that holds them; on Windows none of it."""
    done: list[Any] = []
    real = os.fsync

    def fsync(fd: int) -> None:
        done.append(os.readlink(f"/proc/self/fd/{fd}"))
        real(fd)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(folder, "_SYNCED", synced)
    with whole_folder(tmp_path / "x", anything) as made:
        (made / "sub").mkdir()
        (made / "sub" / "new").write_text("new")
    expected = [str(made), str(made / "sub"), str(made / "sub" / "new"), str(tmp_path)] if synced else []
    assert sorted(done) == sorted(expected)
    assert held(tmp_path) == {"x/sub/new": "new"}
