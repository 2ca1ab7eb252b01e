"""Bytes and segments of a path."""

from __future__ import annotations

from collections.abc import Iterator

from ..case import Case, accept, reject
from ..draft import Draft


def cases() -> Iterator[Case]:
    """MAX_PATH_BYTES and MAX_PATH_DEPTH."""
    rows: list[tuple[str, str, str]] = [
        ("bytes-of-ascii", "l" * 1024, "a"),
        ("bytes-of-2-byte-characters", "\u00e9" * 512, "a"),
        ("bytes-of-3-byte-characters", "\u20ac" * 341 + "l", "a"),
        ("bytes-of-4-byte-characters", "\U0001f9ee" * 256, "a"),
        ("bytes-with-escapes", "\\\\" * 512, "a"),
        ("bytes-of-segments", "l." + ".".join(["l" * 15] * 63 + ["l" * 14]), "a"),
        ("bytes-of-empty-segments", ".".join([r"\e"] * 127) + "." + "l" * 643, "a"),
        ("depth", ".".join("l" * 128), ".a"),
        ("depth-of-empty-segments", ".".join([r"\e"] * 128), r".\e"),
        ("depth-of-words", ".".join(["limit"] * 128), ".a"),
    ]
    for slug, path, more in rows:
        size, depth = len(path.encode()), path.count(".") + 1
        comment = f"{size} bytes, {depth} segments"
        yield accept(f"path-{slug}-at", Draft().value(path), "4.1", comment)
        data = Draft().value(path + more).file()
        yield reject(f"path-{slug}-beyond", data, "PATH", "4.1", f"more than {comment}", step=42)
    last = Draft().value("a").tensor("b", "int8", (1,)).value("l" * 1025).file()
    yield reject("path-beyond-in-the-last-row", last, "PATH", "4.1", "the paths before it are short", step=42)
    flat = Draft().node("", "flat").value(".".join("k" * 129)).file()
    yield reject("path-depth-beyond-in-a-flat-map", flat, "PATH", "4.1", "one key of 129 segments", step=42)
    dots = Draft().node("", "namedtuple").value(r"\." * 512)
    yield accept("path-bytes-of-escaped-dots-at", dots, "4.1", "512 dots: one segment")
