"""ptformat.torch: modules on the meta device, wrapped, parametrized, in any memory format; versions and migrations."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize

import ptformat
from ptformat.torch import load_file, load_model, save_file, save_model


def raw(tensor: torch.Tensor) -> bytes:
    return tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def state_bytes(module: nn.Module) -> dict[str, bytes]:
    return {key: raw(tensor) for key, tensor in module.state_dict().items()}


def problems_of(call: Callable[[], Any]) -> tuple[str, ...]:
    with pytest.raises(ptformat.FormatError) as caught:
        call()
    assert caught.value.code == "MISMATCH"
    return caught.value.problems


class Net(nn.Module):
    """Parameters, buffers, and one buffer that no state dict has."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.head = nn.Linear(4, 2)
        self.register_buffer("scale", torch.rand(2))
        self.register_buffer("positions", torch.arange(4), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.Tensor(self.head(self.norm(self.conv(x)).mean((2, 3)))) * self.get_buffer("scale")


def saved(module: nn.Module, tmp_path: Path, **options: Any) -> Path:
    save_model(module, tmp_path / "m.ptf", **options)
    return tmp_path / "m.ptf"


# The meta device


@pytest.mark.parametrize("codec", ["raw", "zstd"])
def test_a_module_on_meta_is_made_of_the_file(codec: str, tmp_path: Path) -> None:
    source = Net()
    path = saved(source, tmp_path, codec=codec)
    with torch.device("meta"):
        module = Net()
    told = r"into Net: still on the meta device, without elements: positions; the file has none, fill them in"
    with pytest.warns(UserWarning, match=told):
        loaded = load_model(module, path, assign=True)
    assert loaded == ([], [])
    assert loaded.on_meta == ("positions",)
    assert repr(loaded) == "Loaded(missing_keys=[], unexpected_keys=[], on_meta=('positions',))"
    assert all(isinstance(tensor, nn.Parameter) for tensor in module.parameters())
    assert not any(tensor.is_meta for tensor in module.state_dict().values())
    assert state_bytes(module) == state_bytes(source)
    x = torch.ones(1, 3, 5, 5)
    assert torch.equal(module.eval()(x), source.eval()(x))
    module.positions = torch.arange(4)
    module.get_parameter("head.weight").data.zero_()
    assert load_file(path)["head.weight"].any()  # the file is as it was


def test_a_module_on_meta_needs_assign_and_says_so(tmp_path: Path) -> None:
    path = saved(nn.BatchNorm1d(2), tmp_path)
    module = nn.BatchNorm1d(2, device="meta")
    assert problems_of(lambda: load_model(module, path)) == tuple(
        f"meta        {key!r}: on the meta device there is nothing to copy into; pass assign=True"
        for key in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    )
    assert module.weight.is_meta


def test_what_the_file_lacks_stays_on_meta_and_is_told(tmp_path: Path) -> None:
    save_file({"weight": torch.ones(2, 3)}, tmp_path / "m.ptf")
    module = nn.Linear(3, 2, device="meta")
    with pytest.warns(UserWarning, match="into Linear: still on the meta device, without elements: bias;"):
        loaded = load_model(module, tmp_path / "m.ptf", assign=True, strict=False)
    assert (loaded.missing_keys, loaded.on_meta) == (["bias"], ("bias",))
    assert module.weight.sum() == 6


def test_nothing_is_told_where_all_is_there(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load_model(Net(1), saved(Net(), tmp_path)).on_meta == ()


# Wrappers and their prefixes


def compiled(module: nn.Module) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # torch uses of itself what it has deprecated
        return torch.compile(module)


WRAPPERS: dict[str, tuple[str, Callable[[nn.Module], Any]]] = {
    "compiled": ("_orig_mod.", compiled),
    "parallel": ("module.", nn.DataParallel),
    "compiled parallel": ("_orig_mod.module.", lambda net: compiled(nn.DataParallel(net))),
    "parallel compiled": ("module._orig_mod.", lambda net: nn.DataParallel(compiled(net))),
}


@pytest.mark.parametrize("name", WRAPPERS)
def test_the_module_inside_is_saved(name: str, tmp_path: Path) -> None:
    plain = saved(Net(), tmp_path).read_bytes()
    assert saved(WRAPPERS[name][1](Net()), tmp_path).read_bytes() == plain


@pytest.mark.parametrize("name", WRAPPERS)
def test_prefixes_that_all_names_carry(name: str, tmp_path: Path) -> None:
    prefix, wrap = WRAPPERS[name]
    source, path = Net(), tmp_path / "w.ptf"
    save_file(wrap(source).state_dict(), path)
    assert all(key.startswith(prefix) for key in load_file(path))

    plain = Net(1)
    loaded = load_model(plain, path)
    assert (loaded, loaded.stripped, loaded.added) == (([], []), prefix, "")
    assert repr(loaded) == f"Loaded(missing_keys=[], unexpected_keys=[], stripped={prefix!r})"
    assert state_bytes(plain) == state_bytes(source)

    wrapped = Net(1)
    loaded = load_model(wrap(wrapped), path)
    assert (loaded, loaded.stripped, loaded.added) == (([], []), "", "")
    assert state_bytes(wrapped) == state_bytes(source)

    wrapped = Net(1)
    loaded = load_model(wrap(wrapped), saved(source, tmp_path))
    assert (loaded, loaded.stripped, loaded.added) == (([], []), "", prefix)
    assert state_bytes(wrapped) == state_bytes(source)


def test_one_wrapper_into_another(tmp_path: Path) -> None:
    source, target = Net(), Net(1)
    save_file(nn.DataParallel(source).state_dict(), tmp_path / "m.ptf")
    loaded = load_model(compiled(target), tmp_path / "m.ptf")
    assert (loaded.stripped, loaded.added) == ("module.", "_orig_mod.")
    assert state_bytes(target) == state_bytes(source)


def test_prefixes_that_some_names_lack_are_no_prefixes(tmp_path: Path) -> None:
    save_file({"module.weight": torch.ones(2, 2), "bias": torch.ones(2)}, tmp_path / "m.ptf")
    assert problems_of(lambda: load_model(nn.Linear(2, 2), tmp_path / "m.ptf")) == (
        "missing     'weight': float32 (2, 2) in the module, not in the file",
        "unexpected  'module.weight': float32 (2, 2) in the file, not in the module",
    )


def test_without_a_prefix_names_are_left_alone(tmp_path: Path) -> None:
    save_file(nn.DataParallel(nn.Linear(2, 2)).state_dict(), tmp_path / "m.ptf")
    found = problems_of(lambda: load_model(nn.Linear(2, 2), tmp_path / "m.ptf", prefix=None))
    assert [line.split(":")[0] for line in found] == [
        "missing     'weight'",
        "missing     'bias'",
        "unexpected  'module.weight'",
        "unexpected  'module.bias'",
    ]


def test_a_prefix_of_the_callers(tmp_path: Path) -> None:
    whole, part = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)), nn.Linear(2, 2)
    path = saved(whole, tmp_path)
    assert problems_of(lambda: load_model(part, path, prefix="1.")) == (
        "unexpected  '0.weight': float32 (2, 2) in the file, not in the module",
        "unexpected  '0.bias': float32 (2,) in the file, not in the module",
    )
    loaded = load_model(part, path, prefix="1.", strict=False)
    assert (loaded.missing_keys, loaded.unexpected_keys, loaded.stripped) == ([], ["0.weight", "0.bias"], "1.")
    assert state_bytes(part) == state_bytes(whole[1])


