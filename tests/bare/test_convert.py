"""From file to file without torch, jax, flax and safetensors, bfloat16 and float8 included."""

import json
import struct
import subprocess
import sys
from pathlib import Path

import ml_dtypes
import msgpack
import numpy as np
import pytest

import ptformat
from ptformat.converters import ConversionError, convert, copy, plan

DTYPES = {  # safetensors' names
    "float32": "F32",
    "bfloat16": "BF16",
    "float8_e4m3fn": "F8_E4M3",
    "float8_e5m2": "F8_E5M2",
    "float16": "F16",
    "int64": "I64",
}
NETS = {  # type -> what a layer of it is called
    "float32": "plain",
    "bfloat16": "brain",
    "float8_e4m3fn": "eight",
    "float8_e5m2": "wide",
    "float16": "half",
}


def bits(name: str, shape: tuple[int, ...], seed: int) -> np.ndarray:
    dtype = np.dtype(getattr(ml_dtypes, name, name))
    data = np.random.default_rng(seed).integers(0, 256, int(np.prod(shape)) * dtype.itemsize, np.uint8)
    return data.view(dtype).reshape(shape)


def tensors() -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {"embed.weight": bits("bfloat16", (9, 5), 1)}
    for seed, (dtype, name) in enumerate(NETS.items()):
        found[f"blocks.0.{name}.fc.weight"] = bits(dtype, (4, 4), seed)
        found[f"blocks.0.{name}.fc.bias"] = bits(dtype, (4,), seed)
        found[f"blocks.10.{name}.conv.weight"] = bits(dtype, (7, 2, 3, 5), seed)
        found[f"blocks.10.{name}.norm.weight"] = bits(dtype, (4,), seed)
    found["bn.running_mean"], found["bn.running_var"] = np.zeros(3, np.float32), np.ones(3, np.float32)
    found["bn.num_batches_tracked"] = np.array(0)
    return found


def write(path: Path, held: dict[str, np.ndarray]) -> Path:
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, array in held.items():
        header[name] = {
            "dtype": DTYPES[array.dtype.name],
            "shape": list(array.shape),
            "data_offsets": [end, end + array.nbytes],
        }
        end += array.nbytes
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(array.tobytes() for array in held.values()))
    return path


def read(path: Path) -> dict[str, tuple[str, list[int], bytes]]:
    data = path.read_bytes()
    (length,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + length])
    header.pop("__metadata__", None)
    start = 8 + length
    return {
        name: (said["dtype"], said["shape"], data[start + said["data_offsets"][0] : start + said["data_offsets"][1]])
        for name, said in header.items()
    }


