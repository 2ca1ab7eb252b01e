import json
from pathlib import Path

import flax.serialization
import ml_dtypes
import numpy as np
import safetensors.numpy
from cli_files import arrays, deck_ptf, deck_safetensors, run

import ptformat

DECK = """\
{path} · 1.0 · torch · 49 parameters · 196 B

Sequential
├─ 0  Linear
│  ├─ weight  (8, 4)  float32  out × in
│  └─ bias    (8,)    float32  out
├─ 1  ReLU  no parameters
└─ 2  Linear
   ├─ weight  (1, 8)  float32  out × in
   └─ bias    (1,)    float32  out
"""
SHARED = """\
{path} · 1.0 · torch · 121 parameters · 484 B

Sequential
├─ 0  Linear
│  ├─ weight  (8, 4)  float32  out × in
│  └─ bias    (8,)    float32  out
├─ 1  ReLU  no parameters
├─ 2  Linear
│  ├─ weight  (8, 8)  float32  out × in
│  └─ bias    (8,)    float32  out
├─ 3  ReLU  no parameters
├─ 4  Linear  = 2
├─ 5  ReLU  no parameters
└─ 6  Linear
   ├─ weight  (1, 8)  float32  out × in
   └─ bias    (1,)    float32  out
"""


def drawn(path: Path) -> str:
    result = run("tree", path)
    assert (result.exit_code, result.stderr) == (0, "")
    return result.stdout


def test_the_deck(tmp_path: Path) -> None:
    path = deck_ptf(tmp_path / "deck.ptf")
    assert drawn(path) == DECK.format(path=path)


def test_the_shared_layer_is_drawn_once(tmp_path: Path) -> None:
    path = deck_ptf(tmp_path / "shared.ptf", shared=True)
    assert drawn(path) == SHARED.format(path=path)


def test_compressed_is_drawn_alike(tmp_path: Path) -> None:
    path = deck_ptf(tmp_path / "deck.ptf", codec="zstd")
    assert drawn(path) == DECK.format(path=path)


def test_a_safetensors_file(tmp_path: Path) -> None:
    path = deck_safetensors(tmp_path / "deck.safetensors")
    head, _, root, *lines = drawn(path).splitlines()
    assert head == f"{path} · safetensors · torch · 49 parameters · 196 B"
    assert root == "."
    assert lines[1:3] == ["│  ├─ bias    (8,)    float32", "│  └─ weight  (8, 4)  float32"]


def test_a_flax_file_whatever_its_name(tmp_path: Path) -> None:
    path = tmp_path / "variables.data"
    kernel = np.zeros((4, 8), ml_dtypes.bfloat16)
    path.write_bytes(flax.serialization.msgpack_serialize({"params": {"layers_0": {"kernel": kernel}}}))
    assert drawn(path).splitlines() == [
        f"{path} · flax msgpack · 32 parameters · 64 B",
        "",
        ".",
        "└─ params",
        "   └─ layers_0",
        "      └─ kernel  (4, 8)  bfloat16",
    ]


def test_values_lists_ties_and_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "all.ptf"
    table = np.zeros((6, 2), np.float16)
    with ptformat.Writer(path) as out:
        out.tensor("table", table, axes=("vocabulary", "features"), role="parameter", trainable=False)
        out.alias("head", "table", (1, 0))
        out.tensor("mean", np.zeros(2, np.float32), role="buffer")
        out.alias("again", "table")
        out.node("blocks", "list")
        out.tensor("blocks.0", np.zeros((), np.int64), role="parameter")
        out.value("blocks.1", "x" * 100)
        out.value("blocks.2", None)
        out.node("nothing")
        out.value("rate", 0.5)
    # The buffer's 2 elements are no parameters; 24 + 8 + 8 bytes.
    assert drawn(path) == "\n".join(
        [
            f"{path} · 1.0 · 13 parameters · 40 B",
            "",
            ".",
            "├─ table  (6, 2)  float16  vocabulary × features  frozen",
            "├─ head   (2, 6)  = table permuted (1, 0)",
            "├─ mean   (2,)    float32                         buffer",
            "├─ again  (6, 2)  = table",
            "├─ blocks  list of 3",
            "│  ├─ 0  ()  int64",
            f"│  ├─ 1  '{'x' * 60}'… 100 characters",
            "│  └─ 2  None",
            "├─ nothing  empty",
            "└─ rate   0.5",
            "",
        ]
    )


