"""A torch module as entries: its state dict, with what every submodule and tensor is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Unpack

import torch
from torch import nn

from .. import attrs, paths
from ..atomic import PathLike
from ..dtypes import Array
from ..errors import FormatError
from ..saving import Options, put
from ..tree import Alias, Entry, Node, TensorInfo
from ..writer import Writer
from . import tensors, versions, wrappers
from .kinds import kind_of

GRADIENTS = "grad"
"""The root beneath which gradients stand."""


def save_model(
    module: nn.Module,
    path: PathLike,
    *,
    gradients: bool = False,
    copy_overlaps: bool = False,
    **options: Unpack[Options],
) -> None:
    """Save a module's state dict, and with it what each submodule and tensor is.

    Recorded are: every submodule (a ReLU too) with its class and, where it is known exactly, its neutral kind and
    attributes; every tensor's role, axes and whether it is trainable; ties, such as a submodule that stands at two
    places; the versions of `state_dict()._metadata`. As in `state_dict()`, buffers that are not persistent are left
    out. Of what `torch.compile`, DataParallel or DistributedDataParallel made, the module inside is saved.

    Args:
        module: Any module; it is not changed.
        path: The file to write, replaced in one step.
        gradients: Save each parameter's `.grad` too, where it has one, beneath the root `grad`.
        copy_overlaps: Store tensors that share only some of their elements apart, rather than refuse them.
        options: The keyword options of `ptformat.Writer`.

    Raises:
        FormatError: As `save_file`, for extra state too; PATH, when gradients are asked for and the module has a
            `grad` of its own.
        OSError: From the file system; the file that was there before is whole.
    """
    found = entries(module, gradients=gradients, copy_overlaps=copy_overlaps)
    options.setdefault("convention", "torch")
    options["metadata"] = versions.stored(wrappers.inner(module).state_dict(), options.get("metadata"))
    with Writer(path, **options) as out:
        put(out, found)


def entries(
    module: nn.Module, *, gradients: bool = False, copy_overlaps: bool = False, shapes: bool = False
) -> Iterator[tuple[Entry, Array | None]]:
    """The entries of a module, with the array of each tensor: a flat root, parts, and the state dict's leaves.

    With `shapes` a tensor on the meta device passes, without an array.
    """
    module = wrappers.inner(module)
    state: dict[str, Any] = module.state_dict(keep_vars=True)
    leaves: dict[str, Any] = dict(state)
    modules = dict(module.named_modules(remove_duplicate=False))
    if gradients:
        _check_root(state, modules)
        held = {key: value.grad for key, value in state.items() if isinstance(value, nn.Parameter)}
        leaves |= {f"{GRADIENTS}.{key}": grad for key, grad in held.items() if grad is not None}
    found = tensors.entries(leaves, copy_overlaps=copy_overlaps, shapes=shapes)
    # A prefix that is itself a key of the state dict has no place of its own.
    parts = {name: paths.split_key(name, leaves) for name in modules if name and name not in leaves}
    return _annotated(_in_flat(found, leaves), modules, parts, _facts(module, modules, state, leaves))


def entries_of(tree: Any, *, shapes: bool = False) -> Iterator[tuple[Entry, Array | None]]:
    """The entries of a module, or of a state dict or other containers of tensors; `shapes` as `entries`."""
    return entries(tree, shapes=shapes) if isinstance(tree, nn.Module) else tensors.entries(tree, shapes=shapes)


def metadata_of(tree: Any) -> dict[str, Any]:
    """What a file's metadata says of a module or state dict: the versions of its layout."""
    return versions.stored(wrappers.inner(tree).state_dict() if isinstance(tree, nn.Module) else tree, None)


def _check_root(state: Mapping[str, Any], modules: Mapping[str, nn.Module]) -> None:
    taken = sorted({name for name in [*state, *modules] if name.split(".")[0] == GRADIENTS})
    if taken:
        what = f"{GRADIENTS!r} is where gradients go, but the module has {', '.join(map(repr, taken))} there"
        raise FormatError("PATH", what, path=GRADIENTS)


