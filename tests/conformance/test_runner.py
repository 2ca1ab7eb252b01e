"""The runner against implementations that answer as they are told."""

import json
import math
import os
import pathlib
import sys

import pytest

from ptformat.conformance import process, report, runner, suite
from ptformat.conformance.process import Implementation, NoImplementation, Reply
from ptformat.conformance.recipes.case import MEMORY_MIB
from ptformat.conformance.verdict import compare, judged

ANSWERING = pathlib.Path(__file__).with_name("answering.py")
HELLO = {"result": "ok", "name": "told", "version": "7", "operations": ["decode", "verify", "encode"]}
REFUSED = {"result": "reject", "code": "FEATURE"}
VALID, INVALID = "valid/deck/net", "invalid/trailer/flag-1"
CONTENT = suite.listed([VALID])[0].content()


@pytest.fixture
def told(tmp_path):
    """Run some cases on an implementation that answers by a table; gives the run."""

    def run(table, *chosen, known=(), slower=1.0, every=None):
        path = tmp_path / "table.json"
        path.write_text(json.dumps({"hello": HELLO, **table}))
        command = [sys.executable, str(ANSWERING), str(path)]
        return runner.run(command, suite.listed(chosen), known=known, slower=slower, every=every)

    return run


def outcome(done, operation):
    (result,) = done.results
    (found,) = (outcome for outcome in result.outcomes if outcome.operation == operation)
    return found


def test_the_library_answers_every_case_as_listed():
    cases = suite.listed()
    done = runner.run(runner.OWN, cases)
    failed = {
        f"{result.case.id} {outcome.operation}": outcome.why
        for result in done.results
        for outcome in result.outcomes
        if outcome.result != "passed"
    }
    assert failed == {}
    assert done.ending == ""
    assert len(done.results) == len(cases)
    assert all(outcome.memory is not None for result in done.results for outcome in result.outcomes)


def test_right_answers_pass(told):
    done = told({"decode": {"result": "ok", "content": CONTENT}, "verify": {"result": "ok"}}, VALID)
    assert [outcome(done, name).result for name in ("decode", "verify")] == ["passed", "passed"]
    assert (done.name, done.version) == ("told", "7")
    done = told(
        {"decode": {"result": "reject", "code": "FEATURE"}, "verify": {"result": "reject", "code": "FEATURE"}}, INVALID
    )
    assert done.results[0].result == "passed"
    assert done.sound


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ({"result": "reject", "code": "MAGIC", "message": "no"}, "rejected with MAGIC (no), expected to be accepted"),
        ({"result": "ok"}, "content None, expected an object"),
        ({"result": "ok", "content": {**CONTENT, "minor": 0}}, "content.minor: 0, expected '0'"),
        ({"result": "ok", "content": {**CONTENT, "more": 1}}, "content: 'more' 1, expected none"),
        ({"result": "good"}, "result 'good', expected ok, reject or skipped"),
        ({"content": {}}, 'no answer but b\'{"content": {}, "id": "decode valid/deck/net"}\\n\''),
        ("noise", "no answer but b'good morning\\n'"),
        ("exit", "ended with exit code 1: it was\\nall too much"),
        ("abort", "ended with signal SIGABRT"),
    ],
)
def test_wrong_answers_to_a_valid_file(told, answer, why):
    done = told({"decode": answer}, VALID)
    assert outcome(done, "decode").why == why
    assert not done.sound


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ({"result": "ok"}, "accepted, expected FEATURE"),
        ({"result": "reject"}, "rejected with None, which is no code of the specification, expected FEATURE"),
        ({"result": "reject", "code": "LIMIT"}, "rejected with LIMIT, expected FEATURE"),
        (
            {"result": "reject", "code": "BAD"},
            "rejected with BAD, which is no code of the specification, expected FEATURE",
        ),
        ({"result": "reject", "code": "FEATURE", "phase": "verify"}, "rejected in phase verify, expected open"),
        ({"result": "reject", "code": "FEATURE", "phase": "late"}, "phase 'late', expected one of open, read, verify"),
    ],
)
def test_wrong_answers_to_an_invalid_file(told, answer, why):
    done = told({"decode": answer, "verify": REFUSED}, INVALID)
    assert outcome(done, "verify").result == "passed"
    assert outcome(done, "decode").why == why


def test_it_is_started_again_after_a_crash(told):
    table = {"verify": REFUSED, "decode": REFUSED}
    table[f"decode {INVALID}"] = "abort"
    done = told(table, INVALID, "invalid/trailer/flag-2")
    assert [result.result for result in done.results] == ["failed", "passed"]
    assert [outcome.result for outcome in done.results[0].outcomes] == ["failed", "passed"]


def test_time_is_bounded(told):
    done = told({"decode": "hang", "verify": {"result": "ok"}}, VALID, slower=0.1)
    assert outcome(done, "decode").why == "no answer within 0.5 s"
    assert outcome(done, "verify").result == "passed"


