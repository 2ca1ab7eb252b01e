"""The tables of spec/conventions-1.0.md against those of the code."""

import importlib
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers.pytorch_utils
from flax import linen, nnx

import ptformat
from ptformat import paths
from ptformat.converters import plan
from ptformat.converters.conventions import (
    BY_RECORDED,
    CONVENTIONS,
    KINDS,
    LINEN,
    NNX,
    SPATIAL,
    TORCH,
    Convention,
    Form,
    Kind,
    Slot,
    parse,
    spelled,
)
from ptformat.converters.conventions.axes import SPATIAL_AXES
from ptformat.converters.layout import named_axes
from ptformat.converters.match import STYLES
from ptformat.flax.kinds import LINEN_KINDS, NNX_KINDS, recorded
from ptformat.torch.kinds import KINDS as TORCH_KINDS
from ptformat.torch.kinds import kind_of
from ptformat.tree import ROLES

TEXT = (Path(__file__).parents[2] / "spec" / "conventions-1.0.md").read_text("utf-8")
FLAT = " ".join(TEXT.split())
SECTIONS = [("3", TORCH), ("4", LINEN), ("5", NNX)]
Row = dict[str, str]


def tables(number: str) -> list[list[Row]]:
    """The tables of a section, its subsections aside."""
    found = re.search(rf"^##+ {re.escape(number)} .*?(?=^##+ \d|\Z)", TEXT, re.M | re.S)
    assert found, number
    result = []
    for block in re.findall(r"(?:^\|.*\n)+", found[0], re.M):
        lines = ([cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip())[1:-1]] for line in block.splitlines())
        head, _, *rows = lines
        result.append([dict(zip(head, row, strict=True)) for row in rows])
    return result


def table(number: str, *head: str) -> list[Row]:
    """The one table of a section with this head."""
    (found,) = (rows for rows in tables(number) if tuple(rows[0]) == head)
    return found


def quoted(text: str) -> str:
    """Text as code in a cell."""
    return f"`{text}`".replace("|", "\\|") if text else ""


def listed(names: Any) -> str:
    return ", ".join(names)


# The rows that each table of the text must have, made from the code


def neutral_rows() -> list[Row]:
    roles = {
        (kind, parameter): slot.role
        for table in reversed(CONVENTIONS.values())
        for kind, forms in table.forms.items()
        for form in forms
        for slot in form.slots
        for parameter in slot.holds
    }
    return [
        {"kind": kind, "parameter": parameter, "role": roles[kind, parameter], "axes": quoted(" ".join(axes))}
        for kind, neutral in KINDS.items()
        for parameter, axes in neutral.parameters.items()
    ]


def essential_rows() -> list[Row]:
    return [{"kind": name, "cannot be without": listed(kind.essential)} for name, kind in KINDS.items()]


def size_rows() -> list[Row]:
    usual = [(name, axis, size) for name, kind in KINDS.items() for axis, size in kind.usual.items()]
    same = [(name, *kind.same) for name, kind in KINDS.items() if kind.same]
    return [
        *({"kind": name, "size": axis, "is": f"{size}, unless something says otherwise"} for name, axis, size in usual),
        *({"kind": name, "size": other, "is": f"{axis}, always"} for name, axis, other in same),
    ]


def rare_rows() -> list[Row]:
    """Kinds that are not told from others by names and shapes."""

    def taken(kind: Kind) -> str:
        if kind.explicit:
            return "only if said"
        return "if said, or nothing else fits" if kind.declared or kind.rival else "by its names and shapes"

    return [
        {
            "kind": name,
            "taken": taken(kind),
            "says more than": kind.refines,
            "looks like": kind.rival,
            "kept as": kind.serves,
        }
        for name, kind in KINDS.items()
        if kind.declared or kind.rival or kind.refines or kind.serves
    ]


