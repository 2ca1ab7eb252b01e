r"""Dotted paths (spec section 4): parse, render, check, and the splitting of flat keys.

    path    = "" / segment *("." segment)      ; "" is the root
    segment = "\e" / 1*(char / "\." / "\\")    ; "\e" alone is the empty segment
    char    = any scalar value but "." "\" U+0000-001F U+007F

Paths are valid UTF-8, compared as bytes, never normalised; at most 1024 bytes and 128 segments.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Container, Iterable, Sequence

import numpy as np

from .errors import FormatError, shown
from .limits import MAX_PATH_BYTES, MAX_PATH_DEPTH

_SEGMENT = re.compile(r"\\e|(?:[^\\.\x00-\x1f\x7f]++|\\\\|\\\.)++")
_PATH = re.compile(rf"(?:{_SEGMENT.pattern})(?:\.(?:{_SEGMENT.pattern}))*")
_SHORT = min(2 * MAX_PATH_DEPTH, MAX_PATH_BYTES)  # bytes that cannot break a limit
_AT_ONCE = 1024  # paths
_LINE, _DOT, _BACKSLASH, _E = b"\n.\\e"

Segments = tuple[str, ...]


def escape(segment: str) -> str:
    r"""The segment as it stands in a path: `a.b` becomes `a\.b`, the empty one `\e`."""
    if not segment:
        return "\\e"
    return segment.replace("\\", "\\\\").replace(".", "\\.")


def render(segments: Iterable[str]) -> str:
    """The path of these segments. Not checked against the limits: see `check`."""
    parts = tuple(segments)
    text = ".".join(parts)
    as_it_is = text.count(".") == len(parts) - 1 and "\\" not in text and "" not in parts
    return text if as_it_is else ".".join(map(escape, parts))


def parse(path: str) -> Segments:
    r"""The segments of a path: `parse(r"a\.b.0") == ("a.b", "0")`.

    Raises:
        FormatError: PATH, when the text is no path.
    """
    check(path)
    return segments(path)


def segments(path: str) -> Segments:
    """The segments of a text that is known to be a path."""
    if "\\" not in path:
        return tuple(path.split(".")) if path else ()
    return tuple(map(plain, hidden(path).split(".")))


def hidden(path: str) -> str:
    r"""The path with U+0002 for `\\` and U+0003 for `\.`, which no path holds: each of its dots divides."""
    return path.replace("\\\\", "\2").replace("\\.", "\3")


def plain(segment: str) -> str:
    """The segment that stands so in a path whose escapes are hidden."""
    return "" if segment == "\\e" else segment.replace("\3", ".").replace("\2", "\\")


def parent(path: str) -> str:
    """The path one segment up; the parent of a path of one segment is the root `""`."""
    if "\\" not in path:
        return path.rpartition(".")[0]
    alike = path.replace("\\\\", "xx").replace("\\.", "xx")  # as long, and each of its dots divides
    return path[: max(alike.rfind("."), 0)]


def check(path: str) -> None:
    """Check one path against grammar and limits.

    Raises:
        FormatError: PATH, with the rule that is broken.
    """
    if error := _broken(path):
        raise error


def _broken(path: str) -> FormatError | None:
    """The error of a text that is no path."""
    try:
        size = len(path) if path.isascii() else len(path.encode())
    except UnicodeEncodeError:
        return FormatError("PATH", f"path {shown(path)} holds a lone surrogate and has no UTF-8 form")
    if size > MAX_PATH_BYTES:
        return FormatError("PATH", f"path {path[:40]!r}… has {size} bytes, at most {MAX_PATH_BYTES} are allowed")
    if path and not _PATH.fullmatch(path):
        return FormatError("PATH", f"path {path!r}: {_fault(path)}", path=path)
    if size > _SHORT and path.count(".") >= MAX_PATH_DEPTH and (depth := len(segments(path))) > MAX_PATH_DEPTH:
        return FormatError("PATH", f"path {path[:40]!r}… has {depth} segments, at most {MAX_PATH_DEPTH} are allowed")
    return None


def _fault(path: str) -> str:
    if control := re.search(r"[\x00-\x1f\x7f]", path):
        return f"control character U+{ord(control[0]):04X}"
    rest = re.sub(r"\\[\\.]", "xx", path)
    if "\\" in re.sub(r"(^|\.)\\e(?=\.|$)", r"\1x", rest):
        return r"bad escape: a backslash stands only in \. and \\, and \e stands alone in its segment"
    return r"empty segment: write it as \e"


def check_all(paths: Sequence[str]) -> None:
    """Check every path of a file, some thousands at once, on the bytes of their text.

    Raises:
        FormatError: PATH for the first path that breaks a rule.
    """
    for start in range(0, len(paths), _AT_ONCE):
        some = paths[start : start + _AT_ONCE]
        if not _are_paths(some):
            raise next(filter(None, map(_broken, some)))


def _are_paths(some: Sequence[str]) -> bool:
    """Whether none of them breaks a rule."""
    if max(map(len, some)) > MAX_PATH_BYTES:
        return False
    joined = "\n".join(some)
    escaped = "\\" in joined
    if escaped:  # what stands for a dot or a backslash is any other character; left are those of \e
        joined = joined.replace("\\\\", "xx").replace("\\.", "xx")
    data = np.frombuffer(f"\n{joined}\n".encode(), np.uint8)
    line, dot = data == _LINE, data == _DOT
    lines = line.nonzero()[0]
    sizes = lines[1:] - lines[:-1] - 1
    divider = line | dot
    if np.count_nonzero(divider[1:] & divider[:-1]) != np.count_nonzero(sizes == 0):  # an empty segment, no root
        return False
    if np.count_nonzero((data < 32) | (data == 127)) != len(lines):
        return False
    if sizes.max() > _SHORT and np.add.reduceat(dot, lines[:-1], dtype=np.uint16).max() >= MAX_PATH_DEPTH:
        return False
    if sizes.max() > MAX_PATH_BYTES:
        return False
    if escaped:
        at = (data == _BACKSLASH).nonzero()[0]
        after = np.minimum(at + 2, data.size - 1)
        return bool((divider[at - 1] & (data[at + 1] == _E) & divider[after]).all())
    return True


def split_flat(keys: Collection[str]) -> dict[str, Segments]:
    r"""The segments of every key of a flat mapping, whose keys hold dots.

    A dot is a boundary unless the segment before it or the rest after it is empty, or the text before it is
    itself a key. `{"x.weight", "x.weight.absmax"}` gives `("x", "weight")` and `("x", "weight.absmax")`.

    Two keys never share a path, and no key's path lies beneath another's: joined by dots, the segments are the key.

    Raises:
        FormatError: PATH for a key that is longer than any path. It takes the square of a key's length to divide it.
    """
    for key in keys:
        if len(key) > MAX_PATH_BYTES:
            raise FormatError(
                "PATH", f"key {key[:40]!r}… has {len(key)} characters, at most {MAX_PATH_BYTES} fit a path"
            )
    members = frozenset(keys)
    # Sorted by what its dots divide, a key that another one continues is followed by such a one.
    divided = sorted(key.replace(".", "\0") + "\0" for key in keys)
    if any(map(str.startswith, divided[1:], divided)):
        return {key: split_key(key, members) for key in keys}
    split = {key: tuple(key.split(".")) for key in keys}
    return {key: split_key(key, members) if "" in segments else segments for key, segments in split.items()}


def split_key(key: str, members: Container[str]) -> Segments:
    """The segments of one key, or of a prefix that a part stands for, among the keys of its flat mapping."""
    return split_at(key, {at for at, sign in enumerate(key) if sign == "." and key[:at] in members})


def split_at(key: str, ends: Container[int]) -> Segments:
    """The segments of a key of which the beginnings of these lengths are keys too."""
    segments: list[str] = []
    start = 0
    position = key.find(".")
    while position >= 0:
        if position > start and position + 1 < len(key) and position not in ends:
            segments.append(key[start:position])
            start = position + 1
        position = key.find(".", position + 1)
    segments.append(key[start:])
    return tuple(segments)


def join_flat(segments: Iterable[str]) -> str:
    """The flat key of these segments: the unescaped segments joined by dots."""
    return ".".join(segments)
