"""Writing a file front to back: tensors as they come, then the index, then the trailer."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any, Protocol

import numpy as np

from . import dtypes, paths
from .atomic import AtomicFile, PathLike
from .bands import byte_pieces, regrouped
from .codecs import MODULES, PLANES, RAW, THREADS, ZSTD, choose, planes, zstd
from .columns import Header, columns_of
from .container import FLAG_ZSTD_INDEX, FRAME_BYTES, PREAMBLE, Checksum, Trailer, align, checksum
from .containers import numpy_array
from .dtypes import Array, DType
from .errors import FormatError
from .index import decode, encode
from .limits import CHUNK_STEP, DEFAULT_CHUNK_BYTES, MAX_CHUNK_BYTES, MAX_INDEX_BYTES, MAX_INDEX_RATIO
from .tree import FORMS, Alias, Entry, Node, TensorInfo, Value

Piece = Any  # anything with the buffer protocol
POOL_BYTES = 2**18  # a smaller tensor is compressed at once: handing it to a thread would cost more
BLOCK_BYTES = 2**18  # summed, and then written while they are in the cache of a core
CODECS = ("raw", "zstd", "planes", "auto")
_ENDED = "the writer is closed, or an error has ended it"


class Output(Protocol):
    """Where bytes go: an `AtomicFile`, or a buffer in memory."""

    def write(self, data: Any, /) -> Any:
        """Append all of them."""


class Writer:
    """Writes a .ptf file entry by entry; only the index and a few chunks are held in memory.

    Used as a context manager: the file appears, whole, when the block ends, and not at all when it raises.

        with Writer("model.ptf") as out:
            out.tensor("0.weight", array, axes=("out", "in"))
            out.alias("4.weight", "0.weight")

    Args:
        path: The file to write. It is replaced in one step.
        codec: `raw` keeps tensors mappable; `zstd` compresses each chunk that shrinks; `planes` also takes the bytes
            of elements apart, where they have several; `auto` tries both on the beginning of each tensor.
        chunk: Decoded bytes per chunk: a multiple of 64, at most 64 MiB.
        level: The level of codec zstd.
        convention: Whose names and layouts these are: `torch`, `flax.linen`, …
        dialect: A variant of the convention where names and shapes do not fix the values.
        metadata: Free facts, at most 1 MiB encoded.
        provenance: What a conversion recorded.
        durable: Whether file and name are on disk on return.

    Raises:
        FormatError: For what the format cannot hold, with the spec's code or TYPE.
        OSError: From the file system, with `path` as its file name.
    """

    def __init__(
        self,
        path: PathLike,
        *,
        codec: str = "raw",
        chunk: int = DEFAULT_CHUNK_BYTES,
        level: int = zstd.LEVEL,
        convention: str | None = None,
        dialect: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        provenance: Mapping[str, Any] | None = None,
        durable: bool = True,
        _output: Output | None = None,
    ) -> None:
        if codec not in CODECS:
            raise ValueError(f"codec {codec!r}, expected one of {', '.join(CODECS)}")
        if chunk <= 0 or chunk % CHUNK_STEP or chunk > MAX_CHUNK_BYTES:
            raise ValueError(f"chunk of {chunk} bytes, expected a multiple of {CHUNK_STEP} up to {MAX_CHUNK_BYTES}")
        self._header = Header(
            convention=convention,
            dialect=dialect,
            metadata=dict(metadata or {}),
            provenance=dict(provenance or {}),
        )
        self._codec = codec
        self._chunk = chunk
        self._level = level
        self._entries: list[Entry] = []
        self._rows: dict[str, int] = {}
        self._chunks: list[tuple[int, int, int]] = []  # codec, stored length, checksum
        self._position = 0
        self._pool: ThreadPoolExecutor | None = None
        self._done = False
        self._file = AtomicFile(path, durable=durable, ahead=codec == "raw") if _output is None else None
        self._output: Output | None = self._file or _output
        try:
            self._put(PREAMBLE)
        except BaseException:
            self._drop()
            raise

    def tensor(
        self,
        path: str,
        data: Array,
        *,
        axes: Iterable[str] | None = None,
        role: str | None = None,
        trainable: bool | None = None,
        class_: str | None = None,
        attrs: Mapping[str, Any] | None = None,
    ) -> None:
        """Write one array under a dotted path. Any strides and byte order; stored in logical order, little-endian."""
        array = numpy_array(data, path)
        if array is NotImplemented:
            array = np.asarray(data)
        dtype = dtypes.of(array.dtype, path)
        named = None if axes is None else tuple(axes)
        info = TensorInfo(path, dtype.name, array.shape, named, role, trainable, class_, attrs)
        self.pieces(info, byte_pieces(array, dtype))

    def pieces(self, info: TensorInfo, pieces: Iterable[Piece]) -> None:
        """Write one tensor whose stored bytes come in pieces of any size, in order.

        A piece is not copied: its bytes must stay as they are until this returns. After an error the writer is done
        with and leaves no file.

        Raises:
            FormatError: CHUNK, when the pieces hold other than `info.nbytes` bytes; DATA, when they hold bits that the
                type does not allow.
        """
        dtype = dtypes.named(info.dtype)
        nbytes = info.nbytes
        self._add(info)
        try:
            self._pad(align(self._position, nbytes))
            chunks = _checked(info, dtype, nbytes, regrouped(pieces, self._chunk))
            for codec, stored in self._encoded(chunks, dtype, nbytes >= POOL_BYTES):
                self._chunks.append((codec, len(stored), self._put_summed(stored)))
        except BaseException:
            self._drop()
            raise

    def alias(
        self,
        path: str,
        target: str,
        perm: Iterable[int] | None = None,
        *,
        axes: Iterable[str] | None = None,
        role: str | None = None,
        trainable: bool | None = None,
    ) -> None:
        """Tie `path` to the tensor `target`, which was written before; `shape[i] = target.shape[perm[i]]`."""
        order = None if perm is None else tuple(perm)
        self.add(Alias(path, target, order, None if axes is None else tuple(axes), role, trainable))

    def value(self, path: str, value: Any) -> None:
        """Write None, a bool, an int, a float, a string or bytes."""
        self.add(Value(path, value))

    def node(
        self,
        path: str,
        form: str = "map",
        *,
        keys: Iterable[Any] | None = None,
        module: str | None = None,
        class_: str | None = None,
        attrs: Mapping[str, Any] | None = None,
    ) -> None:
        """Say what an inner node is. It stands before what is beneath it."""
        self.add(Node(path, form, None if keys is None else tuple(keys), module, class_, attrs))

    def add(self, entry: Entry, data: Array | None = None) -> None:
        """Write any entry; a `TensorInfo` comes with its array, of its dtype and shape."""
        if isinstance(entry, TensorInfo):
            if data is None:
                raise TypeError(f"tensor {entry.path!r} needs its data")
            dtype = dtypes.of(data.dtype, entry.path)
            if dtype.name != entry.dtype or data.shape != tuple(entry.shape):
                what = f"{entry.dtype} {tuple(entry.shape)} expected, the array is {dtype.name} {data.shape}"
                raise FormatError("SHAPE", f"tensor {entry.path!r}: {what}", path=entry.path)
            self.pieces(entry, byte_pieces(data, dtype))
            return
        if isinstance(entry, Alias):
            entry = self._tied(entry)
        if isinstance(entry, Node) and entry.form not in FORMS:
            raise ValueError(f"node form {entry.form!r}, expected one of {', '.join(FORMS)}")
        self._add(entry)

    def close(self) -> None:
        """Write index and trailer and give the file its name."""
        if self._done:
            return
        if self._output is None:
            raise ValueError(_ENDED)
        try:
            self._finish()
            if self._file:
                self._file.commit()
        except BaseException:
            self._drop()
            raise
        self._done = True
        self._release()

    def abort(self) -> None:
        """Drop everything written; a file already under the name stays as it was."""
        self._done = True
        self._drop()

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()

    def _drop(self) -> None:
        if self._file:
            self._file.abort()
        self._release()

    def _release(self) -> None:
        self._output = None
        if self._pool:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None

    def _tied(self, alias: Alias) -> Alias:
        """The alias with its permutation checked; the identity is not written."""
        target = self._entries[self._rows[alias.target]] if alias.target in self._rows else None
        if not isinstance(target, TensorInfo):
            what = "was not written before it" if target is None else f"is a {type(target).__name__}, not a tensor"
            raise FormatError("ALIAS", f"alias {alias.path!r}: {alias.target!r} {what}", path=alias.path)
        if alias.perm is None:
            return alias
        axes = tuple(range(len(target.shape)))
        if tuple(sorted(alias.perm)) != axes:
            what = f"perm {alias.perm} is no permutation of the {len(axes)} axes of {alias.target!r}"
            raise FormatError("ALIAS", f"alias {alias.path!r}: {what}", path=alias.path)
        return replace(alias, perm=None) if alias.perm == axes else alias

    def _add(self, entry: Entry) -> None:
        if self._output is None:
            raise ValueError(_ENDED)
        paths.check(entry.path)
        if entry.path in self._rows:
            raise FormatError("DUPLICATE", f"path {entry.path!r} was written before", path=entry.path)
        self._rows[entry.path] = len(self._entries)
        self._entries.append(entry)

    def _put(self, data: Any) -> None:
        if self._output is None:
            raise ValueError(_ENDED)
        self._output.write(data)
        self._position += memoryview(data).nbytes

    def _put_summed(self, data: Any) -> int:
        """Append a chunk's stored bytes and give their checksum: summed and written by blocks, each from the cache."""
        if len(data) <= BLOCK_BYTES:
            self._put(data)
            return checksum(data)
        total = Checksum()
        view = memoryview(data)
        for start in range(0, len(view), BLOCK_BYTES):
            block = view[start : start + BLOCK_BYTES]
            total.update(block)
            self._put(block)
        return total.intdigest()

    def _pad(self, position: int) -> None:
        if position > self._position:
            self._put(bytes(position - self._position))

    def _encoded(self, chunks: Iterator[memoryview], dtype: DType, pooled: bool) -> Iterator[tuple[int, Any]]:
        """(codec, stored bytes) of each chunk, in order; those of a large tensor compressed by threads ahead."""
        if self._codec == "raw":
            for chunk in chunks:
                yield RAW, chunk
            return
        first = next(chunks, None)
        if first is None:
            return
        codec = self._chosen(first, dtype)
        chunks = itertools.chain([first], chunks)
        encode = partial(zstd.encode, level=self._level) if codec == ZSTD else MODULES[codec].encode
        if not pooled:
            for chunk in chunks:
                yield _smaller(codec, chunk, encode(chunk, dtype))
            return
        if self._pool is None:
            self._pool = ThreadPoolExecutor(THREADS)
        ahead: deque[tuple[memoryview, Future[bytes | None]]] = deque()
        for chunk in chunks:
            ahead.append((chunk, self._pool.submit(encode, chunk, dtype)))
            if len(ahead) > THREADS:
                chunk, encoded = ahead.popleft()
                yield _smaller(codec, chunk, encoded.result())
        for chunk, encoded in ahead:
            yield _smaller(codec, chunk, encoded.result())

    def _chosen(self, chunk: memoryview, dtype: DType) -> int:
        if self._codec == "auto":
            return choose(chunk, dtype)
        return PLANES if self._codec == "planes" and planes.suits(dtype) else ZSTD

    def _finish(self) -> None:
        index = columns_of(self._header, self._chunk, self._entries, self._rows, self._chunks)
        decoded = encode(index)
        if len(decoded) > MAX_INDEX_BYTES:
            raise FormatError("LIMIT", f"the index takes {len(decoded)} bytes, at most {MAX_INDEX_BYTES} are allowed")
        decode(decoded, self._position)  # what a reader would refuse is not written
        frame = zstd.encode(memoryview(decoded)) if self._codec != "raw" else None
        if frame is not None and len(decoded) > MAX_INDEX_RATIO * len(frame):
            frame = None
        stored, flags = (decoded, 0) if frame is None else (frame, FLAG_ZSTD_INDEX)
        length = self._position + len(stored) + FRAME_BYTES
        trailer = Trailer(self._position, len(stored), len(decoded), checksum(stored), flags, length)
        self._put(stored)
        self._put(trailer.pack())


def _smaller(codec: int, chunk: memoryview, stored: bytes | None) -> tuple[int, Any]:
    return (RAW, chunk) if stored is None else (codec, stored)


def _checked(info: TensorInfo, dtype: DType, nbytes: int, chunks: Iterator[memoryview]) -> Iterator[memoryview]:
    """The chunks, once they are what `verify` will accept."""
    put = 0
    for chunk in chunks:
        put += len(chunk)
        if fault := dtypes.fault(chunk, dtype, info.count if put == nbytes else None):
            raise FormatError("DATA", f"tensor {info.path!r}: {fault}", path=info.path)
        yield chunk
    if put != nbytes:
        what = f"{info.dtype} {info.shape} needs {nbytes} bytes, the pieces hold {put}"
        raise FormatError("CHUNK", f"tensor {info.path!r}: {what}", path=info.path)
