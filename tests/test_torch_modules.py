"""ptformat.torch: save_model and load_model."""

import os
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from nets import bert_torch, cnn, minilm
from torch import nn
from torch.nn.utils import prune

import ptformat
import ptformat.backing
from ptformat.torch import load_file, load_model, save_file, save_model
from ptformat.torch.kinds import KINDS
from ptformat.torch.modules import entries as described


def saved(module: nn.Module, tmp_path: Path, **options: Any) -> Path:
    path = tmp_path / "m.ptf"
    save_model(module, path, **options)
    return path


def nodes(path: Path) -> dict[str, tuple[str, str | None, str | None, Any]]:
    with ptformat.open(path) as file:
        found = [entry for entry in file.entries if isinstance(entry, ptformat.Node)]
        return {e.path: (e.form, e.module, e.class_, e.attrs and dict(e.attrs)) for e in found}


def infos(path: Path) -> dict[str, Any]:
    with ptformat.open(path) as file:
        return {e.path: e for e in file.entries if not isinstance(e, ptformat.Node)}


def state_bytes(module: nn.Module) -> dict[str, bytes]:
    return {key: t.detach().reshape(-1).view(torch.uint8).numpy().tobytes() for key, t in module.state_dict().items()}


def problems_of(call: Callable[[], Any]) -> tuple[str, ...]:
    with pytest.raises(ptformat.FormatError) as caught:
        call()
    assert caught.value.code == "MISMATCH"
    return caught.value.problems


# What is recorded


def test_modules_stand_before_what_is_beneath_them_in_order(tmp_path: Path) -> None:
    module = nn.Sequential(
        nn.ReLU(), nn.Sequential(nn.Linear(2, 3), nn.Dropout(0.1)), nn.BatchNorm1d(3), nn.Sequential(), nn.Tanh()
    )
    with ptformat.open(saved(module, tmp_path)) as file:
        assert [entry.path for entry in file.entries] == [
            "",
            "0",
            "1",
            "1.0",
            "1.0.weight",
            "1.0.bias",
            "1.1",
            "2",
            "2.weight",
            "2.bias",
            "2.running_mean",
            "2.running_var",
            "2.num_batches_tracked",
            "3",
            "4",
        ]
        assert file.convention == "torch"
        assert list(file.tree) == ["0", "1", "2", "3", "4"]


