"""Reading a file: lazily, mapped, each tensor a view of the map or decoded when asked for."""

from __future__ import annotations

import hashlib
import os
import weakref
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from itertools import compress
from typing import Any

import numpy as np

from . import collector, dtypes, index, profile
from .atomic import PathLike
from .backing import Buffer, File, aligned, backing
from .codecs import MODULES, RAW, THREADS, zstd
from .columns import ALIAS, NODE, TENSOR, VALUE, Index
from .container import FLAG_ZSTD_INDEX, Bytes, Trailer, checksum, parse_frame
from .dtypes import Array
from .errors import FormatError
from .limits import ALIGN, MAX_INDEX_BYTES, MAX_INDEX_RATIO
from .slices import Ranges, Slice, reserve, runs, touched
from .tree import Alias, Branch, Entry, Leaf, grow

SHARED_BYTES = 32 * 2**20
BLOCK_BYTES = 2**20
TASK_BYTES = 2**20  # decoded by a thread before it asks for more
Run = tuple[int, int, int, Array]  # of chunks: ordinal of the tensor, first chunk, the one after the last, its bytes
Key = tuple[int, tuple[int, ...] | None]  # of an array: row of the tensor, and the alias' permutation
_NUMPY = [dtype.numpy for dtype in dtypes.TABLE]
_WHOLE = np.array([dtype.bits >= 8 for dtype in dtypes.TABLE])  # of each element type, whether it takes whole bytes


