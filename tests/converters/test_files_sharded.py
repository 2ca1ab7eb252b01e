"""Shards behind an index.json: read whole, and refused for every fault; split as asked."""

import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import torch
from nets import minilm
from sources import bits, read, rewrite, safetensors_bytes, said, same

import ptformat
from ptformat.converters import convert, copy
from ptformat.converters.content import MAX_SHARD_BYTES
from ptformat.converters.files import folder, open_source
from ptformat.converters.files.sharded import INDEX, ShardedSource, split
from ptformat.errors import FormatError
from ptformat.tree import Alias, Node, TensorInfo

TENSORS = {
    "b.weight": bits("float32", (4, 3)),
    "a.weight": bits("float16", (3, 3)),
    "a.bias": bits("bfloat16", (3,)),
    "z.empty": bits("uint8", (0, 3)),
}
PLACES = {"b.weight": "one.safetensors", "a.weight": "two.safetensors", "a.bias": "two.safetensors"}
PLACES["z.empty"] = "one.safetensors"


def shard(path: Path, names: list[str], metadata: dict[str, str] | None = None) -> None:
    """A .safetensors file of some of the tensors, as the library would lay it out."""
    codes = {"float32": "F32", "float16": "F16", "bfloat16": "BF16", "uint8": "U8"}
    header: dict[str, Any] = {"__metadata__": metadata} if metadata else {}
    data = b""
    for name in names:
        array = TENSORS[name]
        header[name] = said(codes[array.dtype.name], array.shape, len(data), len(data) + array.nbytes)
        data += array.tobytes()
    path.write_bytes(safetensors_bytes(header, data))


def sharded(folder: Path, weight_map: Any = PLACES, metadata: Any = None) -> Path:
    """Both shards, and an index that says this."""
    folder.mkdir(exist_ok=True)
    shard(folder / "one.safetensors", ["b.weight", "z.empty"], {"format": "pt", "who": "me"})
    shard(folder / "two.safetensors", ["a.weight", "a.bias"], {"format": "pt"})
    text = json.dumps({"metadata": metadata or {"total_size": 72}, "weight_map": weight_map})
    (folder / INDEX).write_text(text)
    return folder / INDEX


@pytest.mark.parametrize("given", ["index", "folder"])
def test_shards_are_one_source(given: str, tmp_path: Path) -> None:
    index = sharded(tmp_path / "m")
    path = index if given == "index" else index.parent
    found = read(path)
    assert list(found) == ["b.weight", "z.empty", "a.weight", "a.bias"]
    assert all(same(found[name], array) for name, array in TENSORS.items())
    opened = open_source(path)
    assert (opened.kind, opened.name) == ("sharded" if given == "index" else "huggingface", str(path))
    assert (opened.header.convention, opened.header.metadata) == ("torch", {"format": "pt", "who": "me"})
    assert opened.entries[0] == Node("", "flat")
    opened.close()


def test_an_index_of_another_name(tmp_path: Path) -> None:
    index = sharded(tmp_path)
    assert len(read(index.rename(tmp_path / "anything"))) == 4


def test_shards_to_one_file_and_convert(tmp_path: Path) -> None:
    copy(sharded(tmp_path / "m"), tmp_path / "x.ptf")
    loaded = ptformat.load_file(tmp_path / "x.ptf")
    assert all(same(loaded[name], array) for name, array in TENSORS.items())
    made = convert(tmp_path / "m", tmp_path / "x.msgpack", to="linen", kinds=[("*", "linear")], drop=["z.*"])
    assert {step.source: step.operation for step in made.steps.values()}["b.weight"] == "(out, in) → (in, out)"


def test_metadata_of_the_index_and_of_shards_that_say_otherwise(tmp_path: Path) -> None:
    opened = open_source(sharded(tmp_path, metadata={"total_size": 72, "who": "index", "parts": [1]}))
    assert opened.header.metadata == {"format": "pt", "who": "index"}
    shard(tmp_path / "two.safetensors", ["a.weight", "a.bias"], {"format": "np"})
    assert open_source(tmp_path / INDEX).header.convention is None


