"""Every MUST of the specification has cases that show it broken, and cases that keep it (conformance/musts.json)."""

import fnmatch
import json
import pathlib
import re

import pytest

from ptformat.conformance import suite

ROOT = pathlib.Path(__file__).parents[2]
SPEC = (ROOT / "spec" / "ptformat-1.0.md").read_text("utf-8")
MUSTS = json.loads((suite.ROOT / "musts.json").read_bytes())
CASES = {case.id: case for case in suite.listed()}
DEFINED = "The words MUST, MUST NOT, SHOULD"  # the sentence that says what the words mean


def sections():
    """Number -> text without its code blocks, all white space one space."""
    found = {}
    for part in re.split(r"^(?=##+ \d)", SPEC, flags=re.M)[1:]:
        number = re.match(r"##+ (\d+(?:\.\d+)?)", part)[1]
        found[number] = " ".join(re.sub(r"^```.*?^```", "", part, flags=re.M | re.S).split())
    return found


SECTIONS = sections()


def chosen(patterns):
    """The ids that these patterns name, in order; each pattern names at least one."""
    ids = []
    for pattern in patterns:
        named = [ident for ident in CASES if fnmatch.fnmatchcase(ident, pattern)]
        assert named, pattern
        ids += named
    return ids


def test_each_must_of_the_text_is_listed_once():
    listed = {number: [must["text"] for must in MUSTS if must["section"] == number] for number in SECTIONS}
    for number, text in SECTIONS.items():
        places = {match.start() for match in re.finditer(r"\bMUST\b", text)}
        if DEFINED in text:
            places -= {
                match.start() for match in re.finditer(r"\bMUST\b", text) if match.start() < text.index("RFC 2119")
            }
        covered = []
        for must in listed[number]:
            assert text.count(must) == 1, (number, must)
            assert len(re.findall(r"\bMUST\b", must)) == 1, must
            covered.append(text.index(must) + must.index("MUST"))
        assert sorted(covered) == sorted(places), f"section {number}: a MUST that conformance/musts.json does not list"
    assert len(MUSTS) == sum(map(len, listed.values())) >= 24


@pytest.mark.parametrize("must", MUSTS, ids=lambda must: f"{must['section']} {must['text'][:60]}")
def test_each_must_has_its_cases(must):
    kept, broken = chosen(must["kept"]), chosen(must["broken"])
    assert kept
    assert [ident for ident in kept if CASES[ident].verdict != "accept"] == []
    assert set(kept) & set(broken) == set()
    assert broken or must["tests"]
    for test in must.get("tests", ()):
        path, _, name = test.partition("::")
        text = (ROOT / path).read_text("utf-8")
        assert not name or f"def {name}(" in text


def test_each_step_and_code_has_a_case():
    """Section 10.2, but for what no file can show: see section 9."""
    table = re.findall(r"^\| (\d+) \| ((?:`[A-Z]+`(?:, )?)+) \|", SPEC, flags=re.M)
    assert [int(number) for number, _ in table] == list(range(1, len(table) + 1))
    wanted = {(int(number), code) for number, codes in table for code in re.findall("[A-Z]+", codes)}
    found = {(case.step, code) for case in CASES.values() if case.step for code in case.codes}
    assert wanted - found == {(40, "LIMIT")}
    assert (
        found
        - wanted
        - {
            (step, code)
            for case in CASES.values()
            if len(case.codes) > 1
            for step, code in [(case.step, case.codes[1])]
        }
        == set()
    )


def test_every_case_names_a_section_of_the_text():
    assert {case.section for case in CASES.values()} <= SECTIONS.keys()
