"""`ptformat conformance`, and `python -m ptformat.conformance`, which is the same."""

import io
import json
import pathlib
import re
import subprocess
import sys

import pytest
from cli_files import run

from ptformat.cli import progress
from ptformat.conformance import derived, recipes, suite
from ptformat.conformance.recipes import large
from ptformat.conformance.recipes.derive import FAMILIES, SEEDS

ANSWERING = pathlib.Path(__file__).with_name("answering.py")
HELLO = {"result": "ok", "name": "told", "version": "7", "operations": ["verify"]}
REFUSED = {"result": "reject", "code": "FEATURE", "message": "flags\x1b[31m"}

SLOWER = "conformance run: --slower: {}, expected more than 0, 1,000 at the most. Try 'ptformat conformance run --help'"


@pytest.fixture
def told(tmp_path):
    """The command of an implementation that answers by a table."""

    def command(table):
        path = tmp_path / "table.json"
        path.write_text(json.dumps({"hello": HELLO, **table}))
        return ["--", sys.executable, str(ANSWERING), str(path)]

    return command


def test_list():
    done = run("conformance", "list", "invalid/trailer/flag-1", "valid/deck/net")
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "case                    expected        where  about",
        "valid/deck/net          accept          3.5    a flat state dict, with a part for each module",
        "invalid/trailer/flag-1  FEATURE (open)  2.2    a flag that is not defined",
    ]


def test_list_as_json():
    rows = json.loads(run("conformance", "list", "--json").stdout)
    manifest = json.loads((suite.CASES / "manifest.json").read_bytes())
    assert rows == manifest["cases"] + manifest["conversions"]


def test_run_on_an_area(told):
    done = run("conformance", "run", "--case", "invalid/trailer", *told({"verify": REFUSED}))
    assert done.exit_code == 1
    count = len(suite.listed(["invalid/trailer"]))
    wrong = [case for case in suite.listed(["invalid/trailer"]) if case.codes != ("FEATURE",)]
    lines = done.stdout.splitlines()
    assert lines[0] == "told 7"
    assert re.fullmatch(rf"all +{count} +{count - len(wrong)} +{len(wrong)}", lines[3])
    assert lines[4] == f"skipped   {count} × decode: not offered"
    assert re.fullmatch(r"longest   \d\.\d\d s \(.*\)(; most memory \d+ MiB \(.*\))?", lines[5])
    assert done.stderr.splitlines() == [
        f"{case.id}: verify: rejected with FEATURE (flags\\x1b[31m), expected {' or '.join(case.codes)}"
        for case in wrong
    ]


def test_run_is_sound(told):
    done = run("conformance", "run", "--case", "invalid/trailer/flag-1", *told({"verify": REFUSED}))
    assert (done.exit_code, done.stderr) == (0, "")
    assert re.fullmatch(r"all is as it should be, \d+\.\d s", done.stdout.splitlines()[-1])


def test_known_failures(told, tmp_path):
    known = tmp_path / "known.txt"
    known.write_text("valid/deck/net  # soon\n")
    wrong = ["--case", "valid/deck/net", "--known-failures", known, *told({"verify": REFUSED})]
    assert run("conformance", "run", *wrong).exit_code == 0
    right = ["--case", "valid/deck/net", "--known-failures", known, *told({"verify": {"result": "ok"}})]
    done = run("conformance", "run", *right)
    assert done.exit_code == 1
    assert done.stderr == "valid/deck/net: passed, though it is listed as failing\n"
    known.write_text("valid/deck/nothing\n")
    done = run("conformance", "run", *right)
    assert done.exit_code == 2
    expected = f"conformance run: {known}: no case 'valid/deck/nothing'. Try 'ptformat conformance run --help'"
    assert done.stderr == f"ptformat: {expected}\n"


def test_known_failures_are_text(told, tmp_path):
    known = tmp_path / "known.txt"
    known.write_bytes(b"valid/deck/net \xff\n")
    done = run("conformance", "run", "--case", "valid/deck/net", "--known-failures", known, *told({}))
    assert (done.exit_code, done.stderr) == (1, f"ptformat: {known}: not text in UTF-8, at byte 15\n")


def test_known_failures_may_be_of_cases_that_are_made_on_demand(told, tmp_path):
    known = tmp_path / "known.txt"
    known.write_text("large/metadata-at\n")
    right = told({"verify": {"result": "ok"}})
    assert run("conformance", "run", "--case", "valid/deck/net", "--known-failures", known, *right).exit_code == 0
    known.write_text("large/metadata\n")
    done = run("conformance", "run", "--case", "valid/deck/net", "--known-failures", known, *right)
    assert "no case 'large/metadata'" in done.stderr


