"""docs/kinds.md: every kind of module, made from the tables in the code and from measurements.

    python tests/kinds_table.py          writes docs/kinds.md

What is structure comes from the conventions, the class of a conversion from the exactness of the steps of plans and of
their inverses, and the difference from running every row of tests/rows on both sides.
"""

import contextlib
import importlib
import math
import pkgutil
from pathlib import Path

import numpy as np
import rows
import torch
from rows import Row, flax_out, template_of, torch_net, torch_out

from ptformat.converters import ConversionError, plan, source_of, torch_to_flax
from ptformat.converters.conventions import CONVENTIONS, KINDS
from ptformat.converters.operations import EXACTNESS

PAGE = Path(__file__).parent.parent / "docs" / "kinds.md"
SIDES = ("linen", "nnx")
HEADING = ("kind", "torch", "linen", "nnx", "to linen", "to nnx", "apart")
STEPS = (1, 2, 5)  # of the bounds: 1e-06, 2e-06, 5e-06, 1e-05, …
NONE = "–"
EXTRA = {  # kinds of which no layer of both frameworks can be run: torch's tensors, and what is said of them
    "layer_norm_axes": ({"weight": (3, 4), "bias": (3, 4)}, "layer_norm_axes"),
    "embedding_bag": ({"weight": (7, 4)}, "embedding_bag"),
    "bilinear": ({"weight": (5, 3, 4), "bias": (5,)}, "bilinear"),
}
HEAD = """# Kinds of modules

Written by `make kinds` from the tables in the code and from measurements; a test holds it to both.

A **kind** is what a module is, whatever the framework. In the columns of the frameworks stand the classes that are
recognised, or the names of the tensors where the kind has no class of its own. A word after a colon is a **form**:
another way to keep the same kind, which is asked for as in `attention:qkv(heads=12)`; without a class it is only taken
when asked for. [The specification](../spec/conventions-1.0.md) has the parameters of each kind and their axes.

| class | what the conversion does |
|---|---|
| bit | moves elements; every bit comes back |
| function | the same function of other tensors, such as two biases that are one; the function comes back |
| rounded | multiplies or adds in the tensor's own type, there or back |
| one way | cannot be undone |
| only if | the class holds where certain elements are 0; else nothing is written |
| – | no counterpart: one error that names the module |

**apart** is the largest absolute difference between the outputs of the two frameworks' layers on random weights and
inputs, in float32, over all cases that are run (sizes, groups, layers, directions, with and without bias).

"""
TAIL = """
A spectral norm is folded into the weight when asked for (`fold`); that is one way. What has no rule at all, such as a
quantised layer, is an error with the module's name. A kind is said like this:

```python
import torch
from ptformat.converters import torch_to_flax

state = {"net.attn.qkv.weight": torch.zeros(24, 8), "net.attn.qkv.bias": torch.zeros(24)}
state |= {"net.attn.proj.weight": torch.zeros(8, 8), "net.attn.proj.bias": torch.zeros(8)}
variables = torch_to_flax(state, kinds=[("*.attn", "attention:qkv(heads=2)")])
assert variables["params"]["net"]["attn"]["query"]["kernel"].shape == (8, 2, 4)
```
"""


def all_rows() -> dict[str, Row]:
    """Name -> every layer of tests/rows."""
    found: dict[str, Row] = {}
    for module in pkgutil.iter_modules(rows.__path__):
        found |= getattr(importlib.import_module(f"rows.{module.name}"), "ROWS", {})
    return found


def graded(source, to, options) -> str:
    """The class of a conversion: by its steps, and by those of the way back."""
    try:
        made = plan(source, to=to, **options)
    except ConversionError:
        return NONE
    if any(step.exactness == "lossy" for step in made.steps.values()):
        return "one way"
    try:
        back = made.inverse()
    except ConversionError:
        return "one way"
    steps = [step.exactness for one in (made, back) for step in one.steps.values()]
    worst = max(steps, key=EXACTNESS.index)
    return f"{worst}, only if" if made.conditions else worst


