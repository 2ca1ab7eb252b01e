"""An implementation as a process: whatever it does, there is a reply in time, and nothing is left of it."""

import os
import pathlib
import sys
import textwrap
import threading
import time

import pytest

from ptformat.conformance import child, memory, process
from ptformat.conformance.process import Implementation, NoImplementation

VERIFY = {"op": "verify", "id": "verify x"}
OK = {"result": "ok"}
# Says hello, stops when asked to, and does to any other request what `{body}` says, after `{start}` at the start.
PROGRAM = """
import json, os, subprocess, sys, time
def say(result="ok", **more):
    print(json.dumps({{"id": request["id"], "result": result, **more}}), flush=True)
{start}
for line in sys.stdin:
    request = json.loads(line)
    if request["op"] == "stop":
        break
    if request["op"] == "hello":
        say(name="x", version="1", operations={operations!r})
        continue
    {body}
"""


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(process, "ENDING_SECONDS", 0.3)


@pytest.fixture
def made():
    """An implementation that does what a statement says when it is asked, and another one when it starts."""
    every = []

    def made(body="say()", start="", operations=("verify",)):
        program = PROGRAM.format(body=body, start=start, operations=operations)
        every.append(Implementation([sys.executable, "-S", "-c", program]))
        return every[-1]

    yield made
    for each in every:
        each.kill()


def gone(pid, seconds=5.0):
    """Whether a process ends within so many seconds."""
    end = time.monotonic() + seconds
    state = pathlib.Path(f"/proc/{pid}/stat")
    while state.exists() and state.read_text().rpartition(")")[2].split()[0] != "Z":
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def test_what_does_not_read_is_ended_in_time(made):
    tested = made("time.sleep(1000)")
    tested.start()
    assert tested.ask({**VERIFY, "data": "A" * 2**20}, 0.3).fault == "no answer within 0.3 s"
    tested = made("say(); time.sleep(1000)")
    assert tested.ask({**VERIFY, "data": "A" * 1000}, 5).answer == OK
    assert tested.ask({**VERIFY, "data": "A" * 2**20}, 0.3).fault == "no answer within 0.3 s"


def test_what_does_not_read_is_ended_when_it_is_to_stop(made):
    tested = made("say(); time.sleep(1000)")
    assert tested.ask(VERIFY, 5).answer == OK
    assert tested.stop() == "did not stop when asked to"


def test_a_large_request_and_a_large_answer(made):
    tested = made("say(text=request['data'])")
    text = "A" * 3_000_000
    assert tested.ask({**VERIFY, "data": text}, 10).answer == {"result": "ok", "text": text}
    assert tested.stop() == ""


def test_it_says_hello_whenever_it_is_started(made):
    """What it takes and how long it needs until then does not count as the request's."""
    tested = made("os._exit(3) if request.get('die') else say()", "time.sleep(1.5); held = b'x' * (100 << 20)")
    tested.start()
    assert tested.ask(VERIFY | {"die": 1}, 1.2).fault == "ended with exit code 3"
    reply = tested.ask(VERIFY, 1.2, 64)
    assert reply.answer == OK
    if memory.MEASURABLE:
        assert reply.memory < 64 * 2**20


def test_what_does_not_start_again_is_not_tried_for_ever(made, tmp_path, monkeypatch):
    monkeypatch.setattr(process, "STARTING_SECONDS", 1.5)
    start = f"os.path.exists({str(tmp_path / 'x')!r}) and time.sleep(1000); open({str(tmp_path / 'x')!r}, 'w')"
    tested = made("os._exit(3)", start)
    tested.start()
    assert tested.ask(VERIFY, 5).fault == "ended with exit code 3"
    began = time.perf_counter()
    why = f"not started: {sys.executable}: no answer within 1.5 s where it should say hello"
    assert [tested.ask(VERIFY, 5).fault for _ in range(3)] == [why] * 3
    assert time.perf_counter() - began < 3


def test_a_second_answer_is_a_fault(made):
    tested = made("say(); say()")
    assert tested.ask(VERIFY, 5).answer == OK
    time.sleep(0.3)
    fault = tested.ask(VERIFY, 5).fault
    assert fault.startswith('answered before it was asked: b\'{"id": "verify x", "result": "ok"}')
    assert tested.ask(VERIFY, 5).answer == OK
    time.sleep(0.3)
    assert tested.stop().startswith("answered before it was asked: ")


def test_an_answer_to_another_request_is_a_fault(made):
    assert made("say(id='another')").ask(VERIFY, 5).fault == "id 'another', expected 'verify x'"
    assert made('print(\'{"result": "ok"}\', flush=True)').ask(VERIFY, 5).fault == "id None, expected 'verify x'"


def test_endless_answers_are_not_kept(made):
    """As much as a pipe holds, whatever it writes."""
    tested = made("say()\n    while True: print('x' * 999)")
    assert tested.ask(VERIFY, 5).answer == OK
    time.sleep(0.3)
    assert tested.ask(VERIFY, 5).fault.startswith("answered before it was asked: ")
    assert made("while True: print('x' * 999)").ask(VERIFY, 5).fault.startswith("no answer but b'xxx")


