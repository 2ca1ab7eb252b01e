"""Writes the cases and their manifest, or compares what is there: `python -m conformance.recipes [--check]`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from . import areas, cases, convert

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "cases"
MANIFEST = "manifest.json"
SUITE = "1.0"
# Ids of cases that were taken out. They are never given to another case.
RETIRED: tuple[str, ...] = ()


def build() -> dict[str, bytes]:
    """Path within the folder of cases -> bytes, of every file that belongs there."""
    files: dict[str, bytes] = {}
    rows: list[dict[str, Any]] = []
    for area in areas():
        for case in cases(area):
            row = case.row(area)
            if f"{row['id']}.ptf" in files:
                raise ValueError(f"two cases {row['id']}")
            files |= {f"{row['id']}{suffix}": data for suffix, data in case.files().items()}
            rows.append(row)
    nets = convert.groups().values()
    for net in nets:
        files |= net.plans()
    head = f'"suite": "{SUITE}",\n "retired": {json.dumps(RETIRED)}'
    conversions = (row for net in nets for row in net.rows())
    text = f'{{{head},\n "cases": {_lines(rows)},\n "conversions": {_lines(conversions)}}}\n'
    files[MANIFEST] = text.encode()
    return files


def _lines(rows: Iterable[Mapping[str, Any]]) -> str:
    """A JSON array with a row on a line."""
    return "[\n  " + ",\n  ".join(json.dumps(row) for row in rows) + "\n ]"


def main(arguments: list[str]) -> int:
    """Write, or `--check`: the exit code."""
    if arguments not in ([], ["--check"]):
        print(__doc__, file=sys.stderr)
        return 2
    wanted = build()
    found = {path.relative_to(FOLDER).as_posix(): path for path in FOLDER.rglob("*") if path.is_file()}
    stray = sorted(found.keys() - wanted.keys())
    changed = [name for name, data in wanted.items() if name not in found or found[name].read_bytes() != data]
    if arguments:
        for name in changed + stray:
            print(f"{name}: {'no recipe makes it' if name in stray else 'not what its recipe makes'}", file=sys.stderr)
        return bool(changed + stray)
    for name in stray:
        found[name].unlink()
    for name in changed:
        (FOLDER / name).parent.mkdir(parents=True, exist_ok=True)
        (FOLDER / name).write_bytes(wanted[name])
    total = sum(map(len, wanted.values()))
    print(f"{len(wanted)} files, {total} bytes; {len(changed)} written, {len(stray)} removed")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
