"""Experts of 16 MiB each, stacked into one tensor by `convert` and taken apart again: anonymous memory is a constant.

64 of them, 1 GiB, on the first axis, 16 in every other way. Each conversion is measured in a process of its own.
"""

import filecmp
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from ptformat.columns import Header
from ptformat.converters.content import Content, Saving
from ptformat.converters.files import open_source, write
from ptformat.tree import TensorInfo

MIB = 2**20
SIDE = 2048
BOUND = 64 * MIB  # beyond what the imports take; measured are 17, the stacked tensor has 1024

MEASURE = """
import sys, threading
from ptformat.converters import convert
from ptformat.converters.stacks import Stack

def anonymous():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("RssAnon"))

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
source, target, to, what = sys.argv[1:]
rules = {
    "stack": {"stacks": [Stack("experts")]},
    "stack on the last axis": {"stacks": [Stack("experts", axis=2)]},
    "recorded": {},
    "unstack": {"unstacks": [("experts", 0)]},
    "unstack the last axis": {"unstacks": [("experts", 2)]},
}[what]
made = convert(source, target, to=to, durable=False, **rules)
done.set()
thread.join()
assert made.undone == (what == "recorded")
assert not {"torch", "jax", "flax"} & sys.modules.keys()
print(peak - before)
"""


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """The experts in one file; gone afterwards."""
    with tempfile.TemporaryDirectory() as name:
        made = Path(name)
        row = np.random.default_rng(3).standard_normal((SIDE, SIDE), dtype=np.float32)

        def pieces(info: object) -> Iterator[np.ndarray]:
            assert isinstance(info, TensorInfo)
            yield row + np.float32(info.path.split(".")[1])

        for count in (64, 16):
            entries = [TensorInfo(f"experts.{i}.weight", "float32", (SIDE, SIDE)) for i in range(count)]
            write(
                Content(entries, Header(convention="torch"), pieces),
                made / f"{count}.safetensors",
                Saving(durable=False),
            )
            assert (made / f"{count}.safetensors").stat().st_size > count * 16 * MIB
        yield made


def peak(source: Path, target: Path, to: str, what: str) -> int:
    """Bytes of anonymous memory beyond the imports' that a conversion took at its peak."""
    started = time.perf_counter()
    command = [sys.executable, "-W", "error", "-c", MEASURE, str(source), str(target), to, what]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    print(f"{what}: {int(done.stdout) / MIB:.0f} MiB at the peak, {time.perf_counter() - started:.1f} s")
    return int(done.stdout)


def check_stacked(first: Path, stacked: Path, axis: int, count: int) -> None:
    one, other = open_source(first), open_source(stacked)
    (info,) = (entry for entry in other.entries if isinstance(entry, TensorInfo))
    whole = np.moveaxis(other.array(info.path), axis, 0)
    assert info.path == "params.experts.kernel"
    assert whole.shape == (count, SIDE, SIDE)
    for i in (0, 1, 10, count - 1):
        weight = one.array(f"experts.{i}.weight")
        assert np.array_equal(whole[i, :, :64], weight.T[:, :64])
        assert np.array_equal(whole[i, -64:], weight.T[-64:])
    one.close()
    other.close()


@pytest.mark.parametrize(
    ("count", "axis", "suffix", "ways_back"),
    [
        (64, 0, "ptf", ["recorded"]),
        (16, 0, "msgpack", ["unstack"]),
        (16, 2, "ptf", ["recorded", "unstack the last axis"]),
    ],
)
def test_there_and_back(count: int, axis: int, suffix: str, ways_back: list[str], folder: Path) -> None:
    first, stacked, back = (folder / name for name in (f"{count}.safetensors", f"stacked.{suffix}", "back.safetensors"))
    assert peak(first, stacked, "linen", "stack on the last axis" if axis else "stack") < BOUND
    check_stacked(first, stacked, axis, count)
    for what in ways_back:
        assert peak(stacked, back, "torch", what) < BOUND
        assert filecmp.cmp(first, back, shallow=False)
        back.unlink()
    stacked.unlink()
