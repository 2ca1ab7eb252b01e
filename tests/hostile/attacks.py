"""One attack on a seed: its structure changed so that what is changed is reached, or its bytes as they are."""

from __future__ import annotations

import json
import struct
import sys
from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

import msgpack
import zstandard

from hostile import texts
from hostile.archives import members, npy_smashed, packed, zip_smashed
from hostile.pickling import opcodes, pickle_smashed
from hostile.seeds import Link, Seed
from hostile.smashing import INTEGERS, TEXTS, changed, json_smashed, smashed

Change = Callable[[Random, bytes], bytes]


def attacked(rng: Random, kind: str, sound: Seed) -> Seed:
    """The seed of a kind after an attack."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(10_000)  # to write what is nested too deeply for others
    try:
        return ATTACKS.get(kind, _any)(rng, sound)
    finally:
        sys.setrecursionlimit(limit)


def _file(change: Change) -> Callable[[Random, Seed], Seed]:
    """An attack on the one file that there is; one in six changes its bytes as they are."""

    def attack(rng: Random, sound: Seed) -> Seed:
        data = sound.files[sound.opened]
        made = smashed(rng, data) if rng.random() < 1 / 6 else change(rng, data)
        return sound.changed(**{sound.opened: made})

    return attack


def _any(rng: Random, sound: Seed) -> Seed:
    name = rng.choice(list(sound.files))
    return sound.changed(**{name: smashed(rng, sound.files[name])})


def _safetensors(rng: Random, data: bytes) -> bytes:
    """The header changed and its length repaired; in one of ten the length lies."""
    size = int.from_bytes(data[:8], "little")
    header = json_smashed(rng, data[8 : 8 + size])
    length = len(header) if rng.random() < 0.9 else rng.choice((*INTEGERS, len(header) - 1, len(header) + 1, 10**8))
    return struct.pack("<Q", length) + header + data[8 + size :]


def _npz(rng: Random, data: bytes) -> bytes:
    held = members(data)
    at = rng.randrange(len(held))
    if rng.random() < 0.6:
        held[at] = replace(held[at], data=npy_smashed(rng, held[at].data))
    return zip_smashed(rng, held) if rng.random() < 0.6 else packed(held)


def _torch(rng: Random, data: bytes) -> bytes:
    """The pickle changed and its checksum repaired, or the archive."""
    held = members(data)
    for at, each in enumerate(held):
        if each.name.endswith(b"data.pkl") and rng.random() < 0.8:
            held[at] = replace(each, data=pickle_smashed(rng, each.data))
    return zip_smashed(rng, held) if rng.random() < 0.25 else packed(held)


def _legacy(rng: Random, data: bytes) -> bytes:
    """One of the pickles changed, or what lies behind them."""
    parts: list[bytes] = []
    for _ in range(5):
        codes = opcodes(data)
        rest = codes.pop() if codes[-1][:1] != b"." else b""
        parts.append(b"".join(codes))
        data = rest
    at = rng.randrange(7)
    if at < 5:
        parts[at] = pickle_smashed(rng, parts[at])
    elif at == 5:
        parts[3] = pickle_smashed(rng, parts[3])
    return b"".join([*parts, smashed(rng, data) if at == 6 else data])


def _msgpack(rng: Random, data: bytes) -> bytes:
    tree = msgpack.unpackb(data, strict_map_key=False)
    return _packed(rng, changed(rng, _opened(tree)))


def _opened(value: Any) -> Any:
    """The fields of flax's extensions too, so that each of them is changed."""
    if isinstance(value, msgpack.ExtType):
        return {"\0ext": value.code, "\0fields": _opened(msgpack.unpackb(value.data))}
    if isinstance(value, dict):
        return {key: _opened(item) for key, item in value.items()}
    return [_opened(item) for item in value] if isinstance(value, list) else value


