import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import draws, oracles

from capslite.optim import CHUNK, Adam, ExponentialDecay


def test_adam_is_the_algorithm_of_the_paper(device):
    rng = np.random.default_rng(0)
    w, gradients = rng.standard_normal((3, 5)), rng.standard_normal((4, 3, 5))
    parameters = {"w": device.asarray(w.copy())}
    adam = Adam(parameters, learning_rate=0.01)
    for gradient in gradients:
        adam.step({"w": device.asarray(gradient)})
    np.testing.assert_allclose(device.to_numpy(parameters["w"]), oracles.adam(w, gradients, 0.01), rtol=1e-12)


@given(seed=draws.seeds, size=st.sampled_from([0, 1, CHUNK - 1, CHUNK, 2 * CHUNK + 3]))
def test_long_parameters_are_updated_to_the_last_number(seed, size):
    rng = np.random.default_rng(seed)
    w, gradient = rng.standard_normal(size), rng.standard_normal(size)
    parameters = {"w": w.copy()}
    Adam(parameters).step({"w": gradient})
    np.testing.assert_allclose(parameters["w"], oracles.adam(w, [gradient], 0.001), rtol=1e-12)


def test_parameters_are_changed_in_place():
    """Layers hold these very arrays: a new array in the dict would train nothing."""
    w = np.ones(3)
    Adam({"w": w}).step({"w": np.ones(3)})
    assert (w < 1).all()


def test_going_on_from_a_state_is_the_same_run(device):
    rng = np.random.default_rng(0)
    gradients = rng.standard_normal((6, 4))
    whole, first = {"w": device.asarray(np.zeros(4))}, {"w": device.asarray(np.zeros(4))}
    adam, before = Adam(whole, ExponentialDecay(steps=2)), Adam(first, ExponentialDecay(steps=2))
    for gradient in gradients:
        adam.step({"w": device.asarray(gradient)})
    for gradient in gradients[:3]:
        before.step({"w": device.asarray(gradient)})
    second = {"w": first["w"].copy()}
    after = Adam(second, ExponentialDecay(steps=2))
    after.load_state(before.state())
    for gradient in gradients[3:]:
        after.step({"w": device.asarray(gradient)})
    np.testing.assert_array_equal(device.to_numpy(second["w"]), device.to_numpy(whole["w"]))


def test_the_learning_rate_decays_to_its_floor():
    decay = ExponentialDecay(initial=0.001, rate=0.96, steps=2000, floor=1e-6)
    assert decay(0) == 0.001
    assert decay(2000) == pytest.approx(0.00096)
    assert decay(10**9) == 1e-6


def test_the_optimiser_says_the_rate_it_will_use():
    adam = Adam({"w": np.ones(1)}, ExponentialDecay(initial=0.5, steps=1))
    assert adam.current_rate == 0.5
    adam.step({"w": np.ones(1)})
    assert adam.current_rate == pytest.approx(0.48)


@pytest.mark.parametrize(
    ("gradients", "message"),
    [
        ({}, r"no gradient of shape \(3,\) came for the parameter 'w'"),
        ({"w": np.ones(2)}, r"no gradient of shape \(3,\) came for the parameter 'w'"),
        ({"w": np.ones(3), "x": np.ones(1)}, "gradients came for x, which are not parameters"),
    ],
)
def test_wrong_gradients_are_named_and_nothing_is_changed(gradients, message):
    w = np.ones(3)
    adam = Adam({"w": w})
    with pytest.raises(ValueError, match=message):
        adam.step(gradients)
    assert (w == 1).all()
    assert adam.steps == 0
