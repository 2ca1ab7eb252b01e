"""Saves to a disk that is really full: a tmpfs of every size from what the old file takes to what the new one needs.

Mounted in a namespace of mounts that only a child has; nobody else sees it.
"""

from __future__ import annotations

import ctypes
import json
import mmap
import os
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .child import SLOW, Child, computed
from .judging import judged
from .runs import Broken, Stage, Tally, staged
from .saves import SAVES, Save

NAMES = ("new, planes", "old, raw", "old, large, memory", "old, sharded", "npz")
FULL = tuple(save for save in SAVES if save.name in NAMES)
STEPS = 24
_NEWNS, _NEWUSER = 0x00020000, 0x10000000  # linux/sched.h
_REC, _PRIVATE = 0x4000, 0x40000  # linux/mount.h
_SLACK = 8 * mmap.PAGESIZE  # directories, and what a file is longer for a while


class CannotMount(Exception):
    """No file system can be mounted."""


def check() -> None:
    """Raise `CannotMount`, with what to do, where no file system can be mounted."""
    if problem := computed(_problem):
        what = "a container needs the capability SYS_ADMIN, or namespaces of users"
        raise CannotMount(f"a file system cannot be mounted ({problem}): {what}")


def _problem() -> str:
    try:
        _alone()
    except OSError as error:
        return str(error)
    return ""


def fill(save: Save, disk: Path, memory: Path) -> Tally:
    """Save to file systems of every size, in a child that may mount them."""
    told = json.loads(computed(lambda: _filled(save, disk, memory), SLOW * (STEPS + 5)))  # each save has `SLOW`
    return Tally(told["save"], Counter(told["counts"]), [tuple(line) for line in told["wrong"]], told["seconds"])


def _filled(save: Save, disk: Path, memory: Path) -> str:
    start = time.monotonic()
    tally = Tally(f"full: {save.name}")
    _alone()
    with staged(save, disk, memory) as stage:
        stage.reset()
        least = _taken(stage.folder / "to")
        with _sized(stage, 2**30):
            _run(stage, tally)
            most = _taken(stage.folder / "to") + least
        for step in range(STEPS):
            with _sized(stage, least + (most + _SLACK - least) * step // (STEPS - 1)):
                _run(stage, tally)
    if not tally.counts["failed"] or tally.counts["succeeded"] < 2:
        raise Broken(f"{save.name}: {tally.counts['failed']} sizes too small, {tally.counts['succeeded']} large enough")
    tally.seconds = time.monotonic() - start
    return json.dumps({"save": tally.save, "counts": tally.counts, "wrong": tally.wrong, "seconds": tally.seconds})


def _run(stage: Stage, tally: Tally) -> None:
    child = Child(lambda: stage.save.act(stage.folder))
    child.go()
    ended = child.ended()
    verdict = judged(stage.save, stage.folder, stage.facts, ended)
    tally.add(f"{os.statvfs(stage.folder / 'to').f_blocks * mmap.PAGESIZE} bytes", ended, verdict)
    if ended.code and not ended.said.endswith(": No space left on device\n"):
        tally.wrong.append(("full", ended.said))


@contextmanager
def _sized(stage: Stage, nbytes: int) -> Iterator[None]:
    """The folder as it was before the save, with `to/` on a file system of so many bytes."""
    stage.reset()
    to, aside = stage.folder / "to", stage.folder / "aside"
    to.rename(aside)
    to.mkdir()
    _called("mount", b"tmpfs", os.fsencode(to), b"tmpfs", 0, f"size={nbytes}".encode())
    try:
        shutil.copytree(aside, to, symlinks=True, dirs_exist_ok=True)
        shutil.rmtree(aside)
        yield
    finally:
        _called("umount2", os.fsencode(to), 0)


def _taken(folder: Path) -> int:
    """Bytes of a file system that the files beneath a folder take, a page for each directory."""
    page = mmap.PAGESIZE
    files = [path for path in folder.rglob("*") if path.is_file()]
    return sum(-(-path.stat().st_size // page) * page for path in files) + page * (1 + len(list(folder.rglob("*"))))


def _alone() -> None:
    """Have mounts of one's own, as root or as the root of a namespace of users."""
    root, user, group = os.geteuid() == 0, os.geteuid(), os.getegid()
    _called("unshare", _NEWNS if root else _NEWNS | _NEWUSER)
    if not root:
        for name, text in (("setgroups", "deny"), ("uid_map", f"0 {user} 1"), ("gid_map", f"0 {group} 1")):
            Path("/proc/self", name).write_text(text)
    _called("mount", b"none", b"/", None, _REC | _PRIVATE, None)


def _called(name: str, *args: object) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*args):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), name)
