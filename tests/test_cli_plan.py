"""`ptformat plan`, plans that are run, the options that steer, and proof before a result gets its name."""

import json
import re
import sys
from pathlib import Path
from typing import Any

import flax.serialization
import numpy as np
import pytest
import safetensors.numpy
from cli_files import arrays, deck_ptf, deck_safetensors, run, snapshot

import ptformat
from ptformat.cli import steering
from ptformat.converters import conventions

PAIR = """
import numpy as np
import torch
from flax import linen, nnx


class Torch(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.first = torch.nn.Linear(6, 8)
        self.norm = torch.nn.LayerNorm(8, eps=1e-3)

    def forward(self, x):
        return self.norm(torch.relu(self.first(x)))


class Linen(linen.Module):
    eps: float = 1e-3

    @linen.compact
    def __call__(self, x):
        x = linen.relu(linen.Dense(8, name="first")(x))
        return linen.LayerNorm(epsilon=self.eps, use_fast_variance=False, name="norm")(x)


class Nnx(nnx.Module):
    def __init__(self, rngs):
        self.enter = nnx.Linear(6, 8, rngs=rngs)
        self.norm = nnx.LayerNorm(8, epsilon=1e-3, use_fast_variance=False, rngs=rngs)

    def __call__(self, x):
        return self.norm(nnx.relu(self.enter(x)))


X = np.random.default_rng(0).standard_normal((2, 6)).astype(np.float32)


def net():
    torch.manual_seed(0)
    return Torch()


def abstract():
    return Linen(), (X,)


def linen_pair():
    return Torch(), Linen(), X


def other_eps():
    return Torch(), Linen(1e-1), X


def nnx_pair():
    return Torch(), Nnx(nnx.Rngs(0)), (X,), {"tolerance": 1e-5}


def alone():
    return Torch()


def too_few():
    return Torch(), Linen()


def broken():
    return Torch(), Linen(), np.zeros((2, 5), np.float32)
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a module of models, which is the current one, and a file of weights."""
    (tmp_path / "pair.py").write_text(PAIR)
    monkeypatch.chdir(tmp_path)
    sys.modules.pop("pair", None)
    rng = np.random.default_rng(5)
    shapes = {"first.weight": (8, 6), "first.bias": (8,), "norm.weight": (8,), "norm.bias": (8,)}
    weights = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    safetensors.numpy.save_file(weights, tmp_path / "net.safetensors", metadata={"format": "pt"})
    return tmp_path


def test_the_table(tmp_path: Path) -> None:
    source = deck_ptf(tmp_path / "shared.ptf", shared=True)
    result = run("plan", source, "--to", "linen")
    dry = run("convert", source, tmp_path / "x.ptf", "--to", "linen", "--dry-run")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == dry.stdout.replace("; nothing was written (--dry-run)", "")
    assert "tied      4.weight, 4.bias are layer 2 again: one entry in linen\n" in result.stdout


def test_what_the_target_cannot_hold(tmp_path: Path) -> None:
    source = deck_ptf(tmp_path / "shared.ptf", shared=True)
    result = run("plan", source, tmp_path / "x.msgpack", "--to", "linen")
    assert "note      the tie is not in a flax msgpack file: " in result.stdout
    assert not (tmp_path / "x.msgpack").exists()
    wrong = run("plan", source, tmp_path / "x.doc", "--to", "linen")
    assert (wrong.exit_code, wrong.stderr.count("\n")) == (2, 1)


