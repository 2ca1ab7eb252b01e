"""Every layer's rule in numbers: torch, linen and nnx give the same outputs, and what comes back are the same bits."""

import functools
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rows import (
    Row,
    attention,
    close,
    conv,
    dense,
    drawn,
    drawn_state,
    equal_bits,
    flax_net,
    flax_out,
    leaves,
    linen_shapes,
    nnx_net,
    norm,
    normed,
    recurrent,
    saved,
    template_of,
    torch_net,
    torch_out,
    weights,
)

import ptformat.flax
import ptformat.torch
from ptformat.converters import ConversionError, convert, flax_to_torch, plan, torch_to_flax
from ptformat.converters.objects import source_of

ROWS: dict[str, Row] = {
    **dense.ROWS,
    **conv.ROWS,
    **norm.ROWS,
    **attention.ROWS,
    **recurrent.ROWS,
    **normed.ROWS,
}
CASES = [(name, to) for to in ("linen", "nnx") for name, row in ROWS.items() if getattr(row, to)]


@functools.cache
def template(name: str, to: str) -> Any:
    return source_of(template_of(ROWS[name], to))


@functools.cache
def converted(name: str, to: str) -> tuple[torch.nn.Module, Any, Any]:
    """(torch's layer, its output, what it becomes by the template of flax's)."""
    row = ROWS[name]
    net = torch_net(row)
    return net, torch_out(row, net), torch_to_flax(net, template=template(name, to), **row.options)


@functools.cache
def own(name: str, to: str) -> Any:
    """Random leaves as flax's layer has them."""
    return drawn(linen_shapes(ROWS[name])) if to == "linen" else drawn_state(ROWS[name])


def back(row: Row, to: str, tree: Any, net: torch.nn.Module) -> dict[str, torch.Tensor]:
    return flax_to_torch(flax_net(row, to, tree), template=net, **row.options)


