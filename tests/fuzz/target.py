"""What must hold of any bytes: a clear refusal, or a file that reads the same each way; in bounded time and memory."""

from __future__ import annotations

import os
import resource
import struct
import time
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import numpy as np
import xxhash

from ptformat import containers, profile, saving, verification
from ptformat import index as index_module
from ptformat.columns import ALIAS, TENSOR
from ptformat.errors import READ_CODES, FormatError
from ptformat.limits import MAX_INDEX_VALUES
from ptformat.reader import Reader
from ptformat.tree import Branch, TensorInfo

from .anatomy import apart

READ_BYTES = 2**21  # decoded bytes of all tensors of a file up to which they are read
SECONDS = 5.0
SPARE_BYTES = 64 * 2**20  # that a reader may take beside what a file declares
VALUE_BYTES = 64  # that an item of the index's arrays and maps may take
VALUE_SECONDS = 1e-5  # likewise, of time: all that is opened here, six times at most, in instrumented code
MESSAGE_CHARACTERS = 12_000  # a few paths of `MAX_PATH_BYTES`, with escapes


class Fault(AssertionError):
    """Something that must hold does not."""


def examine(data: bytes) -> str:
    """Open, read and verify, and hold the results against each other.

    Returns:
        The code of the error that the file was refused with, `UNREAD` for one that was opened and declares more than
        `READ_BYTES`, or `SOUND`.

    Raises:
        Fault: When something does not hold. Any other exception is a fault too.
    """
    draw = xxhash.xxh3_64_intdigest(data)  # which of the slow checks are done: the same for the same bytes
    try:
        reader = Reader(data)
    except FormatError as error:
        _check_refusal(error)
        if draw % 4 == 0:
            _same("the same refusal", _refusal(lambda: Reader(data)), str(error))
            _same("the same code of verify", _refusal(lambda: verification.verify(data)), str(error))
        return error.code
    _check_index(reader, data)
    if int(reader.index.nbytes.sum()) > READ_BYTES:
        return "UNREAD"
    refused = _check_reading(reader, Random(draw))
    try:
        verified = verification.verify(data)
    except FormatError as error:
        _check_refusal(error)
        if refused is None and error.code not in ("CHECKSUM", "NONZERO", "DATA"):
            raise Fault(f"all was read, but verify says: {error}") from error
        if refused is None and error.code == "CHECKSUM" and _refusal(reader.digest) != str(error):
            raise Fault(f"all checksums were right, but verify says: {error}") from error
        return error.code
    if refused is not None:
        raise Fault(f"verify accepts what cannot be read: {refused}")
    _same("the count of tensors", verified.tensors, int((reader.index.columns["type"] == TENSOR).sum()))
    _check_again(reader, data, draw)
    return "SOUND"


def _same(what: str, found: Any, expected: Any) -> None:
    if found != expected:
        raise Fault(f"{what}: {found!r}, expected {expected!r}"[:4000])


def _check_refusal(error: FormatError) -> None:
    """A code of the spec, and a message of one line that can be shown."""
    if error.code not in READ_CODES:
        raise Fault(f"a code that is none of the spec's: {error}") from error
    if not error.message or len(error.message) > MESSAGE_CHARACTERS or not error.message.isprintable():
        what = f"a message of {len(error.message)} characters, printable: {error.message.isprintable()}"
        raise Fault(f"{what}: {error.message[:200]!r}") from error


def _refusal(call: Callable[[], Any]) -> str | None:
    try:
        call()
    except FormatError as error:
        return str(error)
    return None


# -------------------------------------------------------------------------------------------------------- the index


def _check_index(reader: Reader, data: bytes) -> None:
    """The index has one form, and entries are what the columns say."""
    index = reader.index
    parts = apart(data)
    if parts is not None:
        content = index_module.to_map(index)
        again = profile.encode(content)
        known = {*index_module.REQUIRED, *index_module.OPTIONAL}
        if again != parts.index and set(profile.decode(parts.index)) <= known:
            raise Fault(f"the index is written again as {again.hex()}, it was {parts.index.hex()}"[:4000])
    entries = reader.entries
    _same("the paths of the entries", [entry.path for entry in entries], index.paths)
    for path, entry in list(zip(index.paths, entries, strict=True))[:4]:
        _same("an entry by its path", repr(reader.info(path)), repr(entry))
    _same("the length", len(reader), len(list(reader)))
    tree = reader.tree
    leaves = sorted(_leaves(tree)) if isinstance(tree, Branch) else [""]
    _same("the leaves of the tree", leaves, sorted(reader))