def attribute_rows() -> list[Row]:
    said: dict[str, tuple[dict[str, None], dict[str, None]]] = {}
    for torch_kind in TORCH_KINDS.values():
        said.setdefault(str(torch_kind.name), ({}, {}))[0].update(dict.fromkeys(torch_kind.attrs))
    for layer in LAYERS:
        flax_kind = (LINEN_KINDS.get(type(layer)) or NNX_KINDS[type(layer)])(layer)
        said.setdefault(str(flax_kind.name), ({}, {}))[1].update(dict.fromkeys(flax_kind.attrs))
    return [
        {"kind": kind, "torch": listed(said[kind][0]), "flax": listed(said[kind][1])}
        for kind in KINDS
        if kind in said and any(said[kind])
    ]


def fact_rows() -> list[Row]:
    return [
        {"convention": table.name, "attribute": attribute, "tells": fact}
        for table in CONVENTIONS.values()
        for attribute, fact in table.facts.items()
    ]


def slot_rows(table: Convention) -> list[Row]:
    return [
        {
            "kind": kind,
            "form": form.name,
            "leaf": quoted("/".join(filter(None, (slot.collection, slot.name)))),
            "holds": " ".join(f"+{one}" if one in slot.addends else one for one in slot.holds),
            "axes": quoted(slot.axes),
            "more": more(table, slot),
        }
        for kind, forms in table.forms.items()
        for form in forms
        for slot in form.slots
    ]


def more(table: Convention, slot: Slot) -> str:
    words = [f"{listed(map(quoted, slot.flip))} backwards"] if slot.flip else []
    if slot.fill is not None:
        words.append(f"else {slot.fill}, {slot.dtype}")
    if slot.scale:
        words.append("times {}/{}".format(*slot.scale))
    if table is NNX and slot.variable != "Param":
        words.append(slot.variable or "no Variable")
    return "; ".join(words)


def form_rows(table: Convention) -> list[Row]:
    return [
        {
            "kind": kind,
            "form": form.name,
            "classes": listed(name.removeprefix(table.namespace).removeprefix("modules.") for name in form.classes),
            "rule": rule(form),
        }
        for kind, forms in table.forms.items()
        for form in forms
    ]


def rule(form: Form) -> str:
    words = ["only if said"] if form.declared else []
    words += [f"where {fact} is {str(value).lower()}" for fact, value in form.when.items()]
    words += [f"{axis} is {listed(finer)}" for axis, finer in form.refine.items()]
    words += [f"{parameter} is zero" for parameter in form.zero]
    words += [f"read only: folded, rows on axis {form.fold[2]}"] if form.fold else []
    return "; ".join(words)


R = nnx.Rngs(0)
# One of each class of flax that has a kind.
LAYERS: list[Any] = [
    linen.Dense(1),
    linen.DenseGeneral(1),
    linen.Embed(1, 1),
    linen.Conv(1, 1),
    linen.ConvTranspose(1, 1),
    linen.LayerNorm(),
    linen.RMSNorm(),
    linen.GroupNorm(),
    linen.InstanceNorm(),
    linen.BatchNorm(),
    linen.PReLU(),
    linen.MultiHeadDotProductAttention(1),
    linen.MultiHeadAttention(1),
    linen.SelfAttention(1),
    linen.LSTMCell(1),
    linen.OptimizedLSTMCell(1),
    linen.GRUCell(1),
    linen.SimpleCell(1),
    nnx.Linear(1, 1, rngs=R),
    nnx.LinearGeneral(1, 1, rngs=R),
    nnx.Embed(1, 1, rngs=R),
    nnx.Conv(1, 1, 1, rngs=R),
    nnx.ConvTranspose(1, 1, 1, rngs=R),
    nnx.LayerNorm(1, rngs=R),
    nnx.RMSNorm(1, rngs=R),
    nnx.GroupNorm(1, 1, rngs=R),
    nnx.InstanceNorm(1, rngs=R),
    nnx.BatchNorm(1, rngs=R),
    nnx.PReLU(),
    nnx.PReLU(np.ones(2)),  # type: ignore[arg-type]
    nnx.MultiHeadAttention(1, 1, rngs=R),
    nnx.LSTMCell(1, 1, rngs=R),
    nnx.OptimizedLSTMCell(1, 1, rngs=R),
    nnx.GRUCell(1, 1, rngs=R),
    nnx.SimpleCell(1, 1, rngs=R),
    nnx.WeightNorm(nnx.Linear(1, 1, rngs=R), rngs=R),
    nnx.WeightNorm(nnx.Conv(1, 1, 1, rngs=R), rngs=R),
    nnx.WeightNorm(nnx.ConvTranspose(1, 1, 1, rngs=R), feature_axes=-2, rngs=R),
    nnx.LoRALinear(1, 1, lora_rank=1, rngs=R),
]


