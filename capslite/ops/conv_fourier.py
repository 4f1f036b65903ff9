"""Convolution with fewer multiplications: the convolution theorem, in real arithmetic.

A circular correlation of planes is a plain product, one frequency at a time. With channels each product is
one of matrices, (B, C) by (C, F), and there are fewer frequencies than taps times places: for the paper's
primary capsules a fifth of the multiplications. Three constant matrices make the algorithm,

    y = G_y [ (G_x x) * (G_k k) ]

where ``*`` is the matrix product over channels, at each of P points (real_fourier.py derives the three).

Stride. x is cut into S*S phases (its even and odd rows and columns, if S = 2) and so is the kernel. Phase by
phase the correlation has stride 1, and the sum over phases joins the sum over channels: C becomes S*S*C.
Planes of OH + ceil(KH/S) - 1 rows are just long enough that none of the OH rows we want wraps around.

Backward. The algorithm is linear in x and in k, so its derivatives are the same matrices, transposed. With
D = G_y' d_y at each point,

    d_x = G_x' [ D * (G_k k)' ]        d_k = G_k' [ (G_x x)' * D ].
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import NamedTuple

import numpy as np

from capslite.backend import Array, array_module
from capslite.ops.real_fourier import Transform, gauss_transform, to_planes, to_points
from capslite.scratch import empty
from capslite.threads import run_shards, shards_of

CHANNELS_A_SHARD = 4096  # planes of 10 x 10 numbers: 1.6 MB before their transform and as much after


class Plan(NamedTuple):
    """The transforms for one shape of convolution, and the sizes they belong to."""

    g_x: Transform
    g_kernel: Transform
    g_y: Transform  # transposed: from d_y to points
    stride: int
    phases: list[tuple[int, int]]  # those that the kernel has taps in
    plane: tuple[int, int]  # NH, NW
    out: tuple[int, int]  # OH, OW


def correlate(x: Array, kernel: Array, stride: int) -> Array:
    """Return y (B, OH, OW, F) for x (B, H, W, C) and kernel (KH, KW, C, F), without padding."""
    xp, plan, filters = array_module(x), make_plan(x, kernel, stride), kernel.shape[3]
    g_x = transform_images(x, plan)
    g_k = transform_kernel(kernel, plan)
    g_y = empty(xp, (len(g_x), len(x), filters), x.dtype)

    def multiply(points: slice) -> None:
        xp.matmul(g_x[points], g_k[points], out=g_y[points])

    run_shards(multiply, point_shards(g_x))
    y = empty(xp, (len(x), *plan.out, filters), x.dtype)

    def work(images: slice) -> None:
        planes = to_planes(plan.g_y, flat(g_y[:, images]), plan.out[1])
        y[images] = planes.reshape(*plan.out, len(y[images]), filters).transpose(2, 0, 1, 3)

    run_shards(work, image_shards(x, filters))
    return y


def correlate_backward(
    d_y: Array, x: Array, kernel: Array, stride: int, with_d_x: bool = True
) -> tuple[Array | None, Array]:
    """Return d_x (None unless ``with_d_x``) and d_kernel for d_y (B, OH, OW, F).

    G_x x and G_k k are made again, not kept from the forward pass: they are large, and overwritten here.
    """
    xp, plan, filters = array_module(x), make_plan(x, kernel, stride), kernel.shape[3]
    g_x = transform_images(x, plan)
    g_k = transform_kernel(kernel, plan)
    d = empty(xp, (len(g_x), len(x), filters), x.dtype)

    def transform(images: slice) -> None:
        planes = d_y[images].transpose(1, 2, 0, 3).reshape(*plan.out, len(x[images]) * filters)
        to_points(plan.g_y, planes, flat(d[:, images]))

    def multiply(points: slice) -> None:
        d_g_k = xp.matmul(g_x[points].swapaxes(1, 2), d[points])
        if with_d_x:
            xp.matmul(d[points], g_k[points].swapaxes(1, 2), out=g_x[points])
        g_k[points] = d_g_k

    run_shards(transform, image_shards(x, filters))
    run_shards(multiply, point_shards(g_x))
    d_x = transform_images_backward(g_x, plan, x.shape) if with_d_x else None
    return d_x, transform_kernel_backward(g_k, plan, kernel.shape)


def transform_images(x: Array, plan: Plan) -> Array:
    """Return G_x x (P, B, S*S*C)."""
    xp, channels = array_module(x), len(plan.phases) * x.shape[3]
    g_x = empty(xp, (plan.g_x.points, len(x), channels), x.dtype)

    def work(images: slice) -> None:
        batch = len(x[images])
        planes = xp.zeros((*plan.plane, batch, len(plan.phases), x.shape[3]), x.dtype)
        for into, part in phases_of(planes, x[images], plan):
            into[...] = part
        to_points(plan.g_x, planes.reshape(*plan.plane, batch * channels), flat(g_x[:, images]))

    run_shards(work, image_shards(x, channels))
    return g_x


def transform_images_backward(d_g_x: Array, plan: Plan, shape: tuple[int, ...]) -> Array:
    """Return d_x (B, H, W, C) = G_x' d_g_x."""
    d_x = empty(array_module(d_g_x), shape, d_g_x.dtype)

    def work(images: slice) -> None:
        planes = to_planes(plan.g_x, flat(d_g_x[:, images]), plan.plane[1])
        planes = planes.reshape(*plan.plane, len(d_x[images]), len(plan.phases), shape[3])
        d_x[images] = 0  # the pixels that no patch of this stride reaches
        for part, into in phases_of(planes, d_x[images], plan):
            into[...] = part

    run_shards(work, image_shards(d_x, d_g_x.shape[2]))
    return d_x


