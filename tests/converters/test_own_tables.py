"""Kinds, forms and a whole framework of one's own, from TOML and from Python: numbers, bytes and errors."""

import re
from contextlib import closing

import numpy as np
import pytest
import torch
from sources import bits, read, same, source

import ptformat
from ptformat.converters import ConversionError, Rules, convert, copy, plan
from ptformat.converters.conventions import CONVENTIONS, Convention, Form, Kind, slot
from ptformat.converters.files import open_source
from ptformat.converters.own_tables import extended, form_faults
from ptformat.converters.rules import load
from ptformat.torch import save_model
from ptformat.tree import Node

KERAS = """
[conventions.keras]
separator = "/"

[[form]]
convention = "keras"
kind = "linear"
slot = [
    { name = "kernel", holds = "weight", axes = "in out" },
    { name = "bias", holds = "bias", axes = "out" },
]

[[form]]
convention = "keras"
kind = "conv"
slot = [
    { name = "kernel", holds = "weight", axes = "*spatial in out" },
    { name = "bias", holds = "bias", axes = "out" },
]

[[form]]
convention = "keras"
kind = "embedding"
slot = [{ name = "embeddings", holds = "weight", axes = "num features" }]

[[form]]
convention = "keras"
kind = "layer_norm"
slot = [
    { name = "gamma", holds = "scale", axes = "features" },
    { name = "beta", holds = "bias", axes = "features" },
]

[[form]]
convention = "keras"
kind = "batch_norm"
slot = [
    { name = "gamma", holds = "scale", axes = "features" },
    { name = "beta", holds = "bias", axes = "features" },
    { name = "moving_mean", holds = "mean", axes = "features", role = "buffer" },
    { name = "moving_variance", holds = "var", axes = "features", role = "buffer" },
]

[[form]]
convention = "keras"
kind = "lstm"
slot = [
    { name = "kernel", holds = "input.i input.f input.g input.o", axes = "in (* hidden)" },
    { name = "recurrent_kernel", holds = "hidden.i hidden.f hidden.g hidden.o", axes = "inner (* hidden)" },
    { name = "bias", holds = "bias.i bias.f bias.g bias.o", axes = "(* hidden)" },
]
"""
GATED = """
[kinds.gated]
parameters = { up = "out in", gate = "out in" }
essential = ["up", "gate"]

[[form]]
convention = "torch"
kind = "gated"
slot = [{ name = "up_gate", holds = "up gate", axes = "(* out) in" }]

[[form]]
convention = "linen"
kind = "gated"
slot = [{ name = "packed", holds = "up gate", axes = "(out *) in" }]
"""
KINDS_OF_FILE = ("ptf", "npz", "safetensors")


def keras_tables():
    """The same as KERAS, from Python."""
    gamma, beta = slot("gamma", "scale", "features"), slot("beta", "bias", "features")
    statistics = (
        slot("moving_mean", "mean", "features", role="buffer"),
        slot("moving_variance", "var", "features", role="buffer"),
    )
    gates = {of: " ".join(f"{of}.{gate}" for gate in "ifgo") for of in ("input", "hidden", "bias")}
    slots = {
        "linear": (slot("kernel", "weight", "in out"), slot("bias", "bias", "out")),
        "conv": (slot("kernel", "weight", "*spatial in out"), slot("bias", "bias", "out")),
        "embedding": (slot("embeddings", "weight", "num features"),),
        "layer_norm": (gamma, beta),
        "batch_norm": (gamma, beta, *statistics),
        "lstm": (
            slot("kernel", gates["input"], "in (* hidden)"),
            slot("recurrent_kernel", gates["hidden"], "inner (* hidden)"),
            slot("bias", gates["bias"], "(* hidden)"),
        ),
    }
    return extended(
        conventions={"keras": Convention("keras", "/", {}, "keras.")},
        forms=[("keras", kind, Form(each)) for kind, each in slots.items()],
    )