# The text


def test_neutral_kinds() -> None:
    assert table("1.1", "kind", "parameter", "role", "axes") == neutral_rows()
    assert {row["role"] for row in neutral_rows()} <= {*ROLES}


def test_essential_parameters() -> None:
    assert table("1.1", "kind", "cannot be without") == essential_rows()


def test_what_each_kind_computes_is_said() -> None:
    assert [row["kind"] for row in table("1.2", "kind", "what it does")] == [*KINDS]


def test_sizes_and_kinds_that_look_alike() -> None:
    assert table("1.3", "kind", "size", "is") == size_rows()
    assert table("1.3", "kind", "taken", "says more than", "looks like", "kept as") == rare_rows()
    others = {other for kind in KINDS.values() for other in (kind.rival, kind.refines, kind.serves)}
    assert others <= {*KINDS, ""}


def test_spatial_axes() -> None:
    assert "`x`, or `y x`, or `z y x`" in FLAT
    assert SPATIAL_AXES == {1: ("x",), 2: ("y", "x"), 3: ("z", "y", "x")}


def test_patterns_that_the_text_explains() -> None:
    examples = table("1.4", "pattern", "of", "shape")
    assert len(examples) > 8
    used = {slot.axes for table in CONVENTIONS.values() for _, _, slot in slots(table)}
    for row in examples:
        pattern = row["pattern"].strip("`").replace("\\|", "|")
        sizes = {name: int(size) for name, size in re.findall(r"(\w+) = (\d+)", row["of"])}
        assert pattern in used
        assert str(shape_of(pattern, sizes)) == row["shape"].strip("`")


def shape_of(pattern: str, sizes: dict[str, int]) -> list[int]:
    """The shape that section 1.4 gives a pattern, with as many parameters as `parameters` says."""
    shape = []
    for item in re.findall(r"\([^)]*\)|\S+", pattern):
        if item == "*1":
            shape += [1] * sizes["ones"]
            continue
        size, names = 1, item.strip("()").split()
        if item == SPATIAL:
            shape += [sizes[name] for name in ("z", "y", "x") if name in sizes]
            continue
        for name in names:
            size *= 1 if name == "1" else sizes["parameters" if name == "*" else name.split("|")[0]]
        shape.append(size)
    return shape


def slots(table: Convention) -> list[tuple[str, Form, Slot]]:
    return [(kind, form, slot) for kind, forms in table.forms.items() for form in forms for slot in form.slots]


def test_attributes() -> None:
    assert table("2", "kind", "torch", "flax") == attribute_rows()
    assert table("2", "convention", "attribute", "tells") == fact_rows()


@pytest.mark.parametrize(("number", "convention"), SECTIONS)
def test_a_frameworks_tables(number: str, convention: Convention) -> None:
    assert table(number, "kind", "form", "leaf", "holds", "axes", "more") == slot_rows(convention)
    assert table(number, "kind", "form", "classes", "rule") == form_rows(convention)
    assert f"## {number} {convention.name}\n" in TEXT
    assert f"The convention `{convention.name}`" in TEXT


def test_leaves_that_have_no_rule() -> None:
    rows = [(table, name) for _, table in SECTIONS for name in table.unsupported]
    assert {name for table, name in rows if table is TORCH} == {"weight_hr", "weight_mask"}
    for _, name in rows:
        assert f"`{name}" in TEXT


