"""Operations carried out: against NumPy on every type and odd shapes, box by box."""

import itertools
import math
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sources import Array, bits, same
from trees import ALL, trees

from ptformat.bands import contiguous
from ptformat.converters import evaluate, evaluate_boxes
from ptformat.converters import operations as o
from ptformat.converters.evaluate import nonzero, pieces, whole
from ptformat.dtypes import TABLE, named, pack

TYPES = [row.name for row in TABLE]
REAL = [row.name for row in TABLE if row.floating and row.components == 1 and row.name != "float8_e8m0fnu"]
INTEGERS = [row.name for row in TABLE if not row.floating]


@given(st.data(), st.sampled_from(["uint16", "float8_e4m3fn", "int4", "complex64"]), st.sampled_from([1, 7, 64]))
@settings(max_examples=200, deadline=None)
def test_trees_are_what_numpy_makes_of_them(data: st.DataObject, dtype: str, limit: int) -> None:
    """As built, as spelled out, in boxes of any size; no rule by which trees are made smaller changes a bit."""
    arrays: dict[str, Array] = {}
    tree = data.draw(trees(arrays, dtype))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluate, "BOX_BYTES", limit * named(dtype).numpy.itemsize)
        patch.setattr(evaluate, "BAND_BYTES", limit * named(dtype).numpy.itemsize)
        patch.setattr("ptformat.bands._TILE", (3, 2))
        patch.setattr(evaluate_boxes, "COVER_BYTES", limit * named(dtype).numpy.itemsize)
        for op in (tree.op, tree.raw):
            assert (op.shape, op.dtype) == (tree.value.shape, dtype)
            assert same(whole(op, lambda one: arrays[one.path]), tree.value)


@pytest.mark.parametrize("name", TYPES)
@given(data=st.data())
@settings(max_examples=15, deadline=None)
def test_stored_bytes_of_every_type(name: str, data: st.DataObject) -> None:
    """Sub-byte elements are packed across what the pieces were made of."""
    arrays: dict[str, Array] = {}
    kinds = [kind for kind in ALL if name != "float8_e8m0fnu" or kind != "pad"]  # which has no 0
    tree = data.draw(trees(arrays, name, kinds, 4))
    stored = pack(np.ascontiguousarray(tree.value).reshape(-1), named(name)).tobytes()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluate, "BOX_BYTES", 3 * named(name).numpy.itemsize)
        assert b"".join(pieces(tree.op, lambda one: arrays[one.path])) == stored
    assert b"".join(pieces(tree.raw, lambda one: arrays[one.path])) == stored


def test_packed_across_members_of_odd_size() -> None:
    arrays = {"a": bits("int4", (3, 5)), "b": bits("int4", (1, 5)), "c": bits("int4", (0, 5))}
    op = o.join([o.Given(path, array.shape, "int4") for path, array in arrays.items()], 0)
    expected = pack(np.concatenate([arrays["a"], arrays["b"]]).reshape(-1), named("int4"))
    assert b"".join(pieces(op, lambda one: arrays[one.path])) == expected.tobytes()
    assert len(expected) == 10


def test_without_axes_and_empty() -> None:
    scalar = bits("float32", ())
    x = o.Given("x", (), "float32")

    def value(op: o.Operation) -> Any:
        return whole(op, lambda one: scalar)

    assert same(value(x), scalar)
    assert same(value(o.stack([x, x], 0)), np.stack([scalar, scalar]))
    assert same(value(o.index(o.stack([x, o.Fill((), "float32", 2)], 0), 0, 1)), np.array(2, np.float32))
    one = np.array(1.5, np.float32)
    for op, expected in ((o.scale(x, 2), 3), (o.add(x, 1), 2.5), (o.add_up([x, x]), 3), (o.cast(x, "int32"), 1)):
        assert whole(op, lambda _: one) == expected
        assert whole(op, lambda _: one).shape == ()
    assert whole(o.cast(x, "bfloat16"), lambda _: one).dtype == ml_dtypes.bfloat16
    empty = o.Given("e", (0, 3), "float32")
    for op in (empty, o.permute(empty, (1, 0)), o.scale(empty, 2), o.reshape(empty, (3, 0, 7))):
        assert whole(op, lambda one: np.empty(one.shape, np.float32)).shape == op.shape
        assert list(pieces(op, lambda one: np.empty(one.shape, np.float32))) == []


