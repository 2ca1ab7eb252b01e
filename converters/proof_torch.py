"""A torch model run once in evaluation mode, each layer seen, and left as it was."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from ptformat.dtypes import Array
from ptformat.torch import tensors, wrappers

from .proof_numbers import ProofError, leaves

# Containers without a forward pass of their own.
_CONTAINERS = (nn.ModuleList, nn.ModuleDict, nn.ParameterList, nn.ParameterDict)

Seen = Callable[[str, tuple[Array, ...]], None]


def checked(model: Any) -> nn.Module:
    """The model without what `torch.compile` and the like put around it.

    Raises:
        ProofError: When it is no module, or has parameters without values.
    """
    if not isinstance(model, nn.Module):
        raise ProofError(f"the torch model is a {type(model).__name__}, expected a torch.nn.Module")
    module: nn.Module = wrappers.inner(model)
    for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
        if nn.parameter.is_lazy(tensor):
            raise ProofError(f"the torch model's {name} is uninitialised; run the model once")
        if tensor.is_meta:
            raise ProofError(f"the torch model's {name} is on the meta device, without values")
    return module


def is_wide(model: nn.Module) -> bool:
    """Whether it has parameters in float64."""
    return any(parameter.dtype is torch.float64 for parameter in model.parameters())


def names(model: nn.Module) -> dict[str, str]:
    """Every name of every module that can be called, but for the root -> the first name of that module."""
    first: dict[int, str] = {}
    found: dict[str, str] = {}
    for name, module in model.named_modules(remove_duplicate=False):
        plain = ".".join(segment for segment in name.split(".") if segment != "_orig_mod")
        if plain and not isinstance(module, _CONTAINERS):
            found.setdefault(plain, first.setdefault(id(module), plain))
    return found


def given(value: Any, model: nn.Module) -> Any:
    """A plain argument as the model gets it: arrays as tensors on its device, copied, since it may write to them."""
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))

    def convert(leaf: Any) -> Any:
        return tensors.as_tensor(np.array(leaf)).to(device) if isinstance(leaf, np.ndarray) else leaf

    return mapped(convert, value)


def mapped(convert: Callable[[Any], Any], value: Any) -> Any:
    """The same lists, tuples and dicts with other leaves."""
    if type(value) in (list, tuple):
        return type(value)(mapped(convert, item) for item in value)
    if type(value) is dict:
        return {key: mapped(convert, item) for key, item in value.items()}
    return convert(value)


def is_array(leaf: Any) -> bool:
    """Whether a leaf of what a model returned is an array."""
    return isinstance(leaf, (torch.Tensor, np.ndarray))


def array(leaf: Any) -> Array:
    """A tensor as NumPy's, or an array; over its own memory where it can be."""
    if not isinstance(leaf, torch.Tensor):
        return np.asarray(leaf)
    plain = leaf.detach().cpu().resolve_conj().resolve_neg()
    plain = plain.to_dense() if plain.layout != torch.strided else plain
    if plain.is_floating_point() and plain.dtype not in (torch.float16, torch.float32, torch.float64):
        plain = plain.float()  # exact for all that NumPy has not
    found: Array = plain.numpy()
    return found


def run(model: nn.Module, inputs: tuple[Any, ...], kwargs: Mapping[str, Any], seed: int, seen: Seen | None) -> Any:
    """What the model returns in evaluation mode, without gradients; its flags and buffers are put back.

    Args:
        model: As `checked` gives it.
        inputs: As `given` gives them.
        kwargs: The same, by name.
        seed: Of torch's generator, which is put back too.
        seen: Is told the first name and the arrays of what each layer returns, inner layers before outer ones.
    """
    devices = {parameter.device for parameter in model.parameters() if parameter.device.type == "cuda"}
    with (
        contextlib.ExitStack() as stack,
        torch.random.fork_rng(devices=sorted(device.index or 0 for device in devices)),
        torch.no_grad(),
        _kept(model),
    ):
        if "torch._dynamo" in sys.modules:  # compiled parts would not call what watches them
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        if seen is not None:
            stack.enter_context(_watched(model, seen))
        torch.manual_seed(seed)
        model.eval()
        return model(*inputs, **kwargs)


@contextlib.contextmanager
def _kept(model: nn.Module) -> Iterator[None]:
    """Put back training flags and buffers afterwards: the very same tensors, with the same numbers."""
    modules = list(model.modules())
    flags = [module.training for module in modules]
    buffers = [dict(module._buffers) for module in modules]
    numbers = {id(tensor): tensor.clone() for held in buffers for tensor in held.values() if tensor is not None}
    try:
        yield
    finally:
        for module, training, held in zip(modules, flags, buffers, strict=True):
            module.training = training
            if _others(module._buffers, held):
                module._buffers.clear()
                module._buffers.update(held)
            for tensor in held.values():
                if tensor is not None and not _alike(tensor, numbers[id(tensor)]):
                    with torch.no_grad():
                        tensor.copy_(numbers[id(tensor)])


def _others(now: Mapping[str, Any], before: Mapping[str, Any]) -> bool:
    """Whether there are other tensors than before."""
    return list(now) != list(before) or any(now[name] is not before[name] for name in before)


def _alike(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Whether two tensors of one type and shape have the same bytes."""
    return torch.equal(*(each.reshape(-1).contiguous().view(torch.uint8) for each in (a, b)))


@contextlib.contextmanager
def _watched(model: nn.Module, seen: Seen) -> Iterator[None]:
    """Tell what every layer but the root returns, as long as this is open."""
    first = names(model)
    with contextlib.ExitStack() as stack:
        for name, module in model.named_modules():
            plain = ".".join(segment for segment in name.split(".") if segment != "_orig_mod")
            # A compiled module and what it wraps have one plain name: the inner one is watched.
            wraps = "_orig_mod" in module._modules
            if plain in first and not wraps and not isinstance(module, torch.jit.ScriptModule):
                stack.callback(module.register_forward_hook(_hook(first[plain], seen)).remove)
        yield


def _hook(name: str, seen: Seen) -> Callable[[nn.Module, Any, Any], None]:
    def hook(_: nn.Module, inputs: Any, output: Any) -> None:
        try:
            returned = tuple(array(leaf) for _, leaf in leaves(output, is_array) if is_array(leaf))
        except (TypeError, RuntimeError):  # a nested or quantised tensor has no array
            returned = ()
        seen(name, returned)

    return hook
