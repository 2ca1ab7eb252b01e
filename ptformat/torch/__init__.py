"""torch: state dicts, trees of tensors, and modules.

from ptformat.torch import load_model, save_model

save_model(model, "model.ptf")
load_model(model, "model.ptf")
"""

from __future__ import annotations

from typing import Any, Unpack

from ..errors import MissingPackage

try:
    import torch  # noqa: F401
except ModuleNotFoundError as error:
    raise MissingPackage("ptformat.torch needs torch: pip install 'ptformat[torch]'", name="torch") from error

from .. import containers
from ..atomic import PathLike
from ..reader import Reader, read
from ..saving import Options, put, to_bytes
from ..writer import Writer
from . import tensors, versions
from .loading import load_model
from .modules import save_model
from .tensors import Device

__all__ = ["load", "load_file", "load_model", "save", "save_file", "save_model"]


def save_file(tree: Any, path: PathLike, *, copy_overlaps: bool = False, **options: Unpack[Options]) -> None:
    """Save a state dict, or tensors and values in dicts, lists, tuples and namedtuples nested in any way.

    Every element type keeps its bits. Tensors are stored in logical order whatever their strides; a tensor that is
    an earlier one again (see `ties.find`), or that with its axes permuted, is stored once and tied. NumPy arrays and
    scalars among them stay what they are. The `_metadata` of a state dict, wherever it stands, goes into the file's
    metadata under `torch._metadata`.

    Args:
        tree: What to save. Parameters are saved as their tensors; `save_model` also keeps what they are.
        path: The file to write, replaced in one step.
        copy_overlaps: Store tensors that share only some of their elements apart, rather than refuse them.
        options: The keyword options of `ptformat.Writer`.

    Raises:
        FormatError: TYPE with every sparse, quantised, nested, meta, fake or uninitialised tensor and every object
            that is none; DTYPE; TIE with every two tensors that overlap; PATH.
        OSError: From the file system; the file that was there before is whole.
    """
    found = tensors.entries(tree, copy_overlaps=copy_overlaps)
    options.setdefault("convention", "torch")
    options["metadata"] = versions.stored(tree, options.get("metadata"))
    with Writer(path, **options) as out:
        put(out, found)


def save(tree: Any, *, copy_overlaps: bool = False, **options: Unpack[Options]) -> bytes:
    """`save_file` into bytes."""
    found = tensors.entries(tree, copy_overlaps=copy_overlaps)
    options.setdefault("convention", "torch")
    options["metadata"] = versions.stored(tree, options.get("metadata"))
    return to_bytes(found, **options)


def load_file(path: PathLike, *, device: Device = "cpu", verify: bool = False, mapped: bool = True) -> Any:
    """What was saved: a state dict, flat as it was, or the containers with their tensors and values.

    Tied tensors are one object under every name; a tie with a `perm` is a permuted view of it. On the CPU raw tensors
    lie in a private map of the file, without a copy: they are writable, and writing never changes the file. A state
    dict that was saved with its `_metadata` is an OrderedDict that has it; other mappings are dicts.

    Args:
        path: The .ptf file.
        device: Where the tensors go.
        verify: Check the checksums of raw tensors too.
        mapped: Map the file rather than read it: see `ptformat.open`.

    Raises:
        FormatError: The first rule the file breaks; DTYPE with every tensor whose element type torch has not.
        OSError: When it cannot be read.
    """
    return _tree(read(path, verify=verify, mapped=mapped, private=True), device)


def load(data: bytes, *, device: Device = "cpu", verify: bool = False) -> Any:
    """`load_file` of a file's bytes."""
    return _tree(Reader(bytearray(data), verify=verify), device)


def _tree(reader: Reader, device: Device) -> Any:
    leaves = tensors.leaves(reader, device=device)
    tree = containers.assemble(reader.index, leaves.__getitem__)
    return versions.put_back(tree, versions.of(reader.metadata))
