"""Pages made ahead of the writer and sent behind it: the file is the same with and without, whatever fails."""

import errno
import os
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest

import ptformat
from ptformat import pages
from ptformat.containers import flatten

MIB = 2**20
TREE = {f"t{i}": np.random.default_rng(i).integers(0, 256, MIB + 1000 * i, np.uint8) for i in range(12)}
NEW = ptformat.save(TREE)


class Calls(list):
    """Stands for the C library: notes its calls, passes them on, or fails."""

    def __init__(self, **instead):
        super().__init__()
        self.instead = instead

    def __getattr__(self, name):
        real = self.instead.get(name, getattr(LIBC, name))

        def call(*args):
            self.append((name, *args))
            return real(*args)

        return call

    def named(self, name):
        return [call[1:] for call in self if call[0] == name]


LIBC = pages._libc()
MINUS_ONE = 2**64 - 1


@pytest.fixture
def libc(monkeypatch):
    """The library's calls, by a module that works from the first MiB on and on any file system."""
    for name, size in {"FROM": MIB, "STEP": MIB // 4, "NEAR": MIB, "AHEAD": 4 * MIB, "SEND": MIB}.items():
        monkeypatch.setattr(pages, f"{name}_BYTES", size)
    monkeypatch.setattr(pages, "_helps", lambda fd: True)
    calls = Calls()
    monkeypatch.setattr(pages, "_libc", lambda: calls)
    return calls


@pytest.fixture(autouse=True)
def threads():
    """None is left behind."""
    before = threading.active_count()
    yield
    assert threading.active_count() == before


def until_made(libc):
    """The writer waits here, so that the pages ahead are made even where the machine is busy."""
    end = time.monotonic() + 60
    while not libc.named("munmap"):
        assert time.monotonic() < end
        time.sleep(0.001)


def whole(path, content=NEW):
    assert path.read_bytes() == content
    assert list(path.parent.iterdir()) == [path]


def test_the_bytes_are_the_same(libc, tmp_path):
    lengths = []
    with ptformat.Writer(tmp_path / "x.ptf", durable=False) as out:
        for entry, array in flatten(TREE):
            out.add(entry, array)
            lengths.append(os.stat(out._file._temporary).st_size)
            if len(lengths) == len(TREE) // 2:
                until_made(libc)
    whole(tmp_path / "x.ptf")
    assert max(lengths) > len(NEW)  # it was longer for a while
    steps = libc.named("mmap")
    assert steps
    assert {(step[1], step[-1] % step[1]) for step in steps} == {(MIB // 4, 0)}
    assert len({step[-1] for step in steps}) == len(steps)
    assert len(libc.named("munmap")) == len(steps)


def test_it_can_be_switched_off(libc, tmp_path, monkeypatch):
    monkeypatch.setattr(pages, "ENABLED", False)
    ptformat.save_file(TREE, tmp_path / "x.ptf")
    whole(tmp_path / "x.ptf")
    assert libc == []


@pytest.mark.parametrize("options", [{"codec": "zstd"}, {"codec": "planes"}, {"codec": "auto"}])
def test_no_pages_ahead_beside_threads_that_compress(options, libc, tmp_path):
    ptformat.save_file(TREE, tmp_path / "x.ptf", durable=False, **options)
    whole(tmp_path / "x.ptf", ptformat.save(TREE, **options))
    assert libc == []


def test_a_small_file_starts_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(pages, "ThreadPoolExecutor", pytest.fail)
    monkeypatch.setattr(pages, "_libc", pytest.fail)
    small = {"a": np.zeros(7 * MIB, np.uint8)}
    ptformat.save_file(small, tmp_path / "x.ptf")
    whole(tmp_path / "x.ptf", ptformat.save(small))


def refusing(*args, **options):
    raise RuntimeError("can't start new thread")


@pytest.mark.parametrize(
    ("name", "instead"),
    [
        ("_libc", refusing),
        ("_libc", lambda: Calls(mmap=lambda *args: MINUS_ONE)),
        ("_libc", lambda: Calls(mmap=refusing)),
        ("_libc", lambda: Calls(sync_file_range=lambda *args: -1)),
        ("_libc", lambda: SimpleNamespace()),
        ("_helps", refusing),
        ("_helps", lambda fd: False),
        ("ThreadPoolExecutor", refusing),
        ("ThreadPoolExecutor", lambda workers: SimpleNamespace(submit=refusing, shutdown=lambda **options: None)),
    ],
)
@pytest.mark.parametrize("durable", [True, False])
def test_whatever_fails_the_file_is_the_same(name, instead, durable, libc, tmp_path, monkeypatch):
    monkeypatch.setattr(pages, name, instead)
    ptformat.save_file(TREE, tmp_path / "x.ptf", durable=durable)
    whole(tmp_path / "x.ptf")


def fails(monkeypatch, name, numbers, kind=errno.ENOSPC, before=lambda: None):
    """Let the calls of these numbers to a function of `os` fail, after `before`; returns the list of all calls."""
    real, calls = getattr(os, name), []

    def call(*args):
        calls.append(args)
        if len(calls) in numbers:
            before()
            raise OSError(kind, os.strerror(kind))
        return real(*args)

    monkeypatch.setattr(os, name, call)
    return calls


@pytest.mark.parametrize("number", [1, 2, 10])
def test_a_file_that_cannot_be_lengthened(number, libc, tmp_path, monkeypatch):
    fails(monkeypatch, "ftruncate", [number], errno.EFBIG)
    ptformat.save_file(TREE, tmp_path / "x.ptf", durable=False)
    whole(tmp_path / "x.ptf")


def test_a_file_that_cannot_be_cut(libc, tmp_path, monkeypatch):
    real = os.ftruncate
    monkeypatch.setattr(os, "ftruncate", lambda fd, size: real(-1 if size == len(NEW) else fd, size))
    with pytest.raises(OSError, match="Bad file descriptor") as caught:
        ptformat.save_file(TREE, tmp_path / "x.ptf", durable=False)
    assert caught.value.filename == str(tmp_path / "x.ptf")
    assert list(tmp_path.iterdir()) == []


def test_pages_ahead_make_room_for_the_writer(libc, tmp_path, monkeypatch):
    """A write for which there is no space is tried again, once, when they are gone."""
    calls = fails(monkeypatch, "write", [20], before=lambda: until_made(libc))
    ptformat.save_file(TREE, tmp_path / "x.ptf", durable=False)
    whole(tmp_path / "x.ptf")
    assert calls[19][1] == calls[20][1]
    assert max(step[-1] for step in libc.named("mmap")) < 12 * MIB


def test_a_full_disk(libc, tmp_path, monkeypatch):
    calls = fails(monkeypatch, "write", [20, 21])
    with pytest.raises(OSError, match="No space left") as caught:
        ptformat.save_file(TREE, tmp_path / "x.ptf", durable=False)
    assert caught.value.filename == str(tmp_path / "x.ptf")
    assert len(calls) == 21
    assert list(tmp_path.iterdir()) == []


def test_short_writes(libc, tmp_path, monkeypatch):
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: real(fd, data[: max(1, len(data) // 3)]))
    ptformat.save_file(TREE, tmp_path / "x.ptf", durable=False)
    whole(tmp_path / "x.ptf")


def test_an_exception_leaves_nothing(libc, tmp_path):
    with pytest.raises(KeyboardInterrupt), ptformat.Writer(tmp_path / "x.ptf", durable=False) as out:
        out.tensor("a", np.zeros(5 * MIB, np.uint8))
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_what_is_sent_to_the_disk(libc, tmp_path):
    """Whole pages, in order and without a gap, but for the last ones, which are fsync's."""
    ptformat.save_file(TREE, tmp_path / "x.ptf", codec="raw")
    sent = [call[1:] for call in libc.named("sync_file_range")]
    assert len(sent) > 8
    end = 0
    for start, size, flags in sent:
        assert (start, size % 4096, flags) == (end, 0, 2)
        end += size
    assert 0 < len(NEW) - end < 2 * MIB


def test_nothing_is_sent_that_need_not_be_durable(libc, tmp_path):
    ptformat.save_file(TREE, tmp_path / "x.ptf", durable=False)
    assert libc.named("sync_file_range") == []


def mounts():
    """Directory -> type of file system, of those mounted that can be written to."""
    with open("/proc/self/mounts", encoding="utf-8") as file:
        found = dict(line.split()[1:3] for line in file)
    return {where: kind for where, kind in found.items() if where in ("/dev/shm", "/tmp", "/run", "/")}


def test_tmpfs_is_known(monkeypatch):
    for where, kind in mounts().items():
        fd = os.open(where, os.O_RDONLY)
        for cores in ({0}, {0, 1}):
            monkeypatch.setattr(os, "sched_getaffinity", lambda pid, cores=cores: cores)
            assert pages._helps(fd) == (kind == "tmpfs" and len(cores) == 2), where
        os.close(fd)


LIMITED = """
import os, resource, signal, sys, numpy as np, ptformat
from ptformat import pages

os.sched_getaffinity = lambda pid: {0, 1}
pages._helps, pages.FROM_BYTES = (lambda fd: True) if sys.argv[2] == "any" else pages._helps, 2**20
if limit := int(sys.argv[3]):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    ptformat.save_file({"a": np.ones(10_000_000, np.uint8)}, sys.argv[1] + "/x.ptf", durable=False)
except OSError as error:
    print(error.strerror, end=" ")
print(*(os.path.getsize(entry) for entry in os.scandir(sys.argv[1])))
"""
ROOM = len(ptformat.save({"a": np.ones(10_000_000, np.uint8)}))


@pytest.mark.parametrize(("limit", "printed"), [(ROOM, f"{ROOM}\n"), (ROOM - 1, f"{os.strerror(errno.EFBIG)} \n")])
def test_a_limit_on_the_length_of_files(limit, printed, tmp_path):
    """Pages beyond the limit are not made; the file itself may reach it."""
    command = [sys.executable, "-c", LIMITED, str(tmp_path), "any", str(limit)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == printed


@pytest.mark.parametrize(("kibibytes", "printed"), [(9772, f"{ROOM}\n"), (9768, f"{os.strerror(errno.ENOSPC)} \n")])
def test_a_tmpfs_that_is_nearly_too_small(kibibytes, printed, tmp_path):
    """The pages ahead want more than there is; the file gets all that there is."""
    mount = f"mount -t tmpfs -o size={kibibytes}k,nr_inodes=10 none {tmp_path}"
    inside = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    command = f'{mount} && exec "$@"'
    done = subprocess.run(
        [*inside, command, "sh", sys.executable, "-c", LIMITED, str(tmp_path), "tmpfs", "0"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == printed
