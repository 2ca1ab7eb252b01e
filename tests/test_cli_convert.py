import json
import re
from pathlib import Path

import flax.serialization
import numpy as np
import pytest
import safetensors.numpy
from cli_files import arrays, deck_ptf, deck_safetensors, run, snapshot

from ptformat.cli.steering import STYLES
from ptformat.converters import match

SUMMARY = r"{}  [\d.]+ k?B, {}, \d+\.\d s"


def variables(path: Path) -> dict[str, np.ndarray]:
    """Path with slashes -> array of a flax file."""
    flat: dict[str, np.ndarray] = {}

    def walk(tree: dict[str, object], at: str) -> None:
        for name, child in tree.items():
            if isinstance(child, dict):
                walk(child, f"{at}{name}/")
            else:
                flat[at + name] = np.asarray(child)

    walk(flax.serialization.msgpack_restore(path.read_bytes()), "")
    return flat


def template(path: Path, **shapes: tuple[int, ...]) -> Path:
    """A flax file whose tensors have these shapes; `__` stands for a slash."""
    tree: dict[str, object] = {}
    for name, shape in shapes.items():
        *above, last = name.split("__")
        at = tree
        for key in above:
            at = at.setdefault(key, {})  # type: ignore[assignment]
        at[last] = np.zeros(shape, np.float32)
    path.write_bytes(flax.serialization.msgpack_serialize(tree))
    return path


def ambiguous(path: Path) -> Path:
    """One table that may be an embedding's or a linear layer's."""
    safetensors.numpy.save_file({"thing.weight": np.zeros((5, 3), np.float32)}, path, metadata={"format": "pt"})
    return path


def test_the_dry_run_of_the_deck(tmp_path: Path) -> None:
    source, target = deck_ptf(tmp_path / "shared.ptf", shared=True), tmp_path / "params.msgpack"
    result = run("convert", source, target, "--to", "linen", "--dry-run")
    assert (result.exit_code, result.stderr) == (0, "")
    assert [re.sub(r"  (linear: .*)?$", "", line).rstrip() for line in result.stdout.splitlines()] == [
        "target                  shape   source    shape   operation              because",
        "params/layers_0/kernel  (4, 8)  0.weight  (8, 4)  (out, in) → (in, out)",
        "params/layers_0/bias    (8,)    0.bias    (8,)",
        "params/layers_2/kernel  (8, 8)  2.weight  (8, 8)  (out, in) → (in, out)",
        "params/layers_2/bias    (8,)    2.bias    (8,)",
        "params/layers_6/kernel  (8, 1)  6.weight  (1, 8)  (out, in) → (in, out)",
        "params/layers_6/bias    (1,)    6.bias    (1,)",
        "tied      4.weight, 4.bias are layer 2 again: one entry in linen",
        "all 6 steps are exact; nothing is guessed; nothing was written (--dry-run)",
    ]
    assert "linear: recorded in the file" in result.stdout
    assert not target.exists()


def test_the_deck_to_linen(tmp_path: Path) -> None:
    source, target = deck_safetensors(tmp_path / "deck.safetensors"), tmp_path / "params.msgpack"
    result = run("convert", source, target, "--to", "linen")
    assert (result.exit_code, result.stderr) == (0, "")
    *_, sure, written = result.stdout.splitlines()
    assert sure == "all 4 steps are exact; nothing is guessed"
    assert re.fullmatch(SUMMARY.format(re.escape(str(target)), "4 tensors"), written)
    found = variables(target)
    assert {name: array.shape for name, array in found.items()} == {
        "params/layers_0/kernel": (4, 8),
        "params/layers_0/bias": (8,),
        "params/layers_2/kernel": (8, 1),
        "params/layers_2/bias": (1,),
    }
    np.testing.assert_array_equal(found["params/layers_0/kernel"], arrays()["0.weight"].T)


def test_and_back_every_bit(tmp_path: Path) -> None:
    source = deck_safetensors(tmp_path / "deck.safetensors")
    params, back = tmp_path / "params.msgpack", tmp_path / "back.safetensors"
    assert run("convert", source, params, "--to", "linen").exit_code == 0
    assert run("convert", params, back, "--to", "torch").exit_code == 0
    found, expected = safetensors.numpy.load_file(back), arrays()
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array)


@pytest.mark.parametrize("suffix", [".ptf", ".safetensors", ".msgpack"])
@pytest.mark.parametrize("make", [deck_ptf, deck_safetensors])
def test_without_to_the_same_tree(make: object, suffix: str, tmp_path: Path) -> None:
    source = make(tmp_path / "source.data")  # type: ignore[operator]
    target, back = tmp_path / f"target{suffix}", tmp_path / "back.safetensors"
    result = run("convert", source, target)
    assert (result.exit_code, result.stderr) == (0, "")
    assert re.fullmatch(SUMMARY.format(re.escape(str(target)), "4 tensors") + "\n", result.stdout)
    assert run("convert", target, back, "--quiet").output == ""
    found, expected = safetensors.numpy.load_file(back), arrays()
    assert {name: array.shape for name, array in found.items()} == {
        name: array.shape for name, array in expected.items()
    }
    if make is deck_safetensors:
        for name, array in expected.items():
            np.testing.assert_array_equal(found[name], array)