def test_cases_that_are_made_on_demand_are_those_that_are_named(monkeypatch):
    """Made of sizes that take no time."""
    for name, size in (("INDEX_BYTES", 9001), ("WINDOW", 8000), ("CHUNK", 4096), ("ENTRIES", 64), ("METADATA", 128)):
        monkeypatch.setattr(large, name, size)
    monkeypatch.setattr(large, "range", lambda *bounds: range(min(bounds[-1], 100)), raising=False)
    assert tuple(case.slug for case in recipes.cases("large")) == large.SLUGS


def test_report(told, tmp_path):
    report = tmp_path / "report.json"
    arguments = ["conformance", "run", "--case", "valid/deck/net", "--report", report, "--json"]
    done = run(*arguments, *told({"verify": {"result": "ok"}}))
    assert done.exit_code == 0
    assert json.loads(done.stdout) == json.loads(report.read_text())
    assert json.loads(done.stdout)["summary"] == {"passed": 1}


def test_report_is_opened_first(tmp_path):
    started = tmp_path / "started"
    report = tmp_path / "missing" / "r.json"
    done = run("conformance", "run", "--report", report, "--", "touch", started)
    assert (done.exit_code, done.stderr) == (1, f"ptformat: {report}: No such file or directory\n")
    assert not started.exists()


def test_nothing_is_tested_where_all_is_skipped(told):
    done = run("conformance", "run", "--case", "valid/deck/net", *told({"verify": {"result": "skipped"}}))
    assert (done.exit_code, done.stderr) == (1, "nothing was tested\n")
    assert "as it should be" not in done.stdout


def test_a_run_shows_a_line_on_a_terminal(monkeypatch):
    shown = io.StringIO()
    shown.isatty = lambda: True
    monkeypatch.setattr(progress, "DELAY", 0)
    monkeypatch.setattr(progress.sys, "stderr", shown)
    monkeypatch.setenv("TERM", "xterm")
    with progress.Progress("conformance", items=True) as line:
        line.total(20)
        line.advance(7)
    assert "conformance" in shown.getvalue()
    assert "7/20" in shown.getvalue()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["list", "valid/none"], 2, "conformance list: no case 'valid/none'. Try 'ptformat conformance list --help'"),
        (["run", "--case", "x"], 2, "conformance run: no case 'x'. Try 'ptformat conformance run --help'"),
        (["run", "--", "no-such-command"], 1, "no-such-command: No such file or directory"),
        (["run", "--slower", "inf"], 2, SLOWER.format("inf")),
        (["run", "--slower", "nan"], 2, SLOWER.format("nan")),
        (["run", "--slower", "1e12"], 2, SLOWER.format("1e+12")),
        (["run", "--slower", "0"], 2, SLOWER.format("0")),
        (["run", "--", "true"], 1, "true: ended with exit code 0 where it should say hello"),
    ],
)
def test_errors_are_a_line(arguments, code, message):
    done = run("conformance", *arguments)
    assert (done.exit_code, done.stdout, done.stderr) == (code, "", f"ptformat: {message}\n")


def test_copy(tmp_path):
    target = tmp_path / "suite"
    done = run("conformance", "copy", target)
    assert done.exit_code == 0
    count = sum(path.is_file() for path in target.rglob("*"))
    assert done.stdout == f"{target}: {count:,} files\n"
    done = run("conformance", "copy", target)
    assert (done.exit_code, done.stderr) == (1, f"ptformat: {target}: the folder is not empty\n")


def test_as_a_module():
    command = [sys.executable, "-m", "ptformat.conformance", "list", "valid/deck/net"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == run("conformance", "list", "valid/deck/net").stdout


def test_derived_files_are_the_hundred_thousand_that_are_promised():
    counts = {(seed, family): sum(1 for _ in derived.made(seed, family)) for seed in SEEDS for family in FAMILIES}
    assert len(SEEDS) == 20
    assert sum(counts.values()) > 100_000
    for seed in SEEDS:
        size = suite.listed([seed])[0].size
        assert counts[seed, "truncated"] == size
        assert counts[seed, "flipped"] == 8 * size


def test_some_derived_files_on_the_library():
    """Every 40th here; all of them by `ptformat conformance run --derived`."""
    done = run("conformance", "run", "--case", "valid/deck/net", "--derived", "--every", "40", "--json")
    assert (done.exit_code, done.stderr) == (0, "")
    found = json.loads(done.stdout)["derived"]
    assert [(each["seed"], each["family"]) for each in found] == [(seed, name) for seed in SEEDS for name in FAMILIES]
    assert all(each["asked"] == -(-each["count"] // 40) for each in found)
    assert sum(each["failed"] for each in found) == 0


def test_a_derived_file_that_is_accepted_fails(told):
    table = {"verify": {"result": "ok"}}
    done = run("conformance", "run", "--case", "valid/deck/net", "--derived", "--every", "1000", *told(table))
    assert done.exit_code == 1
    assert f"{SEEDS[0]}, truncated 0: ok, expected reject" in done.stderr.splitlines()
