"""A folder of files through any order of saving, tying, overwriting, failing, being killed, packing and reading.

The model is a dict: name -> tree. After each step every file is its tree, to the last bit and with its ties; readers
that were opened before see what they saw; what killed and abandoned writers left behind lies beside the files and
disturbs nobody.

    HYPOTHESIS_PROFILE=long .venv/bin/python -m pytest tests/test_stateful.py      # 2000 runs of 100 steps
"""

import atexit
import functools
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from cli_files import run
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from test_properties import TREES, arrays, same

import ptformat
from ptformat.errors import FormatError

NAMES = st.sampled_from(["a.ptf", "b.ptf", "c.ptf"])
OPTIONS = st.fixed_dictionaries(
    {"codec": st.sampled_from(["raw", "zstd", "planes", "auto"]), "chunk": st.sampled_from([64, 256, 2**22])}
)
LARGE = np.arange(30_000, dtype=np.float32)  # more than a writer holds back: it reaches the disk at once


class Broken(Exception):
    """What a source of bytes raises in the middle."""


def leaves(tree, found=None):
    """Every array of a tree, in order, ties as often as they stand there."""
    found = [] if found is None else found
    if isinstance(tree, np.ndarray):
        found.append(tree)
    elif isinstance(tree, dict):
        for child in tree.values():
            leaves(child, found)
    elif isinstance(tree, (list, tuple)):
        for child in tree:
            leaves(child, found)
    return found


def ties(tree):
    """Which arrays of a tree are one object: for each, the first place where it stands."""
    found = leaves(tree)
    return [next(i for i, other in enumerate(found) if other is array) for array in found]