def test_saved_changed_and_run(tmp_path: Path) -> None:
    source, saved = deck_safetensors(tmp_path / "deck.safetensors"), tmp_path / "plan.json"
    result = run("plan", source, "--to", "linen", "-o", saved)
    assert result.stdout.splitlines() == ["all 4 steps are exact; nothing is guessed", f"{saved}  4 steps"]
    assert run("plan", source, "--to", "linen", "--json").stdout == saved.read_text()
    saved.write_text(saved.read_text().replace('"params.layers_2', '"params.last'))
    out = tmp_path / "out.ptf"
    dry = run("convert", source, out, "--plan", saved, "--dry-run")
    assert dry.stdout.splitlines()[-1] == "all 4 steps are exact; nothing is guessed; nothing was written (--dry-run)"
    assert not out.exists()
    done = run("convert", source, out, "--plan", saved)
    assert (done.exit_code, done.stderr) == (0, "")
    with ptformat.open(out) as file:
        np.testing.assert_array_equal(file["params.last.kernel"], arrays()["2.weight"].T)
    back = tmp_path / "back.safetensors"
    assert run("convert", out, back, "--to", "torch").exit_code == 0
    found = safetensors.numpy.load_file(back)
    assert {name: array.tobytes() for name, array in found.items()} == {
        name: array.tobytes() for name, array in arrays().items()
    }


def test_a_plan_that_does_not_fit(tmp_path: Path) -> None:
    source, saved = deck_safetensors(tmp_path / "deck.safetensors"), tmp_path / "plan.json"
    assert run("plan", source, "--to", "linen", "-o", saved).exit_code == 0
    made = json.loads(saved.read_text())
    (kernel,) = [entry for entry in made["entries"] if entry["path"] == "params.layers_0.kernel"]
    kernel["made"] = "0.weight"
    saved.write_text(json.dumps(made))
    before = snapshot(tmp_path)
    result = run("convert", source, tmp_path / "out.ptf", "--plan", saved)
    assert (result.exit_code, result.stderr) == (
        1,
        "ptformat: 1 problem, nothing written\n"
        "  shape         params.layers_0.kernel is (4, 8), but is made as (8, 4)\n",
    )
    saved.write_text("{}")
    result = run("convert", source, tmp_path / "out.ptf", "--plan", saved)
    assert result.exit_code == 1
    assert "version is None, expected 1, the plans that this library knows" in result.stderr
    saved.unlink()
    assert run("convert", source, tmp_path / "out.ptf", "--plan", saved).stderr.endswith("No such file or directory\n")
    assert snapshot(tmp_path) == {name: data for name, data in before.items() if name != "plan.json"}


def test_shapes_alone(tmp_path: Path) -> None:
    shapes, there = tmp_path / "shapes.json", tmp_path / "there.json"
    shapes.write_text('{"a.weight": [8, 4], "a.bias": [8]}')
    there.write_text('{"params": {"first": {"kernel": [4, 8], "bias": [8]}}}')
    args = ["plan", shapes, "--shapes", "--to", "linen", "--template", there, "--rename", "a=first"]
    result = run(*args)
    assert (result.exit_code, result.stderr) == (0, "")
    rows = [line.split("  ")[0] for line in result.stdout.splitlines()[:3]]
    assert rows == ["target", "params/first/kernel", "params/first/bias"]
    there.write_text('{"params": {"first": {"kernel": [4, 9], "bias": [8]}}}')
    wrong = run(*args)
    assert (wrong.exit_code, wrong.stderr) == (
        1,
        "ptformat: 1 problem, no plan\n"
        "  shape         a.weight (8, 4), as (4, 8), → params/first/kernel is (4, 9) in the template\n",
    )


def test_an_object_as_source_and_as_template(here: Path) -> None:
    result = run("plan", "pair:net", "--to", "linen", "--template", "pair:abstract")
    assert (result.exit_code, result.stderr) == (0, "")
    assert "linear: recorded in the file" in result.stdout
    done = run(
        "convert", here / "net.safetensors", here / "out.msgpack", "--to", "linen", "--template", "pair:abstract"
    )
    assert (done.exit_code, done.stderr) == (0, "")
    tree = flax.serialization.msgpack_restore((here / "out.msgpack").read_bytes())
    assert {name: sorted(inner) for name, inner in tree["params"].items()} == {
        "first": ["bias", "kernel"],
        "norm": ["bias", "scale"],
    }
    missing = run("plan", "pair:nothing", "--to", "linen")
    assert (missing.exit_code, missing.stderr) == (1, "ptformat: TYPE: pair:nothing: pair has no 'nothing'\n")


# The options that steer


