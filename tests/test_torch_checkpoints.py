"""ptformat.torch: whole training checkpoints, of the real optimizers, schedulers and random generators."""

import collections
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sources import same
from torch import nn, optim
from torch.optim import lr_scheduler

import ptformat
from ptformat.torch import load, load_file, save, save_file

OPTIMIZERS: dict[str, Callable[[Any], optim.Optimizer]] = {
    "sgd": lambda groups: optim.SGD(groups, lr=0.1),
    "momentum": lambda groups: optim.SGD(groups, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
    "adam": lambda groups: optim.Adam(groups, lr=0.1),
    "amsgrad": lambda groups: optim.Adam(groups, lr=torch.tensor(0.1), amsgrad=True),
    "adamw": lambda groups: optim.AdamW(groups, lr=0.1, betas=(0.8, 0.9), amsgrad=True),
    "rmsprop": lambda groups: optim.RMSprop(groups, lr=0.01, momentum=0.5, centered=True),
    "adagrad": lambda groups: optim.Adagrad(groups, lr=0.1),
    "lbfgs": lambda groups: optim.LBFGS([p for group in groups for p in group["params"]], lr=0.1, max_iter=3),
}
SCHEDULERS: dict[str, Callable[[optim.Optimizer], Any]] = {
    "step": lambda optimizer: lr_scheduler.StepLR(optimizer, 2, 0.5),
    "multi_step": lambda optimizer: lr_scheduler.MultiStepLR(optimizer, [2, 4]),
    "cosine": lambda optimizer: lr_scheduler.CosineAnnealingLR(optimizer, 10),
    "restarts": lambda optimizer: lr_scheduler.CosineAnnealingWarmRestarts(optimizer, 3),
    "lambda": lambda optimizer: lr_scheduler.LambdaLR(optimizer, lambda epoch: 0.9**epoch),
    "one_cycle": lambda optimizer: lr_scheduler.OneCycleLR(optimizer, 0.5, total_steps=20, cycle_momentum=False),
    "sequential": lambda optimizer: lr_scheduler.SequentialLR(
        optimizer, [lr_scheduler.LinearLR(optimizer), lr_scheduler.ExponentialLR(optimizer, 0.9)], [4]
    ),
}


def assert_equal(a: Any, b: Any) -> None:
    """Type, order and every bit. What torch calls OrderedDict, Counter or Size is a dict or tuple."""
    if isinstance(a, torch.Tensor):
        assert isinstance(b, torch.Tensor)
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        assert a.contiguous().view(-1).view(torch.uint8).tolist() == b.contiguous().view(-1).view(torch.uint8).tolist()
    elif isinstance(a, np.ndarray):
        assert isinstance(b, np.ndarray)
        assert same(a, b)
    elif isinstance(a, dict):
        assert isinstance(b, dict)
        assert [(type(key), key) for key in a] == [(type(key), key) for key in b]
        for key in a:
            assert_equal(a[key], b[key])
    elif isinstance(a, (list, tuple)):
        assert isinstance(b, list if isinstance(a, list) else tuple)
        assert len(a) == len(b)
        for left, right in zip(a, b, strict=True):
            assert_equal(left, right)
    else:
        assert type(a) is type(b)
        assert a == b


class Run:
    """A net, and what trains it."""

    def __init__(self, optimizer: str, scheduler: str, seed: int) -> None:
        torch.manual_seed(seed)
        self.net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.2), nn.Linear(4, 1))
        groups = [{"params": self.net[0].parameters(), "name": "first"}, {"params": self.net[3].parameters()}]
        self.optimizer = OPTIMIZERS[optimizer](groups)
        self.scheduler = SCHEDULERS[scheduler](self.optimizer)
        self.epoch = 0

    def train(self, epochs: int) -> list[float]:
        losses = []
        for _ in range(epochs):
            x = torch.randn(8, 3)

            def closure(x: torch.Tensor = x) -> torch.Tensor:
                self.optimizer.zero_grad()
                loss: torch.Tensor = self.net(x).square().mean()
                loss.backward()
                return loss

            losses.append(self.optimizer.step(closure).item())
            self.scheduler.step()
            self.epoch += 1
        return losses

    def checkpoint(self) -> dict[str, Any]:
        return {
            "model": self.net.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "epoch": self.epoch,
            "rng": torch.get_rng_state(),
        }

    def resume(self, checkpoint: dict[str, Any]) -> None:
        self.net.load_state_dict(checkpoint["model"])
        self.optimizer.load_state_dict(checkpoint["optimizer"])
        self.scheduler.load_state_dict(checkpoint["scheduler"])
        self.epoch = checkpoint["epoch"]
        torch.set_rng_state(checkpoint["rng"])


CASES = [*((name, "step") for name in OPTIMIZERS), *(("momentum", name) for name in SCHEDULERS)]


@pytest.mark.parametrize("codec", ["raw", "zstd"])
@pytest.mark.parametrize(("optimizer", "scheduler"), CASES)
def test_training_goes_on_as_if_it_never_stopped(optimizer: str, scheduler: str, codec: str, tmp_path: Path) -> None:
    run = Run(optimizer, scheduler, seed=1)
    run.train(3)
    save_file(run.checkpoint(), tmp_path / "c.ptf", codec=codec)
    loaded = load_file(tmp_path / "c.ptf")
    assert_equal(run.checkpoint(), loaded)

    again = Run(optimizer, scheduler, seed=2)
    again.resume(loaded)
    ahead = again.train(4)
    torch.set_rng_state(load_file(tmp_path / "c.ptf")["rng"])
    assert run.train(4) == ahead
    assert_equal(run.checkpoint(), again.checkpoint())


