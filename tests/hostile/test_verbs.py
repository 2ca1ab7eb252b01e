"""Every verb on every hostile file: exit code 1 and one line, no target, and no order reaches the terminal."""

import os
import re
import stat
from collections.abc import Iterable
from pathlib import Path

import pytest
from cli_files import READING, WRITING, run

from hostile.outside import CASES, built
from hostile.table import table

# What reads names and shapes alone may find nothing wrong with what is only seen when elements are read.
NO_ELEMENTS = ("tree", "dry-run")
LATER = ("CHECKSUM", "DATA", "LIMIT", "TRUNCATED", "MALFORMED", "OSError")
# A plan that cannot be made, before or instead of reading: a head, and a line for each problem.
PROBLEMS = re.compile(r"ptformat: [\d,]+ problems?, nothing written\n(  [a-z]+ +[^\n]+\n)+")


def states(folder: Path) -> dict[str, tuple[int, int]]:
    """Every name beneath a folder, what it is, and its size."""
    found = {path: os.lstat(path) for path in folder.rglob("*")}
    return {str(path): (stat.S_IFMT(each.st_mode), each.st_size) for path, each in found.items()}


def tried(path: Path, out: Path, code: str, verbs: Iterable[str] = READING) -> None:
    """Every verb on one file."""
    out.mkdir()
    for verb in verbs:
        before = states(out.parent)
        result = run(*READING[verb](path, out))
        said = result.stdout + result.stderr
        assert said.replace("\n", "").isprintable(), (verb, said)
        if result.exit_code == 0:
            assert code == "read" or (verb in NO_ELEMENTS and code in LATER), (verb, said)
            for made in out.iterdir() if verb in WRITING else ():
                made.unlink()
        elif not PROBLEMS.fullmatch(result.stderr):
            start = f"{'' if verb == 'verify' else 'ptformat: '}{path}: "
            assert result.stderr.startswith(start), (verb, said)
            assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (1, "", 1), (verb, said)
            told = result.stderr.removeprefix(start).partition(":")[0]
            # A sound file may hold what others cannot, which is told first; the system has names of its own.
            first = (verb, told) == ("recast", "TYPE")
            assert told == code or code in ("read", "OSError") or first or verb == "unpack", (verb, said)
        assert states(out.parent) == before, verb


@pytest.mark.parametrize("name", table())
def test_each_file_of_the_table(name: str, tmp_path: Path) -> None:
    held, code = table()[name]
    # All are refused when they are opened, and what laughs takes a while for it.
    tried(held.write(tmp_path), tmp_path / "out", code, ["verify"] if "laughs" in name else READING)


@pytest.mark.parametrize("name", CASES)
def test_each_that_leads_outside(name: str, tmp_path: Path) -> None:
    tried(built(name, tmp_path), tmp_path / "out", CASES[name].code)


@pytest.mark.parametrize("name", [name for name in table() if "a surrogate" in name])
@pytest.mark.parametrize("target", ["o.ptf", "o.safetensors", "o.msgpack", "o.pt", "o.npz", "o.orbax", "folder"])
def test_texts_that_no_utf_8_has(name: str, target: str, tmp_path: Path) -> None:
    """Pickles and JSON can spell lone surrogates: they are kept, left out with all metadata, or refused."""
    held, code = table()[name]
    path = held.write(tmp_path / "in")
    result = run("convert", path, tmp_path / target)
    if result.exit_code == 0:
        assert target in ("o.pt", "o.orbax") or (
            held.opened.endswith(".safetensors") and target in ("o.msgpack", "o.npz")
        )
    else:
        assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (1, "", 1)
        assert f"{path}: {'TYPE' if code == 'read' else code}: " in result.stderr
        assert not (tmp_path / target).exists()