def phases_of(planes: Array, images: Array, plan: Plan) -> Iterator[tuple[Array, Array]]:
    """Yield, phase by phase, the views of planes (NH, NW, B, S*S, C) and images (B, H, W, C) that match."""
    for number, (p, q) in enumerate(plan.phases):
        part = images.transpose(1, 2, 0, 3)[p :: plan.stride, q :: plan.stride]
        part = part[: plan.plane[0], : plan.plane[1]]
        yield planes[: part.shape[0], : part.shape[1], :, number], part


def transform_kernel(kernel: Array, plan: Plan) -> Array:
    """Return G_k k (P, S*S*C, F)."""
    channels, filters = kernel.shape[2:]
    g_k = empty(array_module(kernel), (plan.g_x.points, len(plan.phases) * channels, filters), kernel.dtype)

    def work(part: KernelPart) -> None:
        taps = kernel[part.taps]
        to_points(part.transform, taps.reshape(*taps.shape[:2], -1), flat(g_k[:, part.channels]))

    run_shards(work, kernel_parts(plan, kernel))
    return g_k


def transform_kernel_backward(d_g_k: Array, plan: Plan, shape: tuple[int, ...]) -> Array:
    """Return d_kernel (KH, KW, C, F) = G_k' d_g_k."""
    d_kernel = array_module(d_g_k).empty(shape, d_g_k.dtype)

    def work(part: KernelPart) -> None:
        taps = d_kernel[part.taps]
        taps[...] = to_planes(part.transform, flat(d_g_k[:, part.channels]), taps.shape[1]).reshape(taps.shape)

    run_shards(work, kernel_parts(plan, d_kernel))
    return d_kernel


class KernelPart(NamedTuple):
    """Some channels of one phase: where they stand in k, where in G_k k, and the transform of their taps."""

    taps: tuple[slice, slice, slice]
    channels: slice
    transform: Transform


def kernel_parts(plan: Plan, kernel: Array) -> Iterator[KernelPart]:
    """Yield the parts of a kernel (KH, KW, C, F) that threads work on one by one."""
    height, width, channels, _ = kernel.shape
    for number, (p, q) in enumerate(plan.phases):
        transform = plan.g_kernel.crop(-(-(height - p) // plan.stride), -(-(width - q) // plan.stride))
        for some in shards_of(channels, 32 if array_module(kernel) is np else channels):
            taps = (slice(p, None, plan.stride), slice(q, None, plan.stride), some)
            first = number * channels
            yield KernelPart(taps, slice(first + some.start, first + some.stop), transform)


def flat(planes: Array) -> Array:
    """Return planes (P, ...) as a matrix of P rows."""
    return planes.reshape(len(planes), planes[0].size)


def image_shards(x: Array, channels: int) -> list[slice]:
    """As many images at a time as stay in a core's cache; a GPU takes all at once."""
    return shards_of(len(x), max(1, CHANNELS_A_SHARD // channels) if array_module(x) is np else len(x))


def point_shards(g_x: Array) -> list[slice]:
    """A few products at a time; a GPU takes all at once."""
    return shards_of(len(g_x), 4 if array_module(g_x) is np else len(g_x))


def make_plan(x: Array, kernel: Array, stride: int) -> Plan:
    """Return the plan of a convolution, its matrices in x's dtype and on x's device."""
    xp, sides = array_module(x), list(zip(x.shape[1:3], kernel.shape[:2], strict=True))
    out = tuple((n - k) // stride + 1 for n, k in sides)
    plane = tuple(o + -(-k // stride) - 1 for o, (_, k) in zip(out, sides, strict=True))
    phases = list(product(*(range(min(k, stride)) for _, k in sides)))
    kinds = {kind: gauss_transform(kind, *plane) for kind in ("x", "kernel", "y")}
    kinds["y"] = kinds["y"].crop(*out)
    g_x, g_kernel, g_y = (
        Transform(xp.asarray(t.rows, x.dtype), [xp.asarray(m, x.dtype) for m in t.columns]) for t in kinds.values()
    )
    return Plan(g_x, g_kernel, g_y, stride, phases, plane, out)
