"""The entries of whatever of Flax's is in memory, with or without elements: variables, States, modules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flax import linen as nn
from flax import nnx

from ..attrs import class_name
from ..errors import FormatError
from .arrays import LINEN, NNX, Entries, Facts, entries
from .modules import abstract_entries, described_entries
from .placing import described_entries as module_entries

_FORMS = "(module, (x,)), (module, (x,), {'train': False}) or (module, variables, (x,))"


def is_linen(thing: Any) -> bool:
    """Whether it is a linen module."""
    return isinstance(thing, nn.Module)


def entries_of(thing: Any) -> tuple[Entries, str]:
    """The entries that saving an object would write, and the convention of their names.

    Leaves without elements, as `jax.eval_shape` and `nnx.eval_shape` make them, come without an array.

    Args:
        thing: linen variables, an nnx State or pure dict, or other containers of them; an nnx module; a linen module
            that is bound; or a tuple of a linen module, its variables (else `module.init` is run on shapes alone), the
            tuple of its example inputs, and the dict of keyword arguments, where there are any.

    Raises:
        FormatError: TYPE for a linen module by itself, for a tuple in another order, and as `arrays.entries`.
    """
    if isinstance(thing, nnx.Pytree):
        return module_entries(thing, shapes=True), NNX
    if is_linen(thing):
        if thing.scope is None:
            what = (
                f"a linen {class_name(thing)} by itself has no variables; give it with its example inputs, as {_FORMS}"
            )
            raise FormatError("TYPE", what)
        thing = thing.variables
    if type(thing) is tuple and thing and is_linen(thing[0]):
        return _called(thing[0], list(thing[1:])), LINEN
    facts = Facts()
    return entries(thing, facts, shapes=True), facts.convention


def _called(module: nn.Module, rest: list[Any]) -> Entries:
    """The entries of a module that is given with what it is called on."""
    variables = rest.pop(0) if rest and isinstance(rest[0], Mapping) else None
    inputs = rest.pop(0) if rest and isinstance(rest[0], (tuple, list)) else None
    kwargs = rest.pop(0) if rest and isinstance(rest[0], Mapping) else {}
    if inputs is None or rest:
        what = f"a linen {class_name(module)} in a tuple of another form than {_FORMS}"
        raise FormatError("TYPE", what)
    if variables is None:
        return abstract_entries(module, tuple(inputs), kwargs)
    return described_entries(module, variables, tuple(inputs), kwargs, shapes=True)
