"""The committed cases: made by their recipes, as the manifest lists them, and enough of them."""

import ast
import collections
import hashlib
import json
import pathlib
import subprocess
import sys

import jsonschema
import pytest

from ptformat.conformance import conversions, recipes, suite
from ptformat.errors import READ_CODES

ROOT = pathlib.Path(__file__).parents[2]
MANIFEST = json.loads((suite.CASES / "manifest.json").read_bytes())
SCHEMA = json.loads((suite.ROOT / "manifest.schema.json").read_bytes())
LISTED = suite.listed()


def test_recipes_make_the_committed_cases_with_the_standard_library_alone():
    """`-S`: nothing of site-packages can be imported."""
    command = [sys.executable, "-S", "-m", "conformance.recipes", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_recipes_import_nothing_else():
    for path in pathlib.Path(recipes.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                assert {name.name.split(".")[0] for name in node.names} <= sys.stdlib_module_names, path.name
            elif isinstance(node, ast.ImportFrom) and not node.level:
                assert node.module.split(".")[0] in sys.stdlib_module_names, path.name


def test_manifest_follows_its_schema():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.Draft202012Validator(SCHEMA).validate(MANIFEST)
    assert SCHEMA["$defs"]["code"]["enum"] == list(READ_CODES)
    assert set(SCHEMA["$defs"]["case"]["properties"]) == set(suite.Listed.__dataclass_fields__) - {"folder"}
    assert set(SCHEMA["$defs"]["conversion"]["properties"]) == set(conversions.Conversion.__dataclass_fields__)


def test_files_are_as_listed():
    assert suite.damaged(LISTED) == []
    for case in LISTED:
        data = case.path.read_bytes()
        assert len(data) == case.size, case.id
        assert case.path.with_suffix(".json").exists() == (case.verdict == "accept"), case.id


def test_no_case_is_a_copy_of_another():
    copies = collections.defaultdict(list)
    for case in LISTED:
        copies[case.sha256].append(case.id)
    assert [ids for ids in copies.values() if len(ids) > 1] == []


def test_ids_are_used_once():
    ids = [case.id for case in LISTED]
    assert len(set(ids)) == len(ids)
    assert not set(ids) & set(MANIFEST["retired"])
    assert [case.file for case in LISTED] == [f"{ident}.ptf" for ident in ids]


def test_there_are_enough_and_they_are_small():
    counts = collections.Counter(case.id.split("/")[0] for case in LISTED)
    assert counts["valid"] >= 300
    assert counts["invalid"] >= 650
    assert counts["limits"] + counts["forward"] >= 50
    sizes = sorted(case.size for case in LISTED)
    assert sizes[len(sizes) // 2] < 1024
    assert sum(sizes) < 8 * 2**20


def test_every_code_has_cases():
    counts = collections.Counter(code for case in LISTED for code in case.codes if len(case.codes) == 1)
    assert {code: counts[code] for code in READ_CODES if counts[code] < 5} == {}


@pytest.mark.parametrize("case", [case for case in LISTED if case.verdict == "accept"], ids=lambda case: case.id)
def test_content_is_json_without_numbers(case):
    """Integers are texts: no parser rounds them."""
    text = case.path.with_suffix(".json").read_text("utf-8")
    assert text.isascii()

    def refuse(number):
        raise AssertionError(number)

    json.loads(text, parse_int=refuse, parse_float=refuse, parse_constant=refuse)


def test_copy(tmp_path):
    target = tmp_path / "suite"
    count = suite.copy(target)
    found = {path.relative_to(target).as_posix(): path for path in target.rglob("*") if path.is_file()}
    assert count == len(found)
    assert {"README.md", "manifest.schema.json", "cases/manifest.json"} <= found.keys()
    for case in LISTED:
        assert hashlib.sha256(found[f"cases/{case.file}"].read_bytes()).hexdigest() == case.sha256
    with pytest.raises(FileExistsError, match="not empty"):
        suite.copy(target)


def test_choosing_cases():
    assert [case.id for case in suite.listed(["valid/deck/net"])] == ["valid/deck/net"]
    assert {case.area for case in suite.listed(["invalid/trailer/", "valid/deck"])} == {"invalid/trailer", "valid/deck"}
    assert {case.level for case in suite.listed(levels=["required"])} == {"required"}
    with pytest.raises(LookupError, match="no case 'valid/dec'"):
        suite.listed(["valid/deck", "valid/dec"])