def test_closed_output_is_no_answer(told, monkeypatch):
    monkeypatch.setattr(process, "ENDING_SECONDS", 0.2)
    done = told({"decode": "close"}, VALID)
    assert outcome(done, "decode").why == "closed its output without an answer"


@pytest.mark.parametrize(("extra", "result"), [(-24, "passed"), (40, "failed")])
def test_memory_is_bounded(told, extra, result):
    """Freed again before the answer: the peak counts, or as much of it as was seen when it was ended."""
    allowed = suite.listed([VALID])[0].memory_mib
    done = told({"verify": f"allocate {allowed + extra}"}, VALID)
    found = outcome(done, "verify")
    assert found.result == result
    assert min(allowed, allowed + extra - 1) <= found.memory / 2**20 < allowed + extra + 8
    taken = math.ceil(found.memory / 2**20)
    assert found.why == ("" if result == "passed" else f"took {taken} MiB, {allowed} are allowed")
    assert allowed >= MEMORY_MIB


def test_skips_are_told_and_no_failures(told):
    done = told({"decode": {"result": "skipped", "reason": "not yet"}}, VALID)
    assert outcome(done, "decode").why == "not yet"
    assert outcome(done, "verify").why == "no reason given"
    assert done.results[0].result == "skipped"
    assert (done.tested, done.sound) == (False, False)
    done = told({"hello": {**HELLO, "operations": ["verify"]}, "verify": {"result": "ok"}}, VALID)
    assert [outcome(done, name).why for name in ("decode", "verify", "encode")] == ["not offered", "", "not offered"]
    assert done.results[0].result == "passed"


def test_what_a_language_cannot_hold_may_be_left_out(told):
    content = {**CONTENT, "tree": {"skipped": "no trees here"}}
    del content["digest"]
    found = outcome(told({"decode": {"result": "ok", "content": content}}, VALID), "decode")
    assert (found.result, found.lacking) == ("passed", ("tree", "digest"))
    content["entries"] = {"skipped": "nor entries"}
    assert outcome(told({"decode": {"result": "ok", "content": content}}, VALID), "decode").result == "failed"


@pytest.mark.parametrize(
    "part",
    [
        {"tree": None},
        {"tree": 5},
        {"tree": {"skipped": 1}},
        {"tree": {**CONTENT["tree"], "skipped": "why"}},
        {"digest": 5},
        {"digest": "skipped"},
        {"digest": ["skipped"]},
    ],
)
def test_what_is_not_left_out_is_compared(part):
    why, lacking = compare(CONTENT, {**CONTENT, **part})
    assert why.startswith(f"content.{next(iter(part))}")
    assert lacking == ()


def nested(levels):
    made = []
    for _ in range(levels):
        made = [made]
    return made


@pytest.mark.parametrize("key", ["code", "phase", "message", "result"])
def test_what_is_nested_deeply_is_a_failure(key):
    """As deep as JSON can be read, which is deeper than the runner is when it has it."""
    answer = {"result": "reject", "code": "BAD", key: nested(sys.getrecursionlimit() + 50)}
    found = judged(suite.listed([INVALID])[0], "verify", Reply(answer, "", 0.0, None))
    assert found.result == "failed"


@pytest.mark.parametrize("key", ["code", "phase", "message", "result"])
def test_a_failure_is_a_line_of_bounded_length(key):
    answer = {"result": "reject", "code": "BAD", key: "m\n" * 5_000_000}
    found = judged(suite.listed([INVALID])[0], "verify", Reply(answer, "", 0.0, None))
    assert found.result == "failed"
    assert len(found.why) < 2000
    assert "\n" not in found.why
    skip = Reply({"result": "skipped", "reason": "r" * 5_000_000}, "", 0.0, None)
    assert len(judged(suite.listed([INVALID])[0], "verify", skip).why) < 2000


WINDOW = "valid/zstd/match-beyond-the-window"


@pytest.mark.parametrize(
    ("change", "result"),
    [
        ({"result": "reject", "code": "CODEC"}, "passed"),
        ({"result": "reject", "code": "CODEC", "phase": "read"}, "passed"),
        ({"result": "reject", "code": "DATA"}, "failed"),
        ({"result": "ok"}, "passed"),
        ({"result": "ok", "digest": "0" * 64}, "failed"),
        ({"result": "ok", "minor": "1"}, "failed"),
    ],
)
def test_what_is_left_to_the_reader_is_accepted_with_just_this_content_or_rejected_so(change, result):
    (case,) = suite.listed([WINDOW])
    assert (case.verdict, case.codes) == ("accept", ("CODEC",))
    answer = change if change["result"] == "reject" else {"result": "ok", "content": case.content() | change}
    answer.get("content", {}).pop("result", None)
    found = judged(case, "decode", Reply(answer, "", 0.0, None))
    assert found.result == result
    if result == "failed" and change["result"] == "reject":
        assert found.why == "rejected with DATA, expected CODEC"


