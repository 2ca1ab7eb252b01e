"""A conversion is right when the two models give the same outputs: every net, both ways, from every kind of file."""

from pathlib import Path
from typing import Any

import flax.serialization
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.torch
import torch
from nets import cnn, deck
from sources import same

import ptformat.flax
import ptformat.torch
from ptformat.converters import convert

# The measured bound of each net's layers, a few times over (float32).
BOUNDS = {"cnn": 4e-6, "conv1d": 4e-6, "conv3d": 4e-6, "embedding": 1e-6, "layer_norm": 2e-6, "rms_norm": 2e-6}
# What names and shapes alone leave open.
KINDS: dict[str, list[tuple[str, str]]] = {
    "cnn": [("grouped", "conv"), ("depthwise", "conv")],
    "conv3d": [("conv", "conv"), ("mix", "conv")],
    "layer_norm": [("3", "layer_norm")],
    "rms_norm": [("0", "linear"), ("1", "rms_norm")],
}


def _same(array: Any) -> Any:
    return array


DECK = np.random.default_rng(1).standard_normal((5, 4), np.float32)
PAIRS = {
    **cnn.PAIRS,
    "net": cnn.Pair(deck.net, deck.linen_net, DECK, _same, _same),
    "shared": cnn.Pair(deck.shared_net, deck.linen_shared_net, DECK, _same, _same),
}
TREES = {"net": deck.NET_TREE, "shared": deck.SHARED_TREE}


def run_torch(pair: cnn.Pair, module: torch.nn.Module) -> Any:
    with torch.no_grad():
        return module(torch.from_numpy(pair.example)).numpy()


def run_linen(pair: cnn.Pair, variables: Any) -> Any:
    with jax.default_matmul_precision("highest"):
        return pair.from_linen(np.asarray(pair.make_linen().apply(variables, jnp.asarray(pair.to_linen(pair.example)))))


def initialised(pair: cnn.Pair) -> Any:
    """linen's own variables, every leaf random."""
    module, example = pair.make_linen(), jnp.asarray(pair.to_linen(pair.example))
    shapes = jax.eval_shape(lambda: module.init(jax.random.key(0), example))
    rng = np.random.default_rng(3)
    return jax.tree.map(lambda leaf: rng.uniform(0.5, 1.5, leaf.shape).astype(leaf.dtype) / 2, shapes)


def restored(path: Path) -> Any:
    return flax.serialization.msgpack_restore(path.read_bytes())


def close(left: Any, right: Any, bound: float) -> None:
    assert left.shape == right.shape
    assert np.abs(right).max() > 0.05  # a net that gives nothing proves nothing
    assert np.abs(left - right).max() <= bound


@pytest.mark.parametrize("name", PAIRS)
def test_a_module_through_ptf_to_linen(name: str, tmp_path: Path) -> None:
    pair = PAIRS[name]
    module = pair.make_torch()
    ptformat.torch.save_model(module, tmp_path / "a.ptf")
    convert(tmp_path / "a.ptf", tmp_path / "b.msgpack", to="linen", strict=True, durable=False)
    variables = restored(tmp_path / "b.msgpack")
    close(run_linen(pair, variables), run_torch(pair, module), BOUNDS.get(name, 1e-6))
    shapes = jax.tree.map(np.shape, initialised(pair), is_leaf=lambda leaf: hasattr(leaf, "shape"))
    assert jax.tree.map(np.shape, variables) == shapes
    assert jax.tree.map(np.shape, variables) == TREES.get(name, shapes)


def save_bare(name: str, module: torch.nn.Module, path: Path) -> None:
    """The state dict alone, without what repeats a shared layer."""
    state = {key: tensor.clone() for key, tensor in module.state_dict().items()}
    if name == "shared":
        del state["4.weight"], state["4.bias"]
    safetensors.torch.save_file(state, path, metadata={"format": "pt"})


@pytest.mark.parametrize("name", PAIRS)
def test_a_bare_state_dict_with_kinds_to_linen(name: str, tmp_path: Path) -> None:
    pair = PAIRS[name]
    module = pair.make_torch()
    save_bare(name, module, tmp_path / "a.safetensors")
    kinds = KINDS.get(name, [])
    convert(tmp_path / "a.safetensors", tmp_path / "b.msgpack", to="linen", kinds=kinds, strict=True, durable=False)
    close(run_linen(pair, restored(tmp_path / "b.msgpack")), run_torch(pair, module), BOUNDS.get(name, 1e-6))


@pytest.mark.parametrize("name", PAIRS)
def test_a_bare_state_dict_with_a_template_to_linen(name: str, tmp_path: Path) -> None:
    pair = PAIRS[name]
    module = pair.make_torch()
    save_bare(name, module, tmp_path / "a.safetensors")
    (tmp_path / "t.msgpack").write_bytes(flax.serialization.to_bytes(initialised(pair)))
    convert(
        tmp_path / "a.safetensors",
        tmp_path / "b.msgpack",
        to="linen",
        template=tmp_path / "t.msgpack",
        kinds=[("mix", "conv")] if name == "conv3d" else (),  # square, and without a shape that says no
        strict=True,
        durable=False,
    )
    variables = flax.serialization.from_bytes(initialised(pair), (tmp_path / "b.msgpack").read_bytes())
    close(run_linen(pair, variables), run_torch(pair, module), BOUNDS.get(name, 1e-6))


