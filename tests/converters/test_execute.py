"""Plans run: every move of axes against NumPy, every type, in bands, with progress, and nothing left after a fault."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sources import bits, read, same

import ptformat
from ptformat import bands
from ptformat.converters import convert, copy, evaluate, plan
from ptformat.converters.execute import content_of, counted
from ptformat.converters.files import open_source
from ptformat.converters.files.ptf import PtfSource
from ptformat.dtypes import TABLE

TYPES = [row.name for row in TABLE]
LAYERS: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {  # kind -> torch's shape, and how its axes move
    "linear": ((5, 3), (1, 0)),
    "conv 1d": ((5, 3, 4), (2, 1, 0)),
    "conv 2d": ((5, 3, 4, 2), (2, 3, 1, 0)),
    "conv 3d": ((5, 3, 4, 2, 6), (2, 3, 4, 1, 0)),
}


@pytest.mark.parametrize("name", TYPES)
@pytest.mark.parametrize("layer", LAYERS)
def test_every_type_and_layout_there_and_back(layer: str, name: str, tmp_path: Path) -> None:
    shape, perm = LAYERS[layer]
    array, bias = bits(name, shape), bits(name, (5,))
    ptformat.save_file({"m.weight": array, "m.bias": bias}, tmp_path / "a.ptf", convention="torch")
    convert(tmp_path / "a.ptf", tmp_path / "b.ptf", to="linen", durable=False)
    found = read(tmp_path / "b.ptf")
    assert same(found["params.m.kernel"], np.ascontiguousarray(array.transpose(perm)))
    assert same(found["params.m.bias"], bias)
    convert(
        tmp_path / "b.ptf", tmp_path / "c.ptf", to="torch", durable=False, codec="zstd", kinds=[("m", layer.split()[0])]
    )
    back = read(tmp_path / "c.ptf")
    assert same(back["m.weight"], array)
    assert same(back["m.bias"], bias)


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0, 0), (1, 1), (1, 7)])
def test_empty_and_thin_tensors(shape: tuple[int, int], tmp_path: Path) -> None:
    array = bits("float32", shape)
    ptformat.save_file({"m.weight": array}, tmp_path / "a.ptf", convention="torch")
    for suffix in (".msgpack", ".safetensors", ".ptf"):
        convert(tmp_path / "a.ptf", tmp_path / f"b{suffix}", to="linen", durable=False, kinds=[("m", "linear")])
        assert same(read(tmp_path / f"b{suffix}")["params.m.kernel"], np.ascontiguousarray(array.T))


@pytest.mark.parametrize("limit", [1, 7, 64, 1000])
@pytest.mark.parametrize("perm", [*itertools.permutations(range(3))])
def test_bands_are_the_array_in_logical_order(perm: tuple[int, ...], limit: int) -> None:
    array = bits("uint16", (5, 7, 3)).transpose(perm)
    pieces = [piece.copy() for piece in bands.bands(array, limit)]
    assert b"".join(piece.tobytes() for piece in pieces) == array.tobytes()
    assert all(piece.nbytes <= max(limit, array.itemsize) for piece in pieces)


def test_many_bands_of_one_kernel(tmp_path: Path) -> None:
    """Larger than one band, in every kind of file, from raw and from compressed."""
    array = bits("float32", (1500, 2000))
    assert array.nbytes > bands.BAND_BYTES
    ptformat.save_file({"m.weight": array}, tmp_path / "raw.ptf", convention="torch")
    ptformat.save_file({"m.weight": array}, tmp_path / "zstd.ptf", convention="torch", codec="zstd")
    for origin, suffix in itertools.product(("raw", "zstd"), (".msgpack", ".safetensors", ".ptf")):
        target = tmp_path / f"b{suffix}"
        convert(tmp_path / f"{origin}.ptf", target, to="linen", durable=False, kinds=[("m", "linear")])
        assert same(read(target)["params.m.kernel"], np.ascontiguousarray(array.T))


@pytest.mark.parametrize("suffix", [".msgpack", ".safetensors", ".ptf"])
def test_ties_of_another_layout_are_written_in_theirs(suffix: str, tmp_path: Path) -> None:
    array = bits("float32", (9, 4))
    with ptformat.Writer(tmp_path / "a.ptf", convention="torch") as out:
        out.tensor("emb.weight", array)
        out.alias("head.weight", "emb.weight")
    tree = {"params": {"emb": {"embedding": np.zeros((9, 4), "f4")}, "head": {"kernel": np.zeros((4, 9), "f4")}}}
    ptformat.save_file(tree, tmp_path / "template.ptf")
    target = tmp_path / f"b{suffix}"
    convert(tmp_path / "a.ptf", target, to="linen", template=tmp_path / "template.ptf", durable=False)
    if suffix == ".ptf":
        with ptformat.open(target) as file:
            assert same(file["params.head.kernel"], array.T)
            (tie,) = file.aliases.values()
            assert (tie.path, tie.target, tie.perm) == ("params.head.kernel", "params.emb.embedding", (1, 0))
            assert np.shares_memory(file["params.head.kernel"], file["params.emb.embedding"])
    else:
        found = read(target)
        assert same(found["params.emb.embedding"], array)
        assert same(found["params.head.kernel"], np.ascontiguousarray(array.T))


def test_filled_tensors(tmp_path: Path) -> None:
    tree = {"batch_stats": {"bn": {"mean": np.zeros(3, "f4"), "var": np.ones(3, "f4")}}}
    ptformat.save_file(tree, tmp_path / "a.ptf", convention="flax.linen")
    convert(tmp_path / "a.ptf", tmp_path / "b.safetensors", to="torch", durable=False)
    assert same(read(tmp_path / "b.safetensors")["bn.num_batches_tracked"], np.array(0, np.int64))


def test_a_saved_plan_can_be_run_on_its_own(tmp_path: Path) -> None:
    array = bits("float32", (5, 3))
    ptformat.save_file({"m.weight": array}, tmp_path / "a.ptf", convention="torch")
    opened = open_source(tmp_path / "a.ptf")
    content = content_of(plan(opened, to="linen"), opened, recorded=False)
    (entry,) = (entry for entry in content.entries if isinstance(entry, ptformat.TensorInfo))
    assert b"".join(content.pieces(entry)) == array.T.tobytes()
    assert content.header.provenance == {}


@pytest.mark.parametrize("suffix", [".msgpack", ".safetensors", ".ptf"])
def test_progress_adds_up(suffix: str, tmp_path: Path) -> None:
    ptformat.save_file(
        {"m.weight": bits("float32", (1500, 2000)), "m.bias": bits("float32", (1500,))},
        tmp_path / "a.ptf",
        convention="torch",
    )
    moved: list[int] = []
    whole: list[int] = []
    target = tmp_path / f"b{suffix}"
    convert(tmp_path / "a.ptf", target, to="linen", durable=False, progress=moved.append, total=whole.append)
    assert whole == [sum(moved)] == [4 * (1500 * 2000 + 1500)]
    moved.clear()
    copy(tmp_path / "a.ptf", target, durable=False, progress=moved.append, total=whole.append)
    assert whole[1:] == [sum(moved)]


@pytest.mark.parametrize(("suffix", "count"), [(".msgpack", 2), (".safetensors", 1), (".ptf", 1)])
def test_progress_counts_a_tied_tensor_as_often_as_it_is_written(suffix: str, count: int, tmp_path: Path) -> None:
    array = bits("float32", (5, 3))
    ptformat.save_file({"a.w": array, "b.w": array}, tmp_path / "a.ptf")
    moved: list[int] = []
    whole: list[int] = []
    done = copy(tmp_path / "a.ptf", tmp_path / f"b{suffix}", durable=False, progress=moved.append, total=whole.append)
    assert whole == [sum(moved)] == [done.nbytes] == [60 * count]
    assert done.tensors == count


def test_no_progress_is_the_content_itself(tmp_path: Path) -> None:
    ptformat.save_file({"m.weight": bits("float32", (5, 3))}, tmp_path / "a.ptf", convention="torch")
    opened = open_source(tmp_path / "a.ptf")
    content = content_of(plan(opened, to="linen"), opened, recorded=False)
    assert counted(content, None) is content


class Stop(Exception):
    pass


@pytest.mark.parametrize("suffix", [".msgpack", ".safetensors", ".ptf"])
def test_an_interruption_leaves_the_old_file_and_nothing_else(suffix: str, tmp_path: Path) -> None:
    ptformat.save_file({"m.weight": bits("float32", (1500, 2000))}, tmp_path / "a.ptf", convention="torch")
    target = tmp_path / f"b{suffix}"
    target.write_bytes(b"before")

    def stop(_: int) -> None:
        raise Stop

    with pytest.raises(Stop):
        convert(tmp_path / "a.ptf", target, to="linen", progress=stop)
    assert target.read_bytes() == b"before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.ptf", target.name]


def test_metadata_and_convention_of_the_result(tmp_path: Path) -> None:
    options: dict[str, Any] = {"convention": "torch", "metadata": {"format": "pt", "who": "me", "n": 1}}
    ptformat.save_file({"m.weight": bits("float32", (5, 3))}, tmp_path / "a.ptf", **options)
    convert(tmp_path / "a.ptf", tmp_path / "b.ptf", to="linen", durable=False)
    with ptformat.open(tmp_path / "b.ptf") as file:
        assert file.convention == "flax.linen"
        assert file.metadata == {"who": "me", "n": 1}
        assert file.provenance["origin"] == "torch"
    convert(tmp_path / "a.ptf", tmp_path / "b.safetensors", to="linen", durable=False)
    assert open_source(tmp_path / "b.safetensors").header.metadata == {"who": "me"}
    copy(tmp_path / "a.ptf", tmp_path / "c.safetensors", durable=False)
    assert open_source(tmp_path / "c.safetensors").header.metadata == {"who": "me", "format": "pt"}


@pytest.mark.parametrize("suffix", [".msgpack", ".ptf", ".safetensors"])
def test_a_sink_of_another_order_has_little_begun_in_vain(
    suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Threads begin with the next tensor; of a compressed source that takes decoding it."""
    rng = np.random.default_rng(0)
    names = [f"{name}.weight" for name in "dacbfe"]
    tree = {name: rng.standard_normal((700, 600), np.float32).astype(np.float16) for name in names}
    tree["b.weight"] = tree["b.weight"].astype(np.float32)
    ptformat.save_file(tree, tmp_path / "a.ptf", convention="torch", codec="zstd")
    taken: list[str] = []
    array = PtfSource.array
    monkeypatch.setattr(PtfSource, "array", lambda self, path: taken.append(path) or array(self, path))
    monkeypatch.setattr(evaluate, "TURNED_BYTES", 2**18)
    kinds = [(name.removesuffix(".weight"), "linear") for name in names]
    convert(tmp_path / "a.ptf", tmp_path / f"b{suffix}", to="linen", durable=False, kinds=kinds)
    assert len(taken) <= len(names) + 1
    found = read(tmp_path / f"b{suffix}")
    assert all(same(found[f"params.{name[0]}.kernel"], np.ascontiguousarray(tree[name].T)) for name in names)
