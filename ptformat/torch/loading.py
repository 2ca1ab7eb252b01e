"""A file into a torch module: everything checked first, then written, then tied."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from .. import containers
from ..atomic import PathLike
from ..errors import several
from ..reader import Reader, read
from ..tree import Alias, TensorInfo, Value
from . import ties, versions
from .tensors import DTYPES, as_tensor, fault, leaves, shape_and_dtype, stored_shape, to_array
from .wrappers import Loaded, prefixes, renamed_modules

_EXTRA = "_extra_state"  # torch's own name for what get_extra_state gives


def load_model(
    module: nn.Module,
    path: PathLike,
    *,
    strict: bool = True,
    assign: bool = False,
    gradients: bool = False,
    prefix: str | None = "auto",
    verify: bool = False,
    mapped: bool = True,
) -> Loaded:
    """Load a file's tensors into a module, and tie in it what is tied in the file.

    Any .ptf file with the module's names will do: from `save_model`, or a state dict from any of the `save_file`.
    Parameters tied in the file become the very same Parameter; one that is a permuted view, or is trainable where the
    other is not, shares its memory. What the module itself ties stays tied. Make an optimiser after loading. Trainable
    flags come from the file where it has them.

    Args:
        module: The module to load into. When anything is wrong it is left untouched.
        path: The .ptf file.
        strict: Names missing from the file or unknown to the module are problems; else they are only returned.
        assign: The file's tensors, private maps of it without a copy, become the parameters and buffers, on the CPU and
            with the file's element types. Else they are copied into those that are there. A module on the meta device
            needs this.
        gradients: Set every parameter's `.grad` to the gradient stored for it, or to None.
        prefix: What to take off the file's names; names without it are unexpected. By "auto" the prefixes of
            `torch.compile` and DataParallel, `_orig_mod.` and `module.`: taken off where all names of the file carry
            them and not all of the module's, put on where it is the other way round. None leaves the names alone.
        verify: Check the checksums of raw tensors too.
        mapped: Map the file rather than read it: see `ptformat.open`.

    Returns:
        `missing_keys` and `unexpected_keys`, as `load_state_dict` does; `stripped` and `added`, the prefixes;
        `on_meta`, what is still on the meta device, such as buffers that are not persistent: with a warning.

    Raises:
        FormatError: MISMATCH with all problems: missing, unexpected, shape, dtype, meta tensors to copy into, ties of
            the module for which the file has different bytes. Or the first rule the file breaks.
        OSError: When it cannot be read.
    """
    reader = read(path, verify=verify, mapped=mapped, private=True)
    plan = _Plan(reader, module.state_dict(keep_vars=True), prefix)
    problems = list(plan.misfits(assign))
    if gradients:
        problems += plan.gradient_misfits(assign)
    if strict:
        problems += plan.unknown()
    if not problems:
        values = plan.values()
        grads = leaves(reader, [entry.path for entry in plan.gradients.values()]) if gradients else {}
        ties = _ties({key: value for key, value in values.items() if isinstance(value, torch.Tensor)})
        problems = list(plan.contradictions(values, ties, assign))
    if problems:
        head = f"{reader.name} does not fit {type(module).__name__}, nothing was loaded"
        if reader.convention not in (None, "torch"):
            head += f"; its convention is {reader.convention}, not torch: convert it first"
        raise several("MISMATCH", head, problems)
    _write(module, plan, values, assign)
    _tie(module, [*ties.values(), *plan.ties.values()])
    if gradients:
        _set_gradients(module, plan, grads, assign)
    on_meta = [name for name, tensor in [*module.named_parameters(), *module.named_buffers()] if tensor.is_meta]
    if on_meta:
        what = f"still on the meta device, without elements: {', '.join(on_meta)}; the file has none, fill them in"
        warnings.warn(f"{reader.name} into {type(module).__name__}: {what}", stacklevel=2)
    return Loaded(plan.missing, plan.unexpected, plan.change, on_meta)


class _Plan:
    """What of a file goes where in a module.

    Attributes:
        state: The module's state dict, with its own Parameters.
        change: The prefixes taken off the file's keys and put before them.
        stored: Flat key, as the module calls it -> entry, or a container of entries for extra state.
        outside: What of the file has not the prefix that is taken off.
        gradients: Key of a parameter -> entry of its gradient.
        common: Keys that both have, in the module's order.
        missing: Keys of the module that the file has not.
        unexpected: Keys of the file that the module has not.
        ties: Ties within the module.
    """

    def __init__(self, reader: Reader, state: dict[str, Any], prefix: str | None) -> None:
        self.reader = reader
        self.state = state
        self.stored: dict[str, Any] = {}
        self.outside: dict[str, Any] = {}
        self.gradients: dict[str, TensorInfo | Alias] = {}
        self.change = ("", "")
        self._containers: Container[str] = ()
        everything = list(self._leaves(reader.info))
        self.change = prefixes((key for key, entry in everything if not _is_gradient(key, entry)), state, prefix)
        stripped, added = self.change
        self._containers = {stripped + key.removeprefix(added) for key in state}
        for key, entry in self._leaves(reader.info):
            gradient = _is_gradient(key, entry)
            name = self._renamed(key.removeprefix("grad.") if gradient else key)
            if name is None:
                self.outside[key] = entry
            elif gradient:
                self.gradients[name] = entry
            else:
                self.stored[name] = entry
        self.common = [key for key in state if key in self.stored]
        self.missing = [key for key in state if key not in self.stored]
        self.unexpected = [*self.outside, *(key for key in self.stored if key not in state)]
        self.ties = _ties({key: value for key, value in state.items() if isinstance(value, torch.Tensor)})

    def _leaves(self, read: Callable[[str], Any]) -> Iterator[tuple[str, Any]]:
        """By the file's keys."""
        tree = containers.assemble(self.reader.index, read)
        return _joined(tree, self._containers) if isinstance(tree, dict) else iter([("", tree)])

    def _renamed(self, key: str) -> str | None:
        stripped, added = self.change
        return added + key.removeprefix(stripped) if key.startswith(stripped) else None

    def versions(self) -> dict[str, Any] | None:
        """The module's own versions, and over them the file's, so that torch can migrate; None where none are."""
        held = versions.of(self.reader.metadata).get("")
        ours = getattr(self.state, "_metadata", None)
        return ours if held is None else {**(ours or {}), **renamed_modules(held, self.change)}

    def trainable(self, key: str) -> bool | None:
        """What the file says of it."""
        entry = self.stored[key]
        return entry.trainable if isinstance(entry, (TensorInfo, Alias)) else None

    def misfits(self, assign: bool) -> Iterator[str]:
        """Shapes and element types that differ, tensors without memory to copy into."""
        for key in self.common:
            value = self.state[key]
            if not isinstance(value, torch.Tensor) or key.rpartition(".")[2] == _EXTRA:
                continue
            stored = shape_and_dtype(self.reader, self.stored[key])
            if stored is None:
                shown = _shown(self.reader, self.stored[key])
                yield f"type        {key!r}: {shown} in the file, a tensor in the module"
            elif not nn.parameter.is_lazy(value):
                yield from _differences(key, stored, value, assign)
                if value.is_meta and not assign:
                    yield f"meta        {key!r}: on the meta device there is nothing to copy into; pass assign=True"

    def gradient_misfits(self, assign: bool) -> Iterator[str]:
        """Gradients that are not of their parameter's shape and element type, or of no parameter."""
        for key, entry in self.gradients.items():
            name, value = f"grad.{key}", self.state.get(key)
            stored = shape_and_dtype(self.reader, entry)
            assert stored is not None
            if not isinstance(value, nn.Parameter):
                yield f"unexpected  {name!r}: the module has no such parameter"
            elif not nn.parameter.is_lazy(value):
                yield from _differences(name, stored, value, assign)
            kept = shape_and_dtype(self.reader, self.stored[key]) if assign and key in self.stored else None
            if kept is not None and kept[1] != stored[1]:
                yield f"dtype       {name!r}: {stored[1]}, but its parameter is {kept[1]} in the file"

    def unknown(self) -> Iterator[str]:
        """Names that only one side has."""
        for key in self.missing:
            yield f"missing     {key!r}: {_shown(self.reader, self.state[key])} in the module, not in the file"
        for key in self.unexpected:
            held = self.outside[key] if key in self.outside else self.stored[key]
            yield f"unexpected  {key!r}: {_shown(self.reader, held)} in the file, not in the module"

    def values(self) -> dict[str, Any]:
        """Key -> tensor or extra state of all that is loaded."""
        loaded = leaves(self.reader, [path for key in self.common for path in _paths(self.stored[key])])
        found = {self._renamed(key): value for key, value in self._leaves(loaded.get)}
        return {
            key: as_tensor(found[key]) if isinstance(self.state[key], torch.Tensor) else found[key]
            for key in self.common
        }

    def contradictions(self, values: Mapping[str, Any], ties: Mapping[str, Alias], assign: bool) -> Iterator[str]:
        """Ties of the module that the file's bytes deny, ties of the file across devices."""
        for tie in self.ties.values():
            if tie.path in values and tie.target in values:
                target, again = values[tie.target], values[tie.path]
                if not _same_bytes(target if tie.perm is None else target.permute(tie.perm), again):
                    names = f"{tie.path!r} and {tie.target!r}"
                    yield f"tie         {names}: one tensor in the module, different bytes in the file"
        for tie in ties.values():
            devices = [self.state[key].device for key in (tie.path, tie.target)]
            if devices[0] != devices[1] and not assign:
                names = f"{tie.path!r} and {tie.target!r}"
                yield f"tie         {names}: one tensor in the file, on {devices[0]} and {devices[1]} in the module"