def test_what_is_recorded_of_a_checkpoint(tmp_path: Path) -> None:
    run = Run("adam", "step", seed=0)
    run.train(1)
    save_file(run.checkpoint(), tmp_path / "c.ptf")
    with ptformat.open(tmp_path / "c.ptf") as file:
        forms = {entry.path: entry.form for entry in file.entries if isinstance(entry, ptformat.Node)}
        assert forms["model"] == "flat"
        assert forms["optimizer.state"] == "keys"
        assert forms["optimizer.param_groups"] == "list"
        assert forms["optimizer.param_groups.0.betas"] == "tuple"
        assert (file["epoch"], file["rng"].dtype) == (1, "uint8")
        assert file.metadata["torch._metadata"] == {
            "model": [[name, {"version": 2 if name == "1" else 1}] for name in ("", "0", "1", "2", "3")]
        }


def test_a_scaler_and_dicts_of_torch_generators(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(5)
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0, growth_interval=3)
    scaler.scale(torch.ones(1))
    state = {"scaler": scaler.state_dict(), "sampler": generator.get_state(), "ema": {"decay": 0.999, "shadow": []}}
    loaded = load(save(state))
    assert_equal(state, loaded)
    assert loaded["scaler"]["scale"] == 8.0
    again = torch.Generator()
    again.set_state(loaded["sampler"])
    assert torch.rand(3, generator=again).tolist() == torch.rand(3, generator=generator).tolist()


def test_random_states_of_python_and_numpy_go_on(tmp_path: Path) -> None:
    python, numpy = random.Random(3), np.random.RandomState(4)
    python.gauss(0, 1)
    numpy.normal(size=3)
    bits = np.random.Generator(np.random.MT19937(5))
    state = {"python": python.getstate(), "numpy": numpy.get_state(), "bits": bits.bit_generator.state}
    save_file(state, tmp_path / "c.ptf")
    loaded = load_file(tmp_path / "c.ptf")
    assert_equal(state, loaded)
    again = random.Random()
    again.setstate(loaded["python"])
    assert [again.gauss(0, 1) for _ in range(3)] == [python.gauss(0, 1) for _ in range(3)]
    other = np.random.RandomState()
    other.set_state(loaded["numpy"])
    assert same(other.normal(size=3), numpy.normal(size=3))


def test_pcg64_is_refused_by_path_and_with_a_remedy() -> None:
    with pytest.raises(ptformat.FormatError, match=r"'rng\.state\.state': integer .*`str\(n\)`") as caught:
        save({"w": torch.ones(1), "rng": np.random.default_rng(0).bit_generator.state})
    assert (caught.value.code, caught.value.path) == ("LIMIT", "rng.state.state")


# The versions of state dicts


def test_versions_come_back_where_they_were(tmp_path: Path) -> None:
    model, ema = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)).state_dict(), nn.BatchNorm1d(1).state_dict()
    tree = {"a.b": model, "list": [ema, (1, ema)], "plain": {"x": 1}, 3: {"deep": ema}}
    loaded = load(save(tree))
    for got, saved in (
        (loaded["a.b"], model),
        (loaded["list"][0], ema),
        (loaded["list"][1][1], ema),
        (loaded[3]["deep"], ema),
    ):
        assert type(got) is collections.OrderedDict
        assert got._metadata == saved._metadata
        assert list(got) == list(saved)
    assert type(loaded["plain"]) is dict
    assert loaded["a.b"]._metadata["1"] == {"version": 2}
    assert save(loaded) == save(tree)


def test_metadata_of_the_author_stays(tmp_path: Path) -> None:
    save_file(nn.Linear(1, 1).state_dict(), tmp_path / "c.ptf", metadata={"by": "me"})
    with ptformat.open(tmp_path / "c.ptf") as file:
        assert file.metadata == {"by": "me", "torch._metadata": {"": [["", {"version": 1}]]}}
    save_file({"x": torch.ones(1)}, tmp_path / "c.ptf", metadata={"by": "me"})
    with ptformat.open(tmp_path / "c.ptf") as file:
        assert file.metadata == {"by": "me"}


@pytest.mark.parametrize(
    "held", [None, 3, {"": 1}, {"": [1]}, {"": [["a"]]}, {"": [[1, {}]]}, {"": [["a", 1]]}, {"no.such": [["a", {}]]}]
)
def test_metadata_of_another_meaning_is_passed_over(held: Any) -> None:
    loaded = load(save({"x": torch.ones(1)}, metadata={"torch._metadata": held}))
    assert type(loaded) is dict
    assert list(loaded) == ["x"]


def test_versions_that_would_fill_the_metadata_are_thinned() -> None:
    state: Any = collections.OrderedDict({"w": torch.ones(1)})
    state._metadata = collections.OrderedDict(
        (f"layers.{i}.experts.{i}.projection", {"version": 2 if i == 7 else 1}) for i in range(20_000)
    )
    loaded = load(save(state))
    assert loaded._metadata == {"layers.7.experts.7.projection": {"version": 2}}


# Key sets that are not of modules


def test_keys_beneath_keys_as_bitsandbytes_has_them() -> None:
    names = ["weight", "weight.absmax", "weight.quant_map", "weight.nested_absmax", "weight.nested_quant_map", "bias"]
    tree: dict[str, Any] = {
        f"layers.{i}.q.{name}": torch.full((2,), i, dtype=torch.uint8) for i in (0, 1) for name in names
    }
    tree["layers.0.q.weight.quant_state.bitsandbytes__nf4"] = torch.tensor([1, 2, 3], dtype=torch.uint8)
    loaded = load(save(tree))
    assert_equal(tree, loaded)
    assert_equal({"model": tree, "step": 1}, load(save({"model": tree, "step": 1})))
