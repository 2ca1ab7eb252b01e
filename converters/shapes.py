"""Lists of shapes in JSON: a tree without elements, of which a plan can be made; and any source as such a list.

Accepted are, at the top or beneath `tensors` of `{"convention": "torch", "tensors": …}`:

    {"0.weight": [8, 4], "0.bias": {"shape": [8], "dtype": "bfloat16"}, "4.weight": {"alias": "0.weight"}}
    {"params": {"layers_0": {"kernel": [4, 8]}}}
    [{"path": "0.weight", "shape": [8, 4], "dtype": "float32"}, {"path": "4.weight", "alias": "0.weight"}]

and the header of a .safetensors file. The element type is float32 where none is given; torch's spelling
`torch.float32` and safetensors' `F32` are known too. A tensor may say its `axes`, `role`, `trainable`, `class` and
`attrs`, as in a file's index.

What `to_json` makes also lists nodes, `{"form": "part", "module": "linear", …}`, and values, `{"value": 3}`. A list in
which any entry has a form is read as the whole tree, each key as a path in the format's grammar; in others a key is the
name of the tensor, with a backslash only where it is a path already.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from ptformat.atomic import PathLike
from ptformat.columns import Header
from ptformat.errors import FormatError
from ptformat.tree import Entry, Node

from . import json_text
from .content import Source
from .described import DescribedSource
from .objects import SHORT
from .shape_entries import Tree, entry_of, is_leaf, is_shape, said_of, shown

MAX_BYTES = 64 * 2**20
KIND = "shapes"
_HEAD = {"convention", "dialect", "tensors"}


def read(path: PathLike) -> Source:
    """The list in a file as a source without elements.

    Raises:
        FormatError: As `parse`; LIMIT for a file of more than 64 MiB.
        OSError: When it cannot be read.
    """
    with open(path, "rb") as file:
        text = file.read(MAX_BYTES + 1)
    return parse(text, os.fspath(path))


def parse(text: str | bytes, name: str = KIND) -> Source:
    """The list in JSON text as a source without elements.

    Raises:
        FormatError: MALFORMED for what is no JSON, DUPLICATE for a key that stands twice in a map, LIMIT for more than
            64 MiB; and as `source`.
    """
    if len(text) > MAX_BYTES:
        raise FormatError("LIMIT", f"{name}: more than {MAX_BYTES} bytes")
    return source(json_text.parse(text, name), name)


def source(document: Any, name: str = KIND) -> Source:
    """A list of shapes, as JSON gives it, as a source without elements.

    Raises:
        FormatError: SCHEMA for what is no such list, and where; SHAPE, DTYPE, ALIAS, PATH, DUPLICATE, LIMIT, TREE for
            what no file could hold.
    """
    head, tensors = _headed(document, name)
    try:
        if isinstance(tensors, list):
            tensors = _listed(tensors)
        if any(isinstance(said, Mapping) and type(said.get("form")) is str for said in tensors.values()):
            entries = [entry_of(path, said) for path, said in tensors.items()]
        elif {*tensors} == {""}:
            entries = [entry_of("", tensors[""])]  # a tree that is one tensor
        else:
            entries = Tree(tensors).entries()
        return DescribedSource([(entry, None) for entry in _told(entries)], head, name, KIND)
    except FormatError as error:
        raise FormatError(error.code, f"{name}: {error.message}", path=error.path) from error


def _headed(document: Any, name: str) -> tuple[Header, Any]:
    """The header and the tensors of a document."""
    if not isinstance(document, (Mapping, list)):
        raise FormatError("SCHEMA", f"{name}: a {_kind(document)}, expected a map or a list of shapes")
    if isinstance(document, list):
        return Header(), document
    if isinstance(document.get("weight_map"), Mapping):
        raise FormatError(
            "FORMAT", f"{name}: weight_map says which file holds a tensor, not its shape; give the folder"
        )
    said: dict[str, Any] = {}
    held: Any = document
    within = document.get("tensors")
    if (isinstance(within, Mapping) and not is_leaf(within)) or (isinstance(within, list) and not is_shape(within)):
        held = within
        said = {key: value for key, value in document.items() if key != "tensors"}
        if unknown := sorted(said.keys() - _HEAD):
            raise FormatError("SCHEMA", f"{name}: {unknown[0]!r} beside 'tensors', expected convention or dialect")
        for key, value in said.items():
            if type(value) is not str or not value:
                raise FormatError("SCHEMA", f"{name}: {key} is {value!r}, expected a name")
    elif "__metadata__" in document:  # of a .safetensors file
        held = {key: value for key, value in document.items() if key != "__metadata__"}
        metadata = document["__metadata__"]
        if isinstance(metadata, Mapping) and metadata.get("format") == "pt":
            said["convention"] = "torch"
    convention = said.get("convention")
    return Header(convention=SHORT.get(convention or "", convention), dialect=said.get("dialect")), held


def _listed(items: list[Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for place, item in enumerate(items):
        if not isinstance(item, Mapping) or type(item.get("path")) is not str:
            what = f"item {place} is {shown(item)}, expected a map with a path"
            raise FormatError("SCHEMA", what)
        path = item["path"]
        if path in found:
            raise FormatError("DUPLICATE", f"path {path!r} stands twice", path=path)
        found[path] = {key: value for key, value in item.items() if key != "path"}
    return found


def _told(entries: list[Entry]) -> list[Entry]:
    """The entries without the root's node where it only said that the list is a whole tree."""
    if len(entries) > 1 and entries[0] == Node("", "map"):
        return entries[1:]
    return entries


def _kind(found: Any) -> str:
    return {str: "string", int: "number", float: "number", type(None): "null"}.get(type(found), type(found).__name__)


def to_json(held: Source) -> dict[str, Any]:
    """The names, shapes and kinds of any source, as `source` reads them back: the same entries.

    Args:
        held: A file or live object.

    Returns:
        What `json.dumps` takes, in the order of the entries: `{"convention": "torch", "tensors": {"": {"form": "flat"},
        "0.weight": {"shape": [8, 4], "dtype": "float32", "axes": ["out", "in"]}, "4.weight": {"alias": "0.weight"}}}`.
    """
    tensors: dict[str, Any] = {}
    if not any(isinstance(entry, Node) for entry in held.entries):
        tensors[""] = {"form": "map"}
    tensors |= {entry.path: said_of(entry) for entry in held.entries}
    head = {"convention": held.header.convention, "dialect": held.header.dialect}
    return {**{key: value for key, value in head.items() if value}, "tensors": tensors}