def _leaves(branch: Branch) -> Iterator[str]:
    for _, child in branch.items():
        if isinstance(child, Branch):
            yield from _leaves(child)
        else:
            yield child.path


# ---------------------------------------------------------------------------------------------------------- reading


def _check_reading(reader: Reader, rng: Random) -> FormatError | None:
    """Read all tensors, by each way there is. The error with which one is refused, or None."""
    index = reader.index
    refused = None
    arrays: dict[str, Any] = {}
    for path in reader:
        try:
            arrays[path] = reader[path]
        except FormatError as error:
            _check_refusal(error)
            refused = error
    loaded = None
    try:
        loaded = reader.load()
    except FormatError as error:
        _check_refusal(error)
        if refused is None:
            raise Fault(f"each tensor was read, but all together: {error}") from error
    if refused is not None:
        if loaded is not None:
            raise Fault(f"all was loaded, but by itself: {refused}")
        return refused
    assert loaded is not None
    _same("the paths loaded", list(loaded), list(reader))
    for path, held in loaded.items():
        if held is not arrays[path]:
            _same(f"{path!r} loaded", bits(held), bits(arrays[path]))
    for path, alias in reader.aliases.items():
        if alias.perm is None and loaded[path] is not loaded[alias.target]:
            raise Fault(f"{path!r} and {alias.target!r} are tied, but not one object")
        if alias.perm is not None:
            _same(f"{path!r}", bits(loaded[path]), bits(loaded[alias.target].transpose(alias.perm)))
    kinds = index.columns["type"]
    rows = [row for row in range(len(index.paths)) if kinds[row] in (TENSOR, ALIAS)]
    for row in rng.sample(rows, min(4, len(rows))):
        _check_slice(reader, index.paths[row], arrays[index.paths[row]], rng)
    _check_tree(reader, loaded)
    return None


def bits(held: Any) -> tuple[Any, ...]:
    """What tells two arrays or values apart, to the last bit."""
    if isinstance(held, np.ndarray):
        return held.dtype, held.shape, held.tobytes()
    return type(held), repr(held)


def _check_slice(reader: Reader, path: str, whole: Any, rng: Random) -> None:
    """A part read by itself is that part of the whole."""
    key = []
    for size in whole.shape[: rng.randrange(len(whole.shape) + 1)]:
        ends = [rng.choice((None, rng.randrange(-size - 2, size + 3))) for _ in range(2)]
        single = size and rng.random() < 0.3
        key.append(rng.randrange(-size, size) if single else slice(*ends, rng.choice((None, 1, 2, -1, -3))))
    if rng.random() < 0.3:
        key.insert(rng.randrange(len(key) + 1), ...)
        key = key if key.index(...) == len(key) - 1 else [one for one in key if one is not ...]
    part, expected = reader.slice(path)[tuple(key)], np.array(whole[tuple(key)])
    if part.dtype == bool:  # what a byte other than 0 and 1 means is not defined, and NumPy's scalars are 0 or 1
        part, expected = part.view(np.uint8) != 0, expected.view(np.uint8) != 0
    _same(f"a slice of {path!r}", bits(part), bits(expected))


def _check_tree(reader: Reader, arrays: dict[str, Any]) -> None:
    """The containers, as `load_tree` makes them, hold each leaf once; keys equal in Python are all that is refused."""
    try:
        tree = containers.assemble(reader.index, arrays.__getitem__)
    except FormatError as error:
        if error.code != "TYPE" or not any(node.form == "keys" for node in reader.index.nodes.values()):
            raise Fault(f"the file is opened, its tree is not made: {error}") from error
        return
    found = sorted(map(repr, map(bits, _held(tree))))
    _same("the leaves of the containers", found, sorted(repr(bits(array)) for array in arrays.values()))


