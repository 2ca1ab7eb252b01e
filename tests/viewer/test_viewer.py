"""The reader in JavaScript: its own tests, the suite, and the same answers as the library's to everything else."""

import base64
import itertools
import json
import pathlib
import subprocess

import numpy as np
import pytest
import safetensors.numpy
import xxhash
from nets import minilm

import ptformat
from ptformat.conformance import adapter, derived, runner, suite
from ptformat.conformance.process import Implementation
from ptformat.conformance.recipes import large
from ptformat.conformance.recipes.derive import FAMILIES, SEEDS
from ptformat.converters import copy

HERE = pathlib.Path(__file__).parent
VIEWER = pathlib.Path(ptformat.__file__).parent / "viewer"


@pytest.fixture
def command(node):
    return [node, str(VIEWER / "conformance.js")]


@pytest.fixture
def tested(command):
    made = Implementation(command)
    yield made
    assert made.stop() == ""


def ask(tested, operation, path, seconds=60):
    reply = tested.ask({"op": operation, "file": str(path)}, seconds)
    assert reply.fault == ""
    return reply.answer


def test_its_own_tests(node):
    done = subprocess.run([node, "--test", str(HERE)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-4000:]
    told = dict(line.removeprefix("# ").split(" ", 1) for line in done.stdout.splitlines() if line.startswith("# "))
    assert int(told["pass"]) == int(told["tests"]) >= 120


def test_it_passes_every_case(command):
    done = runner.run(command, suite.listed())
    failed = {
        f"{result.case.id} {outcome.operation}": outcome.why
        for result in done.results
        for outcome in result.outcomes
        if outcome.result != "passed"
    }
    assert failed == {}
    assert {name for result in done.results for outcome in result.outcomes for name in outcome.lacking} == set()
    assert done.ending == ""


@pytest.mark.parametrize("options", [{}, {"codec": "zstd"}, {"codec": "planes"}, {"codec": "auto", "chunk": 65536}])
def test_a_trained_model_is_read_bit_for_bit(tested, tmp_path, options):
    """MiniLM: 104 tensors, of which the library's digests are taken from the original file."""
    path = tmp_path / "model.ptf"
    ptformat.save_file(safetensors.numpy.load_file(minilm.model_path()), path, durable=False, **options)
    answer = ask(tested, "decode", path)
    assert answer["result"] == "ok"
    with ptformat.open(path) as file:
        sums = file.tensor_digests()
        assert answer["content"]["digest"] == file.digest()
    found = {entry["path"]: entry["sha256"] for entry in answer["content"]["entries"] if entry["type"] == "tensor"}
    assert found == sums
    assert len(found) == 104
    assert ask(tested, "verify", path) == {"result": "ok"}


def test_it_writes_the_bytes_of_a_raw_file(tested, tmp_path):
    """Section 8.3: whoever writes it, from whatever it was packed."""
    raw, packed, again = tmp_path / "raw.ptf", tmp_path / "packed.ptf", tmp_path / "again.ptf"
    copy(minilm.model_path(), raw)
    copy(raw, packed, codec="planes")
    assert packed.read_bytes() != raw.read_bytes()
    reply = tested.ask({"op": "encode", "file": str(packed), "out": str(again)}, 60)
    assert reply.answer == {"result": "ok"}
    assert again.read_bytes() == raw.read_bytes()


@pytest.mark.parametrize("family", FAMILIES)
def test_both_readers_say_the_same_of_derived_files(tested, family):
    """Verdict, code and content of every 61st; all of them by `ptformat conformance run --derived`."""
    for seed in SEEDS:
        for data in itertools.islice(derived.made(seed, family), 0, None, 61):
            request = {"op": "decode", "data": base64.b64encode(data).decode()}
            own, other = adapter.answered(request), tested.ask(request, 10).answer
            for answer in (own, other):
                answer.pop("message", None)
            assert own == other, data.hex()


def test_it_opens_a_large_index(tested, tmp_path):
    """100,000 tensors, in a compressed index."""
    array = np.zeros(1, np.float32)
    path = tmp_path / "many.ptf"
    ptformat.save_file({f"layers.{i}.weight": array.copy() for i in range(100_000)}, path, codec="zstd", durable=False)
    assert ask(tested, "verify", path) == {"result": "ok"}


def test_a_stored_index_beyond_the_limit(tested, tmp_path):
    """256 MiB and one byte that are a right frame, with their checksum: nothing but the limit refuses them."""
    case = next(case for case in large.cases() if case.slug == "index-stored-bytes-beyond")
    assert xxhash.xxh3_64_intdigest(memoryview(case.data)[64:-64]) == large.EMPTY_BLOCKS_SUM
    path = tmp_path / "stored.ptf"
    path.write_bytes(case.data)
    for operation in ("decode", "verify"):
        request = {"op": operation, "file": str(path)}
        for answer in (ask(tested, operation, path), adapter.answered(request)):
            assert (answer["result"], answer["code"], answer["phase"]) == ("reject", "LIMIT", "open")


def test_a_file_that_is_not_there(tested, tmp_path):
    answer = ask(tested, "verify", tmp_path / "none.ptf")
    assert answer["result"] == "error"
    assert "ENOENT" in json.dumps(answer)