def gated_tables():
    """The same as GATED, from Python."""
    kind = Kind("gated", {"up": ("out", "in"), "gate": ("out", "in")}, essential=("up", "gate"))
    torch_form = Form((slot("up_gate", "up gate", "(* out) in"),))
    linen_form = Form((slot("packed", "up gate", "(out *) in", collection="params"),))
    return extended(kinds=[kind], forms=[("torch", "gated", torch_form), ("linen", "gated", linen_form)])


@pytest.fixture(params=["toml", "python"])
def keras(request, tmp_path):
    (tmp_path / "keras.toml").write_text(KERAS)
    return tmp_path / "keras.toml" if request.param == "toml" else Rules(tables=keras_tables())


@pytest.fixture(params=["toml", "python"])
def gated(request, tmp_path):
    (tmp_path / "gated.toml").write_text(GATED)
    return tmp_path / "gated.toml" if request.param == "toml" else Rules(tables=gated_tables())


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = torch.nn.Embedding(11, 6)
        self.conv = torch.nn.Conv2d(3, 5, (2, 4))
        self.bn = torch.nn.BatchNorm2d(5)
        self.rnn = torch.nn.LSTM(6, 4)
        self.ln = torch.nn.LayerNorm(4)
        self.head = torch.nn.Linear(4, 4)


@pytest.fixture
def net():
    """A net with every bit random, but for the LSTM's biases, which are added."""
    made, random = Net(), np.random.default_rng(3)
    with torch.no_grad():
        for seed, (name, held) in enumerate(made.state_dict().items()):
            if name == "bn.num_batches_tracked":
                held.fill_(7)
            elif name.startswith("rnn.bias"):
                held.copy_(torch.from_numpy(random.standard_normal(held.shape, np.float32)))
            else:
                held.copy_(torch.from_numpy(bits("float32", tuple(held.shape), seed).copy()))
    return made


def arrays_of(net):
    return {name: held.numpy().copy() for name, held in net.state_dict().items()}


def saved(net, path):
    """The net's state in a file of any of the three kinds; the .ptf records the kinds of its modules."""
    save_model(net, path.with_suffix(".ptf"))
    if path.suffix != ".ptf":
        copy(path.with_suffix(".ptf"), path)
    return path


def held_in(path):
    """(The convention that a file records, its entries.)"""
    with closing(open_source(path)) as opened:
        return opened.header.convention, list(opened.entries)


def equal(found, expected):
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert same(found[name], array), name


def in_keras(held):
    """What Keras holds, by hand."""
    gates_i, gates_h = (np.split(held[f"rnn.weight_{of}_l0"], 4) for of in ("ih", "hh"))
    return {
        "embed.embeddings": held["embed.weight"],
        "conv.kernel": held["conv.weight"].transpose(2, 3, 1, 0),
        "conv.bias": held["conv.bias"],
        "bn.gamma": held["bn.weight"],
        "bn.beta": held["bn.bias"],
        "bn.moving_mean": held["bn.running_mean"],
        "bn.moving_variance": held["bn.running_var"],
        "rnn.cell.kernel": np.concatenate([gate.T for gate in gates_i], axis=1),
        "rnn.cell.recurrent_kernel": np.concatenate([gate.T for gate in gates_h], axis=1),
        "rnn.cell.bias": held["rnn.bias_ih_l0"] + held["rnn.bias_hh_l0"],
        "ln.gamma": held["ln.weight"],
        "ln.beta": held["ln.bias"],
        "head.kernel": held["head.weight"].T,
        "head.bias": held["head.bias"],
    }


def back_in_torch(held, batches):
    """What comes back: the biases' sum is the first of them, and batches are counted where a file records them."""
    return {
        **held,
        "rnn.bias_ih_l0": held["rnn.bias_ih_l0"] + held["rnn.bias_hh_l0"],
        "rnn.bias_hh_l0": np.zeros(16, np.float32),
        "bn.num_batches_tracked": np.array(batches),
    }


