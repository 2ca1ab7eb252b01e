import tracemalloc

import craft
import numpy as np
import pytest
from craft import column, sparse, tree_file

import ptformat
from ptformat import index
from ptformat.errors import FormatError

DATA = craft.sample()  # a: tensor (2, 3), b: tensor (5,), c: alias of a with perm, v: value, l: list, l.0: value
CLASS = {"class_": sparse([0], [0], ["nn.Module"])}
CLASS_1 = {"class_": sparse([1], [0], ["nn.Module"])}


def refused(data, code, message):
    for by in (ptformat.load, ptformat.verify):
        with pytest.raises(FormatError) as caught:
            by(data)
        assert (caught.value.code, message in caught.value.message) == (code, True), caught.value


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"attrs": sparse([0], [0], [{}])}, "attrs of tensor 'a' (entry 0): {}, expected a map, not empty"),
        ({"attrs": sparse([4], [0], [1])}, "attrs of node 'l' (entry 4): 1, expected a map"),
        ({"axes": sparse([0], [0], [[]])}, "axes of tensor 'a' (entry 0): [], expected a list of names, not empty"),
        ({"axes": sparse([0], [0], [["a", ""]])}, "axes of tensor 'a' (entry 0)"),
        ({"axes": sparse([0], [0], [["a", 1]])}, "axes of tensor 'a' (entry 0)"),
        ({"axes": sparse([0], [0], [["a"]])}, "axes of tensor 'a' (entry 0): 1 names for rank 2"),
        ({"axes": sparse([2], [0], [["a"]])}, "axes of alias 'c' (entry 2): 1 names for rank 2"),
        ({"class_": sparse([1], [0], [""])}, "class of tensor 'b' (entry 1): '', expected a string, not empty"),
        ({"module": sparse([4], [0], [None])}, "module of node 'l' (entry 4): None, expected a string"),
        ({"role": sparse([1], [0], [1])}, "role of tensor 'b' (entry 1): 1, expected a string"),
        ({"trainable": sparse([1], [0], [1])}, "trainable of tensor 'b' (entry 1): 1, expected true or false"),
        ({"perm": sparse([2], [0], [{}])}, "perm of alias 'c' (entry 2): {}, expected a list of axes"),
        ({"perm": sparse([2], [0], [[True, 0]])}, "perm of alias 'c' (entry 2): [True, 0]"),
        ({"keys": sparse([4], [0], [[]])}, "keys of node 'l' (entry 4): expected a list of null, bool"),
        ({"keys": sparse([4], [0], [[{}]])}, "keys of node 'l' (entry 4): expected a list of null, bool"),
        ({"keys": sparse([4], [0], [[[1, {}]]])}, "keys of node 'l' (entry 4): expected a list of null, bool"),
        ({"keys": sparse([4], [0], [[1]])}, "node 'l' (entry 4) lists keys but its form is list"),
        ({"form": b"\5"}, "node 'l' (entry 4) is of form keys but lists none"),
    ],
)
def test_values_of_sparse_columns(changes, message):
    refused(craft.edit(DATA, **changes), "SCHEMA", message)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"alias": column("u4", 2)}, "alias 'c' (entry 2) points at entry 2, which does not stand earlier"),
        ({"alias": column("u4", 5)}, "alias 'c' (entry 2) points at entry 5, which does not stand earlier"),
        ({"alias": column("u4", 2**32 - 1)}, "points at entry 4294967295, which does not stand earlier"),
        (
            {"type": bytes([0, 0, 2, 2, 3, 1]), "alias": column("u4", 3), "perm": sparse([5], [0], [[1, 0]])},
            "no tensor",
        ),
        ({"perm": sparse([2], [0], [[0, 0]])}, "perm [0, 0] is no permutation of 2 axes"),
        ({"perm": sparse([2], [0], [[1]])}, "perm [1] is no permutation of 2 axes"),
        ({"perm": sparse([2], [0], [[2, 1]])}, "perm [2, 1] is no permutation of 2 axes"),
        ({"perm": sparse([2], [0], [[1, 2**64 - 1]])}, "is no permutation of 2 axes"),
        ({"perm": sparse([2], [0], [[-1, 0]])}, "perm [-1, 0] is no permutation of 2 axes"),
        ({"perm": sparse([2], [0], [[0, 1]])}, "perm [0, 1] is the identity, which is not written"),
    ],
)
def test_aliases(changes, message):
    refused(craft.edit(DATA, **changes), "ALIAS", message)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"role": sparse([0, 2], [0, 0], ["parameter"])}, "alias 'c' (entry 2): role 'parameter' is its target's"),
        ({"trainable": sparse([0, 2], [0, 0], [True])}, "alias 'c' (entry 2): trainable True is its target's"),
        ({"axes": sparse([0, 2], [0, 1], [["out", "in"], ["in", "out"]])}, "axes ['in', 'out'] is its target's"),
    ],
)
def test_an_alias_does_not_repeat_its_target(changes, message):
    refused(craft.edit(DATA, **changes), "NONCANONICAL", message)


