"""Small files of every kind, cut at every length and changed in every byte: a sound read, or one error of one line."""

import collections
from pathlib import Path

import pytest

from hostile.judge import bounded, verdict
from hostile.seeds import KINDS, seed

BITS = tuple(1 << bit for bit in range(8))
# Kind -> changes of a byte, where a byte more takes longer than in files of a few hundred.
SOME = {"torch": (0x01, 0xFF), "torch-legacy": (0x01, 0x20, 0xFF), "npz": (0x01, 0x20, 0x80, 0xFF), "ptf": (0x10,)}
SOME |= {"ptf-zstd": (0x10,), "sharded": (0x01, 0x20), "huggingface": (0x80,)}
# Directories of orbax' are some thousand bytes in many files: every third byte once, every third length.
STEPS = {kind: 3 for kind in KINDS if kind.startswith("orbax")}


def attacks(kind: str, data: bytes) -> list[bytes]:
    """Every length, and every byte changed."""
    step = STEPS.get(kind, 1)
    changes = SOME.get(kind, BITS) if step == 1 else (0x04,)
    cut = [data[:length] for length in range(0, len(data), step)]
    places = [(at, change) for at in range(0, len(data), step) for change in changes]
    return cut + [data[:at] + bytes([data[at] ^ change]) + data[at + 1 :] for at, change in places]


@pytest.mark.parametrize("kind", KINDS)
def test_each_is_one_error_or_sound(kind: str, tmp_path: Path) -> None:
    sound = seed(kind)
    path = sound.write(tmp_path)
    assert verdict(path) == "read"
    found = collections.Counter[str]()
    with bounded():
        for name, data in sound.files.items():
            for attack in attacks(kind, data):
                (tmp_path / name).write_bytes(attack)
                found[verdict(path)] += 1
            (tmp_path / name).write_bytes(data)
    assert verdict(path) == "read"
    total = sum(len(attacks(kind, data)) for data in sound.files.values())
    assert found.total() == total
    # What is not checksummed is read as other numbers; everything else is noticed.
    assert {"MALFORMED", "TRUNCATED"} & set(found)
    assert found["read"] < 0.55 * total
