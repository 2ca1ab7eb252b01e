"""Plans that are saved, changed by hand, inverted and run again."""

import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import torch
from flax import nnx
from sources import source

import ptformat.torch
from ptformat import FormatError
from ptformat.converters import ConversionError, Plan, plan
from ptformat.converters.content import MemorySource, Source
from ptformat.converters.files import open_source
from ptformat.converters.objects import source_of
from ptformat.converters.plan_json import as_text, from_json, read, to_json, write
from ptformat.converters.verbs import run
from ptformat.tree import Alias, Node, TensorInfo

ZOO = (
    *("mlp", "cnn", "resnet", "unet", "vit", "clip", "lstm_classifier", "gru_classifier", "two_tower", "bert", "gpt2"),
    *("llama", "llama_scanned", "moe", "t5", "whisper_like", "mixed"),
)
SUMMED = ("bias_ih", "bias_hh")  # what recurrent layers add; it comes back as the sum and zeros


def weights() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(3)
    shapes = {"a.weight": (4, 3), "a.bias": (4,), "norm.weight": (4,), "norm.bias": (4,)}
    return {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}


@pytest.fixture
def held() -> MemorySource:
    arrays = weights()
    items = [(TensorInfo(name, "float32", array.shape), array) for name, array in arrays.items()]
    made = MemorySource(items, name="small")
    made.header.convention = "torch"
    return made


def data(held: Source, **options: Any) -> dict[str, Any]:
    return json.loads(json.dumps(to_json(plan(held, to="linen", **options))))


def entry(made: dict[str, Any], path: str) -> dict[str, Any]:
    (found,) = [each for each in made["entries"] if each["path"] == path]
    return found


def problems(made: Any, held: Source, template: Source | None = None) -> list[str]:
    with pytest.raises(ConversionError) as caught:
        from_json(made, held, template)
    return [f"{problem.kind}: {problem.text}" for problem in caught.value.problems]


def fault(made: Any, held: Source) -> str:
    with pytest.raises(FormatError) as caught:
        from_json(made, held)
    return f"{caught.value.code}: {caught.value.message}"


def test_as_json(held: MemorySource) -> None:
    made = data(held)
    assert {key: made[key] for key in ("version", "source", "template", "from", "to", "undone")} == {
        "version": 1,
        "source": "small",
        "template": None,
        "from": "torch",
        "to": "linen",
        "undone": False,
    }
    assert made["header"] == {"convention": "flax.linen"}
    assert [each["path"] for each in made["entries"]] == [
        *("params.a", "params.a.kernel", "params.a.bias", "params.norm.scale", "params.norm.bias"),
    ]
    assert made["entries"][0] == {"path": "params.a", "form": "map", "module": "linear"}
    assert made["entries"][1] == {
        "path": "params.a.kernel",
        "shape": [3, 4],
        "dtype": "float32",
        "axes": ["in", "out"],
        "role": "parameter",
        "made": {"op": "permute", "perm": [1, 0], "of": "a.weight"},
        "sources": {"a.weight": [4, 3]},
        "exactness": "bit",
        "evidence": "linear: weight (4, 3), bias (4,)",
        "guess": None,
        "source_axes": ["out", "in"],
    }
    assert made["given"]["header"] == {"convention": "torch"}
    assert made["given"]["entries"][0] == {"path": "a.weight", "shape": [4, 3], "dtype": "float32"}


def test_a_saved_plan_is_the_same_plan(held: MemorySource, tmp_path: Path) -> None:
    made = plan(held, to="linen", drop=["norm.bias"])
    write(made, tmp_path / "plan.json")
    assert read(tmp_path / "plan.json", held) == made
    assert json.loads((tmp_path / "plan.json").read_text()) == json.loads(json.dumps(made.to_json()))
    lines = (tmp_path / "plan.json").read_text().splitlines()
    assert sum('"made"' in line for line in lines) == 3  # a line for each


