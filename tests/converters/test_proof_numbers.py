"""How far arrays are apart, and which layer is which by name."""

import ml_dtypes
import numpy as np
import pytest

from ptformat.converters.proof_layers import paired
from ptformat.converters.proof_numbers import AXIS_1_LAST, MERGED, ProofError, measure, measure_layouts

RNG = np.random.default_rng(5)


def numbers(a, b, tolerance=1e-4):
    found = measure(np.array(a), np.array(b), tolerance)
    return found.absolute, found.relative, found.nan, found.largest, found.equal


def test_differences():
    inf, nan = np.inf, np.nan
    assert numbers([1.0, 2.0], [1.0, 2.0]) == (0, 0, 0, 2, True)
    assert numbers([0.0, 4.0], [0.5, 2.0]) == (2, 0.5, 0, 4, False)
    assert numbers([1000.0], [1000.05]) == (pytest.approx(0.05), pytest.approx(5e-5, rel=1e-3), 0, 1000.05, True)
    # An element near 0 is measured against 1 at most, and against the whole where that is small.
    assert numbers([1.0, 1e-6], [1.0, 2e-6]) == (pytest.approx(1e-6), pytest.approx(1e-6), 0, 1, True)
    assert numbers([1e-6, 0], [2e-6, 0]) == (pytest.approx(1e-6), pytest.approx(0.5), 0, 2e-6, False)
    assert numbers([1e-6, 1e-12], [1e-6, 0])[1:] == (pytest.approx(1e-6), 0, 1e-6, True)
    assert numbers([0.0], [0.0]) == (0, 0, 0, 0, True)
    assert numbers([0.0], [1e-30]) == (1e-30, 1, 0, 1e-30, False)
    assert numbers([nan, 1.0], [nan, 1.0]) == (0, 0, 0, 1, True)
    assert numbers([nan, 1.0], [2.0, 1.0]) == (0, 0, 1, 2, False)
    assert numbers([inf, -inf], [inf, -inf]) == (0, 0, 0, 0, True)
    assert numbers([inf, 1.0], [-inf, 1.0]) == (inf, inf, 0, 1, False)
    assert numbers([inf], [1.0]) == (inf, inf, 0, 1, False)
    assert numbers([1e6 + 1], [1e6])[4] and not numbers([10**6 + 1], [10**6])[4]
    assert numbers([True, False], [True, True]) == (1, 1, 0, 1, False)
    assert numbers([1 + 1j], [1 - 1j]) == (2, pytest.approx(2**0.5), 0, pytest.approx(2**0.5), False)
    assert numbers([], []) == (0, 0, 0, 0, True)
    assert numbers(1.0, 1.0) == (0, 0, 0, 1, True)


def test_differences_of_large_arrays_are_found_wherever_they_are():
    a = RNG.standard_normal((3, 100_003)).astype(np.float32)
    b = a.copy()
    assert measure(a, b, 1e-4).largest == np.abs(a).max()
    for index in ((0, 0), (0, 65_536), (1, 50_000), (2, 100_002)):
        other = b.copy()
        other[index] += 0.5
        found = measure(a, other, 1e-4)
        assert found.absolute == pytest.approx(0.5, rel=1e-6) and not found.equal
        other[index] = np.nan
        assert measure(a, other, 1e-4).nan == 1
    noisy = b + RNG.uniform(-1e-3, 1e-3, b.shape)
    found = measure(a, noisy, 1e-4)
    x, y = a.astype(np.float64), noisy
    assert found.absolute == np.abs(x - y).max()
    assert found.relative == (np.abs(x - y) / np.maximum(np.maximum(np.abs(x), np.abs(y)), 1)).max()
    assert measure(a.T, b.T, 1e-4).absolute == 0
    small = np.array([1.5, -2], ml_dtypes.float8_e4m3fn)
    assert measure(small, small.astype(np.float32), 1e-4).equal
    assert measure(np.array([1, -2], ml_dtypes.int4), np.array([1, -2]), 1e-4).equal


def test_layouts_of_layers():
    a = RNG.standard_normal((2, 3, 3))
    moved = measure_layouts(a, np.moveaxis(a, 1, -1), 1e-4)
    assert moved[1] == AXIS_1_LAST and moved[0].absolute == 0 and moved[0].shape == (2, 3, 3)
    assert measure_layouts(a, a, 1e-4)[1] == ""
    b = RNG.standard_normal((2, 3, 4, 5))
    assert measure_layouts(b, np.moveaxis(b, 1, -1), 1e-4)[0].equal
    assert measure_layouts(b.reshape(2, 3, 20), b, 1e-4)[1] == MERGED
    assert measure_layouts(b, b.reshape(2, 3, 20), 1e-4)[1] == MERGED
    assert measure_layouts(b, b.reshape(6, 4, 5), 1e-4) is None
    assert measure_layouts(a, a[:1], 1e-4) is None


# Which layer is which.


def test_pairs_by_name_and_by_word():
    names = ["encoder", "encoder.layer.0.q", "encoder.layer.1.q", "encoder.layer.1", "0", "x"]
    paths = {("enc",): 1, ("enc", "layer_0", "q"): 1, ("enc", "layer_1", "q"): 1, ("layers_0",): 1, ("y", "z"): 1}
    assert paired(names, paths, {}) == {("0", ("layers_0",))}
    found = paired(names, paths, {"encoder": "enc", "x": "y/z"})
    assert found == {
        ("encoder", ("enc",)),
        ("encoder.layer.0.q", ("enc", "layer_0", "q")),
        ("encoder.layer.1.q", ("enc", "layer_1", "q")),
        ("0", ("layers_0",)),
        ("x", ("y", "z")),
    }
    assert ("encoder.layer.0.q", ("enc", "layer_1", "q")) in paired(
        names, paths, {"encoder": "enc", "encoder.layer.0": "enc/layer_1", "encoder.layer.1": "enc/layer_0"}
    )
    assert paired(["a.q"], {("model", "a", "q"): 1}, {"": "model"}) == {("a.q", ("model", "a", "q"))}
    assert paired(["bert.a.q"], {("a", "q"): 1}, {"bert": ""}) == {("bert.a.q", ("a", "q"))}
    with pytest.raises(ProofError, match="pairs: the torch model has no module 'encoda'; nearest: encoder"):
        paired(names, paths, {"encoda": "enc"})
    with pytest.raises(ProofError, match="pairs: the flax model called no module 'ecn'; nearest: enc"):
        paired(names, paths, {"encoder": "ecn"})


def test_numbered_layers_are_a_scanned_one_only_if_as_many():
    names = ["h.0.q", "h.1.q", "h.0", "h.1"]
    assert paired(names, {("h",): 2, ("h", "q"): 2}, {}) == {
        ("h.0.q", ("h", "q")),
        ("h.1.q", ("h", "q")),
        ("h.0", ("h",)),
        ("h.1", ("h",)),
    }
    assert paired(names, {("h", "q"): 3}, {}) == set()