@pytest.mark.parametrize("second", KINDS_OF_FILE)
@pytest.mark.parametrize("first", KINDS_OF_FILE)
def test_a_whole_framework_and_back(first, second, keras, net, tmp_path):
    start = saved(net, tmp_path / f"net.{first}")
    there, back = tmp_path / f"keras.{second}", tmp_path / f"back.{first}"
    held = arrays_of(net)
    made = convert(start, there, to="keras", rules=keras)
    equal(read(there), in_keras(held))
    assert made.dropped == ["bn.num_batches_tracked: keras has no such tensor; it comes back as 0"]
    assert {path: step.exactness for path, step in made.steps.items() if step.exactness != "bit"} == {
        "rnn.cell.bias": "function"
    }
    made = convert(there, back, to="torch", rules=keras)
    assert made.origin == "keras"
    assert made.undone == (second == "ptf")
    equal(read(back), back_in_torch(held, 7 if second == "ptf" else 0))


def test_without_a_record_the_table_gives_the_same(keras, net, tmp_path):
    held = arrays_of(net)
    ptformat.save_file(in_keras(held), tmp_path / "keras.ptf", convention="keras")
    made = convert(tmp_path / "keras.ptf", tmp_path / "back.ptf", to="torch", rules=keras)
    assert (made.origin, made.undone) == ("keras", False)
    equal(read(tmp_path / "back.ptf"), back_in_torch(held, 0))
    assert held_in(tmp_path / "back.ptf")[0] == "torch"


def test_a_framework_goes_to_flax_and_back(keras, net, tmp_path):
    held = arrays_of(net)
    ptformat.save_file(in_keras(held), tmp_path / "keras.ptf", convention="keras")
    for to, bias in (("linen", "params.rnn.cell.hf.bias"), ("nnx", None)):
        convert(tmp_path / "keras.ptf", tmp_path / "flax.ptf", to=to, rules=keras)
        root = "params." if to == "linen" else ""
        flax = read(tmp_path / "flax.ptf")
        assert same(flax[f"{root}conv.kernel"], held["conv.weight"].transpose(2, 3, 1, 0))
        assert same(flax[f"{root}head.kernel"], held["head.weight"].T)
        assert same(flax[f"{root}bn.scale"], held["bn.weight"])
        if bias:
            assert same(flax["params.rnn.cell.if.kernel"], held["rnn.weight_ih_l0"][4:8].T)
            assert same(flax["batch_stats.bn.var"], held["bn.running_var"])
            assert same(flax[bias], (held["rnn.bias_ih_l0"] + held["rnn.bias_hh_l0"])[4:8])
        copy(tmp_path / "flax.ptf", tmp_path / "flax.npz")  # which records no way back
        convert(tmp_path / "flax.npz", tmp_path / "again.ptf", to="keras", origin=to, rules=keras)
        equal(read(tmp_path / "again.ptf"), in_keras(held))


