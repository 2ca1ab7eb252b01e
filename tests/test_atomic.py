import errno
import os
import stat

import numpy as np
import pytest

import ptformat
from ptformat import atomic
from ptformat.atomic import AtomicFile

OLD = b"the old file, whole"
TREE = {"a": np.arange(100_000), "b": {"c": 1}}
NEW = ptformat.save(TREE)


@pytest.fixture
def path(tmp_path):
    """A file that is there already."""
    (tmp_path / "x.ptf").write_bytes(OLD)
    return tmp_path / "x.ptf"


def whole(path, content):
    """The file has this content, and nothing else is in its directory."""
    assert path.read_bytes() == content
    assert list(path.parent.iterdir()) == [path]


def calls(monkeypatch):
    """The calls to fsync, replace and close, in order; fsync says of what."""
    seen = []
    fsync, replace = os.fsync, os.replace

    def record_fsync(fd):
        seen.append("fsync directory" if stat.S_ISDIR(os.fstat(fd).st_mode) else "fsync file")
        fsync(fd)

    def record_replace(source, target):
        seen.append("replace")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", record_fsync)
    monkeypatch.setattr(os, "replace", record_replace)
    return seen


@pytest.mark.parametrize(
    ("durable", "expected"), [(True, ["fsync file", "replace", "fsync directory"]), (False, ["replace"])]
)
def test_durable(durable, expected, path, monkeypatch):
    seen = calls(monkeypatch)
    ptformat.save_file(TREE, path, durable=durable)
    assert seen == expected
    whole(path, NEW)


def test_durable_is_the_default(path, monkeypatch):
    seen = calls(monkeypatch)
    ptformat.save_file(TREE, path)
    assert len(seen) == 3


def test_short_writes_are_repeated(path, monkeypatch):
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[: max(1, len(data) // 3)]))
    ptformat.save_file(TREE, path)
    whole(path, NEW)


def failing(number, kind, real):
    """Fails at its `number`-th call."""
    count = 0

    def call(*args):
        nonlocal count
        count += 1
        if count == number:
            raise OSError(kind, os.strerror(kind))
        return real(*args)

    return call


@pytest.mark.parametrize("number", range(1, 7))
def test_a_full_disk_at_every_write(number, path, monkeypatch):
    """Preamble, data, gap and data, gap of the next, index and trailer are six writes, when none is held."""
    monkeypatch.setattr(atomic, "SMALL_BYTES", 0)
    monkeypatch.setattr(os, "write", failing(number, errno.ENOSPC, os.write))
    with pytest.raises(OSError, match="No space left") as caught:
        ptformat.save_file({"a": np.arange(3), "b": np.arange(2), "c": np.zeros(0)}, path)
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(path))
    whole(path, OLD)


def test_small_writes_are_held(path, monkeypatch):
    seen, write = [], os.write
    monkeypatch.setattr(os, "write", lambda fd, data: seen.append(len(data)) or write(fd, data))
    small, large = bytes(range(250)), bytes(atomic.SMALL_BYTES)
    with AtomicFile(path) as file:
        for _ in range(3000):
            file.write(small)
        file.write(large)
        file.write(small)
        assert file.position == 3001 * 250 + len(large)
    full = -(-atomic.HELD_BYTES // 250) * 250
    assert seen == [full, full, 750_000 - 2 * full, len(large), 250]
    whole(path, small * 3000 + large + small)


def test_a_full_disk_for_what_was_held(path, monkeypatch):
    """The error comes with the end of the block at the latest."""
    monkeypatch.setattr(os, "write", failing(1, errno.ENOSPC, os.write))
    file = AtomicFile(path)
    file.write(b"new")
    with pytest.raises(OSError, match="No space left") as caught:
        file.commit()
    assert caught.value.filename == str(path)
    whole(path, OLD)


@pytest.mark.parametrize("call", ["fsync", "replace", "close"])
def test_a_failure_at_the_end_leaves_the_old_file(call, path, monkeypatch):
    real = getattr(os, call)
    monkeypatch.setattr(os, call, failing(1, errno.EIO, real))
    with pytest.raises(OSError, match="Input/output error") as caught:
        ptformat.save_file(TREE, path)
    assert caught.value.filename == str(path)
    monkeypatch.undo()
    whole(path, OLD)


def test_a_failed_fsync_is_not_repeated(path, monkeypatch):
    count = []

    def fsync(fd):
        count.append(fd)
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match="Input/output error"):
        ptformat.save_file(TREE, path)
    assert len(count) == 1
    whole(path, OLD)


def test_a_failed_fsync_of_the_directory_leaves_the_new_file(path, monkeypatch):
    monkeypatch.setattr(os, "fsync", failing(2, errno.EIO, os.fsync))
    with pytest.raises(OSError, match="Input/output error"):
        ptformat.save_file(TREE, path)
    whole(path, NEW)


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, MemoryError])
def test_an_exception_in_the_block_leaves_the_old_file(error, path):
    with pytest.raises(error), ptformat.Writer(path) as out:
        out.tensor("a", np.zeros(100))
        raise error
    whole(path, OLD)


def test_an_exception_leaves_no_new_file(tmp_path):
    with pytest.raises(RuntimeError), ptformat.Writer(tmp_path / "x.ptf") as out:
        out.tensor("a", np.zeros(100))
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o000])
def test_mode_of_a_new_file_is_the_umasks(mask, tmp_path):
    before = os.umask(mask)
    try:
        ptformat.save_file({}, tmp_path / "x.ptf")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "x.ptf").stat().st_mode) == 0o666 & ~mask


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o664, 0o400])
def test_mode_of_a_replaced_file_stays(mode, path):
    path.chmod(mode)
    ptformat.save_file(TREE, path)
    assert stat.S_IMODE(path.stat().st_mode) == mode
    whole(path, NEW)


