"""JSON from a file of unknown origin: no key twice, no deeper than what walks through it can bear."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from ptformat import collector
from ptformat.errors import FormatError

# A plan nests 64 operations, each a map and a list; a list of shapes 128 names, and attributes in what stands there.
MAX_NESTING = 256
# An entry of a file takes up to three; of two bytes each, they take thirty times that in memory.
MAX_CONTAINERS = 2**22


def parse(text: str | bytes, what: str) -> Any:
    """The value of a JSON text.

    Memory is up to thirty times the text's length, which is the caller's to bound.

    Args:
        text: UTF-8, with or without the mark at its beginning, where it is bytes.
        what: What the text is, in messages.

    Raises:
        FormatError: MALFORMED for what is no JSON, DUPLICATE for a key that stands twice in one map, LIMIT for more
            than `MAX_NESTING` maps and lists in one another or `MAX_CONTAINERS` all together.
    """
    if not isinstance(text, str):
        try:
            text = str(text, "utf-8-sig")
        except UnicodeDecodeError as error:
            raise _malformed(what, error) from None
    if text.count("[") + text.count("{") > MAX_CONTAINERS:
        raise FormatError("LIMIT", f"{what}: more than {MAX_CONTAINERS} maps and lists")

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(pairs)
        if len(made) < len(pairs):
            twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
            raise FormatError("DUPLICATE", f"{what}: key {twice!r} stands twice in one map")
        return made

    try:
        with collector.paused():
            value = json.loads(text, object_pairs_hook=once)
    except FormatError:
        raise
    except RecursionError:
        raise _too_deep(what) from None
    except ValueError as error:  # JSONDecodeError, or an integer of too many digits
        raise _malformed(what, error) from None
    level = [value] if isinstance(value, (dict, list)) else []
    depth = 0
    while level:
        depth += 1
        if depth > MAX_NESTING:
            raise _too_deep(what)
        level = [
            part
            for whole in level
            for part in (whole.values() if isinstance(whole, dict) else whole)
            if isinstance(part, (dict, list))
        ]
    return value


def _malformed(what: str, error: ValueError) -> FormatError:
    return FormatError("MALFORMED", f"{what} is no JSON: {error}")


def _too_deep(what: str) -> FormatError:
    return FormatError(
        "LIMIT", f"{what}: nested too deeply, at most {MAX_NESTING} maps and lists in one another are read"
    )