def test_an_alias_may_differ_from_its_target():
    data = craft.edit(
        DATA,
        role=sparse([0, 2], [0, 1], ["parameter", "buffer"]),
        axes=sparse([0, 2], [0, 0], [["out", "in"]]),
        trainable=sparse([0, 2], [0, 1], [True, False]),
    )
    alias = ptformat.reader.Reader(data).info("c")
    assert (alias.role, alias.axes, alias.trainable) == ("buffer", ("out", "in"), False)


# Entries of a file without tensors, its sparse columns -> code and message, None for a sound file.
TREES = [
    ([("", "value")], {}, None, ""),
    ([("", "map")], {}, None, ""),
    ([], {}, "TREE", "no entry; an empty tree is one map node at the root"),
    ([("a", "value"), ("a.b", "value")], {}, "TREE", "value 'a' (entry 0) has entries beneath it, such as 'a.b'"),
    ([("a.b.c", "value"), ("a", "value")], {}, "TREE", "value 'a' (entry 1) has entries beneath it, such as 'a.b.c'"),
    ([("", "value"), ("a", "value")], {}, "TREE", "value '' (entry 0) has entries beneath it"),
    ([("a.0", "value"), ("a", "list")], {}, "TREE", "node 'a' (entry 1) stands after 'a.0', which is beneath it"),
    ([("a.0", "value"), ("", "map")], CLASS, "SCHEMA", "sparse column 'class' belongs to tensor and node"),
    ([("a.0", "value"), ("", "list")], {}, "TREE", "node '' (entry 1) stands after 'a.0'"),
    # map: only where it says something
    ([("", "map"), ("a", "value")], {}, "NONCANONICAL", "node '' (entry 0): a map node that says nothing"),
    ([("", "map"), ("a", "value")], CLASS, None, ""),
    ([("a", "map"), ("b", "value")], {}, None, ""),
    ([("", "flat"), ("a", "map"), ("a.b", "value")], {}, None, ""),
    (
        [("", "flat"), ("a", "map"), ("a.b.c", "map"), ("a.b.c.d", "value")],
        {},
        "NONCANONICAL",
        "node 'a.b.c' (entry 2): a map node that says nothing",
    ),
    # part: beneath flat, and it says something
    ([("", "part")], {}, "TREE", "is a part, but the container around it is none, not flat"),
    ([("a", "part"), ("a.b", "value")], {}, "TREE", "is a part, but the container around it is map, not flat"),
    ([("", "flat"), ("l", "list"), ("l.0", "part")], {}, "TREE", "the container around it is list, not flat"),
    ([("", "flat"), ("m", "map"), ("m.x.p", "part")], {}, "TREE", "the container around it is map, not flat"),
    ([("", "flat"), ("a", "part"), ("a.b", "value")], {}, "NONCANONICAL", "node 'a' (entry 1): a part that says"),
    ([("", "flat"), ("a", "part"), ("a.b", "part")], {"class_": sparse([1, 2], [0, 0], ["M"])}, None, ""),
    # list and tuple: 0, 1, 2, … in order
    ([("", "list")], {}, None, ""),
    ([("", "list"), ("0", "value"), ("1", "value")], {}, None, ""),
    ([("", "list"), ("1", "value"), ("0", "value")], {}, "TREE", "is a list with children ['1', '0'], expected 0, 1"),
    ([("", "tuple"), ("1", "value")], {}, "TREE", "node '' (entry 0) is a tuple with children ['1']"),
    ([("a", "list"), ("a.00", "value")], {}, "TREE", "is a list with children ['00']"),
    ([("a", "list"), ("a.0.x", "value"), ("b", "value"), ("a.1", "value"), ("a.0.y", "value")], {}, None, ""),
    ([("", "namedtuple"), ("mu", "value"), ("nu", "value")], {}, None, ""),
    # keys
    ([("", "keys"), ("a", "value")], {}, "SCHEMA", "node '' (entry 0) is of form keys but lists none"),
    ([("", "keys")], {"keys": sparse([0], [0], [[1]])}, "TREE", "node '' (entry 0) lists 1 keys for 0 children"),
    ([("", "keys"), ("a", "value")], {"keys": sparse([0], [0], [[1, 2]])}, "TREE", "lists 2 keys for 1 children"),
    ([("", "keys"), ("a", "value"), ("b", "value")], {"keys": sparse([0], [0], [[1, 1]])}, "TREE", "lists a key twice"),
    ([("", "keys"), ("a", "value"), ("b", "value")], {"keys": sparse([0], [0], [[1, 1.0]])}, None, ""),
    ([("", "keys"), ("a", "value")], {"keys": sparse([0], [0], [["a"]])}, "NONCANONICAL", "keys that are all strings"),
    ([("", "keys")], {}, "SCHEMA", "node '' (entry 0) is of form keys but lists none"),
    ([("", "keys"), ("a", "value")], {"keys": sparse([0], [0], [[[]]])}, None, ""),
    ([("", "keys"), (r"1\.5", "value")], {"keys": sparse([0], [0], [[1.5]])}, None, ""),
    # flat: one key, one value
    ([("", "flat"), ("a.b", "value"), (r"a\.b", "value")], {}, "TREE", r"flat key 'a.b' of '', as is 'a.b'"),
    ([("m", "flat"), ("m.a.b", "list"), (r"m.a\.b", "value")], {}, "TREE", "is flat key 'a.b' of 'm', as is 'm.a.b'"),
    ([("", "flat"), ("a", "map"), ("a.b", "value"), (r"a\.b", "value")], {}, None, ""),
    ([("", "flat"), (r"a\.b", "value")], {}, "NONCANONICAL", "(entry 1): flat key 'a.b' is written 'a.b'"),
    ([("m", "flat"), ("m.a", "value"), (r"m.a\.b.c", "value")], {}, None, ""),
    ([("m", "flat"), ("m.a", "value"), (r"m.a\.b\.c", "value")], {}, "NONCANONICAL", r"is written 'm.a\\.b.c'"),
    ([("", "flat"), ("a", "value")], {}, None, ""),
    (
        [("", "flat"), (r"a.\e", "value")],
        {},
        "NONCANONICAL",
        r"value 'a.\\e' (entry 1): flat key 'a.' is written 'a\\.'",
    ),
    # a list or a map is one value of the flat map around it
    ([("", "flat"), (r"a\.l", "list"), (r"a\.l.0", "value"), ("a", "value")], {}, None, ""),
    ([("", "flat"), ("a.l", "list"), ("a.l.0", "value"), ("a", "value")], {}, "TREE", "has entries beneath it"),
    # part: where the keys around it are split to, above values or alone
    ([("", "flat"), (r"a\.b", "part"), (r"a\.b.c", "value"), ("a", "value")], CLASS_1, None, ""),
    ([("", "flat"), (r"a\.b", "part"), ("a", "value")], CLASS_1, None, ""),
    ([("", "flat"), ("a", "part"), (r"w\\", "value")], CLASS_1, None, ""),
    ([("", "flat"), (r"a\.", "part"), (r"a.\.c", "value")], CLASS_1, None, ""),
    (
        [("", "flat"), (r"a\.b", "part"), ("a.b.c", "value")],
        CLASS_1,
        "NONCANONICAL",
        r"node 'a\\.b' (entry 1): flat key 'a.b' is written 'a.b'",
    ),
    ([("", "flat"), (r"a\.b", "part")], CLASS_1, "NONCANONICAL", "flat key 'a.b' is written 'a.b'"),
    ([("", "flat"), (r"a\.b", "part"), ("a.b", "value")], CLASS_1, "NONCANONICAL", "flat key 'a.b' is written 'a.b'"),
    (
        [("m", "flat"), (r"m.a.\e", "part"), ("m.x", "value")],
        CLASS_1,
        "NONCANONICAL",
        r"flat key 'a.' is written 'm.a\\.'",
    ),
    # a dot that begins a segment, ends the key, or stands behind a key is none that divides
    ([("", "flat"), (r"x\.", "value"), (r"\.y", "value"), (r"\.", "value"), (r"a.\.c", "value")], {}, None, ""),
    ([("", "flat"), (r"\.\.", "value"), (r"q.\.\.", "value")], {}, None, ""),
    ([("", "flat"), (r"\.\.\.", "value")], {}, "NONCANONICAL", r"flat key '...' is written '\\..\\.'"),
    ([("", "flat"), (r"a\.b.c", "value")], {}, "NONCANONICAL", "flat key 'a.b.c' is written 'a.b.c'"),
    ([("", "flat"), (r"\e", "value"), (r"\.a", "value")], {}, None, ""),
    ([("", "flat"), ("a.b.c", "value"), (r"a\.b", "value")], {}, "NONCANONICAL", r"'a.b.c' is written 'a.b\\.c'"),
    # no key of a map holds a dot
    ([(r"a\.b", "value")], {}, "NONCANONICAL", "(entry 0): a key that holds a dot, but '' is no flat map"),
    ([(r"a\.b.c", "value")], {}, "NONCANONICAL", "but '' is no flat map"),
    ([(r"a.b\.c", "value")], {}, "NONCANONICAL", "but 'a' is no flat map"),
    ([("", "map"), (r"a\.b", "value")], CLASS, "NONCANONICAL", "but '' is no flat map"),
    ([("", "list"), (r"0.a\.b", "list")], {}, "NONCANONICAL", "but '0' is no flat map"),
    (
        [("", "flat"), ("m", "map"), (r"m.a\.b", "value")],
        {},
        "NONCANONICAL",
        "(entry 2): a key that holds a dot, but 'm' is no flat map",
    ),
    ([("", "flat"), ("m", "map"), (r"m.x.a\.b", "value")], {}, "NONCANONICAL", "but 'm.x' is no flat map"),
    ([("", "flat"), ("m", "map"), (r"m.a\\.b", "value")], {}, None, ""),
    ([("", "flat"), ("m", "flat"), ("m.a", "value"), (r"m.a\.b", "value")], {}, None, ""),
    ([(r"a\\.b", "value")], {}, None, ""),
    ([("", "namedtuple"), (r"a\.b", "value")], {}, None, ""),
]

