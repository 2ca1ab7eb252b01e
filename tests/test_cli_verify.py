import json
import re
from pathlib import Path

from cli_files import deck_ptf, deck_safetensors, run

FINE = r"{}: fine \({}, every byte checked, \d+\.\d s\)"


def flipped(path: Path, byte: int) -> Path:
    data = bytearray(path.read_bytes())
    data[byte] ^= 0x10
    path.write_bytes(data)
    return path


def test_a_sound_file(tmp_path: Path) -> None:
    path = deck_ptf(tmp_path / "deck.ptf")
    result = run("verify", path)
    assert (result.exit_code, result.stderr) == (0, "")
    assert re.fullmatch(FINE.format(re.escape(str(path)), "4 tensors, 0 aliases") + "\n", result.stdout)


def test_aliases_are_counted_apart(tmp_path: Path) -> None:
    result = run("verify", deck_ptf(tmp_path / "shared.ptf", shared=True))
    assert "6 tensors, 2 aliases" in result.stdout


def test_every_file_is_checked_and_one_bad_one_decides(tmp_path: Path) -> None:
    good, last = deck_ptf(tmp_path / "good.ptf"), deck_ptf(tmp_path / "last.ptf", codec="zstd")
    broken, other = flipped(deck_ptf(tmp_path / "broken.ptf"), 70), deck_safetensors(tmp_path / "other.ptf")
    result = run("verify", good, broken, tmp_path / "missing.ptf", other, last)
    assert result.exit_code == 1
    assert [line.partition(": fine")[0] for line in result.stdout.splitlines()] == [str(good), str(last)]
    checksum, missing, magic = result.stderr.splitlines()
    pattern = (
        r"{}: CHECKSUM: tensor '0\.weight', chunk 0 at byte 64: xxh3 [0-9a-f]{{16}} stored, [0-9a-f]{{16}} computed"
    )
    assert re.fullmatch(pattern.format(re.escape(str(broken))), checksum)
    assert missing == f"{tmp_path / 'missing.ptf'}: No such file or directory"
    assert magic.startswith(f"{other}: MAGIC: the file begins with ")


def test_json(tmp_path: Path) -> None:
    good, broken = deck_ptf(tmp_path / "good.ptf", shared=True), flipped(deck_ptf(tmp_path / "broken.ptf"), 70)
    result = run("verify", good, broken, tmp_path, "--json")
    assert (result.exit_code, result.stderr) == (1, "")
    fine, bad, folder = json.loads(result.stdout)
    assert fine.pop("seconds") >= 0
    assert fine == {
        "file": str(good),
        "fine": True,
        "tensors": 6,
        "aliases": 2,
        "parameters": 121,
        "nbytes": 484,
        "file_bytes": good.stat().st_size,
    }
    assert (bad["fine"], bad["code"]) == (False, "CHECKSUM")
    assert folder == {"file": str(tmp_path), "fine": False, "code": None, "message": "Is a directory"}
