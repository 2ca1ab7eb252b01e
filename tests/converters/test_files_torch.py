"""What torch.save writes: against torch, both ways and in both forms, and hostile in every way."""

import collections
import hashlib
import json
import os
import pickle
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from nets import minilm
from sources import bits, read, rewrite, same

import ptformat
from ptformat.converters import copy
from ptformat.converters.content import MemorySource, Saving, whole
from ptformat.converters.files import open_source, pickles, torch_zip, write, zip_write, zips
from ptformat.converters.files.torch_objects import STORAGES, UNTYPED
from ptformat.converters.files.torch_zip import TorchSource
from ptformat.dtypes import TABLE
from ptformat.torch.tensors import DTYPES
from ptformat.tree import Alias, Node, TensorInfo, Value

SHAPES = [(3, 5), (), (0, 4), (1,), (7, 3, 2)]
FORMS = pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
NAMES = sorted({*DTYPES} - {"float4_e2m1fn"})  # of which torch has only pairs


def as_torch(array: np.ndarray) -> torch.Tensor:
    name = array.dtype.name
    if not array.size:
        return torch.empty(array.shape, dtype=DTYPES[name])
    return torch.from_numpy(array.reshape(-1).view(np.uint8).copy()).view(DTYPES[name]).reshape(array.shape)


def raw(tensor: torch.Tensor) -> bytes:
    return bytes(tensor.contiguous().reshape(-1).view(torch.uint8).numpy()) if tensor.numel() else b""


def save(tree: Any, path: Path, zipped: bool = True, **options: Any) -> Path:
    torch.save(tree, path, _use_new_zipfile_serialization=zipped, **options)
    return path


def load(path: Path, **options: Any) -> Any:
    return torch.load(path, weights_only=True, **options)


def equal(left: Any, right: Any) -> bool:
    """Whether two trees are the same in containers, types and every bit."""
    if isinstance(left, torch.Tensor):
        return (left.dtype, left.shape, raw(left)) == (right.dtype, right.shape, raw(right))
    if isinstance(left, dict):
        return [*left] == [*right] and all(equal(left[key], right[key]) for key in left)
    if isinstance(left, (list, tuple)):
        return type(left) is type(right) and len(left) == len(right) and all(map(equal, left, right))
    return type(left) is type(right) and left == right


def code_of(path: Path) -> str:
    with pytest.raises(ptformat.FormatError) as caught:
        read(path)
    return caught.value.code


def test_every_type_that_torch_saves_is_known() -> None:
    assert {*STORAGES.values(), *UNTYPED} == set(NAMES)


@FORMS
@pytest.mark.parametrize("name", NAMES)
def test_read_what_torch_wrote(name: str, zipped: bool, tmp_path: Path) -> None:
    arrays = {f"m.t{number}": bits(name, shape) for number, shape in enumerate(SHAPES)}
    found = read(save({key: as_torch(array) for key, array in arrays.items()}, tmp_path / "x", zipped))
    assert {key: same(array, arrays[key]) for key, array in found.items()} == dict.fromkeys(arrays, True)


@pytest.mark.parametrize("mmap", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_torch_reads_what_we_wrote(name: str, mmap: bool, tmp_path: Path) -> None:
    arrays = {f"m.t{number}": bits(name, shape) for number, shape in enumerate(SHAPES)}
    ptformat.save_file(arrays, tmp_path / "x.ptf")
    rewrite(tmp_path / "x.ptf", tmp_path / "x.pt")
    found = load(tmp_path / "x.pt", mmap=mmap)
    assert type(found) is collections.OrderedDict
    assert equal(dict(found), {key: as_torch(array) for key, array in arrays.items()})
    assert all(tensor.is_contiguous() for tensor in found.values())


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@FORMS
def test_every_protocol(protocol: int, zipped: bool, tmp_path: Path) -> None:
    tree = {"a.w": torch.arange(3), "b": b"\0\xff" * 200, "s": "ü" * 300, "n": [1, -1, 255, 65535, 2**40, -(2**63)]}
    opened = open_source(save(tree, tmp_path / "x", zipped, pickle_protocol=protocol))
    values = {entry.path: entry.value for entry in opened.entries if isinstance(entry, Value)}
    assert values == {"b": tree["b"], "s": tree["s"], **{f"n.{i}": n for i, n in enumerate(tree["n"])}}


@FORMS
def test_strides_offsets_and_ties(zipped: bool, tmp_path: Path) -> None:
    w = torch.arange(24.0).reshape(2, 3, 4)
    tree = {
        "w": w,
        "again": w,
        "turned": w.permute(2, 0, 1),
        "row": w[1],
        "row2": w[1],
        "step": w[:, ::2, 1],
        "expanded": w[:1, :, :1].expand(5, 3, 2),
        "cast": w.view(torch.int32) if zipped else w,
        "one": w[:1],
        "channels": torch.arange(120.0).reshape(2, 3, 4, 5).to(memory_format=torch.channels_last),
        "parameter": torch.nn.Parameter(w[0]),
        "empty": w[:0],
    }
    if zipped:  # torch saves no storage under two types
        tree["cast"] = w.clone()
    opened = open_source(save(tree, tmp_path / "x", zipped))
    aliases = {entry.path: entry for entry in opened.entries if isinstance(entry, Alias)}
    expected = {
        "again": Alias("again", "w"),
        "turned": Alias("turned", "w", (2, 0, 1)),
        "row2": Alias("row2", "row"),
    }
    if not zipped:
        expected["cast"] = Alias("cast", "w")
    # The first row as a matrix and as one of a stack have other shapes: no tie.
    assert aliases == expected
    assert opened.header.convention == "torch"
    found = read(tmp_path / "x")
    assert set(found) == set(tree) - set(expected)
    assert all(array.tolist() == tree[key].tolist() for key, array in found.items())


def test_the_map_is_viewed(tmp_path: Path) -> None:
    opened = open_source(save({"a": torch.arange(1000.0)}, tmp_path / "x"))
    array = opened.array("a")
    assert not array.flags.owndata
    assert not array.flags.writeable
    assert array.ctypes.data % 64 == 0
    opened.close()
    assert array.sum() == 499500


def test_ties_share_a_storage(tmp_path: Path) -> None:
    w = torch.arange(24.0).reshape(2, 3, 4)
    save({"w": w, "again": w, "turned": w.permute(2, 0, 1), "other": w.clone()}, tmp_path / "x")
    rewrite(tmp_path / "x", tmp_path / "y.pth")
    found = load(tmp_path / "y.pth")
    assert found["again"].data_ptr() == found["turned"].data_ptr() == found["w"].data_ptr()
    assert found["other"].data_ptr() != found["w"].data_ptr()
    assert torch.equal(found["turned"], w.permute(2, 0, 1))
    assert found["turned"].stride() == (1, 12, 4)
    assert sum(name.startswith("archive/data/") for name in zipfile.ZipFile(tmp_path / "y.pth").namelist()) == 2


def stepped(kind: str) -> tuple[torch.nn.Module, Any]:
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 2))
    made = {
        "sgd": lambda: torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9),
        "adamw": lambda: torch.optim.AdamW([{"params": net[0].parameters()}, {"params": net[2].parameters()}], lr=1e-3),
    }
    optimizer = made[kind]()
    net(torch.randn(5, 3)).sum().backward()
    optimizer.step()
    return net, optimizer


