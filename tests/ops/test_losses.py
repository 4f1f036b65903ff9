import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import draws, oracles

from capslite.gradcheck import check_op
from capslite.ops import (
    cross_entropy,
    cross_entropy_backward,
    margin_loss,
    margin_loss_backward,
    reconstruction_loss,
    reconstruction_loss_backward,
)

few = st.integers(1, 4)
ALL_LENGTHS = 10.0 ** np.arange(-18, 19)


@st.composite
def capsules(draw, lengths):
    """Capsules of given lengths, and 0/1 targets with any number of ones."""
    shape = draw(draws.batches), draw(few), draw(few)
    v = draw(draws.vectors(*shape, lengths=lengths))
    targets = np.random.default_rng(draw(draws.seeds)).integers(0, 2, shape[:2]).astype(float)
    return v, targets


@given(case=capsules([0.0, 0.05, 0.1, 0.3, 0.9, 0.97, 1.0]))
def test_margin_loss_is_equation_4(device, case):
    v, targets = case
    loss, _ = margin_loss(device.asarray(v), device.asarray(targets))
    np.testing.assert_allclose(device.to_numpy(loss), float(oracles.margin_loss(v, targets)), rtol=1e-13, atol=1e-30)


@given(case=capsules([0.02, 0.3, 0.6, 0.95]))
def test_margin_gradient_is_the_slope(case):
    v, targets = case
    error = check_op(
        lambda v: margin_loss(v, targets), lambda d, cache: margin_loss_backward(d, cache), v
    )
    assert error.relative < 1e-7, error


@given(case=capsules([0.0, *ALL_LENGTHS]))
def test_margin_loss_is_finite_and_exact_for_any_length(device, case):
    """Squares of 1e18 in float32 are near its largest number: a sum over the batch before the mean overflows."""
    v, targets = (a.astype(np.float32) for a in case)
    loss, cache = margin_loss(device.asarray(v), device.asarray(targets))
    np.testing.assert_allclose(device.to_numpy(loss), float(oracles.margin_loss(v, targets)), rtol=1e-5)
    d_v = device.to_numpy(margin_loss_backward(1.0, cache))
    assert d_v.dtype == np.float32
    assert np.isfinite(d_v).all()
    assert not d_v[(v == 0).all(axis=-1)].any()


def test_margin_loss_squares_both_margins_and_halves_the_absent_one():
    """Known by hand: |v| = 0.4 wanted costs 0.5^2; |v| = 0.4 not wanted costs half of 0.3^2."""
    v = np.array([[[0.4, 0.0], [0.0, 0.4]]])
    loss, _ = margin_loss(v, np.array([[1.0, 0.0]]))
    assert loss == pytest.approx(0.25 + 0.5 * 0.09)


@given(seed=draws.seeds, batch=draws.batches, pixels=few)
def test_reconstruction_loss_sums_over_pixels(device, seed, batch, pixels):
    """A mean over pixels with the weight meant for the sum is 784 times too small."""
    rng = np.random.default_rng(seed)
    decoded, images = rng.random((batch, pixels)), rng.random((batch, pixels))
    loss, cache = reconstruction_loss(device.asarray(decoded), device.asarray(images))
    np.testing.assert_allclose(device.to_numpy(loss), oracles.reconstruction_loss(decoded, images), rtol=1e-13)
    here = reconstruction_loss_backward(1.0, reconstruction_loss(decoded, images)[1])
    np.testing.assert_allclose(device.to_numpy(reconstruction_loss_backward(1.0, cache)), here)
    error = check_op(lambda x: reconstruction_loss(x, images), reconstruction_loss_backward, decoded)
    assert error.relative < 1e-7, error


@given(difference=st.integers(1, 5).flatmap(lambda n: draws.vectors(n, 6, lengths=[0.0, *ALL_LENGTHS])))
def test_reconstruction_loss_is_finite_and_exact_for_any_difference(device, difference):
    decoded = difference.astype(np.float32)
    images = np.zeros_like(decoded)
    loss, cache = reconstruction_loss(device.asarray(decoded), device.asarray(images))
    exact = (decoded.astype(np.longdouble) ** 2).sum() / len(decoded)
    np.testing.assert_allclose(device.to_numpy(loss), float(exact), rtol=1e-5)
    assert np.isfinite(device.to_numpy(reconstruction_loss_backward(1.0, cache))).all()


@given(logits=st.tuples(draws.batches, few).flatmap(lambda s: draws.arrays(*s, scale=3)), seed=draws.seeds)
def test_cross_entropy_is_minus_the_log_of_the_softmax(device, logits, seed):
    targets = np.random.default_rng(seed).integers(0, 2, logits.shape).astype(float)
    loss, cache = cross_entropy(device.asarray(logits), device.asarray(targets))
    np.testing.assert_allclose(device.to_numpy(loss), oracles.cross_entropy(logits, targets), rtol=1e-12, atol=1e-12)
    here = cross_entropy_backward(1.0, cross_entropy(logits, targets)[1])
    np.testing.assert_allclose(device.to_numpy(cross_entropy_backward(1.0, cache)), here, atol=1e-15)
    error = check_op(lambda x: cross_entropy(x, targets), cross_entropy_backward, logits)
    assert error.relative < 1e-7, error


def test_cross_entropy_of_huge_logits_is_finite():
    logits, targets = np.array([[1e4, -1e4]], np.float32), np.array([[0, 1]], np.float32)
    loss, cache = cross_entropy(logits, targets)
    assert loss == 2e4
    np.testing.assert_array_equal(cross_entropy_backward(1.0, cache), [[1, -1]])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: margin_loss(np.zeros((2, 10, 16)), np.zeros((2, 9))),
            r"margin_loss: targets has shape \(2, 9\); expected \(B=2, J=10\)",
        ),
        (
            lambda: reconstruction_loss(np.zeros((2, 784)), np.zeros((2, 28, 28))),
            r"reconstruction_loss: images has shape \(2, 28, 28\); expected \(B=2, P=784\)",
        ),
        (lambda: cross_entropy(np.zeros(3), np.zeros(3)), r"cross_entropy: logits has shape \(3,\); expected \(B, J\)"),
    ],
)
def test_wrong_shapes_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
