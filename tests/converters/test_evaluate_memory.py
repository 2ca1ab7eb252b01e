"""64 experts of 16 MB stacked, and taken apart again: anonymous memory is a constant, measured in a fresh process."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

MIB = 2**20
BOUND = 64 * MIB  # a tensor of the result has 1024 MiB, an expert 16

MEASURE = """
import sys, threading
import numpy as np
from ptformat.converters import operations as o
from ptformat.converters.evaluate import pieces

def anonymous():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("RssAnon"))

held = np.memmap(sys.argv[1], np.float32, "r")
N, ROWS, COLUMNS = 64, 2048, 2048
assert held.size == N * ROWS * COLUMNS

def array(one):
    if one.path.startswith("expert"):
        return held.reshape(N, ROWS, COLUMNS)[int(one.path[6:])]
    return held.reshape(one.shape)

experts = [o.Given(f"expert{at}", (ROWS, COLUMNS), "float32") for at in range(N)]
turned = [o.permute(one, (1, 0)) for one in experts]
halves = [o.interleave(o.join([o.part(one, 1, 1024, 2048), o.part(one, 1, 0, 1024)], 1), 1, 2) for one in experts]
first = o.Given("first", (N, ROWS, COLUMNS), "float32")
last = o.Given("last", (ROWS, COLUMNS, N), "float32")
wide = o.join(experts, 1)
op = {
    "first axis": lambda: o.stack(experts, 0),
    "first axis, transposed": lambda: o.stack(turned, 0),
    "last axis": lambda: o.stack(experts, 2),
    "merged with others": lambda: o.reshape(o.permute(o.reshape(wide, (2048, 512, 256)), (1, 2, 0)), (2**17, 2048)),
    "woven": lambda: o.deinterleave(o.stack(halves, 0), 1, 2),
    "computed": lambda: o.cast(o.add_up([o.scale(one, 0.5) for one in experts]), "bfloat16"),
    "back from the first": lambda: o.stack([o.permute(o.index(first, 0, at), (1, 0)) for at in (63, 0)], 0),
    "back from the last": lambda: o.join([o.index(last, 2, at) for at in (63, 0)], 0),
}[sys.argv[2]]()

peak, done = 0, threading.Event()

def sample():
    global peak
    while True:
        peak = max(peak, anonymous())
        if done.wait(0.002):
            return

sys.setswitchinterval(0.0005)
before = anonymous()
thread = threading.Thread(target=sample, daemon=True)
thread.start()
total = largest = 0
for piece in pieces(op, array):
    total += piece.nbytes
    largest = max(largest, piece.nbytes)
done.set()
thread.join()
assert total == op.count * (2 if op.dtype == "bfloat16" else 4)
assert largest <= 16 * 2**20
print(peak - before)
"""


@pytest.fixture(scope="module")
def file() -> Iterator[Path]:
    """1024 MiB, of which the file system holds nothing: a hole."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "experts"
        with path.open("wb") as made:
            made.truncate(1024 * MIB)
        yield path


def peak(file: Path, what: str, code: str = MEASURE) -> int:
    command = [sys.executable, "-W", "error", "-c", code, str(file), what]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


@pytest.mark.parametrize(
    "what",
    [
        "first axis",
        "first axis, transposed",
        "last axis",
        "merged with others",
        "woven",
        "computed",
        "back from the first",
        "back from the last",
    ],
)
def test_memory_is_a_constant(what: str, file: Path) -> None:
    assert peak(file, what) < BOUND


def test_the_measure_sees_a_tensor_that_is_held(file: Path) -> None:
    code = MEASURE.replace("for piece in pieces(op, array):", "for piece in [np.array(array(first))]:")
    assert code != MEASURE
    code = code.replace("assert largest <= 16 * 2**20", "")
    assert peak(file, "last axis", code) > 900 * MIB
