"""What is opened: by what it holds, and only what can be read to its end."""

import errno
import os
from pathlib import Path

import pytest

from ptformat.converters.files import open_source


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero")])
def test_what_is_no_file_is_not_opened(make: object, tmp_path: Path) -> None:
    """A pipe would wait for whoever writes to it."""
    make(tmp_path / "x")  # type: ignore[operator]
    with pytest.raises(OSError, match="not a regular file") as caught:
        open_source(tmp_path / "x")
    assert (caught.value.errno, caught.value.filename) == (errno.EINVAL, str(tmp_path / "x"))
