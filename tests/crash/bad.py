"""Saves that break the promise, each in its own way: what `run` says of saves is worth what it finds in these.

python tests/crash/bad.py prints those whose fault was not found; the exit code is 1 if there is one.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

if __package__ in (None, ""):  # run as a file
    sys.path.insert(0, str(Path(__file__).parent.parent))

from crash import acts, child, faults
from crash.runs import staged, tried
from crash.saves import Save
from ptformat import save

NEW = save(acts.tree(1))
OLD = acts.old("x.ptf")


@contextlib.contextmanager
def named(path: Path) -> Iterator[None]:
    """The caller's name in every error."""
    try:
        yield
    except OSError as error:
        error.filename = str(path)
        raise


def put(folder: Path, *, sync: bool = True, sync_folder: bool = True, retry: bool = False, clean: bool = True) -> None:
    """What a careful save does, but for what is left out."""
    path = folder / "to" / "x.ptf"
    temporary = folder / "to" / f".x.{child.SUFFIX}.tmp"
    with named(path):
        try:
            with open(temporary, "wb", buffering=0) as file:
                left = memoryview(NEW)
                while left:
                    left = left[file.write(left) :]
                if sync:
                    try:
                        os.fsync(file)
                    except OSError:
                        if not retry:
                            raise
                        os.fsync(file)
            os.replace(temporary, path)
        except BaseException:
            if clean:
                with contextlib.suppress(OSError):
                    temporary.unlink()
            raise
        if sync_folder:
            fd = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)


def in_place(folder: Path) -> None:
    path = folder / "to" / "x.ptf"
    with named(path):
        path.write_bytes(NEW)


def removed_before(folder: Path) -> None:
    with named(folder / "to" / "x.ptf"):
        (folder / "to" / "x.ptf").unlink()
    put(folder)


def silent(folder: Path) -> None:
    with contextlib.suppress(OSError):
        put(folder)


def other_name(folder: Path) -> None:
    try:
        put(folder)
    except OSError as error:
        error.filename = str(folder / "to" / f".x.{child.SUFFIX}.tmp")
        raise


def other_error(folder: Path) -> None:
    try:
        put(folder)
    except OSError as error:
        raise RuntimeError("cannot save") from error


def source_changed(folder: Path) -> None:
    (folder / "from" / "seen").touch()
    put(folder)


def aside(folder: Path) -> None:
    """A copy of the old file beside it, which stays when the save fails."""
    copy = folder / "to" / "x.bak"
    with named(folder / "to" / "x.ptf"):
        copy.write_bytes(b"")
        put(folder)
        copy.unlink()


# (what is wrong with it, the save, the beginning of what must be found)
BAD = (
    ("in place", in_place, "neither the old file nor the new one"),
    ("not synced", lambda folder: put(folder, sync=False), "not synced before the rename"),
    ("folder not synced", lambda folder: put(folder, sync_folder=False), "not synced at the end"),
    ("synced again", lambda folder: put(folder, retry=True), "fsync again after a failed one"),
    ("not cleaned", lambda folder: put(folder, clean=False), "left behind"),
    ("removed before", removed_before, "nothing stands under a name that had a file"),
    ("silent", silent, "it says nothing of its failure"),
    ("other name", other_name, "no line that names the caller's path"),
    ("other error", other_error, "exit code 70"),
    ("source changed", source_changed, "the source was changed"),
    ("aside", aside, "left under a name that is not temporary"),
)


def main() -> int:
    missed = []
    for name, act, expected in BAD:
        with staged(Save(name, act, old=OLD), Path("/var/tmp"), Path("/dev/shm")) as stage:
            events, paths = stage.recorded()
            struck = (line for run in tried(stage, faults.every(events), paths) for line in run[2].wrong)
            if not any(line.startswith(expected) for line in chain(stage.unsynced(events), struck)):
                missed.append(name)
    print(*missed, sep="\n", end="")
    print(f"{len(BAD) - len(missed)} of {len(BAD)} found", file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
