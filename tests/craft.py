"""Files for tests, sound but for one fault: taken apart, edited, put together with every checksum repaired."""

from __future__ import annotations

import struct
from typing import Any

import msgpack
import numpy as np
import xxhash
import zstandard

import ptformat

ABSENT = object()  # as a value of `edit`: the key is taken out


def sample(**options: Any) -> bytes:
    """Every type of entry: tensors of 24 and 5 bytes, an alias with perm, a value, a list."""
    weight = np.arange(6, dtype=np.float32).reshape(2, 3)
    out: ptformat.Writer
    with memory(**options) as out:
        out.tensor("a", weight, axes=("out", "in"), role="parameter", trainable=True)
        out.tensor("b", np.arange(5, dtype=np.int8))
        out.alias("c", "a", (1, 0))
        out.value("v", 7)
        out.node("l", "list")
        out.value("l.0", "text")
    return out.getvalue()


class memory(ptformat.Writer):
    """A `Writer` into memory."""

    def __init__(self, **options: Any) -> None:
        import io

        self.buffer = io.BytesIO()
        super().__init__("", _output=self.buffer, **options)

    def getvalue(self) -> bytes:
        return self.buffer.getvalue()


def trailer(data: bytes) -> tuple[int, ...]:
    """Index offset, stored, decoded, sum, flags, major, minor, file length."""
    return struct.unpack_from("<4QI2HQ", data, len(data) - 64)


def index_bytes(data: bytes) -> bytes:
    offset, stored, _, _, flags, *_ = trailer(data)
    raw = data[offset : offset + stored]
    return zstandard.ZstdDecompressor().decompress(raw) if flags & 1 else raw


def index_map(data: bytes) -> dict[str, Any]:
    content: dict[str, Any] = msgpack.unpackb(index_bytes(data))
    return content


def body(data: bytes) -> bytes:
    """Preamble, chunks and gaps."""
    return data[: trailer(data)[0]]


def packed(content: Any) -> bytes:
    """msgpack with map keys in byte order."""
    result: bytes = msgpack.packb(ordered(content))
    return result


def ordered(content: Any) -> Any:
    if isinstance(content, dict):
        return {key: ordered(content[key]) for key in sorted(content, key=str.encode)}
    return [ordered(item) for item in content] if isinstance(content, (list, tuple)) else content


def assemble(
    start: bytes, index: bytes, *, decoded: int | None = None, compressed: bool = False, **facts: int
) -> bytes:
    """A file of `start` (all before the index) and stored index bytes; `facts` override those of the trailer."""
    held: dict[str, int] = {
        "offset": len(start),
        "stored": len(index),
        "decoded": len(index) if decoded is None else decoded,
        "sum": xxhash.xxh3_64_intdigest(index),
        "flags": int(compressed),
        "major": 1,
        "minor": 0,
        "length": len(start) + len(index) + 64,
    }
    held.update(facts)
    head = struct.pack("<4QI2HQ", *held.values())
    return start + index + head + struct.pack("<Q", xxhash.xxh3_64_intdigest(head)) + b"\x89PTF\r\n\x1a\n"


def edit(data: bytes, **changes: Any) -> bytes:
    """The file with keys of its index replaced, added or (`ABSENT`) taken out; `class_` is the key `class`."""
    content = index_map(data)
    for name, value in changes.items():
        if value is ABSENT:
            del content[name.rstrip("_")]
        else:
            content[name.rstrip("_")] = value
    return assemble(body(data), packed(content))


def column(kind: str, *numbers: int) -> bytes:
    """A packed column: `column("u4", 1, 2)`."""
    return np.array(numbers, f"<{kind}").tobytes()


def sparse(rows: list[int], picks: list[int], table: list[Any]) -> list[Any]:
    return [column("u4", *rows), column("u4", *picks), table]


def tree_file(*entries: tuple[str, str], **keys: Any) -> bytes:
    """A file without tensors: (path, form) is a node, (path, "value") a value; `keys` go into the index."""
    forms = ("map", "list", "tuple", "namedtuple", "flat", "keys", "part")
    nodes = [form for _, form in entries if form != "value"]
    content = {
        "requires": [],
        "chunk": 64,
        "path": "\n".join(path for path, _ in entries),
        "value": [None] * (len(entries) - len(nodes)),
        "type": bytes(2 if form == "value" else 3 for _, form in entries),
        "form": bytes(map(forms.index, nodes)),
        **dict.fromkeys(("dtype", "rank", "dims", "codec", "stored", "sum", "alias"), b""),
        **{name.rstrip("_"): value for name, value in keys.items()},
    }
    return assemble(b"\x89PTF\r\n\x1a\n\x01\0\0\0" + bytes(52), packed(content))
