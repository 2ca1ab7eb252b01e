"""Facts of a live layer, such as its stride or eps, as an index can hold them."""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Integral, Real
from typing import Any


def of(layer: object, names: Iterable[str]) -> dict[str, Any]:
    """The attributes of these names that are plain: None, bool, int, float, str, or sequences of these, as lists.

    An attribute that the layer has not, or that is no such thing (a function, an array), is left out.
    """
    found = {name: plain(getattr(layer, name, NotImplemented)) for name in names}
    return {name: value for name, value in found.items() if value is not NotImplemented}


def class_name(layer: object) -> str:
    """Module and qualified name of its class: `torch.nn.modules.linear.Linear`."""
    kind = type(layer)
    return f"{kind.__module__}.{kind.__qualname__}"


def plain(value: Any) -> Any:
    """None, a bool, int, float or string, or a list of these; NotImplemented for anything else."""
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, Integral):  # NumPy's too
        return int(value)
    if isinstance(value, Real):
        return float(value)
    if isinstance(value, (list, tuple)):
        items = [plain(item) for item in value]
        return NotImplemented if NotImplemented in items else items
    return NotImplemented