@FORMS
@pytest.mark.parametrize("through", ["y.pt", "y.ptf"])
@pytest.mark.parametrize("kind", ["sgd", "adamw"])
def test_training_checkpoints(kind: str, through: str, zipped: bool, tmp_path: Path) -> None:
    net, optimizer = stepped(kind)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 3)
    tree = {
        "model": dict(net.state_dict()),
        "optimizer": optimizer.state_dict(),
        "scheduler": {key: value for key, value in scheduler.state_dict().items() if not callable(value)},
        "epoch": 3,
        "best": None,
        "betas": (0.9, 0.999),
        "history": [0.5, True, "done", {}, [], ()],
        ("a", 1): b"\xff\0",
    }
    save(tree, tmp_path / "x", zipped)
    rewrite(tmp_path / "x", tmp_path / through)
    rewrite(tmp_path / through, tmp_path / "z.pt")
    found = load(tmp_path / "z.pt")
    assert type(found["model"]) is collections.OrderedDict
    assert equal(found, tree)
    fresh, other = stepped(kind)
    fresh.load_state_dict(found["model"])
    other.load_state_dict(found["optimizer"])
    assert equal(other.state_dict(), optimizer.state_dict())


@FORMS
@pytest.mark.parametrize("tree", [torch.arange(3), [torch.ones(2), 1], (), {}, {"a": 1}, 7, None])
def test_any_root(tree: Any, zipped: bool, tmp_path: Path) -> None:
    save(tree, tmp_path / "x", zipped)
    rewrite(tmp_path / "x", tmp_path / "y.pt")
    assert equal(load(tmp_path / "y.pt"), tree)


def test_equal_content_is_equal_bytes(tmp_path: Path) -> None:
    save({"a": torch.ones(3), "b": torch.zeros(0)}, tmp_path / "x")
    rewrite(tmp_path / "x", tmp_path / "y.pt")
    rewrite(tmp_path / "y.pt", tmp_path / "z.bin")
    assert (tmp_path / "y.pt").read_bytes() == (tmp_path / "z.bin").read_bytes()
    digest = hashlib.sha256((tmp_path / "y.pt").read_bytes()).hexdigest()
    assert digest == "f1a578328bf634ba8c8a28476097e24a1ffa60332f3b99301d88a791d4b932b8"


def test_members_are_aligned_and_whole(tmp_path: Path) -> None:
    save({f"k{n}": torch.arange(n, dtype=torch.uint8) for n in range(70)}, tmp_path / "x")
    rewrite(tmp_path / "x", tmp_path / "y.pt")
    archive = zips.Archive(tmp_path / "y.pt")
    assert {member.start % 64 for member in archive.members.values()} == {0}
    with zipfile.ZipFile(tmp_path / "y.pt") as file:
        assert file.testzip() is None
        assert file.read("archive/data/69") == bytes(range(69))