def test_toml_and_python_make_the_same_bytes(net, tmp_path):
    saved(net, tmp_path / "net.ptf")
    ptformat.save_file({"ffn.up_gate": bits("bfloat16", (6, 5))}, tmp_path / "ffn.ptf", convention="torch")
    for text, tables, name, to in ((KERAS, keras_tables(), "net", "keras"), (GATED, gated_tables(), "ffn", "linen")):
        (tmp_path / "own.toml").write_text(text)
        assert load(tmp_path / "own.toml").tables == tables
        convert(tmp_path / f"{name}.ptf", tmp_path / "toml.ptf", to=to, rules=tmp_path / "own.toml")
        convert(tmp_path / f"{name}.ptf", tmp_path / "python.ptf", to=to, rules=Rules(tables=tables))
        assert (tmp_path / "toml.ptf").read_bytes() == (tmp_path / "python.ptf").read_bytes()
    assert list(CONVENTIONS) == ["torch", "linen", "nnx"]
    assert "gated" not in CONVENTIONS["torch"].kinds


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int8"])
@pytest.mark.parametrize("second", KINDS_OF_FILE)
def test_a_kind_both_ways(second, dtype, gated, tmp_path):
    if (second, dtype) == ("npz", "bfloat16"):
        second = "safetensors"  # npz has no bfloat16
    up, gate = bits(dtype, (5, 3), 1), bits(dtype, (5, 3), 2)
    packed = np.stack([up, gate], axis=1).reshape(10, 3)
    there, back, nothing = (tmp_path / f"{name}.{second}" for name in ("there", "back", "again"))
    start = {"ffn.up_gate": np.concatenate([up, gate])}
    ptformat.save_file(start, tmp_path / "torch.ptf", convention="torch")
    convert(tmp_path / "torch.ptf", there, to="linen", rules=gated)
    equal(read(there), {"params.ffn.packed": packed})
    made = convert(there, back, to="torch", rules=gated)
    assert made.undone == (second == "ptf")
    equal(read(back), start)
    # From the other side, by the table alone.
    ptformat.save_file({"params.ffn.packed": packed}, tmp_path / "linen.ptf", convention="flax.linen")
    made = convert(tmp_path / "linen.ptf", nothing, to="torch", rules=gated)
    assert (made.undone, made.steps["ffn.up_gate"].exactness) == (False, "bit")
    equal(read(nothing), start)


def test_a_kind_in_numbers(gated, tmp_path):
    start = np.arange(12, dtype=np.float32).reshape(6, 2)  # up: 0 to 5, gate: 6 to 11
    ptformat.save_file({"ffn.up_gate": start}, tmp_path / "torch.ptf", convention="torch")
    convert(tmp_path / "torch.ptf", tmp_path / "linen.npz", to="linen", rules=gated)
    (packed,) = read(tmp_path / "linen.npz").values()
    assert packed.tolist() == [[0, 1], [6, 7], [2, 3], [8, 9], [4, 5], [10, 11]]


def test_a_kind_that_is_recorded_is_recognised(gated, tmp_path):
    ptformat.save_file({"ffn.up_gate": bits("float32", (4, 3))}, tmp_path / "a.ptf", convention="torch")
    convert(tmp_path / "a.ptf", tmp_path / "b.ptf", to="linen", rules=gated)
    nodes = [entry for entry in held_in(tmp_path / "b.ptf")[1] if isinstance(entry, Node)]
    assert [(node.path, node.module) for node in nodes if node.module] == [("params.ffn", "gated")]
    tree = source({"ffn.up_gate": (4, 3)}, nodes=[Node("ffn", module="gated")], convention="torch")
    (step,) = plan(tree, to="linen", rules=gated).steps.values()
    assert (step.target.path, step.evidence) == ("params.ffn.packed", "gated: recorded in the file")
    # A kind without a table is passed on under its own names.
    (step,) = plan(tree, to="linen").steps.values()
    assert (step.target.path, step.evidence) == ("params.ffn.up_gate", "of no kind, as it is")


def refused(tree, **options):
    with pytest.raises(ConversionError) as caught:
        plan(tree, **options)
    (problem,) = caught.value.problems
    return problem.kind, problem.text


def test_what_a_kind_does_not_fit(gated):
    odd = source({"ffn.up_gate": (5, 3)}, convention="torch")
    assert refused(odd, to="linen", rules=gated) == (
        "unsupported",
        "ffn has up_gate (5, 3): no kind with a rule has these names and ranks",
    )
    even = source({"ffn.up_gate": (6, 3)}, convention="torch")
    assert refused(even, to="nnx", rules=gated) == (
        "unsupported",
        "ffn has up_gate (6, 3): flax.nnx has no counterpart of gated",
    )