def test_a_symbolic_link_stays_a_link(tmp_path):
    target = tmp_path / "deep" / "target.ptf"
    target.parent.mkdir()
    link = tmp_path / "link.ptf"
    link.symlink_to("deep/target.ptf")
    for _ in range(2):  # first it points nowhere, then at a file
        ptformat.save_file(TREE, link)
        assert link.is_symlink()
        whole(target, NEW)


@pytest.mark.parametrize("number", [1, 2])
def test_a_link_that_cannot_be_read_is_not_replaced(number, path, monkeypatch):
    """x.ptf is behind two links; what is not known to be no link is not taken for the file."""
    links = {"one.ptf": "two.ptf", "two.ptf": "x.ptf"}
    for link, to in links.items():
        (path.parent / link).symlink_to(to)
    monkeypatch.setattr(os, "readlink", failing(number, errno.EIO, os.readlink))
    with pytest.raises(OSError, match="Input/output error") as caught:
        ptformat.save_file(TREE, path.parent / "one.ptf")
    monkeypatch.undo()
    assert caught.value.filename == str(path.parent / "one.ptf")
    assert {link: os.readlink(path.parent / link) for link in links} == links
    assert path.read_bytes() == OLD
    assert len(list(path.parent.iterdir())) == 3


def test_links_in_a_circle(tmp_path):
    for link, to in (("a.ptf", "b.ptf"), ("b.ptf", "a.ptf")):
        (tmp_path / link).symlink_to(to)
    with pytest.raises(OSError, match="Too many levels of symbolic links") as caught:
        ptformat.save_file(TREE, tmp_path / "a.ptf")
    assert caught.value.filename == str(tmp_path / "a.ptf")
    assert sorted(os.listdir(tmp_path)) == ["a.ptf", "b.ptf"]


def test_a_name_is_that_of_the_folder_in_which_the_save_began(tmp_path, monkeypatch):
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path)
    with ptformat.Writer("x.ptf") as out:
        monkeypatch.chdir(tmp_path / "other")
        out.tensor("a", TREE["a"])
    assert sorted(os.listdir(tmp_path)) == ["other", "x.ptf"]
    assert os.listdir(tmp_path / "other") == []


@pytest.mark.parametrize("name", ["x.ptf/", "new.ptf/"])
def test_a_file_is_not_written_under_the_name_of_a_directory(name, path):
    with pytest.raises(OSError, match=r"No such file or directory|Not a directory") as caught:
        ptformat.save_file(TREE, f"{path.parent}/{name}")
    assert caught.value.filename == f"{path.parent}/{name}"
    whole(path, OLD)


def test_a_directory_as_target(tmp_path):
    with pytest.raises(IsADirectoryError) as caught:
        ptformat.save_file(TREE, tmp_path)
    assert caught.value.filename == str(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_device_as_target():
    with pytest.raises(OSError, match="not a regular file"):
        ptformat.save_file(TREE, os.devnull)


@pytest.mark.parametrize("name", ["missing/x.ptf", "file/x.ptf"])
def test_a_place_that_cannot_be_written(name, tmp_path):
    (tmp_path / "file").write_bytes(OLD)
    with pytest.raises((FileNotFoundError, NotADirectoryError)) as caught:
        ptformat.save_file(TREE, tmp_path / name)
    assert caught.value.filename == str(tmp_path / name)
    whole(tmp_path / "file", OLD)


def test_no_permission(path, monkeypatch):
    """By injection: a superuser may write anywhere."""
    monkeypatch.setattr(os, "open", failing(1, errno.EACCES, os.open))
    with pytest.raises(PermissionError) as caught:
        ptformat.save_file(TREE, path)
    assert caught.value.filename == str(path)
    monkeypatch.undo()
    whole(path, OLD)


def test_a_failed_chmod_leaves_nothing(path, monkeypatch):
    monkeypatch.setattr(os, "chmod", failing(1, errno.EPERM, os.chmod))
    with pytest.raises(PermissionError):
        AtomicFile(path)
    whole(path, OLD)


@pytest.mark.parametrize("name", ["a" * 255, "模" * 85, "."])
def test_long_names(name, tmp_path):
    """The longest name a file system allows, in one-byte and three-byte letters."""
    if name == ".":
        with pytest.raises(IsADirectoryError):
            ptformat.save_file(TREE, tmp_path / name)
        return
    ptformat.save_file(TREE, tmp_path / name)
    whole(tmp_path / name, NEW)


def test_abort_and_commit_are_final(path):
    file = AtomicFile(path)
    file.write(b"new")
    file.abort()
    file.abort()
    whole(path, OLD)
    with pytest.raises(OSError, match="Bad file descriptor"):
        file.write(b"more")
    with AtomicFile(path) as again:
        again.write(b"")
        again.write(np.arange(2, dtype="<u2"))
        assert again.position == 4
    again.abort()
    whole(path, b"\0\0\1\0")


def test_the_temporary_file_is_a_hidden_sibling(path):
    with AtomicFile(path, durable=False) as file:
        names = sorted(entry.name for entry in path.parent.iterdir())
        assert len(names) == 2
        assert names[0].startswith(".x.ptf.")
        assert names[0].endswith(".tmp")
        file.write(b"new")
    whole(path, b"new")
