"""The networks of the lecture deck, as a torch state dict and as Flax variables."""

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


def cases() -> Iterator[Case]:
    """Three files."""
    yield accept("net", net(), "3.5", "a flat state dict, with a part for each module")
    yield accept("shared", shared(), "3.4", "one layer at two positions: aliases")
    yield accept("linen", linen(), "3.5", "nested maps")