def test_a_framework_that_is_recorded_needs_its_rules(keras, net, tmp_path):
    saved(net, tmp_path / "net.ptf")
    path = tmp_path / "keras.ptf"
    convert(tmp_path / "net.ptf", path, to="keras", rules=keras)
    assert held_in(path)[0] == "keras"
    made = plan(path, to="linen", rules=keras)
    assert (made.origin, made.steps["params.bn.scale"].evidence) == ("keras", "batch_norm: recorded in the file")
    kind, text = refused(path, to="linen")
    assert kind == "unsupported"
    assert text.startswith(f"{path} is recorded as keras, for which there is no table (torch, linen, nnx). ")
    assert refused(path, to="nnx", origin="linen") == (
        "contradiction",
        f"{path} is recorded as keras, but --from says linen",
    )
    assert refused(path, to="keras", rules=keras)[1].startswith(f"{path} has keras's layout already; ")
    with pytest.raises(ValueError, match=r"^cannot convert to 'keras', only to torch or linen or nnx$"):
        plan(tmp_path / "net.ptf", to="keras")
    # The way it came is recorded with it: back there it needs no table.
    convert(path, tmp_path / "back.ptf", to="torch")
    equal(read(tmp_path / "back.ptf"), back_in_torch(arrays_of(net), 7))


def test_names_that_two_frameworks_have_are_not_guessed(keras):
    tree = source({"head.kernel": (5, 3), "head.bias": (3,)})
    assert refused(tree, to="torch", rules=keras) == (
        "ambiguous",
        "tree: neither recorded nor plain from the leaf names whose layout this is. "
        "Say --from (torch, linen, nnx, keras)",
    )
    made = plan(tree, to="torch", origin="keras", rules=keras)
    assert [(path, step.target.shape) for path, step in made.steps.items()] == [
        ("head.weight", (3, 5)),
        ("head.bias", (3,)),
    ]
    named = source({"norm.gamma": (4,), "norm.beta": (4,)})
    assert plan(named, to="torch", rules=keras).origin == "keras"


@pytest.mark.parametrize("follows", ["linen", "nnx", "torch"])
def test_layers_directions_and_another_order_of_gates(follows, tmp_path):
    """Square kernels, whose shapes tell nothing: only the table says where each gate lies."""
    text = KERAS.replace("[conventions.keras]", f'[conventions.keras]\nfollows = "{follows}"')
    for of in ("input", "hidden", "bias"):
        text = text.replace(f"{of}.i {of}.f {of}.g {of}.o", f"{of}.o {of}.i {of}.g {of}.f")
    (tmp_path / "keras.toml").write_text(text)
    layer = torch.nn.LSTM(4, 4, bidirectional=True)
    held = arrays_of(layer)
    np.savez(tmp_path / "net.npz", **{f"rnn.{name}": array for name, array in held.items()})
    convert(tmp_path / "net.npz", tmp_path / "keras.npz", to="keras", rules=tmp_path / "keras.toml")
    found = read(tmp_path / "keras.npz")
    order = [3, 0, 2, 1]  # of torch's i, f, g, o
    for direction, end in (("forward", ""), ("backward", "_reverse")):
        gates = held[f"weight_ih_l0{end}"].reshape(4, 4, 4)[order]
        names = {"kernel": f"rnn.kernel_l0{end}", "bias": f"rnn.bias_l0{end}"}  # as torch keeps a layer's cells
        if follows != "torch":
            names = {
                leaf: next(name for name in found if direction in name and name.endswith(f".{leaf}")) for leaf in names
            }
        kernel, bias = found[names["kernel"]], found[names["bias"]]
        assert same(kernel, gates.transpose(2, 0, 1).reshape(4, 16))
        total = (held[f"bias_ih_l0{end}"] + held[f"bias_hh_l0{end}"]).reshape(4, 4)[order]
        assert same(bias, total.reshape(16))
    convert(tmp_path / "keras.npz", tmp_path / "back.npz", to="torch", origin="keras", rules=tmp_path / "keras.toml")
    back = read(tmp_path / "back.npz")
    for end in ("", "_reverse"):
        for of in ("weight_ih", "weight_hh"):
            assert same(back[f"rnn.{of}_l0{end}"], held[f"{of}_l0{end}"])
        assert same(back[f"rnn.bias_ih_l0{end}"], held[f"bias_ih_l0{end}"] + held[f"bias_hh_l0{end}"])
        assert not back[f"rnn.bias_hh_l0{end}"].any()


