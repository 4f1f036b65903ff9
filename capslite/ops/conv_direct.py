"""Convolution as matrix products, a few kernel rows at a time.

One output pixel is the product of a patch of x with the kernel. Lay the patches out as rows of a matrix and
the whole layer is one product (im2col), but that matrix holds every pixel KH*KW times. With channels last,
one *row* of a patch, KW*C numbers, already lies together in memory: so the rows of the kernel are taken a
few at a time, and the matrix of patches is that much smaller.
"""

from __future__ import annotations

import numpy as np

from capslite import kernels
from capslite.backend import Array, array_module
from capslite.scratch import empty
from capslite.threads import run_shards, shards_of

IMAGES_A_SHARD = 16
PATCH_WIDTH = 2304  # numbers in a row of the patch matrix on the CPU: one kernel row of the paper's capsules


def correlate(x: Array, kernel: Array, stride: int) -> Array:
    """Return y (B, OH, OW, F) for x (B, H, W, C) and kernel (KH, KW, C, F), without padding."""
    patches = patches_of(x, kernel, stride)
    y = empty(array_module(x), (*patches.shape[:3], kernel.shape[3]), x.dtype)

    def work(images: slice) -> None:
        y_matrix = as_matrix(y[images], 1)
        for number, rows in enumerate(row_groups(kernel)):
            part = as_matrix(patches[images, ..., rows, :], 2) @ as_matrix(kernel[rows], 1)
            y_matrix[...] = part if number == 0 else y_matrix + part

    run_shards(work, image_shards(x))
    return y


def correlate_backward(
    d_y: Array, x: Array, kernel: Array, stride: int, with_d_x: bool = True
) -> tuple[Array | None, Array]:
    """Return d_x (None unless ``with_d_x``) and d_kernel for d_y (B, OH, OW, F).

    As matrices y = patches @ kernel, so d_kernel = patches' @ d_y and d_patches = d_y @ kernel'. Each pixel
    of x was copied into several patches, so its gradient is the sum of theirs: the copy run backwards.
    """
    xp, patches = array_module(x), patches_of(x, kernel, stride)
    d_x = empty(xp, x.shape, x.dtype) if with_d_x else None

    def work(images: slice) -> Array:
        d_kernel = xp.empty_like(kernel)
        if d_x is not None:
            d_x[images] = 0
        d_y_matrix = as_matrix(xp.ascontiguousarray(d_y[images]), 1)
        for rows in row_groups(kernel):
            d_rows = as_matrix(patches[images, ..., rows, :], 2).T @ d_y_matrix
            d_kernel[rows] = d_rows.reshape(kernel[rows].shape)
            if d_x is not None:
                d_patches = d_y_matrix @ as_matrix(kernel[rows], 1).T
                d_patches = d_patches.reshape(*d_y[images].shape[:3], *kernel[rows].shape[:3])
                add_patches(d_x[images], d_patches, rows.start, stride)
        return d_kernel

    parts = run_shards(work, image_shards(x))
    return d_x, sum(parts[1:], start=parts[0]) if parts else xp.zeros_like(kernel)


def patches_of(x: Array, kernel: Array, stride: int) -> Array:
    """Return the view (B, OH, OW, KH, KW*C) of x in which each patch row stands where it lies in x."""
    xp = array_module(x)
    x = xp.ascontiguousarray(x)
    batch, height, width, channels = x.shape
    out = [(n - k) // stride + 1 for n, k in zip((height, width), kernel.shape[:2], strict=True)]
    image, row, pixel, number = x.strides
    return xp.lib.stride_tricks.as_strided(
        x,
        (batch, *out, kernel.shape[0], kernel.shape[1] * channels),
        (image, stride * row, stride * pixel, row, number),
    )


def add_patches(d_x: Array, d_patches: Array, first_row: int, stride: int) -> None:
    """Add d_patches (B, OH, OW, rows, KW, C), kernel rows from ``first_row`` on, to the pixels of d_x."""
    if array_module(d_x) is not np:
        kernels.add_patches(d_x, d_patches, first_row, stride)
        return
    _, out_height, out_width, rows, columns, _ = d_patches.shape
    for i in range(rows):
        for j in range(columns):
            top, left = first_row + i, j
            bottom, right = top + stride * out_height, left + stride * out_width
            d_x[:, top:bottom:stride, left:right:stride] += d_patches[:, :, :, i, j]


def row_groups(kernel: Array) -> list[slice]:
    """Return the slices of kernel rows for one product each; a GPU, with memory to spare, takes all in one."""
    height, width, channels, _ = kernel.shape
    at_once = max(1, PATCH_WIDTH // (width * channels)) if array_module(kernel) is np else height
    return shards_of(height, at_once)


def image_shards(x: Array) -> list[slice]:
    """Return the slices of images that threads work on; a GPU takes all at once."""
    return shards_of(len(x), IMAGES_A_SHARD if array_module(x) is np else len(x))


def as_matrix(array: Array, columns: int) -> Array:
    """Return the array as a matrix whose columns run over the last ``columns`` axes."""
    width = int(np.prod(array.shape[-columns:]))
    return array.reshape(array.size // max(width, 1), width)