def plan_of(source: Path, *args: str) -> dict[str, tuple[list[int], Any]]:
    """Target -> shape and how it is made, of a plan's JSON."""
    result = run("plan", source, *args, "--json")
    assert result.exit_code == 0, result.stderr
    return {
        each["path"]: (each["shape"], each["made"]) for each in json.loads(result.stdout)["entries"] if "made" in each
    }


def listed(path: Path, **shapes: list[int]) -> Path:
    path.write_text(
        json.dumps({"convention": "torch", "tensors": {name.replace("__", "."): s for name, s in shapes.items()}})
    )
    return path


def test_values(tmp_path: Path) -> None:
    source = listed(tmp_path / "s.json", a__weight=[8, 4], a__bias=[8], norm__weight=[8], norm__bias=[8])
    made = plan_of(
        source,
        *("--shapes", "--to", "nnx", "--only", "*.weight", "--apply", "norm.weight=add(1)"),
        *("--cast", "net/norm/*=bfloat16", "--prefix", "=net"),
    )
    assert made == {
        "net.a.kernel": ([4, 8], {"op": "permute", "perm": [1, 0], "of": "a.weight"}),
        "net.norm.scale": (
            [8],
            {"op": "cast", "dtype": "bfloat16", "of": {"op": "add", "addend": 1, "of": "norm.weight"}},
        ),
    }


def test_stacks_and_unstacks(tmp_path: Path) -> None:
    shapes = {f"layers__{number}__fc__weight": [8, 4] for number in range(3)}
    source = listed(tmp_path / "s.json", **shapes)
    made = plan_of(source, "--shapes", "--to", "linen", "--stack", "layers=1", "--kind", "*.fc=linear")
    assert {path: shape for path, (shape, _) in made.items()} == {"params.layers.fc.kernel": [4, 3, 8]}
    turns = "layers:cycle=2,into=pair_{phase},rest=last_{n}"
    made = plan_of(source, "--shapes", "--to", "linen", "--stack", turns, "--kind", "*.fc=linear")
    assert {path: shape for path, (shape, _) in made.items()} == {
        "params.pair_0.fc.kernel": [1, 4, 8],
        "params.pair_1.fc.kernel": [1, 4, 8],
        "params.last_0.fc.kernel": [4, 8],
    }
    stacked = tmp_path / "t.json"
    stacked.write_text('{"convention": "flax.linen", "tensors": {"params": {"layers": {"fc": {"kernel": [4, 3, 8]}}}}}')
    made = plan_of(stacked, "--shapes", "--to", "torch", "--unstack", "layers=1")
    assert {path: shape for path, (shape, _) in made.items()} == {f"layers.{n}.fc.weight": [8, 4] for n in range(3)}


def test_from_kinds_with_facts_and_missing(tmp_path: Path) -> None:
    source = tmp_path / "s.json"
    source.write_text('{"attn.qkv.weight": [18, 6], "attn.proj.weight": [6, 6]}')
    kind = "attn=attention:qkv(heads=2)"
    made = plan_of(source, "--shapes", "--from", "torch", "--to", "linen", "--kind", kind)
    assert {path: shape for path, (shape, _) in made.items()} == {
        **{f"params.attn.{name}.kernel": [6, 2, 3] for name in ("query", "key", "value")},
        "params.attn.out.kernel": [2, 3, 6],
    }
    source.write_text('{"convention": "torch", "tensors": {"a.weight": [8, 4]}}')
    there = tmp_path / "t.json"
    there.write_text('{"params": {"a": {"kernel": [4, 8], "bias": [8]}}}')
    args = ("--shapes", "--to", "linen", "--template", str(there), "--missing", "params/a/bias=0")
    assert plan_of(source, *args)["params.a.bias"] == (
        [8],
        {"op": "fill", "shape": [8], "dtype": "float32", "value": 0},
    )


def test_rules_of_a_family(tmp_path: Path) -> None:
    source = listed(tmp_path / "s.json", h__0__mlp__c_fc__weight=[4, 8], h__0__mlp__c_fc__bias=[8])
    made = plan_of(source, "--shapes", "--to", "linen", "--rules", "gpt2", "--drop", "*.bias")
    assert made == {"params.h.0.mlp.c_fc.kernel": ([4, 8], "h.0.mlp.c_fc.weight")}
    assert run("plan", source, "--shapes", "--to", "linen", "--rules", tmp_path / "x.toml").exit_code == 1