class Reader(Mapping[str, Any]):
    """An open .ptf file: a mapping from dotted path to array or value.

    Opening reads and checks the index alone. A raw tensor is a view of the map (pages are read when touched) or, of a
    file that is not mapped, read when asked for; a compressed one is then decoded, with its checksums. All paths of a
    tied tensor give one array.

    Arrays from `open` are read-only, those from `load_*` are private and writable. They outlive the reader.

    Attributes:
        name: What the file is called in messages.
        index: The checked index.
    """

    def __init__(self, buffer: Buffer, name: str = "bytes", *, verify: bool = False, _copied: bool = False) -> None:
        self.name = name
        self._buffer: memoryview | File | None = buffer if isinstance(buffer, File) else memoryview(buffer)
        self._verify = verify
        self._arrays: dict[Key, weakref.ref[Array]] = {}
        self.index = _read_index(self._buffer)
        # What raw tensors are views of, or read from.
        views = self._copied(self._buffer) if _copied else self._buffer
        self._views: memoryview | File | None = views
        self._writable = not views.readonly

    @property
    def minor(self) -> int:
        """The minor version of the format that the file says it has; the major one is 1."""
        return int.from_bytes(self.raw(10, 2), "little")

    @property
    def metadata(self) -> dict[str, Any]:
        """Free facts that the file's author stored."""
        return self.index.header.metadata

    @property
    def provenance(self) -> dict[str, Any]:
        """What a conversion recorded so as to be undone; empty when the file is not converted."""
        return self.index.header.provenance

    @property
    def convention(self) -> str | None:
        """Whose names and layouts these are: `torch`, `flax.linen`, … or None."""
        return self.index.header.convention

    @property
    def dialect(self) -> str | None:
        """The variant of the convention, or None."""
        return self.index.header.dialect

    @cached_property
    def entries(self) -> tuple[Entry, ...]:
        """Every entry, in order."""
        return tuple(self.index.entries())

    @property
    def aliases(self) -> dict[str, Alias]:
        """The aliases by path."""
        return self.index.of_type(ALIAS)

    @cached_property
    def tree(self) -> Branch | Leaf:
        """The tree to walk through: `tree[2]["weight"].data`, `tree["2.weight"]`, `tree.walk()`."""
        return grow(self.entries, self.__getitem__)

    def info(self, path: str) -> Entry:
        """What the file says of one entry: `TensorInfo`, `Alias`, `Value` or `Node`. KeyError when there is none."""
        return self.index.entry(self._row(path))

    def walk(self) -> Iterator[tuple[str, Array]]:
        """(path, array) of every tensor and alias, in file order, as `named_parameters()` walks a module."""
        kinds = self.index.columns["type"]
        for row in np.flatnonzero((kinds == TENSOR) | (kinds == ALIAS)).tolist():
            yield self.index.paths[row], self._array(row)

    def __getitem__(self, path: str) -> Any:
        row = self._row(path)
        kind = self.index.columns["type"][row]
        if kind == NODE:
            raise KeyError(f"{path!r} is an inner node; reader.tree[{path!r}] shows it")
        if kind == VALUE:
            return self.index.values[self.index.ordinals[row]]
        return self._array(row)

    def slice(self, path: str) -> Slice:
        """A tensor to be read in part: `file.slice("w")[10:20, :5]`, a new array; only its chunks are read.

        Elements of less than a byte are unpacked all together.
        """
        row = self._row(path)
        if self.index.columns["type"][row] not in (TENSOR, ALIAS):
            raise KeyError(f"{path!r} is no tensor in {self.name}")
        row, perm = self._target(row)
        k = int(self.index.ordinals[row])
        dtype = dtypes.TABLE[self.index.columns["dtype"][k]]
        shape = self.index.shape(k)
        order = perm or tuple(range(len(shape)))

        def read(ranges: Ranges) -> Array:
            moved = [ranges[order.index(axis)] for axis in range(len(shape))]
            return self._part(k, dtype, shape, tuple(moved)).transpose(order)

        return Slice(tuple(shape[axis] for axis in order), dtype.numpy, read)

    def _part(self, k: int, dtype: dtypes.DType, shape: tuple[int, ...], ranges: Ranges) -> Array:
        """The k-th tensor, of which only what the ranges select is sure to be there."""
        if dtype.bits < 8:
            return self._unpacked(k, self._bytes(k))
        first = int(self.index.chunk_starts[k])
        if all(ranges):
            starts, length = runs(shape, ranges)
            wanted = touched(starts, length, dtype.bits // 8, self.index.chunk) + first
        else:
            wanted = np.zeros(0, np.int64)
        if not self.index.coded[k] and not isinstance(self._views, File):
            for c in wanted if self._verify else ():
                self.stored(k, int(c))
            return dtypes.unpack(self._viewed(k), dtype, shape)
        into = reserve(int(self.index.nbytes[k]))
        for c in wanted.tolist():
            start = (c - first) * self.index.chunk
            self._decode_chunk(k, c, into.data[start : start + int(self.index.chunk_sizes[c])])
        return dtypes.unpack(into, dtype, shape)

    def __contains__(self, path: object) -> bool:
        row = self.index.rows.get(path)  # type: ignore[call-overload]
        return row is not None and bool(self.index.columns["type"][row] != NODE)

    def __iter__(self) -> Iterator[str]:
        return compress(self.index.paths, (self.index.columns["type"] != NODE).tolist())

    def __len__(self) -> int:
        return int(np.count_nonzero(self.index.columns["type"] != NODE))

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file. Arrays taken from it stay valid: the map goes with the last of them."""
        if isinstance(self._buffer, File):
            self._buffer.close()
        self._buffer = None
        self._views = None

    def __repr__(self) -> str:
        return f"Reader({self.name!r}, {len(self)} leaves)"

    def load(self, paths: Iterable[str] | None = None) -> dict[str, Any]:
        """Path -> array or value of these paths (all by default), compressed chunks decoded in parallel."""
        wanted = list(self if paths is None else paths)
        rows = list(map(self._row, wanted))
        held = self._decode_ahead(rows)
        with collector.paused():
            mapped = self._map_ahead(rows)
            found = zip(wanted, map(mapped.get, rows), strict=True)
            loaded = {path: self[path] if array is None else array for path, array in found}
        held.clear()  # from here on `loaded` alone keeps them
        return loaded

    def digest(self) -> str:
        """Content digest: sha256 in hex, the same for raw and compressed (spec section 8.2). Reads every tensor."""
        content = index.to_map(self.index, read=True)
        for key in index.LAYOUT_KEYS:
            del content[key]
        content["sha256"] = b"".join(self._digests())
        return hashlib.sha256(profile.again({key: content[key] for key in sorted(content)})).hexdigest()

    def tensor_digests(self) -> dict[str, str]:
        """Path -> sha256 in hex of each tensor's logical bytes."""
        paths = [self.index.paths[row] for row in self.index.tensor_rows.tolist()]
        return dict(zip(paths, (digest.hex() for digest in self._digests()), strict=True))

    def _digests(self) -> Iterator[bytes]:
        for k in range(self.index.tensor_rows.size):
            total = hashlib.sha256()
            for chunk in self.chunks(k):
                total.update(chunk)
            yield total.digest()

    def _row(self, path: str) -> int:
        try:
            return self.index.rows[path]
        except KeyError:
            raise KeyError(f"no entry {path!r} in {self.name}") from None

    def _array(self, row: int) -> Array:
        key = row, perm = self._target(row)
        array = self._held(key)
        if array is None:
            array = self._tensor(row) if perm is None else self._array(row).transpose(perm)
            self._arrays[key] = weakref.ref(array)
        return array

    def _held(self, key: Key) -> Array | None:
        """The array that was handed out before, if someone still holds it."""
        held = self._arrays.get(key)  # not a WeakValueDictionary, which takes as long as all else for a tensor
        return None if held is None else held()

    def _target(self, row: int) -> Key:
        """The row of the tensor behind a tensor's or alias' row, and the alias' permutation."""
        if self.index.columns["type"][row] != ALIAS:
            return row, None
        found = self.index.sparse.get("perm", {}).get(row)
        return int(self.index.columns["alias"][self.index.ordinals[row]]), tuple(found) if found else None

    def _tensor(self, row: int) -> Array:
        k = int(self.index.ordinals[row])
        return self._unpacked(k, self._bytes(k))

    def _unpacked(self, k: int, stored: Array) -> Array:
        array = dtypes.unpack(stored, dtypes.TABLE[self.index.columns["dtype"][k]], self.index.shape(k))
        array.flags.writeable = self._writable
        return array

    def _bytes(self, k: int) -> Array:
        """Decoded bytes of the k-th tensor: a view of the map, or a new 64-byte aligned array."""
        if self.index.coded[k]:
            into = aligned(int(self.index.nbytes[k]))
            self._decode(k, into)
            return into
        held = self._viewed(k)
        if self._verify:  # what is given away, not what may have become of the file since
            first, last = (int(n) for n in self.index.chunk_starts[k : k + 2])
            for c in range(first, last):
                start = (c - first) * self.index.chunk
                self.compare(k, c, checksum(held.data[start : start + int(self.index.chunk_sizes[c])]))
        return held

    def raw(self, start: int, size: int) -> memoryview:
        """Bytes of the file."""
        return self._open(self._buffer)[start : start + size]

    def blocks(self, start: int, stop: int) -> Iterator[memoryview]:
        """Bytes of the file in blocks that fit the cache of a core, each valid until the next is taken."""
        held = self._open(self._buffer)
        if not isinstance(held, File) or stop - start <= BLOCK_BYTES:
            yield from (held[at : min(at + BLOCK_BYTES, stop)] for at in range(start, stop, BLOCK_BYTES))
            return
        room = aligned(BLOCK_BYTES).data
        for at in range(start, stop, BLOCK_BYTES):
            block = room[: stop - at]
            held.fill(block, at)
            yield block

    def _viewed(self, k: int) -> Array:
        """The k-th tensor's bytes, of which all chunks are raw."""
        start = self.index.layout[0][k]
        return np.frombuffer(self._open(self._views)[start : start + int(self.index.nbytes[k])], np.uint8)

    def _open(self, held: memoryview | File | None) -> memoryview | File:
        if held is None:
            raise ValueError(f"{self.name} is closed")
        return held

    def _copied(self, buffer: Bytes) -> memoryview:
        """A private copy of the raw tensors, each at its place; between them are pages that nobody touches."""
        made = aligned(len(buffer))
        if not self.index.coded.any():
            made[:] = np.frombuffer(buffer[:], np.uint8)
        else:
            for k in np.flatnonzero(~self.index.coded).tolist():
                place = slice(self.index.layout[0][k], self.index.layout[0][k] + int(self.index.nbytes[k]))
                made[place] = np.frombuffer(buffer[place], np.uint8)
        return made.data

    def _decode(self, k: int, into: Array) -> None:
        """The k-th tensor, chunk by chunk."""
        first, last = (int(n) for n in self.index.chunk_starts[k : k + 2])
        self._decode_runs([(k, first, last, into)])

    def _decode_runs(self, runs: Iterable[Run]) -> None:
        for k, first, last, into in runs:
            begin = int(self.index.chunk_starts[k])
            for c in range(first, last):
                start = (c - begin) * self.index.chunk
                self._decode_chunk(k, c, into.data[start : start + int(self.index.chunk_sizes[c])])

    def _tasks(self, wanted: Iterable[tuple[int, Array]]) -> Iterator[list[Run]]:
        """The chunks of these tensors in runs of about `TASK_BYTES` together: a thread's task takes memory too."""
        most = max(1, TASK_BYTES // self.index.chunk)  # chunks of a run
        task: list[Run] = []
        held = 0
        for k, into in wanted:
            first, last = (int(n) for n in self.index.chunk_starts[k : k + 2])
            for start in range(first, last, most):
                stop = min(start + most, last)
                task.append((k, start, stop, into))
                held += min(into.size, (stop - start) * self.index.chunk)
                if held >= TASK_BYTES:
                    yield task
                    task, held = [], 0
        yield task

    def _decode_ahead(self, rows: list[int]) -> list[Array]:
        """Decode the compressed tensors among these rows in a few threads; `_array` finds them while they are held."""
        if not self.index.coded.any():
            return []
        ordinals = {row: int(self.index.ordinals[row]) for row in rows if self.index.columns["type"][row] == TENSOR}
        packed = {row: k for row, k in ordinals.items() if self.index.coded[k]}
        into = dict(zip(packed, _room([int(self.index.nbytes[k]) for k in packed.values()]), strict=True))
        with ThreadPoolExecutor(THREADS) as pool:
            tasks = self._tasks((k, into[row]) for row, k in packed.items())
            for future in [pool.submit(self._decode_runs, task) for task in tasks]:
                future.result()
        held: dict[Key, Array] = {(row, None): self._unpacked(k, into[row]) for row, k in packed.items()}
        for key, array in held.items():
            self._arrays[key] = weakref.ref(array)
        return list(held.values())

    def _map_ahead(self, rows: list[int]) -> dict[int, Array]:
        """Row -> array of the tensors among these rows that are views of the map, all made at once."""
        if self._verify or isinstance(self._views, File):
            return {}
        index = self.index
        asked = np.array([row for row in rows if self._held((row, None)) is None] if self._arrays else rows, np.intp)
        tensors = asked[index.columns["type"][asked] == TENSOR]
        ordinals = index.ordinals[tensors]
        raw = ~index.coded[ordinals] & _WHOLE[index.columns["dtype"][ordinals]]
        if not raw.any():
            return {}
        tensors, ordinals = tensors[raw], ordinals[raw]
        codes = index.columns["dtype"][ordinals].tolist()
        shapes, starts = index.shapes, index.layout[0]
        whole: Any = self._open(self._views)  # in memory
        mapped: dict[int, Array] = {}
        for row, k, code in zip(tensors.tolist(), ordinals.tolist(), codes, strict=True):
            mapped[row] = array = np.ndarray(shapes[k], _NUMPY[code], whole, starts[k])
            self._arrays[row, None] = weakref.ref(array)
        return mapped

    def stored(self, k: int, c: int) -> memoryview:
        """Stored bytes of chunk `c` of the k-th tensor, against its checksum. CHECKSUM when they differ."""
        data = self.raw(int(self.index.chunk_offsets[c]), int(self.index.columns["stored"][c]))
        self.compare(k, c, checksum(data))
        return data

    def compare(self, k: int, c: int, computed: int) -> None:
        """CHECKSUM when this is not the checksum of the stored bytes of chunk `c`, one of the k-th tensor's."""
        held = int(self.index.columns["sum"][c])
        if held != computed:
            chunk = c - int(self.index.chunk_starts[k])
            where = f"{self.index.named(k)}, chunk {chunk} at byte {int(self.index.chunk_offsets[c])}"
            path = self.index.paths[self.index.tensor_rows[k]]
            raise FormatError("CHECKSUM", f"{where}: xxh3 {held:016x} stored, {computed:016x} computed", path=path)

    def _decode_chunk(self, k: int, c: int, into: memoryview) -> None:
        data = self.stored(k, c)
        try:
            dtype = dtypes.TABLE[self.index.columns["dtype"][k]]
            MODULES[int(self.index.columns["codec"][c])].decode(data, into, dtype)
        except FormatError as error:
            where = f"{self.index.named(k)}, chunk {c - int(self.index.chunk_starts[k])}"
            path = self.index.paths[self.index.tensor_rows[k]]
            raise FormatError(error.code, f"{where}: {error.message}", path=path) from None

    def chunks(self, k: int) -> Iterator[memoryview]:
        """Decoded bytes of the k-th tensor, chunk by chunk, each against its checksum."""
        return (self.chunk(k, c) for c in range(int(self.index.chunk_starts[k]), int(self.index.chunk_starts[k + 1])))

    def chunk(self, k: int, c: int) -> memoryview:
        """Decoded bytes of chunk `c`, which is one of the k-th tensor, against its checksum."""
        if self.index.columns["codec"][c] == RAW:
            return self.stored(k, c)
        part = np.empty(int(self.index.chunk_sizes[c]), np.uint8).data
        self._decode_chunk(k, c, part)
        return part


def read(path: PathLike, *, verify: bool, mapped: bool, private: bool = False) -> Reader:
    """Open a file; see `loading.open`. Arrays are writable if `private`, which never changes the file."""
    return Reader(backing(path, mapped=mapped, private=private), os.fspath(path), verify=verify)


def _room(sizes: list[int]) -> Iterator[Array]:
    """A new array, aligned, for each of these sizes.

    Those of up to a quarter of `SHARED_BYTES` share memory of about that size, which stays as long as one of them: the
    system gives it in huge pages, and to clear small ones takes as long as to decode into them.
    """
    shared, at = aligned(0), 0
    for i, size in enumerate(sizes):
        if 4 * size > SHARED_BYTES:
            yield aligned(size)
            continue
        if at + size > shared.size:
            left = sum(-(-other // ALIGN) * ALIGN for other in sizes[i:] if 4 * other <= SHARED_BYTES)
            shared, at = aligned(min(SHARED_BYTES, left)), 0
        yield shared[at : at + size]
        at += -(-size // ALIGN) * ALIGN


def _read_index(buffer: Bytes) -> Index:
    trailer = parse_frame(buffer)
    return index.decode(_index_bytes(buffer, trailer), trailer.index_offset)


def _index_bytes(buffer: Bytes, trailer: Trailer) -> bytes:
    """The decoded index. The caller keeps nothing else of it."""
    compressed = bool(trailer.flags & FLAG_ZSTD_INDEX)
    if (larger := max(trailer.index_stored, trailer.index_decoded)) > MAX_INDEX_BYTES:
        raise FormatError("LIMIT", f"the index declares {larger} bytes, at most {MAX_INDEX_BYTES} are allowed")
    if compressed and trailer.index_decoded > MAX_INDEX_RATIO * trailer.index_stored:
        what = f"{trailer.index_stored} stored index bytes declare {trailer.index_decoded}"
        raise FormatError("LIMIT", f"{what}, over {MAX_INDEX_RATIO} : 1")
    if not compressed and trailer.index_decoded != trailer.index_stored:
        what = f"a raw index of {trailer.index_stored} bytes declares {trailer.index_decoded}"
        raise FormatError("EXTENT", what)
    data = buffer[trailer.index_offset : trailer.index_offset + trailer.index_stored]
    computed = checksum(data)
    if computed != trailer.index_sum:
        raise FormatError("CHECKSUM", f"index: xxh3 {trailer.index_sum:016x} stored, {computed:016x} computed")
    if compressed:
        into = bytearray(trailer.index_decoded)
        try:
            zstd.decode(data, memoryview(into))
        except FormatError as error:
            raise FormatError(error.code, f"index: {error.message}") from None
        return bytes(into)
    return bytes(data)
