"""Conversion of what is in memory: a torch module or state dict, linen variables.

The result passes through a temporary .ptf file, mapped: neither side is held twice.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias, Unpack

from ptformat.atomic import PathLike
from ptformat.columns import Header

from .content import MemorySource, Saving, Source
from .conventions import LINEN, TORCH
from .draft import Steering
from .execute import content_of
from .files import open_source, ptf
from .verbs import plan

Tree: TypeAlias = Any  # a module, or nested mappings of a framework's arrays


def torch_to_flax(
    source: Tree | PathLike,
    *,
    template: Tree | PathLike | None = None,
    **steering: Unpack[Steering],
) -> Any:
    """Linen variables from a torch module, a state dict, or a file of any supported kind.

    Args:
        source: A module (its classes decide the kinds), a state dict, or a path. It is not changed.
        template: Linen variables or a file whose structure the result gets, exactly.
        steering: The rules of `Steering`, as for `plan`.

    Returns:
        Nested dicts of jax arrays: `{"params": {"layers_0": {"kernel": (in, out), "bias": (out,)}}}`.

    Raises:
        ConversionError: With every problem at once.
        FormatError: For tensors that cannot be read; DTYPE for what JAX would narrow, such as int64 without x64.
        ImportError: When torch or flax is not installed.
    """
    import ptformat.flax

    made = _Made(source, template, _torch_source, _linen_source)
    with made.file("linen", steering) as path:
        return ptformat.flax.load_file(path)


def flax_to_torch(
    source: Tree | PathLike,
    *,
    template: Tree | PathLike | None = None,
    **steering: Unpack[Steering],
) -> Any:
    """A torch state dict from linen variables or a file of any supported kind.

    Args:
        source: Linen variables (dict or FrozenDict), or a path. They are not changed.
        template: A torch module, a state dict or a file whose structure the result gets, exactly; its ties too.
        steering: The rules of `Steering`, as for `plan`.

    Returns:
        A flat dict of tensors for `module.load_state_dict`; tied ones are one tensor under every name.

    Raises:
        ConversionError: With every problem at once.
        FormatError: For arrays that cannot be read.
        ImportError: When torch or flax is not installed.
    """
    import ptformat.torch

    made = _Made(source, template, _linen_source, _torch_source)
    with made.file("torch", steering) as path:
        return ptformat.torch.load_file(path)


class _Made:
    """A conversion whose result is a file for a moment."""

    def __init__(self, source: Tree, template: Tree, read: Any, read_template: Any) -> None:
        self.source, self.template, self.read, self.read_template = source, template, read, read_template

    @contextlib.contextmanager
    def file(self, to: str, steering: Steering) -> Iterator[Path]:
        with contextlib.ExitStack() as stack:
            source: Source = stack.enter_context(contextlib.closing(_open(self.source, self.read)))
            template = None
            if self.template is not None:
                template = stack.enter_context(contextlib.closing(_open(self.template, self.read_template)))
            made = plan(source, to=to, template=template, **steering)
            # What is mapped stays readable when the file's name is gone (where it cannot go, the folder stays).
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="ptformat-", ignore_cleanup_errors=True))
            path = Path(folder) / "converted.ptf"
            ptf.write(content_of(made, source, recorded=False), path, Saving(durable=False))
            yield path


def _open(tree: Tree | PathLike, read: Any) -> Source:
    opened: Source = open_source(tree) if isinstance(tree, (str, os.PathLike)) else read(tree)
    return opened


def _torch_source(tree: Tree) -> Source:
    from ptformat.torch import modules

    return MemorySource(modules.entries_of(tree), Header(convention=TORCH.name), "the torch tree")


def _linen_source(tree: Tree) -> Source:
    from ptformat.flax import arrays

    return MemorySource(arrays.entries(tree), Header(convention=LINEN.name), "the linen tree")