# Several faults -> the code of the first, by step, then by row, then in the order within a step.
ORDERS = [
    ([("l", "list"), ("l.1", "value"), (r"a\.b", "value")], {}, "TREE"),  # within 54: nodes, then keys of maps
    ([("f", "flat"), ("f.a.b", "value"), (r"f.a\.b", "value"), (r"a\.b", "value")], {}, "NONCANONICAL"),  # 54, 55
    (
        [("f", "flat"), (r"f.a\.b", "value"), ("g", "flat"), ("g.a.b", "value"), (r"g.a\.b", "value")],
        {},
        "NONCANONICAL",
    ),
    ([("f", "flat"), (r"f.x\.y", "value"), ("f.a.b", "value"), (r"f.a\.b", "value")], {}, "TREE"),  # twice, then split
    ([("f", "part"), ("m", "map"), ("m.a", "value")], {"class_": sparse([0], [0], ["M"])}, "TREE"),  # 53, by row
    ([("m", "map"), ("m.a", "value"), ("p", "part")], {"class_": sparse([2], [0], ["M"])}, "NONCANONICAL"),
    ([("l", "list"), ("l.1", "value"), ("m", "map"), ("m.a", "value")], {}, "NONCANONICAL"),  # 53, then 54
]


@pytest.mark.parametrize(("entries", "keys", "code"), ORDERS)
def test_the_first_fault_of_a_tree_is_reported(entries, keys, code):
    refused(tree_file(*entries, **keys), code, "")


