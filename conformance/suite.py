"""The cases as the manifest lists them."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from . import recipes
from .recipes.large import SLUGS

ROOT = Path(__file__).resolve().parent
CASES = ROOT / "cases"
COPIED = ("README.md", "manifest.schema.json", "cases")  # what an implementer needs


@dataclass(frozen=True, slots=True)
class Listed:
    """A row of the manifest.

    Attributes:
        id: Such as `invalid/trailer/own-checksum`; never given to another case.
        file: Path of the file, beneath the folder of cases.
        sha256: Of its bytes, in hex.
        size: Bytes.
        version: The version that the file says it has, or None where it is too short.
        readers: `1.x`, or `1.0` where readers of later versions may answer otherwise.
        level: `required` or `recommended`.
        section: Of the specification.
        step: Of section 10.2, or None.
        verdict: `accept` or `reject`.
        phase: When a fault is met at the latest: `open`, `read`, `verify`; None for an accepted file.
        codes: With which it may be rejected; of an accepted file, where that is left to the reader.
        seconds: How long an answer may take.
        memory_mib: How much memory it may take.
        comment: What it is about.
        raw_sha256: Of the same content written raw; None for a rejected file, and for some that are made on demand.
        folder: Where the files are.
    """

    id: str
    file: str
    sha256: str
    size: int
    version: str | None
    readers: str
    level: str
    section: str
    step: int | None
    verdict: str
    phase: str | None
    codes: tuple[str, ...]
    seconds: float
    memory_mib: int
    comment: str
    raw_sha256: str | None = None
    folder: Path = CASES

    @property
    def area(self) -> str:
        """The id without its last part."""
        return self.id.rpartition("/")[0]

    def row(self) -> dict[str, Any]:
        """Its row of the manifest."""
        made = asdict(self)
        del made["folder"]
        if self.raw_sha256 is None:
            del made["raw_sha256"]
        return made

    @property
    def expected(self) -> str:
        """What is to be said of the file, in words."""
        if self.verdict == "accept":
            return " or ".join(("accept", *self.codes))
        return f"{' or '.join(self.codes)} ({self.phase})"

    @property
    def path(self) -> Path:
        """Where the file is."""
        return self.folder / self.file

    def content(self) -> dict[str, Any]:
        """What an accepted file holds."""
        made: dict[str, Any] = json.loads(self.path.with_suffix(".json").read_bytes())
        return made


def listed(chosen: Iterable[str] = (), *, levels: Iterable[str] = ("required", "recommended")) -> list[Listed]:
    """The cases of these levels whose id is one of those chosen or lies beneath one; all where none is chosen.

    Raises:
        LookupError: For a choice that no case answers to.
    """
    rows = json.loads((CASES / "manifest.json").read_bytes())["cases"]
    return among(
        [Listed(**{**row, "codes": tuple(row["codes"])}) for row in rows if row["level"] in (*levels,)], chosen
    )


class _Identified(Protocol):
    @property
    def id(self) -> str: ...


T = TypeVar("T", bound=_Identified)


def among(found: Sequence[T], chosen: Iterable[str]) -> list[T]:
    """Those whose id is one of those chosen or lies beneath one; all where none is chosen.

    Raises:
        LookupError: For a choice that nothing answers to.
    """
    wanted = [name.strip("/") for name in chosen]
    for name in wanted:
        if not any(_beneath(case.id, name) for case in found):
            raise LookupError(f"no case {name!r}")
    return [case for case in found if not wanted or any(_beneath(case.id, name) for name in wanted)]


LARGE = tuple(f"large/{slug}" for slug in SLUGS)


def large(folder: Path) -> Iterator[Listed]:
    """The cases whose files are too large to be kept (`recipes.large`), each made in a folder when it is asked for."""
    for case in recipes.cases("large"):
        row = case.row("large")
        for suffix, data in case.files().items():
            path = folder / f"{row['id']}{suffix}"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(data)
        yield Listed(**{**row, "codes": tuple(row["codes"])}, folder=folder)


def _beneath(ident: str, name: str) -> bool:
    return ident == name or ident.startswith(f"{name}/")


def damaged(cases: Iterable[Listed]) -> list[str]:
    """The ids of cases whose file is not the one that the manifest lists."""
    return [case.id for case in cases if hashlib.sha256(case.path.read_bytes()).hexdigest() != case.sha256]


def copy(target: Path) -> int:
    """Copy cases, manifest, schema and protocol into a new folder; gives the number of files.

    Raises:
        FileExistsError: When the folder is there and not empty.
    """
    if target.exists() and any(target.iterdir()):
        raise FileExistsError(17, "the folder is not empty", str(target))
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, target / name)
        else:
            target.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target / name)
    return sum(path.is_file() for path in target.rglob("*"))