def test_the_conventions_are_the_converters() -> None:
    assert tuple(sorted(conventions.CONVENTIONS)) == steering.CONVENTIONS


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["--from", "keras"], "Invalid value for '--from': 'keras' is not one of 'linen', 'nnx', 'torch'"),
        (
            ["--kind", "a=b c"],
            "Invalid value for '--kind': 'b c' is no kind: expected KIND, KIND:FORM or "
            "KIND(NAME=VALUE, …)",
        ),
        (["--kind", "a=b(c=d)"], "Invalid value for '--kind': 'b(c=d)': 'd' is neither a number nor true or false"),
        (
            ["--prefix", "model"],
            "Invalid value for '--prefix': 'model' is not of the form OLD=NEW; one of them may be "
            "empty",
        ),
        (["--missing", "a=b"], "Invalid value for '--missing': 'b' is neither keep nor a number"),
        (["--missing", "a=nan"], "Invalid value for '--missing': 'nan' is neither keep nor a number"),
        (
            ["--stack", "a=x"],
            "Invalid value for '--stack': 'a=x' is not of the form PATH or PATH=AXIS, such as layers "
            "or layers=1",
        ),
        (["--stack", "a:axis=x"], "Invalid value for '--stack': 'a:axis=x': axis is 'x', expected a number"),
        (["--stack", "a:cycle=0"], "Invalid value for '--stack': 'a:cycle=0': cycle is '0', expected a number"),
        (
            ["--unstack", "=1"],
            "Invalid value for '--unstack': '=1' is not of the form PATH or PATH=AXIS, such as layers "
            "or layers=1",
        ),
        (
            ["--apply", "a=turn(1)"],
            "Invalid value for '--apply': 'turn(1)': 'turn(1)' is no operation, expected NAME(NUMBERS) "
            "with ",
        ),
        (["--cast", "a=float17"], "Invalid value for '--cast': no element type is called 'float17'; there are bool, "),
        (["--fact", "a=b"], "Invalid value for '--fact': 'a=b' is not of the form NAME=NUMBER, each name once"),
        (["--plan", "p.json"], "--to: not with --plan, which says all of it"),
        (["--verify", "pair"], "--verify: 'pair' is not of the form package.module:function"),
        (["--verify", "a:b", "--dry-run"], "--verify: not with --dry-run, which converts nothing"),
    ],
)  # fmt: skip
def test_wrong_usage(args: list[str], says: str, tmp_path: Path) -> None:
    """Said before anything is opened: neither file is there."""
    result = run("convert", tmp_path / "none.safetensors", tmp_path / "out.msgpack", "--to", "linen", *args)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"ptformat: convert: {says}")
    assert result.stderr.endswith(". Try 'ptformat convert --help'\n")
    assert result.stderr.count("\n") == 1


def test_plan_says_all_of_it(tmp_path: Path) -> None:
    args = ["--plan", "p.json", "--kind", "a=linear", "--drop", "b"]
    result = run("convert", tmp_path / "none.ptf", tmp_path / "out.ptf", *args)
    assert result.stderr == (
        "ptformat: convert: --kind, --drop: not with --plan, which says all of it. Try 'ptformat convert --help'\n"
    )


def test_the_help_has_groups() -> None:
    for verb in ("plan", "convert"):
        text = run(verb, "--help").stdout
        places = [text.index(f"\n{group}:\n") for group in steering.GROUPS]
        assert places == sorted(places)
        assert text.index("--kind") < places[1] < text.index("--rename") < places[2] < text.index("--cast") < places[3]


# Proof