def test_names_of_two_shards_that_would_nest(tmp_path: Path) -> None:
    """`x.w` and `x.w.s`, apart: neither shard alone sees that one is not beneath the other."""
    for number, name in enumerate(["x.w", "x.w.s"]):
        safetensors.numpy.save_file({name: np.full(2, number)}, tmp_path / f"{number}.safetensors")
    weight_map = {"x.w": "0.safetensors", "x.w.s": "1.safetensors"}
    (tmp_path / INDEX).write_text(json.dumps({"weight_map": weight_map}))
    assert {path: array.tolist() for path, array in read(tmp_path).items()} == {"x.w": [0, 0], "x.w\\.s": [1, 1]}
    copy(tmp_path / INDEX, tmp_path / "y.ptf")
    assert sorted(ptformat.load_file(tmp_path / "y.ptf")) == ["x.w", "x.w.s"]


def test_ties_within_a_shard(tmp_path: Path) -> None:
    index = sharded(tmp_path)
    shard(tmp_path / "one.safetensors", ["b.weight", "z.empty"], {"c.weight": "b.weight", "format": "pt"})
    assert open_source(index).entries[-1] == Alias("c.weight", "b.weight")


def test_an_empty_index(tmp_path: Path) -> None:
    assert open_source(sharded(tmp_path, {})).entries == [Node("", "map")]


# Faults