def spawn(*args: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-m", "ptformat", *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


KINDS = [("*.conv", "conv")]
RULE = ("--kind", "*.conv=conv")
BACK = ("--kind", "*/conv=conv")


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    return write(tmp_path / "model.safetensors", tensors())


def check_linen(path: Path) -> None:
    tree = msgpack.unpackb(path.read_bytes(), strict_map_key=False)
    block = tree["params"]["blocks"]["0"]
    for seed, (dtype, name) in enumerate(NETS.items()):
        kernel = block[name]["fc"]["kernel"]
        shape, said, data = msgpack.unpackb(kernel.data)
        assert (kernel.code, shape, said) == (1, [4, 4], dtype)
        assert data == bits(dtype, (4, 4), seed).T.tobytes()
        kernel = tree["params"]["blocks"]["10"][name]["conv"]["kernel"]
        shape, said, data = msgpack.unpackb(kernel.data)
        assert (shape, said) == ([3, 5, 2, 7], dtype)
        assert data == bits(dtype, (7, 2, 3, 5), seed).transpose(2, 3, 1, 0).tobytes()
    assert {*tree["batch_stats"]["bn"]} == {"mean", "var"}


def test_there_and_back_are_equal_bits(origin: Path, tmp_path: Path) -> None:
    linen, back = tmp_path / "params.msgpack", tmp_path / "back.safetensors"
    convert(origin, linen, to="linen", kinds=KINDS, strict=True)
    check_linen(linen)
    convert(linen, back, to="torch", kinds=[("*/conv", "conv")], strict=True)
    assert read(back) == read(origin)


@pytest.mark.parametrize("codec", ["raw", "zstd"])
def test_there_and_back_through_ptf(codec: str, origin: Path, tmp_path: Path) -> None:
    linen, back = tmp_path / "params.ptf", tmp_path / "back.safetensors"
    convert(origin, linen, to="linen", kinds=KINDS, codec=codec)
    assert convert(linen, back, to="torch", strict=True).undone
    assert read(back) == read(origin)


def test_pack_and_unpack(origin: Path, tmp_path: Path) -> None:
    copy(origin, tmp_path / "m.ptf", codec="zstd")
    assert ptformat.verify(tmp_path / "m.ptf").tensors == len(tensors())
    copy(tmp_path / "m.ptf", tmp_path / "back.safetensors")
    assert read(tmp_path / "back.safetensors") == read(origin)
    with ptformat.open(tmp_path / "m.ptf") as file:
        assert file["embed.weight"].dtype == np.dtype(ml_dtypes.bfloat16)


def test_shards_in_a_directory(origin: Path, tmp_path: Path) -> None:
    size = max(len(data) for _, _, data in read(origin).values())
    copy(origin, tmp_path / "model", max_shard_bytes=size)
    shards = sorted((tmp_path / "model").glob("*.safetensors"))
    assert len(shards) > 2
    assert {name: said for path in shards for name, said in read(path).items()} == read(origin)
    convert(tmp_path / "model", tmp_path / "linen.msgpack", to="linen", kinds=KINDS, strict=True)
    check_linen(tmp_path / "linen.msgpack")
    copy(tmp_path / "model", tmp_path / "back.safetensors")
    assert read(tmp_path / "back.safetensors") == read(origin)


def test_all_problems_at_once(tmp_path: Path) -> None:
    held = {"a.in_proj_weight": np.zeros((3, 3), np.float32), "b.weight": np.zeros((3, 3), np.float32)}
    with pytest.raises(ConversionError) as caught:
        plan(write(tmp_path / "x.safetensors", held), to="linen", strict=True)
    assert [problem.kind for problem in caught.value.problems] == ["unsupported", "guess"]


def test_the_command_line(origin: Path, tmp_path: Path) -> None:
    linen, back = tmp_path / "params.msgpack", tmp_path / "back.safetensors"
    packed, unpacked = tmp_path / "m.ptf", tmp_path / "unpacked.safetensors"
    for args in (
        ("convert", origin, linen, "--to", "linen", *RULE, "--strict"),
        ("convert", linen, back, "--to", "torch", *BACK, "--strict"),
        ("convert", origin, tmp_path / "none.msgpack", "--to", "linen", *RULE, "--dry-run"),
        ("pack", origin, packed),
        ("unpack", packed, unpacked),
        ("verify", packed),
        ("tree", packed),
        ("tree", origin),
        ("tree", linen),
        ("--version",),
        ("--help",),
    ):
        done = spawn(*args)
        assert (done.returncode, done.stderr) == (0, ""), args
        assert done.stdout
    check_linen(linen)
    assert read(back) == read(unpacked) == read(origin)
    assert not (tmp_path / "none.msgpack").exists()
    assert "bfloat16" in spawn("tree", packed).stdout


def test_exit_codes_and_one_line_of_error(origin: Path, tmp_path: Path) -> None:
    (tmp_path / "cut.ptf").write_bytes(b"\x89PTF\r\n\x1a\n")
    for args, code in (
        (("verify", tmp_path / "cut.ptf"), 1),
        (("tree", tmp_path / "none.ptf"), 1),
        (("pack", origin, tmp_path / "x.xyz"), 2),
        (("convert", origin, tmp_path / "x.msgpack", "--to", "nobody"), 2),
    ):
        done = spawn(*args)
        assert done.returncode == code, args
        assert "Traceback" not in done.stderr + done.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cut.ptf", "model.safetensors"]


def test_a_missing_package_is_one_line_with_the_command_that_installs_it(origin: Path, tmp_path: Path) -> None:
    done = spawn("convert", origin, tmp_path / "x.orbax")
    assert (done.returncode, done.stdout) == (1, "")
    what = "an orbax checkpoint needs orbax-checkpoint and tensorstore: pip install 'ptformat[orbax]'"
    assert done.stderr == f"ptformat: {origin}: {what}\n"
    assert not (tmp_path / "x.orbax").exists()
    assert not list(tmp_path.glob(".*"))
