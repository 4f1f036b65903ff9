"""Convolution with fewer multiplications: the convolution theorem, in real arithmetic.

A circular correlation of N x N planes is, one frequency at a time, a product of complex numbers. With
channels, each such product is a product of matrices, (B, C) by (C, F), and there are N^2 frequencies instead
of KH*KW taps at each of OH*OW places: for the paper's primary capsules, a third of the arithmetic.

Stride. x is cut into S*S phases (its even and odd rows and columns, if S = 2) and so is the kernel. Phase by
phase the correlation has stride 1, and the sum over phases joins the sum over channels: C becomes S*S*C.
A plane of N = OH + ceil(KH/S) - 1 rows is just long enough that the OH rows we want never wrap around.

No complex numbers. A real plane's frequencies come in conjugate pairs, of which one is kept. And
(a+bi)(c-di) needs three real products, p1 = c(a+b), p2 = a(c+d), p3 = b(c-d), not four: its real part is
p1 - p3, its imaginary part p1 - p2. (Gauss.) So three constant matrices make the whole algorithm,

    y = G_y [ (G_x x) * (G_k k) ]

with one row of G_x and G_k and one column of G_y for each of P real products (P = 148 for 10 x 10 planes),
and ``*`` the matrix product over channels. It is linear in x and in k, so the backward pass is the same
three matrices, transposed: with D = G_y' d_y,

    d_x = G_x' [ D * (G_k k)' ]        d_k = G_k' [ (G_x x)' * D ].
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import product
from typing import NamedTuple

import numpy as np

from capslite.backend import Array, array_module
from capslite.scratch import empty
from capslite.threads import run_shards, shards_of


class Plan(NamedTuple):
    """The three matrices for one shape of convolution, and the sizes they belong to."""

    to_x: Array  # G_x (P, NH*NW)
    to_kernel: Array  # G_k (P, KPH, KPW): the taps of the largest phase
    to_y: Array  # G_y (OH*OW, P)
    stride: int
    phases: list[tuple[int, int]]  # those that the kernel has taps in
    plane: tuple[int, int]  # NH, NW
    out: tuple[int, int]  # OH, OW


def correlate(x: Array, kernel: Array, stride: int) -> Array:
    """Return y (B, OH, OW, F) for x (B, H, W, C) and kernel (KH, KW, C, F), without padding."""
    xp, plan = array_module(x), make_plan(x, kernel, stride)
    g_x = transform_images(x, plan)
    g_k = transform_kernel(kernel, plan)
    g_y = empty(xp, (len(g_x), len(x), kernel.shape[3]), x.dtype)
    run_shards(lambda p: xp.matmul(g_x[p], g_k[p], out=g_y[p]), point_shards(g_x))
    y = xp.empty((len(x), *plan.out, kernel.shape[3]), x.dtype)

    def back(images: slice) -> None:
        planes = plan.to_y @ flat(g_y[:, images])
        y[images] = planes.reshape(*plan.out, *g_y[0, images].shape).transpose(2, 0, 1, 3)

    run_shards(back, image_shards(x))
    return y


def correlate_backward(
    d_y: Array, x: Array, kernel: Array, stride: int, with_d_x: bool = True
) -> tuple[Array | None, Array]:
    """Return d_x (None unless ``with_d_x``) and d_kernel for d_y (B, OH, OW, F).

    G_x x and G_k k are made again, not kept from the forward pass: they are large, and overwritten here.
    """
    xp, plan = array_module(x), make_plan(x, kernel, stride)
    g_x = transform_images(x, plan)
    g_k = transform_kernel(kernel, plan)
    d = empty(xp, (len(g_x), len(x), kernel.shape[3]), x.dtype)

    def transform(images: slice) -> None:
        planes = d_y[images].transpose(1, 2, 0, 3).reshape(len(plan.to_y), d[0, images].size)
        xp.matmul(plan.to_y.T, planes, out=flat(d[:, images]))

    def multiply(points: slice) -> None:
        d_g_k = xp.matmul(g_x[points].swapaxes(1, 2), d[points])
        if with_d_x:
            xp.matmul(d[points], g_k[points].swapaxes(1, 2), out=g_x[points])
        g_k[points] = d_g_k

    run_shards(transform, image_shards(x))
    run_shards(multiply, point_shards(g_x))
    d_x = transform_images_backward(g_x, plan, x.shape) if with_d_x else None
    return d_x, transform_kernel_backward(g_k, plan, kernel.shape)


def transform_images(x: Array, plan: Plan) -> Array:
    """Return G_x x (P, B, S*S*C): cut every image into phases, then one product."""
    xp = array_module(x)
    g_x = empty(xp, (len(plan.to_x), len(x), len(plan.phases) * x.shape[3]), x.dtype)

    def work(images: slice) -> None:
        planes = xp.zeros((*plan.plane, len(x[images]), len(plan.phases), x.shape[3]), x.dtype)
        for into, part in phases_of(planes, x[images], plan):
            into[...] = part
        xp.matmul(plan.to_x, planes.reshape(plan.to_x.shape[1], g_x[0, images].size), out=flat(g_x[:, images]))

    run_shards(work, image_shards(x))
    return g_x


def transform_images_backward(d_g_x: Array, plan: Plan, shape: tuple[int, ...]) -> Array:
    """Return d_x = G_x' d_g_x."""
    d_x = empty(array_module(d_g_x), shape, d_g_x.dtype)

    def work(images: slice) -> None:
        d_x[images] = 0  # the pixels that no patch of this stride reaches
        planes = plan.to_x.T @ flat(d_g_x[:, images])
        planes = planes.reshape(*plan.plane, len(d_x[images]), len(plan.phases), shape[3])
        for part, into in phases_of(planes, d_x[images], plan):
            into[...] = part

    run_shards(work, image_shards(d_x))
    return d_x