# Saves in forks of itself, and kills each before one of the calls that a save makes: says how it ended.
KILLER = """
import os, pickle, signal, sys
import ptformat

def counted(call):
    def instead(*args):
        global left
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1
        return call(*args)
    return instead

while True:
    try:
        left, tree, path, options = pickle.load(sys.stdin.buffer)
    except EOFError:
        break
    pid = os.fork()
    if not pid:
        try:
            for name in ("open", "write", "close", "replace"):
                setattr(os, name, counted(getattr(os, name)))
            ptformat.save_file(tree, path, durable=False, **options)
        finally:
            os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


@functools.cache
def killer():
    """The process that does it: this one may have threads, which no fork survives."""
    process = subprocess.Popen([sys.executable, "-c", KILLER], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    atexit.register(process.communicate)
    return process


class Folder(RuleBasedStateMachine):
    """The folder and what should be in it."""

    def __init__(self):
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="ptformat-"))
        self.model = {}
        self.readers = []  # (an open reader, the tree that its file held)
        self.abandoned = []  # writers that nobody ended
        self.left = set()

    def teardown(self):
        for writer in self.abandoned:
            writer.abort()
        shutil.rmtree(self.folder)

    def saved(self, name):
        return self.folder / name

    @initialize(tree=TREES)
    def begin(self, tree):
        self.save("a.ptf", tree, {})

    # ------------------------------------------------------------------------------------------------- writing

    @rule(name=NAMES, tree=TREES, options=OPTIONS)
    def save(self, name, tree, options):
        ptformat.save_file(tree, self.saved(name), durable=False, **options)
        self.model[name] = tree

    @precondition(lambda self: self.model)
    @rule(data=st.data(), extra=arrays(), options=OPTIONS)
    def tie(self, data, extra, options):
        """What was loaded, with one of its arrays, or a new one, at two more places."""
        name = data.draw(st.sampled_from(sorted(self.model)))
        tree = ptformat.load_tree(self.saved(name))
        array = data.draw(st.sampled_from(leaves(tree))) if leaves(tree) else extra
        self.save(name, {"whole": tree, "again": [array, {"x.y": array}], "equal": array.copy()}, options)

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def change_a_loaded_array(self, data):
        """What is loaded is a copy: to write into it changes no file."""
        name = data.draw(st.sampled_from(sorted(self.model)))
        for array in leaves(ptformat.load_tree(self.saved(name))):
            array[...] = np.zeros(array.shape, array.dtype)

    @precondition(lambda self: self.model)
    @rule(data=st.data(), to=NAMES, verb=st.sampled_from(["pack", "pack --raw", "unpack", "move"]))
    def copy_by_command(self, data, to, verb):
        name = data.draw(st.sampled_from(sorted(self.model)))
        if name == to:
            return
        if verb == "move":
            os.replace(self.saved(name), self.saved(to))
            self.model[to] = self.model.pop(name)
            return
        result = run(*verb.split(), self.saved(name), self.saved(to), "--quiet")
        assert (result.exit_code, result.output) == (0, "")
        self.model[to] = self.model[name]

    # ------------------------------------------------------------------------------------- writing that is not ended

    @rule(name=NAMES, array=arrays(), options=OPTIONS, large=st.booleans())
    def a_source_fails(self, name, array, options, large):
        """The pieces of a tensor end in an exception, or are too few: the file stays as it was."""

        def pieces():
            yield LARGE.data if large else b""
            raise Broken

        with pytest.raises(Broken), ptformat.Writer(self.saved(name), durable=False, **options) as out:
            out.tensor("a", array)
            out.pieces(ptformat.TensorInfo("b", "float32", (10**6,)), pieces())
        with pytest.raises(FormatError, match="needs 4000000 bytes"), ptformat.Writer(self.saved(name)) as out:
            out.pieces(ptformat.TensorInfo("b", "float32", (10**6,)), [LARGE.data])

    @rule(name=NAMES, array=arrays(), options=OPTIONS)
    def abort(self, name, array, options):
        out = ptformat.Writer(self.saved(name), durable=False, **options)
        out.tensor("a", array)
        out.abort()

    @rule(name=NAMES, tree=TREES)
    def an_object_that_no_file_can_hold(self, name, tree):
        with pytest.raises(FormatError, match=r"a builtins\.object is no tensor"):
            ptformat.save_file({"whole": tree, "odd": object()}, self.saved(name), durable=False)

    @precondition(lambda self: len(self.abandoned) < 4)
    @rule(name=NAMES, options=OPTIONS, large=st.booleans())
    def a_writer_is_abandoned(self, name, options, large):
        """It is neither committed nor aborted; its temporary file stays, as long as it came."""
        out = ptformat.Writer(self.saved(name), durable=False, **options)
        if large:
            out.tensor("a", LARGE)
        self.abandoned.append(out)
        self.look_for_what_is_left()

    @rule(name=NAMES, tree=TREES, options=OPTIONS, calls=st.integers(0, 4))
    def a_save_is_killed(self, name, tree, options, calls):
        """Before it has taken the name: the old file is there, whole; a temporary one stays, once it is opened."""
        new, process = {"tree": tree, "large": LARGE}, killer()
        pickle.dump((calls, new, self.saved(name), options), process.stdin)
        process.stdin.flush()
        ended = process.stdout.readline()
        if ended == b"0\n":
            self.model[name] = new
        assert ended in (b"-9\n", b"0\n")
        self.look_for_what_is_left()

    def look_for_what_is_left(self):
        self.left = {path.name for path in self.folder.iterdir()} - set(self.model)

    # ------------------------------------------------------------------------------------------------- reading

    @precondition(lambda self: self.model and len(self.readers) < 4)
    @rule(data=st.data(), verify=st.booleans())
    def keep_a_reader(self, data, verify):
        name = data.draw(st.sampled_from(sorted(self.model)))
        self.readers.append((ptformat.open(self.saved(name), verify=verify), self.model[name]))

    @precondition(lambda self: self.readers)
    @rule(data=st.data(), close=st.booleans())
    def look_through_a_kept_reader(self, data, close):
        at = data.draw(st.integers(0, len(self.readers) - 1))
        reader, tree = self.readers[at]
        assert same(tree, ptformat.loading.tree(reader))
        if close:
            reader.close()
            del self.readers[at]

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def load_flat(self, data):
        """The flat dict holds the same arrays as the tree, in another shape."""
        name = data.draw(st.sampled_from(sorted(self.model)))
        loaded = ptformat.load_file(self.saved(name))
        expected = leaves(self.model[name])
        found = [leaf for leaf in loaded.values() if isinstance(leaf, np.ndarray)]
        assert sorted(array.tobytes() for array in found) == sorted(array.tobytes() for array in expected)

    # ------------------------------------------------------------------------------------------------- and always

    @invariant()
    def every_file_is_its_tree(self):
        for name, tree in self.model.items():
            loaded = ptformat.load_tree(self.saved(name))
            assert same(tree, loaded)
            assert ties(tree) == ties(loaded)
            assert ptformat.verify(self.saved(name)).tensors == len(set(ties(tree)))

    @invariant()
    def nothing_else_lies_there(self):
        assert {path.name for path in self.folder.iterdir()} == set(self.model) | self.left
        assert all(name.startswith(".") and name.endswith(".tmp") for name in self.left)


SHORT = {"max_examples": 25, "stateful_step_count": 30, "derandomize": True}
settings.register_profile("long", max_examples=2000, stateful_step_count=100)
QUIET = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
Folder.TestCase.settings = settings(
    settings.get_profile(os.environ.get("HYPOTHESIS_PROFILE", "default")),
    deadline=None,
    suppress_health_check=QUIET,
    **({} if "HYPOTHESIS_PROFILE" in os.environ else SHORT),
)
TestFolder = Folder.TestCase
