"""How operations are written: JSON of a path, or of a name, its numbers and what it is made `of`."""

from __future__ import annotations

from collections.abc import Mapping

from .operations import Made


def permute(of: Made, *perm: int) -> Made:
    """The axes in another order; nothing for the order they have."""
    return of if perm == tuple(range(len(perm))) else {"op": "permute", "perm": [*perm], "of": of}


def reshape(of: Made, *shape: int) -> Made:
    """The same elements under another shape."""
    return {"op": "reshape", "shape": [*shape], "of": of}


def part(of: Made, axis: int, start: int, stop: int) -> Made:
    """What lies between two places of an axis."""
    return {"op": "part", "axis": axis, "start": start, "stop": stop, "of": of}


def index(of: Made, axis: int, at: int) -> Made:
    """One place of an axis, which goes."""
    return {"op": "index", "axis": axis, "at": at, "of": of}


def join(axis: int, *of: Made) -> Made:
    """Tensors one after the other along an axis."""
    return {"op": "join", "axis": axis, "of": [*of]}


def flip(of: Made, *axes: int) -> Made:
    """Axes backwards."""
    return {"op": "flip", "axes": [*axes], "of": of}


def pad(of: Made, axis: int, before: int, after: int) -> Made:
    """Zeros before and after what an axis has."""
    return {"op": "pad", "axis": axis, "before": before, "after": after, "value": 0, "of": of}


def add_up(*of: Made) -> Made:
    """The sum of tensors."""
    return {"op": "sum", "of": [*of]}


def fill(dtype: str, *shape: int, value: float = 0) -> Made:
    """One value everywhere."""
    return {"op": "fill", "shape": [*shape], "dtype": dtype, "value": value}


def placed(made: Made, paths: Mapping[str, str]) -> Made:
    """The operation with these paths in place of the names that it was written with."""
    if isinstance(made, str):
        return paths[made]
    of = made.get("of", None)
    if of is None:
        return made
    return {**made, "of": [placed(one, paths) for one in of] if isinstance(of, list) else placed(of, paths)}


def exactness(made: Made) -> str:
    """`bit`, or `function` where tensors are added."""
    if isinstance(made, str):
        return "bit"
    of = made.get("of", [])
    inner = [exactness(one) for one in of] if isinstance(of, list) else [exactness(of)]
    return "function" if made["op"] == "sum" or "function" in inner else "bit"
