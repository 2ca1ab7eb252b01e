"""Save, load, compare, over random trees and random sets of keys; save twice, equal bytes."""

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import ptformat
from ptformat import loading, paths
from ptformat.dtypes import TABLE
from ptformat.reader import Reader

KEYS = st.text(st.sampled_from("ab01.\\eé~ "), max_size=6)
ODD_KEYS = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | KEYS
    | st.binary(max_size=3),
    lambda inner: st.tuples(inner, inner),
    max_leaves=3,
)
VALUES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text(st.characters(codec="utf-8"), max_size=10)
    | st.binary(max_size=10)
)


@st.composite
def arrays(draw):
    """Any element type, up to three axes, any strides; every bit pattern of what is no bool."""
    row = draw(st.sampled_from(TABLE))
    shape = draw(hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=5))
    count = int(np.prod(shape))
    size = count * row.numpy.itemsize
    data = np.frombuffer(draw(st.binary(min_size=size, max_size=size)), np.uint8)
    if row.bits < 8 or row.name == "bool":
        data = data & ((1 << (1 if row.name == "bool" else row.bits)) - 1)
    array = data.view(row.numpy).reshape(shape)
    return array.transpose(draw(st.permutations(range(len(shape)))))


def containers(inner):
    return (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(KEYS, inner, max_size=6)
        | st.dictionaries(ODD_KEYS, inner, max_size=3)
    )


TREES = st.recursive(arrays() | VALUES, containers, max_leaves=12)
QUIET = settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large], deadline=None)


def same(a, b):
    if isinstance(a, np.ndarray):
        return isinstance(b, np.ndarray) and (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())
    if isinstance(a, dict):
        return (
            type(b) is dict
            and [repr(key) for key in a] == [repr(key) for key in b]
            and all(same(*pair) for pair in zip(a.values(), b.values(), strict=True))
        )
    if isinstance(a, (list, tuple)):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and repr(a) == repr(b)


def tree_of(data):
    return loading.tree(Reader(data))


@given(TREES, st.sampled_from(["raw", "zstd"]), st.sampled_from([64, 256, 2**22]))
@QUIET
def test_any_tree_comes_back_and_is_written_again_the_same(tree, codec, chunk):
    data = ptformat.save(tree, codec=codec, chunk=chunk)
    assert ptformat.save(tree, codec=codec, chunk=chunk) == data
    ptformat.verify(data)
    back = tree_of(data)
    assert same(tree, back)
    assert ptformat.save(back, codec=codec, chunk=chunk) == data


@given(TREES)
@QUIET
def test_the_digest_does_not_depend_on_the_layout(tree):
    raw, packed = Reader(ptformat.save(tree)), Reader(ptformat.save(tree, codec="zstd", chunk=64))
    assert raw.digest() == packed.digest()
    assert raw.tensor_digests() == packed.tensor_digests()


@given(st.dictionaries(KEYS, st.integers(0, 9), min_size=1, max_size=12))
def test_any_keys_come_back_flat(tree):
    assert list(tree_of(ptformat.save(tree)).items()) == list(tree.items())
    loaded = ptformat.load(ptformat.save(tree))
    if any("." in key for key in tree):
        assert list(loaded.items()) == list(tree.items())
    else:
        assert [paths.parse(path) for path in loaded] == [(key,) for key in tree]


@given(st.lists(st.integers(0, 5), min_size=1, max_size=12), st.sampled_from(["raw", "zstd"]))
def test_ties_come_back(picks, codec):
    """The same objects are the same objects, however many there are, and others are not."""
    objects = [np.zeros((2, i % 3), np.float32) for i in range(6)]
    tree = {"m": [objects[pick] for pick in picks], "x.y": {"z": objects[picks[0]]}}
    data = ptformat.save(tree, codec=codec)
    back = tree_of(data)
    assert back["x.y"]["z"] is back["m"][0]
    for i, a in enumerate(picks):
        for j, b in enumerate(picks):
            assert (back["m"][i] is back["m"][j]) == (a == b)
    assert ptformat.verify(data).tensors == len(set(picks))
    assert ptformat.save(back, codec=codec) == data


@given(TREES)
@QUIET
def test_the_tree_to_walk_through_has_every_leaf(tree):
    file = Reader(ptformat.save(tree))
    walked = dict(file.tree.walk()) if isinstance(file.tree, ptformat.Branch) else {"": file.tree.data}
    assert sorted(walked) == sorted(file)
    assert all(same(walked[path], file[path]) for path in file)
