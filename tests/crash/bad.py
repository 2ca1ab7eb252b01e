"""Saves that break the promise, each in its own way: what `run` says of saves is worth what it finds in these.

python tests/crash/bad.py prints those whose fault was not found; the exit code is 1 if there is one.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import sys
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path

if __package__ in (None, ""):  # run as a file
    sys.path.insert(0, str(Path(__file__).parent.parent))

from crash import acts, child, faults
from crash.runs import staged, tried
from crash.saves import Save, content
from ptformat import FormatError, load_file
from ptformat import save as bytes_of
from ptformat.converters.files import folder as directories

NEW = bytes_of(acts.tree(1))
OLD = acts.old("x.ptf")


def replacing(name: str, act: acts.Act) -> Save:
    return Save(name, act, old=OLD)


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
            sync_one(path.parent)


def sync_one(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def put_by(write: Callable[[int], object]) -> acts.Act:
    """A save that writes a file in its own way, and does not sync it."""

    def act(folder: Path) -> None:
        path, temporary = folder / "to" / "x.ptf", folder / "to" / f".x.{child.SUFFIX}.tmp"
        fd = os.open(temporary, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            write(fd)
        finally:
            os.close(fd)
        os.replace(temporary, path)
        sync_one(path.parent)

    return act


def mapped(fd: int) -> None:
    os.ftruncate(fd, len(NEW))
    os.fsync(fd)
    with mmap.mmap(fd, len(NEW)) as pages:
        pages[:] = NEW


def writev_silent(fd: int) -> None:
    with contextlib.suppress(OSError):
        os.writev(fd, [NEW])
    os.fsync(fd)


def put_folder(folder: Path) -> None:
    """A directory whose files are synced, but not their names in it."""
    directories._sync = lambda made: [sync_one(path) for path in made.iterdir()]  # in the child alone
    acts.copy("model")(folder)


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


class Unread(Save):
    """Its reader ends half of a file by an exception that is none of the library's."""

    def identity(self, folder: Path) -> str:
        return child.computed(lambda: readable(folder / "to" / self.target))


def readable(path: Path) -> str:
    try:
        load_file(path, verify=True)
    except FormatError as error:
        raise ValueError("this reader's own") from error
    return content(path)


# (a save named by what is wrong with it, the beginning of what must be found)
BAD = (
    (replacing("in place", in_place), "neither the old file nor the new one"),
    (replacing("not synced", lambda folder: put(folder, sync=False)), "not synced before the rename"),
    (replacing("folder not synced", lambda folder: put(folder, sync_folder=False)), "not synced at the end"),
    (replacing("synced again", lambda folder: put(folder, retry=True)), "fsync again after a failed one"),
    (replacing("not cleaned", lambda folder: put(folder, clean=False)), "left behind"),
    (replacing("removed before", removed_before), "nothing stands under a name that had a file"),
    (replacing("silent", silent), "it says nothing of its failure"),
    (replacing("other name", other_name), "no line that names the caller's path"),
    (replacing("other error", other_error), "exit code 70"),
    (replacing("source changed", source_changed), "the source was changed"),
    (replacing("aside", aside), "left under a name that is not temporary"),
    (replacing("writev", put_by(lambda fd: os.writev(fd, [NEW]))), "not synced before the rename: writev("),
    (replacing("pwritev", put_by(lambda fd: os.pwritev(fd, [NEW], 0))), "not synced before the rename: pwritev"),
    (replacing("mapped", put_by(mapped)), "not synced before the rename: mmap("),
    (replacing("writev, silent", put_by(writev_silent)), "neither the old file nor the new one"),
    (Save("names not synced", put_folder, "model", source=acts.source), "not synced before the rename: rename("),
    (Unread("in place, unread", in_place, old=OLD), "neither the old file nor the new one"),
)


def main() -> int:
    missed = []
    for save, expected in BAD:
        with staged(save, Path("/var/tmp"), Path("/dev/shm")) as stage:
            events, paths = stage.recorded()
            struck = (line for run in tried(stage, faults.every(events), paths) for line in run[2].wrong)
            if not any(line.startswith(expected) for line in chain(stage.unsynced(events), struck)):
                missed.append(save.name)
    print(*missed, sep="\n", end="")
    print(f"{len(BAD) - len(missed)} of {len(BAD)} found", file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