def test_a_name_without_the_prefix_does_not_take_the_place_of_one_with_it(tmp_path: Path) -> None:
    save_file({"a.weight": torch.ones(1, 1), "weight": torch.zeros(1, 1)}, tmp_path / "m.ptf")
    module = nn.Linear(1, 1, bias=False)
    assert load_model(module, tmp_path / "m.ptf", prefix="a.", strict=False).unexpected_keys == ["weight"]
    assert module.weight.item() == 1


def test_a_child_that_is_called_module_is_no_wrapper(tmp_path: Path) -> None:
    class Holder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.module = nn.Linear(2, 2)

    source, fresh = Holder(), Holder()
    path = saved(source, tmp_path)
    assert list(load_file(path)) == ["module.weight", "module.bias"]
    assert (load_model(fresh, path).stripped, state_bytes(fresh)) == ("", state_bytes(source))


def test_gradients_and_extra_state_beneath_a_prefix(tmp_path: Path) -> None:
    class Extra(nn.Linear):
        extra: Any = None

        def get_extra_state(self) -> Any:
            return self.extra

        def set_extra_state(self, state: Any) -> None:
            self.extra = state

    class Holder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.module = Extra(2, 1)

    source = Holder()
    source.module.extra = {"deep": {"seen": 3}}
    source.module(torch.ones(1, 2)).sum().backward()
    path = saved(source, tmp_path, gradients=True)
    fresh = Extra(2, 1)
    assert load_model(fresh, path, gradients=True).stripped == "module."
    assert fresh.extra == {"deep": {"seen": 3}}
    assert fresh.weight.grad is not None
    assert fresh.weight.grad.tolist() == [[1, 1]]
    assert load_model(Holder(), saved(source.module, tmp_path, gradients=True), gradients=True).added == "module."


# Versions


class Renamed(nn.Module):
    """A layer whose version 2 stores the inverse of what version 1 stored."""

    _version = 2

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(2))

    def _load_from_state_dict(self, state: Any, prefix: str, local: Any, *rest: Any) -> None:
        if local.get("version", 1) < 2:
            state[prefix + "scale"] = 1 / state[prefix + "scale"]
        super()._load_from_state_dict(state, prefix, local, *rest)  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("wrap", [lambda net: net, nn.DataParallel])
