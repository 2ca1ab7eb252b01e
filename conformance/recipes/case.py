"""One case: a file, what a reader must say of it, and where the specification says so."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from . import logical
from .draft import Draft
from .elements import nbytes

SECONDS = 5.0
MEMORY_MIB = 64  # beyond what the file declares
PHASES = ("open", "read", "verify")
_SLUG = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


@dataclass(frozen=True, kw_only=True)
class Case:
    """One case.

    Attributes:
        slug: Its name within its area: `perm-reversed`. An invalid case is named after its fault.
        data: The bytes of the file.
        section: Of the specification, such as `3.4`.
        comment: What it is about, in a few words.
        content: What an accepted file holds (`logical.content`); None for a rejected one.
        raw: The same content as section 8.3 has it; None for a rejected file.
        codes: The codes of section 10.1 with which it may be rejected; of an accepted file none, but where the
            specification leaves it to the reader.
        phase: When the fault is met at the latest: `open`, `read` or `verify`; None where it is accepted.
        step: The step of section 10.2 that finds the fault; None where none does.
        level: `required`, or `recommended` for what the specification only recommends.
        readers: `1.x`, or `1.0` where a reader of a later version may answer otherwise.
        seconds: How long an answer may take.
        memory: MiB that an answer may take.
    """

    slug: str
    data: bytes
    section: str
    comment: str
    content: dict[str, Any] | None = None
    raw: bytes | None = None
    codes: tuple[str, ...] = ()
    phase: str | None = None
    step: int | None = None
    level: str = "required"
    readers: str = "1.x"
    seconds: float = SECONDS
    memory: int = MEMORY_MIB

    def __post_init__(self) -> None:
        if not _SLUG.fullmatch(self.slug):
            raise ValueError(f"slug {self.slug!r}")
        rejected = self.content is None
        if (rejected and not self.codes) or (self.phase in PHASES) != rejected:
            raise ValueError(f"{self.slug}: neither accepted nor rejected")

    def files(self) -> dict[str, bytes]:
        """Suffix -> bytes of the files it is made of."""
        if self.content is None:
            return {".ptf": self.data}
        return {".ptf": self.data, ".json": _lines(self.content).encode()}

    def row(self, area: str) -> dict[str, Any]:
        """Its row of the manifest."""
        version = self.data[8:12]
        row: dict[str, Any] = {
            "id": f"{area}/{self.slug}",
            "file": f"{area}/{self.slug}.ptf",
            "sha256": hashlib.sha256(self.data).hexdigest(),
            "size": len(self.data),
            "version": f"{version[0] | version[1] << 8}.{version[2] | version[3] << 8}" if len(version) == 4 else None,
            "readers": self.readers,
            "level": self.level,
            "section": self.section,
            "step": self.step,
            "verdict": "accept" if self.content is not None else "reject",
            "phase": self.phase,
            "codes": list(self.codes),
            "seconds": self.seconds,
            "memory_mib": self.memory,
            "comment": self.comment,
        }
        if self.raw is not None:
            row["raw_sha256"] = hashlib.sha256(self.raw).hexdigest()
        return row


def _lines(content: dict[str, Any]) -> str:
    """JSON with a line for each key, and for each entry."""
    lines = []
    for key, value in content.items():
        shown = json.dumps(value)
        if key == "entries":
            shown = "[\n  " + ",\n  ".join(map(json.dumps, value)) + "\n ]"
        lines.append(f" {json.dumps(key)}: {shown}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def accept(slug: str, draft: Draft, section: str, comment: str, data: bytes | None = None, **facts: Any) -> Case:
    """A file to be accepted: the one that the draft makes, or `data` where it holds the same content otherwise."""
    declared = sum(nbytes(entry.dtype, entry.shape) for entry in draft.of_type("tensor"))
    facts.setdefault("memory", MEMORY_MIB + -(-declared // 2**20))
    return Case(
        slug=slug,
        data=draft.file() if data is None else data,
        section=section,
        comment=comment,
        content=logical.content(draft),
        raw=draft.raw().file(),
        **facts,
    )


def reject(
    slug: str, data: bytes, codes: str | Iterable[str], section: str, comment: str, *, phase: str = "open", **facts: Any
) -> Case:
    """A file to be rejected, with one code or any of several."""
    held = (codes,) if isinstance(codes, str) else tuple(codes)
    return Case(slug=slug, data=data, section=section, comment=comment, codes=held, phase=phase, **facts)
