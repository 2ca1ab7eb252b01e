r"""Dotted paths (spec section 4): parse, render, check, and the splitting of flat keys.

    path    = "" / segment *("." segment)      ; "" is the root
    segment = "\e" / 1*(char / "\." / "\\")    ; "\e" alone is the empty segment
    char    = any scalar value but "." "\" U+0000-001F U+007F

Paths are valid UTF-8, compared as bytes, never normalised; at most 1024 bytes and 128 segments.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Container, Iterable

import numpy as np

from .errors import FormatError
from .limits import MAX_INNER_PATHS, MAX_PATH_BYTES, MAX_PATH_DEPTH

_SEGMENT = re.compile(r"\\e|(?:[^\\.\x00-\x1f\x7f]++|\\\\|\\\.)++")
_PATH = re.compile(rf"(?:{_SEGMENT.pattern})(?:\.(?:{_SEGMENT.pattern}))*")
_UNESCAPE = re.compile(r"\\(.)")
_SHORT = min(2 * MAX_PATH_DEPTH, MAX_PATH_BYTES)  # bytes that cannot break a limit
_LINE, _DOT = b"\n."
_BOUNDARY = re.compile(r"(?:[^\\.]|\\.)+")

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
    plain = text.count(".") == len(parts) - 1 and "\\" not in text and "" not in parts
    return text if plain else ".".join(map(escape, parts))


def parse(path: str) -> Segments:
    r"""The segments of a path: `parse(r"a\.b.0") == ("a.b", "0")`.

    Raises:
        FormatError: PATH, when the text is no path.
    """
    check(path)
    if "\\" not in path:
        return tuple(path.split(".")) if path else ()
    return tuple("" if s == "\\e" else _UNESCAPE.sub(r"\1", s) for s in _BOUNDARY.findall(path))


def parent(path: str) -> str:
    """The path one segment up; the parent of a path of one segment is the root `""`."""
    if "\\" not in path:
        return path.rpartition(".")[0]
    end = path.rfind(".")
    while end > 0:
        start = end
        while start and path[start - 1] == "\\":
            start -= 1
        if (end - start) % 2 == 0:  # the dot itself is not escaped
            return path[:end]
        end = path.rfind(".", 0, end)
    return ""


def check(path: str) -> None:
    """Check one path against grammar and limits.

    Raises:
        FormatError: PATH, with the rule that is broken.
    """
    try:
        size = len(path) if path.isascii() else len(path.encode())
    except UnicodeEncodeError:
        raise FormatError("PATH", f"path {path!r} holds a lone surrogate and has no UTF-8 form") from None
    if size > MAX_PATH_BYTES:
        raise FormatError("PATH", f"path {path[:40]!r}… has {size} bytes, at most {MAX_PATH_BYTES} are allowed")
    if path and not _PATH.fullmatch(path):
        raise FormatError("PATH", f"path {path!r}: {_fault(path)}", path=path)
    if size > _SHORT and (depth := len(_BOUNDARY.findall(path))) > MAX_PATH_DEPTH:
        raise FormatError("PATH", f"path {path[:40]!r}… has {depth} segments, at most {MAX_PATH_DEPTH} are allowed")


def _fault(path: str) -> str:
    if control := re.search(r"[\x00-\x1f\x7f]", path):
        return f"control character U+{ord(control[0]):04X}"
    rest = re.sub(r"\\[\\.]", "xx", path)
    if "\\" in re.sub(r"(^|\.)\\e(?=\.|$)", r"\1x", rest):
        return r"bad escape: a backslash stands only in \. and \\, and \e stands alone in its segment"
    return r"empty segment: write it as \e"


def check_all(joined: str, paths: list[str]) -> None:
    """Check every path of a file at once; `joined` is their text with U+000A between them.

    The common case, no backslash anywhere, is decided on the bytes of the whole text; a long path is checked by
    itself, and so are all where one holds a backslash.

    Raises:
        FormatError: PATH for the first path that breaks a rule.
    """
    data = np.frombuffer(f"\n{joined}\n".encode(), np.uint8)
    line = data == _LINE
    lines = line.nonzero()[0]
    sizes = lines[1:] - lines[:-1] - 1
    divider = line | (data == _DOT)
    empty = np.count_nonzero(divider[1:] & divider[:-1])  # segments, and the root's path
    controls = np.count_nonzero((data < 32) | (data == 127))
    if controls == len(paths) + 1 and empty == np.count_nonzero(sizes == 0) and "\\" not in joined:
        paths = [paths[i] for i in (sizes > _SHORT).nonzero()[0].tolist()]
    for path in paths:
        check(path)


def check_inner(joined: str, paths: Iterable[str]) -> None:
    """Check how many inner paths the paths of a file name, the root included; `joined` is their text, by lines.

    Raises:
        FormatError: LIMIT, when there are more than `MAX_INNER_PATHS`.
    """
    if joined.count(".") < MAX_INNER_PATHS:  # each but the root ends at a dot
        return
    if "\\" in joined:
        paths = joined.replace("\\\\", "\2").replace("\\.", "\3").split("\n")
    inner: set[str] = set()
    level = paths
    while level := {path.rpartition(".")[0] for path in level if path} - inner:
        inner |= level
        if len(inner) > MAX_INNER_PATHS:
            raise FormatError("LIMIT", f"the paths name more than {MAX_INNER_PATHS} inner paths")


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
    segments: list[str] = []
    start = 0
    position = key.find(".")
    while position >= 0:
        if position > start and position + 1 < len(key) and key[:position] not in members:
            segments.append(key[start:position])
            start = position + 1
        position = key.find(".", position + 1)
    segments.append(key[start:])
    return tuple(segments)


def join_flat(segments: Iterable[str]) -> str:
    """The flat key of these segments: the unescaped segments joined by dots."""
    return ".".join(segments)
