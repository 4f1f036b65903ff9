import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import draws

from capslite.gradcheck import check_op
from capslite.ops import dense, dense_backward

few = st.integers(1, 5)


@given(seed=draws.seeds, batch=draws.batches, n=few, m=few)
def test_dense_is_a_weighted_sum_plus_a_bias(device, seed, batch, n, m):
    rng = np.random.default_rng(seed)
    inputs = rng.standard_normal((batch, n)), rng.standard_normal((n, m)), rng.standard_normal(m)
    y, cache = dense(*(device.asarray(a) for a in inputs))
    x, weight, bias = inputs
    expected = [[sum(x[b, k] * weight[k, j] for k in range(n)) + bias[j] for j in range(m)] for b in range(batch)]
    np.testing.assert_allclose(device.to_numpy(y), np.reshape(expected, (batch, m)), atol=1e-13)
    d_y = rng.standard_normal((batch, m))
    there = dense_backward(device.asarray(d_y), cache)
    for a, b in zip(there, dense_backward(d_y, dense(*inputs)[1]), strict=True):
        np.testing.assert_allclose(device.to_numpy(a), b, atol=1e-13)
    error = check_op(dense, dense_backward, *inputs)
    assert error.relative < 1e-7, error


def test_wrong_shapes_are_named():
    with pytest.raises(ValueError, match=r"dense: weight has shape \(4, 2\); expected \(N=3, M\)"):
        dense(np.zeros((1, 3)), np.zeros((4, 2)), np.zeros(2))
