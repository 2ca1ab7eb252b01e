"""Every file of the table is one error of its code, or a sound read, within 64 MiB and five seconds."""

from pathlib import Path

import pytest

from hostile.judge import measured
from hostile.table import table


@pytest.mark.parametrize("name", table())
def test_each_is_one_error_or_sound(name: str, tmp_path: Path) -> None:
    held, code = table()[name]
    assert measured(held.write(tmp_path)) == code
