"""The two activations of the talk: ReLU (first convolution, decoder) and the sigmoid (the decoder's pixels)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from capslite.backend import Array, array_module
from capslite.ops.checks import check
from capslite.scratch import empty
from capslite.threads import run_shards, shards_of

IMAGES_A_SHARD = 16


class ActivationCache(NamedTuple):
    """The output y: both derivatives can be read off it."""

    y: Array


def relu(x: Array, out: Array | None = None) -> tuple[Array, ActivationCache]:
    """Return max(x, 0), same shape as x (B, ...), and the cache; ``out=x`` overwrites x, as in NumPy."""
    check("relu", x=(x, "..."))
    xp = array_module(x)
    y = empty(xp, x.shape, x.dtype) if out is None else out
    run_shards(lambda images: xp.maximum(x[images], 0, out=y[images]), _image_shards(x))
    return y, ActivationCache(y)


def relu_backward(d_y: Array, cache: ActivationCache) -> Array:
    """Return d_x (B, ...): d_y where the unit was on, 0 where it was off, and at the kink itself."""
    xp = array_module(d_y)
    d_x = empty(xp, d_y.shape, d_y.dtype)
    run_shards(
        lambda images: xp.multiply(d_y[images], cache.y[images] > 0, out=d_x[images]), _image_shards(d_y)
    )
    return d_x


def sigmoid(x: Array) -> tuple[Array, ActivationCache]:
    """Return 1 / (1 + exp(-x)), in (0, 1), same shape as x, and the cache.

    Written as (1 + tanh(x / 2)) / 2, the same function, which no x overflows.
    """
    check("sigmoid", x=(x, "..."))
    y = array_module(x).tanh(x * 0.5)
    y *= 0.5
    y += 0.5
    return y, ActivationCache(y)


def sigmoid_backward(d_y: Array, cache: ActivationCache) -> Array:
    """Return d_x = d_y y (1 - y)."""
    return d_y * cache.y * (1 - cache.y)


def _image_shards(x: Array) -> list[slice]:
    return shards_of(len(x), IMAGES_A_SHARD if array_module(x) is np else len(x))
