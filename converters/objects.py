"""Any live object as a source: torch modules and state dicts, linen variables, nnx modules and States, abstract too.

A framework is imported only when an object of its own is given.
"""

from __future__ import annotations

import contextlib
import difflib
import importlib
import os
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from ptformat import containers
from ptformat.attrs import class_name
from ptformat.columns import Header
from ptformat.errors import FormatError

from .content import Source
from .described import DescribedSource
from .files import open_source

TORCH, LINEN, NNX = "torch", "flax.linen", "flax.nnx"
SHORT = {"linen": LINEN, "nnx": NNX}
"""What users call a convention -> its name in a file."""

# Enough of a class' names to know whose it is; beneath the others of torch's (dtypes, devices) is nothing to read.
_TORCHS = ("torch.nn.modules.module.Module", "torch.Tensor")
_TAKEN = (
    "a torch module or state dict, linen variables, a tuple of a linen module and its example inputs, an nnx module or "
    "State, containers of arrays or their shapes, or a path"
)


def source_of(thing: Any, name: str | None = None, *, convention: str | None = None) -> Source:
    """A live object, or the file of a path, as a source for plans and conversions.

    Entries and header are those that saving the object and opening the file would give. A tensor without elements (on
    torch's meta device, a `jax.ShapeDtypeStruct`) has an entry all the same; the source's `has_elements(path)` says
    which have some, and `array(path)` of the others raises.

    Args:
        thing: A torch module, state dict or other containers of tensors; linen variables, as arrays or as
            `jax.eval_shape(module.init, …)` gives them, boxes taken off; a tuple (linen module, tuple of example
            inputs), with a dict of keyword arguments behind them where the call needs some, and the variables before
            them where there are any; an nnx module or State, abstract too, or its pure dict; nested NumPy arrays; a
            path; a `Source`, which is given back.
        name: What it is called in messages; by default its class.
        convention: Whose names they are, where the object does not tell: `torch`, `linen`, `nnx`.

    Raises:
        FormatError: TYPE for an object of another kind, and with every leaf that no file could hold, such as an
            uninitialised parameter. As `open_source`, of a path.
        ImportError: When the object's framework is not installed as ptformat needs it.
        OSError: When a file cannot be read.
    """
    if isinstance(thing, (str, os.PathLike)):
        return open_source(thing)
    asked = SHORT.get(convention or "", convention)
    whose = _framework(thing)
    if whose is None and _is_source(thing):
        held: Source = thing
        return held
    named = name or f"the {type(thing).__name__}"
    if whose == "torch":
        from ptformat.torch import modules

        header = Header(convention=asked or TORCH, metadata=modules.metadata_of(thing))
        return DescribedSource(modules.entries_of(thing, shapes=True), header, named)
    if whose == "flax" or (_is_container(thing) and asked in SHORT.values()):
        from ptformat.flax import live

        items, found = live.entries_of(thing)
        return DescribedSource(items, Header(convention=asked or found), named)
    if not _is_container(thing):
        raise FormatError("TYPE", f"a {class_name(thing)} is no source, expected {_TAKEN}")
    return DescribedSource(containers.flatten(thing), Header(convention=asked), named)


def resolve(target: str) -> Any:
    """What `package.module:name` stands for; the current directory is importable, as with `python -m`.

    A function or class is called without arguments; a module of torch or Flax, or a tree, is taken as it is.

    Args:
        target: The module, a colon, and the name in it, with dots where it is an attribute of an attribute.

    Returns:
        An object that `source_of` takes.

    Raises:
        FormatError: TYPE for a target of another form, when the module or name is not there, when importing or calling
            raises, with the exception, or when what comes of it is nothing that `source_of` takes.
    """
    place, colon, dotted = target.partition(":")
    if not (place and colon and dotted):
        raise FormatError("TYPE", f"{target!r}, expected package.module:name")
    with _importable(os.getcwd()):
        found = _attribute(_imported(place, target), place, dotted, target)
        if isinstance(found, type) or (callable(found) and not _is_taken(found)):
            try:
                found = found()
            except (Exception, SystemExit) as error:
                raise FormatError("TYPE", f"{target}: calling it raised {_shown(error)}") from error
    if not _is_taken(found):
        raise FormatError("TYPE", f"{target} is a {class_name(found)}, expected {_TAKEN}")
    return found


def _framework(thing: Any) -> str | None:
    """`torch` or `flax`: whose object it is, or whose the first such object in a container is."""
    waiting = [thing]
    seen: dict[int, Any] = {}
    while waiting:
        item = waiting.pop()
        if id(item) in seen:
            continue
        if whose := _owner(item):
            return whose
        if _is_container(item):
            seen[id(item)] = item
            waiting += reversed(list(item.values()) if isinstance(item, Mapping) else item)
    return None


def _owner(thing: Any) -> str | None:
    """`torch` or `flax` of an object by itself, by the names of its classes: nothing is imported."""
    if isinstance(thing, type):
        return None
    if isinstance(thing, Mapping) and hasattr(thing, "_metadata"):  # a state dict, which may be empty
        return "torch"
    for kind in type(thing).__mro__:
        top = kind.__module__.partition(".")[0]
        if top == "torch" and f"{kind.__module__}.{kind.__qualname__}" in _TORCHS:
            return "torch"
        if top == "flax" or (top in ("jax", "jaxlib") and hasattr(thing, "shape") and hasattr(thing, "dtype")):
            return "flax"
    return "flax" if hasattr(type(thing), "_flax_dataclass") else None


def _is_container(thing: Any) -> bool:
    return isinstance(thing, (Mapping, list, tuple))


def _is_source(thing: Any) -> bool:
    return all(hasattr(thing, name) for name in ("entries", "header", "array", "pieces"))


def _is_taken(thing: Any) -> bool:
    taken = isinstance(thing, (str, os.PathLike)) or _is_container(thing) or _is_source(thing)
    return taken or _owner(thing) is not None


@contextlib.contextmanager
def _importable(folder: str) -> Iterator[None]:
    """Look for modules in a folder first."""
    sys.path.insert(0, folder)
    importlib.invalidate_caches()
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):
            sys.path.remove(folder)


def _imported(place: str, target: str) -> Any:
    try:
        return importlib.import_module(place)
    except ModuleNotFoundError as error:
        if error.name and f"{place}.".startswith(f"{error.name}."):
            raise FormatError("TYPE", f"{target}: there is no module {error.name!r}") from error
        raise FormatError("TYPE", f"{target}: importing {place} raised {_shown(error)}") from error
    except (Exception, SystemExit) as error:
        raise FormatError("TYPE", f"{target}: importing {place} raised {_shown(error)}") from error


def _attribute(module: Any, place: str, dotted: str, target: str) -> Any:
    found, where = module, place
    for name in dotted.split("."):
        try:
            found = getattr(found, name)
        except AttributeError as error:
            near = difflib.get_close_matches(name, [each for each in dir(found) if not each.startswith("_")], n=3)
            hint = f"; nearest: {', '.join(near)}" if near else ""
            raise FormatError("TYPE", f"{target}: {where} has no {name!r}{hint}") from error
        where += f".{name}"
    return found


def _shown(error: BaseException) -> str:
    first = str(error).strip().split("\n")[0]
    return f"{type(error).__name__}: {first}" if first else type(error).__name__
