"""This library as an implementation under test: JSON lines on standard input and output (README, "The protocol").

Nothing is caught but what a reader may say of a file: any other exception ends the process, which the suite counts.
"""

from __future__ import annotations

import base64
import hashlib
import json
import struct
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import IO, Any

import numpy as np

import ptformat
from ptformat import containers, dtypes
from ptformat.bands import byte_pieces
from ptformat.errors import READ_CODES
from ptformat.tree import Alias, Entry, Node, TensorInfo

Answer = dict[str, Any]
OPERATIONS = ("decode", "verify", "encode", "convert")


def serve(requests: IO[str], answers: IO[str]) -> None:
    """Answer requests, a line each, until one says stop."""
    for line in requests:
        request = json.loads(line)
        if request["op"] == "stop":
            return
        answer = answered(request)
        if "id" in request:
            answer["id"] = request["id"]
        print(json.dumps(answer), file=answers, flush=True)


def answered(request: Mapping[str, Any]) -> Answer:
    """The answer to a request.

    Raises:
        Exception: Whatever reading a file should not raise, as it is.
    """
    match request["op"]:
        case "hello":
            return {
                "result": "ok",
                "name": "ptformat",
                "version": ptformat.__version__,
                "operations": [*OPERATIONS],
            }
        case "decode":
            return _tried(request, _decode)
        case "verify":
            return _tried(request, _verify)
        case "encode":
            return _tried(request, _encode)
        case "convert":
            return _converted(request)
        case op:
            return {"result": "skipped", "reason": f"no operation {op!r}"}


def _tried(request: Mapping[str, Any], work: Callable[[ptformat.Reader, Mapping[str, Any]], Answer]) -> Answer:
    phase = "open"
    try:
        with _opened(request) as file:
            phase = "verify" if request["op"] == "verify" else "read"
            return {"result": "ok", **work(file, request)}
    except ptformat.FormatError as error:
        if error.code not in READ_CODES:
            raise
        return {"result": "reject", "code": error.code, "phase": phase, "message": error.message}


def _opened(request: Mapping[str, Any]) -> ptformat.Reader:
    if "data" in request:
        return ptformat.Reader(base64.b64decode(request["data"]))
    return ptformat.open(request["file"])


def _decode(file: ptformat.Reader, request: Mapping[str, Any]) -> Answer:
    return {"content": content(file)}


def _verify(file: ptformat.Reader, request: Mapping[str, Any]) -> Answer:
    ptformat.verify(base64.b64decode(request["data"]) if "data" in request else request["file"])
    return {}


def _encode(file: ptformat.Reader, request: Mapping[str, Any]) -> Answer:
    header = file.index.header
    with ptformat.Writer(
        request["out"],
        chunk=file.index.chunk,
        convention=header.convention,
        dialect=header.dialect,
        metadata=header.metadata,
        provenance=header.provenance,
        durable=False,
    ) as out:
        for entry in file.entries:
            out.add(entry, file[entry.path] if isinstance(entry, TensorInfo) else None)
    return {}


def _converted(request: Mapping[str, Any]) -> Answer:
    # Loaded when it is first asked for: what reads files does without.
    from ptformat.converters import ConversionError, convert

    try:
        plan = convert(request["file"], request["out"], to=request["to"], strict=True, durable=False)
    except ConversionError as error:
        return {"result": "refuse", "message": str(error)}
    steps = [
        {"target": entry["path"], "made": entry["made"], "exactness": entry["exactness"]}
        for entry in plan.to_json()["entries"]
        if "made" in entry
    ]
    return {"result": "ok", "plan": steps}


# ------------------------------------------------------------------------------------------------- the content


def content(file: ptformat.Reader) -> dict[str, Any]:
    """What a file holds, every tensor read and every checksum compared."""
    header = file.index.header
    made: dict[str, Any] = {"minor": str(file.minor), "chunk": str(file.index.chunk)}
    for name in ("convention", "dialect"):
        if said := getattr(header, name):
            made[name] = said
    for name in ("metadata", "provenance"):
        if said := getattr(header, name):
            made[name] = as_json(said)
    made["entries"] = list(_entries(file))
    made["tree"] = _tree(file)
    made["digest"] = file.digest()
    return made


def as_json(value: Any) -> Any:
    """A value of the index: integers as decimal strings, floats as patterns of bits."""
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int):
        return {"int": str(value)}
    if isinstance(value, float):
        return {"float": struct.pack(">d", value).hex()}
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    if isinstance(value, Mapping):
        return {"map": [[key, as_json(item)] for key, item in value.items()]}
    return [as_json(item) for item in value]


def _entries(file: ptformat.Reader) -> Iterator[dict[str, Any]]:
    sums = file.tensor_digests()
    for entry in file.entries:
        made: dict[str, Any] = {"type": _TYPES[type(entry)], "path": entry.path}
        if isinstance(entry, TensorInfo):
            made |= {"dtype": entry.dtype, "shape": list(map(str, entry.shape)), "sha256": sums[entry.path]}
        elif isinstance(entry, Alias):
            array = file[entry.path]
            made |= {"target": entry.target, "shape": list(map(str, array.shape))}
            made["sha256"] = _sum(array) if entry.perm else sums[entry.target]
            if entry.perm:
                made["perm"] = list(map(str, entry.perm))
        elif isinstance(entry, Node):
            made["form"] = entry.form
        else:
            made["value"] = as_json(entry.value)
        yield made | _said(entry)


_TYPES = {TensorInfo: "tensor", Alias: "alias", ptformat.Value: "value", Node: "node"}


def _said(entry: Entry) -> dict[str, Any]:
    facts = {name: getattr(entry, name, None) for name in ("axes", "role", "trainable", "class_", "module")}
    said = {name.rstrip("_"): value for name, value in facts.items() if value is not None}
    if "axes" in said:
        said["axes"] = list(said["axes"])
    for name in ("attrs", "keys"):
        if (value := getattr(entry, name, None)) is not None:
            said[name] = as_json(value)
    return said


def _sum(array: np.ndarray[Any, Any]) -> str:
    total = hashlib.sha256()
    for piece in byte_pieces(array, dtypes.of(array.dtype, "alias")):
        total.update(piece)
    return total.hexdigest()


class _Formed:
    """A container as a node says that it is; those without a node are plain dicts."""

    def __init__(self, node: Node, held: Any) -> None:
        self.node = node
        self.held = held


def _tree(file: ptformat.Reader) -> dict[str, Any]:
    try:
        made = containers.assemble(file.index, str, _Formed)
    except ptformat.FormatError as error:  # keys that are equal in Python
        return {"skipped": error.message}
    return _tree_json(made)


def _tree_json(made: Any) -> dict[str, Any]:
    if isinstance(made, str):
        return {"leaf": made}
    if isinstance(made, dict):
        return {"map": [[key, _tree_json(child)] for key, child in made.items()]}
    form, held = made.node.form, made.held
    if form in ("list", "tuple"):
        return {form: list(map(_tree_json, held))}
    if form == "keys":
        return {form: [[as_json(key), _tree_json(child)] for key, child in held.items()]}
    pairs = held._asdict() if form == "namedtuple" else held
    return {form: [[key, _tree_json(child)] for key, child in pairs.items()]}


if __name__ == "__main__":
    serve(sys.stdin, sys.stdout)
