"""Peak memory is a constant: measured in a process of its own, on a model and on one four times larger.

What counts is anonymous memory (`RssAnon`): mapped files are the system's to give and take.
"""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from ptformat.codecs import THREADS
from ptformat.columns import Header
from ptformat.converters import copy
from ptformat.converters.content import Content, Saving
from ptformat.converters.files import write
from ptformat.tree import Node, TensorInfo

MIB = 2**20
# Above what the imports take: 128 MiB with four threads that compress, each of which holds a few chunks.
BOUND = (48 + 20 * THREADS) * MIB
GROWTH = 24 * MIB  # how full the threads' queue gets is chance; the larger model has 192 MiB more

MEASURE = """
import sys, threading
import ptformat.converters
from ptformat.converters import convert, copy, diff, edit, statistics
import ptformat.codecs.zstd, zstandard, msgpack

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
thread = threading.Thread(target=sample, daemon=True)  # an error must not wait for it
thread.start()
source, target, what = sys.argv[1:]
options = {"durable": False}
if what.startswith("zstd"):
    options["codec"] = "zstd"
if what.startswith("sharded"):
    options["max_shard_bytes"] = 40_000_000
if what.endswith("copy"):
    copy(source, target, **options)
elif what == "edit":
    edit(source, target, cast=[("*", "bfloat16")], rename=[("head", "top")], **options)
elif what == "diff":
    found = diff(source, source.replace(".ptf", ".safetensors"))
    assert not found and len(list(statistics(source))) == len(found.measured) > 8
    copy(source, target, **options)  # so that there is something of the size that the others write
else:
    convert(source, target, to="linen", strict=True, **options)
done.set()
thread.join()
assert not {"torch", "jax", "flax"} & sys.modules.keys()
print(peak - before)
"""


def model(path: Path, factor: int) -> None:
    """A model of `factor` times 64 MiB, three quarters of it one kernel; half of the bits are noise."""
    entries = [Node("", "flat"), TensorInfo("head.weight", "float32", (3072 * factor, 4096))]
    entries += [TensorInfo(f"fc.{number}.proj.weight", "float32", (512, 1024)) for number in range(8 * factor)]
    rng = np.random.default_rng(factor)

    def pieces(info: object) -> Iterator[bytes]:
        assert isinstance(info, TensorInfo)
        for _ in range(info.nbytes // MIB):
            yield (rng.integers(0, 2**16, MIB // 4, np.uint32) << 16).tobytes()

    write(Content(entries, Header(convention="torch"), pieces), path, Saving(durable=False))


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """The models, raw and compressed; gone afterwards, for they are large."""
    with tempfile.TemporaryDirectory() as name:
        made = Path(name)
        for size, factor in (("small", 1), ("large", 4)):
            model(made / f"{size}.safetensors", factor)
            copy(made / f"{size}.safetensors", made / f"{size}.ptf", codec="zstd", durable=False)
            copy(made / f"{size}.safetensors", made / size, max_shard_bytes=40_000_000, durable=False)
            (made / size).rename(made / f"{size}.folder")
        assert (made / "small.safetensors").stat().st_size > 64 * MIB
        assert (made / "large.safetensors").stat().st_size > 256 * MIB
        assert 100 * MIB < (made / "large.ptf").stat().st_size < 200 * MIB
        yield made


def peak(source: Path, target: str, what: str) -> int:
    """Bytes of anonymous memory beyond the imports' that one operation took at its peak."""
    path = source.with_name(target)
    command = [sys.executable, "-W", "error", "-c", MEASURE, str(source), str(path), what]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    if path.is_dir():
        assert sum(file.stat().st_size for file in path.iterdir()) > 25 * MIB
        shutil.rmtree(path)
        return int(done.stdout)
    assert path.stat().st_size > 25 * MIB
    path.unlink()
    return int(done.stdout)


OPERATIONS = {
    "pack": ("safetensors", "x.ptf", "zstd copy"),
    "unpack": ("ptf", "x.safetensors", "copy"),
    "into shards": ("safetensors", "shards", "sharded copy"),
    "from shards": ("folder", "x.safetensors", "copy"),
    "convert, mapped": ("safetensors", "x.msgpack", "convert"),
    "convert, compressed": ("ptf", "x.msgpack", "convert"),
    "edit": ("ptf", "x.safetensors", "edit"),
    "diff and statistics": ("ptf", "x.safetensors", "diff"),
    "convert and compress": ("safetensors", "x.ptf", "zstd convert"),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_peak_memory_does_not_grow(name: str, folder: Path) -> None:
    suffix, target, what = OPERATIONS[name]
    small, large = (peak(folder / f"{size}.{suffix}", target, what) for size in ("small", "large"))
    assert large < BOUND
    assert large - small < GROWTH


def test_the_measure_sees_a_tensor_that_is_held(folder: Path) -> None:
    """The same measure on a reader that decodes: it would fail."""
    held = MEASURE.replace(
        "    copy(source, target, **options)", "    import ptformat; kept = ptformat.load_file(source)"
    )
    assert held != MEASURE
    command = [sys.executable, "-c", held, str(folder / "small.ptf"), "", "copy"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    assert int(done.stdout) > 60 * MIB