def test_slots_hold_neutral_parameters() -> None:
    roles = {(row["kind"], row["parameter"]): row["role"] for row in neutral_rows()}
    for convention in CONVENTIONS.values():
        for kind, form, slot in slots(convention):
            known = {*(one for axes in KINDS[kind].parameters.values() for one in axes), *sum(form.refine.values(), ())}
            names = {one for item in slot.dims for name in item for one in name.split("|")} - {"*", "*1"}
            assert names <= known or not slot.holds, (convention.name, kind, slot.name)
            assert {roles[kind, parameter] for parameter in slot.holds} <= {slot.role}
            assert slot.addends <= {*slot.holds}


def test_classes_exist_and_have_the_names_that_files_give_them() -> None:
    for convention in CONVENTIONS.values():
        for forms in convention.forms.values():
            for name in (name for form in forms for name in form.classes):
                module, _, last = name.rpartition(".")
                class_ = getattr(importlib.import_module(module), last)
                assert convention is NNX or f"{class_.__module__}.{class_.__qualname__}" == name


def kinds_of_classes(convention: Convention) -> dict[str, set[str]]:
    """Class, without its module -> kinds whose forms have it."""
    found: dict[str, set[str]] = {}
    for kind, forms in convention.forms.items():
        for name in (name for form in forms for name in form.classes):
            found.setdefault(name.rpartition(".")[2], set()).add(kind)
    return found


def test_classes_of_torch_that_are_recorded() -> None:
    stated = kinds_of_classes(TORCH)
    assert stated.pop(transformers.pytorch_utils.Conv1D.__name__) == {"linear"}
    kindless = {class_.__name__ for class_, kind in TORCH_KINDS.items() if kind.name is None}
    assert kindless == {"GELU"}
    assert {class_.__name__ for class_ in TORCH_KINDS} - kindless == {*stated}
    for class_, kind in TORCH_KINDS.items():
        if class_.__name__ in kindless:
            continue
        assert kind.name in stated[class_.__name__]


@pytest.mark.parametrize(("convention", "recorded_kinds"), [(LINEN, LINEN_KINDS), (NNX, NNX_KINDS)])
def test_classes_of_flax_that_are_recorded(convention: Convention, recorded_kinds: dict[Any, Any]) -> None:
    stated = kinds_of_classes(convention)
    layers = [layer for layer in LAYERS if type(layer) in recorded_kinds]
    assert {type(layer) for layer in layers} == {*recorded_kinds}
    for layer in layers:
        kind, name = recorded_kinds[type(layer)](layer).name, type(layer).__name__
        # DenseGeneral, LinearGeneral and WeightNorm are of a kind by what they hold.
        assert kind in stated.pop(name, {kind}), name
    assert not {*stated} - {type(layer).__name__ for layer in layers}


def agreed(convention: Convention, kind: str, leaves: dict[str, tuple[str, ...] | None], ranks: dict[str, int]) -> None:
    """Assert that a form of the kind has these leaves with these axes."""
    forms = [{slot.name: slot for slot in form.slots} for form in convention.forms[kind]]
    expected = [
        {name: named_axes(own[name], ranks[name]) or None for name in leaves} for own in forms if {*leaves} <= {*own}
    ]
    assert leaves in expected