# What Python is told, which TOML cannot say or says otherwise.

TWOFOLD = Kind("twofold", {"up": ("out", "in"), "gate": ("out", "in")})
MINE = Convention("mine", "/", {}, "mine.")
WHOLE = Form((slot("k", "up gate", "in (out *)"),))
REFUSED = {
    "kind linear: there is such a kind already": {"kinds": [Kind("linear", {"weight": ("out", "in")})]},
    "kind two: essential: there is no parameter 'v', only w": {"kinds": [Kind("two", {"w": ("in",)}, ("v",))]},
    "convention torch: name: there is such a convention already": {"conventions": {"torch": MINE}},
    "convention own: name: is empty, expected what files record": {
        "conventions": {"own": Convention("", "/", {}, "x.")}
    },
    "convention own: forms: there is no kind 'twofold'": {
        "conventions": {"own": Convention("mine", "/", {"twofold": (WHOLE,)}, "mine.")}
    },
    "convention own: twofold: slot: is missing, expected a slot for each tensor": {
        "kinds": [TWOFOLD],
        "conventions": {"own": Convention("mine", "/", {"twofold": (Form(()),)}, "mine.")},
    },
    "form own twofold: there is no convention 'own'": {"kinds": [TWOFOLD], "forms": [("own", "twofold", WHOLE)]},
    "form torch twofold:x: there is no kind 'twofold'": {"forms": [("torch", "twofold", Form(WHOLE.slots, "x"))]},
    "form torch twofold: slot: is missing, expected a slot for each tensor": {
        "kinds": [TWOFOLD],
        "forms": [("torch", "twofold", Form(()))],
    },
    "form torch twofold: name: there is such a form already, expected another name": {
        "kinds": [TWOFOLD],
        "forms": [("torch", "twofold", WHOLE), ("torch", "twofold", WHOLE)],
    },
}


@pytest.mark.parametrize("says", REFUSED)
def test_tables_that_make_no_sense(says: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(says)}"):
        extended(**REFUSED[says])


def test_a_form_of_ones_own_framework_takes_the_place_of_what_it_inherits() -> None:
    """In the library's frameworks it would be an error; here the other forms stay, in their order."""
    like = CONVENTIONS["torch"]
    mine = Convention("mine", ".", dict(like.forms), "mine.")
    held = [form.name for form in like.forms["linear"]]
    new = Form((slot("w", "weight", "in out"), slot("b", "bias", "out")), held[1])
    tables = extended(conventions={"own": mine}, forms=[("own", "linear", new)])
    found = tables["own"].forms["linear"]
    assert [form.name for form in found] == held
    assert (found[1], found[0]) == (new, like.forms["linear"][0])
    assert tables["torch"].forms["linear"] == like.forms["linear"]


def test_every_fault_of_a_form() -> None:
    """All are told to who asks for all, one for each slot where the rest would follow from it."""
    wrong = Form((slot("a", "gate none", "in"), slot("b", "up up", "in"), slot("c", "gate", "nowhere out")), "no name")
    assert [key for key, _ in form_faults(wrong, TWOFOLD, MINE)][:4] == [
        "name",
        "slot[0].holds",
        "slot[1].holds",
        "slot[2].axes",
    ]
    own = Convention("mine", "/", {"twofold": (WHOLE, Form(WHOLE.slots, "again"))}, "mine.")
    tables = extended(kinds=[TWOFOLD], conventions={"own": own})
    assert [form.name for form in tables["own"].forms["twofold"]] == ["", "again"]
