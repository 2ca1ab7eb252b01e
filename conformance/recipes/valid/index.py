"""The index (spec sections 2.2, 3.1 and 3.2): its keys, its columns at the ends of msgpack's forms, and compressed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from ..blocks import RAW, RLE, block, header, raw_blocks, raw_frame, rle_blocks, squeezed
from ..case import Case, accept
from ..draft import Draft
from .base import nulls

# The index of `_layers`, by zstd 1.5.7 through python-zstandard 0.25.0, without a checksum, at levels 3 and 19.
_LEVEL_3 = (
    "28b52ffd604705d50e0066da563f108f368d01000480903f8e0000c879630d48bb60d20c0000bb75e3c6df2e95ec6769f0000085"
    "8b1050b3ffefb71f621a033517b3d9dcf992b19807a2b53b0536004a0047003fe1e7f837fe08ff83dfc16ff919fc0afe04ff815f"
    "e32ff067fc04fe01bf803fc07ff15bfc959ff2a9249bec10bdeb162f2c7e1a97023f80bf82aa2412ebac99912e2a306a46a7062f"
    "c35265c803677d1cb0c4965d9607aae8e43e6d5e9c2645daac4e6a25ad597d6fe113205a07aabe11ed12c175b364341afe7feaef"
    "f15338cbd96c76a3d1ac86a296ca643683c12c669a76da2d5e193e2ecb81365c92c3c7652f5b4a01e262c8a3516a1746c2621722"
    "b79311841042aae397f043f81bfc0b7e04bf811fe3df22b2c3a2e8ab542a781e1836a50b1b5d0708132148a20f284c48d4acdb4a"
    "3ed59274721b894a4e6691c690c9c8ffff3fa927b2497a7521928e80144b05d122f5a69da6692f93c7b39e4e673b1c4e40a8b178"
    "c19240225a5294a4d018308319256e0312e0525c613633f1ce4c76f24f6d03166741d99fef0dd61a3da971a321639c49cc423001"
    "2610951341202358b689aad3830bef5d0709cefd2b5c70012b2c60810b2ca056b894bfdce80930106b6292906a02be031154c28a"
    "d16da08b26591590f22940b1801ddcab"
)
_LEVEL_19 = (
    "28b52ffd6047056d0d00161a53352093b3061061247a03086008f8e75f57fb080870ced346ae49aaac2e79ab0580e4000168ffdb"
    "ff55c9ffffbfbdbbbbebdef1da6f2934004a0043006bfc19ffc56ff153fc13bfe88ff81f7e879fe15ff8137e84dfe02ff809fe81"
    "3fe007f841ff87755dc29a42c96f483b8f960bcf02a6eb52bd91035db280d0c1755990844410ddfa5211b9f24f86e72674751cd9"
    "da2c28961fd8895f857de056b3e86e9503b7f241ce31f9c6d656b67c5d8c388232b1d8eff967ddbfe3e7f8a8893a9de6c9649aa6"
    "52699648a449d2b4a9cd90762362aba4ab281fa3399ab39d96485fa4a5f5eb3c9947c7931ad6c4fe8d1fe3aff8257e88bfe157f8"
    "0ffef90bfca12c75f428ac7c10c883ec1041cd422ec68d171c18196c4587c6e6bac650e60ffd03accb550b8aa1cc56b1baa8a52f"
    "9a96ea81966409abedec8ce723ba261fb5a4a669236db59a2b956aaa52a99942052c20006b860a9a03b2a1cf45605a8394a0b629"
    "d799164120d39e41008e9eefe18be8c1e94af89eb0067830c4310432c74de6b8c91c3799e32673dc648e9b4cc6ad20f85418e51b"
    "00d7b8982debdda4d738acaf8202071bac6bb6fb3a9d33"
)


def cases() -> Iterator[Case]:
    """Which keys there are, how long the columns are, how the index is stored."""
    yield from _keys()
    yield from _columns()
    yield from _compressed()
    yield from _order()


def _full() -> Draft:
    """A file with every key of version 1.0."""
    made = Draft(convention="torch", dialect="interleaved", metadata={"a": 1}, provenance={"b": 2})
    made.node("", "flat", module="sequential", class_="Net", attrs={"n": 1})
    made.tensor("w", "float32", (2, 3), axes=["out", "in"], role="parameter", trainable=False)
    made.alias("t", "w", (1, 0)).value("v", 7).node("k", "keys", keys=[1]).value("k.1")
    return made


def _keys() -> Iterator[Case]:
    def made(slug: str, comment: str, draft: Draft) -> Case:
        return accept(slug, draft, "3.2", comment)

    yield made("least", "thirteen keys, one null at the root", Draft().value(""))
    yield made("least-node", "an empty tree: one node of form map", Draft().node("", "map"))
    yield made("least-tensor", "one tensor at the root", Draft().tensor(""))
    yield made("every-key", "all keys of the version: a map of 16 and more", _full())
    headers: dict[str, Any] = {"convention": "torch", "dialect": "x", "metadata": {"k": None}, "provenance": {"k": [1]}}
    for name, value in headers.items():
        yield made(f"with-{name}", "the one key that need not be there", Draft(**{name: value}).tensor("x"))
    fifteen = Draft(convention="torch").tensor("x", role="parameter")
    yield made("of-15-keys", "the last fixmap", fifteen)
    yield made(
        "of-16-keys",
        "the first map with a length of two bytes",
        Draft(dialect="d", metadata={"a": 1}).tensor("x", role="r"),
    )
    yield made(
        "of-nodes-alone", "no tensor and no value", Draft().node("a", "list").node("b", "tuple").node("c", "map")
    )
    yield made("of-values-alone", "no tensor", nulls("a", "b", "c"))
    one = Draft().tensor("a", "uint8", (0,)).tensor("b", "uint8", (2, 0))
    yield made("of-empty-tensors-alone", "columns per chunk are empty", one)


def _columns() -> Iterator[Case]:
    """Each length at which the form of a string, byte string or array changes."""
    for size in (31, 32, 255, 256):
        yield accept(f"path-of-{size}", Draft().value("a" * size), "3.1", "bytes of the key path")
    for size in (65535, 65536):
        names = [f"{'a' * 1007}{i:04}" for i in range(64)]
        names.append("b" * (size - len("\n".join(names)) - 1))
        draft = nulls(*names)
        yield accept(f"path-of-{size}", draft, "3.1", "bytes of the key path", draft.file(stored=squeezed))
    for count in (15, 16, 255, 256):
        draft = Draft()
        for i in range(count):
            draft.value(f"n{i}", i)
        yield accept(f"of-{count}-values", draft, "3.1", "items of value, bytes of type")
    for count in (31, 32):
        draft = Draft()
        for i in range(count):
            draft.tensor(f"t{i}", "int8", (1,))
        yield accept(f"of-{count}-tensors", draft, "3.1", f"{8 * count} bytes of dims and of sum")
    for count in (63, 64):
        draft = Draft()
        for i in range(count):
            draft.node(f"n{i}", "list", module="m")
        yield accept(f"of-{count}-modules", draft, "3.1", f"{4 * count} bytes of rows and of picks")
    wide = Draft()
    for i in range(256):
        wide.tensor(f"t{i}", "uint8", (0,) * 32)
    yield accept(
        "dims-of-65536-bytes", wide, "3.1", "the first byte string of 4 bytes of length", wide.file(stored=squeezed)
    )


def _layers() -> Draft:
    made = Draft(convention="torch").node("", "flat", module="sequential")
    for i in range(12):
        made.node(str(i), "part", module="linear")
        made.tensor(f"{i}.weight", "bfloat16", (2, 2), axes=["out", "in"], role="parameter")
        made.tensor(f"{i}.bias", "bfloat16", (2,), axes=["out"], role="parameter")
    return made


def _frozen(frame: str) -> Callable[[bytes], bytes]:
    return lambda index: bytes.fromhex(frame)


def _compressed() -> Iterator[Case]:
    def made(slug: str, comment: str, stored: Callable[[bytes], bytes], draft: Draft | None = None) -> Case:
        draft = draft or _full()
        return accept(f"compressed-{slug}", draft, "2.2", comment, draft.file(stored=stored))

    yield made("raw-block", "one raw block: the frame is longer than the index", raw_frame)
    yield made("raw-blocks", "raw blocks of a hundred bytes", lambda index: raw_frame(index, size=100))
    yield made("window", "a frame with a window of 1 KiB", lambda index: raw_frame(index, window=0))
    yield made("size-in-8-bytes", "the longest content size", lambda index: raw_frame(index, width=8))
    unused = block(RAW, 0, b"", last=True)
    yield made(
        "unused-bit", "bit 4 of the descriptor", lambda index: header(len(index), descriptor=0x10) + raw_blocks(index)
    )
    yield made(
        "last-block-empty",
        "an empty raw block ends the frame",
        lambda index: header(len(index)) + raw_blocks(index, last=False) + unused,
    )
    yield made("level-3", "compressed blocks, by libzstd", _frozen(_LEVEL_3), _layers())
    yield made("level-19", "compressed blocks, by libzstd", _frozen(_LEVEL_19), _layers())
    zeros = Draft(chunk=64, metadata={"zeros": bytes(3000)})
    zeros.tensor("x", "uint8", (64,), bytes(64), chunks=[(1, header(64) + rle_blocks(0, 64))])
    yield made("rle", "runs of zeros, beside a chunk that is compressed too", squeezed, zeros)
    yield made(
        "without-tensors",
        "nothing else is compressed: the index begins at 64",
        squeezed,
        Draft(metadata={"a": "b" * 500}).value(""),
    )
    ends = Draft().tensor("x", "uint8", (5,)).value("y", "c" * 300)
    tail = block(RLE, 1, b"c", last=False)
    yield made(
        "rle-of-1-byte",
        "an RLE block of one byte in the middle",
        lambda index: header(len(index)) + _around(index, index.index(b"ccc"), tail),
        ends,
    )


def _around(index: bytes, at: int, middle: bytes) -> bytes:
    return raw_blocks(index[:at], last=False) + middle + raw_blocks(index[at + 1 :])


def _order() -> Iterator[Case]:
    backward = nulls("c", "b", "a")
    yield accept("paths-descend", backward, "3.2", "row order is not the order of names")
    types = (
        Draft()
        .value("v", 1)
        .node("n")
        .tensor("t", "int8", (1,))
        .value("w", 2)
        .alias("s", "t")
        .tensor("u", "int8", (2,))
    )
    yield accept("types-in-turn", types.node("m"), "3.2", "columns per type count their own entries alone")
    late = (
        Draft()
        .tensor("a", "int8", (1,))
        .tensor("b", "int16", (2, 2))
        .value("v")
        .alias("c", "b")
        .tensor("d", "bool", (3,))
    )
    yield accept("alias-holds-rows", late, "3.2", "alias holds rows of entries, not numbers of tensors")