TORCH_LAYERS: list[torch.nn.Module] = [
    torch.nn.Linear(2, 3),
    torch.nn.Embedding(2, 3),
    torch.nn.Conv1d(2, 3, 1),
    torch.nn.Conv3d(2, 3, 1),
    torch.nn.ConvTranspose2d(2, 3, 1),
    torch.nn.LayerNorm(2),
    torch.nn.RMSNorm(2),
    torch.nn.GroupNorm(1, 2),
    torch.nn.InstanceNorm2d(2, affine=True, track_running_stats=True),
    torch.nn.BatchNorm2d(2),
    torch.nn.PReLU(),
    torch.nn.PReLU(2),
    torch.nn.MultiheadAttention(4, 2, add_bias_kv=True),
    torch.nn.MultiheadAttention(4, 2, kdim=3, vdim=2),
    torch.nn.LSTMCell(2, 3),
    torch.nn.GRUCell(2, 3),
    torch.nn.RNNCell(2, 3),
    torch.nn.utils.parametrizations.weight_norm(torch.nn.Conv2d(2, 3, 1)),
    torch.nn.utils.parametrizations.weight_norm(torch.nn.ConvTranspose2d(2, 3, 1)),
    torch.nn.utils.parametrizations.spectral_norm(torch.nn.Conv2d(2, 3, 1)),
    torch.nn.utils.spectral_norm(torch.nn.ConvTranspose1d(2, 3, 1)),  # type: ignore[no-untyped-call]
]


@pytest.mark.parametrize("layer", TORCH_LAYERS, ids=lambda layer: type(layer).__name__)
def test_axes_that_modules_of_torch_are_saved_with(layer: torch.nn.Module) -> None:
    kind = kind_of(layer)
    assert kind and kind.name
    held = {name: tensor.ndim for name, tensor in [*layer.named_parameters(), *layer.named_buffers()]}
    assert held.keys() <= kind.axes.keys()
    agreed(TORCH, kind.name, {name: kind.axes[name] for name in held}, held)


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: f"{type(layer).__module__}.{type(layer).__name__}")
def test_axes_that_modules_of_flax_are_saved_with(layer: Any) -> None:
    convention, kinds = (LINEN, LINEN_KINDS) if isinstance(layer, linen.Module) else (NNX, NNX_KINDS)
    kind = kinds[type(layer)](layer)
    assert kind.name
    ranks = {name: len(axes) for name, axes in kind.axes.items()}
    agreed(convention, kind.name, {name: recorded(axes) for name, axes in kind.axes.items()}, ranks)


def test_names_of_conventions() -> None:
    names = {"torch": "torch", "linen": "flax.linen", "nnx": "flax.nnx"}
    assert {name: table.name for name, table in CONVENTIONS.items()} == names
    assert {name: table.name for name, table in BY_RECORDED.items()} == {name: name for name in names.values()}


def test_examples_of_names(tmp_path: Path) -> None:
    """The table of section 6.1, planned."""
    rows = table("6.1", "torch", "linen")
    assert len(rows) == 4
    for row in rows:
        name, linen = re.findall("`(.*?)`", row["torch"])[0], row["linen"].strip("`")
        sequential = re.search("`, `?(\\w+)`? a Sequential", row["torch"])
        collection, *segments = linen.split("/")
        module = name.split(".")[:-1]
        with ptformat.Writer(tmp_path / "x.ptf", convention="torch") as out:
            out.node("", "flat")
            if sequential:
                out.node(sequential[1], "part", class_="torch.nn.modules.container.Sequential")
            rank = 1 if name.endswith("running_mean") else 2
            out.tensor(name, np.zeros((2,) * rank, np.float32))
            if rank == 1:
                out.tensor(paths.render([*module, "running_var"]), np.zeros(2, np.float32))
        targets = [step.shown_target for step in plan(tmp_path / "x.ptf", to="linen").steps.values()]
        assert "/".join([collection, *segments]) in targets


def test_styles_stand_in_the_text() -> None:
    for style in STYLES:
        assert f"Style `{style}`" in TEXT


def test_spelled() -> None:
    def names(pattern: str, rank: int) -> tuple[tuple[str, ...], ...] | None:
        return spelled(parse(pattern), rank, {})

    assert names("out in", 2) == (("out",), ("in",))
    assert names("out in", 3) is None
    assert names("out in *spatial", 3) == (("out",), ("in",), ("x",))
    assert names("*spatial (groups in) out", 5) == (("z",), ("y",), ("x",), ("groups", "in"), ("out",))
    assert names("out *1", 3) == (("out",), (), ())
    for rank in (0, 1, 2, 6):
        assert names("*spatial in out", rank) is None
