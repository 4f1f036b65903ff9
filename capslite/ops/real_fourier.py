"""The transforms of conv_fourier.py: planes of pixels to points where a correlation is a product, and back.

Frequencies. X(u, v) = sum x[h, w] exp(i t), t = -2 pi (u h / NH + v w / NW), turns the circular correlation
y[h, w] = sum x[h + p, w + q] k[p, q] into Y = X conj(K). The planes are real, so X(-u, -v) = conj X(u, v),
and one of each such pair is enough.

Points. With X = a + ib and K = c + id, the product (a + ib)(c - id) takes three real products, not four
(Gauss):  p1 = (a + b) c,  p2 = a (c + d),  p3 = b (c - d);  real part p1 - p3, imaginary part p1 - p2.
So a complex frequency is three *points*. At each point x has one value, the kernel one, the output one, and
all are real: a x has there the form  sum x (alpha cos t + beta sin t),  with alpha and beta as below. For
y the same holds of the transpose: y[h, w] = sum over points of product * weight * (alpha cos t + beta sin t).

Rows, then columns. t is a sum of an angle r of the row and an angle s of the column, and

    alpha cos(r + s) + beta sin(r + s) = cos r (alpha cos s + beta sin s) + sin r (beta cos s - alpha sin s),

so a small matrix of cos r and sin r acts on the rows first, then one small matrix for each u on the columns.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

import numpy as np

from capslite.backend import Array, array_module

# (alpha, beta) at the points p1, p2, p3 of a complex frequency; a real frequency has one point, (1, 0).
COMPLEX = {
    "x": ((1, 1), (1, 0), (0, 1)),
    "kernel": ((1, 0), (1, 1), (1, -1)),
    "y": ((1, 1), (0, -1), (-1, 0)),
}


class Transform(NamedTuple):
    """A linear map from planes (H, W, n) to points (P, n), rows first, then columns."""

    rows: Array  # (R, H)
    columns: list[Array]  # for each u (P_u, R_u * W); the P_u add up to P and the R_u to R

    @property
    def points(self) -> int:
        """P, the number of points."""
        return sum(len(matrix) for matrix in self.columns)

    def crop(self, height: int, width: int) -> Transform:
        """Return the same transform for planes of which all but the first rows and columns are 0."""
        old = self.columns[0].shape[1]  # of the row frequency u = 0, which has one row: W
        cropped = [m.reshape(len(m), -1, old)[:, :, :width].reshape(len(m), -1) for m in self.columns]
        return Transform(self.rows[:, :height], cropped)

    def blocks(self, width: int) -> Iterator[tuple[slice, slice, Array]]:
        """Yield, for each u, which points and which transformed rows belong to it, and its matrix."""
        point = row = 0
        for matrix in self.columns:
            points, rows = len(matrix), matrix.shape[1] // width
            yield slice(point, point + points), slice(row, row + rows), matrix
            point, row = point + points, row + rows


def to_points(transform: Transform, planes: Array, out: Array) -> None:
    """Write the transform of planes (H, W, n) into out (P, n)."""
    xp, (height, width, n) = array_module(planes), planes.shape
    rows = transform.rows @ planes.reshape(height, width * n)
    for points, some, matrix in transform.blocks(width):
        xp.matmul(matrix, rows[some].reshape(matrix.shape[1], n), out=out[points])


def to_planes(transform: Transform, points: Array, width: int) -> Array:
    """Return planes (H, W, n) for points (P, n): the transpose of :func:`to_points`, not its inverse."""
    xp, n = array_module(points), points.shape[1]
    rows = xp.empty((len(transform.rows), width * n), points.dtype)
    for some, where, matrix in transform.blocks(width):
        xp.matmul(matrix.T, points[some], out=rows[where].reshape(matrix.shape[1], n))
    return (transform.rows.T @ rows).reshape(transform.rows.shape[1], width, n)


@cache
def gauss_transform(kind: str, height: int, width: int) -> Transform:
    """Return the transform of "x", "kernel" or (transposed) "y" for planes of a height and width, in float64."""
    rows, columns = [], []
    for u in range(height // 2 + 1):
        r = -2 * np.pi * u * np.arange(height) / height
        u_is_real = u == -u % height
        rows += [np.cos(r)] if u_is_real else [np.cos(r), np.sin(r)]
        matrix = []
        for v in range(width // 2 + 1) if u_is_real else range(width):
            s = -2 * np.pi * v * np.arange(width) / width
            is_real = u_is_real and v == -v % width
            weight = (1 if is_real else 2) / (height * width) if kind == "y" else 1
            for alpha, beta in ((1, 0),) if is_real else COMPLEX[kind]:
                parts = alpha * np.cos(s) + beta * np.sin(s), beta * np.cos(s) - alpha * np.sin(s)
                matrix.append(weight * (parts[0] if u_is_real else np.concatenate(parts)))
        columns.append(np.array(matrix))
    return Transform(np.array(rows), columns)
