"""Flax, linen and nnx: variables and States, and the modules they belong to.

from ptformat.flax import load_model, save_model

save_model(model, variables, "model.ptf", example)
variables = load_model(model, "model.ptf", example)
"""

from __future__ import annotations

import os
from typing import Any, Unpack

try:
    import flax  # noqa: F401
    import jax  # noqa: F401
except ModuleNotFoundError as error:
    raise ImportError("ptformat.flax needs jax and flax: pip install 'ptformat[flax]'", name=error.name) from error

from ..atomic import PathLike
from ..reader import Reader, map_file
from ..writer import Options, Writer, put, to_bytes
from . import arrays
from .modules import load_model, save_model
from .restoring import restore
from .states import Types

__all__ = ["load", "load_file", "load_model", "restore", "save", "save_file", "save_model"]


def save_file(variables: Any, path: PathLike, **options: Unpack[Options]) -> None:
    """Save linen variables, an nnx State, or arrays and values in dicts, lists and tuples nested in any way.

    Boxes such as `nn.Partitioned` are taken off; their names are recorded, their mesh is not. A FrozenDict is recorded
    (the outermost one, beneath plain dicts). Roles follow from the collection: `params`, `batch_stats`. One NumPy
    array object at two places is tied; jax arrays never are, for a moving average may share them and is no tie.

    Of nnx Variables, in a State or anywhere, class, role (Param: `parameter`, BatchStat: `buffer`, others: `state`) and
    plain metadata are recorded; one Variable at two places is tied. Integer keys stay integers.

    Training states too: optax states are namedtuples; a flax dataclass such as a TrainState is saved as the map of its
    fields that are pytree nodes, with its class; typed PRNG keys as their data, with their generator.

    Args:
        variables: What to save: jax or NumPy arrays, Python numbers and the other values. A sharded array is gathered.
        path: The file to write, replaced in one step.
        options: The keyword options of `ptformat.Writer`.

    Raises:
        FormatError: TYPE with every leaf that a file cannot hold: tracers, deleted arrays, arrays on other hosts,
            Variables shared whose value is no array, foreign objects. DTYPE, PATH as `ptformat.save_file`.
        OSError: From the file system; the file that was there before is whole.
    """
    facts = arrays.Facts()
    found = arrays.entries(variables, facts)
    options.setdefault("convention", facts.convention)
    with Writer(path, **options) as out:
        put(out, found)


def save(variables: Any, **options: Unpack[Options]) -> bytes:
    """`save_file` into bytes."""
    facts = arrays.Facts()
    found = arrays.entries(variables, facts)
    options.setdefault("convention", facts.convention)
    return to_bytes(found, **options)


def load_file(path: PathLike, *, boxes: bool = False, verify: bool = False, like: Any = None, types: Types = ()) -> Any:
    """What was saved, with jax arrays on the default device.

    On CPU raw arrays lie in a private map of the file, without a copy. Tied arrays, and Variables, are one object.
    What was saved from a State is a State; from a module, a dict of its Variables.

    Args:
        path: The .ptf file.
        boxes: Put `nn.Partitioned` and `nn.LogicallyPartitioned` boxes on again, with their names; no others can be.
        verify: Check the checksums of mapped arrays too.
        like: A pytree, such as a TrainState or optax state: give back its types, by `restore`. Without it namedtuples
            are `ptformat.Record`, dataclasses dicts.
        types: Your own classes of Variables. One that is not among them becomes the nearest class of `flax.nnx`.

    Raises:
        FormatError: The first rule the file breaks; DTYPE with every array that JAX would narrow, such as int64 where
            x64 is not enabled; MISMATCH as `restore`.
        OSError: When it cannot be read.
    """
    reader = Reader(map_file(path, private=True), os.fspath(path), verify=verify)
    return _tree(reader, boxes, like, types)


def load(data: bytes, *, boxes: bool = False, verify: bool = False, like: Any = None, types: Types = ()) -> Any:
    """`load_file` of a file's bytes."""
    return _tree(Reader(bytearray(data), verify=verify), boxes, like, types)


def _tree(reader: Reader, boxes: bool, like: Any, types: Types) -> Any:
    found = arrays.tree(reader, boxes=boxes and like is None, types=types if like is None else None)
    return found if like is None else restore(found, like)
