"""Directories that lie: shards, models of Hugging Face's, orbax checkpoints."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

import safetensors.numpy

from hostile.rows_pickles import torch
from hostile.seeds import BYTES, HALF, ROWS, Link, Seed, seed
from hostile.smashing import ESCAPE

Row = tuple[str, Seed, str]


def _placed(places: Any) -> Seed:
    """The shards with an index that says so."""
    sound = seed("sharded")
    return sound.changed(**{"x.index.json": json.dumps({"weight_map": places}).encode()})


def _indexed(text: bytes) -> Seed:
    return seed("sharded").changed(**{"x.index.json": text})


def of_sharded() -> Iterator[Row]:
    sound = json.loads(seed("sharded").files["x.index.json"])["weight_map"]
    for name in (
        "../one.safetensors",
        "/etc/passwd",
        "sub/one",
        "a\\b",
        "C:x",
        "",
        ".",
        "..",
        "a\0b",
        "\ud800",
        "x" * 256,
    ):
        yield f"a shard called {name[:20]!r}", _placed({**sound, "x": name}), "PATH"
    for name in ("~", "missing", "ONE.SAFETENSORS", ESCAPE):
        yield f"a shard called {name!r}", _placed({**sound, "x": name}), "TRUNCATED"
    yield "itself a shard", _placed({**sound, "x": "x.index.json"}), "MALFORMED"
    yield "listed and absent", _placed({**sound, "x": "one.safetensors"}), "MALFORMED"
    yield "there and not listed", _placed({"a.w": "one.safetensors", "c": "two.safetensors"}), "MALFORMED"
    yield "listed elsewhere", _placed({**sound, "c": "one.safetensors"}), "MALFORMED"
    twice = safetensors.numpy.save({"a.w": ROWS, "a.b": HALF, "c": BYTES})
    yield "in two shards", seed("sharded").changed(**{"two.safetensors": twice}), "DUPLICATE"
    yield "no texts", _placed({**sound, "x": ["one.safetensors"]}), "MALFORMED"
    yield "nested", _placed({"a": sound}), "MALFORMED"
    yield "a list", _placed([sound]), "MALFORMED"
    yield "a key twice", _indexed(b'{"weight_map":{"a":"x","a":"x"}}'), "DUPLICATE"
    yield "10^5 deep", _indexed(b'{"weight_map":' + b"[" * 10**5 + b"]" * 10**5 + b"}"), "LIMIT"
    yield "no JSON", _indexed(b'{"weight_map":'), "MALFORMED"
    yield "5 million lists", _indexed(b'{"weight_map":{},"x":[' + b"[]," * 5 * 10**6 + b"[]]}"), "LIMIT"
    yield "100000 names", _placed({str(n): "one.safetensors" for n in range(10**5)}), "MALFORMED"
    for what, other, code in (
        ("a pipe", None, "FORMAT"),
        ("a device", Link("/dev/zero"), "PATH"),
        ("a loop", Link("one.safetensors"), "TRUNCATED"),
    ):
        yield f"a shard that is {what}", seed("sharded").changed(**{"one.safetensors": other}), code
    folder = {name: data for name, data in seed("sharded").files.items() if name != "one.safetensors"}
    yield "a shard that is a folder", Seed({**folder, "one.safetensors/x": b""}, "x.index.json"), "FORMAT"


def of_huggingface() -> Iterator[Row]:
    sound = seed("huggingface")
    index = "model.safetensors.index.json"
    for what, other, code in (
        ("a pipe", None, "FORMAT"),
        ("a device", Link("/dev/zero"), "PATH"),
        ("gone", Link("x"), "TRUNCATED"),
    ):
        yield f"an index that is {what}", sound.changed(**{index: other}), code
    yield (
        "weights that are an index of themselves",
        Seed({"model.safetensors": sound.files[index].replace(b"one", b"model")}, "."),
        "MALFORMED",
    )
    files = {name: data for name, data in sound.files.items() if name != index}
    yield "weights that are a folder", Seed({**files, "model.safetensors/x": b""}, "."), "FORMAT"
    yield "weights that are nothing", Seed({**files, "model.safetensors": b""}, "."), "FORMAT"
    yield "a pickle called so", Seed({"pytorch_model.bin": torch(b"cos\nsystem\n(X\1\0\0\0atR")}, "."), "TYPE"


def _metadata(kind: str, **changes: Any) -> Seed:
    """An orbax checkpoint whose _METADATA says otherwise."""
    sound = seed(kind)
    return sound.changed(_METADATA=json.dumps({**json.loads(sound.files["_METADATA"]), **changes}).encode())


def _row(*keys: Any, kind: Any = "np.ndarray", number: Any = 2) -> dict[str, Any]:
    """A tree of one leaf."""
    told = {"value_type": kind, "skip_deserialize": False}
    return {"x": {"key_metadata": [{"key": key, "key_type": number} for key in keys], "value_metadata": told}}


def _zarr(**changes: Any) -> Seed:
    """A checkpoint of zarr arrays, of which one says otherwise."""
    sound = seed("orbax-zarr")
    name = "a.w/.zarray"
    return sound.changed(**{name: json.dumps({**json.loads(sound.files[name]), **changes}).encode()})


def of_orbax() -> Iterator[Row]:
    for what, tree, code in (
        ("no leaves", {}, "MALFORMED"),
        ("a key of a number", _row(3), "MALFORMED"),
        ("a type of key that is infinite", _row("a", number=math.inf), "MALFORMED"),
        ("a type of key that is a text", _row("a", number="2"), "MALFORMED"),
        ("a type of key that is none", _row("a", number=3), "MALFORMED"),
        ("a type of value that is a list", _row("a", kind=["x"]), "MALFORMED"),
        ("5000 keys", _row(*["a"] * 5000), "LIMIT"),
        ("a key of a megabyte", _row("a" * 10**6), "PATH"),
        ("a key with orders", _row(ESCAPE), "PATH"),
        ("a key with a surrogate", _row("\ud800"), "PATH"),
        ("a list of orders", {**_row(ESCAPE, number=1)}, "PATH"),
        ("a list without a first", _row("2", number=1), "MALFORMED"),
        ("a list that is none", [1], "MALFORMED"),
        ("an array that is not there", _row("b"), "TRUNCATED"),
        ("a text that is not there", _row("b", kind="string"), "MALFORMED"),
    ):
        yield f"metadata of {what}", _metadata("orbax", tree_metadata=tree), code
    for name in ("../x", "/etc/passwd", "a/../../x", "..\\x"):
        yield f"an array called {name!r}", _metadata("orbax-zarr", tree_metadata=_row(name)), "PATH"
    sound = seed("orbax")
    for name in ("_METADATA", "_strings.json"):
        yield f"{name} of 5 million lists", sound.changed(**{name: b'{"a":[' + b"[]," * 5 * 10**6 + b"[]]}"}), "LIMIT"
        yield f"{name} a pipe", sound.changed(**{name: None}), "FORMAT"
    for told, code in (
        (b"[]", "read"),
        (b'{"array_metadatas": 3}', "read"),
        (b'{"array_metadatas": [[], {"array_metadata": []}]}', "read"),
        (b'{"array_metadatas": [{"array_metadata": {"ext_metadata": []}}]}', "read"),
        (b"[", "MALFORMED"),
    ):
        yield f"array metadata {told.decode()}", sound.changed(**{"array_metadatas/process_0": told}), code
    texts = {"t": f"\ud800{ESCAPE}"}
    yield "sound, a text with a surrogate", sound.changed(**{"_strings.json": json.dumps(texts).encode()}), "read"
    yield "a manifest of nothing", sound.changed(**{"manifest.ocdbt": b""}), "DATA"
    yield "a device among the data", sound.changed(**{"d/x": Link("/dev/zero")}), "PATH"
    yield "a pipe among the data", sound.changed(**{"d/x": None}), "FORMAT"
    for what, changes, code in (
        ("2^40 columns", {"shape": [2, 2**40]}, "TRUNCATED"),
        ("2^33 columns", {"shape": [2, 2**33]}, "TRUNCATED"),
        ("2^60 rows", {"shape": [2**60, 3]}, "SHAPE"),
        ("2^48 rows in a chunk", {"shape": [2**45, 3], "chunks": [2**45, 3]}, "LIMIT"),
        ("200 TB in a chunk", {"chunks": [2**44, 3]}, "LIMIT"),
        ("no chunks", {"chunks": [0, 0]}, "DATA"),
        ("negative chunks", {"chunks": [-2, 3]}, "DATA"),
        ("a negative shape", {"shape": [-2, 3]}, "DATA"),
        ("another rank", {"shape": [6]}, "DATA"),
        ("rank 40", {"shape": [1] * 40, "chunks": [1] * 40}, "DATA"),
        ("an unknown compressor", {"compressor": {"id": ESCAPE}}, "DATA"),
        ("a structure", {"dtype": [["a", "<f4"], ["b", "<i4"]]}, "DATA"),
        ("objects", {"dtype": "|O"}, "DATA"),
        ("texts", {"dtype": "<U9"}, "DATA"),
        ("another driver, which is not asked", {"driver": "file", "kvstore": "file:///etc/"}, "read"),
        ("order X", {"order": "X"}, "DATA"),
        ("filters", {"filters": [{"id": "pickle"}]}, "DATA"),
    ):
        yield f"an array of {what}", _zarr(**changes), code
