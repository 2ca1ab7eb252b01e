"""Pickles read as data: a machine of the few opcodes that torch writes, in which nothing can be imported or called.

A global is looked up in a table of the caller's; what it stands for is made by the caller's own functions, from
plain values. Opcodes from Lib/pickletools.py; every one that is not in the table here is refused.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ptformat.errors import FormatError
from ptformat.limits import MAX_PATH_BYTES

MAX_STEPS = 2**23  # opcodes: a tensor takes about forty, and an empty dict, of one, 64 bytes
_TEXT_STEP = 1024  # characters that an opcode copies in the time of another
MAX_BYTES = 256 * 2**20  # of one pickle
MAX_LONG_BYTES = 64
_MAX_KEY_PARTS = 64


@dataclass(frozen=True, slots=True)
class Made:
    """What a global of the table stands for, when it is called with arguments: `make(*arguments)`."""

    make: Callable[..., Any]


class Machine:
    """Reads pickles that follow each other in a buffer.

    Attributes:
        at: The byte behind what was read.
        steps: How much was done: no more objects than this were made.
    """

    def __init__(
        self,
        data: memoryview,
        find: Callable[[str, str], Any],
        persistent: Callable[[Any], Any],
        at: int = 0,
    ) -> None:
        self.data, self.at = data, at
        self._find, self._persistent = find, persistent
        self.steps = 0

    def load(self) -> Any:
        """The next pickle's object, of dicts, lists, tuples, plain values and what the table makes.

        Raises:
            FormatError: TRUNCATED, LIMIT, MALFORMED, and what `find`, `persistent` and the table's functions raise.
        """
        self._stack: list[Any] = []
        self._marks: list[list[Any]] = []
        self._memo: dict[int, Any] = {}
        self._end = min(len(self.data), self.at + MAX_BYTES)
        while True:
            start = self.at
            code = self._take(1)[0]
            self._charge(1)
            try:
                if code == 0x2E:  # STOP
                    (result,) = self._stack
                    return result
                _STEPS[code](self)
            except FormatError:
                raise
            except (LookupError, TypeError, ValueError, AttributeError, struct.error, OverflowError):
                raise FormatError("MALFORMED", f"pickle byte {start}: opcode 0x{code:02x} does not fit here") from None

    def _charge(self, steps: int) -> None:
        self.steps += steps
        if self.steps > MAX_STEPS:
            raise FormatError("LIMIT", f"pickle byte {self.at}: more than {MAX_STEPS} steps")

    def _take(self, count: int) -> bytes:
        end = self.at + count
        if end > self._end:
            if end > len(self.data):
                what = f"{count} bytes expected, {len(self.data) - self.at} are left"
                raise FormatError("TRUNCATED", f"pickle byte {self.at}: {what}")
            raise FormatError("LIMIT", f"pickle byte {self.at}: longer than {MAX_BYTES} bytes")
        data = bytes(self.data[self.at : end])
        self.at = end
        return data

    def _number(self, width: int) -> int:
        return int.from_bytes(self._take(width), "little")

    def _line(self) -> str:
        text = bytes(self.data[self.at : min(self._end, self.at + MAX_PATH_BYTES)])
        end = text.index(b"\n")
        self.at += end + 1
        return text[:end].decode()

    def _push(self, value: Any) -> None:
        self._stack.append(value)

    def _since_mark(self) -> list[Any]:
        items = self._stack
        self._stack = self._marks.pop()
        return items

    def _mark(self) -> None:
        self._marks.append(self._stack)
        self._stack = []

    def _tuple(self, count: int) -> None:
        if len(self._stack) < count:
            raise ValueError
        items = tuple(self._stack[-count:])
        del self._stack[-count:]
        self._push(items)

    def _long(self) -> None:
        size = self._number(1)
        if size > MAX_LONG_BYTES:
            raise FormatError("LIMIT", f"pickle byte {self.at}: an integer of {size} bytes, at most {MAX_LONG_BYTES}")
        self._push(int.from_bytes(self._take(size), "little", signed=True))

    def _text(self, width: int) -> None:
        self._push(self._take(self._number(width)).decode("utf-8", "surrogatepass"))

    def _append(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if type(target) is not list:
            raise TypeError
        target.extend(items)

    def _set(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if type(target) is not dict:
            raise TypeError
        fill(target, zip(items[::2], items[1::2], strict=True))

    def _setitem(self) -> None:
        value, key = self._stack.pop(), self._stack.pop()
        self._set([key, value])

    def _append_one(self) -> None:
        self._append([self._stack.pop()])

    def _reduce(self) -> None:
        arguments, made = self._stack.pop(), self._stack.pop()
        if type(made) is not Made or type(arguments) is not tuple:
            raise TypeError
        # What is remembered can be an argument many times over: its size is worked through each time.
        self._charge(sum(map(_size, arguments)))
        self._push(made.make(*arguments))

    def _build(self) -> None:
        """Attributes of an object. A state dict has `_metadata`, versions of modules, which are not parameters."""
        state = self._stack.pop()
        if type(self._stack[-1]) is not dict or type(state) is not dict:
            raise TypeError

    def _global(self) -> None:
        module = self._line()
        self._push(self._find(module, self._line()))

    def _stack_global(self) -> None:
        name, module = self._stack.pop(), self._stack.pop()
        if type(name) is not str or type(module) is not str:
            raise TypeError
        self._push(self._find(module, name))

    def _persistent_id(self) -> None:
        self._push(self._persistent(self._stack.pop()))

    def _put(self, number: int) -> None:
        self._memo[number] = self._stack[-1]

    def _get(self, number: int) -> None:
        self._push(self._memo[number])

    def _frame(self) -> None:
        self._take(8)


def _size(argument: Any) -> int:
    """In steps; nothing is made of other things than these."""
    if isinstance(argument, str):
        return len(argument) // _TEXT_STEP
    return 4 * len(argument) if isinstance(argument, (list, tuple)) else 0


def fill(target: dict[Any, Any], pairs: Any) -> None:
    """Put pairs into a dict, whose keys must be what a path or a list of keys can hold."""
    for key, value in pairs:
        _check_key(key)
        target[key] = value


def _check_key(key: Any) -> None:
    """Refuse keys that take long to hash, or are no values: a tuple may hold itself many times over."""
    waiting, parts = [key], 0
    while waiting:
        part = waiting.pop()
        parts += 1
        if type(part) is tuple:
            waiting += part[: _MAX_KEY_PARTS + 1]
        elif part is not None and type(part) not in (bool, int, float, str, bytes):
            raise FormatError("TYPE", f"a dict key of type {type(part).__name__}")
        if isinstance(part, (str, bytes)) and len(part) > MAX_PATH_BYTES:
            raise FormatError("PATH", f"a dict key of {len(part)} characters, at most {MAX_PATH_BYTES}")
        if type(part) is int and not -(2**63) <= part < 2**64:
            raise FormatError("TYPE", "a dict key that is an integer beyond 64 bits")
        if parts > _MAX_KEY_PARTS:
            raise FormatError("LIMIT", f"a dict key of more than {_MAX_KEY_PARTS} parts")


_Step = Callable[[Machine], None]

# fmt: off
_STEPS: dict[int, _Step] = {
    0x80: lambda m: _protocol(m),
    0x95: Machine._frame,
    ord("("): Machine._mark,
    ord("0"): lambda m: m._stack.pop(),
    ord("N"): lambda m: m._push(None),
    0x88: lambda m: m._push(True),
    0x89: lambda m: m._push(False),
    ord("J"): lambda m: m._push(int.from_bytes(m._take(4), "little", signed=True)),
    ord("K"): lambda m: m._push(m._number(1)),
    ord("M"): lambda m: m._push(m._number(2)),
    0x8A: Machine._long,
    ord("G"): lambda m: m._push(struct.unpack(">d", m._take(8))[0]),
    ord("X"): lambda m: m._text(4),
    0x8C: lambda m: m._text(1),
    0x8D: lambda m: m._text(8),
    ord("U"): lambda m: m._text(1),  # Python 2's str
    ord("T"): lambda m: m._text(4),
    ord("C"): lambda m: m._push(m._take(m._number(1))),
    ord("B"): lambda m: m._push(m._take(m._number(4))),
    0x8E: lambda m: m._push(m._take(m._number(8))),
    ord("]"): lambda m: m._push([]),
    ord("a"): Machine._append_one,
    ord("e"): lambda m: m._append(m._since_mark()),
    ord("}"): lambda m: m._push({}),
    ord("s"): Machine._setitem,
    ord("u"): lambda m: m._set(m._since_mark()),
    ord(")"): lambda m: m._push(()),
    ord("t"): lambda m: m._push(tuple(m._since_mark())),
    0x85: lambda m: m._tuple(1),
    0x86: lambda m: m._tuple(2),
    0x87: lambda m: m._tuple(3),
    ord("q"): lambda m: m._put(m._number(1)),
    ord("r"): lambda m: m._put(m._number(4)),
    0x94: lambda m: m._put(len(m._memo)),
    ord("h"): lambda m: m._get(m._number(1)),
    ord("j"): lambda m: m._get(m._number(4)),
    ord("c"): Machine._global,
    0x93: Machine._stack_global,
    ord("Q"): Machine._persistent_id,
    ord("R"): Machine._reduce,
    ord("b"): Machine._build,
}
# fmt: on


def _protocol(machine: Machine) -> None:
    if not 2 <= (said := machine._number(1)) <= 5:
        raise FormatError("VERSION", f"pickle protocol {said}, 2 to 5 are read")
