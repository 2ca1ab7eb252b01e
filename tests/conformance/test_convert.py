"""The conversions of the suite: right by the library, and by a plain evaluation of their plans."""

import json

import numpy as np
import pytest

import ptformat
from ptformat.conformance import conversions, runner, suite
from ptformat.conformance.conversions import Conversion
from ptformat.conformance.recipes.convert.layout import SIDES
from ptformat.conformance.recipes.convert.operations import OPERATIONS, Array, evaluate
from ptformat.conformance.recipes.convert.values import Numbers, numbers
from ptformat.converters import convert
from ptformat.converters.operations import sources

FOLDER = suite.CASES / "convert"
ALL = [one for one in conversions.everything() if isinstance(one, Conversion)]
MADE = [one for one in ALL if one.target]


def names(found):
    return [one.id for one in found]


def test_conversions_cover_every_pair_and_refuse_what_must_be_refused():
    assert len(ALL) >= 200
    assert len({one.id for one in ALL}) == len(ALL)
    assert len({one.id.split("/")[1] for one in ALL}) >= 40
    pairs = {one.id.split("/")[2] for one in MADE}
    assert {f"{a}-to-{b}" for a in SIDES for b in SIDES if a != b} <= pairs
    assert {one.exactness for one in MADE} == {"bit", "function"}
    assert len(ALL) - len(MADE) >= 10
    assert all((one.plan, one.exactness) == (None, None) for one in ALL if not one.target)


def test_files_of_conversions_are_cases_and_plans_are_there():
    files = {case.file for case in suite.listed()}
    assert {one.source for one in ALL} | {one.target for one in MADE} <= files
    plans = {path.relative_to(suite.CASES).as_posix() for path in FOLDER.rglob("*-to-*.json")}
    assert plans == {one.plan for one in MADE}
    assert {case.file for case in conversions.files_of([MADE[0]])} == {MADE[0].source, MADE[0].target}


def test_every_operation_is_used_but_one():
    """`stack` is there for whoever spells it so."""
    text = "".join((suite.CASES / one.plan).read_text() for one in MADE)
    assert [name for name in OPERATIONS if f'"op": "{name}"' not in text] == ["stack"]


def arrays(file):
    """Path -> elements of a file's tensors as bytes, those of aliases without `perm` too."""
    with ptformat.open(suite.CASES / file) as held:
        found = {}
        for entry in held.entries:
            if isinstance(entry, ptformat.TensorInfo):
                data = bytes(np.ascontiguousarray(held[entry.path]).reshape(-1).view(np.uint8))
                found[entry.path] = Array(entry.dtype, entry.shape, numbers(entry.dtype, data))
            elif isinstance(entry, ptformat.Alias) and not entry.perm:
                found[entry.path] = found[entry.target]
        return found


@pytest.mark.parametrize("conversion", MADE, ids=names(MADE))
def test_plan_makes_the_target_of_the_source(conversion):
    source, target = arrays(conversion.source), arrays(conversion.target)
    steps = conversion.steps()
    assert {path: evaluate(step["made"], source, Numbers()) for path, step in steps.items()} == {
        path: target[path] for path in steps
    }
    with ptformat.open(suite.CASES / conversion.target) as held:
        assert {entry.path for entry in held.entries if isinstance(entry, ptformat.TensorInfo)} == steps.keys()


def test_numbers_of_a_file_are_all_different():
    """So that no element can stand for another; what a second bias of zeros adds aside."""
    for conversion in MADE:
        if conversion.source.endswith("/torch.ptf") and "gru-zeros" not in conversion.id:
            with ptformat.open(suite.CASES / conversion.source) as held:
                floats = [
                    np.asarray(held[entry.path], np.float64).reshape(-1)
                    for entry in held.entries
                    if isinstance(entry, ptformat.TensorInfo) and "float" in entry.dtype
                ]
            together = np.concatenate(floats)
            assert len({*together.tolist()}) == together.size, conversion.source
            assert (together != 0).all(), conversion.source


def test_the_library_converts_every_one():
    done = runner.run(runner.OWN, ALL)
    failed = {
        f"{result.case.id} {outcome.operation}": outcome.why or outcome.lacking
        for result in done.results
        for outcome in result.outcomes
        if outcome.result != "passed" or outcome.lacking
    }
    assert failed == {}
    assert [len(result.outcomes) for result in done.results] == [2 if one.target else 1 for one in ALL]


def test_what_is_dropped_is_what_the_library_drops(tmp_path):
    """The count of batches on its way to linen and to nnx; and a bias that must be zeros where there is no place."""
    dropped = []
    for conversion in MADE:
        plan = json.loads((suite.CASES / conversion.plan).read_bytes())
        found = convert(
            suite.CASES / conversion.source, tmp_path / "out.ptf", to=conversion.to, strict=True, durable=False
        )
        used = {given.path for step in found.steps.values() for given in step.sources}
        zero = {given.path for each in found.conditions for given in sources(each.made)} - used
        assert [*found.dropped_paths, *zero] == plan.get("dropped", []), conversion.id
        dropped.append(plan.get("dropped", []))
    count, bias = ["norm.num_batches_tracked"], ["params.gru.cell.hn.bias"]
    assert [paths for paths in dropped if paths] == [count, count, bias]


def test_sums_are_rounded_once_to_even():
    for slug, unit in (("rnn", 2.0**-24), ("rnn-bfloat16", 2.0**-8)):
        with ptformat.open(FOLDER / slug / "linen.ptf") as file:
            bias = np.asarray(file["params.rnn.cell.i.bias"], np.float64)
        assert bias.tolist() == [1.0, 1 + 8 * unit, -0.125, 0.3125]
