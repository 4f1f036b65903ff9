"""The fully connected layer: y = x W + b.

The decoder of the talk is three of these; the baseline network ends in them.
"""

from __future__ import annotations

from typing import NamedTuple

from capslite.backend import Array
from capslite.ops.checks import check


class DenseCache(NamedTuple):
    """What the backward pass of :func:`dense` needs."""

    x: Array
    weight: Array


def dense(x: Array, weight: Array, bias: Array) -> tuple[Array, DenseCache]:
    """Return ``x @ weight + bias``: x (B, N), weight (N, M), bias (M,) -> (B, M), and the cache."""
    check("dense", x=(x, "B N"), weight=(weight, "N M"), bias=(bias, "M"))
    y = x @ weight
    y += bias
    return y, DenseCache(x, weight)


def dense_backward(d_y: Array, cache: DenseCache) -> tuple[Array, Array, Array]:
    """Return d_x (B, N), d_weight (N, M), d_bias (M,) for d_y (B, M).

    y_bm = sum_n x_bn W_nm + b_m, so each factor receives d_y times the other, summed over what it is
    shared by: d_x_bn = sum_m d_y_bm W_nm;  d_W_nm = sum_b x_bn d_y_bm;  d_b_m = sum_b d_y_bm.
    """
    x, weight = cache
    return d_y @ weight.T, x.T @ d_y, d_y.sum(axis=0)
