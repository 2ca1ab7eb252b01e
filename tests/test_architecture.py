"""The arrows of the architecture: who may import whom, and what an import brings along."""

import ast
import pathlib
import subprocess
import sys

import pytest

import ptformat

CORE = pathlib.Path(ptformat.__file__).parent
# Each module may import those of the lines above its own, and of its own line those to its left.
ORDER = """
errors limits collector
dtypes paths profile
bands tree container codecs
nesting columns forms structure index
pages atomic containers slices backing
writer reader
loading saving
verification
__init__
"""
RANK = {name: rank for rank, name in enumerate(ORDER.split())}
# Beside the core: adapters (and what they are made of), the command line. The core never imports these.
OUTER = ("torch", "flax", "attrs", "cli", "__main__", "viewer")
FRAMEWORKS = ("torch", "jax", "jaxlib", "flax", "safetensors")
DEPENDENCIES = {"numpy", "ml_dtypes", "msgpack", "zstandard", "xxhash"}


def modules():
    """Core module -> its files."""
    for name in RANK:
        path = CORE / name
        yield name, sorted(path.glob("*.py")) if path.is_dir() else [path.with_suffix(".py")]


def imports(path):
    """(of this package or not, first name) of every import in a file, wherever in it."""
    inside = path.relative_to(CORE).parts[:-1]
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (("ptformat" in name.name.split(".")[:1], name.name.split(".")[0]) for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level:
            above = (*inside[: len(inside) + 1 - node.level], *(node.module or "").split("."))
            whole = [part for part in above if part]
            yield from [(True, whole[0])] if whole else [(True, name.name) for name in node.names]
        elif isinstance(node, ast.ImportFrom):
            yield node.module.split(".")[0] == "ptformat", node.module.split(".")[0]


def test_every_module_of_the_core_has_its_place():
    found = {path.stem for path in CORE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert {name for name in found if not name.startswith(OUTER)} == set(RANK)


@pytest.mark.parametrize(("name", "files"), list(modules()), ids=list(RANK))
def test_nothing_points_back(name, files):
    for path in files:
        for own, target in imports(path):
            if not own:
                assert target in DEPENDENCIES | sys.stdlib_module_names, (path.name, target)
            elif target != name:
                assert target in RANK, (path.name, target)
                assert RANK[target] < RANK[name], (path.name, target)


def test_converters_are_not_known_to_the_core():
    assert not any("converters" in path.read_text("utf-8") for _, files in modules() for path in files)


def loaded_by(code):
    """The modules that a fresh interpreter has after running this."""
    command = [sys.executable, "-c", f"import sys\n{code}\nprint(*sys.modules)"]
    return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())


def test_importing_the_package_loads_no_framework():
    everything = "import ptformat\nfor name in ptformat.__all__: getattr(ptformat, name)"
    seen = loaded_by(everything)
    assert {"ptformat.reader", "ptformat.writer", "numpy"} <= seen
    assert seen.isdisjoint(FRAMEWORKS)


def test_importing_the_package_alone_loads_nothing():
    seen = loaded_by("import ptformat, ptformat.errors, ptformat.limits")
    assert seen.isdisjoint({*FRAMEWORKS, *DEPENDENCIES})


def test_the_face():
    assert set(ptformat.__all__) == {*ptformat._FACE, "__version__"}
    assert dir(ptformat) == sorted(ptformat.__all__)
    for name, module in ptformat._FACE.items():
        assert getattr(ptformat, name) is getattr(__import__(f"ptformat.{module}", fromlist=[name]), name)
    with pytest.raises(AttributeError, match="module 'ptformat' has no attribute 'nothing'"):
        _ = ptformat.nothing


def test_the_face_is_typed():
    """What a type checker sees is what is there."""
    text = ast.parse((CORE / "__init__.py").read_text("utf-8"))
    block = next(node for node in text.body if isinstance(node, ast.If))
    typed = {name.asname: node.module for node in block.body for name in node.names}
    assert typed == ptformat._FACE