def test_what_is_written_is_compared(told):
    done = told({"encode": {"result": "ok"}}, VALID)
    assert outcome(done, "encode").why == "nothing was written"
    done = told({"encode": {"result": "ok", "write": "text"}}, VALID)
    sha = "982d9e3eb996f559e633f4d194def3761d909f5a3b647d1a851fead67c32c9d1"
    assert outcome(done, "encode").why == f"wrote bytes of sha256 {sha}, expected {suite.listed([VALID])[0].raw_sha256}"


def test_each_request_has_a_new_folder_to_write_to(told):
    done = told({"encode": {"result": "ok", "write": ""}}, VALID, "valid/metadata")
    whys = {each.why for result in done.results for each in result.outcomes if each.operation == "encode"}
    assert whys == {"nothing was written"}


def test_memory_is_measured_or_not_whatever_the_answers(told):
    done = told({"verify": "exit", "decode": "exit", "encode": "exit"}, VALID)
    assert report.notes(done) == []
    done.measured = False
    assert report.notes(done) == ["memory    not measured: only Linux tells it of another process"]


def test_what_does_not_verify_is_not_asked_for_derived_files(told):
    done = told({"hello": {**HELLO, "operations": ["decode"]}, "decode": REFUSED}, INVALID, every=10**9)
    assert (done.sound, done.derived) == (True, [])
    assert report.notes(done)[-1] == "skipped   derived files: verify: not offered"


def test_derived_files_are_put_to_the_process_that_said_hello(told):
    done = told({"verify": REFUSED, "stop": "exit"}, INVALID, every=10**9)
    assert {each.asked for each in done.derived} == {0, 1}  # of some there are no files
    assert done.ending == "ended with exit code 1 when asked to stop"
    done = told({"verify": {"result": "skipped"}, "decode": REFUSED}, INVALID, every=10**9)
    assert {(each.asked, each.skipped, each.failed) for each in done.derived} == {(0, 0, 0), (1, 1, 0)}


def test_known_failures(told):
    wrong = {"verify": {"result": "ok"}, "decode": {"result": "ok"}}
    done = told(wrong, INVALID, known=[INVALID])
    assert done.results[0].result == "known"
    assert done.sound
    right = {"verify": REFUSED, "decode": REFUSED}
    done = told(right, INVALID, known=[INVALID])
    assert done.results[0].result == "unexpected"
    assert not done.sound
    assert runner.known_failures("# none\n\na/b # soon\n  c/d\n") == ["a/b", "c/d"]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"hello": "exit"}, "ended with exit code 1: it was\\nall too much where it should say hello"),
        ({"hello": {"result": "no"}}, "{'result': 'no'} where it should say hello"),
    ],
)
def test_no_hello(told, table, message):
    with pytest.raises(NoImplementation) as caught:
        told(table, VALID)
    assert str(caught.value) == f"{sys.executable}: {message}"


def test_no_such_command():
    with pytest.raises(NoImplementation, match=r"^no-such-command: No such file or directory$"):
        runner.run(["no-such-command"], suite.listed([VALID]))


def test_how_it_stops(told):
    assert told({"stop": "exit"}, VALID).ending == "ended with exit code 1 when asked to stop"
    assert not told({"stop": "exit"}, VALID).sound


def test_memory_of_what_a_command_starts_counts(tmp_path):
    """`sh -c 'python …; true'`: the memory is that of the child."""
    table = tmp_path / "table.json"
    table.write_text(json.dumps({"hello": HELLO, "verify": "allocate 100"}))
    tested = Implementation(["sh", "-c", f"{sys.executable} {ANSWERING} {table}; true"])
    try:
        assert tested.start().name == "told"
        reply = tested.ask({"op": "verify", "id": "x"}, 10)
        assert 99 <= reply.memory / 2**20 < 110
    finally:
        tested.kill()


def test_first_difference():
    one = {"a": [{"b": "1"}, {"b": "2"}], "digest": "x"}
    assert compare(one, {"a": [{"b": "1"}, {"b": "3"}], "digest": "x"})[0] == "content.a[1].b: '3', expected '2'"
    assert compare(one, {"a": [{"b": "1"}], "digest": "x"})[0] == "content.a: 1 items, expected 2"
    assert compare(one, {"a": [{"b": "1"}, {}], "digest": "x"})[0] == "content.a[1]: no 'b', expected '2'"
    assert compare(one, {"a": {}, "digest": "x"})[0] == "content.a: {}, expected [{'b': '1'}, {'b': '2'}]"
    assert compare({"a": True}, {"a": 1})[0] == "content.a: 1, expected True"
    assert compare(one, one) == ("", ("tree",))


def test_report_is_json(told):
    done = told({"verify": {"result": "ok"}}, VALID)
    made = json.loads(json.dumps(done.as_json()))
    assert made["implementation"]["name"] == "told"
    assert made["summary"] == {"passed": 1}
    assert made["cases"][0]["id"] == VALID
    assert [each["operation"] for each in made["cases"][0]["outcomes"]] == ["decode", "verify", "encode"]
    assert os.fspath(ANSWERING) in made["implementation"]["command"]