def test_sizes_beyond_32_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ZIP64 records, at sizes a test can hold."""
    monkeypatch.setattr(zip_write, "_ZIP64_FROM", 1000)
    monkeypatch.setattr(zip_write, "_COUNT64_FROM", 3)
    tree = {"a": torch.arange(3), "b": torch.arange(500.0), "c": torch.arange(4)}
    save(tree, tmp_path / "x")
    rewrite(tmp_path / "x", tmp_path / "y.pt")
    data = (tmp_path / "y.pt").read_bytes()
    assert (data.count(b"PK\6\6"), data.count(b"PK\6\7")) == (1, 1)
    assert equal(dict(load(tmp_path / "y.pt")), tree)
    assert {key: array.tolist() for key, array in read(tmp_path / "y.pt").items()} == {
        key: tensor.tolist() for key, tensor in tree.items()
    }
    with zipfile.ZipFile(tmp_path / "y.pt") as file:
        assert file.testzip() is None


def rezipped(old: Path, new: Path, method: int) -> None:
    """The same members, written by another zip tool."""
    with zipfile.ZipFile(old) as given, zipfile.ZipFile(new, "w", method) as made:
        for name in given.namelist():
            made.writestr(name, given.read(name))


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_rewritten_by_other_zip_tools(method: int, tmp_path: Path) -> None:
    tree = {"a.w": torch.arange(5000.0), "b": torch.zeros(0)}
    save(tree, tmp_path / "x")
    rezipped(tmp_path / "x", tmp_path / "y", method)
    assert {key: array.tolist() for key, array in read(tmp_path / "y").items()} == {
        key: tensor.tolist() for key, tensor in tree.items()
    }


def test_methods_that_are_not_read(tmp_path: Path) -> None:
    save({"a": torch.ones(2)}, tmp_path / "x")
    rezipped(tmp_path / "x", tmp_path / "y", zipfile.ZIP_BZIP2)
    with pytest.raises(ptformat.FormatError, match="compressed by method 12"):
        TorchSource(tmp_path / "y")


@pytest.mark.parametrize("name", [name for name in NAMES if name not in UNTYPED])
def test_big_endian(name: str, tmp_path: Path) -> None:
    """As a big-endian machine saves: the elements' bytes turned round, `byteorder` says so."""
    arrays = {"w": bits(name, (4, 3)), "e": bits(name, (0, 2))}
    save({"w": as_torch(arrays["w"]), "t": as_torch(arrays["w"]).T, "e": as_torch(arrays["e"])}, tmp_path / "x")
    part = arrays["w"].itemsize // (2 if name.startswith("complex") else 1)
    with zipfile.ZipFile(tmp_path / "x") as old, zipfile.ZipFile(tmp_path / "y", "w") as new:
        for member in old.namelist():
            data = old.read(member)
            if "/data/" in member:
                data = np.frombuffer(data, f"V{part}").view(np.uint8).reshape(-1, part)[:, ::-1].tobytes()
            new.writestr(member, b"big" if member.endswith("byteorder") else data)
    found = read(tmp_path / "y")
    assert same(found["w"], arrays["w"])
    transposed = read(tmp_path / "x")["w"].T
    assert same(transposed, arrays["w"].T)
    rewrite(tmp_path / "y", tmp_path / "z.pt")
    assert equal(load(tmp_path / "z.pt")["t"], as_torch(arrays["w"]).T.contiguous())


# --- shards


def shards(folder: Path) -> dict[str, torch.Tensor]:
    folder.mkdir()
    tensors = {f"layers.{n}.weight": torch.randn(3, n + 1) for n in range(5)}
    placed = {key: f"pytorch_model-{1 + n % 2:05}-of-00002.bin" for n, key in enumerate(tensors)}
    for name in set(placed.values()):
        torch.save({key: tensors[key] for key in tensors if placed[key] == name}, folder / name)
    index = {"metadata": {"total_size": 180}, "weight_map": placed}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    return tensors


def test_shards_by_their_index_and_by_their_directory(tmp_path: Path) -> None:
    tensors = shards(tmp_path / "m")
    for path in (tmp_path / "m" / "pytorch_model.bin.index.json", tmp_path / "m"):
        found = read(path)
        assert {key: array.tolist() for key, array in found.items()} == {
            key: tensor.tolist() for key, tensor in tensors.items()
        }
    rewrite(tmp_path / "m" / "pytorch_model.bin.index.json", tmp_path / "y.bin")
    assert all(equal(tensor, tensors[key]) for key, tensor in load(tmp_path / "y.bin").items())


def test_a_shard_that_is_missing_or_cut(tmp_path: Path) -> None:
    shards(tmp_path / "m")
    shard = tmp_path / "m" / "pytorch_model-00002-of-00002.bin"
    data = shard.read_bytes()
    shard.write_bytes(data[:-100])
    assert code_of(tmp_path / "m") == "TRUNCATED"
    shard.unlink()
    assert code_of(tmp_path / "m") == "TRUNCATED"


# --- what is refused


class Net(torch.nn.Module):
    pass


ADVICE = r"load it with torch in a process you trust and save its state_dict\(\)"


@FORMS
@pytest.mark.filterwarnings("ignore:Couldn't retrieve source code")
@pytest.mark.parametrize("module", [torch.nn.Linear(2, 2), Net()])
def test_a_pickled_module(module: torch.nn.Module, zipped: bool, tmp_path: Path) -> None:
    save(module, tmp_path / "x", zipped)
    cls = f"{type(module).__module__}.{type(module).__qualname__}"
    with pytest.raises(ptformat.FormatError, match=f"^TYPE: .*{cls}.*{ADVICE}$"):
        open_source(tmp_path / "x")


REFUSED: dict[str, tuple[Any, str]] = {
    "sparse": ({"a": torch.eye(3).to_sparse()}, "to_dense"),
    "meta": ({"a": torch.empty(3, device="meta")}, "without elements"),
    "quantised": ({"a": torch.zeros(2)}, "int_repr"),
    "conjugate": ({"a": torch.ones(2, dtype=torch.complex64).conj()}, "resolve_conj"),
    "dtype": ({"a": torch.float16}, "ElementType"),
    "device": ({"a": torch.device("cpu")}, "torch.device"),
    "storage": ({"a": torch.ones(2).untyped_storage()}, "Storage"),
    "numpy": ({"a": np.ones(2)}, "global 'numpy"),
    "set": ({"a": {1}}, "global '__builtin__.set'"),
    "complex": ({"a": 1j}, "global '__builtin__.complex'"),
    "path": ({"a": Path("x")}, "global 'pathlib"),
    "huge": ({"a": 2**70}, "LIMIT"),
    "control": ({"a\n": torch.ones(1)}, "PATH"),
}


