"""Squashing: Eq. 4 of the talk, Eq. 1 of the paper.

    v = |s|^2 / (1 + |s|^2)  s / |s|

The direction of a capsule says how a part is posed, its length how likely it is there: so the length must
lie between 0 and 1, and the direction must not change. Short vectors shrink to almost nothing (as |s|^2),
long ones to just below 1.

Written as the product f(n) s with n = |s| and f(n) = n / (1 + n^2), nothing divides by n: a dead capsule,
s = 0, has the value 0 and the gradient 0.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from capslite import kernels
from capslite.backend import Array, array_module
from capslite.ops.checks import check


class SquashCache(NamedTuple):
    """What the backward pass of :func:`squash` needs."""

    s: Array  # (..., E)
    n: Array  # (..., 1), the lengths of s


def squash(s: Array) -> tuple[Array, SquashCache]:
    """Return v (..., E), each vector along the last axis squashed to a length below 1, and the cache.

    Exact to rounding for lengths from 1e-18 to 1e18 in float32.
    """
    check("squash", s=(s, "... E"))
    if array_module(s) is not np:
        v, n = kernels.squash(s)
        return v, SquashCache(s, n)
    n = length(s)[..., None]
    return s * (n / (1 + n * n)), SquashCache(s, n)


def squash_backward(d_v: Array, cache: SquashCache) -> Array:
    """Return d_s (..., E) for d_v (..., E).

    v = f(n) s and dn/ds = s/n =: e, so  d_s = f d_v + f' (s.d_v) e = f [d_v + (f' n / f) (e.d_v) e],
    and with f = n / (1 + n^2):  f' n / f = (1 - n^2) / (1 + n^2).
    Across e the step is scaled by f; along e by 2f / (1 + n^2), which is why long capsules hardly grow.
    """
    s, n = cache
    if array_module(s) is not np:
        return kernels.squash_backward(d_v, s, n)
    e = s / np.where(n > 0, n, 1)
    along = np.einsum("...e,...e->...", e, d_v)[..., None]
    n2 = n * n
    e *= along * ((1 - n2) / (1 + n2))
    e += d_v
    e *= n / (1 + n2)
    return e


def length(v: Array) -> Array:
    """Return |v| (...,) of the vectors (..., E) along the last axis."""
    if array_module(v) is not np:
        return kernels.length(v)
    return np.sqrt(np.einsum("...e,...e->...", v, v))