def test_without_to_a_dry_run(tmp_path: Path) -> None:
    source, target = deck_safetensors(tmp_path / "deck.safetensors"), tmp_path / "deck.ptf"
    result = run("convert", source, target, "--dry-run")
    assert result.stdout == f"{target}  4 tensors, 196 B, the same tree; nothing was written (--dry-run)\n"
    assert json.loads(run("convert", source, target, "--dry-run", "--json").stdout) == {"plan": None, "written": None}
    assert not target.exists()


def test_a_template_names_the_targets(tmp_path: Path) -> None:
    source, target = deck_safetensors(tmp_path / "deck.safetensors"), tmp_path / "out.msgpack"
    model = template(
        tmp_path / "init.msgpack",
        params__first__kernel=(4, 8),
        params__first__bias=(8,),
        params__second__kernel=(8, 1),
        params__second__bias=(1,),
    )
    args = ["--template", str(model), "--rename", "0=first", "--rename", "2=second"]
    result = run("convert", source, target, "--to", "linen", *args)
    assert (result.exit_code, result.stderr) == (0, "")
    found = variables(target)
    assert sorted(found) == sorted(variables(model))
    np.testing.assert_array_equal(found["params/second/kernel"], arrays()["2.weight"].T)


def test_rename_drop_and_style(tmp_path: Path) -> None:
    source, target = tmp_path / "m.safetensors", tmp_path / "out.msgpack"
    named = {"net.layer.0.weight": np.zeros((8, 4), np.float32), "net.layer.0.bias": np.zeros(8, np.float32)}
    safetensors.numpy.save_file(named | {"extra.scale": np.ones(3, np.float32)}, source, metadata={"format": "pt"})
    args = ["--rename", "net=model", "--drop", "extra.*", "--style", "linen-list"]
    assert run("convert", source, target, "--to", "linen", *args, "--quiet").exit_code == 0
    assert sorted(variables(target)) == ["params/model/layer_0/bias", "params/model/layer_0/kernel"]


def test_a_guess_is_always_said(tmp_path: Path) -> None:
    source, target = ambiguous(tmp_path / "m.safetensors"), tmp_path / "out.msgpack"
    args = ["convert", source, target, "--to", "linen"]
    loud, quiet, dry = run(*args), run(*args, "--quiet"), run(*args, "--dry-run")
    assert [result.exit_code for result in (loud, quiet, dry)] == [0, 0, 0]
    (line,) = [line for line in loud.stdout.splitlines() if line.startswith("guess")]
    assert re.fullmatch(r"guess {5}thing\.weight: .+; it may be \w+", line)
    assert "the step is exact" in loud.stdout
    assert (quiet.stdout, quiet.stderr) == ("", line + "\n")
    assert line in dry.stdout


def test_strict_refuses_the_guess_and_a_kind_settles_it(tmp_path: Path) -> None:
    source, target = ambiguous(tmp_path / "m.safetensors"), tmp_path / "out.msgpack"
    refused = run("convert", source, target, "--to", "linen", "--strict")
    head, problem = refused.stderr.splitlines()
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert head == "ptformat: 1 problem, nothing written"
    assert re.match(r"  guess +thing\b", problem)
    assert not target.exists()
    settled = run("convert", source, target, "--to", "linen", "--strict", "--kind", "thing=embedding")
    assert (settled.exit_code, settled.stderr) == (0, "")
    assert [(name, array.shape) for name, array in variables(target).items()] == [("params/thing/embedding", (5, 3))]


def test_json(tmp_path: Path) -> None:
    source, target = deck_safetensors(tmp_path / "deck.safetensors"), tmp_path / "out.msgpack"
    dry = run("convert", source, target, "--to", "linen", "--dry-run", "--json")
    assert (dry.exit_code, dry.stderr) == (0, "")
    said = json.loads(dry.stdout)
    assert said["written"] is None
    (kernel,) = [entry for entry in said["plan"]["entries"] if entry["path"] == "params.layers_0.kernel"]
    assert kernel["made"] == {"op": "permute", "perm": [1, 0], "of": "0.weight"}
    done = json.loads(run("convert", source, target, "--to", "linen", "--json").stdout)
    assert done["plan"] == said["plan"]
    assert done["written"].pop("seconds") >= 0
    assert done["written"] == {"file": str(target), "bytes": target.stat().st_size, "tensors": 4}


def test_the_styles_are_the_converters() -> None:
    assert match.STYLES == STYLES


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["--strict"], "--strict: only with --to linen, --to nnx or --to torch"),
        (["--kind", "a=linear", "--style", "nested"], "--kind, --style: only with --to linen, --to nnx or --to torch"),
        (["--rename", "a=b", "--template", "x"], "--rename, --template: only with --to linen, --to nnx or --to torch"),
        (["--to", "linen", "--kind", "linear"], "Invalid value for '--kind': 'linear' is not of the form GLOB=KIND"),
        (["--to", "linen", "--rename", "a"], "Invalid value for '--rename': 'a' is not of the form REGEX=NEW"),
        (["--to", "linen", "--rename", "(=b"], "Invalid value for '--rename': '(' is no regular expression: "),
        (["--to", "linen", "--style", "x"], "Invalid value for '--style': 'x' is not one of 'nested', 'linen-list'"),
    ],
)
def test_wrong_usage(args: list[str], says: str, tmp_path: Path) -> None:
    source = deck_safetensors(tmp_path / "deck.safetensors")
    before = snapshot(tmp_path)
    result = run("convert", source, tmp_path / "out.msgpack", *args)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"ptformat: convert: {says}")
    assert result.stderr.endswith(". Try 'ptformat convert --help'\n")
    assert result.stderr.count("\n") == 1
    assert snapshot(tmp_path) == before