def _is_gradient(key: str, entry: Any) -> bool:
    return key.startswith("grad.") and isinstance(entry, (TensorInfo, Alias)) and entry.role == "gradient"


def _joined(tree: Mapping[Any, Any], expected: Container[str], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves by flat key. A container stays whole where the module expects one: extra state."""
    for name, item in tree.items():
        key = f"{prefix}{name}"
        if isinstance(item, dict) and key not in expected:
            yield from _joined(item, expected, f"{key}.")
        else:
            yield key, item


def _paths(item: Any) -> Iterator[str]:
    """Paths of the entries in a container of entries."""
    if isinstance(item, (dict, list, tuple)):
        for inner in item.values() if isinstance(item, dict) else item:
            yield from _paths(inner)
    else:
        yield item.path


def _differences(name: str, stored: tuple[tuple[int, ...], str], value: torch.Tensor, assign: bool) -> Iterator[str]:
    shape, dtype = stored
    if shape != stored_shape(value):
        yield f"shape       {name!r}: {shape} in the file, {stored_shape(value)} in the module"
    if DTYPES.get(dtype) != value.dtype and not (assign and dtype in DTYPES):
        yield f"dtype       {name!r}: {dtype} in the file, {_name(value.dtype)} in the module"


def _shown(reader: Reader, item: Any) -> str:
    if isinstance(item, torch.Tensor):
        return f"{_name(item.dtype)} {'uninitialised' if nn.parameter.is_lazy(item) else tuple(item.shape)}"
    if isinstance(item, (TensorInfo, Alias)):
        stored = shape_and_dtype(reader, item)
        assert stored is not None
        return f"{stored[1]} {stored[0]}"
    return "the value " + repr(item.value)[:40] if isinstance(item, Value) else f"a {type(item).__name__}"


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _ties(tensors: Mapping[str, torch.Tensor]) -> dict[str, Alias]:
    """Ties in memory, and of one object that has none (on the meta device, uninitialised)."""
    found = ties.find(((key, tensor) for key, tensor in tensors.items() if fault(tensor) is None), copy_overlaps=True)
    firsts: dict[int, str] = {}
    for key, tensor in tensors.items():
        if fault(tensor) is not None and firsts.setdefault(id(tensor), key) != key:
            found[key] = Alias(key, firsts[id(tensor)])
    return found


def _same_bytes(a: torch.Tensor, b: torch.Tensor) -> bool:
    if a.dtype != b.dtype or a.shape != b.shape:
        return False
    first, second = (np.ascontiguousarray(to_array(tensor)).view(np.uint8) for tensor in (a, b))
    return np.array_equal(first, second)


def _write(module: nn.Module, plan: _Plan, values: Mapping[str, Any], assign: bool) -> None:
    # A copy of the module's own state dict, for it carries the versions: from older ones load_state_dict migrates.
    state: Any = copy.copy(plan.state)
    if (held := plan.versions()) is not None:
        state._metadata = held
    for key in plan.missing:
        del state[key]
    state.update(values)
    flags = {key: plan.trainable(key) for key in plan.common if isinstance(plan.state[key], nn.Parameter)}
    for key, flag in flags.items():
        if assign and (flag is False or not _differentiable(values[key])):
            # torch gives this flag to the new Parameter, which may be of integers.
            plan.state[key].requires_grad_(False)
    module.load_state_dict(state, strict=False, assign=assign)
    for key, tensor in module.state_dict(keep_vars=True).items():
        if flags.get(key) is not None:
            tensor.requires_grad_(flags[key] and _differentiable(tensor))


def _differentiable(tensor: torch.Tensor) -> bool:
    return tensor.is_floating_point() or tensor.is_complex()


def _tie(module: nn.Module, ties: Iterable[Alias]) -> None:
    """Make each alias its target again: the same object where nothing speaks against it, else the same memory."""
    objects: dict[str, Any] = module.state_dict(keep_vars=True)
    places: dict[int, list[tuple[nn.Module, str]]] = {}
    for owner in module.modules():
        for name, tensor in [*owner._parameters.items(), *owner._buffers.items()]:
            places.setdefault(id(tensor), []).append((owner, name))
    peers: dict[tuple[str, tuple[int, ...] | None], list[Any]] = {}  # what could be one object, by root and perm
    for tie in ties:
        target, again = objects.get(tie.target), objects.get(tie.path)
        if not isinstance(target, torch.Tensor) or not isinstance(again, torch.Tensor):
            continue
        group = peers.setdefault((tie.target, tie.perm), [target] if tie.perm is None else [])
        same = next((peer for peer in group if _interchangeable(peer, again)), None)
        if same is None:
            again.data = target.data if tie.perm is None else target.data.permute(tie.perm)
            group.append(again)
        elif same is not again:
            moved = places.pop(id(again), [])
            for owner, name in moved:
                setattr(owner, name, same)  # not into `_parameters`: an LSTM keeps a list of its own
            places.setdefault(id(same), []).extend(moved)
            objects.update({key: same for key, tensor in objects.items() if tensor is again})


def _interchangeable(a: torch.Tensor, b: torch.Tensor) -> bool:
    return type(a) is type(b) and a.requires_grad == b.requires_grad


def _set_gradients(module: nn.Module, plan: _Plan, loaded: Mapping[str, Any], assign: bool) -> None:
    done: set[int] = set()
    for key, parameter in module.state_dict(keep_vars=True).items():
        if isinstance(parameter, nn.Parameter) and id(parameter) not in done:
            done.add(id(parameter))
            entry = plan.gradients.get(key)
            gradient = None if entry is None else loaded[entry.path].to(parameter.device)
            parameter.grad = gradient if gradient is None or assign else gradient.clone()
