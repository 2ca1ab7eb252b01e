"""How deep arrays and maps of the index are nested."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from .. import forms
from ..case import Case, accept, reject
from ..draft import Draft
from .base import LATER


def cases() -> Iterator[Case]:
    """MAX_DEPTH: the index is at depth 1."""

    def nested(kind: str, count: int) -> Any:
        made: Any = [] if kind == "arrays" else {}
        for _ in range(count - 1):
            made = [made] if kind == "arrays" else {"k": made}
        return made

    places: list[tuple[str, int, Callable[[Any], Draft]]] = [
        ("metadata", 2, lambda value: Draft(metadata={"limit": value}).value("x")),
        ("provenance", 2, lambda value: Draft(provenance={"limit": value}).value("x")),
        ("attrs", 4, lambda value: Draft().tensor("limit", "int8", (1,), attrs={"k": value})),
    ]
    for kind in ("arrays", "maps"):
        for slug, above, draft in places:
            yield accept(f"depth-of-{kind}-in-{slug}-at", draft(nested(kind, 32 - above)), "3.1", "32 deep")
            data = draft(nested(kind, 33 - above)).file()
            yield reject(f"depth-of-{kind}-in-{slug}-beyond", data, "LIMIT", "3.1", "33 deep", step=17)
        plain = Draft(minor=1).tensor("limit", "int8", (1,))
        data = plain.file(keys={LATER: forms.packed(nested(kind, 31))})
        yield accept(f"depth-of-{kind}-in-an-unknown-key-at", plain, "3.1", "32 deep", data)
        data = plain.file(keys={LATER: forms.packed(nested(kind, 32))})
        yield reject(f"depth-of-{kind}-in-an-unknown-key-beyond", data, "LIMIT", "3.1", "33 deep", step=17)
    keys = Draft().node("limit", "keys", keys=[nested("arrays", 28)]).value("limit.k")
    yield accept("depth-of-keys-at", keys, "3.1", "tuples within tuples, the last one at depth 32")
    keys = Draft().node("limit", "keys", keys=[nested("arrays", 29)]).value("limit.k")
    yield reject(
        "depth-of-keys-beyond", keys.file(), "LIMIT", "3.1", "tuples within tuples, the last one at depth 33", step=17
    )
    both = Draft(metadata={"a": nested("arrays", 30), "b": nested("arrays", 30)}).value("limit")
    yield accept("depth-twice-at", both, "3.1", "32 deep, up again and 32 deep")
    after = Draft(metadata={"a": nested("arrays", 30), "b": nested("arrays", 31)}).value("limit")
    yield reject("depth-beyond-at-the-second", after.file(), "LIMIT", "3.1", "32 deep, up again and 33 deep", step=17)
