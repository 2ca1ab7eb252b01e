"""A Hugging Face model directory as source and sink.

The weights stand under the names that transformers looks for; config.json, tokenizer and whatever else lies beside
them and is no weights is copied along.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ptformat import paths
from ptformat.atomic import AtomicFile, PathLike, naming
from ptformat.dtypes import Array
from ptformat.errors import FormatError

from ..content import Content, Pieces, Saving
from . import sharded
from .folder import walk, whole_folder
from .safetensors import Holding, holding, name_of
from .sharded import inside, is_ours

# In the order in which transformers tries them.
WEIGHTS = (sharded.SINGLE, sharded.INDEX, "pytorch_model.bin", "pytorch_model.bin.index.json")
# What is not copied along: weights of any kind, pickles, archives.
_SUFFIXES = (
    *(".safetensors", ".ptf", ".bin", ".pt", ".pth", ".ckpt", ".h5", ".hdf5", ".msgpack", ".npz", ".npy", ".ot"),
    *(".onnx", ".onnx_data", ".pb", ".tflite", ".gguf", ".ggml", ".mlmodel", ".nemo"),
    *(".pkl", ".pickle", ".zip", ".tar", ".gz"),
)
_PIECE = 2**20
# Names of the output side: transformers ties these to the input side's tensor, which must be the one that is kept.
_OUTPUT = {
    *("lm_head", "head", "heads", "cls", "predictions", "decoder", "output", "output_projection", "proj_out"),
    *("embed_out", "classifier", "generator"),
}


def recognises(path: Path, head: bytes) -> bool:
    """Whether a path is a directory that holds weights under one of those names."""
    return not head and path.is_dir() and _weights(path) is not None


def _weights(folder: Path) -> Path | None:
    """The file of weights in a directory, by its names: one that cannot be looked at is there all the same."""
    names = os.listdir(folder)
    return next((folder / name for name in WEIGHTS if name in names), None)


class HuggingFaceSource:
    """The weights of a model directory: one file, or shards."""

    kind = "huggingface"
    notes: Sequence[str] = ()

    def __init__(self, path: PathLike) -> None:
        from . import open_source

        self.name = os.fspath(path)
        folder = Path(path)
        file = _weights(folder)
        if file is None:  # since it was recognised
            raise FileNotFoundError(errno.ENOENT, "the weights are gone", self.name)
        self._weights = open_source(inside(folder, file))
        self.entries = self._weights.entries
        self.header = self._weights.header

    def array(self, path: str) -> Array:
        """The tensor as its file gives it."""
        return self._weights.array(path)

    def pieces(self, path: str) -> Pieces:
        """Its bytes as its file gives them."""
        return self._weights.pieces(path)

    def close(self) -> None:
        """Let go of every file."""
        self._weights.close()


def write(content: Content, path: PathLike, saving: Saving) -> None:
    """Write the weights, sharded above `max_shard_bytes`, and copy what lies beside those of a source directory.

    Raises:
        FormatError: What a .safetensors file cannot hold; FORMAT when a directory of that name holds the source, or
            anything that would be lost; PATH for a link that leads out of the source directory.
        OSError: From the file system; the directory that was there before is whole.
    """
    held = for_transformers(holding(content))
    beside = companions(Path(saving.origin)) if saving.origin is not None else []
    _check_replaced(Path(path), {str(name) for name in beside}, saving.origin)
    with whole_folder(path, lambda _: True, durable=saving.durable) as made:
        sharded.write(held, content, made, saving.max_shard_bytes)
        for name in beside:
            (made / name).parent.mkdir(parents=True, exist_ok=True)
            _copy(Path(saving.origin or "") / name, made / name)


def _copy(source: Path, target: Path) -> None:
    """As `shutil.copyfile`, whose errors do not tell which of the two failed."""
    with AtomicFile(target, durable=False) as out, naming(source, unless_named=True), open(source, "rb") as file:
        while data := file.read(_PIECE):
            out.write(data)


def for_transformers(held: Holding) -> Holding:
    """The same with each tie's tensor under the name from which transformers ties the others.

    It loads no model in which only `lm_head.weight` is stored and the embedding is not.
    """
    groups: dict[str, list[str]] = {}
    for gone, kept in held.tied.items():
        groups.setdefault(kept, [kept]).append(gone)
    best = {kept: min(group, key=_output_side) for kept, group in groups.items()}
    tied = {name: best[kept] for kept, group in groups.items() for name in group if name != best[kept]}
    tensors = []
    for info, entry in held.tensors:
        name = name_of(info.path)
        if best.get(name, name) != name:
            info = replace(info, path=paths.render([best[name]]))
        tensors.append((info, entry))
    return Holding(tensors, tied, held.metadata)


def _output_side(name: str) -> tuple[bool, bool]:
    segments = set(name.split("."))
    return "shared" not in segments, bool(segments & _OUTPUT)


def companions(folder: Path) -> list[Path]:
    """What is copied along with the weights of a model directory, relative to it; nothing of any other source.

    Hidden files and folders are left out.
    """
    if not recognises(folder, b""):
        return []
    found = []
    for at, folders, files in walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            file = Path(at, name)
            if name.startswith(".") or file.suffix.lower() in _SUFFIXES or name.endswith(".index.json"):
                continue
            found.append(inside(folder, file).relative_to(folder))
    return found


def _check_replaced(target: Path, beside: set[str], origin: str | None) -> None:
    """A directory that is replaced loses nothing but weights that were written here, and never the source."""
    if not target.is_dir():
        return
    if origin is not None and Path(os.path.realpath(origin)).is_relative_to(os.path.realpath(target)):
        raise FormatError("FORMAT", f"{target} holds the source; give the result another name")
    for at, folders, files in walk(target):
        for name in sorted([*files, *(name for name in folders if Path(at, name).is_symlink())]):
            shown = str(Path(at, name).relative_to(target))
            if shown not in beside and not is_ours(shown):
                raise FormatError("FORMAT", f"{target} holds {shown!r}, which would be lost; give another name")