def check_same_function(row: Row, found: dict[str, torch.Tensor], net: torch.nn.Module) -> None:
    """Biases were summed: they stand in the first, and the second is 0 but for a GRU's new gate."""
    other = torch_net(row, 9)
    other.load_state_dict(found)
    close(row, torch_out(row, other), torch_out(row, net))
    for key, tensor in net.state_dict().items():
        if "bias_hh" in key:
            kept = tensor.clone()
            kept[: -(tensor.numel() // 3) if "GRU" in type(net.m).__name__ else None] = 0
            assert torch.equal(found[key], kept), key
        elif "bias_ih" not in key:
            assert torch.equal(found[key], tensor), key


def check_equal(found: Any, expected: Any) -> None:
    """Every leaf of a tree has the same bits."""
    one, other = leaves(found), leaves(expected)
    assert one.keys() == other.keys()
    for path, leaf in other.items():
        assert (one[path].dtype, one[path].tobytes()) == (leaf.dtype, leaf.tobytes()), path


@pytest.mark.parametrize(("name", "to"), CASES)
def test_by_template_and_back(name: str, to: str) -> None:
    row = ROWS[name]
    net, expected, tree = converted(name, to)
    close(row, flax_out(row, to, tree), expected)
    found = back(row, to, tree, net)
    if row.back == "bit":
        equal_bits(found, net.state_dict())
    else:
        check_same_function(row, found, net)


@pytest.mark.parametrize(("name", "to"), [case for case in CASES if case[1] in ROWS[case[0]].styled])
def test_by_style(name: str, to: str, tmp_path: Path) -> None:
    row = ROWS[name]
    net, expected, _ = converted(name, to)
    ptformat.torch.save_model(net, tmp_path / "a.ptf")
    convert(tmp_path / "a.ptf", tmp_path / "b.ptf", to=to, strict=True, durable=False, **row.options)
    if to == "linen":
        tree = ptformat.flax.load_file(tmp_path / "b.ptf")
    else:
        tree = weights(ptformat.flax.load_model(nnx_net(row), tmp_path / "b.ptf", rng_state="keep"))
    close(row, flax_out(row, to, tree), expected)


@pytest.mark.parametrize("name", ROWS)
def test_a_bare_state_dict_with_what_a_user_says(name: str) -> None:
    """Without classes, kinds that names and shapes leave open are said, and nothing is a guess then."""
    row = ROWS[name]
    to = "linen" if row.linen else "nnx"
    net = converted(name, to)[0]
    options = {**row.options, "kinds": (*row.kinds, *row.options.get("kinds", ()))}
    found = torch_to_flax(dict(net.state_dict()), to=to, strict=True, **options)
    check_equal(found, torch_to_flax(net, to=to, **row.options))


@pytest.mark.parametrize(("name", "to"), [case for case in CASES if ROWS[case[0]].own])
def test_from_flax_to_torch_and_back(name: str, to: str) -> None:
    """Whatever flax's own leaves are."""
    row, tree = ROWS[name], own(name, to)
    net = torch_net(row)
    before = torch_out(row, net)
    net.load_state_dict(back(row, to, tree, net), strict=True)
    found = torch_out(row, net)
    close(row, found, flax_out(row, to, tree))
    assert np.abs(found - before).max() > 1e-3
    check_equal(torch_to_flax(net, template=template(name, to), **row.options), tree)


@pytest.mark.parametrize(("name", "to"), [case for case in CASES if not ROWS[case[0]].own])
def test_what_torch_cannot_have_is_refused(name: str, to: str) -> None:
    """A dense kernel is none of a layer in groups."""
    row = ROWS[name]
    with pytest.raises(ConversionError) as caught:
        back(row, to, own(name, to), torch_net(row))
    assert {problem.kind for problem in caught.value.problems} == {"lossy"}
    assert "only the blocks on the diagonal, must be 0, but" in str(caught.value)


@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if row.linen and row.nnx])
def test_between_linen_and_nnx(name: str, tmp_path: Path) -> None:
    row, tree = ROWS[name], own(name, "linen")
    source = saved(row, "linen", tree, tmp_path / "linen.ptf")
    options = {"strict": True, "durable": False}
    convert(source, tmp_path / "nnx.ptf", to="nnx", template=template(name, "nnx"), **options)
    net = ptformat.flax.load_model(nnx_net(row), tmp_path / "nnx.ptf", rng_state="keep")
    close(row, flax_out(row, "nnx", weights(net)), flax_out(row, "linen", tree))
    source = saved(row, "nnx", weights(net), tmp_path / "nnx.ptf")
    convert(source, tmp_path / "back.ptf", to="linen", template=template(name, "linen"), **options)
    check_equal(ptformat.flax.load_file(tmp_path / "back.ptf"), tree)


@pytest.mark.parametrize(("name", "to"), CASES)
def test_a_live_module_leaves_nothing_to_guess(name: str, to: str) -> None:
    row = ROWS[name]
    with closing(source_of(converted(name, to)[0])) as held:
        made = plan(held, to=to, template=template(name, to), strict=True, **row.options)
    assert made.guesses == []
    exact = {step.exactness for step in made.steps.values()}
    wanted = {"bit"} if row.back == "bit" else {"bit", "function"}
    assert exact == ({"bit", "rounded"} if name == "LoRA" else wanted)


@pytest.mark.parametrize(("name", "to"), CASES)
def test_every_leaf_counts(name: str, to: str) -> None:
    """A leaf of torch's changed, and the converted layer's output changes; a key bias changes its leaf alone."""
    row = ROWS[name]
    net, _, before = converted(name, to)
    expected = flax_out(row, to, before)
    for key, tensor in net.state_dict().items():
        if not tensor.is_floating_point():
            continue
        kept = tensor.clone()
        made = torch.rand(tensor.shape, generator=torch.Generator().manual_seed(1))
        with torch.no_grad():
            tensor.add_((made + 0.5).to(tensor.dtype))
        after = torch_to_flax(net, template=template(name, to), **row.options)
        with torch.no_grad():
            tensor.copy_(kept)
        assert any(leaf.tobytes() != leaves(before)[path].tobytes() for path, leaf in leaves(after).items()), key
        assert np.abs(flax_out(row, to, after) - expected).max() > 1e-5, key
