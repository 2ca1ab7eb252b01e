"""A home for neural-network parameters that belongs to no framework.

import ptformat

ptformat.save_file({"0.weight": array}, "net.ptf")
with ptformat.open("net.ptf") as file:
    file["0.weight"]  # a view of the mapped file
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .containers import Record as Record
    from .errors import FormatError as FormatError
    from .loading import load as load
    from .loading import load_file as load_file
    from .loading import load_tree as load_tree
    from .loading import open as open
    from .reader import Reader as Reader
    from .saving import save as save
    from .saving import save_file as save_file
    from .slices import Slice as Slice
    from .tree import Alias as Alias
    from .tree import Branch as Branch
    from .tree import Leaf as Leaf
    from .tree import Node as Node
    from .tree import TensorInfo as TensorInfo
    from .tree import Value as Value
    from .verification import Verified as Verified
    from .verification import verify as verify
    from .writer import Writer as Writer

__version__ = "0.1.0"

# Name -> module. Loaded when first asked for: `ptformat --help` then needs no NumPy.
_FACE = {
    "Alias": "tree",
    "Branch": "tree",
    "FormatError": "errors",
    "Leaf": "tree",
    "Node": "tree",
    "Reader": "reader",
    "Record": "containers",
    "Slice": "slices",
    "TensorInfo": "tree",
    "Value": "tree",
    "Verified": "verification",
    "Writer": "writer",
    "load": "loading",
    "load_file": "loading",
    "load_tree": "loading",
    "open": "loading",
    "save": "saving",
    "save_file": "saving",
    "verify": "verification",
}
__all__ = [*_FACE, "__version__"]


def __getattr__(name: str) -> object:
    if name not in _FACE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f".{_FACE[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
