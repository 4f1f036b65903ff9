import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import draws, oracles

from capslite.gradcheck import check_op
from capslite.ops import length, squash, squash_backward

ALL_LENGTHS = 10.0 ** np.arange(-18, 19)
shapes = st.tuples(draws.batches, st.integers(1, 4), st.integers(1, 17))
extremes = shapes.flatmap(lambda shape: draws.vectors(*shape, lengths=[0.0, *ALL_LENGTHS]))


@given(s=extremes)
def test_exact_from_the_shortest_to_the_longest_capsule(device, s):
    """In float32, lengths from 1e-18 to 1e18 neither vanish nor overflow, nor lose more than rounding."""
    s = s.astype(np.float32)
    v, _ = squash(device.asarray(s))
    assert v.dtype == np.float32
    np.testing.assert_allclose(device.to_numpy(v), oracles.squash(s).astype(np.float32), rtol=2e-6, atol=1e-43)


@given(s=extremes, seed=draws.seeds)
def test_gradient_exact_from_the_shortest_to_the_longest_capsule(device, s, seed):
    """Against the Jacobian in extended precision: the error is rounding of f(n) |d_v|, the gradient's own size."""
    s = s.astype(np.float32)
    d_v = np.random.default_rng(seed).standard_normal(s.shape).astype(np.float32)
    _, cache = squash(device.asarray(s))
    d_s = device.to_numpy(squash_backward(device.asarray(d_v), cache))
    n = np.sqrt((s.astype(np.longdouble) ** 2).sum(axis=-1, keepdims=True))
    size = n / (1 + n**2) * np.sqrt((d_v.astype(np.longdouble) ** 2).sum(axis=-1, keepdims=True))
    assert np.isfinite(d_s).all()
    assert (np.abs(d_s - oracles.squash_gradient(s, d_v)) <= 2e-6 * size).all()


@given(s=shapes.flatmap(lambda shape: draws.vectors(*shape, lengths=[0.1, 0.5, 1.0, 3.0])))
def test_gradient_is_the_slope(s):
    error = check_op(squash, squash_backward, s)
    assert error.relative < 1e-7, error


def test_a_dead_capsule_gives_zero_and_receives_zero(device):
    """s / |s| without care is 0 / 0 here, and one nan spreads through the whole network."""
    s = device.asarray(np.zeros((2, 3, 8), np.float32))
    v, cache = squash(s)
    d_s = squash_backward(device.asarray(np.ones((2, 3, 8), np.float32)), cache)
    assert not device.to_numpy(v).any()
    assert not device.to_numpy(d_s).any()


def test_lengths_become_probabilities_and_directions_stay():
    s = np.random.default_rng(0).standard_normal((100, 16)) * 10
    v, _ = squash(s)
    assert (length(v) < 1).all()
    np.testing.assert_allclose(v / length(v)[:, None], s / length(s)[:, None], atol=1e-14)
    np.testing.assert_allclose(length(v), length(s) ** 2 / (1 + length(s) ** 2))


@given(s=extremes)
def test_length_is_the_square_root_of_the_sum_of_squares(device, s):
    s = s.astype(np.float32)
    exact = np.sqrt((s.astype(np.longdouble) ** 2).sum(axis=-1)).astype(np.float32)
    np.testing.assert_allclose(device.to_numpy(length(device.asarray(s))), exact, rtol=1e-6)


def test_wrong_dtype_is_named():
    with pytest.raises(ValueError, match="squash: s has dtype int64; expected float32 or float64"):
        squash(np.ones((2, 3), np.int64))