def phases_of(planes: Array, images: Array, plan: Plan) -> Iterator[tuple[Array, Array]]:
    """Yield, phase by phase, the views of planes (NH, NW, B, S*S, C) and images (B, H, W, C) that match."""
    for number, (p, q) in enumerate(plan.phases):
        part = images.transpose(1, 2, 0, 3)[p :: plan.stride, q :: plan.stride]
        part = part[: plan.plane[0], : plan.plane[1]]
        yield planes[: part.shape[0], : part.shape[1], :, number], part


def transform_kernel(kernel: Array, plan: Plan) -> Array:
    """Return G_k k (P, S*S*C, F)."""
    xp = array_module(kernel)
    g_k = empty(xp, (len(plan.to_x), len(plan.phases) * kernel.shape[2], kernel.shape[3]), kernel.dtype)

    def work(part: KernelPart) -> None:
        taps = kernel[part.taps]
        xp.matmul(part.matrix, taps.reshape(part.matrix.shape[1], -1), out=flat(g_k[:, part.channels]))

    run_shards(work, kernel_parts(plan, kernel))
    return g_k


def transform_kernel_backward(d_g_k: Array, plan: Plan, shape: tuple[int, ...]) -> Array:
    """Return d_kernel = G_k' d_g_k."""
    d_kernel = array_module(d_g_k).empty(shape, d_g_k.dtype)

    def work(part: KernelPart) -> None:
        taps = d_kernel[part.taps]
        taps[...] = (part.matrix.T @ flat(d_g_k[:, part.channels])).reshape(taps.shape)

    run_shards(work, kernel_parts(plan, d_kernel))
    return d_kernel


class KernelPart(NamedTuple):
    """Some channels of one phase: where they stand in k, where in G_k k, and the columns of G_k for them."""

    taps: tuple[slice, slice, slice]
    channels: slice
    matrix: Array


def kernel_parts(plan: Plan, kernel: Array) -> Iterator[KernelPart]:
    """Yield the parts of a kernel (KH, KW, C, F) that threads work on one by one."""
    height, width, channels, _ = kernel.shape
    for number, (p, q) in enumerate(plan.phases):
        matrix = flat(plan.to_kernel[:, : -(-(height - p) // plan.stride), : -(-(width - q) // plan.stride)])
        for some in shards_of(channels, 32 if array_module(kernel) is np else channels):
            first = number * channels
            taps = (slice(p, None, plan.stride), slice(q, None, plan.stride), some)
            yield KernelPart(taps, slice(first + some.start, first + some.stop), matrix)


def flat(planes: Array) -> Array:
    """Return planes (P, ...) as a matrix of P rows."""
    return planes.reshape(len(planes), planes[0].size)


def image_shards(x: Array) -> list[slice]:
    """One image at a time stays in a core's cache; a GPU takes all at once."""
    return shards_of(len(x), 1 if array_module(x) is np else len(x))


def point_shards(g_x: Array) -> list[slice]:
    """A few products at a time; a GPU takes all at once."""
    return shards_of(len(g_x), 4 if array_module(g_x) is np else len(g_x))


def make_plan(x: Array, kernel: Array, stride: int) -> Plan:
    """Return the plan of a convolution, its matrices in x's dtype and on x's device."""
    sides = list(zip(x.shape[1:3], kernel.shape[:2], strict=True))
    taps = [-(-k // stride) for _, k in sides]
    out = [(n - k) // stride + 1 for n, k in sides]
    plane = [o + t - 1 for o, t in zip(out, taps, strict=True)]
    phases = list(product(*(range(min(k, stride)) for _, k in sides)))
    to_x, to_kernel, to_y = gauss_matrices(*plane)
    matrices = flat(to_x), to_kernel[:, : taps[0], : taps[1]], flat(to_y[:, : out[0], : out[1]]).T
    on_device = (array_module(x).asarray(np.ascontiguousarray(m, x.dtype)) for m in matrices)
    return Plan(*on_device, stride, phases, (plane[0], plane[1]), (out[0], out[1]))


@cache
def gauss_matrices(height: int, width: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return G_x, G_k and the transpose of G_y for whole planes, each (P, NH, NW) in float64."""
    h, w = np.arange(height)[:, None], np.arange(width)
    g_x, g_k, g_y = [], [], []
    for u, v in product(range(height), range(width)):
        conjugate = (-u % height, -v % width)
        angle = -2 * np.pi * (u * h / height + v * w / width)
        cos, sin = np.cos(angle), np.sin(angle)
        if (u, v) == conjugate:  # a real frequency: one product
            g_x += [cos]
            g_k += [cos]
            g_y += [cos / (height * width)]
        elif (u, v) < conjugate:  # a = cos.x, b = sin.x, c = cos.k, d = sin.k: p1, p2, p3
            g_x += [cos + sin, cos, sin]
            g_k += [cos, cos + sin, cos - sin]
            g_y += [part * 2 / (height * width) for part in (cos + sin, -sin, -cos)]
    return np.array(g_x), np.array(g_k), np.array(g_y)
