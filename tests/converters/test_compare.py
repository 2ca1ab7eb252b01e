"""Differences between trees, in numbers, and the statistics of tensors, against NumPy."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_files import deck_ptf
from sources import bits

import ptformat
from ptformat.bands import regrouped
from ptformat.converters import Measured, Odd, Statistics, copy, diff, edit, statistics
from ptformat.converters.elements import STEP, elements
from ptformat.dtypes import BY_NAME
from ptformat.errors import FormatError
from ptformat.tree import TensorInfo


def saved(path: Path, **tree: Any) -> Path:
    ptformat.save_file(tree, path)
    return path


def measured(folder: Path, a: Any, b: Any) -> Measured:
    (found,) = diff(saved(folder / "a.ptf", w=a), saved(folder / "b.ptf", w=b)).measured
    return found


def test_the_same_in_two_kinds_of_file(tmp_path: Path) -> None:
    deck = deck_ptf(tmp_path / "deck.ptf")
    copy(deck, tmp_path / "deck.safetensors")
    found = diff(deck, tmp_path / "deck.safetensors")
    assert (bool(found), found.odd, len(found.measured)) == (False, (), 4)
    assert {each.cosine for each in found.measured} == {1.0}


def test_what_is_in_one_alone_and_what_is_of_another_kind(tmp_path: Path) -> None:
    zeros = (np.zeros((2, 3), np.float32) for _ in range(20))  # each its own: one array twice would be a tie
    kept = {"kept": next(zeros)}
    a = saved(tmp_path / "a.ptf", gone=next(zeros), turned=next(zeros), typed=next(zeros), **kept, step=7, plain=1.0)
    b = saved(
        tmp_path / "b.ptf",
        turned=next(zeros).T,
        typed=next(zeros).astype(np.float16),
        **kept,
        new=next(zeros),
        step=8,
        plain=1,
    )
    assert diff(a, b).odd == (
        Odd("missing", "gone", "(2, 3) float32", None),
        Odd("unexpected", "new", None, "(2, 3) float32"),
        Odd("shape", "turned", "(2, 3) float32", "(3, 2) float32"),
        Odd("dtype", "typed", "(2, 3) float32", "(2, 3) float16"),
        Odd("value", "step", "7", "8"),
        Odd("value", "plain", "1.0", "1"),
    )
    assert [(each.path, each.equal) for each in diff(a, b).measured] == [("typed", 6), ("kept", 6)]


def test_ties_are_compared_and_their_numbers_once(tmp_path: Path) -> None:
    deck = deck_ptf(tmp_path / "deck.ptf", shared=True)
    edit(deck, tmp_path / "apart.ptf", untie=["4.weight"])
    found = diff(deck, tmp_path / "apart.ptf")
    assert found.odd == (Odd("tie", "4.weight", "= 2.weight", "a tensor of its own"),)
    order = ["0.weight", "0.bias", "2.weight", "2.bias", "4.weight", "6.weight", "6.bias"]
    assert [each.path for each in found.measured] == order
    assert found.differing == ()
    assert diff(tmp_path / "apart.ptf", deck).odd == (Odd("tie", "4.weight", "a tensor of its own", "= 2.weight"),)


def test_numbers_against_numpy(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    a = rng.standard_normal((5, 2 * STEP // 7)).astype(np.float32)  # more than one band
    b = a.copy()
    b[::2] += (1e-3 * rng.standard_normal(b[::2].shape)).astype(np.float32)
    found = measured(tmp_path, a, b)
    x, y = a.astype(np.float64).ravel(), b.astype(np.float64).ravel()
    apart = np.abs(x - y)
    assert (found.count, found.equal, found.nan) == (a.size, int((a == b).sum()), 0)
    assert found.absolute == apart.max()
    assert found.relative == (apart / np.maximum(np.abs(x), np.abs(y))).max()
    assert found.cosine == pytest.approx(x @ y / math.sqrt((x @ x) * (y @ y)), abs=1e-12)


def test_nan_and_infinity(tmp_path: Path) -> None:
    nan, inf = math.nan, math.inf
    a = np.array([nan, nan, 1, inf, inf, -inf, 3], np.float32)
    found = measured(tmp_path, a, np.array([nan, 1, nan, inf, 5, inf, 4], np.float32))
    assert (found.equal, found.nan, found.absolute, found.relative) == (2, 2, inf, inf)
    assert found.cosine == 1.0  # of 3 and 4, the only two that are finite
    a[3:6] = 0
    found = measured(tmp_path, a, np.array([nan, 1, nan, 0, 0, -0.0, 4], np.float32))
    assert (found.equal, found.nan, found.absolute, found.relative) == (3, 2, 1.0, 0.25)  # -0.0 has other bits


def test_what_has_no_cosine(tmp_path: Path) -> None:
    zero, one = np.zeros(3, np.float32), np.ones(3, np.float32)
    assert measured(tmp_path, zero, one).cosine is None
    assert measured(tmp_path, np.zeros(0, np.float32), np.zeros(0, np.float32)) == Measured(
        path="w", count=0, equal=0, absolute=0.0, relative=0.0, cosine=None, nan=0
    )
    assert measured(tmp_path, one, -one).cosine == -1.0


def test_other_types_are_compared_by_value(tmp_path: Path) -> None:
    a = np.array([1.5, 2.00390625, math.nan], np.float32)
    found = measured(tmp_path, a, a.astype(BY_NAME["bfloat16"].numpy))
    assert (found.equal, found.absolute, found.nan) == (2, 0.00390625, 0)
    assert measured(tmp_path, np.array([3], np.int64), np.array([3.0], np.float64)).equal == 1


def test_signalling_nan_is_no_warning(tmp_path: Path) -> None:
    data = np.full(100, 0x7F800001, np.uint32).view(np.float32)
    other = np.ones(100, np.float32)
    assert measured(tmp_path, data, other).nan == 100
    (found,) = statistics(tmp_path / "a.ptf")
    assert (found.nan, found.min) == (100, None)
    done = edit(tmp_path / "a.ptf", tmp_path / "c.ptf", cast=[("w", "float64")])
    assert (done.casts["w"].rounded, done.casts["w"].lost) == (0, 0)


def test_complex_against_real(tmp_path: Path) -> None:
    real, other = np.array([3.0, 1.0]), np.array([3 + 4j, 1])
    for found in (measured(tmp_path, real, other), measured(tmp_path, other, real)):
        assert (found.equal, found.absolute, found.relative) == (1, 4.0, 0.8)
        assert found.cosine == pytest.approx(10 / math.sqrt(10 * 26))


def test_integers_that_float64_does_not_tell_apart(tmp_path: Path) -> None:
    assert measured(tmp_path, np.array([2**53]), np.array([2**53 + 1])).equal == 0


@pytest.mark.parametrize("name", list(BY_NAME))
def test_every_type(name: str, tmp_path: Path) -> None:
    data = bits(name, (7, 11))
    found = measured(tmp_path, data, data.copy())
    assert (found.equal, found.absolute, found.nan, found.same) == (77, 0.0, 0, True)
    (each,) = statistics(tmp_path / "a.ptf")
    values = data.astype(np.complex128 if BY_NAME[name].components == 2 else np.float64).ravel()
    assert each.nan == np.isnan(values).sum()
    assert each.inf == (np.isinf(values) & ~np.isnan(values)).sum()
    assert each.zero == (values == 0).sum()
    finite = np.abs(values[np.isfinite(values)]) if BY_NAME[name].components == 2 else values[np.isfinite(values)]
    assert (each.min, each.max) == (finite.min(), finite.max())


def test_the_worst_comes_first(tmp_path: Path) -> None:
    base = {name: np.ones(4, np.float32) for name in "abcde"}
    a = saved(tmp_path / "a.ptf", **base)
    changed = {**base, "b": base["b"] * 1.5, "d": base["d"] * 9, "c": np.array([1, 1, 1, math.nan], np.float32)}
    found = diff(a, saved(tmp_path / "b.ptf", **changed))
    assert [each.path for each in found.measured][:3] == ["c", "d", "b"]
    assert [each.path for each in found.differing] == ["c", "d", "b"]


def test_statistics_against_numpy(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    data = (rng.standard_normal(2 * STEP + 12345) * 3 + 100).astype(np.float32)
    data[::1000] = 0
    data[7], data[8], data[9] = math.nan, math.inf, -math.inf
    (found,) = statistics(saved(tmp_path / "a.ptf", w=data))
    finite = data[np.isfinite(data)].astype(np.float64)
    assert (found.count, found.nan, found.inf, found.zero) == (data.size, 1, 2, int((data == 0).sum()))
    assert (found.min, found.max) == (finite.min(), finite.max())
    assert found.mean == pytest.approx(finite.mean(), rel=1e-13)
    assert found.std == pytest.approx(finite.std(), rel=1e-12)
    assert found.warnings == ["1 NaN", "2 infinite"]


def test_statistics_of_what_has_none(tmp_path: Path) -> None:
    path = saved(
        tmp_path / "a.ptf", empty=np.zeros((0, 3), np.float32), nan=np.full(2, math.nan), zero=np.zeros((2, 2))
    )
    empty, nan, zero = statistics(path)
    assert empty == Statistics(
        path="empty",
        dtype="float32",
        shape=(0, 3),
        count=0,
        min=None,
        max=None,
        mean=None,
        std=None,
        nan=0,
        inf=0,
        zero=0,
    )
    assert (nan.min, nan.std, nan.nan, nan.warnings) == (None, None, 2, ["2 NaN"])
    assert (zero.std, zero.zero, empty.warnings, zero.warnings) == (0.0, 4, [], ["all 4 elements are zero"])


@pytest.mark.parametrize("cut", [1, 3, 5, 64, 1000])
@pytest.mark.parametrize("name", ["float32", "complex128", "int4", "uint2"])
def test_pieces_may_be_cut_anywhere(name: str, cut: int) -> None:
    data = bytes(np.random.default_rng(0).integers(0, 256, 240, np.uint8))
    info = TensorInfo("w", name, (240 * 8 // BY_NAME[name].bits,))
    pieces = [data[at : at + cut] for at in range(0, 240, cut)]
    assert b"".join(bytes(block) for block in regrouped(pieces, 7)) == data
    whole = np.concatenate(list(elements(iter(pieces), info, step=8)))
    assert whole.tobytes() == np.concatenate(list(elements([data], info))).tobytes()
    for wrong in ([data[:-1]], [data, b"\\0"], []):
        with pytest.raises(FormatError, match=f"needs {info.nbytes} bytes"):
            list(elements(wrong, info))