def stated(source, options) -> list[str]:
    """The kinds that a plan speaks of."""
    for to in SIDES:
        with contextlib.suppress(ConversionError):
            steps = plan(source, to=to, **options).steps.values()
            return list(dict.fromkeys(word for step in steps if (word := step.evidence.split(":")[0]) in KINDS))
    return []


def cases() -> dict[str, list[tuple[str, Row]]]:
    """Kind -> the rows with it: those with nothing else, or all where there are none."""
    alone: dict[str, list[tuple[str, Row]]] = {}
    among: dict[str, list[tuple[str, Row]]] = {}
    for name, row in all_rows().items():
        with contextlib.closing(source_of(torch_net(row))) as source:
            kinds = stated(source, row.options)
        for kind in kinds:
            (alone if len(kinds) == 1 else among).setdefault(kind, []).append((name, row))
    return {kind: alone.get(kind) or among.get(kind, []) for kind in KINDS}


def classes(kind, found) -> list[str]:
    """The class of the conversion of a kind to linen and to nnx."""
    if kind in EXTRA:
        shapes, said = EXTRA[kind]
        state = {f"m.{name}": torch.zeros(shape) for name, shape in shapes.items()}
        nets = [(state, {"kinds": [("m", said)]})]
    else:
        nets = [(torch_net(row), dict(row.options)) for _, row in found]
    result = []
    for to in SIDES:
        grades = []
        for net, options in nets:
            with contextlib.closing(source_of(net)) as source:
                grades.append(graded(source, to, options))
        known = [grade for grade in grades if grade != NONE]
        order = sorted(set(known), key=lambda grade: [*EXACTNESS, "one way"].index(grade.split(",")[0]))
        result.append(order[-1] if order else NONE)
    return result


def written(convention, kind) -> str:
    """How a framework keeps a kind: classes and forms, or names of tensors."""
    parts = []
    for form in CONVENTIONS[convention].forms.get(kind, ()):
        names = list(dict.fromkeys(name.rpartition(".")[2] for name in form.classes))
        shown = [f"`{name}`" for name in names]
        if form.name:
            parts.append(" ".join([f"`:{form.name}`", *shown]))
        else:
            parts.append(", ".join(shown or [f"`{slot.name}`" for slot in form.slots]))
    return "; ".join(dict.fromkeys(parts)) or NONE


def measured(row, to) -> float:
    """The largest difference between the outputs of torch's layer and of flax's."""
    net = torch_net(row)
    with contextlib.closing(source_of(template_of(row, to))) as template:
        tree = torch_to_flax(net, template=template, **row.options)
    return float(np.abs(flax_out(row, to, tree) - torch_out(row, net)).max())


def bound(number: float) -> str:
    """The next round number above twice what was measured, since other machines round otherwise."""
    if not number:
        return "0"
    power = math.floor(math.log10(2 * number))
    round_ones = (step * 10.0 ** (power + more) for more in (0, 1) for step in STEPS)
    return f"≤ {next(one for one in round_ones if one >= 2 * number):.0e}"


def structure() -> dict[str, list[str]]:
    """Kind -> the cells of its row but for the last."""
    found = cases()
    return {
        kind: [f"`{kind}`", *(written(name, kind) for name in ("torch", *SIDES)), *classes(kind, found[kind])]
        for kind in KINDS
    }


def page() -> str:
    """The whole page, everything measured."""
    found = cases()
    lines = ["| " + " | ".join(HEADING) + " |", "|" + "---|" * len(HEADING)]
    for kind, cells in structure().items():
        runs = [measured(row, to) for _, row in found[kind] for to in SIDES if getattr(row, to)]
        lines.append("| " + " | ".join([*cells, bound(max(runs)) if runs else "not run"]) + " |")
    return HEAD + "\n".join(lines) + "\n" + TAIL


def table(text: str) -> dict[str, list[str]]:
    """Kind -> the cells of its row in a page."""
    lines = [line for line in text.split("\n") if line.startswith("| `")]
    rows_of = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {cells[0].strip("`"): cells for cells in rows_of if len(cells) == len(HEADING)}


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
