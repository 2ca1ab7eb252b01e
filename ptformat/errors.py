"""The one error that a bad file, a bad tree or a mismatch raises, and its stable codes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

# What a reader can find wrong in a file, in the order in which it looks (spec section 10).
READ_CODES: tuple[str, ...] = (
    "MAGIC",
    "TRUNCATED",
    "VERSION",
    "NONZERO",
    "CHECKSUM",
    "EXTENT",
    "LIMIT",
    "CODEC",
    "MALFORMED",
    "NONCANONICAL",
    "DUPLICATE",
    "FEATURE",
    "SCHEMA",
    "DTYPE",
    "SHAPE",
    "CHUNK",
    "PATH",
    "ALIAS",
    "TREE",
    "DATA",
)
# What this library refuses of its caller: an object the format cannot hold, memory shared in a way that is no
# tie, a file that does not fit the model, a file whose kind is not known.
CALL_CODES: tuple[str, ...] = ("TYPE", "TIE", "MISMATCH", "FORMAT")
# Of one line of a message, in characters: a bad file may have names and numbers of any length.
MAX_LINE = 1200
_LONGEST = 80  # characters or bytes of a value in a message
_MOST = 8  # items


class FormatError(ValueError):
    """A file, tree or model that breaks a rule.

    Attributes:
        code: One of `READ_CODES` or `CALL_CODES`; stable across versions.
        message: What is wrong, where, what was found and what was expected. What does not print is escaped, lines
            beyond `MAX_LINE` lack their middle; there are several only where there are several problems.
        path: The dotted path of the entry concerned, or None.
        problems: Every problem, one line each, where several were found at once; else `(message,)`.
    """

    def __init__(self, code: str, message: str, *, path: str | None = None, problems: Sequence[str] = ()) -> None:
        lines = message.split("\n") if problems else [message]
        message = "\n".join(map(bounded, lines))
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.path = path
        self.problems = tuple(problems) or (message,)

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle with the facts, so that the error survives a process pool."""
        return _rebuild, (self.code, self.message, self.path, self.problems)


class MissingPackage(ImportError):
    """An optional package that is not installed; the message says how to install it."""


def plain(text: str) -> str:
    """Text that cannot move the cursor or break the line: whatever does not print is escaped."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)


def bounded(line: str) -> str:
    """A line of a message: what does not print is escaped, and beyond `MAX_LINE` its middle is left out."""
    return _shortened(plain(_shortened(line)))


def _shortened(line: str) -> str:
    return line if len(line) <= MAX_LINE else f"{line[: MAX_LINE - 300]} … {line[-297:]}"


def _rebuild(code: str, message: str, path: str | None, problems: tuple[str, ...]) -> FormatError:
    return FormatError(code, message, path=path, problems=problems)


def several(code: str, head: str, problems: Sequence[str]) -> FormatError:
    """One error for a list of problems: a head line, then a line for each."""
    return FormatError(code, "\n  ".join([head, *problems]), problems=problems)


def shown(value: object, levels: int = 3) -> str:
    """A value as a message shows it: its `repr`, of which little is made where it is long, as it may be in a file."""
    if isinstance(value, (str, bytes)):
        return repr(value[:_LONGEST]) + "…" * (len(value) > _LONGEST)
    if not isinstance(value, (dict, list, tuple)):
        return repr(value)
    start, end = "{}" if isinstance(value, dict) else "[]" if isinstance(value, list) else "()"
    if value and not levels:
        return f"{start}…{end}"
    first = list(islice(value.items() if isinstance(value, dict) else value, _MOST))
    if isinstance(value, dict):
        told = [f"{shown(key, levels - 1)}: {shown(item, levels - 1)}" for key, item in first]
    else:
        told = [shown(item, levels - 1) for item in first]
    more = ["…"] if len(value) > len(told) else [""] if isinstance(value, tuple) and len(told) == 1 else []
    return start + ", ".join(told + more).rstrip(" ") + end
