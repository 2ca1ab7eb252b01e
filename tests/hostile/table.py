"""Files that lie, by name: what is wrong with each, and the code of its one error; `read` where it is sound."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator

from hostile import rows_arrays, rows_folders, rows_msgpack, rows_pickles
from hostile.seeds import Seed

FILES: dict[str, Callable[[], Iterator[tuple[str, bytes, str]]]] = {
    "safetensors": rows_arrays.of_safetensors,
    "npz": rows_arrays.of_npz,
    "pt": rows_pickles.of_torch,
    "legacy.pt": rows_pickles.of_legacy,
    "msgpack": rows_msgpack.of_msgpack,
}
FOLDERS: dict[str, Callable[[], Iterator[tuple[str, Seed, str]]]] = {
    "sharded": rows_folders.of_sharded,
    "huggingface": rows_folders.of_huggingface,
    "orbax": rows_folders.of_orbax,
}


@functools.cache
def table() -> dict[str, tuple[Seed, str]]:
    """All of them, called by their kind and what is wrong."""
    rows = [
        (f"{kind}: {name}", Seed({f"x.{kind}": data}, f"x.{kind}"), code)
        for kind, of in FILES.items()
        for name, data, code in of()
    ]
    rows += [(f"{kind}: {name}", held, code) for kind, of in FOLDERS.items() for name, held, code in of()]
    found = {name: (held, code) for name, held, code in rows}
    assert len(found) == len(rows)
    return found