def test_a_line_without_an_end_is_no_answer(made, monkeypatch):
    monkeypatch.setattr(child, "MAX_LINE", 5_000_000)
    assert made("while True: print('x' * 999, end='')").ask(VERIFY, 5).fault.startswith("no answer but b'xxx")
    cut = 'sys.stdout.write(\'{"id": "verify x", "result": "ok"}\'); sys.stdout.flush(); os._exit(9)'
    assert made(cut).ask(VERIFY, 5).fault == "ended with exit code 9"


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ("print('[' * 200_000, flush=True)", "no answer but b'[[[[["),
        ("print('{\"result\": [1]}', flush=True)", "no answer but b'{\"result\": [1]}\\n'"),
        ("sys.stdout.buffer.write(b'\\xff\\n'); sys.stdout.flush()", r"no answer but b'\xff\n'"),
        ("os.kill(os.getpid(), 40)", "ended with signal 40"),
        ("os.kill(os.getpid(), 9)", "ended with signal SIGKILL"),
        ("print('why', file=sys.stderr); sys.exit(7)", "ended with exit code 7: why"),
    ],
)
def test_odd_answers_and_odd_ends(made, body, fault):
    assert made(body).ask(VERIFY, 5).fault.startswith(fault)


@pytest.mark.parametrize("operations", [None, "verify", "Verify", ["decod"], [["verify"]], {"verify": 1}, 7])
def test_operations_are_an_array_of_those_there_are(made, operations):
    tested = made(operations=operations)
    with pytest.raises(NoImplementation) as caught:
        tested.start()
    expected = "expected an array of decode, verify, encode, convert where it should say hello"
    assert str(caught.value) == f"{sys.executable}: operations {operations!r}, {expected}"


def test_an_end_is_seen_though_a_child_holds_the_pipes(made):
    tested = made("subprocess.Popen(['sleep', '1000']); os._exit(3)")
    reply = tested.ask(VERIFY, 5)
    assert reply.fault == "ended with exit code 3"
    assert reply.seconds < 2


@pytest.mark.parametrize("session", [False, True], ids=["same", "own"])
@pytest.mark.parametrize("body", ["time.sleep(1000)", "os._exit(3)", "say()"], ids=["hangs", "ends", "stops"])
def test_nothing_is_left_running(made, tmp_path, session, body):
    start = f"open({str(tmp_path / 'pid')!r}, 'w').write(str(subprocess.Popen(['sleep', '1000'], "
    tested = made(body, f"{start}start_new_session={session}).pid))")
    tested.ask(VERIFY, 0.2)
    tested.stop()
    assert gone(int((tmp_path / "pid").read_text()))


def test_nothing_is_kept_of_what_has_ended(made):
    tested = made("os._exit(3)")
    tested.ask(VERIFY, 5)
    before = len(os.listdir("/proc/self/fd")), threading.active_count()
    for _ in range(5):
        tested.ask(VERIFY, 5)
    assert (len(os.listdir("/proc/self/fd")), threading.active_count()) == before


ALLOCATES = f"[{sys.executable!r}, '-S', '-c', 'import time; held = b\"x\" * (200 << 20); time.sleep({{}})']"


def test_memory_of_what_has_ended_counts(made):
    tested = made(f"subprocess.run({ALLOCATES.format(0.2)}); say()")
    reply = tested.ask(VERIFY, 10)
    assert reply.answer == OK
    assert 200 <= reply.memory / 2**20 < 250
    assert tested.ask(VERIFY, 10, 64).fault.endswith(" MiB, 64 are allowed")


@pytest.mark.parametrize(
    "body", [f"subprocess.run({ALLOCATES.format(1000)})", "held = b'x' * (200 << 20); time.sleep(9)"]
)
def test_too_much_memory_ends_it_while_it_works(made, body):
    reply = made(body).ask(VERIFY, 5, 64)
    assert (reply.answer, reply.fault.endswith(" MiB, 64 are allowed")) == (None, True)
    assert reply.memory > 64 * 2**20
    assert reply.seconds < 4


def test_memory_is_unknown_elsewhere(made, monkeypatch):
    monkeypatch.setattr(memory, "MEASURABLE", False)
    assert made().ask(VERIFY, 5, 1).memory is None


def test_the_answer_of_what_then_ends_is_one(made):
    tested = made("say(); os._exit(0)")
    assert tested.ask(VERIFY, 5).answer == OK
    time.sleep(0.3)
    assert tested.stop() == "ended with exit code 0 before it was asked to stop"


def test_the_readme_has_an_example_that_answers(tmp_path):
    """The command of the first five minutes, with a reader for it."""
    text = (pathlib.Path(process.__file__).with_name("README.md")).read_text("utf-8")
    example = text.partition("```python\n")[2].partition("   ```")[0]
    (tmp_path / "answer.py").write_text(textwrap.dedent(example))
    reader = (
        "class BadFile(Exception):\n    code = 'MAGIC'\ndef check(file):\n    if file == 'bad':\n        raise BadFile"
    )
    (tmp_path / "mine.py").write_text(reader)
    tested = Implementation([sys.executable, str(tmp_path / "answer.py")])
    assert tested.start() == process.Greeting("mine", "0.1", ("verify",))
    assert tested.ask({**VERIFY, "file": "good"}, 5).answer == OK
    assert tested.ask({**VERIFY, "file": "bad"}, 5).answer == {"result": "reject", "code": "MAGIC"}
    assert tested.ask({**VERIFY, "op": "decode"}, 5).answer == {"result": "skipped", "reason": "not yet"}
    assert tested.stop() == ""
