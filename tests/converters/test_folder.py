"""A directory that is replaced as a whole: in one step where the system can, and whole whatever fails."""

import errno
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_files import snapshot, spawn

import ptformat
from ptformat.converters import copy
from ptformat.converters.files import folder as module
from ptformat.converters.files.exchange import exchange
from ptformat.converters.files.folder import whole_folder

OLD, NEW = {"a": b"old", "sub": None, "sub/b": b"old too"}, {"a": b"new"}


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """A directory that is there already."""
    path = tmp_path / "model"
    (path / "sub").mkdir(parents=True)
    (path / "a").write_bytes(b"old")
    (path / "sub" / "b").write_bytes(b"old too")
    return path


def put(path: Any, **options: bool) -> None:
    with whole_folder(path, lambda _: True, **options) as made:
        (made / "a").write_bytes(b"new")


def whole(path: Path, content: dict[str, Any]) -> None:
    """The directory has this content, and nothing else is beside it."""
    assert snapshot(path) == content
    assert list(path.parent.iterdir()) == [path]


def failing(number: int, real: Any, numbers: tuple[int, ...] = (1,)) -> Any:
    """Fails with `number` at its calls of these numbers."""
    calls = []

    def call(*args: Any, **options: Any) -> Any:
        calls.append(args)
        if len(calls) in numbers:
            raise OSError(number, os.strerror(number), str(args[0]))
        return real(*args, **options)

    return call