@pytest.mark.parametrize(("entries", "keys", "code", "message"), TREES)
def test_trees(entries, keys, code, message):
    data = tree_file(*entries, **keys)
    if code:
        refused(data, code, message)
    else:
        counted = ptformat.verify(data)
        assert (counted.tensors, counted.nbytes) == (0, 0)


def test_keys_that_are_one_in_python_are_refused_by_python_alone(tmp_path):
    """1, 1.0 and true are three keys of the format; a dict would lose two of them."""
    path = tmp_path / "keys.ptf"
    labels = [("", "keys"), ("a", "value"), ("b", "value"), ("c", "value")]
    path.write_bytes(tree_file(*labels, keys=sparse([0], [0], [[1, 1.0, True]])))
    assert list(ptformat.load_file(path)) == ["a", "b", "c"]
    with pytest.raises(FormatError, match=r"keys \[1, 1.0, True\] are not distinct in Python") as caught:
        ptformat.load_tree(path)
    assert caught.value.code == "TYPE"


def test_the_longest_paths_stay_quick():
    """A deep tree of long segments is checked in one pass over its paths."""
    stem = ".".join(["ab"] * 127)
    data = ptformat.save({f"{stem}.{i}": np.zeros(1, np.int8) for i in range(300)})
    assert len(ptformat.load(data)) == 300


