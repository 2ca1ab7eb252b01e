"""Small files that faults are put into, and ways to put them there."""

from __future__ import annotations

from collections.abc import Callable

from .. import blocks, forms
from ..draft import Draft

# Field of the trailer -> (offset in it, bytes).
TRAILER = {
    "offset": (0, 8),
    "stored": (8, 8),
    "decoded": (16, 8),
    "sum": (24, 8),
    "flags": (32, 4),
    "major": (36, 2),
    "minor": (38, 2),
    "length": (40, 8),
}


def sample() -> Draft:
    """Every type of entry; what it says is in no place longer than it has to be."""
    return (
        Draft(convention="torch", metadata={"a": 1})
        .tensor("w", "float32", (2, 3), axes=["out", "in"], role="parameter", trainable=True)
        .tensor("b", "int8", (5,))
        .alias("t", "w", (1, 0))
        .value("v", 7)
        .node("l", "list")
        .value("l.0", "text")
    )


def full() -> Draft:
    """Every key of the index that section 3.2 lists."""
    return (
        Draft(convention="torch", dialect="plain", metadata={"a": 1}, provenance={"b": 2})
        .tensor(
            "w", "float32", (2, 3), axes=["out", "in"], role="parameter", trainable=True, class_="W", attrs={"c": 3}
        )
        .alias("t", "w", (1, 0), role="buffer", trainable=False)
        .value("v", 7)
        .node("m", "keys", keys=[1], module="linear", class_="M")
        .value("m.1", "text")
        .node("l", "list")
    )


def put(data: bytes, at: int, new: bytes) -> bytes:
    """The data with other bytes at a place; a negative one counts from the end."""
    start = at % len(data)
    if start + len(new) > len(data):
        raise ValueError(f"{len(new)} bytes at {at} of {len(data)}")
    return data[:start] + new + data[start + len(new) :]


def flipped(data: bytes, at: int, bit: int = 0) -> bytes:
    """The data with one bit changed."""
    return put(data, at, bytes([data[at] ^ 1 << bit]))


def putting(at: int, new: bytes) -> Callable[[bytes], bytes]:
    """`put` of whatever data comes."""
    return lambda data: put(data, at, new)


def flipping(at: int, bit: int = 0) -> Callable[[bytes], bytes]:
    """`flipped` of whatever data comes."""
    return lambda data: flipped(data, at, bit)


def giving(data: bytes) -> Callable[[bytes], bytes]:
    """This data, whatever comes."""
    return lambda _: data


def bounded(data: bytes, ratio: int = 256) -> bytes:
    """A frame of raw blocks and RLE blocks, for an index of long runs; the data is at most `ratio` times as long."""
    lead = -(-len(data) // ratio)
    rest = data[lead:]
    runs = blocks.squeezed(rest)[len(blocks.header(len(rest))) :]
    return blocks.header(len(data)) + blocks.raw_blocks(data[:lead], last=False) + runs


def index_of(draft: Draft) -> bytes:
    """The decoded index of the draft's file."""
    return forms.keyed(draft.keys())


def beside(raw: bytes) -> dict[str, bytes]:
    """Keys of the sample's index in which `raw`, some msgpack, stands in the middle: in its metadata."""
    return {"metadata": forms.mapping([(forms.text("a"), raw), (forms.text("b"), forms.integer(2))])}


def at_end(raw: bytes) -> dict[str, bytes]:
    """Keys of the sample's index in which `raw` is what the index ends with: the last of two values."""
    return {"value": forms.head("array", 2) + forms.integer(7) + raw}
