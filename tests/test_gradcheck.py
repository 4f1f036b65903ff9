import numpy as np
import pytest

from capslite.gradcheck import check_model, check_op, numerical_gradient
from capslite.ops import dense, dense_backward


def inputs():
    rng = np.random.default_rng(0)
    return rng.standard_normal((3, 4)), rng.standard_normal((4, 2)), rng.standard_normal(2)


def test_measures_a_slope_that_is_known():
    x = np.array([1.0, 2.0])
    slope = numerical_gradient(lambda: (x**3).sum(), x)
    np.testing.assert_allclose(slope, [3, 12], rtol=1e-9)
    np.testing.assert_array_equal(x, [1, 2])


def test_a_right_backward_pass_is_told_from_a_wrong_one_and_the_place_named():
    """The checker is what every other gradient test trusts: it must not call a wrong gradient right."""

    def wrong(d_y, cache):
        d_x, d_weight, d_bias = dense_backward(d_y, cache)
        d_weight[2, 1] *= 1.001
        return d_x, d_weight, d_bias

    assert check_op(dense, dense_backward, *inputs()).relative < 1e-9
    error = check_op(dense, wrong, *inputs())
    assert error.relative > 1e-5
    assert (error.name, error.index) == ("input 1", (2, 1))
    assert error.analytic == pytest.approx(1.001 * error.numerical, rel=1e-6)


def test_nan_counts_as_wrong():
    error = check_op(dense, lambda d_y, cache: (cache.x * np.nan, *dense_backward(d_y, cache)[1:]), *inputs())
    assert error.relative == np.inf


def test_inputs_are_left_as_they_were():
    before, given = inputs(), inputs()
    check_op(dense, dense_backward, *given)
    assert all(np.array_equal(a, b) for a, b in zip(before, given, strict=True))


@pytest.mark.parametrize(
    ("backward", "message"),
    [
        (lambda d_y, cache: dense_backward(d_y, cache)[:2], "2 gradients came for 3 inputs"),
        (
            lambda d_y, cache: (d_y, *dense_backward(d_y, cache)[1:]),
            r"input 0: its gradient has shape \(3, 2\); expected \(3, 4\)",
        ),
    ],
)
def test_gradients_of_the_wrong_number_or_shape_are_named(backward, message):
    with pytest.raises(ValueError, match=message):
        check_op(dense, backward, *inputs())


def test_single_precision_is_refused():
    with pytest.raises(ValueError, match="x has dtype float32; expected float64"):
        numerical_gradient(lambda: 0.0, np.zeros(2, np.float32))


def test_models_are_checked_parameter_by_parameter():
    class Line:
        def __init__(self, slope):
            self.parameters = {"a": np.array([2.0, 3.0])}
            self.slope = slope

        def loss_and_gradients(self, x):
            class Losses:
                total = (self.parameters["a"] * x).sum()

            return Losses, {"a": self.slope * x}

    x = np.array([5.0, 7.0])
    assert check_model(Line(1.0), x).relative < 1e-9
    assert check_model(Line(1.1), x).name == "a"
