"""Facts of live layers, as an index can hold them."""

import numpy as np
import pytest

from ptformat import attrs


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (True, True),
        ("same", "same"),
        (7, 7),
        (np.int64(7), 7),
        (0.5, 0.5),
        (np.float32(0.5), 0.5),
        ((1, (2.5, None)), [1, [2.5, None]]),
        ([], []),
        ([1, object()], NotImplemented),
        (b"bytes", NotImplemented),
        (len, NotImplemented),
        (np.zeros(2), NotImplemented),
    ],
)
def test_plain_values(value, expected):
    found = attrs.plain(value)
    assert (type(found), found) == (type(expected), expected)


class Layer:
    stride = (2, 1)
    eps = np.float64(1e-5)
    weight = np.ones(3)

    class Inner:
        pass


def test_what_is_not_there_or_not_plain_is_left_out():
    assert attrs.of(Layer(), ("stride", "eps", "weight", "groups")) == {"stride": [2, 1], "eps": 1e-5}


def test_names_of_classes():
    assert attrs.class_name(Layer.Inner()) == f"{__name__}.Layer.Inner"