def test_a_target_that_is_renamed_by_hand(held: MemorySource, tmp_path: Path) -> None:
    made = data(held)
    entry(made, "params.a.kernel")["path"] = "params.first.kernel"
    entry(made, "params.a.bias")["path"] = "params.first.bias"
    entry(made, "params.a")["path"] = "params.first"
    changed = run(made, held, tmp_path / "out.ptf")
    assert changed.table()[1][:3] == ("params/first/kernel", "(3, 4)", "a.weight")
    with ptformat.open(tmp_path / "out.ptf") as file:
        np.testing.assert_array_equal(file["params.first.kernel"], weights()["a.weight"].T)
        assert file.provenance["origin"] == "torch"
    assert run(plan(tmp_path / "out.ptf", to="torch"), tmp_path / "out.ptf", tmp_path / "back.safetensors").undone
    found = safetensors.numpy.load_file(tmp_path / "back.safetensors")
    assert {name: array.tobytes() for name, array in found.items()} == {
        name: array.tobytes() for name, array in weights().items()
    }


def test_an_operation_that_is_changed_by_hand(held: MemorySource, tmp_path: Path) -> None:
    made = data(held)
    entry(made, "params.norm.scale")["made"] = {"op": "add", "addend": 1.0, "of": "norm.weight"}
    changed = run(made, held, tmp_path / "out.npz")
    assert changed.report()[-1] == "of 4 steps 3 are exact, 1 is rounded; nothing is guessed"
    with np.load(tmp_path / "out.npz") as found:
        np.testing.assert_array_equal(found["params.norm.scale"], weights()["norm.weight"] + 1)


def test_a_step_that_is_taken_out_must_be_dropped(held: MemorySource) -> None:
    made = data(held)
    made["entries"].remove(entry(made, "params.norm.bias"))
    said = "norm.bias (4,) has no target in the plan; 'dropped_paths' lists what is left out"
    assert problems(made, held) == [f"unexpected: {said}"]
    made["dropped_paths"] = ["norm.bias"]
    assert [*from_json(made, held).steps] == ["params.a.kernel", "params.a.bias", "params.norm.scale"]
    made["dropped_paths"] = ["norm.bias", "norm.mean"]
    assert problems(made, held) == ["missing: norm.mean is among 'dropped_paths', but not in small"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"made": "a.bias"}, "shape: params.a.kernel is (3, 4), but is made as (4,)"),
        ({"made": "b.weight"}, "missing: params.a.kernel is made of b.weight, which small does not have"),
        (
            {"made": {"op": "kept", "of": "x"}},
            "missing: params.a.kernel: 'x' is kept, but there is no template",
        ),
        (
            {"made": {"op": "permute", "perm": [0, 0], "of": "a.weight"}},
            "shape: params.a.kernel: permute: (0, 0) is no order of the axes of (4, 3)",
        ),
        ({"dtype": "float16"}, "dtype: params.a.kernel is float16, but is made as float32; a cast says so in 'made'"),
        (
            {"made": {"op": "turn", "of": "a.weight"}},
            "shape: params.a.kernel: no operation is called 'turn'; ",
        ),
        ({"made": 3}, "shape: params.a.kernel: expected a path or a map, got 3"),
        ({"made": [1]}, "shape: params.a.kernel: expected a path or a map, got a list"),
    ],
)
def test_what_cannot_be_made(change: dict[str, Any], says: str, held: MemorySource) -> None:
    made = data(held)
    entry(made, "params.a.kernel").update(change)
    (found,) = problems(made, held)
    assert found.startswith(says)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"version": 2}, "SCHEMA: the plan: version is 2, expected 1, the plans that this library knows"),
        ({"from": 3}, "SCHEMA: the plan: from is 3, expected a text"),
        ({"undone": "no"}, "SCHEMA: the plan: undone is 'no', expected true or false"),
        ({"entries": {}}, "SCHEMA: the plan: entries is {}, expected a list"),
        ({"entries": [3]}, "SCHEMA: the plan: entries[0] is 3, expected a map"),
        ({"given": {"entries": 3}}, "SCHEMA: the plan: given.entries is 3, expected a list"),
        ({"conditions": [{"zero": "a.bias", "why": 3}]}, "SCHEMA: the plan: conditions[0].why is 3, expected a text"),
        ({"notes": [1]}, "SCHEMA: the plan: notes is 1, expected a text"),
        ({"steps": []}, "SCHEMA: the plan: a plan has no 'steps'"),
        ({"header": {"chunk": 3}}, "SCHEMA: the plan: header has no 'chunk', only convention, dialect, metadata,"),
        ({"entries": [{"path": "a..b", "shape": []}]}, "PATH: the plan: entries[0]: path 'a..b': "),
        ({"entries": [{"shape": [2]}]}, "SCHEMA: the plan: entries[0].path is None, expected a text"),
        ({"entries": [{"path": "a", "shape": [2]}]}, "SCHEMA: the plan: 'a' does not say how it is made"),
        (
            {"entries": [{"path": "a", "alias": "b", "made": "a.bias"}]},
            "SCHEMA: the plan: 'a' is no tensor, and has made",
        ),
        ({"entries": [{"path": "a", "alias": "b"}]}, "ALIAS: the plan: alias 'a': its target 'b' is no tensor"),
        ({"entries": [{"path": "a", "value": 3}]}, "SCHEMA: the plan: entries[0] is {'path': 'a', 'value': 3}, exp"),
    ],
)
def test_what_is_no_plan(change: dict[str, Any], says: str, held: MemorySource) -> None:
    assert fault({**data(held), **change}, held).startswith(says)


