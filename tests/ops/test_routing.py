from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import draws, oracles

from capslite.gradcheck import check_op
from capslite.ops import (
    prediction_vectors,
    prediction_vectors_backward,
    route,
    route_backward,
    routing_softmax,
    routing_softmax_backward,
    squash_backward,
)

few = st.integers(1, 4)


@st.composite
def routings(draw, arrays=draws.arrays):
    return SimpleNamespace(
        u_hat=draw(arrays(draw(draws.batches), draw(few), draw(few), draw(few))),
        options={"iterations": draw(few), "leaky": draw(st.booleans())},
    )


@given(u_seed=draws.seeds, batch=draws.batches, i=few, d=few, j=few, e=few)
def test_every_part_predicts_every_whole_by_its_own_transform(device, u_seed, batch, i, d, j, e):
    rng = np.random.default_rng(u_seed)
    u, weight = rng.standard_normal((batch, i, d)), rng.standard_normal((i, d, j, e))
    u_hat, cache = prediction_vectors(device.asarray(u), device.asarray(weight))
    np.testing.assert_allclose(device.to_numpy(u_hat), oracles.prediction_vectors(u, weight), atol=1e-13)
    d_u_hat = rng.standard_normal(u_hat.shape)
    there = prediction_vectors_backward(device.asarray(d_u_hat), cache)
    here = prediction_vectors_backward(d_u_hat, prediction_vectors(u, weight)[1])
    for a, b in zip(there, here, strict=True):
        np.testing.assert_allclose(device.to_numpy(a), b, atol=1e-12)
    error = check_op(prediction_vectors, prediction_vectors_backward, u, weight)
    assert error.relative < 1e-7, error


@given(case=routings(), leaky=st.booleans())
def test_couplings_are_the_softmax_over_the_upper_capsules(device, case, leaky):
    """Over the lower capsules instead, as two well-known implementations have it, no part shares itself out."""
    b = case.u_hat[..., 0]
    c = device.to_numpy(routing_softmax(device.asarray(b), leaky)[0])
    np.testing.assert_allclose(c, oracles.routing_softmax(b, leaky), atol=1e-14)
    total = c.sum(axis=1)
    assert (total < 1).all() if leaky else np.allclose(total, 1)


@given(case=routings(), leaky=st.booleans())
def test_softmax_gradient_is_the_slope(device, case, leaky):
    b = case.u_hat[..., 0]
    error = check_op(routing_softmax, routing_softmax_backward, b, leaky=leaky)
    assert error.relative < 1e-7, error
    d_c = np.random.default_rng(0).standard_normal(b.shape)
    there = routing_softmax_backward(device.asarray(d_c), routing_softmax(device.asarray(b), leaky)[1])
    here = routing_softmax_backward(d_c, routing_softmax(b, leaky)[1])
    np.testing.assert_allclose(device.to_numpy(there), here, atol=1e-14)


def test_softmax_of_huge_logits_is_finite(device):
    b = np.array([[[1e4], [-1e4], [0.0]]], np.float32)
    for leaky in (False, True):
        c = device.to_numpy(routing_softmax(device.asarray(b), leaky)[0])
        np.testing.assert_array_equal(c[0, :, 0], [1, 0, 0])
        assert np.isfinite(device.to_numpy(routing_softmax(device.asarray(-b), leaky)[0])).all()


@given(case=routings())
def test_routing_is_procedure_1(device, case):
    v, cache = route(device.asarray(case.u_hat), **case.options)
    np.testing.assert_allclose(device.to_numpy(v), oracles.route(case.u_hat, *case.options.values()), atol=1e-12)
    assert len(cache.c) == case.options["iterations"]


@given(case=routings(draws.nonzero))
def test_gradient_flows_through_every_iteration(device, case):
    """(No zero vectors here: squash(s) = s|s| near 0 has a slope of 0 there, but a measured one of STEP.)"""
    error = check_op(route, route_backward, case.u_hat, **case.options)
    assert error.relative < 1e-7, error
    v, cache = route(case.u_hat, **case.options)
    d_v = np.random.default_rng(0).standard_normal(v.shape)
    there = route_backward(device.asarray(d_v), route(device.asarray(case.u_hat), **case.options)[1])
    np.testing.assert_allclose(device.to_numpy(there), route_backward(d_v, cache), atol=1e-12)


def test_stopping_the_gradient_keeps_only_the_last_total_input():
    """d_u_hat = c d_s with c held constant; it differs from the true gradient, which is why it is not the default."""
    u_hat = np.random.default_rng(0).standard_normal((2, 3, 4, 5))
    v, cache = route(u_hat, iterations=3, stop_gradient=True)
    d_v = np.ones_like(v)
    d_s = squash_backward(d_v, cache.squash[-1])
    np.testing.assert_allclose(route_backward(d_v, cache), cache.c[-1][..., None] * d_s[:, :, None])
    whole = route_backward(d_v, route(u_hat, iterations=3)[1])
    assert np.abs(route_backward(d_v, cache) - whole).max() > 0.01


def test_agreement_wins():
    """Three parts that predict the same whole send it more than the one that disagrees."""
    u_hat = np.zeros((1, 2, 4, 2))
    u_hat[0, 0, :3] = [2.0, 0.0]
    u_hat[0, 0, 3] = [-2.0, 0.0]
    u_hat[0, 1] = [[0.0, 1.0], [0.0, -1.0], [1.0, 0.0], [-1.0, 0.0]]
    _, cache = route(u_hat, iterations=3)
    first, last = cache.c[0][0, 0], cache.c[-1][0, 0]
    assert (first == 0.5).all()
    assert (last[:3] > 0.8).all()
    assert last[3] < 0.2


def test_each_image_is_routed_alone():
    """Couplings shared by the batch would make an image's answer depend on its neighbours."""
    u_hat = np.random.default_rng(0).standard_normal((5, 3, 6, 4))
    together, _ = route(u_hat)
    for n in range(5):
        np.testing.assert_allclose(route(u_hat[n : n + 1])[0][0], together[n], atol=1e-14)


def test_neither_pass_changes_what_it_was_given():
    u_hat = np.random.default_rng(0).standard_normal((2, 3, 4, 5))
    before = u_hat.copy()
    v, cache = route(u_hat)
    kept = [c.copy() for c in cache.c]
    once, twice = route_backward(v, cache), route_backward(v, cache)
    np.testing.assert_array_equal(u_hat, before)
    np.testing.assert_array_equal(once, twice)
    assert all(np.array_equal(a, b) for a, b in zip(kept, cache.c, strict=True))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: route(np.zeros((2, 3, 4))), r"route: u_hat has shape \(2, 3, 4\); expected \(B, J, I, E\)"),
        (lambda: route(np.zeros((1, 2, 3, 4)), iterations=0), "route: iterations is 0; expected 1 or more"),
        (lambda: routing_softmax(np.zeros((2, 3))), r"routing_softmax: b has shape \(2, 3\); expected \(B, J, I\)"),
        (
            lambda: prediction_vectors(np.zeros((2, 3, 4)), np.zeros((5, 4, 2, 2))),
            r"prediction_vectors: weight has shape \(5, 4, 2, 2\); expected \(I=3, D=4, J, E\)",
        ),
    ],
)
def test_wrong_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
