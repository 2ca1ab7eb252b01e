"""The pages under mapped arrays: asked for where they are in memory, and the arrays the same whatever the answer."""

import ctypes
import mmap
from types import SimpleNamespace

import numpy as np
import pytest

import ptformat.flax
from ptformat.flax import pages

MIB = 2**20
TREE = {"a": np.arange(5 * MIB + 1, dtype=np.float32), "b": np.ones((3, MIB), np.float16), "c": np.ones(3, np.int32)}
PAGE = mmap.PAGESIZE


class Library:
    """Stands for the C library: notes what is asked, says that the first `resident` bytes of each part are there."""

    def __init__(self, resident=2**62, answer=0):
        self.resident, self.answer = resident, answer
        self.found = []

    def mincore(self, address, size, into):
        count = -(-size // PAGE)
        there = min(count, self.resident // PAGE)
        ctypes.memmove(into, b"\x01" * there + bytes(count - there), count)
        return self.answer

    def madvise(self, address, size, advice):
        assert advice == 22
        self.found.append((address, size))
        return self.answer


@pytest.fixture
def path(tmp_path):
    ptformat.save_file(TREE, tmp_path / "x.ptf", durable=False)
    return tmp_path / "x.ptf"


def same(loaded):
    assert sorted(loaded) == sorted(TREE)
    for name, array in TREE.items():
        np.testing.assert_array_equal(np.asarray(loaded[name]), array)


def test_all_pages_of_large_arrays_are_found(path, monkeypatch):
    library = Library()
    monkeypatch.setattr(pages, "_libc", lambda: library)
    loaded = ptformat.flax.load_file(path)
    same(loaded)
    expected = {address for name in "ab" for address in pages_of(loaded[name])}
    found = [page for start, size in library.found for page in range(start, start + size, PAGE)]
    assert all(start % PAGE == 0 for start, _ in library.found)
    assert (len(found), set(found)) == (len(expected), expected)


def pages_of(array):
    start = array.unsafe_buffer_pointer()
    return range(start // PAGE * PAGE, start + array.nbytes, PAGE)


@pytest.mark.parametrize("resident", [0, PAGE, pages.STEP_BYTES - PAGE])
def test_what_is_not_in_memory_is_not_fetched(resident, path, monkeypatch):
    library = Library(resident)
    monkeypatch.setattr(pages, "_libc", lambda: library)
    same(ptformat.flax.load_file(path))
    assert all(size <= resident for _, size in library.found)


def test_few_bytes_are_left_alone(path, monkeypatch):
    monkeypatch.setattr(pages, "FROM_BYTES", 100 * MIB)
    monkeypatch.setattr(pages, "_libc", pytest.fail)
    same(ptformat.flax.load_file(path))


@pytest.mark.parametrize("library", [Library(answer=-1), SimpleNamespace()])
def test_an_error_changes_nothing(library, path, monkeypatch):
    monkeypatch.setattr(pages, "_libc", lambda: library)
    same(ptformat.flax.load_file(path))


def test_no_threads_change_nothing(path, monkeypatch):
    def refusing(*args):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(pages, "ThreadPoolExecutor", refusing)
    same(ptformat.flax.load_file(path))
