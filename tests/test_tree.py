import copy

import craft
import numpy as np
import pytest

import ptformat
from ptformat import Alias, Branch, Leaf, Node, TensorInfo, Value
from ptformat.reader import Reader


def net():
    with craft.memory() as out:
        out.node("", "flat", class_="torch.nn.Sequential", module="sequential")
        out.node("0", "part", module="linear", class_="torch.nn.Linear", attrs={"bias": True})
        out.tensor("0.weight", np.arange(6.0).reshape(2, 3), axes=("out", "in"), role="parameter", trainable=False)
        out.tensor("0.bias", np.arange(2.0), role="parameter")
        out.node("1", "part", class_="torch.nn.ReLU")
        out.alias("2.weight", "0.weight", (1, 0), role="buffer")
        out.value("step", 3)
        out.tensor("grad.0.bias", np.ones(2), role="gradient")
    return Reader(out.getvalue())


def test_both_ways_in_and_attributes():
    file = net()
    tree = file.tree
    assert isinstance(tree, Branch)
    leaf = tree[0]["weight"]
    assert leaf is tree["0.weight"] is tree["0"].weight is tree["0"]["weight"]
    assert isinstance(leaf, Leaf)
    assert leaf.path == "0.weight"
    assert leaf.data is file["0.weight"]
    assert leaf.shape == (2, 3)
    assert np.array_equal(leaf, np.arange(6.0).reshape(2, 3))
    assert tree[2].weight.shape == (3, 2)
    assert (tree["step"].data, tree.path, tree[0].path) == (3, "", "0")


def test_children_in_order_of_first_appearance():
    tree = net().tree
    assert list(tree) == ["0", "1", "2", "step", "grad"]
    assert (len(tree), len(tree[1]), "1" in tree, "0.weight" in tree) == (5, 0, True, True)
    assert [("9" in tree), ("0.x" in tree), ("a..b" in tree), (None in tree)] == [False] * 4
    assert [name for name, _ in tree[0].items()] == ["weight", "bias"]
    assert [path for path, _ in tree.walk()] == ["0.weight", "0.bias", "2.weight", "step", "grad.0.bias"]
    assert [path for path, _ in tree[0].walk()] == ["0.weight", "0.bias"]


def test_what_the_file_says():
    file = net()
    tree = file.tree
    assert tree.node == Node("", "flat", None, "sequential", "torch.nn.Sequential")
    assert tree[0].node == Node("0", "part", None, "linear", "torch.nn.Linear", {"bias": True})
    assert (tree[1].node.class_, tree[2].node) == ("torch.nn.ReLU", None)
    assert file.info("0.weight") == TensorInfo("0.weight", "float64", (2, 3), ("out", "in"), "parameter", False)
    assert file.info("0.weight").nbytes == 48
    # axes and trainable are its target's, axes in its own order; the role is its own
    assert file.info("2.weight") == Alias("2.weight", "0.weight", (1, 0), ("in", "out"), "buffer", False)
    assert file.info("step") == Value("step", 3)
    assert file.info("1") == tree[1].node


def test_gradients():
    tree = net().tree
    assert tree["0.bias"].grad.tolist() == [1, 1]
    assert tree["0.weight"].grad is None
    assert tree["step"].grad is None


def test_a_root_that_is_a_leaf():
    root = Reader(ptformat.save(np.arange(3))).tree
    assert isinstance(root, Leaf)
    assert (root.path, root.data.tolist(), root.grad) == ("", [0, 1, 2], None)
    assert Reader(ptformat.save(None)).tree.data is None


def test_what_is_not_there():
    tree = net().tree
    for key in ("9", "0.x", "0.weight.x", 7):
        with pytest.raises(KeyError, match="beneath 'the root'"):
            tree[key]
    with pytest.raises(KeyError, match="no 'x' beneath '0'"):
        tree[0]["x"]
    with pytest.raises(AttributeError, match="no 'x' beneath '0'"):
        _ = tree[0].x


def test_wild_segments():
    tree = Reader(ptformat.save({"x.weight": 1, "x.weight.absmax": 2, "": 3})).tree
    assert tree["x"]["weight.absmax"].data == tree[r"x.weight\.absmax"].data == 2
    assert tree[""].data == 3
    assert [tree[key] for key in tree] == [child for _, child in tree.items()]


def test_reprs_and_copies():
    tree = net().tree
    assert repr(tree[0]) == "Branch('0', children=['weight', 'bias'])"
    assert repr(tree["step"]) == "Leaf(Value(path='step', value=3))"
    assert list(copy.copy(tree)) == list(tree)


def test_flat_and_namedtuple_nodes_are_branches():
    tree = Reader(ptformat.save({"a": {"b.c": 1}, "l": [[2]]})).tree
    assert tree["a.b.c"].data == tree.a.b.c.data == 1
    assert (tree.a.node.form, tree.l.node.form, tree.l[0][0].data) == ("flat", "list", 2)