def test_an_old_version_is_migrated_by_the_module(wrap: Any, tmp_path: Path) -> None:
    old = nn.Sequential(Renamed())
    old[0].scale.data.fill_(4)
    old[0]._version = 1
    save_file(wrap(old).state_dict(), tmp_path / "m.ptf")
    fresh = nn.Sequential(Renamed())
    load_model(fresh, tmp_path / "m.ptf")
    assert fresh[0].scale.tolist() == [0.25, 0.25]
    again = nn.Sequential(Renamed())
    load_model(again, saved(fresh, tmp_path))
    assert again[0].scale.tolist() == [0.25, 0.25]


def test_versions_of_a_module_come_back_with_the_state_dict(tmp_path: Path) -> None:
    source = Net()
    loaded = load_file(saved(source, tmp_path))
    assert loaded._metadata == source.state_dict()._metadata  # type: ignore[attr-defined]
    Net(1).load_state_dict(loaded)


# Parametrizations


class Symmetric(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.triu() + x.triu(1).mT


PARAMETRIZED: dict[str, tuple[Callable[[], nn.Module], set[str], str | None]] = {
    "own": (
        lambda: parametrize.register_parametrization(nn.Linear(3, 3), "weight", Symmetric()),
        {"bias", "parametrizations.weight.original"},
        None,
    ),
    "weight_norm": (
        lambda: parametrizations.weight_norm(nn.Linear(3, 3)),
        {"bias", "parametrizations.weight.original0", "parametrizations.weight.original1"},
        "weight_norm_linear",
    ),
    "spectral_norm": (
        lambda: parametrizations.spectral_norm(nn.Linear(3, 3)),
        {"bias", "parametrizations.weight.original", "parametrizations.weight.0._u", "parametrizations.weight.0._v"},
        "linear",
    ),
    "orthogonal": (
        lambda: parametrizations.orthogonal(nn.Linear(3, 3)),
        {"bias", "parametrizations.weight.original", "parametrizations.weight.0.base"},
        None,
    ),
}


@pytest.mark.parametrize("assign", [False, True])
@pytest.mark.parametrize("name", PARAMETRIZED)
def test_parametrized_modules(name: str, assign: bool, tmp_path: Path) -> None:
    make, keys, kind = PARAMETRIZED[name]
    source = nn.Sequential(make(), nn.ReLU()).eval()
    path = saved(source, tmp_path)
    assert set(load_file(path)) == {f"0.{key}" for key in keys}
    with ptformat.open(path) as file:
        node = file.info("0")
        assert isinstance(node, ptformat.Node)
        assert (node.module, node.class_) == (kind, "torch.nn.utils.parametrize.ParametrizedLinear")
        assert file.info("0.parametrizations.weight").class_.startswith("torch.nn.utils.parametrize.")  # type: ignore
    fresh = nn.Sequential(make(), nn.ReLU()).eval()
    assert load_model(fresh, path, assign=assign) == ([], [])
    assert state_bytes(fresh) == state_bytes(source)
    assert torch.equal(fresh[0].weight, source[0].weight)


# Memory formats and views


@pytest.mark.parametrize("assign", [False, True])
def test_channels_last(assign: bool, tmp_path: Path) -> None:
    source = Net().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    assert not source.conv.weight.is_contiguous()
    path = saved(source, tmp_path)
    assert path.read_bytes() == saved(Net(), tmp_path).read_bytes()  # logical order: strides are not content
    fresh = Net(1).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    load_model(fresh, path, assign=assign)
    assert state_bytes(fresh) == state_bytes(source)
    assert fresh.conv.weight.is_contiguous(memory_format=torch.channels_last) is not assign


def test_views_that_overlap_in_a_checkpoint(tmp_path: Path) -> None:
    flat = torch.arange(10.0)  # as flattened optimizers keep their parameters
    tree = {"model": {"0.weight": flat[:6].view(2, 3), "0.bias": flat[6:8]}, "optimizer": {"flat": flat}}
    with pytest.raises(ptformat.FormatError) as caught:
        save_file(tree, tmp_path / "m.ptf")
    assert caught.value.code == "TIE"
    assert caught.value.problems == (
        "'model.0.weight' float32 (2, 3) and 'optimizer.flat' float32 (10,)",
        "'model.0.bias' float32 (2,) and 'optimizer.flat' float32 (10,)",
    )
    save_file(tree, tmp_path / "m.ptf", copy_overlaps=True)
    loaded = load_file(tmp_path / "m.ptf")
    assert loaded["model"]["0.weight"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert loaded["optimizer"]["flat"].tolist() == flat.tolist()
    with ptformat.open(tmp_path / "m.ptf") as file:
        assert file.aliases == {}
