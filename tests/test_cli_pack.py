import re
from pathlib import Path

import numpy as np
import safetensors.numpy
from cli_files import arrays, deck_ptf, deck_safetensors, run

import ptformat


def repetitive(path: Path) -> Path:
    """1,000,080 bytes that shrink well."""
    safetensors.numpy.save_file({"w": np.tile(np.arange(250, dtype=np.float32), 1000)}, path)
    return path


def test_pack_compresses_and_says_how_much(tmp_path: Path) -> None:
    source, target = repetitive(tmp_path / "m.safetensors"), tmp_path / "m.ptf"
    result = run("pack", source, target)
    assert (result.exit_code, result.stderr) == (0, "")
    share = f"{100 * target.stat().st_size / source.stat().st_size:.1f}"
    assert float(share) < 5
    sizes = rf"\d+\.\d kB|\d+ B), {share} % of 1\.0 MB, 1 tensor, \d+\.\d s\n"
    assert re.fullmatch(rf"{re.escape(str(target))}  (?:{sizes}", result.stdout)
    assert ptformat.verify(target).nbytes == 1_000_000


def test_raw_leaves_the_bytes_as_they_are(tmp_path: Path) -> None:
    source, target = repetitive(tmp_path / "m.safetensors"), tmp_path / "m.ptf"
    assert run("pack", source, target, "--raw").exit_code == 0
    data = safetensors.numpy.load_file(source)["w"].tobytes()
    assert data in target.read_bytes()


def test_there_and_back_every_bit(tmp_path: Path) -> None:
    source = deck_safetensors(tmp_path / "deck.safetensors")
    packed, back = tmp_path / "deck.ptf", tmp_path / "back.safetensors"
    assert run("pack", source, packed).exit_code == 0
    result = run("unpack", packed, back)
    assert re.fullmatch(rf"{re.escape(str(back))}  \d+ B, 4 tensors, \d+\.\d s\n", result.stdout)
    assert result.stderr == ""
    found, expected = safetensors.numpy.load_file(back), arrays()
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert found[name].tobytes() == array.tobytes()
        assert found[name].shape == array.shape
    with safetensors.safe_open(back, "numpy") as file:
        assert file.metadata() == {"format": "pt"}


def test_a_ptf_can_be_packed_again_and_unpacked_to_raw(tmp_path: Path) -> None:
    source = deck_ptf(tmp_path / "raw.ptf", shared=True)
    packed, back = tmp_path / "packed.ptf", tmp_path / "back.ptf"
    assert run("pack", source, packed).exit_code == 0
    assert run("unpack", packed, back).exit_code == 0
    assert back.read_bytes() == source.read_bytes()


def test_quiet(tmp_path: Path) -> None:
    source = deck_safetensors(tmp_path / "deck.safetensors")
    assert run("pack", source, tmp_path / "deck.ptf", "--quiet").output == ""
    assert run("unpack", tmp_path / "deck.ptf", tmp_path / "back.safetensors", "--quiet").output == ""
    assert (tmp_path / "back.safetensors").exists()


def test_a_target_that_is_a_link_keeps_being_one(tmp_path: Path) -> None:
    source = deck_safetensors(tmp_path / "deck.safetensors")
    real, link = tmp_path / "real.ptf", tmp_path / "link.ptf"
    real.write_bytes(b"old")
    link.symlink_to(real)
    assert run("pack", source, link).exit_code == 0
    assert link.is_symlink()
    assert ptformat.verify(real).tensors == 4