def test_proven_before_it_gets_its_name(here: Path) -> None:
    before = {*snapshot(here)}
    result = run("convert", "net.safetensors", "out.msgpack", "--to", "linen", "--verify", "pair:linen_pair")
    assert (result.exit_code, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert lines[-3].startswith("-       (2, 8)  ")
    assert lines[-2].startswith("equal within 1e-04; 2 calls of layers compared, ")
    assert re.fullmatch(r"out\.msgpack  \d+ B, 4 tensors, \d+\.\d s", lines[-1])
    assert {name for name in snapshot(here) if "__pycache__" not in name} - before == {"out.msgpack"}
    back = run("convert", "out.msgpack", "back.safetensors", "--to", "torch", "--verify", "pair:linen_pair", "--json")
    said = json.loads(back.stdout)
    assert (said["verified"]["equal"], said["written"]["tensors"]) == (True, 4)
    assert (
        safetensors.numpy.load_file("back.safetensors").keys() == safetensors.numpy.load_file("net.safetensors").keys()
    )


def test_other_names_are_paired_by_the_plan(here: Path) -> None:
    args = ["--rename", "first=enter", "--verify", "pair:nnx_pair"]
    result = run("convert", "net.safetensors", "folder", "--to", "nnx", *args)
    assert (result.exit_code, result.stderr) == (0, "")
    assert "equal within 1e-05; 2 calls of layers compared, " in result.stdout
    assert (here / "folder" / "model.safetensors").exists()
    again = run("convert", "net.safetensors", "folder", "--to", "nnx", *args, "--quiet")  # which replaces it
    assert (again.exit_code, again.output) == (0, "")


def test_what_is_not_equal_is_not_written(here: Path) -> None:
    (here / "out.msgpack").write_bytes(b"as it was")
    before = {*snapshot(here)}
    result = run("convert", "net.safetensors", "out.msgpack", "--to", "linen", "--verify", "pair:other_eps")
    assert (result.exit_code, result.stdout) == (1, "")
    first, *_, last = result.stderr.splitlines()
    assert first == "ptformat: out.msgpack was not written: the models are not equal"
    assert last.startswith("  the first layer where they part: norm / norm: ")
    assert (here / "out.msgpack").read_bytes() == b"as it was"
    assert {name for name in snapshot(here) if "__pycache__" not in name} == before


@pytest.mark.parametrize(
    ("function", "says"),
    [
        ("pair:alone", "pair:alone returned a Torch, expected (torch model, flax model, inputs) or "),
        ("pair:too_few", "pair:too_few returned a tuple of 2, expected (torch model, flax model, inputs) or "),
        ("pair:none", "TYPE: pair:none: pair has no 'none'"),
        ("pear:none", "TYPE: pear:none: there is no module 'pear'"),
        ("pair:nnx_pair", "--verify pair:nnx_pair: a Nnx as flax model, expected one of linen"),
        ("pair:broken", "--verify pair:broken: "),
    ],
)
def test_a_function_that_gives_no_pair(function: str, says: str, here: Path) -> None:
    before = {*snapshot(here)}
    result = run("convert", "net.safetensors", "out.msgpack", "--to", "linen", "--verify", function)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"ptformat: {says}")
    assert {name for name in snapshot(here) if "__pycache__" not in name} == before


def test_a_plan_that_is_run_is_proven_too(here: Path) -> None:
    assert run("plan", "net.safetensors", "--to", "linen", "-o", "plan.json").exit_code == 0
    result = run("convert", "net.safetensors", "out.ptf", "--plan", "plan.json", "--verify", "pair:linen_pair")
    assert (result.exit_code, result.stderr) == (0, "")
    assert "equal within 1e-04" in result.stdout


def test_what_a_template_says_otherwise_is_never_unsaid(here: Path) -> None:
    (here / "other.py").write_text("import pair\n\n\ndef abstract():\n    return pair.Linen(1e-1), (pair.X,)\n")
    from ptformat.torch import save_model

    sys.path.insert(0, str(here))
    try:
        import pair

        save_model(pair.net(), "net.ptf")
    finally:
        sys.path.remove(str(here))
    args = ["convert", "net.ptf", "out.msgpack", "--to", "linen", "--template", "other:abstract"]
    line = "differs   epsilon is 0.1 in the template, 0.001 in the source: layer_norm in norm\n"
    assert line in run(*args).stdout
    quiet = run(*args, "--quiet")
    assert (quiet.exit_code, quiet.stdout, quiet.stderr) == (0, "", line)
