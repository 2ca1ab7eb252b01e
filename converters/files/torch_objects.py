"""What torch's pickles speak of, without torch: storages, tensors over them, and the globals that make these.

From torch/_utils.py (`_rebuild_*`) and torch/storage.py. Nothing but what stands in the tables here is made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ptformat import dtypes
from ptformat.bands import bands, byte_pieces
from ptformat.dtypes import BY_NAME, Array
from ptformat.errors import FormatError
from ptformat.limits import MAX_INTEGER, MAX_PATH_BYTES, MAX_RANK
from ptformat.tree import TensorInfo

from ..content import Pieces, check_shape
from .pickles import Made, fill
from .spool import gather

# torch's class of a storage -> our element type.
STORAGES = {
    "BoolStorage": "bool",
    "ByteStorage": "uint8",
    "CharStorage": "int8",
    "ShortStorage": "int16",
    "IntStorage": "int32",
    "LongStorage": "int64",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "FloatStorage": "float32",
    "DoubleStorage": "float64",
    "ComplexFloatStorage": "complex64",
    "ComplexDoubleStorage": "complex128",
    "UntypedStorage": "uint8",
}
# Types that a tensor over an UntypedStorage names itself, as `torch.uint16`.
UNTYPED = (
    *("uint16", "uint32", "uint64"),
    *("float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz", "float8_e8m0fnu"),
)
_QUANTISED = "a quantised tensor; save its `int_repr()`, scale and zero point"
# Globals that are tensors, but of a kind that no file holds -> what they are, and what to do.
REFUSED = {
    "torch._utils._rebuild_qtensor": _QUANTISED,
    **{f"torch.{name}Storage": _QUANTISED for name in ("QInt8", "QUInt8", "QInt32", "QUInt4x2", "QUInt2x4")},
    "torch._utils._rebuild_sparse_tensor": "a sparse tensor; save its `to_dense()` or its parts",
    "torch._utils._rebuild_nested_tensor": "a nested tensor; save its `unbind()`",
    "torch._utils._rebuild_meta_tensor_no_storage": "a tensor on the meta device, without elements",
    "torch._utils._rebuild_parameter_with_state": "a parameter with attributes of its own; save its `data`",
    "torch._tensor._rebuild_from_type_v2": "a tensor of a class or with attributes of its own; save its `data`",
}


@dataclass(slots=True, eq=False)
class Storage:
    """Memory that tensors lie in.

    Attributes:
        key: What the file calls it.
        dtype: The type it was saved as.
        nbytes: Of its elements.
        memory: Gives its bytes, as uint8; set when the file says where they are.
        big: Whether its numbers are big-endian.
        inflated: Whether its bytes are inflated anew whenever they are asked for.
    """

    key: str
    dtype: str
    nbytes: int
    memory: Callable[[], Array] | None = None
    big: bool = False
    inflated: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """A part of a storage that stands for a storage (old files have these)."""

    storage: Storage
    dtype: str
    start: int


@dataclass(frozen=True, slots=True, eq=False)
class Tensor:
    """A tensor as the pickle has it; `start` in bytes, `strides` in elements."""

    storage: Storage
    dtype: str
    start: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def axes(self) -> list[tuple[int, int]]:
        """Size and stride of each axis; where the size is 1 the stride says nothing."""
        return [(n, 0 if n == 1 else stride) for n, stride in zip(self.shape, self.strides, strict=True)]

    @property
    def span(self) -> tuple[int, int]:
        """First byte in its storage, and the end of the last; of a tensor with elements."""
        last = sum((n - 1) * stride for n, stride in self.axes)
        return self.start, self.start + (last + 1) * BY_NAME[self.dtype].numpy.itemsize

    @property
    def identity(self) -> tuple[Any, ...]:
        """Equal for two tensors that are one, up to the order of the axes (spec section 3.4)."""
        return id(self.storage), self.start, self.dtype, tuple(sorted(self.axes))

    def permutation(self, target: Tensor) -> tuple[int, ...] | None:
        """The `perm` with self.shape[i] = target.shape[perm[i]] of two tied tensors; None for the identity."""
        free = dict(enumerate(target.axes))
        perm = []
        for i, axis in enumerate(self.axes):
            # Its own position first, so that the identity is found where two axes look alike.
            axis_of = i if free.get(i) == axis else next(j for j, other in free.items() if other == axis)
            del free[axis_of]
            perm.append(axis_of)
        return None if perm == sorted(perm) else tuple(perm)

    def check(self, path: str) -> TensorInfo:
        """What the tree says of it: SHAPE where it is too large, EXTENT where it reaches beyond its storage."""
        info = TensorInfo(path, self.dtype, self.shape)
        check_shape(info)
        end = self.span[1] if info.count else 0
        if end > self.storage.nbytes:
            what = f"needs {end} bytes of storage {self.storage.key!r}, which has {self.storage.nbytes}"
            raise FormatError("EXTENT", f"tensor {path!r}: {self.dtype} {self.shape} {what}", path=path)
        return info

    def _view(self) -> Array:
        """Its elements where they lie; big-endian ones that NumPy has no type for as integers."""
        dtype = BY_NAME[self.dtype].numpy
        if self.storage.big:
            dtype = (np.dtype(f"u{dtype.itemsize}") if dtype.isbuiltin == 2 else dtype).newbyteorder(">")
        if 0 in self.shape:
            return np.empty(self.shape, dtype)
        assert self.storage.memory is not None
        steps = tuple(stride * dtype.itemsize for _, stride in self.axes)
        # Not `self.strides`: that of an axis of size 1 may be any number.
        return np.ndarray(self.shape, dtype, self.storage.memory(), self.start, steps)

    def array(self) -> Array:
        """Its elements: a view of the storage; big-endian ones gathered."""
        dtype = BY_NAME[self.dtype]
        if not self.storage.big:
            view = self._view()
            view.flags.writeable = False
            return view
        info = TensorInfo("", self.dtype, self.shape)
        return dtypes.unpack(gather(self.pieces(), info.nbytes), dtype, self.shape)

    def pieces(self) -> Pieces:
        """Its bytes in logical order, little-endian."""
        view = self._view()
        if self.storage.big and BY_NAME[self.dtype].numpy.isbuiltin == 2:
            return (band.astype(band.dtype.newbyteorder("<")).view(np.uint8).data for band in bands(view))
        return byte_pieces(view, BY_NAME[self.dtype])


@dataclass(frozen=True, slots=True)
class StorageType:
    """A class of storages, such as `torch.FloatStorage`."""

    dtype: str


@dataclass(frozen=True, slots=True)
class ElementType:
    """A `torch.dtype`, which stands only where a tensor is made."""

    dtype: str


def find(module: str, name: str) -> Any:
    """What a global stands for.

    Raises:
        FormatError: TYPE, for everything but tensors and containers, with what to do about it.
    """
    full = f"{module}.{name}"
    if full in REFUSED:
        raise FormatError("TYPE", f"the file holds {REFUSED[full]} ({full})")
    if full in _FUNCTIONS:
        return _FUNCTIONS[full]
    if module in ("torch", "torch.storage", "torch.cuda") and name in STORAGES:
        return StorageType(STORAGES[name])
    if module == "torch" and name in (*STORAGES.values(), *UNTYPED):
        return ElementType(name)
    if module == "torch" and name.isidentifier() and name.startswith(("float4", "uint", "int", "q", "bits")):
        raise FormatError("DTYPE", f"the file holds torch.{name:.40}, which has no place in a file yet")
    what = "the file holds a pickled module or object, which only running its code could read"
    raise FormatError(
        "TYPE", f"{what} (global {full!r:.200}); load it with torch in a process you trust and save its state_dict()"
    )


def whole(*numbers: Any) -> tuple[int, ...]:
    """The numbers, which must be integers from 0 on that the format can hold."""
    if any(type(number) is not int or not 0 <= number <= MAX_INTEGER for number in numbers):
        raise FormatError("MALFORMED", "a storage or tensor whose sizes are no integers from 0 on")
    return numbers


def key_is_plain(key: Any) -> bool:
    """Whether a storage may be called so, here and in a message."""
    return type(key) is int or (type(key) is str and len(key) <= MAX_PATH_BYTES)


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any, dtype: str | None = None, facts: Any = None) -> Tensor:
    start = 0
    if type(storage) is View:
        start, held, storage = storage.start, storage.dtype, storage.storage
    elif type(storage) is Storage:
        held = storage.dtype
    else:
        raise FormatError("MALFORMED", "a tensor without a storage")
    if type(shape) is not tuple or type(strides) is not tuple or len(shape) != len(strides):
        raise FormatError("MALFORMED", "a tensor whose shape and strides do not match")
    if len(shape) > MAX_RANK:
        raise FormatError("SHAPE", f"a tensor of rank {len(shape)}, at most {MAX_RANK}")
    if facts is not None and facts != {}:
        marks = ", ".join(key for key in facts if facts[key]) if _are_marks(facts) else "facts of its own"
        if marks:
            raise FormatError("TYPE", f"a tensor with {marks} pending; save its `resolve_conj().resolve_neg()`")
    dtype = dtype or held
    start += whole(offset)[0] * BY_NAME[dtype].numpy.itemsize
    return Tensor(storage, dtype, start, whole(*shape), whole(*strides))


def _are_marks(facts: Any) -> bool:
    return type(facts) is dict and all(key in ("conj", "neg") and type(facts[key]) is bool for key in facts)


def _rebuild_tensor(storage: Any, offset: Any, shape: Any, strides: Any) -> Tensor:
    return _tensor(storage, offset, shape, strides)


def _rebuild_tensor_v2(
    storage: Any, offset: Any, shape: Any, strides: Any, trainable: Any, hooks: Any, facts: Any = None
) -> Tensor:
    return _tensor(storage, offset, shape, strides, None, facts)


def _rebuild_tensor_v3(
    storage: Any, offset: Any, shape: Any, strides: Any, trainable: Any, hooks: Any, dtype: Any, facts: Any = None
) -> Tensor:
    if type(dtype) is not ElementType:
        raise FormatError("MALFORMED", "a tensor whose element type is none")
    return _tensor(storage, offset, shape, strides, dtype.dtype, facts)


def _rebuild_parameter(data: Any, trainable: Any, hooks: Any) -> Tensor:
    if type(data) is not Tensor:
        raise FormatError("MALFORMED", "a parameter without a tensor")
    return data


def _ordered(items: Any = ()) -> dict[Any, Any]:
    made: dict[Any, Any] = {}
    fill(made, ((key, value) for key, value in items))
    return made


def _size(items: Any = ()) -> tuple[int, ...]:
    return whole(*items)


def _encoded(text: Any, encoding: Any) -> bytes:
    """Protocol 2's way to write bytes."""
    if type(text) is not str or encoding != "latin1":
        raise FormatError("MALFORMED", "bytes that are written as no latin1 text")
    return text.encode("latin1")


_FUNCTIONS: Mapping[str, Made] = {
    "torch._utils._rebuild_tensor": Made(_rebuild_tensor),
    "torch._utils._rebuild_tensor_v2": Made(_rebuild_tensor_v2),
    "torch._utils._rebuild_tensor_v3": Made(_rebuild_tensor_v3),
    "torch._utils._rebuild_parameter": Made(_rebuild_parameter),
    "collections.OrderedDict": Made(_ordered),
    "torch.Size": Made(_size),
    "_codecs.encode": Made(_encoded),
}