def test_fills_and_counts() -> None:
    def made(op: o.Operation) -> Any:
        return whole(op, lambda one: np.empty(0)).tolist()

    assert made(o.Arange((5,), "int64")) == [0, 1, 2, 3, 4]
    assert made(o.Arange((3,), "int8", 5, -7)) == [5, -2, -9]
    assert made(o.Arange((2,), "uint64", 2**64 - 2)) == [2**64 - 2, 2**64 - 1]
    assert made(o.Arange((3,), "float32", 0.5, 0.25)) == [0.5, 0.75, 1.0]
    assert made(o.reshape(o.Arange((4,), "bfloat16"), (1, 4))) == [[0, 1, 2, 3]]
    assert made(o.Fill((2,), "complex64", 3)) == [3, 3]
    for name in TYPES:
        assert made(o.Fill((2, 1), name, 1)) == [[1], [1]]
    assert made(o.Fill((), "uint64", 2**64 - 1)) == 2**64 - 1


@pytest.mark.parametrize("name", REAL)
def test_numbers_are_computed_in_float32_and_rounded_once(name: str) -> None:
    dtype = named(name).numpy
    wide = np.float64 if name == "float64" else np.float32
    rng = np.random.default_rng(3)
    a, b, c = (rng.normal(size=(7, 5)).astype(wide).astype(dtype) for _ in range(3))
    held = {"a": a, "b": b, "c": c}
    x, y, z = (o.Given(path, (7, 5), name) for path in "abc")

    def value(op: o.Operation) -> Array:
        return whole(op, lambda one: held[one.path])

    assert same(value(o.scale(x, 0.3)), (a.astype(wide) * wide(0.3)).astype(dtype))
    assert same(value(o.add(x, 1)), (a.astype(wide) + wide(1)).astype(dtype))
    total = a.astype(wide) + b.astype(wide) + c.astype(wide)
    assert same(value(o.permute(o.add_up([x, y, z]), (1, 0))), np.ascontiguousarray(total.astype(dtype).T))


def test_sum_is_not_rounded_between() -> None:
    parts = [np.array([value], np.float16) for value in (2048, 1, 1)]
    op = o.add_up([o.Given(str(at), (1,), "float16") for at in range(3)])
    assert whole(op, lambda one: parts[int(one.path)]) == 2050  # 2048 + 1 is 2048 in float16


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("name", ["float32", "float64", "bfloat16"])
def test_spectral_norm(axis: int, name: str) -> None:
    rng = np.random.default_rng(1)
    dtype = named(name).numpy
    weight = rng.normal(size=(6, 5, 4)).astype(dtype)
    matrix = np.moveaxis(weight.astype(np.float64), axis, 0).reshape(weight.shape[axis], -1)
    u, v = (rng.normal(size=size).astype(dtype) for size in matrix.shape)
    norm = u.astype(np.float64) @ matrix @ v.astype(np.float64)
    held = {"w": weight, "u": u, "v": v}
    op = o.fold(*(o.Given(path, array.shape, name) for path, array in held.items()), axis)
    wide = np.float64 if name == "float64" else np.float32
    for limit in (2**20, 64):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(evaluate, "BOX_BYTES", limit)
            patch.setattr(evaluate_boxes, "BOX_BYTES", limit)
            found = whole(op, lambda one: held[one.path]).astype(np.float64)
        expected = (weight.astype(wide) / wide(norm)).astype(dtype).astype(np.float64)
        np.testing.assert_allclose(found, expected, rtol={"float64": 1e-14, "float32": 2e-7, "bfloat16": 0}[name])


@pytest.mark.parametrize("source", TYPES)
def test_casts_that_keep_every_value_do(source: str) -> None:
    array = bits(source, (300,))
    for target in TYPES:
        if source != target and o.cast_exactness(source, target) == "bit":
            there = o.cast(o.Given("x", (300,), source), target)
            assert whole(there, lambda _: array).dtype == named(target).numpy
            back = whole(o.cast(there, source), lambda _: array)
            number = np.complex128 if named(source).components == 2 else np.float64
            with np.errstate(invalid="ignore"):
                np.testing.assert_array_equal(back.astype(number), array.astype(number))


