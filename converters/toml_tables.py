"""Tables of TOML whose values are checked as they are taken; what is left over is an error."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any


class Table:
    """A table of TOML.

    Args:
        values: As parsed.
        where: Its key in the document, such as `form[0].slot[1]`; empty for the whole.

    Every method raises ValueError with the whole key, what stands there and what was expected.
    """

    def __init__(self, values: Mapping[str, Any], where: str = "") -> None:
        self.values = dict(values)
        self.where = where
        self.inner: list[Table] = []

    def _take(self, key: str, kinds: tuple[type, ...], expected: str, usual: Any) -> Any:
        if key not in self.values:
            if usual is None:
                raise ValueError(f"{self.at(key)} is missing, expected {expected}")
            return usual
        value = self.values.pop(key)
        if type(value) not in kinds:
            raise ValueError(f"{self.at(key)} is {shortened(value)}, expected {expected}")
        return value

    def at(self, key: str) -> str:
        """A key of this table, as it is called in the document."""
        return f"{self.where}.{key}" if self.where else key

    def text(self, key: str, usual: str | None = None) -> str:
        """A text; empty only where that is the usual one."""
        taken: str = self._take(key, (str,), "text", usual)
        if not taken and usual is None:
            raise ValueError(f"{self.at(key)} is empty, expected text")
        return taken

    def number(self, key: str, usual: int, least: int = 0) -> int:
        """An integer from `least` on."""
        taken: int = self._take(key, (int,), "an integer", usual)
        if taken < least:
            raise ValueError(f"{self.at(key)} is {taken}, expected an integer from {least} on")
        return taken

    def truth(self, key: str) -> bool:
        """True or false; without it, false."""
        taken: bool = self._take(key, (bool,), "true or false", False)
        return taken

    def words(self, key: str) -> tuple[str, ...]:
        """A list of texts."""
        taken: list[Any] = self._take(key, (list,), "a list of texts", [])
        if not all(type(each) is str and each for each in taken):
            raise ValueError(f"{self.at(key)} is {shortened(taken)}, expected a list of texts")
        return tuple(taken)

    def pairs(self, key: str, *kinds: type) -> dict[str, Any]:
        """A table of values of these types; of texts where none is given."""
        expected = f"a table of {' or '.join(_NAMES[kind] for kind in kinds or (str,))}"
        taken: dict[str, Any] = self._take(key, (dict,), expected, {})
        for name, value in taken.items():
            if type(value) not in (kinds or (str,)):
                raise ValueError(f"{self.at(key)}.{name} is {shortened(value)}, expected {expected}")
        return taken

    def checked(self, key: str, check: Callable[[str], object]) -> str:
        """A text that a parser takes."""
        value = self.text(key)
        try:
            check(value)
        except ValueError as error:
            raise ValueError(f"{self.at(key)}: {error}") from None
        return value

    def tables(self, key: str) -> list[Table]:
        """The tables of a list of tables."""
        taken: list[Any] = self._take(key, (list,), "a list of tables", [])
        for i, each in enumerate(taken):
            if type(each) is not dict:
                raise ValueError(f"{self.at(key)}[{i}] is {shortened(each)}, expected a table")
        return self._held([(f"{self.at(key)}[{i}]", each) for i, each in enumerate(taken)])

    def named(self, key: str) -> list[tuple[str, Table]]:
        """The tables of a table, by name."""
        taken: dict[str, Any] = self._take(key, (dict,), "a table of tables", {})
        for name, each in taken.items():
            if type(each) is not dict:
                raise ValueError(f"{self.at(key)}.{name} is {shortened(each)}, expected a table")
        found = self._held([(f"{self.at(key)}.{name}", each) for name, each in taken.items()])
        return list(zip(taken, found, strict=True))

    def _held(self, found: list[tuple[str, dict[str, Any]]]) -> list[Table]:
        tables = [Table(values, where) for where, values in found]
        self.inner += tables
        return tables

    def done(self) -> None:
        """Refuse what was not taken, in this table and those in it."""
        for name in self.values:
            raise ValueError(f"{self.at(name)} is no key of these rules")
        for table in self.inner:
            table.done()


_NAMES: dict[type, str] = {str: "texts", int: "integers", float: "numbers", bool: "truths"}


def shortened(value: object) -> str:
    """A value in a message."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
