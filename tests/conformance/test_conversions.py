"""The runner against implementations that convert as they are told."""

import json
import pathlib
import sys

import pytest
from cli_files import run

from ptformat.conformance import conversions, runner, suite
from ptformat.conformance.conversions import Conversion

ANSWERING = pathlib.Path(__file__).with_name("answering.py")
SLUG = "convert/attention/torch-to-linen"
[CONVERSION] = conversions.everything([SLUG])
PLAN = json.loads((suite.CASES / CONVERSION.plan).read_bytes())["steps"]
CONTENT = json.loads((suite.CASES / CONVERSION.target).with_suffix(".json").read_bytes())
HELLO = {"result": "ok", "name": "told", "version": "7", "operations": ["decode", "convert"]}
RIGHT = {"result": "ok", "plan": PLAN, "write": "written"}


@pytest.fixture
def told(tmp_path):
    """What comes of one conversion of an implementation that answers by a table."""

    def told(converted, content=CONTENT, ident=SLUG, **hello):
        path = tmp_path / "table.json"
        table = {"hello": HELLO | hello, "convert": converted, "decode": {"result": "ok", "content": content}}
        path.write_text(json.dumps(table))
        done = runner.run([sys.executable, str(ANSWERING), str(path)], conversions.everything([ident]))
        (result,) = done.results
        return result

    return told


def changed(at, **facts):
    """The content with other facts of one entry."""
    entries = [entry | facts if entry["path"] == at else entry for entry in CONTENT["entries"]]
    return CONTENT | {"entries": entries}


def respelled(target, made):
    """The plan with another step for one target."""
    return RIGHT | {"plan": [step | {"made": made} if step["target"] == target else step for step in PLAN]}


def test_right_answers_pass(told):
    result = told(RIGHT)
    assert [(one.operation, one.result, one.lacking) for one in result.outcomes] == [
        ("convert", "passed", ()),
        ("decode", "passed", ()),
    ]
    assert (result.case.area, result.result) == ("convert", "passed")


def test_order_and_what_is_the_converters_own_do_not_count(told):
    own = {"provenance": {"map": []}, "digest": "0" * 64, "chunk": "64", "minor": "0"}
    entries = [
        {**entry, "role": "state", "axes": ["a"]} for entry in reversed(CONTENT["entries"]) if entry["type"] != "node"
    ]
    assert told(RIGHT | {"plan": PLAN[::-1]}, own | {"entries": entries}).result == "passed"


def test_plan_may_be_left_out(told):
    result = told({"result": "ok", "write": "written"})
    assert (result.result, result.outcomes[0].lacking) == ("passed", ("plan",))


def test_spelling_is_free(told):
    """Rows of the first head, the second and the third, one by one and put together again."""
    rows = [{"op": "part", "axis": 0, "start": 2 * n, "stop": 2 * n + 2, "of": "attn.in_proj_bias"} for n in range(3)]
    assert told(respelled("params.attn.query.bias", {"op": "stack", "axis": 0, "of": rows})).result == "passed"


KERNEL = "params.attn.out.kernel"
[OUT_KERNEL] = (step["made"] for step in PLAN if step["target"] == KERNEL)


@pytest.mark.parametrize(
    ("made", "why"),
    [
        (OUT_KERNEL | {"perm": [2, 1, 0]}, "float32 [2, 3, 6], expected float32 [3, 2, 6]"),
        (
            {"op": "reshape", "shape": [3, 2, 6], "of": "attn.out_proj.weight"},
            "element 1 is attn.out_proj.weight[1], expected attn.out_proj.weight[6]",
        ),
        ({"op": "flip", "axes": [1], "of": OUT_KERNEL}, "element 0 is attn.out_proj.weight[1], expected"),
        ({"op": "fill", "shape": [3, 2, 6], "dtype": "float32", "value": 0}, "element 0 is 0.0, expected"),
        ({"op": "fill", "shape": [3, 2, 6], "dtype": "float16", "value": 0}, "float16 [3, 2, 6], expected float32"),
        ("attn.weight", "the source has no tensor 'attn.weight'"),
        (OUT_KERNEL | {"op": "transpose"}, "no operation is called 'transpose'; there are permute, reshape"),
        (OUT_KERNEL | {"more": 1}, "permute has perm, of, not more, of, perm"),
        (OUT_KERNEL | {"perm": [0, 0, 1]}, "permute: [0, 0, 1] is no order of the axes of [6, 3, 2]"),
        (OUT_KERNEL | {"perm": "012"}, "permute: perm is '012'"),
        ([], "[] is neither a path nor a map"),
    ],
)
def test_wrong_step(told, made, why):
    result = told(respelled(KERNEL, made))
    assert result.result == "failed"
    assert result.outcomes[0].why.startswith(f"plan: {KERNEL}: {why}")
    assert len(result.outcomes) == 1


@pytest.mark.parametrize(
    ("plan", "why"),
    [
        (PLAN[1:], f"plan: no step for {PLAN[0]['target']!r}"),
        ([*PLAN, {"target": "x", "made": "attn.in_proj_bias"}], "plan: a step for 'x'"),
        ([*PLAN, PLAN[0]], "plan: two steps for one target"),
        ({}, "plan: expected an array of steps with target and made"),
        ([{"target": "x"}], "plan: expected an array of steps with target and made"),
        (
            [PLAN[0] | {"exactness": "function"}, *PLAN[1:]],
            f"plan: {PLAN[0]['target']}: exactness function, expected bit",
        ),
    ],
)
def test_wrong_plan(told, plan, why):
    assert told(RIGHT | {"plan": plan}).outcomes[0].why == why


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ({"result": "ok", "plan": PLAN}, "nothing was written"),
        ({"result": "refuse", "message": "no"}, f"refused (no), expected {CONVERSION.target}"),
        ({"result": "reject", "code": "DATA"}, "result 'reject', expected ok, refuse or skipped"),
    ],
)
def test_wrong_answer(told, answer, why):
    result = told(answer)
    assert (result.result, [one.why for one in result.outcomes]) == ("failed", [why])