@pytest.mark.parametrize("target", TYPES)
def test_every_cast_is_carried_out(target: str) -> None:
    for source in TYPES:
        if named(source).components == named(target).components:
            array = bits(source, (40,))
            found = whole(o.cast(o.Given("x", (40,), source), target), lambda _, array=array: array)
            assert (found.dtype, found.shape) == (named(target).numpy, (40,))


def cast(values: list[Any], source: str, target: str) -> list[Any]:
    array = np.array(values, named(source).numpy)
    return whole(o.cast(o.Given("x", array.shape, source), target), lambda _: array).tolist()


def test_casts_that_cut() -> None:
    far = [-math.inf, -1e30, -1.9, -0.5, 0.5, 1.9, 1e30, math.inf, math.nan]
    assert cast(far, "float32", "int8") == [-128, -128, -1, 0, 0, 1, 127, 127, 0]
    assert cast(far, "float64", "int64") == [-(2**63), -(2**63), -1, 0, 0, 1, 2**63 - 1, 2**63 - 1, 0]
    assert cast(far, "float64", "uint64") == [0, 0, 0, 0, 0, 1, 2**64 - 1, 2**64 - 1, 0]
    assert cast([-300, -1, 7, 300], "int64", "uint8") == [0, 0, 7, 255]
    assert cast([-300, -1, 1, 300], "int32", "int4") == [-8, -1, 1, 7]
    assert cast([2**64 - 1, 5], "uint64", "int64") == [2**63 - 1, 5]
    assert cast([-5, 5], "int64", "uint64") == [0, 5]
    assert cast([-5, 0, 5], "int8", "bool") == [False, False, True]
    assert cast([1 + 2**-8 + 2**-30], "float64", "bfloat16") == [1 + 2**-7]  # not by way of float32
    assert cast([2049], "int32", "float16") == [2048]


@pytest.mark.parametrize("name", TYPES)
def test_what_is_not_zero_is_counted(name: str) -> None:
    array = bits(name, (37, 11))
    if name != "float8_e8m0fnu":  # which has no 0
        array[3:5] = 0
    with np.errstate(invalid="ignore"):
        expected = np.count_nonzero(array.astype(np.complex128 if named(name).components == 2 else np.float64))
    op = o.permute(o.Given("x", (37, 11), name), (1, 0))
    assert nonzero(op, lambda _: array) == expected
    assert nonzero(o.join([op, op], 0), lambda _: array) == 2 * expected


def test_nan_is_not_zero_and_minus_zero_is() -> None:
    for dtype in (np.float32, ml_dtypes.bfloat16, np.float64):
        array = np.array([0.0, -0.0, np.nan, 1e-30], dtype)
        assert nonzero(o.Given("x", (4,), np.dtype(dtype).name), lambda _, array=array: array) == 2


def test_stacking_on_the_first_axis_copies_nothing() -> None:
    arrays = {str(at): bits("float32", (16, 16), at) for at in range(3)}
    op = o.stack([o.Given(path, (16, 16), "float32") for path in arrays], 0)
    found = list(pieces(op, lambda one: arrays[one.path]))
    assert len(found) == 3
    for piece, array in zip(found, arrays.values(), strict=True):
        assert np.shares_memory(np.frombuffer(piece, np.float32), array)


