"""Readers and writers at once, each a process: what is read is one whole version, whoever writes meanwhile."""

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import ptformat
from ptformat.codecs import THREADS

MIB = 2**20
# What the processes have in common. A version is a number that every element of every tensor tells.
COMMON = """
import os, sys, threading, time
import numpy as np
import ptformat

CODECS = ("raw", "zstd", "planes")

def tree(version):
    return {
        "version": version,
        "a": np.full(3, version, np.int16),
        "large": np.full((600, 500), version, np.float32),
        "odd": np.full(1001, version % 8, np.int8).astype("int4"),
    }

def write(path, version):
    ptformat.save_file(tree(version), path, codec=CODECS[version % 3], durable=version % 20 == 0)

def version_of(held):
    version = held["version"]
    for name, array in tree(version).items():
        if name != "version":
            assert held[name].dtype == array.dtype and held[name].tobytes() == array.tobytes(), (version, name)
    return version

def opened(path, **options):
    with ptformat.open(path, **options) as file:
        return version_of({name: file[name] for name in file})

def verified(path):
    assert ptformat.verify(path).tensors == 3

READ = [
    lambda path: version_of(ptformat.load_file(path)),
    lambda path: version_of(ptformat.load_file(path, mapped=False, verify=True)),
    lambda path: version_of(ptformat.load_tree(path, verify=True)),
    lambda path: opened(path),
    lambda path: opened(path, mapped=False),
    verified,
]

def read_until(done, path):
    seen, reads = [], 0
    while not done():
        version = READ[reads % len(READ)](path)
        reads += 1
        if version is not None:
            assert not seen or seen[-1] <= version, (seen[-1], version)  # never an older one again
            seen.append(version)
    return reads, len(set(seen))
"""


Start = Callable[..., subprocess.Popen[str]]


@contextlib.contextmanager
def processes() -> Iterator[Start]:
    """What starts processes, of which none outlives it."""
    found = []

    def start(code: str, *args: object) -> subprocess.Popen[str]:
        command = [sys.executable, "-W", "error", "-c", COMMON + code, *map(str, args)]
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        found.append(subprocess.Popen(command, text=True, **pipes))
        return found[-1]

    try:
        yield start
    finally:
        for process in found:
            process.kill()
            with process:
                pass


@pytest.fixture
def started() -> Iterator[Start]:
    with processes() as start:
        yield start


def ended(process: subprocess.Popen[str]) -> str:
    """What a process prints, which must end well."""
    out, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (0, "")
    return out


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


READER = """
path, stop = sys.argv[1:3]
count = int(sys.argv[3])
found = [None] * count
def work(i):
    found[i] = read_until(lambda: os.path.exists(stop), path)
threads = [threading.Thread(target=work, args=(i,)) for i in range(count)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert None not in found
print(*(number for pair in found for number in pair))
"""
WRITER = """
path, first, last = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
for version in range(first, last):
    write(path, version)
"""


def test_no_process_outlives_a_failure(tmp_path: Path) -> None:
    """A writer that fails: the reader would wait for a file that nobody makes."""
    ptformat.save_file({"version": 1}, tmp_path / "x.ptf", durable=False)
    with pytest.raises(AssertionError), processes() as start:
        reader = start("while not os.path.exists(sys.argv[1]): time.sleep(0.01)", tmp_path / "stop")
        ended(start("raise KeyError"))
    assert reader.returncode == -signal.SIGKILL


def test_readers_see_whole_versions_while_a_writer_replaces_the_file(started: Start, tmp_path: Path) -> None:
    """400 versions, in three codecs; three processes read, two of them in four threads, in six ways."""
    path, stop = tmp_path / "x.ptf", tmp_path / "stop"
    ended(started(WRITER, path, 0, 1))
    readers = [started(READER, path, stop, threads) for threads in (1, 4, 4)]
    ended(started(WRITER, path, 1, 400))
    stop.touch()
    found = [[int(number) for number in ended(reader).split()] for reader in readers]
    assert [len(numbers) for numbers in found] == [2, 8, 8]
    reads, versions = ([n for numbers in found for n in numbers[part::2]] for part in (0, 1))
    assert min(reads) >= 6  # each thread in each way
    assert sum(versions) >= 50  # and not all of them the same
    assert names(tmp_path) == ["stop", "x.ptf"]
    assert ptformat.load_file(path)["version"] == 399


