"""Conversion of what is in memory: a torch module or state dict, linen variables, an nnx module or State.

The result passes through a temporary .ptf file, mapped: neither side is held twice.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias, Unpack

from ptformat.atomic import PathLike
from ptformat.errors import FormatError

from .content import Saving, Source, whole
from .conventions import BY_RECORDED, CONVENTIONS, LINEN, NNX
from .draft import Steering
from .execute import content_of
from .files import ptf
from .infer import convention_of
from .objects import source_of
from .verbs import plan

Tree: TypeAlias = Any  # a module, or nested mappings of a framework's arrays


def torch_to_flax(
    source: Tree | PathLike,
    *,
    to: str | None = None,
    template: Tree | PathLike | None = None,
    **steering: Unpack[Steering],
) -> Any:
    """Linen variables or an nnx State from a torch module, a state dict, or a file of any supported kind.

    Args:
        source: A module (its classes decide the kinds), a state dict, or a path. It is not changed.
        to: `linen` or `nnx`; without it the template's, else `linen`.
        template: What structure the result gets, exactly: linen variables, arrays or shapes (`jax.eval_shape`); a
            tuple (linen module, its inputs); an nnx module or State, abstract too; or a file.
        steering: The rules of `Steering`, as for `plan`.

    Returns:
        linen: nested dicts of jax arrays: `{"params": {"layers_0": {"kernel": (in, out), "bias": (out,)}}}`. nnx: a
        State for `nnx.update(module, state)`; with a live template also for `nnx.merge(graphdef, state)`, for a shared
        Variable then stands at its first path alone.

    Raises:
        ConversionError: With every problem at once.
        FormatError: For tensors that cannot be read; DTYPE for what JAX would narrow, such as int64 without x64.
        ImportError: When torch or flax is not installed.
    """
    import ptformat.flax
    from ptformat.flax import states

    with _converted(source, "torch", template, to, "linen", steering) as path:
        made = ptformat.flax.load_file(path)
    live = template is not None and not isinstance(template, (str, os.PathLike))
    return states.once(made) if live else made


def flax_to_torch(
    source: Tree | PathLike,
    *,
    template: Tree | PathLike | None = None,
    **steering: Unpack[Steering],
) -> Any:
    """A torch state dict from linen variables, an nnx module or State, or a file of any supported kind.

    Args:
        source: Linen variables (dict or FrozenDict), an nnx module or State, or a path. They are not changed.
        template: A torch module (on the meta device too), a state dict or a file whose structure the result gets,
            exactly; its ties too.
        steering: The rules of `Steering`, as for `plan`.

    Returns:
        A flat dict of tensors for `module.load_state_dict`; tied ones are one tensor under every name.

    Raises:
        ConversionError: With every problem at once.
        FormatError: For arrays that cannot be read.
        ImportError: When torch or flax is not installed.
    """
    import ptformat.torch

    with _converted(source, "linen", template, "torch", "torch", steering) as path:
        return ptformat.torch.load_file(path)


def load_into(target: Tree, source: Tree | PathLike, **steering: Unpack[Steering]) -> Any:
    """Load any source into a live model of any framework, converting on the way where the framework is another.

    Everything is checked before anything is written: the model is left as it was when something is wrong. What is tied
    in the model stays tied.

    Args:
        target: A torch module, which is changed; an nnx module, which is changed; linen variables, which are not.
        source: A file of any supported kind, or a live object as `source_of` takes it.
        steering: The rules of `Steering`, as for `plan`; only for a conversion.

    Returns:
        The torch or nnx module, or new linen variables.

    Raises:
        ConversionError: With every problem at once.
        FormatError: When a file cannot be understood; MISMATCH where the tensors do not fit the model.
        OSError: When it cannot be read.
    """
    with contextlib.closing(source_of(target)) as model:
        whose = BY_RECORDED.get(model.header.convention or "")
        if whose is None:
            raise FormatError("TYPE", f"{model.name} is no torch module, nnx module or linen variables")
        goal = next(name for name, table in CONVENTIONS.items() if table is whose)
        with _converted(source, None, target, goal, goal, steering) as path:
            if goal == "torch":
                import ptformat.torch

                ptformat.torch.load_model(target, path)
                return target
            import ptformat.flax

            if goal == "nnx":
                return ptformat.flax.load_model(target, path)
            return ptformat.flax.load_file(path, like=target)


@contextlib.contextmanager
def _converted(
    source: Tree | PathLike, origin: str | None, template: Tree | None, to: str | None, usual: str, steering: Steering
) -> Iterator[Path]:
    """A conversion whose result is a file for a moment."""
    with contextlib.ExitStack() as stack:
        held: Source = stack.enter_context(contextlib.closing(_opened(source, steering.get("origin") or origin)))
        model = None
        if template is not None:
            model = stack.enter_context(contextlib.closing(_opened(template, to or usual)))
        goal = to or _goal(model, usual)
        # What is mapped stays readable when the file's name is gone (where it cannot go, the folder stays).
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="ptformat-", ignore_cleanup_errors=True))
        path = Path(folder) / "converted.ptf"
        if origin is None and convention_of(held.entries, CONVENTIONS, held.header.convention) == goal:
            content = whole(held)
        else:
            made = plan(held, to=goal, template=model, **steering)
            content = content_of(made, held, recorded=False, template=model)
        ptf.write(content, path, Saving(durable=False))
        yield path


def _opened(tree: Tree, usual: str | None) -> Source:
    """A tree as a source; containers that do not say whose they are have the usual convention."""
    held = source_of(tree)
    if held.header.convention is None and isinstance(tree, Mapping) and usual is not None:
        return source_of(tree, convention=usual)
    return held


def _goal(model: Source | None, usual: str) -> str:
    recorded = None if model is None else model.header.convention
    return {LINEN.name: "linen", NNX.name: "nnx"}.get(recorded or "", usual)
