"""Writing a file front to back: tensors as they come, then the index, then the trailer."""

from __future__ import annotations

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
from .dtypes import Array, DType, pack
from .errors import FormatError
from .index import decode, encode
from .limits import CHUNK_STEP, DEFAULT_CHUNK_BYTES, MAX_CHUNK_BYTES, MAX_INDEX_BYTES, MAX_INDEX_RATIO
from .tree import FORMS, Alias, Entry, Node, TensorInfo, Value

Piece = Any  # anything with the buffer protocol
POOL_BYTES = 2**18  # a smaller tensor is compressed at once: handing it to a thread would cost more
SMALL_BYTES = 2**16  # what is smaller is written in one piece
BLOCK_BYTES = 2**18  # summed, and then written while they are in the cache of a core
CODECS = ("raw", "zstd", "planes", "auto")
_AHEAD = THREADS + 1  # chunks' worth of bytes that may wait for a thread, or to be written
_Stored = tuple[int, Any, int]  # codec, stored bytes, their checksum
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
            of elements apart, where they have several; `auto` tries both on the beginning of each chunk.
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
        # Chunks to be written: bytes of the tensor that begins with it, its bytes, and what comes of it.
        self._ahead: deque[tuple[int | None, int, Future[_Stored] | _Stored]] = deque()
        self._waiting = 0
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

    def pieces(self, info: TensorInfo, pieces: Iterable[Piece], *, lasting: bool = False) -> None:
        """Write one tensor whose stored bytes come in pieces of any size, in order.

        A piece is not copied: its bytes must stay as they are until this returns, and if they are `lasting` until the
        writer is closed. The threads that compress then need not wait for the end of each tensor. After an error the
        writer is done with and leaves no file.

        Raises:
            FormatError: CHUNK, when the pieces hold other than `info.nbytes` bytes; DATA, when they hold bits that the
                type does not allow.
        """
        dtype = dtypes.named(info.dtype)
        nbytes = info.nbytes
        self._add(info)
        try:
            chunks = _checked(info, dtype, nbytes, regrouped(pieces, self._chunk))
            if self._codec == "raw":
                self._pad(align(self._position, nbytes))
                for chunk in chunks:
                    self._chunks.append((RAW, len(chunk), self._put_summed(chunk)))
            else:
                self._compress(chunks, dtype, nbytes)
                self._settle(_AHEAD * self._chunk if lasting else 0)
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

    def add(self, entry: Entry, data: Array | None = None, *, lasting: bool = False) -> None:
        """Write any entry; a `TensorInfo` comes with its array, of its dtype and shape, `lasting` as for `pieces`."""
        if isinstance(entry, TensorInfo):
            if data is None:
                raise TypeError(f"tensor {entry.path!r} needs its data")
            dtype = dtypes.of(data.dtype, entry.path)
            if dtype.name != entry.dtype or data.shape != tuple(entry.shape):
                what = f"{entry.dtype} {tuple(entry.shape)} expected, the array is {dtype.name} {data.shape}"
                raise FormatError("SHAPE", f"tensor {entry.path!r}: {what}", path=entry.path)
            if self._codec == "raw" and data.nbytes <= min(SMALL_BYTES, self._chunk) and _is_stored(data, dtype):
                self._small(entry, pack(data.reshape(-1), dtype).data)
            else:
                self.pieces(entry, byte_pieces(data, dtype), lasting=lasting)
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
        self._ahead.clear()
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

    def _small(self, info: TensorInfo, stored: memoryview) -> None:
        """Write a tensor of at most one raw chunk: what `pieces` does, for files of very many."""
        self._add(info)
        try:
            if stored:
                self._chunks.append((RAW, len(stored), checksum(stored)))
            self._put(bytes(align(self._position, len(stored)) - self._position) + stored)
        except BaseException:
            self._drop()
            raise

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

    def _compress(self, chunks: Iterator[memoryview], dtype: DType, nbytes: int) -> None:
        """Have the chunks of a tensor encoded, those of a large one by threads, and written in order."""
        encoded = partial(_encoded, codec=self._codec, level=self._level, dtype=dtype)
        if self._pool is None and nbytes >= POOL_BYTES:
            self._pool = ThreadPoolExecutor(THREADS)
        first = True
        for chunk in chunks:
            done: Future[_Stored] | _Stored
            done = self._pool.submit(encoded, chunk) if self._pool and nbytes >= POOL_BYTES else encoded(chunk)
            self._ahead.append((nbytes if first else None, len(chunk), done))
            self._waiting += len(chunk)
            first = False
            self._settle(_AHEAD * self._chunk)
        if first:
            self._ahead.append((0, 0, (RAW, b"", 0)))

    def _settle(self, most: int) -> None:
        """Write encoded chunks until at most so many decoded bytes wait."""
        while self._ahead and self._waiting > most:
            begins, size, done = self._ahead.popleft()
            self._waiting -= size
            codec, stored, total = done.result() if isinstance(done, Future) else done
            if begins is not None:
                self._pad(align(self._position, begins, coded=codec != RAW))
            if size:
                self._chunks.append((codec, len(stored), total))
                self._put(stored)

    def _finish(self) -> None:
        self._settle(-1)
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


def _is_stored(array: Array, dtype: DType) -> bool:
    """Whether its bytes in memory are those in a file, but for bools that are neither 0 nor 1."""
    return array.flags.c_contiguous and dtype.bits >= 8 and array.dtype == dtype.numpy


def _encoded(chunk: memoryview, codec: str, level: int, dtype: DType) -> _Stored:
    """The chunk as it is stored, raw where it would hardly shrink."""
    suited = PLANES if codec != "zstd" and planes.suits(dtype) else ZSTD
    number = choose(chunk, dtype) if codec == "auto" and suited == PLANES else suited
    stored = zstd.encode(chunk, level=level) if number == ZSTD else MODULES[number].encode(chunk, dtype)
    if stored is None:
        return RAW, bytes(chunk), checksum(chunk)  # a view would hold on to all of the array that it is of
    return number, stored, checksum(stored)


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