ANOTHER = "0" * 64
BIAS = "params.attn.out.bias"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (changed(KERNEL, shape=["2", "3", "6"]), f"{KERNEL}: shape is ['2', '3', '6'], expected ['3', '2', '6']"),
        (changed(BIAS, dtype="float16"), f"{BIAS}: dtype is float16, expected float32"),
        (changed(BIAS, sha256=ANOTHER), f"{BIAS}: sha256 is {ANOTHER}, expected"),
        (changed(BIAS, type="alias", target=KERNEL), f"{BIAS}: type is alias, expected tensor"),
        (changed(BIAS, path="b"), f"no {BIAS!r}, expected tensor"),
        (
            CONTENT | {"entries": [*CONTENT["entries"], {"type": "value", "path": "v", "value": None}]},
            "'v' is value, expected none",
        ),
        (None, "content: expected entries with type and path"),
        ({"entries": [{}]}, "content: expected entries with type and path"),
    ],
)
def test_wrong_file(told, content, why):
    result = told(RIGHT, content)
    assert [one.result for one in result.outcomes] == ["passed", "failed"]
    assert result.outcomes[1].why.startswith(why)


def test_tie_must_be_the_same(told):
    ident = "convert/tied-as-it-is/linen-to-torch"
    [conversion] = conversions.everything([ident])
    content = json.loads((suite.CASES / conversion.target).with_suffix(".json").read_bytes())
    plan = {"result": "ok", "plan": [*conversion.steps().values()], "write": "written"}
    assert told(plan, content, ident).result == "passed"
    entries = [{key: value for key, value in entry.items() if key != "perm"} for entry in content["entries"]]
    assert told(plan, {"entries": entries}, ident).outcomes[1].why == "head.weight: perm is None, expected ['1', '0']"
    entries = [entry for entry in content["entries"] if entry["type"] != "alias"]
    assert told(plan, {"entries": entries}, ident).outcomes[1].why == "no 'head.weight', expected alias"


def test_what_must_be_refused(told):
    ident = "convert/gru/torch-to-nnx"
    assert told({"result": "refuse"}, ident=ident).result == "passed"
    wrote = told({"result": "refuse", "write": "half"}, ident=ident)
    assert wrote.outcomes[0].why == "refused, but wrote a file"
    done = told({"result": "ok", "plan": [], "write": "written"}, ident=ident)
    why = "converted, expected to be refused: nnx's GRU has no second bias of the new gate; it is not 0"
    assert done.outcomes[0].why == why


def test_who_does_not_convert_is_not_asked(told):
    result = told(RIGHT, operations=["decode"])
    assert [(one.operation, one.result, one.why) for one in result.outcomes] == [("convert", "skipped", "not offered")]
    assert result.result == "skipped"
    result = told(RIGHT, operations=["convert"])
    assert [(one.operation, one.result) for one in result.outcomes] == [("convert", "passed"), ("decode", "skipped")]
    assert told({"result": "skipped", "reason": "later"}).outcomes[0].why == "later"


def test_choosing_conversions():
    assert [one.id for one in conversions.everything([SLUG])] == [SLUG]
    found = conversions.everything(["convert/deck-net"])
    assert [type(one) for one in found] == [suite.Listed] * 3 + [Conversion] * 6
    assert not any(isinstance(one, Conversion) for one in conversions.everything(["valid"]))
    with pytest.raises(LookupError, match="no case 'convert/deck-net/torch-to-jax'"):
        conversions.everything(["convert/deck-net/torch-to-jax"])


def test_command_lists_and_runs_them(tmp_path):
    done = run("conformance", "list", "convert/gru/torch", "convert/gru/torch-to-linen", "convert/gru/torch-to-nnx")
    why = "nnx's GRU has no second bias of the new gate; it is not 0"
    assert done.stdout.splitlines() == [
        "case                        expected          where  about",
        "convert/gru/torch           accept            7      a GRU whose new gate has two biases, as torch has it",
        "convert/gru/torch-to-linen  linen (function)  1.4    a GRU whose new gate has two biases",
        f"convert/gru/torch-to-nnx    refuse            1.4    {why}",
    ]
    table = tmp_path / "table.json"
    table.write_text(json.dumps({"hello": HELLO | {"operations": ["convert"]}, "convert": {"result": "refuse"}}))
    done = run("conformance", "run", "--case", "convert/gru", "--", sys.executable, ANSWERING, table)
    assert [line.split() for line in done.stdout.splitlines()[1:5]] == [
        ["area", "cases", "passed", "failed", "skipped"],
        ["convert/gru", "3", "–", "–", "3"],
        ["convert", "4", "2", "2", "–"],
        ["all", "7", "2", "2", "3"],
    ]
    assert done.stderr.splitlines() == [
        "convert/gru/torch-to-linen: convert: refused, expected convert/gru/linen.ptf",
        "convert/gru/linen-to-torch: convert: refused, expected convert/gru/torch-back.ptf",
    ]
    assert done.exit_code == 1
    known = tmp_path / "known.txt"
    known.write_text("convert/gru/torch-to-linen\nconvert/gru/linen-to-torch\n")
    told = ["--known-failures", known, "--", sys.executable, ANSWERING, table]
    assert run("conformance", "run", "--case", "convert/gru", *told).exit_code == 0
