"""Plans, lists of shapes and rules as files from others: seeds, attacks, and how each is read."""

from __future__ import annotations

import json
import re
from pathlib import Path
from random import Random

import numpy as np

from hostile.seeds import Seed
from hostile.smashing import TEXTS, json_smashed, smashed
from ptformat.columns import Header
from ptformat.converters import plan, plan_json, rules, shapes
from ptformat.converters.content import MemorySource
from ptformat.converters.execute import content_of
from ptformat.tree import Alias, Entry, Node, TensorInfo

SHAPES = {
    "q.weight": (4, 6),
    "q.bias": (4,),
    "c.weight": (3, 2, 5),
    "c.bias": (3,),
    "n.weight": (3,),
    "n.bias": (3,),
    "n.running_mean": (3,),
    "n.running_var": (3,),
    "e.weight": (7, 6),
    "h.0.weight": (2, 2),
    "h.1.weight": (2, 2),
    "h.2.weight": (2, 2),
}
RUN_BYTES = 2**20  # what a plan makes is made, where it is no more than this


def source() -> MemorySource:
    """What plans are for."""
    rng = np.random.default_rng(0)
    arrays = {path: rng.standard_normal(shape).astype(np.float32) for path, shape in SHAPES.items()}
    entries: list[Entry] = [TensorInfo(path, "float32", shape, role="parameter") for path, shape in SHAPES.items()]
    nodes: list[Entry] = [
        Node("", "flat"),
        Node("q", "part", module="linear", class_="x.Linear", attrs={"a": [1, None]}),
    ]
    held = [*nodes, *entries, Alias("t.weight", "e.weight", (1, 0)), TensorInfo("n.num_batches_tracked", "int64", ())]
    arrays["n.num_batches_tracked"] = np.array(7)
    return MemorySource(
        [(entry, arrays.get(entry.path)) for entry in held], Header(convention="torch", metadata={"a": b"b"}), "held"
    )


def plan_seed() -> Seed:
    """A plan with operations of several kinds."""
    operations = "flip(0) | pad(0, 1, 2) | part(0, 1, 5) | scale(0.5) | add(1) | repeat(0, 2) | interleave(0, 2)"
    made = plan(source(), to="nnx", kinds=[("e", "embedding")], apply=[("q.*", operations)])
    return Seed({"x.plan.json": json.dumps(made.to_json()).encode()}, "x.plan.json")


def shapes_seed() -> Seed:
    """A list of a whole tree."""
    return Seed({"x.shapes.json": json.dumps(shapes.to_json(source())).encode()}, "x.shapes.json")


RULES = r"""
name = "mine"
drop = ["*.mask"]
fold = ["*.spectral"]
kind = [{ modules = "*.c_attn", is = "linear:in_out" }, { modules = "e", is = "embedding(num=7)" }]
rename = [{ match = 'encoder\.(\d+)', to = 'layers.\1' }, { match = "model" }]
missing = [{ tensors = "*/bias", policy = "0" }, { tensors = "*/kept", policy = "keep" }]
apply = [{ tensors = "q.weight", operations = "scale({f}) | flip(0)" }]
cast = [{ tensors = "*", dtype = "bfloat16" }]
stack = [{ list = "h", axis = 1, into = "b_{phase}", cycle = 2, rest = "left/{n}" }]
unstack = [{ path = "model.layers" }, { path = "experts", axis = 2 }]
facts = { f = 0.5, n = 2 }
kinds.twofold = { parameters = { up = "out in", gate = "out in" }, usual = { out = 4 } }
conventions.own = { like = "linen", separator = "/", facts = { eps = "epsilon" }, unsupported = { x = "y" } }
form = [{ convention = "own", kind = "twofold", slot = [{ name = "k", holds = "up gate", axes = "in (out *)" }] }]
dialect.plain = {}
dialect.scaled = { apply = [{ tensors = "*.q.weight", operations = "scale(8) | permute(1, 0)" }] }
"""
_VALUE = re.compile(r'"[^"\n]*"|\'[^\'\n]*\'|\b\d+(?:\.\d+)?\b|\[[^\[\]]*\]|\{[^{}]*\}|\b[a-z]+(?= =)')
_LITERALS = (
    *("-1", "0", "1", "9223372036854775807", "1e308", "inf", "nan", "true", "[]", "{}", "[[]]", "[{}]"),
    *('""', "1979-05-27"),
    *("[1, 'a']", "{ a = 1 }", "'{phase:999}'", "'{n.real}'", "'('", "'*'", "'(a|a)*'", "'scale(0)'"),
    "'permute(0, 0)'",
    *("'reshape(99999999999, 99999999999)'", "'part(0, 9, 1)'", "'linear(n=9e999)'", "'float12'", "'a b c d'"),
    *("[" * 60 + "]" * 60, "'" + "a." * 4000 + "'", "9" * 5000, "slot", "form", "kinds", "dialect"),
)


def rules_seed() -> Seed:
    """Rules with everything that there is."""
    return Seed({"x.rules.toml": RULES.encode()}, "x.rules.toml")


def rules_smashed(rng: Random, data: bytes) -> bytes:
    """A value or a key replaced, or bytes."""
    if rng.random() < 0.2:
        return smashed(rng, data)
    text = data.decode()
    for _ in range(rng.choice((1, 1, 2))):
        values = list(_VALUE.finditer(text))
        found = rng.choice(values)
        like = [other[0] for other in values if other[0][0] == found[0][0]]
        new = rng.choice((rng.choice(like), rng.choice(_LITERALS), json.dumps(rng.choice(TEXTS))))
        text = text[: found.start()] + new + text[found.end() :]
    return text.encode("utf-8", "surrogatepass")


def read(path: Path) -> None:
    """By its name."""
    if path.name.endswith(".rules.toml"):
        held = source()
        plan(held, to="nnx", rules=rules.load(path))
    elif path.name.endswith(".shapes.json"):
        shapes.to_json(shapes.read(path))
    else:
        held = source()
        made = content_of(plan_json.read(path, held), held, recorded=True)
        if made.nbytes <= RUN_BYTES:
            for entry in made.entries:
                if isinstance(entry, TensorInfo):
                    assert sum(memoryview(piece).nbytes for piece in made.pieces(entry)) == entry.nbytes


ATTACKS = {"plan": json_smashed, "shapes": json_smashed, "rules": rules_smashed}
SEEDS = {"plan": plan_seed, "shapes": shapes_seed, "rules": rules_seed}
ENDINGS = (".plan.json", ".shapes.json", ".rules.toml")