def test_inner_paths_take_no_memory_of_their_own():
    """1000 paths of 127 segments have 126,000 inner paths of 64 MB; the check holds those of entries alone."""
    deep = [(".".join([f"{i:04}", *["abcdefg"] * 126]), "value") for i in range(1000)]
    content = craft.index_bytes(tree_file(("x", "list"), *deep))
    tracemalloc.start()
    index.decode(content)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10 * len(content)


@pytest.mark.parametrize(
    ("names", "leaf", "beneath"),
    [
        (["a", "a-b", "a.c", "a!"], "a", "a.c"),  # characters below the dot stand between
        (["a.c", "a-b", "a"], "a", "a.c"),
        (["a.b.c.d", "a.b", "a"], "a.b", "a.b.c.d"),
        (["b", "a.b.c", "a"], "a", "a.b.c"),
        (["a\\.b", "a", "a\\.b.c"], "a\\.b", "a\\.b.c"),
        (["a\\\\", "a\\\\.b"], "a\\\\", "a\\\\.b"),
        (["\\e", "\\e.\\e"], "\\e", "\\e.\\e"),
        (["b", ""], "", "b"),
        (["", "b"], "", "b"),
    ],
)
def test_a_leaf_with_entries_beneath_it_in_any_order(names, leaf, beneath):
    data = tree_file(*((name, "value") for name in names))
    row = names.index(leaf)
    refused(data, "TREE", f"value {leaf!r} (entry {row}) has entries beneath it, such as {beneath!r}")


def test_names_that_only_look_nested():
    names = ["a", "a-b", "ab", "a b.c", "A.a", "a\\.b", "a\\\\"]
    tree = {name.replace("\\.", "/"): 1 for name in names if "\\" not in name}
    assert ptformat.load(ptformat.save(tree)).keys() == tree.keys()
    with pytest.raises(FormatError, match="a key that holds a dot"):  # all else was found good
        ptformat.load(tree_file(*((name, "value") for name in names)))
