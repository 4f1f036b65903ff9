"""Routing by agreement: Eqs. 1-3 of the talk, Eqs. 2-3 and Procedure 1 of the paper.

Every lower capsule i, with pose u_i, predicts the pose of every upper capsule j; it then sends its output to
the upper capsule whose other predictions agree with its own:

    prediction vectors   u_hat_j|i = W_ij u_i                      (talk Eq. 2, paper Eq. 2)
    coupling             c_ij = exp(b_ij) / sum_k exp(b_ik)        (talk Eq. 1, paper Eq. 3): k over the upper
    total input          s_j = sum_i c_ij u_hat_j|i                (talk Eq. 3, paper Eq. 2)
    output               v_j = squash(s_j)                         (talk Eq. 4, paper Eq. 1)
    agreement            b_ij <- b_ij + u_hat_j|i . v_j            and again from the coupling on
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from capslite import kernels
from capslite.backend import Array, array_module
from capslite.ops.checks import check
from capslite.ops.squash import SquashCache, squash, squash_backward
from capslite.scratch import empty


class PredictionCache(NamedTuple):
    """What the backward pass of :func:`prediction_vectors` needs."""

    u: Array  # (B, I, D)
    weight: Array  # (I, D, J, E)


class RoutingSoftmaxCache(NamedTuple):
    """The couplings c (B, J, I): the derivative can be read off them."""

    c: Array


class RouteCache(NamedTuple):
    """Every iteration of :func:`route`; ``c`` is also what plots of the couplings show."""

    u_hat: Array  # (B, J, I, E)
    c: list[Array]  # (B, J, I) each
    v: list[Array]  # (B, J, E) each
    squash: list[SquashCache]
    stop_gradient: bool


def prediction_vectors(u: Array, weight: Array) -> tuple[Array, PredictionCache]:
    """Return u_hat (B, J, I, E) for u (B, I, D) and the transforms weight (I, D, J, E), and the cache."""
    size = check("prediction_vectors", u=(u, "B I D"), weight=(weight, "I D J E"))
    xp = array_module(u)
    u_hat = empty(xp, (size["B"], size["J"], size["I"], size["E"]), u.dtype)
    # One product (B, D) (D, E) for each j and i, written straight to its place.
    xp.matmul(u.transpose(1, 0, 2), weight.transpose(2, 0, 1, 3), out=u_hat.transpose(1, 2, 0, 3))
    return u_hat, PredictionCache(u, weight)


def prediction_vectors_backward(d_u_hat: Array, cache: PredictionCache) -> tuple[Array, Array]:
    """Return d_u (B, I, D) and d_weight (I, D, J, E) for d_u_hat (B, J, I, E).

    For each lower capsule u_hat = u W, a product of matrices, so d_u = d_u_hat W' and d_W = u' d_u_hat.
    """
    (batch, lower, depth), weight = cache.u.shape, cache.weight.reshape(*cache.weight.shape[:2], cache.weight.shape[2] * cache.weight.shape[3])
    xp = array_module(d_u_hat)
    d_u_hat = d_u_hat.transpose(2, 0, 1, 3).reshape(lower, batch, weight.shape[2])
    d_u = xp.matmul(d_u_hat, weight.transpose(0, 2, 1)).transpose(1, 0, 2)
    d_weight = empty(xp, weight.shape, weight.dtype)
    xp.matmul(cache.u.transpose(1, 2, 0), d_u_hat, out=d_weight)
    return xp.ascontiguousarray(d_u), d_weight.reshape(cache.weight.shape)


def routing_softmax(b: Array, leaky: bool = False) -> tuple[Array, RoutingSoftmaxCache]:
    """Return the couplings c (B, J, I) for the logits b (B, J, I), and the cache.

    They sum to 1 over J: a part shares itself out among wholes. With ``leaky`` a further logit, fixed at 0,
    stands for "none of them", and they sum to less.
    """
    check("routing_softmax", b=(b, "B J I"))
    if array_module(b) is not np:
        c = kernels.routing_softmax(b, leaky)
        return c, RoutingSoftmaxCache(c)
    largest = b.max(axis=1, keepdims=True, initial=0 if leaky else -np.inf)
    c = np.exp(b - largest)
    c /= c.sum(axis=1, keepdims=True) + (np.exp(-largest) if leaky else 0)
    return c, RoutingSoftmaxCache(c)


def routing_softmax_backward(d_c: Array, cache: RoutingSoftmaxCache) -> Array:
    """Return d_b (B, J, I) for d_c (B, J, I).

    dc_j/db_k = c_j ([j = k] - c_k), so d_b_j = c_j (d_c_j - sum_k c_k d_c_k). The leak's own logit is fixed,
    and its coupling receives no gradient, so the same line serves both.
    """
    c = cache.c
    if array_module(c) is not np:
        return kernels.routing_softmax_backward(d_c, c)
    d_b = d_c - np.einsum("bji,bji->bi", c, d_c)[:, None]
    d_b *= c
    return d_b


def route(
    u_hat: Array, iterations: int = 3, leaky: bool = False, stop_gradient: bool = False
) -> tuple[Array, RouteCache]:
    """Return the upper capsules v (B, J, E) for u_hat (B, J, I, E), and the cache.

    With ``stop_gradient`` the backward pass takes the last couplings for constants: a common shortcut, here
    to be compared with. Raises ValueError for iterations below 1.
    """
    check("route", u_hat=(u_hat, "B J I E"))
    if iterations < 1:
        raise ValueError(f"route: iterations is {iterations}; expected 1 or more")
    cache = RouteCache(u_hat, [], [], [], stop_gradient)
    b = array_module(u_hat).zeros(u_hat.shape[:3], u_hat.dtype)
    for iteration in range(iterations):
        c, _ = routing_softmax(b, leaky)
        s = total_input(c, u_hat)
        v, squash_cache = squash(s)
        cache.c.append(c)
        cache.v.append(v)
        cache.squash.append(squash_cache)
        if iteration < iterations - 1:
            b = b + agreement(u_hat, v)
    return v, cache


def route_backward(d_v: Array, cache: RouteCache) -> Array:
    """Return d_u_hat (B, J, I, E) for d_v (B, J, E), through every iteration.

    From the last iteration r to the first, with d_b the gradient of the logits after iteration r:

        d_s_r = squash'(d_v_r)      d_c_r = u_hat . d_s_r      d_b += softmax'(d_c_r)
        d_v_(r-1) = sum_i d_b u_hat                            (b_r is b_(r-1) + u_hat . v_(r-1))

    u_hat enters every total input, with d_s_r c_r, and every agreement, with v_(r-1) d_b: a sum of products
    (I, 1) (1, E), which is one product (I, R) (R, E) once all R columns are known.
    """
    u_hat, c, v, squash_caches, stop_gradient = cache
    xp = array_module(u_hat)
    columns, rows, d_b = [], [], None
    for iteration in reversed(range(len(c))):
        d_s = squash_backward(d_v, squash_caches[iteration])
        columns.append(c[iteration])
        rows.append(d_s)
        if iteration == 0 or stop_gradient:
            break
        d_b_here = routing_softmax_backward(agreement(u_hat, d_s), RoutingSoftmaxCache(c[iteration]))
        d_b = d_b_here if d_b is None else d_b + d_b_here
        columns.append(d_b)
        rows.append(v[iteration - 1])
        d_v = total_input(d_b, u_hat)
    # In memory i comes first: the backward pass of the prediction vectors takes it one i at a time.
    batch, upper, lower, _ = u_hat.shape
    d_u_hat = empty(xp, (lower, batch, upper, u_hat.shape[3]), u_hat.dtype).transpose(1, 2, 0, 3)
    return xp.matmul(xp.stack(columns, axis=-1), xp.stack(rows, axis=-2), out=d_u_hat)


def total_input(c: Array, u_hat: Array) -> Array:
    """Return sum_i c_ij u_hat_j|i: (B, J, I), (B, J, I, E) -> (B, J, E)."""
    return array_module(c).matmul(c[:, :, None, :], u_hat)[:, :, 0]


def agreement(u_hat: Array, v: Array) -> Array:
    """Return u_hat_j|i . v_j: (B, J, I, E), (B, J, E) -> (B, J, I)."""
    return array_module(v).matmul(u_hat, v[..., None])[..., 0]
