"""What a save is made of: trees, sources, what stood under the name before, and the ways to write."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

import ptformat
from ptformat import cli, converters, pages
from ptformat.tree import Alias, Node, TensorInfo, Value

MIB = 2**20
SHARD_BYTES = 100_000
Act = Callable[[Path], None]  # given the folder of a save: it reads in from/ and writes in to/


@cache
def tree(seed: int, count: int = 5) -> dict[str, Any]:
    """Tensors that compress a little, small ones among them, by torch's names."""
    rng = np.random.default_rng(seed)
    found: dict[str, Any] = {}
    for i in range(count):
        found[f"{i}.weight"] = (rng.standard_normal((100, 200)) * 0.02).astype(np.float32)
        found[f"{i}.bias"] = rng.standard_normal(200).astype(np.float32)
    return found


def save(**options: Any) -> Act:
    """`ptformat.save_file` to x.ptf."""
    return lambda folder: ptformat.save_file(tree(1), folder / "to" / "x.ptf", **options)


def stream(folder: Path) -> None:
    """`Writer`: tensor by tensor, in pieces of any size, with an alias, a node and a value."""
    with ptformat.Writer(folder / "to" / "x.ptf", codec="zstd", chunk=2**14, metadata={"step": 7}) as out:
        out.add(Node("empty"))
        for name, array in tree(2, 2).items():
            out.pieces(TensorInfo(name, "float32", array.shape), (row.data for row in array.reshape(-1, 50)))
            out.add(Alias(f"tied.{name}", name))
        out.add(Value("step", 7))


def save_large(*, durable: bool) -> Act:
    """Large enough, with lower thresholds, for pages to be made ahead and sent behind."""

    def act(folder: Path) -> None:
        with pages_from(MIB):
            ptformat.save_file({"w": _large(), "b": _large()[:10]}, folder / "to" / "x.ptf", durable=durable)

    return act


@cache
def _large() -> Any:
    return np.random.default_rng(3).integers(0, 256, 5 * MIB + 1000, np.uint8)


@contextmanager
def pages_from(nbytes: int) -> Iterator[None]:
    """Pages of a new file made ahead, and sent to the disk, from a smaller file on than usual."""
    lower = {"FROM_BYTES": nbytes, "SEND_BYTES": nbytes, "STEP_BYTES": nbytes // 4, "NEAR_BYTES": nbytes}
    lower["AHEAD_BYTES"] = 4 * nbytes
    usual = {name: getattr(pages, name) for name in lower}
    try:
        for name, value in lower.items():
            setattr(pages, name, value)
        yield
    finally:
        for name, value in usual.items():
            setattr(pages, name, value)


def copy(target: str, source: str = "model.ptf", *, durable: bool = True) -> Act:
    """`converters.copy` of a source."""

    def act(folder: Path) -> None:
        places = folder / "from" / source, folder / "to" / target
        converters.copy(*places, max_shard_bytes=SHARD_BYTES, durable=durable)

    return act


def orbax_once(folder: Path) -> None:
    """tensorstore, which does not survive a fork, with all that it loads when it is first used."""
    converters.copy(folder / "from" / "model.ptf", folder.parent / "once.orbax", durable=False)


def edit(folder: Path) -> None:
    """`converters.edit` of the source, compressed."""
    converters.edit(folder / "from" / "model.ptf", folder / "to" / "x.ptf", drop=["1.*"], codec="auto")


def command(*args: str) -> Act:
    """The command line. What begins with `from/` or `to/` is a path."""

    def act(folder: Path) -> None:
        cli.commands.main([str(folder / arg) if arg.startswith(("from/", "to/")) else arg for arg in args])

    return act


def source(folder: Path) -> None:
    """from/model.ptf, compressed, with a tie."""
    with ptformat.Writer(folder / "from" / "model.ptf", codec="auto", convention="torch", durable=False) as out:
        for name, array in tree(1).items():
            out.tensor(name, array)
        out.alias("head.weight", "0.weight")


def source_small(folder: Path) -> None:
    """from/model.ptf, of one tensor."""
    ptformat.save_file({"w": tree(1)["0.weight"]}, folder / "from" / "model.ptf", durable=False)


def source_folder(folder: Path) -> None:
    """from/model, a Hugging Face directory: shards, and a config beside them."""
    source(folder)
    converters.copy(folder / "from" / "model.ptf", folder / "from" / "model", max_shard_bytes=SHARD_BYTES)
    (folder / "from" / "model" / "config.json").write_text(json.dumps({"model_type": "none"}))
    (folder / "from" / "model.ptf").unlink()


def old(target: str) -> Act:
    """Another tree under the name, in the form that the name asks for."""

    def act(folder: Path) -> None:
        ptformat.save_file(tree(0, 3), folder / "old.ptf", convention="torch", durable=False)
        if target.endswith(".ptf"):
            (folder / "old.ptf").rename(folder / "to" / target)
            return
        converters.copy(folder / "old.ptf", folder / "to" / target, max_shard_bytes=SHARD_BYTES, durable=False)
        (folder / "old.ptf").unlink()

    return act


def old_behind_links(folder: Path) -> None:
    """to/x.ptf leads over another link to the old file, in a folder of its own."""
    (folder / "to" / "deep").mkdir()
    old("deep/real.ptf")(folder)
    (folder / "to" / "deep" / "link.ptf").symlink_to("real.ptf")
    (folder / "to" / "x.ptf").symlink_to("deep/link.ptf")


def old_folder_behind_a_link(folder: Path) -> None:
    """to/model is a link to the old directory."""
    (folder / "to" / "deep").mkdir()
    old("deep/real")(folder)
    (folder / "to" / "model").symlink_to("deep/real")
