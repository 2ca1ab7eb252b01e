"""The weights of a real net, compressed and back, in memory and on the same number of threads."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import blosc2
import formats
import inputs
import zstandard
from report import Bar, Row
from settings import Settings
from timing import Contestant, race, speeds
from zipnn import ZipNN

import ptformat
from ptformat.codecs import THREADS

BARS = {"bfloat16": 1.5, "float32": 1.0}  # of unpacking
SIZE_BARS = (Bar("≤", 1.0, "ZipNN"),)


@dataclass(frozen=True)
class Packer:
    """How one peer goes there and back.

    Attributes:
        given: Makes what `pack` takes, outside the clock.
        pack: Gives something whose length is that of what would be stored.
        unpack: Gives back all of it.
        size: Bytes of what `pack` gave.
        plain: All bytes of what `unpack` gave, one tensor after the other.
    """

    given: Callable[[], Any]
    pack: Callable[[Any], Any]
    unpack: Callable[[Any], Any]
    size: Callable[[Any], int] = len
    plain: Callable[[Any], bytes] = bytes


def rows(settings: Settings) -> Iterator[Row]:
    for dtype, bar in BARS.items():
        arrays = inputs.minilm(dtype)
        if settings.quick:
            arrays = dict(list(arrays.items())[:20])
        total = inputs.nbytes(arrays)
        blob = b"".join(array.tobytes() for array in arrays.values())
        found = packers(arrays, dtype, blob, settings)
        packed = {name: packer.pack(packer.given()) for name, packer in found.items()}
        size = f"MiniLM as {dtype}, {total / 1e6:.1f} MB in {len(arrays)} tensors"

        percent = {name: [100 * found[name].size(data) / total] for name, data in packed.items()}
        whole = "whole files of ptformat and zTensor, with names and checksums; of the others one blob without names"
        yield Row("archive", f"size of {dtype}", "%", percent, SIZE_BARS, f"{size}; {whole}")

        said = f"{size}; in memory (zTensor: a file in {settings.where(settings.fast)}), {THREADS} threads"
        entrants = [packing(name, packer) for name, packer in found.items()]
        values = speeds(race(entrants, settings.times(9)), total)
        bars = (Bar("≥", 3, "ZipNN"),)
        yield Row("archive", f"pack {dtype}", "GB/s", values, bars, f"{said}; zTensor packs on one")

        entrants = [unpacking(name, packer, packed[name], blob) for name, packer in found.items()]
        values = speeds(race(entrants, settings.times(15)), total)
        bars = (Bar("≥", bar, "ZipNN"),)
        said = f"{said}; zstd and zTensor unpack on one; all bytes compared the first time"
        yield Row("archive", f"unpack {dtype}", "GB/s", values, bars, said)
        formats.remove([packed["zTensor"]])


def packing(name: str, packer: Packer) -> Contestant:
    def after(_: Any, data: Any) -> None:
        if isinstance(data, os.PathLike):
            os.unlink(data)

    return Contestant(name, packer.pack, packer.given, after=after)


def unpacking(name: str, packer: Packer, data: Any, blob: bytes) -> Contestant:
    def check(_: None, found: Any) -> None:
        assert packer.plain(found) == blob, f"{name} gave back other bytes"

    return Contestant(name, lambda _: packer.unpack(data), check=check)


def packers(arrays: inputs.Arrays, dtype: str, blob: bytes, settings: Settings) -> dict[str, Packer]:
    """Ours first. ZipNN is given a new buffer each time, for it changes what it is given."""
    width = next(iter(arrays.values())).dtype.itemsize

    def ours(codec: str) -> Packer:
        return Packer(lambda: arrays, lambda tree: ptformat.save(tree, codec=codec), ptformat.load, plain=joined)

    def joined(tree: formats.Tree) -> bytes:
        inputs.same(tree, arrays)
        return b"".join(tree[name].tobytes() for name in arrays)

    def zipnn(chunk: int) -> Packer:
        peer = ZipNN(bytearray_dtype=dtype, input_format="byte", threads=THREADS, compression_chunk=chunk)
        return Packer(lambda: bytearray(blob), peer.compress, peer.decompress)

    def blosc(shuffle: blosc2.Filter) -> Packer:
        options = {"codec": blosc2.Codec.ZSTD, "clevel": 1, "typesize": width, "nthreads": THREADS}
        return Packer(
            lambda: blob,
            lambda data: blosc2.compress2(data, filters=[shuffle], filters_meta=[0], **options),
            lambda data: blosc2.decompress2(data, nthreads=THREADS),
        )

    level = zstandard.ZstdCompressor(level=3, threads=THREADS)

    def zt_pack(tree: formats.Tree) -> Any:
        path = settings.fast / f"packed-{secrets.token_hex(4)}"
        formats.ztensor_save(tree, path, "zt.zstd-seekable/1")
        return path

    def zt_unpack(path: Any) -> dict[str, bytes]:
        return formats.ztensor_load(lambda tensor: tensor.tobytes(), path)

    return {
        "ptformat": ours("planes"),
        "ZipNN": zipnn(2**18),  # as it is by default
        "ZipNN, smaller chunks": zipnn(2**17),  # smallest
        "blosc2 zstd+shuffle": blosc(blosc2.Filter.SHUFFLE),
        "blosc2 zstd+bitshuffle": blosc(blosc2.Filter.BITSHUFFLE),
        "zstd -3": Packer(lambda: blob, level.compress, lambda data: zstandard.ZstdDecompressor().decompress(data)),
        "zTensor": Packer(
            lambda: arrays,
            zt_pack,
            zt_unpack,
            size=os.path.getsize,
            plain=lambda tree: b"".join(tree[name] for name in arrays),
        ),
        "ptformat auto": ours("auto"),
    }
