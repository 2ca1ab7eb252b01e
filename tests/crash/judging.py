"""What must hold after a save, whatever failed in it."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ptformat import FormatError

from .child import SUFFIX, Ended
from .faults import REMOVES, SYNCS, WRITES, written
from .saves import Save, content
from .tracing import Event

_LINE = re.compile(r"ptformat: (?P<path>/[^\n]*?)(?:: (?:[A-Z]+: )?[^\n]+)\n")
_RANDOM = re.compile(r"\b[0-9a-f]{32}\b")  # in the names of an OCDBT database


@dataclass(frozen=True)
class Facts:
    """What is known of a save before it is disturbed.

    Attributes:
        old: Identity of what stands under the name before; None for nothing.
        new: Identity of what a save that succeeds leaves.
        names: What lies in `to/` before and after one that succeeds.
        source: Of `from/`, which nothing may change.
    """

    old: str | None
    new: str | None
    names: tuple[frozenset[str], frozenset[str]]
    source: str


@dataclass(frozen=True)
class Verdict:
    """The outcome of one run.

    Attributes:
        state: What stands under the name: `old`, `new`, `nothing`, or `broken`.
        left: Names that a save should not leave, after it was killed or could not remove them.
        wrong: What must not be, a line each; empty when all is well.
    """

    state: str
    left: tuple[str, ...]
    wrong: tuple[str, ...]


def names(folder: Path) -> frozenset[str]:
    """Every name beneath a folder, of a link also where it leads."""
    found = set()
    for at, folders, files in os.walk(folder):
        for path in (Path(at, name) for name in (*folders, *files)):
            found.add(f"{path.relative_to(folder)}{f' -> {os.readlink(path)}' if path.is_symlink() else ''}")
    return frozenset(_RANDOM.sub("*", name) for name in found)


def judged(save: Save, folder: Path, facts: Facts, ended: Ended, events: Sequence[Event] = ()) -> Verdict:
    """Hold a run against the promise: the old file or the new one, whole, and a word on what happened."""
    state = _state(save, folder, facts)
    wrong = [] if state != "broken" else ["neither the old file nor the new one, whole"]
    if state == "nothing" and facts.old is not None:
        wrong.append("nothing stands under a name that had a file")
    killed = ended.code == -9 and not ended.hung
    if not killed:
        wrong += _ending(save, folder, ended, state)
    expected = facts.names[state == "new"]
    left = sorted(names(folder / "to") - expected)
    missing = sorted(expected - names(folder / "to")) if state != "broken" else []
    if missing:
        wrong.append(f"gone: {', '.join(missing)}")
    if named := [name for name in left if SUFFIX not in name]:
        wrong.append(f"left under a name that is not temporary: {', '.join(named)}")
    if left and not killed and not _excused(left, folder, events):
        wrong.append(f"left behind: {', '.join(left)}")
    if content(folder / "from") != facts.source:
        wrong.append("the source was changed")
    wrong += _synced_again(events)
    return Verdict(state, tuple(left), tuple(wrong))


def _state(save: Save, folder: Path, facts: Facts) -> str:
    try:
        found = save.identity(folder)
    except (FormatError, OSError, RuntimeError):  # the last of a reader that ends in any other way
        return "broken"
    if found is None:
        return "nothing"
    return {facts.new: "new", facts.old: "old"}.get(found, "broken")


def _ending(save: Save, folder: Path, ended: Ended, state: str) -> list[str]:
    """What is wrong with how a process that was not killed ended."""
    if ended.hung:
        return ["it hung"]
    if ended.code == 0:
        return [] if state == "new" and not ended.said else [f"it says nothing of its failure: {ended.said!r}"]
    if ended.code != 1:
        return [f"exit code {ended.code}: {ended.said.strip().splitlines()[-1:]}"]
    line = _LINE.fullmatch(ended.said)
    ours = str(folder / "to" / save.target), str(folder / "from")
    if line is None or not line["path"].startswith(ours) or SUFFIX in ended.said.replace(str(folder), ""):
        return [f"no line that names the caller's path: {ended.said!r}"]
    return []


def _excused(left: Sequence[str], folder: Path, events: Sequence[Event]) -> bool:
    """Whether what is left behind could not be removed: a removal failed, or what a removal begins with."""
    for name in (name for name in left if os.path.dirname(name) not in left):
        path = str(folder / "to" / name)
        own = [event for event in events if event.injected and any(_beneath(path, one) for one in event.paths)]
        if not any(event.call in REMOVES or _on_a_folder(event) for event in own):
            return False
    return True


def _on_a_folder(event: Event) -> bool:
    """Whether a call belongs to the removal of a directory: it is opened, listed, looked at, closed."""
    listed = event.call in ("getdents64", "newfstatat", "close", "fcntl") and SUFFIX in event.text
    return listed or (event.call == "openat" and "O_CREAT" not in event.text)


def _beneath(path: str, other: str) -> bool:
    return other == path or other.startswith(f"{path}/") or path.startswith(f"{other}/")


def _synced_again(events: Sequence[Event]) -> list[str]:
    """A failed fsync must not be tried again: the kernel may have dropped the pages, and would report success.

    One that was interrupted has not failed: Python itself tries it again (PEP 475).
    """
    failed: set[str] = set()
    wrong = []
    for event in events:
        if event.call in SYNCS:
            if event.paths[0] in failed:
                wrong.append(f"fsync again after a failed one: {event.text}")
            if event.injected and "EINTR" not in event.text:
                failed.add(event.paths[0])
    return wrong


def _moved(path: str, before: str, after: str) -> str:
    return after + path[len(before) :] if path == before or path.startswith(f"{before}/") else path


def _mapped_to_write(event: Event) -> bool:
    """Whether what is written into memory from here on gets into the file."""
    return event.call == "mmap" and "PROT_WRITE" in event.text and "MAP_SHARED" in event.text


def unsynced(events: Sequence[Event], target: str) -> list[str]:
    """What of a recorded save might not be on the disk when the name is, or after the save.

    Every file is synced after it was last written, and every directory after a name came into it, before the rename to
    the target; the target's own directory after it, and nothing old is removed before that.
    """
    dirty: dict[str, str] = {}
    wrong = []
    renamed = False
    for event in events:
        path = event.paths[-1] if event.paths else ""
        if event.call in WRITES:
            dirty[written(event)] = event.text
        elif event.call in ("ftruncate", "fallocate") or _mapped_to_write(event):
            dirty[event.paths[0]] = event.text
        elif event.call in ("openat", "mkdir", "symlink") and (event.call != "openat" or "O_CREAT" in event.text):
            dirty[os.path.dirname(path)] = event.text
        elif event.call in SYNCS and event.result == 0:
            dirty.pop(path, None)
        elif event.call.startswith("rename") and event.result == 0:
            home = os.path.dirname(path)
            if path == target:
                wrong += [f"not synced before the rename: {text}" for of, text in dirty.items() if of != home]
                dirty, renamed = {}, True
            dirty = {_moved(of, event.paths[0], path): text for of, text in dirty.items()} | {home: event.text}
        elif event.call in REMOVES and renamed and os.path.dirname(target) in dirty:
            wrong.append(f"removed before the rename was synced: {event.text}")
    return wrong + [f"not synced at the end: {text}" for text in dirty.values()]
