"""Flax, linen and nnx: variables and States, and the modules they belong to.

from ptformat.flax import load_model, save_model

save_model(model, variables, "model.ptf", example)  # linen
variables = load_model(model, "model.ptf", example)

save_model(model, "model.ptf")  # nnx
load_model(model, "model.ptf")
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Unpack, overload

from ..errors import MissingPackage

try:
    import flax  # noqa: F401
    import jax  # noqa: F401
except ModuleNotFoundError as error:
    raise MissingPackage("ptformat.flax needs jax and flax: pip install 'ptformat[flax]'", name=error.name) from error

from flax import linen as nn
from flax import nnx

from ..atomic import PathLike
from ..reader import Reader, read
from ..saving import Options, put, to_bytes
from ..writer import Writer
from . import arrays, modules, placing
from .placing import Kept, Loaded, Module
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


def load_file(
    path: PathLike,
    *,
    boxes: bool = False,
    verify: bool = False,
    mapped: bool = True,
    like: Any = None,
    types: Types = (),
) -> Any:
    """What was saved, with jax arrays on the default device.

    On CPU raw arrays lie in a private map of the file, without a copy. Tied arrays, and Variables, are one object.
    What was saved from a State is a State, and so is any tree whose root has the class `flax.nnx.State` in the file;
    from a module, a dict of its Variables.

    Args:
        path: The .ptf file.
        boxes: Put `nn.Partitioned` and `nn.LogicallyPartitioned` boxes on again, with their names; no others can be.
        verify: Check the checksums of raw arrays too.
        mapped: Map the file rather than read it: see `ptformat.open`.
        like: A pytree, such as a TrainState or optax state: give back its types, by `restore`. Without it namedtuples
            are `ptformat.Record`, dataclasses dicts.
        types: Your own classes of Variables. One that is not among them becomes the nearest class of `flax.nnx`.

    Raises:
        FormatError: The first rule the file breaks; DTYPE with every array that JAX would narrow, such as int64 where
            x64 is not enabled; MISMATCH as `restore`.
        OSError: When it cannot be read.
    """
    return _tree(read(path, verify=verify, mapped=mapped, private=True), boxes, like, types)


def load(data: bytes, *, boxes: bool = False, verify: bool = False, like: Any = None, types: Types = ()) -> Any:
    """`load_file` of a file's bytes."""
    return _tree(Reader(bytearray(data), verify=verify), boxes, like, types)


def _tree(reader: Reader, boxes: bool, like: Any, types: Types) -> Any:
    found = arrays.tree(reader, boxes=boxes and like is None, types=types if like is None else None)
    return found if like is None else restore(found, like)


@overload
def save_model(
    module: nn.Module,
    variables: Any,
    path: PathLike,
    *inputs: Any,
    kwargs: Mapping[str, Any] | None = None,
    rngs: Any = None,
    **options: Unpack[Options],
) -> None: ...
@overload
def save_model(
    module: nnx.Pytree, path: PathLike, *, rng_state: Kept = "keep", cache: Kept = "keep", **options: Unpack[Options]
) -> None: ...
def save_model(module: Any, *args: Any, **options: Any) -> None:
    """Save a module's variables, and with them what each submodule is.

    linen: `save_model(module, variables, path, *inputs)`; nnx: `save_model(module, path)`.

    Recorded of each submodule that holds something: its class and, where that is known exactly, its neutral kind and
    attributes; and the axes of its leaves. linen: at `params.<path>`, and the axes in `batch_stats` too. What stands
    where is found by running the module on shapes alone. nnx: at the paths of `nnx.state`, integer keys as integers; a
    Variable or submodule that is at further places is there an alias.

    Args:
        module: The linen module, not bound, or the nnx module, or another nnx object with Variables (an Optimizer).
        args: linen: its variables, as `save_file` takes them, not changed; the file to write, replaced in one step;
            and example inputs of the call: arrays, or `jax.ShapeDtypeStruct`; what is no array is passed as it is.
            nnx: the file to write.
        options: The keyword options of `ptformat.Writer`. linen: `kwargs`, the keyword arguments of the call, passed
            as they are, such as `{"train": False}`, and `rngs`, PRNG keys, where the call needs them. nnx: `rng_state`
            and `cache`, whether Variables of RngState (RngKey, RngCount) and of Cache are kept or dropped:
            `"keep"` (the default) or `"drop"`.

    Raises:
        FormatError: As `save_file`.
        flax.errors.FlaxError: From flax, where the variables are not the linen module's.
        OSError: From the file system; the file that was there before is whole.
    """
    save = placing.save_model if isinstance(module, nnx.Pytree) else modules.save_model
    save(module, *args, **options)


@overload
def load_model(
    module: nn.Module, path: PathLike, *inputs: Any, verify: bool = False, mapped: bool = True, **init_kwargs: Any
) -> Any: ...
@overload
def load_model(
    module: Module,
    path: PathLike,
    *,
    rng_state: Loaded = "load",
    cache: Loaded = "load",
    verify: bool = False,
    mapped: bool = True,
) -> Module: ...
def load_model(
    module: Any, path: PathLike, *inputs: Any, verify: bool = False, mapped: bool = True, **kwargs: Any
) -> Any:
    """The variables of a file in a linen module's structure, boxes included; or an nnx module with them.

    linen: `load_model(module, path, *inputs)` returns variables; nothing is initialised, for shapes and element types
    come from `jax.eval_shape`. nnx: `load_model(module, path)` changes the module and returns it; of an abstract one,
    as `nnx.eval_shape` gives it, it returns a concrete one and leaves it as it is. A Variable that is shared stays so.

    Args:
        module: The linen module, not bound, or the nnx module or other object.
        path: The .ptf file.
        inputs: linen: example inputs of `init`: arrays, or `jax.ShapeDtypeStruct`; what is no array is passed as it is.
        verify: Check the checksums of raw arrays too.
        mapped: Map the file rather than read it: see `ptformat.open`.
        kwargs: linen: keyword arguments of `init`, passed as they are, such as `train=False`. nnx: `rng_state` and
            `cache`, where the values of Variables of RngState (RngKey, RngCount) and of Cache come from: `"load"` (the
            default) takes them from the file, which must have them; `"keep"` leaves those of the module, whether the
            file has any or not.

    Returns:
        linen: variables of jax arrays; nnx: the module. On CPU the arrays lie in the map of the file without a copy.

    Raises:
        FormatError: MISMATCH with all problems: missing, unexpected (extra collections too), shape, dtype, generator of
            PRNG keys, tie; nothing of an nnx module has changed then. As `load_file`.
        OSError: When it cannot be read.
    """
    load = placing.load_model if isinstance(module, nnx.Pytree) else modules.load_model
    return load(module, path, *inputs, verify=verify, mapped=mapped, **kwargs)
