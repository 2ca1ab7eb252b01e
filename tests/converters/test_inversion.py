"""The way back: every bit of every source again, whatever was done, and what has no way back said."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from sources import same
from trees import ALL, MORE, ONE_TO_ONE, Tree, trees
from trees import given as source

from ptformat.converters import operations as o
from ptformat.converters.evaluate import whole
from ptformat.converters.inversion import inverse

MANY = settings(max_examples=150, deadline=None)


def check(targets: dict[str, o.Operation], arrays: dict[str, Any]) -> None:
    """There and back, every source bit for bit."""
    made = {path: whole(op, lambda one: arrays[one.path]) for path, op in targets.items()}
    back = inverse(targets)
    assert list(back) == list(dict.fromkeys(one.path for op in targets.values() for one in o.sources(op)))
    for path, op in back.items():
        assert {one.path for one in o.sources(op)} <= set(targets)
        assert same(whole(op, lambda one: made[one.path]), arrays[path]), path


@given(st.data(), st.sampled_from([True, False]))
@MANY
def test_one_to_one_trees_have_a_way_back(data: st.DataObject, spelled: bool) -> None:
    arrays: dict[str, Any] = {}
    found = [data.draw(trees(arrays, kinds=(*ONE_TO_ONE, *MORE))) for _ in range(data.draw(st.integers(1, 2)))]
    check({f"t{at}": tree.raw if spelled else tree.op for at, tree in enumerate(found)}, arrays)


@given(st.data())
@MANY
def test_parts_spread_over_targets_are_joined_again(data: st.DataObject) -> None:
    arrays: dict[str, Any] = {}
    tree = data.draw(trees(arrays, kinds=ONE_TO_ONE, size=3))
    targets = {}
    left = [tree]
    for _ in range(data.draw(st.integers(1, 3))):
        tree = left.pop(data.draw(st.integers(0, len(left) - 1)))
        if not tree.op.shape:
            left.append(tree)
            continue
        axis = data.draw(st.integers(0, len(tree.op.shape) - 1))
        n = tree.op.shape[axis]
        if data.draw(st.booleans()) and n > 0:
            left += [Tree(o.index(tree.op, axis, at), None, tree.value.take(at, axis)) for at in range(n)]
        else:
            at = data.draw(st.integers(0, n))
            for ends in ((0, at), (at, n)):
                value = tree.value[(*[slice(None)] * axis, slice(*ends))]
                left.append(Tree(o.part(tree.op, axis, *ends), None, value))
    for at, tree in enumerate(left):
        raw = Tree(tree.op, tree.op, tree.value)
        grown = data.draw(trees(arrays, kinds=(*ONE_TO_ONE, *MORE), size=2, leaf=raw))
        targets[f"t{at}"] = grown.op
    check(targets, arrays)


@given(st.data())
@MANY
def test_any_tree_has_a_way_back_or_says_why_not(data: st.DataObject) -> None:
    arrays: dict[str, Any] = {}
    source(arrays, (2,), "uint16")
    found = [data.draw(trees(arrays, kinds=ALL)) for _ in range(data.draw(st.integers(1, 3)))]
    targets = {f"t{at}": tree.op for at, tree in enumerate(found)}
    try:
        check(targets, arrays)
    except ValueError as error:
        head, *lines = str(error).split("\n")
        assert head == "there is no way back"
        assert lines
        assert all(line.startswith("  s") and ("is in no target" in line or "scattered" in line) for line in lines)
