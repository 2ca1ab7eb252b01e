"""Without torch, jax, flax and safetensors: what can be imported, and what says how to install the rest."""

import importlib.util
import subprocess
import sys

import pytest

FRAMEWORKS = ("torch", "jax", "flax", "safetensors")


def test_this_environment_has_no_framework() -> None:
    assert [name for name in FRAMEWORKS if importlib.util.find_spec(name)] == []


@pytest.mark.parametrize("module", ["ptformat", "ptformat.converters", "ptformat.cli", "ptformat.converters.files"])
def test_imports_alone(module: str) -> None:
    code = f"import sys, {module}; sys.exit(any(name in sys.modules for name in {FRAMEWORKS}))"
    assert subprocess.run([sys.executable, "-W", "error", "-c", code], timeout=60).returncode == 0


def test_everything_that_the_face_names() -> None:
    import ptformat
    import ptformat.converters

    for module in (ptformat, ptformat.converters):
        for name in module.__all__:
            assert getattr(module, name) is not None


@pytest.mark.parametrize(("module", "extra"), [("ptformat.torch", "torch"), ("ptformat.flax", "flax")])
def test_a_missing_framework_is_answered_with_the_install_command(module: str, extra: str) -> None:
    with pytest.raises(ImportError, match=rf"^{module} needs .*: pip install 'ptformat\[{extra}\]'$"):
        importlib.import_module(module)


def test_conversion_in_memory_says_what_to_install() -> None:
    from ptformat.converters import flax_to_torch, torch_to_flax

    with pytest.raises(ImportError, match=r"pip install 'ptformat\[(torch|flax)\]'"):
        torch_to_flax({})
    with pytest.raises(ImportError, match=r"pip install 'ptformat\[(torch|flax)\]'"):
        flax_to_torch({})