def _packed(rng: Random, value: Any) -> bytes:
    if isinstance(value, dict) and "\0ext" in value:
        code = value["\0ext"] if type(value["\0ext"]) is int else 1
        body = _packed(rng, value.get("\0fields"))
        length = len(body) if rng.random() < 0.95 else rng.choice(INTEGERS)
        return b"\xc9" + struct.pack(">Ib", length & 0xFFFFFFFF, (code + 128) % 256 - 128) + body
    if isinstance(value, dict):
        items = [_packed(rng, key) + _packed(rng, item) for key, item in value.items()]
        count = len(items) if rng.random() < 0.97 else rng.choice(INTEGERS) & 0xFFFFFFFF
        return b"\xdf" + struct.pack(">I", count) + b"".join(items)
    if isinstance(value, list):
        count = len(value) if rng.random() < 0.97 else rng.choice(INTEGERS) & 0xFFFFFFFF
        return b"\xdd" + struct.pack(">I", count) + b"".join(_packed(rng, item) for item in value)
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        value = float("inf")
    packed: bytes = msgpack.packb(value, unicode_errors="surrogatepass")
    return packed


LINKS = ("../outside", "/etc/passwd", "/dev/zero", "/proc/self/mem", "gone", ".", "..", "one.safetensors")


def _linked(rng: Random, sound: Seed) -> Seed:
    """A file of the directory is a link, a pipe, or gone."""
    name = rng.choice(list(sound.files))
    other = rng.choice((Link(rng.choice(LINKS)), Link(rng.choice(list(sound.files))), None, b""))
    files = {key: data for key, data in sound.files.items() if key != name or rng.random() < 0.9}
    return Seed({**files, name: other} if name in files else files, sound.opened)


def _sharded(rng: Random, sound: Seed) -> Seed:
    """The index changed, or a shard, or what is a file."""
    which = rng.random()
    if which < 0.1 and sound.opened == ".":
        return _linked(rng, sound)
    index = next(name for name in sound.files if name.endswith(".index.json"))
    if which < 0.75:
        text = sound.files[index]
        if rng.random() < 0.3:
            said = json.loads(text)
            said["weight_map"][rng.choice((*said["weight_map"], "x"))] = rng.choice(
                (*TEXTS, index, "config.json", *LINKS)
            )
            return sound.changed(**{index: json.dumps(said).encode()})
        return sound.changed(**{index: json_smashed(rng, text)})
    shard = rng.choice(("one.safetensors", "two.safetensors"))
    return sound.changed(**{shard: _safetensors(rng, sound.files[shard])})


def crc32c(data: bytes) -> int:
    """The checksum of OCDBT's nodes (Castagnoli)."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def _node(rng: Random, data: bytes) -> bytes:
    """A node of OCDBT, decoded, changed, and with length and checksum of what it has become.

    Magic, u64 length of all, version, compression (1: zstd), what is compressed, CRC-32C.
    """
    if data[13:14] != b"\1":
        return smashed(rng, data)
    inner = zstandard.ZstdDecompressor().decompressobj().decompress(data[14:-4])
    held = data[12:14] + zstandard.ZstdCompressor().compress(smashed(rng, inner))
    made = data[:4] + struct.pack("<Q", len(held) + 16) + held
    return made + struct.pack("<L", crc32c(made))


def _orbax(rng: Random, sound: Seed) -> Seed:
    if rng.random() < 0.1:
        return _linked(rng, sound)
    name = rng.choice([*sound.files, "_METADATA"])
    data = sound.files[name]
    if data[:1] == b"{":
        change: Change = json_smashed
    elif name.endswith("manifest.ocdbt") or "/d/" in f"/{name}":
        change = _node if rng.random() < 0.7 else smashed
    else:
        change = smashed
    return sound.changed(**{name: change(rng, data)})


ATTACKS: dict[str, Callable[[Random, Seed], Seed]] = {
    **{kind: _file(change) for kind, change in texts.ATTACKS.items()},
    "safetensors": _file(_safetensors),
    "npz": _file(_npz),
    "npz-deflated": _file(_npz),
    "torch": _file(_torch),
    "torch-legacy": _file(_legacy),
    "msgpack": _file(_msgpack),
    "sharded": _sharded,
    "huggingface": _sharded,
    "orbax": _orbax,
    "orbax-zarr": _orbax,
    "orbax-zarr3": _orbax,
}
