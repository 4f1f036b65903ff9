"""The few CUDA kernels, each with the NumPy line it stands for.

CuPy runs a NumPy line as one launch an operation, with a temporary array between each two; sums over the
8 or 16 numbers of a capsule it does slowly. Where that cost shows, one small kernel does the whole line:
one thread a capsule, a coupling, a pixel or a parameter, each reading what it needs. Everything else on the
GPU is the same NumPy-style code as on the CPU.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import cache
from typing import Any

from capslite.backend import Array, array_module


@dataclass(frozen=True)
class Elementwise:
    """The source of one ``cupy.ElementwiseKernel``, kept apart from CuPy so that tests can read it."""

    in_params: str
    out_params: str
    operation: str
    name: str


_SOURCES = (
    # n = sqrt(sum(v**2, axis=-1))
    Elementwise(
        "raw T v, int32 E",
        "T n",
        """
        T sum = 0;
        for (int e = 0; e < E; ++e) sum += v[i * E + e] * v[i * E + e];
        n = sqrt(sum);
        """,
        "capslite_length",
    ),
    # v = s * n / (1 + n**2)
    Elementwise(
        "raw T s, int32 E",
        "raw T v, T n",
        """
        T sum = 0;
        for (int e = 0; e < E; ++e) sum += s[i * E + e] * s[i * E + e];
        n = sqrt(sum);
        T f = n / (1 + sum);
        for (int e = 0; e < E; ++e) v[i * E + e] = f * s[i * E + e];
        """,
        "capslite_squash",
    ),
    # d_s = n / (1 + n**2) * (d_v + (1 - n**2) / (1 + n**2) * sum(s / n * d_v) * s / n)
    Elementwise(
        "raw T d_v, raw T s, T n, int32 E",
        "raw T d_s",
        """
        T n2 = n * n, inverse = n > 0 ? 1 / n : T(0), along = 0;
        for (int e = 0; e < E; ++e) along += s[i * E + e] * inverse * d_v[i * E + e];
        T radial = along * ((1 - n2) / (1 + n2)), f = n / (1 + n2);
        for (int e = 0; e < E; ++e)
            d_s[i * E + e] = f * (d_v[i * E + e] + radial * (s[i * E + e] * inverse));
        """,
        "capslite_squash_backward",
    ),
    # c = exp(b) / (leaky + sum(exp(b), axis=1)), one thread for all J of a lower capsule
    Elementwise(
        "raw T b, int32 J, int32 I, bool leaky",
        "raw T c",
        """
        ptrdiff_t first = (i / I) * J * I + i % I;
        T largest = leaky ? T(0) : b[first];
        for (int j = 0; j < J; ++j) largest = max(largest, b[first + j * I]);
        T total = leaky ? exp(-largest) : T(0);
        for (int j = 0; j < J; ++j) total += exp(b[first + j * I] - largest);
        for (int j = 0; j < J; ++j) c[first + j * I] = exp(b[first + j * I] - largest) / total;
        """,
        "capslite_routing_softmax",
    ),
    # d_b = c * (d_c - sum(c * d_c, axis=1))
    Elementwise(
        "raw T d_c, raw T c, int32 J, int32 I",
        "raw T d_b",
        """
        ptrdiff_t first = (i / I) * J * I + i % I;
        T mean = 0;
        for (int j = 0; j < J; ++j) mean += c[first + j * I] * d_c[first + j * I];
        for (int j = 0; j < J; ++j) d_b[first + j * I] = c[first + j * I] * (d_c[first + j * I] - mean);
        """,
        "capslite_routing_softmax_backward",
    ),
    # d_x[:, p + S*y, q + S*x] += d_patches[:, y, x, p, q] for every p, q, seen from the pixel
    Elementwise(
        "raw T d_patches, int32 H, int32 W, int32 C, int32 OH, int32 OW, int32 rows, int32 KW, int32 first, int32 S",
        "T d_x",
        """
        ptrdiff_t pixel = i / C, c = i % C, image = pixel / W / H;
        int y = pixel / W % H - first, x = pixel % W;
        T sum = d_x;
        for (int p = y % S; p < rows && p <= y; p += S)
            for (int q = x % S; q < KW && q <= x; q += S)
                if ((y - p) / S < OH && (x - q) / S < OW)
                    sum += d_patches[((((image * OH + (y - p) / S) * OW + (x - q) / S) * rows + p) * KW + q) * C + c];
        d_x = y < 0 ? d_x : sum;
        """,
        "capslite_add_patches",
    ),
    # m += (1 - beta1) * (g - m); v += (1 - beta2) * (g**2 - v); w -= rate * m / (sqrt(v) + epsilon)
    Elementwise(
        "T g, T rate, T beta1, T beta2, T epsilon",
        "T w, T m, T v",
        """
        m += (1 - beta1) * (g - m);
        v += (1 - beta2) * (g * g - v);
        w -= rate * m / (sqrt(v) + epsilon);
        """,
        "capslite_adam",
    ),
)
KERNELS = {source.name: source for source in _SOURCES}


def length(v: Array) -> Array:
    """Return the lengths (...,) of v (..., E)."""
    n = array_module(v).empty(v.shape[:-1], v.dtype)
    _kernel("capslite_length")(v, v.shape[-1], n)
    return n


def squash(s: Array) -> tuple[Array, Array]:
    """Return squashed s (..., E) and the lengths of s (..., 1)."""
    xp = array_module(s)
    v, n = xp.empty(s.shape, s.dtype), xp.empty((*s.shape[:-1], 1), s.dtype)
    _kernel("capslite_squash")(s, s.shape[-1], v, n)
    return v, n


def squash_backward(d_v: Array, s: Array, n: Array) -> Array:
    """Return d_s (..., E) for d_v (..., E), s (..., E) and its lengths n (..., 1)."""
    d_s = array_module(s).empty(s.shape, s.dtype)
    _kernel("capslite_squash_backward")(d_v, s, n, s.shape[-1], d_s)
    return d_s


def routing_softmax(b: Array, leaky: bool) -> Array:
    """Return the couplings (B, J, I) of the logits b (B, J, I)."""
    (batch, upper, lower), c = b.shape, array_module(b).empty(b.shape, b.dtype)
    _kernel("capslite_routing_softmax")(b, upper, lower, leaky, c, size=batch * lower)
    return c


def routing_softmax_backward(d_c: Array, c: Array) -> Array:
    """Return d_b (B, J, I) for d_c (B, J, I) and the couplings c (B, J, I)."""
    (batch, upper, lower), d_b = c.shape, array_module(c).empty(c.shape, c.dtype)
    _kernel("capslite_routing_softmax_backward")(d_c, c, upper, lower, d_b, size=batch * lower)
    return d_b


def add_patches(d_x: Array, d_patches: Array, first_row: int, stride: int) -> None:
    """Add d_patches (B, OH, OW, rows, KW, C), kernel rows from ``first_row`` on, to d_x (B, H, W, C)."""
    _, out_height, out_width, rows, columns, channels = d_patches.shape
    sizes = (*d_x.shape[1:3], channels, out_height, out_width, rows, columns)
    _kernel("capslite_add_patches")(d_patches, *sizes, first_row, stride, d_x)


def adam(w: Array, m: Array, v: Array, g: Array, rate: float, beta1: float, beta2: float, epsilon: float) -> None:
    """Take one step of Adam on the weights w in place, moments m and v with them."""
    _kernel("capslite_adam")(g, rate, beta1, beta2, epsilon, w, m, v)


def clear() -> None:
    """Forget the compiled kernels."""
    _kernel.cache_clear()


@cache
def _kernel(name: str) -> Any:
    source = KERNELS[name]
    cupy = sys.modules["cupy"]
    return cupy.ElementwiseKernel(source.in_params, source.out_params, source.operation, source.name)