def test_a_module_tied_in_part_shows_each_tie(tmp_path: Path) -> None:
    path = tmp_path / "part.ptf"
    with ptformat.Writer(path) as out:
        out.tensor("a.weight", np.zeros((2, 3), np.float32))
        out.tensor("a.bias", np.zeros(2, np.float32))
        out.alias("b.weight", "a.weight")
        out.tensor("b.bias", np.zeros(2, np.float32))
        out.alias("c.weight", "a.weight")  # a module without the bias is another module
    lines = drawn(path).splitlines()
    assert lines[6:] == [
        "├─ b",
        "│  ├─ weight  (2, 3)  = a.weight",
        "│  └─ bias    (2,)    float32",
        "└─ c",
        "   └─ weight  (2, 3)  = a.weight",
    ]


def test_a_tie_of_modules_that_hold_a_tie(tmp_path: Path) -> None:
    path = tmp_path / "nested.ptf"
    with ptformat.Writer(path) as out:
        out.tensor("a.x.weight", np.zeros((2, 3), np.float32))
        for tied in ("a.y.weight", "b.x.weight", "b.y.weight"):
            out.alias(tied, "a.x.weight")
    assert drawn(path).splitlines()[3:] == [
        "├─ a",
        "│  ├─ x",
        "│  │  └─ weight  (2, 3)  float32",
        "│  └─ y  = a.x",
        "└─ b  = a",
    ]


def test_one_tensor_alone(tmp_path: Path) -> None:
    path = tmp_path / "one.ptf"
    with ptformat.Writer(path) as out:
        out.tensor("", np.zeros((2, 3), np.uint8))
    assert drawn(path).splitlines()[2:] == ["(root)  (2, 3)  uint8"]


def test_text_from_a_file_cannot_move_the_cursor(tmp_path: Path) -> None:
    path = tmp_path / "bad\nname.ptf"
    with ptformat.Writer(path, convention="\x1b[2J") as out:
        out.node("", class_="evil.\x1b[31mRed\x07")
        out.tensor("w\u202e", np.zeros(1, np.uint8), axes=("\x9b1m",))
    text = drawn(path)
    assert len(text.splitlines()) == 4
    assert not set(text) & {"\x1b", "\x07", "\x9b", "\u202e"}
    assert "\\x1b[31mRed\\x07" in text


def test_json(tmp_path: Path) -> None:
    path = deck_ptf(tmp_path / "shared.ptf", shared=True)
    result = run("tree", path, "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    said = json.loads(result.stdout)
    entries = {entry["path"]: entry for entry in said.pop("entries")}
    assert said == {
        "file": str(path),
        "format": "ptf",
        "version": "1.0",
        "convention": "torch",
        "dialect": None,
        "parameters": 121,
        "nbytes": 484,
        "file_bytes": path.stat().st_size,
        "metadata": {},
        "notes": [],
    }
    assert entries["0.weight"] == {
        "path": "0.weight",
        "type": "tensor",
        "dtype": "float32",
        "shape": [8, 4],
        "axes": ["out", "in"],
        "role": "parameter",
        "trainable": True,
    }
    assert entries["4.weight"]["target"] == "2.weight"
    assert entries["1"] == {"path": "1", "type": "node", "form": "part", "class": "torch.nn.modules.activation.ReLU"}


def test_json_of_what_json_lacks(tmp_path: Path) -> None:
    path = tmp_path / "values.ptf"
    ptformat.save_file({"b": b"\x00\xff", "n": float("nan"), "i": float("-inf"), "k": {1: "one"}}, path)
    entries = {entry["path"]: entry for entry in json.loads(run("tree", path, "--json").stdout)["entries"]}
    assert entries["b"]["value"] == {"bytes": "00ff"}
    assert entries["n"]["value"] == {"float": "nan"}
    assert entries["i"]["value"] == {"float": "-inf"}
    assert entries["k"]["keys"] == [1]


def test_only_the_structure_is_read(tmp_path: Path) -> None:
    path = deck_ptf(tmp_path / "deck.ptf")
    data = bytearray(path.read_bytes())
    data[64] ^= 1  # the first tensor's first byte
    path.write_bytes(data)
    assert drawn(path) == DECK.format(path=path)


def test_a_key_with_a_dot_and_one_without_text(tmp_path: Path) -> None:
    path = tmp_path / "wild.safetensors"
    safetensors.numpy.save_file({"a": arrays()["0.bias"], "a.b": arrays()["2.bias"], "": arrays()["2.bias"]}, path)
    assert any(line.lstrip("├└─ ").startswith('""') for line in drawn(path).splitlines())
