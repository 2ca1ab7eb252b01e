"""Opening a file, and loading it whole: as a flat dict, or as the tree that was saved."""

from __future__ import annotations

from typing import Any

from . import containers
from .atomic import PathLike
from .paths import join_flat, parse
from .reader import Reader, read


def open(path: PathLike, *, verify: bool = False, mapped: bool = True) -> Reader:
    """Open a file: checks the index, reads no tensor.

    Args:
        path: The .ptf file.
        verify: Check the checksums of raw tensors too, each time one is taken. Compressed ones always are.
        mapped: Map the file: a raw tensor is a view of it, and read where it is touched. Should another program cut the
            file, or the disk or network fail, the system then ends the process (SIGBUS). Without, each tensor is read
            when it is taken, into memory of its own, and those are errors like any other.

    Raises:
        FormatError: The first rule the file breaks.
        OSError: When it cannot be read.
    """
    return read(path, verify=verify, mapped=mapped)


def load_file(path: PathLike, *, verify: bool = False, mapped: bool = True) -> dict[str, Any]:
    """A flat dict of path -> NumPy array or value. Arrays are writable; writing never changes the file.

    A file saved from a flat mapping, such as a state dict, gives back its keys; any other its dotted paths. Tied
    tensors are one array object under every name. `verify` and `mapped` are those of `open`.

    Raises:
        FormatError: The first rule the file breaks.
        OSError: When it cannot be read.
    """
    return flat(read(path, verify=verify, mapped=mapped, private=True))


def load_tree(path: PathLike, *, verify: bool = False, mapped: bool = True) -> Any:
    """The tree as it was saved: dicts, lists, tuples, namedtuples (as `Record`), arrays and values."""
    return tree(read(path, verify=verify, mapped=mapped, private=True))


def load(data: bytes, *, verify: bool = False) -> dict[str, Any]:
    """`load_file` of a file's bytes."""
    return flat(Reader(data, verify=verify, _copied=True))


def flat(reader: Reader) -> dict[str, Any]:
    """Key or path -> array or value, as `load_file` gives them."""
    loaded = reader.load()
    forms = [(path, node.form) for path, node in reader.index.nodes.items() if node.form != "part"]
    if forms == [("", "flat")] and any("\\" in path for path in loaded):
        return {join_flat(parse(path)): leaf for path, leaf in loaded.items()}
    return loaded


def tree(reader: Reader) -> Any:
    """The containers that were saved, as `load_tree` gives them."""
    loaded = reader.load()
    return containers.assemble(reader.index, loaded.__getitem__)