def test_what_is_too_much(held: MemorySource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = data(held)
    monkeypatch.setattr("ptformat.converters.plan_json.MAX_ENTRIES", 4)
    assert fault(made, held) == "LIMIT: the plan: entries has 5 items, at most 4"
    (tmp_path / "plan.json").write_text(json.dumps(made))
    monkeypatch.setattr("ptformat.converters.plan_json.MAX_BYTES", 1000)
    with pytest.raises(FormatError, match=r"plan\.json: more than 1000 bytes") as caught:
        read(tmp_path / "plan.json", held)
    assert caught.value.code == "LIMIT"


def test_another_type_than_the_plan_is_for(held: MemorySource) -> None:
    made = data(held)
    halves = {name: array.astype(np.float16) for name, array in weights().items()}
    items = [(TensorInfo(name, "float16", array.shape), array) for name, array in halves.items()]
    assert problems(made, MemorySource(items, name="halves"))[0] == (
        "dtype: a.weight is float16 in halves, float32 in the plan"
    )


def test_grades_and_conditions_that_are_none(held: MemorySource) -> None:
    made = data(held)
    entry(made, "params.a.kernel")["grade"] = "best"
    assert fault(made, held) == (
        "SCHEMA: the plan: entries[1].grade is 'best', expected one of bit, function, rounded, lossy"
    )
    made = {**data(held), "conditions": [{"zero": "c.bias", "why": "it must be"}]}
    assert problems(made, held) == ["missing: conditions[0] is made of c.bias, which small does not have"]


def test_a_template_without_what_is_kept(held: MemorySource) -> None:
    made = data(held)
    entry(made, "params.a.kernel")["made"] = {"op": "kept", "of": "x"}
    assert problems(made, held, MemorySource([], name="fresh")) == [
        "missing: params.a.kernel keeps x, which the template does not have"
    ]


def test_keys_of_every_type_and_ties_of_the_source(tmp_path: Path) -> None:
    """A node's keys come back as they were, tuples among them; what is tied is there under both names."""
    one = np.ones(2, np.float32)
    ptformat.save_file({"m": {(1, ("a", b"b")): one, None: one}}, tmp_path / "x.ptf")
    opened = open_source(tmp_path / "x.ptf")
    assert [entry.path for entry in opened.entries] == ["m", "m.1,a,62", "m.null"]
    said = {"version": 1, "from": "torch", "to": "torch"}
    listed = [{"path": "m", "form": "keys", "keys": [[1, ["a", {"bytes": "62"}]], None]}]
    listed += [{"path": "m.1,a,62", "shape": [2], "dtype": "float32", "made": "m.null"}]
    listed += [{"path": "m.null", "alias": "m.1,a,62"}]
    made = from_json({**said, "entries": listed, "dropped_paths": ["m.1,a,62"]}, opened)
    assert made.entries[0] == Node("m", "keys", keys=((1, ("a", b"b")), None))
    assert [given.path for given in made.steps["m.1,a,62"].sources] == ["m.1,a,62"]


def test_a_tensor_twice(held: MemorySource) -> None:
    made = data(held)
    made["entries"].append(dict(entry(made, "params.a.bias")))
    assert fault(made, held) == "DUPLICATE: the plan: path 'params.a.bias' stands twice"


def test_json_that_is_none(held: MemorySource, tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    for text, says in (
        ("{", f"MALFORMED: {path} is no JSON: "),
        ('{"version": 1, "version": 1}', f"DUPLICATE: {path}: key 'version' stands twice in one map"),
        ("[1]", f"SCHEMA: {path}: $ is [1], expected a plan: a map"),
        ("[" * 100_000, f"LIMIT: {path}: nested too deeply"),
    ):
        path.write_text(text)
        with pytest.raises(FormatError) as caught:
            read(path, held)
        assert str(caught.value).startswith(says)


def test_another_source(held: MemorySource) -> None:
    made = data(held)
    wider = source({"a.weight": (4, 5), "a.bias": (4,), "norm.weight": (4,), "norm.bias": (4,)}, convention="torch")
    assert problems(made, wider) == ["shape: a.weight is (4, 5) in tree, (4, 3) in the plan"]
    more = source({**{name: array.shape for name, array in weights().items()}, "b.weight": (2, 2)}, convention="torch")
    assert problems(made, more) == [
        "unexpected: b.weight (2, 2) has no target in the plan; 'dropped_paths' lists what is left out"
    ]


def test_a_plan_of_shapes_runs_on_the_weights(held: MemorySource, tmp_path: Path) -> None:
    shapes = source({name: array.shape for name, array in weights().items()}, convention="torch")
    made = plan(shapes, to="linen")
    run(made, held, tmp_path / "out.npz")
    with np.load(tmp_path / "out.npz") as found:
        np.testing.assert_array_equal(found["params.a.kernel"], weights()["a.weight"].T)


def test_what_is_kept_of_a_template(held: MemorySource, tmp_path: Path) -> None:
    shapes = {"params.a.kernel": (3, 4), "params.a.bias": (4,), "params.head.kernel": (4, 2)}
    shapes |= {"params.norm.scale": (4,), "params.norm.bias": (4,)}
    arrays = {path: np.full(shape, 7, np.float32) for path, shape in shapes.items()}
    items = [(TensorInfo(path, "float32", array.shape), array) for path, array in arrays.items()]
    template = MemorySource(items, name="fresh")
    made = data(held, template=template, missing=[("params/head/*", "keep")])
    assert made["template"] == "fresh"
    assert entry(made, "params.head.kernel")["made"] == {"op": "kept", "of": "params.head.kernel"}
    run(made, held, tmp_path / "out.npz", template=template)
    with np.load(tmp_path / "out.npz") as found:
        np.testing.assert_array_equal(found["params.head.kernel"], arrays["params.head.kernel"])
    assert problems(made, held) == [
        "missing: params.head.kernel: 'params.head.kernel' is kept, but there is no template"
    ]


# The way back


def test_the_inverse(held: MemorySource, tmp_path: Path) -> None:
    made = plan(held, to="linen", drop=["norm.bias"])
    back = made.inverse()
    assert (back.origin, back.goal, back.undone) == ("linen", "torch", True)
    assert back.table()[1] == (
        "a.weight",
        "(4, 3)",
        "params/a/kernel",
        "(3, 4)",
        "(in, out) → (out, in)",
        "the way back",
    )
    assert back.report() == [
        "dropped   norm.bias: dropped on the way there, it does not come back",
        "note      the inverse of the plan for small",
        "all 3 steps are exact; nothing is guessed",
    ]
    run(made, held, tmp_path / "out.npz")
    run(back, tmp_path / "out.npz", tmp_path / "back.safetensors")
    found = safetensors.numpy.load_file(tmp_path / "back.safetensors")
    assert {name: array.tobytes() for name, array in found.items()} == {
        name: array.tobytes() for name, array in weights().items() if name != "norm.bias"
    }


def test_the_inverse_of_the_inverse(held: MemorySource) -> None:
    made = plan(held, to="linen")
    again = made.inverse().inverse()
    assert again.steps.keys() == made.steps.keys()
    assert [step.made for step in again.steps.values()] == [step.made for step in made.steps.values()]
    assert again.entries == made.entries


def test_no_way_back(held: MemorySource) -> None:
    made = data(held)
    cut = {"op": "part", "axis": 0, "start": 0, "stop": 2, "of": "a.bias"}
    entry(made, "params.a.bias").update(made=cut, shape=[2])
    with pytest.raises(ConversionError) as caught:
        from_json(made, held).inverse()
    assert [str(problem) for problem in caught.value.problems] == [
        "lossy         a.bias has no way back: (2:4) of (4,) is in no target"
    ]


def test_the_inverse_of_a_rounded_plan(held: MemorySource) -> None:
    made = plan(held, to="linen", apply=[("norm.weight", "add(1)")])
    back = made.inverse()
    assert back.steps["norm.weight"].evidence == "the way back, rounded"
    assert back.report()[-1] == "of 4 steps 3 are exact, 1 is rounded; nothing is guessed"


def test_what_must_be_zero_comes_back_as_zero(tmp_path: Path) -> None:
    """nnx's GRU has no place for b_hn, which must be 0: the way back knows it."""
    torch.manual_seed(0)
    net = torch.nn.GRUCell(3, 5)
    with torch.no_grad():
        net.bias_hh[10:] = 0
    held = source_of(net)
    made = plan(held, to="nnx")
    assert len(made.conditions) == 1
    back = made.inverse()
    assert back.steps["bias_hh"].exactness == "function"
    run(made, held, tmp_path / "out.ptf")
    run(back, tmp_path / "out.ptf", tmp_path / "back.ptf")
    with ptformat.open(tmp_path / "back.ptf") as file:
        np.testing.assert_array_equal(file["weight_hh"], net.weight_hh.detach().numpy())
        np.testing.assert_array_equal(file["bias_ih"], (net.bias_ih + net.bias_hh).detach().numpy())
        np.testing.assert_array_equal(file["bias_hh"], np.zeros(15, np.float32))


def bits(array: np.ndarray) -> bytes:
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).tobytes()


def zoo_plan(name: str, to: str) -> tuple[Plan, torch.nn.Module, Source, Source]:
    pair = importlib.import_module(f"nets.zoo.{name}")
    torch.manual_seed(0)
    net = pair.torch_net()
    if to == "nnx":
        net = pair.prepare_for_nnx(net) if hasattr(pair, "prepare_for_nnx") else net
        template: Any = pair.nnx_net(nnx.Rngs(0))
    else:
        template = (pair.linen_net(), *pair.linen_args())
    there = source_of(template)
    held = source_of(net)
    return plan(held, to=to, template=there, missing=[], **pair.RULES), net, held, there


@pytest.mark.parametrize("to", ["linen", "nnx"])
@pytest.mark.parametrize("name", ZOO)
def test_the_zoo_there_and_back(name: str, to: str, tmp_path: Path) -> None:
    """Saved, read again, run and inverted: the file is what saving the model gives, but for what is added."""
    made, net, held, there = zoo_plan(name, to)
    assert from_json(json.loads(as_text(made.to_json())), held, there) == made
    run(made, held, tmp_path / "there.ptf", template=there)
    back = made.inverse()
    run(back.to_json(), tmp_path / "there.ptf", tmp_path / "back.ptf")
    ptformat.torch.save_model(net, tmp_path / "net.ptf")
    with ptformat.open(tmp_path / "net.ptf") as one, ptformat.open(tmp_path / "back.ptf") as other:
        assert list(one.entries) == list(other.entries)
        assert one.metadata == other.metadata
        aliases = [each for each in one.entries if isinstance(each, Alias)]
        assert len(aliases) == {"two_tower": 7, "gpt2": 1, "t5": 3, "whisper_like": 1}.get(name, 0)
        for each in one.entries:
            if isinstance(each, TensorInfo):
                added = any(word in each.path for word in SUMMED) and made.steps
                function = back.steps[each.path].exactness == "function"
                assert function == bool(added)
                if not added:
                    assert bits(one[each.path]) == bits(other[each.path]), each.path