@pytest.mark.parametrize("name", ["float32", "int4"])
def test_what_goes_in_as_it_is_need_not_be_an_array(name: str) -> None:
    arrays = {path: bits(name, (2, 3), at) for at, path in enumerate("xyz")}
    x, y, z = (o.Given(path, (2, 3), name) for path in "xyz")
    asked: list[str] = []

    def stored(one: o.Given) -> list[bytes]:
        asked.append(one.path)
        return [pack(arrays[one.path].reshape(-1), named(name)).tobytes()]

    def found(op: o.Operation) -> bytes:
        asked.clear()
        return b"".join(pieces(op, lambda one: arrays[one.path], stored))

    assert found(o.reshape(x, (6,))) == stored(x)[0]
    assert asked == ["x", "x"]
    for op in (
        o.reshape(o.stack([x, o.flip(y, (0,)), z], 0), (18,)),
        o.stack([x, y], 1),
        o.join([o.reshape(x, (3, 2)), o.permute(y, (1, 0))], 0),
    ):
        expected = pack(whole(op, lambda one: arrays[one.path]).reshape(-1), named(name)).tobytes()
        assert found(op) == expected
    found(o.stack([x, o.flip(y, (0,)), z], 0))
    assert asked == (["x", "z"] if name == "float32" else [])  # whose elements share bytes with their neighbours


def test_each_array_is_asked_for_once() -> None:
    arrays = {"x": bits("uint16", (6, 4)), "y": bits("uint16", (6, 4))}
    asked: list[str] = []

    def array(one: o.Given) -> Array:
        asked.append(one.path)
        return arrays[one.path]

    x, y = (o.Given(path, (6, 4), "uint16") for path in "xy")
    for axis in (0, 1):
        op = o.join([o.flip(x, (0,)), y, x, o.permute(o.reshape(x, (4, 6)), (1, 0))], axis)
        asked.clear()
        assert whole(op, array).shape == op.shape
        assert sorted(asked) == ["x", "y"]


def test_the_other_byte_order() -> None:
    array = np.arange(12, dtype=">f4").reshape(3, 4)
    x = o.Given("x", (3, 4), "float32")
    for op in (x, o.permute(x, (1, 0)), o.join([x, x], 1), o.scale(x, 2), o.interleave(x, 1, 2)):
        raw = b"".join(pieces(op, lambda _: array))
        assert raw == whole(op, lambda _: array.astype("<f4")).tobytes()


def test_an_array_that_is_not_what_was_planned_for() -> None:
    x = o.Given("x", (3, 4), "float32")
    with pytest.raises(ValueError, match=r"tensor 'x': \(4, 3\) float32; the plan was made for \(3, 4\) float32"):
        list(pieces(x, lambda _: np.zeros((4, 3), np.float32)))
    with pytest.raises(ValueError, match=r"tensor 'x': \(3, 4\) float16; the plan was made for \(3, 4\) float32"):
        list(pieces(o.permute(x, (1, 0)), lambda _: np.zeros((3, 4), np.float16)))


def test_nothing_is_written_to() -> None:
    array = bits("uint16", (6, 4))
    array.setflags(write=False)
    x = o.Given("x", (6, 4), "uint16")
    for op in (x, o.flip(x, (0,)), o.pad(x, 0, 1, 1), o.deinterleave(o.join([x, x], 1), 1, 2)):
        assert whole(op, lambda _: array).flags.writeable


@pytest.mark.parametrize("name", ["uint8", "bfloat16", "float32", "complex128"])
@pytest.mark.parametrize("perm", [*itertools.permutations(range(3))])
def test_turned_arrays_are_copied_in_tiles(perm: tuple[int, ...], name: str) -> None:
    array = bits(name, (130, 65, 66))
    for view in (array.transpose(perm), array[::-1].transpose(perm), array[:, 3:, ::-2].transpose(perm), array[:1].T):
        found = contiguous(view)
        assert found.flags.c_contiguous
        assert same(found, view)


@pytest.mark.parametrize("name", ["uint8", "bool", "bfloat16", "float32", "complex128"])
@pytest.mark.parametrize("perm", [*itertools.permutations(range(3))])
def test_threads_turn_axes_as_one_does(perm: tuple[int, ...], name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluate, "TURNED_BYTES", 1000)
    array = bits(name, (13, 65, 66))
    op = o.permute(o.Given("x", array.shape, name), perm)
    expected = np.ascontiguousarray(array.transpose(perm))
    if name == "bool":
        expected = expected.view(np.uint8) != 0
    with ThreadPoolExecutor(2) as pool:
        found = list(pieces(op, lambda _: array, None, pool))
    assert b"".join(found) == expected.tobytes()
    assert len(found) > 1 or perm == (0, 1, 2)
