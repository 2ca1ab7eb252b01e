"""What no conversion may pass in silence: it is refused."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from .attention import attention
from .group import Group, group
from .layout import At, Item, Layer, Leaf, Module

_ALL = ("torch-to-linen", "torch-to-nnx")


def _alone(*items: Module | Leaf) -> Item:
    """A module that only torch has."""
    return At(Layer({"torch": items}, {}), "m", "m", "m")


def _refused(slug: str, net: Sequence[Item], section: str, why: str, comment: str) -> Group:
    return group(slug, {"torch": net}, section, comment, refused=dict.fromkeys(_ALL, why))


def groups() -> Iterator[Group]:
    """Five nets."""
    square = _alone(Leaf(name="weight", shape=(6, 6)))
    why = "a linear layer or an embedding: nothing tells"
    yield _refused("kind-unsaid", [square], "1.3", why, "a square weight of no recorded kind")
    held = attention(6, 3, 6, 6).sides["torch"]
    module = held[0]
    assert isinstance(module, Module)
    attrs = {name: value for name, value in module.attrs.items() if name != "num_heads"}
    silent = _alone(replace(module, attrs=attrs), *held[1:])
    yield _refused(
        "attention-heads-unsaid", [silent], "1.3", "nothing tells the number of heads", "attention without `num_heads`"
    )
    extra = [Leaf(name=name, shape=(1, 1, 6)) for name in ("bias_k", "bias_v")]
    yield _refused(
        "attention-extra-key",
        [_alone(*held[:3], *extra, *held[3:])],
        "1.4",
        "Flax has no place for a further key and value",
        "attention with one more key and value",
    )
    made = "parametrizations.weight"
    spectral = _alone(
        Module("", "linear", "torch.nn.utils.parametrize.ParametrizedLinear"),
        Leaf(name="bias", shape=(3,), axes="out"),
        Module("parametrizations", "", "torch.nn.modules.container.ModuleDict"),
        Module(made, "", "torch.nn.utils.parametrize.ParametrizationList"),
        Leaf(name=f"{made}.original", shape=(3, 5), axes="out in"),
        Module(f"{made}.0", "", "torch.nn.utils.parametrizations._SpectralNorm"),
        Leaf(name=f"{made}.0._u", shape=(3,), axes="u", role="buffer"),
        Leaf(name=f"{made}.0._v", shape=(5,), axes="v", role="buffer"),
    )
    why = "a spectral norm is folded only where a user asks for it"
    yield _refused("spectral-norm", [spectral], "3", why, "a linear layer under a spectral norm")
    class_ = "torch.nn.modules.rnn.LSTM"
    attrs = {"input_size": 3, "hidden_size": 4, "num_layers": 1, "bidirectional": False, "batch_first": True}
    projected = _alone(
        Module("", "", class_, attrs | {"proj_size": 2}),
        Leaf(name="weight_ih_l0", shape=(16, 3)),
        Leaf(name="weight_hh_l0", shape=(16, 2)),
        Leaf(name="bias_ih_l0", shape=(16,)),
        Leaf(name="bias_hh_l0", shape=(16,)),
        Leaf(name="weight_hr_l0", shape=(2, 4)),
    )
    yield _refused("lstm-projection", [projected], "3", "no kind has a projection", "an LSTM with `proj_size`")
