"""The networks of the lecture deck in the layouts of torch, linen and nnx, and with what training adds to them."""

from __future__ import annotations

from collections.abc import Iterator

from ..case import Case, accept
from ..draft import Draft


def net() -> Draft:
    """`Sequential(Linear(4, 8), ReLU(), Linear(8, 1))`."""
    made = Draft(convention="torch").node("", "flat", module="sequential")
    _linear(made, "0", 8, 4)
    made.node("1", "part", module="relu")
    return _linear(made, "2", 1, 8)


def shared() -> Draft:
    """One `Linear(8, 8)` at positions 2 and 4."""
    made = _linear(Draft(convention="torch").node("", "flat", module="sequential"), "0", 8, 4)
    made.node("1", "part", module="relu")
    _linear(made, "2", 8, 8)
    made.node("3", "part", module="relu").node("4", "part", module="linear")
    made.alias("4.weight", "2.weight").alias("4.bias", "2.bias")
    return _linear(made.node("5", "part", module="relu"), "6", 1, 8)


def _linear(made: Draft, at: str, out: int, inward: int) -> Draft:
    made.node(at, "part", module="linear")
    made.tensor(f"{at}.weight", shape=(out, inward), axes=["out", "in"], role="parameter")
    return made.tensor(f"{at}.bias", shape=(out,), axes=["out"], role="parameter")


def linen() -> Draft:
    """The net as Flax linen has it."""
    made = Draft(convention="flax.linen")
    for name, inward, out in (("layers_0", 4, 8), ("layers_2", 8, 1)):
        made.node(f"params.{name}", module="linear")
        made.tensor(f"params.{name}.bias", shape=(out,), axes=["out"], role="parameter")
        made.tensor(f"params.{name}.kernel", shape=(inward, out), axes=["in", "out"], role="parameter")
    return made


def linen_shared() -> Draft:
    """The shared net as Flax linen has it: the shared layer stands once."""
    made = Draft(convention="flax.linen")
    for name, inward, out in (("layers_0", 4, 8), ("shared", 8, 8), ("layers_6", 8, 1)):
        made.node(f"params.{name}", module="linear")
        made.tensor(f"params.{name}.bias", shape=(out,), axes=["out"], role="parameter")
        made.tensor(f"params.{name}.kernel", shape=(inward, out), axes=["in", "out"], role="parameter")
    return made


def nnx() -> Draft:
    """The net as Flax nnx has it: layers by integers, which skip the function between."""
    return _nnx((0, 4, 8), (2, 8, 1))


def nnx_shared() -> Draft:
    """The shared net as Flax nnx has it: aliases at the second place."""
    made = _nnx((0, 4, 8), (2, 8, 8), (6, 8, 1), places=[0, 2, 6, 4])
    made.node("layers.4", module="linear", class_="flax.nnx.Linear")
    return made.alias("layers.4.bias", "layers.2.bias").alias("layers.4.kernel", "layers.2.kernel")


def _nnx(*layers: tuple[int, int, int], places: list[int] | None = None) -> Draft:
    made = Draft(convention="flax.nnx").node("", class_="flax.nnx.Sequential")
    made.node("layers", "keys", keys=places or [at for at, _, _ in layers], class_="flax.nnx.List")
    for at, inward, out in layers:
        made.node(f"layers.{at}", module="linear", class_="flax.nnx.Linear")
        for name, shape in (("bias", (out,)), ("kernel", (inward, out))):
            axes = ["in", "out"][-len(shape) :]
            made.tensor(f"layers.{at}.{name}", shape=shape, axes=axes, role="parameter", class_="flax.nnx.Param")
    return made


def gradients(made: Draft) -> Draft:
    """A network and the gradient of each of its tensors."""
    for entry in made.of_type("tensor"):
        made.tensor(f"grad.{entry.path}", shape=entry.shape, axes=entry.facts["axes"], role="gradient")
    return made


def state_dict() -> Draft:
    """The net's state dict, without modules."""
    made = Draft(convention="torch").node("", "flat")
    for name, shape in (("0.weight", (8, 4)), ("0.bias", (8,)), ("2.weight", (1, 8)), ("2.bias", (1,))):
        made.tensor(name, shape=shape)
    return made


def training() -> Draft:
    """A training state: a state dict, an optimiser's state by integers, a step and a random key."""
    made = Draft(convention="torch", metadata={"epoch": 3}).node("model", "flat")
    for name, shape in (("0.weight", (8, 4)), ("0.bias", (8,))):
        made.tensor(f"model.{name}", shape=shape, role="parameter")
    made.node("optimizer.state", "keys", keys=[0, 1])
    for i, size in enumerate(((8, 4), (8,))):
        made.tensor(f"optimizer.state.{i}.step", "float32", (), role="state")
        made.tensor(f"optimizer.state.{i}.exp_avg", shape=size, role="state")
    made.node("optimizer.param_groups", "list").value("optimizer.param_groups.0.lr", 0.001)
    made.node("optimizer.param_groups.0.betas", "tuple")
    made.value("optimizer.param_groups.0.betas.0", 0.9).value("optimizer.param_groups.0.betas.1", 0.999)
    made.value("optimizer.param_groups.0.foreach").node("optimizer.param_groups.0.params", "list")
    made.value("optimizer.param_groups.0.params.0", 0).value("optimizer.param_groups.0.params.1", 1)
    made.value("step", 1000)
    return made.tensor("rng", "uint32", (2,), class_="jax.random.key", attrs={"impl": "threefry2x32"})


def cases() -> Iterator[Case]:
    """Both networks in three layouts, and what training adds."""
    yield accept("net", net(), "3.5", "a flat state dict, with a part for each module")
    yield accept("shared", shared(), "3.4", "one layer at two positions: aliases")
    yield accept("linen", linen(), "3.5", "nested maps")
    yield accept("linen-shared", linen_shared(), "3.5", "one layer that is called twice stands once")
    yield accept("nnx", nnx(), "4.3", "layers by integers")
    yield accept("nnx-shared", nnx_shared(), "3.4", "keys in the order of the children, and aliases")
    yield accept("net-gradients", gradients(net()), "7", "grad is a prefix in the same flat map")
    yield accept("shared-gradients", gradients(shared()), "7", "a tied layer has one gradient")
    yield accept("linen-gradients", gradients(linen()), "7", "grad is a map beside params")
    yield accept("state-dict", state_dict(), "4.2", "a flat map without parts, axes and roles")
    yield accept("training-state", training(), "4.3", "every form of container that a checkpoint has")
    torch = Draft(convention="torch").node("", "flat")
    torch.tensor("0.weight", "bfloat16", (8, 4)).tensor("0.running_mean", "float32", (8,), role="buffer")
    torch.tensor("0.num_batches_tracked", "int64", (), role="buffer").value("extra._extra_state", b"\x80\x04N.")
    yield accept("state-dict-with-buffers", torch, "7", "buffers, a scalar, and bytes that no reader may run")