def _held(tree: Any) -> Iterator[Any]:
    if isinstance(tree, dict):
        tree = tuple(tree.values())
    if isinstance(tree, (list, tuple)):
        for child in tree:
            yield from _held(child)
    else:
        yield tree


# ------------------------------------------------------------------------------------------------------ and writing


def _check_again(reader: Reader, data: bytes, draw: int) -> None:
    """Saved again, raw, a file has the same content; if it was raw before, it is the same file."""
    digest = reader.digest()
    index = reader.index
    if draw % 2 == 0:
        again = Reader(data)
        _same("the entries, opened twice", repr(again.entries), repr(reader.entries))
        _same("the digest, opened twice", again.digest(), digest)
    header = index.header
    said = {name: getattr(header, name) for name in ("convention", "dialect", "metadata", "provenance")}
    held = ((entry, reader[entry.path] if isinstance(entry, TensorInfo) else None) for entry in reader.entries)
    codec = ("raw", "raw", "zstd", "planes")[draw % 4]
    written = saving.to_bytes(held, codec=codec, chunk=index.chunk, **said)
    _same("the digest, saved again", Reader(written).digest(), digest)
    parts = apart(data)
    if codec == "raw" and parts and index.raw and not parts.compressed and not parts.facts:
        content = profile.decode(parts.index)
        if set(content) <= {*index_module.REQUIRED, *index_module.OPTIONAL}:
            _same("the file, saved again", written.hex(), data.hex())


# ------------------------------------------------------------------------------------------------- time and memory


class Bounds:
    """Holds each call against `SECONDS` of this process, and the memory and the items that its file declares.

    The system's high-water mark is set back before each call, so that it is that of the call. Where the system cannot
    do so, only a file that takes more than any before it, in this process or in the one that started it, is noticed.
    """

    def __init__(self) -> None:
        self.slowest = 0.0
        self.largest = 0  # bytes
        try:
            self._reset = os.open("/proc/self/clear_refs", os.O_WRONLY)
            self._status = os.open("/proc/self/status", os.O_RDONLY)
        except OSError:
            self._reset = self._status = -1

    def call(self, examined: Callable[[bytes], str], data: bytes) -> str:
        """`examined` of a file's bytes."""
        before, start = self._mark(), time.process_time()
        verdict = examined(data)
        spent, grown = time.process_time() - start, self._peak() - before
        self.slowest, self.largest = max(self.slowest, spent), max(self.largest, grown)
        if spent > SECONDS and spent > SECONDS + VALUE_SECONDS * items(data):
            raise Fault(f"{spent:.1f} seconds for {len(data)} bytes")
        if grown > SPARE_BYTES and grown > (allowed := SPARE_BYTES + declared(data)):
            raise Fault(f"{grown} bytes of memory for {len(data)} bytes, {allowed} are allowed")
        return verdict

    def _mark(self) -> int:
        if self._reset >= 0:
            os.write(self._reset, b"5")
        return self._peak()

    def _peak(self) -> int:
        if self._status < 0:
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        status = os.pread(self._status, 4096, 0)
        return int(status[status.index(b"VmHWM:") + 6 :].split(maxsplit=1)[0]) * 1024


def declared(data: bytes) -> int:
    """The bytes that a file declares: of its index, of the items in it, of its tensors where they are read."""
    parts = apart(data)
    if parts is None:
        return 0
    size = struct.unpack_from("<Q", data, len(data) - 48)[0]
    total = min(size, 2**28) + VALUE_BYTES * items(data)
    try:
        tensors = int(Reader(data).index.nbytes.sum())
    except FormatError:
        return int(total)
    return int(total + (tensors if tensors <= READ_BYTES else 0))


def items(data: bytes) -> int:
    """The items of a file's index that a reader goes through."""
    parts = apart(data)
    return 0 if parts is None else min(count(parts.index), MAX_INDEX_VALUES)


def count(index: bytes) -> int:
    """The items of all arrays and maps that a reader meets before the first fault; a key and its value are two."""
    at = total = 0
    try:
        while at < len(index):
            kind, head, at = profile.token(index, at)
            if kind in ("array", "map"):
                total += head * (2 if kind == "map" else 1)
            elif kind in ("str", "bin"):
                at += head
    except FormatError:
        pass
    return total