RECURRENT = {"input_size": 2, "hidden_size": 3, "num_layers": 2, "bidirectional": True, "batch_first": False}
GATES = [
    f"{name}_l{n}{way}" for name in ("weight_ih", "weight_hh", "bias_ih") for n in "01" for way in ("", "_reverse")
]
TRANSPOSE = "torch.nn.modules.conv.ConvTranspose"
RNN = "torch.nn.modules.rnn."
CASES: dict[str, tuple[nn.Module, str, str | None, dict[str, Any], dict[str, tuple[str, ...] | None]]] = {
    "linear": (nn.Linear(2, 3), "torch.nn.modules.linear.Linear", "linear", {}, {"weight": ("out", "in")}),
    "embedding": (
        nn.Embedding(5, 2, padding_idx=1),
        "torch.nn.modules.sparse.Embedding",
        "embedding",
        {"padding_idx": 1, "max_norm": None},
        {"weight": ("num", "features")},
    ),
    "conv1d": (
        nn.Conv1d(4, 6, 3, stride=2, padding="valid", groups=2),
        "torch.nn.modules.conv.Conv1d",
        "conv",
        {"stride": [2], "padding": "valid", "dilation": [1], "groups": 2, "padding_mode": "zeros"},
        {"weight": ("out", "in", "x"), "bias": ("out",)},
    ),
    "conv2d": (
        nn.Conv2d(4, 6, (3, 5), padding=(1, 2), dilation=2, padding_mode="circular"),
        "torch.nn.modules.conv.Conv2d",
        "conv",
        {"stride": [1, 1], "padding": [1, 2], "dilation": [2, 2], "groups": 1, "padding_mode": "circular"},
        {"weight": ("out", "in", "y", "x"), "bias": ("out",)},
    ),
    "conv3d": (
        nn.Conv3d(1, 2, 2),
        "torch.nn.modules.conv.Conv3d",
        "conv",
        {"stride": [1] * 3, "padding": [0] * 3, "dilation": [1] * 3, "groups": 1, "padding_mode": "zeros"},
        {"weight": ("out", "in", "z", "y", "x"), "bias": ("out",)},
    ),
    "layer_norm": (
        nn.LayerNorm(4, eps=1e-3),
        "torch.nn.modules.normalization.LayerNorm",
        "layer_norm",
        {"normalized_shape": [4], "eps": 1e-3},
        {"weight": ("features",), "bias": ("features",)},
    ),
    "layer_norm_of_two_axes": (
        nn.LayerNorm((4, 5)),
        "torch.nn.modules.normalization.LayerNorm",
        None,
        {"normalized_shape": [4, 5], "eps": 1e-5},
        {"weight": None, "bias": None},
    ),
    "rms_norm_of_two_axes": (
        nn.RMSNorm((4, 5), eps=0.5),
        "torch.nn.modules.normalization.RMSNorm",
        None,
        {"normalized_shape": [4, 5], "eps": 0.5},
        {"weight": None},
    ),
    "conv_transpose1d": (
        nn.ConvTranspose1d(4, 6, 3, stride=2, output_padding=1, bias=False),
        f"{TRANSPOSE}1d",
        "conv_transpose",
        {"stride": [2], "padding": [0], "output_padding": [1], "dilation": [1], "groups": 1},
        {"weight": None},
    ),
    "conv_transpose2d": (
        nn.ConvTranspose2d(4, 6, (3, 5), padding=(1, 2), dilation=2, groups=2),
        f"{TRANSPOSE}2d",
        "conv_transpose",
        {"stride": [1, 1], "padding": [1, 2], "output_padding": [0, 0], "dilation": [2, 2], "groups": 2},
        {"weight": None, "bias": None},
    ),
    "conv_transpose3d": (
        nn.ConvTranspose3d(1, 2, 2),
        f"{TRANSPOSE}3d",
        "conv_transpose",
        {"stride": [1] * 3, "padding": [0] * 3, "output_padding": [0] * 3, "dilation": [1] * 3, "groups": 1},
        {"weight": None},
    ),
    "instance_norm1d": (
        nn.InstanceNorm1d(4, affine=True, eps=0.5),
        "torch.nn.modules.instancenorm.InstanceNorm1d",
        "instance_norm",
        {"eps": 0.5, "momentum": 0.1, "affine": True, "track_running_stats": False},
        {"weight": ("features",), "bias": ("features",)},
    ),
    "instance_norm2d": (
        nn.InstanceNorm2d(4, momentum=0.5, track_running_stats=True),
        "torch.nn.modules.instancenorm.InstanceNorm2d",
        "instance_norm",
        {"eps": 1e-5, "momentum": 0.5, "affine": False, "track_running_stats": True},
        {"running_mean": ("features",), "running_var": ("features",), "num_batches_tracked": None},
    ),
    "instance_norm3d": (
        nn.InstanceNorm3d(4),
        "torch.nn.modules.instancenorm.InstanceNorm3d",
        "instance_norm",
        {"eps": 1e-5, "momentum": 0.1, "affine": False, "track_running_stats": False},
        {},
    ),
    "prelu": (nn.PReLU(), "torch.nn.modules.activation.PReLU", "prelu", {}, {"weight": None}),
    "prelu_channels": (
        nn.PReLU(3),
        "torch.nn.modules.activation.PReLU",
        "prelu_channels",
        {},
        {"weight": ("channels",)},
    ),
    "attention": (
        nn.MultiheadAttention(6, 2, batch_first=True, add_bias_kv=True, add_zero_attn=True),
        "torch.nn.modules.activation.MultiheadAttention",
        "attention",
        {"num_heads": 2, "embed_dim": 6, "kdim": 6, "vdim": 6, "batch_first": True, "add_zero_attn": True},
        {
            **dict.fromkeys(("in_proj_weight", "in_proj_bias", "bias_k", "bias_v", "out_proj.weight")),
            "out_proj.bias": ("out",),
        },
    ),
    "attention_of_other_widths": (
        nn.MultiheadAttention(6, 2, kdim=4, vdim=5, bias=False),
        "torch.nn.modules.activation.MultiheadAttention",
        "attention",
        {"num_heads": 2, "embed_dim": 6, "kdim": 4, "vdim": 5, "batch_first": False, "add_zero_attn": False},
        dict.fromkeys(("q_proj_weight", "k_proj_weight", "v_proj_weight", "out_proj.weight")),
    ),
    "lstm": (
        nn.LSTM(2, 3, num_layers=2, bidirectional=True),
        f"{RNN}LSTM",
        "lstm",
        {**RECURRENT, "proj_size": 0},
        dict.fromkeys(GATES),
    ),
    "lstm_with_a_projection": (
        nn.LSTM(2, 3, proj_size=1, batch_first=True),
        f"{RNN}LSTM",
        None,
        {**RECURRENT, "num_layers": 1, "bidirectional": False, "batch_first": True, "proj_size": 1},
        {"weight_ih_l0": None, "weight_hr_l0": None},
    ),
    "lstm_cell": (
        nn.LSTMCell(2, 3),
        f"{RNN}LSTMCell",
        "lstm",
        {"input_size": 2, "hidden_size": 3},
        dict.fromkeys(("weight_ih", "weight_hh", "bias_ih", "bias_hh")),
    ),
    "gru": (
        nn.GRU(2, 3, num_layers=2, bidirectional=True),
        f"{RNN}GRU",
        "gru",
        {**RECURRENT, "proj_size": 0},
        dict.fromkeys(GATES),
    ),
    "gru_cell": (
        nn.GRUCell(2, 3, bias=False),
        f"{RNN}GRUCell",
        "gru",
        {"input_size": 2, "hidden_size": 3},
        dict.fromkeys(("weight_ih", "weight_hh")),
    ),
    "rnn": (
        nn.RNN(2, 3, num_layers=2, bidirectional=True, nonlinearity="relu"),
        f"{RNN}RNN",
        "rnn",
        {**RECURRENT, "nonlinearity": "relu", "proj_size": 0},
        {
            "weight_ih_l0": ("hidden", "in"),
            "weight_hh_l1": ("hidden", "inner"),
            "bias_ih_l0_reverse": ("hidden",),
            "bias_hh_l1_reverse": ("hidden",),
        },
    ),
    "rnn_cell": (
        nn.RNNCell(2, 3),
        f"{RNN}RNNCell",
        "rnn",
        {"input_size": 2, "hidden_size": 3, "nonlinearity": "tanh"},
        {
            "weight_ih": ("hidden", "in"),
            "weight_hh": ("hidden", "inner"),
            "bias_ih": ("hidden",),
            "bias_hh": ("hidden",),
        },
    ),
    "rms_norm": (
        nn.RMSNorm(4),
        "torch.nn.modules.normalization.RMSNorm",
        "rms_norm",
        {"normalized_shape": [4], "eps": None},
        {"weight": ("features",)},
    ),
    "group_norm": (
        nn.GroupNorm(2, 6, eps=0.5),
        "torch.nn.modules.normalization.GroupNorm",
        "group_norm",
        {"num_groups": 2, "eps": 0.5},
        {"weight": ("features",), "bias": ("features",)},
    ),
    "batch_norm1d": (
        nn.BatchNorm1d(3, affine=False),
        "torch.nn.modules.batchnorm.BatchNorm1d",
        "batch_norm",
        {"eps": 1e-5, "momentum": 0.1},
        {"running_mean": ("features",), "running_var": ("features",)},
    ),
    "batch_norm3d": (
        nn.BatchNorm3d(3, track_running_stats=False),
        "torch.nn.modules.batchnorm.BatchNorm3d",
        "batch_norm",
        {"eps": 1e-5, "momentum": 0.1},
        {"weight": ("features",), "bias": ("features",)},
    ),
    "batch_norm": (
        nn.BatchNorm2d(3, momentum=None),
        "torch.nn.modules.batchnorm.BatchNorm2d",
        "batch_norm",
        {"eps": 1e-5, "momentum": None},
        {
            "weight": ("features",),
            "running_mean": ("features",),
            "running_var": ("features",),
            "num_batches_tracked": None,
        },
    ),
    "sync_batch_norm": (
        nn.SyncBatchNorm(3, eps=np.float32(0.5)),  # type: ignore[arg-type]
        "torch.nn.modules.batchnorm.SyncBatchNorm",
        "batch_norm",
        {"eps": 0.5, "momentum": 0.1},
        {"weight": ("features",)},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_kind_attributes_and_axes(name: str, tmp_path: Path) -> None:
    module, class_, kind, attrs, axes = CASES[name]
    path = saved(nn.Sequential(module), tmp_path)
    assert nodes(path)["0"] == ("part", kind, class_, attrs or None)
    found = infos(path)
    for leaf, names in axes.items():
        assert found[f"0.{leaf}"].axes == names
    path = saved(module, tmp_path)  # the root itself
    assert nodes(path)[""] == ("flat", kind, class_, attrs or None)


class Scaled(nn.Module):
    """A state dict with a key that is its layer's name."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.ReLU(), nn.Linear(2, 3))

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        destination[f"{prefix}layers"] = torch.ones(1)


def test_parts_stand_where_the_keys_around_them_put_them(tmp_path: Path) -> None:
    path = saved(nn.Sequential(Scaled()), tmp_path)
    linear = ("part", "linear", "torch.nn.modules.linear.Linear", None)
    assert [*nodes(path)] == ["", "0", r"0.layers\.0", r"0.layers\.1"]
    assert nodes(path)[r"0.layers\.1"] == linear
    assert [*infos(path)] == ["0.layers", r"0.layers\.1.weight", r"0.layers\.1.bias"]
    assert infos(path)[r"0.layers\.1.weight"].axes == ("out", "in")
    assert [*load_file(path)] == ["0.layers", "0.layers.1.weight", "0.layers.1.bias"]


def test_every_kind_has_a_case() -> None:
    assert {layer for layer in KINDS if KINDS[layer].name} == {type(case[0]) for case in CASES.values()}
    assert {kind.name for kind in KINDS.values() if kind.name} | {"prelu_channels"} == {
        case[2] for case in CASES.values()
    } - {None}


def test_a_subclass_has_its_class_but_no_kind(tmp_path: Path) -> None:
    class Transposed(nn.Linear):
        pass

    path = saved(nn.Sequential(Transposed(2, 3)), tmp_path)
    assert nodes(path)["0"] == ("part", None, f"{__name__}.{Transposed.__qualname__}", None)
    assert infos(path)["0.weight"].axes is None


def recorded(module: nn.Module, tmp_path: Path) -> tuple[str | None, str | None, Any, dict[str, Any]]:
    """Kind, class and attributes of a module, and the axes of its tensors."""
    path = saved(nn.Sequential(module), tmp_path)
    assert state_bytes(module) == {key[2:]: bytes_ for key, bytes_ in state_bytes(nn.Sequential(module)).items()}
    _, kind, class_, attrs = nodes(path)["0"]
    return kind, class_, attrs, {name[2:]: info.axes for name, info in infos(path).items()}


CONV = {"stride": [1, 1], "padding": [0, 0], "dilation": [1, 1], "groups": 1, "padding_mode": "zeros"}
UP = {"stride": [1], "padding": [0], "output_padding": [0], "dilation": [1], "groups": 1}
LAYERS: dict[str, tuple[Callable[[], nn.Module], dict[str, Any] | None, Any, Any]] = {
    "linear": (lambda: nn.Linear(2, 3), None, ("out", "in"), ("out",)),
    "conv": (lambda: nn.Conv2d(2, 3, 2), CONV, ("out", "in", "y", "x"), ("out",)),
    "conv_transpose": (lambda: nn.ConvTranspose1d(2, 3, 2), UP, None, None),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers_whose_weight_is_normed(name: str, tmp_path: Path) -> None:
    make, attrs, weight, bias = LAYERS[name]
    parametrized = f"torch.nn.utils.parametrize.Parametrized{type(make()).__name__}"
    own = f"{type(make()).__module__}.{type(make()).__name__}"
    at = "parametrizations.weight"
    assert recorded(nn.utils.parametrizations.weight_norm(make()), tmp_path) == (
        f"weight_norm_{name}",
        parametrized,
        attrs,
        {"bias": bias, f"{at}.original0": None, f"{at}.original1": weight},
    )
    assert recorded(nn.utils.parametrizations.spectral_norm(make()), tmp_path) == (
        name,
        parametrized,
        attrs,
        {"bias": bias, f"{at}.original": weight, f"{at}.0._u": ("u",), f"{at}.0._v": ("v",)},
    )
    with pytest.warns(FutureWarning, match="deprecated"):
        old = nn.utils.weight_norm(make())
    axes = {"bias": bias, "weight_g": None, "weight_v": weight}
    assert recorded(old, tmp_path) == (f"weight_norm_{name}", own, attrs, axes)
    old = nn.utils.spectral_norm(make())  # type: ignore[no-untyped-call]
    axes = {"bias": bias, "weight_orig": weight, "weight_u": ("u",), "weight_v": ("v",)}
    assert recorded(old, tmp_path) == (name, own, attrs, axes)


class Double(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 2 * x


def twice(module: nn.Module) -> nn.Module:
    return nn.utils.parametrize.register_parametrization(module, "weight", Double())


UNKNOWN: dict[str, Callable[[], nn.Module]] = {
    "pruned": lambda: prune.random_unstructured(nn.Linear(2, 3), "weight", 0.5),  # type: ignore
    "other_axis": lambda: nn.utils.parametrizations.weight_norm(nn.Linear(2, 3), dim=1),
    "whole": lambda: nn.utils.parametrizations.weight_norm(nn.Linear(2, 3), dim=None),  # type: ignore[arg-type]
    "other_rows": lambda: nn.utils.parametrizations.spectral_norm(nn.Linear(2, 3), dim=1),
    "bias": lambda: nn.utils.parametrizations.weight_norm(nn.Linear(2, 3), "bias"),
    "own": lambda: twice(nn.Linear(2, 3)),
    "both": lambda: twice(nn.utils.parametrizations.weight_norm(nn.Linear(2, 3))),
    "embedding": lambda: nn.utils.parametrizations.spectral_norm(nn.Embedding(2, 3)),
    "orthogonal": lambda: nn.utils.parametrizations.orthogonal(nn.Linear(2, 3)),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_else_makes_a_weight_leaves_no_kind(name: str, tmp_path: Path) -> None:
    kind, class_, attrs, axes = recorded(UNKNOWN[name](), tmp_path)
    assert (kind, attrs, {*axes.values()}) == (None, None, {None})
    assert class_ and class_.startswith("torch.nn.")


def test_names_of_parametrized_tensors_and_roles(tmp_path: Path) -> None:
    pruned = UNKNOWN["pruned"]()
    path = saved(nn.Sequential(pruned, nn.utils.parametrizations.weight_norm(nn.Linear(2, 3))), tmp_path)
    assert infos(path)["0.weight_mask"].role == "buffer"
    assert nodes(path)["1.parametrizations.weight"][1:3] == (None, "torch.nn.utils.parametrize.ParametrizationList")


def test_roles_trainable_and_buffers(tmp_path: Path) -> None:
    module = nn.Module()
    module.weight = nn.Parameter(torch.ones(2))
    module.frozen = nn.Parameter(torch.ones(2), requires_grad=False)
    module.register_buffer("steps", torch.tensor(3))
    module.register_buffer("scratch", torch.ones(9), persistent=False)
    module.register_buffer("nothing", None)
    found = infos(saved(module, tmp_path))
    assert {path: (e.role, e.trainable) for path, e in found.items()} == {
        "weight": ("parameter", True),
        "frozen": ("parameter", False),
        "steps": ("buffer", None),
    }


def test_a_file_of_save_model_loads_as_the_state_dict(tmp_path: Path) -> None:
    module = cnn.TorchCNN()
    loaded = load_file(saved(module, tmp_path))
    state = module.state_dict()
    assert list(loaded) == list(state)
    assert all(torch.equal(loaded[key], state[key]) for key in state)
    fresh = cnn.TorchCNN()
    fresh.load_state_dict(loaded)
    assert state_bytes(fresh) == state_bytes(module)


def test_a_module_without_tensors(tmp_path: Path) -> None:
    path = saved(nn.ReLU(), tmp_path)
    assert load_file(path) == {}
    assert load_model(nn.ReLU(), path) == ([], [])


class WithExtra(nn.Module):
    """Extra state, and the parameter of one layer: no key holds a dot."""

    def __init__(self, extra: Any) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2))
        self.extra = extra

    def get_extra_state(self) -> Any:
        return self.extra

    def set_extra_state(self, state: Any) -> None:
        self.extra = state


EXTRAS: list[Any] = [
    {"seen": 3, "names": ["a", "b"], "scales": {"x": torch.ones(2), "y.z": torch.zeros(1)}},
    torch.arange(3),
    (1, 2.5, None),
    {},
    b"bytes",
    {0: "int key"},
]


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("extra", EXTRAS)
def test_extra_state_is_kept(extra: Any, nested: bool, tmp_path: Path) -> None:
    def make(state: Any) -> nn.Module:
        return nn.Sequential(WithExtra(state)) if nested else WithExtra(state)

    path = saved(make(extra), tmp_path)
    fresh = make(None)
    assert load_model(fresh, path) == ([], [])
    got = (fresh[0] if isinstance(fresh, nn.Sequential) else fresh).extra
    assert str(got) == str(extra)
    assert str(load_file(path)["0._extra_state" if nested else "_extra_state"]) == str(extra)
    save_file(make(extra).state_dict(), path)
    load_model(fresh, path)
    assert str((fresh[0] if isinstance(fresh, nn.Sequential) else fresh).extra) == str(extra)


def test_extra_state_that_no_file_can_hold(tmp_path: Path) -> None:
    module = nn.Sequential(WithExtra({"fn": len}), WithExtra(torch.device("cpu")))
    with pytest.raises(ptformat.FormatError) as caught:
        save_model(module, tmp_path / "m.ptf")
    assert caught.value.code == "TYPE"
    assert caught.value.problems == (
        "'0._extra_state.fn': a builtins.builtin_function_or_method is no torch tensor, value or container",
        "'1._extra_state': a torch.device is no torch tensor, value or container",
    )


def test_lazy_modules_cannot_be_saved(tmp_path: Path) -> None:
    with pytest.raises(ptformat.FormatError) as caught:
        save_model(nn.Sequential(nn.Linear(2, 2), nn.LazyLinear(3)), tmp_path / "m.ptf")
    assert caught.value.problems == (
        "'1.weight': uninitialised; run a forward pass first",
        "'1.bias': uninitialised; run a forward pass first",
    )


def test_what_is_said_of_a_module_without_elements(tmp_path: Path) -> None:
    class Tied(nn.Module):
        def __init__(self, device: str) -> None:
            super().__init__()
            self.embed = nn.Embedding(5, 3, device=device)
            self.head = nn.Linear(3, 5, device=device)
            self.head.weight = self.embed.weight

    found = list(described(Tied("meta"), shapes=True))
    assert [array for _, array in found] == [None] * len(found)
    assert [entry for entry, _ in found] == [entry for entry, _ in described(Tied("cpu"))]
    assert found[4][0] == ptformat.Alias("head.weight", "embed.weight", None, ("out", "in"), "parameter", True)
    with pytest.raises(ptformat.FormatError, match=r"'embed\.weight': on the meta device"):
        save_model(Tied("meta"), tmp_path / "m.ptf")


# Gradients


def trained() -> nn.Sequential:
    module = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2), nn.ReLU())
    module[1].weight.requires_grad_(False)
    module(torch.ones(1, 3)).sum().backward()
    return module


def test_gradients_go_beneath_a_root_of_their_own(tmp_path: Path) -> None:
    module = trained()
    path = saved(module, tmp_path, gradients=True)
    with ptformat.open(path) as file:
        paths = [entry.path for entry in file.entries]
        assert paths[-4:] == ["2", "grad.0.weight", "grad.0.bias", "grad.1.bias"]
        info = file.info("grad.0.weight")
        assert (info.role, info.axes, info.trainable) == ("gradient", ("out", "in"), None)
        assert np.array_equal(file.tree[0].weight.grad, module[0].weight.grad.numpy())
        assert file.tree[1].weight.grad is None
    assert "grad.0.weight" in load_file(path)
    assert "grad.0.weight" not in infos(saved(module, tmp_path))


def test_gradients_are_loaded_when_asked_for(tmp_path: Path) -> None:
    module = trained()
    path = saved(module, tmp_path, gradients=True)
    fresh = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2), nn.ReLU())
    load_model(fresh, path)
    assert fresh[0].weight.grad is None
    fresh[1].weight.grad = torch.ones(2, 2)
    for assign in (False, True):
        load_model(fresh, path, gradients=True, assign=assign)
        assert torch.equal(fresh[0].weight.grad, module[0].weight.grad)
        assert torch.equal(fresh[1].bias.grad, module[1].bias.grad)
        assert fresh[1].weight.grad is None


def test_gradients_that_do_not_fit(tmp_path: Path) -> None:
    module = nn.Linear(2, 2)
    module.weight.grad = torch.ones(2, 2)
    module.bias.grad = torch.ones(2)
    path = saved(module, tmp_path, gradients=True)
    with ptformat.open(path) as file, ptformat.Writer(tmp_path / "bad.ptf") as out:
        out.node("", "flat")
        for key in ("weight", "bias"):
            out.tensor(key, file[key])
        out.tensor("grad.weight", np.ones((2, 3), np.float64), role="gradient")
        out.tensor("grad.other", np.ones(2, np.float32), role="gradient")
    assert problems_of(lambda: load_model(module, tmp_path / "bad.ptf", gradients=True)) == (
        "shape       'grad.weight': (2, 3) in the file, (2, 2) in the module",
        "dtype       'grad.weight': float64 in the file, float32 in the module",
        "unexpected  'grad.other': the module has no such parameter",
    )
    assert problems_of(lambda: load_model(module, tmp_path / "bad.ptf", gradients=True, assign=True))[1:2] == (
        "dtype       'grad.weight': float64, but its parameter is float32 in the file",
    )
    load_model(module, tmp_path / "bad.ptf")


def test_a_module_with_a_grad_of_its_own(tmp_path: Path) -> None:
    module = nn.ModuleDict({"grad": nn.Linear(2, 2), "other": nn.Linear(2, 2)})
    with pytest.raises(ptformat.FormatError, match=r"'grad', 'grad\.bias', 'grad\.weight'") as caught:
        save_model(module, tmp_path / "m.ptf", gradients=True)
    assert caught.value.code == "PATH"
    fresh = nn.ModuleDict({"grad": nn.Linear(2, 2), "other": nn.Linear(2, 2)})
    load_model(fresh, saved(module, tmp_path))
    assert state_bytes(fresh) == state_bytes(module)


# Loading


@pytest.mark.parametrize("codec", ["raw", "zstd"])
@pytest.mark.parametrize("assign", [False, True])
@pytest.mark.parametrize("name", cnn.PAIRS)
def test_a_module_comes_back(name: str, assign: bool, codec: str, tmp_path: Path) -> None:
    pair = cnn.PAIRS[name]
    module = pair.make_torch()
    path = saved(module, tmp_path, codec=codec)
    fresh = pair.make_torch()
    with torch.no_grad():
        for tensor in [*fresh.parameters(), *fresh.buffers()]:
            tensor.zero_()
    kept = dict(fresh.named_parameters())
    assert load_model(fresh, path, assign=assign, verify=True) == ([], [])
    assert state_bytes(fresh) == state_bytes(module)
    assert all((fresh.get_parameter(key) is tensor) != assign for key, tensor in kept.items())
    with torch.no_grad():
        example = torch.from_numpy(pair.example)
        assert torch.equal(fresh(example), module(example))
    again = tmp_path / "again.ptf"
    save_model(fresh, again, codec=codec)
    assert again.read_bytes() == path.read_bytes()


def test_twelve_layers_of_bert(tmp_path: Path) -> None:
    module = bert_torch.bert(minilm.TINY)
    path = saved(module, tmp_path)
    fresh = bert_torch.bert(minilm.TINY, seed=1)
    load_model(fresh, path)
    assert state_bytes(fresh) == state_bytes(module)
    with ptformat.open(path) as file:
        layers = file.tree["encoder.layer"]
        assert isinstance(layers, ptformat.Branch)
        assert list(layers) == [str(i) for i in range(12)]


def test_assigned_parameters_lie_in_the_map(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(nn.Linear(4, 3, dtype=torch.bfloat16), tmp_path)
    before = path.read_bytes()
    maps = []
    original = ptformat.backing.map_file

    def spy(*args: Any, **kwargs: Any) -> Any:
        maps.append(original(*args, **kwargs))
        return maps[-1]

    monkeypatch.setattr("ptformat.backing.map_file", spy)
    module = nn.Linear(4, 3, device="meta")
    load_model(module, path, assign=True)
    start = np.frombuffer(maps[0], np.uint8).ctypes.data
    assert (module.weight.data_ptr(), module.bias.data_ptr()) == (start + 64, start + 128)
    assert module.weight.dtype == torch.bfloat16
    assert module.weight.requires_grad
    with torch.no_grad():
        module.weight.zero_()
    assert path.read_bytes() == before


@pytest.mark.parametrize("assign", [False, True])
def test_a_module_is_loaded_without_a_map(assign: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = nn.Linear(4, 3)
    path = saved(module, tmp_path)
    monkeypatch.setattr("ptformat.backing.map_file", pytest.fail)
    fresh = nn.Linear(4, 3)
    load_model(fresh, path, assign=assign, mapped=False, verify=True)
    os.truncate(path, 100)
    assert all(fresh.state_dict()[name].equal(tensor) for name, tensor in module.state_dict().items())
    with torch.no_grad():
        fresh.weight.zero_()


def test_trainable_flags_come_from_the_file(tmp_path: Path) -> None:
    module = nn.Linear(2, 2)
    module.weight.requires_grad_(False)
    path = saved(module, tmp_path)
    for assign in (False, True):
        fresh = nn.Linear(2, 2)
        fresh.bias.requires_grad_(False)
        load_model(fresh, path, assign=assign)
        assert (fresh.weight.requires_grad, fresh.bias.requires_grad) == (False, True)
    save_file(module.state_dict(), path)  # says nothing of flags: the module's stay
    fresh = nn.Linear(2, 2)
    fresh.bias.requires_grad_(False)
    load_model(fresh, path)
    assert (fresh.weight.requires_grad, fresh.bias.requires_grad) == (True, False)


def test_integers_can_be_assigned(tmp_path: Path) -> None:
    save_file({"weight": torch.ones(2, 2, dtype=torch.int8), "bias": torch.ones(2)}, tmp_path / "m.ptf")
    module = nn.Linear(2, 2)
    load_model(module, tmp_path / "m.ptf", assign=True)
    assert (module.weight.dtype, module.weight.requires_grad) == (torch.int8, False)
    assert module.bias.requires_grad


def test_all_problems_in_one_error_and_nothing_written(tmp_path: Path) -> None:
    module = nn.Sequential(
        OrderedDict(a=nn.Linear(2, 3), b=nn.Linear(3, 3), c=nn.BatchNorm1d(3), d=nn.Linear(2, 2, device="meta"))
    )
    tensors = {
        "a.weight": torch.ones(3, 5),
        "a.bias": torch.ones(3, dtype=torch.float64),
        "b.weight": torch.ones(3, 3),
        "b.bias": torch.ones(2, dtype=torch.bfloat16),
        "c.weight": 3,
        "c.bias": torch.ones(3),
        "c.running_mean": torch.ones(3),
        "c.running_var": torch.ones(3),
        "d.weight": torch.ones(2, 2),
        "e.weight": torch.ones(1, dtype=torch.int8),
        "e.value": "text",
        "e.list": [1],
    }
    save_file(tensors, tmp_path / "m.ptf")
    before = {key: value.clone() for key, value in module.state_dict().items()}
    problems = (
        "shape       'a.weight': (3, 5) in the file, (3, 2) in the module",
        "dtype       'a.bias': float64 in the file, float32 in the module",
        "shape       'b.bias': (2,) in the file, (3,) in the module",
        "dtype       'b.bias': bfloat16 in the file, float32 in the module",
        "type        'c.weight': the value 3 in the file, a tensor in the module",
        "meta        'd.weight': on the meta device there is nothing to copy into; pass assign=True",
    )
    unknown = (
        "missing     'c.num_batches_tracked': int64 () in the module, not in the file",
        "missing     'd.bias': float32 (2,) in the module, not in the file",
        "unexpected  'e.weight': int8 (1,) in the file, not in the module",
        "unexpected  'e.value': the value 'text' in the file, not in the module",
        "unexpected  'e.list': a list in the file, not in the module",
    )
    assert problems_of(lambda: load_model(module, tmp_path / "m.ptf")) == problems + unknown
    assert problems_of(lambda: load_model(module, tmp_path / "m.ptf", strict=False)) == problems
    after = module.state_dict()
    assert all(torch.equal(after[key], value) for key, value in before.items() if not value.is_meta)


def test_not_strict_returns_the_names(tmp_path: Path) -> None:
    save_file({"0.weight": torch.ones(2, 2), "9.weight": torch.ones(1)}, tmp_path / "m.ptf")
    module = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    bias = module[0].bias.clone()
    module[1].num_batches_tracked.fill_(5)
    found = load_model(module, tmp_path / "m.ptf", strict=False)
    assert found.missing_keys == ["0.bias", *(f"1.{key}" for key in module[1].state_dict())]
    assert found.unexpected_keys == ["9.weight"]
    assert torch.equal(module[0].weight, torch.ones(2, 2))
    assert torch.equal(module[0].bias, bias)
    assert module[1].num_batches_tracked == 5


def test_a_file_of_another_convention_says_so(tmp_path: Path) -> None:
    ptformat.save_file({"params": {"kernel": np.ones((2, 2))}}, tmp_path / "m.ptf", convention="flax.linen")
    with pytest.raises(ptformat.FormatError, match=r"its convention is flax\.linen, not torch: convert it first"):
        load_model(nn.Linear(2, 2), tmp_path / "m.ptf")


@pytest.mark.parametrize("tree", [[torch.ones(2)], torch.ones(2)])
def test_a_file_without_names(tree: Any, tmp_path: Path) -> None:
    save_file(tree, tmp_path / "m.ptf")
    assert len(problems_of(lambda: load_model(nn.Linear(2, 2), tmp_path / "m.ptf"))) == 3


def test_nested_names_fit_too(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Linear(2, 2))
    tree = {"0": {key: tensor.detach().numpy() for key, tensor in module[0].state_dict().items()}}
    ptformat.save_file(tree, tmp_path / "m.ptf")
    fresh = nn.Sequential(nn.Linear(2, 2))
    load_model(fresh, tmp_path / "m.ptf")
    assert state_bytes(fresh) == state_bytes(module)


def test_lazy_modules_are_materialised(tmp_path: Path) -> None:
    module = nn.Linear(3, 2)
    path = saved(module, tmp_path)
    lazy = nn.LazyLinear(2)
    load_model(lazy, path)
    assert torch.equal(lazy.weight, module.weight)
    save_file({"bias": torch.ones(2)}, path)
    assert problems_of(lambda: load_model(nn.LazyLinear(2), path)) == (
        "missing     'weight': float32 uninitialised in the module, not in the file",
    )


# Ties


class Tied(nn.Module):
    """An embedding whose weight is the head's, and a decoder whose weight is an encoder's transposed."""

    def __init__(self, tie: bool) -> None:
        super().__init__()
        self.embed = nn.Embedding(5, 3)
        self.enc = nn.Linear(3, 4, bias=False)
        self.dec = nn.Linear(4, 3, bias=False)
        self.head = nn.Linear(3, 5, bias=False)
        self.register_buffer("table", torch.zeros(5, 3))
        if tie:
            self.head.weight = self.embed.weight
            self.dec.weight = nn.Parameter(self.enc.weight.detach().T)
            self.table = self.embed.weight.detach()


def check_tied(module: Tied) -> None:
    assert module.head.weight is module.embed.weight
    assert isinstance(module.head.weight, nn.Parameter)
    assert module.table.data_ptr() == module.embed.weight.data_ptr()
    assert type(module.table) is torch.Tensor
    with torch.no_grad():
        module.embed.weight[1, 2] = 7
        module.enc.weight[3, 1] = -7
    assert module.head.weight[1, 2] == 7
    assert module.table[1, 2] == 7
    assert module.dec.weight[1, 3] == -7
    assert [name for name, _ in module.named_parameters()] == ["embed.weight", "enc.weight", "dec.weight"]


@pytest.mark.parametrize("assign", [False, True])
@pytest.mark.parametrize("tied_before", [False, True])
def test_ties_of_the_file_are_tied_in_the_module(tied_before: bool, assign: bool, tmp_path: Path) -> None:
    source = Tied(tie=True)
    path = saved(source, tmp_path)
    found = infos(path)
    assert [(found[key].target, found[key].axes) for key in ("embed.weight", "head.weight")] == [
        ("table", ("num", "features")),
        ("table", ("out", "in")),
    ]
    assert (found["dec.weight"].target, found["dec.weight"].perm) == ("enc.weight", (1, 0))
    assert [(found[key].role, found[key].trainable) for key in ("table", "embed.weight")] == [
        ("buffer", None),
        ("parameter", True),
    ]
    module = Tied(tied_before)
    load_model(module, path, assign=assign)
    assert state_bytes(module) == state_bytes(source)
    check_tied(module)


def test_a_buffer_tied_to_a_parameter_is_not_trainable(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Module())
    module[1].register_buffer("copy", module[0].weight.detach())
    path = saved(module, tmp_path)
    alias = infos(path)["1.copy"]
    assert (alias.target, alias.role, alias.trainable) == ("0.weight", "buffer", False)
    fresh = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Module())
    fresh[1].register_buffer("copy", torch.zeros(2, 2))
    load_model(fresh, path)
    assert not fresh[1].copy.requires_grad
    assert fresh[1].copy.data_ptr() == fresh[0].weight.data_ptr()


@pytest.mark.parametrize("assign", [False, True])
def test_ties_of_the_module_stay_where_the_file_has_equal_bytes(assign: bool, tmp_path: Path) -> None:
    source = Tied(tie=True)
    path = tmp_path / "m.ptf"
    save_file({key: tensor.clone() for key, tensor in source.state_dict().items()}, path)
    with ptformat.open(path) as file:
        assert not file.aliases
    module = Tied(tie=True)
    load_model(module, path, assign=assign)
    check_tied(module)


def test_ties_of_the_module_that_the_file_denies(tmp_path: Path) -> None:
    path = saved(Tied(tie=False), tmp_path)
    module = Tied(tie=True)
    before = state_bytes(module)
    for assign in (False, True):
        assert problems_of(lambda assign=assign: load_model(module, path, assign=assign)) == (
            "tie         'embed.weight' and 'table': one tensor in the module, different bytes in the file",
            "tie         'dec.weight' and 'enc.weight': one tensor in the module, different bytes in the file",
            "tie         'head.weight' and 'table': one tensor in the module, different bytes in the file",
        )
    assert state_bytes(module) == before


def test_ties_of_nan_are_compared_by_bytes(tmp_path: Path) -> None:
    module = Tied(tie=True)
    with torch.no_grad():
        module.embed.weight.fill_(float("nan"))
    path = tmp_path / "m.ptf"
    save_file({key: tensor.clone() for key, tensor in module.state_dict().items()}, path)
    load_model(Tied(tie=True), path)


def test_a_tie_on_the_meta_device(tmp_path: Path) -> None:
    source = Tied(tie=True)
    with torch.device("meta"):
        module = Tied(tie=True)
        module.dec = nn.Linear(4, 3, bias=False)
    load_model(module, saved(source, tmp_path), assign=True)
    check_tied(module)


def test_one_parameter_that_trains_and_one_that_does_not(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False))
    module[1].weight = nn.Parameter(module[0].weight.detach(), requires_grad=False)
    path = saved(module, tmp_path)
    fresh = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False))
    load_model(fresh, path)
    assert fresh[0].weight is not fresh[1].weight
    assert fresh[0].weight.data_ptr() == fresh[1].weight.data_ptr()
    assert (fresh[0].weight.requires_grad, fresh[1].weight.requires_grad) == (True, False)


def test_a_tie_within_an_lstm_reaches_its_flat_weights(tmp_path: Path) -> None:
    module = nn.LSTM(3, 3)
    module.weight_hh_l0 = module.weight_ih_l0
    fresh = nn.LSTM(3, 3)
    load_model(fresh, saved(module, tmp_path))
    assert fresh.weight_hh_l0 is fresh.weight_ih_l0
    x = torch.ones(2, 1, 3)
    assert torch.equal(fresh(x)[0], module(x)[0])
    assert fresh._flat_weights[1] is fresh.weight_ih_l0


def test_a_tie_across_devices_is_a_problem(tmp_path: Path) -> None:
    shared = nn.Linear(2, 2, bias=False)
    path = saved(nn.Sequential(shared, shared), tmp_path)
    fresh = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False, device="meta"))
    assert problems_of(lambda: load_model(fresh, path))[0].startswith("meta ")
    load_model(fresh, path, assign=True)
    assert fresh[0].weight is fresh[1].weight


def test_ties_are_restored_when_the_first_place_is_missing(tmp_path: Path) -> None:
    shared = nn.Linear(2, 2)
    path = saved(nn.ModuleDict({"a": shared, "b": shared, "c": shared}), tmp_path)
    module = nn.ModuleDict({"b": nn.Linear(2, 2), "c": nn.Linear(2, 2)})
    found = load_model(module, path, strict=False)
    assert found.unexpected_keys == ["a.weight", "a.bias"]
    assert module["b"].weight is module["c"].weight
    assert torch.equal(module["c"].bias, shared.bias)


def test_overlaps_within_a_module(tmp_path: Path) -> None:
    module = nn.Linear(2, 4, bias=False)
    module.register_buffer("part", module.weight.detach()[:2])
    with pytest.raises(
        ptformat.FormatError, match="'weight' float32 \\(4, 2\\) and 'part' float32 \\(2, 2\\)"
    ) as caught:
        save_model(module, tmp_path / "m.ptf")
    assert caught.value.code == "TIE"
    load_model(module, saved(module, tmp_path, copy_overlaps=True))
