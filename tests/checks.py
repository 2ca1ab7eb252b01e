"""What tests of the adapters ask of files and errors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import ptformat


def entries(path: Path) -> dict[str, Any]:
    with ptformat.open(path) as file:
        return {entry.path: entry for entry in file.entries}


def raised(code: str, call: Callable[[], Any]) -> ptformat.FormatError:
    with pytest.raises(ptformat.FormatError) as caught:
        call()
    assert caught.value.code == code
    return caught.value
