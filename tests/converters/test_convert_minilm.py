"""The real checkpoint: from its safetensors file alone to linen and back, and the two models' outputs."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import flax.serialization
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
import safetensors.torch
import torch
from nets import bert_linen, bert_torch, minilm

import ptformat
from ptformat.converters import convert, copy, plan

BOUND = 1e-5  # on the tokens that the mask keeps
IDS, MASK = minilm.batch()
KEPT = "embeddings.position_ids stands aside as buffers/embeddings/position_ids"


@pytest.fixture(scope="module")
def origin() -> dict[str, Any]:
    return dict(safetensors.numpy.load_file(minilm.model_path()))


@pytest.fixture(scope="module")
def expected() -> Any:
    """torch's states of the tokens that are kept."""
    model = bert_torch.bert(minilm.config())
    model.load_state_dict(safetensors.torch.load_file(minilm.model_path()))
    with torch.no_grad():
        hidden, _ = model(torch.from_numpy(IDS), torch.from_numpy(MASK))
    return minilm.kept(hidden.numpy(), MASK)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """linen in both flavours, made from the safetensors file alone."""
    made = tmp_path_factory.mktemp("minilm")
    convert(minilm.model_path(), made / "nested.msgpack", to="linen", strict=True, durable=False)
    convert(minilm.model_path(), made / "listed.msgpack", to="linen", style="linen-list", strict=True, durable=False)
    yield made
    for path in made.iterdir():
        path.unlink()


def variables(path: Path) -> dict[str, Any]:
    return dict(flax.serialization.msgpack_restore(path.read_bytes()))


def run(params: Any, *, listed: bool = False) -> Any:
    model = bert_linen.bert(minilm.config(), listed=listed)
    with jax.default_matmul_precision("highest"):
        hidden, _ = jax.jit(model.apply)({"params": params}, jnp.asarray(IDS, jnp.int32), jnp.asarray(MASK, jnp.int32))
    return minilm.kept(np.asarray(hidden), MASK)


def equal(path: Path, origin: dict[str, Any]) -> None:
    found = safetensors.numpy.load_file(path)
    assert len(found) == 104
    assert found.keys() == origin.keys()
    for name, array in origin.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)
        assert found[name].tobytes() == array.tobytes()


def test_pack_verify_unpack(tmp_path: Path) -> None:
    packed, back = tmp_path / "m.ptf", tmp_path / "m.safetensors"
    copy(minilm.model_path(), packed, codec="zstd", durable=False)
    checked = ptformat.verify(packed)
    assert checked.tensors == 104
    assert packed.stat().st_size < minilm.model_path().stat().st_size
    copy(packed, back, durable=False)
    assert back.read_bytes() == minilm.model_path().read_bytes()


def test_nothing_is_guessed() -> None:
    for style in ("nested", "linen-list"):
        made = plan(minilm.model_path(), to="linen", style=style, strict=True)
        assert made.guesses == []
        assert made.kept == [KEPT]
        assert made.dropped == []
        assert made.report()[-1] == "all 104 steps are exact; nothing is guessed"


def test_every_linear_kernel_is_transposed(origin: dict[str, Any]) -> None:
    made = plan(minilm.model_path(), to="linen")
    moved = [step for step in made.steps.values() if step.perm == (1, 0)]
    assert len(moved) == 37
    assert sum(step.source_shape[0] == step.source_shape[1] for step in moved) == 25
    still = [step.source for step in made.steps.values() if len(step.perm) == 2 and step.perm == (0, 1)]
    embeddings = {f"embeddings.{name}_embeddings.weight" for name in ("word", "position", "token_type")}
    assert {*still} == {*embeddings, "embeddings.position_ids"}


def test_there_and_back(folder: Path, origin: dict[str, Any], tmp_path: Path) -> None:
    target = tmp_path / "back.safetensors"
    made = convert(folder / "nested.msgpack", target, to="torch", strict=True, durable=False)
    assert made.dropped == []
    equal(target, origin)
    # The library's own file has its metadata, too.
    assert target.read_bytes() == minilm.model_path().read_bytes()


def test_there_and_back_in_lists(folder: Path, origin: dict[str, Any], tmp_path: Path) -> None:
    by_style, by_template = tmp_path / "style.safetensors", tmp_path / "template.safetensors"
    convert(folder / "listed.msgpack", by_style, to="torch", style="linen-list", strict=True, durable=False)
    equal(by_style, origin)
    by_name = {"template": minilm.model_path()}
    convert(folder / "listed.msgpack", by_template, to="torch", strict=True, durable=False, **by_name)
    equal(by_template, origin)


@pytest.mark.parametrize("codec", ["raw", "zstd"])
def test_there_and_back_through_ptf(codec: str, tmp_path: Path) -> None:
    linen, back = tmp_path / "linen.ptf", tmp_path / "back.safetensors"
    convert(minilm.model_path(), linen, to="linen", style="linen-list", codec=codec, durable=False)
    made = convert(linen, back, to="torch", strict=True, durable=False)
    assert made.undone
    assert back.read_bytes() == minilm.model_path().read_bytes()


def test_outputs_agree(folder: Path, expected: Any) -> None:
    found = run(variables(folder / "nested.msgpack")["params"])
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= BOUND


def test_outputs_of_the_listed_flavour_agree(folder: Path, expected: Any) -> None:
    found = run(variables(folder / "listed.msgpack")["params"], listed=True)
    assert np.abs(found - expected).max() <= BOUND


@pytest.mark.parametrize("listed", [False, True])
def test_a_template_gives_exactly_the_models_variables(
    listed: bool, expected: Any, folder: Path, tmp_path: Path
) -> None:
    model = bert_linen.bert(minilm.config(), listed=listed)
    ids = jnp.zeros((1, 4), jnp.int32)
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), ids, ids))
    zeros = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes)
    (tmp_path / "t.msgpack").write_bytes(flax.serialization.msgpack_serialize(zeros))
    convert(
        minilm.model_path(),
        tmp_path / "x.msgpack",
        to="linen",
        template=tmp_path / "t.msgpack",
        drop=["embeddings.position_ids"],
        strict=True,
        durable=False,
    )
    found = flax.serialization.from_bytes(zeros, (tmp_path / "x.msgpack").read_bytes())
    assert jax.tree.structure(found) == jax.tree.structure(zeros)
    by_style = variables(folder / ("listed.msgpack" if listed else "nested.msgpack"))["params"]
    assert jax.tree.all(jax.tree.map(np.array_equal, found["params"], by_style))
    if listed:
        assert np.abs(run(found["params"], listed=True) - expected).max() <= BOUND


def test_square_kernels_left_untransposed_do_not_pass(folder: Path, expected: Any) -> None:
    """The negative control: every shape still fits, and the outputs are wrong."""
    right = variables(folder / "nested.msgpack")["params"]
    square = 0

    def spoil(path: Any, leaf: Any) -> Any:
        nonlocal square
        if path[-1].key == "kernel" and leaf.shape[0] == leaf.shape[1]:
            square += 1
            return leaf.T
        return leaf

    wrong = jax.tree_util.tree_map_with_path(spoil, right)
    assert square == 25
    assert jax.tree.map(np.shape, wrong) == jax.tree.map(np.shape, right)
    found = run(wrong)
    assert not np.abs(found - expected).max() <= BOUND
    assert np.abs(found - expected).max() > 0.5