@FORMS
@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_place(name: str, zipped: bool, tmp_path: Path) -> None:
    tree, said = REFUSED[name]
    if name == "quantised":
        data = b"ctorch._utils\n_rebuild_qtensor\n)R"
        path = packed(tmp_path / "x", data, zipped)
    else:
        path = save(tree, tmp_path / "x", zipped)
    with pytest.raises(ptformat.FormatError, match=said):
        open_source(path)


def test_torchscript(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x", "w") as file:
        for name in ("m/data.pkl", "m/constants.pkl", "m/code/m.py"):
            file.writestr(name, b"\x80\x02N.")
    with pytest.raises(ptformat.FormatError, match=r"TorchScript.*torch\.jit\.load"):
        open_source(tmp_path / "x")


def packed(path: Path, body: bytes, zipped: bool, storages: tuple[bytes, ...] = ()) -> Path:
    """A file of either form around a pickle; storages are float32."""
    data = b"\x80\x02" + (body if zipped else body.replace(FLOATS, LEGACY_FLOATS)) + b"."
    if zipped:
        with zipfile.ZipFile(path, "w") as file:
            file.writestr("x/data.pkl", data)
            file.writestr("x/version", b"3\n")
            for number, storage in enumerate(storages):
                file.writestr(f"x/data/{number}", storage)
        return path
    head = b"".join(pickle.dumps(part, 2) for part in (0x1950A86A20F9469CFC6C, 1001, {}))
    keys = pickle.dumps([str(number) for number in range(len(storages))], 2)
    tail = b"".join(struct.pack("<q", len(storage) // 4) + storage for storage in storages)
    path.write_bytes(head + data + keys + tail)
    return path


class Attack:
    """Runs a function when it is unpickled."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.reduced = function, arguments

    def __reduce__(self) -> Any:
        return self.reduced


def attack(path: Path, zipped: bool, protocol: int, *call: Any) -> Path:
    data = pickle.dumps({"w": Attack(*call)}, protocol)
    if not zipped:
        return packed(path, data[2:-1], False)
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("x/data.pkl", data)
    return path


@FORMS
@pytest.mark.parametrize("protocol", [2, 4])
def test_no_code_is_run(protocol: int, zipped: bool, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    for function, argument in ((os.system, f"touch {mark}"), (eval, f"open({str(mark)!r}, 'w')"), (os.mkdir, mark)):
        path = attack(tmp_path / "x", zipped, protocol, function, str(argument))
        with pytest.raises(ptformat.FormatError, match=r"^TYPE: .*global '(posix|nt|builtins|__builtin__|os)\."):
            open_source(path)
        pickle.loads(pickle.dumps(Attack(len, "abc"), protocol))  # the attack is one
    assert not mark.exists()
    os.system(f"touch {mark}")
    assert mark.exists()


# A storage of six float32; the legacy form says behind it which part of it is meant: all.
FLOATS = b"(X\7\0\0\0storagectorch\nFloatStorage\nX\1\0\0\x000X\3\0\0\0cpuK\6tQ"
LEGACY_FLOATS = FLOATS.replace(b"tQ", b"NtQ")


def tensor(offset: bytes, shape: bytes, strides: bytes, storage: bytes = FLOATS) -> bytes:
    ordered = b"ccollections\nOrderedDict\n)R"
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + offset + shape + strides + b"\x89" + ordered + b"tR"


def held(body: bytes) -> bytes:
    return b"}X\1\0\0\0w" + body + b"s"


def laughs(start: bytes, twice: bytes, levels: int) -> bytes:
    """What holds what holds … twice."""
    return start + b"q\x000" + (twice + b"q\x000") * levels + b"h\0"


BIG = b"\x8a\x08" + struct.pack("<q", 2**50)
HOSTILE: dict[str, tuple[bytes, str]] = {
    "deep-lists": (b"]" * 5000 + b"a" * 4999, "PATH"),
    "deep-tuples": (b")" + b"\x85" * 200_000, "PATH"),
    "lists-doubled": (laughs(b"]", b"](h\0h\0e", 60), "LIMIT"),
    "tuples-doubled": (laughs(b")", b"h\0h\0\x86", 60), "LIMIT"),
    "dicts-doubled": (laughs(b"}", b"}(K\1h\0K\2h\0u", 60), "LIMIT"),
    "key-doubled": (b"}" + laughs(b")", b"h\0h\0\x86", 60) + b"Ns", "LIMIT"),
    "list-in-itself": (b"]q\0h\0a", "TYPE"),
    "memo-huge": (b"Nr\xff\xff\xff\xff", ""),
    "memo-unset": (b"h\7", "MALFORMED"),
    "text-huge": (b"X\xff\xff\xff\xff", "TRUNCATED"),
    "text-huge-8": (b"\x8d" + b"\xff" * 8, "TRUNCATED"),
    "bytes-huge": (b"B\xff\xff\xff\xff", "TRUNCATED"),
    "bytes-huge-8": (b"\x8e" + b"\xff" * 7 + b"\x7f", "TRUNCATED"),
    "text-no-utf8": (b"X\1\0\0\0\xff", "MALFORMED"),
    "long-of-255": (b"\x8a\xff" + b"\x7f" * 255, "LIMIT"),
    "long-4": (b"\x8b\4\0\0\0abcd", "MALFORMED"),
    "integer-text": (b"I123\n", "MALFORMED"),
    "instance": (b"(ios\nsystem\n", "MALFORMED"),
    "object": (b"(cos\nsystem\no", "TYPE"),
    "newobj": (b"ccollections\nOrderedDict\n)\x81", "MALFORMED"),
    "extension": (b"\x82\1", "MALFORMED"),
    "persistent-text": (b"Pabc\n", "MALFORMED"),
    "persistent-other": (b"(X\6\0\0\0moduleNNNNNtQ", "MALFORMED"),
    "persistent-number": (b"K\1Q", "MALFORMED"),
    "global-builtin": (b"cbuiltins\neval\n", "TYPE"),
    "global-near-torch": (b"ctorch._utils\n_import_dotted_name\n", "TYPE"),
    "global-load": (b"ctorch\nload\n", "TYPE"),
    "global-hub": (b"ctorch.hub\nload\n", "TYPE"),
    "global-endless": (b"c" + b"a" * 5000, "MALFORMED"),
    "global-by-stack": (b"\x8c\2os\x8c\6system\x93", "TYPE"),
    "global-by-stack-numbers": (b"K\1K\1\x93", "MALFORMED"),
    "reduce-nothing": (b"R", "MALFORMED"),
    "reduce-text": (b"X\1\0\0\0a)R", "MALFORMED"),
    "reduce-list": (b"ctorch\nSize\n]R", "MALFORMED"),
    "reduce-size-of-text": (b"ctorch\nSize\n(X\1\0\0\0atR", "MALFORMED"),
    "reduce-too-few": (b"ctorch._utils\n_rebuild_tensor\n)R", "MALFORMED"),
    "build-tensor": (held(tensor(b"K\0", b"K\6\x85", b"K\1\x85") + b"}b"), "MALFORMED"),
    "setitem-list": (b"]K\1K\2s", "MALFORMED"),
    "append-dict": (b"}K\1a", "MALFORMED"),
    "mark-missing": (b"t", "MALFORMED"),
    "stack-of-two": (b"NN", "MALFORMED"),
    "stack-empty": (b"", "MALFORMED"),
    "build-no-dict": (b"}]b", "MALFORMED"),
    "protocol-0": (b"\x80\0N", "VERSION"),
    "key-list": (b"}]Ns", "TYPE"),
    "key-huge-integer": (b"}\x8a\x09" + b"\x7f" * 9 + b"Ns", "TYPE"),
    "tuple-of-too-few": (b"N\x86", "MALFORMED"),
    "global-type-to-come": (b"ctorch\nuint7\n", "DTYPE"),
    "persistent-no-storage": (b"(X\x07\0\0\0storageNX\1\0\0\x000X\3\0\0\0cpuK\6tQ", "MALFORMED"),
    "persistent-key-list": (b"(X\x07\0\0\0storagectorch\nFloatStorage\n]X\3\0\0\0cpuK\6tQ", "MALFORMED"),
    "parameter-no-tensor": (b"ctorch._utils\n_rebuild_parameter\n(N\x88NtR", "MALFORMED"),
    "tensor-no-type": (b"ctorch._utils\n_rebuild_tensor_v3\n(NNNNNNNtR", "MALFORMED"),
    "key-tensor": (b"}" + tensor(b"K\0", b"K\6\x85", b"K\1\x85") + b"Ns", "TYPE"),
    "key-long": (b"}X\0\x10\0\0" + b"a" * 4096 + b"Ns", "PATH"),
    "encode-utf8": (b"c_codecs\nencode\n(X\1\0\0\0aX\4\0\0\0utf8tR", "MALFORMED"),
    "storage-alone": (FLOATS, "TYPE"),
    "tensor-beyond": (held(tensor(b"K\1", b"K\6\x85", b"K\1\x85")), "EXTENT"),
    "tensor-stride-beyond": (held(tensor(b"K\0", b"K\6\x85", b"K\2\x85")), "EXTENT"),
    "tensor-offset-negative": (held(tensor(b"J\xff\xff\xff\xff", b"K\1\x85", b"K\1\x85")), "MALFORMED"),
    "tensor-stride-negative": (held(tensor(b"K\5", b"K\6\x85", b"J\xff\xff\xff\xff\x85")), "MALFORMED"),
    "tensor-shape-float": (held(tensor(b"K\0", b"G" + bytes(8) + b"\x85", b"K\1\x85")), "MALFORMED"),
    "tensor-shape-bool": (held(tensor(b"K\0", b"\x88\x85", b"K\1\x85")), "MALFORMED"),
    "tensor-two-strides": (held(tensor(b"K\0", b"K\6\x85", b"K\1K\1\x86")), "MALFORMED"),
    "tensor-rank": (held(tensor(b"K\0", b"(" + b"K\1" * 40 + b"t", b"(" + b"K\1" * 40 + b"t")), "SHAPE"),
    "tensor-no-storage": (held(tensor(b"K\0", b"K\6\x85", b"K\1\x85", b"N")), "MALFORMED"),
    "tensor-expanded-endlessly": (held(tensor(b"K\0", BIG + b"\x85", b"K\0\x85")), "LIMIT"),
    "tensor-expanded-far": (held(tensor(b"K\0", b"J\0\0\0\x40\x85", b"K\0\x85")), "LIMIT"),
    "tensor-empty-huge": (held(tensor(b"K\0", BIG + BIG + b"K\0\x87", b"K\0K\0K\0\x87")), "SHAPE"),
}


@FORMS
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_pickles(name: str, zipped: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch_zip, "MAX_SHARED", 10_000)  # what doubles reaches any limit, this one soon
    body, code = HOSTILE[name]
    storages = (bytes(24),) if FLOATS in body else ()
    path = packed(tmp_path / "x", body, zipped, storages)
    if not code:  # what would be a trap elsewhere is harmless here
        assert open_source(path).entries == [Value("", None)]
        return
    with pytest.raises(ptformat.FormatError) as caught:
        open_source(path)
    assert caught.value.code == code
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(("place", "code"), [("version", "VERSION"), ("keys", "MALFORMED"), ("magic", "MAGIC")])
@pytest.mark.parametrize("body", [laughs(b"]", b"](h\0h\0e", 60), b")" + b"\x85" * 200_000], ids=["doubled", "deep"])
def test_what_is_shown_nowhere(body: bytes, place: str, code: str, tmp_path: Path) -> None:
    """An object whose text has no end, or takes Python beyond its depth, where a number or a key is expected."""
    parts = {"magic": 0x1950A86A20F9469CFC6C, "version": 1001, "system": {}, "tree": None, "keys": []}
    pickled = {name: pickle.dumps(part, 2) for name, part in parts.items()}
    hostile = pickle.dumps(parts["magic"], 2)[2:-1] + b"0" if place == "magic" else b""
    pickled[place] = b"\x80\x02" + hostile + (b"]" + body + b"a" if place == "keys" else body) + b"."
    (tmp_path / "x").write_bytes(b"".join(pickled.values()))
    with pytest.raises(ptformat.FormatError) as caught:
        open_source(tmp_path / "x")
    assert caught.value.code == code
    assert len(str(caught.value)) < 500


@FORMS
def test_the_tables_of_the_test_are_sound(zipped: bool, tmp_path: Path) -> None:
    path = packed(tmp_path / "x", held(tensor(b"K\1", b"K\2K\2\x86", b"K\2K\1\x86")), zipped, (bytes(range(24)),))
    found = read(path)["w"]
    assert found.tobytes() == bytes(range(4, 20))
    assert equal(load(path)["w"], torch.from_numpy(found))


def test_a_pickle_of_too_many_steps_or_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save({"a": torch.ones(2)}, tmp_path / "x")
    legacy = save({"a": torch.ones(2)}, tmp_path / "y", False)
    for name, limit in (("MAX_STEPS", 20), ("MAX_BYTES", 100)):
        with monkeypatch.context() as patched:
            patched.setattr(pickles, name, limit)
            patched.setattr(torch_zip, "MAX_BYTES", limit if name == "MAX_BYTES" else 2**20)
            assert code_of(path) == "LIMIT"
            assert code_of(legacy) == "LIMIT"


@FORMS
@pytest.mark.parametrize(
    ("made", "call"),
    [
        (b"(" + b"K\1" * 1000 + b"t", b"ctorch\nSize\n"),
        (b"(" + b"K\1K\2\x86" * 1000 + b"t", b"ccollections\nOrderedDict\n"),
        (b"](" + b"K\1K\2\x86" * 1000 + b"e", b"ccollections\nOrderedDict\n"),
    ],
)
def test_an_argument_counts_each_time(
    made: bytes, call: bytes, zipped: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four bytes call with what a thousand made."""
    monkeypatch.setattr(pickles, "MAX_STEPS", 12_000)
    for calls, fits in ((1, True), (3, False)):
        body = made + b"q\x00" + call + b"q\x01" + b"h\1h\0\x85R0" * calls + b"00N"
        path = packed(tmp_path / "x", body, zipped)
        if fits:
            assert open_source(path).entries == [Value("", None)]
        else:
            assert code_of(path) == "LIMIT"


def test_a_text_counts_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = b"X" + struct.pack("<I", 50_000) + b"a" * 50_000 + b"q\x00"
    encode = b"X\6\0\0\0latin1q\2" + b"c_codecs\nencode\nq\1"
    for calls, code in ((10, ""), (200, "LIMIT")):
        path = packed(tmp_path / "x", text + encode + b"h\1h\0h\2\x86R0" * calls + b"000N", False)
        monkeypatch.setattr(pickles, "MAX_STEPS", 5000)
        assert (code_of(path) if code else len(open_source(path).entries)) == (code or 1)


@FORMS
@pytest.mark.parametrize("kind", [b"X", b"B"])
def test_a_text_in_many_places(kind: bytes, zipped: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = kind + struct.pack("<I", 1000) + b"a" * 1000 + b"q\x000"
    monkeypatch.setattr(torch_zip, "MAX_RATIO", 4)
    monkeypatch.setattr(torch_zip, "MAX_REPEATED", 10_000)
    assert len(open_source(packed(tmp_path / "x", text + b"](" + b"h\0" * 10 + b"e", zipped)).entries) == 11
    assert code_of(packed(tmp_path / "x", text + b"](" + b"h\0" * 20 + b"e", zipped)) == "LIMIT"


def test_views_of_a_deflated_storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of it is inflated for each of them."""
    whole = torch.arange(1000.0)
    save({"a": whole[:1], "b": whole[1:3], "c": whole[3:]}, tmp_path / "x")
    rezipped(tmp_path / "x", tmp_path / "y", zipfile.ZIP_DEFLATED)
    assert {key: len(array) for key, array in read(tmp_path / "y").items()} == {"a": 1, "b": 2, "c": 997}
    monkeypatch.setattr(torch_zip, "MAX_RATIO", 0)
    for budget, code in ((4 * 3000, ""), (4 * 3000 - 1, "LIMIT")):
        monkeypatch.setattr(torch_zip, "MAX_REPEATED", budget)
        assert len(read(tmp_path / "x")) == 3  # stored, it is there once
        assert (code_of(tmp_path / "y") if code else len(read(tmp_path / "y"))) == (code or 3)


def test_a_pickle_deflated_to_next_to_nothing(tmp_path: Path) -> None:
    for count, code in ((200_000, ""), (400_000, "LIMIT")):
        with zipfile.ZipFile(tmp_path / "x", "w", zipfile.ZIP_DEFLATED) as file:
            file.writestr("x/data.pkl", b"\x80\x02](" + b"}0" * (count // 2) + b"e.")
        assert (code_of(tmp_path / "x") if code else len(open_source(tmp_path / "x").entries)) == (code or 1)


def member_faults() -> Iterator[tuple[str, dict[str, bytes | None], str]]:
    yield "data-missing", {"x/data/0": None}, "EXTENT"
    yield "data-short", {"x/data/0": bytes(20)}, "EXTENT"
    yield "data-long", {"x/data/0": bytes(28)}, "EXTENT"
    yield "order-unknown", {"x/byteorder": b"middle"}, "MALFORMED"
    yield "order-long", {"x/byteorder": bytes(100)}, "LIMIT"
    yield "two-pickles", {"y/data.pkl": b"\x80\x02N."}, "MALFORMED"
    yield "bytes-behind", {"x/data.pkl": b"\x80\x02N.N."}, "MALFORMED"
    yield "pickle-empty", {"x/data.pkl": b""}, "TRUNCATED"


@pytest.mark.parametrize(("name", "changes", "code"), list(member_faults()), ids=[row[0] for row in member_faults()])
def test_members(name: str, changes: dict[str, bytes | None], code: str, tmp_path: Path) -> None:
    members = {
        "x/data.pkl": b"\x80\x02" + held(tensor(b"K\0", b"K\6\x85", b"K\1\x85")) + b".",
        "x/byteorder": b"little",
        "x/data/0": bytes(24),
    }
    with zipfile.ZipFile(tmp_path / "x", "w") as file:
        for member, data in {**members, **changes}.items():
            if data is not None:
                file.writestr(member, data)
    assert code_of(tmp_path / "x") == code


def test_a_name_twice(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x", "w") as file:
        file.writestr("x/data.pkl", b"\x80\x02N.")
        with pytest.warns(UserWarning, match="Duplicate name"):
            file.writestr("x/data.pkl", b"\x80\x02N.")
    with pytest.raises(ptformat.FormatError) as caught:
        TorchSource(tmp_path / "x")
    assert caught.value.code == "DUPLICATE"


def test_other_archives_are_none_of_ours(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x", "w") as file:
        file.writestr("readme.txt", b"")
    assert code_of(tmp_path / "x") == "FORMAT"


# --- what cannot be written


def test_types_that_torch_has_not(tmp_path: Path) -> None:
    names = [row.name for row in TABLE if row.name not in NAMES]
    ptformat.save_file({"ok": bits("int8", (2,)), **{name: bits(name, (3,)) for name in names}}, tmp_path / "x.ptf")
    with pytest.raises(ptformat.FormatError) as caught:
        rewrite(tmp_path / "x.ptf", tmp_path / "x.pt")
    assert caught.value.code == "DTYPE"
    assert caught.value.problems == tuple(f"{name!r}: {name}" for name in names)
    assert [file.name for file in tmp_path.iterdir()] == ["x.ptf"]


def test_a_namedtuple(tmp_path: Path) -> None:
    point = collections.namedtuple("point", "x y")
    ptformat.save_file({"p": point(np.ones(1), 2)}, tmp_path / "x.ptf")
    with pytest.raises(ptformat.FormatError, match="namedtuple") as caught:
        rewrite(tmp_path / "x.ptf", tmp_path / "x.pt")
    assert (caught.value.code, caught.value.path) == ("TYPE", "p")


def test_a_source_in_memory_is_written(tmp_path: Path) -> None:
    array = bits("float32", (4, 3)).T  # not contiguous
    items = [(Node("", "flat"), None), (TensorInfo("m.w", "float32", (3, 4)), array), (Alias("m.v", "m.w"), None)]
    write(whole(MemorySource(items)), tmp_path / "x.pt", Saving(durable=False))
    found = load(tmp_path / "x.pt")
    assert list(found) == ["m.w", "m.v"]
    assert raw(found["m.v"]) == array.tobytes()


# --- the real checkpoint


@FORMS
def test_minilm_there_and_back(zipped: bool, tmp_path: Path) -> None:
    origin = minilm.model_path()
    copy(origin, tmp_path / "m.pt", durable=False)
    state = load(tmp_path / "m.pt", mmap=True)
    assert len(state) == 104
    save(state, tmp_path / "torch.bin", zipped)
    copy(tmp_path / "torch.bin", tmp_path / "back.safetensors", durable=False)
    assert read(tmp_path / "back.safetensors").keys() == read(origin).keys()
    left, right = open_source(tmp_path / "back.safetensors"), open_source(origin)
    for entry in right.entries:
        if isinstance(entry, TensorInfo):
            assert same(left.array(entry.path), right.array(entry.path))


def test_views_that_overlap_are_told(tmp_path):
    whole = torch.arange(12.0)
    tree = {"a": whole[:8], "b": whole[4:], "c": whole[8:].clone(), "d": torch.zeros(0), "tie": whole[:8]}
    torch.save(tree, tmp_path / "views.pt")
    source = open_source(tmp_path / "views.pt")
    assert list(source.notes) == ["2 tensors share memory without being ties, and become copies: a, b"]
    torch.save({"a": whole[:4], "b": whole[4:], "t": whole[:4]}, tmp_path / "apart.pt")
    assert list(open_source(tmp_path / "apart.pt").notes) == []


@FORMS
def test_versions_of_modules_are_no_parameters(zipped: bool, tmp_path: Path) -> None:
    """`_metadata` is an attribute of a state dict, which a pickle builds."""
    net = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))
    assert "_metadata" in vars(net.state_dict())
    found = read(save(net.state_dict(), tmp_path / "x", zipped))
    assert [*found] == [*net.state_dict()]


def legacy(tree: bytes, keys: list[Any], *storages: bytes) -> bytes:
    """A legacy file around a pickle and a list of keys; storages are as they stand in it."""
    head = b"".join(pickle.dumps(part, 2) for part in (0x1950A86A20F9469CFC6C, 1001, {}))
    return head + b"\x80\x02" + tree + b"." + pickle.dumps(keys, 2) + b"".join(storages)


SIX = struct.pack("<q6f", 6, *range(6))
WHOLE = held(tensor(b"K\0", b"K\6\x85", b"K\1\x85", LEGACY_FLOATS))
LEGACY: dict[str, tuple[bytes, str, str]] = {
    "cut": (legacy(WHOLE, ["0"], SIX)[:-1], "TRUNCATED", "storage '0' needs bytes"),
    "cut-in-the-count": (legacy(WHOLE, ["0"], SIX[:4]), "TRUNCATED", "storage '0' needs bytes"),
    "another-count": (
        legacy(WHOLE, ["0"], struct.pack("<q6f", 5, *range(6))),
        "EXTENT",
        "5 elements, its tensors say 6",
    ),
    "bytes-behind": (legacy(WHOLE, ["0"], SIX, b"xy"), "EXTENT", "2 bytes follow the last storage"),
    "another-key": (legacy(WHOLE, ["1"], SIX), "MALFORMED", "list of storages is not that of its tensors"),
    "a-key-twice": (legacy(WHOLE, ["0", "0"], SIX, SIX), "MALFORMED", "list of storages is not"),
    "a-key-of-a-list": (legacy(WHOLE, [["0"]], SIX), "MALFORMED", "list of storages is not"),
}


@pytest.mark.parametrize("name", LEGACY)
def test_the_storages_of_the_legacy_form(name: str, tmp_path: Path) -> None:
    data, code, message = LEGACY[name]
    (tmp_path / "x").write_bytes(data)
    with pytest.raises(ptformat.FormatError, match=message) as caught:
        open_source(tmp_path / "x")
    assert caught.value.code == code


def test_views_of_storages(tmp_path: Path) -> None:
    """Files of old have parts of a storage that stand for a storage: key, offset and size in elements."""
    view = LEGACY_FLOATS.replace(b"NtQ", b"(X\1\0\0\0aK\2K\3ttQ")
    tree = b"}(X\1\0\0\0w" + tensor(b"K\1", b"K\2\x85", b"K\1\x85", view)
    tree += b"X\1\0\0\0v" + tensor(b"K\0", b"K\6\x85", b"K\1\x85", LEGACY_FLOATS) + b"u"
    (tmp_path / "x").write_bytes(legacy(tree, ["0"], SIX))
    assert {path: array.tolist() for path, array in read(tmp_path / "x").items()} == {
        "w": [3, 4],
        "v": [0, 1, 2, 3, 4, 5],
    }
    far = LEGACY_FLOATS.replace(b"NtQ", b"(X\1\0\0\0aK\5K\1ttQ")
    (tmp_path / "x").write_bytes(legacy(held(tensor(b"K\1", b"K\1\x85", b"K\1\x85", far)), ["0"], SIX))
    assert code_of(tmp_path / "x") == "EXTENT"


FACTS: dict[str, tuple[bytes, str]] = {
    "none": (b"N", ""),
    "empty": (b"}", ""),
    "marks that are not set": (b"}(X\4\0\0\0conj\x89X\3\0\0\0neg\x89u", ""),
    "conjugate": (b"}X\4\0\0\0conj\x88s", "a tensor with conj pending"),
    "both": (b"}(X\4\0\0\0conj\x88X\3\0\0\0neg\x88u", "a tensor with conj, neg pending"),
    "others": (b"}X\1\0\0\0x\x88s", "a tensor with facts of its own pending"),
    "no dict": (b"K\1", "a tensor with facts of its own pending"),
}


@pytest.mark.parametrize("name", FACTS)
def test_facts_of_a_tensor(name: str, tmp_path: Path) -> None:
    facts, message = FACTS[name]
    body = held(tensor(b"K\0", b"K\6\x85", b"K\1\x85"))[:-3] + facts + b"tRs"
    path = packed(tmp_path / "x", body, True, (SIX[8:],))
    if not message:
        assert read(path)["w"].tolist() == [0, 1, 2, 3, 4, 5]
        return
    with pytest.raises(ptformat.FormatError, match=message) as caught:
        open_source(path)
    assert caught.value.code == "TYPE"


def test_tensors_as_torch_rebuilt_them_at_first(tmp_path: Path) -> None:
    """`_rebuild_tensor`, of torch 0.1, has neither gradient nor hooks."""
    body = held(b"ctorch._utils\n_rebuild_tensor\n(" + FLOATS + b"K\1K\2\x85K\3\x85tR")
    assert read(packed(tmp_path / "x", body, True, (SIX[8:],)))["w"].tolist() == [1, 4]


@pytest.mark.parametrize(
    "value", [0, -1, 2**31 - 1, -(2**31), 2**31, -(2**31) - 1, 2**63, 2**64 - 1, -(2**63), 255, -128]
)
def test_integers_of_every_width(value: int, tmp_path: Path) -> None:
    ptformat.save_file({"n": value, "l": [True, False, None, 0.5, "é", b"\0\xff"]}, tmp_path / "x.ptf")
    rewrite(tmp_path / "x.ptf", tmp_path / "x.pt")
    assert load(tmp_path / "x.pt") == {"n": value, "l": [True, False, None, 0.5, "é", b"\0\xff"]}