def dropped(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def rewritten(text: str | bytes) -> Callable[[Path], None]:
    return lambda folder: Path(folder / INDEX).write_bytes(text if isinstance(text, bytes) else text.encode()) and None


def placed(**places: Any) -> Callable[[Path], None]:
    """The index with these names placed elsewhere; `__` stands for a dot."""
    more = {name.replace("__", "."): place for name, place in places.items()}
    return lambda folder: sharded(folder, PLACES | more) and None


def cut(folder: Path) -> None:
    data = (folder / "two.safetensors").read_bytes()
    (folder / "two.safetensors").write_bytes(data[:-1])


def twice(folder: Path) -> None:
    shard(folder / "two.safetensors", ["a.weight", "a.bias", "b.weight"])


def twice_tied(folder: Path) -> None:
    shard(folder / "two.safetensors", ["a.weight", "a.bias"], {"b.weight": "a.weight"})


def unplaced(folder: Path) -> None:
    sharded(folder, {name: place for name, place in PLACES.items() if name != "a.bias"})


def linked_out(folder: Path) -> None:
    outside = folder.parent / "outside.safetensors"
    (folder / "two.safetensors").rename(outside)
    (folder / "two.safetensors").symlink_to(outside)


def linked_to_nothing(folder: Path) -> None:
    (folder / "two.safetensors").unlink()
    (folder / "two.safetensors").symlink_to("gone.safetensors")


def looped(folder: Path) -> None:
    (folder / "two.safetensors").unlink()
    (folder / "two.safetensors").symlink_to("two.safetensors")


def folder_as_shard(folder: Path) -> None:
    (folder / "two.safetensors").unlink()
    (folder / "two.safetensors").mkdir()


def pipe_as_shard(folder: Path) -> None:
    (folder / "two.safetensors").unlink()
    os.mkfifo(folder / "two.safetensors")


DEEP = b'{"weight_map":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
FAULTS: dict[str, tuple[Callable[[Path], None], str, str]] = {
    "shard missing": (dropped("two.safetensors"), "TRUNCATED", "the file 'two.safetensors' is missing"),
    "shard truncated": (cut, "TRUNCATED", "two.safetensors: the header describes 24 bytes, 23 follow"),
    "tensor missing": (placed(q__w="one.safetensors"), "MALFORMED", "'one.safetensors' does not hold 'q.w'"),
    "tensors missing": (
        placed(q__w="one.safetensors", q__v="one.safetensors"),
        "MALFORMED",
        "does not hold 'q.w' and 1 more",
    ),
    "tensor elsewhere": (placed(a__bias="one.safetensors"), "MALFORMED", "'one.safetensors' does not hold 'a.bias'"),
    "tensor unplaced": (unplaced, "MALFORMED", "'two.safetensors' holds 'a.bias', of which the index says nothing"),
    "tensor twice": (twice, "DUPLICATE", "'b.weight' is in 'one.safetensors' and in 'two.safetensors'"),
    "tensor and tie": (twice_tied, "DUPLICATE", "'b.weight' is in two shards"),
    "name twice": (rewritten('{"weight_map": {"a": "x", "a": "x"}}'), "DUPLICATE", "key 'a' stands twice in one map"),
    "key twice": (rewritten('{"weight_map": {}, "weight_map": {}}'), "DUPLICATE", "key 'weight_map' stands twice"),
    "itself": (placed(x=INDEX), "MALFORMED", "is an index itself"),
    "up": (placed(x="../outside.safetensors"), "PATH", "'../outside.safetensors' is not the name of a file beside it"),
    "absolute": (placed(x="/etc/passwd"), "PATH", "'/etc/passwd' is not"),
    "beneath": (placed(x="sub/one.safetensors"), "PATH", "is not the name of a file beside it"),
    "backslash": (placed(x="..\\x"), "PATH", "is not the name of a file beside it"),
    "drive": (placed(x="c:x"), "PATH", "is not the name of a file beside it"),
    "dots": (placed(x=".."), "PATH", "is not the name of a file beside it"),
    "no name": (placed(x=""), "PATH", "'' is not the name of a file beside it"),
    "zero": (placed(x="a\0b"), "PATH", "is not the name of a file beside it"),
    "home": (placed(x="~"), "TRUNCATED", "the file '~' is missing"),
    "long": (placed(x="a" * 256), "PATH", "is not the name of a file beside it"),
    "long by bytes": (placed(x="ü" * 128), "PATH", "is not the name of a file beside it"),
    "surrogate": (placed(x="\ud800"), "PATH", "'\\ud800' is not the name of a file beside it"),
    "number": (placed(x=3), "MALFORMED", "weight_map is not an object of strings"),
    "list": (rewritten('{"weight_map": ["a"]}'), "MALFORMED", "weight_map is not an object of strings"),
    "no JSON": (rewritten('{"weight_map": {'), "MALFORMED", "no JSON"),
    "no UTF-8": (rewritten(b'{"weight_map": "\xff"}'), "MALFORMED", "no JSON"),
    "deep": (rewritten(DEEP), "LIMIT", "nested too deeply"),
    "link out": (linked_out, "PATH", "'two.safetensors' is a link that leads out of"),
    "link to nothing": (linked_to_nothing, "TRUNCATED", "'two.safetensors' is missing"),
    "link to itself": (looped, "TRUNCATED", "'two.safetensors' is missing"),
    "folder": (folder_as_shard, "FORMAT", "'two.safetensors' in"),
    "pipe": (pipe_as_shard, "FORMAT", "is no regular file"),
}


def test_two_tensors_of_one_name_in_a_shard(tmp_path: Path) -> None:
    """A nested one and one whose key holds the dot: in a flat state dict they are the same."""
    torch.save({"a": {"b": torch.ones(2)}, "a.b": torch.zeros(2)}, tmp_path / "x.bin")
    (tmp_path / INDEX).write_text(json.dumps({"weight_map": {"a.b": "x.bin"}}))
    with pytest.raises(ptformat.FormatError, match=r"two tensors of the shard 'x\.bin' are called 'a\.b'") as caught:
        open_source(tmp_path / INDEX)
    assert caught.value.code == "DUPLICATE"


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_is_one_clear_error(name: str, tmp_path: Path) -> None:
    break_, code, words = FAULTS[name]
    index = sharded(tmp_path / "m")
    break_(tmp_path / "m")
    for path in (index, index.parent):
        with pytest.raises(ptformat.FormatError) as caught:
            copy(path, tmp_path / "x.ptf")
        assert (caught.value.code, "\n" in caught.value.message) == (code, False)
        assert words in caught.value.message
    assert not (tmp_path / "x.ptf").exists()


def test_every_byte_of_the_index_changed_gives_no_other_error(tmp_path: Path) -> None:
    index = sharded(tmp_path)
    data = index.read_bytes()
    read_anyway = 0
    for at in range(len(data)):
        for change in (0x01, 0x20, 0x80, 0xFF):
            index.write_bytes(data[:at] + bytes([data[at] ^ change]) + data[at + 1 :])
            try:
                opened = ShardedSource(index)
            except ptformat.FormatError:
                continue
            read_anyway += 1
            assert [entry.path for entry in opened.entries[1:]] == ["b.weight", "z.empty", "a.weight", "a.bias"]
            opened.close()
    assert read_anyway < 150  # what the metadata say matters to nobody


def test_a_link_within_the_directory_is_followed(tmp_path: Path) -> None:
    index = sharded(tmp_path / "m")
    (tmp_path / "m" / "two.safetensors").rename(tmp_path / "m" / "real")
    (tmp_path / "m" / "two.safetensors").symlink_to("real")
    assert len(read(index)) == 4


def test_links_of_a_cache_are_followed_to_its_blobs(tmp_path: Path) -> None:
    snapshot = tmp_path / "models--x" / "snapshots" / "0123"
    snapshot.mkdir(parents=True)
    (tmp_path / "models--x" / "blobs").mkdir()
    sharded(snapshot)
    for number, name in enumerate(["one.safetensors", "two.safetensors", INDEX]):
        blob = tmp_path / "models--x" / "blobs" / f"blob{number}"
        (snapshot / name).rename(blob)
        (snapshot / name).symlink_to(f"../../blobs/{blob.name}")
    assert len(read(snapshot)) == len(read(snapshot / INDEX)) == 4


# Writing


@pytest.mark.parametrize(
    ("sizes", "limit", "groups"),
    [
        ([], 5, []),
        ([0, 0], 5, [[0, 1]]),
        ([5, 5], 5, [[0], [1]]),
        ([2, 3, 1, 4], 5, [[0, 1], [2, 3]]),
        ([9, 1, 1], 5, [[0], [1, 2]]),
        ([1, 9, 1], 5, [[0], [1], [2]]),
        ([5, 0], 5, [[0, 1]]),
    ],
)
def test_split(sizes: list[int], limit: int, groups: list[list[int]]) -> None:
    assert split(sizes, limit) == groups
    assert MAX_SHARD_BYTES == 5_000_000_000


def test_every_limit_gives_the_tensors_back(tmp_path: Path) -> None:
    ptformat.save_file(TENSORS, tmp_path / "x.ptf", convention="torch")
    for limit in (1, 18, 24, 48, 50, 71, 72, 1000):
        target = tmp_path / f"limit-{limit}"
        copy(tmp_path / "x.ptf", target, max_shard_bytes=limit, durable=False)
        found = read(target)
        assert all(same(found[name], array) for name, array in TENSORS.items())
        sizes = [file.stat().st_size for file in target.glob("*.safetensors")]
        assert (len(sizes) == 1) == (limit >= 72)
        for file in target.glob("*.safetensors"):
            held = [entry for entry in open_source(file).entries if isinstance(entry, TensorInfo)]
            assert sum(info.nbytes for info in held) <= limit or sum(info.nbytes > 0 for info in held) == 1
        assert (target / INDEX).exists() == (limit < 72)
        assert (target / "model.safetensors").exists() == (limit >= 72)


def test_the_index_that_is_written(tmp_path: Path) -> None:
    ptformat.save_file(TENSORS, tmp_path / "x.ptf", convention="torch")
    copy(tmp_path / "x.ptf", tmp_path / "m", max_shard_bytes=50)
    shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    assert sorted(file.name for file in (tmp_path / "m").iterdir()) == [*shards, INDEX]
    assert json.loads((tmp_path / "m" / INDEX).read_text()) == {
        "metadata": {"total_size": 72},
        "weight_map": {"b.weight": shards[0], "a.weight": shards[1], "a.bias": shards[1], "z.empty": shards[1]},
    }
    for name in shards:
        with safetensors.safe_open(tmp_path / "m" / name, "pt") as file:
            assert file.metadata() == {"format": "pt"}


def test_ties_are_recorded_in_the_shard_of_their_tensor(tmp_path: Path) -> None:
    first, second = bits("float32", (4, 3)), bits("float32", (3, 4), seed=1)
    tree = {"a.w": first, "b.w": second, "c.w": first, "d.w": second}
    ptformat.save_file(tree, tmp_path / "x.ptf", convention="torch")
    assert copy(tmp_path / "x.ptf", tmp_path / "m", max_shard_bytes=48).repeated == 0
    for number, (name, tied) in enumerate([("a.w", "c.w"), ("b.w", "d.w")], 1):
        with safetensors.safe_open(tmp_path / "m" / f"model-{number:05}-of-00002.safetensors", "pt") as file:
            assert list(file.keys()) == [name]
            assert file.metadata() == {"format": "pt", tied: name}
    copy(tmp_path / "m", tmp_path / "y.ptf")
    loaded = ptformat.load_file(tmp_path / "y.ptf")
    assert loaded["a.w"] is loaded["c.w"]
    assert all(same(loaded[name], array) for name, array in tree.items())


def test_the_checkpoint_through_shards_and_back(tmp_path: Path) -> None:
    origin = minilm.model_path()
    copy(origin, tmp_path / "m", max_shard_bytes=20_000_000, durable=False)
    shards = sorted((tmp_path / "m").glob("model-*-of-*.safetensors"))
    assert len(shards) == 5
    assert sum(path.stat().st_size > 20_100_000 for path in shards) == 1  # the embedding alone exceeds the limit
    names = [set(safetensors.numpy.load_file(path)) for path in shards]
    assert sum(map(len, names)) == len(set.union(*names)) == 104
    copy(tmp_path / "m" / INDEX, tmp_path / "back.safetensors", durable=False)
    assert (tmp_path / "back.safetensors").read_bytes() == origin.read_bytes()
    rewrite(tmp_path / "m", tmp_path / "y.safetensors")
    assert (tmp_path / "y.safetensors").read_bytes() == origin.read_bytes()


def test_a_folder_that_is_replaced_while_it_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An index of one with shards of another would be a model that nobody saved: it is opened once more."""
    for name, value in (("model", 1), ("other", 2)):
        tree = {f"{i}": np.full(100, value, np.float32) for i in range(4)}
        ptformat.save_file(tree, tmp_path / "x.ptf", convention="torch")
        copy(tmp_path / "x.ptf", tmp_path / name, max_shard_bytes=400)
    real = ptformat.converters.files.sharded._read

    def replaced(path: Path) -> Any:
        found = real(path)
        if (tmp_path / "other").exists():  # between the index and the shards, which are called the same
            (tmp_path / "model").rename(tmp_path / "old")
            (tmp_path / "other").rename(tmp_path / "model")
        return found

    monkeypatch.setattr("ptformat.converters.files.sharded._read", replaced)
    found = read(tmp_path / "model")
    assert [array[0] for array in found.values()] == [2, 2, 2, 2]


def test_a_folder_that_is_always_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("model", "other"):
        (tmp_path / name).mkdir()
    closed = []

    class Opened:
        def close(self) -> None:
            closed.append(self)

    def opening() -> Any:
        (tmp_path / "model").rename(tmp_path / "third")
        (tmp_path / "other").rename(tmp_path / "model")
        (tmp_path / "third").rename(tmp_path / "other")
        return Opened()

    with pytest.raises(FormatError, match="was replaced 20 times while it was being opened"):
        folder.settled(tmp_path / "model", opening)
    assert len(closed) == 20

    def failing() -> Any:
        raise FormatError("TRUNCATED", "a shard is missing")

    with pytest.raises(FormatError, match="a shard is missing"):
        folder.settled(tmp_path / "model", failing)

    def failing_once() -> Any:
        """What is missing was missing of the directory that is no longer there."""
        if not (tmp_path / "once").exists():
            (tmp_path / "once").touch()
            opening()
            failing()
        return Opened()

    closed.clear()
    assert isinstance(folder.settled(tmp_path / "model", failing_once), Opened)
    assert closed == []


def test_where_a_directory_cannot_be_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor can it be replaced there while files in it are open."""
    monkeypatch.setattr(folder, "_WINDOWS", True)
    opened = []
    monkeypatch.setattr(os, "open", lambda *arguments: opened.append(arguments))
    made = io.BytesIO()
    assert folder.settled(tmp_path, lambda: made) is made
    assert (opened, made.closed) == ([], False)


def test_an_index_that_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = sharded(tmp_path)
    monkeypatch.setattr("ptformat.converters.files.sharded.MAX_INDEX", 100)
    with pytest.raises(ptformat.FormatError, match=r"index of shards of \d+ bytes, at most 100 are allowed") as caught:
        ShardedSource(index)
    assert caught.value.code == "LIMIT"
    with pytest.raises(ptformat.FormatError, match="none of ptf, safetensors, sharded"):
        open_source(index)
