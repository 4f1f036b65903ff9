import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import draws

from capslite.gradcheck import check_op
from capslite.ops import relu, relu_backward, sigmoid, sigmoid_backward

shapes = st.tuples(draws.batches, st.integers(1, 5), st.integers(1, 5))


@pytest.mark.parametrize(("op", "backward"), [(relu, relu_backward), (sigmoid, sigmoid_backward)])
@given(x=shapes.flatmap(lambda shape: draws.nonzero(*shape)))
def test_gradients_are_the_slopes(device, op, backward, x):
    error = check_op(op, backward, x)
    assert error.relative < 1e-7, error
    y, cache = op(device.asarray(x))
    np.testing.assert_allclose(device.to_numpy(y), op(x)[0], rtol=1e-15)
    there = backward(device.asarray(np.ones_like(x)), cache)
    np.testing.assert_allclose(device.to_numpy(there), backward(np.ones_like(x), op(x)[1]), rtol=1e-14)


def test_relu_keeps_what_is_positive():
    np.testing.assert_array_equal(relu(np.array([[-2.0, 0.0, 3.0]]))[0], [[0, 0, 3]])


def test_relu_overwrites_its_input_only_when_asked():
    x = np.array([[-1.0, 2.0]])
    relu(x)
    assert x[0, 0] == -1
    relu(x, out=x)
    assert x[0, 0] == 0


def test_relu_is_shut_at_the_kink():
    """A dead unit must stay out of the gradient: at exactly 0 the slope is taken as 0."""
    _, cache = relu(np.zeros((1, 3)))
    assert not relu_backward(np.ones((1, 3)), cache).any()


def test_many_images_make_many_shards():
    x = np.random.default_rng(0).standard_normal((100, 7))
    y, cache = relu(x)
    np.testing.assert_array_equal(y, np.maximum(x, 0))
    np.testing.assert_array_equal(relu_backward(x, cache), x * (x > 0))


def test_sigmoid_of_huge_numbers_is_0_or_1():
    x = np.array([[-1e4, 0.0, 1e4]], np.float32)
    np.testing.assert_array_equal(sigmoid(x)[0], [[0, 0.5, 1]])
