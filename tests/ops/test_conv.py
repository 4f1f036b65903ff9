"""Both ways to convolve, direct and Fourier, are held to the same loop, and their gradients to measured slopes."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import draws, oracles

from capslite.gradcheck import check_op
from capslite.ops import conv2d, conv2d_backward
from capslite.ops.conv import fourier_pays

both_methods = pytest.mark.parametrize("method", ["direct", "fourier"])


@st.composite
def convolutions(draw, most=7):
    """Inputs of any shape a convolution can have: strides beyond the kernel, non-square, batch 0 and 1."""
    side = st.integers(1, most)
    height, width = draw(side), draw(side)
    padding = draw(st.sampled_from(["valid", "same"]))
    rows = draw(st.integers(1, height if padding == "valid" else 4))
    columns = draw(st.integers(1, width if padding == "valid" else 4))
    channels, filters = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    return SimpleNamespace(
        x=draw(draws.arrays(draw(draws.batches), height, width, channels)),
        kernel=draw(draws.arrays(rows, columns, channels, filters)),
        bias=draw(draws.arrays(filters)),
        options={"stride": draw(st.integers(1, 4)), "padding": padding},
    )


@both_methods
@given(case=convolutions())
def test_forward_is_the_sum_over_the_patch(device, method, case):
    arrays = (device.asarray(a) for a in (case.x, case.kernel, case.bias))
    y, _ = conv2d(*arrays, **case.options, method=method)
    expected = oracles.conv2d(case.x, case.kernel, case.bias, *case.options.values())
    # float64: some hundred terms of size 1, each rounded to 1e-16; the Fourier form rounds a few times more
    np.testing.assert_allclose(device.to_numpy(y), expected, rtol=0, atol=1e-12)


@both_methods
@given(case=convolutions(most=5))
def test_gradients_are_the_slopes(method, case):
    error = check_op(conv2d, conv2d_backward, case.x, case.kernel, case.bias, **case.options, method=method)
    assert error.relative < 1e-7, error


@both_methods
@given(case=convolutions())
def test_backward_is_the_same_on_every_device(device, method, case):
    """The device's scatter kernel and the loop of the CPU add the same patches to the same pixels."""
    inputs = case.x, case.kernel, case.bias
    y, cache = conv2d(*inputs, **case.options, method=method)
    d_y = np.random.default_rng(0).standard_normal(y.shape)
    there = conv2d(*(device.asarray(a) for a in inputs), **case.options, method=method)[1]
    results = conv2d_backward(device.asarray(d_y), there)
    for here, result in zip(conv2d_backward(d_y, cache), results, strict=True):
        np.testing.assert_allclose(device.to_numpy(result), here, rtol=0, atol=1e-12)


@both_methods
@pytest.mark.parametrize("stride", [1, 2])
def test_many_images_make_many_shards(method, stride):
    """Images of different shards do not mix, and the kernel's gradient is the sum over all of them."""
    rng = np.random.default_rng(0)
    x, kernel = rng.standard_normal((37, 8, 8, 40)), rng.standard_normal((3, 3, 40, 2))
    y, cache = conv2d(x, kernel, np.zeros(2), stride, method=method)
    np.testing.assert_allclose(y[36], oracles.conv2d(x[36:], kernel, np.zeros(2), stride, "valid")[0], atol=1e-11)
    d_y = rng.standard_normal(y.shape)
    d_x, d_kernel, _ = conv2d_backward(d_y, cache)
    alone = [conv2d_backward(d_y[n : n + 1], cache._replace(x=x[n : n + 1])) for n in range(37)]
    np.testing.assert_allclose(d_x, np.concatenate([a[0] for a in alone]), atol=1e-11)
    np.testing.assert_allclose(d_kernel, sum(a[1] for a in alone), atol=1e-11)


@both_methods
def test_single_precision_is_good_to_its_last_digits(method):
    """The Fourier form's sums and differences do not cost float32 more than a digit: 1e-6 of the largest."""
    rng = np.random.default_rng(0)
    x, kernel = rng.random((4, 20, 20, 16)), rng.standard_normal((9, 9, 16, 8))
    y, cache = conv2d(x, kernel, np.zeros(8), 2, method=method)
    d_y = rng.standard_normal(y.shape)
    exact = y, *conv2d_backward(d_y, cache)[:2]
    arrays = (a.astype(np.float32) for a in (x, kernel, np.zeros(8)))
    y32, cache32 = conv2d(*arrays, 2, method=method)
    rounded = y32, *conv2d_backward(d_y.astype(np.float32), cache32)[:2]
    for a, b in zip(exact, rounded, strict=True):
        assert b.dtype == np.float32
        assert np.abs(a - b).max() < 2e-6 * np.abs(a).max()


def test_the_first_layer_can_leave_out_the_gradient_of_its_input():
    x, kernel = np.ones((2, 5, 5, 1)), np.ones((3, 3, 1, 2))
    y, cache = conv2d(x, kernel, np.zeros(2))
    whole, without = conv2d_backward(y, cache), conv2d_backward(y, cache, with_d_x=False)
    assert without[0] is None
    assert all(np.array_equal(a, b) for a, b in zip(whole[1:], without[1:], strict=True))


def test_fourier_is_chosen_where_it_was_measured_to_be_faster():
    """Large batches of the paper's primary capsules; not its first layer, not small batches, not an empty one."""

    def pays(batch, side, channels, filters, stride):
        x = np.empty((batch, side, side, channels), np.float32)
        return fourier_pays(x, np.empty((9, 9, channels, filters), np.float32), stride)

    assert pays(128, 20, 256, 256, 2)
    assert not pays(8, 20, 256, 256, 2)
    assert not pays(128, 28, 1, 256, 1)
    assert not pays(0, 20, 256, 256, 2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": np.zeros((2, 5, 5))}, r"conv2d: x has shape \(2, 5, 5\); expected \(B, H, W, C\)"),
        ({"kernel": np.zeros((3, 3, 2, 4))}, r"kernel has shape \(3, 3, 2, 4\); expected \(KH, KW, C=1, F\)"),
        ({"bias": np.zeros(3)}, r"bias has shape \(3,\); expected \(F=4\)"),
        ({"kernel": np.zeros((3, 3, 1, 4), np.float32)}, "kernel has dtype float32; expected float64"),
        ({"x": np.zeros((2, 5, 5, 1), np.int64)}, "x has dtype int64; expected float32 or float64"),
        ({"x": [[1.0]]}, "x is a list; expected an array"),
        ({"stride": 0}, "stride is 0; expected 1 or more"),
        ({"padding": "full"}, "padding is 'full'; expected 'valid' or 'same'"),
        ({"kernel": np.zeros((6, 3, 1, 4))}, r"kernel has shape \(6, 3, 1, 4\); expected 1 to \(5, 5\)"),
        ({"method": "winograd"}, "method is 'winograd'; expected 'auto', 'direct' or 'fourier'"),
    ],
)
def test_wrong_arguments_are_named(change, message):
    arguments = {"x": np.zeros((2, 5, 5, 1)), "kernel": np.zeros((3, 3, 1, 4)), "bias": np.zeros(4)} | change
    with pytest.raises(ValueError, match=message):
        conv2d(**arguments)
