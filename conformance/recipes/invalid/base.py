"""The small file that most faults are put into."""

from __future__ import annotations

from ..draft import Draft


def sample() -> Draft:
    """Every type of entry; what it says is in no place longer than it has to be."""
    return (
        Draft(convention="torch", metadata={"a": 1})
        .tensor("w", "float32", (2, 3), axes=["out", "in"], role="parameter", trainable=True)
        .tensor("b", "int8", (5,))
        .alias("t", "w", (1, 0))
        .value("v", 7)
        .node("l", "list")
        .value("l.0", "text")
    )
