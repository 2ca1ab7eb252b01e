"""The saves that are made to fail: a row each; new names and old ones, every kind of file, every way to write."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from ptformat.converters.files import open_source
from ptformat.tree import TensorInfo

from . import acts
from .acts import Act, command, copy, old, save, save_large
from .child import computed, finished


@dataclass(frozen=True)
class Save:
    """A save in a folder of its own.

    Attributes:
        name: What the row is called.
        act: What writes.
        target: The name that is written, beneath `to/`.
        old: What makes the old file; None for a new name.
        source: What makes a source beneath `from/`, for saves that have one.
        memory: Whether the folder is on tmpfs and not on a disk.
        durable: Whether the result must be on the disk.
        ready: What a process does before the save, so as to have everything imported; where that survives no fork.
        fixed: Whether the same files are written each time: their paths are then known, and their bytes compared.
        readonly: Whether nothing may be written in `to/`.
        quick: Whether the short run has it.
    """

    name: str
    act: Act
    target: str = "x.ptf"
    old: Act | None = None
    source: Act | None = None
    memory: bool = False
    durable: bool = True
    ready: Act | None = None
    fixed: bool = True
    readonly: bool = False
    quick: bool = False

    def prepare(self, folder: Path) -> None:
        """Make the folder, and what is in it before."""
        for name in ("to", "from"):
            (folder / name).mkdir(parents=True)
        for make in (self.source, self.old):
            if make:
                finished(make, folder)
        if self.readonly:
            (folder / "to").chmod(0o555)

    def identity(self, folder: Path) -> str | None:
        """What tells a content under the name from another; None where there is nothing."""
        path = folder / "to" / self.target
        if not path.exists():
            return None
        return content(path) if self.fixed else computed(lambda: elements(path))


OLD, FOLDER, ORBAX = old("x.ptf"), old("model"), old("x.orbax")
SAVES = (
    Save("new, raw", save(), quick=True),
    Save("new, raw, not durable", save(durable=False), durable=False),
    Save("new, planes", save(codec="planes"), quick=True),
    Save("new, streamed", acts.stream),
    Save("old, raw", save(), old=OLD, quick=True),
    Save("old, raw, not durable", save(durable=False), old=OLD, durable=False),
    Save("old, auto", save(codec="auto"), old=OLD),
    Save("old, zstd, not durable", save(codec="zstd", durable=False), old=OLD, durable=False),
    Save("old, behind links", save(), old=acts.old_behind_links, quick=True),
    Save("new, large, memory", save_large(durable=False), memory=True, durable=False),
    Save("old, large, memory", save_large(durable=True), old=OLD, memory=True, quick=True),
    Save("old, large, disk", save_large(durable=True), old=OLD),
    Save("new, read-only", save(), readonly=True, quick=True),
    Save("old, read-only", save(), old=OLD, readonly=True),
    Save("pack", command("pack", "from/model", "to/x.ptf"), source=acts.source_folder, old=OLD),
    Save(
        "unpack, safetensors",
        command("unpack", "from/model.ptf", "to/x.safetensors"),
        "x.safetensors",
        old=old("x.safetensors"),
        source=acts.source,
        quick=True,
    ),
    Save(
        "convert, msgpack",
        command("convert", "from/model.ptf", "to/x.msgpack", "--to", "linen"),
        "x.msgpack",
        old=old("x.msgpack"),
        source=acts.source,
    ),
    Save("edit", acts.edit, old=OLD, source=acts.source),
    Save("npz", copy("x.npz"), "x.npz", old=old("x.npz"), source=acts.source),
    Save("pt", copy("x.pt"), "x.pt", old=old("x.pt"), source=acts.source),
    Save("new, sharded", copy("model"), "model", source=acts.source),
    Save("old, sharded", copy("model", "model"), "model", old=FOLDER, source=acts.source_folder, quick=True),
    Save(
        "old, sharded, not durable",
        copy("model", durable=False),
        "model",
        old=FOLDER,
        source=acts.source,
        durable=False,
    ),
    Save(
        "old, sharded, behind a link",
        command("unpack", "from/model.ptf", "to/model", "--max-shard-size", "100KB"),
        "model",
        old=acts.old_folder_behind_a_link,
        source=acts.source,
    ),
    Save("new, sharded, read-only", copy("model"), "model", source=acts.source, readonly=True),
    Save("new, orbax", copy("x.orbax"), "x.orbax", source=acts.source_small, ready=acts.orbax_once, fixed=False),
    Save(
        "old, orbax",
        copy("x.orbax"),
        "x.orbax",
        old=ORBAX,
        source=acts.source_small,
        ready=acts.orbax_once,
        fixed=False,
    ),
)


def content(path: Path) -> str:
    """sha256 of a file, or of the names and files of a directory."""
    if path.is_file():
        return hashlib.sha256(path.read_bytes()).hexdigest()
    total = hashlib.sha256()
    for file in sorted(path.rglob("*")):
        total.update(f"{file.relative_to(path)}\0{content(file) if file.is_file() else ''}\0".encode())
    return total.hexdigest()


def elements(path: Path) -> str:
    """sha256 of the entries of any kind of file, and of their bytes."""
    total = hashlib.sha256()
    source = open_source(path)
    try:
        for entry in source.entries:
            total.update(f"{entry}\0".encode())
            if isinstance(entry, TensorInfo):
                for piece in source.pieces(entry.path):
                    total.update(piece)
    finally:
        source.close()
    return total.hexdigest()