def _in_flat(
    found: Iterator[tuple[Entry, Array | None]], leaves: Mapping[str, Any]
) -> Iterator[tuple[Entry, Array | None]]:
    """The entries beneath the root as they stand in a flat map, also where no key holds a dot."""
    said: set[str] = set()
    for entry, array in found:
        if entry.path:
            top = paths.parse(entry.path)[0]
            if top in leaves and isinstance(leaves[top], Mapping) and top not in said:
                said.add(top)
                if not isinstance(entry, Node) or paths.parse(entry.path) != (top,):
                    yield Node(paths.render([top]), "map"), None
            yield entry, array


def _facts(
    module: nn.Module, modules: Mapping[str, nn.Module], state: Mapping[str, Any], leaves: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """Path -> axes, role and trainable of every tensor of the state dict, and of the gradients."""
    buffers = {id(buffer) for buffer in module.buffers()}
    split = paths.split_flat(leaves)
    facts: dict[str, dict[str, Any]] = {}
    known = _axes(modules)
    for key, value in state.items():
        if not isinstance(value, torch.Tensor):
            continue
        axes = known.get(key)
        said: dict[str, Any] = {"axes": axes if axes and len(axes) == value.ndim else None}
        if isinstance(value, nn.Parameter):
            said |= {"role": "parameter", "trainable": value.requires_grad}
        else:
            said |= {"role": "buffer" if id(value) in buffers else "state"}
        facts[paths.render(split[key])] = said
        if f"{GRADIENTS}.{key}" in leaves and isinstance(value, nn.Parameter):
            facts[paths.render(split[f"{GRADIENTS}.{key}"])] = {"axes": said["axes"], "role": "gradient"}
    return facts


def _axes(modules: Mapping[str, nn.Module]) -> dict[str, tuple[str, ...] | None]:
    """Key -> axes; a module's word goes before that of one within it."""
    known: dict[str, tuple[str, ...] | None] = {}
    for prefix, module in modules.items():
        kind = kind_of(module)
        for name, axes in kind.axes.items() if kind else ():
            known.setdefault(f"{prefix}.{name}" if prefix else name, axes)
    return known


def _annotated(
    found: Iterator[tuple[Entry, Array | None]],
    modules: Mapping[str, nn.Module],
    parts: Mapping[str, paths.Segments],
    facts: Mapping[str, dict[str, Any]],
) -> Iterator[tuple[Entry, Array | None]]:
    """The entries with their facts, and the modules' nodes among them: each before what is beneath it."""
    yield _node("", "flat", modules[""]), None
    # Both named_modules and state_dict go through the modules in pre-order, so one pass over the modules is enough.
    names = list(parts)
    rows = {segments: row for row, segments in enumerate(parts.values())}
    trainable: dict[str, bool | None] = {}
    done = 0
    for entry, array in found:
        segments = paths.parse(entry.path)
        owner = max((rows[segments[:n]] for n in range(1, len(segments) + 1) if segments[:n] in rows), default=-1)
        if facts.get(entry.path, {}).get("role") == "gradient":  # after everything else
            owner = len(names) - 1
        for name in names[done : owner + 1]:
            yield _node(paths.render(parts[name]), "part", modules[name]), None
        done = max(done, owner + 1)
        if isinstance(entry, (TensorInfo, Alias)):
            said = dict(facts.get(entry.path, {}))
            trainable[entry.path] = said.get("trainable")
            if isinstance(entry, Alias) and trainable[entry.path] is None and trainable.get(entry.target) is not None:
                said["trainable"] = False  # a buffer tied to a parameter does not inherit this
            entry = replace(entry, **said)
        yield entry, array
    for name in names[done:]:
        yield _node(paths.render(parts[name]), "part", modules[name]), None


def _node(path: str, form: str, module: nn.Module) -> Node:
    kind = kind_of(module)
    return Node(
        path,
        form,
        module=kind.name if kind else None,
        class_=attrs.class_name(module),
        attrs=attrs.of(module, kind.attrs) if kind else None,
    )
