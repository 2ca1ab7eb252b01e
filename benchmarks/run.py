"""Measure ptformat against its peers: every group of work in a process of its own, one table of all.

    python benchmarks/run.py [--only NAME ...] [--rounds N] [--quick] [--list]

Every run writes build/bench/. A full one also puts the table into benchmarks/README.md, and all figures and the
drawings beside it. Bars that are not reached are printed; the exit code tells of errors alone.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import machine
import report
from settings import Settings

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
GROUPS = {
    "start": "start",
    "save": "saving",
    "load": "loading",
    "many": "many",
    "archive": "archive",
    "convert": "convert",
    "memory": "memory",
    "growth": "growth",
}
TRANSFORMERS = ROOT / ".venv-transformers" / "bin" / "python"
TRANSFORMERS_PACKAGES = ("transformers", "tokenizers", "huggingface_hub", "torch", "flax", "jax")


def main() -> None:
    options = arguments()
    if options.list:
        print("\n".join(GROUPS))
        return
    if options.group:
        settings = Settings(options.fast, options.disk, ROOT, options.out, options.quick, options.rounds)
        in_group(settings, options.group, options.rows)
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # so that the folders are removed
    memory = Path("/dev/shm")
    in_memory = memory if memory.is_dir() and os.access(memory, os.W_OK) and machine.is_memory(memory) else None
    if in_memory is None:
        print("no file system in memory at /dev/shm: everything is on disk, and the bars of tmpfs mean little")
    build = ROOT / "build" / "bench"
    build.mkdir(parents=True, exist_ok=True)
    full = not (options.only or options.quick or options.rounds)
    with (
        tempfile.TemporaryDirectory(prefix="ptformat-bench-", dir=in_memory) as fast,
        tempfile.TemporaryDirectory(prefix="on-disk-", dir=build) as disk,
    ):
        settings = Settings(Path(fast), Path(disk), ROOT, build, options.quick, options.rounds)
        found = measured(settings, options.only or list(GROUPS))
    text = told(found)
    print(f"\n{text}")
    save(found, text, build)
    if full and not found["failed"]:
        keep(text, build)
    for line in found["unmet"]:
        print(f"not reached: {line}")
    print("a bar that is not reached is no error; the exit code is that of errors alone")
    if found["failed"]:
        sys.exit("failed: " + ", ".join(found["failed"]))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", nargs="+", choices=GROUPS, metavar="NAME", help="these groups (see --list)")
    parser.add_argument("--rounds", type=int, metavar="N", help="so many rounds of everything")
    parser.add_argument("--quick", action="store_true", help="small inputs, three rounds: whether everything works")
    parser.add_argument("--list", action="store_true", help="print the groups")
    parser.add_argument("--group", choices=GROUPS, help=argparse.SUPPRESS)  # the rest is of a group's own process
    for folder in ("--rows", "--fast", "--disk", "--out"):
        parser.add_argument(folder, type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def in_group(settings: Settings, group: str, target: Path) -> None:
    """One group, in this process; its rows go into a file."""
    rows = []
    for row in importlib.import_module(GROUPS[group]).rows(settings):
        print(f"  {row.work}: {report.lines(row)[0][0]}", file=sys.stderr)
        rows.append(row)
    target.write_text(json.dumps(report.as_json(rows)), encoding="utf-8")


def measured(settings: Settings, groups: list[str]) -> dict[str, Any]:
    """All rows, with what they were taken on."""
    facts = machine.facts({"in memory": settings.fast, "on disk": settings.disk})
    before, start = machine.load(), time.time()
    rows: list[report.Row] = []
    failed = []
    for group in groups:
        print(f"{group}, after {time.time() - start:.0f} s", file=sys.stderr)
        target = settings.disk / f"{group}.json"
        command = [sys.executable, __file__, "--group", group, "--rows", str(target), "--out", str(settings.out)]
        command += ["--fast", str(settings.fast), "--disk", str(settings.disk)]
        command += ["--quick"] if settings.quick else []
        command += ["--rounds", str(settings.rounds)] if settings.rounds else []
        if subprocess.run(command, env=environment()).returncode:
            failed.append(group)
        else:
            rows += map(report.as_row, json.loads(target.read_text(encoding="utf-8")))
    return {
        "machine": facts | {"load before": before, "load after": machine.load()},
        "versions": machine.versions(),
        "versions with transformers": machine.versions_in(TRANSFORMERS, TRANSFORMERS_PACKAGES),
        "date": time.strftime("%Y-%m-%d", time.gmtime(start)),
        "minutes": round((time.time() - start) / 60, 1),
        "quick": settings.quick,
        "failed": failed,
        "unmet": report.unmet(rows),
        "rows": rows,
    }


def environment() -> dict[str, str]:
    """That the peers do not talk, nor look for other devices."""
    return {**os.environ, "JAX_PLATFORMS": "cpu", "TF_CPP_MIN_LOG_LEVEL": "3", "TRANSFORMERS_VERBOSITY": "error"}


def told(found: dict[str, Any]) -> str:
    """The machine, the versions and the tables."""
    facts = "; ".join(
        f"{name} {fact}" if name[0].isupper() else f"{name}: {fact}" for name, fact in found["machine"].items()
    )
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    others = ", ".join(f"{name} {version}" for name, version in found["versions with transformers"].items())
    parts = [f"{found['date']}, {found['minutes']} minutes. {facts}.", f"Versions: {versions}."]
    if others:
        parts.append(f"In an environment of its own: {others}.")
    if found["quick"]:
        parts.append("**A quick run: small inputs, no measurement.**")
    return "\n\n".join([*parts, report.table(found["rows"])])


def save(found: dict[str, Any], text: str, folder: Path) -> None:
    """The table and every figure."""
    data = found | {"rows": report.as_json(found["rows"])}
    (folder / "last.json").write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    (folder / "last.md").write_text(text + "\n", encoding="utf-8")


def keep(text: str, build: Path) -> None:
    """A full run stands beside the code: the table in the README, the figures and the drawings."""
    readme = HERE / "README.md"
    readme.write_text(report.put_between(readme.read_text(encoding="utf-8"), text), encoding="utf-8")
    for file in (build / "last.json", *build.glob("growth-*.svg")):
        shutil.copy(file, HERE)


if __name__ == "__main__":
    main()
