"""Operations carried out: against NumPy on every type and odd shapes, box by box, in bounded memory."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sources import same
from trees import trees

from ptformat.converters import evaluate, evaluate_boxes
from ptformat.dtypes import named

BIG = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@given(st.data(), st.sampled_from(["uint16", "float8_e4m3fn", "int4", "complex64"]), st.sampled_from([1, 7, 64]))
@BIG
def test_trees_are_what_numpy_makes_of_them(data: st.DataObject, dtype: str, limit: int) -> None:
    """As built, as spelled out, in boxes of any size; no rule by which trees are made smaller changes a bit."""
    arrays: dict = {}
    tree = data.draw(trees(arrays, dtype))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluate, "BOX_BYTES", limit * named(dtype).numpy.itemsize)
        patch.setattr(evaluate_boxes, "COVER_BYTES", limit * named(dtype).numpy.itemsize)
        for op in (tree.op, tree.raw):
            assert (op.shape, op.dtype) == (tree.value.shape, dtype)
            found = evaluate.whole(op, lambda one: arrays[one.path])
            assert same(found, np.ascontiguousarray(tree.value).reshape(tree.value.shape))
