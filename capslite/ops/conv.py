"""Two-dimensional convolution (as the field says it: a correlation, the kernel is not flipped).

    y[b, i, j, f] = sum_{p, q, c} x[b, S i + p, S j + q, c] kernel[p, q, c, f] + bias[f]

The encoder of the talk has two: 9 x 9 x 256 with ReLU, then 9 x 9 with stride S = 2, whose output is the
primary capsules. They hold 98 of every 100 multiplications of the network, so there are two ways to compute
them, conv_direct.py and conv_fourier.py, and this file says which is taken.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from capslite.backend import Array, array_module
from capslite.ops import conv_direct, conv_fourier
from capslite.ops.checks import check

METHODS = {"direct": conv_direct, "fourier": conv_fourier}


class Conv2DCache(NamedTuple):
    """What the backward pass of :func:`conv2d` needs."""

    x: Array  # padded
    kernel: Array
    stride: int
    pads: tuple[tuple[int, int], tuple[int, int]]  # (top, bottom), (left, right)
    method: str


def conv2d(
    x: Array, kernel: Array, bias: Array, stride: int = 1, padding: str = "valid", method: str = "auto"
) -> tuple[Array, Conv2DCache]:
    """Return y (B, OH, OW, F) for x (B, H, W, C), kernel (KH, KW, C, F) and bias (F,), and the cache.

    padding "valid" takes only whole patches, OH = (H - KH) // stride + 1; "same" surrounds x with zeros so
    that OH = ceil(H / stride), the odd one below and to the right. method "auto" picks "direct" or "fourier",
    whichever is faster at this size; both give the same numbers to rounding.

    Raises ValueError for shapes that do not fit, a stride below 1, a kernel larger than the image, and names
    of paddings and methods that do not exist.
    """
    check("conv2d", x=(x, "B H W C"), kernel=(kernel, "KH KW C F"), bias=(bias, "F"))
    if stride < 1:
        raise ValueError(f"conv2d: stride is {stride}; expected 1 or more")
    if padding not in ("valid", "same"):
        raise ValueError(f"conv2d: padding is {padding!r}; expected 'valid' or 'same'")
    if method not in ("auto", *METHODS):
        raise ValueError(f"conv2d: method is {method!r}; expected 'auto', 'direct' or 'fourier'")
    sides = list(zip(x.shape[1:3], kernel.shape[:2], strict=True))
    top_bottom, left_right = (same_pads(n, k, stride) if padding == "same" else (0, 0) for n, k in sides)
    x = pad(x, (top_bottom, left_right))
    if any(k < 1 or n < k for n, k in zip(x.shape[1:3], kernel.shape[:2], strict=True)):
        raise ValueError(f"conv2d: kernel has shape {kernel.shape}; expected 1 to {x.shape[1:3]} rows and columns")
    if method == "auto":
        method = "fourier" if fourier_pays(x, kernel, stride) else "direct"
    y = METHODS[method].correlate(x, kernel, stride)
    y += bias
    return y, Conv2DCache(x, kernel, stride, (top_bottom, left_right), method)


def conv2d_backward(d_y: Array, cache: Conv2DCache, with_d_x: bool = True) -> tuple[Array | None, Array, Array]:
    """Return d_x (B, H, W, C), d_kernel (KH, KW, C, F), d_bias (F,) for d_y (B, OH, OW, F).

    With ``with_d_x=False``, for the first layer of a network, d_x is None and its work is not done.
    The derivation stands in the file of each method.
    """
    x, kernel, stride, ((top, bottom), (left, right)), method = cache
    d_x, d_kernel = METHODS[method].correlate_backward(d_y, x, kernel, stride, with_d_x)
    if d_x is not None:
        d_x = d_x[:, top : x.shape[1] - bottom, left : x.shape[2] - right]
    return d_x, d_kernel, d_y.sum(axis=(0, 1, 2))


def fourier_pays(x: Array, kernel: Array, stride: int) -> bool:
    """Say whether the Fourier form is the faster one here, from counts of multiplications.

    Its transforms are short of arithmetic for the memory they move, so each of their multiplications counts
    threefold. Measured on the CPU only: a GPU takes the direct form.
    """
    if array_module(x) is not np or x.size == 0:
        return False
    batch, filters = len(x), kernel.shape[3]
    taps = math.prod(-(-k // stride) for k in kernel.shape[:2])
    out = [(n - k) // stride + 1 for n, k in zip(x.shape[1:3], kernel.shape[:2], strict=True)]
    plane = math.prod(o + -(-k // stride) - 1 for o, k in zip(out, kernel.shape[:2], strict=True))
    points, channels = 1.5 * plane, stride**2 * kernel.shape[2]
    products = points * batch * channels * filters
    transforms = points * (plane * batch * channels + taps * channels * filters + math.prod(out) * batch * filters)
    return products + 3 * transforms < math.prod(out) * batch * math.prod(kernel.shape)


def same_pads(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Return how many zeros go before and after a side of ``size`` so that it gives ceil(size / stride)."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def pad(x: Array, pads: tuple[tuple[int, int], tuple[int, int]]) -> Array:
    """Return x (B, H, W, C) with zeros around its rows and columns; x itself where there are none."""
    (top, bottom), (left, right) = pads
    if not (top or bottom or left or right):
        return x
    batch, height, width, channels = x.shape
    padded = array_module(x).zeros((batch, height + top + bottom, width + left + right, channels), x.dtype)
    padded[:, top : top + height, left : left + width] = x
    return padded