@pytest.mark.parametrize("suffix", [".ptf", ""])
def test_of_two_writers_the_last_one_wins(suffix: str, started: Start, tmp_path: Path) -> None:
    """A file, and a directory of shards: at every moment it is one writer's, and in the end nothing else is left."""
    code = """
from ptformat.converters import copy
path, first, last = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
own = f"{path}.{first}.source.ptf"
for version in range(first, last):
    if path.endswith(".ptf"):
        write(path, version)
        continue
    ptformat.save_file({f"{i}": np.full(1000, version + i, np.float32) for i in range(5)}, own, convention="torch")
    copy(own, path, max_shard_bytes=4000 * (1 + version % 3), durable=False)
"""
    path = tmp_path / "out" / f"x{suffix}"
    path.parent.mkdir()
    source = tmp_path / "x"
    writers = [started(code, path, first, first + 60) for first in (0, 1000)]
    for writer in writers:
        ended(writer)
    if suffix:
        assert ptformat.load_file(path)["version"] in (59, 1059)
        assert ptformat.verify(path).tensors == 3
        assert names(path.parent) == [path.name]
        return
    from ptformat.converters import copy

    copy(path, source.with_suffix(".ptf"))
    held = ptformat.load_file(source.with_suffix(".ptf"))
    first = held["0"][0]
    assert first in (59, 1059)
    assert all((held[f"{i}"] == first + i).all() for i in range(5))
    assert names(path.parent) == ["x", "x.0.source.ptf", "x.1000.source.ptf"]


def test_readers_see_whole_directories_while_a_writer_replaces_them(started: Start, tmp_path: Path) -> None:
    """The shards of all versions have the same names: only values tell an index of one with shards of another."""
    common = """
from ptformat.converters import copy
from ptformat.converters.files import open_source
path, stop = sys.argv[1:3]
"""
    writer = (
        common
        + """
for version in range(int(sys.argv[3]), int(sys.argv[4])):
    ptformat.save_file({f"{i}": np.full(1000, version, np.float32) for i in range(5)}, f"{path}.ptf", durable=False)
    copy(f"{path}.ptf", path, max_shard_bytes=4000, durable=False)
"""
    )
    reader = (
        common
        + """
seen = []
while not os.path.exists(stop):
    source = open_source(path)
    found = {float(array.min()) for array in (source.array(f"{i}") for i in range(5)) for array in (array, array[::-1])}
    source.close()
    assert len(found) == 1, found
    seen += found
print(len(set(seen)), seen == sorted(seen))
"""
    )
    path, stop = tmp_path / "model", tmp_path / "stop"
    ended(started(writer, path, stop, 0, 1))
    readers = [started(reader, path, stop) for _ in range(3)]
    ended(started(writer, path, stop, 1, 150))
    stop.touch()
    found = [ended(reader).split() for reader in readers]
    assert [ordered for _, ordered in found] == ["True"] * 3
    assert sum(int(count) for count, _ in found) >= 20
    assert names(tmp_path) == ["model", "model.ptf", "stop"]


def test_a_map_keeps_the_version_that_was_opened(started: Start, tmp_path: Path) -> None:
    path = tmp_path / "x.ptf"
    ended(started(WRITER, path, 3, 4))
    with ptformat.open(path) as file, ptformat.open(path, mapped=False) as unmapped:
        private = ptformat.load_file(path)
        ended(started(WRITER, path, 4, 40))
        for held in (file, unmapped, private):
            assert held["version"] == 3
            assert (np.asarray(held["large"]) == 3).all()
        assert ptformat.load_file(path)["version"] == 39


def cut(code: str, path: Path) -> subprocess.CompletedProcess[str]:
    """Run code that has `path` and `cut()`, which cuts the file as another program would."""
    before = "path = sys.argv[1]\ndef cut(): os.truncate(path, 4096)\n"
    return subprocess.run(
        [sys.executable, "-c", COMMON + before + code, str(path)], capture_output=True, text=True, timeout=60
    )


