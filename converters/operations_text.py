"""Operations in words, for the plan's table."""

from __future__ import annotations

from collections.abc import Sequence

from .operations_nodes import (
    Add,
    Arange,
    Cast,
    Deinterleave,
    Fill,
    Flip,
    Given,
    Index,
    Interleave,
    Join,
    Operation,
    Pad,
    Part,
    Permute,
    Repeat,
    Reshape,
    Scale,
    Stack,
    Sum,
)

Names = tuple[str, ...]
_SPELLED = 3  # members that are described one by one where they differ


def described(op: Operation, axes: Sequence[str] | None = None) -> str:
    """What is done, in the order in which it is done: `rows 0:8, (0, 1) → (1, 0), as (4, 2, 4)`.

    Args:
        op: How a tensor is made.
        axes: What the axes of its sources mean, where known; used where it is the source itself whose axes are told.

    Returns:
        The text; empty for a tensor of the source as it is.
    """
    return ", ".join(_steps(op, tuple(axes or ()))[0])


def _steps(op: Operation, axes: Names) -> tuple[list[str], Names]:
    """What is done, and what the axes of the result are called; no names where that is not known."""
    if isinstance(op, Given):
        return ["the target's own"] if op.kept else [], axes if len(axes) == len(op.shape) else ()
    if not op.children:
        return [_own(op, ())], ()
    if isinstance(op, (Join, Stack, Sum)):
        return [*_members(op.of, axes), _own(op, ())], ()
    steps, names = _steps(op.children[0], axes)
    return [*steps, _own(op, names)], _after(op, names)


def _after(op: Operation, names: Names) -> Names:
    """What the axes are called after an operation."""
    if isinstance(op, Permute):
        return tuple(names[axis] for axis in op.perm) if names else ()
    if isinstance(op, Index):
        return names[: op.axis] + names[op.axis + 1 :]
    return () if isinstance(op, Reshape) else names


def _members(members: tuple[Operation, ...], axes: Names) -> list[str]:
    """What is done to each before they come together: once where it is the same for all."""
    texts = [described(one, axes) for one in members]
    if len(set(texts)) == 1:
        return [f"each {texts[0]}"] if texts[0] else []
    if len(texts) > _SPELLED:
        return []
    return [f"[{'; '.join(text or 'as it is' for text in texts)}]"]


def _own(op: Operation, names: Names) -> str:
    match op:
        case Fill():
            return f"filled with {_number(op.value)}"
        case Arange():
            last = op.start + op.step * (op.shape[0] - 1)
            return f"counted from {_number(op.start)} to {_number(last)}" if op.shape[0] else "counted, empty"
        case Permute():
            names = names or tuple(map(str, range(len(op.perm))))
            return f"({', '.join(names)}) → ({', '.join(names[axis] for axis in op.perm)})"
        case Reshape():
            return f"as {op.shape}"
        case Part():
            return f"{_lines(op, names)} {op.start}:{op.stop}"
        case Index():
            return f"number {op.at} on axis {op.axis}"
        case Join():
            return f"concatenate {len(op.of)} on axis {op.axis}"
        case Stack():
            return f"stack {len(op.of)} on axis {op.axis}"
        case Flip():
            return f"flip {'axis' if len(op.axes) == 1 else 'axes'} {', '.join(map(str, op.axes))}"
        case Sum():
            return f"sum of {len(op.of)}"
        case Scale():
            return f"× {_number(op.factor)}"
        case Add():
            return f"+ {_number(op.addend)}" if op.addend >= 0 else f"− {_number(-op.addend)}"
        case Interleave() | Deinterleave():
            return f"{op.name} {op.parts} on axis {op.axis}"
        case Pad():
            return f"pad axis {op.axis} with {op.before} + {op.after} of {_number(op.value)}"
        case Repeat():
            return f"repeat {'each' if op.each else 'all'} of axis {op.axis} {op.times} times"
        case Cast():
            return f"cast to {op.dtype}"
        case _:
            return "divided by its spectral norm"


def _lines(op: Part, names: Names) -> str:
    if names:
        return names[op.axis]
    if op.axis == 0:
        return "rows"
    return "columns" if op.axis == 1 and len(op.shape) == 2 else f"axis {op.axis}"


def _number(value: int | float) -> str:
    return str(value) if isinstance(value, int) else f"{value:g}"