def test_names_are_exchanged(target: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    assert exchange(str(target), str(tmp_path / "other"))
    assert (snapshot(target), snapshot(tmp_path / "other")) == ({}, OLD)
    with pytest.raises(FileNotFoundError) as caught:
        exchange(str(target), str(tmp_path / "missing"))
    assert caught.value.filename == str(target)


def test_a_directory_is_replaced_without_a_moment_in_which_it_is_gone(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "rename", pytest.fail)
    put(target)
    whole(target, NEW)


@pytest.mark.parametrize("durable", [True, False])
def test_where_names_cannot_be_exchanged(durable: bool, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "exchange", lambda *names: False)
    put(target, durable=durable)
    whole(target, NEW)


def test_a_file_system_without_exchange(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the system says of a call or a flag that it does not know is no error."""
    library = type("Library", (), {"renameat2": lambda *args: -1})
    for number in (errno.ENOSYS, errno.EINVAL):
        monkeypatch.setattr("ptformat.converters.files.exchange._renameat2", lambda: library.renameat2)
        monkeypatch.setattr("ctypes.get_errno", lambda number=number: number)
        assert not exchange(str(target), str(target))
    monkeypatch.setattr("ptformat.converters.files.exchange._renameat2", lambda: None)
    assert not exchange(str(target), str(target))


def test_an_exchange_that_fails(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "exchange", failing(errno.EIO, exchange))
    with pytest.raises(OSError, match="Input/output error") as caught:
        put(target)
    assert caught.value.filename == str(target)
    whole(target, OLD)


def test_another_save_that_was_first_is_replaced(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It gave its directory the name after this one had looked whether there is one."""
    shutil.rmtree(target)
    with monkeypatch.context() as patched, whole_folder(target, lambda _: True) as made:
        (made / "a").write_bytes(b"new")
        target.mkdir()
        (target / "a").write_bytes(b"first")
        patched.setattr(Path, "is_dir", lambda path: False)
    whole(target, NEW)


def test_a_rename_that_fails_puts_the_old_one_back(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "exchange", lambda *names: False)
    monkeypatch.setattr(Path, "rename", failing(errno.EIO, Path.rename, (2,)))
    with pytest.raises(OSError, match="Input/output error") as caught:
        put(target)
    assert caught.value.filename == str(target)
    whole(target, OLD)


def test_an_old_one_that_cannot_be_put_back_is_named(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "exchange", lambda *names: False)
    monkeypatch.setattr(Path, "rename", failing(errno.EIO, Path.rename, (2, 3)))
    with pytest.raises(OSError, match="Input/output error; what was there is now ") as caught:
        put(target)
    assert caught.value.filename == str(target)
    kept = Path(str(caught.value.strerror).rpartition(" ")[2])
    whole(kept, OLD)


def test_nothing_old_is_removed_before_the_new_name_is_on_disk(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, str]] = []
    sync, remove = module._sync_one, shutil.rmtree
    monkeypatch.setattr(module, "_sync_one", lambda path: (seen.append(("sync", path.name)), sync(path)))
    monkeypatch.setattr(shutil, "rmtree", lambda path, **o: (seen.append(("remove", "")), remove(path, **o)))
    put(target)
    assert [what for what, _ in seen] == ["sync", "sync", "sync", "remove"]
    assert [name for _, name in seen[:3]][::2] == ["a", target.parent.name]
    whole(target, NEW)


def test_a_parent_that_cannot_be_synced(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The new one has the name then, and nothing is left of the old one."""
    monkeypatch.setattr(os, "fsync", failing(errno.EIO, os.fsync, (3,)))
    with pytest.raises(OSError, match="Input/output error") as caught:
        put(target)
    assert caught.value.filename == str(target)
    whole(target, NEW)


@pytest.mark.parametrize(("number", "name"), [(1, "/a"), (2, "")])
def test_a_file_that_cannot_be_synced_is_named(
    number: int, name: str, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fsync(fd: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    real, calls = os.fsync, []
    monkeypatch.setattr(os, "fsync", lambda fd: (calls.append(fd), (fsync if len(calls) == number else real)(fd)))
    with pytest.raises(OSError, match="Input/output error") as caught:
        put(target)
    assert caught.value.filename == f"{target}{name}"
    whole(target, OLD)


def test_a_removal_that_fails_does_not_hide_the_error(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "rmtree", failing(errno.EIO, shutil.rmtree))
    with pytest.raises(KeyError), whole_folder(target, lambda _: True):
        raise KeyError
    assert snapshot(target) == OLD
    monkeypatch.setattr(shutil, "rmtree", failing(errno.EIO, shutil.rmtree))
    put(target)
    assert snapshot(target) == NEW


@pytest.mark.parametrize("name", ["link", "link/"])
def test_a_link_to_a_directory_stays_a_link(name: str, target: Path) -> None:
    (target.parent / "link").symlink_to("model")
    put(f"{target.parent}/{name}")
    assert os.readlink(target.parent / "link") == "model"
    assert snapshot(target) == NEW
    assert sorted(os.listdir(target.parent)) == ["link", "model"]


def test_a_link_that_cannot_be_read_is_not_replaced(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (target.parent / "link").symlink_to("model")
    monkeypatch.setattr(os, "readlink", failing(errno.EIO, os.readlink))
    with pytest.raises(OSError, match="Input/output error") as caught:
        put(target.parent / "link")
    assert caught.value.filename == str(target.parent / "link")
    assert snapshot(target) == OLD
    assert sorted(os.listdir(target.parent)) == ["link", "model"]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A Hugging Face directory with a config beside its shards, a folder of its own around it."""
    home = tmp_path / "from"
    home.mkdir()
    ptformat.save_file({f"{i}.w": np.full(100, i, np.float32) for i in range(4)}, home / "x.ptf", convention="torch")
    copy(home / "x.ptf", home / "model", max_shard_bytes=500)
    (home / "model" / "config.json").write_text("{}")
    (home / "x.ptf").unlink()
    return home / "model"


@pytest.mark.parametrize("call", ["listdir", "scandir"])
def test_a_source_that_cannot_be_listed_loses_no_config(
    call: str, source: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot be seen beside the weights is not left out without a word."""
    real, seen = getattr(os, call), []

    def unlisted(path: Any) -> Any:
        if str(path) == str(source):
            seen.append(path)
            if len(seen) > (call == "listdir") * 2:  # twice while it is opened
                raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
        return real(path)

    shutil.rmtree(target)
    monkeypatch.setattr(os, call, unlisted)
    with pytest.raises(OSError, match="Input/output error") as caught:
        copy(source, target)
    assert seen
    assert caught.value.filename == str(source)
    assert not target.exists()


def test_a_source_whose_weights_go_while_it_is_opened(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = iter([["model.safetensors"], []])
    monkeypatch.setattr(os, "listdir", lambda path: next(names))
    with pytest.raises(FileNotFoundError, match="the weights are gone") as caught:
        copy(source, source.parent / "x.ptf")
    assert caught.value.filename == str(source)


@pytest.mark.parametrize("suffix", ["", ".orbax"])
def test_a_disk_that_fills_up(suffix: str, source: Path, tmp_path: Path) -> None:
    target = tmp_path / f"out{suffix}"
    before = snapshot(tmp_path)
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))"
    done = spawn("convert", source, target, before=limit)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"ptformat: {target}")
    assert done.stderr.endswith(f": {os.strerror(errno.EFBIG)}\n")
    assert done.stderr.count("\n") == 1
    assert snapshot(tmp_path) == before


def test_a_companion_that_cannot_be_copied_names_the_file_that_failed(source: Path, tmp_path: Path) -> None:
    (source / "config.json").write_bytes(bytes(3000))
    before = snapshot(tmp_path)
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))"
    done = spawn("convert", source, tmp_path / "out", "--max-shard-size", "500", before=limit)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"ptformat: {tmp_path / 'out' / 'config.json'}: {os.strerror(errno.EFBIG)}\n"
    assert snapshot(tmp_path) == before


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
    monkeypatch.setattr(module, "_WINDOWS", not synced)
    with whole_folder(tmp_path / "x", anything) as made:
        (made / "sub").mkdir()
        (made / "sub" / "new").write_text("new")
    expected = [str(made), str(made / "sub"), str(made / "sub" / "new"), str(tmp_path)] if synced else []
    assert sorted(done) == sorted(expected)
    assert held(tmp_path) == {"x/sub/new": "new"}