@pytest.fixture(params=["raw", "zstd"])
def large(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    noise = np.random.default_rng(0).integers(0, 16, 20 * MIB, np.uint8)
    ptformat.save_file(
        {"w": noise, "z": np.arange(9, dtype=np.int32)}, tmp_path / "x.ptf", codec=request.param, durable=False
    )
    return tmp_path / "x.ptf"


@pytest.mark.parametrize(
    "code",
    [
        "array = ptformat.load_file(path)['w']; cut(); print(array.sum())",
        "file = ptformat.open(path); cut(); print(file['w'].sum())",
    ],
    ids=["load_file", "open"],
)
def test_a_mapped_file_that_is_cut_ends_the_process(code: str, tmp_path: Path) -> None:
    """The trap that the documentation tells of: no exception, the signal SIGBUS."""
    ptformat.save_file({"a": np.arange(9), "w": np.zeros(20 * MIB, np.uint8)}, tmp_path / "x.ptf", durable=False)
    done = cut(code, tmp_path / "x.ptf")
    assert (done.returncode, done.stdout) == (-signal.SIGBUS, "")


READING = {
    "open": "file = ptformat.open(path, mapped=False); cut(); file['w']",
    "slice": "file = ptformat.open(path, mapped=False); cut(); file.slice('w')[10 * 2**20]",
    "digest": "file = ptformat.open(path, mapped=False); cut(); file.digest()",
    "verify": "ptformat.verify(path, progress=lambda done: cut())",
}


@pytest.mark.parametrize("how", READING)
def test_a_file_that_is_read_and_cut_is_an_error(how: str, large: Path) -> None:
    done = cut(READING[how], large)
    assert done.returncode == 1
    assert re.search(r"FormatError: TRUNCATED: nothing is at byte \d+ of \d+: the file was cut", done.stderr)


ADAPTERS = {
    "numpy": "held = ptformat.load_file(path, mapped=False)",
    "tree": "held = ptformat.load_tree(path, mapped=False)",
    "torch": "import ptformat.torch; held = ptformat.torch.load_file(path, mapped=False)",
    "flax": "import ptformat.flax; held = ptformat.flax.load_file(path, mapped=False)",
}


@pytest.mark.parametrize("by", ADAPTERS)
def test_what_was_read_stays_when_the_file_is_cut(by: str, large: Path) -> None:
    total = int(ptformat.load_file(large)["w"].sum(dtype=np.uint64))
    done = cut(f"{ADAPTERS[by]}; cut(); print(np.asarray(held['w']).sum(dtype=np.uint64))", large)
    assert (done.returncode, done.stdout) == (0, f"{total}\n"), done.stderr


# The command, which says each block that it has checked, and waits after one of them.
VERIFY = """
import runpy
from ptformat.cli.progress import Progress

path, wait = sys.argv[1], int(sys.argv[2])
count = 0
def advance(self, nbytes):
    global count
    count += 1
    print(count, flush=True)
    if count == wait:
        sys.stdin.readline()
Progress.advance = advance
sys.argv = ["ptformat", "verify", path]
runpy.run_module("ptformat", run_name="__main__")
"""


@pytest.mark.parametrize("codec", ["raw", "zstd"])
def test_verify_of_a_file_that_another_program_cuts(codec: str, started: Start, tmp_path: Path) -> None:
    """The command, with the file cut before it is opened, and after each of some blocks: one line, never a signal."""
    path, blocks = tmp_path / "x.ptf", 20
    noise = np.random.default_rng(0).integers(0, 16, blocks * MIB, np.uint8)
    ptformat.save_file({"w": noise}, path, codec=codec, chunk=MIB, durable=False)
    whole = path.read_bytes()
    for checked in (0, 1, 2, blocks // 2, blocks - THREADS - 2, blocks):
        path.write_bytes(whole)
        if not checked:
            os.truncate(path, 4096)
        process = started(VERIFY, path, checked)
        said = [process.stdout.readline() for _ in range(checked)]
        assert said == [f"{number}\n" for number in range(1, checked + 1)]
        os.truncate(path, 4096)
        out, err = process.communicate("\n", timeout=60)
        if checked == blocks:
            assert (process.returncode, err) == (0, "")
            assert out.startswith(f"{path}: fine (")
            continue
        assert process.returncode == 1
        told = r"nothing is at byte \d+ of \d+: the file was cut after it had been opened" if checked else ".*"
        assert re.fullmatch(rf"{re.escape(str(path))}: TRUNCATED: {told}\n", err)
        assert [int(line) for line in out.split()] == list(range(checked + 1, checked + 1 + len(out.split())))
        assert len(out.split()) <= THREADS + 1  # those that were read before it was cut
