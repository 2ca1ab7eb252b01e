"""A file checked against what a module expects, before anything of it is taken."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax

from ..reader import Reader
from ..tree import Alias, TensorInfo, Value


def described(path: str, leaf: Any) -> TensorInfo:
    """What a file says of a leaf with shape and element type: typed PRNG keys are stored as their uint32 data."""
    if not jax.numpy.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return TensorInfo(path, str(leaf.dtype), tuple(leaf.shape))
    impl: list[str] = []

    def data_of(keys: jax.Array) -> jax.Array:
        impl.append(str(jax.random.key_impl(keys)))  # which takes no ShapeDtypeStruct
        return jax.random.key_data(keys)

    data = jax.eval_shape(data_of, leaf)
    return TensorInfo(path, str(data.dtype), data.shape, attrs={"impl": impl[0]})


def headline(reader: Reader, module: object, convention: str) -> str:
    """The first line of the error when a file does not fit a module."""
    head = f"{reader.name} does not fit {type(module).__name__}"
    if reader.convention not in (None, convention):
        head += f"; its convention is {reader.convention}, not {convention}: convert it first"
    return head


def misfits(
    reader: Reader,
    expected: Mapping[str, TensorInfo | Value],
    tied: Mapping[str, str] | None = None,
    ignored: Callable[[str], bool] = lambda path: False,
) -> Iterator[str]:
    """Every problem, one line each: missing, type, shape, dtype, keys, tie, unexpected.

    Args:
        reader: The file.
        expected: Path -> what the module has there.
        tied: Path -> an expected one that is the same in the module. The file may lack it.
        ignored: Whether a path of the file is left aside.
    """
    for path, wanted in expected.items():
        if path not in reader:
            yield f"missing     {path!r}: {_shown(wanted)} in the module, not in the file"
            continue
        found = stored(reader, path)
        if isinstance(found, Value) or isinstance(wanted, Value):
            if not (isinstance(found, Value) and isinstance(wanted, Value) and type(found.value) is type(wanted.value)):
                yield f"type        {path!r}: {_shown(found)} in the file, {_shown(wanted)} in the module"
            continue
        if found.shape != wanted.shape:
            yield f"shape       {path!r}: {found.shape} in the file, {wanted.shape} in the module"
        if found.dtype != wanted.dtype:
            yield f"dtype       {path!r}: {found.dtype} in the file, {wanted.dtype} in the module"
        elif _impl(found) != _impl(wanted):
            here, there = (_impl(info) or "none" for info in (found, wanted))
            yield f"keys        {path!r}: generator {here} in the file, {there} in the module"
    for path, first in (tied or {}).items():
        if path in reader and first in reader and not _same(reader, path, first):
            yield f"tie         {path!r}: apart from {first!r} in the file, one with it in the module"
    for path in reader:
        if path not in expected and path not in (tied or {}) and not ignored(path):
            yield f"unexpected  {path!r}: {_shown(stored(reader, path))} in the file, not in the module"


def _shown(entry: TensorInfo | Value) -> str:
    return f"the value {entry.value!r:.40}" if isinstance(entry, Value) else f"{entry.dtype} {entry.shape}"


def _impl(info: TensorInfo) -> str | None:
    impl: str | None = (info.attrs or {}).get("impl")
    return impl


def _same(reader: Reader, path: str, first: str) -> bool:
    """Whether both paths are one tensor, in the same order of axes."""
    places = []
    for entry in (reader.info(path), reader.info(first)):
        places.append((entry.target, entry.perm) if isinstance(entry, Alias) else (entry.path, None))
    return places[0] == places[1]


def stored(reader: Reader, path: str) -> TensorInfo | Value:
    """The tensor behind a path, an alias' in its own shape, or the value."""
    entry = reader.info(path)
    if isinstance(entry, Alias):
        target = reader.info(entry.target)
        assert isinstance(target, TensorInfo)  # the index check refuses anything else
        shape = target.shape if entry.perm is None else tuple(target.shape[i] for i in entry.perm)
        return TensorInfo(path, target.dtype, shape, class_=target.class_, attrs=target.attrs)
    assert isinstance(entry, (TensorInfo, Value))
    return entry