@pytest.mark.parametrize("source", ["msgpack", "ptf"])
@pytest.mark.parametrize("name", PAIRS)
def test_linen_initialised_to_torch(name: str, source: str, tmp_path: Path) -> None:
    pair = PAIRS[name]
    variables = initialised(pair)
    if source == "msgpack":
        (tmp_path / "a.msgpack").write_bytes(flax.serialization.to_bytes(variables))
    else:
        example = jnp.asarray(pair.to_linen(pair.example))
        ptformat.flax.save_model(pair.make_linen(), variables, tmp_path / "a.ptf", example)
    module = pair.make_torch()
    before = run_torch(pair, module)
    convert(
        tmp_path / f"a.{source}",
        tmp_path / "b.safetensors",
        to="torch",
        kinds=() if source == "ptf" else linen_rules(name),
        strict=True,
        durable=False,
    )
    state = safetensors.torch.load_file(tmp_path / "b.safetensors")
    if name == "shared":
        state |= {"4.weight": state["2.weight"], "4.bias": state["2.bias"]}
    module.load_state_dict(state)
    after = run_torch(pair, module)
    close(after, run_linen(pair, variables), 4 * BOUNDS.get(name, 1e-6) * max(1.0, float(np.abs(after).max())))
    assert np.abs(after - before).max() > 0.01


def linen_rules(name: str) -> list[tuple[str, str]]:
    """linen's leaf names say all but whether a convolution is transposed."""
    modules = {"cnn": ("stem", "grouped", "depthwise"), "conv3d": ("conv", "mix"), "conv1d": ("layers_0", "layers_3")}
    return [(module, "conv") for module in modules.get(name, ())]


@pytest.mark.parametrize("name", PAIRS)
def test_back_from_a_bare_file_are_equal_bits(name: str, tmp_path: Path) -> None:
    pair = PAIRS[name]
    state = pair.make_torch().state_dict()
    ptformat.torch.save_model(pair.make_torch(), tmp_path / "a.ptf")
    convert(tmp_path / "a.ptf", tmp_path / "b.msgpack", to="linen", durable=False)
    convert(tmp_path / "b.msgpack", tmp_path / "c.safetensors", to="torch", kinds=linen_rules(name), durable=False)
    found = safetensors.torch.load_file(tmp_path / "c.safetensors")
    assert found.keys() == {key for key in state if name != "shared" or not key.startswith("4.")}
    for key, tensor in found.items():
        expected = torch.zeros_like(state[key]) if key.endswith("num_batches_tracked") else state[key]
        assert torch.equal(tensor, expected)


def test_the_shared_layer_is_one_tensor_after_the_trip(tmp_path: Path) -> None:
    ptformat.torch.save_model(deck.shared_net(), tmp_path / "a.ptf")
    convert(tmp_path / "a.ptf", tmp_path / "b.ptf", to="linen", durable=False)
    variables = ptformat.flax.load_file(tmp_path / "b.ptf")
    assert sorted(variables["params"]) == ["layers_0", "layers_2", "layers_6"]
    convert(tmp_path / "b.ptf", tmp_path / "c.ptf", to="torch", durable=False)
    module = deck.shared_net(seed=1)
    ptformat.torch.load_model(module, tmp_path / "c.ptf")
    assert module[4].weight is module[2].weight
    before = run_torch(PAIRS["shared"], module)
    assert np.abs(before - run_torch(PAIRS["shared"], deck.shared_net())).max() == 0
    with torch.no_grad():
        module[4].weight += 1
    assert torch.equal(module[2].weight, module[4].weight)
    assert np.abs(before - run_torch(PAIRS["shared"], module)).max() > 0.01


@pytest.mark.parametrize("name", ["cnn", "conv1d", "conv3d", "rms_norm"])
def test_kernels_left_as_they_are_would_not_pass(name: str, tmp_path: Path) -> None:
    """The comparison above tells: with every square kernel untransposed, outputs part."""
    pair = PAIRS[name]
    module = pair.make_torch()
    ptformat.torch.save_model(module, tmp_path / "a.ptf")
    convert(tmp_path / "a.ptf", tmp_path / "b.msgpack", to="linen", durable=False)

    def spoil(leaf: Any) -> Any:
        square = leaf.ndim > 1 and leaf.shape[-1] == leaf.shape[-2]
        return leaf.swapaxes(-1, -2) if square else leaf[..., ::-1].copy() if leaf.ndim > 2 else leaf

    spoiled = jax.tree.map(spoil, restored(tmp_path / "b.msgpack"))
    assert np.abs(run_linen(pair, spoiled) - run_torch(pair, module)).max() > 100 * BOUNDS[name]


def test_bfloat16_keeps_its_bits(tmp_path: Path) -> None:
    module = cnn.PAIRS["cnn"].make_torch().to(torch.bfloat16)
    ptformat.torch.save_model(module, tmp_path / "a.ptf")
    convert(tmp_path / "a.ptf", tmp_path / "b.ptf", to="linen", durable=False)
    variables = ptformat.flax.load_file(tmp_path / "b.ptf")
    kernel = variables["params"]["head"]["kernel"]
    assert kernel.dtype == jnp.bfloat16
    weight = module.head.weight.detach().view(torch.uint16).numpy()
    assert same(np.ascontiguousarray(np.asarray(kernel).view(np.uint16).T), weight)
